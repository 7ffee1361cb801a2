//! Where held requests wait for people.
//!
//! Each approval has a lock of its own, held across the audit commit and the store write, so that
//! verdicts, expiry and withdrawal come one after the other and exactly one of them ends it.
use doorward_enforce::{ApprovalDesk, ApprovalRequest, ApprovalVerdict, Approver, AuditSink, unmet_requirement};
use doorward_model::{ApprovalId, AuditEvent, AuditKind, ChatAccountId, Parties, Principal, SessionId, Timestamp};
use doorward_store::{ApprovalState, Asker, Room, Store, StoreError, StoredVerdict};
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::{Notify, broadcast};

mod places;

use places::{FOR_ALL, Places, Want};

/// What is kept of one caller's requests that nobody approved, in bytes: beyond it the texts of the oldest go first. Of an agent's for all
/// whom it acts for it is more, as with places.
const MOST_KEPT: u64 = 64 << 20;
/// Characters in a comment.
pub const MAX_COMMENT: usize = 1000;

type Answer = Box<dyn FnOnce(ApprovalVerdict) + Send>;

/// An approval changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub id: ApprovalId,
    /// Where it stands now.
    pub state: ApprovalState,
}

/// Why a verdict was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// Unknown, or none of this person's business: both look the same.
    #[error("no such approval")]
    NotFound,
    /// The requester may not decide.
    #[error("nobody decides their own request")]
    OwnRequest,
    /// It ended before.
    #[error("the approval is no longer pending")]
    Ended,
    /// One person, one verdict; and after a yes, the glass.
    #[error("you have decided this approval before")]
    Twice,
    /// A comment of at most [`MAX_COMMENT`] characters.
    #[error("the comment is longer than {MAX_COMMENT} characters")]
    CommentTooLong,
    /// Nobody may let this one through alone, or not this person.
    #[error("no policy that holds it lets you break the glass")]
    NoGlass,
    /// It says why, or it is not done.
    #[error("say why: breaking the glass needs a reason")]
    NoReason,
    /// The audit log or the store cannot keep the verdict, so it does not count.
    #[error("the verdict cannot be recorded: {0}")]
    Unavailable(String),
}

struct Entry {
    request: Arc<ApprovalRequest>,
    /// Whether the store holds it: verdicts refer to it there.
    stored: bool,
    /// Taken by whatever ends the approval: none means it has ended.
    answer: Option<Answer>,
    yes: Vec<Approver>,
}

struct Slot {
    entry: tokio::sync::Mutex<Entry>,
    /// Told when the approval ends, so that its timer goes with it.
    ended: Notify,
}

struct Inner {
    waiting: Mutex<Waiting>,
    store: Store,
    audit: Arc<dyn AuditSink>,
    changes: broadcast::Sender<Change>,
    runtime: tokio::runtime::Handle,
    public_url: String,
    most_kept: u64,
}

/// What waits, and how many places that takes.
#[derive(Default)]
struct Waiting {
    slots: HashMap<ApprovalId, Arc<Slot>>,
    places: Places,
}

