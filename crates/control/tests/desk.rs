//! The desk: verdicts, ends, races, failures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod support;

use doorward_control::{Change, DecideError, Desk, MAX_COMMENT};
use doorward_enforce::{ApprovalDesk as _, ApprovalRequest, ApprovalVerdict, AuditSink, Escalation, Requirement};
use doorward_model::AuditKind;
use doorward_store::{ApprovalState, Store, StoredVerdict};
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};
use support::{Office, need, now, only, person};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_yes_is_audited_stored_told_and_answered() {
    let office = Office::new().await;
    let mut changes = office.desk.subscribe();
    let (id, answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    assert_eq!(office.desk.link(id), format!("https://doors.example/approvals/{id}"));
    office.desk.decide(id, &person("anna", &["sre"]), true, "go on").await.unwrap();
    let ApprovalVerdict::Approved { by } = only(answers).await else { panic!("not approved") };
    assert_eq!((by.len(), by[0].id.as_str(), &by[0].groups[..]), (1, "corp/anna", &["sre".to_owned()][..]));
    let kept = office.store.approval(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.verdicts[0].comment.as_str()), (ApprovalState::Approved, "go on"));
    let decided = AuditKind::ApprovalDecided {
        approval: id,
        approved: true,
        by: "corp/anna".into(),
        comment: "go on".into(),
        break_glass: false,
        via: None,
    };
    assert_eq!(office.audit.kinds(), [decided]);
    assert_eq!(changes.recv().await.unwrap(), Change { id, state: ApprovalState::Pending });
    assert_eq!(changes.recv().await.unwrap(), Change { id, state: ApprovalState::Approved });
}

#[tokio::test]
async fn a_no_ends_it_even_after_a_yes() {
    let office = Office::new().await;
    let (id, answers) = office.ask(vec![need(&["sre"], 2)], LONG).await;
    office.desk.decide(id, &person("anna", &["sre"]), true, "").await.unwrap();
    office.desk.decide(id, &person("ben", &["sre"]), false, "never").await.unwrap();
    assert_eq!(only(answers).await, ApprovalVerdict::Denied { by: "corp/ben".into(), comment: "never".into() });
    assert_eq!(office.state(id).await, ApprovalState::Denied);
}

#[tokio::test]
async fn time_ends_it() {
    let office = Office::new().await;
    let (id, answers) = office.ask(vec![need(&["sre"], 1)], Duration::from_millis(80)).await;
    assert_eq!(only(answers).await, ApprovalVerdict::Expired);
    assert_eq!(office.state(id).await, ApprovalState::Expired);
    assert_eq!(office.audit.kinds(), [AuditKind::ApprovalEnded { approval: id, reason: "expired".into() }]);
    let late = office.desk.decide(id, &person("anna", &["sre"]), true, "").await;
    assert_eq!(late, Err(DecideError::Ended));
}

#[tokio::test]
async fn a_verdict_that_is_durable_too_late_does_not_count() {
    let office = Office::new().await;
    // Long enough for both to come in time, whatever else the machine does.
    let (id, answers) = office.ask(vec![need(&["sre"], 1)], Duration::from_secs(5)).await;
    office.audit.slow.store(true, SeqCst);
    let (anna, ben) = (person("anna", &["sre"]), person("ben", &["sre"]));
    let release = async {
        tokio::time::sleep(Duration::from_millis(5_150)).await;
        office.audit.slow.store(false, SeqCst);
    };
    let anna = office.desk.decide(id, &anna, true, "");
    // Comes in time, but has its turn after anna's, which is too late.
    let ben = office.desk.decide(id, &ben, true, "");
    let (anna, ben, ()) = tokio::join!(anna, ben, release);
    assert_eq!((anna, ben), (Err(DecideError::Ended), Err(DecideError::Ended)));
    assert_eq!(only(answers).await, ApprovalVerdict::Expired);
    let kinds = office.audit.kinds();
    assert!(matches!(&kinds[..], [AuditKind::ApprovalDecided { .. }, AuditKind::ApprovalEnded { .. }]), "{kinds:?}");
}

#[tokio::test]
async fn the_caller_ends_it() {
    let office = Office::new().await;
    let (id, answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    office.desk.withdraw(id, "the client cancelled");
    assert_eq!(only(answers).await, ApprovalVerdict::Withdrawn);
    let kept = office.store.approval(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.reason.as_deref()), (ApprovalState::Withdrawn, Some("the client cancelled")));
    office.desk.withdraw(id, "again");
}

