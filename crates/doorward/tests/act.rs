//! Agents that act for people (`act`, RFC 8693), through a real gateway: what both may is done, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::{DOORWARD, Issuer, SCHEMA, doorward};
use doorward_testkit::{
    Cluster, Gateway, KubectlRelease, MySql, OidcClient, OidcProvider, OpenSsh, Postgres, SshClient, free_port,
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("come-in")
permit (principal, action == Action::"connect", resource)
unless { principal in Group::"banned" };
@id("catalogues")
permit (principal, action == Action::"select", resource) when { resource.tags.contains("catalog") };
@id("agents")
permit (principal in Group::"agents", action, resource)
unless { resource has name && resource.name == "orders" && action == Action::"select" };
@id("people")
permit (principal in Group::"analysts", action, resource)
unless { resource has name && resource.name == "products" };
@id("agents-see-no-mail")
forbid (principal in Group::"agents", action == Action::"reveal", resource is Column) when { resource.name == "email" };
@id("people-see-half-a-card") @mask("partial:4")
forbid (principal in Group::"analysts", action == Action::"reveal", resource is Column) when { resource.name == "card" };
@id("changes-of-people") @approvers("dba") @reason("changes in somebody's name need another person")
forbid (principal is User, action == Action::"insert", resource) when { context has actor } unless { context.approved };
@id("decide")
permit (principal in Group::"dba", action in Action::"administer", resource);
@id("agents-remove-nothing") @reason("agents remove nothing")
forbid (principal in Group::"agents", action == Action::"run_program", resource) when { resource.name == "rm" };
@id("people-do-not-shut-down") @reason("not by people")
forbid (principal in Group::"analysts", action == Action::"run_program", resource) when { resource.name == "shutdown" };
@id("no-secrets-of-people")
forbid (principal in Group::"analysts", action, resource is ApiObject) when { resource.kind == "secrets" };
@id("no-maps-of-agents")
forbid (principal in Group::"agents", action, resource is ApiObject) when { resource.kind == "configmaps" };
"#;

struct Office {
    gateway: Gateway,
    port: u16,
    api: u16,
}

impl Office {
    /// One issuer of people, and one connection at `port`.
    fn start(issuer: &str, delegation: bool, connection: &str) -> Self {
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
[policy]
files = ["policy.cedar"]
[[identity.issuers]]
name = "corp"
issuer = "{issuer}"
audience = ["doorward"]
principal = "user"
delegation = {delegation}
[[connections]]
listen = "127.0.0.1:{port}"
{connection}
"#
        );
        let gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", POLICY).start().unwrap();
        Self { gateway, port, api }
    }

    fn state(&self) -> PathBuf {
        self.gateway.directory().join("state")
    }

    fn ca(&self) -> PathBuf {
        self.state().join("dev-tls.crt")
    }

    fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.state(), self.api, token, args)
    }

    /// `doorward` as somebody on another machine runs it.
    fn remote(&self, token: &str, args: &[&str]) -> (bool, String) {
        let url = format!("http://127.0.0.1:{}", self.api);
        let out =
            Command::new(DOORWARD).args(args).args(["--url", &url]).env("DOORWARD_TOKEN", token).output().unwrap();
        (out.status.success(), text(&out))
    }

    fn psql_command(&self, token: &str, sql: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-A", "-t", "-h", "localhost", "-U", "anybody", "-d", "orders", "-p", &self.port.to_string()])
            .args(["-c", sql])
            .env("PGPASSWORD", token)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", self.ca());
        command
    }

    fn psql(&self, token: &str, sql: &str) -> String {
        text(&self.psql_command(token, sql).output().unwrap())
    }

    fn audit(&self, kind: &str) -> Vec<Value> {
        let (ok, said) = self.doorward("", &["audit", "list", "--event", kind, "--output", "json"]);
        assert!(ok, "{said}");
        said.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain for {what}");
}

#[track_caller]
fn assert_said(said: &str, wanted: &str) {
    assert!(said.contains(wanted), "no {wanted:?} in: {said}");
}

/// What a refusal to either of the two says.
const TO_PERSON: &str = "refused to `corp/dana` (for whom `corp/sql-bot` acts)";
const TO_AGENT: &str = "refused to `corp/sql-bot` (which acts for `corp/dana`)";

