//! Answers: the gateway's own, and those of the cluster on their way to the caller.
use super::{
    cluster::Whole,
    filter::Filter,
    session::{Part, Session},
    slots::Sent,
    view::{Sight, View},
};
use bytes::Bytes;
use doorward_detect::StreamMasker;
use doorward_enforce::StreamPermit;
use doorward_kubernetes::{
    render,
    veil::{HELD_ONE, Told},
};
use doorward_model::DataType;
use doorward_record::Direction;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;

/// An answer to a caller.
pub(crate) type Answered = Response<BoxBody<Bytes, io::Error>>;

/// How long a begun line may wait for the rest of it, and how long the beginning of a value.
pub(crate) const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];

/// The longest error in plain text, in bytes, of a request about an object with hidden values.
const LONGEST_ERROR: usize = 64 * 1024;

/// Headers that belong to one hop (RFC 9110 §7.6.1), and those that no longer say the truth.
const DROPPED: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::UPGRADE,
    header::TRAILER,
    header::TE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
];

fn boxed(bytes: impl Into<Bytes>) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// No body.
pub(crate) fn empty() -> BoxBody<Bytes, io::Error> {
    boxed(Bytes::new())
}

/// An answer of the gateway's own.
pub(crate) fn own(answer: &render::Answer) -> Answered {
    let mut response =
        json(StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &answer.body);
    // Clients of Kubernetes try again where they are told when.
    if let Some(seconds) = answer.body.pointer("/details/retryAfterSeconds").and_then(Value::as_u64) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A body that is JSON.
pub(crate) fn json(status: StatusCode, body: &Value) -> Answered {
    let mut response = Response::new(boxed(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// An answer of the cluster's that was read whole, as text again: whoever takes it apart has room for that.
pub(crate) struct InVain {
    status: StatusCode,
    headers: HeaderMap,
    text: Bytes,
}

impl From<Whole> for InVain {
    fn from(whole: Whole) -> Self {
        Self { status: whole.status, headers: whole.headers, text: whole.body.to_string().into() }
    }
}

/// An answer of the cluster's that was read whole: masked and recorded like any other.
pub(crate) async fn whole(session: &Arc<Session>, request: u32, mut mask: Mask, answer: InVain) -> Answered {
    let mut shown = Vec::new();
    let InVain { status, headers, text } = answer;
    let passed = async {
        mask.push(&text, &mut shown).await?;
        mask.finish(session, &mut shown).await
    };
    if let Err(why) = passed.await {
        return own(&render::status(502, "BadGateway", &format!("doorward: refused: {why}")));
    }
    let mut response = Response::new(boxed(shown.clone()));
    *response.status_mut() = status;
    // Warnings, what a cache may do, how long to wait.
    *response.headers_mut() = kept_headers(&headers);
    if let Mask::Objects(filter) = &mask {
        filter.look_at_warnings(response.headers_mut());
    }
    response.headers_mut().remove(header::CONTENT_ENCODING);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    session.keep(request, Part::Message, Direction::Upstream, head(status, response.headers()).as_bytes()).await;
    session.keep(request, Part::Message, Direction::Upstream, &shown).await;
    response
}

/// The headers of the cluster's answer that a caller gets.
fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| !DROPPED.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The head of an answer, for the recording.
fn head(status: StatusCode, headers: &HeaderMap) -> String {
    let mut out = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    out + "\r\n"
}

/// Passes the cluster's answer on while it comes, as text: recorded, masked, and ended when it is no longer allowed.
pub(crate) async fn pass(session: Arc<Session>, request: u32, permit: StreamPermit, answer: Sent) -> Answered {
    pass_seen(session, request, &Arc::new(permit), answer, Look::Text).await
}

/// The same, for an answer of objects, which are looked at.
pub(crate) async fn pass_seen(
    session: Arc<Session>,
    request: u32,
    permit: &Arc<StreamPermit>,
    answer: Sent,
    look: Look,
) -> Answered {
    let status = answer.status();
    // Nothing here asks for compression, follows another address, or speaks another protocol.
    let odd = answer.headers().contains_key(header::CONTENT_ENCODING)
        || status == StatusCode::SWITCHING_PROTOCOLS
        || (status.is_redirection() && status != StatusCode::NOT_MODIFIED);
    if odd {
        let what = format!("doorward: refused: the API server answered {status} in a way that nobody asked for");
        return own(&render::status(502, "BadGateway", &what));
    }
    let mut headers = kept_headers(answer.headers());
    let watched = Watched::of(&session, &look);
    let mask = match look {
        Look::Objects(view, told) if !view.sight.is_whole() && (status.is_success() || is_json(&headers)) => {
            Mask::Objects(Box::new(Filter::new(&session, permit, *view, told)))
        }
        // What the API server says in plain text are errors.
        Look::Objects(_, told) if !told.is_empty() => Mask::Error(Box::new(PlainError { told, text: Vec::new() })),
        Look::Objects(..) | Look::Text => Mask::text(&session),
        Look::Not => Mask::Nothing,
    };
    if let Mask::Objects(filter) = &mask {
        filter.look_at_warnings(&mut headers);
    }
    if !mask.can_read(&headers) {
        let why = "doorward: refused: the answer is in a form in which nothing can be masked; ask for JSON";
        return own(&render::status(406, "NotAcceptable", why));
    }
    session.keep(request, Part::Message, Direction::Upstream, head(status, &headers).as_bytes()).await;
    let (sender, frames) = mpsc::channel(1);
    let cut = Cut::default();
    let passing = Passing { frames, cut: Arc::clone(&cut) };
    let permit = Arc::clone(permit);
    tokio::spawn(async move {
        let mut flow = Flow { session, request, sender, cut, mask, quiet: 0 };
        let (body, _slot) = answer.into_body();
        flow.run(&permit, &watched, body).await;
    });
    let mut response = Response::new(passing.boxed());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// How an answer is looked at.
pub(crate) enum Look {
    /// As objects; what is hidden of one of them.
    Objects(Box<View>, Told),
    /// As text.
    Text,
    /// Not at all: it holds no data of the cluster's users.
    Not,
}

/// What has to stay as it is while an answer goes on.
enum Watched {
    Types(Vec<DataType>),
    Objects(Box<View>),
}

impl Watched {
    fn of(session: &Session, look: &Look) -> Self {
        match look {
            Look::Objects(view, _) => Self::Objects(view.clone()),
            Look::Text | Look::Not => Self::Types(session.hidden()),
        }
    }

    fn is_the_same(&self, session: &Session) -> bool {
        match self {
            Self::Types(types) => session.hidden() == *types,
            Self::Objects(view) => Sight::of(session, &view.target, &view.path) == view.sight,
        }
    }
}

/// What becomes of the bytes of an answer on their way to the caller.
pub(crate) enum Mask {
    /// They pass.
    Nothing,
    /// Recognizers, in text.
    Text(Box<StreamMasker>),
    /// Objects, in JSON.
    Objects(Box<Filter>),
    /// An error in plain text, of a request about an object with hidden values.
    Error(Box<PlainError>),
}

/// An error in plain text: shown when all of it is there.
pub(crate) struct PlainError {
    told: Told,
    text: Vec<u8>,
}

impl PlainError {
    fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.text.len() + bytes.len() > LONGEST_ERROR {
            return Err(format!("an error of the API server is longer than {LONGEST_ERROR} bytes"));
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    /// The error, without what recognizers find, or what stands for it where it tells a hidden value.
    fn finish(&mut self, session: &Session, out: &mut Vec<u8>) {
        let text = std::mem::take(&mut self.text);
        if self.told.is_in(&String::from_utf8_lossy(&text)) {
            return out.extend_from_slice(HELD_ONE.as_bytes());
        }
        match masker(session) {
            Some(mut mask) => {
                mask.push(&text, out);
                mask.finish(out);
            }
            None => out.extend_from_slice(&text),
        }
    }
}

impl Mask {
    /// For text.
    pub(crate) fn text(session: &Session) -> Self {
        masker(session).map_or(Self::Nothing, Self::Text)
    }

    fn can_read(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Nothing => true,
            Self::Text(_) | Self::Error(_) => is_text(headers),
            // An answer without a body says nothing of its type.
            Self::Objects(_) => is_json(headers) || !headers.contains_key(header::CONTENT_TYPE),
        }
    }

    async fn push(&mut self, bytes: &Bytes, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Error(error) => return error.push(bytes),
            Self::Nothing => out.extend_from_slice(bytes),
            Self::Text(filter) => filter.push(bytes, out),
            Self::Objects(filter) => return filter.push(bytes, out).await,
        }
        Ok(())
    }

    async fn finish(&mut self, session: &Session, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Nothing => Ok(()),
            Self::Error(error) => {
                error.finish(session, out);
                Ok(())
            }
            Self::Text(filter) => {
                filter.finish(out);
                Ok(())
            }
            Self::Objects(filter) => filter.finish(out).await,
        }
    }

    /// Text that waits for what might come after it.
    fn waiting(&mut self) -> Option<&mut StreamMasker> {
        match self {
            Self::Text(filter) if filter.hold_back() > 0 => Some(filter),
            // Objects and errors are never shown in part.
            Self::Text(_) | Self::Nothing | Self::Objects(_) | Self::Error(_) => None,
        }
    }

    const fn left_out(&self) -> usize {
        match self {
            Self::Objects(filter) => filter.left_out,
            Self::Nothing | Self::Text(_) | Self::Error(_) => 0,
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind.ends_with("json"))
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Whether an answer is text, in which a value can be replaced by another of another length.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = media_type(headers) else { return true };
    kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("yaml")
}

/// What masks a stream for this caller; nothing where nothing is hidden.
pub(crate) fn masker(session: &Session) -> Option<Box<StreamMasker>> {
    let rules: Vec<_> = session.live.masks().into_iter().map(|(kind, rule)| (kind, rule.operator.clone())).collect();
    let services = &session.endpoint.services;
    (!rules.is_empty()).then(|| {
        Box::new(StreamMasker::new(Arc::clone(&services.detector), Arc::clone(&services.masker), rules.into()))
    })
}

/// Why a body ends before its end.
type Cut = Arc<Mutex<Option<String>>>;

/// A body that comes from a task. The one of `http-body-util` (0.1.5) can lose the last frame when its sender is dropped.
struct Passing {
    frames: mpsc::Receiver<Bytes>,
    cut: Cut,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = std::task::ready!(self.frames.poll_recv(cx));
        let cut = || self.cut.lock().take().map(|why| Err(io::Error::other(why)));
        Poll::Ready(next.map_or_else(cut, |bytes| Some(Ok(Frame::data(bytes)))))
    }
}

struct Flow {
    session: Arc<Session>,
    request: u32,
    sender: mpsc::Sender<Bytes>,
    cut: Cut,
    mask: Mask,
    /// Which of the pauses comes next, while nothing else does.
    quiet: usize,
}

impl Flow {
    /// Passes a body on until it ends, or may no longer go on: whether anybody reads it or not.
    async fn run(&mut self, permit: &StreamPermit, watched: &Watched, body: reqwest::Body) {
        let session = Arc::clone(&self.session);
        let cut = Arc::clone(&self.cut);
        let to_caller = self.sender.clone();
        let why = tokio::select! {
            done = self.all(body) => done,
            // Also where nothing comes that could be sent: a quiet watch, a log nobody writes, objects left out.
            () = to_caller.closed() => Err("the caller left".to_owned()),
            refusal = session.live.revoked_where(permit, || watched.is_the_same(&session)) => {
                session.note_revoked(self.request, &refusal);
                Err("this is no longer allowed".to_owned())
            }
            () = session.live.ended() => Err("the session has ended".to_owned()),
        };
        if self.mask.left_out() > 0 {
            session.event(self.request, "left out", serde_json::json!({ "objects": self.mask.left_out() }));
        }
        // Before the sender goes: a body that ends because of this is not taken for whole.
        if let Err(why) = why {
            *cut.lock() = Some(why);
        }
    }

    async fn all(&mut self, mut body: reqwest::Body) -> Result<(), String> {
        loop {
            let held_back = self.mask.waiting().is_some();
            let pause = PAUSES.get(self.quiet).copied().filter(|_| held_back);
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    self.flush().await?;
                    continue;
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.give(&bytes).await?;
                }
                Some(Err(e)) => return Err(format!("the API server broke off: {e}")),
                None => return self.finish().await,
            }
        }
    }

    /// What may go of these bytes.
    async fn give(&mut self, bytes: &Bytes) -> Result<(), String> {
        self.quiet = 0;
        if matches!(self.mask, Mask::Nothing) {
            return self.send(bytes.clone()).await;
        }
        let mut out = Vec::with_capacity(bytes.len());
        let passed = self.mask.push(bytes, &mut out).await;
        self.send(out.into()).await?;
        passed
    }

    async fn flush(&mut self) -> Result<(), String> {
        let mut out = Vec::new();
        let is_first = self.quiet == 0;
        if let Some(filter) = self.mask.waiting() {
            if is_first { filter.flush(&mut out) } else { filter.force(&mut out) }
        }
        self.quiet += 1;
        self.send(out.into()).await
    }

    async fn finish(&mut self) -> Result<(), String> {
        let mut out = Vec::new();
        let finished = self.mask.finish(&self.session, &mut out).await;
        self.send(out.into()).await?;
        finished
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.session.keep(self.request, Part::Message, Direction::Upstream, &bytes).await;
        self.sender.send(bytes).await.map_err(|_| "the caller left".to_owned())
    }
}
