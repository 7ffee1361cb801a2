//! Recordings: what they say of themselves, whole, as steps, as terminals; whether they are whole.
use super::{
    ApiState,
    page::{Page, query},
    records::Chunks,
    replays::looks_at,
};
use crate::{
    evidence::Evidence,
    problem::{Problem, Problems},
    recordings::{ShowError, kubernetes, ssh, steps},
    rights::Asker,
    types::{
        CastQuery, ContentQuery, PageQuery, RecordingCheck, RecordingFormat, RecordingView, StepKind, StepList,
        StepView,
    },
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use doorward_model::{Administration, SessionId, Timestamp};
use doorward_record::{ExportError, Reader, export_json_lines, export_pcapng, keys, verify_recording};
use doorward_sql_session::replay::Rows;
use std::io;

fn none() -> Problem {
    Problem::not_found("recording")
}

fn open(evidence: &Evidence, id: SessionId) -> Result<Reader, ShowError> {
    let reader = evidence.recording(id).map_err(ShowError::Absent)?;
    reader.ok_or_else(|| ShowError::Absent("no such recording".into()))
}

/// The recording, for whom may see what was said in it. What they may not even know of is not there.
pub(crate) async fn find(state: &ApiState, asker: &Asker, id: &str) -> Result<(SessionId, RecordingView), Problem> {
    asker.may_on_any(Administration::ReplaySession)?;
    let id: SessionId = id.parse().map_err(|_| none())?;
    let read = move |evidence: &Evidence| -> Result<Option<RecordingView>, String> {
        let Some(reader) = evidence.recording(id)? else { return Ok(None) };
        let bytes = std::fs::metadata(evidence.recordings.join(format!("{id}.dwr"))).map_err(|e| e.to_string())?.len();
        let meta = reader.meta().clone();
        Ok(Some(RecordingView {
            session: meta.session,
            connection: meta.connection,
            protocol: meta.protocol,
            client: meta.client,
            started: meta.started,
            bytes,
        }))
    };
    let found = state.records.read(&asker.who, read).await?.map_err(|e| Problem::unavailable(&e))?.ok_or_else(none)?;
    if !asker.sees_at(Administration::ViewSessions, &found.connection, found.started) {
        return Err(none());
    }
    asker.may_at(Administration::ReplaySession, &found.connection, found.started)?;
    Ok((id, found))
}

/// What a recording says of itself.
#[utoipa::path(get, path = "/sessions/{id}/recording", tag = "recordings",
    params(("id" = String, Path, description = "of which session")),
    responses((status = 200, description = "its head", body = RecordingView), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<RecordingView>, Problem> {
    find(&state, &asker, &id).await.map(|(_, view)| Json(view))
}

fn unreadable(e: ShowError) -> Problem {
    match e {
        ShowError::Absent(why) => Problem::new(StatusCode::NOT_FOUND, why),
        ShowError::Read(why) => {
            tracing::warn!(%why, "a recording cannot be read");
            Problem::new(StatusCode::CONFLICT, format!("the recording cannot be read: {why}"))
        }
        ShowError::Write(why) => Problem::unavailable(&why),
    }
}

impl From<ExportError> for ShowError {
    fn from(e: ExportError) -> Self {
        match e {
            ExportError::Read(e) => Self::Read(e),
            ExportError::Write(e) => Self::Write(e),
        }
    }
}

/// A recording, whole. It ends where it is whole, or the connection breaks off.
#[utoipa::path(get, path = "/sessions/{id}/recording/content", tag = "recordings",
    params(("id" = String, Path, description = "of which session"), ContentQuery),
    responses((status = 200, description = "the recording", content(
        (String = "application/x-ndjson"), (String = "application/x-pcapng"), (String = "application/octet-stream"))),
        Problems))]
pub(super) async fn content(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    asked: Result<Query<ContentQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let format = query(asked)?.format.unwrap_or_default();
    let (id, _) = find(&state, &asker, &id).await?;
    let what = format!("take a copy of the recording of {id}");
    super::administered(&state, &asker.who, Some(id), what).await?;
    let write = move |evidence: &Evidence, out: &mut Chunks| -> Result<(), ShowError> {
        match format {
            RecordingFormat::Jsonl => Ok(export_json_lines(&mut open(evidence, id)?, out)?),
            RecordingFormat::Pcapng => Ok(export_pcapng(&mut open(evidence, id)?, out)?),
            RecordingFormat::Raw => {
                let mut file = std::fs::File::open(evidence.recordings.join(format!("{id}.dwr")))?;
                io::copy(&mut file, out)?;
                Ok(())
            }
        }
    };
    let (kind, end) = match format {
        RecordingFormat::Jsonl => ("application/x-ndjson", "jsonl"),
        RecordingFormat::Pcapng => ("application/x-pcapng", "pcapng"),
        RecordingFormat::Raw => ("application/octet-stream", "dwr"),
    };
    let body = state.records.stream(&asker.who, write, unreadable).await?;
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.{end}\"")),
    ];
    Ok((headers, body).into_response())
}

