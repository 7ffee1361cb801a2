//! SSH through the gateway, with OpenSSH's own client and server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::ssh::{Folder, SshWorld, text};
use doorward_testkit::OpenSsh;
use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

const POLICY: &str = include_str!("../../../policies/examples/ssh.cedar");

/// One world for the tests that change nothing of it.
fn shared() -> &'static SshWorld {
    static WORLD: OnceLock<SshWorld> = OnceLock::new();
    WORLD.get_or_init(|| {
        let sshd = OpenSsh::start().unwrap();
        // Interactive SFTP clients ask where they are and name files by whole paths from then on.
        let home = sshd.home().display();
        let whole = format!(
            "@id(\"home\")\npermit (principal in Group::\"agents\", action, resource in Connection::\"web\")\n\
             when {{ resource is File && (resource.path == \"{home}\" || resource.path like \"{home}/doorward-test-*\") }};\n"
        );
        SshWorld::over(sshd, &format!("{POLICY}{whole}"), true, None)
    })
}

#[test]
fn commands_run_with_their_output_and_status() {
    let w = shared();
    let out = w.run("echo hello; echo oops >&2; test -e nowhere");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "hello\n", "{}", text(&out));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "oops\n");
    assert_eq!(out.status.code(), Some(1));
    let mut child = w.client().ssh().unwrap().arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut stdin = child.stdin.take().unwrap();
    let input = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let mut back = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(back == sent, "{} bytes came back of {}", back.len(), sent.len());
}

#[test]
fn what_policy_does_not_allow_is_refused_with_126_and_the_reason() {
    let w = shared();
    for (command, why) in [
        ("curl http://example.com", "no policy allows run_program on Program `curl http://example.com`"),
        ("echo $(nc -l 1)", "run_program on Program `nc -l 1`"),
        ("x=nc; $x -l", "nc -l"),
        ("echo bmMK | base64 -d | sh", "refused"),
        ("cat /etc/shadow", "read_file on File `/etc/shadow`"),
        (
            "cat ~/.ssh/authorized_keys",
            "refused by policy `web-no-keys`: keys of this machine are not changed by agents",
        ),
        ("eval \"$CMD\"", "refused"),
        ("/tmp/ls", "run_program on Program"),
        ("busybox nc -l 1", "refused"),
        ("python3 -c 'import os'", "refused"),
        ("scp -t /etc", "refused"),
    ] {
        let out = w.run(command);
        let text = text(&out);
        assert_eq!(out.status.code(), Some(126), "{command}: {text}");
        assert!(text.contains("doorward: ") && text.contains(why), "{command}: {text}");
        assert!(out.stdout.is_empty(), "{command}: {text}");
    }
    assert!(w.doorward("", &["audit", "list", "--output", "json"]).1.contains("\"outcome\":\"refuse\""));
}

#[test]
fn a_card_number_is_masked_however_the_bytes_are_cut() {
    let w = shared();
    let Folder { path: folder, below } = &w.folder("cards");
    std::fs::write(folder.join("cards.txt"), "card 4111 1111 1111 1111 of bob\n").unwrap();
    for command in [
        format!("cat {below}/cards.txt"),
        format!("cat {below}/cards.txt >&2"),
        format!("for i in 1 2 3; do head -c 1$i {below}/cards.txt; tail -c +1$i {below}/cards.txt | tail -c +2; done"),
        "echo 4111; echo -n 411111; echo -n 11111; echo 11111".to_owned(),
    ] {
        let out = w.run(&command);
        let text = text(&out);
        assert!(!text.contains("1111 1111 1111") && !text.contains("4111111111111111"), "{command}: {text}");
    }
    let out = w.run(&format!("cat {below}/cards.txt"));
    assert!(text(&out).contains("of bob"), "{}", text(&out));
    // Files are not masked: they are shown whole or not at all.
    let target = format!("127.0.0.1:{below}/cards.txt");
    let local = tempfile::tempdir().unwrap();
    for flags in [vec![], vec!["-O"]] {
        let mut scp = w.client().program("scp").unwrap();
        let out = scp.args(&flags).arg(&target).arg(local.path().join("got")).output().unwrap();
        assert!(!out.status.success(), "{flags:?}: {}", text(&out));
        let got = std::fs::read(local.path().join("got")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&got).contains("1111"), "{flags:?}");
    }
}

