use super::*;
use crate::channel::Channel;
use bytes::BytesMut;
use proptest::prelude::*;

/// As zlib packs them (level 9, Python's `zlib.compressobj(zdict=…)`): `streamtype: error`, then `streamtype: stdout`.
const PACKED: [&str; 2] =
    ["78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff", "c22a054ccc29f9a52500000000ffff"];
/// A hundred thousand zeros.
const BOMB: &str = "78f9e3c6a7c2ecd24111003008c030903a33e8402ac3058fe4ae0efa3fcaed45560700000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000070d6000000ffff";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn control(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x80, 3][..], &kind.to_be_bytes(), &[flags], &length[1..], body].concat()
}

fn syn_stream(id: u32, packed: &str) -> Vec<u8> {
    control(1, 0, &[&id.to_be_bytes()[..], &[0; 6], &bytes(packed)].concat())
}

fn read(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = Decoder::default();
    decoder.buffer().extend_from_slice(bytes);
    let mut out = Vec::new();
    while let Some(frame) = decoder.frame()? {
        out.push(frame);
    }
    Ok(out)
}

fn stream(id: u32, kind: &str) -> Frame {
    let headers = vec![("streamtype".to_owned(), kind.to_owned())];
    Frame::SynStream { id, associated: 0, headers, fin: false, unidirectional: false }
}

fn data(id: u32, text: &'static str, fin: bool) -> Frame {
    Frame::Data { id, bytes: text.as_bytes().into(), fin }
}

#[test]
fn what_zlib_packs_is_read() {
    let both = [syn_stream(1, PACKED[0]), syn_stream(3, PACKED[1])].concat();
    assert_eq!(read(&both), Ok(vec![stream(1, "error"), stream(3, "stdout")]));
    // The second says nothing without the first.
    assert_eq!(read(&syn_stream(3, PACKED[1])), Err(FrameError::Compression));
}

#[test]
fn bombs_do_not_go_off() {
    assert_eq!(read(&syn_stream(1, BOMB)), Err(FrameError::HeadersTooLarge));
}

#[test]
fn what_is_no_frame_is_an_error() {
    for (bytes, error) in [
        (vec![0, 0, 0, 0, 0, 0, 0, 0], FrameError::Zero),
        (vec![0, 0, 0, 1, 2, 0, 0, 0], FrameError::Flags),
        (vec![0x80, 2, 0, 6, 0, 0, 0, 4], FrameError::Version(2)),
        (vec![0x80, 3, 0, 6, 0, 0xff, 0, 0], FrameError::TooLong(0xff_0000)),
        (control(5, 0, &[]), FrameError::Kind(5)),
        (control(10, 0, &[]), FrameError::Kind(10)),
        (control(6, 1, &[0, 0, 0, 1]), FrameError::Flags),
        (control(6, 0, &[0, 0, 0, 0]), FrameError::Zero),
        (control(3, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), FrameError::Zero),
        (control(1, 0, &[&[0, 0, 0, 1][..], &[0; 6], b"GET / HTTP/1.1"].concat()), FrameError::Compression),
    ] {
        assert_eq!(read(&bytes), Err(error), "{bytes:?}");
    }
    for (kind, body) in [(6, 3), (6, 5), (3, 7), (3, 9), (7, 4), (9, 12), (4, 3), (1, 9), (2, 3)] {
        assert!(matches!(read(&control(kind, 0, &vec![1; body])), Err(FrameError::Wire(_))), "{kind} {body}");
    }
    // Ten settings, of which none comes.
    assert!(read(&control(4, 0, &[0xff, 0xff, 0xff, 0xff])).is_err());
}

#[test]
fn data_comes_in_pieces_and_ends_once() {
    let mut decoder = Decoder::default();
    decoder.buffer().extend_from_slice(&[0, 0, 0, 5, 1, 0, 0, 4, b'a']);
    assert_eq!(decoder.frame(), Ok(Some(data(5, "a", false))));
    assert_eq!(decoder.frame(), Ok(None));
    assert!(!decoder.is_between());
    decoder.buffer().extend_from_slice(b"bcd\0");
    assert_eq!(decoder.frame(), Ok(Some(data(5, "bcd", true))));
    assert_eq!(decoder.frame(), Ok(None));
}

fn opened() -> Exchange {
    let mut exchange = Exchange::default();
    for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
        assert!(matches!(exchange.from_caller(stream(id, kind)), Ok(FromCaller::Opened(_, false))));
        let reply = Frame::SynReply { id, headers: Vec::new(), fin: false };
        assert!(matches!(exchange.from_upstream(reply), Ok(FromUpstream::Accepted(..))));
    }
    exchange
}

