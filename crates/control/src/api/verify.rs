//! Verifications of the whole audit log: they take as long as they take, one at a time.
use super::{ApiState, guard::json_body, now, records::Records};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{NewVerification, VerificationReport, VerificationState, VerificationView},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use doorward_model::Administration;
use doorward_record::{Head, VerifyOptions, keys, verify_log};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use uuid::Uuid;

/// Verifications that are remembered.
const KEPT: usize = 50;

/// Verifications, by id: version 7, so that the oldest are first.
#[derive(Debug, Default)]
pub(crate) struct Verifications(Mutex<BTreeMap<String, VerificationView>>);

impl Verifications {
    fn begin(&self, by: String) -> Result<VerificationView, Problem> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = known.values().find(|v| v.state == VerificationState::Running) {
            let why = format!("verification {} is running: ask for it, or try again when it has ended", running.id);
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
        while known.len() >= KEPT {
            known.pop_first();
        }
        let id = Uuid::now_v7().to_string();
        let view = VerificationView { id, by, started: now(), state: VerificationState::Running, report: None };
        known.insert(view.id.clone(), view.clone());
        Ok(view)
    }

    fn end(&self, id: &str, report: Option<VerificationReport>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = known.get_mut(id).filter(|v| v.state == VerificationState::Running) {
            view.state = if report.is_some() { VerificationState::Done } else { VerificationState::Failed };
            view.report = report;
        }
    }

    fn find(&self, id: &str) -> Option<VerificationView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// A verification that runs: whatever becomes of it, it ends.
struct Running {
    records: Arc<Records>,
    id: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.records.verifications.end(&self.id, None);
    }
}

/// Verifies the whole audit log: that no entry was changed, removed, reordered or cut off. It goes on by itself: ask for
/// the verification until it is done.
#[utoipa::path(post, path = "/audit/verifications", tag = "audit",
    request_body(content = Option<NewVerification>, content_type = "application/json"),
    responses((status = 202, description = "it runs", body = VerificationView,
        headers(("location" = String, description = "where to ask for it"))), Problems))]
pub(super) async fn begin(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    asker.may(Administration::ExportAudit)?;
    let asked: NewVerification = match &body {
        Ok(bytes) if bytes.is_empty() => NewVerification::default(),
        Ok(_) | Err(_) => json_body(&headers, body)?,
    };
    let wrong =
        |_| Problem::new(StatusCode::BAD_REQUEST, "`at_least` is not a head (`seq/hash`) as a verification gives it");
    let at_least: Option<Head> = asked.at_least.as_deref().map(str::parse).transpose().map_err(wrong)?;
    let view = state.records.verifications.begin(asker.who.id())?;
    let (running, place) = (
        Running { records: state.records, id: view.id.clone() },
        format!("{}/audit/verifications/{}", super::BASE, view.id),
    );
    tokio::task::spawn_blocking(move || {
        let records = &running.records;
        let key = keys::load_public(&records.evidence.keys.join(keys::PUBLIC_KEY_FILE)).map_err(std::io::Error::other);
        let options = VerifyOptions { at_least, ..VerifyOptions::default() };
        let report = key.and_then(|key| verify_log(&records.evidence.audit, &key, &options));
        if let Err(why) = &report {
            tracing::error!(%why, "the audit log cannot be verified");
        }
        records.verifications.end(&running.id, report.ok().as_ref().map(VerificationReport::from));
    });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(view)).into_response())
}

/// A verification, and what came of it. The last 50 are known, until the gateway ends.
#[utoipa::path(get, path = "/audit/verifications/{id}", tag = "audit", params(("id" = String, Path, description = "which")),
    responses((status = 200, description = "how far it is", body = VerificationView), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<VerificationView>, Problem> {
    asker.may(Administration::ExportAudit)?;
    state.records.verifications.find(&id).map(Json).ok_or_else(|| Problem::not_found("verification"))
}

#[cfg(test)]
mod tests {
    use super::{super::records::tests::records, *};

    #[tokio::test]
    async fn one_that_panics_has_failed_and_holds_up_no_other() {
        let records = Arc::new(records());
        let begun = records.verifications.begin("corp/ada".into()).unwrap();
        assert!(records.verifications.begin("corp/bob".into()).is_err(), "one at a time");
        let running = Running { records: Arc::clone(&records), id: begun.id.clone() };
        let task = tokio::task::spawn_blocking(move || {
            let _running = running;
            panic!("a log that nobody thought of");
        });
        assert!(task.await.is_err());
        assert_eq!(records.verifications.find(&begun.id).unwrap().state, VerificationState::Failed);
        let next = records.verifications.begin("corp/bob".into()).unwrap();
        let report = VerificationReport {
            intact: true,
            files: 1,
            entries: 1,
            begins_after: None,
            head: "1/ab".into(),
            signed_seq: 1,
            unsigned_entries: 0,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let running = Running { records: Arc::clone(&records), id: next.id.clone() };
        records.verifications.end(&running.id, Some(report));
        drop(running);
        assert_eq!(
            records.verifications.find(&next.id).unwrap().state,
            VerificationState::Done,
            "what is done stays so"
        );
    }
}
