//! What a change of data answers by failing, by waiting, or by what it counts: constraints, computed columns and partitions compare what is
//! written with what is there, unique indexes with what was.
use super::{Session, tells::refused};
use doorward_enforce::Refusal;
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{Cascade, Catalogue, Column, Reach, Relation, RelationKind, SourceColumn};
use doorward_sql_session::{Asking, Meaning, Part, refusals::weighs};
use std::{collections::BTreeSet, sync::Arc};

/// A comparison of columns that a change makes.
struct Compared<'c> {
    columns: Vec<&'c Column>,
    /// Whether it may come out otherwise than when the row was stored, whatever is written.
    is_anew: bool,
}

/// A table of which rows change, and what is written there.
struct Changed<'c> {
    relation: &'c Relation,
    /// None: it may be any column.
    written: Option<BTreeSet<Name>>,
    /// Whether it is what the text names.
    is_named: bool,
}

impl Changed<'_> {
    fn gives(&self, column: &Column) -> bool {
        self.written.as_ref().is_none_or(|written| written.contains(&column.name))
    }

    /// Whether a column is computed of one that is written.
    fn computes(&self, catalogue: &Catalogue, column: &Column) -> bool {
        let is_of = |source: &SourceColumn| match (&self.written, &source.column) {
            (Some(written), Some(name)) => written.contains(name),
            (None, _) | (_, None) => true,
        };
        let made_of = catalogue.view_column(self.relation.oid, column.number);
        made_of.is_some_and(|sources| sources.iter().any(is_of))
    }

    fn writes(&self, catalogue: &Catalogue, column: &Column) -> bool {
        self.gives(column) || self.computes(catalogue, column)
    }
}

impl Session {
    /// Refuses changes of which the success, the counts or the locks would tell of hidden columns.
    pub(super) fn compares_nothing_hidden(
        &mut self,
        part: &Part,
        meaning: &Meaning,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        for access in &meaning.facts.accesses {
            let Resource::Table { schema, name } = &access.resource else { continue };
            let Some(table) = catalogue.named(schema, name) else { continue };
            if matches!(access.action, Action::Insert | Action::Update) {
                self.keeps_nothing_hidden_out(part, &catalogue, table, now)?;
            }
            if matches!(access.action, Action::Insert | Action::Update) {
                self.lets_nothing_hidden_decide(part, &catalogue, table, now)?;
            }
            if matches!(access.action, Action::Update | Action::Delete) {
                for changed in changed(&catalogue, table, access.action, written(part, schema, name)) {
                    self.checks_nothing_hidden(part, &catalogue, &changed, now)?;
                    self.guesses_nothing_hidden(part, &catalogue, &changed, now)?;
                }
            }
            if matches!(access.action, Action::Update | Action::Delete) && counts(meaning) {
                self.counts_in_no_order(part, &catalogue, table, now)?;
            }
        }
        Ok(())
    }

    /// A view that refuses rows which it would not show answers whatever is written through it.
    fn keeps_nothing_hidden_out(
        &mut self,
        part: &Part,
        catalogue: &Catalogue,
        table: &Relation,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if table.kind != RelationKind::View {
            return Ok(());
        }
        let mut views = vec![table.oid];
        if let Reach::Relations(reads) = catalogue.view_reads(table.oid) {
            views.extend(reads);
        }
        if !views.iter().any(|oid| catalogue.is_checking(*oid)) {
            return Ok(());
        }
        for source in views.iter().filter_map(|oid| catalogue.view_weighs(*oid)).flatten() {
            let asking = &mut Asking { enforcer: &mut self.enforcer, now };
            if self.reveals.source(source, asking).is_some() && !self.reveals.may_filter(source, asking) {
                return Err(weighs(&part.command, source, Some("a view WITH CHECK OPTION that decides by it")));
            }
        }
        Ok(())
    }

