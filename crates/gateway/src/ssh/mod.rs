//! SSH: listener, log-in, upstream, channels.
//!
//! | file | what is in it |
//! |---|---|
//! | `ca.rs` | certificates that callers log in with |
//! | `caller.rs` | what the library tells of the caller: log-in, channels, requests |
//! | `listener.rs` | an address, and the machines behind it |
//! | `login.rs` | from a token to a session: identity, `connect`, the upstream |
//! | `upstream.rs` | the connection to the upstream: host key, credential, what it says |
//! | `upstream_ca.rs` | certificates that the gateway logs in with |
//! | `session.rs` | what the channels of a session share: deciding, holding, recording |
//! | `channel.rs` | a session channel: its requests, one after the other |
//! | `flow.rs` | data of a channel, both ways |
//! | `program.rs` | a program that runs: its input and output |
//! | `governed.rs`, `lines.rs` | a shell whose lines are decided one by one |
//! | `sftp.rs` | a program that speaks SFTP: each operation decided |
//! | `forward.rs` | forwarded connections |
//! | `inbox.rs` | what a peer sent, until it is taken |
//!
//! Each direction of each channel is a task of its own, and the library's two loops never wait for any: no
//! channel waits for another, and no direction for the other.
mod bound;
mod ca;
mod caller;
mod channel;
mod completion;
mod flow;
mod forward;
mod governed;
mod host_identity;
mod inbox;
mod keys;
mod lines;
mod listener;
mod login;
mod program;
mod session;
mod sftp;

mod upstream;
mod upstream_ca;

use crate::{ProbeError, Probed, Services, secret::Rotating};
use doorward_model::{AuditEvent, AuditKind, ConnectionInfo};
use russh::{MethodKind, MethodSet, SshId, cipher, compression, kex, keys::PrivateKey, mac, server};
use std::{borrow::Cow, net::SocketAddr, path::Path, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

pub use ca::{CertificateError, Issued, UserCa, certificate_ends, new_key_pair};
pub use host_identity::{prepare_host_key, public_host_keys, rotate_host_key};
pub use keys::{HostKeyError, MalformedKey, parse_host_keys, private_key};
pub use listener::Listener;

/// How long a caller may take from the first byte to the end of log-in.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How much a peer may send on a channel ahead of what was passed on, in bytes.
const WINDOW: u32 = 1 << 20;

/// Which host keys an upstream may show.
#[derive(Clone, Debug)]
pub enum HostKeys {
    /// One of these.
    Known(Vec<russh::keys::PublicKey>),
    /// The first one seen; it is kept in this file.
    FirstUse(PathBuf),
}

/// How the gateway logs in upstream.
#[derive(Clone, Debug)]
pub enum SshCredential {
    /// A private key in OpenSSH's format, or a password: whichever it is then.
    Secret(Rotating),
    /// A certificate for each session, signed by the gateway's own authority.
    Authority,
}

/// A registered SSH server.
#[derive(Clone, Debug)]
pub struct SshConnection {
    /// What policy knows of it.
    pub info: Arc<ConnectionInfo>,
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Host name or address of the upstream.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The user there; the caller's user name where absent.
    pub user: Option<String>,
    /// How to log in there.
    pub credential: Option<SshCredential>,
    /// Which host keys it may show.
    pub host_keys: HostKeys,
    /// Whether requests wait until their audit entry is durable.
    pub strict_audit: bool,
    /// How many sessions may be open at once.
    pub max_sessions: usize,
}

/// One connection's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) connection: SshConnection,
    pub(crate) services: Services,
    pub(crate) ca: Arc<UserCa>,
    upstream_ca: Option<upstream_ca::UpstreamCa>,
    host_identity: host_identity::HostIdentity,
    pub(crate) slots: Arc<Semaphore>,
}

impl Endpoint {
    /// An endpoint for a connection. The gateway's host key is in `keys`; it is made where there is none.
    ///
    /// # Errors
    /// Where the host key cannot be read or made.
    pub fn new(
        connection: SshConnection,
        services: Services,
        keys: &Path,
        ca: Arc<UserCa>,
    ) -> Result<Self, HostKeyError> {
        let upstream_ca = match &connection.credential {
            Some(SshCredential::Authority) => Some(upstream_ca::UpstreamCa::open(keys)?),
            Some(SshCredential::Secret(_)) | None => None,
        };
        Ok(Self {
            slots: Arc::new(Semaphore::new(connection.max_sessions)),
            host_identity: host_identity::HostIdentity::open(keys, server_config)?,
            connection,
            services,
            ca,
            upstream_ca,
        })
    }

    /// Tries to log in at the upstream. A host key that is to be kept when it is first seen is not kept by this.
    ///
    /// # Errors
    /// Where it cannot be reached, shows another host key, or does not let the gateway in.
    pub async fn probe(&self) -> Result<Probed, ProbeError> {
        upstream::probe(self).await.map_err(|e| ProbeError::new(&e))
    }

    fn note_fault(&self, session: Option<doorward_model::SessionId>, at_fault: &str, what: &str) {
        let kind = AuditKind::Fault { at_fault: at_fault.into(), what: what.into() };
        let event = AuditEvent { time: crate::services::now(), session, kind, parties: None };
        if let Err(e) = self.services.audit.append(&event) {
            tracing::error!("a fault is not in the audit log: {e}");
        }
    }

    /// A caller who came, and did not get as far as a session.
    fn note_no_log_in(&self, session: doorward_model::SessionId, why: &str) {
        self.note_fault(Some(session), "client", why);
        let kind = AuditKind::SessionEnded { reason: why.into(), client_bytes: 0, upstream_bytes: 0 };
        let event = AuditEvent { time: crate::services::now(), session: Some(session), kind, parties: None };
        if let Err(e) = self.services.audit.append(&event) {
            tracing::error!("the end of a session is not in the audit log: {e}");
        }
    }
}

/// What is offered to both sides: nothing that is known to be weak (RFC 9142), the post-quantum hybrid first.
fn preferred() -> russh::Preferred {
    const KEX: &[kex::Name] = &[
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::ECDH_SHA2_NISTP256,
        kex::DH_G16_SHA512,
        kex::DH_G18_SHA512,
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    const CIPHERS: &[cipher::Name] =
        &[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_128_CTR];
    const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];
    russh::Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Owned(
            russh::Preferred::DEFAULT
                .key
                .iter()
                // `ssh-rsa` signs with SHA-1.
                .filter(|a| !matches!(a, russh::keys::Algorithm::Rsa { hash: None }))
                .cloned()
                .collect(),
        ),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// `keys`: the host key to show, and those to announce beside it.
fn server_config(keys: Vec<PrivateKey>) -> server::Config {
    server::Config {
        announced_host_keys: keys.clone(),
        // OpenSSH's client tells servers of its own kind alone that it reads no more (`eow@openssh.com`); without that,
        // `ssh host 'tail -f log' | head -1` never ends.
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-OpenSSH_Doorward")),
        methods: MethodSet::from(
            [MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive].as_slice(),
        ),
        auth_rejection_time: Duration::from_secs(1),
        // The first attempt of OpenSSH is `none`, to learn what there is.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: keys.into_iter().take(1).collect(),
        window_size: WINDOW,
        manual_window: true,
        maximum_packet_size: 32 * 1024,
        channel_buffer_size: 1,
        event_buffer_size: 64,
        preferred: preferred(),
        // Clients offer each of their keys before they ask for a password.
        max_auth_attempts: 20,
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(60)),
        keepalive_max: 3,
        nodelay: true,
        ..server::Config::default()
    }
}
