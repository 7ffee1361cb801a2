//! `held = "retry"`: a held request is refused at once, and the same one passes when people have approved it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::kubernetes::{KubernetesWorld, More};
use doorward_testkit::{Kubectl, KubectlRelease};
use serde_json::Value;
use std::{
    io::Write as _,
    process::{Output, Stdio},
};

const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("prod") @approvers("sre") @quorum("1") @expires("15m") @reason("production is not for playing")
forbid (
  principal,
  action in [
    Action::"delete", Action::"exec", Action::"attach", Action::"cp", Action::"portforward", Action::"patch", Action::"create"
  ],
  resource
)
when {
  (resource is Pod && resource.hasTag("environment") && resource.getTag("environment") == "prod") ||
  (resource is ApiObject && resource.kind == "configmaps")
}
unless { context.approved };
@id("no-shells") forbid (principal, action, resource is Program) when { resource.name == "sh" };
@id("soon") @approvers("sre") @expires("3s")
forbid (principal, action == Action::"delete", resource is ApiObject)
when { resource.kind == "services" }
unless { context.approved };
"#;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Service
metadata: { name: front, namespace: shop }
spec: { ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: prod, namespace: shop, labels: { environment: prod } }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: "example.com/prod:1", command: [sleep, infinity] }]
---
apiVersion: v1
kind: Pod
metadata: { name: hears, namespace: shop, labels: { environment: prod } }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: "example.com/prod:1", command: [cat], stdin: true }]
---
apiVersion: v1
kind: Pod
metadata: { name: shell, namespace: shop }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: "example.com/prod:1", command: [/bin/sh], stdin: true }]
"#;

const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME, namespace: shop}, data: {x: '1'}}";

fn text(out: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}[{}]", said(&out.stdout), said(&out.stderr), out.status.code().unwrap_or(-1))
}

fn said(kubectl: &Kubectl, args: &[&str]) -> String {
    text(&kubectl.output(args).unwrap())
}

fn created(kubectl: &Kubectl, name: &str) -> String {
    text(&kubectl.output_with(&["create", "-f", "-"], CONFIG.replace("NAME", name).as_bytes()).unwrap())
}

#[track_caller]
fn assert_said(said: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}

/// The approval that a refusal names.
#[track_caller]
fn id_in(said: &str) -> String {
    assert_said(
        said,
        &["doorward: ", " is held for approval by sre", "ask again, unchanged, once it is approved", "[1]"],
    );
    let id = said.split("; approval ").nth(1).and_then(|rest| rest.split(": ").next());
    id.unwrap_or_else(|| panic!("no id in: {said}")).to_owned()
}

