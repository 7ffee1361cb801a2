//! A program that runs upstream: what goes to it and what comes from it.
use super::{
    flow::{self, Far, Near},
    inbox::Item,
    session::{Gone, Session},
    sftp::{self, Desk},
};
use crate::live::HiddenTypes;
use doorward_detect::{StreamMasker, TypeSet};
use doorward_enforce::{Refusal, StreamPermit};
use doorward_model::DataType;
use doorward_ssh::{
    Protocol,
    codec::Stream,
    render,
    replay::{Decided, Event},
    sftp::ContentCheck,
    transfer::Inspector,
};
use russh::{Sig, server::Handle};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::task::JoinHandle;

/// A program that wrote nothing for so long waits for somebody: a prompt must be seen.
const PAUSE: Duration = Duration::from_millis(8);
/// What may be the beginning of a value is not kept back longer than this.
const OVERDUE: Duration = Duration::from_millis(500);

/// What a key leads to at once is no longer than this, in bytes.
const LONGEST_ECHO: usize = 256;

/// How long the end of output waits for the exit status. Some clients (PuTTY) close the channel at once when
/// they see that end, and what comes after is lost to them; servers send both together.
const STATUS: Duration = Duration::from_millis(200);

/// How long a caller may take to hear why a program was ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// What both directions of a program use.
pub(crate) struct Shared {
    pub(crate) session: Arc<Session>,
    pub(crate) handle: Handle,
    pub(crate) near: Arc<Near>,
    pub(crate) far: Arc<Far>,
    /// What allowed it.
    pub(crate) permit: Arc<StreamPermit>,
    pub(crate) terminal: bool,
}

/// Where a program's input goes.
pub(crate) enum Input {
    /// As it is: the command was decided, and its input is part of it.
    Plain,
    /// To where each operation is decided.
    Sftp(Arc<Desk>),
}

impl Input {
    pub(crate) async fn take(
        &mut self,
        session: &Session,
        near: &Near,
        far: &Far,
        permit: &StreamPermit,
        bytes: &[u8],
    ) -> Result<(), Gone> {
        match self {
            Self::Plain => {
                near.typed.store(true, Ordering::Relaxed);
                far.send(session, near, permit, bytes).await
            }
            Self::Sftp(desk) => desk.take(session, near, bytes).await,
        }
    }

    /// The caller has no more input.
    pub(crate) async fn end(&self, far: &Far) -> Result<(), Gone> {
        match self {
            Self::Plain => Ok(far.end.eof().await?),
            Self::Sftp(desk) => {
                desk.no_more_input();
                Ok(())
            }
        }
    }
}

/// What a stream goes through on its way to the caller.
enum Filter {
    /// The caller may see everything.
    Clear,
    Masked(Box<StreamMasker>),
    /// Bytes that cannot be changed: they go, or the stream ends.
    Inspected(Box<Inspector>),
}

impl Filter {
    fn masked(session: &Session, hidden: &HiddenTypes) -> Self {
        let rules: Vec<_> = hidden.rules.iter().map(|(kind, rule)| (*kind, rule.operator.clone())).collect();
        if rules.is_empty() {
            return Self::Clear;
        }
        let services = &session.endpoint.services;
        let (detector, masker) = (Arc::clone(&services.detector), Arc::clone(&services.masker));
        Self::Masked(Box::new(StreamMasker::new(detector, masker, rules.into())))
    }

    fn inspected(session: &Session, hidden: &HiddenTypes) -> Self {
        Self::Inspected(Box::new(Inspector::new(contents(session, hidden))))
    }

