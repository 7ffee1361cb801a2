//! Where a text names the relations that it reads, so that something else may be written there.
use super::{children::children, names, walk::Walk};
use crate::meaning::{Prefix, Read, Reads, Written};
use ahash::{AHashMap, AHashSet};
use doorward_model::Name;
use pg_raw_parse::{Node, nodes};
use std::collections::BTreeSet;

/// What stands where in the text, beside the relations themselves.
#[derive(Default)]
pub(super) struct Found {
    /// Where those are named that `TABLE` reads.
    tables: AHashSet<usize>,
    /// What the items of FROM clauses go by, other than the names of relations.
    aliases: AHashSet<Name>,
    /// Some of them go by a name that the server makes up.
    has_nameless: bool,
}

/// A relation that is read. Its place is where its name begins, until [`located`] has found the end.
pub(super) fn relation(walk: &mut Walk<'_, '_>, r: &nodes::RangeVar) {
    let (schema, table) = walk.relation(r);
    let is_bare = r.schemaname().is_none();
    let Ok(begin) = usize::try_from(r.location) else { return obstacle(walk, "a relation that is nowhere named") };
    let called = r.alias().is_none().then(|| r.relname().unwrap_or_default().into());
    let written = match (r.inh, walk.found.tables.contains(&begin)) {
        (false, false) => Written::Only,
        (true, false) => Written::Name,
        (true, true) => Written::Query,
        (false, true) => return obstacle(walk, "TABLE ONLY"),
    };
    walk.reads.places.push(Read { schema, table, at: begin..begin, called, written, is_bare });
}

/// A relation of which COPY sends the rows.
pub(super) fn copied(walk: &mut Walk<'_, '_>, s: &nodes::CopyStmt) {
    let Some(r) = s.relation().filter(|_| !s.is_from) else { return };
    let (schema, table) = walk.relation(r);
    let is_bare = r.schemaname().is_none();
    let Ok(begin) = usize::try_from(r.location) else { return obstacle(walk, "a relation that is nowhere named") };
    let columns = names::strings(s.attlist()).into_iter().map(Name::from).collect();
    let called = r.relname().map(Name::from);
    walk.reads.places.push(Read { schema, table, at: begin..begin, called, written: Written::Copy(columns), is_bare });
}

/// A column with its schema before it is not found in anything that stands for its table.
pub(super) fn column(walk: &mut Walk<'_, '_>, c: &nodes::ColumnRef) {
    let parts = names::strings(c.fields());
    match (c.fields().iter().count(), parts.as_slice(), usize::try_from(c.location)) {
        (0..=2, _, _) => {}
        (3, [schema, table, ..], Ok(begin)) => {
            let (schema, table) = (Name::from(*schema), Name::from(*table));
            walk.reads.prefixes.push(Prefix { schema, table, at: begin..begin });
        }
        _ => obstacle(walk, "a column that is named with its database"),
    }
}

/// What an item of a FROM clause goes by.
pub(super) fn alias(walk: &mut Walk<'_, '_>, name: Option<&str>) {
    walk.found.aliases.extend(name.map(Name::from));
}

/// A function goes by its name where it has no alias; what is written as a function and is none, by whatever the server takes.
pub(super) fn function(walk: &mut Walk<'_, '_>, f: &nodes::RangeFunction) {
    let is_call = |node: Node<'_>| {
        let Node::NodeList(pair) = node else { return false };
        matches!(pair.iter().next(), Some(Node::FuncCall(_)))
    };
    walk.found.has_nameless |= f.alias().is_none() && !f.functions().iter().all(is_call);
}

/// An item of a FROM clause without an alias.
pub(super) const fn nameless<T>(walk: &mut Walk<'_, '_>) -> Option<T> {
    walk.found.has_nameless = true;
    None
}

/// `TABLE name`, which the grammar makes a query of: what it adds stands nowhere in the text.
pub(super) fn table(walk: &mut Walk<'_, '_>, s: &nodes::SelectStmt) {
    let mut targets = s.target_list().iter();
    if let (Some(only), None) = (targets.next(), targets.next())
        && only.location < 0
        && let Some(Node::RangeVar(r)) = s.from_clause().iter().next()
        && let Ok(begin) = usize::try_from(r.location)
    {
        walk.found.tables.insert(begin);
    }
}

