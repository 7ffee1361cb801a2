//! From a TCP connection to a session: encryption, start-up, identity, policy, upstream.
//!
//! Each step happens once and in this order; nothing a client sends can go back to an earlier one.
//! Packets are read by their exact length, so that no byte sent in clear can slip into the
//! encrypted stream (CVE-2021-23214).
use super::{Endpoint, upstream};
use crate::{
    accept::Full,
    admission::{Admission, NotAdmitted, Registered, Start},
    relay::Joined,
    services::now,
    stream::Stream,
};
use bytes::BytesMut;
use doorward_enforce::{AuditUnavailable, Enforcer, Refusal};
use doorward_identity::oauthbearer;
use doorward_model::{AuditEvent, AuditKind, Principal};
use doorward_postgres::{
    Session, SessionParts,
    codec::{self, Startup},
    render,
    startup::{self, StartupPlan},
};
use doorward_record::{Direction, Recording};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a client may take from its first byte to the end of log-in.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a client that is turned away may take to hear why.
const FAREWELL: Duration = Duration::from_secs(5);
/// The longest start-up packet, in bytes: the server's own limit (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST_STARTUP: usize = 10_000;
/// The longest password message, in bytes: a token of 16 KiB with room for its wrapping.
const LONGEST_PASSWORD: usize = 20 * 1024;

/// A session that may begin.
pub(crate) struct Started {
    pub(crate) joined: Joined<Session>,
    pub(crate) cancel_target: upstream::CancelTarget,
    pub(crate) database: String,
}

/// Why a handshake ended without a session. Each is told to the client and written down.
#[derive(Debug)]
struct Rejected {
    at_fault: &'static str,
    code: &'static str,
    /// What the client hears.
    message: String,
    hint: Option<String>,
    /// What the audit log keeps.
    reason: String,
}

impl Rejected {
    fn client(what: impl Into<String>) -> Self {
        let what = what.into();
        Self { at_fault: "client", code: "08P01", message: what.clone(), hint: None, reason: what }
    }

    fn gateway(code: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { at_fault: "gateway", code, message: what.clone(), hint: None, reason: what }
    }

    /// A client that did not finish in time; the server's own words for it.
    fn stalled() -> Self {
        Self {
            code: "57014",
            message: "canceling authentication due to timeout".into(),
            ..Self::client("log-in was not finished in time")
        }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

impl From<AuditUnavailable> for Rejected {
    fn from(e: AuditUnavailable) -> Self {
        Self::gateway("58030", format!("refused: {e}"))
    }
}

impl From<&Refusal> for Rejected {
    fn from(r: &Refusal) -> Self {
        let reason = match &r.detail {
            Some(detail) => format!("{}; {detail}", r.message),
            None => r.message.clone(),
        };
        Self { at_fault: "policy", code: "42501", message: r.message.clone(), hint: r.hint.clone(), reason }
    }
}

/// A client on its way in.
struct Arrival {
    endpoint: Arc<Endpoint>,
    admission: Admission,
    client: Stream,
    recording: Option<Recording>,
    /// What came before the recording began.
    early: Vec<u8>,
}

/// Takes a client from its first byte to a session. `None` once it has been told why not.
pub(crate) async fn accept(endpoint: &Arc<Endpoint>, client: Stream) -> Option<Box<Started>> {
    let Stream::Plain(socket) = &client else { return None };
    let connection = &endpoint.connection;
    let peer = socket.peer_addr().ok()?;
    let mut arrival = Arrival {
        endpoint: Arc::clone(endpoint),
        admission: Admission::new(
            &endpoint.services,
            (&connection.info, connection.upstream.place()),
            "postgres",
            peer,
            connection.strict_audit,
        ),
        client,
        recording: None,
        early: Vec::new(),
    };
    let run = tokio::time::timeout(HANDSHAKE, arrival.run()).await;
    match run.unwrap_or_else(|_| Err(Rejected::stalled())) {
        Ok(None) => {
            // A cancel request. libpq 17 and later call it failed unless TLS ends properly.
            let _gone = arrival.client.shutdown().await;
            None
        }
        Ok(started) => started,
        Err(rejected) => {
            arrival.reject(&rejected).await;
            None
        }
    }
}

/// Tells a client that there is no room, in the server's words.
pub(crate) async fn turn_away(mut socket: TcpStream, full: Full) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    let message = match full {
        Full::Sessions => "sorry, too many clients already",
        Full::Address => "sorry, too many clients from your address are logging in at once",
    };
    render::error(&mut out, "FATAL", "53300", message, None, None);
    socket.write_all(&out).await
}

impl Arrival {
    async fn run(&mut self) -> Result<Option<Box<Started>>, Rejected> {
        let Some((version, parameters)) = self.startup_packet().await? else { return Ok(None) };
        let borrowed: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let plan = startup::plan(&borrowed).map_err(|e| Rejected::client(e.to_string()))?;
        self.open()?;
        if !self.client.is_tls() && !self.admission.peer.ip().is_loopback() {
            return Err(Rejected::client("connections from other machines must use TLS")
                .hint("add sslmode=require to the connection string"));
        }
        self.negotiate(version, &plan).await?;
        let principal = self.authenticate(&plan).await?;
        self.begin(version, plan, principal).await.map(Some)
    }

