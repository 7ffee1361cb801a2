//! An identity on a caller's connection: its decisions, its recording, its end.
use super::Endpoint;
use crate::{
    admission::{Admission, Registered},
    live::{Live, never_held_twice},
    parked,
    registry::Control,
    services::now,
};
use doorward_enforce::{
    ApprovalRequest, ApprovalVerdict, Approver, AtOnce, AuditUnavailable, Held, NotShown, Outcome, Permit, Refusal,
    Request, Shown, StreamPermit, TraceParent, UpstreamQueue, nothing_else,
};
pub(crate) use doorward_kubernetes::codec::Part;
use doorward_kubernetes::{Impersonation, Target, codec, copy::Copying, facts::Meaning};
use doorward_model::{ApprovalId, AuditKind, DataType, Principal, RequestId};
use doorward_record::Direction;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// Requests of a session that may wait for people at once.
const MOST_HELD: usize = 16;

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) live: Live,
    /// Who the caller is in the cluster, where the gateway says so.
    pub(crate) in_cluster: Option<Impersonation>,
    requests: AtomicU32,
    /// Streams that go on when the HTTP connection that they came on is no more.
    streams: watch::Sender<usize>,
    /// Room for requests that wait for people.
    held: Semaphore,
    /// What is looked at while it is copied (`kubectl cp`), by the request.
    copies: Mutex<HashMap<u32, Copying>>,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum NoSession {
    Refused(Refusal),
    Unavailable(String),
}

impl From<AuditUnavailable> for NoSession {
    fn from(e: AuditUnavailable) -> Self {
        Self::Unavailable(e.to_string())
    }
}

impl Session {
    /// A session of a principal: it may begin where a policy allows `connect`.
    pub(crate) async fn begin(
        endpoint: Arc<Endpoint>,
        principal: Principal,
        peer: SocketAddr,
    ) -> Result<Arc<Self>, NoSession> {
        let connection = &endpoint.connection;
        let admission = Admission::new(
            &endpoint.services,
            (&connection.info, connection.upstream.place()),
            "kubernetes",
            peer,
            connection.strict_audit,
        );
        admission.note_opened()?;
        let (who, id) = (principal.clone(), admission.id);
        let naming = connection.impersonate.as_ref();
        let in_cluster = naming.map(|naming| naming.of(&principal, &id.to_string())).transpose();
        let checked = Ok(principal.clone());
        admission.note_identity("", &checked)?;
        let recording = admission.record(json!({ "principal": who.to_string() }));
        let enforcer = admission.enforcer(principal, None, true);
        let nobody = in_cluster.as_ref().err().map(|why| nobody_there(why));
        let session = Arc::new(Self {
            live: Live::new(id, &endpoint.services, enforcer, recording),
            in_cluster: in_cluster.unwrap_or_default(),
            requests: 0.into(),
            streams: watch::Sender::new(0),
            held: Semaphore::new(MOST_HELD),
            copies: Mutex::default(),
            endpoint,
        });
        let mut beginning = Beginning(Some(Arc::clone(&session)));
        // INVARIANT: without a name in the cluster nothing is sent, or it would be sent as the gateway.
        let begun = match nobody {
            Some(refusal) => Err(refusal),
            None => session.decide_start().await,
        };
        beginning.0 = None;
        if let Err(refusal) = begun {
            session.close(&format!("no session: {}", refusal.message));
            return Err(NoSession::Refused(refusal));
        }
        let Registered { control, is_served, .. } = admission.register(&who);
        if !is_served {
            let why = "its connection was changed or removed meanwhile: try again";
            session.close(&format!("no session: {why}"));
            return Err(NoSession::Unavailable(why.to_owned()));
        }
        tokio::spawn(Arc::clone(&session).watch(control));
        Ok(session)
    }

    async fn decide_start(&self) -> Result<(), Refusal> {
        let facts = Arc::clone(self.live.enforcer.lock().connect_facts());
        let meaning = Meaning { facts, statement: "connect".into() };
        let decided = self.decide("connect", &meaning, b"", &nothing_else, None);
        let permit = match decided {
            Outcome::Forward(permit) => permit,
            Outcome::Refuse(refusal) => return Err(refusal),
            Outcome::Hold(held) => self.settle(*held, ApprovalVerdict::Withdrawn)?,
        };
        self.redeem(permit, b"").await
    }

