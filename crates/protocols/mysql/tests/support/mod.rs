//! What the tests of the session share: a policy, a reader of texts that is good enough for them, and a gateway of threads.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, dead_code, reason = "tests")]
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    ApprovalVerdict, Approver, AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer, EnforcerParts,
    PolicyInfo, ProtocolSession as _, SessionDecisions, Subject, Ticket, Verdict,
};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, ConnectionInfo, ConnectionName, DataType, Principal, PrincipalKind,
    Resource, SessionId, Timestamp,
};
use doorward_mysql::{
    Answer, Capabilities, ClientLogin, Event, Hold, Limits, Question, Session, SessionParts, UpstreamAuth,
    auth::AuthStep,
    codec,
    grammar::Grammar,
    login::{Expectation, LoginAsk},
    render::Rejection,
    startup::{self, Greeting, Hello, Login, Response, login_step},
};
use doorward_sql::{Catalogue, Column, Reach, Relation, RelationKind, mysql::AnalysisCache};
use doorward_sql_session::Heard;
use doorward_testkit::MySql;
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, OnceLock, mpsc},
    task::{Context, Poll},
    thread,
    time::Duration,
};

pub(crate) fn asks_sre() -> PolicyInfo {
    PolicyInfo {
        id: "deletes-are-approved".into(),
        reason: None,
        approvers: vec!["sre".into()],
        quorum: 1,
        expires: Duration::from_secs(60),
        escalation: None,
        break_glass: vec![],
        mask: None,
    }
}

/// No dropping, nothing that was not understood; DELETE needs an approval; columns called `ssn` and e-mail addresses are
/// hidden.
#[derive(Debug)]
pub(crate) struct House;

impl DecisionPoint for House {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(Self)
    }
}

impl SessionDecisions for House {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, circumstances: &Circumstances<'_>) -> Verdict {
        let policy = asks_sre();
        let (allowed, policies) = match (access.action, &access.resource) {
            (Action::Drop | Action::Opaque, _) => (false, vec![]),
            (Action::Delete, _) => (circumstances.approved, vec![Arc::new(policy)]),
            (Action::Reveal, Resource::Column { name, .. }) => (&**name != "ssn", vec![]),
            (Action::Reveal, Resource::DataType { data_type }) => (*data_type != DataType::Email, vec![]),
            _ => (true, vec![]),
        };
        Verdict { allowed, policies, error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        vec!["ssn".into()]
    }
}

#[derive(Debug)]
struct Nowhere;

impl AuditSink for Nowhere {
    fn append(&self, _: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        Ok(Ticket(1))
    }
    fn committed(&self) -> Ticket {
        Ticket(1)
    }
    fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        Poll::Ready(Ok(()))
    }
}

/// The reader of the product, which knows these tables of the schema `orders`.
pub(crate) fn grammar() -> Arc<Grammar> {
    grammar_with(&[])
}

/// The same, which knows that columns of `people` are of these types: the table can be written otherwise where some are hidden.
pub(crate) fn grammar_with(types: &[&str]) -> Arc<Grammar> {
    let types = (1..).zip(types).map(|(number, name)| ((1, number), (*name).into()));
    let tables: [(&str, &[&str]); 4] =
        [("people", &["id", "ssn", "note", "born", "n"]), ("t", &["a"]), ("other", &["a"]), ("texts", &["a", "b"])];
    let column =
        |(i, name): (usize, &&str)| Column { number: i16::try_from(i).unwrap() + 1, name: (*name).into(), type_oid: 0 };
    let relations = (1..).zip(tables).map(|(oid, (table, columns))| Relation {
        oid,
        schema: "orders".into(),
        name: table.into(),
        kind: RelationKind::Table,
        columns: columns.iter().enumerate().map(column).collect(),
    });
    let cache = Arc::new(AnalysisCache::new(100, 1 << 20));
    // A procedure that is known to read no table.
    let reaches = [(("orders".into(), "p".into()), Reach::Relations(Default::default()))];
    let catalogue = Catalogue::new(1, relations, []).with_reaches(reaches).with_type_names(types);
    Arc::new(Grammar::new(Arc::new(catalogue), false, cache))
}

pub(crate) fn enforcer() -> Enforcer {
    enforcer_of(Arc::new(House))
}

