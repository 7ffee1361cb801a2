//! What a caller may not see of a cluster's objects, in every form in which they are shown.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::kubernetes::{KubernetesWorld, More};
use doorward_testkit::{Kubectl, KubectlRelease};
use std::process::{Command, Output};

const POLICY: &str = r#"
@id("p1")
permit (principal, action == Action::"connect", resource);
@id("p2")
permit (
  principal,
  action in [
    Action::"get", Action::"list", Action::"watch", Action::"create", Action::"update", Action::"patch", Action::"delete",
    Action::"deletecollection"
  ],
  resource
);
@id("p3")
permit (principal in Group::"leads", action == Action::"reveal", resource);
@id("p4")
permit (principal in Group::"agents", action == Action::"reveal", resource)
unless { resource is Field || (resource is DataType && resource.name == "credit_card") };
// Their own namespace's.
@id("p5")
permit (principal in Group::"agents", action == Action::"reveal", resource is Field)
when { resource has namespace && resource.namespace == "own" };

@id("not-theirs")
forbid (principal in Group::"agents", action in [Action::"get", Action::"list", Action::"watch"], resource is Pod)
when { resource.hasTag("team") && resource.getTag("team") == "other" };
@id("by-name")
forbid (
  principal in Group::"agents",
  action in [Action::"get", Action::"list", Action::"watch", Action::"delete", Action::"deletecollection"],
  resource is Pod
)
when { resource.name like "prod-*" };
@id("closed")
forbid (principal in Group::"agents", action in [Action::"get", Action::"list", Action::"watch"], resource)
when { resource is ApiObject && resource has namespace && resource.namespace.hasTag("tier") };
"#;

const TAGS: &str = r#"tags = { "customers.example.com:$.spec.ssn" = ["pii"], "customers.example.com:$.spec.age" = ["pii"], "customers.example.com:$.spec.flag" = ["pii"], "customers.example.com:$.spec.set[*]" = ["pii"] }"#;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Namespace
metadata: { name: own }
---
apiVersion: v1
kind: Namespace
metadata: { name: vault, labels: { tier: closed } }
---
apiVersion: v1
kind: Secret
metadata: { name: key, namespace: shop }
stringData: { password: hunter2, "tls.crt": hunter2-too }
---
apiVersion: v1
kind: Secret
metadata: { name: mine, namespace: own }
stringData: { password: own-word }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: hidden, namespace: vault }
data: { a: in-the-vault }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: cards, namespace: shop }
data: { "a": "4111 1111 1111 1111", "json": "{\"n\": 4111111111111111}" }
binaryData: { b: NDExMTExMTExMTExMTExMQ== }
# Nobody places them on a node: pods of a node that is not there are collected after a minute.
---
apiVersion: v1
kind: Pod
metadata: { name: ours, namespace: shop, labels: { team: shop } }
spec: { schedulerName: nobody, containers: [{ name: main, image: "example.com/x:1" }] }
---
apiVersion: v1
kind: Pod
metadata: { name: theirs, namespace: shop, labels: { team: other } }
spec: { schedulerName: nobody, containers: [{ name: main, image: "example.com/x:1" }] }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: customers.example.com }
spec:
  group: example.com
  scope: Namespaced
  names: { plural: customers, kind: Customer }
  versions:
    - name: v1
      served: true
      storage: true
      selectableFields: [{ jsonPath: .spec.ssn }, { jsonPath: .spec.town }]
      subresources: { scale: { specReplicasPath: .spec.age, statusReplicasPath: .status.replicas } }
      additionalPrinterColumns:
        - { name: Flag, type: boolean, jsonPath: .spec.flag }
        - { name: SSN, type: string, jsonPath: .spec.ssn }
        - { name: Years, type: integer, jsonPath: .spec.age }
        - { name: Town, type: string, jsonPath: .spec.town }
      schema:
        openAPIV3Schema:
          type: object
          properties:
            status: { type: object, properties: { replicas: { type: integer } } }
            spec:
              type: object
              properties:
                ssn: { type: string }
                town: { type: string }
                level: { type: integer }
                age: { type: integer }
                flag: { type: boolean }
                set: { type: array, x-kubernetes-list-type: set, items: { type: string } }
              x-kubernetes-validations:
                - { rule: "!has(self.level) || self.level < 5", messageExpression: "'no level for ' + self.ssn" }
"#;

