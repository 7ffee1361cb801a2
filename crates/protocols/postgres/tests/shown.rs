//! Who approves is shown parameters by their types, whole, and what is run by its name; what is too long is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    ApprovalRequest, ApprovalVerdict, Approver, AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer,
    EnforcerParts, MOST_SHOWN, Party, PolicyInfo, ProtocolSession as _, SessionDecisions, Subject, Ticket, Verdict,
};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, ConnectionInfo, ConnectionName, Principal, PrincipalKind, Resource,
    SessionId, Timestamp,
};
use doorward_postgres::{Event, Limits, Session, SessionParts};
use doorward_sql::{Catalogue, Column, Relation, RelationKind, postgres::AnalysisCache};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

const NOW: Timestamp = Timestamp::from_micros(1);

fn asks_sre() -> PolicyInfo {
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

/// Allows everything; deleting, and calling by number, has to be approved.
#[derive(Debug)]
struct Deletes;

impl DecisionPoint for Deletes {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: Party) -> Box<dyn SessionDecisions> {
        Box::new(Self)
    }
}

impl SessionDecisions for Deletes {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, circumstances: &Circumstances<'_>) -> Verdict {
        let policy = asks_sre();
        let is_held = matches!(access.action, Action::Delete | Action::Opaque | Action::Insert);
        let (allowed, policies) =
            if is_held { (circumstances.approved, vec![Arc::new(policy)]) } else { (true, Vec::new()) };
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

fn session() -> Session {
    session_under(Arc::new(Deletes))
}

fn session_under(pdp: Arc<dyn DecisionPoint>) -> Session {
    let column = |number, name: &str| Column { number, name: name.into(), type_oid: 23 };
    let (schema, name, columns) = ("public".into(), "t".into(), vec![column(1, "a"), column(2, "b")]);
    let catalogue = Catalogue::new(1, [Relation { oid: 1, schema, name, kind: RelationKind::Table, columns }], []);
    let catalogue = catalogue.with_type_names([1, 2].map(|number| ((1, number), "integer".into())));
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
        kind: "postgres".into(),
        database: None,
        labels: Default::default(),
        tags: Default::default(),
    };
    let (session, client_ip) = (SessionId::from_uuid(Default::default()), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let subject = Subject { session, principal, connection, client_ip, tls: true };
    Session::new(SessionParts {
        heard: Default::default(),
        enforcer: Enforcer::new(EnforcerParts {
            subject: Arc::new(subject),
            pdp,
            audit: Arc::new(Nowhere),
            strict_audit: true,
            place: "here:1".into(),
            new_approval: Box::new(|| ApprovalId::from_uuid(Default::default())),
        }),
        detector: Arc::new(Detector::new()),
        masker: Arc::new(Masker::new([1; 32])),
        cache: Arc::new(AnalysisCache::new(64, 1 << 20)),
        catalogue: Arc::new(catalogue),
        search_path: "public".into(),
        user: "app".into(),
        role: None,
        limits: Limits::default(),
        names_are_utf8: true,
    })
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((u32::try_from(body.len()).unwrap() + 4).to_be_bytes());
    out.extend(body);
    out
}

fn parse(text: &str, types: &[u32]) -> Vec<u8> {
    let count = u16::try_from(types.len()).unwrap().to_be_bytes();
    let types: Vec<u8> = types.iter().flat_map(|t| t.to_be_bytes()).collect();
    frame(b'P', &[b"\0", text.as_bytes(), b"\0", &count, &types].concat())
}

/// All parameters in binary.
fn bind(values: &[&[u8]]) -> Vec<u8> {
    let mut body = b"\0\0\0\x01\0\x01".to_vec();
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(*value);
    }
    body.extend(b"\0\0");
    frame(b'B', &body)
}

fn execute() -> Vec<u8> {
    frame(b'E', b"\0\0\0\0\0")
}

fn held(s: &mut Session) -> Option<ApprovalRequest> {
    std::iter::from_fn(|| s.poll_event())
        .find_map(|event| if let Event::Hold(request) = event { Some(*request) } else { None })
}

