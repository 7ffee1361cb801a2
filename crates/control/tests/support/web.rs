//! The interface on a loopback port, and a bare HTTP client that shows what really comes back.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]
use crate::support::{self, Office, evidence, person};
use doorward_control::{
    ApiState, ClassificationView, Client, ConnectionAccess, ConnectionFailure, ConnectionSource, ConnectionSpec,
    ConnectionTest, ConnectionView, CredentialAccess, CredentialView, Evidence, Expected, ExportAccess, ExportFailure,
    ExportView, Failures, Index, IssuerEntry, KnownConnection, LiveSession, LiveSessions, Metrics, NoCredential,
    PolicyBook, Records, RewrapView, Rights, SecretAccess, SecretFailure, SecretView, SetUp, SshAccess, SshAccessView,
    SshCertificate, TokenAnswer, TokenCheck, Vitals, WebParts, serve,
};
use doorward_enforce::{AuditSink, Refusal, RefusalKind, Subject};
use doorward_model::{
    ConnectionInfo, ConnectionName, Delegation, Principal, PrincipalKind, Secret, SessionId, Timestamp,
};
use doorward_notify::SlackButtons;
use doorward_policy::{Engine, ROLES, Source};
use doorward_signin::{SessionLimits, Settings, SignIn};
use doorward_sql_session::explained::Explained;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

/// The token is the name; `short` expires soon, `stale` has expired.
struct Names;

impl TokenCheck for Names {
    fn check<'a>(&'a self, token: &'a str) -> TokenAnswer<'a> {
        Box::pin(async move { who(token).ok_or_else(|| "the signature is wrong".to_owned()) })
    }
}

/// Secrets by name; `used` is used.
#[derive(Default)]
struct Hidden(Mutex<std::collections::BTreeMap<String, SecretView>>);

#[async_trait::async_trait]
impl SecretAccess for Hidden {
    async fn list(&self) -> Result<Vec<SecretView>, SecretFailure> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }
    async fn put(&self, name: &str, value: Secret<String>, _: &str) -> Result<SecretView, SecretFailure> {
        if value.expose().is_empty() {
            return Err(SecretFailure::Wrong("empty".into()));
        }
        let mut kept = self.0.lock().unwrap();
        let version = kept.get(name).map_or(1, |s| s.version + 1);
        kept.insert(name.to_owned(), SecretView { version, ..seen(name) });
        Ok(kept[name].clone())
    }
    async fn forget(&self, name: &str) -> Result<bool, SecretFailure> {
        if name == "used" {
            return Err(SecretFailure::InUse("orders".into()));
        }
        Ok(self.0.lock().unwrap().remove(name).is_some())
    }
    async fn rewrap(&self) -> Result<RewrapView, SecretFailure> {
        Ok(RewrapView { key: "0a".into(), rewrapped: 0, secrets: self.0.lock().unwrap().len() })
    }
}

fn seen(name: &str) -> SecretView {
    let (updated, updated_by) = (support::now(), "corp/ada".into());
    SecretView { name: name.into(), version: 1, updated, updated_by, used_by: Vec::new(), source: None }
}

/// Connections by name; `orders` is of the file.
#[derive(Default)]
struct Registered(Mutex<std::collections::BTreeMap<String, ConnectionView>>);

fn shown(name: &str, spec: Option<ConnectionSpec>, version: i64) -> ConnectionView {
    let source = if spec.is_some() { ConnectionSource::Store } else { ConnectionSource::File };
    ConnectionView {
        name: name.into(),
        kind: spec.as_ref().map_or_else(|| "postgres".into(), |s| s.kind.clone()),
        listen: "127.0.0.1:6432".into(),
        upstream: "db:5432".into(),
        database: None,
        labels: [].into(),
        tags: [].into(),
        source,
        failure: None,
        version: spec.as_ref().map(|_| version),
        updated: None,
        updated_by: None,
        spec,
    }
}

