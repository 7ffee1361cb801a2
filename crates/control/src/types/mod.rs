//! What the interface says, in the words of its JSON: shared by the server and the client.
mod administration;
mod audit;
mod chat;
mod classify;
mod connections;
mod explain;
mod policies;
mod sessions;

pub use administration::{
    ApiKeyList, ApiKeyMade, ApiKeyView, ExportFailure, ExportList, ExportView, GroupList, GroupView, HoldList,
    HoldView, IssuerEntry, IssuerList, NewApiKey, PrincipalList, PrincipalView, ScopeView, TagList, TagView,
};
pub(crate) use administration::{KeyOwner, KeysQuery, NewHold};
pub use audit::{
    ApprovalTrail, AuditEntryView, AuditList, AuditProofView, CheckpointView, VerificationReport, VerificationState,
    VerificationView,
};
pub(crate) use audit::{AuditQuery, NewVerification};
pub use chat::{ChatAccountIdView, ChatAccountList, ChatAccountView};
pub use classify::{ClassificationView, ClassifiedColumn, LeftOut, NewClassification};
pub use connections::{
    ConnectionList, ConnectionSource, ConnectionSpec, ConnectionTest, ConnectionView, NewConnection, NewConnectionTest,
};
pub use explain::{
    ExplainedApproval, ExplainedColumn, ExplainedPolicy, ExplainedRefusal, ExplainedStep, ExplanationView,
    NewExplanation,
};
pub use policies::{
    Activate, BackTestExample, BackTestGroup, BackTestReport, NewPolicyVersion, OutcomeView, PoliciesView,
    PolicyActivationView, PolicyCheck, PolicyDiff, PolicyProblem, PolicySource, PolicyText, PolicyVersionList,
    PolicyVersionView, PolicyView,
};
pub(crate) use policies::{BackTestQuery, DiffQuery, VersionsQuery};
pub(crate) use sessions::{CastQuery, ContentQuery, PageQuery, RecordingFormat, SessionState, SessionsQuery};
pub use sessions::{
    LiveSession, RecordingCheck, RecordingView, SessionList, SessionView, StepKind, StepList, StepView,
};

use doorward_enforce::{Requirement, Shown};
use doorward_model::{ApprovalId, PrincipalKind, SessionId, Timestamp};
use doorward_store::{ApprovalState, StoredApproval, StoredVerdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: String,
}

/// `GET /ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether the gateway can serve.
    pub(crate) ready: bool,
    /// What fails: `audit`, `recording`, `store`, `draining`.
    pub(crate) failing: Vec<String>,
}

/// An approval as those see it whose business it is. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// Which.
    #[schema(value_type = String)]
    pub id: ApprovalId,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: ApprovalState,
    /// The session that waits.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Who asks, as they are shown: `issuer/subject`, or `corp/bot for corp/dana` for an agent that acts for a person.
    pub principal: String,
    /// The two, where an agent acts for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parties: Option<PartiesView>,
    /// An agent or a person.
    #[schema(value_type = String)]
    pub kind: PrincipalKind,
    /// On which connection.
    pub connection: String,
    /// The statement, whole.
    pub statement: String,
    /// The parameter values, whole. Values that are no text begin with `binary \x`, and are in hexadecimal.
    pub parameters: Vec<String>,
    /// Sets of parameter values, where the statement runs once for each.
    #[serde(default)]
    pub rows: Vec<Vec<String>>,
    /// What else is sent: a manifest, the text of what is run by its name.
    #[serde(default)]
    pub parts: Vec<PartView>,
    /// What has a say in it and cannot be shown. Empty: everything that would run is here, unless it is `abridged`.
    #[serde(default)]
    pub unseen: Vec<String>,
    /// What is no part of what is approved.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Whether this is in a list, and what is long is left out of it: the end of the statement, and parameters, rows, parts,
    /// notes. The approval itself (`GET /approvals/{id}`) has them.
    #[serde(default)]
    pub abridged: bool,
    /// When its texts were removed (`[retention] approvals_days`): the statement, and what was shown besides it, are empty then, and a
    /// long list of rights is. None: they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub forgotten: Option<Timestamp>,
    /// The command as users name it.
    pub command: String,
    /// The rights it needs.
    pub accesses: Vec<String>,
    /// SHA-256 of the bytes that an approval lets through, in hexadecimal.
    pub digest: String,
    /// What has to be met.
    pub requirements: Vec<RequirementView>,
    /// When it was asked.
    #[schema(value_type = u64)]
    pub asked: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = u64)]
    pub expires: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<u64>)]
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
    /// What people said, oldest first.
    pub verdicts: Vec<VerdictView>,
    /// Whether the person who looks may decide it now.
    pub may_decide: bool,
    /// Whether the person who looks may let it through alone, in an emergency.
    pub may_break_glass: bool,
}

/// A text that belongs to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartView {
    /// What it is.
    pub name: String,
    /// It, whole.
    pub text: String,
}

/// An agent and the person that it acts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartiesView {
    /// The agent (`issuer/subject`).
    pub actor: String,
    /// The person (`issuer/subject`).
    pub on_behalf_of: String,
}

/// What one policy asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequirementView {
    /// The policy.
    pub policy: String,
    /// Why, in the policy's words.
    pub reason: Option<String>,
    /// A member of any of these groups may decide.
    pub groups: Vec<String>,
    /// How many different people.
    pub quorum: u32,
    /// Who else may decide once it has waited for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<EscalationView>,
    /// A member of any of these groups may let it through alone, in an emergency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub break_glass: Vec<String>,
}

/// Who else may decide, later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EscalationView {
    /// A member of any of these groups.
    pub groups: Vec<String>,
    /// From when on, in microseconds since 1970.
    #[schema(value_type = u64)]
    pub at: Timestamp,
}

