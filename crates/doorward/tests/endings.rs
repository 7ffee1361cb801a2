//! Sessions that end against the will of their clients.
#![allow(clippy::unwrap_used, reason = "tests")]
mod common;
use common::World;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

fn message(tag: &[u8], body: &[u8]) -> Vec<u8> {
    [tag, &(u32::try_from(body.len()).unwrap() + 4).to_be_bytes(), body].concat()
}

#[test]
fn a_client_that_does_not_read_can_be_ended() {
    let w = World::demo();
    let (agent, operator) = (w.token("ci-bot", &["agents"], &[]), w.token("ops", &["dba"], &[]));
    let mut client = TcpStream::connect(("127.0.0.1", w.port)).unwrap();
    client.write_all(&message(b"", b"\0\x03\0\0user\0x\0database\0orders\0\0")).unwrap();
    client.write_all(&message(b"p", format!("{agent}\0").as_bytes())).unwrap();
    client.write_all(&message(b"Q", b"select repeat('x', 1000) from generate_series(1, 100000)\0")).unwrap();
    let live = || w.doorward(&operator, &["sessions", "list", "--live"]).1;
    let until = Instant::now() + Duration::from_secs(30);
    while live().trim().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Long enough for every buffer on the way to be full.
    std::thread::sleep(Duration::from_secs(2));
    let id = live().split_whitespace().next().unwrap_or_default().to_owned();
    let (ok, said) = w.doorward(&operator, &["sessions", "kill", &id]);
    assert!(ok, "{said}");
    let until = Instant::now() + Duration::from_secs(15);
    while !live().trim().is_empty() {
        assert!(Instant::now() < until, "the session goes on after it was ended");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(w.audit("session_ended").iter().any(|e| e["session"] == id.as_str()));
    drop(client);
}

/// A guess counts, whether or not its client waits to hear that it was wrong (SASL `OAUTHBEARER`, RFC 7628 §3.2.3).
#[test]
fn a_guess_that_is_left_in_the_middle_is_written_down() {
    let w = World::demo();
    let mut client = TcpStream::connect(("127.0.0.1", w.port)).unwrap();
    let start = b"\0\x03\0\0user\0x\0database\0orders\0options\0-c doorward.auth=oauth\0\0";
    client.write_all(&message(b"", start)).unwrap();
    let mut asked = [0; 9];
    client.read_exact(&mut asked).unwrap();
    let guess = b"n,,\x01auth=Bearer nonsense\x01\x01";
    let length = u32::try_from(guess.len()).unwrap().to_be_bytes();
    client.write_all(&message(b"p", &[b"OAUTHBEARER\0".as_slice(), &length, guess].concat())).unwrap();
    drop(client);
    let until = Instant::now() + Duration::from_secs(15);
    while w.audit("authentication_failed").is_empty() {
        assert!(Instant::now() < until, "nothing is known of the guess");
        std::thread::sleep(Duration::from_millis(100));
    }
}
