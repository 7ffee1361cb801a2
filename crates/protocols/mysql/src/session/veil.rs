//! Queries over hidden columns, as they are sent: each table that has some stands there as a query of its own, in which
//! constants, or what their masks make of them, take their places. So nothing that filters, sorts, joins, computes or fails
//! ever sees what is hidden.
//!
//! | what | is sent as |
//! |---|---|
//! | `customers` | ``(SELECT `id`, CAST('[ssn]' AS CHAR(11) …) … AS `ssn` FROM `public`.`customers` IGNORE INDEX (`by_ssn`)) AS `customers` `` |
//! | what cannot be written so ([`doorward_sql::Reads`]), and decides by nothing hidden | itself, without indexes over hidden columns ([`super::hinted`]): its results are masked |
//! | the same, where it decides by something hidden | not at all: it is refused |
//! | a column of which the mask shows something that the server can make (`partial`, `date`; [`Stand::Masked`]) | that: ``CAST(LPAD(RIGHT(`iban`, …), …) …) … AS `iban` `` |
//! | a column of which it cannot (`hash`; [`Stand::Raw`]) | itself, where it is only shown: results are masked. What decides by it is refused |
//!
//! Indexes over hidden columns are left out, since rows would come in their order; a view that reads such a table, or sorts,
//! groups or joins one with hidden columns, has its rows sorted by all that it shows.
//!
//! INVARIANT: what is sent is read again: it is printed as it stands, reads the same tables in the same places, asks for the
//! same rights, and neither shows nor weighs anything hidden; else it is refused.
use super::{
    Session,
    constant::{Stand, identifier, nothing, shows_nothing, stand},
    tells,
};
use ahash::AHashMap;
use doorward_enforce::{MaskRule, Refusal};
use doorward_model::{Access, Name, Timestamp};
use doorward_sql::{Analysis, Catalogue, Column, Index, Reach, Read, Relation, RelationKind, SourceColumn, Written};
use doorward_sql_session::{
    Asking, Meaning, Part,
    refusals::{not_understood, weighs},
};
use std::{ops::Range, sync::Arc};

/// How much longer than what was read a text may become, in bytes.
const MOST_ADDED: usize = 64 * 1024;

/// How many places with tables are looked at in one statement.
const MOST_READ: usize = 1000;

/// How many texts a session remembers to be sent otherwise, or as they are.
const VEILS: usize = 256;

/// What is sent in place of a text.
pub(super) type Veil = Arc<[u8]>;

/// Texts that have been seen, with the meaning whose address they are found by.
pub(super) type Veils = AHashMap<usize, (Arc<Meaning>, Option<Veil>)>;

/// A query that stands for a table: what is before the table's name, and behind it, and what ends it.
struct Derived {
    before: String,
    name: String,
    behind: String,
    order: String,
    /// The server's estimate of its rows depends on what is hidden.
    is_spread: bool,
}

/// What was made of tables so far, by their numbers; none where one stands for itself.
#[derive(Default)]
struct Made {
    derived: AHashMap<u32, Option<Derived>>,
    /// Columns in whose places constants stand.
    hidden: Vec<SourceColumn>,
    /// Columns that stand for themselves, and are masked in results alone.
    raw: Vec<SourceColumn>,
}

/// Where tables are named in a text, by schema and name.
type Places = Vec<(Name, Name, Range<usize>)>;

/// The text of a statement in the making.
pub(super) struct Weave<'a> {
    from: &'a [u8],
    text: Vec<u8>,
    /// How much of the statement is in it.
    done: usize,
    /// Where it has to be said that tables are joined in the order in which they are written.
    straight: &'a [usize],
    /// Where each table that is read is named in it.
    stand: Places,
    changed: bool,
    is_too_long: bool,
}

/// How a statement stands in what is sent.
enum Stood {
    /// As it was.
    AsItWas,
    /// With hints behind these tables.
    Hinted(Places),
    /// With queries around these.
    Rewritten(Places),
}

