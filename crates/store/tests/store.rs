//! The store as a process sees it: made, used, opened again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use doorward_enforce::{ApprovalRequest, Requirement, Shown, ShownPart};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, AuditKind, ChatAccountId, ConnectionName, Delegation, Facts, Principal,
    PrincipalKind, RequestId, Resource, SessionId, Timestamp,
};
use doorward_store::{
    ApprovalState, Asker, LegalHold, PolicyActivation, PolicyMode, Room, Store, StoredConnection, StoredCursor,
    StoredVerdict,
};
use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};
use uuid::Uuid;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}
fn id(n: u128) -> ApprovalId {
    ApprovalId::from_uuid(Uuid::from_u128(n))
}
fn request(n: u128) -> ApprovalRequest {
    ApprovalRequest {
        id: id(n),
        session: SessionId::from_uuid(Uuid::from_u128(9)),
        request: RequestId(3),
        principal: Principal {
            kind: PrincipalKind::Agent,
            issuer: "corp".into(),
            subject: "bot".into(),
            groups: ["agents".to_owned()].into(),
            tags: [("team".to_owned(), "shop".to_owned())].into(),
            token_id: Some("t1".into()),
            expires_at: at(999),
            on_behalf_of: None,
        },
        connection: ConnectionName::new("orders"),
        statement: Arc::from("DELETE FROM \"o'Neil\" WHERE id = $1; -- \u{1F980}"),
        shown: Arc::new(shown()),
        facts: Arc::new(Facts::new("DELETE", 1, vec![Access::new(Action::Connect, Resource::Connection)])),
        digest: "ab".into(),
        requirements: vec![Requirement {
            policy: "p".into(),
            reason: Some("why".into()),
            groups: vec!["sre".into(), "dba".into()],
            quorum: 2,
            escalation: Some(doorward_enforce::Escalation {
                groups: vec!["leads".into()],
                after: std::time::Duration::from_secs(30),
            }),
            break_glass: vec!["oncall".into()],
        }],
        asked: at(1),
        expires: at(61),
        waits: true,
    }
}
fn verdict(by: &str, secs: u64) -> StoredVerdict {
    StoredVerdict {
        by: by.into(),
        groups: vec!["sre".into()],
        yes: true,
        comment: "fine; DROP TABLE verdicts".into(),
        time: at(secs),
        break_glass: true,
        via: Some(ChatAccountId { chat: "slack".into(), team: "T1".into(), user: "U1".into() }),
    }
}
fn shown() -> Shown {
    Shown {
        parameters: vec!["1".into(), "NULL".into()],
        rows: vec![vec!["a".into()], vec!["\u{0}".into()]],
        parts: vec![ShownPart { name: "Body".into(), text: "{}".into(), page_only: true }],
        unseen: vec!["u".into()],
        notes: vec!["n".into()],
    }
}
async fn open(dir: &Path) -> Store {
    Store::open(dir, at(100)).await.unwrap()
}

#[tokio::test]
async fn an_approval_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let asked = request(1);
    store.approval_asked(&asked).await.unwrap();
    store.verdict(asked.id, &verdict("corp/ben", 3)).await.unwrap();
    store.verdict(asked.id, &verdict("corp/anna", 2)).await.unwrap();
    let back = store.approval(asked.id).await.unwrap().unwrap();
    assert_eq!(format!("{:?}", back.request), format!("{asked:?}"));
    assert_eq!((back.state, back.ended, back.reason), (ApprovalState::Pending, None, None));
    assert_eq!(back.verdicts, [verdict("corp/anna", 2), verdict("corp/ben", 3)], "oldest first");
    assert!(store.approval(id(2)).await.unwrap().is_none());
    assert!(store.approval_asked(&asked).await.is_err(), "the identifier is taken");
}

#[tokio::test]
async fn a_list_leaves_out_what_is_long_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let long = "x".repeat(20_000);
    let part = ShownPart { name: "Body".into(), text: long.clone(), page_only: true };
    let with_part = Shown { parts: vec![part], ..Shown::default() };
    store.approval_asked(&request(1)).await.unwrap();
    store.approval_asked(&ApprovalRequest { shown: Arc::new(with_part.clone()), ..request(2) }).await.unwrap();
    let statement = Arc::from(format!("a\0{long}"));
    store.approval_asked(&ApprovalRequest { statement, ..request(3) }).await.unwrap();
    let list = store.approvals(None, None, 10).await.unwrap();
    let brief: Vec<_> = list.iter().rev().map(|a| (a.abridged, a.request.statement.len() < 17_000)).collect();
    assert_eq!(brief, [(false, true), (true, true), (true, true)]);
    assert_eq!((&*list[2].request.shown, &*list[1].request.shown), (&shown(), &Shown::default()));
    let whole = store.approval(id(2)).await.unwrap().unwrap();
    assert_eq!((whole.abridged, &*whole.request.shown), (false, &with_part));
    assert_eq!(store.approval(id(3)).await.unwrap().unwrap().request.statement.len(), 20_002);
}

