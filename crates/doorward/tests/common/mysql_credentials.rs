//! A real MySQL or MariaDB behind a gateway with two connections to it, and a client that is nothing but packets.
use super::{DOORWARD, Issuer, doorward};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_mysql::{
    Capabilities, UpstreamAuth,
    codec::put_message,
    startup::{self, Greeting, Hello, Login, Response},
};
use doorward_testkit::{Gateway, MySql, MySqlRelease, free_port};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub struct MySqlWorld {
    pub server: MySql,
    pub gateway: Gateway,
    pub issuer: Issuer,
    pub port: u16,
    pub other: u16,
    pub api: u16,
}

/// A short-lived credential, as `doorward token --for` prints it.
#[derive(Clone, Debug)]
pub struct Lent {
    pub user: String,
    pub password: String,
}

impl MySqlWorld {
    /// Connections `orders` and `other` to one server, whose database is called as the schema in the policies.
    pub fn start(release: MySqlRelease, policy: &str, schema: &str) -> Self {
        let server = MySql::options().release(release).database("public").start().unwrap();
        server.exec(schema).unwrap();
        let issuer = Issuer::start();
        let (port, other, api) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
        let connection = |name: &str, port: u16| {
            format!(
                r#"
[[connections]]
name = "{name}"
kind = "mysql"
listen = "127.0.0.1:{port}"
upstream = "{}"
user = "{}"
credential = {{ value = "{}" }}
tls = "disable"
tags = {{ "public.customers.ssn" = ["pii"] }}
"#,
                server.address(),
                server.user(),
                server.password(),
            )
        };
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["dba"]
[[identity.issuers]]
name = "dev"
issuer = "{}"
audience = ["doorward"]
principal = "agent"
{}{}
[policy]
files = ["policy.cedar"]
"#,
            issuer.url,
            connection("orders", port),
            connection("other", other),
        );
        let gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", policy).start().unwrap();
        Self { server, gateway, issuer, port, other, api }
    }

    pub fn token(&self, who: &str, group: &str) -> String {
        self.issuer.token(who, &[group], &[])
    }

    pub fn state(&self) -> PathBuf {
        self.gateway.directory().join("state")
    }

    pub fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.state(), self.api, token, args)
    }

    pub fn lend(&self, token: &str, more: &[&str]) -> Lent {
        let (ok, said) = self.doorward(token, &[&["token", "--for", "orders", "--output", "json"], more].concat());
        assert!(ok, "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Lent { user: text("user"), password: text("password") }
    }

    /// The server's own client, with nothing said of methods of log-in; over TLS by itself, or not at all.
    pub fn client(&self, port: u16, lent: &Lent, tls: bool) -> Command {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = self.server.client_of(address, &lent.user, &lent.password);
        let ca = format!("--ssl-ca={}", self.state().join("dev-tls.crt").display());
        match (self.server.release().is_mariadb(), tls) {
            (_, true) => command.arg(ca),
            (true, false) => command.arg("--skip-ssl"),
            (false, false) => command.arg("--ssl-mode=DISABLED"),
        };
        command.arg("public");
        command
    }

    pub fn run(&self, port: u16, lent: &Lent, tls: bool, sql: &str) -> String {
        let out = self.client(port, lent, tls).args(["-e", sql]).stdin(Stdio::null()).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    /// Waits until the audit log has an entry of a kind that holds all of these.
    pub fn assert_audited(&self, kind: &str, parts: &[&str]) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let (ok, text) = self.doorward("", &["audit", "list", "--output", "json", "--event", kind]);
            if ok && text.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
                return;
            }
            assert!(Instant::now() < end, "no {kind} with {parts:?}: {text}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// That these bytes are in no file of the gateway's, no recording of its sessions, which are over, nor in its log.
    pub fn assert_kept_nowhere(&self, secret: &str) {
        // A session is over when its end is written down, and its recording is whole before that.
        let count = |kind: &str| {
            let (ok, text) = self.doorward("", &["audit", "list", "--output", "json", "--event", kind]);
            assert!(ok, "{text}");
            text.lines().count()
        };
        let end = Instant::now() + Duration::from_secs(10);
        while count("session_ended") < count("session_opened") {
            assert!(Instant::now() < end, "sessions go on");
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut folders = vec![self.state()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                assert!(!found, "in {}", path.display());
            }
        }
        assert!(!self.gateway.log().contains(secret));
        for recorded in self.recorded() {
            let found = recorded.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{}", recorded.escape_ascii());
        }
    }

    /// All that clients sent and saw, a session each; what is not recorded as `[length: why]`.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        let (ok, list) = self.doorward("", &["sessions", "list", "--output", "json"]);
        assert!(ok, "{list}");
        let recordings = list.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        recordings.map(|r| self.recording(r["session"].as_str().unwrap())).collect()
    }

    fn recording(&self, id: &str) -> Vec<u8> {
        let (_, text) = self.doorward("", &["sessions", "export", id, "--format", "jsonl"]);
        let mut out = Vec::new();
        for frame in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
            if let Some(bytes) = frame["bytes"].as_str() {
                out.extend(STANDARD.decode(bytes).unwrap());
            } else if let Some(why) = frame["redacted"].as_str() {
                out.extend(format!("[{}: {why}]", frame["length"]).bytes());
            }
        }
        out
    }
}

