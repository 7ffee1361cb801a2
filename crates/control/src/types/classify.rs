//! What columns seem to hold, and the tags that are proposed for it.
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// `POST /connections/{name}/classify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewClassification {
    /// How many rows of each table are looked at: 1 to 1,000.
    pub sample: u32,
    /// PostgreSQL: the database, where the connection leads to any. MySQL: this one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Whether the tags that are proposed are stored with the connection, which ends its sessions.
    pub apply: bool,
}

impl Default for NewClassification {
    fn default() -> Self {
        Self { sample: 200, database: None, apply: false }
    }
}

/// What columns seem to hold. No value is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassificationView {
    /// Columns that something speaks for, by name.
    pub columns: Vec<ClassifiedColumn>,
    /// How many columns were looked at.
    pub looked_at: usize,
    /// How many rows of each table, at most.
    pub sample: u32,
    /// Tables of which no rows were seen, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether the proposed tags are stored.
    pub applied: bool,
}

/// A column, and what speaks for what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassifiedColumn {
    /// As tags name it.
    #[schema(example = "public.customers.ssn")]
    pub column: String,
    /// Its type, as the server writes it.
    pub type_name: String,
    /// How many values were looked at: not null, not empty.
    pub sampled: u64,
    /// In how many of them a kind of value was found.
    pub found: BTreeMap<String, u64>,
    /// What its name speaks for.
    pub named: Option<String>,
    /// The tags that it has: of the connection, and of the database itself.
    pub tags: BTreeSet<String>,
    /// The tags that it should have besides: where its name speaks for them, or one value in ten.
    pub proposed: BTreeSet<String>,
}

/// A table of which no rows were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// The table.
    pub table: String,
    /// Why.
    pub why: String,
}
