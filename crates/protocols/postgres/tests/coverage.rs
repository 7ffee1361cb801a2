//! Walks the tables of docs/protocols/postgres.md: every message type that the codec knows stands
//! there, and every tag that stands there is read as the message it is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "a test")]
use doorward_postgres::codec::{ClientMessage, UpstreamMessage, client_message, upstream_message};

const PAGE: &str = include_str!("../../../../docs/protocols/postgres.md");

/// Rows of the table under a heading: name, tag, what happens.
fn table(heading: &str) -> Vec<(String, String, String)> {
    let from = PAGE.find(heading).unwrap_or_else(|| panic!("no section {heading}"));
    let section: Vec<&str> = PAGE[from..].lines().skip(1).take_while(|l| !l.starts_with("## ")).collect();
    section
        .into_iter()
        .filter(|l| l.starts_with('|') && !l.starts_with("|-") && !l.contains("what happens"))
        .map(|l| {
            let cells: Vec<&str> = l.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].to_owned(), cells[1].to_owned(), cells[2].to_owned())
        })
        .collect()
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((u32::try_from(body.len()).unwrap() + 4).to_be_bytes());
    out.extend(body);
    out
}

/// A well-formed body for each client message.
fn client_body(tag: u8) -> &'static [u8] {
    match tag {
        b'Q' => b"SELECT 1\0",
        b'P' => b"\0SELECT 1\0\0\0",
        b'B' => b"\0\0\0\0\0\0\0\0",
        b'D' | b'C' => b"S\0",
        b'E' => b"\0\0\0\0\0",
        b'f' => b"why\0",
        b'F' => b"\0\0\0\x01\0\0\0\0\0\0",
        _ => b"",
    }
}

fn upstream_body(tag: u8) -> &'static [u8] {
    match tag {
        b'R' => b"\0\0\0\0",
        b'K' => b"\0\0\0\x01\0\0\0\x02",
        b'S' => b"a\0b\0",
        b'Z' => b"I",
        b'v' => b"\0\0\0\0\0\0\0\0",
        b't' | b'T' | b'D' => b"\0\0",
        b'C' => b"SELECT 1\0",
        b'E' | b'N' => b"SERROR\0\0",
        b'A' => b"\0\0\0\x01c\0p\0",
        b'V' => b"\xff\xff\xff\xff",
        b'G' | b'H' | b'W' => b"\0\0\0",
        _ => b"",
    }
}

#[test]
fn every_client_message_is_in_the_table_and_is_read() {
    let rows = table("## Client → gateway: after start-up");
    let tags: Vec<u8> = rows.iter().filter(|r| r.1.len() == 1).map(|r| r.1.as_bytes()[0]).collect();
    for tag in 0..=u8::MAX {
        let bytes = frame(tag, client_body(tag));
        let read = client_message(&bytes);
        let known = !matches!(read, Ok(ClientMessage::Unknown(_)));
        assert_eq!(known, tags.contains(&tag), "0x{tag:02x} {read:?}");
        assert!(read.is_ok(), "0x{tag:02x} {read:?}");
    }
    assert!(rows.iter().all(|r| !r.2.is_empty()));
    for word in ["decided", "follows", "own", "refused"] {
        assert!(rows.iter().any(|r| r.2.starts_with(word)), "no row is {word}");
    }
}

#[test]
fn every_upstream_message_is_in_the_table_and_is_read() {
    let rows = table("## Upstream → client");
    let tags: Vec<u8> = rows.iter().filter(|r| r.1.len() == 1).map(|r| r.1.as_bytes()[0]).collect();
    for tag in 0..=u8::MAX {
        let bytes = frame(tag, upstream_body(tag));
        let read = upstream_message(&bytes);
        let known = !matches!(read, Ok(UpstreamMessage::Unknown(_)));
        assert_eq!(known, tags.contains(&tag), "0x{tag:02x} {read:?}");
        assert!(read.is_ok(), "0x{tag:02x} {read:?}");
    }
    assert!(rows.iter().filter(|r| r.0 != "anything else, or out of place").all(|r| r.2.len() > 2));
}
