//! What the log says, taken in line by line and searched.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use doorward_model::{
    Access, Action, AuditEvent, AuditKind, AuditOutcome, ConnectionName, Delegation, Facts, Principal, PrincipalKind,
    RequestId, Resource, SessionId, Timestamp,
};
use doorward_store::{Among, SessionFilter, Store, StoredCursor};
use std::sync::Arc;
use uuid::Uuid;

fn session(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

fn event(n: u128, kind: AuditKind) -> AuditEvent {
    AuditEvent { time: Timestamp::from_secs(1_800_000_000), session: Some(session(n)), kind, parties: None }
}

fn opened(n: u128) -> AuditEvent {
    event(n, AuditKind::SessionOpened { connection: ConnectionName::new("orders"), client: "127.0.0.1:9".into() })
}

fn request(n: u128, table: &str) -> AuditEvent {
    let table = Resource::Table { schema: "public".into(), name: table.into() };
    event(
        n,
        AuditKind::Request {
            request: RequestId(1),
            outcome: AuditOutcome::Forward,
            via: "query".into(),
            statement: "SELECT".into(),
            digest: String::new(),
            facts: Arc::new(Facts::new("SELECT", 1, vec![Access::new(Action::Select, table)])),
            policies: Arc::from([]),
            policy_version: "v".into(),
            reason: None,
            approval: None,
        },
    )
}

fn cursor(seq: u64) -> StoredCursor {
    StoredCursor { seq, hash: "ab".into(), entries: seq, updated: Timestamp::from_secs(1) }
}

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Timestamp::from_secs(1)).await.unwrap();
    (dir, store)
}

fn whole(connection: &str) -> Among {
    Among { connection: connection.to_owned(), since: Timestamp::from_secs(0), until: None }
}

async fn by_table(store: &Store, table: &str) -> usize {
    let among = store.seen_connections().await.unwrap().iter().map(|name| whole(name)).collect();
    let filter = SessionFilter { resource: Some(table.to_owned()), among, ..SessionFilter::default() };
    store.seen_sessions(&filter, None, 10).await.unwrap().len()
}

#[tokio::test]
async fn a_session_in_two_batches_is_one_session() {
    let (_dir, store) = store().await;
    store.saw(&[(1, opened(1)), (2, request(1, "a"))], &cursor(2)).await.unwrap();
    let ended = AuditKind::SessionEnded { reason: "client left".into(), client_bytes: 0, upstream_bytes: 0 };
    store.saw(&[(3, request(1, "a")), (4, request(1, "b")), (5, event(1, ended))], &cursor(5)).await.unwrap();
    let seen = store.seen_session(session(1)).await.unwrap().unwrap();
    assert_eq!((seen.requests, seen.connection.as_str(), seen.ended.unwrap().1.as_str()), (3, "orders", "client left"));
    assert_eq!((by_table(&store, "public.a").await, by_table(&store, "public.c").await), (1, 0));
    assert_eq!(store.seen_cursor().await.unwrap().unwrap().seq, 5);
}

#[tokio::test]
async fn one_session_does_not_fill_the_disk() {
    let (_dir, store) = store().await;
    for batch in 0..3_u64 {
        let mut entries = vec![(batch * 2_000, opened(1))];
        entries.extend((0..1_500).map(|n| (batch * 2_000 + n, request(1, &format!("t{batch}x{n}")))));
        store.saw(&entries, &cursor(batch * 2_000 + 1_500)).await.unwrap();
    }
    let seen = store.seen_session(session(1)).await.unwrap().unwrap();
    assert!(seen.is_cut, "it says that not all of it is found");
    assert_eq!(seen.requests, 4_500);
    assert_eq!((by_table(&store, "t0x7").await, by_table(&store, "t2x1499").await), (1, 0));
}

#[tokio::test]
async fn what_the_log_has_lost_is_forgotten() {
    let (_dir, store) = store().await;
    store.saw(&[(1, opened(1)), (2, request(1, "a")), (3, opened(2)), (9, request(2, "b"))], &cursor(9)).await.unwrap();
    store.unsee_before(5).await.unwrap();
    assert!(store.seen_session(session(1)).await.unwrap().is_none());
    assert!(store.seen_session(session(2)).await.unwrap().is_some(), "it goes on behind");
    assert_eq!(by_table(&store, "public.a").await, 0);
    store.unsee_all().await.unwrap();
    assert!(store.seen_cursor().await.unwrap().is_none());
}

