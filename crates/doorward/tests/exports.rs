//! The audit log shipped out by a real gateway, over `kill -9` under traffic and an outage of a sink.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::World;
use doorward_testkit::free_port;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Takes JSON lines by POST while it is up; what it keeps outlives it.
struct Receiver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn start(port: u16, kept: &Arc<Mutex<Vec<u64>>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, kept) = (Arc::new(AtomicBool::new(false)), Arc::clone(kept));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(answer(stream, &kept)),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }

    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(mut stream: std::net::TcpStream, kept: &Mutex<Vec<u64>>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut from = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    while from.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let seqs = body.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    kept.lock().unwrap().extend(seqs.map(|l| serde_json::from_slice::<Value>(l).unwrap()["seq"].as_u64().unwrap()));
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
}

fn entries(w: &World) -> BTreeSet<u64> {
    let (ok, text) = w.doorward("", &["audit", "export"]);
    assert!(ok, "{text}");
    text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["seq"].as_u64().unwrap()).collect()
}

/// Cursors as the store has them: name, last line, entries.
fn cursors(state: &Path) -> Vec<(String, u64, u64)> {
    let query = "import sqlite3, sys, json; c = sqlite3.connect(sys.argv[1]); \
                 print(json.dumps(c.execute('select name, seq, entries from exports order by name').fetchall()))";
    let out = Command::new("python3").args(["-c", query]).arg(state.join("doorward.db")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn killed_under_traffic(w: &mut World, agent: &str, times: u64) {
    let sql = "select 1;".repeat(20);
    for _ in 0..times {
        let so_far = entries(w).len();
        let start = || w.psql_command(agent).args(["-c", &sql, "-c", &sql]).spawn().unwrap();
        let mut clients: Vec<_> = (0..3).map(|_| start()).collect();
        while entries(w).len() < so_far + 20 {
            thread::sleep(Duration::from_millis(10));
        }
        w.gateway.kill9().unwrap();
        clients.iter_mut().for_each(|c| drop(c.wait()));
        w.gateway.restart().unwrap();
    }
}

#[test]
fn nothing_is_lost_over_kill_and_outage() {
    let port = free_port().unwrap();
    let exports = format!(
        "[[exports]]\nname = \"hook\"\nkind = \"http\"\nurl = \"http://127.0.0.1:{port}/in\"\nformat = \"json\"\n\
         secret = {{ value = \"signing key\" }}\n\
         [[exports]]\nname = \"lines\"\nkind = \"file\"\npath = \"audit-out.jsonl\"\n"
    );
    let policy = "@id(\"all\") permit(principal, action, resource);";
    let mut w = World::with(policy, &exports);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let up = Receiver::start(port, &kept);
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert!(w.psql(&agent, &["-c", "select 41 + 1"]).contains("42"));

    // Killed under traffic, with the sink there and later away.
    killed_under_traffic(&mut w, &agent, 2);
    up.stop();
    killed_under_traffic(&mut w, &agent, 2);
    // The gateway does its work while the sink is away, and so does the other exporter.
    assert!(w.psql(&agent, &["-c", "select 40 + 2"]).contains("42"));
    let before = entries(&w);
    assert!(before.len() > 50, "{}", before.len());
    assert!(!before.iter().all(|s| kept.lock().unwrap().contains(s)), "the outage left something to send");
    let file = w.gateway.directory().join("audit-out.jsonl");
    let end = Instant::now() + Duration::from_secs(30);
    let lines = || fs::read_to_string(&file).unwrap_or_default();
    let in_file = || -> BTreeSet<u64> {
        let seq = |l: &str| serde_json::from_str::<Value>(l).ok()?["metadata"]["sequence"].as_u64();
        lines().lines().filter_map(seq).collect()
    };
    while !before.is_subset(&in_file()) {
        assert!(Instant::now() < end, "the file lacks entries");
        thread::sleep(Duration::from_millis(50));
    }

    let up = Receiver::start(port, &kept);
    let end = Instant::now() + Duration::from_secs(90);
    while !before.iter().all(|s| kept.lock().unwrap().contains(s)) {
        assert!(Instant::now() < end, "the sink lacks entries: {}", w.gateway.log());
        thread::sleep(Duration::from_millis(100));
    }
    w.gateway.stop().unwrap();
    let all = entries(&w);
    let received: BTreeSet<u64> = kept.lock().unwrap().iter().copied().collect();
    assert_eq!(received, all, "each at least once, the last one too");
    assert_eq!(in_file(), all);
    let last = *all.last().unwrap();
    for (name, seq, count) in cursors(&w.state()) {
        assert_eq!(count, all.len() as u64, "{name}");
        assert!(seq >= last, "{name}: {seq}");
    }
    up.stop();
    assert!(!w.gateway.log().contains("signing key"));
    let (ok, said) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{said}");
}

#[test]
fn mistakes_are_found_before_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("doorward.toml");
    fs::write(dir.path().join("p.cedar"), "@id(\"all\") permit(principal, action, resource);").unwrap();
    let head = "[server]\nstate_dir = \"state\"\n[policy]\nfiles = [\"p.cedar\"]\n[[exports]]\nname = \"siem\"\n";
    let check = |section: &str| {
        fs::write(&config, format!("{head}{section}")).unwrap();
        let out = Command::new(common::DOORWARD).args(["check", "--config"]).arg(&config).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(check("kind = \"file\"\npath = \"x\"").0, Some(0));
    let (code, said) = check("kind = \"syslog\"\naddress = \"192.0.2.1:514\"\ntls = false");
    assert_eq!(code, Some(2));
    assert!(said.contains("export `siem`") && said.contains("plain TCP is for loopback"), "{said}");
}
