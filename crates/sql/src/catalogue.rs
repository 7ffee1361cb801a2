//! What is known of a database's schema: the names behind the numbers on the wire, and the columns
//! behind `*`.
use crate::{meaning::SourceColumn, mentions::Mentions};
use ahash::{AHashMap, AHashSet};
use doorward_model::{Name, Resource};
use std::collections::{BTreeMap, BTreeSet};

/// The kind of a relation (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// Table, partitioned or not.
    Table,
    /// View.
    View,
    /// Materialised view.
    MaterialisedView,
    /// Foreign table.
    ForeignTable,
    /// Sequence.
    Sequence,
    /// Index, composite type, toast table.
    Other,
}

impl RelationKind {
    /// Whether it shows what others hold, be it as it was.
    pub const fn is_view(self) -> bool {
        matches!(self, Self::View | Self::MaterialisedView)
    }
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attnum`, from 1.
    pub number: i16,
    /// Its name.
    pub name: Name,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
}

/// A table, view, sequence…
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Its kind.
    pub kind: RelationKind,
    /// Its live columns in order of their numbers.
    pub columns: Vec<Column>,
}

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Volatility {
    /// The same result for the same arguments, for ever.
    Immutable,
    /// The same result within a statement.
    Stable,
    /// Anything.
    Volatile,
}

/// A function, procedure or aggregate; one entry per overload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `pg_proc.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Its volatility.
    pub volatility: Volatility,
    /// Whether a row of a table is all it needs: then `t.f` calls it, if `t` has no column `f`.
    pub of_row: bool,
}

/// An index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: Name,
    /// The columns that it is over; none for an expression.
    pub columns: Vec<Option<Name>>,
    /// Whether no two rows may be alike in them.
    pub is_unique: bool,
}

/// In what order the rows of a table may come, and what tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The columns of the primary key, by their numbers; none where there is none.
    pub key: Vec<i16>,
    /// For each index that can give rows in its order: the columns that it is over, carries, or has conditions on. Number 0
    /// is any column.
    pub indexes: Vec<BTreeSet<i16>>,
    /// Columns in indexes of any kind, or that refer to others (foreign keys): what is set there is looked for, and stored anew,
    /// only where it changes.
    pub indexed: BTreeSet<i16>,
    /// The columns of the index in whose order rows were stored last (`CLUSTER`), as in `indexes`.
    pub stored: BTreeSet<i16>,
}

/// What a stored routine may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anything: it runs texts, or is not known.
    Anything,
    /// These relations at most, by their numbers.
    Relations(BTreeSet<u32>),
}

/// A foreign key by which rows of one table change with those of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// The columns that are referred to.
    pub of: BTreeSet<i16>,
    /// The table that refers.
    pub table: u32,
    /// Its columns that do.
    pub columns: BTreeSet<i16>,
    /// Whether those change where what they refer to does.
    pub on_update: bool,
    /// Whether they change where the row is deleted that they refer to.
    pub on_delete: bool,
    /// Whether their rows are deleted with it.
    pub deletes: bool,
}

