//! A child process that never outlives its test.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::paths::{Unavailable, find_program};

/// What to start: a program, its arguments and surroundings.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    program: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    unset: Vec<OsString>,
    directory: Option<PathBuf>,
    account: Option<String>,
    stop_signal: Signal,
    death_signal: (Signal, &'static str),
}

impl ProcessSpec {
    /// Starts from `program`, a path or a name on `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            unset: Vec::new(),
            directory: None,
            account: None,
            stop_signal: Signal::TERM,
            death_signal: (Signal::KILL, "KILL"),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes an environment variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.unset.push(name.as_ref().to_owned());
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Runs as this system account when the test runs as root; as the test's own account otherwise.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// The signal that asks for an orderly end, and the one (with its name) that ends it when the test is gone.
    pub(crate) fn signals(mut self, stop: Signal, death: (Signal, &'static str)) -> Self {
        self.stop_signal = stop;
        self.death_signal = death;
        self
    }

    fn command(&self, log: &Path) -> Result<Command> {
        let mut command = Command::new(find_program("setpriv")?);
        if let Some(account) = self.account.as_deref().filter(|_| is_root()) {
            command.args(["--reuid", account, "--regid", account, "--init-groups"]);
        }
        // `setpriv` replaces itself by the program, so the process id stays.
        command.args(["--pdeathsig", self.death_signal.1, "--"]).arg(&self.program).args(&self.args);
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        for name in &self.unset {
            command.env_remove(name);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let out = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        Ok(command)
    }
}

/// A running child with its output in a log file. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `spec` with standard output and error appended to `log`.
    ///
    /// # Errors
    /// When the program or the log file cannot be opened.
    pub fn start(spec: ProcessSpec, log: impl Into<PathBuf>) -> Result<Self> {
        let log = log.into();
        let child = spawn(spec.command(&log)?).with_context(|| format!("cannot start {}", spec.program.display()))?;
        Ok(Self { spec, log, child })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where standard output and error go.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that the process has printed so far; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The exit status, if the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// When the process ends first, or `limit` passes; the message carries the end of the log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        let name = self.spec.program.display().to_string();
        loop {
            if let Some(status) = self.exited() {
                bail!("{name} ended with {status} before it was ready:\n{}", self.log_tail());
            }
            if ready(self) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{name} is not ready after {limit:?}:\n{}", self.log_tail());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the process has printed `text`.
    ///
    /// # Errors
    /// As [`Process::wait_until`].
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait_until(limit, |process| process.log().contains(text))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exited() {
            bail!("{} has ended with {status}", self.spec.program.display());
        }
        // Not yet waited for, so the id still belongs to this child.
        let pid = Pid::from_raw(i32::try_from(self.pid())?).context("process id 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Sends `SIGHUP`, which asks a server to read its configuration again.
    ///
    /// # Errors
    /// When the process has ended already.
    pub fn hang_up(&mut self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Ends the process as `kill -9` does, at once and without a word to it.
    ///
    /// # Errors
    /// When waiting for it fails.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        if self.exited().is_none() {
            self.signal(Signal::KILL)?;
        }
        Ok(self.child.wait()?)
    }

    /// Asks the process to end (`SIGTERM` unless it wants another signal) and waits; kills it after `limit`.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited() {
            return Ok(status);
        }
        self.signal(self.spec.stop_signal)?;
        self.wait_for_exit(limit)
    }

    /// Waits for the process to end by itself; kills it after `limit`.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.exited() {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill9()?;
        bail!("{} had to be killed after {limit:?}:\n{}", self.spec.program.display(), self.log_tail())
    }

    /// Starts the same command once more, after the old process was ended if it still runs. The log goes on.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.child = spawn(self.spec.command(&self.log)?)?;
        Ok(())
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let signal = self.spec.death_signal.0;
        if self.exited().is_some() || self.signal(signal).is_err() {
            return;
        }
        drop(self.wait_for_exit(Duration::from_secs(5)));
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes `path` belong to the system account that a server runs as, where the test may do that.
pub(crate) fn give_away(path: &Path, account: &str) -> Result<()> {
    if is_root() {
        chown(path, Some(account_id("-u", account)?), Some(account_id("-g", account)?))
            .with_context(|| format!("cannot hand {} to `{account}`", path.display()))?;
    }
    Ok(())
}

fn account_id(flag: &str, account: &str) -> Result<u32> {
    let output = Command::new("id").args([flag, account]).output()?;
    ensure!(output.status.success(), Unavailable::new(format!("the system account `{account}`")));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Runs a command to its end; an error carries what it printed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}{}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns from one thread that lives as long as this process: the kernel's "parent died" signal is about the parent
/// *thread*, and the thread of a test ends while a server it started may be shared by others.
fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                drop(reply.send(command.spawn()));
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    let sender = spawner.lock().unwrap_or_else(PoisonError::into_inner).clone();
    sender.send((command, reply)).map_err(|_| anyhow!("the spawning thread has ended"))?;
    Ok(answer.recv()??)
}