    fn hold_back(&self) -> usize {
        match self {
            Self::Clear => 0,
            Self::Masked(m) => m.hold_back(),
            Self::Inspected(i) => i.hold_back(),
        }
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DataType> {
        match self {
            Self::Clear => out.extend_from_slice(bytes),
            Self::Masked(m) => m.push(bytes, out),
            Self::Inspected(i) => i.push(bytes, out)?,
        }
        Ok(())
    }

    fn pause(&mut self, overdue: bool, out: &mut Vec<u8>) -> Result<(), DataType> {
        match self {
            Self::Clear => {}
            Self::Masked(m) if overdue => m.force(out),
            Self::Masked(m) => m.flush(out),
            Self::Inspected(i) => i.flush(out)?,
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DataType> {
        match self {
            Self::Clear => {}
            Self::Masked(m) => m.finish(out),
            Self::Inspected(i) => i.flush(out)?,
        }
        Ok(())
    }
}

/// What a program wrote, all of it, as the caller may see it.
pub(crate) fn masked(session: &Session, bytes: &[u8]) -> Vec<u8> {
    let (mut filter, mut out) = (Filter::masked(session, &session.live.hidden()), Vec::new());
    // Only what cannot be masked is refused.
    let _never_refused = filter.push(bytes, &mut out).and_then(|()| filter.finish(&mut out));
    out
}

/// What the caller may not see in files.
pub(crate) fn contents(session: &Session, hidden: &HiddenTypes) -> ContentCheck {
    let hidden: TypeSet = hidden.rules.iter().map(|(kind, _)| *kind).collect();
    ContentCheck { detector: Arc::clone(&session.endpoint.services.detector), hidden }
}

/// Takes up a program that was started: its output flows from now on.
pub(crate) fn start(shared: Shared, protocol: Option<Protocol>) -> (Input, JoinHandle<()>) {
    // Before filters are made: what changes between the two is noticed then.
    let hidden = shared.session.live.hidden();
    match protocol {
        Some(Protocol::Sftp) => {
            let desk = Arc::new(Desk::new(&shared.session));
            (Input::Sftp(Arc::clone(&desk)), tokio::spawn(sftp::output(shared, desk)))
        }
        Some(
            Protocol::ScpSink
            | Protocol::ScpSource
            | Protocol::Rsync
            | Protocol::GitUploadPack
            | Protocol::GitReceivePack,
        ) => {
            let filter = Filter::inspected(&shared.session, &hidden);
            (Input::Plain, tokio::spawn(output(shared, filter, hidden)))
        }
        None => {
            let filter = Filter::masked(&shared.session, &hidden);
            (Input::Plain, tokio::spawn(output(shared, filter, hidden)))
        }
    }
}

async fn output(shared: Shared, data: Filter, hidden: HiddenTypes) {
    let error = Filter::masked(&shared.session, &hidden);
    let mut output = Output { shared, data, error, hidden, quiet: Quiet::No, eof_due: false };
    let (session, permit) = (Arc::clone(&output.shared.session), Arc::clone(&output.shared.permit));
    let revoked = tokio::select! {
        _over = output.carry() => None,
        refusal = session.revoked(&permit) => Some(refusal),
    };
    if let Some(refusal) = revoked {
        stop(&output.shared, &refusal).await;
    }
    let _gone = output.shared.near.end.close().await;
    let _gone = output.shared.far.end.close().await;
}

/// Ends a program that may no longer run: the caller is told why.
pub(crate) async fn stop(shared: &Shared, refusal: &Refusal) {
    let Shared { session, near, far, terminal, .. } = shared;
    session.note_revoked(near.number, refusal);
    let _gone = far.end.signal(Sig::TERM).await;
    let text = render::refusal(refusal, *terminal);
    let tell = async {
        near.show(session, Stream::Error, text.as_bytes()).await?;
        exit(shared, render::REFUSED).await?;
        Ok::<_, Gone>(near.end.eof().await?)
    };
    // A caller who does not read is not waited for.
    let _told = tokio::time::timeout(FAREWELL, tell).await;
}

struct Output {
    shared: Shared,
    data: Filter,
    error: Filter,
    /// What was hidden when the filters were made.
    hidden: HiddenTypes,
    quiet: Quiet,
    /// The upstream has ended its output, and the caller does not know yet.
    eof_due: bool,
}

/// How long nothing has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    No,
    ForAPause,
    /// So long that all is out that can be.
    Overdue,
}

impl Output {
    async fn carry(&mut self) -> Result<(), Gone> {
        loop {
            let far = Arc::clone(&self.shared.far);
            let waiting = self.quiet != Quiet::Overdue && self.data.hold_back() + self.error.hold_back() > 0;
            let item = tokio::select! {
                biased;
                item = far.inbox.next() => item,
                () = tokio::time::sleep(STATUS), if self.eof_due => {
                    self.pass_eof().await?;
                    continue;
                }
                () = tokio::time::sleep(self.patience()), if waiting => {
                    self.pause().await?;
                    continue;
                }
            };
            self.quiet = Quiet::No;
            match item {
                Item::Data(stream, bytes) => self.data(stream, &bytes).await?,
                Item::Exit(status) => {
                    self.finish().await?;
                    exit(&self.shared, status).await?;
                    self.pass_eof().await?;
                }
                Item::ExitSignal { signal, core_dumped, message } => {
                    self.finish().await?;
                    exit_signal(&self.shared, signal, core_dumped, message).await?;
                    self.pass_eof().await?;
                }
                Item::Eof => {
                    self.finish().await?;
                    self.eof_due = true;
                }
                Item::Closed => {
                    self.finish().await?;
                    return self.pass_eof().await;
                }
                // The upstream asks for nothing on a channel; the library does not pass it on.
                Item::Request(_) => {}
            }
        }
    }

    async fn pass_eof(&mut self) -> Result<(), Gone> {
        if std::mem::take(&mut self.eof_due) {
            self.shared.near.end.eof().await?;
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        if self.quiet == Quiet::No { PAUSE } else { OVERDUE }
    }

    async fn data(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Gone> {
        self.follow_policy().await?;
        let mut out = Vec::with_capacity(bytes.len());
        let filter = if stream == Stream::Data { &mut self.data } else { &mut self.error };
        let pushed = filter.push(bytes, &mut out);
        self.shared.near.show(&self.shared.session, stream, &out).await?;
        self.checked(pushed).await?;
        self.echo(bytes.len()).await?;
        flow::grant(&self.shared.far.end, bytes.len()).await
    }

    /// The echo of a key does not wait to see whether more comes: what can be the beginning of a value still does.
    async fn echo(&mut self, length: usize) -> Result<(), Gone> {
        let Shared { near, terminal, .. } = &self.shared;
        if *terminal && length <= LONGEST_ECHO && near.typed.swap(false, Ordering::Relaxed) {
            return self.pause().await;
        }
        Ok(())
    }

    /// What may be seen is for the policy of the moment to say.
    async fn follow_policy(&mut self) -> Result<(), Gone> {
        let session = Arc::clone(&self.shared.session);
        let live = &session.live;
        if !live.is_stale(&self.hidden) {
            return Ok(());
        }
        let now = live.hidden();
        if now.is_as(&self.hidden) {
            self.hidden = now;
            return Ok(());
        }
        self.finish().await?;
        // Filters are made of what is known to be hidden, so that any change of it is noticed.
        self.hidden = live.hidden();
        self.error = Filter::masked(&self.shared.session, &self.hidden);
        self.data = match self.data {
            Filter::Inspected(_) => Filter::inspected(&self.shared.session, &self.hidden),
            Filter::Clear | Filter::Masked(_) => Filter::masked(&self.shared.session, &self.hidden),
        };
        Ok(())
    }

    async fn pause(&mut self) -> Result<(), Gone> {
        let overdue = self.quiet == Quiet::ForAPause;
        self.quiet = if overdue { Quiet::Overdue } else { Quiet::ForAPause };
        let mut out = Vec::new();
        let paused = self.data.pause(overdue, &mut out);
        self.shared.near.show(&self.shared.session, Stream::Data, &out).await?;
        self.checked(paused).await?;
        out.clear();
        let paused = self.error.pause(overdue, &mut out);
        self.shared.near.show(&self.shared.session, Stream::Error, &out).await?;
        self.checked(paused).await
    }

    async fn finish(&mut self) -> Result<(), Gone> {
        let mut out = Vec::new();
        let finished = self.data.finish(&mut out);
        self.shared.near.show(&self.shared.session, Stream::Data, &out).await?;
        self.checked(finished).await?;
        out.clear();
        let finished = self.error.finish(&mut out);
        self.shared.near.show(&self.shared.session, Stream::Error, &out).await?;
        self.checked(finished).await
    }

    /// A value that may not be seen, in bytes that cannot be changed: the program ends here.
    async fn checked(&self, result: Result<(), DataType>) -> Result<(), Gone> {
        let Err(found) = result else { return Ok(()) };
        let Shared { session, near, .. } = &self.shared;
        let what = format!("a value of type `{}` was found in what is transferred", found.as_str());
        let reason = Some(what.clone());
        session.event(&Event::Decided { channel: Some(near.number), outcome: Decided::Refuse, reason });
        session.endpoint.note_fault(Some(session.live.id), "policy", &what);
        let text = render::notice(&format!("refused: {what}; a masked file would be another file"), false);
        near.show(session, Stream::Error, text.as_bytes()).await?;
        exit(&self.shared, render::REFUSED).await?;
        Err(Gone)
    }
}

pub(crate) async fn exit(shared: &Shared, status: u32) -> Result<(), Gone> {
    let Shared { session, near, .. } = shared;
    session.event(&Event::Exit { channel: Some(near.number), status });
    Ok(near.end.exit_status(status).await?)
}

pub(crate) async fn exit_signal(shared: &Shared, signal: Sig, core_dumped: bool, message: String) -> Result<(), Gone> {
    let Shared { session, near, handle, .. } = shared;
    session.event(&Event::ExitSignal { channel: Some(near.number), signal: format!("{signal:?}") });
    handle.exit_signal_request(near.id, signal, core_dumped, message, String::new()).await.map_err(|()| Gone)
}
