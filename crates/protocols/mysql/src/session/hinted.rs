//! What cannot be written otherwise, and reads a table with an index over hidden columns: rows would come in its order, or be found
//! in it. The index is left out behind each table that is named in a FROM clause.
//!
//! INVARIANT: hints for the optimiser (`/*+ INDEX(…) */`) have the server take no notice of what is said behind a table, and texts
//! within texts cannot be added to: both are refused where they read such a table.
use super::{
    Session,
    constant::identifier,
    tells::refused,
    veil::{Weave, ignoring},
};
use doorward_enforce::Refusal;
use doorward_model::{Action, Resource, Timestamp};
use doorward_sql::Relation;
use doorward_sql_session::{Meaning, Part};
use std::sync::Arc;

impl Session {
    /// The statement with such hints; none where it needs none.
    pub(super) fn hinted<'a>(
        &mut self,
        part: &'a Part,
        text: &'a [u8],
        now: Timestamp,
    ) -> Result<Option<Weave<'a>>, Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let mut reads: Vec<_> = part.reads.places.iter().collect();
        reads.sort_by_key(|read| read.at.start);
        let mut weave = Weave::new(text, &[]);
        for read in reads {
            let relation = catalogue.named(&read.schema, &read.table);
            if let Some(view) = relation.filter(|relation| self.order_tells(relation, now)) {
                return Err(in_a_view(&part.command, view));
            }
            if let Some(table) = relation.filter(|relation| self.is_kept_in_hidden_order(part, relation, now)) {
                return Err(kept_in_order(&part.command, table));
            }
            let ignored = relation.map(|relation| self.telling_indexes(relation, now)).unwrap_or_default();
            // `TABLE name` takes none; nor does what is named where nobody looks for one.
            let takes = read.written == doorward_sql::Written::Name && read.called.is_some();
            if !ignored.is_empty() && !takes {
                let why = format!(
                    "`{}.{}` may be read in the order of columns that you may not see",
                    read.schema, read.table
                );
                let mut refusal = refused(&part.command, &why);
                refusal.hint = Some("write SELECT, and the columns that you want, in the place of TABLE".into());
                return Err(refusal);
            }
            if !ignored.is_empty() && hints_at_indexes(text) {
                let why = format!(
                    "a hint may have `{}.{}` read in the order of columns that you may not see",
                    read.schema, read.table
                );
                let mut refusal = refused(&part.command, &why);
                refusal.hint = Some("leave out hints for the optimiser that name indexes".into());
                return Err(refusal);
            }
            weave.adds(read, &ignoring(&ignored, self.upstream.is_mariadb()));
        }
        weave.copies(text.len());
        Ok(weave.is_changed().then_some(weave))
    }

    /// Refuses texts within texts, and what was prepared of them, where they read a table with an index over hidden columns.
    pub(super) fn reads_in_no_hidden_order(
        &mut self,
        part: &Part,
        meaning: &Meaning,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !(part.by_name || part.is_or_runs("EXECUTE") || part.is_or_runs("PREPARE")) || !self.hides_anything(now) {
            return Ok(());
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        let finds = |action| matches!(action, Action::Select | Action::Update | Action::Delete);
        for access in meaning.facts.accesses.iter().filter(|access| finds(access.action)) {
            let Resource::Table { schema, name } = &access.resource else { continue };
            let Some(relation) = catalogue.named(schema, name) else { continue };
            if self.order_tells(relation, now) {
                return Err(in_a_view(&part.command, relation));
            }
            if self.is_kept_in_hidden_order(part, relation, now) {
                return Err(kept_in_order(&part.command, relation));
            }
            if !self.telling_indexes(relation, now).is_empty() {
                let why = format!(
                    "`{schema}.{name}` may be read in the order of columns that you may not see in a text within a text"
                );
                let mut refusal = refused(&part.command, &why);
                refusal.hint = Some("send the statement itself, or prepare it by the protocol".into());
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// The indexes of a table of which the order tells of hidden columns, as a text writes them.
    fn telling_indexes(&mut self, relation: &Relation, now: Timestamp) -> Vec<String> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        // Rows are kept in the order of the primary key, whatever is left out.
        let others = catalogue.indexes(relation.oid).iter().filter(|index| &*index.name != "PRIMARY");
        others.filter(|index| self.is_over_hidden(relation, index, now)).map(|index| identifier(&index.name)).collect()
    }
}

/// Rows are kept in the order of the primary key, and in partitions.
fn kept_in_order(command: &str, table: &Relation) -> Refusal {
    let why = format!(
        "rows of `{}.{}` are kept in the order of columns that you may not see, and it cannot be written otherwise here",
        table.schema, table.name
    );
    let mut refusal = refused(command, &why);
    refusal.hint = Some("read it in a query of its own, without locks".into());
    refusal
}

/// What a view reads cannot be added to.
fn in_a_view(command: &str, view: &Relation) -> Refusal {
    let why = format!(
        "`{}.{}` reads an index over columns that you may not see, and cannot be written otherwise here",
        view.schema, view.name
    );
    let mut refusal = refused(command, &why);
    refusal.hint = Some("read its tables themselves, or in a query of its own".into());
    refusal
}

/// Whether a text may have a hint for the optimiser that is about indexes. A text in quotes may look so, too.
fn hints_at_indexes(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|here| here == b"/*+") {
        rest = rest.get(at + 3..).unwrap_or_default();
        let end = rest.windows(2).position(|here| here == b"*/").unwrap_or(rest.len());
        let hint = rest.get(..end).unwrap_or_default().to_ascii_uppercase();
        let has = |word: &[u8]| hint.windows(word.len()).any(|here| here == word);
        if has(b"INDEX") || has(b"SKIP_SCAN") || has(b"MRR") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::hints_at_indexes;

    #[test]
    fn hints_about_indexes_are_known() {
        for text in [
            "SELECT /*+ INDEX(`t` `i`) */ 1",
            "SELECT /*+ NO_BNL(t) */ 1 FROM (SELECT /*+ no_index(t PRIMARY) */ 2)",
            "SELECT /*+ SKIP_SCAN(t) */ 1",
            "SELECT /*+ MRR(t i) ",
        ] {
            assert!(hints_at_indexes(text.as_bytes()), "{text}");
        }
        for text in
            ["SELECT /*+ MAX_EXECUTION_TIME(1) */ `index`", "SELECT `index`", "SELECT /* INDEX(t i) */ 1", "/*+"]
        {
            assert!(!hints_at_indexes(text.as_bytes()), "{text}");
        }
    }
}
