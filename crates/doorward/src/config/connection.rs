//! `[[connections]]`: one table, what it has to be, and what it is made into.
use super::{Config, Credential};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::ConnectionSpec;
use doorward_gateway::{
    Authorities, ClientAuth, Connection, Rotating, Upstream, UpstreamTls, WhenHeld,
    kubernetes::{Fields, KubernetesConnection, Naming},
    ssh::{HostKeys, SshConnection, SshCredential, parse_host_keys, private_key},
};
use doorward_model::{ConnectionInfo, ConnectionName};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionConfig {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) listen: SocketAddr,
    upstream: String,
    database: Option<String>,
    user: Option<String>,
    pub(super) credential: Option<Credential>,
    tls: Option<String>,
    tls_ca: Option<PathBuf>,
    /// The authorities themselves, in PEM: of a connection in the store.
    #[serde(skip)]
    ca_pem: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    auth: Option<Auth>,
    /// SSH: host keys that the upstream may show, each as in a `.pub` file.
    host_keys: Option<Vec<String>>,
    /// SSH: a file of `known_hosts` in which the upstream's keys are.
    known_hosts: Option<PathBuf>,
    /// SSH: the first key that the upstream shows is kept, and no other is accepted from then on.
    #[serde(default)]
    trust_on_first_use: bool,
    /// Kubernetes: whether callers wait while people are asked; they do where it is not given.
    held: Option<Held>,
    /// Kubernetes: in whose name the gateway speaks to the API server.
    impersonate: Option<Impersonate>,
    /// Kubernetes: what stands before users and groups of callers there; `doorward:` where it is not given.
    impersonate_prefix: Option<String>,
    /// Kubernetes: the tag of the caller that is its user name there; `issuer/subject` where it is not given.
    impersonate_tag: Option<String>,
    #[serde(default)]
    audit: Audit,
    /// What becomes of live sessions when the credential is replaced.
    #[serde(default)]
    pub(crate) rotation: Rotation,
    #[serde(default = "default_sessions")]
    max_sessions: usize,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, BTreeSet<String>>,
}

const fn default_sessions() -> usize {
    10_000
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Auth {
    Password,
    Oauthbearer,
}

/// What becomes of a caller whose request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Held {
    /// It waits.
    Wait,
    /// It is refused, and asks again.
    Retry,
}

/// In whose name the gateway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Impersonate {
    /// The caller's.
    Caller,
}

/// What becomes of live sessions when the upstream's credential is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rotation {
    /// They go on.
    #[default]
    Keep,
    /// They end.
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Audit {
    #[default]
    Strict,
    BestEffort,
}

/// A connection, ready to be served.
#[derive(Clone)]
pub(crate) enum Backend {
    Postgres(Box<Connection>),
    MySql(Box<Connection>, WhenHeld),
    Ssh(Box<SshConnection>),
    Kubernetes(Box<KubernetesConnection>),
}

impl Backend {
    /// What policies know of it.
    pub(crate) const fn info(&self) -> &Arc<ConnectionInfo> {
        match self {
            Self::Postgres(c) | Self::MySql(c, _) => &c.info,
            Self::Ssh(c) => &c.info,
            Self::Kubernetes(c) => &c.info,
        }
    }

    /// The same, with another credential.
    pub(crate) fn with_credential(mut self, credential: Rotating) -> Result<Self> {
        match &mut self {
            Self::Postgres(c) | Self::MySql(c, _) => c.upstream.password = Some(credential),
            Self::Kubernetes(c) => c.upstream.password = Some(credential),
            Self::Ssh(c) => {
                if let Ok(text) = credential.current() {
                    private_key(&text).map_err(|e| anyhow!("the credential is {e}"))?;
                }
                c.credential = Some(SshCredential::Secret(credential));
            }
        }
        Ok(self)
    }

