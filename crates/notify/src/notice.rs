//! What there is to tell.
use doorward_model::{Access, ApprovalId, Facts, Parties, Resource, Timestamp};
use doorward_store::{ApprovalState, StoredApproval};
use doorward_terminal::printable;
use serde_json::{Value, json};

/// Characters of a statement in a message.
const STATEMENT: usize = 1000;
/// Parameters in a message.
const PARAMETERS: usize = 20;
/// What a statement does, in a message.
const ACCESSES: usize = 20;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody asks.
    Asked,
    /// Nobody decided for a while: others are asked.
    Escalated { groups: Vec<String> },
    /// Somebody said yes or no.
    Decided { by: String, approved: bool, comment: String },
    /// Somebody let it through alone, in an emergency.
    GlassBroken { by: String, reason: String },
    /// Nobody has to decide any more.
    Ended { reason: String },
}

impl Event {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Asked => "approval.requested",
            Self::Escalated { .. } => "approval.escalated",
            Self::Decided { .. } => "approval.decided",
            Self::GlassBroken { .. } => "approval.glass_broken",
            Self::Ended { .. } => "approval.ended",
        }
    }
}

/// A message, before it is put into the words of a channel. All texts can be shown as they are.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// The line of the audit log: the same each time it is sent.
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) event: Event,
    pub(crate) approval: ApprovalId,
    pub(crate) state: ApprovalState,
    pub(crate) principal: String,
    /// The agent and the person that it acts for, where it does.
    pub(crate) parties: Option<Parties>,
    pub(crate) connection: String,
    pub(crate) command: String,
    pub(crate) statement: Option<String>,
    pub(crate) parameters: Vec<String>,
    /// Whether statement and parameters are all there: what is to run can be read in the message.
    pub(crate) whole: bool,
    /// What it would do, by the names that it resolves to.
    pub(crate) does: Vec<String>,
    pub(crate) reasons: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) expires: Timestamp,
    pub(crate) link: String,
}

impl Notice {
    pub(crate) fn new(seq: u64, time: Timestamp, event: Event, a: &StoredApproval, link: String, shows: bool) -> Self {
        let r = &a.request;
        let reason = |policy: &str, reason: &Option<String>| match reason {
            Some(reason) => format!("{policy}: {reason}"),
            None => policy.to_owned(),
        };
        let event = match event {
            Event::Asked => Event::Asked,
            Event::Decided { by, approved, comment } => {
                Event::Decided { by: printable(&by), approved, comment: printable(&comment) }
            }
            Event::Escalated { groups } => Event::Escalated { groups: groups.iter().map(|g| printable(g)).collect() },
            Event::GlassBroken { by, reason } => Event::GlassBroken { by: printable(&by), reason: printable(&reason) },
            Event::Ended { reason } => Event::Ended { reason: printable(&reason) },
        };
        Self {
            seq,
            time,
            event,
            approval: r.id,
            state: a.state,
            principal: printable(&r.principal.to_string()),
            parties: r
                .principal
                .parties()
                .map(|p| Parties { actor: printable(&p.actor), on_behalf_of: printable(&p.on_behalf_of) }),
            connection: printable(r.connection.as_str()),
            command: printable(r.facts.command.as_ref()),
            whole: shows && is_whole(&r.statement) && r.parameters.is_empty() && says_all(&r.facts),
            does: r.facts.accesses.iter().take(ACCESSES).map(|a| cut(&a.to_string())).collect(),
            statement: shows.then(|| cut(&r.statement)),
            parameters: if shows { r.parameters.iter().take(PARAMETERS).map(|p| cut(p)).collect() } else { Vec::new() },
            reasons: r.requirements.iter().map(|q| printable(&reason(&q.policy, &q.reason))).collect(),
            groups: r.requirements.iter().flat_map(|q| &q.groups).map(|g| printable(g)).collect(),
            expires: r.expires,
            link,
        }
    }

    /// One line that says what it is about.
    pub(crate) fn title(&self) -> String {
        let what = format!("{} on {} by {}", self.command, self.connection, self.principal);
        match &self.event {
            Event::Asked => format!("Approval wanted: {what}"),
            Event::Escalated { .. } => format!("Still nobody decided: {what}"),
            Event::GlassBroken { by, .. } => format!("GLASS BROKEN by {by}: {what}"),
            Event::Decided { by, approved: true, .. } => format!("Approved by {by}: {what}"),
            Event::Decided { by, approved: false, .. } => format!("Denied by {by}: {what}"),
            Event::Ended { reason } => format!("No longer waits ({reason}): {what}"),
        }
    }

