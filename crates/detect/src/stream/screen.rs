//! What of a stream's bytes people see.
//!
//! The same bytes are read in two ways, because a program that moves the cursor may put together or set
//! apart what it writes: *joined* is what was printed one after the other, without sequences and with
//! backspaces obeyed; in *pieces*, each movement stands as a space. What either reading shows is masked.
use super::{controls::Controls, reading::Reading};
use std::ops::Range;

/// The longest control sequence; what is longer is text.
const LONGEST_CONTROL: usize = 128;
/// The longest control string (titles, hyperlinks); what is longer is text.
pub(super) const LONGEST_STRING: usize = 1024;
/// Repetitions of a character that are looked at (REP, ECMA-48 §8.3.103).
const MOST_REPEATED: usize = 40;

pub(super) const BACKSPACE: u8 = 0x08;
const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
pub(super) const ESC: u8 = 0x1b;
const DEL: u8 = 0x7f;

/// A sequence within the raw bytes.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) range: Range<usize>,
    /// The text of a control string.
    pub(super) payload: Option<Range<usize>>,
}

/// The bytes of a segment, read.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) joined: Reading,
    /// Of a use only where the readings differ.
    pub(super) pieces: Reading,
    pub(super) differ: bool,
    pub(super) sequences: Vec<Sequence>,
    /// Where a sequence begins that is not complete.
    pub(super) open: Option<usize>,
    /// The cursor was put elsewhere after the last visible byte.
    pub(super) moved_on: bool,
}

/// What an escape character begins.
pub(super) enum Step {
    /// A sequence of so many bytes.
    Control { length: usize, moves: bool, absolute: bool, repeats: usize },
    /// A string of so many bytes, with its text.
    String { length: usize, payload: Range<usize> },
    /// Something that is none: `seen` bytes that a terminal drops, though they may be text.
    Broken { length: usize },
    /// Nothing that is known yet.
    Open,
}

impl Step {
    const fn escape(length: usize, moves: bool) -> Self {
        Self::Control { length, moves, absolute: false, repeats: 0 }
    }
}

/// Whether nothing in the bytes is read otherwise than it stands: no control characters but tabs and line ends.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let odd = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == DEL;
    let clean = bytes.chunks(4096).all(|part| !part.iter().fold(false, |any, b| any | odd(*b)));
    clean && memchr::memchr_iter(b'\r', bytes).all(|i| bytes.get(i + 1) == Some(&b'\n'))
}

impl Screen {
    /// Reads a segment that follows `context` (visible bytes). `closed`: nothing follows that would complete a
    /// sequence.
    pub(super) fn read(&mut self, context: &[u8], raw: &[u8], closed: bool) {
        self.joined.begin(context);
        self.sequences.clear();
        (self.open, self.moved_on) = (None, false);
        self.differ = false;
        let mut controls = Controls::new(raw);
        let mut at = 0;
        while at < raw.len() {
            let next = controls.next_from(at).unwrap_or(raw.len());
            if next > at {
                let visible = raw.get(at..next).unwrap_or_default();
                self.joined.push_run(visible, at);
                if self.differ {
                    self.pieces.push_run(visible, at);
                }
                self.moved_on = false;
                at = next;
                continue;
            }
            match self.control(raw.get(at..).unwrap_or_default(), at, closed) {
                Some(length) => at += length,
                None => {
                    self.open = Some(at);
                    return;
                }
            }
        }
    }

    /// Reads the control character that `rest` begins with and all that belongs to it; `None` where more is to
    /// come.
    fn control(&mut self, rest: &[u8], at: usize, closed: bool) -> Option<usize> {
        match rest {
            [ESC, ..] => return self.escape(rest, at, closed),
            [b'\r', b'\n', ..] => {
                self.joined.push(b'\r', at, at + 1);
                if self.differ {
                    self.pieces.push(b'\r', at, at + 1);
                }
            }
            [b'\r', ..] => {
                self.apart(b' ', at, 1);
                self.moved_on = true;
            }
            [BACKSPACE, ..] => {
                self.apart(b' ', at, 1);
                self.joined.pop();
            }
            [other, ..] => self.apart(*other, at, 1),
            [] => {}
        }
        Some(1)
    }

    /// What is in the pieces alone.
    fn apart(&mut self, byte: u8, at: usize, length: usize) {
        if !self.differ {
            self.differ = true;
            self.pieces.copy(&self.joined);
        }
        self.pieces.push(byte, at, at + length);
    }

    fn escape(&mut self, rest: &[u8], at: usize, closed: bool) -> Option<usize> {
        let (length, payload) = match step(rest, closed) {
            Step::Open => return None,
            Step::Control { length, moves, absolute, repeats } => {
                if moves {
                    self.apart(b' ', at, length);
                }
                self.moved_on |= absolute;
                if let Some(byte) = self.joined.text.last().copied() {
                    (0..repeats).for_each(|_| self.joined.push(byte, at, at + length));
                    if self.differ {
                        (0..repeats).for_each(|_| self.pieces.push(byte, at, at + length));
                    }
                    // What is printed again is text, not a sequence to be kept.
                    if repeats > 0 {
                        return Some(length);
                    }
                }
                (length, None)
            }
            Step::String { length, payload } => (length, Some(payload.start + at..payload.end + at)),
            Step::Broken { length } => {
                (0..length).zip(rest).for_each(|(i, byte)| self.apart(*byte, at + i, 1));
                return Some(length);
            }
        };
        self.sequences.push(Sequence { range: at..at + length, payload });
        Some(length)
    }
}

