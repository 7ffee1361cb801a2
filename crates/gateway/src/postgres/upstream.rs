//! The gateway's own log-in at the upstream.
//!
//! The upstream is as untrusted as the caller: its messages are bounded, it cannot talk the gateway
//! out of TLS, and it cannot have the password for less than the configuration allows.
use super::Endpoint;
use crate::{
    connection::UpstreamTls,
    probe::{self, Probed},
    secret::{Lent, MissingSecret, UpstreamLogin},
    stream::Stream,
    tls,
};
use bytes::BytesMut;
use doorward_model::Secret;
use doorward_postgres::{
    UpstreamAuth,
    auth::{AuthError, AuthStep},
    codec::{self, UpstreamMessage},
    render,
};
use rustls::pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long the upstream may take to accept and to log in.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest message of an upstream during log-in, in bytes.
const LONGEST: usize = 64 * 1024;
/// How much an upstream may say before it is ready, in bytes.
const TALKATIVE: usize = 256 * 1024;

/// Why there is no session with the upstream.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("cannot connect to the database server: {0}")]
    Unreachable(Arc<io::Error>),
    #[error("the database server did not answer in time")]
    Slow,
    #[error("TLS with the database server failed: {0}")]
    Tls(String),
    #[error("the database server broke the protocol: {0}")]
    Misbehaved(String),
    #[error("the schema: {0}")]
    Schema(String),
    #[error("log-in at the database server: {0}")]
    Auth(#[from] AuthError),
    #[error(transparent)]
    NoSecret(#[from] MissingSecret),
    /// The upstream's own error: its SQLSTATE and message.
    #[error("the database server refused: {message}")]
    Refused { code: String, message: String },
}

impl From<io::Error> for UpstreamError {
    fn from(e: io::Error) -> Self {
        Self::Unreachable(Arc::new(e))
    }
}

impl UpstreamError {
    /// Whether the server says that the password is wrong: `invalid_password`, which it also answers for users that it does not
    /// know. Not `invalid_authorization_specification` (28000): that is about the database, the address or the rights of a
    /// user (`pg_hba.conf`, `NOLOGIN`), and a caller who says which database chooses among them.
    fn is_of_the_credential(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "28P01")
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } if code == "3D000" => "3D000",
            Self::Refused { code, .. } if code == "53300" => "53300",
            Self::Refused { code, .. } if code == "57P03" => "57P03",
            Self::Unreachable(_)
            | Self::Slow
            | Self::Tls(_)
            | Self::Misbehaved(_)
            | Self::Schema(_)
            | Self::Auth(_)
            | Self::NoSecret(_)
            | Self::Refused { .. } => "08006",
        }
    }

    /// What the caller hears: nothing of the gateway's own credential or user.
    pub(crate) fn for_the_caller(&self) -> String {
        match self {
            Self::Refused { code, message } if matches!(code.as_str(), "3D000" | "53300" | "57P03") => message.clone(),
            Self::Refused { .. } | Self::Auth(_) | Self::NoSecret(_) => {
                "the gateway could not log in at the database server; its operator finds the reason in the audit log"
                    .into()
            }
            Self::Unreachable(_) | Self::Slow | Self::Tls(_) | Self::Misbehaved(_) | Self::Schema(_) => {
                self.to_string()
            }
        }
    }
}

/// What a log-in asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
    pub(crate) parameters: &'a [(String, String)],
    pub(crate) version: (u16, u16),
}

/// Where and how to cancel what the upstream does.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancelTarget {
    process_id: u32,
    key: Vec<u8>,
}

/// A session with the upstream.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) stream: Stream,
    /// The upstream's parameter reports and notices, as they came.
    pub(crate) greeting: BytesMut,
    /// Whether it keeps names as UTF-8.
    pub(crate) names_are_utf8: bool,
    pub(crate) cancel_target: CancelTarget,
    /// With what it is logged in.
    pub(crate) lent: Lent,
}

/// Connects and logs in.
pub(crate) async fn connect(endpoint: &Endpoint, login: &Login<'_>) -> Result<Greeted, UpstreamError> {
    timeout(PATIENCE, async {
        let Some(credential) = &endpoint.connection.upstream.password else {
            return log_in(endpoint, dial(endpoint).await?, login, None).await;
        };
        let shown = credential.login().await?;
        let is_ours = shown.has_user(endpoint.connection.upstream.user.as_deref());
        let refused = match attempt(endpoint, login, shown.clone()).await {
            Err(e) if is_ours && e.is_of_the_credential() => e,
            other => return other,
        };
        // It may have changed at its source a moment ago.
        let Some(newer) = credential.refused(&shown).await else { return Err(refused) };
        let tried = attempt(endpoint, login, newer.clone()).await;
        if tried.as_ref().is_err_and(UpstreamError::is_of_the_credential) {
            let _nothing_else_is_tried = credential.refused(&newer).await;
        }
        tried
    })
    .await
    .map_err(|_| UpstreamError::Slow)?
}

