//! The policy administration point: people decide held requests, and see and end sessions.
//!
//! Purpose: [`Desk`] keeps held requests until people, time or the caller end them; [`serve`] offers
//! a REST interface to people, and the web pages; [`Client`] uses it from the command line.
//!
//! Invariants:
//! - A verdict counts once it is durable in the audit log and stored, and never afterwards is lost.
//! - An approval ends once. Its requester never decides it; one person gives one verdict.
//! - Every endpoint asks the policies ([`Rights`]) before it does anything.
//! - Every route but `health`, `ready`, those of signing in and what Slack signs needs a token, a session or a key; what is not a person's
//!   business looks as if it were not there.
//! - A certificate or credential that was issued is in the audit log before anybody has it.
//! - Whatever an unknown peer sends is bounded in size and time.
//!
//! Deliberately absent: validation of tokens ([`TokenCheck`]) and of everything else that is shown (`doorward-signin`), the
//! live sessions ([`LiveSessions`]).
//!
//! Known limits: HTTP/1.1 only. Bad tokens are audited at whatever rate they come. The 512 places for
//! connections are shared by all addresses, and a connection may keep its place for an hour. A watch
//! that lags sees what is pending, not each change it missed. Sessions by a text in their statements are looked for in the newest 100,000
//! entries, all else in the store. One principal has a share of readings and streams; many principals together can still take all of them.
//! Names of connections in the configuration file are what its writer
//! says, also over what was done under the same name before. Answers for `Idempotency-Key` and verifications are in memory. Texts of callers (statements, comments)
//! are passed on as they are: who prints them to a terminal has to escape control characters.
mod api;
mod backtest;
mod client;
mod credentials;
mod desk;
mod evidence;
mod failures;
mod index;
mod metrics;
mod policies;
mod problem;
pub mod recordings;
mod rights;
mod serve;
mod signin;
mod ssh;
mod types;
mod web;

pub use api::{
    ApiState, ConnectionAccess, ConnectionFailure, Expected, ExportAccess, LiveSessions, Records, SecretAccess,
    SecretFailure, TokenAnswer, TokenCheck, Vitals, openapi,
};
pub use client::{Client, ClientError, form_urlencoded};
pub use credentials::{CredentialAccess, NoCredential};
pub use desk::{Change, DecideError, Desk, MAX_COMMENT};
pub use evidence::Evidence;
pub use failures::Failures;
pub use index::Index;
pub use metrics::{Metrics, Readings};
pub use policies::{PolicyBook, PolicyError};
pub use rights::{KnownConnection, Rights};
pub use serve::serve;
pub use signin::{CliCredential, DevicePolled, DeviceStart, ProviderList, ProviderView};
pub use ssh::SshAccess;
pub use types::*;
pub use web::{IssuerView, NotifierView, SetUp, WebParts};