#[tokio::test]
async fn who_may_not_decide_does_not() {
    let office = Office::new().await;
    let (id, mut answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    let decide = async |who, yes| office.desk.decide(id, &who, yes, "").await.unwrap_err();
    assert_eq!(decide(person("bot", &["sre"]), true).await, DecideError::OwnRequest, "the requester is in the group");
    assert_eq!(decide(person("bot", &["sre"]), false).await, DecideError::OwnRequest);
    assert_eq!(decide(person("eve", &["dba", "SRE", ""]), true).await, DecideError::NotFound);
    assert_eq!(decide(person("eve", &[]), false).await, DecideError::NotFound);
    let other = office.request(vec![], LONG).id;
    let unknown = office.desk.decide(other, &person("anna", &["sre"]), true, "").await;
    assert_eq!(unknown, Err(DecideError::NotFound));
    let long = "é".repeat(MAX_COMMENT + 1);
    let anna = person("anna", &["sre"]);
    assert_eq!(office.desk.decide(id, &anna, true, &long).await, Err(DecideError::CommentTooLong));
    assert!(answers.try_recv().is_err() && office.audit.kinds().is_empty(), "nothing has happened");
    office.desk.decide(id, &anna, true, &"é".repeat(MAX_COMMENT)).await.unwrap();
}

/// RFC 8693, section 4.1: those who acted before are named in the token, and no right comes of them. Nor may they say yes to what
/// they have set going.
#[tokio::test]
async fn nobody_in_a_chain_decides_what_comes_of_it() {
    let office = Office::new().await;
    let mut request = office.request(vec![need(&["sre"], 1)], LONG);
    let prior_actors = ["corp/planner", "corp/front", "corp/first"].map(str::to_owned).into();
    request.principal.on_behalf_of =
        Some(Box::new(doorward_model::Delegation { person: person("dana", &["sre"]), prior_actors }));
    let id = request.id;
    let answers = office.submit(request);
    while office.store.approval(id).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for one in ["bot", "dana", "planner", "front", "first"] {
        for yes in [true, false] {
            let said = office.desk.decide(id, &person(one, &["sre"]), yes, "").await;
            assert_eq!(said, Err(DecideError::OwnRequest), "{one}");
        }
    }
    assert!(office.audit.kinds().is_empty(), "nothing has happened");
    office.desk.decide(id, &person("anna", &["sre"]), true, "").await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { .. }));
}

#[tokio::test]
async fn no_groups_means_nobody() {
    let office = Office::new().await;
    let (id, _answers) = office.ask(vec![need(&[], 1)], LONG).await;
    let verdict = office.desk.decide(id, &person("anna", &["sre", ""]), true, "").await;
    assert_eq!(verdict, Err(DecideError::NotFound));
}

#[tokio::test]
async fn the_same_subject_of_another_issuer_is_another_person() {
    let office = Office::new().await;
    let (id, answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    let mut other = person("bot", &["sre"]);
    other.issuer = "partner".into();
    office.desk.decide(id, &other, true, "").await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { .. }));
}

#[tokio::test]
async fn one_person_counts_once_in_whatever_groups() {
    let office = Office::new().await;
    let (id, mut answers) = office.ask(vec![need(&["sre"], 1), need(&["dba"], 1)], LONG).await;
    let both = person("anna", &["sre", "dba"]);
    office.desk.decide(id, &both, true, "").await.unwrap();
    assert_eq!(office.desk.decide(id, &both, true, "").await, Err(DecideError::Twice));
    assert_eq!(office.desk.decide(id, &both, false, "").await, Err(DecideError::Twice), "no change of mind");
    assert!(answers.try_recv().is_err());
    assert_eq!(office.state(id).await, ApprovalState::Pending);
    office.desk.decide(id, &person("ben", &["sre"]), true, "").await.unwrap();
    let ApprovalVerdict::Approved { by } = only(answers).await else { panic!("not approved") };
    assert_eq!(by.len(), 2);
}

