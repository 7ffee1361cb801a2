//! Rows that are found in the order of hidden columns, by statements that are sent as they are.
use super::{super::Session, refused};
use doorward_enforce::Refusal;
use doorward_model::{Name, Timestamp};
use doorward_sql::{Catalogue, Column, Index, Reach, Relation, RelationKind};
use doorward_sql_session::{Asking, Part};
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
        if part.reads.obstacle.is_none() {
            return Ok(());
        }
        let Some(text) = part.text.as_deref() else { return Ok(()) };
        if !may_hint(text) || !self.hides_anything(now) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(text).to_lowercase();
        let mut before = "";
        let hints =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).any(|word| {
                let is_hint = matches!(before, "force" | "use") && matches!(word, "index" | "key");
                before = word;
                is_hint
            });
        if !hints {
            return Ok(());
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        for relation in catalogue.relations().filter(|r| r.kind == RelationKind::Table) {
            for index in catalogue.indexes(relation.oid) {
                let name = index.name.to_lowercase();
                if text.contains(&name.replace('`', "``")) && self.is_over_hidden(relation, index, now) {
                    let why =
                        format!("the index `{}` has rows in the order of columns that you may not see", index.name);
                    return Err(refused(&part.command, &why));
                }
            }
        }
        Ok(())
    }

    fn comes_in_hidden_order(&mut self, catalogue: &Catalogue, relation: &Relation, now: Timestamp) -> bool {
        let keys = catalogue.partition_key(relation.oid);
        let mut keys = relation.columns.iter().filter(|column| keys.contains(&column.number));
        keys.any(|column| self.hides_column(relation, column, now))
            || catalogue.indexes(relation.oid).iter().any(|index| self.is_over_hidden(relation, index, now))
    }

    /// Of what an expression is made is not known.
    fn is_over_hidden(&mut self, relation: &Relation, index: &Index, now: Timestamp) -> bool {
        let is_in = |column: &&Column| index.columns.iter().any(|of| of.as_ref().is_none_or(|of| column.name == *of));
        relation.columns.iter().filter(is_in).any(|column| self.hides_column(relation, column, now))
    }

    fn hides_column(&mut self, relation: &Relation, column: &Column, now: Timestamp) -> bool {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let source = super::source_of(relation, column);
        self.reveals.column(relation.oid, column.number, asking).is_some() && !self.reveals.may_filter(&source, asking)
    }
}

/// Whether a text may ask for an index.
fn may_hint(text: &[u8]) -> bool {
    let is_of = |word: &[u8]| text.windows(word.len()).any(|here| here.eq_ignore_ascii_case(word));
    (is_of(b"index") || is_of(b"key")) && (is_of(b"force") || is_of(b"use"))
}

/// The tables that are changed where a view is: any that it reads.
fn behind<'c>(catalogue: &'c Catalogue, table: &'c Relation) -> Vec<&'c Relation> {
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