pub(super) fn obstacle(walk: &mut Walk<'_, '_>, what: &'static str) {
    walk.reads.obstacle.get_or_insert(what);
}

/// The same with the ends of the names. `is_last`: nothing of the text comes after the statement.
pub(super) fn located(walk: &Walk<'_, '_>, (node, is_last): (Node<'_>, bool), text: &str) -> Reads {
    let found = &walk.reads;
    let mut out = Reads {
        places: Vec::with_capacity(found.places.len()),
        obstacle: found.obstacle,
        from: from(walk, node),
        tells: found.tells.clone(),
        bare: found.bare.clone(),
        calls: found.calls.clone(),
        ..Reads::default()
    };
    if !only_reads(node, is_last) {
        out.obstacle.get_or_insert("a command that does not only read");
        return out;
    }
    for read in &found.places {
        match place(read, text) {
            Ok(at) => out.places.push(Read { at, ..read.clone() }),
            Err(what) => drop(out.obstacle.get_or_insert(what)),
        }
    }
    let called = if found.prefixes.is_empty() { AHashMap::new() } else { called(&found.places) };
    for prefix in &found.prefixes {
        match before_table(prefix, text) {
            Some(at) if goes_by_its_name(walk, &called, prefix) => out.prefixes.push(Prefix { at, ..prefix.clone() }),
            Some(_) => drop(
                out.obstacle.get_or_insert("a column that is named with its schema, where another goes by its name"),
            ),
            None => drop(out.obstacle.get_or_insert("a name that is written in an odd way")),
        }
    }
    out
}

fn from(walk: &Walk<'_, '_>, node: Node<'_>) -> BTreeSet<(Name, Name, bool)> {
    let places = &walk.reads.places;
    let in_any_order = if places.is_empty() { BTreeSet::new() } else { in_any_order(node) };
    let named = |read: &Read| (read.schema.clone(), read.table.clone(), in_any_order.contains(&read.at.start));
    places.iter().map(named).collect()
}

/// Where relations are named that a condition of a change only looks into (`id IN (SELECT customer FROM orders)`), while nothing shows
/// in what order rows were changed.
fn in_any_order(node: Node<'_>) -> BTreeSet<usize> {
    let mut todo = Vec::new();
    if let Node::UpdateStmt(s) = node
        && s.returning_clause().is_none()
    {
        todo.push(s.where_clause());
    } else if let Node::DeleteStmt(s) = node
        && s.returning_clause().is_none()
    {
        todo.push(s.where_clause());
    }
    let mut items = Vec::new();
    while let Some(node) = todo.pop() {
        if let Node::SubLink(link) = node {
            use nodes::SubLinkType::{ANY_SUBLINK, EXISTS_SUBLINK};
            if let Node::SelectStmt(s) = link.subselect()
                && matches!(link.sub_link_type, EXISTS_SUBLINK | ANY_SUBLINK)
                && only_looks(s)
            {
                items.extend(s.from_clause().iter());
            }
        } else if !matches!(node, Node::SelectStmt(_)) {
            children(node, &mut |child| todo.push(child));
        }
    }
    let mut out = BTreeSet::new();
    while let Some(item) = items.pop() {
        if let Node::RangeVar(r) = item {
            out.extend(usize::try_from(r.location));
        } else if let Node::JoinExpr(join) = item {
            items.extend([join.larg(), join.rarg()]);
        }
    }
    out
}

/// Whether a query shows columns of all rows that it finds, in any order.
fn only_looks(s: &nodes::SelectStmt) -> bool {
    let is_column = |target: &nodes::ResTarget| matches!(target.val(), Node::ColumnRef(_) | Node::A_Const(_));
    let none = [s.limit_count(), s.limit_offset(), s.having_clause()];
    none.into_iter().all(|part| matches!(part, Node::None))
        && s.larg().is_none()
        && s.with_clause().is_none()
        && s.distinct_clause().is_empty()
        && s.group_clause().is_empty()
        && s.window_clause().is_empty()
        && s.values_lists().is_empty()
        && s.target_list().iter().all(is_column)
}

/// Where a relation is named.
fn place(read: &Read, text: &str) -> Result<std::ops::Range<usize>, &'static str> {
    const ODD: &str = "a name that is written in an odd way";
    let name = read.at.start;
    let (end, last) = name_end(text, name).ok_or(ODD)?;
    if *last != *read.table {
        return Err(ODD);
    }
    match &read.written {
        Written::Name => Ok(name..end),
        Written::Query => Ok(after(text, name, "table").ok_or("TABLE that is written in an odd way")?..end),
        Written::Only => only(text, name, end).ok_or("ONLY that is written in an odd way"),
        Written::Copy(columns) if columns.is_empty() => Ok(name..end),
        Written::Copy(columns) => Ok(name..list_end(text, end, columns).ok_or(ODD)?),
    }
}