fn sent(s: &mut Session) -> Vec<u8> {
    let ready = s.to_upstream().ready(Ticket(1)).to_vec();
    s.to_upstream().sent(ready.len());
    ready
}

const SYNC: &[u8] = b"S\0\0\0\x04";
const TEXT: &str = "DELETE FROM t WHERE a = $1 AND b = $2";

#[test]
fn parameters_are_shown_by_the_types_that_the_client_gave() {
    let mut s = session();
    let bound = bind(&[b"\0\0\0\x2a", b"a\x09b"]);
    s.handle_client(&[parse(TEXT, &[23, 25]), bound.clone(), execute(), SYNC.to_vec()].concat(), NOW);
    let before = sent(&mut s);
    let request = held(&mut s).unwrap();
    assert_eq!((&*request.statement, &request.shown.parameters[..]), (TEXT, &["42".to_owned(), "a\tb".into()][..]));
    assert!(request.shown.is_whole() && request.shown.parts.is_empty());
    assert!(!before.ends_with(&execute()), "it waits");
    s.handle_verdict(request.id, ApprovalVerdict::Approved { by: vec![Approver::new("a/b", vec!["sre".into()])] }, NOW);
    assert!(sent(&mut s).windows(execute().len()).any(|w| w == execute()));
}

#[test]
fn parameters_are_shown_by_the_types_that_the_server_told() {
    let mut s = session();
    s.handle_client(&[parse(TEXT, &[]), frame(b'D', b"S\0"), SYNC.to_vec()].concat(), NOW);
    sent(&mut s);
    for answer in [frame(b'1', b""), frame(b't', b"\0\x02\0\0\0\x17\0\0\x06\xa4"), frame(b'n', b""), frame(b'Z', b"I")]
    {
        s.handle_upstream(&answer, NOW);
    }
    s.handle_client(&[bind(&[b"\0\0\0\x2a", b"\0\x01\0\0\0\0\0\0\0\x07"]), execute(), SYNC.to_vec()].concat(), NOW);
    assert_eq!(held(&mut s).unwrap().shown.parameters, ["42", "7"]);
}

#[test]
fn parameters_of_types_that_nobody_told_are_shown_whole() {
    let mut s = session();
    let long = vec![0xab; 100_000];
    s.handle_client(&[parse(TEXT, &[]), bind(&[b"\0\0\0\x2a", &long]), execute(), SYNC.to_vec()].concat(), NOW);
    let shown = held(&mut s).unwrap().shown;
    assert_eq!(shown.parameters[0], "binary \\x0000002a (of a type that is not known, perhaps 42)");
    assert!(shown.parameters[1].contains(&"ab".repeat(100_000)), "{}", shown.parameters[1].len());
    // `unknown` (705), given by the client: the server takes it for what it finds, here perhaps a number.
    let mut s = session();
    s.handle_client(&[parse(TEXT, &[705, 25]), bind(&[b"1000", b"x"]), execute(), SYNC.to_vec()].concat(), NOW);
    let shown = held(&mut s).unwrap().shown;
    assert!(shown.parameters[0].starts_with("binary \\x31303030"), "{shown:?}");
}

