//! What holds for any bytes.
use doorward_detect::{Detector, Finding, Hint, Masked, Masker, TypeSet, ValueShape};
use doorward_model::{DataType, Operator};
use proptest::{prelude::*, sample::select};

/// Pieces of what is found and of what is nearly that, so that random texts are full of both.
const PIECES: &[&str] = &[
    "4111 1111 1111 1111",
    "4111111111111111",
    "378282246310005",
    "5555-5555-5555-4444",
    "30569309025904",
    "4917610000000000003",
    "4222222222222",
    "4111111111111111.00",
    "ada@example.com",
    "o'neil+x@mail.example.co.uk",
    "größe@büro.example",
    "@",
    "a@b",
    "@example.com",
    "078-05-1120",
    "ssn",
    "SSN: ",
    "social security ",
    "078051120",
    "078 05 1120",
    "+1 415 555 2671",
    "+44 20 7183 8750",
    "+",
    "+1",
    "(415) 555-2671",
    "(415)5552671",
    "415-555-2671",
    "1-415-555-2671",
    "415.555.2671",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "gb29nwbk60161331926819",
    "NO9386011117947",
    "192.168.1.10",
    "8.8.8.8",
    "1.2.3.4.5",
    "2001:db8::1",
    "fe80::1ff:fe23:4567:890a",
    "::ffff:10.1.2.3",
    "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
    "::",
    ":",
    "AKIAIOSFODNN7EXAMPLE",
    "AKIA",
    "AKI",
    "sk-",
    "sk_live_",
    "sk-proj-abcdefghij0123456789ABCD",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "xoxb-123456789012-abcdefABCDEF",
    "abc8Q~abcdefghijklmnopqrstuvwxyz01234",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d",
    "eyJ",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n",
    "-----END RSA PRIVATE KEY-----",
    "-----BEGIN ",
    "2024-05-17 10:22:33.123456+02",
    "550e8400-e29b-41d4-a716-446655440000",
    "d41d8cd98f00b204e9800998ecf8427e",
    "1700000000000",
    "v1.2.3",
    "3.14159",
    " ",
    "  ",
    "-",
    ".",
    ",",
    "(",
    ")",
    "{",
    "}",
    "\"",
    "'",
    "=",
    "/",
    "\n",
    "\t",
    "_",
    "x",
    "G",
    "0",
    "1",
    "4",
    "7",
    "12",
    "123",
    "\u{0}\u{0}\u{0}",
    "é",
    "…",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b]),
        2 => "[0-9]{1,20}".prop_map(String::into_bytes),
        1 => "[A-Za-z0-9_.@:+-]{1,8}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn around() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9),
        "[0-9]{0,9}".prop_map(String::into_bytes),
        "[0-9 .:+@A-Za-z-]{0,70}".prop_map(String::into_bytes),
        text(),
    ]
}

fn detector() -> &'static Detector {
    static DETECTOR: std::sync::OnceLock<Detector> = std::sync::OnceLock::new();
    DETECTOR.get_or_init(Detector::new)
}

fn only(data_type: DataType) -> TypeSet {
    [data_type].into_iter().collect()
}

fn operators() -> impl Strategy<Value = Operator> {
    select(vec!["redact", "partial:4", "partial:40", "hash", "null", "fixed:hidden", "date:year"])
        .prop_filter_map("operators are understood", |o| o.parse().ok())
}

