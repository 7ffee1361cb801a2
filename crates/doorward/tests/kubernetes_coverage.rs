//! Walks the tables of docs/protocols/kubernetes.md: each row has a request to the real API server that a policy allows and
//! one that it refuses. A row without a check fails, as does a check without a row. To add a row: a line in the table, a line
//! in `TARGETS`, `HEADERS` or `UPGRADES` that begins as the row does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::kubernetes::KubernetesWorld;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/protocols/kubernetes.md");

/// Everybody may connect; one group may do anything, another one nothing else.
const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource) unless { principal in Group::"strangers" };
@id("all") permit (principal in Group::"all", action, resource);
@id("clear") permit (principal in Group::"none", action == Action::"reveal", resource);
"#;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: a }
---
apiVersion: v1
kind: Pod
metadata: { name: p, namespace: a }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: "example.com/p:1", command: [sleep, infinity] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: q, namespace: a }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: "example.com/q:1", command: [sleep, infinity] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: r, namespace: a }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: "example.com/r:1", command: [sleep, infinity] }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: d, namespace: a }
spec:
  replicas: 0
  selector: { matchLabels: { app: d } }
  template: { metadata: { labels: { app: d } }, spec: { containers: [{ name: main, image: "example.com/d:1" }] } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: c, namespace: a }
"#;

/// A row's beginning, a request, the answers that say that it went through, and what a refusal says.
struct Check {
    row: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    allowed: &'static [u16],
    refused: &'static str,
}

const fn check(
    row: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    allowed: &'static [u16],
    refused: &'static str,
) -> Check {
    Check { row, method, path, body, allowed, refused }
}

const POD: &str = "/api/v1/namespaces/a/pods/p";
const CONFIG: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n","namespace":"a"}}"#;
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings";
const EVICTION: &str = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p","namespace":"a"}}"#;
const ROLE: &str =
    r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"r","namespace":"a"},"rules":[]}"#;
const BINDING: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"b","namespace":"a"},
    "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[]}"#;
const TO_NODE: &str =
    r#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"node-1"}}"#;

/// In their order: the last ones remove what the first ones need.
const TARGETS: &[Check] = &[
    check("`/`, `/api`", "GET", "/version", "", &[200], "no policy allows connect"),
    check("`/`, `/api`", "GET", "/openapi/v3", "", &[200], "no policy allows connect"),
    check("any other path", "GET", "/metrics", "", &[200], "no policy allows opaque on Opaque"),
    check("GET, HEAD of an object", "GET", POD, "", &[200], "get on Pod `a/pods/p`"),
    check("GET of a collection", "GET", "/api/v1/namespaces/a/pods", "", &[200], "list on ApiObject `a/pods/*`"),
    check(
        "GET of a collection",
        "GET",
        "/api/v1/namespaces/a/pods?watch=true&timeoutSeconds=1",
        "",
        &[200],
        "watch on ApiObject",
    ),
    check("POST to a collection", "POST", "/api/v1/namespaces/a/configmaps", CONFIG, &[201], "create on ApiObject"),
    check(
        "PUT, PATCH",
        "PUT",
        "/api/v1/namespaces/a/configmaps/n",
        CONFIG,
        &[200],
        "update on ApiObject `a/configmaps/n`",
    ),
    check(
        "PUT, PATCH",
        "PATCH",
        "/api/v1/namespaces/a/configmaps/n",
        r#"{"data":{"x":"y"}}"#,
        &[200],
        "patch on ApiObject `a/configmaps/n`",
    ),
    check(
        "DELETE of an object",
        "DELETE",
        "/api/v1/namespaces/a/configmaps/n",
        "",
        &[200],
        "delete on ApiObject `a/configmaps/n`",
    ),
    check(
        "DELETE of a collection",
        "DELETE",
        "/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3Dc",
        "",
        &[200],
        "deletecollection on ApiObject",
    ),
    check("`pods/…/attach` without", "GET", "/api/v1/namespaces/a/pods/p/log", "", &[200], "log on Pod `a/pods/p`"),
    check(
        "`pods/…/ephemeralcontainers`",
        "PATCH",
        "/api/v1/namespaces/a/pods/p/ephemeralcontainers",
        "{}",
        &[200],
        "debug on Pod `a/pods/p`",
    ),
    check("`pods/…/binding`", "POST", "/api/v1/namespaces/a/pods/p/binding", TO_NODE, &[409], "bind on Pod `a/pods/p`"),
    // The node answers: it wants TLS of its own there.
    check(
        "`pods`, `services`, `nodes`",
        "GET",
        "/api/v1/nodes/node-1/proxy/healthz",
        "",
        &[400],
        "proxy on ApiObject `-/nodes/node-1`",
    ),
    check(
        "`…/scale` (written)",
        "PATCH",
        "/apis/apps/v1/namespaces/a/deployments/d/scale",
        r#"{"spec":{"replicas":0}}"#,
        &[200],
        "scale on ApiObject `a/deployments.apps/d`",
    ),
    check(
        "`serviceaccounts/…/token`",
        "POST",
        "/api/v1/namespaces/a/serviceaccounts/default/token",
        r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}"#,
        &[201],
        "impersonate on ApiObject",
    ),
    check(
        "`certificatesigningrequests/…/approval`",
        "PUT",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval",
        "{}",
        &[404],
        "approve on ApiObject",
    ),
    check(
        "any other subresource",
        "GET",
        "/api/v1/namespaces/a/pods/p/status",
        "",
        &[200],
        "get on ApiObject `a/pods/status/p`",
    ),
    check("`roles`, `clusterroles` written", "POST", ROLES, ROLE, &[201], "no policy allows create"),
    check(
        "`rolebindings`, `clusterrolebindings` written",
        "POST",
        BINDINGS,
        BINDING,
        &[201],
        "no policy allows create",
    ),
    check(
        "`pods/…/attach` without",
        "POST",
        "/api/v1/namespaces/a/pods/p/eviction",
        EVICTION,
        &[201],
        "evict on Pod `a/pods/p`",
    ),
];

