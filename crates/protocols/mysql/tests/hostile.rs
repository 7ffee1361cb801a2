//! The hostile corpus: statements and byte sequences that peers may send, with what becomes of each. The cases are in
//! `hostile/`, a line each; `UPDATE_EXPECT=1` writes down what becomes of them now.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests")]
mod support;

use doorward_enforce::{ProtocolSession as _, SessionEnd as End, Ticket};
use doorward_model::Secret;
use doorward_mysql::{
    Answer, Capabilities, ClientLogin, Event, Hold, Question, Session, UpstreamAuth,
    auth::AuthStep,
    codec::{
        self,
        compressed::{Algorithm, Envelopes},
    },
    login::{Expectation, LoginAsk},
    startup::{self, Greeting, Hello},
};
use expect_test::expect_file;
use std::fmt::Write as _;
use support::{NOW, grammar, session};

const PLAIN: u64 = 1 << 9 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 23 | 1 << 7;
const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0";

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    codec::put_message(&mut out, sequence, payload);
    out
}

fn text(bytes: &[u8]) -> String {
    let shown = bytes.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"").replace("\\\\", "\\");
    if shown.len() > 300 { format!("{}… ({} bytes)", &shown[..120], bytes.len()) } else { shown }
}

/// A server that greets with `version`, in a mode and a character set.
fn begun(version: &str, capabilities: u64, mode: &str, charset: &str) -> Session {
    let maria = u64::from(!version.contains("Maria"));
    let eof = capabilities & Capabilities::DEPRECATE_EOF.0 != 0;
    let c = Capabilities(PLAIN | capabilities | maria);
    let mut s = session(c, c, version, None, 2, Hold::Wait);
    upstream_bytes(&mut s);
    s.handle_upstream(&packet(1, OK), NOW);
    upstream_bytes(&mut s);
    let mut row = Vec::new();
    for cell in [mode, charset, "orders"] {
        codec::put_string(&mut row, cell.as_bytes());
    }
    let escapes = mode.contains("NO_BACKSLASH");
    let quotes = mode.contains("ANSI") && version.contains("Maria");
    let high = (u8::from(escapes) << 1) | (u8::from(quotes) << 7);
    let end: Vec<u8> = if eof { vec![0xfe, 0, 0, 2, high, 0, 0] } else { vec![0xfe, 0, 0, 2, high] };
    let mut packets: Vec<&[u8]> = vec![b"\x03", COLUMN, COLUMN, COLUMN];
    if !eof {
        packets.push(EOF);
    }
    packets.extend([&row[..], &end[..]]);
    for (i, payload) in packets.iter().enumerate() {
        s.handle_upstream(&packet(u8::try_from(i).unwrap() + 1, payload), NOW);
    }
    s.to_client().clear();
    s
}

fn upstream_bytes(session: &mut Session) -> Vec<u8> {
    let ready = session.to_upstream().ready(Ticket(1)).to_vec();
    session.to_upstream().sent(ready.len());
    ready
}

/// The payloads of packets.
fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Ok(Some(message)) = codec::message(bytes, 1 << 26) {
        out.push(message.payload.to_vec());
        bytes = &bytes[message.wire..];
    }
    assert!(bytes.is_empty(), "half a packet was written");
    out
}

