//! A client of the interface, for the command line.
use crate::types::{
    ApprovalList, ApprovalView, ClassificationView, Comment, ConnectionList, ConnectionSpec, ConnectionTest,
    ConnectionView, CredentialRequest, CredentialView, ExplanationView, NewClassification, NewConnection,
    NewConnectionTest, NewExplanation, NewSecret, ProblemDetails, RewrapView, SecretList, SecretView, SessionList,
    SessionView, SshAccessView, SshCertificate, SshCertificateRequest,
};
use doorward_model::{ApprovalId, SessionId};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error as _, net::IpAddr, ops::ControlFlow, time::Duration};

const DEADLINE: Duration = Duration::from_secs(30);
/// For what reads a whole database.
const LONG: Duration = Duration::from_secs(300);
/// Four keep-alives missed.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest event that a watch takes in, in bytes.
const MAX_EVENT: usize = 64 * 1024 * 1024;

/// What went wrong, in words for the person at the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be used.
    #[error("`{url}` cannot be used as the address of the API: {why}")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody listens.
    #[error("no gateway answers at {url}: is `doorward serve` running?")]
    NoGateway {
        /// Where.
        url: String,
    },
    /// Connected, but not understood: TLS, time-out, or something that is not a gateway.
    #[error("the gateway at {url} cannot be talked to: {why}")]
    Transport {
        /// Where.
        url: String,
        /// What happened.
        why: String,
    },
    /// 401.
    #[error("the token was not accepted: {0}")]
    Token(String),
    /// Any other refusal, in the gateway's words.
    #[error("{detail} ({status})")]
    Refused {
        /// The status.
        status: u16,
        /// What the gateway says.
        detail: String,
    },
}

