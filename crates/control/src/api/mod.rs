//! The REST interface under `/api/v1`.
mod about;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod chat;
mod classify;
mod condition;
pub(crate) mod connections;
mod describe;
mod explain;
pub(crate) mod guard;
pub(crate) mod holds;
pub(crate) mod keys;
mod operation;
pub(crate) mod page;
pub(crate) mod policies;
pub(crate) mod recordings;
mod records;
mod repeat;
pub(crate) mod replays;
mod secrets;
pub(crate) mod sessions;
pub(crate) mod time;
mod trace;
mod turns;
pub(crate) mod verify;

pub(crate) use guard::{Came, json_body};

use crate::{
    credentials::{self, CredentialAccess},
    desk::Desk,
    failures::Failures,
    metrics::Metrics,
    policies::PolicyBook,
    problem::Problem,
    rights::Rights,
    ssh::{self, SshAccess},
    types::LiveSession,
    web::{self, WebParts},
};
use axum::{Extension, Router, extract::DefaultBodyLimit, middleware, routing::get};
use doorward_enforce::{AuditSink, TraceSink};
use doorward_model::{AuditEvent, AuditKind, Principal, SessionId, Timestamp};
use doorward_notify::SlackButtons;
use doorward_signin::SignIn;
use doorward_store::Store;
use std::{collections::BTreeMap, fmt::Debug, future::poll_fn, path::PathBuf, sync::Arc, time::SystemTime};
use tokio::sync::{Semaphore, watch};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

/// Where all of it is.
pub(crate) const BASE: &str = "/api/v1";
const MAX_BODY: usize = 16 * 1024;
/// A secret in JSON, in which a character may take six.
const MAX_SECRET: usize = 512 * 1024;
/// A connection in JSON, with certificates and tags.
pub(crate) const MAX_SPEC: usize = 1 << 20;
/// A text of policies in JSON, in which a character may take six.
pub(crate) const MAX_POLICIES: usize = 6 * (1 << 20);

pub use connections::{ConnectionAccess, ConnectionFailure, Expected};
pub use doorward_signin::{TokenAnswer, TokenCheck};
pub use records::{ExportAccess, Records};
pub use secrets::{SecretAccess, SecretFailure};

/// The sessions that are open now.
pub trait LiveSessions: Send + Sync {
    /// All of them.
    fn list(&self) -> Vec<LiveSession>;
    /// Ends one with a message. False if it is not open.
    fn kill(&self, id: SessionId, message: &str) -> bool;
}

/// What the gateway cannot serve without.
pub trait Vitals: Send + Sync {
    /// What fails now: `audit`, `recording`, or `draining` where the gateway is about to stop.
    fn failing(&self) -> Vec<&'static str>;
}

/// Everything the interface needs.
#[derive(Clone)]
pub struct ApiState {
    /// Whose a token is.
    pub tokens: Arc<dyn TokenCheck>,
    /// Sessions, API keys, and signing in.
    pub signin: Arc<SignIn>,
    /// Where held requests wait.
    pub desk: Desk,
    /// What is known of them.
    pub store: Store,
    /// Hears of verdicts, of kills and of bad tokens.
    pub audit: Arc<dyn AuditSink>,
    /// Writes there who did not get in.
    pub failures: Failures,
    /// The open sessions.
    pub sessions: Arc<dyn LiveSessions>,
    /// Certificates for SSH.
    pub ssh: Arc<dyn SshAccess>,
    /// Short-lived credentials.
    pub credentials: Arc<dyn CredentialAccess>,
    /// Who may administer what.
    pub rights: Arc<Rights>,
    /// The policies, and how they are changed.
    pub book: PolicyBook,
    /// The folder of the audit log.
    pub audit_dir: PathBuf,
    /// Connections, and what serves them.
    pub connections: Arc<dyn ConnectionAccess>,
    /// Secrets: written, never read.
    pub secrets: Arc<dyn SecretAccess>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the gateway cannot do without.
    pub vitals: Arc<dyn Vitals>,
    /// How many back-tests may run at once.
    pub back_tests: Arc<Semaphore>,
    /// The audit log, recordings, exporters, issuers.
    pub records: Arc<Records>,
    /// Buttons in Slack, by the name of what tells people there.
    pub slack: Arc<BTreeMap<String, SlackButtons>>,
    /// The web pages; none: there are no pages.
    pub web: Option<Arc<WebParts>>,
    /// Traces, where they are switched on.
    pub traces: Option<Arc<dyn TraceSink>>,
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
    let mut closed = closed
        .route_layer(middleware::from_fn_with_state(state.clone(), repeat::repeat))
        .route_layer(middleware::from_fn_with_state(state.clone(), guard::authenticate));
    if let Some(traces) = &state.traces {
        closed = closed.route_layer(middleware::from_fn_with_state(Arc::clone(traces), trace::observe));
    }
    // Where probes and scrapers look for them.
    let metrics = Router::new().route("/metrics", get(operation::metrics));
    let metrics = metrics.route_layer(middleware::from_fn_with_state(state.clone(), guard::authenticate));
    let probes = Router::new().route("/healthz", get(operation::health)).route("/readyz", get(operation::ready));
    Router::new()
        .nest(BASE, closed.merge(open))
        .merge(metrics)
        .merge(probes)
        .merge(crate::signin::routes())
        .merge(web::router(&state))
        .fallback(web::nowhere)
        .method_not_allowed_fallback(web::not_so)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(Extension(shutdown))
        .layer(middleware::from_fn(guard::frame))
        .with_state(state)
}

