//! What the interface says of the past: audit log, sessions, recordings, trails, principals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod support;
#[path = "support/web.rs"]
mod web;

use doorward_enforce::ApprovalDesk as _;
use doorward_model::{AuditKind, AuditOutcome, RequestId, SessionId};
use doorward_store::SessionPurpose;
use serde_json::Value;
use std::time::Duration;
use support::{evidence::GONE, need, person};
use uuid::Uuid;
use web::{Answer, SESSION, Web};

async fn read(web: &Web, path: &str, token: &str) -> Value {
    let got = web.get(path, Some(token)).await;
    assert_eq!(got.status, 200, "{path}: {}", got.body);
    serde_json::from_str(&got.body).unwrap()
}

fn ids(list: &Value) -> Vec<SessionId> {
    list["sessions"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn sessions_are_found_by_who_where_what_and_how_it_came_out() {
    let web = Web::new(None).await;
    let found = async |query: &str| ids(&read(&web, &format!("/sessions?{query}"), "admin").await);
    assert_eq!(found("").await, [GONE, SESSION], "newest first");
    for (query, expected) in [
        ("principal=BOT", vec![SESSION]),
        ("principal=corp/", vec![GONE, SESSION]),
        ("connection=billing", vec![GONE]),
        ("connection=bill", vec![]),
        ("table=customers", vec![GONE, SESSION]),
        ("table=public.invoices", vec![SESSION]),
        ("table=100%25", vec![GONE]),
        ("table=_", vec![GONE]),
        ("command=drop", vec![SESSION]),
        ("outcome=refuse", vec![SESSION]),
        ("outcome=refuse&table=customers", vec![]),
        ("outcome=hold", vec![]),
        ("state=live", vec![SESSION]),
        ("state=live&outcome=refuse", vec![SESSION]),
        ("state=live&command=grant", vec![]),
        ("state=past", vec![GONE]),
        ("since=2020-01-01&until=2020-01-02", vec![]),
        ("since=2020-01-01", vec![GONE, SESSION]),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    let first = read(&web, "/sessions?limit=1", "admin").await;
    let next = read(&web, &format!("/sessions?limit=1&cursor={}", first["next"].as_str().unwrap()), "admin").await;
    assert_eq!((ids(&first), ids(&next), &next["next"]), (vec![GONE], vec![SESSION], &Value::Null));
    // Found by hand: patterns beyond what the database takes were a 503.
    for field in ["principal", "connection", "table", "command"] {
        let long = format!("/sessions?{field}={}", "_".repeat(26_000));
        assert_eq!(web.get(&long, Some("admin")).await.status, 400, "{field}");
    }
    for bad in ["state=dead", "outcome=maybe", "since=yesterday", "text=x", "cursor=x"] {
        assert_eq!(web.get(&format!("/sessions?{bad}"), Some("admin")).await.status, 400, "{bad}");
    }
}

/// A search that hides what it finds must not say that it has found it.
#[tokio::test]
async fn sessions_of_others_count_for_nothing_in_a_search() {
    let web = Web::new(None).await;
    let older = SessionId::from_uuid(Uuid::from_u128(5));
    web.log.session(older, "billing", person("eve", &["staff"]));
    web.log.request(older, 1, AuditOutcome::Forward, "SELECT", "salaries", None);
    // What the caller looks for they have touched themselves: the page is full with it.
    web.log.request(SESSION, 3, AuditOutcome::Forward, "SELECT", "salaries", None);
    web.log.request(SESSION, 4, AuditOutcome::Forward, "SELECT", "nothing", None);
    web.indexed().await;
    assert_eq!(ids(&read(&web, "/sessions?table=salaries", "admin").await), [SESSION, older]);
    let asked = async |table: &str| web.get(&format!("/sessions?limit=1&table={table}"), Some("buyer")).await.body;
    assert_eq!(asked("salaries").await, asked("nothing").await, "whether others touched it is not said");
    let all = read(&web, "/sessions?limit=1", "buyer").await;
    assert_eq!((ids(&all), &all["next"]), (vec![SESSION], &Value::Null));
}

#[tokio::test]
async fn a_session_says_what_became_of_it() {
    let web = Web::new(None).await;
    let gone = read(&web, &format!("/sessions/{GONE}"), "admin").await;
    assert_eq!((&gone["live"], &gone["reason"], &gone["requests"]), (&false.into(), &"client left".into(), &1.into()));
    let open = read(&web, &format!("/sessions/{SESSION}"), "admin").await;
    assert_eq!((&open["live"], &open["requests"], &open["refused"]), (&true.into(), &2.into(), &1.into()));
    assert_eq!(open["principal"], "corp/bot");
    let unknown = SessionId::from_uuid(Uuid::from_u128(1));
    for id in [unknown.to_string(), "..%2f..%2fkeys".into(), "x".into()] {
        assert_eq!(web.get(&format!("/sessions/{id}"), Some("admin")).await.status, 404, "{id}");
    }
}

/// What happened while nobody followed is taken in; a log that is another, anew.
#[tokio::test]
async fn what_the_log_says_is_made_anew_where_it_is_missing() {
    let web = Web::new(None).await;
    let before = web.office.store.seen_session(SESSION).await.unwrap().unwrap();
    web.office.store.unsee_all().await.unwrap();
    assert!(web.office.store.seen_session(SESSION).await.unwrap().is_none());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let folder = web.office.dir.path().join("audit");
    let task = doorward_control::Index::start(folder, web.log.0.clone(), web.office.store.clone(), stopped);
    web.indexed().await;
    assert_eq!(web.office.store.seen_session(SESSION).await.unwrap().unwrap(), before, "each line counts once");
    stop.send(true).unwrap();
    task.await.unwrap();
}

#[tokio::test]
async fn entries_are_found_and_paged() {
    let web = Web::new(None).await;
    let seqs = |list: &Value| -> Vec<u64> {
        list["entries"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect()
    };
    let whole = seqs(&read(&web, "/audit", "auditor").await);
    assert_eq!(whole.len(), 8, "{whole:?}");
    assert!(whole.is_sorted_by(|a, b| a > b), "newest first");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = read(&web, &format!("/audit?limit=3{cursor}"), "auditor").await;
        paged.extend(seqs(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);
    for (query, expected) in [
        ("principal=eve", 4),
        ("connection=orders", 4),
        ("connection=orders&principal=eve", 0),
        ("kind=request", 3),
        ("outcome=refuse", 1),
        ("text=INVOICES", 1),
        (&format!("session={GONE}"), 4),
        ("until=2020-01-01", 0),
        ("since=2020-01-01", 8),
    ] {
        assert_eq!(seqs(&read(&web, &format!("/audit?{query}"), "auditor").await).len(), expected, "{query}");
        let got = web.get(&format!("/audit/export?{query}"), Some("auditor")).await;
        let exported: Vec<Value> = got.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(exported.len(), expected, "exported: {query}");
        assert!(exported.is_sorted_by_key(|e| e["seq"].as_u64()), "oldest first");
    }
    for bad in ["kind=nosuch", "session=x", "limit=0", "limit=x"] {
        assert_eq!(web.get(&format!("/audit?{bad}"), Some("auditor")).await.status, 400, "{bad}");
    }
    assert_eq!(web.get("/audit/export?limit=1", Some("auditor")).await.status, 400);
    let taken = AuditKind::Administration { by: "corp/aud".into(), what: "export audit log".into() };
    assert!(web.office.audit.kinds().contains(&taken), "who took a copy is in the log");
}

#[tokio::test]
async fn an_entry_has_its_proof() {
    let web = Web::new(None).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let got = read(&web, &format!("/audit/{}", web.first_entry()), "auditor").await;
    assert_eq!(got["entry"]["event"], "session_opened");
    assert!(got["lines"][0].as_str().unwrap().ends_with(&format!("\"hash\":\"{}\"}}", got["hash"].as_str().unwrap())));
    assert!(got["checkpoint"]["text"].as_str().unwrap().contains(got["checkpoint"]["head"].as_str().unwrap()));
    for none in
        ["/audit/1", "/audit/999", "/audit/-1", "/audit/+3", "/audit/03", "/audit/x", "/audit/99999999999999999999"]
    {
        assert_eq!(web.get(none, Some("auditor")).await.status, 404, "{none}: a line of the log's own is no entry");
    }
}

#[tokio::test]
async fn the_log_is_verified_while_one_waits_or_not() {
    let web = Web::new(None).await;
    let got = web.post("/audit/verifications", Some("auditor"), "").await;
    assert_eq!(got.status, 202);
    let begun: Value = serde_json::from_str(&got.body).unwrap();
    let path = format!("/audit/verifications/{}", begun["id"].as_str().unwrap());
    assert!(got.head.contains(&format!("location: /api/v1{path}")), "{}", got.head);
    let report = async |path: &str| loop {
        let now = read(&web, path, "auditor").await;
        if now["state"] != "running" {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let done = report(&path).await;
    assert_eq!(
        (&done["state"], &done["report"]["intact"], &done["report"]["entries"]),
        (&"done".into(), &true.into(), &8.into())
    );
    let head = done["report"]["head"].as_str().unwrap().split('/').next().unwrap();
    assert_eq!(done["verified"].to_string(), head, "each line was counted");
    assert!(done["of"].as_u64().unwrap() > 0, "{done}");
    let body = format!("{{\"at_least\":\"999/{}\"}}", "0".repeat(64));
    let got = web.post("/audit/verifications", Some("auditor"), &body).await;
    let begun: Value = serde_json::from_str(&got.body).unwrap();
    let done = report(&format!("/audit/verifications/{}", begun["id"].as_str().unwrap())).await;
    assert_eq!(done["report"]["intact"], false, "it never had that head");
    assert_eq!(web.post("/audit/verifications", Some("auditor"), "{\"at_least\":\"x\"}").await.status, 400);
}

#[tokio::test]
async fn a_recording_is_shown_given_and_verified() {
    let web = Web::new(None).await;
    let path = format!("/sessions/{SESSION}/recording");
    let head = read(&web, &path, "auditor").await;
    assert_eq!((&head["protocol"], &head["connection"]), (&"postgres".into(), &"orders".into()));
    let first = read(&web, &format!("{path}/steps"), "auditor").await;
    assert_eq!(first["steps"].as_array().unwrap().len(), 100);
    let rest = read(&web, &format!("{path}/steps?cursor={}", first["next"].as_str().unwrap()), "auditor").await;
    assert_eq!(rest["steps"][0]["number"], 100, "{rest}");
    assert!(first["steps"][0]["text"].as_str().unwrap().contains("select 0"), "{first}");
    let jsonl = web.get(&format!("{path}/content"), Some("auditor")).await;
    assert!(jsonl.head.contains("application/x-ndjson") && jsonl.lines().count() == 152, "{}", jsonl.head);
    let pcapng = web.get(&format!("{path}/content?format=pcapng"), Some("auditor")).await;
    assert_eq!(pcapng.status, 200);
    let raw = web.get(&format!("{path}/content?format=raw"), Some("auditor")).await;
    assert!(raw.chunked().contains("DWREC001"));
    assert_eq!(web.get(&format!("{path}/content?format=exe"), Some("auditor")).await.status, 400);
    let check = web.post(&format!("{path}/verify"), Some("auditor"), "").await;
    let check: Value = serde_json::from_str(&check.body).unwrap();
    assert_eq!(check["intact"], true, "{check}");
    assert_eq!(web.get(&format!("/sessions/{GONE}/recording"), Some("auditor")).await.status, 404);
    let copies = web.office.audit.kinds().iter().filter(|k| format!("{k:?}").contains("take a copy")).count();
    assert_eq!(copies, 3);
    // Damage is said, and is no failure of ours.
    let file = web.office.dir.path().join(format!("recordings/{SESSION}.dwr"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let check = web.post(&format!("{path}/verify"), Some("auditor"), "").await;
    let check: Value = serde_json::from_str(&check.body).unwrap();
    assert!(check["intact"] == false && check["problem"].is_string(), "{check}");
    let steps = read(&web, &format!("{path}/steps"), "auditor").await;
    assert!(steps["problem"].is_string(), "{steps}");
}

/// A connection that was removed and registered again under its name is another: who may see what bears its labels has no business
/// with what was done before something bore them.
#[tokio::test]
async fn what_was_done_on_a_connection_that_is_gone_is_not_opened_by_one_of_its_name() {
    let web = Web::new(None).await;
    let (id, _answers) = web.office.ask(vec![need(&["sre"], 1)], Duration::from_secs(600)).await;
    let of_one = [
        format!("/sessions/{SESSION}"),
        format!("/sessions/{SESSION}/recording"),
        format!("/sessions/{SESSION}/recording/steps"),
        format!("/approvals/{id}"),
    ];
    for path in &of_one {
        assert_eq!(web.get(path, Some("watcher")).await.status, 200, "{path}");
    }
    assert_eq!(ids(&read(&web, "/sessions", "watcher").await), [SESSION]);

    web.rights.know(vec![web::orders(support::now())]);
    let new = SessionId::from_uuid(Uuid::from_u128(90));
    web.log.session(new, "orders", person("bot", &["agents"]));
    web.indexed().await;
    assert_eq!(ids(&read(&web, "/sessions", "watcher").await), [new]);
    for path in &of_one {
        assert_eq!(web.get(path, Some("watcher")).await.status, 404, "{path}");
    }
    let kill = format!("/sessions/{SESSION}/kill");
    assert_eq!(web.post(&kill, Some("watcher"), "").await.status, 404);
    for path in ["/sessions".to_owned(), "/sessions?text=public".to_owned(), format!("/sessions/{SESSION}")] {
        let seen = page(&web, &["prod-watchers"], &path).await;
        assert!(!seen.body.contains(&format!("/sessions/{SESSION}\"")), "{path}: {}", seen.body);
    }
    // Who may see all that there was sees it as before.
    assert_eq!(ids(&read(&web, "/sessions", "admin").await), [new, GONE, SESSION]);
    assert_eq!(web.get(&of_one[1], Some("auditor")).await.status, 200);
    web.office.desk.withdraw(id, "gone");
}

/// A page, as a browser of somebody signed in gets it.
async fn page(web: &Web, groups: &[&str], path: &str) -> Answer {
    let who = person("ada", groups);
    let begun = web
        .signin
        .begin(doorward_signin::SignedIn::new(who), "oidc", SessionPurpose::Browser, support::now())
        .await
        .unwrap();
    let cookie = begun.secret.expose();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: __Host-doorward={cookie}\r\n\r\n");
    let mut tcp = tokio::net::TcpStream::connect(web.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut tcp, head.as_bytes()).await.unwrap();
    web::answer(&mut tcp).await
}

#[tokio::test]
async fn pages_ask_what_is_known_of_sessions_before_they_read_the_log() {
    let web = Web::new(None).await;
    // As far back as no page looks through the log.
    let old = SessionId::from_uuid(Uuid::from_u128(3));
    let connection = doorward_model::ConnectionName::new("warehouse");
    let kind = AuditKind::SessionOpened { connection, client: "127.0.0.1:9".into() };
    let opened = doorward_model::AuditEvent { time: support::now(), session: Some(old), kind, parties: None };
    let at = web.office.store.seen_cursor().await.unwrap().unwrap();
    web.office.store.saw(&[(1, opened)], &at).await.unwrap();
    let admins = ["doorward-admins"];
    let list = page(&web, &admins, "/sessions?connection=ware").await;
    assert!(list.status == 200 && list.body.contains(&old.to_string()), "{}", list.body);
    assert!(!list.body.contains(&GONE.to_string()));
    let found = page(&web, &admins, "/sessions?text=invoices").await;
    assert!(found.body.contains(&format!("/sessions/{SESSION}")), "{}", found.body);
    assert!(page(&web, &admins, &format!("/sessions/{old}")).await.body.contains("warehouse"));
    for (query, lines) in [("connection=bill", 4), ("principal=bot&connection=orders", 4), ("event=request", 3)] {
        let audit = page(&web, &["doorward-auditors"], &format!("/audit?{query}")).await;
        assert_eq!(audit.body.matches("href=\"/audit/").count() - 1, lines, "{query}: {}", audit.body);
    }
    // Of one that nobody knows the log is not asked, however long it is.
    std::fs::rename(web.office.dir.path().join("audit"), web.office.dir.path().join("away")).unwrap();
    let nil = SessionId::from_uuid(Uuid::nil());
    assert_eq!(page(&web, &admins, &format!("/sessions/{nil}")).await.status, 404);
}

#[tokio::test]
async fn who_reads_policies_hears_of_no_connection_that_is_not_theirs_to_see() {
    let web = Web::new(None).await;
    let named = "<option>orders</option>";
    let admin = page(&web, &["doorward-admins"], "/policies").await;
    assert!(admin.status == 200 && admin.body.contains(named), "{}", admin.body);
    let reader = page(&web, &["readers"], "/policies").await;
    assert!(reader.status == 200 && !reader.body.contains(named), "{}", reader.body);
}

/// In HTTP/1.0 what was cut ends as what is whole does.
#[tokio::test]
async fn what_is_given_away_whole_is_not_given_where_its_end_could_not_be_told() {
    let web = Web::new(None).await;
    let ask = async |path: &str| {
        let head = format!("GET /api/v1{path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer auditor\r\n\r\n");
        let mut tcp = tokio::net::TcpStream::connect(web.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut tcp, head.as_bytes()).await.unwrap();
        web::answer(&mut tcp).await
    };
    for path in ["/audit/export".to_owned(), format!("/sessions/{SESSION}/recording/content")] {
        let got = ask(&path).await;
        assert!(got.status == 505 && got.body.contains("HTTP/1.1"), "{path}: {got:?}");
    }
    assert_eq!(ask("/sessions").await.status, 200, "what says its length is told apart");
}

#[tokio::test]
async fn a_page_gives_away_what_the_interface_does() {
    let web = Web::new(None).await;
    let interface = web.get("/audit/export?outcome=refuse", Some("auditor")).await;
    let pages = page(&web, &["doorward-auditors"], "/audit.jsonl?outcome=refuse").await;
    assert_eq!((pages.status, pages.body), (200, interface.body));
    let all = page(&web, &["doorward-auditors"], "/audit.jsonl").await;
    let seqs: Vec<u64> =
        all.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["seq"].as_u64().unwrap()).collect();
    assert!(seqs.len() == 8 && seqs.is_sorted(), "{seqs:?}");
    // Who may not even know of a session gets no terminal of it.
    assert_eq!(page(&web, &["staff"], &format!("/sessions/{SESSION}/cast")).await.status, 403);
    let none = page(&web, &["doorward-auditors"], &format!("/sessions/{SESSION}/cast")).await;
    assert!(none.status == 404 && none.body.contains("no terminals"), "{}", none.body);
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_no_filter_for_all() {
    let web = Web::new(None).await;
    let words = "`forward`, `hold`, `refuse`";
    for path in ["/sessions?outcome=", "/sessions?text=invoices&outcome=", "/audit?outcome=", "/audit.jsonl?outcome="] {
        let right = page(&web, &["doorward-admins"], &format!("{path}refuse")).await;
        assert_eq!(right.status, 200, "{path}: {}", right.body);
        assert_eq!(page(&web, &["doorward-admins"], path).await.status, 200, "{path}: none");
        for wrong in ["Refuse", "refused", "maybe", "%20"] {
            let told = page(&web, &["doorward-admins"], &format!("{path}{wrong}")).await;
            assert!(told.status == 400 && told.body.contains(words), "{path}{wrong}: {} {}", told.status, told.body);
            assert!(!told.body.contains(&SESSION.to_string()), "{path}{wrong}");
        }
    }
    for (path, says) in [
        ("/audit?event=nonsense", "approval_decided"),
        ("/audit?session=x", "is not a session"),
        ("/audit?since=yesterday", "yesterday"),
        ("/audit?outcom=refuse", "outcom"),
        ("/audit.jsonl?outcom=refuse", "outcom"),
        ("/sessions?outcom=refuse", "outcom"),
        ("/sessions?before=x", ""),
        ("/sessions?text=x&before=x", ""),
        ("/audit?before=x", ""),
        ("/approvals?before=x", ""),
        ("/policies?before=x", ""),
        ("/settings?keys=x", ""),
        ("/settings/keys?cursor=x", ""),
    ] {
        let told = page(&web, &["doorward-admins"], path).await;
        assert!(told.status == 400 && told.body.contains(says), "{path}: {} {}", told.status, told.body);
    }
}

#[tokio::test]
async fn who_looks_at_what_was_recorded_is_in_the_log_first() {
    let web = Web::new(None).await;
    let at = format!("/sessions/{SESSION}/recording");
    let mut noted = 0;
    // What is new in the log of what people did.
    let mut new = || {
        let all: Vec<String> = web.office.audit.kinds().iter().map(|k| format!("{k:?}")).collect();
        let new = all[noted..].to_vec();
        noted = all.len();
        new
    };
    new();
    let first = read(&web, &format!("{at}/steps"), "auditor").await;
    let said = new();
    assert!(said.len() == 1 && said[0].contains("corp/aud") && said[0].contains("replay the recording"), "{said:?}");
    read(&web, &format!("{at}/steps?cursor={}", first["next"].as_str().unwrap()), "auditor").await;
    assert!(new().is_empty(), "one look has many pages");
    page(&web, &["doorward-auditors"], &format!("/sessions/{SESSION}")).await;
    let said = new();
    assert!(said.len() == 1 && said[0].contains("corp/ada") && said[0].contains("replay the recording"), "{said:?}");
    page(&web, &["doorward-auditors"], &format!("/sessions/{SESSION}/follow")).await;
    page(&web, &["doorward-auditors"], &format!("/sessions/{GONE}")).await;
    page(&web, &["ops"], &format!("/sessions/{SESSION}")).await;
    assert!(new().is_empty(), "nothing more was shown");
    assert_eq!(web.get(&format!("{at}/cast"), Some("auditor")).await.status, 404);
    assert_eq!(web.post(&format!("{at}/verify"), Some("auditor"), "").await.status, 200);
    assert_eq!(web.post("/connections/orders/test", Some("admin"), "").await.status, 200);
    let said = new();
    for (entry, what) in said.iter().zip(["replay a terminal", "verify the recording", "test connection orders"]) {
        assert!(entry.contains(what), "{entry}");
    }
    assert_eq!(said.len(), 3, "{said:?}");
    web.office.audit.full.store(true, std::sync::atomic::Ordering::SeqCst);
    for path in [format!("{at}/cast"), format!("{at}/content")] {
        assert_eq!(web.get(&path, Some("auditor")).await.status, 503, "{path}: not without an entry");
    }
    assert_eq!(web.get(&format!("{at}/steps"), Some("watcher")).await.status, 503);
}

#[tokio::test]
async fn who_approved_what_and_what_came_of_it_is_one_question() {
    let web = Web::new(None).await;
    let (id, answers) = web.office.ask(vec![need(&["sre"], 1)], Duration::from_secs(600)).await;
    web.log.request(SESSION, 3, AuditOutcome::Hold, "DROP TABLE", "t", Some(id));
    let request = RequestId(3);
    let asked = AuditKind::ApprovalRequested { approval: id, request, approvers: Vec::new(), expires: support::now() };
    web.log.note(Some(SESSION), asked);
    web.client("approver").approve(id, "window open").await.unwrap();
    support::only(answers).await;
    let (by, comment) = ("corp/anna".to_owned(), "window open".to_owned());
    web.log.note(
        Some(SESSION),
        AuditKind::ApprovalDecided { approval: id, approved: true, by, comment, break_glass: false, via: None },
    );
    web.log.request(SESSION, 3, AuditOutcome::Forward, "DROP TABLE", "t", Some(id));
    web.log.completed(SESSION, 3);
    web.log.completed(SESSION, 4);
    web.indexed().await;
    let trail = read(&web, &format!("/approvals/{id}/trail"), "requester").await;
    assert_eq!((&trail["outcome"], &trail["result"]), (&"forward".into(), &"DROP TABLE".into()));
    assert_eq!(trail["approval"]["verdicts"][0]["by"], "corp/anna");
    let kinds: Vec<&str> =
        trail["entries"].as_array().unwrap().iter().map(|e| e["entry"]["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["request", "approval_requested", "approval_decided", "request", "completed"]);
    let held = read(&web, "/sessions?outcome=hold", "admin").await;
    assert_eq!(ids(&held), [SESSION]);
    web.office.desk.withdraw(id, "gone");
}

#[tokio::test]
async fn who_came_and_what_is_known_of_the_world() {
    let web = Web::new(None).await;
    web.log.session(SessionId::from_uuid(Uuid::from_u128(79)), "orders", person("bot", &["agents"]));
    web.indexed().await;
    let who = read(&web, "/principals", "auditor").await;
    assert_eq!(who["principals"][0]["id"], "corp/bot");
    assert_eq!((&who["principals"][0]["sessions"], who["principals"].as_array().unwrap().len()), (&2.into(), 2));
    assert_eq!(who["principals"][0]["groups"], serde_json::json!(["agents"]), "those of the last time");
    let first = read(&web, "/groups?limit=1", "auditor").await;
    let next = read(&web, &format!("/groups?limit=1&cursor={}", first["next"].as_str().unwrap()), "auditor").await;
    assert_eq!((&first["groups"][0]["name"], &next["groups"][0]["name"]), (&"agents".into(), &"staff".into()));
    let exports = read(&web, "/exports", "auditor").await;
    assert_eq!((&exports["exports"][0]["lag"], &exports["exports"][0]["name"]), (&3.into(), &"siem".into()));
    let issuers = read(&web, "/issuers", "auditor").await;
    assert_eq!((&issuers["issuers"][0]["name"], &issuers["issuers"][1]["name"]), (&"ci".into(), &"corp".into()));
    let metrics = web.get("/metrics", Some("auditor")).await;
    for line in ["export_lag_lines{export=\"siem\"} 3", "export_acknowledged_total{export=\"siem\"} 5"] {
        assert!(metrics.body.contains(line), "no `{line}` in {}", metrics.body);
    }
    let tags = read(&web, "/tags", "auditor").await;
    assert_eq!(tags["tags"][0]["object"], "public.customers.ssn");
}
