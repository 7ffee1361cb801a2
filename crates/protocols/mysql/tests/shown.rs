//! Who approves is shown all that would run: every row of a bulk execution, values that came ahead, attributes. What is too
//! long for that is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
mod support;

use doorward_enforce::{
    ApprovalRequest, ApprovalVerdict, Approver, Circumstances, DecisionPoint, MOST_SHOWN, Parked, Party,
    ProtocolSession as _, SessionDecisions, Subject, Ticket, Verdict,
};
use doorward_model::{Access, Action, Resource};
use doorward_mysql::{Capabilities, Event, Hold, Question, Session, codec};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use support::{NOW, asks_sre, enforcer_of, grammar_with, session, session_of};

const MARIADB: Capabilities = Capabilities(1 << 9 | 1 << 15 | 1 << 19 | 1 << 23 | Capabilities::BULK_OPERATIONS.0);

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    codec::put_message(&mut out, sequence, payload);
    out
}

fn sent(session: &mut Session) -> Vec<u8> {
    let ready = session.to_upstream().ready(Ticket(1)).to_vec();
    session.to_upstream().sent(ready.len());
    ready
}

/// A session with this prepared as statement 5, with two parameters.
fn begun(text: &str) -> Session {
    begun_with(text, Hold::Wait)
}

fn begun_with(text: &str, hold: Hold) -> Session {
    begun_in(session(MARIADB, MARIADB, "11.8.9-MariaDB", None, 2, hold), text)
}

fn begun_in(mut s: Session, text: &str) -> Session {
    let column = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0";
    let (ok, eof) = (b"\0\0\0\x02\0\0\0", b"\xfe\0\0\x02\0");
    for payload in [&ok[..], b"\x03", column, column, column, eof, b"\0\x07utf8mb4\x06orders", eof] {
        s.handle_upstream(&packet(1, payload), NOW);
    }
    s.handle_client(&packet(0, &[b"\x16", text.as_bytes()].concat()), NOW);
    for payload in [&b"\0\x05\0\0\0\0\0\x02\0\0\0\0"[..], column, column, eof] {
        s.handle_upstream(&packet(1, payload), NOW);
    }
    assert!(s.is_idle());
    sent(&mut s);
    s.to_client().clear();
    s
}

const DELETE: &str = "DELETE FROM texts WHERE a = ? AND b = ?";

fn held(s: &mut Session) -> ApprovalRequest {
    loop {
        match s.poll_event() {
            Some(Event::Hold(request)) => return *request,
            Some(_) => {}
            None => panic!("nothing is held: {}", s.to_client().escape_ascii()),
        }
    }
}

/// What the client was told: the text of an error.
fn refused(s: &mut Session) -> String {
    while let Some(event) = s.poll_event() {
        assert!(!matches!(event, Event::Hold(_)), "it is held");
    }
    let told = s.to_client().split();
    assert_eq!(told.get(4), Some(&0xff), "no error: {}", told.escape_ascii());
    String::from_utf8_lossy(&told).into_owned()
}

/// A bulk execution with types of an integer and a text.
fn bulk(rows: &[u8]) -> Vec<u8> {
    packet(0, &[b"\xfa\x05\0\0\0\x80\0\x03\0\xfd\0", rows].concat())
}

#[test]
fn every_row_of_a_bulk_execution_is_shown() {
    let mut s = begun(DELETE);
    let mut rows = b"\0\x01\0\0\0\0\x01a\0\x02\0\0\0\x01\x02\0\x04NULL\x03\0\x02\xff\0".to_vec();
    for n in 0..100_u8 {
        rows.extend([0, n, 0, 0, 0, 0, 1, b'z']);
    }
    s.handle_client(&bulk(&rows), NOW);
    let request = held(&mut s);
    let shown = &request.shown;
    assert_eq!(shown.rows.len(), 104);
    assert_eq!(shown.rows[..4], [["1", "a"], ["2", "NULL"], ["DEFAULT", "'NULL'"], ["IGNORE", "binary \\xff00"]]);
    assert_eq!(shown.rows[103], ["99", "z"]);
    assert!(shown.is_whole() && sent(&mut s).is_empty());
    assert_eq!(shown.parts[0].name, "Sent in its place");
    assert!(shown.parts[0].text.contains("DELETE FROM `texts`"), "{:?}", shown.parts);
    s.handle_verdict(request.id, ApprovalVerdict::Approved { by: vec![Approver::new("a/b", vec!["sre".into()])] }, NOW);
    assert_eq!(sent(&mut s), bulk(&rows), "what was shown, to the byte");
}

