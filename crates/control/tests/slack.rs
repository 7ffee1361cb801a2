//! Buttons in Slack. Slack itself cannot be had here: what it sends, and where it takes answers, is made after its documentation.
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

use aws_lc_rs::hmac;
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse as _, routing::post};
use doorward_control::form_urlencoded;
use doorward_enforce::ApprovalVerdict;
use doorward_model::{ApprovalId, AuditKind, Principal, Secret, Timestamp};
use doorward_notify::SlackButtons;
use doorward_signin::SignedIn;
use doorward_store::SessionPurpose;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use support::{Answers, need, now, person};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use web::{Answer, Web};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const LONG: Duration = Duration::from_secs(600);

/// Where Slack takes answers to what was pressed.
struct Hooks {
    address: SocketAddr,
    got: mpsc::UnboundedReceiver<Value>,
}

impl Hooks {
    async fn start() -> Self {
        let (to, got) = mpsc::unbounded_channel();
        let take = async |State(to): State<mpsc::UnboundedSender<Value>>, Json(body): Json<Value>| {
            to.send(body).unwrap();
            "ok"
        };
        let away = async || (StatusCode::TEMPORARY_REDIRECT, [("location", "/actions/1")]).into_response();
        let app = Router::new().route("/actions/1", post(take)).route("/away", post(away)).with_state(to);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, got }
    }

    async fn next(&mut self) -> Value {
        timeout(Duration::from_secs(10), self.got.recv()).await.expect("an answer to Slack").unwrap()
    }
}

struct Slack {
    web: Web,
    hooks: Hooks,
}

/// One press of a button, as Slack sends it.
struct Press {
    user: &'static str,
    team: &'static str,
    of_user: &'static str,
    action: &'static str,
    value: String,
    reply: String,
}

impl Press {
    fn body(&self) -> String {
        let blocks = json!([
            { "type": "header", "text": { "type": "plain_text", "text": "Approval wanted" } },
            { "type": "actions", "elements": [{ "type": "button", "action_id": self.action, "value": self.value }] },
        ]);
        let payload = json!({
            "type": "block_actions", "api_app_id": "A1", "token": "legacy", "trigger_id": "1.2.3",
            "user": { "id": self.user, "username": "anna <!channel>\u{202e}", "team_id": self.of_user },
            "team": { "id": self.team, "domain": "corp" }, "channel": { "id": "C1", "name": "dba" },
            "message": { "type": "message", "ts": "1.2", "blocks": blocks }, "response_url": self.reply,
            "actions": [{ "type": "button", "action_id": self.action, "block_id": "b", "value": self.value, "action_ts": "1.3" }],
        });
        format!("payload={}", form_urlencoded(&payload.to_string()))
    }
}

fn signed(at: &str, body: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: v0={hex}\r\n")
}

/// The same time never comes twice: a signature counts once.
fn fresh() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let back = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    (now().as_secs() - back % 120).to_string()
}

impl Slack {
    async fn new() -> Self {
        let hooks = Hooks::start().await;
        let api = format!("http://{}/api/", hooks.address);
        let buttons = SlackButtons::new("T1", &Secret::new(SECRET.to_owned()), Some(&api)).unwrap();
        Self { web: Web::with(None, vec![("dba".into(), buttons)]).await, hooks }
    }

    fn press(&self, user: &'static str, action: &'static str, id: &ApprovalId) -> Press {
        let reply = format!("http://{}/actions/1", self.hooks.address);
        Press { user, team: "T1", of_user: "T1", action, value: id.to_string(), reply }
    }

    async fn send(&self, headers: &str, body: &str) -> Answer {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.web.ask("POST", "/auth/slack/dba", None, &headers, body).await
    }

    async fn pressed(&self, press: &Press) -> u16 {
        let body = press.body();
        self.send(&signed(&fresh(), &body, SECRET), &body).await.status
    }

    /// Somebody signs in with a browser: the headers of their page.
    async fn signed_in(&self, who: Principal) -> (String, String) {
        let begun = self.web.signin.begin(SignedIn::new(who), "oidc", SessionPurpose::Browser, now()).await.unwrap();
        let headers = format!("Cookie: __Host-doorward={}\r\nOrigin: https://doors.example\r\n", begun.secret.expose());
        (headers, begun.session.id)
    }

