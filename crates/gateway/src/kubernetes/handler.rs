//! A request, from its head to its answer.
use super::{
    answer::{self, Answered, Look, Mask},
    cluster::ClusterError,
    filter::{self, Filter},
    inquiry::{self, Found},
    message::Message,
    pages::Pages,
    session::{Part, Session},
    stream,
    upgrade::{self, Upgrade},
    view::{self, Sight, View},
};
use crate::{connection::WhenHeld, memory::Room, services::now};
use bytes::{Bytes, BytesMut};
use doorward_enforce::{ApprovalVerdict, AtOnce, Detail, Held, Outcome, Permit, TraceParent};
use doorward_kubernetes::{
    Target, Verb,
    facts::{self, Meaning, Road},
    json, patch, render,
    split::Form,
    veil::{self, Veil},
};
use doorward_model::{Action, AuditKind};
use doorward_record::Direction;
use http::{HeaderValue, Request, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// The largest body, in bytes: the API server takes 3 MiB.
const LARGEST_BODY: usize = 4 << 20;
/// How much of one that is too large is read, in bytes.
const MOST_READ: usize = 128 << 20;
/// How long it may take to come, with the wait for room.
const BODY: Duration = Duration::from_secs(30);

/// Answers a request.
pub(crate) async fn handle(session: &Arc<Session>, request: Request<Incoming>) -> Answered {
    let is_traced = session.endpoint.services.traces.is_some();
    let parent = request.headers().get("traceparent").filter(|_| is_traced);
    let trace = parent.and_then(|v| TraceParent::parse(v.to_str().ok()?));
    let mut handling = Handling { session, number: session.next_request(), trace };
    let is_head = request.method() == http::Method::HEAD;
    // INVARIANT: nothing goes on for a session that is over, however far it is. Bodies and streams see to it themselves.
    let done = tokio::select! {
        biased;
        () = session.live.ended() => Err(render::unauthorized(
            "this session was ended while the request was under way: it may have been carried out, or not; connect again",
        )),
        done = handling.run(request) => done,
    };
    let mut answered = match done {
        Ok(answered) => answered,
        Err(refused) => {
            let what = json!({ "code": refused.code, "message": refused.body.get("message") });
            session.event(handling.number, "refused", what);
            answer::own(&refused)
        }
    };
    if is_head {
        *answered.body_mut() = answer::empty();
    }
    answered
}

/// A request that was read.
struct Read {
    target: Target,
    message: Message,
    upgrade: Option<Upgrade>,
    view: Option<View>,
}

/// A request that is understood.
pub(crate) struct Understood {
    pub(crate) target: Target,
    pub(crate) message: Message,
    /// How its answer is to be looked at.
    pub(crate) view: Option<View>,
    pub(crate) found: Found,
    pub(crate) meaning: Meaning,
}

pub(crate) struct Handling<'a> {
    session: &'a Arc<Session>,
    number: u32,
    /// The caller's trace that the request is of.
    trace: Option<TraceParent>,
}

