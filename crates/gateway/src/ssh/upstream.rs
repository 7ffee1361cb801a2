//! The connection to the upstream: its host key, the gateway's credential, and what it sends.
use super::keys::MalformedKey;
use super::{
    Endpoint, HostKeys, SshCredential, WINDOW,
    inbox::{Inbox, Item},
};
use crate::{
    probe::Probed,
    secret::{Lent, MissingSecret, UpstreamLogin},
    services::now,
};
use doorward_model::{Principal, PrincipalKind, SessionId, Timestamp};
use doorward_ssh::codec::Stream;
use parking_lot::Mutex;
use russh::{
    Channel, ChannelId, Disconnect, Sig, SshId,
    client::{self, ChannelOpenHandle, DisconnectReason, Msg},
    keys::{PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate},
};
use std::{
    borrow::Cow,
    collections::HashMap,
    fs, io,
    net::Shutdown,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};

/// How long the upstream may take from connecting to the end of log-in.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// Why there is no connection to the upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("the upstream did not finish its handshake in time")]
    Stalled,
    #[error("the upstream's host key is not the one that is known: {0}")]
    HostKey(String),
    #[error("the upstream breaks the protocol: {0}")]
    Misbehaved(russh::Error),
    #[error("the upstream did not accept the gateway's credential")]
    Login,
    #[error("no credential is configured for the upstream")]
    NoCredential,
    #[error(transparent)]
    Missing(MissingSecret),
    #[error("the gateway's credential is no private key in OpenSSH's format without a passphrase")]
    Malformed(#[from] MalformedKey),
}

impl UpstreamError {
    /// What the caller may know of it.
    pub(crate) fn for_the_caller(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Stalled => "the target cannot be reached",
            Self::HostKey(_) => "the target's host key is not the one that is known; tell the operator of this gateway",
            Self::Misbehaved(_) => "the target does not speak SSH as it should",
            Self::Login | Self::NoCredential | Self::Missing(_) | Self::Malformed(_) => {
                "the gateway could not log in at the target; tell its operator"
            }
        }
    }
}

/// A connection that the upstream opened: a forwarded one.
pub(crate) struct Incoming {
    pub(crate) channel: Channel<Msg>,
    pub(crate) address: String,
    pub(crate) port: u32,
    pub(crate) originator: (String, u32),
    pub(crate) reply: ChannelOpenHandle,
}

pub(crate) type Inboxes = Arc<Mutex<HashMap<ChannelId, Arc<Inbox>>>>;

/// A connection to the upstream, logged in.
pub(crate) struct Connected {
    pub(crate) handle: client::Handle<Upstream>,
    pub(crate) inboxes: Inboxes,
    gone: watch::Receiver<bool>,
    socket: std::net::TcpStream,
    /// With what it is logged in.
    lent: Lent,
}

impl Connected {
    /// Resolves when the upstream has left.
    pub(crate) async fn gone(&self) {
        let mut gone = self.gone.clone();
        let _gone = gone.wait_for(|gone| *gone).await;
    }

    /// The inbox of a channel. Bytes may have come before anybody asked.
    pub(crate) fn inbox(&self, id: ChannelId) -> Arc<Inbox> {
        Arc::clone(self.inboxes.lock().entry(id).or_default())
    }

    pub(crate) async fn disconnect(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        let _slow = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
    }

    /// Ends every channel, and the connection.
    pub(crate) fn close(&self) {
        close_all(&self.inboxes);
        let _closed_already = self.socket.shutdown(Shutdown::Both);
    }
}

fn close_all(inboxes: &Inboxes) {
    for inbox in inboxes.lock().values() {
        inbox.close();
    }
}

/// Who logs in, and as what.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) user: &'a str,
    /// For whom.
    pub(crate) principal: &'a Principal,
    pub(crate) session: SessionId,
}

/// Connects and logs in.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    entry: Entry<'_>,
    incoming: mpsc::Sender<Incoming>,
) -> Result<Connected, UpstreamError> {
    tokio::time::timeout(HANDSHAKE, login(endpoint, entry, incoming)).await.map_err(|_| UpstreamError::Stalled)?
}

/// Logs in and leaves. Without a user of the gateway's own there is nobody to log in as.
pub(super) async fn probe(endpoint: &Endpoint) -> Result<Probed, UpstreamError> {
    let tried = async {
        // Nobody forwards anything to a trial.
        let (incoming, _unused) = mpsc::channel(1);
        let (mut connected, shown) = reach(endpoint, incoming, FirstKey::Shown).await?;
        let logged_in = match &endpoint.connection.user {
            Some(user) => {
                let principal = probing();
                let session = SessionId::from_uuid(Default::default());
                let entry = Entry { user, principal: &principal, session };
                authenticate(endpoint, entry, &mut connected).await?;
                true
            }
            None => false,
        };
        connected.disconnect().await;
        connected.close();
        let host_key = shown.lock().take();
        Ok(Probed { server: None, encrypted: true, logged_in, host_key })
    };
    tokio::time::timeout(HANDSHAKE, tried).await.map_err(|_| UpstreamError::Stalled)?
}

