//! Rows, errors and notifications as a caller gets them.
use super::*;
use crate::codec::{UpstreamMessage, upstream_message};
use doorward_detect::{Detector, Hint, Masker, TypeSet};
use doorward_enforce::MaskRule;
use doorward_model::{DataType, Operator};
use doorward_sql_session::FieldPlan;
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};

fn masking(wanted: TypeSet) -> TextMasking {
    static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
    TextMasking {
        detector: Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new()))),
        masker: Arc::new(Masker::new([1; 32])),
        wanted,
        rules: Arc::from([]),
    }
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = (cells.len() as u16).to_be_bytes().to_vec();
    for cell in cells {
        body.extend(cell.map_or(-1, |c| c.len() as i32).to_be_bytes());
        body.extend(cell.unwrap_or_default());
    }
    frame(b'D', &body)
}

fn scan() -> FieldPlan {
    FieldPlan::Scan(Hint::default())
}

fn mask(operator: &str) -> FieldPlan {
    FieldPlan::Mask(Arc::new(MaskRule { operator: operator.parse().unwrap(), label: "pii".into(), by_default: false }))
}

/// What becomes of one value; `None`: untouched.
fn one(plan: FieldPlan, type_oid: u32, format: i16, value: &[u8]) -> Option<Masked> {
    Field::new(plan, type_oid, format).apply(&masking(TypeSet::all()), value)
}

