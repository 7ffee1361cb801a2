//! A development issuer: real keys, real discovery, and no questions asked of whoever wants a token.
//!
//! **Never for production.** Whoever can read its directory can be anybody. It serves loopback
//! only and says what it is: in the log when it starts, at `/`, and in its discovery document.
use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_model::Timestamp;
use parking_lot::RwLock;
use serde_json::{Map, Value, json};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// What the command line prints, loudly, when it starts one.
pub const NOTICE: &str = "\
********************************************************************
*  DEVELOPMENT ISSUER. It signs any token that anybody asks for.   *
*  For trying and testing on this machine; never for production.   *
********************************************************************";

const KEY_FILE: &str = "dev-issuer-key.p8";

/// Why the development issuer does not do what it was asked.
#[derive(Debug, Error)]
pub enum DevError {
    /// The address can be reached from elsewhere.
    #[error("the development issuer listens on loopback only, not on `{0}`")]
    NotLoopback(SocketAddr),
    /// The listener or the directory cannot be used.
    #[error("{what} `{at}`: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file or address.
        at: String,
        /// The system's error.
        source: io::Error,
    },
    /// Others may read the key.
    #[error("`{0}` can be read by others: it must have mode 0600")]
    KeyExposed(PathBuf),
    /// The key file holds something else.
    #[error("`{0}` is not a P-256 key in PKCS#8 form")]
    Key(PathBuf),
    /// The cryptographic library failed to make a key or a signature.
    #[error("the cryptographic library failed")]
    Crypto,
    /// A claim that the request sets in a field of its own.
    #[error("claim `{0}` cannot be set as an extra claim")]
    ReservedClaim(String),
}

fn io_error(what: &'static str, at: impl ToString) -> impl FnOnce(io::Error) -> DevError {
    let at = at.to_string();
    move |source| DevError::Io { what, at, source }
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// `iss`: the URL that the issuer is served at.
    pub issuer: String,
    /// `sub`.
    pub sub: String,
    /// `groups`, as an array.
    pub groups: Vec<String>,
    /// `aud`: a string if it is one, an array otherwise.
    pub audience: Vec<String>,
    /// Further claims, such as `azp` or those that become tags.
    pub claims: Vec<(String, Value)>,
    /// How long the token is valid.
    pub ttl: Duration,
}

#[derive(Debug)]
struct SigningKey {
    pair: EcdsaKeyPair,
    jwk: Value,
    kid: String,
}

impl SigningKey {
    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
        // SEC 1 uncompressed point: a tag byte, then both coordinates.
        let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638: the members in this order, nothing else.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256"});
        Some(Self { pair, jwk, kid })
    }

    fn generate() -> Result<(Self, Vec<u8>), DevError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| DevError::Crypto)?;
        let key = Self::from_pkcs8(pkcs8.as_ref()).ok_or(DevError::Crypto)?;
        Ok((key, pkcs8.as_ref().to_vec()))
    }

    fn sign(&self, claims: &Map<String, Value>) -> Result<String, DevError> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.kid}).to_string();
        let payload = Value::Object(claims.clone()).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| DevError::Crypto)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The keys, newest first. All are published, the first signs.
#[derive(Debug)]
struct Keys(Vec<SigningKey>);

/// A development issuer with its key.
#[derive(Clone, Debug)]
pub struct Issuer {
    keys: Arc<RwLock<Keys>>,
}