#[test]
fn files_go_both_ways_by_every_road_and_only_where_they_may() {
    let w = shared();
    let Folder { path: folder, below } = &w.folder("files");
    let local = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..700_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(local.path().join("up"), &bytes).unwrap();
    for (name, flags) in [("sftp", vec![]), ("scp", vec!["-O"])] {
        let (there, back) = (format!("127.0.0.1:{below}/{name}"), local.path().join(name));
        let mut scp = w.client().program("scp").unwrap();
        let out = scp.args(&flags).arg(local.path().join("up")).arg(&there).output().unwrap();
        assert!(out.status.success(), "{name}: {}", text(&out));
        let mut scp = w.client().program("scp").unwrap();
        let out = scp.args(&flags).arg(&there).arg(&back).output().unwrap();
        assert!(out.status.success(), "{name}: {}", text(&out));
        assert!(std::fs::read(&back).unwrap() == bytes, "{name}");
        assert!(std::fs::read(folder.join(name)).unwrap() == bytes, "{name}");
        let mut scp = w.client().program("scp").unwrap();
        let out = scp.args(&flags).arg(local.path().join("up")).arg("127.0.0.1:/etc/evil").output().unwrap();
        assert!(!out.status.success() && text(&out).contains("/etc/evil"), "{name}: {}", text(&out));
        let mut scp = w.client().program("scp").unwrap();
        let out = scp.args(&flags).arg("127.0.0.1:/etc/passwd").arg(&back).output().unwrap();
        assert!(!out.status.success() && text(&out).contains("/etc/passwd"), "{name}: {}", text(&out));
    }
    assert!(!std::path::Path::new("/etc/evil").exists());
    let mut sftp = w.client().program("sftp").unwrap();
    let mut child =
        sftp.arg("127.0.0.1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let script = format!(
        "cd {below}\nls\nmkdir d\nrename sftp d/moved\n-get /etc/shadow\n-rm /etc/passwd\nrm d/moved\nrmdir d\nquit\n"
    );
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = text(&out);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("scp") && said.contains("remove_file on File `/etc/passwd`"), "{said}");
    assert!(!folder.join("d").exists() && !folder.join("sftp").exists());
}

#[test]
fn sudo_is_held_approved_by_another_and_resumed() {
    let w = shared();
    let mut child = w
        .client()
        .ssh()
        .unwrap()
        .arg("sudo id -u; echo after")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (agent, sre) = (w.agent(), w.issuer.token("sam", &["sre"], &[]));
    let id = pending(w, &sre);
    assert!(!w.doorward(&agent, &["approvals", "approve", &id]).0, "not by who asks");
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    // Others are not held up.
    assert!(w.run("echo hello").status.success());
    let (ok, said) = w.doorward(&sre, &["approvals", "approve", &id]);
    assert!(ok, "{said}");
    let out = child.wait_with_output().unwrap();
    let said = text(&out);
    assert!(said.contains("held for approval by sre") && said.contains("approved"), "{said}");
    assert!(said.contains("after\n") && out.status.success(), "{said}");
    // Denied.
    let child = w.client().ssh().unwrap().arg("sudo id").stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let id = pending(w, &sre);
    assert!(w.doorward(&sre, &["approvals", "deny", &id, "--comment", "no"]).0);
    let out = child.wait_with_output().unwrap();
    assert!(text(&out).contains("denied") && out.status.code() == Some(126), "{}", text(&out));
    // Withdrawn, when the caller goes.
    let mut child =
        w.client().ssh().unwrap().arg("sudo id").stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
    let id = pending(w, &sre);
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = || !w.doorward(&sre, &["approvals", "list"]).1.contains(&id);
    wait_until("the approval is withdrawn", gone);
    assert!(!w.doorward(&sre, &["approvals", "approve", &id]).0);
}

/// The approval that is waiting.
fn pending(w: &SshWorld, sre: &str) -> String {
    let mut found = String::new();
    wait_until("something is held", || {
        let (_, said) = w.doorward(sre, &["approvals", "list", "--output", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        found = all.first().map(|a| a["id"].as_str().unwrap().to_owned()).unwrap_or_default();
        !found.is_empty()
    });
    found
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn forwards_shells_agents_and_other_side_roads_are_refused() {
    let w = shared();
    let out = w.client().option("ForwardAgent=yes").ssh().unwrap().args(["-W", "127.0.0.1:1"]).output().unwrap();
    assert!(text(&out).contains("prohibited") && text(&out).contains("forward"), "{}", text(&out));
    let out = w.client().ssh().unwrap().arg("-tt").stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains("shell") && text(&out).contains("[126]"), "{}", text(&out));
    let out = w.client().ssh().unwrap().args(["-s", "netconf"]).stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains("refused") && !out.status.success(), "{}", text(&out));
    let mut ssh = w.client().option("ExitOnForwardFailure=yes").program("ssh").unwrap();
    let out = ssh.args(["-R", "0:127.0.0.1:1", "127.0.0.1", "echo", "no"]).output().unwrap();
    assert!(!out.status.success() && !text(&out).contains("no\n"), "{}", text(&out));
    let out = w.client().ssh().unwrap().args(["-tt", "scp -f cards; bash"]).stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains("[126]"), "{}", text(&out));
}

