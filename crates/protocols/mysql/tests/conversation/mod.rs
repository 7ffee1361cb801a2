//! A session between peers whose every byte is somebody else's choice: what the fuzzer runs, and what replays its corpus.
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    ApprovalVerdict, Approver, AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer, EnforcerParts,
    PolicyInfo, ProtocolSession as _, SessionDecisions, Subject, Ticket, Verdict,
};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, ConnectionInfo, ConnectionName, Name, Principal, PrincipalKind, Resource,
    SessionId, Timestamp,
};
use doorward_mysql::{
    Answer, Capabilities, Event, Hold, Limits, Question, Session, SessionParts,
    codec::{self, compressed},
    grammar::Grammar,
    render::Rejection,
};
use doorward_sql::{Catalogue, Column, Relation, RelationKind, mysql::AnalysisCache};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

const NOW: Timestamp = Timestamp::from_micros(1);

/// No dropping, nothing that was not understood; DELETE needs an approval; columns called `ssn` are hidden.
#[derive(Debug)]
struct House;

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
        let policy = PolicyInfo {
            id: "deletes".into(),
            reason: None,
            approvers: vec!["sre".into()],
            quorum: 1,
            expires: Duration::from_secs(60),
            escalation: None,
            break_glass: vec![],
            mask: None,
        };
        let (allowed, policies) = match (access.action, &access.resource) {
            (Action::Drop | Action::Opaque, _) => (false, vec![]),
            (Action::Delete, _) => (circumstances.approved, vec![Arc::new(policy)]),
            (Action::Reveal, Resource::Column { name, .. }) => (&**name != "ssn", vec![]),
            _ => (true, vec![]),
        };
        Verdict { allowed, policies, error: None, lasting: true }
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
        pdp: Arc::new(House),
        audit: Arc::new(Nowhere),
        strict_audit: true,
        place: "here:1".into(),
        new_approval: Box::new(|| ApprovalId::from_uuid(Default::default())),
    })
}

fn reader() -> Arc<Grammar> {
    let column = |(number, name): (i16, &str)| Column { number, name: name.into(), type_oid: 0 };
    let people = Relation {
        oid: 1,
        schema: "orders".into(),
        name: Name::from("people"),
        kind: RelationKind::Table,
        columns: [(1, "id"), (2, "ssn")].map(column).into(),
    };
    let cache = Arc::new(AnalysisCache::new(100, 1 << 20));
    Arc::new(Grammar::new(Arc::new(Catalogue::new(1, [people], [])), false, cache))
}

/// Which server and which capabilities.
fn session(choice: u8) -> Session {
    static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
    let version = if choice & 1 == 0 { "9.7.4" } else { "11.8.9-MariaDB" };
    let mut bits = 1 << 9 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 23 | 1 << 7 | u64::from(choice & 1 == 0);
    let extra = [
        Capabilities::DEPRECATE_EOF,
        Capabilities::QUERY_ATTRIBUTES,
        Capabilities::BULK_OPERATIONS,
        Capabilities::PROGRESS,
    ];
    for (i, flag) in extra.iter().enumerate() {
        if choice >> (i + 1) & 1 == 1 {
            bits |= flag.0;
        }
    }
    Session::new(SessionParts {
        heard: Default::default(),
        enforcer: enforcer(),
        detector: Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new()))),
        masker: Arc::new(Masker::new([1; 32])),
        reader: reader(),
        client: Capabilities(bits),
        upstream: Capabilities(bits),
        version: version.into(),
        database: (choice & 32 != 0).then(|| b"orders".to_vec()),
        sequence: 2,
        hold: Hold::Wait,
        limits: Limits { names: 5, message: 1 << 20, row: 1 << 20, backlog: 1 << 20 },
    })
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0";

/// What a server says to the gateway's own questions, so that what follows meets a session that has begun.
fn begin(s: &mut Session, choice: u8) {
    let eof = choice & 2 == 0;
    let end: &[u8] = if eof { b"\xfe\0\0\x02\0" } else { b"\xfe\0\0\x02\0\0\0" };
    let packet = |n: u8, payload: &[u8]| {
        let mut out = Vec::new();
        codec::put_message(&mut out, n, payload);
        out
    };
    s.handle_upstream(&packet(1, OK), NOW);
    let mut all: Vec<&[u8]> = vec![b"\x03", COLUMN, COLUMN, COLUMN];
    if eof {
        all.push(end);
    }
    all.extend([&b"\0\x07utf8mb4\x06orders"[..], end]);
    for (n, payload) in (1..).zip(all) {
        s.handle_upstream(&packet(n, payload), NOW);
    }
}

fn answered(s: &mut Session, upstream: &mut Vec<u8>) -> bool {
    let mut ended = false;
    loop {
        let ready = s.to_upstream().ready(Ticket(1)).to_vec();
        s.to_upstream().sent(ready.len());
        upstream.extend_from_slice(&ready);
        let Some(event) = s.poll_event() else { return ended };
        match event {
            Event::Hold(approval) => {
                let by = vec![Approver::new("ada", vec!["sre".into()])];
                s.handle_verdict(approval.id, ApprovalVerdict::Approved { by }, NOW);
            }
            Event::Ask(Question::Read(text, environment)) => {
                s.handle_answer(Answer::Reading(reader().read(&text, &environment, true)), NOW);
            }
            Event::Ask(Question::Schema { .. }) => s.handle_answer(Answer::Reader(Ok(reader())), NOW),
            Event::Ask(Question::Kill(..)) => {
                s.handle_answer(Answer::Killed(Err(Rejection::new(1094, "HY000", "Unknown thread id"))), NOW);
            }
            Event::Ask(Question::ChangeUser(_)) => s.handle_answer(Answer::User(Ok(None)), NOW),
            Event::Ask(Question::LoginPacket(_) | Question::Park(_)) | Event::Withdraw(..) | Event::CancelUpstream => {}
            Event::End(_) => ended = true,
        }
    }
}

/// What went to client and upstream, with pieces cut after `cut` bytes.
fn run(data: &[u8], cut: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut upstream) = (Vec::new(), Vec::new());
    let Some((choice, mut rest)) = data.split_first() else { return (client, upstream) };
    let mut s = session(*choice);
    answered(&mut s, &mut upstream);
    if choice & 64 == 0 {
        begin(&mut s, *choice);
        answered(&mut s, &mut upstream);
    }
    // A byte says whose bytes follow and whether a head is put before them, another how many.
    while let [kind, length, tail @ ..] = rest {
        let (piece, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        let mut bytes = Vec::new();
        if kind & 2 == 0 {
            codec::put_message(&mut bytes, kind >> 2, piece);
        } else {
            bytes.extend_from_slice(piece);
        }
        for part in bytes.chunks(cut) {
            if kind & 1 == 0 {
                s.handle_client(part, NOW)
            } else {
                s.handle_upstream(part, NOW)
            }
            let ended = answered(&mut s, &mut upstream);
            client.extend_from_slice(&s.to_client().split());
            if ended {
                return (client, upstream);
            }
        }
    }
    (client, upstream)
}

/// Plays what `data` says. How many bytes went upstream.
pub fn play(data: &[u8]) -> usize {
    let whole = run(data, usize::MAX);
    assert!(run(data, 1) == whole, "it depends on how bytes are cut");
    let mut out = bytes::BytesMut::new();
    for algorithm in [compressed::Algorithm::Zlib, compressed::Algorithm::Zstd(3)] {
        let _refused = compressed::Envelopes::new(algorithm, true).unpack(data, 1 << 16, &mut out);
    }
    whole.1.len()
}
