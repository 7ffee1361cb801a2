//! Entries taken together: what a batch of them says of each session, principal and approval.
use doorward_model::{
    ApprovalId, ApprovalPart, AuditEvent, AuditKind, AuditOutcome, Principal, RequestId, SessionId, SessionPart,
    Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a resource or command that are kept.
const LONGEST: usize = 300;

/// What a batch adds to a session.
#[derive(Debug)]
pub(super) struct SessionDelta {
    pub(super) connection: String,
    pub(super) client: String,
    pub(super) principal: Option<String>,
    pub(super) started: Timestamp,
    pub(super) ended: Option<(Timestamp, String)>,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) held: u64,
    /// Outcome, command, action, resource.
    pub(super) accesses: BTreeSet<(AuditOutcome, String, &'static str, String)>,
    pub(super) line: u64,
}

/// What a batch adds to a principal.
#[derive(Debug)]
pub(super) struct PrincipalDelta {
    pub(super) principal: Principal,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) sessions: u64,
    pub(super) line: u64,
}

/// A line that an approval is in.
#[derive(Debug)]
pub(super) struct ApprovalLine {
    pub(super) approval: ApprovalId,
    pub(super) line: u64,
    pub(super) session: Option<SessionId>,
    /// 0 where the line names none.
    pub(super) request: u64,
}

#[derive(Debug, Default)]
pub(super) struct Folded {
    pub(super) sessions: BTreeMap<SessionId, SessionDelta>,
    pub(super) principals: BTreeMap<String, PrincipalDelta>,
    pub(super) approvals: Vec<ApprovalLine>,
    /// Requests that were answered, each with its line.
    pub(super) completed: BTreeMap<SessionId, Vec<(u64, RequestId)>>,
}

impl Folded {
    pub(super) fn of(entries: &[(u64, AuditEvent)]) -> Self {
        let mut folded = Self::default();
        for (line, event) in entries {
            folded.take(*line, event);
        }
        folded
    }

    fn take(&mut self, line: u64, event: &AuditEvent) {
        if let Some((approval, part)) = event.kind.of_approval() {
            let request = match part {
                ApprovalPart::Request { request, .. } | ApprovalPart::Asked { request, .. } => request.0,
                ApprovalPart::Decided { .. } | ApprovalPart::Escalated { .. } | ApprovalPart::Ended { .. } => 0,
            };
            self.approvals.push(ApprovalLine { approval, line, session: event.session, request });
        }
        let Some(id) = event.session else { return };
        if let AuditKind::Completed { request, .. } = &event.kind {
            self.completed.entry(id).or_default().push((line, *request));
        }
        let delta = self.sessions.entry(id).or_insert_with(|| SessionDelta::new(event.time));
        delta.line = line;
        match event.kind.of_session() {
            SessionPart::Opened { connection, client } => {
                delta.connection = connection.to_string();
                delta.client = client.to_owned();
                delta.started = event.time;
            }
            SessionPart::Caller(principal) => {
                // As it is shown: whoever looks for a person finds what agents did for them.
                delta.principal.get_or_insert_with(|| principal.to_string());
                for party in std::iter::once(principal).chain(principal.person()) {
                    self.seen(party, event.time, line);
                }
            }
            SessionPart::Request { outcome, facts, .. } => {
                delta.requests += 1;
                delta.refused += u64::from(outcome == AuditOutcome::Refuse);
                delta.held += u64::from(outcome == AuditOutcome::Hold);
                let command = short(&facts.command);
                for a in &facts.accesses {
                    let resource = short(&a.resource.to_string());
                    delta.accesses.insert((outcome, command.clone(), a.action.as_str(), resource));
                }
            }
            SessionPart::Ended { reason } => delta.ended = Some((event.time, reason.to_owned())),
            SessionPart::Other => {}
        }
    }
}

impl Folded {
    fn seen(&mut self, who: &Principal, time: Timestamp, line: u64) {
        let known = self.principals.entry(who.id()).or_insert_with(|| PrincipalDelta {
            principal: who.clone(),
            first: time,
            last: time,
            sessions: 0,
            line,
        });
        known.principal = who.clone();
        known.last = known.last.max(time);
        known.sessions += 1;
        known.line = line;
    }
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

impl SessionDelta {
    const fn new(started: Timestamp) -> Self {
        Self {
            connection: String::new(),
            client: String::new(),
            principal: None,
            started,
            ended: None,
            requests: 0,
            refused: 0,
            held: 0,
            accesses: BTreeSet::new(),
            line: 0,
        }
    }
}
