//! Figures, not a judgement: `cargo test --release -p doorward-policy --test speed -- --ignored --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests"
)]
use doorward_enforce::{Circumstances, DecisionPoint as _, Party, Subject};
use doorward_model::{
    Access, Action, ConnectionInfo, ConnectionName, Name, Principal, PrincipalKind, Resource, SessionId, Timestamp,
};
use doorward_policy::{Engine, Source, load};
use std::{collections::BTreeSet, fmt::Write as _, sync::Arc, time::Instant};

fn subject() -> Arc<Subject> {
    Arc::new(Subject {
        session: SessionId::from_uuid(uuid::Uuid::nil()),
        principal: Principal {
            kind: PrincipalKind::Agent,
            issuer: "ci".into(),
            subject: "bot".into(),
            groups: ["agents", "group7", "everybody"].map(ToOwned::to_owned).into(),
            tags: [("ref".to_owned(), "refs/heads/main".to_owned())].into(),
            token_id: None,
            expires_at: Timestamp::from_micros(u64::MAX),
            on_behalf_of: None,
        },
        connection: ConnectionInfo {
            name: ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: Some("orders".into()),
            labels: [("environment".to_owned(), "prod".to_owned())].into(),
            tags: [("public.customers.email".to_owned(), BTreeSet::from(["pii".to_owned()]))].into(),
        },
        client_ip: "10.0.0.1".parse().unwrap(),
        tls: true,
    })
}

fn dozen() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar")).unwrap()
}

/// Policies over a hundred connections and a hundred groups, none of which is this session's but a few.
fn many(n: usize) -> String {
    let mut out = dozen();
    for i in 0..n {
        let (connection, group) = (i % 100, i / 100);
        writeln!(
            out,
            "@id(\"p{i}\") permit (principal in Group::\"group{group}\", action in [Action::\"select\", \
             Action::\"insert\"], resource in Connection::\"c{connection}\") \
             unless {{ resource.tags.contains(\"pii\") }};"
        )
        .unwrap();
    }
    out
}

fn measure(name: &str, text: String) {
    let start = Instant::now();
    let loaded = load(&[Source { name: name.into(), text }]).unwrap();
    let count = loaded.policies().count();
    let load_time = start.elapsed();
    let engine = Engine::new(loaded);
    let s = subject();
    let start = Instant::now();
    let mut session = engine.open(&s, Party::Caller);
    let first_open = start.elapsed();
    let start = Instant::now();
    for _ in 0..1000 {
        session = engine.open(&s, Party::Caller);
    }
    let open = start.elapsed() / 1000;
    let command: Name = "SELECT".into();
    let now = Timestamp::from_secs(1_772_445_900);
    let c = Circumstances { now, command: &command, statements: 1, approved: false, approvers: &[] };
    println!("{name}: {count} policies, load {load_time:?}, open {open:?} (first {first_open:?})");
    let table = |name: &str| Resource::Table { schema: "public".into(), name: name.into() };
    let column = Resource::Column { schema: "public".into(), table: "customers".into(), name: "email".into() };
    for access in [
        Access::new(Action::Connect, Resource::Connection),
        Access::new(Action::Select, table("orders")),
        Access::new(Action::Update, table("orders")),
        Access::new(Action::Reveal, column),
    ] {
        let start = Instant::now();
        session.decide(&access, &c);
        let first = start.elapsed();
        let start = Instant::now();
        for _ in 0..20_000 {
            std::hint::black_box(session.decide(&access, &c));
        }
        println!("  {access}: {:?} (first {first:?})", start.elapsed() / 20_000);
    }
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    measure("the sample policies", dozen());
    measure("and a thousand", many(1000));
    measure("and ten thousand", many(10_000));
}
