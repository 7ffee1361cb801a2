//! Tokens of the development issuer.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::gateway::built_program;

/// A run of `doorward dev token`.
#[derive(Debug)]
#[must_use = "`issue` runs it"]
pub struct DevToken {
    program: PathBuf,
    directory: Option<PathBuf>,
    args: Vec<String>,
}

impl DevToken {
    /// A token for the subject, issued by this `doorward` program.
    pub fn new(program: impl Into<PathBuf>, subject: &str) -> Self {
        Self { program: program.into(), directory: None, args: vec!["--sub".to_owned(), subject.to_owned()] }
    }

    /// As [`DevToken::new`] with the program that Cargo built.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_built_program(subject: &str) -> Result<Self> {
        Ok(Self::new(built_program()?, subject))
    }

    /// Adds a group.
    pub fn group(self, group: &str) -> Self {
        self.arg("--group").arg(group)
    }

    /// Adds a claim.
    pub fn claim(self, name: &str, value: &str) -> Self {
        self.arg("--claim").arg(&format!("{name}={value}"))
    }

    /// How long it lives, such as `1h` or `2s`.
    pub fn ttl(self, ttl: &str) -> Self {
        self.arg("--ttl").arg(ttl)
    }

    /// Adds any other argument of the command.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Runs the command and returns what it printed on standard output, trimmed.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub fn issue(self) -> Result<String> {
        let mut command = Command::new(&self.program);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let output = command.args(["dev", "token"]).args(&self.args).output().context("cannot run `dev token`")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`dev token` failed: {complaint}");
        let token = String::from_utf8(output.stdout)?.trim().to_owned();
        ensure!(!token.is_empty(), "`dev token` printed nothing on standard output: {complaint}");
        Ok(token)
    }
}
