//! A restart under a service manager that keeps the sockets: who comes meanwhile waits, and nobody is refused. The manager is
//! a small one of the test's own, which speaks sd_notify(3) and sd_listen_fds(3); where there is `systemd-socket-activate`,
//! that of systemd, too.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod common;

use common::{DOORWARD, World};
use doorward_testkit::{free_port, wait_for_port};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Sockets that one test hands to its child are not for the children of the other.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// What a service manager knows of the service.
struct Manager {
    socket: UnixDatagram,
    kept: BTreeMap<String, OwnedFd>,
    said: Vec<String>,
}

impl Manager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, kept: BTreeMap::new(), said: Vec::new() }
    }

    /// Hears what the service says until it has said this.
    fn hears(&mut self, wanted: &str) {
        loop {
            let mut text = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [IoSliceMut::new(&mut text)];
            let got = recvmsg(&self.socket, into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
            let text = String::from_utf8_lossy(text.get(..got.bytes).unwrap()).into_owned();
            let name = || text.lines().find_map(|l| l.strip_prefix("FDNAME=")).unwrap().to_owned();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    self.kept.extend(files.map(|file| (name(), file)));
                }
            }
            if text.contains("FDSTOREREMOVE=1") {
                self.kept.remove(&name());
            }
            let is_it = text.contains(wanted);
            self.said.push(text);
            if is_it {
                return;
            }
        }
    }

    /// Starts the service with the sockets that it has given to be kept.
    fn start(&self, directory: &Path, notify: &Path) -> Child {
        let mut moves = String::new();
        for (n, file) in self.kept.values().enumerate() {
            // The child has to have it; it closes what has another number.
            fcntl_setfd(file, FdFlags::empty()).unwrap();
            let had = file.as_raw_fd();
            moves += &format!("exec {}<&{had}; exec {had}<&-; ", 100 + n);
        }
        for n in 0..self.kept.len() {
            moves += &format!("exec {}<&{}; exec {}<&-; ", 3 + n, 100 + n, 100 + n);
        }
        let script = format!(
            "{moves} export LISTEN_PID=$$ LISTEN_FDS={}; exec \"$0\" serve --config doorward.toml",
            self.kept.len()
        );
        let log = File::options().append(true).create(true).open(directory.join("doorward.log")).unwrap();
        let child = Command::new("bash")
            .args(["-c", &script, DOORWARD])
            .current_dir(directory)
            .env("NOTIFY_SOCKET", notify)
            .stderr(log)
            .spawn()
            .unwrap();
        for file in self.kept.values() {
            fcntl_setfd(file, FdFlags::CLOEXEC).unwrap();
        }
        child
    }
}

fn end(child: &mut Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
}

/// What psql says, once it has an answer.
fn answer(child: Child) -> String {
    let out = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

fn asks(w: &World, token: &str) -> Child {
    let mut psql = w.psql_command(token);
    psql.env("PGCONNECT_TIMEOUT", "20")
        .args(["-c", "select 40 + 2 as it"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn nobody_is_refused_while_the_gateway_is_restarted() {
    let _alone = ALONE.lock().unwrap();
    let mut w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &[]);
    w.gateway.stop().unwrap();
    assert!(answer(asks(&w, &agent)).contains("Connection refused"), "nobody keeps the sockets");

    let directory = w.gateway.directory().to_owned();
    let notify = directory.join("notify");
    let mut manager = Manager::new(&notify);
    let mut service = manager.start(&directory, &notify);
    manager.hears("READY=1");
    assert_eq!(manager.kept.len(), 2, "the API's and the connection's: {:?}", manager.said);
    assert!(answer(asks(&w, &agent)).contains("42"));

    for signal in ["-TERM", "-KILL"] {
        end(&mut service, signal);
        let mut early = [asks(&w, &agent), asks(&w, &agent)];
        std::thread::sleep(Duration::from_millis(500));
        assert!(early.iter_mut().all(|c| c.try_wait().unwrap().is_none()), "{signal}: they wait");
        service = manager.start(&directory, &notify);
        manager.hears("READY=1");
        for child in early {
            let said = answer(child);
            assert!(said.contains("42"), "{signal}: {said}");
        }
    }
    let log = std::fs::read_to_string(directory.join("doorward.log")).unwrap();
    assert_eq!(log.matches("was kept by the service manager").count(), 4, "{log}");

    // What is configured no more is closed, and those who come are refused at once.
    end(&mut service, "-TERM");
    let text = std::fs::read_to_string(w.gateway.config_file()).unwrap();
    let other = free_port().unwrap();
    let listen = |port: u16| format!("\nlisten = \"127.0.0.1:{port}\"");
    let moved = text.replace(&listen(w.port), &listen(other));
    assert_ne!(moved, text);
    std::fs::write(w.gateway.config_file(), moved).unwrap();
    service = manager.start(&directory, &notify);
    manager.hears("READY=1");
    assert!(manager.said.iter().any(|s| s.contains("FDSTOREREMOVE=1")), "{:?}", manager.said);
    assert_eq!(manager.kept.len(), 2);
    assert!(manager.kept.keys().any(|name| name.ends_with(&format!(".{other}"))), "{:?}", manager.kept.keys());
    assert!(answer(asks(&w, &agent)).contains("Connection refused"));
    end(&mut service, "-TERM");
    manager.hears("STOPPING=1");
}

/// The tool of systemd itself, which starts the gateway with the first who comes.
#[test]
fn systemd_hands_sockets_over() {
    if !Path::new("/usr/bin/systemd-socket-activate").exists() {
        eprintln!("not tried: there is no systemd-socket-activate");
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut w = World::demo();
    let agent = w.token("ci-bot", &["agents"], &[]);
    w.gateway.stop().unwrap();
    let mut service = Command::new("systemd-socket-activate")
        .args(["-l", &format!("127.0.0.1:{}", w.port), DOORWARD, "serve", "--config", "doorward.toml"])
        .current_dir(w.gateway.directory())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_port(([127, 0, 0, 1], w.port).into(), Duration::from_secs(10)).unwrap();
    assert!(answer(asks(&w, &agent)).contains("42"));
    end(&mut service, "-TERM");
}