async fn attempt(endpoint: &Endpoint, login: &Login<'_>, shown: UpstreamLogin) -> Result<Greeted, UpstreamError> {
    let user = shown.user(endpoint.connection.upstream.user.as_deref())?.unwrap_or(login.user).to_owned();
    let login = Login { user: &user, ..*login };
    let greeted = log_in(endpoint, dial(endpoint).await?, &login, Some(shown.password)).await?;
    shown.lent.worked();
    Ok(Greeted { lent: shown.lent, ..greeted })
}

/// Logs in and leaves. Without a user of the gateway's own there is nobody to log in as.
pub(super) async fn probe(endpoint: &Endpoint) -> Result<Probed, UpstreamError> {
    let upstream = &endpoint.connection.upstream;
    let brings_a_user = match (&upstream.user, &upstream.password) {
        (None, Some(credential)) if credential.is_asked() => credential.login().await?.user.is_some(),
        (None | Some(_), _) => false,
    };
    let user = match &upstream.user {
        Some(user) => user.as_str(),
        // A database that is always there: the user is of its source, and has none of its name.
        None if brings_a_user => "postgres",
        None => {
            let stream = timeout(PATIENCE, dial(endpoint)).await.map_err(|_| UpstreamError::Slow)??;
            return Ok(Probed { server: None, encrypted: stream.is_tls(), logged_in: false, host_key: None });
        }
    };
    let database = endpoint.connection.database.as_deref().unwrap_or(user);
    let parameters = [("application_name".to_owned(), "doorward".to_owned())];
    let login = Login { user, database, parameters: &parameters, version: (3, 0) };
    let Greeted { mut stream, greeting, .. } = connect(endpoint, &login).await?;
    let mut goodbye = BytesMut::new();
    render::terminate(&mut goodbye);
    let _gone = timeout(PATIENCE, send(&mut stream, &goodbye)).await;
    let server = server_version(&greeting).and_then(|v| probe::version(&format!("PostgreSQL {v}")));
    Ok(Probed { server, encrypted: stream.is_tls(), logged_in: true, host_key: None })
}

/// Under what statements are read here, and so have to be read there.
const READABLE: [(&str, &str); 2] = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")];

/// Whether a server has begun a session in which texts mean what they are read as.
fn is_readable(greeting: &[u8]) -> Result<(), UpstreamError> {
    for (name, wanted) in READABLE {
        match reported(greeting, name) {
            Some(value) if value.eq_ignore_ascii_case(wanted) => {}
            value => {
                let is = value.unwrap_or_else(|| "not reported".to_owned());
                let what =
                    format!("its `{name}` is `{is}` and not `{wanted}`, so that statements would be read otherwise");
                return Err(UpstreamError::Misbehaved(what));
            }
        }
    }
    Ok(())
}

fn server_version(greeting: &[u8]) -> Option<String> {
    reported(greeting, "server_version")
}

/// The last that a server has reported of a setting as it began a session.
fn reported(mut greeting: &[u8], wanted: &str) -> Option<String> {
    let mut found = None;
    while let Some((head, _)) = greeting.split_first_chunk::<5>() {
        let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).ok()?;
        let (frame, rest) = greeting.split_at_checked(length.checked_add(1)?)?;
        if let Ok(UpstreamMessage::ParameterStatus { name, value }) = codec::upstream_message(frame)
            && name == wanted
        {
            found = Some(value.to_owned());
        }
        greeting = rest;
    }
    found
}

/// Sends a CancelRequest over a connection of its own, encrypted like the session's.
pub(crate) async fn cancel(endpoint: &Endpoint, target: &CancelTarget) -> Result<(), UpstreamError> {
    let mut stream = dial(endpoint).await?;
    let mut out = BytesMut::new();
    render::cancel_request(&mut out, target.process_id, &target.key);
    stream.write_all(&out).await.map_err(UpstreamError::from)?;
    stream.flush().await.map_err(UpstreamError::from)?;
    // The server closes without a word once it has passed the signal on.
    let mut rest = [0; 1];
    let _closed = stream.read(&mut rest).await;
    Ok(())
}

