//! A recording of a session as people read it.
//!
//! [`Replayer`] makes lines of it: what was asked and decided, and what commands wrote. [`SafeTerminal`] is for
//! playing a terminal on another one. [`Cast`] makes an asciicast of it. What is shown comes from both peers:
//! none of the three passes anything that a terminal would obey, but drawing. Memory is bounded.
pub mod asciicast;
mod event;
mod text;

#[cfg(test)]
mod tests;

pub use asciicast::Cast;
pub use doorward_terminal::{SafeTerminal, printable};
pub use event::{Decided, Event, FileDirection, Requested};
pub use text::{Options, Replayer};

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the caller.
    Client,
    /// To the caller, as he saw them.
    Upstream,
}
