//! `[[exports]]`: read, checked, started.
use crate::{BadConfiguration, config::Config, directory::Directory};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::{ConnectionSpec, ExportAccess, ExportFailure, ExportView};
use doorward_enforce::{AuditSink as _, Ticket};
use doorward_export::{ExportConfig, Exporters, Format, Kinds, Pace, S3Target, Source, Target, TlsFiles};
use doorward_model::{AUDIT_KINDS, Secret, Timestamp};
use doorward_record::AuditLog;
use doorward_store::Store;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::poll_fn,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long exporters may take for what is left when the gateway ends; the rest goes with the next start.
const AT_THE_END: Duration = Duration::from_secs(5);

pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// One `[[exports]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportSection {
    name: String,
    kind: Kind,
    format: Option<Written>,
    /// Only these kinds of entries.
    #[serde(default)]
    events: Vec<String>,
    /// file: where to.
    path: Option<PathBuf>,
    /// syslog: host:port.
    address: Option<String>,
    /// http, splunk-hec, otlp: where to; s3: the store, if not Amazon's.
    url: Option<String>,
    /// http: the key of the signature; splunk-hec, otlp: the token; s3: the secret key.
    secret: Option<SecretSource>,
    /// syslog: false for plain TCP, on loopback only.
    tls: Option<bool>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// splunk-hec: the index.
    index: Option<String>,
    /// splunk-hec: whether to wait for the indexers.
    acknowledge: Option<bool>,
    bucket: Option<String>,
    prefix: Option<String>,
    region: Option<String>,
    access_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    File,
    Syslog,
    Http,
    SplunkHec,
    Otlp,
    S3,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syslog => "syslog",
            Self::Http => "http",
            Self::SplunkHec => "splunk-hec",
            Self::Otlp => "otlp",
            Self::S3 => "s3",
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    Json,
    Ocsf,
    Cef,
}

/// Where a secret comes from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretSource {
    env: Option<String>,
    file: Option<PathBuf>,
    value: Option<String>,
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSource([secret])")
    }
}

/// Checks every section.
pub(crate) fn check(config: &Config) -> Result<()> {
    let mut names = BTreeSet::new();
    for section in &config.exports {
        let ready = section.ready(config)?;
        if !names.insert(&section.name) {
            bail!("export `{}` is defined twice", section.name);
        }
        Exporters::check(&ready)?;
    }
    Ok(())
}

/// Starts the exporters of the configuration.
pub(crate) async fn start(
    config: &Config,
    audit: &Arc<AuditLog>,
    store: &Store,
    directory: &Directory,
) -> Result<Arc<Exporters>> {
    let configs =
        config.exports.iter().map(|s| s.ready(config)).collect::<Result<Vec<_>>>().context(BadConfiguration)?;
    // Those of the store are served in a moment; entries of theirs may be read before.
    let kind = |spec: &str| Some(serde_json::from_str::<ConnectionSpec>(spec).ok()?.kind);
    let stored = store.connections().await?.into_iter().filter_map(|row| Some((row.name, kind(&row.spec)?)));
    let (directory, stored) = (directory.clone(), stored.collect::<BTreeMap<_, _>>());
    let kinds = Kinds::new(move |name| directory.kind(name).or_else(|| stored.get(name).cloned()));
    let source = Source { dir: audit.dir().to_owned(), audit: Arc::clone(audit) as _, store: store.clone(), kinds };
    for c in &configs {
        tracing::info!("audit log exported to `{}` ({})", c.name, c.target.kind());
    }
    Ok(Arc::new(Exporters::start(&source, configs, &Pace::default()).await?))
}

/// How they stand, for the API.
#[derive(Debug)]
pub(crate) struct Statuses(pub(crate) Arc<Exporters>);

impl ExportAccess for Statuses {
    fn list(&self) -> Vec<ExportView> {
        let view = |s: doorward_export::Status| ExportView {
            name: s.name,
            kind: s.kind.to_owned(),
            state: s.state.as_str().to_owned(),
            position: s.position.map(|head| head.seq),
            acknowledged: s.acknowledged,
            rejected: s.rejected,
            lag: s.lag,
            oldest_unsent: s.oldest_unsent,
            last_success: s.last_success,
            last_error: s.last_error.map(|(time, what)| ExportFailure { time, what }),
            failures: s.failures,
        };
        self.0.statuses().into_iter().map(view).collect()
    }
}

/// Lets them send what there is, the last entry too.
pub(crate) async fn stop(exporters: &Exporters, audit: &AuditLog) {
    let last = Ticket(audit.head().seq);
    // A log that can write no more is reported where it is closed.
    let _ = tokio::time::timeout(AT_THE_END, poll_fn(|cx| audit.poll_committed(last, cx))).await;
    exporters.stop(AT_THE_END).await;
}