    /// Reads start-up packets until one starts a session. `None` after a cancel request.
    async fn startup_packet(&mut self) -> Result<Option<((u16, u16), Vec<(String, String)>)>, Rejected> {
        let (mut asked_tls, mut asked_gss) = (false, false);
        if self.starts_with_tls().await {
            self.encrypt(true).await?;
            asked_tls = true;
        }
        loop {
            let packet = self.read_packet().await?;
            match codec::startup(&packet).map_err(|e| Rejected::client(e.to_string()))? {
                Startup::Ssl if !asked_tls => {
                    asked_tls = true;
                    if self.endpoint.tls.is_some() {
                        self.write(b"S").await?;
                        self.encrypt(false).await?;
                    } else {
                        self.write(b"N").await?;
                    }
                }
                Startup::GssEnc if !asked_gss && !self.client.is_tls() => {
                    asked_gss = true;
                    self.write(b"N").await?;
                }
                Startup::Ssl | Startup::GssEnc => return Err(Rejected::client("encryption was asked for twice")),
                Startup::Cancel { process_id, key } => {
                    self.cancel(process_id, key);
                    return Ok(None);
                }
                Startup::Start { version, parameters } => {
                    let owned = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
                    return Ok(Some((version, owned)));
                }
            }
        }
    }

    async fn starts_with_tls(&self) -> bool {
        let Stream::Plain(socket) = &self.client else { return false };
        let mut first = [0; 1];
        // 0x16 is a TLS handshake record; no start-up packet is that long.
        matches!(socket.peek(&mut first).await, Ok(1)) && first == [0x16]
    }

    async fn encrypt(&mut self, direct: bool) -> Result<(), Rejected> {
        let Some(config) = self.endpoint.tls.clone() else {
            return Err(Rejected::client("TLS is not set up on this endpoint"));
        };
        let dummy = Stream::Detached;
        let Stream::Plain(socket) = std::mem::replace(&mut self.client, dummy) else {
            return Err(Rejected::client("TLS inside TLS"));
        };
        let tls = tokio_rustls::TlsAcceptor::from(config)
            .accept(socket)
            .await
            .map_err(|e| Rejected::client(format!("TLS handshake failed: {e}")))?;
        // libpq: a connection that starts with TLS at once must name the protocol.
        if direct && tls.get_ref().1.alpn_protocol() != Some(b"postgresql") {
            self.client = Stream::ServerTls(Box::new(tls));
            return Err(Rejected::client(
                "received direct SSL connection request without ALPN protocol negotiation extension",
            ));
        }
        self.client = Stream::ServerTls(Box::new(tls));
        Ok(())
    }

    async fn read_packet(&mut self) -> Result<Vec<u8>, Rejected> {
        let gone = |e: std::io::Error| Rejected::client(format!("the client left during start-up: {e}"));
        let mut head = [0; 4];
        self.client.read_exact(&mut head).await.map_err(gone)?;
        let length = u32::from_be_bytes(head) as usize;
        if !(8..=LONGEST_STARTUP).contains(&length) {
            return Err(Rejected::client(format!("invalid length of startup packet: {length}")));
        }
        let mut packet = vec![0; length];
        if let Some(rest) = packet.get_mut(4..) {
            self.client.read_exact(rest).await.map_err(gone)?;
        }
        if let Some(head_of) = packet.get_mut(..4) {
            head_of.copy_from_slice(&head);
        }
        self.record_client(&packet);
        Ok(packet)
    }

