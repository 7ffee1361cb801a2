//! Live sessions, past ones, and the page of one.
use super::{
    Parts,
    page::{self, Answer, Failure},
    replay::recorded,
};
use crate::{
    api::{ApiState, now, sessions as api},
    evidence::{Decided, Evidence, Found, Wanted},
    problem::Problem,
    rights::Asker,
};
use axum::{
    Extension,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::IntoResponse as _,
};
use doorward_model::{Administration, SessionId};
use doorward_ui::{
    Decision, Inert, LiveList, LiveSession, Notice, Recorded, Search, Section, SessionBody, SessionPage,
    SessionSummary, SessionsPage,
};
use serde::Deserialize;
use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Instant,
};

/// Sessions on a page.
const PAGE: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    principal: String,
    connection: String,
    text: String,
    outcome: String,
    before: Option<u64>,
    done: String,
}

async fn live_list(state: &ApiState, asker: &Asker) -> Result<LiveList, Problem> {
    let sessions = api::live(state, asker).await?.into_iter().map(|s| LiveSession {
        id: s.id.to_string(),
        connection: s.connection.into(),
        principal: s.principal.into(),
        client: s.client.into(),
        started: s.started,
        waits_for: s.waits_for.iter().map(ToString::to_string).collect(),
    });
    Ok(LiveList { sessions: sessions.collect(), now: now() })
}

pub(crate) async fn live(State(state): State<ApiState>, asker: Asker) -> Answer {
    page::ok(&live_list(&state, &asker).await?)
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    let Query(asked) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let live = live_list(&state, &asker).await?;
    let wanted = Wanted {
        principal: asked.principal.trim().to_owned(),
        connection: asked.connection.trim().to_owned(),
        text: asked.text.trim().to_owned(),
        outcome: asked.outcome.parse().ok(),
    };
    let before = asked.before;
    let (found, next) = {
        let asker = asker.afresh();
        let sees = move |connection: &str| asker.sees(Administration::ViewSessions, connection);
        blocking(move || parts.evidence.sessions(&wanted, &sees, before, PAGE)).await??
    };
    let notice = (asked.done == "ended").then(|| Notice { bad: false, text: "The session was ended.".into() });
    page::ok(&SessionsPage {
        shell: page::shell(&state, &asker, Section::Sessions, "Sessions").await?,
        live,
        past: found.into_iter().map(summary).collect(),
        older: next.map(|seq| older(&asked, seq)),
        search: Search {
            principal: asked.principal,
            connection: asked.connection,
            text: asked.text,
            outcome: asked.outcome,
        },
        notice,
    })
}

fn older(asked: &Asked, before: u64) -> String {
    let mut out = format!("/sessions?before={before}");
    let pairs = [
        ("principal", &asked.principal),
        ("connection", &asked.connection),
        ("text", &asked.text),
        ("outcome", &asked.outcome),
    ];
    for (name, value) in pairs {
        if !value.is_empty() {
            let _infallible = write!(out, "&{name}={}", page::percent(value));
        }
    }
    out
}

fn summary(found: Found) -> SessionSummary {
    let (ended, reason) = found.ended.unzip();
    SessionSummary {
        id: found.id.to_string(),
        connection: found.connection.into(),
        principal: found.principal.map(Inert::from),
        client: found.client.into(),
        started: found.started,
        ended,
        reason: reason.map(Inert::from),
        requests: found.requests,
        refused: found.refused,
        held: found.held,
    }
}

fn decision(d: Decided) -> Decision {
    Decision {
        time: d.time,
        outcome: d.outcome.as_str(),
        statement: d.statement.into(),
        why: d.why.into(),
        result: d.result.map(Inert::from),
        approval: d.approval.map(|id| id.to_string()),
    }
}

/// Reads files elsewhere than where connections are served.
pub(crate) async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(read).await.map_err(|e| Problem::unavailable(&e))
}

pub(super) fn parsed(id: &str) -> Result<SessionId, Failure> {
    id.parse().map_err(|_| Problem::not_found("session").into())
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Path(id): Path<String>,
) -> Answer {
    one(&state, &asker, parts.evidence.clone(), &id, StatusCode::OK, None).await
}

