//! A client that keeps of each answer what it takes to compare it, and prepares statements as drivers do.
use crate::{
    common::mysql::MySqlWorld,
    veiled::wire::{Answer, Beginning, How},
};
use doorward_mysql::{
    Capabilities,
    codec::put_message,
    startup::{self, Hello, Login, Response},
};
use std::{
    hash::{DefaultHasher, Hasher as _},
    io::{BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// How long an answer may take, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Wire {
    out: TcpStream,
    input: BufReader<TcpStream>,
    agreed: Capabilities,
    next: u8,
    /// What was asked last.
    asked: String,
}

/// SERVER_MORE_RESULTS_EXISTS.
const MORE: u8 = 8;

/// Whether the flags of an OK packet, which come behind two numbers, say that another result follows.
fn has_more(ok: &[u8]) -> bool {
    let length = |rest: &[u8]| match rest[0] {
        0xfc => 3,
        0xfd => 4,
        0xfe => 9,
        _ => 1,
    };
    let rest = &ok[length(ok)..];
    rest[length(rest)] & MORE != 0
}

/// What is being answered to one statement.
#[derive(Default)]
struct Seen {
    hasher: DefaultHasher,
    beginning: Beginning,
    error: Option<String>,
}

impl Seen {
    fn add(&mut self, packet: &[u8]) {
        self.hasher.write_usize(packet.len());
        self.hasher.write(packet);
        self.beginning.add(packet);
        if packet.first() == Some(&0xff) && self.error.is_none() {
            self.error = Some(String::from_utf8_lossy(packet.get(3..).unwrap_or_default()).into_owned());
        }
    }
}

impl Wire {
    /// Logs in on loopback, without TLS.
    pub(crate) fn new(world: &MySqlWorld, token: &str) -> Self {
        Self::that_can(world, token, |usual| usual)
    }

    /// The same as a client that has other capabilities than the usual ones.
    pub(crate) fn that_can(world: &MySqlWorld, token: &str, of: fn(Capabilities) -> Capabilities) -> Self {
        let out = TcpStream::connect((Ipv4Addr::LOCALHOST, world.port)).unwrap();
        out.set_read_timeout(Some(PATIENCE)).unwrap();
        out.set_nodelay(true).unwrap();
        let input = BufReader::with_capacity(1 << 16, out.try_clone().unwrap());
        let mut wire = Self { out, input, agreed: Capabilities::default(), next: 0, asked: String::new() };
        let Hello::Greeting(greeting) = startup::greeting(&wire.read()).unwrap() else { panic!("turned away") };
        wire.agreed = of(Capabilities::towards_upstream(greeting.capabilities, Capabilities::default()));
        let password = [token.as_bytes(), b"\0"].concat();
        let login = Login {
            user: b"anybody".to_vec(),
            response: password.clone(),
            database: Some(b"public".to_vec()),
            plugin: b"mysql_clear_password".to_vec(),
            ..Login::default()
        };
        let response = Response { capabilities: wire.agreed, most: 1 << 24, collation: 45, login: Some(login) };
        let mut payload = Vec::new();
        startup::put_response(&mut payload, &response);
        wire.write(&payload);
        let mut welcome = wire.read();
        if welcome.first() == Some(&0xfe) {
            wire.write(&password);
            welcome = wire.read();
        }
        assert_eq!(welcome.first(), Some(&0), "{}", welcome.escape_ascii());
        wire
    }

    /// The answers to all of these, one after the other.
    pub(crate) fn ask(&mut self, statements: &[(String, How)]) -> Vec<Answer> {
        statements.iter().map(|(text, how)| self.answer(text, *how)).collect()
    }

    fn answer(&mut self, text: &str, how: How) -> Answer {
        let mut seen = Seen::default();
        text.clone_into(&mut self.asked);
        match how {
            How::Simple => self.query(text, &mut seen),
            How::Binary => self.prepared(text, &mut seen),
            How::RolledBack => {
                for text in ["begin"].into_iter().chain(text.split(";\n")).chain(["rollback"]) {
                    self.query(text, &mut seen);
                }
            }
        }
        Answer { digest: seen.hasher.finish(), beginning: seen.beginning, error: seen.error }
    }

    fn query(&mut self, text: &str, seen: &mut Seen) {
        let head: &[u8] = if self.agreed.has(Capabilities::QUERY_ATTRIBUTES) { b"\x03\0\x01" } else { b"\x03" };
        self.command(&[head, text.as_bytes()].concat());
        self.result(seen);
    }

    fn prepared(&mut self, text: &str, seen: &mut Seen) {
        if let Some(id) = self.prepare(text, seen) {
            self.execute(id, seen);
            self.command(&[b"\x19", &id[..]].concat());
        }
    }

    /// The answer to an execution of what was prepared before other statements.
    #[allow(dead_code, reason = "each test uses a part")]
    pub(crate) fn prepared_before(&mut self, text: &str, others: &[&str]) -> Answer {
        text.clone_into(&mut self.asked);
        let mut seen = Seen::default();
        let id = self.prepare(text, &mut seen).unwrap();
        others.iter().for_each(|other| self.query(other, &mut seen));
        assert_eq!(seen.error, None, "{others:?}");
        self.execute(id, &mut seen);
        Answer { digest: seen.hasher.finish(), beginning: seen.beginning, error: seen.error }
    }

    /// The same where the last of the others fails.
    #[allow(dead_code, reason = "each test uses a part")]
    pub(crate) fn prepared_before_failing(&mut self, text: &str, others: &[&str]) -> Answer {
        let mut seen = Seen::default();
        let id = self.prepare(text, &mut seen).unwrap();
        others.iter().for_each(|other| self.query(other, &mut seen));
        let mut seen = Seen::default();
        self.execute(id, &mut seen);
        Answer { digest: seen.hasher.finish(), beginning: seen.beginning, error: seen.error }
    }

    fn prepare(&mut self, text: &str, seen: &mut Seen) -> Option<[u8; 4]> {
        self.command(&[b"\x16", text.as_bytes()].concat());
        let prepared = self.read();
        if prepared.first() != Some(&0) {
            seen.add(&prepared);
            return None;
        }
        // The server counts the statements of all its sessions.
        seen.add(&[&prepared[..1], &prepared[5..]].concat());
        let number = |at: usize| usize::from(prepared[at]) | usize::from(prepared[at + 1]) << 8;
        for definitions in [number(7), number(5)] {
            self.definitions(definitions, seen);
        }
        Some([prepared[1], prepared[2], prepared[3], prepared[4]])
    }

    /// The answer to a command as it stands.
    #[allow(dead_code, reason = "each test uses a part")]
    pub(crate) fn says(&mut self, payload: &[u8]) -> Answer {
        let mut seen = Seen::default();
        self.command(payload);
        self.result(&mut seen);
        Answer { digest: seen.hasher.finish(), beginning: seen.beginning, error: seen.error }
    }

    /// The number of a prepared statement.
    #[allow(dead_code, reason = "each test uses a part")]
    pub(crate) fn prepares(&mut self, text: &str) -> [u8; 4] {
        text.clone_into(&mut self.asked);
        self.prepare(text, &mut Seen::default()).unwrap()
    }

    fn execute(&mut self, id: [u8; 4], seen: &mut Seen) {
        self.command(&[&b"\x17"[..], &id, b"\0\x01\0\0\0"].concat());
        self.result(seen);
    }

    fn definitions(&mut self, count: usize, seen: &mut Seen) {
        let end = usize::from(count > 0 && !self.agreed.has(Capabilities::DEPRECATE_EOF));
        for _ in 0..count + end {
            let packet = self.read();
            seen.add(&packet);
        }
    }

    /// Results, rows and all, until no more follow.
    fn result(&mut self, seen: &mut Seen) {
        while self.is_followed(seen) {}
    }

    /// One result; whether there is another behind it.
    fn is_followed(&mut self, seen: &mut Seen) -> bool {
        let first = self.read();
        seen.add(&first);
        match first.first() {
            Some(0xff) => return false,
            Some(0) => return has_more(&first[1..]),
            _ => {}
        }
        self.definitions(usize::from(first[0]), seen);
        loop {
            let packet = self.read();
            seen.add(&packet);
            match packet.first() {
                Some(0xff) => return false,
                Some(0xfe) if self.agreed.has(Capabilities::DEPRECATE_EOF) => return has_more(&packet[1..]),
                Some(0xfe) => return packet[3] & MORE != 0,
                _ => {}
            }
        }
    }

    fn command(&mut self, payload: &[u8]) {
        self.next = 0;
        self.write(payload);
    }

    fn write(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        put_message(&mut out, self.next, payload);
        self.out.write_all(&out).unwrap();
    }

    fn read(&mut self) -> Vec<u8> {
        let mut head = [0; 4];
        self.input.read_exact(&mut head).unwrap_or_else(|e| panic!("{e}: {}", self.asked));
        self.next = head[3].wrapping_add(1);
        let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16];
        self.input.read_exact(&mut payload).unwrap();
        payload
    }
}
