//! A POST, with what is common to channels that take one.
use super::SendError;
use crate::config::Misconfigured;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde_json::Value;
use std::{net::IpAddr, time::Duration};

/// Of an answer no more is read.
const MOST_ANSWER: usize = 64 << 10;
const ANSWER: Duration = Duration::from_secs(20);

/// A URL that may be spoken to: https, or http on loopback.
pub(crate) fn checked(text: &str) -> Result<Url, Misconfigured> {
    let url = Url::parse(text).map_err(|e| Misconfigured(format!("the URL cannot be read: {e}")))?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err(Misconfigured("the URL has to be https://".to_owned())),
    }
}

pub(crate) fn client() -> Result<Client, Misconfigured> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(ANSWER)
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")));
    builder.build().map_err(|e| Misconfigured(format!("the HTTP client: {e}")))
}

/// Sends, and gives the answer's body where it is taken. The address is not named: it may be a secret.
pub(crate) async fn post(
    client: &Client,
    url: &Url,
    mut headers: HeaderMap,
    body: Vec<u8>,
) -> Result<Vec<u8>, SendError> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let host = url.host_str().unwrap_or_default();
    let sent = client.post(url.clone()).headers(headers).body(body).send().await;
    let answer = sent.map_err(|e| SendError::new(format!("{host} cannot be reached: {}", e.without_url())))?;
    let status = answer.status();
    if !status.is_success() {
        let wait = (status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE)
            .then(|| answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs))
            .flatten();
        return Err(SendError { what: format!("{host} answered {status}"), wait });
    }
    read(answer).await.map_err(|e| SendError::new(format!("{host} broke off: {}", e.without_url())))
}

async fn read(mut answer: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len().saturating_add(chunk.len()) > MOST_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn bytes(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}
