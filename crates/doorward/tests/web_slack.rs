//! A held statement, decided by a button in Slack, from the message to the answer that psql gets. Slack itself cannot be had here: a
//! server that takes `chat.postMessage` and answers to buttons stands for it, made after its documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use aws_lc_rs::hmac;
use common::{
    SCHEMA, World,
    browser::{Visit, people},
};
use doorward_control::form_urlencoded;
use doorward_testkit::Screen;
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    time::{Duration, SystemTime},
};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// One message of HTTP: its first line, and its body.
fn http(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, String::from_utf8(body).ok()?))
}

/// Slack, as far as the gateway sees it: where messages and answers come in.
fn slack() -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let (to, got) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some((first, body)) = http(&mut stream) else { continue };
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            if to.send((path, serde_json::from_str(&body).unwrap_or_default())).is_err() {
                return;
            }
            let answer = r#"{"ok":true,"ts":"1.2"}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let _gone = write!(stream, "{head}Content-Length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    (at, got)
}

/// Anna presses a button of a message: the first line of the answer, and what is in it.
fn press(w: &World, slack: &str, message: &Value, button: &Value) -> (String, String) {
    let payload = json!({
        "type": "block_actions", "user": { "id": "U1", "username": "anna", "team_id": "T1" }, "team": { "id": "T1" },
        "message": message, "response_url": format!("{slack}/actions/1"), "actions": [button],
    });
    sent(w, "dba", &format!("payload={}", form_urlencoded(&payload.to_string())))
}

/// Anna types the app's command.
fn types(w: &World, text: &str) -> String {
    let fields =
        [("team_id", "T1"), ("user_id", "U1"), ("user_name", "anna"), ("command", "/doorward"), ("text", text)];
    let (first, body) =
        sent(w, "dba/command", &fields.map(|(name, value)| format!("{name}={}", form_urlencoded(value))).join("&"));
    assert!(first.contains(" 200 "), "{first} {body}");
    body
}

/// What Slack sends, signed as it does.
fn sent(w: &World, path: &str, body: &str) -> (String, String) {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), format!("v0:{at}:{body}").as_bytes());
    let tag: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let mut stream = TcpStream::connect(("127.0.0.1", w.api)).unwrap();
    write!(
        stream,
        "POST /auth/slack/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: v0={tag}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    http(&mut stream).unwrap()
}

#[test]
fn a_waiting_psql_is_approved_by_a_button_in_slack() {
    let (slack, got) = slack();
    let policy = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar")).unwrap();
    let more = format!(
        "[[notify]]\nname = \"dba\"\nkind = \"slack\"\nsecret = {{ value = \"xoxb-1\" }}\nchannel = \"C1\"\nurl = \"{slack}/api/\"\n\
         team = \"T1\"\nsigning_secret = {{ value = \"{SECRET}\" }}\n"
    );
    let w = World::with(&format!("{policy}{}", people("dba")), &more);
    w.postgres.exec(&format!("set role {};\n{SCHEMA}", w.postgres.user())).unwrap();
    let mut psql = w.psql_command(&w.token("ci-bot", &["agents"], &[]));
    psql.args(["-c", "update orders set total = 3 where id = 1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waiting = psql.spawn().unwrap();
    let next = |wanted: &str| {
        let (path, body) = got.recv_timeout(Duration::from_secs(20)).expect("Slack hears of it");
        assert_eq!(path, wanted, "{body}");
        body
    };
    let message = next("/api/chat.postMessage");
    let buttons = message["blocks"].as_array().unwrap().last().unwrap()["elements"].clone();
    assert_eq!(buttons[0]["action_id"], "doorward_approve", "{message}");

    // Nobody knows whose account it is: it is told, for its eyes alone, where a code is to be had.
    assert!(press(&w, &slack, &message, &buttons[0]).0.contains(" 200 "));
    let told = next("/actions/1");
    let text = told["text"].as_str().unwrap();
    assert!(told["response_type"] == "ephemeral" && text.contains("/settings, ask there for a code"), "{text}");
    for screen in [Screen::Desktop, Screen::Phone] {
        let visit = Visit::new(w.api, screen);
        visit.sign_in(&w.token("dana", &["dba"], &[]), "/settings");
        visit.browser.click("form[action='/settings/chat/code'] button").unwrap();
        visit.browser.wait_in("[aria-labelledby=typed]", "/doorward link ").unwrap();
        visit.is_sound();
        for theme in ["light", "dark"] {
            visit.theme(theme);
            visit.is_readable();
            visit.picture(&format!("slack-code-{screen:?}-{theme}"));
        }
        if screen == Screen::Desktop {
            visit.is_used_by_keys();
            continue;
        }
        let typed = visit.browser.text("#chat-code").unwrap();
        let said = types(&w, typed.strip_prefix("/doorward ").unwrap());
        assert!(said.contains("dev/dana's from now on"), "{said}");
        // The page shows what is linked, and wants nothing more.
        visit.browser.click("[aria-labelledby=typed] .actions a").unwrap();
        visit.browser.wait_in("section[aria-labelledby=chat] tbody", "anna").unwrap();
        let row = visit.browser.text("section[aria-labelledby=chat] tbody").unwrap();
        assert!(["anna", "U1", "T1"].iter().all(|part| row.contains(part)), "{row}");
        visit.is_sound();
        visit.picture("settings-slack");

        assert!(press(&w, &slack, &message, &buttons[0]).0.contains(" 200 "));
        let out = waiting.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&out.stdout).contains("UPDATE 1"), "{}", String::from_utf8_lossy(&out.stderr));
        visit.browser.click("section[aria-labelledby=chat] .deny").unwrap();
        visit.browser.wait_in(".notice", "nobody's any more").unwrap();
        visit.browser.wait_in("section[aria-labelledby=chat]", "None.").unwrap();
        break;
    }
    // The message says so, and the channel hears of the verdict as well, in whichever order.
    let mut later =
        [got.recv_timeout(Duration::from_secs(20)).unwrap(), got.recv_timeout(Duration::from_secs(20)).unwrap()];
    later.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(later[0].0 == "/actions/1" && later[0].1.to_string().contains("Approved by dev/dana."), "{later:?}");
    assert!(later[1].1["text"].as_str().unwrap().starts_with("Approved by dev/dana"), "{later:?}");
    let told: Vec<_> = w.audit("administration").iter().map(|e| e["what"].to_string()).collect();
    assert!(told.iter().any(|t| t.contains("\"link Slack account T1/U1 (anna)")), "{told:?}");
    assert!(told.iter().any(|t| t.contains("unlink Slack account T1/U1 (anna)")), "{told:?}");
    let decided = w.audit("approval_decided");
    assert_eq!((&decided[0]["by"], &decided[0]["comment"]), (&json!("dev/dana"), &json!("by a button in Slack")));
}
