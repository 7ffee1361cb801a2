//! Streams to containers over WebSocket: `exec`, `attach` (`v4.channel.k8s.io`, `v5.channel.k8s.io`), `portforward`
//! (`SPDY/3.1+portforward.k8s.io`, `v4.channel.k8s.io` with two channels a port).
//!
//! Each message of `exec` and `attach` begins with the number of its channel: 0 standard input, 1 output, 2 error, 3 how
//! it ended, 4 the terminal's size, 255 the end of a channel (v5).
use super::{
    answer::{self, Answered},
    handler::{self, Understood},
    message::Message,
    session::{Part, Session},
    shown::{Piece, Shown},
    slots::{Sent, Upgraded},
    spdy, spdy_held, splice,
    upgrade::{Upgrade, Wire},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use doorward_enforce::{ApprovalVerdict, Held, StreamPermit};
use doorward_kubernetes::{
    channel::{self, Channel, Said},
    render,
};
use doorward_record::Direction;
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink, stream::SplitStream};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message as Frame,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The longest message, in bytes. Those of the API server are of 32 KiB, callers send as much as they read at once.
const LONGEST: usize = 16 << 20;
type Caller = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;
type Upstream = WebSocketStream<Upgraded>;

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST))
}

/// The request with what WebSocket needs, for these protocols.
fn for_upstream(message: &Message, protocols: &[&str]) -> Result<(Message, String), render::Answer> {
    let key = generate_key();
    let mut out = message.clone();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| render::malformed("a header that is none"));
    for (name, text) in [
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, key.as_str()),
        (header::SEC_WEBSOCKET_PROTOCOL, &protocols.join(", ")),
    ] {
        out.headers.insert(name, value(text)?);
    }
    Ok((out, key))
}

/// What became of a stream to the cluster.
enum Opened {
    Stream(Box<Upstream>, &'static str),
    /// The cluster's answer, which is no stream.
    Not(Sent),
}

async fn dial(session: &Session, message: &Message, protocols: &[&'static str]) -> Result<Opened, render::Answer> {
    let (message, key) = for_upstream(message, protocols)?;
    let response = session.endpoint.cluster.send(&message, false).await.map_err(|e| handler::unreachable(&e))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Opened::Not(response));
    }
    let text = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    let chosen = protocols.iter().copied().find(|p| *p == text(header::SEC_WEBSOCKET_PROTOCOL));
    let keyed = text(header::SEC_WEBSOCKET_ACCEPT) == derive_accept_key(key.as_bytes());
    let Some(protocol) = chosen.filter(|_| keyed) else {
        return Err(render::status(
            502,
            "BadGateway",
            "doorward: the API server's answer to an upgrade is not understood",
        ));
    };
    let upgraded = response.upgrade().await;
    let upgraded = upgraded.map_err(|e| render::status(502, "BadGateway", &format!("doorward: no stream: {e}")))?;
    let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config())).await;
    Ok(Opened::Stream(Box::new(stream), protocol))
}

/// Opens a stream that was allowed at once.
pub(crate) async fn open(
    session: &Arc<Session>,
    number: u32,
    permit: StreamPermit,
    message: &Message,
    upgrade: Upgrade,
) -> Result<Answered, render::Answer> {
    match (upgrade.wire, upgrade.is_tunnel) {
        (Wire::Spdy, true) => return splice::open(session, number, permit, message, upgrade).await,
        (Wire::Spdy, false) => return spdy::open(session, number, permit, message, upgrade).await,
        (Wire::WebSocket, _) => {}
    }
    let (upstream, protocol) = match dial(session, message, &upgrade.protocols).await? {
        Opened::Stream(upstream, protocol) => (upstream, protocol),
        Opened::Not(response) => return Ok(answer::pass(Arc::clone(session), number, permit, response).await),
    };
    let response = upgrade.accept(protocol);
    let live = session.stream(number);
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let is_tunnel = upgrade.is_tunnel;
        let Some(caller) = caller(&session, upgrade).await else { return };
        Relay { session, number, is_tunnel }.run(caller, *upstream, permit, Vec::new()).await;
    });
    Ok(response)
}

async fn caller(session: &Session, upgrade: Upgrade) -> Option<Caller> {
    match upgrade.on?.await {
        Ok(io) => Some(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config())).await),
        Err(e) => {
            tracing::debug!(session = %session.live.id, "the caller's stream did not come: {e}");
            None
        }
    }
}

/// A stream that waits for people: the caller is told on it.
pub(crate) fn held(
    session: &Arc<Session>,
    number: u32,
    held: Held,
    understood: Understood,
    upgrade: Upgrade,
) -> Result<Answered, render::Answer> {
    if upgrade.wire == Wire::Spdy {
        return spdy_held::held(session, number, held, understood, upgrade);
    }
    let Some(protocol) = upgrade.protocols.first().copied() else { return Err(render::malformed("no protocol")) };
    let response = upgrade.accept(protocol);
    let live = session.stream(number);
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let (tells_on, is_tty) = (upgrade.tells_on.unwrap_or(Channel::Stderr), upgrade.is_tty);
        let Some(mut caller) = caller(&session, upgrade).await else { return };
        let mut waiting = Waiting { session: &session, number, tells_on, early: Early::new(is_tty) };
        match waiting.opened(&mut caller, held, understood, protocol).await {
            Ok((upstream, permit)) => {
                let relay = Relay { session: Arc::clone(&session), number, is_tunnel: false };
                relay.run(caller, upstream, permit, waiting.early.kept).await;
            }
            Err(refused) => waiting.refuse(&mut caller, &refused).await,
        }
    });
    Ok(response)
}

