//! Tags, settings and the description of the API in a real Chromium.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::{
    SCHEMA, World,
    browser::{Visit, demo, people},
};
use doorward_testkit::{Screen, free_port};
use serde_json::{Value, json};

const BILLING: &str = r#"
@id("agents-use") permit (principal in Group::"agents", action, resource);
@id("secret-columns") @mask("fixed:gone") @reason("columns that are tagged secret are hidden")
forbid (principal, action == Action::"reveal", resource is Column) when { resource.tags.containsAny(["secret", "top"]) };
@id("look") permit (
  principal in Group::"lookers", action in [Action::"view_connections", Action::"view_exports"], resource
);
"#;

/// Sends a request to the API with a bearer token, from the page.
fn api(visit: &Visit, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u64, Value) {
    let script = "const [method, path, token, body] = arguments; \
        return fetch('/api/v1' + path, { method, credentials: 'omit', body: body || undefined, \
          headers: { Authorization: 'Bearer ' + token, ...(body ? { 'Content-Type': 'application/json' } : {}) } }) \
          .then((r) => r.text().then((t) => JSON.stringify([r.status, t])));";
    let arguments = [json!(method), json!(path), json!(token), body.map_or(Value::Null, |b| json!(b.to_string()))];
    let said = visit.browser.script(script, &arguments).unwrap();
    let said: (u64, String) = serde_json::from_str(said.as_str().unwrap()).unwrap();
    (said.0, serde_json::from_str(&said.1).unwrap_or(Value::String(said.1)))
}

/// Everything that a page has to be, in light and dark.
fn is_good(visit: &Visit, name: &str) {
    visit.is_sound();
    visit.is_used_by_keys();
    for theme in ["light", "dark"] {
        visit.theme(theme);
        visit.is_readable();
        visit.picture(&format!("{name}-{theme}"));
    }
    visit.theme("light");
}

fn navigation(visit: &Visit) -> Value {
    visit
        .browser
        .script("return [...document.querySelectorAll('nav.side a')].map((a) => a.getAttribute('href'));", &[])
        .unwrap()
}

