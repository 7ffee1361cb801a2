//! Objects with fields that are hidden: no panic, what is hidden is not shown, and JSON is read as elsewhere.
#![no_main]
#[path = "../../crates/protocols/kubernetes/tests/veiled/mod.rs"]
mod veiled;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    veiled::play(data);
});
