//! A line editor for a caller's terminal: keys in, what to show and whole lines out.
//!
//! Keys as in Emacs mode of readline(3). One row: a line that is longer than the terminal is wide scrolls within it.
//! It never puts anything on the terminal that the caller did not type, but for its own few sequences.
use std::collections::VecDeque;

/// The longest line, in characters.
const LONGEST: usize = 4 * 1024;
/// How many lines are remembered.
const HISTORY: usize = 500;
/// The longest sequence of a key, in bytes; a longer one is none.
const LONGEST_KEY: usize = 16;

/// What a key has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edited {
    /// Enter: the line.
    Line(String),
    /// Ctrl-C: the line is given up.
    Interrupt,
    /// Ctrl-D on an empty line.
    End,
    /// Tab: what stands before the cursor.
    Complete(String),
}

/// Bytes of a key that are not all there yet.
#[derive(Debug, Default)]
enum Key {
    #[default]
    None,
    Escape(Vec<u8>),
    Utf8(Vec<u8>),
}

/// The line that is being typed.
#[derive(Debug)]
pub struct Editor {
    prompt: String,
    line: Vec<char>,
    cursor: usize,
    columns: usize,
    key: Key,
    history: VecDeque<String>,
    /// Which line of the history is shown, and what was typed before.
    looking: Option<(usize, Vec<char>)>,
    cut: Vec<char>,
    after_cr: bool,
}

impl Editor {
    /// For a terminal of this many columns.
    pub fn new(columns: u32) -> Self {
        let mut editor = Self {
            prompt: String::new(),
            line: Vec::new(),
            cursor: 0,
            columns: 80,
            key: Key::None,
            history: VecDeque::new(),
            looking: None,
            cut: Vec::new(),
            after_cr: false,
        };
        editor.resize(columns);
        editor
    }

    /// The terminal has another width.
    pub fn resize(&mut self, columns: u32) {
        // 0 is what clients without a terminal say.
        self.columns = if columns == 0 { 80 } else { usize::try_from(columns).unwrap_or(80).clamp(20, 1000) };
    }

    /// Begins a line behind this prompt.
    pub fn begin(&mut self, prompt: &str, out: &mut Vec<u8>) {
        self.prompt = prompt.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.line.clear();
        self.cursor = 0;
        self.looking = None;
        self.draw(out);
    }

    /// Shows prompt and line again, on a row of their own.
    pub fn again(&self, out: &mut Vec<u8>) {
        self.draw(out);
    }

    /// Takes one byte of the caller's.
    pub fn key(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Edited> {
        let after_cr = std::mem::take(&mut self.after_cr);
        match std::mem::take(&mut self.key) {
            Key::Escape(mut seen) => {
                seen.push(byte);
                self.escape(seen, out);
                None
            }
            Key::Utf8(mut seen) if byte & 0xC0 == 0x80 => {
                seen.push(byte);
                self.utf8(seen, out);
                None
            }
            // What was begun is no character.
            Key::Utf8(_) | Key::None if byte == b'\n' && after_cr => None,
            Key::Utf8(_) | Key::None => self.plain(byte, out),
        }
    }

    /// Puts text at the cursor, as if it had been typed.
    pub fn insert(&mut self, text: &str, out: &mut Vec<u8>) {
        for c in text.chars().filter(|c| !c.is_control()) {
            if self.line.len() < LONGEST {
                self.line.insert(self.cursor, c);
                self.cursor += 1;
            }
        }
        self.draw(out);
    }

    /// Remembers a line.
    pub fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || self.history.back().is_some_and(|last| last == line) {
            return;
        }
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(line.to_owned());
    }

    fn plain(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Edited> {
        match byte {
            b'\r' | b'\n' => {
                self.after_cr = byte == b'\r';
                self.cursor = self.line.len();
                self.draw(out);
                out.extend_from_slice(b"\r\n");
                return Some(Edited::Line(self.line.iter().collect()));
            }
            0x03 => {
                out.extend_from_slice(b"^C\r\n");
                return Some(Edited::Interrupt);
            }
            0x04 if self.line.is_empty() => return Some(Edited::End),
            b'\t' => return Some(Edited::Complete(self.line.iter().take(self.cursor).collect())),
            0x1B => self.key = Key::Escape(Vec::new()),
            0x80.. => self.key = Key::Utf8(vec![byte]),
            0x20..=0x7E => self.insert(char::from(byte).encode_utf8(&mut [0; 4]), out),
            _ => self.control(byte, out),
        }
        None
    }

    fn control(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x01 => self.cursor = 0,
            0x05 => self.cursor = self.line.len(),
            0x02 => self.cursor = self.cursor.saturating_sub(1),
            0x06 => self.cursor = (self.cursor + 1).min(self.line.len()),
            0x04 => self.remove(self.cursor, self.cursor + 1),
            0x08 | 0x7F => self.remove(self.cursor.saturating_sub(1), self.cursor),
            0x0B => self.cut(self.cursor, self.line.len()),
            0x15 => self.cut(0, self.cursor),
            0x17 => self.cut(self.word_start(), self.cursor),
            0x19 => {
                let text: String = self.cut.iter().collect();
                return self.insert(&text, out);
            }
            0x0C => out.extend_from_slice(b"\x1b[H\x1b[2J"),
            0x10 => self.look(true),
            0x0E => self.look(false),
            _ => return,
        }
        self.draw(out);
    }

