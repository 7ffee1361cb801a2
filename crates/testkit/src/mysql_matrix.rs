//! The real MySQL clients of `e2e/clients`, run by `scripts/run-mysql-matrix`.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::client_matrix::{MatrixReport, run_script};
use crate::mysql::MySql;
use crate::paths::repo_root;

/// A run of the MySQL client matrix against one endpoint.
#[derive(Debug, Clone)]
pub struct MySqlMatrix {
    envs: Vec<(String, String)>,
    clients: Vec<String>,
}

impl MySqlMatrix {
    /// All clients, towards 127.0.0.1 at `port` over TLS, trusting `ca`.
    #[must_use]
    pub fn new(port: u16, database: &str, user: &str, token: &str, ca: &Path) -> Self {
        let envs = [
            ("E2E_MYSQL_HOST", "127.0.0.1".to_owned()),
            ("E2E_MYSQL_PORT", port.to_string()),
            ("E2E_MYSQL_DATABASE", database.to_owned()),
            ("E2E_MYSQL_USER", user.to_owned()),
            ("E2E_MYSQL_PASSWORD", token.to_owned()),
            ("E2E_MYSQL_CA", ca.display().to_string()),
        ];
        Self { envs: envs.map(|(name, value)| (name.to_owned(), value)).into(), clients: Vec::new() }
    }

    /// These clients alone, such as `mysql` or `pymysql`.
    #[must_use]
    pub fn clients(mut self, clients: &[&str]) -> Self {
        self.clients = clients.iter().map(|&client| client.to_owned()).collect();
        self
    }

    /// Makes the clients' tables directly on the server, as its `root`: no policy is in the way.
    ///
    /// # Errors
    /// What the client printed.
    pub fn prepare(server: &MySql) -> Result<()> {
        let file = repo_root().join("e2e/clients/mysql-schema.sql");
        let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        server.exec(&text.replace("@USER@", server.user()))
    }

    /// Runs the clients one after the other.
    ///
    /// # Errors
    /// When the script cannot be run. Clients that fail are no error: see [`MatrixReport::passed`].
    pub fn run(&self) -> Result<MatrixReport> {
        run_script("run-mysql-matrix", &self.envs, &self.clients)
    }
}
