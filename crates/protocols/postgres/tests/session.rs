//! The whole session under random peers: whatever both sides send, it neither panics nor lets a
//! byte of the client through that no permit was given for. The corpus of `fuzz/` is replayed here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#[path = "session/pipelined.rs"]
mod pipelined;

use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer, EnforcerParts, ProtocolSession as _,
    SessionDecisions, Subject, Ticket, Verdict,
};
use doorward_model::{
    Access, Action, AuditEvent, ConnectionInfo, ConnectionName, Principal, PrincipalKind, Resource, SessionId,
    Timestamp,
};
use doorward_postgres::{Answer, Event, Limits, Question, Session, SessionParts};
use doorward_sql::{
    Catalogue, Column, Relation, RelationKind,
    postgres::{AnalysisCache, analyse},
};
use doorward_sql_session::{Changes, Heard};
use proptest::prelude::*;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// Allows everything but dropping and what is in the schema `x`; never by default.
#[derive(Debug)]
struct NoDrops;

impl DecisionPoint for NoDrops {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(Self)
    }
}

impl SessionDecisions for NoDrops {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, _: &Circumstances<'_>) -> Verdict {
        let hidden = matches!(&access.resource, Resource::Table { schema, .. } if &**schema == "x");
        let allowed = !matches!(access.action, Action::Drop | Action::Opaque) && !hidden;
        Verdict { allowed, policies: Vec::new(), error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        Vec::new()
    }
}

/// Allows everything, and later on no select.
#[derive(Debug)]
struct Changing(Arc<AtomicBool>);

/// Allows everything, and shows columns for a while.
#[derive(Debug)]
struct Showing(Arc<AtomicBool>);

impl DecisionPoint for Showing {
    fn generation(&self) -> u64 {
        u64::from(self.0.load(Ordering::Relaxed))
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(Shows(self.0.load(Ordering::Relaxed)))
    }
}

/// Its decisions of one generation.
#[derive(Debug)]
struct Shows(bool);