#[async_trait::async_trait]
impl ConnectionAccess for Registered {
    fn list(&self) -> Vec<ConnectionView> {
        let mut all = vec![shown("orders", None, 0)];
        all.extend(self.0.lock().unwrap().values().cloned());
        all
    }
    fn check(&self, name: &str, spec: &ConnectionSpec) -> Result<KnownConnection, ConnectionFailure> {
        let listen = spec.listen.parse().map_err(|e| ConnectionFailure::Wrong(format!("`listen`: {e}")))?;
        let info = ConnectionInfo {
            name: ConnectionName::new(name),
            kind: spec.kind.clone(),
            database: None,
            labels: spec.labels.clone(),
            tags: spec.tags.clone(),
        };
        Ok(KnownConnection { info, listen, upstream: spec.upstream.clone(), since: Timestamp::default() })
    }
    async fn put(
        &self,
        name: &str,
        spec: ConnectionSpec,
        expected: Expected,
        _: &str,
    ) -> Result<ConnectionView, ConnectionFailure> {
        let mut all = self.0.lock().unwrap();
        let version = all.get(name).and_then(|c| c.version);
        match (expected, version) {
            (Expected::Nothing, Some(_)) => return Err(ConnectionFailure::Taken("there is one".into())),
            (Expected::Any | Expected::Version(_), None) => return Err(ConnectionFailure::Missing),
            (Expected::Version(e), Some(v)) if e != v => return Err(ConnectionFailure::Changed(name.into())),
            _ => {}
        }
        let view = shown(name, Some(spec), version.unwrap_or(0) + 1);
        all.insert(name.into(), view.clone());
        Ok(view)
    }
    async fn remove(&self, name: &str, _: Expected) -> Result<(), ConnectionFailure> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or(ConnectionFailure::Missing)
    }
    async fn test(&self, name: &str) -> Result<ConnectionTest, ConnectionFailure> {
        if name == "orders" { Ok(tried()) } else { Err(ConnectionFailure::Missing) }
    }
    async fn try_out(
        &self,
        _: &ConnectionSpec,
        _: Option<Secret<String>>,
    ) -> Result<ConnectionTest, ConnectionFailure> {
        Ok(tried())
    }
    async fn classify(&self, _: &str, _: Option<&str>, sample: u32) -> Result<ClassificationView, ConnectionFailure> {
        Ok(ClassificationView { sample, ..ClassificationView::default() })
    }
    async fn explain(
        &self,
        _: &str,
        _: Subject,
        _: Option<&str>,
        _: String,
    ) -> Result<Result<Explained, Refusal>, ConnectionFailure> {
        Ok(Err(Refusal {
            kind: RefusalKind::NotUnderstood,
            message: "it cannot be read".into(),
            detail: None,
            hint: None,
        }))
    }
}

fn tried() -> ConnectionTest {
    let failure = Some("connection refused".to_owned());
    let (server, host_key) = (None, None);
    ConnectionTest { ok: false, failure, server, encrypted: false, logged_in: false, host_key, milliseconds: 1 }
}

/// One exporter, that stands well.
struct NoExports;

impl ExportAccess for NoExports {
    fn list(&self) -> Vec<ExportView> {
        vec![ExportView {
            name: "siem".into(),
            kind: "syslog".into(),
            state: "idle".into(),
            position: Some(7),
            acknowledged: 5,
            rejected: 0,
            lag: 3,
            oldest_unsent: None,
            last_success: Some(support::now()),
            last_error: Some(ExportFailure { time: support::now(), what: "refused".into() }),
            failures: 1,
        }]
    }
}

fn issuers() -> Vec<IssuerEntry> {
    let names = ["corp", "ci"];
    let entry = |name: &str| IssuerEntry {
        name: name.into(),
        issuer: format!("https://{name}.example"),
        audience: vec!["doorward".into()],
        principal: PrincipalKind::User,
    };
    names.map(entry).into()
}

/// Nothing fails.
struct Well;

