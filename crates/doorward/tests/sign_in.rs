//! Signing in at the OpenID-certified `oidc-provider`, by its own forms, and the attacks on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
mod sign_in_world;

use doorward_testkit::{Browser, Postgres, free_port};
use sign_in_world::{World, bearer};

#[test]
fn a_person_signs_in_by_browser_and_out_again() {
    let world = World::start();
    let mut browser = Browser::default();
    let choose = browser.get(&world.at("/auth/login?return_to=/approvals?x=1")).unwrap();
    assert!(choose.body.contains("Continue with corp") && choose.body.contains("Continue with other"));
    assert_eq!(choose.header("x-frame-options"), Some("DENY"));
    assert!(choose.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));

    let done = world.sign_in(&mut browser, "corp", "alice", "/approvals?x=1");
    assert_eq!((done.status, done.location()), (303, Some(world.at("/approvals?x=1"))));
    let set = done.headers.iter().find(|(n, v)| n == "set-cookie" && v.starts_with("doorward=")).unwrap();
    assert!(set.1.contains("HttpOnly") && set.1.contains("SameSite=Lax") && set.1.contains("Path=/"), "{}", set.1);
    let me = world.me(&mut browser).unwrap();
    // The groups come from the userinfo endpoint.
    assert_eq!((me["principal"].as_str(), me["groups"][0].as_str()), (Some("corp/alice"), Some("sre")));
    assert_eq!(me["auth"], "oidc");
    assert_ne!(browser.get(&world.at("/api/v1/approvals")).unwrap().status, 401);

    // Nothing is changed from other people's pages, and signing out is such a change.
    for headers in
        [vec![], vec!["Origin: http://evil.example".to_owned()], vec!["Sec-Fetch-Site: cross-site".to_owned()]]
    {
        assert_eq!(browser.clone().post(&world.at("/auth/logout"), &headers, &[]).unwrap().status, 403, "{headers:?}");
    }
    let mut thief = browser.clone();
    assert!(world.me(&mut browser).is_some());
    let out = browser.post(&world.at("/auth/logout"), &[format!("Origin: {}", world.at(""))], &[]).unwrap();
    assert_eq!((out.status, browser.cookie("doorward")), (303, None));
    assert!(world.me(&mut thief).is_none(), "the cookie is good for nothing any more");

    let audit = world.audit();
    assert!(audit.contains("sign-in at `corp`") && audit.contains("sign out"), "{audit}");
    let secret = thief.cookie("doorward").unwrap();
    assert!(!audit.contains(secret) && !world.gateway.log().contains(secret));
}

#[test]
fn everywhere_means_everywhere_and_fixation_does_not_hold() {
    let world = World::start();
    let (mut laptop, mut phone, mut other) = (Browser::default(), Browser::default(), Browser::default());
    // Somebody has put a session of theirs into the laptop before.
    world.sign_in(&mut other, "corp", "mallory", "/");
    let planted = other.cookie("doorward").unwrap().to_owned();
    laptop.set_cookie("doorward", &planted);
    world.sign_in(&mut laptop, "corp", "alice", "/");
    assert_ne!(laptop.cookie("doorward"), Some(planted.as_str()));
    assert_eq!(world.me(&mut laptop).unwrap()["principal"], "corp/alice");
    assert!(world.me(&mut other).is_none(), "the session that was planted is over");

    world.sign_in(&mut phone, "corp", "alice", "/");
    world.sign_in(&mut other, "other", "alice", "/");
    let own = [format!("Origin: {}", world.at(""))];
    assert_eq!(laptop.post(&world.at("/auth/logout-everywhere"), &own, &[]).unwrap().status, 303);
    assert!(world.me(&mut phone).is_none());
    // Another provider's alice is another person.
    assert_eq!(world.me(&mut other).unwrap()["principal"], "other/alice");
}