    /// Presses once to be told of the link, and goes that way.
    async fn link(&mut self, user: &'static str, who: Principal, id: &ApprovalId) {
        let page = self.signed_in(who).await.0;
        let code = self.code(user, id).await;
        let shown = self.web.ask("GET", &format!("/settings/chat?code={code}"), None, &page, "").await;
        assert_eq!(shown.status, 200, "{}", shown.body);
        let said = self.say_mine(&page, &code).await;
        assert_eq!(said.status, 303, "{}", said.body);
    }

    async fn code(&mut self, user: &'static str, id: &ApprovalId) -> String {
        assert_eq!(self.pressed(&self.press(user, "doorward_approve", id)).await, 200);
        let told = self.hooks.next().await;
        assert_eq!((&told["response_type"], &told["replace_original"]), (&json!("ephemeral"), &json!(false)));
        let text = told["text"].as_str().unwrap();
        text.split("https://doors.example/settings/chat?code=").nth(1).expect("a link").to_owned()
    }

    async fn say_mine(&self, page: &str, code: &str) -> Answer {
        let headers = format!("{page}Content-Type: application/x-www-form-urlencoded\r\n");
        self.web.ask("POST", "/settings/chat", None, &headers, &format!("code={code}")).await
    }

    fn told(&self) -> Vec<String> {
        let kinds = self.web.office.audit.kinds();
        let of = |k: &AuditKind| {
            if let AuditKind::Administration { by, what } = k {
                return Some(format!("{by}: {what}"));
            }
            let AuditKind::ApprovalDecided { by, approved, comment, .. } = k else { return None };
            Some(format!("{by}: {approved}, {comment}"))
        };
        kinds.iter().filter_map(of).collect()
    }
}

fn is_open(answers: &mut Answers) -> bool {
    answers.try_recv().is_err()
}

#[tokio::test]
async fn an_account_is_linked_by_its_person_and_decides_in_their_name() {
    let mut s = Slack::new().await;
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let page = s.signed_in(person("anna", &["sre"])).await.0;
    let code = s.code("U1", &id).await;
    assert!(is_open(&mut answers), "an account that is nobody's decides nothing");
    // The page names account and workspace, and to look uses nothing up; without a sign-in there is no page.
    let at = format!("/settings/chat?code={code}");
    let unknown = s.web.ask("GET", &at, None, "", "").await;
    assert!(unknown.status == 303 && unknown.head.contains("location: /sign-in?next="), "{}", unknown.head);
    for _ in 0..2 {
        let shown = s.web.ask("GET", &at, None, &page, "").await.body;
        assert!(
            shown.contains("U1") && shown.contains("T1") && shown.contains("anna &lt;!channel&gt;\\u{202e}"),
            "{shown}"
        );
    }
    let other = page.replace("Origin: https://doors.example", "Origin: https://evil.example");
    assert_eq!(s.say_mine(&other, &code).await.status, 403, "not from a page of ours");
    assert_eq!(s.say_mine(&page, &code).await.status, 303);
    assert_eq!(s.say_mine(&page, &code).await.status, 410, "it is used once");
    assert_eq!(s.web.ask("GET", &at, None, &page, "").await.status, 410);
    assert!(s.told().iter().any(|t| t.starts_with("corp/anna: link Slack account T1/U1")), "{:?}", s.told());

    assert_eq!(s.pressed(&s.press("U1", "doorward_approve", &id)).await, 200);
    let verdict = timeout(Duration::from_secs(5), answers.recv()).await.unwrap().unwrap();
    let ApprovalVerdict::Approved { by } = verdict else { panic!("{verdict:?}") };
    assert_eq!((by[0].id.as_str(), &by[0].groups), ("corp/anna", &vec!["sre".to_owned()]));
    let updated = s.hooks.next().await;
    assert_eq!(updated["replace_original"], json!(true));
    let blocks = updated["blocks"].as_array().unwrap();
    assert!(blocks.iter().all(|b| b["type"] != "actions") && blocks[0]["type"] == "header", "{blocks:?}");
    let last = &blocks.last().unwrap()["text"];
    assert_eq!((&last["type"], &last["text"]), (&json!("plain_text"), &json!("Approved by corp/anna.")));
    assert!(s.told().contains(&"corp/anna: true, by a button in Slack".to_owned()), "{:?}", s.told());

    // A denial needs no comment; of two that are asked, the first leaves the buttons.
    let (denied, mut answers) = s.web.office.ask(vec![need(&["sre"], 2)], LONG).await;
    assert_eq!(s.pressed(&s.press("U1", "doorward_approve", &denied)).await, 200);
    let waits = s.hooks.next().await;
    assert!(waits["blocks"].as_array().unwrap().iter().any(|b| b["type"] == "actions"), "{waits}");
    assert!(is_open(&mut answers));
    s.link("U2", person("omar", &["sre"]), &denied).await;
    assert_eq!(s.pressed(&s.press("U2", "doorward_deny", &denied)).await, 200);
    let verdict = timeout(Duration::from_secs(5), answers.recv()).await.unwrap().unwrap();
    assert!(matches!(&verdict, ApprovalVerdict::Denied { by, .. } if by == "corp/omar"), "{verdict:?}");
    assert!(s.hooks.next().await.to_string().contains("Denied by corp/omar"));

    // Taken back, it decides nothing more.
    let remove =
        |page: String| s.web.ask("POST", "/settings/chat/T1/U1/remove", None, Box::leak(page.into_boxed_str()), "");
    assert_eq!(remove(s.signed_in(person("eve", &["sre"])).await.0).await.status, 404, "somebody else's");
    assert_eq!(remove(page).await.status, 303);
    assert!(s.told().iter().any(|t| t.starts_with("corp/anna: unlink Slack account T1/U1")), "{:?}", s.told());
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    s.code("U1", &id).await;
    assert!(is_open(&mut answers));
}