pub(crate) fn enforcer_of(pdp: Arc<dyn DecisionPoint>) -> Enforcer {
    let principal = Principal {
        kind: PrincipalKind::Agent,
        issuer: "dev".into(),
        subject: "bot".into(),
        groups: Default::default(),
        tags: Default::default(),
        token_id: None,
        expires_at: Timestamp::from_micros(u64::MAX),
        on_behalf_of: None,
    };
    let connection = ConnectionInfo {
        name: ConnectionName::new("orders"),
        kind: "mysql".into(),
        database: None,
        labels: Default::default(),
        tags: Default::default(),
    };
    let subject = Subject {
        session: SessionId::from_uuid(Default::default()),
        principal,
        connection,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: true,
    };
    Enforcer::new(EnforcerParts {
        subject: Arc::new(subject),
        pdp,
        audit: Arc::new(Nowhere),
        strict_audit: true,
        place: "here:1".into(),
        new_approval: Box::new(|| ApprovalId::from_uuid(Default::default())),
    })
}

pub(crate) fn session(
    client: Capabilities,
    upstream: Capabilities,
    version: &str,
    database: Option<Vec<u8>>,
    sequence: u8,
    hold: Hold,
) -> Session {
    session_of(enforcer(), grammar(), client, upstream, version, database, sequence, hold)
}

#[allow(clippy::too_many_arguments, reason = "what a session begins with")]
pub(crate) fn session_of(
    enforcer: Enforcer,
    reader: Arc<Grammar>,
    client: Capabilities,
    upstream: Capabilities,
    version: &str,
    database: Option<Vec<u8>>,
    sequence: u8,
    hold: Hold,
) -> Session {
    session_that_hears(Heard::default(), enforcer, reader, client, upstream, version, database, sequence, hold)
}

/// One that hears of changes which others make.
#[allow(clippy::too_many_arguments, reason = "what a session begins with")]
pub(crate) fn session_that_hears(
    heard: Heard,
    enforcer: Enforcer,
    reader: Arc<Grammar>,
    client: Capabilities,
    upstream: Capabilities,
    version: &str,
    database: Option<Vec<u8>>,
    sequence: u8,
    hold: Hold,
) -> Session {
    static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
    Session::new(SessionParts {
        heard,
        enforcer,
        detector: Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new()))),
        masker: Arc::new(Masker::new([1; 32])),
        reader,
        client,
        upstream,
        version: version.into(),
        database,
        sequence,
        hold,
        limits: Limits { names: 50, ..Limits::default() },
    })
}

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1);
/// The number by which clients of the test gateway know their connection.
pub(crate) const CONNECTION: u32 = 4242;
/// The password of everybody at the test gateway.
pub(crate) const TOKEN: &str = "tok.en";

/// Packets over a blocking stream.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) input: Vec<u8>,
    pub(crate) next: u8,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, input: Vec::new(), next: 0 }
    }

    /// `None` where the peer has hung up.
    pub(crate) fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(message) = codec::message(&self.input, 1 << 26).unwrap() {
                let (payload, wire, next) = (message.payload.to_vec(), message.wire, message.next_sequence());
                self.input.drain(..wire);
                self.next = next;
                return Some(payload);
            }
            let mut buffer = [0; 4096];
            let n = self.stream.read(&mut buffer).unwrap_or(0);
            if n == 0 {
                return None;
            }
            self.input.extend(&buffer[..n]);
        }
    }

    pub(crate) fn write(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        self.next = codec::put_message(&mut out, self.next, payload);
        let _gone = self.stream.write_all(&out);
    }
}

/// Logs the gateway in at a server, for a client that agreed to `client` (`None`: to whatever there is).
pub(crate) fn log_in(
    peer: &mut Peer,
    greeting: &Greeting,
    client: Capabilities,
    user: &str,
    password: &str,
) -> Result<Capabilities, String> {
    let capabilities = Capabilities::towards_upstream(greeting.capabilities, client);
    let mut auth = UpstreamAuth::new(Some(doorward_model::Secret::new(password.to_owned())), false, true, [9; 32]);
    let (method, proof) = auth.begin(&greeting.plugin, &greeting.nonce).unwrap();
    let login = Login { user: user.into(), response: proof, plugin: method.name().into(), ..Login::default() };
    let mut out = Vec::new();
    startup::put_response(&mut out, &Response { capabilities, most: 1 << 24, collation: 45, login: Some(login) });
    peer.write(&out);
    loop {
        let packet = peer.read().unwrap();
        let step = login_step(&packet).unwrap();
        if let startup::LoginStep::Error(e) = step {
            return Err(String::from_utf8_lossy(e).into_owned());
        }
        match auth.handle(&step).unwrap() {
            AuthStep::Send(payload) => peer.write(&payload),
            AuthStep::Wait => {}
            AuthStep::Done => return Ok(capabilities),
        }
    }
}

