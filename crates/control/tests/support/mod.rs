//! People, requests and an audit log to test with.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by tests that use parts of it")]
pub mod evidence;

use doorward_control::Desk;
use doorward_enforce::{
    ApprovalDesk as _, ApprovalRequest, ApprovalVerdict, AuditSink, AuditUnavailable, Requirement, Shown, Ticket,
};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, AuditKind, ConnectionName, Facts, Principal, PrincipalKind, RequestId,
    Resource, SessionId, Timestamp,
};
use doorward_store::{ApprovalState, Store};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;
use uuid::Uuid;

pub fn now() -> Timestamp {
    SystemTime::now().into()
}

pub fn person(subject: &str, groups: &[&str]) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        issuer: "corp".into(),
        subject: subject.into(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        tags: [].into(),
        token_id: None,
        expires_at: now().after(Duration::from_secs(3600)),
        on_behalf_of: None,
    }
}

pub fn need(groups: &[&str], quorum: u32) -> Requirement {
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    Requirement {
        policy: "p".into(),
        reason: Some("prod".into()),
        groups,
        quorum,
        escalation: None,
        break_glass: vec![],
    }
}

/// An audit log in memory that can fail in every way.
#[derive(Debug, Default)]
pub struct Audit {
    pub events: Mutex<Vec<AuditEvent>>,
    pub full: AtomicBool,
    pub broken: AtomicBool,
    /// The disk takes its time.
    pub slow: AtomicBool,
    /// The disk takes all the time there is.
    pub stuck: AtomicBool,
}

impl Audit {
    pub fn kinds(&self) -> Vec<AuditKind> {
        self.events.lock().unwrap().iter().map(|e| e.kind.clone()).collect()
    }
}

impl AuditSink for Audit {
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        if self.full.load(SeqCst) {
            return Err(AuditUnavailable { reason: "disk full".into() });
        }
        self.events.lock().unwrap().push(event.clone());
        Ok(Ticket(1))
    }
    fn committed(&self) -> Ticket {
        Ticket(u64::MAX)
    }
    fn poll_committed(&self, _: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        if self.broken.load(SeqCst) {
            return Poll::Ready(Err(AuditUnavailable { reason: "log broken".into() }));
        }
        if self.slow.load(SeqCst) || self.stuck.load(SeqCst) {
            let waker = cx.waker().clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                waker.wake();
            });
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

/// A desk over a store of its own.
pub struct Office {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub audit: Arc<Audit>,
    pub desk: Desk,
    next: AtomicU64,
}

/// Every answer that an approval gives: exactly one is right.
pub type Answers = mpsc::UnboundedReceiver<ApprovalVerdict>;

impl Office {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), now()).await.unwrap();
        let audit = Arc::new(Audit::default());
        let sink: Arc<dyn AuditSink> = audit.clone();
        let desk = Desk::new(store.clone(), sink, "https://doors.example/", tokio::runtime::Handle::current());
        Self { dir, store, audit, desk, next: AtomicU64::new(1) }
    }

    pub fn request(&self, requirements: Vec<Requirement>, ttl: Duration) -> ApprovalRequest {
        let asked = now();
        ApprovalRequest {
            id: ApprovalId::from_uuid(Uuid::from_u128(self.next.fetch_add(1, SeqCst).into())),
            session: SessionId::from_uuid(Uuid::from_u128(77)),
            request: RequestId(1),
            principal: person("bot", &["agents", "sre"]),
            connection: ConnectionName::new("orders"),
            statement: Arc::from("DROP TABLE t"),
            shown: Arc::new(Shown::of_parameters(vec!["7".into()])),
            facts: Arc::new(Facts::new("DROP TABLE", 1, vec![Access::new(Action::Connect, Resource::Connection)])),
            digest: "ab".into(),
            requirements,
            asked,
            expires: asked.after(ttl),
            waits: true,
        }
    }

    /// Asks, and waits until it can be seen in the store.
    pub async fn ask(&self, requirements: Vec<Requirement>, ttl: Duration) -> (ApprovalId, Answers) {
        self.ask_as("bot", requirements, ttl).await
    }

    /// The same for another caller: one has a bounded number of places.
    pub async fn ask_as(&self, who: &str, requirements: Vec<Requirement>, ttl: Duration) -> (ApprovalId, Answers) {
        let mut request = self.request(requirements, ttl);
        request.principal.subject = who.into();
        let id = request.id;
        let answers = self.submit(request);
        for _ in 0..500 {
            if self.store.approval(id).await.unwrap().is_some() {
                return (id, answers);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never stored");
    }

    pub fn submit(&self, request: ApprovalRequest) -> Answers {
        let (tx, rx) = mpsc::unbounded_channel();
        self.desk.submit(request, Box::new(move |v| tx.send(v).unwrap_or_default()));
        rx
    }

    pub async fn state(&self, id: ApprovalId) -> ApprovalState {
        self.store.approval(id).await.unwrap().unwrap().state
    }
}

/// The only answer; waits for it, and for the end of the sender that proves there is no other.
pub async fn only(mut answers: Answers) -> ApprovalVerdict {
    let wait = async {
        let verdict = answers.recv().await.expect("an answer");
        assert_eq!(answers.recv().await, None, "answered twice");
        verdict
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("an answer in time")
}
