//! The client's side: what becomes of its packets.
use super::{
    Fault, LONGEST, MOST_HANDLES, Next, Phase, Refused, Sftp, Then, VERSION, Waiting,
    codec::{self, Attrs, Code, kind},
    contents::Gather,
    handles::{HandleKey, Open},
    meaning,
    paths::{self, shown},
    reply::Shape,
    request::{self, Ask, HandleVerb, Parsed, PathVerb, SelfVerb},
};
use bytes::Bytes;
use doorward_wire::WireError;

/// An answer of Doorward's own: the code, why, and what was asked.
struct No {
    code: Code,
    why: String,
    statement: String,
}

impl No {
    fn new(code: Code, why: impl Into<String>, statement: impl Into<String>) -> Self {
        Self { code, why: why.into(), statement: statement.into() }
    }

    fn handle(verb: &str) -> Self {
        Self::new(Code::Failure, "invalid handle", format!("sftp {verb}"))
    }
}

const fn misbehaved(what: &'static str) -> Fault {
    Fault::ClientMisbehaved { what }
}

const fn malformed(error: WireError) -> Fault {
    misbehaved(match error {
        WireError::CutOff { what } | WireError::TooLong { what, .. } | WireError::Invalid { what } => what,
    })
}

impl Sftp {
    pub(super) fn advance(&mut self) -> Result<Next, Fault> {
        if let Some((packet, handle)) = self.rereads.pop_front() {
            return Ok(Next::Follow { packet, handle });
        }
        if let Some(pending) = &self.pending {
            return Ok(Next::Decide(pending.operation.clone()));
        }
        if self.is_full() || self.phase == Phase::Greeted {
            return Ok(Next::Idle);
        }
        let packet =
            codec::cut(&mut self.from_client).map_err(|_| misbehaved("a packet longer than 256 KiB, or empty"))?;
        let Some(packet) = packet else {
            codec::shrink(&mut self.from_client);
            return Ok(Next::Idle);
        };
        match self.phase {
            Phase::Start => self.greet(&packet),
            Phase::Greeted | Phase::Open => self.request(&packet),
        }
    }

    fn greet(&mut self, packet: &Bytes) -> Result<Next, Fault> {
        let (kind, mut reader) = codec::open(packet, "an INIT").map_err(malformed)?;
        if kind != kind::INIT {
            return Err(misbehaved("the first packet is no INIT"));
        }
        // What else an INIT holds is not passed on.
        if reader.u32().map_err(malformed)? < VERSION {
            return Err(misbehaved("a version below 3"));
        }
        self.phase = Phase::Greeted;
        Ok(Next::Greet { packet: codec::init(VERSION) })
    }

    fn request(&mut self, packet: &Bytes) -> Result<Next, Fault> {
        let (kind, mut reader) = codec::open(packet, "a request").map_err(malformed)?;
        if kind == kind::INIT {
            return Err(misbehaved("a second INIT"));
        }
        let (id, parsed) = request::parse(kind, &mut reader).map_err(malformed)?;
        if self.waiting.contains_key(&id) {
            return Err(misbehaved("the number of a request that is not answered yet"));
        }
        let next = match parsed {
            Parsed::Ask(ask) if self.is_offered(packet) => self.ask(id, packet, ask),
            Parsed::Ask(_) => Err(No::new(Code::Unsupported, "an extension that was not offered", extension(packet))),
            Parsed::Unknown { kind, extension: None } => {
                let what = format!("a packet of type {kind}, which Doorward does not know");
                Err(No::new(Code::Unsupported, what, format!("sftp packet of type {kind}")))
            }
            Parsed::Unknown { extension: Some(_), .. } => {
                Err(No::new(Code::Unsupported, "an extension that Doorward does not know", extension(packet)))
            }
            Parsed::Bad(error) => Err(No::new(Code::BadMessage, error.to_string(), "sftp request, malformed")),
        };
        Ok(next.unwrap_or_else(|no| self.answer(id, packet, &no)))
    }

    /// Whether a packet is no extended request, or one of the extensions that the client was told of.
    fn is_offered(&self, packet: &[u8]) -> bool {
        extension_name(packet).is_none_or(|name| self.extensions.iter().any(|e| e.as_bytes() == name))
    }

    fn answer(&mut self, id: u32, packet: &Bytes, no: &No) -> Next {
        codec::status(&mut self.to_client, id, no.code, &no.why);
        Next::Refused(Refused {
            facts: meaning::refused(&no.why, self.login),
            statement: no.statement.as_str().into(),
            what: no.why.as_str().into(),
            packet: packet.clone(),
        })
    }

