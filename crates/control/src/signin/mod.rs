//! Signing in and out: the routes under `/auth`, for browsers and for `doorward login`.
//!
//! What changes something takes POST, and proof that a page of ours sent it. The one exception is the provider's answer
//! (`/auth/callback`, `/auth/saml`), which is bound to the browser by a cookie of its own, and what Slack sends (`/auth/slack`), which is
//! signed.
mod cli;
mod client;
mod events;
mod form;
mod pages;
mod saml;
mod slack;

pub(crate) use slack::named;

pub use client::{CliCredential, DevicePolled, DeviceStart, ProviderList, ProviderView};

use crate::{
    api::{ApiState, now},
    problem::Problem,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use doorward_model::{AuditEvent, AuditKind, Principal, Timestamp};
use doorward_signin::{By, Caller, Cookie, Refused, SIGN_IN_TTL, SignInError, SignedIn};
use doorward_store::SessionPurpose;
use form::Fields;
use serde::Serialize;
use std::future::poll_fn;

/// All of them, for [`crate::api::router`].
pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/auth/providers", get(providers))
        .route("/auth/login", get(choose))
        .route("/auth/login/{provider}", get(leave))
        .route("/auth/callback/{provider}", get(callback))
        .merge(saml::routes())
        .merge(slack::routes())
        .route("/auth/bootstrap", get(bootstrap_page).post(bootstrap))
        .route("/auth/me", get(me))
        .route("/auth/logout", post(sign_out))
        .route("/auth/logout-everywhere", post(sign_out_everywhere))
        .route("/auth/cli", get(cli::page).post(cli::confirm))
        .route("/auth/cli/token", post(cli::redeem))
        .route("/auth/cli/device", post(cli::begin_device))
        .route("/auth/cli/device/token", post(cli::poll_device))
        .route("/auth/events/{provider}", post(events::push))
        .route("/auth/style.css", get(pages::style))
}

/// An entry in the audit log, on the disk before anything comes of it.
pub(crate) async fn note(state: &ApiState, kind: AuditKind) -> Result<(), Problem> {
    let event = AuditEvent { time: now(), session: None, kind, parties: None };
    let ticket = state.audit.append(&event).map_err(|e| Problem::unavailable(&e))?;
    poll_fn(|cx| state.audit.poll_committed(ticket, cx)).await.map_err(|e| Problem::unavailable(&e))
}

async fn caller(state: &ApiState, headers: &HeaderMap, method: &Method) -> Result<Caller, Refused> {
    state.signin.authenticate(state.tokens.as_ref(), headers, method, now()).await
}

pub(crate) fn see_other(location: &str, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    for cookie in cookies.into_iter().flatten() {
        headers.append(header::SET_COOKIE, cookie);
    }
    match HeaderValue::from_str(location) {
        Ok(location) => {
            headers.insert(header::LOCATION, location);
            response
        }
        Err(_) => Problem::new(StatusCode::BAD_GATEWAY, "the address to go on to is malformed").into_response(),
    }
}

async fn providers(State(state): State<ApiState>) -> Json<ProviderList> {
    let kind = |name: &str| if state.signin.is_saml(name) { "saml" } else { "oidc" };
    let view = |name: &str| ProviderView { name: name.to_owned(), kind: kind(name).into() };
    Json(ProviderList { providers: state.signin.providers().map(view).collect() })
}

/// The query of an address.
fn query(uri: &Uri) -> Result<Fields, Problem> {
    Fields::parse(uri.query().unwrap_or_default().as_bytes())
        .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the query is malformed"))
}

async fn choose(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    let query = query(&uri)?;
    let return_to = state.signin.settings().return_to(query.get("return_to"));
    Ok(pages::choose(state.signin.providers(), &return_to))
}

