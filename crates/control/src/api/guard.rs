//! Before and around every endpoint: deadlines and headers, who is calling, what bodies have to be.
use super::{ApiState, now};
use crate::problem::Problem;
use axum::{
    body::{Bytes, HttpBody as _},
    extract::{Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use doorward_model::{Principal, Timestamp};
use doorward_signin::Refused;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};

const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// For what reads the whole log.
const LONG_DEADLINE: Duration = Duration::from_secs(600);

/// Around every answer: a deadline (the events of a watch come after it) and the headers that keep
/// browsers and caches from making something else of it, where a page or file has not its own.
pub(crate) async fn frame(request: Request, next: Next) -> Response {
    let is_long = ["/back-test", "/recording/verify"].iter().any(|end| request.uri().path().ends_with(end));
    let deadline = if is_long { LONG_DEADLINE } else { REQUEST_DEADLINE };
    let is_old = request.version() < Version::HTTP_11;
    let answer = tokio::time::timeout(deadline, next.run(request)).await;
    let mut response = answer
        .unwrap_or_else(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response());
    if is_old && could_be_cut(&response) {
        let why = "the end of this could not be told from a break of the connection: ask with HTTP/1.1 \
                   (behind nginx: `proxy_http_version 1.1`)";
        response = Problem::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, why).into_response();
    }
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Pages say themselves what they need.
    let usual: [(HeaderName, &'static str); 2] = [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in usual {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether an answer ends where its connection does, in HTTP/1.0: nobody could tell a part of it from the whole. Events have no end.
fn could_be_cut(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    response.body().size_hint().exact().is_none() && !kind.starts_with(b"text/event-stream")
}

/// When a request came, before it was known whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came(pub(crate) Timestamp);

impl Came {
    /// Refuses what was made for somebody whose sessions have ended since the request came: a body may be long in coming.
    ///
    /// # Errors
    /// 401.
    pub(crate) fn still_holds(self, state: &ApiState, who: &Principal) -> Result<(), Problem> {
        if state.tokens.is_revoked(who, self.0) { Err(Problem::unauthorized()) } else { Ok(()) }
    }
}

/// Who is calling: by a session's cookie, an issuer's token, an API key or the credential of `doorward login`.
pub(crate) async fn authenticate(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let came = now();
    let checked = state.signin.authenticate(state.tokens.as_ref(), request.headers(), request.method(), came).await;
    match checked {
        Ok(caller) => {
            request.extensions_mut().insert(Arc::new(caller));
            request.extensions_mut().insert(Came(came));
            next.run(request).await
        }
        Err(Refused::Unavailable(why)) => Problem::unavailable(&why).into_response(),
        Err(refused @ (Refused::Nothing | Refused::NotGood(_) | Refused::CrossSite)) => {
            state.failures.note("api", &refused.to_string());
            match refused {
                Refused::CrossSite => Problem::new(StatusCode::FORBIDDEN, refused.to_string()).into_response(),
                Refused::Nothing | Refused::NotGood(_) | Refused::Unavailable(_) => {
                    Problem::unauthorized().into_response()
                }
            }
        }
    }
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
