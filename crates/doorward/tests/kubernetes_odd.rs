//! Kubernetes where the other side is odd: an API server that answers as none does (a small server of the test's own, in
//! clear on loopback, since no real one does these things), and callers who ask for too much.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::kubernetes::BeforeAnything as Odd;
use doorward_testkit::free_port;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    process::Command,
    thread,
    time::Duration,
};

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource) unless { principal in Group::"strangers" };
@id("all") permit (principal in Group::"agents", action, resource);
@id("held") @approvers("sre") @expires("15m")
forbid (principal, action == Action::"get", resource is Pod) unless { context.approved };
"#;

/// How much of an answer without end is sent at most.
const ENDLESS: usize = 256 << 20;

/// Answers by path; what it is asked besides, it has as an empty object.
fn answer(stream: TcpStream) {
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(first)) = lines.next() else { return };
    while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
    let whole = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let text = match first.split(' ').nth(1).unwrap_or_default() {
        "/version/redirect" => whole("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
        "/version/packed" => whole("200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json", "{}"),
        "/version/switch" => {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\n".to_owned()
        }
        "/version/nonsense" => "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "/version/endless-head" => {
            let _sent = out.write_all(b"HTTP/1.1 200 OK\r\n");
            let line = format!("X-Odd: {}\r\n", "x".repeat(1000));
            for _ in 0..ENDLESS / line.len() {
                if out.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
            return;
        }
        "/version/endless-body" => {
            let _sent = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
            let block = vec![b'x'; 1 << 16];
            for _ in 0..ENDLESS / block.len() {
                if out.write_all(&block).is_err() {
                    return;
                }
            }
            return;
        }
        _ => whole("200 OK\r\nContent-Type: application/json", "{}"),
    };
    let _sent = out.write_all(text.as_bytes());
}

fn start() -> Odd {
    Odd::serving(answer, POLICY)
}

impl Odd {
    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    fn bearer(&self, group: &str) -> String {
        format!("Authorization: Bearer {}", self.issuer.token("ci-bot", &[group], &[]))
    }

    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert"]).arg(self.gateway.directory().join("state/dev-tls.crt"));
        curl
    }

    /// Status and body.
    fn ask(&self, path: &str, more: &[&str]) -> (u16, String) {
        let mut curl = self.curl();
        curl.args(["-w", "\n%{http_code}", "--max-time", "50", "-H", &self.bearer("agents")]).args(more);
        let out = curl.arg(self.url(path)).output().unwrap();
        let said = String::from_utf8([out.stderr, out.stdout].concat()).unwrap();
        let (body, code) = said.rsplit_once('\n').unwrap();
        (code.parse().unwrap(), body.to_owned())
    }
}

#[test]
fn odd_answers_do_not_pass() {
    let w = start();
    assert_eq!(w.ask("/version", &[]), (200, "{}".to_owned()));
    for path in ["redirect", "packed", "switch"] {
        let (code, body) = w.ask(&format!("/version/{path}"), &["--http1.1"]);
        assert!(code == 502 && body.contains("in a way that nobody asked for"), "{path}: {code} {body}");
    }
    for path in ["nonsense", "endless-head"] {
        let (code, body) = w.ask(&format!("/version/{path}"), &[]);
        assert!(code == 503 && body.contains("cannot be reached"), "{path}: {code} {body}");
    }
    let w = Odd::start(&format!("127.0.0.1:{}", free_port().unwrap()), POLICY);
    let (code, body) = w.ask("/version", &[]);
    assert!(code == 503 && body.contains("cannot be reached"), "{code} {body}");
}

#[test]
fn bodies_have_a_size_and_a_time() {
    let w = start();
    let large = w.gateway.directory().join("large");
    std::fs::write(&large, vec![b'x'; 5 << 20]).unwrap();
    // Over HTTP/2 curl (7.88) shows the reset that follows the answer instead of the answer.
    let more = ["--http1.1", "--data-binary", &format!("@{}", large.display())];
    let (code, body) = w.ask("/api/v1/namespaces/a/configmaps", &more);
    assert!(code == 413 && body.contains("too large"), "{code} {body}");
    // A body of which a byte comes, and no other.
    let mut curl = w.curl();
    curl.args(["-w", "\n%{http_code}", "--max-time", "50", "-H", &w.bearer("agents"), "-X", "POST", "-T", "-"]);
    curl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut slow = curl.arg(w.url("/api/v1/namespaces/a/configmaps")).spawn().unwrap();
    let mut input = slow.stdin.take().unwrap();
    input.write_all(b"{").unwrap();
    input.flush().unwrap();
    // Others are answered meanwhile.
    assert_eq!(w.ask("/version", &[]).0, 200);
    thread::sleep(Duration::from_secs(32));
    drop(input);
    let said = String::from_utf8(slow.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.ends_with("\n408") && said.contains("did not come in time"), "{said}");
}

#[test]
fn identities_and_held_requests_are_kept_apart_and_counted() {
    let w = start();
    // Two identities on one connection: each is answered by its own rights.
    let format = "%{http_code} %{num_connects}\n";
    let mut curl = w.curl();
    curl.args([
        "-o",
        "/dev/null",
        "-w",
        format,
        "-H",
        &w.bearer("agents"),
        &w.url("/version"),
        "--next",
        "-sS",
        "--cacert",
    ]);
    curl.arg(w.gateway.directory().join("state/dev-tls.crt"));
    curl.args(["-o", "/dev/null", "-w", format, "-H", &w.bearer("strangers"), &w.url("/version")]);
    let said = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    assert_eq!(said, "200 1\n403 0\n");
    // Of seventeen that would wait on one connection, one is told that it is too many.
    let mut curl = w.curl();
    curl.args([
        "--http2",
        "-Z",
        "--parallel-max",
        "30",
        "--max-time",
        "6",
        "-w",
        "\n%{http_code}\n",
        "-H",
        &w.bearer("agents"),
    ]);
    curl.args((0..17).map(|n| w.url(&format!("/api/v1/namespaces/a/pods/p{n}"))));
    let said = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    assert_eq!(said.matches("more than 16 of your requests wait already").count(), 1, "{said}");
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_slow_reader_costs_no_memory() {
    let mut w = start();
    assert_eq!(w.ask("/version", &[]).0, 200);
    let before = resident(w.gateway.process().pid());
    let mut curl = w.curl();
    curl.args(["--limit-rate", "10k", "--max-time", "5", "-o", "/dev/null", "-H", &w.bearer("agents")]);
    let mut slow = curl.arg(w.url("/version/endless-body")).spawn().unwrap();
    thread::sleep(Duration::from_secs(4));
    let after = resident(w.gateway.process().pid());
    slow.wait().unwrap();
    assert!(after < before + (24 << 20), "{before} {after}");
}
