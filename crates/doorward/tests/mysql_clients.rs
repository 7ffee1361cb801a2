//! Every MySQL and MariaDB client of the matrix, unchanged, through the gateway, with the policies of the PostgreSQL tour:
//! TLS, both protocols, masks, refusals, files.
#![allow(clippy::unwrap_used, reason = "a test")]
mod common;
use common::mysql::MySqlWorld;
use doorward_testkit::{MYSQL_HIDDEN_TAGS, MySql, MySqlMatrix, MySqlRelease};

const TOUR: &str = include_str!("../../../policies/orders.cedar");
/// The tour calls nothing, and hides nothing of tables that agents write.
const CALLS: &str = r#"
@id("e2e-calls") permit (principal in Group::"agents", action == Action::"call", resource in Connection::"orders");
@id("e2e-hidden") forbid (principal, action == Action::"reveal", resource is Column) when { resource.tags.contains("hidden") };
"#;
const TAGS: &str = r#"tls = "disable"
tags = { "public.e2e_people.email" = ["pii", "email"], "public.e2e_people.card" = ["pii", "card"], "public.e2e_people.born" = ["pii"], "#;

fn every_client_works(release: MySqlRelease) {
    let server = MySql::options().release(release).database("public").setting("--max-allowed-packet=64M");
    let world =
        MySqlWorld::over(server.start().unwrap(), &format!("{TOUR}{CALLS}"), &format!("{TAGS}{MYSQL_HIDDEN_TAGS} }}"));
    MySqlMatrix::prepare(&world.server).unwrap();
    // MySQL's own plugin for tokens takes no more than 10 KiB.
    let padding = format!("padding=\"{}\"", "x".repeat(4000));
    let token = world.token("ci-bot", &["agents", "analysts"], &["--claim", &padding]);
    let report = MySqlMatrix::new(world.port, "public", "anybody", &token, &world.ca()).hidden().run().unwrap();
    println!("{}", report.output);
    assert!(report.passed, "{}", report.output);
    let (ok, said) = world.doorward("", &["audit", "verify"]);
    assert!(ok, "{said}");
}

#[test]
fn every_client_works_unchanged_with_mariadb() {
    every_client_works(MySqlRelease::DebianMariaDb);
}

#[test]
fn every_client_works_unchanged_with_mysql_9() {
    every_client_works(MySqlRelease::MySql9);
}
