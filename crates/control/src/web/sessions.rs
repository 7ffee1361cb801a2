//! Live sessions, past ones, and replay.
use super::{
    Parts,
    page::{self, Answer, Failure},
};
use crate::{
    api::{ApiState, now, sessions as api},
    evidence::{Decided, Evidence, Found, Wanted},
    problem::Problem,
    recordings::{self, ShowError, kubernetes, sql, ssh},
    rights::Asker,
};
use axum::{
    Extension,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::IntoResponse as _,
};
use doorward_kubernetes::replay::Kind;
use doorward_model::{Administration, AuditOutcome as Outcome, SessionId};
use doorward_sql_session::replay::{Options, Rows, Shown};
use doorward_ui::{
    Decision, Inert, LiveList, LiveSession, Notice, PLAYER_POLICY, Recorded, RecordedRequest, Search, Section,
    SessionPage, SessionSummary, SessionsPage, Step, TerminalPage, Timed,
};
use serde::Deserialize;
use std::fmt::Write as _;

/// Sessions on a page.
const PAGE: usize = 50;
/// Steps of a replay on a page.
const MOST_STEPS: usize = 1000;
/// Rows shown of each result.
const ROWS: usize = 20;
/// The longest asciicast that is given to a browser.
const MOST_CAST: usize = 64 << 20;

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
        outcome: outcome(&asked.outcome),
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

pub(crate) fn outcome(name: &str) -> Option<Outcome> {
    match name {
        "forward" => Some(Outcome::Forward),
        "hold" => Some(Outcome::Hold),
        "refuse" => Some(Outcome::Refuse),
        _ => None,
    }
}

pub(crate) const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Forward => "forward",
        Outcome::Hold => "hold",
        Outcome::Refuse => "refuse",
    }
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
        outcome: outcome_name(d.outcome),
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Which {
    channel: Option<u32>,
    request: Option<u32>,
}