impl Vitals for Well {
    fn failing(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Certificates are a matter of their own: here one is a word, and a key is one that begins as keys do.
struct Words;

impl SshAccess for Words {
    fn issue(&self, public_key: &str, who: &Principal, longest: Duration) -> Result<SshCertificate, String> {
        public_key.strip_prefix("ssh-ed25519 ").ok_or("no public key")?;
        Ok(SshCertificate {
            certificate: "a certificate".into(),
            serial: 7,
            fingerprint: "SHA256:x".into(),
            principal: who.id(),
            expires: who.expires_at.min(support::now().after(longest)),
        })
    }

    fn endpoints(&self, _: &Principal) -> Result<Vec<SshAccessView>, String> {
        Ok(Vec::new())
    }
}

impl CredentialAccess for Words {
    fn may_connect(&self, connection: &str, who: &Principal, _: IpAddr) -> bool {
        connection == "orders" && !who.groups.is_empty()
    }
    fn issue(
        &self,
        connection: &str,
        who: &Principal,
        from: IpAddr,
        longest: Duration,
    ) -> Result<CredentialView, NoCredential> {
        match connection {
            "orders" => Ok(CredentialView {
                connection: connection.into(),
                kind: "mysql".into(),
                host: Some(from.to_string()),
                port: 3306,
                database: None,
                user: "dw_1".into(),
                password: "open sesame".into(),
                principal: who.id(),
                expires: who.expires_at.min(support::now().after(longest)),
            }),
            "full" => Err(NoCredential::TooMany("too many".into())),
            _ => Err(NoCredential::NoSuchConnection),
        }
    }
}

/// The shipped roles, and some of these tests.
fn sources() -> Vec<Source> {
    [("roles", ROLES), ("test", include_str!("rights.cedar"))]
        .map(|(name, text)| Source { name: name.into(), text: text.into() })
        .into()
}

fn rights() -> (Arc<Engine>, Rights) {
    let policies = Arc::new(Engine::load(&sources()).unwrap_or_else(|e| panic!("{}", e[0])));
    (Arc::clone(&policies), Rights::new(policies, vec![orders(Timestamp::default())]))
}

/// The connection `orders`, as it is since then.
pub fn orders(since: Timestamp) -> KnownConnection {
    let info = ConnectionInfo {
        name: ConnectionName::new("orders"),
        kind: "postgres".into(),
        database: Some("shop".into()),
        labels: [("environment".to_owned(), "prod".to_owned())].into(),
        tags: [("public.customers.ssn".to_owned(), ["pii".to_owned()].into())].into(),
    };
    let listen = "127.0.0.1:6432".parse().unwrap();
    KnownConnection { info, listen, upstream: "db:5432".into(), since }
}

fn who(token: &str) -> Option<Principal> {
    Some(match token {
        "stranger" => person("eve", &["staff"]),
        "approver" => person("anna", &["sre"]),
        "requester" => person("bot", &["agents", "sre"]),
        "buyer" => person("bea", &["buyers"]),
        "watcher" => person("wim", &["prod-watchers"]),
        "operator" => person("omar", &["ops"]),
        "admin" => person("ada", &["doorward-admins"]),
        // The same person, who is in no group any more.
        "demoted" => person("ada", &[]),
        // The same, who is in one more group.
        "suspended" => person("ada", &["doorward-admins", "suspended"]),
        "bot for dana" => acting(&["analysts"], &[]),
        "bot for dana, who is in more" => acting(&["analysts", "suspended"], &[]),
        "bot for dana, sent by planner" => acting(&["analysts"], &["corp/planner"]),
        "auditor" => person("aud", &["doorward-auditors"]),
        "short" => {
            Principal { expires_at: support::now().after(Duration::from_millis(400)), ..person("anna", &["sre"]) }
        }
        "stale" => {
            let before = support::now().as_micros() - 1_000_000;
            Principal { expires_at: Timestamp::from_micros(before), ..person("anna", &["sre"]) }
        }
        _ => return None,
    })
}

/// An agent that acts for a person, after others.
fn acting(groups: &[&str], before: &[&str]) -> Principal {
    let prior_actors = before.iter().map(|b| (*b).to_owned()).collect();
    let on_behalf_of = Some(Box::new(Delegation { person: person("dana", groups), prior_actors }));
    Principal { on_behalf_of, ..person("bot", &["agents"]) }
}

#[derive(Default)]
pub struct Sessions {
    pub live: Mutex<Vec<LiveSession>>,
    pub killed: Mutex<Vec<(SessionId, String)>>,
}

impl LiveSessions for Sessions {
    fn list(&self) -> Vec<LiveSession> {
        self.live.lock().unwrap().clone()
    }
    fn kill(&self, id: SessionId, message: &str) -> bool {
        self.killed.lock().unwrap().push((id, message.to_owned()));
        self.live.lock().unwrap().iter().any(|s| s.id == id)
    }
}

pub const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(77));

pub struct Web {
    pub office: Office,
    pub sessions: Arc<Sessions>,
    pub signin: Arc<SignIn>,
    pub rights: Arc<Rights>,
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub served: JoinHandle<std::io::Result<()>>,
    /// On the disk: what the interface reads. What it writes goes into `office.audit`.
    pub log: evidence::Log,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The lines of a body that came in chunks.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        // Sizes of chunks stand on lines of their own.
        self.body.split("\r\n").flat_map(str::lines).filter(|l| l.starts_with('{'))
    }

    pub fn chunked(&self) -> &str {
        &self.body
    }
}

impl Web {
    pub async fn new(tls: Option<TlsAcceptor>) -> Self {
        Self::with(tls, Vec::new()).await
    }

