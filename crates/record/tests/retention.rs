//! Old files go, and what is left can still be verified; what somebody else took is found.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
use doorward_enforce::AuditSink as _;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use doorward_record::{
    AuditLog, AuditOptions, Entries, Filter, Head, PruneError, Report, SigningKey, Tail, TailError, VerifyOptions,
    copy_log, finish_pruning, mark_restored, prunable, prune, prune_recordings, verify_log,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};
use tempfile::TempDir;

const LATER: Timestamp = Timestamp::from_secs(4_000_000_000);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A log of several files, still open.
fn log() -> (TempDir, PathBuf, std::sync::Arc<AuditLog>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let options = AuditOptions { file_bytes: 4 << 10, reserve_bytes: 8 << 20, ..AuditOptions::default() };
    let log = AuditLog::open(&path, key(), options).unwrap();
    for n in 0..60 {
        let event = AuditEvent {
            time: SystemTime::now().into(),
            session: None,
            kind: AuditKind::Administration { by: "test".into(), what: format!("{n} {}", "x".repeat(200)) },
            parties: None,
        };
        log.wait(log.append(&event).unwrap()).unwrap();
    }
    // A checkpoint in the newest file, so that the head file is as young.
    let first_of_newest = numbers_of(&path).last().map(|f| first_seq(f)).unwrap();
    while head_seq(&path) <= first_of_newest {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    (dir, path, log)
}

fn numbers_of(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "log"));
    files.sort();
    files
}

fn first_seq(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    text.split([':', ',']).nth(1).unwrap().parse().unwrap()
}

fn head_seq(path: &Path) -> u64 {
    fs::read_to_string(path.join("head")).unwrap().lines().nth(1).unwrap().parse().unwrap()
}

fn verify(path: &Path) -> Report {
    verify_log(path, &key().verifying_key(), &VerifyOptions::default()).unwrap()
}

fn file(path: &Path, number: u64) -> PathBuf {
    path.join(format!("audit-{number:08}.log"))
}

