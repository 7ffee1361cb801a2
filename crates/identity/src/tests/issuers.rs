//! Issuers that rotate, stall, lie and fail.
use super::support::*;
use crate::{FetchPolicy, Verifier};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// Short times, so that tests need not wait; the order between them is as in the default.
fn quick() -> FetchPolicy {
    FetchPolicy {
        timeout: 400 * MS,
        default_age: 100 * MS,
        min_age: 10 * MS,
        stale_limit: 600 * MS,
        unknown_kid_interval: 300 * MS,
        retry_interval: 50 * MS,
        ..FetchPolicy::default()
    }
}

#[tokio::test]
async fn concurrent_unknown_kids_make_one_fetch() {
    let (host, verifier) = one_key().await;
    verifier.warm_up().await;
    host.set(Mode::Slow(100 * MS));
    let verifier = Arc::new(verifier);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..100 {
        let (verifier, token) =
            (Arc::clone(&verifier), KEYS.p256.token("ES256", &format!("unknown-{i}"), &host.claims(json!({}))));
        tasks.spawn(async move { code(&verifier, &token).await });
    }
    assert!(tasks.join_all().await.iter().all(|c| c == "unknown_key"));
    assert_eq!(host.fetches(), 2);
    // Within the interval nothing more is fetched, however many come.
    for i in 0..20 {
        let token = KEYS.p256.token("ES256", &format!("later-{i}"), &host.claims(json!({})));
        assert_eq!(code(&verifier, &token).await, "unknown_key");
    }
    assert_eq!(host.fetches(), 2);
}

#[tokio::test]
async fn a_cold_start_with_unknown_kids_makes_one_fetch() {
    let (host, verifier) = one_key().await;
    host.set(Mode::Slow(50 * MS));
    let verifier = Arc::new(verifier);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..50 {
        let (verifier, token) =
            (Arc::clone(&verifier), KEYS.p256.token("ES256", &format!("unknown-{i}"), &host.claims(json!({}))));
        tasks.spawn(async move { code(&verifier, &token).await });
    }
    assert!(tasks.join_all().await.iter().all(|c| c == "unknown_key"));
    assert_eq!(host.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_forgotten() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    let old = KEYS.p256.token("ES256", "k1", &host.claims(json!({})));
    assert_eq!(code(&verifier, &old).await, "ok ci/ci-bot");
    host.publish(&[KEYS.ed.jwk("k2")]);
    assert_eq!(code(&verifier, &old).await, "ok ci/ci-bot");
    let new = KEYS.ed.token("EdDSA", "k2", &host.claims(json!({})));
    assert_eq!(code(&verifier, &new).await, "ok ci/ci-bot");
    // The remembered token goes with its key.
    assert_eq!(code(&verifier, &old).await, "unknown_key");
    assert_eq!(host.fetches(), 2);
}

#[tokio::test]
async fn keys_outlive_a_failing_issuer_until_the_limit() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let verifier = Verifier::with_fetch_policy(vec![host.config("ci")], quick()).unwrap();
    let token = |i: u32| KEYS.p256.token("ES256", "k1", &host.claims(json!({"jti": format!("{i}")})));
    assert_eq!(code(&verifier, &token(0)).await, "ok ci/ci-bot");
    host.set(Mode::Down);
    tokio::time::sleep(350 * MS).await;
    assert_eq!(code(&verifier, &token(1)).await, "ok ci/ci-bot");
    assert!(verifier.status()[0].failure.as_ref().is_some_and(|f| f.contains("503")));
    tokio::time::sleep(450 * MS).await;
    assert_eq!(code(&verifier, &token(2)).await, "issuer_unavailable");
    assert_eq!(code(&verifier, &token(0)).await, "issuer_unavailable");
    host.set(Mode::Normal);
    tokio::time::sleep(60 * MS).await;
    assert_eq!(code(&verifier, &token(3)).await, "ok ci/ci-bot");
    assert_eq!(verifier.status()[0].failure, None);
}

