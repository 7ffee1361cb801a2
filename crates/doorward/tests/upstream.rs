//! The gateway's own log-in at real servers: every authentication method and TLS mode.
#![allow(clippy::unwrap_used, reason = "a test")]
mod common;
use common::World;
use doorward_testkit::{Auth, Postgres};

const ALLOW: &str = r#"
@id("connect") permit (principal in Group::"agents", action == Action::"connect", resource in Connection::"orders");
"#;

fn works(postgres: Postgres, connection: &str) -> String {
    let world = World::over(postgres, ALLOW, connection);
    let token = world.token("ci-bot", &["agents"], &[]);
    world.psql(&token, &["-c", "select 'in'"])
}

#[test]
fn scram_md5_and_password_in_clear_or_over_tls() {
    for auth in [Auth::ScramSha256, Auth::Md5, Auth::Password] {
        let shown = works(Postgres::options().auth(auth).start().unwrap(), "");
        assert_eq!(shown.trim(), "in", "{auth:?} in clear: {shown}");
        let postgres = Postgres::options().auth(auth).tls_required().start().unwrap();
        let ca = postgres.ca_file().unwrap().to_str().unwrap().to_owned();
        let mode = match auth {
            Auth::ScramSha256 => "verify-ca",
            Auth::Md5 => "require",
            _ => "prefer",
        };
        let shown = works(postgres, &format!("tls = \"{mode}\"\ntls_ca = \"{ca}\""));
        assert_eq!(shown.trim(), "in", "{auth:?} {mode}: {shown}");
    }
}

#[test]
fn a_client_certificate_opens_the_door() {
    let postgres = Postgres::options().auth(Auth::Cert).tls_required().start().unwrap();
    let ca = postgres.ca_file().unwrap().to_str().unwrap().to_owned();
    let identity = postgres.client_identity(postgres.user()).unwrap();
    let connection = format!(
        "tls = \"verify-ca\"\ntls_ca = \"{ca}\"\ntls_cert = \"{}\"\ntls_key = \"{}\"",
        identity.cert.display(),
        identity.key.display()
    );
    let shown = works(postgres, &connection);
    assert_eq!(shown.trim(), "in", "{shown}");
}

#[test]
fn a_server_without_tls_or_with_a_stranger_s_certificate_is_not_trusted() {
    let plain = Postgres::start().unwrap();
    let shown = works(plain, "tls = \"require\"");
    assert!(shown.contains("does not offer TLS"), "{shown}");
    let encrypted = Postgres::options().tls_required().start().unwrap();
    let shown = works(encrypted, "tls = \"verify-full\"");
    assert!(shown.contains("TLS with the database server failed"), "{shown}");
}

#[test]
fn verify_full_accepts_the_name_in_the_certificate_and_no_other_address() {
    let postgres = || Postgres::options().tls_required().start().unwrap();
    let server = postgres();
    let ca = server.ca_file().unwrap().display().to_string();
    let shown = works(server, &format!("tls = \"verify-full\"\ntls_ca = \"{ca}\""));
    assert_eq!(shown.trim(), "in", "{shown}");
    // 127.0.0.2 is this machine as well, but not what the certificate says.
    let server = postgres();
    let ca = server.ca_file().unwrap().display().to_string();
    let (port, config) = (server.port(), format!("tls = \"verify-full\"\ntls_ca = \"{ca}\""));
    let forward = common::forward(&format!("127.0.0.2:{port}"), server.address());
    let world = World::behind(server, &forward, ALLOW, &config);
    let token = world.token("ci-bot", &["agents"], &[]);
    let shown = world.psql(&token, &["-c", "select 'in'"]);
    assert!(shown.contains("TLS with the database server failed"), "{shown}");
}
