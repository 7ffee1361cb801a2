//! MySQL 5.7 to 9 and MariaDB 10.5 to 11: from a text to what it would do, and to the text that is forwarded.
//!
//! ```text
//! text ── lexer ──> tokens ── parser ──> trees ──┬─ facts, lineage, effects ──> Analysis
//!                                                └─ render ──> Statement::text
//! ```
//! No parser of another make reads all of this grammar, and none reads it as the server in use does
//! (versioned comments, `sql_mode`), so what is forwarded is never the caller's text but the statement printed
//! from what was read (docs/adr/0011). A statement that is not understood asks for `opaque` and has no text.
//!
//! Names: a database of MySQL is both, the database and the schema of PostgreSQL. `db.table` is the `Table` of
//! schema `db`; making or removing a database is asked on the `Database` and on the `Schema` of its name. Columns,
//! functions and aliases of columns know no case and are in lower case; tables do, unless the server folds them.
//! Tables of the session's own are in `pg_temp`, as everywhere.
//!
//! Known limits:
//! - Of a text that is not understood nothing is known, not even its first word.
//! - Comments within versioned comments, versions of six digits on MySQL, the modes ORACLE, MSSQL and their kin, and
//!   character sets other than UTF-8 are not read.
//! - Hints that are not known (`SET_VAR`, `RESOURCE_GROUP`) are left out.
//! - What a procedure, a trigger or a view of others does when it is used is not asked for again.
mod analysis;
mod facts;
mod functions;
mod lexer;
mod lineage;
mod named;
mod parser;
mod reads;
mod render;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod upstream;
mod words;
mod writes;

pub use analysis::analyse;
pub use functions::is_native_function;
pub use settings::{is_telling_setting, locks_what_is_read, setting_class};
pub use upstream::{Flavour, SqlMode, Upstream, readable_charset};

use crate::{Catalogue, ReadUnder};
use doorward_model::Name;
use std::{collections::BTreeSet, sync::Arc};

/// The longest text that is read, in bytes.
pub const MAX_TEXT: usize = 64 * 1024 * 1024;

/// What a session makes of a text.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// What is known of the server's databases. The relations' schemas are databases; names of functions are in lower
    /// case, and functions of libraries (`mysql.func`) are there in the schemas that names may mean.
    pub catalogue: Arc<Catalogue>,
    /// The database that names without one mean.
    pub database: Option<Name>,
    /// Tables of the session's own, by database and name, which shadow others.
    pub temporary: Arc<BTreeSet<(Name, Name)>>,
    /// Who will read what is forwarded.
    pub upstream: Upstream,
    /// The `sql_mode` in force.
    pub mode: SqlMode,
    /// `lower_case_table_names` is not 0: names of tables know no case.
    pub lower_case_names: bool,
    /// Counts changes within a session.
    pub generation: u64,
}

/// Texts of MySQL and MariaDB.
pub type AnalysisCache = crate::AnalysisCache<Environment>;

impl ReadUnder for Environment {
    fn reads_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalogue, &other.catalogue)
            && self.database == other.database
            && (Arc::ptr_eq(&self.temporary, &other.temporary) || self.temporary == other.temporary)
            && self.upstream == other.upstream
            && self.mode == other.mode
            && self.lower_case_names == other.lower_case_names
    }
}

impl Environment {
    /// A database or table name as the server compares it.
    fn table_name(&self, name: &str) -> Name {
        if self.lower_case_names { name.to_lowercase().into() } else { name.into() }
    }

    /// The name of a database; those of the server's own are known in any case.
    fn database_name(&self, name: &str) -> Name {
        let folded = name.to_lowercase();
        if matches!(folded.as_str(), "information_schema" | "performance_schema" | "mysql" | "sys") {
            return folded.into();
        }
        self.table_name(name)
    }

    /// The database and table that a name means.
    fn relation(&self, db: Option<&str>, name: &str) -> (Name, Name) {
        let db = db.or(self.database.as_deref()).map_or_else(|| "?".into(), |db| self.database_name(db));
        let name = if matches!(&*db, "information_schema" | "performance_schema") {
            name.to_lowercase().into()
        } else {
            self.table_name(name)
        };
        let key = (db, name);
        if self.temporary.contains(&key) { ("pg_temp".into(), key.1) } else { key }
    }
}