impl Handling<'_> {
    async fn run(&mut self, request: Request<Incoming>) -> Result<Answered, render::Answer> {
        let (mut parts, body) = request.into_parts();
        let read = self.read(&mut parts, body).await;
        let Read { target, message, upgrade, view } = read.inspect_err(|refused| self.not_understood(refused))?;
        let bytes = message.bytes();
        self.session.keep(self.number, Part::Message, Direction::Client, &bytes).await;
        let understood = self.understand(target, message, view).await?;
        let statement = &understood.meaning.statement;
        self.session.event(self.number, "request", json!({ "statement": &**statement }));
        if self.session.endpoint.connection.held == WhenHeld::Retry {
            return self.at_once(understood, upgrade, &bytes).await;
        }
        let shown = || understood.message.shown(&understood.target);
        match self.session.decide("request", &understood.meaning, &bytes, &shown, self.trace) {
            Outcome::Forward(permit) => self.forward(permit, understood, upgrade, None).await,
            Outcome::Refuse(refusal) => Err(render::refusal(&refusal)),
            Outcome::Hold(held) => self.hold(*held, understood, upgrade).await,
        }
    }

    /// What cannot be understood is written down, too.
    fn not_understood(&self, refused: &render::Answer) {
        let what = refused.body.get("message").and_then(|m| m.as_str()).unwrap_or_default().to_owned();
        self.session.live.note(AuditKind::Fault { at_fault: "client".into(), what });
    }

    /// Reads the request whole.
    async fn read(&self, parts: &mut Parts, body: Incoming) -> Result<Read, render::Answer> {
        let text = parts.uri.path_and_query().map_or("/", |t| t.as_str());
        let mut target = Target::parse(parts.method.as_str(), text).map_err(|e| render::malformed(&e.0))?;
        self.turn_page(&mut target)?;
        let upgrade = Upgrade::of(parts, &target)?;
        let body: Bytes = match &upgrade {
            // What follows is the stream's.
            Some(_) => Bytes::new(),
            None => self.body(body).await?,
        };
        if parts.method == http::Method::GET && !body.is_empty() {
            return Err(render::malformed("a GET with a body"));
        }
        let message = Message::new(&parts.method, &target, &parts.headers, self.session.in_cluster.as_ref(), body);
        let mut message = message.map_err(|e| render::malformed(&e.0))?;
        let view = View::of(self.session, &target);
        match &view {
            Some(view) => view.ask(&mut message),
            None if !facts::is_discovery(&target) && !self.session.hidden().is_empty() => message.ask_for_text(),
            None => {}
        }
        if let Some(mask) = self.written_back(&target, &message) {
            let what =
                format!("the body holds `{mask}`, which stands for a value that you may not see: it would be lost");
            return Err(render::malformed(&what));
        }
        if let Some(what) = self.fishes(&target, &message).await? {
            return Err(render::malformed(&what));
        }
        Ok(Read { target, message, upgrade, view })
    }

    /// Where a list goes on, as the API server said it.
    fn turn_page(&self, target: &mut Target) -> Result<(), render::Answer> {
        let Some(token) = target.parameter("continue").filter(|token| !token.is_empty()) else { return Ok(()) };
        let is_sealed = Pages::is_sealed(token);
        let each = || target.resource().is_some_and(|path| Sight::of(self.session, target, path).each);
        if !is_sealed && !each() {
            return Ok(());
        }
        // Clients begin anew then.
        let expired =
            || render::status(410, "Expired", "doorward: this page is no longer known; list from the beginning");
        let opened = self.session.endpoint.pages.open(token).ok_or_else(expired)?;
        target.set_parameter("continue", opened);
        Ok(())
    }

    /// A mask in what is written, of what is hidden from the caller.
    fn written_back(&self, target: &Target, message: &Message) -> Option<String> {
        if !target.verb.is_write() {
            return None;
        }
        let path = target.resource()?;
        let fields = self.session.hidden_fields(&path.kind(), path.namespace.as_deref());
        let labels = self.session.live.masks().into_iter().map(|(_, rule)| rule);
        let masks = labels.chain(fields.into_iter().map(|(_, rule)| rule)).map(|rule| format!("[{}]", rule.label));
        masks.into_iter().find(|mask| message.holds(mask) || message.holds(&veil::in_bytes(mask)))
    }

    /// What of a request would tell, by whether or how it succeeds, a value that the caller may not see.
    async fn fishes(&self, target: &Target, message: &Message) -> Result<Option<String>, render::Answer> {
        let Some(path) = target.resource() else { return Ok(None) };
        let hidden = self.session.hidden_somewhere(path);
        if hidden.is_empty() {
            return Ok(None);
        }
        if target.verb == Verb::Patch {
            let room = room(self.session).await?;
            room.take(json::weight(&message.body)).map_err(|why| render::busy(&why.to_string()))?;
            if let Some(what) = patch::looks_at_values(&message.body) {
                let what = format!("a JSON patch with `{what}`, of an object with values that you may not see");
                return Ok(Some(what));
            }
        }
        let of = |name| target.parameter(name).unwrap_or_default();
        let (labels, fields) = (of("labelSelector"), of("fieldSelector"));
        let told = hidden.iter().find(|field| field.is_selected(labels, fields));
        Ok(told.map(|field| format!("a selector that looks at `{}`, which you may not see", field.path)))
    }

    /// Reads a body whole: there is room for so many at once, and so much time for each.
    async fn body(&self, body: Incoming) -> Result<Bytes, render::Answer> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let slow = |_| render::status(408, "Timeout", "doorward: refused: the body did not come in time");
        let too_large = || render::status(413, "RequestEntityTooLarge", "doorward: refused: the body is too large");
        let read = async {
            let _place = self.session.endpoint.bodies.acquire().await;
            read_whole(body).await
        };
        match tokio::time::timeout(BODY, read).await.map_err(slow)? {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(too_large()),
            Err(_) => Err(render::malformed("a body that broke off")),
        }
    }

    async fn understand(
        &self,
        target: Target,
        message: Message,
        view: Option<View>,
    ) -> Result<Understood, render::Answer> {
        understand(self.session, target, message, view).await.inspect_err(|refused| self.not_understood(refused))
    }

    /// Waits for people. A stream to a container tells of it on its standard error.
    async fn hold(
        &self,
        held: Held,
        mut understood: Understood,
        upgrade: Option<Upgrade>,
    ) -> Result<Answered, render::Answer> {
        let approval = held.approval().clone();
        let link = self.session.link(&approval);
        self.session.event(self.number, "held", json!({ "approval": approval.id.to_string(), "link": link }));
        let is_in_vain = understood.found.in_vain.is_some();
        understood.found.forget();
        if let Some(upgrade) = upgrade.as_ref().filter(|u| u.can_tell() && !is_in_vain) {
            self.session.copy_begins(self.number, &understood.target);
            return stream::held(self.session, self.number, held, understood, upgrade.clone());
        }
        let verdict = self.session.wait_for_people(&approval, std::future::pending()).await;
        let was_approved = matches!(verdict, ApprovalVerdict::Approved { .. });
        self.session.event_approved(self.number, &verdict);
        let permit = self.session.settle(held, verdict).map_err(|refusal| render::refusal(&refusal))?;
        let understood = still_the_same(self.session, understood).await?;
        let warning = was_approved.then(|| render::approved(approval.id));
        self.forward(permit, understood, upgrade, warning).await
    }

    /// Decides for a caller who does not wait for people, but asks again.
    async fn at_once(
        &self,
        understood: Understood,
        upgrade: Option<Upgrade>,
        bytes: &[u8],
    ) -> Result<Answered, render::Answer> {
        let same = understood.message.same(upgrade.is_some());
        let uid = understood.found.uid.clone().unwrap_or_default();
        let shown = || understood.message.shown(&understood.target);
        let same: [&[u8]; 2] = [&same, uid.as_bytes()];
        match self.session.decide_at_once(&understood.meaning, bytes, &shown, &same, self.trace) {
            AtOnce::Forward { permit, approval } => {
                if approval.is_some() {
                    self.session.event_approved_by(self.number, permit.approved_by());
                }
                self.forward(permit, understood, upgrade, approval.map(render::approved)).await
            }
            AtOnce::Refuse(refusal) => Err(render::refusal(&refusal)),
            AtOnce::Wait(waiting) => {
                let approval = &waiting.approval;
                let link = self.session.link(approval);
                self.session.event(self.number, "held", json!({ "approval": approval.id.to_string(), "link": link }));
                let minutes = approval.expires.since(now()).as_secs().div_ceil(60);
                Err(render::ask_again(&waiting, &link, minutes))
            }
        }
    }

    async fn forward(
        &self,
        permit: Permit,
        mut understood: Understood,
        upgrade: Option<Upgrade>,
        warning: Option<String>,
    ) -> Result<Answered, render::Answer> {
        if !permit.approved_by().is_empty() {
            understood.message.for_once();
        }
        let stream = permit.stream();
        let bytes = understood.message.bytes();
        // Before the permit is used up: an approval may be for once.
        let cluster = &self.session.endpoint.cluster;
        let is_sent = understood.found.in_vain.is_none() && upgrade.is_none();
        let slot = if is_sent { Some(cluster.slot().await.map_err(|e| unreachable(&e))?) } else { None };
        self.session.redeem(permit, &bytes).await.map_err(|refusal| render::refusal(&refusal))?;
        let Found { known, in_vain, room, .. } = understood.found;
        let told = understood.view.as_ref().map(|view| filter::told(self.session, view, known.object.as_ref()));
        let told = told.unwrap_or_default();
        // Nothing of it is kept while others are waited for.
        drop((known, room));
        if let Some(in_vain) = in_vain {
            self.session.event(self.number, "in vain", json!({ "code": in_vain.status.as_u16() }));
            let mask = match understood.view {
                Some(view) if !view.sight.is_whole() => {
                    let view = View { form: Form::Whole, ..view };
                    Mask::Objects(Box::new(Filter::new(self.session, &Arc::new(stream), view, told)))
                }
                Some(_) | None => Mask::text(self.session),
            };
            return Ok(answer::whole(self.session, self.number, mask, in_vain.into()).await);
        }
        if let Some(upgrade) = upgrade {
            self.session.copy_begins(self.number, &understood.target);
            let opened = stream::open(self.session, self.number, stream, &understood.message, upgrade).await;
            if !opened.as_ref().is_ok_and(|o| o.status() == http::StatusCode::SWITCHING_PROTOCOLS) {
                self.session.copy_ends(self.number);
            }
            return opened;
        }
        let (message, is_slow) = (&understood.message, may_be_slow(&understood.target));
        let sent = match slot {
            Some(slot) => cluster.send_in(slot, message, is_slow).await,
            None => cluster.send(message, is_slow).await,
        };
        let answered = sent.map_err(|e| unreachable(&e))?;
        let look = match understood.view {
            Some(view) => Look::Objects(Box::new(view), told),
            None if facts::is_discovery(&understood.target) => Look::Not,
            None => Look::Text,
        };
        let session = Arc::clone(self.session);
        let mut response = answer::pass_seen(session, self.number, &Arc::new(stream), answered, look).await;
        if let Some(value) = warning.and_then(|w| HeaderValue::from_str(&w).ok()) {
            response.headers_mut().append(header::WARNING, value);
        }
        Ok(response)
    }
}

