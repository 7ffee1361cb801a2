//! Queries over hidden columns, as they are sent: each relation that has some stands there as a query of its own, in which
//! constants take their places. So nothing that filters, sorts, joins, computes or fails ever sees what is hidden.
//!
//! | what | is sent as |
//! |---|---|
//! | `customers` | `(SELECT "id", '[ssn]'::text AS "ssn" FROM "public"."customers") AS "customers"` |
//! | a query in which that is not possible ([`doorward_sql::Reads`]) | itself: only its results are masked |
//! | a column of which the mask shows something (`hash`, `partial`, `date`) | itself: only results are masked |
//!
//! INVARIANT: what is sent is read again, and asks for the same as the caller's text; else it is refused.
use super::Session;
use doorward_enforce::{MaskRule, Refusal};
use doorward_model::{Access, Name, Operator, Timestamp};
use doorward_sql::{
    Column, Relation,
    postgres::{Analysis, Cost, Read, analyse, cost},
};
use doorward_sql_session::{
    Asking, Meaning, Part,
    refusals::{not_understood, weighs},
};
use std::{ops::Range, sync::Arc};

/// How many texts a session remembers to be sent otherwise, or as they are.
pub(super) const VEILS: usize = 256;

/// What is sent in place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Veil {
    /// The text.
    pub(crate) text: Arc<str>,
    /// Where it differs: places of the caller's text, in bytes, and how long each is now.
    changes: Vec<(Range<usize>, usize)>,
}

impl Veil {
    /// Where a place of what was sent is in the caller's text; both in characters from 1.
    pub(crate) fn place(&self, at: usize, original: &str) -> usize {
        let byte = self.text.char_indices().nth(at.saturating_sub(1)).map_or(self.text.len(), |(byte, _)| byte);
        let mut grown = 0;
        let mut found = None;
        for (was, is) in &self.changes {
            let begin = was.start + grown;
            if byte < begin {
                break;
            }
            if byte < begin + is {
                found = Some(was.start);
                break;
            }
            grown = grown + is - was.len();
        }
        let byte = found.unwrap_or_else(|| byte.saturating_sub(grown));
        original.get(..byte).map_or(1, |before| before.chars().count() + 1)
    }
}

/// A column in whose place a constant stands.
struct Hidden {
    schema: Name,
    table: Name,
    column: Name,
}

impl Session {
    /// What is sent in place of a text under the policies of the moment. None: the text itself.
    pub(super) fn veil(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<Option<Arc<Veil>>, Refusal> {
        let reads = |part: &Part| !part.reads.places.is_empty() || !part.reads.weighs.is_empty();
        if !meaning.parts.iter().any(reads) || !self.hides(meaning, now) {
            return Ok(None);
        }
        let key = Arc::as_ptr(meaning).addr();
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some((_, known)) = self.reveals.plans(&asking).veils.get(&key) {
            return Ok(known.clone());
        }
        let veil = self.woven(meaning, now)?.map(Arc::new);
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let veils = &mut self.reveals.plans(&asking).veils;
            if veils.len() >= VEILS {
                veils.clear();
            }
            // The entry keeps the meaning alive, so that its address stays its own.
            veils.insert(key, (Arc::clone(meaning), veil.clone()));
        }
        Ok(veil)
    }

    fn woven(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<Option<Veil>, Refusal> {
        if meaning.parts.iter().any(|part| part.reads.obstacle.is_some()) || cost(&meaning.text) != Cost::Inline {
            return self.weighs_nothing_hidden(meaning, now).map(|()| None);
        }
        let mut reads: Vec<&Read> = meaning.parts.iter().flat_map(|part| &part.reads.places).collect();
        reads.sort_by_key(|read| read.at.start);
        let (mut text, mut changes, mut hidden) = (String::new(), Vec::new(), Vec::new());
        let mut done = 0;
        for read in reads {
            let Some(instead) = self.instead(read, &mut hidden, now) else { continue };
            text.push_str(meaning.text.get(done..read.at.start).unwrap_or_default());
            text.push_str(&instead);
            changes.push((read.at.clone(), instead.len()));
            done = read.at.end;
        }
        if changes.is_empty() {
            return Ok(None);
        }
        text.push_str(meaning.text.get(done..).unwrap_or_default());
        self.means_as_much(meaning, &text, &hidden)?;
        Ok(Some(Veil { text: text.into(), changes }))
    }

    /// Refuses a text that is sent as it is, and decides by columns that the caller may not see: what it finds or changes
    /// would tell of them.
    fn weighs_nothing_hidden(&mut self, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        for part in &meaning.parts {
            // Where it only is too large, what is not rewritten in small texts either passes.
            let only_large = part.reads.obstacle.is_none();
            let asking = &mut Asking { enforcer: &mut self.enforcer, now };
            let found = part.reads.weighs.iter().find_map(|source| {
                let rule = self.reveals.source(source, asking)?;
                (!only_large || shows_nothing(&rule)).then_some(source)
            });
            if let Some(source) = found {
                return Err(weighs(&part.command, source, part.reads.obstacle));
            }
        }
        Ok(())
    }

    /// What stands in the place of a relation; none where nothing of it is hidden whole.
    fn instead(&mut self, read: &Read, hidden: &mut Vec<Hidden>, now: Timestamp) -> Option<String> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let relation = catalogue.named(&read.schema, &read.table)?;
        let mut columns = Vec::with_capacity(relation.columns.len());
        let mut any = false;
        for column in &relation.columns {
            let rule =
                self.reveals.column(relation.oid, column.number, &mut Asking { enforcer: &mut self.enforcer, now });
            let name = identifier(&column.name);
            match rule.as_deref().filter(|rule| shows_nothing(rule)) {
                Some(rule) => {
                    any = true;
                    let type_name = catalogue.type_name(relation.oid, column.number)?;
                    columns.push(format!("{}::{type_name} AS {name}", constant(column, rule)));
                    let (schema, table) = (relation.schema.clone(), relation.name.clone());
                    hidden.push(Hidden { schema, table, column: column.name.clone() });
                }
                None => columns.push(name),
            }
        }
        let called = read.called.as_ref();
        let select = if read.is_query { "SELECT * FROM " } else { "" };
        any.then(|| format!("{select}{}", query(relation, &columns, called)))
    }

