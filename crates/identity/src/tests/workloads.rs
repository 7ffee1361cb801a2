//! Tokens of workloads: SPIFFE JWT-SVIDs (made here with keys of the test's own, not by SPIRE), service accounts' tokens.
use super::support::*;
use crate::{FetchPolicy, IssuerConfig, Verifier};
use doorward_model::PrincipalKind;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};

fn config(name: &str) -> IssuerConfig {
    IssuerConfig {
        name: name.into(),
        issuer: String::new(),
        spiffe_trust_domain: None,
        jwks_file: None,
        jwks_url: None,
        tls_ca: None,
        token_file: None,
        audience: vec!["doorward".into()],
        openpubkey_audience: Vec::new(),
        groups_claim: "groups".into(),
        principal: PrincipalKind::Agent,
        tags: BTreeMap::new(),
        authorized_parties: Vec::new(),
        delegation: false,
    }
}

fn bundle(path: &Path, keys: &[Value]) {
    std::fs::write(path, json!({ "keys": keys, "spiffe_sequence": 1 }).to_string()).unwrap();
}

fn svid_key(signer: &Signer, kid: &str) -> Value {
    let mut jwk = signer.jwk(kid);
    jwk["use"] = json!("jwt-svid");
    jwk
}

fn svid(changes: Value) -> Value {
    let mut claims =
        json!({ "sub": "spiffe://example.org/ns/shop/sa/bot", "aud": ["doorward"], "exp": NOW.as_secs() + 60 });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn jwt_svids_are_of_their_trust_domain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    let x509 = json!({ "kty": "EC", "use": "x509-svid" });
    // A key that does not say what it is for is none for JWT-SVIDs.
    bundle(&path, &[x509, svid_key(&KEYS.p256, "k1"), KEYS.p384.jwk("plain"), svid_key(&KEYS.ed, "ed")]);
    let host = Host::start(&[KEYS.p384.jwk("oidc")]).await;
    let spiffe =
        IssuerConfig { spiffe_trust_domain: Some("example.org".into()), jwks_file: Some(path), ..config("mesh") };
    let verifier = Verifier::new(vec![host.config("ci"), spiffe]).unwrap();
    let good = KEYS.p256.token("ES256", "k1", &svid(json!({})));
    let principal = accept(&verifier, &good).await;
    assert_eq!(principal.id(), "mesh/spiffe://example.org/ns/shop/sa/bot");
    let header = json!({ "alg": "ES256", "kid": "k1", "typ": "JOSE" }).to_string();
    assert!(code(&verifier, &KEYS.p256.raw(&header, &svid(json!({})).to_string())).await.starts_with("ok "));
    // SPIRE may be told to name an issuer; it says nothing.
    let named = KEYS.p256.token("ES256", "k1", &svid(json!({ "iss": "https://spire.example" })));
    assert!(code(&verifier, &named).await.starts_with("ok mesh/"));
    for (changes, wanted) in [
        (json!({ "aud": null }), "missing_claim"),
        (json!({ "aud": "other" }), "wrong_audience"),
        (json!({ "exp": null }), "missing_claim"),
        (json!({ "exp": NOW.as_secs() }), "expired"),
        (json!({ "sub": null }), "missing_claim"),
        (json!({ "sub": "spiffe://other.org/a" }), "unknown_issuer"),
        (json!({ "sub": "spiffe://example.org.evil/a" }), "unknown_issuer"),
        (json!({ "sub": "spiffe://example.org/a/../b" }), "malformed"),
        (json!({ "sub": "spiffe://example.org/%2e%2e/b" }), "malformed"),
        (json!({ "sub": "spiffe://example.org" }), "malformed"),
        (json!({ "sub": "SPIFFE://example.org/a" }), "malformed"),
        (json!({ "sub": "spiffe://evil@example.org/a" }), "malformed"),
        (json!({ "sub": "ci-bot" }), "missing_claim"),
        (json!({ "sub": "ci-bot", "iss": "" }), "unknown_issuer"),
        // Another issuer's name does not make its key good.
        (json!({ "iss": host.url }), "unknown_key"),
    ] {
        assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "k1", &svid(changes.clone()))).await, wanted, "{changes}");
    }
    let by = |signer: &Signer, alg: &str, kid: &str| signer.token(alg, kid, &svid(json!({})));
    assert_eq!(code(&verifier, &by(&KEYS.p384, "ES384", "plain")).await, "unknown_key");
    assert_eq!(code(&verifier, &by(&KEYS.p384, "ES384", "oidc")).await, "unknown_key");
    assert_eq!(code(&verifier, &by(&KEYS.ed, "EdDSA", "ed")).await, "algorithm_not_allowed");
    let access = json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" }).to_string();
    assert_eq!(code(&verifier, &KEYS.p256.raw(&access, &svid(json!({})).to_string())).await, "malformed");
    // Nor is what may be anything an OIDC issuer's identity.
    let jose = json!({ "alg": "ES384", "kid": "oidc", "typ": "JOSE" }).to_string();
    assert_eq!(code(&verifier, &KEYS.p384.raw(&jose, &host.claims(json!({})).to_string())).await, "malformed");
}

