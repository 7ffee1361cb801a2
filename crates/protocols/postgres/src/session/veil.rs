//! Queries over hidden columns, as they are sent: each relation that has some stands there as a query of its own, in which
//! constants take their places. So nothing that filters, sorts, joins, computes or fails ever sees what is hidden.
//!
//! | what | is sent as |
//! |---|---|
//! | `customers` | `(SELECT "id", '[ssn]'::text AS "ssn" FROM "public"."customers") AS "customers"` |
//! | `ONLY customers` | the same, from `ONLY "public"."customers"` |
//! | `public.customers.id` | `customers.id` |
//! | `COPY customers (id, ssn) TO` | `COPY (SELECT "id", '[ssn]'::text AS "ssn" FROM ONLY "public"."customers") TO` |
//! | `orders`, where a table of another schema has the same name and hidden columns | `"public"."orders"` ([`super::namesakes`]) |
//! | what cannot be written so ([`doorward_sql::Reads`]), and decides by nothing hidden | itself: its results are masked |
//! | the same, where it decides by something hidden | not at all: it is refused |
//! | a column of which the mask shows something (`partial`, `date`) | what the mask shows ([`super::stand`]), where it is more than shown |
//! | the same, where the server cannot make it (`hash`) | itself, where it is only shown; else the text is refused |
//!
//! Where an index could give rows in the order of a hidden column, they are sorted by what is not ([`super::order`]).
//!
//! INVARIANT: what is sent is read again: it reads the same relations in the same places, asks for the same rights, and shows
//! nothing hidden; else it is refused.
use super::{
    Portal, Prepared, Session,
    namesakes::uncertain,
    stand::{Stand, stand},
};
use crate::render;
use ahash::AHashMap;
use doorward_enforce::Refusal;
use doorward_model::{Access, Name, Timestamp};
use doorward_sql::{
    Catalogue, Column, Relation, RelationKind,
    postgres::{Analysis, Cost, Effect, Lineage, Prefix, Read, Statement, Written, analyse, cost},
};
use doorward_sql_session::{
    Asking, Meaning, Part,
    refusals::{not_understood, weighs, weighs_itself},
};
use std::{ops::Range, sync::Arc};

/// The longest text that is made, in bytes.
const LONGEST: usize = 64 * 1024;

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
        // What was written before the place, there and here, since the last change.
        let (mut theirs, mut ours) = (0, 0);
        let mut byte = byte;
        let mut within = None;
        for (was, is) in &self.changes {
            let begin = ours + was.start.saturating_sub(theirs);
            if byte < begin {
                break;
            }
            if byte < begin + is {
                within = Some(was.start);
                break;
            }
            (theirs, ours) = (was.end, begin + is);
        }
        byte = within.unwrap_or_else(|| theirs + byte.saturating_sub(ours));
        original.get(..byte).map_or(1, |before| before.chars().count() + 1)
    }
}

/// A column in whose place a constant stands.
struct Hidden {
    schema: Name,
    table: Name,
    column: Name,
}

/// A query that stands for a relation, and where in it the relation is named.
struct Derived {
    text: String,
    at: Range<usize>,
}

/// What was made of relations so far, by their numbers and how they are written; none where one stands for itself.
#[derive(Default)]
struct Made {
    derived: AHashMap<(u32, Written), Option<Derived>>,
    hidden: Vec<Hidden>,
}

/// A text in the making.
struct Weave<'a> {
    from: &'a str,
    text: String,
    /// How much of the caller's text is in it.
    done: usize,
    changes: Vec<(Range<usize>, usize)>,
    /// Where each relation that is read is named in it, and how.
    stand: Vec<Read>,
}

/// A place of a text where something else may stand.
enum Place<'a> {
    Relation(&'a Read),
    Prefix(&'a Prefix),
}

impl Place<'_> {
    const fn begin(&self) -> usize {
        match self {
            Self::Relation(read) => read.at.start,
            Self::Prefix(prefix) => prefix.at.start,
        }
    }
}