const CUSTOMER: &str = "{apiVersion: example.com/v1, kind: Customer, metadata: {name: jo, namespace: shop}, \
                        spec: {ssn: '078-05-1120', town: Ulm, age: 8141, flag: true, set: ['a<b-hidden']}}";

fn text(out: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}[{}]", said(&out.stdout), said(&out.stderr), out.status.code().unwrap_or(-1))
}

fn said(kubectl: &Kubectl, args: &[&str]) -> String {
    text(&kubectl.output(args).unwrap())
}

fn world() -> KubernetesWorld {
    let w = KubernetesWorld::with(POLICY, |_, _| More { connection: TAGS.to_owned(), ..More::default() });
    let admin = w.cluster.kubectl().unwrap();
    admin.apply(OBJECTS).unwrap();
    admin.run(&["wait", "--for=condition=Established", "crd/customers.example.com", "--timeout=30s"]).unwrap();
    admin.apply(CUSTOMER).unwrap();
    w
}

fn curl(w: &KubernetesWorld, path: &str, accept: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "--cacert"]).arg(w.ca());
    curl.args(["-H", &format!("Authorization: Bearer {}", w.token("ci-bot", "agents"))]);
    curl.args(["-H", &format!("Accept: {accept}")]);
    text(&curl.arg(format!("https://127.0.0.1:{}{path}", w.port)).output().unwrap())
}

/// `hunter2` and `hunter2-too`, as they are and as they stand in a secret.
const SECRET: [&str; 2] = ["hunter2", "aHVudGVy"];

#[track_caller]
fn hides(said: &str, values: &[&str], shows: &str) {
    for value in values {
        assert!(!said.contains(value), "{value} in: {said}");
    }
    assert!(said.contains(shows), "no {shows:?} in: {said}");
}

