//! The API server, with the gateway's credential. Nothing of the caller's headers gets here but what `message.rs` lists.
use super::{
    EndpointError,
    message::Message,
    slots::{Limits, Sent, Slot, Slots},
};
use crate::{
    connection::Upstream,
    memory::{NoRoom, Room},
    secret::{Lent, MissingSecret, Rotating, UpstreamLogin},
};
use bytes::BytesMut;
use doorward_kubernetes::json;
use http_body_util::BodyExt as _;
use reqwest::{
    Response, StatusCode,
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
    #[error("too many requests are under way to the API server")]
    Busy,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    NoSecret(#[from] MissingSecret),
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
    token: Option<Rotating>,
    requests: Slots,
    inquiries: Slots,
    head: Duration,
}

impl Cluster {
    pub(super) fn new(
        upstream: &Upstream,
        tls: Option<Arc<ClientConfig>>,
        limits: Limits,
    ) -> Result<Self, EndpointError> {
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
        Ok(Self {
            client,
            base: format!("{scheme}://{host}:{}", upstream.port),
            token: upstream.password.clone(),
            requests: Slots::new(limits.requests, limits.wait),
            inquiries: Slots::new(limits.inquiries, limits.wait),
            head: limits.head,
        })
    }

    /// Sends what `made` makes, with the gateway's token; once more where the token was not accepted and there is a newer
    /// one. A request that was answered with 401 has done nothing.
    ///
    /// INVARIANT: nothing is sent without the credential that is configured.
    async fn answered(
        &self,
        made: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder + Sync,
    ) -> Result<Response, ClusterError> {
        let Some(token) = &self.token else {
            return made(&self.client).send().await.map_err(ClusterError::Unreachable);
        };
        let shown = token.login().await?;
        let answer = with_token(made(&self.client), &shown).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match token.refused(&shown).await {
            Some(newer) => with_token(made(&self.client), &newer).await,
            None => Ok(answer),
        }
    }

    /// Sends a message that was allowed. Where `is_slow`, its answer may begin whenever it does: a log that nobody writes,
    /// whatever is behind a proxy.
    pub(crate) async fn send(&self, message: &Message, is_slow: bool) -> Result<Sent, ClusterError> {
        let slot = self.slot().await?;
        self.send_in(slot, message, is_slow).await
    }

    /// A place for a message.
    pub(super) async fn slot(&self) -> Result<Slot, ClusterError> {
        self.requests.take().await
    }

    /// As [`Cluster::send`], in a place that it has already.
    pub(super) async fn send_in(&self, mut slot: Slot, message: &Message, is_slow: bool) -> Result<Sent, ClusterError> {
        let sent = self.sent(message);
        let mut response = match is_slow {
            true => sent.await?,
            false => tokio::time::timeout(self.head, sent).await.map_err(|_| ClusterError::Slow)??,
        };
        slot.lent = response.extensions_mut().remove::<Lent>().unwrap_or_default();
        Ok(Sent { response, slot })
    }

    async fn sent(&self, message: &Message) -> Result<Response, ClusterError> {
        let address = format!("{}{}", self.base, message.target);
        self.answered(|client| {
            let request = client.request(message.method.clone(), &address).headers(message.headers.clone());
            if message.body.is_empty() { request } else { request.body(message.body.clone()) }
        })
        .await
    }

    /// Sends a message as a question, and reads the answer whole, as JSON.
    pub(crate) async fn ask(&self, message: &Message, room: &Room) -> Result<Whole, ClusterError> {
        let _slot = self.inquiries.take().await?;
        let asked = async { read(self.sent(message).await?, room).await };
        tokio::time::timeout(INQUIRY, asked).await.map_err(|_| ClusterError::Slow)?
    }

    /// Reads an object, or a list; none where it is not there.
    pub(crate) async fn get(&self, target: &str, room: &Room) -> Result<Whole, ClusterError> {
        let _slot = self.inquiries.take().await?;
        let asked = async {
            let address = format!("{}{target}", self.base);
            read(self.answered(|c| c.get(&address).header(ACCEPT, "application/json")).await?, room).await
        };
        tokio::time::timeout(INQUIRY, asked).await.map_err(|_| ClusterError::Slow)?
    }
}

/// Sends it; with the answer is what the token was lent with.
async fn with_token(request: reqwest::RequestBuilder, shown: &UpstreamLogin) -> Result<Response, ClusterError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", shown.password.expose().trim()));
    let mut value = value.map_err(|_| ClusterError::Odd("the gateway's token is no header".to_owned()))?;
    value.set_sensitive(true);
    let mut answer = request.header(AUTHORIZATION, value).send().await.map_err(ClusterError::Unreachable)?;
    answer.extensions_mut().insert(shown.lent.clone());
    Ok(answer)
}

async fn read(response: Response, room: &Room) -> Result<Whole, ClusterError> {
    let status = response.status();
    // It has no time: that says nothing of what was asked for.
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Err(ClusterError::Odd(format!("{status}")));
    }
    let headers = response.headers().clone();
    let mut body = http::Response::<reqwest::Body>::from(response).into_body();
    let mut text = BytesMut::new();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::UpstreamTls;
    use bytes::Bytes;
    use doorward_kubernetes::Target;
    use reqwest::Method;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// A server that answers `/fast` alone.
    async fn cluster() -> Cluster {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let n = socket.read(&mut head).await.unwrap();
                    if head[..n].starts_with(b"GET /fast") {
                        let said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf";
                        socket.write_all(said).await.unwrap();
                    }
                    let _gone = socket.read(&mut head).await;
                });
            }
        });
        let upstream = Upstream {
            host: "127.0.0.1".into(),
            port,
            user: None,
            password: None,
            tls: UpstreamTls::Disable,
            tls_ca: None,
            tls_client: None,
        };
        let short = Duration::from_millis(100);
        Cluster::new(&upstream, None, Limits { requests: 2, inquiries: 1, wait: short, head: short }).unwrap()
    }

    fn get(path: &str) -> Message {
        let target = Target::parse("GET", path).unwrap();
        Message::new(&Method::GET, &target, &HeaderMap::new(), None, Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_does_not_begin_is_given_up() {
        let cluster = cluster().await;
        for _ in 0..4 {
            assert!(matches!(cluster.send(&get("/version"), false).await, Err(ClusterError::Slow)));
        }
        let slow = get("/version");
        let slow = tokio::time::timeout(Duration::from_millis(300), cluster.send(&slow, true));
        assert!(slow.await.is_err(), "it may take its time");
    }

    #[tokio::test]
    async fn there_are_so_many_connections() {
        let cluster = cluster().await;
        let one = cluster.send(&get("/fast"), false).await.unwrap();
        let two = cluster.send(&get("/fast"), false).await.unwrap();
        assert!(matches!(cluster.send(&get("/fast"), false).await, Err(ClusterError::Busy)));
        // A body that goes on takes its place, and gives it back.
        let (body, slot) = one.into_body();
        assert!(matches!(cluster.send(&get("/fast"), false).await, Err(ClusterError::Busy)));
        drop((body, slot));
        let waits = cluster.send(&get("/fast"), false).await;
        assert!(waits.is_ok());
        drop(two);
    }
}
