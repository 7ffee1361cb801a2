//! What the library tells of the caller: log-in, channels, requests. Nothing here waits for a decision.
use super::{
    HANDSHAKE, channel, forward,
    inbox::{Inbox, Item, Request},
    listener::Listener,
    login::{Arrival, NoSession, Started},
    session::{MOST_CHANNELS, Session},
};
use crate::{arrivals::Waiting, services::now};
use doorward_model::{AuditKind, Principal, SessionId};
use doorward_ssh::codec::Stream;
use parking_lot::Mutex;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty, Sig,
    keys::Certificate,
    server::{self, Auth, ChannelOpenHandle, Handle, Msg, PublicKeyOffer, Response},
};
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Instant,
};
use tokio::{net::TcpStream, sync::oneshot};
use uuid::Uuid;

/// The longest token that is looked at, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// A caller, from the first byte to the last.
pub(crate) async fn serve(listener: Arc<Listener>, socket: TcpStream, waiting: Waiting) {
    let Ok((socket, second, peer)) = twice(socket) else { return };
    let id = SessionId::from_uuid(Uuid::now_v7());
    let endpoint = Arc::clone(listener.any());
    let arrival = Arrival { endpoint: Arc::clone(&endpoint), id, peer, came: now() };
    let connection = listener.name().clone();
    if arrival.admission().note(AuditKind::SessionOpened { connection, client: peer.to_string() }).is_err() {
        return;
    }
    let (logged_in, begun) = oneshot::channel();
    let live = Arc::new(OnceLock::new());
    let handler = Caller {
        listener,
        arrival,
        socket: second.try_clone().ok(),
        live: Arc::clone(&live),
        started: Arc::default(),
        logged_in: Some(logged_in),
        refused: None,
    };
    let started = Arc::clone(&handler.started);
    let config = endpoint.host_identity.config();
    let deadline = tokio::time::Instant::now() + HANDSHAKE;
    let running = match tokio::time::timeout_at(deadline, server::run_stream(config, socket, handler)).await {
        Ok(Ok(running)) => running,
        Ok(Err(e)) => return endpoint.note_no_log_in(id, &format!("no SSH handshake: {e}")),
        Err(_) => return endpoint.note_no_log_in(id, "log-in was not finished in time"),
    };
    let (handle, mut running) = (running.handle(), Box::pin(running));
    tokio::select! {
        ended = &mut running => {
            let why = ended.err().map_or_else(|| "the client left".to_owned(), |e| e.to_string());
            if live.get().is_none() {
                return endpoint.note_no_log_in(id, &format!("log-in was not finished: {why}"));
            }
        }
        _ = begun => {}
        () = tokio::time::sleep_until(deadline) => {
            endpoint.note_no_log_in(id, "log-in was not finished in time");
            let _closed_already = second.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
    drop(waiting);
    let Some(Started { session, control, incoming }) = started.lock().take() else {
        // Refused after log-in; the caller is told by a disconnect, and has a moment to hear it.
        let _heard = tokio::time::timeout(std::time::Duration::from_secs(5), running).await;
        let _closed_already = second.shutdown(std::net::Shutdown::Both);
        return;
    };
    live_on(session, handle, running, control, incoming).await;
}

async fn live_on(
    session: Arc<Session>,
    handle: Handle,
    running: std::pin::Pin<Box<server::RunningSession<Caller>>>,
    mut control: tokio::sync::mpsc::UnboundedReceiver<crate::registry::Control>,
    incoming: tokio::sync::mpsc::Receiver<super::upstream::Incoming>,
) {
    let forwards = tokio::spawn(forward::take_incoming(Arc::clone(&session), handle.clone(), incoming));
    tokio::select! {
        ended = running => {
            if let Err(e) = ended {
                session.live.end(&format!("the caller's connection failed: {e}"));
            }
        }
        () = session.watch(&handle, &mut control) => {}
    }
    session.live.end("the caller closed the connection");
    forwards.abort();
    session.upstream.disconnect().await;
    session.close();
    // The channels' tasks see that it is over, and record what they still have.
    for _ in 0..100 {
        if session.channels.lock().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    session.cut();
    let reason = session.live.ending().unwrap_or_default();
    session.live.recording.end(now(), &reason);
    // Whoever waits for sessions to end waits for this, too: all of it is written down.
    session.endpoint.services.registry.remove(session.live.id, None);
}

/// A socket for the library, and a handle to cut it with.
fn twice(socket: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream, std::net::SocketAddr)> {
    let peer = socket.peer_addr()?;
    let socket = socket.into_std()?;
    let second = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, second, peer))
}

/// A channel that may be used.
type Opened = (Arc<Session>, Arc<Inbox>);

struct Caller {
    listener: Arc<Listener>,
    arrival: Arrival,
    socket: Option<std::net::TcpStream>,
    live: Arc<OnceLock<Arc<Session>>>,
    started: Arc<Mutex<Option<Started>>>,
    logged_in: Option<oneshot::Sender<()>>,
    /// What the caller is told right after log-in, instead of a session.
    refused: Option<String>,
}

impl Caller {
    async fn log_in(&mut self, user: &str, token: &str) -> Auth {
        let token = if token.len() > LONGEST_TOKEN { "" } else { token };
        let known = self.arrival.identify(user, token).await;
        self.enter(user, known).await
    }

    async fn enter(&mut self, user: &str, known: Result<Principal, NoSession>) -> Auth {
        let begun = match known {
            Ok(principal) => match self.socket.take() {
                Some(socket) => self.begin(user, principal, socket).await,
                None => Err(NoSession::Refused("a second log-in on one connection".into())),
            },
            Err(no) => Err(no),
        };
        match begun {
            Ok(started) => {
                // There is one log-in: the socket was taken for it.
                let _first = self.live.set(Arc::clone(&started.session));
                *self.started.lock() = Some(started);
                Auth::Accept
            }
            Err(NoSession::Rejected) => {
                let arrivals = &self.arrival.endpoint.services.arrivals;
                tokio::time::sleep(arrivals.failed(self.arrival.peer.ip(), Instant::now())).await;
                Auth::reject()
            }
            Err(NoSession::Refused(why)) => {
                self.refused = Some(why);
                Auth::Accept
            }
        }
    }

    /// A session on the machine that the user name asks for.
    async fn begin(
        &mut self,
        user: &str,
        principal: Principal,
        socket: std::net::TcpStream,
    ) -> Result<Started, NoSession> {
        let Some((endpoint, user)) = self.listener.machine(user) else {
            let why = "several machines share this address: log in as USER+MACHINE; `doorward ssh-config` lists them";
            self.arrival.turned_away(why);
            return Err(NoSession::Refused(why.into()));
        };
        if self.listener.is_shared() {
            self.arrival.endpoint = endpoint;
            self.arrival.admission().note_opened()?;
        }
        self.arrival.begin(user, principal, socket).await
    }

    fn session(&self) -> Result<&Arc<Session>, russh::Error> {
        self.live.get().ok_or(russh::Error::Inconsistent)
    }

    /// The inbox of a channel that is open. Bytes may come on one that was only just opened.
    fn inbox(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        Some(self.live.get()?.inbox(id))
    }

    fn request(&self, id: ChannelId, request: Request) -> Result<(), russh::Error> {
        match self.inbox(id) {
            Some(inbox) if !inbox.request(request) => Err(russh::Error::TooManyRequests),
            _ => Ok(()),
        }
    }

    /// Room for one more channel, with its inbox.
    fn open(&self, id: ChannelId) -> Result<Option<Opened>, russh::Error> {
        let session = self.session()?;
        let mut channels = session.channels.lock();
        if channels.len() >= MOST_CHANNELS {
            return Ok(None);
        }
        let inbox = Arc::new(Inbox::default());
        channels.insert(id, Arc::clone(&inbox));
        Ok(Some((Arc::clone(session), inbox)))
    }
}

async fn too_many(reply: ChannelOpenHandle) -> Result<(), russh::Error> {
    let reason = format!("doorward: more than {MOST_CHANNELS} channels at once");
    reply.reject(ChannelOpenFailure::Other { code: 4, reason }).await;
    Ok(())
}

impl server::Handler for Caller {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.log_in(user, password).await)
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        // Of keys alone nobody is known: a certificate has to say who.
        let Some(certificate) = offer.certificate else { return Ok(Auth::reject()) };
        match self.arrival.check_certificate(certificate).await {
            Ok(_principal) => Ok(Auth::Accept),
            Err(reason) => Ok(self.enter(user, self.arrival.identified(user, Err(reason))).await),
        }
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth, Self::Error> {
        let known = self.arrival.identify_certificate(user, certificate).await;
        Ok(self.enter(user, known).await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response else {
            let prompts = Cow::Borrowed([(Cow::Borrowed("Identity token: "), false)].as_slice());
            return Ok(Auth::Partial { name: Cow::Borrowed(""), instructions: Cow::Borrowed(""), prompts });
        };
        let token = response.next().unwrap_or_default();
        Ok(self.log_in(user, std::str::from_utf8(&token).unwrap_or_default().trim()).await)
    }

    async fn auth_succeeded(&mut self, session: &mut server::Session) -> Result<(), Self::Error> {
        if let Some(why) = self.refused.take() {
            session.disconnect(Disconnect::ByApplication, &format!("doorward: {why}"), "")?;
        }
        if let Some(tell) = self.logged_in.take() {
            let _left_meanwhile = tell.send(());
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let Some((live, inbox)) = self.open(channel.id())? else { return too_many(reply).await };
        reply.accept().await;
        let (_, end) = channel.split();
        tokio::spawn(channel::run(live, session.handle(), end, inbox));
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let Some((live, inbox)) = self.open(channel.id())? else { return too_many(reply).await };
        let target =
            forward::Target::Host { host: host.to_owned(), port, originator: (originator.to_owned(), originator_port) };
        tokio::spawn(forward::direct(live, target, channel.split().1, inbox, reply));
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let Some((live, inbox)) = self.open(channel.id())? else { return too_many(reply).await };
        let target = forward::Target::Socket(path.to_owned());
        tokio::spawn(forward::direct(live, target, channel.split().1, inbox, reply));
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _: &mut server::Session,
    ) -> Result<bool, Self::Error> {
        Ok(forward::listen(self.session()?, address, port).await)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _: &mut server::Session,
    ) -> Result<bool, Self::Error> {
        Ok(forward::stop_listening(self.session()?, address, port).await)
    }

    async fn streamlocal_forward(&mut self, path: &str, _: &mut server::Session) -> Result<bool, Self::Error> {
        forward::refuse_socket(self.session()?, path);
        Ok(false)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut server::Session) -> Result<(), Self::Error> {
        if let Some(inbox) = self.inbox(id) {
            inbox.data(Stream::Data, data);
        }
        Ok(())
    }

    async fn extended_data(
        &mut self,
        id: ChannelId,
        _: u32,
        data: &[u8],
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        // No client sends this; it goes no further, and what it says is not lost.
        if let Some(inbox) = self.inbox(id) {
            inbox.data(Stream::Error, data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut server::Session) -> Result<(), Self::Error> {
        if let Some(inbox) = self.inbox(id) {
            inbox.end(Item::Eof);
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut server::Session) -> Result<(), Self::Error> {
        if let Some(inbox) = self.inbox(id) {
            inbox.close();
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let (term, modes) = (term.to_owned(), modes.to_vec());
        self.request(id, Request::Pty { term, columns, rows, pixels: (width, height), modes })
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        self.request(id, Request::X11)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        self.request(id, Request::Env { name: name.to_owned(), value: value.to_owned() })
    }

    async fn shell_request(&mut self, id: ChannelId, _: &mut server::Session) -> Result<(), Self::Error> {
        self.request(id, Request::Shell)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        self.request(id, Request::Exec(command.to_vec()))
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        self.request(id, Request::Subsystem(name.to_owned()))
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        self.request(id, Request::Resize { columns, rows, pixels: (width, height) })
    }

    async fn agent_request(&mut self, id: ChannelId, _: &mut server::Session) -> Result<bool, Self::Error> {
        self.request(id, Request::Agent).map(|()| false)
    }

    async fn unknown_channel_request(
        &mut self,
        id: ChannelId,
        name: &str,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        if name == "eow@openssh.com" {
            return self.request(id, Request::EndOfWrite);
        }
        self.request(id, Request::Unknown(name.chars().take(256).collect()))
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _: &mut server::Session) -> Result<(), Self::Error> {
        self.request(id, Request::Signal(signal))
    }
}