    /// A policy that reads other tables lets rows in, or does not, as those say.
    fn lets_nothing_hidden_decide(
        &mut self,
        part: &Part,
        catalogue: &Catalogue,
        table: &Relation,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        for relation in behind(catalogue, table) {
            let Some(reach) = catalogue.policies(relation.oid) else { continue };
            let (schema, name) = (relation.schema.clone(), relation.name.clone());
            if self.reach_is_hidden(reach, now) && !self.may_bypass(&Resource::Table { schema, name }, now) {
                let why = format!(
                    "a policy of `{}.{}` decides by columns that you may not see",
                    relation.schema, relation.name
                );
                return Err(refused(&part.command, &why));
            }
        }
        Ok(())
    }

    /// A `CHECK`, a computed column or a partition fails, or does not, as a hidden column beside the one that is written says.
    fn checks_nothing_hidden(
        &mut self,
        part: &Part,
        catalogue: &Catalogue,
        changed: &Changed<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let relation = changed.relation;
        // A row that goes to another partition is checked there as if it were new.
        let is_key = |column: &&Column| {
            let above = catalogue.ancestors(relation.oid).into_iter().chain([relation]);
            let mut keys = above.flat_map(|r| {
                let key = catalogue.partition_key(r.oid);
                r.columns.iter().filter(move |column| key.contains(&column.number))
            });
            keys.any(|key| key.name == column.name)
        };
        let moves = relation.columns.iter().filter(is_key).any(|column| changed.writes(catalogue, column));
        for Compared { columns, is_anew } in compared(catalogue, relation) {
            // All that is compared is given.
            let is_given = changed.is_named && &*part.command == "UPDATE" && part.writes.times == 1;
            if is_given && columns.iter().all(|column| changed.gives(column)) {
                continue;
            }
            for column in &columns {
                let mut others = columns.iter().filter(|other| other.number != column.number);
                let is_tried = moves
                    || is_anew
                    || changed.computes(catalogue, column)
                    || others.any(|other| changed.writes(catalogue, other));
                if is_tried {
                    self.is_seen(part, (relation, column), "a constraint or column that compares it", now)?;
                }
            }
        }
        Ok(())
    }

    /// A row whose value under an index stays is stored, and under a unique one locked and counted, otherwise than one whose value
    /// changes ("Heap-Only Tuples"): where it is then shows by the order of rows.
    fn guesses_nothing_hidden(
        &mut self,
        part: &Part,
        catalogue: &Catalogue,
        changed: &Changed<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let relation = changed.relation;
        let Some(orders) = catalogue.orders(relation.oid) else { return Ok(()) };
        let indexed = relation.columns.iter().filter(|column| orders.indexed.contains(&column.number));
        for column in indexed.filter(|column| changed.writes(catalogue, column)) {
            self.is_seen(part, (relation, column), "an index or a foreign key, which answers a guess,", now)?;
        }
        Ok(())
    }

    /// Sequences and functions of users remember in what order rows were come upon.
    fn counts_in_no_order(
        &mut self,
        part: &Part,
        catalogue: &Catalogue,
        table: &Relation,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        for relation in behind(catalogue, table) {
            if self.table_tells(catalogue, relation.oid, now) {
                let rows = "a sequence or a function would keep";
                return Err(super::order::in_order(&part.command, relation, rows));
            }
        }
        Ok(())
    }

    fn is_seen(
        &mut self,
        part: &Part,
        (relation, column): (&Relation, &Column),
        what: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (schema, table) = (relation.schema.clone(), relation.name.clone());
        let source = SourceColumn { schema, table, column: Some(column.name.clone()) };
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let is_hidden = self.reveals.column(relation.oid, column.number, asking).is_some();
        if is_hidden && !self.reveals.may_filter(&source, asking) {
            return Err(weighs(&part.command, &source, Some(what)));
        }
        Ok(())
    }
}

/// The columns that a statement sets in rows that are there, by their names.
fn written(part: &Part, schema: &Name, table: &Name) -> BTreeSet<Name> {
    let of = part.writes.sets.iter().filter(|source| source.schema == *schema && source.table == *table);
    of.filter_map(|source| source.column.clone()).collect()
}

