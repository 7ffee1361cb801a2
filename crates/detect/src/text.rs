//! Neighbours of a place in a text.
use std::ops::Range;

fn before(bytes: &[u8], i: usize, n: usize) -> Option<u8> {
    i.checked_sub(n).and_then(|i| bytes.get(i)).copied()
}

const fn is_word(b: u8) -> bool {
    // Letters beyond ASCII join words too.
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Whether a letter, a digit or an underscore is right before `i`.
pub(crate) fn word_before(bytes: &[u8], i: usize) -> bool {
    before(bytes, i, 1).is_some_and(is_word)
}

/// Whether a letter, a digit or an underscore is at `i`.
pub(crate) fn word_at(bytes: &[u8], i: usize) -> bool {
    bytes.get(i).copied().is_some_and(is_word)
}

/// Whether the place lies in a UUID (RFC 9562 section 4).
pub(crate) fn in_uuid(bytes: &[u8], range: &Range<usize>) -> bool {
    let part = |b: &&u8| b.is_ascii_hexdigit() || **b == b'-';
    let left = bytes.get(..range.start).unwrap_or_default().iter().rev().take(37).take_while(part).count();
    let right = bytes.get(range.start..).unwrap_or_default().iter().take(37).take_while(part).count();
    let from = range.start.saturating_sub(left);
    let Some(whole) = bytes.get(from..from + left + right) else { return false };
    whole.len() == 36 && [8, 13, 18, 23].iter().all(|i| whole.get(*i) == Some(&b'-'))
}

/// How far around nine digits words count.
const WORDS_BEFORE: usize = 40;
const WORDS_AFTER: usize = 24;

/// What redaction leaves, `[us_ssn]`, says nothing of the numbers beside it.
const MARKER: &[u8] = b"[us_";

/// How a word has to stand to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// By itself: `ssn`, not `classname`.
    Whole,
    /// In any way, because what is before it may not belong to the value.
    Anywhere,
}

/// Whether words near a number speak of social security.
pub(crate) fn speaks_of_ssn(bytes: &[u8], start: usize, end: usize, words: Words) -> bool {
    names_ssn(bytes, start.saturating_sub(WORDS_BEFORE)..start, words)
        || names_ssn(bytes, end..end.saturating_add(WORDS_AFTER).min(bytes.len()), words)
}

fn names_ssn(bytes: &[u8], range: Range<usize>, words: Words) -> bool {
    const WORDS: [&[u8]; 3] = [b"ssn", b"social sec", b"soc sec"];
    let letter = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_alphabetic);
    let part = bytes.get(range.clone()).unwrap_or_default();
    memchr::memchr2_iter(b's', b'S', part).any(|i| {
        let at = range.start + i;
        WORDS.iter().any(|word| {
            part.get(i..i + word.len()).is_some_and(|part| part.iter().zip(*word).all(|(b, w)| same(*b, *w)))
                && (words == Words::Anywhere
                    || !(letter(at.checked_sub(1))
                        || (word.len() == 3 && letter(at.checked_add(3)))
                        || bytes.get(..at).is_some_and(|b| b.ends_with(MARKER))))
        })
    })
}

fn same(b: u8, word: u8) -> bool {
    b.to_ascii_lowercase() == word || (word == b' ' && matches!(b, b'_' | b'-'))
}
