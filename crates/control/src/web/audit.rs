//! The audit log: looked through, verified, downloaded.
use super::page::{self, Answer};
use crate::{
    api::{
        ApiState,
        audit::{Wanted, given_away, some},
        time, verify as api,
    },
    problem::Problem,
    rights::Asker,
    types::{VerificationReport, VerificationState, VerificationView},
};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode},
};
use doorward_model::{AUDIT_KINDS, Administration, AuditKind};
use doorward_record::Entry;
use doorward_ui::{AuditLine, AuditPage, AuditSearch, AuditVerified, AuditVerifyPage, Inert, POLICY, Section};
use serde::Deserialize;
use serde_json::Value;
use std::{fmt::Write as _, time::Duration};

/// Entries on a page.
const PAGE: usize = 100;
/// So often a verification that runs is looked at before its page is shown.
const SHORT: usize = 20;
/// And every so often.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    principal: String,
    connection: String,
    event: String,
    outcome: String,
    text: String,
    session: String,
    since: String,
    until: String,
    before: Option<u64>,
}

impl Asked {
    fn wanted(&self) -> Result<Wanted, String> {
        let session = self.session.trim();
        let event = self.event.trim();
        if !event.is_empty() && !AUDIT_KINDS.contains(&event) {
            return Err(format!("`{event}` is no kind of entry: there are {}", AUDIT_KINDS.join(", ")));
        }
        Ok(Wanted {
            principal: self.principal.trim().to_owned(),
            connection: None,
            connection_part: self.connection.trim().to_owned(),
            kind: (!event.is_empty()).then(|| event.to_owned()),
            outcome: page::outcome(&self.outcome).map_err(|e| e.detail().to_owned())?,
            text: self.text.trim().to_owned(),
            session: match session {
                "" => None,
                text => Some(text.parse().map_err(|_| format!("`{text}` is not a session"))?),
            },
            since: time::read(&self.since)?,
            until: time::read(&self.until)?,
        })
    }

    /// The same with another page, or as a download.
    fn address(&self, path: &str, before: Option<u64>) -> String {
        let mut out = format!("{path}?");
        if let Some(before) = before {
            let _infallible = write!(out, "before={before}&");
        }
        let pairs = [
            ("principal", &self.principal),
            ("connection", &self.connection),
            ("event", &self.event),
            ("outcome", &self.outcome),
            ("text", &self.text),
            ("session", &self.session),
            ("since", &self.since),
            ("until", &self.until),
        ];
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            let _infallible = write!(out, "{name}={}&", page::percent(value));
        }
        out.pop();
        out
    }
}

pub(super) fn line(entry: &Entry) -> AuditLine {
    let value: Value = serde_json::from_str(&entry.json).unwrap_or_default();
    let mut says = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        if matches!(key.as_str(), "event" | "time" | "session" | "facts" | "digest" | "policy_version" | "outcome") {
            continue;
        }
        let text = match (value.as_str(), value.get("issuer"), value.get("subject")) {
            (Some(text), ..) => text.to_owned(),
            (None, Some(Value::String(issuer)), Some(Value::String(subject))) => format!("{issuer}/{subject}"),
            (None, ..) => value.to_string(),
        };
        says.push(format!("{key}={text}"));
    }
    let outcome =
        if let AuditKind::Request { outcome, .. } = &entry.event.kind { Some(outcome.as_str()) } else { None };
    AuditLine {
        seq: entry.seq,
        time: entry.event.time,
        event: entry.event.kind.name().to_owned(),
        session: entry.event.session.map(|s| s.to_string()),
        outcome,
        says: says.join("  ").into(),
    }
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    asker.may(Administration::ViewAudit)?;
    let Query(asked) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let (wanted, problem) = match asked.wanted() {
        Ok(wanted) => (Some(wanted), None),
        Err(problem) => (None, Some(problem)),
    };
    let ((entries, next), status) = match wanted {
        Some(wanted) => (some(&state, &asker.who, wanted, asked.before, PAGE).await?, StatusCode::OK),
        None => ((Vec::new(), None), StatusCode::BAD_REQUEST),
    };
    let page = AuditPage {
        shell: page::shell(&state, &asker, Section::Audit, "Audit").await?,
        lines: entries.iter().map(line).collect(),
        kinds: &AUDIT_KINDS,
        older: next.map(|seq| asked.address("/audit", Some(seq))),
        download: asked.address("/audit.jsonl", None),
        search: AuditSearch {
            principal: asked.principal,
            connection: asked.connection,
            event: asked.event,
            outcome: asked.outcome,
            text: asked.text,
            session: asked.session,
            since: asked.since,
            until: asked.until,
        },
        problem,
    };
    Ok(page::answer(status, &page, POLICY))
}

