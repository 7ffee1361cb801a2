//! What a caller may not see does not show in what a query finds, counts, sorts, joins or fails by, in MySQL and MariaDB: the
//! same statements over tables that differ in hidden values alone have the same answers, and their innocent neighbours pass
//! unchanged. The statements are in `mysql_veil/`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod common;
mod mysql_veiled;

use common::mysql::MySqlWorld;
use doorward_testkit::{MySqlRelease, cache_dir};
use mysql_veiled::{Asked, OTHERWISE, SCHEMA, world};
use std::process::Command;

const HOSTILE: &str = include_str!("mysql_veil/hostile.txt");
const INNOCENT: &str = include_str!("mysql_veil/innocent.txt");

/// Statements, one a line; `maria: ` and `mysql: ` before those of one make.
fn statements(text: &'static str, release: MySqlRelease) -> Vec<&'static str> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let (own, other) = if release.is_mariadb() { ("maria: ", "mysql: ") } else { ("mysql: ", "maria: ") };
    lines.filter(|line| !line.starts_with(other)).map(|line| line.strip_prefix(own).unwrap_or(line)).collect()
}

fn answers_do_not_depend_on_what_is_hidden(release: MySqlRelease) {
    let w = world(release);
    let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
    let hostile = statements(HOSTILE, release);
    let all = |who: &str| {
        let mut asked = Asked::new(w.client(who));
        hostile.iter().map(|statement| asked.says(statement)).collect::<Vec<_>>()
    };
    let (before, seen_before) = (all(&agent), all(&reader));
    w.server.exec(&format!("use public;\n{SCHEMA}\n{OTHERWISE}")).unwrap();
    let (after, seen_after) = (all(&agent), all(&reader));
    let mut told = Vec::new();
    let mut tells_nobody = Vec::new();
    let (mut refused, mut failed) = (0, 0);
    for (n, statement) in hostile.iter().enumerate() {
        println!("{statement}\n{}", before[n]);
        if before[n] != after[n] {
            told.push(format!("{statement}\n{}\n{}", before[n], after[n]));
        }
        if seen_before[n] == seen_after[n] {
            tells_nobody.push(*statement);
        }
        refused += usize::from(before[n].contains("refused"));
        failed += usize::from(before[n].contains("ERROR") && !before[n].contains("refused"));
    }
    println!("{release:?}: {} statements, refused {refused}, failed {failed}", hostile.len());
    assert!(told.is_empty(), "{release:?}: {} tell:\n{}", told.len(), told.join("\n\n"));
    // Who may see it is told, or the statement would be no test.
    assert!(tells_nobody.len() <= hostile.len() / 4, "{release:?}: the same for all: {tells_nobody:#?}");
}

fn innocent_neighbours_pass_as_they_are(release: MySqlRelease) {
    let w = world(release);
    let mut agent = Asked::new(w.client(&w.token("ci-bot", &["agents"], &[])));
    let mut direct = w.server.client_of(w.server.address(), w.server.user(), w.server.password());
    direct.args(["--skip-column-names", "--force", "public"]);
    if !release.is_mariadb() {
        // Its way of logging in wants it where there is no TLS.
        direct.arg("--get-server-public-key");
    }
    let mut direct = Asked::new(direct);
    for statement in statements(INNOCENT, release) {
        assert_eq!(agent.says(statement), direct.says(statement), "{release:?}: {statement}");
    }
}

/// What the prepared statements of a driver say.
fn prepared(w: &MySqlWorld, token: &str) -> String {
    let python = cache_dir().join("venv-mysql/bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mysql_veil/prepared.py");
    let out = Command::new(python).args([script, &w.port.to_string(), token]).arg(w.ca()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn prepared_statements_tell_nothing() {
    for release in [MySqlRelease::DebianMariaDb, MySqlRelease::MySql9] {
        let w = world(release);
        let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
        let (before, seen_before) = (prepared(&w, &agent), prepared(&w, &reader));
        w.server.exec(&format!("use public;\n{SCHEMA}\n{OTHERWISE}")).unwrap();
        assert_eq!(before, prepared(&w, &agent), "{release:?}");
        assert_ne!(seen_before, prepared(&w, &reader), "{release:?}");
        println!("{before}");
        assert!(
            before.contains("Name 3") && before.contains("[masked]") && before.contains("UPDATE refused"),
            "{before}"
        );
    }
}

#[test]
fn nothing_tells_in_mariadb() {
    answers_do_not_depend_on_what_is_hidden(MySqlRelease::DebianMariaDb);
}

#[test]
fn nothing_tells_in_mariadb_11() {
    answers_do_not_depend_on_what_is_hidden(MySqlRelease::MariaDb11);
}

#[test]
fn nothing_tells_in_mysql() {
    answers_do_not_depend_on_what_is_hidden(MySqlRelease::MySql9);
}

#[test]
fn innocent_neighbours_pass() {
    for release in MySqlRelease::ALL {
        innocent_neighbours_pass_as_they_are(release);
    }
}
