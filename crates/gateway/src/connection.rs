//! A registered backend, ready to be served.
use crate::secret::Rotating;
use doorward_model::ConnectionInfo;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// How the gateway speaks to the upstream (libpq's `sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Never TLS.
    Disable,
    /// TLS where the upstream offers it; the certificate is not checked.
    Prefer,
    /// Always TLS; the certificate is not checked.
    Require,
    /// Always TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// Always TLS, with a certificate of a trusted authority for the upstream's host name.
    VerifyFull,
}

impl std::str::FromStr for UpstreamTls {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Ok(match s {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(format!("`{s}` is not a TLS mode: use disable, prefer, require, verify-ca or verify-full"));
            }
        })
    }
}

/// How callers log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// The token is the password.
    #[default]
    Password,
    /// SASL `OAUTHBEARER` (libpq 18).
    OAuth,
}

/// What becomes of a caller whose request is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenHeld {
    /// It waits for people.
    #[default]
    Wait,
    /// It is refused at once, with the approval's id; the same request passes, once, when people have approved it.
    Retry,
}

/// Certificate authorities, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// In a file.
    File(PathBuf),
    /// Here.
    Pem(String),
}

/// Where the upstream is and how to log in there.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The upstream's user; the caller's user name where absent.
    pub user: Option<String>,
    /// The upstream's password.
    pub password: Option<Rotating>,
    /// TLS towards it.
    pub tls: UpstreamTls,
    /// Certificate authorities to trust instead of the system's.
    pub tls_ca: Option<Authorities>,
    /// A client certificate and its key, in PEM.
    pub tls_client: Option<(PathBuf, PathBuf)>,
}

impl Upstream {
    /// Its name and port.
    pub(crate) fn place(&self) -> Arc<str> {
        place(&self.host, self.port)
    }
}

/// A machine and a port, as one text.
pub(crate) fn place(host: &str, port: u16) -> Arc<str> {
    format!("{host}:{port}").into()
}

/// A registered backend.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What policy knows of it.
    pub info: Arc<ConnectionInfo>,
    /// Where callers connect.
    pub listen: SocketAddr,
    /// The backend.
    pub upstream: Upstream,
    /// The database, where it is pinned.
    pub database: Option<String>,
    /// How callers log in unless they ask otherwise.
    pub client_auth: ClientAuth,
    /// Whether requests wait until their audit entry is durable.
    pub strict_audit: bool,
    /// How many sessions may be open at once.
    pub max_sessions: usize,
    /// Bounds of each session.
    pub limits: doorward_postgres::Limits,
}
