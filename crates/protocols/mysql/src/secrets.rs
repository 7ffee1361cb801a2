//! Where secrets are in what a client sends after log-in, so that nobody records them: `COM_CHANGE_USER`, and the packets of
//! the log-in that follows it.
//!
//! It reads nothing but heads of packets and the first byte behind them, whatever the session makes of the bytes. These are
//! no secrets: who reads a recording can tell from them what is missing, and how much.
use crate::codec;
use std::ops::Range;

const CHANGE_USER: u8 = 0x11;

/// Follows the packets of a client.
#[derive(Debug, Default)]
pub(crate) struct ClientSecrets {
    /// What has come of a head.
    head: [u8; 4],
    have: usize,
    /// What is still to come of the packet.
    left: usize,
    /// The next byte says what command this is.
    begins: bool,
    /// This packet, and those that are numbered on from it.
    is_secret: bool,
    /// How many files the client was asked for, as far as is known here.
    files: u64,
    /// The packets are a file's, from this number on up to an empty one.
    file: Option<u8>,
}

/// What the session knows of files that its client was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Files {
    /// How many until now.
    pub(crate) asked: u64,
    /// The number of the first packet of the last of them.
    pub(crate) first: u8,
}

impl ClientSecrets {
    /// The parts of the next bytes that are secret, in order.
    pub(crate) fn find(&mut self, bytes: &[u8], files: Files) -> Vec<Range<usize>> {
        if self.files != files.asked {
            self.files = files.asked;
            self.file = Some(files.first);
        }
        let (mut rest, mut at, mut out) = (bytes, 0, Vec::new());
        while let Some((&first, behind)) = rest.split_first() {
            if self.left == 0 {
                self.read_head(first);
                (rest, at) = (behind, at + 1);
                continue;
            }
            if std::mem::take(&mut self.begins) {
                self.is_secret = first == CHANGE_USER;
                self.left -= 1;
                (rest, at) = (behind, at + 1);
                continue;
            }
            let taken = self.left.min(rest.len());
            if self.is_secret {
                out.push(at..at + taken);
            }
            self.left -= taken;
            (rest, at) = (rest.get(taken..).unwrap_or_default(), at + taken);
        }
        out
    }

    fn read_head(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.have) {
            *place = byte;
        }
        self.have += 1;
        if self.have < self.head.len() {
            return;
        }
        self.have = 0;
        let (length, number) = codec::header(&self.head).unwrap_or_default();
        self.left = length;
        if self.file.take().is_some_and(|due| due == number) {
            // INVARIANT: numbers of a file's packets come round to 0, and what is in them is recorded.
            self.file = (length > 0).then_some(number.wrapping_add(1));
            self.is_secret = false;
            return;
        }
        // What is numbered 0 is a command.
        self.begins = number == 0;
        if self.begins && length == 0 {
            self.begins = false;
            self.is_secret = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets(all: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, payload) in all {
            codec::put_message(&mut out, *number, payload);
        }
        out
    }

    /// What is recorded, with a dot for each byte that is not.
    fn shown(bytes: &[u8], cut: usize) -> String {
        let mut secrets = ClientSecrets::default();
        let mut out = String::new();
        for piece in bytes.chunks(cut) {
            let ranges = secrets.find(piece, Files::default());
            for (i, byte) in piece.iter().enumerate() {
                let hidden = ranges.iter().any(|r| r.contains(&i));
                out += &if hidden { ".".into() } else { byte.escape_ascii().to_string() };
            }
        }
        out
    }

    #[test]
    fn a_log_in_is_hidden_and_nothing_else_however_it_is_cut() {
        let bytes = packets(&[
            (0, b"\x03SELECT '\x11'"),
            (0, b"\x11bot\0"),
            (2, b"tok.en\0"),
            (4, b""),
            (6, b"proof"),
            (0, b"\x03b"),
            (1, b"a file"),
            (0, b""),
            (1, b"another"),
        ]);
        let whole = shown(&bytes, 1);
        assert_eq!(
            whole,
            "\\x0b\\x00\\x00\\x00\\x03SELECT \\'\\x11\\'\\x05\\x00\\x00\\x00\\x11....\\x07\\x00\\x00\\x02.......\\x00\\x00\\x00\\x04\
             \\x05\\x00\\x00\\x06.....\\x02\\x00\\x00\\x00\\x03b\\x06\\x00\\x00\\x01a file\\x00\\x00\\x00\\x00\\x07\\x00\\x00\\x01another"
        );
        for cut in 2..bytes.len() {
            assert_eq!(shown(&bytes, cut), whole, "{cut}");
        }
    }

    #[test]
    fn a_file_is_recorded_whatever_its_packets_are_numbered() {
        let files = Files { asked: 1, first: 255 };
        let file = packets(&[(255, b"begins"), (0, b"\x11 looks like it"), (1, b"goes on")]);
        let end = packets(&[(2, b""), (0, b"\x11bot\0tok.en")]);
        let mut secrets = ClientSecrets::default();
        assert!(secrets.find(&packets(&[(0, b"\x03LOAD DATA")]), Files::default()).is_empty());
        for piece in file.chunks(3) {
            assert!(secrets.find(piece, files).is_empty());
        }
        assert_eq!(secrets.find(&end, files).first(), Some(&(9..end.len())), "what comes after it is hidden as ever");
        // A command that was sent ahead is none of it.
        let mut secrets = ClientSecrets::default();
        assert_eq!(secrets.find(&packets(&[(0, b"\x11bot\0tok.en")]), files).first(), Some(&(5..15)));
    }

    proptest! {
        #[test]
        fn ranges_are_in_order_and_within_what_came(pieces: Vec<Vec<u8>>, files: u64) {
            let mut secrets = ClientSecrets::default();
            for piece in pieces {
                let mut from = 0;
                for range in secrets.find(&piece, Files { asked: files, first: 1 }) {
                    prop_assert!(from <= range.start && range.start < range.end && range.end <= piece.len());
                    from = range.end;
                }
            }
        }
    }
}
