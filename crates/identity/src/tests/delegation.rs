//! Tokens of agents that act for people.
use super::IdentityError;
use crate::{IssuerConfig, Verifier, tests::support::*};
use doorward_model::PrincipalKind;
use serde_json::{Value, json};
use std::sync::Arc;

async fn host() -> Arc<Host> {
    Host::start(&[KEYS.p256.jwk("k1")]).await
}

/// An issuer of people that says for whom agents act.
fn config(host: &Host) -> IssuerConfig {
    IssuerConfig { principal: PrincipalKind::User, delegation: true, ..host.config("corp") }
}

fn token(host: &Host, changes: Value) -> String {
    KEYS.p256.token("ES256", "k1", &host.claims(changes))
}

/// `act` within `act`, so many deep.
fn chain(depth: usize) -> Value {
    (0..depth).rev().fold(Value::Null, |inner, n| {
        let mut act = json!({ "sub": format!("actor-{n}") });
        if !inner.is_null() {
            act["act"] = inner;
        }
        act
    })
}

#[tokio::test]
async fn the_agent_calls_and_the_person_stands_behind() {
    let host = host().await;
    let verifier = Verifier::new(vec![config(&host)]).unwrap();
    let act = json!({
        "sub": "bot", "iss": host.url, "groups": ["bots"], "ref": "v1",
        // Without meaning within an actor (RFC 8693, section 4.1).
        "exp": 1, "nbf": 4_000_000_000_u64, "aud": "elsewhere",
        "act": { "sub": "planner", "groups": ["admins"], "act": { "sub": "front" } },
    });
    let said = json!({ "sub": "dana", "groups": ["analysts"], "act": act, "may_act": { "sub": "eve" } });
    let p = accept(&verifier, &token(&host, said)).await;
    assert_eq!(p.to_string(), "corp/bot for corp/dana");
    assert_eq!((p.kind, p.groups.iter().map(String::as_str).collect::<Vec<_>>()), (PrincipalKind::Agent, vec!["bots"]));
    assert_eq!((p.tags["ref"].as_str(), p.token_id.as_deref()), ("v1", Some("id-1")));
    let behind = p.on_behalf_of.clone().unwrap();
    assert_eq!(behind.prior_actors, ["corp/planner", "corp/front"]);
    let dana = &behind.person;
    assert_eq!((dana.kind, dana.id().as_str(), dana.expires_at), (PrincipalKind::User, "corp/dana", p.expires_at));
    assert_eq!(dana.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["analysts"], "nobody has the other's");
    assert_eq!((dana.tags["ref"].as_str(), dana.on_behalf_of.is_none()), ("main", true));
    // An actor without groups has none, not those of the person.
    let bare = accept(&verifier, &token(&host, json!({ "sub": "dana", "act": { "sub": "bot" } }))).await;
    assert!(bare.groups.is_empty() && bare.tags.is_empty());
    // A person who comes alone is who they are.
    let alone = accept(&verifier, &token(&host, json!({ "sub": "dana" }))).await;
    assert_eq!((alone.kind, alone.on_behalf_of), (PrincipalKind::User, None));
}

