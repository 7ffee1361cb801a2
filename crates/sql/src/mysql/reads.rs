//! Where the text of a statement names the tables that it reads, so that something else may be written there.
use super::{
    Environment,
    facts::Found,
    parser::Parser,
    render,
    tree::{Body, Named, Note, TableRef, Tree},
};
use crate::meaning::{Limited, Read, Reads, Tell, Written};
use doorward_model::Name;
use std::{collections::BTreeSet, ops::Range};

/// The text of a statement as it is forwarded, and the tables that it reads, by their places in that text.
pub(super) fn located(parser: &Parser<'_>, tree: &Tree, found: &Found) -> (Vec<u8>, Reads) {
    let named = within(parser, &tree.tokens);
    let mut reads = Reads { obstacle: found.obstacle, ..Reads::default() };
    if !only_reads(tree) {
        reads.obstacle.get_or_insert("a command that does not only read");
    }
    if named.is_empty() {
        return (render::statement(parser, &tree.tokens), reads);
    }
    let mut stands: Vec<Option<Range<usize>>> = vec![None; tree.tokens.len()];
    let first = tree.tokens.start;
    let text = render::placed(parser, first, tree.tokens.end, &mut |token, at| {
        if let Some(stand) = stands.get_mut(token.saturating_sub(first)) {
            *stand = Some(at);
        }
    });
    let begun = parser.selects.iter().filter_map(|token| stands.get(token.checked_sub(first)?)?.as_ref());
    reads.selects = begun.map(|at| at.end).collect();
    reads.selects.sort_unstable();
    // INVARIANT: each name that the grammar takes for a table is one that was asked for, or a common table expression.
    let mut times = vec![0_u8; named.len()];
    for (at, _) in &found.names {
        if let Some(times) = at.checked_sub(named.start).and_then(|at| times.get_mut(at)) {
            *times = times.saturating_add(1);
        }
    }
    if times.iter().any(|times| *times != 1) {
        reads.obstacle.get_or_insert("a table that is named in an odd way");
    }
    let place = |tokens: &Range<usize>| {
        let mut of = stands.get(tokens.start.checked_sub(first)?..tokens.end.checked_sub(first)?)?.iter().flatten();
        let begin = of.next()?;
        Some(begin.start..of.next_back().unwrap_or(begin).end)
    };
    for (at, table) in &found.names {
        let Some((schema, table)) = table else { continue };
        let Some(name) = parser.named.get(*at).filter(|_| named.contains(at)) else { continue };
        if let Some(odd) = name.odd {
            reads.obstacle.get_or_insert(odd);
        }
        let Some(whole) = place(&name.all) else {
            reads.obstacle.get_or_insert("a table that is named in an odd way");
            continue;
        };
        reads.kept.extend(place(&name.hints));
        reads.places.push(Read {
            is_bare: false,
            schema: schema.clone(),
            table: table.clone(),
            at: whole,
            called: called(parser, name).map(Into::into),
            written: if name.is_query { Written::Query } else { Written::Name },
        });
    }
    if reads.places.iter().any(|read| read.called.is_none()) {
        reads.obstacle.get_or_insert("a table that is named in an odd way");
    }
    (text, reads)
}

/// The names within some tokens. They are in the order of their beginnings.
fn within(parser: &Parser<'_>, tokens: &Range<usize>) -> Range<usize> {
    let first = parser.named.partition_point(|name| name.all.start < tokens.start);
    let last = parser.named.partition_point(|name| name.all.start < tokens.end);
    first..last
}

/// What the query calls it: its alias, or the last part of its name.
fn called(parser: &Parser<'_>, name: &Named) -> Option<String> {
    let last = name.hints.start.checked_sub(1).filter(|last| *last >= name.all.start)?;
    parser.called(last)
}

/// Whether a statement is a query, or shows how one is run.
fn only_reads(tree: &Tree) -> bool {
    let is_alone = tree.inner.is_empty() && tree.queries.is_empty() && tree.exprs.is_empty();
    is_alone
        && tree.notes.iter().all(|note| matches!(note, Note::Hint(_)))
        && match &tree.body {
            Body::Query(_) => true,
            Body::Explain { tree, .. } => matches!(tree.body, Body::Query(_)) && only_reads(tree),
            Body::Plain
            | Body::Rows
            | Body::Insert(_)
            | Body::Update(_)
            | Body::Delete(_)
            | Body::Within(_)
            | Body::CreateAs(_)
            | Body::Unknown => false,
        }
}

