#![allow(clippy::string_slice, reason = "the texts are ASCII")]
use super::*;
use proptest::{prelude::*, sample::select};

const CARD: &str = "4111 1111 1111 1111";

pub(super) fn masker_with(operator: &str, types: &[DataType]) -> StreamMasker {
    static DETECTOR: std::sync::OnceLock<Arc<Detector>> = std::sync::OnceLock::new();
    let detector = Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new())));
    let rules = types.iter().map(|t| (*t, operator.parse().unwrap())).collect();
    StreamMasker::new(detector, Arc::new(Masker::new([7; 32])), rules)
}

fn masker() -> StreamMasker {
    masker_with("redact", DataType::ALL)
}

fn whole(text: &[u8]) -> Vec<u8> {
    let (mut masker, mut out) = (masker(), Vec::new());
    masker.push(text, &mut out);
    masker.finish(&mut out);
    out
}

#[track_caller]
fn check(text: &str, want: &str) {
    assert_eq!(String::from_utf8_lossy(&whole(text.as_bytes())), want, "{text:?}");
}

/// What a caller sees who gets each text with a pause after it.
fn with_pauses(masker: &mut StreamMasker, parts: &[&str]) -> String {
    let mut out = Vec::new();
    for part in parts {
        masker.push(part.as_bytes(), &mut out);
        masker.flush(&mut out);
    }
    String::from_utf8(out).unwrap()
}

