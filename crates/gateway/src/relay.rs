//! Joins a session with its two sockets.
//!
//! One task polls everything: bytes of both sides, the audit log, the recording, what other tasks
//! send. Neither direction waits for the other, so a pipeline of any length with answers of any
//! size cannot deadlock.
use crate::{
    registry::Control,
    secret::Lent,
    services::{Services, now},
    stream::Stream,
};
use bytes::{Buf as _, BytesMut};
use doorward_enforce::{ApprovalRequest, ProtocolSession, SessionEnd, SessionEvent};
use doorward_model::{AuditKind, SessionId, Timestamp};
use doorward_record::{Direction, Recording};
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{io::AsyncWrite as _, sync::mpsc};

/// How much is read at once. Shared by all sessions of a worker: an idle session keeps none.
const CHUNK: usize = 64 * 1024;
/// Bytes that may leave wait for those behind them while there are fewer than this.
const TOGETHER: usize = 16 * 1024;
/// How long a client may take for the last bytes of a session that is over.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Rounds of a poll before other sessions get their turn.
const ROUNDS: usize = 32;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// What a protocol does for its sessions outside of them.
pub(crate) trait Driver: Send {
    /// Its sessions.
    type Session: ProtocolSession;

    /// What the gateway has for all.
    fn services(&self) -> &Services;
    /// Sets to work on what a session asks; the answer is sent when it is there. Why not, where it cannot.
    fn ask(&self, question: Question<Self>, tell: mpsc::UnboundedSender<Answer<Self>>) -> Result<(), String>;
    /// Asks the upstream to cancel what it is doing.
    fn cancel_upstream(&self);
}

type Question<D> = <<D as Driver>::Session as ProtocolSession>::Question;
type Answer<D> = <<D as Driver>::Session as ProtocolSession>::Answer;

/// A session with its sockets, after log-in.
pub(crate) struct Joined<S> {
    pub(crate) id: SessionId,
    pub(crate) client: Stream,
    pub(crate) upstream: Stream,
    pub(crate) session: S,
    pub(crate) recording: Recording,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) to_self: mpsc::UnboundedSender<Control>,
    /// The number by which callers cancel.
    pub(crate) process_id: u32,
    /// When the identity ends.
    pub(crate) expires: Timestamp,
    /// With what the upstream's stream is logged in.
    pub(crate) lent: Lent,
}

/// How a relay ended, for the audit log.
struct Finished(String);

struct Relay<D: Driver> {
    driver: D,
    joined: Joined<D::Session>,
    answers: mpsc::UnboundedReceiver<Answer<D>>,
    answer: mpsc::UnboundedSender<Answer<D>>,
    /// Bytes for the client that are recorded and on their way.
    outgoing: BytesMut,
    deadline: Pin<Box<tokio::time::Sleep>>,
    generation: u64,
    unhealthy: bool,
    /// A cancel request waits for what was sent before it.
    cancel_due: bool,
    upstream_closed: bool,
    finished: Option<String>,
    client_bytes: u64,
    upstream_bytes: u64,
}

/// Runs a session to its end.
pub(crate) async fn run<D: Driver>(driver: D, joined: Joined<D::Session>) {
    let lasts = joined.expires.since(now());
    let (answer, answers) = mpsc::unbounded_channel();
    let mut relay = Relay {
        generation: joined.session.generation(),
        driver,
        joined,
        answers,
        answer,
        outgoing: BytesMut::new(),
        deadline: Box::pin(tokio::time::sleep(lasts)),
        unhealthy: false,
        cancel_due: false,
        upstream_closed: false,
        finished: None,
        client_bytes: 0,
        upstream_bytes: 0,
    };
    let Finished(reason) = poll_fn(|cx| relay.poll(cx)).await;
    relay.close(reason).await;
}

/// Records what a client sent, but for its secrets.
fn record_client(recording: &Recording, now: Timestamp, bytes: &[u8], secrets: &[Range<usize>]) {
    let mut from = 0;
    for secret in secrets {
        if let Some(before) = bytes.get(from..secret.start).filter(|b| !b.is_empty()) {
            recording.frame(Direction::Client, now, before);
        }
        recording.redacted(Direction::Client, now, secret.len() as u64, "identity token or proof");
        from = secret.end;
    }
    if let Some(rest) = bytes.get(from..).filter(|b| !b.is_empty()) {
        recording.frame(Direction::Client, now, rest);
    }
}

