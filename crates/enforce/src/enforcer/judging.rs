//! What the policies say of a request: allowed, refused, or for people to decide.
use super::{Enforcer, MaskRule, REMEMBERED, parties::Decisions, tags::mask_of};
use crate::{
    ApprovalRequest, Approver, Circumstances, Party, PolicyInfo, Requirement, Verdict,
    refusals::{self, Refusal, expired, forbidden, not_understood, policy_error, suspended},
    unmet_requirement,
};
use doorward_model::{Access, Facts, Operator, Resource, Timestamp};
use std::{sync::Arc, time::Duration};

#[derive(Clone, Debug)]
pub(super) enum Judgement {
    Allow { policies: Arc<[String]> },
    Hold { policies: Arc<[String]>, requirements: Vec<Requirement>, expires: Duration },
    Refuse { policies: Arc<[String]>, refusal: Refusal },
}

impl Enforcer {
    /// Takes up changed policies: nothing remembered under the old ones counts any more.
    pub(super) fn refresh(&mut self) {
        if !self.decisions.are_of(self.parts.pdp.generation()) {
            self.decisions = Decisions::open(&*self.parts.pdp, &self.parts.subject);
            self.policy_version = self.decisions.policy_version();
            self.remembered.clear();
            self.reveals.clear();
        }
    }

    pub(super) fn judge(&mut self, facts: &Arc<Facts>, now: Timestamp) -> Judgement {
        if let Some(reason) = &self.suspended {
            return Judgement::Refuse { policies: Arc::from([]), refusal: suspended(reason) };
        }
        self.judge_by_policy(facts, now)
    }

    pub(super) fn judge_by_policy(&mut self, facts: &Arc<Facts>, now: Timestamp) -> Judgement {
        self.refresh();
        if let Some(judgement) = self.remembered.get(facts) {
            return judgement.clone();
        }
        let (judgement, lasting) = self.evaluate(facts, now);
        if lasting {
            if self.remembered.len() >= REMEMBERED {
                self.remembered.clear();
            }
            self.remembered.insert(Arc::clone(facts), judgement.clone());
        }
        judgement
    }

    /// design.md §3: without approval first; if that denies, once more as if approved.
    fn evaluate(&mut self, facts: &Arc<Facts>, now: Timestamp) -> (Judgement, bool) {
        if facts.accesses.is_empty() {
            return (refuse(Vec::new(), not_understood("a request that asks for nothing known")), false);
        }
        // Each access of each party: what one of them may not do is not done, and what one of them needs an approval for
        // needs it.
        let asked = self.asked(facts);
        let mut plain = Vec::with_capacity(asked.len());
        for one in asked {
            plain.push((one, self.verdict(one, facts, false, &[], now)));
        }
        let mut lasting = plain.iter().all(|(_, v)| v.lasting);
        if let Some((one, v)) = plain.iter().find(|(_, v)| v.error.is_some()) {
            return (refuse(ids(&v.policies), policy_error(facts, one.1, &self.whom(*one), v)), false);
        }
        if plain.iter().all(|(_, v)| v.allowed) {
            let policies = plain.iter().flat_map(|(_, v)| ids(&v.policies)).collect();
            return (Judgement::Allow { policies: unique(policies) }, lasting);
        }
        let mut flipped: Vec<Arc<PolicyInfo>> = Vec::new();
        let denied: Vec<_> = plain.iter().filter(|(_, v)| !v.allowed).collect();
        for (one, before) in &denied {
            let after = self.verdict(*one, facts, true, &[], now);
            lasting &= after.lasting;
            if after.error.is_some() || !after.allowed {
                let shown = if after.policies.is_empty() { before } else { &after };
                return (refuse(ids(&shown.policies), forbidden(facts, one.1, &self.whom(*one), shown)), lasting);
            }
            // Denied by forbids: those that stepped back. Denied by default: the permits that stepped in.
            let deciding = if before.policies.is_empty() { &after.policies } else { &before.policies };
            flipped.extend(deciding.iter().cloned());
        }
        // What is allowed without an approval may be forbidden by one; the whole must stand approved.
        for (one, _) in plain.iter().filter(|(_, v)| v.allowed) {
            let after = self.verdict(*one, facts, true, &[], now);
            lasting &= after.lasting;
            if after.error.is_some() || !after.allowed {
                return (refuse(ids(&after.policies), forbidden(facts, one.1, &self.whom(*one), &after)), lasting);
            }
        }
        (hold_for(&flipped), lasting)
    }