/// What one person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictView {
    /// Who (`issuer/subject`).
    pub by: String,
    /// Yes or no.
    pub yes: bool,
    /// In their words.
    pub comment: String,
    /// When.
    #[schema(value_type = u64)]
    pub time: Timestamp,
    /// Whether they broke the glass.
    #[serde(default)]
    pub break_glass: bool,
    /// The account of a chat that it came from; none where it was given on a page or by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ChatAccountIdView>,
}

/// `GET /approvals`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalList {
    /// Those that the person may see.
    pub approvals: Vec<ApprovalView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// The body of `approve` and `deny`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProblemDetails {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// Of policies that are not right: what and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PolicyProblem>,
}

impl ApprovalView {
    pub(crate) fn new(a: StoredApproval, may_decide: bool, may_break_glass: bool) -> Self {
        let r = a.request;
        let Shown { parameters, rows, parts, unseen, notes } = Arc::unwrap_or_clone(r.shown);
        Self {
            id: r.id,
            state: a.state,
            session: r.session,
            principal: r.principal.to_string(),
            parties: r.principal.parties().map(|p| PartiesView { actor: p.actor, on_behalf_of: p.on_behalf_of }),
            kind: r.principal.kind,
            connection: r.connection.to_string(),
            statement: r.statement.to_string(),
            parameters,
            rows,
            parts: parts.into_iter().map(|p| PartView { name: p.name, text: p.text }).collect(),
            unseen,
            notes,
            abridged: a.abridged,
            forgotten: a.forgotten,
            command: r.facts.command.to_string(),
            accesses: r.facts.accesses.iter().map(ToString::to_string).collect(),
            digest: r.digest,
            requirements: r.requirements.into_iter().map(|q| RequirementView::new(q, r.asked)).collect(),
            asked: r.asked,
            expires: r.expires,
            ended: a.ended,
            reason: a.reason,
            verdicts: a.verdicts.into_iter().map(VerdictView::from).collect(),
            may_decide,
            may_break_glass,
        }
    }
}

/// Asks for a certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SshCertificateRequest {
    /// The public key, one line in OpenSSH's format.
    pub(crate) public_key: String,
    /// How long it should be good for, in seconds: never longer than the token.
    #[serde(default)]
    pub(crate) ttl_seconds: Option<u64>,
}

/// A certificate that callers log in over SSH with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshCertificate {
    /// One line, for `~/.ssh/…-cert.pub`.
    pub certificate: String,
    /// Its number.
    pub serial: u64,
    /// The key it is for.
    pub fingerprint: String,
    /// Whom it stands for (`issuer/subject`).
    pub principal: String,
    /// When it ends.
    #[schema(value_type = u64)]
    pub expires: Timestamp,
}

/// An endpoint for SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshAccessView {
    /// The connection.
    pub name: String,
    /// Its host; none where the gateway listens on every address: then it is that of the API.
    pub host: Option<String>,
    /// Its TCP port.
    pub port: u16,
    /// The gateway's host keys, as in `known_hosts`: the one that it shows, and the one that is to come.
    pub host_keys: Vec<String>,
    /// The user name that asks for it where several share an address; one that begins with `+` goes behind one's own.
    pub user: Option<String>,
}

/// Asks for a short-lived credential.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialRequest {
    /// For which connection.
    pub(crate) connection: String,
    /// How long it should be good for, in seconds: never longer than the token.
    #[serde(default)]
    pub(crate) ttl_seconds: Option<u64>,
}

/// A short-lived user name and password for one connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialView {
    /// The connection.
    pub connection: String,
    /// Its kind: `mysql`.
    pub kind: String,
    /// Its host; none where the gateway listens on every address: then it is that of the API.
    pub host: Option<String>,
    /// Its TCP port.
    pub port: u16,
    /// Its database, where it is pinned.
    pub database: Option<String>,
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whom it stands for (`issuer/subject`).
    pub principal: String,
    /// Until when one may log in with it.
    #[schema(value_type = u64)]
    pub expires: Timestamp,
}

impl std::fmt::Debug for CredentialView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connection, user, principal, expires, .. } = self;
        write!(f, "CredentialView({user} of {principal} for {connection} until {})", expires.as_secs())
    }
}

impl RequirementView {
    fn new(r: Requirement, asked: Timestamp) -> Self {
        let escalation = r.escalation.map(|e| EscalationView { groups: e.groups, at: asked.after(e.after) });
        let Requirement { policy, reason, groups, quorum, break_glass, .. } = r;
        Self { policy, reason, groups, quorum, escalation, break_glass }
    }
}

impl From<StoredVerdict> for VerdictView {
    fn from(v: StoredVerdict) -> Self {
        Self {
            by: v.by,
            yes: v.yes,
            comment: v.comment,
            time: v.time,
            break_glass: v.break_glass,
            via: v.via.map(Into::into),
        }
    }
}

/// A secret, without what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// How often it was written.
    pub version: i64,
    /// When it was written.
    #[schema(value_type = u64)]
    pub updated: Timestamp,
    /// By whom (`issuer/subject`).
    pub updated_by: String,
    /// The connections that use it.
    pub used_by: Vec<String>,
    /// Where it is kept, if not in the store: it is changed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What became of the secrets when another key took over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RewrapView {
    /// The key that wraps them all now: a digest that says nothing of it.
    pub key: String,
    /// How many were wrapped anew.
    pub rewrapped: usize,
    /// How many there are.
    pub secrets: usize,
}

/// `GET /secrets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// By name.
    pub secrets: Vec<SecretView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// `PUT /secrets/{name}`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    /// The secret itself: up to 65,536 bytes.
    pub(crate) value: String,
}
