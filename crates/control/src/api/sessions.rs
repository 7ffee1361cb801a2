//! Sessions, live and past: searched, shown, ended.
use super::{
    ApiState,
    page::{Page, query, text},
    time,
};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{LiveSession, SessionList, SessionState, SessionView, SessionsQuery},
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use doorward_model::{Administration, Principal, SessionId};
use doorward_store::{Among, ApprovalState, SeenSession, SessionFilter};
use std::{collections::BTreeMap, sync::Arc};

/// How many pending approvals are looked through for the list of sessions.
const MAX_SHOWN: u32 = 500;

/// Sessions on connections that the caller may see, newest first: those that are open now, and past ones as far as the
/// audit log goes back.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(SessionsQuery),
    responses((status = 200, description = "a page of them", body = SessionList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Json<SessionList>, Problem> {
    let asked = query(asked)?;
    let page = Page::<SessionId>::of("sessions", asked.cursor.as_deref(), asked.limit)?;
    let live: BTreeMap<_, _> = live(&state, &asker).await?.into_iter().map(|s| (s.id, s)).collect();
    let which = asked.state.unwrap_or_default();
    let filter = SessionFilter { among: seen_by(&state, &asker).await?, ..filter(asked)? };
    let mut shown = |seen: SeenSession| -> Option<SessionView> {
        let now = live.get(&seen.id);
        let wanted = match which {
            SessionState::All => true,
            SessionState::Live => now.is_some(),
            SessionState::Past => now.is_none(),
        };
        wanted.then(|| merged(seen, now))
    };
    let (sessions, next) = match which {
        SessionState::Live => {
            // What is open is known before the log says so.
            let mut found = Vec::new();
            for (id, now) in &live {
                match state.store.seen_session_under(&filter, *id).await.map_err(|e| Problem::unavailable(&e))? {
                    Some(seen) => found.extend(shown(seen)),
                    None if is_plain(&filter, now) && !is_seen(&state, *id).await? => found.push(now.clone().into()),
                    None => {}
                }
            }
            newest(&page, found)
        }
        SessionState::All | SessionState::Past => {
            let fetch = |before: Option<SessionId>, most| {
                let (store, filter) = (&state.store, &filter);
                async move { store.seen_sessions(filter, before, most).await.map_err(|e| Problem::unavailable(&e)) }
            };
            page.fill(fetch, |s| s.id, &mut shown).await?
        }
    };
    Ok(Json(SessionList { sessions, next }))
}

/// The connections that there were sessions on and that the caller may see. Of a session whose beginning was removed it is
/// not known on which it was, so that it is nobody's business.
pub(crate) async fn seen_by(state: &ApiState, asker: &Asker) -> Result<Vec<Among>, Problem> {
    let names = state.store.seen_connections().await.map_err(|e| Problem::unavailable(&e))?;
    Ok(names.iter().flat_map(|name| asker.spans(Administration::ViewSessions, name)).collect())
}

/// A page of what is all there, newest first.
fn newest(page: &Page<SessionId>, mut all: Vec<SessionView>) -> (Vec<SessionView>, Option<String>) {
    all.sort_by_key(|s| std::cmp::Reverse(s.id));
    all.retain(|s| page.after.is_none_or(|after| s.id < after));
    let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = all.len() > most;
    all.truncate(most);
    let next = all.last().filter(|_| more).map(|s| page.next(&s.id));
    (all, next)
}

/// Whether the log has told of a session.
async fn is_seen(state: &ApiState, id: SessionId) -> Result<bool, Problem> {
    Ok(state.store.seen_session(id).await.map_err(|e| Problem::unavailable(&e))?.is_some())
}

/// Whether a session that the log has not told of yet is looked for.
fn is_plain(filter: &SessionFilter, s: &LiveSession) -> bool {
    let has = |text: &str, part: &str| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
    filter.resource.is_none()
        && filter.command.is_none()
        && filter.outcome.is_none()
        && filter.connection.as_ref().is_none_or(|c| *c == s.connection)
        && filter.principal.as_ref().is_none_or(|p| has(&s.principal, p))
        && filter.since.is_none_or(|t| s.started >= t)
        && filter.until.is_none_or(|t| s.started < t)
}

fn merged(seen: SeenSession, now: Option<&LiveSession>) -> SessionView {
    let mut view = SessionView::from(seen);
    if let Some(now) = now {
        view.live = true;
        view.waits_for.clone_from(&now.waits_for);
        // A session may change its user: who it is now counts.
        view.principal = Some(now.principal.clone());
    }
    view
}

fn filter(asked: SessionsQuery) -> Result<SessionFilter, Problem> {
    Ok(SessionFilter {
        principal: text(asked.principal)?,
        connection: text(asked.connection)?,
        resource: text(asked.table)?,
        command: text(asked.command)?,
        outcome: asked.outcome.map(Into::into),
        among: Vec::new(),
        since: time::asked(asked.since.as_deref())?,
        until: time::asked(asked.until.as_deref())?,
    })
}

/// One session.
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "which")),
    responses((status = 200, description = "the session", body = SessionView), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Problem> {
    let none = || Problem::not_found("session");
    let live = live(&state, &asker).await?;
    let id: SessionId = id.parse().map_err(|_| none())?;
    let now = live.into_iter().find(|s| s.id == id);
    let (seen, _) = super::audit::known(&state, id).await?;
    let sees = |s: &SeenSession| asker.sees_at(Administration::ViewSessions, &s.connection, s.started);
    let seen = seen.filter(|s| !s.connection.is_empty() && sees(s));
    let view = match (seen, now) {
        (Some(seen), now) => merged(seen, now.as_ref()),
        (None, Some(now)) => now.into(),
        (None, None) => return Err(none()),
    };
    Ok(Json(view))
}

/// The open sessions that the caller may see, oldest first.
pub(crate) async fn live(state: &ApiState, asker: &Asker) -> Result<Vec<LiveSession>, Problem> {
    asker.may_on_any(Administration::ViewSessions)?;
    let mut sessions = state.sessions.list();
    sessions.retain(|s| asker.sees_at(Administration::ViewSessions, &s.connection, s.started));
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
    let sees = |s: &LiveSession| asker.sees_at(Administration::ViewSessions, &s.connection, s.started);
    let found = found.filter(sees).ok_or_else(none)?;
    asker.may_at(Administration::KillSession, &found.connection, found.started)?;
    // In a task of its own: a caller who hangs up must not leave an audited kill undone.
    let (state, who) = (state.clone(), Arc::clone(&asker.who));
    let task = tokio::spawn(async move { end(&state, &who, id).await });
    if task.await.map_err(|e| Problem::unavailable(&e))?? { Ok(()) } else { Err(none()) }
}

async fn end(state: &ApiState, who: &Principal, id: SessionId) -> Result<bool, Problem> {
    super::administered(state, who, Some(id), "kill session".into()).await?;
    Ok(state.sessions.kill(id, "the session was ended by an administrator"))
}
