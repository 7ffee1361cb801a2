//! The Kubernetes API, but for HTTP itself: what a request means, refusals in the API's own words.
//!
//! | file | what is in it |
//! |---|---|
//! | `target.rs` | method, path and query → what the API server takes them for |
//! | `facts.rs` | a request, with what the cluster says of its object → facts |
//! | `split.rs` | an answer in JSON, while it comes → objects, rows of tables, events of watches |
//! | `json.rs` | JSON with one reading |
//! | `field.rs` | fields that are to be protected: kind and JSONPath |
//! | `veil.rs` | an object or a table → the same without what is hidden from the caller |
//! | `patch.rs` | JSON patches that look at values |
//! | `object.rs` | JSON of the API → labels, and what of pods matters for safety |
//! | `impersonate.rs` | `Impersonate-*` headers → rights, and written anew |
//! | `shown.rs` | what approvers are shown: the body, and of Secrets digests |
//! | `render.rs` | refusals → `Status` |
//! | `channel.rs` | the streams of `exec` and `attach` |
//! | `status.rs` | how a command ended, with values masked |
//! | `spdy/` | SPDY/3.1: frames, header blocks, streams |
//! | `codec.rs` | how requests stand in a recording |
//! | `copy.rs` | files that `kubectl cp` copies |
//! | `replay.rs` | a recording, readable; `exec` and `attach` as asciicast |
//!
//! Invariants: no clock, no randomness, no I/O; a path has one reading, and what is forwarded is written anew from it;
//! nothing panics on bytes of a peer.
//!
//! Deliberately absent: decoding what callers write. The API server does that, in a dry run, and its answer is what is
//! decided on (ADR 9). Known limits: `docs/protocols/kubernetes.md`.
pub mod channel;
pub mod codec;
pub mod copy;
pub mod facts;
pub mod field;
pub mod impersonate;
pub mod json;
pub mod object;
pub mod patch;
pub mod render;
pub mod replay;
pub mod shown;
pub mod spdy;
pub mod split;
pub mod status;
pub mod target;
pub mod veil;

pub use impersonate::{Impersonation, Naming};
pub use target::{Malformed, ResourcePath, Target, Verb};