const SHAPES: &[ValueShape] = &[
    ValueShape::Text,
    ValueShape::Json,
    ValueShape::Integer(16),
    ValueShape::Integer(32),
    ValueShape::Integer(64),
    ValueShape::Numeric,
    ValueShape::Float,
    ValueShape::Bool,
    ValueShape::Bytea,
    ValueShape::Inet,
    ValueShape::Uuid,
    ValueShape::Date,
    ValueShape::Timestamp,
    ValueShape::Other,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000), failure_persistence: None, ..ProptestConfig::default() })]

    /// The promise that the relay is built on: clean bytes hold no value in which anything is found.
    #[test]
    fn the_fast_look_misses_nothing(before in around(), value in text(), after in around(), ssn in any::<bool>()) {
        let hint = Hint { ssn };
        let run = [&before[..], &value[..], &after[..]].concat();
        let hits = detector().scan(&value, &hint, TypeSet::all());
        for f in &hits {
            prop_assert!(detector().may_contain(&run, TypeSet::all()), "{f:?}");
            prop_assert!(detector().may_contain_hinted(&run, hint, TypeSet::all()), "{f:?}");
        }
        for t in DataType::ALL {
            if !detector().scan(&value, &hint, only(*t)).is_empty() {
                prop_assert!(detector().may_contain_hinted(&run, hint, only(*t)), "{t:?}");
                prop_assert!(detector().may_contain(&run, only(*t)), "{t:?}");
            }
        }
    }

    /// Each part of a value is a value that the fast look has to see.
    #[test]
    fn it_misses_nothing_in_any_part(run in text(), cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let (a, b) = (cut.0.index(run.len() + 1), cut.1.index(run.len() + 1));
        let part = &run[a.min(b)..a.max(b)];
        for t in DataType::ALL {
            if !detector().scan(part, &Hint::default(), only(*t)).is_empty() {
                prop_assert!(detector().may_contain_hinted(&run, Hint::default(), only(*t)), "{t:?} {part:?}");
            }
        }
    }

    #[test]
    fn findings_are_in_order_and_apart(value in text(), ssn in any::<bool>()) {
        let hits = detector().scan(&value, &Hint { ssn }, TypeSet::all());
        let mut end = 0;
        for f in hits {
            prop_assert!(f.range.start >= end && f.range.start < f.range.end && f.range.end <= value.len());
            end = f.range.end;
        }
    }

    /// Findings begin and end between characters, so that masked text is text.
    #[test]
    fn masked_text_is_valid_where_the_text_was(value in text(), operator in operators()) {
        let value = String::from_utf8_lossy(&value).into_owned().into_bytes();
        let hits = detector().scan(&value, &Hint::default(), TypeSet::all());
        let mut out = Vec::new();
        Masker::new([7; 32]).mask_text(&value, &hits, |_| &operator, &mut out);
        prop_assert!(std::str::from_utf8(&out).is_ok());
    }

    #[test]
    fn nothing_is_found_in_what_was_redacted(value in text(), ssn in any::<bool>()) {
        let hint = Hint { ssn };
        let redacted = |value: &[u8]| {
            let hits = detector().scan(value, &hint, TypeSet::all());
            let mut out = Vec::new();
            Masker::new([7; 32]).mask_text(value, &hits, |_| &Operator::Redact, &mut out);
            out
        };
        let once = redacted(&value);
        let mut again = detector().scan(&once, &hint, TypeSet::all());
        // A marker is shorter than what it hides, so that words that speak of social security come nearer.
        again.retain(|f| f.data_type != DataType::UsSsn || once[f.range.clone()].contains(&b'-'));
        prop_assert!(again.is_empty(), "{:?} {again:?}", String::from_utf8_lossy(&once));
        let twice = redacted(&once);
        prop_assert_eq!(redacted(&twice), twice);
    }

    /// Of each finding no more is left than what `partial` shows of a value.
    #[test]
    fn no_found_value_survives(value in text(), operator in operators()) {
        let hits = detector().scan(&value, &Hint::default(), TypeSet::all());
        let masker = Masker::new([7; 32]);
        for Finding { data_type, range } in &hits {
            let mut out = Vec::new();
            let secret = &value[range.clone()];
            let one = Finding { data_type: *data_type, range: 0..secret.len() };
            masker.mask_text(secret, std::slice::from_ref(&one), |_| &operator, &mut out);
            let characters = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().collect::<Vec<_>>();
            let (out, secret) = (characters(&out), characters(secret));
            let shown = secret.len() / 2 + 1;
            prop_assert!(!out.windows(shown).any(|w| secret.windows(shown).any(|s| s == w)), "{out:?}");
        }
    }

    /// A whole value is never sent as it was, holds nothing that is found, and is the same each time.
    #[test]
    fn whole_values_are_masked(value in text(), operator in operators(), shape in select(SHAPES)) {
        let masker = Masker::new([7; 32]);
        let masked = masker.apply(&operator, "tag", &value, shape);
        prop_assert_eq!(&masked, &masker.apply(&operator, "tag", &value, shape));
        if let Masked::Bytes(bytes) = masked {
            let date = matches!(operator, Operator::Date(_));
            prop_assert!(date || bytes != value || value.iter().all(|b| *b == b'*'), "{bytes:?}");
            let found = detector().scan(&bytes, &Hint::default(), TypeSet::all());
            prop_assert!(found.is_empty(), "{found:?} in {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// Texts made to be costly take time in proportion to their length: four times as long, about four
/// times the time. Anything quadratic takes sixteen.
#[test]
fn hostile_texts_take_linear_time() {
    let mut patterns = vec![
        "@",
        "a@",
        "a@b.",
        "a.",
        ":",
        "::",
        "1:",
        "1::",
        "a:b",
        "0",
        "4",
        "4111 ",
        "41111111",
        "1 ",
        "1-",
        "1.",
        "1.1.1.1.",
        "+1 ",
        "+1",
        "(",
        "(415) ",
        "415-555-",
        "078-05-",
        "123456789 ",
        "ssn 123456789 ",
        "ssn",
        "s",
        "DE89",
        "DE89 3704 ",
        "eyJ",
        "eyJ-",
        "eyJhIjo-",
        "eyJhIjo.",
        "eyJhIjoi.e.",
        "sk-",
        "sk-a",
        "sk-abcdefghij0123456789ABCD-----",
        "AKIA",
        "AKIAA-",
        "ghp_",
        "8Q~",
        "AccountKey=",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "-",
        " ",
        "ada@x.io",
        "ada@x.io078-05-1120",
        "4111111111111111(415) 555-2671",
        "\u{fffd}",
        "x",
    ];
    patterns.extend(PIECES);
    for pattern in &patterns {
        let text = pattern.as_bytes().repeat(100_000 / pattern.len());
        let time = |text: &[u8]| {
            let started = std::time::Instant::now();
            let hits = detector().scan(text, &Hint { ssn: true }, TypeSet::all());
            assert!(hits.is_empty() || detector().may_contain(text, TypeSet::all()), "{pattern}");
            started.elapsed()
        };
        let (short, long) = (&text[..text.len() / 4], &text[..]);
        // The best of several, since the machine has other work.
        let linear = (0..6).any(|_| time(long) < 9 * time(short) + std::time::Duration::from_millis(2));
        assert!(linear, "{pattern:?}");
    }
}
