//! MySQL and MariaDB as a pure state machine: bytes and verdicts in, bytes and events out.
//!
//! | file | what is in it |
//! |---|---|
//! | `codec.rs` | bytes ↔ packets, commands, answers, rows, compressed envelopes |
//! | `capabilities.rs` | what both sides agree to speak |
//! | `startup.rs` | the handshake, from both sides |
//! | `auth.rs` | the gateway's own log-in upstream |
//! | `login.rs` | the caller's log-in at the gateway |
//! | `secrets.rs` | what of a client's bytes is not to be recorded |
//! | `password.rs` | what is kept of a short-lived password, and proofs of it |
//! | `facts.rs` | command → facts |
//! | `grammar.rs` | text → facts, by `doorward-sql`'s grammar |
//! | `session.rs` | the state machine after log-in (`requests`, `answers`, `reveal`) |
//! | `mask.rs` | rows and errors, masked |
//! | `render.rs` | outcomes and faults → native bytes |
//! | `replay.rs` | a recording, readable |
//!
//! Invariants: no clock, no randomness of its own (RSA's padding is the crypto library's), no I/O; packets are cut by
//! their declared length before anything reads them and are read to their last byte; nothing panics on bytes of a peer.
//!
//! Deliberately absent: sockets and TLS (the gateway's), policy and storage (above the enforcement point). Known limits: `docs/protocols/mysql.md`.
pub mod auth;
pub mod capabilities;
pub mod codec;
pub mod facts;
pub mod grammar;
pub mod login;
mod mask;
mod password;
pub mod render;
pub mod replay;
mod secrets;
pub mod session;
pub mod startup;

pub use auth::UpstreamAuth;
pub use capabilities::Capabilities;
pub use login::ClientLogin;
pub use password::KeptPassword;
pub use session::{Answer, Event, Hold, Limits, Question, Session, SessionParts};
