//! What an agent may that acts for a person: what both may, and no more.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use doorward_enforce::{
    ApprovalVerdict, Approver, AtOnce, Attributed, AuditSink, AuditUnavailable, Enforcer, EnforcerParts, Outcome,
    Parked, Request, Reveal, Subject, Ticket, nothing_else,
};
use doorward_model::{
    Access, Action, ApprovalId, AuditEvent, AuditKind, ConnectionInfo, ConnectionName, Delegation, Facts, Parties,
    Principal, PrincipalKind, Resource, SessionId, Timestamp,
};
use doorward_policy::{Engine, Judge, Source, explain, load};
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

const NOW: Timestamp = Timestamp::from_secs(1_772_445_900);

fn engine(text: &str) -> Arc<Engine> {
    let sources = [Source { name: "p.cedar".into(), text: text.into() }];
    Arc::new(Engine::load(&sources).unwrap_or_else(|e| panic!("{}\n{text}", e[0])))
}

fn one(kind: PrincipalKind, subject: &str) -> Principal {
    Principal {
        kind,
        issuer: "corp".into(),
        subject: subject.into(),
        groups: [format!("of-{subject}")].into(),
        tags: [("team".to_owned(), subject.to_owned())].into(),
        token_id: None,
        expires_at: Timestamp::from_micros(u64::MAX),
        on_behalf_of: None,
    }
}

/// The bot, for somebody or alone.
fn bot(person: Option<&str>) -> Principal {
    let person = person.map(|p| one(PrincipalKind::User, p));
    let on_behalf_of = person.map(|person| Box::new(Delegation { person, prior_actors: Vec::new() }));
    Principal { on_behalf_of, ..one(PrincipalKind::Agent, "bot") }
}

fn subject(principal: Principal) -> Arc<Subject> {
    Arc::new(Subject {
        session: SessionId::from_uuid(uuid::Uuid::from_u128(7)),
        principal,
        connection: ConnectionInfo {
            name: ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: Some("orders".into()),
            labels: [].into(),
            tags: [].into(),
        },
        client_ip: [127, 0, 0, 1].into(),
        tls: true,
    })
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<AuditEvent>>);

impl AuditSink for Log {
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        self.0.lock().unwrap().push(event.clone());
        Ok(Ticket::default())
    }
    fn committed(&self) -> Ticket {
        Ticket::default()
    }
    fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        Poll::Ready(Ok(()))
    }
}

fn enforcer(engine: &Arc<Engine>, who: Principal, log: &Arc<Log>) -> Enforcer {
    Enforcer::new(EnforcerParts {
        subject: subject(who),
        pdp: Arc::clone(engine) as _,
        audit: Arc::clone(log) as _,
        strict_audit: true,
        place: "here:1".into(),
        new_approval: Box::new(|| ApprovalId::from_uuid(uuid::Uuid::now_v7())),
    })
}

fn table(name: &str) -> Resource {
    Resource::Table { schema: "public".into(), name: name.into() }
}

fn column(name: &str) -> Resource {
    Resource::Column { schema: "public".into(), table: "t".into(), name: name.into() }
}

fn select() -> Arc<Facts> {
    Arc::new(Facts::new("SELECT", 1, vec![Access::new(Action::Select, table("t"))]))
}

fn decide(enforcer: &mut Enforcer, facts: &Arc<Facts>) -> Outcome {
    let statement: Arc<str> = "select".into();
    let request = Request { via: "query", statement: &statement, shown: &nothing_else, bound: &[], payload: b"select" };
    enforcer.decide(facts, &request, NOW)
}

/// What the policies say to one of the two of `select`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Yes,
    /// No policy speaks of it.
    Nothing,
    Never,
    /// A forbid that steps back for an approval.
    Asks,
    /// A permit that steps in with one.
    Grants,
    /// A policy that cannot be evaluated.
    Errs,
    /// Yes, but not to what was approved.
    OnlyUnapproved,
}

const ALL: [Says; 7] =
    [Says::Yes, Says::Nothing, Says::Never, Says::Asks, Says::Grants, Says::Errs, Says::OnlyUnapproved];