#[test]
fn who_is_not_known_does_not_come_in() {
    let w = shared();
    for token in ["", "x", &format!("{}x", w.agent())] {
        let out = w.client_as("anybody", token).ssh().unwrap().arg("echo no").stdin(Stdio::null()).output().unwrap();
        assert_eq!(out.status.code(), Some(255), "{}", text(&out));
        assert!(text(&out).contains("Permission denied"), "{}", text(&out));
    }
    let stranger = w.issuer.token("stranger", &["nobody"], &[]);
    let out = w.client_as("anybody", &stranger).ssh().unwrap().arg("echo no").stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains("doorward: connect refused"), "{}", text(&out));
    assert!(!String::from_utf8_lossy(&out.stdout).contains("no"));
}

#[test]
fn root_does_not_log_in_and_a_stranger_upstream_is_not_trusted() {
    // The caller's name is the user upstream, where none is configured.
    let may_become = "@id(\"become\")\npermit (principal, action == Action::\"assume\", resource is Role)\n\
                  when { resource.name == \"root\" || resource.name == \"USER\" };\n";
    let sshd = OpenSsh::start().unwrap();
    let policy = format!("{POLICY}{}", may_become.replace("USER", sshd.user()));
    let w = SshWorld::over(sshd, &policy, false, None);
    let out = w.client_as("daemon", &w.agent()).ssh().unwrap().arg("id").stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains("no policy allows assume on Role `daemon`"), "{}", text(&out));
    let out = w.client_as("root", &w.agent()).ssh().unwrap().arg("id").stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains("nobody logs in as root"), "{}", text(&out));
    let user = w.sshd.user().to_owned();
    let out = w.client_as(&user, &w.agent()).ssh().unwrap().arg("id").stdin(Stdio::null()).output().unwrap();
    assert!(text(&out).contains(&user), "{}", text(&out));
    let other = OpenSsh::start().unwrap();
    let w = SshWorld::over(OpenSsh::start().unwrap(), POLICY, true, Some(other.host_key()));
    let out = w.run("id");
    assert!(text(&out).contains("host key is not the one that is known"), "{}", text(&out));
    let (_, faults) = w.doorward("", &["audit", "list", "--output", "json", "--event", "fault"]);
    assert!(faults.contains("it shows SHA256:"), "{faults}");
}

#[test]
fn a_shell_is_recorded_and_replayed() {
    let w = shared();
    let token = w.issuer.token("olga", &["operators"], &[]);
    let mut ssh = w.client_as("anybody", &token).ssh().unwrap();
    let mut child = ssh.arg("-tt").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo $((40+2))4111; stty size; exit 7\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(7), "{}", text(&out));
    assert!(text(&out).contains("424111"), "{}", text(&out));
    let (ok, said) = w.doorward("", &["audit", "verify"]);
    assert!(ok, "{said}");
    // Other tests make sessions too: the one with the shell is looked for.
    let replay = |id: &str| w.doorward("", &["sessions", "replay", id, "--speed", "0"]).1;
    let mut id = String::new();
    wait_until("the recording is there", || {
        let (_, list) = w.doorward("", &["sessions", "list"]);
        let ids = list.lines().filter_map(|l| l.split_whitespace().next());
        id = ids.map(ToOwned::to_owned).find(|id| replay(id).contains("424111")).unwrap_or_default();
        !id.is_empty()
    });
    wait_until("it has its end", || w.doorward("", &["sessions", "show", &id]).1.contains("intact"));
    let (ok, cast) = w.doorward("", &["sessions", "export", &id, "--format", "asciicast"]);
    let mut lines = cast.lines();
    let head: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert!(ok && head["version"] == 3, "{cast}");
    assert!(
        cast.contains("\"o\"")
            && cast.contains("424111")
            && cast.contains("\"x\", \"7\"") | cast.contains("\"x\",\"7\""),
        "{cast}"
    );
}