/// A whole text in the making.
#[derive(Default)]
struct Woven {
    text: Vec<u8>,
    /// Of each statement, its text, and the tables in it.
    parts: Vec<(Vec<u8>, Stood)>,
    hidden: Vec<SourceColumn>,
    /// Columns that are in it as they are, by which nothing may be decided.
    raw: Vec<SourceColumn>,
    changed: bool,
}

impl Session {
    /// What is sent in place of a text that may be sent; a refusal where nothing may.
    pub(super) fn veiled(
        &mut self,
        admissible: Result<(), Refusal>,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> (Option<Veil>, Result<(), Refusal>) {
        match admissible.and_then(|()| self.veil(meaning, now)) {
            Ok(veil) => (veil, Ok(())),
            Err(refusal) => (None, Err(refusal)),
        }
    }

    /// What is sent in place of a text under the policies of the moment. None: the text as it was read.
    fn veil(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<Option<Veil>, Refusal> {
        if !self.may_need_a_veil(meaning, now) {
            return Ok(None);
        }
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        let key = Arc::as_ptr(meaning).addr();
        if let Some((_, known)) = self.reveals.plans(&asking).veils.get(&key) {
            return Ok(known.clone());
        }
        let woven = self.woven(meaning, now)?;
        let veil = if woven.changed {
            self.means_as_much(meaning, &woven)?;
            Some(Veil::from(woven.text))
        } else {
            None
        };
        self.remember(meaning, &veil, moment, now);
        Ok(veil)
    }

    fn remember(&mut self, meaning: &Arc<Meaning>, veil: &Option<Veil>, moment: (u64, u64), now: Timestamp) {
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let veils = &mut self.reveals.plans(&asking).veils;
            if veils.len() >= VEILS {
                veils.clear();
            }
            // The entry keeps the meaning alive, so that its address stays its own.
            veils.insert(Arc::as_ptr(meaning).addr(), (Arc::clone(meaning), veil.clone()));
        }
    }

    fn may_need_a_veil(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        let reads = |part: &Part| {
            !(part.reads.places.is_empty() && part.reads.weighs.is_empty() && part.reads.named.is_empty())
        };
        if !meaning.parts.iter().any(reads) {
            return false;
        }
        let places = || meaning.parts.iter().flat_map(|part| &part.reads.places);
        self.hides(meaning, now)
            || places().any(|read| {
                let catalogue = Arc::clone(self.reveals.catalogue());
                catalogue.named(&read.schema, &read.table).is_some_and(|view| self.order_tells(view, now))
            })
            || (places().any(|read| tells::columns(&read.schema, &read.table).is_some()) && self.hides_anything(now))
    }

    /// Whether a text would be sent today as it was when it was prepared, or held.
    pub(super) fn still_veiled(
        &mut self,
        was: Option<&Veil>,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is = if self.may_need_a_veil(meaning, now) {
            let asking = Asking { enforcer: &mut self.enforcer, now };
            let moment = asking.moment();
            match self.reveals.plans(&asking).veils.get(&Arc::as_ptr(meaning).addr()) {
                Some((_, known)) => known.clone(),
                None => {
                    // What was checked then need not be again, under settings that may be others by now.
                    let woven = self.woven(meaning, now)?;
                    let veil = woven.changed.then(|| Veil::from(woven.text));
                    if veil.as_ref() == was {
                        self.remember(meaning, &veil, moment, now);
                    }
                    veil
                }
            }
        } else {
            None
        };
        if is.as_ref() == was {
            return Ok(());
        }
        let message = format!(
            "{} refused: what you may see of its tables is not what it was when the statement was read",
            meaning.facts.command
        );
        Err(not_understood(message, Some("prepare it again, or ask again")))
    }

    fn woven(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<Woven, Refusal> {
        let mut made = Made::default();
        let mut out = Woven::default();
        let mut read = 0;
        for part in &meaning.parts {
            let text = part.text.as_deref().unwrap_or_default();
            read += text.len();
            let weave = match part.reads.obstacle {
                Some(obstacle) => Err(obstacle),
                None => self.weave(part, text, &mut made, now),
            };
            if !out.parts.is_empty() {
                out.text.extend_from_slice(b"; ");
            }
            let (text, stand) = match weave {
                // What has to be rewritten is not sent as it is.
                Ok(weave) if weave.is_too_long => return Err(odd(meaning)),
                Ok(weave) => {
                    self.weighs_nothing_raw(part, now)?;
                    out.changed |= weave.changed;
                    if weave.changed {
                        (weave.text, Stood::Rewritten(weave.stand))
                    } else {
                        (text.to_vec(), Stood::AsItWas)
                    }
                }
                Err(obstacle) => {
                    self.weighs_nothing_hidden(part, obstacle, now)?;
                    match self.hinted(part, text, now)? {
                        Some(weave) => {
                            out.changed = true;
                            (weave.text, Stood::Hinted(weave.stand))
                        }
                        None => (text.to_vec(), Stood::AsItWas),
                    }
                }
            };
            out.text.extend_from_slice(&text);
            out.parts.push((text, stand));
            if out.changed && out.text.len() > read + MOST_ADDED {
                return Err(odd(meaning));
            }
        }
        out.hidden = made.hidden;
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        made.raw.retain(|source| !self.reveals.may_filter(source, asking));
        out.raw = made.raw;
        Ok(out)
    }

    /// Whether something else may stand in a statement for tables with hidden columns.
    pub(super) fn can_be_woven(&mut self, part: &Part, now: Timestamp) -> bool {
        let text = part.text.as_deref().unwrap_or_default();
        part.reads.obstacle.is_none() && self.weave(part, text, &mut Made::default(), now).is_ok()
    }

    /// Whether each table that a statement reads has its columns written out in what is sent.
    pub(super) fn is_pinned(&mut self, part: &Part, now: Timestamp) -> bool {
        let (text, mut made) = (part.text.as_deref().unwrap_or_default(), Made::default());
        self.can_be_woven(part, now)
            && !part.reads.places.is_empty()
            && part.reads.places.iter().all(|read| matches!(self.instead(read, text, &mut made, now), Ok(Some(_))))
    }

    /// A statement with all its tables written otherwise that have hidden columns; or why it cannot be.
    fn weave<'a>(
        &mut self,
        part: &'a Part,
        text: &'a [u8],
        made: &mut Made,
        now: Timestamp,
    ) -> Result<Weave<'a>, &'static str> {
        let mut reads: Vec<&Read> = part.reads.places.iter().collect();
        reads.sort_by_key(|read| read.at.start);
        // What follows costs as much as the tables that are named, for each part kept and each name.
        if reads.len() > MOST_READ {
            return Err("a statement that reads so many tables");
        }
        let mut is_spread = false;
        for read in &reads {
            is_spread |= self.instead(read, text, made, now)?.is_some_and(|derived| derived.is_spread);
        }
        let straight = if is_spread { part.reads.selects.as_slice() } else { &[] };
        let mut weave = Weave::new(text, straight);
        for read in reads {
            let mut kept = part.reads.kept.iter().filter(|k| k.start >= read.at.start && k.end <= read.at.end);
            let kept = kept.next().map(|kept| text.get(kept.clone()).unwrap_or_default());
            match self.instead(read, text, made, now)? {
                Some(derived) => weave.replaces(read, derived, kept.unwrap_or_default()),
                None => weave.adds(read, ""),
            }
            if weave.text.len() > weave.done + MOST_ADDED {
                weave.is_too_long = true;
                return Ok(weave);
            }
        }
        weave.copies(text.len());
        Ok(weave)
    }

    /// Refuses a statement that is sent as it is, and decides by columns that the caller may not see: what it finds or
    /// changes would tell of them.
    fn weighs_nothing_hidden(&mut self, part: &Part, obstacle: &'static str, now: Timestamp) -> Result<(), Refusal> {
        let text = part.text.as_deref().unwrap_or_default();
        let tells = |read: &Read| {
            tells::columns(&read.schema, &read.table)
                .is_some_and(|columns| read.written == Written::Query || tells::may_name(text, columns))
        };
        let is_long = part.reads.places.len() > MOST_READ;
        if (is_long || part.reads.places.iter().any(tells)) && self.hides_anything(now) {
            let message = format!("{} refused: it reads statistics of tables that you may not see whole", part.command);
            return Err(not_understood(message, Some("leave them out, or ask for them in a query of their own")));
        }
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let mut hidden =
            part.reads.weighs.iter().chain(&part.reads.named).filter(|source| {
                self.reveals.source(source, asking).is_some() && !self.reveals.may_filter(source, asking)
            });
        match hidden.next() {
            Some(source) => Err(weighs(&part.command, source, Some(obstacle))),
            None => Ok(()),
        }
    }

    /// Refuses a statement that decides by columns that stand in it as they are, or computes with them.
    fn weighs_nothing_raw(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        // Names that are given by place would count as all of them.
        let named = part.reads.named.iter().filter(|source| source.column.is_some());
        for source in part.reads.weighs.iter().chain(named) {
            if self.is_raw(source, now) {
                let asking = &mut Asking { enforcer: &mut self.enforcer, now };
                if !self.reveals.may_filter(source, asking) {
                    return Err(weighs(&part.command, source, Some("what is masked in results alone (`hash`, say)")));
                }
            }
        }
        Ok(())
    }

    /// Whether a column, or some column of a relation, stands for itself though it is hidden. Of a column that is not known it
    /// is not known what else could stand there.
    fn is_raw(&mut self, source: &SourceColumn, now: Timestamp) -> bool {
        let Some(rule) = self.reveals.source(source, &mut Asking { enforcer: &mut self.enforcer, now }) else {
            return false;
        };
        // Of the server's own views, those columns are left out that tell.
        if tells::columns(&source.schema, &source.table).is_some() {
            return false;
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        let Some(relation) = catalogue.named(&source.schema, &source.table) else { return !shows_nothing(&rule) };
        let named = |column: &&Column| {
            source.column.as_ref().is_none_or(|name| column.name.to_lowercase() == name.to_lowercase())
        };
        let mut columns = relation.columns.iter().filter(named).peekable();
        if columns.peek().is_none() {
            return !shows_nothing(&rule);
        }
        columns.any(|column| {
            let asking = &mut Asking { enforcer: &mut self.enforcer, now };
            let rule = self.reveals.column(relation.oid, column.number, asking);
            rule.is_some_and(|rule| self.stand(&catalogue, relation, column, &rule) == Some(Stand::Raw))
        })
    }

    /// What stands in the place of a hidden column; none where its type is not known.
    fn stand(&self, catalogue: &Catalogue, relation: &Relation, column: &Column, rule: &MaskRule) -> Option<Stand> {
        let type_name = catalogue.type_name(relation.oid, column.number).map(|name| &**name);
        // To MariaDB, JSON is such a text with a constraint over it alone.
        let may_be_json = self.upstream.is_mariadb()
            && type_name.is_some_and(|name| name.starts_with("longtext ") && name.ends_with(" utf8mb4_bin"))
            && (relation.kind == RelationKind::View
                || catalogue.checks(relation.oid).iter().any(|check| check.iter().eq([&column.number])));
        stand(&written(catalogue, relation, column), type_name, rule, may_be_json)
    }

    /// What stands in the place of a table; none where it can stand for itself.
    fn instead<'m>(
        &mut self,
        read: &Read,
        text: &[u8],
        made: &'m mut Made,
        now: Timestamp,
    ) -> Result<Option<&'m Derived>, &'static str> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        if let Some(columns) = tells::columns(&read.schema, &read.table) {
            let relation = catalogue.named(&read.schema, &read.table.to_uppercase());
            let Some(relation) = relation.or_else(|| catalogue.named(&read.schema, &read.table)) else {
                return Ok(None);
            };
            if (read.written == Written::Query || tells::may_name(text, columns)) && self.hides_anything(now) {
                let derived = made.derived.entry(relation.oid);
                return Ok(derived.or_insert_with(|| Some(without(&catalogue, relation, columns))).as_ref());
            }
            return Ok(None);
        }
        let Some(relation) = catalogue.named(&read.schema, &read.table) else { return Ok(None) };
        if !made.derived.contains_key(&relation.oid) {
            let derived = self.derived(&catalogue, relation, made, now)?;
            made.derived.insert(relation.oid, derived);
        }
        Ok(made.derived.get(&relation.oid).and_then(Option::as_ref))
    }

