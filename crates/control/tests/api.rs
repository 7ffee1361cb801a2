//! The interface over real loopback connections.
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

use doorward_control::{ApprovalView, Client, ClientError, ProblemDetails};
use doorward_enforce::ApprovalDesk as _;
use doorward_model::{ApprovalId, AuditKind};
use doorward_store::ApprovalState;
use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};
use support::need;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
use web::{SESSION, Web, answer};

const LONG: Duration = Duration::from_secs(600);
const NOBODY: &str = "00000000-0000-0000-0000-00000000ffff";

/// Who asks, in the order of the columns below.
const CALLERS: [Option<&str>; 8] = [
    None,
    Some("forged"),
    Some("stranger"),
    Some("approver"),
    Some("requester"),
    Some("operator"),
    Some("admin"),
    Some("auditor"),
];

const TABLE: &[(&str, &str, [u16; 8])] = &[
    ("get", "/health", [200, 200, 200, 200, 200, 200, 200, 200]),
    ("get", "/approvals", [401, 401, 200, 200, 200, 200, 200, 200]),
    ("get", "/approvals/watch", [401, 401, 200, 200, 200, 200, 200, 200]),
    ("get", "/approvals/{id}", [401, 401, 404, 200, 200, 404, 200, 200]),
    ("post", "/approvals/{id}/approve", [401, 401, 404, 200, 403, 404, 404, 404]),
    ("post", "/approvals/{id}/deny", [401, 401, 404, 200, 403, 404, 404, 404]),
    ("post", "/approvals/{id}/break-glass", [401, 401, 404, 400, 400, 404, 400, 400]),
    ("get", "/ssh/endpoints", [401, 401, 200, 200, 200, 200, 200, 200]),
    ("post", "/ssh/certificates", [401, 401, 415, 415, 415, 415, 415, 415]),
    ("post", "/credentials", [401, 401, 415, 415, 415, 415, 415, 415]),
    ("get", "/sessions", [401, 401, 403, 403, 403, 200, 200, 200]),
    ("post", "/sessions/{id}/kill", [401, 401, 403, 403, 403, 204, 204, 403]),
    ("get", "/approvals/{id}/trail", [401, 401, 404, 200, 200, 404, 200, 200]),
    ("get", "/audit", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/audit/export", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/audit/{seq}", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("post", "/audit/verifications", [401, 401, 403, 403, 403, 403, 202, 202]),
    ("get", "/audit/verifications/{id}", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("get", "/sessions/{id}", [401, 401, 403, 403, 403, 200, 200, 200]),
    ("get", "/sessions/{id}/recording", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/sessions/{id}/recording/content", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/sessions/{id}/recording/cast", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("get", "/sessions/{id}/recording/steps", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("post", "/sessions/{id}/recording/verify", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/keys", [401, 401, 200, 200, 200, 200, 200, 200]),
    ("post", "/keys", [401, 401, 415, 415, 415, 415, 415, 415]),
    ("get", "/keys/{id}", [401, 401, 404, 404, 404, 404, 404, 404]),
    ("delete", "/keys/{id}", [401, 401, 404, 404, 404, 404, 404, 404]),
    ("get", "/chat-accounts", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("delete", "/chat-accounts/{team}/{user}", [401, 401, 403, 403, 403, 403, 404, 403]),
    ("get", "/exports", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/holds", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/holds/{session}", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("put", "/holds/{session}", [401, 401, 403, 403, 403, 403, 415, 403]),
    ("delete", "/holds/{session}", [401, 401, 403, 403, 403, 403, 404, 403]),
    ("get", "/issuers", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/principals", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/groups", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/tags", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/secrets/{name}", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("get", "/ready", [200, 200, 200, 200, 200, 200, 200, 200]),
    ("get", "/metrics", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("get", "/connections", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("post", "/connections", [401, 401, 415, 415, 415, 415, 415, 415]),
    ("get", "/connections/{name}", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("put", "/connections/{name}", [401, 401, 403, 403, 403, 403, 415, 403]),
    ("delete", "/connections/{name}", [401, 401, 403, 403, 403, 403, 404, 403]),
    ("post", "/connections/{name}/test", [401, 401, 403, 403, 403, 403, 404, 403]),
    ("post", "/connections/{name}/classify", [401, 401, 403, 403, 403, 403, 415, 403]),
    ("post", "/connections/{name}/explain", [401, 401, 403, 403, 403, 403, 415, 403]),
    ("post", "/connection-tests", [401, 401, 415, 415, 415, 415, 415, 415]),
    ("get", "/secrets", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("put", "/secrets/{name}", [401, 401, 403, 403, 403, 403, 415, 403]),
    ("delete", "/secrets/{name}", [401, 401, 403, 403, 403, 403, 404, 403]),
    ("post", "/secret-rewraps", [401, 401, 403, 403, 403, 403, 200, 403]),
    ("get", "/policies", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("post", "/policies/check", [401, 401, 403, 403, 403, 403, 415, 415]),
    ("get", "/policies/versions", [401, 401, 403, 403, 403, 403, 200, 200]),
    ("post", "/policies/versions", [401, 401, 403, 403, 403, 403, 415, 403]),
    ("get", "/policies/versions/{id}", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("get", "/policies/versions/{id}/diff", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("post", "/policies/versions/{id}/back-test", [401, 401, 403, 403, 403, 403, 404, 404]),
    ("post", "/policies/activate", [401, 401, 403, 403, 403, 403, 415, 403]),
];

#[tokio::test]
async fn every_route_answers_every_caller_as_the_table_says() {
    let web = Web::new(None).await;
    let first = web.first_entry();
    let mut wrong = Vec::new();
    for (method, route, expected) in TABLE {
        for (caller, expected) in CALLERS.into_iter().zip(expected) {
            let (approval, _answers) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
            let id = if route.starts_with("/sessions") { SESSION.to_string() } else { approval.to_string() };
            let path = route
                .replace("{id}", &id)
                .replace("{seq}", &first.to_string())
                .replace("{session}", &SESSION.to_string());
            let mut got = web.send(&method.to_uppercase(), &path, caller, "", "").await;
            // One verification at a time.
            while *route == "/audit/verifications" && got.status == 409 {
                got = web.send(&method.to_uppercase(), &path, caller, "", "").await;
            }
            if got.status != *expected {
                wrong.push(format!("{method} {route} by {caller:?}: {} instead of {expected}", got.status));
            }
            for header in ["x-content-type-options: nosniff", "cache-control: no-store", "x-frame-options: deny"] {
                assert!(got.head.contains(header), "{method} {route}: no `{header}` in {}", got.head);
            }
            let problem = got.head.contains("content-type: application/problem+json");
            assert_eq!(problem, got.status >= 400, "{method} {route}: {}", got.head);
            // One caller has a bounded number of places.
            web.office.desk.withdraw(approval, "over");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An endpoint that is not in the table fails here: it has no authorization test.
#[test]
fn the_table_has_every_endpoint() {
    let described = serde_json::to_value(doorward_control::openapi()).unwrap();
    let mut declared = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap().to_owned();
        declared.extend(item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let tested = TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(declared, tested);
}

#[tokio::test]
async fn every_bad_token_gets_the_same_answer_and_its_own_reason_in_the_log() {
    let web = Web::new(None).await;
    let odd = [
        "",
        "Authorization: Bearer forged\r\n",
        "Authorization: Bearer stale\r\n",
        "Authorization: Basic approver\r\n",
        "Authorization: approver\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer approver\r\nAuthorization: Bearer approver\r\n",
        "Authorization: Bearer \u{e9}\r\n",
    ];
    let mut answers = BTreeSet::new();
    for headers in odd {
        let got = web.send("GET", "/approvals", None, headers, "").await;
        assert!(got.head.contains("www-authenticate: bearer"), "{}", got.head);
        let dateless = got.head.lines().filter(|l| !l.starts_with("date:")).collect::<Vec<_>>().join("\n");
        answers.insert((got.status, dateless, got.body));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let reasons: Vec<String> = web
        .office
        .audit
        .kinds()
        .into_iter()
        .map(|kind| {
            let AuditKind::AuthenticationFailed { user, reason } = kind else { panic!("{kind:?}") };
            assert_eq!(user, "api");
            reason
        })
        .collect();
    assert_eq!(reasons.len(), odd.len());
    assert_eq!(reasons[1..3], ["the signature is wrong", "the token has expired"]);
    assert!(reasons.iter().all(|r| !r.contains("approver") && !r.contains("forged")), "{reasons:?}");
    assert_eq!(web.send("GET", "/approvals", None, "authorization: bearer approver\r\n", "").await.status, 200);
}

#[tokio::test]
async fn people_see_what_is_their_business() {
    let web = Web::new(None).await;
    let (mine, _a) = web.office.ask(vec![need(&["dba"], 1), need(&["sre"], 1)], LONG).await;
    let (other, _b) = web.office.ask(vec![need(&["dba"], 1)], LONG).await;
    let seen = async |token: &str| -> Vec<(ApprovalId, bool)> {
        let list = web.client(token).approvals(Some("pending")).await.unwrap();
        list.into_iter().map(|a| (a.id, a.may_decide)).collect()
    };
    assert_eq!(seen("approver").await, [(mine, true)], "in a group of one requirement");
    assert_eq!(seen("requester").await, [(other, false), (mine, false)], "newest first; never decides");
    assert_eq!(seen("stranger").await, []);
    assert_eq!(seen("operator").await, []);
    let view = web.client("approver").approval(mine).await.unwrap();
    assert_eq!((view.statement.as_str(), view.principal.as_str()), ("DROP TABLE t", "corp/bot"));
    assert_eq!((view.accesses.len(), view.requirements.len(), view.digest.as_str()), (1, 2, "ab"));
    let hidden = web.client("approver").approval(other).await.unwrap_err();
    let unknown = web.client("approver").approval(NOBODY.parse().unwrap()).await.unwrap_err();
    assert_eq!(hidden, unknown);
    assert_eq!(web.client("approver").approvals(Some("denied")).await.unwrap(), []);
}

#[tokio::test]
async fn a_page_is_filled_past_what_others_own() {
    let web = Web::new(None).await;
    let mut mine = Vec::new();
    for n in 0..130 {
        let group = if n < 3 { "sre" } else { "dba" };
        let (id, _) = web.office.ask_as(&format!("bot-{}", n % 2), vec![need(&[group], 1)], LONG).await;
        mine.extend((n < 3).then_some(id));
    }
    let page = async |query: &str| -> serde_json::Value {
        let got = web.get(&format!("/approvals?{query}"), Some("approver")).await;
        serde_json::from_str(&got.body).unwrap()
    };
    let first = page("limit=2&state=pending").await;
    let ids = |v: &serde_json::Value| -> Vec<ApprovalId> {
        v["approvals"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(ids(&first), [mine[2], mine[1]]);
    let second = page(&format!("limit=2&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((ids(&second), &second["next"]), (vec![mine[0]], &serde_json::Value::Null));
}

#[tokio::test]
async fn a_verdict_through_the_client_reaches_the_request() {
    let web = Web::new(None).await;
    let (yes, answers) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let after = web.client("approver").approve(yes, "window open").await.unwrap();
    assert_eq!((after.state, after.verdicts[0].comment.as_str()), (ApprovalState::Approved, "window open"));
    assert!(matches!(support::only(answers).await, doorward_enforce::ApprovalVerdict::Approved { .. }));

    let again = web.client("approver").deny(yes, "").await.unwrap_err();
    assert!(matches!(again, ClientError::Refused { status: 409, .. }), "{again}");

    let (no, answers) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    web.client("approver").deny(no, "not today").await.unwrap();
    let denied = doorward_enforce::ApprovalVerdict::Denied { by: "corp/anna".into(), comment: "not today".into() };
    assert_eq!(support::only(answers).await, denied);

    let (own, _answers) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let refused = web.client("requester").approve(own, "").await.unwrap_err();
    assert_eq!(refused.to_string(), "nobody decides their own request (403)");
}

#[tokio::test]
async fn without_the_audit_log_nothing_is_done() {
    let web = Web::new(None).await;
    let (id, _answers) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    web.office.audit.full.store(true, SeqCst);
    assert_eq!(web.post(&format!("/approvals/{id}/approve"), Some("approver"), "").await.status, 503);
    let got = web.post(&format!("/sessions/{SESSION}/kill"), Some("operator"), "").await;
    assert_eq!(got.status, 503);
    assert!(!got.body.contains("disk"), "the reason is the operator's: {}", got.body);
    assert!(web.sessions.killed.lock().unwrap().is_empty());
    assert_eq!(web.get("/sessions", Some("forged")).await.status, 401);
}

#[tokio::test]
async fn operators_see_and_end_sessions() {
    let web = Web::new(None).await;
    let operator = web.client("operator");
    let listed = operator.sessions().await.unwrap();
    assert_eq!((listed.len(), listed[0].id), (1, SESSION));
    let unknown = operator.kill(NOBODY.parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no such session (404)");
    assert!(web.office.audit.kinds().is_empty());
    operator.kill(SESSION).await.unwrap();
    let killed = AuditKind::Administration { by: "corp/omar".into(), what: "kill session".into() };
    assert_eq!(web.office.audit.kinds(), [killed]);
    assert_eq!(web.office.audit.events.lock().unwrap()[0].session, Some(SESSION));
    assert_eq!(web.sessions.killed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_malformed_is_refused_by_its_name() {
    let web = Web::new(None).await;
    let (id, mut answers) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let approve = format!("/approvals/{id}/approve");
    let by = Some("approver");
    let big = format!("{{\"comment\":\"{}\"}}", "x".repeat(16 * 1024));
    let long = format!("{{\"comment\":\"{}\"}}", "x".repeat(1001));
    for (body, status) in [
        (big.as_str(), 413),
        (long.as_str(), 400),
        (r#"{"comment":"","force":true}"#, 400),
        (r#"{"comment":1}"#, 400),
        (r#"{"comment":"a","comment":"b"}"#, 400),
        ("[", 400),
        ("null", 400),
    ] {
        let got = web.post(&approve, by, body).await;
        assert_eq!(got.status, status, "{body:.60}: {}", got.body);
        let problem: ProblemDetails = serde_json::from_str(&got.body).unwrap();
        assert_eq!((problem.status, problem.kind.as_str()), (status, "about:blank"));
    }
    let form = web.send("POST", &approve, by, "Content-Type: text/plain\r\n", "{}").await;
    assert_eq!(form.status, 415, "what a foreign page's form could send");
    for (path, status) in [
        ("/approvals?state=open", 400),
        ("/approvals?limit=-1", 400),
        ("/approvals?all=1", 400),
        ("/approvals?state=all&limit=4294967295", 400),
        ("/approvals?state=all&limit=0", 400),
        ("/approvals?cursor=WzFd", 400),
        ("/approvals/1", 404),
        ("/approvals/%ff", 400),
        ("/nothing", 404),
        ("/approvals/", 404),
        (approve.as_str(), 405),
    ] {
        let got = web.get(path, by).await;
        assert_eq!(got.status, status, "{path}: {}", got.body);
    }
    assert!(answers.try_recv().is_err(), "none of them counted");
}

#[tokio::test]
async fn a_connection_is_changed_in_the_version_that_was_read_alone() {
    let web = Web::new(None).await;
    let spec = r#"{"kind":"postgres","listen":"127.0.0.1:7001","upstream":"db:5432","secret":"s"}"#;
    let new = format!(r#"{{"name":"billing","spec":{spec}}}"#);
    let made = web.post("/connections", Some("admin"), &new).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let tag_of = |head: &str| head.split("etag: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let first = tag_of(&made.head);
    assert_eq!(web.post("/connections", Some("admin"), &new).await.status, 409);
    let put = async |tag: &str| {
        let headers = format!("Content-Type: application/json\r\nIf-Match: {tag}\r\n");
        web.send("PUT", "/connections/billing", Some("admin"), &headers, spec).await.status
    };
    assert_eq!(put("\"2\"").await, 412);
    assert_eq!(put(&first).await, 200);
    assert_eq!(put(&first).await, 412, "it is another one by now");
    assert_eq!(put("*").await, 200);
    let seen = web.get("/connections/billing", Some("admin")).await;
    let again = format!("If-None-Match: {}\r\n", tag_of(&seen.head));
    assert_eq!(web.send("GET", "/connections/billing", Some("admin"), &again, "").await.status, 304);
    let odd = spec.replace("127.0.0.1:7001", "here");
    assert_eq!(web.post("/connections", Some("admin"), &format!(r#"{{"name":"x","spec":{odd}}}"#)).await.status, 400);
    assert_eq!(web.post("/connections", Some("admin"), r#"{"name":"x","spec":{"colour":"red"}}"#).await.status, 400);
    assert_eq!(web.send("DELETE", "/connections/orders", Some("admin"), "", "").await.status, 409, "of the file");
    assert_eq!(web.send("DELETE", "/connections/billing", Some("admin"), "", "").await.status, 204);
    let told: Vec<_> =
        web.office.audit.kinds().iter().filter(|k| matches!(k, AuditKind::Administration { .. })).cloned().collect();
    assert!(!format!("{told:?}").contains("orders"), "what was refused was not done: {told:?}");
    assert_eq!(web.post("/connections/orders/test", Some("admin"), "").await.status, 200);
    let body = format!(r#"{{"spec":{spec},"credential":"hunter2"}}"#);
    let tried = web.post("/connection-tests", Some("admin"), &body).await;
    assert!(tried.status == 200 && !tried.body.contains("hunter2"), "{}", tried.body);
}

/// Watches in a task; the views come through the channel, the end through the handle.
fn watch(client: Client) -> (mpsc::UnboundedReceiver<ApprovalView>, tokio::task::JoinHandle<Result<(), ClientError>>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        client.watch(|v| if tx.send(v).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }).await
    });
    (rx, task)
}

#[tokio::test]
async fn a_watch_shows_what_is_pending_and_then_each_change() {
    let web = Web::new(None).await;
    let (old, _a) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let (mut seen, ended) = watch(web.client("approver"));
    let (mut strange, _) = watch(web.client("stranger"));
    let mut next = async || timeout(Duration::from_secs(60), seen.recv()).await.expect("an event").expect("more");
    assert_eq!(next().await.id, old);
    let (new, _b) = web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let (_hidden, _c) = web.office.ask(vec![need(&["dba"], 1)], LONG).await;
    let view = next().await;
    assert_eq!((view.id, view.state, view.may_decide), (new, ApprovalState::Pending, true));
    web.client("approver").deny(new, "no").await.unwrap();
    let view = next().await;
    assert_eq!((view.id, view.state, view.may_decide), (new, ApprovalState::Denied, false));
    web.office.desk.withdraw(old, "gone");
    assert_eq!(next().await.state, ApprovalState::Withdrawn, "the hidden one was not shown in between");
    assert!(strange.try_recv().is_err());

    web.stop.send(true).unwrap();
    timeout(Duration::from_secs(30), ended).await.expect("the watch ends").unwrap().unwrap();
    timeout(Duration::from_secs(30), web.served).await.expect("the server ends").unwrap().unwrap();
    assert!(TcpStream::connect(web.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let web = Web::new(None).await;
    let (_seen, ended) = watch(web.client("short"));
    timeout(Duration::from_secs(60), ended).await.expect("an end").unwrap().unwrap();
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_delay_nobody() {
    let web = Web::new(None).await;
    let began = Instant::now();
    let open = async |text: &str| {
        let mut tcp = TcpStream::connect(web.address).await.unwrap();
        tcp.write_all(text.as_bytes()).await.unwrap();
        tcp
    };
    let mut silent = open("").await;
    let mut half = open("GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    let mut idle = open("GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer(&mut idle).await.status, 200);
    let mut body = open(&format!(
        "POST /api/v1/approvals/{NOBODY}/deny HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer approver\r\nContent-Length: 9\r\n\r\n{{"
    ))
    .await;
    assert_eq!(web.get("/health", None).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(2));
    let late = Duration::from_secs(14);
    let mut rest = Vec::new();
    for tcp in [&mut silent, &mut half, &mut idle] {
        timeout(late, tcp.read_to_end(&mut rest)).await.expect("cut off").unwrap();
    }
    assert_eq!(timeout(late, answer(&mut body)).await.expect("given up on").status, 408);
}

fn tls() -> (TlsAcceptor, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem().into_bytes())
}

#[tokio::test]
async fn over_tls_a_silent_client_delays_nobody() {
    let (acceptor, ca) = tls();
    let web = Web::new(Some(acceptor)).await;
    let _silent = TcpStream::connect(web.address).await.unwrap();
    let mut plain = TcpStream::connect(web.address).await.unwrap();
    plain.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let url = format!("https://localhost:{}", web.address.port());
    let client = Client::new(&url, "operator", Some(ca)).unwrap();
    let listed = timeout(Duration::from_secs(3), client.sessions()).await.expect("not delayed").unwrap();
    assert_eq!(listed.len(), 1);
    let distrustful = Client::new(&url, "operator", None).unwrap();
    let refused = distrustful.sessions().await.unwrap_err();
    assert!(matches!(refused, ClientError::Transport { .. }), "{refused}");
    let mut said = Vec::new();
    timeout(Duration::from_secs(3), plain.read_to_end(&mut said)).await.expect("cut off").unwrap_or_default();
    assert!(!String::from_utf8_lossy(&said).contains("200"), "clear text is not served");
    web.stop.send(true).unwrap();
    timeout(Duration::from_secs(3), web.served).await.expect("the silent one does not delay the end").unwrap().unwrap();
}

#[tokio::test]
async fn the_client_says_what_is_wrong() {
    let web = Web::new(None).await;
    let rejected = web.client("forged").approvals(None).await.unwrap_err();
    assert_eq!(rejected.to_string(), "the token was not accepted: a valid bearer token is needed");
    let bad = web.client("approver").approvals(Some("op en&limit=1")).await.unwrap_err();
    assert!(matches!(bad, ClientError::Refused { status: 400, .. }), "{bad}");
    web.stop.send(true).unwrap();
    web.served.await.unwrap().unwrap();
    let url = format!("http://{}", web.address);
    let gone = Client::new(&url, "approver", None).unwrap().approvals(None).await.unwrap_err();
    assert_eq!(gone.to_string(), format!("no gateway answers at {url}: is `doorward serve` running?"));
    for clear in ["http://gateway.example:8443", "http://10.0.0.1", "http://localhost.evil.example", "ftp://localhost"]
    {
        assert!(matches!(Client::new(clear, "t", None), Err(ClientError::Address { .. })), "{clear}");
    }
    assert!(Client::new("http://[::1]:1", "t", None).is_ok());
    assert!(!format!("{:?}", Client::new(&url, "sesame", None).unwrap()).contains("sesame"));
}

#[tokio::test]
async fn a_certificate_is_issued_to_who_asks_and_written_down_first() {
    let web = Web::new(None).await;
    let client = web.client("approver");
    let issued = client.ssh_certificate("ssh-ed25519 AAAA", Duration::from_secs(60)).await.unwrap();
    assert!(issued.principal.ends_with("/anna") && issued.serial == 7, "{issued:?}");
    let said = AuditKind::Administration {
        by: issued.principal.clone(),
        what: "issue SSH certificate 0000000000000007 for SHA256:x".into(),
    };
    assert!(web.office.audit.kinds().contains(&said));
    for (key, ttl, why) in
        [("no key", 60, "no public key"), ("ssh-ed25519 AAAA", 0, "ttl_seconds"), ("", 99_999, "ttl_seconds")]
    {
        let refused = client.ssh_certificate(key, Duration::from_secs(ttl)).await.unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused { status: 400, detail } if detail.contains(why)),
            "{refused:?}"
        );
    }
    web.office.audit.full.store(true, SeqCst);
    let refused = client.ssh_certificate("ssh-ed25519 AAAA", Duration::from_secs(60)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { status: 503, .. }), "no entry, no certificate: {refused:?}");
}

#[tokio::test]
async fn a_credential_is_issued_to_who_asks_and_written_down_first_without_its_password() {
    let web = Web::new(None).await;
    let client = web.client("approver");
    let issued = client.credential("orders", Some(Duration::from_secs(60))).await.unwrap();
    assert!(issued.principal.ends_with("/anna") && issued.password == "open sesame", "{issued:?}");
    assert_eq!(issued.host.as_deref(), Some("127.0.0.1"), "where it was asked from");
    assert!(!format!("{issued:?}").contains("sesame"));
    let said = AuditKind::Administration {
        by: issued.principal.clone(),
        what: "issue credential dw_1 for connection orders".into(),
    };
    let kinds = web.office.audit.kinds();
    assert!(kinds.contains(&said) && !format!("{kinds:?}").contains("sesame"));
    for (connection, ttl, wanted, why) in [
        ("orders", Some(0), 400, "ttl_seconds"),
        ("orders", Some(3601), 400, "ttl_seconds"),
        ("nosuch", None, 404, "no such connection"),
        ("full", None, 503, "too many"),
    ] {
        let refused = client.credential(connection, ttl.map(Duration::from_secs)).await.unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused { status, detail } if *status == wanted && detail.contains(why)),
            "{refused:?}"
        );
    }
    let before = support::now();
    let issued = client.credential("orders", None).await.unwrap();
    assert!(issued.expires.since(before) <= Duration::from_secs(16 * 60), "{issued:?}");
    web.office.audit.full.store(true, SeqCst);
    let refused = client.credential("orders", None).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { status: 503, .. }), "no entry, no credential: {refused:?}");
}