/// What has become of what was sent.
fn outcome(s: &mut Session) -> String {
    let mut out = Vec::new();
    let mut seen = Vec::new();
    while let Some(event) = s.poll_event() {
        match event {
            Event::End(End::Terminated) => out.push("ends".to_owned()),
            Event::End(End::Fault { at_fault, what }) => out.push(format!("ends by the {at_fault}: {what}")),
            Event::Hold(_) => out.push("held".to_owned()),
            Event::Ask(Question::Kill(kill, _)) => {
                out.push(format!("kills {} {}", if kill.query_only { "query" } else { "session" }, kill.id))
            }
            Event::Ask(Question::ChangeUser(_)) => out.push("logs in anew".to_owned()),
            Event::Ask(Question::Read(read, environment)) => {
                s.handle_answer(Answer::Reading(grammar().read(&read, &environment, true)), NOW);
            }
            Event::Ask(Question::Schema { .. }) => s.handle_answer(Answer::Reader(Ok(grammar())), NOW),
            Event::Ask(Question::Park(_) | Question::LoginPacket(_)) | Event::Withdraw(..) | Event::CancelUpstream => {}
        }
        seen.extend(upstream_bytes(s));
    }
    seen.extend(upstream_bytes(s));
    for payload in payloads(&seen) {
        out.push(format!("sent {}", text(&payload)));
    }
    let said = s.to_client().split();
    for payload in payloads(&said) {
        out.push(match payload.first() {
            Some(0xff) => format!("refused {}", u16::from_le_bytes([payload[1], payload[2]])),
            _ => format!("said {}", text(&payload)),
        });
    }
    if out.is_empty() { "waits".to_owned() } else { out.join("; ") }
}

/// Text with escapes to bytes.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'~' {
            out.push(*first);
            continue;
        }
        // `~xx` is a byte.
        out.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
        rest = &rest[2..];
    }
    out
}

/// The cases of a file with their outcomes as they are now.
fn replayed(file: &str, run: impl Fn(&str, &str) -> String) -> (String, usize) {
    let (mut out, mut count) = (String::new(), 0);
    for line in file.lines() {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(out, "{line}");
            continue;
        }
        let mut parts = line.splitn(3, " | ");
        let (kind, input) = (parts.next().unwrap(), parts.next().unwrap());
        count += 1;
        let _ = writeln!(out, "{kind} | {input} | {}", run(kind, input));
    }
    (out, count)
}

fn statement(kind: &str, input: &str) -> String {
    let mut words = kind.split('+');
    let version = match words.next().unwrap() {
        "mysql" => "9.7.4",
        "mysql57" => "5.7.44",
        "maria" => "5.5.5-10.11.19-MariaDB",
        "maria11" => "11.8.9-MariaDB",
        other => panic!("{other}"),
    };
    let mode = words.next().unwrap_or_default();
    let charset = words.next().unwrap_or("utf8mb4");
    let mut s = begun(version, 0, mode, charset);
    s.handle_client(&packet(0, &[b"\x03", unescape(input).as_slice()].concat()), NOW);
    let out = outcome(&mut s);
    assert!(out != "waits", "{input} is not decided");
    out
}

#[test]
fn statements_are_all_decided() {
    let file = include_str!("hostile/statements.txt");
    let (now, count) = replayed(file, statement);
    assert!(count >= 200, "only {count}");
    expect_file!["hostile/statements.txt"].assert_eq(&now);
}

