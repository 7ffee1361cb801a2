use super::*;

fn masked(operator: &str, value: &str, shape: ValueShape) -> String {
    let masker = Masker::new([7; 32]);
    match masker.apply(&operator.parse().unwrap(), "email", value.as_bytes(), shape) {
        Masked::Null => "null".into(),
        Masked::Bytes(b) => String::from_utf8(b).unwrap(),
    }
}

#[test]
fn a_value_keeps_its_type() {
    for (operator, value, shape, want) in [
        ("redact", "ada@example.com", ValueShape::Text, "[email]"),
        ("redact", "42", ValueShape::Integer(32), "null"),
        ("redact", "{\"a\":1}", ValueShape::Json, "\"[email]\""),
        ("partial:4", "4111111111111111", ValueShape::Text, "************1111"),
        ("partial:4", "12345678", ValueShape::Text, "********"),
        ("partial:2", "größe!", ValueShape::Text, "****e!"),
        ("fixed:0", "42", ValueShape::Integer(32), "0"),
        ("fixed:99999", "42", ValueShape::Integer(16), "null"),
        ("date:month", "2024-05-17", ValueShape::Date, "2024-05-01"),
        ("date:year", "2024-05-17 10:11:12.5+02", ValueShape::Timestamp, "2024-01-01 00:00:00+00"),
        ("date:day", "2024-05-17 10:11:12", ValueShape::Timestamp, "2024-05-17 00:00:00"),
        ("date:day", "17/05/2024", ValueShape::Date, "null"),
        ("date:day", "2024-05-17 BC", ValueShape::Date, "null"),
        ("date:day", "2024-02-30", ValueShape::Date, "null"),
        ("date:day", "2024-05-17 10:11:12+ada@example.com", ValueShape::Timestamp, "null"),
        ("date:day", "2024-05-17 ada 10:11:12+02", ValueShape::Timestamp, "null"),
        ("date:year", "infinity", ValueShape::Date, "null"),
        ("date:year", "2024-05-17", ValueShape::Text, "null"),
        ("partial:9", "my 4111111111111111 4111111111111111", ValueShape::Text, "***************************111111111"),
        ("partial:15", "an old mail address: ada@x.io", ValueShape::Text, "*****************************"),
        ("partial:4", "ada", ValueShape::Json, "\"***\""),
        ("fixed:a\"b", "x", ValueShape::Json, "\"a\\\"b\""),
        ("fixed:1.50", "42", ValueShape::Numeric, "1.50"),
        ("fixed:x", "42", ValueShape::Numeric, "null"),
        ("fixed:NaN", "42", ValueShape::Float, "null"),
        ("fixed:false", "t", ValueShape::Bool, "f"),
        ("fixed:2000-01-01", "2024-05-17", ValueShape::Date, "2000-01-01"),
        ("fixed:2000-13-01", "2024-05-17", ValueShape::Date, "null"),
        ("fixed:2000-01-01 00:00:00", "2024-05-17 10:11:12", ValueShape::Timestamp, "2000-01-01 00:00:00"),
        ("fixed:00000000-0000-0000-0000-000000000000", "x", ValueShape::Uuid, "00000000-0000-0000-0000-000000000000"),
        ("fixed:0.0.0.0/0", "10.1.2.3", ValueShape::Inet, "0.0.0.0/0"),
        ("fixed:secret", "10.1.2.3", ValueShape::Inet, "null"),
        ("fixed:AB", "\\x00", ValueShape::Bytea, "\\x4142"),
        ("redact", "\\x00", ValueShape::Bytea, "null"),
        ("hash", "t", ValueShape::Bool, "null"),
        ("hash", "x", ValueShape::Other, "null"),
        ("null", "x", ValueShape::Text, "null"),
    ] {
        assert_eq!(masked(operator, value, shape), want, "{operator} {value}");
    }
}

/// Otherwise `SELECT 'a guess'` would be hashed as the column is, and tell by that.
#[test]
fn the_hash_of_a_finding_is_not_that_of_a_column() {
    let (masker, hash) = (Masker::new([7; 32]), "hash".parse().unwrap());
    let card = b"4111 1111 1111 1111";
    let column = masker.apply(&hash, "card", card, ValueShape::Text);
    let found = masker.apply_found(&hash, "card", card, ValueShape::Text);
    assert_ne!(column, found);
    let findings = masker.detector.scan(card, &Hint::default(), TypeSet::all());
    let mut text = Vec::new();
    masker.mask_text(card, &findings, |_| &hash, &mut text);
    assert_eq!(found, Masked::Bytes(text), "in a text as by itself");
}