fn policies(of: &str, says: Says) -> String {
    let scope = format!("(principal in Group::\"of-{of}\", action == Action::\"select\", resource)");
    let yes = format!("@id(\"{of}-yes\") permit {scope};\n");
    match says {
        Says::Yes => yes,
        Says::Nothing => String::new(),
        Says::Never => format!("{yes}@id(\"{of}-never\") forbid {scope};\n"),
        Says::Asks => format!(
            "{yes}@id(\"{of}-asks\") @approvers(\"{of}-leads\") @expires(\"{}m\") forbid {scope} unless {{ context.approved }};\n",
            if of == "bot" { 5 } else { 9 }
        ),
        Says::Grants => format!(
            "@id(\"{of}-grants\") @approvers(\"{of}-owners\") @expires(\"7m\") permit {scope} when {{ context.approved }};\n"
        ),
        Says::Errs => format!("{yes}@id(\"{of}-errs\") forbid {scope} when {{ Connection::\"no\".name == \"x\" }};\n"),
        Says::OnlyUnapproved => {
            format!("{yes}@id(\"{of}-plain\") @approvers(\"x\") forbid {scope} when {{ context.approved }};\n")
        }
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Forward(_) => "forward",
        Outcome::Hold(_) => "hold",
        Outcome::Refuse(_) => "refuse",
    }
}

/// The whole table: whatever the policies say to either of the two.
#[test]
fn what_both_may_is_done_and_nothing_else() {
    use Says::{Asks, Errs, Grants, Never, Nothing, OnlyUnapproved, Yes};
    for to_bot in ALL {
        for to_dana in ALL {
            let text = policies("bot", to_bot) + &policies("dana", to_dana);
            let engine = engine(&text);
            let log = Arc::default();
            let outcome = decide(&mut enforcer(&engine, bot(Some("dana")), &log), &select());
            let holds = |says| matches!(says, Asks | Grants);
            let never = |says| matches!(says, Nothing | Never | Errs);
            let expected = match (to_bot, to_dana) {
                (a, b) if never(a) || never(b) => "refuse",
                (Yes | OnlyUnapproved, Yes | OnlyUnapproved) => "forward",
                // The whole must stand approved.
                (OnlyUnapproved, _) | (_, OnlyUnapproved) => "refuse",
                (a, b) if holds(a) || holds(b) => "hold",
                (a, b) => panic!("{a:?} {b:?}"),
            };
            assert_eq!(name(&outcome), expected, "bot {to_bot:?}, dana {to_dana:?}: {outcome:?}");
            // Nothing more than what either may alone.
            let alone = |who: Principal| name(&decide(&mut enforcer(&engine, who, &log), &select()));
            let (agent, person) = (alone(bot(None)), alone(one(PrincipalKind::User, "dana")));
            assert!(expected != "forward" || (agent == "forward" && person == "forward"));
            assert!(expected == "refuse" || (agent != "refuse" && person != "refuse"));
            // Others say the same.
            let acting = subject(bot(Some("dana")));
            assert_eq!(explain(&engine, &acting, &select(), NOW).outcome, expected, "{to_bot:?} {to_dana:?}");
            let sources = [Source { name: "p".into(), text: text.clone() }];
            let judged = Judge::new(load(&sources).unwrap()).judge(&acting, &select(), NOW);
            assert_eq!(judged.outcome.to_string(), expected, "{to_bot:?} {to_dana:?}");
            if let Outcome::Refuse(refusal) = &outcome {
                let (bot, dana) = ("`corp/bot` (which acts for `corp/dana`)", "`corp/dana` (for whom `corp/bot` acts)");
                let names = |who: &str| refusal.message.contains(who);
                assert!(names(bot) != names(dana), "it names one of the two: {}", refusal.message);
                if to_bot == Yes {
                    assert!(names(dana), "{to_dana:?}: {}", refusal.message);
                }
                if to_dana == Yes {
                    assert!(names(bot), "{to_bot:?}: {}", refusal.message);
                }
            }
        }
    }
}

