//! OpenSSH servers.
//!
//! Run as root, as CI does, a server lets in root (by key) and the account `doorward-ssh` (by key, certificate or
//! password). That account is made with `useradd` when it is missing and is kept: its home is `/var/lib/doorward-ssh`,
//! its random password is in `/var/lib/doorward-ssh.password`, which root alone may read. Tests that run at once share
//! the account, so they share its home: [`OpenSsh::folder`] is one server's own.
//!
//! Not run as root, a server lets in the test's own account by key alone: sshd then cannot become anybody else, nor
//! read what passwords are checked against.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::paths::Unavailable;
use crate::ports::{free_port, somebody_listens};
use crate::process::{Process, ProcessSpec, is_root};

mod account;
mod client;
mod keys;

use account::Account;
pub use client::SshClient;
pub use keys::SshKey;

const PROGRAM: &str = "/usr/sbin/sshd";
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// What the server's own settings say; a test that changed them could be heard from outside.
const RESERVED: [&str; 5] = ["listenaddress", "port", "gatewayports", "pidfile", "include"];
const DEFAULTS: &str = "\
AcceptEnv LANG LC_* TEST_*
AllowTcpForwarding yes
KbdInteractiveAuthentication no
LogLevel VERBOSE
MaxSessions 100
MaxStartups 100
PasswordAuthentication yes
PermitRootLogin prohibit-password
PrintLastLog no
PrintMotd no
StrictModes no
Subsystem sftp internal-sftp
UseDNS no
UsePAM no
X11Forwarding no
";

/// What server to start. Made by [`OpenSsh::options`].
#[derive(Debug, Clone, Default)]
pub struct OpenSshOptions {
    lines: Vec<String>,
    user_ca: Option<String>,
    authorized_keys: Vec<String>,
}

impl OpenSshOptions {
    /// Adds a line to `sshd_config`. It takes the place of the default lines with the same keyword. From the first
    /// `Match` line on, lines come after everything else. A `LogLevel` below `INFO` hides that the server is ready.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Lets in whoever has a certificate of this authority (a public key line) with the account among its principals.
    #[must_use]
    pub fn user_ca(mut self, public_key: &str) -> Self {
        self.user_ca = Some(public_key.to_owned());
        self
    }