/// For whom a certificate of a trial is.
fn probing() -> Principal {
    Principal {
        kind: PrincipalKind::Agent,
        issuer: "doorward".to_owned(),
        subject: "connection-test".to_owned(),
        groups: Default::default(),
        tags: Default::default(),
        token_id: None,
        expires_at: Timestamp::from_micros(now().as_micros() + 60_000_000),
        on_behalf_of: None,
    }
}

async fn login(
    endpoint: &Endpoint,
    entry: Entry<'_>,
    incoming: mpsc::Sender<Incoming>,
) -> Result<Connected, UpstreamError> {
    let (mut connected, _shown) = reach(endpoint, incoming, FirstKey::Kept).await?;
    authenticate(endpoint, entry, &mut connected).await?;
    Ok(connected)
}

/// Connects, and looks at the host key, which is put where the second of the results is.
async fn reach(
    endpoint: &Endpoint,
    incoming: mpsc::Sender<Incoming>,
    first_key: FirstKey,
) -> Result<(Connected, Arc<Mutex<Option<String>>>), UpstreamError> {
    let connection = &endpoint.connection;
    let address = (connection.host.as_str(), connection.port);
    let socket = TcpStream::connect(address).await.map_err(UpstreamError::Unreachable)?;
    crate::accept::prepare(&socket).map_err(UpstreamError::Unreachable)?;
    let socket = socket.into_std().map_err(UpstreamError::Unreachable)?;
    let second = socket.try_clone().map_err(UpstreamError::Unreachable)?;
    let socket = TcpStream::from_std(socket).map_err(UpstreamError::Unreachable)?;
    let inboxes = Inboxes::default();
    let (wrong_key, shown) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let (leave, gone) = watch::channel(false);
    let handler = Upstream {
        leave,
        host_keys: connection.host_keys.clone(),
        wrong_key: Arc::clone(&wrong_key),
        shown: Arc::clone(&shown),
        first_key,
        inboxes: Arc::clone(&inboxes),
        incoming,
    };
    let handle = client::connect_stream(Arc::new(config()), socket, handler)
        .await
        .map_err(|e| wrong_key.lock().take().map_or(UpstreamError::Misbehaved(e), UpstreamError::HostKey))?;
    Ok((Connected { handle, inboxes, gone, socket: second, lent: Lent::default() }, shown))
}

async fn authenticate(
    endpoint: &Endpoint,
    Entry { user, principal, session }: Entry<'_>,
    connected: &mut Connected,
) -> Result<(), UpstreamError> {
    let handle = &mut connected.handle;
    let accepted = match &endpoint.connection.credential {
        None => return Err(UpstreamError::NoCredential),
        Some(SshCredential::Secret(secret)) => {
            let mut shown = secret.login().await.map_err(UpstreamError::Missing)?;
            let mut accepted = show(user, &shown, handle).await?;
            // Where callers say who logs in, it may be because of the name.
            if !accepted
                && shown.has_user(endpoint.connection.user.as_deref())
                && let Some(newer) = secret.refused(&shown).await
            {
                // It changed at its source a moment ago.
                accepted = show(user, &newer, handle).await?;
                shown = newer;
                if !accepted {
                    let _nothing_else_is_tried = secret.refused(&shown).await;
                }
            }
            if accepted {
                shown.lent.worked();
            }
            connected.lent = shown.lent;
            accepted
        }
        Some(SshCredential::Authority) => {
            let ca = endpoint.upstream_ca.as_ref().ok_or(UpstreamError::NoCredential)?;
            let issued = ca.issue(user, principal, session, now()).map_err(|e| UpstreamError::Misbehaved(e.into()))?;
            let said = handle.authenticate_openssh_cert(user, issued.0, issued.1).await;
            said.map_err(UpstreamError::Misbehaved)?.success()
        }
    };
    if accepted { Ok(()) } else { Err(UpstreamError::Login) }
}

/// Shows a private key or a password. False where the upstream does not accept it.
async fn show(user: &str, shown: &UpstreamLogin, handle: &mut client::Handle<Upstream>) -> Result<bool, UpstreamError> {
    shown.user(Some(user)).map_err(UpstreamError::Missing)?;
    let said = match super::keys::private_key(&shown.password)? {
        Some(key) => {
            let hash = handle.best_supported_rsa_hash().await.map_err(UpstreamError::Misbehaved)?.flatten();
            handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await
        }
        None => handle.authenticate_password(user, shown.password.expose().as_str()).await,
    };
    Ok(said.map_err(UpstreamError::Misbehaved)?.success())
}

fn config() -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Doorward")),
        window_size: WINDOW,
        manual_window: true,
        maximum_packet_size: 32 * 1024,
        channel_buffer_size: 1,
        preferred: super::preferred(),
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(60)),
        keepalive_max: 3,
        nodelay: true,
        ..client::Config::default()
    }
}

