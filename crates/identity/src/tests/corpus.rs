//! The token corpus: what is accepted, and every way in which a token can be wrong.
use super::support::*;
use crate::{EXTERNAL_MESSAGE, IdentityError, MAX_TOKEN_BYTES, Verifier};
use aws_lc_rs::hmac;
use doorward_model::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

#[tokio::test]
async fn every_allowed_algorithm_verifies() {
    let host = Host::start(&[KEYS.rsa.jwk("r"), KEYS.p256.jwk("e2"), KEYS.p384.jwk("e3"), KEYS.ed.jwk("ed")]).await;
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    let claims = host.claims(json!({}));
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        assert_eq!(code(&verifier, &KEYS.rsa.token(alg, "r", &claims)).await, "ok ci/ci-bot", "{alg}");
    }
    for (signer, alg, kid) in [
        (&KEYS.p256, "ES256", "e2"),
        (&KEYS.p384, "ES384", "e3"),
        (&KEYS.ed, "EdDSA", "ed"),
        (&KEYS.ed, "Ed25519", "ed"),
    ] {
        let p = accept(&verifier, &signer.token(alg, kid, &claims)).await;
        assert_eq!(
            (p.id().as_str(), p.tags["ref"].as_str(), p.token_id.as_deref()),
            ("ci/ci-bot", "main", Some("id-1"))
        );
        assert!(p.groups.contains("agents") && p.expires_at == Timestamp::from_secs(NOW.as_secs() + 600));
    }
    assert_eq!(host.fetches(), 1);
}

#[tokio::test]
async fn wrong_claims_are_refused_with_their_reason() {
    let (host, verifier) = one_key().await;
    let now = NOW.as_secs();
    for (changes, want) in [
        (json!({"exp": now}), "expired"),
        (json!({"exp": now as f64 + 0.5}), "ok ci/ci-bot"),
        (json!({"exp": now + 1}), "ok ci/ci-bot"),
        (json!({"exp": null}), "missing_claim"),
        (json!({"exp": "soon"}), "malformed"),
        (json!({"exp": -1}), "malformed"),
        (json!({"exp": 1e300}), "malformed"),
        (json!({"exp": u64::MAX}), "ok ci/ci-bot"),
        (json!({"nbf": now + 30}), "ok ci/ci-bot"),
        (json!({"nbf": now + 31}), "not_yet_valid"),
        (json!({"iat": now + 31}), "not_yet_valid"),
        (json!({"nbf": [now]}), "malformed"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"aud": "doorward "}), "wrong_audience"),
        (json!({"aud": []}), "wrong_audience"),
        (json!({"aud": null}), "missing_claim"),
        (json!({"aud": {"doorward": 1}}), "malformed"),
        (json!({"aud": ["doorward", 7]}), "malformed"),
        (json!({"aud": ["other", "doorward"]}), "ok ci/ci-bot"),
        (json!({"aud": ["other", "doorward"], "azp": "other"}), "wrong_party"),
        (json!({"aud": ["other", "doorward"], "azp": "doorward"}), "ok ci/ci-bot"),
        (json!({"aud": ["doorward"], "azp": "a-client"}), "ok ci/ci-bot"),
        (json!({"azp": 5}), "malformed"),
        (json!({"iss": "http://127.0.0.1:1"}), "unknown_issuer"),
        (json!({"iss": format!("{}/", host.url)}), "unknown_issuer"),
        (json!({"iss": [host.url]}), "malformed"),
        (json!({"iss": null}), "missing_claim"),
        (json!({"sub": null}), "missing_claim"),
        (json!({"sub": ""}), "malformed"),
        (json!({"sub": "a\u{0}b"}), "malformed"),
        (json!({"sub": 7}), "malformed"),
        (json!({"groups": ["a", 7]}), "malformed"),
        (json!({"groups": {"a": 1}}), "malformed"),
        (json!({"ref": ["a"]}), "malformed"),
        (json!({"jti": 7}), "malformed"),
        (json!({"act": {"sub": "an-agent"}}), "delegated"),
        (json!({"act": "an-agent"}), "delegated"),
        (json!({"act": null}), "ok ci/ci-bot"),
    ] {
        let token = KEYS.p256.token("ES256", "k1", &host.claims(changes.clone()));
        assert_eq!(code(&verifier, &token).await, want, "{changes}");
    }
}

