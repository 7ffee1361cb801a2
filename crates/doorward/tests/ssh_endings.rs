//! How channels begin and end, where OpenSSH's own regression scripts found a difference.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::ssh::{SshWorld, text};
use doorward_testkit::{OpenSsh, SshClient, free_port};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

const POLICY: &str = include_str!("../../../policies/examples/ssh.cedar");
const MORE: &str = "@id(\"more\") permit (principal, action == Action::\"run_program\", resource)\n\
    when { [\"sleep\", \"exit\"].contains(resource.name) };\n\
    @id(\"back\") permit (principal, action in [Action::\"forward_remote\", Action::\"forward\"], resource);\n";

fn world() -> SshWorld {
    SshWorld::start(&format!("{POLICY}{MORE}"), true)
}

/// A connection that others share; it ends as this is dropped.
struct Master(Child);

impl Master {
    fn start(client: &SshClient, socket: &Path, more: &[&str]) -> Self {
        let mut ssh = client.program("ssh").unwrap();
        ssh.args(["-N", "-M", "-S"]).arg(socket).args(more).arg("127.0.0.1");
        let child = ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            assert!(Instant::now() < end, "no master");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn shared(client: &SshClient, socket: &Path, command: &str) -> Output {
    let mut ssh = client.program("ssh").unwrap();
    ssh.arg("-S").arg(socket).args(["127.0.0.1", command]).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn an_exit_status_comes_also_when_the_caller_has_closed_the_channel() {
    let (w, folder) = (world(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("m");
    let client = w.client();
    let _master = Master::start(&client, &socket, &[]);
    for command in ["sleep 0.3; exec >/dev/null 2>&1; sleep 1; exit 5", "exit 5"] {
        let out = shared(&client, &socket, command);
        assert_eq!(out.status.code(), Some(5), "{command}: {}", text(&out));
    }
}

#[test]
fn a_program_whose_output_nobody_reads_is_told() {
    let w = world();
    let mut ssh = w.client().ssh().unwrap();
    let mut child = ssh.arg("cat /dev/zero").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 5];
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut some).unwrap();
    drop(output);
    let end = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it goes on for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_remote_forward_takes_the_first_connection() {
    let (w, folder) = (world(), tempfile::tempdir().unwrap());
    for round in 0..8 {
        let port = free_port().unwrap();
        let socket = folder.path().join(round.to_string());
        let back = format!("127.0.0.1:{port}:{}", w.sshd.address());
        let client = w.client();
        let _master = Master::start(&client, &socket, &["-R", &back]);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let end = Instant::now() + Duration::from_secs(10);
        let mut stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(e) => assert!(Instant::now() < end, "{e}"),
            }
        };
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-", "round {round}");
    }
}

/// What the far end has sent before it shuts down arrives whole, whether the caller has shut down his side or not.
#[test]
fn a_forward_carries_all_that_was_sent() {
    let (w, folder) = (world(), tempfile::tempdir().unwrap());
    let client = w.client();
    for (round, shuts) in [(0, false), (1, true), (2, false), (3, true)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let far = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&vec![b'x'; 485_760]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            let _reset = stream.read_to_end(&mut rest);
        });
        let port = free_port().unwrap();
        let socket = folder.path().join(round.to_string());
        let _master = Master::start(&client, &socket, &["-L", &format!("127.0.0.1:{port}:{far}")]);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        if shuts {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 485_760, "round {round}");
        drop(stream);
        server.join().unwrap();
    }
}

#[test]
fn a_target_that_opens_no_more_sessions_is_told_of() {
    let sshd = OpenSsh::options().config("MaxSessions 1").start().unwrap();
    let (w, folder) = (SshWorld::over(sshd, &format!("{POLICY}{MORE}"), true, None), tempfile::tempdir().unwrap());
    let socket = folder.path().join("m");
    let client = w.client();
    let _master = Master::start(&client, &socket, &[]);
    let mut ssh = client.program("ssh").unwrap();
    ssh.arg("-S").arg(&socket).args(["127.0.0.1", "cat"]);
    let mut first = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Its session is there once it has said something back.
    first.stdin.as_mut().unwrap().write_all(b"x\n").unwrap();
    first.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    let out = shared(&client, &socket, "echo second");
    assert!(text(&out).contains("doorward: the target opens no more sessions"), "{}", text(&out));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    // The target may take a moment to see that the first one is over.
    let end = Instant::now() + Duration::from_secs(10);
    let mut said = text(&shared(&client, &socket, "echo third"));
    while said.contains("opens no more sessions") && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        said = text(&shared(&client, &socket, "echo third"));
    }
    assert_eq!(said, "third\n[0]");
}

#[test]
fn a_name_that_servers_cut_is_not_logged_in_with() {
    let w = SshWorld::start(
        "@id(\"all\") permit (principal, action, resource);\n@id(\"no-root\") forbid (principal, action, resource) when { context.as_root };",
        false,
    );
    for user in ["root:x", "root/x", "root:"] {
        let out = w.client_as(user, &w.agent()).ssh().unwrap().arg("id").stdin(Stdio::null()).output().unwrap();
        assert!(
            !out.status.success() && text(&out).contains("the user name is not a plain one"),
            "{user}: {}",
            text(&out)
        );
    }
}

/// What may be seen until a time is hidden from then on, also in output that began before it.
#[test]
fn output_that_goes_on_is_masked_when_the_time_hides_something() {
    let last = std::time::SystemTime::now() + Duration::from_secs(15);
    let end = jiff::Timestamp::try_from(last).unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let late = format!(
        "@id(\"late\") forbid (principal, action == Action::\"reveal\", resource) \
         when {{ context.now >= datetime(\"{end}\") }};\n"
    );
    let w = SshWorld::start(&format!("{POLICY}{MORE}{late}"), true);
    let left = last.duration_since(std::time::SystemTime::now()).expect("the gateway took too long to start").as_secs();
    let said = text(&w.run(&format!("echo a@example.com; sleep {}; echo b@example.com", left + 2)));
    assert!(said.contains("a@example.com") && !said.contains("b@example.com") && said.contains("[email]"), "{said}");
}
