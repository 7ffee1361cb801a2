//! The audit log, verifications of it, trails of approvals.
use super::{ApprovalView, OutcomeView};
use doorward_model::{SessionId, Timestamp};
use doorward_record::{Entry, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntryView {
    /// Its number.
    pub seq: u64,
    /// Its hash: of its line, which holds that of the line before.
    pub hash: String,
    /// What it says: `event` names the kind, `time` is in microseconds since 1970, the rest is by kind.
    #[schema(value_type = Object)]
    pub entry: Value,
}

impl From<&Entry> for AuditEntryView {
    fn from(e: &Entry) -> Self {
        let entry = serde_json::from_str(&e.json).unwrap_or_default();
        Self { seq: e.seq, hash: e.hash.to_string(), entry }
    }
}

/// `GET /audit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// Newest first.
    pub entries: Vec<AuditEntryView>,
    /// Where there may be more: the `cursor` of the next page. A page without entries may have one, where much had to be
    /// looked through.
    pub next: Option<String>,
}

/// Which entries are looked for. Everything given has to hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// A part of `issuer/subject`: of the session's caller, or of who used a right.
    #[param(max_length = 300)]
    pub(crate) principal: Option<String>,
    /// The connection's name.
    #[param(max_length = 300)]
    pub(crate) connection: Option<String>,
    /// The session.
    #[param(value_type = Option<String>)]
    pub(crate) session: Option<SessionId>,
    /// The kind of entry: `request`, `session_opened`, `approval_decided`, …
    pub(crate) kind: Option<String>,
    /// What was done with a request.
    #[param(inline)]
    pub(crate) outcome: Option<OutcomeView>,
    /// A text that the entry's JSON has in it, whatever the case.
    #[param(max_length = 300)]
    pub(crate) text: Option<String>,
    /// Not before: RFC 3339, or a date.
    pub(crate) since: Option<String>,
    /// Before.
    pub(crate) until: Option<String>,
    /// The `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
}

/// `GET /audit/{seq}`: an entry, and what shows with the gateway's public key that it was signed as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditProofView {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub entry: Value,
    /// The hash of the line before.
    pub previous: String,
    /// The lines of the log from this one to that which `checkpoint` signs. The hash of a line is SHA-256 over
    /// `doorward/audit/line/v1`, a line feed, and the line up to `,"hash":`.
    pub lines: Vec<String>,
    /// What signs the last of `lines`; none where the entry is not signed yet, or the signature is too far off.
    pub checkpoint: Option<CheckpointView>,
    /// The gateway's public key, in hexadecimal: compare it with the one that you keep.
    pub public_key: String,
}

/// A signature over all of the log up to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    /// The line that is signed.
    pub seq: u64,
    /// Its hash.
    pub head: String,
    /// When (microseconds since 1970, UTC).
    pub time: u64,
    /// What is signed, to the last byte.
    pub text: String,
    /// ed25519, in hexadecimal.
    pub signature: String,
}

/// `POST /audit/verifications`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVerification {
    /// A head that the log is known to have had (`seq/hash`, as an earlier verification gave it): shows that it was cut back.
    #[serde(default)]
    pub(crate) at_least: Option<String>,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VerificationState {
    /// The log is being read.
    Running,
    /// There is a report.
    Done,
    /// The log, or the key, could not be read.
    Failed,
}

/// A verification of the whole log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationView {
    /// Which.
    pub id: String,
    /// Who asked for it (`issuer/subject`).
    pub by: String,
    /// When it began (microseconds since 1970, UTC).
    #[schema(value_type = u64)]
    pub started: Timestamp,
    /// How far it is.
    pub state: VerificationState,
    /// The number of the last line that was read.
    #[serde(default)]
    pub verified: u64,
    /// The number of the newest entry when it began.
    #[serde(default)]
    pub of: u64,
    /// What came of it.
    pub report: Option<VerificationReport>,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationReport {
    /// Whether nothing is wrong.
    pub intact: bool,
    /// Files read.
    pub files: u64,
    /// Entries read.
    pub entries: u64,
    /// The line after which the log begins, where retention removed what was before.
    pub begins_after: Option<String>,
    /// The last line: keep it elsewhere, for `at_least`.
    pub head: String,
    /// The line that the last good signature is of.
    pub signed_seq: u64,
    /// Entries behind it.
    pub unsigned_entries: u64,
    /// What is wrong: file, line, number.
    pub problems: Vec<String>,
    /// What is not as usual, yet explained.
    pub warnings: Vec<String>,
}

impl From<&Report> for VerificationReport {
    fn from(r: &Report) -> Self {
        Self {
            intact: r.is_intact(),
            files: r.files,
            entries: r.entries,
            begins_after: r.begins.as_ref().map(|b| b.after.to_string()),
            head: r.head.to_string(),
            signed_seq: r.signed_seq,
            unsigned_entries: r.unsigned_entries,
            problems: r.problems.iter().map(ToString::to_string).collect(),
            warnings: r.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// `GET /approvals/{id}/trail`: who approved this, what exactly, what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalTrail {
    /// The approval, with what was asked and what people said.
    pub approval: ApprovalView,
    /// What was done with the request in the end; none as long as it waits, or where its caller left.
    pub outcome: Option<OutcomeView>,
    /// What the upstream answered: the command tag, or its error.
    pub result: Option<String>,
    /// All entries of the audit log about it, oldest first; those that retention removed are not there.
    pub entries: Vec<AuditEntryView>,
}
