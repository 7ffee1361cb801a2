//! What live sessions have in common where requests come on many channels or streams at once (SSH, Kubernetes): their
//! enforcer, their recording, and their end.
use crate::{
    registry::Control,
    services::{Services, now},
};
use doorward_enforce::{
    ApprovalRequest, AuditUnavailable, Enforcer, MaskRule, Refusal, RefusalKind, Reveal, StreamPermit, UpstreamQueue,
};
use doorward_model::{AuditKind, DataType, Resource, SessionId};
use doorward_record::{Direction, Recording};
use parking_lot::{Mutex, MutexGuard};
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// How often what depends on the time is judged anew.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// A live session.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) enforcer: Mutex<Enforcer>,
    pub(crate) recording: Recording,
    services: Services,
    /// Who may record next.
    turn: tokio::sync::Mutex<()>,
    /// Counts changes of policies that the session was told of.
    looks: watch::Sender<u64>,
    client_bytes: AtomicU64,
    upstream_bytes: AtomicU64,
    /// Why the session ends, once it does.
    ending: watch::Sender<Option<String>>,
}

impl Live {
    pub(crate) fn new(id: SessionId, services: &Services, enforcer: Enforcer, recording: Recording) -> Self {
        Self {
            id,
            enforcer: Mutex::new(enforcer),
            recording,
            services: services.clone(),
            turn: tokio::sync::Mutex::default(),
            looks: watch::Sender::new(0),
            client_bytes: 0.into(),
            upstream_bytes: 0.into(),
            ending: watch::Sender::new(None),
        }
    }

