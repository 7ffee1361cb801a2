//! MySQL and MariaDB through a gateway, with the policies of the PostgreSQL tour unchanged: real servers, their own clients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::{
    DOORWARD, Issuer,
    browser::{Verdict, Visit, people},
    doorward,
};
use doorward_testkit::{Gateway, MySql, MySqlRelease, Screen, free_port};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const POLICY: &str = include_str!("../../../policies/orders.cedar");
const SCHEMA: &str = "
create table customers(id int primary key, name varchar(40), email varchar(80) unique, card varchar(20), ssn varchar(12), notes text);
create table orders(id int primary key, customer int, status varchar(20), total decimal(10,2));
create table products(id int primary key, name varchar(40));
create view contacts as select id, concat(name, ' ', ssn) as what, email as contact, card as c from customers;
create view again as select what, c from contacts;
insert into customers values (1, 'Name 1', 'user1@example.com', '4111111111111111', '078-05-1120', 'mail bob@example.org'),
    (2, 'Name 2', 'user2@example.com', '4111111111111111', '078-05-1120', null);
insert into orders values (1, 1, 'open', 10), (2, 2, 'open', 20);
insert into products values (1, 'thing 1'), (2, 'thing 2');
";

struct World {
    server: MySql,
    gateway: Gateway,
    issuer: Issuer,
    port: u16,
    api: u16,
}

impl World {
    /// The policies speak of the schema `public`: that is the database's name here.
    fn start(release: MySqlRelease) -> Self {
        let server = MySql::options().release(release).database("public").start().unwrap();
        server.exec(SCHEMA).unwrap();
        let issuer = Issuer::start();
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["dba"]
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
tags = {{ "public.customers.ssn" = ["pii"], "public.customers.email" = ["pii", "email"], "public.customers.card" = ["pii", "card"] }}
[policy]
files = ["policy.cedar"]
"#,
            issuer.url,
            server.address(),
            server.user(),
            server.password(),
        );
        let gateway = Gateway::options(&config)
            .program(DOORWARD)
            .file("policy.cedar", &format!("{POLICY}{}", people("dba")))
            .start()
            .unwrap();
        Self { server, gateway, issuer, port, api }
    }

    fn client(&self, token: &str) -> Command {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut command = self.server.client_of(address, "anybody", token);
        let ca = self.gateway.directory().join("state/dev-tls.crt");
        command.arg(format!("--ssl-ca={}", ca.display())).arg("public");
        if !self.server.release().is_mariadb() {
            command.args(["--enable-cleartext-plugin", "--ssl-mode=VERIFY_CA"]);
        }
        command
    }

    fn run(&self, token: &str, sql: &str) -> String {
        let out = self.client(token).args(["--force", "-e", sql]).stdin(Stdio::null()).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    /// Statements one after the other, on one connection.
    fn input(&self, token: &str, sql: &str) -> String {
        let mut client = self.client(token);
        client.arg("--force").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = client.spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    fn token(&self, who: &str, group: &str) -> String {
        self.issuer.token(who, &[group], &[])
    }

    fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.gateway.directory().join("state"), self.api, token, args)
    }
}

fn reads_and_refuses(w: &World) {
    let (agent, analyst) = (w.token("ci-bot", "agents"), w.token("ann", "analysts"));
    assert_eq!(w.run(&agent, "select id, name from products order by id"), "1\tthing 1\n2\tthing 2\n");
    let seen = w.run(&analyst, "select id, email, card, ssn, notes from customers order by id");
    for hidden in ["user1@example.com", "4111111111111111", "078-05-1120", "bob@example.org"] {
        assert!(!seen.contains(hidden), "{hidden} in {seen}");
    }
    assert!(seen.lines().count() == 2 && seen.contains("[email]"), "{seen}");
    // Without what recognizers find by itself: half a number, read through views.
    for sql in [
        "select left(what, 9) from contacts",
        "select right(c, 8) from again",
        "select substr(contact, 1, 5) from contacts",
    ] {
        let seen = w.run(&analyst, sql);
        assert!(!["078", "11111111", "user1", "user2"].iter().any(|v| seen.contains(v)), "{sql}: {seen}");
    }
    let seen = w.run(&analyst, "select c.e from (select concat('<', email, '>') as e from customers) c");
    assert!(!seen.contains("user1@"), "{seen}");
    for sql in [
        "drop table products",
        "drop database public",
        "select /*!99999 1, */ email from customers",
        "delete from orders",
    ] {
        let said = w.run(&agent, sql);
        assert!(said.contains("ERROR 1142") || said.contains("ERROR 1227"), "{sql}: {said}");
    }
    let piped = w.input(&agent, "select 'before';\ndrop table products;\nselect count(*) from products;\n");
    assert!(piped.contains("before\n2\n") && piped.contains("ERROR 1142"), "{piped}");
    assert_eq!(w.server.query("select count(*) from products").unwrap(), "2");
    let said = w.run("nonsense", "select 1");
    assert!(said.contains("ERROR 1045") && said.contains("Access denied"), "{said}");
}

