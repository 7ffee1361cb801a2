//! Finding a MySQL or MariaDB and giving it a data directory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{ACCOUNT, MySqlRelease};
use crate::paths::{Unavailable, cache_dir, find_program};
use crate::process::{give_away, is_root, run};

/// The files of MariaDB's system tables, in the order of its `mariadb-install-db`; before 11 with `mysql` in their names.
const SYSTEM_TABLES: [&str; 6] = [
    "{}_system_tables.sql",
    "{}_performance_tables.sql",
    "{}_system_tables_data.sql",
    "fill_help_tables.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "{}_sys_schema.sql",
];

/// A MySQL or MariaDB on this machine.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    release: MySqlRelease,
    server: PathBuf,
    client: PathBuf,
    prefix: PathBuf,
    version: String,
}

impl Installation {
    pub(super) fn find(release: MySqlRelease) -> Result<Self> {
        let (server, client, prefix) = match release {
            MySqlRelease::DebianMariaDb => {
                let installed = PathBuf::from("/usr/sbin/mariadbd");
                (installed, find_program("mariadb")?, PathBuf::from("/usr"))
            }
            MySqlRelease::MariaDb11 => unpacked("mariadb-11", "mariadbd", "mariadb"),
            MySqlRelease::MySql9 => unpacked("mysql-9", "mysqld", "mysql"),
        };
        if !server.is_file() {
            return Err(Unavailable::new(server.display().to_string()).into());
        }
        let output = Command::new(&server).args(["--no-defaults", "--version"]).output()?;
        ensure!(output.status.success(), "{} does not run: {output:?}", server.display());
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let version =
            printed.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap_or("unknown").to_owned();
        Ok(Self { release, server, client, prefix, version })
    }

    pub(super) fn release(&self) -> MySqlRelease {
        self.release
    }

    pub(super) fn server(&self) -> &Path {
        &self.server
    }

    pub(super) fn client(&self) -> &Path {
        &self.client
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Where the server finds its own files, whatever its package was built to believe.
    pub(super) fn places(&self) -> Vec<String> {
        let share = self.share();
        vec![
            format!("--basedir={}", self.prefix.display()),
            format!("--plugin-dir={}", self.plugins().display()),
            format!("--lc-messages-dir={}", share.display()),
            format!("--character-sets-dir={}", share.join("charsets").display()),
        ]
    }

    pub(super) fn plugins(&self) -> PathBuf {
        self.prefix.join("lib/mysql/plugin")
    }

    fn share(&self) -> PathBuf {
        let mariadb = self.prefix.join("share/mariadb");
        if self.release.is_mariadb() && mariadb.is_dir() { mariadb } else { self.prefix.join("share/mysql") }
    }

    /// Makes `data` a fresh data directory, by copying one that was made once.
    pub(super) fn new_data_directory(&self, data: &Path) -> Result<()> {
        let template = self.template()?;
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(data))
    }

    fn template(&self) -> Result<PathBuf> {
        let account = if is_root() { ACCOUNT } else { "self" };
        let template = cache_dir().join("mysql-template").join(format!("{account}-{}", self.version));
        if template.is_dir() {
            return Ok(template);
        }
        // The cache may be where the server's account cannot go: made in /tmp, then moved by us.
        let workshop = TempDir::with_prefix("doorward-mysql-init-")?;
        give_away(workshop.path(), ACCOUNT)?;
        let made = workshop.path().join("data");
        if self.release.is_mariadb() {
            self.bootstrap(&made)?
        } else {
            self.initialize(&made)?
        }
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

    /// MySQL makes its system tables itself.
    fn initialize(&self, data: &Path) -> Result<()> {
        let mut command = self.as_server_account()?;
        command.args(["--no-defaults", "--initialize-insecure", "--secure-file-priv="]).args(self.places());
        run(command.arg(format!("--datadir={}", data.display())))
    }

    /// MariaDB reads the statements that make its system tables.
    fn bootstrap(&self, data: &Path) -> Result<()> {
        fs::create_dir(data)?;
        fs::create_dir(data.join("mysql"))?;
        give_away(data, ACCOUNT)?;
        give_away(&data.join("mysql"), ACCOUNT)?;
        let name = if self.share().join("mariadb_system_tables.sql").is_file() { "mariadb" } else { "mysql" };
        let mut statements =
            "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n".to_owned();
        for file in SYSTEM_TABLES {
            let file = self.share().join(file.replace("{}", name));
            statements += &fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        }
        let mut command = self.as_server_account()?;
        command.args(["--no-defaults", "--bootstrap", "--innodb-log-file-size=16M", "--skip-log-bin"]);
        command.args(self.places()).arg(format!("--datadir={}", data.display()));
        let log = data.with_extension("log");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let mut server = command.spawn()?;
        server.stdin.take().context("the server has a standard input")?.write_all(statements.as_bytes())?;
        let status = server.wait()?;
        ensure!(status.success(), "{} --bootstrap: {}", self.server.display(), fs::read_to_string(&log)?);
        Ok(())
    }

    /// Both refuse to run as root.
    fn as_server_account(&self) -> Result<Command> {
        if !is_root() {
            return Ok(Command::new(&self.server));
        }
        let mut command = Command::new(find_program("setpriv")?);
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups", "--"]).arg(&self.server);
        command.current_dir("/");
        Ok(command)
    }
}

/// What `e2e/mysql/unpack` has left in the cache.
fn unpacked(folder: &str, server: &str, client: &str) -> (PathBuf, PathBuf, PathBuf) {
    let folder = cache_dir().join("mysql").join(folder);
    (folder.join("bin").join(server), folder.join("bin").join(client), folder.join("root/usr"))
}
