//! SSH, but for its transport: what channels and their requests mean, refusals, recordings.
//!
//! | file | what is in it |
//! |---|---|
//! | `facts.rs` | requests of RFC 4254 and OpenSSH's → facts |
//! | `sftp.rs` | SFTP as a pure state machine: each operation decided |
//! | `transfer.rs` | streams of scp, rsync, git: looked through |
//! | `editor.rs` | the line that a caller types into a governed shell |
//! | `completion.rs` | what Tab adds to it |
//! | `shown.rs` | what approvers are shown besides the line |
//! | `render.rs` | outcomes → lines on standard error |
//! | `codec.rs` | how channels stand in a recording |
//! | `replay.rs` | a recording, readable; terminals as asciicast |
//!
//! Invariants: no clock, no randomness, no I/O; nothing panics on bytes of a peer; no control character of a
//! peer's reaches a terminal through a message of ours.
//!
//! Deliberately absent: the transport of RFC 4253 and its encryption, log-in, flow control: a library has
//! them, and the gateway drives it. Known limits: `docs/protocols/ssh.md`.
pub mod codec;
pub mod completion;
pub mod editor;
pub mod facts;
pub mod render;
pub mod replay;
pub mod sftp;
pub mod shown;
pub mod transfer;

pub use doorward_shell::{Login, Protocol, is_incomplete};
