//! Signing in at a SAML provider (`doorward-saml`): the request by redirect, the answer by a form that the browser posts.
//!
//! The answer comes from a page of the provider's, so that browsers send no cookie with it that is `SameSite=Lax`, and
//! none of ours is anything else. So the post proves nothing about the browser: what it says is checked and put aside
//! under a ticket, and the browser fetches it by a redirect, with which its cookie comes.
//!
//! | attack | what stands against it |
//! |---|---|
//! | an answer that the visitor did not ask for (CSRF, fixation, sign-ins begun at the provider) | `RelayState` names a request that waits, the cookie of the browser has to be the one that began it |
//! | an answer that is sent again | the request is taken out as it is used; assertions are remembered until they end |
//! | `RelayState` that leads elsewhere | it is a random word and never an address |
//! | everything about the document | see `doorward_saml` |
use crate::{Away, SIGN_IN_TTL, SignIn, SignInError, SignedIn, secret};
use doorward_identity::ConfigError;
use doorward_model::{Principal, PrincipalKind, Secret, Timestamp};
use doorward_saml::{Assertion, AuthnRequest, Expected, IdentityProvider, ServiceProvider, SigningKey};
use doorward_store::SecretHash;
use parking_lot::Mutex;
use reqwest::Url;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// How long a browser may take to fetch what its post has brought.
const TICKET_TTL: Duration = Duration::from_secs(60);
/// How many assertions are remembered at most: more in their few minutes is no sign-in of people.
const MOST_REMEMBERED: usize = 64 * 1024;
/// As for tokens.
const MAX_SUBJECT: usize = 1024;

/// One `[[identity.providers]]` entry of kind `saml`.
#[derive(Clone, Debug)]
pub struct SamlConfig {
    /// The name that principals carry, and that people choose by.
    pub name: String,
    /// What is known of the provider.
    pub provider: IdentityProvider,
    /// Our name there; the address of our metadata, where there is none.
    pub entity_id: Option<String>,
    /// The attribute that names people; none: the `NameID` does.
    pub subject_claim: Option<String>,
    /// The attribute that lists groups.
    pub groups_claim: String,
    /// Tag for policies → attribute.
    pub tags: BTreeMap<String, String>,
    /// What our requests are signed with; none: they are not.
    pub signing: Option<Arc<SigningKey>>,
}

impl SamlConfig {
    /// Whether it can be used, as far as can be told without the provider.
    ///
    /// # Errors
    /// The first problem.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let field = |field, problem| Err(ConfigError::Field { name: self.name.clone(), field, problem });
        let word = self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !word || self.name.is_empty() || self.name.len() > 64 {
            return Err(ConfigError::Name { name: self.name.clone() });
        }
        if self.name == crate::LOCAL {
            return field("name", "is the gateway's own");
        }
        let sso = Url::parse(&self.provider.sso_url).ok().filter(|u| u.fragment().is_none());
        match sso.as_ref().map(|u| (u.scheme(), crate::settings::is_loopback(u))) {
            Some(("https", _) | ("http", true)) => {}
            Some(("http", false)) => return field("sso_url", "plain http is for loopback only"),
            Some(_) | None => return field("sso_url", "is not an address of https"),
        }
        if self.provider.entity_id.is_empty() {
            return field("issuer", "must not be empty");
        }
        if self.provider.certificates.is_empty() {
            return field("certificates", "must not be empty: without one no answer can be believed");
        }
        if self.groups_claim.is_empty() || self.subject_claim.as_ref().is_some_and(String::is_empty) {
            return field("groups_claim", "and `subject_claim` name an attribute, or are left out");
        }
        Ok(())
    }
}

/// A sign-in under way.
#[derive(Debug)]
pub(crate) struct SamlPending {
    provider: String,
    /// The hash of the browser's cookie.
    browser: SecretHash,
    /// The name of our request.
    request: String,
    return_to: String,
}

/// A sign-in that went well, before its browser is known.
#[derive(Debug)]
pub(crate) struct SamlDone {
    provider: String,
    browser: SecretHash,
    who: SignedIn,
}

/// The assertions that were used, until they would be refused for their age.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<HashMap<(String, String), Timestamp>>);

impl Used {
    /// Whether an assertion is used for the first time. Where there are too many, it is not: nothing is forgotten.
    fn first(&self, provider: &str, assertion: &Assertion, now: Timestamp) -> bool {
        let mut kept = self.0.lock();
        if kept.len() >= MOST_REMEMBERED {
            kept.retain(|_, until| *until > now);
        }
        let key = (provider.to_owned(), assertion.id.clone());
        if kept.len() >= MOST_REMEMBERED || kept.get(&key).is_some_and(|until| *until > now) {
            return false;
        }
        kept.insert(key, assertion.remember_until);
        true
    }
}

impl SignIn {
    /// Adds SAML providers that people may sign in at.
    ///
    /// # Errors
    /// The first problem in their configuration.
    pub fn with_saml(mut self, configs: Vec<SamlConfig>) -> Result<Self, ConfigError> {
        for config in configs {
            config.validate()?;
            let name = config.name.clone();
            if self.providers.contains_key(&name) || self.saml.insert(name.clone(), Arc::new(config)).is_some() {
                return Err(ConfigError::DuplicateName { name });
            }
        }
        Ok(self)
    }

    fn saml_provider(&self, name: &str) -> Result<&Arc<SamlConfig>, SignInError> {
        self.saml.get(name).ok_or(SignInError::NoSuchProvider)
    }