/// Whatever either of the two needs is asked for; the shortest time counts.
#[test]
fn approvals_that_either_needs_are_all_needed() {
    for (to_bot, to_dana, groups, minutes) in [
        (Says::Asks, Says::Yes, vec!["bot-leads"], 5),
        (Says::Yes, Says::Asks, vec!["dana-leads"], 9),
        (Says::Asks, Says::Asks, vec!["bot-leads", "dana-leads"], 5),
        (Says::Asks, Says::Grants, vec!["bot-leads", "dana-owners"], 5),
        (Says::Grants, Says::Asks, vec!["bot-owners", "dana-leads"], 7),
        (Says::Grants, Says::Grants, vec!["bot-owners", "dana-owners"], 7),
    ] {
        let connect = "@id(\"connect\") permit (principal, action == Action::\"connect\", resource);\n";
        let engine = engine(&(policies("bot", to_bot) + &policies("dana", to_dana) + connect));
        let log = Arc::default();
        let yes = |n: usize, group: &str| Approver::new(&format!("corp/approver-{n}"), vec![group.to_owned()]);
        let all: Vec<Approver> = groups.iter().enumerate().map(|(n, g)| yes(n, g)).collect();
        let settled = |by: Vec<Approver>| {
            let mut who = bot(Some("dana"));
            if let Some(behind) = &mut who.on_behalf_of {
                behind.prior_actors = vec!["corp/planner".into(), "corp/front".into()];
            }
            let mut enforcer = enforcer(&engine, who, &log);
            let Outcome::Hold(held) = decide(&mut enforcer, &select()) else { panic!("not held") };
            let approval = held.approval();
            let asked: Vec<&str> = approval.requirements.iter().map(|r| r.groups[0].as_str()).collect();
            assert_eq!((asked, approval.expires), (groups.clone(), NOW.after(Duration::from_secs(minutes * 60))));
            assert_eq!(approval.principal.to_string(), "corp/bot for corp/dana");
            name(&enforcer.settle(*held, ApprovalVerdict::Approved { by }, NOW))
        };
        assert_eq!(settled(all.clone()), "forward", "{to_bot:?} {to_dana:?}");
        for missing in 0..all.len() {
            let but_one: Vec<Approver> =
                all.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, a)| a.clone()).collect();
            assert_eq!(settled(but_one), "refuse", "{to_bot:?} {to_dana:?} without {missing}");
        }
        // One person in both groups is one person, and neither of the two is anybody, nor is who acted before.
        for who in ["corp/dana", "corp/bot", "corp/planner", "corp/front"] {
            let own = groups.iter().map(|g| Approver::new(who, vec![(*g).to_owned()])).collect();
            assert_eq!(settled(own), "refuse", "{who} approves what they ask for");
        }
        if groups.len() > 1 {
            let everywhere = Approver::new("corp/ann", groups.iter().map(|g| (*g).to_owned()).collect());
            assert_eq!(settled(vec![everywhere]), "refuse");
        }
    }
}

#[test]
fn the_stricter_mask_wins() {
    let base = "@id(\"all\") permit (principal, action, resource);\n";
    let hides = |of: &str, mask: &str| {
        format!(
            "@id(\"{of}-hides\") {mask} forbid (principal in Group::\"of-{of}\", action == Action::\"reveal\", resource is Column) when {{ resource.name == \"c\" }};\n"
        )
    };
    let mask = |m: &str| format!("@mask(\"{m}\")");
    for (to_bot, to_dana, shown) in [
        (String::new(), String::new(), None),
        (hides("bot", ""), String::new(), Some("redact")),
        (String::new(), hides("dana", ""), Some("redact")),
        (hides("bot", &mask("partial:4")), String::new(), Some("partial:4")),
        (hides("bot", &mask("partial:4")), hides("dana", &mask("partial:2")), Some("partial:2")),
        (hides("bot", &mask("partial:4")), hides("dana", &mask("hash")), Some("redact")),
        (hides("bot", &mask("null")), hides("dana", &mask("partial:2")), Some("null")),
        (hides("bot", &mask("date:day")), hides("dana", &mask("date:year")), Some("date:year")),
    ] {
        let engine = engine(&format!("{base}{to_bot}{to_dana}"));
        let mut enforcer = enforcer(&engine, bot(Some("dana")), &Arc::default());
        for _again in 0..2 {
            let found = match enforcer.reveal(&column("c"), NOW) {
                Reveal::Clear => None,
                Reveal::Masked(rule) => Some(rule.operator.to_string()),
            };
            assert_eq!(found.as_deref(), shown, "{to_bot} {to_dana}");
            assert_eq!(enforcer.reveal(&column("d"), NOW), Reveal::Clear);
        }
    }
}

