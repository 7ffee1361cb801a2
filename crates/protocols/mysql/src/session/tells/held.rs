//! Places in an index over hidden columns that a statement has locked: whoever waits for them learns where they are.
use super::{
    super::Session,
    order::{behind, refers},
    refused,
};
use doorward_enforce::Refusal;
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{Catalogue, Index, Relation, SourceColumn};
use doorward_sql_session::{Meaning, Part};
use std::sync::Arc;

impl Session {
    /// Refuses what has the server look for a place in an index over hidden columns, and hold it: for a row that is written, in
    /// unique indexes and where a foreign key refers to. InnoDB locks what is there, or what is beside it, until the transaction ends
    /// ("Locks Set by Different SQL Statements in InnoDB"); what another session inserts meanwhile waits, or does not. So does a
    /// statement of its own, which can be made to wait for another row.
    pub(in super::super) fn holds_no_hidden_place(
        &mut self,
        part: &Part,
        meaning: &Meaning,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        for Access { action, resource, .. } in &meaning.facts.accesses {
            let (Action::Insert | Action::Update, Resource::Table { schema, name }) = (action, resource) else {
                continue;
            };
            let Some(table) = catalogue.named(schema, name) else { continue };
            for relation in behind(&catalogue, table) {
                let writes = Written {
                    part,
                    catalogue: &catalogue,
                    relation,
                    inserts: *action == Action::Insert,
                    of_any: relation.oid != table.oid || *action == Action::Insert && !names_columns(part, table),
                };
                if let Some(index) = self.place_in(&catalogue, relation, &writes, *action, now) {
                    return Err(holds(&part.command, relation, &index.name));
                }
                if let Some((parent, index)) = self.place_beyond(&catalogue, relation, &writes, *action, now) {
                    return Err(refers(&part.command, parent, index));
                }
            }
        }
        Ok(())
    }

    /// The unique index over hidden columns in which a row that is written is looked for.
    fn place_in<'c>(
        &mut self,
        catalogue: &'c Catalogue,
        relation: &Relation,
        writes: &Written<'_>,
        action: Action,
        now: Timestamp,
    ) -> Option<&'c Index> {
        // A row with another key is another row, in all indexes.
        let moves = action == Action::Update
            && (catalogue.keeps_rows(relation.oid).any(|key| writes.any_of(key))
                || writes.partition(catalogue, relation));
        let mut unique = catalogue.indexes(relation.oid).iter().filter(|index| index.is_unique);
        unique.find(|index| (moves || writes.any_of(index)) && self.is_over_hidden(relation, index, now))
    }

    /// The index over hidden columns of another table in which a row is looked for that one of these refers to.
    fn place_beyond<'c>(
        &mut self,
        catalogue: &'c Catalogue,
        relation: &Relation,
        writes: &Written<'_>,
        action: Action,
        now: Timestamp,
    ) -> Option<(&'c Relation, &'c Index)> {
        let refers = |index: &Index| index.columns.first().is_none_or(|first| writes.column(first.as_ref()));
        if action == Action::Update && !catalogue.indexes(relation.oid).iter().any(refers) {
            return None;
        }
        catalogue.references(relation.oid).find_map(|(parent, name)| {
            let parent = catalogue.relation(*parent)?;
            let all = catalogue.indexes(parent.oid);
            // Where none is called so, it may be any.
            let name = name.as_ref().filter(|name| all.iter().any(|index| index.name == **name));
            let mut found = all.iter().filter(|index| name.is_none_or(|name| index.name == *name));
            found.find(|index| self.is_over_hidden(parent, index, now)).map(|index| (parent, index))
        })
    }
}

/// Whether an INSERT says which columns it gives.
fn names_columns(part: &Part, table: &Relation) -> bool {
    let of = |source: &&SourceColumn| source.schema == table.schema && source.table == table.name;
    let mut of = part.writes.columns.iter().filter(of).peekable();
    of.peek().is_some() && of.all(|source| source.column.is_some())
}

/// What a statement writes of a table.
struct Written<'a> {
    part: &'a Part,
    catalogue: &'a Catalogue,
    relation: &'a Relation,
    /// Rows are new: all that is computed is written.
    inserts: bool,
    /// It may be any column.
    of_any: bool,
}

impl Written<'_> {
    /// Whether it may write a column; of what an expression is made is not known.
    fn column(&self, name: Option<&Name>) -> bool {
        let is_it = |source: &SourceColumn| match (&source.column, name) {
            (Some(written), Some(name)) => written.eq_ignore_ascii_case(name),
            (None, _) | (_, None) => true,
        };
        let computed = name.and_then(|name| self.relation.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)));
        let computed = computed.and_then(|column| self.catalogue.view_column(self.relation.oid, column.number));
        self.of_any
            || self.part.by_name
            || self.part.writes.columns.iter().any(is_it)
            || computed.is_some_and(|of| self.inserts || of.iter().any(|source| self.column(source.column.as_ref())))
    }

    fn any_of(&self, index: &Index) -> bool {
        index.columns.iter().any(|column| self.column(column.as_ref()))
    }

    fn partition(&self, catalogue: &Catalogue, relation: &Relation) -> bool {
        let keys = catalogue.partition_key(relation.oid);
        relation.columns.iter().any(|column| keys.contains(&column.number) && self.column(Some(&column.name)))
    }
}

fn holds(command: &str, table: &Relation, index: &str) -> Refusal {
    let why = format!(
        "it would keep a place in the index `{index}` of `{}.{}` locked, which is over columns that you may not see",
        table.schema, table.name
    );
    let mut refusal = refused(command, &why);
    refusal.hint = Some("leave out the columns of that index, or have `filter` on them permitted by a policy".into());
    refusal
}
