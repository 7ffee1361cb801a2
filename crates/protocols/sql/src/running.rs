//! A request that the upstream is running.
use crate::Meaning;
use doorward_enforce::Enforcer;
use doorward_model::{AuditKind, RequestId, Timestamp};
use std::sync::Arc;

/// A request that the upstream is running, and what it has shown so far.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its number in the session.
    pub request: RequestId,
    /// What it does.
    pub meaning: Arc<Meaning>,
    /// Which statement of its text is being answered.
    pub part: usize,
    /// Rows that the caller got.
    pub rows: u64,
    /// Values in them that were masked.
    pub masked: u64,
}

impl Running {
    /// A request that has just been sent.
    pub fn new(request: RequestId, meaning: &Arc<Meaning>) -> Self {
        Self { request, meaning: Arc::clone(meaning), part: 0, rows: 0, masked: 0 }
    }

    /// Writes down how it ended: a command tag, `OK`, or an SQLSTATE.
    pub fn completed(&self, enforcer: &mut Enforcer, result: &str, now: Timestamp) {
        let Self { request, rows, masked, .. } = *self;
        let kind = AuditKind::Completed { request, result: result.to_owned(), rows, masked };
        // What was done is done: a log that cannot take this refuses the next request.
        let _kept = enforcer.note(kind, now);
    }
}