#[test]
fn rows_that_nobody_can_be_shown_are_refused() {
    let many = [b"\x01\x01".repeat(40_000), Vec::new()].concat();
    let long = [&b"\0\x01\0\0\0\0\xfe"[..], &(MOST_SHOWN as u64).to_le_bytes(), &vec![b'x'; MOST_SHOWN]].concat();
    for rows in [many, long] {
        let mut s = begun(DELETE);
        s.handle_client(&bulk(&rows), NOW);
        let told = refused(&mut s);
        assert!(told.contains("needs an approval, and cannot be shown whole"), "{told}");
        assert!(sent(&mut s).is_empty(), "nothing of it went upstream");
        // The session lives on, and what needs no approval is not concerned.
        s.handle_client(&packet(0, b"\x16INSERT INTO texts VALUES (?, ?)"), NOW);
        assert!(!sent(&mut s).is_empty());
    }
}

/// The first parameter by value, the second one ahead.
const EXECUTE: &[u8] = b"\x17\x05\0\0\0\0\x01\0\0\0\0\x01\x03\0\xfd\0\x07\0\0\0";

#[test]
fn what_came_ahead_is_shown_and_cannot_change_meanwhile() {
    let mut s = begun(DELETE);
    for part in [&b"ab"[..], b"cd"] {
        s.handle_client(&packet(0, &[b"\x18\x05\0\0\0\x01\0", part].concat()), NOW);
    }
    sent(&mut s);
    s.handle_client(&packet(0, EXECUTE), NOW);
    let request = held(&mut s);
    assert_eq!(request.shown.parameters, ["7", "abcd"]);
    // More of the value, sent while people decide, waits behind the verdict.
    s.handle_client(&packet(0, b"\x18\x05\0\0\0\x01\0EVIL"), NOW);
    assert!(sent(&mut s).is_empty());
    s.handle_verdict(request.id, ApprovalVerdict::Approved { by: vec![Approver::new("a/b", vec!["sre".into()])] }, NOW);
    assert_eq!(sent(&mut s), packet(0, EXECUTE), "the execution goes first, without what came later");
    // What ran used the value up: the next one is of what came since.
    s.handle_upstream(&packet(1, b"\0\0\0\x02\0\0\0"), NOW);
    s.handle_client(&packet(0, EXECUTE), NOW);
    assert_eq!(held(&mut s).shown.parameters, ["7", "EVIL"]);
}

#[test]
fn a_value_ahead_that_is_too_long_is_refused() {
    let mut s = begun(DELETE);
    for _ in 0..3 {
        let part = vec![b'x'; MOST_SHOWN / 2];
        s.handle_client(&packet(0, &[b"\x18\x05\0\0\0\x01\0", part.as_slice()].concat()), NOW);
        sent(&mut s);
    }
    s.handle_client(&packet(0, EXECUTE), NOW);
    let told = refused(&mut s);
    assert!(told.contains("a value that was sent ahead would take 1572864 bytes"), "{told}");
    let upstream = sent(&mut s);
    assert_eq!(upstream.get(4), Some(&0x1a), "the upstream forgets the value: {}", upstream.escape_ascii());
    s.handle_upstream(&packet(1, b"\0\0\0\x02\0\0\0"), NOW);
    s.handle_client(&packet(0, b"\x18\x05\0\0\0\x01\0short"), NOW);
    s.handle_client(&packet(0, EXECUTE), NOW);
    assert_eq!(held(&mut s).shown.parameters, ["7", "short"], "its room is free again");
}

/// An execution with two values of eight bytes, of these types or of those of before.
fn eight(kind: Option<u8>, value: u64) -> Vec<u8> {
    let mut payload = b"\x17\x05\0\0\0\0\x01\0\0\0\0".to_vec();
    match kind {
        Some(kind) => payload.extend([1, kind, 0, kind, 0]),
        None => payload.push(0),
    }
    payload.extend(value.to_le_bytes());
    payload.extend(value.to_le_bytes());
    packet(0, &payload)
}

