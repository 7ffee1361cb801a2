//! Sessions in a real Chromium: live, ended from there, searched, replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::{
    browser::{Verdict, Visit, demo, people},
    ssh::{SshWorld, text},
};
use doorward_testkit::Screen;
use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
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
    visit.until("return document.querySelectorAll('section[aria-labelledby=past] tbody tr').length;", 1);
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
    // What goes on in it shows by itself.
    visit.browser.wait_in(".replay", "select 1;").unwrap();
    idle.stdin.as_mut().unwrap().write_all(b"select name from products where id = 3;\n").unwrap();
    visit.browser.wait_in(".replay", "thing 3").unwrap();
    visit.browser.wait_in("section[aria-labelledby=decided]", "select name from products where id = 3").unwrap();
    visit.picture("session-live");
    visit.is_sound();
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
    visit.sign_out();
    visit.sign_in(&bot, "/sessions");
    visit.browser.wait_for("Not for you").unwrap();
}

/// OpenSSH's own client, whose command waits.
fn asked(w: &SshWorld, command: &str) -> Child {
    let mut ssh = w.client().ssh().unwrap();
    ssh.arg(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn a_waiting_command_is_decided(w: &SshWorld, visit: &Visit) {
    let command = "echo '<img src=x>' && sudo id -u; echo after";
    let about = [
        "dev/ci-bot",
        "web",
        "run_program on Program `sudo id -u`",
        "web-root-approved",
        "root on a server",
        "1 of sre",
    ];
    let mut child = asked(w, command);
    visit.browser.wait_in(".inbox", "ci-bot").unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    visit.decide(Verdict::Approve, command, &about, "ticket <b>4711</b>");
    let said = text(&child.wait_with_output().unwrap());
    assert!(said.contains("<img src=x>\n") && said.contains("after\n") && said.ends_with("[0]"), "{said}");
    let child = asked(w, command);
    visit.decide(Verdict::Deny, command, &about, "not <b>now</b>");
    visit.picture("approval-ssh");
    let said = text(&child.wait_with_output().unwrap());
    assert!(said.contains("not <b>now</b>") && !said.contains("after\n") && said.ends_with("[126]"), "{said}");
}

#[test]
fn a_waiting_ssh_command_is_decided_and_what_was_done_is_replayed() {
    let w =
        SshWorld::start(&format!("{}{}", include_str!("../../../policies/examples/ssh.cedar"), people("dba")), true);
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.issuer.token("sam", &["dba", "sre"], &[]), "/approvals");
    visit.browser.wait_for("Nothing waits for you").unwrap();
    a_waiting_command_is_decided(&w, &visit);
    visit.open("/sessions?outcome=forward&text=sudo");
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_in("section[aria-labelledby=replay]", "<img src=x>").unwrap();
    visit.browser.wait_in("section[aria-labelledby=replay]", "doorward: approved").unwrap();
    visit.picture("replay-ssh");
    visit.is_sound();

    let token = w.issuer.token("olga", &["operators"], &[]);
    let mut ssh = w.client_as("anybody", &token).ssh().unwrap();
    let mut child = ssh.arg("-tt").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sleep 1; echo $((40+2))4111; ls /; exit 7\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(text(&out).contains("424111"), "{}", text(&out));
    visit.open("/sessions?principal=olga");
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_for("▶ Terminal").unwrap();
    visit.picture("session-ssh");
    visit.browser.click("section[aria-labelledby=terminals] a").unwrap();
    visit.plays("424111");
    visit.picture("replay-terminal");
}
