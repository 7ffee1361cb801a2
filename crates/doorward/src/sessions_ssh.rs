//! `doorward sessions replay` and `export` of SSH: lines of text, terminals, asciicasts.
use crate::{
    playback::{self, Shown, gap_line},
    sessions::title,
    terminal_keys::Keys,
};
use anyhow::{Result, bail};
use doorward_record::{Direction, Frame, FrameBody, Reader};
use doorward_ssh::{
    codec,
    replay::{self, Cast, Event, Replayer, Side},
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

/// Opens the recording, each time from its beginning.
type Open<'a> = &'a dyn Fn() -> Result<Reader>;

/// A channel, and whether it has a terminal.
#[derive(Clone, Copy, Debug)]
struct Channel {
    number: u32,
    terminal: bool,
}

fn channels(open: Open<'_>) -> Result<Vec<Channel>> {
    let mut channels: Vec<Channel> = Vec::new();
    for frame in open()? {
        let FrameBody::Meta(value) = frame?.body else { continue };
        match Event::from_json(&value) {
            Some(Event::Opened { channel: Some(number), .. }) => channels.push(Channel { number, terminal: false }),
            Some(Event::Pty { channel: Some(number), .. }) => {
                channels.iter_mut().filter(|c| c.number == number).for_each(|c| c.terminal = true);
            }
            _ => {}
        }
    }
    Ok(channels)
}

/// The channel that was asked for; else the first terminal.
fn chosen(open: Open<'_>, asked: Option<u32>) -> Result<Option<Channel>> {
    let channels = channels(open)?;
    match asked {
        None => Ok(channels.into_iter().find(|c| c.terminal)),
        Some(number) => match channels.iter().find(|c| c.number == number) {
            Some(channel) => Ok(Some(*channel)),
            None => {
                let known: Vec<String> = channels.iter().map(|c| c.number.to_string()).collect();
                bail!("the session has no channel {number}; it has: {}", known.join(", "))
            }
        },
    }
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

const fn side(direction: Direction) -> Side {
    match direction {
        Direction::Client => Side::Client,
        Direction::Upstream => Side::Upstream,
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

/// Writes a channel as an asciicast.
pub(crate) fn export(open: Open<'_>, channel: Option<u32>, out: &mut impl Write) -> Result<()> {
    let first = || channels(open).map(|all| all.into_iter().next());
    let channel = match chosen(open, channel)? {
        Some(channel) => channel,
        None => match first()? {
            Some(channel) => channel,
            None => bail!("the session has no channels"),
        },
    };
    let reader = open()?;
    let mut cast = Cast::new(channel.number, reader.meta().started);
    for frame in reader {
        let Frame { time, body, .. } = frame?;
        let lines = match &body {
            FrameBody::Bytes(direction, bytes) => cast.feed(time, side(*direction), bytes),
            FrameBody::Meta(value) => cast.event(time, value),
            FrameBody::Gap { client, upstream } => cast.marker(time, &gap_line(*client, *upstream)),
            FrameBody::Redacted { .. } => Vec::new(),
        };
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    cast.finish().iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}

#[cfg(test)]
#[path = "sessions_ssh_tests.rs"]
mod tests;
