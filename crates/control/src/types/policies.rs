//! Policies and their versions, back-tests.
use doorward_enforce::PolicyInfo;
use doorward_model::{AuditOutcome, SessionId, Timestamp};
use doorward_policy::LoadError;
use doorward_store::{PolicyActivation, PolicyMode, PolicyVersion};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What was or would be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeView {
    /// Sent on.
    Forward,
    /// Waits for people.
    Hold,
    /// Not sent on.
    Refuse,
}

impl From<OutcomeView> for AuditOutcome {
    fn from(o: OutcomeView) -> Self {
        match o {
            OutcomeView::Forward => Self::Forward,
            OutcomeView::Hold => Self::Hold,
            OutcomeView::Refuse => Self::Refuse,
        }
    }
}

impl From<AuditOutcome> for OutcomeView {
    fn from(o: AuditOutcome) -> Self {
        match o {
            AuditOutcome::Forward => Self::Forward,
            AuditOutcome::Hold => Self::Hold,
            AuditOutcome::Refuse => Self::Refuse,
        }
    }
}

/// `GET /policies`: what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoliciesView {
    /// A digest of all texts, as the audit log names it.
    pub policy_version: String,
    /// The version that was written here and is in force, if one is.
    pub active: Option<i64>,
    /// The version that is only watched.
    pub monitored: Option<i64>,
    /// The texts: files of the configuration, which are read-only here, and the active version last.
    pub sources: Vec<PolicySource>,
    /// The policies in them, in order.
    pub policies: Vec<PolicyView>,
}

/// One text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySource {
    /// Its name: a file, or a version.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether it comes from the configuration.
    pub read_only: bool,
}

/// What is known of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// Its `@approvers`.
    pub approvers: Vec<String>,
    /// Its `@quorum`.
    pub quorum: u32,
    /// Its `@expires`, in seconds.
    pub expires_seconds: u64,
}

impl From<&PolicyInfo> for PolicyView {
    fn from(p: &PolicyInfo) -> Self {
        Self {
            id: p.id.clone(),
            reason: p.reason.clone(),
            approvers: p.approvers.clone(),
            quorum: p.quorum,
            expires_seconds: p.expires.as_secs(),
        }
    }
}

/// A text of policies.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// The policies.
    pub text: String,
}

/// `POST /policies/check`: what is wrong with a text, together with the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyCheck {
    /// Whether it could be put in force.
    pub ok: bool,
    /// How many policies there would be in all.
    pub policies: usize,
    /// What is wrong.
    pub errors: Vec<PolicyProblem>,
    /// What looks wrong, though it is allowed.
    pub warnings: Vec<PolicyProblem>,
}

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyProblem {
    /// The text: a file, or `text` for the one that was sent.
    pub file: String,
    /// From 1, where known.
    pub line: Option<usize>,
    /// From 1, where known.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// The line, with a mark under the place.
    pub snippet: Option<String>,
}

impl From<&LoadError> for PolicyProblem {
    fn from(e: &LoadError) -> Self {
        Self {
            file: e.file.clone(),
            line: e.at.map(|(line, _)| line),
            column: e.at.map(|(_, column)| column),
            message: e.message.clone(),
            snippet: e.snippet.clone(),
        }
    }
}

/// `POST /policies/versions`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicyVersion {
    /// The policies, whole.
    pub text: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
    /// The version it was made from.
    #[serde(default)]
    pub parent: Option<i64>,
}

/// One version of the policies that people wrote here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersionView {
    /// Its number.
    pub id: i64,
    /// The policies.
    pub text: String,
    /// Who wrote it (`issuer/subject`).
    pub author: String,
    /// Why.
    pub comment: String,
    /// When.
    #[schema(value_type = u64)]
    pub created: Timestamp,
    /// The version it was made from.
    pub parent: Option<i64>,
}

impl From<PolicyVersion> for PolicyVersionView {
    fn from(v: PolicyVersion) -> Self {
        let PolicyVersion { id, text, author, comment, created, parent } = v;
        Self { id, text, author, comment, created, parent }
    }
}

/// `GET /policies/versions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersionList {
    /// Newest first.
    pub versions: Vec<PolicyVersionView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
    /// What was put in force, newest first.
    pub activations: Vec<PolicyActivationView>,
}

/// What was put in force, when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyActivationView {
    /// Which version; none where only the files are in force.
    pub version: Option<i64>,
    /// `enforce` or `monitor`.
    #[schema(value_type = String)]
    pub mode: PolicyMode,
    /// By whom.
    pub by: String,
    /// Why.
    pub comment: String,
    /// When.
    #[schema(value_type = u64)]
    pub time: Timestamp,
}

impl From<PolicyActivation> for PolicyActivationView {
    fn from(a: PolicyActivation) -> Self {
        let PolicyActivation { version, mode, by, comment, time } = a;
        Self { version, mode, by, comment, time }
    }
}

/// `POST /policies/activate`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Activate {
    /// Which version; none to have the files alone in force.
    pub version: Option<i64>,
    /// `enforce`, or `monitor` to have it watched.
    #[serde(default = "enforce")]
    #[schema(value_type = Option<String>)]
    pub mode: PolicyMode,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

const fn enforce() -> PolicyMode {
    PolicyMode::Enforce
}

/// A page of versions.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionsQuery {
    /// The `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
}

/// With what to compare.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The older version; none: the one it was made from.
    pub(crate) from: Option<i64>,
}

/// `GET /policies/versions/{id}/diff`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDiff {
    /// The older version; none: it is compared with nothing.
    pub from: Option<i64>,
    /// The newer one.
    pub to: i64,
    /// In the unified format.
    pub diff: String,
}

/// How far back to test.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackTestQuery {
    /// Days, from 1 to 366; 7 where it is not given.
    #[param(minimum = 1, maximum = 366)]
    pub(crate) days: Option<u32>,
}

/// What a version would have done with the requests of the last days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackTestReport {
    /// From when on.
    #[schema(value_type = u64)]
    pub since: Timestamp,
    /// Requests that were judged.
    pub requests: u64,
    /// Those whose outcome would be another than under the policies in force.
    pub differences: u64,
    /// Requests of callers that are not known any more: they were not judged.
    pub unknown: u64,
    /// Audit entries that could not be read.
    pub unreadable: u64,
    /// Differences that are in no group, where there are too many groups.
    pub left_out: u64,
    /// The differences, most frequent first.
    pub groups: Vec<BackTestGroup>,
}

/// Differences that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackTestGroup {
    /// On which connection.
    pub connection: String,
    /// Who asked.
    pub principal: String,
    /// The command.
    pub command: String,
    /// Under the policies in force.
    pub before: OutcomeView,
    /// The policies that decide so.
    pub before_policies: Vec<String>,
    /// Under the version.
    pub after: OutcomeView,
    /// The policies that decide so.
    pub after_policies: Vec<String>,
    /// How many.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<BackTestExample>,
}

/// One request that would be decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackTestExample {
    /// In which session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Its number there.
    pub request: u64,
    /// When.
    #[schema(value_type = u64)]
    pub time: Timestamp,
    /// Its text, cut.
    pub statement: String,
}
