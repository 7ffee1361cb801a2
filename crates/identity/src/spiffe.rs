//! SPIFFE IDs, as the subjects of JWT-SVIDs have them.
use crate::error::IdentityError;
use serde_json::{Map, Value};

/// The longest ID (SPIFFE-ID §2.3).
pub(crate) const LONGEST: usize = 2048;
const LONGEST_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// Whether this is the name of a trust domain (SPIFFE-ID §2.1).
pub(crate) fn is_trust_domain(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    (1..=LONGEST_DOMAIN).contains(&name.len()) && name.bytes().all(allowed)
}

/// The trust domain of a workload's ID, which has a path (SPIFFE-ID §2.2). Nothing is decoded or put in order: an ID has one
/// spelling.
pub(crate) fn trust_domain(id: &str) -> Option<&str> {
    let (domain, path) = id.strip_prefix(SCHEME)?.split_once('/')?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(allowed);
    (id.len() <= LONGEST && is_trust_domain(domain) && path.split('/').all(is_segment)).then_some(domain)
}

/// The trust domain that a token says it is of; none where its subject is no SPIFFE ID at all.
pub(crate) fn of_claims(claims: &Map<String, Value>) -> Option<Result<&str, IdentityError>> {
    let subject = claims.get("sub")?.as_str()?;
    let scheme = subject.get(..7)?;
    let malformed = IdentityError::Malformed { what: "claim `sub`: not a workload's SPIFFE ID" };
    scheme.eq_ignore_ascii_case("spiffe:").then(|| trust_domain(subject).ok_or(malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        for id in ["spiffe://example.org/a", "spiffe://example.org/ns/shop/sa/bot", "spiffe://a_b-c.d/.../A.b_c-1"] {
            assert!(trust_domain(id).is_some(), "{id}");
        }
        assert_eq!(trust_domain("spiffe://example.org.evil/a"), Some("example.org.evil"));
        let long = format!("spiffe://example.org/{}", "a".repeat(2048));
        for id in [
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/a/../b",
            "spiffe://example.org/./b",
            "spiffe://example.org/%61",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org:443/a",
            "spiffe://u@example.org/a",
            "spiffe://evil/@example.org/a",
            "spiffe://Example.org/a",
            "SPIFFE://example.org/a",
            "spiffe:///a",
            "spiffe:/example.org/a",
            "https://example.org/a",
            "spiffe://example.org/é",
            "spiffe://example.org/a\n",
            &long,
        ] {
            assert_eq!(trust_domain(id), None, "{id}");
        }
    }
}
