//! Overview, audit, policies, connections and settings in a real Chromium.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::browser::{Visit, demo};
use doorward_testkit::Screen;

#[test]
fn what_happened_is_on_the_overview_and_in_the_audit_log() {
    let w = demo();
    let bot = w.token("ci-bot", &["agents", "analysts"], &[]);
    for sql in ["select name from products", "drop table <b>orders</b>", "drop table orders", "select 1"] {
        w.psql(&bot, &["-c", sql]);
    }
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/");
    visit.browser.wait_for("Refused in the last 24 hours").unwrap();
    visit.browser.wait_for("drop table orders").unwrap();
    visit.picture("overview");
    visit.theme("dark");
    visit.picture("overview-dark");
    visit.no_complaints();

    visit.browser.click("nav a[href='/audit']").unwrap();
    visit.browser.wait_for("session_opened").unwrap();
    visit.picture("audit");
    visit.browser.script("document.getElementById('f-outcome').value = 'refuse';", &[]).unwrap();
    visit.browser.type_into("#f-principal", "ci-bot").unwrap();
    visit.browser.type_into("#f-text", "DROP TABLE orders").unwrap();
    visit.browser.click(".filters button").unwrap();
    // What is looked for was on the page before, too: that it is alone says that the search is over.
    let rows = "return document.querySelectorAll('main tbody tr').length;";
    let begun = std::time::Instant::now();
    while visit.browser.script(rows, &[]).unwrap() != 1 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "the search finds more than one");
    }
    visit.browser.wait_for("drop table orders").unwrap();
    visit.browser.click("main tbody a").unwrap();
    visit.browser.wait_for("\"outcome\": \"refuse\"").unwrap();
    visit.picture("audit-entry");
    visit.open("/audit/verify");
    visit.browser.wait_for("intact").unwrap();
    visit.open("/audit?event=nonsense");
    visit.browser.wait_for("is no kind of entry").unwrap();
    visit.no_complaints();

    // What is downloaded is what was looked for.
    let script = "return fetch('/audit.jsonl?outcome=refuse').then((r) => r.text());";
    let text = visit.browser.script(script, &[]).unwrap();
    let lines: Vec<serde_json::Value> =
        text.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.len() >= 2 && lines.iter().all(|l| l["entry"]["outcome"] == "refuse"), "{text}");

    // Who may see none of it is told so.
    visit.browser.click("form[action='/sign-out'] button").unwrap();
    visit.sign_in(&bot, "/audit");
    visit.browser.wait_for("Not for you").unwrap();
}

#[test]
fn policies_are_read_checked_and_tried() {
    let w = demo();
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/policies");
    visit.browser.wait_for("policy.cedar").unwrap();
    visit.picture("policies");
    let fill = "document.getElementById(arguments[0]).value = arguments[1];";
    visit.browser.script(fill, &["draft".into(), "permit (principal,\n  acton, resource);".into()]).unwrap();
    visit.browser.click("section[aria-labelledby=check] button").unwrap();
    visit.browser.wait_for("text:2:3").unwrap();
    visit.picture("policies-check");
    let right = "@id(\"more\") forbid (principal in Group::\"guests\", action, resource);";
    visit.browser.script(fill, &["draft".into(), right.into()]).unwrap();
    visit.browser.click("section[aria-labelledby=check] button").unwrap();
    visit.browser.wait_for("It is right").unwrap();

    for (statement, expected) in [
        ("drop table orders", "refuse"),
        ("select email from customers", "analysts-read"),
        ("update orders set total = 1 where id = 1", "needs an approval"),
        ("selec 1", "syntax error"),
    ] {
        visit.browser.script(fill, &["q-statement".into(), statement.into()]).unwrap();
        visit.browser.script(fill, &["q-groups".into(), "agents, analysts, dba".into()]).unwrap();
        visit.browser.click("section[aria-labelledby=try] button").unwrap();
        visit.browser.wait_in("#answer", expected).unwrap();
        if statement.starts_with("select") {
            visit.picture("policies-try");
        }
    }
    visit.no_complaints();
}

#[test]
fn connections_have_lines_that_work_and_every_page_fits_a_phone() {
    let w = demo();
    let token = w.token("dana", &["dba", "agents"], &[]);
    w.psql(&token, &["-c", "drop table orders"]);
    let visit = Visit::new(w.api, Screen::Phone);
    visit.sign_in(&token, "/connections");
    visit.browser.wait_for("Connect").unwrap();
    visit.picture("connections-phone");
    let line = visit.browser.text("#l-1-1").unwrap();
    assert!(line.contains(&format!("port={}", w.port)) && line.contains("dbname=orders"), "{line}");
    let run = line.replace("ca.crt", w.ca().to_str().unwrap());
    let out = std::process::Command::new("sh")
        .args(["-c", &format!("{run} -X -A -t -c 'select 40 + 2'")])
        .env("TOKEN", &token)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "42", "{}", String::from_utf8_lossy(&out.stderr));
    for page in ["/", "/approvals", "/sessions", "/audit", "/audit/verify", "/policies", "/connections", "/settings"] {
        visit.open(page);
        visit.browser.text("h1").unwrap();
        assert!(!visit.browser.overflows().unwrap(), "{page} is wider than the screen");
        visit.picture(&format!("phone{}", page.replace('/', "-")));
    }
    visit.open("/nothing/here");
    visit.browser.wait_for("There is nothing here").unwrap();
    assert_eq!(visit.browser.complaints().unwrap().iter().filter(|c| !c.contains("404")).count(), 0);
}
