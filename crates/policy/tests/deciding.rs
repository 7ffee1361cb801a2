//! Verdicts, and what the enforcement point makes of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests"
)]
use doorward_enforce::{
    ApprovalVerdict, Approver, AtOnce, AuditSink, AuditUnavailable, Circumstances, DecisionPoint as _, Enforcer,
    EnforcerParts, MaskRule, Outcome, Parked, Party, Request, Reveal, SessionDecisions, Subject, Ticket, UpstreamQueue,
    Verdict, nothing_else,
};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, ConnectionInfo, ConnectionName, DataType, Facts, Name, Operator, Principal,
    PrincipalKind, Resource, SessionId, Timestamp,
};
use doorward_policy::{Engine, Source, explain, load};
use std::{
    collections::BTreeSet,
    sync::Arc,
    task::{Context, Poll},
};

const NOW: Timestamp = Timestamp::from_secs(1_772_445_900);

fn sources(text: &str) -> [Source; 1] {
    [Source { name: "p.cedar".into(), text: text.into() }]
}

fn engine(text: &str) -> Engine {
    Engine::load(&sources(text)).unwrap_or_else(|e| panic!("{}", e[0]))
}

fn subject(groups: &[&str]) -> Arc<Subject> {
    Arc::new(Subject {
        session: SessionId::from_uuid(uuid::Uuid::nil()),
        principal: Principal {
            kind: PrincipalKind::Agent,
            issuer: "ci".into(),
            subject: "bot".into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            tags: Default::default(),
            token_id: None,
            expires_at: Timestamp::from_micros(u64::MAX),
            on_behalf_of: None,
        },
        connection: ConnectionInfo {
            name: ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: Some("orders".into()),
            labels: Default::default(),
            tags: [("public.customers.email".to_owned(), BTreeSet::from(["email".to_owned(), "pii".to_owned()]))]
                .into(),
        },
        client_ip: [127, 0, 0, 1].into(),
        tls: true,
    })
}

fn table(name: &str) -> Resource {
    Resource::Table { schema: "public".into(), name: name.into() }
}

fn ask(session: &mut dyn SessionDecisions, action: Action, resource: Resource, approved: bool) -> Verdict {
    let command: Name = "COMMAND".into();
    let c = Circumstances { now: NOW, command: &command, statements: 1, approved, approvers: &[] };
    session.decide(&Access::new(action, resource), &c)
}

fn verdict(text: &str, action: Action, resource: Resource) -> Verdict {
    ask(engine(text).open(&subject(&["agents"]), Party::Caller).as_mut(), action, resource, false)
}

fn ids(v: &Verdict) -> Vec<&str> {
    v.policies.iter().map(|p| p.id.as_str()).collect()
}

const PERMIT: &str = "@id(\"permit\") permit (principal, action, resource);";

#[test]
fn nothing_is_allowed_by_default() {
    for text in ["", "@id(\"a\") permit (principal in Group::\"others\", action, resource);"] {
        let v = verdict(text, Action::Select, table("orders"));
        assert!(!v.allowed && v.policies.is_empty() && v.error.is_none() && v.lasting);
    }
}

#[test]
fn an_error_in_any_policy_refuses() {
    let erring = [
        // Asked of somebody who has no such tag; overflow; an entity that is not there.
        "when { principal.hasTag(\"a\") || context.statements + 9223372036854775807 > 0 }",
        "when { Connection::\"elsewhere\".name == \"x\" }",
    ];
    for condition in erring {
        for effect in ["permit", "forbid"] {
            let text = format!("{PERMIT}\n@id(\"bad\") {effect} (principal, action, resource) {condition};");
            let v = verdict(&text, Action::Select, table("orders"));
            assert!(!v.allowed, "{text}");
            assert!(v.error.as_ref().unwrap().contains("`bad`"), "{:?}", v.error);
            let other = text.replace("bad\") permit (principal,", "bad\") permit (principal is User,");
            let other = other.replace("bad\") forbid (principal,", "bad\") forbid (principal is User,");
            assert!(verdict(&other, Action::Select, table("orders")).allowed, "it does not bear on an agent");
        }
    }
}

#[test]
fn the_deciding_policies_are_named_in_the_order_of_the_files() {
    let forbids: Vec<String> =
        (0..20).map(|i| format!("@id(\"f{i}\") forbid (principal, action, resource);")).collect();
    let text = format!("{PERMIT} {}", forbids.join("\n"));
    let expected: Vec<String> = (0..20).map(|i| format!("f{i}")).collect();
    assert_eq!(ids(&verdict(&text, Action::Select, table("orders"))), expected, "forbids, and not the permit");
    assert_eq!(ids(&verdict(PERMIT, Action::Select, table("orders"))), ["permit"]);
}

