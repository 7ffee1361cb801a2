//! Every message of both directions, over what real clients and servers have said to each other
//! (`testdata/capture.py`), and over bytes that nobody would say.
use super::*;
use proptest::prelude::*;

/// psql 15 with `testdata/simple.sql`.
pub(crate) const SIMPLE: &[u8] = include_bytes!("../testdata/simple.bin");
/// pgbench 15 with `testdata/extended.sql`, in its `extended` mode.
pub(crate) const EXTENDED: &[u8] = include_bytes!("../testdata/extended.bin");
/// The same in its `prepared` mode.
pub(crate) const PREPARED: &[u8] = include_bytes!("../testdata/prepared.bin");

/// Bytes as they came, and from whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) from_client: bool,
    pub(crate) bytes: &'a [u8],
}

/// The records of a capture.
pub(crate) fn chunks(mut recorded: &[u8]) -> Vec<Chunk<'_>> {
    let mut all = Vec::new();
    while let [direction, a, b, c, d, rest @ ..] = recorded {
        let (bytes, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        all.push(Chunk { from_client: *direction == b'>', bytes });
        recorded = after;
    }
    assert!(recorded.is_empty() && all.len() > 4);
    all
}

/// All frames of one direction, after the start-up packets and their answers.
pub(crate) fn frames(recorded: &[u8], of_client: bool) -> Vec<Vec<u8>> {
    let of = chunks(recorded).into_iter().filter(|c| c.from_client == of_client);
    let joined: Vec<u8> = of.flat_map(|c| c.bytes.to_vec()).collect();
    let mut rest = &joined[..];
    let mut encryption = 0;
    while of_client && rest[0] == 0 {
        let (packet, after) = rest.split_at(u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize);
        encryption += usize::from(startup(packet) == Ok(Startup::Ssl));
        rest = after;
    }
    assert!(encryption <= 1);
    if !of_client && rest.starts_with(b"N") {
        rest = &rest[1..];
    }
    let mut all = Vec::new();
    while let Some(header) = peek(rest, 1 << 20).unwrap() {
        let (frame, after) = rest.split_at(header.total);
        all.push(frame.to_vec());
        rest = after;
    }
    assert!(rest.is_empty());
    all
}

fn tags(frames: &[Vec<u8>]) -> String {
    frames.iter().map(|f| f[0] as char).collect()
}

#[test]
fn real_traffic_is_read_to_its_last_byte() {
    for (recorded, client, upstream) in [
        (
            SIMPLE,
            "QQQQQQQQQQQQQQdcQQQQQQQX",
            "RSSSSSSSSSSSSSKZCZCZTDDCZTDCZIZTDCZTDCZEZEZNCZHddcCZHdddcCZHdddcCZGCZCZCAZCZEZCZCSZTDCZ",
        ),
        (PREPARED, "PSBDESPSBDESBDESBDESX", "RSSSSSSSSSSSSSKZ1Z2TDCZ1Z2TDCZ2TDCZ2TDCZ"),
        (EXTENDED, "PBDESPBDESPBDESPBDESX", "RSSSSSSSSSSSSSKZ12TDCZ12TDCZ12TDCZ12TDCZ"),
    ] {
        let sent = frames(recorded, true);
        for frame in &sent {
            let read = client_message(frame).unwrap();
            assert!(!matches!(read, ClientMessage::Unknown(_)), "{read:?}");
            // Whatever is cut off or added is noticed, but for messages that are bytes to their end.
            if !matches!(read, ClientMessage::CopyData(_)) {
                let mut longer = frame.clone();
                longer.push(0);
                assert!(client_message(&longer).is_err(), "{read:?}");
            }
        }
        let answered = frames(recorded, false);
        for frame in &answered {
            let read = upstream_message(frame).unwrap();
            assert!(!matches!(read, UpstreamMessage::Unknown(_)), "{read:?}");
            if !matches!(read, UpstreamMessage::CopyData(_) | UpstreamMessage::BackendKeyData { .. }) {
                let mut longer = frame.clone();
                longer.push(0);
                assert!(upstream_message(&longer).is_err(), "{read:?}");
            }
        }
        assert_eq!((tags(&sent).as_str(), tags(&answered).as_str()), (client, upstream));
    }
}

