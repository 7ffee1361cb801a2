//! The MySQL and MariaDB servers really do what their options say, seen with their own clients over TCP.

use std::thread;

use anyhow::Result;
use doorward_testkit::{MySql, MySqlAuth, MySqlRelease};

/// Connects over TCP with `password`; what the client printed, and whether it won.
fn connect(server: &MySql, user: &str, password: &str, sql: &str) -> Result<(bool, String)> {
    let output = server.client_of(server.address(), user, password).args(["-e", sql]).output()?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status.success(), text.trim().to_owned()))
}

#[test]
fn each_release_checks_passwords_by_each_method_it_has() -> Result<()> {
    for release in MySqlRelease::ALL {
        let server = MySql::options().release(release).tls().start()?;
        assert_eq!(server.query("SELECT VERSION() LIKE '%MariaDB%'")?, u8::from(release.is_mariadb()).to_string());
        let (let_in, user) = connect(&server, "app", "app-password", "SELECT CURRENT_USER()")?;
        assert!(let_in && user == "app@%", "{release:?}: {user}");
        for auth in MySqlAuth::ALL {
            if !auth.is_known_to(release) {
                continue;
            }
            let user = format!("u-{auth:?}");
            server.create_account(&user, "it's \\ secret", auth)?;
            let (let_in, complaint) = connect(&server, &user, "wrong", "SELECT 1")?;
            assert!(!let_in && complaint.contains("1045"), "{release:?} {auth:?}: {complaint}");
            // This client has no plugin for some of its own server's methods.
            if matches!((release, auth), (MySqlRelease::MariaDb11, MySqlAuth::Parsec)) {
                continue;
            }
            assert_eq!(
                connect(&server, &user, "it's \\ secret", "SELECT 1")?,
                (true, "1".to_owned()),
                "{release:?} {auth:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn tls_is_offered_where_it_was_asked_for() -> Result<()> {
    let cipher = "SHOW STATUS LIKE 'Ssl_cipher'";
    for release in MySqlRelease::ALL {
        let server = MySql::options().release(release).tls_required().start()?;
        let (let_in, shown) = connect(&server, "app", "app-password", cipher)?;
        assert!(let_in && shown.contains("TLS_"), "{release:?}: {shown}");
        let disable = if release.is_mariadb() { "--skip-ssl" } else { "--ssl-mode=DISABLED" };
        let mut clear = server.client_of(server.address(), "app", "app-password");
        assert!(!clear.arg(disable).args(["-e", "SELECT 1"]).output()?.status.success(), "{release:?}");

        let server = MySql::options().release(release).start()?;
        let mut clear = server.client_of(server.address(), "app", "app-password");
        if !release.is_mariadb() {
            clear.arg("--get-server-public-key");
        }
        let output = clear.args(["-e", cipher]).output()?;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "Ssl_cipher", "{release:?}");
    }
    Ok(())
}

#[test]
fn data_survives_a_restart_and_nothing_is_left_after() -> Result<()> {
    let mut server = MySql::options().setting("--sql-mode=ANSI_QUOTES").start()?;
    server.exec("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")?;
    server.restart()?;
    assert_eq!(server.query("SELECT a FROM \"t\"")?, "1");
    assert!(server.exec("SELECT 1; SELECT nowhere").unwrap_err().to_string().contains("nowhere"));
    let (pid, files) = (server.process().pid(), server.files());
    thread::spawn(move || drop(server)).join().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists() && !files.exists());
    Ok(())
}
