//! Live sessions: listed and ended.
use super::ApiState;
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{LiveSession, SessionList},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use doorward_model::{Administration, Principal, SessionId};
use doorward_store::ApprovalState;
use std::sync::Arc;

/// How many pending approvals are looked through for the list of sessions.
const MAX_SHOWN: u32 = 500;

/// Sessions that are open now, on connections that the caller may see: oldest first.
#[utoipa::path(get, path = "/sessions", tag = "sessions",
    responses((status = 200, description = "all of them", body = SessionList), Problems))]
pub(super) async fn list(State(state): State<ApiState>, asker: Asker) -> Result<Json<SessionList>, Problem> {
    live(&state, &asker).await.map(|sessions| Json(SessionList { sessions }))
}

/// The open sessions that the caller may see, oldest first.
pub(crate) async fn live(state: &ApiState, asker: &Asker) -> Result<Vec<LiveSession>, Problem> {
    asker.may_on_any(Administration::ViewSessions)?;
    let mut sessions = state.sessions.list();
    sessions.retain(|s| asker.sees(Administration::ViewSessions, &s.connection));
    let pending = state.store.approvals(Some(ApprovalState::Pending), None, MAX_SHOWN).await;
    for approval in pending.map_err(|e| Problem::unavailable(&e))? {
        if let Some(session) = sessions.iter_mut().find(|s| s.id == approval.request.session) {
            session.waits_for.push(approval.request.id);
        }
    }
    sessions.sort_by_key(|s| (s.started, s.id));
    Ok(sessions)
}

/// Ends a live session.
#[utoipa::path(post, path = "/sessions/{id}/kill", tag = "sessions", params(("id" = String, Path, description = "which")),
    responses((status = 204, description = "it ends"), Problems))]
pub(super) async fn kill(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    end_one(&state, &asker, &id).await.map(|()| StatusCode::NO_CONTENT)
}

/// Ends a session that the caller may end.
pub(crate) async fn end_one(state: &ApiState, asker: &Asker, id: &str) -> Result<(), Problem> {
    asker.may_on_any(Administration::KillSession)?;
    let none = || Problem::not_found("session");
    let id: SessionId = id.parse().map_err(|_| none())?;
    let found = state.sessions.list().into_iter().find(|s| s.id == id);
    let connection =
        found.filter(|s| asker.sees(Administration::ViewSessions, &s.connection)).ok_or_else(none)?.connection;
    asker.may_on(Administration::KillSession, &connection)?;
    // In a task of its own: a caller who hangs up must not leave an audited kill undone.
    let (state, who) = (state.clone(), Arc::clone(&asker.who));
    let task = tokio::spawn(async move { end(&state, &who, id).await });
    if task.await.map_err(|e| Problem::unavailable(&e))?? { Ok(()) } else { Err(none()) }
}

async fn end(state: &ApiState, who: &Principal, id: SessionId) -> Result<bool, Problem> {
    super::administered(state, who, Some(id), "kill session".into()).await?;
    Ok(state.sessions.kill(id, "the session was ended by an administrator"))
}
