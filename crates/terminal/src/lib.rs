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

use doorward_model::is_invisible;

/// What stands before each line of somebody else's text.
const BAR: &str = "│ ";
/// A line has so many columns, however narrow it is to be.
const NARROWEST: usize = 8;

/// Characters that make a text read otherwise than it is written.
const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with numbers in place of control characters, but for line feeds and tabs, and of what people do not see.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_space = matches!(c, '\n' | '\t');
        if !is_space && (c.is_control() || is_invisible(c)) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// The lines of a text that somebody else wrote, [`plain`], each behind a bar and no wider than `columns`: nothing in it begins a line,
/// so none can be taken for one of ours. Characters beyond ASCII count as two columns, tabs as eight.
pub fn behind_bar(text: &str, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(BAR.chars().count()).max(NARROWEST);
    let mut out = Vec::new();
    for line in plain(text).split('\n') {
        let (mut shown, mut taken) = (BAR.to_owned(), 0);
        for c in line.chars() {
            let width = columns_of(c);
            if taken + width > room {
                out.push(std::mem::replace(&mut shown, BAR.to_owned()));
                taken = 0;
            }
            shown.push(c);
            taken += width;
        }
        out.push(shown);
    }
    out
}

/// As much of a line as fits so many columns, counted as [`behind_bar`] does; what is cut ends with `…`.
pub fn fit(line: &str, columns: usize) -> String {
    let whole: usize = line.chars().map(columns_of).fold(0, usize::saturating_add);
    if whole <= columns {
        return line.to_owned();
    }
    let mut left = columns.saturating_sub(columns_of('…'));
    let fits = line.chars().take_while(|c| {
        let width = columns_of(*c);
        let is_room = width <= left;
        left = left.saturating_sub(width);
        is_room
    });
    fits.chain(['…']).collect()
}

const fn columns_of(c: char) -> usize {
    match c {
        '\t' => 8,
        c if c.is_ascii() => 1,
        _ => 2,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_begins_a_line() {
        assert_eq!(behind_bar("SELECT 1\n$1 = 2\n", usize::MAX), ["│ SELECT 1", "│ $1 = 2", "│ "]);
        let wrapped = behind_bar(&format!("{}digest     00", " ".repeat(20)), 22);
        assert_eq!(wrapped, [format!("│ {}", " ".repeat(20)), "│ digest     00".to_owned()]);
        assert_eq!(behind_bar("ab\tcdé\u{4e2d}", 14), ["│ ab\tcd", "│ é中"], "wide ones are counted so");
        assert_eq!(
            behind_bar("a\rb\u{1b}[2K\u{202e}\u{2028}\u{3164}", 90),
            ["│ a\\u{d}b\\u{1b}[2K\\u{202e}\\u{2028}\\u{3164}"]
        );
        assert_eq!(behind_bar("123456789", 0), ["│ 12345678", "│ 9"], "there is always room for something");
    }

    #[test]
    fn a_line_is_cut_to_what_fits() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcd…");
        assert_eq!(fit("aé中defg", 6), "aé…");
    }
}
