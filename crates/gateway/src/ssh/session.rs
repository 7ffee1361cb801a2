//! What the channels of a session share: deciding, holding, recording, ending.
use super::{Endpoint, inbox::Inbox, upstream};
use crate::{registry::Control, services::now};
use bytes::Bytes;
use doorward_enforce::{
    ApprovalRequest, ApprovalVerdict, Enforcer, MaskRule, Outcome, Permit, Refusal, Request, Reveal, StreamPermit,
    UpstreamQueue,
};
use doorward_model::{AuditKind, DataType, Resource, SessionId};
use doorward_record::{Direction, Recording};
use doorward_ssh::{
    Login,
    codec::{self, Stream},
    facts::Meaning,
    render,
    replay::{Decided, Event},
};
use parking_lot::Mutex;
use russh::{ChannelId, server};
use std::{
    collections::HashMap,
    future::poll_fn,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// How many channels a caller may have open at once. OpenSSH's servers allow ten sessions.
pub(crate) const MOST_CHANNELS: usize = 256;

/// How often what depends on the time is judged anew.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// The caller's half of a channel, where it is written to.
pub(crate) type CallerEnd = russh::ChannelWriteHalf<server::Msg>;
/// The upstream's half.
pub(crate) type UpstreamEnd = russh::ChannelWriteHalf<russh::client::Msg>;

/// Why nothing more can be sent: the other side is gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<russh::Error> for Gone {
    fn from(_: russh::Error) -> Self {
        Self
    }
}

/// A live session.
pub(crate) struct Session {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Room on the connection.
    pub(crate) _slot: OwnedSemaphorePermit,
    pub(crate) id: SessionId,
    pub(crate) login: Login,
    pub(crate) enforcer: Mutex<Enforcer>,
    pub(crate) recording: Recording,
    /// Who may record next.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) upstream: upstream::Connected,
    /// The caller's channels.
    pub(crate) channels: Mutex<HashMap<ChannelId, Arc<Inbox>>>,
    /// Remote forwards that were allowed: where the upstream listens for the caller.
    pub(crate) listening: tokio::sync::Mutex<HashMap<(String, u32), Arc<StreamPermit>>>,
    /// Counts changes of policies that sessions were told of.
    pub(crate) looks: watch::Sender<u64>,
    pub(crate) client_bytes: AtomicU64,
    pub(crate) upstream_bytes: AtomicU64,
    /// Why the session ends, once it does.
    pub(crate) ending: watch::Sender<Option<String>>,
    /// A second handle on the caller's socket, to cut it.
    pub(crate) socket: std::net::TcpStream,
}

/// A request that is to be decided.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) via: &'static str,
    pub(crate) meaning: &'a Meaning,
    pub(crate) payload: &'a [u8],
}

/// Where the outcome of a request is told.
pub(crate) struct Told<'a> {
    pub(crate) channel: u32,
    pub(crate) caller: &'a CallerEnd,
    pub(crate) inbox: &'a Inbox,
    /// Lines end as a terminal in raw mode wants them.
    pub(crate) terminal: bool,
    /// Whether there is a standard error to write to: not on a forwarded connection.
    pub(crate) aloud: bool,
}

impl Session {
    /// Decides a request; waits for people where policy says so.
    pub(crate) async fn decide(&self, asked: Asked<'_>, told: &Told<'_>) -> Result<Permit, Refusal> {
        if let Err(why) = self.recording.health() {
            self.enforcer.lock().suspend(Some(format!("the recording cannot be written: {why}")));
        } else {
            self.enforcer.lock().suspend(None);
        }
        let channel = Some(told.channel);
        let outcome = self.enforcer.lock().decide(&asked.meaning.facts, &request(&asked), now());
        let outcome = match outcome {
            Outcome::Hold(held) => {
                let verdict = self.wait_for_people(held.approval(), told).await;
                self.enforcer.lock().settle(*held, verdict, now())
            }
            decided @ (Outcome::Forward(_) | Outcome::Refuse(_)) => decided,
        };
        match outcome {
            Outcome::Forward(permit) => {
                // Of each operation of SFTP, files that went through are told.
                if asked.via != "sftp" {
                    self.event(&Event::Decided { channel, outcome: Decided::Forward, reason: None });
                }
                Ok(permit)
            }
            Outcome::Refuse(refusal) => {
                let reason = Some(format!("{}: {}", asked.meaning.statement, refusal.message));
                self.event(&Event::Decided { channel, outcome: Decided::Refuse, reason });
                Err(refusal)
            }
            // `settle` does not hold again.
            Outcome::Hold(held) => Err(never_held_twice(held.approval())),
        }
    }

