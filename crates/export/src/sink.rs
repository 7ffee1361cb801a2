//! Where batches go. A sink returns once the other side has acknowledged all of a batch.
use crate::{
    config::{ExportConfig, Format, Misconfigured, Target},
    format::Item,
    reader::Batch,
};
use std::time::Duration;

mod file;
mod http;
mod s3;
mod syslog;

pub(crate) use http::{checked, client};

/// Why a batch was not acknowledged. No payload and no secret is in it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct SendError {
    pub(crate) what: String,
    /// How long the sink asked us to wait.
    pub(crate) wait: Option<Duration>,
    /// Fewer entries might be taken.
    pub(crate) too_large: bool,
}

impl SendError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), wait: None, too_large: false }
    }
}

/// What a sink says of a batch that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Entries it will not keep, and wants not again.
    pub(crate) rejected: u64,
}

#[derive(Debug)]
pub(crate) enum Sink {
    File(file::FileSink),
    Syslog(Box<syslog::SyslogSink>),
    Http(Box<http::HttpSink>),
    S3(Box<s3::S3Sink>),
}

impl Sink {
    /// Checks the configuration and makes ready; connects nowhere.
    pub(crate) fn new(config: &ExportConfig) -> Result<Self, Misconfigured> {
        let json_only = |what: &str| {
            if config.format == Format::Cef {
                return Err(Misconfigured(format!("{what} takes JSON: use format \"json\" or \"ocsf\"")));
            }
            Ok(())
        };
        Ok(match &config.target {
            Target::File { path } => Self::File(file::FileSink::new(path)),
            Target::Syslog { host, port, tls } => {
                Self::Syslog(Box::new(syslog::SyslogSink::new(host, *port, tls.as_ref())?))
            }
            Target::Http { url, secret, tls } => {
                json_only("kind \"http\"")?;
                Self::Http(Box::new(http::HttpSink::lines(&config.name, url, secret.clone(), tls)?))
            }
            Target::SplunkHec { url, token, acknowledge, index, tls } => {
                let hec = http::Hec::new(token, *acknowledge, index.clone());
                Self::Http(Box::new(http::HttpSink::hec(url, hec, tls)?))
            }
            Target::Otlp { url, token, tls } => Self::Http(Box::new(http::HttpSink::otlp(url, token.as_ref(), tls)?)),
            Target::S3(target) => Self::S3(Box::new(s3::S3Sink::new(&config.name, target, config.format)?)),
        })
    }

    pub(crate) async fn send(&self, log: &str, batch: &Batch) -> Result<Taken, SendError> {
        match self {
            Self::File(sink) => sink.send(batch).await,
            Self::Syslog(sink) => sink.send(batch).await,
            Self::Http(sink) => sink.send(batch).await,
            Self::S3(sink) => sink.send(log, batch).await,
        }
        .map(|rejected| Taken { rejected })
    }

    /// Whether a batch holds an hour.
    pub(crate) const fn is_hourly(&self) -> bool {
        matches!(self, Self::S3(_))
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// All items as lines.
fn lines(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.iter().map(|i| i.text.len().saturating_add(1)).sum());
    for item in items {
        out.extend_from_slice(item.text.as_bytes());
        out.push(b'\n');
    }
    out
}
