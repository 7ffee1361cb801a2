//! `doorward sessions replay` and `export` of SSH: lines of text, terminals, asciicasts.
use crate::{
    playback::{self, Shown},
    sessions::title,
    terminal_keys::Keys,
};
use anyhow::Result;
use doorward_control::recordings::{
    Open,
    ssh::{chosen, side},
};
use doorward_record::{Direction, FrameBody, Reader};
use doorward_ssh::{
    codec,
    replay::{self, Event, Replayer},
};
use std::io::{self, IsTerminal as _, Write};

/// How a session is replayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Times as fast; 0 at once.
    pub(crate) speed: f64,
    /// Lines shown of what each command writes.
    pub(crate) lines: usize,
    /// Which channel.
    pub(crate) channel: Option<u32>,
}

/// Plays a session: a terminal as it looked where there is one to play it on, else lines.
pub(crate) fn replay(open: Open<'_>, options: Options) -> Result<()> {
    let channel = chosen(open, options.channel)?;
    match channel {
        Some(channel) if channel.terminal && io::stdout().is_terminal() => {
            let mut keys = Keys::of_terminal(options.speed);
            let played = play(open()?, channel.number, &mut keys, &mut io::stdout().lock());
            keys.give_back();
            played
        }
        _ => lines(open()?, options, &mut io::stdout().lock()),
    }
}

fn lines(reader: Reader, options: Options, out: &mut impl Write) -> Result<()> {
    let mut replayer = Replayer::new(replay::Options { lines: options.lines });
    writeln!(out, "{}", title(&reader))?;
    let show = |body: Option<&FrameBody>| match body {
        Some(FrameBody::Bytes(direction, bytes)) if is_of(options.channel, bytes) => {
            replayer.feed(side(*direction), bytes)
        }
        Some(FrameBody::Meta(value)) if is_about(options.channel, value) => replayer.event(value),
        Some(_) => Vec::new(),
        None => replayer.finish(),
    };
    playback::print(reader, options.speed, show, out)
}

fn is_of(channel: Option<u32>, frame: &[u8]) -> bool {
    channel.is_none_or(|channel| codec::frame(frame).is_ok_and(|(number, ..)| number == channel))
}

fn is_about(channel: Option<u32>, value: &serde_json::Value) -> bool {
    channel.is_none() || Event::from_json(value).is_none_or(|e| e.channel().is_none() || e.channel() == channel)
}

/// Plays what a terminal showed, until the end or a `q`.
fn play(reader: Reader, channel: u32, keys: &mut Keys, out: &mut impl Write) -> Result<()> {
    let title = format!("{}, channel {channel}", title(&reader));
    playback::play(
        reader,
        &title,
        |body| match body {
            FrameBody::Bytes(Direction::Upstream, bytes) => match codec::frame(bytes) {
                Ok((number, ..)) if number == channel => Shown::Bytes(bytes.get(codec::HEADER..).unwrap_or_default()),
                _ => Shown::Nothing,
            },
            // Waiting before the terminal was there is not shown.
            FrameBody::Meta(value) => match Event::from_json(value) {
                Some(Event::Pty { channel: Some(number), .. }) if number == channel => Shown::Skip,
                _ => Shown::Nothing,
            },
            FrameBody::Bytes(..) | FrameBody::Redacted { .. } | FrameBody::Gap { .. } => Shown::Nothing,
        },
        keys,
        out,
    )
}

#[cfg(test)]
#[path = "sessions_ssh_tests.rs"]
mod tests;