/// A snapshot of a database's schema. Immutable: a change is a new snapshot.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    relations: AHashMap<u32, Relation>,
    by_name: AHashMap<(Name, Name), u32>,
    /// Relations of a name, in any schema.
    namesakes: AHashMap<Name, Vec<u32>>,
    functions: AHashMap<u32, Function>,
    function_names: AHashMap<Name, Vec<u32>>,
    /// Tables that inherit from a table or are its partitions (`pg_inherits`), and the other way round.
    children: AHashMap<u32, Vec<u32>>,
    parents: AHashMap<u32, Vec<u32>>,
    /// What the columns of views are made of.
    view_columns: AHashMap<(u32, i16), BTreeSet<SourceColumn>>,
    /// Types of columns, as a text of SQL writes them wherever it stands.
    type_names: AHashMap<(u32, i16), Name>,
    /// Columns that `*` does not show.
    invisible: AHashSet<(u32, i16)>,
    /// Columns that are computed of others.
    generated: AHashSet<(u32, i16)>,
    /// Tables that have no rows of their own.
    partitioned: AHashSet<u32>,
    /// Names of columns as they were made, where they differ from those of [`Column`].
    written_names: AHashMap<(u32, i16), Name>,
    indexes: AHashMap<u32, Vec<Index>>,
    /// What views read, by their numbers.
    view_reads: AHashMap<u32, Reach>,
    policies: AHashMap<u32, Reach>,
    cascades: AHashMap<u32, Vec<Cascade>>,
    changing: AHashSet<(Name, Name)>,
    /// Relations that could not be read, and the views that read them.
    unread: BTreeSet<u32>,
    /// The columns in each `CHECK` of a table, and in what else may refuse a row.
    checks: AHashMap<u32, Vec<BTreeSet<i16>>>,
    /// Tables with triggers, or with foreign keys that cascade from them.
    acting: AHashSet<u32>,
    /// Of tables, those whose foreign keys refer to them.
    referrers: AHashMap<u32, BTreeSet<u32>>,
    /// Of tables, those that their foreign keys refer to, and the index by which rows are found there.
    references: AHashMap<u32, BTreeSet<(u32, Option<Name>)>>,
    /// Routines that views, triggers, events and other routines call, by their names in lower case; none where that is not known.
    called: Option<BTreeSet<Name>>,
    /// Views that sort, group or join.
    sorting: AHashSet<u32>,
    /// Views `WITH CHECK OPTION`.
    checking: AHashSet<u32>,
    reaches: AHashMap<(Name, Name), Reach>,
    view_reaches: AHashMap<u32, Reach>,
    orders: AHashMap<u32, Orders>,
    view_weighs: AHashMap<u32, BTreeSet<SourceColumn>>,
    /// Views of which several queries give the rows.
    mixed: AHashSet<u32>,
    partition_keys: AHashMap<u32, BTreeSet<i16>>,
    mentions: Mentions,
    /// Schemas that hold something of which code that runs over rows names the name.
    named_schemas: AHashSet<Name>,
    /// The functions that run over the rows of a relation, under the search path of the moment.
    codes: AHashMap<u32, Vec<(Name, Name)>>,
    /// The search path that a log-in has by itself.
    own_path: Name,
    /// Tags that the database carries itself, by local identifier.
    tags: BTreeMap<String, BTreeSet<String>>,
    /// The relations that have some, or whose columns do.
    tagged: AHashSet<u32>,
    /// Counts snapshots, so that facts read under an older one are not used under a newer one.
    generation: u64,
}

impl Catalogue {
    /// A snapshot with these relations and functions.
    pub fn new(
        generation: u64,
        relations: impl IntoIterator<Item = Relation>,
        functions: impl IntoIterator<Item = Function>,
    ) -> Self {
        let mut out = Self { generation, ..Self::default() };
        for r in relations {
            out.by_name.insert((r.schema.clone(), r.name.clone()), r.oid);
            out.namesakes.entry(r.name.clone()).or_default().push(r.oid);
            out.relations.insert(r.oid, r);
        }
        for f in functions {
            out.function_names.entry(f.name.clone()).or_default().push(f.oid);
            out.functions.insert(f.oid, f);
        }
        out
    }

    /// The same snapshot, knowing which tables are partitions of others or inherit from them: pairs of the
    /// child's number and the parent's. Those of unknown relations are left out.
    #[must_use]
    pub fn with_inheritance(mut self, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        for (child, parent) in pairs {
            if self.relations.contains_key(&child) && self.relations.contains_key(&parent) {
                self.children.entry(parent).or_default().push(child);
                self.parents.entry(child).or_default().push(parent);
            }
        }
        self
    }

    /// The tables whose rows a table's rows are too: what it is a partition of or inherits from, all the way up.
    pub fn ancestors(&self, relation: u32) -> Vec<&Relation> {
        self.reached(relation, &self.parents)
    }