/// A body; none where it is too large. What is too much is read all the same, while the answer goes: a caller that is still
/// writing when the connection (HTTP/1.1) or the stream (HTTP/2) goes does not hear why.
async fn read_whole(mut body: Incoming) -> Result<Option<Bytes>, hyper::Error> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        if kept.len() + bytes.len() > LARGEST_BODY {
            tokio::spawn(tokio::time::timeout(BODY, read_away(body)));
            return Ok(None);
        }
        kept.extend_from_slice(&bytes);
    }
    Ok(Some(kept.freeze()))
}

/// Reads what nobody keeps.
async fn read_away(mut body: Incoming) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > MOST_READ {
            return;
        }
    }
}

/// Finds out what a request is about, and what would come of it; the latter where policy allows it as far as the path
/// says, because a dry run already has effects (webhooks).
async fn understand(
    session: &Session,
    target: Target,
    message: Message,
    view: Option<View>,
) -> Result<Understood, render::Answer> {
    let cluster = &session.endpoint.cluster;
    let detail = view::detail(session, &target);
    let room = room(session).await?;
    let mut found = inquiry::look(cluster, &target, detail, &room).await;
    let mut meaning = message.meaning(facts::of(&target, &found.known));
    // Who decides, or reads why it was refused, is shown everything.
    if detail < Detail::Object && !session.would_allow(&meaning) {
        found = inquiry::look(cluster, &target, Detail::Object, &room).await;
    }
    inquiry::as_whom_it_is_of(cluster, &target, &message, &mut found, &room).await;
    meaning = message.meaning(facts::of(&target, &found.known));
    if found.failed.is_none() && facts::has_outcome(&target) && !session.would_refuse(&meaning) {
        inquiry::outcome(cluster, &target, &message, &mut found, &room).await;
        meaning = message.meaning(facts::of(&target, &found.known));
    }
    found.room = Some(room);
    match &found.failed {
        Some(what) if found.is_full => Err(render::busy(what)),
        Some(what) => Err(render::status(503, "ServiceUnavailable", &format!("doorward: {what}; try again"))),
        None => match harms(session, view.as_ref(), &found) {
            Some(why) => Err(render::malformed(why)),
            None => Ok(Understood { target, message, view, found, meaning }),
        },
    }
}

