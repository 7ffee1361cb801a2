//! The format of a recording, `<session-id>.dwr`.
//!
//! ```text
//! file   = "DWREC001" block*
//! block  = header(104 bytes) payload(stored length) hash(32)
//! header = kind u8 | compression u8 | reserved u16 | raw length u32 | stored length u32 | frames u32
//!        | first frame u64 | time u64 | client bytes u64 | upstream bytes u64 | lost bytes u64
//!        | offset u64 | hash of the previous block (32)
//! ```
//! Numbers are little-endian. `hash` is SHA-256 over `doorward/recording/block/v1\n`, header and
//! payload, so each byte after the magic is hashed once and each block fits in one place only. The
//! byte counts are totals of the session up to and with the block. `time` is the microseconds since
//! the Unix epoch that the first frame's delta counts from. `offset` is where the block begins.
//!
//! - Kind `H`, the first block: JSON [`RecordingMeta`] and 64 bytes of ed25519 signature over
//!   `doorward/recording/signature/v1\n`, header and JSON.
//! - Kind `D`: frames, compressed by zstd (compression 1) or plain (0). A frame is
//!   `kind u8 | time delta µs varint | length varint | bytes`; gap and redacted frames hold a note of
//!   their own form in place of the bytes. Frames are numbered from 0 by their place.
//! - Kind `F`, the last block: JSON with reason and counts, signed like `H`.
//!
//! A file without `F` ends where its last whole block does.
use doorward_model::Timestamp;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) const MAGIC: &[u8; 8] = b"DWREC001";
pub(crate) const HEADER: usize = 104;
pub(crate) const SIGNATURE: usize = 64;
/// Frames are cut at this length.
pub(crate) const MAX_FRAME: usize = 64 << 10;
/// A block is handed over beyond this many bytes, so it is never longer than this and one frame.
pub(crate) const BLOCK: usize = 64 << 10;
/// What a reader accepts.
pub(crate) const MAX_BLOCK: usize = 512 << 10;
const BLOCK_DOMAIN: &[u8] = b"doorward/recording/block/v1\n";
const SIGNATURE_DOMAIN: &[u8] = b"doorward/recording/signature/v1\n";

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client.
    Client,
    /// To the client (from the upstream or from the gateway in its place).
    Upstream,
}

/// What a recording says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingMeta {
    /// The session: names the file.
    pub session: String,
    /// The connection's name.
    pub connection: String,
    /// `postgres`, …
    pub protocol: String,
    /// When the session began.
    pub started: Timestamp,
    /// The client's address.
    pub client: String,
    /// Anything else.
    #[serde(default)]
    pub more: serde_json::Value,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameBody {
    /// Bytes as they went over the wire.
    Bytes(Direction, Vec<u8>),
    /// Bytes that were left out on purpose.
    Redacted {
        /// Where they came from.
        direction: Direction,
        /// How many.
        len: u64,
        /// Why.
        why: String,
    },
    /// Bytes that could not be kept.
    Gap {
        /// How many from the client.
        client: u64,
        /// How many to the client.
        upstream: u64,
    },
    /// Something learnt of the session later, such as the principal.
    Meta(serde_json::Value),
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its number from 0.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    pub body: FrameBody,
}

pub(crate) const FRAME_CLIENT: u8 = 0;
pub(crate) const FRAME_UPSTREAM: u8 = 1;
pub(crate) const FRAME_REDACTED_CLIENT: u8 = 2;
pub(crate) const FRAME_REDACTED_UPSTREAM: u8 = 3;
pub(crate) const FRAME_GAP: u8 = 4;
pub(crate) const FRAME_META: u8 = 5;

/// What the last block says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) reason: String,
    pub(crate) finished: bool,
    pub(crate) frames: u64,
    pub(crate) client_bytes: u64,
    pub(crate) upstream_bytes: u64,
    pub(crate) lost_bytes: u64,
    pub(crate) ended: u64,
}

/// The head of a block in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct BlockHeader {
    pub(crate) kind: u8,
    pub(crate) compression: u8,
    pub(crate) raw_len: u32,
    pub(crate) stored_len: u32,
    pub(crate) frames: u32,
    pub(crate) first_frame: u64,
    pub(crate) time: u64,
    pub(crate) client_bytes: u64,
    pub(crate) upstream_bytes: u64,
    pub(crate) lost_bytes: u64,
    pub(crate) offset: u64,
    pub(crate) prev: [u8; 32],
}

/// Takes little-endian numbers off the front; `None` at the end.
fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*head)
}

impl BlockHeader {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind, self.compression, 0, 0]);
        for n in [self.raw_len, self.stored_len, self.frames] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let long = [self.first_frame, self.time, self.client_bytes, self.upstream_bytes, self.lost_bytes, self.offset];
        for n in long {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.prev);
        out.extend_from_slice(&[0; 8]);
    }

    pub(crate) fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let from = &mut bytes.as_slice();
        let [kind, compression, 0, 0] = take::<4>(from)? else { return None };
        Some(Self {
            kind,
            compression,
            raw_len: u32::from_le_bytes(take(from)?),
            stored_len: u32::from_le_bytes(take(from)?),
            frames: u32::from_le_bytes(take(from)?),
            first_frame: u64::from_le_bytes(take(from)?),
            time: u64::from_le_bytes(take(from)?),
            client_bytes: u64::from_le_bytes(take(from)?),
            upstream_bytes: u64::from_le_bytes(take(from)?),
            lost_bytes: u64::from_le_bytes(take(from)?),
            offset: u64::from_le_bytes(take(from)?),
            prev: take(from)?,
        })
    }
}

pub(crate) fn block_hash(header_and_payload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(BLOCK_DOMAIN).chain_update(header_and_payload).finalize().into()
}

fn signed_text(header_and_json: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, header_and_json].concat()
}

pub(crate) fn sign(key: &SigningKey, header_and_json: &[u8]) -> [u8; SIGNATURE] {
    key.sign(&signed_text(header_and_json)).to_bytes()
}

pub(crate) fn is_signed(key: &VerifyingKey, header_and_json: &[u8], signature: &[u8; SIGNATURE]) -> bool {
    key.verify_strict(&signed_text(header_and_json), &Signature::from_bytes(signature)).is_ok()
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push((n & 0x7f) as u8);
}

pub(crate) fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}
