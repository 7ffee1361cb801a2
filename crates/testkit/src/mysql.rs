//! MySQL and MariaDB servers.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{Process, ProcessSpec, give_away, run};
use crate::tls::{Authority, Identity};

mod install;

use install::Installation;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The system account that the servers run as when the tests run as root.
const ACCOUNT: &str = "mysql";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MySqlRelease {
    /// Debian's MariaDB (10.11).
    #[default]
    DebianMariaDb,
    /// MariaDB 11, in the cache folder.
    MariaDb11,
    /// MySQL 9, in the cache folder.
    MySql9,
}

impl MySqlRelease {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DebianMariaDb, Self::MariaDb11, Self::MySql9];

    /// Whether it is MariaDB.
    #[must_use]
    pub fn is_mariadb(self) -> bool {
        self != Self::MySql9
    }

    /// The method that a new account has unless told otherwise.
    #[must_use]
    pub fn default_auth(self) -> MySqlAuth {
        if self.is_mariadb() { MySqlAuth::Native } else { MySqlAuth::CachingSha2 }
    }
}

/// How an account proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MySqlAuth {
    /// `mysql_native_password`: MariaDB; MySQL 9 knows it in its clients alone.
    Native,
    /// `caching_sha2_password`: MySQL, and MariaDB 11.
    CachingSha2,
    /// `sha256_password`: MySQL.
    Sha256,
    /// `ed25519`: MariaDB.
    Ed25519,
    /// `parsec`: MariaDB 11.
    Parsec,
}

impl MySqlAuth {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Native, Self::CachingSha2, Self::Sha256, Self::Ed25519, Self::Parsec];

    /// Whether a server has it.
    #[must_use]
    pub fn is_known_to(self, release: MySqlRelease) -> bool {
        match self {
            Self::CachingSha2 => release != MySqlRelease::DebianMariaDb,
            Self::Sha256 => !release.is_mariadb(),
            Self::Native | Self::Ed25519 => release.is_mariadb(),
            Self::Parsec => release == MySqlRelease::MariaDb11,
        }
    }

    fn identified(self, release: MySqlRelease, password: &str) -> String {
        let plugin = match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Ed25519 => "ed25519",
            Self::Parsec => "parsec",
        };
        let password = literal(password);
        if release.is_mariadb() {
            format!("IDENTIFIED VIA {plugin} USING PASSWORD({password})")
        } else {
            format!("IDENTIFIED WITH {plugin} BY {password}")
        }
    }
}

/// What server to start. Made by [`MySql::options`].
#[derive(Debug, Clone)]
pub struct MySqlOptions {
    release: MySqlRelease,
    auth: Option<MySqlAuth>,
    tls: bool,
    clear_text_refused: bool,
    user: String,
    password: String,
    database: String,
    settings: Vec<String>,
}

impl MySqlOptions {
    /// Another server than Debian's MariaDB.
    #[must_use]
    pub fn release(mut self, release: MySqlRelease) -> Self {
        self.release = release;
        self
    }

