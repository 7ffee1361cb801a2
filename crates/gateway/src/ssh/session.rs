//! What the channels of a session share: deciding, holding, recording, ending.
use super::{Endpoint, inbox::Inbox, upstream};
use crate::{
    live::{Live, never_held_twice},
    registry::Control,
    services::now,
};
use bytes::Bytes;
use doorward_enforce::{
    ApprovalRequest, ApprovalVerdict, NotShown, Outcome, Permit, Refusal, Request, Shown, StreamPermit, UpstreamQueue,
    nothing_else,
};
use doorward_record::Direction;
use doorward_ssh::{
    Login,
    codec::{self, Stream},
    facts::Meaning,
    render,
    replay::{Decided, Event},
    shown::{Around, shown},
};
use parking_lot::Mutex;
use russh::{ChannelId, server};
use std::{collections::HashMap, net::Shutdown, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// How many channels a caller may have open at once. OpenSSH's servers allow ten sessions.
pub(crate) const MOST_CHANNELS: usize = 256;

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
    pub(crate) live: Live,
    pub(crate) login: Login,
    pub(crate) upstream: upstream::Connected,
    /// The caller's channels.
    pub(crate) channels: Mutex<HashMap<ChannelId, Arc<Inbox>>>,
    /// Remote forwards that were allowed: where the upstream listens for the caller.
    pub(crate) listening: tokio::sync::Mutex<HashMap<(String, u32), Arc<StreamPermit>>>,
    /// A second handle on the caller's socket, to cut it.
    pub(crate) socket: std::net::TcpStream,
}

/// A request that is to be decided.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) via: &'static str,
    pub(crate) meaning: &'a Meaning,
    pub(crate) payload: &'a [u8],
    /// What has been set for it.
    pub(crate) around: Around<'a>,
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
        let channel = Some(told.channel);
        let outcome =
            self.live.ready_enforcer().decide(&asked.meaning.facts, &request(&asked, &|| Ok(asked.shown())), now());
        let outcome = match outcome {
            Outcome::Hold(held) => {
                let verdict = self.wait_for_people(held.approval(), told).await;
                self.live.enforcer.lock().settle(*held, verdict, now())
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
        if self.live.recording.health().is_err() {
            return None;
        }
        let mut enforcer = self.live.enforcer.lock();
        let outcome = enforcer.decide(&asked.meaning.facts, &request(&asked, &nothing_else), now());
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
        self.live.enforcer.lock().refuse(&asked.meaning.facts, &request(&asked, &nothing_else), refusal, now())
    }

    /// Lets through what does nothing by itself: sizes of terminals, signals.
    pub(crate) fn follow(&self, payload: &[u8]) -> Result<Permit, Refusal> {
        let mut enforcer = self.live.enforcer.lock();
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
            () = self.live.ended() => "the session ended",
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
            self.live.end(&format!("gateway: {e}"));
            return Err(Gone);
        }
        self.release(&mut queue).await
    }

    /// What is in a queue, once all of it may leave.
    pub(crate) async fn release(&self, queue: &mut UpstreamQueue) -> Result<Bytes, Gone> {
        if let Err(e) = self.live.durable(queue).await {
            self.live.end(&format!("gateway: nothing more was sent upstream: {e}"));
            return Err(Gone);
        }
        let ready = queue.ready(self.endpoint.services.audit.committed());
        let bytes = Bytes::copy_from_slice(ready);
        queue.sent(bytes.len());
        Ok(bytes)
    }

    /// Records bytes of a channel as they went, once there is room for them.
    pub(crate) async fn keep(&self, channel: u32, stream: Stream, direction: Direction, bytes: &[u8]) {
        let head = codec::header(channel, stream);
        // A frame of the recording holds 64 KiB at most, its head included.
        let frames = bytes.chunks(32 * 1024).map(|piece| [head.as_slice(), piece].concat());
        self.live.keep(direction, bytes.len(), frames).await;
    }

    /// Writes into the recording what happened.
    pub(crate) fn event(&self, event: &Event) {
        self.live.recording.meta(now(), &event.to_json());
    }

    /// The inbox of one of the caller's channels.
    pub(crate) fn inbox(&self, id: ChannelId) -> Arc<Inbox> {
        Arc::clone(self.channels.lock().entry(id).or_default())
    }

    /// Resolves when what was allowed, and goes on, no longer is: policies changed, or the time for it is over.
    pub(crate) async fn revoked(&self, permit: &StreamPermit) -> Refusal {
        self.live.revoked_where(permit, || true).await
    }

    /// Writes down that something was ended that had been allowed.
    pub(crate) fn note_revoked(&self, channel: u32, refusal: &Refusal) {
        let reason = Some(format!("ended: {}", refusal.message));
        self.event(&Event::Decided { channel: Some(channel), outcome: Decided::Refuse, reason });
        self.endpoint.note_fault(Some(self.live.id), "policy", &format!("ended: {}", refusal.message));
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
        let reason = tokio::select! {
            reason = self.live.over(control, render::refusal_line) => reason,
            () = self.upstream.gone() => {
                self.let_channels_end().await;
                "the target closed the connection".to_owned()
            }
        };
        self.live.end(&reason);
        let goodbye = caller.disconnect(russh::Disconnect::ByApplication, format!("doorward: {reason}"), String::new());
        let _slow = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
        self.upstream.disconnect().await;
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

    /// The session is over: its end is written down.
    pub(crate) fn close(&self) {
        let reason = self.live.ending().unwrap_or_else(|| "the caller closed the connection".into());
        for inbox in self.channels.lock().values() {
            inbox.close();
        }
        self.upstream.close();
        self.live.note_end(&reason);
    }
}

impl Asked<'_> {
    fn shown(&self) -> Shown {
        shown(self.via, self.meaning, self.payload, self.around)
    }
}

fn request<'a>(asked: &Asked<'a>, shown: &'a dyn Fn() -> Result<Shown, NotShown>) -> Request<'a> {
    Request { via: asked.via, statement: &asked.meaning.statement, shown, bound: &[], payload: asked.payload }
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
