//! The caller's log-in at the gateway, as a pure state machine.
//!
//! The token comes through TLS as the password of `mysql_clear_password`, or by `authentication_openid_connect_client`.
//! Drivers that can send neither prove a short-lived credential by `mysql_native_password` or `caching_sha2_password`.
//! Who the caller is, is not decided here: the gateway looks at [`LoginAsk`] and answers.
use crate::{
    capabilities::Capabilities,
    codec::{WireError, string},
    password::KeptPassword,
    render::Rejection,
    startup::{self, Greeting, Login, Nonce},
};
use doorward_model::Secret;
use doorward_wire::Reader;

/// The method of MySQL 9's clients for OpenID Connect tokens.
const OPENID: &str = "authentication_openid_connect_client";
const CLEAR: &str = "mysql_clear_password";
const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";

/// What the log-in needs next.
#[derive(Debug)]
pub enum LoginAsk {
    /// Begin TLS, then call [`ClientLogin::encrypted`].
    Tls,
    /// Who is this? Answer by [`ClientLogin::answer`].
    Who(Login),
    /// Send this payload as the next packet, and wait.
    Send(Vec<u8>),
    /// Verify this token; the log-in is over.
    Token(Secret<String>),
    /// The caller has proved that it knows the credential; send this payload first, if there is one.
    Proven(Option<Vec<u8>>),
    /// Not let in.
    Refuse(Rejection),
}

/// How a caller has to prove who it is.
#[derive(Debug)]
pub enum Expectation {
    /// By its token.
    Token,
    /// By the short-lived credential that was issued for this user; [`KeptPassword::of_nobody`] where there is none.
    Password(KeptPassword),
}

#[derive(Debug)]
enum State {
    Response,
    Asked(Login),
    AwaitToken { openid: bool },
    AwaitProof { sha2: bool, password: KeptPassword },
    Over,
}

/// The longest token that is read, in bytes.
const LONGEST_TOKEN: usize = 64 * 1024;

/// A caller's log-in.
#[derive(Debug)]
pub struct ClientLogin {
    offered: Capabilities,
    agreed: Capabilities,
    nonce: Nonce,
    encrypted: bool,
    /// On loopback a token may come without TLS.
    clear_allowed: bool,
    state: State,
    asked_for_tls: bool,
    collation: u8,
}

impl ClientLogin {
    /// A log-in that begins with the greeting, whose nonce is fresh and random and has no byte zero.
    pub fn new(greeting: &Greeting, clear_allowed: bool) -> Self {
        Self {
            offered: greeting.capabilities,
            agreed: Capabilities::default(),
            nonce: greeting.nonce,
            encrypted: false,
            clear_allowed,
            state: State::Response,
            asked_for_tls: false,
            collation: 0,
        }
    }

    /// A log-in of `COM_CHANGE_USER`: in the middle of a session, with a fresh nonce.
    pub fn again(
        agreed: Capabilities,
        nonce: Nonce,
        encrypted: bool,
        clear_allowed: bool,
        mut login: Login,
    ) -> (Self, LoginAsk) {
        // A proof that comes along is for the scramble of the greeting, which was used: it is asked for again.
        if login.plugin != CLEAR.as_bytes() && login.plugin != OPENID.as_bytes() {
            login.response.clear();
        }
        let state = State::Asked(login.clone());
        let new = Self {
            offered: agreed,
            agreed,
            nonce,
            encrypted,
            clear_allowed,
            state,
            asked_for_tls: encrypted,
            collation: 0,
        };
        (new, LoginAsk::Who(login))
    }

    /// What client and gateway speak.
    pub const fn agreed(&self) -> Capabilities {
        self.agreed
    }

    /// The collation that the client asked for.
    pub const fn collation(&self) -> u8 {
        self.collation
    }

    /// The transport is encrypted now.
    pub const fn encrypted(&mut self) {
        self.encrypted = true;
    }