    /// What is sent asks for the same rights as what was decided, and no hidden column is in it.
    fn means_as_much(&mut self, meaning: &Meaning, text: &str, hidden: &[Hidden]) -> Result<(), Refusal> {
        let odd = || {
            let message = format!(
                "{} refused: it reads columns that you may not see, and cannot be written so that they stay out of it",
                meaning.facts.command
            );
            not_understood(message, Some("leave those columns out, or ask simpler"))
        };
        let environment = self.settings.environment(self.reveals.catalogue()).map_err(|_| odd())?;
        if cost(text) != Cost::Inline {
            return Err(odd());
        }
        let read = analyse(text, &environment).map_err(|_| odd())?;
        if read.statements.len() == meaning.parts.len() && asks_the_same(meaning, &read) && shows_none(&read, hidden) {
            Ok(())
        } else {
            Err(odd())
        }
    }
}

fn asks_the_same(meaning: &Meaning, read: &Analysis) -> bool {
    let known = |access: &Access| meaning.facts.accesses.contains(access);
    let is_there = |access: &Access| read.facts.accesses.contains(access);
    // What a statement runs by its name is asked for beside what it says.
    read.facts.accesses.iter().all(known) && (meaning.by_name || meaning.facts.accesses.iter().all(is_there))
}

fn shows_none(read: &Analysis, hidden: &[Hidden]) -> bool {
    let shown = read.statements.iter().flat_map(|s| s.moves.iter().chain(s.lineage.iter().flat_map(|l| &l.anywhere)));
    let mut shown = shown.filter_map(|source| source.column.as_ref().map(|column| (source, column)));
    !shown.any(|(source, column)| {
        hidden.iter().any(|h| h.column == *column && h.table == source.table && h.schema == source.schema)
    })
}

/// Whether nothing of a value is left in what replaces it.
const fn shows_nothing(rule: &MaskRule) -> bool {
    match rule.operator {
        Operator::Redact | Operator::Null | Operator::Fixed(_) => true,
        Operator::Partial(_) | Operator::Hash | Operator::Date(_) => false,
    }
}

fn query(relation: &Relation, columns: &[String], called: Option<&Name>) -> String {
    let (schema, name) = (identifier(&relation.schema), identifier(&relation.name));
    let mut out = format!("(SELECT {} FROM {schema}.{name})", columns.join(", "));
    if let Some(called) = called {
        out.push_str(" AS ");
        out.push_str(&identifier(called));
    }
    out
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A constant of a column's type. It is masked on its way out as the value would have been, so it says nothing of its own.
fn constant(column: &Column, rule: &MaskRule) -> String {
    if rule.operator == Operator::Null {
        return "NULL".into();
    }
    match column.type_oid {
        // int8, int4, int2, numeric, float4, float8, oid, interval, money
        20 | 23 | 21 | 1700 | 700 | 701 | 26 | 1186 | 790 => "'0'".into(),
        // date, timestamp, timestamptz
        1082 | 1114 | 1184 => "'1970-01-01'".into(),
        16 => "'false'".into(),
        // text, varchar, name, json, jsonb, uuid
        25 | 1043 | 19 => text(&rule.label),
        114 | 3802 => "'null'".into(),
        2950 => "'00000000-0000-0000-0000-000000000000'".into(),
        _ => "NULL".into(),
    }
}

/// `[label]`, without what a server might take for more than it is.
fn text(label: &str) -> String {
    let plain: String = label.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.')).collect();
    format!("'[{plain}]'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_callers_text() {
        let original = "select ü, x from t, u where y";
        let t = original.find('t').unwrap() + "t ü, x from ".len();
        assert_eq!(original.get(t..=t), Some("t"));
        let (t, u) = (t..t + 1, t + 3..t + 4);
        let text = "select ü, x from (SELECT 1) AS t, (SELECT 2) AS u where y";
        let changes = vec![(t, "(SELECT 1) AS t".len()), (u, "(SELECT 2) AS u".len())];
        let veil = Veil { text: text.into(), changes };
        let at = |what: &str| text.split(what).next().map(|before| before.chars().count() + 1).unwrap();
        let want = |what: &str| original.split(what).next().map(|before| before.chars().count() + 1).unwrap();
        for (what, wanted) in [("x from", "x from"), ("(SELECT 1", "t, u"), ("1)", "t, u"), ("2)", "u w"), ("y", "y")] {
            assert_eq!(veil.place(at(what), original), want(wanted), "{what}");
        }
        assert_eq!(veil.place(10_000, original), original.chars().count() + 1);
    }
}
