//! `exec` and `attach` over SPDY/3.1: the gateway is the server of the caller, and a client of the cluster.
//!
//! Each direction is a task of its own, with its own reader and writer; answers to pings go over to the other one, which
//! has the writer that they need. Streams have the same numbers on both sides.
use super::{
    answer::{self, Answered},
    message::Message,
    session::{Part, Session},
    shown::{Piece, Shown},
    spdy_wire::{End, Opened, Sink, Source, Upstream, dial, halves},
    upgrade::Upgrade,
};
use bytes::Bytes;
use doorward_enforce::StreamPermit;
use doorward_kubernetes::{
    channel::Channel,
    render,
    spdy::{Exchange, Frame, FromCaller, FromUpstream},
};
use doorward_model::AuditKind;
use doorward_record::Direction;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};

/// How long the cluster may take to accept a stream, as with clients of Kubernetes.
const ACCEPT: Duration = Duration::from_secs(30);
/// How long a caller may take to hear the last of it.
const GOODBYE: Duration = Duration::from_secs(5);
/// Pings that wait for their answer. More are not answered.
const PINGS: usize = 16;

pub(super) type Caller = TokioIo<hyper::upgrade::Upgraded>;

/// Opens a stream that was allowed at once.
pub(super) async fn open(
    session: &Arc<Session>,
    number: u32,
    permit: StreamPermit,
    message: &Message,
    upgrade: Upgrade,
) -> Result<Answered, render::Answer> {
    let (upstream, protocol) = match dial(session, message, &upgrade.protocols).await? {
        Opened::Stream(upstream, protocol) => (upstream, protocol),
        Opened::Not(response) => return Ok(answer::pass(Arc::clone(session), number, permit, *response).await),
    };
    let answered = upgrade.accept(protocol);
    let live = session.stream(number);
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let Some(on) = upgrade.on else { return };
        let Ok(caller) = on.await else { return };
        let (source, sink) = halves(TokioIo::new(caller), "client");
        let talk = Talk { session, number, protocol, exchange: Mutex::default(), source, sink };
        talk.relay(upstream, permit, Vec::new()).await;
    });
    Ok(answered)
}

/// Input that came before the cluster was there: bytes, and whether they were the last.
pub(super) type Early = Vec<(Channel, Bytes, bool)>;

/// A caller on its connection.
pub(super) struct Talk {
    pub(super) session: Arc<Session>,
    pub(super) number: u32,
    pub(super) protocol: &'static str,
    pub(super) exchange: Mutex<Exchange>,
    pub(super) source: Source<Caller>,
    pub(super) sink: Sink<Caller>,
}

impl Talk {
    /// Passes streams both ways until either side leaves, or policy says so.
    pub(super) async fn relay(mut self, upstream: Upstream, permit: StreamPermit, early: Early) {
        let session = Arc::clone(&self.session);
        let hidden = session.hidden();
        let (from_upstream, to_upstream) = halves(upstream, "upstream");
        let (ping_caller, caller_pings) = mpsc::channel(PINGS);
        let (ping_upstream, upstream_pings) = mpsc::channel(PINGS);
        let room =
            Room { session: &self.session, number: self.number, exchange: &self.exchange, accepted: Notify::new() };
        let mut input = Input { room: &room, to: to_upstream, answers: ping_caller, is_gone: false };
        let mut output =
            Output { room: &room, to: &mut self.sink, shown: Shown::new(&session), answers: ping_upstream };
        let end = tokio::select! {
            end = input.run(&mut self.source, early, upstream_pings) => Err(end),
            end = output.run(from_upstream, caller_pings) => Err(end),
            refusal = session.revoked(&permit, &hidden) => {
                session.note_revoked(room.number, &refusal);
                Ok(refusal.message)
            }
            () = session.live.ended() => Ok("the session has ended".to_owned()),
        };
        let why = match end {
            Ok(why) => Some(why),
            Err(End::Left) => None,
            Err(End::Fault { at_fault, what }) => {
                session.live.note(AuditKind::Fault { at_fault: at_fault.into(), what: what.clone() });
                Some(what)
            }
        };
        let _gone = tokio::time::timeout(GOODBYE, output.finish()).await;
        // Before v4 nothing is said of success.
        let untold = output.shown.untold().filter(|_| self.protocol == "v4.channel.k8s.io");
        let why = why.map(|why| render::status(403, "Forbidden", &format!("doorward: ended: {why}"))).or(untold);
        self.close(why.as_ref(), true).await;
    }