/// Room for what is looked up for a request.
async fn room(session: &Session) -> Result<Room, render::Answer> {
    let endpoint = &session.endpoint;
    endpoint.services.memory.request(&endpoint.looking).await.map_err(|why| render::busy(&why.to_string()))
}

/// Whether masks that the caller was shown would take the place of what they stand for, or values that are hidden by what
/// is beside them come to light.
fn harms(session: &Session, view: Option<&View>, found: &Found) -> Option<&'static str> {
    let (view, before, after) = (view?, found.known.object.as_ref()?, found.known.outcome.as_ref()?);
    let fields = session.hidden_fields(&view.kind, view.path.namespace.as_deref());
    let services = &session.endpoint.services;
    let veil = Veil { detector: &services.detector, masker: &services.masker, types: &[] };
    let hidden = view::hidden(&fields);
    if veil.loses(before, after, &view.kind, &hidden) {
        return Some("a mask would be written where a value is that you may not see: it would be lost");
    }
    // Who writes the whole object has the values.
    let is_patch = view.target.verb == Verb::Patch;
    (is_patch && veil.bares(before, after, &hidden))
        .then_some("a value that you may not see would no longer be among those that are hidden")
}

/// What was approved has to be what there is: a pod may have made way for another one of its name.
pub(crate) async fn still_the_same(session: &Session, before: Understood) -> Result<Understood, render::Answer> {
    let Understood { target, message, view, meaning, found } = before;
    let saw = view.as_ref().map(|view| view.sight.clone());
    let sees = View::of(session, &target).map(|view| view.sight);
    let now = understand(session, target, message, view).await?;
    if saw != sees || now.meaning.facts != meaning.facts || now.found.uid != found.uid {
        let what = "doorward: refused: what the request is about has changed while it waited for approval; ask again";
        return Err(render::status(409, "Conflict", what));
    }
    Ok(now)
}

