//! An audit log, a store, and entries of every kind.
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test support")]
use doorward_enforce::AuditSink as _;
use doorward_export::{ExportConfig, Exporters, Format, Kinds, Pace, Source, Status, Target};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, AuditKind, AuditOutcome, ConnectionName, Delegation, Facts, Principal,
    PrincipalKind, RequestId, Resource, SessionId, Timestamp,
};
use doorward_record::{AuditLog, AuditOptions, SigningKey};
use doorward_store::Store;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;
use uuid::Uuid;

pub struct World {
    pub dir: TempDir,
    pub log: Arc<AuditLog>,
    pub store: Store,
}

pub fn pace() -> Pace {
    Pace {
        linger: Duration::from_millis(20),
        first_pause: Duration::from_millis(30),
        longest_pause: Duration::from_millis(200),
        send_limit: Duration::from_secs(20),
        ..Pace::default()
    }
}

pub fn options() -> AuditOptions {
    AuditOptions { file_bytes: 16 << 10, reserve_bytes: 8 << 20, checkpoint_lines: 50, ..AuditOptions::default() }
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(&dir.path().join("audit"), SigningKey::from_bytes(&[7; 32]), options()).unwrap();
        let store = Store::open(dir.path(), Timestamp::default()).await.unwrap();
        Self { dir, log, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn source(&self) -> Source {
        Source {
            dir: self.log.dir().to_owned(),
            audit: Arc::clone(&self.log) as _,
            store: self.store.clone(),
            kinds: Kinds::new(|name| {
                let all = [("orders", "postgres"), ("shell", "ssh"), ("cluster", "kubernetes")];
                all.iter().find(|(n, _)| *n == name).map(|(_, kind)| (*kind).to_owned())
            }),
        }
    }

    pub async fn start(&self, configs: Vec<ExportConfig>) -> Exporters {
        Exporters::start(&self.source(), configs, &pace()).await.unwrap()
    }

    /// Every now and then durably, so that the log has several files.
    pub fn append(&self, event: &AuditEvent) -> u64 {
        let ticket = self.log.append(event).unwrap();
        if ticket.0.is_multiple_of(20) {
            self.log.wait(ticket).unwrap();
        }
        ticket.0
    }

    /// Entries of one session; gives their number.
    pub fn traffic(&self, session: u128, requests: u64) -> usize {
        let mut events = vec![opened(session, "orders"), authenticated(session)];
        events.extend((1..=requests).map(|n| request(session, n, "select 1", AuditOutcome::Forward)));
        for event in &events {
            self.append(event);
        }
        events.len()
    }
}

pub fn export(name: &str, target: Target, format: Format) -> ExportConfig {
    ExportConfig { name: name.to_owned(), target, format, events: Vec::new() }
}

pub fn to_file(name: &str, path: &Path) -> ExportConfig {
    export(name, Target::File { path: path.to_owned() }, Format::Json)
}

/// Waits until `what` holds of the exporters.
pub async fn until(exporters: &Exporters, what: impl Fn(&[Status]) -> bool) -> Vec<Status> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let statuses = exporters.statuses();
        if what(&statuses) {
            return statuses;
        }
        assert!(Instant::now() < end, "waited in vain: {statuses:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn now() -> Timestamp {
    SystemTime::now().into()
}

pub fn session(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

fn event(n: u128, kind: AuditKind) -> AuditEvent {
    AuditEvent { time: now(), session: (n > 0).then(|| session(n)), kind, parties: None }
}

pub fn opened(n: u128, connection: &str) -> AuditEvent {
    event(n, AuditKind::SessionOpened { connection: ConnectionName::new(connection), client: "192.0.2.7:51234".into() })
}

pub fn principal() -> Principal {
    Principal {
        kind: PrincipalKind::Agent,
        issuer: "ci".into(),
        subject: "bot".into(),
        groups: ["agents".to_owned()].into(),
        tags: Default::default(),
        token_id: None,
        expires_at: Timestamp::from_secs(2_000_000_000),
        on_behalf_of: None,
    }
}

pub fn authenticated(n: u128) -> AuditEvent {
    event(n, AuditKind::Authenticated { principal: principal(), user: "app".into(), by: None })
}

/// The same for a person.
fn acting(n: u128) -> AuditEvent {
    let dana = Principal { kind: PrincipalKind::User, subject: "dana".into(), ..principal() };
    let on_behalf_of = Some(Box::new(Delegation { person: dana, prior_actors: vec!["ci/planner".into()] }));
    let principal = Principal { on_behalf_of, ..principal() };
    let parties = principal.parties().map(Arc::new);
    AuditEvent { parties, ..event(n, AuditKind::Authenticated { principal, user: "app".into(), by: None }) }
}

pub fn request(n: u128, id: u64, statement: &str, outcome: AuditOutcome) -> AuditEvent {
    with_facts(
        n,
        id,
        statement,
        outcome,
        vec![Access::new(Action::Select, Resource::Table { schema: "public".into(), name: "orders".into() })],
    )
}

pub fn with_facts(n: u128, id: u64, statement: &str, outcome: AuditOutcome, accesses: Vec<Access>) -> AuditEvent {
    event(
        n,
        AuditKind::Request {
            request: RequestId(id),
            outcome,
            via: "query".into(),
            statement: Arc::from(statement),
            digest: "ab".repeat(32),
            facts: Arc::new(Facts::new("SELECT", 1, accesses)),
            policies: vec!["may-read".to_owned()].into(),
            policy_version: Arc::from("v1"),
            reason: (outcome == AuditOutcome::Refuse).then(|| "refused by policy".to_owned()),
            approval: None,
        },
    )
}

/// One entry of every kind, on connections of every kind.
pub fn every_kind() -> Vec<AuditEvent> {
    let approval = ApprovalId::from_uuid(Uuid::from_u128(99));
    let mut out = vec![event(0, AuditKind::GatewayStarted { version: "1".into(), policy_version: "v1".into() })];
    for (n, connection) in [(1, "orders"), (2, "shell"), (3, "cluster"), (4, "unheard of"), (5, "orders")] {
        out.push(opened(n, connection));
        out.push(if n == 5 { acting(n) } else { authenticated(n) });
        for outcome in [AuditOutcome::Forward, AuditOutcome::Hold, AuditOutcome::Refuse] {
            out.push(request(n, 1, "select * from \"a|b\\c\" where x = '\u{e9}\n\u{1f980}'", outcome));
        }
        out.push(with_facts(
            n,
            2,
            "begin",
            AuditOutcome::Forward,
            vec![Access::new(Action::Connect, Resource::Connection)],
        ));
        out.push(event(
            n,
            AuditKind::Completed { request: RequestId(1), result: "SELECT 1".into(), rows: 1, masked: 2 },
        ));
        out.push(event(
            n,
            AuditKind::FileCopied {
                path: "/etc/passwd".into(),
                direction: if n % 2 == 0 { "uploaded" } else { "downloaded" }.into(),
                bytes: 7,
                sha256: (n > 1).then(|| "cd".repeat(32)),
            },
        ));
        out.push(event(
            n,
            AuditKind::ApprovalRequested {
                approval,
                request: RequestId(1),
                approvers: vec![vec!["sre".into(), "dba".into()]],
                expires: now(),
            },
        ));
        out.push(event(n, AuditKind::ApprovalEscalated { approval, groups: vec!["leads".into()] }));
        for (approved, break_glass) in [(true, false), (false, false), (true, true)] {
            out.push(event(
                n,
                AuditKind::ApprovalDecided {
                    approval,
                    approved,
                    by: "corp/ann".into(),
                    comment: "x=y".into(),
                    break_glass,
                    via: approved.then(|| doorward_model::ChatAccountId {
                        chat: "slack".into(),
                        team: "T1".into(),
                        user: "U1".into(),
                    }),
                },
            ));
        }
        out.push(event(n, AuditKind::ApprovalEnded { approval, reason: "expired".into() }));
        out.push(event(n, AuditKind::Fault { at_fault: "client".into(), what: "a bad byte".into() }));
        out.push(event(
            n,
            AuditKind::SessionEnded { reason: "client left".into(), client_bytes: 1, upstream_bytes: 2 },
        ));
    }
    out.push(opened(9, "orders"));
    out.push(event(9, AuditKind::AuthenticationFailed { user: "root".into(), reason: "expired".into() }));
    // Of a session that nothing is known of.
    out.push(request(77, 1, "select 1", AuditOutcome::Forward));
    out.push(event(0, AuditKind::Cancel { known: false }));
    out.push(event(0, AuditKind::PolicyChanged { policy_version: "v2".into(), refused: None }));
    out.push(event(0, AuditKind::PolicyChanged { policy_version: "v2".into(), refused: Some("line 3".into()) }));
    out.push(event(0, AuditKind::Administration { by: "corp/ann".into(), what: "ended a session".into() }));
    out.push(event(0, AuditKind::GatewayStopped {}));
    out
}