fn decided(w: &KubernetesWorld, verb: &str, id: &str, token: &str, comment: &str) -> (bool, String) {
    let mut last = (false, String::new());
    // The desk keeps a request a moment after its caller was told.
    for _ in 0..40 {
        last = w.doorward(token, &["approvals", verb, id, "--comment", comment]);
        if !last.1.contains("no such approval") {
            return last;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    last
}

fn decide(w: &KubernetesWorld, verb: &str, id: &str) {
    let (ok, said) = decided(w, verb, id, &w.token("anna", "sre"), "ticket 4711");
    assert!(ok, "{said}");
}

fn pending(w: &KubernetesWorld) -> Vec<String> {
    let (ok, said) = w.doorward(&w.token("anna", "sre"), &["approvals", "list", "--output", "json"]);
    assert!(ok, "{said}");
    let all: Vec<Value> = serde_json::from_str(&said).unwrap();
    all.iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect()
}

/// Refused with an id, approved, passes once, is held anew.
fn once(w: &KubernetesWorld) {
    let (agent, admin) = (w.kubectl("ci-bot", "agents"), w.cluster.kubectl().unwrap());
    for name in ["a", "b"] {
        admin.apply(&CONFIG.replace("NAME", name)).unwrap();
    }
    let delete = ["delete", "configmap", "a", "-n", "shop"];
    let first = said(&agent, &delete);
    assert_said(&first, &["Error from server (Forbidden): ", "production is not for playing", "15 min", "/approvals/"]);
    let id = id_in(&first);
    assert_eq!(id_in(&said(&agent, &delete)), id, "people are asked once");
    assert_eq!(pending(w), std::slice::from_ref(&id));
    let (ok, told) = decided(w, "approve", &id, &w.token("ci-bot", "sre"), "mine");
    assert!(!ok && told.contains("nobody decides their own request"), "{told}");
    assert_eq!(id_in(&said(&agent, &delete)), id, "it waits still");
    decide(w, "approve", &id);
    // Neither another caller nor another request profits from it.
    let other = id_in(&said(&w.kubectl("eve", "agents"), &delete));
    let changed = id_in(&said(&agent, &["delete", "configmap", "a", "-n", "shop", "--grace-period=5"]));
    assert!(id != other && id != changed && other != changed);
    let namesake = id_in(&said(&agent, &["delete", "configmap", "b", "-n", "shop"]));
    assert_ne!(namesake, id);
    assert_said(&said(&agent, &delete), &["configmap \"a\" deleted", "[0]"]);
    // The same again, and the object is another one; approved anew, and replaced once more before it is used.
    admin.apply(&CONFIG.replace("NAME", "a")).unwrap();
    let again = id_in(&said(&agent, &delete));
    assert_ne!(again, id);
    decide(w, "approve", &again);
    admin.run(&delete).unwrap();
    admin.apply(&CONFIG.replace("NAME", "a")).unwrap();
    let replaced = id_in(&said(&agent, &delete));
    assert_ne!(replaced, again, "another object of this name");
    for id in [other, changed, namesake, replaced] {
        decide(w, "deny", &id);
    }
    written_down(w, &id);
}

/// Each step of an approval is in the audit log: held, asked for, held again, decided, used.
fn written_down(w: &KubernetesWorld, id: &str) {
    let requests: Vec<Value> = w.audit("request").into_iter().filter(|e| e["approval"] == id).collect();
    let outcomes: Vec<&str> = requests.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["hold", "hold", "hold", "forward"], "{requests:#?}");
    assert!(requests.iter().all(|e| e["statement"] == "delete configmaps shop/a"));
    let session = |n: usize| requests[n]["session"].as_str().unwrap();
    assert_ne!(session(0), session(3), "the session that used it is named");
    for (kind, times) in [("approval_requested", 1), ("approval_decided", 1), ("approval_ended", 0)] {
        assert_eq!(w.audit(kind).iter().filter(|e| e["approval"] == id).count(), times, "{kind}");
    }
    let (_, listed) = w.doorward("", &["audit", "list", "--event", "request"]);
    let used = listed.lines().find(|l| l.contains(id) && l.contains("outcome=forward"));
    assert_said(used.unwrap_or_default(), &["statement=delete configmaps shop/a", "policies=[\"all\",\"prod\"]"]);
}

/// A stream is refused before its upgrade, and approved for either wire.
fn streams(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let exec = ["exec", "-n", "shop", "prod", "--", "echo", "in production"];
    let id = id_in(&said(&agent, &exec));
    assert_eq!(pending(w), std::slice::from_ref(&id), "kubectl has tried two wires: people are asked once");
    decide(w, "approve", &id);
    let other = id_in(&said(&agent, &["exec", "-n", "shop", "prod", "--", "echo", "elsewhere"]));
    assert_eq!(said(&agent, &exec), "in production\n[0]");
    let again = id_in(&said(&agent.clone().over_spdy(), &exec));
    assert!(again != id && again != other);
    decide(w, "approve", &again);
    assert_eq!(said(&agent.clone().over_spdy(), &exec), "in production\n[0]");
    // A denial is told by kubectl, though it asks on two wires.
    let denied = id_in(&said(&agent, &exec));
    decide(w, "deny", &denied);
    assert_said(&said(&agent, &exec), &["denied by dev/anna", "ticket 4711", &denied, "[1]"]);
    assert_said(&said(&agent, &exec), &["denied by dev/anna", &denied]);
    assert_eq!(pending(w), std::slice::from_ref(&other), "nobody is asked by that");
    decide(w, "deny", &other);
    std::thread::sleep(std::time::Duration::from_secs(11));
    let anew = id_in(&said(&agent, &exec));
    assert_ne!(anew, denied);
    decide(w, "deny", &anew);
    let debian = w.kubectl_with(KubectlRelease::Debian, &w.token("old-bot", "agents"));
    let id = id_in(&said(&debian, &exec));
    decide(w, "approve", &id);
    assert_said(&said(&debian, &exec), &["in production\n", "[0]"]);
}

/// What a command says that is ended after a while.
fn said_in(kubectl: &Kubectl, args: &[&str], input: &str, wanted: &str) -> String {
    let file = std::env::temp_dir().join(format!("doorward-retry-{}", std::process::id()));
    let out = std::fs::File::create(&file).unwrap();
    let mut child =
        kubectl.command(args).stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let _gone = to.write_all(input.as_bytes());
    for _ in 0..100 {
        let shown = std::fs::read_to_string(&file).unwrap();
        if shown.contains(wanted) || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let _over = child.kill();
    let code = child.wait().unwrap().code();
    let shown = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    format!("{shown}[{}]", code.unwrap_or(-1))
}

/// Attach, forwards and copies, over either wire, each refused before its upgrade and passed once.
fn other_roads(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    for agent in [&agent, &agent.clone().over_spdy()] {
        let attach = ["attach", "-i", "-n", "shop", "hears"];
        let id = id_in(&said_in(agent, &attach, "hello\n", "hello"));
        decide(w, "approve", &id);
        assert_said(&said_in(agent, &attach, "hello\n", "hello"), &["hello\n", "[-1]"]);
        assert_ne!(id_in(&said_in(agent, &attach, "hello\n", "hello")), id, "once; then on the other wire");
        let forward = ["port-forward", "-n", "shop", "pod/prod", ":8080"];
        let id = id_in(&said_in(agent, &forward, "", "Forwarding from"));
        decide(w, "approve", &id);
        assert_said(&said_in(agent, &forward, "", "Forwarding from"), &["Forwarding from 127.0.0.1:", "[-1]"]);
        let (there, back) = (w.gateway.directory().join("there"), w.gateway.directory().join("back"));
        std::fs::write(&there, "hello").unwrap();
        let up = ["cp", there.to_str().unwrap(), "shop/prod:/tmp/retried"];
        let id = id_in(&said(agent, &up));
        decide(w, "approve", &id);
        assert_said(&said(agent, &up), &["[0]"]);
        let down = ["cp", "shop/prod:/tmp/retried", back.to_str().unwrap()];
        let id = id_in(&said(agent, &down));
        decide(w, "approve", &id);
        assert_said(&said(agent, &down), &["[0]"]);
        assert_eq!(std::fs::read(&back).unwrap(), b"hello");
    }
    for id in pending(w) {
        decide(w, "deny", &id);
    }
    assert_eq!(w.audit("file_copied").len(), 4);
    // To attach to a shell is to run one.
    for refused in
        [&["attach", "-i", "-n", "shop", "shell"][..], &["exec", "-i", "-n", "shop", "shell", "--", "/bin/sh"]]
    {
        for agent in [&agent, &agent.clone().over_spdy()] {
            assert_said(&said_in(agent, refused, "id\n", "uid="), &["`no-shells`", "[1]"]);
        }
    }
}

/// In whose name it is belongs to what is approved.
fn as_somebody(w: &KubernetesWorld) {
    let (agent, admin) = (w.kubectl("ci-bot", "agents"), w.cluster.kubectl().unwrap());
    admin.apply(&CONFIG.replace("NAME", "c")).unwrap();
    let plain = ["delete", "configmap", "c", "-n", "shop"];
    let of = |who: &'static str| [&plain[..], &[who, "--as-group=system:masters"]].concat();
    let (eve, bob) = (of("--as=eve"), of("--as=bob"));
    let id = id_in(&said(&agent, &eve));
    decide(w, "approve", &id);
    let others = [id_in(&said(&agent, &plain)), id_in(&said(&agent, &bob))];
    assert!(!others.contains(&id));
    assert_said(&said(&agent, &eve), &["configmap \"c\" deleted", "[0]"]);
    for id in others {
        decide(w, "deny", &id);
    }
}

/// Who approved is in the recording of the session that used it.
fn recorded(w: &KubernetesWorld) {
    let used = |e: &Value| e["outcome"] == "forward" && e["approval"].is_string();
    let requests: Vec<Value> = w.audit("request").into_iter().filter(used).collect();
    for statement in ["delete configmaps shop/a", "exec pods shop/prod", "attach pods shop/hears", "cp pods shop/prod"]
    {
        let one = requests.iter().find(|e| e["statement"].as_str().unwrap().starts_with(statement));
        let session = one.unwrap_or_else(|| panic!("no {statement}"))["session"].as_str().unwrap().to_owned();
        let (ok, shown) = w.doorward("", &["sessions", "replay", &session, "--speed", "0"]);
        assert!(ok && shown.contains("* approved by dev/anna"), "{statement}: {shown}");
    }
}

/// A gateway that was started anew goes on asking for what waited; nothing passes by an old yes, which might have been used.
fn restarted(w: &mut KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let approved = id_in(&created(&agent, "kept"));
    decide(w, "approve", &approved);
    let waits = id_in(&created(&agent, "waits"));
    let before = pending(w);
    w.gateway.restart().unwrap();
    assert_eq!(pending(w), before, "what waited waits");
    let (anew, again) = (id_in(&created(&agent, "kept")), id_in(&created(&agent, "waits")));
    assert!(anew != approved && again == waits);
    decide(w, "approve", &anew);
    assert_said(&created(&agent, "kept"), &["configmap/kept created", "[0]"]);
    decide(w, "deny", &again);
    let forwarded = |e: &&Value| e["approval"] == *approved && e["outcome"] == "forward";
    assert_eq!(w.audit("request").iter().filter(forwarded).count(), 0);
}

/// Of two that ask at once after one approval, one passes.
fn two_at_once(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let id = id_in(&created(&agent, "twice"));
    decide(w, "approve", &id);
    let create = || {
        let manifest = w.gateway.directory().join("twice.yaml");
        std::fs::write(&manifest, CONFIG.replace("NAME", "twice")).unwrap();
        let mut command = agent.command(&["create", "-f", manifest.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let racers: Vec<_> = (0..4).map(|_| create()).collect();
    let told: Vec<String> = racers.into_iter().map(|c| text(&c.wait_with_output().unwrap())).collect();
    assert_eq!(told.iter().filter(|t| t.contains("configmap/twice created")).count(), 1, "{told:#?}");
    assert!(told.iter().filter(|t| t.contains("[1]")).count() == 3, "{told:#?}");
    let forwarded = |e: &&Value| e["approval"] == *id && e["outcome"] == "forward";
    assert_eq!(w.audit("request").iter().filter(forwarded).count(), 1);
    for id in pending(w) {
        decide(w, "deny", &id);
    }
}

/// What nobody decides, or nobody uses, ends by itself.
fn expiry(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let delete = ["delete", "service", "front", "-n", "shop"];
    let first = id_in(&said(&agent, &delete));
    std::thread::sleep(std::time::Duration::from_millis(3500));
    let told = said(&agent, &delete);
    assert_said(&told, &[&format!("approval {first} before it ended unused")]);
    let second = id_in(&told);
    assert_ne!(first, second);
    decide(w, "approve", &second);
    std::thread::sleep(std::time::Duration::from_millis(3500));
    let told = said(&agent, &delete);
    assert_said(&told, &[&format!("approval {second} before it ended unused")]);
    let ended =
        |id: &str| -> Vec<Value> { w.audit("approval_ended").into_iter().filter(|e| e["approval"] == id).collect() };
    assert_eq!(ended(&first)[0]["reason"], "expired");
    assert_eq!(ended(&second)[0]["reason"], "approved, but not used in time");
    assert_eq!((ended(&first).len(), ended(&second).len()), (1, 1));
}

/// A caller has so many requests before people, and what was decided is judged by the policies of the moment.
fn bounds_and_policies(w: &KubernetesWorld) {
    let agent = w.kubectl("flood", "agents");
    let ids: Vec<String> = (0..16).map(|n| id_in(&created(&agent, &format!("flood-{n}")))).collect();
    assert_said(&created(&agent, "flood-16"), &["16 of your requests wait already", "[1]"]);
    decide(w, "approve", &ids[0]);
    let policy = w.gateway.directory().join("policy.cedar");
    let forbid = "@id(\"closed\") forbid (principal, action == Action::\"create\", resource is ApiObject);\n";
    std::fs::write(&policy, format!("{POLICY}{forbid}")).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_said(&created(&agent, "flood-0"), &["`closed`", "[1]"]);
    std::fs::write(&policy, POLICY).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_said(&created(&agent, "flood-0"), &["created", "[0]"]);
    let room = id_in(&created(&agent, "flood-16"));
    assert!(!ids.contains(&room));
    let (ok, verified) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{verified}");
}

#[test]
fn the_same_request_passes_once_it_is_approved() {
    let more = |_: &_, _: &str| More { connection: "held = \"retry\"\n".to_owned(), ..More::default() };
    let mut w = KubernetesWorld::with(POLICY, more);
    let admin = w.cluster.kubectl().unwrap();
    admin.apply(OBJECTS).unwrap();
    admin.run(&["wait", "-n", "shop", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]).unwrap();
    once(&w);
    streams(&w);
    other_roads(&w);
    as_somebody(&w);
    recorded(&w);
    two_at_once(&w);
    expiry(&w);
    restarted(&mut w);
    bounds_and_policies(&w);
}
