//! Schemathesis tries the whole API of a running gateway by its description, as an administrator: no server error, and
//! every answer as described. Longer by hand: `DOORWARD_SCHEMATHESIS_SECONDS=600`, another seed by
//! `DOORWARD_SCHEMATHESIS_SEED`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::{DOORWARD, Issuer};
use doorward_testkit::{Gateway, cache_dir, free_port, repo_root};
use std::{io::Write as _, net::TcpStream, process::Command};

const SECONDS: &str = "45";
const SEED: &str = "20261127";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
    response_headers_conformance,unsupported_method,ignored_auth";

fn config(api: u16, port: u16, issuer: &str) -> String {
    format!(
        r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
[[identity.issuers]]
name = "dev"
issuer = "{issuer}"
audience = ["doorward"]
principal = "user"
[[connections]]
name = "orders"
kind = "postgres"
listen = "127.0.0.1:{port}"
upstream = "127.0.0.1:1"
database = "orders"
user = "app"
credential = {{ value = "hunter2" }}
tls = "disable"
tags = {{ "public.customers.ssn" = ["pii"] }}
[[exports]]
name = "siem"
kind = "file"
path = "out.jsonl"
[policy]
files = ["all.cedar"]
"#
    )
}

#[test]
fn the_api_is_as_it_is_described_whatever_is_sent() {
    let issuer = Issuer::start();
    let (api, port) = (free_port().unwrap(), free_port().unwrap());
    let gateway = Gateway::options(&config(api, port, &issuer.url))
        .program(DOORWARD)
        .file("all.cedar", "@id(\"all\") permit (principal, action, resource in Connection::\"orders\");")
        .start()
        .unwrap();
    // Somebody who came and went: a session that there is something to tell of.
    for _ in 0..3 {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap();
        drop(tcp);
    }
    let token = issuer.token("ada", &["doorward-admins"], &["--ttl", "2h"]);
    let asked = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let program = cache_dir().join("venv-schemathesis/bin/st");
    assert!(program.exists(), "{} is not there: run scripts/install-test-deps", program.display());
    let out = Command::new(program)
        .arg("run")
        .arg(repo_root().join("docs/api/openapi.json"))
        .args(["--url", &format!("http://127.0.0.1:{api}"), "--header", &format!("Authorization: Bearer {token}")])
        // It never ends by itself.
        .args(["--exclude-path", "/api/v1/approvals/watch"])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-shrink"])
        .args(["--max-time", &asked("DOORWARD_SCHEMATHESIS_SECONDS", SECONDS)])
        .args(["--seed", &asked("DOORWARD_SCHEMATHESIS_SEED", SEED), "--request-timeout", "20"])
        .args(["--generation-database", "none"])
        .current_dir(gateway.directory())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    // It has done something.
    let generated = said.lines().find_map(|l| l.trim().split_once(" generated")?.0.parse::<u32>().ok());
    assert!(generated.is_some_and(|n| n > 500), "{said}");
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}
