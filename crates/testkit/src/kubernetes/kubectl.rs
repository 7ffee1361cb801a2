//! kubectl, two versions of it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::paths::{Unavailable, cache_dir};

/// Which kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubectlRelease {
    /// The one built with the cluster: WebSockets first, SPDY if they are refused.
    Current,
    /// Debian's, 1.20: SPDY alone.
    Debian,
}

/// kubectl with one kubeconfig, and nothing of the developer's own.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    envs: Vec<(String, String)>,
}

impl Kubectl {
    /// With this kubeconfig; what kubectl caches is kept below `home`.
    ///
    /// # Errors
    /// [`Unavailable`] when that release is not installed.
    pub fn new(release: KubectlRelease, kubeconfig: &Path, home: &Path) -> Result<Self> {
        let program = match release {
            KubectlRelease::Current => cache_dir().join("kubernetes/kubectl"),
            KubectlRelease::Debian => cache_dir().join("kubernetes/kubectl-debian"),
        };
        if !program.is_file() {
            return Err(Unavailable::new(format!("`{}`", program.display())).into());
        }
        let (kubeconfig, home) = (kubeconfig.to_owned(), home.join(format!("home-{release:?}")));
        std::fs::create_dir_all(&home)?;
        Ok(Self { program, kubeconfig, home, envs: Vec::new() })
    }

    /// With another kubeconfig.
    #[must_use]
    pub fn kubeconfig(mut self, kubeconfig: &Path) -> Self {
        kubeconfig.clone_into(&mut self.kubeconfig);
        self
    }

    /// With an environment variable, such as `KUBECTL_REMOTE_COMMAND_WEBSOCKETS`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With exec, attach, cp and port-forward over SPDY.
    #[must_use]
    pub fn over_spdy(self) -> Self {
        self.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false").env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")
    }

    /// The command, for a test that talks to it while it runs.
    #[must_use]
    pub fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home).stdin(Stdio::null());
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end and returns all that it printed.
    ///
    /// # Errors
    /// When it cannot be run. A failure of kubectl's is no error.
    pub fn output(&self, args: &[impl AsRef<OsStr>]) -> Result<Output> {
        self.command(args).output().with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// Runs it with `input` on standard input.
    ///
    /// # Errors
    /// As [`Kubectl::output`].
    pub fn output_with(&self, args: &[impl AsRef<OsStr>], input: &[u8]) -> Result<Output> {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let input = input.to_vec();
        // Beside the reading: kubectl may print before it has read everything, and may end before that, too.
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output()?;
        drop(writer.join());
        Ok(output)
    }

    /// Runs it to its end and returns what it printed on standard output.
    ///
    /// # Errors
    /// When it failed: what it printed on standard error.
    pub fn run(&self, args: &[impl AsRef<OsStr>]) -> Result<String> {
        checked(args, self.output(args)?)
    }

    /// `kubectl apply` of a manifest in JSON or YAML.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let args = ["apply", "-f", "-"];
        checked(&args, self.output_with(&args, manifest.as_bytes())?)
    }
}

fn checked(args: &[impl AsRef<OsStr>], output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    ensure!(output.status.success(), "kubectl {} ended with {}: {}", words.join(" "), output.status, said.trim_end());
    String::from_utf8(output.stdout).map_err(|_| anyhow!("kubectl {} printed bytes that are no text", words.join(" ")))
}