/// A client whose UPDATE is held, and the number of the approval.
#[allow(clippy::zombie_processes, reason = "the caller waits for it")]
fn held(w: &World) -> (std::process::Child, String) {
    let mut update = w.client(&w.token("ci-bot", "agents"));
    update.args(["-e", "update orders set status = 'closed' where id = 1"]);
    let child = update.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, said) = w.doorward(&w.token("dana", "dba"), &["approvals", "list", "--output", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_default();
        if let Some(id) = all.first().and_then(|a| a["id"].as_str()) {
            return (child, id.to_owned());
        }
        assert!(Instant::now() < end, "nothing is held: {said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn waits_for_people(w: &World) {
    let (agent, dba) = (w.token("ci-bot", "agents"), w.token("dana", "dba"));
    let (child, id) = held(w);
    let (_, live) = w.doorward(&dba, &["sessions", "list", "--live"]);
    assert!(live.contains(&format!("waits for approval {id}")), "{live}");
    assert!(!w.doorward(&agent, &["approvals", "approve", &id]).0, "nobody approves what is his own");
    assert!(w.doorward(&dba, &["approvals", "deny", &id, "--comment", "not today"]).0);
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("ERROR 1227") && said.contains("not today"), "{said}");
    let (child, id) = held(w);
    assert_eq!(w.server.query("select status from orders where id = 1").unwrap(), "open");
    let (ok, said) = w.doorward(&dba, &["approvals", "approve", &id]);
    assert!(ok, "{said}");
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(w.server.query("select status from orders where id = 1").unwrap(), "closed");
}

/// What a session did is played back as its caller saw it.
fn is_replayed(w: &World) {
    let (_, said) = w.doorward("", &["sessions", "list", "--output", "json"]);
    let ids = said.lines().filter_map(|l| {
        let one: serde_json::Value = serde_json::from_str(l).ok()?;
        Some(one.get("session")?.as_str()?.to_owned())
    });
    let replays: Vec<String> = ids.map(|id| w.doorward("", &["sessions", "replay", &id]).1).collect();
    let of = |text: &str| replays.iter().find(|r| r.contains(text)).unwrap_or_else(|| panic!("{text}: {replays:?}"));
    let masked = of("> select id, email, card, ssn, notes from customers order by id");
    assert!(masked.contains(" id | email") && masked.contains("[email]") && !masked.contains("078-05"), "{masked}");
    let refused = of("> drop table products");
    assert!(refused.contains("< ERROR 1142 (42000): "), "{refused}");
    let approved = of("> update orders set status");
    assert!(approved.contains("< ERROR 1227") || approved.contains("< OK, 1 rows affected"), "{approved}");
}

/// What waits is decided on the web pages, and sessions are looked at there with their results.
fn on_the_pages(w: &World) {
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", "dba"), "/approvals");
    visit.browser.wait_for("Nothing waits for you").unwrap();
    let statement = "update orders set status = '<b>sent</b>' where id = 2";
    let mut update = w.client(&w.token("ci-bot", "agents"));
    update.args(["-e", statement]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = update.spawn().unwrap();
    let about = ["dev/ci-bot", "orders", "update on Table `public.orders`", "orders-update-approved", "1 of dba"];
    visit.decide(Verdict::Approve, statement, &about, "seen");
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let seen = "select id, name as '<i>n</i>', email from customers order by id";
    w.input(&w.token("ann", "analysts"), &format!("{seen};\ndrop table products;\n"));
    visit.open("/sessions?principal=ann&text=drop+table");
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_in(".replay", seen).unwrap();
    visit.until(
        "return [...document.querySelectorAll('.replay table.result')].at(-1).innerText.split(/\\s+/).join(' ');",
        "id <i>n</i> email 1 Name 1 [email] 2 Name 2 [email]",
    );
    visit.until(
        "return [...document.querySelectorAll('.replay .failed')].at(-1).innerText.startsWith('ERROR 1142');",
        true,
    );
    visit.picture("replay-mysql");
    visit.is_sound();
}

/// A view that somebody else makes while a session lives shows it no more than what it is made of.
fn views_of_others_are_not_trusted(w: &World) {
    let mut client = w.client(&w.token("ann", "analysts"));
    client.arg("--force").arg("--unbuffered");
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"select id from customers where id = 1;\n").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    w.server.exec("create view late as select id as n, ssn as x from customers").unwrap();
    input.write_all(b"select left(x, 3) from late;\nselect x from late;\n").unwrap();
    drop(input);
    let out = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(said.starts_with("1\n") && !said.contains("078"), "{said}");
    w.server.exec("drop view late").unwrap();
}

/// Bytes that are no log-in, or the beginning of one, and a text that is read on another thread.
fn odd_callers_are_in_nobodys_way(w: &World) {
    let mut silent = Vec::new();
    for junk in
        [&b""[..], b"\0", b"\xff\xff\xff\x01", b"\x05\0\0\x07hello", b"\x20\0\0\x01\0", b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, w.port)).unwrap();
        let mut head = [0; 5];
        client.read_exact(&mut head).unwrap();
        assert_eq!(head[3..], [0, 10], "a greeting");
        client.write_all(junk).unwrap();
        silent.push(client);
    }
    let agent = w.token("ci-bot", "agents");
    let long = format!("select name, '{}' from products where id = 2", "x".repeat(40_000));
    let said = w.input(&agent, &long);
    assert!(said.starts_with("thing 2\txxx") && said.len() > 40_000, "{}", said.get(..200).unwrap_or(&said));
    let said = w.run(&agent, "kill 4000000000");
    assert!(said.contains("ERROR 1094"), "{said}");
    for sql in [
        "show processlist",
        "select * from information_schema.processlist",
        "select * from mysql.user",
        "show grants",
        "show grants for current_user()",
    ] {
        let said = w.run(&agent, sql);
        assert!(said.contains("ERROR 1142"), "{sql}: {said}");
    }
}

