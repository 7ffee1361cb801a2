//! Ways to what is hidden in MySQL and MariaDB, each against the real servers and in both directions: what direct access
//! gives away, the gateway does not, and what is harmless says the same through it. The statements are in `mysql_traps/`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::{DOORWARD, Issuer};
use doorward_testkit::{Gateway, MySql, MySqlRelease, free_port};
use std::{
    fmt::Write as _,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

const SCHEMA: &str = include_str!("mysql_traps/schema.sql");
const ATTACKS: &str = include_str!("mysql_traps/attacks.txt");
const HARMLESS: &str = include_str!("mysql_traps/harmless.txt");
/// Everything is allowed but what is not understood and seeing three columns: whoever finds a way round a mask has all
/// other rights. Recognizers find nothing for it, so that they hide no hole.
const POLICY: &str = r#"
@id("everything") permit (principal, action, resource in Connection::"orders");
@id("all-types") permit (principal, action == Action::"reveal", resource is DataType);
@id("not-understood") forbid (principal, action == Action::"opaque", resource in Connection::"orders");
@id("hidden") forbid (principal, action == Action::"reveal", resource in Connection::"orders")
when { resource is Column && resource.tags.contains("pii") } unless { principal in Group::"owners" };
"#;
/// Parts of hidden values, as they are and as functions show them.
const NEEDLES: [&str; 9] = ["qzx", "QZX", "xzq", "wvu", "314159", "98765432", "717A78", "717a78", "cXp4"];

struct World {
    server: MySql,
    gateway: Gateway,
    /// Its keys are fetched when the first token comes.
    _issuer: Issuer,
    port: u16,
    ca: String,
    bold: String,
    owner: String,
}

impl World {
    fn start(release: MySqlRelease) -> Self {
        let server = MySql::options().release(release).database("public").start().unwrap();
        server.exec(&format!("grant all on *.* to '{}'@'%' with grant option", server.user())).unwrap();
        let (issuer, port, api) = (Issuer::start(), free_port().unwrap(), free_port().unwrap());
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
[[identity.issuers]]
name = "dev"
issuer = "{}"
audience = ["doorward"]
principal = "agent"
[[connections]]
name = "orders"
kind = "mysql"
listen = "127.0.0.1:{port}"
upstream = "{}"
user = "{}"
credential = {{ value = "{}" }}
tls = "disable"
tags = {{ "public.people.secret" = ["pii"], "public.people.pay" = ["pii"], "public.people.hid" = ["pii"], "public.badge.number" = ["pii"], "public.old_people.secret" = ["pii"], "vault.things.name" = ["pii"] }}
[policy]
files = ["policy.cedar"]
"#,
            issuer.url,
            server.address(),
            server.user(),
            server.password(),
        );
        let mut out = Self {
            port,
            ca: String::new(),
            bold: issuer.token("bold", &["people"], &[]),
            owner: issuer.token("owner", &["owners"], &[]),
            gateway: {
                server.exec(SCHEMA).unwrap();
                Gateway::options(&config).program(DOORWARD).file("policy.cedar", POLICY).start().unwrap()
            },
            _issuer: issuer,
            server,
        };
        out.ca = out.gateway.directory().join("state/dev-tls.crt").display().to_string();
        out
    }

    /// Rows and what attacks make as they were.
    fn reset(&self) {
        let sql = include_str!("mysql_traps/reset.sql");
        self.server.run_client(["--force", "-D", "public", "-e", sql]).unwrap();
    }

    /// Everything as it was.
    fn rebuild(&self) {
        self.server.exec(&format!("drop database public; create database public character set utf8mb4; drop database vault; use public;\n{SCHEMA}")).unwrap();
    }

    fn after(&self, what: &str) {
        match what {
            "writes" => self.reset(),
            "rebuilds" => self.rebuild(),
            other => assert!(other.is_empty(), "{other}"),
        }
    }

    fn client(&self, token: &str) -> Command {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut command = self.server.client_of(address, "anybody", token);
        command.arg(format!("--ssl-ca={}", self.ca));
        if !self.server.release().is_mariadb() {
            command.args(["--enable-cleartext-plugin", "--ssl-mode=VERIFY_CA"]);
        }
        command
    }

    fn direct(&self) -> Command {
        let mut command = self.server.client_of(self.server.address(), self.server.user(), self.server.password());
        if !self.server.release().is_mariadb() {
            command.arg("--get-server-public-key");
        }
        command
    }

    fn is_for(&self, servers: &str) -> bool {
        match servers {
            "all" => true,
            "maria" => self.server.release().is_mariadb(),
            "mysql" => !self.server.release().is_mariadb(),
            _ => false,
        }
    }
}

