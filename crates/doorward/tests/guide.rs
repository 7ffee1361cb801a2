//! Walks docs/guide/first-ten-minutes.md, with its own texts, in a real Chromium. `UPDATE_PICTURES=1` makes its pictures anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;

use common::{DOORWARD, Issuer, browser::Visit};
use doorward_testkit::{Gateway, Postgres, Screen, free_port};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const REPO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The texts between fences of a language, in the order of the guide.
fn blocks(guide: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    guide.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// What ./quickstart starts, as far as the guide goes: a database that is not registered, issuers, a gateway.
struct Started {
    postgres: Postgres,
    gateway: Gateway,
    agents: Issuer,
    _people: Issuer,
    api: u16,
}

impl Started {
    fn new() -> Self {
        let postgres = Postgres::options().database("warehouse").user("clerk", "a-password").start().unwrap();
        let sql = std::fs::read_to_string(Path::new(REPO).join("demo/warehouse.sql")).unwrap();
        postgres.exec(&format!("set role {};\n{sql}", postgres.user())).unwrap();
        let (agents, people) = (Issuer::start(), Issuer::start());
        let (api, port) = (free_port().unwrap(), free_port().unwrap());
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["dba"]
[[identity.issuers]]
name = "ci"
issuer = "{}"
audience = ["doorward"]
principal = "agent"
[[identity.issuers]]
name = "people"
issuer = "{}"
audience = ["doorward"]
principal = "user"
[[connections]]
name = "orders"
kind = "postgres"
listen = "127.0.0.1:{port}"
upstream = "{}"
database = "orders"
user = "app"
credential = {{ value = "nobody-uses-it" }}
tls = "disable"
labels = {{ environment = "demo" }}
tags = {{ "public.customers.email" = ["pii", "email"], "public.customers.ssn" = ["pii", "ssn"] }}
[policy]
files = ["orders.cedar"]
"#,
            agents.url,
            people.url,
            postgres.address()
        );
        let policies = std::fs::read_to_string(Path::new(REPO).join("policies/orders.cedar")).unwrap();
        let gateway = Gateway::options(&config).program(DOORWARD).file("orders.cedar", &policies).start().unwrap();
        Self { postgres, gateway, agents, _people: people, api }
    }

    /// The link that the gateway has printed.
    fn link(&self) -> String {
        let log = self.gateway.log();
        log.split_whitespace().find(|word| word.contains("/auth/bootstrap?code=")).expect("a link").to_owned()
    }
}

/// What is seen, as a picture of the guide.
fn picture(visit: &Visit, name: &str) {
    visit.is_sound();
    visit.picture(name);
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        let file = PathBuf::from(REPO).join(format!("docs/guide/images/{name}.png"));
        visit.browser.picture(&file).unwrap();
    }
}

/// The agent's psql, which is given one statement after the other.
struct Agent {
    psql: Child,
    seen: PathBuf,
    _folder: tempfile::TempDir,
}

impl Agent {
    /// `line` is the one that the page has for psql.
    fn new(s: &Started, line: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(s.gateway.directory().join("state/dev-tls.crt"), folder.path().join("ca.crt")).unwrap();
        let seen = folder.path().join("seen");
        let out = std::fs::File::create(&seen).unwrap();
        let psql = Command::new("sh")
            .args(["-c", &format!("exec env {line} -X -f -")])
            .current_dir(folder.path())
            .env("TOKEN", s.agents.token("ci-bot", &["agents", "analysts", "writers"], &[]))
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { psql, seen, _folder: folder }
    }

    fn asks(&mut self, sql: &str) {
        self.psql.stdin.as_mut().unwrap().write_all(sql.as_bytes()).unwrap();
    }