pub(super) fn step(rest: &[u8], closed: bool) -> Step {
    let more = || if closed { Step::Broken { length: 1 } } else { Step::Open };
    match rest.get(1) {
        None => more(),
        Some(b'[') => control(rest, closed),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => string(rest, closed),
        Some(0x20..=0x2f) => {
            let middle = rest.iter().skip(1).take(8).take_while(|b| matches!(b, 0x20..=0x2f)).count();
            match rest.get(1 + middle) {
                None => more(),
                Some(0x30..=0x7e) => Step::escape(middle + 2, false),
                Some(_) => Step::Broken { length: 1 },
            }
        }
        // IND, NEL, RI; restore the cursor, reset.
        Some(last @ 0x30..=0x7e) => Step::escape(2, matches!(last, b'D' | b'E' | b'M' | b'8' | b'c')),
        Some(_) => Step::Broken { length: 1 },
    }
}

/// CSI (ECMA-48 §5.4).
fn control(rest: &[u8], closed: bool) -> Step {
    let body = rest.get(2..).unwrap_or_default();
    let body = body.get(..LONGEST_CONTROL).unwrap_or(body);
    let parameters = body.iter().take_while(|b| matches!(b, 0x20..=0x3f)).count();
    let length = parameters + 3;
    match body.get(parameters) {
        Some(last @ 0x40..=0x7e) => {
            let digits = body.get(..parameters).unwrap_or_default();
            Step::Control {
                length,
                moves: matches!(
                    last,
                    b'A'..=b'I' | b'Z' | b'a' | b'd' | b'e' | b'f' | b'`' | b'j' | b'k' | b'r' | b'u'
                ),
                absolute: matches!(last, b'H' | b'f' | b'd'),
                repeats: if *last == b'b' { number(digits).clamp(1, MOST_REPEATED) } else { 0 },
            }
        }
        // A terminal drops what it has read of it.
        Some(_) => Step::Broken { length: length - 1 },
        None if closed || parameters >= LONGEST_CONTROL => Step::Broken { length: 1 },
        None => Step::Open,
    }
}

fn number(digits: &[u8]) -> usize {
    let digits = digits.iter().take(4).take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n, d| n * 10 + usize::from(d - b'0'))
}

/// OSC, DCS, SOS, PM, APC (ECMA-48 §5.6), ended by ST or, as terminals take it, by BEL.
fn string(rest: &[u8], closed: bool) -> Step {
    let body = rest.get(2..).unwrap_or_default();
    let body = body.get(..LONGEST_STRING).unwrap_or(body);
    let Some(end) = body.iter().position(|b| matches!(*b, BEL | CAN | SUB | ESC | b'\n')) else {
        let whole = closed || body.len() >= LONGEST_STRING;
        return if whole { Step::Broken { length: 1 } } else { Step::Open };
    };
    let payload = 2..2 + end;
    match (body.get(end), body.get(end + 1)) {
        (Some(&ESC), Some(b'\\')) => Step::String { length: end + 4, payload },
        (Some(&ESC), None) if !closed && body.len() < LONGEST_STRING => Step::Open,
        // Another sequence begins.
        (Some(&ESC), _) => Step::String { length: end + 2, payload },
        // Lines are never within a string: what looks like one is binary data.
        (Some(b'\n'), _) => Step::Broken { length: 1 },
        _ => Step::String { length: end + 3, payload },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> (String, String, Option<usize>) {
        let mut screen = Screen::default();
        screen.read(b"", raw.as_bytes(), false);
        let text = |r: &Reading| String::from_utf8_lossy(&r.text).into_owned();
        let pieces = if screen.differ { &screen.pieces } else { &screen.joined };
        (text(&screen.joined), text(pieces), screen.open)
    }

    #[test]
    fn sequences_are_taken_out() {
        for (raw, joined, pieces, open) in [
            ("a\x1b[1;31mb\x1b[0mc", "abc", "abc", None),
            ("a\x1b[5;1Hb", "ab", "a b", None),
            ("a\x1b]0;title\x07b", "ab", "ab", None),
            ("a\x1b]0;title\x1b\\b", "ab", "ab", None),
            ("a\x1bPq#1~\x1b\\b", "ab", "ab", None),
            ("a\x1b(Bb", "ab", "ab", None),
            ("a\x08b", "b", "a b", None),
            ("ä\x08b", "b", "ä b", None),
            ("a\rb", "ab", "a b", None),
            ("a\0b", "ab", "a\0b", None),
            ("1\x1b[3bx", "1111x", "1111x", None),
            ("a\x1b[12", "a", "a", Some(1)),
            ("a\x1b]0;t", "a", "a", Some(1)),
            ("a\x1b]0;t\x1b", "a", "a", Some(1)),
            ("a\x1b[12\x1b[mb", "ab", "a\x1b[12b", None),
            ("a\x1b\x1b\x1b[mb", "ab", "a\x1b\x1bb", None),
        ] {
            assert_eq!(read(raw), (joined.into(), pieces.into(), open), "{raw:?}");
        }
        let long = format!("a\x1b]0;{}", "x".repeat(2000));
        assert_eq!(read(&long).0, format!("a]0;{}", "x".repeat(2000)));
    }
}
