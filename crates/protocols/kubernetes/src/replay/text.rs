//! Lines for people.
use super::{ERROR, Event, INPUT, Kind, OUTPUT, Overview, RESIZE, STATUS, Side, Summary, ending, printable, size};
use crate::codec::{self, Part};
use doorward_terminal::Lines;
use serde_json::Value;
use std::collections::BTreeMap;

/// Requests of which something is remembered at once.
const MOST_OPEN: usize = 1000;

/// How a session is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lines shown of each stream of each request.
    pub lines: usize,
    /// This request alone, with heads and bodies.
    pub request: Option<u32>,
}

/// The streams of a request while they come in.
#[derive(Debug)]
struct Open {
    kind: Kind,
    input: Lines,
    output: Lines,
    errors: Lines,
}

impl Open {
    fn new(kind: Kind) -> Self {
        let terminal = matches!(kind, Kind::Stream { terminal: true });
        let lines = |mark| Lines::new(mark, terminal);
        let mut open = Self { kind, input: lines('>'), output: lines('<'), errors: lines('!') };
        if kind == Kind::Tunnel {
            open.input.without_text();
            open.output.without_text();
        }
        open
    }

    fn finish(&mut self, most: usize, show: &mut dyn FnMut(String)) {
        for lines in [&mut self.input, &mut self.output, &mut self.errors] {
            lines.finish(most, show);
        }
    }
}

/// Turns recorded frames into lines: `[request] mark text`, where the mark says what it is: `>` what came from the
/// caller, `<` what he saw, `!` his standard error, `*` what was asked and decided.
#[derive(Debug)]
pub struct Replayer {
    options: Options,
    overview: Overview,
    open: BTreeMap<u32, Open>,
}

impl Replayer {
    /// A replay from the first frame, of a session of which this is the overview.
    pub const fn new(options: Options, overview: Overview) -> Self {
        Self { options, overview, open: BTreeMap::new() }
    }

    fn kind(&self, number: u32) -> Kind {
        self.overview.requests.get(&number).map(|r| r.kind).unwrap_or_default()
    }

    fn is_shown(&self, number: u32) -> bool {
        self.options.request.is_none_or(|only| only == number)
    }

    /// A frame of bytes.
    pub fn feed(&mut self, side: Side, frame: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let Some((number, part, bytes)) = codec::frame(frame) else {
            return vec![format!("({} bytes that belong to no request)", frame.len())];
        };
        // Heads and bodies are shown of the request that was asked for.
        if !self.is_shown(number) || (part == Part::Message && self.options.request.is_none()) {
            return out;
        }
        let (kind, most) = (self.kind(number), self.options.lines);
        if self.open.len() >= MOST_OPEN && !self.open.contains_key(&number) {
            out.extend(self.finish());
            self.open.clear();
        }
        let open = self.open.entry(number).or_insert_with(|| Open::new(kind));
        let mut show = |line: String| out.push(format!("[{number}] {line}"));
        match (part, side) {
            (Part::Message | Part::Tunnel, Side::Client) => open.input.feed(bytes, most, &mut show),
            (Part::Message | Part::Tunnel, Side::Upstream) => {
                if part == Part::Message {
                    open.input.finish(most, &mut show);
                }
                open.output.feed(bytes, most, &mut show);
            }
            (Part::Channel, _) => channel(open, side, bytes, most, &mut show),
        }
        out
    }

    /// A meta frame.
    pub fn event(&mut self, value: &Value) -> Vec<String> {
        let Some(event) = Event::from_json(value) else {
            return vec![format!("* {}", printable(&value.to_string()))];
        };
        let number = event.request;
        if !self.is_shown(number) {
            return Vec::new();
        }
        let mut out = Vec::new();
        let most = self.options.lines;
        if let Some(open) = self.open.get_mut(&number) {
            open.finish(most, &mut |line| out.push(format!("[{number}] {line}")));
        }
        let result = self.overview.requests.get(&number).map(Summary::result);
        match (event.what.as_str(), result) {
            ("request", Some(result)) => {
                out.push(format!("[{number}] * {} ({})", printable(&event.to_string()), printable(&result)));
            }
            _ => out.push(format!("[{number}] * {}", printable(&event.to_string()))),
        }
        out
    }

    /// Bytes are missing, or the recording has ended: what was half read is shown as it is.
    pub fn finish(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        for (number, open) in &mut self.open {
            open.finish(self.options.lines, &mut |line| out.push(format!("[{number}] {line}")));
        }
        out
    }
}

fn channel(open: &mut Open, side: Side, bytes: &[u8], most: usize, show: &mut dyn FnMut(String)) {
    let Some((channel, bytes)) = bytes.split_first() else { return };
    match (side, *channel) {
        // What is typed into a terminal is what its echo shows.
        (Side::Client, INPUT) if open.kind == (Kind::Stream { terminal: true }) => {}
        (Side::Client, INPUT) => open.input.feed(bytes, most, show),
        (Side::Client, RESIZE) => {
            let size = size(bytes).map(|(columns, rows)| format!("* terminal of {columns}x{rows}"));
            size.into_iter().for_each(show);
        }
        (Side::Upstream, OUTPUT) => open.output.feed(bytes, most, show),
        (Side::Upstream, ERROR) => open.errors.feed(bytes, most, show),
        (Side::Upstream, STATUS) => {
            open.finish(most, show);
            show(match ending(bytes) {
                Ok(code) => format!("* exit {code}"),
                Err(what) => format!("* ended: {}", printable(&what)),
            });
        }
        (Side::Client | Side::Upstream, _) => {}
    }
}
