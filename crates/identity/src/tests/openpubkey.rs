//! Tokens of the reference implementation, and tokens bound to other things than the caller's key.
use super::*;
use crate::tests::support::{Host, KEYS, NOW, Signer, b64, one_key};
use serde_json::{Map, json};
use std::time::Duration;

/// What the library `openpubkey` made. The issuer's host is not there: what is bound to what is checked.
const MADE: &str = include_str!("openpubkey.json");

#[test]
fn what_the_reference_implementation_makes_is_bound_to_its_key_and_no_other() {
    let made: Value = serde_json::from_str(MADE).unwrap();
    let key_of = |kind: &str| hex(made["keys"][kind].as_str().unwrap());
    let (p256, ed) = (key_of("ES256"), key_of("EdDSA"));
    let ed: &[u8; 32] = ed.as_slice().try_into().unwrap();
    for (kind, own, other) in [
        ("ES256", CallerKey::P256(&p256), CallerKey::Ed25519(ed)),
        ("EdDSA", CallerKey::Ed25519(ed), CallerKey::P256(&p256)),
    ] {
        let token = made["tokens"][kind].as_str().unwrap();
        let parts = Parts::of(token).unwrap();
        let claims = Unverified::parse(&parts.issuers).unwrap().claims;
        assert_eq!(parts.check_key(own), Ok(()), "{kind}");
        assert_eq!(parts.check_key(other), Err(IdentityError::Unbound), "{kind}");
        assert_eq!(parts.check_commitment(&claims), Ok(()), "{kind}");
        let refreshed = format!("{token}.e30.e30.AA");
        assert_eq!(Parts::of(&refreshed).unwrap().check_key(own), Ok(()), "{kind}, refreshed");
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

/// A PK token of `host` for a key of the caller's, made as the paper says, with changes.
struct Made<'a> {
    host: &'a Host,
    caller: &'a Signer,
    alg: &'static str,
    header: Value,
    claims: Value,
}

impl<'a> Made<'a> {
    fn new(host: &'a Host, caller: &'a Signer, alg: &'static str) -> Self {
        let mut upk = caller.jwk("none");
        upk["alg"] = alg.into();
        let header = json!({"alg": alg, "typ": "CIC", "rz": "4f2a", "upk": upk});
        Self { host, caller, alg, header, claims: json!({"aud": "opkssh"}) }
    }

    fn token(&self) -> String {
        let header = self.header.to_string();
        let nonce = b64(digest::digest(&digest::SHA3_256, header.as_bytes()));
        let mut changes: Map<String, Value> = self.claims.as_object().unwrap().clone();
        changes.entry("nonce").or_insert(nonce.into());
        let issued = KEYS.p256.token("ES256", "k1", &self.host.claims(Value::Object(changes)));
        let [head, payload, signature] = issued.split('.').collect::<Vec<_>>().try_into().unwrap();
        let message = format!("{}.{payload}", b64(&header));
        let own = b64(self.caller.sign(self.alg, message.as_bytes()));
        format!("{payload}:{head}:{signature}:{}:{own}", b64(&header))
    }
}

async fn code(verifier: &Verifier, token: &str, key: CallerKey<'_>) -> &'static str {
    match verifier.verify_bound(token, key, NOW).await {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

#[tokio::test]
async fn whoever_holds_the_key_is_who_the_token_says_until_it_ends() {
    let (host, verifier) = one_key().await;
    let (p256, ed, rsa) = (KEYS.p256.public(), KEYS.ed.public(), KEYS.rsa.public());
    let ed: &[u8; 32] = ed.as_slice().try_into().unwrap();
    for (caller, alg, key) in [
        (&KEYS.p256, "ES256", CallerKey::P256(&p256)),
        (&KEYS.ed, "EdDSA", CallerKey::Ed25519(ed)),
        (&KEYS.rsa, "RS256", CallerKey::Rsa { n: &rsa[9..265], e: &[1, 0, 1] }),
    ] {
        let token = Made::new(&host, caller, alg).token();
        let who = verifier.verify_bound(&token, key, NOW).await.unwrap();
        assert_eq!((who.subject.as_str(), who.groups.contains("agents")), ("ci-bot", true), "{alg}");
        assert_eq!(who.expires_at, NOW.after(Duration::from_secs(600)));
        let late = verifier.verify_bound(&token, key, NOW.after(Duration::from_secs(600))).await;
        assert_eq!(late, Err(IdentityError::Expired), "{alg}");
    }
}

#[tokio::test]
async fn a_bound_token_is_good_for_nothing_else() {
    let (host, verifier) = one_key().await;
    let key = KEYS.p256.public();
    let token = Made::new(&host, &KEYS.p256, "ES256").token();
    let parts: Vec<&str> = token.split(':').collect();
    // The issuer's token out of it, as a bearer token.
    let bearer = format!("{}.{}.{}", parts[1], parts[0], parts[2]);
    assert_eq!(verifier.verify(&bearer, NOW).await, Err(IdentityError::WrongAudience));
    // A bearer token, bound to the key of whoever got hold of it.
    for (claims, expected) in [
        (json!({"aud": "doorward"}), "wrong_audience"),
        (json!({"aud": "opkssh", "nonce": "other"}), "unbound"),
        (json!({"aud": "opkssh", "nonce": null}), "missing_claim"),
        (json!({"aud": "opkssh", "nonce": 1}), "unbound"),
        (json!({"aud": "opkssh", "exp": NOW.as_secs()}), "expired"),
        (json!({"aud": "opkssh", "iss": "https://elsewhere.example"}), "unknown_issuer"),
    ] {
        let made = Made { claims: claims.clone(), ..Made::new(&host, &KEYS.p256, "ES256") };
        assert_eq!(code(&verifier, &made.token(), CallerKey::P256(&key)).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn headers_that_are_not_the_callers_are_refused() {
    let (host, verifier) = one_key().await;
    let key = KEYS.p256.public();
    let good = Made::new(&host, &KEYS.p256, "ES256");
    let changed = |name: &str, value: Value| {
        let mut made = Made::new(&host, &KEYS.p256, "ES256");
        made.header[name] = value;
        made.token()
    };
    let mut secret = KEYS.p256.jwk("x");
    secret["d"] = "AA".into();
    for (token, expected) in [
        (changed("typ", "JWT".into()), "malformed"),
        (changed("rz", "".into()), "malformed"),
        (changed("crit", json!(["x"])), "malformed"),
        (changed("alg", "none".into()), "algorithm_not_allowed"),
        (changed("alg", "RS256".into()), "algorithm_not_allowed"),
        (changed("upk", json!({})), "malformed"),
        (changed("upk", secret), "malformed"),
        (changed("upk", KEYS.ed.jwk("x")), "unbound"),
        (Made { caller: &KEYS.p384, ..Made::new(&host, &KEYS.p256, "ES256") }.token(), "bad_signature"),
        (good.token().replacen(':', ".", 1), "malformed"),
        (format!("{}:e30:AA", good.token()), "malformed"),
        (String::new(), "malformed"),
        (":::::".into(), "malformed"),
        ("a".repeat(MAX_TOKEN_BYTES + 1), "too_large"),
    ] {
        assert_eq!(code(&verifier, &token, CallerKey::P256(&key)).await, expected, "{token:.60}");
    }
    // The signatures the other way round: neither stands for the other.
    let token = good.token();
    let p: Vec<&str> = token.split(':').collect();
    let swapped = format!("{}:{}:{}:{}:{}", p[0], p[3], p[4], p[1], p[2]);
    assert_eq!(code(&verifier, &swapped, CallerKey::P256(&key)).await, "malformed");
}

#[test]
fn an_audience_is_of_bearer_tokens_or_of_bound_ones() {
    let config = |own: &str, bound: &str| crate::IssuerConfig {
        spiffe_trust_domain: None,
        jwks_file: None,
        jwks_url: None,
        tls_ca: None,
        token_file: None,
        name: "x".into(),
        issuer: "https://issuer.example".into(),
        audience: own.split_whitespace().map(str::to_owned).collect(),
        openpubkey_audience: bound.split_whitespace().map(str::to_owned).collect(),
        groups_claim: "groups".into(),
        principal: doorward_model::PrincipalKind::User,
        tags: [].into(),
        authorized_parties: Vec::new(),
        delegation: false,
    };
    assert!(config("a", "b").validate().is_ok());
    assert!(config("", "b").validate().is_ok());
    assert!(config("", "").validate().is_err());
    assert!(config("a b", "c b").validate().unwrap_err().to_string().contains("openpubkey_audience"));
}