    /// Names and values for people, in order.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut out = vec![
            ("Who asks", self.principal.clone()),
            ("Connection", self.connection.clone()),
            ("Why it waits", self.reasons.join("; ")),
            ("Who may decide", self.groups.join(", ")),
        ];
        match &self.event {
            Event::Asked => out.push(("Expires", when(self.expires))),
            Event::Escalated { groups } => {
                out.push(("Now asked, too", groups.join(", ")));
                out.push(("Expires", when(self.expires)));
            }
            Event::GlassBroken { reason, .. } => out.push(("Reason", reason.clone())),
            Event::Decided { comment, .. } if !comment.is_empty() => out.push(("Comment", comment.clone())),
            Event::Decided { .. } | Event::Ended { .. } => {}
        }
        if self.whole {
            out.push(("What it would do", self.does.join("; ")));
        }
        if !self.parameters.is_empty() {
            out.push(("Parameters", self.parameters.join(", ")));
        }
        out
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let mut data = json!({
            "approval": self.approval.to_string(),
            "state": self.state.as_str(),
            "principal": self.principal,
            "connection": self.connection,
            "command": self.command,
            "statement": self.statement,
            "parameters": self.parameters,
            "reasons": self.reasons,
            "groups": self.groups,
            "expires": when(self.expires),
            "link": self.link,
        });
        if let (Some(parties), Some(map)) = (&self.parties, data.as_object_mut()) {
            map.insert("parties".into(), json!(parties));
        }
        if let (Event::Decided { by, approved, comment }, Some(map)) = (&self.event, data.as_object_mut()) {
            map.insert("verdict".into(), json!({ "by": by, "approved": approved, "comment": comment }));
        }
        if let (Event::Escalated { groups }, Some(map)) = (&self.event, data.as_object_mut()) {
            map.insert("escalated_to".into(), json!(groups));
        }
        if let (Event::GlassBroken { by, reason }, Some(map)) = (&self.event, data.as_object_mut()) {
            map.insert("glass_broken".into(), json!({ "by": by, "reason": reason }));
        }
        if let (Event::Ended { reason }, Some(map)) = (&self.event, data.as_object_mut()) {
            map.insert("reason".into(), json!(reason));
        }
        json!({ "type": self.event.name(), "timestamp": when(self.time), "data": data })
    }
}

/// A bounded text in which nothing acts.
fn cut(text: &str) -> String {
    // What acts is shown by more characters than it is made of.
    let whole = printable(text);
    let shown: String = whole.chars().take(STATEMENT).collect();
    if shown.len() < whole.len() { format!("{shown} …") } else { shown }
}

/// Whether a statement is there whole, and looks like nothing else: what is shown in place of something that acts must not
/// have been written by the caller.
fn is_whole(statement: &str) -> bool {
    let imitates = statement.contains('\u{23ce}') || statement.contains("\\u{");
    printable(statement).chars().count() <= STATEMENT && !statement.contains(is_hidden) && !imitates
}

/// Whether the statement is all that would be sent, and what it names is shown by what it resolves to. What is run by another
/// name (`EXECUTE`, `FETCH`), and objects of clusters, whose bodies are on no line, are for the page.
fn says_all(facts: &Facts) -> bool {
    let by_name = ["EXECUTE", "FETCH", "MOVE"].iter().any(|word| facts.command.to_ascii_uppercase().contains(word));
    let is_body =
        |a: &Access| matches!(a.resource, Resource::ApiObject(_) | Resource::Pod(_) | Resource::Opaque { .. });
    let names: usize = facts.accesses.iter().map(|a| a.to_string().chars().count()).sum();
    !by_name && facts.accesses.len() <= ACCESSES && names <= STATEMENT && !facts.accesses.iter().any(is_body)
}

/// What has no width, hides what follows, or carries a message that nobody sees: pages show it by number, chats do not.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// RFC 3339, in UTC, in seconds.
pub(crate) fn when(t: Timestamp) -> String {
    let seconds = i64::try_from(t.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "1970-01-01T00:00:00Z".into(), |t| t.to_string())
}
