//! sshd starts, lets in whom it should, and ends with the test.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use doorward_testkit::{OpenSsh, SshKey, Unavailable};
use tempfile::TempDir;

fn printed(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text.trim_end().to_owned())
}

#[test]
fn logs_in_by_key_and_runs_a_command() -> Result<()> {
    let server = OpenSsh::start()?;
    let (ok, text) = printed(server.ssh()?.arg("id -un; pwd; exit 7"));
    assert_eq!((ok, text), (false, format!("{}\n{}", server.user(), server.home().display())), "{}", server.log());
    let (ok, text) = printed(server.ssh()?.arg(format!("echo mine > {0}/f && cat {0}/f", server.folder().display())));
    assert_eq!((ok, text.as_str()), (true, "mine"));
    if server.lets_root_in() {
        let mut ssh = server.client("root").key(server.private_key()).ssh()?;
        assert_eq!(printed(ssh.arg("id -u")), (true, "0".to_owned()), "{}", server.log());
    }
    assert!(server.host_key().starts_with("ssh-ed25519 AAAA") && server.host_key().split(' ').count() == 2);
    Ok(())
}

#[test]
fn a_wrong_key_is_refused() -> Result<()> {
    let server = OpenSsh::start()?;
    let folder = TempDir::new()?;
    let stranger = SshKey::create(folder.path(), "stranger")?;
    let (ok, text) = printed(server.client(server.user()).key(stranger.private()).ssh()?.arg("true"));
    assert!(!ok && text.contains("Permission denied"), "{text}");

    let welcome = OpenSsh::options().authorized_key(stranger.public()).start()?;
    assert!(printed(welcome.client(welcome.user()).key(stranger.private()).ssh()?.arg("true")).0);
    assert!(welcome.log().contains("Accepted publickey"), "{}", welcome.log());
    Ok(())
}

#[test]
fn a_certificate_of_the_user_ca_opens_the_account_it_names() -> Result<()> {
    let folder = TempDir::new()?;
    let authority = SshKey::create(folder.path(), "ca")?;
    let server = OpenSsh::options().user_ca(authority.public()).start()?;
    for (principal, welcome) in [(server.user(), true), ("somebody-else", false)] {
        let key = SshKey::create(folder.path(), principal)?;
        let certificate = authority.certify(&key, principal, &["-V", "-1m:+5m"])?;
        assert!(certificate.is_file());
        let (ok, text) = printed(server.client(server.user()).key(key.private()).ssh()?.arg("true"));
        assert_eq!(ok, welcome, "{principal}: {text}\n{}", server.log());
    }
    assert!(server.log().contains("ED25519-CERT"), "{}", server.log());
    Ok(())
}

#[test]
fn logs_in_by_password_without_sshpass() -> Result<()> {
    let server = OpenSsh::start()?;
    let password = match server.password() {
        Ok(password) => password,
        Err(error) if error.is::<Unavailable>() => return Ok(()),
        Err(error) => return Err(error),
    };
    let (ok, text) = printed(server.client(server.user()).password(password).ssh()?.arg("true"));
    assert!(ok && server.log().contains("Accepted password"), "{text}\n{}", server.log());
    let (ok, text) = printed(server.client(server.user()).password("wrong").ssh()?.arg("true"));
    assert!(!ok && text.contains("Permission denied"), "{text}");
    Ok(())
}

#[test]
fn ended_with_the_test_and_its_sessions_too() -> Result<()> {
    let server = OpenSsh::start()?;
    let (address, directory) = (server.address(), server.directory().to_owned());
    assert!(TcpListener::bind(address).is_err());
    let pid_file = server.folder().join("pid");
    // Takes no notice of its client.
    let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
    let mut client = server.ssh()?.arg(script).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = wait_for(|| std::fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok());
    let process = format!("/proc/{pid}");
    assert!(Path::new(&process).exists());
    drop(server);
    assert!(!client.wait()?.success());
    wait_for(|| (!Path::new(&process).exists()).then_some(()));
    assert!(!directory.exists());
    TcpListener::bind(address)?;
    Ok(())
}

#[test]
fn stops_and_comes_back_with_the_same_host_key() -> Result<()> {
    let mut server = OpenSsh::start()?;
    server.stop()?;
    assert!(!printed(server.ssh()?.arg("true")).0);
    server.start_again()?;
    assert!(printed(server.ssh()?.arg("true")).0, "{}", server.log());
    Ok(())
}

fn wait_for<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing came");
        thread::sleep(Duration::from_millis(20));
    }
}