    fn remove(&mut self, from: usize, to: usize) {
        let to = to.min(self.line.len());
        if from < to {
            self.line.drain(from..to);
            self.cursor = from;
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        if from < to {
            self.cut = self.line.get(from..to).unwrap_or_default().to_vec();
            self.remove(from, to);
        }
    }

    fn word_start(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or_default();
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |n| n + 1);
        before.get(..end).unwrap_or_default().iter().rposition(|c| c.is_whitespace()).map_or(0, |n| n + 1)
    }

    fn word_end(&self) -> usize {
        let after = self.line.get(self.cursor..).unwrap_or_default();
        let start = after.iter().position(|c| !c.is_whitespace()).unwrap_or(after.len());
        let length = after.iter().skip(start).position(|c| c.is_whitespace());
        self.cursor + length.map_or(after.len(), |n| start + n)
    }

    /// Up or down in the history.
    fn look(&mut self, up: bool) {
        let (at, typed) = match self.looking.take() {
            Some(looking) => looking,
            None => (self.history.len(), self.line.clone()),
        };
        let next = if up { at.checked_sub(1) } else { Some(at + 1) };
        let at = next.filter(|n| *n <= self.history.len()).unwrap_or(at);
        self.line = self.history.get(at).map_or_else(|| typed.clone(), |line| line.chars().collect());
        self.cursor = self.line.len();
        self.looking = (at < self.history.len()).then_some((at, typed));
    }

    fn utf8(&mut self, seen: Vec<u8>, out: &mut Vec<u8>) {
        match std::str::from_utf8(&seen) {
            Ok(text) => {
                let text = text.to_owned();
                self.insert(&text, out);
            }
            Err(e) if e.error_len().is_none() => self.key = Key::Utf8(seen),
            Err(_) => {}
        }
    }

    /// `ESC [ …`, `ESC O …` and `ESC letter` (ECMA-48 §5.4; what terminals send for keys).
    fn escape(&mut self, seen: Vec<u8>, out: &mut Vec<u8>) {
        match seen.as_slice() {
            b"[" | b"O" => return self.key = Key::Escape(seen),
            [b'[' | b'O', middle @ .., last] if last.is_ascii_digit() || *last == b';' => {
                if middle.len() < LONGEST_KEY {
                    self.key = Key::Escape(seen);
                }
                return;
            }
            b"[A" | b"OA" => self.look(true),
            b"[B" | b"OB" => self.look(false),
            b"[C" | b"OC" => self.cursor = (self.cursor + 1).min(self.line.len()),
            b"[D" | b"OD" => self.cursor = self.cursor.saturating_sub(1),
            b"[H" | b"OH" | b"[1~" | b"[7~" => self.cursor = 0,
            b"[F" | b"OF" | b"[4~" | b"[8~" => self.cursor = self.line.len(),
            b"[3~" => self.remove(self.cursor, self.cursor + 1),
            b"[1;5C" | b"[1;3C" | b"f" => self.cursor = self.word_end(),
            b"[1;5D" | b"[1;3D" | b"b" => self.cursor = self.word_start(),
            b"d" => self.cut(self.cursor, self.word_end()),
            b"\x7f" => self.cut(self.word_start(), self.cursor),
            _ => return,
        }
        self.draw(out);
    }

