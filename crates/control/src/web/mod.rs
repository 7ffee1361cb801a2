//! The web pages, under `/`.
//!
//! A page asks what the API asks, with the same functions, and shows it. Who is not signed in is sent to the sign-in
//! page; whatever changes something is a POST from a page of ours, and works without script.
mod approvals;
mod audit;
mod audit_entry;
mod connection_form;
mod connections;
mod docs;
mod overview;
mod page;
mod policies;
mod policy_versions;
mod replay;
mod sessions;
mod settings;
mod sign_in;
mod tags;

pub use settings::{IssuerView, NotifierView, SetUp};

use crate::{
    api::{ApiState, MAX_POLICIES, MAX_SPEC, now},
    problem::Problem,
};
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, OriginalUri, Request, State},
    handler::Handler,
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use doorward_signin::{By, Refused};
use doorward_store::SessionPurpose;
use page::Failure;
use std::{fmt::Debug, sync::Arc};

/// What the pages need beyond the API's state.
pub struct WebParts {
    /// How the gateway is set up.
    pub set_up: SetUp,
    /// Where people reach the pages.
    pub public_url: String,
    /// The host of that.
    pub public_host: String,
}

impl Debug for WebParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebParts")
    }
}

/// The state of the pages.
pub(crate) type Parts = Extension<Arc<WebParts>>;

impl WebParts {
    /// Pages of a gateway that people reach at `public_url`.
    pub fn new(set_up: SetUp, public_url: &str) -> Self {
        let rest = public_url.split_once("://").map_or(public_url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        Self { set_up, public_url: public_url.to_owned(), public_host: host.to_owned() }
    }
}

/// All pages. None without [`ApiState::web`].
pub(crate) fn router(state: &ApiState) -> Router<ApiState> {
    let Some(parts) = state.web.clone() else { return Router::new() };
    let closed = Router::new()
        .route("/approvals", get(approvals::inbox))
        .route("/approvals/events", get(approvals::inbox_events))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/events", get(approvals::events))
        .route("/approvals/{id}/approve", post(approvals::approve))
        .route("/approvals/{id}/deny", post(approvals::deny))
        .route("/approvals/{id}/break-glass", post(approvals::break_glass))
        .route("/", get(overview::show))
        .route("/audit", get(audit::list))
        .route("/audit.jsonl", get(audit::download))
        .route("/audit/verify", get(audit::verify).post(audit::verify_anew))
        .route("/audit/{seq}", get(audit_entry::show))
        .route("/connections", get(connections::list))
        .route("/connections/{name}", get(connections::show))
        .route("/connections/{name}/test", post(connections::test))
        .route("/connections/{name}/credential", post(connections::replace).layer(DefaultBodyLimit::max(MAX_SPEC)))
        .route("/connections/{name}/remove", post(connections::remove))
        .route("/connections/{name}/edit", form(connection_form::edit, connection_form::change))
        .route("/new-connection", form(connection_form::new, connection_form::create))
        .route("/tags", get(tags::show))
        .route("/tags/{connection}/add", post(tags::add))
        .route("/tags/{connection}/remove", post(tags::remove))
        .route("/policies", get(policies::show))
        .route("/policies/edit", get(policy_versions::edit))
        .route("/policies/check", post(policy_versions::check).layer(DefaultBodyLimit::max(MAX_POLICIES)))
        .route("/policies/versions", post(policy_versions::write).layer(DefaultBodyLimit::max(MAX_POLICIES)))
        .route("/policies/versions/{id}", get(policy_versions::show))
        .route("/policies/versions/{id}/back-test", post(policy_versions::back_test))
        .route("/policies/activate", post(policy_versions::activate))
        .route("/policies/try", post(policies::try_out))
        .route("/sessions", get(sessions::list))
        .route("/sessions/live", get(sessions::live))
        .route("/sessions/{id}", get(sessions::show))
        .route("/sessions/{id}/kill", post(sessions::kill))
        .route("/sessions/{id}/follow", get(sessions::follow))
        .route("/sessions/{id}/requests/{number}", get(replay::request))
        .route("/sessions/{id}/terminal", get(replay::terminal))
        .route("/sessions/{id}/cast", get(replay::cast));
    let closed = closed.merge(settings()).route_layer(middleware::from_fn_with_state(state.clone(), person));
    let open = Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::begin))
        .route("/sign-out", post(sign_in::end))
        .route("/assets/{hash}/{name}", get(asset));
    closed.merge(open).layer(Extension(parts))
}