    fn saml_service(&self, config: &SamlConfig) -> ServiceProvider {
        let at = |path: &str| self.settings().url(&format!("/auth/saml/{}{path}", config.name));
        ServiceProvider { entity_id: config.entity_id.clone().unwrap_or_else(|| at("/metadata")), acs_url: at("/acs") }
    }

    /// What a SAML provider may be given to know us by.
    ///
    /// # Errors
    /// Where there is no such provider.
    pub fn saml_metadata(&self, provider: &str) -> Result<String, SignInError> {
        let config = self.saml_provider(provider)?;
        Ok(self.saml_service(config).metadata(config.signing.as_ref().map(|key| key.certificate())))
    }

    pub(crate) fn begin_saml(
        &self,
        config: &SamlConfig,
        return_to: Option<&str>,
        now: Timestamp,
    ) -> Result<Away, SignInError> {
        let [state, id, cookie] = [(); 3].map(|()| secret::fresh(""));
        let service = self.saml_service(config);
        // A name in XML does not begin with a digit.
        let request = format!("_{}", id.expose());
        let ask = AuthnRequest {
            provider: &config.provider,
            service: &service,
            id: &request,
            now,
            relay_state: state.expose(),
        };
        let location = ask.location(config.signing.as_deref());
        let location = location.ok_or_else(|| SignInError::Provider("our request to it cannot be signed".into()))?;
        let pending = SamlPending {
            provider: config.name.clone(),
            browser: secret::hash(cookie.expose()),
            request,
            return_to: self.settings().return_to(return_to),
        };
        self.saml_pending.put(state.expose(), now.after(SIGN_IN_TTL), pending);
        Ok(Away { location, cookie })
    }

    /// Takes a provider's answer, as somebody's browser has posted it. Whatever comes of it, the request was used. Gives
    /// the ticket with which the browser that began it, and no other, goes on ([`SignIn::finish_saml`]).
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn take_saml_answer(
        &self,
        provider: &str,
        answer: &str,
        relay_state: Option<&str>,
        now: Timestamp,
    ) -> Result<Secret<String>, SignInError> {
        let config = self.saml_provider(provider)?;
        // Nobody has the document read who cannot name a request that waits.
        let state =
            relay_state.ok_or(SignInError::NotBegun("no RelayState: a sign-in begins here, not at the provider"))?;
        let pending = self.saml_pending.take(state, now);
        let pending = pending.ok_or(SignInError::NotBegun("unknown, used or old RelayState"))?;
        if pending.provider != provider {
            return Err(SignInError::NotBegun("at another provider"));
        }
        let service = self.saml_service(config);
        let expected = Expected { provider: &config.provider, service: &service, request: &pending.request, now };
        let assertion = expected.read(answer)?;
        if !self.saml_used.first(provider, &assertion, now) {
            return Err(SignInError::NotBegun("the assertion was used before"));
        }
        let who = SignedIn {
            principal: principal(config, &assertion, self.settings().limits().absolute, now)?,
            provider_session: assertion.session.clone(),
            return_to: pending.return_to,
            ends: assertion.session_ends,
        };
        let ticket = secret::fresh("");
        let done = SamlDone { provider: provider.to_owned(), browser: pending.browser, who };
        self.saml_done.put(ticket.expose(), now.after(TICKET_TTL), done);
        Ok(ticket)
    }

    /// Ends a sign-in: the browser comes with a ticket, and has to be the one that began it. The ticket is used by any try.
    ///
    /// # Errors
    /// Why nobody signed in.
    pub fn finish_saml(
        &self,
        provider: &str,
        ticket: &str,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        let done = self.saml_done.take(ticket, now).ok_or(SignInError::NotBegun("unknown, used or old ticket"))?;
        if cookie.map(secret::hash) != Some(done.browser) {
            return Err(SignInError::NotBegun("in another browser"));
        }
        if done.provider != provider {
            return Err(SignInError::NotBegun("at another provider"));
        }
        Ok(done.who)
    }
}

/// Who it is, by what the provider says.
fn principal(
    config: &SamlConfig,
    said: &Assertion,
    length: Duration,
    now: Timestamp,
) -> Result<Principal, SignInError> {
    let one = |claim: &str, what: &'static str| match said.attribute(claim)?.as_slice() {
        [value] => Ok((*value).to_owned()),
        _ => Err(SignInError::Malformed(what)),
    };
    let subject = match &config.subject_claim {
        Some(claim) => one(claim, "the attribute of `subject_claim` is not there exactly once")?,
        None if said.is_transient => {
            return Err(SignInError::Malformed("a transient NameID is another one each time: set `subject_claim`"));
        }
        None => said.name_id.clone(),
    };
    if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.chars().any(char::is_control) {
        return Err(SignInError::Malformed("the subject is empty, too long, or has control characters"));
    }
    let mut tags = BTreeMap::new();
    for (tag, claim) in &config.tags {
        // As for tokens: what is not there is no tag.
        if !said.attribute(claim)?.is_empty() {
            tags.insert(tag.clone(), one(claim, "an attribute of `tags` is there more than once")?);
        }
    }
    Ok(Principal {
        kind: PrincipalKind::User,
        issuer: config.name.clone(),
        subject,
        groups: said.attribute(&config.groups_claim)?.into_iter().map(str::to_owned).collect(),
        tags,
        token_id: None,
        expires_at: now.after(length),
    })
}
