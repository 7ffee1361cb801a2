//! From a TCP connection to a session: the gateway's greeting, TLS, identity, policy, upstream. Each step happens once and in
//! this order.
use super::{
    Compressed, Endpoint,
    driver::MySql,
    packets::Packets,
    upstream::{self, Connected},
};
use crate::{
    accept::Full,
    admission::{Admission, NotAdmitted, Registered, Start},
    connection::WhenHeld,
    credentials::Claim,
    relay::Joined,
    services::now,
    snapshots,
    stream::Stream,
};
use doorward_enforce::{AuditUnavailable, Refusal};
use doorward_model::{Access, Action, AuditKind, Facts, Principal, Resource, Secret};
use doorward_mysql::{
    Capabilities, ClientLogin, Hold, Session, SessionParts,
    codec::{WireError, compressed::Algorithm},
    login::{Expectation, LoginAsk},
    render::{self, Rejection},
    startup::{self, Greeting, Nonce},
};
use doorward_record::{Direction, Recording};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// How long a client may take from its first byte to the end of log-in.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a client that is turned away may take to hear why.
const FAREWELL: Duration = Duration::from_secs(5);
/// The longest packet of a log-in, in bytes: a token with room for what is around it.
const LONGEST: usize = 96 * 1024;

/// Why a log-in ended without a session. Each is told to the client and written down.
#[derive(Debug)]
struct Rejected {
    at_fault: &'static str,
    rejection: Rejection,
    /// What the audit log keeps.
    reason: String,
}

impl Rejected {
    fn new(at_fault: &'static str, code: u16, sqlstate: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { at_fault, reason: message.clone(), rejection: Rejection::new(code, sqlstate, message) }
    }
}

impl From<io::Error> for Rejected {
    fn from(e: io::Error) -> Self {
        Self::new("client", 1158, "08S01", format!("the log-in broke off: {e}"))
    }
}

impl From<WireError> for Rejected {
    fn from(e: WireError) -> Self {
        Self::new("client", 1043, "08S01", format!("Bad handshake: {e}"))
    }
}

impl From<AuditUnavailable> for Rejected {
    fn from(e: AuditUnavailable) -> Self {
        Self::new("gateway", 1105, "HY000", format!("refused: {e}"))
    }
}

impl From<&Refusal> for Rejected {
    fn from(refusal: &Refusal) -> Self {
        Self { at_fault: "policy", rejection: Rejection::from(refusal), reason: refusal.message.clone() }
    }
}

impl From<upstream::UpstreamError> for Rejected {
    fn from(e: upstream::UpstreamError) -> Self {
        Self { reason: e.to_string(), ..Self::new("upstream", 2003, "HY000", e.for_the_caller()) }
    }
}

