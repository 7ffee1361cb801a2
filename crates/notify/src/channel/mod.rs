//! How a message is put into the words of a channel, and sent.
use crate::{
    config::{ChannelConfig, Misconfigured, Target},
    notice::Notice,
};
use std::time::Duration;

pub(crate) mod http;
mod mail;
mod slack;
mod teams;
mod webhook;

/// Why a message was not taken. No secret and nothing of the message is in it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SendError {
    pub(crate) what: String,
    /// How long the other side asked us to wait.
    pub(crate) wait: Option<Duration>,
}

impl SendError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), wait: None }
    }
}

#[derive(Debug)]
pub(crate) enum Channel {
    Webhook(webhook::Webhook),
    Slack(slack::Slack),
    Teams(teams::Teams),
    Mail(Box<mail::Mailer>),
}

impl Channel {
    /// Checks the configuration; connects nowhere.
    pub(crate) fn new(config: &ChannelConfig) -> Result<Self, Misconfigured> {
        Ok(match &config.target {
            Target::Webhook { url, secret } => Self::Webhook(webhook::Webhook::new(url, secret)?),
            Target::Slack { api, token, channel, buttons } => {
                Self::Slack(slack::Slack::new(api.as_deref(), token, channel, *buttons)?)
            }
            Target::Teams { url } => Self::Teams(teams::Teams::new(url)?),
            Target::Mail(mail) => Self::Mail(Box::new(mail::Mailer::new(mail)?)),
        })
    }

    pub(crate) async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        match self {
            Self::Webhook(c) => c.send(notice).await,
            Self::Slack(c) => c.send(notice).await,
            Self::Teams(c) => c.send(notice).await,
            Self::Mail(c) => c.send(notice).await,
        }
    }
}
