//! Which columns are hidden: through views, in tables above and below, where nothing is known, and for how long.
#![allow(clippy::unwrap_used, reason = "tests")]
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    AuditSink, AuditUnavailable, Circumstances, DecisionPoint, Enforcer, EnforcerParts, SessionDecisions, Subject,
    Ticket, Verdict,
};
use doorward_model::{
    Access, Action, AuditEvent, ConnectionInfo, ConnectionName, Facts, Principal, PrincipalKind, Resource, SessionId,
    Timestamp,
};
use doorward_sql::{Catalogue, Column, Lineage, Relation, RelationKind, SourceColumn};
use doorward_sql_session::{Asking, Dialect, Meaning, Part, Reveals};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// Hides the column `ssn` of `s.people`; `lasting` as told.
#[derive(Clone, Debug)]
struct House {
    hides: Arc<AtomicBool>,
    lasting: bool,
    asked: Arc<AtomicU64>,
}

impl DecisionPoint for House {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(self.clone())
    }
}

impl SessionDecisions for House {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, _: &Circumstances<'_>) -> Verdict {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let is_ssn = matches!(&access.resource, Resource::Column { schema, table, name }
            if (&**schema, &**table, &**name) == ("s", "people", "ssn"));
        let hidden = is_ssn && self.hides.load(Ordering::Relaxed);
        Verdict { allowed: !hidden, policies: Vec::new(), error: None, lasting: self.lasting }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        vec!["pii".into()]
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

fn enforcer(house: &House) -> Enforcer {
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
        kind: "sql".into(),
        database: None,
        labels: Default::default(),
        tags: Default::default(),
    };
    let session = SessionId::from_uuid(Default::default());
    let client_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Enforcer::new(EnforcerParts {
        subject: Arc::new(Subject { session, principal, connection, client_ip, tls: true }),
        pdp: Arc::new(house.clone()),
        audit: Arc::new(Nowhere),
        strict_audit: true,
        place: "here:1".into(),
        new_approval: Box::new(|| unreachable!("nothing is held here")),
    })
}

fn relation(oid: u32, name: &str, kind: RelationKind, columns: &[&str]) -> Relation {
    let columns = (1..).zip(columns).map(|(number, name)| Column { number, name: (*name).into(), type_oid: 25 });
    Relation { oid, schema: "s".into(), name: name.into(), kind, columns: columns.collect() }
}

fn source(table: &str, column: Option<&str>) -> SourceColumn {
    SourceColumn { schema: "s".into(), table: table.into(), column: column.map(Into::into) }
}

/// A table, its partition, a view over it, a view over that, one of which nothing is known, and one that shows nothing of it.
fn catalogue() -> Arc<Catalogue> {
    let relations = [
        relation(1, "people", RelationKind::Table, &["id", "ssn"]),
        relation(2, "part", RelationKind::Table, &["id", "ssn"]),
        relation(3, "view", RelationKind::View, &["n", "x"]),
        relation(4, "again", RelationKind::View, &["y"]),
        relation(5, "dark", RelationKind::View, &["z"]),
        relation(6, "clean", RelationKind::View, &["n"]),
        relation(7, "other", RelationKind::Table, &["ssn"]),
    ];
    let made = |of: &[SourceColumn]| of.iter().cloned().collect::<BTreeSet<_>>();
    let views = [
        ((3, 1), made(&[source("people", Some("id"))])),
        ((3, 2), made(&[source("people", Some("id")), source("people", Some("ssn"))])),
        ((4, 1), made(&[source("view", Some("x"))])),
        ((6, 1), made(&[])),
    ];
    Arc::new(Catalogue::new(1, relations, []).with_inheritance([(2, 1)]).with_view_columns(views))
}

const PLAIN: Dialect = Dialect {
    folds_columns: false,
    unknown_is_a_view: false,
    is_made_up: |_| false,
    own_schemas: &["sys"],
    system_columns: &[],
};
const LOOSE: Dialect = Dialect { folds_columns: true, unknown_is_a_view: true, ..PLAIN };
const NOW: Timestamp = Timestamp::from_micros(1);

struct World {
    house: House,
    enforcer: Enforcer,
    reveals: Reveals<()>,
}

impl World {
    fn new(dialect: Dialect, lasting: bool) -> Self {
        let house = House { hides: Arc::new(AtomicBool::new(true)), lasting, asked: Arc::default() };
        let enforcer = enforcer(&house);
        let (detector, masker) = (Arc::new(Detector::new()), Arc::new(Masker::new([1; 32])));
        Self { house, enforcer, reveals: Reveals::new(dialect, catalogue(), detector, masker) }
    }

