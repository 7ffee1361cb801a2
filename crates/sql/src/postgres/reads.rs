//! Where a text names the relations that it reads, so that something else may be written there.
use super::walk::Walk;
use crate::meaning::{Read, Reads};
use pg_raw_parse::{Node, nodes};

/// A relation that is read. Its place is where its name begins, until [`located`] has found the end.
pub(super) fn relation(walk: &mut Walk<'_, '_>, r: &nodes::RangeVar) {
    if !r.inh {
        return obstacle(walk, "ONLY");
    }
    let (schema, table) = walk.env.range_var(r);
    let Ok(begin) = usize::try_from(r.location) else { return obstacle(walk, "a relation that is nowhere named") };
    let called = r.alias().is_none().then(|| r.relname().unwrap_or_default().into());
    walk.reads.places.push(Read { schema, table, at: begin..begin, called, is_query: walk.tables.contains(&begin) });
}

/// A column with its schema before it is not found in anything that stands for its table.
pub(super) fn column(walk: &mut Walk<'_, '_>, c: &nodes::ColumnRef) {
    if c.fields().iter().count() > 2 {
        obstacle(walk, "a column that is named with its schema");
    }
}

/// `TABLE name`, which the grammar makes a query of: what it adds stands nowhere in the text.
pub(super) fn table(walk: &mut Walk<'_, '_>, s: &nodes::SelectStmt) {
    let mut targets = s.target_list().iter();
    if let (Some(only), None) = (targets.next(), targets.next())
        && only.location < 0
        && let Some(Node::RangeVar(r)) = s.from_clause().iter().next()
        && let Ok(begin) = usize::try_from(r.location)
    {
        walk.tables.push(begin);
    }
}

pub(super) fn obstacle(walk: &mut Walk<'_, '_>, what: &'static str) {
    walk.reads.obstacle.get_or_insert(what);
}

/// The same with the ends of the names.
pub(super) fn located(found: &Reads, node: Node<'_>, text: &str) -> Reads {
    let mut out =
        Reads { places: Vec::with_capacity(found.places.len()), obstacle: found.obstacle, ..Reads::default() };
    if !only_reads(node) {
        out.obstacle.get_or_insert("a command that does not only read");
        return out;
    }
    for read in &found.places {
        match name_end(text, read.at.start) {
            Some((end, last)) if *last == *read.table => {
                let begin = if read.is_query { after_table(text, read.at.start) } else { Some(read.at.start) };
                match begin {
                    Some(begin) => out.places.push(Read { at: begin..end, ..read.clone() }),
                    None => drop(out.obstacle.get_or_insert("TABLE that is written in an odd way")),
                }
            }
            Some(_) | None => drop(out.obstacle.get_or_insert("a name that is written in an odd way")),
        }
    }
    out
}

/// Whether a statement is a query, or shows, names or prepares one.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind does something else")]
fn only_reads(node: Node<'_>) -> bool {
    match node {
        Node::SelectStmt(_) => true,
        Node::ExplainStmt(s) => matches!(s.query(), Node::SelectStmt(_)),
        Node::DeclareCursorStmt(s) => matches!(s.query(), Node::SelectStmt(_)),
        Node::PrepareStmt(s) => matches!(s.query(), Node::SelectStmt(_)),
        Node::CopyStmt(s) => !s.is_from && matches!(s.query(), Node::SelectStmt(_)),
        _ => false,
    }
}

/// How far before a name `TABLE` is looked for, in bytes.
const TABLE_WITHIN: usize = 1000;

/// Where `TABLE` begins, if that is what stands before a name, with blanks and comments between them.
fn after_table(text: &str, name: usize) -> Option<usize> {
    let first = name.saturating_sub(TABLE_WITHIN);
    let near = text.as_bytes().get(first..name)?;
    let begin = first + near.windows("table".len()).rposition(|word| word.eq_ignore_ascii_case(b"table"))?;
    let after = begin + "table".len();
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
        text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
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
    fn relations_are_found_where_they_are_read() {
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
        for (text, obstacle) in [
            ("select * from only t", "ONLY"),
            ("select s.t.c from s.t", "a column that is named with its schema"),
            ("select * from t tablesample system (1)", "TABLESAMPLE"),
            ("with x as (delete from t returning *) select * from x", "a part that changes data"),
            ("select * into u from t", "INTO"),
            ("update t set a = 1", "a part that changes data"),
            ("create table u as select * from t", "a command that does not only read"),
            ("copy t to stdout", "a command that does not only read"),
            ("select * from U&\"t\"", "a name that is written in an odd way"),
        ] {
            assert_eq!(places(text).last().map(String::as_str), Some(obstacle), "{text}");
        }
    }
}
