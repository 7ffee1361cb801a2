//! A real PostgreSQL, a development issuer and a gateway, for the tests beside this folder.
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test support")]
pub mod browser;
pub mod kubernetes;
pub mod mysql;
pub mod mysql_credentials;
pub mod ssh;

use doorward_testkit::{Gateway, Postgres, Process, ProcessSpec, free_port, wait_for_port};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

pub const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");

pub struct World {
    pub postgres: Postgres,
    pub gateway: Gateway,
    pub port: u16,
    pub api: u16,
    issuer: Issuer,
}

/// A development issuer.
pub struct Issuer {
    pub url: String,
    dev: tempfile::TempDir,
    process: Process,
}

impl Issuer {
    pub fn start() -> Self {
        let dev = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let process = Process::start(
            ProcessSpec::new(DOORWARD)
                .args(["dev", "issuer", "--dir"])
                .arg(dev.path().to_str().unwrap())
                .args(["--listen", &format!("127.0.0.1:{port}")]),
            dev.path().join("issuer.log"),
        )
        .unwrap();
        wait_for_port(SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(10)).unwrap();
        Self { url: format!("http://127.0.0.1:{port}"), dev, process }
    }

    /// Where its key is.
    pub fn directory(&self) -> &Path {
        self.dev.path()
    }

    pub fn token(&self, sub: &str, groups: &[&str], extra: &[&str]) -> String {
        let mut command = Command::new(DOORWARD);
        command.args(["dev", "token", "--sub", sub, "--dir"]).arg(self.dev.path());
        for group in groups {
            command.args(["--group", group]);
        }
        let out = command.args(extra).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }
}

/// Runs a command of ours against a gateway's state and API; standard output and error together.
pub fn doorward(state: &Path, api: u16, token: &str, args: &[&str]) -> (bool, String) {
    let out = Command::new(DOORWARD)
        .args(args)
        .env("DOORWARD_STATE_DIR", state)
        .env("DOORWARD_URL", format!("http://127.0.0.1:{api}"))
        .env("DOORWARD_TOKEN", token)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.success(), text)
}

/// What is sensitive in them.
const TAGS: &str = r#"tags = { "public.customers.ssn" = ["pii"], "public.customers.email" = ["pii", "email"], "public.customers.card" = ["pii", "card"] }"#;

/// Tables of the demonstration, with values that must not be seen.
pub const SCHEMA: &str = "
create table customers(id int primary key, name text, email text unique, card text, ssn text, notes text);
create table orders(id int primary key, customer int, status text, total numeric);
create table products(id int primary key, name text);
create view contacts as select id, email as contact from customers;
insert into customers select g, 'Name '||g, 'user'||g||'@example.com', '4111111111111111', '078-05-1120', 'mail bob'||g||'@example.org' from generate_series(1,5) g;
insert into orders select g, g, 'open', g*10 from generate_series(1,5) g;
insert into products select g, 'thing '||g from generate_series(1,5) g;
";

impl World {
    /// The seed policies, on the demonstration's tables.
    pub fn demo() -> Self {
        let policy =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar")).unwrap();
        let world = Self::with(&policy, "");
        world.postgres.exec(&format!("set role {};\n{SCHEMA}", world.postgres.user())).unwrap();
        world
    }

    /// Any policies and further lines for the connection.
    pub fn with(policy: &str, connection: &str) -> Self {
        Self::over(Postgres::start().unwrap(), policy, connection)
    }

    pub fn over(postgres: Postgres, policy: &str, connection: &str) -> Self {
        let upstream = postgres.address().to_string();
        Self::behind(postgres, &upstream, policy, connection)
    }

