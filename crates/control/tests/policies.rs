//! Policies through the API: written, checked, back-tested, put in force, rolled back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
mod support;
#[path = "support/web.rs"]
mod web;

use doorward_enforce::AuditSink as _;
use doorward_model::{
    Access, Action, AuditEvent, AuditKind, AuditOutcome, ConnectionName, Facts, PrincipalKind, RequestId, Resource,
    SessionId,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use uuid::Uuid;
use web::Web;

const JSON: &str = "Content-Type: application/json\r\n";

async fn call(web: &Web, method: &str, path: &str, who: &str, body: &Value) -> (u16, Value) {
    let (headers, body) = if body.is_null() { ("", String::new()) } else { (JSON, body.to_string()) };
    let got = web.send(method, path, Some(who), headers, &body).await;
    (got.status, serde_json::from_str(&got.body).unwrap_or_default())
}

async fn write(web: &Web, text: &str, parent: Option<i64>) -> i64 {
    let body = json!({"text": text, "comment": "a reason", "parent": parent});
    let (status, version) = call(web, "POST", "/policies/versions", "admin", &body).await;
    assert_eq!(status, 201, "{version}");
    version["id"].as_i64().unwrap()
}

#[tokio::test]
async fn versions_are_checked_written_compared_put_in_force_and_rolled_back() {
    let web = Web::new(None).await;
    let wrong = json!({"text": "@id(\"a\")\npermit (principal, action == Action::\"selekt\", resource);"});
    let (status, checked) = call(&web, "POST", "/policies/check", "auditor", &wrong).await;
    assert_eq!((status, &checked["ok"]), (200, &json!(false)), "{checked}");
    assert_eq!(
        (&checked["errors"][0]["file"], &checked["errors"][0]["line"]),
        (&json!("text"), &json!(2)),
        "{checked}"
    );
    let (status, problem) = call(&web, "POST", "/policies/versions", "admin", &wrong).await;
    assert_eq!((status, problem["errors"][0]["line"].as_u64()), (422, Some(2)), "{problem}");
    // An @id of the files cannot be taken.
    let taken = json!({"text": "@id(\"ops\") permit (principal, action == Action::\"select\", resource);"});
    assert_eq!(call(&web, "POST", "/policies/versions", "admin", &taken).await.0, 422);

    let no_kill = "@id(\"no-kill\") forbid (principal, action == Action::\"kill_session\", resource);";
    let first = write(&web, no_kill, None).await;
    let second = write(&web, &format!("// why\n{no_kill}"), Some(first)).await;
    let (_, diff) = call(&web, "GET", &format!("/policies/versions/{second}/diff"), "auditor", &Value::Null).await;
    assert!(diff["diff"].as_str().unwrap().contains("+// why"), "{diff}");
    let kill = async || call(&web, "POST", &format!("/sessions/{}/kill", web::SESSION), "admin", &Value::Null).await.0;
    assert_eq!(kill().await, 204, "a version that is written is not in force");

    let activate = async |version: Option<i64>, mode: &str| {
        let body = json!({"version": version, "mode": mode, "comment": "now"});
        call(&web, "POST", "/policies/activate", "admin", &body).await.0
    };
    assert_eq!(activate(Some(first), "monitor").await, 204);
    assert_eq!(kill().await, 204, "a version that is watched decides nothing");
    assert_eq!(activate(Some(first), "enforce").await, 204);
    assert_eq!(kill().await, 403);
    let (_, shown) = call(&web, "GET", "/policies", "auditor", &Value::Null).await;
    assert_eq!((&shown["active"], &shown["monitored"]), (&json!(first), &json!(first)));
    assert!(shown["policies"].as_array().unwrap().iter().any(|p| p["id"] == "no-kill"));
    assert_eq!(activate(None, "enforce").await, 204);
    assert_eq!(kill().await, 204);
    assert_eq!(activate(Some(99), "enforce").await, 404);
    assert_eq!(activate(Some(first), "perhaps").await, 400);

    let (_, listed) = call(&web, "GET", "/policies/versions?limit=1", "auditor", &Value::Null).await;
    assert_eq!((&listed["versions"][0]["id"], listed["versions"].as_array().unwrap().len()), (&json!(second), 1));
    let next = format!("/policies/versions?limit=1&cursor={}", listed["next"].as_str().unwrap());
    let (_, older) = call(&web, "GET", &next, "auditor", &Value::Null).await;
    assert_eq!((&older["versions"][0]["id"], &older["next"]), (&json!(first), &Value::Null));
    assert_eq!(listed["activations"].as_array().unwrap().len(), 3);
    // Each step is in the audit log, and each change of what is in force before it takes effect.
    let told: Vec<String> = web
        .office
        .audit
        .kinds()
        .into_iter()
        .filter_map(|k| {
            if let AuditKind::Administration { by, what } = k {
                return Some(format!("{by} {what}"));
            }
            matches!(k, AuditKind::PolicyChanged { .. }).then(|| "changed".into())
        })
        .filter(|w| !w.contains("kill session"))
        .collect();
    let begin: Vec<&str> = told.iter().map(|t| t.split(" (").next().unwrap()).collect();
    let expected = [
        "corp/ada write policies: version 1: a reason",
        "corp/ada write policies: version 2: a reason",
        "corp/ada monitor policies: version 1",
        "corp/ada activate policies: version 1",
        "changed",
        "corp/ada activate policies: none",
        "changed",
    ];
    assert_eq!(begin, expected);
}

#[tokio::test]
async fn what_is_malformed_or_too_large_is_refused() {
    let web = Web::new(None).await;
    for body in [json!({}), json!({"text": 1}), json!({"text": "", "more": 1}), json!([])] {
        assert_eq!(call(&web, "POST", "/policies/versions", "admin", &body).await.0, 400, "{body}");
    }
    let long = json!({"text": format!("// {}", "x".repeat(1 << 20))});
    assert_eq!(call(&web, "POST", "/policies/check", "admin", &long).await.0, 413);
    let deep = json!({"text": format!("@id(\"x\") permit (principal, action, resource) when {{ {}true{} }};", "(".repeat(5000), ")".repeat(5000))});
    assert_eq!(call(&web, "POST", "/policies/check", "admin", &deep).await.1["ok"], json!(false));
    for id in ["-1", "x", "9223372036854775808", "1%2f2"] {
        assert_eq!(call(&web, "GET", &format!("/policies/versions/{id}"), "admin", &Value::Null).await.0, 404, "{id}");
    }
}

/// 100,000 requests by ten callers, one of which drops one table; three are there before.
fn recorded(web: &Web) -> SessionId {
    let log = &web.log.0;
    let session = |n: u128| SessionId::from_uuid(Uuid::from_u128(n));
    let write = |s: Option<SessionId>, kind| {
        log.append(&AuditEvent { time: support::now(), session: s, kind, parties: None }).unwrap()
    };
    for n in 0..10 {
        let connection = ConnectionName::new("orders");
        write(Some(session(n)), AuditKind::SessionOpened { connection, client: "127.0.0.1:5000".into() });
        let mut principal = support::person(&format!("bot-{n}"), &["agents"]);
        principal.kind = PrincipalKind::Agent;
        write(Some(session(n)), AuditKind::Authenticated { principal, user: "app".into(), by: None });
    }
    let table = |n: u64| Resource::Table { schema: "public".into(), name: format!("t{n}").as_str().into() };
    for n in 0..100_000_u64 {
        let (action, command) = if n == 77_777 { (Action::Drop, "DROP TABLE") } else { (Action::Select, "SELECT") };
        let ticket = write(
            Some(session(u128::from(n % 10))),
            AuditKind::Request {
                request: RequestId(n / 10),
                outcome: AuditOutcome::Forward,
                via: "query".into(),
                statement: format!("{command} t{n}").into(),
                digest: String::new(),
                facts: Arc::new(Facts::new(command, 1, vec![Access::new(action, table(n % 5_000))])),
                policies: Arc::from(["all".to_owned()]),
                policy_version: "x".into(),
                reason: None,
                approval: None,
            },
        );
        while n % 2_000 == 1_999 && log.committed() < ticket {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
    session(7)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_test_of_100_000_requests_finds_the_one_that_differs() {
    let web = Web::new(None).await;
    let permit = "@id(\"all\") permit (principal in Group::\"agents\", action, resource in Connection::\"orders\");";
    let base = write(&web, permit, None).await;
    let body = json!({"version": base});
    assert_eq!(call(&web, "POST", "/policies/activate", "admin", &body).await.0, 204);
    let ask = "@id(\"ask\") @approvers(\"dba\") forbid (principal, action == Action::\"drop\", resource) unless { context.approved };";
    let candidate = write(&web, &format!("{permit}\n{ask}"), Some(base)).await;
    let session = recorded(&web);
    let begun = Instant::now();
    let path = format!("/policies/versions/{candidate}/back-test");
    let (status, report) = call(&web, "POST", &path, "auditor", &Value::Null).await;
    println!("{:?}", begun.elapsed());
    assert_eq!(status, 200, "{report}");
    assert_eq!((&report["requests"], &report["differences"]), (&json!(100_003), &json!(1)), "{report}");
    let group = &report["groups"][0];
    assert_eq!((&group["before"], &group["after"]), (&json!("forward"), &json!("hold")));
    assert_eq!((&group["principal"], &group["command"]), (&json!("corp/bot-7"), &json!("DROP TABLE")));
    assert_eq!(group["after_policies"], json!(["ask"]));
    assert_eq!(group["examples"][0]["session"], json!(session.to_string()));
    assert_eq!(group["examples"][0]["statement"], json!("DROP TABLE t77777"));
    // The same policies differ in nothing.
    let (_, same) =
        call(&web, "POST", &format!("/policies/versions/{base}/back-test?days=1"), "auditor", &Value::Null).await;
    assert_eq!((&same["requests"], &same["differences"]), (&json!(100_003), &json!(0)));
}
