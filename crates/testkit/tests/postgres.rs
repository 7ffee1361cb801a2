//! The PostgreSQL servers really do what their options say, seen with psql over TCP.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use doorward_testkit::{Auth, Authority, Postgres, PostgresRelease, Unavailable};

/// Connects over TCP as the login role with these changes to the environment; what psql printed, and whether it won.
fn connect(server: &Postgres, changes: &[(&str, &str)], sql: &str) -> Result<(bool, String)> {
    let mut command = Command::new("psql");
    command.args(["-X", "-qAt", "-c", sql]).envs(server.client_env()).env("PGCONNECT_TIMEOUT", "5");
    command.envs(changes.iter().copied());
    let output = command.output()?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status.success(), text.trim().to_owned()))
}

#[test]
fn passwords_are_checked_with_the_method_asked_for() -> Result<()> {
    let stored = "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname = 'app'";
    for (auth, verifier) in [(Auth::ScramSha256, "SCR"), (Auth::Md5, "md5"), (Auth::Password, "SCR")] {
        let server = Postgres::options().auth(auth).start()?;
        assert_eq!(connect(&server, &[], "SELECT current_user")?, (true, "app".to_owned()), "{auth:?}");
        let (let_in, complaint) = connect(&server, &[("PGPASSWORD", "wrong")], "SELECT 1")?;
        assert!(!let_in && complaint.contains("authentication failed"), "{auth:?}: {complaint}");
        assert_eq!(server.query(stored)?, verifier, "{auth:?}");
        let method = match auth {
            Auth::ScramSha256 => "scram-sha-256",
            Auth::Md5 => "md5",
            Auth::Password => "password",
            Auth::Cert | Auth::Trust => unreachable!("not in the list"),
        };
        let hba = "SELECT auth_method FROM pg_hba_file_rules WHERE type = 'host' AND database = '{all}'";
        assert_eq!(server.query(hba)?, method);
    }
    let server = Postgres::options().auth(Auth::Trust).start()?;
    assert!(connect(&server, &[("PGPASSWORD", "wrong")], "SELECT 1")?.0);
    Ok(())
}

#[test]
fn tls_is_offered_with_a_certificate_that_verifies() -> Result<()> {
    let server = Postgres::options().tls_required().user("o'brien \"x\"", "quote'd").start()?;
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(connect(&server, &[], ssl)?, (true, "t".to_owned()));
    assert!(connect(&server, &[("PGHOST", "localhost")], ssl)?.0);

    let (let_in, complaint) = connect(&server, &[("PGSSLMODE", "disable")], ssl)?;
    assert!(!let_in && complaint.contains("no encryption"), "{complaint}");

    let elsewhere = tempfile::tempdir()?;
    let stranger = Authority::create(elsewhere.path())?;
    let trusted = stranger.ca_file().to_str().unwrap();
    let (let_in, complaint) = connect(&server, &[("PGSSLROOTCERT", trusted)], ssl)?;
    assert!(!let_in && complaint.contains("certificate verify failed"), "{complaint}");
    Ok(())
}

#[test]
fn a_client_certificate_stands_for_its_user_alone() -> Result<()> {
    let server = Postgres::options().auth(Auth::Cert).start()?;
    for (name, welcome) in [("app", true), ("mallory", false)] {
        let identity = server.client_identity(name)?;
        let files = [("PGSSLCERT", identity.cert), ("PGSSLKEY", identity.key)];
        let files: Vec<_> = files.iter().map(|(name, path)| (*name, path.to_str().unwrap())).collect();
        assert_eq!(connect(&server, &files, "SELECT 1")?.0, welcome, "{name}");
    }
    Ok(())
}

#[test]
fn data_survives_a_restart_and_a_kill() -> Result<()> {
    let mut server = Postgres::options().durable().setting("work_mem", "5MB").start()?;
    assert_eq!(server.query("SHOW work_mem")?, "5MB");
    assert_eq!(server.query("SHOW fsync")?, "on");
    server.exec("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")?;
    server.restart()?;
    server.exec("INSERT INTO t VALUES (2)")?;
    server.process().kill9()?;
    assert!(server.query("SELECT 1").is_err());
    server.start_again()?;
    assert_eq!(server.query("SELECT sum(a) FROM t")?, "3");
    assert!(server.exec("SELECT 1; SELECT 1/0").unwrap_err().to_string().contains("division by zero"));
    Ok(())
}

#[test]
fn nothing_is_left_when_a_test_panics() {
    let left = thread::spawn(|| {
        let mut server = Postgres::start().unwrap();
        let left = (server.process().pid(), server.data_directory());
        std::panic::panic_any(left);
    });
    let left = left.join().unwrap_err();
    let (pid, data) = left.downcast_ref::<(u32, std::path::PathBuf)>().expect("panicked on purpose");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!data.exists());
}

#[test]
fn a_server_outlives_the_thread_that_started_it() -> Result<()> {
    let server = thread::spawn(Postgres::start).join().unwrap()?;
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.query("SELECT 1")?, "1");
    assert_eq!(fs::read_to_string(server.data_directory().join("PG_VERSION"))?.trim(), "15");
    Ok(())
}

#[test]
fn the_newer_release_answers_where_it_is_installed() -> Result<()> {
    match Postgres::options().release(PostgresRelease::Npm18).tls().start() {
        Ok(server) => assert_eq!(connect(&server, &[], "SHOW server_version_num")?.1.get(..2), Some("18")),
        Err(error) if error.is::<Unavailable>() => eprintln!("skipped: {error}"),
        Err(error) => return Err(error),
    }
    Ok(())
}
