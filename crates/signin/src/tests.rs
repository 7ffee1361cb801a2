//! Sessions, the first administrator and keys, over a real store.
use super::*;
use doorward_model::{Principal, PrincipalKind, Timestamp};
use doorward_store::{KeyScope, Limit, SessionPurpose};
use http::{HeaderMap, HeaderValue, Method, header};
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn in_secs(secs: u64) -> Timestamp {
    NOW.after(Duration::from_secs(secs))
}

pub(crate) fn person(subject: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        issuer: "corp".into(),
        subject: subject.into(),
        groups: ["staff".to_owned()].into(),
        tags: [].into(),
        token_id: None,
        expires_at: in_secs(300),
        on_behalf_of: None,
    }
}

pub(crate) struct World {
    pub(crate) signin: SignIn,
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), NOW).await.unwrap();
        let settings = Settings::new("https://doors.example", SessionLimits::default()).unwrap();
        Self { signin: SignIn::new(store, settings), dir }
    }

    async fn browser(&self, subject: &str) -> Begun {
        self.signin.begin(SignedIn::new(person(subject)), "oidc", SessionPurpose::Browser, NOW).await.unwrap()
    }

    async fn ask(&self, headers: &HeaderMap, method: Method, now: Timestamp) -> Result<Caller, Refused> {
        self.signin.authenticate(&Names, headers, &method, now).await
    }

    /// Every byte of the database.
    fn on_disk(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        files.flat_map(|f| std::fs::read(f.unwrap().path()).unwrap()).collect()
    }
}

/// The token is the name.
struct Names;

impl TokenCheck for Names {
    fn check<'a>(&'a self, token: &'a str) -> TokenAnswer<'a> {
        Box::pin(async move { if token == "bad" { Err("the signature is wrong".into()) } else { Ok(person(token)) } })
    }
}

fn cookie(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("__Host-doorward={value}")).unwrap();
    [(header::COOKIE, value)].into_iter().collect()
}