async fn dial(endpoint: &Endpoint) -> Result<Stream, UpstreamError> {
    let upstream = &endpoint.connection.upstream;
    let mut socket = TcpStream::connect((upstream.host.as_str(), upstream.port)).await.map_err(UpstreamError::from)?;
    crate::accept::prepare(&socket).map_err(UpstreamError::from)?;
    let Some(config) = &endpoint.upstream_tls else { return Ok(Stream::Plain(socket)) };
    let mut ask = BytesMut::new();
    render::ssl_request(&mut ask);
    socket.write_all(&ask).await.map_err(UpstreamError::from)?;
    let mut answer = [0; 1];
    socket.read_exact(&mut answer).await.map_err(UpstreamError::from)?;
    match (answer, upstream.tls) {
        ([b'S'], _) => {
            let name = ServerName::try_from(upstream.host.clone())
                .map_err(|e| UpstreamError::Tls(format!("`{}`: {e}", upstream.host)))?;
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let tls = connector.connect(name, socket).await.map_err(|e| UpstreamError::Tls(e.to_string()))?;
            Ok(Stream::ClientTls(Box::new(tls)))
        }
        ([b'N'], UpstreamTls::Prefer) => Ok(Stream::Plain(socket)),
        ([b'N'], _) => Err(UpstreamError::Tls("the server does not offer TLS, and the connection demands it".into())),
        ([other], _) => Err(UpstreamError::Misbehaved(format!("0x{other:02x} in answer to SSLRequest"))),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected during log-in ends it")]
async fn log_in(
    endpoint: &Endpoint,
    mut stream: Stream,
    login: &Login<'_>,
    password: Option<Secret<String>>,
) -> Result<Greeted, UpstreamError> {
    let mut out = BytesMut::new();
    let mut parameters = vec![("user", login.user), ("database", login.database)];
    parameters.extend(login.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    for (name, value) in READABLE {
        // Said aloud: defaults of the server, the database or the role may be others.
        if !login.parameters.iter().any(|(n, _)| n == name) {
            parameters.push((name, value));
        }
    }
    let minor = if login.version.1 >= 2 { 2 } else { 0 };
    render::startup_message(&mut out, (3, minor), &parameters);
    send(&mut stream, &out).await?;
    let binding = stream.peer_certificate().and_then(tls::server_end_point);
    let mut auth = UpstreamAuth::new(
        login.user,
        password,
        stream.is_tls(),
        endpoint.connection.upstream.tls == UpstreamTls::Disable,
        binding,
        rand::random(),
        endpoint.scram_keys.clone(),
    );
    let mut greeting = BytesMut::new();
    let mut cancel_target = CancelTarget::default();
    let mut heard = 0;
    loop {
        let frame = read_frame(&mut stream).await?;
        heard += frame.len();
        if heard > TALKATIVE {
            return Err(UpstreamError::Misbehaved("it talks too much before it is ready".into()));
        }
        let message = codec::upstream_message(&frame).map_err(|e| UpstreamError::Misbehaved(e.to_string()))?;
        match message {
            UpstreamMessage::Authentication(request) => match auth.handle(&request)? {
                AuthStep::Send(bytes) => send(&mut stream, &bytes).await?,
                AuthStep::Wait | AuthStep::Done => {}
            },
            UpstreamMessage::ErrorResponse(_) => return Err(refused(&frame)),
            UpstreamMessage::NoticeResponse(_) | UpstreamMessage::NegotiateProtocolVersion { .. } => {}
            UpstreamMessage::ParameterStatus { .. } if auth.is_done() => greeting.extend_from_slice(&frame),
            UpstreamMessage::BackendKeyData { process_id, key } if auth.is_done() => {
                cancel_target = CancelTarget { process_id, key: key.to_vec() };
            }
            UpstreamMessage::ReadyForQuery { status: b'I' } if auth.is_done() => {
                is_readable(&greeting)?;
                let names_are_utf8 = reported(&greeting, "server_encoding").is_some_and(|e| e == "UTF8");
                return Ok(Greeted { stream, greeting, names_are_utf8, cancel_target, lent: Lent::default() });
            }
            _ => return Err(UpstreamError::Misbehaved("an unexpected message during log-in".into())),
        }
    }
}

pub(super) fn refused(frame: &[u8]) -> UpstreamError {
    UpstreamError::Refused {
        code: codec::sqlstate(frame).unwrap_or("XX000").to_owned(),
        message: codec::error_text(frame).unwrap_or_else(|| "no reason given".to_owned()),
    }
}

pub(super) async fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), UpstreamError> {
    stream.write_all(bytes).await.map_err(UpstreamError::from)?;
    stream.flush().await.map_err(UpstreamError::from)
}

/// Reads a message of log-in.
async fn read_frame(stream: &mut Stream) -> Result<Vec<u8>, UpstreamError> {
    read_up_to(stream, LONGEST).await
}

/// Reads a message of a query of the gateway's own.
pub(super) async fn read_long_frame(stream: &mut Stream) -> Result<Vec<u8>, UpstreamError> {
    read_up_to(stream, 16 * 1024 * 1024).await
}

async fn read_up_to(stream: &mut Stream, longest: usize) -> Result<Vec<u8>, UpstreamError> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.map_err(UpstreamError::from)?;
    let header = codec::peek(&head, longest).map_err(|e| UpstreamError::Misbehaved(e.to_string()))?;
    let Some(header) = header else { return Err(UpstreamError::Misbehaved("a frame without a length".into())) };
    let mut frame = vec![0; header.total];
    if let Some((start, rest)) = frame.split_at_mut_checked(5) {
        start.copy_from_slice(&head);
        stream.read_exact(rest).await.map_err(UpstreamError::from)?;
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_password_is_of_the_credential() {
        for (code, is_so) in [("28P01", true), ("28000", false), ("3D000", false), ("53300", false), ("42501", false)] {
            let said = UpstreamError::Refused { code: code.into(), message: String::new() };
            assert_eq!(said.is_of_the_credential(), is_so, "{code}");
        }
        assert!(!UpstreamError::Slow.is_of_the_credential());
    }
}
