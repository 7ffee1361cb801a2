//! From a TCP connection to a session: the gateway's greeting, TLS, identity, policy, upstream. Each step happens once and in
//! this order.
use super::{
    Compressed, Endpoint,
    driver::MySql,
    identity::{self, Caller, Introduction, Shown},
    packets::Packets,
    rejected::Rejected,
    upstream::{self, Connected},
};
use crate::{
    accept::Full,
    admission::{Admission, NotAdmitted, Registered, Start},
    connection::WhenHeld,
    relay::Joined,
    services::now,
    snapshots,
    stream::Stream,
};
use doorward_model::{Access, Action, AuditKind, Facts, Resource};
use doorward_mysql::{
    Capabilities, ClientLogin, Hold, Session, SessionParts,
    codec::compressed::Algorithm,
    login::LoginAsk,
    render::{self, Rejection},
    startup::{self, Greeting},
};
use doorward_record::{Direction, Recording};
use std::{io, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// How long a client may take from its first byte to the end of log-in.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a client that is turned away may take to hear why.
const FAREWELL: Duration = Duration::from_secs(5);
/// The longest packet of a log-in, in bytes: a token with room for what is around it.
const LONGEST: usize = 96 * 1024;

/// A session that may begin, and what drives it.
pub(super) type Begun = (MySql, Joined<Session>);

/// The method that the greeting names. MySQL's clients take it at its word, and end at one that they lack or have not
/// enabled: so none that hands a password over, but what callers of such a server have.
fn first_method(theirs: &Greeting) -> &'static str {
    match theirs.plugin.as_str() {
        "mysql_native_password" => "mysql_native_password",
        "caching_sha2_password" => "caching_sha2_password",
        _ if theirs.capabilities.is_mariadb() => "mysql_native_password",
        _ => "caching_sha2_password",
    }
}

/// A client on its way in.
struct Arrival {
    endpoint: Arc<Endpoint>,
    admission: Admission,
    client: Packets,
    /// The level of zstd that it asks for.
    zstd_level: Option<u8>,
    /// The number by which it knows its connection.
    number: u32,
    recording: Option<Recording>,
}

/// Takes a client from its first byte to a session. `None` once it has been told why not.
pub(super) async fn accept(endpoint: &Arc<Endpoint>, client: Stream) -> Option<Box<Begun>> {
    let Stream::Plain(socket) = &client else { return None };
    let connection = &endpoint.connection;
    let peer = socket.peer_addr().ok()?;
    let admission = Admission::new(
        &endpoint.services,
        (&connection.info, connection.upstream.place()),
        "mysql",
        peer,
        connection.strict_audit,
    );
    let number = endpoint.services.registry.add_key(admission.id, &rand::random::<[u8; 32]>());
    let mut arrival = Arrival {
        endpoint: Arc::clone(endpoint),
        admission,
        client: Packets::new(client),
        zstd_level: None,
        number,
        recording: None,
    };
    let slow = |_| Err(Rejected::new("client", 1159, "08S01", "log-in was not finished in time"));
    match tokio::time::timeout(HANDSHAKE, arrival.run()).await.unwrap_or_else(slow) {
        Ok(begun) => Some(Box::new(begun)),
        Err(rejected) => {
            arrival.reject(&rejected).await;
            None
        }
    }
}

/// Tells a client that there is no room, in the server's words.
pub(super) async fn turn_away(socket: TcpStream, full: Full) -> io::Result<()> {
    let message = match full {
        Full::Sessions => "Too many connections",
        Full::Address => "Too many connections from your address are logging in at once",
    };
    let packet = render::rejection(&Rejection::new(1040, "08004", message));
    Packets::new(Stream::Plain(socket)).write(&packet).await
}