impl SessionDecisions for Shows {
    fn generation(&self) -> u64 {
        u64::from(self.0)
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, _: &Circumstances<'_>) -> Verdict {
        let hidden = matches!(&access.resource, Resource::Column { name, .. } if &**name == "a");
        Verdict { allowed: self.0 || !hidden, policies: Vec::new(), error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        Vec::new()
    }
}

/// Its decisions of one generation.
#[derive(Debug)]
struct Selects(bool);

impl DecisionPoint for Changing {
    fn generation(&self) -> u64 {
        u64::from(self.0.load(Ordering::Relaxed))
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(Selects(self.0.load(Ordering::Relaxed)))
    }
}

impl SessionDecisions for Selects {
    fn generation(&self) -> u64 {
        u64::from(self.0)
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, _: &Circumstances<'_>) -> Verdict {
        let allowed = self.0 || access.action != Action::Select;
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

/// A schema without tables, which stays the same.
fn catalogue() -> Arc<Catalogue> {
    static EMPTY: OnceLock<Arc<Catalogue>> = OnceLock::new();
    Arc::clone(EMPTY.get_or_init(Arc::default))
}

fn session() -> Session {
    session_under(Arc::new(NoDrops))
}

fn session_under(pdp: Arc<dyn DecisionPoint>) -> Session {
    session_over(pdp, catalogue())
}

/// A table of three columns.
fn table() -> Arc<Catalogue> {
    let column = |number, name: &str, type_oid| Column { number, name: name.into(), type_oid };
    let columns = vec![column(1, "a", 25), column(2, "b", 25), column(3, "C", 23)];
    let (schema, name) = ("public".into(), "t".into());
    let relation = Relation { oid: 1, schema, name, kind: RelationKind::Table, columns };
    let types = (1..).zip(["text", "text", "integer"]).map(|(number, name)| ((1, number), name.into()));
    Arc::new(Catalogue::new(1, [relation], []).with_type_names(types))
}

fn session_over(pdp: Arc<dyn DecisionPoint>, catalogue: Arc<Catalogue>) -> Session {
    session_that_hears(pdp, catalogue, Heard::default())
}

fn session_that_hears(pdp: Arc<dyn DecisionPoint>, catalogue: Arc<Catalogue>, heard: Heard) -> Session {
    Session::new(parts(pdp, catalogue, heard))
}

fn parts(pdp: Arc<dyn DecisionPoint>, catalogue: Arc<Catalogue>, heard: Heard) -> SessionParts {
    static DETECTOR: OnceLock<Arc<Detector>> = OnceLock::new();
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
    let subject = Subject {
        session: SessionId::from_uuid(Default::default()),
        principal,
        connection,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: true,
    };
    SessionParts {
        heard,
        enforcer: Enforcer::new(EnforcerParts {
            subject: Arc::new(subject),
            pdp,
            audit: Arc::new(Nowhere),
            strict_audit: true,
            place: "here:1".into(),
            new_approval: Box::new(|| doorward_model::ApprovalId::from_uuid(Default::default())),
        }),
        detector: Arc::clone(DETECTOR.get_or_init(|| Arc::new(Detector::new()))),
        masker: Arc::new(Masker::new([1; 32])),
        cache: Arc::new(AnalysisCache::new(64, 1 << 20)),
        catalogue,
        search_path: "public".into(),
        user: "app".into(),
        role: None,
        limits: Limits { names: 50, ..Limits::default() },
        names_are_utf8: true,
    }
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((u32::try_from(body.len()).unwrap() + 4).to_be_bytes());
    out.extend(body);
    out
}

/// What a client may send, most of it well-formed.
fn client_frame(which: u8, junk: &[u8]) -> Vec<u8> {
    match which % 16 {
        0 => frame(b'Q', b"SELECT 1; SELECT a FROM t\0"),
        1 => frame(b'Q', b"DROP TABLE marker_that_must_not_pass\0"),
        2 => frame(b'P', b"s\0SELECT $1\0\0\0"),
        3 => frame(b'P', b"\0DROP TABLE marker_that_must_not_pass\0\0\0"),
        4 => frame(b'B', b"p\0s\0\0\0\0\0\0\0"),
        5 => frame(b'B', b"\0\0\0\0\0\0\0\0"),
        6 => frame(b'E', b"p\0\0\0\0\0"),
        7 => frame(b'E', b"\0\0\0\0\x01"),
        8 => frame(b'D', b"Ss\0"),
        9 => frame(b'C', b"Ss\0"),
        10 => frame(b'S', b""),
        11 => frame(b'Q', b"COPY t FROM STDIN\0"),
        12 => frame(b'd', junk),
        13 => frame(b'c', b""),
        14 => frame(b'Q', b"SET search_path = x\0"),
        _ => junk.to_vec(),
    }
}

fn upstream_frame(which: u8, junk: &[u8]) -> Vec<u8> {
    match which % 16 {
        0 => frame(b'Z', b"I"),
        1 => frame(b'Z', b"T"),
        2 => frame(b'1', b""),
        3 => frame(b'2', b""),
        4 => frame(b'C', b"SELECT 1\0"),
        5 => frame(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
        6 => frame(b'D', b"\0\x01\0\0\0\x0fada@example.com"),
        7 => frame(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0"),
        8 => frame(b'n', b""),
        9 => frame(b'G', b"\0\0\0"),
        10 => frame(b'H', b"\0\0\x01\0\0"),
        11 => frame(b'd', junk),
        12 => frame(b's', b""),
        13 => frame(b'3', b""),
        14 => frame(b't', b"\0\0"),
        _ => junk.to_vec(),
    }
}

/// Plays a conversation: each step is a side, a kind of frame and some bytes.
fn play(steps: &[(bool, u8, Vec<u8>)], cut: usize) {
    let mut s = session();
    let now = Timestamp::from_secs(1);
    let mut sent = Vec::new();
    for (from_client, which, junk) in steps {
        let bytes = if *from_client { client_frame(*which, junk) } else { upstream_frame(*which, junk) };
        for chunk in bytes.chunks(cut.max(1)) {
            if *from_client { s.handle_client(chunk, now) } else { s.handle_upstream(chunk, now) }
        }
        while let Some(event) = s.poll_event() {
            match event {
                Event::Ask(Question::Analyse(text, environment)) => {
                    s.handle_answer(Answer::Analysis(analyse(&text, &environment).map(Arc::new)), now);
                }
                Event::Ask(Question::Catalogue { .. }) => {
                    s.handle_answer(Answer::Catalogue(Ok(catalogue())), now);
                }
                Event::Hold(_) | Event::Withdraw(..) | Event::CancelUpstream | Event::End(_) => {}
            }
        }
        let queue = s.to_upstream();
        let ready = queue.ready(Ticket(1)).to_vec();
        queue.sent(ready.len());
        sent.extend(ready);
        s.to_client().clear();
    }
    let marker = b"marker_that_must_not_pass";
    assert!(!sent.windows(marker.len()).any(|w| w == marker), "a refused statement went upstream");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn no_conversation_breaks_it(
        steps in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
        cut in 1_usize..64,
    ) {
        play(&steps, cut);
    }
}

/// The bytes of a fuzzer as a conversation: two bytes of a file choose side and frame, the rest is junk.
fn replay(bytes: &[u8]) {
    let steps: Vec<(bool, u8, Vec<u8>)> =
        bytes.chunks(8).map(|c| (c[0] & 1 == 0, c[0] >> 1, c[1..].to_vec())).collect();
    play(&steps, 7);
}

#[test]
fn the_corpus_is_replayed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus/session");
    let mut replayed = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        replay(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 5, "only {replayed} files");
}

#[test]
fn rows_before_their_description_end_the_session() {
    let mut s = session();
    let now = Timestamp::from_secs(1);
    s.handle_client(&frame(b'Q', b"SELECT a FROM t\0"), now);
    s.handle_upstream(&upstream_frame(6, b""), now);
    let told = s.to_client().to_vec();
    assert!(!told.windows(3).any(|w| w == b"ada"), "a row passed without masks");
    assert!(told.windows(5).any(|w| w == b"FATAL"));
}

#[test]
fn a_name_in_a_search_path_is_one_name() {
    let environment = doorward_sql::postgres::Environment::default();
    for (text, want) in [
        ("SET search_path TO \"Secret\", public", vec!["Secret", "public"]),
        ("SET search_path = 'a, B'", vec!["a, B"]),
        ("SET search_path = x", vec!["x"]),
    ] {
        let analysis = analyse(text, &environment).unwrap();
        let Some(doorward_sql::postgres::Effect::Set { value: Some(value), .. }) =
            analysis.statements[0].effects.first().cloned()
        else {
            panic!("{text}: no effect")
        };
        assert_eq!(doorward_postgres::startup::split_search_path(&value), want, "{text}");
    }
}

/// A session that is played by hand: what went upstream, and what the client was told, since it was last asked.
struct Talk(Session);

impl Talk {
    fn client(&mut self, frames: &[Vec<u8>]) -> String {
        let now = Timestamp::from_secs(1);
        self.0.handle_client(&frames.concat(), now);
        while let Some(event) = self.0.poll_event() {
            if let Event::Ask(Question::Catalogue { .. }) = event {
                self.0.handle_answer(Answer::Catalogue(Ok(catalogue())), now);
            }
        }
        let queue = self.0.to_upstream();
        let sent = queue.ready(Ticket(1)).to_vec();
        queue.sent(sent.len());
        String::from_utf8_lossy(&sent).into_owned()
    }
    fn server(&mut self, frames: &[(u8, &[u8])]) {
        for (tag, body) in frames {
            self.0.handle_upstream(&frame(*tag, body), Timestamp::from_secs(1));
        }
    }
    fn told(&mut self) -> String {
        let told = String::from_utf8_lossy(self.0.to_client()).into_owned();
        self.0.to_client().clear();
        told
    }
}

fn query(text: &str) -> Vec<u8> {
    frame(b'Q', format!("{text}\0").as_bytes())
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    frame(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    frame(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn execute(portal: &str, rows: u8) -> Vec<u8> {
    frame(b'E', &[portal.as_bytes(), &[0, 0, 0, 0, rows]].concat())
}

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

#[test]
fn names_that_are_one_to_the_server_are_one_here() {
    let mut t = Talk(session());
    let stem = "n".repeat(63);
    let (one, same) = (format!("{stem}1"), format!("{stem}2"));
    t.client(&[parse(&one, "SELECT a FROM t"), sync()]);
    t.server(&[(b'1', b""), (b'Z', b"I")]);
    // The server closes `one`, whose name it has cut to the same 63 bytes.
    t.client(&[frame(b'C', format!("S{same}\0").as_bytes()), parse(&same, "DELETE FROM t"), sync()]);
    t.server(&[(b'3', b""), (b'1', b""), (b'Z', b"I")]);
    t.told();
    t.client(&[bind("", &one), execute("", 0), sync()]);
    t.server(&[(b'2', b""), (b'n', b""), (b'C', b"DELETE 1\0"), (b'Z', b"I")]);
    assert!(!t.told().contains("FATAL"), "what ran is not what was decided");
    t.client(&[frame(b'C', format!("S{same}\0").as_bytes()), sync()]);
    t.server(&[(b'3', b""), (b'Z', b"I")]);
    t.client(&[bind("", &one), sync()]);
    assert!(t.told().contains("26000"));
}

/// A server with another encoding cuts names elsewhere, and takes some for one that are two.
#[test]
fn a_server_of_another_encoding_is_given_names_of_ascii_alone() {
    let parts =
        |names_are_utf8| SessionParts { names_are_utf8, ..parts(Arc::new(NoDrops), catalogue(), Heard::default()) };
    let others = [
        query("SELECT a FROM \"é\""),
        query("DECLARE U&\"\\00e9\" CURSOR FOR SELECT 1"),
        parse("é", "SELECT 1"),
        bind("é", ""),
        bind("", "é"),
        execute("é", 0),
        frame(b'C', "Sé\0".as_bytes()),
        frame(b'D', "Pé\0".as_bytes()),
    ];
    for other in &others {
        let mut t = Talk(Session::new(parts(false)));
        t.client(std::slice::from_ref(other));
        assert!(t.told().contains("does not keep names as UTF-8"), "{}", other.escape_ascii());
        let mut t = Talk(Session::new(parts(true)));
        t.client(std::slice::from_ref(other));
        assert!(!t.told().contains("does not keep names as UTF-8"), "{}", other.escape_ascii());
    }
    let mut t = Talk(Session::new(parts(false)));
    assert!(t.client(&[query("SELECT 'é' AS e /* ü */ FROM t")]).contains("SELECT 'é'"));
    let mut t = Talk(Session::new(SessionParts { search_path: "\"é\", public".into(), ..parts(false) }));
    assert!(!t.client(&[query("SELECT a FROM t")]).contains("SELECT"));
    assert!(t.told().contains("the search path has a name"));
}

#[test]
fn a_portal_that_nobody_executed_is_not_fetched_from() {
    let mut t = Talk(session());
    t.client(&[query("BEGIN")]);
    t.server(&[(b'C', b"BEGIN\0"), (b'Z', b"T")]);
    t.client(&[parse("s", "UPDATE t SET a = 1 RETURNING a"), bind("p", "s"), sync()]);
    t.server(&[(b'1', b""), (b'2', b""), (b'Z', b"T")]);
    assert!(!t.client(&[query("FETCH ALL FROM p")]).contains("FETCH"), "it would run without a decision");
}

#[test]
fn a_cursor_and_a_portal_do_not_speak_for_each_other() {
    let mut t = Talk(session());
    let declare = || query("DECLARE c CURSOR FOR SELECT a FROM t");
    t.client(&[query("BEGIN")]);
    t.server(&[(b'C', b"BEGIN\0"), (b'Z', b"T")]);
    t.client(&[declare()]);
    t.server(&[(b'C', b"DECLARE CURSOR\0"), (b'Z', b"T")]);
    t.client(&[query("CLOSE c")]);
    t.server(&[(b'C', b"CLOSE CURSOR\0"), (b'Z', b"T")]);
    t.client(&[parse("s", "SELECT b FROM t"), bind("c", "s"), sync()]);
    t.server(&[(b'1', b""), (b'2', b""), (b'Z', b"T")]);
    assert!(!t.client(&[query("FETCH ALL FROM c")]).contains("FETCH"), "read as the old cursor");
    t.server(&[(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0"), (b'Z', b"E")]);
    t.client(&[query("ROLLBACK")]);
    t.server(&[(b'C', b"ROLLBACK\0"), (b'Z', b"I")]);

    t.client(&[query("BEGIN")]);
    t.server(&[(b'C', b"BEGIN\0"), (b'Z', b"T")]);
    t.client(&[bind("c", "s"), sync()]);
    t.server(&[(b'2', b""), (b'Z', b"T")]);
    t.client(&[query("CLOSE c")]);
    t.server(&[(b'C', b"CLOSE CURSOR\0"), (b'Z', b"T")]);
    t.client(&[declare()]);
    t.server(&[(b'C', b"DECLARE CURSOR\0"), (b'Z', b"T")]);
    t.told();
    assert!(!t.client(&[execute("c", 0)]).contains('E'), "read as the old portal");
}

#[test]
fn a_fetch_that_was_bound_reads_the_cursor_it_was_read_for() {
    let mut t = Talk(session());
    let transaction = |t: &mut Talk, text: &str, tag: &[u8]| {
        let sent = t.client(&[query(text)]);
        t.server(&[(b'C', tag), (b'Z', b"T")]);
        sent
    };
    transaction(&mut t, "BEGIN", b"BEGIN\0");
    transaction(&mut t, "DECLARE c CURSOR FOR SELECT a FROM t", b"DECLARE CURSOR\0");
    t.client(&[parse("f", "FETCH ALL FROM c"), bind("p", "f"), sync()]);
    t.server(&[(b'1', b""), (b'2', b""), (b'Z', b"T")]);
    transaction(&mut t, "CLOSE c", b"CLOSE CURSOR\0");
    transaction(&mut t, "DECLARE c CURSOR FOR SELECT ssn FROM u", b"DECLARE CURSOR\0");
    t.told();
    let sent = t.client(&[execute("p", 0)]);
    assert!(!sent.contains("E\0\0\0"), "the old reading would mask the new cursor: {sent:?}");
    // The server has been told to fail; what the client hears is the gateway's refusal.
    t.server(&[(b'E', b"SERROR\0VERROR\0C42601\0Mno\0\0")]);
    assert!(t.told().contains("FETCH refused: what it names is another one since it was bound"));
}

#[test]
fn a_cursor_is_judged_by_its_query_at_each_fetch() {
    let allowed = Arc::new(AtomicBool::new(true));
    let mut t = Talk(session_under(Arc::new(Changing(Arc::clone(&allowed)))));
    t.client(&[query("BEGIN")]);
    t.server(&[(b'C', b"BEGIN\0"), (b'Z', b"T")]);
    t.client(&[query("DECLARE c CURSOR FOR SELECT a FROM t")]);
    t.server(&[(b'C', b"DECLARE CURSOR\0"), (b'Z', b"T")]);
    assert!(t.client(&[query("FETCH 1 FROM c")]).contains("FETCH 1"));
    t.server(&[(b'C', b"FETCH 0\0"), (b'Z', b"T")]);
    allowed.store(false, Ordering::Relaxed);
    t.told();
    assert!(!t.client(&[query("FETCH 1 FROM c")]).contains("FETCH 1"), "select was taken away");
    assert!(!t.client(&[query("MOVE 1 FROM c")]).contains("MOVE 1"), "select was taken away");
}

#[test]
fn a_description_under_another_search_path_plans_no_masks() {
    let mut t = Talk(session());
    t.client(&[parse("s", "SELECT a FROM t"), frame(b'D', b"Ss\0"), sync()]);
    let described: &[u8] = b"\0\x01a\0\0\0\0\x01\0\x01\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    t.server(&[(b'1', b""), (b't', b"\0\0"), (b'T', described), (b'Z', b"I")]);
    t.client(&[query("SET search_path = y")]);
    t.server(&[(b'C', b"SET\0"), (b'Z', b"I")]);
    let sent = t.client(&[bind("", "s"), execute("", 0), sync()]);
    assert!(sent.contains("D\0\0\0\u{6}P\0"), "planned from what another table looks like: {sent:?}");
}

#[test]
fn what_is_hidden_is_not_in_what_is_sent_and_a_statement_of_before_is_prepared_again() {
    let may_see = Arc::new(AtomicBool::new(false));
    let mut t = Talk(session_over(Arc::new(Showing(Arc::clone(&may_see))), table()));
    let veiled = r#"FROM (SELECT '[masked]'::text AS "a", "b", "C" FROM "public"."t") AS "t" WHERE a = $1"#;
    let types = b"\0\x01\0\0\0\x19";
    let mut typed = b"hidden\0SELECT b FROM t WHERE a = $1\0".to_vec();
    typed.extend(types);
    let sent = t.client(&[frame(b'P', &typed), sync()]);
    assert!(sent.contains(veiled), "{sent}");
    let tail: String = types.iter().map(|b| char::from(*b)).collect();
    assert!(sent.contains(&format!("$1\0{tail}")), "the types of parameters are as they were: {sent:?}");
    t.server(&[(b'1', b""), (b'Z', b"I")]);
    assert!(t.client(&[query("SELECT b FROM t WHERE a = $1")]).contains(veiled));
    t.server(&[(b'C', b"SELECT 0\0"), (b'Z', b"I")]);

    may_see.store(true, Ordering::Relaxed);
    assert!(t.client(&[parse("shown", "SELECT b FROM t WHERE a = $1"), sync()]).contains("\0SELECT b FROM t WHERE"));
    t.server(&[(b'1', b""), (b'Z', b"I")]);
    for (name, sees) in [("shown", true), ("hidden", true), ("hidden", false), ("shown", false)] {
        may_see.store(sees, Ordering::Relaxed);
        t.told();
        let is_good = (name == "shown") == sees;
        let sent = t.client(&[bind("", name), sync()]);
        assert_eq!(sent.contains(name), is_good, "{name} {sees}: {sent:?}");
        if is_good {
            t.server(&[(b'2', b""), (b'Z', b"I")]);
        } else {
            assert!(t.told().contains("prepare it again"));
            t.server(&[(b'Z', b"I")]);
        }
    }
}

#[test]
fn what_a_suspended_portal_has_set_counts() {
    let mut t = Talk(session());
    t.client(&[parse("", "SELECT set_config('search_path', 'x', false)"), bind("", ""), execute("", 1), sync()]);
    t.server(&[(b'1', b""), (b'2', b""), (b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")]);
    t.server(&[(b'D', b"\0\x01\0\0\0\x01x"), (b's', b""), (b'Z', b"I")]);
    assert!(!t.told().contains("FATAL"));
    assert!(!t.client(&[query("SELECT a FROM t")]).contains("SELECT"), "read under the old search path");
}

#[test]
fn a_schema_that_cannot_be_read_is_waited_for_and_not_for_ever() {
    let mut s = session();
    let now = Timestamp::from_secs(1);
    s.handle_client(&query("SELECT a FROM t"), now);
    let refuse = |s: &mut Session| {
        assert!(matches!(s.poll_event(), Some(Event::Ask(Question::Catalogue { changed: true, .. }))));
        s.handle_answer(Answer::Catalogue(Err("too many clients".into())), now);
    };
    (0..3).for_each(|_| refuse(&mut s));
    assert!(s.to_upstream().ready(Ticket(1)).is_empty() && s.to_client().is_empty());
    assert!(matches!(s.poll_event(), Some(Event::Ask(Question::Catalogue { changed: true, .. }))));
    s.handle_answer(Answer::Catalogue(Ok(catalogue())), now);
    assert!(!s.to_upstream().ready(Ticket(1)).is_empty(), "it goes on once it is there");
    let mut s = session();
    s.handle_client(&query("SELECT a FROM t"), now);
    (0..20).for_each(|_| refuse(&mut s));
    assert!(String::from_utf8_lossy(s.to_client()).contains("could not be read: too many clients"));
    assert!(s.to_upstream().ready(Ticket(1)).is_empty());
}

/// How many changes others hear of: after each CommandComplete, and after the ReadyForQuery behind it.
fn others_hear(steps: &[(&str, &str, u8)]) -> Vec<(u64, u64)> {
    let changes = Changes::default();
    let pdp = Arc::new(Changing(Arc::new(AtomicBool::new(true))));
    let mut t = Talk(session_that_hears(pdp, catalogue(), changes.heard()));
    let step = |(text, tag, status): &(&str, &str, u8)| {
        assert!(t.client(&[query(text)]).contains(text), "{text}: {}", t.told());
        t.server(&[(b'C', format!("{tag}\0").as_bytes())]);
        let told = changes.count();
        t.server(&[(b'Z', &[*status])]);
        (told, changes.count())
    };
    steps.iter().map(step).collect()
}

#[test]
fn what_concerns_this_session_alone_is_told_to_nobody() {
    let temporary = [
        ("CREATE TEMP TABLE x (a int)", "CREATE TABLE", b'I'),
        ("CREATE TEMPORARY TABLE y AS SELECT 1", "SELECT 1", b'I'),
        ("SELECT 1 AS a INTO TEMP z", "SELECT 1", b'I'),
        ("DROP TABLE x, pg_temp.y", "DROP TABLE", b'I'),
        ("CREATE TEMP VIEW v AS SELECT a FROM t", "CREATE VIEW", b'I'),
        ("SELECT a FROM t", "SELECT 0", b'I'),
    ];
    assert_eq!(others_hear(&temporary), [(0, 0); 6]);
    let rolled_back = [
        ("BEGIN", "BEGIN", b'T'),
        ("CREATE TABLE y (a int)", "CREATE TABLE", b'T'),
        ("ROLLBACK", "ROLLBACK", b'I'),
        ("SELECT a FROM t", "SELECT 0", b'I'),
    ];
    assert_eq!(others_hear(&rolled_back), [(0, 0); 4]);
    for (both, tag) in
        [("CREATE TABLE y (a int); CREATE TEMP TABLE x (a int)", "CREATE TABLE"), ("DROP TABLE x", "DROP TABLE")]
    {
        let heard = others_hear(&[(both, tag, b'I')]);
        assert!(heard[0].1 > 0, "{both}: {heard:?}");
    }
}

#[test]
fn a_name_that_was_temporary_is_looked_for() {
    let mut s = session_under(Arc::new(Changing(Arc::new(AtomicBool::new(true)))));
    let now = Timestamp::from_secs(1);
    let mut looks = |text: &str, tag: &str, status: u8| {
        s.handle_client(&query(text), now);
        let mut looked = false;
        while let Some(event) = s.poll_event() {
            if let Event::Ask(Question::Catalogue { .. }) = event {
                looked = true;
                s.handle_answer(Answer::Catalogue(Ok(catalogue())), now);
            }
        }
        let queue = s.to_upstream();
        let sent = String::from_utf8_lossy(queue.ready(Ticket(1))).into_owned();
        queue.sent(sent.len());
        assert!(sent.contains(text), "{text}: {}", String::from_utf8_lossy(s.to_client()));
        s.handle_upstream(&frame(b'C', format!("{tag}\0").as_bytes()), now);
        s.handle_upstream(&frame(b'Z', &[status]), now);
        looked
    };
    let read = "SELECT a FROM x";
    looks("CREATE TEMP TABLE x (a int)", "CREATE TABLE", b'I');
    assert!(!looks(read, "SELECT 0", b'I'), "it is its own");
    looks("BEGIN", "BEGIN", b'T');
    looks("DROP TABLE x", "DROP TABLE", b'T');
    assert!(looks(read, "SELECT 0", b'T'), "it is gone");
    looks("ROLLBACK", "ROLLBACK", b'I');
    assert!(!looks(read, "SELECT 0", b'I'), "it is there again");
    assert!(looks("DROP TABLE x; SELECT a FROM x", "SELECT 0", b'I'), "within one text");
    looks("DISCARD TEMP", "DISCARD TEMP", b'I');
    assert!(looks(read, "SELECT 0", b'I'));
    looks("BEGIN", "BEGIN", b'T');
    looks("CREATE TEMP TABLE x (a int) ON COMMIT DROP", "CREATE TABLE", b'T');
    assert!(!looks(read, "SELECT 0", b'T'));
    looks("COMMIT", "COMMIT", b'I');
    assert!(looks(read, "SELECT 0", b'I'));
}

#[test]
fn others_hear_of_a_change_before_its_caller_does() {
    let plain = others_hear(&[("CREATE TABLE y (a int)", "CREATE TABLE", b'I')]);
    assert!(plain[0].0 > 0, "its CommandComplete is on its way: {plain:?}");
    let in_a_transaction = others_hear(&[
        ("BEGIN", "BEGIN", b'T'),
        ("CREATE TABLE y (a int)", "CREATE TABLE", b'T'),
        ("COMMIT AND CHAIN", "COMMIT", b'T'),
        ("ALTER TABLE t ADD COLUMN x int", "ALTER TABLE", b'T'),
        ("COMMIT", "COMMIT", b'I'),
    ]);
    assert_eq!(in_a_transaction, [(0, 0), (0, 0), (1, 1), (2, 2), (3, 3)], "an ALTER is told of as soon as it locks");
    let rolled_back = others_hear(&[
        ("BEGIN", "BEGIN", b'T'),
        ("ALTER TABLE t ADD COLUMN x int", "ALTER TABLE", b'T'),
        ("ROLLBACK", "ROLLBACK", b'I'),
        ("SELECT a FROM t", "SELECT 0", b'I'),
    ]);
    assert_eq!(rolled_back, [(0, 0), (1, 1), (2, 2), (2, 2)], "who looked while it was locked looks again");
    let with_a_savepoint = others_hear(&[
        ("BEGIN", "BEGIN", b'T'),
        ("CREATE TABLE y (a int)", "CREATE TABLE", b'T'),
        ("SAVEPOINT s", "SAVEPOINT", b'T'),
        ("ROLLBACK TO s", "ROLLBACK", b'T'),
        ("COMMIT", "COMMIT", b'I'),
    ]);
    assert_eq!(with_a_savepoint.last(), Some(&(1, 1)));
    assert_eq!(others_hear(&[("COMMIT PREPARED 'x'", "COMMIT PREPARED", b'I')]), [(1, 1)], "whoever prepared it");
    assert_eq!(others_hear(&[("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED", b'I')]), [(1, 1)], "and locked by it");
}

#[test]
fn what_is_set_after_an_end_in_the_same_segment_stays() {
    for (ends, first) in [("ROLLBACK", "ROLLBACK"), ("COMMIT", "COMMIT"), ("COMMIT", "ROLLBACK")] {
        let mut t = Talk(session_over(Arc::new(Showing(Arc::default())), table()));
        t.client(&[query("SET search_path = elsewhere")]);
        t.server(&[(b'C', b"SET\0"), (b'Z', b"I")]);
        let sent = t.client(&[parse("", ends), bind("", ""), execute("", 0), parse("", "SET search_path = public")]);
        assert!(!sent.contains("SET search_path"), "what an end may change is waited for: {sent}");
        let tag = format!("{first}\0");
        t.server(&[(b'1', b""), (b'2', b""), (b'n', b""), (b'C', tag.as_bytes())]);
        let sent = t.client(&[bind("", ""), execute("", 0), sync()]);
        assert!(sent.contains("SET search_path"), "{sent}");
        t.server(&[(b'1', b""), (b'2', b""), (b'n', b""), (b'C', b"SET\0"), (b'Z', b"I")]);
        let sent = t.client(&[query("SELECT b FROM t WHERE a = 'x'")]);
        assert!(sent.contains(r#"FROM (SELECT '[masked]'::text AS "a""#), "{ends}: {sent}");
    }
}

#[test]
fn what_fails_takes_back_what_was_set_and_no_more() {
    let mut t = Talk(session_over(Arc::new(Showing(Arc::default())), table()));
    t.client(&[query("SET search_path = elsewhere; SELECT 1/0")]);
    // Refused: what follows in one message cannot be read.
    t.told();
    t.client(&[query("SET search_path = elsewhere")]);
    t.server(&[(b'E', b"SERROR\0C22012\0Mno\0\0"), (b'Z', b"I")]);
    let sent = t.client(&[query("SELECT b FROM t WHERE a = 'x'")]);
    assert!(sent.contains("'[masked]'::text"), "{sent}");
}

#[test]
fn a_changed_schema_is_read_again_once_others_see_it() {
    let mut s = session();
    let now = Timestamp::from_secs(1);
    let flush = || frame(b'H', b"");
    let asks = |s: &mut Session| matches!(s.poll_event(), Some(Event::Ask(Question::Catalogue { changed: true, .. })));
    let sends = |s: &mut Session| {
        let queue = s.to_upstream();
        let sent = queue.ready(Ticket(1)).to_vec();
        queue.sent(sent.len());
        String::from_utf8_lossy(&sent).into_owned()
    };
    let made = [parse("", "CREATE TABLE u (x int)"), bind("", ""), execute("", 0), flush()].concat();
    s.handle_client(&made, now);
    assert!(sends(&mut s).contains("CREATE TABLE"));
    for (tag, body) in [(b'1', &b""[..]), (b'2', b""), (b'n', b""), (b'C', b"CREATE TABLE\0")] {
        s.handle_upstream(&frame(tag, body), now);
    }
    // Nobody else sees it yet.
    s.handle_client(&parse("", "SELECT 1"), now);
    assert!(!asks(&mut s) && sends(&mut s).contains("SELECT 1"));
    s.handle_client(&[sync(), query("SELECT 2")].concat(), now);
    assert!(!asks(&mut s) && !sends(&mut s).contains("SELECT 2"), "the end of the transaction is not answered yet");
    for (tag, body) in [(b'1', &b""[..]), (b'Z', b"I")] {
        s.handle_upstream(&frame(tag, body), now);
    }
    assert!(asks(&mut s) && !sends(&mut s).contains("SELECT 2"));
    s.handle_answer(Answer::Catalogue(Ok(catalogue())), now);
    while let Some(event) = s.poll_event() {
        if let Event::Ask(Question::Catalogue { .. }) = event {
            s.handle_answer(Answer::Catalogue(Ok(catalogue())), now);
        }
    }
    assert!(sends(&mut s).contains("SELECT 2"));
}
