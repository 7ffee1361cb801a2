//! The REST interface under `/api/v1`.
mod approvals;
mod describe;
mod guard;
mod sessions;

pub(crate) use guard::json_body;

use crate::{
    credentials::{self, CredentialAccess},
    desk::Desk,
    problem::Problem,
    rights::Rights,
    ssh::{self, SshAccess},
    types::{Health, LiveSession},
};
use axum::{Extension, Json, Router, extract::DefaultBodyLimit, http::StatusCode, middleware};
use doorward_enforce::AuditSink;
use doorward_model::{Principal, SessionId, Timestamp};
use doorward_store::Store;
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc, time::SystemTime};
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where all of it is.
pub(crate) const BASE: &str = "/api/v1";
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
    /// Who may administer what.
    pub rights: Arc<Rights>,
}

impl Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiState")
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// All routes. What is not `health` passes [`authenticate`] first.
pub(crate) fn router(state: ApiState, shutdown: watch::Receiver<bool>) -> Router {
    let (closed, _) = closed().split_for_parts();
    let (open, _) = open().split_for_parts();
    let closed = closed.route_layer(middleware::from_fn_with_state(state.clone(), guard::authenticate));
    Router::new()
        .nest(BASE, closed.merge(open))
        .fallback(async || Problem::not_found("resource"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(Extension(shutdown))
        .layer(middleware::from_fn(guard::frame))
        .with_state(state)
}

/// Endpoints that need no identity.
fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(health))
}

/// Endpoints that do.
fn closed() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::watch))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(ssh::issue))
        .routes(routes!(ssh::endpoints))
        .routes(routes!(credentials::issue))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::kill))
}

/// The description of the interface (OpenAPI 3.1), made from the endpoints themselves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, open) = open().split_for_parts();
    let (_, closed) = closed().split_for_parts();
    describe::whole(open, closed)
}

/// Whether the gateway answers.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, description = "it does", body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok".into() })
}
