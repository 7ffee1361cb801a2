//! Sinks that take a POST: JSON lines, Splunk's HTTP event collector, OTLP.
use super::{SendError, host, lines};
use crate::{
    config::{Misconfigured, TlsFiles},
    format::Item,
    otlp,
    reader::Batch,
};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Secret;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(45);
/// Of an answer no more is read.
const MOST_ANSWER: usize = 64 << 10;
/// How often the collector is asked whether the indexers have a batch.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct HttpSink {
    client: Client,
    url: Url,
    speaks: Speaks,
    /// Entries in a request at most: halved when the receiver calls one too large.
    most: AtomicUsize,
}

#[derive(Debug)]
enum Speaks {
    Lines { name: String, secret: Option<Secret<Vec<u8>>> },
    Hec(Hec),
    Otlp { authorization: Option<HeaderValue>, host: String },
}

/// What Splunk's collector needs.
#[derive(Debug)]
pub(crate) struct Hec {
    authorization: Option<HeaderValue>,
    acknowledge: bool,
    index: Option<String>,
    host: String,
    /// Acknowledgements are asked for by channel (a GUID of the client's).
    channel: String,
}

impl Hec {
    pub(crate) fn new(token: &Secret<String>, acknowledge: bool, index: Option<String>) -> Self {
        let n: u128 = rand::random();
        let hex = format!("{n:032X}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        let channel = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
        Self { authorization: secret_header("Splunk", token), acknowledge, index, host: host(), channel }
    }
}

fn secret_header(scheme: &str, secret: &Secret<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl HttpSink {
    pub(crate) fn lines(
        name: &str,
        url: &str,
        secret: Option<Secret<String>>,
        tls: &TlsFiles,
    ) -> Result<Self, Misconfigured> {
        let secret = secret.map(|s| Secret::new(signing_key(s.expose())));
        Self::new(url, "/", Speaks::Lines { name: name.to_owned(), secret }, tls)
    }

    pub(crate) fn hec(url: &str, hec: Hec, tls: &TlsFiles) -> Result<Self, Misconfigured> {
        if hec.authorization.is_none() {
            return Err(Misconfigured("the token holds characters that no header can carry".to_owned()));
        }
        Self::new(url, "/services/collector/event", Speaks::Hec(hec), tls)
    }

    pub(crate) fn otlp(url: &str, token: Option<&Secret<String>>, tls: &TlsFiles) -> Result<Self, Misconfigured> {
        let authorization = token.map(|t| secret_header("Bearer", t));
        if authorization.as_ref().is_some_and(Option::is_none) {
            return Err(Misconfigured("the token holds characters that no header can carry".to_owned()));
        }
        Self::new(url, "/v1/logs", Speaks::Otlp { authorization: authorization.flatten(), host: host() }, tls)
    }

    fn new(url: &str, path: &str, speaks: Speaks, tls: &TlsFiles) -> Result<Self, Misconfigured> {
        let mut url = checked(url)?;
        if url.path() == "/" {
            url.set_path(path);
        }
        Ok(Self { client: client(&url, tls)?, url, speaks, most: AtomicUsize::new(usize::MAX) })
    }

    /// In several requests where one was too large before. All of them have to be taken.
    pub(crate) async fn send(&self, batch: &Batch) -> Result<u64, SendError> {
        let mut rejected = 0u64;
        for items in batch.items.chunks(self.most.load(Ordering::Relaxed)) {
            let taken = match &self.speaks {
                Speaks::Lines { name, secret } => self.send_lines(name, secret.as_ref(), items).await,
                Speaks::Hec(hec) => self.send_hec(hec, items).await,
                Speaks::Otlp { authorization, host } => self.send_otlp(authorization.as_ref(), host, items).await,
            };
            if taken.as_ref().is_err_and(|e| e.too_large) {
                self.most.store((items.len() / 2).max(1), Ordering::Relaxed);
            }
            rejected = rejected.saturating_add(taken?);
        }
        Ok(rejected)
    }

    async fn post(&self, url: Url, headers: HeaderMap, body: Vec<u8>) -> Result<Response, SendError> {
        let sent = self.client.post(url).headers(headers).body(body).send().await;
        let answer = sent.map_err(|e| SendError::new(format!("{}: {}", self.place(), causes(&e.without_url()))))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let asked = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": is the secret right?",
            StatusCode::PAYLOAD_TOO_LARGE => ": trying with fewer entries at once",
            _ => "",
        };
        let what = format!("{} answered {status}{hint}", self.place());
        let too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
        Err(SendError { what, wait: asked.map(Duration::from_secs), too_large })
    }

    /// Where it is, for messages: nothing of a path or query, which may hold secrets.
    fn place(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or("?"), self.url.port_or_known_default().unwrap_or(0))
    }