/// `#n(…)` is a packet with that number, `"…"` text, `*n` repeats what stands before it, the rest bytes in hexadecimal.
fn bytes(input: &str) -> Vec<u8> {
    fn parse(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Vec<u8> {
        let (mut out, mut last) = (Vec::new(), Vec::new());
        while let Some(c) = chars.next() {
            match c {
                ')' => break,
                ' ' => continue,
                '"' => last = unescape(&chars.by_ref().take_while(|c| *c != '"').collect::<String>()),
                '#' => {
                    let number: String = chars.by_ref().take_while(|c| *c != '(').collect();
                    last = packet(number.parse().unwrap(), &parse(chars));
                }
                '*' => {
                    let mut number = String::new();
                    while let Some(c) = chars.next_if(char::is_ascii_digit) {
                        number.push(c);
                    }
                    last = last.repeat(number.parse::<usize>().unwrap() - 1);
                }
                c => last = vec![u8::from_str_radix(&format!("{c}{}", chars.next().unwrap()), 16).unwrap()],
            }
            out.extend_from_slice(&last);
        }
        out
    }
    parse(&mut input.chars().peekable())
}

/// A session in the state that a case begins in, and whether the case is the upstream's.
fn state(kind: &str) -> (Session, bool) {
    let (name, maria, capabilities) = match kind.split_once('+') {
        Some((name, "eof")) => (name, false, Capabilities::DEPRECATE_EOF.0),
        Some((name, "track")) => (name, false, Capabilities::SESSION_TRACK.0),
        Some((name, "attributes")) => (name, false, Capabilities::QUERY_ATTRIBUTES.0),
        Some((name, "bulk")) => (name, true, Capabilities::BULK_OPERATIONS.0 | Capabilities::PROGRESS.0),
        Some((_, other)) => panic!("{other}"),
        None => (kind, false, 0),
    };
    let version = if maria { "11.8.9-MariaDB" } else { "9.7.4" };
    if name == "new" {
        let mut s = session(Capabilities(PLAIN | 1), Capabilities(PLAIN | 1), version, None, 2, Hold::Wait);
        upstream_bytes(&mut s);
        return (s, true);
    }
    let mut s = begun(version, capabilities, "", "utf8mb4");
    let end: &[u8] = if capabilities == Capabilities::DEPRECATE_EOF.0 { b"\xfe\0\0\x02\0\0\0" } else { EOF };
    let ask = |s: &mut Session, command: &[u8]| s.handle_client(&packet(0, command), NOW);
    let prepare = |s: &mut Session, sql: &[u8]| {
        ask(s, &[b"\x16", sql].concat());
        for (i, p) in [&b"\0\x05\0\0\0\x02\0\x01\0\0\0\0"[..], COLUMN, end, COLUMN, COLUMN, end].iter().enumerate() {
            s.handle_upstream(&packet(u8::try_from(i).unwrap() + 1, p), NOW);
        }
    };
    const EXECUTE: &[u8] = b"\x17\x05\0\0\0\x01\x01\0\0\0\0\x01\x03\0\x01\0\0\0";
    const READ: &[u8] = b"SELECT id, ssn FROM people WHERE id = ?";
    let is_upstream = match name {
        "begun" => false,
        "prepared" => {
            prepare(&mut s, READ);
            false
        }
        "held" => {
            ask(&mut s, b"\x03DELETE FROM people");
            assert!(matches!(s.poll_event(), Some(Event::Hold(_))));
            false
        }
        "file" => {
            ask(&mut s, b"\x03LOAD DATA LOCAL INFILE 'mine.csv' INTO TABLE people");
            s.handle_upstream(&packet(1, b"\xfbmine.csv"), NOW);
            false
        }
        "idle" => true,
        "ping" => {
            ask(&mut s, b"\x0e");
            true
        }
        "statistics" => {
            ask(&mut s, b"\x09");
            true
        }
        "fields" => {
            ask(&mut s, b"\x04people\0");
            true
        }
        "reset" => {
            ask(&mut s, b"\x1f");
            true
        }
        "select" => {
            ask(&mut s, b"\x03SELECT id, ssn FROM people");
            true
        }
        "computed" => {
            ask(&mut s, b"\x03SELECT id, reverse(ssn) FROM people");
            true
        }
        "selects" => {
            ask(&mut s, b"\x03SELECT 1; SELECT id, reverse(ssn) FROM people");
            true
        }
        "call" => {
            ask(&mut s, b"\x03CALL p()");
            true
        }
        "load" => {
            ask(&mut s, b"\x03LOAD DATA LOCAL INFILE 'mine.csv' INTO TABLE people");
            true
        }
        "prepare" => {
            ask(&mut s, &[b"\x16", READ].concat());
            true
        }
        "execute" => {
            prepare(&mut s, READ);
            ask(&mut s, EXECUTE);
            true
        }
        other => panic!("{other}"),
    };
    upstream_bytes(&mut s);
    s.to_client().clear();
    (s, is_upstream)
}

fn login(kind: &str, input: &[u8]) -> String {
    let offered = Capabilities::offered(Capabilities(0xffff_ffff), kind == "login+tls", false);
    let greeting = Greeting {
        version: "9.7.4".into(),
        connection: 7,
        capabilities: offered,
        collation: 45,
        status: 2,
        nonce: *b"abcdefghijklmnopqrst",
        plugin: "mysql_clear_password".into(),
    };
    let mut login = ClientLogin::new(&greeting, kind == "login+loopback");
    let mut out = Vec::new();
    for payload in payloads(input) {
        let mut ask = login.handle(&payload).map_err(|e| e.to_string());
        if matches!(ask, Ok(LoginAsk::Who(_))) {
            ask = login.answer(Expectation::Token).map_err(|e| e.to_string());
        }
        out.push(match ask {
            Ok(LoginAsk::Tls) => "TLS".to_owned(),
            Ok(LoginAsk::Who(_) | LoginAsk::Proven(_)) => panic!("let in"),
            Ok(LoginAsk::Send(payload)) => format!("said {}", text(&payload)),
            Ok(LoginAsk::Token(token)) => format!("a token of {} bytes", token.expose().len()),
            Ok(LoginAsk::Refuse(rejection)) => format!("refused {}", rejection.code),
            Err(e) => format!("ends: {e}"),
        });
    }
    out.join("; ")
}

fn upstream_login(input: &[u8]) -> String {
    let mut auth = UpstreamAuth::new(Some(Secret::new("pw".to_owned())), false, false, [9; 32]);
    let mut out = Vec::new();
    let mut packets = payloads(input).into_iter();
    match startup::greeting(&packets.next().unwrap()) {
        Ok(Hello::Greeting(greeting)) => match auth.begin(&greeting.plugin, &greeting.nonce) {
            Ok((method, proof)) => out.push(format!("answers with {} of {} bytes", method.name(), proof.len())),
            Err(e) => out.push(format!("ends: {e}")),
        },
        Ok(Hello::Refused(code, _)) => out.push(format!("refused {code}")),
        Err(e) => out.push(format!("ends: {e}")),
    }
    for payload in packets {
        let step = match startup::login_step(&payload) {
            Ok(step) => step,
            Err(e) => {
                out.push(format!("ends: {e}"));
                continue;
            }
        };
        out.push(match auth.handle(&step) {
            Ok(AuthStep::Send(sent)) => {
                assert!(!sent.windows(2).any(|w| w == b"pw"), "the password went out");
                format!("sent {} bytes", sent.len())
            }
            Ok(AuthStep::Wait) => "waits".into(),
            Ok(AuthStep::Done) => "let in".into(),
            Err(e) => format!("ends: {e}"),
        });
    }
    out.join("; ")
}

fn unpacked(kind: &str, input: &[u8]) -> String {
    let algorithm = if kind.ends_with("zlib") { Algorithm::Zlib } else { Algorithm::Zstd(3) };
    let mut envelopes = Envelopes::new(algorithm, true);
    let mut out = bytes::BytesMut::new();
    match envelopes.unpack(input, 1 << 20, &mut out) {
        Ok(()) => format!("{} bytes, {} wait", out.len(), envelopes.waiting()),
        Err(e) => format!("ends: {e}"),
    }
}

fn sequence(kind: &str, input: &str, cut: usize) -> String {
    let input = bytes(input);
    if kind.starts_with("login") {
        return login(kind, &input);
    }
    if kind == "server" {
        return upstream_login(&input);
    }
    if kind.starts_with("compressed") {
        return unpacked(kind, &input);
    }
    let (mut s, is_upstream) = state(kind);
    for piece in input.chunks(cut) {
        if is_upstream { s.handle_upstream(piece, NOW) } else { s.handle_client(piece, NOW) }
    }
    outcome(&mut s)
}

#[test]
fn byte_sequences_are_all_decided_however_they_are_cut() {
    let file = include_str!("hostile/packets.txt");
    let (now, count) = replayed(file, |kind, input| {
        let whole = sequence(kind, input, usize::MAX);
        if whole.len() < 10_000 && bytes(input).len() < 5_000 {
            for cut in [1, 2, 3, 5] {
                assert_eq!(sequence(kind, input, cut), whole, "{input} cut after {cut}");
            }
        }
        assert!(!whole.contains("078-05-1120") && !whole.contains("0211-50-870"), "{input}: {whole}");
        whole
    });
    assert!(count >= 100, "only {count}");
    expect_file!["hostile/packets.txt"].assert_eq(&now);
}
