//! Whether the gateway answers, whether it can serve, and its numbers.
use super::ApiState;
use crate::{
    metrics::Readings,
    problem::{Problem, Problems},
    rights::Asker,
    types::{Health, Readiness},
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use doorward_enforce::DecisionPoint as _;
use doorward_model::Administration;
use doorward_store::ApprovalState;

/// OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the gateway answers.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, description = "it does", body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok".into() })
}

/// Whether the gateway can serve: the store can be read, recordings and the audit log reach the disk, and it is not about
/// to stop. Reasons are in the program's log.
#[utoipa::path(get, path = "/ready", tag = "operation",
    responses((status = 200, description = "it can", body = Readiness), (status = 503, description = "it cannot", body = Readiness)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Response {
    let store = state.store.approvals(Some(ApprovalState::Pending), None, 1).await.is_ok();
    let mut failing: Vec<String> = state.vitals.failing().into_iter().map(ToOwned::to_owned).collect();
    failing.extend((!store).then(|| "store".to_owned()));
    let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: failing.is_empty(), failing })).into_response()
}

/// Numbers for Prometheus, in OpenMetrics' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "the numbers", content_type = "application/openmetrics-text", body = String), Problems))]
pub(super) async fn metrics(State(state): State<ApiState>, asker: Asker) -> Result<Response, Problem> {
    asker.may(Administration::ViewMetrics)?;
    let names = asker.connections().into_iter().map(|c| (c, 0));
    let mut live: std::collections::BTreeMap<String, u64> = names.collect();
    for session in state.sessions.list() {
        *live.entry(session.connection).or_default() += 1;
    }
    let readings = Readings {
        live,
        pending: state.desk.pending(),
        recording_is_healthy: !state.vitals.failing().contains(&"recording"),
        policy_generation: state.book.engine().generation(),
        exports: state.records.exports.list(),
        spans: state.traces.as_ref().map(|t| t.counts()).unwrap_or_default(),
    };
    let text = state.metrics.text(&readings).map_err(|e| Problem::unavailable(&e))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
