//! Data that write masks back, in each format, however they are cut.
use super::*;
use doorward_enforce::MaskRule;
use doorward_model::Operator;
use doorward_sql::SourceColumn;
use std::sync::Arc;

const TEXT: fn() -> CopyFormat = || CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec() };
const CSV: fn() -> CopyFormat = || CopyFormat::Csv { delimiter: b',', null: Vec::new(), quote: b'"', escape: b'"' };

/// `id, ssn, name`, of which the second is masked.
fn targets() -> Targets {
    let source = SourceColumn { schema: "public".into(), table: "t".into(), column: Some("ssn".into()) };
    let rule = Arc::new(MaskRule { operator: Operator::Redact, label: "ssn".into(), by_default: false });
    [None, Some(Target { source, rule }), None].into()
}

/// What is found in data that come whole, in two pieces cut anywhere, and byte by byte: the same.
fn look(format: &CopyFormat, header: bool, data: &[u8]) -> Result<(), Found> {
    let in_pieces = |pieces: &[&[u8]]| {
        let mut guard = CopyGuard::new(format.clone(), header, targets());
        pieces.iter().try_for_each(|piece| guard.data(piece)).and_then(|()| guard.finish())
    };
    let whole = in_pieces(&[data]);
    assert_eq!(in_pieces(&data.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    for cut in 0..data.len().min(200) {
        let (a, b) = data.split_at(cut);
        assert_eq!(in_pieces(&[a, b]), whole, "cut at {cut}");
    }
    whole
}

fn mask() -> Result<(), Found> {
    Err(Found::Mask { column: 1, text: "[ssn]".to_owned() })
}

#[test]
fn text_is_read_as_the_server_does() {
    for data in [
        "1\t[ssn]\tx\n",
        "1\t\\N\tx\n2\t[ssn]\tx",
        "1\t\\[ssn]\tx\n",
        "1\t\\133ssn\\135\tx\n",
        "1\t\\x5bs\\x73n\\x5D\tx\n",
        "1\ta\\\nb\tx\n2\t[ssn]\tx\n",
        "1\ta\\\tb\tx\r\n2\t[ssn]\tx\r\n",
        "1\ta\tx\\\\\n2\t[ssn]\tx\n",
        "1\t[ssn]",
    ] {
        assert_eq!(look(&TEXT(), false, data.as_bytes()), mask(), "{data:?}");
    }
    for data in [
        "",
        "1\t078\tx\n",
        "1\t078\t[ssn]\n[ssn]\tb\tc\n",
        "1\t[ssn\\]x\tx\n",
        "1\t\\\\[ssn]\tx\n",
        "1\t[ssn] \tx\n",
        "1\t\\N\tx\n",
        "1\t\\1334\tx\n",
        "1\t\\xg[ssn]\tx\n",
        "\\.\n",
    ] {
        assert_eq!(look(&TEXT(), false, data.as_bytes()), Ok(()), "{data:?}");
    }
    // A header is names; a null is none of its value's business.
    assert_eq!(look(&TEXT(), true, b"id\t[ssn]\tname\n1\ta\tb\n"), Ok(()));
    assert_eq!(look(&TEXT(), true, b"id\tssn\tname\n1\t[ssn]\tb\n"), mask());
    let null = CopyFormat::Text { delimiter: b'|', null: b"[ssn]".to_vec() };
    assert_eq!(look(&null, false, b"1|[ssn]|x\n"), Ok(()));
    assert_eq!(look(&null, false, b"1|\\[ssn]|x\n"), mask());
}

#[test]
fn csv_is_read_as_the_server_does() {
    for data in [
        "1,[ssn],x\n",
        "1,\"[ssn]\",x\n",
        "1,\"a\nb,\"\"c\",x\n2,[ssn],x\n",
        "\"1\n\"\",[ssn],\",a,x\n2,\"[s\"sn\"]\",x",
        "1,a,\"\"\"\"\r\n2,\"[ssn]\"",
        "1,[s\"s\"n],x\n",
    ] {
        assert_eq!(look(&CSV(), false, data.as_bytes()), mask(), "{data:?}");
    }
    for data in
        ["1,a,[ssn]\n", "1,\"x,[ssn],\n1,[ssn],\",x\n", "1,\\[ssn],x\n", "1,\"\"\"[ssn]\",x\n", "\"\n,[ssn],", ""]
    {
        assert_eq!(look(&CSV(), false, data.as_bytes()), Ok(()), "{data:?}");
    }
    assert_eq!(look(&CSV(), true, b"id,\"[ssn]\",\"a\nb\"\n1,a,b\n"), Ok(()));
    let odd = CopyFormat::Csv { delimiter: b';', null: b"[ssn]".to_vec(), quote: b'\'', escape: b'\\' };
    assert_eq!(look(&odd, false, b"1;'\\'\n;';2\n1;'[ssn]';x\n"), mask(), "in quotes it is no null");
    assert_eq!(look(&odd, false, b"1;'\\\\';2\n1;[ssn];x\n"), Ok(()));
    assert_eq!(look(&odd, false, b"1;'\\n[ssn]';x\n"), Ok(()));
}

fn tuple(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        let length = field.map_or(-1, |f| i32::try_from(f.len()).unwrap());
        out.extend(length.to_be_bytes());
        out.extend_from_slice(field.unwrap_or_default());
    }
    out
}

fn binary(extension: &[u8], tuples: &[Vec<u8>]) -> Vec<u8> {
    let length = i32::try_from(extension.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0; 4], &length, extension, &tuples.concat(), &[0xff, 0xff]].concat()
}

