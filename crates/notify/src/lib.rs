//! Tells people that something waits for them, where they are: webhook, Slack, Microsoft Teams, e-mail.
//!
//! Purpose: each channel follows the audit log for approvals that were asked for, decided or ended, looks them up in the
//! store, and sends a message with a link to the page on which they are decided.
//!
//! Invariants:
//! - A message decides nothing, and neither does its link: who follows it has to sign in.
//! - A button in Slack says which account pressed it, a command which typed it. Nothing that comes is read before its signature is right, nothing is answered
//!   but to Slack, and whose the account is, and whether they may, is not this crate's to know.
//! - At least once: a channel's cursor is in the store, and moves only after the other side took the message. What is no
//!   longer pending is not asked for any more.
//! - One channel that fails holds up neither another nor the gateway.
//! - What callers wrote is text in a message and nothing else: no markup, no control characters, cut to a bounded length.
//!
//! Deliberately absent: verdicts. A chat account is no principal: `control` asks `signin` whose it is.
//!
//! Known limits: a channel that was added begins with what happens from then on. Buttons in Slack alone: in Microsoft Teams there are links.
//! Presses are remembered in memory: after a restart one may come again within five minutes, and the desk refuses a second verdict.
mod buttons;
mod channel;
mod config;
mod follow;
mod notice;

pub use buttons::{Command, MOST_PRESSED, NotPressed, Pressed, SlackButtons, SlackUser, Verdict};
pub use channel::SendError;
pub use config::{ChannelConfig, Mail, Misconfigured, Target};
pub use follow::{Notifiers, Source};
