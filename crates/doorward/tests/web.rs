//! The web pages in a real Chromium, over a real gateway in front of a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::{World, browser::Visit};
use doorward_testkit::Screen;
use std::{
    io::Write as _,
    process::{Child, Stdio},
};

fn ask(world: &World, token: &str, sql: &str) -> Child {
    let mut command = world.psql_command(token);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    child
}

fn said(child: Child) -> String {
    let out = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

const MARKUP: &str = "update orders set status = '<img src=x onerror=\"document.title=1\"><script>document.title=2</script>\u{202e}' where id = 1;\n";

#[test]
fn a_waiting_psql_is_approved_from_the_inbox_by_keys() {
    let w = World::demo();
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/approvals");
    visit.browser.wait_for("Nothing waits for you").unwrap();
    visit.picture("inbox-empty");
    visit.no_complaints();

    // It comes by itself, and nothing in it counts as markup.
    let bot = w.token("ci-bot", &["agents", "dba"], &[]);
    let child = ask(&w, &bot, MARKUP);
    visit.browser.wait_for("ci-bot").unwrap();
    let shown = visit.browser.text(".inbox .code").unwrap();
    assert!(shown.contains("<img src=x onerror=") && shown.contains("</script>\\u{202e}"), "{shown}");
    let injected = "return document.querySelectorAll('main img, main script').length;";
    assert_eq!(visit.browser.script(injected, &[]).unwrap(), 0);
    assert_eq!(visit.browser.script("return document.title;", &[]).unwrap(), "Approvals · Doorward");
    assert_eq!(visit.browser.text("#waiting").unwrap().trim(), "1");
    assert!(
        visit
            .browser
            .script("return document.getElementById('said').textContent;", &[])
            .unwrap()
            .to_string()
            .contains("asks for approval")
    );
    visit.picture("inbox");
    visit.theme("dark");
    visit.picture("inbox-dark");

    visit.browser.press("?").unwrap();
    visit.browser.wait_for("Next and previous request").unwrap();
    visit.browser.click("#keys button").unwrap();
    // Until it is closed, what has the focus is a button of it.
    visit.until("return document.getElementById('keys').open || !!document.activeElement.closest('#keys');", false);
    visit.browser.press("j").unwrap();
    visit.browser.press("a").unwrap();
    visit.browser.enter().unwrap();
    visit.browser.wait_for("Your approval is recorded").unwrap();
    assert!(said(child).contains("UPDATE 1"));
    assert!(visit.browser.page().unwrap().contains("approved"));
    visit.no_complaints();
}

#[test]
fn the_printed_link_leads_to_the_approval_and_a_denial_is_told() {
    let w = World::demo();
    let bot = w.token("ci-bot", &["agents", "dba"], &[]);
    let visit = Visit::new(w.api, Screen::Phone);
    let dana = w.token("dana", &["dba"], &[]);
    let child = ask(&w, &bot, MARKUP);
    visit.sign_in(&dana, "/approvals");
    visit.browser.wait_for("ci-bot").unwrap();
    visit.picture("inbox-phone");
    assert!(!visit.browser.overflows().unwrap());
    visit.browser.click("[data-open]").unwrap();
    visit.browser.wait_for("Exactly this would run").unwrap();
    let link = visit.browser.url().unwrap();
    visit.picture("approval-phone");
    assert!(!visit.browser.overflows().unwrap());
    // Whatever an address says, the page says what is so.
    let id = link.rsplit('/').next().unwrap();
    for address in [format!("/approvals/{id}?decided=1&done=denied"), format!("/approvals?decided={id}&done=approved")]
    {
        visit.open(&address);
        visit.browser.wait_for("ci-bot").unwrap();
        let page = visit.browser.page().unwrap();
        assert!(!page.contains("has been told") && !page.contains("is recorded"), "{address}");
    }
    visit.open(&format!("/approvals/{id}"));
    visit.browser.wait_for("Exactly this would run").unwrap();
    visit.browser.type_into("#comment", "not <b>today</b>").unwrap();
    visit.browser.click("[data-deny]").unwrap();
    visit.browser.wait_for("the caller has been told").unwrap();
    visit.browser.wait_for("not <b>today</b>").unwrap();
    let told = said(child);
    assert!(told.contains("not <b>today</b>") && told.contains(link.split('?').next().unwrap()), "{told}");
    visit.no_complaints();

    // Signed out, the link asks who one is and leads back; to whom it is none of their business it is not there.
    visit.sign_out();
    visit.browser.wait_for("Your identity token").unwrap();
    let path = link.strip_prefix(&visit.site).unwrap();
    visit.sign_in(&w.token("eve", &["agents"], &[]), path);
    visit.browser.wait_for("There is nothing here").unwrap();
    assert_eq!(visit.browser.url().unwrap(), link);
}

#[test]
fn an_open_page_follows_what_happens_to_its_approval() {
    let w = World::demo();
    let visit = Visit::new(w.api, Screen::Desktop);
    let mut child = ask(&w, &w.token("ci-bot", &["agents", "dba"], &[]), "update orders set total = 1 where id = 2;\n");
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/approvals");
    visit.browser.wait_for("ci-bot").unwrap();
    visit.browser.click("[data-open]").unwrap();
    visit.browser.wait_for("if nobody decides").unwrap();
    visit.browser.type_into("#comment", "half a thou").unwrap();
    visit.picture("approval");
    visit.theme("dark");
    visit.picture("approval-dark");
    child.kill().unwrap();
    child.wait().unwrap();
    visit.browser.wait_for("withdrawn").unwrap();
    assert_eq!(visit.browser.script("return document.querySelectorAll('[data-approve]').length;", &[]).unwrap(), 0);
    visit.no_complaints();
}