    fn derived(
        &mut self,
        catalogue: &Catalogue,
        relation: &Relation,
        made: &mut Made,
        now: Timestamp,
    ) -> Result<Option<Derived>, &'static str> {
        let mut list = Outputs::default();
        let mut gone: Vec<&Column> = Vec::new();
        let mut has_invisible = false;
        for column in &relation.columns {
            let rule =
                self.reveals.column(relation.oid, column.number, &mut Asking { enforcer: &mut self.enforcer, now });
            let name = written(catalogue, relation, column);
            has_invisible |= catalogue.is_invisible(relation.oid, column.number);
            let Some(rule) = rule else {
                list.clear(name);
                continue;
            };
            gone.push(column);
            let stand = self.stand(catalogue, relation, column, &rule);
            match stand.ok_or("a table with a column of a type that is not known")? {
                Stand::Constant(constant) => {
                    list.constant(&constant, &name);
                    made.hidden.push(source_of(relation, column));
                }
                Stand::Masked(masked) => list.masked(masked, &name),
                Stand::Raw => {
                    list.raw(name);
                    made.raw.push(source_of(relation, column));
                }
            }
        }
        let order = self.order_tells(relation, now) || place_tells(catalogue, relation, &gone);
        let ignored = ignored(catalogue, relation, &gone);
        // What stands as it is is masked by its place, and that is told here: the server may find the columns in another order.
        if gone.is_empty() && !order && ignored.is_empty() {
            return Ok(None);
        }
        if has_invisible {
            // It can be named, and `*` does not show it: a derived table has no such columns.
            return Err("a table with an invisible column");
        }
        let mut derived = Derived::of(relation, &list.columns, &ignored, self.upstream.is_mariadb());
        derived.is_spread = order && self.is_spread(catalogue, relation, now);
        Ok(Some(if order { derived.in_order(&list, has_visible_key(catalogue, relation, &gone)) } else { derived }))
    }

    /// Whether the rows of a view may come in the order of an index over columns that the caller may not see: within a view
    /// no index can be left out.
    pub(super) fn order_tells(&mut self, relation: &Relation, now: Timestamp) -> bool {
        if relation.kind != RelationKind::View {
            return false;
        }
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some(known) = self.reveals.plans(&asking).orders.get(&relation.oid) {
            return *known;
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        let tells = match catalogue.view_reads(relation.oid) {
            Reach::Anything => self.hides_anything(now),
            Reach::Relations(reads) => {
                // What sorts, groups or joins gives rows in an order that the values make, with no index.
                let sorts = reads.iter().chain(&[relation.oid]).any(|oid| catalogue.sorts(*oid));
                let mut reads = reads.iter().filter_map(|oid| catalogue.relation(*oid));
                reads.any(|r| if sorts { self.is_hidden(r, now) } else { self.index_tells(&catalogue, r, now) })
            }
        };
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            self.reveals.plans(&asking).orders.insert(relation.oid, tells);
        }
        tells
    }

    /// Whether a table, or one that a view reads, is partitioned by a hidden column. How many rows the server thinks are in it
    /// goes by how they are spread.
    fn is_spread(&mut self, catalogue: &Catalogue, relation: &Relation, now: Timestamp) -> bool {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let mut by_hidden = |oid: u32| {
            let key = catalogue.partition_key(oid);
            key.into_iter().any(|column| self.reveals.column(oid, column, asking).is_some())
        };
        if relation.kind != RelationKind::View {
            return by_hidden(relation.oid);
        }
        match catalogue.view_reads(relation.oid) {
            Reach::Anything => true,
            Reach::Relations(reads) => reads.into_iter().any(by_hidden),
        }
    }

    /// Whether some column of a table is hidden.
    fn is_hidden(&mut self, relation: &Relation, now: Timestamp) -> bool {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        relation.columns.iter().any(|column| self.reveals.column(relation.oid, column.number, asking).is_some())
    }

    /// Whether a table has an index over a column that the caller may not see, or over an expression and such a column.
    fn index_tells(&mut self, catalogue: &Catalogue, relation: &Relation, now: Timestamp) -> bool {
        let indexes = catalogue.indexes(relation.oid);
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let hidden = |column: &&Column| self.reveals.column(relation.oid, column.number, asking).is_some();
        let gone: Vec<&Column> = relation.columns.iter().filter(hidden).collect();
        !gone.is_empty()
            && (indexes.iter().any(|index| is_over(index, &gone)) || place_tells(catalogue, relation, &gone))
    }

    /// What is sent is printed as it stands, reads the same tables in the places where they were written, and no other; asks
    /// for the same rights as what was decided; and no hidden column is in what it shows or weighs.
    fn means_as_much(&mut self, meaning: &Meaning, woven: &Woven) -> Result<(), Refusal> {
        let read = self.reader.read(&woven.text, &self.environment, true).map_err(|_| odd(meaning))?;
        let is_the_same = read.statements.len() == meaning.parts.len()
            && stands_as_written(&read, woven)
            && asks_the_same(meaning, &read)
            && shows_none(&read, woven);
        if is_the_same { Ok(()) } else { Err(odd(meaning)) }
    }
}

