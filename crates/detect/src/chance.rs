//! Findings that random bytes make: in what is compressed or encrypted there are some by chance, and to mask them would
//! break it.
use crate::{Detector, Finding, Hint, TypeSet};
use doorward_model::DataType;
use std::ops::Range;

impl Finding {
    /// Whether random bytes make such findings every now and then.
    pub(crate) fn is_often_chance(&self) -> bool {
        by_chance(self.data_type)
    }
}

impl Detector {
    /// Whether a finding is a chance of compressed or encrypted bytes: recognizers take every byte from 0x80 on
    /// for a letter of an e-mail address, since names of people have them, and IPv6 addresses are short.
    pub fn is_chance(&self, bytes: &[u8], finding: &Finding, wanted: TypeSet) -> bool {
        if !by_chance(finding.data_type) || !amid_noise(bytes, &finding.range) {
            return false;
        }
        let mut at = finding.range.start;
        for chunk in bytes.get(finding.range.clone()).unwrap_or_default().utf8_chunks() {
            let text = chunk.valid().as_bytes();
            for inner in self.scan(text, &Hint::default(), wanted) {
                let range = at + inner.range.start..at + inner.range.end;
                if !by_chance(inner.data_type) || range.len() > BY_CHANCE || !amid_noise(bytes, &range) {
                    return false;
                }
            }
            at += text.len() + chunk.invalid().len();
        }
        true
    }
}

/// The kinds that come up in some megabytes of random bytes. All others take longer runs of letters or digits.
const fn by_chance(found: DataType) -> bool {
    matches!(found, DataType::Email | DataType::IpAddress)
}

/// The longest such value that chance may write, in bytes: one in some hundred gigabytes.
const BY_CHANCE: usize = 16;
/// How far around a finding is looked for text, in bytes.
const AROUND: usize = 64;
/// Fewer bytes that are no text say nothing.
const LEAST_NOISE: usize = 8;

/// Controls that are not in texts.
const fn is_strange(b: u8) -> bool {
    b.is_ascii_control() && !matches!(b, 0 | b'\t' | b'\n' | b'\r')
}

/// Whether all bytes are text: nothing in them, and nothing in the middle of them, is noise.
pub(crate) fn is_clean(bytes: &[u8]) -> bool {
    // Without a way out, this takes many bytes at a time.
    bytes.chunks(256).all(|part| !part.iter().fold(false, |any, b| any | !b.is_ascii() | is_strange(*b)))
}

/// Whether at least a third of what stands around a place is no text: in random bytes, six in ten are none.
/// Zeroes are taken for text, since databases and documents have them beside it.
fn amid_noise(bytes: &[u8], range: &Range<usize>) -> bool {
    let before = bytes.get(range.start.saturating_sub(AROUND)..range.start).unwrap_or_default();
    let after = bytes.get(range.end..bytes.len().min(range.end + AROUND)).unwrap_or_default();
    if is_clean(before) && is_clean(after) {
        return false;
    }
    let is_strange = |b: &&u8| is_strange(**b);
    let strange = |part: &[u8]| {
        let broken: usize = part.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
        broken + part.iter().filter(is_strange).count()
    };
    let sum = strange(before) + strange(after);
    sum >= LEAST_NOISE && sum * 3 >= before.len() + after.len()
}