    pub(super) fn judge_approved(
        &mut self,
        facts: &Arc<Facts>,
        approval: &ApprovalRequest,
        by: &[Approver],
        now: Timestamp,
    ) -> Result<Arc<[String]>, Refusal> {
        if let Some(reason) = &self.suspended {
            return Err(suspended(reason));
        }
        if now >= approval.expires {
            return Err(expired(approval));
        }
        self.judge_with(facts, by, now)
    }

    pub(super) fn judge_with(
        &mut self,
        facts: &Arc<Facts>,
        by: &[Approver],
        now: Timestamp,
    ) -> Result<Arc<[String]>, Refusal> {
        self.still_welcome(now)?;
        // INVARIANT: nobody approves what they ask for, nor what an agent asks for in their name or after them.
        let own = self.parts.subject.principal.chain();
        let others: Vec<Approver> = by.iter().filter(|a| !own.contains(&a.id)).cloned().collect();
        // The policies of this moment say what has to be met, not those of the moment it was asked.
        let requirements = match self.evaluate(facts, now).0 {
            Judgement::Allow { policies } => return Ok(policies),
            Judgement::Hold { requirements, .. } => requirements,
            Judgement::Refuse { refusal, .. } => return Err(refusal),
        };
        if let Some(unmet) = unmet_requirement(&requirements, &others) {
            return Err(refusals::not_by_all(facts, &unmet.policy));
        }
        let mut policies = Vec::new();
        for one in self.asked(facts) {
            let v = self.verdict(one, facts, true, &others, now);
            if v.error.is_some() || !v.allowed {
                return Err(forbidden(facts, one.1, &self.whom(one), &v));
            }
            policies.extend(ids(&v.policies));
        }
        policies.extend(requirements.into_iter().map(|r| r.policy));
        Ok(unique(policies))
    }

    /// Everything that has to be allowed.
    fn asked<'f>(&self, facts: &'f Facts) -> Vec<(Party, &'f Access)> {
        let parties = self.parts.subject.parties();
        parties.iter().flat_map(|party| facts.accesses.iter().map(move |access| (*party, access))).collect()
    }

    /// Of whom a refusal is, in words.
    fn whom(&self, (party, _): (Party, &Access)) -> String {
        self.parts.subject.whom(party)
    }

    pub(super) fn verdict(
        &mut self,
        (party, access): (Party, &Access),
        facts: &Facts,
        approved: bool,
        approvers: &[Approver],
        now: Timestamp,
    ) -> Verdict {
        let circumstances =
            Circumstances { now, command: &facts.command, statements: facts.statements, approved, approvers };
        let verdict = self.decisions.decide(party, access, &circumstances);
        self.passing = self.passing.wrapping_add(u64::from(!verdict.lasting));
        verdict
    }

    pub(super) fn mask_rule(&self, resource: &Resource, verdict: &Verdict) -> MaskRule {
        let tags = self.decisions.tags(resource);
        let from_policy = verdict.policies.iter().find_map(|p| p.mask.clone());
        let named = || tags.iter().rfind(|t| !t.starts_with("mask:") && *t != "pii").cloned();
        let label = if let Resource::DataType { data_type } = resource {
            data_type.as_str().to_owned()
        } else {
            named().unwrap_or_else(|| "masked".into())
        };
        let by_default = verdict.policies.is_empty() && verdict.error.is_none();
        MaskRule { operator: from_policy.or_else(|| mask_of(&tags)).unwrap_or(Operator::Redact), label, by_default }
    }
}

fn ids(policies: &[Arc<PolicyInfo>]) -> Vec<String> {
    policies.iter().map(|p| p.id.clone()).collect()
}

fn unique(mut policies: Vec<String>) -> Arc<[String]> {
    policies.sort();
    policies.dedup();
    policies.into()
}

fn refuse(policies: Vec<String>, refusal: Refusal) -> Judgement {
    Judgement::Refuse { policies: unique(policies), refusal }
}

fn hold_for(flipped: &[Arc<PolicyInfo>]) -> Judgement {
    let mut requirements: Vec<Requirement> = Vec::new();
    for p in flipped {
        if !requirements.iter().any(|r| r.policy == p.id) {
            requirements.push(Requirement {
                policy: p.id.clone(),
                reason: p.reason.clone(),
                groups: p.approvers.clone(),
                quorum: p.quorum.max(1),
                escalation: p.escalation.clone(),
                break_glass: p.break_glass.clone(),
            });
        }
    }
    let expires = flipped.iter().map(|p| p.expires).min().unwrap_or_default();
    let policies = unique(ids(flipped));
    if let Some(nobody) = requirements.iter().find(|r| r.groups.is_empty()) {
        return Judgement::Refuse { policies, refusal: refusals::nobody_may_approve(&nobody.policy) };
    }
    Judgement::Hold { policies, requirements, expires }
}