#[test]
fn what_reads_the_clock_does_not_last() {
    let clock = "@id(\"clock\") forbid (principal in Group::\"agents\", action == Action::\"delete\", resource) \
                 when { context.hour > 20 };";
    let text = format!("{PERMIT} {clock}");
    assert!(!verdict(&text, Action::Delete, table("orders")).lasting);
    assert!(verdict(&text, Action::Select, table("orders")).lasting, "another action");
    let others = text.replace("agents", "others");
    assert!(verdict(&others, Action::Delete, table("orders")).lasting, "another group");
    let approval = "@id(\"a\") @approvers(\"dba\") forbid (principal, action, resource) unless { context.approved };";
    assert!(verdict(approval, Action::Select, table("orders")).lasting);
}

#[test]
fn a_session_is_of_one_generation() {
    let engine = engine(PERMIT);
    let s = subject(&[]);
    let mut old = engine.open(&s, Party::Caller);
    engine.replace(load(&sources("")).unwrap());
    assert!(
        ask(old.as_mut(), Action::Select, table("orders"), false).allowed,
        "judged by the policies it was opened with"
    );
    assert_ne!(old.generation(), engine.generation(), "which it says");
    let mut new = engine.open(&s, Party::Caller);
    assert_eq!(new.generation(), engine.generation());
    assert!(!ask(new.as_mut(), Action::Select, table("orders"), false).allowed);
    assert_ne!(old.policy_version(), new.policy_version());
}

#[test]
fn names_with_slashes_do_not_reach_into_other_connections() {
    let text = "@id(\"a\") permit (principal, action, resource in Connection::\"orders/public\");
                @id(\"b\") permit (principal, action, resource in Schema::\"ord/ers\");
                @id(\"c\") permit (principal, action, resource == Table::\"orders2/public.orders\");";
    assert!(!verdict(text, Action::Select, table("orders")).allowed);
}

#[derive(Debug)]
struct Log;

impl AuditSink for Log {
    fn append(&self, _: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        Ok(Ticket::default())
    }
    fn committed(&self) -> Ticket {
        Ticket::default()
    }
    fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        Poll::Ready(Ok(()))
    }
}

fn enforcer(engine: &Arc<Engine>, groups: &[&str]) -> Enforcer {
    Enforcer::new(EnforcerParts {
        subject: subject(groups),
        pdp: Arc::clone(engine) as _,
        audit: Arc::new(Log),
        strict_audit: true,
        place: "here:1".into(),
        new_approval: Box::new(|| ApprovalId::from_uuid(uuid::Uuid::now_v7())),
    })
}

fn sample() -> Arc<Engine> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/orders.cedar")).unwrap();
    Arc::new(engine(&text))
}

fn decide(enforcer: &mut Enforcer, facts: &Arc<Facts>) -> Outcome {
    let statement: Arc<str> = "a statement".into();
    let request =
        Request { via: "query", statement: &statement, shown: &nothing_else, bound: &[], payload: b"a statement" };
    enforcer.decide(facts, &request, NOW)
}

fn update() -> Arc<Facts> {
    let access = Access { action: Action::Update, resource: table("orders"), has_where: true, as_root: false };
    Arc::new(Facts::new("UPDATE", 1, vec![access]))
}

#[test]
fn an_update_of_orders_is_held_and_goes_on_with_the_right_approver() {
    let engine = sample();
    for (approver, goes) in [("dba", true), ("analysts", false)] {
        let mut enforcer = enforcer(&engine, &["agents"]);
        let Outcome::Hold(held) = decide(&mut enforcer, &update()) else { panic!("not held") };
        assert_eq!(held.approval().requirements[0].groups, ["dba"]);
        assert_eq!(held.approval().expires.since(NOW).as_secs(), 900);
        let by = vec![Approver::new("sso/anna", vec![approver.into()])];
        let outcome = enforcer.settle(*held, ApprovalVerdict::Approved { by }, NOW);
        assert_eq!(matches!(outcome, Outcome::Forward(_)), goes, "{approver}: {outcome:?}");
    }
}

fn at_once(engine: &Arc<Engine>, parked: &Parked, payload: &[u8], after: u64) -> AtOnce {
    let statement: Arc<str> = "a statement".into();
    let request = Request { via: "query", statement: &statement, shown: &nothing_else, bound: &[], payload };
    let now = NOW.after(std::time::Duration::from_secs(after));
    enforcer(engine, &["agents"]).decide_at_once(&update(), &request, &[b"the same"], parked, now)
}

#[track_caller]
fn waits(outcome: AtOnce) -> ApprovalId {
    match outcome {
        AtOnce::Wait(waiting) => waiting.approval.id,
        other => panic!("{other:?}"),
    }
}

fn yes(who: &str) -> ApprovalVerdict {
    ApprovalVerdict::Approved { by: vec![Approver::new(who, vec!["dba".into()])] }
}

