//! Signing in at a real Keycloak by SAML 2.0: with Chromium through its own forms, and with everything that attackers make
//! of its answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
mod saml_world;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_testkit::{Browser, Chromium, SamlAnswer, Screen};
use saml_world::{World, world};

#[test]
fn a_person_signs_in_by_chromium_and_groups_say_what_they_may() {
    let world = world();
    let door = &world.doors[0];
    for (who, may) in [("alice", true), ("bob", false)] {
        let browser = Chromium::start(Screen::Desktop).unwrap();
        browser.open(&door.at("/policies")).unwrap();
        // Beside a provider of OpenID Connect.
        browser.wait_in(".doors", "other").unwrap();
        browser.click("a[href^='/auth/login/corp']").unwrap();
        browser.wait_for("Sign in to your account").unwrap();
        browser.type_into("#username", who).unwrap();
        browser.type_into("#password", "x").unwrap();
        browser.click("#kc-login").unwrap();
        // The provider is another site for a browser: the answer comes without our cookies, and arrives all the same.
        let shown = if may { "@id(\"nothing\")" } else { "Not for you" };
        browser.wait_for(shown).unwrap();
        assert_eq!(browser.url().unwrap(), door.at("/policies"));
        browser.open(&door.at("/auth/me")).unwrap();
        let me = browser.page().unwrap();
        assert!(me.contains(&format!("corp/{who}")) && me.contains("\"auth\":\"saml\""), "{me}");
        assert!(me.contains(if may { "doorward-admins" } else { "staff" }), "{me}");
        if !may {
            continue;
        }
        // Out again.
        browser.open(&door.at("/policies")).unwrap();
        browser.script("document.querySelector(\"form[action='/sign-out'] button\").click();", &[]).unwrap();
        browser.wait_in(".doors", "corp").unwrap();
        browser.open(&door.at("/auth/me")).unwrap();
        assert!(!browser.page().unwrap().contains("corp/alice"));
    }
    let audit = door.audit();
    assert!(audit.contains("sign-in at `corp`") && audit.contains("sign out"), "{audit}");
}