/// A token of the agent for a person.
fn acting(issuer: &Issuer, person: &str, group: &str) -> String {
    issuer.token(person, &[group], &["--act", "sql-bot", "--act-group", "agents"])
}

fn postgres(server: &Postgres) -> String {
    format!(
        "name = \"orders\"\nkind = \"postgres\"\nupstream = \"{}\"\ndatabase = \"orders\"\nuser = \"{}\"\n\
         credential = {{ value = \"{}\" }}\ntls = \"disable\"\n",
        server.address(),
        server.user(),
        server.password()
    )
}

struct Sql {
    server: Postgres,
    office: Office,
    issuer: Issuer,
}

impl Sql {
    fn start() -> Self {
        let server = Postgres::start().unwrap();
        server.exec(&format!("set role {};\n{SCHEMA}", server.user())).unwrap();
        let issuer = Issuer::start();
        let office = Office::start(&issuer.url, true, &postgres(&server));
        Self { server, office, issuer }
    }
}

#[test]
fn both_are_asked_and_the_stricter_mask_wins() {
    let Sql { office, issuer, server: _running } = &Sql::start();
    let for_dana = acting(issuer, "dana", "analysts");
    let dana = issuer.token("dana", &["analysts"], &[]);
    assert_eq!(office.psql(&for_dana, "select name from customers where id = 1").trim(), "Name 1", "both may");
    assert_said(&office.psql(&for_dana, "select name from products"), TO_PERSON);
    assert_said(&office.psql(&for_dana, "select id from orders"), TO_AGENT);
    assert_eq!(office.psql(&dana, "select id from orders where id = 1").trim(), "1", "alone she may");

    let sees = |token: &str| {
        let row = office.psql(token, "select email, card, ssn from customers where id = 1");
        row.trim().split('|').map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sees(&dana), ["user1@example.com", "************1111", "078-05-1120"]);
    let row = sees(&for_dana);
    assert!(!row[0].contains("user1") && row[1] == "************1111" && row[2] == "078-05-1120", "{row:?}");

    // Neither comes in for somebody who may not.
    let banned = acting(issuer, "mallory", "banned");
    let said = office.psql(&banned, "select 1");
    assert_said(&said, "refused to `corp/mallory` (for whom `corp/sql-bot` acts)");
    let by_banned = issuer.token("dana", &["analysts"], &["--act", "evil", "--act-group", "banned"]);
    assert_said(&office.psql(&by_banned, "select 1"), "refused to `corp/evil` (which acts for `corp/dana`)");
    // An agent without groups of its own does not have those of the person.
    let bare = issuer.token("dana", &["analysts", "agents"], &["--act", "sql-bot"]);
    assert_said(&office.psql(&bare, "select name from customers"), TO_AGENT);
}

#[test]
fn a_policy_takes_the_right_from_either_while_the_session_lives() {
    use std::io::{BufRead as _, BufReader, Write as _};
    for (who, group) in [("dana", "analysts"), ("sql-bot", "agents")] {
        let Sql { office, issuer, server: _running } = &Sql::start();
        let token = acting(issuer, "dana", "analysts");
        let mut command = office.psql_command(&token, "");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        input.write_all(b"select name from customers where id = 2;\n").unwrap();
        let first = lines.find(|l| l.as_ref().is_ok_and(|l| l.starts_with("Name")));
        assert_eq!(first.unwrap().unwrap(), "Name 2");
        let without = POLICY.replace(
            "unless { principal in Group::\"banned\" };",
            &format!("unless {{ principal in Group::\"{group}\" }};"),
        );
        assert_ne!(without, POLICY);
        office
            .gateway
            .write(
                "policy.cedar",
                &without.replace(
                    "action, resource)\nunless",
                    "action, resource)\nwhen { action != Action::\"connect\" }\nunless",
                ),
            )
            .unwrap();
        let ended = wait_for("the end", || office.audit("session_ended").into_iter().next());
        assert_said(&ended.to_string(), &format!("refused to `corp/{who}`"));
        assert_eq!(ended["parties"], json!({ "actor": "corp/sql-bot", "on_behalf_of": "corp/dana" }));
        drop(input);
        child.wait().unwrap();
    }
}

