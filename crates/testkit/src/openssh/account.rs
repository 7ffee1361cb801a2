//! The system account that SSH clients log in as.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::paths::find_program;
use crate::process::is_root;

const NAME: &str = "doorward-ssh";
const HOME: &str = "/var/lib/doorward-ssh";
/// Kept for the next test, readable by root alone: servers that run at once share the account, so none may change it.
const PASSWORD_FILE: &str = "/var/lib/doorward-ssh.password";
const LOCK_FILE: &str = "/run/doorward-ssh.lock";

/// Who logs in.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: PathBuf,
    /// Only the dedicated account has one.
    pub(super) password: Option<String>,
    ids: Option<(u32, u32)>,
}

impl Account {
    /// The dedicated account, made if it is missing, when the test runs as root; the test's own account otherwise.
    pub(super) fn prepare() -> Result<Self> {
        if !is_root() {
            let id = rustix::process::geteuid().as_raw().to_string();
            let (name, home, _) = entry(&id)?.with_context(|| format!("the user id {id} has no account"))?;
            return Ok(Self { name, home, password: None, ids: None });
        }
        // Held until the end of this function: several test processes may be here for the first time.
        let lock = File::options().create(true).append(true).mode(0o600).open(LOCK_FILE)?;
        lock.lock()?;
        let existing = entry(NAME)?;
        let is_new = existing.is_none();
        if is_new {
            let mut useradd = Command::new(find_program("useradd")?);
            useradd.args(["--system", "--create-home", "--home-dir", HOME, "--shell", "/bin/bash"]);
            super::run(useradd.args(["--comment", "Doorward tests", NAME]))?;
        }
        let (name, home, ids) = existing.map_or_else(|| entry(NAME)?.context("`useradd` made no account"), Ok)?;
        let password = password(is_new)?;
        Ok(Self { name, home, password: Some(password), ids: Some(ids) })
    }

    /// Makes `path` belong to the account.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }
}

/// The account's password; a new one if there was none or the account is new.
fn password(account_is_new: bool) -> Result<String> {
    let kept = fs::read_to_string(PASSWORD_FILE).unwrap_or_default();
    if !account_is_new && !kept.is_empty() {
        return Ok(kept);
    }
    let password = random_text()?;
    let mut chpasswd = Command::new(find_program("chpasswd")?)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `chpasswd`")?;
    chpasswd.stdin.take().context("`chpasswd` has no input")?.write_all(format!("{NAME}:{password}\n").as_bytes())?;
    let output = chpasswd.wait_with_output()?;
    ensure!(output.status.success(), "`chpasswd` failed: {}", String::from_utf8_lossy(&output.stderr));
    // Last: a file without the password that goes with it would never be mended.
    let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(PASSWORD_FILE)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(password.as_bytes())?;
    Ok(password)
}

fn random_text() -> Result<String> {
    let mut bytes = [0_u8; 24];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

type Entry = (String, PathBuf, (u32, u32));

/// Name, home and ids of an account by its name or number.
fn entry(key: &str) -> Result<Option<Entry>> {
    let output = Command::new(find_program("getent")?).args(["passwd", key]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut fields = text.trim_end().split(':');
    let Some(name) = fields.next().filter(|name| !name.is_empty()) else { return Ok(None) };
    let mut fields = fields.skip(1);
    let mut number = || fields.next().with_context(|| format!("`getent` printed `{text}`"))?.parse().context("an id");
    let ids = (number()?, number()?);
    let home = fields.nth(1).with_context(|| format!("`getent` printed `{text}`"))?;
    Ok(Some((name.to_owned(), PathBuf::from(home), ids)))
}
