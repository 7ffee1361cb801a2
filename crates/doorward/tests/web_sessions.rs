//! Sessions in a real Chromium: live, ended from there, searched, replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::{
    browser::{PEOPLE, Visit, demo},
    ssh::{SshWorld, text},
};
use doorward_testkit::Screen;
use std::{
    io::{Read as _, Write as _},
    process::Stdio,
};

#[test]
fn database_sessions_are_followed_ended_searched_and_replayed() {
    let w = demo();
    let bot = w.token("ci-bot", &["agents", "analysts"], &[]);
    w.psql(&bot, &["-c", "select id, name, email from customers where id < 3", "-c", "drop table <b>orders</b>"]);
    w.psql(&bot, &["-c", "select name as \"<i>n</i>\" from products order by id", "-c", "drop table orders"]);
    let mut command = w.psql_command(&w.token("idle", &["agents"], &[]));
    let mut idle = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    idle.stdin.as_mut().unwrap().write_all(b"select 1;\n").unwrap();

    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/sessions");
    visit.browser.wait_for("dev/idle").unwrap();
    visit.picture("sessions");
    visit.theme("dark");
    visit.picture("sessions-dark");
    // What was refused is found by its text.
    visit.browser.type_into("#f-text", "drop table orders").unwrap();
    visit.browser.click(".filters button").unwrap();
    visit.browser.wait_for("Refused").unwrap();
    let rows = "return document.querySelectorAll('section[aria-labelledby=past] tbody tr').length;";
    assert_eq!(visit.browser.script(rows, &[]).unwrap(), 1);
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_for("What was decided").unwrap();
    visit.browser.wait_for("<i>n</i>").unwrap();
    visit.browser.wait_for("thing 5").unwrap();
    visit.browser.wait_for("refused by policy").unwrap();
    assert_eq!(visit.browser.script("return document.querySelectorAll('main i').length;", &[]).unwrap(), 0);
    visit.picture("replay-sql");
    visit.no_complaints();

    // The one that is open is ended.
    visit.open("/sessions");
    visit.browser.click("section[aria-labelledby=live] tbody a").unwrap();
    visit.browser.wait_for("End session").unwrap();
    visit.browser.click("[data-dialog=kill]").unwrap();
    visit.browser.wait_for("End this session?").unwrap();
    visit.picture("session-kill");
    visit.browser.click("#kill button.deny").unwrap();
    visit.browser.wait_for("The session was ended").unwrap();
    // psql hears of it when it says something.
    let _gone = idle.stdin.take().unwrap().write_all(b"select 2;\n");
    let mut told = String::new();
    idle.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    idle.wait().unwrap();
    assert!(told.contains("ended by an administrator"), "{told}");
    visit.browser.wait_for("Nobody is connected").unwrap();
    assert!(w.audit("administration").iter().any(|e| e["what"] == "kill session" && e["by"] == "dev/dana"));
    visit.no_complaints();

    // Who is no operator sees none of it.
    visit.browser.click("form[action='/sign-out'] button").unwrap();
    visit.sign_in(&bot, "/sessions");
    visit.browser.wait_for("Not for you").unwrap();
}

#[test]
fn a_terminal_is_played() {
    let w = SshWorld::start(&format!("{}{PEOPLE}", include_str!("../../../policies/examples/ssh.cedar")), true);
    let token = w.issuer.token("olga", &["operators"], &[]);
    let mut ssh = w.client_as("anybody", &token).ssh().unwrap();
    let mut child = ssh.arg("-tt").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo $((40+2))4111; ls /; exit 7\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(text(&out).contains("424111"), "{}", text(&out));

    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.issuer.token("sam", &["dba"], &[]), "/sessions");
    visit.browser.wait_for("dev/olga").unwrap();
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_for("▶ Terminal").unwrap();
    visit.picture("session-ssh");
    visit.browser.click("section[aria-labelledby=terminals] a").unwrap();
    visit.browser.text(".ap-player").unwrap();
    visit.browser.script("document.getElementById('speed').value = '8'; document.getElementById('speed').dispatchEvent(new Event('change'));", &[]).unwrap();
    visit.browser.text(".ap-player .ap-term").unwrap();
    visit.browser.wait_for("sam").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    visit.picture("replay-terminal");
    visit.no_complaints();
}
