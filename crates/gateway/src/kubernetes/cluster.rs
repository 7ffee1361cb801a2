//! The API server, with the gateway's credential. Nothing of the caller's headers gets here but what `message.rs` lists.
use super::{EndpointError, message::Message};
use crate::{
    connection::Upstream,
    memory::{NoRoom, Room},
};
use bytes::BytesMut;
use doorward_kubernetes::json;
use doorward_model::Secret;
use http_body_util::BodyExt as _;
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use rustls::ClientConfig;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long the API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to answer what the gateway asks for a decision.
const INQUIRY: Duration = Duration::from_secs(15);
/// The largest object, in bytes; etcd takes 1.5 MiB.
const LARGEST_OBJECT: usize = 8 << 20;

/// Why the API server did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("the API server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the API server did not answer in time")]
    Slow,
    #[error("the API server's answer was not understood: {0}")]
    Odd(String),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A client of one API server.
#[derive(Debug)]
pub(crate) struct Cluster {
    client: reqwest::Client,
    base: String,
    token: Option<Secret<String>>,
}

impl Cluster {
    pub(crate) fn new(upstream: &Upstream, tls: Option<Arc<ClientConfig>>) -> Result<Self, EndpointError> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let host = if upstream.host.contains(':') { format!("[{}]", upstream.host) } else { upstream.host.clone() };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true);
        if let Some(tls) = tls {
            let mut tls = (*tls).clone();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder = builder.tls_backend_preconfigured(tls);
        }
        let client = builder.build().map_err(|e| EndpointError::Client(e.to_string()))?;
        Ok(Self { client, base: format!("{scheme}://{host}:{}", upstream.port), token: upstream.password.clone() })
    }

    fn request(&self, method: Method, target: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{target}", self.base));
        match &self.token {
            Some(token) => match HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    request.header(AUTHORIZATION, value)
                }
                Err(_) => request,
            },
            None => request,
        }
    }

    /// Sends a message that was allowed.
    pub(crate) async fn send(&self, message: &Message) -> Result<Response, ClusterError> {
        let request = self.request(message.method.clone(), &message.target).headers(message.headers.clone());
        let request = if message.body.is_empty() { request } else { request.body(message.body.clone()) };
        request.send().await.map_err(ClusterError::Unreachable)
    }

    /// Sends a message as a question, and reads the answer whole, as JSON.
    pub(crate) async fn ask(&self, message: &Message, room: &Room) -> Result<Whole, ClusterError> {
        let asked = async { read(self.send(message).await?, room).await };
        tokio::time::timeout(INQUIRY, asked).await.map_err(|_| ClusterError::Slow)?
    }

    /// Reads an object, or a list; none where it is not there.
    pub(crate) async fn get(&self, target: &str, room: &Room) -> Result<Whole, ClusterError> {
        let asked = async {
            let request = self.request(Method::GET, target).header(ACCEPT, "application/json");
            read(request.send().await.map_err(ClusterError::Unreachable)?, room).await
        };
        tokio::time::timeout(INQUIRY, asked).await.map_err(|_| ClusterError::Slow)?
    }
}

async fn read(response: Response, room: &Room) -> Result<Whole, ClusterError> {
    let status = response.status();
    // It has no time: that says nothing of what was asked for.
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Err(ClusterError::Odd(format!("{status}")));
    }
    let headers = response.headers().clone();
    let (mut body, mut text) = (http_body(response), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|e| ClusterError::Odd(e.to_string()))?.into_data() else { continue };
        if text.len() + bytes.len() > LARGEST_OBJECT {
            return Err(ClusterError::Odd(format!("it is longer than {LARGEST_OBJECT} bytes")));
        }
        room.take(bytes.len())?;
        text.extend_from_slice(&bytes);
    }
    room.take(json::weight(&text).saturating_sub(text.len()))?;
    let body = serde_json::from_slice(&text).map_err(|e| ClusterError::Odd(e.to_string()))?;
    Ok(Whole { status, headers, body })
}

/// The body of an answer, as it comes.
pub(crate) fn http_body(response: Response) -> reqwest::Body {
    http::Response::<reqwest::Body>::from(response).into_body()
}
