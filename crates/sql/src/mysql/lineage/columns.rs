//! Columns, the names that they have in a FROM clause, and what a name means there.
use crate::{meaning::SourceColumn, mysql::tree::Join};
use doorward_model::Name;
use std::collections::BTreeSet;

pub(super) type Set = BTreeSet<SourceColumn>;

/// One column, or (`star`) any number of unknown ones.
#[derive(Clone, Debug)]
pub(super) struct Col {
    pub(super) name: Option<Name>,
    pub(super) set: Set,
    pub(super) star: bool,
    /// It is where it is by the columns that a table had when the text was read (`*`).
    pub(super) is_placed: bool,
}

/// One name of a FROM clause.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) alias: Name,
    pub(super) schema: Option<Name>,
    pub(super) cols: Vec<Col>,
    /// The table or view that it is.
    pub(super) base: Option<(Name, Name)>,
}

/// What a name of a column means in an entry.
pub(super) enum Found {
    /// A column of this name.
    Exact(Set),
    /// What it may be: the server compares some names otherwise, and knows columns that the catalogue does not.
    Maybe(Set),
    Nothing,
}

pub(super) fn union(cols: &[Col]) -> Set {
    cols.iter().flat_map(|c| c.set.iter().cloned()).collect()
}

pub(super) fn star_of(set: Set) -> Col {
    Col { name: None, set, star: true, is_placed: false }
}

/// Gives columns names by their places; whether any of them may be in another by the time the server reads it.
pub(super) fn rename(cols: &mut [Col], names: &[Name]) -> bool {
    let mut any_placed = false;
    for (col, name) in cols.iter_mut().zip(names) {
        any_placed |= col.is_placed;
        if col.star {
            break;
        }
        col.name = Some(name.clone());
    }
    any_placed
}

/// Columns of a join: the merged ones, then the rest of the left, then of the right.
pub(super) fn joined(left: Vec<Col>, right: Vec<Col>, join: &Join) -> Vec<Col> {
    let merges = join.natural || !join.using.is_empty();
    if join.odd || (merges && (join.right || left.iter().chain(&right).any(|c| c.star))) {
        let mut set = union(&left);
        set.extend(union(&right));
        return vec![star_of(set)];
    }
    if !merges {
        return left.into_iter().chain(right).collect();
    }
    let merged = |c: &Col, other: &[Col]| {
        c.name.as_ref().is_some_and(|n| {
            if join.natural { other.iter().any(|o| o.name.as_ref() == Some(n)) } else { join.using.contains(n) }
        })
    };
    let mut out: Vec<Col> = Vec::with_capacity(left.len() + right.len());
    for col in left.iter().filter(|c| merged(c, &right)) {
        let mut col = col.clone();
        for same in right.iter().filter(|r| r.name == col.name) {
            col.set.extend(same.set.iter().cloned());
        }
        out.push(col);
    }
    out.extend(left.iter().filter(|c| !merged(c, &right)).cloned());
    out.extend(right.iter().filter(|c| !merged(c, &left)).cloned());
    out
}

/// A column of an entry by name.
pub(super) fn column_of(entry: &Entry, name: &str) -> Found {
    let mut exact = entry.cols.iter().filter(|c| c.name.as_deref() == Some(name)).peekable();
    if exact.peek().is_some() {
        return Found::Exact(exact.flat_map(|c| c.set.iter().cloned()).collect());
    }
    if let (Some((schema, table)), true) = (&entry.base, entry.is_unknown()) {
        let column = name.is_ascii().then(|| name.into());
        return Found::Maybe(Set::from([SourceColumn { schema: schema.clone(), table: table.clone(), column }]));
    }
    let odd = !is_plain(name);
    let like = entry.cols.iter().filter(|c| c.star || odd || c.name.as_deref().is_none_or(|n| !is_plain(n)));
    let mut like = like.peekable();
    let any = like.peek().is_some();
    let mut set: Set = like.flat_map(|c| c.set.iter().cloned()).collect();
    if let Some((schema, table)) = &entry.base {
        // Newer than what is known, invisible, or another word for one: `_rowid`.
        let column = (name.is_ascii() && name != "_rowid").then(|| name.into());
        set.insert(SourceColumn { schema: schema.clone(), table: table.clone(), column });
    } else if !any {
        return Found::Nothing;
    }
    Found::Maybe(set)
}

/// Whether the server takes a name of an output for just this one: others are compared in ways of their own, and blanks
/// before them are cut.
pub(super) fn is_plain(name: &str) -> bool {
    let graphic = |b: Option<&u8>| b.is_some_and(u8::is_ascii_graphic);
    name.is_ascii() && graphic(name.as_bytes().first()) && graphic(name.as_bytes().last())
}

impl Entry {
    /// Whether its columns are not known.
    pub(super) fn is_unknown(&self) -> bool {
        self.cols.iter().any(|c| c.star || (self.base.is_none() && c.name.is_none()))
    }
}
