//! The gateway's own log-in upstream, as a pure state machine.
//!
//! `mysql_native_password`, `caching_sha2_password`, `sha256_password`, `client_ed25519`, `parsec` and
//! `mysql_clear_password`. The upstream is not trusted: a password goes out in clear only through TLS, or encrypted with
//! the server's key where the configuration trusts the wire; a method that would give away more than the greeting's is
//! followed only where that is no less safe; and an iteration count that would burn time is refused.
use crate::startup::LoginStep;
use aws_lc_rs::{digest, pbkdf2, rsa};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Secret;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey, hazmat};
use std::num::NonZeroU32;

/// The methods spoken towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    CachingSha2,
    /// `sha256_password`.
    Sha256,
    /// `client_ed25519` of MariaDB.
    Ed25519,
    /// `parsec` of MariaDB.
    Parsec,
    /// `mysql_clear_password`, and `dialog` is none.
    Clear,
}

impl Method {
    /// A method by its name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"mysql_native_password" => Self::Native,
            b"caching_sha2_password" => Self::CachingSha2,
            b"sha256_password" => Self::Sha256,
            b"client_ed25519" => Self::Ed25519,
            b"parsec" => Self::Parsec,
            b"mysql_clear_password" => Self::Clear,
            _ => return None,
        })
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Ed25519 => "client_ed25519",
            Self::Parsec => "parsec",
            Self::Clear => "mysql_clear_password",
        }
    }
}