#[test]
fn answers_that_this_browser_did_not_ask_for_are_refused() {
    let world = World::start();
    let refused = |page: &doorward_testkit::Page, browser: &mut Browser, what: &str| {
        assert!((400..500).contains(&page.status), "{what}: {}", page.status);
        assert!(world.me(browser).is_none(), "{what}");
    };
    // Login CSRF: mallory's answer in the victim's browser, which has a sign-in of its own under way, or none.
    let mut mallory = Browser::default();
    let answer = world.answer(&mut mallory, "corp", "mallory");
    let mut victim = Browser::default();
    refused(&victim.get(&answer).unwrap(), &mut victim, "no sign-in under way");
    let mut mallory = Browser::default();
    let answer = world.answer(&mut mallory, "corp", "mallory");
    victim.get(&world.at("/auth/login/corp")).unwrap();
    refused(&victim.get(&answer).unwrap(), &mut victim, "another sign-in under way");
    // And then mallory's own browser is too late as well.
    refused(&mallory.get(&answer).unwrap(), &mut mallory, "used by the victim");

    // Replay: the same answer again, in the same browser.
    let mut alice = Browser::default();
    let answer = world.answer(&mut alice, "corp", "alice");
    let before = alice.clone();
    assert_eq!(alice.get(&answer).unwrap().status, 303);
    let mut again = before;
    refused(&again.get(&answer).unwrap(), &mut again, "replayed");

    // Mix-up: the answer of one provider at the callback of the other, with and without its `iss`.
    let mut bob = Browser::default();
    let answer = world.answer(&mut bob, "corp", "bob").replace("/callback/corp", "/callback/other");
    refused(&bob.get(&answer).unwrap(), &mut bob, "callback of another provider");
    for (what, change) in [("iss of another", "iss=http%3A%2F%2F127.0.0.1%3A1"), ("no iss", "x=y")] {
        let mut bob = Browser::default();
        let answer = world.answer(&mut bob, "corp", "bob");
        let (head, iss) = answer.split_once("iss=").expect("the provider says who it is");
        let rest = iss.split_once('&').map_or("", |(_, rest)| rest);
        refused(&bob.get(&format!("{head}{change}&{rest}")).unwrap(), &mut bob, what);
    }
    // A stolen code in a sign-in of one's own: PKCE is what is in the way.
    let mut alice = Browser::default();
    let stolen = parameter(&world.answer(&mut alice, "corp", "alice"), "code");
    let mut mallory = Browser::default();
    let own = world.answer(&mut mallory, "corp", "mallory");
    let mixed = own.replace(&parameter(&own, "code"), &stolen);
    refused(&mallory.get(&mixed).unwrap(), &mut mallory, "injected code");
    // What is there twice, or not at all.
    for more in ["&code=x", "&state=x"] {
        let mut bob = Browser::default();
        let answer = world.answer(&mut bob, "corp", "bob") + more;
        refused(&bob.get(&answer).unwrap(), &mut bob, more);
    }
    for odd in ["/auth/callback/corp", "/auth/callback/corp?code=a", "/auth/callback/nosuch?code=a&state=b"] {
        let mut bob = Browser::default();
        refused(&bob.get(&world.at(odd)).unwrap(), &mut bob, odd);
    }
    let denied = "/auth/callback/corp?error=access_denied&error_description=<script>&state=x";
    let page = Browser::default().get(&world.at(denied)).unwrap();
    assert!(page.status == 400 && !page.body.contains("script>"), "{}", page.body);
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    query.split('&').find_map(|p| p.strip_prefix(&format!("{name}="))).unwrap().to_owned()
}

#[test]
fn a_sign_in_leads_to_no_other_site() {
    let world = World::start();
    for bad in
        ["https://evil.example/", "//evil.example", "/%5Cevil.example", "/%09/evil.example", "%2F%2Fevil.example"]
    {
        let mut browser = Browser::default();
        let done = world.sign_in(&mut browser, "corp", "alice", bad);
        assert_eq!(done.location(), Some(world.at("/")), "{bad}");
    }
}

#[test]
fn the_first_administrator_signs_in_once() {
    let mut world = World::start();
    let link = world.first_link();
    let code = link.split_once("code=").unwrap().1.to_owned();
    let mut admin = Browser::default();
    // Looking at it uses nothing up.
    let form = admin.get(&link).unwrap();
    admin.get(&link).unwrap();
    let forced = admin.post(&link, &["Sec-Fetch-Site: cross-site".to_owned()], &[("code", &code)]).unwrap();
    assert_eq!(forced.status, 403);
    assert_eq!(admin.clone().submit(&form, &[("code", "dwb_wrong")]).unwrap().status, 403);
    assert_eq!(admin.submit(&form, &[]).unwrap().status, 303);
    let me = world.me(&mut admin).unwrap();
    assert_eq!((me["principal"].as_str(), me["groups"][0].as_str()), (Some("local/admin"), Some("doorward-admins")));
    assert_eq!(me["auth"], "bootstrap");
    assert_eq!(Browser::default().submit(&form, &[]).unwrap().status, 403, "once");
    world.gateway.stop().unwrap();
    world.gateway.restart().unwrap();
    assert_eq!(world.gateway.log().matches("/auth/bootstrap?code=").count(), 1, "shown once: {}", world.gateway.log());
    assert!(world.me(&mut admin).is_some(), "sessions survive a restart");
}

