//! Policies: what is in force, versions, back-tests, activation.
use super::{
    ApiState,
    condition::{if_match, tag, tagged},
    guard::json_body,
    now,
    page::{Page, query},
};
use crate::{
    backtest,
    policies::{MAX_TEXT, PolicyError, source},
    problem::{Problem, Problems},
    rights::Asker,
    types::{
        Activate, BackTestQuery, BackTestReport, DiffQuery, NewPolicyVersion, PoliciesView, PolicyCheck, PolicyDiff,
        PolicySource, PolicyText, PolicyVersionList, PolicyVersionView, PolicyView, VersionsQuery,
    },
};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use doorward_model::Administration;
use doorward_policy::{LoadError, Source};
use doorward_store::{PolicyMode, PolicyVersion};
use std::time::Duration;

pub(crate) const DEFAULT_DAYS: u32 = 7;
pub(crate) const MAX_DAYS: u32 = 366;
/// Characters in a comment.
const MAX_COMMENT: usize = 1000;

impl From<PolicyError> for Problem {
    fn from(e: PolicyError) -> Self {
        match e {
            PolicyError::Wrong(errors) => Self::wrong_policies(&errors),
            PolicyError::NoSuchVersion => Self::not_found("version of the policies"),
            PolicyError::Files(why) | PolicyError::Unavailable(why) => Self::unavailable(&why),
        }
    }
}

fn short(comment: &str) -> Result<(), Problem> {
    if comment.chars().count() > MAX_COMMENT {
        let why = format!("the comment is longer than {MAX_COMMENT} characters");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    Ok(())
}

fn bounded(text: &str) -> Result<(), Problem> {
    if text.len() > MAX_TEXT {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("policies of more than {MAX_TEXT} bytes")));
    }
    Ok(())
}

pub(crate) async fn version(state: &ApiState, id: i64) -> Result<PolicyVersion, Problem> {
    Ok(state.book.store().policies(id).await.map_err(PolicyError::from)?.ok_or(PolicyError::NoSuchVersion)?)
}

/// What is in force.
#[utoipa::path(get, path = "/policies", tag = "policies",
    responses((status = 200, description = "texts and policies", body = PoliciesView,
        headers(("etag" = String, description = "what is in force"))), (status = 304, description = "it is as it was"),
        Problems))]
pub(super) async fn show(State(state): State<ApiState>, asker: Asker, headers: HeaderMap) -> Result<Response, Problem> {
    let view = in_force(&state, &asker).await?;
    Ok(tagged(&headers, &force_tag(&view.policy_version, view.active, view.monitored), &view))
}

/// The tag of what is in force.
fn force_tag(policy_version: &str, active: Option<i64>, monitored: Option<i64>) -> String {
    tag(&(policy_version, active, monitored))
}

/// Only if what is in force is what the caller has seen.
async fn as_seen(state: &ApiState, headers: &HeaderMap) -> Result<(), Problem> {
    let store = state.book.store();
    let active = store.active_policies(PolicyMode::Enforce).await.map_err(PolicyError::from)?;
    let monitored = store.active_policies(PolicyMode::Monitor).await.map_err(PolicyError::from)?;
    let version = state.book.engine().loaded().version.to_string();
    if_match(headers, Some(&force_tag(&version, active.map(|v| v.id), monitored.map(|v| v.id))))
}

/// What is in force, for whom may see it.
pub(crate) async fn in_force(state: &ApiState, asker: &Asker) -> Result<PoliciesView, Problem> {
    asker.may(Administration::ViewPolicies)?;
    let store = state.book.store();
    let active = store.active_policies(PolicyMode::Enforce).await.map_err(PolicyError::from)?;
    let monitored = store.active_policies(PolicyMode::Monitor).await.map_err(PolicyError::from)?;
    let loaded = state.book.engine().loaded();
    let of_file = |s: Source| PolicySource { name: s.name, text: s.text, read_only: true };
    let mut sources: Vec<PolicySource> = state.book.files()?.into_iter().map(of_file).collect();
    let id = active.as_ref().map(|v| v.id);
    sources.extend(active.map(|v| {
        let Source { name, text } = source(v.id, v.text);
        PolicySource { name, text, read_only: false }
    }));
    Ok(PoliciesView {
        policy_version: loaded.version.to_string(),
        active: id,
        monitored: monitored.map(|v| v.id),
        sources,
        policies: loaded.policies().map(PolicyView::from).collect(),
    })
}

/// Whether a text could be put in force, and what is wrong with it: line and column.
#[utoipa::path(post, path = "/policies/check", tag = "policies", request_body = PolicyText,
    responses((status = 200, description = "what is wrong, if anything", body = PolicyCheck), Problems))]
