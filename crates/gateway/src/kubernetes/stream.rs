//! Streams to containers over WebSocket: `exec`, `attach` (`v4.channel.k8s.io`, `v5.channel.k8s.io`), `portforward`
//! (`SPDY/3.1+portforward.k8s.io`, `v4.channel.k8s.io` with two channels a port).
//!
//! Each message of `exec` and `attach` begins with the number of its channel: 0 standard input, 1 output, 2 error, 3 how
//! it ended, 4 the terminal's size, 255 the end of a channel (v5).
use super::{
    answer::{self, Answered, PAUSES, masker},
    handler::{self, Understood},
    message::Message,
    session::{Part, Session},
    spdy,
    upgrade::{Upgrade, Wire},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use doorward_detect::StreamMasker;
use doorward_enforce::{ApprovalVerdict, Held, StreamPermit};
use doorward_kubernetes::render;
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
type Upstream = WebSocketStream<reqwest::Upgraded>;

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
    Not(reqwest::Response),
}

async fn dial(session: &Session, message: &Message, protocols: &[&'static str]) -> Result<Opened, render::Answer> {
    let (message, key) = for_upstream(message, protocols)?;
    let response = session.endpoint.cluster.send(&message).await.map_err(|e| handler::unreachable(&e))?;
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
    if upgrade.wire == Wire::Spdy {
        return spdy::open(session, number, permit, message, upgrade).await;
    }
    let (upstream, protocol) = match dial(session, message, &upgrade.protocols).await? {
        Opened::Stream(upstream, protocol) => (upstream, protocol),
        Opened::Not(response) => return Ok(answer::pass(Arc::clone(session), number, permit, response).await),
    };
    let response = upgrade.accept(protocol);
    let live = session.stream();
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let is_tunnel = upgrade.is_tunnel;
        let Some(caller) = caller(&session, upgrade).await else { return };
        Relay { session, number, is_tunnel }.run(caller, *upstream, permit).await;
    });
    Ok(response)
}

async fn caller(session: &Session, upgrade: Upgrade) -> Option<Caller> {
    match upgrade.on?.await {
        Ok(io) => Some(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config())).await),
        Err(e) => {
            tracing::debug!(session = %session.id, "the caller's stream did not come: {e}");
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
    let Some(protocol) = upgrade.protocols.first().copied() else { return Err(render::malformed("no protocol")) };
    let response = upgrade.accept(protocol);
    let live = session.stream();
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let tells_on = upgrade.tells_on.unwrap_or(2);
        let Some(mut caller) = caller(&session, upgrade).await else { return };
        let waiting = Waiting { session: &session, number, tells_on };
        match waiting.opened(&mut caller, held, understood, protocol).await {
            Ok((upstream, permit)) => {
                let relay = Relay { session: Arc::clone(&session), number, is_tunnel: false };
                relay.run(caller, upstream, permit).await;
            }
            Err(refused) => waiting.refuse(&mut caller, &refused).await,
        }
    });
    Ok(response)
}

struct Waiting<'a> {
    session: &'a Session,
    number: u32,
    tells_on: u8,
}

impl Waiting<'_> {
    async fn opened(
        &self,
        caller: &mut Caller,
        held: Held,
        understood: Understood,
        protocol: &'static str,
    ) -> Result<(Upstream, StreamPermit), render::Answer> {
        let approval = held.approval().clone();
        let minutes = approval.expires.since(crate::services::now()).as_secs().div_ceil(60);
        let text = render::held(&approval, &self.session.link(&approval), minutes);
        self.tell(caller, &text).await;
        let verdict = self.session.wait_for_people(&approval, left(caller)).await;
        let approved = matches!(verdict, ApprovalVerdict::Approved { .. });
        let permit = self.session.settle(held, verdict).map_err(|refusal| render::refusal(&refusal))?;
        let understood = handler::still_the_same(self.session, understood).await?;
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
        let text = if self.tells_on == 1 { text.replace('\n', "\r\n") } else { text.to_owned() };
        let mut frame = vec![self.tells_on];
        frame.extend_from_slice(text.as_bytes());
        self.session.keep(self.number, Part::Channel, Direction::Upstream, &frame).await;
        let _gone = tokio::time::timeout(Duration::from_secs(5), caller.send(Frame::binary(frame))).await;
    }

    /// Ends the stream as the API server does: how it ended is on channel 3.
    async fn refuse(&self, caller: &mut Caller, refused: &render::Answer) {
        let what = serde_json::json!({ "code": refused.code, "message": refused.body.get("message") });
        self.session.event(self.number, "refused", what);
        let mut frame = vec![3];
        frame.extend_from_slice(refused.body.to_string().as_bytes());
        self.session.keep(self.number, Part::Channel, Direction::Upstream, &frame).await;
        let _gone = caller.send(Frame::binary(frame)).await;
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _gone = tokio::time::timeout(Duration::from_secs(5), caller.close(Some(normal))).await;
    }
}