/// Talks to one gateway with one token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the gateway at `base_url` (`https://gateway.example:8443`).
    /// `ca_pem` is trusted besides the system's authorities.
    ///
    /// # Errors
    /// Where the address or the certificates cannot be used. A token is sent in clear text to this machine only.
    pub fn new(base_url: &str, token: &str, ca_pem: Option<Vec<u8>>) -> Result<Self, ClientError> {
        let address = |why: String| ClientError::Address { url: base_url.to_owned(), why };
        let url: Url = base_url.parse().map_err(|e| address(format!("{e}")))?;
        let local = is_local(&url);
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => return Err(address("the token would travel in clear text: use https".into())),
            _ => return Err(address("use https".into())),
        }
        let mut http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE);
        if local {
            http = http.no_proxy();
        }
        if let Some(pem) = ca_pem {
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| address(format!("the CA file: {e}")))?;
            http = http.tls_certs_merge(certificates);
        }
        let http = http.build().map_err(|e| address(reason(&e)))?;
        Ok(Self { http, base: base_url.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// The newest approvals that the caller may see, in a state (`pending`, …) or in any.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approvals(&self, state: Option<&str>) -> Result<Vec<ApprovalView>, ClientError> {
        let request = self.request(Method::GET, &approvals_in(state.unwrap_or("all")));
        Ok(self.json::<ApprovalList>(request).await?.approvals)
    }

    /// One approval.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approval(&self, id: ApprovalId) -> Result<ApprovalView, ClientError> {
        self.json(self.request(Method::GET, &format!("approvals/{id}"))).await
    }

    /// Says yes; gives how the approval stands then.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approve(&self, id: ApprovalId, comment: &str) -> Result<ApprovalView, ClientError> {
        self.decide(id, "approve", comment).await
    }

    /// Says no; gives how the approval stands then.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deny(&self, id: ApprovalId, comment: &str) -> Result<ApprovalView, ClientError> {
        self.decide(id, "deny", comment).await
    }

    /// Gives the pending approvals and then each change to `seen`, until that breaks off or the gateway
    /// ends the stream (it stops, or the token expires).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn watch(&self, mut seen: impl FnMut(ApprovalView) -> ControlFlow<()>) -> Result<(), ClientError> {
        let mut response = self.send(self.request(Method::GET, "approvals/watch")).await?;
        let mut buffer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(&e))? {
            buffer.extend_from_slice(&chunk);
            while let Some(line) = cut_line(&mut buffer) {
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                let view = serde_json::from_slice(data).map_err(|e| self.odd(&e))?;
                if seen(view).is_break() {
                    return Ok(());
                }
            }
            if buffer.len() > MAX_EVENT {
                return Err(self.odd(&"an event is too long"));
            }
        }
        Ok(())
    }

    /// The sessions that are open now, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sessions(&self) -> Result<Vec<SessionView>, ClientError> {
        let mut sessions = self.all("sessions?state=live", |page: SessionList| (page.sessions, page.next)).await?;
        sessions.reverse();
        Ok(sessions)
    }

    /// Everything of a list, page by page. `path` is the path with its query.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn all<P: DeserializeOwned, T>(
        &self,
        path: &str,
        take: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, ClientError> {
        let (mut out, mut cursor) = (Vec::new(), None);
        loop {
            let (items, next) = take(self.page(path, cursor.as_deref()).await?);
            out.extend(items);
            match next {
                // A server that gives the same again would keep us for ever.
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                Some(_) | None => return Ok(out),
            }
        }
    }

    /// A page of a list. `path` is the path with its query.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn page<P: DeserializeOwned>(&self, path: &str, cursor: Option<&str>) -> Result<P, ClientError> {
        let mut path = path.to_owned();
        if let Some(cursor) = cursor {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("cursor=");
            path.push_str(&form_urlencoded(cursor));
        }
        self.read(&path).await
    }

    /// One thing. `path` is the path with its query.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path)).await
    }

    /// Sends something with POST, and reads the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Deletes something.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, path).timeout(DEADLINE)).await.map(|_| ())
    }

    /// What is long: each piece of it as it comes.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Transport`] where it broke off, or `piece` fails.
    pub async fn stream(
        &self,
        path: &str,
        mut piece: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let mut response = self.send(self.request(Method::GET, path)).await?;
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(&e))? {
            piece(&chunk).map_err(|e| self.odd(&e))?;
        }
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn kill(&self, id: SessionId) -> Result<(), ClientError> {
        let request = self.request(Method::POST, &format!("sessions/{id}/kill"));
        self.send(request.timeout(DEADLINE)).await.map(|_| ())
    }

    /// The secrets that the gateway keeps, without what they are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn secrets(&self) -> Result<Vec<SecretView>, ClientError> {
        self.all("secrets", |page: SecretList| (page.secrets, page.next)).await
    }

    /// Keeps a secret, or replaces it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<SecretView, ClientError> {
        let body = NewSecret { value: value.to_owned() };
        self.json(self.request(Method::PUT, &format!("secrets/{}", in_path(name))).json(&body)).await
    }

    /// Deletes a secret that nothing uses.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_secret(&self, name: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("secrets/{}", in_path(name)));
        self.send(request.timeout(DEADLINE)).await.map(|_| ())
    }

    /// Has the key take over that the gateway's configuration names now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rewrap_secrets(&self) -> Result<RewrapView, ClientError> {
        self.json(self.request(Method::POST, "secret-rewraps").timeout(DEADLINE)).await
    }

    /// A certificate over a public key, to log in over SSH with.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ssh_certificate(&self, public_key: &str, ttl: Duration) -> Result<SshCertificate, ClientError> {
        let body = SshCertificateRequest { public_key: public_key.to_owned(), ttl_seconds: Some(ttl.as_secs()) };
        self.json(self.request(Method::POST, "ssh/certificates").json(&body)).await
    }

    /// The endpoints for SSH that the caller may connect to.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ssh_endpoints(&self) -> Result<Vec<SshAccessView>, ClientError> {
        self.json(self.request(Method::GET, "ssh/endpoints")).await
    }

    /// A short-lived user name and password for a connection; how long it is good for is the gateway's to say where it is
    /// not given.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn credential(&self, connection: &str, ttl: Option<Duration>) -> Result<CredentialView, ClientError> {
        let body = CredentialRequest { connection: connection.to_owned(), ttl_seconds: ttl.map(|t| t.as_secs()) };
        self.json(self.request(Method::POST, "credentials").json(&body)).await
    }

    /// Lets one through alone, in an emergency; gives how the approval stands then.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn break_glass(&self, id: ApprovalId, reason: &str) -> Result<ApprovalView, ClientError> {
        self.decide(id, "break-glass", reason).await
    }

    async fn decide(&self, id: ApprovalId, what: &str, comment: &str) -> Result<ApprovalView, ClientError> {
        let body = Comment { comment: comment.to_owned() };
        self.json(self.request(Method::POST, &format!("approvals/{id}/{what}")).json(&body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1/{path}", self.base)).bearer_auth(&self.token)
    }

    /// A request outside the API, without the token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// The connections that the caller may see.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connections(&self) -> Result<Vec<ConnectionView>, ClientError> {
        Ok(self.json::<ConnectionList>(self.request(Method::GET, "connections")).await?.connections)
    }

    /// One connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connection(&self, name: &str) -> Result<ConnectionView, ClientError> {
        self.json(self.request(Method::GET, &format!("connections/{}", in_path(name)))).await
    }

    /// Registers a connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_connection(&self, new: &NewConnection) -> Result<ConnectionView, ClientError> {
        self.json(self.request(Method::POST, "connections").json(new)).await
    }

    /// Changes a connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn change_connection(&self, name: &str, spec: &ConnectionSpec) -> Result<ConnectionView, ClientError> {
        self.json(self.request(Method::PUT, &format!("connections/{}", in_path(name))).json(spec)).await
    }

    /// Removes a connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_connection(&self, name: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("connections/{}", in_path(name)));
        self.send(request.timeout(DEADLINE)).await.map(drop)
    }

    /// What columns seem to hold. Takes minutes on large databases.
    ///
    /// # Errors
    /// As for [`Client::connections`].
    pub async fn classify(&self, name: &str, asked: &NewClassification) -> Result<ClassificationView, ClientError> {
        let request = self.request(Method::POST, &format!("connections/{}/classify", in_path(name))).json(asked);
        let response = self.send(request.timeout(LONG)).await?;
        response.json().await.map_err(|e| self.failed(&e))
    }

    /// How a statement would be decided on a connection, and what would become of it.
    ///
    /// # Errors
    /// As for [`Client::connections`].
    pub async fn explain(&self, name: &str, asked: &NewExplanation) -> Result<ExplanationView, ClientError> {
        self.json(self.request(Method::POST, &format!("connections/{}/explain", in_path(name))).json(asked)).await
    }

    /// Tries a connection that is registered.
    ///
    /// # Errors
    /// See [`ClientError`]; one that cannot be used is a result.
    pub async fn test_connection(&self, name: &str) -> Result<ConnectionTest, ClientError> {
        self.json(self.request(Method::POST, &format!("connections/{}/test", in_path(name)))).await
    }

    /// Tries one that is not.
    ///
    /// # Errors
    /// See [`ClientError`]; one that cannot be used is a result.
    pub async fn try_connection(&self, new: &NewConnectionTest) -> Result<ConnectionTest, ClientError> {
        self.json(self.request(Method::POST, "connection-tests").json(new)).await
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request.timeout(DEADLINE)).await?;
        response.json().await.map_err(|e| self.failed(&e))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|e| self.failed(&e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let problem: ProblemDetails = serde_json::from_slice(&body).unwrap_or_default();
        let detail = if problem.detail.is_empty() { format!("{status}") } else { problem.detail };
        Err(match status {
            StatusCode::UNAUTHORIZED => ClientError::Token(detail),
            _ => ClientError::Refused { status: status.as_u16(), detail },
        })
    }

    fn failed(&self, e: &reqwest::Error) -> ClientError {
        let mut cause = e.source();
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::ConnectionRefused
            {
                return ClientError::NoGateway { url: self.base.clone() };
            }
            cause = inner.source();
        }
        ClientError::Transport { url: self.base.clone(), why: reason(e) }
    }

    fn odd(&self, why: &dyn std::fmt::Display) -> ClientError {
        ClientError::Transport { url: self.base.clone(), why: why.to_string() }
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn reason(e: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Whatever the word is, it stays one parameter: the gateway says whether it is a state.
fn approvals_in(state: &str) -> String {
    let mut query = form_urlencoded(state);
    query.insert_str(0, "approvals?state=");
    query
}

/// A word within a query.
pub fn form_urlencoded(word: &str) -> String {
    use std::fmt::Write as _;
    word.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() {
            out.push(char::from(b));
        } else {
            let _never_fails = write!(out, "%{b:02X}");
        }
        out
    })
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn cut_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.iter().position(|b| *b == b'\n')?;
    let rest = buffer.split_off(end.saturating_add(1));
    let mut line = std::mem::replace(buffer, rest);
    line.truncate(end);
    Some(line)
}

/// A name as one part of a path: what is not plain is written as its bytes (RFC 3986, section 2.1).
fn in_path(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~') || (b == b'.' && name.len() > 2);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
