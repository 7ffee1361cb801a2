//! The compressed protocol (manual, "Compression"): packets in envelopes, by zlib or zstd.
//!
//! An envelope has the length of what is in it, a sequence number of its own, and the length before it was compressed;
//! zero means that it was not. Both lengths have three bytes, so that none can grow beyond 16 MiB.
use crate::codec::FULL;
use bytes::{Buf as _, BytesMut};

/// How envelopes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `CLIENT_COMPRESS`.
    Zlib,
    /// `CLIENT_ZSTD_COMPRESSION_ALGORITHM`, with its level (1 to 22).
    Zstd(u8),
}

/// What is in an envelope is not what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// It does not unpack, or not to the length that was announced.
    #[error("a compressed packet does not unpack to the {announced} bytes that were announced")]
    Corrupt {
        /// The length that was announced.
        announced: usize,
    },
    /// Not the next number.
    #[error("compressed packets out of order: {found} where {expected} was due")]
    OutOfOrder {
        /// The number that was due.
        expected: u8,
        /// The number that came.
        found: u8,
    },
}

/// Below this many bytes nothing is gained by compressing (the manual's own bound).
const LEAST: usize = 50;
/// How much goes into one envelope: enough to compress well, little enough to keep beside a session.
const ENVELOPE: usize = 256 * 1024;

/// One direction's worth of unpacking, and the other's of packing, on one side.
#[derive(Debug)]
pub struct Envelopes {
    algorithm: Algorithm,
    input: BytesMut,
    /// The number of the next envelope, in either direction: they count on in turns, from 0 at each command.
    next: u8,
    /// Whether the peer sends commands: then an envelope numbered 0 begins a new one.
    from_client: bool,
}

impl Envelopes {
    /// For the side of a client (`from_client`) or of an upstream.
    pub fn new(algorithm: Algorithm, from_client: bool) -> Self {
        Self { algorithm, input: BytesMut::new(), next: 0, from_client }
    }

    /// Unpacks what is whole; packets are appended to `out`. Stops once `out` has grown beyond `enough`.
    ///
    /// # Errors
    /// Where an envelope is not what its head says.
    pub fn unpack(&mut self, bytes: &[u8], enough: usize, out: &mut BytesMut) -> Result<(), CompressionError> {
        self.input.extend_from_slice(bytes);
        while out.len() < enough
            && let Some(&[a, b, c, sequence, d, e, f]) = self.input.first_chunk::<7>()
        {
            let size = |x, y, z| usize::try_from(u32::from_le_bytes([x, y, z, 0])).unwrap_or(FULL);
            let (packed, plain) = (size(a, b, c), size(d, e, f));
            if self.input.len() < 7 + packed {
                break;
            }
            let begins = sequence == 0 && self.from_client;
            if sequence != self.next && !begins {
                return Err(CompressionError::OutOfOrder { expected: self.next, found: sequence });
            }
            self.next = sequence.wrapping_add(1);
            self.input.advance(7);
            let body = self.input.split_to(packed);
            if plain == 0 {
                out.extend_from_slice(&body);
            } else {
                out.extend_from_slice(&self.plain(&body, plain)?);
            }
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(())
    }

    fn plain(&self, body: &[u8], announced: usize) -> Result<Vec<u8>, CompressionError> {
        // INVARIANT: nothing unpacks to more than was announced, and no more than 16 MiB can be.
        let unpacked = match self.algorithm {
            Algorithm::Zlib => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(body, announced).ok(),
            Algorithm::Zstd(_) => zstd::bulk::decompress(body, announced).ok(),
        };
        unpacked.filter(|u| u.len() == announced).ok_or(CompressionError::Corrupt { announced })
    }

    /// Bytes that are here but not yet unpacked.
    pub fn waiting(&self) -> usize {
        self.input.len()
    }

    /// A new command begins: its first envelope is number 0 (towards an upstream).
    pub fn begin_command(&mut self) {
        self.next = 0;
    }

    /// Packs whole packets into envelopes.
    pub fn pack(&mut self, packets: &[u8], out: &mut BytesMut) {
        for part in packets.chunks(ENVELOPE) {
            let packed = if part.len() < LEAST { None } else { self.compress(part) };
            let (body, plain) = match &packed {
                Some(packed) => (packed.as_slice(), part.len()),
                None => (part, 0),
            };
            let ([a, b, c, ..], [d, e, f, ..]) = (body.len().to_le_bytes(), plain.to_le_bytes());
            out.extend_from_slice(&[a, b, c, self.next, d, e, f]);
            out.extend_from_slice(body);
            self.next = self.next.wrapping_add(1);
        }
    }

    /// `None` where compressing makes it longer.
    fn compress(&self, part: &[u8]) -> Option<Vec<u8>> {
        let packed = match self.algorithm {
            Algorithm::Zlib => Some(miniz_oxide::deflate::compress_to_vec_zlib(part, 6)),
            Algorithm::Zstd(level) => zstd::bulk::compress(part, i32::from(level)).ok(),
        };
        packed.filter(|p| p.len() < part.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both() -> impl Strategy<Value = Algorithm> {
        prop_oneof![Just(Algorithm::Zlib), Just(Algorithm::Zstd(3))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_packed_unpacks_however_it_is_cut(algorithm in both(), word: Vec<u8>, times in 1_usize..40, cut in 1_usize..60) {
            let plain = word.repeat(times);
            let mut wire = BytesMut::new();
            Envelopes::new(algorithm, false).pack(&plain, &mut wire);
            let mut other = Envelopes::new(algorithm, true);
            let mut out = BytesMut::new();
            for part in wire.chunks(cut) {
                other.unpack(part, usize::MAX, &mut out).unwrap();
            }
            prop_assert_eq!(&out[..], &plain[..]);
            prop_assert_eq!(other.waiting(), 0);
        }

        #[test]
        fn random_bytes_do_no_harm(algorithm in both(), bytes: Vec<u8>) {
            let mut out = BytesMut::new();
            let _read = Envelopes::new(algorithm, true).unpack(&bytes, usize::MAX, &mut out);
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        for algorithm in [Algorithm::Zlib, Algorithm::Zstd(1)] {
            let packer = Envelopes::new(algorithm, false);
            let body = packer.compress(&vec![0; 10_000_000]).unwrap();
            let [a, b, c, ..] = body.len().to_le_bytes();
            let mut wire = vec![a, b, c, 0, 100, 0, 0];
            wire.extend(body);
            let read = Envelopes::new(algorithm, true).unpack(&wire, usize::MAX, &mut BytesMut::new());
            assert_eq!(read, Err(CompressionError::Corrupt { announced: 100 }));
        }
    }

    #[test]
    fn envelopes_come_in_order() {
        let mut client = Envelopes::new(Algorithm::Zlib, true);
        let mut out = BytesMut::new();
        client.unpack(b"\x01\0\0\0\0\0\0a", usize::MAX, &mut out).unwrap();
        let mut answer = BytesMut::new();
        client.pack(b"xy", &mut answer);
        assert_eq!(&answer[..], b"\x02\0\0\x01\0\0\0xy");
        assert!(client.unpack(b"\x01\0\0\x01\0\0\0a", usize::MAX, &mut out).is_err());
        let mut client = Envelopes::new(Algorithm::Zlib, true);
        client.unpack(b"\x01\0\0\0\0\0\0a\x01\0\0\0\0\0\0b", usize::MAX, &mut out).unwrap();
        assert_eq!(&out[..], b"aab");
    }
}
