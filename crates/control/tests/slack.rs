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
use doorward_model::{ApprovalId, AuditKind, Principal, Secret};
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

/// The app's command, as Slack sends it.
fn command(user: &str, team: &str, text: &str) -> String {
    let fields = [
        ("token", "legacy"),
        ("team_id", team),
        ("team_domain", "corp"),
        ("channel_id", "C1"),
        ("channel_name", "dba"),
        ("user_id", user),
        ("user_name", "anna <!channel>\u{202e}"),
        ("command", "/doorward"),
        ("text", text),
        ("api_app_id", "A1"),
        ("response_url", "https://hooks.slack.com/commands/T1/2/3"),
        ("trigger_id", "1.2.3"),
    ];
    fields.map(|(name, value)| format!("{name}={}", form_urlencoded(value))).join("&")
}

fn signed(at: &str, body: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: v0={hex}\r\n")
}

/// The same time never comes twice, however the clock goes on: a signature counts once.
fn fresh() -> String {
    static BASE: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| now().as_secs() + 150);
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let back = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    assert!(back < 300, "all of them are within the time in which a signature is good");
    (*BASE - back).to_string()
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

    /// Has somebody ask for a code and type it in Slack, as that account.
    async fn link(&self, user: &str, who: Principal) {
        let page = self.signed_in(who.clone()).await.0;
        let said = self.types(user, &format!("link {}", self.code(&page).await)).await;
        assert!(said.contains(&format!("is {}'s from now on", who.id())), "{said}");
    }

    /// The code that a page shows once to who asks for it.
    async fn code(&self, page: &str) -> String {
        let shown = self.web.ask("POST", "/settings/chat/code", None, page, "").await;
        assert_eq!(shown.status, 200, "{}", shown.body);
        let code = shown.body.split("/doorward link ").nth(1).expect("a code").split('<').next().unwrap();
        code.to_owned()
    }

    /// What somebody is told who types the app's command.
    async fn types(&self, user: &str, text: &str) -> String {
        let body = command(user, "T1", text);
        let got = self.commands(&signed(&fresh(), &body, SECRET), &body).await;
        assert_eq!(got.status, 200, "{}", got.body);
        let said: Value = serde_json::from_str(&got.body).unwrap();
        assert_eq!(said["response_type"], json!("ephemeral"), "{said}");
        said["text"].as_str().unwrap().to_owned()
    }

    async fn commands(&self, headers: &str, body: &str) -> Answer {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.web.ask("POST", "/auth/slack/dba/command", None, &headers, body).await
    }

    /// Who presses without anybody's having said whose the account is: told of the way, and of nothing else.
    async fn is_unknown(&mut self, user: &'static str, id: &ApprovalId) {
        assert_eq!(self.pressed(&self.press(user, "doorward_approve", id)).await, 200);
        let told = self.hooks.next().await;
        assert_eq!((&told["response_type"], &told["replace_original"]), (&json!("ephemeral"), &json!(false)));
        let text = told["text"].as_str().unwrap();
        assert!(text.contains("sign in at https://doors.example/settings,") && !text.contains('?'), "{text}");
    }

    async fn accounts_of(&self, subject: &str) -> Vec<String> {
        let found = self.web.signin.chat_accounts_of(&person(subject, &[])).await.unwrap();
        found.into_iter().map(|a| a.user).collect()
    }

    fn told(&self) -> Vec<String> {
        let kinds = self.web.office.audit.kinds();
        let of = |k: &AuditKind| {
            if let AuditKind::Administration { by, what } = k {
                return Some(format!("{by}: {what}"));
            }
            let AuditKind::ApprovalDecided { by, approved, comment, via, .. } = k else { return None };
            let via = via.as_ref().map_or_else(|| "itself".to_owned(), ToString::to_string);
            Some(format!("{by}: {approved}, {comment}, {via}"))
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
    s.is_unknown("U1", &id).await;
    assert!(is_open(&mut answers), "an account that is nobody's decides nothing");
    let page = s.signed_in(person("anna", &["sre"])).await.0;
    let code = s.code(&page).await;
    // It is shown once, to who asks for it on a page of ours, and to nobody by a link.
    let settings = async || s.web.ask("GET", "/settings", None, &page, "").await.body;
    assert!(!settings().await.contains(&code));
    let other = page.replace("Origin: https://doors.example", "Origin: https://evil.example");
    assert_eq!(s.web.ask("POST", "/settings/chat/code", None, &other, "").await.status, 403, "not from a page of ours");
    assert_eq!(s.web.ask("GET", "/settings/chat/code", None, &page, "").await.status, 405);
    let unknown = s.web.ask("POST", "/settings/chat/code", None, "", "").await;
    assert!(unknown.status == 303 && unknown.head.contains("location: /sign-in"), "{}", unknown.head);
    // Typed in Slack it makes the account theirs, and nothing is to be confirmed.
    let said = s.types("U1", &format!(" link  {} ", code.to_lowercase())).await;
    assert_eq!(
        said,
        "This Slack account is corp/anna's from now on: its buttons decide in that name, while corp/anna is signed in."
    );
    let shown = settings().await;
    assert!(shown.contains(">U1<") && shown.contains(">T1<"), "{shown}");
    assert!(shown.contains("anna &lt;!channel&gt;\\u{202e}"), "{shown}");
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
    // The verdict names the account, in the log, on the page, in the interface; one that is given there has none.
    let told = "corp/anna: true, by a button in Slack, slack T1/U1".to_owned();
    assert!(s.told().contains(&told), "{:?}", s.told());
    let seen = s.web.ask("GET", &format!("/approvals/{id}"), None, &page, "").await.body;
    assert!(seen.contains("by <bdi>slack account T1/U1</bdi>"), "{seen}");
    let kept = s.web.get(&format!("/approvals/{id}"), Some("approver")).await.body;
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["verdicts"][0]["via"], json!({ "chat": "slack", "team": "T1", "user": "U1" }));
    let (plain, _answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    assert_eq!(s.web.post(&format!("/approvals/{plain}/approve"), Some("approver"), "{}").await.status, 200);
    assert!(s.told().contains(&"corp/anna: true, , itself".to_owned()), "{:?}", s.told());
    let kept = s.web.get(&format!("/approvals/{plain}"), Some("approver")).await.body;
    assert!(!kept.contains("via"), "{kept}");

    // A denial needs no comment; of two that are asked, the first leaves the buttons.
    let (denied, mut answers) = s.web.office.ask(vec![need(&["sre"], 2)], LONG).await;
    assert_eq!(s.pressed(&s.press("U1", "doorward_approve", &denied)).await, 200);
    let waits = s.hooks.next().await;
    assert!(waits["blocks"].as_array().unwrap().iter().any(|b| b["type"] == "actions"), "{waits}");
    assert!(is_open(&mut answers));
    s.link("U2", person("omar", &["sre"])).await;
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
    s.is_unknown("U1", &id).await;
    assert!(is_open(&mut answers));
}

#[tokio::test]
async fn who_may_not_decide_does_not_by_a_button_either() {
    let mut s = Slack::new().await;
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    s.link("U1", person("bot", &["agents", "sre"])).await;
    s.link("U2", person("eve", &["staff"])).await;
    for (user, why) in [("U1", "nobody decides their own request"), ("U2", "no such approval")] {
        for action in ["doorward_approve", "doorward_deny"] {
            assert_eq!(s.pressed(&s.press(user, action, &id)).await, 200);
            let told = s.hooks.next().await;
            assert!(told["response_type"] == "ephemeral" && told["text"].as_str().unwrap().contains(why), "{told}");
        }
    }
    // The groups are those of the latest sign-in, and count while it is not over.
    let anna = |groups: &[&str]| person("anna", groups);
    s.link("U3", anna(&["sre"])).await;
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
    s.link("U1", person("anna", &["sre"])).await;
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
async fn an_account_is_of_one_person_and_a_code_is_good_once() {
    let s = Slack::new().await;
    let anna = s.signed_in(person("anna", &["sre"])).await.0;
    let (eve, session) = s.signed_in(person("eve", &["sre"])).await;
    let first = s.code(&anna).await;
    assert!(s.types("U1", &format!("link {first}")).await.contains("corp/anna's"));
    assert!(s.types("U2", &format!("link {first}")).await.contains("no code that is good"), "it was used");
    // The last one alone is good; and an account that is somebody's stays so, whoever's code is typed in it.
    let (before, code) = (s.code(&eve).await, s.code(&eve).await);
    assert!(s.types("U2", &format!("link {before}")).await.contains("no code that is good"));
    assert!(s.types("U1", &format!("link {code}")).await.contains("somebody's already"));
    assert_eq!((s.accounts_of("anna").await, s.accounts_of("eve").await), (vec!["U1".to_owned()], vec![]));
    assert!(s.types("U2", &format!("link {code}")).await.contains("corp/eve's"), "it was not looked at");
    // What no code begins with is none, and counts against nobody.
    for text in ["", "help", "unlink", "linkX", &code] {
        assert!(s.types("U3", text).await.starts_with("Type `link`"), "{text}");
    }
    // With the session that it was given in, a code is over.
    let code = s.code(&eve).await;
    s.web.signin.end(&session).await.unwrap();
    assert!(s.types("U3", &format!("link {code}")).await.contains("has signed out"));
    // Without the audit log nothing is linked.
    let code = s.code(&anna).await;
    s.web.office.audit.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let body = command("U5", "T1", &format!("link {code}"));
    assert_eq!(s.commands(&signed(&fresh(), &body, SECRET), &body).await.status, 503);
    assert_eq!((s.accounts_of("anna").await, s.accounts_of("eve").await), (vec!["U1".into()], vec!["U2".to_owned()]));
}

/// What was before: a link that an account got, and that made the account theirs who opened it. There is no such way any more.
#[tokio::test]
async fn no_link_makes_an_account_anybodys() {
    let mut s = Slack::new().await;
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    let anna = s.signed_in(person("anna", &["sre"])).await.0;
    s.is_unknown("U9", &id).await;
    let form = format!("{anna}Content-Type: application/x-www-form-urlencoded\r\n");
    let code = s.code(&s.signed_in(person("eve", &["staff"])).await.0).await;
    for (method, path, body) in [
        ("GET", format!("/settings/chat?code={code}"), String::new()),
        ("POST", "/settings/chat".to_owned(), format!("code={code}")),
        ("GET", format!("/settings?code={code}&link={code}"), String::new()),
        ("POST", "/settings/chat/code".to_owned(), format!("code={code}&user=U9&team=T1")),
        ("GET", format!("/auth/slack/dba/command?text=link+{code}&user_id=U9&team_id=T1"), String::new()),
    ] {
        s.web.ask(method, &path, None, &form, &body).await;
        assert_eq!(s.accounts_of("anna").await, Vec::<String>::new(), "{method} {path}");
    }
    // Eve's own account decides as eve, who may not, whoever presses.
    assert!(s.types("U9", &format!("link {code}")).await.contains("corp/eve's"));
    assert_eq!(s.pressed(&s.press("U9", "doorward_approve", &id)).await, 200);
    assert!(s.hooks.next().await["text"].as_str().unwrap().contains("no such approval"));
    assert!(is_open(&mut answers));
}

#[tokio::test]
async fn nobody_guesses_a_code_and_what_is_not_slacks_counts_as_nothing() {
    let s = Slack::new().await;
    let anna = s.signed_in(person("anna", &["sre"])).await.0;
    let code = s.code(&anna).await;
    let good = command("U1", "T1", &format!("link {code}"));
    let at = fresh();
    let headers = signed(&at, &good, SECRET);
    for (why, headers, body, status) in [
        ("not signed", String::new(), good.clone(), 401),
        ("another secret", signed(&at, &good, "another secret of some length"), good.clone(), 401),
        ("another account", headers.clone(), good.replace("U1", "U2"), 401),
    ] {
        assert_eq!(s.commands(&headers, &body).await.status, status, "{why}");
    }
    let press = s.press("U1", "doorward_approve", &s.web.office.ask(vec![], LONG).await.0).body();
    for (why, body, status) in [
        ("another workspace", command("U1", "T2", &format!("link {code}")), 403),
        ("two accounts", format!("{good}&user_id=U2"), 400),
        ("no account", good.replace("user_id", "user"), 400),
        ("the press of a button", press, 400),
        ("too long", format!("{good}&more={}", "x".repeat(20 << 10)), 413),
    ] {
        let got = s.commands(&signed(&fresh(), &body, SECRET), &body).await;
        assert_eq!(got.status, status, "{why}: {}", got.body);
    }
    let nowhere = s.web.ask("POST", "/auth/slack/other/command", None, &headers, &good).await;
    assert_eq!(nowhere.status, 404);
    // Five wrong ones, and the account has to wait, also with the right one.
    for _ in 0..5 {
        assert!(s.types("U1", "link 0000-0000-0000").await.contains("no code that is good"));
    }
    assert!(s.types("U1", &format!("link {code}")).await.contains("too many wrong codes"));
    assert_eq!(s.accounts_of("anna").await, Vec::<String>::new());
    assert!(s.types("U2", &format!("link {code}")).await.contains("corp/anna's"), "others go on");
    let noted = format!("{:?}", s.web.office.audit.kinds());
    assert!(noted.contains("a code that was typed in Slack is wrong"), "{noted}");
    // What came before counts once.
    let other = s.code(&anna).await;
    let body = command("U3", "T1", &format!("link {other}"));
    let headers = signed(&fresh(), &body, SECRET);
    assert_eq!(s.commands(&headers, &body).await.status, 200);
    let again = s.commands(&headers, &body).await;
    assert!(again.status == 401 && again.body.contains("twice"), "{}", again.body);
}

#[tokio::test]
async fn who_administers_sees_and_removes_the_accounts_of_others() {
    let mut s = Slack::new().await;
    let (id, mut answers) = s.web.office.ask(vec![need(&["sre"], 1)], LONG).await;
    for (user, who) in [("U2", "omar"), ("U1", "anna"), ("U3", "ada")] {
        s.link(user, person(who, &["sre"])).await;
    }
    let list = async |query: &str, token: &str| {
        let got = s.web.get(&format!("/chat-accounts{query}"), Some(token)).await;
        assert_eq!(got.status, 200, "{}", got.body);
        serde_json::from_str::<Value>(&got.body).unwrap()
    };
    let first = list("?limit=2", "auditor").await;
    assert_eq!(
        (&first["accounts"][0]["user"], &first["accounts"][0]["principal"]),
        (&json!("U1"), &json!("corp/anna"))
    );
    assert_eq!(first["accounts"][1]["user"], "U2");
    let rest = list(&format!("?cursor={}", first["next"].as_str().unwrap()), "admin").await;
    assert!(rest["accounts"][0]["user"] == "U3" && rest["next"].is_null(), "{rest}");
    // Whose it is, or who may: nobody else, and nobody else learns whether there is one.
    let remove = async |s: &Slack, user: &str, token: &str| {
        s.web.send("DELETE", &format!("/chat-accounts/T1/{user}"), Some(token), "", "").await.status
    };
    for who in ["auditor", "operator", "stranger", "requester"] {
        assert_eq!((remove(&s, "U1", who).await, remove(&s, "U9", who).await), (403, 403), "{who}");
    }
    assert_eq!(s.accounts_of("anna").await, ["U1"]);
    assert_eq!((remove(&s, "U1", "admin").await, remove(&s, "U1", "admin").await), (204, 404));
    assert!(
        s.told().iter().any(|t| t.starts_with("corp/ada: unlink Slack account T1/U1") && t.ends_with("of corp/anna"))
    );
    s.is_unknown("U1", &id).await;
    assert!(is_open(&mut answers), "it decides nothing any more");
    // On the page as well; one's own without any right.
    let admin = s.signed_in(person("ada", &["doorward-admins"])).await.0;
    let shown = s.web.ask("GET", "/settings/keys", None, &admin, "").await.body;
    assert!(shown.contains("corp/omar") && shown.contains(">U2<") && !shown.contains(">U1<"), "{shown}");
    let eve = s.signed_in(person("eve", &["sre"])).await.0;
    let at = "/settings/chat-accounts/T1/U2/remove";
    assert_eq!(s.web.ask("GET", "/settings/keys", None, &eve, "").await.status, 403);
    assert_eq!(s.web.ask("POST", at, None, &eve, "").await.status, 403);
    assert_eq!(s.web.ask("POST", at, None, &admin, "").await.status, 303);
    assert_eq!(s.accounts_of("omar").await, Vec::<String>::new());
    assert_eq!(remove(&s, "U3", "demoted").await, 204, "one's own");
    // What cannot be written down is not done.
    s.link("U4", person("omar", &["sre"])).await;
    s.web.office.audit.full.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(remove(&s, "U4", "admin").await, 503);
    assert_eq!(s.accounts_of("omar").await, ["U4"]);
}
