//! The audit log: tampering, crashes, full disks, concurrency.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use doorward_record::*;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}
fn event(n: u64) -> AuditEvent {
    let kind = AuditKind::Administration { by: "tester".to_owned(), what: format!("step {n}") };
    AuditEvent { time: Timestamp::from_micros(n), session: None, kind, parties: None }
}
fn small() -> AuditOptions {
    AuditOptions { file_bytes: 4096, checkpoint_lines: 8, ..AuditOptions::default() }
}
fn fill(dir: &Path, n: u64) -> Arc<AuditLog> {
    let log = AuditLog::open(dir, key(), small()).unwrap();
    for i in 0..n {
        let t = log.append(&event(i)).unwrap();
        log.wait(t).unwrap();
    }
    log
}
fn report(dir: &Path) -> Report {
    verify_log(dir, &key().verifying_key(), &VerifyOptions::default()).unwrap()
}
fn file(dir: &Path, n: u64) -> PathBuf {
    dir.join(format!("audit-{n:08}.log"))
}
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
}
/// Gives every line from `from` on, in all files, right hashes again: what an attacker can do.
fn rehash(dir: &Path, first: u64, last: u64) {
    use sha2::{Digest, Sha256};
    let mut prev = "0".repeat(64);
    for n in first..=last {
        let mut all = lines(&file(dir, n));
        for l in &mut all {
            let start = l.find("\"prev\":\"").unwrap() + 8;
            l.replace_range(start..start + 64, &prev);
            let cut = l.len() - 75;
            let hash: [u8; 32] = Sha256::new()
                .chain_update("doorward/audit/line/v1\n")
                .chain_update(&l.as_bytes()[..cut])
                .finalize()
                .into();
            prev = hex::encode(hash);
            let text = format!("{},\"hash\":\"{prev}\"}}", &l[..cut]);
            *l = text;
        }
        put(&file(dir, n), &all);
    }
}
fn last_file(dir: &Path) -> u64 {
    (1..).find(|n| !file(dir, n + 1).exists()).unwrap()
}
/// Writes a log, closes it, tampers, and expects a finding that names this file and line.
fn tampered(file_name: &str, line: u64, words: &str, tamper: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 40).stop();
    let good = report(dir.path());
    assert!(good.is_intact() && good.warnings.is_empty() && good.closed && good.entries == 40, "{good:?}");
    assert!(good.files >= 3, "{good:?}");
    tamper(dir.path());
    let bad = report(dir.path());
    let named = bad.problems.iter().any(|f| f.file == file_name && f.line == line && f.what.contains(words));
    assert!(named, "expected {file_name}:{line} {words:?}, got {:#?}", bad.problems);
}
const ONE: &str = "audit-00000001.log";

#[test]
fn every_tampering_is_found_and_named() {
    let edit = |n: u64, f: fn(&mut Vec<String>)| {
        move |d: &Path| {
            let mut l = lines(&file(d, n));
            f(&mut l);
            put(&file(d, n), &l);
        }
    };
    tampered(ONE, 5, "was changed", edit(1, |l| l[4] = l[4].replace("step", "stop")));
    tampered(ONE, 6, "does not follow", |d| {
        let mut l = lines(&file(d, 1));
        l[4] = l[4].replace("step", "stop");
        put(&file(d, 1), &l);
        rehash_one_line(d, 5);
    });
    tampered(ONE, 11, "signs line", |d| {
        let mut l = lines(&file(d, 1));
        l[4] = l[4].replace("step", "stop");
        put(&file(d, 1), &l);
        rehash(d, 1, last_file(d));
    });
    tampered(ONE, 5, "are missing", edit(1, |l| drop(l.remove(4))));
    tampered(ONE, 5, "are missing", edit(1, |l| l.swap(4, 5)));
    tampered(ONE, 6, "moved, repeated or inserted", edit(1, |l| l.insert(5, l[4].clone())));
    tampered("audit-00000002.log", 0, "the file is missing", |d| fs::remove_file(file(d, 2)).unwrap());
    tampered(ONE, 1, "renamed", |d| {
        fs::rename(file(d, 1), d.join("x")).unwrap();
        fs::rename(file(d, 2), file(d, 1)).unwrap();
        fs::rename(d.join("x"), file(d, 2)).unwrap();
    });
    tampered("head", 0, "head file was changed", |d| {
        let h = fs::read_to_string(d.join("head")).unwrap();
        fs::write(d.join("head"), h.replace("final", "open")).unwrap();
    });
    tampered("head", 0, "missing", |d| fs::remove_file(d.join("head")).unwrap());
}

