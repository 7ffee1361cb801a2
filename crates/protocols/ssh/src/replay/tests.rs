use super::*;
use crate::codec::{Stream, header};
use doorward_model::Timestamp;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn frame(channel: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
    [header(channel, stream).as_slice(), bytes].concat()
}

fn out(channel: u32, text: &str) -> Step {
    Step::Bytes(Side::Upstream, frame(channel, Stream::Data, text.as_bytes()))
}

fn input(channel: u32, text: &str) -> Step {
    Step::Bytes(Side::Client, frame(channel, Stream::Data, text.as_bytes()))
}

enum Step {
    Bytes(Side, Vec<u8>),
    Event(Event),
}

fn opened(channel: u32, kind: &str, target: Option<&str>) -> Step {
    let channel = Some(channel);
    Step::Event(Event::Opened { channel, kind: kind.into(), target: target.map(Into::into) })
}

fn request(channel: u32, what: Requested, statement: &str) -> Step {
    Step::Event(Event::Request { channel: Some(channel), what, statement: statement.into() })
}

fn pty(channel: u32) -> Step {
    Step::Event(Event::Pty { channel: Some(channel), term: "xterm-256color".into(), columns: 100, rows: 30 })
}

fn decided(channel: u32, outcome: Decided) -> Step {
    Step::Event(Event::Decided { channel: Some(channel), outcome, reason: None })
}

fn command() -> Vec<Step> {
    vec![
        opened(0, "session", None),
        request(0, Requested::Exec, "cat\n/etc/hosts"),
        decided(0, Decided::Forward),
        input(0, "no end"),
        out(0, "127.0.0.1 local"),
        out(0, "host\n\x1b]0;evil\x07x\ny\nz\n"),
        Step::Bytes(Side::Upstream, frame(0, Stream::Error, b"oops\r\n")),
        Step::Event(Event::Exit { channel: Some(0), status: 1 }),
        Step::Event(Event::Closed { channel: Some(0) }),
        opened(1, "direct-tcpip", Some("db:5432")),
        out(1, "\0\x01"),
        Step::Event(Event::Closed { channel: Some(1) }),
        opened(2, "session", None),
        request(2, Requested::Subsystem, "sftp"),
        Step::Event(Event::File {
            channel: Some(2),
            path: "/tmp/x".into(),
            direction: FileDirection::Upload,
            bytes: 7,
            sha256: Some("00".into()),
        }),
        Step::Event(Event::Held { channel: None, approval: "a1".into() }),
    ]
}

fn terminal() -> Vec<Step> {
    vec![
        opened(3, "session", None),
        pty(3),
        request(3, Requested::Shell, "shell"),
        decided(3, Decided::Hold),
        out(3, "\x1b]0;title\x07\x1b[1m$ \x1b[0m"),
        input(3, "ls\r"),
        Step::Bytes(Side::Upstream, frame(3, Stream::Data, &[b'l', b's', b'\r', b'\n', 0xe2])),
        Step::Event(Event::Resize { channel: Some(3), columns: 80, rows: 24 }),
        Step::Bytes(Side::Upstream, frame(3, Stream::Data, &[0x82, 0xac, b'\r', b'\n'])),
        Step::Event(Event::ExitSignal { channel: Some(3), signal: "TERM".into() }),
    ]
}

fn check(steps: Vec<Step>, want: Expect) {
    let mut replayer = Replayer::new(Options { lines: 3 });
    let mut lines = Vec::new();
    for step in steps {
        lines.extend(match step {
            Step::Bytes(side, frame) => replayer.feed(side, &frame),
            Step::Event(event) => replayer.event(&event.to_json()),
        });
    }
    lines.extend(replayer.finish());
    assert!(lines.iter().all(|l| !l.chars().any(|c| c.is_control())), "{lines:?}");
    want.assert_eq(&lines.join("\n"));
}

