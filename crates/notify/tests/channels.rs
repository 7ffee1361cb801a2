//! Each channel, towards a receiver that speaks its protocol. Slack and Teams themselves cannot be had here: their receivers are
//! ours, made after their documentation. The mail server is Python's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::IntoResponse, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_enforce::{ApprovalRequest, AuditSink as _, Requirement, Shown, ShownPart};
use doorward_model::{
    ApprovalId, AuditEvent, AuditKind, ConnectionName, Delegation, Facts, Principal, PrincipalKind, RequestId, Secret,
    SessionId, Timestamp,
};
use doorward_notify::{ChannelConfig, Mail, Notifiers, Source, Target};
use doorward_record::{AuditLog, AuditOptions, keys};
use doorward_store::{ApprovalState, Store, StoredVerdict};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};
use uuid::Uuid;

const HOSTILE: &str = "DROP TABLE t; -- <!channel> *bold* [x](http://evil) ```\u{1b}[2J\u{202e}\n<script>";

fn now() -> Timestamp {
    SystemTime::now().into()
}

struct World {
    dir: tempfile::TempDir,
    log: Arc<AuditLog>,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = keys::load_or_create(dir.path()).unwrap();
        let options = AuditOptions { file_bytes: 4096, ..AuditOptions::default() };
        let log = AuditLog::open(&dir.path().join("audit"), key, options).unwrap();
        let store = Store::open(dir.path(), now()).await.unwrap();
        Self { dir, log, store }
    }

    fn start(&self, target: Target, groups: &[&str]) -> Notifiers {
        let source = Source {
            dir: self.dir.path().join("audit"),
            audit: Arc::clone(&self.log) as _,
            head: self.log.head(),
            store: self.store.clone(),
            public_url: "https://doors.example/".into(),
        };
        let config = ChannelConfig {
            name: "people".into(),
            target,
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            connections: Vec::new(),
            statement: true,
        };
        Notifiers::start(&source, vec![config]).unwrap()
    }

    fn write(&self, kind: AuditKind) {
        let ticket = self.log.append(&AuditEvent { time: now(), session: None, kind, parties: None }).unwrap();
        self.log.wait(ticket).unwrap();
    }

    async fn ask(&self, n: u128, statement: &str, group: &str) -> ApprovalId {
        self.ask_with(n, (statement, &["4711"]), group).await
    }

    async fn ask_with(&self, n: u128, (statement, parameters): (&str, &[&str]), group: &str) -> ApprovalId {
        let parameters = parameters.iter().map(|p| (*p).to_owned()).collect();
        self.ask_for(n, (statement, Shown::of_parameters(parameters)), group).await
    }

    async fn ask_for(&self, n: u128, (statement, shown): (&str, Shown), group: &str) -> ApprovalId {
        let principal = Principal {
            kind: PrincipalKind::Agent,
            issuer: "ci".into(),
            subject: "bot <!here>".into(),
            groups: [].into(),
            tags: [].into(),
            token_id: None,
            expires_at: now(),
            on_behalf_of: None,
        };
        // The fifth is for somebody.
        let dana = Principal { kind: PrincipalKind::User, subject: "dana <!here>".into(), ..principal.clone() };
        let delegation = Delegation { person: dana, prior_actors: Vec::new() };
        let principal = Principal { on_behalf_of: (n == 5).then(|| Box::new(delegation)), ..principal };
        let id = ApprovalId::from_uuid(Uuid::from_u128(n));
        let groups = vec![group.to_owned()];
        let request = ApprovalRequest {
            id,
            session: SessionId::from_uuid(Uuid::from_u128(1)),
            request: RequestId(1),
            principal,
            connection: ConnectionName::new("orders"),
            statement: statement.into(),
            shown: Arc::new(shown),
            facts: Arc::new(Facts::new(
                if statement.starts_with("EXECUTE") { "EXECUTE" } else { "DROP TABLE" },
                1,
                vec![],
            )),
            digest: "ab".into(),
            requirements: vec![Requirement {
                policy: "no-drop".into(),
                reason: Some("why".into()),
                groups,
                quorum: 1,
                escalation: None,
                break_glass: vec![],
            }],
            asked: now(),
            expires: now().after(Duration::from_secs(600)),
            waits: true,
        };
        // In the log first, as the gateway has it.
        let approvers = vec![vec![group.to_owned()]];
        let expires = request.expires;
        self.write(AuditKind::ApprovalRequested { approval: id, request: RequestId(1), approvers, expires });
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.store.approval_asked(&request).await.unwrap();
        id
    }

    async fn approve(&self, id: ApprovalId) {
        let by = "sso/anna".to_owned();
        let comment = "go *ahead*".to_owned();
        self.write(AuditKind::ApprovalDecided {
            approval: id,
            approved: true,
            by: by.clone(),
            comment: comment.clone(),
            break_glass: false,
            via: None,
        });
        let verdict =
            StoredVerdict { by, groups: vec![], yes: true, comment, time: now(), break_glass: false, via: None };
        self.store.verdict(id, &verdict).await.unwrap();
        self.store.approval_ended(id, ApprovalState::Approved, "approved", now()).await.unwrap();
    }
}