    fn record_client(&mut self, bytes: &[u8]) {
        if let Some(recording) = &self.recording {
            recording.frame(Direction::Client, now(), bytes);
        } else {
            self.early.extend_from_slice(bytes);
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        if let Some(recording) = &self.recording {
            recording.frame(Direction::Upstream, now(), bytes);
        }
        let written = async {
            self.client.write_all(bytes).await?;
            self.client.flush().await
        };
        written.await.map_err(|e| Rejected::client(format!("the client left during start-up: {e}")))
    }

    fn cancel(&self, process_id: u32, key: &[u8]) {
        let session = self.endpoint.services.registry.cancel(process_id, key);
        let event =
            AuditEvent { time: now(), session, kind: AuditKind::Cancel { known: session.is_some() }, parties: None };
        if let Err(e) = self.endpoint.services.audit.append(&event) {
            tracing::error!("a cancel request is not in the audit log: {e}");
        }
    }

    /// Opens the recording and the audit trail of the session.
    fn open(&mut self) -> Result<(), Rejected> {
        let unavailable = |what: String| {
            Rejected::gateway(
                "58030",
                format!("this gateway cannot keep records now, and lets nobody in without: {what}"),
            )
        };
        self.endpoint.services.recordings.health().map_err(unavailable)?;
        let recording = self.admission.record(serde_json::Value::Null);
        recording.frame(Direction::Client, now(), &self.early);
        self.early = Vec::new();
        self.recording = Some(recording);
        self.admission.note_opened().map_err(|e| unavailable(e.to_string()))
    }

    /// Protocol 3.0 and 3.2 are spoken; for anything else of 3, and for protocol options, the client
    /// is told what is left ("NegotiateProtocolVersion").
    async fn negotiate(&mut self, version: (u16, u16), plan: &StartupPlan) -> Result<(), Rejected> {
        if version.0 != 3 {
            let message =
                format!("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", version.0, version.1);
            return Err(Rejected { code: "0A000", ..Rejected::client(message) });
        }
        if matches!(version.1, 0 | 2) && plan.unknown_options.is_empty() {
            return Ok(());
        }
        let minor = if version.1 >= 2 { 2 } else { 0 };
        let options: Vec<&str> = plan.unknown_options.iter().map(String::as_str).collect();
        let mut out = BytesMut::new();
        render::negotiate_protocol_version(&mut out, minor, &options);
        self.write(&out).await
    }

    async fn authenticate(&mut self, plan: &StartupPlan) -> Result<Principal, Rejected> {
        let oauth = plan.oauth.unwrap_or(self.endpoint.connection.client_auth == crate::ClientAuth::OAuth);
        let token = if oauth { self.oauth_token().await? } else { self.password().await? };
        let identity = Arc::clone(&self.endpoint.services.identity);
        let checked = match &token {
            Ok(token) => identity.verify(token, now()).await.map_err(|e| e.reason),
            Err(reason) => Err(reason.clone()),
        };
        self.admission.note_identity(&plan.user, &checked)?;
        match checked {
            Ok(principal) => {
                if let Some(recording) = &self.recording {
                    recording.meta(now(), &serde_json::json!({ "principal": principal.to_string() }));
                }
                Ok(principal)
            }
            Err(reason) => {
                // Counted before anything is waited for: who leaves now has guessed all the same.
                let delay = self.endpoint.services.arrivals.failed(self.admission.peer.ip(), Instant::now());
                tokio::time::sleep(delay).await;
                if oauth {
                    let _gone = self.oauth_failure().await;
                }
                // Unknown, expired and forged tokens look the same from outside.
                Err(Rejected {
                    at_fault: "client",
                    code: "28P01",
                    message: format!("authentication failed for user \"{}\"", plan.user),
                    hint: Some("the password must be a valid identity token for this gateway".into()),
                    reason: format!("authentication failed: {reason}"),
                })
            }
        }
    }

    async fn password(&mut self) -> Result<Result<String, String>, Rejected> {
        let mut out = BytesMut::new();
        render::authentication_cleartext_password(&mut out);
        self.write(&out).await?;
        let body = self.read_secret().await?;
        Ok(match codec::password(&body).map(std::str::from_utf8) {
            Ok(Ok("")) => Err("an empty password".into()),
            Ok(Ok(token)) => Ok(token.to_owned()),
            Ok(Err(_)) => Err("a password that is not UTF-8".into()),
            Err(e) => return Err(Rejected::client(e.to_string())),
        })
    }

    /// SASL OAUTHBEARER (RFC 7628), as libpq 18 speaks it.
    async fn oauth_token(&mut self) -> Result<Result<String, String>, Rejected> {
        let mut out = BytesMut::new();
        render::authentication_sasl(&mut out, &["OAUTHBEARER"]);
        self.write(&out).await?;
        let body = self.read_secret().await?;
        let initial = codec::sasl_initial_response(&body).map_err(|e| Rejected::client(e.to_string()))?;
        if initial.mechanism != "OAUTHBEARER" {
            return Err(Rejected::client(format!("SASL mechanism `{}` was not offered", initial.mechanism)));
        }
        let parsed = oauthbearer::InitialResponse::parse(initial.data.unwrap_or_default());
        let reason = match parsed {
            // Nobody may be acted for: the token alone says who the caller is.
            Ok(response) if response.authzid.is_some() => "an authorization identity was asked for".to_owned(),
            Ok(oauthbearer::InitialResponse { auth: oauthbearer::Auth::Token(token), .. }) => {
                return Ok(Ok(token.expose().clone()));
            }
            Ok(_) => "no token: the client asked where to get one".to_owned(),
            Err(e) => e.to_string(),
        };
        Ok(Err(reason))
    }

    /// The failed exchange ends as the RFC wants it: an error in JSON, and the client's dummy answer.
    async fn oauth_failure(&mut self) -> Result<(), Rejected> {
        let mut out = BytesMut::new();
        render::authentication_sasl_continue(&mut out, self.endpoint.services.identity.oauth_challenge().as_bytes());
        self.write(&out).await?;
        self.read_secret().await.map(|_| ())
    }

    /// Reads a password-class message. Its content is not recorded.
    async fn read_secret(&mut self) -> Result<Vec<u8>, Rejected> {
        let gone = |e: std::io::Error| Rejected::client(format!("the client left during log-in: {e}"));
        let mut head = [0; 5];
        self.client.read_exact(&mut head).await.map_err(gone)?;
        let [tag, a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if tag != b'p' {
            return Err(Rejected::client(format!("expected a password message, got type 0x{tag:02x}")));
        }
        if !(4..=LONGEST_PASSWORD).contains(&length) {
            return Err(Rejected::client(format!("invalid length of password message: {length}")));
        }
        let mut body = vec![0; length - 4];
        self.client.read_exact(&mut body).await.map_err(gone)?;
        if let Some(recording) = &self.recording {
            recording.redacted(Direction::Client, now(), length as u64 + 1, "identity token");
        }
        Ok(body)
    }

    /// Decides the start of the session, logs in upstream, and greets the client.
    async fn begin(
        &mut self,
        version: (u16, u16),
        plan: StartupPlan,
        principal: Principal,
    ) -> Result<Box<Started>, Rejected> {
        let endpoint = Arc::clone(&self.endpoint);
        let expires = principal.expires_at;
        let who = principal.clone();
        let database = self.database(&plan)?;
        let mut enforcer = self.admission.enforcer(principal, Some(&database), self.client.is_tls());
        self.decide(&mut enforcer, &plan).await?;
        let user = endpoint.connection.upstream.user.clone().unwrap_or_else(|| plan.user.clone());
        let heard = endpoint.snapshots.heard();
        let schema = crate::snapshots::current(&endpoint, &database).await.map_err(unreachable_upstream)?;
        let search_path = plan.search_path.clone().unwrap_or_else(|| schema.search_path.clone());
        let mut parameters = plan.parameters.clone();
        if plan.search_path.is_none() {
            // Said aloud, so that the path is the one that statements are read under.
            parameters.push(("search_path".into(), search_path.clone()));
        }
        let login = upstream::Login { user: &user, database: &database, parameters: &parameters, version };
        let greeted = upstream::connect(&endpoint, &login).await.map_err(unreachable_upstream)?;
        let Some(recording) = self.recording.take() else {
            return Err(Rejected::gateway("58030", "this session has no recording"));
        };
        let key: Vec<u8> =
            if version.1 >= 2 { rand::random::<[u8; 32]>().to_vec() } else { rand::random::<[u8; 4]>().to_vec() };
        let registry = &endpoint.services.registry;
        let process_id = registry.add_key(self.admission.id, &key);
        let mut greeting = BytesMut::new();
        render::authentication_ok(&mut greeting);
        greeting.extend_from_slice(&greeted.greeting);
        render::backend_key_data(&mut greeting, process_id, &key);
        render::ready_for_query(&mut greeting, b'I');
        recording.frame(Direction::Upstream, now(), &greeting);
        let Registered { to_self, control, .. } = self.admission.register(&who);
        let session = Session::new(SessionParts {
            enforcer,
            detector: Arc::clone(&endpoint.services.detector),
            masker: Arc::clone(&endpoint.services.masker),
            cache: Arc::clone(&endpoint.cache),
            catalogue: schema.catalogue,
            heard,
            search_path,
            user: plan.authorization.clone().unwrap_or(user),
            role: plan.role.clone(),
            limits: endpoint.connection.limits,
            names_are_utf8: greeted.names_are_utf8,
        });
        let mut client = std::mem::replace(&mut self.client, Stream::Detached);
        let greeted_client = async {
            client.write_all(&greeting).await?;
            client.flush().await
        };
        if let Err(e) = greeted_client.await {
            registry.remove(self.admission.id, Some(process_id));
            return Err(Rejected::client(format!("the client left during log-in: {e}")));
        }
        let joined = Joined {
            id: self.admission.id,
            client,
            upstream: greeted.stream,
            session,
            recording,
            control,
            to_self,
            process_id,
            expires,
            lent: greeted.lent,
        };
        Ok(Box::new(Started { joined, cancel_target: greeted.cancel_target, database }))
    }

    fn database(&self, plan: &StartupPlan) -> Result<String, Rejected> {
        let asked = plan.database.clone();
        match (&self.endpoint.connection.database, asked) {
            (Some(pinned), Some(asked)) if *pinned != asked && asked != plan.user => {
                let message = format!("database \"{asked}\" is not offered here: this endpoint leads to \"{pinned}\"");
                Err(Rejected { code: "3D000", ..Rejected::client(message) })
            }
            (Some(pinned), _) => Ok(pinned.clone()),
            (None, asked) => Ok(asked.unwrap_or_else(|| plan.user.clone())),
        }
    }

    async fn decide(&self, enforcer: &mut Enforcer, plan: &StartupPlan) -> Result<(), Rejected> {
        let said: Vec<String> = plan.parameters.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let statement = said.join(" ");
        let payload = format!("{} {:?} {statement}", plan.user, plan.database);
        let facts = Arc::new(plan.facts());
        let start = Start { via: "startup", facts, statement: &statement, payload: payload.as_bytes() };
        self.admission.decide(enforcer, start).await.map_err(|why| match why {
            NotAdmitted::Refused(refusal) => Rejected::from(&refusal),
            NotAdmitted::Unavailable(e) => e.into(),
            NotAdmitted::Held => {
                let message = "opening this session needs an approval, and a log-in cannot wait for one";
                Rejected::gateway("42501", message).hint("ask for a policy that holds statements instead of `connect`")
            }
        })
    }

    async fn tell(&mut self, rejected: &Rejected) {
        let mut out = BytesMut::new();
        render::error(&mut out, "FATAL", rejected.code, &rejected.message, None, rejected.hint.as_deref());
        // The client may be gone already; what it was told is on record either way.
        let _gone = self.write(&out).await;
        let _gone = self.client.shutdown().await;
    }

    async fn reject(&mut self, rejected: &Rejected) {
        let (at_fault, what) = (rejected.at_fault.into(), rejected.reason.clone());
        self.admission.note_late(AuditKind::Fault { at_fault, what });
        // A client that does not read is not waited for.
        let _told = tokio::time::timeout(FAREWELL, self.tell(rejected)).await;
        if let Some(recording) = self.recording.take() {
            self.admission.give_up(recording, &rejected.reason);
        }
    }
}

fn unreachable_upstream(e: upstream::UpstreamError) -> Rejected {
    Rejected { at_fault: "upstream", code: e.code(), message: e.for_the_caller(), hint: None, reason: e.to_string() }
}
