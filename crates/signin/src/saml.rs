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
use doorward_identity::{ConfigError, check_groups, check_tags};
use doorward_model::{Principal, PrincipalKind, Secret, Timestamp};
use doorward_saml::{Assertion, AuthnRequest, Expected, IdentityProvider, ServiceProvider, SigningKey};
use doorward_store::SecretHash;
use parking_lot::Mutex;
use reqwest::Url;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
    let groups: BTreeSet<String> = said.attribute(&config.groups_claim)?.into_iter().map(str::to_owned).collect();
    check_groups(&groups)?;
    check_tags(tags.values())?;
    Ok(Principal {
        kind: PrincipalKind::User,
        issuer: config.name.clone(),
        subject,
        groups,
        tags,
        token_id: None,
        expires_at: now.after(length),
        on_behalf_of: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SessionLimits, Settings};
    use doorward_model::PrincipalKind;
    use doorward_store::{SessionPurpose, Store};

    const METADATA: &str = include_str!("../../saml/testdata/keycloak-metadata.xml");
    const ANSWER: &str = include_str!("../../saml/testdata/keycloak-both.xml");
    /// 2026-11-27T00:00:17Z, when the answer is good.
    const NOW: Timestamp = Timestamp::from_secs(1_795_737_617);

    struct World {
        signin: SignIn,
        _dir: tempfile::TempDir,
    }

    fn config() -> SamlConfig {
        SamlConfig {
            name: "corp".into(),
            provider: IdentityProvider::of_metadata(METADATA).unwrap(),
            entity_id: Some("http://127.0.0.1:9999/auth/saml/corp".into()),
            subject_claim: None,
            groups_claim: "groups".into(),
            tags: [("team".to_owned(), "groups".to_owned()), ("no".to_owned(), "nosuch".to_owned())].into(),
            signing: None,
        }
    }

    async fn world(config: SamlConfig) -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), NOW).await.unwrap();
        let settings = Settings::new("http://127.0.0.1:9999", SessionLimits::default()).unwrap();
        let signin = SignIn::new(store, settings).with_saml(vec![config]).unwrap();
        World { signin, _dir: dir }
    }

    impl World {
        /// A sign-in whose request has the name that the answer has.
        fn waits(&self, state: &str) {
            let pending = SamlPending {
                provider: "corp".into(),
                browser: secret::hash("cookie"),
                request: "_golden".into(),
                return_to: "/approvals".into(),
            };
            self.signin.saml_pending.put(state, NOW.after(SIGN_IN_TTL), pending);
        }

        fn take(&self, state: &str) -> Result<Secret<String>, SignInError> {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            self.signin.take_saml_answer("corp", &STANDARD.encode(ANSWER), Some(state), NOW)
        }
    }

    #[tokio::test]
    async fn an_answer_becomes_a_person_once_and_in_one_browser() {
        let world = world(config()).await;
        world.waits("a");
        let ticket = world.take("a").unwrap();
        let who = world.signin.finish_saml("corp", ticket.expose(), Some("cookie"), NOW).unwrap();
        let p = &who.principal;
        assert_eq!(
            (p.id().as_str(), p.kind, who.return_to.as_str()),
            ("corp/alice", PrincipalKind::User, "/approvals")
        );
        assert!(p.groups.contains("sre") && p.groups.len() == 1);
        assert_eq!(p.tags, [("team".to_owned(), "sre".to_owned())].into());
        // The provider's session ends before ours would.
        let begun = world.signin.begin(who.clone(), "saml", SessionPurpose::Browser, NOW).await.unwrap();
        assert_eq!(Some(begun.session.principal.expires_at), who.ends);
        assert!(who.ends.unwrap() < NOW.after(SessionLimits::default().absolute));
        assert_eq!(
            (begun.session.purpose, begun.session.provider_session),
            (SessionPurpose::Browser, who.provider_session)
        );
        // The ticket, the request and the assertion were used.
        let again = world.signin.finish_saml("corp", ticket.expose(), Some("cookie"), NOW);
        assert_eq!(again.unwrap_err(), SignInError::NotBegun("unknown, used or old ticket"));
        assert_eq!(world.take("a").unwrap_err(), SignInError::NotBegun("unknown, used or old RelayState"));
        world.waits("b");
        assert_eq!(world.take("b").unwrap_err(), SignInError::NotBegun("the assertion was used before"));
    }

    #[tokio::test]
    async fn tickets_are_for_the_browser_that_began_and_for_a_minute() {
        for (cookie, late, want) in [
            (Some("another"), 0, "in another browser"),
            (None, 0, "in another browser"),
            (Some("cookie"), 60, "unknown, used or old ticket"),
        ] {
            let world = world(config()).await;
            world.waits("a");
            let ticket = world.take("a").unwrap();
            let at = NOW.after(Duration::from_secs(late));
            let found = world.signin.finish_saml("corp", ticket.expose(), cookie, at);
            assert_eq!(found.unwrap_err(), SignInError::NotBegun(want));
            // Whoever tried has used it up.
            assert!(world.signin.finish_saml("corp", ticket.expose(), Some("cookie"), NOW).is_err());
        }
    }

    #[tokio::test]
    async fn people_are_named_by_one_attribute_where_it_is_wanted() {
        let world = world(SamlConfig { subject_claim: Some("groups".into()), ..config() }).await;
        world.waits("a");
        let ticket = world.take("a").unwrap();
        let who = world.signin.finish_saml("corp", ticket.expose(), Some("cookie"), NOW).unwrap();
        assert_eq!(who.principal.id(), "corp/sre");
        let world = self::world(SamlConfig { subject_claim: Some("nosuch".into()), ..config() }).await;
        world.waits("a");
        let want = SignInError::Malformed("the attribute of `subject_claim` is not there exactly once");
        assert_eq!(world.take("a").unwrap_err(), want);
        let other = SamlConfig { entity_id: None, ..config() };
        let world = self::world(other).await;
        world.waits("a");
        assert_eq!(world.take("a").unwrap_err().to_string(), "Audience is not what was expected");
    }

    #[test]
    fn no_assertion_is_forgotten_before_its_time() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let service = ServiceProvider {
            entity_id: "http://127.0.0.1:9999/auth/saml/corp".into(),
            acs_url: "http://127.0.0.1:9999/auth/saml/corp/acs".into(),
        };
        let config = config();
        let expected = Expected { provider: &config.provider, service: &service, request: "_golden", now: NOW };
        let mut said = expected.read(&STANDARD.encode(ANSWER)).unwrap();
        let used = Used::default();
        for n in 0..MOST_REMEMBERED {
            said.id = n.to_string();
            assert!(used.first("corp", &said, NOW));
        }
        // Full: nobody more, but nobody twice either; and once they are old there is room.
        said.id = "new".into();
        assert!(!used.first("corp", &said, NOW));
        said.id = "7".into();
        assert!(!used.first("corp", &said, NOW));
        let later = said.remember_until;
        said.remember_until = later.after(Duration::from_secs(60));
        assert!(used.first("corp", &said, later));
        assert_eq!(used.0.lock().len(), 1);
    }
}