    /// A number for the next request.
    pub(crate) fn next_request(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Decides a request.
    pub(crate) fn decide(
        &self,
        via: &'static str,
        meaning: &Meaning,
        payload: &[u8],
        shown: &dyn Fn() -> Result<Shown, NotShown>,
        trace: Option<TraceParent>,
    ) -> Outcome {
        let request = Request { via, statement: &meaning.statement, shown, bound: &[], payload };
        let mut enforcer = self.live.ready_enforcer();
        let outcome = enforcer.decide(&meaning.facts, &request, now());
        self.is_of(enforcer.last_request(), trace);
        outcome
    }

    /// Tells of the caller's trace that a request is of.
    fn is_of(&self, request: RequestId, trace: Option<TraceParent>) {
        if let (Some(traces), Some(trace)) = (&self.endpoint.services.traces, trace) {
            traces.belongs(self.live.id, request, trace);
        }
    }

    /// Decides a request of a caller who does not wait for people; `same`: see [`Enforcer::decide_at_once`].
    pub(crate) fn decide_at_once(
        &self,
        meaning: &Meaning,
        payload: &[u8],
        shown: &dyn Fn() -> Result<Shown, NotShown>,
        same: &[&[u8]],
        trace: Option<TraceParent>,
    ) -> AtOnce {
        let services = &self.endpoint.services;
        let request = Request { via: "request", statement: &meaning.statement, shown, bound: &[], payload };
        let mut enforcer = self.live.ready_enforcer();
        let decided = enforcer.decide_at_once(&meaning.facts, &request, same, &services.parked, now());
        let number = enforcer.last_request();
        drop(enforcer);
        self.is_of(number, trace);
        if let AtOnce::Wait(waiting) = &decided
            && waiting.is_new
        {
            parked::ask(services, &waiting.approval);
        }
        decided
    }

    /// Whether a request would be refused, as far as policies go.
    pub(crate) fn would_refuse(&self, meaning: &Meaning) -> bool {
        self.live.enforcer.lock().would_refuse(&meaning.facts, now())
    }

    /// Whether a request would be allowed as it is.
    pub(crate) fn would_allow(&self, meaning: &Meaning) -> bool {
        self.live.enforcer.lock().would_allow(&meaning.facts, now())
    }

    /// Waits for people's verdict on a held request; until then it is the caller's to withdraw, by leaving.
    pub(crate) async fn wait_for_people(
        &self,
        approval: &ApprovalRequest,
        gone: impl Future<Output = ()>,
    ) -> ApprovalVerdict {
        let Ok(_place) = self.held.try_acquire() else {
            return ApprovalVerdict::Unavailable {
                reason: format!("more than {MOST_HELD} of your requests wait already"),
            };
        };
        let desk = &self.endpoint.services.approvals;
        let (tell, answer) = oneshot::channel();
        desk.submit(
            approval.clone(),
            Box::new(move |verdict| {
                let _gone = tell.send(verdict);
            }),
        );
        let mut withdrawn = Withdrawal { session: self, approval: Some(approval.id) };
        let why = tokio::select! {
            verdict = answer => {
                withdrawn.approval = None;
                let lost = || ApprovalVerdict::Unavailable { reason: "the approval was lost".into() };
                return verdict.unwrap_or_else(|_| lost());
            }
            () = gone => "the caller left",
            () = self.live.ended() => "the session ended",
        };
        withdrawn.approval = None;
        desk.withdraw(approval.id, why);
        ApprovalVerdict::Withdrawn
    }

    /// Settles a held request by its verdict.
    pub(crate) fn settle(&self, held: Held, verdict: ApprovalVerdict) -> Result<Permit, Refusal> {
        match self.live.enforcer.lock().settle(held, verdict, now()) {
            Outcome::Forward(permit) => Ok(permit),
            Outcome::Refuse(refusal) => Err(refusal),
            Outcome::Hold(again) => Err(never_held_twice(again.approval())),
        }
    }

    /// What an approver is linked to.
    pub(crate) fn link(&self, approval: &ApprovalRequest) -> String {
        self.endpoint.services.approvals.link(approval.id)
    }

    /// Uses up a permit, once its audit entry is durable.
    pub(crate) async fn redeem(&self, permit: Permit, bytes: &[u8]) -> Result<(), Refusal> {
        let mut queue = UpstreamQueue::new();
        queue.push(permit, bytes).map_err(|e| unavailable(&e.to_string()))?;
        self.live.durable(&queue).await.map_err(|e| unavailable(&e.to_string()))
    }

    /// Records bytes as they went, once there is room for them.
    pub(crate) async fn keep(&self, request: u32, part: Part, direction: Direction, bytes: &[u8]) {
        if part == Part::Channel {
            self.copied(request, direction, bytes);
        }
        let frames = codec::frames(request, part, bytes, 32 * 1024);
        self.live.keep(direction, bytes.len(), frames.into_iter()).await;
    }

    /// From here on the channels of a request are looked at, if it is a copy of files.
    pub(crate) fn copy_begins(&self, request: u32, target: &Target) {
        if let Some(copying) = Copying::of(target) {
            self.copies.lock().insert(request, copying);
        }
    }

    /// Writes down which files are through.
    fn copied(&self, request: u32, direction: Direction, message: &[u8]) {
        let files = match self.copies.lock().get_mut(&request) {
            Some(copying) => copying.see(direction == Direction::Client, message),
            None => return,
        };
        for file in files {
            self.event(request, "file", file.to_json());
            self.live.note(AuditKind::FileCopied {
                path: file.path,
                direction: file.way.as_str().into(),
                bytes: file.bytes,
                sha256: file.sha256,
            });
        }
    }

    /// A stream is over: what the copy came to, if it was one.
    pub(crate) fn copy_ends(&self, request: u32) {
        let Some(copying) = self.copies.lock().remove(&request) else { return };
        let sum = copying.finish();
        self.event(request, "copy", sum.to_json());
        if let Some(problem) = sum.problem {
            let what = format!("a copy of files is not known whole: {problem}");
            self.live.note(AuditKind::Fault { at_fault: "client or upstream".into(), what });
        }
    }

    /// Writes into the recording what happened.
    pub(crate) fn event(&self, request: u32, what: &str, details: Value) {
        self.live.recording.meta(now(), &json!({ "request": request, "what": what, "details": details }));
    }

    /// Writes into the recording who approved a request, if it was.
    pub(crate) fn event_approved(&self, request: u32, verdict: &ApprovalVerdict) {
        if let ApprovalVerdict::Approved { by } = verdict {
            self.event_approved_by(request, by);
        }
    }

    /// The same, where it is known who.
    pub(crate) fn event_approved_by(&self, request: u32, by: &[Approver]) {
        let by: Vec<String> = by.iter().map(|a| a.id.to_string()).collect();
        self.event(request, "approved", json!({ "by": by.join(", ") }));
    }

    /// The kinds of values that the caller may not see. Ask before a masker is made: what has changed between the two is
    /// noticed then.
    pub(crate) fn hidden(&self) -> Vec<DataType> {
        self.live.masks().into_iter().map(|(kind, _)| kind).collect()
    }

    /// Resolves when what was allowed, and goes on, no longer is, or when other values are hidden than at its start.
    pub(crate) async fn revoked(&self, permit: &StreamPermit, hidden: &[DataType]) -> Refusal {
        self.live.revoked_where(permit, || self.hidden() == hidden).await
    }

    /// Writes down that something was ended that had been allowed.
    pub(crate) fn note_revoked(&self, request: u32, refusal: &Refusal) {
        self.event(request, "ended", json!({ "reason": refusal.message }));
        self.live.note(AuditKind::Fault { at_fault: "policy".into(), what: format!("ended: {}", refusal.message) });
    }

    /// One more stream, for as long as what is given back lives.
    pub(crate) fn stream(self: &Arc<Self>, request: u32) -> LiveStream {
        self.streams.send_modify(|n| *n += 1);
        LiveStream { session: Arc::clone(self), request }
    }

    /// Resolves when there is no stream, or the session is over.
    pub(crate) async fn streams_end(&self) {
        let mut streams = self.streams.subscribe();
        tokio::select! {
            _none = streams.wait_for(|n| *n == 0) => {}
            () = self.live.ended() => {}
        }
    }

    /// Watches over the session: what reaches it from elsewhere, and whether it may go on.
    async fn watch(self: Arc<Self>, mut control: mpsc::UnboundedReceiver<Control>) {
        let reason = self.live.over(&mut control, |refusal| refusal.message.clone()).await;
        self.live.end(&reason);
    }

    /// The session is over: its end is written down.
    pub(crate) fn close(&self, reason: &str) {
        self.live.end(reason);
        let reason = self.live.ending().unwrap_or_default();
        self.live.note_end(&reason);
        self.live.recording.end(now(), &reason);
        self.endpoint.services.registry.remove(self.live.id, None);
    }
}

/// A session whose start is being decided: whoever leaves meanwhile leaves an end in the log, too.
struct Beginning(Option<Arc<Session>>);

impl Drop for Beginning {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.close("the caller left before the session began");
        }
    }
}

/// A stream of a session.
pub(crate) struct LiveStream {
    session: Arc<Session>,
    request: u32,
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.session.copy_ends(self.request);
        self.session.streams.send_modify(|n| *n -= 1);
    }
}

/// A request whose caller has gone (its future is dropped) is not left for people to decide.
struct Withdrawal<'a> {
    session: &'a Session,
    approval: Option<ApprovalId>,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.approval {
            self.session.endpoint.services.approvals.withdraw(id, "the caller left");
            self.session
                .live
                .note(AuditKind::ApprovalEnded { approval: id, reason: "withdrawn: the caller left".into() });
        }
    }
}

pub(crate) fn unavailable(why: &str) -> Refusal {
    Refusal {
        kind: doorward_enforce::RefusalKind::Unavailable,
        message: format!("refused: {why}"),
        detail: None,
        hint: Some("nothing was sent to the cluster; tell the operator of this gateway, then try again".into()),
    }
}

fn nobody_there(why: &str) -> Refusal {
    Refusal {
        kind: doorward_enforce::RefusalKind::Policy,
        message: format!("refused: {why}"),
        detail: None,
        hint: Some("nothing was sent to the cluster; tell the operator of this gateway".into()),
    }
}
