//! Decisions about all those who stand behind a session: the caller, and the person that it acts for.
use super::MaskRule;
use crate::{Circumstances, DecisionPoint, Detail, Party, SessionDecisions, Subject, Verdict};
use doorward_model::{Access, Action, Resource};
use std::sync::Arc;

/// The decisions about each of them. What they remember is each one's own.
#[derive(Debug)]
pub(super) struct Decisions {
    caller: Box<dyn SessionDecisions>,
    person: Option<Box<dyn SessionDecisions>>,
}

impl Decisions {
    pub(super) fn open(pdp: &dyn DecisionPoint, subject: &Arc<Subject>) -> Self {
        let person = subject.parties().contains(&Party::Person).then(|| pdp.open(subject, Party::Person));
        Self { caller: pdp.open(subject, Party::Caller), person }
    }

    /// Whether all of them come from this generation of policies. Where the policies change while they are opened they do
    /// not, and are opened anew for the next request.
    pub(super) fn are_of(&self, generation: u64) -> bool {
        self.each().all(|d| d.generation() == generation)
    }

    pub(super) fn policy_version(&self) -> Arc<str> {
        self.caller.policy_version()
    }

    pub(super) fn decide(&mut self, party: Party, access: &Access, c: &Circumstances<'_>) -> Verdict {
        match (party, &mut self.person) {
            (Party::Caller, _) => self.caller.decide(access, c),
            (Party::Person, Some(person)) => person.decide(access, c),
            // Nobody asks: there is no such party. It would be allowed nothing.
            (Party::Person, None) => Verdict { allowed: false, policies: Vec::new(), error: None, lasting: false },
        }
    }

    /// As closely as the policies look that look most closely.
    pub(super) fn detail(&mut self, action: Action, entity_type: &'static str) -> Detail {
        let person = self.person.as_mut().map(|d| d.detail(action, entity_type));
        self.caller.detail(action, entity_type).max(person.unwrap_or_default())
    }

    /// They are the connection's.
    pub(super) fn tags(&self, resource: &Resource) -> Vec<String> {
        self.caller.tags(resource)
    }

    fn each(&self) -> impl Iterator<Item = &dyn SessionDecisions> {
        std::iter::once(&*self.caller).chain(self.person.as_deref())
    }
}

impl MaskRule {
    /// What shows no more than either of the two would.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            operator: self.operator.stricter(&other.operator),
            label: self.label,
            by_default: self.by_default && other.by_default,
        }
    }
}