impl Session {
    /// What is sent in place of a text under the policies of the moment. None: the text itself.
    pub(super) fn veil(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<Option<Arc<Veil>>, Refusal> {
        let has_namesakes = self.has_namesakes(meaning, now);
        let may_differ = has_namesakes || meaning.parts.len() > 1 || self.settings.has_changed_schema();
        if may_differ && is_sent_as_it_is(meaning) {
            self.names_are_certain(meaning, now)?;
            self.columns_are_certain(meaning, now)?;
        }
        let reads = |part: &Part| {
            let reads = &part.reads;
            !(reads.places.is_empty() && reads.weighs.is_empty() && reads.named.is_empty() && part.moves.is_empty())
        };
        let tells = |session: &mut Self| session.hides(meaning, now) || session.reads_in_order(meaning, now);
        if !(has_namesakes || meaning.parts.iter().any(reads) && tells(self)) {
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

    /// Whether a view is read, or a table from which others inherit, whose rows may come in an order that tells.
    fn reads_in_order(&mut self, meaning: &Meaning, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let places = meaning.parts.iter().flat_map(|part| &part.reads.places).map(|read| (&read.schema, &read.table));
        let moves = meaning.parts.iter().flat_map(|part| &part.moves).map(|source| (&source.schema, &source.table));
        let from = meaning.parts.iter().flat_map(|part| &part.reads.from).map(|(schema, table, _)| (schema, table));
        let mut read = places.chain(moves).chain(from).filter_map(|(schema, table)| catalogue.named(schema, table));
        read.any(|relation| match relation.kind.is_view() {
            true => self.view_tells(relation, now),
            false => !catalogue.shows(relation.oid).is_empty() && self.table_tells(&catalogue, relation.oid, now),
        })
    }

    /// What is sent in place of a text that may be sent; a refusal where nothing may.
    pub(super) fn veiled(
        &mut self,
        admissible: Result<(), Refusal>,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> (Option<Arc<Veil>>, Result<(), Refusal>) {
        match admissible.and_then(|()| self.veil(meaning, now)) {
            Ok(veil) => (veil, Ok(())),
            Err(refusal) => (None, Err(refusal)),
        }
    }

    /// Whether what was held would be sent today as it was when it was held.
    pub(super) fn would_send(
        &mut self,
        frame: &[u8],
        meaning: &Arc<Meaning>,
        portal: Option<&Arc<Portal>>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.hidden_moves(meaning, now)?;
        self.tells_nothing_hidden(meaning, now)?;
        let changed = || {
            let message = format!(
                "{} refused: what you may see of its tables has changed while it waited",
                meaning.facts.command
            );
            not_understood(message, Some("ask again"))
        };
        match portal {
            Some(portal) => self.still_veiled(&portal.prepared, meaning, now),
            None => match self.veil(meaning, now)? {
                Some(veil) if *veiled_query(&veil) != *frame => Err(changed()),
                // Sent as it is, where it was veiled before.
                None if frame.first() == Some(&b'Q') && !frame.ends_with(&ended(&meaning.text)) => Err(changed()),
                Some(_) | None => Ok(()),
            },
        }
    }

    /// Whether a statement would be sent today as it was when it was prepared.
    pub(super) fn still_veiled(
        &mut self,
        prepared: &Prepared,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is_the_same = match (&prepared.veil, self.veil(meaning, now)?) {
            (None, None) => true,
            (Some(was), Some(is)) => was.text == is.text,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if is_the_same {
            return Ok(());
        }
        let message = format!(
            "{} refused: what you may see of its tables is not what it was when the statement was prepared",
            meaning.facts.command
        );
        Err(not_understood(message, Some("prepare it again")))
    }

    fn woven(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<Option<Veil>, Refusal> {
        if is_sent_as_it_is(meaning) {
            self.weighs_nothing_hidden(meaning, now)?;
            return self.orders_nothing_hidden(meaning, now).map(|()| None);
        }
        let mut made = Made::default();
        let mut weave =
            Weave { from: &meaning.text, text: String::new(), done: 0, changes: Vec::new(), stand: Vec::new() };
        for place in places(meaning) {
            match place {
                Place::Relation(read) => match self.instead(read, &mut made, now).map_err(|()| odd(meaning))? {
                    Some(derived) => weave.replaces(read, derived),
                    None if read.is_bare => match self.hidden_namesakes(&read.schema, &read.table, now) {
                        Some(hidden) => self.with_its_schema(&mut weave, read, &hidden)?,
                        None => weave.keeps(read),
                    },
                    None => weave.keeps(read),
                },
                Place::Prefix(prefix) if self.is_replaced(prefix, &mut made, now).map_err(|()| odd(meaning))? => {
                    weave.drops(prefix);
                }
                Place::Prefix(_) => {}
            }
            // Whatever is longer is not read where it stands.
            if weave.text.len() > LONGEST {
                return Err(odd(meaning));
            }
        }
        self.weighs_nothing_itself(meaning, now)?;
        if weave.changes.is_empty() {
            return Ok(None);
        }
        weave.text.push_str(meaning.text.get(weave.done..).unwrap_or_default());
        self.means_as_much(meaning, &weave, &made.hidden)?;
        Ok(Some(Veil { text: weave.text.into(), changes: weave.changes }))
    }

    /// Writes a relation with the schema in which it was found, so that the server finds no other.
    fn with_its_schema(&self, weave: &mut Weave<'_>, read: &Read, hidden: &[Name]) -> Result<(), Refusal> {
        let is_known =
            &*read.schema == "pg_temp" || self.reveals.catalogue().named(&read.schema, &read.table).is_some();
        if !is_known {
            let hidden = hidden.first().map(|schema| &**schema).unwrap_or_default();
            return Err(uncertain("SELECT", &read.table, hidden));
        }
        weave.names(read);
        Ok(())
    }

    /// Refuses a text that is sent as it is, and decides by columns that the caller may not see: what it finds or changes
    /// would tell of them.
    fn weighs_nothing_hidden(&mut self, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        // What is in the way of one part is in the way of all.
        let obstacle = meaning.parts.iter().find_map(|part| part.reads.obstacle);
        for part in &meaning.parts {
            let asking = &mut Asking { enforcer: &mut self.enforcer, now };
            let mut weighed = part.reads.weighs.iter().chain(&part.reads.named);
            let found = weighed.find(|source| {
                self.reveals.source(source, asking).is_some() && !self.reveals.may_filter(source, asking)
            });
            if let Some(source) = found {
                return Err(weighs(&part.command, source, part.reads.obstacle.or(obstacle)));
            }
        }
        Ok(())
    }

    /// Refuses a text that decides or computes by a column that stands in it as it is, though it is hidden.
    fn weighs_nothing_itself(&mut self, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        for part in &meaning.parts {
            let found = part.reads.weighs.iter().chain(&part.reads.named).find(|source| {
                let relation = catalogue.named(&source.schema, &source.table);
                let all = relation.into_iter().flat_map(|r| r.columns.iter().map(move |column| (r.oid, column)));
                // Of what is not known to be one of them, it may be any.
                let is_one = |column: &Column| source.column.as_ref() == Some(&column.name);
                let is_known = all.clone().any(|(_, column)| is_one(column));
                let mut counts = all.filter(|(_, column)| !is_known || is_one(column));
                let is_itself = counts.any(|(oid, column)| {
                    let rule = self.reveals.column(oid, column.number, asking);
                    rule.is_some_and(|rule| stand(column, &rule) == Stand::Itself)
                });
                is_itself && !self.reveals.may_filter(source, asking)
            });
            if let Some(source) = found {
                return Err(weighs_itself(&part.command, source));
            }
        }
        Ok(())
    }

    /// What stands in the place of a relation; none where nothing of it is hidden whole.
    ///
    /// # Errors
    /// Where something is, and it is not known how to write it.
    fn instead<'m>(&mut self, read: &Read, made: &'m mut Made, now: Timestamp) -> Result<Option<&'m Derived>, ()> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let Some(relation) = catalogue.named(&read.schema, &read.table) else { return Ok(None) };
        // COPY of anything else is an error of the server's, or sends rows that are masked on their way out.
        let is_table = relation.kind == RelationKind::Table && !catalogue.is_partitioned(relation.oid);
        if matches!(read.written, Written::Copy(_)) && !is_table {
            return Ok(None);
        }
        let key = (relation.oid, read.written.clone());
        if !made.derived.contains_key(&key) {
            let derived = self.derived(&catalogue, (relation, &read.written), made, now)?;
            made.derived.insert(key.clone(), derived);
        }
        Ok(made.derived.get(&key).and_then(Option::as_ref))
    }

    /// Whether something else stands for the table of a column that is named with its schema.
    fn is_replaced(&mut self, prefix: &Prefix, made: &mut Made, now: Timestamp) -> Result<bool, ()> {
        let (schema, table) = (prefix.schema.clone(), prefix.table.clone());
        let read = Read { schema, table, at: 0..0, called: None, written: Written::Name, is_bare: false };
        Ok(self.instead(&read, made, now)?.is_some())
    }

    fn derived(
        &mut self,
        catalogue: &Catalogue,
        (relation, written): (&Relation, &Written),
        made: &mut Made,
        now: Timestamp,
    ) -> Result<Option<Derived>, ()> {
        let wanted = wanted(catalogue, relation, written)?;
        let order = self.order(catalogue, relation, now);
        let mut columns = Vec::with_capacity(wanted.len());
        let mut any = false;
        for column in wanted {
            let rule =
                self.reveals.column(relation.oid, column.number, &mut Asking { enforcer: &mut self.enforcer, now });
            let name = identifier(&column.name);
            let type_name = || catalogue.type_name(relation.oid, column.number).ok_or(());
            match rule.as_deref().map(|rule| stand(column, rule)) {
                Some(Stand::Constant(constant)) => {
                    any = true;
                    columns.push(format!("{constant}::{} AS {name}", type_name()?));
                    let (schema, table) = (relation.schema.clone(), relation.name.clone());
                    made.hidden.push(Hidden { schema, table, column: column.name.clone() });
                }
                // INVARIANT: also what is only shown, as far as was read: by names that mean others to the server more may be.
                Some(Stand::Shown(mask)) => {
                    any = true;
                    columns.push(format!("({mask})::{} AS {name}", type_name()?));
                }
                Some(Stand::Itself) | None => columns.push(name),
            }
        }
        let is_view = relation.kind.is_view();
        let view_tells = is_view && self.view_tells(relation, now);
        if !any && !view_tells && order.is_empty() {
            return Ok(None);
        }
        Ok(Some(Derived::of(relation, &columns, matches!(written, Written::Only | Written::Copy(_)), &order)))
    }

    /// What is sent reads the same relations in the places where they were written, and no other; asks for the same rights
    /// as what was decided; and no hidden column is in what it shows.
    fn means_as_much(&mut self, meaning: &Meaning, woven: &Weave<'_>, hidden: &[Hidden]) -> Result<(), Refusal> {
        let environment = self.settings.environment(self.reveals.catalogue()).map_err(|_| odd(meaning))?;
        if cost(&woven.text) != Cost::Inline {
            return Err(odd(meaning));
        }
        let read = analyse(&woven.text, &environment).map_err(|_| odd(meaning))?;
        let is_the_same = read.statements.len() == meaning.parts.len()
            && read.statements.iter().zip(&meaning.parts).all(|(read, part)| read.command == part.command)
            && stands_as_written(&read, woven)
            && asks_the_same(meaning, &read)
            && read.statements.iter().all(|statement| shows_none(statement, hidden));
        if is_the_same { Ok(()) } else { Err(odd(meaning)) }
    }
}

/// Whether nothing else may stand in the places of what a text reads.
pub(super) fn is_sent_as_it_is(meaning: &Meaning) -> bool {
    meaning.parts.iter().any(|part| part.reads.obstacle.is_some()) || cost(&meaning.text) != Cost::Inline
}

/// A text as a message ends with it.
fn ended(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// A Query with what is sent in place of its text.
pub(super) fn veiled_query(veil: &Veil) -> Vec<u8> {
    let mut out = Vec::with_capacity(veil.text.len() + 6);
    render::query(&mut out, &veil.text);
    out
}

/// A Parse with what is sent in place of its text; the rest is as it was.
pub(super) fn veiled_parse(veil: &Veil, name: &str, query: &[u8], frame: &[u8]) -> Vec<u8> {
    let types = frame.get(5 + name.len() + 1 + query.len() + 1..).unwrap_or_default();
    let mut out = Vec::with_capacity(frame.len() + veil.text.len());
    render::parse_with(&mut out, name, &veil.text, types);
    out
}

fn odd(meaning: &Meaning) -> Refusal {
    let message = format!(
        "{} refused: it reads columns that you may not see, and cannot be written so that they stay out of it",
        meaning.facts.command
    );
    not_understood(message, Some("leave those columns out, or ask simpler"))
}

/// INVARIANT: the grammar finds each relation where it was written, and finds no other. So what is around them is read as it
/// was in the caller's text: neither a comment nor a constant begins or ends elsewhere.
fn stands_as_written(read: &Analysis, woven: &Weave<'_>) -> bool {
    let mut found: Vec<_> = read.statements.iter().flat_map(|s| &s.reads.places).collect();
    found.sort_by_key(|read| read.at.start);
    let is_whole = read.statements.iter().all(|s| s.reads.obstacle.is_none());
    let is_the_same = |(found, stands): (&&Read, &Read)| {
        found.schema == stands.schema
            && found.table == stands.table
            && found.at == stands.at
            && found.written == stands.written
    };
    is_whole && found.len() == woven.stand.len() && found.iter().zip(&woven.stand).all(is_the_same)
}

fn asks_the_same(meaning: &Meaning, read: &Analysis) -> bool {
    let known = |access: &Access| meaning.facts.accesses.contains(access);
    let is_there = |access: &Access| read.facts.accesses.contains(access);
    // What a statement runs by its name is asked for beside what it says.
    read.facts.accesses.iter().all(known) && (meaning.by_name || meaning.facts.accesses.iter().all(is_there))
}

/// Whether none of these columns is in what a statement shows, carries, copies, or what comes of it later.
fn shows_none(statement: &Statement, hidden: &[Hidden]) -> bool {
    let mut lineages: Vec<&Lineage> = statement.lineage.iter().collect();
    lineages.extend(statement.copy.iter().map(|copy| &copy.lineage));
    for effect in &statement.effects {
        match effect {
            Effect::Prepare { analysis, .. } => {
                if !analysis.statements.iter().all(|inner| shows_none(inner, hidden)) {
                    return false;
                }
            }
            Effect::Declare { lineage, .. } => lineages.push(lineage),
            Effect::Set { .. }
            | Effect::ResetAll
            | Effect::Transaction(_)
            | Effect::ForgetPrepared
            | Effect::Deallocate { .. }
            | Effect::MadeTemporary { .. }
            | Effect::DroppedTemporary(_)
            | Effect::SchemaChanged => {}
        }
    }
    let shown = statement.moves.iter().chain(lineages.into_iter().flat_map(|l| &l.anywhere));
    let mut shown = shown.filter_map(|source| source.column.as_ref().map(|column| (source, column)));
    !shown.any(|(source, column)| {
        hidden.iter().any(|h| h.column == *column && h.table == source.table && h.schema == source.schema)
    })
}

impl Derived {
    fn of(relation: &Relation, columns: &[String], only: bool, order: &[String]) -> Self {
        let only = if only { "ONLY " } else { "" };
        let name = format!("{only}{}.{}", identifier(&relation.schema), identifier(&relation.name));
        let before = format!("(SELECT {} FROM ", columns.join(", "));
        let at = before.len()..before.len() + name.len();
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        Self { text: format!("{before}{name}{order})"), at }
    }
}

impl Weave<'_> {
    fn keep_until(&mut self, at: usize) {
        self.text.push_str(self.from.get(self.done..at).unwrap_or_default());
        self.done = at;
    }

    fn replaces(&mut self, read: &Read, derived: &Derived) {
        self.keep_until(read.at.start);
        let begin = self.text.len();
        if read.written == Written::Query {
            self.text.push_str("SELECT * FROM ");
        }
        let at = self.text.len() + derived.at.start..self.text.len() + derived.at.end;
        self.text.push_str(&derived.text);
        let (called, written) = match &read.written {
            Written::Name | Written::Query => (read.called.as_ref(), Written::Name),
            Written::Only => (read.called.as_ref(), Written::Only),
            Written::Copy(_) => (None, Written::Only),
        };
        if let Some(called) = called {
            self.text.push_str(" AS ");
            self.text.push_str(&identifier(called));
        }
        self.stand.push(Read { at, written, ..read.clone() });
        self.changes.push((read.at.clone(), self.text.len() - begin));
        self.done = read.at.end;
    }

    /// With its schema, and otherwise as it was written.
    fn names(&mut self, read: &Read) {
        self.keep_until(read.at.start);
        let begin = self.text.len();
        let name = format!("{}.{}", identifier(&read.schema), identifier(&read.table));
        let name = match &read.written {
            Written::Name => name,
            Written::Only => format!("ONLY {name}"),
            Written::Query => format!("TABLE {name}"),
            Written::Copy(columns) if columns.is_empty() => name,
            Written::Copy(columns) => {
                let columns: Vec<_> = columns.iter().map(|column| identifier(column)).collect();
                format!("{name} ({})", columns.join(", "))
            }
        };
        self.text.push_str(&name);
        self.stand.push(Read { at: begin..self.text.len(), ..read.clone() });
        self.changes.push((read.at.clone(), self.text.len() - begin));
        self.done = read.at.end;
    }

    fn keeps(&mut self, read: &Read) {
        self.keep_until(read.at.start);
        let begin = self.text.len();
        self.keep_until(read.at.end);
        self.stand.push(Read { at: begin..self.text.len(), ..read.clone() });
    }

    /// What is before it must not run into what is after it.
    fn drops(&mut self, prefix: &Prefix) {
        self.keep_until(prefix.at.start);
        self.text.push(' ');
        self.changes.push((prefix.at.clone(), 1));
        self.done = prefix.at.end;
    }
}

/// In the order in which they stand in the text.
fn places(meaning: &Meaning) -> Vec<Place<'_>> {
    let relations = meaning.parts.iter().flat_map(|part| &part.reads.places).map(Place::Relation);
    let prefixes = meaning.parts.iter().flat_map(|part| &part.reads.prefixes).map(Place::Prefix);
    let mut out: Vec<_> = relations.chain(prefixes).collect();
    out.sort_by_key(Place::begin);
    out
}

/// Which columns of a relation may be asked for: all, but what COPY leaves out.
fn wanted<'r>(catalogue: &Catalogue, relation: &'r Relation, written: &Written) -> Result<Vec<&'r Column>, ()> {
    let named = |name: &Name| relation.columns.iter().find(|c| c.name == *name).ok_or(());
    match written {
        Written::Copy(names) if !names.is_empty() => names.iter().map(named).collect(),
        Written::Copy(_) => {
            let stored = |c: &&Column| !catalogue.is_generated(relation.oid, c.number);
            Ok(relation.columns.iter().filter(stored).collect())
        }
        Written::Name | Written::Only | Written::Query => Ok(relation.columns.iter().collect()),
    }
}

pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
        // A name may be longer than what takes its place.
        let shorter = Veil { text: "select x y".into(), changes: vec![(7..40, 1)] };
        assert_eq!(shorter.place(10, &" ".repeat(60)), 42);
    }
}
