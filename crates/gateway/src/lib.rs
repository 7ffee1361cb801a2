//! The data plane: listeners, TLS and one driver per protocol.
//!
//! A driver joins a pure protocol session with two sockets, the audit log, the recording and the
//! approval desk. It moves bytes and waits; it decides nothing.
//!
//! Invariants:
//! - The two directions of a session never wait for each other: one task polls both.
//! - Nothing slow runs on the async workers: long texts are read on [`AnalysisPool`], disks are
//!   written by threads of the record crate.
//! - Handshakes have a deadline, one silent client delays nobody, and no address takes all the room.
//!
//! Deliberately absent: policy, SQL, command lines, the wire format. Known limits: one upstream connection per
//! session, never pooled, because a pooled one would carry one caller's state to another.
mod accept;
mod admission;
mod analysis;
mod arrivals;
pub mod classify;
mod connection;
mod credentials;
pub mod explain;
pub mod kubernetes;
mod live;
mod memory;
pub mod mysql;
mod parked;
pub mod postgres;
mod probe;
mod registry;
mod relay;
mod secret;
mod services;
mod snapshots;
pub mod ssh;
mod stream;
pub mod tls;

pub use analysis::AnalysisPool;
pub use arrivals::Arrivals;
pub use connection::{Authorities, ClientAuth, Connection, Upstream, UpstreamTls, WhenHeld};
pub use credentials::{Credential, Credentials, TooMany};
pub use doorward_postgres::Limits;
pub use memory::Memory;
pub use parked::kept_for;
pub use probe::{ProbeError, Probed};
pub use registry::{Registry, SessionSummary};
pub use secret::{Asking, Lent, Loan, LoginSource, MissingSecret, Rotating, UpstreamLogin};
pub use services::{Authenticate, Known, RejectedToken, Services};
