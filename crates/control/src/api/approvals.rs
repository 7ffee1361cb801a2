//! Approvals: what waits, and what people say of it.
use super::{
    ApiState,
    guard::json_body,
    now,
    page::{MOST, Page, query},
};
use crate::{
    desk::{is_approver, may_break_glass},
    problem::{Problem, Problems},
    rights::{Asker, Need},
    serve::stopped,
    types::{ApprovalList, ApprovalView, Comment},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use doorward_model::{Administration, ApprovalId};
use doorward_store::{ApprovalState, Store, StoredApproval};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use std::{collections::VecDeque, convert::Infallible, future::Future, pin::Pin, time::Duration};
use tokio::sync::{broadcast, watch};
use utoipa::IntoParams;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Approvals that are shown to somebody who begins to watch.
const MOST_PENDING: u32 = 100;

/// The view of an approval for this person; none where it is not their business.
fn view(approval: StoredApproval, asker: &Asker) -> Option<ApprovalView> {
    let who = &asker.who;
    let sees = |right| asker.sees_at(right, approval.request.connection.as_str(), approval.request.asked);
    let requester = approval.request.principal.is_party_with(who);
    let waited = now().since(approval.request.asked);
    let approver = is_approver(&approval.request, who, waited);
    let breaks = may_break_glass(&approval.request, who);
    let decides = approver && sees(Administration::DecideApproval);
    let glass = breaks && sees(Administration::BreakGlass);
    let open = approval.state == ApprovalState::Pending && !approval.request.principal.has_in_chain(who);
    let id = who.id();
    let has_said = |glass: bool| approval.verdicts.iter().any(|v| v.by == id && (v.break_glass || !glass));
    let (may_decide, may_break) = (decides && open && !has_said(false), glass && open && !has_said(true));
    let is_own = asker.is_whole() && (requester || approver || breaks);
    let is_theirs = is_own || decides || glass || sees(Administration::ViewApprovals);
    is_theirs.then(|| ApprovalView::new(approval, may_decide, may_break))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// `pending`, `approved`, `denied`, `expired`, `withdrawn` or `all`.
    #[param(value_type = Option<String>)]
    state: Option<StateFilter>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// At most so many; 100 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateFilter {
    All,
    #[serde(untagged)]
    Only(ApprovalState),
}

/// Approvals that the caller asked for, may decide, or may see: newest first.
#[utoipa::path(get, path = "/approvals", tag = "approvals", params(ListQuery),
    responses((status = 200, description = "a page of them", body = ApprovalList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ApprovalList>, Problem> {
    let asked = query(asked)?;
    let filter = match asked.state {
        None | Some(StateFilter::All) => None,
        Some(StateFilter::Only(s)) => Some(s),
    };
    let asked = page(asked.cursor.as_deref(), asked.limit.unwrap_or(MOST))?;
    visible(&state.store, &asker, filter, &asked).await.map(Json)
}

/// A page of approvals.
pub(crate) fn page(cursor: Option<&str>, limit: u32) -> Result<Page<ApprovalId>, Problem> {
    Page::of("approvals", cursor, Some(limit))
}

/// A page of those approvals that the person may see.
pub(crate) async fn visible(
    store: &Store,
    asker: &Asker,
    filter: Option<ApprovalState>,
    page: &Page<ApprovalId>,
) -> Result<ApprovalList, Problem> {
    let fetch =
        |before, most| async move { store.approvals(filter, before, most).await.map_err(|e| Problem::unavailable(&e)) };
    let (approvals, next) = page.fill(fetch, |a| a.request.id, |a| view(a, asker)).await?;
    Ok(ApprovalList { approvals, next })
}

pub(crate) async fn find(state: &ApiState, asker: &Asker, id: &str) -> Result<ApprovalView, Problem> {
    let none = || Problem::not_found("approval");
    let id: ApprovalId = id.parse().map_err(|_| none())?;
    let approval = state.store.approval(id).await.map_err(|e| Problem::unavailable(&e))?;
    approval.and_then(|a| view(a, asker)).ok_or_else(none)
}

/// One approval.
#[utoipa::path(get, path = "/approvals/{id}", tag = "approvals", params(("id" = String, Path, description = "which")),
    responses((status = 200, description = "the approval", body = ApprovalView), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, Problem> {
    find(&state, &asker, &id).await.map(Json)
}

/// Says yes. The caller has to be in a group that the policy asks, and not be the requester.
#[utoipa::path(post, path = "/approvals/{id}/approve", tag = "approvals",
    params(("id" = String, Path, description = "which")),
    request_body(content = Option<Comment>, content_type = "application/json"),
    responses((status = 200, description = "the approval after it", body = ApprovalView), Problems))]
pub(super) async fn approve(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ApprovalView>, Problem> {
    decide(&state, &asker, &id, true, &comment(&headers, body)?).await
}

/// Says no: that ends it.
#[utoipa::path(post, path = "/approvals/{id}/deny", tag = "approvals",
    params(("id" = String, Path, description = "which")),
    request_body(content = Option<Comment>, content_type = "application/json"),
    responses((status = 200, description = "the approval after it", body = ApprovalView), Problems))]
pub(super) async fn deny(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ApprovalView>, Problem> {
    decide(&state, &asker, &id, false, &comment(&headers, body)?).await
}

/// Lets it through alone, in an emergency, for who is in the `@break_glass` of a policy that holds it. The comment is the reason,
/// and may not be empty. It is in the audit log as what it is, and everybody who is notified of approvals hears of it.
#[utoipa::path(post, path = "/approvals/{id}/break-glass", tag = "approvals",
    params(("id" = String, Path, description = "which")), request_body = Comment,
    responses((status = 200, description = "the approval after it", body = ApprovalView), Problems))]
