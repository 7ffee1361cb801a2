//! What was copied, for the recording.
use doorward_model::{DataType, Name};
use sha2::{Digest as _, Sha256};

/// Which way a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the client.
    Download,
    /// To the upstream.
    Upload,
}

/// What was copied by way of one handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The file, as the policy saw it.
    pub path: Name,
    /// Which way it went.
    pub direction: Direction,
    /// Bytes that arrived: shown to the client, acknowledged by the upstream.
    pub bytes: u64,
    /// The digest of those bytes, where they went from the first on in their order, and none failed.
    pub sha256: Option<[u8; 32]>,
    /// Whether the handle was closed; otherwise the channel ended before.
    pub complete: bool,
}

/// Something the driver has to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A handle was closed, or the channel ended.
    Transferred(Transfer),
    /// What the caller may not see was in a file, and was not shown. Nothing more can be read of its handle.
    Withheld {
        /// The file, as the policy saw it.
        path: Name,
        /// What was found.
        found: DataType,
        /// Where what was asked for begins, in bytes from the file's start.
        offset: u64,
    },
}

#[derive(Debug)]
pub(super) struct Tally {
    bytes: u64,
    next: u64,
    hash: Option<Sha256>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { bytes: 0, next: 0, hash: Some(Sha256::new()) }
    }
}

impl Tally {
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes go: hashed if they follow upon the last.
    pub(super) fn sent(&mut self, offset: u64, block: &[u8]) {
        if offset != self.next {
            self.hash = None;
        }
        if let Some(hash) = &mut self.hash {
            hash.update(block);
            self.next = offset.saturating_add(block.len() as u64);
        }
    }

    pub(super) const fn arrived(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn failed(&mut self) {
        self.hash = None;
    }

    pub(super) fn finish(self, path: Name, direction: Direction, complete: bool) -> Transfer {
        // What was sent and never acknowledged may or may not be there.
        let hash = self.hash.filter(|_| self.next == self.bytes);
        Transfer { path, direction, bytes: self.bytes, sha256: hash.map(|h| h.finalize().into()), complete }
    }
}
