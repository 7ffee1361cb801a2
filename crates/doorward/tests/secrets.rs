//! The upstream's credential is kept, replaced and used, and nobody sees it.
#![allow(clippy::unwrap_used, reason = "tests")]
mod common;
use common::World;
use doorward_testkit::Postgres;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource in Connection::"orders");
@id("see") permit (principal in Group::"agents", action == Action::"reveal", resource);
@id("keep")
permit (principal in Group::"keepers", action in [Action::"view_secrets", Action::"edit_secrets"], resource);
"#;

fn set(w: &World, token: &str, name: &str, secret: &str) -> (bool, String) {
    let file = w.state().join("secret-in");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    w.doorward(token, &["secrets", "set", name, "--file", file.to_str().unwrap()])
}

fn password(w: &World, new: &str) {
    w.postgres.exec(&format!("alter role {} password '{new}'", w.postgres.user())).unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_stored_credential_is_replaced_while_sessions_go_on() {
    let w = World::with(POLICY, "credential = { secret = \"orders-password\" }");
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    let said = w.psql(&agent, &["-c", "select 1"]);
    assert!(said.contains("could not log in at the database server"), "{said}");
    let old = w.postgres.password().to_owned();
    let (ok, said) = set(&w, &agent, "orders-password", &old);
    assert!(!ok && said.contains("edit_secrets"), "who may not: {said}");
    let (ok, said) = set(&w, &keeper, "orders-password", &old);
    assert!(ok && said.contains("version 1"), "{said}");
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    let mut child = w.psql_command(&agent).args(["-q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ask = |what: &str| {
        writeln!(input, "select '{what}';").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(ask("before"), "before");
    password(&w, "entirely-new-word");
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
    let (ok, said) = set(&w, &keeper, "orders-password", "entirely-new-word");
    assert!(ok && said.contains("version 2"), "{said}");
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1", "new log-ins take it at once");
    assert_eq!(ask("after"), "after", "a session that is logged in goes on");
    drop(input);
    child.wait().unwrap();
    // It is listed, and nowhere to be read; what is used is not deleted.
    let (ok, listed) = w.doorward(&keeper, &["secrets", "list", "--output", "json"]);
    assert!(ok && listed.contains("\"used_by\":[\"orders\"]") && !listed.contains("entirely-new-word"), "{listed}");
    let (ok, said) = w.doorward(&keeper, &["secrets", "delete", "orders-password"]);
    assert!(!ok && said.contains("connection `orders` uses it"), "{said}");
    let changes: Vec<String> = w.audit("administration").iter().map(|e| e["what"].to_string()).collect();
    assert_eq!(changes.iter().filter(|c| c.contains("replace secret orders-password")).count(), 2, "{changes:?}");
    let found = Command::new("grep").args(["-rla", "entirely-new-word"]).arg(w.state()).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.lines().all(|f| f.ends_with("secret-in")), "the secret is in {found}");
}

#[test]
fn it_is_there_after_a_restart_and_with_another_key_it_is_refused_in_words() {
    let w = World::with(POLICY, "credential = { secret = \"p\" }\nrotation = \"end\"");
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    assert!(set(&w, &keeper, "p", w.postgres.password()).0);
    let mut child =
        w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let live = || w.doorward(&w.token("o", &["dba"], &[]), &["sessions", "list", "--live"]).1;
    until("the session", || live().contains("orders"));
    assert!(set(&w, &keeper, "p", w.postgres.password()).0);
    until("the end of the session", || !live().contains("orders"));
    let _over = child.kill();
    let _over = child.wait();
    let mut w = w;
    w.gateway.stop().unwrap();
    w.gateway.restart().unwrap();
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    w.gateway.stop().unwrap();
    std::fs::remove_file(w.state().join("keys/secrets.key")).unwrap();
    w.gateway.restart().unwrap();
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
    let log = std::fs::read_to_string(w.gateway.directory().join("doorward.log")).unwrap();
    assert!(log.contains("the secret `p` was sealed under key"), "{log}");
}

#[test]
fn a_file_that_changes_is_taken_at_the_next_log_in() {
    let postgres = Postgres::start().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", postgres.password())).unwrap();
    let w = World::over(postgres, POLICY, &format!("credential = {{ file = \"{}\" }}", file.path().display()));
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    // One that is being written is empty for a moment: what is known goes on.
    std::fs::write(file.path(), "\n").unwrap();
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    password(&w, "of-the-file");
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
    std::fs::write(file.path(), "of-the-file\n").unwrap();
    until("the new credential", || w.psql(&agent, &["-c", "select 1"]).trim() == "1");
}

/// A new key in a file; the line of the configuration for it.
fn new_key(w: &World, name: &str) -> String {
    let out = Command::new("openssl").args(["rand", "-base64", "32"]).output().unwrap();
    std::fs::write(w.gateway.directory().join(name), &out.stdout).unwrap();
    format!("{{ file = \"{name}\" }}")
}

/// The configuration, with this section of secrets.
fn configure(w: &World, plain: &str, secrets: &str) {
    w.gateway.write("doorward.toml", &format!("{plain}\n[secrets]\n{secrets}\n")).unwrap();
}

#[test]
fn another_key_takes_over_while_the_gateway_serves_and_a_kill_in_the_middle_loses_nothing() {
    let mut w = World::with(POLICY, "credential = { secret = \"orders-password\" }");
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    let old = w.postgres.password().to_owned();
    assert!(set(&w, &keeper, "orders-password", &old).0);
    for n in 0..40 {
        assert!(set(&w, &keeper, &format!("more-{n}"), "word").0);
    }
    let plain = std::fs::read_to_string(w.gateway.config_file()).unwrap();
    let rewrap = |w: &World, token: &str| w.doorward(token, &["secrets", "rewrap"]);
    let (ok, said) = rewrap(&w, &agent);
    assert!(!ok && said.contains("edit_secrets"), "{said}");
    // Without the old key nothing is touched.
    let first = new_key(&w, "first.key");
    configure(&w, &plain, &format!("key = {first}"));
    let (ok, said) = rewrap(&w, &keeper);
    assert!(!ok && said.contains("give the other one in old_keys"), "{said}");
    assert!(set(&w, &keeper, "more-0", "word").0);
    // With it, all are under the new one; nobody is disturbed, and the old one may go.
    configure(&w, &plain, &format!("key = {first}\nold_keys = [{{ file = \"state/keys/secrets.key\" }}]"));
    let (ok, said) = rewrap(&w, &keeper);
    assert!(ok && said.contains("41 of 41 secrets were wrapped anew"), "{said}");
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    let (ok, said) = rewrap(&w, &keeper);
    assert!(ok && said.contains("0 of 41"), "{said}");
    configure(&w, &plain, &format!("key = {first}"));
    w.gateway.stop().unwrap();
    std::fs::remove_file(w.state().join("keys/secrets.key")).unwrap();
    w.gateway.restart().unwrap();
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    // Killed wherever it is by then.
    let second = new_key(&w, "second.key");
    configure(&w, &plain, &format!("key = {second}\nold_keys = [{first}]"));
    let (state, api, asker) = (w.state(), w.api, keeper.clone());
    let asking = thread::spawn(move || common::doorward(&state, api, &asker, &["secrets", "rewrap"]));
    until("its beginning", || {
        let asked = w.audit("administration").iter().filter(|e| e.to_string().contains("wrap all secrets")).count();
        asked == 4
    });
    w.gateway.kill9().unwrap();
    let _answered_or_not = asking.join();
    w.gateway.restart().unwrap();
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    let (ok, said) = rewrap(&w, &keeper);
    assert!(ok && said.contains("of 41 secrets"), "{said}");
    let (ok, listed) = w.doorward(&keeper, &["secrets", "list"]);
    assert!(ok && listed.lines().count() == 41 && listed.contains("version 2"), "{listed}");
}