pub(super) async fn check(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PolicyCheck>, Problem> {
    asker.may(Administration::ViewPolicies)?;
    let PolicyText { text } = json_body(&headers, body)?;
    bounded(&text)?;
    checked(&state, text).await.map(Json)
}

/// What the policies of the files are together with a text.
pub(crate) async fn checked(state: &ApiState, text: String) -> Result<PolicyCheck, Problem> {
    let book = state.book.clone();
    let with = move || book.with(Some(Source { name: "text".into(), text }));
    let found = tokio::task::spawn_blocking(with).await.map_err(|e| Problem::unavailable(&e))?;
    let views = |errors: &[LoadError]| errors.iter().map(Into::into).collect();
    match found {
        Ok(loaded) => Ok(PolicyCheck {
            ok: true,
            policies: loaded.policies().count(),
            errors: Vec::new(),
            warnings: views(loaded.warnings()),
        }),
        Err(PolicyError::Wrong(errors)) => {
            Ok(PolicyCheck { ok: false, policies: 0, errors: views(&errors), warnings: Vec::new() })
        }
        Err(e) => Err(e.into()),
    }
}

/// The versions that people wrote here, newest first, and what was put in force.
#[utoipa::path(get, path = "/policies/versions", tag = "policies", params(VersionsQuery),
    responses((status = 200, description = "a page of them", body = PolicyVersionList), Problems))]
pub(super) async fn versions(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<VersionsQuery>, QueryRejection>,
) -> Result<Json<PolicyVersionList>, Problem> {
    asker.may(Administration::ViewPolicies)?;
    let asked = query(asked)?;
    let page = Page::of("policy versions", asked.cursor.as_deref(), asked.limit)?;
    list_versions(&state, &asker, &page).await.map(Json)
}

/// A page of versions, the first one without a cursor.
pub(crate) fn some_versions(cursor: Option<&str>, limit: u32) -> Result<Page<i64>, Problem> {
    Page::of("policy versions", cursor, Some(limit))
}

/// A page of the versions, for whom may see them.
pub(crate) async fn list_versions(
    state: &ApiState,
    asker: &Asker,
    page: &Page<i64>,
) -> Result<PolicyVersionList, Problem> {
    asker.may(Administration::ViewPolicies)?;
    let store = state.book.store();
    let fetch = |before, most| async move { Ok(store.policy_versions(before, most).await.map_err(PolicyError::from)?) };
    let (versions, next) = page.fill(fetch, |v| v.id, |v| Some(PolicyVersionView::from(v))).await?;
    let activations = store.policy_activations(100).await.map_err(PolicyError::from)?;
    Ok(PolicyVersionList { versions, next, activations: activations.into_iter().map(Into::into).collect() })
}

/// Keeps a version. It has to be right together with the files; it is not in force by that.
#[utoipa::path(post, path = "/policies/versions", tag = "policies", request_body = NewPolicyVersion,
    responses((status = 201, description = "the version", body = PolicyVersionView), Problems))]
pub(super) async fn create(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<PolicyVersionView>), Problem> {
    asker.may(Administration::EditPolicies)?;
    let new = json_body(&headers, body)?;
    let id = write(&state, &asker, &new).await?;
    Ok((StatusCode::CREATED, Json(version(&state, id).await?.into())))
}

/// Keeps a version that is right together with the files, for whom may write one. Its number.
pub(crate) async fn write(state: &ApiState, asker: &Asker, new: &NewPolicyVersion) -> Result<i64, Problem> {
    asker.may(Administration::EditPolicies)?;
    bounded(&new.text)?;
    short(&new.comment)?;
    if let Some(parent) = new.parent {
        version(state, parent).await?;
    }
    let book = state.book.clone();
    let candidate = Source { name: "text".into(), text: new.text.clone() };
    let with = tokio::task::spawn_blocking(move || book.with(Some(candidate))).await;
    with.map_err(|e| Problem::unavailable(&e))??;
    let author = asker.who.id();
    let kept = state.book.store().keep_policies(&new.text, &author, &new.comment, now(), new.parent).await;
    let id = kept.map_err(PolicyError::from)?;
    let what = format!("write policies: version {id}: {}", new.comment);
    super::administered(state, &asker.who, None, what).await?;
    Ok(id)
}

/// One version, with its text.
#[utoipa::path(get, path = "/policies/versions/{id}", tag = "policies", params(("id" = i64, Path, description = "which")),
    responses((status = 200, description = "the version", body = PolicyVersionView), Problems))]
pub(super) async fn one(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<PolicyVersionView>, Problem> {
    asker.may(Administration::ViewPolicies)?;
    Ok(Json(version(&state, number(&id)?).await?.into()))
}

pub(crate) fn number(id: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_| PolicyError::NoSuchVersion.into())
}

