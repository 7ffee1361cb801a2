//! Any text as a statement: an analysis with at least one access, or an error; never a panic.
#![no_main]
use doorward_sql::postgres::{Environment, analyse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(analysis) = analyse(text, &Environment::default()) {
        assert!(!analysis.facts.accesses.is_empty());
    }
});