    /// Decides a request that nobody is to be asked about: allowed as it is, or not at all.
    pub(crate) fn decide_at_once(&self, asked: Asked<'_>) -> Option<Permit> {
        if self.recording.health().is_err() {
            return None;
        }
        let mut enforcer = self.enforcer.lock();
        let outcome = enforcer.decide(&asked.meaning.facts, &request(&asked), now());
        let outcome = match outcome {
            Outcome::Hold(held) => enforcer.settle(*held, ApprovalVerdict::Withdrawn, now()),
            decided @ (Outcome::Forward(_) | Outcome::Refuse(_)) => decided,
        };
        match outcome {
            Outcome::Forward(permit) => Some(permit),
            Outcome::Refuse(_) | Outcome::Hold(_) => None,
        }
    }

    /// Refuses what no policy could allow in this version, and writes that down.
    pub(crate) fn refuse(&self, asked: Asked<'_>, refusal: Refusal) -> Refusal {
        self.enforcer.lock().refuse(&asked.meaning.facts, &request(&asked), refusal, now())
    }

    /// Lets through what does nothing by itself: sizes of terminals, signals.
    pub(crate) fn follow(&self, payload: &[u8]) -> Result<Permit, Refusal> {
        let mut enforcer = self.enforcer.lock();
        let connect = Arc::clone(enforcer.connect_facts());
        enforcer.follow(&connect, payload, now())
    }

    async fn wait_for_people(&self, approval: &ApprovalRequest, told: &Told<'_>) -> ApprovalVerdict {
        let desk = &self.endpoint.services.approvals;
        let minutes = approval.expires.since(now()).as_secs().div_ceil(60);
        let link = desk.link(approval.id);
        self.event(&Event::Held { channel: Some(told.channel), approval: approval.id.to_string() });
        let text = render::held(approval, &link, minutes, told.terminal);
        // A caller who does not read waits all the same.
        let _gone = tokio::time::timeout(Duration::from_secs(1), self.say(told, &text)).await;
        let (tell, answer) = oneshot::channel();
        let tell = Box::new(move |verdict| {
            let _gone = tell.send(verdict);
        });
        desk.submit(approval.clone(), tell);
        let withdrawn = tokio::select! {
            verdict = answer => {
                let unavailable = || ApprovalVerdict::Unavailable { reason: "the approval was lost".into() };
                let verdict = verdict.unwrap_or_else(|_| unavailable());
                if matches!(verdict, ApprovalVerdict::Approved { .. }) {
                    let text = render::approved(told.terminal);
                    let _gone = tokio::time::timeout(Duration::from_secs(1), self.say(told, &text)).await;
                }
                return verdict;
            }
            () = told.inbox.closed() => "the caller closed the channel",
            () = interrupted(told) => "the caller pressed Ctrl-C",
            () = self.ended() => "the session ended",
        };
        desk.withdraw(approval.id, withdrawn);
        ApprovalVerdict::Withdrawn
    }

    /// Writes to the caller's standard error, and into the recording.
    pub(crate) async fn say(&self, told: &Told<'_>, text: &str) -> Result<(), Gone> {
        if !told.aloud {
            return Ok(());
        }
        self.keep(told.channel, Stream::Error, Direction::Upstream, text.as_bytes()).await;
        Ok(told.caller.extended_data_bytes(1, Bytes::copy_from_slice(text.as_bytes())).await?)
    }