/// What a client says to statements, one after the other.
fn said(mut client: Command, sql: &str) -> String {
    client.args(["--force", "--comments", "--local-infile=1", "public"]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

struct Case {
    name: &'static str,
    servers: &'static str,
    after: &'static str,
    sql: &'static str,
}

fn cases(file: &'static str) -> Vec<Case> {
    file.split("\n## ")
        .skip(1)
        .map(|block| {
            let (head, sql) = block.split_once('\n').unwrap();
            let mut words = head.split('|').map(str::trim);
            let (name, servers) = (words.next().unwrap(), words.next().unwrap());
            assert!(["all", "maria", "mysql", "none"].contains(&servers), "{name}");
            Case { name, servers, after: words.next().unwrap_or_default(), sql }
        })
        .collect()
}

fn leaks(said: &str) -> bool {
    NEEDLES.iter().any(|needle| said.contains(needle))
}

/// Every attack gives a hidden value away directly, and nothing through the gateway.
fn nothing_hidden_gets_out(w: &World, failures: &mut String) {
    for case in cases(ATTACKS) {
        if w.is_for(case.servers) {
            let plain = said(w.direct(), case.sql);
            if !leaks(&plain) {
                let _ = writeln!(failures, "{}: no attack, the server itself says {plain}", case.name);
            }
            w.after(case.after);
        }
        let through = said(w.client(&w.bold), case.sql);
        assert!(!through.contains("ERROR 1045"), "not let in: {through}");
        if leaks(&through) {
            let _ = writeln!(failures, "{}: {through}", case.name);
        }
        w.after(case.after);
    }
    // The attacks are stopped by the mask alone.
    let seen = said(w.client(&w.owner), "select secret from people; select left(s, 6) from seen;");
    assert!(seen.contains("qzxwvu-314159") && seen.contains("qzxwvu\n"), "{seen}");
}

/// What is harmless says what it says directly.
fn harmless_statements_say_the_same(w: &World, failures: &mut String) {
    for case in cases(HARMLESS).into_iter().filter(|c| w.is_for(c.servers)) {
        let plain = said(w.direct(), case.sql);
        w.reset();
        let through = said(w.client(&w.bold), case.sql);
        w.reset();
        if plain != through {
            let _ = writeln!(failures, "{}:\n--- directly\n{plain}--- through\n{through}", case.name);
        }
    }
}

/// The client's own file goes up where the statement says so, and the server's files are for policy to permit.
fn files_go_where_they_are_said_to(w: &World) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.csv");
    std::fs::write(&file, "100\tup\n101\thigher\n").unwrap();
    let load = format!(
        "load data local infile '{}' into table things(id, name); select name from things where id > 99;",
        file.display()
    );
    let seen = said(w.client(&w.bold), &load);
    assert!(seen.contains("up\nhigher\n"), "{seen}");
    w.reset();
    let into = w.server.files().join("things.txt");
    let seen = said(w.client(&w.bold), &format!("select name from things into outfile '{}';", into.display()));
    assert!(std::fs::read_to_string(&into).is_ok_and(|t| t == "bolt\nnut\nnail\n"), "{seen}");
    let into = w.server.files().join("people.txt");
    let seen = said(w.client(&w.bold), &format!("select secret from people into outfile '{}';", into.display()));
    assert!(seen.contains("ERROR 1142") && !into.exists(), "{seen}");
}

#[test]
fn traps_of_mysql_and_mariadb() {
    let only = std::env::var("DOORWARD_TRAPS").ok();
    let mut all = String::new();
    for release in MySqlRelease::ALL {
        if only.as_ref().is_some_and(|only| !format!("{release:?}").contains(only)) {
            continue;
        }
        let w = World::start(release);
        let mut failures = String::new();
        nothing_hidden_gets_out(&w, &mut failures);
        harmless_statements_say_the_same(&w, &mut failures);
        files_go_where_they_are_said_to(&w);
        if !failures.is_empty() {
            let _ = writeln!(all, "{release:?}:\n{failures}");
        }
    }
    assert!(all.is_empty(), "{all}");
}