/// What the library tells of the upstream.
pub(crate) struct Upstream {
    host_keys: HostKeys,
    wrong_key: Arc<Mutex<Option<String>>>,
    /// The host key that was shown.
    shown: Arc<Mutex<Option<String>>>,
    first_key: FirstKey,
    inboxes: Inboxes,
    incoming: mpsc::Sender<Incoming>,
    leave: watch::Sender<bool>,
}

impl Upstream {
    fn inbox(&self, id: ChannelId) -> Arc<Inbox> {
        Arc::clone(self.inboxes.lock().entry(id).or_default())
    }
}

/// What becomes of a host key that is the first to be seen, where the first one is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstKey {
    /// It is the one from then on.
    Kept,
    /// It is shown to somebody, and not kept.
    Shown,
}

fn is_known(keys: &HostKeys, shown: &PublicKey, first: FirstKey) -> Result<(), String> {
    let fingerprint = shown.fingerprint(russh::keys::HashAlg::Sha256);
    let same = |k: &PublicKey| k.key_data() == shown.key_data();
    match keys {
        HostKeys::Known(keys) if keys.iter().any(same) => Ok(()),
        HostKeys::Known(_) => Err(format!("it shows {fingerprint}")),
        HostKeys::FirstUse(path) if first == FirstKey::Shown && !path.exists() => Ok(()),
        HostKeys::FirstUse(path) => first_use(path, shown)
            .map_err(|e| format!("`{}` cannot be used: {e}", path.display()))?
            .then_some(())
            .ok_or_else(|| format!("it shows {fingerprint}, and `{}` has another", path.display())),
    }
}

/// Whether the key is the one that was seen first. A new file comes to be as a whole or not at all.
fn first_use(path: &Path, shown: &PublicKey) -> io::Result<bool> {
    let invalid = |e: russh::keys::ssh_key::Error| io::Error::new(io::ErrorKind::InvalidData, e.to_string());
    let line = shown.to_openssh().map_err(invalid)?;
    let part: PathBuf = path.with_extension(format!("{}.new", rand::random::<u64>()));
    if !path.exists() {
        fs::write(&part, format!("{line}\n"))?;
        let linked = fs::hard_link(&part, path);
        fs::remove_file(&part)?;
        match linked {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    let kept = PublicKey::from_openssh(fs::read_to_string(path)?.trim()).map_err(invalid)?;
    Ok(kept.key_data() == shown.key_data())
}

impl client::Handler for Upstream {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let known = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                *self.shown.lock() = key.to_openssh().ok();
                is_known(&self.host_keys, key, self.first_key)
            }
            // Not asked for.
            PublicKeyOrCertificate::Certificate(_) => Err("it shows a certificate".into()),
        };
        if let Err(why) = &known {
            *self.wrong_key.lock() = Some(why.clone());
        }
        Ok(known.is_ok())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut client::Session) -> Result<(), Self::Error> {
        self.inbox(id).data(Stream::Data, data);
        Ok(())
    }

    async fn extended_data(
        &mut self,
        id: ChannelId,
        code: u32,
        data: &[u8],
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        // RFC 4254 §5.2 knows of no other kind.
        let stream = if code == 1 { Stream::Error } else { return Err(russh::Error::Inconsistent) };
        self.inbox(id).data(stream, data);
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut client::Session) -> Result<(), Self::Error> {
        self.inbox(id).end(Item::Eof);
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut client::Session) -> Result<(), Self::Error> {
        self.inbox(id).close();
        Ok(())
    }

    async fn exit_status(&mut self, id: ChannelId, status: u32, _: &mut client::Session) -> Result<(), Self::Error> {
        self.inbox(id).end(Item::Exit(status));
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        core_dumped: bool,
        message: &str,
        _: &str,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let message = message.chars().take(1024).collect();
        self.inbox(id).end(Item::ExitSignal { signal, core_dumped, message });
        Ok(())
    }

    async fn channel_success(&mut self, id: ChannelId, _: &mut client::Session) -> Result<(), Self::Error> {
        self.inbox(id).reply(true);
        Ok(())
    }

    async fn channel_failure(&mut self, id: ChannelId, _: &mut client::Session) -> Result<(), Self::Error> {
        self.inbox(id).reply(false);
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        address: &str,
        port: u32,
        originator_address: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let originator = (originator_address.to_owned(), originator_port);
        let incoming = Incoming { channel, address: address.to_owned(), port, originator, reply };
        // One too many is turned away: the handle rejects when it is dropped.
        let _full = self.incoming.try_send(incoming);
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        close_all(&self.inboxes);
        self.leave.send_replace(true);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(e) => Err(e),
        }
    }
}

/// The upstream may open nothing that was not asked for.
async fn refuse(reply: ChannelOpenHandle) -> Result<(), russh::Error> {
    reply.reject(russh::ChannelOpenFailure::AdministrativelyProhibited).await;
    Ok(())
}