fn secrets(w: &KubernetesWorld, kubectl: &Kubectl) {
    let masked = "W3NlY3JldF0="; // [secret]
    for args in [
        &["get", "secret", "key", "-n", "shop", "-o", "yaml"][..],
        &["get", "secret", "key", "-n", "shop", "-o", "json"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets/key"],
        &["get", "secrets", "-A", "-o", "yaml"],
        &["get", "secrets", "-n", "shop", "-o", "jsonpath={.items[*].data}"],
        &["get", "--raw", "/api/v1/secrets?limit=500"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets?watch=true&timeoutSeconds=1"],
        &["label", "secret", "key", "-n", "shop", "a=b", "--overwrite", "-o", "yaml"],
        &["annotate", "secret", "key", "-n", "shop", "a=b", "--overwrite", "-o", "json"],
        &["patch", "secret", "key", "-n", "shop", "--dry-run=server", "-o", "json", "-p", r#"{"data":{"x":"eA=="}}"#],
    ] {
        hides(&said(kubectl, args), &SECRET, masked);
    }
    let fresh = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fresh", "namespace": "shop"}, "stringData": {"a": "hunter2"}}"#;
    let out = kubectl.output_with(&["apply", "--server-side", "-f", "-", "-o", "yaml"], fresh.as_bytes()).unwrap();
    hides(&text(&out), &SECRET, masked);
    let word = said(kubectl, &["get", "secret", "key", "-n", "shop", "-o", "jsonpath={.data.password}"]);
    assert_eq!(word, format!("{masked}[0]"));
    hides(&said(kubectl, &["get", "secrets", "-n", "shop"]), &SECRET, "Opaque");
    hides(&said(kubectl, &["get", "secrets", "-n", "shop", "-o", "wide", "--show-labels"]), &SECRET, "key ");
    hides(&said(kubectl, &["describe", "secret", "key", "-n", "shop"]), &SECRET, "password:");
    // What may be seen is.
    let own =
        said(kubectl, &["get", "secrets", "-A", "-o", "jsonpath={.items[?(@.metadata.name=='mine')].data.password}"]);
    assert_eq!(own, "b3duLXdvcmQ=[0]");
    for accept in ["application/vnd.kubernetes.protobuf", "application/cbor", "application/yaml", "*/*"] {
        for path in ["/api/v1/namespaces/shop/secrets/key", "/api/v1/namespaces/shop/secrets"] {
            hides(&curl(w, path, accept), &SECRET, masked);
        }
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for rows in ["", "?includeObject=Object", "?includeObject=Metadata", "?includeObject=None"] {
        hides(&curl(w, &format!("/api/v1/namespaces/shop/secrets{rows}"), table), &SECRET, "\"cells\"");
    }
    let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    hides(&curl(w, "/api/v1/namespaces/shop/secrets", metadata), &SECRET, "PartialObjectMetadata");
}

/// Masks are not written back, whichever way.
fn nothing_is_lost(w: &KubernetesWorld) {
    let (agent, admin) = (w.kubectl("ci-bot", "agents"), w.cluster.kubectl().unwrap());
    let value = ["get", "secret", "key", "-n", "shop", "-o", "jsonpath={.data.password}"];
    let before = said(&admin, &value);
    let shown = agent.run(&["get", "secret", "key", "-n", "shop", "-o", "yaml"]).unwrap();
    for how in [
        &["apply", "-f", "-"][..],
        &["replace", "-f", "-"],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
    ] {
        hides(
            &text(&agent.output_with(how, shown.as_bytes()).unwrap()),
            &["key configured", "key replaced"],
            "would be lost",
        );
    }
    for patch in [
        r#"{"data":{"password":"W3NlY3JldF0="}}"#,
        r#"{"stringData":{"password":"[secret]"}}"#,
        r#"{"stringData":{"password":"[\u0073ecret]"}}"#,
    ] {
        let told = said(&agent, &["patch", "secret", "key", "-n", "shop", "--type=merge", "-p", patch]);
        hides(&told, &["patched"], "would be lost");
    }
    assert_eq!(said(&admin, &value), before);
    let other = r#"{"stringData":{"other":"x"}}"#;
    assert!(said(&agent, &["patch", "secret", "key", "-n", "shop", "-p", other]).contains("patched"));
    assert_eq!(said(&admin, &value), before);
}

fn fields(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let ssn = ["078-05", "1120", "8141"];
    for args in [
        &["get", "customers", "-n", "shop"][..],
        &["get", "customers", "-A", "-o", "wide"],
        &["get", "customer", "jo", "-n", "shop", "-o", "yaml"],
        &["get", "customers", "-n", "shop", "-o", "custom-columns=A:.spec.ssn,B:.spec.town"],
        &["get", "customers", "-n", "shop", "-o", "json", "--show-managed-fields"],
        &["describe", "customer", "jo", "-n", "shop"],
        &["get", "--raw", "/apis/example.com/v1/customers?watch=1&timeoutSeconds=1"],
    ] {
        hides(&said(&agent, args), &ssn, "Ulm");
    }
    let level = ["patch", "customer", "jo", "-n", "shop", "--type=merge", "-p", r#"{"spec":{"level":9}}"#];
    hides(&said(&agent, &level), &ssn, "it held a value that you may not see");
    let lead = w.kubectl("jo", "leads");
    assert!(said(&lead, &["get", "customers", "-n", "shop"]).contains("078-05-1120"));
    assert!(said(&lead, &["get", "secret", "key", "-n", "shop", "-o", "yaml"]).contains("aHVudGVyMg=="));
}

fn recognizers(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    for args in [
        &["get", "configmap", "cards", "-n", "shop", "-o", "json"][..],
        &["get", "configmaps", "-A", "-o", "json"],
        &["get", "--raw", "/api/v1/namespaces/shop/configmaps/cards"],
    ] {
        let out = agent.run(args).unwrap();
        hides(&out, &["4111 1111", "411111111", "NDExMTEx"], "[credit_card]");
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    }
}

/// Ways around masks: each showed a value, or told whether a guess was right.
fn ways_around(w: &KubernetesWorld) {
    let customers = "/apis/example.com/v1/namespaces/shop/customers";
    for accept in [
        "application/json; as = Table ; v=v1;g=meta.k8s.io",
        "application/json;as= Table;v=v1;g=meta.k8s.io",
        "Application/JSON;as=Table;v=v1;g=meta.k8s.io;q=0.1",
    ] {
        let said = curl(w, customers, accept);
        hides(&said, &["078-05", "8141", "true"], "Ulm");
        assert!(said.contains("\"cells\""), "{said}");
    }
    hides(&curl(w, &format!("{customers}/jo/scale"), "*/*"), &["8141"], "Scale");
    hides(&curl(w, &format!("{customers}/jo"), "*/*"), &["hidden", "u003c"], "managedFields");
    for selector in ["spec.ssn=078-05-1120", "metadata.name=jo,spec.ssn!=1", "spec.ssn%3D1"] {
        hides(&curl(w, &format!("{customers}?fieldSelector={selector}"), "*/*"), &["Ulm"], "which you may not see");
    }
    hides(&curl(w, &format!("{customers}?fieldSelector=spec.town=Ulm"), "*/*"), &["078-05"], "Ulm");
    let agent = w.kubectl("ci-bot", "agents");
    for (op, rest) in [
        ("copy", r#""from": "/data", "path": "/metadata/annotations""#),
        ("move", r#""from": "/data/password", "path": "/metadata/annotations/x""#),
        ("test", r#""path": "/data/password", "value": "aHVudGVyMg==""#),
    ] {
        let patch = format!(r#"[{{"op": "{op}", {rest}}}]"#);
        let told = said(
            &agent,
            &["patch", "secret", "key", "-n", "shop", "--type=json", "--dry-run=server", "-o", "yaml", "-p", &patch],
        );
        hides(&told, &SECRET, &format!("a JSON patch with `{op}`"));
    }
    let harmless = r#"[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]"#;
    assert!(said(&agent, &["patch", "secret", "key", "-n", "shop", "--type=json", "-p", harmless]).contains("patched"));
}

/// Pages tell no names of what is left out, and go on all the same.
fn pages(w: &KubernetesWorld) {
    let pods = "/api/v1/namespaces/shop/pods?limit=1";
    let page = |at: &str| {
        let said = curl(w, &format!("{pods}&continue={at}"), "application/json");
        hides(&said, &["theirs", "remainingItemCount"], "\"kind\"");
        let page: serde_json::Value = serde_json::from_str(said.strip_suffix("[0]").unwrap()).unwrap();
        let more = page.pointer("/metadata/continue").and_then(|c| c.as_str()).unwrap_or_default().to_owned();
        (said.contains("\"ours\""), more, said)
    };
    let (mut seen, mut more, mut all) = (false, String::new(), 0);
    while all == 0 || !more.is_empty() {
        let (has, next, _) = page(&more);
        assert!(next.is_empty() || next.starts_with("doorward."), "{next}");
        (seen, more, all) = (seen || has, next, all + 1);
    }
    assert!(seen && all > 1, "{all}");
    // {"v":"meta.k8s.io/v1","rv":-1,"start":"theirs\u0000"}
    for forged in ["eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoidGhlaXJzXHUwMDAwIn0", "doorward.00"] {
        assert!(page(forged).2.contains("Expired"));
    }
}

/// Pods whose names the API server made up have these names.
fn names(w: &KubernetesWorld) {
    let (agent, admin) = (w.kubectl("ci-bot", "agents"), w.cluster.kubectl().unwrap());
    let pod = "{apiVersion: v1, kind: Pod, metadata: {generateName: prod-, namespace: shop, labels: {made: up}}, \
               spec: {schedulerName: nobody, containers: [{name: main, image: 'example.com/x:1'}]}}";
    let made = text(&admin.output_with(&["create", "-f", "-", "-o", "name"], pod.as_bytes()).unwrap());
    assert!(made.contains("pod/prod-"), "{made}");
    hides(&said(&agent, &["get", "pods", "-n", "shop", "-o", "name"]), &["prod-"], "ours");
    hides(&said(&agent, &["get", "--raw", "/api/v1/pods?watch=true&timeoutSeconds=1"]), &["prod-"], "ours");
    hides(&said(&agent, &["delete", "pods", "-n", "shop", "-l", "made=up"]), &["deleted"], "No resources found");
    let all = "/api/v1/namespaces/shop/pods?labelSelector=made=up";
    hides(&delete(w, all), &["PodList"], "`by-name`");
    assert!(said(&admin, &["get", "pods", "-n", "shop", "-l", "made=up", "-o", "name"]).contains("prod-"));
}

fn delete(w: &KubernetesWorld, path: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "-X", "DELETE", "--cacert"]).arg(w.ca());
    curl.args(["-H", &format!("Authorization: Bearer {}", w.token("ci-bot", "agents"))]);
    text(&curl.arg(format!("https://127.0.0.1:{}{path}", w.port)).output().unwrap())
}

/// What was begun when nothing was hidden ends when something is.
fn later(w: &mut KubernetesWorld) {
    let lead = w.kubectl("jo", "leads");
    let mut watch = lead.command(&["get", "--raw", "/api/v1/namespaces/shop/secrets?watch=true&timeoutSeconds=20"]);
    let watch = watch.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let closed = POLICY.replace(
        "principal in Group::\"leads\", action == Action::\"reveal\", resource)",
        "principal in Group::\"leads\", action == Action::\"reveal\", resource is DataType)",
    );
    std::fs::write(w.gateway.directory().join("policy.cedar"), closed).unwrap();
    w.gateway.reload().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let admin = w.cluster.kubectl().unwrap();
    admin.run(&["create", "secret", "generic", "later", "-n", "shop", "--from-literal=a=hunter2-later"]).unwrap();
    let said = text(&watch.wait_with_output().unwrap());
    hides(&said, &["aHVudGVyMi1sYXRlcg==", "\"later\""], "aHVudGVyMg==");
}

/// What may not be seen of a list is left out of it.
fn lists(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let refused = said(&agent, &["get", "pod", "theirs", "-n", "shop"]);
    assert!(refused.contains("`not-theirs`"), "{refused}");
    for args in [
        &["get", "pods", "-n", "shop"][..],
        &["get", "pods", "-A"],
        &["get", "pods", "-A", "-o", "name"],
        &["get", "pods", "-n", "shop", "-o", "json"],
        &["get", "pods", "-n", "shop", "-l", "team in (other,shop)", "--chunk-size=1"],
        &["get", "--raw", "/api/v1/pods?watch=true&timeoutSeconds=1"],
    ] {
        hides(&said(&agent, args), &["theirs"], "ours");
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for accept in [table, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/yaml"] {
        for rows in ["?includeObject=None", "?includeObject=Object", ""] {
            hides(&curl(w, &format!("/api/v1/namespaces/shop/pods{rows}"), accept), &["theirs"], "ours");
        }
    }
    hides(&said(&agent, &["get", "configmaps", "-A"]), &["hidden", "vault"], "cards");
    hides(&said(&agent, &["get", "configmaps", "-A", "-o", "yaml"]), &["in-the-vault"], "cards");
    assert!(said(&agent, &["get", "configmaps", "-n", "vault"]).contains("`closed`"));
    let lead = w.kubectl("jo", "leads");
    assert!(said(&lead, &["get", "pods", "-A", "-o", "name"]).contains("theirs"));
}

/// Admission policies that quote a hidden value, one in a warning and one in a refusal.
const QUOTING: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: quoting }
spec:
  matchConstraints:
    resourceRules: [{ apiGroups: [example.com], apiVersions: [v1], operations: [UPDATE], resources: [customers] }]
  validations: [{ expression: "object.spec.town != 'Bonn'", messageExpression: "'not to Bonn: ' + object.spec.ssn" }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: warns }
spec: { policyName: quoting, validationActions: [Warn] }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: denies }
spec: { policyName: quoting, validationActions: [Deny] }
"#;

/// What cannot succeed is answered without being sent: its warnings tell no more than its body.
fn warnings_in_vain(w: &KubernetesWorld) {
    let (agent, admin) = (w.kubectl("ci-bot", "agents"), w.cluster.kubectl().unwrap());
    admin.apply(QUOTING).unwrap();
    let moved = ["patch", "customer", "jo", "-n", "shop", "--type=merge", "-p", r#"{"spec":{"town":"Bonn"}}"#];
    let dry = [&moved[..], &["--dry-run=server"]].concat();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    // Policies are in force a little later.
    loop {
        let told = said(&admin, &dry);
        if told.contains("Warning") && told.contains("[1]") && told.contains("078-05-1120") {
            break;
        }
        assert!(std::time::Instant::now() < end, "the admission policies do not quote: {told}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    hides(&said(&agent, &moved), &["078-05", "1120"], "Warning: [masked");
    admin.run(&["delete", "validatingadmissionpolicybindings", "warns", "denies"]).unwrap();
}

#[test]
fn what_is_hidden_is_shown_in_no_form() {
    let mut w = world();
    for release in [KubectlRelease::Current, KubectlRelease::Debian] {
        secrets(&w, &w.kubectl_with(release, &w.token("ci-bot", "agents")));
    }
    nothing_is_lost(&w);
    fields(&w);
    warnings_in_vain(&w);
    recognizers(&w);
    lists(&w);
    ways_around(&w);
    pages(&w);
    names(&w);
    later(&mut w);
}
