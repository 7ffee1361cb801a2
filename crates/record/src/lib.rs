//! What was asked, decided and done, kept so that nobody can change it unnoticed.
//!
//! Purpose: the audit log ([`AuditLog`]: an append-only hash chain with signed checkpoints and group
//! commit) and the recordings of sessions ([`RecordStore`], [`Recording`]: every byte of both
//! directions, compressed and hash-chained), with their readers, exports and offline verification.
//!
//! Invariants:
//! - An audit entry is accepted only where room for it is reserved on the disk, and is reported as
//!   committed only once `fdatasync` has returned. No two entries have the same sequence number.
//! - The memory of the audit queue and of each recording is bounded; nothing here blocks the caller
//!   on the disk.
//! - No gap in a recording is silent: what could not be kept is a gap frame with its byte counts, and
//!   a recording without a footer says where it ends.
//!
//! Deliberately absent: tokio, redaction (the caller redacts before it records), the meaning of the
//! recorded bytes (the protocol crates replay them), the rules of retention (here is only how old files are removed).
//!
//! Known limits:
//! - Who can write to the directory but lacks the signing key can cut the audit log back to an
//!   earlier checkpoint *and* put the head file of that time back. Nothing on the same disk shows
//!   that: give [`verify_log`] a head known from elsewhere ([`VerifyOptions::at_least`]).
//! - Entries after the last checkpoint are chained but not signed yet (a second's worth, by default).
//! - A recording is signed in its header and its footer; one without a footer is as long as it looks.
//!   The audit log's `session_ended` entry holds the byte counts to compare with.
mod audit;
mod audit_files;
mod audit_writer;
mod backwards;
mod chain;
mod copying;
mod entries;
mod export;
pub mod keys;
mod known;
mod lookup;
mod reader;
mod recorder;
mod recorder_thread;
mod recording;
mod restored;
mod retention;
mod tail;
mod verify;

pub use audit::{AuditLog, AuditOptions, OpenError};
pub use backwards::Backwards;
pub use chain::{ChainHash, Checkpoint, Head};
pub use copying::copy_log;
pub use ed25519_dalek::{SigningKey, VerifyingKey};
pub use entries::{Entries, Entry, Filter};
pub use export::{ExportError, export_json_lines, export_pcapng};
pub use known::Known;
pub use lookup::{Proof, find_entry, oldest_line, prove_entry};
pub use reader::{Ending, ReadError, Reader, RecordingReport, verify_recording};
pub use recorder::{RecordOptions, RecordStore, Recording};
pub use recording::{Direction, Frame, FrameBody, RecordingMeta};
pub use restored::mark_restored;
pub use retention::{Beginning, PruneError, finish_pruning, prunable, prune, prune_recordings};
pub use tail::{Tail, TailError, TailLine, session_entries};
pub use verify::{Finding, Report, VerifyOptions, verify_log};