struct Waiting<'a> {
    session: &'a Session,
    number: u32,
    tells_on: Channel,
    early: Early,
}

impl Waiting<'_> {
    async fn opened(
        &mut self,
        caller: &mut Caller,
        held: Held,
        understood: Understood,
        protocol: &'static str,
    ) -> Result<(Upstream, StreamPermit), render::Answer> {
        let approval = held.approval().clone();
        let minutes = approval.expires.since(crate::services::now()).as_secs().div_ceil(60);
        let text = render::held(&approval, &self.session.link(&approval), minutes);
        self.tell(caller, &text).await;
        let verdict = self.session.wait_for_people(&approval, self.early.until_left(caller)).await;
        let approved = matches!(verdict, ApprovalVerdict::Approved { .. });
        self.session.event_approved(self.number, &verdict);
        let permit = self.session.settle(held, verdict).map_err(|refusal| render::refusal(&refusal))?;
        let mut understood = handler::still_the_same(self.session, understood).await?;
        understood.found.forget();
        let stream = permit.stream();
        let bytes = understood.message.bytes();
        self.session.redeem(permit, &bytes).await.map_err(|refusal| render::refusal(&refusal))?;
        if approved {
            self.tell(caller, "doorward: approved\n").await;
        }
        match dial(self.session, &understood.message, &[protocol]).await? {
            Opened::Stream(upstream, _) => Ok((*upstream, stream)),
            Opened::Not(response) => {
                let code = response.status().as_u16();
                Err(render::status(code, "InternalError", &format!("doorward: the API server answered {code}")))
            }
        }
    }

    async fn tell(&self, caller: &mut Caller, text: &str) {
        let text = if self.tells_on == Channel::Stdout { text.replace('\n', "\r\n") } else { text.to_owned() };
        let mut frame = vec![self.tells_on.number()];
        frame.extend_from_slice(text.as_bytes());
        self.session.keep(self.number, Part::Channel, Direction::Upstream, &frame).await;
        let _gone = tokio::time::timeout(Duration::from_secs(5), caller.send(Frame::binary(frame))).await;
    }

    /// Ends the stream as the API server does: how it ended is on channel 3.
    async fn refuse(&self, caller: &mut Caller, refused: &render::Answer) {
        let what = serde_json::json!({ "code": refused.code, "message": refused.body.get("message") });
        self.session.event(self.number, "refused", what);
        let mut frame = vec![Channel::Error.number()];
        frame.extend_from_slice(refused.body.to_string().as_bytes());
        self.session.keep(self.number, Part::Channel, Direction::Upstream, &frame).await;
        let _gone = caller.send(Frame::binary(frame)).await;
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _gone = tokio::time::timeout(Duration::from_secs(5), caller.close(Some(normal))).await;
    }
}

/// What a caller sends while people decide.
struct Early {
    is_tty: bool,
    kept: Vec<Bytes>,
    size: usize,
}

impl Early {
    const fn new(is_tty: bool) -> Self {
        Self { is_tty, kept: Vec::new(), size: 0 }
    }

    /// Resolves when the caller leaves, or presses Ctrl-C.
    async fn until_left(&mut self, caller: &mut Caller) {
        while let Some(Ok(frame)) = caller.next().await {
            let bytes = match frame {
                Frame::Binary(bytes) => bytes,
                Frame::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Frame::Close(_) => return,
                Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => continue,
            };
            match channel::said(&bytes) {
                // What somebody types meanwhile is nobody's input.
                Said::Bytes(Channel::Stdin, typed) if self.is_tty => {
                    if typed.contains(&0x03) {
                        return;
                    }
                }
                Said::Bytes(..) | Said::End(_) => self.keep(bytes).await,
                Said::Nothing => {}
            }
        }
    }

    async fn keep(&mut self, bytes: Bytes) {
        self.size += bytes.len();
        self.kept.push(bytes);
        if self.size > spdy_held::EARLY || self.kept.len() > spdy_held::EARLY / 64 {
            // The caller waits with us.
            std::future::pending::<()>().await;
        }
    }
}

/// Passes messages both ways.
struct Relay {
    session: Arc<Session>,
    number: u32,
    is_tunnel: bool,
}

