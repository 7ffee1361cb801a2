//! The gateway's own log-in at the upstream, which is as untrusted as the caller: its packets are bounded, it cannot talk
//! the gateway out of TLS, and it cannot have the password for less than the configuration allows.
use super::{Endpoint, packets::Packets};
use crate::{
    connection::UpstreamTls,
    probe::{self, Probed},
    secret::{Lent, MissingSecret, UpstreamLogin},
    stream::Stream,
};
use doorward_mysql::{
    Capabilities, UpstreamAuth,
    auth::{AuthError, AuthStep},
    codec,
    startup::{self, Greeting, Hello, Login, LoginStep, Response},
};
use rustls::pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How long the upstream may take to accept and to log in.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest packet of an upstream during log-in, in bytes.
const LONGEST: usize = 64 * 1024;
/// utf8mb4_general_ci, which all of them have.
const COLLATION: u8 = 45;
/// The longest message that is announced, in bytes.
const MOST: u32 = 1 << 30;

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
    #[error("the database server refused ({code}): {message}")]
    Refused { code: u16, message: String },
}

impl From<io::Error> for UpstreamError {
    fn from(e: io::Error) -> Self {
        Self::Unreachable(Arc::new(e))
    }
}

impl UpstreamError {
    /// Whether the server says that the password is wrong, or that its time is over: `ER_ACCESS_DENIED_ERROR`, which it also
    /// answers for users that it does not know, and `ER_MUST_CHANGE_PASSWORD_LOGIN`. Nothing that callers say is in our log-in: no
    /// user, no database. Not `ER_ACCESS_DENIED_NO_PASSWORD_ERROR` (1698), of accounts that have no password, nor what is about a
    /// database (1044, 1049), too many connections or locked accounts: another password would not help.
    fn is_of_the_credential(&self) -> bool {
        matches!(self, Self::Refused { code: 1045 | 1862, .. })
    }

