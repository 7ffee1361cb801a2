//! What a text means in a session: what was read of it, with the names that only the session knows put in.
use ahash::AHashMap;
use doorward_model::{Access, Action, Facts, Name, Resource};
use doorward_sql::{
    Analysis, CopySpec, Effect, Kill, Lineage, Output, Reads, Reference, SourceColumn, Statement, Writes,
};
use std::{collections::BTreeSet, sync::Arc};

/// How many meanings of texts a session remembers.
const REMEMBERED: usize = 256;

/// One statement as the session sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The command as users name it: `SELECT`, `DROP DATABASE`.
    pub command: Name,
    /// What goes upstream in place of the caller's text, where the reader is not the server's own.
    pub text: Option<Arc<[u8]>>,
    /// What its rows show.
    pub lineage: Option<Arc<Lineage>>,
    /// `COPY` to or from the client.
    pub copy: Option<CopySpec>,
    /// What it changes for later statements, once it has succeeded.
    pub effects: Vec<Effect>,
    /// Columns whose values it would carry to where no mask reaches them.
    pub moves: BTreeSet<SourceColumn>,
    /// The caller's own file that the upstream may ask for.
    pub upload: Option<Name>,
    /// `KILL`: the upstream knows connections by other numbers than the caller.
    pub kill: Option<Kill>,
    /// The relations that it reads, where the text names them.
    pub reads: Reads,
    /// What it writes.
    pub writes: Writes,
    /// Whether it names a cursor or prepared statement.
    pub by_name: bool,
    /// Those names, and what the prepared statements among them are; not where that is in the same text.
    pub names: Vec<(Name, Option<Arc<str>>)>,
    /// Whether a cursor that it names gives rows of tables as they are.
    pub fetches_as_written: bool,
    /// The commands that it runs by those names, or has within it.
    pub runs: Vec<Name>,
}

/// What is known of an open cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What its query asks for.
    pub facts: Arc<Facts>,
    /// What its rows show.
    pub lineage: Arc<Lineage>,
    /// Whether its query was sent as it was written: its rows are those of tables as they are.
    pub as_written: bool,
}

/// What a request's text means.
#[derive(Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The caller's text, for people.
    pub text: Arc<str>,
    /// The rights it asks for.
    pub facts: Arc<Facts>,
    /// Its statements.
    pub parts: Vec<Part>,
    /// What was decided before and goes on here: the queries of the cursors it fetches from.
    pub goes_on: Vec<Arc<Facts>>,
    /// Whether it names a cursor or prepared statement: what that stands for may change.
    pub by_name: bool,
}

/// What a text refers to that only the session can tell.
pub trait Known {
    /// What `EXECUTE name` runs.
    fn prepared(&self, name: &str) -> Option<Arc<Analysis>>;
    /// Its text, for people.
    fn prepared_text(&self, name: &str) -> Option<Arc<str>>;
    /// What `FETCH FROM name` shows.
    fn cursor(&self, name: &str) -> Option<Cursor>;
}

impl Meaning {
    /// Puts the session's own names into what was read out of the text.
    pub fn resolve(text: Arc<str>, analysis: &Analysis, known: &dyn Known) -> Self {
        let mut extra = Vec::new();
        let mut parts = Vec::with_capacity(analysis.statements.len());
        let mut goes_on = Vec::new();
        let mut within = Within { known, earlier: Vec::new() };
        for statement in &analysis.statements {
            parts.push(part(statement, &within, &mut extra, &mut goes_on));
            within.earlier.extend(statement.effects.iter().cloned());
        }
        let facts = if extra.is_empty() {
            Arc::clone(&analysis.facts)
        } else {
            let of = &analysis.facts;
            extra.extend(of.accesses.iter().cloned());
            Arc::new(Facts::new(&of.command, of.statements, extra))
        };
        let by_name = parts.iter().any(|p| p.by_name);
        Self { text, facts, parts, goes_on, by_name }
    }

    /// Whether the names in it stand for what they stood for in `other`, a reading of the same text.
    pub fn same_as(&self, other: &Self) -> bool {
        let lineages = |m: &Self| m.parts.iter().map(|p| p.lineage.clone()).collect::<Vec<_>>();
        self.facts == other.facts && self.goes_on == other.goes_on && lineages(self) == lineages(other)
    }