/// Ctrl-C at the client is `KILL QUERY` with the number that the gateway gave it, on another connection.
fn control_c_ends_a_statement(w: &World) {
    let endless = "select count(*) from information_schema.columns a, information_schema.columns b, \
        information_schema.columns c, information_schema.columns d";
    let mut client = w.client(&w.token("ci-bot", "agents"));
    client.args(["-e", endless]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = client.spawn().unwrap();
    let runs =
        "select count(*) from information_schema.processlist where info like '%columns%d%' and id <> connection_id()";
    let end = Instant::now() + Duration::from_secs(60);
    while w.server.query(runs).unwrap() == "0" {
        assert!(Instant::now() < end, "it never began");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let begun = Instant::now();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(begun.elapsed() < Duration::from_secs(60) && !out.status.success(), "{said}");
    let end = Instant::now() + Duration::from_secs(60);
    while w.server.query(runs).unwrap() != "0" {
        assert!(Instant::now() < end, "it goes on at the server");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn agents_use_mysql_and_mariadb() {
    for release in MySqlRelease::ALL {
        let w = World::start(release);
        reads_and_refuses(&w);
        waits_for_people(&w);
        is_replayed(&w);
        on_the_pages(&w);
        views_of_others_are_not_trusted(&w);
        odd_callers_are_in_nobodys_way(&w);
        control_c_ends_a_statement(&w);
        let (ok, said) = w.doorward("", &["audit", "verify"]);
        assert!(ok, "{said}");
    }
}
