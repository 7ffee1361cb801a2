use super::*;
use crate::codec::{Part, frames};
use doorward_model::Timestamp;
use expect_test::expect;
use serde_json::{Value, json};

enum Step {
    Bytes(Side, Vec<u8>),
    Event(Value),
}

fn event(request: u32, what: &str, details: Value) -> Step {
    Step::Event(json!({ "request": request, "what": what, "details": details }))
}

fn bytes(request: u32, part: Part, side: Side, bytes: &[u8]) -> Step {
    Step::Bytes(side, frames(request, part, bytes, 1 << 20).next().unwrap())
}

fn head(request: u32, target: &str) -> Step {
    bytes(request, Part::Message, Side::Client, format!("GET {target} HTTP/1.1\r\naccept: */*\r\n\r\n").as_bytes())
}

fn session() -> Vec<Step> {
    let up = |n, data: &[u8]| bytes(n, Part::Channel, Side::Upstream, data);
    let down = |n, data: &[u8]| bytes(n, Part::Channel, Side::Client, data);
    vec![
        head(0, "/api/v1/namespaces/a/configmaps/x"),
        event(0, "request", json!({ "statement": "get configmaps a/x" })),
        bytes(0, Part::Message, Side::Upstream, b"HTTP/1.1 200 OK\r\n\r\n{\"\x1b[31m\":1}"),
        head(1, "/api/v1/namespaces/a/pods/p/exec?command=sh&tty=true&stdin=true&stdout=true"),
        event(1, "request", json!({ "statement": "exec pods a/p -- sh" })),
        event(1, "held", json!({ "approval": "a1", "link": "" })),
        event(1, "approved", json!({ "by": "anna" })),
        down(1, b"\x04{\"Width\":100,\"Height\":30}"),
        up(1, b"\x01\x1b]0;evil\x07\x1b[1m$ \xe2"),
        down(1, b"\x00ls\r"),
        up(1, b"\x01\x82\xac\r\n"),
        down(1, b"\x04{\"Width\":80,\"Height\":24}"),
        up(1, b"\x03{\"status\":\"Failure\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"7\"}]}}"),
        event(2, "refused", json!({ "code": 403, "message": "no\u{1b}[2J" })),
        event(3, "file", json!({ "direction": "uploaded", "path": "/tmp/x", "bytes": 7, "mode": 420, "sha256": "00" })),
        bytes(3, Part::Tunnel, Side::Client, b"\x01\x02"),
    ]
}

fn time(n: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + n * 250_000)
}

fn overview() -> Overview {
    let mut overview = Overview::default();
    for (n, step) in (0..).zip(session()) {
        match step {
            Step::Bytes(side, frame) => overview.feed(time(n), side, &frame),
            Step::Event(value) => overview.event(time(n), &value),
        }
    }
    overview
}

fn lines(request: Option<u32>) -> String {
    let mut replayer = Replayer::new(Options { lines: 9, request }, overview());
    let mut lines = Vec::new();
    for step in session() {
        lines.extend(match step {
            Step::Bytes(side, frame) => replayer.feed(side, &frame),
            Step::Event(value) => replayer.event(&value),
        });
    }
    lines.extend(replayer.finish());
    assert!(lines.iter().all(|l| !l.chars().any(char::is_control)), "{lines:?}");
    lines.join("\n")
}

#[test]
fn requests_are_lines() {
    expect![[r#"
        [0] * get configmaps a/x (200 OK; 63 bytes from the caller, 30 to him)
        [1] * exec pods a/p -- sh (approved, exit 7; 157 bytes from the caller, 99 to him)
        [1] * held for approval a1
        [1] * approved by anna
        [1] * terminal of 100x30
        [1] < $ €
        [1] * terminal of 80x24
        [1] * exit 7
        [2] * refused (403): no\u{1b}[2J
        [3] * uploaded /tmp/x, 7 bytes, mode 0644, sha256 00
        [3] > \u{1}\u{2}"#]]
    .assert_eq(&lines(None));
}

#[test]
fn one_request_is_shown_with_its_bodies() {
    expect![[r#"
        [0] > GET /api/v1/namespaces/a/configmaps/x HTTP/1.1
        [0] > accept: */*
        [0] > 
        [0] * get configmaps a/x (200 OK; 63 bytes from the caller, 30 to him)
        [0] < HTTP/1.1 200 OK
        [0] < 
        [0] < {"\u{1b}[31m":1}"#]]
    .assert_eq(&lines(Some(0)));
}

#[test]
fn a_terminal_is_a_cast() {
    let mut cast = Cast::new(1, time(3), "exec pods a/p -- sh");
    cast.terminal();
    let mut lines = Vec::new();
    for (n, step) in (0..).zip(session()) {
        lines.extend(match step {
            Step::Bytes(side, frame) => cast.feed(time(n), side, &frame),
            Step::Event(value) => cast.event(time(n), &value),
        });
    }
    lines.extend(cast.finish());
    expect![[r#"
        {"version":3,"term":{"cols":100,"rows":30},"timestamp":1700000000,"command":"exec pods a/p -- sh"}
        [0.500000, "m", "held for approval a1"]
        [0.250000, "m", "approved by anna"]
        [0.500000, "o", "\u001b[1m$ "]
        [0.250000, "i", "ls\r"]
        [0.250000, "o", "€\r\n"]
        [0.250000, "r", "80x24"]
        [0.250000, "x", "7"]"#]]
    .assert_eq(&lines.join("\n"));
    assert_eq!(overview().requests[&1].kind, Kind::Stream { terminal: true });
    assert_eq!(overview().requests[&0].kind, Kind::Call);
}

#[test]
fn lines_of_what_has_no_terminal_begin_at_their_beginning() {
    let mut cast = Cast::new(1, time(0), "exec pods a/p -- ls");
    let mut lines = Vec::new();
    for text in [b"\x01a\nb\r".as_slice(), b"\x01\nc\n"] {
        if let Step::Bytes(side, frame) = bytes(1, Part::Channel, Side::Upstream, text) {
            lines.extend(cast.feed(time(0), side, &frame));
        }
    }
    assert_eq!(lines[1..], [r#"[0.000000, "o", "a\r\nb\r"]"#, r#"[0.000000, "o", "\nc\r\n"]"#]);
}

#[test]
fn nothing_of_a_peer_makes_it_fail() {
    for frame in [b"".as_slice(), b"\0\0\0\x01\x01", b"\0\0\0\x01\x01\x03", b"\0\0\0\x01\x01\x04{}", b"\0\0\0\x01\0"] {
        let mut overview = Overview::default();
        let mut replayer = Replayer::new(Options { lines: 1, request: None }, Overview::default());
        for side in [Side::Client, Side::Upstream] {
            overview.feed(time(0), side, frame);
            let _shown = replayer.feed(side, frame);
            let _shown = Cast::new(1, time(0), "").feed(time(0), side, frame);
        }
    }
}