impl Issuer {
    /// The issuer whose key is in a directory; both are made (0700, 0600) if they are not there.
    ///
    /// # Errors
    /// If the key cannot be made, read or understood, or others may read it.
    pub fn open(dir: &Path) -> Result<Self, DevError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_error("cannot make directory", dir.display()))?;
        let path = dir.join(KEY_FILE);
        if !path.exists() {
            create_key(dir, &path)?;
        }
        let metadata = fs::metadata(&path).map_err(io_error("cannot read key", path.display()))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(DevError::KeyExposed(path));
        }
        let pkcs8 = fs::read(&path).map_err(io_error("cannot read key", path.display()))?;
        let key = SigningKey::from_pkcs8(&pkcs8).ok_or(DevError::Key(path))?;
        Ok(Self { keys: Arc::new(RwLock::new(Keys(vec![key]))) })
    }

    /// Signs with a new key from now on; the old ones stay published or are withdrawn.
    /// For tests: the new key is not kept in the directory.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn rotate(&self, keep_old: bool) -> Result<(), DevError> {
        let (key, _) = SigningKey::generate()?;
        let mut keys = self.keys.write();
        if !keep_old {
            keys.0.clear();
        }
        keys.0.insert(0, key);
        Ok(())
    }

    /// Signs a token that is valid from `now` on.
    ///
    /// # Errors
    /// If an extra claim is one that the request has a field for, or signing fails.
    pub fn mint(&self, request: &TokenRequest, now: Timestamp) -> Result<String, DevError> {
        let claims = claims_of(request, now)?;
        let keys = self.keys.read();
        keys.0.first().ok_or(DevError::Crypto)?.sign(&claims)
    }

    /// Serves discovery and keys until the handle is stopped or dropped.
    ///
    /// # Errors
    /// If the address is not loopback, or cannot be listened on.
    pub async fn serve(&self, listen: SocketAddr) -> Result<Served, DevError> {
        if !listen.ip().is_loopback() {
            return Err(DevError::NotLoopback(listen));
        }
        let listener = TcpListener::bind(listen).await.map_err(io_error("cannot listen on", listen))?;
        let address = listener.local_addr().map_err(io_error("cannot listen on", listen))?;
        let url = format!("http://{address}");
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router(Arc::clone(&self.keys), &url);
        let task = tokio::spawn(async move {
            let until = async {
                // A dropped handle stops the server as well.
                let _ = stopped.await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
                tracing::error!(%error, "the development issuer ended");
            }
        });
        tracing::warn!(issuer = %url, "DEVELOPMENT ISSUER: signs any token that anybody asks for; never for production");
        Ok(Served { url, address, stop, task })
    }
}

/// A development issuer that is being served.
#[derive(Debug)]
pub struct Served {
    url: String,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    /// The issuer's URL, as in `iss` and in the configuration.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and waits until open requests have been answered.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the development issuer ended badly");
        }
    }
}

/// Signs a token with the key in a directory: what `doorward dev token` does.
///
/// # Errors
/// As [`Issuer::open`] and [`Issuer::mint`].
pub fn mint(dir: &Path, request: &TokenRequest, now: Timestamp) -> Result<String, DevError> {
    Issuer::open(dir)?.mint(request, now)
}

fn claims_of(request: &TokenRequest, now: Timestamp) -> Result<Map<String, Value>, DevError> {
    let mut id = [0_u8; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| DevError::Crypto)?;
    let audience = match request.audience.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(request.issuer));
    claims.insert("sub".into(), json!(request.sub));
    claims.insert("aud".into(), audience);
    claims.insert("groups".into(), json!(request.groups));
    claims.insert("iat".into(), json!(now.as_secs()));
    claims.insert("exp".into(), json!(now.after(request.ttl).as_secs()));
    claims.insert("jti".into(), json!(URL_SAFE_NO_PAD.encode(id)));
    for (name, value) in &request.claims {
        if claims.insert(name.clone(), value.clone()).is_some() {
            return Err(DevError::ReservedClaim(name.clone()));
        }
    }
    Ok(claims)
}

/// Written beside and linked into place, so that two that start at once end with one key.
fn create_key(dir: &Path, path: &Path) -> Result<(), DevError> {
    let (key, pkcs8) = SigningKey::generate()?;
    let beside = dir.join(format!(".{KEY_FILE}.{}", key.kid));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
        file.write_all(&pkcs8)?;
        file.sync_all()
    });
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // The name beside has served, whether or not the link was made.
    let removed = fs::remove_file(&beside);
    linked.and(removed).map_err(io_error("cannot write key", path.display()))
}

fn router(keys: Arc<RwLock<Keys>>, url: &str) -> Router {
    let discovery = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "id_token_signing_alg_values_supported": ["ES256"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["none"],
        "doorward_notice": "development issuer: never for production",
    });
    let jwks = move || async move {
        let keys: Vec<Value> = keys.read().0.iter().map(|k| k.jwk.clone()).collect();
        Json(json!({ "keys": keys }))
    };
    Router::new()
        .route("/", get(|| async { NOTICE }))
        .route("/.well-known/openid-configuration", get(move || async move { Json(discovery) }))
        .route("/jwks", get(jwks))
}
