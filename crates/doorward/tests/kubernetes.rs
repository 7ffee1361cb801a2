//! Kubernetes end to end: kubectl through the gateway to a real API server, whose node runs real commands.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod kubernetes_pages;

use common::{browser::people, kubernetes::KubernetesWorld};
use doorward_testkit::{Kubectl, KubernetesMatrix};
use std::{
    io::Read as _,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

const POLICY: &str = include_str!("../../../policies/examples/kubernetes.cedar");

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
  containers: [{ name: main, image: "example.com/dev:1", command: [sh, -c, "echo card 4111 1111 1111 1111; sleep 9999"] }]
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
metadata: { name: root, namespace: shop, labels: { environment: dev } }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: "example.com/root:1", command: [sleep, infinity], securityContext: { privileged: true } }]
---
apiVersion: v1
kind: Secret
metadata: { name: key, namespace: shop }
stringData: { password: hunter2 }
"#;

fn text(out: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}[{}]", said(&out.stdout), said(&out.stderr), out.status.code().unwrap_or(-1))
}

/// The policies, with people for the pages.
fn policy() -> String {
    format!("{POLICY}{}", people("sre"))
}

fn world() -> KubernetesWorld {
    let w = KubernetesWorld::start(&policy());
    let admin = w.cluster.kubectl().unwrap();
    admin.apply(PODS).unwrap();
    admin.run(&["wait", "-n", "shop", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]).unwrap();
    w
}

fn said(kubectl: &Kubectl, args: &[&str]) -> String {
    text(&kubectl.output(args).unwrap())
}

fn applied(kubectl: &Kubectl, manifest: &str) -> String {
    text(&kubectl.output_with(&["apply", "-f", "-"], manifest.as_bytes()).unwrap())
}

#[track_caller]
fn assert_said(said: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}

/// What an agent is there for works as it does without the gateway.
fn reads_and_writes(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let admin = w.cluster.kubectl().unwrap();
    for args in [
        &["get", "pods", "-n", "shop", "-o", "name"][..],
        &["get", "pods", "-n", "shop", "-l", "environment=dev", "-o", "jsonpath={.items[*].metadata.name}"],
        &["get", "pod", "dev", "-n", "shop", "-o", "jsonpath={.spec.containers[0].image}"],
        &["get", "namespaces", "-o", "name"],
        &["get", "--raw", "/version"],
        &["api-resources", "--no-headers", "-o", "name", "--sort-by=name"],
        &["explain", "pod.spec.hostNetwork"],
    ] {
        assert_eq!(said(&agent, args), said(&admin, args), "{args:?}");
    }
    assert_said(&said(&agent, &["get", "pods", "-n", "shop"]), &["NAME", "dev", "Running"]);
    let config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}, data: {x: '1'}}";
    assert_eq!(applied(&agent, config), "configmap/a created\n[0]");
    assert_eq!(applied(&agent, &config.replace("'1'", "'2'")), "configmap/a configured\n[0]");
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let out = agent.output_with(&server_side, config.replace("'1'", "'3'").as_bytes()).unwrap();
    assert_eq!(text(&out), "configmap/a serverside-applied\n[0]");
    let value = ["get", "configmap", "a", "-n", "shop", "-o", "jsonpath={.data.x}"];
    assert_eq!(said(&admin, &value), "3[0]");
    assert_said(&said(&agent, &["label", "configmap", "a", "-n", "shop", "k=v"]), &["labeled", "[0]"]);
    assert_said(&said(&agent, &["delete", "configmap", "a", "-n", "shop"]), &["deleted", "[0]"]);
    assert_said(&said(&agent, &["get", "configmap", "a", "-n", "shop"]), &["(NotFound)", "[1]"]);
    let invalid = "{apiVersion: v1, kind: ConfigMap, metadata: {name: A_b, namespace: shop}}";
    assert_said(&applied(&agent, invalid), &["is invalid", "[1]"]);
}