    async fn send_lines(&self, name: &str, secret: Option<&Secret<Vec<u8>>>, items: &[Item]) -> Result<u64, SendError> {
        let body = lines(items);
        let (first, last) = (items.first().map_or(0, |i| i.seq), items.last().map_or(0, |i| i.seq));
        // The same batch has the same identifier: a receiver may know it by that.
        let id = format!("{name}-{first}-{last}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put("webhook-id", &id);
        put("webhook-timestamp", &now);
        if let Some(secret) = secret {
            put("webhook-signature", &signature(secret.expose(), &id, &now, &body));
        }
        self.post(self.url.clone(), headers, body).await?;
        Ok(0)
    }

    async fn send_hec(&self, hec: &Hec, items: &[Item]) -> Result<u64, SendError> {
        let mut body = Vec::new();
        for item in items {
            let micros = item.time.as_micros();
            // As written: the collector reads seconds with decimals.
            let time = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let event: Value = serde_json::from_str(&item.text).unwrap_or_else(|_| json!(item.text));
            let mut one = json!({
                "time": time, "host": hec.host, "source": "doorward", "sourcetype": "doorward:audit", "event": event,
                "fields": { "seq": item.seq, "kind": item.kind },
            });
            if let (Some(index), Some(map)) = (&hec.index, one.as_object_mut()) {
                map.insert("index".into(), json!(index));
            }
            body.extend_from_slice(one.to_string().as_bytes());
            body.push(b'\n');
        }
        let answer = self.post(self.url.clone(), hec.headers(), body).await?;
        let said = read_json(answer).await.unwrap_or_default();
        if said.get("code").and_then(Value::as_i64).is_some_and(|code| code != 0) {
            return Err(SendError::new(format!(
                "{} answered code {}",
                self.place(),
                said.get("code").unwrap_or(&Value::Null)
            )));
        }
        if hec.acknowledge {
            let Some(id) = said.get("ackId").and_then(Value::as_u64) else {
                let what =
                    "gave no ackId: switch on indexer acknowledgement for the token, or acknowledge = false here";
                return Err(SendError::new(format!("{} {what}", self.place())));
            };
            self.until_indexed(hec, id).await?;
        }
        Ok(0)
    }

    /// Asks until the indexers have it. The caller bounds the time.
    async fn until_indexed(&self, hec: &Hec, id: u64) -> Result<(), SendError> {
        let mut url = self.url.clone();
        let path = url.path().trim_end_matches("/event").to_owned();
        url.set_path(&format!("{path}/ack"));
        url.query_pairs_mut().append_pair("channel", &hec.channel);
        let question = json!({ "acks": [id] }).to_string().into_bytes();
        loop {
            let answer = self.post(url.clone(), hec.headers(), question.clone()).await?;
            let said = read_json(answer).await.unwrap_or_default();
            if said.get("acks").and_then(|a| a.get(id.to_string())).and_then(Value::as_bool) == Some(true) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn send_otlp(
        &self,
        authorization: Option<&HeaderValue>,
        host: &str,
        items: &[Item],
    ) -> Result<u64, SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let body = otlp::request(host, items).to_string().into_bytes();
        let answer = self.post(self.url.clone(), headers, body).await?;
        let said = read_json(answer).await.unwrap_or_default();
        // "The client MUST NOT retry the request when it receives a partial success response."
        let rejected = said.get("partialSuccess").and_then(|p| p.get("rejectedLogRecords"));
        Ok(rejected.and_then(|r| r.as_u64().or_else(|| r.as_str()?.parse().ok())).unwrap_or(0))
    }
}

impl Hec {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if let Ok(channel) = HeaderValue::from_str(&self.channel) {
            headers.insert("x-splunk-request-channel", channel);
        }
        headers
    }
}

/// A key as Standard Webhooks write it, `whsec_` and base64, or any text.
fn signing_key(text: &str) -> Vec<u8> {
    let encoded = text.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok());
    encoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64 (Standard Webhooks 1.0.0).
fn signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

async fn read_json(mut answer: Response) -> Option<Value> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len().saturating_add(chunk.len()) > MOST_ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

fn causes(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        next = cause.source();
    }
    out
}

/// A URL that may be spoken to: https, or http on loopback.
pub(crate) fn checked(text: &str) -> Result<Url, Misconfigured> {
    let url = Url::parse(text).map_err(|e| Misconfigured(format!("the URL cannot be read: {e}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Misconfigured("the URL holds credentials: give them as secret".to_owned()));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(Misconfigured("http:// is for loopback: use https://".to_owned())),
        other => Err(Misconfigured(format!("`{other}` is not a scheme for this: use https://"))),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(crate) fn client(url: &Url, tls: &TlsFiles) -> Result<Client, Misconfigured> {
    let bad = |what: &str, e: &dyn std::fmt::Display| Misconfigured(format!("{what}: {e}"));
    let mut builder = Client::builder()
        // An acknowledgement comes from whom it was sent to.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &tls.ca {
        let pem = std::fs::read(path).map_err(|e| bad(&path.display().to_string(), &e))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| bad(&path.display().to_string(), &e))?;
        if found.is_empty() {
            return Err(Misconfigured(format!("{}: no certificate in it", path.display())));
        }
        builder = builder.tls_certs_only(found);
    }
    if let Some((cert, key)) = &tls.client {
        let mut pem = std::fs::read(cert).map_err(|e| bad(&cert.display().to_string(), &e))?;
        pem.push(b'\n');
        pem.extend(std::fs::read(key).map_err(|e| bad(&key.display().to_string(), &e))?);
        let identity = reqwest::Identity::from_pem(&pem).map_err(|e| bad("tls_cert and tls_key", &causes(&e)))?;
        builder = builder.identity(identity);
    }
    if is_loopback(url) {
        let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        builder = builder.no_proxy().resolve_to_addrs("localhost", &loopback);
    }
    builder.build().map_err(|e| bad("the HTTP client", &causes(&e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification's own libraries.
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn clear_text_is_for_loopback() {
        for good in ["https://siem.example.com/in?x=1", "http://127.0.0.1:8088", "http://[::1]/", "http://localhost"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["http://siem.example.com", "ftp://localhost", "https://user:pass@host/", "nonsense"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
