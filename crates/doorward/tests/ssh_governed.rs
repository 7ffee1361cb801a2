//! The governed shell: each line is decided, and one shell runs them all. OpenSSH's client at a terminal, a real sshd.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::ssh::{Folder, SshWorld, text};
use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

const POLICY: &str = include_str!("../../../policies/examples/ssh.cedar");
const GOVERNED: &str = "@id(\"lines\") permit (principal in Group::\"agents\", action == Action::\"governed_shell\", resource);\n\
    @id(\"sleep\") permit (principal, action == Action::\"run_program\", resource) when { resource.name == \"sleep\" };\n";

/// A person at a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn open(w: &SshWorld) -> Self {
        let mut ssh = w.client().program("ssh").unwrap();
        ssh.arg("-tt").arg("127.0.0.1");
        let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, shown) = mpsc::channel();
        for mut from in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n) = from.read(&mut buffer) {
                    if n == 0 || tell.send(buffer.get(..n).unwrap().to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        let keys = child.stdin.take().unwrap();
        Self { child, keys, shown, seen: String::new() }
    }

    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until something shows, and forgets what came before it.
    fn until(&mut self, wanted: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(wanted) {
                let rest = self.seen.split_off(at + wanted.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = end.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.shown.recv_timeout(left) else {
                panic!("waited in vain for {wanted:?}, saw {:?}", self.seen)
            };
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Types a line and waits for the next prompt.
    fn line(&mut self, line: &str) -> String {
        self.keys(&format!("{line}\r"));
        self.until("\r\n");
        let shown = self.until("$ \x1b[K");
        shown.rsplit_once("\rweb:").map_or(shown.clone(), |(shown, _)| shown.to_owned())
    }

    fn end(mut self) -> Option<i32> {
        drop(self.keys);
        for _ in 0..200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().unwrap();
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_secs(1)) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        panic!("it does not end: {:?}", self.seen)
    }
}

fn world() -> SshWorld {
    SshWorld::start(&format!("{POLICY}{GOVERNED}"), true)
}

fn pending(w: &SshWorld, sre: &str) -> String {
    for _ in 0..200 {
        let (_, said) = w.doorward(sre, &["approvals", "list", "--output", "json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        if let Some(first) = all.first() {
            return first["id"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing is held")
}

#[test]
fn tab_completes_names_that_policy_lets_the_caller_list() {
    let w = world();
    let Folder { path, below } = &w.folder("tab");
    for name in ["notes.txt", "notes.old", "some file"] {
        std::fs::write(path.join(name), "x\n").unwrap();
    }
    std::fs::create_dir(path.join("deep")).unwrap();
    std::fs::write(path.join("deep/4111 1111 1111 1111"), "x\n").unwrap();
    let mut t = Terminal::open(&w);
    t.until("web:~$ ");
    t.line(&format!("cd {below}"));
    t.keys("cat no\t");
    t.until("cat notes.");
    t.keys("\t");
    t.until("notes.old  notes.txt");
    t.keys("t\t");
    t.until("cat notes.txt ");
    assert_eq!(t.line(""), "x\r\n");
    t.keys("cat so\t");
    t.until("cat some\\ file ");
    assert_eq!(t.line(""), "x\r\n");
    // Into a directory; masked as what `ls` prints.
    t.keys("cat de\t\t");
    t.until("cat deep/");
    let shown = t.line("\x15echo done");
    assert!(!shown.contains("1111 1111"), "{shown}");
    // What may not be listed, and what cannot be read off the line, rings the bell.
    for line in ["cat ~/.ssh/\t", "cat \"no\t", "cat nothing\t"] {
        t.keys(line);
        t.until("\x07");
        t.keys("\x15");
    }
    let shown = t.line("echo alive");
    assert!(shown.ends_with("alive\r\n"), "{shown}");
    let decided = w.audit("request");
    let refused = |e: &serde_json::Value| e["via"] == "completion" && e["outcome"] == "refuse";
    assert!(decided.iter().any(|e| refused(e) && e.to_string().contains(".ssh")), "{decided:?}");
    assert_eq!(t.end(), Some(0));
}

#[test]
fn one_shell_runs_the_lines_that_are_allowed_and_no_others() {
    let w = world();
    let Folder { path, below } = &w.folder("governed");
    std::fs::write(path.join("cards.txt"), "card 4111 1111 1111 1111\n").unwrap();
    let mut t = Terminal::open(&w);
    t.until("web:~$ ");
    assert_eq!(t.line("echo hello"), "hello\r\n");
    // Directory and variables stay.
    t.line(&format!("cd {below}; x=5"));
    let shown = t.line("echo $x; pwd | tail -c 12");
    assert!(shown.starts_with("5\r\n"), "{shown}");
    assert!(t.line("cat cards.txt").contains("************1111") || t.line("cat cards.txt").contains("[credit_card]"));
    // What is refused changes nothing, wherever it is.
    let shown = t.line("curl example.com");
    assert!(shown.contains("no policy allows run_program on Program `curl example.com`"), "{shown:?}");
    t.line("cd /etc");
    assert!(t.line("cat shadow").contains("read_file on File `/etc/shadow`"), "read where the shell is");
    t.line("cd");
    for bad in [
        "ls() { curl x; }",
        "alias ls=curl",
        "eval \"$y\"",
        "$y",
        "PATH=/tmp",
        "bash",
        ". ./file",
        "cat x | sh",
        "ls ) (",
        "trap 'curl x' EXIT",
    ] {
        let shown = t.line(bad);
        assert!(shown.contains("doorward: "), "{bad}: {shown}");
    }
    // Lines that go on, and output without an end.
    t.keys("for i in 1 2; do\r");
    t.until("> ");
    t.keys("echo n$i\rdone\r");
    t.until("n1\r\nn2\r\n");
    t.until("$ ");
    t.keys("echo -n abc\r");
    t.until("abc\r\n\rweb:~$ ");
    // Lines in one piece run one after the other.
    t.keys("echo one\recho two\r");
    t.until("one\r\n");
    t.until("two\r\n");
    t.until("$ ");
    t.keys("exit 3\r");
    assert_eq!(t.end(), Some(3));
    let lines: Vec<_> = w.audit("request").into_iter().filter(|e| e["via"] == "line").collect();
    let of = |outcome: &str| lines.iter().filter(|e| e["outcome"] == outcome).count();
    assert!(of("forward") >= 10 && of("refuse") >= 11, "{} {}", of("forward"), of("refuse"));
}

#[test]
fn what_is_typed_while_a_program_runs_is_never_a_command() {
    let w = world();
    let Folder { path, below } = &w.folder("ahead");
    let mut t = Terminal::open(&w);
    t.until("web:~$ ");
    t.line(&format!("cd {below}"));
    t.keys("sleep 5\r");
    t.until("\r\n");
    std::thread::sleep(Duration::from_millis(300));
    t.keys("echo injected > evil\r");
    t.until("$ \x1b[K");
    assert_eq!(t.line("echo next"), "next\r\n");
    assert!(!path.join("evil").exists());
    // It went to whoever reads the terminal.
    t.keys("cat\r");
    t.until("echo injected > evil\r\n");
    t.keys("more\r");
    t.until("more\r\nmore\r\n");
    t.keys("\x04");
    t.until("$ ");
    // Ctrl-C ends programs and the shell's own loops, and the shell lives on.
    for endless in ["sleep 100", "while :; do :; done"] {
        t.keys(&format!("{endless}\r"));
        std::thread::sleep(Duration::from_millis(400));
        t.keys("\x03");
        t.until("^C");
        t.until("$ ");
    }
    t.keys("sleep 100\r");
    std::thread::sleep(Duration::from_millis(400));
    t.keys("\x1a");
    t.until("Stopped");
    t.until("$ ");
    assert!(t.line("jobs").contains("sleep 100"));
    assert!(t.line("kill %1").contains("doorward: "), "nobody has allowed kill");
    t.keys("half a line\x03");
    t.until("$ ");
    t.keys("\x04");
    t.until("stopped jobs");
    t.until("$ ");
    t.keys("\x04");
    assert!(t.end().is_some());
}

#[test]
fn a_line_waits_for_people_and_a_changed_policy_ends_it() {
    let w = world();
    let sre = w.issuer.token("sam", &["sre"], &[]);
    let mut t = Terminal::open(&w);
    t.until("web:~$ ");
    t.keys("sudo id -u; echo after\r");
    let id = pending(&w, &sre);
    t.until("held for approval by sre");
    assert!(w.doorward(&sre, &["approvals", "approve", &id]).0);
    t.until("after\r\n");
    t.until("$ ");
    t.keys("sudo id\r");
    let id = pending(&w, &sre);
    t.keys("\x03");
    t.until("$ ");
    assert!(!w.doorward(&sre, &["approvals", "approve", &id]).0, "Ctrl-C withdraws it");
    t.keys("cat\r");
    std::thread::sleep(Duration::from_millis(500));
    let forbidden = "@id(\"no-cats\") @reason(\"no cats\") forbid (principal, action == Action::\"run_program\", resource)\n\
        when { resource.name == \"cat\" };\n";
    std::fs::write(w.gateway.directory().join("policy.cedar"), format!("{POLICY}{GOVERNED}{forbidden}")).unwrap();
    t.until("refused by policy `no-cats`: no cats");
    assert_eq!(t.end(), Some(126));
}

#[test]
fn it_needs_a_terminal_and_leaves_at_the_end_of_input() {
    let w = world();
    let mut ssh = w.client().ssh().unwrap();
    let out = ssh.stdin(Stdio::null()).output().unwrap();
    assert!(
        text(&out).contains("a governed shell needs a terminal") && out.status.code() == Some(126),
        "{}",
        text(&out)
    );
    let mut t = Terminal::open(&w);
    t.keys("echo first\recho second\r");
    assert_eq!(t.end(), Some(0));
}

#[test]
fn jobs_end_with_the_shell() {
    let w = world();
    let alive =
        |n: &str| std::process::Command::new("pgrep").args(["-f", &format!("^sleep {n}")]).status().unwrap().success();
    for (n, leave) in [("3017.1", "exit\r"), ("3017.2", "\x04\x04"), ("3017.3", "")] {
        let mut t = Terminal::open(&w);
        t.until("web:~$ ");
        t.line(&format!("sleep {n} &"));
        assert!(alive(n));
        t.keys(leave);
        t.child.kill().unwrap();
        t.child.wait().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while alive(n) {
            assert!(Instant::now() < end, "{leave:?}: the job lives on");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
