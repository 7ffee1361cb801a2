//! The words every other crate speaks: who is calling, what is asked, on what, and what was recorded of it.
//!
//! Purpose: plain data with no behaviour beyond parsing, printing and comparing itself.
//!
//! Invariants:
//! - A [`Secret`] never shows its content in `Debug`, has no `Display`, and is wiped when dropped.
//! - A [`Resource`] prints as one canonical identifier: two resources with the same
//!   identifier are equal, whatever characters their names hold.
//!
//! Deliberately absent: clocks, randomness, I/O. Time comes in as a [`Timestamp`].
mod action;
mod administration;
mod audit;
mod audit_parts;
mod facts;
mod ids;
mod kubernetes;
mod operator;
mod principal;
mod resource;
mod secret;
mod text;
mod time;

pub use action::Action;
pub use administration::{Administration, AdministrationScope};
pub use audit::{AUDIT_KINDS, AuditEvent, AuditKind, ChatAccountId, Outcome as AuditOutcome};
pub use audit_parts::{ApprovalPart, SessionPart};
pub use facts::{Access, Facts};
pub use ids::{ApprovalId, ConnectionName, RequestId, SessionId};
pub use kubernetes::{ApiObject, Labels, Pod, PodSpec, SECRET_FIELDS};
pub use operator::{DateUnit, Operator, OperatorParseError};
pub use principal::{Delegation, Parties, Principal, PrincipalKind};
pub use resource::{ConnectionInfo, DataType, Name, Resource};
pub use secret::Secret;
pub use text::is_invisible;
pub use time::Timestamp;