fn odd(meaning: &Meaning) -> Refusal {
    let message = format!(
        "{} refused: it reads columns that you may not see, and cannot be written so that they stay out of it",
        meaning.facts.command
    );
    not_understood(message, Some("leave those columns out, or ask simpler"))
}

fn written(catalogue: &Catalogue, relation: &Relation, column: &Column) -> String {
    identifier(catalogue.written_name(relation.oid, column.number).unwrap_or(&column.name))
}

pub(super) fn source_of(relation: &Relation, column: &Column) -> SourceColumn {
    let (schema, table) = (relation.schema.clone(), relation.name.clone());
    SourceColumn { schema, table, column: Some(column.name.clone()) }
}

/// A view of the server's own, without columns that tell of values.
fn without(catalogue: &Catalogue, relation: &Relation, telling: &[&str]) -> Derived {
    let of = |column: &Column| {
        let name = written(catalogue, relation, column);
        if telling.contains(&&*column.name) { format!("{} AS {name}", nothing()) } else { name }
    };
    let columns: Vec<String> = relation.columns.iter().map(of).collect();
    Derived::of(relation, &columns, &[], false)
}

/// Whether rows are kept apart, or in the order of their key, by one of these columns.
fn place_tells(catalogue: &Catalogue, relation: &Relation, gone: &[&Column]) -> bool {
    let keys = catalogue.partition_key(relation.oid);
    gone.iter().any(|column| keys.contains(&column.number))
        || catalogue.keeps_rows(relation.oid).any(|index| is_over(index, gone))
}

