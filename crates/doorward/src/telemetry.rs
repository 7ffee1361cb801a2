//! `[telemetry]`: traces by OTLP.
use crate::config::{Config, Credential};
use anyhow::{Context as _, Result, bail};
use doorward_export::{TlsFiles, TraceTarget, Tracer};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetrySection {
    /// The collector; without it nothing is traced.
    otlp_endpoint: Option<String>,
    /// A bearer token for it.
    token: Option<Credential>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// Which part of sessions is traced, from 0 to 1.
    sample: Option<f64>,
}

impl TelemetrySection {
    fn target(&self, config: &Config) -> Result<Option<TraceTarget>> {
        let Some(url) = &self.otlp_endpoint else {
            if self.token.is_some() || self.sample.is_some() || self.tls_ca.is_some() {
                bail!("nothing is traced without otlp_endpoint");
            }
            return Ok(None);
        };
        let sample = self.sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            bail!("sample has to be from 0 to 1");
        }
        let client = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((config.path(cert), config.path(key))),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => bail!("tls_cert and tls_key go together"),
        };
        Ok(Some(TraceTarget {
            url: url.clone(),
            token: self.token.as_ref().map(|t| config.resolved(t)).transpose().context("token")?,
            tls: TlsFiles { ca: self.tls_ca.as_ref().map(|p| config.path(p)), client },
            sample,
        }))
    }

    pub(crate) fn check(&self, config: &Config) -> Result<()> {
        let Some(target) = self.target(config).context("[telemetry]")? else { return Ok(()) };
        Tracer::check(&target).context("[telemetry]")
    }
}

/// Begins to trace, where that is configured.
pub(crate) fn start(config: &Config) -> Result<Option<Arc<Tracer>>> {
    let target = config.telemetry.target(config).context("[telemetry]")?;
    target.map(|t| Tracer::start(&t).context("[telemetry]")).transpose()
}
