//! Sessions, live and past, and their recordings.
use doorward_model::{ApprovalId, SessionId, Timestamp};
use doorward_store::SeenSession;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A session that is open now, as the gateway knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// Which.
    pub id: SessionId,
    /// On which connection.
    pub connection: String,
    /// Who, to be shown: `issuer/subject`, with the person that they act for.
    pub principal: String,
    /// The identifiers of all who stand behind it.
    pub parties: Vec<String>,
    /// From where.
    pub client: String,
    /// Since when.
    pub started: Timestamp,
    /// The approvals that requests of it wait for, newest first.
    pub waits_for: Vec<ApprovalId>,
}

/// A session. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Which.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Whether it is open now.
    pub live: bool,
    /// On which connection.
    pub connection: String,
    /// Who, as they are shown: `issuer/subject`, or `corp/bot for corp/dana`; none where they did not prove it.
    pub principal: Option<String>,
    /// From where.
    pub client: String,
    /// Since when.
    #[schema(value_type = u64)]
    pub started: Timestamp,
    /// When it ended. None of one that is open, or ended with a gateway that did not end in an orderly way.
    #[schema(value_type = Option<u64>)]
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
    /// Decisions on its requests; one that is held and then let through is two.
    pub requests: u64,
    /// Of these, refusals.
    pub refused: u64,
    /// Of these, holds.
    pub held: u64,
    /// It did so much different that `table` and `command` do not find all of it: the audit log does.
    pub cut: bool,
    /// The approvals that requests of it wait for, newest first.
    #[schema(value_type = Vec<String>)]
    pub waits_for: Vec<ApprovalId>,
}

impl From<LiveSession> for SessionView {
    fn from(s: LiveSession) -> Self {
        Self {
            id: s.id,
            live: true,
            connection: s.connection,
            principal: Some(s.principal),
            client: s.client,
            started: s.started,
            ended: None,
            reason: None,
            requests: 0,
            refused: 0,
            held: 0,
            cut: false,
            waits_for: s.waits_for,
        }
    }
}

impl From<SeenSession> for SessionView {
    fn from(s: SeenSession) -> Self {
        let (ended, reason) = s.ended.unzip();
        Self {
            id: s.id,
            live: false,
            connection: s.connection,
            principal: s.principal,
            client: s.client,
            started: s.started,
            ended,
            reason,
            requests: s.requests,
            refused: s.refused,
            held: s.held,
            cut: s.is_cut,
            waits_for: Vec::new(),
        }
    }
}

/// `GET /sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<SessionView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
}

/// Which sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionState {
    /// All.
    #[default]
    All,
    /// Open now.
    Live,
    /// Over.
    Past,
}

/// Which sessions are looked for. Everything given has to hold; `table`, `command` and `outcome` of one request.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsQuery {
    /// Which.
    #[param(inline)]
    #[serde(default)]
    pub(crate) state: Option<SessionState>,
    /// A part of `issuer/subject`; of an agent that acts for a person, of either.
    #[param(max_length = 300)]
    pub(crate) principal: Option<String>,
    /// The connection's name.
    #[param(max_length = 300)]
    pub(crate) connection: Option<String>,
    /// A part of what was touched: a table, a column, a file, a program, an object.
    #[param(max_length = 300)]
    pub(crate) table: Option<String>,
    /// A part of the command, as `DROP TABLE`.
    #[param(max_length = 300)]
    pub(crate) command: Option<String>,
    /// What was done with a request.
    #[param(inline)]
    pub(crate) outcome: Option<super::OutcomeView>,
    /// Begun not before: RFC 3339, or a date.
    pub(crate) since: Option<String>,
    /// Begun before.
    pub(crate) until: Option<String>,
    /// The `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
}

/// `GET /sessions/{id}/recording`: what a recording says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingView {
    /// The session.
    pub session: String,
    /// On which connection.
    pub connection: String,
    /// `postgres`, `mysql`, `ssh`, `kubernetes`.
    pub protocol: String,
    /// From where.
    pub client: String,
    /// Since when.
    #[schema(value_type = u64)]
    pub started: Timestamp,
    /// Bytes on the disk, by now.
    pub bytes: u64,
}

/// `POST /sessions/{id}/recording/verify`: whether a recording is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingCheck {
    /// Whether nothing of it was changed and it ends as it should; one of a session that is open has no end yet.
    pub intact: bool,
    /// What is wrong.
    pub problem: Option<String>,
    /// How it ends.
    pub ending: Option<String>,
    /// Frames read.
    pub frames: u64,
    /// Bytes of the client.
    pub client_bytes: u64,
    /// Bytes sent to the client.
    pub upstream_bytes: u64,
    /// Bytes that could not be kept.
    pub lost_bytes: u64,
}

/// What a step of a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// The client said it.
    Sent,
    /// The upstream answered, or a program wrote it.
    Answered,
    /// An error.
    Failed,
    /// Rows of a result.
    Rows,
    /// A request of Kubernetes, with its number.
    Request,
    /// Something about the recording.
    Note,
}

/// One step of a recording, as the replay shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its number, from 0.
    pub number: u64,
    /// When (microseconds since 1970, UTC).
    #[schema(value_type = u64)]
    pub time: Timestamp,
    /// What it is.
    pub kind: StepKind,
    /// Its text.
    pub text: String,
    /// Of rows: the columns.
    pub columns: Vec<String>,
    /// Of rows: some of them.
    pub rows: Vec<Vec<String>>,
    /// Of rows: how many more there were.
    pub more: u64,
}

/// `GET /sessions/{id}/recording/steps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepList {
    /// Oldest first.
    pub steps: Vec<StepView>,
    /// Where there may be more: the `cursor` of the next page.
    pub next: Option<String>,
    /// What kept it from being read on.
    pub problem: Option<String>,
}

/// A page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// The `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
}

/// In which form a recording is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordingFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// For Wireshark.
    Pcapng,
    /// As it is on the disk, to be verified elsewhere.
    Raw,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContentQuery {
    /// In which form; `jsonl` where it is not given.
    #[param(inline)]
    pub(crate) format: Option<RecordingFormat>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CastQuery {
    /// Which channel of an SSH session; of the terminals, the first.
    pub(crate) channel: Option<u32>,
    /// Which `exec` or `attach` of a Kubernetes session; of the terminals, the first.
    pub(crate) request: Option<u32>,
}
