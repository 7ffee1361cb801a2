//! Why a request is decided as it is.
use crate::Engine;
use doorward_enforce::{Circumstances, DecisionPoint as _, PolicyInfo, SessionDecisions, Subject, Verdict};
use doorward_model::{Access, Action, Facts, Timestamp};
use serde::Serialize;
use std::{fmt, sync::Arc};

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: Option<String>,
}

/// What a policy asks for before it lets a request through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalNeeded {
    /// The policy.
    pub policy: String,
    /// A member of any of these groups may decide.
    pub approvers: Vec<String>,
    /// How many different people.
    pub quorum: u32,
    /// How long the request waits, in seconds.
    pub expires_seconds: u64,
}

/// The decision on one access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Whom it is asked about, where an agent acts for a person and both are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What is asked, on what.
    pub access: Access,
    /// Allowed as it is.
    pub allowed: bool,
    /// Allowed if it were approved.
    pub allowed_if_approved: bool,
    /// The policies that decided: permits where allowed, forbids where denied, none where denied by
    /// default; where an approval would let it through by a permit, that permit.
    pub policies: Vec<Deciding>,
    /// For an access that needs an approval: from whom.
    pub approvals: Vec<ApprovalNeeded>,
    /// An error in evaluating a policy.
    pub error: Option<String>,
}

/// The decision on a request, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `forward`, `hold` or `refuse`. What may not be revealed is masked and refuses nothing.
    pub outcome: &'static str,
    /// The policies in force.
    pub policy_version: String,
    /// The command.
    pub command: String,
    /// Each access.
    pub steps: Vec<Step>,
}

/// Explains how a request would be decided now.
pub fn explain(engine: &Engine, subject: &Arc<Subject>, facts: &Facts, now: Timestamp) -> Explanation {
    let mut steps: Vec<Step> = Vec::new();
    let mut policy_version = String::new();
    for party in subject.parties() {
        let mut session = engine.open(subject, *party);
        policy_version = session.policy_version().to_string();
        let about = subject.principal.person().and_then(|_| subject.party(*party)).map(doorward_model::Principal::id);
        steps.extend(facts.accesses.iter().map(|a| {
            let step = step(session.as_mut(), a, facts, now);
            Step { principal: about.clone(), ..step }
        }));
    }
    Explanation { outcome: outcome(&steps), policy_version, command: facts.command.to_string(), steps }
}

fn outcome(steps: &[Step]) -> &'static str {
    let decided = || steps.iter().filter(|s| s.access.action != Action::Reveal);
    if steps.is_empty() || decided().any(|s| s.error.is_some()) {
        "refuse"
    } else if decided().all(|s| s.allowed) {
        "forward"
    } else if decided().all(|s| s.allowed_if_approved && s.approvals.iter().all(|a| !a.approvers.is_empty())) {
        "hold"
    } else {
        "refuse"
    }
}

fn step(session: &mut dyn SessionDecisions, access: &Access, facts: &Facts, now: Timestamp) -> Step {
    let mut ask = |approved| {
        let circumstances =
            Circumstances { now, command: &facts.command, statements: facts.statements, approved, approvers: &[] };
        session.decide(access, &circumstances)
    };
    let (before, after): (Verdict, Verdict) = (ask(false), ask(true));
    // As the enforcement point says it: what forbids even with an approval; else what stepped back or in.
    let never = !before.allowed && !after.allowed && !after.policies.is_empty();
    let shown = if never || (before.policies.is_empty() && !before.allowed) { &after } else { &before };
    let waits = !before.allowed && after.allowed;
    Step {
        principal: None,
        access: access.clone(),
        allowed: before.allowed,
        allowed_if_approved: after.allowed,
        policies: shown.policies.iter().map(|p| Deciding { id: p.id.clone(), reason: p.reason.clone() }).collect(),
        approvals: if waits { shown.policies.iter().map(|p| needed(p)).collect() } else { Vec::new() },
        error: before.error.or(after.error),
    }
}

fn needed(p: &PolicyInfo) -> ApprovalNeeded {
    ApprovalNeeded {
        policy: p.id.clone(),
        approvers: p.approvers.clone(),
        quorum: p.quorum,
        expires_seconds: p.expires.as_secs(),
    }
}

impl fmt::Display for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} ({reason})", self.id),
            None => f.write_str(&self.id),
        }
    }
}

impl fmt::Display for ApprovalNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quorum, groups, policy) = (self.quorum, self.approvers.join(" or "), &self.policy);
        write!(f, "`{policy}` asks for {quorum} of {groups} within {} s", self.expires_seconds)
    }
}

impl Step {
    /// How it came out, in words.
    pub const fn verdict(&self) -> &'static str {
        match (self.access.action, self.allowed, self.allowed_if_approved) {
            (Action::Reveal, true, _) => "clear",
            (Action::Reveal, false, _) => "masked",
            (_, true, true) => "allowed",
            (_, true, false) => "allowed, but not if approved",
            (_, false, true) => "needs an approval",
            (_, false, false) => "denied",
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} (policy version {})", self.command, self.outcome, self.policy_version)?;
        for s in &self.steps {
            let named: Vec<String> = s.policies.iter().map(ToString::to_string).collect();
            let by =
                if named.is_empty() { "no policy allows it".to_owned() } else { format!("by {}", named.join(", ")) };
            let about = s.principal.as_ref().map_or_else(String::new, |who| format!("{who}: "));
            writeln!(f, "  {:<18} {about}{}: {by}", s.verdict(), s.access)?;
            for approval in &s.approvals {
                writeln!(f, "{:21}{approval}", "")?;
            }
            if let Some(error) = &s.error {
                writeln!(f, "{:21}error: {error}", "")?;
            }
        }
        Ok(())
    }
}
