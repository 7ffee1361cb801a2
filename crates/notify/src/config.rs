//! What a channel is made of.
use doorward_model::Secret;
use std::path::PathBuf;

/// What is wrong with the configuration of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// An e-mail account to send from.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS comes first (`smtps`); else STARTTLS is demanded, but on loopback.
    pub implicit_tls: bool,
    /// PEM file of the authorities to trust; those of the system without it.
    pub ca: Option<PathBuf>,
    /// User name and password.
    pub account: Option<(String, Secret<String>)>,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// Where messages go.
#[derive(Clone, Debug)]
pub enum Target {
    /// JSON by POST, signed as Standard Webhooks are.
    Webhook {
        /// Where to.
        url: String,
        /// The key of the signature.
        secret: Secret<String>,
    },
    /// Slack's Web API, with a bot's token.
    Slack {
        /// The API, if not Slack's own.
        api: Option<String>,
        /// The bot's token (`xoxb-…`).
        token: Secret<String>,
        /// The channel's identifier.
        channel: String,
        /// Whether there are buttons to decide with: then somebody has to take what they send.
        buttons: bool,
    },
    /// A workflow of Microsoft Teams that posts what it gets.
    Teams {
        /// The workflow's address, which is a secret itself.
        url: Secret<String>,
    },
    /// E-mail by SMTP.
    Mail(Box<Mail>),
}

impl Target {
    /// The word for it in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Mail(_) => "mail",
        }
    }
}

/// One channel.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Its name: what its cursor is kept under.
    pub name: String,
    /// Where to.
    pub target: Target,
    /// Only approvals that one of these groups may decide; all where it is empty.
    pub groups: Vec<String>,
    /// Only approvals on these connections; all where it is empty.
    pub connections: Vec<String>,
    /// Whether the statement is in the message; else only its command.
    pub statement: bool,
}