    /// The tables whose rows show when a table is read: its partitions and what inherits from it, all the way
    /// down, and what those inherit from besides.
    pub fn shows(&self, relation: u32) -> Vec<&Relation> {
        if !self.children.contains_key(&relation) {
            return Vec::new();
        }
        let mut seen: AHashSet<u32> = self.ancestors(relation).iter().map(|r| r.oid).collect();
        seen.insert(relation);
        let mut out = Vec::new();
        for below in self.reached(relation, &self.children) {
            if seen.insert(below.oid) {
                out.push(below);
            }
            out.extend(self.reached(below.oid, &self.parents).into_iter().filter(|r| seen.insert(r.oid)));
        }
        out
    }

    /// All that is reached from a relation over these edges, itself left out. A hostile server may tell of circles.
    fn reached(&self, from: u32, edges: &AHashMap<u32, Vec<u32>>) -> Vec<&Relation> {
        let mut seen: AHashSet<u32> = AHashSet::from([from]);
        let mut todo = vec![from];
        let mut out = Vec::new();
        while let Some(at) = todo.pop() {
            for next in edges.get(&at).into_iter().flatten() {
                if seen.insert(*next) {
                    todo.push(*next);
                    out.extend(self.relations.get(next));
                }
            }
        }
        out
    }

    /// The same snapshot, knowing what the columns of views are made of.
    #[must_use]
    pub fn with_view_columns(
        mut self,
        columns: impl IntoIterator<Item = ((u32, i16), BTreeSet<SourceColumn>)>,
    ) -> Self {
        self.view_columns.extend(columns);
        self
    }

    /// The same snapshot, knowing how the types of columns are written (`pg_catalog.format_type` under a search path of
    /// `pg_catalog`).
    #[must_use]
    pub fn with_type_names(mut self, names: impl IntoIterator<Item = ((u32, i16), Name)>) -> Self {
        self.type_names.extend(names);
        self
    }

    /// How a column's type is written, with its modifier.
    pub fn type_name(&self, relation: u32, column: i16) -> Option<&Name> {
        self.type_names.get(&(relation, column))
    }

    /// The same snapshot, knowing which columns are generated: numbers of relation and column.
    #[must_use]
    pub fn with_generated(mut self, columns: impl IntoIterator<Item = (u32, i16)>) -> Self {
        self.generated.extend(columns);
        self
    }

    /// Whether a column is computed of others.
    pub fn is_generated(&self, relation: u32, column: i16) -> bool {
        self.generated.contains(&(relation, column))
    }

    /// The same snapshot, knowing which tables are partitioned, by their numbers.
    #[must_use]
    pub fn with_partitioned(mut self, tables: impl IntoIterator<Item = u32>) -> Self {
        self.partitioned.extend(tables);
        self
    }

    /// Whether a table has its rows in partitions.
    pub fn is_partitioned(&self, relation: u32) -> bool {
        self.partitioned.contains(&relation)
    }

    /// The same snapshot, knowing which columns `*` does not show: numbers of relation and column.
    #[must_use]
    pub fn with_invisible(mut self, columns: impl IntoIterator<Item = (u32, i16)>) -> Self {
        self.invisible.extend(columns);
        self
    }

    /// The same snapshot, knowing names of columns as they were made, by numbers of relation and column.
    #[must_use]
    pub fn with_written_names(mut self, names: impl IntoIterator<Item = ((u32, i16), Name)>) -> Self {
        self.written_names.extend(names);
        self
    }

    /// The name of a column as it was made, where that is not its name in [`Column`].
    pub fn written_name(&self, relation: u32, column: i16) -> Option<&Name> {
        self.written_names.get(&(relation, column))
    }

    /// The same snapshot, knowing which relations are named in the definitions of views.
    #[must_use]
    pub fn with_view_reads(mut self, reads: impl IntoIterator<Item = (u32, Reach)>) -> Self {
        self.view_reads.extend(reads);
        self
    }

