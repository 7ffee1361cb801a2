//! Connections, as they are registered through the interface.
use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// What a connection is: what a `[[connections]]` table of the configuration has, but files of the gateway's machine. Its
/// credential is the name of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionSpec {
    /// `postgres`, `mysql`, `ssh` or `kubernetes`.
    pub kind: String,
    /// Where callers connect: an address and a port of the gateway's.
    #[schema(example = "127.0.0.1:6432")]
    pub listen: String,
    /// Where it leads to: `host:port`.
    #[schema(example = "127.0.0.1:5432")]
    pub upstream: String,
    /// The database that callers get, whichever they ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Who logs in upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The secret that is used to log in upstream, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// SSH: certificates of the gateway's own authority in place of a secret.
    #[serde(skip_serializing_if = "is_false")]
    pub authority: bool,
    /// Towards the upstream: `disable`, `prefer`, `require`, `verify-ca`, `verify-full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Certificate authorities to trust upstream instead of the system's, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// PostgreSQL: `password` or `oauthbearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// SSH: host keys that the upstream may show, each as in a `.pub` file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// SSH: the first host key that the upstream shows is kept, and no other is accepted from then on.
    #[serde(skip_serializing_if = "is_false")]
    pub trust_on_first_use: bool,
    /// MySQL, Kubernetes: whether callers `wait` while people are asked, or `retry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Kubernetes: `caller`, where the gateway speaks in the caller's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonate: Option<String>,
    /// Kubernetes: what stands before users and groups of callers there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonate_prefix: Option<String>,
    /// Kubernetes: the tag of the caller that is its user name there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonate_tag: Option<String>,
    /// `strict` or `best-effort`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// What becomes of live sessions when the credential is replaced: `keep` or `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    /// How many sessions may be open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Labels, for policies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Tags of tables, columns and fields, for policies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, BTreeSet<String>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_false(b: &bool) -> bool {
    !*b
}

/// Where a connection is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionSource {
    /// In the configuration file: it is changed there.
    File,
    /// In the store: it is changed here.
    Store,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// What it is called.
    pub name: String,
    /// `postgres`, `mysql`, `ssh` or `kubernetes`.
    pub kind: String,
    /// Where callers connect.
    pub listen: String,
    /// Where it leads to.
    pub upstream: String,
    /// The database that callers get.
    pub database: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Where it is defined.
    pub source: ConnectionSource,
    /// Why it is not served; none where it is.
    pub failure: Option<String>,
    /// Of one in the store: how often it was written.
    pub version: Option<i64>,
    /// Of one in the store: when it was written, in microseconds since 1970.
    #[schema(value_type = Option<u64>)]
    pub updated: Option<Timestamp>,
    /// Of one in the store: by whom.
    pub updated_by: Option<String>,
    /// Of one in the store: what was written.
    pub spec: Option<ConnectionSpec>,
}

/// `GET /connections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionList {
    /// Those that the caller may see, by name.
    pub connections: Vec<ConnectionView>,
}

/// `POST /connections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// What it is to be called: up to 63 of `a-z`, `0-9`, `-`, `_` and `.`, a letter or a digit first.
    #[schema(example = "orders")]
    pub name: String,
    /// What it is to be.
    pub spec: ConnectionSpec,
}

/// `POST /connection-tests`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnectionTest {
    /// What it would be called: who may register one of a name alone may try one of that name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is tried. Nothing of it is kept.
    pub spec: ConnectionSpec,
    /// What to log in with, in place of the secret of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for NewConnectionTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewConnectionTest").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTest {
    /// Whether the upstream can be used.
    pub ok: bool,
    /// Why not.
    pub failure: Option<String>,
    /// What the upstream says of itself.
    pub server: Option<String>,
    /// Whether the way to it is encrypted.
    pub encrypted: bool,
    /// Whether the gateway logged in; not where callers log in under their own names.
    pub logged_in: bool,
    /// SSH: the host key that it shows.
    pub host_key: Option<String>,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}
