//! Requests in which the protocol itself may have found a reason to refuse them, and texts that could not be read.
use super::{Enforcer, Outcome, Request, nothing_else};
use crate::{Permit, Refusal, RefusalKind};
use doorward_model::{Access, Action, Facts, Resource, Timestamp};
use std::sync::Arc;

impl Enforcer {
    /// As [`Self::decide`], unless the protocol itself has found a reason to refuse it.
    pub fn decide_if(
        &mut self,
        admissible: Result<(), Refusal>,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Outcome {
        match admissible {
            Ok(()) => self.decide(facts, request, now),
            Err(refusal) => Outcome::Refuse(self.refuse(facts, request, refusal, now)),
        }
    }

    /// As [`Self::prepare`], unless the protocol itself has found a reason to refuse it.
    ///
    /// # Errors
    /// The refusal.
    pub fn prepare_if(
        &mut self,
        admissible: Result<(), Refusal>,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Permit, Refusal> {
        match admissible {
            Ok(()) => self.prepare(facts, request, now),
            Err(refusal) => Err(self.refuse(facts, request, refusal, now)),
        }
    }

    /// Writes down that a text was refused because it could not be read.
    pub fn refuse_unread(&mut self, via: &'static str, text: &[u8], why: &str, now: Timestamp) {
        let opaque = Access::new(Action::Opaque, Resource::Opaque { what: why.into() });
        let facts = Arc::new(Facts::new("unread", 1, vec![opaque]));
        let statement: Arc<str> = String::from_utf8_lossy(text).into();
        let request = Request { via, statement: &statement, shown: &nothing_else, bound: &[], payload: text };
        let refusal = Refusal { kind: RefusalKind::NotUnderstood, message: why.to_owned(), detail: None, hint: None };
        // It is refused either way; a log that cannot take this has refused everything else too.
        let _written = self.refuse(&facts, &request, refusal, now);
    }
}