#[tokio::test]
async fn a_file_of_keys_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    bundle(&path, &[KEYS.p256.jwk("old")]);
    // Not a URL that anybody could ask.
    let issuer = "kubernetes/serviceaccount";
    let config = IssuerConfig {
        issuer: issuer.into(),
        jwks_file: Some(path.clone()),
        tags: [
            ("namespace".to_owned(), "kubernetes.io/namespace".to_owned()),
            ("account".to_owned(), "kubernetes.io/serviceaccount/name".to_owned()),
        ]
        .into(),
        ..config("cluster")
    };
    let policy = FetchPolicy {
        file_age: Duration::from_millis(20),
        unknown_kid_interval: Duration::ZERO,
        ..FetchPolicy::default()
    };
    let verifier = Verifier::with_fetch_policy(vec![config], policy).unwrap();
    let claims = json!({ "iss": issuer, "sub": "system:serviceaccount:shop:bot", "aud": ["doorward"], "exp": NOW.as_secs() + 60,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "bot", "uid": "1" } } });
    let old = KEYS.p256.token("ES256", "old", &claims);
    let principal = accept(&verifier, &old).await;
    assert_eq!(principal.id(), "cluster/system:serviceaccount:shop:bot");
    assert_eq!((principal.tags["namespace"].as_str(), principal.tags["account"].as_str()), ("shop", "bot"));
    bundle(&path, &[KEYS.p384.jwk("new")]);
    accept(&verifier, &KEYS.p384.token("ES384", "new", &claims)).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(code(&verifier, &old).await, "unknown_key");
}

#[tokio::test]
async fn keys_at_a_url_are_asked_for_with_a_token() {
    use axum::http::{HeaderMap, StatusCode};
    let asked = |headers: HeaderMap| async move {
        let is_known = headers.get("authorization").is_some_and(|v| v == "Bearer abc");
        let keys = json!({ "keys": [KEYS.p256.jwk("k1")] }).to_string();
        if is_known { (StatusCode::OK, keys) } else { (StatusCode::FORBIDDEN, String::new()) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/openid/v1/jwks", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(asked);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "abc\n").unwrap();
    let issuer = "https://kubernetes.default.svc";
    let plain = IssuerConfig { issuer: issuer.into(), jwks_url: Some(url), ..config("cluster") };
    let token = KEYS.p256.token(
        "ES256",
        "k1",
        &json!({ "iss": issuer, "sub": "x", "aud": "doorward", "exp": NOW.as_secs() + 60 }),
    );
    let known = IssuerConfig { token_file: Some(token_file), ..plain.clone() };
    assert_eq!(code(&Verifier::new(vec![known]).unwrap(), &token).await, "ok cluster/x");
    assert_eq!(code(&Verifier::new(vec![plain]).unwrap(), &token).await, "issuer_unavailable");
}

/// An endpoint of the test's own, as GitHub documents theirs.
#[tokio::test]
async fn github_actions_is_asked_for_a_token() {
    use crate::{CiTokenError, github_actions_token};
    use axum::http::{HeaderMap, StatusCode, Uri};
    let asked = |uri: Uri, headers: HeaderMap| async move {
        let is_right = uri.query() == Some("v=1&audience=a%26b")
            && headers.get("authorization").is_some_and(|v| v == "Bearer secret");
        if is_right {
            (StatusCode::OK, json!({ "value": "a.b.c" }).to_string())
        } else {
            (StatusCode::FORBIDDEN, String::new())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token?v=1", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(asked);
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(github_actions_token(&url, "secret", "a&b").await, Ok("a.b.c".into()));
    assert_eq!(github_actions_token(&url, "other", "a&b").await, Err(CiTokenError::Status(403)));
    for bad in ["http://example.com/token", "file:///token", "token"] {
        assert_eq!(github_actions_token(bad, "secret", "x").await, Err(CiTokenError::Url), "{bad}");
    }
}