    /// What is known of something that has no text of its own.
    pub fn without_text(text: &str, facts: Arc<Facts>) -> Self {
        let statement = Statement { command: facts.command.clone(), ..Statement::default() };
        let part = part(&statement, &Within { known: &Nobody, earlier: Vec::new() }, &mut Vec::new(), &mut Vec::new());
        Self { text: text.into(), facts, parts: vec![part], goes_on: Vec::new(), by_name: false }
    }

    /// The text that goes upstream where the reader is not the server's own: what was read, and nothing of what the
    /// caller wrote. `None`: nothing may be sent.
    pub fn forwarded(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(part.text.as_deref()?);
        }
        Some(out)
    }
}

/// Knows no names.
struct Nobody;

impl Known for Nobody {
    fn prepared(&self, _: &str) -> Option<Arc<Analysis>> {
        None
    }
    fn prepared_text(&self, _: &str) -> Option<Arc<str>> {
        None
    }
    fn cursor(&self, _: &str) -> Option<Cursor> {
        None
    }
}

/// The session's names, and those that earlier statements of the same text have made.
struct Within<'a> {
    known: &'a dyn Known,
    earlier: Vec<Effect>,
}

impl Within<'_> {
    fn prepared(&self, wanted: &str) -> Option<Arc<Analysis>> {
        let here = self.earlier.iter().rev().find_map(|e| match e {
            Effect::Prepare { name, analysis } if &**name == wanted => Some(Arc::clone(analysis)),
            Effect::Prepare { .. }
            | Effect::Set { .. }
            | Effect::ResetAll
            | Effect::Transaction(_)
            | Effect::ForgetPrepared
            | Effect::Deallocate { .. }
            | Effect::Declare { .. }
            | Effect::MadeTemporary { .. }
            | Effect::DroppedTemporary(_)
            | Effect::SchemaChanged => None,
        });
        here.or_else(|| self.known.prepared(wanted))
    }

    /// What a name stands for, unless the same text says so.
    fn name(&self, reference: &Reference) -> Option<(Name, Option<Arc<str>>)> {
        let (name, text) = match reference {
            Reference::Prepared(name) => (name, self.known.prepared_text(name)),
            Reference::Cursor(name) => (name, None),
        };
        let is_here = self.earlier.iter().any(|e| match e {
            Effect::Prepare { name: made, .. } | Effect::Declare { name: made, .. } => made == name,
            Effect::Set { .. }
            | Effect::ResetAll
            | Effect::Transaction(_)
            | Effect::ForgetPrepared
            | Effect::Deallocate { .. }
            | Effect::MadeTemporary { .. }
            | Effect::DroppedTemporary(_)
            | Effect::SchemaChanged => false,
        });
        (!is_here).then(|| (name.clone(), text))
    }

    fn cursor(&self, wanted: &str) -> Option<Cursor> {
        let here = self.earlier.iter().rev().find_map(|e| match e {
            Effect::Declare { name, lineage, facts } if &**name == wanted => {
                // Whether the text can be written otherwise is not known yet.
                Some(Cursor { facts: Arc::clone(facts), lineage: Arc::new(lineage.clone()), as_written: true })
            }
            Effect::Declare { .. }
            | Effect::Set { .. }
            | Effect::ResetAll
            | Effect::Transaction(_)
            | Effect::ForgetPrepared
            | Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::MadeTemporary { .. }
            | Effect::DroppedTemporary(_)
            | Effect::SchemaChanged => None,
        });
        here.or_else(|| self.known.cursor(wanted))
    }
}

fn part(statement: &Statement, within: &Within<'_>, extra: &mut Vec<Access>, goes_on: &mut Vec<Arc<Facts>>) -> Part {
    let mut part = Part {
        command: statement.command.clone(),
        text: statement.text.clone(),
        lineage: statement.lineage.clone().map(Arc::new),
        copy: statement.copy.clone(),
        effects: statement.effects.clone(),
        moves: statement.moves.clone(),
        upload: statement.upload.clone(),
        kill: statement.kill,
        reads: statement.reads.clone(),
        writes: statement.writes.clone(),
        by_name: !statement.references.is_empty(),
        names: statement.references.iter().filter_map(|r| within.name(r)).collect(),
        fetches_as_written: false,
        runs: statement.within.clone(),
    };
    for reference in &statement.references {
        match reference {
            Reference::Prepared(name) => match within.prepared(name) {
                Some(analysis) => {
                    extra.extend(analysis.facts.accesses.iter().cloned());
                    // EXECUTE of an EXECUTE is not possible in the servers' grammars.
                    analysis.statements.iter().for_each(|inner| part.does(inner));
                }
                None => extra.push(opaque(&format!("EXECUTE of `{name}`, which this session has not prepared"))),
            },
            Reference::Cursor(name) => match within.cursor(name) {
                Some(found) => {
                    part.fetches_as_written |= found.as_written;
                    part.lineage = Some(found.lineage);
                    goes_on.push(found.facts);
                }
                None => extra.push(opaque(&format!("cursor `{name}`, which this session has not declared"))),
            },
        }
    }
    part
}

