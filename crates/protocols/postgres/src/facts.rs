//! From a message to its facts: what a text means in this session, with the names that only the
//! session knows put in.
use doorward_model::{Access, Action, Facts, Name, Resource};
use doorward_sql::{
    Catalogue,
    postgres::{Analysis, CopySpec, Effect, Lineage, Output, Reference, SourceColumn, Statement},
};
use std::{collections::BTreeSet, sync::Arc};

/// One statement as the session sees it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) command: Name,
    pub(crate) lineage: Option<Arc<Lineage>>,
    pub(crate) copy: Option<CopySpec>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) moves: BTreeSet<SourceColumn>,
}

/// What is known of an open cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// What its query asks for.
    pub(crate) facts: Arc<Facts>,
    /// What its rows show.
    pub(crate) lineage: Arc<Lineage>,
}

/// What a request's text means.
#[derive(Debug)]
pub(crate) struct Meaning {
    pub(crate) text: Arc<str>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) parts: Vec<Part>,
    /// What was decided before and goes on here: the queries of the cursors it fetches from.
    pub(crate) goes_on: Vec<Arc<Facts>>,
    /// Whether it names a cursor or prepared statement: what that stands for may change.
    pub(crate) by_name: bool,
}

/// What a text refers to that only the session can tell.
pub(crate) trait Known {
    /// What `EXECUTE name` runs.
    fn prepared(&self, name: &str) -> Option<Arc<Analysis>>;
    /// What `FETCH FROM name` shows.
    fn cursor(&self, name: &str) -> Option<Cursor>;
}

impl Meaning {
    /// Puts the session's own names into what was read out of the text.
    pub(crate) fn resolve(text: Arc<str>, analysis: &Analysis, known: &dyn Known) -> Self {
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
        let by_name = analysis.statements.iter().any(|s| !s.references.is_empty());
        Self { text, facts, parts, goes_on, by_name }
    }

    /// Whether the names in it stand for what they stood for in `other`, a reading of the same text.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let lineages = |m: &Self| m.parts.iter().map(|p| p.lineage.clone()).collect::<Vec<_>>();
        self.facts == other.facts && self.goes_on == other.goes_on && lineages(self) == lineages(other)
    }

    /// What is known of something that has no text of its own.
    pub(crate) fn without_text(text: &str, facts: Arc<Facts>) -> Self {
        let part = Part {
            command: facts.command.clone(),
            lineage: None,
            copy: None,
            effects: Vec::new(),
            moves: BTreeSet::new(),
        };
        Self { text: text.into(), facts, parts: vec![part], goes_on: Vec::new(), by_name: false }
    }

    /// Whether later texts can only be read once this has been answered.
    pub(crate) fn changes_meaning(&self) -> bool {
        self.parts.iter().any(|p| {
            p.effects.iter().any(|e| match e {
                Effect::Set { name, .. } => {
                    matches!(&**name, "search_path" | "role" | "session_authorization")
                }
                Effect::ResetAll
                | Effect::ForgetPrepared
                | Effect::Prepare { .. }
                | Effect::Deallocate { .. }
                | Effect::Declare { .. }
                | Effect::MadeTemporary { .. }
                | Effect::SchemaChanged => true,
            }) || matches!(&*p.command, "COMMIT" | "ROLLBACK" | "ROLLBACK TO SAVEPOINT")
        })
    }

    /// A change of the search path or role in the middle of a text: what follows it would be read
    /// under the old one.
    pub(crate) fn changes_names_midway(&self) -> bool {
        self.parts.split_last().is_some_and(|(_, before)| {
            before.iter().any(|p| {
                p.effects.iter().any(|e| {
                    matches!(e, Effect::ResetAll)
                        || matches!(e, Effect::Set { name, .. } if matches!(&**name, "search_path" | "role" | "session_authorization"))
                })
            })
        })
    }

    /// Whether it waits for `COPY` data from the client.
    pub(crate) fn copies_in(&self) -> bool {
        self.parts.iter().any(|p| p.copy.as_ref().is_some_and(|c| !c.out))
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
            | Effect::ForgetPrepared
            | Effect::Deallocate { .. }
            | Effect::Declare { .. }
            | Effect::MadeTemporary { .. }
            | Effect::SchemaChanged => None,
        });
        here.or_else(|| self.known.prepared(wanted))
    }

    fn cursor(&self, wanted: &str) -> Option<Cursor> {
        let here = self.earlier.iter().rev().find_map(|e| match e {
            Effect::Declare { name, lineage, facts } if &**name == wanted => {
                Some(Cursor { facts: Arc::clone(facts), lineage: Arc::new(lineage.clone()) })
            }
            Effect::Declare { .. }
            | Effect::Set { .. }
            | Effect::ResetAll
            | Effect::ForgetPrepared
            | Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::MadeTemporary { .. }
            | Effect::SchemaChanged => None,
        });
        here.or_else(|| self.known.cursor(wanted))
    }
}

