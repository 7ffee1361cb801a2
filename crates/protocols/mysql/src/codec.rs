//! Bytes to messages (MySQL, "Client/Server Protocol"; MariaDB, "Clients & Utilities: Protocol").
//!
//! Packets are cut by their declared length before anything reads them, and every message is read to its last byte. A
//! message longer than 16 MiB comes in several packets; it is put together up to a limit.
pub mod client;
pub mod compressed;
pub mod rows;
pub mod upstream;

use doorward_wire::Reader;
pub use doorward_wire::WireError;
use std::borrow::Cow;

/// What one packet can hold; one as full as this is followed by another of the same message.
pub const FULL: usize = 0x00ff_ffff;

/// A message: the payloads of one or more packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The payload, borrowed where it came in one packet.
    pub payload: Cow<'a, [u8]>,
    /// How many bytes it had with its headers.
    pub wire: usize,
    /// The sequence number of its first packet.
    pub sequence: u8,
    /// How many packets it had.
    pub packets: usize,
}

impl Message<'_> {
    /// The sequence number of the packet that follows.
    pub const fn next_sequence(&self) -> u8 {
        self.sequence.wrapping_add(self.packets.to_le_bytes()[0])
    }
}

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than is read here.
    #[error("a message of at least {length} bytes is longer than the {limit} bytes that are read here")]
    TooLong {
        /// Its length so far, in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A packet within a message does not follow its predecessor.
    #[error("packets out of order: {found} where {expected} was due")]
    OutOfOrder {
        /// The number that was due.
        expected: u8,
        /// The number that came.
        found: u8,
    },
}

/// The head of a packet: payload length and sequence number. `None` while it is not complete.
pub fn header(buffer: &[u8]) -> Option<(usize, u8)> {
    let [a, b, c, sequence] = *buffer.first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(FULL), sequence))
}

/// Reads one message from the front of `buffer`; `None` while it is not complete.
///
/// # Errors
/// Where it is beyond `limit` bytes (known from the heads alone), or its packets are out of order.
pub fn message(buffer: &[u8], limit: usize) -> Result<Option<Message<'_>>, FrameError> {
    let Some((length, sequence)) = header(buffer) else { return Ok(None) };
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if length < FULL {
        let Some(payload) = buffer.get(4..4 + length) else { return Ok(None) };
        return Ok(Some(Message { payload: Cow::Borrowed(payload), wire: 4 + length, sequence, packets: 1 }));
    }
    long_message(buffer, limit, sequence)
}

fn long_message(buffer: &[u8], limit: usize, first: u8) -> Result<Option<Message<'_>>, FrameError> {
    let (mut at, mut total, mut packets, mut due) = (0_usize, 0_usize, 0_usize, first);
    // Once for the lengths, so that nothing is copied before the whole is there.
    loop {
        let rest = buffer.get(at..).unwrap_or_default();
        let Some((length, sequence)) = header(rest) else { return Ok(None) };
        if sequence != due {
            return Err(FrameError::OutOfOrder { expected: due, found: sequence });
        }
        total = total.saturating_add(length);
        if total > limit {
            return Err(FrameError::TooLong { length: total, limit });
        }
        if rest.len() < 4 + length {
            return Ok(None);
        }
        at += 4 + length;
        packets += 1;
        due = due.wrapping_add(1);
        if length < FULL {
            break;
        }
    }
    let mut payload = Vec::with_capacity(total);
    let mut rest = buffer.get(..at).unwrap_or_default();
    while let Some((length, _)) = header(rest) {
        payload.extend_from_slice(rest.get(4..4 + length).unwrap_or_default());
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    Ok(Some(Message { payload: Cow::Owned(payload), wire: at, sequence: first, packets }))
}

