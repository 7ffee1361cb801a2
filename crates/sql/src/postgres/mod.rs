//! PostgreSQL: from a query string to what it would do.
//!
//! ```text
//! text ── cost() ──> Refused | Inline | Offload          (a token scan; no recursion)
//!      └─ analyse(text, environment) ──> Analysis         (facts, outputs, effects, copy)
//! ```
mod analysis;
mod bodies;
mod children;
mod copy;
mod ddl;
mod dotted;
mod failing;
mod functions;
mod grants;
mod lineage;
mod named;
mod names;
mod objects;
mod older;
mod query;
mod reads;
mod renames;
mod scan;
mod settings;
mod tells;
mod temporary;
#[cfg(test)]
mod tests;
mod utility;
mod walk;
mod writes;

pub use analysis::analyse;
pub use failing::never_fails;
pub use functions::harmless_functions;
pub(crate) use names::dotted;
pub use scan::{cost, has_other_names};
pub use settings::{SettingClass, locks_what_is_read, setting_class};
pub use tells::{
    COMPUTED_CHANNEL, counting_columns, is_builtin, is_plain_function, is_telling_setting, measures, shows_values,
    telling_columns,
};

pub use crate::meaning::{
    Analysis, CopyFormat, CopySpec, Effect, Lineage, Output, Prefix, Read, Reads, Reference, SourceColumn, SqlError,
    Statement, Tell, Transaction, Written,
};

use crate::{Catalogue, ReadUnder};
use doorward_model::Name;
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
    /// Others of which one of `search_path` has the same name: that one is meant, or the temporary one, of which the columns are not
    /// known.
    pub doubtful: Arc<BTreeSet<Name>>,
    /// Counts changes of the three above within a session.
    pub generation: u64,
}

/// Texts of PostgreSQL.
pub type AnalysisCache = crate::AnalysisCache<Environment>;

impl ReadUnder for Environment {
    fn reads_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalogue, &other.catalogue)
            && (Arc::ptr_eq(&self.search_path, &other.search_path) || self.search_path == other.search_path)
            && (Arc::ptr_eq(&self.temporary, &other.temporary) || self.temporary == other.temporary)
            && (Arc::ptr_eq(&self.doubtful, &other.doubtful) || self.doubtful == other.doubtful)
    }
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