fn typed(masker: &mut StreamMasker, text: &str) -> String {
    let letters: Vec<String> = text.chars().map(String::from).collect();
    with_pauses(masker, &letters.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn values_are_replaced() {
    check("nothing\nto see\n", "nothing\nto see\n");
    check("paid with 4111 1111 1111 1111\nada@example.com\n", "paid with [credit_card]\n[email]\n");
    check("no end: ada@example.com", "no end: [email]");
    check("ssn\r\n078051120\r\n", "ssn\r\n[us_ssn]\r\n");
    check("ssn\n\n\n078051120 and 078051120", "ssn\n\n\n[us_ssn] and [us_ssn]");
    check("", "");
}

#[test]
fn sequences_hide_nothing() {
    for (text, want) in [
        ("\x1b[1m4111\x1b[0m 1111 1111 1111!", "\x1b[1m[credit_card]\x1b[0m!"),
        ("4111\x1b[C1111\x1b[C1111\x1b[C1111", "[credit_card]\x1b[C\x1b[C\x1b[C"),
        ("x\x1b[2;1H4111111111111111\x1b[3;1Hy", "x\x1b[2;1H[credit_card]\x1b[3;1Hy"),
        ("415\x1b[C555\x1b[C2671", "[phone]\x1b[C\x1b[C"),
        ("ada@exam\x1b]0;title\x07ple.com", "[email]"),
        ("\x1b[31mada\x1b[m@\x1b[32mexample\x1b[m.com\x1b[K", "\x1b[31m[email]\x1b[m\x1b[32m\x1b[m\x1b[K"),
        ("41112\x08 \x08111111111111", "[credit_card]"),
        ("4\x0841\x0811\x0811\x081 1111 1111 1111", "[credit_card]"),
        ("4111111111111111\x08\x08\x08\x08\x08\x08\x08\x08", "[credit_card]\x08\x08\x08\x08\x08\x08\x08\x08"),
        ("10%\r4111111111111111\r20%", "10%\r[credit_card]\r20%"),
        ("4111 1111 \r1111 1111", "[credit_card]"),
        ("41\x1b[14b", "[credit_card]"),
        ("411111111111111\x001", "[credit_card]"),
        ("\x1b]0;ada@example.com: ~\x07$ ", "\x1b]0;[email]: ~\x07$ "),
        ("\x1b]8;;mailto:ada@example.com\x1b\\mail\x1b]8;;\x1b\\", "\x1b]8;;mailto:[email]\x1b\\mail\x1b]8;;\x1b\\"),
        ("\x1b[4111111111111111\n", "\x1b[[credit_card]\n"),
        ("\x1b]0;4111111111111111\n", "\x1b]0;[credit_card]\n"),
        ("ends in \x1b[1", "ends in \x1b[1"),
    ] {
        check(text, want);
    }
}

#[test]
fn keys_of_any_length_are_dropped() {
    let body = "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\r\n";
    let (mut masker, mut out) = (masker(), Vec::new());
    masker.push(b"$ cat key\r\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n\r\n", &mut out);
    for _ in 0..20_000 {
        masker.push(body.as_bytes(), &mut out);
        masker.flush(&mut out);
        assert!(masker.hold_back() == 0);
    }
    masker.push(b"AB==\r\n-----END RSA PRIVATE", &mut out);
    masker.flush(&mut out);
    masker.push(b" KEY-----\r\n$ ", &mut out);
    masker.flush(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "$ cat key\r\n[private_key]\r\n$ ");
    check(
        "{\"k\":\"-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----\"}\n",
        "{\"k\":\"[private_key]\"}\n",
    );
    let on_one_line = format!("-----BEGIN PRIVATE KEY-----{}-----END PRIVATE KEY----- x\n", body.trim().repeat(1000));
    check(&on_one_line, "[private_key] x\n");
    check("-----BEGIN CERTIFICATE-----\nMIIB\n", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    check("sk-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF-----BEGIN PRIVATE KEY-----\nMIIB\n", "[api_key][private_key]");
}

#[test]
fn a_first_line_alone_does_not_hide_the_rest() {
    let (mut masker, mut out) = (masker(), Vec::new());
    masker.push(b"-----BEGIN PRIVATE KEY-----\r\n\x1b[1muser@host\x1b[m:~$ ", &mut out);
    masker.flush(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "[private_key]\x1b[1muser@host\x1b[m:~$ ");
    // A key that something broke off goes on.
    let body = "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\n";
    let text = format!("-----BEGIN PRIVATE KEY-----\n{body}12:00 [0] 0:bash*\n{body}-----END PRIVATE KEY-----\nls\n");
    check(&text, "[private_key]12:00 [0] 0:bash*\n[private_key]\nls\n");
}

#[test]
fn prompts_are_shown_at_once() {
    for prompt in [
        "user@host:~$ ",
        "[root@ip-10-0-0-12 ~]# ",
        "\x1b]0;user@host: ~\x07\x1b[01;32muser@host\x1b[00m:\x1b[01;34m~\x1b[00m$ ",
        "\x1b[?2004huser@host ~ % ",
        "Password: ",
        "mysql> ",
        "Continue? [y/N] ",
        "Select [1-9] ",
        ">>> ",
        "In [12]: ",
        "12:30:45 up 3 days, 1:02\r",
        "Progress: 12345678\r",
        "\x1b[10;20H12345678\x1b[2;1H",
        "-----",
    ] {
        assert_eq!(with_pauses(&mut masker(), &[prompt]), prompt);
    }
    let line = "ls -la /etc/passwd | grep root && echo done; git commit -m 'v12' x\x08\x1b[K";
    assert_eq!(typed(&mut masker(), line), line);
}

#[test]
fn what_is_typed_is_masked_as_far_as_it_is_known() {
    let mut email = masker();
    assert_eq!(typed(&mut email, "ada@example.co"), "ada");
    let mut out = Vec::new();
    email.force(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "[email]");
    assert_eq!(typed(&mut email, "m\r\nnext"), "\r\nnext");

    assert_eq!(typed(&mut masker(), "pay 4111111111111111\r\n"), "pay 411[credit_card]\r\n");
    assert_eq!(typed(&mut masker(), "pay 4111 1111 1111 1111 now"), "pay 411[credit_card] now");
    assert_eq!(typed(&mut masker(), "+44 20 7183 8750,"), "+[phone],");
    assert_eq!(typed(&mut masker(), "DE89370400440532013000,"), "DE8[iban],");
    assert_eq!(typed(&mut masker(), "192.168.1.10\t"), "192.[ip_address]\t");
    assert_eq!(typed(&mut masker(), "2001:db8::1 "), "2001:db8[ip_address] ");
    let key = "ghp_abcdefghijklmnopqrstuvwxyz0123456789 ";
    assert_eq!(typed(&mut masker(), key), "ghp[api_key] ");
    assert_eq!(with_pauses(&mut masker(), &["mail ada@exam", "ple.com "]), "mail [email] ");

    // A long pause within it: what was not known to be a value is shown, the rest is not.
    let mut slow = masker();
    let mut out = typed(&mut slow, "4111 1111 11").into_bytes();
    slow.force(&mut out);
    slow.push(b"11 1111\r\n", &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "4111 1111 11[credit_card]\r\n");
}

#[test]
fn long_tokens_go_on_masked() {
    let (mut masker, mut out) = (masker(), Vec::new());
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.sig", "eyJzdWIiOiIxIn0".repeat(2000));
    masker.push(b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", &mut out);
    masker.force(&mut out);
    masker.push(b"def_ghi end ", &mut out);
    masker.push(token.as_bytes(), &mut out);
    masker.finish(&mut out);
    let shown = String::from_utf8(out).unwrap();
    assert!(shown.starts_with("[jwt] end "), "{shown:.60}");
    assert_eq!(whole(format!("a {} b\n", &token[..6000]).as_bytes()).len(), 6005, "no third part");
    check(&format!("a {}.sig b\n", &token[..6000]), "a [jwt] b\n");
}

#[test]
fn operators_and_types_are_those_of_the_rules() {
    let text = format!("{CARD} ada@example.com\n");
    let run = |mut masker: StreamMasker| {
        let mut out = Vec::new();
        masker.push(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(run(masker_with("partial:4", &[DataType::CreditCard])), "***************1111 ada@example.com\n");
    assert_eq!(run(masker_with("null", &[DataType::Email])), format!("{CARD} [masked]\n"));
    let (mut none, mut out) = (masker_with("redact", &[]), Vec::new());
    none.push(b"4111 1111\x1b[", &mut out);
    assert_eq!((out.as_slice(), none.hold_back()), (b"4111 1111\x1b[".as_slice(), 0));
    // Of a value whose beginning was shown, `partial` shows no more.
    let mut shown = masker_with("partial:4", DataType::ALL);
    assert_eq!(typed(&mut shown, "4111111111111111,"), "411[credit_card],");
}

#[test]
fn hostile_streams_cost_what_they_are_long() {
    let patterns = [
        "\x1b",
        "\x1b[",
        "\x1b]",
        "\x1bP",
        "\x1b[1;",
        "\x1b[9b",
        "\x1b[40b",
        "1\x08",
        "\x08",
        "\r",
        "1",
        "1 ",
        "@",
        "a@",
        ".@",
        "sk-",
        "eyJ",
        "AKIA",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        ":",
        "1:",
        "DE89",
        "\x1b[m1",
        "a ",
        "\x1b]0;x\x07",
        "\u{e9}",
        "+1",
        "7Q~",
    ];
    for pattern in patterns {
        let text = pattern.repeat(40_000 / pattern.len());
        for pause in [false, true] {
            let start = std::time::Instant::now();
            let (mut masker, mut out) = (masker(), Vec::new());
            for part in text.as_bytes().chunks(1000) {
                masker.push(part, &mut out);
                if pause {
                    masker.flush(&mut out);
                }
                assert!(masker.hold_back() <= LONGEST_SEGMENT, "{pattern:?}");
                assert!(masker.context.len() <= context::CONTEXT, "{pattern:?}");
            }
            masker.finish(&mut out);
            assert!(start.elapsed().as_secs() < 20, "{pattern:?} took {:?}", start.elapsed());
        }
    }
}

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
    "078051120",
    "078-05-1120",
    "+44 20 7183 8750",
    "DE89 3704 0044 0532 0130 00",
    "192.168.1.10",
    "2001:db8::1",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0t",
    "\n",
    "\r\n",
    "\r",
    "\x08",
    "\x1b[1m",
    "\x1b[m",
    "\x1b[5;1H",
    "\x1b[C",
    "\x1b[3b",
    "\x1b]0;a@b.com\x07",
    "\x1b]0;",
    "\x1b\\",
    "\x1b",
    "\x1b[",
    "\x07",
    "\0",
    "word ",
    "é",
    "(",
    "\"",
    ",",
];

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b]),
        1 => (select(PIECES), 1..600_usize).prop_map(|(p, n)| p.repeat(n).into_bytes()),
        1 => (select(vec!["x", "1", "x1 ", "\x1b[m", "ab cd "]), 3000..9000_usize).prop_map(|(p, n)| p.repeat(n).into_bytes()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn cases(n: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(n);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn cuts_do_not_matter(text in stream(), sizes in prop::collection::vec(1..3000_usize, 1..8)) {
        let (mut masker, mut out) = (masker(), Vec::new());
        let (mut rest, mut sizes) = (text.as_slice(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (part, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            masker.push(part, &mut out);
            prop_assert!(masker.hold_back() <= LONGEST_SEGMENT);
            rest = after;
        }
        masker.finish(&mut out);
        let want = whole(&text);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&want));
    }

    /// A line of text is masked as a value is.
    #[test]
    fn lines_are_masked_as_values_are(text in stream()) {
        let line: Vec<u8> = text.into_iter().filter(|b| !(*b < 0x20 || *b == 0x7f)).take(LONGEST_SEGMENT - 1).collect();
        let found = Detector::new().scan(&line, &Hint::default(), TypeSet::all());
        let mut want = Vec::new();
        Masker::new([7; 32]).mask_text(&line, &found, |_| &Operator::Redact, &mut want);
        let out = whole(&line);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&want));
    }

    /// Whatever the pauses, the stream goes through to its last byte, and what is not of a value is not touched.
    #[test]
    fn pauses_lose_nothing(words in prop::collection::vec("[a-z]{1,9}|[a-z]\\x1b\\[[0-9]m|\\r\\n| ", 0..60), pauses in any::<u64>()) {
        let (mut masker, mut out) = (masker(), Vec::new());
        for (i, word) in words.iter().enumerate() {
            masker.push(word.as_bytes(), &mut out);
            match pauses >> (i % 32 * 2) & 3 {
                0 => masker.flush(&mut out),
                1 => masker.force(&mut out),
                _ => {}
            }
        }
        masker.finish(&mut out);
        prop_assert_eq!(String::from_utf8_lossy(&out), words.concat());
    }

    /// No value that is found in what was printed is printed, in whatever way it was cut or coloured.
    #[test]
    fn no_value_survives(value in select(vec!["4111 1111 1111 1111", "ada@example.com", "DE89370400440532013000", "192.168.1.10",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789"]), places in prop::collection::vec((0..40_usize, select(vec!["\x1b[1m", "\x1b[0;3m", "\x1b]0;t\x07", "\x1b[C", "\0", "x\x08"])), 0..6),
        before in "[x-z]{0,5}[ ,\n]", after in "[ ,\n][x-z]{0,5}") {
        let mut text = value.to_owned();
        for (at, what) in places {
            if text.is_char_boundary(at) && at <= text.len() {
                // Not within a sequence.
                if text[..at].bytes().all(|b| b >= 0x20) { text.insert_str(at, what); }
            }
        }
        let out = whole(format!("{before}{text}{after}").as_bytes());
        let shown = String::from_utf8_lossy(&out).into_owned();
        let digits = shown.replace(|c: char| !c.is_ascii_digit(), "");
        prop_assert!(shown.contains("[credit_card]") || shown.contains("[email]") || shown.contains("[iban]")
            || shown.contains("[ip_address]") || shown.contains("[api_key]"), "{shown:?}");
        prop_assert!(!digits.contains("1111111") && !shown.contains("ada") && !shown.contains("ghp_"), "{shown:?}");
    }
}

#[test]
fn what_is_compressed_stays_what_it_is() {
    // xorshift64*: the same bytes in every run.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = Vec::with_capacity(2 << 20);
    while noise.len() < 2 << 20 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        noise.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    let shown = whole(&noise);
    let differs = shown.iter().zip(&noise).position(|(a, b)| a != b);
    let around =
        differs.map(|at| noise.get(at.saturating_sub(40)..at + 40).unwrap_or_default().escape_ascii().to_string());
    assert!(shown == noise, "{} bytes of {}, from {differs:?} on: {around:?}", shown.len(), noise.len());
    // Noise hides no value that chance does not make.
    let hidden =
        [noise.get(..64).unwrap(), b" ada.lovelace@example.com 4111111111111111 ", noise.get(64..128).unwrap()]
            .concat();
    let shown = whole(&hidden).escape_ascii().to_string();
    assert!(!shown.contains("lovelace") && !shown.contains("41111111"), "{shown}");
}
