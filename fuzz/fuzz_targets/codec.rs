//! Any bytes as start-up packet, client message and upstream message: no panic, nothing read twice.
#![no_main]
use doorward_postgres::codec;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = codec::startup(data);
    let _ = codec::client_message(data);
    let _ = codec::upstream_message(data);
    let _ = codec::readable_parameters(data);
    let _ = codec::run_of_rows(data);
});
