//! The upstream's side: what becomes of its replies.
use super::{
    Event, Fault, HandleKey, MOST_HANDLES, Phase, Sftp, VERSION, Waiting,
    codec::{self, Code, MOST_AT_ONCE, kind},
    contents::{Gather, MOST_INSPECTED, Step},
    coverage,
    reply::{self, OK, Reply},
};
use doorward_model::DataType;
use doorward_wire::WireError;
use std::sync::Arc;

/// The most that is kept of reads that go on, in bytes.
const MOST_HELD: usize = 2 * 1024 * 1024;

const fn misbehaved(what: &'static str) -> Fault {
    Fault::UpstreamMisbehaved { what }
}

const fn malformed(error: WireError) -> Fault {
    misbehaved(match error {
        WireError::CutOff { what } | WireError::TooLong { what, .. } | WireError::Invalid { what } => what,
    })
}

impl Sftp {
    pub(super) fn replies(&mut self) -> Result<(), Fault> {
        loop {
            let packet = codec::cut(&mut self.from_upstream)
                .map_err(|_| misbehaved("a packet longer than 256 KiB, or empty"))?;
            let Some(packet) = packet else { return Ok(()) };
            match self.phase {
                Phase::Start => return Err(misbehaved("a packet before the client's first")),
                Phase::Greeted => self.version(&packet)?,
                Phase::Open => self.reply(&packet)?,
            }
        }
    }

    fn version(&mut self, packet: &[u8]) -> Result<(), Fault> {
        let (kind, mut reader) = codec::open(packet, "a malformed VERSION").map_err(malformed)?;
        if kind != kind::VERSION {
            return Err(misbehaved("the first packet is no VERSION"));
        }
        if reader.u32().map_err(malformed)? != VERSION {
            return Err(misbehaved("it does not speak version 3"));
        }
        let mut offered: Vec<(&'static str, &'static str)> = Vec::new();
        while reader.left() > 0 {
            let name = codec::string(&mut reader).map_err(malformed)?;
            let version = codec::string(&mut reader).map_err(malformed)?;
            offered.extend(coverage::understood(name, version).filter(|e| !offered.contains(e)));
        }
        codec::version(&mut self.to_client, VERSION, &offered);
        self.extensions = offered.into_iter().map(|(name, _)| name).collect();
        self.phase = Phase::Open;
        Ok(())
    }

    fn reply(&mut self, packet: &[u8]) -> Result<(), Fault> {
        let (kind, mut reader) = codec::open(packet, "a malformed reply").map_err(malformed)?;
        let id = reader.u32().map_err(malformed)?;
        let waiting = self.waiting.remove(&id).ok_or(misbehaved("a reply to no request"))?;
        let reply = reply::parse(kind, waiting.shape(), &mut reader).map_err(malformed)?;
        let reply = reply.ok_or(misbehaved("a reply of a type that its request cannot have"))?;
        match waiting {
            Waiting::Reply(_) => self.plain(id, packet, reply),
            Waiting::Opening(opening) => {
                self.opening -= 1;
                if let Reply::Handle(handle) = reply {
                    let taken = misbehaved("a handle that is open already");
                    self.handles.opened(handle, *opening).ok_or(taken)?;
                }
                self.pass(packet);
            }
            Waiting::Close(key) => {
                let transfers = self.handles.closed(key, reply == Reply::Status(OK));
                self.events.extend(transfers.into_iter().map(Event::Transferred));
                self.pass(packet);
            }
            Waiting::Write { key, count } => {
                if let Some(open) = self.handles.of_mut(key) {
                    if reply == Reply::Status(OK) { open.upload.arrived(count) } else { open.upload.failed() }
                }
                self.pass(packet);
            }
            Waiting::Read { key, offset, count } => self.unread(id, packet, reply, (key, offset, count))?,
            Waiting::Inspect { key, gather } => self.inspect(id, packet, reply, key, gather)?,
        }
        Ok(())
    }

    fn pass(&mut self, packet: &[u8]) {
        self.to_client.extend_from_slice(packet);
    }

    fn plain(&mut self, id: u32, packet: &[u8], reply: Reply<'_>) {
        match reply {
            Reply::Limits([packets, read, write, handles]) => {
                let inspects = !self.contents.hidden.is_empty();
                let most = if inspects { MOST_INSPECTED } else { MOST_AT_ONCE as u64 };
                let limits = [
                    least(packets, codec::LONGEST as u64),
                    least(read, most),
                    least(write, MOST_AT_ONCE as u64),
                    least(handles, MOST_HANDLES as u64),
                ];
                codec::limits(&mut self.to_client, id, limits);
            }
            Reply::Status(_) | Reply::Handle(_) | Reply::Data(_) | Reply::Passed => self.pass(packet),
        }
    }