/// How a version differs from the one it was made from, or from another.
#[utoipa::path(get, path = "/policies/versions/{id}/diff", tag = "policies",
    params(("id" = i64, Path, description = "which"), DiffQuery),
    responses((status = 200, description = "the difference", body = PolicyDiff), Problems))]
pub(super) async fn diff(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    with: Result<Query<DiffQuery>, QueryRejection>,
) -> Result<Json<PolicyDiff>, Problem> {
    asker.may(Administration::ViewPolicies)?;
    let new = version(&state, number(&id)?).await?;
    let from = query(with)?.from.or(new.parent);
    difference(&state, &new, from).await.map(Json)
}

/// How a version differs from an older one; none: from nothing.
pub(crate) async fn difference(
    state: &ApiState,
    new: &PolicyVersion,
    from: Option<i64>,
) -> Result<PolicyDiff, Problem> {
    let old = match from {
        Some(id) => version(state, id).await?.text,
        None => String::new(),
    };
    let names = (from.map_or("nothing".to_owned(), |v| format!("version {v}")), format!("version {}", new.id));
    let texts = similar::TextDiff::configure().timeout(Duration::from_secs(2)).diff_lines(&old, &new.text);
    let diff = texts.unified_diff().header(&names.0, &names.1).to_string();
    Ok(PolicyDiff { from, to: new.id, diff })
}

/// Judges the recorded requests of the last days by a version, beside the policies in force: lists every request whose
/// outcome would be another, grouped. Takes up to minutes on a long log.
#[utoipa::path(post, path = "/policies/versions/{id}/back-test", tag = "policies",
    params(("id" = i64, Path, description = "which"), BackTestQuery),
    responses((status = 200, description = "the differences", body = BackTestReport), Problems))]
pub(super) async fn back_test(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    days: Result<Query<BackTestQuery>, QueryRejection>,
) -> Result<Json<BackTestReport>, Problem> {
    asker.may(Administration::ViewPolicies)?;
    // The report shows what was asked, and by whom.
    asker.may(Administration::ViewAudit)?;
    let days = query(days)?.days.unwrap_or(DEFAULT_DAYS).clamp(1, MAX_DAYS);
    let found = version(&state, number(&id)?).await?;
    tested(&state, source(found.id, found.text), days).await.map(Json)
}

/// One back-test at a time: each keeps a processor busy.
pub(crate) async fn tested(state: &ApiState, text: Source, days: u32) -> Result<BackTestReport, Problem> {
    let turn = std::sync::Arc::clone(&state.back_tests).try_acquire_owned();
    let turn =
        turn.map_err(|_| Problem::new(StatusCode::CONFLICT, "another back-test is running: try again when it ends"))?;
    let (book, rights, dir) = (state.book.clone(), std::sync::Arc::clone(&state.rights), state.audit_dir.clone());
    let since = now().before(Duration::from_secs(u64::from(days) * 86_400));
    let run = move || -> Result<BackTestReport, Problem> {
        let _turn = turn;
        let after = book.with(Some(text))?;
        let before = (*book.engine().loaded()).clone();
        backtest::run(&dir, &rights, before, after, since).map_err(|e| Problem::unavailable(&e))
    };
    tokio::task::spawn_blocking(run).await.map_err(|e| Problem::unavailable(&e))?
}

/// Puts a version in force, or has it watched; an older one: rolls back. It is in the audit log before it takes effect.
#[utoipa::path(post, path = "/policies/activate", tag = "policies", request_body = Activate,
    params(("if-match" = Option<String>, Header, description = "only if `GET /policies` has this tag still")),
    responses((status = 204, description = "it is in force"), Problems))]
pub(super) async fn activate(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    asker.may(Administration::ActivatePolicies)?;
    put_in_force(&state, &asker, &headers, json_body(&headers, body)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a version in force or has it watched, for whom may.
pub(crate) async fn put_in_force(
    state: &ApiState,
    asker: &Asker,
    headers: &HeaderMap,
    what: Activate,
) -> Result<(), Problem> {
    asker.may(Administration::ActivatePolicies)?;
    let Activate { version, mode, comment } = what;
    short(&comment)?;
    let turn = state.records.change().await;
    as_seen(state, headers).await?;
    // In a task of its own: a caller who hangs up must not leave a change audited and not made.
    let (book, by) = (state.book.clone(), asker.who.id());
    let task = tokio::spawn(async move {
        let _turn = turn;
        book.activate(version, mode, &by, &comment).await
    });
    Ok(task.await.map_err(|e| Problem::unavailable(&e))??)
}