    /// Takes a packet of the client.
    ///
    /// # Errors
    /// Where it is malformed; the caller is not let in.
    pub fn handle(&mut self, payload: &[u8]) -> Result<LoginAsk, WireError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Response => self.response(payload),
            State::AwaitToken { openid } => token(payload, openid).map(LoginAsk::Token),
            State::AwaitProof { sha2, password } => Ok(self.check(sha2, &password, payload)),
            State::Asked(_) | State::Over => Err(Reader::new(payload, "packet out of order").invalid()),
        }
    }

    fn response(&mut self, payload: &[u8]) -> Result<LoginAsk, WireError> {
        let response = startup::response(payload, self.offered)?;
        let Some(login) = response.login else {
            // INVARIANT: TLS begins once, before anything else.
            if self.encrypted || self.asked_for_tls {
                return Err(Reader::new(payload, "TLS asked for twice").invalid());
            }
            self.asked_for_tls = true;
            self.state = State::Response;
            return Ok(LoginAsk::Tls);
        };
        // What was said before TLS counts for nothing: the whole answer comes again through it.
        self.agreed = response.capabilities;
        self.collation = response.collation;
        self.state = State::Asked(login.clone());
        Ok(LoginAsk::Who(login))
    }

    /// How this caller has to prove who it is.
    ///
    /// # Errors
    /// Where a proof is there and is malformed.
    pub fn answer(&mut self, expectation: Expectation) -> Result<LoginAsk, WireError> {
        let State::Asked(login) = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(LoginAsk::Refuse(denied("a log-in out of order")));
        };
        match expectation {
            Expectation::Token => self.want_token(&login),
            Expectation::Password(password) => Ok(self.want_proof(&login, password)),
        }
    }

    fn want_token(&mut self, login: &Login) -> Result<LoginAsk, WireError> {
        if !self.agreed.has(Capabilities::PLUGIN_AUTH) && login.plugin.is_empty() {
            return Ok(LoginAsk::Refuse(denied("this client knows no named log-in methods")));
        }
        if !self.encrypted && !self.clear_allowed {
            let how =
                "the token is the password and goes through TLS only: connect with TLS (--ssl-mode=REQUIRED, --ssl)";
            return Ok(LoginAsk::Refuse(denied(how)));
        }
        let openid = login.plugin == OPENID.as_bytes();
        // A client may be ahead of the switch, and has sent the token with its answer.
        if (openid || login.plugin == CLEAR.as_bytes()) && login.response.len() > 1 {
            return token(&login.response, openid).map(LoginAsk::Token);
        }
        self.state = State::AwaitToken { openid };
        let mut out = Vec::new();
        startup::put_switch(&mut out, if openid { OPENID } else { CLEAR }, b"");
        Ok(LoginAsk::Send(out))
    }

    /// No proof gives the password away, but what the session shows afterwards would be in clear.
    fn want_proof(&mut self, login: &Login, password: KeptPassword) -> LoginAsk {
        if !self.encrypted && !self.clear_allowed {
            return LoginAsk::Refuse(denied("connect with TLS (--ssl-mode=REQUIRED, --ssl)"));
        }
        let sha2 = login.plugin == SHA2.as_bytes();
        // Clients of before named methods prove it natively, and can be asked for nothing else.
        let is_old = !self.agreed.has(Capabilities::PLUGIN_AUTH) && login.plugin.is_empty();
        if is_old || (sha2 || login.plugin == NATIVE.as_bytes()) && !login.response.is_empty() {
            return self.check(sha2, &password, &login.response);
        }
        // Who was told to send passwords as they are may know no other way.
        if login.plugin == CLEAR.as_bytes() && login.response.len() > 1 {
            let said = login.response.strip_suffix(b"\0").unwrap_or(&login.response);
            return if password.is(said) { LoginAsk::Proven(None) } else { LoginAsk::Refuse(not_proven()) };
        }
        self.state = State::AwaitProof { sha2, password };
        let mut out = Vec::new();
        let data = [&self.nonce[..], &[0]].concat();
        startup::put_switch(&mut out, if sha2 { SHA2 } else { NATIVE }, &data);
        LoginAsk::Send(out)
    }

    fn check(&self, sha2: bool, password: &KeptPassword, proof: &[u8]) -> LoginAsk {
        let is_proven = if sha2 {
            password.is_proved_by_sha2(proof, &self.nonce)
        } else {
            password.is_proved_natively(proof, &self.nonce)
        };
        if !is_proven {
            return LoginAsk::Refuse(not_proven());
        }
        // `caching_sha2_password` hears that the fast way was enough.
        LoginAsk::Proven(sha2.then(|| vec![1, 3]))
    }
}

