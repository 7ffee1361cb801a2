//! PostgreSQL's own regression tests, as `psql` asks them: it is listened to, so that what a statement is, and what its
//! variables and `\gexec` make of it, is said by it.
#![allow(dead_code, reason = "each test uses a part")]
pub(crate) mod hidden;
pub(crate) mod replay;
pub(crate) mod session;

use doorward_testkit::{Postgres, cache_dir};
use session::{Line, Reply};
use std::{
    io::Read as _,
    net::TcpListener,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

/// What `pg_regress` has its database set to; nothing that goes by what the machine does at the time.
pub(crate) const SETTINGS: &str = "
alter role app superuser;
grant all on schema public to public;
alter database orders set timezone = 'PST8PDT';
alter database orders set datestyle = 'Postgres, MDY';
alter database orders set intervalstyle = 'postgres_verbose';
";

/// Where `scripts/install-test-deps` puts the tests.
pub(crate) fn folder() -> PathBuf {
    cache_dir().join("postgres-regress")
}

/// Whether they could be had: a mirror may have no source packages, and has left out those of before.
pub(crate) fn is_there() -> bool {
    let is_there = folder().join("sql").is_dir();
    if !is_there {
        println!("LEFT OUT: there is no source package of PostgreSQL (scripts/install-test-deps has said why)");
    }
    is_there
}

/// All tests in the order in which they are run.
pub(crate) fn schedule() -> Vec<String> {
    let text = std::fs::read_to_string(folder().join("parallel_schedule")).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("test:"))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The tests that `DOORWARD_REGRESS` names (`all`: every one of them), or these.
pub(crate) fn wanted(usual: &str) -> Vec<String> {
    match std::env::var("DOORWARD_REGRESS").as_deref() {
        Ok("all") => schedule(),
        Ok(list) => list.split_whitespace().map(str::to_owned).collect(),
        Err(_) => usual.split_whitespace().map(str::to_owned).collect(),
    }
}

pub(crate) fn server() -> Postgres {
    let options = Postgres::options().setting("autovacuum", "off").setting("jit", "off");
    options.setting("synchronize_seqscans", "off").start().unwrap()
}

/// Something that `psql` sent, and what it had for an answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) text: String,
    /// The messages with data for COPY.
    pub(crate) data: Vec<u8>,
    pub(crate) reply: Reply,
}

/// Stands before a server, and writes down what it is asked.
pub(crate) struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<Exchange>>>,
    /// Where tests write files.
    results: tempfile::TempDir,
}

impl Listener {
    pub(crate) fn before(server: &Postgres) -> Self {
        let socket = session::socket(server);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let results = tempfile::tempdir().unwrap();
        // The server writes there, too, as somebody else.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        for folder in [results.path(), &results.path().join("results")] {
            let _exists = std::fs::create_dir(folder);
            std::fs::set_permissions(folder, Clone::clone(&everybody)).unwrap();
        }
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), UnixStream::connect(&socket).unwrap());
                let (asked, answered) = (Arc::clone(&all), Arc::clone(&all));
                let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || asks(from, to, &asked));
                std::thread::spawn(move || answers(far, near, &answered));
            }
        });
        Self { port, heard, results }
    }

    /// What `psql` asks, and is answered, where it runs a test.
    pub(crate) fn runs(&self, test: &str) -> Vec<Exchange> {
        let folder = folder();
        let file = std::fs::File::open(folder.join("sql").join(format!("{test}.sql"))).unwrap();
        let mut psql = Command::new("psql");
        let status = psql
            .args(["-X", "-q", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "app", "-d", "orders"])
            .env("PGSSLMODE", "disable")
            .env("PGGSSENCMODE", "disable")
            .env("PG_ABS_SRCDIR", readable(&folder, self.results.path()))
            .env("PG_ABS_BUILDDIR", self.results.path())
            .env("PG_LIBDIR", "/nowhere")
            .env("PG_DLSUFFIX", ".so")
            .stdin(Stdio::from(file))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().code().is_some(), "psql was ended");
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// The server reads `data` as somebody else, who may not get into every folder.
fn readable(folder: &Path, results: &Path) -> PathBuf {
    let copied = results.join("data");
    if !copied.exists() {
        std::fs::create_dir(&copied).unwrap();
        for file in std::fs::read_dir(folder.join("data")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copied.join(file.file_name())).unwrap();
        }
    }
    results.to_path_buf()
}

fn asks(mut from: std::net::TcpStream, to: UnixStream, heard: &Mutex<Vec<Exchange>>) {
    let mut to = Line::new(to);
    let mut length = [0; 4];
    from.read_exact(&mut length).unwrap();
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    from.read_exact(&mut startup).unwrap();
    to.write(&[&length[..], &startup].concat());
    let mut from = Line::new(from);
    while let Some((kind, body)) = from.read() {
        let message = session::message(kind, &body);
        let mut heard = heard.lock().unwrap();
        match kind {
            b'Q' => {
                let text = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap()).into_owned();
                heard.push(Exchange { text, data: Vec::new(), reply: Reply::default() });
            }
            b'd' | b'c' | b'f' => heard.last_mut().unwrap().data.extend(&message),
            _ => {}
        }
        drop(heard);
        to.write(&message);
    }
    to.ends();
}

fn answers(from: UnixStream, to: std::net::TcpStream, heard: &Mutex<Vec<Exchange>>) {
    let (mut from, mut to) = (Line::new(from), Line::new(to));
    while let Some((kind, body)) = from.read() {
        if let Some(exchange) = heard.lock().unwrap().last_mut() {
            exchange.reply.add(kind, &body);
        }
        to.write(&session::message(kind, &body));
    }
    to.ends();
}
