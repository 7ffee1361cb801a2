//! Cursors, restarts, outages and missing parts, with files as sinks: what holds for every sink.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod common;
use common::{World, export, pace, to_file, until};
use doorward_enforce::AuditSink as _;
use doorward_export::{Exporters, Format, State, Target};
use doorward_model::{AuditOutcome, Timestamp};
use doorward_record::{AuditLog, SigningKey};
use doorward_store::Store;
use serde_json::Value;
use std::{fs, path::Path, sync::Arc, time::Duration};

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap_or_default().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn seqs(path: &Path) -> Vec<u64> {
    lines(path).iter().map(|l| l["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_arrive_in_order_once_and_say_whose_they_are() {
    let w = World::new().await;
    let out = w.path("out.jsonl");
    let exporters = w.start(vec![to_file("plain", &out)]).await;
    let n = w.traffic(1, 300) + w.traffic(2, 300);
    let status = &until(&exporters, |s| s[0].acknowledged == n as u64 && s[0].state == State::Idle).await[0];
    assert_eq!((status.failures, status.oldest_unsent, status.last_error.clone()), (0, None, None));
    assert!(status.last_success.is_some());
    let got = lines(&out);
    assert_eq!(got.len(), n);
    assert!(seqs(&out).is_sorted_by(|a, b| a < b));
    let last = &got[n - 1];
    assert_eq!((last["principal"].as_str(), last["connection"].as_str()), (Some("ci/bot"), Some("orders")));
    assert_eq!((last["kind"].as_str(), last["client"].as_str()), (Some("postgres"), Some("192.0.2.7:51234")));
    assert_eq!(last["entry"]["event"], "request");
    // Checkpoints need no work: nothing stays behind.
    until(&exporters, |s| s[0].lag == 0).await;
    exporters.stop(Duration::from_secs(5)).await;
    assert_eq!(exporters.statuses()[0].state, State::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_was_and_still_knows_the_sessions() {
    let w = World::new().await;
    let out = w.path("out.jsonl");
    let first = w.start(vec![to_file("plain", &out)]).await;
    let n = w.traffic(1, 10);
    until(&first, |s| s[0].acknowledged == n as u64).await;
    first.stop(Duration::from_secs(5)).await;
    // While nobody exports, and over a change of files and a restart of the log and the store.
    for i in 0..200 {
        w.append(&common::request(1, 20 + i, "select 2", AuditOutcome::Forward));
    }
    drop(first);
    let World { dir, log, store } = w;
    log.stop();
    drop(log);
    store.close().await;
    let log = AuditLog::open(&dir.path().join("audit"), SigningKey::from_bytes(&[7; 32]), common::options()).unwrap();
    let store = Store::open(dir.path(), Timestamp::default()).await.unwrap();
    let w = World { dir, log, store };
    assert!(fs::read_dir(w.log.dir()).unwrap().count() > 5, "several files");
    let second = w.start(vec![to_file("plain", &out)]).await;
    assert_eq!(second.statuses()[0].acknowledged, n as u64);
    until(&second, |s| s[0].acknowledged == n as u64 + 200).await;
    let got = lines(&out);
    assert_eq!(got.len(), n + 200);
    assert!(seqs(&out).is_sorted_by(|a, b| a < b));
    assert!(got.iter().skip(2).all(|l| l["principal"] == "ci/bot"), "known from before the cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_loses_nothing_and_holds_up_nobody() {
    let w = World::new().await;
    let (out, missing) = (w.path("out.jsonl"), w.path("not-mounted-yet"));
    let late = missing.join("late.jsonl");
    let exporters = w.start(vec![to_file("late", &late), to_file("prompt", &out)]).await;
    let n = w.traffic(1, 500);
    let s = until(&exporters, |s| s[1].acknowledged == n as u64 && s[0].failures > 2).await;
    assert_eq!((s[0].state, s[0].acknowledged), (State::Retrying, 0));
    assert!(s[0].lag >= n as u64 && s[0].oldest_unsent.is_some());
    let (_, why) = s[0].last_error.clone().unwrap();
    assert!(why.contains("late.jsonl") && why.contains("No such file"), "{why}");
    assert!(exporters.needed_from().unwrap() <= 3, "before the first entry");
    fs::create_dir(&missing).unwrap();
    let s = until(&exporters, |s| s[0].acknowledged == n as u64).await;
    assert_eq!((s[0].failures, s[0].lag), (0, s[1].lag));
    assert_eq!(seqs(&late), seqs(&out));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cursor_what_was_acknowledged_comes_again() {
    let w = World::new().await;
    let out = w.path("out.jsonl");
    let first = w.start(vec![to_file("plain", &out)]).await;
    let n = w.traffic(1, 50);
    until(&first, |s| s[0].acknowledged == n as u64).await;
    first.stop(Duration::from_secs(5)).await;
    // As after a crash between the acknowledgement and the cursor: at least once.
    let again = w.start(vec![to_file("other name", &out)]).await;
    until(&again, |s| s[0].acknowledged == n as u64).await;
    let mut got = seqs(&out);
    assert_eq!(got.len(), 2 * n);
    got.sort_unstable();
    got.dedup();
    assert_eq!(got.len(), n);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_gone_or_changed_is_never_passed_over() {
    let w = World::new().await;
    let missing = w.path("not-mounted-yet");
    let exporters = w.start(vec![to_file("late", &missing.join("out"))]).await;
    let n = w.traffic(1, 300);
    w.log.wait(doorward_enforce::Ticket(w.log.head().seq)).unwrap();
    until(&exporters, |s| s[0].failures > 0).await;
    exporters.stop(Duration::from_millis(10)).await;
    fs::create_dir(&missing).unwrap();
    let first = w.log.dir().join("audit-00000001.log");
    let second = w.log.dir().join("audit-00000002.log");
    assert!(second.exists() && !w.log.dir().join("audit-00000099.log").exists());

    // A cursor in the first file, which somebody removes.
    let cursor = to_file("cursor", &w.path("cursor.jsonl"));
    let kept = fs::read(&first).unwrap();
    let one = Exporters::start(&w.source(), vec![cursor.clone()], &pace()).await.unwrap();
    until(&one, |s| s[0].acknowledged == n as u64).await;
    one.stop(Duration::from_secs(5)).await;
    let head: doorward_record::Head = {
        let text = String::from_utf8(kept.clone()).unwrap();
        let line = text.lines().nth(5).unwrap();
        let value: Value = serde_json::from_str(line).unwrap();
        format!("{}/{}", value["seq"], value["hash"].as_str().unwrap()).parse().unwrap()
    };
    let back = doorward_store::StoredCursor {
        seq: head.seq,
        hash: head.hash.to_string(),
        entries: 5,
        updated: Timestamp::default(),
    };
    w.store.export_acknowledged("cursor", &back).await.unwrap();
    let away = w.path("away");
    fs::rename(&first, &away).unwrap();
    let two = Exporters::start(&w.source(), vec![cursor.clone()], &pace()).await.unwrap();
    let s = until(&two, |s| s[0].state == State::Halted && s[0].failures > 1).await;
    let (_, why) = s[0].last_error.clone().unwrap();
    assert!(why.contains(&format!("line {} of the audit log is gone", head.seq + 1)), "{why}");
    assert_eq!(s[0].acknowledged, 5);
    // Put back, it goes on by itself.
    fs::rename(&away, &first).unwrap();
    until(&two, |s| s[0].lag == 0 && s[0].state == State::Idle).await;
    two.stop(Duration::from_secs(5)).await;

    // A changed line behind the cursor.
    w.store.export_acknowledged("cursor", &back).await.unwrap();
    let changed = String::from_utf8(kept).unwrap().replacen("\"select 1\"", "\"select 9\"", 20);
    fs::write(&first, changed).unwrap();
    let three = Exporters::start(&w.source(), vec![cursor], &pace()).await.unwrap();
    let s = until(&three, |s| s[0].state == State::Halted).await;
    let (_, why) = s[0].last_error.clone().unwrap();
    assert!(why.contains("was changed at line"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_asked_for_is_sent() {
    let w = World::new().await;
    let out = w.path("out.jsonl");
    let mut config = export("few", Target::File { path: out.clone() }, Format::Cef);
    config.events = vec!["authenticated".into()];
    let exporters = w.start(vec![config]).await;
    w.traffic(1, 50);
    w.traffic(2, 50);
    until(&exporters, |s| s[0].acknowledged == 2 && s[0].lag == 0).await;
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.starts_with("CEF:0|Doorward|Doorward|") && text.contains("|authenticated|authenticated|1|rt="),
        "{text}"
    );
    assert!(text.contains(" suser=ci/bot ") && text.contains("src=192.0.2.7 spt=51234"), "{text}");
    assert!(Arc::strong_count(&w.log) > 1 && w.log.committed().0 > 0);
}
