//! PostgreSQL 18 behind the gateway, with the newest protocol on both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
mod common;
use common::{SCHEMA, World};
use doorward_testkit::{Postgres, PostgresRelease, cache_dir};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn the_newest_server_is_allowed_masked_and_refused_like_the_oldest() {
    let policy = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar")).unwrap();
    let postgres = Postgres::options().release(PostgresRelease::Npm18).start().unwrap();
    let world = World::over(postgres, &policy, "");
    world.postgres.exec(&format!("set role {};\n{SCHEMA}", world.postgres.user())).unwrap();
    assert!(world.postgres.query("show server_version").unwrap().starts_with("18"));
    let token = world.token("ci-bot", &["agents"], &[]);
    assert_eq!(world.psql(&token, &["-c", "select name from products where id = 1"]).trim(), "thing 1");
    let analyst = world.token("ana", &["agents", "analysts"], &[]);
    let shown = world.psql(&analyst, &["-c", "select * from customers", "-c", "copy customers to stdout"]);
    assert!(shown.contains("Name 1") && !shown.contains("4111111111111111"), "{shown}");
    assert!(!shown.contains("@example") && !shown.contains("078-05"), "{shown}");
    let shown = world.psql(&token, &["-c", "drop table products", "-c", "select 'alive'"]);
    assert!(shown.contains("no-ddl") && shown.contains("alive"), "{shown}");
    // Syntax that only this release has: either understood or refused, never passed unread.
    let shown = world.psql(
        &token,
        &["-c", "insert into products values (9, 'n') returning old.name, new.name", "-c", "select 'alive'"],
    );
    assert!(shown.contains("alive"), "{shown}");
}

/// The libpq of the newest psycopg, driven without psycopg: it knows OAUTHBEARER and protocol 3.2.
#[test]
fn libpq_18_logs_in_with_oauthbearer() {
    let mut policy =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar")).unwrap();
    policy.push_str(
        r#"@id("sleep") permit (principal in Group::"agents", action == Action::"call", resource in Connection::"orders");"#,
    );
    let postgres = Postgres::options().release(PostgresRelease::Npm18).start().unwrap();
    let world = World::over(postgres, &policy, "");
    world.postgres.exec(&format!("set role {};\n{SCHEMA}", world.postgres.user())).unwrap();
    let libraries = cache_dir().join("venv/lib");
    let libpq = find(&libraries, "libpq-").expect("psycopg-binary with its libpq is installed by ./test");
    let log_in = |token: &str, more: &str| {
        let conninfo = format!(
            "host=localhost port={} dbname=orders user=anybody sslmode=verify-full sslrootcert={} require_auth=oauth \
             oauth_issuer={} oauth_client_id=doorward options='-c doorward.auth=oauth' {more}",
            world.port,
            world.ca().display(),
            world.issuer(),
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/clients/libpq18/oauthbearer.py");
        let out = Command::new("python3")
            .args([script, libpq.to_str().unwrap(), &conninfo])
            .args(["select name from products where id = 1", "drop table products"])
            // Rewritten: `ssn` is hidden.
            .args([
                "select ssn || id from customers where id = 1",
                "select count(*) + 40 from customers where ssn like '078%'",
            ])
            // The development issuer speaks plain HTTP on loopback.
            .env("PGOAUTHDEBUG", "UNSAFE")
            .env("DOORWARD_TOKEN", token)
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    let token = world.token("ci-bot", &["agents", "analysts"], &[]);
    for more in
        ["", "max_protocol_version=latest", "sslnegotiation=direct min_protocol_version=3.2 max_protocol_version=3.2"]
    {
        let shown = log_in(&token, more);
        assert!(shown.contains("value thing 1"), "{more}: {shown}");
        assert!(shown.contains("no-ddl"), "{more}: {shown}");
        assert!(shown.contains("value [masked]\n") && shown.contains("value 40\n"), "{more}: {shown}");
        let protocol = if more.is_empty() { "protocol 30000" } else { "protocol 30002" };
        assert!(shown.contains(protocol), "{more}: {shown}");
        assert!(shown.contains("cancel 1") && shown.contains("canceling statement due to user request"), "{shown}");
        assert!(shown.contains("/.well-known/openid-configuration"), "{more}: {shown}");
    }
    let forged = format!("{}x", token.trim_end_matches(|c: char| c.is_alphanumeric()));
    let shown = log_in(&forged, "");
    assert!(shown.contains("refused") && !shown.contains("value"), "{shown}");
    assert!(!world.audit("authentication_failed").is_empty());
}

fn find(folder: &Path, prefix: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        let name = entry.file_name().into_string().ok()?;
        if path.is_dir() {
            find(&path, prefix)
        } else {
            (name.starts_with(prefix) && name.contains(".so")).then_some(path)
        }
    })
}
