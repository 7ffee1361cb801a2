//! Which columns and which kinds of values a caller may not see, under the policies and the schema of the moment.
//!
//! A column of a view is as hidden as what it is made of, a partition as the tables above it. What is not known is
//! hidden if anything of the database is.
use crate::{
    Meaning, Part, TextMasking,
    guard::{Target, Targets, is_looked_for, is_shown},
    refusals,
};
use ahash::{AHashMap, AHashSet};
use doorward_detect::{Detector, Masker, TypeSet};
use doorward_enforce::{Enforcer, MaskRule, Refusal, Reveal};
use doorward_model::{Action, DataType, Name, Operator, Resource, Timestamp};
use doorward_sql::{Catalogue, Column, Dropped, Effect, Relation, SourceColumn};
use std::{collections::BTreeSet, sync::Arc};

/// How many columns one value may be made of, through views of views, until it counts as hidden.
const MOST_BEHIND: usize = 100_000;

/// How many meanings are remembered to be hidden or not.
const REMEMBERED: usize = 1024;

/// What differs between servers.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Names of columns know no case: what is tagged in lower case is hidden in any.
    pub folds_columns: bool,
    /// A relation that the snapshot does not have may be a view that others have made since: any column of any table.
    pub unknown_is_a_view: bool,
    /// Whether a relation that the snapshot does not have is one that the server makes up by its name.
    pub is_made_up: fn(&str) -> bool,
    /// Schemas of the server's own, and of the session's: nothing in them is a view of a user's tables.
    pub own_schemas: &'static [&'static str],
    /// Columns that every table has and none names as its own, by their names and numbers.
    pub system_columns: &'static [(&'static str, i16)],
}

/// Where a row is stored: how much room others take decides it.
const PLACE: i16 = -1;

/// Which table a row is stored in.
const TABLE: i16 = -6;

/// Whom to ask, and when.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The enforcement point of the session.
    pub enforcer: &'a mut Enforcer,
    /// The clock.
    pub now: Timestamp,
}

impl Asking<'_> {
    /// Whether answers of two moments are under the same policies, and none of them was of its moment alone.
    pub fn moment(&self) -> (u64, u64) {
        (self.enforcer.generation(), self.enforcer.passing())
    }
}

/// What of a session's answers its caller may see. `P`: the plans of the protocol that rest on it.
///
/// INVARIANT: nothing found out under other policies, another schema or another time is used again.
#[derive(Debug)]
pub struct Reveals<P> {
    dialect: Dialect,
    catalogue: Arc<Catalogue>,
    detector: Arc<Detector>,
    masker: Arc<Masker>,
    known: Remembered<P>,
}

/// What a value may be made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Behind {
    /// A column of the snapshot, by numbers.
    Column(u32, i16),
    /// A column by its name, or all of a relation.
    Source(SourceColumn),
    /// Any column of any table.
    Everything,
}

#[derive(Debug, Default)]
struct Remembered<P> {
    /// When this was begun: answers since then may be of that moment alone.
    moment: (u64, u64),
    text: Option<TextMasking>,
    /// Whether any column of any table is hidden.
    anything: Option<bool>,
    columns: AHashMap<(u32, i16), Option<Arc<MaskRule>>>,
    /// Whether a text touches hidden columns, by its address; the meaning is kept so that the address stays its own.
    hides: AHashMap<usize, (Arc<Meaning>, bool)>,
    plans: P,
}

impl<P: Default> Reveals<P> {
    /// Nothing is found out yet.
    pub fn new(dialect: Dialect, catalogue: Arc<Catalogue>, detector: Arc<Detector>, masker: Arc<Masker>) -> Self {
        Self { dialect, catalogue, detector, masker, known: Remembered::default() }
    }

    /// The schema.
    pub const fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// A newer snapshot of the schema.
    pub fn know(&mut self, catalogue: Arc<Catalogue>) {
        if !Arc::ptr_eq(&self.catalogue, &catalogue) {
            self.catalogue = catalogue;
            self.known = Remembered::default();
        }
    }

    fn refresh(&mut self, a: &Asking<'_>) {
        let moment = a.moment();
        if self.known.moment != moment {
            self.known = Remembered { moment, ..Remembered::default() };
        }
    }

    /// The plans that rest on what is known, forgotten with it.
    pub fn plans(&mut self, a: &Asking<'_>) -> &mut P {
        self.refresh(a);
        &mut self.known.plans
    }

