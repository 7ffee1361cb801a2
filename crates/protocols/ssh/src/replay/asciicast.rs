//! A channel as an asciicast, version 3 (<https://docs.asciinema.org/manual/asciicast/v3/>).
//!
//! Output passes through [`SafeTerminal`]: players write it to terminals as it is. Input is what the caller sent.
use super::{Event, Requested, SafeTerminal, Side, utf8::Utf8};
use crate::codec::{self, Stream};
use doorward_model::Timestamp;
use serde_json::{Value, json};

/// Lines that wait until it is known what the header says.
const MOST_WAITING: usize = 1000;

/// The size of a terminal that no one named.
const COLUMNS: u32 = 80;
const ROWS: u32 = 24;

/// Makes one channel's frames into lines of an asciicast, without line ends.
#[derive(Debug)]
pub struct Cast {
    channel: u32,
    started: Timestamp,
    last: Timestamp,
    size: (u32, u32),
    term: Option<String>,
    command: Option<String>,
    /// Lines before the header; `None` once that was given out.
    waiting: Option<Vec<String>>,
    output: SafeTerminal,
    errors: SafeTerminal,
    input: Utf8,
    exited: bool,
}

impl Cast {
    /// A cast of a channel in a session that began then.
    pub fn new(channel: u32, started: Timestamp) -> Self {
        Self {
            channel,
            started,
            last: started,
            size: (COLUMNS, ROWS),
            term: None,
            command: None,
            waiting: Some(Vec::new()),
            output: SafeTerminal::new(),
            errors: SafeTerminal::new(),
            input: Utf8::new(),
            exited: false,
        }
    }

    /// A frame of bytes.
    pub fn feed(&mut self, time: Timestamp, side: Side, frame: &[u8]) -> Vec<String> {
        let (stream, bytes) = match codec::frame(frame) {
            Ok((channel, stream, bytes)) if channel == self.channel => (stream, bytes),
            _ => return Vec::new(),
        };
        let mut text = String::new();
        let code = match (side, stream) {
            (Side::Client, _) => {
                text = self.input.push(bytes);
                "i"
            }
            (Side::Upstream, Stream::Data) => {
                self.output.push(bytes, &mut text);
                "o"
            }
            (Side::Upstream, Stream::Error) => {
                self.errors.push(bytes, &mut text);
                "o"
            }
        };
        let mut out = Vec::new();
        if !text.is_empty() {
            self.begin(&mut out);
            self.line(time, code, &text, &mut out);
        }
        out
    }

    /// A meta frame.
    pub fn event(&mut self, time: Timestamp, value: &Value) -> Vec<String> {
        let mut out = Vec::new();
        let Some(event) = Event::from_json(value).filter(|e| e.channel() == Some(self.channel)) else { return out };
        match &event {
            // The cast begins with the channel.
            Event::Opened { .. } if self.waiting.is_some() => (self.started, self.last) = (time, time),
            Event::Pty { term, columns, rows, .. } => {
                self.term = Some(term.clone());
                self.size = (*columns, *rows);
            }
            Event::Resize { columns, rows, .. } => self.line(time, "r", &format!("{columns}x{rows}"), &mut out),
            Event::Request { what: Requested::Exec, statement, .. } => self.command = Some(statement.clone()),
            Event::Decided { .. } | Event::Held { .. } | Event::File { .. } => {
                self.line(time, "m", &event.to_string(), &mut out);
            }
            Event::Exit { status, .. } => self.exit(time, &status.to_string(), &mut out),
            // As shells say it, where they know the signal's number.
            Event::ExitSignal { signal, .. } => {
                let status = signal_number(signal).map_or(128, |n| 128 + n);
                self.exit(time, &status.to_string(), &mut out);
            }
            Event::Opened { .. } | Event::Request { .. } | Event::Eof { .. } | Event::Closed { .. } => {}
        }
        out
    }

    /// Something else that is to be seen at its time.
    pub fn marker(&mut self, time: Timestamp, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        self.line(time, "m", text, &mut out);
        out
    }

    /// The end of the recording.
    pub fn finish(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.begin(&mut out);
        out
    }

    fn exit(&mut self, time: Timestamp, status: &str, out: &mut Vec<String>) {
        if !std::mem::replace(&mut self.exited, true) {
            self.begin(out);
            self.line(time, "x", status, out);
        }
    }

    /// Gives out the header and what waited for it.
    fn begin(&mut self, out: &mut Vec<String>) {
        let Some(waiting) = self.waiting.take() else { return };
        let mut term = json!({ "cols": self.size.0, "rows": self.size.1 });
        if let (Some(name), Value::Object(fields)) = (&self.term, &mut term) {
            fields.insert("type".to_owned(), json!(name));
        }
        // By hand: the version comes first, as tools that look at the beginning of files expect.
        let seconds = self.started.as_micros() / 1_000_000;
        let command = self.command.as_ref().map(|c| format!(r#","command":{}"#, json!(c))).unwrap_or_default();
        out.push(format!(r#"{{"version":3,"term":{term},"timestamp":{seconds}{command}}}"#));
        out.extend(waiting);
    }

    /// `[interval, code, data]`: seconds since the line before.
    fn line(&mut self, time: Timestamp, code: &str, data: &str, out: &mut Vec<String>) {
        let micros = time.as_micros().saturating_sub(self.last.as_micros());
        let line = format!("[{}.{:06}, {}, {}]", micros / 1_000_000, micros % 1_000_000, json!(code), json!(data));
        match &mut self.waiting {
            Some(waiting) if waiting.len() < MOST_WAITING => waiting.push(line),
            Some(_) => return,
            None => out.push(line),
        }
        self.last = time.max(self.last);
    }
}

/// Numbers of the signals that RFC 4254 §6.10 names.
fn signal_number(name: &str) -> Option<u32> {
    Some(match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => return None,
    })
}