    /// Its name, and where it listens.
    pub(crate) fn place(&self) -> (ConnectionName, SocketAddr) {
        match self {
            Self::Postgres(c) | Self::MySql(c, _) => (c.info.name.clone(), c.listen),
            Self::Ssh(c) => (c.info.name.clone(), c.listen),
            Self::Kubernetes(c) => (c.info.name.clone(), c.listen),
        }
    }

    /// Where it leads to.
    pub(crate) fn upstream(&self) -> String {
        match self {
            Self::Postgres(c) | Self::MySql(c, _) => format!("{}:{}", c.upstream.host, c.upstream.port),
            Self::Ssh(c) => format!("{}:{}", c.host, c.port),
            Self::Kubernetes(c) => format!("{}:{}", c.upstream.host, c.upstream.port),
        }
    }
}

impl ConnectionConfig {
    fn host_and_port(&self) -> Result<(String, u16)> {
        let upstream = &self.upstream;
        let (host, port) =
            upstream.rsplit_once(':').ok_or_else(|| anyhow!("upstream `{upstream}` is not host:port"))?;
        let port = port.parse().map_err(|_| anyhow!("upstream `{upstream}`: `{port}` is not a port"))?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "[]/@?#\\".contains(c);
        // `fe80::1%eth0` names an interface.
        let is_address = bare.split('%').next().is_some_and(|b| b.parse::<IpAddr>().is_ok());
        if bare.is_empty() || bare.chars().any(is_odd) || (bare.contains(':') && !is_address) {
            bail!("upstream `{}`: `{}` is no host", upstream.escape_debug(), host.escape_debug());
        }
        Ok((bare.to_owned(), port))
    }

    fn for_kubernetes(&self) -> Result<()> {
        self.without(&[
            ("host_keys", self.host_keys.is_some()),
            ("known_hosts", self.known_hosts.is_some()),
            ("trust_on_first_use", self.trust_on_first_use),
            ("database", self.database.is_some()),
            ("user", self.user.is_some()),
            ("auth", self.auth.is_some()),
        ])
    }

    fn for_postgres(&self) -> Result<()> {
        self.without(&self.of_clusters())?;
        self.without(&[
            ("host_keys", self.host_keys.is_some()),
            ("known_hosts", self.known_hosts.is_some()),
            ("trust_on_first_use", self.trust_on_first_use),
        ])
    }

    fn for_mysql(&self) -> Result<()> {
        self.without(&[
            ("impersonate", self.impersonate.is_some()),
            ("impersonate_prefix", self.impersonate_prefix.is_some()),
            ("impersonate_tag", self.impersonate_tag.is_some()),
            ("host_keys", self.host_keys.is_some()),
            ("known_hosts", self.known_hosts.is_some()),
            ("trust_on_first_use", self.trust_on_first_use),
            ("auth", self.auth.is_some()),
        ])
    }

    fn held(&self) -> WhenHeld {
        match self.held {
            None | Some(Held::Wait) => WhenHeld::Wait,
            Some(Held::Retry) => WhenHeld::Retry,
        }
    }

