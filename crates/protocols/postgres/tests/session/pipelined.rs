//! Answers are taken for those of the messages that they are to, whatever the server skips or ignores.
use super::*;

/// While the server reads COPY data it ignores Sync, unless it has failed by then: none goes there that might be either.
#[test]
fn nothing_goes_behind_a_request_that_may_read_copy_data() {
    let tags = |sent: &str| {
        let (mut out, mut rest) = (String::new(), sent.as_bytes());
        while let [tag, 0, 0, high, low, ..] = rest {
            // What is Flush of the gateway's own is none of the client's.
            out.extend((*tag != b'H').then_some(char::from(*tag)));
            rest = &rest[1 + usize::from(*high) * 256 + usize::from(*low)..];
        }
        out
    };
    let data = || frame(b'd', b"x\n");
    // By a simple Query: its Sync is dropped, and what follows is answered by what follows.
    let mut t = Talk(session());
    assert_eq!(tags(&t.client(&[query("copy t from stdin"), sync(), data(), frame(b'c', b"")])), "Q");
    t.server(&[(b'G', b"\0\0\0")]);
    assert_eq!(tags(&t.client(&[])), "dc");
    t.server(&[(b'C', b"COPY 1\0"), (b'Z', b"I")]);
    t.told();
    assert_eq!(tags(&t.client(&[query("select a from u")])), "Q");
    t.server(&[(b'E', b"SERROR\0C22012\0Mdivision by zero\0\0"), (b'Z', b"I")]);
    assert_eq!(tags(&t.client(&[query("select b from u")])), "Q");
    t.server(&[(b'Z', b"I")]);
    assert!(t.told().contains("FATAL"), "an answer to nothing that was asked");
    // In the extended protocol the data may be bad: the Sync behind them is sent when that is known.
    let mut t = Talk(session());
    let sent = t.client(&[parse("", "copy t from stdin"), bind("", ""), execute("", 0), data(), sync()]);
    assert_eq!(tags(&sent), "PBDEd");
    t.server(&[(b'1', b""), (b'2', b""), (b'n', b""), (b'E', b"SERROR\0C22P04\0Mbad\0\0")]);
    assert_eq!(tags(&t.client(&[frame(b'c', b"")])), "S");
    t.server(&[(b'Z', b"I")]);
    assert!(!t.told().contains("FATAL"));
}

/// Deletes are approved first.
#[derive(Debug)]
struct Approved;

impl DecisionPoint for Approved {
    fn generation(&self) -> u64 {
        1
    }
    fn open(&self, _: &Arc<Subject>, _: doorward_enforce::Party) -> Box<dyn SessionDecisions> {
        Box::new(Self)
    }
}

impl SessionDecisions for Approved {
    fn generation(&self) -> u64 {
        1
    }
    fn policy_version(&self) -> Arc<str> {
        "test".into()
    }
    fn decide(&mut self, access: &Access, of: &Circumstances<'_>) -> Verdict {
        let allowed = access.action != Action::Delete || of.approved;
        Verdict { allowed, policies: Vec::new(), error: None, lasting: true }
    }
    fn tags(&self, _: &Resource) -> Vec<String> {
        Vec::new()
    }
}

/// What the server would skip is not sent when its approval comes to an end, nor is anything in its place.
#[test]
fn what_waits_for_an_approval_is_skipped_with_the_rest() {
    let mut t = Talk(session_under(Arc::new(Approved)));
    let sent = t.client(&[parse("", "select 1/a from t"), bind("", ""), execute("", 0), query("delete from t")]);
    assert!(sent.contains("select 1/a") && !sent.contains("delete"), "{}", sent.escape_debug());
    t.server(&[(b'1', b""), (b'2', b""), (b'n', b""), (b'E', b"SERROR\0C22012\0Mdivision by zero\0\0")]);
    assert!(matches!(t.0.poll_event(), Some(Event::Withdraw(..))), "nobody is asked for it any more");
    assert_eq!(t.client(&[sync()]), "S\0\0\0\u{4}");
    t.server(&[(b'Z', b"I")]);
    assert!(!t.told().contains("FATAL"));
    assert!(t.client(&[query("select b from t")]).contains("select b"));
    t.server(&[(b'C', b"SELECT 0\0"), (b'Z', b"I")]);
    assert!(!t.told().contains("FATAL"));
}