#[test]
fn the_command_line_signs_in_by_a_code_on_another_device() {
    let world = World::start();
    let mut login = world.login(&["--provider", "corp"]);
    let told = login.line("enter the code");
    let page = told.split_whitespace().nth(1).unwrap().to_owned();
    let mut phone = Browser::default();
    world.type_in_code(&mut phone, &page, "alice");
    assert!(login.ends_well(), "{}", login.rest());
    let (ok, shown) = world.doorward(&["approvals", "list", "--state", "all"]);
    assert!(ok || !shown.contains("the API wants to know who you are"), "{shown}");
    let mode = std::process::Command::new("stat").args(["-c", "%a"]).arg(world.credentials()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&mode.stdout).trim(), "600");
    let token = world.cli_token();
    assert_eq!(world.me_by(&[bearer(&token)]).unwrap()["principal"], "corp/alice");
    // In the place of a cookie it is nothing.
    let mut browser = Browser::default();
    browser.set_cookie("doorward", &token);
    assert!(world.me(&mut browser).is_none());
    let (ok, shown) = world.doorward(&["logout"]);
    assert!(ok, "{shown}");
    assert!(world.me_by(&[bearer(&token)]).is_none(), "signed out at the gateway as well");
    let (ok, shown) = world.doorward(&["approvals", "list"]);
    assert!(!ok && shown.contains("doorward login"), "{shown}");
}

#[test]
fn the_command_line_signs_in_by_a_browser_on_this_machine() {
    let world = World::start();
    let mut login = world.login(&["--browser"]);
    let address = login.line("Open ").split_whitespace().nth(1).unwrap().to_owned();
    let mut browser = Browser::default();
    // Not signed in yet: first that, then the question.
    let choose = browser.visit(&address, None).unwrap();
    assert!(choose.body.contains("Continue with corp"), "{}", choose.body);
    let back = choose.url.split_once("return_to=").unwrap().1.to_owned();
    let done = world.sign_in(&mut browser, "corp", "alice", &back);
    let question = browser.follow(done, None).unwrap();
    assert!(question.body.contains("corp/alice") && question.url.starts_with(&world.at("/auth/cli?")), "{question:?}");
    // Other people's pages cannot press the button.
    let fields: Vec<(String, String)> =
        ["port", "challenge", "state"].map(|name| (name.to_owned(), parameter(&question.url, name))).to_vec();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let forced = browser.post(&world.at("/auth/cli"), &["Sec-Fetch-Site: cross-site".to_owned()], &fields).unwrap();
    assert_eq!(forced.status, 403);
    // A stranger at the loopback port, without the right word.
    let port = parameter(&question.url, "port");
    let stranger = browser.get(&format!("http://127.0.0.1:{port}/?code=dwc_x&state=wrong")).unwrap();
    assert_eq!(stranger.status, 404);
    let to_program = browser.submit(&question, &[]).unwrap();
    let location = to_program.location().unwrap();
    assert!(location.starts_with(&format!("http://127.0.0.1:{port}/?code=dwc_")), "{location}");
    // The code alone is nothing without what it was made for, and is used up by the try.
    let stolen = format!("{{\"code\":\"{}\",\"verifier\":\"x\"}}", parameter(&location, "code"));
    let json = ["Content-Type: application/json".to_owned()];
    let tried = Browser::default().exchange("POST", &world.at("/auth/cli/token"), &json, &stolen).unwrap();
    assert_eq!(tried.status, 403);
    assert!(browser.get(&location).unwrap().body.contains("You are signed in") && !login.ends_well());

    let mut login = world.login(&["--browser"]);
    let address = login.line("Open ").split_whitespace().nth(1).unwrap().to_owned();
    let question = browser.visit(&address, None).unwrap();
    let to_program = browser.submit(&question, &[]).unwrap();
    browser.get(&to_program.location().unwrap()).unwrap();
    assert!(login.ends_well(), "{}", login.rest());
    assert_eq!(world.me_by(&[bearer(&world.cli_token())]).unwrap()["principal"], "corp/alice");
}