pub(crate) fn greeting(peer: &mut Peer) -> Greeting {
    let Hello::Greeting(greeting) = startup::greeting(&peer.read().unwrap()).unwrap() else { panic!("refused") };
    greeting
}

/// A gateway in front of `server`, one thread a connection; approvals are given at once.
pub(crate) fn gateway(server: &MySql) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (upstream, user, password) = (server.address(), server.user().to_owned(), server.password().to_owned());
    thread::spawn(move || {
        for client in listener.incoming() {
            let (user, password) = (user.clone(), password.clone());
            thread::spawn(move || serve(Peer::new(client.unwrap()), upstream, &user, &password));
        }
    });
    address
}

fn serve(mut client: Peer, upstream: SocketAddr, user: &str, password: &str) {
    let mut server = Peer::new(TcpStream::connect(upstream).unwrap());
    let theirs = greeting(&mut server);
    let ours = Greeting {
        connection: CONNECTION,
        capabilities: Capabilities::offered(theirs.capabilities, false, false),
        nonce: *b"abcdefghijklmnopqrst",
        plugin: "mysql_clear_password".into(),
        ..theirs.clone()
    };
    let mut out = Vec::new();
    startup::put_greeting(&mut out, &ours);
    client.write(&out);
    let mut login = ClientLogin::new(&ours, true);
    let mut database = None;
    let mut ask = login.handle(&client.read().unwrap()).unwrap();
    loop {
        ask = match ask {
            LoginAsk::Who(who) => {
                database = who.database.clone();
                login.answer(Expectation::Token).unwrap()
            }
            LoginAsk::Send(payload) => {
                client.write(&payload);
                login.handle(&client.read().unwrap()).unwrap()
            }
            LoginAsk::Token(token) if token.expose() == TOKEN => break,
            LoginAsk::Token(_) | LoginAsk::Tls | LoginAsk::Proven(_) | LoginAsk::Refuse(_) => {
                return client.write(&doorward_mysql::render::error(1045, "28000", b"Access denied by test"));
            }
        };
    }
    let agreed = login.agreed();
    let asked = log_in(&mut server, &theirs, agreed, user, password).unwrap();
    let head = Head { client: agreed, upstream: asked, version: theirs.version, database, sequence: client.next };
    relay(&head, client, server);
}

enum Came {
    Client(Option<Vec<u8>>),
    Upstream(Option<Vec<u8>>),
}

fn listen(peer: &Peer, sender: mpsc::Sender<Came>, wrap: fn(Option<Vec<u8>>) -> Came) {
    let mut stream = peer.stream.try_clone().unwrap();
    thread::spawn(move || {
        loop {
            let mut buffer = vec![0; 65_536];
            let n = stream.read(&mut buffer).unwrap_or(0);
            buffer.truncate(n);
            if sender.send(wrap((n > 0).then_some(buffer))).is_err() || n == 0 {
                return;
            }
        }
    });
}

/// What a session begins with.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) client: Capabilities,
    pub(crate) upstream: Capabilities,
    pub(crate) version: String,
    pub(crate) database: Option<Vec<u8>>,
    pub(crate) sequence: u8,
}

impl Head {
    pub(crate) fn session(&self) -> Session {
        session(self.client, self.upstream, &self.version, self.database.clone(), self.sequence, Hold::Wait)
    }
}

/// What came and went, a line each: `C` and `U` came from client and upstream, `c` and `u` went there. Kept in the folder
/// that `DOORWARD_MYSQL_RECORD` names, if it names one: that is how `testdata/` was made.
struct Transcript(Vec<String>);

