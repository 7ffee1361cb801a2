//! What other policies would have done with the requests of the last days.
use crate::{
    rights::Rights,
    types::{BackTestExample, BackTestGroup, BackTestReport},
};
use doorward_enforce::Subject;
use doorward_model::{AuditOutcome, Facts, Principal, RequestId, SessionId, SessionPart, Timestamp};
use doorward_policy::{Judge, Judged, Loaded};
use doorward_record::{Entries, Entry, Filter};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// Groups in a report; further ones are counted alone.
const MAX_GROUPS: usize = 500;
/// Examples of each group.
const EXAMPLES: usize = 5;
/// Sessions that are remembered while the log is read.
const MAX_SESSIONS: usize = 200_000;
/// Characters of an example's statement.
const STATEMENT: usize = 400;

/// Reads the audit log and judges every request since then by both sets of policies.
///
/// What was asked before an approval counts once, as it was asked; what was refused for another reason than policy (a text
/// that could not be read, a full disk) is judged like all others, by its facts.
///
/// # Errors
/// Where the log cannot be read.
pub(crate) fn run(
    audit: &Path,
    rights: &Rights,
    before: Loaded,
    after: Loaded,
    since: Timestamp,
) -> io::Result<BackTestReport> {
    let mut test = BackTest {
        rights,
        before: Judge::new(before),
        after: Judge::new(after),
        since,
        sessions: HashMap::new(),
        groups: HashMap::new(),
        report: BackTestReport { since, ..BackTestReport::default() },
    };
    for entry in Entries::open(audit, Filter::default())? {
        match entry {
            Ok(entry) => test.entry(&entry),
            // An entry that cannot be read is no request that can be judged: it is counted.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => test.report.unreadable += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(test.finish())
}

struct BackTest<'a> {
    rights: &'a Rights,
    before: Judge,
    after: Judge,
    since: Timestamp,
    sessions: HashMap<SessionId, Known>,
    groups: HashMap<Key, BackTestGroup>,
    report: BackTestReport,
}

/// What is known of a session so far.
struct Known {
    connection: String,
    from: IpAddr,
    subject: Option<Arc<Subject>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    connection: String,
    principal: String,
    command: String,
    before: Judged,
    after: Judged,
}

impl BackTest<'_> {
    fn entry(&mut self, entry: &Entry) {
        let Some(session) = entry.event.session else { return };
        match entry.event.kind.of_session() {
            SessionPart::Opened { connection, client } => {
                if self.sessions.len() < MAX_SESSIONS {
                    let from = client.parse::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |a| a.ip());
                    let known = Known { connection: connection.to_string(), from, subject: None };
                    self.sessions.insert(session, known);
                }
            }
            SessionPart::Caller(principal) => self.authenticated(session, principal.clone()),
            SessionPart::Ended { .. } => drop(self.sessions.remove(&session)),
            // The second entry of a request that was held.
            SessionPart::Request { approval: Some(_), outcome, .. } if outcome != AuditOutcome::Hold => {}
            SessionPart::Request { request, statement, facts, .. } if entry.event.time >= self.since => {
                self.request(session, request, statement, facts, entry.event.time);
            }
            // Too old, or nothing that says who asks.
            SessionPart::Request { .. } | SessionPart::Other => {}
        }
    }

    fn request(&mut self, session: SessionId, request: RequestId, statement: &str, facts: &Facts, time: Timestamp) {
        let Some(subject) = self.sessions.get(&session).and_then(|k| k.subject.clone()) else {
            self.report.unknown += 1;
            return;
        };
        self.report.requests += 1;
        let before = self.before.judge(&subject, facts, time);
        let after = self.after.judge(&subject, facts, time);
        if before.outcome != after.outcome {
            let statement = statement.chars().take(STATEMENT).collect();
            let example = BackTestExample { session, request: request.0, time, statement };
            self.differs(&subject, facts.command.to_string(), before, after, example);
        }
    }

    fn authenticated(&mut self, session: SessionId, principal: Principal) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let connection = self.rights.info(&known.connection);
        let subject = Subject { session, principal, connection, client_ip: known.from, tls: true };
        known.subject = Some(Arc::new(subject));
    }

    fn differs(&mut self, subject: &Subject, command: String, before: Judged, after: Judged, example: BackTestExample) {
        self.report.differences += 1;
        let connection = subject.connection.name.to_string();
        let key = Key { connection, principal: subject.principal.to_string(), command, before, after };
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.report.left_out += 1;
            return;
        }
        let group = BackTestGroup {
            connection: key.connection.clone(),
            principal: key.principal.clone(),
            command: key.command.clone(),
            before: key.before.outcome.into(),
            before_policies: key.before.policies.clone(),
            after: key.after.outcome.into(),
            after_policies: key.after.policies.clone(),
            count: 0,
            examples: Vec::new(),
        };
        let group = self.groups.entry(key).or_insert(group);
        group.count += 1;
        if group.examples.len() < EXAMPLES {
            group.examples.push(example);
        }
    }

    fn finish(self) -> BackTestReport {
        let mut groups: Vec<BackTestGroup> = self.groups.into_values().collect();
        groups.sort_by(|a, b| {
            let key = |g: &BackTestGroup| (g.connection.clone(), g.principal.clone(), g.command.clone());
            b.count.cmp(&a.count).then_with(|| key(a).cmp(&key(b)))
        });
        BackTestReport { groups, ..self.report }
    }
}
