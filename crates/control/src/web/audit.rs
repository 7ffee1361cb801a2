//! The audit log: looked through, verified, downloaded.
use super::page::{self, Answer};
use crate::{
    api::{
        ApiState,
        audit::{Wanted, given_away, some},
        time,
    },
    problem::Problem,
    rights::Asker,
};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use doorward_model::{AUDIT_KINDS, Administration, AuditKind};
use doorward_record::{Entry, VerifyOptions, keys, verify_log};
use doorward_ui::{AuditLine, AuditPage, AuditSearch, AuditVerifyPage, Inert, POLICY, Section};
use serde::Deserialize;
use serde_json::Value;
use std::{fmt::Write as _, io};

/// Entries on a page.
const PAGE: usize = 100;

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

pub(crate) async fn verify(State(state): State<ApiState>, asker: Asker) -> Answer {
    asker.may(Administration::ExportAudit)?;
    let report = state.records.read(&asker.who, |evidence| {
        let key = keys::load_public(&evidence.keys.join(keys::PUBLIC_KEY_FILE)).map_err(io::Error::other)?;
        verify_log(&evidence.audit, &key, &VerifyOptions::default())
    });
    let report = report.await??;
    let said = |findings: &[doorward_record::Finding]| findings.iter().map(|f| Inert::from(f.to_string())).collect();
    page::ok(&AuditVerifyPage {
        shell: page::shell(&state, &asker, Section::Audit, "Verify the audit log").await?,
        intact: report.is_intact(),
        files: report.files,
        entries: report.entries,
        signed: report.signed_seq,
        unsigned: report.unsigned_entries,
        head: report.head.to_string(),
        problems: said(&report.problems),
        warnings: said(&report.warnings),
    })
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
