//! Changes that count only where nothing else changed (RFC 9110, section 13): `ETag`, `If-Match`, `If-None-Match`.
use crate::problem::Problem;
use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The tag of a state: other tags for other states.
pub(crate) fn tag(state: &impl Serialize) -> String {
    let digest = Sha256::digest(serde_json::to_vec(state).unwrap_or_default());
    let hex: String = digest.iter().take(12).map(|b| format!("{b:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether a header names a tag.
fn names(headers: &HeaderMap, name: header::HeaderName, current: Option<&str>) -> Option<bool> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let is_named = |value: &HeaderValue| {
        value.to_str().unwrap_or_default().split(',').map(str::trim).any(|one| match (one, current) {
            (_, None) => false,
            ("*", Some(_)) => true,
            (one, Some(current)) => one.trim_start_matches("W/") == current,
        })
    };
    Some(values.any(is_named))
}

/// # Errors
/// 412 where the caller says `If-Match` and it is another state, or there is nothing.
pub(crate) fn if_match(headers: &HeaderMap, current: Option<&str>) -> Result<(), Problem> {
    if names(headers, header::IF_MATCH, current) == Some(false) {
        let why = "it is not as `If-Match` says: read it again, and change what is there now";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, why));
    }
    Ok(())
}

/// # Errors
/// 412 where the caller says `If-None-Match: *` and there is something.
pub(crate) fn if_none(headers: &HeaderMap, current: Option<&str>) -> Result<(), Problem> {
    if names(headers, header::IF_NONE_MATCH, current) == Some(true) {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "it is there already, and `If-None-Match` says not"));
    }
    Ok(())
}

/// An answer with its tag; 304 where the caller has it.
pub(crate) fn tagged(headers: &HeaderMap, tag: &str, body: &impl Serialize) -> Response {
    let value = HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\""));
    if names(headers, header::IF_NONE_MATCH, Some(tag)) == Some(true) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, value)]).into_response();
    }
    ([(header::ETAG, value)], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|v| (name.clone(), v.parse().unwrap())).collect()
    }

    #[test]
    fn a_change_counts_where_the_state_is_the_one_that_was_seen() {
        let one = tag(&1);
        assert_ne!(one, tag(&2));
        let ok = |values: &[&str], current: Option<&str>| if_match(&headers(header::IF_MATCH, values), current).is_ok();
        assert!(ok(&[], None) && ok(&[], Some(&one)) && ok(&[&one], Some(&one)) && ok(&["*"], Some(&one)));
        assert!(ok(&[&format!("\"x\", {one}")], Some(&one)) && ok(&["\"x\"", &one], Some(&one)));
        assert!(!ok(&["\"x\""], Some(&one)) && !ok(&["*"], None) && !ok(&[""], Some(&one)) && !ok(&[&one], None));
        let bytes = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_bytes(b"\xff").unwrap())]);
        assert!(if_match(&bytes, Some(&one)).is_err());
        let none = headers(header::IF_NONE_MATCH, &["*"]);
        assert!(if_none(&none, None).is_ok() && if_none(&none, Some(&one)).is_err());
        assert_eq!(tagged(&none, &one, &1).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tagged(&HeaderMap::new(), &one, &1).headers()[header::ETAG], one.as_str());
    }
}
