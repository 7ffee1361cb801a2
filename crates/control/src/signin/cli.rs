//! `doorward login`: by a loopback port (RFC 8252), or by a code on any device (RFC 8628).
use super::{
    caller,
    client::{CliCredential, CliRedeem, DeviceAsk, DeviceHandle, DevicePolled, DeviceStart},
    form::{Fields, encoded},
    note, pages, posted, query, see_other,
};
use crate::{
    api::{ApiState, json_body, now},
    problem::Problem,
};
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use doorward_model::AuditKind;
use doorward_signin::{Begun, Refused, SignInError};
use doorward_store::SessionPurpose;

/// What a program that waits on a loopback port asks for.
struct Wanted<'a> {
    port: u16,
    challenge: &'a str,
    state: &'a str,
}

fn wanted(fields: &Fields) -> Result<Wanted<'_>, Problem> {
    let word = |name: &str| {
        let good = |t: &&str| {
            (16..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        fields.get(name).filter(good)
    };
    // Ports below are for the system's services, not for a program of the visitor's.
    let port = fields.get("port").and_then(|p| p.parse().ok()).filter(|p| *p >= 1024);
    match (port, word("challenge"), word("state")) {
        (Some(port), Some(challenge), Some(state)) => Ok(Wanted { port, challenge, state }),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "this address was not made by `doorward login`")),
    }
}

/// Asks the visitor; who has not signed in does so first, and comes back.
pub(super) async fn page(
    State(state): State<ApiState>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let fields = query(&uri)?;
    let wanted = wanted(&fields)?;
    match caller(&state, &headers, &method).await {
        Ok(who) => Ok(pages::confirm_cli(&who.principal, wanted.port, wanted.challenge, wanted.state)),
        Err(_) => {
            let back = format!("/auth/cli?{}", uri.query().unwrap_or_default());
            Ok(see_other(&format!("/auth/login?return_to={}", encoded(&back)), []))
        }
    }
}

/// The visitor lets it: the browser brings the program a code.
pub(super) async fn confirm(
    State(state): State<ApiState>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let fields = posted(&state, &headers, &body)?;
    let wanted = wanted(&fields)?;
    let who = caller(&state, &headers, &method).await.map_err(|e| match e {
        Refused::CrossSite => Problem::new(StatusCode::FORBIDDEN, e.to_string()),
        Refused::Nothing | Refused::NotGood(_) | Refused::Unavailable(_) => Problem::unauthorized(),
    })?;
    let code = state.signin.vouch_for_cli(&who, wanted.challenge, now());
    let code = code.ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "sign in with a browser first"))?;
    let (code, back) = (encoded(code.expose()), encoded(wanted.state));
    Ok(see_other(&format!("http://127.0.0.1:{}/?code={code}&state={back}", wanted.port), []))
}

async fn issued(state: &ApiState, begun: Begun, by: &str) -> Result<Json<CliCredential>, Problem> {
    let who = &begun.session.principal;
    let kind = AuditKind::Authenticated { principal: who.clone(), user: "cli".into(), by: Some(by.to_owned()) };
    // It is in the store already, and nobody has it until it is in the audit log as well.
    note(state, kind).await?;
    let token = begun.secret.expose().clone();
    Ok(Json(CliCredential { token, principal: who.id(), expires: who.expires_at }))
}

pub(super) async fn redeem(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CliCredential>, Problem> {
    let asked: CliRedeem = json_body(&headers, body)?;
    let begun = state.signin.redeem_cli_code(&asked.code, &asked.verifier, now()).await;
    let Some(begun) = begun.map_err(|e| Problem::unavailable(&e))? else {
        state.failures.note("cli", "a code of `doorward login` is unknown, used or old, or was made for another");
        return Err(Problem::new(StatusCode::FORBIDDEN, "the code was not accepted: begin again"));
    };
    issued(&state, begun, "doorward login, by browser").await
}

fn problem(state: &ApiState, e: &SignInError) -> Problem {
    state.failures.note("cli", &e.to_string());
    let status = match e {
        SignInError::NoSuchProvider | SignInError::NoDeviceFlow => StatusCode::NOT_FOUND,
        SignInError::Provider(_) => StatusCode::BAD_GATEWAY,
        SignInError::NotBegun(_)
        | SignInError::Malformed(_)
        | SignInError::Denied(_)
        | SignInError::Identity(_)
        | SignInError::Saml(_) => StatusCode::FORBIDDEN,
    };
    Problem::new(status, e.to_visitor())
}

pub(super) async fn begin_device(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<DeviceStart>, Problem> {
    let asked: DeviceAsk = json_body(&headers, body)?;
    let begun = state.signin.begin_device(&asked.provider, now()).await.map_err(|e| problem(&state, &e))?;
    Ok(Json(DeviceStart {
        handle: begun.handle.expose().clone(),
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        verification_uri_complete: begun.verification_uri_complete,
        interval: begun.interval,
        expires_in: begun.expires_in,
    }))
}

pub(super) async fn poll_device(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked: DeviceHandle = json_body(&headers, body)?;
    let found = state.signin.poll_device(&asked.handle, now()).await.map_err(|e| problem(&state, &e))?;
    let Some(who) = found else {
        return Ok((StatusCode::ACCEPTED, Json(DevicePolled { credential: None })).into_response());
    };
    let begun = state.signin.begin(who, "oidc", SessionPurpose::Cli, now()).await;
    let begun = begun.map_err(|e| Problem::unavailable(&e))?;
    let Json(credential) = issued(&state, begun, "doorward login, by code").await?;
    Ok(Json(DevicePolled { credential: Some(credential) }).into_response())
}