    /// Lets in whoever has this key too; a line of `authorized_keys`, with options if need be.
    #[must_use]
    pub fn authorized_key(mut self, line: &str) -> Self {
        self.authorized_keys.push(line.to_owned());
        self
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// [`Unavailable`] when OpenSSH is not installed; otherwise whatever went wrong, with the server's log.
    pub fn start(self) -> Result<OpenSsh> {
        if !Path::new(PROGRAM).is_file() {
            return Err(Unavailable::new(format!("`{PROGRAM}`")).into());
        }
        let account = Account::prepare()?;
        if is_root() {
            // Where sshd locks its unprivileged half in; Debian makes it when the service starts.
            fs::create_dir_all("/run/sshd")?;
        }
        let directory =
            tempfile::Builder::new().prefix("doorward-ssh-").permissions(Permissions::from_mode(0o755)).tempdir()?;
        let host_key = SshKey::create(directory.path(), "host_key")?;
        let user_key = SshKey::create(directory.path(), "user_key")?;
        self.write_keys(directory.path(), &user_key)?;
        let folder = directory.path().join("files");
        fs::create_dir(&folder)?;
        account.give(&folder)?;
        let (process, port) = self.launch(directory.path())?;
        Ok(OpenSsh { process, port, account, host_key, user_key, directory })
    }

    fn write_keys(&self, directory: &Path, user_key: &SshKey) -> Result<()> {
        let mut lines = vec![user_key.public().to_owned()];
        lines.extend(self.authorized_keys.iter().cloned());
        fs::write(directory.join("authorized_keys"), lines.join("\n") + "\n")?;
        if let Some(authority) = &self.user_ca {
            fs::write(directory.join("user_ca.pub"), format!("{authority}\n"))?;
        }
        Ok(())
    }

    /// Starts the server on a free port, on another one should somebody have been quicker.
    fn launch(&self, directory: &Path) -> Result<(Process, u16)> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = free_port()?;
            let config = directory.join("sshd_config");
            fs::write(&config, self.configuration(directory, port)?)?;
            let spec = ProcessSpec::new(PROGRAM).args(["-D", "-e", "-f"]).arg(&config).directory("/");
            let mut process = Process::start(spec, directory.join("log"))?;
            match wait_until_it_listens(&mut process, port) {
                Err(_) if attempts < 5 && process.log().contains("Address already in use") => {}
                outcome => return outcome.map(|()| (process, port)),
            }
        }
    }

    fn configuration(&self, directory: &Path, port: u16) -> Result<String> {
        let own: Vec<String> = self.lines.iter().map(|line| keyword(line)).collect();
        if let Some(reserved) = own.iter().find(|word| RESERVED.contains(&word.as_str())) {
            bail!("`{reserved}` is the server's own to set");
        }
        let directory = directory.display();
        let mut text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nGatewayPorts no\nPidFile none\n\
             HostKey {directory}/host_key\nAuthorizedKeysFile {directory}/authorized_keys\n"
        );
        if self.user_ca.is_some() {
            text += &format!("TrustedUserCAKeys {directory}/user_ca.pub\n");
        }
        let matching = own.iter().position(|word| word == "match").unwrap_or(own.len());
        let overridden = own.get(..matching).unwrap_or_default();
        let defaults = DEFAULTS.lines().filter(|line| !overridden.contains(&keyword(line)));
        for line in defaults.chain(self.lines.iter().map(String::as_str)) {
            text += line;
            text.push('\n');
        }
        Ok(text)
    }
}

/// A running sshd on a loopback port, ended with its sessions and its directory removed when dropped.
///
/// Should the test process itself be killed, the kernel ends the listening sshd; a session goes with its client, but a
/// program without a terminal that takes no notice of its client may then go on.
#[derive(Debug)]
pub struct OpenSsh {
    process: Process,
    port: u16,
    account: Account,
    host_key: SshKey,
    user_key: SshKey,
    // Last: removed after the server has ended.
    directory: TempDir,
}

impl OpenSsh {
    /// A server to be described further.
    #[must_use]
    pub fn options() -> OpenSshOptions {
        OpenSshOptions::default()
    }

    /// A server that takes keys and passwords and allows everything that OpenSSH allows by default.
    ///
    /// # Errors
    /// As [`OpenSshOptions::start`].
    pub fn start() -> Result<Self> {
        Self::options().start()
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's public host key, `ssh-ed25519 AAAA…`, without a comment.
    #[must_use]
    pub fn host_key(&self) -> &str {
        self.host_key.public()
    }

    /// The account without privileges that may log in: `doorward-ssh`, or the test's own when it does not run as root.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.account.name
    }