/// The newest verification: one that runs, or what came of it. Begins one where there is none.
pub(crate) async fn verify(State(state): State<ApiState>, asker: Asker) -> Answer {
    asker.may(Administration::ExportAudit)?;
    let known = state.records.verifications.newest().filter(|v| v.state != VerificationState::Failed);
    verification(&state, &asker, known).await
}

/// Begins one, unless one runs.
pub(crate) async fn verify_anew(State(state): State<ApiState>, asker: Asker) -> Answer {
    asker.may(Administration::ExportAudit)?;
    let known = state.records.verifications.newest();
    if known.is_none_or(|v| v.state != VerificationState::Running) {
        joined(&state, &asker).await?;
    }
    Ok(page::see_other("/audit/verify"))
}

/// Begins one, or joins the one that somebody else has begun meanwhile.
async fn joined(state: &ApiState, asker: &Asker) -> Result<VerificationView, Problem> {
    match api::begun(state, asker, None).await {
        Err(problem) if problem.status() == StatusCode::CONFLICT => state.records.verifications.newest().ok_or(problem),
        begun => begun,
    }
}

/// Entries behind the head that a report was made for: signatures, which are lines of their own, are none.
fn written_since(report: &VerificationReport, newest: u64) -> u64 {
    newest.saturating_sub(head(report))
}

/// Whether lines that a report was made of are gone. The last one may be a signature, which is no entry.
fn is_shorter(report: &VerificationReport, newest: u64) -> bool {
    newest.saturating_add(1) < head(report)
}

fn head(report: &VerificationReport) -> u64 {
    report.head.split('/').next().and_then(|seq| seq.parse().ok()).unwrap_or(0)
}

async fn verification(state: &ApiState, asker: &Asker, known: Option<VerificationView>) -> Answer {
    let mut view = match known {
        Some(view) => view,
        None => joined(state, asker).await?,
    };
    // A short log is verified by the time that the page is there.
    for _ in 0..SHORT {
        if view.state != VerificationState::Running {
            break;
        }
        tokio::time::sleep(LOOK).await;
        view = state.records.verifications.newest().unwrap_or(view);
    }
    let newest = api::newest_entry(state, asker).await?;
    let is_running = view.state == VerificationState::Running;
    let report = view.report.map(|r| AuditVerified {
        intact: r.intact,
        files: r.files,
        entries: r.entries,
        signed: r.signed_seq,
        unsigned: r.unsigned_entries,
        since: written_since(&r, newest),
        is_shorter: is_shorter(&r, newest),
        head: r.head,
        problems: r.problems.into_iter().map(Inert::from).collect(),
        warnings: r.warnings.into_iter().map(Inert::from).collect(),
    });
    let page = AuditVerifyPage {
        shell: page::shell(state, asker, Section::Audit, "Verify the audit log").await?,
        is_running,
        by: view.by.into(),
        started: view.started,
        verified: view.verified,
        of: view.of,
        report,
    };
    let mut answer = page::answer(StatusCode::OK, &page, POLICY);
    if is_running {
        // The page comes again by itself, with or without scripts.
        answer.headers_mut().insert("refresh", HeaderValue::from_static("2"));
    }
    Ok(answer)
}

/// What was looked for, all of it, oldest first, one JSON object a line: what the API gives.
pub(crate) async fn download(
    State(state): State<ApiState>,
    asker: Asker,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    asker.may(Administration::ExportAudit)?;
    let Query(asked) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let wanted = asked.wanted().map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e))?;
    Ok(given_away(&state, &asker, wanted).await?)
}