pub(crate) fn unreachable(e: &ClusterError) -> render::Answer {
    tracing::warn!("{e}");
    match e {
        ClusterError::Slow => {
            let what = "whether it has done what was asked for is not known";
            render::status(504, "Timeout", &format!("doorward: {e}; {what}"))
        }
        ClusterError::Busy | ClusterError::NoRoom(_) => render::busy(&e.to_string()),
        ClusterError::NoSecret(_) => {
            let what = "doorward: the gateway has no credential for the cluster; tell its operator";
            render::status(503, "ServiceUnavailable", what)
        }
        // No word of when to try again: clients would do so by themselves.
        ClusterError::Replaced | ClusterError::Unreachable(_) | ClusterError::Odd(_) => {
            render::status(503, "ServiceUnavailable", &format!("doorward: {e}"))
        }
    }
}

/// Whether the head of an answer may come whenever it does: with the first line of a log, or when a program behind a proxy
/// says something.
fn may_be_slow(target: &Target) -> bool {
    let road = target.resource().map(|path| facts::road(path, target.verb));
    matches!(road, Some(Road::Own(Action::Log) | Road::Stream(Action::Proxy)))
}

/// The right that a stream of a target needs; none where it has none.
pub(crate) fn stream_of(target: &Target) -> Option<Action> {
    upgrade::action_of(facts::road(target.resource()?, target.verb))
}