#[test]
fn what_is_too_long_to_be_shown_is_refused() {
    let long = vec![b'x'; MOST_SHOWN];
    let statement = format!("DELETE FROM t WHERE a = 1 -- {}", "x".repeat(MOST_SHOWN));
    for messages in [
        [parse(TEXT, &[23, 25]), bind(&[b"\0\0\0\x2a", &long]), execute(), SYNC.to_vec()].concat(),
        frame(b'Q', &[statement.as_bytes(), b"\0"].concat()),
    ] {
        let mut s = session();
        s.handle_client(&messages, NOW);
        while let Some(event) = s.poll_event() {
            if let Event::Ask(doorward_postgres::Question::Analyse(text, environment)) = event {
                let read = doorward_sql::postgres::analyse(&text, &environment).map(Arc::new);
                s.handle_answer(doorward_postgres::Answer::Analysis(read), NOW);
            } else {
                assert!(!matches!(event, Event::Hold(_)), "it is held");
            }
        }
        let upstream = sent(&mut s);
        assert!(!upstream.windows(6).any(|w| w == b"E\0\0\0\x09\0"), "nothing ran");
        // The error of the stand-in that took its place is replaced by the refusal.
        for answer in [frame(b'1', b""), frame(b'2', b""), frame(b'E', b"SERROR\0C42601\0Mx\0\0"), frame(b'Z', b"I")] {
            s.handle_upstream(&answer, NOW);
        }
        let told = String::from_utf8_lossy(&s.to_client().split()).into_owned();
        assert!(told.contains("needs an approval, and cannot be shown whole"), "{told}");
        assert!(told.contains("1048576"), "{told}");
    }
}

#[test]
fn what_is_run_by_its_name_is_shown() {
    let mut s = session();
    let query = |text: &str| frame(b'Q', &[text.as_bytes(), b"\0"].concat());
    s.handle_client(&query("PREPARE p AS DELETE FROM t WHERE a = 7"), NOW);
    if let Some(request) = held(&mut s) {
        let by = vec![Approver::new("a/b", vec!["sre".into()])];
        s.handle_verdict(request.id, ApprovalVerdict::Approved { by }, NOW);
    }
    assert!(!sent(&mut s).is_empty());
    for answer in [frame(b'C', b"PREPARE\0"), frame(b'Z', b"I")] {
        s.handle_upstream(&answer, NOW);
    }
    s.handle_client(&query("EXECUTE p"), NOW);
    let shown = held(&mut s).unwrap().shown;
    let parts: Vec<_> = shown.parts.iter().map(|p| (p.name.as_str(), p.text.as_str())).collect();
    assert_eq!(parts, [("What `p` stands for", "PREPARE p AS DELETE FROM t WHERE a = 7")]);
    // By messages of the protocol, too.
    let mut by_message = frame(b'B', b"\0p\0\0\0\0\0\0\0");
    by_message.extend(frame(b'E', b"\0\0\0\0\0"));
    by_message.extend(frame(b'S', b""));
    let mut s = session();
    s.handle_client(&query("PREPARE p AS DELETE FROM t WHERE a = 7"), NOW);
    if let Some(request) = held(&mut s) {
        let by = vec![Approver::new("a/b", vec!["sre".into()])];
        s.handle_verdict(request.id, ApprovalVerdict::Approved { by }, NOW);
    }
    assert!(!sent(&mut s).is_empty());
    for answer in [frame(b'C', b"PREPARE\0"), frame(b'Z', b"I")] {
        s.handle_upstream(&answer, NOW);
    }
    s.handle_client(&by_message, NOW);
    let shown = held(&mut s).unwrap().shown;
    assert!(shown.parts.iter().any(|p| p.text == "PREPARE p AS DELETE FROM t WHERE a = 7"), "{shown:?}");
    // Rows that are copied in come after the verdict, and are said to.
    let mut s = session();
    s.handle_client(&query("COPY t FROM STDIN"), NOW);
    let shown = held(&mut s).unwrap().shown;
    assert!(!shown.is_whole() && shown.unseen[0].contains("copies in"), "{shown:?}");
}

#[test]
fn arguments_of_functions_called_by_number_are_shown() {
    let mut s = session();
    s.handle_client(&frame(b'F', b"\0\0\0\x07\0\x01\0\x01\0\x02\0\0\0\x02\0\x09\xff\xff\xff\xff\0\0"), NOW);
    let shown = held(&mut s).unwrap().shown;
    assert_eq!(shown.parameters, ["binary \\x0009 (of a type that is not known, perhaps 9)", "NULL"]);
}

/// Whoever looks at `t` has it approved; what is in `b` is hidden once somebody says so.
#[derive(Clone, Debug, Default)]
struct Tagged(Arc<AtomicBool>);