#[test]
fn what_is_tagged_on_a_page_is_masked_from_then_on() {
    let w = World::with(&format!("{BILLING}{}", people("dba")), "");
    w.postgres.exec(&format!("set role {};\n{SCHEMA}", w.postgres.user())).unwrap();
    let (dana, bot) = (w.token("dana", &["dba"], &[]), w.token("ci-bot", &["agents"], &[]));
    let port = free_port().unwrap();
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&dana, "/tags");
    visit.browser.wait_in("section[aria-labelledby=c-1]", "doorward.toml").unwrap();
    assert_eq!(api(&visit, "PUT", "/secrets/billing", &dana, Some(&json!({ "value": w.postgres.password() }))).0, 200);
    let spec = json!({ "kind": "postgres", "listen": format!("127.0.0.1:{port}"), "upstream": w.postgres.address().to_string(),
        "database": "orders", "user": w.postgres.user(), "secret": "billing", "tls": "disable" });
    let made = api(&visit, "POST", "/connections", &dana, Some(&json!({ "name": "billing", "spec": spec })));
    assert_eq!(made.0, 201, "{}", made.1);
    let names = || {
        let out = w
            .psql_command(&bot)
            .args(["-p", &port.to_string(), "-c", "select name from customers where id = 1"])
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    assert!(names().contains("Name 1"));

    // Tagged, with markup that stays text; the policy is named beside the tag.
    visit.open("/tags");
    visit.browser.wait_in("section[aria-labelledby=c-1]", "Nothing of it is tagged").unwrap();
    visit.picture("tags-empty");
    visit.browser.type_into("#o-1", "public.customers.name").unwrap();
    visit.browser.type_into("#t-1", "secret, <b>bold</b>").unwrap();
    visit.browser.enter().unwrap();
    visit.browser.wait_in(".notice", "It is tagged so").unwrap();
    visit.browser.wait_in("section[aria-labelledby=c-1]", "<b>bold</b>").unwrap();
    visit.browser.wait_in("section[aria-labelledby=meaning]", "secret-columns").unwrap();
    visit.browser.wait_in("section[aria-labelledby=meaning]", "masks by fixed:gone").unwrap();
    visit.browser.wait_in("section[aria-labelledby=meaning]", "it changes nothing until a policy names it").unwrap();
    is_good(&visit, "tags");
    let masked = names();
    assert!(masked.contains("gone") && !masked.contains("Name 1"), "{masked}");
    let told: Vec<_> = w.audit("administration").iter().map(|e| e["what"].to_string()).collect();
    assert!(told.last().unwrap().contains("change connection billing"), "{told:?}");

    // Its recorded requests are a click away.
    visit.browser.click("section[aria-labelledby=c-1] tbody a").unwrap();
    visit.browser.wait_for("select name from customers").unwrap();

    // What somebody else has changed meanwhile is not overwritten; what was typed is still there.
    visit.open("/tags");
    visit.browser.type_into("#o-1", "public.customers.card").unwrap();
    visit.browser.type_into("#t-1", "top").unwrap();
    let tagged = json!({ "public.customers.name": ["secret"] });
    let mut changed = spec;
    changed["tags"] = tagged;
    assert_eq!(api(&visit, "PUT", "/connections/billing", &dana, Some(&changed)).0, 200);
    visit.browser.enter().unwrap();
    visit.browser.wait_in(".notice.bad", "was changed since you read it").unwrap();
    assert!(visit.browser.complaints().unwrap().iter().all(|c| c.contains("412")));
    visit.until("return document.getElementById('o-1').value;", "public.customers.card");
    visit.browser.click("section[aria-labelledby=c-1] form .primary").unwrap();
    visit.browser.wait_in(".notice", "It is tagged so").unwrap();
    visit.browser.click("[aria-label='Remove secret from public.customers.name']").unwrap();
    visit.browser.wait_in(".notice", "The tag was removed").unwrap();
    assert!(names().contains("Name 1"));
    let kept = api(&visit, "GET", "/connections/billing", &dana, None).1;
    assert_eq!(kept["tags"], json!({ "public.customers.card": ["top"] }));

    // Who may only look sees no forms, no policies, and only the way to where they may go.
    visit.sign_out();
    visit.sign_in(&w.token("lou", &["lookers"], &[]), "/tags");
    visit.browser.wait_in("section[aria-labelledby=c-1]", "public.customers.card").unwrap();
    assert_eq!(
        visit.browser.script("return document.querySelectorAll('main form, #meaning').length;", &[]).unwrap(),
        0
    );
    assert_eq!(navigation(&visit), json!(["/", "/approvals", "/connections", "/tags", "/settings"]));
    let script = "return fetch('/tags/billing/add', { method: 'POST', body: new URLSearchParams({ version: '4', object: 'a', tags: 'b' }) }).then((r) => r.status);";
    assert_eq!(visit.browser.script(script, &[]).unwrap(), 403);
}

