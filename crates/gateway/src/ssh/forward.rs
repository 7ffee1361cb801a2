//! Forwarded connections: the upstream connects, or listens, for the caller (RFC 4254 §7).
use super::{
    flow::{self, Far, Near},
    inbox::Inbox,
    session::{Asked, CallerEnd, Session, Told},
    upstream::Incoming,
};
use crate::services::now;
use doorward_enforce::{Outcome, Permit, Refusal, RefusalKind, Request, StreamPermit, nothing_else};
use doorward_model::{Action, AuditEvent, AuditKind};
use doorward_ssh::shown::Around;
use doorward_ssh::{facts, render, replay::Event};
use russh::{
    Channel, ChannelOpenFailure,
    client::Msg,
    server::{ChannelOpenHandle, Handle},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// How long the upstream may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Where a caller wants to be connected to.
pub(crate) enum Target {
    Host { host: String, port: u32, originator: (String, u32) },
    Socket(String),
}

impl Target {
    fn meaning(&self, session: &Session) -> facts::Meaning {
        match self {
            Self::Host { host, port, .. } => facts::direct_tcpip(host, *port, session.login),
            Self::Socket(path) => facts::streamlocal(Action::Forward, path, session.login),
        }
    }

    async fn open(&self, session: &Session) -> Result<Channel<Msg>, russh::Error> {
        let handle = &session.upstream.handle;
        match self {
            Self::Host { host, port, originator: (from, from_port) } => {
                handle.channel_open_direct_tcpip(host, *port, from, *from_port).await
            }
            Self::Socket(path) => handle.channel_open_direct_streamlocal(path).await,
        }
    }
}

fn refused(refusal: &Refusal) -> ChannelOpenFailure {
    // RFC 4254 §5.1: administratively prohibited.
    ChannelOpenFailure::Other { code: 1, reason: format!("doorward: {}", render::refusal_line(refusal)) }
}

/// `direct-tcpip` and `direct-streamlocal@openssh.com`.
pub(crate) async fn direct(
    session: Arc<Session>,
    target: Target,
    end: CallerEnd,
    inbox: Arc<Inbox>,
    reply: ChannelOpenHandle,
) {
    let near = Near::new(end, inbox);
    let meaning = target.meaning(&session);
    let kind = meaning.facts.command.to_string();
    session.event(&Event::Opened { channel: Some(near.number), kind, target: Some(meaning.statement.to_string()) });
    let payload = meaning.statement.as_bytes();
    let told = Told { channel: near.number, caller: &near.end, inbox: &near.inbox, terminal: false, aloud: false };
    match session.decide(Asked { via: "channel", meaning: &meaning, payload, around: Around::default() }, &told).await {
        Err(refusal) => reply.reject(refused(&refusal)).await,
        Ok(permit) => {
            let stream = permit.stream();
            let opened = match session.redeem(permit, payload).await {
                Ok(_) => tokio::time::timeout(ANSWER, target.open(&session)).await,
                Err(_) => return forget(&session, &near),
            };
            match opened {
                Ok(Ok(channel)) => {
                    reply.accept().await;
                    carry(&session, &near, channel, &stream).await;
                }
                Ok(Err(_)) | Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        }
    }
    forget(&session, &near);
}

async fn carry(session: &Session, near: &Near, channel: Channel<Msg>, permit: &StreamPermit) {
    let id = channel.id();
    let far = Far { end: channel.split().1, inbox: session.upstream.inbox(id) };
    let both = async { tokio::join!(flow::up(session, near, &far, permit), flow::down(session, near, &far)) };
    tokio::select! {
        _over = both => {}
        refusal = session.revoked(permit) => {
            session.note_revoked(near.number, &refusal);
            let _gone = near.end.close().await;
            let _gone = far.end.close().await;
        }
    }
    session.upstream.inboxes.lock().remove(&id);
}

fn forget(session: &Session, near: &Near) {
    session.event(&Event::Closed { channel: Some(near.number) });
    session.channels.lock().remove(&near.id);
}

/// `tcpip-forward`: decided at once. The library answers such requests in their order, so none can wait for people.
pub(crate) async fn listen(session: &Session, address: &str, port: &mut u32) -> bool {
    let meaning = facts::tcpip_forward(address, *port, session.login);
    let Some(permit) = decide_at_once(session, &meaning) else { return false };
    let stream = Arc::new(permit.stream());
    if session.redeem(permit, meaning.statement.as_bytes()).await.is_err() {
        return false;
    }
    // A connection may come as soon as the upstream listens: nobody looks for what it belongs to before this is known.
    let mut listening = session.listening.lock().await;
    let asked = session.upstream.handle.tcpip_forward(address, *port);
    let Ok(Ok(given)) = tokio::time::timeout(ANSWER, asked).await else { return false };
    if given != 0 {
        *port = given;
    }
    listening.insert((address.to_owned(), *port), stream);
    true
}

fn decide_at_once(session: &Session, meaning: &facts::Meaning) -> Option<Permit> {
    let request = Request {
        via: "global",
        statement: &meaning.statement,
        shown: &nothing_else,
        bound: &[],
        payload: meaning.statement.as_bytes(),
    };
    let outcome = session.live.enforcer.lock().decide(&meaning.facts, &request, now());
    match outcome {
        Outcome::Forward(permit) => Some(permit),
        Outcome::Refuse(_) => None,
        Outcome::Hold(held) => {
            let reason = "a remote forward cannot wait".into();
            let kind = AuditKind::ApprovalEnded { approval: held.approval().id, reason };
            let event = AuditEvent { time: now(), session: Some(session.live.id), kind, parties: None };
            let _refused_either_way = session.endpoint.services.audit.append(&event);
            None
        }
    }
}

/// `cancel-tcpip-forward`: what was allowed may end.
pub(crate) async fn stop_listening(session: &Session, address: &str, port: u32) -> bool {
    if session.listening.lock().await.remove(&(address.to_owned(), port)).is_none() {
        return false;
    }
    let asked = session.upstream.handle.cancel_tcpip_forward(address, port);
    matches!(tokio::time::timeout(ANSWER, asked).await, Ok(Ok(())))
}

/// `streamlocal-forward@openssh.com` is not offered.
pub(crate) fn refuse_socket(session: &Session, path: &str) {
    let meaning = facts::streamlocal(Action::ForwardRemote, path, session.login);
    let refusal = Refusal {
        kind: RefusalKind::NotUnderstood,
        message: "refused: listening on sockets of the target is not offered".into(),
        detail: None,
        hint: None,
    };
    let asked =
        Asked { via: "global", meaning: &meaning, payload: meaning.statement.as_bytes(), around: Around::default() };
    let _told_by_failure = session.refuse(asked, refusal);
}

/// Connections that reach a forward that was allowed.
pub(crate) async fn take_incoming(session: Arc<Session>, caller: Handle, mut incoming: mpsc::Receiver<Incoming>) {
    while let Some(connection) = incoming.recv().await {
        let expected = session.listening.lock().await.get(&(connection.address.clone(), connection.port)).cloned();
        let room = session.channels.lock().len() < super::session::MOST_CHANNELS;
        // The policy of the moment, not that of the moment when the forward was asked for.
        let allowed = expected.filter(|permit| session.live.enforcer.lock().still_allows(permit, now()).is_ok());
        match allowed {
            Some(permit) if room => {
                tokio::spawn(connect_back(Arc::clone(&session), caller.clone(), connection, permit));
            }
            Some(_) | None => connection.reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
        }
    }
}

async fn connect_back(session: Arc<Session>, caller: Handle, connection: Incoming, permit: Arc<StreamPermit>) {
    let Incoming { channel, address, port, originator: (from, from_port), reply } = connection;
    let opened = caller.channel_open_forwarded_tcpip(&address, port, &from, from_port);
    let Ok(Ok(near)) = tokio::time::timeout(ANSWER, opened).await else {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    };
    reply.accept().await;
    let inbox = session.inbox(near.id());
    let near = Near::new(near.split().1, inbox);
    let target = Some(format!("{address}:{port} from {from}:{from_port}"));
    session.event(&Event::Opened { channel: Some(near.number), kind: "forwarded-tcpip".into(), target });
    carry(&session, &near, channel, &permit).await;
    forget(&session, &near);
}
