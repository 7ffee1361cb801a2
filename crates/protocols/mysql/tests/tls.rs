//! The caller's log-in through TLS by the clients of the servers: the token as a clear password, and as MySQL 9's clients
//! send it for OpenID Connect.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]
use doorward_mysql::{
    Capabilities, ClientLogin, KeptPassword, codec,
    login::{Expectation, LoginAsk},
    render,
    startup::{Greeting, put_greeting},
};
use doorward_testkit::{Authority, MySql, MySqlRelease, Unavailable};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

fn read(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16];
    stream.read_exact(&mut payload).unwrap();
    (head[3], payload)
}

fn write(stream: &mut impl Write, sequence: u8, payload: &[u8]) {
    let mut out = Vec::new();
    codec::put_message(&mut out, sequence, payload);
    stream.write_all(&out).unwrap();
}

/// Takes one caller to the end of its log-in, says OK, and refuses its queries; the token that came.
fn door(authority: &Authority) -> (u16, JoinHandle<Result<String, String>>) {
    let identity = authority.server("door").unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(&identity.key).unwrap())
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || serve(listener.accept().unwrap().0, Arc::new(config))))
}

fn serve(mut clear: TcpStream, config: Arc<ServerConfig>) -> Result<String, String> {
    let greeting = Greeting {
        version: "9.7.4".into(),
        connection: 7,
        capabilities: Capabilities::offered(Capabilities(0xffff_ffff), true, false),
        collation: 45,
        status: 2,
        nonce: *b"abcdefghijklmnopqrst",
        plugin: "caching_sha2_password".into(),
    };
    let mut out = Vec::new();
    put_greeting(&mut out, &greeting);
    write(&mut clear, 0, &out);
    let mut login = ClientLogin::new(&greeting, false);
    let (sequence, first) = read(&mut clear);
    let ask = login.handle(&first).unwrap();
    if !matches!(ask, LoginAsk::Tls) {
        let LoginAsk::Who(_) = ask else { panic!("{ask:?}") };
        let LoginAsk::Refuse(why) = login.answer(Expectation::Token).unwrap() else { panic!("let in without TLS") };
        write(&mut clear, sequence + 1, &render::rejection(&why));
        return Err(why.message);
    }
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), clear);
    login.encrypted();
    let (mut sequence, mut packet) = read(&mut stream);
    loop {
        let mut ask = login.handle(&packet).unwrap();
        if let LoginAsk::Who(_) = ask {
            ask = login.answer(Expectation::Token).unwrap();
        }
        match ask {
            LoginAsk::Send(payload) => {
                write(&mut stream, sequence + 1, &payload);
                (sequence, packet) = read(&mut stream);
            }
            LoginAsk::Token(token) => {
                write(&mut stream, sequence + 1, b"\0\0\0\x02\0\0\0");
                // MySQL's client asks something of its own first.
                while read(&mut stream).1.first() != Some(&1) {
                    write(&mut stream, 1, &render::error(1142, "42000", b"enough"));
                }
                return Ok(token.expose().clone());
            }
            other @ (LoginAsk::Tls | LoginAsk::Who(_) | LoginAsk::Proven(_) | LoginAsk::Refuse(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

/// Lets in who proves a short-lived credential, without TLS on loopback.
fn proved(server: &MySql, credential: &str, password: &str) -> (bool, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let plugin = if server.release().is_mariadb() { "mysql_native_password" } else { "caching_sha2_password" };
    let credential = credential.to_owned();
    let door = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let capabilities = Capabilities::offered(Capabilities(0xffff_ffff), false, false);
        let greeting = Greeting {
            version: "9.7.4".into(),
            connection: 7,
            capabilities,
            collation: 45,
            status: 2,
            nonce: *b"abcdefghijklmnopqrst",
            plugin: plugin.into(),
        };
        let mut out = Vec::new();
        put_greeting(&mut out, &greeting);
        write(&mut stream, 0, &out);
        let mut login = ClientLogin::new(&greeting, true);
        let (sequence, packet) = read(&mut stream);
        assert!(matches!(login.handle(&packet), Ok(LoginAsk::Who(_))));
        match login.answer(Expectation::Password(KeptPassword::of(&doorward_model::Secret::new(credential)))).unwrap() {
            LoginAsk::Proven(more) => {
                let mut sequence = sequence + 1;
                if let Some(more) = more {
                    write(&mut stream, sequence, &more);
                    sequence += 1;
                }
                write(&mut stream, sequence, b"\0\0\0\x02\0\0\0");
                while read(&mut stream).1.first() != Some(&1) {
                    write(&mut stream, 1, &render::error(1142, "42000", b"enough"));
                }
                true
            }
            LoginAsk::Refuse(why) => {
                write(&mut stream, sequence + 1, &render::rejection(&why));
                false
            }
            other @ (LoginAsk::Tls | LoginAsk::Who(_) | LoginAsk::Send(_) | LoginAsk::Token(_)) => panic!("{other:?}"),
        }
    });
    let off = if server.release().is_mariadb() { "--skip-ssl" } else { "--ssl-mode=DISABLED" };
    let output = server.client_of(address, "bot", password).args([off, "-e", "SELECT 1"]).output().unwrap();
    (door.join().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn tokens_come_through_tls_from_stock_clients() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path()).unwrap();
    let long = format!("header.{}.signature", "claims".repeat(500));
    let file = folder.path().join("token");
    std::fs::write(&file, &long).unwrap();
    for release in MySqlRelease::ALL {
        let server = match MySql::options().release(release).start() {
            Ok(server) => server,
            Err(e) if e.is::<Unavailable>() => {
                eprintln!("skipped: {e}");
                continue;
            }
            Err(e) => panic!("{e:?}"),
        };
        let connect = |args: &[String], port: u16, password: &str| {
            let mut command = server.client_of((Ipv4Addr::LOCALHOST, port).into(), "bot", password);
            let output = command.args(args).args(["-e", "SELECT 1"]).output().unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let clear: &[String] = if release.is_mariadb() { &[] } else { &["--enable-cleartext-plugin".to_owned()] };
        let (port, door_1) = door(&authority);
        let ca = format!("--ssl-ca={}", authority.ca_file().display());
        let tls = if release.is_mariadb() { "--ssl-verify-server-cert" } else { "--ssl-mode=VERIFY_IDENTITY" };
        let said = connect(&[clear, &[tls.to_owned(), ca.clone()]].concat(), port, &long);
        assert!(said.contains("1142"), "{release:?}: {said}");
        assert_eq!(door_1.join().unwrap(), Ok(long.clone()), "{release:?}");

        let (port, door_2) = door(&authority);
        let off = if release.is_mariadb() { "--skip-ssl" } else { "--ssl-mode=DISABLED" };
        let said = connect(&[clear, &[off.to_owned()]].concat(), port, &long);
        assert!(said.contains("1045") && said.contains("TLS"), "{release:?}: {said}");
        assert!(door_2.join().unwrap().is_err());

        let (let_in, said) = proved(&server, "short-lived", "short-lived");
        assert!(let_in && said.contains("1142"), "{release:?}: {said}");
        let (let_in, said) = proved(&server, "short-lived", "wrong");
        assert!(!let_in && said.contains("1045"), "{release:?}: {said}");

        if !release.is_mariadb() {
            let (port, door_3) = door(&authority);
            let plugin = [
                tls.to_owned(),
                ca,
                "--default-auth=authentication_openid_connect_client".to_owned(),
                format!("--authentication-openid-connect-client-id-token-file={}", file.display()),
                format!("--plugin-dir={}", server.plugins().display()),
            ];
            let said = connect(&plugin, port, "");
            assert!(said.contains("1142"), "{release:?}: {said}");
            assert_eq!(door_3.join().unwrap(), Ok(long.clone()), "OpenID Connect");
        }
    }
}
