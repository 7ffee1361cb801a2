//! Any bytes as statements of MySQL and MariaDB: no panic, at least one access, and what is printed is read as what it was
//! printed from.
#![no_main]
use doorward_sql::mysql::{Environment, SqlMode, Upstream, analyse};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (choice, text) = input;
    let greeting = ["8.4.7", "5.7.44", "10.11.19-MariaDB", "11.8.9-MariaDB"][usize::from(choice & 3)];
    let mode = ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI"][usize::from(choice >> 2 & 3)];
    let env = Environment {
        upstream: Upstream::from_greeting(greeting).unwrap_or_default(),
        mode: SqlMode::parse(mode).unwrap_or_default(),
        database: Some("d".into()),
        ..Environment::default()
    };
    let analysis = analyse(text, &env);
    assert!(!analysis.facts.accesses.is_empty());
    let Some(texts) = analysis.statements.iter().map(|s| s.text.as_deref()).collect::<Option<Vec<_>>>() else { return };
    let printed = texts.join(&b"; "[..]);
    let again = analyse(&printed, &env);
    assert_eq!(analysis.facts, again.facts);
    let twice: Option<Vec<_>> = again.statements.iter().map(|s| s.text.as_deref()).collect();
    assert_eq!(Some(printed.clone()), twice.map(|t| t.join(&b"; "[..])));
});
