//! Object storage: an object for each hour, or several where an hour is large.
use super::{SendError, http, lines};
use crate::{
    config::{Format, Misconfigured, S3Target},
    format::Item,
    reader::Batch,
};
use flate2::{Compression, GzBuilder};
use object_store::{
    Attribute, Attributes, ClientOptions, ObjectStore as _, PutOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path,
};
use std::{io::Write as _, time::Duration};

#[derive(Debug)]
pub(crate) struct S3Sink {
    name: String,
    prefix: String,
    store: AmazonS3,
    extension: &'static str,
}

impl S3Sink {
    pub(crate) fn new(name: &str, target: &S3Target, format: Format) -> Result<Self, Misconfigured> {
        let bad = |e: object_store::Error| Misconfigured(e.to_string());
        let options = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(10))
            .with_timeout(Duration::from_secs(45))
            .with_user_agent(reqwest::header::HeaderValue::from_static(concat!(
                "doorward/",
                env!("CARGO_PKG_VERSION")
            )));
        // Without a key of its own, the surroundings are asked: a role of the pod, of the machine.
        let mut builder = match &target.key {
            Some((id, secret)) => AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret.expose()),
            None => AmazonS3Builder::from_env(),
        };
        builder = builder.with_bucket_name(&target.bucket).with_region(&target.region);
        let mut in_clear = false;
        if let Some(endpoint) = &target.endpoint {
            let url = http::checked(endpoint)?;
            in_clear = url.scheme() == "http";
            builder = builder.with_endpoint(endpoint.trim_end_matches('/')).with_virtual_hosted_style_request(false);
        }
        let store = builder
            .with_allow_http(in_clear)
            .with_client_options(options.with_allow_http(in_clear))
            // We have pauses of our own.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_checksum_algorithm(Checksum::SHA256)
            .build()
            .map_err(bad)?;
        let extension = match format {
            Format::Json | Format::Ocsf => "jsonl.gz",
            Format::Cef => "cef.gz",
        };
        Ok(Self { name: name.to_owned(), prefix: target.prefix.clone(), store, extension })
    }

    pub(crate) async fn send(&self, log: &str, batch: &Batch) -> Result<u64, SendError> {
        let Some(first) = batch.items.first() else { return Ok(0) };
        let path = Path::from(object_name(&self.prefix, &self.name, log, first, self.extension));
        let packed = pack(&lines(&batch.items)).map_err(|e| SendError::new(format!("packing: {e}")))?;
        let attributes = Attributes::from_iter([(Attribute::ContentType, "application/gzip")]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        let put = self.store.put_opts(&path, packed.into(), options).await;
        put.map_err(|e| SendError::new(causes(&e)))?;
        Ok(0)
    }
}

/// `PREFIX/YYYY/MM/DD/HH/NAME-LOG-FIRST.jsonl.gz`: what it begins with decides what it is called, so that what is sent
/// again takes the place of what was sent before.
fn object_name(prefix: &str, name: &str, log: &str, first: &Item, extension: &str) -> String {
    let seconds = i64::try_from(first.time.as_secs()).unwrap_or(0);
    let hour = jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y/%m/%d/%H").to_string();
    let log: String = log.chars().take(8).collect();
    let object = format!("{hour}/{name}-{log}-{:012}.{extension}", first.seq);
    match prefix.trim_matches('/') {
        "" => object,
        prefix => format!("{prefix}/{object}"),
    }
}

/// The same lines give the same bytes: no time is in the header.
fn pack(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gz = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    gz.write_all(lines)?;
    gz.finish()
}

/// What went wrong, without what the store's answer held beyond its first line.
fn causes(e: &object_store::Error) -> String {
    let text = e.to_string();
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}