/// A terminal of an SSH session, or an `exec` or `attach` of Kubernetes, as an asciicast (version 3).
#[utoipa::path(get, path = "/sessions/{id}/recording/cast", tag = "recordings",
    params(("id" = String, Path, description = "of which session"), CastQuery),
    responses((status = 200, description = "the asciicast", content_type = "application/x-asciicast", body = String),
        Problems))]
pub(super) async fn cast(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    asked: Result<Query<CastQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let CastQuery { channel, request } = query(asked)?;
    played(&state, &asker, &id, channel, request).await
}

/// The terminal of a channel or a request, or of the only one.
pub(crate) async fn played(
    state: &ApiState,
    asker: &Asker,
    id: &str,
    channel: Option<u32>,
    request: Option<u32>,
) -> Result<Response, Problem> {
    let (id, view) = find(state, asker, id).await?;
    super::administered(state, &asker.who, Some(id), format!("replay a terminal of {id}")).await?;
    let write = move |evidence: &Evidence, out: &mut Chunks| -> Result<(), ShowError> {
        let again = || open(evidence, id);
        match view.protocol.as_str() {
            "ssh" => ssh::export(&again, channel, out),
            "kubernetes" => kubernetes::export(&again, request, out),
            other => Err(ShowError::Absent(format!("recordings of {other} have no terminals"))),
        }
    };
    let body = state.records.stream(&asker.who, write, unreadable).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-asciicast".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{id}.cast\"")),
    ];
    Ok((headers, body).into_response())
}

/// A recording, step by step: statements with outcomes and rows, what commands wrote, requests of Kubernetes.
#[utoipa::path(get, path = "/sessions/{id}/recording/steps", tag = "recordings",
    params(("id" = String, Path, description = "of which session"), PageQuery),
    responses((status = 200, description = "a page of them", body = StepList), Problems))]
pub(super) async fn list_steps(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    asked: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<StepList>, Problem> {
    let asked = query(asked)?;
    let page = Page::<u64>::of("steps", asked.cursor.as_deref(), asked.limit)?;
    let (id, _) = find(&state, &asker, &id).await?;
    looks_at(&state, &asker.who, id).await?;
    let read = move |evidence: &Evidence| {
        let (mut number, mut found, mut more) = (0_u64, Vec::new(), false);
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let played = steps::play(&|| open(evidence, id), |time, step| {
            if page.after.is_none_or(|after| number > after) {
                if found.len() == most {
                    more = true;
                    return false;
                }
                found.push(view(number, time, step));
            }
            number += 1;
            true
        });
        let next = found.last().filter(|_| more).map(|s: &StepView| page.next(&s.number));
        StepList { steps: found, next, problem: played.err().map(|e| e.to_string()) }
    };
    state.records.read(&asker.who, read).await.map(Json)
}

fn view(number: u64, time: Timestamp, step: steps::Step) -> StepView {
    let mut out =
        StepView { number, time, kind: StepKind::Note, text: String::new(), columns: vec![], rows: vec![], more: 0 };
    (out.kind, out.text) = match step {
        steps::Step::Sent(text) => (StepKind::Sent, text),
        steps::Step::Answered(text) => (StepKind::Answered, text),
        steps::Step::Failed(text) => (StepKind::Failed, text),
        steps::Step::Note(text) => (StepKind::Note, text),
        steps::Step::Request(number, text) => (StepKind::Request, format!("{number}: {text}")),
        steps::Step::Rows(Rows { names, rows, more }) => {
            (out.columns, out.rows, out.more) = (names, rows, more);
            (StepKind::Rows, String::new())
        }
    };
    out
}

/// Reads a recording from end to end: whether nothing of it was changed, and it ends as it should.
#[utoipa::path(post, path = "/sessions/{id}/recording/verify", tag = "recordings",
    params(("id" = String, Path, description = "of which session")),
    responses((status = 200, description = "what was found", body = RecordingCheck), Problems))]
pub(super) async fn verify(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<RecordingCheck>, Problem> {
    let (id, _) = find(&state, &asker, &id).await?;
    super::administered(&state, &asker.who, Some(id), format!("verify the recording of {id}")).await?;
    let read = move |evidence: &Evidence| {
        let key = keys::load_public(&evidence.keys.join(keys::PUBLIC_KEY_FILE)).map_err(|e| e.to_string())?;
        let path = evidence.recordings.join(format!("{id}.dwr"));
        verify_recording(&path, &key).map_err(|e| e.to_string())
    };
    let report = state.records.read(&asker.who, read).await?.map_err(|e| Problem::unavailable(&e))?;
    Ok(Json(RecordingCheck {
        intact: report.is_intact(),
        problem: report.problem.as_ref().map(ToString::to_string),
        ending: report.ending.as_ref().map(|e| format!("{e:?}")),
        frames: report.frames,
        client_bytes: report.client_bytes,
        upstream_bytes: report.upstream_bytes,
        lost_bytes: report.lost_bytes,
    }))
}