/// What policy refuses, in words that kubectl prints.
fn refusals(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    for args in [
        &["get", "secrets", "-A"][..],
        &["get", "secret", "key", "-n", "shop", "-o", "yaml"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets/key"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets?watch=true"],
        &["describe", "secret", "key", "-n", "shop"],
    ] {
        assert_said(&said(&agent, args), &["Error from server (Forbidden)", "`no-secrets`", "[1]"]);
    }
    let encoded = said(&agent, &["get", "--raw", "/api/v1/namespaces/shop/%73ecrets/key"]);
    assert_said(&encoded, &["`no-secrets`"]);
    // What kubectl would tidy up before it sends it.
    let curl = |path: &str| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "--path-as-is", "--cacert"]).arg(w.ca());
        curl.args(["-H", &format!("Authorization: Bearer {}", w.token("ci-bot", "agents"))]);
        text(&curl.arg(format!("https://127.0.0.1:{}{path}", w.port)).output().unwrap())
    };
    assert_said(&curl("/api/v1/namespaces/shop/pods/..%2fsecrets/key"), &["BadRequest", "encoded slash"]);
    assert_said(&curl("/api/v1/namespaces/shop/pods/../secrets/key"), &["`.` or `..`"]);
    assert_said(&curl("//api/v1/namespaces/shop/secrets"), &["empty segment"]);
    assert_said(&curl("/api/v1/namespaces/shop/secrets/key?x=1;y"), &["semicolon"]);
    assert_said(&said(&agent, &["get", "pods", "-n", "shop", "--as=system:admin"]), &["impersonate", "Forbidden"]);
    assert_said(&said(&agent, &["get", "--raw", "/metrics"]), &["no policy allows opaque", "/metrics"]);
    assert_said(&said(&agent, &["create", "token", "default", "-n", "shop"]), &["impersonate", "[1]"]);
    let binding = ["create", "clusterrolebinding", "x", "--clusterrole=cluster-admin", "--user=me"];
    assert_said(&said(&agent, &binding), &["no policy allows create on ApiObject `-/clusterrolebindings"]);
    let stranger = w.kubectl("eve", "visitors");
    assert_said(&said(&stranger, &["get", "pods", "-n", "shop"]), &["no policy allows connect"]);
    let forged = w.kubectl_with(doorward_testkit::KubectlRelease::Current, "forged");
    assert_said(&said(&forged, &["get", "pods"]), &["You must be logged in", "[1]"]);
}

