//! A client that sends what `psql` sent, and keeps of each answer what it takes to compare it.
use super::Exchange;
use crate::{common::World, veiled::wire::Beginning};
use doorward_testkit::Postgres;
use std::{
    hash::{DefaultHasher, Hasher as _},
    io::{BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

/// How long an answer may take, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first OID of what is not the server's own: others differ from server to server.
const FIRST_NORMAL_OID: u32 = 16384;

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// Where a server listens to those who may come in without a password.
pub(crate) fn socket(server: &Postgres) -> PathBuf {
    server.socket_directory().join(format!(".s.PGSQL.{}", server.port()))
}

/// A connection, of either kind.
pub(crate) trait Stream: Read + Write + Send {
    fn twin(&self) -> Box<dyn Stream>;
    fn ends(&self);
}

impl Stream for TcpStream {
    fn twin(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
    fn ends(&self) {
        let _gone = self.shutdown(Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
    fn ends(&self) {
        let _gone = self.shutdown(Shutdown::Both);
    }
}

/// Messages over a connection; one that is gone reads as its end.
pub(crate) struct Line {
    input: BufReader<Box<dyn Stream>>,
    out: Box<dyn Stream>,
}

impl Line {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, stream.twin()), out: Box::new(stream) }
    }

    pub(crate) fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.input.read_exact(&mut head).ok()?;
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        self.input.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _gone = self.out.write_all(bytes);
    }

    pub(crate) fn ends(&self) {
        self.out.ends();
    }
}

/// What was answered, but for what is other at each server: OIDs, the numbers of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    digest: u64,
    pub(crate) beginning: Beginning,
    /// What the first error says.
    pub(crate) error: Option<String>,
    /// Whether rows of a SELECT came.
    pub(crate) selects: bool,
}

impl Reply {
    pub(crate) fn add(&mut self, kind: u8, body: &[u8]) {
        if matches!(kind, b'S' | b'K' | b'R' | b'A' | b'Z') {
            return;
        }
        let compared = if kind == b'T' { without_oids(body) } else { body.to_vec() };
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.digest);
        hasher.write_u8(kind);
        hasher.write(&compared);
        self.digest = hasher.finish();
        self.beginning.add(&[kind]);
        self.beginning.add(&compared);
        self.selects |= kind == b'C' && body.starts_with(b"SELECT ");
        if kind == b'E' && self.error.is_none() {
            let said = body.split(|b| *b == 0).find_map(|field| field.strip_prefix(b"M")).unwrap_or_default();
            self.error = Some(String::from_utf8_lossy(said).into_owned());
        }
    }

    /// Whether it was Doorward that answered.
    pub(crate) fn is_refused(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.contains(" refused: "))
    }
}

/// A row description without the OIDs of tables and of types that are not the server's own.
fn without_oids(body: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (body[..2].to_vec(), &body[2..]);
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        let (name, after) = rest.split_at(end + 1);
        let (field, after) = after.split_at(18);
        let type_oid = u32::from_be_bytes([field[6], field[7], field[8], field[9]]);
        out.extend(name);
        out.extend(if type_oid < FIRST_NORMAL_OID { &field[6..] } else { &field[10..] });
        rest = after;
    }
    out
}

/// A session of somebody.
pub(crate) struct Session(Line);

impl Session {
    /// Through the gateway, on loopback, without TLS.
    pub(crate) fn through(world: &World, token: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::begun(Line::new(stream), &message(b'p', &[token.as_bytes(), b"\0"].concat()))
    }

    /// At the server, as who owns the database.
    pub(crate) fn at(server: &Postgres) -> Self {
        let stream = UnixStream::connect(socket(server)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::begun(Line::new(stream), b"")
    }

    fn begun(mut line: Line, password: &[u8]) -> Self {
        let body = [&[0, 3, 0, 0][..], b"user\0app\0database\0orders\0application_name\0psql\0\0"].concat();
        line.write(&[&(body.len() as u32 + 4).to_be_bytes()[..], &body, password].concat());
        let mut session = Self(line);
        let welcome = session.answer(&[]).unwrap();
        assert_eq!(welcome.error, None);
        session
    }

    /// The answer; none if the session is over.
    pub(crate) fn ask(&mut self, asked: &Exchange) -> Option<Reply> {
        self.0.write(&message(b'Q', &[asked.text.as_bytes(), b"\0"].concat()));
        self.answer(&asked.data)
    }

    pub(crate) fn says(&mut self, text: &str) -> Option<Reply> {
        self.ask(&Exchange { text: text.to_owned(), data: Vec::new(), reply: Reply::default() })
    }

    fn answer(&mut self, mut data: &[u8]) -> Option<Reply> {
        let mut reply = Reply::default();
        loop {
            let (kind, body) = self.0.read()?;
            reply.add(kind, &body);
            if kind == b'Z' {
                return Some(reply);
            }
            if kind == b'G' {
                // All that there is, also for further ones in the same text.
                let none = message(b'f', b"no data\0");
                self.0.write(if data.is_empty() { &none } else { data });
                data = &[];
            }
        }
    }
}