    /// With buttons in Slack, by the name of what tells people there.
    pub async fn with(tls: Option<TlsAcceptor>, slack: Vec<(String, SlackButtons)>) -> Self {
        let office = Office::new().await;
        let log = evidence::write(office.dir.path(), SESSION);
        let sessions = Arc::new(Sessions::default());
        sessions.live.lock().unwrap().push(LiveSession {
            id: SESSION,
            connection: "orders".into(),
            principal: "corp/bot".into(),
            parties: vec!["corp/bot".into()],
            client: "127.0.0.1:9".into(),
            started: support::now(),
            waits_for: Vec::new(),
        });
        let audit: Arc<dyn AuditSink> = office.audit.clone();
        let (engine, rights) = rights();
        let files = Box::new(|| Ok(sources()));
        let book =
            PolicyBook::new(Arc::clone(&engine), office.store.clone(), Arc::clone(&audit), files, Box::new(|| {}));
        let rights = Arc::new(rights);
        let settings = Settings::new("https://doors.example", SessionLimits::default()).unwrap();
        let signin = Arc::new(SignIn::new(office.store.clone(), settings));
        let state = ApiState {
            traces: None,
            tokens: Arc::new(Names),
            signin: Arc::clone(&signin),
            desk: office.desk.clone(),
            store: office.store.clone(),
            audit: Arc::clone(&audit),
            failures: Failures::new(Arc::clone(&audit)),
            sessions: sessions.clone(),
            ssh: Arc::new(Words),
            credentials: Arc::new(Words),
            rights: Arc::clone(&rights),
            book,
            audit_dir: office.dir.path().join("audit"),
            connections: Arc::new(Registered::default()),
            secrets: Arc::new(Hidden::default()),
            metrics: Arc::new(Metrics::new(Arc::clone(&audit), "1")),
            vitals: Arc::new(Well),
            back_tests: Arc::new(tokio::sync::Semaphore::new(1)),
            records: Arc::new(Records::new(Evidence::of(office.dir.path()), issuers(), Arc::new(NoExports))),
            slack: Arc::new(slack.into_iter().collect()),
            web: Some(Arc::new(WebParts::new(SetUp::default(), "https://doors.example"))),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let on_disk: Arc<dyn AuditSink> = log.0.clone();
        let folder = office.dir.path().join("audit");
        Index::start(folder, on_disk, office.store.clone(), stopped.clone());
        let served = tokio::spawn(serve(listener, tls, state, stopped));
        let web = Self { office, sessions, signin, rights, address, stop, served, log };
        web.indexed().await;
        web
    }

    /// The number of the oldest entry of the log.
    pub fn first_entry(&self) -> u64 {
        let dir = self.office.dir.path().join("audit");
        doorward_record::Entries::open(&dir, Default::default()).unwrap().next().unwrap().unwrap().seq
    }

    /// Waits until what the log says is known.
    pub async fn indexed(&self) {
        let head = self.log.0.head().seq;
        for _ in 0..500 {
            if self.office.store.seen_cursor().await.unwrap().is_some_and(|c| c.seq >= head) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the log is not taken in");
    }

    pub fn client(&self, token: &str) -> Client {
        Client::new(&format!("http://{}/", self.address), token, None).unwrap()
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send("GET", path, token, "", "").await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: &str) -> Answer {
        self.send("POST", path, token, "Content-Type: application/json\r\n", body).await
    }

    pub async fn send(&self, method: &str, path: &str, token: Option<&str>, headers: &str, body: &str) -> Answer {
        self.ask(method, &format!("/api/v1{path}"), token, headers, body).await
    }

    /// The same for a path that is not of the API.
    pub async fn ask(&self, method: &str, path: &str, token: Option<&str>, headers: &str, body: &str) -> Answer {
        let authorization = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        // A back-test of many requests takes a busy machine long: it is there to end, not to be quick.
        tokio::time::timeout(Duration::from_secs(300), answer(&mut tcp)).await.expect("an answer")
    }
}

/// Reads one answer; of a stream of events the head alone.
pub async fn answer(tcp: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let whole = String::from_utf8_lossy(&text);
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let ended = !head.contains("transfer-encoding: chunked")
                || head.contains("text/event-stream")
                || body.ends_with("0\r\n\r\n");
            if ended && body.len() >= length.unwrap_or(0) {
                let status = head.get(9..12).and_then(|s| s.parse().ok()).expect("a status");
                return Answer { status, body: body.to_owned(), head };
            }
        }
        let n = tcp.read(&mut chunk).await.unwrap();
        assert_ne!(n, 0, "cut off: {whole}");
        text.extend_from_slice(&chunk[..n]);
    }
}
