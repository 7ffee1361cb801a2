//! Which columns a statement writes, and the texts in it that may be what a mask had left there.
//!
//! Texts within texts (`PREPARE`, `EXECUTE IMMEDIATE`) and literals that the server joins (`'[' 'ssn]'`) are not looked at.
use super::{
    Environment,
    lexer::Kind,
    parser::Parser,
    tree::{Assignment, Body, Insert, ObjectName, TableRef, Tree, Update},
};
use crate::meaning::{SourceColumn, Writes};
use doorward_model::Name;

/// What a statement writes.
pub(super) fn of(parser: &Parser<'_>, tree: &Tree, env: &Environment) -> Writes {
    let mut writes = Writes::default();
    columns(tree, env, &mut writes);
    if writes.columns.is_empty() {
        return writes;
    }
    let tokens = parser.tokens.get(tree.tokens.clone()).unwrap_or_default();
    for token in tokens.iter().filter(|token| token.kind == Kind::Text) {
        // Each byte of a literal stands for one at most two long, and so do its quotes.
        if parser.slice(*token).len() <= 2 * Writes::LONGEST + 2
            && let Some(text) = parser.string_of(*token)
        {
            writes.text(&text);
        }
    }
    writes
}

fn columns(tree: &Tree, env: &Environment, out: &mut Writes) {
    match &tree.body {
        Body::Insert(insert) => inserted(insert, env, out),
        Body::Update(update) => updated(update, env, out),
        // `SET STATEMENT … FOR`; `ANALYZE` runs what it explains.
        Body::Within(inner) | Body::Explain { tree: inner, .. } => columns(inner, env, out),
        Body::Plain | Body::Rows | Body::Query(_) | Body::Delete(_) | Body::CreateAs(_) | Body::Unknown => {}
    }
}

fn add(table: &ObjectName, column: Option<Name>, env: &Environment, out: &mut Writes) {
    let (schema, table) = env.relation(table.db.as_deref(), &table.name);
    out.columns.insert(SourceColumn { schema, table, column });
}

fn inserted(insert: &Insert, env: &Environment, out: &mut Writes) {
    let set = || insert.set.iter().chain(&insert.on_duplicate).filter_map(|a| a.column.last().cloned());
    if insert.columns.is_empty() && insert.set.is_empty() {
        add(&insert.table, None, env, out);
    }
    for column in insert.columns.iter().cloned().chain(set()) {
        add(&insert.table, Some(column), env, out);
    }
}

fn updated(update: &Update, env: &Environment, out: &mut Writes) {
    let mut tables = Vec::new();
    update.tables.iter().for_each(|table| changeable(table, &mut tables));
    for Assignment { column, .. } in &update.set {
        let (table_of, Some(name)) = (column.iter().rev().nth(1), column.last()) else { continue };
        for (table, alias) in &tables {
            if table_of.is_none_or(|wanted| wanted.eq_ignore_ascii_case(alias)) {
                add(table, Some(name.clone()), env, out);
            }
        }
    }
}

/// The tables that UPDATE names, by what its other parts call them.
fn changeable<'t>(table: &'t TableRef, out: &mut Vec<(&'t ObjectName, &'t str)>) {
    match table {
        TableRef::Table { name, alias, .. } => out.push((name, alias.as_deref().unwrap_or(&name.name))),
        TableRef::Derived { .. } | TableRef::Json { .. } => {}
        TableRef::Joins { first, rest } => {
            changeable(first, out);
            rest.iter().for_each(|join| changeable(&join.table, out));
        }
        TableRef::Group(all) => all.iter().for_each(|table| changeable(table, out)),
    }
}

#[cfg(test)]
mod tests {
    use crate::mysql::{Environment, Upstream, analyse};

    /// Columns as `table.column`, and texts.
    fn writes(text: &str) -> (Vec<String>, Vec<String>) {
        let upstream = Upstream::from_greeting("10.11.19-MariaDB").unwrap();
        let environment = Environment { upstream, database: Some("d".into()), ..Environment::default() };
        let read = analyse(text.as_bytes(), &environment);
        let writes = &read.statements.first().unwrap().writes;
        let columns = writes.columns.iter().map(|c| format!("{}.{}", c.table, c.column.as_deref().unwrap_or("*")));
        (columns.collect(), writes.texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn columns_and_texts_of_what_writes() {
        for (text, columns, texts) in [
            ("insert into t values (1, '[ssn]', \"it''s\")", &["t.*"][..], &["[ssn]", "it''s"][..]),
            ("insert into t (id, Ssn) values (1, '[\\ssn]')", &["t.id", "t.ssn"][..], &["[ssn]"][..]),
            ("replace into t set t.ssn = '****1'", &["t.ssn"][..], &["****1"][..]),
            ("insert into t (id) values (1) on duplicate key update ssn = 'x'", &["t.id", "t.ssn"][..], &["x"][..]),
            ("insert into t (ssn) select 'a' from u", &["t.ssn"][..], &["a"][..]),
            ("update t a, u set a.ssn = 'x', name = 'y'", &["t.name", "t.ssn", "u.name"][..], &["x", "y"][..]),
            ("update t join u using (id) set u.ssn = upper('x') where t.id = 'z'", &["u.ssn"][..], &["x", "z"][..]),
            ("set statement max_statement_time = 1 for update t set ssn = '[ssn]'", &["t.ssn"][..], &["[ssn]"][..]),
            ("load data local infile 'f' into table t (id, @x, ssn)", &["t.id", "t.ssn"][..], &["f"][..]),
            ("select '[ssn]' from t", &[][..], &[][..]),
            ("delete from t where ssn = '[ssn]'", &[][..], &[][..]),
        ] {
            let expected = (columns.to_vec(), texts.to_vec());
            let (columns, texts) = writes(text);
            let got: (Vec<&str>, Vec<&str>) =
                (columns.iter().map(|c| &**c).collect(), texts.iter().map(|t| &**t).collect());
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn long_literals_are_no_masks() {
        let long = format!("insert into t values ('[{}]', '[ssn]')", "x".repeat(600));
        assert_eq!(writes(&long).1, ["[ssn]"]);
    }
}