#[test]
fn a_session_that_is_over_at_the_provider_is_over_here() {
    let world = World::start();
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    world.sign_in(&mut alice, "corp", "alice", "/");
    world.sign_in(&mut bob, "corp", "bob", "/");
    let [corp, other] = world.providers.each_ref().map(|p| p.issuer());
    let event = |issuer: &str, query: &str| {
        Browser::default().get(&format!("{issuer}/test/session-revoked?{query}")).unwrap().body
    };
    let push = |provider: &str, kind: &str, event: &str| {
        let headers = [format!("Content-Type: {kind}")];
        let at = world.at(&format!("/auth/events/{provider}"));
        let page = Browser::default().exchange("POST", &at, &headers, event).unwrap();
        let said: serde_json::Value = serde_json::from_str(&page.body).unwrap_or_default();
        (page.status, said["err"].as_str().unwrap_or_default().to_owned())
    };
    let set = "application/secevent+jwt";
    let good = event(&corp, "sub=alice&aud=doorward");
    // Of another provider, for somebody else, not signed, not an event at all; and one about what was long before.
    let foreign = event(&other, "sub=alice&aud=doorward");
    assert_eq!(push("corp", set, &foreign), (400, "invalid_issuer".to_owned()));
    assert_eq!(push("corp", set, &event(&corp, "sub=alice&aud=somebody")), (400, "invalid_audience".to_owned()));
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, foreign.rsplit_once('.').unwrap().1);
    assert_eq!(push("corp", set, &forged), (400, "invalid_key".to_owned()));
    for (kind, event) in [(set, "x"), (set, ""), ("text/plain", good.as_str())] {
        assert_eq!(push("corp", kind, event), (400, "invalid_request".to_owned()), "{kind} {event}");
    }
    assert_eq!(push("corp", set, &event(&corp, "sub=alice&aud=doorward&at=1700000000")).0, 202);
    assert!(world.me(&mut alice).is_some());
    // It is not taken for a token of alice's, either.
    assert!(world.me_by(&[bearer(&good)]).is_none());

    assert_eq!(push("corp", set, &good).0, 202);
    assert!(world.me(&mut alice).is_none() && world.me(&mut bob).is_some());
    assert!(world.audit().contains("sessions of `corp/alice` are over"));
    // Sent again, it ends nothing that began since.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.sign_in(&mut alice, "corp", "alice", "/");
    assert_eq!(push("corp", set, &good).0, 202);
    assert!(world.me(&mut alice).is_some());
}

#[test]
fn a_session_on_a_connection_ends_with_that_at_the_provider() {
    let postgres = Postgres::start().unwrap();
    let port = free_port().unwrap();
    let (upstream, user, password) = (postgres.address(), postgres.user(), postgres.password());
    let mut world = World::with(|corp| {
        format!(
            "[[identity.issuers]]\nname = \"corp\"\nissuer = \"{corp}\"\naudience = [\"doorward\"]\nprincipal = \"user\"\n\
             delegation = true\n[[connections]]\nname = \"orders\"\nkind = \"postgres\"\nlisten = \"127.0.0.1:{port}\"\n\
             upstream = \"{upstream}\"\ndatabase = \"postgres\"\nuser = \"{user}\"\n\
             credential = {{ value = \"{password}\" }}\ntls = \"disable\"\n"
        )
    });
    let corp = world.providers[0].issuer();
    let revoke = |world: &World, who: &str| {
        let event =
            Browser::default().get(&format!("{corp}/test/session-revoked?sub={who}&aud=doorward")).unwrap().body;
        let headers = ["Content-Type: application/secevent+jwt".to_owned()];
        let pushed = Browser::default().exchange("POST", &world.at("/auth/events/corp"), &headers, &event).unwrap();
        assert_eq!(pushed.status, 202);
    };
    let ask = |token: &str, statement: &str| {
        let mut psql = std::process::Command::new("psql");
        psql.args(["-X", "-h", "localhost", "-U", "anybody", "-d", "postgres", "-p", &port.to_string()])
            .args(["-c", statement])
            .env("PGPASSWORD", token)
            .env("PGSSLMODE", "require")
            .stderr(std::process::Stdio::piped());
        psql
    };
    let again = |token: &str| ask(token, "select 1").output().unwrap().status.success();
    let mut before = Vec::new();
    // The caller's own; of an agent that acts for a person, that of either.
    for (n, (who, revoked)) in [("alice", "alice"), ("carol", "carol"), ("carol", "sql-bot")].into_iter().enumerate() {
        let sleep = format!("select pg_sleep({})", 60 + n);
        let token = world.providers[0].token(who).unwrap();
        let mut psql = ask(&token, &sleep).spawn().unwrap();
        let begun = std::time::Instant::now();
        while !world.audit().contains(&sleep) {
            assert!(begun.elapsed().as_secs() < 20 && psql.try_wait().unwrap().is_none(), "{}", world.audit());
        }
        // The time of an event has whole seconds: what began in its second is meant.
        revoke(&world, revoked);
        let out = psql.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let ended = "the identity provider has ended the session";
        assert!(begun.elapsed().as_secs() < 50 && said.contains(ended), "{who}, {revoked}: {said}");
        // The token of before opens nothing any more, by a connection or at the API; one of after the event does.
        assert!(!again(&token), "{who}, {revoked}");
        assert!(world.me_by(&[bearer(&token)]).is_none(), "{who}, {revoked}");
        assert!(world.audit().contains("it is of a session that its provider has ended"));
        std::thread::sleep(std::time::Duration::from_millis(2100));
        assert!(again(&world.providers[0].token(who).unwrap()), "{who}, {revoked}: {}", world.audit());
        before.push(token);
    }
    // Nor at a gateway that starts anew.
    world.gateway.kill9().unwrap();
    world.gateway.restart().unwrap();
    assert!(before.iter().all(|token| !again(token)), "{}", world.audit());
    assert!(again(&world.providers[0].token("alice").unwrap()), "{}", world.audit());
}