#[tokio::test]
async fn texts_of_old_approvals_go_and_what_came_of_them_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let of = |n: u128, session: u128| ApprovalRequest {
        session: SessionId::from_uuid(Uuid::from_u128(session)),
        statement: Arc::from(format!("SELECT 'needle-{n}'")),
        ..request(n)
    };
    for (n, session) in [(1, 9), (2, 10), (3, 9), (4, 9)] {
        store.approval_asked(&of(n, session)).await.unwrap();
    }
    store.verdict(id(1), &verdict("corp/anna", 1)).await.unwrap();
    for n in [1, 2] {
        assert!(store.approval_ended(id(n), ApprovalState::Approved, "approved", at(50)).await.unwrap());
    }
    store.approval_ended(id(3), ApprovalState::Denied, "denied", at(70)).await.unwrap();
    let hold = LegalHold {
        session: SessionId::from_uuid(Uuid::from_u128(10)),
        by: "corp/ann".into(),
        reason: "case 7".into(),
        time: at(60),
    };
    store.hold(&hold).await.unwrap();
    {
        let mut now = store.holds_as_of_now().await.unwrap();
        let due = now.approvals_to_forget(at(60)).await.unwrap();
        assert_eq!(due, [id(1)], "2 is held, 3 ended later, 4 waits");
        assert_eq!(now.forget(&[id(1), id(2), id(4)], at(80)).await.unwrap(), 1, "whoever asks");
        assert!(now.approvals_to_forget(at(60)).await.unwrap().is_empty(), "once");
    }
    let gone = store.approval(id(1)).await.unwrap().unwrap();
    assert_eq!((&*gone.request.statement, &*gone.request.shown, gone.forgotten), ("", &Shown::default(), Some(at(80))));
    assert_eq!((gone.state, gone.request.digest.as_str()), (ApprovalState::Approved, "ab"));
    assert_eq!((gone.verdicts, gone.request.principal), (vec![verdict("corp/anna", 1)], request(1).principal));
    assert_eq!(gone.request.facts, request(1).facts, "a short list of rights");
    for n in [2, 3, 4] {
        let there = store.approval(id(n)).await.unwrap().unwrap();
        assert_eq!((&*there.request.shown, there.forgotten), (&shown(), None), "{n}");
    }
    assert!(store.checkpoint().await.unwrap(), "nobody else reads");
    for (file, needles) in [("doorward.db", (false, true)), ("doorward.db-wal", (false, false))] {
        let text = String::from_utf8_lossy(&std::fs::read(dir.path().join(file)).unwrap()).into_owned();
        assert_eq!((text.contains("needle-1"), text.contains("needle-2")), needles, "{file}");
    }
}

#[tokio::test]
async fn a_caller_has_room_for_so_many_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut other = request(9);
    other.principal.subject = "other".into();
    store.approval_asked(&other).await.unwrap();
    for n in 1..=4 {
        store.approval_asked(&request(n)).await.unwrap();
    }
    let alone = asker("corp/bot", Some(""));
    let kept = store.approvals_kept(&alone).await.unwrap();
    assert_eq!(kept, store.approvals_kept(&asker("corp/other", Some(""))).await.unwrap() * 4);
    let one = kept / 4;
    let room = async |bytes| store.holds_as_of_now().await.unwrap().room_for(&alone, bytes, kept + one).await.unwrap();
    assert_eq!((room(one).await, room(one + 1).await), (Room::There, Room::Full), "all are pending");
    store.approval_ended(id(2), ApprovalState::Withdrawn, "gone", at(70)).await.unwrap();
    store.approval_ended(id(1), ApprovalState::Expired, "expired", at(71)).await.unwrap();
    assert_eq!(room(one + 1).await, Room::After(vec![id(2)]), "the oldest end first");
    assert_eq!(room(3 * one).await, Room::After(vec![id(2), id(1)]));
    assert_eq!(store.holds_as_of_now().await.unwrap().forget(&[id(2)], at(80)).await.unwrap(), 1);
    assert_eq!(room(2 * one).await, Room::There);
    store.approval_ended(id(3), ApprovalState::Approved, "approved", at(72)).await.unwrap();
    assert_eq!(room(3 * one).await, Room::There, "what somebody approved does not count");
}

