//! A recording of a session as people read it: statements, outcomes and result tables.
//!
//! What is shown comes from both peers and goes to a terminal: it is stripped of everything that a
//! terminal would obey. Memory is bounded: rows beyond those shown are counted, and frames that are too
//! long are passed over.
mod table;
#[cfg(test)]
mod tests;

use crate::{
    codec::{self, ClientMessage, FieldDescription, Startup, Target, UpstreamMessage},
    shown,
};
use doorward_sql_session::replay::{Options, Replay, Script, Shown, Side, printable, printable_bytes, statement};
use std::collections::{HashMap, VecDeque};
use table::Table;

/// The longest frame that is kept to be shown, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;
/// How many names and unanswered messages are remembered.
const MOST_NAMES: usize = 10_000;

/// The bytes of one direction until they make up a frame.
#[derive(Debug, Default)]
struct Stream {
    buffer: Vec<u8>,
    /// Bytes of a frame that is too long to be kept.
    passing: usize,
    /// Bytes came that are not of the protocol: the rest cannot be read.
    lost: bool,
}

/// What a stream gives.
enum Cut {
    Frame(Vec<u8>),
    /// The type of a frame that was too long to be kept.
    TooLong(u8),
    /// Nothing more can be read.
    Broken,
}

impl Stream {
    fn take(&mut self, bytes: &[u8]) {
        let passed = self.passing.min(bytes.len());
        self.passing -= passed;
        if !self.lost {
            self.buffer.extend_from_slice(bytes.get(passed..).unwrap_or_default());
        }
    }

    fn next(&mut self) -> Option<Cut> {
        if self.lost || self.passing > 0 {
            return None;
        }
        match codec::peek(&self.buffer, usize::MAX) {
            Ok(None) => None,
            Ok(Some(header)) if header.total > LONGEST => {
                self.passing = header.total.saturating_sub(self.buffer.len());
                self.buffer.drain(..header.total.min(self.buffer.len()));
                Some(Cut::TooLong(header.tag))
            }
            Ok(Some(header)) if header.total > self.buffer.len() => None,
            Ok(Some(header)) => Some(Cut::Frame(self.buffer.drain(..header.total).collect())),
            Err(_) => {
                *self = Self { lost: true, ..Self::default() };
                Some(Cut::Broken)
            }
        }
    }
}

/// A message of the client that has an answer.
#[derive(Debug)]
enum Owed {
    Query,
    /// Parse, Bind, Close.
    Step,
    DescribeStatement(String),
    DescribePortal(String),
    Execute(String),
    Sync,
}

/// A portal: the statement it was made of, and the formats of its result.
#[derive(Debug, Default)]
struct Portal {
    shown: String,
    statement: String,
    formats: Vec<i16>,
}

/// Turns recorded bytes, cut anywhere, into lines for people.
#[derive(Debug)]
pub struct Replayer {
    options: Options,
    client: Stream,
    upstream: Stream,
    started: bool,
    /// Requests for encryption that one byte answers.
    asked: usize,
    statements: HashMap<String, String>,
    portals: HashMap<String, Portal>,
    /// Columns of statements that were described.
    described: HashMap<String, Vec<FieldDescription>>,
    owed: VecDeque<Owed>,
    table: Table,
    copied_in: usize,
    copied_out: usize,
}

