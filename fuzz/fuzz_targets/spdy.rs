//! SPDY/3.1: bytes of a caller and of an API server, cut anywhere: no panic, and what is written anew is read as what it was
//! written from. Messages over WebSocket, and how commands end: no panic.
#![no_main]
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

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[cut, at], rest)) = data.split_first_chunk::<2>() else { return };
    let (caller, upstream) = rest.split_at(usize::from(at).min(rest.len()));
    let mut exchange = Exchange::default();
    let frames = read(caller, usize::from(cut) + 1);
    let (mut encoder, mut wire) = (Encoder::default(), BytesMut::new());
    for frame in &frames {
        encoder.put(frame, &mut wire);
    }
    assert_eq!(read(&wire, wire.len().max(1)), frames);
    for frame in frames {
        let _caller = exchange.from_caller(frame);
    }
    for frame in read(upstream, usize::from(cut) + 1) {
        let _upstream = exchange.from_upstream(frame);
    }
    assert!(exchange.channels().count() <= channel::Channel::ALL.len());
    let _said = channel::said(rest);
    let _status = status::masked(rest, &mut |text| text.to_owned());
});
