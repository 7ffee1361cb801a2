//! The command line from a laptop: what happened is read through the API, with nothing of the gateway's folder.
#![allow(clippy::unwrap_used, reason = "tests")]
mod common;
use common::{DOORWARD, World};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource in Connection::"orders");
@id("no-drop") forbid (principal, action == Action::"drop", resource);
@id("see") permit (principal in Group::"seers", action in Action::"administer", resource);
"#;

struct Laptop {
    folder: tempfile::TempDir,
    url: String,
    token: String,
}

impl Laptop {
    fn run(&self, args: &[&str]) -> (bool, String) {
        let out = Command::new(DOORWARD)
            .args(args)
            .current_dir(self.folder.path())
            .env_remove("DOORWARD_STATE_DIR")
            .env("DOORWARD_URL", &self.url)
            .env("DOORWARD_TOKEN", &self.token)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.success(), text)
    }

    fn said(&self, args: &[&str]) -> String {
        let (ok, said) = self.run(args);
        assert!(ok, "{args:?}: {said}");
        said
    }
}

#[test]
fn sessions_audit_keys_and_exports_are_read_through_the_api() {
    let w = World::with(POLICY, "");
    w.postgres.exec("create table public.secret_plans(id int)").unwrap();
    let agent = w.token("ci-bot", &["agents"], &[]);
    w.psql(&agent, &["-c", "select 1"]);
    w.psql(&agent, &["-c", "drop table secret_plans"]);
    let laptop = Laptop {
        folder: tempfile::tempdir().unwrap(),
        url: format!("http://127.0.0.1:{}", w.api),
        token: w.token("kim", &["seers"], &[]),
    };
    let begun = Instant::now();
    let found = loop {
        let found = laptop.said(&["sessions", "list", "--table", "secret_plans", "--outcome", "refuse"]);
        let ended = found.contains("1 refused") && !found.contains("open");
        if ended || begun.elapsed() > Duration::from_secs(60) {
            break found;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(found.contains("dev/ci-bot") && found.contains("1 refused"), "{found}");
    assert_eq!(laptop.said(&["sessions", "list"]).lines().count(), 2);
    assert_eq!(laptop.said(&["sessions", "list", "--live"]), "");
    let id = found.split_whitespace().next().unwrap();
    let (intact, shown) = laptop.run(&["sessions", "show", id]);
    assert!(intact && shown.contains("recording   intact"), "{shown}");
    let played = laptop.said(&["sessions", "replay", id, "--speed", "0"]);
    assert!(played.contains("> drop table secret_plans") && played.contains("< ERROR"), "{played}");
    let exported = laptop.said(&["sessions", "export", id]);
    assert!(exported.starts_with("{\"recording\":") && exported.lines().count() > 3, "{exported}");

    let refused = laptop.said(&["audit", "list", "--event", "request", "--session", id]);
    let last = refused.lines().last().unwrap();
    assert!(last.contains("outcome=refuse") && last.contains("drop table secret_plans"), "oldest first: {refused}");
    assert_eq!(laptop.said(&["audit", "list", "--event", "request", "-n", "1"]).trim_end(), last);
    let whole = laptop.said(&["audit", "export"]);
    assert!(whole.lines().count() > 8 && whole.lines().all(|l| l.starts_with("{\"seq\":")), "{whole}");
    let verified = laptop.said(&["audit", "verify"]);
    assert!(verified.starts_with("intact: ") || verified.contains("\nintact: "), "{verified}");
    assert_eq!(laptop.said(&["exports", "list"]), "");

    let made = laptop.said(&["keys", "create", "nightly", "--action", "view_sessions", "--output", "json"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let (secret, key) = (made["secret"].as_str().unwrap().to_owned(), made["key"]["id"].as_str().unwrap());
    let robot = Laptop { folder: tempfile::tempdir().unwrap(), url: laptop.url.clone(), token: secret };
    assert_eq!(robot.said(&["sessions", "list"]).lines().count(), 2);
    let (ok, said) = robot.run(&["audit", "list"]);
    assert!(!ok && said.contains("not in the scope"), "{said}");
    assert!(laptop.said(&["keys", "list"]).contains("nightly"));
    laptop.said(&["keys", "revoke", key]);
    assert!(!robot.run(&["sessions", "list"]).0);
    // A folder that is named wins.
    let here = laptop.run(&["audit", "list", "--state-dir", w.state().to_str().unwrap(), "-n", "1"]);
    assert!(here.0 && here.1.lines().count() == 1, "{here:?}");
}

/// A gateway that stops in the middle: nobody takes a part for the whole.
#[test]
fn an_export_that_broke_off_is_said_to_be_no_whole_one() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let laptop = Laptop {
        folder: tempfile::tempdir().unwrap(),
        url: format!("http://{}", listener.local_addr().unwrap()),
        token: "any".into(),
    };
    let gateway = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                tcp.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{\"a\":1\r\n").unwrap();
        }
    });
    let session = "01700000-0000-7000-8000-000000000000";
    for args in [vec!["audit", "export", "-f", "part"], vec!["sessions", "export", session, "-f", "part"]] {
        let (ok, said) = laptop.run(&args);
        assert!(!ok && said.contains("broke off") && said.contains("part is not whole"), "{args:?}: {said}");
    }
    gateway.join().unwrap();
}
