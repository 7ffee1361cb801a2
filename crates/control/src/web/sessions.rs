//! Live sessions, past ones, and the page of one.
use super::{
    page::{self, Answer, Failure},
    replay::recorded,
};
use crate::{
    api::{
        ApiState, audit, now,
        page::{Page, text as text_of},
        replays::looks_at,
        sessions as api,
    },
    evidence::{Decided, Found, Wanted, has},
    problem::Problem,
    rights::Asker,
};
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::IntoResponse as _,
};
use doorward_model::{Administration, SessionId, Timestamp};
use doorward_store::{SeenSession, SessionFilter};
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
const PAGE: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    principal: String,
    connection: String,
    text: String,
    outcome: String,
    before: String,
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
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    let Query(asked) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let live = live_list(&state, &asker).await?;
    // Statements are in the log alone.
    let (past, next) = match asked.text.trim() {
        "" => known(&state, &asker, &asked).await?,
        _ => looked_for(&state, &asker, &asked).await?,
    };
    let notice = (asked.done == "ended").then(|| Notice { bad: false, text: "The session was ended.".into() });
    page::ok(&SessionsPage {
        shell: page::shell(&state, &asker, Section::Sessions, "Sessions").await?,
        live,
        past,
        older: next.map(|before| older(&asked, &before)),
        search: Search {
            principal: asked.principal,
            connection: asked.connection,
            text: asked.text,
            outcome: asked.outcome,
        },
        notice,
    })
}

/// Sessions by who, where and how it came out: all there are.
async fn known(
    state: &ApiState,
    asker: &Asker,
    asked: &Asked,
) -> Result<(Vec<SessionSummary>, Option<String>), Problem> {
    let given = |text: &str| text_of(Some(text.trim().to_owned()));
    let part = asked.connection.trim();
    let mut among = api::seen_by(state, asker).await?;
    among.retain(|a| has(&a.connection, part));
    let outcome = page::outcome(&asked.outcome)?;
    let filter = SessionFilter { among, principal: given(&asked.principal)?, outcome, ..SessionFilter::default() };
    let before = Some(asked.before.as_str()).filter(|b| !b.is_empty());
    let page = Page::<SessionId>::of("sessions", before, Some(PAGE))?;
    let fetch = |before: Option<SessionId>, most| {
        let (store, filter) = (&state.store, &filter);
        async move { store.seen_sessions(filter, before, most).await.map_err(|e| Problem::unavailable(&e)) }
    };
    page.fill(fetch, |s| s.id, |s| Some(seen_summary(s))).await
}

/// Sessions with a text in what was asked, among the newest entries of the log.
async fn looked_for(
    state: &ApiState,
    asker: &Asker,
    asked: &Asked,
) -> Result<(Vec<SessionSummary>, Option<String>), Failure> {
    let wanted = Wanted {
        principal: asked.principal.trim().to_owned(),
        connection: asked.connection.trim().to_owned(),
        text: asked.text.trim().to_owned(),
        outcome: page::outcome(&asked.outcome)?,
    };
    let before = match asked.before.as_str() {
        "" => None,
        number => {
            Some(number.parse::<u64>().map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "`before` is no entry"))?)
        }
    };
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let theirs = asker.afresh();
    let sees = move |s: &Found| theirs.sees_at(Administration::ViewSessions, &s.connection, s.started);
    let look = state.records.read(&asker.who, move |evidence| evidence.sessions(&wanted, &sees, before, most));
    let (found, next) = look.await??;
    Ok((found.into_iter().map(summary).collect(), next.map(|seq| seq.to_string())))
}

