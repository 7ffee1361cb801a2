//! The audit log: looked through, verified, downloaded.
use super::{
    Parts,
    page::{self, Answer},
    sessions::blocking,
};
use crate::{
    api::{ApiState, administered, time},
    evidence::{Evidence, MOST_ENTRIES, has},
    problem::Problem,
    rights::Asker,
};
use axum::{
    Extension,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::IntoResponse as _,
};
use doorward_model::{AUDIT_KINDS, Administration, AuditKind, AuditOutcome as Outcome, SessionId, Timestamp};
use doorward_record::{Entry, VerifyOptions, keys, verify_log};
use doorward_ui::{AuditLine, AuditPage, AuditSearch, AuditVerifyPage, Inert, Section};
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io,
    ops::ControlFlow,
};
use tokio::sync::mpsc;

/// Entries on a page.
const PAGE: usize = 100;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
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

/// What is looked for, read.
#[derive(Clone, Debug, Default)]
struct Wanted {
    principal: String,
    connection: String,
    event: String,
    outcome: Option<Outcome>,
    text: String,
    session: Option<SessionId>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Sessions of the principal and connection, where these are looked for.
    sessions: Option<HashSet<SessionId>>,
}

impl Asked {
    fn wanted(&self) -> Result<Wanted, String> {
        let session = self.session.trim();
        let event = self.event.trim();
        if !event.is_empty() && !AUDIT_KINDS.contains(&event) {
            return Err(format!("`{event}` is no kind of entry"));
        }
        Ok(Wanted {
            principal: self.principal.trim().to_owned(),
            connection: self.connection.trim().to_owned(),
            event: event.to_owned(),
            outcome: self.outcome.parse().ok(),
            text: self.text.trim().to_owned(),
            session: match session {
                "" => None,
                text => Some(text.parse().map_err(|_| format!("`{text}` is not a session"))?),
            },
            since: time::read(&self.since)?,
            until: time::read(&self.until)?,
            sessions: None,
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

impl Wanted {
    fn wants(&self, entry: &Entry) -> bool {
        let event = &entry.event;
        let is = |outcome: Outcome| matches!(&event.kind, AuditKind::Request { outcome: o, .. } if *o == outcome);
        self.since.is_none_or(|t| event.time >= t)
            && self.until.is_none_or(|t| event.time < t)
            && self.session.is_none_or(|s| event.session == Some(s))
            && self.outcome.is_none_or(is)
            && (self.event.is_empty() || event.kind.name() == self.event)
            && has(&entry.json, &self.text)
            && self.wants_whose(entry)
    }

    fn wants_whose(&self, entry: &Entry) -> bool {
        let Some(sessions) = &self.sessions else { return true };
        if entry.event.session.is_some_and(|s| sessions.contains(&s)) {
            return true;
        }
        let by = entry.event.kind.done_by();
        self.connection.is_empty() && by.is_some_and(|by| has(by, &self.principal))
    }

    /// Finds out which sessions are meant.
    fn resolve(&mut self, evidence: &Evidence) -> io::Result<()> {
        if self.principal.is_empty() && self.connection.is_empty() {
            return Ok(());
        }
        let mut seen: HashMap<SessionId, (bool, bool)> = HashMap::new();
        evidence.look(None, |entry| {
            if let Some(id) = entry.event.session {
                let (principal, connection) = seen.entry(id).or_default();
                if let AuditKind::Authenticated { principal: p, .. } = &entry.event.kind {
                    *principal |= has(&p.id(), &self.principal);
                }
                if let AuditKind::SessionOpened { connection: c, .. } = &entry.event.kind {
                    *connection |= has(c.as_str(), &self.connection);
                }
            }
            ControlFlow::Continue(())
        })?;
        let fits = |(principal, connection): &(bool, bool)| {
            (*principal || self.principal.is_empty()) && (*connection || self.connection.is_empty())
        };
        self.sessions = Some(seen.iter().filter(|(_, s)| fits(s)).map(|(id, _)| *id).collect());
        Ok(())
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

/// A page of lines, and the `before` of the next.
fn found(evidence: &Evidence, mut wanted: Wanted, before: Option<u64>) -> io::Result<(Vec<AuditLine>, Option<u64>)> {
    wanted.resolve(evidence)?;
    let mut lines = Vec::new();
    let mut last = None;
    let cut = evidence.look(before, |entry| {
        if wanted.since.is_some_and(|t| entry.event.time < t) {
            last = None;
            return ControlFlow::Break(());
        }
        if wanted.wants(&entry) {
            if lines.len() == PAGE {
                return ControlFlow::Break(());
            }
            lines.push(line(&entry));
        }
        last = Some(entry.seq);
        ControlFlow::Continue(())
    })?;
    let more = cut || lines.len() == PAGE;
    Ok((lines, last.filter(|_| more)))
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    asker.may(Administration::ViewAudit)?;
    let Query(asked) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let (wanted, problem) = match asked.wanted() {
        Ok(wanted) => (Some(wanted), None),
        Err(problem) => (None, Some(problem)),
    };
    let before = asked.before;
    let (lines, next) = match wanted {
        Some(wanted) => blocking(move || found(&parts.evidence, wanted, before)).await??,
        None => (Vec::new(), None),
    };
    page::ok(&AuditPage {
        shell: page::shell(&state, &asker, Section::Audit, "Audit").await?,
        lines,
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
    })
}

pub(crate) async fn verify(State(state): State<ApiState>, asker: Asker, Extension(parts): Parts) -> Answer {
    asker.may(Administration::ExportAudit)?;
    let report = blocking(move || {
        let key = keys::load_public(&parts.evidence.keys.join(keys::PUBLIC_KEY_FILE)).map_err(io::Error::other)?;
        verify_log(&parts.evidence.audit, &key, &VerifyOptions::default())
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

/// What was looked for, newest first, one JSON object a line, as far as a page looks.
pub(crate) async fn download(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    asker.may(Administration::ExportAudit)?;
    let Query(asked) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let mut wanted = asked.wanted().map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e))?;
    administered(&state, &asker.who, None, "download a part of the audit log".to_owned()).await?;
    let (lines, receiver) = mpsc::channel::<io::Result<String>>(64);
    tokio::task::spawn_blocking(move || {
        let looked = wanted.resolve(&parts.evidence).and_then(|()| {
            parts.evidence.look(asked.before, |entry| {
                let line = wanted.wants(&entry).then(|| json_line(&entry));
                match line.map(|line| lines.blocking_send(Ok(line))) {
                    None | Some(Ok(())) => ControlFlow::Continue(()),
                    Some(Err(_gone)) => ControlFlow::Break(()),
                }
            })
        });
        match looked {
            Ok(false) => {}
            Ok(true) => {
                let note = format!(
                    "{{\"cut\":\"only the newest {MOST_ENTRIES} entries were looked at; `doorward audit export` has all\"}}\n"
                );
                let _gone = lines.blocking_send(Ok(note));
            }
            Err(e) => {
                let _gone = lines.blocking_send(Err(e));
            }
        }
    });
    let body = stream::unfold(receiver, |mut r| async move { r.recv().await.map(|line| (line, r)) });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"doorward-audit.jsonl\""),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn json_line(entry: &Entry) -> String {
    format!("{{\"seq\":{},\"hash\":\"{}\",\"entry\":{}}}\n", entry.seq, entry.hash, entry.json)
}