/// Whether no two rows of a table are alike in its columns but these.
fn has_visible_key(catalogue: &Catalogue, relation: &Relation, gone: &[&Column]) -> bool {
    catalogue.indexes(relation.oid).iter().any(|index| &*index.name == "PRIMARY" && !is_over(index, gone))
}

/// Whether an index has one of these columns in it. Of what an expression is made is not known.
fn is_over(index: &Index, gone: &[&Column]) -> bool {
    index.columns.iter().any(|of| of.as_ref().is_none_or(|of| gone.iter().any(|column| column.name == *of)))
}

/// The indexes of which the order of their rows tells of hidden columns.
fn ignored(catalogue: &Catalogue, relation: &Relation, gone: &[&Column]) -> Vec<String> {
    let all = catalogue.indexes(relation.oid).iter();
    // Rows are kept in the order of the primary key, whatever is ignored.
    all.filter(|index| is_over(index, gone))
        .filter(|index| &*index.name != "PRIMARY")
        .map(|index| identifier(&index.name))
        .collect()
}

/// Hints that leave indexes out. `each`: of each use by a hint of its own, since `old_mode` may have the server take the first for
/// that of joins alone, so that the caller's own hints would bring it back.
pub(super) fn ignoring(ignored: &[String], each: bool) -> String {
    let uses = if each { ["", " FOR ORDER BY", " FOR GROUP BY"].as_slice() } else { [""].as_slice() };
    let ignored = ignored.join(", ");
    uses.iter().filter(|_| !ignored.is_empty()).map(|of| format!(" IGNORE INDEX{of} ({ignored})")).collect()
}

