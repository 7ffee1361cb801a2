//! Short-lived credentials for drivers that cannot send a token: real servers, their own clients with no flag about log-in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;

use common::mysql_credentials::{Lent, MySqlWorld, Raw};
use doorward_testkit::MySqlRelease;
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const POLICY: &str = include_str!("../../../policies/orders.cedar");
const SCHEMA: &str = "
create table customers(id int primary key, ssn varchar(12));
create table products(id int primary key);
insert into customers values (1, '078-05-1120');
insert into products values (1);
";

/// What a client is told that is not let in.
fn assert_denied(said: &str) {
    assert!(said.contains("ERROR 1045") && said.contains("`doorward token --for`"), "{said}");
}

fn stock_clients_log_in(w: &MySqlWorld) {
    let (lent, ann) = (w.lend(&w.token("ci-bot", "agents"), &[]), w.lend(&w.token("ann", "analysts"), &[]));
    for tls in [true, false] {
        assert_eq!(w.run(w.port, &lent, tls, "select id from products"), "1\n", "tls {tls}");
        let said = w.run(w.port, &lent, tls, "select ssn from customers");
        assert!(said.contains("ERROR 1142"), "tls {tls}: {said}");
        let said = w.run(w.port, &ann, tls, "select id, ssn from customers");
        assert!(said.starts_with("1\t") && !said.contains("078-05"), "tls {tls}: {said}");
    }
    w.assert_audited(
        "administration",
        &["dev/ci-bot", &format!("issue credential {} for connection orders", lent.user)],
    );
    w.assert_audited("authenticated", &["ci-bot", &lent.user, "short-lived credential"]);
    w.assert_kept_nowhere(&lent.password);
}

/// What `--output my-cnf` and `env` print is what clients read.
fn its_other_forms_are_of_use(w: &MySqlWorld) {
    let token = w.token("ci-bot", "agents");
    let (ok, text) = w.doorward(&token, &["token", "--for", "orders", "--output", "my-cnf"]);
    assert!(ok, "{text}");
    let file = w.gateway.directory().join("lent.cnf");
    std::fs::write(&file, text).unwrap();
    let mut client = Command::new(w.server.client());
    client.arg(format!("--defaults-extra-file={}", file.display()));
    client.arg(if w.server.release().is_mariadb() { "--skip-ssl" } else { "--ssl-mode=DISABLED" });
    let out = client.args(["-NBe", "select id from public.products"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "1\n", "{}", String::from_utf8_lossy(&out.stderr));
    let (ok, text) = w.doorward(&token, &["token", "--for", "orders", "--output", "env", "--ttl", "5m"]);
    assert!(ok && text.contains(&format!("export MYSQL_TCP_PORT='{}'\n", w.port)), "{text}");
    let (ok, text) = w.doorward(&token, &["token", "--for", "orders"]);
    assert!(ok && text.contains("for dev/ci-bot, to log in until "), "{text}");
}

fn nobody_else_gets_one(w: &MySqlWorld) {
    let stranger = w.token("eve", "staff");
    for (token, connection, why) in [
        (w.token("ci-bot", "agents"), "nosuch", "no such connection"),
        (stranger, "orders", "no such connection"),
        ("nonsense".to_owned(), "orders", "the token was not accepted"),
    ] {
        let (ok, said) = w.doorward(&token, &["token", "--for", connection]);
        assert!(!ok && said.contains(why), "{said}");
    }
    let (ok, said) = w.doorward(&w.token("ci-bot", "agents"), &["token", "--for", "orders", "--ttl", "2h"]);
    assert!(!ok && said.contains("ttl_seconds has to be from 1 to 3600"), "{said}");
}

fn what_is_no_credential_is_turned_away(w: &MySqlWorld) {
    let lent = w.lend(&w.token("ci-bot", "agents"), &[]);
    let short = w.lend(&w.token("ci-bot", "agents"), &["--ttl", "1s"]);
    let wrong = Lent { password: "0".repeat(40), ..lent.clone() };
    let unknown = Lent { user: "dw_000000000000000000000000".into(), ..lent.clone() };
    assert_denied(&w.run(w.port, &wrong, true, "select 1"));
    assert_denied(&w.run(w.port, &unknown, false, "select 1"));
    assert_denied(&w.run(w.other, &lent, true, "select 1"));
    std::thread::sleep(Duration::from_millis(1100));
    assert_denied(&w.run(w.port, &short, true, "select 1"));
    for (user, why) in [
        (&lent.user, "proof is wrong"),
        (&unknown.user, "no such credential"),
        (&lent.user, "for another connection"),
        (&short.user, "has expired"),
    ] {
        w.assert_audited("authentication_failed", &[user, why]);
    }
}

/// A scramble is answered once: what was seen of one log-in opens no other.
fn a_proof_is_good_for_one_scramble(w: &MySqlWorld) {
    let lent = w.lend(&w.token("ci-bot", "agents"), &[]);
    let mut first = Raw::connect(w.port);
    let seen = first.response(&lent);
    first.write(&seen);
    assert_eq!(first.read()[0], 0, "let in");
    assert_eq!(first.value("select id from products"), Ok("1".into()));
    let mut second = Raw::connect(w.port);
    assert_ne!(first.greeting.nonce, second.greeting.nonce);
    second.write(&seen);
    let said = second.read();
    assert_eq!(said[..3], [0xff, 0x15, 0x04], "1045: {}", said.escape_ascii());
}

fn policy_of_the_moment_decides(w: &MySqlWorld) {
    let lent = w.lend(&w.token("ci-bot", "agents"), &[]);
    let mut live = Raw::connect(w.port);
    assert_eq!(live.log_in(&lent)[0], 0);
    w.gateway.write("policy.cedar", &POLICY.replacen("principal in Group::\"agents\" ||\n", "", 1)).unwrap();
    w.assert_audited("policy_changed", &[]);
    let said = live.read();
    assert_eq!(said[0], 0xff, "a session that lives is ended: {}", said.escape_ascii());
    let said = w.run(w.port, &lent, true, "select 1");
    assert!(said.contains("ERROR 1142") || said.contains("ERROR 1227"), "{said}");
    let (ok, said) = w.doorward(&w.token("ci-bot", "agents"), &["token", "--for", "orders"]);
    assert!(!ok && said.contains("no such connection"), "{said}");
}

#[test]
fn who_cannot_send_a_token_is_lent_a_password() {
    for release in MySqlRelease::ALL {
        let mut w = MySqlWorld::start(release, POLICY, SCHEMA);
        stock_clients_log_in(&w);
        its_other_forms_are_of_use(&w);
        nobody_else_gets_one(&w);
        what_is_no_credential_is_turned_away(&w);
        a_proof_is_good_for_one_scramble(&w);
        let lent = w.lend(&w.token("ci-bot", "agents"), &[]);
        assert_eq!(w.run(w.port, &lent, true, "select id from products"), "1\n");
        w.gateway.restart().unwrap();
        assert_denied(&w.run(w.port, &lent, true, "select 1"));
        policy_of_the_moment_decides(&w);
        let (ok, said) = w.doorward("", &["audit", "verify"]);
        assert!(ok, "{said}");
    }
}
