//! The state is copied while the gateway runs, lost, and restored: it goes on, and nobody takes new entries for old ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod common;
use common::{DOORWARD, World, browser};
use doorward_testkit::free_port;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const KEEP: &str = r#"
@id("keep") permit (
  principal in Group::"keepers",
  action in [Action::"view_connections", Action::"edit_connections", Action::"edit_secrets", Action::"view_secrets"],
  resource
);
@id("billing") permit (principal in Group::"agents", action, resource in Connection::"billing");
"#;

fn run(args: &[&str]) -> (bool, String) {
    let out = Command::new(DOORWARD).args(args).stdin(Stdio::null()).output().unwrap();
    (out.status.success(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

/// What was exported, by what tells one entry from another: each has one text, however often it came.
fn exported(folder: &Path, into: &mut BTreeMap<(String, u64), Value>) {
    for file in fs::read_dir(folder).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            // A SIEM is told what kind of server it was, of connections of the store, too.
            assert!(entry["connection"].is_null() || entry["kind"] == "postgres", "{entry}");
            let key = (entry["log"].as_str().unwrap().to_owned(), entry["seq"].as_u64().unwrap());
            let before = into.insert(key, entry["entry"].clone());
            assert!(before.is_none_or(|b| b == entry["entry"]), "two entries have one name: {entry}");
        }
    }
}

#[test]
fn what_was_lost_is_restored_and_goes_on() {
    let mut w = browser::demo();
    let state = w.state();
    let out = w.gateway.directory().join("out");
    fs::create_dir_all(&out).unwrap();
    let config = fs::read_to_string(w.gateway.config_file()).unwrap();
    let export = format!(
        "[[exports]]\nname = \"files\"\nkind = \"file\"\npath = \"{}/log.jsonl\"\nformat = \"json\"\n",
        out.display()
    );
    fs::write(w.gateway.config_file(), config.replace("[policy]", &format!("{export}[policy]"))).unwrap();
    let policy = fs::read_to_string(w.gateway.directory().join("policy.cedar")).unwrap();
    w.gateway.write("policy.cedar", &format!("{policy}{KEEP}")).unwrap();
    w.gateway.restart().unwrap();
    let (agent, keeper) = (w.token("ci-bot", &["agents", "analysts"], &[]), w.token("kim", &["keepers"], &[]));

    // A secret and a connection of the store, and entries of all kinds.
    let file = w.gateway.directory().join("in");
    fs::write(&file, w.postgres.password()).unwrap();
    let (ok, text) = w.doorward(&keeper, &["secrets", "set", "billing", "--file", file.to_str().unwrap()]);
    assert!(ok, "{text}");
    let port = free_port().unwrap();
    let (at, user) = (w.postgres.address(), w.postgres.user());
    let spec = format!(
        "kind = \"postgres\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"{at}\"\ndatabase = \"orders\"\nuser = \"{user}\"\nsecret = \"billing\"\ntls = \"disable\"\n",
    );
    fs::write(&file, spec).unwrap();
    let (ok, text) = w.doorward(&keeper, &["connections", "set", "billing", "--file", file.to_str().unwrap()]);
    assert!(ok, "{text}");
    assert!(w.psql(&agent, &["-c", "select name from products", "-c", "drop table orders"]).contains("thing 1"));

    // Copies are made while it is busy.
    let tar = w.gateway.directory().join("state.tar");
    let (tar_name, state_name) = (tar.to_str().unwrap(), state.to_str().unwrap());
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    w.psql(&agent, &["-c", "select 'busy'", "-c", "select name from products"]);
                }
            });
        }
        for _ in 0..4 {
            let (ok, text) = run(&["backup", "--state-dir", state_name, "--to", tar_name]);
            assert!(ok && text.contains("its keys are in it"), "{text}");
            thread::sleep(Duration::from_millis(200));
        }
        enough.store(true, Ordering::Relaxed);
    });
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&tar).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "there are keys in it");

    // This is lost, but for what was exported.
    for n in 0..30 {
        w.psql(&agent, &["-c", &format!("select 'lost {n}'")]);
    }
    let (ok, text) = run(&["restore", "--state-dir", state_name, "--from", tar_name]);
    assert!(!ok && text.contains("is not empty"), "{text}");
    w.gateway.stop().unwrap();
    // What an auditor has of the branch that is about to be lost.
    let theirs = w.gateway.directory().join("theirs.jsonl");
    let (ok, _) = w.doorward("", &["audit", "export", "--file", theirs.to_str().unwrap()]);
    let against = ["audit", "verify", "--against", theirs.to_str().unwrap()];
    assert!(ok && w.doorward("", &against).0);
    let mut all = BTreeMap::new();
    exported(&out, &mut all);
    let before = all.len();
    fs::remove_dir_all(&state).unwrap();
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir_all(&out).unwrap();

    let (ok, text) = run(&["restore", "--state-dir", state_name, "--from", tar_name]);
    assert!(ok && text.contains("is what it was at 2"), "{text}");
    w.gateway.restart().unwrap();
    assert!(w.psql(&agent, &["-c", "select name from products"]).contains("thing 1"));
    let stored = w.psql_command(&agent).args(["-p", &port.to_string(), "-c", "select 7"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stored.stdout).trim(), "7", "{stored:?}");
    for n in 0..30 {
        w.psql(&agent, &["-c", &format!("select 'new {n}'")]);
    }

    // The log is whole, and says what happened; the entries from before are there.
    let (ok, text) = w.doorward("", &["audit", "verify"]);
    assert!(ok && text.contains("was restored from a back-up here"), "{text}");
    let told = w.audit("administration");
    assert!(told.iter().any(|e| e.to_string().contains("restore the audit log from a back-up")), "{told:?}");
    assert!(told.iter().any(|e| e.to_string().contains("register connection billing")), "{told:?}");
    let (ok, text) = w.doorward("", &["sessions", "list", "--output", "json"]);
    assert!(ok && text.lines().count() > 32, "{} recordings", text.lines().count());
    w.gateway.stop().unwrap();
    let (ok, text) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{text}");
    let (ok, text) = w.doorward("", &against);
    assert!(!ok && text.contains("known with another hash") && text.contains("NOT INTACT"), "{text}");
    // Two logs: what came after the back-up and what came after the restore have other names.
    exported(&out, &mut all);
    assert!(all.len() > before + 60, "{} after {before}", all.len());
    let logs: std::collections::BTreeSet<&str> = all.keys().map(|(log, _)| log.as_str()).collect();
    assert_eq!(logs.len(), 2);
    let has = |what: &str| all.values().any(|e| e.to_string().contains(what));
    assert!(has("lost 29") && has("new 29") && has("select 7"));

    // Once more from there: a third log.
    w.gateway.restart().unwrap();
    let (ok, text) = run(&["backup", "--state-dir", state_name, "--to", tar_name, "--without-keys"]);
    assert!(ok && !text.contains("its keys are in it"), "{text}");
    let elsewhere = w.gateway.directory().join("second");
    // There already, as a volume is.
    fs::create_dir(&elsewhere).unwrap();
    let (ok, text) = run(&["restore", "--state-dir", elsewhere.to_str().unwrap(), "--from", tar_name]);
    assert!(ok && text.contains("put the keys folder back"), "{text}");
    assert_eq!(fs::read_dir(elsewhere.join("keys")).unwrap().count(), 0);
    assert!(elsewhere.join("doorward.db").exists() && !elsewhere.join(".restoring").exists());
}

fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // As a hostile archive has it: the library's own builder takes no such names.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn what_is_no_whole_backup_restores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let w = World::demo();
    let tar = dir.path().join("good.tar");
    let (ok, text) = run(&["backup", "--state-dir", w.state().to_str().unwrap(), "--to", tar.to_str().unwrap()]);
    assert!(ok, "{text}");
    let good = fs::read(&tar).unwrap();
    let label = br#"{"doorward":"0.1.0","taken":"now","keys":true}"#;
    let file = tar::EntryType::Regular;
    let first = ("doorward-backup.json", file, label.as_slice());
    let hostile = [
        Vec::new(),
        b"no archive".to_vec(),
        vec![0; 4096],
        archive(&[("doorward.db", file, b"x")]),
        archive(&[first]),
        archive(&[first, ("../escaped", file, b"x"), ("doorward.db", file, b"x")]),
        archive(&[first, ("/tmp/escaped-doorward", file, b"x"), ("doorward.db", file, b"x")]),
        archive(&[first, ("keys/deep/er", file, b"x"), ("doorward.db", file, b"x")]),
        archive(&[first, ("keys/link", tar::EntryType::Symlink, b""), ("doorward.db", file, b"x")]),
        archive(&[first, ("doorward.db", file, b"x"), ("doorward.db", file, b"y")]),
        archive(&[("doorward-backup.json", file, b"{"), ("doorward.db", file, b"x")]),
    ];
    // In the middle of a file, and where a reader takes the end of the file for the end of the archive.
    let mut reader = tar::Archive::new(good.as_slice());
    let heads = reader.entries().unwrap().map(|e| usize::try_from(e.unwrap().raw_header_position()).unwrap());
    let heads: Vec<usize> = heads.filter(|at| *at > 0).collect();
    assert!(heads.len() > 4);
    let cut = (1..8).map(|n| good.len() * n / 8).chain(heads).map(|at| good[..at].to_vec());
    let state = dir.path().join("state");
    for (n, bytes) in hostile.into_iter().chain(cut).enumerate() {
        let odd = dir.path().join("odd.tar");
        fs::write(&odd, bytes).unwrap();
        let (ok, text) = run(&["restore", "--state-dir", state.to_str().unwrap(), "--from", odd.to_str().unwrap()]);
        assert!(!ok && text.contains("doorward: "), "{n}: {text}");
        assert!(!state.exists() && !dir.path().join("state.restoring").exists(), "{n}: {text}");
        assert!(!dir.path().join("escaped").exists() && !Path::new("/tmp/escaped-doorward").exists());
    }
    let (ok, text) = run(&["backup", "--state-dir", dir.path().to_str().unwrap(), "--to", tar.to_str().unwrap()]);
    assert!(!ok && text.contains("is no state folder"), "{text}");
    assert_eq!(fs::read(&tar).unwrap(), good, "what was there before is not touched by one that fails");
}