impl ExportSection {
    /// With its secret resolved.
    fn ready(&self, config: &Config) -> Result<ExportConfig> {
        self.target(config).map_err(|e| anyhow!("export `{}`: {e:#}", self.name))
    }

    fn target(&self, config: &Config) -> Result<ExportConfig> {
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            bail!("a name is made of letters, digits, `-` and `_`");
        }
        if let Some(unknown) = self.events.iter().find(|e| !AUDIT_KINDS.contains(&e.as_str())) {
            bail!("`{unknown}` is no kind of entry: there are {}", AUDIT_KINDS.join(", "));
        }
        self.only_what_means_something()?;
        let tls = self.tls_files(config)?;
        let secret = self.secret(config)?;
        let need = |value: &Option<String>, field: &str| {
            value.clone().ok_or_else(|| anyhow!("kind \"{}\" needs `{field}`", self.kind.as_str()))
        };
        let target = match self.kind {
            Kind::File => {
                let path = self.path.as_ref().ok_or_else(|| anyhow!("kind \"file\" needs `path`"))?;
                Target::File { path: config.path(path) }
            }
            Kind::Syslog => {
                let (host, port) = host_and_port(&need(&self.address, "address")?)?;
                Target::Syslog { host, port, tls: self.tls.unwrap_or(true).then_some(tls) }
            }
            Kind::Http => Target::Http { url: need(&self.url, "url")?, secret, tls },
            Kind::SplunkHec => Target::SplunkHec {
                url: need(&self.url, "url")?,
                token: secret.ok_or_else(|| anyhow!("kind \"splunk-hec\" needs `secret`, the collector's token"))?,
                acknowledge: self.acknowledge.unwrap_or(false),
                index: self.index.clone(),
                tls,
            },
            Kind::Otlp => Target::Otlp { url: need(&self.url, "url")?, token: secret, tls },
            Kind::S3 => Target::S3(S3Target {
                bucket: need(&self.bucket, "bucket")?,
                prefix: self.prefix.clone().unwrap_or_default(),
                region: self.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
                endpoint: self.url.clone(),
                key: match (&self.access_key, secret) {
                    (Some(id), Some(secret)) => Some((id.clone(), secret)),
                    (None, None) => None,
                    _ => bail!("access_key and secret go together"),
                },
            }),
        };
        let format = match self.format {
            None | Some(Written::Ocsf) => Format::Ocsf,
            Some(Written::Json) => Format::Json,
            Some(Written::Cef) => Format::Cef,
        };
        Ok(ExportConfig { name: self.name.clone(), target, format, events: self.events.clone() })
    }

    /// What means nothing for a kind is a mistake.
    fn only_what_means_something(&self) -> Result<()> {
        use Kind::{File, Http, Otlp, S3, SplunkHec, Syslog};
        let fields: [(&str, bool, &[Kind]); 14] = [
            ("path", self.path.is_some(), &[File]),
            ("address", self.address.is_some(), &[Syslog]),
            ("url", self.url.is_some(), &[Http, SplunkHec, Otlp, S3]),
            ("secret", self.secret.is_some(), &[Http, SplunkHec, Otlp, S3]),
            ("tls", self.tls.is_some(), &[Syslog]),
            ("tls_ca", self.tls_ca.is_some(), &[Syslog, Http, SplunkHec, Otlp]),
            ("tls_cert", self.tls_cert.is_some(), &[Syslog, Http, SplunkHec, Otlp]),
            ("tls_key", self.tls_key.is_some(), &[Syslog, Http, SplunkHec, Otlp]),
            ("index", self.index.is_some(), &[SplunkHec]),
            ("acknowledge", self.acknowledge.is_some(), &[SplunkHec]),
            ("bucket", self.bucket.is_some(), &[S3]),
            ("prefix", self.prefix.is_some(), &[S3]),
            ("region", self.region.is_some(), &[S3]),
            ("access_key", self.access_key.is_some(), &[S3]),
        ];
        match fields.iter().find(|(_, is_set, kinds)| *is_set && !kinds.contains(&self.kind)) {
            Some((name, ..)) => bail!("`{name}` means nothing for kind \"{}\": take it out", self.kind.as_str()),
            None => Ok(()),
        }
    }

    fn tls_files(&self, config: &Config) -> Result<TlsFiles> {
        let client = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((config.path(cert), config.path(key))),
            (None, None) => None,
            _ => bail!("tls_cert and tls_key go together"),
        };
        let files = TlsFiles { ca: self.tls_ca.as_ref().map(|p| config.path(p)), client };
        if self.tls == Some(false) && (files.ca.is_some() || files.client.is_some()) {
            bail!("tls = false, yet there are certificates");
        }
        Ok(files)
    }

    fn secret(&self, config: &Config) -> Result<Option<Secret<String>>> {
        let Some(source) = &self.secret else { return Ok(None) };
        let secret = match source {
            SecretSource { env: Some(name), file: None, value: None } => {
                std::env::var(name).map_err(|_| anyhow!("the environment variable {name} is not set"))?
            }
            SecretSource { env: None, file: Some(path), value: None } => {
                let path = config.path(path);
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            SecretSource { env: None, file: None, value: Some(value) } => value.clone(),
            SecretSource { .. } => bail!("secret takes exactly one of env, file, value"),
        };
        if secret.is_empty() {
            bail!("the secret is empty");
        }
        Ok(Some(Secret::new(secret)))
    }
}

