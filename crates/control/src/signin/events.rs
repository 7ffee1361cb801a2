//! Events that providers push (RFC 8935): a session that is over there is over here.
use super::note;
use crate::{
    api::{ApiState, now},
    problem::Problem,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use doorward_identity::IdentityError;
use doorward_model::AuditKind;
use doorward_signin::SignInError;

/// An answer of RFC 8935, section 2.3. What exactly was wrong is for the audit log.
fn refused(error: &'static str) -> Response {
    let body = serde_json::json!({ "err": error, "description": "the event was not accepted" });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn word(error: &SignInError) -> &'static str {
    match error {
        SignInError::Identity(e) => match e {
            IdentityError::UnknownIssuer => "invalid_issuer",
            IdentityError::WrongAudience => "invalid_audience",
            IdentityError::UnknownKey { .. }
            | IdentityError::BadSignature
            | IdentityError::AlgorithmNotAllowed { .. }
            | IdentityError::IssuerUnavailable { .. } => "invalid_key",
            IdentityError::TooLarge
            | IdentityError::Malformed { .. }
            | IdentityError::Expired
            | IdentityError::NotYetValid
            | IdentityError::WrongParty
            | IdentityError::Unbound
            | IdentityError::WrongNonce
            | IdentityError::Delegated
            | IdentityError::NotInPerson
            | IdentityError::Revoked
            | IdentityError::MissingClaim { .. } => "invalid_request",
        },
        SignInError::NoSuchProvider
        | SignInError::NoDeviceFlow
        | SignInError::Provider(_)
        | SignInError::NotBegun(_)
        | SignInError::Malformed(_)
        | SignInError::Saml(_)
        | SignInError::Denied(_) => "invalid_request",
    }
}

pub(super) async fn push(
    State(state): State<ApiState>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Ok(event) = std::str::from_utf8(&body) else { return Ok(refused("invalid_request")) };
    if !kind.trim().eq_ignore_ascii_case("application/secevent+jwt") {
        return Ok(refused("invalid_request"));
    }
    match state.signin.session_revoked(&provider, event.trim(), now()).await {
        Ok(None) => Ok(StatusCode::ACCEPTED.into_response()),
        Ok(Some(revoked)) => {
            let who = format!("{}/{}", revoked.issuer, revoked.subject);
            let what = format!("sessions of `{who}` are over, says event `{}`", revoked.id);
            note(&state, AuditKind::Administration { by: format!("provider {provider}"), what }).await?;
            // What comes in from now on is looked at; then what is there. An event that is sent again ends nothing new.
            let heard = now();
            let ended = if state.tokens.revoke(&revoked, heard) { heard } else { revoked.until };
            for session in state.sessions.list() {
                if session.parties.contains(&who) && session.started <= ended {
                    state.sessions.kill(session.id, "the identity provider has ended the session");
                }
            }
            // Where this fails the provider sends the event again.
            state.signin.end_revoked(&revoked, heard).await.map_err(|e| Problem::unavailable(&e))?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Err(e) => {
            state.failures.note("event", &e.to_string());
            Ok(refused(word(&e)))
        }
    }
}
