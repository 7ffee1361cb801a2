//! Any bytes as statements of MySQL and MariaDB: no panic, at least one access, and what is printed is read as what it was
//! printed from, with the same facts and lineage.
#![no_main]
#[path = "../../crates/sql/tests/mysql_reading/mod.rs"]
mod mysql_reading;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    mysql_reading::play(data);
});
