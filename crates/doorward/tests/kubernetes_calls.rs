//! A thousand calls of the API, with everything permitted and nothing hidden: the answers are the API server's own, but for
//! what `e2e/clients/kubernetes-calls/calls.yaml` says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::kubernetes::KubernetesWorld;
use doorward_testkit::{cache_dir, repo_root};
use std::process::Command;

#[test]
fn every_call_is_answered_as_without_a_gateway() {
    let w = KubernetesWorld::start("@id(\"all\") permit (principal, action, resource);");
    // The account that the gateway has in the cluster.
    let token = w.cluster.service_account_token("doorward", "gateway", "cluster-admin").unwrap();
    let out = Command::new(cache_dir().join("venv-kubernetes/bin/python"))
        .arg(repo_root().join("e2e/clients/kubernetes-calls/calls.py"))
        .env("CALLS_DIRECT", w.cluster.url())
        .env("CALLS_DIRECT_CA", w.cluster.ca_file())
        .env("CALLS_DIRECT_TOKEN", token)
        .env("CALLS_GATEWAY", format!("https://127.0.0.1:{}", w.port))
        .env("CALLS_GATEWAY_CA", w.ca())
        .env("CALLS_GATEWAY_TOKEN", w.token("ci-bot", "agents"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    println!("{said}");
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
}