impl Replayer {
    /// A replay from the first byte.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            client: Stream::default(),
            upstream: Stream::default(),
            started: false,
            asked: 0,
            statements: HashMap::new(),
            portals: HashMap::new(),
            described: HashMap::new(),
            owed: VecDeque::new(),
            table: Table::default(),
            copied_in: 0,
            copied_out: 0,
        }
    }

    /// A request for encryption is answered by one byte, where the recording has it. A message that
    /// begins with the same letter goes on with a length, whose first byte is 0.
    fn encryption_answers(&mut self) {
        while self.asked > 0 {
            match self.upstream.buffer.as_slice() {
                [] | [b'S' | b'N'] => return,
                [b'S' | b'N', second, ..] if *second != 0 => {
                    self.upstream.buffer.remove(0);
                    self.asked -= 1;
                }
                _ => self.asked = 0,
            }
        }
    }

    /// Reads one start-up packet; says whether there may be another.
    fn startup(&mut self, out: &mut Script) -> bool {
        let Some(head) = self.client.buffer.first_chunk::<4>() else { return false };
        let total = u32::from_be_bytes(*head) as usize;
        if !(8..=10_000).contains(&total) {
            // A recording that begins within the session.
            self.started = true;
            return false;
        }
        if total > self.client.buffer.len() {
            return false;
        }
        let packet: Vec<u8> = self.client.buffer.drain(..total).collect();
        match codec::startup(&packet) {
            Ok(Startup::Start { parameters, .. }) => {
                self.started = true;
                let said: Vec<String> = parameters.iter().map(|(n, v)| format!("{n}={v}")).collect();
                out.push(printable(&format!("start-up: {}", said.join(" ")), false));
            }
            Ok(Startup::Ssl | Startup::GssEnc) => self.asked += 1,
            Ok(Startup::Cancel { process_id, .. }) => out.push(format!("> (cancel request for process {process_id})")),
            Err(e) => out.push(format!("> ({e})")),
        }
        true
    }

    fn owe(&mut self, owed: Owed) {
        if self.owed.len() < MOST_NAMES {
            self.owed.push_back(owed);
        }
    }

    fn client_frame(&mut self, frame: &[u8], out: &mut Script) {
        match codec::client_message(frame) {
            Ok(ClientMessage::Query { query }) => {
                out.push(format!("> {}", statement(query)));
                self.owe(Owed::Query);
            }
            Ok(ClientMessage::Parse { name, query, .. }) => {
                remember(&mut self.statements, name, statement(query));
                self.described.remove(name);
                self.owe(Owed::Step);
            }
            Ok(ClientMessage::Bind(bind)) => {
                let text = self.statements.get(bind.statement).cloned();
                let text = text.unwrap_or_else(|| format!("({})", printable(bind.statement, false)));
                let values = shown::parameters(frame, |_| None);
                let values = values.unwrap_or_else(|_| vec![format!("({} bytes of parameters)", frame.len())]);
                let values: Vec<String> = values.iter().map(|v| printable(v, false)).collect();
                let shown = if values.is_empty() { text } else { format!("{text}   [{}]", values.join(", ")) };
                let portal =
                    Portal { shown, statement: bind.statement.to_owned(), formats: bind.result_formats().collect() };
                remember(&mut self.portals, bind.portal, portal);
                self.owe(Owed::Step);
            }
            Ok(ClientMessage::Execute { portal, .. }) => {
                let shown = self.portals.get(portal).map_or_else(|| printable(portal, false), |p| p.shown.clone());
                out.push(format!("> {shown}"));
                self.owe(Owed::Execute(portal.to_owned()));
            }
            Ok(ClientMessage::Describe(Target::Statement(name))) => self.owe(Owed::DescribeStatement(name.to_owned())),
            Ok(ClientMessage::Describe(Target::Portal(name))) => self.owe(Owed::DescribePortal(name.to_owned())),
            Ok(ClientMessage::Close(_)) => self.owe(Owed::Step),
            Ok(ClientMessage::Sync) => self.owe(Owed::Sync),
            Ok(ClientMessage::CopyData(data)) => self.copied_in = self.copied_in.saturating_add(data.len()),
            Ok(ClientMessage::CopyDone) => {
                out.push(format!("> {} bytes of COPY data", std::mem::take(&mut self.copied_in)))
            }
            Ok(ClientMessage::CopyFail { reason }) => {
                self.copied_in = 0;
                out.push(format!("> (COPY given up: {})", printable_bytes(reason, false)));
            }
            Ok(ClientMessage::FunctionCall { oid, .. }) => {
                out.push(format!("> function call {oid}"));
                self.owe(Owed::Query);
            }
            Ok(ClientMessage::Terminate) => out.push("> (terminate)".to_owned()),
            Ok(ClientMessage::Flush | ClientMessage::Password(_)) => {}
            Ok(ClientMessage::Unknown(tag)) => {
                out.push(format!("> (a message of unknown type {})", tag.escape_ascii()))
            }
            Err(e) => out.push(format!("> ({e})")),
        }
    }

    fn upstream_frame(&mut self, frame: &[u8], out: &mut Script) {
        match codec::upstream_message(frame) {
            Ok(UpstreamMessage::RowDescription(row)) => self.describe(row.fields().collect()),
            Ok(UpstreamMessage::NoData) => self.describe(Vec::new()),
            Ok(UpstreamMessage::DataRow(row)) => self.row(&row),
            Ok(UpstreamMessage::CommandComplete { tag }) => self.ended(&printable(tag, false), out),
            Ok(UpstreamMessage::EmptyQueryResponse) => self.ended("(empty)", out),
            Ok(UpstreamMessage::PortalSuspended) => self.ended("(suspended)", out),
            Ok(UpstreamMessage::ErrorResponse(fields)) => {
                self.show_table(out);
                self.copied_out = 0;
                out.push(report(fields));
                // In the extended protocol everything up to the next Sync is skipped.
                while matches!(self.owed.front(), Some(o) if !matches!(o, Owed::Query | Owed::Sync)) {
                    self.owed.pop_front();
                }
            }
            Ok(UpstreamMessage::NoticeResponse(fields)) => out.push(report(fields)),
            Ok(UpstreamMessage::CopyData(data)) => self.copied_out = self.copied_out.saturating_add(data.len()),
            Ok(UpstreamMessage::CopyDone) => {
                out.push(format!("< {} bytes of COPY data", std::mem::take(&mut self.copied_out)))
            }
            Ok(UpstreamMessage::NotificationResponse { channel, payload, .. }) => out.push(format!(
                "< notification {}: {}",
                printable_bytes(channel, false),
                printable_bytes(payload, false)
            )),
            Ok(UpstreamMessage::ReadyForQuery { .. }) => {
                if matches!(self.owed.front(), Some(Owed::Query | Owed::Sync)) {
                    self.owed.pop_front();
                }
            }
            Ok(UpstreamMessage::ParseComplete | UpstreamMessage::BindComplete | UpstreamMessage::CloseComplete) => {
                if matches!(self.owed.front(), Some(Owed::Step)) {
                    self.owed.pop_front();
                }
            }
            Ok(UpstreamMessage::FunctionCallResponse(value)) => {
                out.push(format!("< {}", table::cell(value, None, 0)));
            }
            Ok(
                UpstreamMessage::Authentication(_)
                | UpstreamMessage::BackendKeyData { .. }
                | UpstreamMessage::ParameterStatus { .. }
                | UpstreamMessage::NegotiateProtocolVersion { .. }
                | UpstreamMessage::ParameterDescription(_)
                | UpstreamMessage::CopyInResponse(_)
                | UpstreamMessage::CopyOutResponse(_)
                | UpstreamMessage::CopyBothResponse(_),
            ) => {}
            Ok(UpstreamMessage::Unknown(tag)) => {
                out.push(format!("< (a message of unknown type {})", tag.escape_ascii()))
            }
            Err(e) => out.push(format!("< ({e})")),
        }
    }

    /// A description belongs to a Describe, or to the rows that follow.
    fn describe(&mut self, fields: Vec<FieldDescription>) {
        let statement = match self.owed.front() {
            Some(Owed::DescribeStatement(name)) => name.clone(),
            Some(Owed::DescribePortal(name)) => self.portals.get(name).map(|p| p.statement.clone()).unwrap_or_default(),
            Some(Owed::Query | Owed::Step | Owed::Execute(_) | Owed::Sync) | None => {
                self.table = Table::of(fields);
                return;
            }
        };
        self.owed.pop_front();
        remember(&mut self.described, &statement, fields);
    }

    fn row(&mut self, row: &codec::DataRow<'_>) {
        if self.table.is_empty()
            && let Some(Owed::Execute(portal)) = self.owed.front()
            && let Some(portal) = self.portals.get(portal)
        {
            self.table.fields = self.described.get(&portal.statement).cloned().unwrap_or_default();
            // Without any code all columns are text, whatever the description of the statement said.
            self.table.formats = if portal.formats.is_empty() { vec![0] } else { portal.formats.clone() };
        }
        self.table.push(row.cells(), self.options.rows);
    }

    fn ended(&mut self, tag: &str, out: &mut Script) {
        if matches!(self.owed.front(), Some(Owed::Execute(_))) {
            self.owed.pop_front();
        }
        self.show_table(out);
        out.push(format!("< {tag}"));
    }

    fn show_table(&mut self, out: &mut Script) {
        if let Some(rows) = std::mem::take(&mut self.table).shown() {
            out.push(rows);
        }
    }
}

