//! Two peers of SPDY/3.1 from bytes, for the fuzzer and for the replay of its corpus: the first byte says how they are cut, the
//! second where the caller's end and the API server's begin. What is written anew is read as what it was written from.
use bytes::BytesMut;
use doorward_kubernetes::{
    channel,
    spdy::{Decoder, Encoder, Exchange, Frame},
    status,
};

fn read(bytes: &[u8], cut: usize) -> Vec<Frame> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for piece in bytes.chunks(cut) {
        decoder.buffer().extend_from_slice(piece);
        while let Ok(Some(frame)) = decoder.frame() {
            out.push(frame);
        }
    }
    out
}

/// Plays it; how many frames meant something.
pub fn play(data: &[u8]) -> usize {
    let Some((&[cut, at], rest)) = data.split_first_chunk::<2>() else { return 0 };
    let mut understood = 0;
    let (caller, upstream) = rest.split_at(usize::from(at).min(rest.len()));
    let mut exchange = Exchange::default();
    let frames = read(caller, usize::from(cut) + 1);
    let (mut encoder, mut wire) = (Encoder::default(), BytesMut::new());
    for frame in &frames {
        encoder.put(frame, &mut wire);
    }
    assert_eq!(read(&wire, wire.len().max(1)), frames);
    for frame in frames {
        understood += usize::from(exchange.from_caller(frame).is_ok());
    }
    for frame in read(upstream, usize::from(cut) + 1) {
        understood += usize::from(exchange.from_upstream(frame).is_ok());
    }
    assert!(exchange.channels().count() <= channel::Channel::ALL.len());
    let _said = channel::said(rest);
    let _status = status::masked(rest, &mut |text| text.to_owned());
    understood
}
