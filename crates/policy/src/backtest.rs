//! What other policies would have done with requests that were.
use crate::{Engine, Loaded};
use doorward_enforce::{Circumstances, DecisionPoint as _, SessionDecisions, Subject, Verdict};
use doorward_model::{Access, Action, AuditOutcome, Facts, Timestamp};
use std::{collections::HashMap, fmt, sync::Arc};

/// Callers whose prepared decisions are kept.
const KEPT_CALLERS: usize = 1024;
/// Judgements that are kept: agents ask the same things over and over.
const KEPT_JUDGEMENTS: usize = 16 * 1024;

/// How a request would be decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Judged {
    /// Forward, hold or refuse.
    pub outcome: AuditOutcome,
    /// The policies that decide so: those that forbid or ask for an approval, or the permits. None where nothing permits it.
    pub policies: Vec<String>,
}

/// A set of policies that judges requests of the past. What may be revealed is no part of it: a mask refuses nothing.
pub struct Judge {
    engine: Engine,
    /// By everything that a decision can depend on but the request: who, on what, from where.
    callers: HashMap<String, Vec<Box<dyn SessionDecisions>>>,
    known: HashMap<(String, Facts), Judged>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({:?})", self.engine.loaded())
    }
}

impl Judge {
    /// A judge by these policies.
    pub fn new(loaded: Loaded) -> Self {
        Self { engine: Engine::new(loaded), callers: HashMap::new(), known: HashMap::new() }
    }

    /// Judges a request as if it were asked at `now`, without an approval.
    pub fn judge(&mut self, subject: &Arc<Subject>, facts: &Facts, now: Timestamp) -> Judged {
        let key = (caller(subject), facts.clone());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.callers.len() >= KEPT_CALLERS {
            self.callers.clear();
        }
        let open = || subject.parties().iter().map(|party| self.engine.open(subject, *party)).collect();
        let each = self.callers.entry(key.0.clone()).or_insert_with(open);
        let (judged, lasts) = judge(each, facts, now);
        if lasts {
            if self.known.len() >= KEPT_JUDGEMENTS {
                self.known.clear();
            }
            self.known.insert(key, judged.clone());
        }
        judged
    }
}

fn caller(s: &Subject) -> String {
    let who: Vec<_> = s.parties().iter().filter_map(|party| s.party(*party)).collect();
    let who: Vec<_> = who.iter().map(|p| (p.kind, &p.issuer, &p.subject, &p.groups, &p.tags)).collect();
    format!("{who:?} {:?} {} {}", s.connection, s.client_ip, s.tls)
}

/// As the enforcement point does: every access but `reveal` has to be allowed to each of those who stand behind it, or all of
/// them once it is approved.
fn judge(each: &mut [Box<dyn SessionDecisions>], facts: &Facts, now: Timestamp) -> (Judged, bool) {
    let mut ask = |approved| -> Vec<Verdict> {
        let c = Circumstances { now, command: &facts.command, statements: facts.statements, approved, approvers: &[] };
        let counts = || facts.accesses.iter().filter(|a: &&Access| a.action != Action::Reveal);
        each.iter_mut().flat_map(|session| counts().map(|a| session.decide(a, &c)).collect::<Vec<_>>()).collect()
    };
    let plain = ask(false);
    let lasts = plain.iter().all(|v| v.lasting);
    let denied = |v: &&Verdict| !v.allowed || v.error.is_some();
    if facts.accesses.is_empty() || plain.iter().any(|v| v.error.is_some()) {
        return (judged(AuditOutcome::Refuse, plain.iter().filter(denied)), false);
    }
    if !plain.iter().any(|v| denied(&v)) {
        return (judged(AuditOutcome::Forward, plain.iter()), lasts);
    }
    let approved = ask(true);
    let lasts = lasts && approved.iter().all(|v| v.lasting && v.error.is_none());
    let never: Vec<&Verdict> = approved.iter().filter(denied).collect();
    if !never.is_empty() {
        // What forbids even with an approval; else what forbids without one.
        let named = judged(AuditOutcome::Refuse, never.into_iter());
        let or_plain = || judged(AuditOutcome::Refuse, plain.iter().filter(denied));
        return (if named.policies.is_empty() { or_plain() } else { named }, lasts);
    }
    // What stepped back, or in.
    let flipped = plain.iter().zip(&approved).filter(|(p, _)| !p.allowed);
    let flipped: Vec<&Verdict> = flipped.map(|(p, a)| if p.policies.is_empty() { a } else { p }).collect();
    let can_be_asked = flipped.iter().all(|v| v.policies.iter().all(|p| !p.approvers.is_empty()));
    let outcome = if can_be_asked { AuditOutcome::Hold } else { AuditOutcome::Refuse };
    (judged(outcome, flipped.into_iter()), lasts)
}