pub(super) async fn break_glass(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ApprovalView>, Problem> {
    glass_broken(&state, &asker, &id, &comment(&headers, body)?).await
}

pub(crate) async fn glass_broken(
    state: &ApiState,
    asker: &Asker,
    id: &str,
    reason: &str,
) -> Result<Json<ApprovalView>, Problem> {
    let parsed: ApprovalId = id.parse().map_err(|_| Problem::not_found("approval"))?;
    let found = find(state, asker, id).await?;
    asker.may_at(Administration::BreakGlass, &found.connection, found.asked)?;
    asker.needs(Need::Approval(id.to_owned()));
    state.desk.break_glass(parsed, &asker.who, reason).await?;
    find(state, asker, id).await.map(Json)
}

fn comment(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<String, Problem> {
    match &body {
        Ok(bytes) if bytes.is_empty() => Ok(String::new()),
        Ok(_) | Err(_) => json_body::<Comment>(headers, body).map(|c| c.comment),
    }
}

pub(crate) async fn decide(
    state: &ApiState,
    asker: &Asker,
    id: &str,
    yes: bool,
    comment: &str,
) -> Result<Json<ApprovalView>, Problem> {
    let parsed: ApprovalId = id.parse().map_err(|_| Problem::not_found("approval"))?;
    let found = find(state, asker, id).await?;
    asker.may_at(Administration::DecideApproval, &found.connection, found.asked)?;
    asker.needs(Need::Approval(id.to_owned()));
    state.desk.decide_through(parsed, &asker.who, yes, comment, asker.via().cloned()).await?;
    find(state, asker, id).await.map(Json)
}

pub(crate) struct Watch {
    state: ApiState,
    asker: Asker,
    changes: broadcast::Receiver<crate::Change>,
    ready: VecDeque<ApprovalView>,
    shutdown: watch::Receiver<bool>,
    /// The caller has signed out, or their key was revoked.
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// First what is pending, then every change, until the token expires or the gateway stops: server-sent events called
/// `approval`, each an approval.
#[utoipa::path(get, path = "/approvals/watch", tag = "approvals",
    responses((status = 200, description = "events", content_type = "text/event-stream", body = ApprovalView), Problems))]
pub(super) async fn watch(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(shutdown): Extension<watch::Receiver<bool>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    // Subscribed before the list is read: a change may come twice, but never not at all.
    let changes = state.desk.subscribe();
    let gone = Box::pin(state.signin.until_ended(asker.shown()));
    let ready = pending(&state, &asker).await?;
    let watch = Watch { state, asker, changes, ready, shutdown, gone };
    let events = stream::unfold(watch, |mut w| async move {
        let view = w.next().await?;
        let event = Event::default().event("approval").json_data(view).ok()?;
        Some((Ok(event), w))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What waits and the person may see, oldest first.
pub(crate) async fn pending(state: &ApiState, asker: &Asker) -> Result<VecDeque<ApprovalView>, Problem> {
    let list = visible(&state.store, asker, Some(ApprovalState::Pending), &page(None, MOST_PENDING)?).await?;
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
                () = &mut self.gone => return None,
                () = tokio::time::sleep(self.asker.who.expires_at.since(now())) => return None,
                change = self.changes.recv() => change,
            };
            match change {
                Ok(change) => {
                    let approval = self.state.store.approval(change.id).await.ok()?;
                    self.ready.extend(approval.and_then(|a| view(a, &self.asker.afresh())));
                }
                // Too slow: what is pending now stands for what was missed.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.ready = pending(&self.state, &self.asker.afresh()).await.ok()?
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
