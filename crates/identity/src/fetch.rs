//! Getting an issuer's keys: discovery document, then key set. Everything that comes back is untrusted.
use crate::config::{ConfigError, IssuerConfig, is_loopback};
use crate::jwks::{KeySet, Usage};
use reqwest::{Client, Response, Url, header, header::HeaderValue, redirect};
use serde::Deserialize;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

/// Bounds on what is fetched, how often, and how long it is believed.
#[derive(Clone, Debug)]
pub struct FetchPolicy {
    /// For the discovery document and the key set together, connecting included. Default 5 s.
    pub timeout: Duration,
    /// The longest document that is read, in bytes. Default 256 KiB.
    pub max_body: usize,
    /// How long keys are fresh if the response names no `max-age`. Default 10 min.
    pub default_age: Duration,
    /// The shortest time that keys are fresh, whatever `max-age` says. Default 1 min.
    pub min_age: Duration,
    /// The longest time that keys are fresh, whatever `max-age` says. Default 1 h.
    pub max_age: Duration,
    /// How long keys that are no longer fresh are still used while the issuer fails. Default 1 h.
    pub stale_limit: Duration,
    /// An unknown `kid` makes the keys be fetched at most this often for an issuer. Default 10 s.
    pub unknown_kid_interval: Duration,
    /// The pause after a fetch that failed. Default 3 s.
    pub retry_interval: Duration,
    /// How long what a file held is fresh. Default 2 s.
    pub file_age: Duration,
}

impl Default for FetchPolicy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_body: 256 * 1024,
            default_age: Duration::from_secs(600),
            min_age: Duration::from_secs(60),
            max_age: Duration::from_secs(3600),
            stale_limit: Duration::from_secs(3600),
            unknown_kid_interval: Duration::from_secs(10),
            retry_interval: Duration::from_secs(3),
            file_age: Duration::from_secs(2),
        }
    }
}

/// Why an issuer's keys could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FetchError {
    #[error("the request failed: {0}")]
    Request(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the discovery document is malformed")]
    Discovery,
    #[error("the discovery document is of another issuer than the configured one")]
    OtherIssuer,
    #[error("the discovery document's `jwks_uri` is neither https nor, for an issuer on loopback, http on loopback")]
    JwksUri,
    #[error("the key set is malformed")]
    KeySet,
    #[error("{what} cannot be read: {why}")]
    File { what: &'static str, why: String },
}

/// Keys as they were published, and for how long they are fresh.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) keys: KeySet,
    pub(crate) fresh_for: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A client for an issuer's endpoints that follows no redirects: secrets are posted with it.
///
/// # Errors
/// Where the configuration's URL or authorities cannot be used.
pub fn client_without_redirects(config: &IssuerConfig, timeout: Duration) -> Result<Client, ConfigError> {
    build(config, timeout, redirect::Policy::none())
}

/// A client that follows redirects only within the origin it was sent to.
pub(crate) fn client(config: &IssuerConfig, policy: &FetchPolicy) -> Result<Client, ConfigError> {
    let same_origin = redirect::Policy::custom(|attempt| {
        let start = attempt.previous().first().map(Url::origin);
        let stay = start == Some(attempt.url().origin()) && attempt.previous().len() <= 3;
        if stay { attempt.follow() } else { attempt.stop() }
    });
    build(config, policy.timeout, same_origin)
}

fn build(config: &IssuerConfig, timeout: Duration, redirects: redirect::Policy) -> Result<Client, ConfigError> {
    let mut builder = Client::builder()
        .redirect(redirects)
        .timeout(timeout)
        .connect_timeout(timeout)
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")));
    // What comes from a file has no URL.
    let url = if config.jwks_file.is_some() { None } else { Some(config.parsed_url()?) };
    if let Some(path) = &config.tls_ca {
        let refuse = |reason: String| ConfigError::Client { name: config.name.clone(), reason };
        let pem = std::fs::read(path).map_err(|e| refuse(format!("tls_ca {}: {e}", path.display())))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| refuse(with_causes(&e)))?;
        if found.is_empty() {
            return Err(refuse(format!("tls_ca {}: no certificate in it", path.display())));
        }
        builder = builder.tls_certs_only(found);
    }
    if url.as_ref().is_some_and(is_loopback) {
        // What is on this machine is neither asked of a proxy nor looked up in a name service.
        let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        builder = builder.no_proxy().resolve_to_addrs("localhost", &loopback);
    }
    builder.build().map_err(|e| ConfigError::Client { name: config.name.clone(), reason: e.to_string() })
}