fn rehash_one_line(d: &Path, n: usize) {
    use sha2::{Digest, Sha256};
    let mut l = lines(&file(d, 1));
    let cut = l[n - 1].len() - 75;
    let hash =
        Sha256::new().chain_update("doorward/audit/line/v1\n").chain_update(&l[n - 1].as_bytes()[..cut]).finalize();
    l[n - 1] = format!("{},\"hash\":\"{}\"}}", &l[n - 1][..cut], hex::encode(hash));
    put(&file(d, 1), &l);
}

#[test]
fn a_cut_end_is_found() {
    for cut in ["lines", "bytes", "file"] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 40).stop();
        let path = file(dir.path(), last_file(dir.path()));
        match cut {
            "lines" => {
                let mut l = lines(&path);
                l.truncate(l.len() - 2);
                put(&path, &l);
            }
            "bytes" => {
                let all = fs::read(&path).unwrap();
                fs::write(&path, &all[..all.len() - 30]).unwrap();
            }
            _ => fs::remove_file(&path).unwrap(),
        }
        let bad = report(dir.path());
        assert!(!bad.is_intact(), "{cut}: {bad:?}");
        let all = format!("{:?}", bad.problems);
        assert!(all.contains("cut off") || all.contains("within a line"), "{all}");
    }
}

#[test]
fn a_checkpoint_of_another_key_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 5).stop();
    let other = SigningKey::from_bytes(&[8; 32]);
    let r = verify_log(dir.path(), &other.verifying_key(), &VerifyOptions::default()).unwrap();
    assert!(r.problems.iter().any(|f| f.what.contains("checkpoint was changed or signed by another key")));
    assert!(matches!(AuditLog::open(dir.path(), other, small()), Err(OpenError::OtherKey { .. })));
}

#[test]
fn a_rollback_is_found_by_who_knows_the_head() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 5).stop();
    let saved: Vec<_> = ["head", ONE].map(|f| fs::read(dir.path().join(f)).unwrap()).into();
    let log = fill(dir.path(), 2);
    log.stop();
    let head = log.head();
    drop(log);
    let options = VerifyOptions { at_least: Some(head), ..VerifyOptions::default() };
    assert!(verify_log(dir.path(), &key().verifying_key(), &options).unwrap().is_intact());
    for (f, bytes) in ["head", ONE].iter().zip(saved) {
        fs::write(dir.path().join(f), bytes).unwrap();
    }
    assert!(report(dir.path()).is_intact(), "the documented limit");
    assert!(!verify_log(dir.path(), &key().verifying_key(), &options).unwrap().is_intact());
}

#[test]
fn a_flipped_byte_anywhere_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3).stop();
    for name in [ONE, "head"] {
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        for i in 0..good.len() {
            for bit in [0x01, 0x20] {
                let mut bad = good.clone();
                bad[i] ^= bit;
                fs::write(&path, &bad).unwrap();
                assert!(!report(dir.path()).is_intact(), "{name} byte {i} bit {bit}");
            }
        }
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_torn_tail_is_set_aside_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3).stop();
    // As after a crash: an open head, and half a line.
    let log = fill(dir.path(), 1);
    let copy = tempfile::tempdir().unwrap();
    for f in fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        fs::copy(f.path(), copy.path().join(f.file_name())).unwrap();
    }
    assert!(matches!(AuditLog::open(dir.path(), key(), small()), Err(OpenError::InUse { .. })));
    drop(log);
    let path = file(copy.path(), last_file(copy.path()));
    let mut all = fs::read(&path).unwrap();
    all.extend_from_slice(b"{\"seq\":99,\"pr");
    fs::write(&path, all).unwrap();
    assert!(!report(copy.path()).is_intact());
    fill(copy.path(), 1).stop();
    let r = report(copy.path());
    assert!(r.is_intact(), "{r:?}");
    let told = Entries::open(copy.path(), Filter::default()).unwrap().any(|e| e.unwrap().json.contains("torn"));
    assert!(told);
    let aside =
        fs::read_dir(copy.path()).unwrap().any(|f| f.unwrap().file_name().to_string_lossy().starts_with("torn"));
    assert!(aside);
}

