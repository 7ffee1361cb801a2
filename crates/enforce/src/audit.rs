//! What the enforcement point asks of the audit log.
use doorward_model::AuditEvent;
use std::{
    fmt::Debug,
    task::{Context, Poll},
};

/// A place in the audit log: everything up to it is durable once it is committed.
/// The default ticket is committed from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The audit log cannot take an entry: what it should have recorded must not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {reason}")]
pub struct AuditUnavailable {
    /// What is wrong, for the operator and the caller.
    pub reason: String,
}

/// An append-only log with group commit.
pub trait AuditSink: Send + Sync + Debug {
    /// Adds an entry and says when it will be durable. Never blocks on the disk.
    ///
    /// # Errors
    /// Where the entry cannot be kept: disk full, queue full, log broken.
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable>;
    /// The last ticket that is durable.
    fn committed(&self) -> Ticket;
    /// Ready once `ticket` is durable; wakes the task when it is.
    ///
    /// # Errors
    /// Where it can never become durable.
    fn poll_committed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>>;
}
