//! A channel as an asciicast, version 3 (<https://docs.asciinema.org/manual/asciicast/v3/>).
//!
//! Input is what the caller sent.
use super::{Event, Requested, SafeTerminal, Side};
use crate::codec::{self, Stream};
use doorward_model::Timestamp;
use doorward_terminal::{Asciicast, Utf8};
use serde_json::Value;

/// Makes one channel's frames into lines of an asciicast, without line ends.
#[derive(Debug)]
pub struct Cast {
    channel: u32,
    cast: Asciicast,
    output: SafeTerminal,
    errors: SafeTerminal,
    input: Utf8,
}

impl Cast {
    /// A cast of a channel in a session that began then.
    pub const fn new(channel: u32, started: Timestamp) -> Self {
        Self {
            channel,
            cast: Asciicast::new(started),
            output: SafeTerminal::new(),
            errors: SafeTerminal::new(),
            input: Utf8::new(),
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
        self.cast.text(time, code, &text, &mut out);
        out
    }

    /// A meta frame.
    pub fn event(&mut self, time: Timestamp, value: &Value) -> Vec<String> {
        let mut out = Vec::new();
        let Some(event) = Event::from_json(value).filter(|e| e.channel() == Some(self.channel)) else { return out };
        match &event {
            // The cast begins with the channel.
            Event::Opened { .. } if !self.cast.has_begun() => self.cast.starts(time),
            Event::Pty { term, columns, rows, .. } => {
                self.cast.terminal();
                self.cast.term(term);
                self.cast.size(*columns, *rows);
            }
            Event::Resize { columns, rows, .. } => self.cast.resize(time, *columns, *rows, &mut out),
            Event::Request { what: Requested::Exec, statement, .. } => self.cast.command(statement),
            Event::Decided { .. } | Event::Held { .. } | Event::File { .. } => {
                self.cast.marker(time, &event.to_string(), &mut out);
            }
            Event::Exit { status, .. } => self.cast.exit(time, &status.to_string(), &mut out),
            // As shells say it, where they know the signal's number.
            Event::ExitSignal { signal, .. } => {
                let status = signal_number(signal).map_or(128, |n| 128 + n);
                self.cast.exit(time, &status.to_string(), &mut out);
            }
            Event::Opened { .. } | Event::Request { .. } | Event::Eof { .. } | Event::Closed { .. } => {}
        }
        out
    }

    /// Something else that is to be seen at its time.
    pub fn marker(&mut self, time: Timestamp, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        self.cast.marker(time, text, &mut out);
        out
    }

    /// The end of the recording.
    pub fn finish(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.cast.begin(&mut out);
        out
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
