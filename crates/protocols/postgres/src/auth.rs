//! The gateway's own log-in upstream, as a pure state machine.
//!
//! SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677, RFC 5929), md5 and the clear password. The upstream is
//! not trusted: a password goes out in clear only where the transport is encrypted or TLS is
//! disabled by configuration, a SCRAM server has to prove that it knows the password too, and an
//! iteration count that would burn time is refused.
use crate::{codec::Authentication, render};
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Secret;
use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

/// PostgreSQL's own default is 4,096; more than this is an attack on our processor.
const MOST_ITERATIONS: u32 = 200_000;
/// Fewer would make the password easy to guess from what a false server gets to see.
const LEAST_ITERATIONS: u32 = 1_000;

/// Why the gateway could not log in. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A method that is not spoken.
    #[error("the server asks for an authentication method that is not supported ({0})")]
    Unsupported(String),
    /// A credential is asked for and none is configured.
    #[error("the server asks for a password, and the connection has no credential")]
    NoCredential,
    /// The server wants the password in clear over a clear transport.
    #[error("the server asks for the password in clear over a connection without TLS")]
    Clear,
    /// The server broke the exchange.
    #[error("the server broke the SCRAM exchange: {0}")]
    Scram(&'static str),
    /// The server does not know the password.
    #[error("the server could not prove that it knows the password")]
    FalseServer,
    /// A message out of order.
    #[error("an authentication message out of order")]
    OutOfOrder,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum AuthStep {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait for the next message.
    Wait,
    /// Logged in.
    Done,
}

/// The keys derived from a password: what SCRAM spends its time on. Shared by the sessions of one
/// connection, so that it is spent once and not at each log-in.
#[derive(Debug, Default)]
pub struct ScramKeys(Mutex<HashMap<[u8; 32], Arc<Keys>>>);

struct Keys {
    client: Secret<Vec<u8>>,
    server: Secret<Vec<u8>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys([secret])")
    }
}