#[tokio::test]
async fn who_may_not_decide_does_not_by_a_button_either() {
    let mut s = Slack::new().await;
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    s.link("U1", person("bot", &["agents", "sre"]), &id).await;
    s.link("U2", person("eve", &["staff"]), &id).await;
    for (user, why) in [("U1", "nobody decides their own request"), ("U2", "no such approval")] {
        for action in ["doorward_approve", "doorward_deny"] {
            assert_eq!(s.pressed(&s.press(user, action, &id)).await, 200);
            let told = s.hooks.next().await;
            assert!(told["response_type"] == "ephemeral" && told["text"].as_str().unwrap().contains(why), "{told}");
        }
    }
    // The groups are those of the latest sign-in, and count while it is not over.
    let anna = |groups: &[&str]| person("anna", groups);
    s.link("U3", anna(&["sre"]), &id).await;
    let (_, later) = s.signed_in(anna(&["staff"])).await;
    let said = async |s: &mut Slack| {
        assert_eq!(s.pressed(&s.press("U3", "doorward_approve", &id)).await, 200);
        s.hooks.next().await["text"].as_str().unwrap().to_owned()
    };
    assert!(said(&mut s).await.contains("no such approval"));
    s.web.signin.end(&later).await.unwrap();
    s.web.signin.end_all("corp", "anna").await.unwrap();
    assert!(said(&mut s).await.contains("sign in first"));
    let over = Principal { expires_at: now(), ..anna(&["sre"]) };
    let ended = SignedIn { ends: Some(over.expires_at), ..SignedIn::new(over) };
    s.web.signin.begin(ended, "oidc", SessionPurpose::Browser, now()).await.unwrap();
    assert!(said(&mut s).await.contains("sign in first"));
    assert!(is_open(&mut answers));
    s.signed_in(anna(&["sre"])).await;
    assert_eq!(s.pressed(&s.press("U3", "doorward_approve", &id)).await, 200);
    assert!(matches!(answers.recv().await.unwrap(), ApprovalVerdict::Approved { .. }));
}