#[tokio::test]
async fn authorized_parties_are_required_when_configured() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let mut config = host.config("ci");
    config.authorized_parties = vec!["runner".into()];
    let verifier = Verifier::new(vec![config]).unwrap();
    for (changes, want) in [
        (json!({"azp": "runner"}), "ok ci/ci-bot"),
        (json!({"azp": "runner", "aud": ["doorward", "x"]}), "ok ci/ci-bot"),
        (json!({"azp": "doorward"}), "wrong_party"),
        (json!({}), "missing_claim"),
    ] {
        let token = KEYS.p256.token("ES256", "k1", &host.claims(changes.clone()));
        assert_eq!(code(&verifier, &token).await, want, "{changes}");
    }
}

#[tokio::test]
async fn groups_and_tags_come_from_where_the_configuration_says() {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let mut config = host.config("ci");
    config.groups_claim = "realm_access.roles".into();
    config.tags = [("ok", "verified"), ("n", "a.n"), ("gone", "a.b.c"), ("url", "https://x.y/z")]
        .map(|(t, c)| (t.into(), c.into()))
        .into();
    let verifier = Verifier::new(vec![config]).unwrap();
    let nested = json!({"realm_access": {"roles": "a, b c"}, "verified": true, "a": {"n": 7, "b": null}, "https://x.y/z": "lit"});
    let p = accept(&verifier, &KEYS.p256.token("ES256", "k1", &host.claims(nested))).await;
    assert_eq!(p.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(serde_json::to_value(&p.tags).unwrap(), json!({"ok": "true", "n": "7", "url": "lit"}));
    let literal = json!({"realm_access": {"roles": ["nested"]}, "realm_access.roles": ["site admins"]});
    let p = accept(&verifier, &KEYS.p256.token("ES256", "k1", &host.claims(literal))).await;
    assert_eq!(p.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["site admins"]);
}

#[tokio::test]
async fn forgeries_are_refused() {
    let host = Host::start(&[KEYS.rsa.jwk("r"), KEYS.p256.jwk("e")]).await;
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    let claims = host.claims(json!({}));
    let good = KEYS.p256.token("ES256", "e", &claims);
    assert_eq!(code(&verifier, &good).await, "ok ci/ci-bot");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let attacker = p256();
    let hs256 = |secret: &[u8]| {
        let message = format!("{}.{}", b64(json!({"alg": "HS256", "kid": "r"}).to_string()), b64(claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", b64(tag))
    };
    let none = |alg: &str| format!("{}.{}.", b64(json!({"alg": alg}).to_string()), b64(claims.to_string()));
    let embedded = json!({"alg": "ES256", "kid": "e", "jwk": attacker.jwk("e"), "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/cert", "x5c": ["AAAA"]});
    let zero_signature = format!("{message}.{}", b64([0; 64]));
    for (what, token, want) in [
        ("none", none("none"), "algorithm_not_allowed"),
        ("None", none("None"), "algorithm_not_allowed"),
        ("no alg", format!("{}.{}.", b64("{}"), b64(claims.to_string())), "malformed"),
        ("HS256 with the public key", hs256(&KEYS.rsa.public()), "algorithm_not_allowed"),
        ("HS256 with the published modulus", hs256(&KEYS.rsa.public()[9..265]), "algorithm_not_allowed"),
        ("stripped signature", format!("{message}."), "bad_signature"),
        ("zero signature", zero_signature, "bad_signature"),
        ("short signature", format!("{message}.{}", b64([1; 10])), "bad_signature"),
        ("no signature part", message.to_owned(), "malformed"),
        ("two signatures", format!("{good}.{signature}"), "malformed"),
        ("another's key", attacker.token("ES256", "e", &claims), "bad_signature"),
        ("embedded key", attacker.raw(&embedded.to_string(), &claims.to_string()), "bad_signature"),
        ("key of another type", KEYS.rsa.token("RS256", "e", &claims), "algorithm_not_allowed"),
        ("alg of another key", KEYS.p256.token("ES256", "r", &claims), "algorithm_not_allowed"),
        ("alg of another curve", KEYS.p256.token("ES384", "e", &claims), "algorithm_not_allowed"),
        ("ES512", KEYS.p256.token("ES512", "e", &claims), "algorithm_not_allowed"),
        (
            "RS256 called PS256",
            KEYS.rsa
                .raw(r#"{"alg":"RS256","kid":"r"}"#, &claims.to_string())
                .replace(&b64(r#"{"alg":"RS256","kid":"r"}"#), &b64(r#"{"alg":"PS256","kid":"r"}"#)),
            "bad_signature",
        ),
        ("padding", format!("{good}="), "malformed"),
        ("white space", format!("{good}\n"), "malformed"),
    ] {
        assert_eq!(code(&verifier, &token).await, want, "{what}");
    }
    // What is embedded is ignored, not refused, when the signature is the real key's.
    assert_eq!(code(&verifier, &KEYS.p256.raw(&embedded.to_string(), &claims.to_string())).await, "ok ci/ci-bot");
}

#[tokio::test]
async fn odd_headers_and_key_names_are_refused() {
    let (host, verifier) = one_key().await;
    let payload = host.claims(json!({})).to_string();
    for (header, want) in [
        (json!({"alg": "ES256", "kid": "../../etc/passwd"}), "unknown_key"),
        (json!({"alg": "ES256", "kid": "k1' OR 1=1 --"}), "unknown_key"),
        (json!({"alg": "ES256", "kid": "K1"}), "unknown_key"),
        (json!({"alg": "ES256", "kid": ""}), "unknown_key"),
        (json!({"alg": "ES256", "kid": "x".repeat(513)}), "malformed"),
        (json!({"alg": "ES256", "kid": ["k1"]}), "malformed"),
        (json!({"alg": "ES256", "kid": null}), "malformed"),
        (json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}), "malformed"),
        (json!({"alg": "ES256", "kid": "k1", "b64": false, "crit": ["b64"]}), "malformed"),
        (json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}), "malformed"),
        (json!({"alg": "ES256", "kid": "k1", "typ": "dpop+jwt"}), "malformed"),
        (json!({"alg": "ES256", "kid": "k1", "typ": "at+JWT"}), "ok ci/ci-bot"),
        (json!({"alg": ["ES256"], "kid": "k1"}), "malformed"),
        (json!({"alg": "es256", "kid": "k1"}), "algorithm_not_allowed"),
        (json!({"alg": "ES256"}), "ok ci/ci-bot"),
    ] {
        assert_eq!(code(&verifier, &KEYS.p256.raw(&header.to_string(), &payload)).await, want, "{header}");
    }
    host.publish(&[KEYS.p256.jwk("k1"), p256().jwk("k2"), KEYS.rsa.jwk("r")]);
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    let no_kid = |signer: &Signer, alg: &str| signer.raw(&json!({"alg": alg}).to_string(), &payload);
    assert_eq!(code(&verifier, &no_kid(&KEYS.p256, "ES256")).await, "unknown_key");
    assert_eq!(code(&verifier, &no_kid(&KEYS.rsa, "RS256")).await, "ok ci/ci-bot");
}

#[tokio::test]
async fn hostile_json_is_refused() {
    let (host, verifier) = one_key().await;
    let payload = host.claims(json!({})).to_string();
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    let twice = payload.replacen('{', r#"{"sub":"admin","#, 1);
    let deep = payload.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(2000), "]".repeat(2000)), 1);
    for (what, header, payload) in [
        ("a claim twice", header, twice.as_str()),
        ("deep", header, deep.as_str()),
        ("a parameter twice", r#"{"alg":"ES256","alg":"ES256","kid":"k1"}"#, payload.as_str()),
        ("not an object", header, "[]"),
        ("trailing", header, &format!("{payload}{{}}")),
        ("empty", header, ""),
        ("empty header", "", payload.as_str()),
    ] {
        assert_eq!(code(&verifier, &KEYS.p256.raw(header, payload)).await, "malformed", "{what}");
    }
    let filler = |n: usize| host.claims(json!({"x": "y".repeat(n)}));
    assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "k1", &filler(11_000))).await, "ok ci/ci-bot");
    assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "k1", &filler(13_000))).await, "too_large");
    assert_eq!(code(&verifier, &".".repeat(MAX_TOKEN_BYTES)).await, "malformed");
}