    /// Draws the row anew: as much of the line as fits, around the cursor.
    fn draw(&self, out: &mut Vec<u8>) {
        let room = self.columns.saturating_sub(width(self.prompt.chars())).max(10) - 1;
        // Back from the cursor, as far as there is room.
        let (mut from, mut taken) = (self.cursor, 0);
        while let Some(c) = from.checked_sub(1).and_then(|n| self.line.get(n)) {
            taken += width(std::iter::once(*c));
            if taken > room {
                break;
            }
            from -= 1;
        }
        let mut to = from;
        let mut taken = 0;
        while let Some(c) = self.line.get(to) {
            taken += width(std::iter::once(*c));
            if taken > room {
                break;
            }
            to += 1;
        }
        let shown = |a: usize, b: usize| self.line.get(a..b).unwrap_or_default().iter().collect::<String>();
        let back = width(self.line.get(self.cursor..to).unwrap_or_default().iter().copied());
        out.extend_from_slice(format!("\r{}{}\x1b[K", self.prompt, shown(from, to)).as_bytes());
        if back > 0 {
            out.extend_from_slice(format!("\x1b[{back}D").as_bytes());
        }
    }
}

/// How many columns characters take: wide ones of East Asia and emoji take two (UAX #11, roughly).
fn width(chars: impl Iterator<Item = char>) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c),
            0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD)
    };
    let none = |c: char| matches!(u32::from(c), 0x300..=0x36F | 0x200B..=0x200F | 0xFE00..=0xFE0F);
    chars.map(|c| if none(c) { 0 } else { 1 + usize::from(wide(c)) }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(editor: &mut Editor, keys: &str) -> Vec<Edited> {
        let mut out = Vec::new();
        editor.begin("$ ", &mut out);
        keys.bytes().filter_map(|b| editor.key(b, &mut out)).collect()
    }

    fn line(keys: &str) -> String {
        match typed(&mut Editor::new(80), &format!("{keys}\r")).as_slice() {
            [Edited::Line(line)] => line.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn keys_edit_the_line() {
        for (keys, want) in [
            ("ls -l", "ls -l"),
            ("lss\x7f", "ls"),
            ("s\x01l", "ls"),
            ("\x1b[Dab\x1b[D\x1b[Dx", "xab"),
            ("one two\x17three", "one three"),
            ("one two\x15", ""),
            ("one two\x01\x0b\x19\x19", "one twoone two"),
            ("ac\x1b[Db\x05d", "abcd"),
            ("abc\x1b[H\x1b[3~", "bc"),
            ("a b c\x1b[1;5D\x1b[1;5D\x1bd", "a  c"),
            ("gr\u{fc}\u{df}e\u{1f600}\x7f", "gr\u{fc}\u{df}e"),
            ("a\x1b[99;99Rb\x07\x1b[200~c", "abc"),
        ] {
            assert_eq!(line(keys), want, "{keys:?}");
        }
    }

    #[test]
    fn lines_end_once_and_control_keys_are_told() {
        let mut e = Editor::new(80);
        assert_eq!(typed(&mut e, "a\r\nb\n"), [Edited::Line("a".into()), Edited::Line("ab".into())]);
        assert_eq!(typed(&mut e, "a\x03"), [Edited::Interrupt]);
        assert_eq!(typed(&mut e, "a\x04"), []);
        assert_eq!(typed(&mut e, "\x04"), [Edited::End]);
        assert_eq!(typed(&mut e, "cat ~/x\t"), [Edited::Complete("cat ~/x".into())]);
    }

    #[test]
    fn lines_come_back() {
        let mut e = Editor::new(80);
        for line in ["first", "second", "second", " "] {
            e.remember(line);
        }
        let up = "\x1b[A";
        assert_eq!(typed(&mut e, &format!("{up}{up}\r")), [Edited::Line("first".into())]);
        assert_eq!(typed(&mut e, "dra\x10\x10\x10\x0e\r"), [Edited::Line("second".into())]);
        assert_eq!(typed(&mut e, "dra\x10\x0eft\r"), [Edited::Line("draft".into())]);
    }

    #[test]
    fn a_long_line_stays_on_one_row() {
        let mut e = Editor::new(30);
        let mut out = Vec::new();
        e.begin("$ ", &mut out);
        for byte in "0123456789".repeat(6).bytes() {
            out.clear();
            e.key(byte, &mut out);
            assert!(out.len() <= 30 + 8, "{}", String::from_utf8_lossy(&out));
        }
    }

    proptest! {
        #[test]
        fn any_keys_are_taken(keys in proptest::collection::vec(any::<u8>(), 0..400), columns in 0_u32..2000) {
            let mut e = Editor::new(columns);
            let mut out = Vec::new();
            e.begin("prompt\u{1b}[31m$ ", &mut out);
            for key in keys {
                if let Some(Edited::Line(line)) = e.key(key, &mut out) {
                    prop_assert!(!line.chars().any(char::is_control));
                    e.remember(&line);
                    e.begin("$ ", &mut out);
                }
            }
            let colours = String::from_utf8_lossy(&out).contains("prompt\x1b");
            prop_assert!(!colours, "a prompt holds no control characters");
        }
    }
}
