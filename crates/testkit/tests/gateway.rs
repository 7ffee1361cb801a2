//! The gateway's keeper, tried on a stand-in that takes the same command line.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use doorward_testkit::{Gateway, free_port};

const STAND_IN: &str = r#"#!/usr/bin/env python3
import os, re, signal, socket, sys, time
if sys.argv[1:3] == ["dev", "token"]:
    print(" ".join(sys.argv[3:]))
    sys.exit(0 if "mallory" not in sys.argv else "no such thing")
assert sys.argv[1:3] == ["serve", "--config"], sys.argv
config = open(sys.argv[3]).read()
if "broken" in config:
    sys.exit("doorward.toml:1:1: broken")
signal.signal(signal.SIGHUP, lambda *_: print("reloaded", flush=True))
time.sleep(0.2)
listener = socket.create_server(("127.0.0.1", int(re.search(r'listen = "127.0.0.1:(\d+)"', config).group(1))))
print("up", os.environ["COLOUR"], open("policies/main.cedar").read(), flush=True)
while True:
    listener.accept()[0].close()
"#;

fn stand_in(folder: &Path) -> Result<std::path::PathBuf> {
    let program = folder.join("doorward");
    fs::write(&program, STAND_IN)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    Ok(program)
}

#[test]
fn it_is_started_reloaded_killed_and_restarted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!("[[connections]]\nlisten = \"127.0.0.1:{}\"\n", free_port()?);
    let options = Gateway::options(&config).program(stand_in(folder.path())?).env("COLOUR", "green");
    let mut gateway = options.file("policies/main.cedar", "permit").start()?;
    assert_eq!(gateway.addresses().len(), 1);
    let limit = Duration::from_secs(5);
    gateway.process().wait_for_log("up green permit", limit)?;
    gateway.reload()?;
    gateway.process().wait_for_log("reloaded", limit)?;

    gateway.write("policies/main.cedar", "forbid")?;
    assert!(!gateway.kill9()?.success());
    assert!(gateway.reload().is_err());
    gateway.restart()?;
    gateway.process().wait_for_log("up green forbid", limit)?;

    let token = gateway.dev_token("ci-bot").group("agents").claim("repository", "acme/shop").ttl("5s").issue()?;
    assert_eq!(token, "--sub ci-bot --group agents --claim repository=acme/shop --ttl 5s");
    let refused = gateway.dev_token("mallory").issue().unwrap_err().to_string();
    assert!(refused.contains("no such thing"), "{refused}");

    let pid = gateway.process().pid();
    drop(gateway);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    Ok(())
}

#[test]
fn one_that_refuses_its_configuration_is_reported_with_its_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!("broken\nlisten = \"127.0.0.1:{}\"\n", free_port()?);
    let error = Gateway::options(&config).program(stand_in(folder.path())?).start().unwrap_err().to_string();
    assert!(error.contains("broken") && error.contains("before it was ready"), "{error}");
    Ok(())
}