impl ScramKeys {
    fn derive(&self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Arc<Keys> {
        let mut id = digest::Context::new(&digest::SHA256);
        for part in [password.as_bytes(), salt, &iterations.get().to_be_bytes()] {
            id.update(&(part.len() as u64).to_be_bytes());
            id.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(id.finish().as_ref());
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        let keys = Arc::new(Keys {
            client: Secret::new(mac(&salted, b"Client Key")),
            server: Secret::new(mac(&salted, b"Server Key")),
        });
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= 64 {
            known.clear();
        }
        known.insert(key, Arc::clone(&keys));
        keys
    }
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

#[derive(Debug)]
enum State {
    Start,
    /// The first SCRAM message is out.
    First {
        plus: bool,
        bare: String,
    },
    /// The proof is out.
    Proof {
        server_signature: Vec<u8>,
    },
    /// The server has proved itself, or a method without a proof was used.
    Proven,
    Done,
    /// Nothing can follow an error.
    Failed,
}

/// A log-in at the upstream.
#[derive(Debug)]
pub struct UpstreamAuth {
    user: String,
    password: Option<Secret<String>>,
    encrypted: bool,
    clear_allowed: bool,
    binding: Option<Vec<u8>>,
    nonce: String,
    keys: Arc<ScramKeys>,
    state: State,
}

impl UpstreamAuth {
    /// A log-in with a fresh random `nonce`. `binding` is the `tls-server-end-point` of the
    /// transport; `clear_allowed` says that the configuration disables TLS on purpose.
    pub fn new(
        user: &str,
        password: Option<Secret<String>>,
        encrypted: bool,
        clear_allowed: bool,
        binding: Option<Vec<u8>>,
        nonce: [u8; 18],
        keys: Arc<ScramKeys>,
    ) -> Self {
        Self {
            user: user.to_owned(),
            password,
            encrypted,
            clear_allowed,
            binding,
            nonce: STANDARD.encode(nonce),
            keys,
            state: State::Start,
        }
    }

    /// Whether the server has let us in, and has proved itself where the method has a proof.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes an authentication message.
    ///
    /// # Errors
    /// Where the log-in cannot go on.
    pub fn handle(&mut self, message: &Authentication<'_>) -> Result<AuthStep, AuthError> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        match (message, state) {
            // Accepted without a question (`trust`, a client certificate): nothing was given away.
            (Authentication::Ok, State::Start | State::Proven) => {
                self.state = State::Done;
                Ok(AuthStep::Done)
            }
            (Authentication::Ok, State::First { .. } | State::Proof { .. }) => Err(AuthError::FalseServer),
            (Authentication::CleartextPassword, State::Start) => self.clear(),
            (Authentication::Md5 { salt }, State::Start) => self.md5(*salt),
            (Authentication::Sasl { mechanisms }, State::Start) => self.first(mechanisms),
            (Authentication::SaslContinue(data), State::First { plus, bare }) => self.proof(data, plus, &bare),
            (Authentication::SaslFinal(data), State::Proof { server_signature }) => {
                self.verify(data, &server_signature)
            }
            (Authentication::Other(code), _) => Err(AuthError::Unsupported(format!("code {code}"))),
            (
                Authentication::Ok
                | Authentication::CleartextPassword
                | Authentication::Md5 { .. }
                | Authentication::Sasl { .. }
                | Authentication::SaslContinue(_)
                | Authentication::SaslFinal(_),
                _,
            ) => Err(AuthError::OutOfOrder),
        }
    }

    fn secret(&self) -> Result<&str, AuthError> {
        self.password.as_ref().map(|p| p.expose().as_str()).ok_or(AuthError::NoCredential)
    }

    fn clear(&mut self) -> Result<AuthStep, AuthError> {
        if !self.encrypted && !self.clear_allowed {
            return Err(AuthError::Clear);
        }
        let mut out = Vec::new();
        render::password_message(&mut out, self.secret()?.as_bytes());
        self.state = State::Proven;
        Ok(AuthStep::Send(out))
    }

    fn md5(&mut self, salt: [u8; 4]) -> Result<AuthStep, AuthError> {
        let inner = md5_hex(&[self.secret()?.as_bytes(), self.user.as_bytes()]);
        let outer = md5_hex(&[inner.as_bytes(), &salt]);
        let mut out = Vec::new();
        render::password_message(&mut out, format!("md5{outer}").as_bytes());
        self.state = State::Proven;
        Ok(AuthStep::Send(out))
    }

    fn first(&mut self, mechanisms: &[&str]) -> Result<AuthStep, AuthError> {
        self.secret()?;
        let offered = |name: &str| mechanisms.contains(&name);
        let plus = offered("SCRAM-SHA-256-PLUS") && self.binding.is_some();
        if !plus && !offered("SCRAM-SHA-256") {
            return Err(AuthError::Unsupported(mechanisms.join(", ")));
        }
        let mechanism = if plus { "SCRAM-SHA-256-PLUS" } else { "SCRAM-SHA-256" };
        // PostgreSQL takes the user of the StartupMessage and ignores this one.
        let bare = format!("n=,r={}", self.nonce);
        let mut out = Vec::new();
        render::sasl_initial_response(&mut out, mechanism, format!("{}{bare}", self.gs2(plus)).as_bytes());
        self.state = State::First { plus, bare };
        Ok(AuthStep::Send(out))
    }

    /// RFC 5802 §7: what we know of channel binding. `y` (we could, the server did not offer) lets a
    /// server notice that its offer was taken out on the way.
    const fn gs2(&self, plus: bool) -> &'static str {
        match (plus, self.binding.is_some()) {
            (true, _) => "p=tls-server-end-point,,",
            (false, true) => "y,,",
            (false, false) => "n,,",
        }
    }

    fn proof(&mut self, data: &[u8], plus: bool, bare: &str) -> Result<AuthStep, AuthError> {
        let text = std::str::from_utf8(data).map_err(|_| AuthError::Scram("not text"))?;
        let mut parts = text.split(',');
        let mut part = |prefix: &'static str, error: &'static str| {
            parts.next().and_then(|p| p.strip_prefix(prefix)).ok_or(AuthError::Scram(error))
        };
        let (nonce, salt, count) = (part("r=", "no nonce")?, part("s=", "no salt")?, part("i=", "no iteration count")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() <= self.nonce.len() || nonce.len() > 1024 {
            return Err(AuthError::Scram("the nonce is not an answer to ours"));
        }
        let salt = STANDARD.decode(salt).ok().filter(|s| (1..=1024).contains(&s.len()));
        let salt = salt.ok_or(AuthError::Scram("an unusable salt"))?;
        let iterations = count.parse().ok().filter(|i| (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(i));
        let iterations = iterations.and_then(NonZeroU32::new).ok_or(AuthError::Scram("an unusable iteration count"))?;
        let keys = self.keys.derive(self.secret()?, &salt, iterations);
        let mut channel = self.gs2(plus).as_bytes().to_vec();
        if plus {
            channel.extend_from_slice(self.binding.as_deref().unwrap_or_default());
        }
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(channel));
        let signed = format!("{bare},{text},{without_proof}");
        let stored = digest::digest(&digest::SHA256, keys.client.expose());
        let signature = mac(stored.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = keys.client.expose().iter().zip(&signature).map(|(k, s)| k ^ s).collect();
        let mut out = Vec::new();
        render::sasl_response(&mut out, format!("{without_proof},p={}", STANDARD.encode(proof)).as_bytes());
        self.state = State::Proof { server_signature: mac(keys.server.expose(), signed.as_bytes()) };
        Ok(AuthStep::Send(out))
    }

    fn verify(&mut self, data: &[u8], expected: &[u8]) -> Result<AuthStep, AuthError> {
        let given = std::str::from_utf8(data).ok().and_then(|t| t.strip_prefix("v="));
        let given = given.and_then(|v| STANDARD.decode(v.split(',').next().unwrap_or_default()).ok());
        let given = given.ok_or(AuthError::Scram("no server signature"))?;
        constant_time::verify_slices_are_equal(&given, expected).map_err(|_| AuthError::FalseServer)?;
        self.state = State::Proven;
        Ok(AuthStep::Wait)
    }
}

fn md5_hex(parts: &[&[u8]]) -> String {
    use md5::Digest as _;
    let mut hash = md5::Md5::new();
    for part in parts {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(binding: Option<Vec<u8>>) -> UpstreamAuth {
        let password = Some(Secret::new("pencil".to_owned()));
        UpstreamAuth::new("user", password, true, false, binding, [7; 18], Arc::default())
    }

    fn sent(step: AuthStep) -> String {
        let AuthStep::Send(bytes) = step else { panic!("{step:?}") };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn md5_is_what_the_manual_says() {
        // concat('md5', md5(concat(md5(concat(password, username)), salt)))
        let out = sent(auth(None).handle(&Authentication::Md5 { salt: *b"salt" }).unwrap());
        let inner = md5_hex(&[b"penciluser"]);
        assert!(out.contains(&format!("md5{}", md5_hex(&[inner.as_bytes(), b"salt"]))));
    }

    #[test]
    fn a_server_that_skips_its_proof_is_refused() {
        let mut a = auth(None);
        a.handle(&Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256"] }).unwrap();
        assert_eq!(a.handle(&Authentication::Ok), Err(AuthError::FalseServer));
        let mut a = auth(None);
        a.handle(&Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256"] }).unwrap();
        let challenge = format!("r={}server,s=c2FsdA==,i=4096", STANDARD.encode([7; 18]));
        a.handle(&Authentication::SaslContinue(challenge.as_bytes())).unwrap();
        assert_eq!(a.handle(&Authentication::SaslFinal(b"v=AAAA")), Err(AuthError::FalseServer));
    }

    /// The whole exchange against what Python's hashlib makes of password `pencil`, this salt and these nonces.
    fn exchange(binding: Option<Vec<u8>>, proof: &str, verifier: &str) {
        let mechanisms = if binding.is_some() { vec!["SCRAM-SHA-256-PLUS"] } else { vec!["SCRAM-SHA-256"] };
        let challenge = b"r=BwcHBwcHBwcHBwcHBwcHBwcHserver,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096";
        let mut a = auth(binding);
        a.handle(&Authentication::Sasl { mechanisms }).unwrap();
        let mut want = vec![b'p'];
        want.extend((proof.len() as u32 + 4).to_be_bytes());
        want.extend(proof.bytes());
        assert_eq!(a.handle(&Authentication::SaslContinue(challenge)), Ok(AuthStep::Send(want)));
        assert!(!a.is_done());
        assert_eq!(a.handle(&Authentication::SaslFinal(verifier.as_bytes())), Ok(AuthStep::Wait));
        assert!(!a.is_done(), "proven, but not let in yet");
        assert_eq!(a.handle(&Authentication::Ok), Ok(AuthStep::Done));
        assert!(a.is_done());
        assert_eq!(a.handle(&Authentication::Ok), Err(AuthError::OutOfOrder));
    }

    #[test]
    fn the_proof_is_what_another_implementation_computes() {
        exchange(
            None,
            "c=biws,r=BwcHBwcHBwcHBwcHBwcHBwcHserver,p=bzi8AZO07+nxnNmxK6P6pvIC55np8JyMeWiYGHw1HAc=",
            "v=TelPZ19SboIHpb9KOMWH9AIgbe1pbjcT9eTXl+NY6LQ=",
        );
        exchange(
            Some(vec![1, 2, 3]),
            "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAQID,r=BwcHBwcHBwcHBwcHBwcHBwcHserver,p=QDkY87y7EI+PMDfoLhSMJ6Oc0ERTuLNnzzU2b0D0pJ8=",
            "v=w80UYF3DtjwBwdQOyHQjMR15dWPVZHPkE+KljWsWDhA=",
        );
    }

    #[test]
    fn keys_are_derived_once_and_the_memory_of_them_is_bounded() {
        let keys = ScramKeys::default();
        let count = NonZeroU32::new(1_000).unwrap();
        let first = keys.derive("pencil", b"salt", count);
        assert!(Arc::ptr_eq(&first, &keys.derive("pencil", b"salt", count)));
        assert!(!Arc::ptr_eq(&first, &keys.derive("pencil2", b"salt", count)));
        for salt in 0..100_u8 {
            keys.derive("pencil", &[salt], count);
        }
        assert!(keys.0.lock().unwrap().len() <= 64);
        assert!(!format!("{keys:?} {:?}", auth(None)).contains("pencil"));
    }

    #[test]
    fn nothing_is_answered_after_a_failure_or_out_of_order() {
        let mut a = auth(None);
        assert_eq!(a.handle(&Authentication::SaslFinal(b"v=AAAA")), Err(AuthError::OutOfOrder));
        assert_eq!(a.handle(&Authentication::Ok), Err(AuthError::OutOfOrder), "a failure stays one");
        let mut a = auth(None);
        a.handle(&Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256"] }).unwrap();
        // A server that has been asked for a proof cannot get the password by another way.
        assert_eq!(a.handle(&Authentication::CleartextPassword), Err(AuthError::OutOfOrder));
        assert!(auth(None).handle(&Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256-PLUS"] }).is_err());
        assert!(matches!(auth(None).handle(&Authentication::Other(7)), Err(AuthError::Unsupported(_))));
    }

    #[test]
    fn hostile_challenges_are_refused() {
        let nonce = STANDARD.encode([7; 18]);
        for challenge in [
            "r=other,s=c2FsdA==,i=4096".to_owned(),
            format!("r={nonce},s=c2FsdA==,i=4096"),
            format!("r={nonce}x,s=c2FsdA==,i=4294967295"),
            format!("r={nonce}x,s=c2FsdA==,i=1"),
            format!("r={nonce}x,s=,i=4096"),
            format!("r={nonce}x,i=4096"),
            "e=other-error".to_owned(),
            String::new(),
        ] {
            let mut a = auth(None);
            a.handle(&Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256"] }).unwrap();
            assert!(a.handle(&Authentication::SaslContinue(challenge.as_bytes())).is_err(), "{challenge}");
        }
    }

    #[test]
    fn the_channel_is_bound_where_it_can_be() {
        let offer = Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"] };
        assert!(sent(auth(Some(vec![1])).handle(&offer).unwrap()).contains("p=tls-server-end-point,,"));
        assert!(sent(auth(None).handle(&offer).unwrap()).contains("n,,n=,r="));
        let offer = Authentication::Sasl { mechanisms: vec!["SCRAM-SHA-256"] };
        assert!(sent(auth(Some(vec![1])).handle(&offer).unwrap()).contains("y,,n=,r="));
    }

    #[test]
    fn a_clear_password_needs_a_private_transport() {
        let mut a = UpstreamAuth::new("u", Some(Secret::new("p".into())), false, false, None, [0; 18], Arc::default());
        assert_eq!(a.handle(&Authentication::CleartextPassword), Err(AuthError::Clear));
    }
}