#[tokio::test]
async fn what_is_not_slacks_counts_as_nothing() {
    let mut s = Slack::new().await;
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    s.link("U1", person("anna", &["sre"]), &id).await;
    let good = s.press("U1", "doorward_approve", &id).body();
    let at = fresh();
    let headers = signed(&at, &good, SECRET);
    let stamp = |seconds: i64| now().as_secs().saturating_add_signed(seconds).to_string();
    let signature = |h: &str| h.lines().nth(1).unwrap().to_owned();
    for (why, headers, body, status) in [
        ("not signed", String::new(), good.clone(), 401),
        ("no timestamp", format!("{}\r\n", signature(&headers)), good.clone(), 401),
        ("another secret", signed(&at, &good, "another secret of some length"), good.clone(), 401),
        ("another body", headers.clone(), good.replace("U1", "U2"), 401),
        ("another time", headers.replace(&at, &stamp(-200)), good.clone(), 401),
        ("old", signed(&stamp(-301), &good, SECRET), good.clone(), 401),
        ("of a time to come", signed(&stamp(310), &good, SECRET), good.clone(), 401),
        ("a time that is none", signed("-1", &good, SECRET), good.clone(), 401),
        ("two signatures", format!("{headers}{}\r\n", signature(&headers)), good.clone(), 401),
        ("half a signature", headers.replace("v0=", "v0=00"), good.clone(), 401),
    ] {
        let got = s.send(&headers, &body).await;
        assert_eq!(got.status, status, "{why}: {}", got.body);
    }
    let elsewhere = |team, of_user| Press { team, of_user, ..s.press("U1", "doorward_approve", &id) };
    for press in [elsewhere("T2", "T2"), elsewhere("T1", "T2"), elsewhere("T2", "T1")] {
        assert_eq!(s.pressed(&press).await, 403);
    }
    let reply = |reply: &str| Press { reply: reply.into(), ..s.press("U1", "doorward_approve", &id) };
    for address in [
        "https://hooks.slack.com.evil.example/x",
        "https://evil.example/",
        "http://hooks.slack.com/x",
        "https://hooks.slack.com:444/x",
        "https://hooks.slack.com@evil.example/x",
        "http://127.0.0.1:1/actions/1",
        "file:///etc/passwd",
        "",
    ] {
        assert_eq!(s.pressed(&reply(address)).await, 400, "{address}");
    }
    for body in ["payload=%7B%7D", "payload=[", "nothing=1", "\u{0}", &format!("{good}&{good}"), "payload=%FF"] {
        assert_eq!(s.send(&signed(&fresh(), body, SECRET), body).await.status, 400, "{body}");
    }
    let not_one = good.replace("block", "view");
    assert_eq!(s.send(&signed(&fresh(), &not_one, SECRET), &not_one).await.status, 400);
    let huge = format!("payload={}", "x".repeat(300 << 10));
    assert_eq!(s.send(&signed(&fresh(), &huge, SECRET), &huge).await.status, 413);
    let nowhere = s.web.ask("POST", "/auth/slack/other", None, &headers, &good).await;
    assert_eq!(nowhere.status, 404);
    assert!(is_open(&mut answers), "none of them counted");
    assert!(s.hooks.got.try_recv().is_err(), "and none was answered");

    // A link that is followed is told to us as well, and is nothing. The real one counts, and once.
    assert_eq!(s.pressed(&s.press("U1", "review", &id)).await, 200);
    assert!(is_open(&mut answers));
    assert_eq!(s.send(&headers, &good).await.status, 200);
    assert!(matches!(answers.recv().await.unwrap(), ApprovalVerdict::Approved { .. }));
    s.hooks.next().await;
    let again = s.send(&headers, &good).await;
    assert_eq!(again.status, 401, "{}", again.body);
    assert!(again.body.contains("twice"), "{}", again.body);

    // An answer goes to the address that came, and is not led elsewhere.
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let away = Press { reply: format!("http://{}/away", s.hooks.address), ..s.press("U1", "doorward_deny", &id) };
    assert_eq!(s.pressed(&away).await, 200);
    assert!(matches!(answers.recv().await.unwrap(), ApprovalVerdict::Denied { .. }), "the verdict stands");
    assert!(timeout(Duration::from_millis(500), s.hooks.got.recv()).await.is_err(), "no redirect is followed");
}

#[tokio::test]
async fn an_account_is_of_one_person_and_a_code_of_one_account() {
    let mut s = Slack::new().await;
    let (id, _answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let (first, second) = (s.code("U1", &id).await, s.code("U1", &id).await);
    let anna = s.signed_in(person("anna", &["sre"])).await.0;
    let eve = s.signed_in(person("eve", &["sre"])).await.0;
    assert_eq!(s.say_mine(&anna, &first).await.status, 303);
    assert_eq!(s.say_mine(&eve, &second).await.status, 409, "it is anna's");
    // Ten minutes later a code is nothing.
    let account = doorward_signin::Offered { team: "T1".into(), user: "U9".into(), name: "x".into() };
    let before = Timestamp::from_secs(now().as_secs() - 601);
    let old = s.web.signin.offer_chat_account(account.clone(), before);
    assert_eq!(s.say_mine(&eve, old.expose()).await.status, 410);
    let almost = s.web.signin.offer_chat_account(account, Timestamp::from_secs(now().as_secs() - 500));
    assert_eq!(s.say_mine(&eve, almost.expose()).await.status, 303);
    // Without the audit log nothing is linked.
    let code = s.code("U5", &id).await;
    s.web.office.audit.full.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(s.say_mine(&eve, &code).await.status, 503);
    assert_eq!(s.web.signin.chat_accounts_of(&person("eve", &[])).await.unwrap().len(), 1);
}