    /// Recognizers for what this caller may not see.
    pub fn text_masking(&mut self, a: &mut Asking<'_>) -> TextMasking {
        self.refresh(a);
        if let Some(known) = &self.known.text {
            return known.clone();
        }
        let mut wanted = TypeSet::NONE;
        let mut rules = Vec::new();
        for t in DataType::ALL {
            if let Reveal::Masked(rule) = a.enforcer.reveal(&Resource::DataType { data_type: *t }, a.now) {
                wanted.insert(*t);
                rules.push((*t, rule));
            }
        }
        let text = TextMasking {
            detector: Arc::clone(&self.detector),
            masker: Arc::clone(&self.masker),
            wanted,
            rules: rules.into(),
        };
        self.known.text = Some(text.clone());
        text
    }

    /// Whether any column of any table is hidden, or may be.
    pub fn hides_anything(&mut self, a: &mut Asking<'_>) -> bool {
        self.refresh(a);
        if self.catalogue.lacks_columns() {
            return true;
        }
        if let Some(known) = self.known.anything {
            return known;
        }
        let moment = self.known.moment;
        let anything = self.follow(Behind::Everything, a).is_some();
        if a.moment() == moment {
            self.known.anything = Some(anything);
        }
        anything
    }

    /// How the values of a column are masked, if they are, by the numbers of the snapshot.
    pub fn column(&mut self, relation: u32, number: i16, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        self.refresh(a);
        if let Some(known) = self.known.columns.get(&(relation, number)) {
            return known.clone();
        }
        let rule = self.follow(Behind::Column(relation, number), a);
        self.known.columns.insert((relation, number), rule.clone());
        rule
    }

    /// How the values of a column are masked by its name.
    pub fn source(&mut self, source: &SourceColumn, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        self.refresh(a);
        let catalogue = Arc::clone(&self.catalogue);
        let relation = catalogue.named(&source.schema, &source.table);
        if let (Some(relation), Some(name)) = (relation, &source.column)
            && let Some(column) = relation.columns.iter().find(|c| self.is_named(c, name))
        {
            return self.column(relation.oid, column.number, a);
        }
        if let (Some(relation), Some(number)) = (relation, source.column.as_ref().and_then(|c| self.system(c))) {
            return self.column(relation.oid, number, a);
        }
        self.follow(Behind::Source(source.clone()), a)
    }