/// INVARIANT: without its schema, a column's name still means its table. So nothing else in the statement may go by the
/// table's name.
fn goes_by_its_name(walk: &Walk<'_, '_>, called: &AHashMap<&Name, Option<&Name>>, prefix: &Prefix) -> bool {
    let is_other = called.get(&prefix.table).is_some_and(|schema| *schema != Some(&prefix.schema));
    !walk.found.has_nameless && !walk.found.aliases.contains(&prefix.table) && !is_other
}

/// What relations are called, with their schema; none where it is not one for all of a name.
fn called(places: &[Read]) -> AHashMap<&Name, Option<&Name>> {
    let mut out: AHashMap<&Name, Option<&Name>> = AHashMap::new();
    for read in places {
        let Some(name) = &read.called else { continue };
        let schema = out.entry(name).or_insert(Some(&read.schema));
        *schema = schema.filter(|schema| **schema == read.schema);
    }
    out
}

/// From the name of a schema to that of the table after it.
fn before_table(prefix: &Prefix, text: &str) -> Option<std::ops::Range<usize>> {
    let begin = prefix.at.start;
    let (name, after) = identifier(text.get(begin..)?)?;
    let table = blanks(blanks(after)?.strip_prefix('.')?)?;
    let is_named = *name == *prefix.schema && *identifier(table)?.0 == *prefix.table;
    is_named.then(|| begin..text.len() - table.len())
}

/// Whether a statement is a query, or shows, names or prepares one; or has nothing to do with any table.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind does something else")]
fn only_reads(node: Node<'_>, is_last: bool) -> bool {
    match node {
        Node::SelectStmt(_) => true,
        Node::ExplainStmt(s) => matches!(s.query(), Node::SelectStmt(_)),
        Node::DeclareCursorStmt(s) => matches!(s.query(), Node::SelectStmt(_)),
        Node::PrepareStmt(s) => matches!(s.query(), Node::SelectStmt(_)),
        Node::VariableShowStmt(_) => true,
        // After an end, settings of before count again, and with them what names mean.
        Node::TransactionStmt(s) => is_last || begins(s.kind),
        Node::CopyStmt(s) => !s.is_from && (s.relation().is_some() || matches!(s.query(), Node::SelectStmt(_))),
        _ => false,
    }
}

const fn begins(kind: nodes::TransactionStmtKind::Type) -> bool {
    use nodes::TransactionStmtKind as Kind;
    matches!(
        kind,
        Kind::TRANS_STMT_BEGIN | Kind::TRANS_STMT_START | Kind::TRANS_STMT_SAVEPOINT | Kind::TRANS_STMT_RELEASE
    )
}

/// `ONLY name` or `ONLY (name)`.
fn only(text: &str, name: usize, end: usize) -> Option<std::ops::Range<usize>> {
    if let Some(begin) = after(text, name, "only") {
        return Some(begin..end);
    }
    // What is between the two words is blank.
    let open = text.get(..name)?.trim_end_matches(BLANK).strip_suffix('(')?.len();
    let rest = blanks(text.get(end..)?)?.strip_prefix(')')?;
    Some(after(text, open, "only")?..text.len() - rest.len())
}

/// The end of the list of columns that follows a name.
fn list_end(text: &str, name_end: usize, columns: &[Name]) -> Option<usize> {
    let mut rest = blanks(text.get(name_end..)?)?.strip_prefix('(')?;
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            rest = blanks(rest)?.strip_prefix(',')?;
        }
        let (name, after) = identifier(blanks(rest)?)?;
        if *name != **column {
            return None;
        }
        rest = after;
    }
    Some(text.len() - blanks(rest)?.strip_prefix(')')?.len())
}

/// How far before a name a word is looked for, in bytes.
const WORD_WITHIN: usize = 1000;

