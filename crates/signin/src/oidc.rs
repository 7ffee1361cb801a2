//! Signing in at a provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 6749, RFC 7636, RFC 9700).
//!
//! | attack | what stands against it |
//! |---|---|
//! | a callback that the visitor did not begin (CSRF, fixation) | the sign-in is bound to a cookie of the browser |
//! | a callback that is sent again | `state` is taken out as it is used |
//! | an answer of another provider (mix-up) | a callback address for each, and `iss` (RFC 9207) |
//! | a code that was stolen or injected | PKCE S256, and `nonce` in the identity token |
//! | a link that leads elsewhere after signing in | `Settings::return_to` |
use crate::{SignIn, provider::Provider, secret};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_identity::{ConfigError, IdentityError};
use doorward_model::{Principal, Secret, Timestamp};
use doorward_saml::ResponseError;
use doorward_store::SecretHash;
use reqwest::Url;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// How long somebody may take at the provider.
pub const SIGN_IN_TTL: Duration = Duration::from_secs(600);
const MAX_QUERY: usize = 8 * 1024;

/// A sign-in under way.
#[derive(Debug)]
pub(crate) struct Pending {
    provider: String,
    /// The hash of the browser's cookie.
    browser: SecretHash,
    nonce: Secret<String>,
    verifier: Secret<String>,
    return_to: String,
}

/// Where to send the browser, and the cookie that binds the sign-in to it.
#[derive(Debug)]
pub struct Away {
    /// The provider's page.
    pub location: String,
    /// For [`crate::Cookie::SignIn`].
    pub cookie: Secret<String>,
}

/// Somebody who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub principal: Principal,
    /// The provider's name for its session (`sid`).
    pub provider_session: Option<String>,
    /// Where to go from here.
    pub return_to: String,
    /// When the provider wants the session to be over, where it says so.
    pub ends: Option<Timestamp>,
}

impl SignedIn {
    /// Somebody of whom no more is known, and who begins at the first page.
    pub fn new(principal: Principal) -> Self {
        Self { principal, provider_session: None, return_to: "/".into(), ends: None }
    }
}

/// Why nobody signed in. The text is for the audit log; [`SignInError::to_visitor`] is for the visitor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No provider is called so.
    #[error("no such provider")]
    NoSuchProvider,
    /// It does not have what is asked for.
    #[error("the provider announces no device flow")]
    NoDeviceFlow,
    /// The provider cannot be reached, or answers nonsense.
    #[error("the provider: {0}")]
    Provider(String),
    /// The answer belongs to no sign-in that this browser has begun.
    #[error("the sign-in was not begun, or not here: {0}")]
    NotBegun(&'static str),
    /// The answer is not understood.
    #[error("the provider's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The provider says no, by an error of RFC 6749.
    #[error("the provider refused: {0}")]
    Denied(String),
    /// The identity token is not good.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The SAML answer is not good.
    #[error(transparent)]
    Saml(#[from] ResponseError),
}

impl SignInError {
    /// What the visitor is told. Nothing of what came in is in it.
    pub const fn to_visitor(&self) -> &'static str {
        match self {
            Self::NoSuchProvider => "There is no such provider.",
            Self::NoDeviceFlow => "This provider has no sign-in by code on another device.",
            Self::Provider(_) => "The identity provider cannot be reached, or does not answer as it should.",
            Self::NotBegun(_) => "This sign-in was not begun in this browser, was used before, or took too long.",
            Self::Saml(ResponseError::Status(_)) => "The identity provider refused the sign-in.",
            Self::Saml(ResponseError::Encrypted) => {
                "The identity provider encrypts its answers, which is not supported."
            }
            Self::Saml(ResponseError::Time(_)) => "The identity provider's answer is too old, or its clock is wrong.",
            Self::Malformed(_) | Self::Identity(_) | Self::Saml(_) => {
                "The identity provider's answer was not accepted."
            }
            Self::Denied(_) => "The identity provider refused the sign-in.",
        }
    }
}

/// A word that an error of RFC 6749 is, and nothing that could be more.
pub(crate) fn error_word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect()
}

impl SignIn {
    /// Adds the providers that people may sign in at.
    ///
    /// # Errors
    /// The first problem in their configuration.
    pub fn with_providers(mut self, configs: Vec<crate::ProviderConfig>) -> Result<Self, ConfigError> {
        for config in configs {
            let (name, provider) = (config.name.clone(), Arc::new(Provider::new(config)?));
            if self.providers.insert(name.clone(), provider).is_some() {
                return Err(ConfigError::DuplicateName { name });
            }
        }
        Ok(self)
    }

