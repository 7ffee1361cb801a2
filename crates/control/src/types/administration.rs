//! API keys, exports, legal holds, issuers, principals, groups, tags.
use doorward_model::{PrincipalKind, SessionId, Timestamp};
use doorward_store::{ApiKey, KeyScope, LegalHold, Limit, SeenGroup, SeenPrincipal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// `"all"`, or a list of names.
fn limit_schema() -> RefOr<Schema> {
    let name = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    let names = ArrayBuilder::new().items(name).max_items(Some(100));
    let all = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["all"]));
    Schema::OneOf(OneOfBuilder::new().item(all).item(names).description(Some("`\"all\"`, or names")).build()).into()
}

/// What a key may be used for. Never more than its owner may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeView {
    /// Actions, by their names in policies.
    #[schema(schema_with = limit_schema)]
    pub actions: Limit,
    /// Connections, by name.
    #[schema(schema_with = limit_schema)]
    pub connections: Limit,
}

impl From<ScopeView> for KeyScope {
    fn from(s: ScopeView) -> Self {
        Self { actions: s.actions, connections: s.connections }
    }
}

/// `POST /keys`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is called.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// What it may be used for.
    pub scope: ScopeView,
    /// How long it is good for, in seconds: a minute to 366 days; 90 days where nothing is said.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 31_622_400)]
    pub ttl_seconds: Option<u64>,
}

/// An API key, without its secret. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyView {
    /// Names it, and proves nothing.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Its owner (`issuer/subject`).
    pub principal: String,
    /// The groups of its owner when it was made: those it acts with.
    pub groups: BTreeSet<String>,
    /// What it may be used for.
    pub scope: ScopeView,
    /// When it was made.
    #[schema(value_type = u64)]
    pub created: Timestamp,
    /// Until when it is good.
    #[schema(value_type = u64)]
    pub expires: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<u64>)]
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<u64>)]
    pub revoked: Option<Timestamp>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(k: ApiKey) -> Self {
        Self {
            id: k.id,
            name: k.name,
            principal: k.principal.to_string(),
            groups: k.principal.groups,
            scope: ScopeView { actions: k.scope.actions, connections: k.scope.connections },
            created: k.created,
            expires: k.principal.expires_at,
            last_used: k.last_used,
            revoked: k.revoked,
        }
    }
}

/// A key that was made. Its secret is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyMade {
    /// What `Authorization: Bearer` takes. It is not kept: only a hash of it is.
    pub secret: String,
    /// The key.
    pub key: ApiKeyView,
}

impl std::fmt::Debug for ApiKeyMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeyMade({:?})", self.key)
    }
}

/// `GET /keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyList {
    /// Newest first; also those that are good no more.
    pub keys: Vec<ApiKeyView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// Whose keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyOwner {
    /// The caller's.
    #[default]
    Mine,
    /// Everybody's.
    All,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysQuery {
    /// Whose; the caller's own where it is not given.
    #[param(inline)]
    pub(crate) owner: Option<KeyOwner>,
    /// The `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
}

/// An exporter of the audit log, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportView {
    /// Its name.
    pub name: String,
    /// The kind of its sink: `syslog`, …
    pub kind: String,
    /// `starting`, `idle`, `sending`, `retrying`, `halted`, `stopped`.
    pub state: String,
    /// The last line of the log that needs no more work of it.
    pub position: Option<u64>,
    /// Entries that its sink has acknowledged since it exists.
    pub acknowledged: u64,
    /// Entries that the sink took and will not keep.
    pub rejected: u64,
    /// Lines of the log behind `position`.
    pub lag: u64,
    /// When the oldest entry happened that is read and not acknowledged.
    #[schema(value_type = Option<u64>)]
    pub oldest_unsent: Option<Timestamp>,
    /// When the sink last acknowledged something, since the gateway began.
    #[schema(value_type = Option<u64>)]
    pub last_success: Option<Timestamp>,
    /// The last failure, since the gateway began; kept after it is over.
    pub last_error: Option<ExportFailure>,
    /// Failures since the last success.
    pub failures: u64,
}

/// A failure of an exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportFailure {
    /// When.
    #[schema(value_type = u64)]
    pub time: Timestamp,
    /// What.
    pub what: String,
}

/// `GET /exports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportList {
    /// By name.
    pub exports: Vec<ExportView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// `PUT /holds/{session}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHold {
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    pub(crate) reason: String,
}

/// A session of which retention removes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// The session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Who ordered it (`issuer/subject`).
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when (microseconds since 1970, UTC).
    #[schema(value_type = u64)]
    pub time: Timestamp,
}

impl From<LegalHold> for HoldView {
    fn from(h: LegalHold) -> Self {
        let LegalHold { session, by, reason, time } = h;
        Self { session, by, reason, time }
    }
}

/// `GET /holds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldList {
    /// By session.
    pub holds: Vec<HoldView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// An issuer whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerEntry {
    /// Its name here.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// What its tokens have to be for.
    pub audience: Vec<String>,
    /// Who its tokens stand for: `agent` or `user`.
    #[schema(value_type = String)]
    pub principal: PrincipalKind,
}

/// `GET /issuers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerList {
    /// By name.
    pub issuers: Vec<IssuerEntry>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// Somebody who opened a session, as far as the audit log goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalView {
    /// `issuer/subject`.
    pub id: String,
    /// An agent or a person.
    #[schema(value_type = String)]
    pub kind: PrincipalKind,
    /// The name of the issuer.
    pub issuer: String,
    /// The name there.
    pub subject: String,
    /// The groups they were in when they last came.
    pub groups: BTreeSet<String>,
    /// When they first came (microseconds since 1970, UTC).
    #[schema(value_type = u64)]
    pub first_seen: Timestamp,
    /// When they last came.
    #[schema(value_type = u64)]
    pub last_seen: Timestamp,
    /// How often they logged in.
    pub sessions: u64,
}

impl From<SeenPrincipal> for PrincipalView {
    fn from(p: SeenPrincipal) -> Self {
        let SeenPrincipal { id, kind, issuer, subject, groups, first_seen, last_seen, sessions } = p;
        Self { id, kind, issuer, subject, groups, first_seen, last_seen, sessions }
    }
}

/// `GET /principals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalList {
    /// By `id`.
    pub principals: Vec<PrincipalView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// A group that somebody was in when they last came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// The name of the issuer.
    pub issuer: String,
    /// Its name.
    pub name: String,
    /// How many are in it.
    pub principals: u64,
    /// When one of them last came (microseconds since 1970, UTC).
    #[schema(value_type = u64)]
    pub last_seen: Timestamp,
}

impl From<SeenGroup> for GroupView {
    fn from(g: SeenGroup) -> Self {
        let SeenGroup { issuer, name, principals, last_seen } = g;
        Self { issuer, name, principals, last_seen }
    }
}

/// `GET /groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupList {
    /// By issuer and name.
    pub groups: Vec<GroupView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// What something of a connection is tagged with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagView {
    /// The connection.
    pub connection: String,
    /// What is tagged: `public.customers.ssn`.
    pub object: String,
    /// The tags.
    pub tags: Vec<String>,
}

/// `GET /tags`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagList {
    /// By connection and object.
    pub tags: Vec<TagView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}