/// What a statement shows besides its rows: a plan that is a document has the text of the statement, with values of rows that were
/// read to make it.
pub(super) fn tells(tree: &Tree) -> BTreeSet<Tell> {
    let is_document = matches!(tree.body, Body::Explain { is_table: false, .. });
    is_document.then_some(Tell::Sizes("a plan in this format")).into_iter().collect()
}

/// The tables of which a statement, or one within it, changes as many rows as a LIMIT says.
pub(super) fn limited(tree: &Tree, env: &Environment) -> Vec<Limited> {
    let mut out = match &tree.body {
        Body::Update(u) => u.limit.as_ref().map(|by| named(&u.tables, sorts(&u.tables, by), env)).unwrap_or_default(),
        Body::Delete(d) => d.limit.as_ref().map(|by| named(&d.tables, sorts(&d.tables, by), env)).unwrap_or_default(),
        Body::Within(inner) => limited(inner, env),
        Body::Plain
        | Body::Rows
        | Body::Query(_)
        | Body::Insert(_)
        | Body::Explain { .. }
        | Body::CreateAs(_)
        | Body::Unknown => Vec::new(),
    };
    out.extend(tree.inner.iter().flat_map(|inner| limited(inner, env)));
    out
}

/// The indexes that a statement, or one within it, asks for.
pub(super) fn hinted(tree: &Tree) -> BTreeSet<Name> {
    let own = tree.notes.iter().filter_map(|note| if let Note::Hint(name) = note { Some(name.clone()) } else { None });
    let body = match &tree.body {
        Body::Within(inner) | Body::Explain { tree: inner, .. } => Some(&**inner),
        Body::Plain
        | Body::Rows
        | Body::Query(_)
        | Body::Insert(_)
        | Body::Update(_)
        | Body::Delete(_)
        | Body::CreateAs(_)
        | Body::Unknown => None,
    };
    own.chain(tree.inner.iter().chain(body).flat_map(hinted)).collect()
}

/// The tables of which a DELETE of one table, or one within, deletes rows.
pub(super) fn deleted(tree: &Tree, env: &Environment) -> BTreeSet<(Name, Name)> {
    let mut out: BTreeSet<_> = match &tree.body {
        Body::Delete(d) if d.targets.is_empty() => {
            named(&d.tables, &[], env).into_iter().map(|table| (table.schema, table.table)).collect()
        }
        Body::Within(inner) | Body::Explain { tree: inner, .. } => deleted(inner, env),
        Body::Delete(_)
        | Body::Update(_)
        | Body::Plain
        | Body::Rows
        | Body::Query(_)
        | Body::Insert(_)
        | Body::CreateAs(_)
        | Body::Unknown => BTreeSet::new(),
    };
    out.extend(tree.inner.iter().flat_map(|inner| deleted(inner, env)));
    out
}

/// Whose column a name is, is not looked for: of several tables it is nobody's.
fn sorts<'n>(tables: &[TableRef], by: &'n [Name]) -> &'n [Name] {
    if let [TableRef::Table { .. }] = tables { by } else { &[] }
}

fn named(tables: &[TableRef], by: &[Name], env: &Environment) -> Vec<Limited> {
    let mut out = Vec::new();
    for table in tables {
        match table {
            TableRef::Table { name, .. } => {
                let (schema, table) = env.relation(name.db.as_deref(), &name.name);
                out.push(Limited { schema, table, by: by.iter().cloned().collect() });
            }
            TableRef::Joins { first, rest } => {
                out.extend(named(std::slice::from_ref(first), by, env));
                rest.iter().for_each(|join| out.extend(named(std::slice::from_ref(&join.table), by, env)));
            }
            TableRef::Group(all) => out.extend(named(all, by, env)),
            TableRef::Derived { .. } | TableRef::Json { .. } => {}
        }
    }
    out
}