    /// The bytes that a permit was given for, once its audit entry is durable.
    pub(crate) async fn redeem(&self, permit: Permit, bytes: &[u8]) -> Result<Bytes, Gone> {
        let mut queue = UpstreamQueue::new();
        if let Err(e) = queue.push(permit, bytes) {
            self.end(&format!("gateway: {e}"));
            return Err(Gone);
        }
        self.release(&mut queue).await
    }

    /// What is in a queue, once all of it may leave.
    pub(crate) async fn release(&self, queue: &mut UpstreamQueue) -> Result<Bytes, Gone> {
        let audit = &self.endpoint.services.audit;
        while let Some(ticket) = queue.waits_for(audit.committed()) {
            if let Err(e) = poll_fn(|cx| audit.poll_committed(ticket, cx)).await {
                self.end(&format!("gateway: nothing more was sent upstream: {e}"));
                return Err(Gone);
            }
        }
        let ready = queue.ready(audit.committed());
        let bytes = Bytes::copy_from_slice(ready);
        queue.sent(bytes.len());
        Ok(bytes)
    }

    /// Records bytes of a channel as they went, once there is room for them. One channel after the other, so
    /// that no more waits for the disk than the recording can hold.
    pub(crate) async fn keep(&self, channel: u32, stream: Stream, direction: Direction, bytes: &[u8]) {
        let counter = match direction {
            Direction::Client => &self.client_bytes,
            Direction::Upstream => &self.upstream_bytes,
        };
        counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let head = codec::header(channel, stream);
        let _turn = self.turn.lock().await;
        // A frame of the recording holds 64 KiB at most, its head included.
        for piece in bytes.chunks(32 * 1024) {
            poll_fn(|cx| self.recording.poll_ready(cx)).await;
            self.recording.frame(direction, now(), &[head.as_slice(), piece].concat());
        }
    }

    /// Waits until the recording has room: a caller whose requests are all refused fills it, too.
    pub(crate) async fn room(&self) {
        let _turn = self.turn.lock().await;
        poll_fn(|cx| self.recording.poll_ready(cx)).await;
    }

    /// Writes into the recording what happened.
    pub(crate) fn event(&self, event: &Event) {
        self.recording.meta(now(), &event.to_json());
    }

    /// The kinds of values that the caller may not see, and how they are masked.
    pub(crate) fn masks(&self) -> Vec<(DataType, Arc<MaskRule>)> {
        let mut enforcer = self.enforcer.lock();
        let rule = |&data_type| match enforcer.reveal(&Resource::DataType { data_type }, now()) {
            Reveal::Clear => None,
            Reveal::Masked(rule) => Some((data_type, rule)),
        };
        DataType::ALL.iter().filter_map(rule).collect()
    }

    /// The inbox of one of the caller's channels.
    pub(crate) fn inbox(&self, id: ChannelId) -> Arc<Inbox> {
        Arc::clone(self.channels.lock().entry(id).or_default())
    }

    /// Counts changes of the policies.
    pub(crate) fn generation(&self) -> u64 {
        self.enforcer.lock().generation()
    }

