//! PostgreSQL 18 behind the gateway, with the newest protocol on both sides.
#![allow(clippy::unwrap_used, reason = "a test")]
mod common;
use common::{SCHEMA, World};
use doorward_testkit::{Postgres, PostgresRelease};

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
