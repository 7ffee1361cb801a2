//! Sessions: live, past, and what was recorded of one.
use crate::{Inert, Moment, Notice, Shell};
use askama::Template;
use doorward_model::Timestamp;

/// A session that is open.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Which.
    pub id: String,
    /// On which connection.
    pub connection: Inert,
    /// Whose.
    pub principal: Inert,
    /// From where.
    pub client: Inert,
    /// Since when.
    pub started: Timestamp,
    /// Approvals that it waits for.
    pub waits_for: Vec<String>,
}

/// A session as the audit log has it.
#[derive(Clone, Debug)]
pub struct SessionSummary {
    /// Which.
    pub id: String,
    /// On which connection.
    pub connection: Inert,
    /// Whose; none: nobody proved who they are.
    pub principal: Option<Inert>,
    /// From where.
    pub client: Inert,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<Inert>,
    /// Requests that were decided.
    pub requests: u64,
    /// Of them refused.
    pub refused: u64,
    /// Of them held.
    pub held: u64,
}

/// What is looked for, as it was typed.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Part of a principal.
    pub principal: String,
    /// A connection.
    pub connection: String,
    /// Part of a statement, command, or table.
    pub text: String,
    /// `forward`, `hold`, `refuse`.
    pub outcome: String,
}

/// The live ones, which the page asks for again and again.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/live_sessions.html")]
pub struct LiveList {
    /// Oldest first.
    pub sessions: Vec<LiveSession>,
    /// When it was made.
    pub now: Timestamp,
}

impl LiveList {
    pub(crate) const fn moment(&self, at: &Timestamp) -> Moment {
        Moment { at: *at, now: self.now }
    }
}

impl askama::filters::HtmlSafe for LiveList {}

/// All sessions.
#[derive(Debug, Template)]
#[template(path = "sessions.html")]
pub struct SessionsPage {
    /// The frame.
    pub shell: Shell,
    /// The live ones.
    pub live: LiveList,
    /// The past ones that were found, newest first.
    pub past: Vec<SessionSummary>,
    /// What was looked for.
    pub search: Search,
    /// The address of older ones.
    pub older: Option<String>,
    /// About what was just done.
    pub notice: Option<Notice>,
}

/// A step of a recorded session.
#[derive(Clone, Debug)]
pub enum Step {
    /// What the caller sent.
    Sent(Inert),
    /// What it was answered.
    Answered(Inert),
    /// That something was refused or went wrong.
    Failed(Inert),
    /// A result.
    Rows {
        /// Names of its columns.
        names: Vec<Inert>,
        /// Its first rows.
        rows: Vec<Vec<Inert>>,
        /// How many more there were.
        more: u64,
    },
    /// A remark.
    Note(Inert),
}

/// A step and its time.
#[derive(Clone, Debug)]
pub struct Timed {
    /// When.
    pub time: Timestamp,
    /// What.
    pub step: Step,
}

/// A request of a Kubernetes session.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Its number.
    pub number: u32,
    /// When.
    pub time: Timestamp,
    /// What.
    pub statement: Inert,
    /// What became of it.
    pub result: Inert,
    /// The address of its terminal, where it has one.
    pub terminal: Option<String>,
}

/// What there is to be shown of a recording.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Terminals: what they are called, and where to watch them.
    pub terminals: Vec<(String, String)>,
    /// Requests.
    pub requests: Vec<RecordedRequest>,
    /// Steps.
    pub steps: Vec<Timed>,
    /// Where there is more than is shown.
    pub cut: bool,
    /// What kept it from being read to its end; or that there is none.
    pub problem: Option<Inert>,
}

/// A decision on a request of the session.
#[derive(Clone, Debug)]
pub struct Decision {
    /// When.
    pub time: Timestamp,
    /// `forward`, `hold`, `refuse`.
    pub outcome: &'static str,
    /// What was asked.
    pub statement: Inert,
    /// The policies that decided, or why not.
    pub why: Inert,
    /// What came of it.
    pub result: Option<Inert>,
    /// The approval it was let through by or waits for.
    pub approval: Option<String>,
}

/// What of a session changes while it is open; its page asks for it again and again then.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/session_body.html")]
pub struct SessionBody {
    /// Which session.
    pub id: String,
    /// Whether it is open now.
    pub live: bool,
    /// Approvals it waits for.
    pub waits_for: Vec<String>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// Whether there were more.
    pub more_decisions: bool,
    /// What was recorded.
    pub recorded: Recorded,
    /// Another one whenever there is something else to be seen.
    pub mark: String,
    /// After how many seconds the page asks again.
    pub every: u64,
    /// When it was made.
    pub now: Timestamp,
}

impl SessionBody {
    pub(crate) const fn moment(&self, at: &Timestamp) -> Moment {
        Moment { at: *at, now: self.now }
    }
}

impl askama::filters::HtmlSafe for SessionBody {}

/// One session.
#[derive(Debug, Template)]
#[template(path = "session.html")]
pub struct SessionPage {
    /// The frame.
    pub shell: Shell,
    /// It.
    pub session: SessionSummary,
    /// What changes.
    pub body: SessionBody,
    /// Whether the person may end it.
    pub may_kill: bool,
    /// Whether the person may hold it for the law.
    pub may_hold: bool,
    /// About what was just done.
    pub notice: Option<Notice>,
}

/// One request of a Kubernetes session.
#[derive(Debug, Template)]
#[template(path = "request.html")]
pub struct RequestPage {
    /// The frame.
    pub shell: Shell,
    /// The session.
    pub session: String,
    /// The request.
    pub request: RecordedRequest,
    /// What was sent and answered.
    pub steps: Vec<Timed>,
    /// Whether there is more than is shown.
    pub cut: bool,
}

impl RequestPage {
    pub(crate) const fn moment(&self, at: &Timestamp) -> Moment {
        self.shell.moment(at)
    }
}

/// A terminal, played.
#[derive(Debug, Template)]
#[template(path = "terminal.html")]
pub struct TerminalPage {
    /// The frame.
    pub shell: Shell,
    /// The session.
    pub session: String,
    /// Where the asciicast is.
    pub cast: String,
}
