//! `exec` and `attach` end to end over SPDY: Debian's kubectl 1.20, which has nothing else, and the current one told to. Masked,
//! held, ended, attacked as over WebSocket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::kubernetes::KubernetesWorld;
use doorward_testkit::{Kubectl, KubectlRelease};
use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const EXAMPLE: &str = include_str!("../../../policies/examples/kubernetes.cedar");
const TRUSTED: &str = "@id(\"trusted\") permit (principal in Group::\"trusted\", action, resource);\n";

const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Pod
metadata: { name: dev, namespace: shop, labels: { environment: dev } }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: "example.com/dev:1", command: [sleep, infinity] }]
---
apiVersion: v1
kind: Pod
metadata: { name: prod, namespace: shop, labels: { environment: prod } }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: "example.com/prod:1", command: [sleep, infinity] }]
"#;

/// Speaks SPDY by hand: what is on the command line goes to the gateway behind the upgrade; what comes back is counted.
const BY_HAND: &str = r#"
import socket, ssl, sys
port, token, payload, stays = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.stdin.read()), sys.argv[3] == "stays"
context = ssl._create_unverified_context()
tls = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
tls.settimeout(15)
tls.sendall((f"POST /api/v1/namespaces/shop/pods/dev/exec?command=cat&stdin=true&stdout=true HTTP/1.1\r\nHost: x\r\n"
  f"Authorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
  "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n").encode())
head = b""
while b"\r\n\r\n" not in head:
    more = tls.recv(1)
    if not more: break
    head += more
print(head.split(b"\r\n")[0].decode())
try:
    tls.sendall(payload)
    if stays:
        while tls.recv(65536): pass
        print("closed")
except (OSError, ssl.SSLError) as e:
    print("closed" if not isinstance(e, TimeoutError) else "open")
"#;

fn text(out: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}[{}]", said(&out.stdout), said(&out.stderr), out.status.code().unwrap_or(-1))
}

fn said(kubectl: &Kubectl, args: &[&str]) -> String {
    text(&kubectl.output(args).unwrap())
}

#[track_caller]
fn assert_said(said: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}

