//! What requests a session had.
use super::{Event, STATUS, Side, ending};
use crate::{
    Target,
    codec::{self, Part},
    facts::{self, Road},
};
use doorward_model::{Action, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Requests that are remembered.
const MOST_REQUESTS: usize = 100_000;
/// The longest beginning of a message that is kept to be read, in bytes.
const HEAD: usize = 20 * 1024;

/// What of a request there is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Question and answer.
    #[default]
    Call,
    /// `exec`, `attach`, and whether they have a terminal.
    Stream {
        /// With a terminal.
        terminal: bool,
    },
    /// `portforward`.
    Tunnel,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// When it came.
    pub time: Timestamp,
    /// What it does, in words; the request line where nobody knew.
    pub statement: String,
    /// What kind of request it is.
    pub kind: Kind,
    /// What became of it: `held`, `approved`, `refused`, `ended`, `in vain`; the last of them.
    pub outcome: Option<String>,
    /// The status of its answer, or how its command ended.
    pub status: Option<String>,
    /// Bytes from the caller.
    pub client_bytes: u64,
    /// Bytes to the caller.
    pub upstream_bytes: u64,
    /// Files that were copied.
    pub files: u64,
    head: Vec<u8>,
}

impl Summary {
    fn begin(time: Timestamp) -> Self {
        Self { time, ..Self::default() }
    }

    fn first(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(HEAD)).unwrap_or_default());
        let line = text.lines().next().unwrap_or_default();
        line.clone_into(&mut self.statement);
        let mut words = line.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
        let Ok(target) = Target::parse(method, path) else { return };
        let Some(path) = target.resource() else { return };
        self.kind = match facts::road(path, target.verb) {
            Road::Stream(Action::Exec | Action::Attach) => {
                let terminal = matches!(target.parameter("tty"), Some("true" | "1"));
                Kind::Stream { terminal }
            }
            Road::Stream(Action::PortForward) => Kind::Tunnel,
            Road::Object | Road::Own(_) | Road::Stream(_) => Kind::Call,
        };
    }

    fn bytes(&mut self, side: Side, part: Part, bytes: &[u8]) {
        let channel = if part == Part::Channel { 1 } else { 0 };
        let len = (bytes.len() as u64).saturating_sub(channel);
        match side {
            Side::Client => {
                if self.client_bytes == 0 && part == Part::Message {
                    self.first(bytes);
                }
                self.client_bytes = self.client_bytes.saturating_add(len);
            }
            Side::Upstream => {
                if self.status.is_none() && part == Part::Message {
                    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
                    let line = String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or_default());
                    self.status = Some(line.trim_start_matches("HTTP/1.1 ").to_owned());
                }
                self.upstream_bytes = self.upstream_bytes.saturating_add(len);
                if let (Part::Channel, Some((&STATUS, status))) = (part, bytes.split_first()) {
                    self.head.extend_from_slice(status.get(..status.len().min(HEAD)).unwrap_or_default());
                    self.status = Some(match ending(&self.head) {
                        Ok(code) => format!("exit {code}"),
                        Err(what) => what,
                    });
                    self.head.truncate(HEAD);
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        match event.what.as_str() {
            "request" => event.to_string().clone_into(&mut self.statement),
            "file" => self.files = self.files.saturating_add(1),
            "copy" => {}
            what => {
                self.outcome = Some(what.to_owned());
                if let Some(code) = event.number("code") {
                    self.status = Some(code.to_string());
                }
            }
        }
    }

    /// What became of it, in words.
    pub fn result(&self) -> String {
        let both = [self.outcome.as_deref(), self.status.as_deref()];
        let said: Vec<&str> = both.into_iter().flatten().collect();
        let mut out = if said.is_empty() { "no answer".to_owned() } else { said.join(", ") };
        out.push_str(&format!("; {} bytes from the caller, {} to him", self.client_bytes, self.upstream_bytes));
        if self.files > 0 {
            out.push_str(&format!("; {} files", self.files));
        }
        out
    }

    /// For programs.
    pub fn to_json(&self, number: u32) -> Value {
        let kind = match self.kind {
            Kind::Call => "call",
            Kind::Stream { terminal: true } => "terminal",
            Kind::Stream { terminal: false } => "stream",
            Kind::Tunnel => "tunnel",
        };
        json!({
            "request": number, "time": self.time, "statement": self.statement, "kind": kind, "outcome": self.outcome,
            "status": self.status, "client_bytes": self.client_bytes, "upstream_bytes": self.upstream_bytes,
            "files": self.files,
        })
    }
}

/// Requests by their numbers.
#[derive(Debug, Default)]
pub struct Overview {
    /// Those that are remembered: the first hundred thousand.
    pub requests: BTreeMap<u32, Summary>,
}

impl Overview {
    fn request(&mut self, time: Timestamp, number: u32) -> Option<&mut Summary> {
        let known = self.requests.len() < MOST_REQUESTS || self.requests.contains_key(&number);
        known.then(|| self.requests.entry(number).or_insert_with(|| Summary::begin(time)))
    }

    /// A frame of bytes.
    pub fn feed(&mut self, time: Timestamp, side: Side, frame: &[u8]) {
        let Some((number, part, bytes)) = codec::frame(frame) else { return };
        if let Some(request) = self.request(time, number) {
            request.bytes(side, part, bytes);
        }
    }

    /// A meta frame.
    pub fn event(&mut self, time: Timestamp, value: &Value) {
        let Some(event) = Event::from_json(value) else { return };
        if let Some(request) = self.request(time, event.request) {
            request.event(&event);
        }
    }
}