#[test]
fn policies_can_tell_that_an_agent_acts_for_somebody() {
    let rule = |condition: &str| {
        format!(
            "@id(\"all\") permit (principal, action, resource); @id(\"no\") forbid (principal, action, resource) when {{ {condition} }};"
        )
    };
    for (condition, alone, for_dana, for_eve) in [
        ("context has on_behalf_of", "forward", "refuse", "refuse"),
        ("context has actor", "forward", "refuse", "refuse"),
        ("!(context has actor)", "refuse", "forward", "forward"),
        ("context has on_behalf_of && context.on_behalf_of == User::\"corp/dana\"", "forward", "refuse", "forward"),
        ("context has on_behalf_of && context.on_behalf_of in Group::\"of-dana\"", "forward", "refuse", "forward"),
        ("context has on_behalf_of && context.on_behalf_of.issuer == \"corp\"", "forward", "refuse", "refuse"),
        (
            "context has on_behalf_of && context.on_behalf_of.hasTag(\"team\") && context.on_behalf_of.getTag(\"team\") == \"eve\"",
            "forward",
            "forward",
            "refuse",
        ),
        ("context has actor && context.actor in Group::\"of-bot\" && principal is User", "forward", "refuse", "refuse"),
        ("context has actor && context.actor == principal", "forward", "refuse", "refuse"),
        ("context has actor && context.actor.subject == \"other\"", "forward", "forward", "forward"),
    ] {
        let engine = engine(&rule(condition));
        for (who, expected) in [(None, alone), (Some("dana"), for_dana), (Some("eve"), for_eve)] {
            let outcome = decide(&mut enforcer(&engine, bot(who), &Arc::default()), &select());
            assert_eq!(name(&outcome), expected, "{who:?}: {condition}");
        }
    }
    let unasked = [Source {
        name: "p".into(),
        text: "@id(\"a\") permit (principal, action, resource) when { context.actor.subject == \"x\" };".into(),
    }];
    assert!(load(&unasked).is_err(), "whoever does not ask whether there is one is told when the policy is read");
}

#[test]
fn a_changed_policy_reaches_the_session_from_either_side() {
    let both = policies("bot", Says::Yes) + &policies("dana", Says::Yes);
    let connect = |of: &str| {
        format!(
            "@id(\"connect-{of}\") permit (principal in Group::\"of-{of}\", action == Action::\"connect\", resource);\n"
        )
    };
    let all = both.clone() + &connect("bot") + &connect("dana");
    for lost in ["dana", "bot"] {
        let engine = engine(&all);
        let mut enforcer = enforcer(&engine, bot(Some("dana")), &Arc::default());
        assert_eq!(name(&decide(&mut enforcer, &select())), "forward");
        enforcer.still_welcome(NOW).unwrap();
        let kept = all.replace(&connect(lost), "").replace(&policies(lost, Says::Yes), "");
        engine.replace(load(&[Source { name: "p".into(), text: kept }]).unwrap());
        assert!(enforcer.still_welcome(NOW).is_err(), "without {lost}");
        assert_eq!(name(&decide(&mut enforcer, &select())), "refuse", "without {lost}");
    }
    // An identity that ended ends it, whichever.
    let engine = engine(&all);
    let mut who = bot(Some("dana"));
    who.on_behalf_of.as_mut().unwrap().person.expires_at = NOW;
    assert!(enforcer(&engine, who, &Arc::default()).still_welcome(NOW).is_err());
}