    /// Tells the caller something, where it can be told.
    pub(super) async fn tell(&mut self, channel: Channel, text: &str) -> io::Result<()> {
        let text = if channel == Channel::Stdout { text.replace('\n', "\r\n") } else { text.to_owned() };
        let room =
            Room { session: &self.session, number: self.number, exchange: &self.exchange, accepted: Notify::new() };
        if !room.exchange.lock().can_tell(channel) {
            return Ok(());
        }
        let sent = room.show(&mut self.sink, vec![(channel, text.into())]);
        tokio::time::timeout(GOODBYE, sent).await.unwrap_or(Ok(()))
    }

    /// Ends the connection; with a reason where it was not to end yet.
    pub(super) async fn close(&mut self, why: Option<&render::Answer>, is_shown: bool) {
        let last = async {
            if let Some(why) = why {
                let message = why.body.get("message").and_then(|m| m.as_str()).unwrap_or_default().to_owned();
                let stderr = self.exchange.lock().can_tell(Channel::Stderr);
                if is_shown {
                    let on = if stderr { Channel::Stderr } else { Channel::Stdout };
                    self.tell(on, &format!("{message}\n")).await?;
                }
                let has_status = self.protocol == "v4.channel.k8s.io";
                let said = if has_status { why.body.to_string() } else { message };
                self.tell(Channel::Error, &said).await?;
            }
            for channel in Channel::ALL {
                let id = {
                    let exchange = self.exchange.lock();
                    exchange.id(channel).filter(|_| exchange.can_tell(channel))
                };
                if let Some(id) = id {
                    self.sink.send(&Frame::Data { id, bytes: Bytes::new(), fin: true }).await?;
                }
            }
            let last = self.exchange.lock().last();
            self.sink.send(&Frame::GoAway { last, status: 0 }).await?;
            self.sink.shutdown().await?;
            // What it has not read yet is lost to some when the connection goes.
            while self.source.frame().await.is_ok() {}
            io::Result::Ok(())
        };
        let _gone = tokio::time::timeout(GOODBYE, last).await;
    }
}

/// What both directions share.
struct Room<'a> {
    session: &'a Session,
    number: u32,
    exchange: &'a Mutex<Exchange>,
    accepted: Notify,
}

impl Room<'_> {
    async fn keep(&self, direction: Direction, channel: Channel, bytes: &[u8]) {
        let framed = [&[channel.number()], bytes].concat();
        self.session.keep(self.number, Part::Channel, direction, &framed).await;
    }

    /// The end of a channel, as `v5.channel.k8s.io` writes it.
    async fn keep_end(&self, direction: Direction, channel: Channel) {
        self.session.keep(self.number, Part::Channel, direction, &[255, channel.number()]).await;
    }

    fn id(&self, channel: Channel) -> Result<u32, io::Error> {
        self.exchange.lock().id(channel).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn show(&self, to: &mut Sink<Caller>, pieces: Vec<Piece>) -> io::Result<()> {
        for (channel, bytes) in pieces.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            self.keep(Direction::Upstream, channel, &bytes).await;
            to.send(&Frame::Data { id: self.id(channel)?, bytes, fin: false }).await?;
        }
        Ok(())
    }

    /// Resolves when the cluster has accepted a stream, or given it up.
    async fn accepted(&self, channel: Channel) -> Result<(), End> {
        let wait = async {
            loop {
                let notified = self.accepted.notified();
                if self.exchange.lock().is_accepted(channel) {
                    return;
                }
                notified.await;
            }
        };
        let late = |_| End::Fault { at_fault: "upstream", what: "SPDY: a stream was not accepted in time".into() };
        tokio::time::timeout(ACCEPT, wait).await.map_err(late)
    }
}

/// The way to the cluster.
struct Input<'a> {
    room: &'a Room<'a>,
    to: Sink<Upstream>,
    answers: mpsc::Sender<u32>,
    /// Whether the cluster takes nothing any more. What it has said before that is still on its way.
    is_gone: bool,
}