#[test]
fn streams_are_opened_by_callers_one_of_a_kind() {
    let mut e = opened();
    for frame in [stream(7, "stdout"), stream(5, "resize"), stream(8, "resize"), stream(7, "data"), stream(7, "")] {
        assert!(matches!(e.from_caller(frame), Err(Misbehaved::Client(_))));
    }
    assert!(matches!(e.from_upstream(stream(2, "stdout")), Err(Misbehaved::Upstream(_))));
    assert!(matches!(e.from_caller(data(7, "x", false)), Err(Misbehaved::Client(_))));
    assert!(matches!(e.from_upstream(data(7, "x", false)), Err(Misbehaved::Upstream(_))));
    let reply = Frame::SynReply { id: 1, headers: Vec::new(), fin: false };
    assert!(matches!(e.from_upstream(reply.clone()), Err(Misbehaved::Upstream(_))));
    assert!(matches!(e.from_caller(reply), Err(Misbehaved::Client(_))));
    e.from_caller(stream(7, "stderr")).unwrap();
    assert!(matches!(e.from_upstream(data(7, "x", false)), Err(Misbehaved::Upstream(_))));
}

#[test]
fn bytes_go_the_way_of_their_channel() {
    let mut e = opened();
    assert_eq!(e.from_caller(data(3, "in", false)), Ok(FromCaller::Data(Channel::Stdin, "in".into(), false)));
    assert_eq!(e.from_upstream(data(5, "out", false)), Ok(FromUpstream::Data(Channel::Stdout, "out".into(), false)));
    // Nobody reads these at the other end.
    assert_eq!(e.from_caller(data(5, "x", false)), Ok(FromCaller::Nothing));
    assert_eq!(e.from_upstream(data(3, "x", true)), Ok(FromUpstream::Data(Channel::Stdin, "".into(), true)));
    assert_eq!(e.from_caller(data(3, "", true)), Ok(FromCaller::Data(Channel::Stdin, "".into(), true)));
    assert_eq!(e.from_caller(data(3, "late", false)), Ok(FromCaller::Nothing));
    let reset = Frame::RstStream { id: 5, status: CANCEL };
    assert_eq!(e.from_upstream(reset.clone()), Ok(FromUpstream::Reset(Channel::Stdout, CANCEL)));
    assert_eq!(e.from_upstream(data(5, "late", false)), Ok(FromUpstream::Nothing));
    assert_eq!(e.from_caller(reset), Ok(FromCaller::Nothing));
    assert_eq!(e.from_caller(Frame::Ping { id: 1 }), Ok(FromCaller::Ping(1)));
    assert_eq!(e.from_caller(Frame::Ping { id: 2 }), Ok(FromCaller::Nothing));
    assert_eq!(e.from_upstream(Frame::Ping { id: 2 }), Ok(FromUpstream::Ping(2)));
}

fn headers() -> impl Strategy<Value = Headers> {
    let map = proptest::collection::btree_map("[a-z:-]{1,9}", "[ -~\0]{0,300}", 0..5);
    map.prop_map(|headers| headers.into_iter().collect())
}

fn frames() -> impl Strategy<Value = Frame> {
    let id = || 1_u32..0x8000_0000;
    prop_oneof![
        (id(), 0_u32..9, headers(), any::<(bool, bool)>()).prop_map(|(id, associated, headers, (fin, one))| {
            Frame::SynStream { id, associated, headers, fin, unidirectional: one }
        }),
        (id(), headers(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::SynReply { id, headers, fin }),
        (id(), headers(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::Headers { id, headers, fin }),
        (id(), 1_u32..12).prop_map(|(id, status)| Frame::RstStream { id, status }),
        (id(), 0_u32..3).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (id(), id()).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        Just(Frame::Settings),
        id().prop_map(|id| Frame::Ping { id }),
        (id(), proptest::collection::vec(any::<u8>(), 0..200), any::<bool>())
            .prop_map(|(id, bytes, fin)| Frame::Data { id, bytes: bytes.into(), fin }),
    ]
}

/// Pieces of one frame of data together.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut out: Vec<Frame> = Vec::new();
    for frame in frames {
        match (out.last_mut(), &frame) {
            (Some(Frame::Data { id, bytes, fin }), Frame::Data { id: of, bytes: more, fin: ended }) if id == of => {
                *bytes = [&bytes[..], more].concat().into();
                *fin |= *ended;
            }
            _ => out.push(frame),
        }
    }
    out
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        frames in proptest::collection::vec(frames(), 1..9),
        cut in 1_usize..60,
    ) {
        let (mut encoder, mut wire) = (Encoder::default(), BytesMut::new());
        for frame in &frames {
            encoder.put(frame, &mut wire);
        }
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        for piece in wire.chunks(cut) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.frame().unwrap() {
                seen.push(frame);
            }
        }
        prop_assert!(decoder.is_between());
        prop_assert_eq!(joined(seen), joined(frames));
    }

    #[test]
    fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _frames = read(&bytes);
        let _frames = read(&[&[0x80, 3, 0][..], &bytes].concat());
    }
}