async fn leave(State(state): State<ApiState>, Path(provider): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let query = query(&uri)?;
    match state.signin.begin_sign_in(&provider, query.get("return_to"), now()).await {
        Ok(away) => {
            let cookie = Cookie::SignIn.set(state.signin.settings(), away.cookie.expose(), Some(SIGN_IN_TTL));
            Ok(see_other(&away.location, [cookie]))
        }
        Err(e) => Ok(failed(&state, &e)),
    }
}

/// The page for a sign-in of this browser's that came to nothing, and is forgotten.
fn failed(state: &ApiState, error: &SignInError) -> Response {
    let mut response = refused(state, error);
    if let Some(gone) = Cookie::SignIn.clear(state.signin.settings()) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    response
}

/// The page for a sign-in that came to nothing.
fn refused(state: &ApiState, error: &SignInError) -> Response {
    let status = match error {
        SignInError::NoSuchProvider | SignInError::NoDeviceFlow => StatusCode::NOT_FOUND,
        SignInError::Provider(_) => {
            tracing::warn!(%error, "a sign-in failed");
            StatusCode::BAD_GATEWAY
        }
        SignInError::NotBegun(_) | SignInError::Malformed(_) => StatusCode::BAD_REQUEST,
        SignInError::Denied(_) | SignInError::Identity(_) | SignInError::Saml(_) => StatusCode::FORBIDDEN,
    };
    state.failures.note("web", &error.to_string());
    pages::failed(status, error.to_visitor())
}

async fn callback(
    State(state): State<ApiState>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let cookie = Cookie::SignIn.find(state.signin.settings(), &headers).unwrap_or(None);
    let answer = uri.query().unwrap_or_default();
    match state.signin.finish_sign_in(&provider, answer, cookie, now()).await {
        Ok(who) => {
            let door = Door { auth: "oidc", how: format!("sign-in at `{provider}`") };
            enter(&state, &headers, who, door).await
        }
        Err(e) => Ok(failed(&state, &e)),
    }
}

/// By which way somebody came in.
struct Door {
    auth: &'static str,
    /// For the audit log.
    how: String,
}

/// A session for somebody who has just signed in; the one that the browser had before is over.
async fn enter(state: &ApiState, headers: &HeaderMap, who: SignedIn, door: Door) -> Result<Response, Problem> {
    let settings = state.signin.settings();
    let kind = AuditKind::Authenticated { principal: who.principal.clone(), user: "web".into(), by: Some(door.how) };
    note(state, kind).await?;
    if let Ok(Some(secret)) = Cookie::Session.find(settings, headers) {
        let before = state.signin.held(secret, SessionPurpose::Browser).await;
        if let Some(before) = before.map_err(|e| Problem::unavailable(&e))? {
            state.signin.end(&before.id).await.map_err(|e| Problem::unavailable(&e))?;
        }
    }
    let return_to = who.return_to.clone();
    let begun = state.signin.begin(who, door.auth, SessionPurpose::Browser, now()).await;
    let begun = begun.map_err(|e| Problem::unavailable(&e))?;
    let cookies = [
        Cookie::Session.set(settings, begun.secret.expose(), Some(settings.limits().absolute)),
        Cookie::SignIn.clear(settings),
    ];
    Ok(see_other(&return_to, cookies))
}

async fn bootstrap_page(uri: Uri) -> Result<Response, Problem> {
    Ok(pages::bootstrap(query(&uri)?.get("code").unwrap_or_default()))
}

async fn bootstrap(State(state): State<ApiState>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let fields = posted(&state, &headers, &body)?;
    let code = fields.get("code").unwrap_or_default().trim();
    let who = state.signin.use_bootstrap(code, now()).await.map_err(|e| Problem::unavailable(&e))?;
    let Some(who) = who else {
        state.failures.note("web", "the code of the first administrator is wrong, used or old");
        return Ok(pages::failed(
            StatusCode::FORBIDDEN,
            "This code is wrong, was used before, or is too old. A gateway that is started with DOORWARD_BOOTSTRAP=again prints a new \
             one; the quickstart does so at each start.",
        ));
    };
    let door = Door { auth: "bootstrap", how: "code of the first administrator".into() };
    enter(&state, &headers, SignedIn::new(who), door).await
}