    /// That account's home, which all tests on this machine share.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.account.home
    }

    /// That account's password.
    ///
    /// # Errors
    /// [`Unavailable`] when the test does not run as root.
    pub fn password(&self) -> Result<&str> {
        self.account.password.as_deref().ok_or_else(needs_root)
    }

    /// Whether root may log in with [`OpenSsh::private_key`] as well: only if the test runs as root.
    #[must_use]
    pub fn lets_root_in(&self) -> bool {
        is_root()
    }

    /// An OpenSSH private key that the server accepts for [`OpenSsh::user`] and for root.
    #[must_use]
    pub fn private_key(&self) -> &Path {
        self.user_key.private()
    }

    /// The public half of [`OpenSsh::private_key`].
    #[must_use]
    pub fn public_key(&self) -> &str {
        self.user_key.public()
    }

    /// A folder of this server alone where [`OpenSsh::user`] may write.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// The server's directory, where its keys and its configuration are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the server has logged so far; at `VERBOSE` it names each key and each session.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The listening process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// OpenSSH's client programs towards this server as `user`, so far without a key or a password.
    pub fn client(&self, user: &str) -> SshClient {
        SshClient::new(self.address(), self.host_key(), user)
    }

    /// `ssh` to this server as [`OpenSsh::user`] by key; the remote command is the caller's to add.
    ///
    /// # Errors
    /// When `ssh` is not installed.
    pub fn ssh(&self) -> Result<Command> {
        self.client(self.user()).key(self.private_key()).ssh()
    }

    /// Ends every session and all that runs in them, but not the server.
    pub fn end_sessions(&self) {
        for pid in descendants(self.process.pid()) {
            kill_process(pid, Signal::KILL).ok();
        }
    }

    /// Ends the server and every session.
    ///
    /// # Errors
    /// When it has to be killed.
    pub fn stop(&mut self) -> Result<()> {
        let sessions = descendants(self.process.pid());
        let ended = self.process.stop(STOP_LIMIT);
        for pid in sessions {
            kill_process(pid, Signal::KILL).ok();
        }
        ended.map(drop)
    }

    /// Starts the server again on the same port with the same keys, after [`OpenSsh::stop`] or at once.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.end_sessions();
        self.process.restart()?;
        wait_until_it_listens(&mut self.process, self.port)
    }
}

impl Drop for OpenSsh {
    // A session's process has left its parent's group and does not end with it.
    fn drop(&mut self) {
        self.end_sessions();
    }
}

fn needs_root() -> anyhow::Error {
    let what = "an SSH account with a password".to_owned();
    Unavailable { what, remedy: "run the tests as root".to_owned() }.into()
}

/// The first word of a line of `sshd_config`, which does not care for case.
fn keyword(line: &str) -> String {
    let end = |c: char| c.is_whitespace() || c == '=';
    line.trim_start().split(end).next().unwrap_or_default().to_ascii_lowercase()
}

fn wait_until_it_listens(process: &mut Process, port: u16) -> Result<()> {
    let ready = format!("Server listening on 127.0.0.1 port {port}.");
    // The log goes on when the server is started again.
    process.wait_until(START_LIMIT, |process| {
        somebody_listens((Ipv4Addr::LOCALHOST, port).into()) && process.log().contains(&ready)
    })
}

/// The children of `root`, theirs, and so on, by what `/proc` says now.
fn descendants(root: u32) -> Vec<Pid> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // `pid (name) state parent …`; the name may hold anything, also parentheses.
        let status = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = status.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut family = vec![root];
    let mut seen = 0;
    while let Some(&parent) = family.get(seen) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        seen += 1;
    }
    family.iter().skip(1).filter_map(|&pid| Pid::from_raw(i32::try_from(pid).ok()?)).collect()
}

/// Runs a command to its end; an error carries what it printed.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let printed = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "{} failed: {printed}", command.get_program().display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{OpenSsh, keyword};
    use std::path::Path;

    #[test]
    fn a_line_takes_the_place_of_the_default() {
        let options = OpenSsh::options().config("AllowTcpForwarding no").config("Match User root");
        let text = options.config("PermitTTY no").configuration(Path::new("/d"), 1).unwrap();
        assert_eq!(text.matches("AllowTcpForwarding").count(), 1);
        assert!(text.ends_with("AllowTcpForwarding no\nMatch User root\nPermitTTY no\n"), "{text}");
        assert_eq!(keyword("  Port=22"), "port");
    }

    #[test]
    fn nothing_listens_beyond_loopback() {
        for line in ["ListenAddress 0.0.0.0", "port 22", "GatewayPorts=yes", "Include /etc/ssh/sshd_config"] {
            assert!(OpenSsh::options().config(line).configuration(Path::new("/d"), 1).is_err(), "{line}");
        }
    }
}
