//! What somebody has shown, and how far it reaches: keys within their scope, cookies from our own pages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod support;
#[path = "support/web.rs"]
mod web;

use doorward_signin::{By, Caller, NewKey, SignedIn};
use doorward_store::{KeyScope, Limit, SessionPurpose};
use std::time::Duration;
use support::{need, now, person};
use web::{SESSION, Web};

fn only(names: &[&str]) -> Limit {
    Limit::Only(names.iter().map(|n| (*n).to_owned()).collect())
}

async fn key(web: &Web, subject: &str, groups: &[&str], actions: Limit, connections: Limit) -> String {
    let owner = Caller { principal: person(subject, groups), by: By::Token };
    let new = NewKey { name: "k".into(), scope: KeyScope { actions, connections }, ttl: None };
    web.signin.make_key(&owner, new, now()).await.unwrap().0.expose().clone()
}

#[tokio::test]
async fn a_key_does_what_is_in_its_scope_and_its_owner_may() {
    let web = Web::new(None).await;
    let ops: &[&str] = &["ops"];
    let see = only(&["view_sessions"]);
    let all = key(&web, "omar", ops, Limit::All, Limit::All).await;
    let sees = key(&web, "omar", ops, see.clone(), only(&["orders"])).await;
    let elsewhere = key(&web, "omar", ops, Limit::All, only(&["other"])).await;
    let other = key(&web, "omar", ops, only(&["view_audit"]), Limit::All).await;
    let stranger = key(&web, "eve", &["staff"], Limit::All, Limit::All).await;
    let kill = format!("/sessions/{SESSION}/kill");
    for (what, key, list, end, certificates) in [
        ("sees", &sees, 200, 403, 403),
        ("elsewhere", &elsewhere, 403, 403, 403),
        ("other right", &other, 403, 403, 403),
        ("not the owner's right", &stranger, 403, 403, 415),
        ("all", &all, 200, 204, 415),
    ] {
        assert_eq!(web.get("/sessions", Some(key)).await.status, list, "{what}");
        assert_eq!(web.post(&kill, Some(key), "").await.status, end, "{what}");
        assert_eq!(web.send("POST", "/ssh/certificates", Some(key), "", "").await.status, certificates, "{what}");
    }
}

#[tokio::test]
async fn a_limited_key_does_not_reach_what_is_its_owners_otherwise() {
    let web = Web::new(None).await;
    let (id, _answers) = web.office.ask(vec![need(&["sre"], 1)], Duration::from_secs(600)).await;
    let at = format!("/approvals/{id}");
    let limited = key(&web, "anna", &["sre"], only(&["view_audit"]), Limit::All).await;
    assert_eq!(web.get(&at, Some(&limited)).await.status, 404);
    assert!(!web.get("/approvals", Some(&limited)).await.body.contains(&id.to_string()));
    assert_eq!(web.post(&format!("{at}/approve"), Some(&limited), "").await.status, 404);
    let decides = key(&web, "anna", &["sre"], only(&["decide_approval"]), only(&["orders"])).await;
    assert_eq!(web.get(&at, Some(&decides)).await.status, 200);
    // Nobody decides what they asked for, by key as little as by token.
    let requester = key(&web, "bot", &["agents", "sre"], Limit::All, Limit::All).await;
    assert_eq!(web.post(&format!("{at}/approve"), Some(&requester), "").await.status, 403);
    assert_eq!(web.post(&format!("{at}/approve"), Some(&decides), "").await.status, 200);
}

#[tokio::test]
async fn a_cookie_changes_things_from_pages_of_ours_alone() {
    let web = Web::new(None).await;
    let begun = web
        .signin
        .begin(SignedIn::new(person("omar", &["ops"])), "oidc", SessionPurpose::Browser, now())
        .await
        .unwrap();
    let cookie = format!("Cookie: __Host-doorward={}\r\n", begun.secret.expose());
    let ask = async |method, path: &str, more: &str| web.send(method, path, None, &format!("{cookie}{more}"), "").await;
    assert_eq!(ask("GET", "/sessions", "Sec-Fetch-Site: cross-site\r\n").await.status, 200);
    let kill = format!("/sessions/{SESSION}/kill");
    for headers in ["", "Sec-Fetch-Site: cross-site\r\n", "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
        assert_eq!(ask("POST", &kill, headers).await.status, 403, "{headers}");
    }
    assert!(web.sessions.killed.lock().unwrap().is_empty());
    assert_eq!(ask("POST", &kill, "Origin: https://doors.example\r\n").await.status, 204);
    web.signin.end(&begun.session.id).await.unwrap();
    assert_eq!(ask("GET", "/sessions", "").await.status, 401);
}

#[tokio::test]
async fn a_watch_ends_with_what_its_caller_has_shown() {
    let web = Web::new(None).await;
    let token = key(&web, "anna", &["sre"], Limit::All, Limit::All).await;
    let client = web.client(&token);
    let (_id, _answers) = web.office.ask(vec![need(&["sre"], 1)], Duration::from_secs(600)).await;
    let (shown, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(async move {
        let told = |view| {
            let _gone = shown.send(view);
            std::ops::ControlFlow::Continue(())
        };
        client.watch(told).await
    });
    seen.recv().await.expect("it has begun");
    let made = web.signin.keys(None, None, 1).await.unwrap();
    assert!(web.signin.revoke_key(&made[0].id, now()).await.unwrap());
    tokio::time::timeout(Duration::from_secs(60), watching).await.expect("its end").unwrap().unwrap();
}

/// A page that is left open shows nothing more once its person is signed out.
#[tokio::test]
async fn what_a_page_follows_ends_with_its_session() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let web = Web::new(None).await;
    let begun = web
        .signin
        .begin(SignedIn::new(person("anna", &["sre"])), "oidc", SessionPurpose::Browser, now())
        .await
        .unwrap();
    let mut page = tokio::net::TcpStream::connect(web.address).await.unwrap();
    let cookie = begun.secret.expose();
    let head = format!(
        "GET /approvals/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: __Host-doorward={cookie}\r\n\r\n"
    );
    page.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    page.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    web.signin.end(&begun.session.id).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), page.read_to_end(&mut rest)).await;
    ended.expect("its end").unwrap();
}