impl DecisionPoint for Tagged {
    fn generation(&self) -> u64 {
        1 + u64::from(self.0.load(SeqCst))
    }
    fn open(&self, _: &Arc<Subject>, _: Party) -> Box<dyn SessionDecisions> {
        Box::new(Self(Arc::new(self.0.load(SeqCst).into())))
    }
}

impl SessionDecisions for Tagged {
    fn generation(&self) -> u64 {
        DecisionPoint::generation(self)
    }
    fn policy_version(&self) -> Arc<str> {
        DecisionPoint::generation(self).to_string().into()
    }
    fn decide(&mut self, access: &Access, circumstances: &Circumstances<'_>) -> Verdict {
        let (allowed, policies) = match (access.action, &access.resource) {
            (Action::Select, _) => (circumstances.approved, vec![Arc::new(asks_sre())]),
            (Action::Reveal, Resource::Column { name, .. }) => (&**name != "b" || !self.0.load(SeqCst), vec![]),
            _ => (true, vec![]),
        };
        Verdict { allowed, policies, error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        Vec::new()
    }
}

/// Asks for it; has `b` hidden, or not, meanwhile; somebody says yes. What went upstream since it was held, and what was told.
fn approved_after(messages: &[u8], hidden: (bool, bool)) -> (Vec<u8>, String) {
    let policies = Tagged::default();
    policies.0.store(hidden.0, SeqCst);
    let mut s = session_under(Arc::new(policies.clone()));
    s.handle_client(messages, NOW);
    sent(&mut s);
    let Some(request) = held(&mut s) else { panic!("{hidden:?}: {}", s.to_client().escape_ascii()) };
    policies.0.store(hidden.1, SeqCst);
    s.handle_verdict(request.id, ApprovalVerdict::Approved { by: vec![Approver::new("a/b", vec!["sre".into()])] }, NOW);
    let upstream = sent(&mut s);
    for answer in [frame(b'1', b""), frame(b'2', b""), frame(b'E', b"SERROR\0C42601\0Mx\0\0"), frame(b'Z', b"I")] {
        s.handle_upstream(&answer, NOW);
    }
    (upstream, String::from_utf8_lossy(&s.to_client().split()).into_owned())
}

/// Somebody has said yes to a statement as it would have been sent then. What is hidden since is not theirs to show.
#[test]
fn what_is_hidden_while_a_statement_waits_stays_hidden() {
    let has = |upstream: &[u8], what: &[u8]| upstream.windows(what.len()).any(|w| w == what);
    for text in ["SELECT a FROM t WHERE b > 5", "SELECT b FROM t ORDER BY b"] {
        let query = frame(b'Q', &[text.as_bytes(), b"\0"].concat());
        let (upstream, told) = approved_after(&query, (false, false));
        assert_eq!((upstream, told.contains("refused")), (query.clone(), false), "nothing has changed: {told}");
        let (upstream, told) = approved_after(&query, (true, true));
        assert!(
            !upstream.is_empty() && !has(&upstream, text.as_bytes()) && !told.contains("refused"),
            "veiled: {told}"
        );
        for hidden in [(false, true), (true, false)] {
            let (upstream, told) = approved_after(&query, hidden);
            assert!(!has(&upstream, b"FROM"), "{hidden:?}: {}", upstream.escape_ascii());
            assert!(told.contains("what you may see of its tables has changed while it waited"), "{hidden:?}: {told}");
        }
        // What was prepared before is sent by its name.
        let prepared = [parse(text, &[]), bind(&[]), execute(), SYNC.to_vec()].concat();
        let (upstream, told) = approved_after(&prepared, (false, false));
        assert!(has(&upstream, &execute()) && !told.contains("refused"), "nothing has changed: {told}");
        for hidden in [(false, true), (true, false)] {
            let (upstream, told) = approved_after(&prepared, hidden);
            assert!(!has(&upstream, &execute()), "{hidden:?}: {}", upstream.escape_ascii());
            assert!(told.contains("is not what it was when the statement was prepared"), "{hidden:?}: {told}");
        }
    }
}