    /// The names of the providers, of all kinds, in their order.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self.providers.keys().chain(self.saml.keys()).map(String::as_str).collect();
        names.into_iter()
    }

    /// Whether a provider speaks SAML.
    pub fn is_saml(&self, provider: &str) -> bool {
        self.saml.contains_key(provider)
    }

    pub(crate) fn provider(&self, name: &str) -> Result<&Arc<Provider>, SignInError> {
        self.providers.get(name).ok_or(SignInError::NoSuchProvider)
    }

    fn redirect_uri(&self, provider: &str) -> String {
        self.settings().url(&format!("/auth/callback/{provider}"))
    }

    /// Begins a sign-in: the browser is sent to the provider.
    ///
    /// # Errors
    /// Where the provider is unknown, or cannot be reached.
    pub async fn begin_sign_in(
        &self,
        provider: &str,
        return_to: Option<&str>,
        now: Timestamp,
    ) -> Result<Away, SignInError> {
        if let Some(config) = self.saml.get(provider) {
            return self.begin_saml(config, return_to, now);
        }
        let provider = self.provider(provider)?;
        let endpoints = provider.endpoints().await?;
        let [state, nonce, verifier, cookie] = [(); 4].map(|()| secret::fresh(""));
        let name = &provider.config.name;
        let mut location = endpoints.authorization.clone();
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.config.client_id)
            .append_pair("redirect_uri", &self.redirect_uri(name))
            .append_pair("scope", &provider.scope())
            .append_pair("state", state.expose())
            .append_pair("nonce", nonce.expose())
            .append_pair("code_challenge", &challenge(verifier.expose()))
            .append_pair("code_challenge_method", "S256");
        let pending = Pending {
            provider: name.clone(),
            browser: secret::hash(cookie.expose()),
            nonce,
            verifier,
            return_to: self.settings().return_to(return_to),
        };
        self.pending.put(state.expose(), now.after(SIGN_IN_TTL), pending);
        Ok(Away { location: location.into(), cookie })
    }

    /// Ends a sign-in: the provider sent the browser back with `query`. Whatever comes of it, it was used.
    ///
    /// # Errors
    /// Why nobody signed in.
    pub async fn finish_sign_in(
        &self,
        provider: &str,
        query: &str,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        let answer = answer_of(query)?;
        let word = |name: &str| answer.get(name).map(String::as_str);
        let state = word("state").ok_or(SignInError::Malformed("no state"))?;
        let pending = self.pending.take(state, now).ok_or(SignInError::NotBegun("unknown, used or old state"))?;
        // Before anything else is believed: whose browser is it?
        if cookie.map(secret::hash) != Some(pending.browser) {
            return Err(SignInError::NotBegun("in another browser"));
        }
        if pending.provider != provider {
            return Err(SignInError::NotBegun("at another provider"));
        }
        let provider = self.provider(provider)?;
        let endpoints = provider.endpoints().await?;
        match word("iss") {
            Some(iss) if iss != provider.config.issuer => return Err(SignInError::Malformed("iss is of another")),
            None if endpoints.says_issuer => return Err(SignInError::Malformed("no iss")),
            Some(_) | None => {}
        }
        if let Some(error) = word("error") {
            return Err(SignInError::Denied(error_word(error)));
        }
        let code = word("code").filter(|c| !c.is_empty()).ok_or(SignInError::Malformed("no code"))?;
        let redirect_uri = self.redirect_uri(&provider.config.name);
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", pending.verifier.expose()),
        ];
        let tokens = provider.tokens(&endpoints, &grant).await?;
        if let Some(error) = &tokens.error {
            return Err(SignInError::Denied(error_word(error)));
        }
        let who = provider.identity(&endpoints, &tokens, Some(pending.nonce.expose()), now).await?;
        let (principal, provider_session) = (who.principal, who.session);
        Ok(SignedIn { principal, provider_session, return_to: pending.return_to, ends: None })
    }
}

/// The challenge of PKCE S256 (RFC 7636, section 4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// The parameters of an answer, each at most once (RFC 6749, section 3.1).
fn answer_of(query: &str) -> Result<BTreeMap<String, String>, SignInError> {
    if query.len() > MAX_QUERY {
        return Err(SignInError::Malformed("too long"));
    }
    let mut url = Url::parse("http://localhost/").map_err(|_| SignInError::Malformed("query"))?;
    url.set_query(Some(query));
    let mut answer = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        if answer.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(SignInError::Malformed("a parameter that is there twice"));
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn answers_say_each_thing_once() {
        let answer = answer_of("code=a%20b&state=x+y").unwrap();
        assert_eq!((answer["code"].as_str(), answer["state"].as_str()), ("a b", "x y"));
        for bad in ["code=a&code=b", "state=a&code=b&state=a", &format!("code={}", "a".repeat(9000))] {
            assert!(answer_of(bad).is_err());
        }
        assert_eq!(error_word("access_denied<script>\u{1b}[31m"), "access_deniedscript31m");
    }
}