impl Relay {
    async fn run(&self, caller: Caller, upstream: Upstream, permit: StreamPermit, early: Vec<Bytes>) {
        let (to_caller, from_caller) = caller.split();
        let (to_upstream, from_upstream) = upstream.split();
        let hidden = self.session.hidden();
        let mut output =
            Output { relay: self, to: to_caller, shown: (!self.is_tunnel).then(|| Shown::new(&self.session)) };
        let end = tokio::select! {
            () = self.input(from_caller, to_upstream, early) => None,
            () = output.run(from_upstream) => None,
            refusal = self.session.revoked(&permit, &hidden) => {
                self.session.note_revoked(self.number, &refusal);
                Some(refusal.message)
            }
            () = self.session.live.ended() => Some("the session has ended".to_owned()),
        };
        output.close(end).await;
    }

    const fn part(&self) -> Part {
        if self.is_tunnel { Part::Tunnel } else { Part::Channel }
    }

    async fn input(&self, mut from: SplitStream<Caller>, mut to: SplitSink<Upstream, Frame>, early: Vec<Bytes>) {
        let mut is_gone = false;
        for bytes in early {
            is_gone = is_gone || self.send_on(&mut to, bytes).await.is_err();
        }
        while let Some(Ok(frame)) = from.next().await {
            let bytes = match &frame {
                Frame::Binary(bytes) => bytes.clone(),
                // Some clients send what is text as such; to the API server it is the same.
                Frame::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Frame::Close(_) => break,
                // Pings are answered by each side of the gateway.
                Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => continue,
            };
            // Who takes nothing any more may have said something that is still on its way.
            is_gone = is_gone || self.send_on(&mut to, bytes).await.is_err();
        }
        let _gone = tokio::time::timeout(Duration::from_secs(2), to.close()).await;
    }

    async fn send_on(&self, to: &mut SplitSink<Upstream, Frame>, bytes: Bytes) -> Result<(), tungstenite::Error> {
        self.session.keep(self.number, self.part(), Direction::Client, &bytes).await;
        to.send(Frame::Binary(bytes)).await
    }
}

/// The way to the caller.
struct Output<'a> {
    relay: &'a Relay,
    to: SplitSink<Caller, Frame>,
    /// None in a tunnel.
    shown: Option<Shown>,
}

impl Output<'_> {
    async fn run(&mut self, mut from: SplitStream<Upstream>) {
        loop {
            let pause = self.shown.as_ref().and_then(Shown::pause);
            let next = tokio::select! {
                next = from.next() => next,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    let pieces = self.shown.as_mut().map(Shown::overdue).unwrap_or_default();
                    if self.show(pieces).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let given = match next {
                Some(Ok(Frame::Binary(bytes))) => self.give(bytes).await,
                Some(Ok(Frame::Text(text))) => self.give(Bytes::copy_from_slice(text.as_bytes())).await,
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => Ok(()),
            };
            if given.is_err() {
                return;
            }
        }
    }

    async fn give(&mut self, bytes: Bytes) -> Result<(), tungstenite::Error> {
        let Some(shown) = &mut self.shown else { return self.send(bytes).await };
        match channel::said(&bytes) {
            Said::Bytes(channel, _) if shown.is_clear() && !channel.is_from_caller() => {
                shown.note(channel);
                self.send(bytes).await
            }
            Said::Bytes(channel, _) if !channel.is_from_caller() => {
                let pieces = shown.data(channel, bytes.slice(1..));
                self.show(pieces).await
            }
            Said::End(channel) => {
                let pieces = shown.end_of(channel);
                self.show(pieces).await?;
                self.send(bytes).await
            }
            // There are no others towards the caller.
            Said::Bytes(..) | Said::Nothing => Ok(()),
        }
    }

    async fn show(&mut self, pieces: Vec<Piece>) -> Result<(), tungstenite::Error> {
        for (channel, bytes) in pieces {
            self.send_on(channel, &bytes).await?;
        }
        Ok(())
    }

    async fn send_on(&mut self, channel: Channel, bytes: &[u8]) -> Result<(), tungstenite::Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut frame = BytesMut::with_capacity(bytes.len() + 1);
        frame.put_u8(channel.number());
        frame.put_slice(bytes);
        self.send(frame.freeze()).await
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), tungstenite::Error> {
        self.relay.session.keep(self.relay.number, self.relay.part(), Direction::Upstream, &frame).await;
        self.to.send(Frame::Binary(frame)).await
    }

    /// Ends the stream; with a reason where it was not to end yet.
    async fn close(&mut self, why: Option<String>) {
        let last = async {
            let pieces = self.shown.as_mut().map(Shown::finish).unwrap_or_default();
            self.show(pieces).await?;
            let untold = self.shown.as_ref().and_then(Shown::untold);
            if let (None, Some(untold)) = (&why, untold) {
                self.send_on(Channel::Error, untold.body.to_string().as_bytes()).await?;
            }
            if let (Some(why), true) = (why, self.shown.is_some()) {
                self.send_on(Channel::Stderr, format!("doorward: ended: {why}\n").as_bytes()).await?;
                let status = render::status(403, "Forbidden", &format!("doorward: ended: {why}"));
                self.send_on(Channel::Error, status.body.to_string().as_bytes()).await?;
            }
            self.to.send(Frame::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await?;
            self.to.close().await
        };
        let _gone = tokio::time::timeout(Duration::from_secs(5), last).await;
    }
}