#[tokio::test]
async fn a_quorum_of_two_needs_two_people() {
    let office = Office::new().await;
    let (id, mut answers) = office.ask(vec![need(&["sre", "dba"], 2)], LONG).await;
    let decide = async |who| office.desk.decide(id, &who, true, "").await;
    decide(person("anna", &["sre", "dba"])).await.unwrap();
    assert_eq!(decide(person("anna", &["dba"])).await, Err(DecideError::Twice), "with another token, too");
    assert!(answers.try_recv().is_err());
    decide(person("ben", &["dba"])).await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { .. }));
    assert_eq!(decide(person("carl", &["dba"])).await, Err(DecideError::Ended));
    assert_eq!(decide(person("eve", &[])).await, Err(DecideError::NotFound), "not even that it ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yes_no_withdrawal_and_expiry_race_and_one_ends_it() {
    let office = Arc::new(Office::new().await);
    let mut seen = std::collections::BTreeMap::new();
    for round in 0..60_u64 {
        let ttl = Duration::from_millis(8 + round % 12);
        let (id, answers) = office.ask(vec![need(&["sre"], 1)], ttl).await;
        let decide = |name: &'static str, yes| {
            let office = Arc::clone(&office);
            tokio::spawn(async move { office.desk.decide(id, &person(name, &["sre"]), yes, "").await })
        };
        let (yes, no) = if round % 2 == 0 {
            (decide("anna", true), decide("ben", false))
        } else {
            let no = decide("ben", false);
            (decide("anna", true), no)
        };
        if round % 3 == 0 {
            office.desk.withdraw(id, "race");
        }
        let (yes, no) = (yes.await.unwrap(), no.await.unwrap());
        let verdict = only(answers).await;
        let (state, took) = match &verdict {
            ApprovalVerdict::Approved { .. } => (ApprovalState::Approved, (true, false)),
            ApprovalVerdict::Denied { .. } => (ApprovalState::Denied, (false, true)),
            ApprovalVerdict::Expired => (ApprovalState::Expired, (false, false)),
            ApprovalVerdict::Withdrawn => (ApprovalState::Withdrawn, (false, false)),
            ApprovalVerdict::Unavailable { reason } => panic!("{reason}"),
        };
        assert_eq!((yes.is_ok(), no.is_ok()), took, "round {round}: {verdict:?}, but {yes:?}, {no:?}");
        assert_eq!(office.state(id).await, state, "round {round}");
        *seen.entry(state.as_str()).or_insert(0) += 1;
    }
    assert!(seen.len() >= 2, "the rounds are no race: {seen:?}");
}

#[tokio::test]
async fn without_the_audit_log_no_verdict_counts() {
    let office = Office::new().await;
    let (id, mut answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    let anna = person("anna", &["sre"]);
    for switch in [&office.audit.full, &office.audit.broken] {
        switch.store(true, SeqCst);
        let verdict = office.desk.decide(id, &anna, true, "").await;
        assert!(matches!(verdict, Err(DecideError::Unavailable(_))), "{verdict:?}");
        switch.store(false, SeqCst);
    }
    assert!(answers.try_recv().is_err());
    let kept = office.store.approval(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.verdicts.len()), (ApprovalState::Pending, 0));
    office.desk.decide(id, &anna, true, "").await.expect("once the log is back");
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { .. }));
}

#[tokio::test]
async fn a_failing_audit_log_does_not_keep_a_request_waiting() {
    let office = Office::new().await;
    let (_, answers) = office.ask(vec![need(&["sre"], 1)], Duration::from_millis(50)).await;
    office.audit.full.store(true, SeqCst);
    assert_eq!(only(answers).await, ApprovalVerdict::Expired);
}

