//! Texts that chance has made, and those that are deep or long.
use super::*;
use proptest::prelude::*;

/// Words, marks and literals, to be thrown together.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "t",
        "a",
        "b",
        "`x``y`",
        "'s'",
        "\"d\"",
        "1",
        "1.5",
        ".5",
        "1a",
        "0x1f",
        "(",
        ")",
        ",",
        ".",
        "*",
        "+",
        "-",
        "--",
        "-- ",
        "#",
        "\n",
        "/*",
        "*/",
        "/*!",
        "/*!50000 ",
        "/*!99999 ",
        "/*M!",
        "@a",
        "@@x",
        ":=",
        "=",
        "AND",
        "OR",
        "NOT",
        "IN",
        "BETWEEN",
        "LIKE",
        "UNION",
        "ALL",
        "JOIN",
        "ON",
        "USING",
        "AS",
        "ORDER BY",
        "GROUP BY",
        "LIMIT",
        ";",
        "INSERT INTO",
        "VALUES",
        "UPDATE",
        "SET",
        "DELETE",
        "WITH",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "COUNT(",
        "SUM(",
        "f(",
        "?",
        "CREATE",
        "TABLE",
        "ALTER",
        "DROP",
        "INDEX",
        "INT",
        "BEGIN",
        "IF",
        "SHOW",
        "GRANT",
        "TO",
        "\\",
        "'",
        "\"",
        "`",
        "é",
        "INTERVAL",
        "DAY",
        "OVER",
        "EXISTS",
        "NULL",
        "_utf8mb4",
        "N'x'",
        "{",
        "}",
        "->",
        "||",
        "PREPARE s FROM 'SELECT 1'",
        "COLLATE",
        "FOR UPDATE",
        "INTO",
        "OUTFILE",
    ])
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec((piece(), any::<bool>()), 0..30).prop_map(|pieces| {
        pieces.into_iter().map(|(p, space)| if space { format!("{p} ") } else { p.to_owned() }).collect()
    })
}

/// What was printed is read as what it was printed from, and printed alike.
fn is_stable(text: &[u8], env: &Environment) {
    let analysis = analyse(text, env);
    assert!(!analysis.facts.accesses.is_empty());
    let all: Option<Vec<&[u8]>> = analysis.statements.iter().map(|s| s.text.as_deref()).collect();
    let Some(all) = all else { return };
    let printed = all.join(&b"; "[..]);
    let again = analyse(&printed, env);
    let show = || format!("{}\n{}", String::from_utf8_lossy(text), String::from_utf8_lossy(&printed));
    assert_eq!(analysis.facts, again.facts, "{}", show());
    let twice: Option<Vec<&[u8]>> = again.statements.iter().map(|s| s.text.as_deref()).collect();
    assert_eq!(Some(printed.clone()), twice.map(|t| t.join(&b"; "[..])), "{}", show());
    for (a, b) in analysis.statements.iter().zip(&again.statements) {
        assert_eq!((&a.lineage, &a.moves), (&b.lineage, &b.moves), "{}", show());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        is_stable(&bytes, &env());
        is_stable(&bytes, &maria());
    }

    #[test]
    fn what_is_printed_is_a_fixed_point(text in text()) {
        is_stable(text.as_bytes(), &env());
        is_stable(text.as_bytes(), &maria());
        is_stable(text.as_bytes(), &env_of("5.7.44", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,IGNORE_SPACE"));
    }
}

/// Texts that are deep in every way that the grammar allows, on the stack of a small thread.
#[test]
fn deep_and_long_texts_end() {
    let deep =
        |open: &str, inner: &str, close: &str| format!("SELECT {}{inner}{}", open.repeat(50_000), close.repeat(50_000));
    let texts = [
        deep("(", "1", ")"),
        deep("(SELECT ", "1", ")"),
        deep("f(", "1", ")"),
        deep("CASE WHEN ", "1", " THEN 1 END"),
        deep("- ", "1", ""),
        deep("NOT ", "1", ""),
        deep("@a := ", "1", ""),
        deep("INTERVAL ", "1", " DAY"),
        deep("EXISTS (SELECT ", "1", ")"),
        format!("SELECT 1{}", " + 1".repeat(100_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(50_000)),
        format!("SELECT 1 FROM t{}", " JOIN t".repeat(50_000)),
        format!("SELECT 1 FROM {}t{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT * FROM {}", "(SELECT * FROM ".repeat(50_000)),
        format!("INSERT INTO t VALUES {}(1)", "(1, 'a'), ".repeat(100_000)),
        format!("CREATE PROCEDURE p() {}", "BEGIN ".repeat(50_000)),
        format!("CREATE PROCEDURE p() {}", "IF 1 THEN ".repeat(50_000)),
        format!("CREATE PROCEDURE p() {}", "x: LOOP ".repeat(50_000)),
        "EXPLAIN ".repeat(50_000),
        "PREPARE s FROM ".repeat(50_000),
        format!("WITH {} SELECT 1", "a AS (WITH ".repeat(50_000)),
        ";".repeat(100_000),
        "SELECT 1;".repeat(50_000),
        "/*! ".repeat(50_000),
        format!("SELECT {}1", "a, ".repeat(100_000)),
        format!("SELECT {}1", "a+b, ".repeat(50_000)),
    ];
    let run = move || {
        for text in &texts {
            let start = std::time::Instant::now();
            let _any = analyse(text.as_bytes(), &env());
            let _any = analyse(text.as_bytes(), &maria());
            let took = start.elapsed();
            assert!(took.as_secs() < 20, "{took:?}: {}", text.chars().take(60).collect::<String>());
        }
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
}
