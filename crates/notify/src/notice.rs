//! What there is to tell.
use doorward_enforce::Shown;
use doorward_model::{Access, ApprovalId, Facts, Parties, Resource, Timestamp, is_invisible};
use doorward_store::{ApprovalState, StoredApproval};
use serde_json::{Value, json};

/// Characters of a statement in a message.
const STATEMENT: usize = 1000;
/// Parameters in a message.
const PARAMETERS: usize = 20;
/// Characters of all parameters in a message: with their name they fit a field of each chat.
const LISTED: usize = 1500;
/// What else is sent, in a message.
const PARTS: usize = 3;
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
    /// The same for people: each with its number, in quotes.
    listed: Option<String>,
    /// What else is sent, by what it is.
    pub(crate) parts: Vec<(String, String)>,
    /// What is no part of what is approved.
    pub(crate) notes: Vec<String>,
    /// Whether all that would run is there, and can be read in the message.
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
            whole: shows && is_readable(&r.statement, STATEMENT) && fits(&r.shown) && says_all(&r.facts),
            does: r.facts.accesses.iter().take(ACCESSES).map(|a| cut(&a.to_string())).collect(),
            statement: shows.then(|| cut(&r.statement)),
            parameters: if shows { parameters(&r.shown) } else { Vec::new() },
            listed: (shows && !r.shown.parameters.is_empty()).then(|| listed(&r.shown.parameters).0),
            parts: if shows { parts(&r.shown) } else { Vec::new() },
            notes: r.shown.notes.iter().map(|note| cut(note)).collect(),
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
        if let Some(listed) = &self.listed {
            out.push(("Parameters", listed.clone()));
        }
        if !self.notes.is_empty() {
            out.push(("No part of it", self.notes.join(" ")));
        }
        let is_asked = matches!(self.event, Event::Asked | Event::Escalated { .. });
        if is_asked && !self.whole {
            out.push(("Not all of it is here", "Read on its page what would run before you decide.".to_owned()));
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
            "parts": self.parts.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect::<Vec<_>>(),
            "notes": self.notes,
            "whole": self.whole,
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

/// Each parameter on a line of its own, so that no two lists that are there whole look the same, and whether all is there.
/// What is not is counted.
fn listed(parameters: &[String]) -> (String, bool) {
    let (mut out, mut left) = (String::new(), LISTED);
    let mut all = true;
    let mut shown = 0_usize;
    for (n, parameter) in (1_usize..).zip(parameters).take(PARAMETERS) {
        if left == 0 {
            break;
        }
        let (text, whole) = quoted(parameter, left);
        left = left.saturating_sub(text.chars().count());
        let rest =
            if whole { String::new() } else { format!(" … ({} characters in all)", parameter.chars().count()) };
        out.push_str(&format!("{}${n} = \"{text}\"{rest}", if n == 1 { "" } else { "\n" }));
        shown = n;
        all &= whole;
    }
    match parameters.len().saturating_sub(shown) {
        0 => (out, all),
        more => (format!("{out}\n… and {more} more"), false),
    }
}

/// What stands between quotes: no other text has the same. At most so many characters, and whether that is all.
fn quoted(text: &str, most: usize) -> (String, bool) {
    let (mut out, mut left) = (String::new(), most);
    for c in text.chars() {
        let one = match c {
            '"' | '\\' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            c if c.is_control() || is_invisible(c) || (c.is_whitespace() && c != ' ') => c.escape_unicode().to_string(),
            c => c.to_string(),
        };
        let Some(after) = left.checked_sub(one.chars().count()) else { return (out, false) };
        left = after;
        out.push_str(&one);
    }
    (out, true)
}

/// The first parameters, each cut.
fn parameters(shown: &Shown) -> Vec<String> {
    shown.parameters.iter().take(PARAMETERS).map(|p| cut(p)).collect()
}

/// The first of what else is sent, each cut; nothing of what is for the page alone.
fn parts(shown: &Shown) -> Vec<(String, String)> {
    let parts = shown.parts.iter().filter(|p| !p.page_only).take(PARTS);
    parts.map(|p| (cut(&p.name), cut(&p.text))).collect()
}

/// Whether a text is there whole, and looks like nothing else: what is shown in place of something that acts must not
/// have been written by the caller.
fn is_readable(text: &str, most: usize) -> bool {
    let imitates = text.contains('\u{23ce}') || text.contains("\\u{");
    printable(text).chars().count() <= most && !text.contains(is_invisible) && !imitates
}

/// Whether all that would run besides the statement is in the message, too.
fn fits(shown: &Shown) -> bool {
    let length: usize = shown.parameters.iter().map(|p| printable(p).chars().count() + 8).sum();
    let has_values = shown.parameters.len() <= PARAMETERS && length <= STATEMENT && shown.rows.is_empty();
    let has_parts = shown.parts.len() <= PARTS && shown.parts.iter().all(|p| !p.page_only);
    let mut texts = shown.parameters.iter().chain(shown.parts.iter().flat_map(|p| [&p.name, &p.text]));
    let is_listed = listed(&shown.parameters).1;
    shown.is_whole() && has_values && is_listed && has_parts && texts.all(|text| is_readable(text, STATEMENT))
}

/// Whether all that it names is shown by what it resolves to, and was understood.
fn says_all(facts: &Facts) -> bool {
    let is_opaque = |a: &Access| matches!(a.resource, Resource::Opaque { .. });
    let names: usize = facts.accesses.iter().map(|a| a.to_string().chars().count()).sum();
    facts.accesses.len() <= ACCESSES && names <= STATEMENT && !facts.accesses.iter().any(is_opaque)
}

/// A text in one line in which nothing acts, and nothing is that people do not see.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in doorward_terminal::printable(text).chars() {
        if is_invisible(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// RFC 3339, in UTC, in seconds.
pub(crate) fn when(t: Timestamp) -> String {
    let seconds = i64::try_from(t.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "1970-01-01T00:00:00Z".into(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(parameters: &[&str]) -> String {
        listed(&parameters.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).0
    }

    #[test]
    fn no_two_lists_of_parameters_look_the_same() {
        assert_eq!(list(&["a", "b"]), "$1 = \"a\"\n$2 = \"b\"");
        let lists: [&[&str]; 14] = [
            &["a", "b"],
            &["a, b"],
            &["a\"\n$2 = \"b"],
            &["a\\\"\n$2 = \\\"b"],
            &["a\n$2 = \"b"],
            &["a⏎$2 = b"],
            &["a", "b", ""],
            &["a", "", "b"],
            &["a ", "b"],
            &["a", "\u{200b}b"],
            &["a", "\\u{200b}b"],
            &["a", "\u{a0}b"],
            &["a", "\u{202e}b"],
            &["a\t", "b"],
        ];
        for (i, one) in lists.iter().enumerate() {
            for other in lists.iter().skip(i + 1) {
                assert_ne!(list(one), list(other), "{one:?} {other:?}");
            }
            // Nothing in a value begins a line, and nobody has to see what cannot be seen.
            assert_eq!(list(one).lines().count(), one.len(), "{one:?}");
            assert!(!list(one).contains(is_invisible), "{one:?}");
        }
    }

    #[test]
    fn what_of_the_parameters_is_not_there_is_counted() {
        let many = vec!["x"; 23];
        assert!(list(&many).ends_with("\n$20 = \"x\"\n… and 3 more"), "{}", list(&many));
        let long = "y".repeat(4000);
        let said = list(&["x", &long, "z"]);
        assert!(said.contains("y\" … (4000 characters in all)\n… and 1 more"), "{said}");
        assert!(said.chars().count() < 1900, "it fits a field of Slack");
        // An escape is there whole or not at all.
        assert_eq!(quoted("a\"b", 2), ("a".to_owned(), false));
        assert_eq!(quoted("a\"b", 4), ("a\\\"b".to_owned(), true));
    }
}