/// A row's beginning, a header, and whether requests go through with it.
const HEADERS: &[(&str, &str, bool)] = &[
    ("`Accept`", "Accept: application/json", true),
    ("`Content-Type`, `User-Agent`", "User-Agent: test", true),
    ("`Content-Type`, `User-Agent`", "Kubectl-Command: kubectl get", true),
    ("`Impersonate-User`", "Impersonate-Group: without-a-user", false),
    ("`Impersonate-User`", "Impersonate-Nonsense: x", false),
    ("`Content-Encoding`", "Content-Encoding: gzip", false),
    ("all others", "X-Remote-User: system:admin", true),
    ("all others", "Cookie: a=b", true),
];

const EXEC: &str = "/api/v1/namespaces/a/pods/p/exec?command=id&stdout=true&stderr=true";
const CP: &str = "/api/v1/namespaces/a/pods/p/exec?command=tar&command=cf&command=-&command=/etc/hostname&stdout=true";
const ATTACH: &str = "/api/v1/namespaces/a/pods/p/attach?stdout=true&stdin=true";
const FORWARD: &str = "/api/v1/namespaces/a/pods/p/portforward?ports=80";

type Wish = (Option<&'static str>, &'static str, &'static str, &'static str, bool, &'static str);

/// A row's beginning in each of the tables, or none; path, protocol, whether over SPDY, and what a refusal says.
const UPGRADES: &[Wish] = &[
    (Some("`pods/…/exec`"), "WebSocket, `v5.channel.k8s.io`", EXEC, "v5.channel.k8s.io", false, "exec refused: "),
    (
        Some("the same with what `kubectl cp`"),
        "WebSocket, `v5.channel.k8s.io`",
        CP,
        "v4.channel.k8s.io",
        false,
        "cp refused: ",
    ),
    (
        Some("`pods/…/attach` with `stdin`"),
        "WebSocket, `v5.channel.k8s.io`",
        ATTACH,
        "v5.channel.k8s.io",
        false,
        "attach refused: ",
    ),
    (
        Some("`pods/…/attach` without"),
        "WebSocket, `SPDY/3.1+portforward.k8s.io`",
        FORWARD,
        "SPDY/3.1+portforward.k8s.io",
        false,
        "portforward refused: ",
    ),
    (None, "SPDY/3.1", FORWARD, "portforward.k8s.io", true, "portforward refused: "),
    (None, "SPDY/3.1", EXEC, "v4.channel.k8s.io", true, "exec refused: "),
];

/// Rows of the section under a heading: their first cells.
fn rows(heading: &str) -> Vec<String> {
    let from = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}")).1;
    let section = from.lines().take_while(|l| !l.starts_with("## "));
    let table = section.filter(|l| l.starts_with('|')).skip(2);
    table.map(|l| l.trim_matches('|').split('|').next().unwrap().trim().to_owned()).collect()
}

/// Each row begins as a check does, and each check as a row.
#[track_caller]
fn assert_covered(heading: &str, checks: &[&str]) {
    let rows = rows(heading);
    for row in &rows {
        assert!(checks.iter().any(|c| row.starts_with(c)), "{heading}: no check for the row {row:?}");
    }
    for check in checks {
        assert!(rows.iter().any(|row| row.starts_with(check)), "{heading}: no row for the check {check:?}");
    }
}

#[test]
fn every_row_has_a_check() {
    let streams = UPGRADES.iter().filter_map(|u| u.0);
    assert_covered("Targets", &TARGETS.iter().map(|c| c.row).chain(streams).collect::<Vec<_>>());
    let own = ["`Authorization`"];
    assert_covered("Headers", &HEADERS.iter().map(|h| h.0).chain(own).collect::<Vec<_>>());
    let refused = ["upgrades through `proxy`"];
    assert_covered("Upgrades", &UPGRADES.iter().map(|u| u.1).chain(refused).collect::<Vec<_>>());
}