    fn hidden(&mut self, table: &str, column: Option<&str>) -> bool {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now: NOW };
        self.reveals.source(&source(table, column), asking).is_some()
    }

    fn admits(&mut self, part: Part) -> Result<(), String> {
        let facts = Arc::new(Facts::new(&part.command, 1, vec![Access::new(Action::Connect, Resource::Connection)]));
        let meaning =
            Arc::new(Meaning { text: "x".into(), facts, parts: vec![part], goes_on: Vec::new(), by_name: false });
        let asking = &mut Asking { enforcer: &mut self.enforcer, now: NOW };
        self.reveals.admit(&meaning, asking).map_err(|refusal| refusal.message)
    }
}

#[test]
fn views_and_partitions_are_as_hidden_as_what_they_show() {
    let mut w = World::new(PLAIN, true);
    for (table, column, hidden) in [
        ("people", Some("ssn"), true),
        ("people", Some("id"), false),
        ("people", None, true),
        ("part", Some("ssn"), true),
        ("view", Some("n"), false),
        ("view", Some("x"), true),
        ("again", Some("y"), true),
        ("clean", Some("n"), false),
        ("other", Some("ssn"), false),
        // Of what a view is made that nobody knows, and a column that is newer than the snapshot.
        ("dark", Some("z"), true),
        ("clean", Some("newer"), true),
        ("people", Some("newer"), false),
        ("nowhere", Some("a"), false),
        ("people", Some("SSN"), false),
    ] {
        assert_eq!(w.hidden(table, column), hidden, "{table}.{column:?}");
    }
}

#[test]
fn names_without_case_and_relations_that_may_be_views() {
    let mut w = World::new(LOOSE, true);
    assert!(w.hidden("people", Some("SSN")) && w.hidden("nowhere", Some("a")) && w.hidden("nowhere", None));
    let asking = &mut Asking { enforcer: &mut w.enforcer, now: NOW };
    let own = SourceColumn { schema: "sys".into(), table: "nowhere".into(), column: None };
    assert!(w.reveals.source(&own, asking).is_none(), "the server's own are no views of a user's tables");
    w.house.hides.store(false, Ordering::Relaxed);
    let mut w = World { reveals: World::new(LOOSE, true).reveals, enforcer: enforcer(&w.house), ..w };
    assert!(!w.hidden("nowhere", Some("a")), "where nothing is hidden, nothing is");
}

#[test]
fn what_was_found_out_lasts_as_long_as_it_is_true() {
    let mut w = World::new(PLAIN, true);
    assert!(w.hidden("again", Some("y")));
    let asked = w.house.asked.load(Ordering::Relaxed);
    assert!(w.hidden("again", Some("y")) && w.house.asked.load(Ordering::Relaxed) == asked, "asked once");
    let renamed = Catalogue::new(2, [relation(1, "again", RelationKind::Table, &["y"])], []);
    w.reveals.know(Arc::new(renamed));
    assert!(!w.hidden("again", Some("y")), "another snapshot");
    // A policy that reads the clock is asked each time.
    let mut w = World::new(PLAIN, false);
    assert!(w.hidden("again", Some("y")));
    w.house.hides.store(false, Ordering::Relaxed);
    assert!(!w.hidden("again", Some("y")));
    w.house.hides.store(true, Ordering::Relaxed);
    assert!(w.hidden("again", Some("y")));
}

#[test]
fn hidden_values_are_carried_nowhere() {
    let mut w = World::new(PLAIN, true);
    let part = |command: &str, moves: &[SourceColumn], shows: &[SourceColumn]| {
        let lineage = Lineage { outputs: Vec::new(), anywhere: shows.iter().cloned().collect(), ..Lineage::default() };
        let mut part = Part { command: command.into(), ..part() };
        part.moves = moves.iter().cloned().collect();
        part.lineage = Some(Arc::new(lineage));
        part
    };
    let (ssn, id) = (source("view", Some("x")), source("view", Some("n")));
    assert!(w.admits(part("SELECT", &[], std::slice::from_ref(&ssn))).is_ok(), "masked where it is shown");
    assert!(w.admits(part("INSERT", std::slice::from_ref(&id), &[])).is_ok());
    let carries = w.admits(part("INSERT", std::slice::from_ref(&ssn), &[])).unwrap_err();
    assert!(carries.contains("it would carry the masked column `s.view.x`"), "{carries}");
    let defines = w.admits(part("CREATE VIEW", &[], &[ssn])).unwrap_err();
    assert!(defines.contains("it defines something over columns that you may not see"), "{defines}");
}

fn part() -> Part {
    Part {
        command: "X".into(),
        text: None,
        lineage: None,
        copy: None,
        effects: Vec::new(),
        moves: BTreeSet::new(),
        upload: None,
        kill: None,
        reads: Default::default(),
        writes: Default::default(),
        by_name: false,
        names: Vec::new(),
        fetches_as_written: false,
        runs: Vec::new(),
    }
}
