//! Asking GitHub Actions for a token of the running job ("OpenID Connect", "Requesting the JWT using environment variables").
use crate::config::is_loopback;
use reqwest::{Client, Url, header, redirect};
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CiTokenError {
    /// The URL is none that a token is asked for at.
    #[error("the URL to ask for a token at must be https, or http on loopback")]
    Url,
    /// The request failed.
    #[error("the request for a token failed: {0}")]
    Request(String),
    /// The answer is another one than a token.
    #[error("the request for a token was answered with status {0}")]
    Status(u16),
    /// The answer has no token in it.
    #[error("the answer to the request for a token is malformed")]
    Malformed,
}

/// Asks `url` (`ACTIONS_ID_TOKEN_REQUEST_URL`) with `bearer` (`ACTIONS_ID_TOKEN_REQUEST_TOKEN`) for a token for `audience`.
///
/// # Errors
/// Where none is given. No error holds either token.
pub async fn github_actions_token(url: &str, bearer: &str, audience: &str) -> Result<String, CiTokenError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let mut url = Url::parse(url).map_err(|_| CiTokenError::Url)?;
    let is_local = is_loopback(&url);
    if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
        return Err(CiTokenError::Url);
    }
    url.query_pairs_mut().append_pair("audience", audience);
    let failed = |e: reqwest::Error| CiTokenError::Request(crate::fetch::with_causes(&e.without_url()));
    let mut builder = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none());
    if is_local {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(failed)?;
    let request = client.get(url).bearer_auth(bearer).header(header::ACCEPT, "application/json");
    let mut response = request.send().await.map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(CiTokenError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > 4 * crate::MAX_TOKEN_BYTES {
            return Err(CiTokenError::Malformed);
        }
    }
    serde_json::from_slice(&body).map(|a: Answer| a.value).map_err(|_| CiTokenError::Malformed)
}
