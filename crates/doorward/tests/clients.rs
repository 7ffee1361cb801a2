//! Every client of the matrix, unchanged, through the gateway: TLS, prepared statements, COPY, cancellation, and statements
//! that are rewritten because they read what is hidden from their caller.
#![allow(clippy::unwrap_used, reason = "a test")]
mod common;
use common::World;
use doorward_testkit::{ClientMatrix, HIDDEN_TAGS, Postgres};

const ALLOW: &str = r#"
@id("connect") permit (principal in Group::"agents", action == Action::"connect", resource in Connection::"orders");
@id("data") permit (
  principal in Group::"agents",
  action in [Action::"select", Action::"insert", Action::"update", Action::"delete", Action::"call", Action::"listen", Action::"notify"],
  resource in Connection::"orders"
);
@id("settings") permit (principal in Group::"agents", action == Action::"set", resource in Connection::"orders");
@id("notify-anywhere") permit (principal in Group::"agents", action == Action::"opaque", resource is Opaque)
when { resource.what == "pg_notify on a channel that is computed" };
@id("columns") permit (principal, action == Action::"reveal", resource is Column) unless { resource.tags.contains("pii") };
"#;

#[test]
fn every_client_works_unchanged() {
    // `log_statement` shows what the server got.
    let postgres = Postgres::options().setting("log_statement", "all").start().unwrap();
    let world = World::over(postgres, ALLOW, &format!("tags = {{ {HIDDEN_TAGS} }}"));
    let token = world.token("ci-bot", &["agents"], &["--claim", &format!("padding=\"{}\"", "x".repeat(4000))]);
    let matrix = ClientMatrix::new(world.port, "orders", "anybody", &token, &world.ca()).hidden();
    matrix.prepare(&world.postgres).unwrap();
    let report = matrix.run().unwrap();
    println!("{}", report.output);
    assert!(report.passed, "{}", report.output);
    let log = world.postgres.log();
    let (read, otherwise) = over_hidden(&log);
    assert!(otherwise.is_empty(), "sent as they were written: {otherwise:#?}");
    assert!(read > 200, "only {read} statements over what is hidden");
}

/// How many statements read the table that has hidden columns, and those of them that were sent as they were written.
fn over_hidden(log: &str) -> (usize, Vec<&str>) {
    let said = log.lines().filter(|line| line.contains("LOG:  statement: ") || line.contains("LOG:  execute "));
    let said = said.filter_map(|line| line.split_once("LOG:  ")?.1.split_once(": ")).map(|(_, text)| text);
    let reads = said.filter(|text| {
        let upper = text.to_uppercase();
        let is_copy = upper.starts_with("COPY") && upper.contains("TO STDOUT");
        text.contains("e2e_hidden")
            && (is_copy || ["SELECT", "DECLARE", "PREPARE"].iter().any(|w| upper.starts_with(w)))
    });
    let reads: Vec<_> = reads.collect();
    (reads.len(), reads.into_iter().filter(|text| !text.contains("\"public\".\"e2e_hidden\"")).collect())
}
