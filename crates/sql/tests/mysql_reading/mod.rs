//! A text of somebody else's choice: what the fuzzer reads, and what replays its corpus.
use doorward_sql::{
    Catalogue, Column, Relation, RelationKind,
    mysql::{Environment, SqlMode, Upstream, analyse},
};
use std::sync::{Arc, OnceLock};

fn catalogue() -> Arc<Catalogue> {
    static KNOWN: OnceLock<Arc<Catalogue>> = OnceLock::new();
    let column = |(number, name): (i16, &str)| Column { number, name: name.into(), type_oid: 0 };
    let relation = |oid, name: &str| Relation {
        oid,
        schema: "d".into(),
        name: name.into(),
        kind: RelationKind::Table,
        columns: [(1, "id"), (2, "name"), (3, "ssn")].map(column).into(),
    };
    Arc::clone(KNOWN.get_or_init(|| Arc::new(Catalogue::new(1, [relation(1, "people"), relation(2, "t")], []))))
}

/// Reads what follows the first byte, which says for which server and mode. Whether it was understood.
pub fn play(data: &[u8]) -> bool {
    let Some((choice, text)) = data.split_first() else { return false };
    let pick = |of: [&'static str; 4], at: u8| of.get(usize::from(at & 3)).copied().unwrap_or_default();
    let greeting = pick(["8.4.7", "5.7.44", "10.11.19-MariaDB", "11.8.9-MariaDB"], *choice);
    let mode = pick(["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI"], choice >> 2);
    let env = Environment {
        catalogue: catalogue(),
        upstream: Upstream::from_greeting(greeting).unwrap_or_default(),
        mode: SqlMode::parse(mode).unwrap_or_default(),
        database: Some("d".into()),
        lower_case_names: choice & 16 != 0,
        ..Environment::default()
    };
    let analysis = analyse(text, &env);
    assert!(!analysis.facts.accesses.is_empty());
    let Some(texts) = analysis.statements.iter().map(|s| s.text.as_deref()).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let printed = texts.join(&b"; "[..]);
    let again = analyse(&printed, &env);
    assert_eq!(analysis.facts, again.facts, "{}", printed.escape_ascii());
    let twice: Option<Vec<_>> = again.statements.iter().map(|s| s.text.as_deref()).collect();
    assert_eq!(Some(printed.clone()), twice.map(|t| t.join(&b"; "[..])), "{}", printed.escape_ascii());
    for (a, b) in analysis.statements.iter().zip(&again.statements) {
        assert_eq!((&a.lineage, &a.moves), (&b.lineage, &b.moves), "{}", printed.escape_ascii());
    }
    true
}