    fn ask(&mut self, id: u32, packet: &Bytes, ask: Ask<'_>) -> Result<Next, No> {
        match ask {
            Ask::Open { path, flags, attrs } => self.open(id, packet, path, flags, attrs),
            Ask::Path(PathVerb::Opendir, path) => self.opendir(id, packet, path),
            Ask::Path(verb, path) => {
                usable("path", &[path])?;
                let then = Then::Reply(path_shape(verb));
                Ok(self.pend(id, packet.clone(), meaning::path(verb, path, self.login), then))
            }
            Ask::Attrs(verb, path, attrs) => {
                usable("path", &[path])?;
                let meaning = meaning::attrs(verb, path, attrs, self.login);
                Ok(self.pend(id, packet.clone(), meaning, Then::Reply(Shape::Status)))
            }
            Ask::Pair(verb, first, second) => {
                usable("two paths", &[first, second])?;
                let meaning = meaning::pair(verb, first, second, self.login);
                Ok(self.pend(id, packet.clone(), meaning, Then::Reply(Shape::Status)))
            }
            Ask::Own(verb) => {
                let then = Then::Reply(own_shape(verb));
                Ok(self.pend(id, packet.clone(), meaning::own(verb, self.login), then))
            }
            Ask::Fsetstat(handle, attrs) => {
                let (_, open) = self.handle("fsetstat", handle)?;
                let meaning = meaning::fsetstat(&open.file, attrs, self.login);
                Ok(self.pend(id, packet.clone(), meaning, Then::Reply(Shape::Status)))
            }
            Ask::Handle(verb, handle) => self.by_handle(id, packet, verb, handle),
            Ask::Read { handle, offset, count } => self.read(id, packet, handle, offset, count),
            Ask::Write { handle, offset, data } => self.write(id, packet, handle, offset, data),
            Ask::CopyData { from, to } => self.copy(id, packet, from, to),
        }
    }

    fn open(&mut self, id: u32, packet: &Bytes, path: &[u8], flags: u32, attrs: Attrs) -> Result<Next, No> {
        usable("open", &[path])?;
        self.has_room(path)?;
        let file = paths::named(path);
        let (meaning, rights) = meaning::open(path, &file, flags, attrs, self.login);
        Ok(self.pend(id, packet.clone(), meaning, Then::Open { file, rights: Some(rights) }))
    }

    fn opendir(&mut self, id: u32, packet: &Bytes, path: &[u8]) -> Result<Next, No> {
        usable("opendir", &[path])?;
        self.has_room(path)?;
        let meaning = meaning::path(PathVerb::Opendir, path, self.login);
        Ok(self.pend(id, packet.clone(), meaning, Then::Open { file: paths::named(path), rights: None }))
    }

    fn has_room(&self, path: &[u8]) -> Result<(), No> {
        if self.handles.len() + self.opening < MOST_HANDLES {
            return Ok(());
        }
        Err(No::new(Code::Failure, "too many files are open", format!("sftp open {}", shown(path))))
    }

    /// An open handle, unless it was taken back.
    fn handle(&self, verb: &str, handle: &[u8]) -> Result<(HandleKey, &Open), No> {
        let (key, open) = self.handles.named(handle).ok_or_else(|| No::handle(verb))?;
        match &open.revoked {
            Some(why) => Err(No::new(Code::PermissionDenied, &**why, about(verb, open))),
            None => Ok((key, open)),
        }
    }

    fn by_handle(&mut self, id: u32, packet: &Bytes, verb: HandleVerb, handle: &[u8]) -> Result<Next, No> {
        let (key, waiting) = match verb {
            // Also one that was taken back.
            HandleVerb::Close => {
                let (key, _) = self.handles.named(handle).ok_or_else(|| No::handle("close"))?;
                self.handles.closing(key);
                (key, Waiting::Close(key))
            }
            HandleVerb::Fstat => (self.handle("fstat", handle)?.0, Waiting::Reply(Shape::Attrs)),
            HandleVerb::Fsync => (self.handle("fsync", handle)?.0, Waiting::Reply(Shape::Status)),
            HandleVerb::Fstatvfs => (self.handle("fstatvfs", handle)?.0, Waiting::Reply(Shape::FileSystem)),
            HandleVerb::Readdir => {
                let (key, open) = self.handle("readdir", handle)?;
                if open.rights.is_some() {
                    return Err(No::handle("readdir of a file"));
                }
                (key, Waiting::Reply(Shape::Names { one: false }))
            }
        };
        Ok(self.follow(id, packet.clone(), key, waiting))
    }

