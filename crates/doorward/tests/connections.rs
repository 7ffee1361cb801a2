//! Connections that are registered, changed, tried and removed while the gateway runs.
#![allow(clippy::unwrap_used, reason = "tests")]
mod common;
use common::{World, browser::Visit, mysql::MySqlWorld, ssh::SshWorld};
use doorward_testkit::{MySql, OpenSsh, Screen, free_port};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const KEEP: &str = r#"
@id("keep") permit (
  principal in Group::"keepers",
  action in [
    Action::"view_connections", Action::"edit_connections", Action::"test_connection", Action::"view_secrets",
    Action::"edit_secrets"
  ],
  resource
);
@id("blind") permit (
  principal in Group::"blind", action in [Action::"view_connections", Action::"edit_connections"], resource
);
@id("half") permit (
  principal in Group::"half", action in [Action::"view_connections", Action::"edit_connections"],
  resource in Connection::"billing"
);
"#;
const USE: &str = r#"
@id("use") permit (principal in Group::"agents", action, resource);
@id("not-in-prod") forbid (principal, action == Action::"drop", resource)
when { resource.connection.hasTag("environment") && resource.connection.getTag("environment") == "prod" };
"#;

/// A file that describes a connection.
fn described(w: &World, text: &str) -> PathBuf {
    let path = w.gateway.directory().join("connection.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn set(w: &World, token: &str, text: &str) -> (bool, String) {
    let file = described(w, text);
    w.doorward(token, &["connections", "set", "billing", "--file", file.to_str().unwrap()])
}

fn keep_secret(w: &World, token: &str, name: &str, secret: &str) {
    let file = w.gateway.directory().join("secret-in");
    std::fs::write(&file, secret).unwrap();
    let (ok, said) = w.doorward(token, &["secrets", "set", name, "--file", file.to_str().unwrap()]);
    assert!(ok, "{said}");
}

fn psql(w: &World, port: u16, token: &str) -> Command {
    let mut command = w.psql_command(token);
    command.args(["-p", &port.to_string()]);
    command
}

fn said(command: &mut Command) -> String {
    let out = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// A psql that stays.
struct Staying {
    child: std::process::Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Staying {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.arg("-q").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut new = Self { child, output };
        assert_eq!(new.ask("select 'here'"), "here");
        new
    }

    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql};").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// What it says as it ends: nobody asked it anything.
    fn ends(mut self) -> String {
        writeln!(self.child.stdin.take().unwrap(), "select 1;").unwrap();
        let out = self.child.wait_with_output().unwrap();
        String::from_utf8_lossy(&out.stderr).into_owned()
    }
}

#[test]
fn a_connection_is_registered_changed_and_removed_while_others_go_on() {
    let mut w = World::with(&format!("{KEEP}{USE}"), "");
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    let port = free_port().unwrap();
    let spec = |label: &str, secret: &str| {
        format!(
            "kind = \"postgres\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"{}\"\ndatabase = \"orders\"\nuser = \"{}\"\n\
             secret = \"{secret}\"\ntls = \"disable\"\n[labels]\nenvironment = \"{label}\"\n",
            w.postgres.address(),
            w.postgres.user()
        )
    };
    let (dev, prod, broken) = (spec("dev", "billing"), spec("prod", "billing"), spec("dev", "wrong"));
    let mut other = Staying::start(w.psql_command(&agent));

    // Who may not, what is not there, and what does not work: nothing is registered.
    let (ok, text) = set(&w, &agent, &dev);
    assert!(!ok && text.contains("edit_connections"), "{text}");
    let (ok, text) = set(&w, &keeper, &dev);
    assert!(!ok && text.contains("there is no secret `billing`"), "{text}");
    keep_secret(&w, &keeper, "billing", w.postgres.password());
    keep_secret(&w, &keeper, "wrong", "not it");
    let (ok, text) = set(&w, &keeper, &broken);
    assert!(!ok && text.contains("password authentication failed") && text.contains("nothing was changed"), "{text}");
    let (ok, text) = set(&w, &w.token("hal", &["half"], &[]), &dev);
    assert!(!ok && text.contains("edit_secrets"), "who sends a secret somewhere has it: {text}");
    let api = dev.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", w.api));
    let (ok, text) = set(&w, &keeper, &api);
    assert!(!ok && text.contains("address of the API"), "{text}");
    let taken = dev.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", w.port));
    let (ok, text) = set(&w, &keeper, &taken);
    assert!(!ok && text.contains("address of connection `orders`"), "{text}");
    let open = dev.replace("127.0.0.1:", "0.0.0.0:");
    let (ok, text) = set(&w, &keeper, &open.replacen("upstream = \"0.0.0.0", "upstream = \"127.0.0.1", 1));
    assert!(!ok && text.contains("not loopback"), "{text}");

    // Served at once; the secret is in use.
    let (ok, text) = set(&w, &keeper, &dev);
    assert!(ok && text.contains("logged in (PostgreSQL 15") && text.contains("is served on"), "{text}");
    assert_eq!(
        said(psql(&w, port, &agent).args(["-c", "create table t(); drop table t; select 'done'"])).lines().last(),
        Some("done")
    );
    let (ok, text) = w.doorward(&keeper, &["secrets", "delete", "billing"]);
    assert!(!ok && text.contains("connection `billing` uses it"), "{text}");

    // Changed: its sessions end, the new labels are in force, others do not notice.
    let staying = Staying::start(psql(&w, port, &agent));
    let (ok, text) = set(&w, &keeper, &prod);
    assert!(ok, "{text}");
    let text = staying.ends();
    assert!(text.contains("its connection was changed"), "{text}");
    let text = said(psql(&w, port, &agent).args(["-c", "create table t()", "-c", "drop table t"]));
    assert!(text.contains("not-in-prod"), "{text}");
    assert_eq!(other.ask("select 2"), "2");

    // It survives a death of the gateway.
    w.gateway.kill9().unwrap();
    w.gateway.restart().unwrap();
    assert_eq!(said(psql(&w, port, &agent).args(["-c", "select 3"])).trim(), "3");
    let (ok, text) = w.doorward(&keeper, &["connections", "show", "billing"]);
    assert!(ok && text.contains("version 2 by dev/kim") && text.contains("environment = \"prod\""), "{text}");
    let (ok, text) = w.doorward(&keeper, &["connections", "test", "billing"]);
    assert!(ok && text.contains("NOT encrypted"), "{text}");

    // Removed: nobody gets in, and who is in goes.
    let staying = Staying::start(psql(&w, port, &agent));
    let begun = Instant::now();
    let (ok, text) = w.doorward(&keeper, &["connections", "delete", "billing"]);
    assert!(ok, "{text}");
    let text = staying.ends();
    assert!(text.contains("its connection was removed") && begun.elapsed() < Duration::from_secs(30), "{text}");
    assert!(said(psql(&w, port, &agent).args(["-c", "select 1"])).contains("Connection refused"));
    let (ok, text) = w.doorward(&keeper, &["connections", "delete", "orders"]);
    assert!(!ok && text.contains("configuration file"), "{text}");
    let (ok, text) = w.doorward(&keeper, &["secrets", "delete", "billing"]);
    assert!(ok, "{text}");
    let done: Vec<String> = w.audit("administration").iter().map(|e| e.to_string()).collect();
    for what in
        ["register connection billing", "change connection billing", "remove connection billing", "try postgres at"]
    {
        assert!(done.iter().any(|e| e.contains(what) && !e.contains(w.postgres.password())), "{what} in {done:?}");
    }
}

#[test]
fn a_machine_joins_an_address_and_leaves_it_again() {
    let policy = format!("{KEEP}{USE}");
    let w = SshWorld::start(&policy, true);
    let second = OpenSsh::start().unwrap();
    let (agent, keeper) = (w.agent(), w.issuer.token("kim", &["keepers"], &[]));
    let file = w.gateway.directory().join("m.toml");
    let secret = second.private_key().to_str().unwrap().to_owned();
    let (ok, text) = w.doorward(&keeper, &["secrets", "set", "db-key", "--file", &secret]);
    assert!(ok, "{text}");
    let spec = format!(
        "kind = \"ssh\"\nlisten = \"{}\"\nupstream = \"{}\"\nuser = \"{}\"\nsecret = \"db-key\"\ntrust_on_first_use = true\n",
        w.address(),
        second.address(),
        second.user()
    );
    std::fs::write(&file, format!("{spec}max_sessions = 1\n")).unwrap();
    let text = common::ssh::text(&w.run("echo alone"));
    assert!(text.contains("alone"), "{text}");
    let mut long = w.client().ssh().unwrap().arg("sleep 30").stdin(Stdio::null()).spawn().unwrap();
    let (ok, text) = w.doorward(&keeper, &["connections", "set", "db", "--file", file.to_str().unwrap()]);
    assert!(ok && text.contains("host key: ssh-ed25519"), "{text}");
    let kept = w.state().join("keys/known-host-db.pub");
    assert!(!kept.exists(), "a trial keeps no host key");
    let on = |name: &str| {
        let out =
            w.client_as(name, &agent).ssh().unwrap().arg("echo on $0; pwd").stdin(Stdio::null()).output().unwrap();
        common::ssh::text(&out)
    };
    for name in ["web", "db"] {
        assert!(on(name).contains("on "), "{name}: {}", on(name));
    }
    assert!(kept.exists());
    assert!(long.try_wait().unwrap().is_none(), "a session of the other machine goes on");
    // A third one joins: those that are there count their sessions on.
    let mut only = loop {
        let command = "echo up; sleep 60";
        let mut command = w
            .client_as("db", &agent)
            .ssh()
            .unwrap()
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(command.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.trim() == "up" {
            break command;
        }
        // The session before has not ended for the gateway yet.
        command.wait().unwrap();
    };
    assert!(on("db").contains("too many sessions"));
    std::fs::write(&file, &spec).unwrap();
    let (ok, text) = w.doorward(&keeper, &["connections", "set", "third", "--file", file.to_str().unwrap()]);
    assert!(ok, "{text}");
    let text = on("db");
    assert!(text.contains("too many sessions"), "{text}");
    let (ok, text) = w.doorward(&keeper, &["connections", "delete", "third"]);
    assert!(ok, "{text}");
    let text = on("db");
    assert!(text.contains("too many sessions"), "{text}");
    only.kill().unwrap();
    only.wait().unwrap();
    let (ok, text) = w.doorward(&keeper, &["connections", "delete", "db"]);
    assert!(ok, "{text}");
    assert!(common::ssh::text(&w.run("echo alone again")).contains("alone again"));
    assert!(!kept.exists() && long.try_wait().unwrap().is_none());
    long.kill().unwrap();
    long.wait().unwrap();
}

#[test]
fn a_mysql_server_is_tried() {
    let w = MySqlWorld::over(MySql::options().start().unwrap(), KEEP, "tls = \"disable\"");
    let keeper = w.token("kim", &["keepers"], &[]);
    let (ok, text) = w.doorward(&keeper, &["connections", "test", "orders"]);
    assert!(ok && text.contains("logged in (") && text.contains("MariaDB"), "{text}");
    let (ok, text) = w.doorward(&keeper, &["connections", "list"]);
    assert!(ok && text.contains("orders") && text.contains("file"), "{text}");
}

#[test]
fn a_connection_is_registered_tried_changed_and_removed_on_pages() {
    let settings = "@id(\"see\") permit (principal in Group::\"keepers\", action in Action::\"observe\", resource);";
    let w = World::with(&format!("{KEEP}{USE}{settings}"), "");
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    let port = free_port().unwrap();
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&keeper, "/connections");
    visit.browser.click("a[href='/new-connection']").unwrap();
    visit.browser.wait_for("Callers connect to").unwrap();
    let fill = |id: &str, value: &str| {
        let script = "document.getElementById(arguments[0]).value = arguments[1];";
        visit.browser.script(script, &[id.into(), value.into()]).unwrap();
    };
    fill("name", "shop");
    fill("listen", &format!("127.0.0.1:{port}"));
    fill("upstream", &w.postgres.address().to_string());
    fill("user", w.postgres.user());
    fill("database", "orders");
    fill("tls", "disable");
    fill("listen", "nowhere");
    visit.browser.click("button[value=test]").unwrap();
    visit.browser.wait_in("#tried", "is not an address with a port").unwrap();
    fill("listen", &format!("127.0.0.1:{port}"));
    fill("credential", "not it");
    visit.browser.click("button[value=test]").unwrap();
    visit.browser.wait_in("#tried", "password authentication failed").unwrap();
    // What was typed is still there: the trial has changed a part of the page alone.
    fill("credential", w.postgres.password());
    visit.browser.click("button[value=test]").unwrap();
    visit.browser.wait_in("#tried", "Logged in (PostgreSQL 15").unwrap();
    visit.picture("connection-new");
    assert!(!visit.browser.overflows().unwrap());
    visit.browser.click("summary").unwrap();
    fill("labels", "environment prod");
    visit.browser.click("button[value=save]").unwrap();
    visit.browser.wait_in("#tried", "labels, line 1").unwrap();
    fill("labels", "environment = prod");
    fill("tags", "public.<b>customers</b>.ssn = pii");
    fill("credential", w.postgres.password());
    visit.browser.click("button[value=save]").unwrap();
    visit.browser.wait_for("It is served so from now on").unwrap();
    visit.picture("connection");
    assert_eq!(said(psql(&w, port, &agent).args(["-c", "select 4"])).trim(), "4");

    let page = visit.browser.text("main").unwrap();
    assert!(
        page.contains("environment=prod") && page.contains("1 tagged name") && page.contains("secret shop"),
        "{page}"
    );
    assert!(!page.contains(w.postgres.password()));
    visit.browser.click("form[action$='/test'] button").unwrap();
    visit.browser.wait_in("#tried", "Logged in").unwrap();

    // Its password is replaced on both sides.
    w.postgres.exec(&format!("alter role {} password 'another'", w.postgres.user())).unwrap();
    visit.browser.type_into("#credential", "another").unwrap();
    visit.browser.click("form[action$='/credential'] button").unwrap();
    visit.browser.wait_for("The credential was replaced").unwrap();
    assert_eq!(said(psql(&w, port, &agent).args(["-c", "select 5"])).trim(), "5");

    visit.browser.click("a[href$='/edit']").unwrap();
    visit.browser.wait_for("Live sessions on it end").unwrap();
    fill("labels", "environment = dev");
    // A new credential goes under a name of its own: the one before is never sent it.
    fill("credential", "another");
    visit.browser.click("button[value=save]").unwrap();
    visit.browser.wait_for("environment=dev").unwrap();
    assert!(visit.browser.text("main").unwrap().contains("secret shop.2"));
    assert_eq!(said(psql(&w, port, &agent).args(["-c", "select 6"])).trim(), "6");
    // Who sees no secrets is shown the one that it has: saving the form does not take the credential away.
    let half = Visit::new(w.api, Screen::Desktop);
    half.sign_in(&w.token("hal", &["blind"], &[]), "/connections/shop/edit");
    half.browser.wait_for("Live sessions on it end").unwrap();
    let chosen = "return document.getElementById('secret').value;";
    assert_eq!(half.browser.script(chosen, &[]).unwrap(), "shop.2");
    drop(half);
    visit.browser.click("button[data-dialog=remove]").unwrap();
    visit.browser.click("#remove .deny").unwrap();
    visit.browser.wait_for("It was removed").unwrap();
    assert!(said(psql(&w, port, &agent).args(["-c", "select 1"])).contains("Connection refused"));
    // One answer was that a label is none.
    assert_eq!(visit.browser.complaints().unwrap().iter().filter(|c| !c.contains("400")).count(), 0);
}
