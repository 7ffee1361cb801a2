//! Who callers of a cluster are: tokens of workloads, `doorward kubeconfig`, `kubectl --as`, and the cluster's own audit log.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::{
    DOORWARD, Issuer,
    kubernetes::{KubernetesWorld, More},
};
use doorward_testkit::{Cluster, Kubectl, KubectlRelease, free_port};
use serde_json::Value;
use std::process::{Command, Output};

const POLICY: &str = r#"
@id("most")
permit (principal, action, resource)
when { principal in Group::"agents" || principal in Group::"leads" || principal.issuer == "mesh" }
unless { action == Action::"impersonate" };
@id("workloads")
permit (principal, action, resource)
when { principal.issuer == "cluster" && principal.hasTag("namespace") && principal.getTag("namespace") == "shop" };
@id("leads-as-eve")
permit (principal in Group::"leads", action == Action::"impersonate", resource == ApiObject::"k8s/-/users/eve");
"#;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop }
spec: { containers: [{ name: main, image: "example.com/web:1", command: [sleep, infinity] }], terminationGracePeriodSeconds: 1 }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: agents, namespace: shop }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: "doorward:agents" }]
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

/// The development issuer's keys as a SPIFFE bundle: this test's own, not SPIRE's.
fn bundle(mesh: &Issuer) -> String {
    let get = |url: &str| -> Value {
        let out = Command::new("curl").args(["-sS", url]).output().unwrap();
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let discovery = get(&format!("{}/.well-known/openid-configuration", mesh.url));
    let mut keys = get(discovery["jwks_uri"].as_str().unwrap());
    for key in keys["keys"].as_array_mut().unwrap() {
        key["use"] = "jwt-svid".into();
    }
    keys.to_string()
}

fn more(cluster: &Cluster, token: &str, mesh: &Issuer, bare: u16) -> More {
    let (url, address, ca) = (cluster.url(), cluster.address(), cluster.ca_file().display());
    More {
        issuers: format!(
            r#"
[[identity.issuers]]
name = "cluster"
issuer = "https://kubernetes.default.svc"
jwks_url = "{url}/openid/v1/jwks"
tls_ca = "{ca}"
token_file = "token"
audience = ["doorward"]
principal = "agent"
tags = {{ namespace = "kubernetes.io/namespace", account = "kubernetes.io/serviceaccount/name" }}
[[identity.issuers]]
name = "mesh"
spiffe_trust_domain = "example.org"
jwks_file = "bundle.json"
audience = ["doorward"]
principal = "agent"
"#
        ),
        connection: format!(
            r#"
impersonate = "caller"
[[connections]]
name = "bare"
kind = "kubernetes"
listen = "127.0.0.1:{bare}"
upstream = "{address}"
credential = {{ file = "token" }}
tls_ca = "{ca}"
impersonate = "caller"
impersonate_prefix = ""
"#
        ),
        files: vec![("token", token.to_owned()), ("bundle.json", bundle(mesh))],
    }
}

/// The cluster's RBAC judges the caller, whatever the gateway's account may.
fn callers_are_themselves(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    assert_said(&said(&agent, &["get", "pods", "-n", "shop", "-o", "name"]), &["pod/web", "[0]"]);
    let user = "User \"doorward:dev/ci-bot\" cannot";
    assert_said(&said(&agent, &["get", "secrets", "-n", "shop"]), &[user, "Forbidden"]);
    assert_said(&said(&agent, &["delete", "pod", "web", "-n", "shop"]), &[user]);
    assert_said(&said(&agent, &["exec", "-n", "shop", "web", "--", "id"]), &[user, "pods/exec"]);
    // A dry run stands for the request: it is the caller's, too.
    assert_said(&said(&agent, &["create", "configmap", "x", "-n", "shop"]), &[user, "configmaps"]);
    // Whether there is such a thing is not everybody's to know.
    assert_said(&said(&agent, &["get", "configmap", "none", "-n", "shop"]), &["NotFound"]);
    assert_said(&said(&agent, &["get", "configmap", "none", "-n", "kube-system"]), &[user, "Forbidden"]);
    // A group of the token is none of the cluster's.
    let master = w.kubectl_with(KubectlRelease::Current, &w.issuer.token("root", &["agents", "system:masters"], &[]));
    assert_said(&said(&master, &["get", "secrets", "-A"]), &["doorward:dev/root", "Forbidden"]);
    // A stream that the cluster permits to the caller.
    let admin = w.cluster.kubectl().unwrap();
    admin
        .run(&["create", "rolebinding", "leads", "-n", "shop", "--clusterrole=edit", "--group=doorward:leads"])
        .unwrap();
    admin.run(&["wait", "-n", "shop", "--for=condition=Ready", "pod/web", "--timeout=60s"]).unwrap();
    let lead = w.kubectl("anna", "leads");
    for lead in [lead.clone(), lead.over_spdy()] {
        assert_eq!(said(&lead, &["exec", "-n", "shop", "web", "--", "echo", "hi"]), "hi\n[0]");
    }
    let entries = cluster_audit(w);
    let own = entries.iter().find(|e| {
        e["impersonatedUser"]["username"] == "doorward:dev/ci-bot"
            && e["verb"] == "list"
            && e["objectRef"]["resource"] == "pods"
    });
    let own = own.unwrap();
    assert_eq!(own["user"]["username"], "system:serviceaccount:doorward:gateway");
    assert!(own["impersonatedUser"]["groups"].to_string().contains("\"doorward:agents\""), "{own}");
    let session = own["impersonatedUser"]["extra"]["doorward.dev/session"][0].as_str().unwrap();
    let opened = w.audit("session_opened");
    assert!(opened.iter().any(|e| e["session"] == session), "{session} is not among {opened:?}");
    let exec = |e: &&Value| {
        e["objectRef"]["subresource"] == "exec" && e["impersonatedUser"]["username"] == "doorward:dev/ci-bot"
    };
    assert!(entries.iter().any(|e| exec(&e)), "upgrades go in the caller's name");
}

fn cluster_audit(w: &KubernetesWorld) -> Vec<Value> {
    let log = std::fs::read_to_string(w.cluster.audit_log()).unwrap();
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// `kubectl --as`, and headers that kubectl would not send.
fn in_the_name_of_others(w: &KubernetesWorld) {
    let (agent, lead) = (w.kubectl("ci-bot", "agents"), w.kubectl("anna", "leads"));
    let list = ["get", "pods", "-n", "shop"];
    let by = |kubectl: &Kubectl, more: &[&str]| said(kubectl, &[&list[..], more].concat());
    assert_said(&by(&agent, &["--as=eve"]), &["no policy allows impersonate on ApiObject `-/users/eve`"]);
    assert_said(&by(&agent, &["--as=system:admin"]), &["impersonate on ApiObject `-/users/system:admin`"]);
    // Permitted, and then the cluster says what eve may.
    assert_said(&by(&lead, &["--as=eve"]), &["User \"eve\" cannot list"]);
    w.cluster
        .kubectl()
        .unwrap()
        .run(&["create", "rolebinding", "eve", "-n", "shop", "--clusterrole=view", "--user=eve"])
        .unwrap();
    assert_said(&by(&lead, &["--as=eve"]), &["web", "[0]"]);
    assert_said(&by(&lead, &["--as=eve", "--as-group=system:masters"]), &["`-/groups/system:masters`", "[1]"]);
    assert_said(&by(&lead, &["--as=eve", "--as-uid=7"]), &["uids.authentication.k8s.io", "[1]"]);
    assert_said(&by(&lead, &["--as=system:serviceaccount:shop:default"]), &["`shop/serviceaccounts/default`"]);
    let as_eve =
        cluster_audit(w).into_iter().find(|e| e["impersonatedUser"]["username"] == "eve" && e["verb"] == "list");
    assert_eq!(as_eve.unwrap()["impersonatedUser"]["extra"]["doorward.dev/principal"][0], "dev/anna");
    let token = w.token("anna", "leads");
    let curl = |headers: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert"]).arg(w.ca()).args(["-H", &format!("Authorization: Bearer {token}")]);
        for header in headers {
            curl.args(["-H", header]);
        }
        text(&curl.arg(format!("https://127.0.0.1:{}/api/v1/namespaces/shop/pods", w.port)).output().unwrap())
    };
    assert_said(&curl(&["IMPERSONATE-USER: eve"]), &["PodList"]);
    assert_said(&curl(&["impersonate-user: system:admin"]), &["Forbidden", "system:admin"]);
    for (headers, why) in [
        (&["Impersonate-User: eve", "Impersonate-User: system:admin"][..], "given twice"),
        (
            &["Impersonate-User: eve", "Impersonate-Group: system:masters", "impersonate-GROUP: system:masters"],
            "given twice",
        ),
        (&["Impersonate-Group: system:masters"], "it is missing"),
        (&["Impersonate-User;"], "empty"),
        (&["Impersonate-User: eve", "Impersonate-Extra-doorward.dev%2fsession: x"], "gateway's own"),
        (&["Impersonate-User: eve", "Impersonate-Extra-a%zz: x"], "not properly encoded"),
        (&["Impersonate-User: eve", "Impersonate-Else: x"], "none that the API server knows"),
    ] {
        assert_said(&curl(headers), &["BadRequest", why]);
    }
    let joined = curl(&["Impersonate-User: eve", "Impersonate-Group: dev,system:masters"]);
    assert_said(&joined, &["Forbidden", "`-/groups/dev,system:masters`"]);
}

/// Without a prefix a token could name the cluster's own groups: it opens no session.
fn no_token_makes_an_administrator(w: &KubernetesWorld, bare: u16) {
    let reach = |groups: &[&str]| {
        let token = w.issuer.token("root", groups, &[]);
        let file = w.cluster.token_kubeconfig("bare", &format!("https://127.0.0.1:{bare}"), &w.ca(), &token).unwrap();
        said(&w.cluster.kubectl().unwrap().kubeconfig(&file), &["get", "--raw", "/version"])
    };
    assert_said(&reach(&["agents"]), &["gitVersion", "[0]"]);
    assert_said(&reach(&["agents", "system:masters"]), &["`system:masters`", "keeps for itself", "[1]"]);
}

fn workloads(w: &KubernetesWorld, mesh: &Issuer) {
    let admin = w.cluster.kubectl().unwrap();
    let version = |token: &str| said(&w.kubectl_with(KubectlRelease::Current, token), &["get", "--raw", "/version"]);
    let account = |namespace: &str, audience: &str| {
        let token = admin.run(&["create", "token", "default", "-n", namespace, "--audience", audience]).unwrap();
        version(token.trim())
    };
    assert_said(&account("shop", "doorward"), &["gitVersion", "[0]"]);
    assert_said(&account("shop", "other"), &["You must be logged in", "[1]"]);
    // Its own cluster's token, as it is.
    assert_said(&account("shop", "https://kubernetes.default.svc"), &["You must be logged in", "[1]"]);
    // The namespace is a tag that policy asks for.
    assert_said(&account("default", "doorward"), &["no policy allows connect", "[1]"]);
    let svid = |id: &str| version(&mesh.token(id, &[], &[]));
    assert_said(&svid("spiffe://example.org/ns/shop/sa/bot"), &["gitVersion", "[0]"]);
    for id in ["spiffe://example.org.evil/ns/shop", "spiffe://example.org/a/../b", "spiffe://other.org/a", "ci-bot"] {
        assert_said(&svid(id), &["You must be logged in", "[1]"]);
    }
    let who = w.audit("authenticated");
    let known = |id: &str| who.iter().any(|e| e.to_string().contains(id));
    assert!(known("system:serviceaccount:shop:default") && known("spiffe://example.org/ns/shop/sa/bot"), "{who:?}");
}

/// What `doorward kubeconfig` prints works as it is.
fn kubeconfig(w: &KubernetesWorld) {
    let folder = w.cluster.directory();
    let (token_file, token) = (folder.join("caller.token"), w.token("ci-bot", "agents"));
    std::fs::write(&token_file, &token).unwrap();
    let config = w.gateway.config_file();
    let printed = |more: &[&str]| {
        let mut command = Command::new(DOORWARD);
        command.args(["kubeconfig", "k8s", "--config"]).arg(&config).arg("--token-file").arg(&token_file);
        text(&command.args(more).output().unwrap())
    };
    for (name, release, more) in [
        ("plugin", KubectlRelease::Current, &[][..]),
        ("json", KubectlRelease::Current, &["--output", "json"]),
        ("bare", KubectlRelease::Current, &["--no-plugin"]),
        ("old", KubectlRelease::Debian, &["--exec-api", "v1beta1"]),
    ] {
        let file = folder.join(format!("printed-{name}"));
        let out = printed(&[&["--file", file.to_str().unwrap()], more].concat());
        assert_eq!(out, "[0]", "{name}");
        assert!(!std::fs::read_to_string(&file).unwrap().contains(&token), "no token is in it");
        let kubectl = w.cluster.kubectl_of(release).unwrap().kubeconfig(&file);
        assert_said(&said(&kubectl, &["get", "pods", "-n", "shop", "-o", "name"]), &["pod/web", "[0]"]);
        // Nothing that is there is written over.
        assert_said(&printed(&["--file", file.to_str().unwrap()]), &["cannot create", "[1]"]);
    }
    assert_said(&printed(&[]), &["current-context: \"doorward-k8s\"", "kube-token", "[0]"]);
    let file = folder.join("printed-plugin");
    std::fs::write(&token_file, w.issuer.token("ci-bot", &["agents"], &["--ttl", "1s"])).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let late = said(&w.cluster.kubectl().unwrap().kubeconfig(&file), &["get", "pods", "-n", "shop"]);
    assert_said(&late, &["the token has expired", "[1]"]);
}

#[test]
fn callers_have_names_of_their_own() {
    let (mesh, bare) = (Issuer::start(), free_port().unwrap());
    let w = KubernetesWorld::with(POLICY, |cluster, token| more(cluster, token, &mesh, bare));
    w.cluster.kubectl().unwrap().apply(OBJECTS).unwrap();
    callers_are_themselves(&w);
    in_the_name_of_others(&w);
    no_token_makes_an_administrator(&w, bare);
    workloads(&w, &mesh);
    kubeconfig(&w);
}
