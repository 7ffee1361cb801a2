//! The real MySQL clients of `e2e/clients`, run by `scripts/run-mysql-matrix`.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::client_matrix::{MatrixReport, run_script};
use crate::mysql::MySql;
use crate::paths::repo_root;

/// What is hidden of `e2e_hidden`, and how: tags of a connection whose policies hide what is `hidden`.
pub const MYSQL_HIDDEN_TAGS: &str = r#""public.e2e_hidden.ssn" = ["hidden", "ssn"], "public.e2e_hidden.mail" = ["hidden", "mask:fixed:nobody@example.com"], "public.e2e_hidden.code" = ["hidden", "mask:null"], "public.e2e_hidden.big" = ["hidden", "mask:fixed:7"], "public.e2e_hidden.pay" = ["hidden", "mask:fixed:12.34"], "public.e2e_hidden.born" = ["hidden", "mask:fixed:1900-01-01"], "public.e2e_hidden.seen" = ["hidden"], "public.e2e_hidden.raw" = ["hidden"], "public.e2e_hidden.ratio" = ["hidden"]"#;

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
            // Tests run beside others.
            ("E2E_TIMEOUT", "300".to_owned()),
        ];
        Self { envs: envs.map(|(name, value)| (name.to_owned(), value)).into(), clients: Vec::new() }
    }

    /// These clients alone, such as `mysql` or `pymysql`.
    #[must_use]
    pub fn clients(mut self, clients: &[&str]) -> Self {
        self.clients = clients.iter().map(|&client| client.to_owned()).collect();
        self
    }

    /// The endpoint hides from this user what `e2e_hidden` holds ([`MYSQL_HIDDEN_TAGS`]): the clients ask over that table, too.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.envs.push(("E2E_HIDDEN".to_owned(), "1".to_owned()));
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