/// A connection without TLS that is spoken to packet by packet.
pub struct Raw {
    stream: TcpStream,
    next: u8,
    pub greeting: Greeting,
    pub agreed: Capabilities,
}

impl Raw {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let greeting = Greeting {
            version: String::new(),
            connection: 0,
            capabilities: Capabilities::default(),
            collation: 0,
            status: 0,
            nonce: [0; 20],
            plugin: String::new(),
        };
        let mut raw = Self { stream, next: 0, greeting, agreed: Capabilities::default() };
        let Hello::Greeting(greeting) = startup::greeting(&raw.read()).unwrap() else { panic!("turned away") };
        raw.agreed = Capabilities::towards_upstream(greeting.capabilities, Capabilities::default());
        raw.greeting = greeting;
        raw
    }

    pub fn read(&mut self) -> Vec<u8> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).unwrap();
        self.next = head[3].wrapping_add(1);
        let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    pub fn write(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        put_message(&mut out, self.next, payload);
        self.stream.write_all(&out).unwrap();
    }

    /// A command, and its first answer.
    pub fn command(&mut self, payload: &[u8]) -> Vec<u8> {
        self.next = 0;
        self.write(payload);
        self.read()
    }

    /// The command for a text.
    pub fn text(&self, sql: &str) -> Vec<u8> {
        let head: &[u8] = if self.agreed.has(Capabilities::QUERY_ATTRIBUTES) { b"\x03\0\x01" } else { b"\x03" };
        [head, sql.as_bytes()].concat()
    }

    /// A text query that gives one value, and that value.
    pub fn value(&mut self, sql: &str) -> Result<String, String> {
        let mut packets = vec![self.command(&self.text(sql))];
        if packets[0].first() == Some(&0xff) {
            return Err(String::from_utf8_lossy(&packets[0][9..]).into_owned());
        }
        let ends = if self.agreed.has(Capabilities::DEPRECATE_EOF) { 1 } else { 2 };
        let mut seen = 0;
        while seen < ends {
            packets.push(self.read());
            seen += usize::from(packets.last().unwrap().first() == Some(&0xfe));
        }
        let row = packets.get(packets.len().wrapping_sub(2)).unwrap();
        Ok(String::from_utf8_lossy(&row[1..]).into_owned())
    }

    /// `COM_CHANGE_USER`, with the password itself in it or nothing; the first answer.
    pub fn change_user(&mut self, user: &str, method: &str, password: &[u8]) -> Vec<u8> {
        let length = u8::try_from(password.len()).unwrap();
        let mut out = [b"\x11", user.as_bytes(), &[0, length], password, b"public\0\x2d\0", method.as_bytes()].concat();
        // No attributes.
        out.extend([0, 0]);
        self.command(&out)
    }

    /// Answers a packet of the gateway; its next one.
    pub fn answer(&mut self, payload: &[u8]) -> Vec<u8> {
        self.write(payload);
        self.read()
    }

    /// Whether the gateway has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    /// The answer to the greeting, by `mysql_native_password`.
    pub fn response(&self, lent: &Lent) -> Vec<u8> {
        let login = Login {
            user: lent.user.clone().into(),
            response: proof(&lent.password, &self.greeting.nonce),
            database: Some(b"public".to_vec()),
            plugin: b"mysql_native_password".to_vec(),
            ..Login::default()
        };
        let mut out = Vec::new();
        startup::put_response(
            &mut out,
            &Response { capabilities: self.agreed, most: 1 << 24, collation: 45, login: Some(login) },
        );
        out
    }

    /// Logs in with a credential; the gateway's last word.
    pub fn log_in(&mut self, lent: &Lent) -> Vec<u8> {
        let response = self.response(lent);
        self.write(&response);
        self.read()
    }
}

/// A proof by `mysql_native_password`.
pub fn proof(password: &str, nonce: &[u8]) -> Vec<u8> {
    let secret = Some(doorward_model::Secret::new(password.to_owned()));
    UpstreamAuth::new(secret, false, true, [0; 32]).begin("mysql_native_password", nonce).unwrap().1
}