    fn for_ssh(&self) -> Result<()> {
        self.without(&self.of_clusters())?;
        self.without(&[
            ("database", self.database.is_some()),
            ("tls", self.tls.is_some()),
            ("tls_ca", self.tls_ca.is_some() || self.ca_pem.is_some()),
            ("tls_cert", self.tls_cert.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("auth", self.auth.is_some()),
        ])
    }

    fn of_clusters(&self) -> [(&'static str, bool); 4] {
        [
            ("held", self.held.is_some()),
            ("impersonate", self.impersonate.is_some()),
            ("impersonate_prefix", self.impersonate_prefix.is_some()),
            ("impersonate_tag", self.impersonate_tag.is_some()),
        ]
    }

    fn naming(&self) -> Result<Option<Naming>> {
        if self.impersonate.is_none() {
            if self.impersonate_prefix.is_some() || self.impersonate_tag.is_some() {
                bail!("impersonate_prefix and impersonate_tag mean nothing without impersonate = \"caller\"");
            }
            return Ok(None);
        }
        let prefix = self.impersonate_prefix.clone().unwrap_or_else(|| "doorward:".to_owned());
        if prefix.starts_with("system:") || prefix.trim() != prefix || prefix.chars().any(char::is_control) {
            bail!(
                "impersonate_prefix `{}`: Kubernetes keeps `system:` for itself, and takes blanks off",
                prefix.escape_debug()
            );
        }
        Ok(Some(Naming { prefix, tag: self.impersonate_tag.clone() }))
    }

    /// What means nothing for a kind of connection is a mistake.
    fn without(&self, fields: &[(&str, bool)]) -> Result<()> {
        match fields.iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => bail!("`{name}` means nothing for kind \"{}\": take it out", self.kind),
            None => Ok(()),
        }
    }
}

impl Config {
    /// A connection of the store, as a table of the file would be.
    pub(crate) fn stored(&self, name: &str, spec: &ConnectionSpec) -> Result<ConnectionConfig> {
        let ConnectionSpec { secret, authority, tls_ca, listen, .. } = spec;
        if listen.parse::<SocketAddr>().is_err() {
            bail!("`listen`: `{}` is not an address with a port, such as 127.0.0.1:6432", listen.escape_debug());
        }
        let mut table = serde_json::to_value(spec)?;
        if let Some(table) = table.as_object_mut() {
            // What the file has as paths or in a table of its own.
            table.retain(|key, _| !matches!(key.as_str(), "secret" | "authority" | "tls_ca"));
            table.insert("name".into(), name.into());
            match (secret, authority) {
                (Some(secret), false) => drop(table.insert("credential".into(), json!({ "secret": secret }))),
                (None, true) => drop(table.insert("credential".into(), json!({ "authority": true }))),
                (Some(_), true) => bail!("`secret` and `authority`: one of them"),
                (None, false) => {}
            }
        }
        let mut c: ConnectionConfig = serde_json::from_value(table)?;
        c.ca_pem.clone_from(tls_ca);
        self.check_place(&c)?;
        if c.listen.port() == 0 {
            bail!("`listen`: callers have to know the port, so it may not be 0");
        }
        if c.listen == self.server.api_listen {
            bail!("`listen`: {} is the address of the API and the pages", c.listen);
        }
        if !(1..=1_000_000).contains(&c.max_sessions) {
            bail!("`max_sessions` has to be from 1 to 1,000,000");
        }
        Ok(c)
    }

    /// A connection with its credential resolved.
    pub(crate) fn backend(&self, c: &ConnectionConfig) -> Result<Backend> {
        let built = match c.kind.as_str() {
            "postgres" => c.for_postgres().and_then(|()| self.postgres(c)).map(|p| Backend::Postgres(Box::new(p))),
            "mysql" => c.for_mysql().and_then(|()| self.postgres(c)).map(|p| Backend::MySql(Box::new(p), c.held())),
            "ssh" => c.for_ssh().and_then(|()| self.ssh(c)).map(|s| Backend::Ssh(Box::new(s))),
            "kubernetes" => {
                c.for_kubernetes().and_then(|()| self.kubernetes(c)).map(|k| Backend::Kubernetes(Box::new(k)))
            }
            kind => Err(anyhow!(
                "kind `{kind}` is not supported by this version: use \"postgres\", \"mysql\", \"ssh\" or \"kubernetes\""
            )),
        };
        built.map_err(|e| anyhow!("connection `{}`: {e:#}", c.name))
    }

    pub(super) fn postgres(&self, c: &ConnectionConfig) -> Result<Connection> {
        let (host, port) = c.host_and_port()?;
        Ok(Connection {
            info: self.info(c),
            listen: c.listen,
            upstream: self.upstream(c, host, port)?,
            database: c.database.clone(),
            client_auth: match c.auth {
                None | Some(Auth::Password) => ClientAuth::Password,
                Some(Auth::Oauthbearer) => ClientAuth::OAuth,
            },
            strict_audit: c.audit == Audit::Strict,
            max_sessions: c.max_sessions,
            limits: doorward_gateway::Limits::default(),
        })
    }

