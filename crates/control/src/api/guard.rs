//! Before and around every endpoint: deadlines and headers, who is calling, what bodies have to be.
use super::{ApiState, now};
use crate::problem::Problem;
use axum::{
    body::Bytes,
    extract::{Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use doorward_model::{AuditEvent, AuditKind};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};

const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// For what reads the whole log.
const LONG_DEADLINE: Duration = Duration::from_secs(600);

/// Around every answer: a deadline (the events of a watch come after it) and the headers that keep
/// browsers and caches from making something else of it.
pub(crate) async fn frame(request: Request, next: Next) -> Response {
    let is_long = request.uri().path().ends_with("/back-test");
    let deadline = if is_long { LONG_DEADLINE } else { REQUEST_DEADLINE };
    let answer = tokio::time::timeout(deadline, next.run(request)).await;
    let mut response = answer
        .unwrap_or_else(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response());
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(crate) async fn authenticate(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let checked = match bearer(request.headers()) {
        Ok(token) => state.tokens.check(token).await,
        Err(reason) => Err(reason.to_owned()),
    };
    let checked = checked.and_then(|p| if p.expires_at > now() { Ok(p) } else { Err("the token has expired".into()) });
    match checked {
        Ok(principal) => {
            request.extensions_mut().insert(Arc::new(principal));
            next.run(request).await
        }
        Err(reason) => {
            let reason = reason.chars().take(500).collect();
            let kind = AuditKind::AuthenticationFailed { user: "api".into(), reason };
            if let Err(why) = state.audit.append(&AuditEvent { time: now(), session: None, kind }) {
                tracing::error!(%why, "a bad token is not in the audit log");
            }
            Problem::unauthorized().into_response()
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or("no Authorization header")?;
    if values.next().is_some() {
        return Err("more than one Authorization header");
    }
    let text = value.to_str().map_err(|_| "the Authorization header is not text")?;
    let (scheme, token) = text.split_once(' ').ok_or("the Authorization header has no token")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the Authorization header is not of the scheme Bearer");
    }
    Ok(token.trim())
}

/// A body that has to be JSON of this shape.
pub(crate) fn json_body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"));
    }
    serde_json::from_slice(&body)
        .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not as expected: {e}")))
}
