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

/// What would run besides the statement, whole.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Parameter values.
    pub parameters: Vec<Inert>,
    /// Sets of them, where it runs once for each.
    pub rows: Vec<Vec<Inert>>,
    /// What else is sent, by what it is.
    pub parts: Vec<(Inert, Inert)>,
    /// What has a say in it and cannot be shown.
    pub unseen: Vec<Inert>,
    /// What is no part of it.
    pub notes: Vec<Inert>,
}

impl Shown {
    /// Whether many values are folded up.
    pub(crate) fn has_many(&self) -> bool {
        self.parameters.len() > 40
    }
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
    /// What would run besides it.
    pub shown: Shown,
    /// Whether what is long is left out: of lists.
    pub abridged: bool,
    /// When its texts were removed.
    pub forgotten: Option<Timestamp>,
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
        let Shown { parameters, rows, parts, unseen, notes } = &self.shown;
        let is_few = parameters.len() <= 8 && rows.is_empty() && parts.len() <= 3 && unseen.len() + notes.len() <= 4;
        let mut texts = parameters.iter().chain(parts.iter().map(|(_, text)| text)).chain(unseen).chain(notes);
        !self.abridged && !self.statement.is_long() && is_few && !texts.any(Inert::is_long)
    }

    /// What ran, on one line of a list: the command, where its text was removed.
    pub(crate) fn brief(&self) -> String {
        if self.forgotten.is_some() { self.command.line(90) } else { self.statement.line(90) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn approval(shown: Shown) -> Approval {
        Approval {
            id: "1".into(),
            state: State::Pending,
            session: "2".into(),
            principal: "p".into(),
            kind: "agent",
            connection: "c".into(),
            statement: "DELETE".into(),
            shown,
            abridged: false,
            forgotten: None,
            command: "DELETE".into(),
            accesses: Vec::new(),
            digest: "d".into(),
            requirements: Vec::new(),
            asked: Timestamp::from_secs(1),
            expires: Timestamp::from_secs(2),
            ended: None,
            reason: None,
            verdicts: Vec::new(),
            may_decide: true,
            may_break_glass: false,
        }
    }

    fn page(approval: Approval) -> String {
        let now = Timestamp::from_secs(1);
        let status = Status { approval, now };
        let page = ApprovalPage { shell: Shell::outside("t", now), status, notice: None, comment: String::new() };
        page.render().unwrap()
    }

    fn inbox(approval: Approval) -> String {
        InboxList { approvals: vec![approval], now: Timestamp::from_secs(1) }.render().unwrap()
    }

    fn full() -> Shown {
        Shown {
            parameters: vec!["<script>1</script>".into()],
            rows: vec![vec!["row\u{202e}".into()], vec!["last row".into()]],
            parts: vec![("Body".into(), "{\n  \"a\": \"</code><img>\"\n}".into())],
            unseen: vec!["what follows".into()],
            notes: vec!["input is no part of it".into()],
        }
    }

    #[test]
    fn a_page_has_all_that_would_run_and_none_of_it_acts() {
        let shown = page(approval(full()));
        for part in [
            "&lt;script&gt;1",
            "row<span class=\"esc\">\\u{202e}</span>",
            "last row",
            "&lt;/code&gt;&lt;img&gt;",
            "what follows",
            "input is no part of it",
            "runs 2 times",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("<script>1") && !shown.contains("<img>"), "{shown}");
        // What is long is folded up, and is there.
        let long = vec![("Body".into(), "x\n".repeat(2000).into()); 4];
        let shown = page(approval(Shown { parts: long, ..Shown::default() }));
        assert_eq!(shown.matches("(2000 lines, 4000 characters)").count(), 4, "{shown}");
        assert_eq!(shown.matches("x\n").count(), 8000);
    }

    #[test]
    fn what_was_removed_is_said_to_be() {
        let forgotten = Some(Timestamp::from_secs(1));
        let gone = Approval { forgotten, statement: "".into(), state: State::Denied, ..approval(Shown::default()) };
        assert_eq!(gone.brief(), "DELETE");
        let shown = page(gone);
        assert!(shown.contains("was removed") && !shown.contains("Exactly this would run"), "{shown}");
        assert!(!page(approval(Shown::default())).contains("was removed"));
    }

    #[test]
    fn what_is_not_all_there_is_not_decided_in_the_inbox() {
        let decides = |of: Approval| inbox(of).contains("data-approve");
        let few = Shown { rows: Vec::new(), ..full() };
        assert!(decides(approval(few.clone())), "short enough to be read there");
        assert!(inbox(approval(few)).contains("what follows"));
        for shown in [
            full(),
            Shown { parts: vec![("Body".into(), "x".repeat(700).into())], ..Shown::default() },
            Shown { parts: vec![("Body".into(), "x".into()); 4], ..Shown::default() },
            Shown { parameters: vec!["1".into(); 9], ..Shown::default() },
        ] {
            let inbox = inbox(approval(shown));
            assert!(!inbox.contains("data-approve") && inbox.contains("There is more to it"), "{inbox}");
        }
        assert!(!decides(Approval { abridged: true, ..approval(Shown::default()) }));
    }
}
