//! The visible bytes that went out last: what stands before a segment.
use crate::text::{Words, speaks_of_ssn};

/// Visible bytes of a line that are remembered.
pub(super) const CONTEXT: usize = 1024;
/// Bytes before a number in which words say what it is.
const WORDS: usize = 40;

#[derive(Debug, Default)]
pub(super) struct Context(Vec<u8>);

impl Context {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn at_line_start(&self) -> bool {
        self.0.last().is_none_or(|b| *b == b'\n')
    }

    /// Remembers the end of what was shown; of whole lines, only as much as says what numbers are.
    pub(super) fn remember(&mut self, shown: &[u8]) {
        let keep = if shown.ends_with(b"\n") { WORDS } else { CONTEXT };
        self.0.extend_from_slice(shown.get(shown.len().saturating_sub(keep)..).unwrap_or_default());
        let surplus = self.0.len().saturating_sub(keep);
        self.0.drain(..surplus);
    }

    /// What stands before a line, with the end of the lines before it.
    pub(super) fn recent(&self) -> &[u8] {
        if self.at_line_start() { &self.0 } else { &[] }
    }

    pub(super) fn speaks_of_ssn(&self) -> bool {
        speaks_of_ssn(&self.0, self.0.len(), self.0.len(), Words::Anywhere)
    }

    /// What stands before a segment: of the line before it, only words that say what its numbers are.
    pub(super) fn before(&self, wants_words: bool) -> Vec<u8> {
        if !self.at_line_start() {
            let line = memchr::memrchr(b'\n', &self.0).map_or(0, |i| i + 1);
            return self.0.get(line..).unwrap_or_default().to_vec();
        }
        if !wants_words || !self.speaks_of_ssn() {
            return Vec::new();
        }
        let words = self.0.get(self.0.len().saturating_sub(WORDS)..).unwrap_or_default();
        // No line of dashes begins a key here.
        words.iter().map(|b| if *b == b'-' { b' ' } else { *b }).collect()
    }
}
