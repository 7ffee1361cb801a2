//! `doorward.toml`: read, checked, and turned into what the parts are made of.
mod connection;
mod credential;

pub(crate) use connection::{Backend, ConnectionConfig, Rotation};
pub(crate) use credential::{Credential, Given};

use crate::{
    exports::{self, ExportSection},
    notify,
    retention::RetentionSection,
    secrets::Slots,
    sources::{SecretsSection, Sources},
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_identity::IssuerConfig;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    #[serde(default)]
    pub(crate) identity: Identity,
    #[serde(default)]
    pub(crate) connections: Vec<ConnectionConfig>,
    #[serde(default)]
    pub(crate) policy: Policy,
    /// Where people are told that something waits for them.
    #[serde(default)]
    pub(crate) notify: Vec<notify::NotifySection>,
    #[serde(default)]
    pub(crate) exports: Vec<ExportSection>,
    /// The key of secrets in the store.
    #[serde(default)]
    pub(crate) secrets: SecretsSection,
    /// Credentials that may change while the gateway runs.
    #[serde(skip)]
    pub(crate) slots: Slots,
    /// Those that are kept elsewhere.
    #[serde(skip)]
    pub(crate) sources: Sources,
    #[serde(default)]
    pub(crate) retention: RetentionSection,
    #[serde(default)]
    pub(crate) telemetry: crate::telemetry::TelemetrySection,
    /// The folder that relative paths start from.
    #[serde(skip)]
    pub(crate) base: PathBuf,
    /// The file itself.
    #[serde(skip)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) state_dir: PathBuf,
    #[serde(default = "default_api")]
    pub(crate) api_listen: SocketAddr,
    pub(crate) public_url: Option<String>,
    pub(crate) tls: Option<Tls>,
    /// Groups whose members may list and end live sessions: a short way of writing a policy.
    #[serde(default)]
    pub(crate) operators: Vec<String>,
    /// How long people stay signed in.
    #[serde(default)]
    pub(crate) sessions: crate::sign_in::Sessions,
    /// How long live sessions may go on after SIGTERM, in seconds.
    #[serde(default = "default_drain")]
    pub(crate) drain_seconds: u64,
}

fn default_api() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8443))
}

const fn default_drain() -> u64 {
    10
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    #[serde(default)]
    pub(crate) issuers: Vec<IssuerConfig>,
    #[serde(default)]
    pub(crate) providers: Vec<crate::sign_in::Provider>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(default)]
    pub(crate) files: Vec<String>,
    /// A file of policies in place of the shipped roles.
    pub(crate) roles: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file. Errors name line and column.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| located(path, &text, &e))?;
        let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        path.clone_into(&mut config.file);
        config.base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
        for issuer in &mut config.identity.issuers {
            for path in [&mut issuer.jwks_file, &mut issuer.tls_ca, &mut issuer.token_file].into_iter().flatten() {
                // What is absolute stays so.
                *path = config.base.join(&*path);
            }
        }
        config.sources = Sources::new(&config).with_context(|| path.display().to_string())?;
        config.check().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// Tokens travel encrypted, or not further than this machine.
    fn check_place(&self, c: &ConnectionConfig) -> Result<()> {
        // SSH brings encryption of its own.
        if self.server.tls.is_none() && !c.listen.ip().is_loopback() && c.kind != "ssh" {
            bail!(
                "connection `{}` listens on {}, which is not loopback, and [server] has no tls: tokens would travel in clear",
                c.name,
                c.listen
            );
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        // Machines behind SSH may share an address; callers name them.
        let mut addresses = BTreeMap::from([(self.server.api_listen, "")]);
        for c in &self.connections {
            if c.name.is_empty() || c.name.contains('/') || c.name == "*" || c.name == "?" {
                bail!(
                    "connection `{}`: a name may not be empty, `*` or `?`, or hold a `/`, which policies read as a separator",
                    c.name
                );
            }
            if !names.insert(&c.name) {
                bail!("connection `{}` is defined twice", c.name);
            }
            let before = addresses.insert(c.listen, c.kind.as_str());
            if c.listen.port() != 0 && before.is_some_and(|kind| kind != "ssh" || c.kind != "ssh") {
                bail!("connection `{}`: {} is already in use in this file", c.name, c.listen);
            }
            self.check_place(c)?;
        }
        if self.server.tls.is_none() && !self.server.api_listen.ip().is_loopback() {
            bail!("api_listen {} is not loopback, and [server] has no tls", self.server.api_listen);
        }
        if self.policy.files.is_empty() {
            bail!(
                "[policy] names no files: with no policy everything is refused; write files = [\"policies/*.cedar\"]"
            );
        }
        for c in &self.connections {
            self.backend(c)?;
        }
        IssuerConfig::validate_all(&self.identity.issuers)?;
        self.check_sign_in()?;
        self.retention.check()?;
        self.telemetry.check(self)?;
        exports::check(self)?;
        notify::check(self)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path(&self.server.state_dir)
    }

    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        if path.is_absolute() { path.to_path_buf() } else { self.base.join(path) }
    }
}

fn located(path: &Path, text: &str, e: &toml::de::Error) -> anyhow::Error {
    let at = e.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        format!(":{line}:{column}")
    });
    anyhow!("{}{at}: {}", path.display(), e.message())
}

#[cfg(test)]
mod tests;
