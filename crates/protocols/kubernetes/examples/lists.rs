//! How fast lists are looked at: 5,000 pods in pieces of 16 KiB, split, parsed and masked, as for a caller from whom all
//! kinds of values are hidden. `cargo run --release -p doorward-kubernetes --example lists`
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]
use doorward_detect::{Detector, Masker};
use doorward_kubernetes::{
    field::Fields,
    split::{Form, Piece, Splitter},
    veil::{Hidden, Veil},
};
use doorward_model::{DataType, Operator};
use serde_json::{Value, json};
use std::time::Instant;

fn pod(n: usize) -> Value {
    json!({
        "metadata": {
            "name": format!("web-7f9c6d5b8-{n:05}"), "generateName": "web-7f9c6d5b8-", "namespace": "shop",
            "uid": format!("2b21d74c-de40-403c-b6ba-f4c1a65e{n:04}"), "resourceVersion": format!("{}", 307_000 + n),
            "creationTimestamp": "2026-11-26T09:13:45Z",
            "labels": {"app": "web", "pod-template-hash": "7f9c6d5b8", "team": "shop"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7f9c6d5b8",
                "uid": "2b21d74c-de40-403c-b6ba-f4c1a65ed4d3", "controller": true, "blockOwnerDeletion": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                "time": "2026-11-26T09:13:45Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}]},
        "spec": {
            "volumes": [{"name": "kube-api-access-x2x7d", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}],
            "containers": [{"name": "main", "image": "registry.example.com/shop/web:1.24.3", "command": ["sh", "-c", "run"],
                "env": [{"name": "LEVEL", "value": "info"}, {"name": "DATABASE", "value": "postgres://db.shop.svc:5432/shop"}],
                "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}}, "terminationMessagePath": "/dev/termination-log",
                "volumeMounts": [{"name": "kube-api-access-x2x7d", "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "nodeName": format!("node-{}", n % 50),
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]},
        "status": {"phase": "Running", "hostIP": "10.1.2.3", "podIP": format!("10.2.{}.{}", n / 250, n % 250),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-26T09:13:45Z"}],
            "containerStatuses": [{"name": "main", "ready": true, "restartCount": 0, "imageID": "sha256:0123456789abcdef",
                "containerID": "containerd://0b0a4f2c9f3d", "state": {"running": {"startedAt": "2026-11-26T09:13:45Z"}}}]}
    })
}

fn main() {
    let list = json!({"kind": "PodList", "items": (0..5000).map(pod).collect::<Vec<_>>()}).to_string();
    let (detector, masker) = (Detector::new(), Masker::new([7; 32]));
    let all: Vec<_> = DataType::ALL.iter().map(|kind| (*kind, Operator::Redact)).collect();
    let fields = Fields::new(["pods:$.spec.containers[*].env[*].value"]).unwrap();
    let hidden: Vec<_> =
        fields.of("pods").map(|field| Hidden { field, operator: &Operator::Redact, label: "pii" }).collect();
    for (name, types, hidden) in [
        ("split and parsed", &all[..0], &hidden[..0]),
        ("a field", &all[..0], &hidden[..]),
        ("recognizers", &all[..], &hidden[..0]),
    ] {
        let veil = Veil { detector: &detector, masker: &masker, types };
        let begun = Instant::now();
        let (mut splitter, mut pieces, mut changed) = (Splitter::new(Form::List), Vec::new(), 0);
        for bytes in list.as_bytes().chunks(16 << 10) {
            splitter.push(bytes, &mut pieces).unwrap();
            for piece in pieces.drain(..) {
                if let Piece::Item(item) = piece {
                    let mut value: Value = serde_json::from_slice(&item).unwrap();
                    changed += usize::from(veil.object(&mut value, "pods", hidden));
                }
            }
        }
        let took = begun.elapsed();
        let rate = list.len() as f64 / 1e6 / took.as_secs_f64();
        println!("{name}: {:.1} MB, {changed} changed, {took:?}, {rate:.0} MB/s", list.len() as f64 / 1e6);
    }
}
