//! Signing keys made at test time, and an issuer that misbehaves on demand.
use crate::{IdentityError, IssuerConfig, Verifier};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature as sig;
use aws_lc_rs::signature::KeyPair as _;
use axum::body::Body;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_model::{Principal, PrincipalKind, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) enum Signer {
    Rsa(sig::RsaKeyPair),
    Ec(sig::EcdsaKeyPair, &'static str, &'static str),
    Ed(sig::Ed25519KeyPair),
}

pub(crate) struct Keys {
    pub(crate) rsa: Signer,
    pub(crate) p256: Signer,
    pub(crate) p384: Signer,
    pub(crate) ed: Signer,
}

/// RSA keys take their time to make: once for all tests.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: Signer::Rsa(sig::RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
    p256: p256(),
    p384: Signer::Ec(sig::EcdsaKeyPair::generate(&sig::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384", "ES384"),
    ed: Signer::Ed(sig::Ed25519KeyPair::generate().unwrap()),
});

pub(crate) fn p256() -> Signer {
    Signer::Ec(sig::EcdsaKeyPair::generate(&sig::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256", "ES256")
}

impl Signer {
    pub(crate) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let padding: &'static dyn sig::RsaEncoding = match alg {
                    "RS384" => &sig::RSA_PKCS1_SHA384,
                    "RS512" => &sig::RSA_PKCS1_SHA512,
                    "PS256" => &sig::RSA_PSS_SHA256,
                    "PS384" => &sig::RSA_PSS_SHA384,
                    "PS512" => &sig::RSA_PSS_SHA512,
                    _ => &sig::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(padding, &rng, message, &mut out).unwrap();
                out
            }
            Self::Ec(key, ..) => key.sign(&rng, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
            Self::Ec(key, ..) => key.public_key().as_ref().to_vec(),
            Self::Ed(key) => key.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let public = self.public();
        match self {
            // RSAPublicKey in DER: the modulus of 2048 bits begins after nine bytes of headers.
            Self::Rsa(_) => json!({"kty": "RSA", "kid": kid, "n": b64(&public[9..265]), "e": "AQAB", "use": "sig"}),
            Self::Ec(_, crv, alg) => {
                let (x, y) = public[1..].split_at((public.len() - 1) / 2);
                json!({"kty": "EC", "crv": crv, "kid": kid, "alg": alg, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(_) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(public)}),
        }
    }

    /// A token with any header and any payload, however wrong.
    pub(crate) fn raw(&self, header: &str, payload: &str) -> String {
        let alg = serde_json::from_str::<Value>(header).ok().and_then(|h| Some(h.get("alg")?.as_str()?.to_owned()));
        let message = format!("{}.{}", b64(header), b64(payload));
        format!("{message}.{}", b64(self.sign(&alg.unwrap_or_default(), message.as_bytes())))
    }

    pub(crate) fn token(&self, alg: &str, kid: &str, claims: &Value) -> String {
        self.raw(&json!({"alg": alg, "kid": kid, "typ": "JWT"}).to_string(), &claims.to_string())
    }
}

/// How the issuer behaves.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    Normal,
    Down,
    Stall,
    Slow(Duration),
    Huge,
    Garbage,
    OtherIssuer,
    JwksAt(String),
    Redirect(String),
}

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) jwks: Mutex<Value>,
    pub(crate) mode: Mutex<Mode>,
    pub(crate) fetches: AtomicUsize,
}

impl Host {
    /// Starts an issuer on a free loopback port; it ends with the test's runtime.
    pub(crate) async fn start(keys: &[Value]) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            jwks: Mutex::new(json!({ "keys": keys })),
            mode: Mutex::new(Mode::Normal),
            fetches: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&host);
        let router = axum::Router::new().fallback(move |uri: Uri| {
            let host = Arc::clone(&serving);
            async move { host.answer(uri.path()).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        host
    }

    async fn answer(&self, path: &str) -> Response {
        let mode = self.mode.lock().clone();
        let discovery = path == "/.well-known/openid-configuration";
        if discovery {
            self.fetches.fetch_add(1, Ordering::SeqCst);
        }
        let issuer = self.url.clone();
        let normal = || {
            let document = if discovery {
                json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})
            } else {
                self.jwks.lock().clone()
            };
            axum::Json(document).into_response()
        };
        match mode {
            Mode::Normal => normal(),
            Mode::Down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Mode::Stall => std::future::pending().await,
            Mode::Slow(pause) => {
                tokio::time::sleep(pause).await;
                normal()
            }
            Mode::Huge => Body::from(vec![b' '; 8 << 20]).into_response(),
            Mode::Garbage => "{\"issuer\":[[[[".into_response(),
            Mode::OtherIssuer => {
                axum::Json(json!({"issuer": "http://127.0.0.1:1", "jwks_uri": format!("{issuer}/keys")}))
                    .into_response()
            }
            Mode::JwksAt(at) if discovery => axum::Json(json!({"issuer": issuer, "jwks_uri": at})).into_response(),
            Mode::Redirect(to) if !path.starts_with("/moved") => {
                (StatusCode::FOUND, [(header::LOCATION, format!("{to}/moved{path}"))]).into_response()
            }
            Mode::Redirect(_) if path.ends_with("openid-configuration") => {
                axum::Json(json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})).into_response()
            }
            Mode::JwksAt(_) | Mode::Redirect(_) => normal(),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    pub(crate) fn publish(&self, keys: &[Value]) {
        *self.jwks.lock() = json!({ "keys": keys });
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(crate) fn config(&self, name: &str) -> IssuerConfig {
        IssuerConfig {
            spiffe_trust_domain: None,
            jwks_file: None,
            jwks_url: None,
            tls_ca: None,
            token_file: None,
            name: name.into(),
            issuer: self.url.clone(),
            audience: vec!["doorward".into()],
            openpubkey_audience: vec!["opkssh".into()],
            groups_claim: "groups".into(),
            principal: PrincipalKind::Agent,
            tags: [("ref".to_owned(), "ref".to_owned())].into(),
            authorized_parties: Vec::new(),
            delegation: false,
        }
    }

    /// Claims that are right for [`NOW`], with some replaced; null removes one.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let now = NOW.as_secs();
        let mut claims = json!({"iss": self.url, "sub": "ci-bot", "aud": "doorward", "iat": now, "nbf": now,
            "exp": now + 600, "jti": "id-1", "groups": ["agents"], "ref": "main"});
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }
}

/// A host with one P-256 key `k1`, and a verifier for it.
pub(crate) async fn one_key() -> (Arc<Host>, Verifier) {
    let host = Host::start(&[KEYS.p256.jwk("k1")]).await;
    let verifier = Verifier::new(vec![host.config("ci")]).unwrap();
    (host, verifier)
}

pub(crate) async fn code(verifier: &Verifier, token: &str) -> String {
    match verifier.verify(token, NOW).await {
        Ok(principal) => format!("ok {}", principal.id()),
        Err(error) => error.code().to_owned(),
    }
}

pub(crate) async fn accept(verifier: &Verifier, token: &str) -> Principal {
    let outcome: Result<Principal, IdentityError> = verifier.verify(token, NOW).await;
    outcome.unwrap()
}
