//! What was recorded of a session, as its page and the pages behind it show it.
use super::page::{self, Answer};
use crate::{
    api::{ApiState, recordings as api, replays::looks_at},
    evidence::Evidence,
    problem::Problem,
    recordings::{self, ShowError, kubernetes, sql, ssh},
    rights::Asker,
};
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use doorward_kubernetes::replay::Kind;
use doorward_model::{SessionId, Timestamp};
use doorward_record::FrameBody;
use doorward_sql_session::replay::{Options, Rows, Shown};
use doorward_ui::{Inert, PLAYER_POLICY, Recorded, RecordedRequest, RequestPage, Section, Step, TerminalPage, Timed};
use serde::Deserialize;
use std::collections::VecDeque;

/// Steps of a replay on a page.
const MOST_STEPS: usize = 1000;
/// Rows shown of each result.
const ROWS: usize = 20;
/// Lines shown of each stream of a request or channel.
const LINES: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Which {
    channel: Option<u32>,
    request: Option<u32>,
}

/// What a recording has to show: its beginning, or of a session that is followed its end. What cannot be read is said, and
/// hides nothing else.
pub(super) fn recorded(evidence: &Evidence, id: SessionId, is_live: bool) -> Recorded {
    let mut out = Recorded::default();
    let protocol = match evidence.recording(id) {
        Ok(Some(reader)) => reader.meta().protocol.clone(),
        Ok(None) => return out,
        Err(why) => return Recorded { problem: Some(format!("The recording cannot be read: {why}").into()), ..out },
    };
    let mut steps = Steps { list: VecDeque::new(), newest: is_live, cut: false };
    let read = match protocol.as_str() {
        "ssh" => ssh_recorded(evidence, id, &mut out, &mut steps),
        "kubernetes" => kubernetes_recorded(evidence, id, &mut out),
        _ => sql_recorded(evidence, id, &protocol, &mut steps),
    };
    out.cut |= steps.cut;
    out.steps = steps.list.into();
    if let Err(why) = read {
        // What a live session's recording ends in may not be written whole yet.
        if !is_live {
            out.problem = Some(format!("The recording cannot be read on: {why}").into());
        }
    }
    out
}

/// The first steps of a recording, or its newest.
struct Steps {
    list: VecDeque<Timed>,
    newest: bool,
    cut: bool,
}

impl Steps {
    /// Whether more are wanted.
    fn push(&mut self, time: Timestamp, step: Step) -> bool {
        if self.list.len() >= MOST_STEPS {
            self.cut = true;
            if !self.newest {
                return false;
            }
            self.list.pop_front();
        }
        self.list.push_back(Timed { time, step });
        true
    }
}

fn open(evidence: &Evidence, id: SessionId) -> Result<doorward_record::Reader, ShowError> {
    let reader = evidence.recording(id).map_err(ShowError::Absent)?;
    reader.ok_or_else(|| ShowError::Absent("there is no recording of this session".into()))
}