    /// The authentication method of the login account, by default the server's own default.
    #[must_use]
    pub fn auth(mut self, auth: MySqlAuth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Offers TLS with a certificate of an authority made for this server.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Offers TLS and refuses connections without it.
    #[must_use]
    pub fn tls_required(mut self) -> Self {
        self.tls = true;
        self.clear_text_refused = true;
        self
    }

    /// The account that owns the database, by default `app` with the password `app-password`.
    #[must_use]
    pub fn user(mut self, user: &str, password: &str) -> Self {
        user.clone_into(&mut self.user);
        password.clone_into(&mut self.password);
        self
    }

    /// The database, by default `orders`.
    #[must_use]
    pub fn database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// Adds an option of the server's command line, such as `--sql-mode=ANSI_QUOTES`.
    #[must_use]
    pub fn setting(mut self, option: &str) -> Self {
        self.settings.push(option.to_owned());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// [`crate::Unavailable`] when the release is not installed; otherwise whatever went wrong, with the server's log.
    pub fn start(self) -> Result<MySql> {
        MySql::start_with(self)
    }

    fn arguments(&self, directory: &Path, tls: Option<(&Authority, &Identity)>) -> Vec<String> {
        let place = |option: &str, name: &str| format!("--{option}={}", directory.join(name).display());
        let mut out = vec![
            place("datadir", "data"),
            place("socket", "socket"),
            place("pid-file", "pid"),
            place("tmpdir", "tmp"),
            place("secure-file-priv", "files"),
        ];
        let plain = "--bind-address=127.0.0.1 --max-connections=200 --default-time-zone=+00:00 --skip-name-resolve \
             --local-infile=1 --skip-log-bin --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF \
             --innodb-buffer-pool-size=64M --table-open-cache=400";
        out.extend(plain.split_whitespace().map(str::to_owned));
        let own: &[&str] = match self.release {
            MySqlRelease::DebianMariaDb => &["--plugin-load-add=auth_ed25519"],
            MySqlRelease::MariaDb11 => &[
                "--plugin-load-add=auth_ed25519",
                "--plugin-load-add=auth_parsec",
                "--plugin-load-add=auth_mysql_sha2",
            ],
            MySqlRelease::MySql9 => &["--mysqlx=OFF"],
        };
        out.extend(own.iter().map(|option| (*option).to_owned()));
        match tls {
            Some((authority, identity)) => {
                out.push(format!("--ssl-ca={}", authority.ca_file().display()));
                out.push(format!("--ssl-cert={}", identity.cert.display()));
                out.push(format!("--ssl-key={}", identity.key.display()));
            }
            // Both make certificates of their own unless told not to.
            None if self.release.is_mariadb() => out.push("--skip-ssl".to_owned()),
            None => out.push("--tls-version=".to_owned()),
        }
        if self.clear_text_refused {
            out.push("--require-secure-transport=ON".to_owned());
        }
        out.extend(self.settings.iter().cloned());
        out
    }
}

/// A running MySQL or MariaDB, ended and its directory removed when dropped.
///
/// Its `root` gets in through the Unix socket without a password; on TCP there are the login account and those made by
/// [`MySql::create_account`].
#[derive(Debug)]
pub struct MySql {
    process: Process,
    options: MySqlOptions,
    installation: Installation,
    authority: Option<Authority>,
    port: u16,
    // Last: removed after the server has ended.
    directory: TempDir,
}

impl MySql {
    /// A server to be described further.
    #[must_use]
    pub fn options() -> MySqlOptions {
        MySqlOptions {
            release: MySqlRelease::default(),
            auth: None,
            tls: false,
            clear_text_refused: false,
            user: "app".to_owned(),
            password: "app-password".to_owned(),
            database: "orders".to_owned(),
            settings: Vec::new(),
        }
    }

    fn start_with(options: MySqlOptions) -> Result<Self> {
        let installation = Installation::find(options.release)?;
        let directory =
            tempfile::Builder::new().prefix("doorward-mysql-").permissions(Permissions::from_mode(0o755)).tempdir()?;
        installation.new_data_directory(&directory.path().join("data"))?;
        for folder in ["tmp", "files"] {
            fs::create_dir(directory.path().join(folder))?;
            give_away(&directory.path().join(folder), ACCOUNT)?;
        }
        give_away(directory.path(), ACCOUNT)?;
        let issued = if options.tls {
            let authority = Authority::create(&directory.path().join("tls"))?;
            let identity = authority.server("server")?;
            give_away(&identity.key, ACCOUNT)?;
            Some((authority, identity))
        } else {
            None
        };
        let arguments = options.arguments(directory.path(), issued.as_ref().map(|(a, i)| (a, i)));
        let (process, port) = launch(&installation, directory.path(), &arguments)?;
        let authority = issued.map(|(authority, _)| authority);
        let server = Self { process, options, installation, authority, port, directory };
        server.create_login_and_database()?;
        Ok(server)
    }

    fn create_login_and_database(&self) -> Result<()> {
        let MySqlOptions { user, password, database, .. } = &self.options;
        let auth = self.options.auth.unwrap_or_else(|| self.options.release.default_auth());
        self.exec_in(None, &format!("CREATE DATABASE {} CHARACTER SET utf8mb4", identifier(database)))?;
        self.create_account(user, password, auth)?;
        self.exec(&format!("GRANT ALL ON {}.* TO {}@'%'", identifier(database), literal(user)))
    }

    /// Makes an account that may log in from anywhere, and nothing else.
    ///
    /// # Errors
    /// When the server does not know the method.
    pub fn create_account(&self, user: &str, password: &str, auth: MySqlAuth) -> Result<()> {
        let identified = auth.identified(self.options.release, password);
        self.exec(&format!("CREATE USER {}@'%' {identified}", literal(user)))
    }

    /// Which server it is.
    #[must_use]
    pub fn release(&self) -> MySqlRelease {
        self.options.release
    }

    /// Its version, such as `9.7.4-2` or `11.8.9-MariaDB-4`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.installation.version()
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The Unix socket, through which `root` gets in without a password.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The folder that `LOAD DATA` and `INTO OUTFILE` may use.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// The login account.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.options.user
    }

    /// The login account's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.options.database
    }