fn shown(masked: Option<Masked>) -> String {
    match masked {
        None => "untouched".into(),
        Some(Masked::Null) => "null".into(),
        Some(Masked::Bytes(b)) => String::from_utf8(b).unwrap(),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn what_is_found_in_text_is_replaced_by_its_type() {
    let cases: &[(u32, &str, &str)] = &[
        (25, "mail ada@example.com now", "mail [email] now"),
        (1043, "nothing here", "untouched"),
        (20, "4111111111111111", "null"),
        (20, "4111111111111112", "untouched"),
        (23, "411111111", "untouched"),
        (1700, "4111111111111111", "null"),
        (114, r#"{"m":"ada@example.com","c":4111111111111111}"#, r#"{"m":"[email]","c":null}"#),
        (3802, r#"{"a\"b":"x ada@example.com"}"#, r#"{"a\"b":"x [email]"}"#),
        (114, r#"{"k":"-----BEGIN PRIVATE KEY-----abc","b":1}"#, "\"[private_key]\""),
        (1009, "{ada@example.com,plain,NULL}", "{\"[email]\",plain,NULL}"),
        (1009, r#"{"say \"hi\" ada@example.com",b}"#, r#"{"say \"hi\" [email]",b}"#),
        (16_400, r#"(1,"ada@example.com, ""x""",{bob@example.com})"#, r#"(1,"[email], \"x\"","{\"[email]\"}")"#),
        (16_401, "ada@example.com", "[email]"),
        (16_401, "[0:1]={a,b}", "untouched"),
        (869, "192.168.1.10", "null"),
        (17, r"\x61646140657861 6d706c652e636f6d", "untouched"),
        (17, r"\x616461406578616d706c652e636f6d", "null"),
        (1114, "2024-05-17 10:11:12", "untouched"),
        (2950, "41111111-1111-4111-8111-111111111111", "untouched"),
    ];
    for (type_oid, value, want) in cases {
        assert_eq!(shown(one(scan(), *type_oid, 0, value.as_bytes())), *want, "{type_oid} {value}");
    }
}

#[test]
fn what_is_found_in_binary_is_replaced_by_its_type() {
    let card = 4_111_111_111_111_111_i64.to_be_bytes();
    // array_send and record_send of PostgreSQL 15
    let cards = unhex("000000010000000000000014000000010000000100000008000e9b08a568f1c7");
    let record = unhex("00000002000000170000000400000001000000190000000f616461406578616d706c652e636f6d");
    let numeric = unhex("0004000300000000100f045704570457");
    let jsonb = [&[1], &br#"{"m":"ada@example.com"}"#[..]].concat();
    // The length of the text, 48, is the digit 0: it must not look like a part of the number after it.
    let long = format!("4111111111111111{:32}", "");
    let text_of_48 =
        [&unhex("00000001000000000000001900000001000000010000 0030".replace(' ', "").as_str())[..], long.as_bytes()]
            .concat();
    let cases: &[(u32, &[u8], &str)] = &[
        (25, b"ada@example.com", "[email]"),
        (20, &card, "null"),
        (20, &42_i64.to_be_bytes(), "untouched"),
        (1700, &numeric, "null"),
        (3802, &jsonb, "\u{1}{\"m\":\"[email]\"}"),
        (1016, &cards, "null"),
        (2249, &record, "null"),
        (1009, &text_of_48, "null"),
        (869, &[2, 32, 0, 4, 192, 168, 1, 10], "null"),
        (17, b"ada@example.com", "null"),
        (17, b"\xff\xfeada@example.com", "untouched"),
        (16_401, b"ada@example.com", "null"),
        (16_401, b"happy", "untouched"),
    ];
    for (type_oid, value, want) in cases {
        assert_eq!(shown(one(scan(), *type_oid, 1, value)), *want, "{type_oid} {value:?}");
    }
}

#[test]
fn a_social_security_number_fits_into_an_integer_whose_column_says_so() {
    let hint = || FieldPlan::Scan(Hint::from_column("ssn"));
    assert_eq!(shown(one(hint(), 23, 0, b"123456789")), "null");
    assert_eq!(shown(one(hint(), 23, 1, &123_456_789_i32.to_be_bytes())), "null");
    assert_eq!(shown(one(scan(), 23, 0, b"123456789")), "untouched");
}

#[test]
fn a_masked_column_keeps_its_type_in_both_formats() {
    let day = unhex("000022c6");
    for (operator, type_oid, text, binary) in [
        ("redact", 25, &b"x"[..], &b"x"[..]),
        ("hash", 25, b"x", b"x"),
        ("hash", 20, b"42", &42_i64.to_be_bytes()),
        ("hash", 1700, b"123.45", &unhex("0002000000000002007b1194")),
        ("date:month", 1082, b"2024-05-16", &day),
        ("hash", 2950, b"41111111-1111-4111-8111-111111111111", &unhex("41111111111141118111111111111111")),
        ("null", 25, b"x", b"x"),
        ("redact", 17, b"x", b"x"),
        ("redact", 16_400, b"(1)", b"x"),
        ("fixed:7", 23, b"42", &42_i32.to_be_bytes()),
    ] {
        let in_text = one(mask(operator), type_oid, 0, text).unwrap();
        let in_binary = one(mask(operator), type_oid, 1, binary).unwrap();
        let readable = match (&in_binary, type_oid) {
            (Masked::Null, _) => "null".to_owned(),
            (Masked::Bytes(b), 20) => i64::from_be_bytes(b[..].try_into().unwrap()).to_string(),
            (Masked::Bytes(b), 23) => i32::from_be_bytes(b[..].try_into().unwrap()).to_string(),
            (Masked::Bytes(b), 1700) => numeric(b).unwrap(),
            (Masked::Bytes(b), 1082) => date(b, false).unwrap(),
            (Masked::Bytes(b), 2950) => {
                let h = hex::encode(b);
                let part = |from: usize, to: usize| h.get(from..to).unwrap();
                format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
            }
            (Masked::Bytes(b), _) => String::from_utf8(b.clone()).unwrap(),
        };
        assert_eq!(shown(Some(in_text)), readable, "{operator} {type_oid}");
    }
    for broken in [&b""[..], b"x", b"123456789"] {
        assert_eq!(shown(one(mask("hash"), 20, 1, broken)), "null", "a malformed value is never passed");
    }
}

#[test]
fn clean_rows_pass_byte_for_byte_and_others_are_masked() {
    let fields = || vec![Field::new(FieldPlan::Clear, 23, 1), Field::new(scan(), 25, 0)];
    let masker = RowMasker::new(fields(), masking(TypeSet::all()));
    let clean = [row(&[Some(b"\0\0\0\x01"), Some(b"x")]), row(&[None, None])].concat();
    let dirty = row(&[Some(b"\0\0\0\x02"), Some(b"ada@example.com")]);
    let run = [&clean[..], &dirty].concat();
    let (mut out, mut masked) = (BytesMut::new(), 0);
    masker.mask_run(&clean, &mut out, &mut masked).unwrap();
    assert_eq!((&out[..], masked), (&clean[..], 0));
    out.clear();
    masker.mask_run(&run, &mut out, &mut masked).unwrap();
    let want = [&clean[..], &row(&[Some(b"\0\0\0\x02"), Some(b"[email]")])].concat();
    assert_eq!((&out[..], masked), (&want[..], 1));
}

/// The rows of a real session under one plan for all their columns: as they came, and as they went.
fn real_rows(recorded: &[u8], plan: &FieldPlan) -> (Vec<u8>, Vec<u8>) {
    let (mut came, mut went, mut masked) = (Vec::new(), BytesMut::new(), 0);
    let mut masker = None;
    for frame in crate::codec::traffic::frames(recorded, false) {
        let message = upstream_message(&frame).unwrap();
        if let UpstreamMessage::RowDescription(row) = &message {
            let fields = row.fields().map(|f| Field::new(plan.clone(), f.type_oid, f.format)).collect();
            masker = Some(RowMasker::new(fields, masking(TypeSet::all())));
        } else if let UpstreamMessage::DataRow(_) = &message {
            masker.as_ref().unwrap().mask_run(&frame, &mut went, &mut masked).unwrap();
            came.extend(frame);
        }
    }
    (came, went.to_vec())
}

#[test]
fn rows_of_a_real_session_are_masked_or_pass_untouched() {
    use crate::codec::traffic::{EXTENDED, SIMPLE};
    for recorded in [SIMPLE, EXTENDED] {
        let (came, went) = real_rows(recorded, &FieldPlan::Clear);
        assert_eq!(came, went);
        let (came, went) = real_rows(recorded, &scan());
        for secret in [&b"ada@example.com"[..], b"4111111111111111"] {
            let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret);
            assert!(holds(&came) && !holds(&went));
        }
        assert!(went.windows(7).any(|w| w == b"[email]"));
        // Under a mask not even the shortest value is left: texts become their label, all else null.
        let (_, went) = real_rows(recorded, &mask("redact"));
        for row in went.split(|b| *b == b'D').filter(|r| !r.is_empty()) {
            assert!(!row.iter().any(u8::is_ascii_digit), "{row:?}");
        }
    }
}

#[test]
fn a_row_that_is_not_as_described_is_not_written() {
    let masker = RowMasker::new(vec![Field::new(mask("redact"), 25, 0)], masking(TypeSet::all()));
    for bad in [
        row(&[Some(b"a"), Some(b"b")]),
        row(&[]),
        frame(b'D', b"\0\x01\0\0\0\x09abc"),
        frame(b'D', b"\0\x01\xff\xff\xff\xfe"),
        frame(b'D', b"\0\x01\0\0\0\x01abc"),
        frame(b'D', b"\xff\xff"),
        frame(b'D', b""),
    ] {
        let (mut out, mut masked) = (BytesMut::new(), 0);
        let good = row(&[Some(b"secret")]);
        assert!(masker.mask_run(&[&good[..], &bad].concat(), &mut out, &mut masked).is_err(), "{bad:?}");
        assert_eq!(&out[..], row(&[Some(b"[pii]")]), "{bad:?}");
    }
}

/// Kinds of columns, with values of them in which something is found and in which nothing is.
const COLUMNS: &[(u32, i16, &[&[u8]])] = &[
    (25, 0, &[b"plain", b"mail ada@example.com", b"", b"4111 1111 1111 1111", b"ada", b"@example.com"]),
    (20, 0, &[b"4111111111111111", b"12"]),
    (114, 0, &[br#"{"m":"ada@example.com"}"#, b"1"]),
    (25, 1, &[b"plain", b"ada@example.com"]),
    (20, 1, &[b"\x00\x0e\x9b\x08\xa5\x68\xf1\xc7", b"\0\0\0\0\0\0\0\x07"]),
    (23, 1, &[b"\0\0\0\x07"]),
];

const OPERATORS: &[&str] = &["redact", "null", "fixed:7", "hash", "partial:2"];

proptest! {
    /// Whatever is masked by its place in a whole run is what it is by itself.
    #[test]
    fn runs_are_masked_as_their_values_are_one_by_one(
        columns in prop::collection::vec((0..COLUMNS.len(), 0_usize..7), 1..6),
        cells in prop::collection::vec(prop::collection::vec(0_usize..8, 6), 0..6),
    ) {
        let plan = |which: usize| match which {
            0 => FieldPlan::Clear,
            1 => scan(),
            _ => mask(OPERATORS[which - 2]),
        };
        let fields: Vec<Field> =
            columns.iter().map(|(c, which)| Field::new(plan(*which), COLUMNS[*c].0, COLUMNS[*c].1)).collect();
        let (text, mut run, mut want, mut count) = (masking(TypeSet::all()), Vec::new(), Vec::new(), 0);
        for picks in &cells {
            let values: Vec<Option<&[u8]>> = columns.iter().zip(picks).map(|((c, _), pick)| {
                let values = COLUMNS[*c].2;
                (*pick < 7).then(|| values[pick % values.len()])
            }).collect();
            let made: Vec<Option<Vec<u8>>> = values.iter().zip(&fields).map(|(value, field)| {
                let value = (*value)?;
                match field.apply(&text, value) {
                    None => Some(value.to_vec()),
                    Some(masked) => {
                        count += 1;
                        match masked { Masked::Bytes(bytes) => Some(bytes), Masked::Null => None }
                    }
                }
            }).collect();
            run.extend(row(&values));
            want.extend(row(&made.iter().map(Option::as_deref).collect::<Vec<_>>()));
        }
        let (mut out, mut masked) = (BytesMut::new(), 0);
        RowMasker::new(fields, text).mask_run(&run, &mut out, &mut masked).unwrap();
        prop_assert_eq!((&out[..], masked), (&want[..], count));
    }
}

/// An error of these fields as the caller sees it: its letters and texts.
fn seen(fields: &[(u8, &str)], exposure: ErrorExposure) -> String {
    let mut body = Vec::new();
    for (code, text) in fields {
        body.push(*code);
        body.extend(text.bytes());
        body.push(0);
    }
    body.push(0);
    let out = error_or_notice(&frame(b'E', &body), exposure, &masking(TypeSet::all()), &|at| at);
    let Ok(UpstreamMessage::ErrorResponse(fields)) = upstream_message(&out) else { panic!("{out:?}") };
    let shown: Vec<String> =
        fields.map(|(code, text)| format!("{}={}", code as char, String::from_utf8_lossy(text))).collect();
    shown.join(" ")
}

#[test]
fn errors_over_hidden_columns_quote_no_values() {
    const HIDDEN: &str = "M=details hidden by Doorward: the statement touches masked columns";
    let hide = |fields: &[(u8, &str)]| seen(fields, ErrorExposure::HideValues);
    // What the parser says of the caller's own text stays.
    assert_eq!(
        hide(&[(b'C', "42703"), (b'M', "column \"x\" does not exist"), (b'H', "Perhaps …"), (b'P', "8")]),
        "C=42703 M=column \"x\" does not exist P=8"
    );
    assert_eq!(
        hide(&[(b'C', "42501"), (b'M', "permission denied for table t")]),
        "C=42501 M=permission denied for table t"
    );
    assert_eq!(
        hide(&[(b'C', "40P01"), (b'M', "deadlock detected"), (b'D', "…"), (b'W', "while locking tuple (0,1)")]),
        "C=40P01 M=deadlock detected"
    );
    for leaking in [
        // SELECT ssn::int
        &[(b'C', "22P02"), (b'M', "invalid input syntax for type integer: \"Ada\"")][..],
        // SELECT name::regclass: the name is a value
        &[(b'C', "42P01"), (b'M', "relation \"Ada\" does not exist")],
        &[(b'C', "3F000"), (b'M', "schema \"Ada\" does not exist")],
        &[(b'C', "58P01"), (b'M', "could not open file \"Ada\"")],
        // RAISE EXCEPTION '%', ssn USING ERRCODE = '57014'
        &[(b'C', "57014"), (b'M', "Ada"), (b'W', "PL/pgSQL function f() line 1 at RAISE")],
        &[(b'C', "00000"), (b'M', "Ada")],
        &[(b'C', "23505"), (b'M', "Ada")],
        &[(b'M', "Ada")],
    ] {
        let got = hide(leaking);
        assert!(got.contains(HIDDEN) && !got.contains("Ada"), "{got}");
    }
    let got = hide(&[
        (b'C', "42601"),
        (b'M', "m"),
        (b'P', "1"),
        (b'D', "Ada"),
        (b'q', "Ada"),
        (b'x', "Ada"),
        (b't', "customers"),
    ]);
    assert_eq!(got, "C=42601 M=m P=1 t=customers");
}

#[test]
fn what_comes_out_of_triggers_is_hidden_and_names_of_partitions_are() {
    let raised = [(b'C', "P0001"), (b'M', "Ada"), (b'D', "Ada"), (b'W', "PL/pgSQL function f() line 1 at RAISE")];
    let got = seen(&raised, ErrorExposure::HideNested);
    assert!(got.contains("details hidden by Doorward") && !got.contains("Ada"), "{got}");
    let own = [(b'C', "23505"), (b'M', "duplicate key"), (b'D', "Key (id)=(7)"), (b'n', "t_pkey")];
    assert_eq!(seen(&own, ErrorExposure::HideNested), seen(&own, ErrorExposure::ScanOnly));
    assert!(seen(&own, ErrorExposure::HideValues).contains("n=t_pkey"));
    let part =
        [(b'C', "23502"), (b'M', "null"), (b's', "public"), (b't', "apart_a"), (b'c', "id"), (b'n', "apart_a_pkey")];
    assert_eq!(
        seen(&part, ErrorExposure::HideNames),
        "C=23502 M=details hidden by Doorward: the statement touches masked columns"
    );
}

#[test]
fn every_text_of_an_error_is_looked_through() {
    let got = seen(
        &[
            (b'S', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key"),
            (b'D', "Key (email)=(ada@example.com) already exists."),
            (b'n', "t_email_key"),
            (b'?', "ada@example.com"),
        ],
        ErrorExposure::ScanOnly,
    );
    assert_eq!(got, "S=ERROR C=23505 M=duplicate key D=Key (email)=([email]) already exists. n=t_email_key ?=[email]");
}

#[test]
fn notifications_settings_and_function_results_are_looked_through() {
    let text = masking(TypeSet::all());
    let status = parameter_status("application_name", "ada@example.com", &text);
    assert_eq!(status, frame(b'S', b"application_name\0[email]\0"));
    assert_eq!(parameter_status("TimeZone", "Etc/UTC", &text), frame(b'S', b"TimeZone\0Etc/UTC\0"));
    let note = notification(&frame(b'A', b"\0\0\0\x07ch\0ada@example.com\0"), &text);
    assert_eq!(note, frame(b'A', b"\0\0\0\x07ch\0[email]\0"));
    let clean = frame(b'A', b"\0\0\0\x07ch\0hello\0");
    assert_eq!(notification(&clean, &text), clean);
    let null = frame(b'V', b"\xff\xff\xff\xff");
    let result = |value: &[u8]| frame(b'V', &[&(value.len() as i32).to_be_bytes(), value].concat());
    for (value, hidden) in
        [(&b"ada@example.com"[..], true), (&4_111_111_111_111_111_i64.to_be_bytes(), true), (b"4", false)]
    {
        let given = result(value);
        assert_eq!(function_result(&given, &text), if hidden { null.clone() } else { given });
    }
}

proptest! {
    #[test]
    fn no_detected_value_survives_and_what_was_written_is_whole_rows(
        before in "[a-z{}(),\" ]{0,12}",
        after in "[a-z{}(),\" ]{0,12}",
        which in 0_usize..3,
        type_oid in prop::sample::select(vec![25_u32, 1009, 16_400]),
        format in 0_i16..2,
    ) {
        let secret = ["4111 1111 1111 1111", "078-05-1120", "192.168.1.10"][which];
        let value = format!("{before} {secret} {after}");
        let masker = RowMasker::new(vec![Field::new(scan(), type_oid, format)], masking(TypeSet::all()));
        let (mut out, mut masked) = (BytesMut::new(), 0);
        masker.mask_run(&row(&[Some(value.as_bytes())]), &mut out, &mut masked).unwrap();
        prop_assert!(!out.windows(secret.len()).any(|w| w == secret.as_bytes()), "{out:?}");
        let Ok(UpstreamMessage::DataRow(written)) = upstream_message(&out) else { panic!("{out:?}") };
        prop_assert_eq!(written.count, 1);
    }

    #[test]
    fn any_bytes_are_fine(
        value in prop::collection::vec(any::<u8>(), 0..80),
        type_oid in prop::sample::select(vec![16_u32, 17, 20, 23, 25, 114, 869, 1009, 1082, 1114, 1700, 2249, 2950, 3802, 16_400]),
        format in 0_i16..2,
        masked_whole in any::<bool>(),
        operator in prop::sample::select(vec!["redact", "hash", "partial:2", "date:year", "fixed:1", "null"]),
    ) {
        let plan = if masked_whole { mask(operator) } else { scan() };
        let got = one(plan, type_oid, format, &value);
        // INVARIANT: a column that is masked never passes as it is, whatever its bytes.
        prop_assert!(!masked_whole || got.is_some());
        let _either = error_or_notice(&frame(b'E', &value), ErrorExposure::HideValues, &masking(TypeSet::all()), &|at| at);
        let _either = notification(&frame(b'A', &value), &masking(TypeSet::all()));
        let _either = function_result(&frame(b'V', &value), &masking(TypeSet::all()));
    }

    #[test]
    fn what_the_bytes_do_not_show_is_not_in_the_values(
        value in prop::sample::select(vec![
            &b"ada@example.com"[..], b"{ada@example.com}", b"4111111111111111", b"\x00\x0e\x9b\x08\xa5\x68\xf1\xc7",
            b"192.168.1.10", b"\\x616461406578616d706c652e636f6d", b"\x02\x20\0\x04\xc0\xa8\x01\x0a",
            b"\0\x04\0\x03\0\0\0\0\x10\x0f\x04\x57\x04\x57\x04\x57",
            b"\0\0\0\x01\0\0\0\0\0\0\0\x14\0\0\0\x01\0\0\0\x01\0\0\0\x08\0\x0e\x9b\x08\xa5\x68\xf1\xc7",
        ]),
        type_oid in prop::sample::select(vec![17_u32, 20, 25, 114, 869, 1009, 1016, 1700, 3802, 16_400]),
        format in 0_i16..2,
    ) {
        let field = Field::new(scan(), type_oid, format);
        let text = masking(TypeSet::all());
        if field.is_told_by_bytes() && field.apply(&text, value).is_some() {
            prop_assert!(text.may_contain(&row(&[Some(value)])));
        }
    }
}

#[test]
fn only_what_is_wanted_is_hidden() {
    let only_email: TypeSet = [DataType::Email].into_iter().collect();
    let text = TextMasking {
        rules: Arc::from([(
            DataType::Email,
            Arc::new(MaskRule { operator: Operator::Null, label: "email".into(), by_default: false }),
        )]),
        ..masking(only_email)
    };
    let field = Field::new(scan(), 25, 0);
    assert_eq!(field.apply(&text, b"4111 1111 1111 1111"), None);
    assert_eq!(shown(field.apply(&text, b"to ada@example.com")), "to [masked]");
}