/// What there is to be seen of a session.
struct Seen {
    session: SessionSummary,
    body: SessionBody,
    may_kill: bool,
}

async fn seen(state: &ApiState, asker: &Asker, evidence: Evidence, id: &str) -> Result<Seen, Failure> {
    asker.may_on_any(Administration::ViewSessions)?;
    let begun = Instant::now();
    let id = parsed(id)?;
    let live = api::live(state, asker).await?.into_iter().find(|s| s.id == id);
    let none = || Problem::not_found("session");
    let read = evidence.clone();
    let (mut found, decisions, more) = blocking(move || read.session(id)).await??.ok_or_else(none)?;
    if found.connection.is_empty() {
        // Its beginning is out of reach. Whose business it is has to be known all the same.
        found.connection = match &live {
            Some(live) => live.connection.clone(),
            None => recorded_on(evidence.clone(), id).await?.ok_or_else(none)?,
        };
    }
    if !asker.sees(Administration::ViewSessions, &found.connection) {
        return Err(none().into());
    }
    let is_live = live.is_some();
    let recorded = match asker.may_on(Administration::ReplaySession, &found.connection) {
        Ok(()) => blocking(move || recorded(&evidence, id, is_live)).await?,
        Err(why) => Recorded { problem: Some(why.detail().into()), ..Recorded::default() },
    };
    let may_kill = is_live && asker.sees(Administration::KillSession, &found.connection);
    let mut body = SessionBody {
        id: id.to_string(),
        live: is_live,
        waits_for: live.iter().flat_map(|s| &s.waits_for).map(ToString::to_string).collect(),
        decisions: decisions.into_iter().map(decision).collect(),
        more_decisions: more,
        recorded,
        mark: String::new(),
        every: 0,
        now: now(),
    };
    // Whoever looks on takes a twentieth of a processor at most, however long the log and the recording are.
    body.every = begun.elapsed().as_secs().saturating_mul(20).clamp(2, 120);
    body.mark = mark(&body);
    Ok(Seen { session: summary(found), body, may_kill })
}

/// The connection that a recording is of.
async fn recorded_on(evidence: Evidence, id: SessionId) -> Result<Option<String>, Problem> {
    let reader = blocking(move || evidence.recording(id)).await?.map_err(|e| Problem::unavailable(&e))?;
    Ok(reader.map(|r| r.meta().connection.clone()).filter(|name| !name.is_empty()))
}

/// Another one whenever there is something else to be seen.
fn mark(body: &SessionBody) -> String {
    let mut hasher = DefaultHasher::new();
    let SessionBody { waits_for, decisions, recorded, .. } = body;
    format!("{waits_for:?}{decisions:?}{recorded:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

async fn one(
    state: &ApiState,
    asker: &Asker,
    evidence: Evidence,
    id: &str,
    status: StatusCode,
    notice: Option<Notice>,
) -> Answer {
    let Seen { session, body, may_kill } = seen(state, asker, evidence, id).await?;
    let shell = page::shell(state, asker, Section::Sessions, "Session").await?;
    let page = SessionPage { shell, session, body, may_kill, notice };
    Ok(page::answer(status, &page, doorward_ui::POLICY))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Mark {
    mark: String,
}

/// What a page asks for again and again while the session is open: nothing where it is as it was.
pub(crate) async fn follow(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Path(id): Path<String>,
    query: Result<Query<Mark>, QueryRejection>,
) -> Answer {
    let Query(Mark { mark }) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let Seen { body, .. } = seen(&state, &asker, parts.evidence.clone(), &id).await?;
    if !body.live {
        return Ok(page::reload());
    }
    if body.mark == mark { Ok(StatusCode::NO_CONTENT.into_response()) } else { page::ok(&body) }
}

pub(crate) async fn kill(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Path(id): Path<String>,
) -> Answer {
    match api::end_one(&state, &asker, &id).await {
        Ok(()) => Ok(page::see_other("/sessions?done=ended")),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            let notice = Notice { bad: true, text: "It had ended already.".into() };
            one(&state, &asker, parts.evidence.clone(), &id, StatusCode::CONFLICT, Some(notice)).await
        }
        Err(problem) => Err(problem.into()),
    }
}