#[tokio::test]
async fn keys_of_one_issuer_do_not_sign_for_another() {
    let (a, b) = (Host::start(&[KEYS.p256.jwk("same")]).await, Host::start(&[KEYS.ed.jwk("same")]).await);
    let verifier = Verifier::new(vec![a.config("a"), b.config("b")]).unwrap();
    assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "same", &a.claims(json!({})))).await, "ok a/ci-bot");
    assert_eq!(code(&verifier, &KEYS.ed.token("EdDSA", "same", &b.claims(json!({})))).await, "ok b/ci-bot");
    assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "same", &b.claims(json!({})))).await, "algorithm_not_allowed");
    a.publish(&[p256().jwk("same")]);
    let fresh = Verifier::new(vec![a.config("a"), b.config("b")]).unwrap();
    assert_eq!(code(&fresh, &KEYS.p256.token("ES256", "same", &a.claims(json!({})))).await, "bad_signature");
}

#[tokio::test]
async fn unusable_published_keys_are_left_out() {
    let with = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let k = || KEYS.p256.jwk("k1");
    for bad in [
        with(k(), "use", json!("enc")),
        with(k(), "key_ops", json!(["sign"])),
        with(k(), "alg", json!("RS256")),
        with(k(), "alg", json!("HS256")),
        with(k(), "crv", json!("P-384")),
        with(k(), "x", json!(b64([0; 32]))),
        with(k(), "x", json!(b64([1; 31]))),
        with(k(), "d", json!(b64([1; 32]))),
        with(KEYS.rsa.jwk("k1"), "n", json!(b64([0xff; 128]))),
        with(KEYS.rsa.jwk("k1"), "e", json!(b64([0xff; 9]))),
        json!({"kty": "oct", "kid": "k1", "k": b64("secret")}),
        json!(7),
    ] {
        let host = Host::start(std::slice::from_ref(&bad)).await;
        let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
        let status = verifier.warm_up().await;
        assert_eq!((status[0].keys, &status[0].failure), (0, &None), "{bad}");
        assert_eq!(code(&verifier, &KEYS.p256.token("ES256", "k1", &host.claims(json!({})))).await, "unknown_key");
    }
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let (host, verifier) = one_key().await;
    let token = KEYS.p256.token("ES256", "k1", &host.claims(json!({})));
    accept(&verifier, &token).await;
    assert_eq!(verifier.cache_len(), 1);
    let later = |secs| Timestamp::from_secs(NOW.as_secs() + secs);
    verifier.verify(&token, later(599)).await.unwrap();
    assert_eq!(verifier.verify(&token, later(600)).await, Err(IdentityError::Expired));
    assert_eq!(verifier.cache_len(), 0);
}