#[test]
fn a_changed_policy_and_a_killed_session_reach_live_sessions() {
    let w = SshWorld::start(POLICY, true);
    let token = w.agent();
    let start = |command: &str| {
        let mut ssh = w.client_as("anybody", &token).ssh().unwrap();
        ssh.arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start("cat");
    let _open = child.stdin.take();
    let sre = w.issuer.token("sam", &["sre"], &[]);
    let mut id = String::new();
    wait_until("the session is live", || {
        let (_, said) = w.doorward(&sre, &["sessions", "list", "--live"]);
        id = said.split_whitespace().next().unwrap_or_default().to_owned();
        said.contains("ci-bot")
    });
    let (ok, said) = w.doorward(&sre, &["sessions", "kill", &id]);
    assert!(ok, "{said}");
    let out = child.wait_with_output().unwrap();
    assert!(!out.status.success(), "{}", text(&out));
    let mut child = start("cat");
    let _open = child.stdin.take();
    wait_until("the session is live", || w.doorward(&sre, &["sessions", "list", "--live"]).1.contains("ci-bot"));
    let changed = POLICY
        .replace("resource == Connection::\"web\");\n\n// Some", "resource == Connection::\"other\");\n\n// Some");
    assert_ne!(changed, POLICY);
    std::fs::write(w.gateway.directory().join("policy.cedar"), changed).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(text(&out).contains("doorward: "), "{}", text(&out));
}

/// Policies that are added while programs run, and what becomes of these.
#[test]
fn what_runs_is_judged_by_the_policy_of_the_moment() {
    const FIRST: &str = "@id(\"forwards\") permit (principal, action == Action::\"forward\", resource);\n\
        @id(\"look\") @approvers(\"sre\") forbid (principal, action == Action::\"run_program\", resource)\n\
        when { resource.name == \"wc\" } unless { context.approved };\n";
    let w = SshWorld::start(&format!("{POLICY}{FIRST}"), true);
    let start = |args: &[&str]| {
        let mut ssh = w.client().ssh().unwrap();
        ssh.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let target = w.sshd.address().to_string();
    let mut approved = start(&["wc"]);
    let sre = w.issuer.token("sam", &["sre"], &[]);
    let id = pending(&w, &sre);
    assert!(w.doorward(&sre, &["approvals", "approve", &id]).0);
    let (mut plain, mut forbidden, mut forward) = (start(&["cat"]), start(&["tail", "-f"]), start(&["-W", &target]));
    let _open = [plain.stdin.take(), forbidden.stdin.take(), forward.stdin.take()];
    let started = |e: &serde_json::Value| e["outcome"] == "forward" && (e["via"] == "exec" || e["via"] == "channel");
    let running = || w.audit("request").iter().filter(|e| started(e)).count();
    wait_until("all four run", || running() == 4);

    std::fs::write(
        w.gateway.directory().join("policy.cedar"),
        format!(
            "{POLICY}{}@id(\"no-tail\") @reason(\"no more tails\") forbid (principal, action == Action::\"run_program\", \
             resource) when {{ resource.name == \"tail\" }};\n@id(\"look-at-cats\") @approvers(\"sre\") forbid (principal, \
             action == Action::\"run_program\", resource) when {{ resource.name == \"cat\" }} unless {{ context.approved }};\n",
            FIRST.replace("permit (principal", "forbid (principal")
        ),
    )
    .unwrap();
    let changed = Instant::now();
    let out = forbidden.wait_with_output().unwrap();
    assert!(text(&out).contains("refused by policy `no-tail`: no more tails"), "{}", text(&out));
    assert_eq!(out.status.code(), Some(126));
    let out = plain.wait_with_output().unwrap();
    assert!(text(&out).contains("needs an approval now, by policy `look-at-cats`"), "{}", text(&out));
    let out = forward.wait_with_output().unwrap();
    assert!(text(&out).starts_with("SSH-2.0-"), "it was open: {}", text(&out));
    assert!(changed.elapsed() < Duration::from_secs(30), "{:?}", changed.elapsed());
    assert_eq!(w.audit("fault").iter().filter(|e| e["what"].as_str().unwrap().starts_with("ended: ")).count(), 3);
    // Nothing of the new policies speaks against what was approved.
    std::thread::sleep(Duration::from_millis(1200));
    assert!(approved.try_wait().unwrap().is_none());
    approved.stdin.take().unwrap().write_all(b"one two\n").unwrap();
    assert!(text(&approved.wait_with_output().unwrap()).contains("1       2       8"));
}

#[test]
fn many_at_once_and_git_and_rsync() {
    let w = shared();
    let children: Vec<_> = (0..8)
        .map(|i| {
            let mut ssh = w.client().ssh().unwrap();
            ssh.arg(format!("echo {i}"))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (i, child) in children.into_iter().enumerate() {
        let out = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), i.to_string(), "{}", text(&out));
    }
    let Folder { below, .. } = &w.folder("rsync");
    let local = tempfile::tempdir().unwrap();
    std::fs::write(local.path().join("a"), "some text").unwrap();
    let ssh = w.client().ssh().unwrap();
    let words: Vec<String> = std::iter::once(ssh.get_program())
        .chain(ssh.get_args())
        .map(|a| format!("'{}'", a.to_string_lossy()))
        .filter(|a| a != "'127.0.0.1'")
        .collect();
    let mut rsync = Command::new("rsync");
    for (name, value) in ssh.get_envs() {
        if let Some(value) = value {
            rsync.env(name, value);
        }
    }
    let out = rsync
        .args(["-a", "-e", &words.join(" ")])
        .arg(local.path().join("a"))
        .arg(format!("127.0.0.1:{below}/"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out));
}
