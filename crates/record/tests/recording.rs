//! Recordings: round trip, damage, full disks, exports.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
use doorward_model::Timestamp;
use doorward_record::*;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}
fn meta(session: &str) -> RecordingMeta {
    RecordingMeta {
        session: session.to_owned(),
        connection: "orders".to_owned(),
        protocol: "postgres".to_owned(),
        started: Timestamp::from_secs(1_800_000_000),
        client: "127.0.0.1:1".to_owned(),
        more: serde_json::Value::Null,
    }
}
fn at(n: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + n)
}
fn sample(dir: &Path) -> PathBuf {
    let store = RecordStore::open(dir, key(), RecordOptions::default()).unwrap();
    let r = store.start(meta("s-1"));
    let path = r.path().to_owned();
    r.frame(Direction::Client, at(1), b"Q\0\0\0\x0eselect 1;\0");
    r.redacted(Direction::Client, at(2), 30, "password");
    r.meta(at(3), &serde_json::json!({ "principal": "ci/bot" }));
    r.frame(Direction::Upstream, at(4), &b"D\0\0\0\x0b\0\x01\0\0\0\x011".repeat(20_000));
    r.finish(at(9), "client left");
    store.stop();
    path
}

#[test]
fn what_was_given_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = sample(dir.path());
    let mut reader = Reader::open(&path, Some(&key().verifying_key())).unwrap();
    assert_eq!(reader.meta(), &meta("s-1"));
    let frames: Vec<Frame> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(frames[0].body, FrameBody::Bytes(Direction::Client, b"Q\0\0\0\x0eselect 1;\0".to_vec()));
    assert!(frames.iter().enumerate().all(|(i, f)| f.seq == i as u64));
    assert_eq!(frames[1].time, at(2));
    let up: usize =
        frames.iter().map(|f| if let FrameBody::Bytes(Direction::Upstream, b) = &f.body { b.len() } else { 0 }).sum();
    assert_eq!(up, 240_000);
    assert!(matches!(reader.ending(), Some(Ending::Footer { finished: true, .. })));
    let r = verify_recording(&path, &key().verifying_key()).unwrap();
    assert!(r.is_intact() && r.upstream_bytes == 240_000 && r.client_bytes == 45, "{r:?}");
    assert!(!verify_recording(&path, &SigningKey::from_bytes(&[1; 32]).verifying_key()).unwrap().is_intact());
}

#[test]
fn a_flipped_byte_anywhere_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = sample(dir.path());
    let good = fs::read(&path).unwrap();
    for i in 0..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 1 << (i % 8);
        fs::write(&path, &bad).unwrap();
        assert!(!verify_recording(&path, &key().verifying_key()).unwrap().is_intact(), "byte {i}");
    }
    for cut in 0..good.len() {
        fs::write(&path, &good[..cut]).unwrap();
        assert!(!verify_recording(&path, &key().verifying_key()).unwrap().is_intact(), "cut at {cut}");
    }
}

#[test]
fn frames_reach_the_file_without_a_finish() {
    let dir = tempfile::tempdir().unwrap();
    let store = RecordStore::open(dir.path(), key(), RecordOptions::default()).unwrap();
    let r = store.start(meta("s-2"));
    r.frame(Direction::Client, at(1), b"hello");
    std::thread::sleep(Duration::from_millis(450));
    let report = verify_recording(r.path(), &key().verifying_key()).unwrap();
    assert_eq!((report.frames, report.client_bytes), (1, 5));
    assert!(report.problem.is_none() && matches!(report.ending, Some(Ending::NoFooter { torn: 0, .. })));
    let path = r.path().to_owned();
    drop(r);
    store.stop();
    let mut reader = Reader::open(&path, None).unwrap();
    assert_eq!(reader.by_ref().count(), 1);
    assert!(matches!(reader.ending(), Some(Ending::Footer { finished: false, .. })));
}

#[test]
fn a_full_disk_shows_loses_only_what_a_gap_tells_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: needs the right to mount");
        return;
    }
    let options = RecordOptions { session_bytes: 128 << 10, ..RecordOptions::default() };
    let store = RecordStore::open(dir.path(), key(), options).unwrap();
    let r = store.start(meta("s-3"));
    fs::write(dir.path().join("ballast"), vec![1; 900 << 10]).unwrap();
    let mut seed = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as u8
    })
    .take(300 << 10)
    .collect();
    r.frame(Direction::Upstream, at(1), &noise);
    let deadline = Instant::now() + Duration::from_secs(10);
    while r.health().is_ok() {
        assert!(Instant::now() < deadline, "never noticed");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(r.health().unwrap_err().contains("disk full"));
    assert!(r.poll_ready(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    // A session that does not heed this loses bytes, and the recording says so.
    for i in 0..20 {
        r.frame(Direction::Upstream, at(2 + i), &vec![b'x'; 100 << 10]);
    }
    fs::remove_file(dir.path().join("ballast")).unwrap();
    while r.health().is_err() || r.backlog() > 0 {
        assert!(Instant::now() < deadline, "never recovered");
        std::thread::sleep(Duration::from_millis(10));
    }
    let path = r.path().to_owned();
    r.finish(at(100), "end");
    store.stop();
    let v = verify_recording(&path, &key().verifying_key()).unwrap();
    drop(store);
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
    assert!(v.is_intact() && v.lost_bytes > 0 && v.upstream_bytes == (300 << 10) + 20 * (100 << 10), "{v:?}");
}

#[test]
fn exports_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = sample(dir.path());
    let mut out = Vec::new();
    export_json_lines(&mut Reader::open(&path, None).unwrap(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
    assert!(text.contains("ci/bot") && text.lines().last().unwrap().contains("client left"));
    let mut pcap = Vec::new();
    export_pcapng(&mut Reader::open(&path, None).unwrap(), &mut pcap).unwrap();
    // Blocks tile the file, and the lengths at both ends agree.
    let (mut at, mut blocks) = (0, 0);
    while at < pcap.len() {
        let len = u32::from_le_bytes(pcap[at + 4..at + 8].try_into().unwrap()) as usize;
        assert_eq!(pcap[at + len - 4..at + len], pcap[at + 4..at + 8]);
        at += len;
        blocks += 1;
    }
    assert!(blocks > 170, "{blocks}");
    if let Ok(path) = std::env::var("DOORWARD_PCAP_OUT") {
        fs::write(path, &pcap).unwrap();
    }
}
