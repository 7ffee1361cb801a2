//! What an audit entry says of its session and of an approval: asked by everything that follows the log.
use crate::{ApprovalId, AuditKind, ConnectionName, Facts, Principal, RequestId, Timestamp, audit::Outcome};
use std::{fmt, str::FromStr};

impl Outcome {
    /// The word for it, as in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Forward, Self::Hold, Self::Refuse].into_iter().find(|o| o.as_str() == word).ok_or(())
    }
}

/// What an entry says of the session that it is in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SessionPart<'a> {
    /// It began.
    Opened {
        /// On which connection.
        connection: &'a ConnectionName,
        /// From where.
        client: &'a str,
    },
    /// Whose it is from now on.
    Caller(&'a Principal),
    /// Something was asked in it.
    Request {
        /// Which request.
        request: RequestId,
        /// What was done with it.
        outcome: Outcome,
        /// The text, cut to a bounded length.
        statement: &'a str,
        /// What it would do.
        facts: &'a Facts,
        /// The approval it waits for or was decided with.
        approval: Option<ApprovalId>,
    },
    /// It ended.
    Ended {
        /// Why.
        reason: &'a str,
    },
    /// It changes nothing of what is known of the session.
    Other,
}

/// What an entry says of an approval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ApprovalPart<'a> {
    /// It was asked for.
    Asked {
        /// The request that waits.
        request: RequestId,
        /// Until when.
        expires: Timestamp,
    },
    /// Others are asked, too.
    Escalated {
        /// Who.
        groups: &'a [String],
    },
    /// Somebody gave a verdict.
    Decided {
        /// Yes or no.
        approved: bool,
        /// Who.
        by: &'a str,
        /// What they said.
        comment: &'a str,
        /// Whether they broke the glass.
        break_glass: bool,
    },
    /// It ended without a use.
    Ended {
        /// Why.
        reason: &'a str,
    },
    /// A request that waits for it, or was decided with it.
    Request {
        /// Which request of the session.
        request: RequestId,
        /// What was done with it.
        outcome: Outcome,
    },
}

impl AuditKind {
    /// The kind as the log names it: one of [`AUDIT_KINDS`](crate::AUDIT_KINDS).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GatewayStarted { .. } => "gateway_started",
            Self::GatewayStopped {} => "gateway_stopped",
            Self::SessionOpened { .. } => "session_opened",
            Self::Authenticated { .. } => "authenticated",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::SessionEnded { .. } => "session_ended",
            Self::Request { .. } => "request",
            Self::Completed { .. } => "completed",
            Self::FileCopied { .. } => "file_copied",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalDecided { .. } => "approval_decided",
            Self::ApprovalEscalated { .. } => "approval_escalated",
            Self::ApprovalEnded { .. } => "approval_ended",
            Self::Fault { .. } => "fault",
            Self::Cancel { .. } => "cancel",
            Self::PolicyChanged { .. } => "policy_changed",
            Self::Administration { .. } => "administration",
        }
    }

    /// What it says of its session.
    pub fn of_session(&self) -> SessionPart<'_> {
        match self {
            Self::SessionOpened { connection, client } => SessionPart::Opened { connection, client },
            Self::Authenticated { principal, .. } => SessionPart::Caller(principal),
            Self::SessionEnded { reason, .. } => SessionPart::Ended { reason },
            Self::Request { request, outcome, statement, facts, approval, .. } => {
                let (request, outcome, approval) = (*request, *outcome, *approval);
                SessionPart::Request { request, outcome, statement, facts, approval }
            }
            Self::GatewayStarted { .. }
            | Self::GatewayStopped {}
            | Self::AuthenticationFailed { .. }
            | Self::Completed { .. }
            | Self::FileCopied { .. }
            | Self::ApprovalRequested { .. }
            | Self::ApprovalDecided { .. }
            | Self::ApprovalEscalated { .. }
            | Self::ApprovalEnded { .. }
            | Self::Fault { .. }
            | Self::Cancel { .. }
            | Self::PolicyChanged { .. }
            | Self::Administration { .. } => SessionPart::Other,
        }
    }

    /// The approval that it is of, and what it says of it.
    pub fn of_approval(&self) -> Option<(ApprovalId, ApprovalPart<'_>)> {
        match self {
            Self::ApprovalRequested { approval, request, expires, .. } => {
                Some((*approval, ApprovalPart::Asked { request: *request, expires: *expires }))
            }
            Self::ApprovalDecided { approval, approved, by, comment, break_glass, via: _ } => {
                let break_glass = *break_glass;
                Some((*approval, ApprovalPart::Decided { approved: *approved, by, comment, break_glass }))
            }
            Self::ApprovalEscalated { approval, groups } => Some((*approval, ApprovalPart::Escalated { groups })),
            Self::ApprovalEnded { approval, reason } => Some((*approval, ApprovalPart::Ended { reason })),
            Self::Request { approval, request, outcome, .. } => {
                approval.map(|id| (id, ApprovalPart::Request { request: *request, outcome: *outcome }))
            }
            Self::GatewayStarted { .. }
            | Self::GatewayStopped {}
            | Self::SessionOpened { .. }
            | Self::Authenticated { .. }
            | Self::AuthenticationFailed { .. }
            | Self::SessionEnded { .. }
            | Self::Completed { .. }
            | Self::FileCopied { .. }
            | Self::Fault { .. }
            | Self::Cancel { .. }
            | Self::PolicyChanged { .. }
            | Self::Administration { .. } => None,
        }
    }

    /// Who did it, of what people do with the gateway itself (`issuer/subject`).
    pub fn done_by(&self) -> Option<&str> {
        match self {
            Self::ApprovalDecided { by, .. } | Self::Administration { by, .. } => Some(by),
            Self::GatewayStarted { .. }
            | Self::GatewayStopped {}
            | Self::SessionOpened { .. }
            | Self::Authenticated { .. }
            | Self::AuthenticationFailed { .. }
            | Self::SessionEnded { .. }
            | Self::Request { .. }
            | Self::Completed { .. }
            | Self::FileCopied { .. }
            | Self::ApprovalRequested { .. }
            | Self::ApprovalEscalated { .. }
            | Self::ApprovalEnded { .. }
            | Self::Fault { .. }
            | Self::Cancel { .. }
            | Self::PolicyChanged { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AUDIT_KINDS;

    #[test]
    fn the_name_is_the_one_that_is_written() {
        let kinds = [
            AuditKind::GatewayStopped {},
            AuditKind::SessionOpened { connection: ConnectionName::new("c"), client: "x".into() },
            AuditKind::AuthenticationFailed { user: "u".into(), reason: "r".into() },
            AuditKind::SessionEnded { reason: "r".into(), client_bytes: 0, upstream_bytes: 0 },
            AuditKind::Cancel { known: true },
            AuditKind::Fault { at_fault: "client".into(), what: "w".into() },
            AuditKind::Administration { by: "b".into(), what: "w".into() },
        ];
        for kind in kinds {
            let written = serde_json::to_value(&kind).unwrap();
            assert_eq!(written["event"], kind.name());
            assert!(AUDIT_KINDS.contains(&kind.name()));
        }
    }

    #[test]
    fn outcomes_are_read_as_they_are_written() {
        for outcome in [Outcome::Forward, Outcome::Hold, Outcome::Refuse] {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert_eq!("".parse::<Outcome>(), Err(()));
    }
}
