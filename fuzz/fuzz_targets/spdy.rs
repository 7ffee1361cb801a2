//! SPDY/3.1: bytes of a caller and of an API server, cut anywhere: no panic, and what is written anew is read as what it was
//! written from. Messages over WebSocket, and how commands end: no panic.
#![no_main]
#[path = "../../crates/protocols/kubernetes/tests/conversation/mod.rs"]
mod conversation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    conversation::play(data);
});
