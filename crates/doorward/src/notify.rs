//! `[[notify]]`: read, checked, started.
use crate::{
    BadConfiguration,
    config::{Config, Credential},
    connections::check_name,
    directory::Directory,
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::NotifierView;
use doorward_model::Secret;
use doorward_notify::{ChannelConfig, Mail, Notifiers, Source, Target};
use doorward_record::AuditLog;
use doorward_store::Store;
use serde::Deserialize;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// One `[[notify]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifySection {
    name: String,
    kind: Kind,
    /// Only approvals that one of these groups may decide.
    #[serde(default)]
    groups: Vec<String>,
    /// Only approvals on these connections.
    #[serde(default)]
    connections: Vec<String>,
    /// Whether the statement is in the message.
    #[serde(default = "yes")]
    statement: bool,
    /// webhook: where to; slack: the API, if not Slack's own.
    url: Option<String>,
    /// webhook: the key of the signature; slack: the bot's token; teams: the workflow's address; mail: the password.
    secret: Option<Credential>,
    /// slack: the channel's identifier.
    channel: Option<String>,
    /// mail: host:port.
    address: Option<String>,
    /// mail: whether TLS comes first; else STARTTLS.
    implicit_tls: Option<bool>,
    tls_ca: Option<PathBuf>,
    /// mail: the user name.
    user: Option<String>,
    /// mail: the sender.
    from: Option<String>,
    /// mail: the recipients.
    #[serde(default)]
    to: Vec<String>,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Webhook,
    Slack,
    Teams,
    Mail,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Mail => "mail",
        }
    }
}

/// Checks every section.
pub(crate) fn check(config: &Config) -> Result<()> {
    let mut names = BTreeSet::new();
    for section in &config.notify {
        let ready = section.ready(config)?;
        if !names.insert(&section.name) {
            bail!("notify `{}` is defined twice", section.name);
        }
        for name in section.connections.iter().filter(|n| !config.connections.iter().any(|c| c.name == **n)) {
            // It may be in the store, now or later; but only if it could be.
            check_name(name).map_err(|_| anyhow!("notify `{}`: `{name}` cannot be a connection", section.name))?;
        }
        Notifiers::check(&ready).map_err(|e| anyhow!("notify `{}`: {e}", section.name))?;
    }
    Ok(())
}

/// Starts the channels of the configuration.
pub(crate) fn start(config: &Config, audit: &Arc<AuditLog>, store: &Store, known: &Directory) -> Result<Notifiers> {
    for section in &config.notify {
        for name in section.connections.iter().filter(|n| known.find(n).is_none()) {
            tracing::warn!("notify `{}`: there is no connection `{name}`, unless it is registered yet", section.name);
        }
    }
    let configs =
        config.notify.iter().map(|s| s.ready(config)).collect::<Result<Vec<_>>>().context(BadConfiguration)?;
    for c in &configs {
        tracing::info!("people are told through `{}` ({})", c.name, c.target.kind());
    }
    let source = Source {
        dir: audit.dir().to_owned(),
        audit: Arc::clone(audit) as _,
        head: audit.head(),
        store: store.clone(),
        public_url: config.public_url(),
    };
    Ok(Notifiers::start(&source, configs)?)
}

impl NotifySection {
    /// For the page of settings.
    pub(crate) fn view(&self) -> NotifierView {
        NotifierView {
            name: self.name.clone(),
            kind: self.kind.as_str(),
            groups: self.groups.clone(),
            connections: self.connections.clone(),
        }
    }

    /// With its secret resolved.
    fn ready(&self, config: &Config) -> Result<ChannelConfig> {
        self.target(config).map_err(|e| anyhow!("notify `{}`: {e:#}", self.name))
    }

    fn target(&self, config: &Config) -> Result<ChannelConfig> {
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            bail!("a name is made of letters, digits, `-` and `_`");
        }
        self.only_what_means_something()?;
        let secret = self.secret.as_ref().map(|c| config.resolved(c)).transpose()?;
        let needed = |what: &str| {
            secret.clone().ok_or_else(|| anyhow!("kind \"{}\" needs `secret`, {what}", self.kind.as_str()))
        };
        let need = |value: &Option<String>, field: &str| {
            value.clone().ok_or_else(|| anyhow!("kind \"{}\" needs `{field}`", self.kind.as_str()))
        };
        let target = match self.kind {
            Kind::Webhook => {
                Target::Webhook { url: need(&self.url, "url")?, secret: needed("the key of the signature")? }
            }
            Kind::Slack => Target::Slack {
                api: self.url.clone(),
                token: needed("the bot's token")?,
                channel: need(&self.channel, "channel")?,
            },
            Kind::Teams => Target::Teams { url: needed("the workflow's address")? },
            Kind::Mail => Target::Mail(Box::new(self.mail(config, secret)?)),
        };
        Ok(ChannelConfig {
            name: self.name.clone(),
            target,
            groups: self.groups.clone(),
            connections: self.connections.clone(),
            statement: self.statement,
        })
    }

    fn mail(&self, config: &Config, secret: Option<Secret<String>>) -> Result<Mail> {
        let address = self.address.as_deref().ok_or_else(|| anyhow!("kind \"mail\" needs `address`, host:port"))?;
        let (host, port) = address.rsplit_once(':').ok_or_else(|| anyhow!("`{address}` is not host:port"))?;
        let account = match (&self.user, secret) {
            (Some(user), Some(password)) => Some((user.clone(), password)),
            (None, None) => None,
            _ => bail!("user and secret go together"),
        };
        Ok(Mail {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.parse().map_err(|_| anyhow!("`{port}` is not a port"))?,
            implicit_tls: self.implicit_tls.unwrap_or(false),
            ca: self.tls_ca.as_ref().map(|p| config.path(p)),
            account,
            from: self.from.clone().ok_or_else(|| anyhow!("kind \"mail\" needs `from`"))?,
            to: self.to.clone(),
        })
    }

    /// What means nothing for a kind is a mistake.
    fn only_what_means_something(&self) -> Result<()> {
        use Kind::{Mail, Slack, Webhook};
        let fields: [(&str, bool, &[Kind]); 8] = [
            ("url", self.url.is_some(), &[Webhook, Slack]),
            ("channel", self.channel.is_some(), &[Slack]),
            ("address", self.address.is_some(), &[Mail]),
            ("implicit_tls", self.implicit_tls.is_some(), &[Mail]),
            ("tls_ca", self.tls_ca.is_some(), &[Mail]),
            ("user", self.user.is_some(), &[Mail]),
            ("from", self.from.is_some(), &[Mail]),
            ("to", !self.to.is_empty(), &[Mail]),
        ];
        match fields.iter().find(|(_, is_set, kinds)| *is_set && !kinds.contains(&self.kind)) {
            Some((name, ..)) => bail!("`{name}` means nothing for kind \"{}\": take it out", self.kind.as_str()),
            None => Ok(()),
        }
    }
}
