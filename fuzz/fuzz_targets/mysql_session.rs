//! A session of MySQL or MariaDB between a client and a server of the fuzzer's: no panic, and what goes to either side does
//! not depend on how bytes are cut.
#![no_main]
#[path = "../../crates/protocols/mysql/tests/conversation/mod.rs"]
mod conversation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    conversation::play(data);
});