impl<D: Driver> Relay<D> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        for _ in 0..ROUNDS {
            let now = now();
            let mut progress = self.poll_control(cx, now);
            self.check_recording(now);
            match self.poll_client(cx, now) {
                Ok(moved) => progress |= moved,
                Err(reason) => return Poll::Ready(Finished(reason)),
            }
            progress |= self.poll_upstream(cx, now);
            progress |= self.take_events(now);
            progress |= self.write_upstream(cx, now);
            progress |= self.pass_cancel(now);
            match self.write_client(cx, now) {
                Ok(moved) => progress |= moved,
                Err(reason) => return Poll::Ready(Finished(reason)),
            }
            if self.is_over() || self.has_given_up(cx) {
                return Poll::Ready(Finished(self.finished.take().unwrap_or_else(|| "upstream closed".into())));
            }
            if !progress {
                return Poll::Pending;
            }
        }
        // Others have been waiting for this worker.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Over once the session has ended and what it had to say is on its way.
    fn is_over(&mut self) -> bool {
        self.finished.is_some()
            && self.outgoing.is_empty()
            && self.joined.session.to_client().is_empty()
            && (self.upstream_closed || self.joined.session.to_upstream().is_empty())
    }

    /// Whether what is left to say has waited too long: a client that does not read must not keep its session.
    fn has_given_up(&mut self, cx: &mut Context<'_>) -> bool {
        self.finished.is_some() && self.deadline.as_mut().poll(cx).is_ready()
    }

    fn finish(&mut self, reason: String) {
        self.finished = Some(reason);
        self.deadline.as_mut().reset(tokio::time::Instant::now() + LAST_WORDS);
    }

    fn poll_control(&mut self, cx: &mut Context<'_>, now: Timestamp) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(message)) = self.joined.control.poll_recv(cx) {
            progress = true;
            match message {
                Control::Verdict(id, verdict) => self.joined.session.handle_verdict(id, verdict, now),
                Control::Cancel => self.cancel_due = true,
                Control::CheckWelcome => self.joined.session.check_welcome(now),
                Control::Shut(message) => self.joined.session.shut(&message, now),
            }
        }
        while let Poll::Ready(Some(answer)) = self.answers.poll_recv(cx) {
            progress = true;
            self.joined.session.handle_answer(answer, now);
        }
        if self.generation != self.joined.session.generation() {
            self.generation = self.joined.session.generation();
            self.joined.session.check_welcome(now);
        }
        if self.finished.is_none() && self.deadline.as_mut().poll(cx).is_ready() {
            self.joined.session.check_welcome(now);
            self.deadline.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(1));
            progress = true;
        }
        progress
    }

    /// A cancel request came after the statements it is meant for, on another connection: it must not
    /// overtake those that are still read here or wait for their audit entry.
    fn pass_cancel(&mut self, now: Timestamp) -> bool {
        let committed = self.driver.services().audit.committed();
        if !self.cancel_due
            || self.joined.session.is_reading()
            || self.joined.session.to_upstream().waits_for(committed).is_some()
        {
            return false;
        }
        self.cancel_due = false;
        self.joined.session.handle_cancel(now);
        true
    }

    /// While the recording cannot be written, requests are refused.
    fn check_recording(&mut self, _now: Timestamp) {
        match self.joined.recording.health() {
            Ok(()) if self.unhealthy => {
                self.unhealthy = false;
                self.joined.session.suspend(None);
            }
            Ok(()) => {}
            Err(why) => {
                self.unhealthy = true;
                self.joined.session.suspend(Some(format!("the recording cannot be written: {why}")));
            }
        }
    }

    fn poll_client(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Result<bool, String> {
        if self.finished.is_some() || !self.joined.session.wants_client() {
            return Ok(false);
        }
        // While the disk is full a request is read all the same: it is refused, which the caller hears. What finds no
        // place in the recording is a gap there.
        let is_full = self.joined.recording.poll_ready(cx).is_pending();
        if is_full && !(self.unhealthy && self.joined.session.is_at_rest()) {
            return Ok(false);
        }
        SCRATCH.with_borrow_mut(|scratch| match self.joined.client.poll_read_into(cx, scratch) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(n)) if n > 0 => {
                let bytes = scratch.get(..n).unwrap_or_default();
                self.client_bytes += n as u64;
                record_client(&self.joined.recording, now, bytes, &self.joined.session.secrets(bytes));
                self.joined.session.handle_client(bytes, now);
                Ok(true)
            }
            Poll::Ready(ended) => {
                self.joined.session.handle_client_gone();
                self.take_events(now);
                Err(match ended {
                    Ok(_) => "the client closed the connection".into(),
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => "the client closed the connection".into(),
                    Err(e) => format!("the client's connection failed: {e}"),
                })
            }
        })
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>, now: Timestamp) -> bool {
        if self.upstream_closed
            || !self.joined.session.wants_upstream()
            || self.joined.recording.poll_ready(cx).is_pending()
        {
            return false;
        }
        SCRATCH.with_borrow_mut(|scratch| match self.joined.upstream.poll_read_into(cx, scratch) {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => {
                self.joined.session.handle_upstream(scratch.get(..n).unwrap_or_default(), now);
                true
            }
            Poll::Ready(_) => {
                self.upstream_closed = true;
                if self.finished.is_none() {
                    self.joined.session.handle_upstream_gone(now);
                    self.finish("the upstream closed the connection".into());
                }
                true
            }
        })
    }

    fn write_upstream(&mut self, cx: &mut Context<'_>, now: Timestamp) -> bool {
        let mut progress = false;
        let audit = Arc::clone(&self.driver.services().audit);
        while !self.upstream_closed {
            let queue = self.joined.session.to_upstream();
            let committed = audit.committed();
            let waits_for = queue.waits_for(committed);
            let ready = queue.ready(committed);
            // A little that may leave goes with what follows it: one send, and the server wakes once.
            if let Some(ticket) = waits_for.filter(|_| ready.len() < TOGETHER) {
                match audit.poll_committed(ticket, cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(e)) => {
                        self.upstream_closed = true;
                        self.joined.session.shut(&format!("nothing more was sent to the database: {e}"), now);
                        return true;
                    }
                }
            }
            if ready.is_empty() {
                break;
            }
            match Pin::new(&mut self.joined.upstream).poll_write(cx, ready) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.joined.session.to_upstream().sent(n);
                    progress = true;
                }
                Poll::Ready(_) => {
                    self.upstream_closed = true;
                    return true;
                }
                Poll::Pending => break,
            }
        }
        if self.joined.upstream.is_tls() && !self.upstream_closed {
            let _later = Pin::new(&mut self.joined.upstream).poll_flush(cx);
        }
        if progress {
            // Room was made: requests that waited for it are read.
            self.joined.session.pump(now);
        }
        progress
    }

    fn write_client(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Result<bool, String> {
        let mut progress = false;
        loop {
            if self.outgoing.is_empty() {
                if self.joined.session.to_client().is_empty() {
                    break;
                }
                self.outgoing = std::mem::take(self.joined.session.to_client());
                self.upstream_bytes += self.outgoing.len() as u64;
                self.joined.recording.frame(Direction::Upstream, now, &self.outgoing);
            }
            match Pin::new(&mut self.joined.client).poll_write(cx, &self.outgoing) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.outgoing.advance(n);
                    if self.outgoing.is_empty() {
                        self.outgoing = BytesMut::new();
                    }
                    progress = true;
                }
                Poll::Ready(_) => {
                    self.joined.session.handle_client_gone();
                    self.take_events(now);
                    return Err("the client closed the connection".into());
                }
                Poll::Pending => break,
            }
        }
        if self.joined.client.buffers() {
            let _later = Pin::new(&mut self.joined.client).poll_flush(cx);
        }
        Ok(progress)
    }

    fn take_events(&mut self, now: Timestamp) -> bool {
        let mut progress = false;
        while let Some(event) = self.joined.session.poll_event() {
            progress = true;
            match event {
                SessionEvent::Hold(request) => self.hold(*request, now),
                SessionEvent::Withdraw(id, why) => self.driver.services().approvals.withdraw(id, why),
                SessionEvent::Ask(question) => {
                    if let Err(why) = self.driver.ask(question, self.answer.clone()) {
                        self.joined.session.shut(&why, now);
                    }
                }
                SessionEvent::CancelUpstream => self.driver.cancel_upstream(),
                SessionEvent::End(end) => {
                    self.finish(match end {
                        SessionEnd::Terminated => "terminated by the client".into(),
                        SessionEnd::Fault { at_fault, what } => format!("{at_fault}: {what}"),
                    });
                }
            }
        }
        progress
    }

    fn hold(&mut self, request: ApprovalRequest, now: Timestamp) {
        let tell = self.joined.to_self.clone();
        let id = request.id;
        let who: Vec<String> = request.requirements.iter().map(|r| r.groups.join(" or ")).collect();
        let minutes = request.expires.since(now).as_secs().div_ceil(60);
        let link = self.driver.services().approvals.link(id);
        self.joined.session.say_held(id, &link, &who.join(" and "), &format!("{minutes} min"));
        self.driver.services().approvals.submit(
            request,
            Box::new(move |verdict| {
                let _gone = tell.send(Control::Verdict(id, verdict));
            }),
        );
    }

    async fn close(self, reason: String) {
        use tokio::io::AsyncWriteExt as _;
        let Self { driver, joined, client_bytes, upstream_bytes, .. } = self;
        let Joined { id, mut client, mut upstream, mut session, recording, process_id, lent: _lent, .. } = joined;
        let goodbye = async {
            let _left = client.flush().await;
            let _left = client.shutdown().await;
            let _left = upstream.flush().await;
            let _left = upstream.shutdown().await;
        };
        let _slow = tokio::time::timeout(Duration::from_secs(5), goodbye).await;
        recording.finish(now(), &reason);
        let ended = AuditKind::SessionEnded { reason, client_bytes, upstream_bytes };
        if let Err(refusal) = session.note(ended, now()) {
            tracing::error!(session = %id, "the end of a session is not in the audit log: {}", refusal.message);
        }
        // Last: a gateway that stops waits for the sessions that are registered, and then closes its log.
        driver.services().registry.remove(id, Some(process_id));
    }
}
