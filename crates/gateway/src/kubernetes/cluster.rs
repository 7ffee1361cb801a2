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
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How long the API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to answer what the gateway asks for a decision.
const INQUIRY: Duration = Duration::from_secs(15);
/// How long it may take to say whether it accepts the gateway's credential, and how long what it said counts.
const OWN_WORD: Duration = Duration::from_secs(5);
const ASKED_AGAIN: Duration = Duration::from_secs(1);
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
    /// It was sent once, and is not sent twice.
    #[error(
        "the API server did not accept the gateway's credential, and nothing is sent twice; there is a newer one: ask again"
    )]
    Replaced,
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
    /// What the API server last said of a credential of ours, and when.
    word: Mutex<Option<Word>>,
}

/// What the API server said of a credential.
#[derive(Debug)]
struct Word {
    of: UpstreamLogin,
    at: Instant,
    is_accepted: bool,
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
            word: Mutex::default(),
        })
    }

    /// Sends what `made` makes, with the gateway's token; where that was not accepted, there is a newer one, and it `repeats`,
    /// once more with that.
    ///
    /// An answer with 401 may be that of a program behind a proxy, of an aggregated API or of a webhook, which callers have a
    /// say in. So it is no word on the token: the API server is asked itself. It authenticates before anything else is done
    /// (`DefaultBuildHandlerChain`), so that a question which has no effect, and which it answers itself, may be asked again.
    ///
    /// INVARIANT: nothing is sent without the credential that is configured.
    /// INVARIANT: what may have had an effect, and what people said yes to, is not sent twice.
    async fn answered(
        &self,
        repeats: bool,
        made: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder + Sync,
    ) -> Result<Response, ClusterError> {
        let Some(token) = &self.token else {
            return made(&self.client).send().await.map_err(ClusterError::Unreachable);
        };
        let shown = token.login().await?;
        let answer = with_token(made(&self.client), &shown).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            if !answer.status().is_server_error() {
                shown.lent.worked();
            }
            return Ok(answer);
        }
        if !self.does_not_know(&shown).await {
            return Ok(answer);
        }
        let Some(newer) = token.refused(&shown).await else { return Ok(answer) };
        if self.does_not_know(&newer).await {
            let _nothing_else_is_tried = token.refused(&newer).await;
            return Ok(answer);
        }
        newer.lent.worked();
        if repeats { with_token(made(&self.client), &newer).await } else { Err(ClusterError::Replaced) }
    }

    /// Whether the API server does not accept a token, by its own word: to a question that it answers itself, and before it
    /// looks at anybody's rights. It is asked once a second at the most; where it does not say, it is not taken to refuse.
    async fn does_not_know(&self, shown: &UpstreamLogin) -> bool {
        let mut word = self.word.lock().await;
        if let Some(said) = word.as_ref().filter(|w| w.of.is(shown) && w.at.elapsed() < ASKED_AGAIN) {
            return !said.is_accepted;
        }
        let asked = with_token(self.client.get(format!("{}/version", self.base)), shown);
        let said = tokio::time::timeout(OWN_WORD, asked).await;
        let is_accepted = !matches!(said, Ok(Ok(answer)) if answer.status() == StatusCode::UNAUTHORIZED);
        // The word is about the credential; nobody is logged in by it.
        let of = UpstreamLogin { lent: Lent::default(), ..shown.clone() };
        *word = Some(Word { of, at: Instant::now(), is_accepted });
        !is_accepted
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
        self.answered(message.repeats, |client| {
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
            read(self.answered(true, |c| c.get(&address).header(ACCEPT, "application/json")).await?, room).await
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
    use crate::{
        connection::UpstreamTls,
        secret::{Asking, LoginSource},
    };
    use bytes::Bytes;
    use doorward_kubernetes::Target;
    use doorward_model::Secret;
    use reqwest::Method;
    use std::sync::atomic::{AtomicUsize, Ordering};
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

    /// A source whose first token the server may not know.
    #[derive(Default)]
    struct Tokens {
        refused: AtomicUsize,
    }

    fn token(text: &str) -> UpstreamLogin {
        UpstreamLogin { user: None, password: Secret::new(text.to_owned()), lent: Lent::default() }
    }

    impl LoginSource for Tokens {
        fn login(&self) -> Asking<'_, Result<UpstreamLogin, String>> {
            Box::pin(async { Ok(token("first")) })
        }

        fn refused<'a>(&'a self, _: &'a UpstreamLogin) -> Asking<'a, Option<UpstreamLogin>> {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Some(token("second")) })
        }
    }

    type Heard = Arc<parking_lot::Mutex<Vec<String>>>;

    /// A server that knows some tokens, and answers 401 to all that has `/proxy` in it whoever asks: what it heard, but for
    /// `/version`.
    async fn guarded(known: &'static [&'static str]) -> (Cluster, Arc<Tokens>, Heard) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Heard::default();
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && socket.read_buf(&mut head).await.is_ok_and(|n| n > 0) {}
                let head = String::from_utf8(head).unwrap();
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                let is_known = known.iter().any(|t| head.contains(&format!("Bearer {t}\r\n")));
                let status = if is_known && !line.contains("/proxy") { "200 OK" } else { "401 Unauthorized" };
                if !line.ends_with("/version") {
                    hears.lock().push(line);
                }
                let said = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
                socket.write_all(said.as_bytes()).await.unwrap();
            }
        });
        let tokens = Arc::new(Tokens::default());
        let upstream = Upstream {
            host: "127.0.0.1".into(),
            port,
            user: None,
            password: Some(Rotating::asked("t", Arc::clone(&tokens) as _)),
            tls: UpstreamTls::Disable,
            tls_ca: None,
            tls_client: None,
        };
        (Cluster::new(&upstream, None, Limits::default()).unwrap(), tokens, heard)
    }

    fn message(method: &Method, path: &str) -> Message {
        let target = Target::parse(method.as_str(), path).unwrap();
        Message::new(method, &target, &HeaderMap::new(), None, Bytes::new()).unwrap()
    }

    const POD: &str = "/api/v1/namespaces/a/pods/b";
    const PROXY: &str = "/api/v1/namespaces/a/pods/b/proxy/";

    /// A pod that answers 401 does not make the gateway take its own token for refused, nor ask twice.
    #[tokio::test]
    async fn a_401_of_a_program_behind_a_proxy_is_no_word_on_our_credential() {
        let (cluster, tokens, heard) = guarded(&["first", "second"]).await;
        for method in [Method::GET, Method::POST, Method::GET] {
            let sent = cluster.send(&message(&method, PROXY), false).await.unwrap();
            assert_eq!(sent.status(), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(tokens.refused.load(Ordering::Relaxed), 0);
        assert_eq!(*heard.lock(), ["GET", "POST", "GET"].map(|m| format!("{m} {PROXY}")));
    }

    /// Where the API server itself does not know the token, what has no effect is asked again, and nothing else.
    #[tokio::test]
    async fn nothing_that_may_have_had_an_effect_is_sent_twice() {
        let (cluster, tokens, heard) = guarded(&["second"]).await;
        let sent = cluster.send(&message(&Method::GET, POD), false).await.unwrap();
        assert_eq!((sent.status(), heard.lock().len()), (StatusCode::OK, 2));
        let mut approved = message(&Method::GET, POD);
        approved.for_once();
        let collection = message(&Method::POST, "/api/v1/namespaces/a/pods");
        let exec = message(&Method::GET, "/api/v1/namespaces/a/pods/b/exec?command=id");
        for once in [approved, collection, message(&Method::DELETE, POD), message(&Method::GET, PROXY), exec] {
            heard.lock().clear();
            let sent = cluster.send(&once, false).await;
            assert!(matches!(sent, Err(ClusterError::Replaced)), "{} {}", once.method, once.target);
            assert_eq!(heard.lock().len(), 1, "{} {}", once.method, once.target);
        }
        assert_eq!(tokens.refused.load(Ordering::Relaxed), 6, "the source hears of it each time");
    }
}
