//! What is known of a log from elsewhere: exports, copies of its files, signed heads. A log that was put back to an earlier state and
//! written on verifies by itself; what somebody else has of the branch that was cut off contradicts it.
use crate::chain::{ChainHash, Checkpoint, Head, NOTE_NAME};
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;
use std::io::{self, BufRead, Read as _};

/// More lines than this are not held against a log at once: 160 MB.
const MOST: usize = 4_000_000;
/// A line that is longer than this is none of ours.
const LONGEST: u64 = 64 << 20;

/// Lines that a log is known to have had.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Head>);

/// What an export, or a line of the log itself, says of its place.
#[derive(Deserialize)]
struct Line<'a> {
    seq: u64,
    hash: &'a str,
}

impl Known {
    /// Adds what a file says: JSON lines with `seq` and `hash` (an export, a file of an exporter, a copy of a file of the log), heads as
    /// `audit verify` prints them (`SEQ/HASH`, one a line), or a signed head (the file `head` of a copy).
    ///
    /// # Errors
    /// `InvalidData` where a line is none of these, a head is not signed by `key`, or there are too many.
    pub fn read(&mut self, mut from: impl BufRead, key: &VerifyingKey) -> io::Result<()> {
        let odd = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut text = String::new();
        for number in 1_u64.. {
            text.clear();
            if from.by_ref().take(LONGEST).read_line(&mut text)? == 0 {
                break;
            }
            if number == 1 && text.starts_with(NOTE_NAME) {
                from.take(LONGEST).read_to_string(&mut text)?;
                let signed = Checkpoint::from_note(&text, key).filter(|c| c.is_signed_by(key));
                let head = signed.and_then(|c| c.signed_head());
                self.0.push(head.ok_or_else(|| odd("the head was changed or signed by another key".to_owned()))?);
                break;
            }
            if self.0.len() >= MOST {
                return Err(odd(format!("more than {MOST} lines: verify against a part of them at a time")));
            }
            let line = text.trim();
            if !line.is_empty() {
                let what = "neither a line of an export, with `seq` and `hash`, nor a head (`SEQ/HASH`)";
                self.0.push(read_line(line).ok_or_else(|| odd(format!("line {number}: {what}")))?);
            }
        }
        Ok(())
    }

    /// How many lines are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of their numbers, as a verification goes through them.
    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable_by_key(|h| (h.seq, h.hash.0));
        self.0.dedup();
    }

    /// Those of one line: several, where what is known contradicts itself. They have to be sorted.
    pub(crate) fn of(&self, seq: u64) -> impl Iterator<Item = &Head> {
        self.after(seq.saturating_sub(1)).iter().skip_while(move |h| h.seq < seq).take_while(move |h| h.seq == seq)
    }

    /// Those of later lines. They have to be sorted.
    pub(crate) fn after(&self, seq: u64) -> &[Head] {
        self.0.get(self.0.partition_point(|h| h.seq <= seq)..).unwrap_or_default()
    }

    /// How many are of lines up to this one. They have to be sorted.
    pub(crate) fn up_to(&self, seq: u64) -> usize {
        self.0.partition_point(|h| h.seq <= seq)
    }
}

fn read_line(line: &str) -> Option<Head> {
    if let Ok(head) = line.parse() {
        return Some(head);
    }
    let Line { seq, hash } = serde_json::from_str(line).ok()?;
    let hash: ChainHash = hash.parse().ok()?;
    Some(Head { seq, hash })
}