#[test]
fn a_third_person_approves_and_every_entry_names_both() {
    let Sql { server, office, issuer } = &Sql::start();
    // Whoever would be an approver by their groups, but for being one of the two.
    let token = issuer.token(
        "dana",
        &["analysts", "dba"],
        &["--act", "sql-bot", "--act-group", "agents", "--act-group", "dba"],
    );
    let [dana, bot, ann] = ["dana", "sql-bot", "ann"].map(|who| issuer.token(who, &["dba"], &[]));
    let child = office
        .psql_command(&token, "insert into customers (id, name) values (50, 'made')")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = wait_for("the approval", || {
        let (ok, said) = office.doorward(&ann, &["approvals", "list", "--output", "json"]);
        assert!(ok, "{said}");
        let found: Value = serde_json::from_str(&said).unwrap();
        let both = json!({ "actor": "corp/sql-bot", "on_behalf_of": "corp/dana" });
        assert!(found.get(0).is_none_or(|a| a["parties"] == both), "{found}");
        found.get(0).map(|a| a["id"].as_str().unwrap().to_owned())
    });
    let (ok, said) = office.doorward(&ann, &["approvals", "show", &id]);
    assert!(ok, "{said}");
    assert_said(&said, "corp/sql-bot for corp/dana");
    for (own, why) in [(&dana, "their own request"), (&bot, "their own request")] {
        let (ok, said) = office.doorward(own, &["approvals", "approve", &id]);
        assert!(!ok, "{said}");
        assert_said(&said, why);
    }
    // Nor does an agent give anybody's verdict, whatever its person may.
    let for_ann = issuer.token("ann", &["dba"], &["--act", "helper", "--act-group", "dba"]);
    for args in [
        &["approvals", "approve", &id][..],
        &["approvals", "deny", &id],
        &["approvals", "break-glass", &id, "--reason", "x"],
        &["approvals", "list"],
        &["sessions", "list", "--principal", "corp/dana"],
    ] {
        let (ok, said) = office.remote(&for_ann, args);
        assert!(!ok, "{said}");
        assert_said(&said, "an agent that acts for a person");
    }
    // Nor does one sign in at the pages, where verdicts are given.
    let site = format!("http://127.0.0.1:{}", office.api);
    let sign_in = |token: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Origin: {site}")]);
        curl.args(["--data-urlencode", &format!("token={token}"), "--data", "next=/", &format!("{site}/sign-in")]);
        text(&curl.output().unwrap())
    };
    assert_eq!((sign_in(&for_ann).as_str(), sign_in(&ann).as_str()), ("401", "303"));
    assert_eq!(server.query("select count(*) from customers").unwrap().trim(), "5", "nothing ran yet");
    let (ok, said) = office.doorward(&ann, &["approvals", "approve", &id, "--comment", "fine"]);
    assert!(ok, "{said}");
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(server.query("select count(*) from customers").unwrap().trim(), "6");

    let both = json!({ "actor": "corp/sql-bot", "on_behalf_of": "corp/dana" });
    let session = office.audit("approval_requested")[0]["session"].clone();
    wait_for("the end", || office.audit("session_ended").iter().any(|e| e["session"] == session).then_some(()));
    for kind in ["authenticated", "request", "approval_requested", "approval_decided", "completed", "session_ended"] {
        let entries = office.audit(kind);
        let own: Vec<&Value> = entries.iter().filter(|e| e["session"] == session).collect();
        assert!(!own.is_empty(), "no {kind}");
        for entry in own {
            assert_eq!(entry["parties"], both, "{entry}");
        }
    }
    let came = &office.audit("authenticated")[0]["principal"];
    assert_eq!(came["subject"], "sql-bot");
    assert_eq!(came["on_behalf_of"]["person"]["subject"], "dana");
    // Whoever looks for the person finds what was done for her.
    for who in ["corp/dana", "corp/sql-bot"] {
        let found = wait_for("the session", || {
            let (ok, said) = office.remote(&ann, &["sessions", "list", "--principal", who]);
            assert!(ok, "{said}");
            said.contains(session.as_str().unwrap()).then_some(said)
        });
        assert_said(&found, "corp/sql-bot for corp/dana");
    }
    let (ok, said) = office.remote(&ann, &["sessions", "list", "--principal", "corp/eve"]);
    assert!(ok && !said.contains(session.as_str().unwrap()), "{said}");
}