/// The fields of a form that a page of ours sent.
fn posted(state: &ApiState, headers: &HeaderMap, body: &[u8]) -> Result<Fields, Problem> {
    if !state.signin.comes_from_us(headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, Refused::CrossSite.to_string()));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be a form"));
    }
    Fields::parse(body).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the form is malformed"))
}

/// Who is calling, as they are known here.
#[derive(Serialize)]
struct Me {
    principal: String,
    issuer: String,
    subject: String,
    groups: Vec<String>,
    expires: Timestamp,
    /// `token`, `api-key`, or how they signed in.
    auth: String,
}

async fn me(State(state): State<ApiState>, method: Method, headers: HeaderMap) -> Result<Json<Me>, Problem> {
    let who = caller(&state, &headers, &method).await.map_err(|_| Problem::unauthorized())?;
    let auth = match who.by {
        By::Token => "token".into(),
        By::Key { .. } => "api-key".into(),
        By::Session { auth, .. } => auth,
    };
    let p = who.principal;
    Ok(Json(Me {
        principal: p.to_string(),
        issuer: p.issuer,
        subject: p.subject,
        groups: p.groups.into_iter().collect(),
        expires: p.expires_at,
        auth,
    }))
}

/// The caller, if it has a session that may be ended by this request.
async fn leaving(state: &ApiState, headers: &HeaderMap, method: &Method) -> Result<(Principal, String), Response> {
    let found = caller(state, headers, method).await;
    match found.map(|c| (c.principal, c.by)) {
        Ok((who, By::Session { id, .. })) => Ok((who, id)),
        Ok((_, By::Token | By::Key { .. })) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "there is no session to end: this is a token or a key")
                .into_response())
        }
        Err(Refused::CrossSite) => {
            Err(Problem::new(StatusCode::FORBIDDEN, Refused::CrossSite.to_string()).into_response())
        }
        Err(Refused::Unavailable(why)) => Err(Problem::unavailable(&why).into_response()),
        // Over already: as good as signed out. One that nobody has used for long is there still, and goes.
        Err(Refused::Nothing | Refused::NotGood(_)) => {
            if let Ok(Some(secret)) = Cookie::Session.find(state.signin.settings(), headers)
                && state.signin.comes_from_us(headers)
                && let Ok(Some(idle)) = state.signin.held(secret, SessionPurpose::Browser).await
                && let Err(e) = state.signin.end(&idle.id).await
            {
                return Err(Problem::unavailable(&e).into_response());
            }
            Err(left(state, headers))
        }
    }
}

/// Browsers go to the sign-in page, and forget their cookie.
fn left(state: &ApiState, headers: &HeaderMap) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::NO_CONTENT.into_response();
    }
    see_other("/auth/login", [Cookie::Session.clear(state.signin.settings())])
}

async fn sign_out(State(state): State<ApiState>, method: Method, headers: HeaderMap) -> Result<Response, Problem> {
    let (who, id) = match leaving(&state, &headers, &method).await {
        Ok(found) => found,
        Err(response) => return Ok(response),
    };
    note(&state, AuditKind::Administration { by: who.id(), what: "sign out".into() }).await?;
    state.signin.end(&id).await.map_err(|e| Problem::unavailable(&e))?;
    Ok(left(&state, &headers))
}

async fn sign_out_everywhere(
    State(state): State<ApiState>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (who, _) = match leaving(&state, &headers, &method).await {
        Ok(found) => found,
        Err(response) => return Ok(response),
    };
    note(&state, AuditKind::Administration { by: who.id(), what: "sign out everywhere".into() }).await?;
    state.signin.end_all(&who.issuer, &who.subject).await.map_err(|e| Problem::unavailable(&e))?;
    Ok(left(&state, &headers))
}