/// Fetches an issuer's keys, within `policy.timeout`.
pub(crate) async fn fetch(client: &Client, config: &IssuerConfig, policy: &FetchPolicy) -> Result<Fetched, FetchError> {
    let work = async {
        let usage = if config.spiffe_trust_domain.is_some() { Usage::JwtSvid } else { Usage::Signatures };
        if let Some(path) = &config.jwks_file {
            let document = file("jwks_file", path, policy).await?;
            let keys = KeySet::parse(&document, usage).ok_or(FetchError::KeySet)?;
            return Ok(Fetched { keys, fresh_for: policy.file_age });
        }
        let token = token(config, policy).await?;
        let own = config.parsed_url().map_err(|_| FetchError::JwksUri)?;
        let jwks_url = if config.jwks_url.is_some() {
            own.clone()
        } else {
            let (document, _) = read(client, &config.discovery_url(), token.as_ref(), policy).await?;
            jwks_uri(&document, config)?
        };
        // A document that names another origin does not get the token there.
        let token = token.filter(|_| jwks_url.origin() == own.origin());
        let (document, max_age) = read(client, jwks_url.as_str(), token.as_ref(), policy).await?;
        let keys = KeySet::parse(&document, usage).ok_or(FetchError::KeySet)?;
        // `min` after `max`: a caller's policy with both crossed still has an upper bound.
        let fresh_for = max_age.unwrap_or(policy.default_age).max(policy.min_age).min(policy.max_age);
        Ok(Fetched { keys, fresh_for })
    };
    tokio::time::timeout(policy.timeout, work).await.unwrap_or(Err(FetchError::Timeout(policy.timeout)))
}

fn jwks_uri(document: &[u8], config: &IssuerConfig) -> Result<Url, FetchError> {
    let discovery: Discovery = serde_json::from_slice(document).map_err(|_| FetchError::Discovery)?;
    if discovery.issuer != config.issuer {
        return Err(FetchError::OtherIssuer);
    }
    let url = Url::parse(&discovery.jwks_uri).map_err(|_| FetchError::JwksUri)?;
    let local_issuer = config.parsed_url().is_ok_and(|u| is_loopback(&u));
    match url.scheme() {
        "https" => Ok(url),
        // A remote issuer has no business with a port of this machine.
        "http" if local_issuer && is_loopback(&url) => Ok(url),
        _ => Err(FetchError::JwksUri),
    }
}

/// A file, as far as the policy lets it be long.
async fn file(what: &'static str, path: &Path, policy: &FetchPolicy) -> Result<Vec<u8>, FetchError> {
    let failed = |e: std::io::Error| FetchError::File { what, why: e.to_string() };
    let opened = tokio::fs::File::open(path).await.map_err(failed)?;
    let (mut out, longest) = (Vec::new(), policy.max_body as u64);
    opened.take(longest.saturating_add(1)).read_to_end(&mut out).await.map_err(failed)?;
    if out.len() > policy.max_body { Err(FetchError::TooLarge(policy.max_body)) } else { Ok(out) }
}

/// What the issuer is asked with.
async fn token(config: &IssuerConfig, policy: &FetchPolicy) -> Result<Option<HeaderValue>, FetchError> {
    let Some(path) = &config.token_file else { return Ok(None) };
    let bytes = file("token_file", path, policy).await?;
    let value = [b"Bearer ".as_slice(), bytes.trim_ascii()].concat();
    let odd = |_| FetchError::File { what: "token_file", why: "it holds no token".into() };
    let mut value = HeaderValue::from_bytes(&value).map_err(odd)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn read(
    client: &Client,
    url: &str,
    token: Option<&HeaderValue>,
    policy: &FetchPolicy,
) -> Result<(Vec<u8>, Option<Duration>), FetchError> {
    let failed = |e: reqwest::Error| FetchError::Request(with_causes(&e.without_url()));
    // The keys of an API server are `application/jwk-set+json`, and nothing else is given to who asks for less.
    let mut request = client.get(url).header(header::ACCEPT, "application/json, application/jwk-set+json, */*;q=0.1");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token.clone());
    }
    let mut response = request.send().await.map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let max_age = max_age(&response);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > policy.max_body {
            return Err(FetchError::TooLarge(policy.max_body));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, max_age))
}

/// The error and what it came from: the first line alone says only that a request failed.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source()).take(6);
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How long the response may be kept (RFC 9111): zero for `no-store` and `no-cache`.
fn max_age(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::CACHE_CONTROL)?.to_str().ok()?.to_ascii_lowercase();
    let mut directives = value.split(',').map(str::trim);
    if directives.clone().any(|d| d == "no-store" || d == "no-cache") {
        return Some(Duration::ZERO);
    }
    let secs = directives.find_map(|d| d.strip_prefix("max-age="))?;
    secs.trim_matches('"').parse().ok().map(Duration::from_secs)
}