impl Transcript {
    fn note(&mut self, kind: char, bytes: &[u8]) {
        if !bytes.is_empty() && self.0.len() < 2000 {
            self.0.push(format!("{kind} {}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()));
        }
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        let Some(folder) = std::env::var_os("DOORWARD_MYSQL_RECORD") else { return };
        let name = format!("{:?}.txt", thread::current().id()).replace(['(', ')'], "-");
        std::fs::write(std::path::Path::new(&folder).join(name), self.0.join("\n") + "\n").unwrap();
    }
}

fn relay(head: &Head, mut client: Peer, mut server: Peer) {
    let mut session = head.session();
    let database = String::from_utf8(head.database.clone().unwrap_or_default()).unwrap();
    let Head { client: c, upstream: u, version, sequence, .. } = head;
    let mut transcript = Transcript(vec![format!(
        "S {} {} {} {sequence} {database}",
        c.0,
        u.0,
        version.split(' ').next().unwrap_or_default()
    )]);
    let (sender, came) = mpsc::channel();
    listen(&client, sender.clone(), Came::Client);
    listen(&server, sender, Came::Upstream);
    let mut again = None;
    loop {
        let ready = session.to_upstream().ready(Ticket(1)).to_vec();
        transcript.note('u', &ready);
        let _gone = server.stream.write_all(&ready);
        session.to_upstream().sent(ready.len());
        let said = session.to_client().split();
        transcript.note('c', &said);
        let _gone = client.stream.write_all(&said);
        if let Some(event) = session.poll_event() {
            if happened(&mut session, event, &mut again) {
                let _gone = client.stream.write_all(&session.to_client().split());
                let _gone = client.stream.shutdown(std::net::Shutdown::Both);
                let _gone = server.stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            continue;
        }
        match came.recv().unwrap() {
            Came::Client(Some(bytes)) => {
                transcript.note('C', &bytes);
                session.handle_client(&bytes, NOW);
            }
            Came::Upstream(Some(bytes)) => {
                transcript.note('U', &bytes);
                session.handle_upstream(&bytes, NOW);
            }
            Came::Client(None) => return session.handle_client_gone(),
            Came::Upstream(None) => session.handle_upstream_gone(NOW),
        }
    }
}

/// Whether it was the end.
pub(crate) fn happened(session: &mut Session, event: Event, again: &mut Option<ClientLogin>) -> bool {
    let mut ask = match event {
        Event::Hold(approval) => {
            let by = vec![Approver::new("ada", vec!["sre".into()])];
            session.handle_verdict(approval.id, ApprovalVerdict::Approved { by }, NOW);
            return false;
        }
        Event::Ask(Question::Read(text, environment)) => {
            session.handle_answer(Answer::Reading(grammar().read(&text, &environment, true)), NOW);
            return false;
        }
        Event::Ask(Question::Kill(kill, _)) => {
            let known = kill.id == u64::from(CONNECTION);
            let unknown = Rejection::new(1094, "HY000", format!("Unknown thread id: {}", kill.id));
            session.handle_answer(Answer::Killed(if known { Ok(()) } else { Err(unknown) }), NOW);
            return false;
        }
        Event::Ask(Question::ChangeUser(login)) => {
            let (new, ask) =
                ClientLogin::again(Capabilities(0xffff_ffff), *b"abcdefghijklmnopqrst", false, true, login);
            *again = Some(new);
            ask
        }
        Event::Ask(Question::LoginPacket(packet)) => again.as_mut().unwrap().handle(packet.expose()).unwrap(),
        Event::End(_) => return true,
        Event::Ask(Question::Schema { .. }) => {
            session.handle_answer(Answer::Reader(Ok(grammar())), NOW);
            return false;
        }
        Event::Ask(Question::Park(_)) | Event::Withdraw(..) | Event::CancelUpstream => return false,
    };
    loop {
        ask = match ask {
            LoginAsk::Who(_) => again.as_mut().unwrap().answer(Expectation::Token).unwrap(),
            LoginAsk::Send(payload) => {
                session.handle_answer(Answer::Say(payload, true), NOW);
                return false;
            }
            LoginAsk::Token(token) if token.expose() == TOKEN => {
                session.handle_answer(Answer::User(Ok(None)), NOW);
                return false;
            }
            LoginAsk::Token(_) | LoginAsk::Tls | LoginAsk::Proven(_) | LoginAsk::Refuse(_) => {
                let denied = Rejection::new(1045, "28000", "Access denied by test");
                session.handle_answer(Answer::User(Err(denied)), NOW);
                return false;
            }
        };
    }
}
