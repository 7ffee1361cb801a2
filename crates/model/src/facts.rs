//! What a request would do, read out of its bytes.
use crate::{Action, Name, Resource};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One right that a request needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Access {
    /// What is asked.
    pub action: Action,
    /// On what.
    pub resource: Resource,
    /// For `update` and `delete`: whether a WHERE clause that names a column limits the rows.
    /// False for every other action.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_where: bool,
    /// Whether it happens with the rights of the superuser: a log-in as root, `sudo`, `su`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_root: bool,
}

impl Access {
    /// An access whose action knows no WHERE clause, with the rights of the login.
    pub const fn new(action: Action, resource: Resource) -> Self {
        Self { action, resource, has_where: false, as_root: false }
    }

    /// The same with the rights of the superuser, or without.
    #[must_use]
    pub fn with_root(self, as_root: bool) -> Self {
        Self { as_root, ..self }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

/// Everything that a request needs, and how it is described. All accesses must be allowed.
///
/// INVARIANT: `accesses` is never empty: a request that needs nothing still needs `connect`.
/// An enforcement point refuses facts that break this.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facts {
    /// The rights it needs, sorted and without duplicates.
    pub accesses: Vec<Access>,
    /// The command as users name it: `SELECT`, `DROP DATABASE`; several joined by `; `.
    pub command: Name,
    /// How many statements the request holds.
    pub statements: u32,
}

impl Facts {
    /// Facts from accesses in any order.
    pub fn new(command: &str, statements: u32, mut accesses: Vec<Access>) -> Self {
        accesses.sort();
        accesses.dedup();
        Self { accesses, command: command.into(), statements }
    }
}
