//! Errors as problem details (RFC 9457).
use crate::{
    DecideError,
    types::{PolicyProblem, ProblemDetails},
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use doorward_policy::LoadError;

/// An answer that is not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<PolicyProblem>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }
    /// Policies that are not right: every error with its place.
    pub(crate) fn wrong_policies(errors: &[LoadError]) -> Self {
        let detail = errors.first().map_or_else(String::new, ToString::to_string);
        let errors = errors.iter().map(PolicyProblem::from).collect();
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail, errors }
    }
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }
    /// What happened, for whom it happened to.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
    /// Unknown and forbidden look the same.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"))
    }
    /// The same for every token that is not good.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "a valid bearer token is needed")
    }
    /// Why, in words that name what was asked for and the policy.
    pub(crate) fn forbidden(why: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, why)
    }
    /// Too much at once.
    pub(crate) fn busy(why: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, why)
    }
    /// The reason goes to the program's log: it may name files.
    pub(crate) fn unavailable(why: &dyn std::fmt::Display) -> Self {
        tracing::error!(%why, "the administration point cannot serve a request");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway cannot keep or read its records: see its log")
    }
}

/// The errors of every endpoint, for its description.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it is there to be described")]
pub(crate) enum Problems {
    /// What was sent is not as expected.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemDetails),
    /// No valid token, session or key.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDetails),
    /// No policy permits it, or one forbids it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDetails),
    /// It is not there, or not the caller's business.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDetails),
    /// It is not in a state in which this can be done.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemDetails),
    /// The request took too long.
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(ProblemDetails),
    /// It is not in the state that the request asks for.
    #[response(status = 412, content_type = "application/problem+json")]
    Precondition(ProblemDetails),
    /// The body is too long.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// The body is not of a type that is understood.
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(ProblemDetails),
    /// Policies that are not right: `errors` says where; or an `Idempotency-Key` that was used for another request.
    #[response(status = 422, content_type = "application/problem+json")]
    Wrong(ProblemDetails),
    /// Too much at once: try again in a moment.
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(ProblemDetails),
    /// The gateway cannot keep or read its records.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDetails),
}

impl From<DecideError> for Problem {
    fn from(e: DecideError) -> Self {
        let status = match &e {
            DecideError::NotFound => StatusCode::NOT_FOUND,
            DecideError::OwnRequest | DecideError::NoGlass => StatusCode::FORBIDDEN,
            DecideError::Ended | DecideError::Twice => StatusCode::CONFLICT,
            DecideError::CommentTooLong | DecideError::NoReason => StatusCode::BAD_REQUEST,
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
            errors: self.errors,
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