#[tokio::test]
async fn what_is_odd_about_an_actor_refuses_the_token() {
    let host = host().await;
    let verifier = Verifier::new(vec![config(&host)]).unwrap();
    for (act, want) in [
        (json!("bot"), "malformed"),
        (json!(["bot"]), "malformed"),
        (json!([{ "sub": "bot" }]), "malformed"),
        (json!(true), "malformed"),
        (json!(7), "malformed"),
        (json!({}), "malformed"),
        (json!({ "sub": null }), "malformed"),
        (json!({ "sub": "" }), "malformed"),
        (json!({ "sub": 7 }), "malformed"),
        (json!({ "sub": ["bot"] }), "malformed"),
        (json!({ "sub": "a\u{0}b" }), "malformed"),
        (json!({ "sub": "a\nb" }), "malformed"),
        (json!({ "sub": "a\u{1b}[2J" }), "malformed"),
        (json!({ "sub": "x".repeat(1024) }), "ok"),
        (json!({ "sub": "x".repeat(1025) }), "malformed"),
        (json!({ "sub": "dana" }), "malformed"),
        (json!({ "sub": "bot", "iss": "https://elsewhere.example" }), "malformed"),
        (json!({ "sub": "bot", "iss": "" }), "malformed"),
        (json!({ "sub": "bot", "iss": null }), "malformed"),
        (json!({ "sub": "bot", "iss": [host.url] }), "malformed"),
        (json!({ "sub": "bot", "iss": format!("{}/", host.url) }), "malformed"),
        (json!({ "sub": "bot", "groups": [7] }), "malformed"),
        (json!({ "sub": "bot", "groups": { "a": 1 } }), "malformed"),
        (json!({ "sub": "bot", "ref": ["a"] }), "malformed"),
        (json!({ "sub": "bot", "act": null }), "ok"),
        (json!({ "sub": "bot", "act": "planner" }), "malformed"),
        (json!({ "sub": "bot", "act": {} }), "malformed"),
        (json!({ "sub": "bot", "act": { "sub": "p", "iss": "https://elsewhere.example" } }), "malformed"),
        (json!({ "sub": "bot", "act": { "sub": "a\u{7}" } }), "malformed"),
        (json!({ "sub": "BOT", "act": { "sub": "dana" } }), "ok"),
        (chain(4), "ok"),
        (chain(5), "malformed"),
        (chain(20), "malformed"),
        (chain(100), "malformed"),
        (json!({ "sub": "bot", "x": "y".repeat(20_000) }), "too_large"),
    ] {
        let found = code(&verifier, &token(&host, json!({ "sub": "dana", "act": act.clone() }))).await;
        let found = found.split(' ').next().unwrap().to_owned();
        assert_eq!(found, want, "{}", act.to_string().chars().take(200).collect::<String>());
    }
}

#[tokio::test]
async fn a_member_that_is_there_twice_refuses_the_token() {
    let host = host().await;
    let verifier = Verifier::new(vec![config(&host)]).unwrap();
    let payload = host.claims(json!({ "sub": "dana", "act": { "sub": "bot" } })).to_string();
    let twice = payload.replace(r#"{"sub":"bot"}"#, r#"{"sub":"bot","sub":"root"}"#);
    let acts = payload.replacen('{', r#"{"act":{"sub":"root"},"#, 1);
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    assert_eq!(code(&verifier, &KEYS.p256.raw(header, &payload)).await, "ok corp/bot");
    for odd in [twice, acts] {
        assert_ne!(odd, payload);
        assert_eq!(code(&verifier, &KEYS.p256.raw(header, &odd)).await, "malformed", "{odd}");
    }
}

#[tokio::test]
async fn an_issuer_that_was_not_allowed_to_says_nothing_of_actors() {
    let host = host().await;
    let verifier = Verifier::new(vec![IssuerConfig { delegation: false, ..config(&host) }]).unwrap();
    for act in [json!({ "sub": "bot" }), json!("bot"), json!({}), json!(false)] {
        let refused = verifier.verify(&token(&host, json!({ "act": act })), NOW).await.unwrap_err();
        assert_eq!(refused, IdentityError::Delegated);
        assert!(refused.to_string().contains("`delegation = true`"), "it says what to set: {refused}");
    }
}

#[tokio::test]
async fn nobody_signs_in_for_somebody_else() {
    let host = host().await;
    let verifier = Verifier::new(vec![config(&host)]).unwrap();
    let with = |act: Value| token(&host, json!({ "sub": "dana", "act": act }));
    for act in [json!({ "sub": "bot" }), json!({}), json!("x")] {
        let refused = verifier.verify_id_token(&with(act), "doorward", None, NOW).await.unwrap_err();
        assert_eq!(refused, IdentityError::NotInPerson);
    }
    verifier.verify_id_token(&with(Value::Null), "doorward", None, NOW).await.unwrap();
}

/// A token that was taken before is remembered with all that it says.
#[tokio::test]
async fn what_is_remembered_is_whole() {
    let host = host().await;
    let verifier = Verifier::new(vec![config(&host)]).unwrap();
    let shown = token(&host, json!({ "sub": "dana", "act": { "sub": "bot" } }));
    let first = accept(&verifier, &shown).await;
    assert_eq!(verifier.cache_len(), 1);
    assert_eq!(accept(&verifier, &shown).await, first);
    assert!(first.on_behalf_of.is_some());
}
