//! A client that asks many statements before it reads an answer, and keeps of each answer what it takes to compare it.
use crate::common::World;
use std::{
    hash::{DefaultHasher, Hasher as _},
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// How long an answer may take, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was answered to one statement, every byte of it, but short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) digest: u64,
    /// How it begins.
    pub(crate) beginning: Beginning,
    /// What the first error says.
    pub(crate) error: Option<String>,
}

/// The first bytes of an answer, to be shown where two differ.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Beginning(Vec<u8>);

impl Beginning {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let left = 1000_usize.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..left.min(bytes.len())]);
    }
}

impl std::fmt::Debug for Beginning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n  {}\n", self.0.escape_ascii())
    }
}

/// How a statement is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As a Query.
    Simple,
    /// Prepared and bound, its results in binary.
    Binary,
    /// As a Query for each line, and rolled back.
    RolledBack,
}

pub(crate) struct Wire {
    out: TcpStream,
    input: BufReader<TcpStream>,
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"].concat())
}

/// The messages that ask a statement, and how many ReadyForQuery answer them.
fn asks(statement: &str, how: How) -> (Vec<u8>, usize) {
    match how {
        How::Simple => (query(statement), 1),
        How::RolledBack => {
            let lines: Vec<&str> = statement.split(";\n").collect();
            // What was prepared, and what was declared WITH HOLD, would stay.
            let ends = if lines.len() > 1 { &["rollback", "deallocate all", "close all"][..] } else { &["rollback"] };
            let begun = lines.iter().enumerate().map(|(n, line)| match n {
                0 => query(&format!("begin; {line}")),
                _ => query(line),
            });
            let all: Vec<Vec<u8>> = begun.chain(ends.iter().map(|end| query(end))).collect();
            (all.concat(), all.len())
        }
        How::Binary => {
            let parse = message(b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat());
            let bind = message(b'B', b"\0\0\0\0\0\0\0\x01\0\x01");
            let (describe, execute) = (message(b'D', b"P\0"), message(b'E', b"\0\0\0\0\0"));
            ([parse, bind, describe, execute, message(b'S', b"")].concat(), 1)
        }
    }
}

impl Wire {
    /// Logs in on loopback, without TLS.
    pub(crate) fn new(world: &World, token: &str) -> Self {
        let mut out = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
        out.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = [&[0, 3, 0, 0][..], b"user\0x\0database\0orders\0\0"].concat();
        let password = message(b'p', &[token.as_bytes(), b"\0"].concat());
        out.write_all(&[&(body.len() as u32 + 4).to_be_bytes()[..], &body, &password].concat()).unwrap();
        let input = BufReader::with_capacity(1 << 16, out.try_clone().unwrap());
        let mut wire = Self { out, input };
        let welcome = wire.answer(1, "the log-in");
        assert_eq!(welcome.error, None);
        wire
    }

    /// The answers to all of these.
    pub(crate) fn ask(&mut self, statements: &[(String, How)]) -> Vec<Answer> {
        let all: Vec<_> = statements.iter().map(|(text, how)| asks(text, *how)).collect();
        let mut out = self.out.try_clone().unwrap();
        std::thread::scope(|s| {
            s.spawn(|| all.iter().for_each(|(messages, _)| out.write_all(messages).unwrap()));
            statements.iter().zip(&all).map(|((text, _), (_, ready))| self.answer(*ready, text)).collect()
        })
    }

    fn answer(&mut self, ready: usize, to: &str) -> Answer {
        let (mut seen, mut body, mut hasher, mut error) = (0, Vec::new(), DefaultHasher::new(), None);
        let mut beginning = Beginning::default();
        while seen < ready {
            let mut head = [0; 5];
            self.input.read_exact(&mut head).unwrap_or_else(|e| panic!("{e}: {to}"));
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            body.resize(length - 4, 0);
            self.input.read_exact(&mut body).unwrap_or_else(|e| panic!("{e}: {to}"));
            // The numbers of the session are its own.
            if head[0] != b'K' {
                hasher.write(&head);
                hasher.write(&body);
                beginning.add(&head[..1]);
                beginning.add(&body);
            }
            seen += usize::from(head[0] == b'Z');
            if head[0] == b'E' && error.is_none() {
                error = Some(said(&body));
            }
        }
        Answer { digest: hasher.finish(), beginning, error }
    }
}

impl Wire {
    /// The answer to a statement with parameters, rolled back.
    pub(crate) fn bound(&mut self, statement: &str, parameters: &[&str]) -> Answer {
        let parse = message(b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat());
        let mut bind = [b"\0\0\0\0", &(parameters.len() as u16).to_be_bytes()[..]].concat();
        for value in parameters {
            bind.extend((value.len() as u32).to_be_bytes());
            bind.extend(value.as_bytes());
        }
        bind.extend(b"\0\0");
        let (begin, bind) = (query("begin"), message(b'B', &bind));
        let end = [message(b'E', b"\0\0\0\0\0"), message(b'S', b""), query("rollback")].concat();
        self.out.write_all(&[begin, parse, bind, end].concat()).unwrap();
        self.answer(3, statement)
    }
}

impl Wire {
    /// The answer to all of these, with one Sync behind the last.
    pub(crate) fn pipelined(&mut self, statements: &[&str]) -> Answer {
        let mut all = Vec::new();
        for statement in statements {
            all.extend(message(b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat()));
            all.extend(message(b'B', b"\0\0\0\0\0\0\0\0"));
            all.extend(message(b'E', b"\0\0\0\0\0"));
        }
        all.extend(message(b'S', b""));
        self.out.write_all(&all).unwrap();
        self.answer(1, &statements.join("; "))
    }
}

impl Wire {
    /// What is answered to a COPY from the client whose data come in these pieces, and, in the same session, to what follows it:
    /// by a Query, or prepared and executed with the data sent ahead of any answer.
    pub(crate) fn copied(
        &mut self,
        statement: &str,
        prepared: bool,
        pieces: &mut dyn Iterator<Item = &[u8]>,
    ) -> Answer {
        let mut begin = if prepared {
            let parse = message(b'P', &[b"\0", statement.as_bytes(), b"\0\0\0"].concat());
            [parse, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
        } else {
            query(statement)
        };
        pieces.for_each(|piece| begin.extend(message(b'd', piece)));
        begin.extend(message(b'c', b""));
        // Sync is ignored while data are taken; this one ends what was prepared.
        begin.extend(if prepared { message(b'S', b"") } else { Vec::new() });
        let mut out = self.out.try_clone().unwrap();
        std::thread::scope(|s| {
            s.spawn(move || out.write_all(&begin).unwrap());
            self.answer(1, statement)
        })
    }
}

fn said(error: &[u8]) -> String {
    let field = |code: &[u8]| {
        let field = error.split(|b| *b == 0).find_map(|field| field.strip_prefix(code));
        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
    };
    format!("{}; {}", field(b"M"), field(b"D"))
}