#[tokio::test]
async fn without_the_store_nothing_is_asked_and_nothing_counts() {
    let office = Office::new().await;
    let (id, mut answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    office.store.close().await;
    let verdict = office.desk.decide(id, &person("anna", &["sre"]), true, "").await;
    assert!(matches!(verdict, Err(DecideError::Unavailable(_))), "{verdict:?}");
    assert!(answers.try_recv().is_err());
    let answers = office.submit(office.request(vec![need(&["sre"], 1)], LONG));
    assert!(matches!(only(answers).await, ApprovalVerdict::Unavailable { .. }));
}

#[tokio::test]
async fn an_identifier_in_use_is_not_taken_over() {
    let office = Office::new().await;
    let request = office.request(vec![need(&["sre"], 1)], LONG);
    let id = request.id;
    let first = office.submit(request.clone());
    assert!(matches!(only(office.submit(request)).await, ApprovalVerdict::Unavailable { .. }));
    office.desk.decide(id, &person("anna", &["sre"]), true, "").await.unwrap_or_default();
    office.desk.withdraw(id, "");
    only(first).await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_no_half_verdict() {
    let office = Office::new().await;
    let (id, answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    let anna = person("anna", &["sre"]);
    // Polled once: the work has begun, then its caller is gone.
    let mut decide = Box::pin(office.desk.decide(id, &anna, true, ""));
    std::future::poll_fn(|cx| {
        // On a busy machine it may be done at once; then there is nothing left to hang up on.
        let _either = decide.as_mut().poll(cx);
        std::task::Poll::Ready(())
    })
    .await;
    drop(decide);
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { .. }));
}

#[tokio::test]
async fn after_a_restart_what_was_pending_has_ended() {
    let office = Office::new().await;
    let (id, _answers) = office.ask(vec![need(&["sre"], 1)], LONG).await;
    office.store.close().await;
    let store = Store::open(office.dir.path(), now()).await.unwrap();
    let sink: Arc<dyn AuditSink> = office.audit.clone();
    let desk = Desk::new(store.clone(), sink, "https://doors.example", tokio::runtime::Handle::current());
    assert_eq!(desk.decide(id, &person("anna", &["sre"]), true, "").await, Err(DecideError::Ended));
    assert_eq!(desk.decide(id, &person("eve", &[]), true, "").await, Err(DecideError::NotFound));
    assert_eq!(store.approval(id).await.unwrap().unwrap().state, ApprovalState::Withdrawn);
}

#[tokio::test]
async fn others_are_asked_after_a_while_and_told_of_it() {
    let office = Office::new().await;
    let escalation = Some(Escalation { groups: vec!["leads".into()], after: Duration::from_millis(400) });
    let requirement = Requirement { escalation, ..need(&["sre"], 1) };
    let (id, mut answers) = office.ask(vec![requirement], LONG).await;
    let mut changes = office.desk.subscribe();
    let lead = person("lea", &["leads"]);
    assert_eq!(office.desk.decide(id, &lead, true, "").await, Err(DecideError::NotFound), "not yet");
    while changes.recv().await.unwrap().id != id {}
    let escalated = AuditKind::ApprovalEscalated { approval: id, groups: vec!["leads".into()] };
    assert!(office.audit.kinds().contains(&escalated), "{:?}", office.audit.kinds());
    assert!(answers.try_recv().is_err());
    office.desk.decide(id, &lead, true, "").await.unwrap();
    assert!(
        matches!(only(answers).await, ApprovalVerdict::Approved { by } if by[0].after >= Duration::from_millis(400))
    );
}

#[tokio::test]
async fn the_glass_is_broken_with_a_reason_by_who_may_and_is_not_the_requester() {
    let office = Office::new().await;
    let glass = |groups: &[&str]| Requirement {
        break_glass: groups.iter().map(|g| (*g).into()).collect(),
        ..need(&["sre"], 2)
    };
    let (id, answers) = office.ask(vec![glass(&["oncall", "agents"])], LONG).await;
    let oncall = person("ona", &["oncall"]);
    assert_eq!(
        office.desk.decide(id, &oncall, true, "").await,
        Err(DecideError::NotFound),
        "she is asked for nothing else"
    );
    assert_eq!(office.desk.break_glass(id, &oncall, " ").await, Err(DecideError::NoReason));
    assert_eq!(office.desk.break_glass(id, &person("anna", &["sre"]), "now").await, Err(DecideError::NoGlass));
    assert_eq!(office.desk.break_glass(id, &person("eve", &["x"]), "now").await, Err(DecideError::NotFound));
    // The requester is in that group, too.
    assert_eq!(office.desk.break_glass(id, &person("bot", &["agents"]), "now").await, Err(DecideError::OwnRequest));
    office.desk.break_glass(id, &oncall, "the site is down").await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { by } if by[0].broke_glass));
    let comment = "the site is down".to_owned();
    let told = AuditKind::ApprovalDecided {
        approval: id,
        approved: true,
        by: "corp/ona".into(),
        comment,
        break_glass: true,
        via: None,
    };
    assert!(office.audit.kinds().contains(&told), "{:?}", office.audit.kinds());
    assert!(office.store.approval(id).await.unwrap().unwrap().verdicts[0].break_glass);

    // Another policy that holds it has no glass: it is still to be met.
    let (id, mut answers) = office.ask(vec![glass(&["oncall"]), need(&["dba"], 1)], LONG).await;
    office.desk.break_glass(id, &oncall, "still down").await.unwrap();
    assert!(answers.try_recv().is_err());
    office.desk.decide(id, &person("dora", &["dba"]), true, "").await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { by } if by.len() == 2));
}