fn started(kubectl: &Kubectl, args: &[&str]) -> Child {
    kubectl.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn pending(w: &KubernetesWorld, sre: &str) -> String {
    let mut id = String::new();
    until("nothing is held", || {
        let (_, said) = w.doorward(sre, &["approvals", "list", "--output", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_default();
        id = all.first().and_then(|a| a["id"].as_str()).unwrap_or_default().to_owned();
        !id.is_empty()
    });
    id
}

fn runs(agent: &Kubectl) {
    let exec = |words: &[&str]| said(agent, &[&["exec", "-n", "shop", "dev", "--"], words].concat());
    assert_eq!(exec(&["echo", "hi"]), "hi\n[0]");
    assert_said(&exec(&["sh", "-c", "echo out; echo err >&2; exit 7"]), &["out\n", "err\n", "exit code 7", "[7]"]);
    // What may be the beginning of something is kept back for half a second (docs/protocols/ssh.md): a busy machine may take longer.
    let parts = ["sh", "-c", "printf '4111 1111 '; sleep 0.1; echo 1111 1111"];
    assert!((0..20).any(|_| exec(&parts) == "[credit_card]\n[0]"), "{}", exec(&parts));
    let split = exec(&["sh", "-c", "printf '4111 1111 1111 1111' >&2; sleep 0.7; exit 3"]);
    assert_said(&split, &["[credit_card]", "[3]"]);
    let piped = agent.output_with(&["exec", "-i", "-n", "shop", "dev", "--", "wc", "-c"], &vec![b'x'; 3_000_000]);
    assert_eq!(text(&piped.unwrap()), "3000000\n[0]");
    // Who reads no more has still said something.
    let head = ["exec", "-i", "-n", "shop", "dev", "--", "sh", "-c", "head -c 2; exit 4"];
    let out = text(&agent.output_with(&head, &vec![b'y'; 3_000_000]).unwrap());
    // A connection that is cut with input unread may lose what was said last, all of it on a busy machine. It never
    // becomes a success.
    assert!(!out.contains("[0]") && (out.contains("yy") || out.contains("did not say how")), "{out}");
}

fn waits(w: &KubernetesWorld, agent: &Kubectl) {
    let sre = w.token("anna", "sre");
    let mut child = started(agent, &["exec", "-i", "-n", "shop", "prod", "--", "sh", "-c", "cat; exit 5"]);
    child.stdin.take().unwrap().write_all(b"said early\n").unwrap();
    let id = pending(w, &sre);
    std::thread::sleep(Duration::from_millis(500));
    assert!(w.doorward(&sre, &["approvals", "approve", &id]).0);
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "said early\n");
    assert_said(&text(&out), &["held for approval by sre", "doorward: approved", "[5]"]);
    let held = ["exec", "-n", "shop", "prod", "--", "id"];
    let child = started(agent, &held);
    let id = pending(w, &sre);
    assert!(w.doorward(&sre, &["approvals", "deny", &id, "--comment", "not today"]).0);
    assert_said(&text(&child.wait_with_output().unwrap()), &["held for approval", "not today", "[1]"]);
    let mut child = started(agent, &held);
    let id = pending(w, &sre);
    child.kill().unwrap();
    child.wait().unwrap();
    until("it still waits", || !w.doorward(&sre, &["approvals", "list", "--output", "json"]).1.contains(&id));
}

/// In a terminal: its size, and the hold that is told there.
fn terminals(w: &KubernetesWorld, agent: &Kubectl) {
    let sre = w.token("anna", "sre");
    let typed = |args: &[&str]| {
        let command = agent.command(args);
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let line: Vec<_> = words.iter().map(|w| format!("'{}'", w.to_str().unwrap())).collect();
        let mut script = Command::new("script");
        script.args(["-qefc", &format!("stty rows 33 cols 77; {}", line.join(" ")), "/dev/null"]);
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = typed(&["exec", "-it", "-n", "shop", "dev", "--", "sh", "-c", "sleep 1; stty size"]);
    let input = child.stdin.take();
    assert_said(&text(&child.wait_with_output().unwrap()), &["33 77", "[0]"]);
    drop(input);
    let mut child = typed(&["exec", "-it", "-n", "shop", "prod", "--", "sh", "-c", "sleep 1; stty size"]);
    let input = child.stdin.take();
    let id = pending(w, &sre);
    std::thread::sleep(Duration::from_millis(500));
    assert!(w.doorward(&sre, &["approvals", "approve", &id]).0);
    assert_said(&text(&child.wait_with_output().unwrap()), &["held for approval", "33 77", "[0]"]);
    drop(input);
    // Ctrl-C takes it back.
    let mut child = typed(&["exec", "-it", "-n", "shop", "prod", "--", "id"]);
    let mut input = child.stdin.take().unwrap();
    let id = pending(w, &sre);
    std::thread::sleep(Duration::from_millis(500));
    input.write_all(b"\x03").unwrap();
    until("it still waits", || !w.doorward(&sre, &["approvals", "list", "--output", "json"]).1.contains(&id));
    assert!(!text(&child.wait_with_output().unwrap()).contains("uid="));
}

/// Nothing is hidden, nothing is changed: a hundred megabytes there and back.
fn large(trusted: &Kubectl) {
    let mut bytes = Vec::with_capacity(100 << 20);
    let mut state = 1_u64;
    while bytes.len() < 100 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    let out = trusted.output_with(&["exec", "-i", "-n", "shop", "dev", "--", "cat"], &bytes).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.stdout == bytes, "{} bytes came back, or others", out.stdout.len());
}

fn ends(w: &KubernetesWorld, agent: &Kubectl, policy: &str) {
    let lives_on = ["exec", "-i", "-n", "shop", "dev", "--", "sh", "-c", "echo up; exec sleep 100"];
    let mut shell = started(agent, &lives_on);
    shell.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    assert!(shell.try_wait().unwrap().is_none(), "it runs");
    let file = w.gateway.directory().join("policy.cedar");
    let forbid = "@id(\"closed\") forbid (principal, action == Action::\"exec\", resource);\n";
    std::fs::write(&file, format!("{policy}{forbid}")).unwrap();
    until("the command goes on", || shell.try_wait().unwrap().is_some());
    assert_said(&text(&shell.wait_with_output().unwrap()), &["ended: ", "`closed`", "[1]"]);
    std::fs::write(&file, policy).unwrap();
    until("it is not opened again", || said(agent, &["exec", "-n", "shop", "dev", "--", "echo", "hi"]) == "hi\n[0]");
}

fn by_hand(w: &KubernetesWorld, payload: &str, stays: &str) -> String {
    let token = w.token("ci-bot", "agents");
    let mut python = Command::new("python3");
    python.args(["-c", BY_HAND, &w.port.to_string(), &token, stays]);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    text(&child.wait_with_output().unwrap())
}

/// What no kubectl would say.
fn attacks(w: &KubernetesWorld) {
    let error = "8003000100000024000000010000000000007\
                 8f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff";
    let error = error.replace("8003000100000024", &format!("80030001000000{:02x}", 10 + 28));
    let zeros = "00".repeat(1 << 20);
    let pings: String = (0..50_000_u32).map(|n| format!("8003000600000004{:08x}", 2 * n + 1)).collect();
    for (what, payload) in [
        ("another protocol", "474554202f20485454502f312e310d0a0d0a".to_owned()),
        ("a frame too long", "8003000100ffffff".to_owned()),
        ("an unknown kind", "8003000a00000000".to_owned()),
        ("a stream that nobody opened", "000000010000000161".to_owned()),
        ("zeros", zeros),
        ("the same stream twice", format!("{error}{error}")),
    ] {
        let said = by_hand(w, &payload, "stays");
        assert_said(&said, &["101 Switching Protocols", "closed"]);
        assert!(!said.contains("open\n"), "{what}: {said}");
    }
    // Half a frame, nothing at all, and pings without an end.
    for payload in [error.get(..30).unwrap(), "", &pings] {
        assert_said(&by_hand(w, payload, "leaves"), &["101 Switching Protocols"]);
    }
    let faults = w.audit("fault");
    let spdy = faults.iter().filter(|f| f["what"].as_str().unwrap_or_default().starts_with("SPDY: "));
    assert!(spdy.clone().count() >= 6 && spdy.clone().all(|f| f["at_fault"] == "client"), "{faults:#?}");
}

#[test]
fn kubectl_of_old_is_served_like_the_new_one() {
    let policy = format!("{EXAMPLE}{TRUSTED}");
    let w = KubernetesWorld::start(&policy);
    let admin = w.cluster.kubectl().unwrap();
    admin.apply(PODS).unwrap();
    admin.run(&["wait", "-n", "shop", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]).unwrap();
    let token = w.token("ci-bot", "agents");
    let old = w.kubectl_with(KubectlRelease::Debian, &token);
    let forced = w.kubectl_with(KubectlRelease::Current, &token).over_spdy();
    let new = w.kubectl_with(KubectlRelease::Current, &token);
    for kubectl in [&old, &forced, &new] {
        runs(kubectl);
        waits(&w, kubectl);
    }
    terminals(&w, &old);
    terminals(&w, &new);
    ends(&w, &old, &policy);
    attacks(&w);
    runs(&forced);
    let trusted = w.token("root", "trusted");
    large(&w.kubectl_with(KubectlRelease::Current, &trusted).over_spdy());
    large(&w.kubectl_with(KubectlRelease::Debian, &trusted));
    let (ok, verified) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{verified}");
}
