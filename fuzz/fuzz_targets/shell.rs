//! Command lines as they come: no panic, nothing left out without a word, and a line that could go on is not read as whole.
#![no_main]
use doorward_shell::{Login, analyse, analyse_line, is_incomplete};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let login = Login::default();
    assert!(!analyse(data, login).facts.accesses.is_empty());
    if let Ok(text) = std::str::from_utf8(data) {
        let _goes_on = is_incomplete(text);
        assert!(!analyse_line(text, login, Some("/srv")).facts.accesses.is_empty());
        assert!(!analyse_line(text, login, None).facts.accesses.is_empty());
    }
});
