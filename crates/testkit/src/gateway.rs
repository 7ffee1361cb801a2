//! The `doorward` program itself, as a child process.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::dev_token::DevToken;
use crate::paths::Unavailable;
use crate::ports::somebody_listens;
use crate::process::{Process, ProcessSpec};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start a gateway. Made by [`Gateway::options`].
#[derive(Debug)]
pub struct GatewayOptions {
    config: String,
    program: Option<PathBuf>,
    directory: Option<PathBuf>,
    files: Vec<(PathBuf, String)>,
    envs: Vec<(String, String)>,
}

impl GatewayOptions {
    /// The program, by default `$DOORWARD_BIN`, else the `doorward` that Cargo built for the running test.
    ///
    /// Tests of the package `doorward` pass `env!("CARGO_BIN_EXE_doorward")`.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// A folder that exists and is kept, to run in; by default one of its own, removed at the end.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// A file to put beside the configuration before the start, such as `policies/main.cedar`.
    #[must_use]
    pub fn file(mut self, name: impl Into<PathBuf>, content: &str) -> Self {
        self.files.push((name.into(), content.to_owned()));
        self
    }

    /// An environment variable of the gateway, such as a password that the configuration names.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it listens on every `listen` and `api_listen` address of the configuration, without
    /// connecting.
    ///
    /// # Errors
    /// When it ends before that, with its log, or takes too long.
    pub fn start(self) -> Result<Gateway> {
        let program = match self.program {
            Some(program) => program,
            None => built_program()?,
        };
        let listens = listen_addresses(&self.config);
        ensure!(!listens.is_empty(), "the configuration has no `listen = \"host:port\"` line to wait for");
        let own = TempDir::with_prefix("doorward-gateway-")?;
        let directory = self.directory.unwrap_or_else(|| own.path().to_owned());
        for (name, content) in &self.files {
            write(&directory.join(name), content)?;
        }
        let config = directory.join("doorward.toml");
        write(&config, &self.config)?;
        let mut spec = ProcessSpec::new(&program).arg("serve").arg("--config").arg(&config).directory(&directory);
        for (name, value) in &self.envs {
            spec = spec.env(name, value);
        }
        let process = Process::start(spec, directory.join("doorward.log"))?;
        let mut gateway = Gateway { process, program, directory, listens, _own: own };
        gateway.wait_until_it_listens()?;
        Ok(gateway)
    }
}

/// A running gateway, killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    program: PathBuf,
    directory: PathBuf,
    listens: Vec<SocketAddr>,
    _own: TempDir,
}

impl Gateway {
    /// A gateway with this `doorward.toml`, to be described further.
    #[must_use]
    pub fn options(config: &str) -> GatewayOptions {
        GatewayOptions { config: config.to_owned(), program: None, directory: None, files: vec![], envs: vec![] }
    }

    /// Starts a gateway with this `doorward.toml`.
    ///
    /// # Errors
    /// As [`GatewayOptions::start`].
    pub fn start(config: &str) -> Result<Self> {
        Self::options(config).start()
    }

    /// Where it runs and its configuration is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory.join("doorward.toml")
    }

    /// The addresses it listens on, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listens
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// When waiting for it fails.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        self.process.kill9()
    }

    /// Asks it to drain and end (`SIGTERM`).
    ///
    /// # Errors
    /// When it has to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.stop(STOP_LIMIT)
    }

    /// Starts it again on the same configuration and state, after [`Gateway::kill9`], [`Gateway::stop`], or at once.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.restart()?;
        self.wait_until_it_listens()
    }

    /// Sends `SIGHUP`: read configuration and policies again. Returns at once, the reload may still be under way.
    ///
    /// # Errors
    /// When it has ended.
    pub fn reload(&mut self) -> Result<()> {
        self.process.hang_up()
    }

    /// Writes a file beside the configuration, whole or not at all: a watcher never sees half of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        write(&self.directory.join(name), content)
    }

    /// Runs another command of the same program in the gateway's folder, such as `["audit", "verify"]`.
    ///
    /// # Errors
    /// When it cannot be started; its exit status is the caller's to look at.
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        Ok(self.command().args(args).output()?)
    }

    /// Another command of the same program in the gateway's folder, to be described further.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.directory);
        command
    }

    /// A token of the development issuer, made by `doorward dev token`.
    pub fn dev_token(&self, subject: &str) -> DevToken {
        DevToken::new(&self.program, subject).directory(&self.directory)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let listens = self.listens.clone();
        self.process.wait_until(START_LIMIT, |_| listens.iter().all(|address| somebody_listens(*address)))
    }
}

/// `$DOORWARD_BIN`, else what Cargo tells a running test, else beside the running test in the target folder.
pub(crate) fn built_program() -> Result<PathBuf> {
    let named = ["DOORWARD_BIN", "CARGO_BIN_EXE_doorward"].into_iter().find_map(std::env::var_os).map(PathBuf::from);
    if let Some(program) = named {
        ensure!(program.is_file(), "there is no program at {}", program.display());
        return Ok(program);
    }
    let test = std::env::current_exe()?;
    let beside = test.ancestors().skip(1).take(2).map(|folder| folder.join("doorward")).find(|path| path.is_file());
    let remedy = "run `cargo build -p doorward`, or set DOORWARD_BIN".to_owned();
    beside.ok_or_else(|| Unavailable { what: "the program `doorward`".to_owned(), remedy }.into())
}

/// The values of `listen` and `api_listen`, one a line as design.md writes them; a full TOML reader is not needed here.
fn listen_addresses(config: &str) -> Vec<SocketAddr> {
    config
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| matches!(key.trim(), "listen" | "api_listen"))
        .filter_map(|(_, value)| value.split('"').nth(1)?.parse().ok())
        .collect()
}

fn write(file: &Path, content: &str) -> Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    let draft = file.with_extension("draft");
    fs::write(&draft, content)?;
    Ok(fs::rename(&draft, file)?)
}

#[cfg(test)]
mod tests {
    use super::listen_addresses;

    #[test]
    fn addresses_come_from_the_listen_lines_alone() {
        let config = "[server]\napi_listen = \"127.0.0.1:8443\"\npublic_url = \"http://127.0.0.1:1\"\n\
            [[connections]]\nlisten   = \"127.0.0.1:6432\"  # its own\nupstream = \"127.0.0.1:5432\"\n";
        let expected: Vec<_> = ["127.0.0.1:8443", "127.0.0.1:6432"].map(|a| a.parse().unwrap()).into();
        assert_eq!(listen_addresses(config), expected);
    }
}