fn bearer(value: &str) -> HeaderMap {
    [(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {value}")).unwrap())].into_iter().collect()
}

fn has(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

#[tokio::test]
async fn a_session_is_its_cookie_until_it_is_idle_or_old() {
    let world = World::new().await;
    let begun = world.browser("alice").await;
    let headers = cookie(begun.secret.expose());
    let caller = world.ask(&headers, Method::GET, in_secs(10)).await.unwrap();
    assert_eq!((caller.principal.id().as_str(), caller.principal.expires_at), ("corp/alice", in_secs(12 * 3600)));
    assert!(caller.is_within_scope("approve", Some("orders")));
    // An hour without a request, counted from the last one.
    world.ask(&headers, Method::GET, in_secs(3000)).await.unwrap();
    world.ask(&headers, Method::GET, in_secs(6500)).await.unwrap();
    let over = Err(Refused::NotGood("the session is unknown or over".into()));
    assert_eq!(world.ask(&headers, Method::GET, in_secs(6500 + 3600)).await, over);
    // Used all the time, and over all the same.
    let headers = cookie(world.browser("alice").await.secret.expose());
    for hour in (0..12 * 3600).step_by(1800) {
        world.ask(&headers, Method::GET, in_secs(hour)).await.unwrap();
    }
    assert_eq!(world.ask(&headers, Method::GET, in_secs(12 * 3600)).await, over);
}

#[tokio::test]
async fn what_a_browser_vouches_for_ends_no_later_than_its_provider_says() {
    let world = World::new().await;
    let (secret, at_provider) = ("v".repeat(43), Some("their-session".to_owned()));
    let saml = SignedIn { provider_session: at_provider, ends: Some(in_secs(900)), ..SignedIn::new(person("alice")) };
    let by_saml = world.signin.begin(saml, "saml", SessionPurpose::Browser, NOW).await.unwrap();
    // The token of `person` ends after 300 seconds.
    let by_token = world.signin.begin_with_token(person("bob"), NOW).await.unwrap();
    let by_oidc = world.browser("carol").await;
    let cli = SessionLimits::default().cli.as_secs();
    for (begun, at_provider, ends) in [(by_saml, true, 900), (by_token, false, 300), (by_oidc, false, cli)] {
        let caller = world.ask(&cookie(begun.secret.expose()), Method::GET, in_secs(10)).await.unwrap();
        let code = world.signin.vouch_for_cli(&caller, &oidc::challenge(&secret), in_secs(10)).unwrap();
        let made = world.signin.redeem_cli_code(code.expose(), &secret, NOW).await.unwrap().unwrap();
        assert_eq!(made.session.principal.expires_at, in_secs(ends));
        // The provider ends it with its own session.
        assert_eq!(made.session.provider_session.is_some(), at_provider);
        let headers = bearer(made.secret.expose());
        assert!(world.ask(&headers, Method::GET, in_secs(ends - 1)).await.is_ok());
        assert!(world.ask(&headers, Method::GET, in_secs(ends)).await.is_err());
    }
}

#[tokio::test]
async fn what_nobody_has_used_for_long_comes_back_by_no_way() {
    let world = World::new().await;
    let old = world.browser("alice").await.secret;
    let other = world.browser("bob").await.secret;
    let held = async |secret: &str| world.signin.held(secret, SessionPurpose::Browser).await.unwrap().is_some();
    let later = in_secs(2 * 3600);
    // It is good for nothing, and can be ended by who has it.
    assert!(world.signin.session(old.expose(), SessionPurpose::Browser, later).await.unwrap().is_none());
    assert!(held(old.expose()).await);
    // Whoever signs in anew has no other one.
    let new = world.signin.begin(SignedIn::new(person("alice")), "oidc", SessionPurpose::Browser, later).await.unwrap();
    assert!(!held(old.expose()).await && held(other.expose()).await && held(new.secret.expose()).await);
}

#[tokio::test]
async fn what_is_on_the_disk_signs_nobody_in() {
    let world = World::new().await;
    let secrets = [
        world.browser("alice").await.secret,
        world.signin.begin(SignedIn::new(person("bob")), "oidc", SessionPurpose::Cli, NOW).await.unwrap().secret,
        world.signin.offer_bootstrap(NOW).await.unwrap().unwrap(),
        world.signin.make_key(&by_token("carol"), new_key(), NOW).await.unwrap().0,
    ];
    let disk = world.on_disk();
    assert!(has(&disk, b"alice"));
    for secret in secrets {
        assert!(!has(&disk, secret.expose().as_bytes()));
        assert!(has(&disk, &secret::hash(secret.expose())));
    }
}

#[tokio::test]
async fn a_cookie_changes_nothing_from_other_peoples_pages() {
    let world = World::new().await;
    let mut headers = cookie(world.browser("alice").await.secret.expose());
    assert_eq!(world.ask(&headers, Method::POST, NOW).await, Err(Refused::CrossSite));
    headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
    assert_eq!(world.ask(&headers, Method::DELETE, NOW).await, Err(Refused::CrossSite));
    headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    assert!(world.ask(&headers, Method::POST, NOW).await.is_ok());
    // A header that browsers do not add by themselves needs no such proof.
    assert!(world.ask(&bearer("dave"), Method::POST, NOW).await.is_ok());
}

#[tokio::test]
async fn each_secret_is_good_in_its_own_place_alone() {
    let world = World::new().await;
    let browser = world.browser("alice").await.secret;
    let cli = world.signin.begin(SignedIn::new(person("bob")), "oidc", SessionPurpose::Cli, NOW).await.unwrap().secret;
    let (key, _) = world.signin.make_key(&by_token("carol"), new_key(), NOW).await.unwrap();
    let ids = |c: Result<Caller, Refused>| c.map(|c| c.principal.id());
    assert_eq!(ids(world.ask(&bearer(cli.expose()), Method::POST, NOW).await), Ok("corp/bob".into()));
    assert_eq!(ids(world.ask(&bearer(key.expose()), Method::POST, NOW).await), Ok("corp/carol".into()));
    for bad in [&cli, &key] {
        assert!(world.ask(&cookie(bad.expose()), Method::GET, NOW).await.is_err());
    }
    // Not ours by its form: it is an issuer's token, if anything.
    assert_eq!(ids(world.ask(&bearer(browser.expose()), Method::GET, NOW).await).unwrap().len(), "corp/".len() + 43);
    // A header that is there decides, also where it is bad.
    let mut both = cookie(browser.expose());
    both.extend(bearer("bad"));
    assert_eq!(world.ask(&both, Method::GET, NOW).await, Err(Refused::NotGood("the signature is wrong".into())));
    assert_eq!(world.ask(&HeaderMap::new(), Method::GET, NOW).await, Err(Refused::Nothing));
    let mut twice = bearer("a");
    twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
    assert!(world.ask(&twice, Method::GET, NOW).await.is_err());
    assert!(world.ask(&bearer("dwk_short"), Method::GET, NOW).await.is_err());
}

#[tokio::test]
async fn signing_out_ends_one_session_or_all_of_them() {
    let world = World::new().await;
    let (one, two, other) = (world.browser("alice").await, world.browser("alice").await, world.browser("bob").await);
    let mut endings = world.signin.endings();
    let good = async |b: &Begun| world.ask(&cookie(b.secret.expose()), Method::GET, NOW).await.is_ok();
    assert_eq!(world.signin.sessions_of(&person("alice"), NOW).await.unwrap().len(), 2);
    assert!(world.signin.end(&one.session.id).await.unwrap());
    assert!(!world.signin.end(&one.session.id).await.unwrap());
    assert!(!good(&one).await && good(&two).await);
    assert_eq!(endings.recv().await, Ok(Ended::Session(one.session.id.clone())));
    assert_eq!(world.signin.end_all("corp", "alice").await.unwrap(), 1);
    assert!(!good(&two).await && good(&other).await);
}

/// CAEP 1.0, section 3.1; times have whole seconds there (RFC 8417, section 2.2). Each event counts by itself: a second one of the same
/// second ends what began since the first.
#[tokio::test]
async fn two_events_of_one_second_end_what_began_in_it() {
    let world = World::new().await;
    let until = NOW.after(Duration::from_micros(999_999));
    let event = |id: &str| doorward_identity::SessionRevoked {
        issuer: "corp".into(),
        subject: "anna".into(),
        until,
        id: id.into(),
    };
    let begin = async |subject: &str, after: Duration| {
        let who = SignedIn::new(person(subject));
        world.signin.begin(who, "oidc", SessionPurpose::Browser, NOW.after(after)).await.unwrap()
    };
    let ended = async |id: &str| world.signin.end_revoked(&event(id), NOW).await.unwrap();
    begin("anna", Duration::ZERO).await;
    begin("omar", Duration::ZERO).await;
    assert_eq!(ended("1").await, 1);
    begin("anna", Duration::from_millis(300)).await;
    begin("anna", Duration::from_micros(999_999)).await;
    assert_eq!(ended("2").await, 2, "not taken for the first");
    begin("anna", Duration::from_secs(1)).await;
    assert_eq!((ended("3").await, ended("3").await), (0, 0), "of a later second, and sent again");
}

#[tokio::test]
async fn the_first_administrator_is_offered_once_and_signs_in_once() {
    let world = World::new().await;
    let code = world.signin.offer_bootstrap(NOW).await.unwrap().unwrap();
    assert!(world.signin.offer_bootstrap(NOW).await.unwrap().is_none());
    let wrong = secret::fresh("dwb_");
    for bad in ["", "dwb_", wrong.expose()] {
        assert_eq!(world.signin.use_bootstrap(bad, NOW).await.unwrap(), None);
    }
    let who = world.signin.use_bootstrap(code.expose(), NOW).await.unwrap().unwrap();
    assert_eq!((who.id().as_str(), who.groups.contains(ADMINS)), ("local/admin", true));
    assert_eq!(world.signin.use_bootstrap(code.expose(), NOW).await.unwrap(), None);
    assert!(world.signin.offer_bootstrap(NOW).await.unwrap().is_none());
    // With the machine in hand, once more; and it does not last.
    world.signin.withdraw_bootstrap().await.unwrap();
    let code = world.signin.offer_bootstrap(NOW).await.unwrap().unwrap();
    assert_eq!(world.signin.use_bootstrap(code.expose(), in_secs(3600)).await.unwrap(), None);
}

pub(crate) fn by_token(subject: &str) -> Caller {
    Caller { principal: person(subject), by: By::Token }
}

fn new_key() -> NewKey {
    let scope = KeyScope {
        actions: Limit::Only(["approve".to_owned()].into()),
        connections: Limit::Only(["orders".to_owned()].into()),
    };
    NewKey { name: "ci".into(), scope, ttl: None }
}

#[tokio::test]
async fn a_key_is_its_owner_within_its_scope_until_it_ends() {
    let world = World::new().await;
    let (secret, key) = world.signin.make_key(&by_token("alice"), new_key(), NOW).await.unwrap();
    let headers = bearer(secret.expose());
    let caller = world.ask(&headers, Method::POST, in_secs(5)).await.unwrap();
    assert_eq!(caller.principal.token_id, Some(format!("api-key:{}", key.id)));
    assert!(caller.principal.groups.contains("staff"));
    for (action, connection, want) in [
        ("approve", Some("orders"), true),
        ("approve", None, false),
        ("approve", Some("other"), false),
        ("kill", Some("orders"), false),
    ] {
        assert_eq!(caller.is_within_scope(action, connection), want, "{action} {connection:?}");
    }
    // It makes no others, and its use is shown to the minute.
    let again = world.signin.make_key(&caller, new_key(), NOW).await;
    assert!(matches!(again, Err(KeyError::ByKey)));
    let used = async || world.signin.keys(Some(&person("alice")), None, 10).await.unwrap()[0].last_used;
    assert_eq!(used().await, Some(in_secs(5)));
    world.ask(&headers, Method::GET, in_secs(64)).await.unwrap();
    assert_eq!(used().await, Some(in_secs(5)));
    world.ask(&headers, Method::GET, in_secs(65)).await.unwrap();
    assert_eq!(used().await, Some(in_secs(65)));
    let day = 24 * 3600;
    world.ask(&headers, Method::GET, in_secs(90 * day - 1)).await.unwrap();
    let why = |r: Result<Caller, Refused>| r.unwrap_err().to_string();
    assert_eq!(why(world.ask(&headers, Method::GET, in_secs(90 * day)).await), "the API key has expired");
    assert!(world.signin.revoke_key(&key.id, NOW).await.unwrap());
    assert!(!world.signin.revoke_key(&key.id, NOW).await.unwrap());
    assert_eq!(why(world.ask(&headers, Method::GET, NOW).await), "the API key was revoked");
}

#[tokio::test]
async fn keys_without_sense_or_number_are_not_made() {
    let world = World::new().await;
    let bob = by_token("bob");
    let nothing = KeyScope { actions: Limit::Only([].into()), connections: Limit::All };
    for bad in [
        NewKey { name: String::new(), ..new_key() },
        NewKey { name: "a\nb".into(), ..new_key() },
        NewKey { name: "a".repeat(129), ..new_key() },
        NewKey { scope: nothing, ..new_key() },
        NewKey { ttl: Some(Duration::ZERO), ..new_key() },
        NewKey { ttl: Some(LONGEST_KEY_TTL + Duration::from_secs(1)), ..new_key() },
    ] {
        let made = world.signin.make_key(&bob, bad.clone(), NOW).await;
        assert!(matches!(made, Err(KeyError::Asked(_))), "{bad:?}");
    }
    for _ in 0..100 {
        world.signin.make_key(&bob, new_key(), NOW).await.unwrap();
    }
    assert!(matches!(world.signin.make_key(&bob, new_key(), NOW).await, Err(KeyError::TooMany)));
    assert_eq!(world.signin.keys(Some(&person("bob")), None, 30).await.unwrap().len(), 30);
    let scope: KeyScope = serde_json::from_str(r#"{"actions":"all","connections":["a"]}"#).unwrap();
    assert_eq!(scope, KeyScope { actions: Limit::All, connections: Limit::Only(["a".to_owned()].into()) });
    assert!(serde_json::from_str::<KeyScope>(r#"{"actions":"any","connections":[]}"#).is_err());
}