/// The desk of one gateway.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Desk {
    /// A desk whose timers and writes run on `runtime`.
    pub fn new(store: Store, audit: Arc<dyn AuditSink>, public_url: &str, runtime: tokio::runtime::Handle) -> Self {
        Self(Arc::new(Inner {
            waiting: Mutex::default(),
            store,
            audit,
            changes: broadcast::channel(256).0,
            runtime,
            public_url: public_url.trim_end_matches('/').to_owned(),
            most_kept: MOST_KEPT,
        }))
    }

    /// How many approvals wait.
    pub(crate) fn pending(&self) -> u64 {
        u64::try_from(self.waiting().slots.len()).unwrap_or(u64::MAX)
    }

    /// Changes from now on. A slow listener loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Takes a verdict: audited and stored before it takes effect.
    ///
    /// Any member of a group of any requirement may decide: a seat that looks filled may have to
    /// pass to somebody else before all are (see `unmet_requirement`). The same subject under
    /// another issuer is another caller.
    ///
    /// # Errors
    /// Where the verdict does not count; see [`DecideError`].
    pub async fn decide(&self, id: ApprovalId, by: &Principal, yes: bool, comment: &str) -> Result<(), DecideError> {
        self.decide_through(id, by, yes, comment, None).await
    }

    /// The same, where it came from an account of a chat: which, is written down with the verdict.
    ///
    /// # Errors
    /// Where the verdict does not count; see [`DecideError`].
    pub async fn decide_through(
        &self,
        id: ApprovalId,
        by: &Principal,
        yes: bool,
        comment: &str,
        via: Option<ChatAccountId>,
    ) -> Result<(), DecideError> {
        self.say(id, by, if yes { Say::Yes } else { Say::No }, Words { comment: comment.to_owned(), via }).await
    }

    /// Lets a request through alone, in an emergency: for who is in the `@break_glass` of a policy that holds it, with a
    /// reason. What other policies ask for is still to be met.
    ///
    /// # Errors
    /// Where it does not count; see [`DecideError`].
    pub async fn break_glass(&self, id: ApprovalId, by: &Principal, reason: &str) -> Result<(), DecideError> {
        if reason.trim().is_empty() {
            return Err(DecideError::NoReason);
        }
        self.say(id, by, Say::BreakGlass, Words { comment: reason.to_owned(), via: None }).await
    }

    async fn say(&self, id: ApprovalId, by: &Principal, say: Say, words: Words) -> Result<(), DecideError> {
        if words.comment.chars().count() > MAX_COMMENT {
            return Err(DecideError::CommentTooLong);
        }
        // In a task of its own: a caller who hangs up must not leave a verdict audited but not counted.
        let (desk, by) = (self.clone(), by.clone());
        let task = self.0.runtime.spawn(async move { desk.decide_whole(id, &by, say, words).await });
        task.await.unwrap_or_else(|e| Err(DecideError::Unavailable(e.to_string())))
    }

    async fn decide_whole(&self, id: ApprovalId, by: &Principal, say: Say, words: Words) -> Result<(), DecideError> {
        let Some(slot) = self.slot(id) else { return Err(self.no_longer(id, by, say).await) };
        let mut e = slot.entry.lock().await;
        let waited = now().since(e.request.asked);
        entitled(&e.request, by, say, waited)?;
        if !e.stored && e.answer.is_some() {
            return Err(DecideError::NotFound);
        }
        if e.answer.is_none() || now() >= e.request.expires {
            return Err(DecideError::Ended);
        }
        // Who said yes may still let it through alone: that says more. Nothing else is said twice.
        if e.yes.iter().any(|a| a.id == by.id() && (a.broke_glass || say != Say::BreakGlass)) {
            return Err(DecideError::Twice);
        }
        let groups = by.groups.iter().cloned().collect();
        let who = Approver { id: by.id(), groups, after: waited, broke_glass: say == Say::BreakGlass };
        self.keep(&e.request, &who, say, &words).await?;
        if who.broke_glass {
            tracing::warn!(approval = %id, by = %who.id, "the glass was broken");
        }
        // The wait for the disk may have outlasted the approval.
        if now() >= e.request.expires {
            return Err(DecideError::Ended);
        }
        if say == Say::No {
            let verdict = ApprovalVerdict::Denied { by: who.id, comment: words.comment };
            self.end(&slot, &mut e, verdict, "denied").await;
            return Ok(());
        }
        // Who breaks the glass counts for nothing else: not by an earlier yes either.
        e.yes.retain(|a| a.id != who.id);
        e.yes.push(who);
        if unmet_requirement(&e.request.requirements, &e.yes).is_none() {
            let by = e.yes.clone();
            self.end(&slot, &mut e, ApprovalVerdict::Approved { by }, "approved").await;
        } else {
            self.tell(id, ApprovalState::Pending);
        }
        Ok(())
    }

    /// What to say of an approval that does not wait: that it ended, to those whose business it is.
    async fn no_longer(&self, id: ApprovalId, by: &Principal, say: Say) -> DecideError {
        match self.0.store.approval(id).await {
            Ok(Some(a)) => {
                entitled(&a.request, by, say, now().since(a.request.asked)).err().unwrap_or(DecideError::Ended)
            }
            Ok(None) => DecideError::NotFound,
            Err(e) => DecideError::Unavailable(e.to_string()),
        }
    }

    fn tell(&self, id: ApprovalId, state: ApprovalState) {
        let _nobody_listens = self.0.changes.send(Change { id, state });
    }

    async fn keep(&self, r: &ApprovalRequest, who: &Approver, say: Say, words: &Words) -> Result<(), DecideError> {
        let kind = AuditKind::ApprovalDecided {
            approval: r.id,
            approved: say != Say::No,
            by: who.id.clone(),
            comment: words.comment.clone(),
            break_glass: who.broke_glass,
            via: words.via.clone(),
        };
        self.record(r, kind).await.map_err(DecideError::Unavailable)?;
        let verdict = StoredVerdict {
            by: who.id.clone(),
            groups: who.groups.clone(),
            yes: say != Say::No,
            comment: words.comment.clone(),
            // Of the moment that was judged.
            time: r.asked.after(who.after),
            break_glass: who.broke_glass,
            via: words.via.clone(),
        };
        self.0.store.verdict(r.id, &verdict).await.map_err(|e| DecideError::Unavailable(e.to_string()))
    }

    async fn record(&self, r: &ApprovalRequest, kind: AuditKind) -> Result<(), String> {
        self.record_of(Some(r.session), r.principal.parties().map(Arc::new), kind).await
    }

    async fn record_of(
        &self,
        session: Option<SessionId>,
        parties: Option<Arc<Parties>>,
        kind: AuditKind,
    ) -> Result<(), String> {
        let event = AuditEvent { time: now(), session, parties, kind };
        let ticket = self.0.audit.append(&event).map_err(|e| e.to_string())?;
        poll_fn(|cx| self.0.audit.poll_committed(ticket, cx)).await.map_err(|e| e.to_string())
    }

    /// Ends an approval once. A failing log or store delays nobody here: the end is already
    /// audited (verdicts), or refuses (expiry, withdrawal).
    async fn end(&self, slot: &Slot, e: &mut Entry, verdict: ApprovalVerdict, reason: &str) {
        let Some(answer) = e.answer.take() else { return };
        let id = e.request.id;
        let state = match &verdict {
            ApprovalVerdict::Approved { .. } => ApprovalState::Approved,
            ApprovalVerdict::Denied { .. } => ApprovalState::Denied,
            ApprovalVerdict::Expired => ApprovalState::Expired,
            ApprovalVerdict::Withdrawn | ApprovalVerdict::Unavailable { .. } => ApprovalState::Withdrawn,
        };
        if matches!(state, ApprovalState::Expired | ApprovalState::Withdrawn) {
            let kind = AuditKind::ApprovalEnded { approval: id, reason: reason.to_owned() };
            if let Err(why) = self.record(&e.request, kind).await {
                tracing::error!(%id, why, "the end of an approval is not in the audit log");
            }
        }
        if let Err(why) = self.0.store.approval_ended(id, state, reason, now()).await {
            tracing::error!(%id, %why, "the end of an approval is not in the store");
        }
        let mut waiting = self.waiting();
        if waiting.slots.remove(&id).is_some() {
            waiting.places.leave(&Want::of(&e.request));
        }
        drop(waiting);
        slot.ended.notify_one();
        answer(verdict);
        self.tell(id, state);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, id: ApprovalId) -> Option<Arc<Slot>> {
        self.waiting().slots.get(&id).cloned()
    }

    async fn wait(self, slot: Arc<Slot>) {
        let (expires, escalations) = {
            let mut e = slot.entry.lock().await;
            if e.answer.is_none() {
                return;
            }
            let kept = if e.stored { Ok(()) } else { self.keep_asked(&e.request).await };
            if let Err(reason) = kept {
                self.end(&slot, &mut e, ApprovalVerdict::Unavailable { reason }, "it could not be kept").await;
                return;
            }
            e.stored = true;
            self.tell(e.request.id, ApprovalState::Pending);
            // Of one that is taken up, those that are over have been told.
            let mut escalations = escalations(&e.request);
            escalations.retain(|(at, _)| *at > now());
            (e.request.expires, escalations)
        };
        let timer = async {
            for (at, groups) in escalations {
                tokio::time::sleep(at.since(now())).await;
                self.escalate(&slot, groups).await;
            }
            tokio::time::sleep(expires.since(now())).await;
        };
        tokio::select! {
            () = timer => {}
            () = slot.ended.notified() => return,
        }
        self.end(&slot, &mut *slot.entry.lock().await, ApprovalVerdict::Expired, "expired").await;
    }

    /// Takes up what a former process left pending for callers who do not wait: `keep` gives what is done with the verdict, or none
    /// for one that nobody could ask for again. One for which enough people had said yes already is withdrawn: it might have
    /// been used.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn take_up(&self, keep: impl Fn(&ApprovalRequest) -> Option<Answer>) -> Result<usize, StoreError> {
        let mut taken = 0;
        for left in self.0.store.approvals_left_over().await? {
            let id = left.request.id;
            let yes: Vec<Approver> =
                left.verdicts.iter().filter(|v| v.yes).map(|v| approver(v, left.request.asked)).collect();
            let is_met = unmet_requirement(&left.request.requirements, &yes).is_none();
            let answer = if is_met { None } else { keep(&left.request) };
            let admitted = answer
                .ok_or_else(|| "gateway restarted".to_owned())
                .and_then(|answer| self.admit(left.request, answer).map_err(|(_, why)| why));
            let slot = match admitted {
                Ok(slot) => slot,
                Err(why) => {
                    self.0.store.approval_ended(id, ApprovalState::Withdrawn, &why, now()).await?;
                    continue;
                }
            };
            {
                let mut entry = slot.entry.lock().await;
                (entry.stored, entry.yes) = (true, yes);
            }
            self.0.runtime.spawn(self.clone().wait(slot));
            taken += 1;
        }
        Ok(taken)
    }

    /// Says that others are asked from now on. They may decide whether or not this can be written down.
    async fn escalate(&self, slot: &Slot, groups: Vec<String>) {
        let e = slot.entry.lock().await;
        if e.answer.is_none() {
            return;
        }
        let id = e.request.id;
        if let Err(why) = self.record(&e.request, AuditKind::ApprovalEscalated { approval: id, groups }).await {
            tracing::error!(%id, why, "the escalation of an approval is not in the audit log");
        }
        self.tell(id, ApprovalState::Pending);
    }

    /// Keeps what is asked, where there is room for it.
    async fn keep_asked(&self, r: &ApprovalRequest) -> Result<(), String> {
        self.make_room(r).await?;
        self.0.store.approval_asked(r).await.map_err(|e| e.to_string())
    }

    /// A caller who asks, goes away and asks again fills no disk: what is kept of those requests has a bound. What somebody approved
    /// does not count, and is not touched.
    async fn make_room(&self, r: &ApprovalRequest) -> Result<(), String> {
        let bytes = Want::of(r).bytes;
        let (caller, person) = (r.principal.id(), r.principal.person().map(Principal::id));
        if person.is_some() {
            let for_all = Asker { caller: caller.clone(), person: None };
            self.make_room_of(&for_all, &caller, bytes, self.0.most_kept.saturating_mul(FOR_ALL.into())).await?;
        }
        let asker = Asker { caller, person: Some(person.unwrap_or_default()) };
        self.make_room_of(&asker, &r.principal.to_string(), bytes, self.0.most_kept).await
    }

    async fn make_room_of(&self, asker: &Asker, shown: &str, bytes: u64, most: u64) -> Result<(), String> {
        loop {
            let failed = |e: StoreError| e.to_string();
            // INVARIANT: nobody holds a session between this and the removal.
            let mut now_held = self.0.store.holds_as_of_now().await.map_err(failed)?;
            let old = match now_held.room_for(asker, bytes, most).await.map_err(failed)? {
                Room::There => return Ok(()),
                Room::After(old) => old,
                Room::Full => {
                    return Err(format!(
                        "{most} bytes are kept of what {shown} asked for and nobody approved, all of it pending or on legal hold: \
                         have what waits decided, or the hold released"
                    ));
                }
            };
            let what = format!(
                "what was shown of {} requests of {shown} removed, which nobody approved: {most} bytes are kept of such",
                old.len()
            );
            // Written down before it is done.
            self.record_of(None, None, AuditKind::Administration { by: "retention".to_owned(), what }).await?;
            now_held.forget(&old, now()).await.map_err(failed)?;
        }
    }

    /// Takes a place for the approval; gives the answer back where there is none, and says why.
    fn admit(&self, request: ApprovalRequest, answer: Answer) -> Result<Arc<Slot>, (Answer, String)> {
        let mut waiting = self.waiting();
        let id = request.id;
        if waiting.slots.contains_key(&id) {
            return Err((answer, "an approval of this identifier is pending".to_owned()));
        }
        if let Err(full) = waiting.places.take(&Want::of(&request)) {
            return Err((answer, full.to_string()));
        }
        let entry = Entry { request: Arc::new(request), stored: false, answer: Some(answer), yes: Vec::new() };
        let slot = Arc::new(Slot { entry: tokio::sync::Mutex::new(entry), ended: Notify::new() });
        waiting.slots.insert(id, Arc::clone(&slot));
        Ok(slot)
    }
}

