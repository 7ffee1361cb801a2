//! OpenSSH's own client programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::paths::{find_program, repo_root};

/// How `ssh`, `scp` or `sftp` reaches a server: without the developer's own configuration, keys and agent, without a
/// question, with the host key checked.
#[derive(Debug, Clone)]
#[must_use = "`command` makes something that runs"]
pub struct SshClient {
    options: Vec<String>,
    address: SocketAddr,
    key: Option<PathBuf>,
    password: Option<String>,
}

impl SshClient {
    /// As `user` to `address`, where a server has this host key (a public key line without a comment).
    pub fn new(address: SocketAddr, host_key: &str, user: &str) -> Self {
        let (host, port) = (address.ip(), address.port());
        let known = format!("KnownHostsCommand=/bin/echo [{host}]:{port} {host_key}");
        let quiet = ["GlobalKnownHostsFile=none", "UserKnownHostsFile=none", "StrictHostKeyChecking=yes"];
        let mut options = vec![format!("Port={port}"), format!("User={user}"), known];
        options.extend(quiet.into_iter().chain(["IdentitiesOnly=yes", "NumberOfPasswordPrompts=1"]).map(str::to_owned));
        Self { options, address, key: None, password: None }
    }

    /// Offers this private key, and the certificate beside it if there is one.
    pub fn key(mut self, private: &Path) -> Self {
        self.key = Some(private.to_owned());
        self
    }

    /// Answers the question for a password with this, such as a token.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Adds an option of `ssh_config`, such as `SendEnv=TEST_*`. The first value of an option counts.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// `ssh` to the host; the remote command is the caller's to add, flags of `ssh` are by [`SshClient::option`].
    ///
    /// # Errors
    /// When `ssh` is not installed.
    pub fn ssh(&self) -> Result<Command> {
        let mut command = self.program("ssh")?;
        command.arg(self.address.ip().to_string());
        Ok(command)
    }

    /// `ssh`, `scp` or `sftp` with all options; the host 127.0.0.1 and the rest are the caller's to add.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(find_program(name)?);
        command.args(["-F", "none"]);
        for option in &self.options {
            command.args(["-o", option]);
        }
        if let Some(key) = &self.key {
            command.arg("-i").arg(key);
        } else {
            command.args(["-o", "PubkeyAuthentication=no"]);
        }
        command.env_remove("SSH_AUTH_SOCK").env_remove("SSH_ASKPASS").env_remove("DISPLAY");
        if let Some(password) = &self.password {
            command.env("SSH_ASKPASS", repo_root().join("e2e/clients/openssh/askpass"));
            command.env("SSH_ASKPASS_REQUIRE", "force").env("DOORWARD_TOKEN", password);
        } else {
            command.args(["-o", "BatchMode=yes"]);
        }
        Ok(command)
    }
}