fn host_and_port(address: &str) -> Result<(String, u16)> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| anyhow!("address `{address}` is not host:port"))?;
    let port = port.parse().map_err(|_| anyhow!("address `{address}`: `{port}` is not a port"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(section: &str) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("doorward.toml");
        let text = format!(
            "[server]\nstate_dir = \"state\"\n[policy]\nfiles = [\"a.cedar\"]\n[[exports]]\nname = \"siem\"\n{section}"
        );
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn good_sections_are_read_and_show_no_secret() {
        for good in [
            "kind = \"file\"\npath = \"out.jsonl\"\nformat = \"json\"\nevents = [\"request\"]",
            "kind = \"syslog\"\naddress = \"127.0.0.1:514\"\ntls = false\nformat = \"cef\"",
            "kind = \"syslog\"\naddress = \"siem.example.com:6514\"",
            "kind = \"http\"\nurl = \"https://siem.example.com/in\"\nsecret = { value = \"hunter2\" }",
            "kind = \"splunk-hec\"\nurl = \"https://splunk:8088\"\nsecret = { value = \"hunter2\" }\nacknowledge = true",
            "kind = \"otlp\"\nurl = \"http://127.0.0.1:4318\"",
            "kind = \"s3\"\nbucket = \"audit\"\naccess_key = \"id\"\nsecret = { value = \"hunter2\" }",
        ] {
            let config = load(good).unwrap();
            let ready = config.exports[0].ready(&config).unwrap();
            let shown = format!("{config:?} {ready:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (bad, want) in [
            ("kind = \"pigeon\"", "unknown variant `pigeon`"),
            ("kind = \"file\"", "needs `path`"),
            ("kind = \"file\"\npath = \"x\"\nurl = \"https://x\"", "`url` means nothing for kind \"file\""),
            ("kind = \"file\"\npath = \"x\"\nevents = [\"nosuch\"]", "`nosuch` is no kind of entry"),
            ("kind = \"file\"\npath = \"x\"\nformat = \"xml\"", "unknown variant `xml`"),
            ("kind = \"syslog\"\naddress = \"192.0.2.1:514\"\ntls = false", "plain TCP is for loopback"),
            ("kind = \"syslog\"\naddress = \"192.0.2.1\"", "not host:port"),
            ("kind = \"http\"\nurl = \"http://192.0.2.1/\"", "http:// is for loopback"),
            ("kind = \"http\"\nurl = \"https://a:b@example.com/\"", "holds credentials"),
            ("kind = \"http\"\nurl = \"https://x/\"\nformat = \"cef\"", "takes JSON"),
            ("kind = \"splunk-hec\"\nurl = \"https://x\"", "needs `secret`"),
            ("kind = \"s3\"\nbucket = \"b\"\naccess_key = \"id\"", "access_key and secret go together"),
            ("kind = \"otlp\"\nurl = \"https://x\"\nsecret = { env = \"DOORWARD_NO_SUCH\" }", "is not set"),
            ("kind = \"otlp\"\nurl = \"https://x\"\nsecret = { value = \"a\\nb\" }", "no header can carry"),
            ("kind = \"otlp\"\nurl = \"https://x\"\ntls_ca = \"/no/such/file\"", "/no/such/file"),
            (
                "kind = \"file\"\npath = \"x\"\n[[exports]]\nname = \"siem\"\nkind = \"file\"\npath = \"y\"",
                "export `siem` is defined twice",
            ),
        ] {
            let e = format!("{:#}", load(bad).unwrap_err());
            assert!(e.contains(want), "{bad}: {e}");
        }
    }
}