/// What somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    Yes,
    No,
    /// Yes, alone.
    BreakGlass,
}

/// In which words, and from where.
struct Words {
    comment: String,
    via: Option<ChatAccountId>,
}

fn approver(v: &StoredVerdict, asked: Timestamp) -> Approver {
    Approver { id: v.by.clone(), groups: v.groups.clone(), after: v.time.since(asked), broke_glass: v.break_glass }
}

/// When others are asked, and who, in order.
fn escalations(request: &ApprovalRequest) -> Vec<(Timestamp, Vec<String>)> {
    let of = request.requirements.iter().filter_map(|r| r.escalation.as_ref());
    let mut all: Vec<_> = of.map(|e| (request.asked.after(e.after), e.groups.clone())).collect();
    all.sort();
    all
}

/// Whether this person is asked at all, and is not the one who asks.
fn entitled(request: &ApprovalRequest, by: &Principal, say: Say, waited: Duration) -> Result<(), DecideError> {
    // Neither the agent, nor the person that it acts for, nor who acted before. And a verdict is given in person: an agent gives
    // none for anybody.
    if request.principal.has_in_chain(by) || by.on_behalf_of.is_some() {
        return Err(DecideError::OwnRequest);
    }
    match (say, is_approver(request, by, waited), may_break_glass(request, by)) {
        (Say::Yes | Say::No, true, _) | (Say::BreakGlass, _, true) => Ok(()),
        (Say::BreakGlass, true, false) => Err(DecideError::NoGlass),
        (Say::Yes | Say::No, false, _) | (Say::BreakGlass, false, false) => Err(DecideError::NotFound),
    }
}

