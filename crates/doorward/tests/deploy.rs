//! What is in `deploy/`, as far as it can be tried here: the image's contents run, the unit is understood, the chart is taken by a
//! real API server, and the configuration that it writes by the program.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]
mod common;
use common::DOORWARD;
use doorward_testkit::{Cluster, cache_dir};
use std::{fs, path::Path, process::Command};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");

fn ran(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {text}");
    text
}

#[test]
fn what_is_in_the_image_runs_as_nobody_with_a_read_only_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tried: it takes root to make a root of its own");
        return;
    }
    let text = ran(Command::new(format!("{DEPLOY}/image/check")).arg(DOORWARD));
    assert_eq!(text.matches("PASS image/").count(), 6, "{text}");
}

#[test]
fn the_unit_is_understood_and_leaves_little_open() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        eprintln!("not tried: there is no systemd-analyze");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("doorward.service");
    let text = fs::read_to_string(format!("{DEPLOY}/systemd/doorward.service")).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/doorward", DOORWARD)).unwrap();
    let said = ran(Command::new("systemd-analyze").arg("verify").arg(&unit));
    assert!(!said.contains("doorward.service"), "{said}");
    // Exposure, from 0 to 10, in tenths.
    ran(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20"]).arg(&unit));
}

#[test]
fn the_chart_is_taken_by_a_real_api_server_and_its_configuration_by_the_program() {
    let helm = cache_dir().join("kubernetes/helm");
    let chart = format!("{DEPLOY}/helm/doorward");
    ran(Command::new(&helm).args(["lint", "--strict", &chart]));
    let dir = tempfile::tempdir().unwrap();
    let config = "[[connections]]\nname = \"orders\"\nkind = \"postgres\"\nlisten = \"0.0.0.0:6432\"\nupstream = \"db:5432\"\n\
                  credential = { file = \"/secrets/orders/password\" }\n";
    fs::write(dir.path().join("config"), config).unwrap();
    let more = format!("config={}", dir.path().join("config").display());
    let render = |only: &[&str]| {
        let mut command = Command::new(&helm);
        command.args(["template", "gw", &chart, "--set-file", &more, "--set", "ports.orders=6432,envSecret=passwords"]);
        command.args(["--set", "networkPolicy.enabled=true,secretFiles={orders}"]).args(only);
        ran(&mut command)
    };
    let all = dir.path().join("all.yaml");
    fs::write(&all, render(&[])).unwrap();
    let cluster = Cluster::start().unwrap();
    let kubectl = cluster.kubectl().unwrap();
    let taken = kubectl.run(&["apply", "--dry-run=server", "--validate=strict", "-f", all.to_str().unwrap()]).unwrap();
    for object in
        ["statefulset.apps/gw-doorward", "service/gw-doorward", "configmap/gw-doorward-policies", "networkpolicy"]
    {
        assert!(taken.contains(object), "{object} in {taken}");
    }

    // What is in the ConfigMaps, where the pod has it.
    let shown = render(&["--show-only", "templates/config.yaml"]);
    let block = |name: &str| -> String {
        let rest = shown.split(&format!("  {name}: |\n")).nth(1).unwrap_or_else(|| panic!("{name} in {shown}"));
        rest.lines()
            .take_while(|l| l.is_empty() || l.starts_with("    "))
            .map(|l| format!("{}\n", l.trim_start_matches("    ")))
            .collect()
    };
    let here = dir.path().display().to_string();
    fs::create_dir_all(dir.path().join("etc/doorward/policies")).unwrap();
    fs::create_dir_all(dir.path().join("secrets/orders")).unwrap();
    fs::write(dir.path().join("secrets/orders/password"), "x").unwrap();
    fs::write(dir.path().join("etc/doorward/policies/doorward.cedar"), block("doorward.cedar")).unwrap();
    let text = block("doorward.toml")
        .replace("\"/etc/", &format!("\"{here}/etc/"))
        .replace("\"/secrets/", &format!("\"{here}/secrets/"));
    let file = dir.path().join("doorward.toml");
    fs::write(&file, text).unwrap();
    let said = ran(Command::new(DOORWARD).args(["check", "--config"]).arg(&file));
    assert!(said.contains("ok: 1 connections"), "{said}");
}
