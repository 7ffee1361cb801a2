//! Formats, read by what others publish: the schema of OCSF, the types of OpenTelemetry.
//!
//! Needs `scripts/install-test-deps` (Python packages ocsf-json-schema, opentelemetry-proto).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod common;
use common::{World, every_kind, export, until};
use doorward_export::{Format, Target};
use doorward_testkit::{cache_dir, repo_root};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

/// Runs the checker of `e2e/clients/siem-python` over a file.
fn check(what: &str, file: &Path) -> Vec<Value> {
    let python = cache_dir().join("venv-siem/bin/python");
    assert!(python.exists(), "{} is missing: run `scripts/install-test-deps`", python.display());
    let script = repo_root().join("e2e/clients/siem-python/check.py");
    let run = Command::new(python).arg(script).arg(what).arg(file).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

async fn written(format: Format) -> (World, String) {
    let w = World::new().await;
    let out = w.path("out");
    let exporters = w.start(vec![export("all", Target::File { path: out.clone() }, format)]).await;
    let events = every_kind();
    for event in &events {
        w.append(event);
    }
    until(&exporters, |s| s[0].acknowledged == events.len() as u64).await;
    exporters.stop(Duration::from_secs(5)).await;
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), events.len(), "a line each, whatever is in them");
    (w, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn ocsf_is_what_its_schema_says() {
    let (w, text) = written(Format::Ocsf).await;
    let checked = check("ocsf", &w.path("out"));
    assert_eq!(checked.len(), text.lines().count());
    let classes: BTreeSet<(String, u64)> =
        checked.iter().map(|e| (e["kind"].as_str().unwrap().to_owned(), e["class"].as_u64().unwrap())).collect();
    for expected in [
        ("gateway_started", 6002),
        ("session_opened", 4001),
        ("session_opened", 4007),
        ("authenticated", 3002),
        ("authentication_failed", 3002),
        ("request", 6005),
        ("request", 6003),
        ("request", 4007),
        ("completed", 6005),
        ("file_copied", 6006),
        ("approval_decided", 3004),
        ("policy_changed", 3004),
        ("administration", 3004),
        ("fault", 6008),
        ("cancel", 4001),
    ] {
        assert!(classes.contains(&(expected.0.to_owned(), expected.1)), "{expected:?} in {classes:?}");
    }
    let kinds: BTreeSet<&str> = classes.iter().map(|(k, _)| k.as_str()).collect();
    assert_eq!(kinds, doorward_model::AUDIT_KINDS.into(), "every kind is tried");
    let refused: Value = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .find(|e| e["class_uid"] == 6005 && e["unmapped"]["outcome"] == "refuse")
        .unwrap();
    assert_eq!((&refused["disposition"], &refused["status"]), (&"Blocked".into(), &"Failure".into()));
    assert_eq!(refused["actor"]["user"]["uid"], "ci/bot");
    assert_eq!(refused["src_endpoint"]["ip"], "192.0.2.7");
    // The person through the agent that acts for them.
    let acting: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|e| e["actor"]["app_uid"] == "ci/bot" && e["actor"]["app_name"] == "bot")
        .collect();
    let query = acting.iter().find(|e| e["class_uid"] == 6005).unwrap();
    assert_eq!((&query["actor"]["user"]["uid"], &query["actor"]["user"]["type"]), (&"ci/dana".into(), &"User".into()));
    let logon = acting.iter().find(|e| e["class_uid"] == 3002).unwrap();
    assert_eq!((&logon["user"]["uid"], &logon["unmapped"]["parties"]["actor"]), (&"ci/dana".into(), &"ci/bot".into()));
    assert!(refused["query_info"]["query_string"].as_str().unwrap().contains("a|b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_finds_what_does_not_fit() {
    let (w, text) = written(Format::Ocsf).await;
    let out = w.path("spoilt");
    let line = text.lines().find(|l| l.contains("\"class_uid\":6003")).unwrap();
    for (from, to) in
        [("\"activity_id\"", "\"activity\""), ("\"actor\"", "\"performer\""), ("\"severity_id\":", "\"severity_id\":1")]
    {
        fs::write(&out, line.replacen(from, to, 1)).unwrap();
        assert!(std::panic::catch_unwind(|| check("ocsf", &out)).is_err(), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cef_keeps_its_separators() {
    let (_w, text) = written(Format::Cef).await;
    let request = text.lines().find(|l| l.contains("|request|request|6|")).unwrap();
    assert!(
        request.contains(r#"cs2Label=statement cs2=select * from "a|b\\c" where x \= 'é\n🦀' cs3Label="#),
        "{request}"
    );
    assert!(request.contains("act=refused") && request.contains("reason=refused by policy"), "{request}");
    assert!(text.lines().any(|l| l.contains("|request|") && l.contains(" suser=ci/bot for ci/dana ")), "{text}");
    assert!(text.lines().all(|l| l.starts_with("CEF:0|Doorward|Doorward|") && !l.contains('\r')));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_holds_the_entry_as_the_log_has_it() {
    let (w, text) = written(Format::Json).await;
    let kept: Vec<String> = doorward_record::Entries::open(w.log.dir(), doorward_record::Filter::default())
        .unwrap()
        .map(|e| e.unwrap().json)
        .collect();
    for (line, entry) in text.lines().zip(&kept) {
        assert!(line.ends_with(&format!(",\"entry\":{entry}}}")), "{line}");
    }
    assert_eq!(text.lines().count(), kept.len());
    assert!(text.lines().any(|l| l.contains("\"principal\":\"ci/bot for ci/dana\"")), "{text}");
}