fn part(statement: &Statement, within: &Within<'_>, extra: &mut Vec<Access>, goes_on: &mut Vec<Arc<Facts>>) -> Part {
    let mut lineage = statement.lineage.clone().map(Arc::new);
    let mut effects = statement.effects.clone();
    let mut moves = statement.moves.clone();
    let mut copy = statement.copy.clone();
    for reference in &statement.references {
        match reference {
            Reference::Prepared(name) => match within.prepared(name) {
                Some(analysis) => {
                    extra.extend(analysis.facts.accesses.iter().cloned());
                    for inner in &analysis.statements {
                        lineage = inner.lineage.clone().map(Arc::new).or(lineage);
                        effects.extend(inner.effects.iter().cloned());
                        moves.extend(inner.moves.iter().cloned());
                        copy = inner.copy.clone().or(copy);
                        // EXECUTE of an EXECUTE is not possible in the server's grammar.
                    }
                }
                None => extra.push(opaque(&format!("EXECUTE of `{name}`, which this session has not prepared"))),
            },
            Reference::Cursor(name) => match within.cursor(name) {
                Some(found) => {
                    lineage = Some(found.lineage);
                    goes_on.push(found.facts);
                }
                None => extra.push(opaque(&format!("cursor `{name}`, which this session has not declared"))),
            },
        }
    }
    Part { command: statement.command.clone(), lineage, copy, effects, moves }
}

fn opaque(what: &str) -> Access {
    Access::new(Action::Opaque, Resource::Opaque { what: what.into() })
}

/// What a function call message (`F`) asks for: the fast path names a function by its number.
pub(crate) fn function_call(catalogue: &Catalogue, oid: u32) -> Facts {
    let access = match catalogue.function(oid) {
        Some(f) => Access::new(Action::Call, Resource::Function { schema: f.schema.clone(), name: f.name.clone() }),
        None => opaque(&format!("function call by number {oid}, which is not in the catalogue")),
    };
    Facts::new("function call", 1, vec![access])
}

/// The columns that output `index` of `total` may show; `None` where anything of `anywhere` may.
pub(crate) fn output_sources(lineage: &Lineage, index: usize, total: usize) -> &BTreeSet<SourceColumn> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn made(column: &str) -> Output {
        Output::Made(BTreeSet::from([source(column)]))
    }
    fn source(column: &str) -> SourceColumn {
        SourceColumn { schema: "public".into(), table: "t".into(), column: Some(column.into()) }
    }

    #[test]
    fn outputs_round_a_star_are_found_from_both_ends() {
        let lineage = Lineage {
            outputs: vec![made("a"), Output::Star, made("z")],
            anywhere: BTreeSet::from([source("everything")]),
        };
        let shown: Vec<String> = (0..5)
            .map(|i| output_sources(&lineage, i, 5).iter().filter_map(|s| s.column.as_deref()).collect())
            .collect();
        assert_eq!(shown, ["a", "everything", "everything", "everything", "z"]);
    }

    #[test]
    fn a_count_that_does_not_fit_is_not_trusted() {
        let lineage = Lineage { outputs: vec![made("a")], anywhere: BTreeSet::from([source("everything")]) };
        assert!(output_sources(&lineage, 0, 2).contains(&source("everything")));
    }

    #[test]
    fn a_function_by_an_unknown_number_is_opaque() {
        let facts = function_call(&Catalogue::default(), 42);
        assert_eq!(facts.accesses.first().map(|a| a.action), Some(Action::Opaque));
    }
}