    /// How a value made of these columns is masked: by the rule of those that are hidden; where they have several, as a whole.
    pub fn sources<'s>(
        &mut self,
        sources: impl IntoIterator<Item = &'s SourceColumn>,
        a: &mut Asking<'_>,
    ) -> Option<Arc<MaskRule>> {
        let mut first: Option<Arc<MaskRule>> = None;
        for source in sources {
            let Some(rule) = self.source(source, a) else { continue };
            match &first {
                Some(known) if known.operator != rule.operator => {
                    let label = known.label.clone();
                    return Some(Arc::new(MaskRule { operator: Operator::Redact, label, by_default: false }));
                }
                Some(_) => {}
                None => first = Some(rule),
            }
        }
        first
    }

    /// What policies say of a column of this very name, whatever the schema has.
    pub fn plain(&mut self, schema: &Name, table: &Name, name: &Name, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        let mut rule = |name: Name| {
            let column = Resource::Column { schema: schema.clone(), table: table.clone(), name };
            match a.enforcer.reveal(&column, a.now) {
                Reveal::Masked(rule) => Some(rule),
                Reveal::Clear => None,
            }
        };
        let own = rule(name.clone());
        if own.is_some() || !self.dialect.folds_columns {
            return own;
        }
        let lower = name.to_lowercase();
        if *lower == **name { None } else { rule(Name::from(&*lower)) }
    }

    /// Whether a statement may decide by a column that is hidden: `filter` is permitted on all of it and behind it that is
    /// hidden. What is not known is permitted by nobody.
    pub fn may_filter(&mut self, source: &SourceColumn, a: &mut Asking<'_>) -> bool {
        let mut seen: AHashSet<Behind> = AHashSet::new();
        let mut todo = vec![Behind::Source(source.clone())];
        while let Some(next) = todo.pop() {
            if seen.insert(next.clone()) && (seen.len() > MOST_BEHIND || !self.may_filter_own(&next, &mut todo, a)) {
                return false;
            }
        }
        true
    }

    fn may_filter_own(&mut self, of: &Behind, behind: &mut Vec<Behind>, a: &mut Asking<'_>) -> bool {
        let catalogue = Arc::clone(&self.catalogue);
        let (oid, number) = match of {
            Behind::Everything => return false,
            Behind::Column(oid, number) => (*oid, *number),
            Behind::Source(source) => {
                let relation = catalogue.named(&source.schema, &source.table);
                if let Some(name) = source.column.as_ref().filter(|name| self.system(name).is_some()) {
                    let (schema, table) = (source.schema.clone(), source.table.clone());
                    let column = Resource::Column { schema, table, name: name.clone() };
                    return a.enforcer.may_filter(&column, a.now);
                }
                let column = relation.zip(source.column.as_ref()).and_then(|(relation, name)| {
                    relation.columns.iter().find(|c| self.is_named(c, name)).map(|c| (relation.oid, c.number))
                });
                let Some((oid, number)) = column else { return false };
                (oid, number)
            }
        };
        let Some(relation) = catalogue.relation(oid) else { return false };
        let Some(column) = relation.columns.iter().find(|c| c.number == number) else { return false };
        self.made_of(relation, number, behind);
        let mut tables = vec![relation];
        tables.extend(catalogue.ancestors(oid));
        tables.extend(catalogue.shows(oid));
        tables.into_iter().all(|table| {
            let (schema, table) = (&table.schema, &table.name);
            let named = Resource::Column { schema: schema.clone(), table: table.clone(), name: column.name.clone() };
            self.plain(schema, table, &column.name, a).is_none() || a.enforcer.may_filter(&named, a.now)
        })
    }

    /// A column of a view, or a generated one, is as hidden as what it is made of.
    ///
    /// INVARIANT: each is looked at once, whatever circles and depths the server tells of.
    fn follow(&mut self, start: Behind, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        let mut seen: AHashSet<Behind> = AHashSet::new();
        let mut todo = vec![start];
        let mut is_first = true;
        // Of a view that decides or computes by its column.
        let mut is_made = false;
        while let Some(next) = todo.pop() {
            if !seen.insert(next.clone()) {
                continue;
            }
            if seen.len() > MOST_BEHIND {
                return Some(redacted());
            }
            let before = todo.len();
            let own = self.own(&next, &mut todo, a);
            if let Some(rule) = own {
                // What is behind a column may have been computed with.
                let is_itself = is_first || !is_made && rule.operator == Operator::Hash;
                return Some(if is_itself { rule } else { whole(rule) });
            }
            is_made = is_made || self.is_made(&next, todo.get(before..).unwrap_or_default());
            is_first = false;
        }
        None
    }

    /// Whether what is behind a value is not the value itself: of several columns, computed, or of a query that decides by it.
    fn is_made(&self, of: &Behind, behind: &[Behind]) -> bool {
        let (Behind::Column(oid, _), [one]) = (of, behind) else { return !matches!(of, Behind::Source(_)) };
        let Some(weighed) = self.catalogue.view_weighs(*oid).filter(|_| !self.catalogue.is_mixed(*oid)) else {
            return true;
        };
        let Behind::Source(source) = one else { return true };
        weighed.iter().any(|w| {
            let is_of = w.schema == source.schema && w.table == source.table;
            is_of && (w.column.is_none() || source.column.is_none() || w.column == source.column)
        })
    }

    /// How it is masked by its own name; what it is made of is added to `behind`.
    fn own(&mut self, of: &Behind, behind: &mut Vec<Behind>, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        let catalogue = Arc::clone(&self.catalogue);
        match of {
            Behind::Everything => {
                let own = self.dialect.own_schemas;
                let tables = catalogue.relations().filter(|r| !r.kind.is_view() && !own.contains(&&*r.schema));
                behind.extend(tables.flat_map(|r| r.columns.iter().map(|c| Behind::Column(r.oid, c.number))));
                None
            }
            Behind::Column(oid, number) => {
                if let Some(known) = self.known.columns.get(&(*oid, *number)) {
                    return known.clone();
                }
                let relation = catalogue.relation(*oid)?;
                if *number < 0 {
                    self.behind_system(relation, *number, behind);
                    return None;
                }
                let column = relation.columns.iter().find(|c| c.number == *number);
                let name = column.map_or_else(|| "*".into(), |c| c.name.clone());
                let rule = self.in_relation(relation, &name, a);
                let before = behind.len();
                if rule.is_none() {
                    self.made_of(relation, *number, behind);
                }
                if behind.len() == before {
                    self.known.columns.insert((*oid, *number), rule.clone());
                }
                rule
            }
            Behind::Source(source) => self.named(source, behind, a),
        }
    }

    fn made_of(&self, relation: &Relation, number: i16, behind: &mut Vec<Behind>) {
        match self.catalogue.view_column(relation.oid, number) {
            Some(made_of) => behind.extend(made_of.iter().cloned().map(Behind::Source)),
            // INVARIANT: of what a view is made that is not known, it may be any column of any table.
            None if relation.kind.is_view() && !self.is_own(&relation.schema) => behind.push(Behind::Everything),
            None => {}
        }
    }

    fn system(&self, name: &Name) -> Option<i16> {
        self.dialect.system_columns.iter().find(|(system, _)| **system == **name).map(|(_, number)| *number)
    }

    /// The columns that decide where a row is stored, and in which table.
    fn behind_system(&self, relation: &Relation, number: i16, behind: &mut Vec<Behind>) {
        match number {
            PLACE => {
                let below = self.catalogue.shows(relation.oid);
                let tables = std::iter::once(relation).chain(below);
                behind
                    .extend(tables.flat_map(|table| table.columns.iter().map(|c| Behind::Column(table.oid, c.number))));
            }
            TABLE => {
                let below = self.catalogue.shows(relation.oid).into_iter().map(|r| r.oid);
                for table in std::iter::once(relation.oid).chain(below) {
                    let key = self.catalogue.partition_key(table).into_iter();
                    behind.extend(key.map(|column| Behind::Column(table, column)));
                }
            }
            _ => {}
        }
    }

    /// Whether a table is a partition by columns that are hidden: that a row is in it tells of them.
    pub fn is_apart(&mut self, relation: u32, a: &mut Asking<'_>) -> bool {
        let catalogue = Arc::clone(&self.catalogue);
        catalogue.ancestors(relation).into_iter().any(|above| {
            catalogue.partition_key(above.oid).into_iter().any(|column| self.column(above.oid, column, a).is_some())
        })
    }

    /// How a column is masked by its name. The values of a partition, or of a table that inherits, are values of
    /// the tables above it: hidden there is hidden here. Read through a table above they are as hidden as a
    /// policy says of the partition, and by default as visible as the table that is read.
    fn in_relation(&mut self, relation: &Relation, name: &Name, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        let catalogue = Arc::clone(&self.catalogue);
        let mut of = |r: &Relation| self.plain(&r.schema, &r.name, name, a);
        of(relation)
            .or_else(|| catalogue.ancestors(relation.oid).into_iter().find_map(&mut of))
            .or_else(|| catalogue.shows(relation.oid).into_iter().find_map(|r| of(r).filter(|rule| !rule.by_default)))
    }

    fn named(&mut self, source: &SourceColumn, behind: &mut Vec<Behind>, a: &mut Asking<'_>) -> Option<Arc<MaskRule>> {
        let catalogue = Arc::clone(&self.catalogue);
        let Some(relation) = catalogue.named(&source.schema, &source.table) else {
            let name = source.column.clone().unwrap_or_else(|| "*".into());
            let is_made_up = self.is_own(&source.schema) || (self.dialect.is_made_up)(&source.table);
            if self.dialect.unknown_is_a_view && !is_made_up {
                behind.push(Behind::Everything);
            }
            return self.plain(&source.schema, &source.table, &name, a);
        };
        let Some(name) = &source.column else {
            behind.extend(relation.columns.iter().map(|c| Behind::Column(relation.oid, c.number)));
            return None;
        };
        if let Some(column) = relation.columns.iter().find(|c| self.is_named(c, name)) {
            behind.push(Behind::Column(relation.oid, column.number));
            return None;
        }
        if let Some(number) = self.system(name) {
            behind.push(Behind::Column(relation.oid, number));
            return None;
        }
        // Newer than the snapshot.
        self.made_of(relation, 0, behind);
        self.in_relation(relation, name, a)
    }

    /// Whether rows of a text, or what it carries elsewhere, come from a relation that the snapshot does not have: one that
    /// is newer, or none.
    pub fn names_unknown(&self, meaning: &Meaning) -> bool {
        let shown = meaning.parts.iter().flat_map(|p| p.moves.iter().chain(p.lineage.iter().flat_map(|l| &l.anywhere)));
        let shown = shown.map(|source| (&source.schema, &source.table));
        // What only filters may be a view of hidden columns as well.
        let read = meaning.parts.iter().flat_map(|p| &p.reads.places).map(|read| (&read.schema, &read.table));
        let mut others = shown.chain(read).filter(|(schema, _)| !self.is_own(schema));
        others.any(|(schema, table)| self.catalogue.named(schema, table).is_none()) || reads_dropped(meaning)
    }

    /// Whether a text changes rows of a relation that the snapshot does not have.
    pub fn changes_unknown(&self, meaning: &Meaning) -> bool {
        let changes = |action| matches!(action, Action::Insert | Action::Update | Action::Delete | Action::Maintain);
        meaning.facts.accesses.iter().filter(|access| changes(access.action)).any(|access| {
            let Resource::Table { schema, name } = &access.resource else { return false };
            !self.is_own(schema) && self.catalogue.named(schema, name).is_none()
        })
    }

    /// The relations that a text reads and that the snapshot does not know, since they were locked.
    pub fn names_unread(&self, meaning: &Meaning) -> Vec<u32> {
        let named = meaning.facts.accesses.iter().filter_map(|access| {
            let reads = matches!(
                access.action,
                Action::Select | Action::Insert | Action::Update | Action::Delete | Action::Lock | Action::Maintain
            );
            let Resource::Table { schema, name } = &access.resource else { return None };
            self.catalogue.named(schema, name).filter(|_| reads)
        });
        named.map(|relation| relation.oid).filter(|oid| self.catalogue.is_unread(*oid)).collect()
    }

    fn is_named(&self, column: &Column, name: &Name) -> bool {
        column.name == *name || (self.dialect.folds_columns && column.name.to_lowercase() == name.to_lowercase())
    }

    fn is_own(&self, schema: &str) -> bool {
        self.dialect.own_schemas.contains(&schema)
    }

    /// Whether a text touches hidden columns: then its errors may quote hidden values.
    pub fn hides(&mut self, meaning: &Arc<Meaning>, a: &mut Asking<'_>) -> bool {
        self.refresh(a);
        let key = Arc::as_ptr(meaning).addr();
        if let Some((_, known)) = self.known.hides.get(&key) {
            return *known;
        }
        let tables = meaning.facts.accesses.iter().filter_map(|access| {
            let Resource::Table { schema, name } = &access.resource else { return None };
            Some(SourceColumn { schema: schema.clone(), table: name.clone(), column: None })
        });
        let tables: Vec<_> = tables.collect();
        let shown = meaning.parts.iter().flat_map(|p| p.moves.iter().chain(p.lineage.iter().flat_map(|l| &l.anywhere)));
        let hides = tables.iter().chain(shown).any(|source| self.source(source, a).is_some());
        if self.known.hides.len() >= REMEMBERED {
            self.known.hides.clear();
        }
        self.known.hides.insert(key, (Arc::clone(meaning), hides));
        hides
    }

    /// Whether a definition is made over hidden columns. What is made or removed by it is not what it is made over: a table
    /// that is not there yet is unknown, and counts as a view of everything elsewhere.
    fn defines_over_hidden(&mut self, meaning: &Meaning, a: &mut Asking<'_>) -> bool {
        let read = meaning.facts.accesses.iter().filter(|x| !matches!(x.action, Action::Create | Action::Drop));
        let tables = read.filter_map(|access| {
            let Resource::Table { schema, name } = &access.resource else { return None };
            Some(SourceColumn { schema: schema.clone(), table: name.clone(), column: None })
        });
        let tables: Vec<_> = tables.collect();
        let shown = meaning.parts.iter().flat_map(|p| p.moves.iter().chain(p.lineage.iter().flat_map(|l| &l.anywhere)));
        tables.iter().chain(shown).any(|source| self.source(source, a).is_some())
    }

    /// Refuses what would carry hidden values to where no mask reaches them.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(&mut self, meaning: &Arc<Meaning>, a: &mut Asking<'_>) -> Result<(), Refusal> {
        if !self.hides(meaning, a) {
            return Ok(());
        }
        for part in &meaning.parts {
            if let Some(source) = part.moves.iter().find(|s| self.source(s, a).is_some()) {
                return Err(refusals::carries(&part.command, source));
            }
            self.writes_no_mask(part, part.writes.texts.iter().map(|text| &**text), a)?;
            let begins =
                |word: &&str| part.command.starts_with(*word) || part.runs.iter().any(|c| c.starts_with(*word));
            let defines = ["CREATE", "ALTER", "RENAME", "DEFINE"].iter().any(&begins);
            if defines && self.defines_over_hidden(meaning, a) {
                return Err(refusals::defines_over_hidden(&part.command));
            }
            // INVARIANT: nobody takes away, by a comment of theirs, the tag that hides something from them.
            if ["COMMENT", "SECURITY LABEL"].iter().any(begins) {
                return Err(refusals::says_of_hidden(&part.command));
            }
        }
        Ok(())
    }
}

