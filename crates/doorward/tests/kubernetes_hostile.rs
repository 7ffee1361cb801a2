//! Kubernetes where the API server means ill, and the caller may not see everything: what it sends is masked, or does not
//! pass. A small server of the test's own, in clear on loopback, since no real one does these things.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::{doorward, kubernetes::BeforeAnything as World};
use doorward_testkit::{Kubectl, KubectlRelease};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Watches in which nothing happened, and which have ended.
static SILENT_ENDED: AtomicUsize = AtomicUsize::new(0);

/// Requests that were not answered, and how many of them the gateway has given up.
static MUTE_ASKED: AtomicUsize = AtomicUsize::new(0);
static MUTE_ENDED: AtomicUsize = AtomicUsize::new(0);

/// Secrets are nobody's to see; of pods, those without a label.
const POLICY: &str = r#"
@id("all") permit (principal, action, resource) unless { action == Action::"reveal" };
@id("pods") forbid (principal, action == Action::"list", resource is Pod) when { resource.hasTag("a") };
"#;

/// `hunter2`, as it stands in a secret.
const WORD: &str = "aHVudGVyMg==";
/// How much of an answer without end is sent at most.
const ENDLESS: usize = 256 << 20;

fn json(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn list(items: &str) -> Vec<u8> {
    json(&format!(r#"{{"kind":"SecretList","apiVersion":"v1","items":[{items}]}}"#))
}

fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body]
        .concat()
}

fn secret() -> String {
    format!(r#"{{"kind":"Secret","metadata":{{"name":"s"}},"data":{{"a":"{WORD}"}}}}"#)
}

/// What there is in a namespace of this name.
fn of_namespace(name: &str) -> Vec<u8> {
    let one = secret();
    match name {
        "plain" => list(&format!("{one},{one}")),
        "no-objects" => list(&format!(r#"1,"x",null,[],true,{one},{{}}"#)),
        "escaped" => list(&format!(r#"{{"d\u0061ta":{{"a":"{WORD}"}}}}"#)),
        "table" => list(&format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","data":{{"a":"{WORD}"}}}}"#)),
        "twice" => list(&format!(r#"{{"data":{{"a":"{WORD}"}},"data":{{}},"b":1}}"#)),
        "twice-items" => json(&format!(r#"{{"items":[{one}],"items":[{one}]}}"#)),
        "deep" => list(&format!(r#"{{"data":{}"{WORD}"{}}}"#, r#"{"a":"#.repeat(10_000), "}".repeat(10_000))),
        "escaped-items" => json(&format!(r#"{{"it\u0065ms":[{one}]}}"#)),
        "long" => list(&format!(r#"{{"data":{{"a":"{WORD}","b":"{}"}}}}"#, "x".repeat(5 << 20))),
        "nul" => json(&format!("{{\"items\":[{{\"data\":{{\"a\":\"\u{0}{WORD}\"}}}}]}}")),
        "not-utf-8" => {
            let body = [br#"{"items":[{"data":{"a":""#, &[0xff, 0xfe][..], WORD.as_bytes(), br#""}}]}"#].concat();
            with_head("200 OK\r\nContent-Type: application/json", &body)
        }
        "comma" => list(&format!("{one},")),
        "after" => json(&format!(r#"{{"items":[]}}{one}"#)),
        "wrong-type" => with_head("200 OK\r\nContent-Type: text/plain", one.as_bytes()),
        "protobuf" => with_head("200 OK\r\nContent-Type: application/vnd.kubernetes.protobuf", one.as_bytes()),
        "no-type" => with_head("200 OK", format!(r#"{{"items":[{one}]}}"#).as_bytes()),
        "packed" => with_head("200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip", one.as_bytes()),
        "switch" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\nhunter2".to_vec(),
        "half" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999";
            format!(r#"{head}{}{{"items":[{{"data":{{"a":"{WORD}"#, "\r\n\r\n").into_bytes()
        }
        "warned" => {
            with_head("200 OK\r\nContent-Type: application/json\r\nWarning: 299 - \"fine\"", br#"{"items":[]}"#)
        }
        _ => json("{}"),
    }
}

fn of_watch(name: &str) -> Vec<u8> {
    let one = secret();
    match name {
        "events" => json(&format!(r#"{{"type":"ADDED","object":{one}}}{{"type":"ADDED"}}"#)),
        "no-events" => json(&format!(r#"1 "x" null [] {one}"#)),
        "long-event" => json(&format!(r#"{{"type":"ADDED","object":{{"data":{{"a":"{WORD}{}"#, "x".repeat(5 << 20))),
        "deep-event" => json(&format!(r#"{{"object":{}{one}{}}}"#, "[".repeat(10_000), "]".repeat(10_000))),
        _ => json("{}"),
    }
}

/// Frames of SPDY that nobody asked for, once the upgrade is granted.
fn of_stream(name: &str) -> Vec<u8> {
    let granted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                   X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
    let frame: &[u8] = match name {
        "unopened-reset" => &[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 99, 0, 0, 0, 1],
        "unopened-data" => &[0, 0, 0, 99, 0, 0, 0, 7, b'h', b'u', b'n', b't', b'e', b'r', b'2'],
        "unknown-kind" => &[0x80, 3, 0, 5, 0, 0, 0, 0],
        "long-frame" => &[0x80, 3, 0, 2, 0, 0xff, 0xff, 0xff],
        "half-frame" => &[0x80, 3, 0, 2, 0, 0],
        _ => &[],
    };
    [granted.as_bytes(), frame].concat()
}

/// An event of a watch, every now and then.
fn ticking(out: &mut TcpStream) {
    let _sent = out.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n");
    for _ in 0..300 {
        if writeln!(out, r#"{{"type":"ADDED","object":{}}}"#, secret()).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn endless(out: &mut TcpStream) {
    let block = r#"{"metadata":{"name":"x"},"data":{"a":"eA=="}},"#.repeat(1000);
    let _sent = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"items\":[");
    for _ in 0..ENDLESS / block.len() {
        if out.write_all(block.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(stream: TcpStream) {
    let mut out = stream.try_clone().unwrap();
    let mut from = BufReader::new(stream);
    let mut lines = from.by_ref().lines();
    let Some(Ok(first)) = lines.next() else { return };
    while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
    let target = first.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let said = match parts.as_slice() {
        ["api"] => json(r#"{"kind":"APIVersions","versions":["v1"]}"#),
        ["apis"] => json(r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#),
        ["api", "v1"] => json(
            r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[
                {"name":"pods","singularName":"","namespaced":true,"kind":"Pod","verbs":["get","list"]}]}"#,
        ),
        ["api", "v1", "namespaces", "endless", "secrets"] => return endless(&mut out),
        ["api", "v1", "namespaces", "ticking", "secrets"] => return ticking(&mut out),
        ["api", "v1", "namespaces", "silent", "secrets"] => {
            let _sent = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
            // Until the gateway goes.
            let _gone = from.read_to_end(&mut Vec::new());
            SILENT_ENDED.fetch_add(1, Ordering::SeqCst);
            return;
        }
        ["api", "v1", "namespaces", "mute", "secrets"] => {
            MUTE_ASKED.fetch_add(1, Ordering::SeqCst);
            let _gone = from.read_to_end(&mut Vec::new());
            MUTE_ENDED.fetch_add(1, Ordering::SeqCst);
            return;
        }
        // Errors in plain text, once something is really written.
        ["api", "v1", "namespaces", name, "secrets", "one"]
            if first.starts_with("PATCH") && !query.contains("dryRun") =>
        {
            let what = match *name {
                "telling" => "cannot keep \"hunter2\"",
                "telling-bytes" => "cannot keep aHVudGVyMg==",
                "telling-later" => "cannot keep hunter2",
                "telling-long" => "cannot keep ",
                _ => "disk full",
            };
            let body = if *name == "telling-long" { what.repeat(10_000) } else { what.to_owned() };
            let head = "500 Internal Server Error\r\nContent-Type: text/plain";
            if *name == "telling-later" {
                let whole = with_head(head, body.as_bytes());
                let (first, rest) = whole.split_at(whole.len() - 4);
                let _sent = out.write_all(first);
                thread::sleep(Duration::from_millis(700));
                rest.to_vec()
            } else {
                with_head(head, body.as_bytes())
            }
        }
        ["api", "v1", "namespaces", _, "secrets", "one"] => json(&secret()),
        ["api", "v1", "namespaces", name, "secrets"] if query.contains("watch=true") => of_watch(name),
        ["api", "v1", "namespaces", name, "secrets"] => of_namespace(name),
        // A tree takes thirty times as much, while it is waited for the labels of its namespace.
        ["api", "v1", "pods"] => {
            json(&format!(r#"{{"items":[{{"metadata":{{"namespace":"slow"}},"x":[{}0]}}]}}"#, "0,".repeat(1_500_000)))
        }
        ["api", "v1", "namespaces", "slow"] => {
            thread::sleep(Duration::from_secs(5));
            json("{}")
        }
        ["api", "v1", "namespaces", _, "pods"] => json(
            r#"{"metadata":{"continue":"bmFtZQ","remainingItemCount":7},
                "rows":[{"cells":["hunter2"]},{"cells":["hunter2"],"object":{"kind":"PartialObjectMetadata"}}]}"#,
        ),
        ["api", "v1", "namespaces", _, "pods", name] => json(&format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"a"}},"spec":{{"containers":[{{"name":"c"}}]}}}}"#
        )),
        ["api", "v1", "namespaces", _, "pods", name, "exec"] => {
            let _sent = out.write_all(&of_stream(name));
            // Until the gateway goes.
            let _gone = from.read_to_end(&mut Vec::new());
            return;
        }
        _ => json("{}"),
    };
    let _sent = out.write_all(&said);
}

fn start() -> World {
    World::serving(answer, POLICY)
}

impl World {
    fn token(&self) -> String {
        self.issuer.token("ci-bot", &["agents"], &[])
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "10", "-w", "\n%{http_code}", "--cacert"]);
        curl.arg(self.gateway.directory().join("state/dev-tls.crt"));
        curl.args(["-H", &format!("Authorization: Bearer {}", self.token())]);
        curl.arg(format!("https://127.0.0.1:{}{path}", self.port));
        curl
    }

    /// Whether the answer came whole, and what there was of it.
    fn ask(&self, path: &str) -> (bool, String) {
        let out = self.curl(path).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn exec(&self, pod: &str) -> String {
        let directory = self.gateway.directory();
        let config = directory.join(format!("{pod}.kubeconfig"));
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: x, contexts: [{{name: x, context: {{cluster: x, user: x}}}}], \
             clusters: [{{name: x, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: '{}'}}}}], \
             users: [{{name: x, user: {{token: '{}'}}}}]}}",
            self.port,
            directory.join("state/dev-tls.crt").display(),
            self.token(),
        );
        std::fs::write(&config, text).unwrap();
        let kubectl = Kubectl::new(KubectlRelease::Debian, &config, directory).unwrap();
        let mut command = kubectl.command(&["exec", "-n", "a", pod, "--", "id"]);
        let mut child =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        // It waits for a stream that the server may never answer for.
        for _ in 0..40 {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let _over = child.kill();
        let out = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    }

    fn resident(&mut self) -> usize {
        let pid = self.gateway.process().pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

fn of(name: &str) -> String {
    format!("/api/v1/namespaces/{name}/secrets")
}

#[test]
fn what_an_api_server_sends_that_means_ill_is_masked_or_does_not_pass() {
    let mut w = start();
    // What can be read is masked.
    for (path, shows) in [
        (of("plain"), "W3NlY3JldF0="),
        (of("no-objects"), "W3NlY3JldF0="),
        (of("escaped"), "W3NlY3JldF0="),
        (of("table"), "W3NlY3JldF0="),
        (of("twice"), "\"b\""),
        (of("twice-items"), "W3NlY3JldF0="),
        (of("no-type"), "W3NlY3JldF0="),
        (of("warned"), "items"),
        (of("events") + "?watch=true", "W3NlY3JldF0="),
        (of("no-events") + "?watch=true", "W3NlY3JldF0="),
        (of("any") + "/one", "W3NlY3JldF0="),
    ] {
        let (whole, said) = w.ask(&path);
        assert!(whole && !said.contains(WORD) && said.contains(shows), "{path}: {said}");
    }
    // What cannot be read is not passed, and not taken for whole.
    for name in ["deep", "escaped-items", "long", "nul", "not-utf-8", "comma", "after", "half"] {
        let (whole, said) = w.ask(&of(name));
        assert!(!whole && !said.contains(WORD) && !said.contains("hunter2"), "{name}: {said}");
    }
    for name in ["long-event", "deep-event"] {
        let (whole, said) = w.ask(&(of(name) + "?watch=true"));
        assert!(!whole && !said.contains(WORD), "{name}: {said}");
    }
    for (name, code) in [("wrong-type", "406"), ("protobuf", "406"), ("packed", "502"), ("switch", "502")] {
        let (_, said) = w.ask(&of(name));
        assert!(said.ends_with(code) && !said.contains(WORD) && !said.contains("hunter2"), "{name}: {said}");
    }
    // Rows that cannot be judged are left out, and what a list says of them.
    let (whole, said) = w.ask("/api/v1/namespaces/a/pods");
    let hides = !said.contains("hunter2") && !said.contains("bmFtZQ") && !said.contains("remainingItemCount");
    assert!(whole && hides && said.contains("rows"), "{said}");
    // Errors in plain text tell no hidden value, however they come.
    for (name, shows, is_whole) in [
        ("plain", "disk full", true),
        ("telling", "[masked: ", true),
        ("telling-bytes", "[masked: ", true),
        ("telling-later", "[masked: ", true),
        ("telling-long", "", false),
    ] {
        let mut curl = w.curl(&(of(name) + "/one"));
        curl.args(["-X", "PATCH", "-H", "Content-Type: application/merge-patch+json", "-d", "{}"]);
        let out = curl.output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.success(), is_whole, "{name}: {said}");
        let hides = !said.contains("hunter") && !said.contains(WORD) && !said.contains("cannot keep");
        // A stream that is reset may lose its head with its body: no code then.
        let code = said.ends_with("500") || (!is_whole && said.ends_with("000"));
        assert!(hides && said.contains(shows) && code, "{name}: {said}");
    }
    // A list without end, read slowly, is not kept.
    let before = w.resident();
    let mut slow = w.curl(&of("endless"));
    slow.args(["--limit-rate", "10k", "--max-time", "4", "-o", "/dev/null"]);
    let mut slow = slow.spawn().unwrap();
    thread::sleep(Duration::from_secs(3));
    let after = w.resident();
    slow.wait().unwrap();
    assert!(after < before + (24 << 20), "{before} {after}");
}

/// A caller who leaves a watch in which nothing happens leaves nothing behind.
#[test]
fn quiet_watches_end_with_their_callers() {
    let w = start();
    for _ in 0..3 {
        let mut curl = w.curl(&(of("silent") + "?watch=true"));
        let out = curl.args(["--http2", "--max-time", "1"]).output().unwrap();
        assert_eq!(out.status.code(), Some(28), "it goes on until the caller leaves: {out:?}");
    }
    until("all three have ended", || SILENT_ENDED.load(Ordering::SeqCst) == 3);
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What is under way when its session is ended does not go on, however far it was: nothing is sent, or waited for.
#[test]
fn requests_under_way_end_with_their_session() {
    let ending =
        "@id(\"end\") permit (principal, action in [Action::\"view_sessions\", Action::\"kill_session\"], resource);";
    let w = World::serving(answer, &format!("{POLICY}{ending}"));
    let asking = w.curl(&of("mute")).stdout(std::process::Stdio::piped()).spawn().unwrap();
    until("the server is asked", || MUTE_ASKED.load(Ordering::SeqCst) == 1);
    let run = |args: &[&str]| doorward(&w.gateway.directory().join("state"), w.api, &w.token(), args);
    let (_, live) = run(&["sessions", "list", "--live"]);
    let id = live.split_whitespace().find(|word| word.len() == 36).unwrap_or_else(|| panic!("{live}"));
    let begun = Instant::now();
    let (ok, said) = run(&["sessions", "kill", id]);
    assert!(ok, "{said}");
    let said = String::from_utf8(asking.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("may have been carried out, or not") && said.ends_with("\n401"), "{said}");
    until("the server is left", || MUTE_ENDED.load(Ordering::SeqCst) == 1);
    // Far less than the ten seconds that the client would have waited.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// A right to see something that ends at a time ends streams that began before it.
#[test]
fn streams_end_when_the_time_hides_something() {
    let out = Command::new("date").args(["-u", "-d", "10 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let end = String::from_utf8(out.stdout).unwrap();
    let w = World::serving(
        answer,
        &format!(
            "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"late\") forbid (principal, action == Action::\"reveal\", resource is Field)\n\
         when {{ context.now >= datetime(\"{}\") }};",
            end.trim()
        ),
    );
    let (whole, said) = w.ask(&(of("ticking") + "?watch=true"));
    let shown = said.matches(WORD).count();
    assert!(!whole && shown > 0 && shown < 200, "{shown}: {said}");
}

/// Who sends too much hears so, over either version of HTTP, however much it is.
#[test]
fn bodies_that_are_too_large_are_answered() {
    let w = start();
    let file = w.gateway.directory().join("body");
    std::fs::File::create(&file).unwrap().set_len(200 << 20).unwrap();
    for (version, size) in [("--http2", 5), ("--http1.1", 5), ("--http2", 200), ("--http1.1", 200)] {
        let mut curl = w.curl(&of("any"));
        curl.args([version, "-X", "POST", "-H", "Content-Type: application/json", "--data-binary", "@-"]);
        let body = std::fs::File::open(&file).unwrap();
        let body = std::io::Read::take(body, size << 20);
        let out = curl_with(curl, body);
        println!("{version} {size} {:?} {}", out.status, String::from_utf8_lossy(&out.stderr));
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && said.contains("the body is too large"), "{version} {size}: {said}");
    }
}

fn curl_with(mut curl: Command, mut body: impl std::io::Read) -> std::process::Output {
    use std::process::Stdio;
    let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let _gone = std::io::copy(&mut body, &mut to);
    drop(to);
    child.wait_with_output().unwrap()
}

/// What is taken apart has room first, of all callers together.
#[test]
fn many_large_objects_at_once_wait_for_room() {
    let mut w = start();
    let before = w.resident();
    let mut all: Vec<_> = (0..12)
        .map(|_| w.curl("/api/v1/pods").args(["-o", "/dev/null", "--max-time", "60"]).spawn().unwrap())
        .collect();
    let mut most = 0;
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(100));
        most = most.max(w.resident());
    }
    for one in &mut all {
        one.kill().unwrap();
        one.wait().unwrap();
    }
    // One tree, and the texts.
    assert!(most < before + (400 << 20), "{before} {most}");
    let (whole, said) = w.ask("/api/v1/namespaces/any/secrets/one");
    assert!(whole && said.ends_with("200"), "{said}");
}

#[test]
fn streams_that_nobody_opened_end_the_connection() {
    let w = start();
    for pod in ["unopened-reset", "unopened-data", "unknown-kind", "long-frame", "half-frame"] {
        let said = w.exec(pod);
        assert!(!said.contains("hunter2"), "{pod}: {said}");
    }
    let state = w.gateway.directory().join("state");
    let (ok, said) = doorward(&state, w.api, "", &["audit", "list", "--event", "fault", "--output", "json"]);
    assert!(ok, "{said}");
    assert_eq!(said.matches("SPDY: ").count(), 4, "{said}");
    assert_eq!(said.matches("\"upstream\"").count(), 4, "{said}");
}