    /// Waits until psql has said this.
    fn hears(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = std::fs::read_to_string(&self.seen).unwrap();
            if seen.contains(text) {
                return;
            }
            assert!(Instant::now() < end, "no {text:?} in: {seen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn signs_in(s: &Started, visit: &Visit) {
    visit.browser.open(&s.link()).unwrap();
    visit.browser.click("button").unwrap();
    visit.browser.wait_for("local/admin").unwrap();
    picture(visit, "first-1-overview");
}

/// Gives the line for psql that the page of the new connection has.
fn registers(s: &Started, visit: &Visit) -> String {
    visit.open("/connections");
    visit.browser.click("a[href='/new-connection']").unwrap();
    visit.browser.text("#name").unwrap();
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    for (field, value) in [
        ("name", "warehouse"),
        ("listen", &listen),
        ("upstream", &s.postgres.address().to_string()),
        ("database", "warehouse"),
        ("user", "clerk"),
        ("tls", "disable"),
        ("credential", "a-password"),
    ] {
        visit.fill(field, value);
    }
    visit.browser.click("button[value=test]").unwrap();
    visit.browser.wait_in("#tried", "Logged in").unwrap();
    picture(visit, "first-2-register");
    // What went wrong takes the password away from nobody.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    visit.fill("listen", &taken.local_addr().unwrap().to_string());
    visit.browser.click("button[value=save]").unwrap();
    visit.browser.wait_for("is kept as the secret `warehouse`, which is chosen below").unwrap();
    // A browser complains of an answer 409.
    let complaints = visit.browser.complaints().unwrap();
    assert!(complaints.iter().all(|c| c.contains("409")), "{complaints:?}");
    visit.fill("listen", &listen);
    visit.browser.click("button[value=save]").unwrap();
    visit.browser.wait_for("It is served so from now on").unwrap();
    visit.browser.text(".copy code").unwrap()
}

fn writes_a_policy(visit: &Visit, policy: &str) {
    visit.open("/policies");
    visit.browser.click("a[href='/policies/edit']").unwrap();
    visit.browser.text("#draft").unwrap();
    visit.fill("draft", policy);
    visit.browser.click("[formaction='/policies/check']").unwrap();
    visit.browser.wait_for("It is right").unwrap();
    visit.fill("comment", "agents count the warehouse");
    visit.browser.click("form .primary").unwrap();
    visit.browser.wait_for("Nothing is in force by that").unwrap();
    visit.browser.click("[value=enforce]").unwrap();
    visit.browser.wait_in(".notice", "It is in force").unwrap();
    picture(visit, "first-3-policy");
}

fn approves(visit: &Visit, update: &str) {
    visit.open("/approvals");
    visit.browser.wait_in(".inbox", "ci/ci-bot").unwrap();
    visit.browser.click("[data-open]").unwrap();
    visit.browser.wait_for("Exactly this would run").unwrap();
    assert_eq!(visit.browser.text("#statement").unwrap(), update.trim());
    visit.browser.type_into("#comment", "counted again, one was broken").unwrap();
    picture(visit, "first-4-approval");
    visit.browser.click("[data-approve]").unwrap();
    visit.browser.wait_for("Your approval is recorded").unwrap();
}

fn looks_at_what_was_done(visit: &Visit) {
    visit.open("/sessions");
    visit.browser.wait_in("section[aria-labelledby=live]", "ci/ci-bot").unwrap();
    visit.browser.click("section[aria-labelledby=live] tbody a").unwrap();
    visit.browser.wait_in("#body", "UPDATE 1").unwrap();
    visit.browser.wait_in(".replay .failed", "DROP").unwrap();
    let results = visit.browser.text("#body").unwrap();
    assert!(results.contains("anvil") && !results.contains("iron.example.com"), "{results}");
    picture(visit, "first-5-replay");
}

fn takes_the_audit_log(visit: &Visit) {
    visit.open("/audit");
    visit.browser.script("document.getElementById('f-event').value = 'approval_decided';", &[]).unwrap();
    visit.browser.click(".filters button").unwrap();
    // The decision was on the page before, too: that it is alone says that the search is over.
    visit.until("return document.querySelectorAll('main tbody tr').length;", 1);
    visit.browser.wait_in("main tbody", "counted again, one was broken").unwrap();
    picture(visit, "first-6-audit");
    let fetched = "return fetch(document.querySelector('a[download]').href).then((r) => r.text());";
    let lines = visit.browser.script(fetched, &[]).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.as_str().unwrap().trim()).unwrap();
    assert_eq!((&line["entry"]["approved"], &line["entry"]["by"]), (&true.into(), &"local/admin".into()), "{line}");
    visit.browser.click("a[href='/audit/verify']").unwrap();
    visit.browser.wait_for("intact").unwrap();
}

#[test]
fn the_first_ten_minutes_are_as_the_guide_says() {
    let guide = std::fs::read_to_string(Path::new(REPO).join("docs/guide/first-ten-minutes.md")).unwrap();
    let (policy, sql) = (blocks(&guide, "cedar"), blocks(&guide, "sql"));
    assert_eq!((policy.len(), sql.len()), (1, 2), "the guide's own texts");
    let s = Started::new();
    let visit = Visit::new(s.api, Screen::Desktop);
    signs_in(&s, &visit);
    let line = registers(&s, &visit);
    writes_a_policy(&visit, &policy[0]);
    let mut agent = Agent::new(&s, &line);
    agent.asks(&sql[0]);
    agent.hears("List of relations");
    agent.hears("anvil");
    agent.hears("[email]");
    agent.hears("DROP TABLE refused");
    agent.asks(&sql[1]);
    agent.hears("waiting for approval");
    approves(&visit, &sql[1]);
    agent.hears("UPDATE 1");
    looks_at_what_was_done(&visit);
    takes_the_audit_log(&visit);
    assert_eq!(s.postgres.query("select pieces from stock where item = 'anvil'").unwrap(), "11");
    for name in guide.split("](images/").skip(1) {
        let name = name.split(')').next().unwrap();
        assert!(Path::new(REPO).join("docs/guide/images").join(name).exists(), "{name}: UPDATE_PICTURES=1 makes it");
    }
}