/// Somebody who said yes in the ordinary way is the one who is awake when it burns.
#[tokio::test]
async fn who_said_yes_may_still_break_the_glass_and_counts_for_that_alone() {
    let office = Office::new().await;
    let glass = Requirement { break_glass: vec!["oncall".into()], ..need(&["sre"], 2) };
    let both = person("ona", &["sre", "oncall", "dba"]);
    let (id, answers) = office.ask(vec![glass.clone()], LONG).await;
    office.desk.decide(id, &both, true, "").await.unwrap();
    assert_eq!(office.desk.decide(id, &both, false, "").await, Err(DecideError::Twice));
    office.desk.break_glass(id, &both, "the site is down").await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { by } if by.len() == 1 && by[0].broke_glass));
    let kept = office.store.approval(id).await.unwrap().unwrap().verdicts;
    assert!(kept.len() == 1 && kept[0].break_glass, "{kept:?}");
    let said = format!("{:?}", office.audit.kinds()).matches("ApprovalDecided").count();
    assert_eq!(said, 2, "the log has both");

    // Where another policy holds it too, somebody else has to say yes for that.
    let (id, mut answers) = office.ask(vec![glass, need(&["dba"], 1)], LONG).await;
    office.desk.decide(id, &both, true, "").await.unwrap();
    office.desk.break_glass(id, &both, "still down").await.unwrap();
    assert_eq!(office.desk.break_glass(id, &both, "again").await, Err(DecideError::Twice));
    assert_eq!(office.desk.decide(id, &both, true, "").await, Err(DecideError::Twice));
    assert!(answers.try_recv().is_err());
    office.desk.decide(id, &person("dora", &["dba"]), true, "").await.unwrap();
    assert!(matches!(only(answers).await, ApprovalVerdict::Approved { by } if by.len() == 2));
}

#[tokio::test]
async fn for_callers_who_do_not_wait_it_goes_on_after_a_restart() {
    let office = Office::new().await;
    let request =
        |groups: &[&str], quorum| ApprovalRequest { waits: false, ..office.request(vec![need(groups, quorum)], LONG) };
    let (half, met, short) = (request(&["sre"], 2), request(&["sre"], 1), request(&["sre"], 1));
    let short = ApprovalRequest { expires: now().after(Duration::from_millis(1)), ..short };
    let anna = StoredVerdict {
        by: "corp/anna".into(),
        groups: vec!["sre".into()],
        yes: true,
        comment: String::new(),
        time: now(),
        break_glass: false,
        via: None,
    };
    for r in [&half, &met, &short] {
        office.store.approval_asked(r).await.unwrap();
    }
    // Killed between the verdict and the end.
    office.store.verdict(half.id, &anna).await.unwrap();
    office.store.verdict(met.id, &anna).await.unwrap();
    office.store.close().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let store = Store::open(office.dir.path(), now()).await.unwrap();
    let sink: Arc<dyn AuditSink> = office.audit.clone();
    let desk = Desk::new(store.clone(), sink, "https://doors.example", tokio::runtime::Handle::current());
    let (tx, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let kept = |r: &ApprovalRequest| {
        let (id, tx) = (r.id, tx.clone());
        Some(Box::new(move |v| drop(tx.send((id, v)))) as Box<dyn FnOnce(ApprovalVerdict) + Send>)
    };
    assert_eq!(desk.take_up(kept).await.unwrap(), 1);
    let state = async |id| store.approval(id).await.unwrap().unwrap().state;
    assert_eq!(state(met.id).await, ApprovalState::Withdrawn, "it might have been used");
    assert_eq!(state(short.id).await, ApprovalState::Withdrawn);
    assert_eq!(
        desk.decide(half.id, &person("anna", &["sre"]), true, "").await,
        Err(DecideError::Twice),
        "she has said so"
    );
    desk.decide(half.id, &person("ben", &["sre"]), true, "").await.unwrap();
    let (id, verdict) = answers.recv().await.unwrap();
    assert!(id == half.id && matches!(verdict, ApprovalVerdict::Approved { by } if by.len() == 2));
    assert_eq!(state(half.id).await, ApprovalState::Approved);
}
