//! PostgreSQL: from a query string to what it would do.
//!
//! ```text
//! text ── cost() ──> Refused | Inline | Offload          (a token scan; no recursion)
//!      └─ analyse(text, environment) ──> Analysis         (facts, outputs, effects, copy)
//! ```
mod analysis;
mod bodies;
mod cache;
mod children;
mod copy;
mod ddl;
mod functions;
mod grants;
mod lineage;
mod names;
mod objects;
mod query;
mod scan;
mod settings;
#[cfg(test)]
mod tests;
mod utility;
mod walk;

pub use analysis::analyse;
pub use cache::AnalysisCache;
pub use functions::harmless_functions;
pub use scan::cost;
pub use settings::{SettingClass, setting_class};

use crate::Catalogue;
use doorward_model::{Facts, Name};
use std::{collections::BTreeSet, sync::Arc};

/// What a session's settings make of a text: part of the key under which an analysis is cached.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The schema of the database.
    pub catalogue: Arc<Catalogue>,
    /// The schemas of `search_path` in order, `"$user"` already replaced; `pg_catalog` first and
    /// `pg_temp` before it are implied as the server implies them.
    pub search_path: Arc<[Name]>,
    /// Relations that this session may have made in `pg_temp`, which shadow others of their name.
    pub temporary: Arc<BTreeSet<Name>>,
    /// Counts changes of the three above within a session.
    pub generation: u64,
}

/// What it costs to read a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Short and shallow: read it where you are.
    Inline,
    /// Read it on a thread with a stack of [`BIG_STACK`] bytes.
    Offload,
    /// Too deep to be read at all: refused, with what is too deep.
    TooDeep(&'static str),
}

/// The stack that an offloaded analysis needs, in bytes.
pub const BIG_STACK: usize = 64 * 1024 * 1024;

/// A column whose values may show in an output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceColumn {
    /// Schema of the relation.
    pub schema: Name,
    /// The relation.
    pub table: Name,
    /// The column; `None` for any column of the relation (whole-row values, unknown columns).
    pub column: Option<Name>,
}

/// Which columns one output of a statement may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Made of these columns and nothing else of any table. Empty: no column (`count(*)`, constants).
    Made(BTreeSet<SourceColumn>),
    /// One or more outputs of a `*` that could not be expanded (relation not in the catalogue).
    Star,
}

/// The outputs of a statement that returns rows, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Lineage {
    /// In order; at most one may be a [`Output::Star`] of unknown width at each place.
    pub outputs: Vec<Output>,
    /// Every column that the statement mentions anywhere an output could come from: the bound for
    /// an output whose place is not known.
    pub anywhere: BTreeSet<SourceColumn>,
}

/// What `COPY` moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySpec {
    /// `TO STDOUT` (true) or `FROM STDIN` (false). Files and programs never get here.
    pub out: bool,
    /// The columns copied, in order.
    pub lineage: Lineage,
    /// The format of the data.
    pub format: CopyFormat,
    /// `HEADER` in any form.
    pub header: bool,
}

/// The format of COPY data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// `text`.
    Text {
        /// Between fields.
        delimiter: u8,
        /// Marks a null.
        null: Vec<u8>,
    },
    /// `csv`.
    Csv {
        /// Between fields.
        delimiter: u8,
        /// Marks a null (unquoted).
        null: Vec<u8>,
        /// Quotes a field.
        quote: u8,
        /// Escapes a quote within quotes.
        escape: u8,
    },
    /// `binary`.
    Binary,
    /// Options that were not understood (another encoding, an unknown option): cannot be masked.
    NotUnderstood(String),
}

/// What a statement changes for later statements of the session, once it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `SET name = value` (`None`: DEFAULT or RESET). Value as one normalised string, lists joined by `, `.
    Set {
        /// The setting, lower case.
        name: Name,
        /// Its value.
        value: Option<String>,
        /// `SET LOCAL`.
        local: bool,
    },
    /// `RESET ALL`, `DISCARD ALL`: every setting back to its start.
    ResetAll,
    /// `DISCARD ALL` / `DEALLOCATE ALL`: no prepared statement is left.
    ForgetPrepared,
    /// `PREPARE name AS …`.
    Prepare {
        /// The name.
        name: Name,
        /// What it would do when executed.
        analysis: Arc<Analysis>,
    },
    /// `DEALLOCATE name`.
    Deallocate {
        /// The name.
        name: Name,
    },
    /// `DECLARE name CURSOR FOR …`: what `FETCH` from it shows.
    Declare {
        /// The cursor.
        name: Name,
        /// The outputs of its query.
        lineage: Lineage,
        /// What its query asks for: `FETCH` goes on asking for it.
        facts: Arc<Facts>,
    },
    /// A table, view or sequence came to be in `pg_temp`.
    MadeTemporary {
        /// Its name.
        name: Name,
    },
    /// The schema changed in some way: the catalogue is out of date.
    SchemaChanged,
}

/// What a statement refers to by name that only the session knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `EXECUTE name`: the facts of what was prepared are asked for too.
    Prepared(Name),
    /// `FETCH` or `MOVE` from a cursor.
    Cursor(Name),
}

/// One statement of a query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The command as users name it: `SELECT`, `DROP DATABASE`.
    pub command: Name,
    /// What its rows show, if it can return any (also `EXPLAIN ANALYZE`, `RETURNING`, `EXECUTE`, `FETCH`).
    pub lineage: Option<Lineage>,
    /// Columns whose values it stores or sends to where no mask reaches them (`INSERT … SELECT`,
    /// `CREATE TABLE AS`, `UPDATE … FROM`, `DECLARE … WITH HOLD`): it is refused if any of them is hidden.
    pub moves: BTreeSet<SourceColumn>,
    /// `COPY … TO STDOUT` or `FROM STDIN`.
    pub copy: Option<CopySpec>,
    /// What it changes for later statements.
    pub effects: Vec<Effect>,
    /// Names that the session has to resolve.
    pub references: Vec<Reference>,
}

/// Everything read out of one query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// The rights that the whole string asks for.
    pub facts: Arc<Facts>,
    /// Its statements. Empty for an empty string.
    pub statements: Vec<Statement>,
}

/// Why a text has no analysis. The server would not run it either, or we do not read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The server's grammar does not accept it.
    #[error("{message}")]
    Syntax {
        /// The grammar's message: `syntax error at or near "selec"`.
        message: String,
        /// Where, in characters from 1; 0 if unknown.
        position: usize,
    },
    /// Nested or chained too deep to be read safely.
    #[error("the statement is nested too deep to be read: {what}")]
    TooDeep {
        /// What.
        what: &'static str,
    },
}