/// What the server's scanner takes for blank.
const BLANK: [char; 6] = [' ', '\t', '\n', '\r', '\x0b', '\x0c'];

/// Where a word begins, if that is what stands before a name, with blanks and comments between them.
fn after(text: &str, name: usize, word: &str) -> Option<usize> {
    let first = name.saturating_sub(WORD_WITHIN);
    let near = text.as_bytes().get(first..name)?;
    let begin = first + near.windows(word.len()).rposition(|found| found.eq_ignore_ascii_case(word.as_bytes()))?;
    let after = begin + word.len();
    let is_next = after < name && blanks(text.get(after..)?)?.len() == text.len().checked_sub(name)?;
    let is_word = !text.get(..begin)?.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '"'));
    (is_next && is_word).then_some(begin)
}

/// Where a dotted name ends that begins at a byte, with a `*` after it if there is one, and its last part.
fn name_end(text: &str, begin: usize) -> Option<(usize, String)> {
    let mut rest = text.get(begin..)?;
    loop {
        let (part, after) = identifier(rest)?;
        let next = blanks(after)?;
        if let Some(more) = next.strip_prefix('.') {
            rest = blanks(more)?;
            continue;
        }
        // `t *` is `t` with the tables that inherit from it.
        let after = next.strip_prefix('*').unwrap_or(after);
        return Some((text.len() - after.len(), part));
    }
}

/// An identifier as the server's scanner reads it, and what follows. None: written in a way that is not read here (`U&"…"`).
fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut parts = quoted.split('"');
        let mut consumed = 1;
        loop {
            let part = parts.next()?;
            name.push_str(part);
            consumed += part.len() + 1;
            let after = text.get(consumed..)?;
            let Some(_) = after.strip_prefix('"') else { return Some((name, after)) };
            name.push('"');
            consumed += 1;
            // The empty part between two quotes.
            parts.next()?;
        }
    }
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let end = text.find(|c: char| !(is_first(c) || c.is_ascii_digit() || c == '$')).unwrap_or(text.len());
    let (name, after) = text.split_at_checked(end)?;
    if !name.starts_with(is_first) || after.starts_with(['&', '"']) {
        return None;
    }
    Some((name.to_ascii_lowercase(), after))
}

