//! Why a log-in ended without a session.
use super::upstream::UpstreamError;
use doorward_enforce::{AuditUnavailable, Refusal};
use doorward_mysql::{codec::WireError, render::Rejection};
use std::io;

/// Why a log-in ended without a session. Each is told to the client and written down.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) at_fault: &'static str,
    pub(super) rejection: Rejection,
    /// What the audit log keeps.
    pub(super) reason: String,
}

impl Rejected {
    pub(super) fn new(at_fault: &'static str, code: u16, sqlstate: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { at_fault, reason: message.clone(), rejection: Rejection::new(code, sqlstate, message) }
    }
}

impl From<io::Error> for Rejected {
    fn from(e: io::Error) -> Self {
        Self::new("client", 1158, "08S01", format!("the log-in broke off: {e}"))
    }
}

impl From<WireError> for Rejected {
    fn from(e: WireError) -> Self {
        Self::new("client", 1043, "08S01", format!("Bad handshake: {e}"))
    }
}

impl From<AuditUnavailable> for Rejected {
    fn from(e: AuditUnavailable) -> Self {
        Self::new("gateway", 1105, "HY000", format!("refused: {e}"))
    }
}

impl From<&Refusal> for Rejected {
    fn from(refusal: &Refusal) -> Self {
        Self { at_fault: "policy", rejection: Rejection::from(refusal), reason: refusal.message.clone() }
    }
}

impl From<UpstreamError> for Rejected {
    fn from(e: UpstreamError) -> Self {
        Self { reason: e.to_string(), ..Self::new("upstream", 2003, "HY000", e.for_the_caller()) }
    }
}
