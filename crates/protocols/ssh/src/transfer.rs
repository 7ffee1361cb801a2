//! Streams of `scp`, `rsync` and `git`, looked through on their way to the caller.
//!
//! A value in them cannot be masked, since what is sent has lengths and checksums of its own: a stream in which
//! one is found that the caller may not see ends there. What is compressed is not unpacked.
use crate::sftp::ContentCheck;
use doorward_model::DataType;

/// How much is kept back while more may come, in bytes: a value that is cut there is seen before half of it went.
const KEPT: usize = 64;
/// How much of what went already is looked at once more, in bytes.
const CONTEXT: usize = 4096;

/// One stream.
#[derive(Debug)]
pub struct Inspector {
    check: ContentCheck,
    /// What went already, at most [`CONTEXT`] bytes, and what is kept back.
    bytes: Vec<u8>,
    gone: usize,
}

impl Inspector {
    /// A stream of which nothing was seen yet.
    pub const fn new(check: ContentCheck) -> Self {
        Self { check, bytes: Vec::new(), gone: 0 }
    }

    /// Takes bytes, and appends what may go.
    ///
    /// # Errors
    /// A kind of value that the caller may not see was found. Nothing more may go.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DataType> {
        if self.check.hidden.is_empty() {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        self.bytes.extend_from_slice(bytes);
        self.release(KEPT, out)
    }

    /// A pause, or the end: what was kept back goes as well.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), DataType> {
        self.release(0, out)
    }

    /// How much is kept back.
    pub const fn hold_back(&self) -> usize {
        self.bytes.len().saturating_sub(self.gone)
    }

    fn release(&mut self, kept: usize, out: &mut Vec<u8>) -> Result<(), DataType> {
        let until = self.bytes.len().saturating_sub(kept).max(self.gone);
        if let Some(found) = self.check.hidden_within(&self.bytes, self.gone..self.bytes.len()) {
            return Err(found);
        }
        out.extend_from_slice(self.bytes.get(self.gone..until).unwrap_or_default());
        self.bytes.drain(..until.saturating_sub(CONTEXT));
        self.gone = until.min(CONTEXT);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_detect::{Detector, TypeSet};
    use proptest::prelude::*;
    use std::sync::{Arc, OnceLock};

    fn inspector(hidden: TypeSet) -> Inspector {
        static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
        let detector = Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new())));
        Inspector::new(ContentCheck { detector, hidden })
    }

    fn cards() -> TypeSet {
        [DataType::CreditCard].into_iter().collect()
    }

    proptest! {
        #[test]
        fn a_card_is_seen_however_the_stream_is_cut(before in 0usize..9000, cuts in prop::collection::vec(1usize..700, 0..40)) {
            let text = [vec![b'.'; before], b" 4111 1111 1111 1111 \n".to_vec(), vec![b'.'; 500]].concat();
            let (mut inspector, mut out, mut rest) = (inspector(cards()), Vec::new(), text.as_slice());
            let mut found = None;
            for cut in cuts.into_iter().chain(std::iter::repeat(usize::MAX)) {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                found = found.or(inspector.push(piece, &mut out).err());
                rest = left;
                if rest.is_empty() || found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found.or(inspector.flush(&mut out).err()), Some(DataType::CreditCard));
            prop_assert!(out.len() <= before + 1, "no digit of it went");
        }

        #[test]
        fn what_is_clean_passes_unchanged(text in "[a-z \n]{0,6000}", cut in 1usize..500) {
            let (mut inspector, mut out) = (inspector(TypeSet::all()), Vec::new());
            for piece in text.as_bytes().chunks(cut) {
                inspector.push(piece, &mut out).unwrap();
                prop_assert!(inspector.hold_back() <= KEPT);
            }
            inspector.flush(&mut out).unwrap();
            prop_assert_eq!(out, text.into_bytes());
        }
    }
}