#[test]
fn a_hash_compares_and_fits() {
    assert_eq!(masked("hash", "a", ValueShape::Text), masked("hash", "a", ValueShape::Text));
    assert_ne!(masked("hash", "a", ValueShape::Text), masked("hash", "b", ValueShape::Text));
    assert!(masked("hash", "7", ValueShape::Integer(16)).parse::<i16>().is_ok());
    assert!(masked("hash", "7", ValueShape::Integer(32)).parse::<i32>().is_ok());
    assert!(masked("hash", "7", ValueShape::Integer(64)).parse::<i64>().is_ok());
    assert_eq!(masked("hash", "7", ValueShape::Uuid).len(), 36);
}

#[test]
fn nothing_is_found_in_what_was_masked() {
    let detector = Detector::new();
    let text = b"ada@example.com paid 4111 1111 1111 1111 from 192.168.1.10";
    let findings = detector.scan(text, &Hint::default(), TypeSet::all());
    assert_eq!(findings.len(), 3);
    let mut out = Vec::new();
    Masker::new([7; 32]).mask_text(text, &findings, |_| &Operator::Redact, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "[email] paid [credit_card] from [ip_address]");
    assert!(detector.scan(&out, &Hint::default(), TypeSet::all()).is_empty());
}

#[test]
fn binary_values_keep_their_layout() {
    let masker = Masker::new([7; 32]);
    let binary = |operator: &str, value: &[u8], shape| match masker.apply_binary(
        &operator.parse().unwrap(),
        "x",
        value,
        shape,
    ) {
        Masked::Null => None,
        Masked::Bytes(b) => Some(b),
    };
    for (bits, value) in [(16_u8, &42_i16.to_be_bytes()[..]), (32, &42_i32.to_be_bytes()), (64, &42_i64.to_be_bytes())]
    {
        let hashed = binary("hash", value, ValueShape::Integer(bits)).unwrap();
        assert_eq!(hashed.len(), value.len());
        let mut wide = [0; 8];
        wide[8 - hashed.len()..].copy_from_slice(&hashed);
        assert_eq!(masked("hash", "42", ValueShape::Integer(bits)), i64::from_be_bytes(wide).to_string(), "as in text");
        let fixed = binary("fixed:-1", value, ValueShape::Integer(bits));
        assert_eq!(fixed, Some(vec![0xff; value.len()]));
        assert_eq!(binary("redact", value, ValueShape::Integer(bits)), None);
        assert_eq!(binary("hash", &value[1..], ValueShape::Integer(bits)), None, "of another length");
    }
    assert_eq!(binary("redact", b"ada", ValueShape::Text), Some(b"[x]".to_vec()));
    assert_eq!(binary("fixed:true", &[0], ValueShape::Bool), Some(vec![1]));
    assert_eq!(binary("fixed:1.5", &[0; 4], ValueShape::Float), Some(1.5_f32.to_be_bytes().to_vec()));
    assert_eq!(binary("fixed:1.5", &[0; 8], ValueShape::Float), Some(1.5_f64.to_be_bytes().to_vec()));
    assert_eq!(binary("fixed:2000-01-02", &[0; 4], ValueShape::Date), Some(1_i32.to_be_bytes().to_vec()));
    assert_eq!(binary("date:year", &100_i32.to_be_bytes(), ValueShape::Date), Some(0_i32.to_be_bytes().to_vec()));
    assert_eq!(binary("fixed:AB", &[0], ValueShape::Bytea), Some(b"AB".to_vec()));
    assert_eq!(binary("hash", &[1; 16], ValueShape::Uuid).map(|b| (b.len(), b[6] >> 4, b[8] >> 6)), Some((16, 8, 2)));
    assert_eq!(binary("hash", b"\0\x01\0\0\0\0\0\0\x10\x92", ValueShape::Numeric), None);
    assert_eq!(binary("null", b"ada", ValueShape::Text), None);
}

#[test]
fn hashed_numbers_are_nobodys_card() {
    let detector = Detector::new();
    for n in 0..3000 {
        let hashed = masked("hash", &n.to_string(), ValueShape::Integer(64));
        assert!(detector.scan(hashed.as_bytes(), &Hint::default(), TypeSet::all()).is_empty(), "{hashed}");
    }
}

/// Databases are asked to make the mask themselves (`RIGHT(x, 4)`): they know nothing of what a recognizer finds.
#[test]
fn ends_of_four_characters_are_nothing_that_is_found() {
    let masker = Masker::new([7; 32]);
    let alphabet = "0159afgzAZ:.@-/ +#=_%ö".chars().collect::<Vec<_>>();
    let mut found = Vec::new();
    for n in 0..alphabet.len().pow(4) {
        let end: String = (0..4).map(|at| alphabet[n / alphabet.len().pow(at) % alphabet.len()]).collect();
        let value = format!("abcdefgh{end}");
        let masked = masker.apply(&Operator::Partial(4), "x", value.as_bytes(), ValueShape::Text);
        if masked != Masked::Bytes(format!("********{end}").into_bytes()) {
            found.push(end);
        }
    }
    assert!(found.is_empty(), "{} {:?}", found.len(), &found[..found.len().min(50)]);
}
