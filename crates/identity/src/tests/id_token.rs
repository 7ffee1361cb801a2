//! Identity tokens that answer the sign-in, and those that answer something else.
use super::*;
use crate::tests::support::{KEYS, NOW, one_key};
use serde_json::json;

#[tokio::test]
async fn an_identity_token_is_for_this_client_and_this_sign_in() {
    let (host, verifier) = one_key().await;
    for (changes, want) in [
        (json!({}), "ok"),
        (json!({"azp": "web"}), "ok"),
        (json!({"aud": ["web", "other"], "azp": "web"}), "ok"),
        (json!({"nonce": "another"}), "wrong_nonce"),
        (json!({"nonce": null}), "missing_claim"),
        (json!({"nonce": ["n-1"]}), "wrong_nonce"),
        (json!({"aud": "doorward"}), "wrong_audience"),
        (json!({"aud": ["web", "other"]}), "missing_claim"),
        (json!({"aud": ["web", "other"], "azp": "other"}), "wrong_party"),
        (json!({"azp": "other"}), "wrong_party"),
        (json!({"azp": ["web"]}), "wrong_party"),
        (json!({"exp": NOW.as_secs()}), "expired"),
        (json!({"iat": null}), "missing_claim"),
        (json!({"iss": "http://127.0.0.1:1"}), "unknown_issuer"),
        (json!({"sid": 7}), "malformed"),
    ] {
        let mut all = json!({"aud": "web", "nonce": "n-1", "sid": "s-1"});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let token = KEYS.p256.token("ES256", "k1", &host.claims(all));
        let found = verifier.verify_id_token(&token, "web", Some("n-1"), NOW).await;
        assert_eq!(found.as_ref().map_or_else(IdentityError::code, |_| "ok"), want, "{changes}");
        if let Ok(found) = found {
            assert_eq!((found.session.as_deref(), found.has_groups), (Some("s-1"), true));
        }
    }
}

#[tokio::test]
async fn what_the_same_keys_sign_for_other_ends_is_no_identity_token() {
    let (host, verifier) = one_key().await;
    let claims = host.claims(json!({"aud": "web", "nonce": "n-1"})).to_string();
    for (typ, want) in [("JWT", "ok"), ("at+jwt", "malformed"), ("logout+jwt", "malformed"), ("JOSE", "malformed")] {
        let token = KEYS.p256.raw(&json!({"alg": "ES256", "kid": "k1", "typ": typ}).to_string(), &claims);
        let found = verifier.verify_id_token(&token, "web", Some("n-1"), NOW).await;
        assert_eq!(found.as_ref().map_or_else(IdentityError::code, |_| "ok"), want, "{typ}");
    }
    let forged = crate::tests::support::p256().raw(r#"{"alg":"ES256","kid":"k1"}"#, &claims);
    assert_eq!(verifier.verify_id_token(&forged, "web", Some("n-1"), NOW).await, Err(IdentityError::BadSignature));
}

#[test]
fn groups_of_somebody_else_are_not_taken() {
    let groups = |document: &str| groups_of_userinfo(document.as_bytes(), "alice", "groups").map(|g| g.len());
    assert_eq!(groups(r#"{"sub":"alice","groups":["a","b"]}"#), Ok(2));
    assert_eq!(groups(r#"{"sub":"alice"}"#), Ok(0));
    for bad in [r#"{"sub":"bob","groups":["a"]}"#, r#"{"groups":["a"]}"#, r#"{"sub":"alice","sub":"bob"}"#, "[]", ""] {
        assert_eq!(groups(bad).unwrap_err().code(), "malformed", "{bad}");
    }
}
