//! A look at whole lines, which says of which of them nothing is masked.
//!
//! INVARIANT: in a line that is not marked, neither reading of a [`Screen`](super::screen::Screen) nor the text of
//! a control string has anything that [`Detector::scan`] finds.
//!
//! What is joined is looked at as it is. What is in pieces alone has a movement within it or a character before it
//! that a backspace takes away: there, a line is marked where what stands around could be of a value.
use super::{
    controls::Controls,
    screen::{BACKSPACE, ESC, Step, is_plain, step},
};
use crate::{Detector, Hint, TypeSet, email, spots::Spot};
use std::ops::Range;

/// How far around a movement is looked: bytes.
const NEAR: usize = 8;
/// How far back from a backspace is looked: bytes.
const FAR: usize = 64;
/// The shortest value but for e-mail addresses, in ASCII characters; words that tell what a number is are longer,
/// but for `ssn`.
const SHORTEST: usize = 5;

/// Most runs of visible bytes in binary data are no longer: bytes.
const SHORT: usize = 16;

/// A line: where it begins in the raw bytes, and in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) raw: usize,
    pub(super) text: usize,
}

impl Line {
    /// The line after it.
    pub(super) fn next(self, raw: &[u8], text: &[u8]) -> Self {
        Self { raw: line_end(raw, self.raw), text: line_end(text, self.text) }
    }
}

/// Where the line ends that is at a place.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()).map_or(bytes.len(), |i| at + i + 1)
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', bytes.get(..at).unwrap_or_default()).map_or(0, |i| i + 1)
}

#[derive(Debug, Default)]
pub(super) struct Skim {
    /// What is joined, of lines that are not plain.
    text: Vec<u8>,
    /// The lines are read as they stand.
    plain: bool,
    spots: Vec<Spot>,
    /// Lines in which something may be.
    marked: Vec<Line>,
}

impl Skim {
    /// Looks at whole lines, each with its end.
    pub(super) fn look(&mut self, detector: &Detector, raw: &[u8], hint: Hint, wanted: TypeSet) {
        self.marked.clear();
        self.plain = is_plain(raw);
        if self.plain {
            detector.spots(raw, hint, wanted, &mut self.spots);
        } else {
            self.text.clear();
            let (text, marked) = (&mut self.text, &mut self.marked);
            Reader { raw, text, marked, sequence_end: 0, detector, wanted }.read();
            detector.spots(&self.text, hint, wanted, &mut self.spots);
        }
        self.mark_spots(raw);
    }

    fn mark_spots(&mut self, raw: &[u8]) {
        let first = self.marked.len();
        let text = if self.plain { raw } else { &self.text };
        let (mut line, mut end) = (Line::default(), 0);
        for spot in &self.spots {
            if spot.start() < end {
                continue;
            }
            let start = line_start(text, spot.start());
            let between = text.get(line.text..start).unwrap_or_default();
            line.raw = if self.plain { start } else { after_lines(raw, line.raw, count_lines(between)) };
            line.text = start;
            end = line_end(text, start);
            self.marked.push(line);
        }
        if first > 0 {
            self.marked.sort_unstable();
            self.marked.dedup();
        }
    }

    /// What of the lines is joined.
    pub(super) fn text<'a>(&'a self, raw: &'a [u8]) -> &'a [u8] {
        if self.plain { raw } else { &self.text }
    }

    /// The first line that is marked at or after a place of the raw bytes.
    pub(super) fn marked(&self, raw: usize) -> Option<Line> {
        self.marked.get(self.marked.partition_point(|l| l.raw < raw)).copied()
    }

    /// The spots in lines of the text.
    pub(super) fn spots(&self, lines: Range<usize>) -> &[Spot] {
        let first = self.spots.partition_point(|s| s.start() < lines.start);
        let rest = self.spots.get(first..).unwrap_or_default();
        rest.get(..rest.partition_point(|s| s.start() < lines.end)).unwrap_or_default()
    }

    /// Whether the lines are read as they stand.
    pub(super) const fn is_plain(&self) -> bool {
        self.plain
    }
}

fn count_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

/// Where the line begins that is so many lines after one.
fn after_lines(raw: &[u8], from: usize, lines: usize) -> usize {
    let Some(last) = lines.checked_sub(1) else { return from };
    let mut ends = memchr::memchr_iter(b'\n', raw.get(from..).unwrap_or_default());
    ends.nth(last).map_or(raw.len(), |i| from + i + 1)
}

/// Reads what is joined, and marks lines in which the pieces or control strings may have something.
struct Reader<'a> {
    raw: &'a [u8],
    text: &'a mut Vec<u8>,
    marked: &'a mut Vec<Line>,
    /// Where the last sequence ends that is in neither reading.
    sequence_end: usize,
    detector: &'a Detector,
    wanted: TypeSet,
}