    /// As [`over`](Self::over), with the gateway sent to `upstream`, which is the server's other name
    /// or something that stands in front of it.
    pub fn behind(postgres: Postgres, upstream: &str, policy: &str, connection: &str) -> Self {
        let issuer = Issuer::start();
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let tls = if connection.contains("tls ") || connection.contains("tls=") { "" } else { "tls = \"disable\"" };
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["dba"]
[[identity.issuers]]
name = "dev"
issuer = "{issuer_url}"
audience = ["doorward"]
principal = "agent"
tags = {{ repository = "repository" }}
[[connections]]
name = "orders"
kind = "postgres"
listen = "127.0.0.1:{port}"
upstream = "{upstream}"
database = "orders"
{user}
{credential}
{tags}
{tls}
{connection}
[policy]
files = ["policy.cedar"]
"#,
            issuer_url = issuer.url,
            tags = if connection.contains("tags =") { "" } else { TAGS },
            user = if connection.contains("the user comes with it") {
                String::new()
            } else {
                format!("user = \"{}\"", postgres.user())
            },
            credential = if connection.contains("credential") {
                String::new()
            } else {
                format!("credential = {{ value = \"{}\" }}", postgres.password())
            },
        );
        let gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", policy).start().unwrap();
        Self { postgres, gateway, port, api, issuer }
    }

    pub fn token(&self, sub: &str, groups: &[&str], extra: &[&str]) -> String {
        self.issuer.token(sub, groups, extra)
    }

    pub fn issuer(&self) -> &str {
        &self.issuer.url
    }

    pub fn state(&self) -> PathBuf {
        self.gateway.directory().join("state")
    }

    pub fn ca(&self) -> PathBuf {
        self.state().join("dev-tls.crt")
    }

    /// Runs psql through the gateway; standard output and error together.
    pub fn psql(&self, token: &str, args: &[&str]) -> String {
        let out = self.psql_command(token).args(args).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    pub fn psql_command(&self, token: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-A", "-t", "-h", "localhost", "-U", "anybody", "-d", "orders", "-p", &self.port.to_string()])
            .env("PGPASSWORD", token)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", self.ca());
        command
    }

    /// Runs a command of ours against the gateway's state and API.
    pub fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.state(), self.api, token, args)
    }

    /// Audit entries of a kind, as JSON.
    pub fn audit(&self, kind: &str) -> Vec<serde_json::Value> {
        let (ok, text) = self.doorward("", &["audit", "list", "--output", "json", "--event", kind]);
        assert!(ok, "{text}");
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

/// Listens on `at` (port 0: any) and passes every connection on to `to`. Says where it listens.
pub fn forward(at: &str, to: SocketAddr) -> String {
    forward_with(at, to, |_, _| Meddle::Pass)
}

/// What a forwarder does with bytes on their way to the server.
pub enum Meddle {
    Pass,
    /// The server does not hear of it; the other side gets these bytes instead, and the end of the
    /// stream after them if `close`.
    Answer {
        bytes: Vec<u8>,
        close: bool,
    },
}

/// As [`forward`], with `meddle` (number of the connection, bytes) asked about all that goes to the server.
pub fn forward_with(
    at: &str,
    to: SocketAddr,
    meddle: impl Fn(usize, &[u8]) -> Meddle + Send + Sync + 'static,
) -> String {
    use std::{
        io::{Read as _, Write as _},
        net::{Shutdown, TcpListener, TcpStream},
        sync::Arc,
        thread::spawn,
    };
    let listener = TcpListener::bind(at).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let meddle = Arc::new(meddle);
    spawn(move || {
        for (number, near) in listener.incoming().enumerate() {
            let (Ok(mut near), Ok(mut far)) = (near, TcpStream::connect(to)) else { continue };
            let (mut near_out, mut far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            spawn(move || {
                let _done = std::io::copy(&mut far_in, &mut near_out);
                let _done = near_out.shutdown(Shutdown::Write);
            });
            let meddle = Arc::clone(&meddle);
            spawn(move || {
                let mut chunk = vec![0; 65536];
                while let Ok(n @ 1..) = near.read(&mut chunk) {
                    match meddle(number, &chunk[..n]) {
                        Meddle::Pass => {
                            if far.write_all(&chunk[..n]).is_err() {
                                break;
                            }
                        }
                        Meddle::Answer { bytes, close } => {
                            let _gone = near.write_all(&bytes);
                            if close {
                                let _gone = near.shutdown(Shutdown::Write);
                            }
                        }
                    }
                }
                let _done = far.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// A file system of 48 MiB over a folder, which needs root; gone when it is dropped.
pub struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    pub fn mount(over: &std::path::Path) -> Self {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(over).status().unwrap();
        assert!(mounted.success());
        Self(over.to_path_buf())
    }

    /// Uses up what is left, until the file that it returns is removed.
    pub fn fill(&self) -> std::path::PathBuf {
        use std::io::Write as _;
        let filler = self.0.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        let block = vec![0_u8; 1 << 16];
        while file.write_all(&block).is_ok() {}
        assert!(std::fs::metadata(&filler).unwrap().len() > 1 << 20);
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