/// What a caller has shown.
enum Shown {
    Token(Secret<String>),
    /// That it knows the password of a credential, of which it is still to be seen whose it is.
    Credential(Claim),
}

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
    let admission = Admission::new(&endpoint.services, &connection.info, "mysql", peer, connection.strict_audit);
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
        let snapshot = snapshots::current(&self.endpoint, "").await?;
        let greeting = self.greet(&snapshot.greeting).await?;
        let clear_allowed = self.admission.peer.ip().is_loopback();
        let mut login = ClientLogin::new(&greeting, clear_allowed);
        let first = self.client.read(LONGEST).await?;
        self.open()?;
        let (user, database, shown) = self.log_in(&mut login, &first).await?;
        let principal = self.identify(&user, shown).await?;
        let expires = principal.expires_at;
        let who = principal.id();
        let pinned = self.endpoint.connection.database.clone();
        let named = database.as_ref().map(|d| String::from_utf8_lossy(d).into_owned());
        if let (Some(pinned), Some(named)) = (&pinned, &named)
            && pinned != named
        {
            let message = format!("database '{named}' is not offered here: this endpoint leads to '{pinned}'");
            return Err(Rejected::new("client", 1044, "42000", message));
        }
        let database = pinned.or(named).filter(|d| !d.is_empty());
        let tls = self.client.stream.is_tls();
        let mut enforcer = self.admission.enforcer(principal.clone(), database.as_deref(), tls);
        self.decide(&mut enforcer, &user).await?;
        let Connected { packets, greeting: theirs, agreed } = upstream::connect(&self.endpoint, login.agreed()).await?;
        if theirs.version != snapshot.greeting.version {
            let message = "the database server is another one than a moment ago: connect again";
            let _later = snapshots::refresh(&*self.endpoint, "").await;
            return Err(Rejected::new("upstream", 2013, "HY000", message));
        }
        let Some(recording) = self.recording.take() else {
            return Err(Rejected::new("gateway", 1105, "HY000", "this session has no recording"));
        };
        let Registered { to_self, control } = self.admission.register(who.clone());
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
            client: login.agreed(),
            upstream: agreed,
            version: theirs.version,
            database: database.map(String::into_bytes),
            sequence: self.client.next,
            hold,
            limits: doorward_mysql::Limits::default(),
        });
        let driver = MySql::new(&self.endpoint, who, &snapshot.reader, theirs.connection);
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
        let mut nonce: Nonce = rand::random();
        // A byte zero would end it early for some clients.
        nonce.iter_mut().for_each(|byte| *byte = *byte % 94 + 33);
        let mut offered = Capabilities::offered(theirs.capabilities, self.endpoint.tls.is_some(), true);
        if offered.is_mariadb() {
            // Its clients know no zstd.
            offered = offered.without(Capabilities::ZSTD);
        }
        let greeting = Greeting {
            connection: self.number,
            capabilities: offered,
            nonce,
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

    /// The user that was named, the schema, and what was shown.
    async fn log_in(
        &mut self,
        login: &mut ClientLogin,
        first: &[u8],
    ) -> Result<(String, Option<Vec<u8>>, Shown), Rejected> {
        let (mut user, mut database, mut claim) = (String::new(), None, None);
        let mut ask = login.handle(first)?;
        loop {
            ask = match ask {
                LoginAsk::Tls => {
                    self.encrypt().await?;
                    login.encrypted();
                    login.handle(&self.secret().await?)?
                }
                LoginAsk::Who(who) => {
                    user = String::from_utf8_lossy(&who.user).into_owned();
                    database = who.database;
                    self.zstd_level = who.zstd_level;
                    let (credentials, name) =
                        (&self.endpoint.services.credentials, &self.endpoint.connection.info.name);
                    claim = credentials.claim(&user, name, now());
                    let password = claim.as_ref().map(|c| Expectation::Password(c.password.clone()));
                    login.answer(password.unwrap_or(Expectation::Token))?
                }
                LoginAsk::Send(payload) => {
                    self.client.write(&payload).await?;
                    login.handle(&self.secret().await?)?
                }
                LoginAsk::Token(token) => return Ok((user, database, Shown::Token(token))),
                LoginAsk::Proven(last) => {
                    let none = || Rejected::new("gateway", 1045, "28000", "no credential was asked for");
                    let claim = claim.ok_or_else(none)?;
                    if let Some(payload) = last {
                        self.client.write(&payload).await?;
                    }
                    return Ok((user, database, Shown::Credential(claim)));
                }
                LoginAsk::Refuse(rejection) => return Err(self.refused(&user, claim, rejection).await),
            };
        }
    }

    /// Who has shown too little. Guessing gets slower.
    async fn refused(&self, user: &str, claim: Option<Claim>, rejection: Rejection) -> Rejected {
        let mut reason = rejection.message.clone();
        if let Some(claim) = claim {
            let why = claim.principal.err().unwrap_or("the credential's proof is wrong, or came without TLS");
            reason = format!("authentication failed: {why}");
            if let Err(e) = self.admission.note_identity(user, &Err(why.to_owned())) {
                return e.into();
            }
            tokio::time::sleep(self.endpoint.services.arrivals.failed(self.admission.peer.ip(), Instant::now())).await;
        }
        Rejected { at_fault: "client", rejection, reason }
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

    async fn identify(&self, user: &str, shown: Shown) -> Result<Principal, Rejected> {
        let services = &self.endpoint.services;
        let (by, checked) = match shown {
            Shown::Token(token) => (None, services.identity.verify(token.expose(), now()).await.map_err(|e| e.reason)),
            Shown::Credential(claim) => {
                let known = claim.principal.map(|principal| (*principal).clone());
                (Some("short-lived credential"), known.map_err(str::to_owned))
            }
        };
        self.admission.note_identity_by(by, user, &checked)?;
        match checked {
            Ok(principal) => {
                if let Some(recording) = &self.recording {
                    recording.meta(now(), &serde_json::json!({ "principal": principal.id() }));
                }
                Ok(principal)
            }
            Err(reason) => {
                tokio::time::sleep(services.arrivals.failed(self.admission.peer.ip(), Instant::now())).await;
                // Unknown, expired and forged tokens look the same from outside.
                let message = format!(
                    "Access denied for user '{user}': the password must be a valid identity token for this gateway"
                );
                let reason = format!("authentication failed: {reason}");
                Err(Rejected { reason, ..Rejected::new("client", 1045, "28000", message) })
            }
        }
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