impl<P: Default> Reveals<P> {
    /// The masked columns among those that data are written into, where a mask could be told from a value; none if there is
    /// no such column.
    pub fn targets(
        &mut self,
        columns: impl IntoIterator<Item = Option<SourceColumn>>,
        a: &mut Asking<'_>,
    ) -> Option<Targets> {
        let mut target = |source: SourceColumn| {
            let rule = self.source(&source, a).filter(|rule| is_looked_for(rule))?;
            Some(Target { source, rule })
        };
        let targets: Targets = columns.into_iter().map(|source| source.and_then(&mut target)).collect();
        targets.iter().any(Option::is_some).then_some(targets)
    }

    /// Refuses texts that are what a mask shows, where they would be written over what it hides.
    ///
    /// # Errors
    /// The refusal.
    pub fn writes_no_mask<'t>(
        &mut self,
        part: &Part,
        texts: impl Iterator<Item = &'t str> + Clone,
        a: &mut Asking<'_>,
    ) -> Result<(), Refusal> {
        if texts.clone().next().is_none() {
            return Ok(());
        }
        let catalogue = Arc::clone(&self.catalogue);
        for source in &part.writes.columns {
            let all = catalogue.named(&source.schema, &source.table).filter(|_| source.column.is_none());
            let all = all.into_iter().flat_map(|r| &r.columns).map(|c| c.name.clone());
            for column in source.column.iter().cloned().chain(all) {
                let source = SourceColumn { column: Some(column), ..source.clone() };
                let Some(rule) = self.source(&source, a) else { continue };
                if let Some(text) = texts.clone().find(|text| is_shown(&rule, text)) {
                    return Err(refusals::writes_mask(&part.command, &source, text));
                }
            }
        }
        Ok(())
    }
}

