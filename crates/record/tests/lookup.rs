//! One entry by its number, pages from the middle, and what proves an entry.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by panicking")]
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use doorward_record::*;
use std::{path::Path, sync::Arc};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Lines of very different lengths: places in the file say nothing about numbers.
fn fill(dir: &Path, n: u64, file_bytes: u64) -> Arc<AuditLog> {
    let log = AuditLog::open(dir, key(), AuditOptions { file_bytes, checkpoint_lines: 16, ..AuditOptions::default() });
    let log = log.unwrap();
    for i in 0..n {
        let what = format!("step {i} {}", "x".repeat(if i % 37 == 0 { 9_000 } else { 10 }));
        let kind = AuditKind::Administration { by: "tester".to_owned(), what };
        let ticket =
            log.append(&AuditEvent { time: Timestamp::from_micros(i), session: None, kind, parties: None }).unwrap();
        log.wait(ticket).unwrap();
    }
    log
}

fn all(dir: &Path) -> Vec<(u64, String)> {
    Entries::open(dir, Filter::default()).unwrap().map(|e| e.unwrap()).map(|e| (e.seq, e.json)).collect()
}

#[test]
fn every_entry_is_found_by_its_number_in_one_file_and_in_many() {
    for file_bytes in [64 << 20, 40_000] {
        let dir = tempfile::tempdir().unwrap();
        let log = fill(dir.path(), 1_500, file_bytes);
        let known = all(dir.path());
        assert_eq!(known.len(), 1_500);
        for (seq, json) in known.iter().step_by(7) {
            assert_eq!(find_entry(dir.path(), *seq).unwrap().unwrap().json, *json);
        }
        let numbers: std::collections::BTreeSet<u64> = known.iter().map(|k| k.0).collect();
        for own in (1..=log.head().seq).filter(|seq| !numbers.contains(seq)) {
            assert!(find_entry(dir.path(), own).unwrap().is_none(), "{own} is a line of the log's own");
        }
        for beyond in [0, log.head().seq + 1, u64::MAX] {
            assert!(find_entry(dir.path(), beyond).unwrap().is_none(), "{beyond}");
        }
        assert_eq!(oldest_line(dir.path()).unwrap(), Some(1));
        log.stop();
    }
}

#[test]
fn a_page_from_the_middle_is_what_stands_before_it() {
    for file_bytes in [64 << 20, 40_000] {
        let dir = tempfile::tempdir().unwrap();
        let log = fill(dir.path(), 700, file_bytes);
        let known = all(dir.path());
        for before in (1..=log.head().seq + 2).step_by(31) {
            let page: Vec<u64> = Backwards::open(dir.path(), Some(before)).unwrap().map(|e| e.unwrap().seq).collect();
            let expected: Vec<u64> = known.iter().rev().map(|k| k.0).filter(|seq| *seq < before).collect();
            assert_eq!(page, expected, "before {before}");
        }
        log.stop();
    }
}

/// As somebody does it who has the lines and the public key, and not this program.
fn is_proven(proof: &Proof) -> bool {
    use sha2::{Digest, Sha256};
    let mut previous = proof.previous.to_string();
    for line in &proof.lines {
        let cut = line.len() - 75;
        let hash = Sha256::new().chain_update("doorward/audit/line/v1\n").chain_update(&line.as_bytes()[..cut]);
        let hash = hex::encode(hash.finalize());
        if !line.contains(&format!("\"prev\":\"{previous}\"")) || !line.ends_with(&format!("{hash}\"}}")) {
            return false;
        }
        previous = hash;
    }
    let checkpoint = proof.checkpoint.as_ref().unwrap();
    let mut raw = [0; 64];
    hex::decode_to_slice(&checkpoint.signature, &mut raw).unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(&raw);
    checkpoint.head == previous && key().verifying_key().verify_strict(checkpoint.text().as_bytes(), &signature).is_ok()
}

#[test]
fn an_entry_is_proven_up_to_the_checkpoint_that_signs_it() {
    for file_bytes in [64 << 20, 40_000] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 300, file_bytes).stop();
        for (seq, json) in all(dir.path()) {
            let mut proof = prove_entry(dir.path(), seq).unwrap().unwrap();
            assert_eq!(proof.entry.json, json);
            assert!(is_proven(&proof), "{seq}: {proof:?}");
            proof.lines[0] = proof.lines[0].replacen("step", "stop", 1);
            assert!(!is_proven(&proof), "{seq}: a changed entry is not proven");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3, 64 << 20).stop();
    assert!(prove_entry(dir.path(), 99).unwrap().is_none());
}