#[tokio::test]
async fn sessions_are_found_on_the_connections_that_are_named_alone() {
    let (_dir, store) = store().await;
    let on = |n: u128, name: &str| {
        let connection = ConnectionName::new(name);
        event(n, AuditKind::SessionOpened { connection, client: "127.0.0.1:9".into() })
    };
    let entries = [(1, on(1, "orders")), (2, on(2, "billing")), (3, on(3, "orders")), (4, request(4, "a"))];
    store.saw(&entries, &cursor(4)).await.unwrap();
    assert_eq!(store.seen_connections().await.unwrap(), ["billing", "orders"]);
    let found = async |among: &[&str]| -> Vec<SessionId> {
        let among = among.iter().map(|name| whole(name)).collect();
        let found = store.seen_sessions(&SessionFilter { among, ..SessionFilter::default() }, None, 10).await.unwrap();
        found.iter().map(|s| s.id).collect()
    };
    assert_eq!(found(&["orders"]).await, [session(3), session(1)]);
    assert_eq!(found(&["orders", "billing"]).await, [session(3), session(2), session(1)]);
    assert!(found(&[]).await.is_empty(), "nothing is said, and nothing is found");
    let begun = async |since: u64, until: Option<u64>| {
        let (since, until) = (Timestamp::from_secs(since), until.map(Timestamp::from_secs));
        let among = vec![Among { since, until, ..whole("orders") }];
        store.seen_sessions(&SessionFilter { among, ..SessionFilter::default() }, None, 10).await.unwrap().len()
    };
    let (at, later) = (1_800_000_000, 1_800_000_001);
    assert_eq!((begun(at, None).await, begun(later, None).await), (2, 0));
    assert_eq!((begun(0, Some(at)).await, begun(0, Some(later)).await), (0, 2));
}

/// Sessions of agents that act for people are found by either, and both have come.
#[tokio::test]
async fn what_an_agent_does_for_a_person_is_found_by_either() {
    let (_dir, store) = store().await;
    let one = |kind, subject: &str| Principal {
        kind,
        issuer: "corp".into(),
        subject: subject.into(),
        groups: [format!("of-{subject}")].into(),
        tags: [].into(),
        token_id: None,
        expires_at: Timestamp::from_secs(2),
        on_behalf_of: None,
    };
    let dana = one(PrincipalKind::User, "dana");
    let bot = one(PrincipalKind::Agent, "bot");
    let on_behalf_of = Some(Box::new(Delegation { person: dana.clone(), prior_actors: vec!["corp/planner".into()] }));
    let came = |n, principal| event(n, AuditKind::Authenticated { principal, user: "u".into(), by: None });
    let acting = Principal { on_behalf_of, ..bot.clone() };
    let entries =
        [(1, opened(1)), (2, came(1, acting)), (3, opened(2)), (4, came(2, bot)), (5, opened(3)), (6, came(3, dana))];
    store.saw(&entries, &cursor(6)).await.unwrap();
    let by = async |who: &str| {
        let among = vec![whole("orders")];
        let filter = SessionFilter { among, principal: Some(who.to_owned()), ..SessionFilter::default() };
        let found = store.seen_sessions(&filter, None, 10).await.unwrap();
        let mut found: Vec<String> = found.into_iter().filter_map(|s| s.principal).collect();
        found.sort();
        found
    };
    assert_eq!(by("corp/dana").await, ["corp/bot for corp/dana", "corp/dana"]);
    assert_eq!(by("corp/bot").await, ["corp/bot", "corp/bot for corp/dana"]);
    let seen = store.seen_principals(None, 10).await.unwrap();
    let seen: Vec<_> = seen.iter().map(|p| (p.id.as_str(), p.kind, p.sessions)).collect();
    assert_eq!(seen, [("corp/bot", PrincipalKind::Agent, 2), ("corp/dana", PrincipalKind::User, 2)]);
}
