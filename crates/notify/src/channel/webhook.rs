//! JSON by POST, signed (Standard Webhooks 1.0.0, <https://www.standardwebhooks.com>).
use super::{SendError, http};
use crate::{config::Misconfigured, notice::Notice};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Secret;
use reqwest::{
    Client, Url,
    header::{HeaderMap, HeaderValue},
};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    key: Secret<Vec<u8>>,
}

impl Webhook {
    pub(super) fn new(url: &str, secret: &Secret<String>) -> Result<Self, Misconfigured> {
        let text = secret.expose();
        let encoded = text.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok());
        let key = encoded.unwrap_or_else(|| text.as_bytes().to_vec());
        if key.len() < 16 {
            return Err(Misconfigured("the secret of a webhook has at least 16 bytes".to_owned()));
        }
        Ok(Self { client: http::client()?, url: http::checked(url)?, key: Secret::new(key) })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let body = http::bytes(&notice.json());
        // The same for each try, so that a receiver knows what it has seen.
        let id = format!("msg_{}_{}", notice.approval, notice.seq);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let signed = signature(self.key.expose(), &id, &seconds, &body);
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", signed)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        http::post(&self.client, &self.url, headers, body).await.map(drop)
    }
}

/// `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64.
fn signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}
