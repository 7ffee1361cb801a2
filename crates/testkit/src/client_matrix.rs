//! The real clients of `e2e/clients`, run by `scripts/run-client-matrix`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::paths::{cache_dir, repo_root};
use crate::postgres::Postgres;

/// A run of the client matrix against one endpoint.
#[derive(Debug, Clone)]
pub struct ClientMatrix {
    envs: Vec<(String, String)>,
    clients: Vec<String>,
    prefix: String,
}

/// What is hidden of `e2e_hidden`, and how: tags of a connection whose policies hide what is `pii`.
pub const HIDDEN_TAGS: &str = r#""public.e2e_hidden.ssn" = ["pii", "ssn"], "public.e2e_hidden.mail" = ["pii", "mask:fixed:nobody@example.com"], "public.e2e_hidden.code" = ["pii", "mask:null"], "public.e2e_hidden.big" = ["pii", "mask:fixed:7"], "public.e2e_hidden.pay" = ["pii", "mask:fixed:12.34"], "public.e2e_hidden.born" = ["pii", "mask:fixed:1900-01-01"], "public.e2e_hidden.seen" = ["pii"], "public.e2e_hidden.who" = ["pii"], "public.e2e_hidden.raw" = ["pii"], "public.e2e_hidden.doc" = ["pii"], "public.e2e_hidden.ok" = ["pii"]"#;

/// What the clients reported.
#[derive(Debug, Clone)]
pub struct MatrixReport {
    /// Whether every client exited with 0.
    pub passed: bool,
    /// All that was printed: `ok` and `FAIL` lines per client, the table, and `N passed, N failed` as the last line.
    pub output: String,
}

impl ClientMatrix {
    /// All clients, towards 127.0.0.1 at `port` over TLS, trusting `ca`.
    #[must_use]
    pub fn new(port: u16, database: &str, user: &str, token: &str, ca: &Path) -> Self {
        let envs = [
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", port.to_string()),
            ("PGDATABASE", database.to_owned()),
            ("PGUSER", user.to_owned()),
            ("PGPASSWORD", token.to_owned()),
            ("PGSSLROOTCERT", ca.display().to_string()),
            // Tests run beside others.
            ("E2E_TIMEOUT", "300".to_owned()),
        ];
        let envs = envs.map(|(name, value)| (name.to_owned(), value)).into();
        Self { envs, clients: Vec::new(), prefix: "e2e_".to_owned() }
    }

    /// These clients alone, such as `psql` or `asyncpg`.
    #[must_use]
    pub fn clients(mut self, clients: &[&str]) -> Self {
        self.clients = clients.iter().map(|&client| client.to_owned()).collect();
        self
    }

    /// Another prefix of the tables' names than `e2e_`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The endpoint hides from this user what `e2e_hidden` holds ([`HIDDEN_TAGS`]): the clients ask over that table, too.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.envs.push(("E2E_HIDDEN".to_owned(), "1".to_owned()));
        self
    }

    /// Makes the clients' tables directly on the server, as the owner of the database: no policy is in the way.
    ///
    /// # Errors
    /// What psql or pgbench printed.
    pub fn prepare(&self, server: &Postgres) -> Result<()> {
        server.run_file(&repo_root().join("e2e/clients/schema.sql"), &[("prefix", &self.prefix)])
    }

    /// Runs the clients one after the other.
    ///
    /// # Errors
    /// When the script cannot be run. Clients that fail are no error: see [`MatrixReport::passed`].
    pub fn run(&self) -> Result<MatrixReport> {
        let prefix = ("E2E_PREFIX".to_owned(), self.prefix.clone());
        let envs: Vec<_> = self.envs.iter().cloned().chain([prefix]).collect();
        run_script("run-client-matrix", &envs, &self.clients)
    }
}

/// Runs a matrix script with these variables and none of the developer's own.
pub(crate) fn run_script(name: &str, envs: &[(String, String)], clients: &[String]) -> Result<MatrixReport> {
    let script = repo_root().join("scripts").join(name);
    ensure!(script.is_file(), "there is no {}", script.display());
    let mut command = Command::new(&script);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("E2E_") || text == "DOORWARD_TOKEN_FILE" {
            command.env_remove(name);
        }
    }
    command.envs(envs.iter().cloned()).env("DOORWARD_TEST_CACHE", cache_dir()).args(clients);
    let output = command.output().with_context(|| format!("cannot run {}", script.display()))?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok(MatrixReport { passed: output.status.success(), output: text })
}
