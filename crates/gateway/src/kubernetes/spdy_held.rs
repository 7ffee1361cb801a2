//! `exec` and `attach` over SPDY that wait for people: the caller opens its streams meanwhile, and is told on one of them.
use super::{
    answer::Answered,
    handler::{self, Understood},
    session::Session,
    spdy::{Early, Talk},
    spdy_wire::{End, Opened, Upstream, dial, halves},
    upgrade::Upgrade,
};
use doorward_enforce::{ApprovalVerdict, Held, StreamPermit};
use doorward_kubernetes::{
    channel::Channel,
    render,
    spdy::{Frame, FromCaller},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Input that is kept until people have decided, in bytes. More is not read before.
pub(super) const EARLY: usize = 1 << 20;
/// How long a caller may take to open the stream on which it is told how it ended.
const OPENING: Duration = Duration::from_secs(5);

/// Accepts a stream that waits for people.
pub(super) fn held(
    session: &Arc<Session>,
    number: u32,
    held: Held,
    understood: Understood,
    upgrade: Upgrade,
) -> Result<Answered, render::Answer> {
    let Some(protocol) = upgrade.protocols.first().copied() else { return Err(render::malformed("no protocol")) };
    let response = upgrade.accept(protocol);
    let live = session.stream(number);
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let (tells_on, is_tty) = (upgrade.tells_on.unwrap_or(Channel::Stderr), upgrade.is_tty);
        let Some(on) = upgrade.on else { return };
        let Ok(caller) = on.await else { return };
        let (source, sink) = halves(TokioIo::new(caller), "client");
        let talk = Talk { session, number, protocol, exchange: Mutex::default(), source, sink };
        let mut waiting = Waiting { talk, tells_on, is_tty, news: None, early: Vec::new(), kept: 0 };
        match waiting.opened(held, understood).await {
            Ok((upstream, permit)) => waiting.talk.relay(upstream, permit, waiting.early).await,
            Err(refused) => waiting.refuse(&refused).await,
        }
    });
    Ok(response)
}

struct Waiting {
    talk: Talk,
    tells_on: Channel,
    is_tty: bool,
    /// What the caller is to hear once it has the stream for it.
    news: Option<String>,
    early: Early,
    kept: usize,
}

impl Waiting {
    async fn opened(&mut self, held: Held, understood: Understood) -> Result<(Upstream, StreamPermit), render::Answer> {
        let session = Arc::clone(&self.talk.session);
        let approval = held.approval().clone();
        let minutes = approval.expires.since(crate::services::now()).as_secs().div_ceil(60);
        self.news = Some(render::held(&approval, &session.link(&approval), minutes));
        let verdict = session.wait_for_people(&approval, self.attend(None)).await;
        let approved = matches!(verdict, ApprovalVerdict::Approved { .. });
        session.event_approved(self.talk.number, &verdict);
        let permit = session.settle(held, verdict).map_err(|refusal| render::refusal(&refusal))?;
        let mut understood = handler::still_the_same(&session, understood).await?;
        understood.found.forget();
        let stream = permit.stream();
        let bytes = understood.message.bytes();
        session.redeem(permit, &bytes).await.map_err(|refusal| render::refusal(&refusal))?;
        if approved {
            let _gone = self.talk.tell(self.tells_on, "doorward: approved\n").await;
        }
        match dial(&session, &understood.message, &[self.talk.protocol]).await? {
            Opened::Stream(upstream, _) => Ok((upstream, stream)),
            Opened::Not(response) => {
                let code = response.status().as_u16();
                Err(render::status(code, "InternalError", &format!("doorward: the API server answered {code}")))
            }
        }
    }

    /// Hears the caller out, until it leaves, presses Ctrl-C, or has opened this channel.
    async fn attend(&mut self, until: Option<Channel>) {
        loop {
            if until.is_some_and(|channel| self.talk.exchange.lock().can_tell(channel)) {
                return;
            }
            let Ok(frame) = self.talk.source.frame().await else { return };
            let event = self.talk.exchange.lock().from_caller(frame);
            if !matches!(self.hear(event.map_err(End::from)).await, Ok(true)) {
                return;
            }
        }
    }

    /// Whether it stays.
    async fn hear(&mut self, event: Result<FromCaller, End>) -> Result<bool, End> {
        match event? {
            FromCaller::Opened(channel, fin) => {
                let id = self.talk.exchange.lock().id(channel).unwrap_or_default();
                let is_new = self.talk.exchange.lock().tell(channel);
                debug_assert!(is_new, "a stream is opened once");
                self.talk.sink.send(&Frame::SynReply { id, headers: Vec::new(), fin: false }).await?;
                if fin {
                    self.early.push((channel, bytes::Bytes::new(), true));
                }
                if channel == self.tells_on
                    && let Some(news) = self.news.take()
                {
                    self.talk.tell(channel, &news).await?;
                }
            }
            // What somebody types meanwhile is nobody's input.
            FromCaller::Data(Channel::Stdin, bytes, fin) if self.is_tty => {
                if fin || bytes.contains(&0x03) {
                    return Ok(false);
                }
            }
            FromCaller::Data(channel, bytes, fin) => {
                self.kept += bytes.len();
                self.early.push((channel, bytes, fin));
                if self.kept > EARLY || self.early.len() > EARLY / 64 {
                    // It waits with us.
                    std::future::pending::<()>().await;
                }
            }
            FromCaller::Reset(..) | FromCaller::Goodbye => return Ok(false),
            FromCaller::Ping(id) => self.talk.sink.send(&Frame::Ping { id }).await?,
            FromCaller::Nothing => {}
        }
        Ok(true)
    }

    /// Ends the stream as the API server does.
    async fn refuse(&mut self, refused: &render::Answer) {
        let what = serde_json::json!({ "code": refused.code, "message": refused.body.get("message") });
        self.talk.session.event(self.talk.number, "refused", what);
        let _slow = tokio::time::timeout(OPENING, self.attend(Some(Channel::Error))).await;
        self.talk.close(Some(refused), false).await;
    }
}