#[test]
fn eight_threads_append_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path(), key(), AuditOptions { file_bytes: 100_000, ..small() }).unwrap();
    std::thread::scope(|s| {
        for t in 0..8 {
            let log = &log;
            s.spawn(move || {
                for i in 0..500 {
                    let ticket = log.append(&event(t * 1000 + i)).unwrap();
                    if i % 50 == 0 {
                        log.wait(ticket).unwrap();
                    }
                }
            });
        }
    });
    log.stop();
    let r = report(dir.path());
    assert!(r.is_intact() && r.entries == 4000, "{r:?}");
    assert!(log.append(&event(1)).is_err());
    let some =
        Filter { since: Some(Timestamp::from_micros(7000)), kinds: vec!["administration".into()], ..Filter::default() };
    assert_eq!(Entries::open(dir.path(), some).unwrap().count(), 500);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: needs the right to mount");
        return;
    }
    let options = AuditOptions { reserve_bytes: 128 << 10, queue_bytes: 32 << 10, ..AuditOptions::default() };
    let log = AuditLog::open(dir.path(), key(), options).unwrap();
    fs::write(dir.path().join("ballast"), vec![1; 400 << 10]).unwrap();
    let mut accepted = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    let refusal = loop {
        assert!(Instant::now() < deadline, "never refused");
        match log.append(&event(accepted)) {
            Ok(t) => {
                log.wait(t).unwrap();
                accepted += 1;
            }
            Err(e) => break e,
        }
    };
    assert!(refusal.reason.contains("disk full"), "{refusal}");
    assert!(log.health().is_err());
    fs::remove_file(dir.path().join("ballast")).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    log.health().unwrap();
    log.wait(log.append(&event(accepted)).unwrap()).unwrap();
    log.stop();
    let r = report(dir.path());
    drop(log);
    let unmounted = Command::new("umount").arg(dir.path()).status().unwrap();
    assert!(unmounted.success());
    assert!(r.is_intact() && r.entries == accepted + 1, "{r:?}");
}

#[test]
fn what_was_committed_survives_kill_9() {
    if let Ok(dir) = std::env::var("DOORWARD_RECORD_CHILD") {
        let log = AuditLog::open(Path::new(&dir), key(), small()).unwrap();
        for i in 0.. {
            let t = log.append(&event(i)).unwrap();
            if i % 3 == 0 {
                log.wait(t).unwrap();
                fs::write(Path::new(&dir).join("../told"), t.0.to_string()).unwrap();
            }
        }
    }
    let top = tempfile::tempdir().unwrap();
    let dir = top.path().join("log");
    fs::create_dir(&dir).unwrap();
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_committed_survives_kill_9", "--test-threads=1"])
            .env("DOORWARD_RECORD_CHILD", &dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 70 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let told: u64 = fs::read_to_string(top.path().join("told")).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
        assert!(report(&dir).head.seq >= told, "round {round}");
        AuditLog::open(&dir, key(), small()).unwrap().stop();
        let r = report(&dir);
        assert!(r.is_intact() && r.warnings.is_empty(), "round {round}: {r:?}");
    }
    assert!(report(&dir).entries > 20);
}

#[test]
fn backwards_is_forwards_turned_round() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 300).stop();
    let forwards: Vec<u64> = Entries::open(dir.path(), Filter::default()).unwrap().map(|e| e.unwrap().seq).collect();
    let backwards = |before| Backwards::open(dir.path(), before).unwrap().map(|e| e.unwrap().seq).collect::<Vec<_>>();
    let mut turned = backwards(None);
    turned.reverse();
    assert_eq!(turned, forwards);
    for before in [0, 1, 2, forwards[7], forwards[150], forwards[299], u64::MAX] {
        let expected: Vec<u64> = forwards.iter().rev().copied().filter(|s| *s < before).collect();
        assert_eq!(backwards(Some(before)), expected, "{before}");
    }
    // A torn end and a damaged line hide nothing else.
    let last = (1..).take_while(|n| file(dir.path(), *n).exists()).last().unwrap();
    let mut open = fs::OpenOptions::new().append(true).open(file(dir.path(), last)).unwrap();
    open.write_all(b"damaged\n{\"seq\":9").unwrap();
    turned.reverse();
    assert_eq!(backwards(None), turned);
}