/// Why the gateway could not log in. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A method that is not spoken.
    #[error("the server asks for the log-in method `{0}`, which is not supported")]
    Unsupported(String),
    /// A credential is asked for and none is configured.
    #[error("the server asks for a password, and the connection has no credential")]
    NoCredential,
    /// The server wants the password over a clear transport.
    #[error("the server asks for the password itself over a connection without TLS")]
    Clear,
    /// The server's data are none of the method's.
    #[error("the server broke the log-in: {0}")]
    Broken(&'static str),
    /// A packet out of order.
    #[error("a log-in packet out of order")]
    OutOfOrder,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum AuthStep {
    /// Send this payload as the next packet.
    Send(Vec<u8>),
    /// Wait for the next packet.
    Wait,
    /// Logged in.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A proof is out, or nothing yet.
    Proving,
    /// The server was asked for its key.
    KeyAsked,
    /// The whole password is out.
    Given,
    /// `parsec`: the salt was asked for.
    SaltAsked,
    Done,
    Failed,
}

/// A log-in at the upstream.
#[derive(Debug)]
pub struct UpstreamAuth {
    password: Option<Secret<String>>,
    encrypted: bool,
    clear_allowed: bool,
    own_nonce: [u8; 32],
    method: Option<Method>,
    nonce: Vec<u8>,
    switched: bool,
    state: State,
}

/// `parsec` counts 1024 << n; more is an attack on our processor.
const MOST_DOUBLINGS: u8 = 4;

impl UpstreamAuth {
    /// A log-in with a fresh random `own_nonce`. `clear_allowed` says that the configuration disables TLS on purpose: only
    /// then a password is encrypted with a key that nobody has vouched for.
    pub fn new(password: Option<Secret<String>>, encrypted: bool, clear_allowed: bool, own_nonce: [u8; 32]) -> Self {
        Self {
            password,
            encrypted,
            clear_allowed,
            own_nonce,
            method: None,
            nonce: Vec::new(),
            switched: false,
            state: State::Proving,
        }
    }

    /// The method and proof for the answer to a greeting. A method that is not spoken begins as
    /// `mysql_native_password`: the server switches to what the account wants.
    ///
    /// # Errors
    /// Where no proof can be given.
    pub fn begin(&mut self, plugin: &str, nonce: &[u8]) -> Result<(Method, Vec<u8>), AuthError> {
        let method = Method::named(plugin.as_bytes()).unwrap_or(Method::Native);
        // Nothing in clear unless the account asks for it.
        let method = if matches!(method, Method::Clear | Method::Sha256) { Method::Native } else { method };
        self.prove(method, nonce).map(|proof| (method, proof))
    }

    /// Whether the server has let us in.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes a packet of the server.
    ///
    /// # Errors
    /// Where the log-in cannot go on.
    pub fn handle(&mut self, step: &LoginStep<'_>) -> Result<AuthStep, AuthError> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        match (step, state) {
            (LoginStep::Ok(_), State::Proving | State::Given) => {
                self.state = State::Done;
                Ok(AuthStep::Done)
            }
            // Twice would let a server try one method after the other.
            (LoginStep::Switch { plugin, data }, State::Proving) if !self.switched => {
                self.switched = true;
                let method = Method::named(plugin)
                    .ok_or_else(|| AuthError::Unsupported(String::from_utf8_lossy(plugin).into_owned()))?;
                self.prove(method, data).map(AuthStep::Send)
            }
            (LoginStep::More(data), state) => self.more(data, state),
            (LoginStep::Ok(_) | LoginStep::Switch { .. } | LoginStep::Error(_), _) => Err(AuthError::OutOfOrder),
        }
    }

    fn secret(&self) -> Result<&str, AuthError> {
        self.password.as_ref().map(|p| p.expose().as_str()).ok_or(AuthError::NoCredential)
    }

    fn prove(&mut self, method: Method, data: &[u8]) -> Result<Vec<u8>, AuthError> {
        self.method = Some(method);
        self.nonce = data.to_vec();
        if matches!(method, Method::Native | Method::CachingSha2 | Method::Sha256) {
            // 20 bytes, mostly with a NUL behind them.
            self.nonce.truncate(20);
            if self.nonce.len() != 20 {
                return Err(AuthError::Broken("a scramble that is not 20 bytes long"));
            }
        }
        self.state = State::Proving;
        // Nobody asks for a proof of no password; all methods send nothing for it.
        if self.password.as_ref().is_none_or(|p| p.expose().is_empty()) && method != Method::Ed25519 {
            return Ok(if method == Method::Clear { vec![0] } else { Vec::new() });
        }
        match method {
            Method::Native => Ok(native_proof(self.secret()?, &self.nonce).to_vec()),
            Method::CachingSha2 => Ok(sha2_proof(self.secret()?, &self.nonce).to_vec()),
            Method::Sha256 if self.encrypted => self.whole_password(),
            Method::Sha256 => self.ask_for_key(1),
            Method::Clear => self.whole_password(),
            Method::Ed25519 => {
                let nonce: [u8; 32] =
                    data.get(..32).and_then(|d| d.try_into().ok()).ok_or(AuthError::Broken("a scramble too short"))?;
                Ok(ed25519_proof(self.secret()?.as_bytes(), &nonce).to_vec())
            }
            Method::Parsec => {
                self.state = State::SaltAsked;
                Ok(Vec::new())
            }
        }
    }

    fn whole_password(&mut self) -> Result<Vec<u8>, AuthError> {
        if !self.encrypted {
            return Err(AuthError::Clear);
        }
        self.state = State::Given;
        let mut out = self.secret()?.as_bytes().to_vec();
        out.push(0);
        Ok(out)
    }

    fn ask_for_key(&mut self, request: u8) -> Result<Vec<u8>, AuthError> {
        if !self.clear_allowed {
            return Err(AuthError::Clear);
        }
        self.state = State::KeyAsked;
        Ok(vec![request])
    }

    fn more(&mut self, data: &[u8], state: State) -> Result<AuthStep, AuthError> {
        match (self.method, state, data) {
            // fast: the server knows the password already
            (Some(Method::CachingSha2), State::Proving, [3]) => {
                self.state = State::Proving;
                Ok(AuthStep::Wait)
            }
            // full: it wants to see it
            (Some(Method::CachingSha2), State::Proving, [4]) => {
                if self.encrypted { self.whole_password() } else { self.ask_for_key(2) }.map(AuthStep::Send)
            }
            (Some(Method::CachingSha2 | Method::Sha256), State::KeyAsked, pem) => {
                self.state = State::Given;
                encrypted_password(self.secret()?, &self.nonce, pem).map(AuthStep::Send)
            }
            (Some(Method::Parsec), State::SaltAsked, [b'P', doublings, salt @ ..]) => {
                self.state = State::Given;
                self.parsec(*doublings, salt).map(AuthStep::Send)
            }
            _ => Err(AuthError::OutOfOrder),
        }
    }

    fn parsec(&self, doublings: u8, salt: &[u8]) -> Result<Vec<u8>, AuthError> {
        let iterations = NonZeroU32::new(1024_u32.checked_shl(u32::from(doublings)).unwrap_or(0))
            .filter(|_| doublings <= MOST_DOUBLINGS)
            .ok_or(AuthError::Broken("an iteration count that would burn time"))?;
        if salt.is_empty() || self.nonce.len() < 32 {
            return Err(AuthError::Broken("a salt or scramble too short"));
        }
        let mut seed = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, self.secret()?.as_bytes(), &mut seed);
        let key = SigningKey::from_bytes(&seed);
        let both = [self.nonce.get(..32).unwrap_or_default(), &self.own_nonce].concat();
        let signature = key.sign(&both);
        Ok([&self.own_nonce[..], &signature.to_bytes()].concat())
    }
}

pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts)
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hash(&digest::SHA256, parts)
}

fn hash<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

pub(crate) fn xor<const N: usize>(mut a: [u8; N], b: &[u8; N]) -> [u8; N] {
    for (x, y) in a.iter_mut().zip(b) {
        *x ^= y;
    }
    a
}

/// `SHA1(password) XOR SHA1(nonce SHA1(SHA1(password)))`.
pub(crate) fn native_proof(password: &str, nonce: &[u8]) -> [u8; 20] {
    let once = sha1(&[password.as_bytes()]);
    xor(once, &sha1(&[nonce, &sha1(&[&once])]))
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) nonce)`.
pub(crate) fn sha2_proof(password: &str, nonce: &[u8]) -> [u8; 32] {
    let once = sha256(&[password.as_bytes()]);
    xor(once, &sha256(&[&sha256(&[&once]), nonce]))
}

/// A signature of the scramble with a key that is the hash of the password itself.
fn ed25519_proof(password: &[u8], nonce: &[u8; 32]) -> [u8; 64] {
    let expanded: [u8; 64] = hash(&digest::SHA512, &[password]);
    let key = hazmat::ExpandedSecretKey::from_bytes(&expanded);
    let public = VerifyingKey::from(&key);
    hazmat::raw_sign::<sha2::Sha512>(&key, nonce, &public).to_bytes()
}

/// The password, hidden by the scramble and encrypted with the server's RSA key. OAEP draws its padding in the library.
fn encrypted_password(password: &str, nonce: &[u8], pem: &[u8]) -> Result<Vec<u8>, AuthError> {
    const NO_KEY: AuthError = AuthError::Broken("a public key that cannot be used");
    let text = std::str::from_utf8(pem).map_err(|_| NO_KEY)?;
    let body: String = text.lines().map(str::trim).filter(|l| !l.starts_with("-----")).collect();
    let der = STANDARD.decode(body).map_err(|_| NO_KEY)?;
    let key = rsa::PublicEncryptingKey::from_der(&der).map_err(|_| NO_KEY)?;
    let key = rsa::OaepPublicEncryptingKey::new(key).map_err(|_| NO_KEY)?;
    let mut hidden = password.as_bytes().to_vec();
    hidden.push(0);
    for (byte, mask) in hidden.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    let mut out = vec![0; key.ciphertext_size()];
    let written = key.encrypt(&rsa::OAEP_SHA1_MGF1SHA1, &hidden, &mut out, None).map_err(|_| NO_KEY)?.len();
    out.truncate(written);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn auth(password: &str, encrypted: bool, clear_allowed: bool) -> UpstreamAuth {
        UpstreamAuth::new(Some(Secret::new(password.to_owned())), encrypted, clear_allowed, [5; 32])
    }

    const NONCE: &[u8] = b"abcdefghijklmnopqrst\0";

    #[test]
    fn proofs_are_those_of_the_servers() {
        // SELECT HEX(...) of MariaDB over the same formula.
        let stage = native_proof("secret", b"abcdefghijklmnopqrst");
        let twice = sha1(&[&sha1(&[b"secret"])]);
        let undone = xor(stage, &sha1(&[b"abcdefghijklmnopqrst", &twice]));
        assert_eq!(sha1(&[&undone]), twice);
        assert_ne!(sha2_proof("secret", b"abcdefghijklmnopqrst"), sha2_proof("Secret", b"abcdefghijklmnopqrst"));
    }

    #[test]
    fn the_whole_password_goes_out_through_tls_only() {
        let mut a = auth("secret", false, true);
        assert_eq!(a.begin("caching_sha2_password", NONCE).unwrap().1.len(), 32);
        assert_eq!(a.handle(&LoginStep::More(&[4])), Ok(AuthStep::Send(vec![2])), "asks for the key");
        assert!(a.handle(&LoginStep::More(b"no key")).is_err());
        let mut a = auth("secret", false, false);
        a.begin("caching_sha2_password", NONCE).unwrap();
        assert_eq!(a.handle(&LoginStep::More(&[4])), Err(AuthError::Clear));
        let mut a = auth("secret", true, false);
        a.begin("caching_sha2_password", NONCE).unwrap();
        assert_eq!(a.handle(&LoginStep::More(&[4])), Ok(AuthStep::Send(b"secret\0".to_vec())));
        assert_eq!(a.handle(&LoginStep::Ok(b"")), Ok(AuthStep::Done));
        for plugin in [&b"mysql_clear_password"[..], b"sha256_password"] {
            let mut a = auth("secret", false, false);
            a.begin("mysql_native_password", NONCE).unwrap();
            assert_eq!(a.handle(&LoginStep::Switch { plugin, data: NONCE }), Err(AuthError::Clear));
        }
    }

    #[test]
    fn a_server_cannot_try_one_method_after_another_or_burn_our_time() {
        let mut a = auth("secret", true, false);
        a.begin("mysql_native_password", NONCE).unwrap();
        let switch = LoginStep::Switch { plugin: b"caching_sha2_password", data: NONCE };
        assert!(a.handle(&switch).is_ok());
        assert_eq!(a.handle(&switch), Err(AuthError::OutOfOrder));
        assert_eq!(a.handle(&LoginStep::Ok(b"")), Err(AuthError::OutOfOrder), "nothing follows an error");
        let mut a = auth("secret", true, false);
        a.begin("mysql_native_password", NONCE).unwrap();
        a.handle(&LoginStep::Switch { plugin: b"parsec", data: &[1; 32] }).unwrap();
        assert!(matches!(a.handle(&LoginStep::More(b"P\x1esalt")), Err(AuthError::Broken(_))));
        let mut a = auth("secret", true, false);
        assert_eq!(
            a.begin("mysql_clear_password", NONCE).unwrap().0,
            Method::Native,
            "not because the greeting says so"
        );
        let other = LoginStep::Switch { plugin: b"dialog", data: b"" };
        assert!(matches!(a.handle(&other), Err(AuthError::Unsupported(_))));
    }

    proptest! {
        #[test]
        fn random_steps_give_an_answer_or_an_error(bytes: Vec<u8>, plugin in 0_usize..7, encrypted: bool) {
            let mut a = auth("secret", encrypted, true);
            let names = ["mysql_native_password", "caching_sha2_password", "sha256_password", "client_ed25519", "parsec", "mysql_clear_password", "x"];
            drop(a.begin(names[plugin], &bytes));
            drop(a.handle(&LoginStep::Switch { plugin: names[plugin].as_bytes(), data: &bytes }));
            drop(a.handle(&LoginStep::More(&bytes)));
        }
    }
}