#[test]
fn an_issuer_has_to_be_allowed_to_say_so() {
    let server = Postgres::start().unwrap();
    let issuer = Issuer::start();
    let office = Office::start(&issuer.url, false, &postgres(&server));
    let token = acting(&issuer, "dana", "analysts");
    assert_said(&office.psql(&token, "select 1"), "authentication failed");
    let refused = wait_for("the entry", || office.audit("authentication_failed").into_iter().next());
    assert_said(refused["reason"].as_str().unwrap(), "`delegation = true`");
    // In person she comes in, and the agent does with a token of its own.
    for alone in [issuer.token("dana", &["analysts"], &[]), issuer.token("sql-bot", &["agents"], &[])] {
        assert_eq!(office.psql(&alone, "select 1").trim(), "1");
    }
}

/// A certified provider says who acts, not this repository's own issuer.
#[test]
fn a_certified_provider_names_the_agent() {
    let server = Postgres::start().unwrap();
    server.exec(&format!("set role {};\n{SCHEMA}", server.user())).unwrap();
    let act = json!({ "sub": "sql-bot", "groups": ["agents"], "act": { "sub": "planner" } });
    let provider = OidcProvider::options()
        .client(OidcClient::new("dana").groups(&["analysts"]).claim("act", act))
        .client(OidcClient::new("eve").groups(&["analysts"]).claim("act", json!("sql-bot")))
        .start()
        .unwrap();
    let office = Office::start(&provider.issuer(), true, &postgres(&server));
    let token = provider.token("dana").unwrap();
    assert_eq!(office.psql(&token, "select name from customers where id = 1").trim(), "Name 1");
    assert_said(&office.psql(&token, "select name from products"), TO_PERSON);
    assert_said(&office.psql(&token, "select id from orders"), TO_AGENT);
    let came = office.audit("authenticated");
    assert_eq!(came[0]["principal"]["on_behalf_of"]["prior_actors"], json!(["corp/planner"]));
    assert_said(&office.psql(&provider.token("eve").unwrap(), "select 1"), "authentication failed");
}

#[test]
fn over_ssh_both_are_asked_by_token_and_by_certificate() {
    let sshd = OpenSsh::start().unwrap();
    let issuer = Issuer::start();
    let connection = format!(
        "name = \"web\"\nkind = \"ssh\"\nupstream = \"{}\"\nuser = \"{}\"\ncredential = {{ file = \"{}\" }}\n\
         host_keys = [\"{}\"]\n",
        sshd.address(),
        sshd.user(),
        sshd.private_key().display(),
        sshd.host_key()
    );
    let office = Office::start(&issuer.url, true, &connection);
    let line = std::fs::read_to_string(office.state().join("keys/ssh_host_ed25519_key.pub")).unwrap();
    let host_key = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], office.port));
    let token = acting(&issuer, "dana", "analysts");
    let run = |command: &str| {
        let client = SshClient::new(address, &host_key, "anybody").password(&token);
        text(&client.ssh().unwrap().arg(command).stdin(Stdio::null()).output().unwrap())
    };
    assert_eq!(run("echo fine").trim(), "fine");
    assert_said(&run("rm -f /tmp/nothing-of-this-name"), TO_AGENT);
    assert_said(&run("shutdown --help"), TO_PERSON);
    // A certificate stands for the two, as the token does that it was issued for.
    let key = office.gateway.directory().join("own-key");
    let (ok, said) = office.doorward(&token, &["ssh-cert", "--key", key.to_str().unwrap()]);
    assert!(ok, "{said}");
    assert_said(&said, "certificate for corp/sql-bot for corp/dana");
    let known = office.gateway.directory().join("known_hosts");
    std::fs::write(&known, format!("[127.0.0.1]:{} {host_key}\n", office.port)).unwrap();
    let by_certificate = |command: &str| {
        let out = Command::new("ssh")
            .args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", key.to_str().unwrap()])
            .args(["-o", &format!("UserKnownHostsFile={}", known.display()), "-p", &office.port.to_string()])
            .args(["anybody@127.0.0.1", command])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        text(&out)
    };
    assert_eq!(by_certificate("echo fine").trim(), "fine");
    assert_said(&by_certificate("shutdown --help"), TO_PERSON);
    for entry in office.audit("request") {
        assert_eq!(entry["parties"]["on_behalf_of"], "corp/dana", "{entry}");
    }
}