#[test]
fn old_files_go_and_the_rest_is_intact() {
    let (_dir, path, log) = log();
    let all = verify(&path);
    assert!(all.is_intact() && all.files > 3 && all.begins.is_none(), "{all:?}");
    let head = log.head();
    // Nothing is old enough; nothing that is needed; never the newest.
    assert_eq!(prunable(&path, &key().verifying_key(), Timestamp::from_secs(1), u64::MAX).unwrap(), None);
    assert_eq!(prunable(&path, &key().verifying_key(), LATER, 5).unwrap(), None);
    let begin = prunable(&path, &key().verifying_key(), LATER, 30).unwrap().unwrap();
    assert!(begin.after.seq < 30 && begin.file > 1);
    let removed = prune(&path, &key(), &begin).unwrap();
    assert_eq!(removed, begin.file - 1);
    let left = verify(&path);
    assert!(left.is_intact(), "{:?}", left.problems);
    assert_eq!((left.begins.as_ref(), left.files), (Some(&begin), all.files - removed));
    let known = |head| VerifyOptions { at_least: Some(head), ..VerifyOptions::default() };
    assert!(verify_log(&path, &key().verifying_key(), &known(head)).unwrap().is_intact());
    let old: Head = format!("3/{}", "a".repeat(64)).parse().unwrap();
    let report = verify_log(&path, &key().verifying_key(), &known(old)).unwrap();
    assert!(report.is_intact() && report.warnings.iter().any(|w| w.what.contains("cannot be looked for")));
    let first = Entries::open(&path, Filter::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(first.seq, begin.after.seq + 2, "the file's own line is first");
    // A reader that was before says so; one that was right there goes on.
    let before = Head { seq: 2, hash: first.hash };
    assert!(matches!(Tail::open(&path, Some(before)), Err(TailError::Gone { next: 3, .. })));
    assert!(Tail::open(&path, Some(begin.after)).unwrap().is_some());

    // Again, up to the newest, and on over a restart.
    let next = prunable(&path, &key().verifying_key(), LATER, u64::MAX).unwrap().unwrap();
    assert!(next.file > begin.file);
    prune(&path, &key(), &next).unwrap();
    assert_eq!((verify(&path).files, verify(&path).is_intact()), (1, true));
    log.stop();
    drop(log);
    let log = AuditLog::open(&path, key(), AuditOptions::default()).unwrap();
    assert_eq!(prunable(&path, &key().verifying_key(), LATER, u64::MAX).unwrap(), None);
    log.stop();
    assert!(verify(&path).is_intact());
}

/// A copy of an open log, as a back-up has it, is opened: it goes on under another name, and can be pruned across the seam.
#[test]
fn a_restored_log_goes_on_under_another_name_and_is_pruned_as_before() {
    let (_dir, path, log) = log();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("audit");
    fs::create_dir(&copy).unwrap();
    let mut order = Vec::new();
    copy_log(&path, |name, mut from, length| {
        order.push(name.to_owned());
        let mut to = fs::File::create(copy.join(name))?;
        std::io::copy(&mut std::io::Read::take(&mut from, length), &mut to).map(drop)
    })
    .unwrap();
    assert!(order.first().is_some_and(|n| n == "head") && order.len() > 4, "{order:?}");
    drop(log);
    let old = Tail::open(&path, None).unwrap().unwrap().log().to_owned();
    mark_restored(&copy, "by a test").unwrap();
    let options = || AuditOptions { file_bytes: 4 << 10, reserve_bytes: 8 << 20, ..AuditOptions::default() };
    let log = AuditLog::open(&copy, key(), options()).unwrap();
    let seam = log.head();
    for n in 0..60 {
        let kind = AuditKind::Administration { by: "test".into(), what: format!("new {n} {}", "y".repeat(200)) };
        let event = AuditEvent { time: SystemTime::now().into(), session: None, kind, parties: None };
        log.wait(log.append(&event).unwrap()).unwrap();
    }
    log.stop();
    drop(log);
    assert!(!copy.join("restored").exists());
    let report = verify(&copy);
    assert!(report.is_intact(), "{:?}", report.problems);
    assert!(report.warnings.iter().any(|w| w.what.contains(&format!("log {old} was restored"))), "{report:?}");
    // A reader hears of the other name as it comes to it.
    let mut tail = Tail::open(&copy, None).unwrap().unwrap();
    assert_eq!(tail.log(), old);
    while tail.next(report.head.seq).unwrap().is_some() {}
    assert_ne!(tail.log(), old);
    // It opens again under that name, and is pruned before, across and after the seam.
    AuditLog::open(&copy, key(), options()).unwrap().stop();
    for needed in [seam.seq - 20, seam.seq + 20, u64::MAX] {
        let begin = prunable(&copy, &key().verifying_key(), LATER, needed).unwrap().unwrap();
        prune(&copy, &key(), &begin).unwrap();
        assert!(verify(&copy).is_intact(), "{:?}", verify(&copy).problems);
    }
    assert_eq!(verify(&copy).files, 1);
}

#[test]
fn what_the_head_file_signs_stays() {
    let (_dir, path, _log) = log();
    let kept = fs::read(path.join("head")).unwrap();
    let third = first_seq(&file(&path, 3));
    // Without a head nothing goes.
    fs::remove_file(path.join("head")).unwrap();
    assert_eq!(prunable(&path, &key().verifying_key(), LATER, third).unwrap(), None);
    fs::write(path.join("head"), kept).unwrap();
    assert!(prunable(&path, &key().verifying_key(), LATER, third).unwrap().is_some());
}

#[test]
fn an_interrupted_removal_is_no_tampering_and_is_finished() {
    let (_dir, path, _log) = log();
    let begin = prunable(&path, &key().verifying_key(), LATER, u64::MAX).unwrap().unwrap();
    let left_over = fs::read(file(&path, begin.file - 1)).unwrap();
    prune(&path, &key(), &begin).unwrap();
    fs::write(file(&path, begin.file - 1), left_over).unwrap();
    let report = verify(&path);
    assert!(report.is_intact() && report.warnings.iter().any(|w| w.what.contains("interrupted")), "{report:?}");
    assert_eq!(finish_pruning(&path, &key().verifying_key()).unwrap(), 1);
    assert!(!verify(&path).warnings.iter().any(|w| w.what.contains("interrupted")));
}

#[test]
fn who_takes_files_is_found() {
    let (_dir, path, log) = log();
    // Without a signed beginning.
    let one = fs::read(file(&path, 1)).unwrap();
    fs::remove_file(file(&path, 1)).unwrap();
    assert!(verify(&path).problems.iter().any(|p| p.what.contains("the file is missing")));
    fs::write(file(&path, 1), &one).unwrap();
    assert!(verify(&path).is_intact());

    let first = prunable(&path, &key().verifying_key(), LATER, 15).unwrap().unwrap();
    prune(&path, &key(), &first).unwrap();
    let early = fs::read(path.join("begin")).unwrap();
    let two = fs::read(file(&path, first.file)).unwrap();
    // One more than is signed off.
    fs::remove_file(file(&path, first.file)).unwrap();
    assert!(!verify(&path).is_intact());
    fs::write(file(&path, first.file), &two).unwrap();
    // The beginning taken away, or moved on, or that of somebody else.
    fs::remove_file(path.join("begin")).unwrap();
    assert!(!verify(&path).is_intact());
    let text = String::from_utf8(early.clone()).unwrap();
    fs::write(path.join("begin"), text.replace(&format!("file {}", first.file), &format!("file {}", first.file + 1)))
        .unwrap();
    assert!(verify(&path).problems.iter().any(|p| p.file == "begin"));
    fs::write(path.join("begin"), fs::read(path.join("head")).unwrap()).unwrap();
    assert!(!verify(&path).is_intact(), "a checkpoint is no beginning");
    let other = doorward_record::Beginning { log: first.log.clone(), ..first.clone() };
    fs::remove_file(path.join("begin")).unwrap();
    prune(&path, &SigningKey::from_bytes(&[1; 32]), &other).unwrap();
    assert!(!verify(&path).is_intact());
    // An old beginning, after a later one was signed.
    fs::write(path.join("begin"), &early).unwrap();
    assert!(verify(&path).is_intact());
    let second = prunable(&path, &key().verifying_key(), LATER, u64::MAX).unwrap().unwrap();
    prune(&path, &key(), &second).unwrap();
    fs::write(path.join("begin"), &early).unwrap();
    assert!(verify(&path).problems.iter().any(|p| p.what.contains("the file is missing")));
    drop(log);
}

#[test]
fn recordings_go_by_age_but_not_those_that_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["old.dwr", "held.dwr", "other.txt"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let mut noted = Vec::new();
    let none = prune_recordings(dir.path(), Timestamp::from_secs(1), |_| false, |_, _| panic!("nothing is old"));
    assert_eq!(none.unwrap(), 0);
    assert!(
        prune_recordings(dir.path(), LATER, |s| s == "held", |_, _| Err(PruneError::NotNoted("disk full".into())))
            .is_err()
    );
    assert_eq!(prune_recordings(dir.path(), LATER, |s| s == "held", |_, _| Ok(false)).unwrap(), 0);
    assert!(dir.path().join("old.dwr").exists(), "who is asked has the last word");
    let gone = prune_recordings(
        dir.path(),
        LATER,
        |s| s == "held",
        |s, remove| {
            noted.push(s.to_owned());
            remove().unwrap();
            Ok(true)
        },
    );
    assert_eq!((gone.unwrap(), noted), (1, vec!["old".to_owned()]));
    assert!(dir.path().join("held.dwr").exists() && dir.path().join("other.txt").exists());
}