#[test]
fn binary_is_read_as_the_server_does() {
    let plain = tuple(&[Some(b"\0\0\0\x01"), Some(b"078"), None]);
    let masked = tuple(&[None, Some(b"[ssn]"), Some(b"")]);
    let json = tuple(&[None, Some(b"\x01\"[ssn]\""), None]);
    assert_eq!(look(&CopyFormat::Binary, false, &binary(b"", &[plain.clone(), plain.clone()])), Ok(()));
    assert_eq!(look(&CopyFormat::Binary, true, &binary(b"[ssn]", &[plain.clone(), masked])), mask());
    assert!(matches!(look(&CopyFormat::Binary, false, &binary(b"", &[json])), Err(Found::Mask { .. })));
    let elsewhere = tuple(&[Some(b"[ssn]"), Some(b""), Some(b"[ssn]")]);
    assert_eq!(look(&CopyFormat::Binary, false, &binary(b"", &[elsewhere, tuple(&[None, None, None])])), Ok(()));
    let good = binary(b"", &[plain]);
    let spoilt = |at: usize, bytes: &[u8]| {
        let mut data = good.clone();
        data.splice(at..at + bytes.len(), bytes.iter().copied());
        look(&CopyFormat::Binary, false, &data)
    };
    for (at, bytes) in [
        (0, &b"pgcopy"[..]),
        (11, &[0, 1, 0, 0]),
        (15, &[0xff; 4]),
        (19, &[0, 2]),
        (19, &[0xff, 0xfe]),
        (19, &[0x7f, 0xff]),
        (21, &[0xff, 0xff, 0xff, 0xfe]),
    ] {
        assert_eq!(spoilt(at, bytes), Err(Found::Malformed), "{at}: {bytes:?}");
    }
    assert_eq!(look(&CopyFormat::Binary, false, &[&good[..], b"\0"].concat()), Err(Found::Malformed), "behind the end");
    // It waits for what never comes, and keeps nothing of it.
    assert_eq!(spoilt(15, &[0x7f, 0xff, 0xff, 0xff]), Ok(()));
    assert_eq!(spoilt(21, &[0x7f, 0xff, 0xff, 0xff]), Ok(()));
}

#[test]
fn huge_fields_are_not_kept() {
    let big = vec![b'x'; 1 << 20];
    for (format, data) in [
        (TEXT(), [b"1\t", &big[..], b"\t", &big, b"\n1\t[ssn]\tx\n"].concat()),
        (CSV(), [b"1,\"", &big[..], b"\",", &big, b"\n1,[ssn],x\n"].concat()),
        (
            CopyFormat::Binary,
            binary(b"", &[tuple(&[None, Some(&big), Some(&big)]), tuple(&[None, Some(b"[ssn]"), None])]),
        ),
    ] {
        let mut guard = CopyGuard::new(format, false, targets());
        let found = data.chunks(4096).try_for_each(|piece| {
            let found = guard.data(piece);
            assert!(format!("{guard:?}").len() < 8192, "so much is kept");
            found
        });
        assert_eq!(found, mask());
    }
}

proptest::proptest! {
    /// Whatever comes, cut anywhere, is read alike and breaks nothing.
    #[test]
    fn it_does_not_depend_on_cuts(data in proptest::collection::vec(0_u8..=255, 0..80), letters in "[\\[\\]sn\\\\,\"\t\r\nx0-9]{0,80}") {
        for format in [TEXT(), CSV(), CopyFormat::Binary] {
            let _any = look(&format, false, &data);
            let _any = look(&format, false, letters.as_bytes());
            let _any = look(&format, false, &[binary(b"", &[]).split_at(19).0, &data].concat());
        }
    }
}