    /// What a view reads, other views and what they read among it; whatever is not known of one that is reached is
    /// [`Reach::Anything`]. Of a table, nothing.
    pub fn view_reads(&self, view: u32) -> Reach {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![view]);
        while let Some(at) = todo.pop() {
            let is_view = self.relations.get(&at).is_some_and(|r| r.kind == RelationKind::View);
            match self.view_reads.get(&at) {
                Some(Reach::Relations(named)) => todo.extend(named.iter().filter(|next| seen.insert(**next))),
                Some(Reach::Anything) => return Reach::Anything,
                None if is_view => return Reach::Anything,
                None => {}
            }
        }
        Reach::Relations(seen)
    }

    /// The same snapshot, knowing what policies of tables read besides their own table.
    #[must_use]
    pub fn with_policies(mut self, policies: impl IntoIterator<Item = (u32, Reach)>) -> Self {
        self.policies.extend(policies);
        self
    }

    /// What the policies of a table read besides itself, if they do.
    pub fn policies(&self, table: u32) -> Option<&Reach> {
        self.policies.get(&table)
    }

    /// The same snapshot, knowing by which foreign keys rows of others change with those of a table.
    #[must_use]
    pub fn with_cascades(mut self, cascades: impl IntoIterator<Item = (u32, Cascade)>) -> Self {
        for (table, cascade) in cascades {
            self.cascades.entry(table).or_default().push(cascade);
        }
        self
    }

    /// The foreign keys by which rows of other tables change with those of a table.
    pub fn cascades(&self, table: u32) -> &[Cascade] {
        self.cascades.get(&table).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same snapshot, knowing which functions change rows, or call such.
    #[must_use]
    pub fn with_changing(mut self, functions: impl IntoIterator<Item = (Name, Name)>) -> Self {
        self.changing.extend(functions);
        self
    }

    /// Whether a function changes rows, or calls one that does; so does one of which nothing is known.
    pub fn changes_rows(&self, schema: &Name, name: &Name) -> bool {
        self.reach(schema, name).is_none() || self.changing.contains(&(schema.clone(), name.clone()))
    }

    /// The same snapshot, knowing which relations it does not know, since they were locked: definitions of views, columns of tables.
    #[must_use]
    pub fn with_unread(mut self, relations: impl IntoIterator<Item = u32>) -> Self {
        self.unread.extend(relations);
        self
    }

    /// Whether there is a table of which the columns are not known: then nobody knows whether any of them is hidden.
    pub fn lacks_columns(&self) -> bool {
        let mut tables = self.unread.iter().filter_map(|oid| self.relations.get(oid));
        tables.any(|r| r.columns.is_empty() && r.kind == RelationKind::Table)
    }

    /// Whether a relation could not be read, or one that it reads: of what it is made is not known, and may change at any moment.
    pub fn is_unread(&self, relation: u32) -> bool {
        self.unread.contains(&relation)
    }

    /// The same snapshot, knowing which views sort, group or join, by their numbers.
    #[must_use]
    pub fn with_sorting(mut self, views: impl IntoIterator<Item = u32>) -> Self {
        self.sorting.extend(views);
        self
    }

    /// Whether a view may give its rows in an order that it makes of their values.
    pub fn sorts(&self, view: u32) -> bool {
        self.sorting.contains(&view)
    }

    /// The same snapshot, knowing the views `WITH CHECK OPTION`, by their numbers.
    #[must_use]
    pub fn with_checking(mut self, views: impl IntoIterator<Item = u32>) -> Self {
        self.checking.extend(views);
        self
    }

    /// Whether a view refuses rows that it would not show (`WITH CHECK OPTION`).
    pub fn is_checking(&self, view: u32) -> bool {
        self.checking.contains(&view)
    }

    /// The same snapshot, knowing the tables of which a change has others changed, by their numbers.
    #[must_use]
    pub fn with_acting(mut self, tables: impl IntoIterator<Item = u32>) -> Self {
        self.acting.extend(tables);
        self
    }

    /// The same snapshot, knowing of tables those whose foreign keys refer to them, by their numbers.
    #[must_use]
    pub fn with_referrers(mut self, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        for (table, referrer) in pairs {
            self.referrers.entry(table).or_default().insert(referrer);
        }
        self
    }

    /// The same snapshot, knowing which routines views, triggers, events and other routines call, by their names in lower case; none
    /// where some of these cannot be read.
    #[must_use]
    pub fn with_called(mut self, names: Option<BTreeSet<Name>>) -> Self {
        self.called = names;
        self
    }

    /// Whether a routine of this name may be called by a view, a trigger, an event or another routine. MySQL and MariaDB alone, which
    /// compare these names without case and accents.
    pub fn may_be_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.called
            .as_ref()
            .is_none_or(|called| !name.is_ascii() || called.iter().any(|c| **c == *name || !c.is_ascii()))
    }

    /// The indexes in the order of which the rows of a table may be kept: its primary key, or any other that is unique where it
    /// has none. MySQL and MariaDB alone.
    pub fn keeps_rows(&self, table: u32) -> impl Iterator<Item = &Index> {
        let all = self.indexes(table);
        let has_key = all.iter().any(|index| &*index.name == "PRIMARY");
        all.iter().filter(move |index| if has_key { &*index.name == "PRIMARY" } else { index.is_unique })
    }

    /// The same snapshot, knowing to which tables foreign keys of a table refer, by their numbers, and by which unique index.
    #[must_use]
    pub fn with_references(mut self, pairs: impl IntoIterator<Item = (u32, (u32, Option<Name>))>) -> Self {
        for (table, referred) in pairs {
            self.references.entry(table).or_default().insert(referred);
        }
        self
    }

    /// To which tables foreign keys of a table refer, and by which index rows are looked for there; none where that is not known.
    /// MySQL and MariaDB alone.
    pub fn references(&self, table: u32) -> impl Iterator<Item = &(u32, Option<Name>)> {
        self.references.get(&table).into_iter().flatten()
    }

    /// The tables whose foreign keys refer to a table, also by way of others. MySQL and MariaDB alone.
    pub fn referrers(&self, table: u32) -> BTreeSet<u32> {
        let (mut out, mut todo) = (BTreeSet::new(), vec![table]);
        while let Some(next) = todo.pop() {
            todo.extend(self.referrers.get(&next).into_iter().flatten().filter(|referrer| out.insert(**referrer)));
        }
        out
    }

    /// Whether a change of a table has others changed: by triggers, or foreign keys that cascade.
    pub fn acts(&self, table: u32) -> bool {
        self.acting.contains(&table)
    }

    /// The same snapshot, knowing the columns that each constraint of a table compares, by their numbers; of computed columns and
    /// partitions as well, which may have no room for what is made of them.
    #[must_use]
    pub fn with_checks(mut self, checks: impl IntoIterator<Item = (u32, BTreeSet<i16>)>) -> Self {
        for (table, columns) in checks {
            self.checks.entry(table).or_default().push(columns);
        }
        self
    }

    /// The columns that each constraint of a table compares.
    pub fn checks(&self, table: u32) -> &[BTreeSet<i16>] {
        self.checks.get(&table).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same snapshot, knowing the indexes of tables.
    #[must_use]
    pub fn with_indexes(mut self, indexes: impl IntoIterator<Item = (u32, Vec<Index>)>) -> Self {
        self.indexes.extend(indexes);
        self
    }

    /// The indexes of a table.
    pub fn indexes(&self, relation: u32) -> &[Index] {
        self.indexes.get(&relation).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same snapshot, knowing what stored routines may read, by schema and name.
    #[must_use]
    pub fn with_reaches(mut self, reaches: impl IntoIterator<Item = ((Name, Name), Reach)>) -> Self {
        self.reaches.extend(reaches);
        self
    }

    /// What a stored routine may read. None: there is no such routine, or nothing is known of any.
    pub fn reach(&self, schema: &Name, name: &Name) -> Option<&Reach> {
        self.reaches.get(&(schema.clone(), name.clone()))
    }

    /// The same snapshot, knowing what functions that views call may read, and what else of the server's own they show.
    #[must_use]
    pub fn with_view_reaches(mut self, reaches: impl IntoIterator<Item = (u32, Reach)>) -> Self {
        self.view_reaches.extend(reaches);
        self
    }

    /// What a view shows besides the columns that it is made of. None: nothing.
    pub fn view_reach(&self, relation: u32) -> Option<&Reach> {
        self.view_reaches.get(&relation)
    }

    /// The same snapshot, knowing by which columns the queries of views decide, sort, join and group.
    #[must_use]
    pub fn with_view_weighs(mut self, weighs: impl IntoIterator<Item = (u32, BTreeSet<SourceColumn>)>) -> Self {
        self.view_weighs.extend(weighs);
        self
    }

    /// The same snapshot, knowing the views of which several queries may give the rows ([`may_mix_rows`]).
    #[must_use]
    pub fn with_mixed(mut self, views: impl IntoIterator<Item = u32>) -> Self {
        self.mixed.extend(views);
        self
    }

    /// Whether several queries may give the rows of a view.
    pub fn is_mixed(&self, view: u32) -> bool {
        self.mixed.contains(&view)
    }

    /// The columns by which the query of a view decides, sorts, joins and groups; not those of views that it reads. None: it is no
    /// view, or its query is not understood.
    pub fn view_weighs(&self, view: u32) -> Option<&BTreeSet<SourceColumn>> {
        self.view_weighs.get(&view)
    }

    /// The same snapshot, knowing by which columns tables are partitioned, by their numbers; 0 for an expression.
    #[must_use]
    pub fn with_partition_keys(mut self, keys: impl IntoIterator<Item = (u32, BTreeSet<i16>)>) -> Self {
        self.partition_keys.extend(keys);
        self
    }

    /// All tables that are partitioned by something.
    pub fn partitioned_by_key(&self) -> impl Iterator<Item = u32> {
        self.partition_keys.keys().copied()
    }

    /// The columns that decide in which partition a row of a table is: all of them, where an expression does.
    pub fn partition_key(&self, relation: u32) -> Vec<i16> {
        let Some(key) = self.partition_keys.get(&relation) else { return Vec::new() };
        if key.contains(&0) {
            return self.relations.get(&relation).into_iter().flat_map(|r| &r.columns).map(|c| c.number).collect();
        }
        key.iter().copied().collect()
    }

    /// The same snapshot, knowing in what order rows of tables may come.
    #[must_use]
    pub fn with_orders(mut self, orders: impl IntoIterator<Item = (u32, Orders)>) -> Self {
        self.orders.extend(orders);
        self
    }

    /// In what order the rows of a table may come. None: in that in which they are stored.
    pub fn orders(&self, relation: u32) -> Option<&Orders> {
        self.orders.get(&relation)
    }

    /// All tables with indexes that can give rows in their order.
    pub fn ordered(&self) -> impl Iterator<Item = (u32, &Orders)> {
        self.orders.iter().map(|(oid, orders)| (*oid, orders))
    }

    /// The same snapshot, knowing what the bodies of functions name.
    #[must_use]
    pub fn with_mentions(mut self, mentions: Mentions) -> Self {
        let named = self.relations.values().map(|r| (&r.schema, &r.name));
        let named = named.chain(self.functions.values().map(|f| (&f.schema, &f.name)));
        self.named_schemas = named.filter(|(_, name)| mentions.runs(name)).map(|(schema, _)| schema.clone()).collect();
        self.mentions = mentions;
        self
    }

    /// Whether a schema holds something that code which runs over rows may name.
    pub fn holds_what_code_names(&self, schema: &Name) -> bool {
        self.named_schemas.contains(schema)
    }

    /// The same snapshot, knowing which functions run over the rows of relations (triggers, constraints, defaults, indexes,
    /// policies, rules, views) and find names by the search path of the moment: the relation's number, and schema and name.
    #[must_use]
    pub fn with_codes(mut self, codes: impl IntoIterator<Item = (u32, (Name, Name))>) -> Self {
        for (relation, function) in codes {
            self.codes.entry(relation).or_default().push(function);
        }
        self
    }

    /// The functions that run over the rows of a relation.
    pub fn codes(&self, relation: u32) -> &[(Name, Name)] {
        self.codes.get(&relation).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same snapshot, knowing the search path that a log-in has by itself.
    #[must_use]
    pub fn with_own_path(mut self, path: &str) -> Self {
        self.own_path = path.into();
        self
    }

    /// The search path that a log-in has by itself, as it is set.
    pub const fn own_path(&self) -> &Name {
        &self.own_path
    }

    /// What the bodies of functions name.
    pub const fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// The same snapshot, knowing tags that the database carries itself: of a relation (number 0) and its columns.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = ((u32, i16), BTreeSet<String>)>) -> Self {
        for ((oid, number), tags) in tags {
            let Some(relation) = self.relations.get(&oid).filter(|_| !tags.is_empty()) else { continue };
            let (schema, table) = (relation.schema.clone(), relation.name.clone());
            let resource = if number == 0 {
                Resource::Table { schema, name: table }
            } else {
                let Some(column) = relation.columns.iter().find(|c| c.number == number) else { continue };
                Resource::Column { schema, table, name: column.name.clone() }
            };
            self.tags.entry(resource.local_id()).or_default().extend(tags);
            self.tagged.insert(oid);
        }
        self
    }

    /// Tags that the database carries itself, by local identifier as in [`doorward_model::ConnectionInfo::tags`].
    pub const fn tags(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.tags
    }

    /// Whether a relation or a column of it has such tags.
    pub fn is_tagged(&self, relation: u32) -> bool {
        self.tagged.contains(&relation)
    }

    /// Whether `*` leaves a column out.
    pub fn is_invisible(&self, relation: u32, column: i16) -> bool {
        self.invisible.contains(&(relation, column))
    }

    /// The columns of other relations, or of the same, that a column of a view or a generated one is made of.
    pub fn view_column(&self, relation: u32, column: i16) -> Option<&BTreeSet<SourceColumn>> {
        self.view_columns.get(&(relation, column))
    }

    /// Which snapshot this is.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// A relation by its number.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// A relation by its qualified name.
    pub fn named(&self, schema: &str, name: &str) -> Option<&Relation> {
        // Names are reference-counted; a borrowed pair cannot be a key of this map without one.
        let key = (Name::from(schema), Name::from(name));
        self.by_name.get(&key).and_then(|oid| self.relations.get(oid))
    }

    /// All relations of a name, in any schema.
    pub fn relations_named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Relation> + use<'a> {
        let oids = self.namesakes.get(name).map(Vec::as_slice).unwrap_or_default();
        oids.iter().filter_map(|oid| self.relations.get(oid))
    }

    /// A function by its number.
    pub fn function(&self, oid: u32) -> Option<&Function> {
        self.functions.get(&oid)
    }

    /// All functions.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// All functions of a name, in any schema.
    pub fn functions_named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Function> + use<'a> {
        let oids = self.function_names.get(name).map(Vec::as_slice).unwrap_or_default();
        oids.iter().filter_map(|oid| self.functions.get(oid))
    }

    /// All relations.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }
}

/// Whether a query may be one of several that give rows together, by the words in its text: whatever they stand for, in doubt it is.
pub fn may_mix_rows(query: &str) -> bool {
    let mut words = query.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| ["union", "except", "intersect", "minus"].iter().any(|set| word.eq_ignore_ascii_case(set)))
}
