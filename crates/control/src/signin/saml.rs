//! Signing in at SAML providers: their answer, which a page of theirs has the browser post, and our metadata.
use super::{Door, enter, failed, form::Fields, query, refused, see_other};
use crate::{
    api::{ApiState, now},
    problem::Problem,
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use doorward_signin::{Cookie, SignInError};

/// An answer of 256 KiB in base64, of which every character may be escaped in a form, would be a megabyte; real ones are
/// far below.
const MAX_ANSWER: usize = 512 * 1024;

pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/auth/saml/{provider}/metadata", get(metadata))
        .route("/auth/saml/{provider}/acs", post(answer).layer(DefaultBodyLimit::max(MAX_ANSWER)))
        .route("/auth/saml/{provider}/continue", get(go_on))
}

async fn metadata(State(state): State<ApiState>, Path(provider): Path<String>) -> Response {
    match state.signin.saml_metadata(&provider) {
        Ok(document) => ([(header::CONTENT_TYPE, "application/samlmetadata+xml")], document).into_response(),
        Err(_) => Problem::new(StatusCode::NOT_FOUND, "there is no such SAML provider").into_response(),
    }
}

/// The one route that a page of somebody else may post to. It looks at no cookie and sets none: what it gives is a ticket
/// that is good in the browser that began the sign-in alone.
async fn answer(State(state): State<ApiState>, Path(provider): Path<String>, body: Bytes) -> Response {
    let Some(fields) = Fields::parse(&body) else {
        return refused(&state, &SignInError::Malformed("not a form, or a field that is there twice"));
    };
    let Some(document) = fields.get("SAMLResponse") else {
        return refused(&state, &SignInError::Malformed("no SAMLResponse"));
    };
    match state.signin.take_saml_answer(&provider, document, fields.get("RelayState"), now()) {
        Ok(ticket) => see_other(&format!("/auth/saml/{provider}/continue?ticket={}", ticket.expose()), []),
        Err(e) => refused(&state, &e),
    }
}

async fn go_on(
    State(state): State<ApiState>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = query(&uri)?;
    let cookie = Cookie::SignIn.find(state.signin.settings(), &headers).unwrap_or(None);
    match state.signin.finish_saml(&provider, query.get("ticket").unwrap_or_default(), cookie, now()) {
        Ok(who) => {
            let door = Door { auth: "saml", how: format!("sign-in at `{provider}`") };
            enter(&state, &headers, who, door).await
        }
        Err(e) => Ok(failed(&state, &e)),
    }
}
