//! Prints how fast the recognizers run over rows as the PostgreSQL relay sees them:
//! `cargo run --release -p doorward-detect --example detect_throughput`;
//! with `-- streams`, streams of terminals and programs through a `StreamMasker`; `-- streams NAME_OR_FILE…` takes these alone.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a program that prints figures of data of its own"
)]
use doorward_detect::{Detector, Hint, Masker, StreamMasker, TypeSet};
use doorward_model::{DataType, Operator};
use std::{hint::black_box, sync::Arc, time::Instant};

/// DataRow frames of about 64 KiB, all values in text format.
fn rows(mut row: impl FnMut(u64) -> Vec<String>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut n = 0;
    while out.len() < 65_536 {
        let cells = row(n);
        let mut body = u16::try_from(cells.len()).unwrap_or(0).to_be_bytes().to_vec();
        for cell in &cells {
            body.extend_from_slice(&u32::try_from(cell.len()).unwrap_or(0).to_be_bytes());
            body.extend_from_slice(cell.as_bytes());
        }
        out.push(b'D');
        out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&body);
        n += 1;
    }
    out
}

/// SplitMix64: numbers that look random and are the same each time.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn words(n: u64) -> String {
    const WORDS: [&str; 12] = [
        "lorem",
        "ipsum",
        "dolor-sit",
        "amet,",
        "consectetur",
        "multi-year",
        "adipiscing",
        "Elit.",
        "sed",
        "task",
        "do",
        "eiusmod",
    ];
    (0..8).map(|i| WORDS[(mix(n * 8 + i) % 12) as usize]).collect::<Vec<_>>().join(" ")
}

fn stamp(n: u64) -> String {
    format!(
        "2024-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00",
        mix(n) % 12 + 1,
        mix(n) % 28 + 1,
        n % 24,
        mix(n) % 60,
        n % 60,
        mix(n) % 1_000_000
    )
}

fn md5(n: u64) -> String {
    format!("{:016x}{:016x}", mix(n), mix(n ^ 0xabcd))
}

fn uuid(n: u64) -> String {
    let h = md5(n);
    format!("{}-{}-4{}-8{}-{}", &h[0..8], &h[8..12], &h[13..16], &h[17..20], &h[20..32])
}

fn main() {
    if std::env::args().any(|a| a == "streams") {
        return streams();
    }
    let detector = Detector::new();
    let all = TypeSet::all();
    let samples = [
        ("pgbench accounts", rows(|n| vec![n.to_string(), "1".into(), (mix(n) % 10_000).to_string(), " ".repeat(84)])),
        (
            "wide: words, ints, timestamps",
            rows(|n| vec![n.to_string(), words(n), stamp(n), words(n + 9), (mix(n) % 100_000).to_string()]),
        ),
        ("words with risk-free in each row", rows(|n| vec![n.to_string(), words(n), "risk-free".into(), words(n + 9)])),
        (
            "timestamps and ints",
            rows(|n| vec![n.to_string(), stamp(n), stamp(n + 7), format!("{}.{:02}", mix(n) % 1000, n % 100)]),
        ),
        ("md5 hex", rows(|n| vec![n.to_string(), md5(n), md5(n + 1)])),
        ("UUIDs", rows(|n| vec![n.to_string(), uuid(n), uuid(n + 1)])),
        (
            "13-digit and 19-digit ids",
            rows(|n| vec![(1_700_000_000_000 + mix(n) % 10_000_000_000).to_string(), (mix(n) >> 1).to_string()]),
        ),
        ("words with an e-mail a row", rows(|n| vec![n.to_string(), words(n), format!("user{n}@example.com")])),
    ];
    for (name, data) in &samples {
        let hinted = |hint: Hint| gigabytes(data, || detector.may_contain_hinted(black_box(data), hint, all));
        let mut rest = data.as_slice();
        let (mut total, mut hits, mut cells) = (0, 0, Vec::new());
        while let Some(length) =
            rest.get(1..5).and_then(|b| b.first_chunk::<4>()).map(|b| u32::from_be_bytes(*b) as usize + 1)
        {
            let (row, after) = rest.split_at(length.min(rest.len()));
            total += 1;
            hits += usize::from(detector.may_contain_hinted(row, Hint::default(), all));
            let mut r = row.get(7..).unwrap_or_default();
            while let Some(length) = r.first_chunk::<4>().map(|b| u32::from_be_bytes(*b) as usize) {
                cells.push(&r[4..4 + length]);
                r = &r[4 + length..];
            }
            rest = after;
        }
        let mut found = Vec::new();
        let scan = gigabytes(data, || {
            cells
                .iter()
                .filter(|c| {
                    detector.scan_into(black_box(c), &Hint::default(), all, &mut found);
                    !found.is_empty()
                })
                .count()
                > 0
        });
        let by_row = gigabytes(data, || {
            let mut rest = data.as_slice();
            let mut hits = 0;
            while let Some(length) =
                rest.get(1..5).and_then(|b| b.first_chunk::<4>()).map(|b| u32::from_be_bytes(*b) as usize + 1)
            {
                let (row, after) = rest.split_at(length.min(rest.len()));
                hits += usize::from(detector.may_contain_hinted(black_box(row), Hint::default(), all));
                rest = after;
            }
            hits > 0
        });
        println!(
            "{name:32} run {:6.2} GB/s (any SSN hint {:6.2}), row by row {by_row:5.2}, rows that may hold something {hits}/{total}, cell scans {scan:5.2} GB/s",
            hinted(Hint::default()),
            hinted(Hint { ssn: true }),
        );
        by_type(&detector, data);
    }
}

