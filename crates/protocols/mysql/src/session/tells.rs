//! Other ways out: what is not a query over a table with hidden columns, and tells of them all the same.
use super::Session;
use doorward_enforce::{Refusal, RefusalKind};
use doorward_model::{Action, Name, Resource, Timestamp};
use doorward_sql::{Reach, Relation, SourceColumn};
use doorward_sql_session::{Asking, Meaning, Part};
use std::sync::Arc;

/// Columns of views of the server's own that tell how many values there are, or how long they are.
const TELLING: &[(&str, &[&str])] = &[("statistics", &["cardinality"]), ("tables", LENGTHS), ("partitions", LENGTHS)];

const LENGTHS: &[&str] = &["avg_row_length", "data_length", "max_data_length", "index_length", "data_free", "checksum"];

/// The columns of a view of the server's own that tell of values.
pub(super) fn columns(schema: &str, table: &str) -> Option<&'static [&'static str]> {
    if schema != "information_schema" {
        return None;
    }
    TELLING.iter().find(|(name, _)| *name == table).map(|(_, columns)| *columns)
}

/// The longest text that is searched for names, in bytes.
const SEARCHED: usize = 16 * 1024;

/// Whether a text may name one of these columns, in some way.
///
/// Texts so large are not searched, which would cost too much; nor are names that are no ASCII, whose cases the server knows.
pub(super) fn may_name(text: &[u8], columns: &[&str]) -> bool {
    if text.len() > SEARCHED || !text.is_ascii() {
        return true;
    }
    text.contains(&b'*')
        || columns
            .iter()
            .chain(&["natural"])
            .any(|word| text.windows(word.len()).any(|here| here.eq_ignore_ascii_case(word.as_bytes())))
}

/// Whether a relation of the server's own shows values, statements of others, or statistics.
fn tells(schema: &str, table: &str) -> bool {
    match schema {
        "information_schema" => {
            matches!(
                table,
                "column_statistics"
                    | "optimizer_trace"
                    | "processlist"
                    | "index_statistics"
                    | "table_statistics"
                    | "client_statistics"
                    | "user_statistics"
                    | "query_cache_info"
                    | "files"
            ) || table.starts_with("innodb_")
        }
        "mysql" => matches!(
            table,
            "innodb_table_stats"
                | "innodb_index_stats"
                | "column_stats"
                | "index_stats"
                | "table_stats"
                | "general_log"
                | "slow_log"
        ),
        "performance_schema" => {
            // What users keep in variables are no settings.
            let says_settings = table.contains("variables") || table.contains("_attrs") || table.starts_with("setup_");
            !says_settings || table.contains("user_variables")
        }
        "sys" => !matches!(table, "version" | "sys_config"),
        _ => false,
    }
}

/// The columns that a SHOW shows of what has to stay hidden.
pub(super) fn shown(part: &Part) -> &'static [&'static str] {
    let is = |words: &[&str]| words.iter().any(|word| part.command.starts_with(word));
    if is(&["SHOW INDEX", "SHOW INDEXES", "SHOW KEYS"]) {
        &["cardinality"]
    } else if is(&["SHOW TABLE STATUS"]) {
        LENGTHS
    } else {
        &[]
    }
}

