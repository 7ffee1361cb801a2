//! What an exporter is made of.
use doorward_model::Secret;
use std::{path::PathBuf, time::Duration};

/// What is wrong with the configuration of an exporter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The entry as the log has it, with its place in the log and what is known of its session.
    Json,
    /// Open Cybersecurity Schema Framework, version 1.5.0.
    Ocsf,
    /// ArcSight Common Event Format, version 0.
    Cef,
}

/// Certificates for TLS towards a sink.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// PEM file of the authorities to trust; those of the system without it.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Object storage that speaks the protocol of S3.
#[derive(Clone, Debug)]
pub struct S3Target {
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with.
    pub prefix: String,
    /// The region; `us-east-1` where the store knows none.
    pub region: String,
    /// Where it is, if not Amazon's.
    pub endpoint: Option<String>,
    /// Identifier and secret of an access key; without them, those of the surroundings are asked for as Amazon's tools do.
    pub key: Option<(String, Secret<String>)>,
}

/// Where entries go.
#[derive(Clone, Debug)]
pub enum Target {
    /// A file of lines.
    File {
        /// Which.
        path: PathBuf,
    },
    /// RFC 5424 messages in octet-counted frames (RFC 6587 §3.4.1), over TLS (RFC 5425) or, on loopback only, TCP.
    Syslog {
        /// The receiver.
        host: String,
        /// Its port.
        port: u16,
        /// None for plain TCP.
        tls: Option<TlsFiles>,
    },
    /// JSON lines by POST, signed as Standard Webhooks are.
    Http {
        /// Where to.
        url: String,
        /// The key of the signature.
        secret: Option<Secret<String>>,
        /// Certificates.
        tls: TlsFiles,
    },
    /// Splunk's HTTP event collector.
    SplunkHec {
        /// The collector.
        url: String,
        /// Its token.
        token: Secret<String>,
        /// Whether to wait until the indexers say that they have it.
        acknowledge: bool,
        /// The index, if not the token's own.
        index: Option<String>,
        /// Certificates.
        tls: TlsFiles,
    },
    /// OpenTelemetry logs over HTTP, in JSON.
    Otlp {
        /// The collector.
        url: String,
        /// A bearer token.
        token: Option<Secret<String>>,
        /// Certificates.
        tls: TlsFiles,
    },
    /// An object for each hour.
    S3(S3Target),
}

impl Target {
    /// The word for it in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Syslog { .. } => "syslog",
            Self::Http { .. } => "http",
            Self::SplunkHec { .. } => "splunk-hec",
            Self::Otlp { .. } => "otlp",
            Self::S3(_) => "s3",
        }
    }
}

/// One exporter.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    /// Its name: what its cursor is kept under.
    pub name: String,
    /// Where to.
    pub target: Target,
    /// How entries are written.
    pub format: Format,
    /// Only these kinds of entries; all if empty.
    pub events: Vec<String>,
}

/// How fast an exporter goes. The default is meant for production.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How long the first entry of a batch may wait for more.
    pub linger: Duration,
    /// Entries in a batch at most.
    pub batch_entries: usize,
    /// Bytes in a batch; it is closed by the entry that reaches them.
    pub batch_bytes: usize,
    /// The same for an object in object storage, which has no limit of entries.
    pub object_bytes: usize,
    /// How long after its end an hour's object is closed, when nothing later came.
    pub hour_grace: Duration,
    /// The pause after a first failure; doubled with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a sink may take for a batch.
    pub send_limit: Duration,
    /// How many files of the log are looked through for the sessions that began before the cursor.
    pub look_back: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(250),
            batch_entries: 1000,
            batch_bytes: 1 << 20,
            object_bytes: 16 << 20,
            hour_grace: Duration::from_secs(60),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            send_limit: Duration::from_secs(60),
            look_back: 4,
        }
    }
}
