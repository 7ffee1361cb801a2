//! Held requests: the inbox and the page of one.
use crate::{Inert, Moment, Notice, Shell, moment::exact};
use askama::Template;
use doorward_model::Timestamp;

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for people.
    Pending,
    /// Enough said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Time ran out.
    Expired,
    /// The caller went away.
    Withdrawn,
}

impl State {
    /// Its name, also that of its style.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What one policy asks for.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// The policy.
    pub policy: Inert,
    /// Why.
    pub reason: Option<Inert>,
    /// Who may decide.
    pub groups: Vec<Inert>,
    /// How many different people.
    pub quorum: u32,
    /// Who else may decide, and from when on.
    pub later: Option<(Inert, Timestamp)>,
    /// Who may let it through alone, in an emergency.
    pub glass: Option<Inert>,
}

/// What one person said.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Who.
    pub by: Inert,
    /// Yes or no.
    pub yes: bool,
    /// In their words.
    pub comment: Inert,
    /// When.
    pub time: Timestamp,
    /// Whether they broke the glass.
    pub glass: bool,
    /// The account of a chat that it came from.
    pub via: Option<Inert>,
}

/// A held request as people see it.
#[derive(Clone, Debug)]
pub struct Approval {
    /// Which.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// The session that waits.
    pub session: String,
    /// Who asks.
    pub principal: Inert,
    /// `agent` or `person`.
    pub kind: &'static str,
    /// Through what.
    pub connection: Inert,
    /// The statement or command, whole.
    pub statement: Inert,
    /// Its parameters.
    pub parameters: Vec<Inert>,
    /// The command as users name it.
    pub command: Inert,
    /// The rights it needs.
    pub accesses: Vec<Inert>,
    /// SHA-256 of the bytes that would go.
    pub digest: String,
    /// What has to be met.
    pub requirements: Vec<Requirement>,
    /// When it was asked.
    pub asked: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<Inert>,
    /// What people said.
    pub verdicts: Vec<Verdict>,
    /// Whether the person who looks may decide it now.
    pub may_decide: bool,
    /// Whether the person who looks may let it through alone, in an emergency.
    pub may_break_glass: bool,
}

impl Approval {
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// Whether it can be read whole in the inbox: what cannot is decided on its own page.
    pub(crate) fn is_short(&self) -> bool {
        !self.statement.is_long() && self.parameters.len() <= 8 && !self.parameters.iter().any(Inert::is_long)
    }

    pub(crate) fn yes(&self) -> usize {
        self.verdicts.iter().filter(|v| v.yes).count()
    }

    pub(crate) fn expires_exact(&self) -> String {
        exact(self.expires)
    }

    pub(crate) fn label(&self) -> String {
        format!("{} on {}: {}", self.principal.line(60), self.connection.line(40), self.statement.line(80))
    }
}

/// The approvals that wait, as a page.
#[derive(Debug, Template)]
#[template(path = "inbox.html")]
pub struct Inbox {
    /// The frame.
    pub shell: Shell,
    /// What waits.
    pub list: InboxList,
    /// What ended lately.
    pub ended: Vec<Approval>,
    /// The page of older ones: its `before`.
    pub older: Option<String>,
    /// About what was just done.
    pub notice: Option<Notice>,
}

/// The part of the inbox that changes live.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/inbox_list.html")]
pub struct InboxList {
    /// Oldest first: what ends first.
    pub approvals: Vec<Approval>,
    /// When it was made.
    pub now: Timestamp,
}

impl InboxList {
    pub(crate) const fn moment(&self, at: &Timestamp) -> Moment {
        Moment { at: *at, now: self.now }
    }
}

/// One approval.
#[derive(Debug, Template)]
#[template(path = "approval.html")]
pub struct ApprovalPage {
    /// The frame.
    pub shell: Shell,
    /// It.
    pub status: Status,
    /// About what was just done.
    pub notice: Option<Notice>,
    /// A comment that was not taken.
    pub comment: String,
}

/// The part of an approval's page that changes live.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/approval_status.html")]
pub struct Status {
    /// Which.
    pub approval: Approval,
    /// When it was made.
    pub now: Timestamp,
}

impl Status {
    pub(crate) const fn moment(&self, at: &Timestamp) -> Moment {
        Moment { at: *at, now: self.now }
    }
}

impl askama::filters::HtmlSafe for InboxList {}
impl askama::filters::HtmlSafe for Status {}
