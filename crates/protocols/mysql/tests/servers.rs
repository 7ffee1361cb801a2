//! The handshake and the log-in against the real servers, without TLS: every method that each of them has.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]
use bytes::BytesMut;
use doorward_model::Secret;
use doorward_mysql::{
    Capabilities, UpstreamAuth,
    auth::{AuthStep, Method},
    codec::{
        self,
        compressed::{Algorithm, Envelopes},
    },
    startup::{self, Hello, Login, Response, login_step},
};
use doorward_testkit::{MySql, MySqlAuth, MySqlRelease, Unavailable};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// A connection with a plain reader of packets.
struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    next: u8,
}

impl Peer {
    fn connect(server: &MySql) -> Self {
        Self { stream: TcpStream::connect(server.address()).unwrap(), input: Vec::new(), next: 0 }
    }

    fn read(&mut self) -> Vec<u8> {
        loop {
            if let Some(message) = codec::message(&self.input, 1 << 24).unwrap() {
                let (payload, wire, next) = (message.payload.to_vec(), message.wire, message.next_sequence());
                self.input.drain(..wire);
                self.next = next;
                return payload;
            }
            let mut buffer = [0; 4096];
            let n = self.stream.read(&mut buffer).unwrap();
            assert!(n > 0, "the server hung up");
            self.input.extend(&buffer[..n]);
        }
    }

    fn write(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        codec::put_message(&mut out, self.next, payload);
        self.stream.write_all(&out).unwrap();
    }

    /// Logs in; the methods that were used and whether the server was convinced.
    fn log_in(&mut self, user: &str, password: &str) -> (Vec<Method>, Result<(), String>) {
        self.log_in_with(user, password, Capabilities(0))
    }

    /// The same, asking for more than the gateway asks for by itself.
    fn log_in_with(&mut self, user: &str, password: &str, more: Capabilities) -> (Vec<Method>, Result<(), String>) {
        let Hello::Greeting(greeting) = startup::greeting(&self.read()).unwrap() else { panic!("refused") };
        let wanted = Capabilities::offered(greeting.capabilities, false, false);
        let capabilities = Capabilities::towards_upstream(greeting.capabilities, wanted).with(more);
        let mut auth = UpstreamAuth::new(Some(Secret::new(password.to_owned())), false, true, [9; 32]);
        let (method, proof) = auth.begin(&greeting.plugin, &greeting.nonce).unwrap();
        let login = Login {
            user: user.as_bytes().to_vec(),
            response: proof,
            plugin: method.name().into(),
            attributes: vec![(b"program_name".to_vec(), b"doorward".to_vec())],
            zstd_level: Some(3),
            ..Login::default()
        };
        let mut out = Vec::new();
        startup::put_response(&mut out, &Response { capabilities, most: 1 << 24, collation: 45, login: Some(login) });
        self.write(&out);
        let mut methods = vec![method];
        loop {
            let packet = self.read();
            let step = login_step(&packet).unwrap();
            match &step {
                startup::LoginStep::Error(e) => return (methods, Err(String::from_utf8_lossy(e).into_owned())),
                startup::LoginStep::Switch { plugin, .. } => methods.extend(Method::named(plugin)),
                startup::LoginStep::Ok(_) | startup::LoginStep::More(_) => {}
            }
            match auth.handle(&step).unwrap() {
                AuthStep::Send(payload) => self.write(&payload),
                AuthStep::Wait => {}
                AuthStep::Done => return (methods, Ok(())),
            }
        }
    }
}

#[test]
fn the_gateway_logs_in_by_every_method_of_every_server() {
    for release in MySqlRelease::ALL {
        let server = match MySql::options().release(release).start() {
            Ok(server) => server,
            Err(e) if e.is::<Unavailable>() => {
                eprintln!("skipped: {e}");
                continue;
            }
            Err(e) => panic!("{e:?}"),
        };
        for auth in MySqlAuth::ALL.into_iter().filter(|a| a.is_known_to(release)) {
            let user = format!("u-{auth:?}");
            server.create_account(&user, "it's \\ secret", auth).unwrap();
            let method = match auth {
                MySqlAuth::Native => Method::Native,
                MySqlAuth::CachingSha2 => Method::CachingSha2,
                MySqlAuth::Sha256 => Method::Sha256,
                MySqlAuth::Ed25519 => Method::Ed25519,
                MySqlAuth::Parsec => Method::Parsec,
            };
            // The second time `caching_sha2_password` is the fast one.
            for _ in 0..2 {
                let mut peer = Peer::connect(&server);
                let (methods, outcome) = peer.log_in(&user, "it's \\ secret");
                assert_eq!((methods.last(), outcome), (Some(&method), Ok(())), "{release:?} {auth:?}");
                peer.next = 0;
                peer.write(b"\x0e");
                assert_eq!(peer.read().first(), Some(&0), "{release:?} {auth:?}: ping");
            }
            let (_, outcome) = Peer::connect(&server).log_in(&user, "wrong");
            assert!(outcome.unwrap_err().contains("Access denied"), "{release:?} {auth:?}");
        }
    }
}

#[test]
fn both_envelopes_are_those_of_the_servers() {
    for release in MySqlRelease::ALL {
        let server = match MySql::options().release(release).start() {
            Ok(server) => server,
            Err(e) if e.is::<Unavailable>() => continue,
            Err(e) => panic!("{e:?}"),
        };
        let mut kinds = vec![(Algorithm::Zlib, Capabilities::COMPRESS)];
        if !release.is_mariadb() {
            kinds.push((Algorithm::Zstd(3), Capabilities::ZSTD));
        }
        for (algorithm, flag) in kinds {
            let mut peer = Peer::connect(&server);
            let (_, outcome) = peer.log_in_with("app", "app-password", flag);
            assert_eq!(outcome, Ok(()), "{release:?} {algorithm:?}");
            let mut envelopes = Envelopes::new(algorithm, false);
            for length in [1, 100, 1_000_000] {
                let text = format!("SELECT REPEAT('x', {length}), '{}'", "y".repeat(length / 2));
                let head: &[u8] = if release.is_mariadb() { b"\x03" } else { b"\x03\0\x01" };
                let (mut packets, mut wire) = (Vec::new(), BytesMut::new());
                codec::put_message(&mut packets, 0, &[head, text.as_bytes()].concat());
                envelopes.begin_command();
                envelopes.pack(&packets, &mut wire);
                peer.stream.write_all(&wire).unwrap();
                let mut answer = BytesMut::new();
                while !answer.windows(length).any(|w| w.iter().all(|b| *b == b'x')) || envelopes.waiting() > 0 {
                    let mut buffer = [0; 65_536];
                    let n = peer.stream.read(&mut buffer).unwrap();
                    envelopes.unpack(&buffer[..n], usize::MAX, &mut answer).unwrap();
                    if length > 1000 && answer.len() > length * 3 / 2 {
                        break;
                    }
                }
                assert!(answer.len() > length, "{release:?} {algorithm:?} {length}");
            }
        }
    }
}
