//! Contents of files, inspected before they are shown.
//!
//! A read is widened: Doorward asks for [`MARGIN`] bytes more on either side, looks through all of them, and
//! passes on what was asked for. So each read is judged by itself, in whatever order and size reads come, a
//! value that is cut by the edge of a read is found from both sides, and no half of it is shown before the
//! other half is seen. What the upstream cuts short is asked for again until it is whole or the file ends.
use super::codec::MOST_AT_ONCE;
use doorward_detect::{Detector, Finding, Hint, TypeSet};
use doorward_model::DataType;
use std::{fmt, ops::Range, sync::Arc};

/// How far around a read is looked, in bytes: the longest value that is surely found across the edge of a read.
pub const MARGIN: u64 = 4096;
/// The most that a client gets by one read while contents are inspected.
pub(super) const MOST_INSPECTED: u64 = MOST_AT_ONCE as u64 - 2 * MARGIN;
/// How often what was cut short is asked for again.
const ROUNDS: u8 = 64;

/// What callers may not see in files.
#[derive(Clone)]
pub struct ContentCheck {
    /// Finds values.
    pub detector: Arc<Detector>,
    /// The kinds of values that the caller may not see. While it is empty, nothing is looked at or copied.
    pub hidden: TypeSet,
}

impl fmt::Debug for ContentCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentCheck").field("hidden", &self.hidden).finish_non_exhaustive()
    }
}

/// A widened read, and what has come of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gather {
    /// What the client asked for.
    from: u64,
    count: u64,
    /// What Doorward asked for.
    start: u64,
    end: u64,
    rounds: u8,
    have: Vec<u8>,
}

/// What becomes of a part that has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Enough, or all there is.
    Whole,
    /// Ask for more.
    More { offset: u64, count: usize },
    /// It comes in too many parts.
    Broken,
}

impl Gather {
    pub(super) fn new(from: u64, count: u32) -> Self {
        let count = u64::from(count).min(MOST_INSPECTED);
        let start = from.saturating_sub(MARGIN);
        let end = from.saturating_add(count).saturating_add(MARGIN);
        Self { from, count, start, end, rounds: 0, have: Vec::new() }
    }

    /// Where to read on, and how much.
    pub(super) fn rest(&self) -> (u64, usize) {
        let at = self.start.saturating_add(self.have.len() as u64);
        (at, usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX))
    }

    pub(super) const fn offset(&self) -> u64 {
        self.from
    }

    /// Bytes that are kept.
    pub(super) const fn held(&self) -> usize {
        self.have.len()
    }

    /// Takes a part.
    pub(super) fn take(&mut self, part: &[u8]) -> Step {
        self.have.extend_from_slice(part);
        self.rounds = self.rounds.saturating_add(1);
        let (offset, count) = self.rest();
        if count == 0 || part.is_empty() {
            Step::Whole
        } else if self.rounds > ROUNDS {
            Step::Broken
        } else {
            Step::More { offset, count }
        }
    }

    /// The client's part of what has come, or the kind of value in it that may not be seen.
    pub(super) fn shown(&self, check: &ContentCheck) -> Result<&[u8], DataType> {
        let clamp = |at: u64| usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.have.len());
        let (from, to) = (clamp(self.from), clamp(self.from.saturating_add(self.count)));
        match check.hidden_within(&self.have, from..to) {
            Some(found) => Err(found),
            None => Ok(self.have.get(from..to).unwrap_or_default()),
        }
    }
}

impl ContentCheck {
    /// The first hidden value of which a part is in `shown`; looked for in all of `bytes`.
    pub(crate) fn hidden_within(&self, bytes: &[u8], shown: Range<usize>) -> Option<DataType> {
        if shown.is_empty() || !self.detector.may_contain(bytes, self.hidden) {
            return None;
        }
        let found = self.detector.scan(bytes, &Hint::default(), self.hidden);
        let shows = |f: &&Finding| {
            f.range.start < shown.end && f.range.end > shown.start && !self.detector.is_chance(bytes, f, self.hidden)
        };
        found.iter().find(shows).map(|f| f.data_type)
    }
}