    /// The authority that issued the server's certificate, if TLS is on.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The server's own command-line client: `mysql` or `mariadb`.
    #[must_use]
    pub fn client(&self) -> &Path {
        self.installation.client()
    }

    /// The folder of its plugins, those of its client among them.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.installation.plugins()
    }

    /// The command-line client of this release, told to reach `address` as `user` with `password`.
    #[must_use]
    pub fn client_of(&self, address: SocketAddr, user: &str, password: &str) -> Command {
        let mut command = clean(self.client());
        command.arg(format!("--host={}", address.ip())).arg(format!("--port={}", address.port()));
        command.args(["--protocol=TCP", "--batch", "--skip-column-names"]).arg(format!("--user={user}"));
        // MariaDB's client takes the variable, which shows in no list of processes.
        command.env("MYSQL_PWD", password);
        match self.authority() {
            Some(authority) => command.arg(format!("--ssl-ca={}", authority.ca_file().display())),
            None if self.release() == MySqlRelease::MariaDb11 => command.arg("--skip-ssl-verify-server-cert"),
            None => &mut command,
        };
        command
    }

    /// The server's process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs SQL as `root` in the server's database.
    ///
    /// # Errors
    /// What the client printed, at the first statement that fails.
    pub fn exec(&self, sql: &str) -> Result<()> {
        self.exec_in(Some(&self.options.database), sql)
    }

    /// Runs statements as `root` and returns their rows: a line each, columns parted by tabs.
    ///
    /// # Errors
    /// What the client printed.
    pub fn query(&self, sql: &str) -> Result<String> {
        let output = self.run_client(["--batch", "--skip-column-names", "-D", &self.options.database, "-e", sql])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs the client as `root`.
    ///
    /// # Errors
    /// When it cannot be started; its exit status is the caller's to look at.
    pub fn run_client(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        Ok(root_client(&self.installation, self.directory.path()).args(args).output()?)
    }

    /// Restarts the server on the same port with the same data, after an orderly end.
    ///
    /// # Errors
    /// When it does not end or does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT)?;
        self.process.restart()?;
        wait_until_it_answers(&mut self.process, &self.installation, self.directory.path())
    }

    fn exec_in(&self, database: Option<&str>, sql: &str) -> Result<()> {
        let mut command = root_client(&self.installation, self.directory.path());
        if let Some(database) = database {
            command.args(["-D", database]);
        }
        run(command.args(["-e", sql]))
    }
}

/// Starts the server on a free port, on another one should somebody have been quicker.
fn launch(installation: &Installation, directory: &Path, arguments: &[String]) -> Result<(Process, u16)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = free_port()?;
        let spec = ProcessSpec::new(installation.server())
            .arg("--no-defaults")
            .args(installation.places())
            .args(arguments)
            .arg(format!("--port={port}"))
            .account(ACCOUNT)
            .directory(directory);
        let mut process = Process::start(spec, directory.join("log"))?;
        match wait_until_it_answers(&mut process, installation, directory) {
            Err(_) if attempts < 5 && process.log().contains("Address already in use") => {}
            outcome => return outcome.map(|()| (process, port)),
        }
    }
}

fn wait_until_it_answers(process: &mut Process, installation: &Installation, directory: &Path) -> Result<()> {
    process.wait_until(START_LIMIT, |_| {
        let mut probe = root_client(installation, directory);
        probe.args(["-e", "SELECT 1"]).output().is_ok_and(|output| output.status.success())
    })
}

fn root_client(installation: &Installation, directory: &Path) -> Command {
    let mut command = clean(installation.client());
    command.arg(format!("--socket={}", directory.join("socket").display())).arg("--user=root");
    if installation.release().is_mariadb() {
        // Its newer clients want a certificate they can verify, even here.
        command.arg("--skip-ssl");
    }
    command
}

/// A client that reads no option file and no variable of the machine.
fn clean(client: &Path) -> Command {
    let mut command = Command::new(client);
    for name in ["MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_PWD", "MYSQL_GROUP_SUFFIX"] {
        command.env_remove(name);
    }
    command.args(["--no-defaults", "--default-character-set=utf8mb4"]);
    command
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