/// INVARIANT: the text is printed just as it was made, and the grammar finds each table where it was written, and finds no
/// other. So what is around them is read as it was before.
fn stands_as_written(read: &Analysis, woven: &Woven) -> bool {
    read.statements.iter().zip(&woven.parts).all(|(statement, (text, stand))| {
        if statement.text.as_deref() != Some(text.as_slice()) {
            return false;
        }
        let (stand, is_rewritten) = match stand {
            Stood::AsItWas => return true,
            Stood::Hinted(stand) => (stand, false),
            Stood::Rewritten(stand) => (stand, true),
        };
        let mut found: Vec<&Read> = statement.reads.places.iter().collect();
        found.sort_by_key(|read| read.at.start);
        (!is_rewritten || statement.reads.obstacle.is_none())
            && found.len() == stand.len()
            && found
                .iter()
                .zip(stand)
                .all(|(found, (schema, table, at))| found.schema == *schema && found.table == *table && found.at == *at)
    })
}

fn asks_the_same(meaning: &Meaning, read: &Analysis) -> bool {
    let known = |access: &Access| meaning.facts.accesses.contains(access);
    let is_there = |access: &Access| read.facts.accesses.contains(access);
    // What a statement runs by its name is asked for beside what it says.
    read.facts.accesses.iter().all(known) && (meaning.by_name || meaning.facts.accesses.iter().all(is_there))
}