impl Part {
    /// Whether it is a command of this name, or runs one.
    pub fn is_or_runs(&self, word: &str) -> bool {
        self.command.contains(word) || self.runs.iter().any(|command| command.contains(word))
    }

    /// It does what another statement does.
    fn does(&mut self, inner: &Statement) {
        self.runs.push(inner.command.clone());
        self.runs.extend(inner.within.iter().cloned());
        self.lineage = inner.lineage.clone().map(Arc::new).or_else(|| self.lineage.take());
        self.effects.extend(inner.effects.iter().cloned());
        self.moves.extend(inner.moves.iter().cloned());
        self.writes.columns.extend(inner.writes.columns.iter().cloned());
        self.writes.texts.extend(inner.writes.texts.iter().cloned());
        if inner.reads.obstacle.is_some() {
            // It was not rewritten when it was prepared either.
            self.reads.weighs.extend(inner.reads.weighs.iter().cloned());
            self.reads.named.extend(inner.reads.named.iter().cloned());
            self.reads.bare.extend(inner.reads.bare.iter().cloned());
            self.reads.hinted.extend(inner.reads.hinted.iter().cloned());
        }
        self.copy = inner.copy.clone().or_else(|| self.copy.take());
        self.upload = inner.upload.clone().or_else(|| self.upload.take());
    }
}

/// The access that no policy can allow: something was not understood.
pub fn opaque(what: &str) -> Access {
    Access::new(Action::Opaque, Resource::Opaque { what: what.into() })
}

/// The columns that output `index` of `total` may show; anything of `anywhere` where its place is not known.
pub fn output_sources(lineage: &Lineage, index: usize, total: usize) -> &BTreeSet<SourceColumn> {
    let is_star = |o: &Output| matches!(o, Output::Star);
    let found = match lineage.outputs.iter().position(is_star) {
        None if lineage.outputs.len() == total => lineage.outputs.get(index),
        None => None,
        Some(first) if index < first => lineage.outputs.get(index),
        Some(first) => {
            let from_end = total.saturating_sub(index);
            let last = lineage.outputs.iter().rposition(is_star).unwrap_or(first);
            let tail = lineage.outputs.len().saturating_sub(last + 1);
            if from_end <= tail { lineage.outputs.get(lineage.outputs.len() - from_end) } else { None }
        }
    };
    match found {
        Some(Output::Made(sources)) => sources,
        Some(Output::Star) | None => &lineage.anywhere,
    }
}

/// Whether every output is where the lineage has it, among `total`: relations may have other columns than when the text was read.
/// `is_so` says of an output that stands there by `*` whether the server names one of these columns in its place.
pub fn is_in_place(
    lineage: &Lineage,
    total: usize,
    mut is_so: impl FnMut(usize, &BTreeSet<SourceColumn>) -> bool,
) -> bool {
    let is_placed = |n: &usize| match lineage.outputs.get(*n) {
        Some(Output::Made(sources)) => is_so(*n, sources),
        Some(Output::Star) | None => false,
    };
    !lineage.names_by_place
        && (lineage.placed.is_empty() || (lineage.outputs.len() == total && lineage.placed.keys().all(is_placed)))
}

/// Meanings of texts without names of the session in them, by their analysis.
#[derive(Debug, Default)]
pub struct Meanings(AHashMap<usize, (Arc<Analysis>, Arc<Meaning>)>);

impl Meanings {
    /// What a text of this analysis means.
    pub fn known(&self, analysis: &Arc<Analysis>) -> Option<Arc<Meaning>> {
        self.0.get(&Arc::as_ptr(analysis).addr()).map(|(_, m)| Arc::clone(m))
    }

    /// Remembers what it means, unless that depends on names of the session.
    pub fn keep(&mut self, analysis: &Arc<Analysis>, meaning: &Arc<Meaning>) {
        if meaning.by_name {
            return;
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        // The entry keeps the analysis alive, so that its address stays its own.
        self.0.insert(Arc::as_ptr(analysis).addr(), (Arc::clone(analysis), Arc::clone(meaning)));
    }
}

#[cfg(test)]
mod tests;
