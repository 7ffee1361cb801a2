//! Verifications of the whole audit log: they take as long as they take, one at a time.
use super::{ApiState, guard::json_body, now, records::Records};
use crate::{
    evidence::Evidence,
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
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use uuid::Uuid;

/// Verifications that are remembered.
const KEPT: usize = 50;

/// Verifications, by id: version 7, so that the oldest are first.
#[derive(Debug, Default)]
pub(crate) struct Verifications(Mutex<BTreeMap<String, Kept>>);

#[derive(Debug)]
struct Kept {
    view: VerificationView,
    /// The number of the last line that was read.
    verified: Arc<AtomicU64>,
    /// Whether it was asked for a head that the log is known to have had.
    has_condition: bool,
}

impl Kept {
    fn view(&self) -> VerificationView {
        VerificationView { verified: self.verified.load(Relaxed), ..self.view.clone() }
    }
}

impl Verifications {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, by: String, has_condition: bool, of: u64) -> Result<(VerificationView, Arc<AtomicU64>), Problem> {
        let mut known = self.known();
        if let Some(running) = known.values().find(|v| v.view.state == VerificationState::Running) {
            let id = &running.view.id;
            let why = format!("verification {id} is running: ask for it, or try again when it has ended");
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
        while known.len() >= KEPT {
            known.pop_first();
        }
        let (id, state, verified) =
            (Uuid::now_v7().to_string(), VerificationState::Running, Arc::<AtomicU64>::default());
        let view = VerificationView { id, by, started: now(), state, verified: 0, of, report: None };
        known.insert(view.id.clone(), Kept { view: view.clone(), verified: Arc::clone(&verified), has_condition });
        Ok((view, verified))
    }

    fn end(&self, id: &str, report: Option<VerificationReport>) {
        let mut known = self.known();
        if let Some(kept) = known.get_mut(id).filter(|v| v.view.state == VerificationState::Running) {
            kept.view.state = if report.is_some() { VerificationState::Done } else { VerificationState::Failed };
            kept.view.report = report;
        }
    }

    fn find(&self, id: &str) -> Option<VerificationView> {
        self.known().get(id).map(Kept::view)
    }

    /// The one that runs, or else the newest of the whole log; those that asked for a head of their own are whose they are.
    pub(crate) fn newest(&self) -> Option<VerificationView> {
        let known = self.known();
        let running = known.values().find(|v| v.view.state == VerificationState::Running);
        running.or_else(|| known.values().rev().find(|v| !v.has_condition)).map(Kept::view)
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
    let view = begun(&state, &asker, at_least).await?;
    let place = format!("{}/audit/verifications/{}", super::BASE, view.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(view)).into_response())
}

/// Begins one, which goes on by itself. What it reads is what the log has when it comes there.
pub(crate) async fn begun(
    state: &ApiState,
    asker: &Asker,
    at_least: Option<Head>,
) -> Result<VerificationView, Problem> {
    asker.may(Administration::ExportAudit)?;
    let of = newest_entry(state, asker).await?;
    let (view, progress) = state.records.verifications.begin(asker.who.id(), at_least.is_some(), of)?;
    let running = Running { records: Arc::clone(&state.records), id: view.id.clone() };
    tokio::task::spawn_blocking(move || {
        let records = &running.records;
        let key = keys::load_public(&records.evidence.keys.join(keys::PUBLIC_KEY_FILE)).map_err(std::io::Error::other);
        let options = VerifyOptions { at_least, progress: Some(progress), ..VerifyOptions::default() };
        let report = key.and_then(|key| verify_log(&records.evidence.audit, &key, &options));
        if let Err(why) = &report {
            tracing::error!(%why, "the audit log cannot be verified");
        }
        records.verifications.end(&running.id, report.ok().as_ref().map(VerificationReport::from));
    });
    Ok(view)
}

/// The number of the newest entry of the log; 0 where there is none that can be read.
pub(crate) async fn newest_entry(state: &ApiState, asker: &Asker) -> Result<u64, Problem> {
    let newest = |evidence: &Evidence| {
        let mut newest = 0;
        let read = evidence.look(None, |entry| {
            newest = entry.seq;
            ControlFlow::Break(())
        });
        // What cannot be read is the verification's to find.
        read.map_or(0, |_| newest)
    };
    state.records.read(&asker.who, newest).await
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
        let begin = |by: &str, has_condition| records.verifications.begin(by.into(), has_condition, 9);
        let (begun, progress) = begin("corp/ada", false).unwrap();
        assert!(begin("corp/bob", false).is_err(), "one at a time");
        progress.store(4, Relaxed);
        let found = records.verifications.newest().unwrap();
        assert_eq!((found.id, found.verified, found.of), (begun.id.clone(), 4, 9), "who joins sees how far it is");
        let running = Running { records: Arc::clone(&records), id: begun.id.clone() };
        let task = tokio::task::spawn_blocking(move || {
            let _running = running;
            panic!("a log that nobody thought of");
        });
        assert!(task.await.is_err());
        assert_eq!(records.verifications.find(&begun.id).unwrap().state, VerificationState::Failed);
        let (next, _) = begin("corp/bob", false).unwrap();
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
        let (own, _) = begin("corp/bob", true).unwrap();
        assert_eq!(records.verifications.newest().unwrap().id, own.id, "it runs");
        records.verifications.end(&own.id, None);
        assert_eq!(records.verifications.newest().unwrap().id, next.id, "one with a head of somebody's own is theirs");
    }
}
