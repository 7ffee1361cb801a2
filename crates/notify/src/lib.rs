//! Tells people that something waits for them, where they are: webhook, Slack, Microsoft Teams, e-mail.
//!
//! Purpose: each channel follows the audit log for approvals that were asked for, decided or ended, looks them up in the
//! store, and sends a message with a link to the page on which they are decided.
//!
//! Invariants:
//! - A message decides nothing, and neither does its link: who follows it has to sign in.
//! - At least once: a channel's cursor is in the store, and moves only after the other side took the message. What is no
//!   longer pending is not asked for any more.
//! - One channel that fails holds up neither another nor the gateway.
//! - What callers wrote is text in a message and nothing else: no markup, no control characters, cut to a bounded length.
//!
//! Deliberately absent: verdicts from within a chat. They would be by whoever holds the chat account, which is no principal.
//!
//! Known limits: a channel that was added begins with what happens from then on.
mod channel;
mod config;
mod follow;
mod notice;

pub use config::{ChannelConfig, Mail, Misconfigured, Target};
pub use follow::{Notifiers, Source};