/// Whether none of the columns in whose places constants stand is in what a statement that was written anew shows, carries or
/// weighs, and nothing is decided by those that are masked in results alone.
fn shows_none(read: &Analysis, woven: &Woven) -> bool {
    let is_rewritten = |(_, (_, stand)): &(_, &(Vec<u8>, Stood))| matches!(stand, Stood::Rewritten(_));
    read.statements.iter().zip(&woven.parts).filter(is_rewritten).all(|(statement, _)| {
        let lineage = statement.lineage.iter().flat_map(|lineage| &lineage.anywhere);
        let mut all = statement.moves.iter().chain(&statement.reads.weighs).chain(lineage);
        let is_decided_by = |source: &SourceColumn| woven.raw.contains(source);
        !all.any(|source| woven.hidden.contains(source)) && !statement.reads.weighs.iter().any(is_decided_by)
    })
}

/// What a query that stands for a table shows.
#[derive(Default)]
struct Outputs {
    columns: Vec<String>,
    /// What the caller sees of a row, but for constants and what is masked in results alone.
    sorted_by: Vec<String>,
    has_raw: bool,
}

impl Outputs {
    fn clear(&mut self, name: String) {
        self.sorted_by.push(name.clone());
        self.columns.push(name);
    }

    fn raw(&mut self, name: String) {
        self.columns.push(name);
        self.has_raw = true;
    }

    fn constant(&mut self, value: &str, name: &str) {
        self.columns.push(format!("{value} AS {name}"));
    }

    fn masked(&mut self, value: String, name: &str) {
        self.columns.push(format!("{value} AS {name}"));
        self.sorted_by.push(value);
    }
}

