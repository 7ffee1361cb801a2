//! Rough figures: `cargo run --release -p doorward-record --example record_throughput -- DIR`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a measuring tool")]
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use doorward_record::{AuditLog, AuditOptions, Direction, RecordOptions, RecordStore, RecordingMeta, SigningKey};
use std::{path::PathBuf, time::Instant};

/// User and system time of this process, in microseconds.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 =
        stat.rsplit(')').next().unwrap().split(' ').skip(12).take(2).map(|t| t.parse::<u64>().unwrap()).sum();
    ticks * 10_000
}

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap()).join(format!("throughput-{}", std::process::id()));
    let key = SigningKey::from_bytes(&[7; 32]);
    let log = AuditLog::open(&dir.join("audit"), key.clone(), AuditOptions::default()).unwrap();
    let what = "select abalance from pgbench_accounts where aid = $1; ".repeat(6);
    let kind = AuditKind::Administration { by: "ci/bot".into(), what };
    let event = AuditEvent { time: Timestamp::from_secs(1), session: None, kind, parties: None };
    let mut took: Vec<u128> = (0..5000)
        .map(|_| {
            let start = Instant::now();
            log.wait(log.append(&event).unwrap()).unwrap();
            start.elapsed().as_micros()
        })
        .collect();
    took.sort_unstable();
    println!("audit, one at a time: p50 {} us, p99 {} us", took[2500], took[4950]);
    let (start, before) = (Instant::now(), cpu());
    let (mut done, mut refused) = (0u64, 0u64);
    while done < 300_000 {
        match log.append(&event) {
            Ok(_) => done += 1,
            Err(_) => {
                refused += 1;
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    }
    log.stop();
    let s = start.elapsed().as_secs_f64();
    let each = (cpu() - before) as f64 / done as f64;
    println!(
        "audit, as fast as it goes: {:.0} entries/s, {each:.2} us CPU each, {refused} times full",
        done as f64 / s
    );
    for level in [1, -1, -3, -7] {
        let options = RecordOptions { level, ..RecordOptions::default() };
        let store = RecordStore::open(&dir.join(format!("rec{level}")), key.clone(), options).unwrap();
        let meta = RecordingMeta {
            session: "s".into(),
            connection: "c".into(),
            protocol: "postgres".into(),
            started: Timestamp::from_secs(1),
            client: String::new(),
            more: serde_json::Value::Null,
        };
        let r = store.start(meta);
        let mut rows = Vec::new();
        for i in 0..4000u64 {
            rows.extend_from_slice(
                format!("D{:08}|{:x}|name{}@example.com|{}", i, i * 7919 * 104_729, i * 31, "lorem").as_bytes(),
            );
        }
        let (start, before) = (Instant::now(), cpu());
        let mut sent = 0u64;
        let unpark = std::task::Waker::noop();
        while sent < 1 << 29 {
            for piece in rows.chunks(16 << 10) {
                r.frame(Direction::Upstream, Timestamp::from_secs(1), piece);
                sent += piece.len() as u64;
                while r.poll_ready(&mut std::task::Context::from_waker(unpark)).is_pending() {
                    std::thread::sleep(std::time::Duration::from_micros(50));
                }
            }
        }
        let path = r.path().to_owned();
        r.finish(Timestamp::from_secs(2), "done");
        store.stop();
        let (s, mb) = (start.elapsed().as_secs_f64(), sent as f64 / 1e6);
        let ratio = sent as f64 / std::fs::metadata(&path).unwrap().len() as f64;
        println!(
            "recording, level {level}: {:.0} MB/s, {:.0} MB per CPU second, ratio {ratio:.1}",
            mb / s,
            mb / ((cpu() - before) as f64 / 1e6)
        );
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
