//! The REST interface under `/api/v1`.
use crate::{
    credentials::{self, CredentialAccess},
    desk::{Desk, is_approver},
    problem::Problem,
    serve::stopped,
    ssh::{self, SshAccess},
    types::{ApprovalList, ApprovalView, Comment, LiveSession, SessionList},
};
use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, Request, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use doorward_enforce::AuditSink;
use doorward_model::{ApprovalId, AuditEvent, AuditKind, Principal, SessionId, Timestamp};
use doorward_store::{ApprovalState, Store, StoredApproval};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    fmt::Debug,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{broadcast, watch};

const MAX_BODY: usize = 16 * 1024;
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const MAX_PAGE: u32 = 100;
/// How many pending approvals are looked through for the list of sessions.
const MAX_SHOWN: u32 = 500;
/// Pages read to fill one answer for a person who may see few of the approvals.
const MAX_SCAN: usize = 10;

/// Answers who holds a token, or why it is not good.
pub type TokenAnswer<'a> = Pin<Box<dyn Future<Output = Result<Principal, String>> + Send + 'a>>;

/// Says whose a bearer token is.
pub trait TokenCheck: Send + Sync {
    /// The principal, or for the audit log why the token is not good. The reason holds no part of the token.
    fn check<'a>(&'a self, token: &'a str) -> TokenAnswer<'a>;
}

/// The sessions that are open now.
pub trait LiveSessions: Send + Sync {
    /// All of them.
    fn list(&self) -> Vec<LiveSession>;
    /// Ends one with a message. False if it is not open.
    fn kill(&self, id: SessionId, message: &str) -> bool;
}

/// Everything the interface needs.
#[derive(Clone)]
pub struct ApiState {
    /// Whose a token is.
    pub tokens: Arc<dyn TokenCheck>,
    /// Where held requests wait.
    pub desk: Desk,
    /// What is known of them.
    pub store: Store,
    /// Hears of verdicts, of kills and of bad tokens.
    pub audit: Arc<dyn AuditSink>,
    /// The open sessions.
    pub sessions: Arc<dyn LiveSessions>,
    /// Certificates for SSH.
    pub ssh: Arc<dyn SshAccess>,
    /// Short-lived credentials.
    pub credentials: Arc<dyn CredentialAccess>,
    /// Members of any of these groups see and end sessions. Empty: nobody does.
    pub operators: Arc<BTreeSet<String>>,
}

impl Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiState")
    }
}

