//! What goes over a copy of `kubectl cp`, cut anywhere: no panic, and the cuts do not matter.
#![no_main]
#[path = "../../crates/protocols/kubernetes/tests/copied/mod.rs"]
mod copied;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    copied::play(data);
});
