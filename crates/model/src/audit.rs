//! What the audit log holds: asked, decided, approved, done.
use crate::{ApprovalId, ConnectionName, Facts, Parties, Principal, RequestId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Sent on.
    Forward,
    /// Waits for a human.
    Hold,
    /// Not sent on.
    Refuse,
}

/// An account of a chat, by what the chat itself knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatAccountId {
    /// Which chat: `slack`.
    pub chat: String,
    /// The workspace's identifier.
    pub team: String,
    /// The account's identifier there.
    pub user: String,
}

impl std::fmt::Display for ChatAccountId {
    /// `slack T0123/U0123`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.chat, self.team, self.user)
    }
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When it happened (UTC).
    pub time: Timestamp,
    /// In which session, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Whose it is, where an agent acts for a person: both, in every entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parties: Option<Arc<Parties>>,
    /// What happened.
    #[serde(flatten)]
    pub kind: AuditKind,
}

/// The names of all kinds of entries, as in the log.
pub const AUDIT_KINDS: [&str; 17] = [
    "gateway_started",
    "gateway_stopped",
    "session_opened",
    "authenticated",
    "authentication_failed",
    "session_ended",
    "request",
    "completed",
    "file_copied",
    "approval_requested",
    "approval_decided",
    "approval_escalated",
    "approval_ended",
    "fault",
    "cancel",
    "policy_changed",
    "administration",
];

/// What an audit entry says. No variant holds a credential or a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AuditKind {
    /// The gateway began to serve.
    GatewayStarted {
        /// The version of the program.
        version: String,
        /// The policy version in force.
        policy_version: String,
    },
    /// The gateway ended in an orderly way.
    GatewayStopped {},
    /// A client connected to a connection's endpoint.
    SessionOpened {
        /// The connection.
        connection: ConnectionName,
        /// The client's address.
        client: String,
    },
    /// The caller proved who they are.
    Authenticated {
        /// Who.
        principal: Principal,
        /// The user name the client gave.
        user: String,
        /// How, where it was not by a token: `short-lived credential`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The caller did not prove who they are. The client only ever hears the same message.
    AuthenticationFailed {
        /// The user name the client gave.
        user: String,
        /// The precise reason.
        reason: String,
    },
    /// A session ended.
    SessionEnded {
        /// Why.
        reason: String,
        /// Bytes received from the client.
        client_bytes: u64,
        /// Bytes sent to the client.
        upstream_bytes: u64,
    },
    /// A request was decided.
    Request {
        /// Its number in the session.
        request: RequestId,
        /// What was done with it.
        outcome: Outcome,
        /// How it reached us: `query`, `parse`, `execute`, `function call`, `startup`.
        via: String,
        /// The text, cut to a bounded length.
        statement: Arc<str>,
        /// SHA-256 of the bytes decided on, in hexadecimal.
        digest: String,
        /// The rights it asked for.
        facts: Arc<Facts>,
        /// The policies that decided.
        policies: Arc<[String]>,
        /// The policy version they come from.
        policy_version: Arc<str>,
        /// For a refusal: why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The approval it waits for or was let through by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<ApprovalId>,
    },
    /// The upstream has answered a forwarded request.
    Completed {
        /// Which request.
        request: RequestId,
        /// The command tag, or the SQLSTATE of the error.
        result: String,
        /// Rows sent to the caller.
        rows: u64,
        /// Values masked in them.
        masked: u64,
    },
    /// A file went through: over `kubectl cp`, SFTP.
    FileCopied {
        /// The file, as the protocol named it.
        path: String,
        /// `uploaded` or `downloaded`.
        direction: String,
        /// Its size.
        bytes: u64,
        /// SHA-256 of what went, in hexadecimal; none where it is not known, or for what is no plain file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// An approval was asked for.
    ApprovalRequested {
        /// Which.
        approval: ApprovalId,
        /// The request that waits.
        request: RequestId,
        /// Any of these groups may decide, per requirement.
        approvers: Vec<Vec<String>>,
        /// Until when.
        expires: Timestamp,
    },
    /// Somebody gave a verdict.
    ApprovalDecided {
        /// Which.
        approval: ApprovalId,
        /// Yes or no.
        approved: bool,
        /// Who.
        by: String,
        /// What they said.
        comment: String,
        /// Whether they broke the glass: let it through alone, in an emergency.
        #[serde(default, skip_serializing_if = "is_false")]
        break_glass: bool,
        /// The account of a chat that it came from; none where it was given on a page or by the API.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<ChatAccountId>,
    },
    /// Nobody decided for a while: others are asked, too.
    ApprovalEscalated {
        /// Which.
        approval: ApprovalId,
        /// Who is asked from now on.
        groups: Vec<String>,
    },
    /// An approval ended without a use: `expired`, `withdrawn`.
    ApprovalEnded {
        /// Which.
        approval: ApprovalId,
        /// Why.
        reason: String,
    },
    /// A peer did what its protocol does not allow, or something of ours failed.
    Fault {
        /// Who is at fault: `client`, `upstream`, `gateway`.
        at_fault: String,
        /// What happened.
        what: String,
    },
    /// A cancel request arrived.
    Cancel {
        /// Whether its key belonged to a live session.
        known: bool,
    },
    /// The policies in force changed, or a change was turned down.
    PolicyChanged {
        /// The version in force now.
        policy_version: String,
        /// Why a change was turned down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// Somebody used an administrative right.
    Administration {
        /// Who.
        by: String,
        /// What they did.
        what: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_false(b: &bool) -> bool {
    !*b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed() {
        // serde names what it would have accepted.
        let told = serde_json::from_str::<AuditKind>(r#"{"event":"nosuch"}"#).unwrap_err().to_string();
        let expected: Vec<String> = AUDIT_KINDS.iter().map(|k| format!("`{k}`")).collect();
        assert!(told.contains(&format!("expected one of {}", expected.join(", "))), "{told}");
    }
}