#[tokio::test]
async fn messages_hold_nothing_of_the_token() {
    let (host, verifier) = one_key().await;
    let marked = json!({"sub": "MARK\u{0}", "iss": host.url, "azp": "MARK"});
    for token in [
        KEYS.p256.raw(r#"{"alg":"MARK"}"#, "{}"),
        KEYS.p256.raw(r#"{"alg":"ES256","kid":"MARK"}"#, &host.claims(marked.clone()).to_string()),
        KEYS.p256.token("ES256", "k1", &host.claims(marked)),
        KEYS.p256.token("ES256", "k1", &host.claims(json!({"iss": "MARK"}))),
        KEYS.p256.token("ES256", "k1", &host.claims(json!({"aud": "MARK"}))),
        "MARK.MARK.MARK".to_owned(),
    ] {
        let error = verifier.verify(&token, NOW).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("MARK"), "{error:?}");
    }
    assert!(!EXTERNAL_MESSAGE.contains('{'));
}

/// A runtime and a warmed-up verifier, shared by all cases of a property.
fn bench() -> (tokio::runtime::Runtime, Verifier, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (verifier, token) = runtime.block_on(async {
        let (host, verifier) = one_key().await;
        verifier.warm_up().await;
        (verifier, KEYS.p256.token("ES256", "k1", &host.claims(json!({}))))
    });
    (runtime, verifier, token)
}

#[test]
fn mutated_tokens_never_verify() {
    let (runtime, verifier, token) = bench();
    proptest!(|(at in 0..token.len(), byte in 0x20_u8..0x7f, cut in 0_u8..4)| {
        let mut bytes = token.clone().into_bytes();
        match cut {
            0 => { bytes.remove(at); }
            1 => bytes.insert(at, byte),
            2 => bytes.truncate(at),
            _ => bytes[at] = byte,
        }
        let mutated = String::from_utf8(bytes).unwrap();
        let verdict = runtime.block_on(verifier.verify(&mutated, NOW));
        prop_assert_eq!(verdict.is_ok(), mutated == token);
    });
}

#[test]
fn random_texts_never_verify() {
    let (runtime, verifier, _) = bench();
    proptest!(|(text in ".{0,300}", header in "[\\x20-\\x7e]{0,60}", payload in "[\\x20-\\x7e]{0,60}")| {
        prop_assert!(runtime.block_on(verifier.verify(&text, NOW)).is_err());
        let shaped = format!("{}.{}.{}", b64(header), b64(payload), b64(&text));
        prop_assert!(runtime.block_on(verifier.verify(&shaped, NOW)).is_err());
    });
}
