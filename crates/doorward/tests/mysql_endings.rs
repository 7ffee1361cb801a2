//! A gateway before MySQL that is killed, and one whose disk is full.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod common;
use common::mysql::MySqlWorld;
use doorward_testkit::{MySql, MySqlRelease};
use std::{
    io::Write as _,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource in Connection::"orders");
@id("see") permit (principal in Group::"agents", action == Action::"reveal", resource);
"#;

fn world() -> (MySqlWorld, String) {
    let server = MySql::options().release(MySqlRelease::DebianMariaDb).database("public").start().unwrap();
    server.exec("create table things (id int primary key, text mediumtext)").unwrap();
    let world = MySqlWorld::over(server, POLICY, "tls = \"disable\"");
    let agent = world.token("ci-bot", &["agents"], &[]);
    (world, agent)
}

fn rows(w: &MySqlWorld) -> u64 {
    w.server.query("select count(*) from things").unwrap().trim().parse().unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_gateway_has_lost_no_request_that_reached_the_server() {
    let (mut w, agent) = world();
    for round in 0..2 {
        let mut client = w.client(&agent);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = thread::spawn(move || {
            for i in 0..20_000 {
                if writeln!(input, "insert into things values ({}, 'r');", round * 100_000 + i).is_err() {
                    return;
                }
            }
        });
        let before = rows(&w);
        wait_for("twenty rows", || rows(&w) >= before + 20);
        w.gateway.kill9().unwrap();
        child.wait().unwrap();
        writer.join().unwrap();
        thread::sleep(Duration::from_millis(200));
        w.gateway.restart().unwrap();
        let reached = rows(&w);
        let (ok, log) = w.doorward("", &["audit", "list", "--event", "request", "--output", "json"]);
        assert!(ok, "{log}");
        let written = u64::try_from(log.to_lowercase().matches("\"statement\":\"insert into").count()).unwrap();
        assert!(written >= reached, "{written} of {reached} are in the audit log");
    }
    let (ok, text) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{text}");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    if !common::is_root() {
        println!("skipped: mounting a small file system needs root");
        return;
    }
    let (mut w, agent) = world();
    w.gateway.stop().unwrap();
    let disk = common::SmallDisk::mount(&w.gateway.directory().join("state"));
    w.gateway.restart().unwrap();
    let heard = tempfile::tempdir().unwrap();
    let (shown, told) = (heard.path().join("out"), heard.path().join("err"));
    let mut client = w.client(&agent);
    client.arg("--unbuffered").stdin(Stdio::piped());
    client.stdout(std::fs::File::create(&shown).unwrap()).stderr(std::fs::File::create(&told).unwrap());
    let mut child = client.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap();
    input.write_all(b"select 'before';\n").unwrap();
    wait_for("the first answer", || read(&shown).contains("before"));
    let filler = disk.fill();
    // What was set aside in advance is used up first; then requests are refused.
    let stop = Arc::new(AtomicBool::new(false));
    let told_to_stop = Arc::clone(&stop);
    let flood = thread::spawn(move || {
        let long = "y".repeat(20_000);
        while !told_to_stop.load(Ordering::Relaxed) {
            input.write_all(format!("select length('{long}');\n").as_bytes()).unwrap();
        }
        input
    });
    wait_for("a refusal", || read(&told).contains("ERROR"));
    stop.store(true, Ordering::Relaxed);
    let mut input = flood.join().unwrap();
    std::fs::remove_file(&filler).unwrap();
    // Once the gateway has noticed: its disk is looked at now and then.
    wait_for("an answer", || {
        input.write_all(b"select 'after';\n").unwrap();
        thread::sleep(Duration::from_millis(200));
        read(&shown).contains("after")
    });
    drop(input);
    child.wait().unwrap();
    assert!(read(&shown).contains("after"), "{}", read(&told).lines().take(5).collect::<String>());
    let told = read(&told);
    assert!(told.contains("cannot be written") || told.contains("disk full"), "{told}");
}

/// Who does not wait asks again: also a gateway that was killed meanwhile, and people are not asked twice.
#[test]
fn what_people_were_asked_is_still_asked_after_a_kill_and_passes_once() {
    let server = MySql::options().release(MySqlRelease::DebianMariaDb).database("public").start().unwrap();
    server.exec("create table things (id int primary key, text mediumtext)").unwrap();
    let policy = format!(
        "{POLICY}\n@id(\"decide\") permit (principal in Group::\"dba\", action == Action::\"decide_approval\", resource);\n\
         @id(\"ask\") @approvers(\"dba\") forbid (principal, action == Action::\"insert\", resource) unless {{ context.approved }};"
    );
    let mut w = MySqlWorld::over(server, &policy, "tls = \"disable\"\nheld = \"retry\"");
    let (agent, dana) = (w.token("ci-bot", &["agents"], &[]), w.token("dana", &["dba"], &[]));
    let sql = "insert into things values (1, 'x')";
    let said = w.run(&agent, sql);
    assert!(said.contains("approval"), "{said}");
    let pending = |w: &MySqlWorld| {
        let (ok, text) = w.doorward(&dana, &["approvals", "list", "--output", "json"]);
        assert!(ok, "{text}");
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        all.as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = pending(&w);
    assert_eq!(before.len(), 1);
    w.gateway.kill9().unwrap();
    w.gateway.restart().unwrap();
    assert_eq!(pending(&w), before);
    let said = w.run(&agent, sql);
    assert!(said.contains(&before[0]), "the same approval: {said}");
    assert_eq!(pending(&w), before, "nobody is asked twice");
    let (ok, text) = w.doorward(&dana, &["approvals", "approve", &before[0]]);
    assert!(ok, "{text}");
    let said = w.run(&agent, sql);
    assert_eq!(rows(&w), 1, "{said}");
    assert!(w.run(&agent, "insert into things values (2, 'y')").contains("approval"), "an approval is for one thing");
    let said = w.run(&agent, sql);
    assert!(said.contains("approval") && !said.contains(&before[0]), "and passes once: {said}");
}
