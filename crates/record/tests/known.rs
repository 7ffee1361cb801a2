//! What others have of a log, held against it: a back-up that was put back and written on verifies by itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use doorward_record::*;
use std::{fs, path::Path};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn write(dir: &Path, what: &str, n: u64) {
    let log = AuditLog::open(dir, key(), AuditOptions::default()).unwrap();
    for i in 0..n {
        let kind = AuditKind::Administration { by: "tester".to_owned(), what: format!("{what} {i}") };
        let event = AuditEvent { time: Timestamp::from_micros(i), session: None, kind, parties: None };
        log.wait(log.append(&event).unwrap()).unwrap();
    }
    log.stop();
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// An export as `doorward audit export` writes it.
fn exported(dir: &Path) -> String {
    let line = |e: Entry| format!("{{\"seq\":{},\"hash\":\"{}\",\"entry\":{}}}\n", e.seq, e.hash, e.json);
    Entries::open(dir, Filter::default()).unwrap().map(|e| line(e.unwrap())).collect()
}

fn read(text: &str) -> std::io::Result<Known> {
    let mut known = Known::default();
    known.read(text.as_bytes(), &key().verifying_key()).map(|()| known)
}

fn verified(dir: &Path, known: &str) -> Report {
    let options = VerifyOptions { known: read(known).unwrap(), ..VerifyOptions::default() };
    verify_log(dir, &key().verifying_key(), &options).unwrap()
}

#[test]
fn a_backup_that_is_put_back_and_written_on_contradicts_what_others_have() {
    for is_orderly in [false, true] {
        let [live, backup] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (live, backup) = (live.path(), backup.path());
        write(live, "before", 5);
        copy(live, backup);
        let early = exported(live);
        write(live, "lost", 5);
        let (export, head) = (exported(live), fs::read_to_string(live.join("head")).unwrap());
        let ends_at = verify_log(live, &key().verifying_key(), &VerifyOptions::default()).unwrap().head;
        let file = fs::read_to_string(live.join("audit-00000002.log"))
            .or_else(|_| fs::read_to_string(live.join("audit-00000001.log")))
            .unwrap();
        for known in [&export, &head, &file, &ends_at.to_string(), &early] {
            assert!(verified(live, known).is_intact(), "of the same branch: {known}");
        }
        // Put back, without a word or in order, and written on: shorter than it was, as long, and longer.
        if is_orderly {
            mark_restored(backup, "by a test").unwrap();
        }
        for more in [2, 3, 20] {
            write(backup, "instead", more);
            assert!(verified(backup, "").is_intact(), "by itself it verifies: the documented limit");
            assert!(verified(backup, &early).is_intact(), "what was before is common to both");
            for known in [&export, &head, &file, &ends_at.to_string()] {
                let report = verified(backup, known);
                let says = |what: &str| report.problems.iter().any(|f| f.what.contains(what));
                assert!(says("known with another hash") || says("the end was cut off"), "{more}: {report:?}");
            }
        }
        assert!(verified(backup, &exported(backup)).is_intact());
    }
}

#[test]
fn what_is_no_line_of_a_log_is_an_error_that_says_which() {
    let hash = "0".repeat(64);
    assert_eq!(read(&format!("7/{hash}\n\n{{\"seq\":8,\"hash\":\"{hash}\",\"entry\":{{}}}}\n")).unwrap().len(), 2);
    for (odd, says) in [
        (format!("7/{hash}\nnonsense\n"), "line 2"),
        (format!("{{\"seq\":8,\"hash\":\"{}\"}}", "0".repeat(63)), "line 1"),
        ("{\"seq\":8}".to_owned(), "line 1"),
        ("doorward/audit/x\n1\n".to_owned(), "signed by another key"),
    ] {
        let said = read(&odd).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    // A head of another gateway's.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "x", 1);
    let note = fs::read_to_string(dir.path().join("head")).unwrap();
    let mut known = Known::default();
    let other = SigningKey::from_bytes(&[8; 32]);
    assert!(known.read(note.as_bytes(), &other.verifying_key()).is_err() && known.is_empty());
}
