//! Just enough HTTP/1.1 over loopback to ask a provider for a token or a health endpoint for its state.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

const LIMIT: Duration = Duration::from_secs(10);

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// The status code, such as 200.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl HttpReply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| format!("status {}, not JSON: {}", self.status, self.body))
    }
}

/// `GET` of an `http://host:port/path` address.
///
/// # Errors
/// When the server cannot be reached or answers something else than HTTP/1.
pub fn http_get(url: &str) -> Result<HttpReply> {
    exchange(url, "GET", &[], "")
}

/// `POST` of form fields to an `http://host:port/path` address.
///
/// # Errors
/// As [`http_get`].
pub fn http_post_form(url: &str, fields: &[(&str, &str)]) -> Result<HttpReply> {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    exchange(url, "POST", &["Content-Type: application/x-www-form-urlencoded"], &body.join("&"))
}

pub(crate) fn exchange(url: &str, method: &str, headers: &[&str], body: &str) -> Result<HttpReply> {
    let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not begin with `http://`"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority).with_context(|| format!("cannot reach {authority}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let extra: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    // Version 1.0 asks for an answer that ends with the connection: no chunks to put together.
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {authority}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without a status")?;
    Ok(HttpReply { status, body: body.to_owned() })
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
