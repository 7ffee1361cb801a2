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
}

impl ClientSecrets {
    /// The parts of the next bytes that are secret, in order.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Vec<Range<usize>> {
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
        // What is numbered 0 is a command. A file of a client may come to that number again: nothing worse follows than
        // a part of it that is not recorded.
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
            let ranges = secrets.find(piece);
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

    proptest! {
        #[test]
        fn ranges_are_in_order_and_within_what_came(pieces: Vec<Vec<u8>>) {
            let mut secrets = ClientSecrets::default();
            for piece in pieces {
                let mut from = 0;
                for range in secrets.find(&piece) {
                    prop_assert!(from <= range.start && range.start < range.end && range.end <= piece.len());
                    from = range.end;
                }
            }
        }
    }
}