    /// The reply to a read that is not looked into.
    fn unread(
        &mut self,
        id: u32,
        packet: &[u8],
        reply: Reply<'_>,
        (key, offset, count): (HandleKey, u64, u32),
    ) -> Result<(), Fault> {
        if let Reply::Data(block) = reply {
            if block.len() as u64 > u64::from(count) {
                return Err(misbehaved("more data than were asked for"));
            }
            if let Some(open) = self.handles.of_mut(key) {
                if let Some(why) = open.unreadable() {
                    codec::status(&mut self.to_client, id, Code::PermissionDenied, why);
                    return Ok(());
                }
                open.download.sent(offset, block);
                open.download.arrived(block.len() as u64);
            }
        }
        self.pass(packet);
        Ok(())
    }

    /// The reply to a widened read.
    fn inspect(
        &mut self,
        id: u32,
        packet: &[u8],
        reply: Reply<'_>,
        key: HandleKey,
        mut gather: Box<Gather>,
    ) -> Result<(), Fault> {
        self.held -= gather.held();
        match reply {
            Reply::Data(part) => {
                if part.len() > gather.rest().1 {
                    return Err(misbehaved("more data than were asked for"));
                }
                match gather.take(part) {
                    Step::Whole => self.show(id, key, &gather),
                    Step::More { offset, count } => self.read_on(id, key, gather, (offset, count)),
                    Step::Broken => self.fail(id, "the upstream sends this file in parts too small to be inspected"),
                }
            }
            Reply::Status(code) if code == Code::Eof.number() && gather.held() > 0 => self.show(id, key, &gather),
            Reply::Status(_) | Reply::Handle(_) | Reply::Limits(_) | Reply::Passed => self.pass(packet),
        }
        Ok(())
    }

    fn fail(&mut self, id: u32, why: &str) {
        codec::status(&mut self.to_client, id, Code::Failure, why);
    }

    fn read_on(&mut self, id: u32, key: HandleKey, gather: Box<Gather>, (offset, count): (u64, usize)) {
        let Some(open) = self.handles.of(key).filter(|open| !open.closing) else {
            // Its name may be another file's by now.
            return self.fail(id, "closed before it was read");
        };
        if let Some(why) = open.unreadable() {
            codec::status(&mut self.to_client, id, Code::PermissionDenied, why);
            return;
        }
        if self.held + gather.held() > MOST_HELD {
            return self.fail(id, "too many reads are under inspection at once");
        }
        self.rereads.push_back((codec::read(id, &open.handle, offset, count), key));
        self.held += gather.held();
        self.waiting.insert(id, Waiting::Inspect { key, gather });
    }

    /// Shows what was read, if it may be seen.
    fn show(&mut self, id: u32, key: HandleKey, gather: &Gather) {
        if let Some(why) = self.handles.of(key).and_then(|open| open.unreadable()) {
            codec::status(&mut self.to_client, id, Code::PermissionDenied, why);
            return;
        }
        match gather.shown(&self.contents) {
            Ok([]) => codec::status(&mut self.to_client, id, Code::Eof, "End of file"),
            Ok(block) => {
                if let Some(open) = self.handles.of_mut(key) {
                    open.download.sent(gather.offset(), block);
                    open.download.arrived(block.len() as u64);
                }
                codec::data(&mut self.to_client, id, block);
            }
            Err(found) => self.withhold(id, key, gather.offset(), found),
        }
    }

    fn withhold(&mut self, id: u32, key: HandleKey, offset: u64, found: DataType) {
        let why: Arc<str> =
            format!("a value of type {} was found; a masked file would be another file: refused", found.as_str())
                .into();
        codec::status(&mut self.to_client, id, Code::PermissionDenied, &why);
        if let Some(open) = self.handles.of_mut(key) {
            open.download.failed();
            self.events.push_back(Event::Withheld { path: Arc::clone(&open.file.name), found, offset });
            open.poisoned = Some(why);
        }
    }
}

/// The lower of two limits; zero is none.
const fn least(theirs: u64, ours: u64) -> u64 {
    if theirs == 0 || theirs > ours { ours } else { theirs }
}