#[test]
fn an_approval_is_not_for_the_same_bytes_as_values_of_other_types() {
    let parked = Arc::new(Parked::default());
    let mut s = begun_with(DELETE, Hold::Retry(Arc::clone(&parked)));
    let (integer, double) = (8, 5);
    // Asks, and has it approved; gives what was shown.
    let approved = |s: &mut Session, frame: &[u8]| {
        s.handle_client(frame, NOW);
        let waiting = std::iter::from_fn(|| s.poll_event())
            .find_map(|event| if let Event::Ask(Question::Park(waiting)) = event { Some(waiting) } else { None });
        let approval = waiting.unwrap().approval;
        let by = vec![Approver::new("a/b", vec!["sre".into()])];
        parked.ended(approval.id, ApprovalVerdict::Approved { by }, NOW);
        approval.shown.parameters.clone()
    };
    let run = |s: &mut Session, frame: &[u8]| {
        s.to_client().clear();
        s.handle_client(frame, NOW);
        let sent = sent(s);
        s.handle_upstream(&packet(1, b"\0\0\0\x02\0\0\0"), NOW);
        sent
    };
    assert_eq!(approved(&mut s, &eight(Some(integer), 1)), ["1", "1"]);
    assert_eq!(run(&mut s, &eight(Some(integer), 1)), eight(Some(integer), 1));
    // Without types: they are integers still.
    let value = 2.5_f64.to_bits();
    assert_eq!(approved(&mut s, &eight(None, value)), ["4612811918334230528", "4612811918334230528"]);
    assert_eq!(approved(&mut s, &eight(Some(double), 7.0_f64.to_bits())), ["7", "7"]);
    assert!(!run(&mut s, &eight(Some(double), 7.0_f64.to_bits())).is_empty());
    // The same bytes are other values by now.
    s.handle_client(&eight(None, value), NOW);
    assert!(sent(&mut s).is_empty(), "values that nobody was shown went upstream");
}

/// Whoever looks at a table has it approved; what is in `note` is hidden once somebody says so.
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
            (Action::Reveal, Resource::Column { name, .. }) => (&**name != "note" || !self.0.load(SeqCst), vec![]),
            _ => (true, vec![]),
        };
        Verdict { allowed, policies, error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        Vec::new()
    }
}

/// Asks for it; has `note` hidden, or not, meanwhile; somebody says yes. What went upstream since it was held, and what was told.
fn approved_after(prepared: bool, text: &str, hidden: (bool, bool)) -> (String, String) {
    let policies = Tagged::default();
    policies.0.store(hidden.0, SeqCst);
    let enforcer = enforcer_of(Arc::new(policies.clone()));
    let s = session_of(
        enforcer,
        grammar_with(&["varchar(20)"; 5]),
        MARIADB,
        MARIADB,
        "11.8.9-MariaDB",
        None,
        2,
        Hold::Wait,
    );
    let mut s = begun_in(s, "INSERT INTO texts VALUES (?, ?)");
    let command = if prepared { b"\x16" } else { b"\x03" };
    s.handle_client(&packet(0, &[command, text.as_bytes()].concat()), NOW);
    if prepared {
        sent(&mut s);
        // It shows a column.
        let column = b"\x03def\0\0\0\x02id\0\x0c\x2d\0\0\0\0\0\x03\0\0\0\0\0";
        for payload in [&b"\0\x06\0\0\0\x01\0\0\0\0\0\0"[..], column, b"\xfe\0\0\x02\0"] {
            s.handle_upstream(&packet(1, payload), NOW);
        }
        s.handle_client(&packet(0, b"\x17\x06\0\0\0\0\x01\0\0\0"), NOW);
    }
    let request = held(&mut s);
    sent(&mut s);
    s.to_client().clear();
    policies.0.store(hidden.1, SeqCst);
    s.handle_verdict(request.id, ApprovalVerdict::Approved { by: vec![Approver::new("a/b", vec!["sre".into()])] }, NOW);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&sent(&mut s)), text(&s.to_client().split()))
}

/// Somebody has said yes to a statement as it would have been sent then. What is hidden since is not theirs to show.
#[test]
fn what_is_hidden_while_a_statement_waits_stays_hidden() {
    let text = "SELECT id FROM orders.people WHERE note = 'x'";
    for prepared in [false, true] {
        let (upstream, told) = approved_after(prepared, text, (false, false));
        assert!(!upstream.is_empty() && told.is_empty(), "nothing has changed: {upstream} {told}");
        let (upstream, told) = approved_after(prepared, text, (true, true));
        assert!(!upstream.contains(".`people` WHERE") && told.is_empty(), "veiled: {upstream} {told}");
        for hidden in [(false, true), (true, false)] {
            let (upstream, told) = approved_after(prepared, text, hidden);
            assert_eq!(upstream, "", "{hidden:?}");
            assert!(told.contains("what you may see of its tables is not what it was"), "{hidden:?}: {told}");
        }
    }
}

#[test]
fn variables_whose_values_are_in_no_text_are_named() {
    let mut s = begun("INSERT INTO texts VALUES (?, ?)");
    s.handle_client(&packet(0, b"\x03DELETE FROM texts WHERE a = @limit AND b <> '@no'"), NOW);
    let shown = held(&mut s).shown;
    assert!(!shown.is_whole() && shown.unseen[0].contains("that it reads (@limit):"), "{:?}", shown.unseen);
    let mut s = begun("INSERT INTO texts VALUES (?, ?)");
    s.handle_client(&packet(0, b"\x03DELETE FROM texts WHERE a = '@limit'"), NOW);
    assert!(held(&mut s).shown.is_whole());
}
