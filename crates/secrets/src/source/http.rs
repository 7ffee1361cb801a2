//! One request to a source of secrets: bounded in time and size, over TLS that is verified, to where it was sent.
use super::SourceError;
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};
use serde_json::Value;
use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a request may take in all. Log-ins at an upstream wait for it, and have 15 s.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long one may take whose answer is wanted also when nobody waits for it any more.
pub(super) const LATE: Duration = Duration::from_secs(15);
/// Of an answer, or a file, no more is read.
const MOST: usize = 1 << 20;

/// Certificates for TLS towards a source.
#[derive(Clone, Debug, Default)]
pub struct SourceTls {
    /// PEM file of the authorities to trust; those of the system without it.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// What a source answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// None where it is no JSON.
    pub(super) body: Option<Value>,
}

/// An address that may be spoken to: https, or http on loopback; without credentials, query and fragment.
pub(super) fn checked(text: &str) -> Result<Url, SourceError> {
    let wrong = |why: &str| SourceError::new(format!("the address `{}`: {why}", text.escape_debug()));
    let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::new("the address holds credentials: take them out".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() || url.cannot_be_a_base() {
        return Err(wrong("it has to be https://HOST:PORT"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(wrong("http:// is for loopback: use https://")),
        _ => Err(wrong("use https://")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn client(url: &Url, tls: &SourceTls) -> Result<Client, SourceError> {
    let bad = |what: &dyn std::fmt::Display, e: &dyn std::fmt::Display| SourceError::new(format!("{what}: {e}"));
    let mut builder = Client::builder()
        // A secret, and the token that it is asked for with, are of whom the configuration names.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &tls.ca {
        let pem = read_file(path)?;
        let found =
            reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|e| bad(&path.display(), &causes(&e)))?;
        if found.is_empty() {
            return Err(bad(&path.display(), &"no certificate in it"));
        }
        builder = builder.tls_certs_only(found);
    }
    if let Some((cert, key)) = &tls.client {
        let pem = Zeroizing::new(format!("{}\n{}", *read_file(cert)?, *read_file(key)?));
        let identity = reqwest::Identity::from_pem(pem.as_bytes());
        builder = builder.identity(identity.map_err(|e| bad(&"tls_cert and tls_key", &causes(&e)))?);
    }
    if is_loopback(url) {
        let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        builder = builder.no_proxy().resolve_to_addrs("localhost", &loopback);
    }
    builder.build().map_err(|e| bad(&"the HTTP client", &causes(&e)))
}

/// Sends it, and reads what comes back. Nothing of the answer's text is in an error: it may be a secret.
pub(super) async fn send(request: RequestBuilder, place: &str) -> Result<Answer, SourceError> {
    let away =
        |e: reqwest::Error| SourceError::away(format!("{place} cannot be reached: {}", causes(&e.without_url())));
    let mut answer = request.send().await.map_err(away)?;
    let status = answer.status();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        if body.len().saturating_add(chunk.len()) > MOST {
            return Err(SourceError::away(format!("{place} answered with more than {MOST} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body: serde_json::from_slice(&body).ok() })
}

/// A file with a token, a key or certificates.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>, SourceError> {
    let failed = |e: &dyn std::fmt::Display| SourceError::new(format!("{}: {e}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
    file.take(MOST as u64).read_to_string(&mut text).map_err(|e| failed(&e))?;
    if text.trim().is_empty() {
        return Err(failed(&"it is empty"));
    }
    Ok(text)
}

pub(super) fn causes(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        next = cause.source();
    }
    out
}

/// Puts a path under an address, segment by segment: nothing in it is more than a name.
pub(super) fn under(base: &Url, path: &str) -> Result<Url, SourceError> {
    let wrong = || SourceError::new(format!("the path `{}` is not one", path.escape_debug()));
    let is_odd =
        |s: &str| s.is_empty() || s == "." || s == ".." || s.chars().any(|c| c.is_control() || "?#%\\".contains(c));
    if path.len() > 1024 || path.split('/').any(is_odd) {
        return Err(wrong());
    }
    let mut url = base.clone();
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path.split('/'));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_what_they_look_like() {
        for good in ["https://vault.example.com:8200", "http://127.0.0.1:8200", "http://[::1]:1/", "http://localhost"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["http://vault.example.com", "ftp://localhost", "https://a:b@h/", "https://h/?a=b", "x", "data:,x"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        let base = checked("https://h/prefix/").unwrap();
        assert_eq!(under(&base, "v1/secret/data/a b").unwrap().as_str(), "https://h/prefix/v1/secret/data/a%20b");
        for bad in ["", "/a", "a//b", "a/../b", "a?b", "a#b", "a%2f", "a\\b", "a\nb", "./a"] {
            assert!(under(&base, bad).is_err(), "{bad}");
        }
    }
}
