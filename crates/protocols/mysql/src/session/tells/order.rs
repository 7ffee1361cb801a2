//! Rows that are found in the order of hidden columns, by statements that are sent as they are.
use super::{super::Session, refused};
use doorward_enforce::Refusal;
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{Catalogue, Column, Index, Reach, Relation, RelationKind, SourceColumn};
use doorward_sql_session::{Asking, Meaning, Part};
use std::sync::Arc;

impl Session {
    /// Which rows a LIMIT leaves as they are tells of the order in which they were found: by an index over hidden columns it is
    /// theirs. Sorted by all of the primary key there is one order.
    pub(super) fn changes_no_first_rows(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        for limited in &part.reads.limited {
            let Some(table) = catalogue.named(&limited.schema, &limited.table) else { continue };
            for relation in behind(&catalogue, table) {
                let is_sorted = relation.oid == table.oid
                    && is_in_one_order(&catalogue, relation, |name| {
                        limited.by.iter().any(|by| by.eq_ignore_ascii_case(name))
                    });
                if !is_sorted && self.comes_in_hidden_order(&catalogue, relation, now) {
                    let name = format!("{}.{}", limited.schema, limited.table);
                    let why =
                        format!("which rows of `{name}` its LIMIT reaches may depend on columns that you may not see");
                    let mut refusal = refused(&part.command, &why);
                    refusal.hint = Some("leave LIMIT out, or have it sorted by the primary key (ORDER BY)".into());
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// An index that is asked for by its name gives rows in its order. What is written anew has no hint that matters.
    pub(super) fn reads_no_hidden_index(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        if part.reads.obstacle.is_none() || part.reads.hinted.is_empty() || !self.hides_anything(now) {
            return Ok(());
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        for relation in catalogue.relations().filter(|r| r.kind == RelationKind::Table) {
            let indexes = catalogue.indexes(relation.oid);
            let is_there = |name: &Name| indexes.iter().any(|index| index.name.to_lowercase() == **name);
            for index in indexes {
                let name = index.name.to_lowercase();
                let is_it = |asked: &Name| name == **asked || (name.starts_with(&**asked) && !is_there(asked));
                let is_asked = part.reads.hinted.iter().any(is_it);
                if is_asked && self.is_over_hidden(relation, index, now) {
                    let why =
                        format!("the index `{}` has rows in the order of columns that you may not see", index.name);
                    return Err(refused(&part.command, &why));
                }
            }
        }
        Ok(())
    }

    /// Which row is there already is found by unique indexes, and what is deleted by any: by the row, or by what is locked, a hidden
    /// value would be told.
    pub(in super::super) fn finds_no_hidden_row(
        &mut self,
        part: &Part,
        meaning: &Meaning,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        for Access { action, resource, .. } in &meaning.facts.accesses {
            let Resource::Table { schema, name } = resource else { continue };
            let by_duplicates = *action == Action::Update && part.is_or_runs("INSERT");
            let is_said = part.by_name || part.is_or_runs("EXECUTE") || part.is_or_runs("PREPARE");
            let deletes = *action == Action::Delete
                && (is_said || part.reads.deleted.iter().any(|deleted| deleted.0 == *schema && deleted.1 == *name));
            if !(by_duplicates || deletes) {
                continue;
            }
            let Some(table) = catalogue.named(schema, name) else { continue };
            let weighs = |index: &Index| {
                let of = |source: &&SourceColumn| source.schema == *schema && source.table == *name;
                let first = index.columns.first().and_then(Option::as_ref);
                let mut weighed = part.reads.weighs.iter().filter(of).peekable();
                // An expression that is written is looked for among those of indexes, and of columns that are computed.
                let is_made = first.is_none_or(|first| is_computed(&catalogue, table, first));
                (is_made && weighed.peek().is_some())
                    || weighed.any(|source| source.column.is_none() || source.column.as_ref() == first)
            };
            for relation in behind(&catalogue, table) {
                let is_view = relation.oid != table.oid;
                let mut indexes = catalogue.indexes(relation.oid).iter();
                let found = indexes.find(|index| {
                    let is_used = if by_duplicates { index.is_unique } else { is_view || weighs(index) };
                    is_used && self.is_over_hidden(relation, index, now)
                });
                if let Some(index) = found {
                    let index = &index.name;
                    let why = format!(
                        "rows of `{schema}.{name}` are found by the index `{index}`, over columns that you may not see"
                    );
                    let mut refusal = refused(&part.command, &why);
                    refusal.hint = Some(if by_duplicates {
                        "use UPDATE by the primary key, and INSERT where there is no row".into()
                    } else {
                        "name the rows by their primary key alone".into()
                    });
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// Refuses changes for which the server looks for rows of other tables, that refer to those which are changed, in an index over
    /// hidden columns: it locks what is between them.
    pub(in super::super) fn refers_to_no_hidden_row(
        &mut self,
        part: &Part,
        meaning: &Meaning,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        for Access { action, resource, .. } in &meaning.facts.accesses {
            let (Action::Delete | Action::Update, Resource::Table { schema, name }) = (action, resource) else {
                continue;
            };
            let Some(table) = catalogue.named(schema, name) else { continue };
            for relation in behind(&catalogue, table) {
                let is_indexed = |column: &Name| {
                    let unique = catalogue.indexes(relation.oid).iter().filter(|index| index.is_unique);
                    unique.flat_map(|index| &index.columns).any(|of| of.as_ref().is_none_or(|of| of == column))
                };
                let written = |source: &SourceColumn| source.column.as_ref().is_none_or(is_indexed);
                let is_by_name = part.by_name || relation.oid != table.oid;
                if *action == Action::Update && !is_by_name && !part.writes.columns.iter().any(written) {
                    continue;
                }
                let referrers = catalogue.referrers(relation.oid).into_iter();
                for referrer in referrers.filter_map(|oid| catalogue.relation(oid)) {
                    let mut indexes = catalogue.indexes(referrer.oid).iter();
                    let found = indexes.find(|index| self.is_over_hidden(referrer, index, now));
                    if let Some(index) = found {
                        return Err(refers(&part.command, referrer, index));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether rows of a table are kept in the order of hidden columns, whatever index is left out. What is changed is shown in none:
    /// partitions do not tell there.
    pub(in super::super) fn is_kept_in_hidden_order(
        &mut self,
        part: &Part,
        relation: &Relation,
        now: Timestamp,
    ) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let keys = catalogue.partition_key(relation.oid);
        let mut keys = relation.columns.iter().filter(|column| keys.contains(&column.number));
        (!matches!(&*part.command, "UPDATE" | "DELETE") && keys.any(|column| self.hides_column(relation, column, now)))
            || catalogue.keeps_rows(relation.oid).any(|index| self.is_over_hidden(relation, index, now))
    }

    fn comes_in_hidden_order(&mut self, catalogue: &Catalogue, relation: &Relation, now: Timestamp) -> bool {
        let keys = catalogue.partition_key(relation.oid);
        let mut keys = relation.columns.iter().filter(|column| keys.contains(&column.number));
        keys.any(|column| self.hides_column(relation, column, now))
            || catalogue.indexes(relation.oid).iter().any(|index| self.is_over_hidden(relation, index, now))
    }

    /// Whether rows of a view may come in the order of a hidden column, whatever it shows.
    pub(super) fn view_is_in_hidden_order(&mut self, catalogue: &Catalogue, view: &Relation, now: Timestamp) -> bool {
        view.kind == RelationKind::View
            && behind(catalogue, view).into_iter().any(|table| self.comes_in_hidden_order(catalogue, table, now))
    }

    /// Of what an expression is made is not known.
    pub(in super::super) fn is_over_hidden(&mut self, relation: &Relation, index: &Index, now: Timestamp) -> bool {
        let is_in = |column: &&Column| index.columns.iter().any(|of| of.as_ref().is_none_or(|of| column.name == *of));
        relation.columns.iter().filter(is_in).any(|column| self.hides_column(relation, column, now))
    }

    fn hides_column(&mut self, relation: &Relation, column: &Column, now: Timestamp) -> bool {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let source = super::source_of(relation, column);
        self.reveals.column(relation.oid, column.number, asking).is_some() && !self.reveals.may_filter(&source, asking)
    }
}

pub(super) fn refers(command: &str, referrer: &Relation, index: &Index) -> Refusal {
    let why = format!(
        "rows of `{}.{}` that a foreign key leads to are found by the index `{}`, over columns that you may not see",
        referrer.schema, referrer.name, index.name
    );
    let mut refusal = refused(command, &why);
    refusal.hint = Some("leave out columns of foreign keys, or ask someone who may reveal the columns".into());
    refusal
}

fn is_computed(catalogue: &Catalogue, table: &Relation, name: &Name) -> bool {
    table.columns.iter().any(|column| column.name == *name && catalogue.view_column(table.oid, column.number).is_some())
}

/// The tables that are changed where a view is: any that it reads.
pub(super) fn behind<'c>(catalogue: &'c Catalogue, table: &'c Relation) -> Vec<&'c Relation> {
    match catalogue.view_reads(table.oid) {
        Reach::Relations(reads) if table.kind == RelationKind::View => {
            reads.into_iter().filter_map(|oid| catalogue.relation(oid)).collect()
        }
        Reach::Relations(_) | Reach::Anything => vec![table],
    }
}

fn is_in_one_order(catalogue: &Catalogue, table: &Relation, is_sorted: impl Fn(&Name) -> bool) -> bool {
    let mut primary = catalogue.indexes(table.oid).iter().filter(|index| &*index.name == "PRIMARY");
    primary.any(|index| index.columns.iter().all(|column| column.as_ref().is_some_and(&is_sorted)))
}
