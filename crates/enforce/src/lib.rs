//! The policy enforcement point: facts in, outcome out, and the only door to the upstream.
//!
//! A protocol reads facts out of a request and asks [`Enforcer::decide`]. The answer is an
//! [`Outcome`]: forward with a [`Permit`] for exactly the bytes that were shown, hold for a human,
//! or refuse. Bytes of a caller reach the upstream through [`UpstreamQueue`], which takes a permit by
//! value, checks it against the bytes, and gives them to the network only once the audit entry of
//! the request is durable.
//!
//! Invariants:
//! - Fail closed: empty facts, an erring policy, a suspended recording or an audit log that cannot
//!   be written refuse the request.
//! - A [`Permit`] has private fields, is neither `Clone` nor constructible outside this crate.
//! - A [`Held`] request is settled once, by value, and only with the verdict on its own approval.
//! - What an agent does for a person has to be allowed to both ([`Subject::parties`]): a refusal to either refuses, an approval
//!   that either needs is asked for, and what either may not see is masked.
//! - Who approves is shown everything that would run ([`Shown`]), or is told what is not shown; what is too long to be shown is
//!   refused where it needs an approval.
//! - A caller who does not wait for people is decided by [`Enforcer::decide_at_once`]; an approval that is kept in [`Parked`]
//!   lets one request through, of the same caller and with the same bytes and facts.
//!
//! Deliberately absent: Cedar, databases, sockets, clocks, randomness. They come in through
//! [`DecisionPoint`], [`AuditSink`], [`ApprovalDesk`] and parameters.
mod approval;
mod audit;
mod enforcer;
mod parked;
mod pdp;
mod permit;
mod queue;
mod refusals;
mod session;
pub mod shown;
mod trace;

pub use approval::{
    ApprovalDesk, ApprovalRequest, ApprovalVerdict, Approver, Escalation, Requirement, unmet_requirement,
};
pub use audit::{Attributed, AuditSink, AuditUnavailable, Ticket};
pub use enforcer::{AtOnce, Enforcer, EnforcerParts, Held, MaskRule, Outcome, Request, Reveal, nothing_else};
pub use parked::{Parked, Waiting};
pub use pdp::{Circumstances, DecisionPoint, Detail, Party, PolicyInfo, SessionDecisions, Subject, Verdict};
pub use permit::{Permit, StreamPermit};
pub use queue::{GatewayMessage, PermitMismatch, UpstreamQueue};
pub use refusals::{Refusal, RefusalKind};
pub use session::{ProtocolSession, SessionEnd, SessionEvent};
pub use shown::{MOST_SHOWN, NotShown, Shown, ShownPart};
pub use trace::{HttpCall, TraceParent, TraceSink};