impl Reader<'_> {
    fn read(&mut self) {
        let mut controls = Controls::new(self.raw);
        let mut at = 0;
        while let Some(next) = controls.next_from(at) {
            self.copy(at, next);
            at = next + self.control(next);
        }
        self.copy(at, self.raw.len());
    }

    /// Takes visible bytes over.
    #[inline]
    fn copy(&mut self, from: usize, to: usize) {
        let rest = self.raw.get(from..).unwrap_or_default();
        match rest.first_chunk::<SHORT>() {
            // A copy of a known length is one instruction.
            Some(short) if to - from <= SHORT => {
                let length = self.text.len() + (to - from);
                self.text.extend_from_slice(short);
                self.text.truncate(length);
            }
            _ => self.text.extend_from_slice(rest.get(..to - from).unwrap_or_default()),
        }
    }

    fn mark(&mut self, at: usize) {
        let line = Line { raw: line_start(self.raw, at), text: line_start(self.text, self.text.len()) };
        if self.marked.last() != Some(&line) {
            self.marked.push(line);
        }
    }

    #[inline]
    fn control(&mut self, at: usize) -> usize {
        match self.raw.get(at) {
            Some(&ESC) => return self.escape(at),
            Some(b'\r') if self.raw.get(at + 1) == Some(&b'\n') => self.text.push(b'\r'),
            Some(b'\r') => self.movement(at, 1),
            Some(&BACKSPACE) => self.backspace(at),
            _ => {}
        }
        1
    }

    fn escape(&mut self, at: usize) -> usize {
        let length = match step(self.raw.get(at..).unwrap_or_default(), true) {
            Step::Control { length, moves, repeats, .. } => {
                if moves {
                    self.movement(at, length);
                }
                if repeats > 0 {
                    self.mark(at);
                    self.repeat(repeats);
                }
                length
            }
            Step::String { length, payload } => {
                let payload = self.raw.get(at + payload.start..at + payload.end).unwrap_or_default();
                if self.detector.may_contain_hinted(payload, Hint::default(), self.wanted) {
                    self.mark(at);
                }
                length
            }
            Step::Broken { length: 1 } => return 1,
            Step::Broken { length } => {
                self.mark(at);
                length
            }
            Step::Open => {
                self.mark(at);
                1
            }
        };
        self.sequence_end = at + length;
        length
    }

    /// Repeats the last character of the line.
    fn repeat(&mut self, times: usize) {
        if let Some(last) = self.text.last().copied().filter(|b| *b != b'\n') {
            self.text.resize(self.text.len() + times, last);
        }
    }

    /// What is a space in the pieces.
    fn movement(&mut self, at: usize, length: usize) {
        let before = self.raw.get(at.saturating_sub(NEAR)..at).unwrap_or_default();
        let after = self.raw.get(at + length..).unwrap_or_default();
        if self.sequence_end + NEAR > at && self.sequence_end > 0 || may_join(before, after) {
            self.mark(at);
        }
    }

    fn backspace(&mut self, at: usize) {
        self.movement(at, 1);
        let Some(popped) = self.harmless_pop(at) else {
            self.mark(at);
            return self.pop();
        };
        self.text.truncate(self.text.len().saturating_sub(popped));
    }

    /// How many bytes a backspace takes away, where no run of visible bytes that they are of can hold a value.
    fn harmless_pop(&self, at: usize) -> Option<usize> {
        let continued = self.text.iter().rev().take(3).take_while(|b| is_continuation(**b)).count();
        let popped = continued + 1;
        let (mut left, mut end) = (popped, at);
        while left > 0 {
            let before = self.raw.get(end.saturating_sub(FAR)..end)?;
            let skipped = before.iter().rev().take_while(|b| !is_visible(**b) && !is_edge(**b)).count();
            let before = before.get(..before.len() - skipped)?;
            let length = before.iter().rev().take_while(|b| is_visible(**b)).count();
            let run = before.get(before.len() - length..)?;
            end -= skipped + length;
            // What is before a sequence goes on after it.
            let whole = (1..before.len()).contains(&length) && self.sequence_end < end;
            if !whole || may_hold(run) {
                return None;
            }
            left = left.saturating_sub(length);
        }
        Some(popped)
    }

    /// Takes the last character of the line back, as a [`Reading`](super::reading::Reading) does.
    fn pop(&mut self) {
        for _ in 0..4 {
            match self.text.pop_if(|b| *b != b'\n') {
                Some(byte) if is_continuation(byte) => {}
                _ => return,
            }
        }
    }
}

/// Visible and within a line.
const fn is_visible(b: u8) -> bool {
    (b >= 0x20 && b != 0x7f) || b == b'\t'
}

const fn is_continuation(b: u8) -> bool {
    matches!(b, 0x80..0xc0)
}

/// Where the way back from a backspace ends.
const fn is_edge(b: u8) -> bool {
    matches!(b, b'\n' | BACKSPACE)
}

/// Whether a run of visible bytes can hold a value or a word that tells what a number is.
fn may_hold(run: &[u8]) -> bool {
    let mut ascii = 0;
    let long = run.iter().any(|b| {
        ascii = if b.is_ascii() { ascii + 1 } else { 0 };
        ascii >= SHORTEST
    });
    long || memchr::memchr_iter(b'@', run).any(|i| email::loose(run, i))
        || run.windows(3).any(|w| w.eq_ignore_ascii_case(b"ssn"))
}

/// Whether a space between the two can be in a value or in words: numbers have digits on both sides of it with at
/// most one more sign between, IBANs, words, and the label of a private key three letters or digits before it.
fn may_join(before: &[u8], after: &[u8]) -> bool {
    let is_space = |b: &u8| matches!(*b, b' ' | b'\r' | BACKSPACE);
    let digit_after = after.iter().take(2).any(|b| b.is_ascii_digit() || *b == ESC);
    let digits = digit_after && before.iter().rev().take(2).any(u8::is_ascii_digit);
    let word_after = || after.iter().find(|b| !is_space(b)).is_some_and(|b| b.is_ascii_alphanumeric() || *b == ESC);
    let word = before.iter().rev().skip_while(|b| is_space(b)).take(3);
    let spaces = before.iter().rev().take_while(|b| is_space(b)).count();
    let far = spaces + 3 > NEAR;
    let in_word = far || (word.clone().count() == 3 && word.clone().all(u8::is_ascii_alphanumeric));
    digits || (in_word && word_after())
}