/// What is one's own, and how the gateway is set up.
fn settings() -> Router<ApiState> {
    Router::new()
        .route("/docs", get(docs::show))
        .route("/docs/openapi.json", get(docs::download))
        .route("/settings", get(settings::show))
        .route("/settings/sessions/{id}/end", post(settings::end))
        .route("/settings/chat/code", post(settings::chat_code))
        .route("/settings/chat/{team}/{user}/remove", post(settings::unlink))
        .route("/settings/keys-of-mine", post(settings::make_key))
        .route("/settings/keys-of-mine/{id}/revoke", post(settings::revoke_own))
        .route("/settings/keys", get(settings::everybodys))
        .route("/settings/keys/{id}/revoke", post(settings::revoke))
        .route("/settings/chat-accounts/{team}/{user}/remove", post(settings::unlink_any))
        .route("/settings/gateway", get(settings::gateway))
        .route("/settings/exporters", get(settings::exporters))
        .route("/settings/holds", get(settings::holds).post(settings::place))
        .route("/settings/holds/{session}/release", post(settings::release))
}

/// A form, and where it is sent to: with certificates and tags it may be long.
fn form<G, P, A, B>(shown: G, sent: P) -> MethodRouter<ApiState>
where
    G: Handler<A, ApiState>,
    P: Handler<B, ApiState>,
    A: 'static,
    B: 'static,
{
    get(shown).post(sent).layer(DefaultBodyLimit::max(MAX_SPEC))
}

/// What is nowhere else: of the API a problem, of the pages a page.
pub(crate) async fn nowhere(OriginalUri(uri): OriginalUri) -> Response {
    let problem = Problem::not_found("resource");
    if uri.path().starts_with("/api/") { problem.into_response() } else { Failure::from(problem).into_response() }
}

/// What is asked for with another method than it has.
pub(crate) async fn not_so(OriginalUri(uri): OriginalUri) -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
    if uri.path().starts_with("/api/") { problem.into_response() } else { Failure::from(problem).into_response() }
}

/// Lets signed-in people pass; others go to the sign-in page, and come back.
async fn person(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let found = state.signin.authenticate(state.tokens.as_ref(), request.headers(), request.method(), now()).await;
    match found {
        // Pages are for browsers: programs have the API.
        Ok(caller) if matches!(&caller.by, By::Session { purpose: SessionPurpose::Browser, .. }) => {
            request.extensions_mut().insert(Arc::new(caller));
            return next.run(request).await;
        }
        Err(Refused::CrossSite) => {
            return Failure::from(Problem::new(StatusCode::FORBIDDEN, Refused::CrossSite.to_string())).into_response();
        }
        Err(Refused::Unavailable(why)) => return Failure::from(Problem::unavailable(&why)).into_response(),
        Ok(_) | Err(Refused::Nothing | Refused::NotGood(_)) => {}
    }
    if request.uri().path().ends_with("/events") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    // A page that asks for a part of itself would show the sign-in page within it.
    if request.headers().contains_key("hx-request") {
        return page::reload();
    }
    let back = if *request.method() == Method::GET { request.uri().path_and_query().map(|p| p.as_str()) } else { None };
    page::see_other(&sign_in::address(back.unwrap_or("/")))
}

async fn asset(OriginalUri(uri): OriginalUri) -> Response {
    let Some(asset) = doorward_ui::find(uri.path()) else {
        return Failure::from(Problem::not_found("file")).into_response();
    };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.bytes).into_response()
}
