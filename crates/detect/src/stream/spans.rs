//! What of a segment is replaced, in its raw bytes.
use super::{BEHIND_CUT, LONGEST_SEGMENT, reading::Reading, screen::Screen};
use crate::Finding;
use doorward_model::DataType;
use std::ops::Range;

/// Raw bytes that are replaced.
#[derive(Clone, Debug)]
struct Span {
    range: Range<usize>,
    data_type: DataType,
    /// The value; `None` where its beginning was shown before.
    value: Option<Value>,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Joined(Range<usize>),
    Pieces(Range<usize>),
    Raw(Range<usize>),
}

impl Value {
    fn bytes<'a>(&self, screen: &'a Screen, raw: &'a [u8]) -> &'a [u8] {
        let (text, range) = match self {
            Self::Joined(range) => (screen.joined.text.as_slice(), range),
            Self::Pieces(range) => (screen.pieces.text.as_slice(), range),
            Self::Raw(range) => (raw, range),
        };
        text.get(range.clone()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Spans(Vec<Span>);

/// Where nothing that is found goes on: blanks, quotes, brackets.
const fn is_break(b: u8) -> bool {
    matches!(
        b,
        0..=0x20 | b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b'|'
    )
}

impl Spans {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what was found in a reading, if it reaches beyond what was known.
    pub(super) fn add(&mut self, reading: &Reading, found: &Finding, value: fn(Range<usize>) -> Value) {
        let (from, to) = (found.range.start, found.range.end);
        if to <= reading.known {
            return;
        }
        let value = (from >= reading.known).then(|| value(from..to));
        let start = reading.start_of(from).unwrap_or(0);
        self.0.push(Span { range: start..reading.end_before(to), data_type: found.data_type, value });
    }

    /// Adds what was found in a part of the raw bytes.
    pub(super) fn add_raw(&mut self, at: usize, found: &Finding) {
        let range = found.range.start + at..found.range.end + at;
        self.0.push(Span { range: range.clone(), data_type: found.data_type, value: Some(Value::Raw(range)) });
    }

    /// A token goes on that was masked.
    pub(super) fn add_token(&mut self, reading: &Reading, data_type: DataType) {
        let new = reading.text.get(reading.known..).unwrap_or_default();
        let of = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b'/' | b'=' | b'~');
        let length = new.iter().take_while(of).count();
        if length > 0 {
            let range = 0..reading.end_before(reading.known + length);
            self.0.push(Span { range, data_type, value: None });
        }
    }

    /// Puts them in order, and together where they overlap.
    pub(super) fn merge(&mut self) {
        self.0.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
        self.0.dedup_by(|next, kept| {
            if next.range.start >= kept.range.end {
                return false;
            }
            if next.range.len() > kept.range.len() && kept.value.is_some() {
                (kept.data_type, kept.value) = (next.data_type, next.value.take());
            }
            kept.range.end = kept.range.end.max(next.range.end);
            true
        });
    }

    fn around(&self, at: usize) -> Option<&Span> {
        self.0.iter().find(|s| s.range.start < at && at < s.range.end)
    }

    /// Where to cut a full segment: at the last break, not within a value.
    pub(super) fn cut(&self, screen: &Screen, until: usize) -> usize {
        let joined = &screen.joined;
        let from = joined.index_at(LONGEST_SEGMENT / 2);
        let to = joined.text.len().saturating_sub(BEHIND_CUT).max(from);
        let second_half = joined.text.get(from..to).unwrap_or_default();
        let cut = second_half.iter().rposition(|b| is_break(*b)).map_or(to, |i| from + i + 1);
        let cut = joined.start_of(cut).unwrap_or(until).min(until);
        match self.around(cut) {
            Some(span) if span.range.start >= LONGEST_SEGMENT / 2 => span.range.start,
            Some(span) => span.range.end.min(until),
            None => cut,
        }
    }

    /// A place that is not within a value, nor right after one that is at the end of all.
    pub(super) fn before_last(&self, reading: &Reading, until: usize) -> usize {
        let end = reading.end_before(reading.text.len());
        let last = self.0.last().filter(|s| s.range.end >= end && s.range.start < until);
        last.or_else(|| self.around(until)).map_or(until, |s| s.range.start)
    }

    /// The type of what is replaced last, if it ends where the text does.
    pub(super) fn ending_at(&self, end: usize, until: usize) -> Option<DataType> {
        let last = self.0.iter().rev().find(|s| s.range.start < until)?;
        (last.range.end >= end).then_some(last.data_type)
    }

    /// Writes the raw bytes up to a place with the spans replaced.
    pub(super) fn write(
        &self,
        screen: &Screen,
        raw: &[u8],
        until: usize,
        after_mask: bool,
        replace: impl Fn(DataType, Option<&[u8]>, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        let mut from = 0;
        for span in self.0.iter().take_while(|s| s.range.start < until) {
            out.extend_from_slice(raw.get(from..span.range.start).unwrap_or_default());
            // What goes on with a value that was replaced is gone without a further word.
            if span.value.is_some() || !after_mask {
                replace(span.data_type, span.value.as_ref().map(|v| v.bytes(screen, raw)), out);
            }
            screen.sequences_within(raw, span.range.clone(), out);
            from = span.range.end;
        }
        out.extend_from_slice(raw.get(from..until).unwrap_or_default());
    }
}

impl Screen {
    /// Writes the sequences within a part of the raw bytes, but for control strings.
    pub(super) fn sequences_within(&self, raw: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
        let first = self.sequences.partition_point(|s| s.range.start < range.start);
        let within = self.sequences.iter().skip(first).take_while(|s| s.range.end <= range.end);
        for sequence in within.filter(|s| s.payload.is_none()) {
            out.extend_from_slice(raw.get(sequence.range.clone()).unwrap_or_default());
        }
    }
}
