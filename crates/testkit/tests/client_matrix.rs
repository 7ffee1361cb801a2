//! The real clients against PostgreSQL itself: what fails here is the client's or the machine's fault, not a gateway's.

use anyhow::Result;
use doorward_testkit::{Auth, ClientMatrix, Postgres};

/// As long as the tokens of real issuers get.
fn long_password() -> String {
    "Abc123-_.".repeat(640)
}

#[test]
fn every_client_passes_without_a_gateway() -> Result<()> {
    let server = Postgres::options().tls_required().auth(Auth::Password).user("app", &long_password()).start()?;
    let ca = server.ca_file().unwrap();
    let matrix = ClientMatrix::new(server.port(), server.database(), server.user(), server.password(), ca);
    matrix.prepare(&server)?;
    let report = matrix.run()?;
    assert!(report.passed, "{}", report.output);
    assert!(report.output.trim_end().ends_with(" passed, 0 failed"), "{}", report.output);

    // A client that is let in nowhere, or is not there, is not passed over.
    let stranger = ClientMatrix::new(server.port(), server.database(), server.user(), "wrong", ca);
    for client in ["psql", "psycopg", "sqlx", "no-such-client"] {
        let report = stranger.clone().clients(&[client]).run()?;
        assert!(!report.passed, "{}", report.output);
    }
    Ok(())
}
