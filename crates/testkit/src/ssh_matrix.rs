//! The real SSH clients of `e2e/clients`, run by `scripts/run-ssh-matrix`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::client_matrix::{MatrixReport, run_script};

/// A run of the SSH client matrix against one endpoint.
#[derive(Debug, Clone)]
pub struct SshMatrix {
    envs: Vec<(String, String)>,
    clients: Vec<String>,
}

impl SshMatrix {
    /// All clients, towards a server with this host key (`ssh-ed25519 AAAA…`), with a password or a token.
    #[must_use]
    pub fn new(address: SocketAddr, host_key: &str, user: &str, password: &str) -> Self {
        let matrix = Self { envs: Vec::new(), clients: Vec::new() };
        matrix
            .env("E2E_SSH_HOST", &address.ip().to_string())
            .env("E2E_SSH_PORT", &address.port().to_string())
            .env("E2E_SSH_HOST_KEY", host_key)
            .env("E2E_SSH_USER", user)
            .env("E2E_SSH_PASSWORD", password)
    }

    /// These clients alone, such as `openssh` or `paramiko`.
    #[must_use]
    pub fn clients(mut self, clients: &[&str]) -> Self {
        self.clients = clients.iter().map(|&client| client.to_owned()).collect();
        self
    }

    /// The folder on the host in which files are made and removed; by default the user's home.
    #[must_use]
    pub fn directory(self, directory: &Path) -> Self {
        self.env("E2E_SSH_DIRECTORY", &directory.display().to_string())
    }

    /// Leaves SFTP out.
    #[must_use]
    pub fn without_sftp(self) -> Self {
        self.env("E2E_SSH_SFTP", "skip")
    }

    /// Expects direct-tcpip channels to be refused as administratively prohibited, instead of allowed.
    #[must_use]
    pub fn forwarding_refused(self) -> Self {
        self.env("E2E_SSH_FORWARD", "refused")
    }

    /// Any other variable of the clients, such as `E2E_TIMEOUT`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the clients one after the other.
    ///
    /// # Errors
    /// When the script cannot be run. Clients that fail are no error: see [`MatrixReport::passed`].
    pub fn run(&self) -> Result<MatrixReport> {
        run_script("run-ssh-matrix", &self.envs, &self.clients)
    }
}
