//! What the enforcement point asks of the audit log.
use doorward_model::{AuditEvent, AuditKind, Parties, SessionId, SessionPart};
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    fmt::Debug,
    sync::Arc,
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

/// An audit log in which every entry of a session that an agent has for a person names the two, whoever writes it: from
/// the entry that says who came, to the one that says that the session ended. What is written before is of nobody yet.
///
/// Of a session that ended nothing is kept: who writes of it later (an approval that outlives it) knows whose it was.
#[derive(Debug)]
pub struct Attributed {
    log: Arc<dyn AuditSink>,
    sessions: RwLock<HashMap<SessionId, Arc<Parties>>>,
}

impl Attributed {
    /// What goes into `log` names both.
    pub fn new(log: Arc<dyn AuditSink>) -> Self {
        Self { log, sessions: RwLock::default() }
    }

    /// Of whom the entry is, where it does not say so itself.
    fn parties(&self, session: SessionId, kind: &AuditKind) -> Option<Arc<Parties>> {
        match kind.of_session() {
            SessionPart::Caller(principal) => {
                let parties = principal.parties().map(Arc::new);
                match &parties {
                    Some(parties) => self.sessions.write().insert(session, Arc::clone(parties)),
                    // Whoever comes anew in a session (`COM_CHANGE_USER`) is who they are now.
                    None if self.sessions.read().contains_key(&session) => self.sessions.write().remove(&session),
                    None => None,
                };
                parties
            }
            SessionPart::Ended { .. } => {
                let known = self.sessions.read().contains_key(&session);
                known.then(|| self.sessions.write().remove(&session)).flatten()
            }
            SessionPart::Opened { .. } | SessionPart::Request { .. } | SessionPart::Other => {
                self.sessions.read().get(&session).cloned()
            }
        }
    }
}

impl AuditSink for Attributed {
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        let parties = event.session.and_then(|session| self.parties(session, &event.kind));
        if parties.is_none() || event.parties.is_some() {
            return self.log.append(event);
        }
        self.log.append(&AuditEvent { parties, ..event.clone() })
    }

    fn committed(&self) -> Ticket {
        self.log.committed()
    }

    fn poll_committed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        self.log.poll_committed(ticket, cx)
    }
}