    /// Ends the session with a reason. The first one counts.
    pub(crate) fn end(&self, reason: &str) {
        self.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            if first {
                *ending = Some(reason.to_owned());
            }
            first
        });
    }

    /// Resolves when what was allowed, and goes on, no longer is: policies changed, or the time for it is over.
    pub(crate) async fn revoked(&self, permit: &StreamPermit) -> Refusal {
        let mut looks = self.looks.subscribe();
        loop {
            let lasting = {
                let mut enforcer = self.enforcer.lock();
                if let Err(refusal) = enforcer.still_allows(permit, now()) {
                    return refusal;
                }
                enforcer.is_lasting(permit)
            };
            tokio::select! {
                // The sender is a field of this session.
                _changed = looks.changed() => {}
                () = tokio::time::sleep(LOOK), if !lasting => {}
            }
        }
    }

    /// Writes down that something was ended that had been allowed.
    pub(crate) fn note_revoked(&self, channel: u32, refusal: &Refusal) {
        let reason = Some(format!("ended: {}", refusal.message));
        self.event(&Event::Decided { channel: Some(channel), outcome: Decided::Refuse, reason });
        self.endpoint.note_fault(Some(self.id), "policy", &format!("ended: {}", refusal.message));
    }

    /// Resolves when the session ends.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        let _ended = ending.wait_for(Option::is_some).await;
    }

    pub(crate) fn cut(&self) {
        let _closed_already = self.socket.shutdown(Shutdown::Both);
    }

    /// Watches over a live session: what reaches it from elsewhere, and whether it may go on.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        caller: &server::Handle,
        control: &mut tokio::sync::mpsc::UnboundedReceiver<Control>,
    ) {
        let reason = loop {
            let goodbye = tokio::select! {
                () = self.ended() => break self.ending.borrow().clone().unwrap_or_default(),
                () = tokio::time::sleep(self.next_look()) => self.unwelcome(),
                () = self.upstream.gone() => {
                    self.let_channels_end().await;
                    Some("the target closed the connection".to_owned())
                }
                message = control.recv() => match message {
                    Some(Control::Shut(message)) => Some(message),
                    Some(Control::CheckWelcome) => {
                        self.looks.send_modify(|n| *n = n.wrapping_add(1));
                        self.unwelcome()
                    }
                    // Of other protocols.
                    Some(Control::Verdict(..) | Control::Cancel) => None,
                    None => Some("the gateway forgot this session".to_owned()),
                },
            };
            if let Some(message) = goodbye {
                break message;
            }
        };
        self.end(&reason);
        let goodbye = caller.disconnect(russh::Disconnect::ByApplication, format!("doorward: {reason}"), String::new());
        let _slow = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
        self.upstream.disconnect().await;
    }

    /// When to look again whether the session may go on: as the identity ends, and before that only where a policy
    /// reads the clock. Changed policies are told.
    fn next_look(&self) -> Duration {
        let enforcer = self.enforcer.lock();
        let left = enforcer.subject().principal.expires_at.since(now());
        if enforcer.is_welcome_lasting() { left.max(Duration::from_millis(1)) } else { LOOK.min(left) }
    }

    /// What the upstream said last still reaches the caller.
    async fn let_channels_end(&self) {
        for _ in 0..40 {
            if self.channels.lock().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn unwelcome(&self) -> Option<String> {
        self.enforcer.lock().still_welcome(now()).err().map(|refusal| render::refusal_line(&refusal))
    }

    /// The session is over: its end is written down.
    pub(crate) fn close(&self) {
        let reason = self.ending.borrow().clone().unwrap_or_else(|| "the caller closed the connection".into());
        for inbox in self.channels.lock().values() {
            inbox.close();
        }
        self.upstream.close();
        let ended = AuditKind::SessionEnded {
            reason,
            client_bytes: self.client_bytes.load(Ordering::Relaxed),
            upstream_bytes: self.upstream_bytes.load(Ordering::Relaxed),
        };
        if let Err(refusal) = self.enforcer.lock().note(ended, now()) {
            tracing::error!(session = %self.id, "the end of a session is not in the audit log: {}", refusal.message);
        }
    }
}

fn request<'a>(asked: &Asked<'a>) -> Request<'a> {
    Request {
        via: asked.via,
        statement: &asked.meaning.statement,
        parameters: &Vec::new,
        bound: &[],
        payload: asked.payload,
    }
}

/// Ctrl-C at a terminal is a byte among others; while nothing runs upstream it means: no longer.
async fn interrupted(told: &Told<'_>) {
    if !told.terminal {
        return std::future::pending().await;
    }
    while !told.inbox.has_interrupt() {
        told.inbox.stirred().await;
    }
}

fn never_held_twice(approval: &ApprovalRequest) -> Refusal {
    Refusal {
        kind: doorward_enforce::RefusalKind::Unavailable,
        message: format!("refused: approval {} did not settle the request", approval.id),
        detail: None,
        hint: None,
    }
}