type Caller = Extension<Arc<Principal>>;

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// All routes. What is not `health` passes [`authenticate`] first.
pub(crate) fn router(state: ApiState, shutdown: watch::Receiver<bool>) -> Router {
    let closed = Router::new()
        .route("/approvals", get(list_approvals))
        .route("/approvals/watch", get(watch_approvals))
        .route("/approvals/{id}", get(show_approval))
        .route("/approvals/{id}/approve", post(approve))
        .route("/approvals/{id}/deny", post(deny))
        .route("/ssh/certificates", post(ssh::issue))
        .route("/ssh/endpoints", get(ssh::endpoints))
        .route("/credentials", post(credentials::issue))
        .route("/sessions", get(list_sessions))
        .route("/sessions/{id}/kill", post(kill_session))
        .route_layer(middleware::from_fn_with_state(state.clone(), authenticate));
    let open = Router::new().route("/health", get(health));
    Router::new()
        .nest("/api/v1", closed.merge(open))
        .fallback(async || Problem::not_found("resource"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(Extension(shutdown))
        .layer(middleware::from_fn(frame))
        .with_state(state)
}

/// Around every answer: a deadline (the events of a watch come after it) and the headers that keep
/// browsers and caches from making something else of it.
async fn frame(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await;
    let mut response = answer
        .unwrap_or_else(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response());
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn authenticate(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let checked = match bearer(request.headers()) {
        Ok(token) => state.tokens.check(token).await,
        Err(reason) => Err(reason.to_owned()),
    };
    let checked = checked.and_then(|p| if p.expires_at > now() { Ok(p) } else { Err("the token has expired".into()) });
    match checked {
        Ok(principal) => {
            request.extensions_mut().insert(Arc::new(principal));
            next.run(request).await
        }
        Err(reason) => {
            let reason = reason.chars().take(500).collect();
            let kind = AuditKind::AuthenticationFailed { user: "api".into(), reason };
            if let Err(why) = state.audit.append(&AuditEvent { time: now(), session: None, kind }) {
                tracing::error!(%why, "a bad token is not in the audit log");
            }
            Problem::unauthorized().into_response()
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or("no Authorization header")?;
    if values.next().is_some() {
        return Err("more than one Authorization header");
    }
    let text = value.to_str().map_err(|_| "the Authorization header is not text")?;
    let (scheme, token) = text.split_once(' ').ok_or("the Authorization header has no token")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the Authorization header is not of the scheme Bearer");
    }
    Ok(token.trim())
}

async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

/// The view of an approval for this person; none where it is not their business.
fn view(approval: StoredApproval, who: &Principal) -> Option<ApprovalView> {
    let requester = approval.request.principal.is_same_caller(who);
    let approver = is_approver(&approval.request, who);
    let id = who.id();
    let may_decide = approver
        && !requester
        && approval.state == ApprovalState::Pending
        && !approval.verdicts.iter().any(|v| v.by == id);
    (requester || approver).then(|| ApprovalView::new(approval, may_decide))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    state: Option<StateFilter>,
    before: Option<ApprovalId>,
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateFilter {
    All,
    #[serde(untagged)]
    Only(ApprovalState),
}

async fn list_approvals(
    State(state): State<ApiState>,
    Extension(who): Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ApprovalList>, Problem> {
    let Query(query) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let filter = match query.state {
        None | Some(StateFilter::All) => None,
        Some(StateFilter::Only(s)) => Some(s),
    };
    let limit = query.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    visible(&state.store, &who, filter, query.before, limit).await.map(Json)
}

/// A page of those approvals that the person may see.
async fn visible(
    store: &Store,
    who: &Principal,
    filter: Option<ApprovalState>,
    mut before: Option<ApprovalId>,
    limit: u32,
) -> Result<ApprovalList, Problem> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut approvals = Vec::new();
    for _ in 0..MAX_SCAN {
        let page = store.approvals(filter, before, MAX_PAGE).await.map_err(|e| Problem::unavailable(&e))?;
        let last = page.len() < usize::try_from(MAX_PAGE).unwrap_or(usize::MAX);
        for approval in page {
            if approvals.len() == wanted {
                return Ok(ApprovalList { approvals, next: before });
            }
            before = Some(approval.request.id);
            approvals.extend(view(approval, who));
        }
        if last {
            return Ok(ApprovalList { approvals, next: None });
        }
    }
    Ok(ApprovalList { approvals, next: before })
}

async fn find(state: &ApiState, who: &Principal, id: &str) -> Result<ApprovalView, Problem> {
    let none = || Problem::not_found("approval");
    let id: ApprovalId = id.parse().map_err(|_| none())?;
    let approval = state.store.approval(id).await.map_err(|e| Problem::unavailable(&e))?;
    approval.and_then(|a| view(a, who)).ok_or_else(none)
}

async fn show_approval(
    State(state): State<ApiState>,
    Extension(who): Caller,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, Problem> {
    find(&state, &who, &id).await.map(Json)
}

async fn approve(
    State(state): State<ApiState>,
    Extension(who): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ApprovalView>, Problem> {
    decide(&state, &who, &id, true, &comment(&headers, body)?).await
}

async fn deny(
    State(state): State<ApiState>,
    Extension(who): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ApprovalView>, Problem> {
    decide(&state, &who, &id, false, &comment(&headers, body)?).await
}

fn comment(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<String, Problem> {
    match &body {
        Ok(bytes) if bytes.is_empty() => Ok(String::new()),
        Ok(_) | Err(_) => json_body::<Comment>(headers, body).map(|c| c.comment),
    }
}

/// A body that has to be JSON of this shape.
pub(crate) fn json_body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"));
    }
    serde_json::from_slice(&body)
        .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not as expected: {e}")))
}

async fn decide(
    state: &ApiState,
    who: &Principal,
    id: &str,
    yes: bool,
    comment: &str,
) -> Result<Json<ApprovalView>, Problem> {
    let parsed: ApprovalId = id.parse().map_err(|_| Problem::not_found("approval"))?;
    state.desk.decide(parsed, who, yes, comment).await?;
    find(state, who, id).await.map(Json)
}

struct Watch {
    state: ApiState,
    who: Arc<Principal>,
    changes: broadcast::Receiver<crate::Change>,
    ready: VecDeque<ApprovalView>,
    shutdown: watch::Receiver<bool>,
}

/// First what is pending, then every change, until the token expires or the gateway stops.
async fn watch_approvals(
    State(state): State<ApiState>,
    Extension(who): Caller,
    Extension(shutdown): Extension<watch::Receiver<bool>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    // Subscribed before the list is read: a change may come twice, but never not at all.
    let changes = state.desk.subscribe();
    let ready = pending(&state, &who).await?;
    let watch = Watch { state, who, changes, ready, shutdown };
    let events = stream::unfold(watch, |mut w| async move {
        let view = w.next().await?;
        let event = Event::default().event("approval").json_data(view).ok()?;
        Some((Ok(event), w))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

async fn pending(state: &ApiState, who: &Principal) -> Result<VecDeque<ApprovalView>, Problem> {
    let list = visible(&state.store, who, Some(ApprovalState::Pending), None, MAX_PAGE).await?;
    Ok(list.approvals.into_iter().rev().collect())
}

impl Watch {
    async fn next(&mut self) -> Option<ApprovalView> {
        loop {
            if let Some(view) = self.ready.pop_front() {
                return Some(view);
            }
            let change = tokio::select! {
                () = stopped(&mut self.shutdown) => return None,
                () = tokio::time::sleep(self.who.expires_at.since(now())) => return None,
                change = self.changes.recv() => change,
            };
            match change {
                Ok(change) => {
                    let approval = self.state.store.approval(change.id).await.ok()?;
                    self.ready.extend(approval.and_then(|a| view(a, &self.who)));
                }
                // Too slow: what is pending now stands for what was missed.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.ready = pending(&self.state, &self.who).await.ok()?
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn operator(state: &ApiState, who: &Principal) -> Result<(), Problem> {
    if who.groups.iter().any(|g| state.operators.contains(g)) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "sessions are for members of the operators' groups"))
}

async fn list_sessions(State(state): State<ApiState>, Extension(who): Caller) -> Result<Json<SessionList>, Problem> {
    operator(&state, &who)?;
    let mut sessions = state.sessions.list();
    let pending = state.store.approvals(Some(ApprovalState::Pending), None, MAX_SHOWN).await;
    for approval in pending.map_err(|e| Problem::unavailable(&e))? {
        if let Some(session) = sessions.iter_mut().find(|s| s.id == approval.request.session) {
            session.waits_for.push(approval.request.id);
        }
    }
    sessions.sort_by_key(|s| (s.started, s.id));
    Ok(Json(SessionList { sessions }))
}

async fn kill_session(
    State(state): State<ApiState>,
    Extension(who): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    operator(&state, &who)?;
    let none = || Problem::not_found("session");
    let id: SessionId = id.parse().map_err(|_| none())?;
    if !state.sessions.list().iter().any(|s| s.id == id) {
        return Err(none());
    }
    // In a task of its own: a caller who hangs up must not leave an audited kill undone.
    let task = tokio::spawn(async move { kill(&state, &who, id).await });
    if task.await.map_err(|e| Problem::unavailable(&e))?? { Ok(StatusCode::NO_CONTENT) } else { Err(none()) }
}

async fn kill(state: &ApiState, who: &Principal, id: SessionId) -> Result<bool, Problem> {
    let kind = AuditKind::Administration { by: who.id(), what: "kill session".into() };
    let event = AuditEvent { time: now(), session: Some(id), kind };
    let ticket = state.audit.append(&event).map_err(|e| Problem::unavailable(&e))?;
    poll_fn(|cx| state.audit.poll_committed(ticket, cx)).await.map_err(|e| Problem::unavailable(&e))?;
    Ok(state.sessions.kill(id, "the session was ended by an administrator"))
}