/// The tables of which rows change with those of a table or view, by what it is over, by those that inherit, and by foreign keys.
fn changed<'c>(
    catalogue: &'c Catalogue,
    table: &'c Relation,
    action: Action,
    written: BTreeSet<Name>,
) -> Vec<Changed<'c>> {
    // Which column of a view is which is not looked for.
    let known = (table.kind != RelationKind::View).then_some(written);
    let (mut out, mut deleted) = (Vec::new(), Vec::new());
    for relation in behind(catalogue, table) {
        if action == Action::Delete {
            deleted.push(relation.oid);
        } else {
            out.push(Changed { relation, written: known.clone(), is_named: known.is_some() });
        }
    }
    // What rules do.
    if let Reach::Relations(reads) = catalogue.view_reads(table.oid)
        && table.kind != RelationKind::View
    {
        let named = reads.into_iter().filter_map(|oid| catalogue.relation(oid));
        out.extend(named.map(|relation| Changed { relation, written: None, is_named: false }));
    }
    cascade(catalogue, &mut out, deleted);
    out
}

/// Adds what foreign keys have changed with rows that are changed or deleted.
fn cascade<'c>(catalogue: &'c Catalogue, out: &mut Vec<Changed<'c>>, mut deleted: Vec<u32>) {
    // One table may refer to another by several keys.
    let mut seen: BTreeSet<(u32, u32, &BTreeSet<i16>, bool)> = BTreeSet::new();
    let (mut done, mut gone) = (0, 0);
    loop {
        let referring: Vec<(u32, &Cascade, bool)> = if let Some(of) = deleted.get(gone) {
            gone += 1;
            let all = catalogue.cascades(*of).iter().filter(|c| c.on_delete || c.deletes);
            all.map(|c| (*of, c, c.deletes)).collect()
        } else if let Some(changed) = out.get(done) {
            done += 1;
            let sets = |c: &&Cascade| {
                let mut of = changed.relation.columns.iter().filter(|column| c.of.contains(&column.number));
                c.on_update && of.any(|column| changed.gives(column))
            };
            let all = catalogue.cascades(changed.relation.oid).iter().filter(sets);
            all.map(|c| (changed.relation.oid, c, false)).collect()
        } else {
            return;
        };
        for (of, cascade, deletes) in referring {
            let is_new = |table: &&Relation| seen.insert((of, table.oid, &cascade.columns, deletes));
            let Some(table) = catalogue.relation(cascade.table).filter(is_new) else { continue };
            let columns = table.columns.iter().filter(|column| cascade.columns.contains(&column.number));
            let written: BTreeSet<Name> = columns.map(|column| column.name.clone()).collect();
            for relation in behind(catalogue, table) {
                if deletes {
                    deleted.push(relation.oid);
                } else {
                    out.push(Changed { relation, written: Some(written.clone()), is_named: false });
                }
            }
        }
    }
}

/// The tables whose rows change with those of a table or view.
fn behind<'c>(catalogue: &'c Catalogue, table: &'c Relation) -> Vec<&'c Relation> {
    let with_parts = |table: &'c Relation| {
        let below = catalogue.shows(table.oid).into_iter().filter(|r| r.kind != RelationKind::View);
        std::iter::once(table).chain(below)
    };
    if table.kind != RelationKind::View {
        return with_parts(table).collect();
    }
    match catalogue.view_reads(table.oid) {
        Reach::Relations(reads) => {
            reads.iter().filter_map(|oid| catalogue.relation(*oid)).flat_map(with_parts).collect()
        }
        Reach::Anything => Vec::new(),
    }
}

fn compared<'c>(catalogue: &'c Catalogue, relation: &'c Relation) -> impl Iterator<Item = Compared<'c>> {
    catalogue.checks(relation.oid).iter().map(move |check| {
        let is_in = |column: &&Column| check.contains(&column.number) || check.contains(&0);
        Compared { columns: relation.columns.iter().filter(is_in).collect(), is_anew: check.contains(&-1) }
    })
}

/// Whether a text calls what may remember that it was called.
pub(super) fn counts(meaning: &Meaning) -> bool {
    let calls =
        |access: &Access| matches!((access.action, &access.resource), (Action::Call, Resource::Function { .. }));
    meaning.facts.accesses.iter().any(calls)
}
