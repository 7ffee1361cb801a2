//! What every format says of an entry: its kind, how grave it is, a line for people.
use doorward_model::{AuditKind, AuditOutcome as Outcome};

/// How grave an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// As it should be.
    Info,
    /// Worth to know: something waits for people, rights were used.
    Notice,
    /// Somebody was refused, a peer misbehaved.
    Warning,
    /// Something of ours failed.
    Error,
}

impl Severity {
    /// RFC 5424 §6.2.1.
    pub(crate) const fn syslog(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Notice => 5,
            Self::Warning => 4,
            Self::Error => 3,
        }
    }

    /// `severity_id` of OCSF: informational, low, medium, high.
    pub(crate) const fn ocsf(self) -> u8 {
        match self {
            Self::Info => 1,
            Self::Notice => 2,
            Self::Warning => 3,
            Self::Error => 4,
        }
    }

    /// 0 to 10: low, low, medium, high.
    pub(crate) const fn cef(self) -> u8 {
        match self {
            Self::Info => 1,
            Self::Notice => 3,
            Self::Warning => 6,
            Self::Error => 8,
        }
    }

    /// `SeverityNumber` of OpenTelemetry, with its short name.
    pub(crate) const fn otlp(self) -> (u8, &'static str) {
        match self {
            Self::Info => (9, "INFO"),
            Self::Notice => (10, "INFO2"),
            Self::Warning => (13, "WARN"),
            Self::Error => (17, "ERROR"),
        }
    }
}

pub(crate) fn severity(kind: &AuditKind) -> Severity {
    match kind {
        AuditKind::Request { outcome, .. } => match outcome {
            Outcome::Forward => Severity::Info,
            Outcome::Hold => Severity::Notice,
            Outcome::Refuse => Severity::Warning,
        },
        AuditKind::AuthenticationFailed { .. }
        | AuditKind::ApprovalEnded { .. }
        | AuditKind::ApprovalEscalated { .. } => Severity::Warning,
        AuditKind::ApprovalDecided { break_glass: true, .. } => Severity::Error,
        AuditKind::Fault { at_fault, .. } if at_fault == "gateway" => Severity::Error,
        AuditKind::Fault { .. } => Severity::Warning,
        AuditKind::PolicyChanged { refused: Some(_), .. } => Severity::Error,
        AuditKind::PolicyChanged { .. }
        | AuditKind::GatewayStarted { .. }
        | AuditKind::GatewayStopped {}
        | AuditKind::ApprovalRequested { .. }
        | AuditKind::ApprovalDecided { .. }
        | AuditKind::Administration { .. } => Severity::Notice,
        AuditKind::SessionOpened { .. }
        | AuditKind::Authenticated { .. }
        | AuditKind::SessionEnded { .. }
        | AuditKind::Completed { .. }
        | AuditKind::FileCopied { .. }
        | AuditKind::Cancel { .. } => Severity::Info,
    }
}

/// What a hold, a forward or a refusal is called.
pub(crate) const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Forward => "forwarded",
        Outcome::Hold => "held",
        Outcome::Refuse => "refused",
    }
}

/// A short line for people. No statement is in it: that has a field of its own.
pub(crate) fn message(kind: &AuditKind) -> String {
    match kind {
        AuditKind::GatewayStarted { version, .. } => format!("Doorward {version} started"),
        AuditKind::GatewayStopped {} => "Doorward stopped".to_owned(),
        AuditKind::SessionOpened { connection, .. } => format!("client connected to {connection}"),
        AuditKind::Authenticated { principal, .. } => format!("{} authenticated", principal),
        AuditKind::AuthenticationFailed { reason, .. } => format!("authentication failed: {reason}"),
        AuditKind::SessionEnded { reason, .. } => format!("session ended: {reason}"),
        AuditKind::Request { outcome: o, facts, .. } => format!("{} {}", facts.command, outcome(*o)),
        AuditKind::Completed { result, rows, masked, .. } => {
            format!("completed: {result}, {rows} rows, {masked} values masked")
        }
        AuditKind::FileCopied { direction, bytes, .. } => format!("file {direction}, {bytes} bytes"),
        AuditKind::ApprovalRequested { .. } => "approval requested".to_owned(),
        AuditKind::ApprovalDecided { break_glass: true, by, comment, .. } => format!("GLASS BROKEN by {by}: {comment}"),
        AuditKind::ApprovalEscalated { groups, .. } => format!("approval escalated to {}", groups.join(", ")),
        AuditKind::ApprovalDecided { approved: true, by, .. } => format!("approved by {by}"),
        AuditKind::ApprovalDecided { approved: false, by, .. } => format!("denied by {by}"),
        AuditKind::ApprovalEnded { reason, .. } => format!("approval ended: {reason}"),
        AuditKind::Fault { at_fault, what } => format!("fault of the {at_fault}: {what}"),
        AuditKind::Cancel { known: true } => "cancel request for a live session".to_owned(),
        AuditKind::Cancel { known: false } => "cancel request for no live session".to_owned(),
        AuditKind::PolicyChanged { refused: Some(_), .. } => "policy change turned down".to_owned(),
        AuditKind::PolicyChanged { policy_version, .. } => format!("policy version {policy_version} in force"),
        AuditKind::Administration { by, what } => format!("{by}: {what}"),
    }
}
