//! An SFTP channel between any two peers, driven as the gateway does beside a model of what is open: no panic,
//! nothing with a handle that no allowed open was answered with, the same however the streams are cut.
#![no_main]
use doorward_ssh::sftp;

#[path = "../../crates/protocols/ssh/src/sftp/tests/conversation.rs"]
mod conversation;
#[path = "../../crates/protocols/ssh/src/sftp/tests/driver.rs"]
mod driver;
use driver::Driver;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let _ = conversation::play(data, usize::from(*cut).max(1));
});
