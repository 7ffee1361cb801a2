//! What a change of data answers by failing, by waiting, or by what it counts: constraints, computed columns and partitions compare what is
//! written with what is there, unique indexes with what was.
use super::Session;
use doorward_enforce::Refusal;
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{Catalogue, Column, Reach, Relation, RelationKind, SourceColumn};
use doorward_sql_session::{Asking, Meaning, Part, refusals::weighs};
use std::{collections::BTreeSet, sync::Arc};

/// A comparison of columns that a change makes, and what makes it.
struct Compared<'c> {
    relation: &'c Relation,
    columns: Vec<&'c Column>,
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
            if access.action == Action::Update {
                let written = written(part, schema, name);
                self.checks_nothing_hidden(part, &catalogue, (table, &written), now)?;
                self.guesses_nothing_hidden(part, &catalogue, (table, &written), now)?;
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

    /// A `CHECK`, a computed column or a partition fails, or does not, as a hidden column beside the one that is written says.
    fn checks_nothing_hidden(
        &mut self,
        part: &Part,
        catalogue: &Catalogue,
        (table, written): (&Relation, &BTreeSet<&Name>),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is_view = table.kind == RelationKind::View;
        // A row that goes to another partition is checked there as if it were new.
        let moves = behind(catalogue, table).into_iter().any(|relation| {
            let keys = catalogue.partition_key(relation.oid);
            let mut keys = relation.columns.iter().filter(|column| keys.contains(&column.number));
            keys.any(|column| is_view || written.contains(&column.name))
        });
        for Compared { relation, columns } in compared(catalogue, table) {
            let is_written = |column: &&Column| written.contains(&column.name);
            // All that is compared is given.
            if &*part.command == "UPDATE" && part.writes.times == 1 && !is_view && columns.iter().all(is_written) {
                continue;
            }
            for column in &columns {
                let mut others = columns.iter().filter(|other| other.number != column.number);
                if moves || others.any(|other| is_view || is_written(other)) {
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
        (table, written): (&Relation, &BTreeSet<&Name>),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        for relation in behind(catalogue, table) {
            let Some(orders) = catalogue.orders(relation.oid) else { continue };
            // Which column of a view is which is not looked for.
            let is_of = |source: &SourceColumn| source.column.as_ref().is_none_or(|name| written.contains(name));
            let is_made_of = |column: &Column| {
                catalogue.view_column(relation.oid, column.number).is_some_and(|sources| sources.iter().any(is_of))
            };
            let is_written =
                |column: &&Column| written.contains(&column.name) || relation.kind != table.kind || is_made_of(column);
            let indexed = relation.columns.iter().filter(|column| orders.indexed.contains(&column.number));
            for column in indexed.filter(is_written) {
                self.is_seen(part, (relation, column), "an index or a foreign key, which answers a guess,", now)?;
            }
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
fn written<'p>(part: &'p Part, schema: &Name, table: &Name) -> BTreeSet<&'p Name> {
    let of = part.writes.sets.iter().filter(|source| source.schema == *schema && source.table == *table);
    of.filter_map(|source| source.column.as_ref()).collect()
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

fn compared<'c>(catalogue: &'c Catalogue, table: &'c Relation) -> Vec<Compared<'c>> {
    let of = |relation: &'c Relation| {
        catalogue.checks(relation.oid).iter().map(move |check| {
            let is_in = |column: &&Column| check.contains(&column.number) || check.contains(&0);
            Compared { relation, columns: relation.columns.iter().filter(is_in).collect() }
        })
    };
    behind(catalogue, table).into_iter().flat_map(of).collect()
}

/// Whether a text calls what may remember that it was called.
pub(super) fn counts(meaning: &Meaning) -> bool {
    let calls =
        |access: &Access| matches!((access.action, &access.resource), (Action::Call, Resource::Function { .. }));
    meaning.facts.accesses.iter().any(calls)
}