/// A pod that owns its node, in any disguise.
fn disguises(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let pod = "containers: [{name: c, image: x, securityContext: {privileged: true}}]";
    let meta = "metadata: {name: evil, namespace: shop}";
    let template =
        format!("selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}}}, spec: {{{pod}}}}}");
    let job = format!("template: {{spec: {{restartPolicy: Never, {pod}}}}}");
    for manifest in [
        format!("{{apiVersion: v1, kind: Pod, {meta}, spec: {{{pod}}}}}"),
        format!("{{apiVersion: v1, kind: Pod, {meta}, spec: {{hostPID: true, containers: [{{name: c, image: x}}]}}}}"),
        format!(
            "{{apiVersion: v1, kind: Pod, {meta}, spec: {{containers: [{{name: c, image: x}}], \
             volumes: [{{name: v, hostPath: {{path: /}}}}]}}}}"
        ),
        format!("{{apiVersion: apps/v1, kind: Deployment, {meta}, spec: {{{template}}}}}"),
        format!("{{apiVersion: apps/v1, kind: DaemonSet, {meta}, spec: {{{template}}}}}"),
        format!("{{apiVersion: batch/v1, kind: Job, {meta}, spec: {{{job}}}}}"),
        format!(
            "{{apiVersion: batch/v1, kind: CronJob, {meta}, spec: {{schedule: '* * * * *', jobTemplate: {{spec: {{{job}}}}}}}}}"
        ),
    ] {
        assert_said(&applied(&agent, &manifest), &["Forbidden", "`no-nodes-through-pods`", "owns its node"]);
    }
    let good = template.replace("privileged: true", "privileged: false");
    let good = format!("{{apiVersion: apps/v1, kind: Deployment, {meta}, spec: {{replicas: 0, {good}}}}}");
    assert_said(&applied(&agent, &good), &["created", "[0]"]);
    for (kind, patch) in [
        (
            "merge",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"x","securityContext":{"privileged":true}}]}}}}"#,
        ),
        (
            "json",
            r#"[{"op":"replace","path":"/spec/template/spec/containers/0/securityContext/privileged","value":true}]"#,
        ),
        ("strategic", r#"{"spec":{"template":{"spec":{"hostNetwork":true}}}}"#),
    ] {
        let out = said(&agent, &["patch", "deployment", "evil", "-n", "shop", "--type", kind, "-p", patch]);
        assert_said(&out, &["Forbidden", "`no-nodes-through-pods`"]);
    }
    let debug = ["debug", "dev", "-n", "shop", "--image=x", "--profile=sysadmin", "-c", "dbg"];
    assert_said(&said(&agent, &debug), &["`no-nodes-through-pods`"]);
    let left = said(&w.cluster.kubectl().unwrap(), &["get", "all", "-n", "shop", "-o", "name"]);
    assert!(!left.contains("pod/evil") && !left.contains("job") && left.contains("deployment.apps/evil"), "{left}");
}

