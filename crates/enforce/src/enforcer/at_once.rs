//! Requests of callers who do not wait for people.
use super::{Enforcer, Held, Judgement, Request, bound_digest};
use crate::{
    ApprovalRequest, Parked, Permit, Refusal, Waiting,
    parked::{Bond, Found},
    permit::digest,
    refusals,
};
use doorward_model::{ApprovalId, AuditKind, AuditOutcome, Facts, Timestamp};
use std::sync::Arc;

/// What is done with a request whose caller does not wait for people.
#[derive(Debug)]
#[must_use]
pub enum AtOnce {
    /// These bytes may go.
    Forward {
        /// The proof.
        permit: Permit,
        /// The approval that was used up by it, where it needed one.
        approval: Option<ApprovalId>,
    },
    /// They may not yet: people are asked. The same request may be made again.
    Wait(Box<Waiting>),
    /// They may not.
    Refuse(Refusal),
}

impl Enforcer {
    /// Decides a request of a caller who does not wait for people, but asks again. `same` is what makes two requests
    /// the same, besides caller, connection and facts: the bytes, but for what names the run of a client, and what tells
    /// an object from another one of its name. An approval lets the next request through that is the same, whatever
    /// session it comes in; once.
    ///
    /// INVARIANT: it is judged by the policies of the moment, with those who approved it, and its audit entry comes first,
    /// as for any other.
    pub fn decide_at_once(
        &mut self,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        same: &[&[u8]],
        parked: &Parked,
        now: Timestamp,
    ) -> AtOnce {
        self.last_request = self.last_request.next();
        let bound = bound_digest(request.bound, request.payload);
        let forwarded = match self.judge(facts, now) {
            Judgement::Allow { policies } => self.allow(facts, request, &bound, policies, now),
            Judgement::Refuse { policies, refusal } => {
                let event = self.event(facts, request, &bound, AuditOutcome::Refuse, policies, now);
                Err(self.refused(event, refusal))
            }
            Judgement::Hold { policies, requirements, expires } => {
                let subject = &self.parts.subject;
                let all: Vec<&[u8]> =
                    std::iter::once(self.parts.place.as_bytes()).chain(same.iter().copied()).collect();
                let bond = Bond::new(&subject.principal, &subject.connection.name, facts, &all);
                let digest = bond.digest();
                let hold = (Arc::clone(&policies), requirements, expires);
                let found = parked.find(bond, now, |lapsed| {
                    if let Some(lapsed) = lapsed.filter(|l| l.is_unsaid) {
                        self.note(unused(lapsed.id), now)?;
                    }
                    let held = self.hold(facts, request, &bound, hold, now)?;
                    Ok(ApprovalRequest { digest, waits: false, ..held.approval })
                });
                return match found {
                    Ok(found) => self.found(found, facts, request, &bound, policies, now),
                    Err(refusal) => AtOnce::Refuse(refusal),
                };
            }
        };
        forwarded.map_or_else(AtOnce::Refuse, |permit| AtOnce::Forward { permit, approval: None })
    }

    fn found(
        &mut self,
        found: Found,
        facts: &Arc<Facts>,
        request: &Request<'_>,
        bound: &str,
        policies: Arc<[String]>,
        now: Timestamp,
    ) -> AtOnce {
        match found {
            Found::Waits(waiting) => {
                if !waiting.is_new {
                    let event = self.held_event(facts, request, bound, policies, waiting.approval.id, now);
                    if let Err(unavailable) = self.append(&event) {
                        return AtOnce::Refuse(unavailable);
                    }
                }
                AtOnce::Wait(Box::new(waiting))
            }
            Found::Ended(approval, verdict) => {
                let id = approval.id;
                let held = self.asked_again(&approval, facts, request, bound);
                match self.settle_held(held, verdict, now) {
                    Ok(permit) => AtOnce::Forward { permit, approval: Some(id) },
                    Err(refusal) => AtOnce::Refuse(refusal),
                }
            }
            Found::Full(why) => {
                let event = self.event(facts, request, bound, AuditOutcome::Refuse, policies, now);
                AtOnce::Refuse(self.refused(event, refusals::cannot_be_asked(facts, why)))
            }
        }
    }

    /// The request of this session, as if it had waited for the verdict that another one of the same asked for.
    fn asked_again(&self, asked: &ApprovalRequest, facts: &Arc<Facts>, request: &Request<'_>, bound: &str) -> Held {
        let approval = ApprovalRequest {
            session: self.parts.subject.session,
            request: self.last_request,
            digest: bound.to_owned(),
            ..asked.clone()
        };
        Held { approval, facts: Arc::clone(facts), payload: digest(request.payload), via: request.via }
    }
}

/// An approval was given, and nobody came to use it.
fn unused(approval: ApprovalId) -> AuditKind {
    AuditKind::ApprovalEnded { approval, reason: "approved, but not used in time".into() }
}