impl Session {
    /// Whether the caller may not see some column of some table.
    pub(super) fn hides_anything(&mut self, now: Timestamp) -> bool {
        self.reveals.hides_anything(&mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// Refuses what tells of hidden columns by another way than a query over their table.
    pub(super) fn tells_nothing_hidden(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        if let Some(oid) = self.reveals.names_unread(meaning).first()
            && self.hides_anything(now)
        {
            return Err(locked(&meaning.facts.command, self.reveals.catalogue().relation(*oid)));
        }
        for part in &meaning.parts {
            self.is_no_other_way(part, meaning, now)?;
        }
        for access in &meaning.facts.accesses {
            if let Resource::Function { schema, name } = &access.resource
                && access.action == Action::Call
                && &**schema != "mysql"
            {
                self.reaches_nothing_hidden(meaning, schema, name, now)?;
            }
            if access.action == Action::Opaque && self.hides_anything(now) {
                return Err(refused(
                    &meaning.facts.command,
                    "what is not understood may show columns that you may not see",
                ));
            }
            if let Resource::Table { schema, name } = &access.resource
                && tells(schema, name)
                && self.hides_anything(now)
            {
                let what = format!("`{schema}.{name}` shows statements, values or statistics of all tables");
                return Err(refused(&meaning.facts.command, &what));
            }
        }
        Ok(())
    }

    fn is_no_other_way(&mut self, part: &Part, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        if part.is_or_runs("HANDLER") && self.hides_anything(now) {
            return Err(refused(&part.command, "HANDLER reads rows where no mask is sure to reach them"));
        }
        if part.is_or_runs("CHECKSUM") && self.hides(meaning, now) {
            return Err(refused(&part.command, "a checksum is made of all columns"));
        }
        if !shown(part).is_empty() {
            let text = part.text.as_deref().unwrap_or_default();
            let has_where = text.windows(5).any(|here| here.eq_ignore_ascii_case(b"where"));
            if has_where && self.hides_anything(now) {
                return Err(refused(&part.command, "its WHERE may decide by statistics of all columns"));
            }
        }
        Ok(())
    }

    /// A stored routine may read what its caller may not see, and nobody knows what it makes of it.
    fn reaches_nothing_hidden(
        &mut self,
        meaning: &Meaning,
        schema: &Name,
        name: &Name,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let reads_hidden = match catalogue.reach(schema, name) {
            Some(Reach::Relations(relations)) => {
                let relations = relations.iter().filter_map(|oid| catalogue.relation(*oid));
                let mut out = false;
                for relation in relations {
                    let (schema, table) = (relation.schema.clone(), relation.name.clone());
                    let folded = (schema.to_lowercase(), table.to_lowercase());
                    let source = SourceColumn { schema, table, column: None };
                    let asking = &mut Asking { enforcer: &mut self.enforcer, now };
                    out |= self.reveals.source(&source, asking).is_some()
                        || (tells(&folded.0, &folded.1) && self.hides_anything(now));
                }
                out
            }
            Some(Reach::Anything) | None => self.hides_anything(now),
        };
        if reads_hidden {
            return Err(refused(
                &meaning.facts.command,
                &format!("`{schema}.{name}` may read columns that you may not see"),
            ));
        }
        Ok(())
    }
}

/// What a relation has is not known while it is locked, and may be something else as soon as it is not.
fn locked(command: &str, relation: Option<&Relation>) -> Refusal {
    let name = relation.map_or_else(|| "?".to_owned(), |r| format!("{}.{}", r.schema, r.name));
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: `{name}` cannot be looked into while it is locked"),
        detail: Some("another session makes or changes it".into()),
        hint: Some("ask again when that session's statement has ended".into()),
    }
}

fn refused(command: &str, what: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: {what}"),
        detail: Some("some columns of this connection are masked for you".into()),
        hint: Some("someone who may reveal the columns can run it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_shows_of_values() {
        for (schema, table) in [
            ("information_schema", "column_statistics"),
            ("information_schema", "innodb_buffer_page"),
            ("performance_schema", "events_statements_history"),
            ("performance_schema", "data_locks"),
            ("performance_schema", "user_variables_by_thread"),
            ("mysql", "column_stats"),
            ("sys", "statement_analysis"),
        ] {
            assert!(tells(schema, table), "{schema}.{table}");
        }
        for (schema, table) in [
            ("information_schema", "columns"),
            ("information_schema", "tables"),
            ("performance_schema", "session_variables"),
            ("mysql", "time_zone_name"),
            ("public", "events_x"),
        ] {
            assert!(!tells(schema, table), "{schema}.{table}");
        }
        let columns = columns("information_schema", "statistics").unwrap();
        assert!(may_name(b"SELECT `Cardinality`", columns) && may_name(b"SELECT * FROM", columns));
        assert!(!may_name(b"SELECT `index_name` FROM", columns));
    }
}