fn sql_recorded(evidence: &Evidence, id: SessionId, protocol: &str, steps: &mut Steps) -> Result<(), ShowError> {
    let Some(mut replayer) = sql::replayer(protocol, Options { rows: ROWS }) else { return Ok(()) };
    sql::play(open(evidence, id)?, replayer.as_mut(), |time, shown| Ok(steps.push(time, step(shown))))
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

/// A line of SSH or Kubernetes: `[number] mark text`.
fn marked(line: &str, numbered: bool) -> Step {
    let (number, rest) = match line.strip_prefix('[').and_then(|l| l.split_once("] ")) {
        Some((number, rest)) if numbered => (format!("[{number}] "), rest),
        Some((_, rest)) => (String::new(), rest),
        None => return Step::Note(line.into()),
    };
    match rest.split_at_checked(2) {
        Some(("> ", text)) => Step::Sent(format!("{number}{text}").into()),
        Some(("< ", text)) => Step::Answered(format!("{number}{text}").into()),
        Some(("! ", text)) => Step::Failed(format!("{number}{text}").into()),
        Some(("* ", text)) => Step::Note(format!("{number}{text}").into()),
        Some(_) | None => Step::Note(line.into()),
    }
}

fn ssh_recorded(evidence: &Evidence, id: SessionId, out: &mut Recorded, steps: &mut Steps) -> Result<(), ShowError> {
    let again = || open(evidence, id);
    let channels = ssh::channels(&again)?;
    for number in channels.iter().filter(|c| c.terminal).map(|c| c.number) {
        out.terminals.push((format!("Terminal {number}"), format!("/sessions/{id}/terminal?channel={number}")));
    }
    let mut lines = doorward_ssh::replay::Replayer::new(doorward_ssh::replay::Options { lines: LINES });
    for frame in again()? {
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
            if !steps.push(frame.time, marked(&line, channels.len() > 1)) {
                return Ok(());
            }
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

/// One request of a Kubernetes session, with what was sent and answered.
pub(crate) async fn request(
    State(state): State<ApiState>,
    asker: Asker,
    Path((id, number)): Path<(String, String)>,
) -> Answer {
    let (id, _) = api::find(&state, &asker, &id).await?;
    let none = || Problem::not_found("request");
    let number: u32 = number.parse().map_err(|_| none())?;
    looks_at(&state, &asker.who, id).await?;
    let read = move |evidence: &Evidence| -> Result<Option<(RecordedRequest, Vec<Timed>, bool)>, ShowError> {
        let mut out = Recorded::default();
        kubernetes_recorded(evidence, id, &mut out)?;
        let Some(request) = out.requests.into_iter().find(|r| r.number == number) else { return Ok(None) };
        let (steps, cut) = request_steps(evidence, id, number)?;
        Ok(Some((request, steps, cut)))
    };
    let found = state.records.read(&asker.who, read).await?;
    let found = found.map_err(|e| Problem::new(StatusCode::NOT_FOUND, e.to_string()))?;
    let (request, steps, cut) = found.ok_or_else(none)?;
    let shell = page::shell(&state, &asker, Section::Sessions, format!("Request {number}")).await?;
    page::ok(&RequestPage { shell, session: id.to_string(), request, steps, cut })
}

fn request_steps(evidence: &Evidence, id: SessionId, number: u32) -> Result<(Vec<Timed>, bool), ShowError> {
    let (overview, _) = kubernetes::overview(open(evidence, id)?);
    let options = doorward_kubernetes::replay::Options { lines: LINES, request: Some(number) };
    let mut replayer = doorward_kubernetes::replay::Replayer::new(options, overview);
    let mut out: Vec<Timed> = Vec::new();
    let mut last = Timestamp::default();
    let mut add = |time, lines: Vec<String>| {
        for line in lines {
            let step = marked(&line, false);
            match (out.last_mut().map(|t| &mut t.step), step) {
                // Lines of one side are one block.
                (Some(Step::Sent(before)), Step::Sent(text)) => before.add_line(&text),
                (Some(Step::Answered(before)), Step::Answered(text)) => before.add_line(&text),
                (_, step) => out.push(Timed { time, step }),
            }
        }
        out.len() < MOST_STEPS
    };
    for frame in open(evidence, id)? {
        let Ok(frame) = frame else { break };
        last = frame.time;
        let lines = match &frame.body {
            FrameBody::Bytes(direction, bytes) => replayer.feed(kubernetes::side(*direction), bytes),
            FrameBody::Meta(value) => replayer.event(value),
            FrameBody::Gap { .. } | FrameBody::Redacted { .. } => Vec::new(),
        };
        if !add(frame.time, lines) {
            return Ok((out, true));
        }
    }
    add(last, replayer.finish());
    Ok((out, false))
}

pub(crate) async fn terminal(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let (id, _) = api::find(&state, &asker, &id).await?;
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
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let Query(which) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    Ok(api::played(&state, &asker, &id, which.channel, which.request).await?)
}
