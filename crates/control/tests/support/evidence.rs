//! An audit log and a recording as a gateway leaves them, on the disk.
use crate::support::{self, person};
use doorward_enforce::AuditSink as _;
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, AuditKind, AuditOutcome, ConnectionName, Facts, Principal, RequestId,
    Resource, SessionId, Timestamp,
};
use doorward_record::{AuditLog, AuditOptions, Direction, RecordOptions, RecordStore, RecordingMeta, keys};
use std::{path::Path, sync::Arc};
use uuid::Uuid;

/// On a connection that is not configured any more.
pub const GONE: SessionId = SessionId::from_uuid(Uuid::from_u128(78));

#[derive(Debug)]
pub struct Log(pub Arc<AuditLog>);

impl Log {
    pub fn open(dir: &Path) -> Self {
        for part in ["keys", "audit", "recordings"] {
            std::fs::create_dir_all(dir.join(part)).unwrap();
        }
        let key = keys::load_or_create(&dir.join("keys")).unwrap();
        Self(AuditLog::open(&dir.join("audit"), key, AuditOptions::default()).unwrap())
    }

    pub fn note(&self, session: Option<SessionId>, kind: AuditKind) {
        let ticket = self.0.append(&AuditEvent { time: support::now(), session, kind, parties: None }).unwrap();
        self.0.wait(ticket).unwrap();
    }

    pub fn session(&self, id: SessionId, connection: &str, principal: Principal) {
        let connection = ConnectionName::new(connection);
        self.note(Some(id), AuditKind::SessionOpened { connection, client: "127.0.0.1:9".into() });
        self.note(Some(id), AuditKind::Authenticated { principal, user: "app".into(), by: None });
    }

    pub fn request(
        &self,
        id: SessionId,
        request: u64,
        outcome: AuditOutcome,
        command: &str,
        table: &str,
        approval: Option<ApprovalId>,
    ) {
        let table = Resource::Table { schema: "public".into(), name: table.into() };
        let kind = AuditKind::Request {
            request: RequestId(request),
            outcome,
            via: "query".into(),
            statement: format!("{command} public").into(),
            digest: "ab".into(),
            facts: Arc::new(Facts::new(command, 1, vec![Access::new(Action::Select, table)])),
            policies: vec!["p".to_owned()].into(),
            policy_version: "v".into(),
            reason: None,
            approval,
        };
        self.note(Some(id), kind);
    }

    pub fn completed(&self, id: SessionId, request: u64) {
        let request = RequestId(request);
        self.note(Some(id), AuditKind::Completed { request, result: "DROP TABLE".into(), rows: 0, masked: 0 });
    }
}

/// A log with two sessions, and a recording of the first.
pub fn write(dir: &Path, session: SessionId) -> Log {
    let log = Log::open(dir);
    log.session(session, "orders", person("bot", &["agents", "sre"]));
    log.request(session, 1, AuditOutcome::Forward, "SELECT", "customers", None);
    log.request(session, 2, AuditOutcome::Refuse, "DROP TABLE", "invoices", None);
    log.session(GONE, "billing", person("eve", &["staff"]));
    log.request(GONE, 1, AuditOutcome::Forward, "SELECT", "customers_100%", None);
    log.note(Some(GONE), AuditKind::SessionEnded { reason: "client left".into(), client_bytes: 1, upstream_bytes: 2 });
    let key = keys::load_or_create(&dir.join("keys")).unwrap();
    let store = RecordStore::open(&dir.join("recordings"), key, RecordOptions::default()).unwrap();
    let started = support::now();
    let recording = store.start(RecordingMeta {
        session: session.to_string(),
        connection: "orders".into(),
        protocol: "postgres".into(),
        started,
        client: "127.0.0.1:9".into(),
        more: serde_json::Value::Null,
    });
    for n in 0..150_u64 {
        let time = Timestamp::from_micros(started.as_micros() + n);
        recording.frame(Direction::Client, time, format!("Q\0\0\0\x0eselect {};\0", n % 10).as_bytes());
    }
    recording.finish(started, "client left");
    store.stop();
    log
}
