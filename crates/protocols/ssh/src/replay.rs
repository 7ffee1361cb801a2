//! A recording of a session as people read it.
//!
//! [`Replayer`] makes lines of it: what was asked and decided, and what commands wrote. [`SafeTerminal`] is for
//! playing a terminal on another one. [`Cast`] makes an asciicast of it. What is shown comes from both peers:
//! none of the three passes anything that a terminal would obey, but drawing. Memory is bounded.
pub mod asciicast;
mod event;
mod safe;
mod text;
mod utf8;

#[cfg(test)]
mod tests;

pub use asciicast::Cast;
pub use event::{Decided, Event, FileDirection, Requested};
pub use safe::SafeTerminal;
pub use text::{Options, Replayer};

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the caller.
    Client,
    /// To the caller, as he saw them.
    Upstream,
}

/// Characters that make a text read otherwise than it is written.
const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in one line that cannot play tricks on a terminal.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push(c),
            c if c.is_control() || turns_direction(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
