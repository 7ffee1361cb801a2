//! Who is calling.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What kind of caller an issuer vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A workload: a CI job, a bot, an assistant.
    Agent,
    /// A person.
    User,
}

/// A validated identity: who is calling, what is known of them, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Agent or user.
    pub kind: PrincipalKind,
    /// The configured name of the issuer (not its URL).
    pub issuer: String,
    /// The `sub` claim: unique within the issuer.
    pub subject: String,
    /// The groups the issuer says the caller is in.
    pub groups: BTreeSet<String>,
    /// Claims exposed to policy under the names that the configuration gives them.
    pub tags: BTreeMap<String, String>,
    /// The `jti` claim, if there was one.
    pub token_id: Option<String>,
    /// When the identity ends (`exp`).
    pub expires_at: Timestamp,
}

impl Principal {
    /// The identifier that policies and the audit log use: `issuer/subject`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.issuer, self.subject)
    }

    /// Whether both are the same caller, whichever token they came with.
    pub fn is_same_caller(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}