#[test]
fn ones_own_sessions_and_keys_are_seen_made_and_ended() {
    let w = demo();
    let dana = w.token("dana", &["dba"], &[]);
    let (visit, other) = (Visit::new(w.api, Screen::Desktop), Visit::new(w.api, Screen::Phone));
    visit.sign_in(&dana, "/settings");
    other.sign_in(&dana, "/settings");
    other.browser.wait_for("You have none").unwrap();
    other.is_sound();
    other.picture("settings-phone");

    // A key: what is wrong is said with what was typed; its secret is shown once, and works within its scope.
    visit.browser.type_into("#k-name", "nightly <b>report</b>").unwrap();
    visit.browser.type_into("#k-actions", "view_connections, view_everything").unwrap();
    visit.browser.enter().unwrap();
    visit.browser.wait_in(".notice.bad", "no action `view_everything`").unwrap();
    assert!(visit.browser.complaints().unwrap().iter().all(|c| c.contains("400")));
    visit.until("return document.getElementById('k-name').value;", "nightly <b>report</b>");
    visit.fill("k-actions", "view_connections");
    visit.browser.click("section[aria-labelledby=keys] .primary").unwrap();
    visit.browser.wait_for("it is shown this once").unwrap();
    let secret = visit.browser.text("#secret").unwrap();
    assert!(secret.starts_with("dwk_"), "{secret}");
    is_good(&visit, "settings");
    assert_eq!(api(&visit, "GET", "/connections", &secret, None).0, 200);
    assert_eq!(api(&visit, "GET", "/audit", &secret, None).0, 403);
    visit.browser.complaints().unwrap();
    visit.open("/settings");
    visit.browser.wait_in("section[aria-labelledby=keys]", "nightly <b>report</b>").unwrap();
    assert!(!visit.browser.page().unwrap().contains(&secret));
    // Everybody's, for who may.
    visit.browser.click("nav.tabs a[href='/settings/keys']").unwrap();
    visit.browser.wait_in("section[aria-labelledby=keys]", "dev/dana").unwrap();
    is_good(&visit, "settings-keys");
    visit.browser.click("section[aria-labelledby=keys] .deny").unwrap();
    visit.browser.wait_in(".notice", "was revoked").unwrap();
    visit.browser.wait_in("section[aria-labelledby=keys]", "revoked").unwrap();
    assert_eq!(api(&visit, "GET", "/connections", &secret, None).0, 401);
    visit.browser.complaints().unwrap();

    // The other browser is signed out from here, and then this one with all.
    visit.open("/settings");
    visit.until("return document.querySelectorAll('section[aria-labelledby=sessions] tbody tr').length;", 2);
    let others = "const row = [...document.querySelectorAll('section[aria-labelledby=sessions] tbody tr')].find((r) => !r.textContent.includes('this one')); row.querySelector('button').click();";
    visit.browser.script(others, &[]).unwrap();
    visit.browser.wait_in(".notice", "It is signed out").unwrap();
    visit.until("return document.querySelectorAll('section[aria-labelledby=sessions] tbody tr').length;", 1);
    other.open("/settings");
    other.browser.wait_for("Your identity token").unwrap();
    // Somebody else's is not there.
    other.sign_in(&w.token("eve", &["agents"], &[]), "/settings");
    let id = "return document.querySelector('section[aria-labelledby=sessions] tbody form').getAttribute('action');";
    let hers = other.browser.script(id, &[]).unwrap();
    let script = "return fetch(arguments[0], { method: 'POST' }).then((r) => r.status);";
    assert_eq!(visit.browser.script(script, &[hers]).unwrap(), 404);
    visit.browser.complaints().unwrap();
    assert_eq!(other.browser.script("return document.querySelectorAll('nav.tabs a').length;", &[]).unwrap(), 2);
    for closed in ["gateway", "exporters", "holds", "keys"] {
        other.open(&format!("/settings/{closed}"));
        other.browser.wait_for("Not for you").unwrap();
    }
    visit.browser.click("form[action='/auth/logout-everywhere'] button").unwrap();
    visit.until("return location.pathname;", "/auth/login");
    visit.open("/settings");
    visit.browser.wait_for("Your identity token").unwrap();
    let told: Vec<_> = w.audit("administration").iter().map(|e| e["what"].to_string()).collect();
    for what in ["make API key", "revoke API key", "sign out session", "sign out everywhere"] {
        assert!(told.iter().any(|t| t.contains(what)), "no {what} in {told:?}");
    }
}