impl Input<'_> {
    async fn run(&mut self, from: &mut Source<Caller>, early: Early, mut pings: mpsc::Receiver<u32>) -> End {
        let channels: Vec<_> = self.room.exchange.lock().channels().collect();
        let before = channels.into_iter().map(|c| FromCaller::Opened(c, false));
        let early = early.into_iter().map(|(channel, bytes, fin)| FromCaller::Data(channel, bytes, fin));
        for event in before.chain(early) {
            if let Err(end) = self.pass(event).await {
                return end;
            }
        }
        loop {
            let passed = tokio::select! {
                frame = from.frame() => match self.heard(frame) {
                    Ok(event) => self.pass(event).await,
                    Err(end) => Err(end),
                },
                Some(id) = pings.recv() => {
                    self.send(&Frame::Ping { id }).await;
                    Ok(())
                }
            };
            if let Err(end) = passed {
                return end;
            }
        }
    }

    fn heard(&self, frame: Result<Frame, End>) -> Result<FromCaller, End> {
        Ok(self.room.exchange.lock().from_caller(frame?)?)
    }

    async fn send(&mut self, frame: &Frame) {
        self.is_gone = self.is_gone || self.to.send(frame).await.is_err();
    }

    async fn pass(&mut self, event: FromCaller) -> Result<(), End> {
        let room = self.room;
        match event {
            FromCaller::Opened(channel, fin) => {
                let headers = vec![("streamtype".to_owned(), channel.name().to_owned())];
                let id = room.id(channel)?;
                self.send(&Frame::SynStream { id, associated: 0, headers, fin, unidirectional: false }).await;
            }
            FromCaller::Data(channel, bytes, fin) if !self.is_gone => {
                room.accepted(channel).await?;
                if !bytes.is_empty() {
                    room.keep(Direction::Client, channel, &bytes).await;
                }
                if fin {
                    room.keep_end(Direction::Client, channel).await;
                }
                self.send(&Frame::Data { id: room.id(channel)?, bytes, fin }).await;
            }
            FromCaller::Reset(channel, status) => {
                self.send(&Frame::RstStream { id: room.id(channel)?, status }).await;
            }
            FromCaller::Ping(id) => drop(self.answers.try_send(id)),
            FromCaller::Goodbye => {
                let last = room.exchange.lock().last();
                let goodbye = Frame::GoAway { last, status: 0 };
                let _slow = tokio::time::timeout(GOODBYE, self.send(&goodbye)).await;
                return Err(End::Left);
            }
            FromCaller::Data(..) | FromCaller::Nothing => {}
        }
        Ok(())
    }
}

/// The way to the caller.
struct Output<'a> {
    room: &'a Room<'a>,
    to: &'a mut Sink<Caller>,
    shown: Shown,
    answers: mpsc::Sender<u32>,
}

impl Output<'_> {
    async fn run(&mut self, mut from: Source<Upstream>, mut pings: mpsc::Receiver<u32>) -> End {
        loop {
            let pause = self.shown.pause();
            let given = tokio::select! {
                frame = from.frame() => self.give(frame).await,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    let pieces = self.shown.overdue();
                    self.room.show(self.to, pieces).await.map_err(End::from)
                }
                Some(id) = pings.recv() => self.to.send(&Frame::Ping { id }).await.map_err(End::from),
            };
            if let Err(end) = given {
                return end;
            }
        }
    }

    async fn give(&mut self, frame: Result<Frame, End>) -> Result<(), End> {
        let event = self.room.exchange.lock().from_upstream(frame?)?;
        match event {
            FromUpstream::Accepted(channel, fin) => {
                self.room.accepted.notify_waiters();
                let id = self.room.id(channel)?;
                let is_news = self.room.exchange.lock().tell(channel);
                if is_news {
                    self.to.send(&Frame::SynReply { id, headers: Vec::new(), fin }).await?;
                } else if fin {
                    self.to.send(&Frame::Data { id, bytes: Bytes::new(), fin }).await?;
                }
            }
            FromUpstream::Data(channel, bytes, fin) => {
                let mut pieces = self.shown.data(channel, bytes);
                if fin {
                    pieces.extend(self.shown.end_of(channel));
                }
                self.room.show(self.to, pieces).await?;
                if fin {
                    self.room.keep_end(Direction::Upstream, channel).await;
                    self.to.send(&Frame::Data { id: self.room.id(channel)?, bytes: Bytes::new(), fin }).await?;
                }
            }
            FromUpstream::Reset(channel, status) => {
                self.room.accepted.notify_waiters();
                let pieces = self.shown.end_of(channel);
                self.room.show(self.to, pieces).await?;
                self.to.send(&Frame::RstStream { id: self.room.id(channel)?, status }).await?;
            }
            FromUpstream::Ping(id) => drop(self.answers.try_send(id)),
            FromUpstream::Goodbye => return Err(End::Left),
            FromUpstream::Nothing => {}
        }
        Ok(())
    }

    /// What is left of the output.
    async fn finish(&mut self) -> io::Result<()> {
        let pieces = self.shown.finish();
        self.room.show(self.to, pieces).await
    }
}
