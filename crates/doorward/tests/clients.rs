//! Every client of the matrix, unchanged, through the gateway: TLS, prepared statements, COPY, cancellation.
#![allow(clippy::unwrap_used, reason = "a test")]
mod common;
use common::World;
use doorward_testkit::ClientMatrix;

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
@id("columns") permit (principal, action == Action::"reveal", resource is Column);
"#;

#[test]
fn every_client_works_unchanged() {
    let world = World::with(ALLOW, "");
    let token = world.token("ci-bot", &["agents"], &["--claim", &format!("padding=\"{}\"", "x".repeat(4000))]);
    let matrix = ClientMatrix::new(world.port, "orders", "anybody", &token, &world.ca());
    matrix.prepare(&world.postgres).unwrap();
    let report = matrix.run().unwrap();
    println!("{}", report.output);
    assert!(report.passed, "{}", report.output);
}