impl Replay for Replayer {
    fn skip(&mut self, _bytes: u64) -> Vec<Shown> {
        Vec::new()
    }

    fn gap(&mut self) {
        self.client = Stream::default();
        self.upstream = Stream::default();
        self.owed.clear();
        self.table = Table::default();
    }

    fn feed(&mut self, side: Side, bytes: &[u8]) -> Vec<Shown> {
        let mut out = Script::default();
        match side {
            Side::Client => {
                self.client.take(bytes);
                while !self.started && self.startup(&mut out) {}
                while self.started
                    && let Some(cut) = self.client.next()
                {
                    match cut {
                        Cut::Frame(frame) => self.client_frame(&frame, &mut out),
                        Cut::TooLong(tag) => out
                            .push(format!("> (a message of type {} that is too long to be shown)", tag.escape_ascii())),
                        Cut::Broken => {
                            out.push("> (bytes that are not of the protocol; the rest of the client is not shown)")
                        }
                    }
                }
            }
            Side::Upstream => {
                self.upstream.take(bytes);
                self.encryption_answers();
                while self.asked == 0
                    && let Some(cut) = self.upstream.next()
                {
                    match cut {
                        Cut::Frame(frame) => self.upstream_frame(&frame, &mut out),
                        Cut::TooLong(b'D') => self.table.skip_row(),
                        Cut::TooLong(tag) => out
                            .push(format!("< (a message of type {} that is too long to be shown)", tag.escape_ascii())),
                        Cut::Broken => {
                            out.push("< (bytes that are not of the protocol; the rest of the answers is not shown)")
                        }
                    }
                }
            }
        }
        out.0
    }
}

fn remember<T>(names: &mut HashMap<String, T>, name: &str, value: T) {
    if names.len() >= MOST_NAMES && !names.contains_key(name) {
        names.clear();
    }
    names.insert(name.to_owned(), value);
}

fn report(fields: codec::Fields<'_>) -> String {
    let (mut severity, mut code, mut message, mut rest) = (String::new(), String::new(), String::new(), String::new());
    for (field, text) in fields {
        let text = printable_bytes(text, true);
        match field {
            b'V' => severity = text,
            b'S' if severity.is_empty() => severity = text,
            b'C' => code = text,
            b'M' => message = text,
            b'D' => rest.push_str(&format!("\nDETAIL:  {text}")),
            b'H' => rest.push_str(&format!("\nHINT:  {text}")),
            _ => {}
        }
    }
    format!("< {severity} {code}: {message}{rest}")
}