/// What follows blanks and comments. None where a comment has no end.
fn blanks(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start_matches(BLANK);
        if let Some(line) = text.strip_prefix("--") {
            text = line.trim_start_matches(|c| c != '\n' && c != '\r');
        } else if text.starts_with("/*") {
            // Comments nest; what holds one is read by others.
            let (comment, after) = text.strip_prefix("/*")?.split_once("*/")?;
            if comment.contains("/*") {
                return None;
            }
            text = after;
        } else {
            return Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::{Environment, analyse};

    #[test]
    fn names_end_where_the_servers_scanner_ends_them() {
        for (text, name, last) in [
            ("t where", "t", "t"),
            ("T", "T", "t"),
            ("a . \"B \"\"c\" /* x */ d", "a . \"B \"\"c\"", "B \"c"),
            ("a.-- x\n b c", "a.-- x\n b", "b"),
            ("t * x", "t *", "t"),
            ("größe,", "größe", "größe"),
            ("\"\"\"\" x", "\"\"\"\"", "\""),
        ] {
            assert_eq!(name_end(text, 0), Some((name.len(), last.to_owned())), "{text}");
        }
        for text in ["", "U&\"x\"", "\"x", "1", "a./* /* */ */ b", "a /* x"] {
            assert_eq!(name_end(text, 0), None, "{text}");
        }
    }

    fn places(text: &str) -> Vec<String> {
        let analysis = analyse(text, &Environment::default()).unwrap();
        let reads = &analysis.statements.last().unwrap().reads;
        let mut out: Vec<String> = reads.places.iter().map(|r| text.get(r.at.clone()).unwrap().to_owned()).collect();
        out.sort();
        out.extend(reads.obstacle.map(str::to_owned));
        out
    }

    #[test]
    fn schemas_before_columns_are_found_where_nothing_else_goes_by_the_tables_name() {
        let found = |text: &str| {
            let analysis = analyse(text, &Environment::default()).unwrap();
            let reads = &analysis.statements.last().unwrap().reads;
            let found = reads.prefixes.iter().map(|p| text.get(p.at.clone()).unwrap().to_owned());
            let mut found: Vec<String> = found.chain(reads.obstacle.map(str::to_owned)).collect();
            found.sort();
            found
        };
        assert_eq!(
            found("select s.t.c, s . /* x */ \"t\".* from s.t where \"s\".t.d > 1"),
            ["\"s\".", "s . /* x */ ", "s."]
        );
        let other = "a column that is named with its schema, where another goes by its name";
        for text in [
            "select s.t.c from s.t, u.t",
            "select s.t.c from s.t where exists (select 1 from x t where s.t.c > 1)",
            "select s.t.c from s.t where exists (select 1 from (select 1) t where s.t.c > 1)",
            "with t as (select 1) select s.t.c from s.t where exists (select 1 from t where s.t.c > 1)",
            "select s.t.c from s.t where exists (select 1 from t(1) where s.t.c > 1)",
            "select s.t.c from s.t, cast(1 as int)",
            "select s.t.c from s.t, xmltable('/a' passing '<a/>' columns c int)",
            "select s.t.c from s.t where exists (select 1 from f(1) t where s.t.c > 1)",
            "select s.t.c from s.t where exists (select 1 from (a cross join b) t where s.t.c > 1)",
            "select s.t.c from s.t where exists (select 1 from a join b using (x) as t where s.t.c > 1)",
            "select s.t.c from s.t where exists (select 1 from xmltable('/a' passing '<a/>' columns c int) t where s.t.c > 1)",
            "select s.t.c from s.t where exists (select 1 from json_table('{}', '$' columns (c int)) t where s.t.c > 1)",
        ] {
            assert_eq!(found(text), [other], "{text}");
        }
    }

    #[test]
    fn relations_are_found_where_they_are_read() {
        let ends_in_between = analyse("rollback; select 1", &Environment::default()).unwrap();
        assert_eq!(
            places("select 1; select * from a, b x join only_c c using (id) where exists (select from d)"),
            ["a", "b", "d", "only_c"]
        );
        assert_eq!(places("with a as (select * from b) select * from a, c"), ["b", "c"]);
        assert_eq!(places("explain select * from s.\"T\" *"), ["s.\"T\" *"]);
        assert_eq!(places("declare c cursor for select * from t for update"), ["t"]);
        assert_eq!(places("copy (select * from t) to stdout"), ["t"]);
        assert_eq!(places("select 1 union table t order by 1"), ["table t"]);
        assert_eq!(places("table /* x */ t"), ["table /* x */ t"]);
        assert_eq!(places("select * from notable, t"), ["notable", "t"]);
        assert_eq!(places("select * from -- table\n t"), ["t"]);
        assert_eq!(places("select * from /* table */ t"), ["t"]);
        assert_eq!(places("select * from t join only x on true"), ["only x", "t"]);
        assert_eq!(places("select * from only/* x */s.t a"), ["only/* x */s.t"]);
        assert_eq!(places("select * from ONLY ( t ) as a"), ["ONLY ( t )"]);
        assert_eq!(places("copy t to stdout"), ["t"]);
        assert_eq!(places("begin isolation level serializable"), [""; 0]);
        assert_eq!(places("select 1; rollback"), [""; 0]);
        assert_eq!(ends_in_between.statements[0].reads.obstacle, Some("a command that does not only read"));
        assert_eq!(places("copy s.t (\"A b\" , c) to stdout (format csv)"), ["s.t (\"A b\" , c)"]);
        for (text, obstacle) in [
            ("select d.s.t.c from s.t", "a column that is named with its database"),
            ("select * from /* only */ only /* only */ (/**/ t)", "ONLY that is written in an odd way"),
            ("copy t (U&\"a\") to stdout", "a name that is written in an odd way"),
            ("select * from t tablesample system (1)", "TABLESAMPLE"),
            ("with x as (delete from t returning *) select * from x", "a part that changes data"),
            ("select * into u from t", "INTO"),
            ("update t set a = 1", "a part that changes data"),
            ("create table u as select * from t", "a command that does not only read"),
            ("copy t from stdin", "a command that does not only read"),
            ("select * from U&\"t\"", "a name that is written in an odd way"),
        ] {
            assert_eq!(places(text).last().map(String::as_str), Some(obstacle), "{text}");
        }
    }
}