fn asker(caller: &str, person: Option<&str>) -> Asker {
    Asker { caller: caller.into(), person: person.map(str::to_owned) }
}

#[tokio::test]
async fn what_an_agent_asks_for_one_person_takes_no_room_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.approval_asked(&request(1)).await.unwrap();
    for (n, person) in [(2, "ann"), (3, "ann"), (4, "ben")] {
        let mut asked = request(n);
        let person = Principal { subject: person.into(), ..asked.principal.clone() };
        asked.principal.on_behalf_of = Some(Box::new(Delegation { person, prior_actors: Vec::new() }));
        store.approval_asked(&asked).await.unwrap();
    }
    let kept = async |person| store.approvals_kept(&asker("corp/bot", person)).await.unwrap();
    let (ann, ben, alone) = (kept(Some("corp/ann")).await, kept(Some("corp/ben")).await, kept(Some("")).await);
    assert_eq!((ann, kept(None).await), (2 * ben, ann + ben + alone));
    assert!(alone > 0 && ben > 0);
    store.approval_ended(id(4), ApprovalState::Withdrawn, "gone", at(70)).await.unwrap();
    let room = async |person, most| {
        store.holds_as_of_now().await.unwrap().room_for(&asker("corp/bot", person), 1, most).await.unwrap()
    };
    assert_eq!(room(Some("corp/ann"), ann).await, Room::Full, "what is over is somebody else's");
    assert_eq!(room(Some("corp/ben"), ben).await, Room::After(vec![id(4)]));
    assert_eq!(room(None, ann + ben + alone).await, Room::After(vec![id(4)]));
}

#[tokio::test]
async fn one_person_has_one_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.approval_asked(&request(1)).await.unwrap();
    store.approval_asked(&request(2)).await.unwrap();
    store.verdict(id(1), &verdict("corp/anna", 1)).await.unwrap();
    assert!(store.verdict(id(1), &StoredVerdict { yes: false, ..verdict("corp/anna", 2) }).await.is_err());
    store.verdict(id(2), &verdict("corp/anna", 3)).await.unwrap();
    assert!(store.verdict(id(3), &verdict("corp/anna", 4)).await.is_err(), "no such approval");
    let kept = store.approval(id(1)).await.unwrap().unwrap().verdicts;
    assert_eq!(kept, [verdict("corp/anna", 1)], "the first one stands");
}

#[tokio::test]
async fn an_approval_ends_once_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.approval_asked(&request(1)).await.unwrap();
    let ends = [ApprovalState::Approved, ApprovalState::Denied, ApprovalState::Expired, ApprovalState::Withdrawn];
    let tasks: Vec<_> = ends
        .into_iter()
        .map(|state| {
            let store = store.clone();
            tokio::spawn(async move { (state, store.approval_ended(id(1), state, "race", at(5)).await.unwrap()) })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        let (state, won) = task.await.unwrap();
        winners.extend(won.then_some(state));
    }
    let kept = store.approval(id(1)).await.unwrap().unwrap();
    assert_eq!(winners, [kept.state], "exactly one");
    assert_eq!((kept.ended, kept.reason.as_deref()), (Some(at(5)), Some("race")));
    assert!(!store.approval_ended(id(2), ApprovalState::Denied, "", at(5)).await.unwrap(), "unknown");
}

#[tokio::test]
async fn a_restart_withdraws_what_was_pending_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for n in 1..=2 {
        store.approval_asked(&request(n)).await.unwrap();
    }
    store.verdict(id(2), &verdict("corp/anna", 2)).await.unwrap();
    store.approval_ended(id(2), ApprovalState::Approved, "approved", at(7)).await.unwrap();
    store.close().await;

    let store = Store::open(dir.path(), at(200)).await.unwrap();
    let left = store.approval(id(1)).await.unwrap().unwrap();
    assert_eq!((left.state, left.ended), (ApprovalState::Withdrawn, Some(at(200))));
    assert_eq!(left.reason.as_deref(), Some("gateway restarted"));
    let done = store.approval(id(2)).await.unwrap().unwrap();
    assert_eq!((done.state, done.ended, done.verdicts.len()), (ApprovalState::Approved, Some(at(7)), 1));
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_paged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for n in 1..=5 {
        store.approval_asked(&request(n)).await.unwrap();
    }
    store.approval_ended(id(4), ApprovalState::Denied, "", at(5)).await.unwrap();
    let ids = async |state, before, limit| -> Vec<u128> {
        let list = store.approvals(state, before, limit).await.unwrap();
        list.iter().map(|a| a.request.id.uuid().as_u128()).collect()
    };
    assert_eq!(ids(None, None, 500).await, [5, 4, 3, 2, 1]);
    assert_eq!(ids(Some(ApprovalState::Pending), None, 2).await, [5, 3]);
    assert_eq!(ids(Some(ApprovalState::Pending), Some(id(3)), 9).await, [2, 1]);
    assert_eq!(ids(Some(ApprovalState::Expired), None, 9).await, [0; 0]);
}