fn parsed(id: &str) -> Result<SessionId, Failure> {
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

async fn one(
    state: &ApiState,
    asker: &Asker,
    evidence: Evidence,
    id: &str,
    status: StatusCode,
    notice: Option<Notice>,
) -> Answer {
    asker.may_on_any(Administration::ViewSessions)?;
    let id = parsed(id)?;
    let live = api::live(state, asker).await?.into_iter().find(|s| s.id == id);
    let none = || Problem::not_found("session");
    let read = evidence.clone();
    let (found, decisions, more) = blocking(move || read.session(id)).await??.ok_or_else(none)?;
    if !asker.sees(Administration::ViewSessions, &found.connection) {
        return Err(none().into());
    }
    let recorded = match asker.may_on(Administration::ReplaySession, &found.connection) {
        Ok(()) => blocking(move || recorded(&evidence, id)).await?,
        Err(why) => Recorded { problem: Some(why.detail().into()), ..Recorded::default() },
    };
    let may_kill = live.is_some() && asker.sees(Administration::KillSession, &found.connection);
    let page = SessionPage {
        shell: page::shell(state, asker, Section::Sessions, "Session").await?,
        session: summary(found),
        live: live.is_some(),
        may_kill,
        waits_for: live.iter().flat_map(|s| &s.waits_for).map(ToString::to_string).collect(),
        decisions: decisions.into_iter().map(decision).collect(),
        more_decisions: more,
        recorded,
        notice,
    };
    Ok(page::answer(status, &page, doorward_ui::POLICY))
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

/// What a recording has to show. What cannot be read is said, and hides nothing else.
fn recorded(evidence: &Evidence, id: SessionId) -> Recorded {
    let mut out = Recorded::default();
    let protocol = match evidence.recording(id) {
        Ok(Some(reader)) => reader.meta().protocol.clone(),
        Ok(None) => return out,
        Err(why) => return Recorded { problem: Some(format!("The recording cannot be read: {why}").into()), ..out },
    };
    let read = match protocol.as_str() {
        "ssh" => ssh_recorded(evidence, id, &mut out),
        "kubernetes" => kubernetes_recorded(evidence, id, &mut out),
        _ => sql_recorded(evidence, id, &protocol, &mut out),
    };
    if let Err(why) = read {
        out.problem = Some(format!("The recording cannot be read on: {why}").into());
    }
    out
}

fn open(evidence: &Evidence, id: SessionId) -> Result<doorward_record::Reader, ShowError> {
    let reader = evidence.recording(id).map_err(ShowError::Absent)?;
    reader.ok_or_else(|| ShowError::Absent("there is no recording of this session".into()))
}

fn sql_recorded(evidence: &Evidence, id: SessionId, protocol: &str, out: &mut Recorded) -> Result<(), ShowError> {
    let Some(mut replayer) = sql::replayer(protocol, Options { rows: ROWS }) else { return Ok(()) };
    sql::play(open(evidence, id)?, replayer.as_mut(), |time, shown| {
        out.cut = out.steps.len() >= MOST_STEPS;
        if !out.cut {
            out.steps.push(Timed { time, step: step(shown) });
        }
        Ok(!out.cut)
    })
}

fn step(shown: Shown) -> Step {
    match shown {
        Shown::Rows(Rows { names, rows, more }) => Step::Rows {
            names: names.into_iter().map(Inert::from).collect(),
            rows: rows.into_iter().map(|r| r.into_iter().map(Inert::from).collect()).collect(),
            more,
        },
        Shown::Line(line) => match (line.strip_prefix("> "), line.strip_prefix("< ")) {
            (Some(text), _) => Step::Sent(text.into()),
            (_, Some(text)) if text.starts_with("ERROR") || text.starts_with("FATAL") => Step::Failed(text.into()),
            (_, Some(text)) => Step::Answered(text.into()),
            (None, None) => Step::Note(line.into()),
        },
    }
}

fn ssh_recorded(evidence: &Evidence, id: SessionId, out: &mut Recorded) -> Result<(), ShowError> {
    let again = || open(evidence, id);
    for channel in ssh::channels(&again)?.iter().filter(|c| c.terminal) {
        let number = channel.number;
        out.terminals.push((format!("Terminal {number}"), format!("/sessions/{id}/terminal?channel={number}")));
    }
    let mut lines = doorward_ssh::replay::Replayer::new(doorward_ssh::replay::Options { lines: 200 });
    for frame in again()? {
        use doorward_record::FrameBody;
        let frame = frame?;
        let shown = match &frame.body {
            FrameBody::Bytes(direction, bytes) => lines.feed(ssh::side(*direction), bytes),
            FrameBody::Meta(value) => lines.event(value),
            FrameBody::Redacted { len, why, .. } => vec![format!("({len} bytes not recorded: {why})")],
            FrameBody::Gap { client, upstream } => {
                let mut shown = lines.gap();
                shown.push(recordings::gap_line(*client, *upstream));
                shown
            }
        };
        for line in shown {
            if out.steps.len() >= MOST_STEPS {
                out.cut = true;
                return Ok(());
            }
            out.steps.push(Timed { time: frame.time, step: Step::Answered(line.into()) });
        }
    }
    Ok(())
}

fn kubernetes_recorded(evidence: &Evidence, id: SessionId, out: &mut Recorded) -> Result<(), ShowError> {
    let (overview, damage) = kubernetes::overview(open(evidence, id)?);
    out.cut = overview.requests.len() > MOST_STEPS;
    for (number, request) in overview.requests.iter().take(MOST_STEPS) {
        let stream = matches!(request.kind, Kind::Stream { .. });
        out.requests.push(RecordedRequest {
            number: *number,
            time: request.time,
            statement: request.statement.clone().into(),
            result: request.result().into(),
            terminal: stream.then(|| format!("/sessions/{id}/terminal?request={number}")),
        });
    }
    damage.map_or(Ok(()), |e| Err(e.into()))
}

/// Whether the person may see what was recorded; what they may not even know of is not there.
async fn may_replay(asker: &Asker, evidence: &Evidence, id: SessionId) -> Result<(), Problem> {
    asker.may_on_any(Administration::ReplaySession)?;
    let none = || Problem::not_found("recording");
    let evidence = evidence.clone();
    let reader = blocking(move || evidence.recording(id)).await?;
    let connection = reader.map_err(|e| Problem::unavailable(&e))?.ok_or_else(none)?.meta().connection.clone();
    if !asker.sees(Administration::ViewSessions, &connection) {
        return Err(none());
    }
    asker.may_on(Administration::ReplaySession, &connection)
}

pub(crate) async fn terminal(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Path(id): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let id = parsed(&id)?;
    may_replay(&asker, &parts.evidence, id).await?;
    let Query(which) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let (title, part) = match (which.channel, which.request) {
        (_, Some(n)) => (format!("Request {n}"), format!("?request={n}")),
        (Some(n), None) => (format!("Terminal {n}"), format!("?channel={n}")),
        (None, None) => ("Terminal".to_owned(), String::new()),
    };
    let shell = page::shell(&state, &asker, Section::Sessions, title).await?;
    let page = TerminalPage { shell, session: id.to_string(), cast: format!("/sessions/{id}/cast{part}") };
    Ok(page::answer(StatusCode::OK, &page, PLAYER_POLICY))
}

/// A terminal as an asciicast.
pub(crate) async fn cast(
    asker: Asker,
    Extension(parts): Parts,
    Path(id): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let id = parsed(&id)?;
    may_replay(&asker, &parts.evidence, id).await?;
    let Query(which) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let made = blocking(move || made(&parts.evidence, id, &which)).await?;
    let cast = made.map_err(|e| Problem::new(StatusCode::NOT_FOUND, e.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-asciicast".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{id}.cast\"")),
    ];
    Ok((headers, cast).into_response())
}

fn made(evidence: &Evidence, id: SessionId, which: &Which) -> Result<Vec<u8>, ShowError> {
    let again = || open(evidence, id);
    let mut out = Bounded(Vec::new());
    match again()?.meta().protocol.as_str() {
        "ssh" => ssh::export(&again, which.channel, &mut out)?,
        "kubernetes" => kubernetes::export(&again, which.request, &mut out)?,
        other => return Err(ShowError::Absent(format!("recordings of {other} have no terminals"))),
    }
    Ok(out.0)
}

/// A buffer that does not grow for ever.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MOST_CAST {
            return Err(std::io::Error::other("it is too long for a browser: use `doorward sessions export`"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