/// Commands in containers: run, masked, refused.
fn exec(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let exec = |words: &[&str]| said(&agent, &[&["exec", "-n", "shop", "dev", "--"], words].concat());
    assert_eq!(exec(&["echo", "hi"]), "hi\n[0]");
    let out = exec(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_said(&out, &["out\n", "err\n", "exit code 7", "[7]"]);
    // What may be the beginning of something is kept back for half a second (docs/protocols/ssh.md): a busy machine may take longer.
    let parts = ["sh", "-c", "printf '4111 1111 '; sleep 0.1; echo 1111 1111"];
    assert!((0..20).any(|_| exec(&parts) == "[credit_card]\n[0]"), "{}", exec(&parts));
    let piped =
        agent.output_with(&["exec", "-i", "-n", "shop", "dev", "--", "wc", "-c"], &vec![b'x'; 300_000]).unwrap();
    assert_eq!(text(&piped), "300000\n[0]");
    let log = said(&agent, &["logs", "-n", "shop", "dev"]);
    assert_eq!(log, "card [credit_card]\n[0]");
    let root = said(&agent, &["exec", "-n", "shop", "root", "--", "id"]);
    assert_said(&root, &["`no-nodes-through-pods`", "[1]"]);
    let card = ["exec", "-n", "shop", "dev", "--", "echo", "4111 1111 1111 1111"];
    assert_eq!(said(&agent.clone().over_spdy(), &card), "[credit_card]\n[0]");
    let none = said(&agent, &["exec", "-n", "shop", "none", "--", "id"]);
    assert_said(&none, &["(NotFound)", "[1]"]);
}

fn pending(w: &KubernetesWorld, sre: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let (_, said) = w.doorward(sre, &["approvals", "list", "--output", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_default();
        if let Some(first) = all.first() {
            return first["id"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing is held")
}

fn started(kubectl: &Kubectl, args: &[&str]) -> Child {
    kubectl.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A command that lives on, and has begun.
fn sleeping(agent: &Kubectl) -> Child {
    let mut child = started(agent, &["exec", "-i", "-n", "shop", "dev", "--", "sh", "-c", "echo up; exec sleep 100"]);
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
    child
}

/// Until policies let commands in again.
fn opened_again(agent: &Kubectl) {
    let end = Instant::now() + Duration::from_secs(60);
    while said(agent, &["exec", "-n", "shop", "dev", "--", "echo", "hi"]) != "hi\n[0]" {
        assert!(Instant::now() < end, "it is not opened again");
    }
}

/// The mission's own example: held, approved, and it runs in the same kubectl.
fn held(w: &KubernetesWorld) {
    let (agent, sre) = (w.kubectl("ci-bot", "agents"), w.token("anna", "sre"));
    let held = ["exec", "-n", "shop", "prod", "--", "echo", "in production"];
    let child = started(&agent, &held);
    let id = pending(w, &sre);
    let (ok, said) = w.doorward(&sre, &["approvals", "show", &id]);
    assert!(ok && said.contains("exec pods shop/prod -c main -- echo 'in production'"), "{said}");
    assert!(w.doorward(&sre, &["approvals", "approve", &id]).0);
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "in production\n");
    assert_said(&text(&out), &["held for approval by sre", "doorward: approved", "[0]"]);
    // Denied, and withdrawn by leaving.
    let child = started(&agent, &held);
    let id = pending(w, &sre);
    assert!(w.doorward(&sre, &["approvals", "deny", &id, "--comment", "not today"]).0);
    assert_said(&text(&child.wait_with_output().unwrap()), &["not today", "[1]"]);
    let mut child = started(&agent, &held);
    let id = pending(w, &sre);
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, said) = w.doorward(&sre, &["approvals", "list", "--output", "json"]);
        if !said.contains(&id) {
            break;
        }
        assert!(Instant::now() < end, "still waits: {said}");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The label is not taken away unseen, by any road.
    for args in [
        &["label", "pod", "prod", "-n", "shop", "environment=dev", "--overwrite"][..],
        &[
            "patch",
            "pod",
            "prod",
            "-n",
            "shop",
            "--subresource=status",
            "-p",
            r#"{"metadata":{"labels":{"environment":"dev"}}}"#,
        ],
    ] {
        let mut child = started(&agent, args);
        if args.contains(&"--subresource=status") {
            assert_said(&text(&child.wait_with_output().unwrap()), &["Forbidden", "[1]"]);
        } else {
            let id = pending(w, &sre);
            let (_, said) = w.doorward(&sre, &["approvals", "show", &id]);
            let shown =
                ["PATCH /api/v1/namespaces/shop/pods/prod?fieldManager=kubectl-label", "\"environment\": \"dev\""];
            assert_said(&said, &shown);
            assert!(w.doorward(&sre, &["approvals", "deny", &id]).0);
            assert!(!child.wait().unwrap().success());
        }
    }
    manifests(w, &agent, &sre);
    // A pod of the same name that is another one by then.
    let child = started(&agent, &held);
    let id = pending(w, &sre);
    let admin = w.cluster.kubectl().unwrap();
    admin.run(&["label", "pod", "prod", "-n", "shop", "tier=other"]).unwrap();
    assert!(w.doorward(&sre, &["approvals", "approve", &id]).0);
    assert_said(&text(&child.wait_with_output().unwrap()), &["has changed", "[1]"]);
}

/// What a client comes to that may ask for more: kubectl moves what it applied before to the new field manager.
fn finished(w: &KubernetesWorld, sre: &str, mut child: Child) -> Output {
    let end = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it waits for something else");
        let (_, said) = w.doorward(sre, &["approvals", "list", "--output", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_default();
        for id in all.iter().filter_map(|a| a["id"].as_str()) {
            w.doorward(sre, &["approvals", "approve", id]);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.wait_with_output().unwrap()
}

/// Who approves reads what is applied, whole; what nobody can read is refused.
fn manifests(w: &KubernetesWorld, agent: &Kubectl, sre: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let patch = r#"{"metadata":{"annotations":{"why":"<b>\u202e"},"labels":{"release":"2"}}}"#;
    let patch = file("patch.json", patch.to_owned());
    let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: prod, namespace: shop, labels: {release: '3'}}}";
    let manifest = file("pod.yaml", manifest.to_owned());
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=deploys", "-f", &manifest];
    for (args, shown) in [
        (
            &["patch", "pod", "prod", "-n", "shop", "--type=merge", "--patch-file", &patch][..],
            &["Body (application/merge-patch+json)", "\"release\": \"2\"", "\"why\": \"<b>\\u202e\""][..],
        ),
        (
            &apply,
            &[
                "Body (application/apply-patch+yaml)",
                "force = \"true\"",
                "fieldManager = \"deploys\"",
                "\"release\": \"3\"",
            ],
        ),
    ] {
        let child = started(agent, args);
        let id = pending(w, sre);
        let (_, said) = w.doorward(sre, &["approvals", "show", &id]);
        assert_said(&said, shown);
        assert!(!said.contains("NOT SHOWN"), "{said}");
        assert!(w.doorward(sre, &["approvals", "approve", &id]).0);
        assert_said(&text(&finished(w, sre, child)), &["[0]"]);
    }
    let long = format!(r#"{{"metadata":{{"annotations":{{"why":"{}"}}}}}}"#, "x".repeat(1 << 20));
    let long = file("long.json", long);
    let told = started(agent, &["patch", "pod", "prod", "-n", "shop", "--type=merge", "--patch-file", &long]);
    let told = text(&told.wait_with_output().unwrap());
    assert_said(&told, &["needs an approval, and cannot be shown whole", "1048576", "[1]"]);
}

/// Found by attacking it.
fn roads_around(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let admin = w.cluster.kubectl().unwrap();
    // A refused write is not tried out: the cluster's webhooks never see it.
    let before = std::fs::read_to_string(w.cluster.audit_log()).unwrap().matches("dryRun=All").count();
    let patch = ["patch", "secret", "key", "-n", "shop", "-p", r#"{"data":{"x":"eA=="}}"#];
    assert_said(&said(&agent, &patch), &["`no-secrets`"]);
    let after = std::fs::read_to_string(w.cluster.audit_log()).unwrap().matches("dryRun=All").count();
    assert_eq!(before, after);
    let raw = |path: &str| said(&agent, &["get", "--raw", path]);
    assert_said(&raw("/api/v1/namespaces/shop/pods?watch="), &["neither true nor false"]);
    // What an answer in vain echoes is masked, and so are masks not written back.
    let card =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: card, namespace: shop}, data: {n: '4111111111111111'}}";
    admin.apply(card).unwrap();
    let copy = r#"[{"op":"copy","from":"/data/n","path":"/metadata/name"}]"#;
    let echo = said(&agent, &["patch", "configmap", "card", "-n", "shop", "--type=json", "-p", copy]);
    assert!(!echo.contains("4111111111111111") && echo.contains("[1]"), "{echo}");
    let shown = said(&agent, &["get", "configmap", "card", "-n", "shop", "-o", "json"]);
    assert_said(&shown, &["[credit_card]"]);
    let shown = shown.trim_end_matches("[0]");
    let back = agent.output_with(&["replace", "-f", "-"], shown.as_bytes()).unwrap();
    assert_said(&text(&back), &["holds `[credit_card]`", "[1]"]);
    let revision = r#"{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"r","namespace":"shop"},"revision":1,
        "data":{"spec":{"template":{"spec":{"hostPID":true}}}}}"#;
    assert_said(&applied(&agent, revision), &["Forbidden"]);
}

/// Long answers go on, and end when policy says so.
fn streams(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let admin = w.cluster.kubectl().unwrap();
    let mut watch = started(&agent, &["get", "configmaps", "-n", "shop", "-w", "-o", "name"]);
    let mut shown = watch.stdout.take().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    admin.run(&["create", "configmap", "seen", "-n", "shop"]).unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains("configmap/seen") {
        let n = shown.read(&mut buffer).unwrap();
        assert!(n > 0, "the watch ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(buffer.get(..n).unwrap()));
    }
    let mut shell = sleeping(&agent);
    let file = w.gateway.directory().join("policy.cedar");
    let forbid = "@id(\"closed\") forbid (principal, action in [Action::\"exec\", Action::\"watch\"], resource);\n";
    std::fs::write(&file, format!("{}{forbid}", policy())).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while shell.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "the command goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_said(&text(&shell.wait_with_output().unwrap()), &["ended: ", "`closed`"]);
    watch.kill().unwrap();
    watch.wait().unwrap();
    std::fs::write(&file, policy()).unwrap();
    opened_again(&agent);
    // Nor does what was begun in clear go on in clear.
    let mut shell = sleeping(&agent);
    assert!(shell.try_wait().unwrap().is_none(), "it runs");
    let forbid = "@id(\"hidden\") forbid (principal, action == Action::\"reveal\", resource == DataType::\"email\");\n";
    std::fs::write(&file, format!("{}{forbid}", policy())).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while shell.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "the command goes on in clear");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_said(&text(&shell.wait_with_output().unwrap()), &["what you may see has changed"]);
    std::fs::write(&file, policy()).unwrap();
    // What is hidden now is shown again once the file is read: a mask would tell.
    let end = Instant::now() + Duration::from_secs(60);
    while said(&agent, &["exec", "-n", "shop", "dev", "--", "echo", "a@example.com"]) != "a@example.com\n[0]" {
        assert!(Instant::now() < end, "it stays hidden");
    }
}

/// Files that were copied are known by their hashes; sessions play back as their callers saw them.
fn copied_and_replayed(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let folder = w.cluster.directory();
    std::fs::write(folder.join("there"), "hello").unwrap();
    let (there, back) = (folder.join("there").display().to_string(), folder.join("back").display().to_string());
    assert_said(&said(&agent, &["cp", &there, "shop/dev:/tmp/copied"]), &["[0]"]);
    assert_said(&said(&agent, &["cp", "shop/dev:/tmp/copied", &back]), &["[0]"]);
    assert_eq!(std::fs::read(&back).unwrap(), b"hello");
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let files = w.audit("file_copied");
    let told = |e: &serde_json::Value| format!("{} {} {}", e["direction"], e["path"], e["bytes"]).replace('"', "");
    assert_eq!(files.iter().map(told).collect::<Vec<_>>(), ["uploaded /tmp/copied 5", "downloaded tmp/copied 5"]);
    assert!(files.iter().all(|e| e["sha256"] == hash), "{files:?}");
    let replay = |session: &serde_json::Value, more: &[&str]| {
        let args = [&["sessions", "replay", session.as_str().unwrap(), "--speed", "0"], more].concat();
        let (ok, said) = w.doorward("", &args);
        assert!(ok, "{said}");
        said
    };
    for (file, line) in
        files.iter().zip(["* uploaded /tmp/copied, 5 bytes, mode 0644", "* downloaded tmp/copied, 5 bytes"])
    {
        assert_said(&replay(&file["session"], &[]), &[line, hash, " files, 5 bytes"]);
    }
    // A terminal, with what nobody's terminal is to obey.
    let line = "exec -it -n shop dev -- sh -c 'printf \"\\033]0;evil\\007\\033[1mshown\"; exit 3'";
    let command = agent.command(&["version"]);
    let kubectl = command.get_program().to_str().unwrap();
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &format!("{kubectl} {line}"), "/dev/null"]);
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    script.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let mut script = script.spawn().unwrap();
    // At the end of its input it would type a NUL, which the terminal shows if it comes in time.
    let input = script.stdin.take();
    assert_said(&text(&script.wait_with_output().unwrap()), &["shown"]);
    drop(input);
    let requests = w.audit("request");
    let terminal = requests.iter().rfind(|e| e["statement"].as_str().is_some_and(|s| s.contains("evil"))).unwrap();
    let session = &terminal["session"];
    let shown = replay(session, &[]);
    assert_said(&shown, &["* exec pods shop/dev", "* exit 3", "shown\n"]);
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let (ok, cast) = w.doorward("", &["sessions", "export", session.as_str().unwrap(), "--format", "asciicast"]);
    assert!(ok, "{cast}");
    let lines: Vec<serde_json::Value> = cast.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["version"], 3);
    assert!(lines.iter().any(|l| l[1] == "o" && l[2].as_str().unwrap().contains("shown")), "{cast}");
    assert_eq!(lines.last().unwrap()[1], "x", "{cast}");
    assert_eq!(lines.last().unwrap()[2], "3", "{cast}");
    assert!(!lines.iter().any(|l| l[1] == "o" && l[2].as_str().unwrap().contains("\u{1b}]")), "{cast}");
    // Questions and their answers, and those that were held.
    let secret = requests.iter().find(|e| e["statement"] == "get secrets shop/key").unwrap();
    let (ok, shown) = w.doorward("", &["sessions", "show", secret["session"].as_str().unwrap()]);
    assert!(ok, "{shown}");
    assert_said(&shown, &["get secrets shop/key (refused, 403;"]);
    let pod = requests.iter().find(|e| e["statement"] == "get configmaps shop/a").unwrap();
    let (ok, shown) = w.doorward("", &["sessions", "show", pod["session"].as_str().unwrap(), "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let of = |r: &&serde_json::Value| r["statement"] == "get configmaps shop/a";
    let request = shown["requests"].as_array().unwrap().iter().find(of).unwrap();
    // What no policy looks at was not looked up: the answer is the request's own.
    assert!(ok && request["outcome"].is_null(), "{request}");
    assert!(request["status"].as_str().is_some_and(|status| status.starts_with("404")), "{request}");
    let whole = replay(&pod["session"], &["--request", &request["request"].to_string()]);
    assert_said(&whole, &["> GET /api/v1/namespaces/shop/configmaps/a", "< HTTP/1.1 ", "\"apiVersion\":\"v1\""]);
    let held = requests
        .iter()
        .find(|e| e["statement"].as_str().is_some_and(|s| s.ends_with("-- echo 'in production'")))
        .unwrap();
    assert_said(
        &replay(&held["session"], &[]),
        &["* held for approval", "* approved by", "< in production", "* exit 0"],
    );
}

/// All of it is written down.
fn written_down(w: &KubernetesWorld) {
    let requests = w.audit("request");
    let statement = |e: &serde_json::Value| e["statement"].as_str().unwrap_or_default().to_owned();
    assert!(requests.iter().any(|e| statement(e) == "exec pods shop/dev -c main -- echo hi"), "{requests:#?}");
    assert!(requests.iter().any(|e| statement(e).contains("get secrets shop/key") && e["outcome"] == "refuse"));
    let (ok, verified) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{verified}");
}

#[test]
fn agents_use_a_cluster_through_the_gateway() {
    let w = world();
    reads_and_writes(&w);
    refusals(&w);
    disguises(&w);
    exec(&w);
    roads_around(&w);
    held(&w);
    kubernetes_pages::an_exec_is_decided_and_replayed(&w);
    kubernetes_pages::requests_are_looked_at(&w);
    streams(&w);
    copied_and_replayed(&w);
    written_down(&w);
}

/// With a policy that allows everything and hides nothing, clients see what they would without a gateway.
#[test]
fn every_client_works_unchanged() {
    let w = KubernetesWorld::start("@id(\"all\") permit (principal, action, resource);");
    let server = format!("https://127.0.0.1:{}", w.port);
    let matrix = KubernetesMatrix::new(&server, &w.ca(), &w.token("ci-bot", "agents"));
    w.cluster.service_account_token("e2e", "clients", "view").unwrap();
    let report = matrix.namespace("e2e").run().unwrap();
    assert!(report.passed, "{}", report.output);
}