/// Whether this person is in a group of any requirement, of those that are asked after so long.
pub(crate) fn is_approver(request: &ApprovalRequest, who: &Principal, waited: Duration) -> bool {
    request.requirements.iter().any(|r| r.asks(&who.groups, waited))
}

/// Whether a policy that holds the request lets this person through alone in an emergency.
pub(crate) fn may_break_glass(request: &ApprovalRequest, who: &Principal) -> bool {
    request.requirements.iter().any(|r| r.break_glass.iter().any(|g| who.groups.contains(g)))
}

impl ApprovalDesk for Desk {
    fn submit(&self, request: ApprovalRequest, answer: Answer) {
        match self.admit(request, answer) {
            Ok(slot) => {
                self.0.runtime.spawn(self.clone().wait(slot));
            }
            // Answered from a task: who submits may hold a lock that the answer needs.
            Err((answer, reason)) => {
                self.0.runtime.spawn(async move { answer(ApprovalVerdict::Unavailable { reason }) });
            }
        }
    }

    fn withdraw(&self, id: ApprovalId, reason: &str) {
        let Some(slot) = self.slot(id) else { return };
        let (desk, reason) = (self.clone(), reason.to_owned());
        self.0.runtime.spawn(async move {
            desk.end(&slot, &mut *slot.entry.lock().await, ApprovalVerdict::Withdrawn, &reason).await;
        });
    }