#[test]
fn over_mysql_both_are_asked_also_by_a_short_lived_credential() {
    let server = MySql::options().database("public").start().unwrap();
    let schema = "create table customers(id int, name text); create table products(id int); create table orders(id int);\
                  insert into customers values (1, 'Name 1');";
    server.exec(schema).unwrap();
    let issuer = Issuer::start();
    let connection = format!(
        "name = \"orders\"\nkind = \"mysql\"\nupstream = \"{}\"\nuser = \"{}\"\ncredential = {{ value = \"{}\" }}\n\
         tls = \"disable\"\n",
        server.address(),
        server.user(),
        server.password()
    );
    let office = Office::start(&issuer.url, true, &connection);
    let token = acting(&issuer, "dana", "analysts");
    let (ok, said) = office.doorward(&token, &["token", "--for", "orders", "--output", "json"]);
    assert!(ok, "{said}");
    let lent: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(lent["principal"], "corp/sql-bot for corp/dana");
    let run = |sql: &str| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], office.port));
        let (user, password) = (lent["user"].as_str().unwrap(), lent["password"].as_str().unwrap());
        let mut client = server.client_of(address, user, password);
        client.arg(format!("--ssl-ca={}", office.ca().display())).args(["-N", "-B", "-e", sql, "public"]);
        text(&client.stdin(Stdio::null()).output().unwrap())
    };
    assert_eq!(run("select name from customers").trim(), "Name 1");
    assert_said(&run("select id from products"), TO_PERSON);
    assert_said(&run("select id from orders"), TO_AGENT);
    for entry in office.audit("request") {
        assert_eq!(entry["parties"]["on_behalf_of"], "corp/dana", "{entry}");
    }
}

#[test]
fn over_kubernetes_both_are_asked() {
    let cluster = Cluster::start().unwrap();
    let own = cluster.service_account_token("doorward", "gateway", "cluster-admin").unwrap();
    let issuer = Issuer::start();
    let connection = format!(
        "name = \"k8s\"\nkind = \"kubernetes\"\nupstream = \"{}\"\ncredential = {{ value = \"{own}\" }}\ntls_ca = \"{}\"\n\
         impersonate = \"caller\"\n",
        cluster.address(),
        cluster.ca_file().display()
    );
    let office = Office::start(&issuer.url, true, &connection);
    let server = format!("https://127.0.0.1:{}", office.port);
    let kubectl = |name: &str, token: &str, args: &[&str]| {
        let file = cluster.token_kubeconfig(name, &server, &office.ca(), token).unwrap();
        text(&cluster.kubectl_of(KubectlRelease::Current).unwrap().kubeconfig(&file).output(args).unwrap())
    };
    let bind = ["create", "clusterrolebinding", "bot", "--clusterrole=cluster-admin", "--user=doorward:corp/sql-bot"];
    let bound = cluster.kubectl_of(KubectlRelease::Current).unwrap().output(&bind).unwrap();
    assert!(bound.status.success(), "{}", text(&bound));
    let token = acting(&issuer, "dana", "analysts");
    assert_said(&kubectl("both", &token, &["get", "namespaces"]), "kube-system");
    // In the cluster it is the agent, and its audit log has the person.
    let who: Value = serde_json::from_str(&kubectl("both", &token, &["auth", "whoami", "-o", "json"])).unwrap();
    let info = &who["status"]["userInfo"];
    assert_eq!((&info["username"], &info["groups"][0]), (&json!("doorward:corp/sql-bot"), &json!("doorward:agents")));
    assert_eq!(info["extra"]["doorward.dev/on-behalf-of"], json!(["corp/dana"]));
    assert_said(&kubectl("both", &token, &["get", "secrets"]), "corp/dana");
    assert_said(&kubectl("both", &token, &["get", "configmaps"]), "corp/sql-bot");
    for entry in office.audit("request") {
        assert_eq!(entry["parties"], json!({ "actor": "corp/sql-bot", "on_behalf_of": "corp/dana" }), "{entry}");
    }
}