#[tokio::test]
async fn versions_of_policies_are_kept_and_the_newest_activation_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), at(0)).await.unwrap();
    assert_eq!(store.active_policies(PolicyMode::Enforce).await.unwrap(), None);
    let first = store.keep_policies("a", "sso/anna", "first", at(1), None).await.unwrap();
    let second = store.keep_policies("b", "sso/ben", "second", at(2), Some(first)).await.unwrap();
    store.keep_policies("c", "sso/ben", "", at(3), Some(99)).await.unwrap_err();
    let activate = async |version, mode| {
        let by = "sso/anna".to_owned();
        store.activate_policies(&PolicyActivation { version, mode, by, comment: String::new(), time: at(4) }).await
    };
    activate(Some(first), PolicyMode::Enforce).await.unwrap();
    activate(Some(second), PolicyMode::Monitor).await.unwrap();
    activate(Some(99), PolicyMode::Enforce).await.unwrap_err();
    let active = async |mode| store.active_policies(mode).await.unwrap().map(|v| v.id);
    assert_eq!(active(PolicyMode::Enforce).await, Some(first));
    assert_eq!(active(PolicyMode::Monitor).await, Some(second));
    activate(None, PolicyMode::Enforce).await.unwrap();
    assert_eq!(active(PolicyMode::Enforce).await, None);
    assert_eq!(active(PolicyMode::Monitor).await, Some(second));
    let texts = async |before, limit| -> Vec<String> {
        store.policy_versions(before, limit).await.unwrap().into_iter().map(|v| v.text).collect()
    };
    assert_eq!(texts(None, 10).await, ["b", "a"]);
    assert_eq!(texts(Some(second), 10).await, ["a"]);
    assert_eq!(store.policy_activations(10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_files_are_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("doorward.db"), b"").unwrap();
    std::fs::set_permissions(dir.path().join("doorward.db"), Permissions::from_mode(0o644)).unwrap();
    let store = open(dir.path()).await;
    store.approval_asked(&request(1)).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 2, "the database and its log");
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("doorward.db"), [7; 4096]).unwrap();
    assert!(Store::open(dir.path(), at(0)).await.is_err());
    assert!(Store::open(&dir.path().join("nowhere"), at(0)).await.is_err());
}

#[tokio::test]
async fn a_connection_that_was_removed_and_comes_again_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), at(1)).await.unwrap();
    let row = |version, secs| StoredConnection {
        name: "orders".into(),
        version,
        spec: "{}".into(),
        created: at(secs),
        updated: at(secs),
        updated_by: "corp/ada".into(),
    };
    let put = async |version, secs| store.put_connection(&row(version, secs)).await.unwrap().map(|c| c.created);
    assert_eq!(put(1, 10).await, Some(at(10)));
    assert_eq!(put(2, 20).await, Some(at(10)), "a change leaves it the one that it is");
    assert_eq!(put(2, 30).await, None, "somebody else was faster");
    assert_eq!(store.connections().await.unwrap().first().map(|c| c.created), Some(at(10)));
    assert!(store.remove_connection("orders").await.unwrap());
    assert_eq!(put(1, 40).await, Some(at(40)));
    // Where the clock was put back, what began before is still not its own.
    store.remove_connection("orders").await.unwrap();
    let connection = ConnectionName::new("orders");
    let kind = AuditKind::SessionOpened { connection, client: "127.0.0.1:9".into() };
    let session = Some(SessionId::from_uuid(Uuid::from_u128(7)));
    let cursor = StoredCursor { seq: 1, hash: "ab".into(), entries: 1, updated: at(50) };
    store.saw(&[(1, AuditEvent { time: at(50), session, kind, parties: None })], &cursor).await.unwrap();
    assert!(put(1, 5).await.unwrap() > at(50));
}
