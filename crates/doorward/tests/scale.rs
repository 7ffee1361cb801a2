//! Long pipelines, many sessions, great lengths: what a session may cost, and that it cannot lock up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
mod common;
use common::World;
use doorward_testkit::Postgres;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const ALLOW: &str = r#"
@id("connect") permit (principal in Group::"agents", action == Action::"connect", resource in Connection::"orders");
@id("data") permit (principal in Group::"agents", action in [Action::"select", Action::"call"], resource in Connection::"orders");
"#;

/// Resident memory of the gateway in KiB.
fn resident(world: &mut World) -> u64 {
    let pid = world.gateway.process().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// Logs in on loopback without TLS and reads up to the first ReadyForQuery.
fn log_in(world: &World, token: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let body = [&[0, 3, 0, 0][..], b"user\0x\0database\0orders\0\0"].concat();
    let password = message(b'p', &[token.as_bytes(), b"\0"].concat());
    let startup = [&(body.len() as u32 + 4).to_be_bytes()[..], &body, &password].concat();
    socket.write_all(&startup).unwrap();
    assert_eq!(read_until_ready(&mut socket, 1).1, 1);
    socket
}

/// Reads messages until so many ReadyForQuery have come; says how many rows and how many of these.
fn read_until_ready(socket: &mut impl Read, ready: usize) -> (usize, usize) {
    let mut socket = std::io::BufReader::with_capacity(1 << 16, socket);
    let (mut rows, mut seen, mut body) = (0, 0, Vec::new());
    while seen < ready {
        let mut head = [0; 5];
        socket.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        body.resize(length - 4, 0);
        socket.read_exact(&mut body).unwrap();
        assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
        rows += usize::from(head[0] == b'D');
        seen += usize::from(head[0] == b'Z');
    }
    (rows, seen)
}

#[test]
fn ten_thousand_statements_are_sent_before_an_answer_is_read() {
    const STATEMENTS: usize = 10_000;
    let mut world = World::with(ALLOW, "");
    let token = world.token("ci-bot", &["agents"], &[]);
    let simple = message(b'Q', b"select repeat('x', 10000)\0");
    let mut extended = message(b'P', b"\0select repeat('x', 10000)\0\0\0");
    extended.extend(message(b'B', b"\0\0\0\0\0\0\0\0"));
    extended.extend(message(b'E', b"\0\0\0\0\0"));
    extended.extend(message(b'S', b""));
    for statement in [simple, extended] {
        let mut socket = log_in(&world, &token);
        let mut out = socket.try_clone().unwrap();
        // What the gateway does not read for a while stands in the sockets' buffers and then here.
        let writer = std::thread::spawn(move || out.write_all(&statement.repeat(STATEMENTS)).unwrap());
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(read_until_ready(&mut socket, STATEMENTS), (STATEMENTS, STATEMENTS));
        writer.join().unwrap();
        let memory = resident(&mut world);
        assert!(memory < 300 * 1024, "{memory} KiB after 100 MB of answers");
    }
}

#[test]
fn an_idle_session_costs_little() {
    const SESSIONS: u64 = 300;
    let postgres = Postgres::options().setting("max_connections", "400").start().unwrap();
    let mut world = World::over(postgres, ALLOW, "");
    let token = world.token("ci-bot", &["agents"], &[]);
    let warm: Vec<_> = (0..20).map(|_| log_in(&world, &token)).collect();
    let before = resident(&mut world);
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| log_in(&world, &token)).collect();
    for socket in &mut sessions {
        socket.write_all(&message(b'Q', b"select 1\0")).unwrap();
        assert_eq!(read_until_ready(socket, 1), (1, 1));
    }
    // A debug build, and without TLS: bench/ measures what the product costs.
    let each = resident(&mut world).saturating_sub(before) / SESSIONS;
    assert!(each < 128, "{each} KiB for each idle session");
    assert!(!world.gateway.log().contains("panicked"));
    drop((warm, sessions));
    assert_eq!(world.psql(&token, &["-c", "select 'open'"]).trim(), "open");
}

#[test]
fn a_statement_of_64_mib_is_refused_and_nobody_else_notices() {
    let mut world = World::with(ALLOW, "");
    let token = world.token("ci-bot", &["agents"], &[]);
    let before = resident(&mut world);
    let mut socket = log_in(&world, &token);
    let text = format!("select '{}'\0", "x".repeat(64 << 20));
    // The gateway may hang up before it has read all of it.
    let _cut = socket.write_all(&message(b'Q', text.as_bytes()));
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.ends_with(b"Z\0\0\0\x05I") {
        match socket.read(&mut chunk) {
            Ok(n @ 1..) => answer.extend_from_slice(&chunk[..n]),
            _ => break,
        }
    }
    let shown = String::from_utf8_lossy(&answer).into_owned();
    assert!(shown.contains("bytes long") || shown.contains("is longer than"), "{shown}");
    assert_eq!(world.psql(&token, &["-c", "select 'open'"]).trim(), "open");
    let grown = resident(&mut world).saturating_sub(before);
    assert!(grown < 200 * 1024, "{grown} KiB are kept");
}