    fn upstream(&self, c: &ConnectionConfig, host: String, port: u16) -> Result<Upstream> {
        let tls: UpstreamTls = c.tls.as_deref().unwrap_or("verify-full").parse().map_err(|e: String| anyhow!(e))?;
        let tls_client = match (&c.tls_cert, &c.tls_key) {
            (Some(cert), Some(key)) => Some((self.path(cert), self.path(key))),
            (None, None) => None,
            _ => bail!("tls_cert and tls_key go together"),
        };
        Ok(Upstream {
            host,
            port,
            user: c.user.clone(),
            password: self.secret(c)?,
            tls,
            tls_ca: match &c.ca_pem {
                Some(pem) => Some(Authorities::Pem(pem.clone())),
                None => c.tls_ca.as_ref().map(|p| Authorities::File(self.path(p))),
            },
            tls_client,
        })
    }

    fn kubernetes(&self, c: &ConnectionConfig) -> Result<KubernetesConnection> {
        let (host, port) = c.host_and_port()?;
        let tags = c.tags.keys().map(String::as_str);
        Ok(KubernetesConnection {
            fields: Arc::new(Fields::new(tags).context("tags")?),
            info: self.info(c),
            listen: c.listen,
            upstream: self.upstream(c, host, port)?,
            impersonate: c.naming()?,
            held: c.held(),
            strict_audit: c.audit == Audit::Strict,
            max_sessions: c.max_sessions,
        })
    }

    fn ssh(&self, c: &ConnectionConfig) -> Result<SshConnection> {
        let (host, port) = c.host_and_port()?;
        let credential = match self.secret(c)? {
            None if c.credential.as_ref().is_some_and(Credential::is_authority) => Some(SshCredential::Authority),
            None => None,
            Some(secret) => {
                // One that is still to come is looked at when it is used.
                if let Ok(text) = secret.current() {
                    private_key(&text).map_err(|e| anyhow!("the credential is {e}"))?;
                }
                Some(SshCredential::Secret(secret))
            }
        };
        Ok(SshConnection {
            info: self.info(c),
            listen: c.listen,
            host_keys: self.host_keys(c, &host, port)?,
            host,
            port,
            user: c.user.clone(),
            credential,
            strict_audit: c.audit == Audit::Strict,
            max_sessions: c.max_sessions,
        })
    }

    fn host_keys(&self, c: &ConnectionConfig, host: &str, port: u16) -> Result<HostKeys> {
        match (&c.host_keys, &c.known_hosts, c.trust_on_first_use) {
            (Some(keys), None, false) => Ok(HostKeys::Known(parse_host_keys(&keys.join("\n"), host, port)?)),
            (None, Some(path), false) => {
                let path = self.path(path);
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let keys = parse_host_keys(&text, host, port).with_context(|| path.display().to_string())?;
                Ok(HostKeys::Known(keys))
            }
            (None, None, true) => {
                Ok(HostKeys::FirstUse(self.state_dir().join("keys").join(format!("known-host-{}.pub", c.name))))
            }
            _ => bail!(
                "say which host keys the upstream may show: exactly one of host_keys = [\"ssh-ed25519 AAAA…\"], \
                 known_hosts = \"FILE\", trust_on_first_use = true"
            ),
        }
    }

    /// What policy knows of a connection.
    pub(crate) fn info(&self, c: &ConnectionConfig) -> Arc<ConnectionInfo> {
        Arc::new(ConnectionInfo {
            name: ConnectionName::new(&c.name),
            kind: c.kind.clone(),
            database: c.database.as_deref().map(Into::into),
            labels: c.labels.clone(),
            tags: c.tags.clone(),
        })
    }
}