/// Reads a length-encoded integer (manual, "Integer Types").
///
/// # Errors
/// Where it is cut off, or the first byte is the mark of a null or of an error.
pub fn length(r: &mut Reader<'_>) -> Result<u64, WireError> {
    match r.u8()? {
        small @ 0..=0xfa => Ok(u64::from(small)),
        0xfc => r.u16_le().map(u64::from),
        0xfd => r.u24_le().map(u64::from),
        0xfe => r.u64_le(),
        0xfb | 0xff => Err(r.invalid()),
    }
}

/// A length-encoded integer that counts bytes or things which still have to follow.
///
/// # Errors
/// As [`length`], or where it is more than fits into memory.
pub fn count(r: &mut Reader<'_>) -> Result<usize, WireError> {
    let n = length(r)?;
    usize::try_from(n).map_err(|_| r.invalid())
}

/// Reads a length-encoded string.
///
/// # Errors
/// Where it is cut off.
pub fn string<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let n = count(r)?;
    r.bytes(n)
}

/// Writes a length-encoded integer.
pub fn put_length(out: &mut Vec<u8>, n: u64) {
    let bytes = n.to_le_bytes();
    let [a, b, c, ..] = bytes;
    match n {
        0..=0xfa => out.push(a),
        0xfb..=0xffff => out.extend([0xfc, a, b]),
        0x1_0000..=0xff_ffff => out.extend([0xfd, a, b, c]),
        0x100_0000.. => {
            out.push(0xfe);
            out.extend(bytes);
        }
    }
}

/// Writes a length-encoded string.
pub fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_length(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Writes `payload` as one message beginning with `sequence`; returns the number that follows.
pub fn put_message(out: &mut impl bytes::BufMut, mut sequence: u8, payload: &[u8]) -> u8 {
    let mut rest = payload;
    loop {
        let (head, tail) = rest.split_at(rest.len().min(FULL));
        let [a, b, c, ..] = head.len().to_le_bytes();
        out.put_slice(&[a, b, c, sequence]);
        out.put_slice(head);
        sequence = sequence.wrapping_add(1);
        if head.len() < FULL {
            return sequence;
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_limit_is_known_from_the_head() {
        assert_eq!(message(&[0xfe, 0xff, 0xff, 0], 100), Err(FrameError::TooLong { length: 0xff_fffe, limit: 100 }));
        assert_eq!(message(&[3, 0, 0, 0, b'a', b'b'], 100), Ok(None));
        assert_eq!(message(&[1, 0], 100), Ok(None));
    }

    #[test]
    fn a_long_message_is_put_together_in_order_only() {
        let payload = vec![7; FULL + 5];
        let mut out = Vec::new();
        assert_eq!(put_message(&mut out, 255, &payload), 1);
        let read = message(&out, FULL * 2).unwrap().unwrap();
        assert_eq!((read.wire, read.sequence, read.packets, read.next_sequence()), (out.len(), 255, 2, 1));
        assert_eq!(read.payload, payload);
        assert!(message(&out, FULL + 4).is_err());
        assert_eq!(message(&out[..FULL + 7], FULL * 2), Ok(None));
        out[FULL + 4 + 3] = 9;
        assert_eq!(message(&out, FULL * 2), Err(FrameError::OutOfOrder { expected: 0, found: 9 }));
        // A message that fills its packet to the last byte is followed by an empty one.
        let mut out = Vec::new();
        put_message(&mut out, 0, &payload[..FULL]);
        assert_eq!(message(&out, FULL * 2).unwrap().unwrap().packets, 2);
    }

    proptest! {
        #[test]
        fn lengths_come_back(n: u64) {
            let mut out = Vec::new();
            put_length(&mut out, n);
            let mut r = Reader::new(&out, "test");
            prop_assert_eq!(length(&mut r), Ok(n));
            prop_assert_eq!(r.left(), 0);
        }

        #[test]
        fn random_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _read = message(&bytes, 1000);
            let _read = string(&mut Reader::new(&bytes, "test"));
        }
    }
}
