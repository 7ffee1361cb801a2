//! Real SSH clients through the gateway, unchanged; and each row of docs/protocols/ssh.md, sent by one of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests")]
mod common;

use common::ssh::SshWorld;
use doorward_testkit::{SshMatrix, cache_dir, repo_root};
use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

const PAGE: &str = include_str!("../../../docs/protocols/ssh.md");

/// Everything, for everybody.
const OPEN: &str = "@id(\"all\")\npermit (principal, action, resource);\n";

fn matrix(w: &SshWorld) -> SshMatrix {
    SshMatrix::new(w.address(), &w.host_key(), "anybody", &w.agent()).directory(&w.sshd.folder())
}

#[test]
fn every_client_works_unchanged() {
    let w = SshWorld::start(OPEN, true);
    let report = matrix(&w).run().unwrap();
    assert!(report.passed, "{}\n{}", report.output, w.sshd.log());
    let (ok, said) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{said}");
}

#[test]
fn what_policy_forbids_fails_as_clients_expect() {
    let forbid = "@id(\"no\")\nforbid (principal, action in [Action::\"forward\", Action::\"subsystem\"], resource);\n";
    let w = SshWorld::start(&format!("{OPEN}{forbid}"), true);
    let clients = ["paramiko", "asyncssh", "ssh-go", "plink"];
    let report = matrix(&w).without_sftp().forwarding_refused().clients(&clients).run().unwrap();
    assert!(report.passed, "{}\n{}", report.output, w.sshd.log());
}

/// The first two cells of each row of a table.
fn table(heading: &str) -> Vec<(String, String)> {
    let from = PAGE.find(&format!("## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let lines = PAGE[from..].lines().skip(1).take_while(|l| !l.starts_with("## "));
    let rows = lines.filter(|l| l.starts_with("| ") && !l.contains("| what happens"));
    rows.map(|l| {
        let cells: Vec<&str> = l.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
    })
    .collect()
}

/// What a row of the page promises under a policy that permits everything.
fn expected(table: &str, name: &str, treatment: &str) -> &'static str {
    match treatment.split([':', ';', ' ']).next().unwrap() {
        "decided" if name.starts_with("direct-streamlocal") => "failure", // No such socket upstream.
        "decided" => "success",
        "follows" if treatment.contains("no answer") => "none",
        "follows" if name.starts_with("cancel") => "failure", // Nothing was allowed before.
        "follows" => "success",
        "refused" => "failure",
        "own" if table == "Channel types" => "success",
        "own" => "failure",
        word => panic!("{name}: `{word}`"),
    }
}

#[test]
fn every_row_of_the_page_is_as_it_says() {
    let w = SshWorld::start(OPEN, true);
    let tables = ["Channel requests", "Global requests", "Channel types"];
    let rows: Vec<(&str, String, String)> =
        tables.iter().flat_map(|t| table(t).into_iter().map(move |(name, what)| (*t, name, what))).collect();
    assert!(rows.len() > 25, "{}", rows.len());
    let input: String = rows.iter().map(|(table, name, _)| format!("{table}\t{name}\n")).collect();
    let mut child = Command::new(cache_dir().join("venv-ssh/bin/python"))
        .arg(repo_root().join("e2e/clients/ssh-python/coverage.py"))
        .envs([("E2E_SSH_HOST", "127.0.0.1"), ("E2E_SSH_USER", "anybody")])
        .envs([("E2E_SSH_PORT", w.port.to_string()), ("E2E_SSH_HOST_KEY", w.host_key())])
        .env("E2E_SSH_PASSWORD", w.agent())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    let seen: BTreeMap<(&str, &str), &str> =
        said.lines().map(|l| l.split('\t').collect::<Vec<_>>()).map(|cells| ((cells[0], cells[1]), cells[2])).collect();
    for (table, name, what) in &rows {
        let want = expected(table, name, what);
        assert_eq!(seen.get(&(*table, name.as_str())), Some(&want), "{table}: `{name}`: {what}\n{said}");
    }
    // What is refused is on record.
    let (_, audit) = w.doorward("", &["audit", "list", "--output", "json"]);
    for name in ["break", "xon-xoff", "made-up@example.com", "forward_agent", "forward_x11"] {
        assert!(audit.contains(name), "`{name}` is not in the audit log");
    }
}