impl Arrival {
    async fn run(&mut self) -> Result<Begun, Rejected> {
        let heard = self.endpoint.snapshots.heard();
        let snapshot = snapshots::current(&self.endpoint, "").await?;
        let greeting = self.greet(&snapshot.greeting).await?;
        let clear_allowed = self.admission.peer.ip().is_loopback();
        let mut login = ClientLogin::new(&greeting, clear_allowed);
        let first = self.client.read(LONGEST).await?;
        self.open()?;
        let (Introduction { user, database, .. }, shown) = self.log_in(&mut login, &first).await?;
        let principal = identity::identify(&self.endpoint, &self.admission, &user, shown, None).await?;
        if let Some(recording) = &self.recording {
            recording.meta(now(), &serde_json::json!({ "principal": principal.to_string() }));
        }
        let expires = principal.expires_at;
        let who = principal.clone();
        let database = identity::schema(&self.endpoint.connection, database.as_deref())?;
        let tls = self.client.stream.is_tls();
        let mut enforcer = self.admission.enforcer(principal.clone(), database.as_deref(), tls);
        self.decide(&mut enforcer, &user).await?;
        let connected = upstream::connect(&self.endpoint, login.agreed()).await?;
        let Connected { packets, greeting: theirs, agreed, lent } = connected;
        if theirs.version != snapshot.greeting.version {
            let message = "the database server is another one than a moment ago: connect again";
            let _later = snapshots::refresh(&*self.endpoint, "").await;
            return Err(Rejected::new("upstream", 2013, "HY000", message));
        }
        let Some(recording) = self.recording.take() else {
            return Err(Rejected::new("gateway", 1105, "HY000", "this session has no recording"));
        };
        let Registered { to_self, control, .. } = self.admission.register(&who);
        // Without it nobody could read the bytes that follow.
        recording.meta(now(), &serde_json::json!({ "capabilities": login.agreed().0 }));
        let services = &self.endpoint.services;
        let hold = match self.endpoint.held {
            WhenHeld::Wait => Hold::Wait,
            WhenHeld::Retry => Hold::Retry(Arc::clone(&services.parked)),
        };
        let session = Session::new(SessionParts {
            enforcer,
            detector: Arc::clone(&services.detector),
            masker: Arc::clone(&services.masker),
            reader: Arc::clone(&snapshot.reader),
            heard,
            client: login.agreed(),
            upstream: agreed,
            version: theirs.version,
            database: database.map(String::into_bytes),
            sequence: self.client.next,
            hold,
            limits: doorward_mysql::Limits::default(),
        });
        let caller = Caller {
            admission: self.admission.clone(),
            principal,
            agreed: login.agreed(),
            is_encrypted: tls,
            clear_allowed,
        };
        let driver = MySql::new(&self.endpoint, caller, &snapshot.reader, theirs.connection);
        let joined = Joined {
            id: self.admission.id,
            client: self.joined_stream(login.agreed()),
            upstream: packets.stream,
            session,
            recording,
            control,
            to_self,
            process_id: self.number,
            expires,
            lent,
        };
        Ok((driver, joined))
    }

    /// The client's stream as the session sees it. Of both algorithms zlib is taken, as servers and clients do.
    fn joined_stream(&mut self, agreed: Capabilities) -> Stream {
        let stream = std::mem::replace(&mut self.client.stream, Stream::Detached);
        let algorithm = if agreed.has(Capabilities::COMPRESS) {
            Algorithm::Zlib
        } else if agreed.has(Capabilities::ZSTD) {
            Algorithm::Zstd(self.zstd_level.unwrap_or(3))
        } else {
            return stream;
        };
        Stream::Compressed(Box::new(Compressed::new(stream, algorithm)))
    }

    /// Greets the client with the upstream's version, and with what both will speak.
    async fn greet(&mut self, theirs: &Greeting) -> Result<Greeting, Rejected> {
        let mut offered = Capabilities::offered(theirs.capabilities, self.endpoint.tls.is_some(), true);
        if offered.is_mariadb() {
            // Its clients know no zstd.
            offered = offered.without(Capabilities::ZSTD);
        }
        let greeting = Greeting {
            connection: self.number,
            capabilities: offered,
            nonce: super::fresh_nonce(),
            plugin: first_method(theirs).into(),
            ..theirs.clone()
        };
        let mut out = Vec::new();
        startup::put_greeting(&mut out, &greeting);
        self.client.write(&out).await?;
        Ok(greeting)
    }