#[test]
fn who_does_not_wait_asks_again_in_another_session() {
    let (engine, parked) = (sample(), Parked::default());
    let id = waits(at_once(&engine, &parked, b"first", 0));
    assert_eq!(waits(at_once(&engine, &parked, b"second", 1)), id);
    parked.ended(id, yes("sso/anna"), NOW);
    let AtOnce::Forward { permit, approval } = at_once(&engine, &parked, b"third", 2) else { panic!("not forwarded") };
    assert_eq!(approval, Some(id));
    assert!(UpstreamQueue::new().push(permit, b"first").is_err(), "a permit is for the bytes that it was given for");
    let second = waits(at_once(&engine, &parked, b"third", 3));
    assert_ne!(second, id, "used up");
    // The requester's own yes does not count, whatever the desk says; nor does one that comes to be used too late.
    parked.ended(second, yes("ci/bot"), NOW);
    let AtOnce::Refuse(refusal) = at_once(&engine, &parked, b"third", 4) else { panic!("not refused") };
    assert!(refusal.message.contains("not by all"), "{}", refusal.message);
    let third = waits(at_once(&engine, &parked, b"third", 5));
    parked.ended(third, yes("sso/anna"), NOW);
    let fourth = waits(at_once(&engine, &parked, b"third", 5 + 900));
    assert_ne!(fourth, third);
    // What was approved is judged by the policies of the moment.
    parked.ended(fourth, yes("sso/anna"), NOW);
    engine.replace(load(&sources("")).unwrap());
    assert!(matches!(at_once(&engine, &parked, b"third", 906), AtOnce::Refuse(_)));
}

#[test]
fn a_changed_policy_reaches_a_live_session() {
    let engine = sample();
    let mut enforcer = enforcer(&engine, &["agents"]);
    let facts = Arc::new(Facts::new("SELECT", 1, vec![Access::new(Action::Select, table("orders"))]));
    assert!(matches!(decide(&mut enforcer, &facts), Outcome::Forward(_)));
    engine.replace(load(&sources("")).unwrap());
    assert!(matches!(decide(&mut enforcer, &facts), Outcome::Refuse(_)));
    assert!(enforcer.still_welcome(NOW).is_err());
}

#[test]
fn values_are_masked_as_the_policies_say() {
    let engine = sample();
    let column =
        |name: &str| Resource::Column { schema: "public".into(), table: "customers".into(), name: name.into() };
    let mut analyst = enforcer(&engine, &["analysts"]);
    assert_eq!(analyst.reveal(&column("name"), NOW), Reveal::Clear);
    let masked = MaskRule { operator: Operator::Redact, label: "email".into(), by_default: false };
    assert_eq!(analyst.reveal(&column("email"), NOW), Reveal::Masked(Arc::new(masked)));
    let card = Resource::DataType { data_type: DataType::CreditCard };
    assert!(matches!(analyst.reveal(&card, NOW), Reveal::Masked(_)));
    let mut reader = enforcer(&engine, &["pii-readers"]);
    for resource in [column("email"), card] {
        assert_eq!(reader.reveal(&resource, NOW), Reveal::Clear, "{resource}");
    }
}

#[test]
fn an_explanation_says_who_may_approve() {
    let got = explain(&sample(), &subject(&["agents"]), &update(), NOW);
    let text = got.to_string();
    let expected = format!(
        "UPDATE: hold (policy version {})\n  needs an approval  update on Table `public.orders`: by \
         orders-update-approved (changes to orders need the approval of a database administrator)\n{:21}\
         `orders-update-approved` asks for 1 of dba within 900 s\n",
        got.policy_version, ""
    );
    assert_eq!(text, expected);
    let json = serde_json::to_value(&got).unwrap();
    assert_eq!(json["steps"][0]["approvals"][0]["approvers"][0], "dba");
    let refused = explain(&sample(), &subject(&["analysts"]), &update(), NOW);
    assert_eq!(refused.outcome, "refuse");
    assert!(refused.to_string().contains("denied"), "{refused}");
}

/// What the explanation says is what the enforcement point does.
#[test]
fn the_explanation_is_the_outcome() {
    let engine = sample();
    let accesses = [
        Access::new(Action::Connect, Resource::Connection),
        Access::new(Action::Select, table("customers")),
        Access::new(Action::Select, table("orders")),
        Access::new(Action::Delete, table("orders")),
        Access { action: Action::Update, resource: table("orders"), has_where: true, as_root: false },
        Access::new(Action::Drop, table("orders")),
    ];
    for groups in [&["agents"][..], &["analysts"], &["dba"], &["agents", "analysts"], &[]] {
        for a in &accesses {
            for b in &accesses {
                let facts = Arc::new(Facts::new("BOTH", 2, vec![a.clone(), b.clone()]));
                let outcome = match decide(&mut enforcer(&engine, groups), &facts) {
                    Outcome::Forward(_) => "forward",
                    Outcome::Hold(_) => "hold",
                    Outcome::Refuse(_) => "refuse",
                };
                let said = explain(&engine, &subject(groups), &facts, NOW);
                assert_eq!(said.outcome, outcome, "{groups:?} {said}");
            }
        }
    }
}