/// Endpoints that need no identity.
fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(operation::health)).routes(routes!(operation::ready))
}

/// Endpoints that do.
fn closed() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::watch))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(approvals::break_glass))
        .routes(routes!(ssh::issue))
        .routes(routes!(ssh::endpoints))
        .routes(routes!(credentials::issue))
        .routes(routes!(audit::trail))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::show))
        .routes(routes!(verify::begin))
        .routes(routes!(verify::show))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(recordings::show))
        .routes(routes!(recordings::content))
        .routes(routes!(recordings::cast))
        .routes(routes!(recordings::list_steps))
        .routes(routes!(recordings::verify))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::revoke))
        .routes(routes!(chat::list))
        .routes(routes!(chat::remove))
        .routes(routes!(holds::list))
        .routes(routes!(holds::show, holds::place, holds::release))
        .routes(routes!(about::exports))
        .routes(routes!(about::issuers))
        .routes(routes!(about::principals))
        .routes(routes!(about::groups))
        .routes(routes!(about::tags))
        .routes(routes!(sessions::kill))
        .routes(routes!(policies::show))
        .routes(routes!(policies::check).layer(DefaultBodyLimit::max(MAX_POLICIES)))
        .routes(routes!(policies::versions, policies::create).layer(DefaultBodyLimit::max(MAX_POLICIES)))
        .routes(routes!(policies::one))
        .routes(routes!(policies::diff))
        .routes(routes!(policies::back_test))
        .routes(routes!(policies::activate))
        .routes(routes!(connections::list, connections::create).layer(DefaultBodyLimit::max(MAX_SPEC)))
        .routes(
            routes!(connections::show, connections::change, connections::remove).layer(DefaultBodyLimit::max(MAX_SPEC)),
        )
        .routes(routes!(connections::test))
        .routes(routes!(classify::classify))
        .routes(routes!(explain::explain_statement).layer(DefaultBodyLimit::max(MAX_SPEC)))
        .routes(routes!(connections::try_out).layer(DefaultBodyLimit::max(MAX_SPEC)))
        .routes(routes!(operation::metrics))
        .routes(routes!(secrets::rewrap))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::show, secrets::put, secrets::delete).layer(DefaultBodyLimit::max(MAX_SECRET)))
}

/// The description of the interface (OpenAPI 3.1), made from the endpoints themselves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, open) = open().split_for_parts();
    let (_, closed) = closed().split_for_parts();
    describe::whole(open, closed)
}

/// Writes down what somebody with an administrative right does: durable before it returns.
pub(crate) async fn administered(
    state: &ApiState,
    who: &Principal,
    session: Option<SessionId>,
    what: String,
) -> Result<(), Problem> {
    let kind = AuditKind::Administration { by: who.to_string(), what };
    let ticket = state.audit.append(&AuditEvent { time: now(), session, parties: who.parties().map(Arc::new), kind });
    let ticket = ticket.map_err(|e| Problem::unavailable(&e))?;
    poll_fn(|cx| state.audit.poll_committed(ticket, cx)).await.map_err(|e| Problem::unavailable(&e))
}