    /// The enforcer, which refuses whatever cannot be recorded.
    pub(crate) fn ready_enforcer(&self) -> MutexGuard<'_, Enforcer> {
        let health = self.recording.health();
        let mut enforcer = self.enforcer.lock();
        enforcer.suspend(health.err().map(|why| format!("the recording cannot be written: {why}")));
        enforcer
    }

    /// Waits until the audit entries of all that is queued are durable.
    ///
    /// # Errors
    /// Where they cannot be kept: nothing may leave then.
    pub(crate) async fn durable(&self, queue: &UpstreamQueue) -> Result<(), AuditUnavailable> {
        let audit = &self.services.audit;
        while let Some(ticket) = queue.waits_for(audit.committed()) {
            poll_fn(|cx| audit.poll_committed(ticket, cx)).await?;
        }
        Ok(())
    }

    /// Records frames as they went, once there is room for them; `length`: how many bytes of a peer's they hold. One
    /// after the other, so that no more waits for the disk than the recording can hold.
    pub(crate) async fn keep(&self, direction: Direction, length: usize, frames: impl Iterator<Item = Vec<u8>> + Send) {
        let counter = match direction {
            Direction::Client => &self.client_bytes,
            Direction::Upstream => &self.upstream_bytes,
        };
        counter.fetch_add(length as u64, Ordering::Relaxed);
        let _turn = self.turn.lock().await;
        for frame in frames {
            poll_fn(|cx| self.recording.poll_ready(cx)).await;
            self.recording.frame(direction, now(), &frame);
        }
    }

    /// Waits until the recording has room: a caller whose requests are all refused fills it, too.
    pub(crate) async fn room(&self) {
        let _turn = self.turn.lock().await;
        poll_fn(|cx| self.recording.poll_ready(cx)).await;
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

    /// The kinds of values that the caller may not see, and until when that holds.
    pub(crate) fn hidden(&self) -> HiddenTypes {
        let (generation, before) = {
            let enforcer = self.enforcer.lock();
            (enforcer.generation(), enforcer.passing())
        };
        let rules = self.masks();
        let lasts = self.enforcer.lock().passing() == before;
        HiddenTypes { rules, generation, lasts, seen: Instant::now() }
    }

    /// Whether other values may be hidden than were: the policies have changed, or time has passed that they read.
    pub(crate) fn is_stale(&self, then: &HiddenTypes) -> bool {
        self.enforcer.lock().generation() != then.generation || (!then.lasts && then.seen.elapsed() >= LOOK)
    }

    /// Resolves when what was allowed, and goes on, no longer is: policies changed, or the time for it is over; or when
    /// what is to stay as it is does not.
    pub(crate) async fn revoked_where(&self, permit: &StreamPermit, is_the_same: impl Fn() -> bool) -> Refusal {
        let mut looks = self.looks.subscribe();
        loop {
            let before = self.enforcer.lock().passing();
            if !is_the_same() {
                return changed();
            }
            let lasting = {
                let mut enforcer = self.enforcer.lock();
                if let Err(refusal) = enforcer.still_allows(permit, now()) {
                    return refusal;
                }
                // What is hidden may change with the time, though the permit does not.
                enforcer.is_lasting(permit) && enforcer.passing() == before
            };
            tokio::select! {
                // The sender is a field of this session.
                _changed = looks.changed() => {}
                () = tokio::time::sleep(LOOK), if !lasting => {}
            }
        }
    }

    /// Changes when the policies have, or an identity may have ended.
    pub(crate) fn looks(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }

    /// Writes an entry into the audit log that nothing waits for.
    pub(crate) fn note(&self, kind: AuditKind) {
        if let Err(refusal) = self.enforcer.lock().note(kind, now()) {
            tracing::error!(session = %self.id, "an entry is not in the audit log: {}", refusal.message);
        }
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

    /// Resolves when the session ends.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        let _ended = ending.wait_for(Option::is_some).await;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Why the session ends, once it does.
    pub(crate) fn ending(&self) -> Option<String> {
        self.ending.borrow().clone()
    }

    /// Resolves, with why, when the session may not go on: it was ended, or told to end from elsewhere, or its identity or
    /// the policies say so. `words`: how a refusal is told.
    pub(crate) async fn over(
        &self,
        control: &mut mpsc::UnboundedReceiver<Control>,
        words: impl Fn(&Refusal) -> String,
    ) -> String {
        loop {
            let unwelcome = || self.enforcer.lock().still_welcome(now()).err().map(|refusal| words(&refusal));
            let goodbye = tokio::select! {
                () = self.ended() => self.ending(),
                () = tokio::time::sleep(self.next_look()) => unwelcome(),
                message = control.recv() => match message {
                    Some(Control::Shut(message)) => Some(message),
                    Some(Control::CheckWelcome) => {
                        self.looks.send_modify(|n| *n = n.wrapping_add(1));
                        unwelcome()
                    }
                    // Of other protocols.
                    Some(Control::Verdict(..) | Control::Cancel) => None,
                    None => Some("the gateway forgot this session".to_owned()),
                },
            };
            if let Some(message) = goodbye {
                return message;
            }
        }
    }

    /// When to look again whether the session may go on: as the identity ends, and before that only where a policy
    /// reads the clock. Changed policies are told.
    fn next_look(&self) -> Duration {
        let enforcer = self.enforcer.lock();
        let left = enforcer.subject().principal.expires_at.since(now());
        if enforcer.is_welcome_lasting() { left.max(Duration::from_millis(1)) } else { LOOK.min(left) }
    }

    /// Writes down that the session is over.
    pub(crate) fn note_end(&self, reason: &str) {
        self.note(AuditKind::SessionEnded {
            reason: reason.to_owned(),
            client_bytes: self.client_bytes.load(Ordering::Relaxed),
            upstream_bytes: self.upstream_bytes.load(Ordering::Relaxed),
        });
    }
}

/// What was hidden from a caller at a moment.
#[derive(Clone, Debug)]
pub(crate) struct HiddenTypes {
    /// Each with what is shown in its place.
    pub(crate) rules: Vec<(DataType, Arc<MaskRule>)>,
    generation: u64,
    /// Whether it stays so until the policies change.
    lasts: bool,
    seen: Instant,
}

impl HiddenTypes {
    /// Whether the same was hidden under the same policies.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.generation == other.generation && self.rules == other.rules
    }
}

fn changed() -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: "what you may see has changed".into(),
        detail: None,
        hint: Some("ask again".into()),
    }
}

/// The fault of a desk that settles a request without settling it.
pub(crate) fn never_held_twice(approval: &ApprovalRequest) -> Refusal {
    Refusal {
        kind: RefusalKind::Unavailable,
        message: format!("refused: approval {} did not settle the request", approval.id),
        detail: None,
        hint: None,
    }
}
