//! An `exec` or `attach` as an asciicast, and as a terminal shows it.
use super::{ERROR, Event, INPUT, OUTPUT, RESIZE, STATUS, Side, ending, size};
use crate::codec::{self, Part};
use doorward_model::Timestamp;
use doorward_terminal::{Asciicast, SafeTerminal, Utf8};
use serde_json::Value;

/// What a frame of a request writes to the caller's terminal; none where it writes nothing.
pub fn screen(request: u32, side: Side, frame: &[u8]) -> Option<&[u8]> {
    let (number, part, bytes) = codec::frame(frame)?;
    let (channel, bytes) = bytes.split_first()?;
    let shown = number == request
        && part == Part::Channel
        && side == Side::Upstream
        && (*channel == OUTPUT || *channel == ERROR);
    shown.then_some(bytes)
}

/// Makes one request's frames into lines of an asciicast, without line ends.
#[derive(Debug)]
pub struct Cast {
    request: u32,
    cast: Asciicast,
    output: SafeTerminal,
    errors: SafeTerminal,
    input: Utf8,
    sized: bool,
}

impl Cast {
    /// A cast of a request that came then.
    pub fn new(request: u32, started: Timestamp, statement: &str) -> Self {
        let mut cast = Asciicast::new(started);
        cast.command(statement);
        let (output, errors) = (SafeTerminal::new(), SafeTerminal::new());
        Self { request, cast, output, errors, input: Utf8::new(), sized: false }
    }

    /// The request has a terminal.
    pub const fn terminal(&mut self) {
        self.cast.terminal();
    }

    /// A frame of bytes.
    pub fn feed(&mut self, time: Timestamp, side: Side, frame: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let Some((number, Part::Channel, bytes)) = codec::frame(frame) else { return out };
        let Some((channel, bytes)) = bytes.split_first().filter(|_| number == self.request) else { return out };
        let mut text = String::new();
        match (side, *channel) {
            (Side::Client, INPUT) => {
                let text = self.input.push(bytes);
                self.cast.text(time, "i", &text, &mut out);
            }
            (Side::Client, RESIZE) => self.resize(time, bytes, &mut out),
            (Side::Upstream, OUTPUT) => {
                self.output.push(bytes, &mut text);
                self.cast.text(time, "o", &text, &mut out);
            }
            (Side::Upstream, ERROR) => {
                self.errors.push(bytes, &mut text);
                self.cast.text(time, "o", &text, &mut out);
            }
            (Side::Upstream, STATUS) => {
                let code = ending(bytes).unwrap_or(1);
                self.cast.exit(time, &code.to_string(), &mut out);
            }
            (Side::Client | Side::Upstream, _) => {}
        }
        out
    }

    /// The first size is the terminal's; what comes later changes it.
    fn resize(&mut self, time: Timestamp, bytes: &[u8], out: &mut Vec<String>) {
        let Some((columns, rows)) = size(bytes) else { return };
        if self.sized || self.cast.has_begun() {
            self.cast.resize(time, columns, rows, out);
        } else {
            self.cast.size(columns, rows);
        }
        self.sized = true;
    }

    /// A meta frame.
    pub fn event(&mut self, time: Timestamp, value: &Value) -> Vec<String> {
        let Some(event) = Event::from_json(value).filter(|e| e.request == self.request) else { return Vec::new() };
        if event.what == "request" { Vec::new() } else { self.marker(time, &event.to_string()) }
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
