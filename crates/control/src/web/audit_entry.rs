//! One entry of the audit log; of a request, how it would be decided by the policies of now, or by a version.
use super::{
    audit,
    page::{self, Answer},
    policies::shown_explanation,
};
use crate::{
    api::{ApiState, policies as api},
    evidence::Evidence,
    policies::source,
    problem::Problem,
    rights::Asker,
};
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use doorward_enforce::Subject;
use doorward_model::{Administration, AuditKind};
use doorward_policy::{Engine, explain};
use doorward_record::{Entry, find_entry};
use doorward_ui::{Again, AuditEntryPage, Explanation, Inert, Section};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Versions by which a request can be decided again.
const VERSIONS: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct By {
    /// A version of the policies; empty: those in force.
    version: String,
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(seq): Path<String>,
    query: Result<Query<By>, QueryRejection>,
) -> Answer {
    asker.may(Administration::ViewAudit)?;
    let Query(By { version }) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let none = || Problem::not_found("audit entry");
    let seq: u64 = seq.parse().map_err(|_| none())?;
    let found = state.records.read(&asker.who, move |evidence| find_entry(&evidence.audit, seq));
    let entry = found.await??.ok_or_else(none)?;
    let json: Value = serde_json::from_str(&entry.json).unwrap_or_default();
    let page = AuditEntryPage {
        shell: page::shell(&state, &asker, Section::Audit, format!("Audit entry {seq}")).await?,
        line: audit::line(&entry),
        hash: entry.hash.to_string(),
        json: serde_json::to_string_pretty(&json).unwrap_or_default().into(),
        again: again(&state, &asker, entry, version.trim()).await?,
    };
    page::ok(&page)
}

/// A request decided again, for whom may see policies.
async fn again(state: &ApiState, asker: &Asker, entry: Entry, version: &str) -> Result<Option<Again>, Problem> {
    let is_request = matches!(entry.event.kind, AuditKind::Request { .. }) && entry.event.session.is_some();
    if !is_request || asker.may(Administration::ViewPolicies).is_err() {
        return Ok(None);
    }
    let by = if version.is_empty() { None } else { Some(api::number(version)?) };
    let text = match by {
        Some(id) => Some(source(id, api::version(state, id).await?.text)),
        None => None,
    };
    let versions = api::list_versions(state, asker, &api::some_versions(None, VERSIONS)?).await?.versions;
    let with = state.clone();
    let decide = move |evidence: &Evidence| -> Result<Explanation, Inert> {
        let failed = |e: &dyn std::fmt::Display| Inert::from(e.to_string());
        let engine = match text {
            Some(text) => Arc::new(Engine::new(with.book.with(Some(text)).map_err(|e| failed(&e))?)),
            None => Arc::clone(with.book.engine()),
        };
        let unknown = || Inert::from("it is not known any more who asked");
        let session = entry.event.session.ok_or_else(unknown)?;
        let (principal, connection, client_ip) =
            evidence.who_asked(session, entry.seq).map_err(|e| failed(&e))?.ok_or_else(unknown)?;
        let connection = with.rights.info(&connection);
        // What the log does not have counts as it does in back-tests.
        let subject = Arc::new(Subject { session, principal, connection, client_ip, tls: true });
        let AuditKind::Request { facts, .. } = &entry.event.kind else { return Err(unknown()) };
        Ok(shown_explanation(explain(&engine, &subject, facts, entry.event.time)))
    };
    let answer = state.records.read(&asker.who, decide).await?;
    Ok(Some(Again { by, versions: versions.into_iter().map(|v| v.id).collect(), answer }))
}