/// What came in, and what to answer next.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    fail: Arc<Mutex<u32>>,
    answer: Arc<Mutex<Value>>,
}

async fn take(State(r): State<Receiver>, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    let mut fail = r.fail.lock().unwrap();
    if *fail > 0 {
        *fail -= 1;
        return (axum::http::StatusCode::SERVICE_UNAVAILABLE, "not now").into_response();
    }
    let json = serde_json::from_slice(&body).unwrap();
    r.got.lock().unwrap().push((headers, json));
    axum::Json(r.answer.lock().unwrap().clone()).into_response()
}

impl Receiver {
    async fn start() -> (Self, SocketAddr) {
        let receiver = Self::default();
        let app = Router::new().fallback(post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, address)
    }

    async fn wait(&self, count: usize) -> Vec<(HeaderMap, Value)> {
        let begun = Instant::now();
        loop {
            let got = self.got.lock().unwrap().clone();
            if got.len() >= count {
                return got;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{} of {count} came: {got:?}", got.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn signature(key: &[u8], headers: &HeaderMap, body: &Value) -> String {
    let part = |name: &str| headers[name].to_str().unwrap().to_owned();
    let signed = format!("{}.{}.{body}", part("webhook-id"), part("webhook-timestamp"));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    format!("v1,{}", STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
}

#[tokio::test]
async fn a_webhook_is_signed_tried_again_and_goes_on_after_a_restart() {
    let world = World::new().await;
    let (receiver, address) = Receiver::start().await;
    *receiver.fail.lock().unwrap() = 2;
    let secret = Secret::new("a secret of some length".to_owned());
    let target = || Target::Webhook { url: format!("http://{address}/hook"), secret: secret.clone() };
    let running = world.start(target(), &[]);
    let id = world.ask(1, HOSTILE, "dba").await;
    let got = receiver.wait(1).await;
    let (headers, body) = &got[0];
    assert_eq!(headers["webhook-signature"], signature(secret.expose().as_bytes(), headers, body).as_str());
    assert_eq!((&body["type"], &body["data"]["connection"]), (&json!("approval.requested"), &json!("orders")));
    assert_eq!(body["data"]["link"], json!(format!("https://doors.example/approvals/{id}")));
    let shown = body["data"]["statement"].as_str().unwrap();
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\n']), "{shown}");
    running.stop().await;
    // What happens while nobody runs is told afterwards, and once.
    world.approve(id).await;
    let other = world.ask(2, "DROP TABLE u", "dba").await;
    let running = world.start(target(), &[]);
    let got = receiver.wait(3).await;
    assert_eq!(
        (&got[1].1["type"], &got[1].1["data"]["verdict"]["by"]),
        (&json!("approval.decided"), &json!("sso/anna"))
    );
    assert_eq!(got[2].1["data"]["approval"], json!(other.to_string()));
    running.stop().await;
    // One that is over when its turn comes is not asked for.
    let over = world.ask(3, "DROP TABLE v", "dba").await;
    world.approve(over).await;
    let running = world.start(target(), &["dba"]);
    let got = receiver.wait(4).await;
    assert_eq!(got[3].1["type"], json!("approval.decided"));
    // Of other groups nothing is told.
    world.ask(4, "DROP TABLE w", "sre").await;
    world.ask(5, "DROP TABLE x", "dba").await;
    let got = receiver.wait(5).await;
    let (alone, acting) = (&got[2].1["data"], &got[4].1["data"]);
    assert_eq!(acting["statement"], json!("DROP TABLE x"));
    assert_eq!(acting["principal"], json!("ci/bot <!here> for ci/dana <!here>"));
    assert_eq!(acting["parties"], json!({ "actor": "ci/bot <!here>", "on_behalf_of": "ci/dana <!here>" }));
    assert_eq!((&alone["principal"], alone.get("parties")), (&json!("ci/bot <!here>"), None));
    running.stop().await;
}

/// Every text that a caller wrote stands where no markup is read.
fn marked_up(message: &Value, is_plain: &dyn Fn(&Value) -> bool, out: &mut Vec<String>) {
    match message {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_str().filter(|text| text.contains("evil") || text.contains("<!")) {
                    Some(text) if !is_plain(message) => out.push(format!("{name}: {text}")),
                    Some(_) => {}
                    None => marked_up(value, is_plain, out),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|i| marked_up(i, is_plain, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn slack_gets_plain_texts_and_a_button_and_its_refusal_is_tried_again() {
    let world = World::new().await;
    let (receiver, address) = Receiver::start().await;
    *receiver.answer.lock().unwrap() = json!({ "ok": false, "error": "channel_not_found" });
    let token = Secret::new("xoxb-1".to_owned());
    let target =
        Target::Slack { api: Some(format!("http://{address}/api/")), token, channel: "C1".into(), buttons: false };
    let running = world.start(target, &[]);
    let id = world.ask(1, HOSTILE, "dba").await;
    receiver.wait(1).await;
    *receiver.answer.lock().unwrap() = json!({ "ok": true, "ts": "1.2" });
    let got = receiver.wait(2).await;
    let (headers, body) = &got[1];
    assert_eq!((&headers["authorization"], &body["channel"]), (&"Bearer xoxb-1".parse().unwrap(), &json!("C1")));
    let mut out = Vec::new();
    let is_plain = |of: &Value| of["type"] == "plain_text" || of["type"] == "text";
    marked_up(&body["blocks"], &is_plain, &mut out);
    assert_eq!(out, Vec::<String>::new());
    assert!(!body["text"].as_str().unwrap().contains("<!"), "{body}");
    let button = &body["blocks"].as_array().unwrap().last().unwrap()["elements"][0];
    assert_eq!(button["url"], json!(format!("https://doors.example/approvals/{id}")));
    running.stop().await;
}

#[tokio::test]
async fn slack_gets_a_button_for_what_can_be_read_whole_alone() {
    let world = World::new().await;
    let (receiver, address) = Receiver::start().await;
    *receiver.answer.lock().unwrap() = json!({ "ok": true, "ts": "1.2" });
    let token = Secret::new("xoxb-1".to_owned());
    let api = Some(format!("http://{address}/api/"));
    let running = world.start(Target::Slack { api, token, channel: "C1".into(), buttons: true }, &[]);
    let long = format!("DELETE FROM t WHERE a = '{}'", "x".repeat(1000));
    // As characters they fit; shown, each steering one takes eight.
    let steered = format!("SELECT '{}'", "\u{202e}".repeat(200));
    let cases = [
        ("DROP TABLE t", &[][..], vec!["doorward_approve", "doorward_deny", "review"]),
        ("DELETE FROM t\n WHERE a = 1", &[], vec!["doorward_approve", "doorward_deny", "review"]),
        // What a line break is shown as, and was not.
        ("DELETE FROM t -- old\u{23ce}WHERE a = 1", &[], vec!["doorward_deny", "review"]),
        ("DELETE FROM t -- old\\u{a}WHERE a = 1", &[], vec!["doorward_deny", "review"]),
        ("DELETE FROM t WHERE a = $1", &["1"], vec!["doorward_approve", "doorward_deny", "review"]),
        ("DELETE FROM t WHERE a = $1", &["1\u{200b}"], vec!["doorward_deny", "review"]),
        ("DELETE FROM t WHERE a = $1", &[&long], vec!["doorward_deny", "review"]),
        ("DELETE FROM t WHERE a = $1", &["1"; 21], vec!["doorward_deny", "review"]),
        (&long, &[], vec!["doorward_deny", "review"]),
        (&steered, &[], vec!["doorward_deny", "review"]),
        ("DROP TABLE t\u{200b}s", &[], vec!["doorward_deny", "review"]),
    ];
    for (n, (statement, parameters, buttons)) in (1..).zip(cases) {
        let id = world.ask_with(n, (statement, parameters), "dba").await;
        let got = receiver.wait(usize::try_from(n).unwrap()).await;
        let body = &got.last().unwrap().1;
        let elements = body["blocks"].as_array().unwrap().last().unwrap()["elements"].as_array().unwrap().clone();
        let names: Vec<_> = elements.iter().map(|e| e["action_id"].as_str().unwrap()).collect();
        assert_eq!(names, buttons, "{statement}");
        let decide = elements.iter().filter(|e| e["action_id"] != "review");
        assert!(
            decide.clone().count() > 0 && decide.clone().all(|e| e["value"] == json!(id.to_string())),
            "{elements:?}"
        );
        let link = json!(format!("https://doors.example/approvals/{id}"));
        assert_eq!(elements.last().unwrap()["url"], link);
        let shown = body["blocks"][1]["elements"][0]["elements"][0]["text"].as_str().unwrap();
        assert_eq!(shown.ends_with(" …"), statement.len() > 500, "{shown}");
        let says_so = body.to_string().contains("Not all of it is here");
        assert_eq!(says_so, !buttons.contains(&"doorward_approve"), "{body}");
    }
    let part = |name: &str, text: &str, page_only| ShownPart { name: name.into(), text: text.into(), page_only };
    let of = |parts| Shown { parts, ..Shown::default() };
    let cases = [
        (of(vec![part("What `p` stands for", "DELETE FROM t", false)]), true),
        (of(vec![part("Body", "hunter2", true)]), false),
        (of(vec![part("What `p` stands for", &long, false)]), false),
        (Shown { rows: vec![vec!["1".into()]], ..Shown::default() }, false),
        (Shown { unseen: vec!["the rows that are copied in".into()], ..Shown::default() }, false),
        (Shown { notes: vec!["What is typed is no part of it.".into()], ..Shown::default() }, true),
    ];
    for (n, (shown, may_approve)) in (12..).zip(cases) {
        world.ask_for(n, ("EXECUTE p", shown.clone()), "dba").await;
        let got = receiver.wait(usize::try_from(n).unwrap()).await;
        let body = got.last().unwrap().1.to_string();
        assert_eq!(body.contains("doorward_approve"), may_approve, "{body}");
        assert_eq!(body.contains("Not all of it is here"), !may_approve, "{body}");
        assert!(!body.contains("hunter2"), "{body}");
        assert!(shown.notes.iter().all(|note| body.contains(note.as_str())), "{body}");
        for part in shown.parts.iter().filter(|p| may_approve && !p.page_only) {
            assert!(body.contains(&part.text), "{body}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn teams_gets_a_card_without_markdown() {
    let world = World::new().await;
    let (receiver, address) = Receiver::start().await;
    let target = Target::Teams { url: Secret::new(format!("http://{address}/workflows/secret")) };
    let running = world.start(target, &[]);
    world.ask(1, HOSTILE, "dba").await;
    let got = receiver.wait(1).await;
    let card = &got[0].1["attachments"][0];
    assert_eq!(card["contentType"], json!("application/vnd.microsoft.card.adaptive"));
    let mut out = Vec::new();
    marked_up(&card["content"]["body"], &|of: &Value| of["type"] == "TextRun", &mut out);
    assert_eq!(out, Vec::<String>::new());
    let theirs: Vec<_> =
        card["content"]["body"].as_array().unwrap().iter().filter(|b| b.to_string().contains("*bold*")).collect();
    assert_eq!((theirs.len(), &theirs[0]["style"]), (1, &json!("emphasis")), "on a ground of its own: {theirs:?}");
    assert_eq!(card["content"]["actions"][0]["type"], json!("Action.OpenUrl"));
    running.stop().await;
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _over = self.0.kill();
        let _over = self.0.wait();
    }
}

/// A mail server that keeps what it gets: aiosmtpd would do, too; this one needs nothing but Python's library.
const MAIL_SERVER: &str = r#"
import socketserver, sys
class H(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda t: self.wfile.write(t.encode() + b"\r\n")
        say("220 test ESMTP")
        data = None
        for raw in self.rfile:
            line = raw.rstrip(b"\r\n")
            if data is not None:
                if line == b".":
                    open(sys.argv[2], "ab").write(b"\n".join(data) + b"\n--end--\n")
                    data = None
                    say("250 ok")
                else:
                    data.append(line[1:] if line.startswith(b"..") else line)
                continue
            verb = line[:4].upper()
            if verb == b"DATA":
                data = []
                say("354 go on")
            elif verb == b"QUIT":
                say("221 bye")
                return
            elif verb == b"EHLO":
                say("250-test")
                say("250 8BITMIME")
            else:
                say("250 ok")
socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("127.0.0.1", 0), H) as s:
    open(sys.argv[1], "w").write(str(s.server_address[1]))
    s.serve_forever()
"#;

fn mail_server(dir: &Path) -> (Server, u16) {
    let port_file = dir.join("port");
    let child = Command::new("python3")
        .args(["-c", MAIL_SERVER])
        .arg(&port_file)
        .arg(dir.join("mail"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(child);
    for _ in 0..200 {
        if let Some(port) = std::fs::read_to_string(&port_file).ok().and_then(|t| t.parse().ok()) {
            return (server, port);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the mail server does not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_to_all_recipients_as_plain_text() {
    let world = World::new().await;
    let (_server, port) = mail_server(world.dir.path());
    let mail = Mail {
        host: "127.0.0.1".into(),
        port,
        implicit_tls: false,
        ca: None,
        account: None,
        from: "Doorward <doors@example.com>".into(),
        to: vec!["dba@example.com".into(), "sre@example.com".into()],
    };
    let running = world.start(Target::Mail(Box::new(mail)), &[]);
    let id = world.ask(1, "DROP TABLE t\r\nBcc: all@example.com\r\n.\r\nQUIT", "dba").await;
    let kept = world.dir.path().join("mail");
    let begun = Instant::now();
    let text = loop {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        if text.contains("--end--") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no mail came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(head.contains("To: dba@example.com, sre@example.com"), "{head}");
    assert!(head.contains("Content-Type: text/plain") && !head.contains("Bcc"), "{head}");
    assert!(head.contains("Subject: Approval wanted: DROP TABLE on orders"), "{head}");
    let body = body.replace("=\n", "");
    assert!(body.contains(&format!("https://doors.example/approvals/{id}")), "{body}");
    // Neither a line end nor the width of a window makes a line of ours of it.
    let padded = format!("DROP TABLE t /*{}Who may decide: nobody\u{2028}Expires: never", " ".repeat(55));
    let named = ShownPart { name: "What `x` stands for".into(), text: "Who asks: corp/root".into(), page_only: false };
    world.ask_for(2, (&padded, Shown { parts: vec![named], ..Shown::default() }), "dba").await;
    let begun = Instant::now();
    let second = loop {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        if text.matches("--end--").count() == 2 {
            break text.split("--end--").nth(1).unwrap().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no mail came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let body = quoted_printable(second.split_once("\n\n").unwrap().1);
    for (line, times) in [
        ("Who may decide: ", 1),
        ("Who asks: ", 1),
        ("Expires: ", 1),
        ("│ Who may decide: nobody\\u{2028}Expires: never", 1),
        ("│ Who asks: corp/root", 1),
        ("│ What `x` stands for", 1),
    ] {
        assert_eq!(body.lines().filter(|l| l.starts_with(line)).count(), times, "{line}: {body}");
    }
    running.stop().await;
}

/// RFC 2045, section 6.7.
fn quoted_printable(text: &str) -> String {
    let (mut out, text) = (Vec::new(), text.replace("=\n", ""));
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let coded = (*byte == b'=').then(|| std::str::from_utf8(&after[..2]).unwrap());
        out.push(coded.map_or(*byte, |code| u8::from_str_radix(code, 16).unwrap()));
        rest = if coded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(out).unwrap()
}

/// Old files of the log may have been removed while a channel had nothing to tell.
#[tokio::test]
async fn a_channel_goes_on_where_its_line_is_gone() {
    let world = World::new().await;
    let (receiver, address) = Receiver::start().await;
    let secret = Secret::new("a secret of some length".to_owned());
    let target = || Target::Webhook { url: format!("http://{address}/hook"), secret: secret.clone() };
    world.start(target(), &[]).stop().await;
    for _ in 0..100 {
        world.write(AuditKind::Fault { at_fault: "client".into(), what: "x".repeat(200) });
    }
    let mut files: Vec<_> =
        std::fs::read_dir(world.dir.path().join("audit")).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "log"));
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    for file in files.iter().take(files.len() - 2) {
        std::fs::remove_file(file).unwrap();
    }
    let running = world.start(target(), &[]);
    world.ask(1, "DROP TABLE t", "dba").await;
    let got = receiver.wait(1).await;
    assert_eq!(got[0].1["data"]["statement"], json!("DROP TABLE t"));
    running.stop().await;
}

#[test]
fn what_would_go_in_clear_text_or_cannot_be_right_is_refused() {
    let check = |target| {
        let config = ChannelConfig { name: "x".into(), target, groups: vec![], connections: vec![], statement: true };
        Notifiers::check(&config).unwrap_err().to_string()
    };
    let long = || Secret::new("a secret of some length".to_owned());
    assert!(check(Target::Webhook { url: "http://example.com/".into(), secret: long() }).contains("https"));
    assert!(
        check(Target::Webhook { url: "https://example.com/".into(), secret: Secret::new("x".into()) }).contains("16")
    );
    assert!(check(Target::Teams { url: Secret::new("http://example.com/secret".into()) }).contains("https"));
    let slack = Target::Slack { api: None, token: Secret::new("a\r\nb".into()), channel: "C".into(), buttons: false };
    assert!(check(slack).contains("header"));
    let mail = |to: Vec<String>| {
        Target::Mail(Box::new(Mail {
            host: "mail.example.com".into(),
            port: 587,
            implicit_tls: false,
            ca: None,
            account: None,
            from: "doors@example.com".into(),
            to,
        }))
    };
    assert!(check(mail(vec!["nobody".into()])).contains("no address"));
    assert!(check(mail(vec![])).contains("nobody"));
}
