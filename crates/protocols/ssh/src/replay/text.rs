//! Lines for people.
use super::{Event, Requested, Side, printable};
use crate::codec::{self, Stream};
use doorward_terminal::Lines;
use serde_json::Value;
use std::collections::HashMap;

/// Channels of which something is remembered.
const MOST_CHANNELS: usize = 10_000;

/// How a session is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lines shown of what a command reads, writes, and says on standard error, of each.
    pub lines: usize,
}

#[derive(Debug)]
struct Channel {
    terminal: bool,
    /// Input is shown: that of a terminal is what its echo shows.
    input: Lines,
    output: Lines,
    errors: Lines,
}

impl Channel {
    fn new(terminal: bool) -> Self {
        let lines = |mark| Lines::new(mark, terminal);
        Self { terminal, input: lines('>'), output: lines('<'), errors: lines('!') }
    }

    fn without_text(&mut self) {
        for lines in [&mut self.input, &mut self.output, &mut self.errors] {
            lines.without_text();
        }
    }

    fn finish(&mut self, most: usize, show: &mut dyn FnMut(String)) {
        for lines in [&mut self.input, &mut self.output, &mut self.errors] {
            lines.finish(most, show);
        }
    }
}

/// Turns recorded frames into lines: `[channel] mark text`, where the mark says what it is: `>` input, `<`
/// output, `!` standard error, `*` what was asked and decided.
#[derive(Debug)]
pub struct Replayer {
    options: Options,
    channels: HashMap<u32, Channel>,
}

impl Replayer {
    /// A replay from the first frame.
    pub fn new(options: Options) -> Self {
        Self { options, channels: HashMap::new() }
    }

    /// A frame of bytes.
    pub fn feed(&mut self, side: Side, frame: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let Ok((number, stream, bytes)) = codec::frame(frame) else {
            return vec![format!("({} bytes that belong to no channel)", frame.len())];
        };
        let most = self.options.lines;
        let Some(channel) = self.channel(number) else { return out };
        let lines = match (side, stream) {
            (Side::Client, _) if channel.terminal => return out,
            (Side::Client, _) => &mut channel.input,
            (Side::Upstream, Stream::Data) => &mut channel.output,
            (Side::Upstream, Stream::Error) => &mut channel.errors,
        };
        lines.feed(bytes, most, &mut |line| out.push(format!("[{number}] {line}")));
        out
    }

    /// A meta frame.
    pub fn event(&mut self, value: &Value) -> Vec<String> {
        let Some(event) = Event::from_json(value) else {
            return vec![format!("* {}", printable(&value.to_string()))];
        };
        let most = self.options.lines;
        let mut out = Vec::new();
        let Some(number) = event.channel() else { return vec![format!("* {}", printable(&event.to_string()))] };
        let mut show = |line: String| out.push(format!("[{number}] {line}"));
        match &event {
            Event::Pty { .. } => {
                if let Some(channel) = self.channel(number) {
                    *channel = Channel::new(true);
                }
            }
            // A forwarded connection, a subsystem: nothing for people to read.
            Event::Opened { kind, .. } if kind != "session" => {
                self.channel(number).into_iter().for_each(Channel::without_text);
            }
            Event::Request { what: Requested::Subsystem, .. } => {
                self.channel(number).into_iter().for_each(Channel::without_text);
            }
            Event::Exit { .. } | Event::ExitSignal { .. } | Event::Closed { .. } => {
                self.channel(number).into_iter().for_each(|c| c.finish(most, &mut show));
            }
            Event::Opened { .. }
            | Event::Request { .. }
            | Event::Resize { .. }
            | Event::Decided { .. }
            | Event::Held { .. }
            | Event::File { .. }
            | Event::Eof { .. } => {}
        }
        show(format!("* {}", printable(&event.to_string())));
        if matches!(event, Event::Closed { .. }) {
            self.channels.remove(&number);
        }
        out
    }

    /// Bytes are missing: what was half read is shown as it is.
    pub fn gap(&mut self) -> Vec<String> {
        self.finish()
    }

    /// The end of the recording.
    pub fn finish(&mut self) -> Vec<String> {
        let mut numbers: Vec<u32> = self.channels.keys().copied().collect();
        numbers.sort_unstable();
        let mut out = Vec::new();
        for number in numbers {
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.finish(self.options.lines, &mut |line| out.push(format!("[{number}] {line}")));
            }
        }
        out
    }

    fn channel(&mut self, number: u32) -> Option<&mut Channel> {
        let known = self.channels.len() < MOST_CHANNELS || self.channels.contains_key(&number);
        known.then(|| self.channels.entry(number).or_insert_with(|| Channel::new(false)))
    }
}
