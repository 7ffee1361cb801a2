//! The ways through a masker are one: blocks of lines, lines, and what an older masker made of the same bytes.
use super::{tests::masker_with, *};
use proptest::{prelude::*, sample::select};
use sha2::{Digest as _, Sha256};

const PIECES: &[&str] = &[
    "4111 1111 1111 1111",
    "4111",
    "1111",
    " ",
    "-",
    ".",
    "ada@example.com",
    "ada",
    "@",
    "example.com",
    "ssn ",
    "SSN",
    "social ",
    "sec ",
    "078051120",
    "078-05-1120",
    "078 05 1120",
    "+44 20 7183 8750",
    "415 555 2671",
    "192.168.1.10",
    "DE89 3704 0044 0532 0130 00",
    "2001:db8::1",
    "123::",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ",
    "PRIVATE",
    "KEY-----",
    "-----END PRIVATE KEY-----",
    "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun",
    "\n",
    "\r\n",
    "\n",
    "\r",
    "\x08",
    "\x08 \x08",
    "\x1b[1m",
    "\x1b[m",
    "\x1b[5;1H",
    "\x1b[C",
    "\x1b[3b",
    "\x1b]0;a@b.com\x07",
    "\x1b]0;title\x1b\\",
    "\x1b]0;",
    "\x1b\\",
    "\x1b",
    "\x1b[",
    "\x1b[41",
    "\x1b8",
    "\x07",
    "\0",
    "\t",
    "word ",
    "é",
    "\u{7f}",
    "(",
    "\"",
    ",",
];

/// As [`StreamMasker::push`], without the look at many lines at once.
fn push_slowly(masker: &mut StreamMasker, bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = masker.gather(rest, out);
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
        6 => prop::collection::vec(any::<u8>(), 1..60),
        // A value in which something takes the place of each space.
        2 => (select(PIECES), select(vec!["\r", "\x08", "\x1b[C", "\x1b8", "\r\x1b[m"])).prop_map(|(p, by)| p.replace(' ', by).into_bytes()),
        // A value with something in it.
        3 => (select(PIECES), 0..40_usize, select(PIECES)).prop_map(|(p, at, what)| {
            let (before, after) = p.as_bytes().split_at(at.min(p.len()));
            [before, what.as_bytes(), after].concat()
        }),
        // A character that is taken away.
        3 => (select(PIECES), 1..4_usize).prop_map(|(p, n)| [p.as_bytes(), "\x08".repeat(n).as_bytes()].concat()),
    ]
}

fn cases(n: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(n);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn blocks_of_lines_are_masked_as_lines_are(pieces in prop::collection::vec(piece(), 0..120)) {
        let text = pieces.concat();
        let (mut masker, mut out) = (masker_with("redact", DataType::ALL), Vec::new());
        masker.push(&text, &mut out);
        masker.finish(&mut out);
        let (mut slow, mut want) = (masker_with("redact", DataType::ALL), Vec::new());
        push_slowly(&mut slow, &text, &mut want);
        slow.finish(&mut want);
        prop_assert_eq!(out.escape_ascii().to_string(), want.escape_ascii().to_string(), "{}", text.escape_ascii());
    }
}

/// xorshift64*: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    /// Text, values, sequences, and noise; of each as much as `kind` says.
    fn stream(&mut self, kind: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.below(400) {
            match self.below(40) {
                0 => {
                    let piece = PIECES.get(self.below(PIECES.len())).copied().unwrap_or_default();
                    out.extend(piece.repeat(self.below(300)).bytes());
                }
                n if n < kind * 4 => (0..self.below(60)).for_each(|_| out.push(self.below(256) as u8)),
                _ => out.extend(PIECES.get(self.below(PIECES.len())).copied().unwrap_or_default().bytes()),
            }
        }
        out
    }
}

/// The digest of what goes out of some streams, call by call, and of what is kept back.
fn digest(operator: &str, kind: usize, pauses: usize) -> String {
    let mut digest = Sha256::new();
    for seed in 1..40 {
        let mut numbers = Numbers(seed * 0x9E37_79B9);
        let text = numbers.stream(kind);
        let (mut masker, mut out) = (masker_with(operator, DataType::ALL), Vec::new());
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let (part, after) = rest.split_at((numbers.below(6000) + 1).min(rest.len()));
            masker.push(part, &mut out);
            match numbers.below(8) {
                n if n >= pauses => {}
                0 => masker.force(&mut out),
                _ => masker.flush(&mut out),
            }
            digest.update(out.len().to_be_bytes());
            digest.update(masker.hold_back().to_be_bytes());
            rest = after;
        }
        masker.finish(&mut out);
        digest.update(&out);
    }
    digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// What was computed at commit 5a08fb2, which looked at each line by itself and at each byte in it. It changes where
/// what is masked changes, and not where it is only found in another way.
#[test]
fn what_is_masked_is_what_was() {
    let digests: Vec<_> =
        [("redact", 0, 0), ("redact", 4, 0), ("redact", 9, 0), ("redact", 0, 8), ("redact", 4, 4), ("partial:4", 1, 2)]
            .map(|(operator, kind, pauses)| digest(operator, kind, pauses))
            .into();
    assert_eq!(digests, WANT);
}

const WANT: [&str; 6] = [
    "b45a317ff850edb1",
    "99ed435213304a78",
    "fff58e3ba27afb9e",
    "7bb530f1aba46fa2",
    "f8b759c792574822",
    "fc758dabda81783d",
];