/// Streams as programs write them, in chunks of an SSH channel.
fn streams() {
    let mut samples: Vec<(String, Vec<u8>)> = text_samples();
    let json = samples.iter().find(|(name, _)| name == "JSON lines").map(|(_, data)| data.clone());
    samples.extend(json.and_then(|data| gzip(&data)).map(|data| ("gzip".to_owned(), data)));
    let asked: Vec<String> = std::env::args().skip_while(|a| a != "streams").skip(1).collect();
    // Long enough for a profiler where one is asked for.
    let rounds = if asked.is_empty() { 7 } else { 100 };
    samples.retain(|(name, _)| asked.is_empty() || asked.contains(name));
    samples.extend(asked.into_iter().filter_map(|path| std::fs::read(&path).ok().map(|data| (path, data))));
    let (detector, masker) = (Arc::new(Detector::new()), Arc::new(Masker::new([7; 32])));
    let rules: Arc<[_]> = DataType::ALL.iter().map(|t| (*t, Operator::Redact)).collect();
    for (name, data) in &samples {
        let mut out = Vec::new();
        let mut best = f64::MAX;
        for _ in 0..rounds {
            let start = Instant::now();
            let mut stream = StreamMasker::new(Arc::clone(&detector), Arc::clone(&masker), Arc::clone(&rules));
            for chunk in data.chunks(32 * 1024) {
                out.clear();
                stream.push(black_box(chunk), &mut out);
            }
            stream.finish(&mut out);
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("stream: {name:32} {:7.0} MB/s", data.len() as f64 / best / 1e6);
    }
}

fn text_samples() -> Vec<(String, Vec<u8>)> {
    let lines = |line: &dyn Fn(u64) -> String| (0..20_000).map(line).collect::<String>().into_bytes();
    let log = |n| format!("{} INFO {} {}\n", stamp(n), uuid(n), words(n));
    let value = |n: u64| match n % 6 {
        0 => format!("user{n}@example.com"),
        1 => "4111 1111 1111 1111".to_owned(),
        2 => format!("10.1.{}.{}", n % 256, mix(n) % 256),
        3 => "DE89 3704 0044 0532 0130 00".to_owned(),
        4 => "+44 20 7183 8750".to_owned(),
        _ => format!("AKIA{:016X}", mix(n)),
    };
    let with_value = |n| format!("{} {} {}\n", stamp(n), value(n), words(n));
    let code = |n| format!("function {}(e,t){{var n=e.{}||[];return t?n[{}]:null}}", word(n), word(n + 3), n % 10);
    [
        ("text", lines(&|n| format!("{} {}\n", words(n), words(n + 9)))),
        ("text, line ends of a terminal", lines(&|n| format!("{} {}\r\n", words(n), words(n + 9)))),
        (
            "ls -l",
            lines(&|n| {
                format!("-rw-r--r-- 1 root root {:>8} May {:>2} 10:22 {}.rs\n", mix(n) % 999_999, n % 28, md5(n))
            }),
        ),
        ("log with times and UUIDs", lines(&log)),
        (
            "log, an IP address each line",
            lines(&|n| format!("10.1.{}.{} - - {} {}\n", n % 256, mix(n) % 256, stamp(n), words(n))),
        ),
        ("log, a value each line", lines(&with_value)),
        ("log, a value each 50 lines", lines(&|n| if n % 50 == 0 { with_value(n) } else { log(n) })),
        ("colours", lines(&|n| format!("\x1b[01;34m{}\x1b[0m  {}\r\n", words(n), words(n + 9)))),
        ("colours, a value each line", lines(&|n| format!("\x1b[01;34m{}\x1b[0m  {}\r\n", words(n), value(n)))),
        ("random bytes", (0..200_000).flat_map(|n| mix(n).to_be_bytes()).collect()),
        ("base64, lines of 76", lines(&|n| format!("{:.76}\n", base64(n)))),
        ("base64, one line", lines(&base64)),
        ("hexadecimal, one line", lines(&md5)),
        (
            "JSON lines",
            lines(&|n| {
                format!(
                    "{{\"time\":\"{}\",\"level\":\"info\",\"id\":\"{}\",\"message\":\"{}\",\"took\":{}}}\n",
                    stamp(n),
                    uuid(n),
                    words(n),
                    n % 997
                )
            }),
        ),
        ("minified code, one line", lines(&code)),
        ("words, one line", lines(&|n| format!("{} ", words(n)))),
    ]
    .map(|(name, data)| (name.to_owned(), data))
    .into()
}

/// A name of six letters.
fn word(n: u64) -> String {
    (0..6).map(|i| char::from(b'a' + (mix(n) >> (i * 8)) as u8 % 26)).collect()
}

/// Of 60 random bytes.
fn base64(n: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..80).map(|i| char::from(DIGITS[(mix(n * 80 + i) % 64) as usize])).collect()
}

