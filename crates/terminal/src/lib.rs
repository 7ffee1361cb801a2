//! Recorded output as people see it, of whatever protocol it came by.
//!
//! | file | what is in it |
//! |---|---|
//! | `safe.rs` | what a recording may do to the terminal that plays it: draw |
//! | `lines.rs` | a stream as lines of text, so many of them |
//! | `asciicast.rs` | lines of an asciicast, version 3 |
//! | `utf8.rs` | characters whose bytes come in pieces |
//!
//! Invariants: nothing that a terminal would obey passes, but drawing; memory is bounded; nothing panics on bytes of a
//! peer. Deliberately absent: what recordings hold, which each protocol knows of its own. The tests of attacks on
//! terminals are with SSH (`protocols/ssh/src/replay/tests.rs`).
pub mod asciicast;
mod lines;
mod safe;
mod utf8;

pub use asciicast::Asciicast;
pub use lines::Lines;
pub use safe::SafeTerminal;
pub use utf8::Utf8;

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