#[test]
fn every_way_of_signing_is_taken_and_every_wrapping_refused() {
    let world = world();
    let mut seen = std::collections::BTreeSet::new();
    for (n, door) in world.doors.iter().enumerate() {
        let mut browser = Browser::default();
        let answer = door.answer(&mut browser, "bob");
        let page = door.bring(&mut browser, &answer);
        assert_eq!((page.status, page.location()), (303, Some(door.at("/approvals"))), "{}", page.body);
        let me = door.me(&mut browser).unwrap();
        let bob = me["principal"].as_str().unwrap().to_owned();
        match n {
            0 => assert_eq!(bob, "corp/bob"),
            1 => assert_eq!(bob, "corp/bob@example.com"),
            // Keycloak's own name of a user, a UUID.
            _ => assert!(bob.len() == "corp/".len() + 36 && bob.matches('-').count() == 4, "{bob}"),
        }
        assert_eq!(me["groups"], serde_json::json!(["staff"]));
        // As many as there are, each on an answer of its own.
        let alter = |text: &str| {
            text.replace(">bob<", ">alice<").replace(">bob@", ">alice@").replace(">staff<", ">doorward-admins<")
        };
        let count = SamlAnswer::of(&answer.text).unwrap().wrapped(alter).len();
        for which in 0..count {
            let mut browser = browser.clone();
            browser.post(&door.at("/auth/logout"), &[format!("Origin: {}", door.at(""))], &[]).unwrap();
            let mut answer = door.answer(&mut browser, "bob");
            let (name, wrapped) = SamlAnswer::of(&answer.text).unwrap().wrapped(alter).swap_remove(which);
            assert!(wrapped.contains(">alice<") && wrapped.contains(">bob<"), "{name}");
            answer.text = wrapped;
            door.refuses(&mut browser, &answer, name, "");
            seen.insert(name);
            // A browser that is signed in stays what it is.
            let mut browser = World::signed_in(door, "bob");
            let mut second = door.answer(&mut browser, "bob");
            second.text = SamlAnswer::of(&second.text).unwrap().wrapped(alter).swap_remove(which).1;
            assert_ne!(door.bring(&mut browser, &second).status, 303, "{name}");
            assert_eq!(door.me(&mut browser).unwrap()["principal"], bob.as_str(), "{name}");
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[test]
fn spoilt_answers_are_refused_by_name() {
    let world = world();
    let door = &world.doors[0];
    let mut browser = Browser::default();
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;\">]>";
    let external = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    type Spoil<'a> = &'a dyn Fn(&str) -> Vec<u8>;
    let cases: [(&str, Spoil<'_>, &str); 14] = [
        (
            "unsigned",
            &|t| SamlAnswer::of(t).unwrap().unsigned().into(),
            "neither the assertion nor the answer is signed",
        ),
        ("altered subject", &|t| t.replace(">bob<", ">alice<").into(), "changed after it was signed"),
        ("altered group", &|t| t.replace(">staff<", ">doorward-admins<").into(), "changed after it was signed"),
        (
            "another group beside",
            &|t| t.replace(">staff<", ">staff</saml:AttributeValue><saml:AttributeValue>doorward-admins<").into(),
            "changed after",
        ),
        (
            "other destination",
            &|t| t.replace("/auth/saml/corp/acs\" ID", "/auth/saml/other/acs\" ID").into(),
            "Destination is not",
        ),
        (
            "other issuer",
            &|t| t.replace("/realms/people</saml:Issuer>", "/realms/others</saml:Issuer>").into(),
            "Issuer is not",
        ),
        ("unsolicited", &|t| t.replace(" InResponseTo=", " Consent=").into(), "InResponseTo of the answer is not"),
        ("SHA-1", &|t| t.replace("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1").into(), "uses SHA-1"),
        ("bomb", &|t| format!("{bomb}{}", t.replace(">bob<", ">&c;<")).into(), "DOCTYPE"),
        ("external entity", &|t| format!("{external}{}", t.replace(">bob<", ">&x;<")).into(), "DOCTYPE"),
        ("huge", &|t| format!("{t}{}", " ".repeat(263_000)).into(), "larger than 256 KiB"),
        ("deep", &|_| "<a>".repeat(50_000).into(), "too many levels"),
        ("cut off", &|t| t.as_bytes()[..t.len() / 2].to_vec(), "not well-formed"),
        ("binary", &|_| (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(), "UTF-8"),
    ];
    for (name, spoil, want) in cases {
        let answer = door.answer(&mut browser, "bob");
        let spoilt = STANDARD.encode(spoil(&answer.text));
        door.refuses_encoded(&mut browser, &spoilt, Some(&answer.relay_state), name, want);
    }
    let answer = door.answer(&mut browser, "bob");
    door.refuses_encoded(&mut browser, "%%%", Some(&answer.relay_state), "no base64", "not base64");
    // Far more than anybody reads, and what is no form at all.
    let answer = door.answer(&mut browser, "bob");
    let page = door.post(&mut browser, &"A".repeat(3_000_000), Some(&answer.relay_state));
    assert!(page.is_err() || page.unwrap().status == 413);
    let acs = door.at("/auth/saml/corp/acs");
    for body in ["", "SAMLResponse", "SAMLResponse=a&SAMLResponse=b&RelayState=c", "\u{1}=%ff", "RelayState=x"] {
        let page =
            browser.exchange("POST", &acs, &["Content-Type: application/x-www-form-urlencoded".into()], body).unwrap();
        assert_eq!(page.status, 400, "{body}: {}", page.body);
    }
    // A comment in a name changes nothing of it, and cuts nothing off.
    let mut answer = door.answer(&mut browser, "bob");
    answer.text = answer.text.replace(">bob<", ">b<!-- x -->ob<");
    assert_eq!(door.bring(&mut browser, &answer).status, 303);
    assert_eq!(door.me(&mut browser).unwrap()["principal"], "corp/bob");
    door.is_alive();
}

#[test]
fn answers_are_for_one_browser_one_application_and_one_time() {
    let world = world();
    let door = &world.doors[0];
    let mut alice = Browser::default();

    // Replay: with the same request, with a new one, and the same ticket in another browser.
    let answer = door.answer(&mut alice, "alice");
    let before = alice.clone();
    assert_eq!(door.bring(&mut alice, &answer).status, 303);
    let mut again = before;
    door.refuses(&mut again, &answer, "replayed", "unknown, used or old RelayState");
    let fresh = door.answer(&mut again, "alice");
    let old = STANDARD.encode(&answer.text);
    door.refuses_encoded(
        &mut again,
        &old,
        Some(&fresh.relay_state),
        "replayed to a new request",
        "InResponseTo of the answer is not",
    );

    // Login CSRF: mallory's answer, posted by the victim's browser.
    let mut mallory = Browser::default();
    let answer = door.answer(&mut mallory, "mallory");
    let mut victim = Browser::default();
    victim.get(&door.at("/auth/login/corp")).unwrap();
    door.refuses(&mut victim, &answer, "another browser", "in another browser");
    let mut mallory = Browser::default();
    let answer = door.answer(&mut mallory, "mallory");
    let ticket =
        door.post(&mut mallory, &STANDARD.encode(&answer.text), Some(&answer.relay_state)).unwrap().location().unwrap();
    assert_eq!(victim.get(&ticket).unwrap().status, 400);
    assert_eq!(mallory.get(&ticket).unwrap().status, 400, "the ticket was used up by the victim");
    assert!(door.me(&mut victim).is_none() && door.me(&mut mallory).is_none());

    // A sign-in that nobody began here, and one at another door, which has the same provider.
    let answer = door.answer(&mut mallory, "mallory");
    door.refuses_encoded(&mut mallory, &STANDARD.encode(&answer.text), None, "no RelayState", "no RelayState");
    let other = world.doors[1].answer(&mut mallory, "mallory");
    let fresh = door.answer(&mut mallory, "mallory");
    let foreign = STANDARD.encode(&other.text);
    door.refuses_encoded(&mut mallory, &foreign, Some(&fresh.relay_state), "for another gateway", "Destination is not");

    // Genuine, of our provider, to our address, for our request; but for another application, or encrypted.
    for (client, want) in
        [("urn:other-app", "Audience is not what was expected"), ("urn:encrypted-app", "turn encryption off")]
    {
        let answer = door.answer_as(&mut mallory, "mallory", Some(client));
        door.refuses(&mut mallory, &answer, client, want);
    }

    // Nothing leads to another site.
    let page = Browser::default().get(&door.at("/auth/login/corp?return_to=https://evil.example/")).unwrap();
    assert!(page.location().unwrap().starts_with(&world.keycloak.entity_id()));
    let mut bob = Browser::default();
    let answer = door.answer_from(&mut bob, "bob", "//evil.example");
    assert_eq!(door.bring(&mut bob, &answer).location(), Some(door.at("/")));
    let mut bob = Browser::default();
    let mut answer = door.answer(&mut bob, "bob");
    answer.relay_state = "https://evil.example/".into();
    door.refuses(&mut bob, &answer, "an address as RelayState", "RelayState");
    door.is_alive();
}

#[test]
fn the_gateway_introduces_itself_and_the_provider_checks_its_requests() {
    let world = world();
    let door = &world.doors[2];
    let page = Browser::default().get(&door.at("/auth/saml/corp/metadata")).unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/samlmetadata+xml")));
    assert!(
        page.body.contains(&door.at("/auth/saml/corp/acs")) && page.body.contains("AuthnRequestsSigned=\"true\""),
        "{}",
        page.body
    );
    for nobody in ["/auth/saml/nosuch/metadata", "/auth/saml/other/metadata"] {
        assert_eq!(Browser::default().get(&door.at(nobody)).unwrap().status, 404);
    }
    // Keycloak knows the key of this door's requests, and refuses one that was changed.
    let begin = Browser::default().get(&door.at("/auth/login/corp")).unwrap().location().unwrap();
    assert!(begin.contains("&SigAlg=") && begin.contains("&Signature="), "{begin}");
    assert_eq!(Browser::default().get(&begin).unwrap().status, 200);
    let forged = begin.replace("RelayState=", "RelayState=x");
    assert_eq!(Browser::default().get(&forged).unwrap().status, 400);
    // The command line has no code to type in here, and takes a browser.
    let json = ["Content-Type: application/json".to_owned()];
    let ask = "{\"provider\":\"corp\"}";
    assert_eq!(Browser::default().exchange("POST", &door.at("/auth/cli/device"), &json, ask).unwrap().status, 404);
    let providers = Browser::default().get(&door.at("/auth/providers")).unwrap().body;
    assert!(
        providers.contains("{\"name\":\"corp\",\"kind\":\"saml\"}") && providers.contains("\"oidc\""),
        "{providers}"
    );
}
