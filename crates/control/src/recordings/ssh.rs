//! SSH: channels, and asciicasts of them.
use super::{Open, ShowError, gap_line, is_client};
use doorward_record::{Direction, Frame, FrameBody};
use doorward_ssh::replay::{Cast, Event, Side};
use std::io::Write;

/// A channel, and whether it has a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its number in the session.
    pub number: u32,
    /// Whether it has a terminal.
    pub terminal: bool,
}

/// Which side sent a frame.
pub const fn side(direction: Direction) -> Side {
    if is_client(direction) { Side::Client } else { Side::Upstream }
}

/// The channels of a session.
///
/// # Errors
/// [`ShowError::Read`].
pub fn channels(open: Open<'_>) -> Result<Vec<Channel>, ShowError> {
    let mut channels: Vec<Channel> = Vec::new();
    for frame in open()? {
        let FrameBody::Meta(value) = frame?.body else { continue };
        match Event::from_json(&value) {
            Some(Event::Opened { channel: Some(number), .. }) => channels.push(Channel { number, terminal: false }),
            Some(Event::Pty { channel: Some(number), .. }) => {
                channels.iter_mut().filter(|c| c.number == number).for_each(|c| c.terminal = true);
            }
            Some(_) | None => {}
        }
    }
    Ok(channels)
}

/// The channel that was asked for; else the first terminal.
///
/// # Errors
/// [`ShowError::Absent`] where there is no such channel.
pub fn chosen(open: Open<'_>, asked: Option<u32>) -> Result<Option<Channel>, ShowError> {
    let channels = channels(open)?;
    match asked {
        None => Ok(channels.into_iter().find(|c| c.terminal)),
        Some(number) => match channels.iter().find(|c| c.number == number) {
            Some(channel) => Ok(Some(*channel)),
            None => {
                let known: Vec<String> = channels.iter().map(|c| c.number.to_string()).collect();
                let known = known.join(", ");
                Err(ShowError::Absent(format!("the session has no channel {number}; it has: {known}")))
            }
        },
    }
}

/// Writes a channel as an asciicast.
///
/// # Errors
/// [`ShowError`].
pub fn export(open: Open<'_>, channel: Option<u32>, out: &mut impl Write) -> Result<(), ShowError> {
    let channel = match chosen(open, channel)? {
        Some(channel) => channel,
        None => match channels(open)?.first() {
            Some(channel) => *channel,
            None => return Err(ShowError::Absent("the session has no channels".to_owned())),
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
