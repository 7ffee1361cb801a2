//! API keys, legal holds; changes that count only where nothing else changed, requests that are sent twice.
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

use doorward_model::AuditKind;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use web::{Answer, SESSION, Web};

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const JSON: &str = "Content-Type: application/json\r\n";

fn body(got: &Answer) -> Value {
    serde_json::from_str(&got.body).unwrap_or_else(|e| panic!("{e}: {got:?}"))
}

fn etag(got: &Answer) -> String {
    got.head.lines().find_map(|l| l.strip_prefix("etag: ")).unwrap_or_else(|| panic!("no tag: {got:?}")).to_owned()
}

fn new_key(name: &str) -> String {
    json!({"name": name, "scope": {"actions": ["view_sessions", "view_keys"], "connections": "all"}}).to_string()
}

#[tokio::test]
async fn a_key_is_made_shown_once_used_and_revoked() {
    let web = Web::new(None).await;
    let made = web.post("/keys", Some("admin"), &new_key("ci")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = body(&made);
    let (secret, id) = (made["secret"].as_str().unwrap().to_owned(), made["key"]["id"].as_str().unwrap().to_owned());
    assert_eq!(made["key"]["last_used"], Value::Null);
    assert_eq!(web.get("/sessions", Some(&secret)).await.status, 200);
    assert_eq!(web.get("/audit", Some(&secret)).await.status, 403, "beyond its scope");
    assert_eq!(web.post("/keys", Some(&secret), &new_key("child")).await.status, 403, "a key makes no keys");
    assert_eq!(web.get("/keys", Some(&secret)).await.status, 403, "a limited key is no master of the others");
    assert_eq!(web.get("/keys?owner=all", Some(&secret)).await.status, 200, "that is in its scope");

    let listed = web.get("/keys", Some("admin")).await;
    assert!(!listed.body.contains(&secret));
    assert_eq!(body(&listed)["keys"][0]["id"], id.as_str());
    assert!(body(&listed)["keys"][0]["last_used"].is_u64(), "{}", listed.body);
    // Others do not even know that it is there; who sees all may not end it.
    let path = format!("/keys/{id}");
    assert_eq!(web.get(&path, Some("stranger")).await.status, 404);
    assert_eq!(web.send("DELETE", &path, Some("stranger"), "", "").await.status, 404);
    assert_eq!(web.get(&path, Some("auditor")).await.status, 200);
    assert_eq!(web.send("DELETE", &path, Some("auditor"), "", "").await.status, 403);
    assert_eq!(web.get("/keys?owner=all", Some("stranger")).await.status, 403);

    let before = etag(&web.get(&path, Some("admin")).await);
    let stale = "If-Match: \"0000\"\r\n";
    assert_eq!(web.send("DELETE", &path, Some("admin"), stale, "").await.status, 412);
    assert_eq!(web.get("/sessions", Some(&secret)).await.status, 200, "nothing was changed");
    let fresh = format!("If-Match: {before}\r\n");
    assert_eq!(web.send("DELETE", &path, Some("admin"), &fresh, "").await.status, 204);
    assert_eq!(web.get("/sessions", Some(&secret)).await.status, 401);
    assert_eq!(web.send("DELETE", &path, Some("admin"), "", "").await.status, 409);
    let told = web.office.audit.kinds();
    let said = |what: String| told.contains(&AuditKind::Administration { by: "corp/ada".into(), what });
    assert!(said(format!("make API key {id}: ci")) && said(format!("revoke API key {id} of corp/ada")), "{told:?}");
    assert!(!format!("{told:?}").contains(&secret));
}

#[tokio::test]
async fn what_is_no_key_is_not_made() {
    let web = Web::new(None).await;
    let scope = json!({"actions": "all", "connections": "all"});
    for bad in [
        json!({"name": "", "scope": scope}),
        json!({"name": "a\nb", "scope": scope}),
        json!({"name": "x".repeat(200), "scope": scope}),
        json!({"name": "a", "scope": {"actions": [], "connections": "all"}}),
        json!({"name": "a", "scope": {"actions": "some", "connections": "all"}}),
        json!({"name": "a", "scope": scope, "ttl_seconds": 1}),
        json!({"name": "a", "scope": scope, "ttl_seconds": 99_999_999_999_u64}),
        json!({"name": "a", "scope": scope, "principal": "corp/root"}),
        json!({"name": "a"}),
    ] {
        assert_eq!(web.post("/keys", Some("admin"), &bad.to_string()).await.status, 400, "{bad}");
    }
    web.office.audit.full.store(true, SeqCst);
    assert_eq!(web.post("/keys", Some("admin"), &new_key("a")).await.status, 503);
    web.office.audit.full.store(false, SeqCst);
    let keys = body(&web.get("/keys", Some("admin")).await);
    let good = keys["keys"].as_array().unwrap().iter().filter(|k| k["revoked"].is_null()).count();
    assert_eq!(good, 0, "what is not in the audit log is good for nothing: {keys}");
}

/// Ten thousand keys are not to be had; those that may be, are listed page by page.
#[tokio::test]
async fn keys_are_bounded_and_paged() {
    let web = Web::new(None).await;
    for n in 0..100 {
        assert_eq!(web.post("/keys", Some("admin"), &new_key(&format!("k{n}"))).await.status, 201);
    }
    assert_eq!(web.post("/keys", Some("admin"), &new_key("more")).await.status, 409);
    assert_eq!(web.post("/keys", Some("operator"), &new_key("mine")).await.status, 201, "others may");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = body(&web.get(&format!("/keys?owner=all&limit=9{cursor}"), Some("auditor")).await);
        seen.extend(page["keys"].as_array().unwrap().iter().map(|k| k["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 101);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, none twice");
}

#[tokio::test]
async fn a_hold_is_placed_once_and_released() {
    let web = Web::new(None).await;
    let path = format!("/holds/{SESSION}");
    let put = async |headers: &str, reason: &str| {
        let headers = format!("{JSON}{headers}");
        web.send("PUT", &path, Some("admin"), &headers, &json!({"reason": reason}).to_string()).await
    };
    for bad in ["", " ", &"x".repeat(1_001), "\0", "\u{1b}[31m"] {
        assert_eq!(put("", bad).await.status, 400);
    }
    let placed = put("If-None-Match: *\r\n", "case 7").await;
    assert_eq!(placed.status, 201, "{}", placed.body);
    assert_eq!(put("If-None-Match: *\r\n", "case 8").await.status, 412);
    let again = put("", "case 9").await;
    assert_eq!((again.status, &body(&again)["reason"]), (200, &json!("case 7")), "a second order changes nothing");
    assert_eq!(body(&web.get("/holds", Some("auditor")).await)["holds"][0]["session"], SESSION.to_string());
    assert_eq!(web.send("DELETE", &path, Some("auditor"), "", "").await.status, 403);
    assert_eq!(web.send("DELETE", &path, Some("admin"), "If-Match: \"x\"\r\n", "").await.status, 412);
    let fresh = format!("If-Match: {}\r\n", etag(&placed));
    assert_eq!(web.send("DELETE", &path, Some("admin"), &fresh, "").await.status, 204);
    assert_eq!(web.send("DELETE", &path, Some("admin"), "", "").await.status, 404);
    let kinds = web.office.audit.kinds();
    let said = |what: &str| kinds.contains(&AuditKind::Administration { by: "corp/ada".into(), what: what.into() });
    assert!(said("place legal hold: case 7") && said("release legal hold: case 7"), "{kinds:?}");
    assert_eq!(web.send("PUT", "/holds/x", Some("admin"), JSON, "{\"reason\":\"x\"}").await.status, 404);
}

#[tokio::test]
async fn of_two_who_change_a_secret_at_once_one_wins() {
    let web = Web::new(None).await;
    let put = async |headers: String, value: &str| {
        let headers = format!("{JSON}{headers}");
        web.send("PUT", "/secrets/db", Some("admin"), &headers, &json!({"value": value}).to_string()).await.status
    };
    assert_eq!(put("If-Match: *\r\n".into(), "a").await, 412, "there is none yet");
    assert_eq!(put("If-None-Match: *\r\n".into(), "a").await, 200);
    assert_eq!(put("If-None-Match: *\r\n".into(), "b").await, 412);
    let seen = format!("If-Match: {}\r\n", etag(&web.get("/secrets/db", Some("admin")).await));
    let both = tokio::join!(put(seen.clone(), "b"), put(seen.clone(), "c"));
    assert!(matches!(both, (200, 412) | (412, 200)), "{both:?}");
    assert_eq!(web.send("DELETE", "/secrets/db", Some("admin"), &seen, "").await.status, 412);
    let known = etag(&web.get("/secrets/db", Some("admin")).await);
    let unchanged = web.send("GET", "/secrets/db", Some("admin"), &format!("If-None-Match: {known}\r\n"), "").await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
}

#[tokio::test]
async fn policies_are_put_in_force_over_what_was_seen() {
    let web = Web::new(None).await;
    let text = "@id(\"x\") forbid (principal, action == Action::\"drop\", resource);";
    let kept = web.post("/policies/versions", Some("admin"), &json!({"text": text}).to_string()).await;
    assert_eq!(kept.status, 201, "{}", kept.body);
    let seen = format!("{JSON}If-Match: {}\r\n", etag(&web.get("/policies", Some("admin")).await));
    let activate = json!({"version": body(&kept)["id"]}).to_string();
    let done = async || web.send("POST", "/policies/activate", Some("admin"), &seen, &activate).await.status;
    assert_eq!(done().await, 204);
    assert_eq!(done().await, 412, "somebody has changed it: oneself");
}

#[tokio::test]
async fn what_is_sent_twice_under_one_key_is_done_once() {
    let web = Web::new(None).await;
    let sent = async |token: &str, key: &str, text: &str| {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        web.send("POST", "/keys", Some(token), &headers, text).await
    };
    let first = sent("admin", "k1", &new_key("a")).await;
    let again = sent("admin", "k1", &new_key("a")).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body, "the secret, too");
    assert!(again.head.contains("idempotency-replayed: true") && again.head.contains("location: /api/v1/keys/"));
    assert!(!first.head.contains("idempotency-replayed"));
    // Found by Schemathesis: the answer that was kept came as bytes of no kind.
    let kinds: Vec<&str> = again.head.lines().filter(|l| l.starts_with("content-type:")).collect();
    assert_eq!(kinds, ["content-type: application/json"]);
    assert_eq!(sent("admin", "k1", &new_key("b")).await.status, 422, "another request");
    assert_ne!(sent("operator", "k1", &new_key("a")).await.body, first.body, "another caller");
    assert_eq!(sent("forged", "k1", &new_key("a")).await.status, 401, "an answer is given to who may have it");
    // What failed may be tried again.
    assert_eq!(sent("admin", "k2", "{}").await.status, 400);
    assert_eq!(sent("admin", "k2", &new_key("c")).await.status, 201);
    for bad in ["", "a b", "\u{e9}", &"x".repeat(129)] {
        assert_eq!(sent("admin", bad, &new_key("d")).await.status, 400, "{bad}");
    }
    let twice = format!("{JSON}Idempotency-Key: a\r\nIdempotency-Key: b\r\n");
    assert_eq!(web.send("POST", "/keys", Some("admin"), &twice, &new_key("d")).await.status, 400);
    let keys = body(&web.get("/keys", Some("admin")).await);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    // Two at once: one is done, the other told to wait or given the same.
    let text = new_key("e");
    let (one, two) = tokio::join!(sent("admin", "k3", &text), sent("admin", "k3", &text));
    assert!([one.status, two.status].contains(&201), "{one:?} {two:?}");
    assert!([one.status, two.status].iter().all(|s| [201, 409].contains(s)), "{one:?} {two:?}");
    let keys = body(&web.get("/keys", Some("admin")).await);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3);
    let big = format!("{{\"name\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(sent("admin", "k4", &big).await.status, 413);
}

/// Who hangs up and asks again must not have it done twice.
#[tokio::test]
async fn a_key_stays_taken_while_its_request_goes_on() {
    use tokio::io::AsyncWriteExt as _;
    let web = Web::new(None).await;
    let text = new_key("a");
    let headers = format!("{JSON}Idempotency-Key: k1\r\n");
    web.office.audit.stuck.store(true, SeqCst);
    let head = format!(
        "POST /api/v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n{headers}Content-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut first = tokio::net::TcpStream::connect(web.address).await.unwrap();
    first.write_all(head.as_bytes()).await.unwrap();
    let made = || format!("{:?}", web.office.audit.kinds()).matches("make API key").count();
    while made() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(first);
    for _ in 0..10 {
        assert_eq!(web.send("POST", "/keys", Some("admin"), &headers, &text).await.status, 409, "it is under way");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    web.office.audit.stuck.store(false, SeqCst);
    let again = loop {
        let again = web.send("POST", "/keys", Some("admin"), &headers, &text).await;
        if again.status != 409 {
            break again;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(again.status == 201 && again.head.contains("idempotency-replayed: true"), "{again:?}");
    assert_eq!(made(), 1);
}

#[tokio::test]
async fn an_answer_is_given_again_to_who_may_still_have_it() {
    let web = Web::new(None).await;
    let (id, _answers) = web.office.ask(vec![support::need(&["sre", "doorward-admins"], 2)], WEEK).await;
    let spec = json!({"kind": "postgres", "listen": "127.0.0.1:7000", "upstream": "db:5432"});
    let spec = json!({"name": "stock", "spec": spec});
    for (path, text, status) in [
        ("/keys".to_owned(), new_key("a"), 403),
        ("/connections".to_owned(), spec.to_string(), 403),
        (format!("/approvals/{id}/approve"), "{}".to_owned(), 404),
        ("/ssh/certificates".to_owned(), json!({"public_key": "ssh-ed25519 x"}).to_string(), 403),
        ("/credentials".to_owned(), json!({"connection": "orders"}).to_string(), 404),
        (format!("/sessions/{SESSION}/kill"), String::new(), 403),
    ] {
        let headers = format!("{JSON}Idempotency-Key: {}\r\n", path.replace('/', "_"));
        let sent = async |token: &str| web.send("POST", &path, Some(token), &headers, &text).await;
        let first = sent("admin").await;
        assert!((200..300).contains(&first.status), "{path}: {first:?}");
        let again = sent("admin").await;
        assert!(again.status == first.status && again.head.contains("idempotency-replayed: true"), "{path}: {again:?}");
        let later = sent("demoted").await;
        assert_eq!(later.status, status, "{path}: the same person, who may no longer: {later:?}");
    }
}

/// What was given acts as its caller was known then: whoever is known otherwise is given nothing of it, though they were in the same
/// groups and in more, and nothing is done a second time for them.
#[tokio::test]
async fn what_acts_in_a_name_is_given_again_to_nobody_else() {
    let web = Web::new(None).await;
    let certificate = ("/ssh/certificates", json!({"public_key": "ssh-ed25519 x"}).to_string());
    let credential = ("/credentials", json!({"connection": "orders"}).to_string());
    for ((path, text), first, others) in [
        (("/keys", new_key("a")), "admin", &[("suspended", 403)][..]),
        (certificate.clone(), "admin", &[("suspended", 403)]),
        (credential.clone(), "admin", &[("suspended", 403)]),
        // Another chain is another caller: their request is their own.
        (certificate, "bot for dana", &[("bot for dana, who is in more", 403), ("bot for dana, sent by planner", 201)]),
        (credential, "bot for dana", &[("bot for dana, who is in more", 403), ("bot for dana, sent by planner", 201)]),
    ] {
        let headers = format!("{JSON}Idempotency-Key: {}\r\n", path.replace('/', "_"));
        let sent = async |token: &str| web.send("POST", path, Some(token), &headers, &text).await;
        let done = || format!("{:?}", web.office.audit.kinds()).matches("Administration").count();
        assert_eq!(sent(first).await.status, 201, "{path}");
        for (other, status) in others {
            let before = done();
            let later = sent(other).await;
            assert_eq!(later.status, *status, "{path} {other}: {later:?}");
            assert!(!later.head.contains("idempotency-replayed"), "{path} {other}: {later:?}");
            assert_eq!(done() - before, usize::from(*status == 201), "{path} {other}");
        }
        let again = sent(first).await;
        assert!(again.status == 201 && again.head.contains("idempotency-replayed: true"), "{path}: {again:?}");
    }
}

#[tokio::test]
async fn with_a_key_an_endpoint_takes_what_it_takes_without() {
    let web = Web::new(None).await;
    let tls_ca = "x".repeat(100_000);
    let spec = json!({"kind": "postgres", "listen": "127.0.0.1:7000", "upstream": "db:5432", "tls_ca": tls_ca});
    let spec = json!({"name": "stock", "spec": spec});
    let headers = format!("{JSON}Idempotency-Key: k1\r\n");
    let made = web.send("POST", "/connections", Some("admin"), &headers, &spec.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let long = json!({"name": "x".repeat(2 << 20)}).to_string();
    let headers = format!("{JSON}Idempotency-Key: k2\r\n");
    assert_eq!(web.send("POST", "/connections", Some("admin"), &headers, &long).await.status, 413);
}
