//! The policy decision point: Cedar behind the enforcement point's trait.
//!
//! ```text
//! files ── load() ──> Loaded (all policies, checked against the schema, found by their scopes)
//!                       └─ Engine::open(subject) ──> what a scope can match of principal and connection
//!                                              └─ decide(access) ──> slice by action and type ──> Verdict
//! ```
//!
//! Invariants:
//! - Default deny; an error in evaluating any policy of a slice makes the verdict an error.
//! - A slice holds every policy that could decide the request: what a scope rules out is left out,
//!   nothing else. A property test holds it against plain Cedar over the whole set.
//! - A bad set never replaces a good one.
//! - One issuer's groups are never taken for another's: see `entities::groups`.
//!
//! Deliberately absent: SQL, sockets, storage, clocks. Facts and time come in as parameters.
//!
//! Known limits:
//! - Policies are static: no templates.
//! - Conditions can read the attributes of the principal, the resource and the connection, and ask `in`
//!   of any entity; the attributes of other entities (`Table::"orders/public.x".tags`) are not known, and
//!   a policy that reads them refuses what it bears on.
//! - `/` separates names in identifiers: names of connections and issuers must not hold one.
mod administration;
mod annotations;
mod backtest;
mod cases;
mod catalogues;
mod context;
mod detail;
mod engine;
mod entities;
mod explain;
mod index;
mod kubernetes;
mod load;
mod reads;
mod source;
mod tags;

pub use administration::{Administered, ROLES};
pub use backtest::{Judge, Judged};
pub use cases::{CaseFile, CaseResult, ReadFacts};
pub use engine::{Engine, Loaded};
pub use explain::{ApprovalNeeded, Deciding, Explanation, Step, explain};
pub use load::load;
pub use source::{LoadError, Source, read_files};
pub use tags::{Named, Naming};

/// The schema that policies are checked against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