    /// Opens the recording and the audit trail of the session.
    fn open(&mut self) -> Result<(), Rejected> {
        self.endpoint.services.recordings.health().map_err(|why| {
            let message = format!("this gateway cannot keep records now, and lets nobody in without: {why}");
            Rejected::new("gateway", 1105, "HY000", message)
        })?;
        self.recording = Some(self.admission.record(serde_json::Value::Null));
        Ok(self.admission.note_opened()?)
    }

    /// Who it says it is, and what it has shown.
    async fn log_in(&mut self, login: &mut ClientLogin, first: &[u8]) -> Result<(Introduction, Shown), Rejected> {
        let mut introduction = Introduction::default();
        let mut ask = login.handle(first)?;
        loop {
            ask = match ask {
                LoginAsk::Tls => {
                    self.encrypt().await?;
                    login.encrypted();
                    login.handle(&self.secret().await?)?
                }
                LoginAsk::Who(who) => {
                    self.zstd_level = who.zstd_level;
                    let (named, expectation) = Introduction::of(&self.endpoint, who);
                    introduction = named;
                    login.answer(expectation)?
                }
                LoginAsk::Send(payload) => {
                    self.client.write(&payload).await?;
                    login.handle(&self.secret().await?)?
                }
                LoginAsk::Token(token) => return Ok((introduction, Shown::Token(token))),
                LoginAsk::Proven(last) => {
                    if let Some(payload) = last {
                        self.client.write(&payload).await?;
                    }
                    let shown = introduction.proven();
                    return Ok((introduction, shown));
                }
                LoginAsk::Refuse(rejection) => {
                    let shown = introduction.refused(rejection);
                    return Ok((introduction, shown));
                }
            };
        }
    }

    /// A packet that may hold a token: its content is not recorded.
    async fn secret(&mut self) -> Result<Vec<u8>, Rejected> {
        let packet = self.client.read(LONGEST).await?;
        if let Some(recording) = &self.recording {
            recording.redacted(Direction::Client, now(), packet.len() as u64 + 4, "identity token or proof");
        }
        Ok(packet)
    }

    async fn encrypt(&mut self) -> Result<(), Rejected> {
        let odd = |what: &str| Rejected::new("client", 1043, "08S01", what);
        let Some(config) = self.endpoint.tls.clone() else { return Err(odd("TLS is not set up on this endpoint")) };
        let Stream::Plain(socket) = std::mem::replace(&mut self.client.stream, Stream::Detached) else {
            return Err(odd("TLS inside TLS"));
        };
        let tls = tokio_rustls::TlsAcceptor::from(config).accept(socket).await;
        self.client.stream = Stream::ServerTls(Box::new(tls?));
        Ok(())
    }

    async fn decide(&self, enforcer: &mut doorward_enforce::Enforcer, user: &str) -> Result<(), Rejected> {
        let facts = Arc::new(Facts::new("connect", 0, vec![Access::new(Action::Connect, Resource::Connection)]));
        let start = Start { via: "startup", facts, statement: user, payload: user.as_bytes() };
        self.admission.decide(enforcer, start).await.map_err(|why| match why {
            NotAdmitted::Refused(refusal) => Rejected::from(&refusal),
            NotAdmitted::Unavailable(e) => e.into(),
            NotAdmitted::Held => Rejected::new(
                "policy",
                1045,
                "28000",
                "opening this session needs an approval, and a log-in cannot wait for one; ask for a policy that holds \
                 statements instead of `connect`",
            ),
        })
    }

    async fn reject(&mut self, rejected: &Rejected) {
        let (at_fault, what) = (rejected.at_fault.into(), rejected.reason.clone());
        self.admission.note_late(AuditKind::Fault { at_fault, what });
        let packet = render::rejection(&rejected.rejection);
        let tell = async {
            let _gone = self.client.write(&packet).await;
            let _gone = self.client.stream.shutdown().await;
        };
        // A client that does not read is not waited for.
        let _told = tokio::time::timeout(FAREWELL, tell).await;
        if let Some(recording) = self.recording.take() {
            self.admission.give_up(recording, &rejected.reason);
        }
        self.endpoint.services.registry.remove(self.admission.id, Some(self.number));
    }
}