    fn follow(&mut self, id: u32, packet: Bytes, handle: HandleKey, waiting: Waiting) -> Next {
        self.waiting.insert(id, waiting);
        Next::Follow { packet, handle }
    }

    fn read(&mut self, id: u32, packet: &Bytes, handle: &[u8], offset: u64, count: u32) -> Result<Next, No> {
        let (key, open) = self.handle("read", handle)?;
        if !open.readable() {
            return Err(No::new(Code::Failure, "invalid handle: not open for reading", about("read", open)));
        }
        if let Some(why) = open.unreadable() {
            return Err(No::new(Code::PermissionDenied, &**why, about("read", open)));
        }
        if self.contents.hidden.is_empty() || count == 0 {
            return Ok(self.follow(id, packet.clone(), key, Waiting::Read { key, offset, count }));
        }
        let gather = Gather::new(offset, count);
        let (start, wide) = gather.rest();
        let packet = codec::read(id, handle, start, wide);
        Ok(self.follow(id, packet, key, Waiting::Inspect { key, gather: Box::new(gather) }))
    }

    fn write(&mut self, id: u32, packet: &Bytes, handle: &[u8], offset: u64, data: &[u8]) -> Result<Next, No> {
        let (key, open) = self.handle("write", handle)?;
        if !open.writable() {
            return Err(No::new(Code::Failure, "invalid handle: not open for writing", about("write", open)));
        }
        if let Some(open) = self.handles.of_mut(key) {
            open.upload.sent(offset, data);
        }
        Ok(self.follow(id, packet.clone(), key, Waiting::Write { key, count: data.len() as u64 }))
    }

    /// Between two files of the upstream: what is read does not come by here.
    fn copy(&mut self, id: u32, packet: &Bytes, from: &[u8], to: &[u8]) -> Result<Next, No> {
        let (_, source) = self.handle("copy-data", from)?;
        let (key, target) = self.handle("copy-data", to)?;
        if !source.readable() || !target.writable() {
            return Err(No::new(Code::Failure, "invalid handle: not open for this", about("copy-data", target)));
        }
        if let Some(open) = self.handles.of_mut(key) {
            open.upload.failed();
        }
        Ok(self.follow(id, packet.clone(), key, Waiting::Reply(Shape::Status)))
    }
}

fn about(verb: &str, open: &Open) -> String {
    format!("sftp {verb} {}", shown(open.file.name.as_bytes()))
}

fn usable(verb: &str, paths: &[&[u8]]) -> Result<(), No> {
    match paths.iter().find_map(|path| paths::unusable(path)) {
        Some(why) => Err(No::new(Code::BadMessage, why, format!("sftp {verb}"))),
        None => Ok(()),
    }
}

/// The name of an extended request.
fn extension_name(packet: &[u8]) -> Option<&[u8]> {
    let (kind, mut reader) = codec::open(packet, "a request").ok()?;
    reader.u32().ok()?;
    codec::string(&mut reader).ok().filter(|_| kind == kind::EXTENDED)
}

fn extension(packet: &[u8]) -> String {
    let name = extension_name(packet).unwrap_or_default();
    format!("sftp {}", shown(name.get(..64).unwrap_or(name)))
}

const fn path_shape(verb: PathVerb) -> Shape {
    match verb {
        PathVerb::Lstat | PathVerb::Stat => Shape::Attrs,
        PathVerb::Opendir => Shape::Handle,
        PathVerb::Readlink | PathVerb::Realpath | PathVerb::ExpandPath => Shape::Names { one: true },
        PathVerb::Statvfs => Shape::FileSystem,
        PathVerb::Remove | PathVerb::Rmdir => Shape::Status,
    }
}

const fn own_shape(verb: SelfVerb) -> Shape {
    match verb {
        SelfVerb::Limits => Shape::Limits,
        SelfVerb::HomeDirectory => Shape::Names { one: true },
        SelfVerb::UsersGroups => Shape::Accounts,
    }
}

// A whole packet always fits what may be buffered.
const _: () = assert!(LONGEST + 4 < 4 * LONGEST, "a whole packet can be waited for");