    fn link(&self, id: ApprovalId) -> String {
        format!("{}/approvals/{id}", self.0.public_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_enforce::{AuditUnavailable, Requirement, Ticket};
    use doorward_model::{ConnectionName, Facts, PrincipalKind, RequestId, SessionId};
    use std::task::{Context, Poll};
    use tokio::sync::oneshot;

    #[derive(Debug)]
    struct NoLog;
    impl AuditSink for NoLog {
        fn append(&self, _: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
            Ok(Ticket(0))
        }
        fn committed(&self) -> Ticket {
            Ticket(0)
        }
        fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
            Poll::Ready(Ok(()))
        }
    }

    fn request(n: u128) -> ApprovalRequest {
        let principal = Principal {
            kind: PrincipalKind::Agent,
            issuer: "corp".into(),
            subject: "bot".into(),
            groups: [].into(),
            tags: [].into(),
            token_id: None,
            expires_at: now(),
            on_behalf_of: None,
        };
        ApprovalRequest {
            id: ApprovalId::from_uuid(uuid::Uuid::from_u128(n)),
            session: SessionId::from_uuid(uuid::Uuid::from_u128(1)),
            request: RequestId(1),
            principal,
            connection: ConnectionName::new("orders"),
            statement: "SELECT 1".into(),
            shown: Arc::default(),
            facts: Arc::new(Facts::new("SELECT", 1, vec![])),
            digest: String::new(),
            requirements: vec![Requirement {
                policy: "p".into(),
                reason: None,
                groups: vec![],
                quorum: 1,
                escalation: None,
                break_glass: vec![],
            }],
            asked: now(),
            expires: now().after(Duration::from_secs(600)),
            waits: true,
        }
    }

    fn submit(desk: &Desk, n: u128) -> oneshot::Receiver<ApprovalVerdict> {
        let (tx, rx) = oneshot::channel();
        desk.submit(request(n), Box::new(move |v| drop(tx.send(v))));
        rx
    }

    #[tokio::test]
    async fn a_full_desk_refuses_and_an_end_makes_room_and_ends_its_timer() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), now()).await.unwrap();
        let desk = Desk::new(store, Arc::new(NoLog), "https://x", tokio::runtime::Handle::current());
        desk.waiting().places = Places::of(2, 1 << 20);
        let first = submit(&desk, 1);
        let _second = submit(&desk, 2);
        let ApprovalVerdict::Unavailable { reason } = submit(&desk, 3).await.unwrap() else { panic!("not refused") };
        assert!(reason.contains("corp/bot has 2 approvals pending"), "{reason}");
        desk.withdraw(request(1).id, "gone");
        assert_eq!(first.await.unwrap(), ApprovalVerdict::Withdrawn);
        let mut third = submit(&desk, 4);
        desk.withdraw(request(2).id, "gone");
        // One desk and one timer are left of three.
        for _ in 0..600 {
            if Arc::strong_count(&desk.0) == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(third.try_recv().is_err(), "it waits");
        assert_eq!((desk.waiting().slots.len(), Arc::strong_count(&desk.0)), (1, 2), "one desk and one timer");
    }

    #[tokio::test]
    async fn who_asks_and_goes_away_again_and_again_fills_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), now()).await.unwrap();
        let mut desk = Desk::new(store.clone(), Arc::new(NoLog), "https://x", tokio::runtime::Handle::current());
        let most = 20_000;
        let bot = Asker { caller: "corp/bot".into(), person: None };
        Arc::get_mut(&mut desk.0).unwrap().most_kept = most;
        for n in 1..=20 {
            let mut asked = request(n);
            asked.statement = "x".repeat(3000).into();
            let (id, (tx, rx)) = (asked.id, oneshot::channel());
            desk.submit(asked, Box::new(move |v| drop(tx.send(v))));
            while store.approval(id).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            desk.withdraw(id, "gone");
            assert_eq!(rx.await.unwrap(), ApprovalVerdict::Withdrawn);
            assert!(store.approvals_kept(&bot).await.unwrap() <= most, "{n}");
        }
        let all = store.approvals(None, None, 100).await.unwrap();
        let there: Vec<bool> = all.iter().map(|a| a.forgotten.is_none()).collect();
        assert_eq!(there.len(), 20, "each is in the trail");
        assert!(there[0] && there[1] && !there[18] && !there[19], "the texts of the oldest are gone: {there:?}");
        // Where nothing can go, it is refused.
        let hold = doorward_store::LegalHold {
            session: request(1).session,
            by: "corp/ann".into(),
            reason: "case 7".into(),
            time: now(),
        };
        store.hold(&hold).await.unwrap();
        let mut asked = request(99);
        asked.statement = "x".repeat(18_000).into();
        let (tx, rx) = oneshot::channel();
        desk.submit(asked, Box::new(move |v| drop(tx.send(v))));
        let ApprovalVerdict::Unavailable { reason } = rx.await.unwrap() else { panic!("not refused") };
        assert!(reason.contains("20000 bytes are kept") && reason.contains("legal hold"), "{reason}");
        assert_eq!(desk.pending(), 0);
    }
}