    /// What the caller hears: nothing of the gateway's own credential or user.
    pub(crate) fn for_the_caller(&self) -> String {
        match self {
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

/// A session with the upstream.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) packets: Packets,
    pub(super) greeting: Greeting,
    /// What gateway and upstream speak.
    pub(super) agreed: Capabilities,
    /// With what it is logged in.
    pub(super) lent: Lent,
}

/// Connects and logs in, for a client that agreed to `client`.
pub(super) async fn connect(endpoint: &Endpoint, client: Capabilities) -> Result<Connected, UpstreamError> {
    timeout(PATIENCE, async {
        let Some(credential) = &endpoint.connection.upstream.password else {
            return log_in(endpoint, client, None).await;
        };
        let shown = credential.login().await?;
        let refused = match log_in(endpoint, client, Some(&shown)).await {
            Err(e) if e.is_of_the_credential() => e,
            other => return other,
        };
        // It may have changed at its source a moment ago.
        let Some(newer) = credential.refused(&shown).await else { return Err(refused) };
        let tried = log_in(endpoint, client, Some(&newer)).await;
        if tried.as_ref().is_err_and(UpstreamError::is_of_the_credential) {
            let _nothing_else_is_tried = credential.refused(&newer).await;
        }
        tried
    })
    .await
    .map_err(|_| UpstreamError::Slow)?
}

fn odd(e: impl std::fmt::Display) -> UpstreamError {
    UpstreamError::Misbehaved(e.to_string())
}

async fn log_in(
    endpoint: &Endpoint,
    client: Capabilities,
    shown: Option<&UpstreamLogin>,
) -> Result<Connected, UpstreamError> {
    let upstream = &endpoint.connection.upstream;
    let pinned = upstream.user.as_deref();
    let user = shown.map_or(Ok(pinned), |s| s.user(pinned))?.unwrap_or_default().as_bytes().to_vec();
    let password = shown.map(|s| s.password.clone());
    let socket = TcpStream::connect((upstream.host.as_str(), upstream.port)).await?;
    crate::accept::prepare(&socket)?;
    let mut packets = Packets::new(Stream::Plain(socket));
    let greeting = match startup::greeting(&packets.read(LONGEST).await?).map_err(odd)? {
        Hello::Greeting(greeting) => greeting,
        Hello::Refused(code, message) => return Err(UpstreamError::Refused { code, message }),
    };
    let mut agreed = Capabilities::towards_upstream(greeting.capabilities, client);
    if encrypts(endpoint, &greeting)? {
        agreed = agreed.with(Capabilities::SSL);
        packets = encrypted(endpoint, packets, agreed).await?;
    }
    let clear = upstream.tls == UpstreamTls::Disable;
    let mut auth = UpstreamAuth::new(password, packets.stream.is_tls(), clear, rand::random());
    let (method, proof) = auth.begin(&greeting.plugin, &greeting.nonce)?;
    let login = Login { user, response: proof, plugin: method.name().into(), ..Login::default() };
    say(&mut packets, agreed, Some(login)).await?;
    while !auth.is_done() {
        let packet = packets.read(LONGEST).await?;
        let step = startup::login_step(&packet).map_err(odd)?;
        if let LoginStep::Error(error) = step {
            return Err(refused(error, agreed));
        }
        if let AuthStep::Send(payload) = auth.handle(&step)? {
            packets.write(&payload).await?;
        }
    }
    let lent = shown.map(|s| s.lent.clone()).unwrap_or_default();
    lent.worked();
    Ok(Connected { packets, greeting, agreed, lent })
}

/// Whether TLS is to begin.
fn encrypts(endpoint: &Endpoint, greeting: &Greeting) -> Result<bool, UpstreamError> {
    let offered = greeting.capabilities.has(Capabilities::SSL);
    match (endpoint.upstream_tls.is_some(), offered, endpoint.connection.upstream.tls) {
        (false, _, _) | (true, false, UpstreamTls::Prefer) => Ok(false),
        (true, true, _) => Ok(true),
        (true, false, _) => {
            Err(UpstreamError::Tls("the server does not offer TLS, and the connection demands it".into()))
        }
    }
}

async fn encrypted(endpoint: &Endpoint, mut packets: Packets, agreed: Capabilities) -> Result<Packets, UpstreamError> {
    say(&mut packets, agreed, None).await?;
    let Packets { stream: Stream::Plain(socket), next } = packets else { return Err(odd("TLS twice")) };
    let Some(config) = &endpoint.upstream_tls else { return Err(odd("TLS without its settings")) };
    let host = &endpoint.connection.upstream.host;
    let name = ServerName::try_from(host.clone()).map_err(|e| UpstreamError::Tls(format!("`{host}`: {e}")))?;
    let tls = tokio_rustls::TlsConnector::from(config.clone()).connect(name, socket).await;
    let tls = tls.map_err(|e| UpstreamError::Tls(e.to_string()))?;
    Ok(Packets { stream: Stream::ClientTls(Box::new(tls)), next })
}

async fn say(packets: &mut Packets, capabilities: Capabilities, login: Option<Login>) -> io::Result<()> {
    let mut out = Vec::new();
    startup::put_response(&mut out, &Response { capabilities, most: MOST, collation: COLLATION, login });
    packets.write(&out).await
}

pub(super) fn refused(packet: &[u8], agreed: Capabilities) -> UpstreamError {
    match codec::upstream::error(packet, agreed) {
        Ok(Ok(error)) => {
            UpstreamError::Refused { code: error.code, message: String::from_utf8_lossy(error.message).into_owned() }
        }
        Ok(Err(_)) => odd("a report of progress in place of an answer"),
        Err(e) => odd(e),
    }
}

/// Logs in and leaves.
pub(super) async fn probe(endpoint: &Endpoint) -> Result<Probed, UpstreamError> {
    let Connected { mut packets, greeting, .. } = connect(endpoint, Capabilities::default()).await?;
    packets.next = 0;
    // COM_QUIT.
    let _gone = timeout(PATIENCE, packets.write(b"\x01")).await;
    let server = probe::version(&greeting.version);
    Ok(Probed { server, encrypted: packets.stream.is_tls(), logged_in: true, host_key: None })
}

/// Ends what a session of the gateway's runs, by the upstream's number for it.
pub(super) async fn kill_query(endpoint: &Endpoint, number: u32) -> Result<(), UpstreamError> {
    let Connected { mut packets, agreed, .. } = connect(endpoint, Capabilities::default()).await?;
    packets.next = 0;
    let head: &[u8] = if agreed.has(Capabilities::QUERY_ATTRIBUTES) { b"\x03\0\x01" } else { b"\x03" };
    packets.write(&[head, format!("KILL QUERY {number}").as_bytes()].concat()).await?;
    let answer = timeout(PATIENCE, packets.read(LONGEST)).await.map_err(|_| UpstreamError::Slow)??;
    if answer.first() == Some(&0xff) { Err(refused(&answer, agreed)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_password_is_of_the_credential() {
        for (code, is_so) in
            [(1045, true), (1862, true), (1698, false), (1044, false), (1049, false), (1040, false), (3118, false)]
        {
            let said = UpstreamError::Refused { code, message: String::new() };
            assert_eq!(said.is_of_the_credential(), is_so, "{code}");
        }
        assert!(!UpstreamError::Slow.is_of_the_credential());
    }
}