/// Nothing of an approval for one pair is good for another, nor for the agent alone.
#[test]
fn an_approval_is_for_the_agent_and_the_person() {
    let text = "@id(\"all\") permit (principal, action, resource); @id(\"ask\") @approvers(\"leads\") \
                forbid (principal, action == Action::\"select\", resource) unless { context.approved };";
    let (engine, parked) = (engine(text), Parked::default());
    let ask = |who: Principal| {
        let statement: Arc<str> = "select".into();
        let request =
            Request { via: "query", statement: &statement, shown: &nothing_else, bound: &[], payload: b"select" };
        enforcer(&engine, who, &Arc::default()).decide_at_once(&select(), &request, &[b"same"], &parked, NOW)
    };
    let waits = |outcome: AtOnce| match outcome {
        AtOnce::Wait(waiting) => waiting.approval.id,
        other @ (AtOnce::Forward { .. } | AtOnce::Refuse(_)) => panic!("{other:?}"),
    };
    let id = waits(ask(bot(Some("dana"))));
    let by = vec![Approver::new("corp/ann", vec!["leads".into()])];
    parked.ended(id, ApprovalVerdict::Approved { by }, NOW);
    for other in [bot(None), bot(Some("eve")), one(PrincipalKind::User, "dana")] {
        assert_ne!(waits(ask(other.clone())), id, "{other}");
    }
    assert!(matches!(ask(bot(Some("dana"))), AtOnce::Forward { approval: Some(used), .. } if used == id));
    // One that a former process left is taken up for the same two.
    let mut left = (*match ask(bot(Some("dana"))) {
        AtOnce::Wait(waiting) => waiting.approval,
        other @ (AtOnce::Forward { .. } | AtOnce::Refuse(_)) => panic!("{other:?}"),
    })
    .clone();
    left.id = ApprovalId::from_uuid(uuid::Uuid::now_v7());
    let fresh = Parked::default();
    assert!(fresh.take_up(&left, NOW));
    let statement: Arc<str> = "select".into();
    let request = Request { via: "query", statement: &statement, shown: &nothing_else, bound: &[], payload: b"select" };
    let again = |who| {
        let outcome =
            enforcer(&engine, who, &Arc::default()).decide_at_once(&select(), &request, &[b"same"], &fresh, NOW);
        waits(outcome)
    };
    assert_eq!(again(bot(Some("dana"))), left.id);
    assert_ne!(again(bot(None)), left.id);
}

#[test]
fn every_entry_names_both() {
    let engine = engine(&(policies("bot", Says::Asks) + &policies("dana", Says::Yes)));
    let log: Arc<Log> = Arc::default();
    let mut enforcer = enforcer(&engine, bot(Some("dana")), &log);
    let Outcome::Hold(held) = decide(&mut enforcer, &select()) else { panic!("not held") };
    let _denied = enforcer.settle(*held, ApprovalVerdict::Expired, NOW);
    enforcer.note(AuditKind::Cancel { known: true }, NOW).unwrap();
    let both = Parties { actor: "corp/bot".into(), on_behalf_of: "corp/dana".into() };
    let entries = log.0.lock().unwrap();
    assert_eq!(entries.len(), 4);
    for entry in &*entries {
        assert_eq!(entry.parties.as_deref(), Some(&both), "{entry:?}");
    }
    let json = serde_json::to_value(&entries[0]).unwrap();
    assert_eq!(json["parties"], serde_json::json!({ "actor": "corp/bot", "on_behalf_of": "corp/dana" }));
}

/// Whoever else writes of the session names both, too: from the entry that says who came to the last.
#[test]
fn entries_of_others_name_both() {
    let log: Arc<Log> = Arc::default();
    let sink = Attributed::new(Arc::clone(&log) as _);
    let session = |n: u128| Some(SessionId::from_uuid(uuid::Uuid::from_u128(n)));
    let note = |session, kind| {
        sink.append(&AuditEvent { time: NOW, session, parties: None, kind }).unwrap();
        log.0.lock().unwrap().last().unwrap().parties.as_ref().map(|p| p.on_behalf_of.clone())
    };
    let came = |principal| AuditKind::Authenticated { principal, user: "u".into(), by: None };
    let fault = || AuditKind::Fault { at_fault: "client".into(), what: "x".into() };
    let ended = || AuditKind::SessionEnded { reason: "x".into(), client_bytes: 0, upstream_bytes: 0 };
    let opened = || AuditKind::SessionOpened { connection: ConnectionName::new("orders"), client: "c".into() };
    assert_eq!(note(session(1), opened()), None, "nobody is known yet");
    let dana = Some("corp/dana".to_owned());
    assert_eq!(note(session(1), came(bot(Some("dana")))), dana);
    assert_eq!(note(session(2), came(bot(None))), None);
    assert_eq!(note(session(1), fault()), dana);
    assert_eq!(note(session(2), fault()), None, "another session");
    assert_eq!(note(None, fault()), None);
    assert_eq!(note(session(1), ended()), dana);
    assert_eq!(note(session(1), fault()), None, "nothing is kept of a session that ended");
    // Who comes anew in a session is who they are now.
    assert_eq!(note(session(3), came(bot(Some("dana")))), dana);
    assert_eq!(note(session(3), came(bot(Some("eve")))).as_deref(), Some("corp/eve"));
    assert_eq!(note(session(3), came(bot(None))), None);
    assert_eq!(note(session(3), fault()), None);
}