fn judged<'a>(outcome: AuditOutcome, by: impl Iterator<Item = &'a Verdict>) -> Judged {
    let mut policies: Vec<String> = by.flat_map(|v| &v.policies).map(|p| p.id.clone()).collect();
    policies.sort();
    policies.dedup();
    Judged { outcome, policies }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, explain};
    use doorward_model::{ConnectionInfo, ConnectionName, Principal, PrincipalKind, Resource, SessionId};

    fn loaded(text: &str) -> Loaded {
        crate::load(&[Source { name: "p".into(), text: text.into() }]).unwrap()
    }

    fn subject() -> Arc<Subject> {
        Arc::new(Subject {
            session: SessionId::from_uuid(uuid::Uuid::from_u128(1)),
            principal: Principal {
                kind: PrincipalKind::Agent,
                issuer: "ci".into(),
                subject: "bot".into(),
                groups: ["agents".to_owned()].into(),
                tags: [].into(),
                token_id: None,
                expires_at: Timestamp::default(),
                on_behalf_of: None,
            },
            connection: ConnectionInfo {
                name: ConnectionName::new("orders"),
                kind: "postgres".into(),
                database: None,
                labels: [].into(),
                tags: [].into(),
            },
            client_ip: [127, 0, 0, 1].into(),
            tls: true,
        })
    }

    /// It judges as `explain` does, and as the clock of the request says.
    #[test]
    fn a_judge_says_what_an_explanation_says() {
        let texts = [
            "@id(\"all\") permit (principal, action, resource);",
            "@id(\"read\") permit (principal, action == Action::\"select\", resource);",
            "@id(\"all\") permit (principal, action, resource); @id(\"ask\") @approvers(\"dba\") forbid (principal, \
             action == Action::\"drop\", resource) unless { context.approved };",
            "@id(\"all\") permit (principal, action, resource); @id(\"night\") forbid (principal, action, resource) \
             when { context.hour < 8 };",
            "",
        ];
        let table = |name: &str| Resource::Table { schema: "public".into(), name: name.into() };
        let requests = [
            vec![Access::new(Action::Select, table("a"))],
            vec![Access::new(Action::Select, table("a")), Access::new(Action::Drop, table("b"))],
            vec![Access::new(Action::Opaque, Resource::Opaque { what: "x".into() })],
            vec![],
        ];
        for text in texts {
            let engine = Engine::new(loaded(text));
            let mut judge = Judge::new(loaded(text));
            for accesses in &requests {
                let facts = Facts::new("X", 1, accesses.clone());
                for hour in [3, 12, 3] {
                    let now = Timestamp::from_secs(1_772_409_600 + hour * 3600);
                    let outcome = match judge.judge(&subject(), &facts, now).outcome {
                        AuditOutcome::Forward => "forward",
                        AuditOutcome::Hold => "hold",
                        AuditOutcome::Refuse => "refuse",
                    };
                    assert_eq!(
                        outcome,
                        explain(&engine, &subject(), &facts, now).outcome,
                        "{text}\n{facts:?} at {hour}"
                    );
                }
            }
        }
    }
}
