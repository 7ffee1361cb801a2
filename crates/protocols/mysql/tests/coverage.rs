//! Walks the tables of docs/protocols/mysql.md: every command that the codec knows stands there, and a session does with
//! each what stands there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "a test")]
mod support;

use doorward_enforce::{ProtocolSession as _, Ticket};
use doorward_mysql::{
    Capabilities, Event, Hold, Question, Session,
    codec::{
        self,
        client::{Command, command},
    },
};
use support::{NOW, session};

const PAGE: &str = include_str!("../../../../docs/protocols/mysql.md");
const MARIADB: Capabilities = Capabilities(1 << 9 | 1 << 15 | 1 << 19 | 1 << 23 | Capabilities::BULK_OPERATIONS.0);

/// Rows of the table under a heading: their cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let from = PAGE.find(heading).unwrap_or_else(|| panic!("no section {heading}"));
    let section: Vec<&str> = PAGE[from..].lines().skip(1).take_while(|l| !l.starts_with("## ")).collect();
    let rows =
        section.into_iter().filter(|l| l.starts_with('|') && !l.starts_with("|-") && !l.contains("what happens"));
    rows.map(|l| l.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect()).collect()
}

/// The numbers of the table with what happens to them.
fn commands() -> Vec<(u8, String, String)> {
    let number = |cell: &String| cell.strip_prefix("0x").map(|n| u8::from_str_radix(n, 16).unwrap());
    let rows = table("## Client → gateway: commands");
    rows.iter().filter_map(|r| Some((number(&r[1])?, r[0].clone(), r[2].clone()))).collect()
}

/// A well-formed command.
fn body(number: u8) -> Vec<u8> {
    let rest: &[u8] = match number {
        0x02 | 0x05 => b"orders",
        0x03 | 0x16 => b"SELECT 1",
        0x04 => b"people\0",
        0x06 => b"marker",
        0x07 => b"\x01",
        0x0c | 0x19 | 0x1a => b"\x05\0\0\0",
        0x11 => b"bot\0\x07tok.en\0\0\x2d\0mysql_clear_password\0",
        0x17 => b"\x05\0\0\0\0\x01\0\0\0",
        0x18 => b"\x05\0\0\0\0\0abc",
        0x1b => b"\0\0",
        0x1c => b"\x05\0\0\0\x01\0\0\0",
        0xfa => b"\x05\0\0\0\x80\0\x03\0\0\x01\0\0\0",
        _ => b"",
    };
    [&[number], rest].concat()
}

#[test]
fn every_command_is_in_the_table_and_is_read() {
    let rows = commands();
    for number in 0..=u8::MAX {
        let bytes = body(number);
        let read = command(&bytes, MARIADB);
        assert!(read.is_ok(), "0x{number:02x} {read:?}");
        let known = !matches!(read, Ok(Command::Unknown(_)));
        assert_eq!(known, rows.iter().any(|r| r.0 == number), "0x{number:02x} {read:?}");
    }
    for word in ["decided", "follows", "own", "refused"] {
        assert!(rows.iter().any(|r| r.2.starts_with(word)), "no row is {word}");
    }
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    codec::put_message(&mut out, sequence, payload);
    out
}

fn sent(session: &mut Session) -> Vec<u8> {
    let ready = session.to_upstream().ready(Ticket(1)).to_vec();
    session.to_upstream().sent(ready.len());
    ready
}

/// A session with statement 5 prepared, which has one parameter.
fn begun() -> Session {
    let mut s = session(MARIADB, MARIADB, "11.8.9-MariaDB", None, 2, Hold::Wait);
    let column = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0";
    let (ok, eof) = (b"\0\0\0\x02\0\0\0", b"\xfe\0\0\x02\0");
    for payload in [&ok[..], b"\x03", column, column, column, eof, b"\0\x07utf8mb4\xfb", eof] {
        s.handle_upstream(&packet(1, payload), NOW);
    }
    s.handle_client(&packet(0, b"\x16SELECT ?"), NOW);
    for payload in [&b"\0\x05\0\0\0\0\0\x01\0\0\0\0"[..], column, eof] {
        s.handle_upstream(&packet(1, payload), NOW);
    }
    assert!(s.is_idle());
    sent(&mut s);
    s.to_client().clear();
    s
}

#[test]
fn a_session_does_what_the_table_says() {
    for (number, name, what) in commands() {
        let mut s = begun();
        s.handle_client(&packet(0, &body(number)), NOW);
        let (upstream, client) = (sent(&mut s), s.to_client().split());
        let error = client.get(4) == Some(&0xff);
        let event = s.poll_event();
        match what.split([' ', ':', ',', ';']).next().unwrap() {
            "refused" => assert!(error && upstream.is_empty() && event.is_none(), "{name}"),
            "own" => assert!(matches!(event, Some(Event::Ask(Question::ChangeUser(_)) | Event::End(_))), "{name}"),
            // Without a cursor, or with values that do not fit, nothing of it is sent; what is dropped is refused.
            "follows" if number == 0x1c => assert!(error && upstream.is_empty(), "{name}"),
            "follows" => assert!(upstream.ends_with(&body(number)), "{name}"),
            // The list of what others run is for nobody from whom a column is hidden.
            "decided" if matches!(number, 0x06 | 0x0a) => assert!(error && upstream.is_empty(), "{name}"),
            "decided" if number == 0x0c => assert!(matches!(event, Some(Event::Ask(Question::Kill(..)))), "{name}"),
            "decided" if number == 0x17 => assert!(error && upstream.is_empty(), "{name}: a parameter is missing"),
            "decided" => assert!(!upstream.is_empty() && !error, "{name}: {}", client.escape_ascii()),
            other => panic!("{name}: {other}?"),
        }
    }
    let mut s = begun();
    s.handle_client(&packet(0, b"\x44"), NOW);
    assert!(s.to_client().split()[4..7] == [0xff, 0xd3, 0x04] && s.is_idle(), "1235");
}

#[test]
fn every_packet_of_an_upstream_has_its_row() {
    let rows = table("## Upstream → client");
    assert!(rows.len() >= 15 && rows.iter().all(|r| r[1].len() > 2));
    let words = ["own", "inspected", "passed", "refused"];
    assert!(rows.iter().all(|r| words.iter().any(|w| r[1].starts_with(w))));
}
