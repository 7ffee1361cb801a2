//! A database server that lies, over a real socket: between the gateway and a real PostgreSQL stands
//! a forwarder that answers marked statements itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
mod common;
use common::{Meddle, World, forward_with};
use doorward_testkit::Postgres;
use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ALLOW: &str = r#"
@id("connect") permit (principal in Group::"agents", action == Action::"connect", resource in Connection::"orders");
@id("data") permit (principal in Group::"agents", action in [Action::"select", Action::"call"], resource in Connection::"orders");
"#;

const CARD: &str = "4111111111111111";

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn row(cells: &[&str]) -> Vec<u8> {
    let mut body = (cells.len() as u16).to_be_bytes().to_vec();
    for cell in cells {
        body.extend((cell.len() as u32).to_be_bytes());
        body.extend(cell.as_bytes());
    }
    message(b'D', &body)
}

fn described(columns: u16) -> Vec<u8> {
    let mut body = columns.to_be_bytes().to_vec();
    for _ in 0..columns {
        // Name, table, column number, type text, size, modifier, text format.
        body.extend(b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    message(b'T', &body)
}

struct Lie {
    name: &'static str,
    bytes: Vec<u8>,
    close: bool,
}

fn lies() -> Vec<Lie> {
    let lie = |name, bytes| Lie { name, bytes, close: false };
    let cut = |name, bytes| Lie { name, bytes, close: true };
    let too_long = [&2u32.to_be_bytes()[..], CARD.as_bytes()].concat();
    vec![
        lie("length-0", b"D\0\0\0\0".to_vec()),
        lie("length-3", b"T\0\0\0\x03".to_vec()),
        lie("length-negative", b"D\xff\xff\xff\xff".to_vec()),
        lie("length-2-31", b"T\x7f\xff\xff\xff".to_vec()),
        lie("row-before-description", row(&[CARD])),
        lie("too-many-cells", [described(1), row(&["1", CARD])].concat()),
        lie("too-few-cells", [described(2), row(&[CARD])].concat()),
        lie("cell-beyond-frame", [described(1), message(b'D', b"\0\x01\0\0\0\x7f4111")].concat()),
        lie("cell-before-end", [described(1), message(b'D', &[b"\0\x01", &too_long[..]].concat())].concat()),
        lie("negative-cell", [described(1), message(b'D', b"\0\x01\xff\xff\xff\xfe")].concat()),
        lie("unknown-type", message(b'?', CARD.as_bytes())),
        lie("authentication-again", message(b'R', &3u32.to_be_bytes())),
        lie("authentication-ok-again", message(b'R', &0u32.to_be_bytes())),
        lie("new-cancel-key", message(b'K', &[0; 8])),
        lie("copy-out-nobody-asked-for", [message(b'H', b"\0\0\x01\0\0"), message(b'd', CARD.as_bytes())].concat()),
        lie("copy-in-nobody-asked-for", message(b'G', b"\0\0\x01\0\0")),
        lie("copy-both", message(b'W', b"\0\0\x01\0\0")),
        lie("copy-data-alone", message(b'd', CARD.as_bytes())),
        // A binary cursor answers so: what is lacking is the end.
        cut("binary-and-no-end", {
            let mut text = described(1);
            *text.last_mut().unwrap() = 1;
            [text, row(&[CARD])].concat()
        }),
        lie("parse-complete", message(b'1', b"")),
        lie("bad-status", message(b'Z', b"X")),
        lie("tag-without-end", message(b'C', b"SELECT 1")),
        lie("error-without-fields", message(b'E', b"")),
        cut("closed-at-once", vec![]),
        cut("closed-in-a-header", b"T\0\0".to_vec()),
        cut("closed-in-a-frame", [&described(1)[..], &row(&[CARD])[..9]].concat()),
        cut("closed-after-rows", [described(1), row(&["1"])].concat()),
    ]
}

/// Runs a command that must end, whatever the server does.
fn ends(mut command: Command) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the caller waits for ever");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let out = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn a_lying_server_ends_its_session_with_a_reason_and_no_other() {
    let postgres = Postgres::start().unwrap();
    let upstream = forward_with("127.0.0.1:0", postgres.address(), |_, bytes| {
        let text = String::from_utf8_lossy(bytes);
        lies()
            .into_iter()
            .find(|l| text.contains(&format!("lie: {} ", l.name)))
            .map_or(Meddle::Pass, |l| Meddle::Answer { bytes: l.bytes, close: l.close })
    });
    let world = World::behind(postgres, &upstream, ALLOW, "");
    let token = world.token("ci-bot", &["agents"], &[]);
    let mut other =
        world.psql_command(&token).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut say = other.stdin.take().unwrap();
    writeln!(say, "select 'before'; select pg_backend_pid();").unwrap();
    let mut silent = Vec::new();
    for lie in lies() {
        let faults = world.audit("fault").len();
        let mut command = world.psql_command(&token);
        command.args(["-c", &format!("select 1 /* lie: {} */", lie.name)]);
        let shown = ends(command);
        println!("{}: {}", lie.name, shown.trim());
        assert!(!shown.contains("4111"), "{}: {shown}", lie.name);
        let lost = ["FATAL", "server closed the connection", "ERROR", "lost synchronization"];
        assert!(lost.iter().any(|l| shown.contains(l)), "{}: {shown}", lie.name);
        let told = shown.contains("FATAL") && shown.contains("server");
        if !told || world.audit("fault").len() <= faults {
            silent.push(format!("{}: {shown}", lie.name));
        }
        writeln!(say, "select 'still here';").unwrap();
    }
    assert!(silent.is_empty(), "no reason given or no entry written: {silent:#?}");
    drop(say);
    let mut shown = String::new();
    other.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    other.wait().unwrap();
    assert_eq!(shown.matches("still here").count(), lies().len(), "{shown}");
    assert!(!world.gateway.log().contains("panicked"), "{}", world.gateway.log());
    let (intact, report) = world.doorward("", &["audit", "verify"]);
    assert!(intact, "{report}");
}

#[test]
fn a_server_that_misbehaves_before_anyone_is_in_is_named() {
    // What stands there instead of an answer to the first bytes of each connection.
    for (name, bytes, close, tls, expected) in [
        ("closed", &b""[..], true, "disable", "cannot connect to the database server"),
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n", true, "disable", "broke the protocol"),
        ("huge", b"R\x7f\xff\xff\xff", false, "disable", "broke the protocol"),
        ("ready-at-once", b"Z\0\0\0\x05I", false, "disable", "broke the protocol"),
        ("kerberos", b"R\0\0\0\x08\0\0\0\x07", false, "disable", "could not log in"),
        ("error-for-tls", b"Eno", true, "require", "broke the protocol"),
        ("no-tls", b"N", false, "verify-full", "does not offer TLS"),
        ("silent-of-texts", b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19client_encoding\0UTF8\0Z\0\0\0\x05I", false, "disable", "broke the protocol"),
        (
            "texts-otherwise",
            b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19client_encoding\0UTF8\0S\0\0\0\x24standard_conforming_strings\0off\0Z\0\0\0\x05I",
            false,
            "disable",
            "would be read otherwise",
        ),
        ("injected-before-tls", b"SR\0\0\0\x08\0\0\0\0", false, "require", "TLS with the database server failed"),
    ] {
        let postgres = Postgres::start().unwrap();
        let upstream = forward_with("127.0.0.1:0", postgres.address(), move |_, _| Meddle::Answer {
            bytes: bytes.to_vec(),
            close,
        });
        let world = World::behind(postgres, &upstream, ALLOW, &format!("tls = \"{tls}\""));
        let token = world.token("ci-bot", &["agents"], &[]);
        let mut command = world.psql_command(&token);
        command.args(["-c", "select 1"]);
        let shown = ends(command);
        assert!(shown.contains(expected), "{name}: {shown}");
        assert!(!world.gateway.log().contains("panicked"), "{name}: {}", world.gateway.log());
    }
}

/// A role may have its texts read otherwise, where nobody says how they are to be read.
#[test]
fn a_role_of_other_settings_has_texts_read_as_here() {
    let postgres = Postgres::start().unwrap();
    let user = postgres.user().to_owned();
    postgres.exec(&format!("alter role \"{user}\" set standard_conforming_strings = off")).unwrap();
    let world = World::over(postgres, ALLOW, "");
    let mut command = world.psql_command(&world.token("ci-bot", &["agents"], &[]));
    command.args(["-A", "-t", "-c", "show standard_conforming_strings", "-c", "select length('\\\\')"]);
    assert_eq!(ends(command), "on\n2\n");
}
