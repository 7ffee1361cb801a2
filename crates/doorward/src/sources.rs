//! `[secrets.vault]`, `[secrets.aws]`, `[secrets.kubernetes]`, `[secrets.named]`: secrets that are kept elsewhere.
use crate::config::{Config, Credential, Given};
use anyhow::{Result, anyhow, bail};
use doorward_gateway::{Asking, Lent, Loan, LoginSource, Rotating, UpstreamLogin};
use doorward_model::Secret;
use doorward_secrets::{
    AwsSecrets, AwsSettings, Given as Shown, InUse, KubernetesSecrets, KubernetesSettings, Login, Provider, Rules,
    Source, SourceTls, Vault, VaultAuth, VaultSettings,
};
use parking_lot::Mutex;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;

/// A source that no connection uses is closed when nobody has asked it for so long.
const IDLE: Duration = Duration::from_secs(60);
/// How long leases may take to be given back when the gateway ends.
const LEAVING: Duration = Duration::from_secs(10);

/// Which secret, kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outside {
    pub(crate) place: Place,
    pub(crate) field: Option<String>,
}

/// Where, and its path there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Vault(String),
    Aws(String),
    Kubernetes(String),
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, path) = match &self.place {
            Place::Vault(path) => ("vault", path),
            Place::Aws(path) => ("aws", path),
            Place::Kubernetes(path) => ("kubernetes", path),
        };
        write!(f, "{what} {path}")?;
        self.field.as_ref().map_or(Ok(()), |field| write!(f, " ({field})"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultSection {
    address: String,
    namespace: Option<String>,
    auth: VaultMethod,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
enum VaultMethod {
    Token {
        token: Credential,
    },
    Approle {
        role_id: String,
        secret_id: Credential,
        #[serde(default = "approle")]
        mount: String,
    },
    Kubernetes {
        role: String,
        #[serde(default = "service_account")]
        jwt: PathBuf,
        #[serde(default = "kubernetes")]
        mount: String,
    },
    Jwt {
        role: String,
        jwt: PathBuf,
        #[serde(default = "jwt")]
        mount: String,
    },
}

fn approle() -> String {
    "approle".to_owned()
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn jwt() -> String {
    "jwt".to_owned()
}

fn service_account() -> PathBuf {
    "/var/run/secrets/kubernetes.io/serviceaccount/token".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsSection {
    region: String,
    endpoint: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Credential>,
    tls_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesSection {
    server: Option<String>,
    token_file: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

/// `[secrets]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretsSection {
    /// The key of secrets in the store.
    pub(crate) key: Option<Credential>,
    /// Keys that have wrapped secrets before.
    #[serde(default)]
    pub(crate) old_keys: Vec<Credential>,
    vault: Option<VaultSection>,
    aws: Option<AwsSection>,
    kubernetes: Option<KubernetesSection>,
    /// Names under which connections of the store know some of them.
    #[serde(default)]
    named: BTreeMap<String, Credential>,
    /// How long what a source said is used.
    cache_seconds: Option<u64>,
    /// How much longer, while the source is away.
    last_good_seconds: Option<u64>,
}

impl SecretsSection {
    /// What `[secrets.named]` says of a name.
    pub(crate) fn named(&self, name: &str) -> Result<Option<Outside>> {
        let Some(credential) = self.named.get(name) else { return Ok(None) };
        match credential.given() {
            Ok(Given::Outside(outside)) => Ok(Some(outside)),
            Ok(_) | Err(_) => {
                bail!(
                    "[secrets.named] {name}: it has to be one of vault, aws, kubernetes, with its `field` if it needs one"
                )
            }
        }
    }

    /// All names, and what they stand for.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, Outside)> {
        self.named.keys().filter_map(|name| Some((name.as_str(), self.named(name).ok()??)))
    }
}

type Shared = Arc<dyn Provider>;

/// The sources that are configured, and the secrets of theirs that are in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    vault: Option<Shared>,
    aws: Option<Shared>,
    kubernetes: Option<Shared>,
    rules: Rules,
    open: Mutex<BTreeMap<Outside, Arc<Source>>>,
}

impl Default for Inner {
    fn default() -> Self {
        let rules = Rules { fresh: Duration::from_secs(60), last_good: Duration::ZERO };
        Self { vault: None, aws: None, kubernetes: None, rules, open: Mutex::default() }
    }
}

impl Sources {
    /// Of `[secrets]`. Nothing is asked for yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let elsewhere = &config.secrets;
        let fresh = elsewhere.cache_seconds.unwrap_or(60);
        if fresh > 3600 {
            bail!("[secrets] cache_seconds: at most an hour, 3600");
        }
        for name in elsewhere.named.keys() {
            elsewhere.named(name)?;
        }
        let made = |what: &str, e: &dyn fmt::Display| anyhow!("[secrets.{what}]: {e:#}");
        let vault = elsewhere.vault.as_ref().map(|s| vault(config, s)).transpose();
        let aws = elsewhere.aws.as_ref().map(|s| aws(config, s)).transpose();
        let kubernetes = elsewhere.kubernetes.as_ref().map(|s| cluster(config, s)).transpose();
        Ok(Self(Arc::new(Inner {
            vault: vault.map_err(|e| made("vault", &e))?,
            aws: aws.map_err(|e| made("aws", &e))?,
            kubernetes: kubernetes.map_err(|e| made("kubernetes", &e))?,
            rules: Rules {
                fresh: Duration::from_secs(fresh),
                last_good: Duration::from_secs(elsewhere.last_good_seconds.unwrap_or(0)),
            },
            open: Mutex::default(),
        })))
    }

    /// The credential of a connection.
    pub(crate) fn rotating(&self, outside: &Outside) -> Result<Rotating> {
        let (provider, section, path) = match &outside.place {
            Place::Vault(path) => {
                Vault::check(path)?;
                (&self.0.vault, "vault", path)
            }
            Place::Aws(path) => {
                if path.is_empty() || path.len() > 2048 {
                    bail!("credential: aws = \"NAME or ARN\"");
                }
                (&self.0.aws, "aws", path)
            }
            Place::Kubernetes(path) => {
                KubernetesSecrets::check(path)?;
                (&self.0.kubernetes, "kubernetes", path)
            }
        };
        let provider = provider.as_ref().ok_or_else(|| {
            anyhow!("credential = {{ {section} = \"{path}\" }} needs a [secrets.{section}] that says where it is")
        })?;
        let mut open = self.0.open.lock();
        let source = open
            .entry(outside.clone())
            .or_insert_with(|| Source::new(Arc::clone(provider), path, outside.field.as_deref(), self.0.rules));
        Ok(Rotating::asked(&outside.to_string(), Arc::new(Asked(Arc::clone(source)))))
    }

    /// A secret that is asked for once, such as the key of the store.
    pub(crate) async fn once(&self, outside: &Outside) -> Result<Secret<String>> {
        self.rotating(outside)?;
        let source = self.0.open.lock().get(outside).cloned();
        let asked = source.ok_or_else(|| anyhow!("`{outside}` is not known"))?.login().await;
        Ok(asked.map_err(|e| anyhow!("{outside}: {e}"))?.password)
    }

    fn providers(&self) -> impl Iterator<Item = &Shared> {
        [&self.0.vault, &self.0.aws, &self.0.kubernetes].into_iter().flatten()
    }

    /// Renews what has to be renewed, asks again for what is no longer fresh, and gives back what nobody uses. Says which
    /// values took the place of others, by how often they did.
    pub(crate) async fn tend(&self, used: &BTreeSet<Outside>) -> BTreeMap<Outside, u64> {
        let mut work = JoinSet::new();
        for provider in self.providers() {
            let provider = Arc::clone(provider);
            work.spawn(async move { provider.tend().await });
        }
        let open = self.0.open.lock().clone();
        for (outside, source) in &open {
            let (source, is_used) = (Arc::clone(source), used.contains(outside));
            work.spawn(async move {
                if is_used || !source.is_idle(IDLE).await {
                    source.tend().await;
                } else {
                    source.rest().await;
                }
            });
        }
        while work.join_next().await.is_some() {}
        open.into_iter().map(|(outside, source)| (outside, source.generation())).collect()
    }

    /// Gives leases and tokens back.
    pub(crate) async fn close(&self) {
        let given_back = async {
            let mut work = JoinSet::new();
            for source in self.0.open.lock().values() {
                let source = Arc::clone(source);
                work.spawn(async move { source.close().await });
            }
            while work.join_next().await.is_some() {}
            for provider in self.providers() {
                provider.close().await;
            }
        };
        if tokio::time::timeout(LEAVING, given_back).await.is_err() {
            tracing::warn!("not all leases and tokens were given back in time: they end by themselves");
        }
        for (outside, source) in self.0.open.lock().iter() {
            let leases = source.not_given_back();
            if !leases.is_empty() {
                let leases = leases.join(", ");
                tracing::warn!(
                    "leases of {outside} were not revoked, and end by themselves (SHA-256 of their ids): {leases}"
                );
            }
        }
    }
}

/// A source, as the gateway asks it.
struct Asked(Arc<Source>);

/// That somebody is logged in.
struct Kept(InUse);

impl Loan for Kept {
    fn worked(&self) {
        self.0.worked();
    }
}

fn login(login: Login) -> UpstreamLogin {
    UpstreamLogin { user: login.user, password: login.password, lent: Lent::new(Kept(login.in_use)) }
}

impl LoginSource for Asked {
    fn login(&self) -> Asking<'_, Result<UpstreamLogin, String>> {
        Box::pin(async { self.0.login().await.map(login).map_err(|e| e.to_string()) })
    }

    fn refused<'a>(&'a self, shown: &'a UpstreamLogin) -> Asking<'a, Option<UpstreamLogin>> {
        Box::pin(async {
            let (user, password) = (shown.user.clone(), shown.password.clone());
            let shown = Login { user, password, in_use: InUse::default() };
            self.0.refused(&shown).await.map(login)
        })
    }
}

fn tls(config: &Config, ca: Option<&PathBuf>, cert: Option<&PathBuf>, key: Option<&PathBuf>) -> Result<SourceTls> {
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some((config.path(cert), config.path(key))),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => bail!("tls_cert and tls_key go together"),
    };
    Ok(SourceTls { ca: ca.map(|p| config.path(p)), client })
}

/// Files are read when they are needed, because whoever writes them does so again.
fn shown(config: &Config, credential: &Credential) -> Result<Shown> {
    Ok(match credential.given()? {
        Given::File(path) => Shown::File(config.path(&path)),
        Given::Env(_) | Given::Value(_) => Shown::Text(config.resolved(credential)?),
        Given::Stored(_) | Given::Outside(_) | Given::Authority | Given::Command(_) => {
            bail!("it takes one of file, env, value")
        }
    })
}

fn vault(config: &Config, s: &VaultSection) -> Result<Shared> {
    let auth = match &s.auth {
        VaultMethod::Token { token } => VaultAuth::Token(shown(config, token)?),
        VaultMethod::Approle { role_id, secret_id, mount } => {
            VaultAuth::AppRole { mount: mount.clone(), role_id: role_id.clone(), secret_id: shown(config, secret_id)? }
        }
        VaultMethod::Kubernetes { role, jwt, mount } | VaultMethod::Jwt { role, jwt, mount } => {
            VaultAuth::Jwt { mount: mount.clone(), role: role.clone(), jwt: Shown::File(config.path(jwt)) }
        }
    };
    let tls = tls(config, s.tls_ca.as_ref(), s.tls_cert.as_ref(), s.tls_key.as_ref())?;
    let settings = VaultSettings { address: s.address.clone(), namespace: s.namespace.clone(), auth, tls };
    Ok(Arc::new(Vault::new(settings)?))
}

fn aws(config: &Config, s: &AwsSection) -> Result<Shared> {
    let key = match (&s.access_key_id, &s.secret_access_key) {
        (Some(id), Some(secret)) => Some((id.clone(), config.resolved(secret)?)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => bail!("access_key_id and secret_access_key go together"),
    };
    let tls = tls(config, s.tls_ca.as_ref(), None, None)?;
    let settings = AwsSettings { region: s.region.clone(), endpoint: s.endpoint.clone(), key, tls };
    Ok(Arc::new(AwsSecrets::new(settings)?))
}

fn cluster(config: &Config, s: &KubernetesSection) -> Result<Shared> {
    let tls = tls(config, s.tls_ca.as_ref(), s.tls_cert.as_ref(), s.tls_key.as_ref())?;
    let token_file = s.token_file.as_ref().map(|p| config.path(p));
    Ok(Arc::new(KubernetesSecrets::new(KubernetesSettings { server: s.server.clone(), token_file, tls })?))
}
