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
use doorward_notify::{ChannelConfig, Mail, Notifiers, SlackButtons, Source, Target};
use doorward_record::AuditLog;
use doorward_store::Store;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

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
    /// slack: the app's signing secret: there are buttons to decide with.
    signing_secret: Option<Credential>,
    /// slack: the workspace whose accounts may press them.
    team: Option<String>,
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

/// The buttons of the configuration, by the names of the sections.
pub(crate) fn buttons(config: &Config) -> Result<BTreeMap<String, SlackButtons>> {
    let of = |s: &NotifySection| s.buttons(config).map(|b| b.map(|b| (s.name.clone(), b))).transpose();
    config.notify.iter().filter_map(of).collect()
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
                buttons: self.buttons(config)?.is_some(),
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

    /// Buttons in Slack; none where nothing is said of them.
    fn buttons(&self, config: &Config) -> Result<Option<SlackButtons>> {
        match (&self.signing_secret, &self.team) {
            (None, None) => Ok(None),
            (Some(secret), Some(team)) => {
                Ok(Some(SlackButtons::new(team, &config.resolved(secret)?, self.url.as_deref())?))
            }
            _ => bail!("`signing_secret` and `team` go together: buttons are of one workspace"),
        }
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
        let fields: [(&str, bool, &[Kind]); 10] = [
            ("url", self.url.is_some(), &[Webhook, Slack]),
            ("channel", self.channel.is_some(), &[Slack]),
            ("signing_secret", self.signing_secret.is_some(), &[Slack]),
            ("team", self.team.is_some(), &[Slack]),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(section: &str) -> Result<(), String> {
        let text = format!(
            "[server]\nstate_dir = \"state\"\napi_listen = \"127.0.0.1:8443\"\n[policy]\nfiles = [\"p.cedar\"]\n[[notify]]\nname = \"x\"\n{section}"
        );
        let config: Config = toml::from_str(&text).map_err(|e| e.to_string())?;
        check(&config).map_err(|e| format!("{e:#}"))?;
        buttons(&config).map(drop).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn buttons_have_a_secret_and_a_workspace() {
        let slack = "kind = \"slack\"\nchannel = \"C1\"\nsecret = { value = \"xoxb-1\" }\n";
        let with = |more: &str| checked(&format!("{slack}{more}"));
        let secret = "signing_secret = { value = \"8f742231b10e8888abcd99yyyzzz85a5\" }\n";
        assert_eq!(with(""), Ok(()));
        assert_eq!(with(&format!("{secret}team = \"T1\"")), Ok(()));
        assert!(with(secret).unwrap_err().contains("go together"));
        assert!(with("team = \"T1\"").unwrap_err().contains("go together"));
        assert!(with(&format!("{secret}team = \"acme.slack.com\"")).unwrap_err().contains("no identifier"));
        let short = "signing_secret = { value = \"x\" }\nteam = \"T1\"";
        assert!(with(short).unwrap_err().contains("at least 16"));
        let teams = format!("kind = \"teams\"\nsecret = {{ value = \"https://x.example/\" }}\n{secret}team = \"T1\"");
        assert!(checked(&teams).unwrap_err().contains("means nothing"));
    }
}
