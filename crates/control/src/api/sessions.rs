//! Live sessions: listed and ended.
use super::{ApiState, Caller, now};
use crate::{problem::Problem, types::SessionList};
use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use doorward_model::{AuditEvent, AuditKind, Principal, SessionId};
use doorward_store::ApprovalState;
use std::future::poll_fn;

/// How many pending approvals are looked through for the list of sessions.
const MAX_SHOWN: u32 = 500;

fn operator(state: &ApiState, who: &Principal) -> Result<(), Problem> {
    if who.groups.iter().any(|g| state.operators.contains(g)) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "sessions are for members of the operators' groups"))
}

pub(super) async fn list(State(state): State<ApiState>, Extension(who): Caller) -> Result<Json<SessionList>, Problem> {
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

pub(super) async fn kill(
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
    let task = tokio::spawn(async move { end(&state, &who, id).await });
    if task.await.map_err(|e| Problem::unavailable(&e))?? { Ok(StatusCode::NO_CONTENT) } else { Err(none()) }
}

async fn end(state: &ApiState, who: &Principal, id: SessionId) -> Result<bool, Problem> {
    let kind = AuditKind::Administration { by: who.id(), what: "kill session".into() };
    let event = AuditEvent { time: now(), session: Some(id), kind };
    let ticket = state.audit.append(&event).map_err(|e| Problem::unavailable(&e))?;
    poll_fn(|cx| state.audit.poll_committed(ticket, cx)).await.map_err(|e| Problem::unavailable(&e))?;
    Ok(state.sessions.kill(id, "the session was ended by an administrator"))
}
