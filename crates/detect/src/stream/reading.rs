//! A text that was read from raw bytes, and where in these it comes from.

/// Bytes of a text that follow each other in the raw bytes. The first may come from more than one of them: from
/// `start` to `first_end`; each of the others from the one that follows.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Where in the text it begins.
    index: u32,
    start: u32,
    first_end: u32,
}

impl Run {
    /// Segments are of some KiB.
    const fn new(index: usize, start: usize, first_end: usize) -> Self {
        Self { index: index as u32, start: start as u32, first_end: first_end as u32 }
    }

    const fn index(self) -> usize {
        self.index as usize
    }

    /// Where in the raw bytes its byte at `index` of the text begins, and where it ends.
    const fn place(self, index: usize) -> (usize, usize) {
        let end = self.first_end as usize + (index - self.index());
        (if index == self.index() { self.start as usize } else { end - 1 }, end)
    }
}

/// A text, and where its bytes come from. Its first bytes may be known from before.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) text: Vec<u8>,
    /// In order; what is before the first of them is from before.
    runs: Vec<Run>,
    /// How many bytes at its beginning are from before.
    pub(super) known: usize,
    /// Where what is written next begins: where that began which it overwrites.
    over: Option<usize>,
}

impl Reading {
    pub(super) fn begin(&mut self, context: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(context);
        self.runs.clear();
        self.known = context.len();
        self.over = None;
    }

    /// Becomes as another.
    pub(super) fn copy(&mut self, other: &Self) {
        self.text.clone_from(&other.text);
        self.runs.clone_from(&other.runs);
        (self.known, self.over) = (other.known, other.over);
    }

    pub(super) fn push_run(&mut self, bytes: &[u8], at: usize) {
        self.runs.push(Run::new(self.text.len(), self.over.take().unwrap_or(at), at + 1));
        self.text.extend_from_slice(bytes);
    }

    pub(super) fn push(&mut self, byte: u8, start: usize, end: usize) {
        self.runs.push(Run::new(self.text.len(), self.over.take().unwrap_or(start), end));
        self.text.push(byte);
    }

    /// Takes the last character back.
    pub(super) fn pop(&mut self) {
        for _ in 0..4 {
            let index = self.text.len().wrapping_sub(1);
            let Some(byte) = self.text.pop() else { return };
            if index < self.known {
                self.known = index;
            } else if let Some(run) = self.runs.last().copied() {
                let (start, _) = run.place(index);
                self.over = Some(self.over.map_or(start, |o| o.min(start)));
                if run.index() == index {
                    self.runs.pop();
                }
            }
            if !(0x80..0xc0).contains(&byte) {
                return;
            }
        }
    }

    /// Where in the raw bytes the byte at `index` begins and ends.
    fn place(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.text.len() {
            return None;
        }
        let after = self.runs.partition_point(|r| r.index() <= index);
        let run = after.checked_sub(1).and_then(|i| self.runs.get(i));
        Some(run.map_or((0, 0), |run| run.place(index)))
    }

    /// Where in the raw bytes a byte begins; `None` at the end.
    pub(super) fn start_of(&self, index: usize) -> Option<usize> {
        self.place(index).map(|(start, _)| start)
    }

    /// Where in the raw bytes the text before `index` ends.
    pub(super) fn end_before(&self, index: usize) -> usize {
        index.checked_sub(1).and_then(|i| self.place(i)).map_or(0, |(_, end)| end)
    }

    /// How much of the text is in the first `runs` runs, of the last of them up to `raw`.
    fn up_to(&self, runs: usize, raw: usize) -> usize {
        let end = self.runs.get(runs).map_or(self.text.len(), |next| next.index());
        let last = runs.checked_sub(1).and_then(|i| self.runs.get(i));
        last.map_or(end, |run| (run.index() + 1 + raw.saturating_sub(run.first_end as usize)).min(end))
    }

    /// The first byte that begins at or after a place of the raw bytes and is not from before.
    pub(super) fn index_at(&self, raw: usize) -> usize {
        let runs = self.runs.partition_point(|r| (r.start as usize) < raw);
        self.up_to(runs, raw).max(self.known)
    }

    /// How much of the text is from before a place of the raw bytes.
    pub(super) fn before(&self, raw: usize) -> usize {
        self.up_to(self.runs.partition_point(|r| r.first_end as usize <= raw), raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Do {
        /// So many bytes that are read as they stand, and whether they end a character.
        Run(usize, u8),
        /// A byte that stands for so many, so many times.
        Repeat(usize, usize),
        /// So many that are not read.
        Skip(usize),
        Pop,
    }

    fn doing() -> impl Strategy<Value = Do> {
        prop_oneof![
            (1..9_usize, prop_oneof![Just(b'x'), Just(0x80)]).prop_map(|(n, b)| Do::Run(n, b)),
            (1..4_usize, 1..4_usize).prop_map(|(length, times)| Do::Repeat(length, times)),
            (1..5_usize).prop_map(Do::Skip),
            Just(Do::Pop),
        ]
    }

    /// As a [`Reading`], with a place for each byte.
    #[derive(Default)]
    struct Plainly {
        text: Vec<u8>,
        places: Vec<(usize, usize)>,
        known: usize,
        over: Option<usize>,
    }

    impl Plainly {
        fn push(&mut self, byte: u8, start: usize, end: usize) {
            self.text.push(byte);
            self.places.push((self.over.take().unwrap_or(start), end));
        }

        fn pop(&mut self) {
            for _ in 0..4 {
                let (Some(byte), Some((start, _))) = (self.text.pop(), self.places.pop()) else { return };
                if self.text.len() < self.known {
                    self.known = self.text.len();
                } else {
                    self.over = Some(self.over.map_or(start, |o| o.min(start)));
                }
                if !(0x80..0xc0).contains(&byte) {
                    return;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn runs_do_what_places_of_bytes_would(context in 0..6_usize, doing in prop::collection::vec(doing(), 0..40)) {
            let mut reading = Reading::default();
            reading.begin(&vec![b'c'; context]);
            let mut plainly =
                Plainly { text: vec![b'c'; context], places: vec![(0, 0); context], known: context, over: None };
            let mut at = 0;
            for what in doing {
                match what {
                    Do::Run(n, byte) => {
                        reading.push_run(&vec![byte; n], at);
                        (at..at + n).for_each(|i| plainly.push(byte, i, i + 1));
                        at += n;
                    }
                    Do::Repeat(length, times) => {
                        for _ in 0..times {
                            reading.push(b'r', at, at + length);
                            plainly.push(b'r', at, at + length);
                        }
                        at += length;
                    }
                    Do::Skip(n) => at += n,
                    Do::Pop => {
                        reading.pop();
                        plainly.pop();
                        at += 1;
                    }
                }
            }
            prop_assert_eq!(&reading.text, &plainly.text);
            prop_assert_eq!((reading.known, reading.over), (plainly.known, plainly.over));
            for i in 0..=reading.text.len() + 1 {
                prop_assert_eq!(reading.start_of(i), plainly.places.get(i).map(|p| p.0));
                let end = i.checked_sub(1).and_then(|i| plainly.places.get(i)).map_or(0, |p| p.1);
                prop_assert_eq!(reading.end_before(i), end);
            }
            for raw in 0..=at + 1 {
                let index = plainly.places.partition_point(|p| p.0 < raw).max(plainly.known);
                prop_assert_eq!(reading.index_at(raw), index);
                prop_assert_eq!(reading.before(raw), plainly.places.partition_point(|p| p.1 <= raw));
            }
        }
    }
}
