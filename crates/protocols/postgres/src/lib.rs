//! PostgreSQL as a pure state machine: bytes and verdicts in, bytes and events out.
//!
//! | file | what is in it |
//! |---|---|
//! | `codec.rs` | bytes ↔ messages |
//! | `startup.rs` | what a StartupMessage asks for |
//! | `facts.rs` | message → facts |
//! | `session.rs` | the state machine after log-in (`requests`, `answers`; `reveal`, `veil`, `order`, `tells` for what is hidden) |
//! | `pipeline.rs`, `names.rs`, `settings.rs` | what is owed, what names stand for, what settings change |
//! | `mask.rs`, `copy.rs` | rows and COPY data, masked |
//! | `shown.rs` | values of parameters, for who approves |
//! | `render.rs` | outcomes and faults → native bytes |
//! | `auth.rs` | the gateway's own log-in upstream |
//! | `replay.rs` | a recording, readable |
//!
//! Invariants: no clock, no randomness, no I/O; frames are cut by their declared length before
//! anything reads them and are read to their last byte; nothing panics on bytes of a peer.
//!
//! Deliberately absent: sockets and TLS (the gateway's), policy and storage (above the
//! enforcement point). Known limits: `docs/protocols/postgres.md`.
pub mod auth;
pub mod codec;
mod copy;
mod copy_in;
mod facts;
mod mask;
mod names;
mod pipeline;
pub mod render;
pub mod replay;
mod session;
mod settings;
mod shown;
pub mod startup;

pub use auth::{ScramKeys, UpstreamAuth};
pub use session::{Answer, Event, Limits, Question, Session, SessionParts};
