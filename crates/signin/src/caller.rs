//! Who sends a request.
use crate::{Cookie, CookieTwice, Ended, SignIn, origin, secret, sessions};
use doorward_identity::SessionRevoked;
use doorward_model::{Principal, Timestamp};
use doorward_store::{KeyScope, Limit, SessionPurpose};
use http::{HeaderMap, Method, header};
use std::{future::Future, pin::Pin};

/// Answers who holds a token, or why it is not good.
pub type TokenAnswer<'a> = Pin<Box<dyn Future<Output = Result<Principal, String>> + Send + 'a>>;

/// Says whose a bearer token of an issuer is.
pub trait TokenCheck: Send + Sync {
    /// The principal, or for the audit log why the token is not good. The reason holds no part of the token.
    fn check<'a>(&'a self, token: &'a str) -> TokenAnswer<'a>;

    /// Takes no token any more that an event says is over, nor what was made for one until `heard`. False where that is nothing new.
    fn revoke(&self, _revoked: &SessionRevoked, _heard: Timestamp) -> bool {
        false
    }

    /// Whether an event that was heard since a time says that what is there of somebody is over.
    fn is_revoked(&self, _who: &Principal, _since: Timestamp) -> bool {
        false
    }
}

/// What a caller has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// An issuer's token.
    Token,
    /// The secret of a session.
    Session {
        /// The session's name.
        id: String,
        /// Who holds the secret.
        purpose: SessionPurpose,
        /// How they signed in: `oidc`, `saml`, `bootstrap`.
        auth: String,
        /// The provider's name for its own session.
        provider_session: Option<String>,
        /// When all that comes of it is over, whatever our limits say.
        provider_ends: Option<Timestamp>,
    },
    /// An API key.
    Key {
        /// The key's name.
        id: String,
        /// What it may be used for.
        scope: KeyScope,
    },
}

/// Who sends a request, and what they have shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What they have shown.
    pub by: By,
}

impl Caller {
    fn is_ended_by(&self, ended: &Ended) -> bool {
        match (ended, &self.by) {
            (Ended::Session(over), By::Session { id, .. }) | (Ended::Key(over), By::Key { id, .. }) => over == id,
            (Ended::Principal { issuer, subject }, By::Session { .. } | By::Token) => {
                let is_of = |p: &Principal| *issuer == p.issuer && *subject == p.subject;
                is_of(&self.principal) || self.principal.person().is_some_and(is_of)
            }
            (Ended::Session(_), By::Token | By::Key { .. })
            | (Ended::Key(_), By::Token | By::Session { .. })
            | (Ended::Principal { .. }, By::Key { .. }) => false,
        }
    }

    /// Whether what they have shown reaches as far as the principal does.
    pub fn is_whole(&self) -> bool {
        match &self.by {
            By::Token | By::Session { .. } => true,
            By::Key { scope, .. } => scope.actions == Limit::All && scope.connections == Limit::All,
        }
    }

    /// Whether what they have shown reaches this far: a key is for the actions and connections in its scope alone.
    /// Whether the principal may is for policies to say.
    pub fn is_within_scope(&self, action: &str, connection: Option<&str>) -> bool {
        match &self.by {
            By::Token | By::Session { .. } => true,
            By::Key { scope, .. } => {
                // What is done with the gateway is done with all connections.
                let reaches = match connection {
                    Some(name) => scope.connections.holds(name),
                    None => scope.connections == Limit::All,
                };
                scope.actions.holds(action) && reaches
            }
        }
    }
}

/// Why a request has no caller. The reasons are for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was shown.
    #[error("no Authorization header, and no session")]
    Nothing,
    /// What was shown is not good.
    #[error("{0}")]
    NotGood(String),
    /// A page that is not ours sends it with the visitor's cookie.
    #[error("a request by cookie that changes something does not come from a page of this gateway")]
    CrossSite,
    /// It cannot be looked up.
    #[error("sessions and keys cannot be read: {0}")]
    Unavailable(String),
}

fn not_good(why: &str) -> Refused {
    Refused::NotGood(why.to_owned())
}

impl SignIn {
    /// Who sends a request: by `Authorization` if there is such a header, else by the session's cookie.
    ///
    /// # Errors
    /// Why there is no caller.
    pub async fn authenticate(
        &self,
        tokens: &dyn TokenCheck,
        headers: &HeaderMap,
        method: &Method,
        now: Timestamp,
    ) -> Result<Caller, Refused> {
        let caller = match bearer(headers)? {
            Some(token) => self.by_bearer(tokens, token, now).await?,
            None => self.by_cookie(headers, method, now).await?,
        };
        if caller.principal.expires_at <= now { Err(not_good("the token has expired")) } else { Ok(caller) }
    }

    async fn by_bearer(&self, tokens: &dyn TokenCheck, token: &str, now: Timestamp) -> Result<Caller, Refused> {
        if token.starts_with(crate::keys::PREFIX) {
            return self.by_key(token, now).await;
        }
        if token.starts_with(sessions::CLI_PREFIX) {
            return self.by_session(token, SessionPurpose::Cli, now).await;
        }
        let principal = tokens.check(token).await.map_err(Refused::NotGood)?;
        Ok(Caller { principal, by: By::Token })
    }

    async fn by_cookie(&self, headers: &HeaderMap, method: &Method, now: Timestamp) -> Result<Caller, Refused> {
        let cookie = Cookie::Session.find(&self.settings, headers);
        let secret = cookie.map_err(|CookieTwice| not_good("two cookies of the session's name"))?;
        let secret = secret.filter(|s| !s.is_empty()).ok_or(Refused::Nothing)?;
        let caller = self.by_session(secret, SessionPurpose::Browser, now).await?;
        if origin::is_ours(&self.settings, headers, method) { Ok(caller) } else { Err(Refused::CrossSite) }
    }

    async fn by_session(&self, secret: &str, purpose: SessionPurpose, now: Timestamp) -> Result<Caller, Refused> {
        let found = self.session(secret, purpose, now).await.map_err(|e| Refused::Unavailable(e.to_string()))?;
        let s = found.ok_or_else(|| not_good("the session is unknown or over"))?;
        let (provider_session, provider_ends) = (s.provider_session, s.provider_ends);
        let by = By::Session { id: s.id, purpose, auth: s.auth, provider_session, provider_ends };
        Ok(Caller { principal: s.principal, by })
    }

    async fn by_key(&self, text: &str, now: Timestamp) -> Result<Caller, Refused> {
        if !secret::looks_like(crate::keys::PREFIX, text) {
            return Err(not_good("the API key is malformed"));
        }
        let found = self.key(text, now).await.map_err(|e| Refused::Unavailable(e.to_string()))?;
        let key = found.map_err(not_good)?;
        Ok(Caller { principal: key.principal, by: By::Key { id: key.id, scope: key.scope } })
    }

    /// Ready once what the caller has shown is good for nothing any more, from now on: for what stays open for them. Who
    /// falls behind is taken for ended, and has to come again.
    pub fn until_ended(&self, caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
        let (mut endings, caller) = (self.endings(), caller.clone());
        async move { while endings.recv().await.is_ok_and(|ended| !caller.is_ended_by(&ended)) {} }
    }

    /// Whether a page of ours sends a request, as far as browsers say: for routes that take no session yet.
    pub fn comes_from_us(&self, headers: &HeaderMap) -> bool {
        origin::comes_from_us(&self.settings, headers)
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(not_good("more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| not_good("the Authorization header is not text"))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| not_good("the Authorization header has no token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(not_good("the Authorization header is not of the scheme Bearer"));
    }
    Ok(Some(token.trim()))
}
