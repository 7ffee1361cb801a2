//! Errors as problem details (RFC 9457).
use crate::{DecideError, types::ProblemDetails};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// An answer that is not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
    /// Unknown and forbidden look the same.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"))
    }
    /// The same for every token that is not good.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "a valid bearer token is needed")
    }
    /// The reason goes to the program's log: it may name files.
    pub(crate) fn unavailable(why: &dyn std::fmt::Display) -> Self {
        tracing::error!(%why, "the administration point cannot serve a request");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway cannot keep or read its records: see its log")
    }
}

impl From<DecideError> for Problem {
    fn from(e: DecideError) -> Self {
        let status = match &e {
            DecideError::NotFound => StatusCode::NOT_FOUND,
            DecideError::OwnRequest => StatusCode::FORBIDDEN,
            DecideError::Ended | DecideError::Twice => StatusCode::CONFLICT,
            DecideError::CommentTooLong => StatusCode::BAD_REQUEST,
            DecideError::Unavailable(why) => return Self::unavailable(why),
        };
        Self::new(status, e.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemDetails {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("error").into(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
