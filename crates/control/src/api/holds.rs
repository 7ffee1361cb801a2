//! Legal holds: sessions of which retention removes nothing.
use super::{
    ApiState, administered,
    condition::{if_match, if_none, tag, tagged},
    guard::json_body,
    now,
    page::{Page, query},
};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{HoldList, HoldView, NewHold, PageQuery},
};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use doorward_model::{Administration, SessionId};
use doorward_store::LegalHold;
use std::sync::Arc;

/// Characters in a reason.
const LONGEST_REASON: usize = 1_000;

fn parsed(id: &str) -> Result<SessionId, Problem> {
    id.parse().map_err(|_| Problem::not_found("session"))
}

pub(crate) async fn all(state: &ApiState) -> Result<Vec<LegalHold>, Problem> {
    state.store.holds().await.map_err(|e| Problem::unavailable(&e))
}

async fn find(state: &ApiState, session: SessionId) -> Result<Option<HoldView>, Problem> {
    Ok(all(state).await?.into_iter().find(|h| h.session == session).map(HoldView::from))
}

/// All legal holds, by session.
#[utoipa::path(get, path = "/holds", tag = "holds", params(PageQuery),
    responses((status = 200, description = "a page of them", body = HoldList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<HoldList>, Problem> {
    asker.may(Administration::ViewHolds)?;
    let asked = query(asked)?;
    let page = Page::<SessionId>::of("holds", asked.cursor.as_deref(), asked.limit)?;
    let (holds, next) = page.cut(all(&state).await?.into_iter().map(HoldView::from), |h| h.session);
    Ok(Json(HoldList { holds, next }))
}

/// One legal hold.
#[utoipa::path(get, path = "/holds/{session}", tag = "holds",
    params(("session" = String, Path, description = "of which session")),
    responses((status = 200, description = "the hold", body = HoldView,
        headers(("etag" = String, description = "its state"))), (status = 304, description = "it is as it was"), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(session): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asker.may(Administration::ViewHolds)?;
    let hold = find(&state, parsed(&session)?).await?.ok_or_else(|| Problem::not_found("hold"))?;
    Ok(tagged(&headers, &tag(&hold), &hold))
}

/// Holds a session: nothing of it is removed until the hold is released. A second order changes nothing, and answers 200.
/// The session need not be known: it may be in a log that was put away.
#[utoipa::path(put, path = "/holds/{session}", tag = "holds",
    params(("session" = String, Path, description = "which session"),
        ("if-none-match" = Option<String>, Header, description = "`*`: only if there is no hold yet")),
    request_body = NewHold,
    responses((status = 201, description = "it is held", body = HoldView,
        headers(("etag" = String, description = "its state"))),
        (status = 200, description = "it was held before", body = HoldView), Problems))]
pub(super) async fn place(
    State(state): State<ApiState>,
    asker: Asker,
    Path(session): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    asker.may(Administration::EditHolds)?;
    let NewHold { reason } = json_body(&headers, body)?;
    let (status, hold) = placed(&state, &asker, &session, reason, &headers).await?;
    Ok(answer(status, &hold))
}

/// Holds a session for somebody who may: 201, or 200 where it was held before.
pub(crate) async fn placed(
    state: &ApiState,
    asker: &Asker,
    session: &str,
    reason: String,
    headers: &HeaderMap,
) -> Result<(StatusCode, HoldView), Problem> {
    asker.may(Administration::EditHolds)?;
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if reason.trim().is_empty() || reason.chars().count() > LONGEST_REASON || reason.contains(steers) {
        let why = format!("a hold has a reason, of at most {LONGEST_REASON} characters, without control characters");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let session = parsed(session)?;
    let turn = state.records.change().await;
    if let Some(known) = find(state, session).await? {
        if_none(headers, Some(&tag(&known)))?;
        return Ok((StatusCode::OK, known));
    }
    // In a task of its own: a caller who hangs up must not leave an audited hold unplaced.
    let (state, who) = (state.clone(), Arc::clone(&asker.who));
    let task = tokio::spawn(async move {
        let _turn = turn;
        administered(&state, &who, Some(session), format!("place legal hold: {reason}")).await?;
        let hold = LegalHold { session, by: who.id(), reason, time: now() };
        state.store.hold(&hold).await.map_err(|e| Problem::unavailable(&e))?;
        Ok::<_, Problem>(hold)
    });
    let hold = task.await.map_err(|e| Problem::unavailable(&e))??;
    Ok((StatusCode::CREATED, hold.into()))
}

fn answer(status: StatusCode, hold: &HoldView) -> Response {
    let etag = HeaderValue::from_str(&tag(hold)).unwrap_or(HeaderValue::from_static("\"\""));
    (status, [(header::ETAG, etag)], Json(hold)).into_response()
}

/// Releases a session: retention may remove it from then on.
#[utoipa::path(delete, path = "/holds/{session}", tag = "holds",
    params(("session" = String, Path, description = "which session"),
        ("if-match" = Option<String>, Header, description = "only if the hold is in this state")),
    responses((status = 204, description = "it is not held any more"), Problems))]
pub(super) async fn release(
    State(state): State<ApiState>,
    asker: Asker,
    Path(session): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    released(&state, &asker, &session, &headers).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Releases a session for somebody who may.
pub(crate) async fn released(
    state: &ApiState,
    asker: &Asker,
    session: &str,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    asker.may(Administration::EditHolds)?;
    let session = parsed(session)?;
    let turn = state.records.change().await;
    let known = find(state, session).await?;
    if_match(headers, known.as_ref().map(tag).as_deref())?;
    let known = known.ok_or_else(|| Problem::not_found("hold"))?;
    let (state, who) = (state.clone(), Arc::clone(&asker.who));
    let task = tokio::spawn(async move {
        let _turn = turn;
        administered(&state, &who, Some(session), format!("release legal hold: {}", known.reason)).await?;
        state.store.release(session).await.map_err(|e| Problem::unavailable(&e))
    });
    task.await.map_err(|e| Problem::unavailable(&e))?.map(drop)
}