/// What `gzip` makes of it, where there is one.
fn gzip(data: &[u8]) -> Option<Vec<u8>> {
    let path = std::env::temp_dir().join(format!("detect_throughput.{}", std::process::id()));
    std::fs::write(&path, data).ok()?;
    let output = std::process::Command::new("gzip").arg("-c").arg(&path).output();
    std::fs::remove_file(&path).ok()?;
    output.ok().filter(|o| o.status.success()).map(|o| o.stdout)
}

/// What each kind of value costs.
fn by_type(detector: &Detector, data: &[u8]) {
    use doorward_model::DataType::{ApiKey, CreditCard, Email, Iban, IpAddress, Jwt, Phone, PrivateKey, UsSsn};
    let sets: [&[_]; 7] =
        [&[CreditCard], &[UsSsn], &[Phone], &[IpAddress], &[Iban], &[Email], &[ApiKey, PrivateKey, Jwt]];
    for set in sets {
        let wanted: TypeSet = set.iter().copied().collect();
        let speed = gigabytes(data, || detector.may_contain_hinted(black_box(data), Hint::default(), wanted));
        print!("  {} {speed:.2}", set[0].as_str());
    }
    println!();
}

fn gigabytes(data: &[u8], mut f: impl FnMut() -> bool) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..100 {
            black_box(f());
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    data.len() as f64 * 100.0 / best / 1e9
}