/// What curl is told by the gateway: status and body.
fn ask(w: &KubernetesWorld, token: &str, path: &str, more: &[&str]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http1.1", "--path-as-is", "--max-time", "5", "-w", "\n%{http_code}", "--cacert"]).arg(w.ca());
    if !token.is_empty() {
        curl.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let out = curl.args(more).arg(format!("https://127.0.0.1:{}{path}", w.port)).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let (body, code) = said.rsplit_once('\n').unwrap();
    (code.parse().unwrap(), body.to_owned())
}

fn targets(w: &KubernetesWorld, all: &str, none: &str, stranger: &str) {
    for c in TARGETS {
        let kind = if c.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let kind =
            if c.path.ends_with("ephemeralcontainers") { "application/strategic-merge-patch+json" } else { kind };
        let kind = format!("Content-Type: {kind}");
        let mut more = vec!["-X", c.method];
        if !c.body.is_empty() {
            more.extend(["-H", &kind, "-d", c.body]);
        }
        // What only needs `connect` is refused to who may not.
        let who = if c.refused.contains("connect") { stranger } else { none };
        let (code, body) = ask(w, who, c.path, &more);
        assert!(code == 403 && body.contains(c.refused), "{} {}: {code} {body}", c.method, c.path);
        let (code, body) = ask(w, all, c.path, &more);
        assert!(c.allowed.contains(&code) && !body.contains("doorward: "), "{} {}: {code} {body}", c.method, c.path);
    }
}

fn headers(w: &KubernetesWorld, all: &str, none: &str) {
    for (_, header, passes) in HEADERS {
        let (code, body) = ask(w, all, POD, &["-H", header]);
        if *passes {
            assert_eq!(code, 200, "{header}: {body}");
            assert_eq!(ask(w, none, POD, &["-H", header]).0, 403, "{header}");
        } else {
            assert!(code == 400 && body.contains("doorward: refused: the header"), "{header}: {code} {body}");
        }
    }
    assert_eq!(ask(w, "", POD, &[]).0, 401);
    let twice = format!("Authorization: Bearer {none}");
    assert_eq!(ask(w, all, POD, &["-H", &twice]).0, 401, "two of them");
}

fn upgrades(w: &KubernetesWorld, all: &str, none: &str) {
    for (_, _, path, protocol, is_spdy, refused) in UPGRADES {
        let (protocol, upgrade) = if *is_spdy {
            (format!("X-Stream-Protocol-Version: {protocol}"), "Upgrade: SPDY/3.1")
        } else {
            (format!("Sec-WebSocket-Protocol: {protocol}"), "Upgrade: websocket")
        };
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let more = [
            "-H",
            upgrade,
            "-H",
            "Connection: Upgrade",
            "-H",
            "Sec-WebSocket-Version: 13",
            "-H",
            key,
            "-H",
            &protocol,
            "--max-time",
            "1",
        ];
        let (code, body) = ask(w, none, path, &more);
        assert!(code == 403 && body.contains(refused), "{path}: {code} {body}");
        assert_eq!(ask(w, all, path, &more).0, 101, "{path} {protocol}");
        let proxied =
            path.replace("/exec", "/proxy/exec").replace("/attach", "/proxy/x").replace("/portforward", "/proxy/x");
        assert_eq!(ask(w, all, &proxied, &more).0, 400, "{proxied}");
    }
}

/// Lists that come in pages are whole: `limit` and `continue` go through, and what they give comes back.
fn paged(w: &KubernetesWorld, all: &str) {
    let (mut names, mut more, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (code, body) = ask(w, all, &format!("/api/v1/pods/?limit=1{more}").replace("/?", "?"), &[]);
        assert_eq!(code, 200, "{body}");
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        names.extend(page["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].clone()));
        pages += 1;
        match page["metadata"]["continue"].as_str() {
            Some(token) => more = format!("&continue={token}"),
            None => break,
        }
    }
    assert!(names.len() == 3 && pages == 3, "{names:?} in {pages}");
}

#[test]
fn every_row_is_as_the_table_says() {
    let w = KubernetesWorld::start(POLICY);
    let admin = w.cluster.kubectl().unwrap();
    admin.apply(OBJECTS).unwrap();
    admin.run(&["wait", "-n", "a", "--for=condition=Ready", "pod/p", "--timeout=60s"]).unwrap();
    let (all, none, stranger) = (w.token("a", "all"), w.token("n", "none"), w.token("s", "strangers"));
    headers(&w, &all, &none);
    upgrades(&w, &all, &none);
    paged(&w, &all);
    targets(&w, &all, &none, &stranger);
}