/// Whether a text reads by the name of a temporary relation behind having dropped it: that may be another's since.
fn reads_dropped(meaning: &Meaning) -> bool {
    let mut dropped: BTreeSet<&Name> = BTreeSet::new();
    let mut made: BTreeSet<&Name> = BTreeSet::new();
    let mut any = false;
    for part in &meaning.parts {
        if any || !dropped.is_empty() {
            let shown = part.moves.iter().chain(part.lineage.iter().flat_map(|l| &l.anywhere));
            let shown = shown.map(|source| (&source.schema, &source.table));
            let read = part.reads.places.iter().map(|read| (&read.schema, &read.table));
            let mut temporary = shown.chain(read).filter(|(schema, _)| ***schema == *"pg_temp");
            if temporary.any(|(_, table)| dropped.contains(table) || (any && !made.contains(table))) {
                return true;
            }
        }
        for effect in &part.effects {
            match effect {
                Effect::MadeTemporary { name, .. } => {
                    dropped.remove(name);
                    made.insert(name);
                }
                Effect::DroppedTemporary(Dropped::One(name)) => {
                    made.remove(name);
                    dropped.insert(name);
                }
                Effect::DroppedTemporary(Dropped::Dependent | Dropped::All) => {
                    made.clear();
                    any = true;
                }
                Effect::Set { .. }
                | Effect::ResetAll
                | Effect::Transaction(_)
                | Effect::ForgetPrepared
                | Effect::Prepare { .. }
                | Effect::Deallocate { .. }
                | Effect::Declare { .. }
                | Effect::SchemaChanged => {}
            }
        }
    }
    false
}

/// What stands in place of a value of which nothing is known.
pub fn redacted() -> Arc<MaskRule> {
    Arc::new(MaskRule { operator: Operator::Redact, label: "masked".into(), by_default: false })
}

/// An expression over a hidden column is masked as a whole: the end of `reverse(card)` is the beginning of the card, and equal
/// hashes of `left(card, 1)` tell which cards begin alike. So is what several queries give (`UNION ALL`), where the caller's own
/// guesses could stand beside, hashed as well.
pub fn whole(rule: Arc<MaskRule>) -> Arc<MaskRule> {
    match rule.operator {
        Operator::Partial(_) | Operator::Date(_) | Operator::Hash => {
            Arc::new(MaskRule { operator: Operator::Redact, label: rule.label.clone(), by_default: false })
        }
        Operator::Redact | Operator::Null | Operator::Fixed(_) => rule,
    }
}