/// One of each message of a client.
fn client_samples() -> Vec<(u8, &'static [u8], &'static str)> {
    vec![
        (b'Q', b"SELECT 1\0", "Query"),
        (b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17", "Parse"),
        (b'B', b"p\0s\0\0\x01\0\0\0\x01\0\0\0\x01x\0\x01\0\x01", "Bind"),
        (b'D', b"Ss\0", "Describe"),
        (b'D', b"Pp\0", "Describe"),
        (b'E', b"p\0\0\0\0\x05", "Execute"),
        (b'C', b"Ss\0", "Close"),
        (b'C', b"Pp\0", "Close"),
        (b'S', b"", "Sync"),
        (b'H', b"", "Flush"),
        (b'd', b"line\n", "CopyData"),
        (b'c', b"", "CopyDone"),
        (b'f', b"why\0", "CopyFail"),
        (b'F', b"\0\0\0\x07\0\x01\0\x01\0\x01\xff\xff\xff\xff\0\0", "FunctionCall"),
        (b'X', b"", "Terminate"),
        (b'p', b"secret\0", "Password"),
        (b'?', b"anything", "Unknown"),
    ]
}

/// One of each message of an upstream.
fn upstream_samples() -> Vec<(u8, &'static [u8], &'static str)> {
    vec![
        (b'R', b"\0\0\0\0", "Authentication(Ok"),
        (b'R', b"\0\0\0\x03", "Authentication(CleartextPassword"),
        (b'R', b"\0\0\0\x05salt", "Authentication(Md5"),
        (b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0", "Authentication(Sasl {"),
        (b'R', b"\0\0\0\x0br=x", "Authentication(SaslContinue"),
        (b'R', b"\0\0\0\x0cv=x", "Authentication(SaslFinal"),
        (b'R', b"\0\0\0\x07", "Authentication(Other"),
        (b'K', b"\0\0\0\x01key!", "BackendKeyData"),
        (b'S', b"TimeZone\0UTC\0", "ParameterStatus"),
        (b'Z', b"I", "ReadyForQuery"),
        (b'T', b"\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0", "RowDescription"),
        (b'D', b"\0\x02\0\0\0\x01x\xff\xff\xff\xff", "DataRow"),
        (b'C', b"SELECT 1\0", "CommandComplete"),
        (b'I', b"", "EmptyQueryResponse"),
        (b'E', b"SERROR\0C42601\0Mno\0\0", "ErrorResponse"),
        (b'N', b"SNOTICE\0C00000\0Mno\0\0", "NoticeResponse"),
        (b'A', b"\0\0\0\x01ch\0pay\0", "NotificationResponse"),
        (b'1', b"", "ParseComplete"),
        (b'2', b"", "BindComplete"),
        (b'3', b"", "CloseComplete"),
        (b'n', b"", "NoData"),
        (b't', b"\0\x01\0\0\0\x17", "ParameterDescription"),
        (b's', b"", "PortalSuspended"),
        (b'G', b"\0\0\x01\0\0", "CopyInResponse"),
        (b'H', b"\x01\0\x01\0\x01", "CopyOutResponse"),
        (b'W', b"\0\0\0", "CopyBothResponse"),
        (b'd', b"line\n", "CopyData"),
        (b'c', b"", "CopyDone"),
        (b'V', b"\0\0\0\x01x", "FunctionCallResponse"),
        (b'v', b"\0\x03\0\x02\0\0\0\x01_pq_.x\0", "NegotiateProtocolVersion"),
        (b'?', b"anything", "Unknown"),
    ]
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

#[test]
fn every_message_is_read_and_every_cut_is_noticed() {
    for (tag, body, name) in client_samples() {
        let shown = format!("{:?}", client_message(&frame(tag, body)).unwrap());
        assert!(shown.starts_with(name), "{shown}");
        for cut in 0..body.len() {
            let open_ended = matches!(tag, b'd' | b'p' | b'?');
            assert!(open_ended || client_message(&frame(tag, &body[..cut])).is_err(), "{name} cut at {cut}");
        }
    }
    for (tag, body, name) in upstream_samples() {
        let shown = format!("{:?}", upstream_message(&frame(tag, body)).unwrap());
        assert!(shown.starts_with(name), "{shown}");
        for cut in 0..body.len() {
            let open_ended = matches!(tag, b'd' | b'?') || (tag == b'R' && cut >= 4);
            assert!(open_ended || upstream_message(&frame(tag, &body[..cut])).is_err(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn counts_without_bytes_are_refused() {
    for (tag, body) in [
        (b'P', &b"\0\0\xff\xff"[..]),
        (b'B', b"\0\0\xff\xff"),
        (b'B', b"\0\0\0\0\xff\xff"),
        (b'B', b"\0\0\0\0\0\0\xff\xff"),
        (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
        (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
        (b'F', b"\0\0\0\x01\xff\xff"),
        (b'F', b"\0\0\0\x01\0\0\xff\xff\0\0"),
    ] {
        assert!(client_message(&frame(tag, body)).is_err(), "{} {body:?}", tag as char);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_fine(tag in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..80)) {
        let frame = frame(tag, &body);
        let _either = peek(&body, 100);
        let _either = startup(&body);
        if let Ok(ClientMessage::Bind(bind)) = client_message(&frame) {
            prop_assert_eq!(bind.parameters().count(), bind.count);
        }
        let _either = (password(&body), sasl_initial_response(&body), function_arguments(&frame));
        match upstream_message(&frame) {
            Ok(UpstreamMessage::DataRow(row)) => prop_assert_eq!(row.cells().count(), row.count),
            Ok(UpstreamMessage::RowDescription(row)) => prop_assert!(row.fields().count() <= body.len()),
            _ => {}
        }
    }

    #[test]
    fn a_changed_message_is_read_or_refused(at in 0_usize..40, to in any::<u8>(), which in any::<prop::sample::Index>()) {
        let of_client = client_samples();
        let (tag, body, _) = which.get(&of_client);
        let mut changed = body.to_vec();
        if let Some(byte) = changed.get_mut(at) {
            *byte = to;
        }
        let _either = client_message(&frame(*tag, &changed));
        let of_upstream = upstream_samples();
        let (tag, body, _) = which.get(&of_upstream);
        let mut changed = body.to_vec();
        if let Some(byte) = changed.get_mut(at) {
            *byte = to;
        }
        let _either = upstream_message(&frame(*tag, &changed));
    }

    #[test]
    fn a_run_of_rows_is_whole_rows(rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6), cut in 0_usize..200) {
        let all: Vec<u8> = rows.iter().flat_map(|r| {
            frame(b'D', &[&b"\0\x01"[..], &(r.len() as u32).to_be_bytes(), r].concat())
        }).collect();
        let (used, count) = run_of_rows(&all[..cut.min(all.len())]);
        prop_assert!(used <= cut);
        let (mut rest, mut seen) = (&all[..used], 0);
        while let Some(header) = peek(rest, usize::MAX).unwrap() {
            rest = &rest[header.total..];
            seen += 1;
        }
        prop_assert!(rest.is_empty() && seen == count);
    }
}