impl Derived {
    /// The same, in the order of all that is shown, in which nothing else can tell; the limit keeps the server from leaving
    /// the order out. `is_told_apart`: no two rows are alike in what sorts them.
    ///
    /// INVARIANT: what is masked in results alone sorts nothing. Rows that are alike in all else come by chance, since who sees
    /// masks of it could tell them from each other; `RAND` could be known beforehand (`rand_seed1`).
    fn in_order(mut self, outputs: &Outputs, is_told_apart: bool) -> Self {
        let mut by = if outputs.has_raw {
            outputs.sorted_by.clone()
        } else {
            (1..=outputs.columns.len()).map(|n| n.to_string()).collect()
        };
        if outputs.has_raw && !is_told_apart {
            by.push("RANDOM_BYTES(16)".to_owned());
        }
        self.order = format!(" ORDER BY {} LIMIT {}", by.join(", "), u64::MAX);
        self
    }

    fn of(relation: &Relation, columns: &[String], ignored: &[String], each: bool) -> Self {
        let behind = ignoring(ignored, each);
        Self {
            before: format!("(SELECT {} FROM ", columns.join(", ")),
            name: format!("{}.{}", identifier(&relation.schema), identifier(&relation.name)),
            behind,
            order: String::new(),
            is_spread: false,
        }
    }
}

impl<'a> Weave<'a> {
    /// Of a text, and where it has to be said that tables are joined as they are written.
    pub(super) fn new(from: &'a [u8], straight: &'a [usize]) -> Self {
        let (text, stand) = (Vec::new(), Vec::new());
        Weave { from, text, done: 0, straight, stand, changed: false, is_too_long: false }
    }
}

impl Weave<'_> {
    /// The table stays, with more hints behind it.
    pub(super) fn adds(&mut self, read: &Read, hints: &str) {
        self.copies(read.at.start);
        let begin = self.text.len();
        self.text.extend_from_slice(self.from.get(read.at.clone()).unwrap_or_default());
        self.text.extend_from_slice(hints.as_bytes());
        self.stand.push((read.schema.clone(), read.table.clone(), begin..self.text.len()));
        self.changed |= !hints.is_empty();
        self.done = read.at.end;
    }

    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// What stands between, as it is, but for the order of joins.
    pub(super) fn copies(&mut self, end: usize) {
        while let Some((at, rest)) = self.straight.split_first().filter(|(at, _)| **at <= end) {
            self.text.extend_from_slice(self.from.get(self.done..*at).unwrap_or_default());
            self.text.extend_from_slice(b" STRAIGHT_JOIN");
            self.done = *at;
            self.straight = rest;
            self.changed = true;
        }
        self.text.extend_from_slice(self.from.get(self.done..end).unwrap_or_default());
        self.done = end;
    }

    fn replaces(&mut self, read: &Read, derived: &Derived, kept: &[u8]) {
        self.copies(read.at.start);
        // As it is printed.
        if self.text.last() == Some(&b',') {
            self.text.push(b' ');
        }
        if read.written == Written::Query {
            self.text.extend_from_slice(b"SELECT * FROM ");
        }
        self.text.extend_from_slice(derived.before.as_bytes());
        let begin = self.text.len();
        self.text.extend_from_slice(derived.name.as_bytes());
        // Under LOCK TABLES a table is known by the alias with which it was locked.
        if let Some(called) = read.called.as_ref().filter(|called| **called != read.table) {
            self.text.extend_from_slice(b" AS ");
            self.text.extend_from_slice(identifier(called).as_bytes());
        }
        if !kept.is_empty() {
            self.text.push(b' ');
            self.text.extend_from_slice(kept);
        }
        self.text.extend_from_slice(derived.behind.as_bytes());
        self.stand.push((read.schema.clone(), read.table.clone(), begin..self.text.len()));
        self.text.extend_from_slice(derived.order.as_bytes());
        self.text.push(b')');
        if let Some(called) = &read.called {
            self.text.extend_from_slice(b" AS ");
            self.text.extend_from_slice(identifier(called).as_bytes());
        }
        self.changed = true;
        self.done = read.at.end;
    }
}