#[tokio::test]
async fn due_keys_are_refreshed_in_the_background() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let policy = FetchPolicy { default_age: 600 * MS, ..quick() };
    let verifier = Verifier::with_fetch_policy(vec![host.config("ci")], policy).unwrap();
    let token = KEYS.p256.token("ES256", "k1", &host.claims(json!({})));
    assert_eq!(code(&verifier, &token).await, "ok ci/ci-bot");
    host.set(Mode::Slow(300 * MS));
    tokio::time::sleep(650 * MS).await;
    let start = Instant::now();
    assert_eq!(code(&verifier, &token).await, "ok ci/ci-bot");
    assert!(start.elapsed() < 200 * MS, "waited {:?}", start.elapsed());
    tokio::time::sleep(400 * MS).await;
    assert_eq!(host.fetches(), 2);
}

#[tokio::test]
async fn a_stalled_issuer_delays_nobody_else() {
    let (bad, good) = (Host::start(&[KEYS.p256.jwk("k1")]).await, Host::start(&[KEYS.p256.jwk("k1")]).await);
    bad.set(Mode::Stall);
    let verifier = Verifier::with_fetch_policy(vec![bad.config("bad"), good.config("good")], quick()).unwrap();
    let verifier = Arc::new(verifier);
    let stuck = {
        let (verifier, token) = (Arc::clone(&verifier), KEYS.p256.token("ES256", "k1", &bad.claims(json!({}))));
        tokio::spawn(async move { code(&verifier, &token).await })
    };
    tokio::time::sleep(20 * MS).await;
    let start = Instant::now();
    assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "k1", &good.claims(json!({})))).await, "ok good/ci-bot");
    assert!(start.elapsed() < 200 * MS && !stuck.is_finished());
    assert_eq!(stuck.await.unwrap(), "issuer_unavailable");
    assert!(start.elapsed() < 1000 * MS);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_waste_the_fetch() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    host.set(Mode::Slow(50 * MS));
    let token = KEYS.p256.token("ES256", "k1", &host.claims(json!({})));
    assert!(tokio::time::timeout(10 * MS, verifier.verify(&token, NOW)).await.is_err());
    assert_eq!(code(&verifier, &token).await, "ok ci/ci-bot");
    assert_eq!(host.fetches(), 1);
}

#[tokio::test]
async fn lying_issuers_are_unavailable() {
    let other = Host::start(&[KEYS.p256.jwk("k1")]).await;
    other.set(Mode::Redirect(other.url.clone()));
    for (mode, reason) in [
        (Mode::Huge, "larger than"),
        (Mode::Garbage, "malformed"),
        (Mode::OtherIssuer, "another issuer"),
        (Mode::JwksAt("http://192.0.2.1/keys".into()), "neither https"),
        (Mode::JwksAt("file:///etc/passwd".into()), "neither https"),
        (Mode::JwksAt("keys".into()), "neither https"),
        (Mode::Redirect(other.url.clone()), "status 302"),
        (Mode::Down, "status 503"),
        (Mode::Stall, "no answer"),
    ] {
        let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
        host.set(mode.clone());
        let verifier = Verifier::with_fetch_policy(vec![host.config("ci")], quick()).unwrap();
        let token = KEYS.p256.token("ES256", "k1", &host.claims(json!({})));
        assert_eq!(code(&verifier, &token).await, "issuer_unavailable", "{mode:?}");
        let failure = verifier.status()[0].failure.clone().unwrap();
        assert!(
            failure.contains(reason) || (reason == "no answer" && failure.contains("request")),
            "{mode:?}: {failure}"
        );
    }
    assert_eq!(other.fetches(), 0);
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    host.set(Mode::Redirect(host.url.clone()));
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "k1", &host.claims(json!({})))).await, "ok ci/ci-bot");
}

/// Prints what a verification costs; run with `--release --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn cost_of_a_verification() {
    let host = Host::start(&[KEYS.rsa.jwk("r"), KEYS.p256.jwk("e"), KEYS.ed.jwk("d")]).await;
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    for (signer, alg, kid) in [(&KEYS.rsa, "RS256", "r"), (&KEYS.p256, "ES256", "e"), (&KEYS.ed, "EdDSA", "d")] {
        let filler = "x".repeat(2000);
        let tokens: Vec<_> = (0..500)
            .map(|i| signer.token(alg, kid, &host.claims(json!({"jti": format!("{i}"), "filler": filler}))))
            .collect();
        for pass in ["first", "again"] {
            let start = Instant::now();
            for token in &tokens {
                accept(&verifier, token).await;
            }
            println!("{alg} {pass}: {:?} each", start.elapsed() / 500);
        }
    }
}
