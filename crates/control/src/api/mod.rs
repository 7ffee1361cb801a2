//! The REST interface under `/api/v1`.
mod approvals;
mod guard;
mod sessions;

pub(crate) use guard::json_body;

use crate::{
    credentials::{self, CredentialAccess},
    desk::Desk,
    problem::Problem,
    ssh::{self, SshAccess},
    types::LiveSession,
};
use axum::{
    Extension, Json, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    routing::{get, post},
};
use doorward_enforce::AuditSink;
use doorward_model::{Principal, SessionId, Timestamp};
use doorward_store::Store;
use std::{collections::BTreeSet, fmt::Debug, future::Future, pin::Pin, sync::Arc, time::SystemTime};
use tokio::sync::watch;

const MAX_BODY: usize = 16 * 1024;

/// Answers who holds a token, or why it is not good.
pub type TokenAnswer<'a> = Pin<Box<dyn Future<Output = Result<Principal, String>> + Send + 'a>>;

/// Says whose a bearer token is.
pub trait TokenCheck: Send + Sync {
    /// The principal, or for the audit log why the token is not good. The reason holds no part of the token.
    fn check<'a>(&'a self, token: &'a str) -> TokenAnswer<'a>;
}

/// The sessions that are open now.
pub trait LiveSessions: Send + Sync {
    /// All of them.
    fn list(&self) -> Vec<LiveSession>;
    /// Ends one with a message. False if it is not open.
    fn kill(&self, id: SessionId, message: &str) -> bool;
}

/// Everything the interface needs.
#[derive(Clone)]
pub struct ApiState {
    /// Whose a token is.
    pub tokens: Arc<dyn TokenCheck>,
    /// Where held requests wait.
    pub desk: Desk,
    /// What is known of them.
    pub store: Store,
    /// Hears of verdicts, of kills and of bad tokens.
    pub audit: Arc<dyn AuditSink>,
    /// The open sessions.
    pub sessions: Arc<dyn LiveSessions>,
    /// Certificates for SSH.
    pub ssh: Arc<dyn SshAccess>,
    /// Short-lived credentials.
    pub credentials: Arc<dyn CredentialAccess>,
    /// Members of any of these groups see and end sessions. Empty: nobody does.
    pub operators: Arc<BTreeSet<String>>,
}

impl Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiState")
    }
}

pub(crate) type Caller = Extension<Arc<Principal>>;

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// All routes. What is not `health` passes [`authenticate`] first.
pub(crate) fn router(state: ApiState, shutdown: watch::Receiver<bool>) -> Router {
    let closed = Router::new()
        .route("/approvals", get(approvals::list))
        .route("/approvals/watch", get(approvals::watch))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/approve", post(approvals::approve))
        .route("/approvals/{id}/deny", post(approvals::deny))
        .route("/ssh/certificates", post(ssh::issue))
        .route("/ssh/endpoints", get(ssh::endpoints))
        .route("/credentials", post(credentials::issue))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}/kill", post(sessions::kill))
        .route_layer(middleware::from_fn_with_state(state.clone(), guard::authenticate));
    let open = Router::new().route("/health", get(health));
    Router::new()
        .nest("/api/v1", closed.merge(open))
        .fallback(async || Problem::not_found("resource"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(Extension(shutdown))
        .layer(middleware::from_fn(guard::frame))
        .with_state(state)
}

async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}