/// The same for a credential that is wrong, has expired, or never was.
fn not_proven() -> Rejection {
    denied("the credential is wrong, has expired or is for another connection: `doorward token --for` gives a new one")
}

/// `ER_ACCESS_DENIED_ERROR`.
fn denied(why: &str) -> Rejection {
    Rejection::new(1045, "28000", format!("Access denied by Doorward: {why}"))
}

/// A token as a method sends it: ended by a NUL, or behind a byte of flags with its length.
fn token(payload: &[u8], openid: bool) -> Result<Secret<String>, WireError> {
    let mut r = Reader::new(payload, "token");
    let bytes = if openid {
        r.u8()?;
        let token = string(&mut r)?;
        // Connector/J sends what its buffer has behind it: zeros.
        if r.rest().iter().any(|b| *b != 0) {
            return Err(r.invalid());
        }
        token
    } else {
        payload.strip_suffix(b"\0").unwrap_or(payload)
    };
    let text = std::str::from_utf8(bytes).ok().filter(|t| t.len() <= LONGEST_TOKEN && !t.contains('\0'));
    text.map(|t| Secret::new(t.to_owned())).ok_or(r.invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{native_proof, sha2_proof},
        startup::{Response, put_response},
    };
    use proptest::prelude::*;

    const OFFERED: Capabilities = Capabilities::offered(Capabilities(0xffff_ffff), true, false);

    fn login(clear_allowed: bool) -> ClientLogin {
        let greeting = Greeting {
            version: "9.7.4".into(),
            connection: 7,
            capabilities: OFFERED,
            collation: 45,
            status: 2,
            nonce: *b"abcdefghijklmnopqrst",
            plugin: SHA2.into(),
        };
        ClientLogin::new(&greeting, clear_allowed)
    }

    fn response(plugin: &str, proof: &[u8]) -> Vec<u8> {
        let login =
            Login { user: b"bot".to_vec(), response: proof.to_vec(), plugin: plugin.into(), ..Login::default() };
        let mut out = Vec::new();
        put_response(&mut out, &Response { capabilities: OFFERED, most: 0, collation: 45, login: Some(login) });
        out
    }

    fn tls_request() -> Vec<u8> {
        let mut out = Vec::new();
        put_response(&mut out, &Response { capabilities: OFFERED, most: 0, collation: 45, login: None });
        out
    }

    fn is_token(ask: &LoginAsk) -> bool {
        matches!(ask, LoginAsk::Token(t) if t.expose() == "tok.en")
    }

    fn refused(ask: &LoginAsk) -> bool {
        matches!(ask, LoginAsk::Refuse(r) if r.code == 1045)
    }

    #[test]
    fn the_token_goes_through_tls_by_either_method() {
        let mut l = login(false);
        assert!(matches!(l.handle(&tls_request()), Ok(LoginAsk::Tls)));
        l.encrypted();
        assert!(matches!(l.handle(&response(SHA2, &[1; 32])), Ok(LoginAsk::Who(_))));
        let switched = l.answer(Expectation::Token).unwrap();
        assert!(matches!(switched, LoginAsk::Send(s) if s == b"\xfemysql_clear_password\0"));
        assert!(is_token(&l.handle(b"tok.en\0").unwrap()));
        assert!(l.handle(b"tok.en\0").is_err(), "once");

        let mut l = login(false);
        l.encrypted();
        l.handle(&response(OPENID, b"\x01\x06tok.en")).unwrap();
        assert!(is_token(&l.answer(Expectation::Token).unwrap()));
        // As Connector/J sends it, with zeros behind it, and with something else behind it.
        for (more, good) in [("\0\0\0\0\0\0", true), ("x", false)] {
            let mut l = login(false);
            l.encrypted();
            l.handle(&response(OPENID, format!("\x01\x06tok.en{more}").as_bytes())).unwrap();
            assert_eq!(l.answer(Expectation::Token).is_ok_and(|ask| is_token(&ask)), good, "{more:?}");
        }
    }

    #[test]
    fn no_token_is_asked_for_in_clear() {
        let mut l = login(false);
        l.handle(&response(CLEAR, b"tok.en\0")).unwrap();
        assert!(refused(&l.answer(Expectation::Token).unwrap()));
        let mut l = login(true);
        l.handle(&response(CLEAR, b"tok.en\0")).unwrap();
        assert!(matches!(l.answer(Expectation::Token), Ok(LoginAsk::Token(_))), "on loopback it may");
    }

    #[test]
    fn tls_is_begun_once() {
        let mut l = login(false);
        l.handle(&tls_request()).unwrap();
        l.encrypted();
        assert!(l.handle(&tls_request()).is_err());
    }

    fn kept(password: &str) -> Expectation {
        Expectation::Password(KeptPassword::of(&Secret::new(password.to_owned())))
    }

    #[test]
    fn a_short_lived_credential_is_proved_by_the_clients_own_method() {
        let nonce = b"abcdefghijklmnopqrst";
        for (plugin, proof, more) in [
            (NATIVE, native_proof("pw", nonce).to_vec(), None),
            (SHA2, sha2_proof("pw", nonce).to_vec(), Some(vec![1, 3])),
            (CLEAR, b"pw\0".to_vec(), None),
        ] {
            let mut l = login(true);
            l.handle(&response(plugin, &proof)).unwrap();
            assert!(matches!(l.answer(kept("pw")), Ok(LoginAsk::Proven(m)) if m == more));
            for other in [kept("other"), Expectation::Password(KeptPassword::of_nobody())] {
                let mut l = login(true);
                l.handle(&response(plugin, &proof)).unwrap();
                assert!(refused(&l.answer(other).unwrap()));
            }
            let mut l = login(false);
            l.handle(&response(plugin, &proof)).unwrap();
            assert!(refused(&l.answer(kept("pw")).unwrap()), "{plugin} without TLS");
        }
        for (plugin, response_sent) in [("dialog", &b"x"[..]), (CLEAR, b""), (NATIVE, b"")] {
            let mut l = login(true);
            l.handle(&response(plugin, response_sent)).unwrap();
            let switched = l.answer(kept("pw")).unwrap();
            assert!(matches!(switched, LoginAsk::Send(s) if s == b"\xfemysql_native_password\0abcdefghijklmnopqrst\0"));
            assert!(matches!(l.handle(&native_proof("pw", nonce)), Ok(LoginAsk::Proven(None))));
            assert!(l.handle(&native_proof("pw", nonce)).is_err(), "once");
        }
    }

    #[test]
    fn a_client_of_before_named_methods_proves_it_natively() {
        let capabilities = OFFERED.without(Capabilities::PLUGIN_AUTH);
        let proof = native_proof("pw", b"abcdefghijklmnopqrst");
        for (proof, is_good) in [(&proof[..], true), (b"", false)] {
            let sent = Login { user: b"bot".to_vec(), response: proof.to_vec(), ..Login::default() };
            let mut out = Vec::new();
            put_response(&mut out, &Response { capabilities, most: 0, collation: 45, login: Some(sent) });
            let mut l = login(true);
            l.handle(&out).unwrap();
            assert_eq!(matches!(l.answer(kept("pw")).unwrap(), LoginAsk::Proven(None)), is_good);
        }
    }

    proptest! {
        #[test]
        fn random_packets_let_nobody_in(packets: Vec<Vec<u8>>, token: bool) {
            let mut l = login(true);
            for packet in packets {
                match l.handle(&packet) {
                    Ok(LoginAsk::Who(_)) => {
                        let expectation = if token { Expectation::Token } else { kept("pw") };
                        prop_assert!(!matches!(l.answer(expectation), Ok(LoginAsk::Proven(_))));
                    }
                    other => prop_assert!(!matches!(other, Ok(LoginAsk::Proven(_)))),
                }
            }
        }
    }
}