#[test]
fn commands_are_lines() {
    check(
        command(),
        expect![[r#"
        [0] * opened session
        [0] * exec: cat⏎/etc/hosts
        [0] * forward
        [0] < 127.0.0.1 localhost
        [0] < \u{1b}]0;evil\u{7}x
        [0] < y
        [0] ! oops
        [0] > no end
        [0] < (1 more lines, 2 bytes)
        [0] * exit 1
        [0] * closed
        [1] * opened direct-tcpip to db:5432
        [1] < (2 bytes that are no text)
        [1] * closed
        [2] * opened session
        [2] * subsystem: sftp
        [2] * uploaded /tmp/x, 7 bytes, sha256 00
        * held for approval a1"#]],
    );
}

#[test]
fn terminals_are_lines_too() {
    check(
        terminal(),
        expect![[r#"
        [3] * opened session
        [3] * terminal xterm-256color, 100x30
        [3] * shell: shell
        [3] * hold
        [3] < $ ls
        [3] * resized to 80x24
        [3] < €
        [3] * ended by signal TERM"#]],
    );
}

fn cast(channel: u32, steps: Vec<Step>) -> Vec<String> {
    let mut cast = Cast::new(channel, Timestamp::from_micros(0));
    let mut lines = Vec::new();
    for (i, step) in steps.into_iter().enumerate() {
        let time = Timestamp::from_micros(1_700_000_000_000_000 + 250_000 * i as u64);
        lines.extend(match step {
            Step::Bytes(side, frame) => cast.feed(time, side, &frame),
            Step::Event(event) => cast.event(time, &event.to_json()),
        });
    }
    lines.extend(cast.finish());
    lines
}

#[test]
fn a_terminal_is_a_cast() {
    expect![[r#"
        {"version":3,"term":{"cols":100,"rows":30,"type":"xterm-256color"},"timestamp":1700000000}
        [0.750000, "m", "hold"]
        [0.250000, "o", "\u001b[1m$ \u001b[0m"]
        [0.250000, "i", "ls\r"]
        [0.250000, "o", "ls\r\n"]
        [0.250000, "r", "80x24"]
        [0.250000, "o", "€\r\n"]
        [0.250000, "x", "143"]"#]]
    .assert_eq(&cast(3, terminal()).join("\n"));
}

#[test]
fn a_command_is_a_cast() {
    expect![[r#"
        {"version":3,"term":{"cols":80,"rows":24},"timestamp":1700000000,"command":"cat\n/etc/hosts"}
        [0.500000, "m", "forward"]
        [0.250000, "i", "no end"]
        [0.250000, "o", "127.0.0.1 local"]
        [0.250000, "o", "host\r\nx\r\ny\r\nz\r\n"]
        [0.250000, "o", "oops\r\n"]
        [0.250000, "x", "1"]"#]]
    .assert_eq(&cast(0, command()).join("\n"));
    assert_eq!(cast(9, command()).len(), 1, "a header alone");
}

#[test]
fn events_are_read_as_they_are_written() {
    for step in command().into_iter().chain(terminal()) {
        if let Step::Event(event) = step {
            assert_eq!(Event::from_json(&event.to_json()), Some(event));
        }
    }
    let text = serde_json::json!({ "event": "exit", "channel": 4, "status": 0 });
    assert_eq!(Event::from_json(&text), Some(Event::Exit { channel: Some(4), status: 0 }));
    assert_eq!(Event::from_json(&serde_json::json!({ "event": "born" })), None);
    let long = Event::Request { channel: Some(0), what: Requested::Exec, statement: "\u{1}".repeat(100_000) };
    assert!(long.to_json().to_string().len() < 60 * 1024);
}

fn played(bytes: &[u8]) -> String {
    let mut text = String::new();
    SafeTerminal::new().push(bytes, &mut text);
    text
}

#[test]
fn what_draws_passes() {
    for text in [
        "plain\r\n\ttext\x08",
        "größe €",
        "\x1b[1;38;5;12m\x1b[38:2::1:2:3m\x1b[m",
        "\x1b[5;10H\x1b[A\x1b[2J\x1b[K\x1b[3P\x1b[@\x1b[2L\x1b[1;20r\x1b[3S",
        "\x1b7\x1b8\x1bM\x1b(0\x1b(B\x1b[s\x1b[u",
        "\x1b[?25l\x1b[?1049h\x1b[?1049l",
    ] {
        assert_eq!(played(text.as_bytes()), text);
    }
}

#[test]
fn attacks_do_not_pass() {
    for (attack, shown) in [
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]2;;touch /tmp/x\x1b\\\x1b[21tb", "ab"),
        ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        ("a\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1b]1337;File=inline=1:AAAA\x07b", "ab"),
        ("a\x1b]50;?\x07\x1b]4;0;?\x07\x1b]10;?\x07b", "ab"),
        ("a\x1bPq#0;2;0;0;0#0~~\x1b\\b", "ab"),
        ("a\x1bP$qm\x1b\\\x1bP+q544e\x1b\\b", "ab"),
        ("a\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\b", "ab"),
        ("a\x1b_Gf=100;AAAA\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\b", "ab"),
        ("a\x1b[c\x1b[>c\x1b[=c\x1b[0c\x1b[5n\x1b[6n\x1b[?6n\x05b", "ab"),
        ("a\x1b[?1$p\x1b[x\x1b[>q\x1b[?u\x1b[14t\x1b[18t\x1b[8;999;999tb", "ab"),
        ("a\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1004h\x1b[>4;1m\x1b[>1u\x1b[5;1;1;1;1Tb", "ab"),
        ("a\x1b[2 q\x1b[!p\x1bc\x1b=\x1b>\x1bZ\x1b#8\x1b%G\x1b)0b", "ab"),
        ("a\x1b[5i\x1b[4i\x1b[?5ib", "ab"),
        ("a\x1b[\"q\x1b[1$rb", "ab"),
        ("a\u{9b}6n\u{9d}0;t\u{9c}b", "a\u{fffd}6n\u{fffd}0;t\u{fffd}b"),
        ("a\u{202e}b\u{7}\u{7f}\0\x0e\x0f\x0b\x0c", "ab"),
        ("a\x1b]0;t\x1b[31mb", "a\x1b[31mb"),
        ("a\x1b]0;t\x18b", "ab"),
        ("a\x1b[3\x1b[31mb", "a\x1b[31mb"),
        ("a\x1b[3\n1mb", "a\x1b[31mb"),
        ("a\x1b[99999999bb", "ab"),
        ("a\x1b\x1b\x1b[mb", "a\x1b[mb"),
        ("a\x1b[1;", "a"),
        ("a\x1b]0;never ended", "a"),
    ] {
        assert_eq!(played(attack.as_bytes()), shown, "{attack:?}");
        // Cut anywhere, it is the same.
        for cut in 0..attack.len() {
            let (mut terminal, mut text) = (SafeTerminal::new(), String::new());
            let (left, right) = attack.as_bytes().split_at(cut);
            terminal.push(left, &mut text);
            terminal.push(right, &mut text);
            assert_eq!(text, shown, "{attack:?} cut at {cut}");
        }
    }
    assert_eq!(played(&[b'a', 0x9b, b'6', b'n', 0x90, 0xc2]), "a\u{fffd}6n\u{fffd}");
    assert_eq!(played(format!("a\x1b[{}mb", "1;".repeat(500)).as_bytes()), "ab");
    assert_eq!(played(format!("a\x1b[{}6nb", "0".repeat(500)).as_bytes()), "ab");
    let mut text = String::new();
    SafeTerminal::text().push(b"\x1b[1mx\x1b[5;5H\ry\x08\x1b7\x1b(0z\n", &mut text);
    assert_eq!(text, "xyz\n");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes: after each escape that passes stands one of the harmless.
    #[test]
    fn only_drawing_passes(parts in prop::collection::vec(prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        "\\x1b|\\x1b\\[|\\x1b\\]|\\x1bP|\\x07|\\x1b\\\\|[0-9;:?>!$ ]{1,5}|[@-~]".prop_map(String::into_bytes),
    ], 0..60)) {
        let shown = played(&parts.concat());
        for after in shown.split('\x1b').skip(1) {
            let mut chars = after.chars();
            match chars.next() {
                Some('7' | '8' | 'D' | 'E' | 'M' | '(') => {}
                Some('[') => {
                    let last = chars.find(|c| ('@'..='~').contains(c));
                    prop_assert!(last.is_some_and(|c| !"cnqtpxyizgjkov\\]^_".contains(c)), "{after:?}");
                }
                other => prop_assert!(false, "{other:?} in {shown:?}"),
            }
        }
        let obeyed = shown.chars().any(|c| matches!(c, '\u{80}'..='\u{9f}' | '\x07' | '\x05'));
        prop_assert!(!obeyed);
        // What passed passes again.
        prop_assert_eq!(played(shown.as_bytes()), shown);
    }
}