#[test]
fn how_the_gateway_is_set_up_is_seen_and_sessions_are_held() {
    let more = "[[notify]]\nname = \"on-call\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/hook\"\n\
        secret = { value = \"a secret of some length\" }\ngroups = [\"dba\"]\n\
        [[exports]]\nname = \"siem\"\nkind = \"file\"\npath = \"siem.jsonl\"\n[retention]\nrecordings_days = 90\n";
    let w = World::with(&people("dba"), more);
    let dana = w.token("dana", &["dba"], &[]);
    w.psql(&w.token("ci-bot", &["agents"], &[]), &["-c", "select 1"]);
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&dana, "/settings/gateway");
    let page = visit.browser.text("main").unwrap();
    for part in
        [w.issuer(), env!("CARGO_PKG_VERSION"), "on-call", "webhook", "dba, on every connection", "90 days", "for good"]
    {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    is_good(&visit, "settings-gateway");
    visit.browser.click("nav.tabs a[href='/settings/exporters']").unwrap();
    visit.browser.wait_in("section[aria-labelledby=exporters]", "siem").unwrap();
    visit.browser.wait_in("section[aria-labelledby=exporters]", "line ").unwrap();
    is_good(&visit, "settings-exporters");

    visit.browser.click("nav.tabs a[href='/settings/holds']").unwrap();
    visit.browser.wait_for("Recordings are removed after 90 days").unwrap();
    visit.browser.type_into("#h-session", "nonsense").unwrap();
    visit.browser.type_into("#h-reason", "case <b>4711</b>").unwrap();
    visit.browser.click("form .primary").unwrap();
    visit.browser.wait_in(".notice.bad", "no number of a session").unwrap();
    assert!(visit.browser.complaints().unwrap().iter().all(|c| c.contains("404")));
    let session = w.audit("authenticated").iter().find_map(|e| e["session"].as_str().map(str::to_owned)).unwrap();
    // From the page of the session, its number comes along.
    visit.open(&format!("/sessions/{session}"));
    visit.browser.click("a[href^='/settings/holds?session=']").unwrap();
    visit.until("return document.getElementById('h-session')?.value ?? null;", session.as_str());
    visit.browser.type_into("#h-reason", "case <b>4711</b>").unwrap();
    visit.browser.click("form .primary").unwrap();
    visit.browser.wait_in(".notice", "nothing of it is removed").unwrap();
    visit.browser.wait_in("section[aria-labelledby=holds]", "case <b>4711</b>").unwrap();
    is_good(&visit, "settings-holds");
    assert_eq!(api(&visit, "GET", "/holds", &dana, None).1["holds"][0]["session"], json!(session));
    visit.browser.click("section[aria-labelledby=holds] .deny").unwrap();
    visit.browser.wait_in(".notice", "It is released").unwrap();
    visit.browser.wait_in("section[aria-labelledby=holds]", "None.").unwrap();
}

#[test]
fn the_api_is_described_by_the_program_itself() {
    let w = World::with(&people("dba"), "");
    for screen in [Screen::Desktop, Screen::Phone] {
        let visit = Visit::new(w.api, screen);
        visit.sign_in(&w.token("eve", &["agents"], &[]), "/settings");
        visit.browser.click("nav.tabs a[href='/docs']").unwrap();
        visit.browser.wait_for("Download OpenAPI 3.1").unwrap();
        visit.browser.click("#post-api-v1-keys summary").unwrap();
        visit.browser.wait_in("#post-api-v1-keys", "idempotency-key").unwrap();
        visit.picture(&format!("docs-{screen:?}"));
        visit.is_sound();
        if screen == Screen::Desktop {
            visit.browser.click("#post-api-v1-keys p a[href='#shape-NewApiKey']").unwrap();
            visit.until("return location.hash;", "#shape-NewApiKey");
            visit.browser.wait_in("#shape-NewApiKey", "ttl_seconds").unwrap();
            let broken = "return [...document.querySelectorAll('main a[href^=\"#\"]')].map((a) => a.getAttribute('href').slice(1)).filter((id) => !document.getElementById(id));";
            assert_eq!(visit.browser.script(broken, &[]).unwrap(), json!([]));
            for theme in ["light", "dark"] {
                visit.theme(theme);
                visit.is_readable();
                visit.picture(&format!("docs-shape-{theme}"));
            }
            let script = "return fetch('/docs/openapi.json').then((r) => r.json()).then((j) => j.openapi);";
            assert_eq!(visit.browser.script(script, &[]).unwrap(), "3.1.0");
        }
    }
}
