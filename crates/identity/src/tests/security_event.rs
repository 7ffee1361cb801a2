//! Security events, and tokens that are taken for what they are not.
use super::*;
use crate::tests::support::{KEYS, NOW, code, one_key};
use serde_json::json;

fn event(issuer: &str, changes: &Value) -> Value {
    let mut said = json!({
        "iss": issuer, "aud": "us", "iat": NOW.as_secs(), "jti": "e-1",
        "sub_id": {"format": "iss_sub", "iss": issuer, "sub": "alice"},
        "events": {SESSION_REVOKED: {"event_timestamp": NOW.as_secs() - 5}},
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            said.as_object_mut().unwrap().remove(name);
        } else {
            said[name] = value.clone();
        }
    }
    said
}

fn signed(typ: &str, said: &Value) -> String {
    KEYS.p256.raw(&json!({"alg": "ES256", "kid": "k1", "typ": typ}).to_string(), &said.to_string())
}

#[tokio::test]
async fn an_event_is_signed_and_says_whose_sessions_are_over() {
    let (host, verifier) = one_key().await;
    let iss = host.url.as_str();
    let ask = async |said: &Value| {
        verifier.verify_session_revoked(&signed("secevent+jwt", said), &["us".to_owned()], NOW).await
    };
    let revoked = ask(&event(iss, &json!({}))).await.unwrap().unwrap();
    let second = std::time::Duration::from_micros(999_999);
    let at = Timestamp::from_secs(NOW.as_secs() - 5).after(second);
    assert_eq!(revoked, SessionRevoked { issuer: "ci".into(), subject: "alice".into(), until: at, id: "e-1".into() });
    let user = json!({"format": "iss_sub", "iss": iss, "sub": "alice"});
    for (changes, want) in [
        (json!({"sub_id": {"format": "complex", "user": user, "session": {"format": "opaque", "id": "s"}}}), "ok"),
        (json!({"sub_id": null, "events": {SESSION_REVOKED: {"subject": user}}}), "ok"),
        (json!({"aud": ["x", "us"]}), "ok"),
        (json!({"events": {"https://example.com/other": {}}}), "none"),
        (json!({"aud": "doorward"}), "wrong_audience"),
        (json!({"aud": null}), "missing_claim"),
        (json!({"iat": null}), "missing_claim"),
        (json!({"iat": NOW.as_secs() + 31}), "not_yet_valid"),
        (json!({"jti": null}), "missing_claim"),
        (json!({"events": null}), "malformed"),
        (json!({"events": {SESSION_REVOKED: 1}}), "malformed"),
        (json!({"iss": "http://127.0.0.1:1"}), "unknown_issuer"),
        (json!({"sub_id": null}), "missing_claim"),
        (json!({"sub_id": {"format": "iss_sub", "iss": "https://other", "sub": "alice"}}), "malformed"),
        (json!({"sub_id": {"format": "email", "email": "a@example.com"}}), "malformed"),
        (json!({"sub_id": {"format": "iss_sub", "iss": iss, "sub": ""}}), "malformed"),
    ] {
        let found = ask(&event(iss, &changes)).await;
        let got = match &found {
            Ok(Some(_)) => "ok",
            Ok(None) => "none",
            Err(e) => e.code(),
        };
        assert_eq!(got, want, "{changes}");
    }
    // One that says it happened in the future is about what was there when it was made.
    let later = ask(&event(iss, &json!({"events": {SESSION_REVOKED: {"event_timestamp": NOW.as_secs() + 999}}}))).await;
    assert_eq!(later.unwrap().unwrap().until, NOW.after(second));
    // One that says the time exactly means what it says; one that says none is of when it was made.
    let exact = NOW.as_secs() as f64 - 4.75;
    let exact = ask(&event(iss, &json!({"events": {SESSION_REVOKED: {"event_timestamp": exact}}}))).await;
    let at = Timestamp::from_secs(NOW.as_secs() - 5).after(std::time::Duration::from_millis(250));
    assert_eq!(exact.unwrap().unwrap().until, at);
    let none = ask(&event(iss, &json!({"events": {SESSION_REVOKED: {}}}))).await;
    assert_eq!(none.unwrap().unwrap().until, NOW.after(second));
    let forged = crate::tests::support::p256()
        .raw(r#"{"alg":"ES256","kid":"k1","typ":"secevent+jwt"}"#, &event(iss, &json!({})).to_string());
    let found = verifier.verify_session_revoked(&forged, &["us".to_owned()], NOW).await;
    assert_eq!(found, Err(IdentityError::BadSignature));
}

/// Tokens of before are refused, also those that are remembered; of the person, and of the agent that acts for them.
#[tokio::test]
async fn tokens_that_were_issued_before_the_event_are_refused_and_later_ones_are_not() {
    let (host, verifier) = one_key().await;
    let iss = host.url.as_str();
    let token = |sub: &str, issued: Option<u64>| {
        let mut said = json!({"iss": iss, "aud": "doorward", "sub": sub, "exp": NOW.as_secs() + 600});
        if let Some(issued) = issued {
            said["iat"] = json!(issued);
        }
        signed("JWT", &said)
    };
    let (old, new) = (token("alice", Some(NOW.as_secs() - 60)), token("alice", Some(NOW.as_secs() - 4)));
    let (odd, other) = (token("alice", None), token("bob", Some(NOW.as_secs() - 60)));
    for token in [&old, &new, &odd, &other] {
        assert!(verifier.verify(token, NOW).await.is_ok());
    }
    let said = signed("secevent+jwt", &event(iss, &json!({})));
    let revoked = verifier.verify_session_revoked(&said, &["us".to_owned()], NOW).await.unwrap().unwrap();
    assert!(verifier.revocations().note(&revoked, NOW));
    for (token, is_good) in [(&old, false), (&new, true), (&odd, false), (&other, true), (&old, false)] {
        let found = verifier.verify(token, NOW).await;
        assert_eq!(found.is_ok(), is_good, "{found:?}");
        assert!(is_good || found == Err(IdentityError::Revoked));
    }
}

#[tokio::test]
async fn an_event_is_no_identity_and_an_identity_is_no_event() {
    let (host, verifier) = one_key().await;
    let mut said = host.claims(json!({}));
    said.as_object_mut().unwrap().extend(event(&host.url, &json!({"aud": "doorward"})).as_object().unwrap().clone());
    for typ in ["secevent+jwt", "application/secevent+JWT"] {
        assert_eq!(code(&verifier, &signed(typ, &said)).await, "malformed", "{typ}");
        let found = verifier.verify_id_token(&signed(typ, &said), "doorward", None, NOW).await;
        assert_eq!(found.unwrap_err().code(), "malformed");
    }
    for typ in ["JWT", "at+jwt", "JOSE", "logout+jwt"] {
        let found = verifier.verify_session_revoked(&signed(typ, &said), &["doorward".to_owned()], NOW).await;
        assert_eq!(found.unwrap_err().code(), "malformed", "{typ}");
    }
}