/// Resolves when the caller leaves, or presses Ctrl-C. What he types meanwhile is nobody's input.
async fn left(caller: &mut Caller) {
    while let Some(Ok(frame)) = caller.next().await {
        match frame {
            Frame::Binary(bytes) if bytes.first() == Some(&0) && bytes.contains(&0x03) => return,
            Frame::Close(_) => return,
            Frame::Binary(_) | Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
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
    async fn run(&self, caller: Caller, upstream: Upstream, permit: StreamPermit) {
        let (to_caller, from_caller) = caller.split();
        let (to_upstream, from_upstream) = upstream.split();
        let hidden = self.session.hidden();
        let mut output = Output {
            relay: self,
            to: to_caller,
            filters: (!self.is_tunnel).then(|| [masker(&self.session), masker(&self.session)]),
            quiet: 0,
        };
        let end = tokio::select! {
            () = self.input(from_caller, to_upstream) => None,
            () = output.run(from_upstream) => None,
            refusal = self.session.revoked(&permit, &hidden) => {
                self.session.note_revoked(self.number, &refusal);
                Some(refusal.message)
            }
            () = self.session.ended() => Some("the session has ended".to_owned()),
        };
        output.close(end).await;
    }

    const fn part(&self) -> Part {
        if self.is_tunnel { Part::Tunnel } else { Part::Channel }
    }

    async fn input(&self, mut from: SplitStream<Caller>, mut to: SplitSink<Upstream, Frame>) {
        while let Some(Ok(frame)) = from.next().await {
            let bytes = match &frame {
                Frame::Binary(bytes) => bytes.clone(),
                // Some clients send what is text as such; to the API server it is the same.
                Frame::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Frame::Close(_) => break,
                // Pings are answered by each side of the gateway.
                Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => continue,
            };
            self.session.keep(self.number, self.part(), Direction::Client, &bytes).await;
            if to.send(Frame::Binary(bytes)).await.is_err() {
                break;
            }
        }
        let _gone = tokio::time::timeout(Duration::from_secs(2), to.close()).await;
    }
}

/// The way to the caller.
struct Output<'a> {
    relay: &'a Relay,
    to: SplitSink<Caller, Frame>,
    /// For channels 1 and 2; none in a tunnel.
    filters: Option<[Option<Box<StreamMasker>>; 2]>,
    quiet: usize,
}

impl Output<'_> {
    async fn run(&mut self, mut from: SplitStream<Upstream>) {
        loop {
            let held_back = self.filters.iter().flatten().flatten().any(|f| f.hold_back() > 0);
            let pause = PAUSES.get(self.quiet).copied().filter(|_| held_back);
            let next = tokio::select! {
                next = from.next() => next,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    let overdue = self.quiet > 0;
                    self.quiet += 1;
                    if self.flush(|f, out| if overdue { f.force(out) } else { f.flush(out) }).await.is_err() {
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
        self.quiet = 0;
        let channel = bytes.first().copied().unwrap_or_default();
        let Some(filters) = &mut self.filters else { return self.send(bytes).await };
        let filter = match channel {
            1 | 2 => filters.get_mut(usize::from(channel) - 1).and_then(Option::as_mut),
            // How it ended comes after all that was written.
            3 => {
                self.flush(StreamMasker::finish).await?;
                None
            }
            // The end of a channel (v5).
            255 => None,
            // There are no others towards the caller.
            _ => return Ok(()),
        };
        match filter {
            None => self.send(bytes).await,
            Some(filter) => {
                let mut out = Vec::with_capacity(bytes.len());
                filter.push(bytes.get(1..).unwrap_or_default(), &mut out);
                self.send_on(channel, &out).await
            }
        }
    }

    async fn flush(&mut self, how: impl Fn(&mut StreamMasker, &mut Vec<u8>)) -> Result<(), tungstenite::Error> {
        for channel in [1_u8, 2] {
            let mut out = Vec::new();
            let filters = self.filters.as_mut();
            if let Some(Some(filter)) = filters.and_then(|f| f.get_mut(usize::from(channel) - 1)) {
                how(filter, &mut out);
            }
            self.send_on(channel, &out).await?;
        }
        Ok(())
    }

    async fn send_on(&mut self, channel: u8, bytes: &[u8]) -> Result<(), tungstenite::Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut frame = BytesMut::with_capacity(bytes.len() + 1);
        frame.put_u8(channel);
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
            self.flush(StreamMasker::finish).await?;
            if let (Some(why), true) = (why, self.filters.is_some()) {
                self.send_on(2, format!("doorward: ended: {why}\n").as_bytes()).await?;
                let status = render::status(403, "Forbidden", &format!("doorward: ended: {why}"));
                self.send_on(3, status.body.to_string().as_bytes()).await?;
            }
            self.to.send(Frame::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await?;
            self.to.close().await
        };
        let _gone = tokio::time::timeout(Duration::from_secs(5), last).await;
    }
}
