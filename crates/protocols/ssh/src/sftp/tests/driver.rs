//! Drives a channel as the gateway does: a real enforcement point, a real queue. The fuzz target shares it.
use super::sftp::{ContentCheck, Event, Fault, Next, Sftp};
use doorward_detect::{Detector, TypeSet};
use doorward_enforce::{
    AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer, EnforcerParts, Outcome, Request,
    SessionDecisions, Subject, Ticket, UpstreamQueue, Verdict, nothing_else,
};
use doorward_model::{
    Access, Action, AuditEvent, ConnectionInfo, ConnectionName, Principal, PrincipalKind, Resource, SessionId,
    Timestamp,
};
use doorward_shell::Login;
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

/// Allows everything but what is opaque, and files with `secret` in their names.
#[derive(Debug)]
struct NoSecrets;

impl DecisionPoint for NoSecrets {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(Self)
    }
}

impl SessionDecisions for NoSecrets {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, _: &Circumstances<'_>) -> Verdict {
        let allowed = access.action != Action::Opaque && !access.resource.local_id().contains("secret");
        Verdict { allowed, policies: Vec::new(), error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        Vec::new()
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

fn enforcer() -> Enforcer {
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
        name: ConnectionName::new("web"),
        kind: "ssh".into(),
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
        pdp: Arc::new(NoSecrets),
        audit: Arc::new(Nowhere),
        strict_audit: true,
        place: "here:1".into(),
        new_approval: Box::new(|| unreachable!("nothing is held here")),
    })
}

/// A channel, and all that came of it.
pub(crate) struct Driver {
    pub(crate) sftp: Sftp,
    enforcer: Enforcer,
    upstream: UpstreamQueue,
    /// What was decided, followed, refused, in words.
    pub(crate) log: Vec<String>,
    pub(crate) to_upstream: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) fault: Option<Fault>,
    /// The model: requests that were allowed to open something, and the handles they were answered with.
    opens: HashSet<u32>,
    handles: HashMap<Vec<u8>, bool>,
}

/// A string of a packet that begins at a place.
fn string_at(packet: &[u8], at: usize) -> Option<&[u8]> {
    let length = u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?) as usize;
    packet.get(at + 4..at + 4 + length)
}

fn id(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(5..9)?.try_into().ok()?))
}

impl Driver {
    pub(crate) fn new(hidden: TypeSet) -> Self {
        static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
        let detector = Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new())));
        Self {
            sftp: Sftp::new(Login::default(), ContentCheck { detector, hidden }),
            enforcer: enforcer(),
            upstream: UpstreamQueue::new(),
            log: Vec::new(),
            to_upstream: Vec::new(),
            to_client: Vec::new(),
            fault: None,
            opens: HashSet::new(),
            handles: HashMap::new(),
        }
    }

    /// Bytes of one side, fed in pieces.
    pub(crate) fn feed(&mut self, from_client: bool, bytes: &[u8], cut: usize) {
        if !from_client {
            self.learn(bytes);
        }
        for piece in bytes.chunks(cut) {
            let fed = if from_client { self.sftp.handle_client(piece) } else { self.sftp.handle_upstream(piece) };
            let done = fed.and_then(|()| self.run());
            let answers = self.sftp.to_client();
            self.to_client.extend_from_slice(&answers.split());
            self.events();
            if let Err(fault) = done {
                self.log.push(fault.to_string());
                self.fault = Some(fault);
                return;
            }
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.sftp.event() {
            self.log.push(described(&event));
        }
    }

    /// The channel ends.
    pub(crate) fn end(&mut self) {
        self.sftp.end();
        self.events();
    }

    /// A handle that an allowed open was answered with may be used.
    fn learn(&mut self, packet: &[u8]) {
        let opened = id(packet).is_some_and(|id| self.opens.remove(&id));
        if opened && packet.get(4) == Some(&102) {
            self.handles.extend(string_at(packet, 9).map(|handle| (handle.to_vec(), true)));
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        loop {
            match self.sftp.next()? {
                Next::Idle => return Ok(()),
                Next::Greet { packet } => self.to_upstream.extend_from_slice(&packet),
                Next::Refused(refused) => self.log.push(format!("refused {}: {}", refused.statement, refused.what)),
                Next::Follow { packet, handle } => {
                    let permit = self.sftp.stream_permit(handle).expect("a permit for what follows");
                    let copies = packet.get(4) == Some(&200);
                    let at = if copies { 13 + string_at(&packet, 9).map_or(0, <[u8]>::len) } else { 9 };
                    let name = string_at(&packet, at).expect("a handle");
                    assert!(self.handles.contains_key(name), "a handle that no allowed open was answered with");
                    self.upstream.push_stream(permit, &packet);
                    self.log.push(format!("follow {}", packet.get(4).copied().unwrap_or_default()));
                }
                Next::Decide(operation) => self.decide(&operation),
            }
            let ready = self.upstream.ready(Ticket(1)).to_vec();
            self.upstream.sent(ready.len());
            self.to_upstream.extend(ready);
        }
    }

    fn decide(&mut self, operation: &super::sftp::Operation) {
        let accesses: Vec<String> = operation.facts.accesses.iter().map(ToString::to_string).collect();
        self.log.push(format!("{}: {}", operation.statement, accesses.join(", ")));
        let request = Request {
            via: "sftp",
            statement: &operation.statement,
            shown: &nothing_else,
            bound: &[],
            payload: &operation.packet,
        };
        match self.enforcer.decide(&operation.facts, &request, Timestamp::from_secs(1)) {
            Outcome::Forward(permit) => {
                let stream = permit.stream();
                self.upstream.push(permit, &operation.packet).expect("the bytes that were decided");
                self.opens.extend(id(&operation.packet).filter(|_| matches!(operation.packet.get(4), Some(3 | 11))));
                self.sftp.allowed(stream);
            }
            Outcome::Refuse(refusal) => self.sftp.refused(&refusal.message),
            Outcome::Hold(_) => unreachable!("nothing is held here"),
        }
    }
}

fn described(event: &Event) -> String {
    match event {
        Event::Transferred(t) => {
            let digest = t.sha256.map_or("no digest".to_owned(), |d| format!("sha256 {:02x}{:02x}…", d[0], d[1]));
            let end = if t.complete { "" } else { ", cut off" };
            format!("{:?} {}: {} bytes, {digest}{end}", t.direction, t.path, t.bytes)
        }
        Event::Withheld { path, found, offset } => format!("withheld {path} at {offset}: {}", found.as_str()),
    }
}
