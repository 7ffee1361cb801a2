//! From an entry to its text.
use crate::{
    cef,
    config::Format,
    describe::{self, Severity},
    ocsf,
    sessions::Known,
};
use doorward_model::{Parties, SessionId, Timestamp};
use doorward_record::Entry;
use serde_json::{Map, Value, json};

/// An entry, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) kind: &'static str,
    pub(crate) severity: Severity,
    pub(crate) session: Option<SessionId>,
    /// One line, without its line feed.
    pub(crate) text: String,
}

/// Writes entries in one format.
#[derive(Debug)]
pub(crate) struct Renderer {
    pub(crate) format: Format,
}

/// Everything a format may draw on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) log: &'a str,
    pub(crate) entry: &'a Entry,
    pub(crate) known: Option<&'a Known>,
}

impl View<'_> {
    /// `issuer/subject` of who the session belongs to, with the person that they act for.
    pub(crate) fn principal(&self) -> Option<String> {
        let known = self.known.and_then(|k| k.principal.as_ref()).map(ToString::to_string);
        known.or_else(|| self.parties().map(|p| format!("{} for {}", p.actor, p.on_behalf_of)))
    }

    /// The agent and the person, where it is of two.
    pub(crate) fn parties(&self) -> Option<Parties> {
        let said = self.entry.event.parties.as_deref().cloned();
        said.or_else(|| self.known.and_then(|k| k.principal.as_ref()).and_then(doorward_model::Principal::parties))
    }

    pub(crate) fn connection(&self) -> Option<&str> {
        self.known.and_then(|k| k.connection.as_ref()).map(doorward_model::ConnectionName::as_str)
    }
}

impl Renderer {
    pub(crate) fn item(&self, log: &str, entry: &Entry, known: Option<&Known>) -> Item {
        let view = View { log, entry, known };
        let text = match self.format {
            Format::Json => json_line(&view),
            Format::Ocsf => ocsf::event(&view).to_string(),
            Format::Cef => cef::line(&view),
        };
        Item {
            seq: entry.seq,
            time: entry.event.time,
            kind: entry.event.kind.name(),
            severity: describe::severity(&entry.event.kind),
            session: entry.event.session,
            text,
        }
    }
}

/// The entry as the log has it, byte for byte, within what is known around it.
fn json_line(view: &View<'_>) -> String {
    let mut around = Map::new();
    around.insert("log".into(), json!(view.log));
    around.insert("seq".into(), json!(view.entry.seq));
    around.insert("hash".into(), json!(view.entry.hash.to_string()));
    for (name, value) in [
        ("connection", view.connection().map(str::to_owned)),
        ("kind", view.known.and_then(|k| k.kind.clone())),
        ("principal", view.principal()),
        ("client", view.known.and_then(|k| k.client.clone())),
    ] {
        if let Some(value) = value {
            around.insert(name.into(), json!(value));
        }
    }
    let mut out = Value::Object(around).to_string();
    out.pop();
    out.push_str(",\"entry\":");
    out.push_str(&view.entry.json);
    out.push('}');
    out
}

/// A time as RFC 3339 has it, in UTC, with microseconds.
pub(crate) fn rfc3339(t: Timestamp) -> String {
    let micros = i64::try_from(t.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| "1970-01-01T00:00:00.000000Z".into(), |t| format!("{t:.6}"))
}
