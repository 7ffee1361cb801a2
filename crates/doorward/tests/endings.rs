//! Sessions that end against the will of their clients.
#![allow(clippy::unwrap_used, reason = "tests")]
mod common;
use common::World;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
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
    let until = Instant::now() + Duration::from_secs(60);
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
    let until = Instant::now() + Duration::from_secs(60);
    while w.audit("authentication_failed").is_empty() {
        assert!(Instant::now() < until, "nothing is known of the guess");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn status(w: &World, path: &str) -> String {
    let out = Command::new("curl")
        .args(["-s", "-o", "-", "-w", " %{http_code}", &format!("http://127.0.0.1:{}{path}", w.api)])
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Told to end, it lets nobody in, lets who is in go on for a while, and people decide what they wait for; then it ends them.
#[test]
fn a_gateway_that_is_told_to_end_drains() {
    let mut w = World::demo();
    let config = std::fs::read_to_string(w.gateway.config_file()).unwrap();
    let config = config.replace("operators =", "drain_seconds = 6\noperators =");
    std::fs::write(w.gateway.config_file(), config).unwrap();
    w.gateway.restart().unwrap();
    let (agent, dana) = (w.token("ci-bot", &["agents", "analysts"], &[]), w.token("dana", &["dba"], &[]));
    let pid = w.gateway.process().pid();
    let staying = |what: &str| {
        let mut command = w.psql_command(&agent);
        let command = command.arg("-q").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        writeln!(child.stdin.as_mut().unwrap(), "select 'here';\n{what}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "here\n");
        (child, output)
    };
    let (mut idle, mut output) = staying("");
    let (held, _out) = staying("update orders set total = 0 where id = 1;\n\\q");
    let pending = || w.doorward(&dana, &["approvals", "list", "--output", "json"]).1;
    let until = Instant::now() + Duration::from_secs(20);
    while !pending().contains("\"id\"") {
        assert!(Instant::now() < until, "nothing waits");
    }
    assert!(status(&w, "/readyz").ends_with(" 200"));

    let begun = Instant::now();
    Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while !status(&w, "/readyz").contains("draining") {
        assert!(Instant::now() < until, "{}", status(&w, "/readyz"));
    }
    assert!(status(&w, "/readyz").ends_with(" 503") && status(&w, "/healthz").ends_with(" 200"));
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("Connection refused"));
    writeln!(idle.stdin.as_mut().unwrap(), "select 'still here';").unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "still here\n");
    let all: serde_json::Value = serde_json::from_str(&pending()).unwrap();
    let (ok, said) = w.doorward(&dana, &["approvals", "approve", all[0]["id"].as_str().unwrap()]);
    assert!(ok, "{said}");
    let out = held.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(w.postgres.query("select total from orders where id = 1").unwrap().trim(), "0");

    // The one that goes on is told as its server would tell it.
    let ended = w.gateway.process().wait_for_exit(Duration::from_secs(20)).unwrap();
    assert!(ended.success(), "{ended}");
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(12)).contains(&took), "{took:?}");
    writeln!(idle.stdin.take().unwrap(), "select 1;").unwrap_or_default();
    let out = idle.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("terminating connection due to administrator command"), "{said}");
    let (ok, said) = w.doorward("", &["audit", "verify"]);
    assert!(ok && said.contains("intact"), "{said}");
    assert_eq!(w.audit("gateway_stopped").len(), 1, "in an orderly way");
}
