//! A caller's TCP connection: TLS, HTTP, and whose each request is.
use super::{
    Endpoint,
    answer::{self, Answered},
    handler,
    session::{NoSession, Session},
    sessions::{NotBegun, Sessions},
};
use crate::{arrivals::Waiting, services::now};
use doorward_kubernetes::render;
use doorward_model::{AuditEvent, AuditKind};
use http::{HeaderMap, Request, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// How long a caller may take until it has shown who it is, and for each head of a request.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// The most identities on one connection: a proxy may carry several.
const MOST_IDENTITIES: usize = 64;
/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 64 * 1024;
/// Why a session ends with its connection.
const GONE: &str = "the caller closed the connection";
/// Requests at once on one HTTP/2 connection.
const MOST_STREAMS: u32 = 256;

/// What all requests of a connection share.
pub(crate) struct Caller {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) peer: SocketAddr,
    waiting: Mutex<Option<Waiting>>,
    sessions: Sessions<Session>,
}

/// A caller, from the first byte to the last.
pub(crate) async fn serve(endpoint: Arc<Endpoint>, socket: TcpStream, waiting: Waiting) {
    let Ok(peer) = socket.peer_addr() else { return };
    let acceptor = TlsAcceptor::from(Arc::clone(&endpoint.tls));
    let deadline = tokio::time::Instant::now() + HANDSHAKE;
    let stream = match tokio::time::timeout_at(deadline, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return tracing::debug!(%peer, "no TLS: {e}"),
        Err(_) => return tracing::debug!(%peer, "no TLS in time"),
    };
    let caller = Arc::new(Caller {
        endpoint,
        peer,
        waiting: Mutex::new(Some(waiting)),
        sessions: Sessions::new(MOST_IDENTITIES),
    });
    let service = {
        let caller = Arc::clone(&caller);
        service_fn(move |request| {
            let caller = Arc::clone(&caller);
            async move { Ok::<_, Infallible>(caller.answer(request).await) }
        })
    };
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE).max_buf_size(LARGEST_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LARGEST_HEAD as u32)
        .keep_alive_interval(Duration::from_secs(30));
    let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _left = &mut connection => caller.streams_end().await,
        () = caller.stranger(deadline) => {}
        () = caller.shown_out() => {
            connection.as_mut().graceful_shutdown();
            let _slow = tokio::time::timeout(Duration::from_secs(2), connection).await;
        }
    }
    caller.close(GONE);
}

impl Caller {
    /// Resolves when nobody has shown who they are in time.
    async fn stranger(&self, deadline: tokio::time::Instant) {
        tokio::time::sleep_until(deadline).await;
        if self.waiting.lock().is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the sessions of this connection were ended from elsewhere, all of them: nobody is to go on as if
    /// nothing had been. Where some go on, requests of the others are refused one by one.
    async fn shown_out(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let sessions = self.sessions.begun();
            if !sessions.is_empty() && sessions.iter().all(|s| s.live.is_over()) {
                return;
            }
        }
    }

    /// Streams that were upgraded go on without the connection, and their sessions with them.
    async fn streams_end(&self) {
        for session in self.sessions.begun() {
            session.streams_end().await;
        }
    }

    fn close(&self, reason: &str) {
        for session in self.sessions.close() {
            session.close(reason);
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let session = match self.session(request.headers()).await {
            Ok(session) => session,
            Err(refused) => return answer::own(&refused),
        };
        handler::handle(&session, request).await
    }

    /// The session of whoever a request is of.
    async fn session(&self, headers: &HeaderMap) -> Result<Arc<Session>, render::Answer> {
        let token = bearer(headers).ok_or_else(|| {
            render::unauthorized(
                "no identity token: send it as `Authorization: Bearer`; in a kubeconfig it is the user's `token`",
            )
        })?;
        let services = &self.endpoint.services;
        let principal = match services.identity.verify(token, now()).await {
            Ok(principal) => principal,
            Err(rejected) => {
                let kind = AuditKind::AuthenticationFailed { user: String::new(), reason: rejected.reason };
                let event = AuditEvent { time: now(), session: None, kind, parties: None };
                if let Err(e) = services.audit.append(&event) {
                    tracing::error!("a failed authentication is not in the audit log: {e}");
                }
                tokio::time::sleep(services.arrivals.failed(self.peer.ip(), Instant::now())).await;
                return Err(render::unauthorized(doorward_identity::EXTERNAL_MESSAGE));
            }
        };
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let unavailable = |why: &str| render::status(503, "ServiceUnavailable", &format!("doorward: {why}"));
        let begin = Session::begin(Arc::clone(&self.endpoint), principal, self.peer);
        match self.sessions.of(key, begin).await {
            Ok(session) if session.live.is_over() => Err(render::unauthorized("this session was ended; connect again")),
            Ok(session) => {
                drop(self.waiting.lock().take());
                Ok(session)
            }
            Err(NotBegun::Full) => {
                Err(render::status(429, "TooManyRequests", "doorward: too many identities on one connection"))
            }
            Err(NotBegun::Gone) => Err(unavailable(GONE)),
            Err(NotBegun::Late(session)) => {
                session.close(GONE);
                Err(unavailable(GONE))
            }
            Err(NotBegun::Failed(NoSession::Refused(refusal))) => Err(render::refusal(&refusal)),
            Err(NotBegun::Failed(NoSession::Unavailable(why))) => Err(unavailable(&why)),
        }
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1): there is one such header, or none counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
