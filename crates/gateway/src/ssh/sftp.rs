//! A program that speaks SFTP: each operation is decided before it goes upstream.
//!
//! Three tasks: the channel's own takes the caller's bytes ([`Desk::take`]), one decides and sends ([`drive`]), one
//! shows the answers ([`output`]). So packets leave in the order in which they were decided, and only one task
//! writes to the caller.
use super::{
    flow::{self, Far, Near},
    inbox::Item,
    program::{self, Shared},
    session::{Asked, Gone, Session, Told},
};
use crate::{live::LOOK, services::now};
use doorward_detect::TypeSet;
use doorward_enforce::{GatewayMessage, Refusal, RefusalKind, UpstreamQueue};
use doorward_model::AuditKind;
use doorward_ssh::shown::Around;
use doorward_ssh::{
    codec::Stream,
    facts::Meaning,
    render,
    replay::{self, Decided, FileDirection},
    sftp::{Direction, Event, Fault, Next, Operation, Refused, Sftp},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

/// What the tasks of one SFTP channel share.
pub(crate) struct Desk {
    sftp: Mutex<Sftp>,
    /// There may be something to decide or to send.
    work: Notify,
    /// There may be something to show.
    answers: Notify,
    /// There may be room for more of the caller's bytes.
    room: Notify,
    ended: AtomicBool,
}

impl Desk {
    pub(crate) fn new(session: &Session) -> Self {
        Self {
            sftp: Mutex::new(Sftp::new(session.login, program::contents(session, &session.live.hidden()))),
            work: Notify::new(),
            answers: Notify::new(),
            room: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// Takes bytes of the caller's, once there is room for them.
    pub(crate) async fn take(&self, session: &Session, near: &Near, bytes: &[u8]) -> Result<(), Gone> {
        loop {
            if self.sftp.lock().wants_client() {
                break;
            }
            tokio::select! {
                () = self.room.notified() => {}
                () = near.inbox.closed() => return Err(Gone),
                () = session.live.ended() => return Err(Gone),
            }
        }
        let taken = self.sftp.lock().handle_client(bytes);
        self.work.notify_one();
        self.answers.notify_one();
        // The fault is told to the task that decides, which ends the channel.
        let _told_again_there = taken;
        Ok(())
    }

    pub(crate) fn no_more_input(&self) {
        self.ended.store(true, Ordering::Release);
        self.work.notify_one();
    }

    fn next(&self) -> Result<Next, Fault> {
        let next = self.sftp.lock().next();
        self.room.notify_one();
        next
    }
}

/// Decides operations and sends them upstream.
async fn drive(shared: &Shared, desk: &Desk) -> Result<(), Gone> {
    let mut looks = shared.session.live.looks();
    let mut judged = tokio::time::Instant::now();
    loop {
        let changed = looks.has_changed().is_ok_and(|changed| changed);
        // While it is busy the clock moves on, too.
        if changed || judged.elapsed() >= LOOK {
            looks.mark_unchanged();
            judge_anew(&shared.session, desk);
            judged = tokio::time::Instant::now();
        }
        if let Err(fault) = work(shared, desk).await? {
            return fail(shared, &fault).await;
        }
        desk.answers.notify_one();
        if desk.ended.load(Ordering::Acquire) {
            shared.far.end.eof().await?;
            return Ok(());
        }
        tokio::select! {
            () = desk.work.notified() => {}
            _look = looks.changed() => judge_anew(&shared.session, desk),
            () = tokio::time::sleep(LOOK), if desk.sftp.lock().has_open_handles() => {}
        }
    }
}

async fn work(shared: &Shared, desk: &Desk) -> Result<Result<(), Fault>, Gone> {
    let Shared { session, near, far, .. } = shared;
    let mut queue = UpstreamQueue::new();
    loop {
        let next = match desk.next() {
            Ok(next) => next,
            Err(fault) => return Ok(Err(fault)),
        };
        match next {
            Next::Greet { packet } => queue.push_own(&GatewayMessage::authored(&packet)),
            Next::Follow { packet, handle } => {
                if let Some(permit) = desk.sftp.lock().stream_permit(handle) {
                    queue.push_stream(permit, &packet);
                }
            }
            Next::Decide(operation) => {
                // What came before it does not wait for people.
                send(session, near, far, &mut queue).await?;
                decide(shared, desk, operation).await?;
            }
            Next::Refused(refused) => note(session, &refused),
            Next::Idle => break,
        }
        if queue.len() > 256 * 1024 {
            send(session, near, far, &mut queue).await?;
        }
    }
    send(session, near, far, &mut queue).await?;
    Ok(Ok(()))
}

async fn send(session: &Session, near: &Near, far: &Far, queue: &mut UpstreamQueue) -> Result<(), Gone> {
    if queue.is_empty() {
        return Ok(());
    }
    let bytes = session.release(queue).await?;
    far.pass(session, near, bytes).await
}

async fn decide(shared: &Shared, desk: &Desk, operation: Operation) -> Result<(), Gone> {
    let Shared { session, near, far, .. } = shared;
    let Operation { facts, statement, packet } = operation;
    let meaning = Meaning { facts, statement, protocol: None };
    let told = Told { channel: near.number, caller: &near.end, inbox: &near.inbox, terminal: false, aloud: true };
    match session
        .decide(Asked { via: "sftp", meaning: &meaning, payload: &packet, around: Around::default() }, &told)
        .await
    {
        Ok(permit) => {
            desk.sftp.lock().allowed(permit.stream());
            let bytes = session.redeem(permit, &packet).await?;
            far.pass(session, near, bytes).await
        }
        Err(refusal) => {
            desk.sftp.lock().refused(&render::refusal_line(&refusal));
            desk.answers.notify_one();
            // Most clients show nothing of the answer but its kind.
            session.say(&told, &render::refusal(&refusal, false)).await
        }
    }
}

/// What the machine refused by itself is written down.
fn note(session: &Session, refused: &Refused) {
    let meaning =
        Meaning { facts: Arc::clone(&refused.facts), statement: Arc::clone(&refused.statement), protocol: None };
    let message = format!("refused: {}", refused.what);
    let refusal = Refusal { kind: RefusalKind::NotUnderstood, message, detail: None, hint: None };
    session
        .refuse(Asked { via: "sftp", meaning: &meaning, payload: &refused.packet, around: Around::default() }, refusal);
}

/// Policies have changed: files that are open may no longer be, and what is hidden may be something else.
fn judge_anew(session: &Session, desk: &Desk) {
    let hidden: TypeSet = program::contents(session, &session.live.hidden()).hidden;
    let mut sftp = desk.sftp.lock();
    sftp.hide(hidden);
    for handle in sftp.open_handles() {
        let Some(permit) = sftp.stream_permit(handle) else { continue };
        let still = session.live.enforcer.lock().still_allows(permit, now());
        if let Err(refusal) = still {
            sftp.revoke(handle, &render::refusal_line(&refusal));
        }
    }
}

async fn fail(shared: &Shared, fault: &Fault) -> Result<(), Gone> {
    let Shared { session, near, .. } = shared;
    let who = match fault {
        Fault::ClientMisbehaved { .. } => "client",
        Fault::UpstreamMisbehaved { .. } => "upstream",
        Fault::Bug { .. } => "gateway",
    };
    session.endpoint.note_fault(Some(session.live.id), who, &fault.to_string());
    let text = render::notice(&format!("the transfer ends: {fault}"), false);
    near.show(session, Stream::Error, text.as_bytes()).await?;
    Err(Gone)
}

/// Runs the channel's two other tasks until both sides are done.
pub(crate) async fn output(shared: Shared, desk: Arc<Desk>) {
    // Whoever ends first ends the channel, but for the caller's end of input: answers may still come.
    let driving = async {
        if drive(&shared, &desk).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let (session, permit) = (Arc::clone(&shared.session), Arc::clone(&shared.permit));
    let revoked = tokio::select! {
        () = driving => None,
        _over = show(&shared, &desk) => None,
        refusal = session.revoked(&permit) => Some(refusal),
    };
    if let Some(refusal) = revoked {
        program::stop(&shared, &refusal).await;
    }
    desk.sftp.lock().end();
    report(&shared, &desk);
    let _gone = shared.near.end.close().await;
    let _gone = shared.far.end.close().await;
}

/// Shows the answers to the caller.
async fn show(shared: &Shared, desk: &Desk) -> Result<(), Gone> {
    let Shared { session, near, far, .. } = shared;
    // The end of output waits for the exit status: PuTTY closes the channel as soon as it sees that end.
    let mut eof_due = false;
    loop {
        let wants = desk.sftp.lock().wants_upstream();
        let item = tokio::select! {
            item = far.inbox.next(), if wants => Some(item),
            () = desk.answers.notified() => None,
        };
        match item {
            Some(Item::Data(Stream::Data, bytes)) => {
                // The fault is told to the task that decides, which ends the channel.
                let _told_again_there = desk.sftp.lock().handle_upstream(&bytes);
                show_answers(shared, desk).await?;
                desk.work.notify_one();
                flow::grant(&far.end, bytes.len()).await?;
            }
            Some(Item::Data(Stream::Error, bytes)) => {
                near.show(session, Stream::Error, &bytes).await?;
                flow::grant(&far.end, bytes.len()).await?;
            }
            Some(Item::Exit(status)) => {
                program::exit(shared, status).await?;
                if std::mem::take(&mut eof_due) {
                    near.end.eof().await?;
                }
            }
            Some(Item::ExitSignal { signal, core_dumped, message }) => {
                program::exit_signal(shared, signal, core_dumped, message).await?;
            }
            Some(Item::Eof) => eof_due = true,
            Some(Item::Closed) => return show_answers(shared, desk).await,
            Some(Item::Request(_)) => {}
            None => show_answers(shared, desk).await?,
        }
    }
}

async fn show_answers(shared: &Shared, desk: &Desk) -> Result<(), Gone> {
    report(shared, desk);
    let bytes = desk.sftp.lock().to_client().split();
    if !bytes.is_empty() {
        shared.near.show(&shared.session, Stream::Data, &bytes).await?;
        // There is room again: what waited for it goes on.
        desk.work.notify_one();
    }
    Ok(())
}

/// Writes down what was transferred, and what was withheld.
fn report(shared: &Shared, desk: &Desk) {
    let Shared { session, near, .. } = shared;
    let channel = Some(near.number);
    loop {
        let event = desk.sftp.lock().event();
        match event {
            Some(Event::Transferred(t)) => {
                let direction = match t.direction {
                    Direction::Download => FileDirection::Download,
                    Direction::Upload => FileDirection::Upload,
                };
                let (path, sha256) = (t.path.to_string(), t.sha256.map(hex::encode));
                let copied = AuditKind::FileCopied {
                    path: path.clone(),
                    direction: direction.as_str().into(),
                    bytes: t.bytes,
                    sha256: sha256.clone(),
                };
                if let Err(refusal) = session.live.enforcer.lock().note(copied, now()) {
                    tracing::error!(session = %session.live.id, "an entry is not in the audit log: {}", refusal.message);
                }
                session.event(&replay::Event::File { channel, path, direction, bytes: t.bytes, sha256 });
            }
            Some(Event::Withheld { path, found, offset }) => {
                let what = format!("a value of type `{}` was found in `{path}` at {offset}: withheld", found.as_str());
                session.endpoint.note_fault(Some(session.live.id), "policy", &what);
                session.event(&replay::Event::Decided { channel, outcome: Decided::Refuse, reason: Some(what) });
            }
            None => return,
        }
    }
}