fn older(asked: &Asked, before: &str) -> String {
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

fn seen_summary(seen: SeenSession) -> SessionSummary {
    let (ended, reason) = seen.ended.unzip();
    SessionSummary {
        id: seen.id.to_string(),
        connection: seen.connection.into(),
        principal: seen.principal.map(Inert::from),
        client: seen.client.into(),
        started: seen.started,
        ended,
        reason: reason.map(Inert::from),
        requests: seen.requests,
        refused: seen.refused,
        held: seen.held,
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

pub(crate) async fn show(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>) -> Answer {
    one(&state, &asker, &id, StatusCode::OK, None).await
}

/// What there is to be seen of a session.
struct Seen {
    session: SessionSummary,
    body: SessionBody,
    may_kill: bool,
}

async fn seen(state: &ApiState, asker: &Asker, id: &str) -> Result<Seen, Failure> {
    asker.may_on_any(Administration::ViewSessions)?;
    let begun = Instant::now();
    let none = || Problem::not_found("session");
    let id: SessionId = id.parse().map_err(|_| none())?;
    let live = api::live(state, asker).await?.into_iter().find(|s| s.id == id);
    let (known, knows_all) = audit::known(state, id).await?;
    if known.is_none() && live.is_none() {
        return Err(none().into());
    }
    // Its beginning may be out of reach. Whose business it is has to be known all the same.
    let (connection, at) = match (&known, &live) {
        (Some(known), _) if !known.connection.is_empty() => (known.connection.clone(), known.started),
        (_, Some(live)) => (live.connection.clone(), live.started),
        (_, None) => recorded_on(state, asker, id).await?.ok_or_else(none)?,
    };
    if !asker.sees_at(Administration::ViewSessions, &connection, at) {
        return Err(none().into());
    }
    let before = known.as_ref().filter(|_| knows_all).map(|k| k.last_line.saturating_add(1));
    let read = state.records.read(&asker.who, move |evidence| evidence.session(id, before));
    let (found, decisions, more) = read.await??;
    let is_live = live.is_some();
    let recorded = match asker.may_at(Administration::ReplaySession, &connection, at) {
        Ok(()) => looked_at(state, asker, id, is_live).await?,
        Err(why) => Recorded { problem: Some(why.detail().into()), ..Recorded::default() },
    };
    let may_kill = is_live && asker.sees_at(Administration::KillSession, &connection, at);
    let session =
        SessionSummary { connection: connection.into(), ..known.map_or_else(|| summary(found), seen_summary) };
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
    Ok(Seen { session, body, may_kill })
}

/// What was recorded of a session, and that somebody looks at it is written down before.
async fn looked_at(state: &ApiState, asker: &Asker, id: SessionId, is_live: bool) -> Result<Recorded, Problem> {
    let is_there = state.records.read(&asker.who, move |evidence| evidence.has_recording(id)).await?;
    if is_there {
        looks_at(state, &asker.who, id).await?;
    }
    state.records.read(&asker.who, move |evidence| recorded(evidence, id, is_live)).await
}

/// The connection that a recording is of, and when it began.
async fn recorded_on(state: &ApiState, asker: &Asker, id: SessionId) -> Result<Option<(String, Timestamp)>, Problem> {
    let reader = state.records.read(&asker.who, move |evidence| evidence.recording(id)).await?;
    let reader = reader.map_err(|e| Problem::unavailable(&e))?;
    Ok(reader.map(|r| (r.meta().connection.clone(), r.meta().started)).filter(|(name, _)| !name.is_empty()))
}

/// Another one whenever there is something else to be seen.
fn mark(body: &SessionBody) -> String {
    let mut hasher = DefaultHasher::new();
    let SessionBody { waits_for, decisions, recorded, .. } = body;
    format!("{waits_for:?}{decisions:?}{recorded:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

async fn one(state: &ApiState, asker: &Asker, id: &str, status: StatusCode, notice: Option<Notice>) -> Answer {
    let Seen { session, body, may_kill } = seen(state, asker, id).await?;
    let shell = page::shell(state, asker, Section::Sessions, "Session").await?;
    let may_hold = asker.may(Administration::EditHolds).and(asker.may(Administration::ViewHolds)).is_ok();
    let page = SessionPage { shell, session, body, may_kill, may_hold, notice };
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
    Path(id): Path<String>,
    query: Result<Query<Mark>, QueryRejection>,
) -> Answer {
    let Query(Mark { mark }) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let Seen { body, .. } = seen(&state, &asker, &id).await?;
    if !body.live {
        return Ok(page::reload());
    }
    if body.mark == mark { Ok(StatusCode::NO_CONTENT.into_response()) } else { page::ok(&body) }
}

pub(crate) async fn kill(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>) -> Answer {
    match api::end_one(&state, &asker, &id).await {
        Ok(()) => Ok(page::see_other("/sessions?done=ended")),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            let notice = Notice { bad: true, text: "It had ended already.".into() };
            one(&state, &asker, &id, StatusCode::CONFLICT, Some(notice)).await
        }
        Err(problem) => Err(problem.into()),
    }
}
