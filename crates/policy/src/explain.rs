//! Why a request is decided as it is.
use crate::Engine;
use doorward_enforce::{Circumstances, DecisionPoint as _, PolicyInfo, SessionDecisions, Subject, Verdict};
use doorward_model::{Access, Facts, Timestamp};
use serde::Serialize;
use std::{fmt, sync::Arc};

/// The decision on one access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is asked, on what.
    pub access: Access,
    /// Allowed as it is.
    pub allowed: bool,
    /// Allowed if it were approved.
    pub allowed_if_approved: bool,
    /// The policies that decided, with their reasons.
    pub policies: Vec<String>,
    /// An error in evaluating a policy.
    pub error: Option<String>,
}

/// The decision on a request, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `forward`, `hold` or `refuse`.
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
    let mut session = engine.open(subject);
    let steps: Vec<Step> = facts.accesses.iter().map(|a| step(session.as_mut(), a, facts, now)).collect();
    let outcome = if steps.is_empty() || steps.iter().any(|s| s.error.is_some() || !s.allowed_if_approved) {
        "refuse"
    } else if steps.iter().all(|s| s.allowed) {
        "forward"
    } else {
        "hold"
    };
    Explanation {
        outcome,
        policy_version: session.policy_version().to_string(),
        command: facts.command.to_string(),
        steps,
    }
}

fn step(session: &mut dyn SessionDecisions, access: &Access, facts: &Facts, now: Timestamp) -> Step {
    let mut ask = |approved| {
        let circumstances =
            Circumstances { now, command: &facts.command, statements: facts.statements, approved, approvers: &[] };
        session.decide(access, &circumstances)
    };
    let (before, after): (Verdict, Verdict) = (ask(false), ask(true));
    let shown = if before.policies.is_empty() && !before.allowed { &after } else { &before };
    Step {
        access: access.clone(),
        allowed: before.allowed,
        allowed_if_approved: after.allowed,
        policies: shown.policies.iter().map(|p| named(p)).collect(),
        error: before.error.or(after.error),
    }
}

fn named(p: &PolicyInfo) -> String {
    match &p.reason {
        Some(reason) => format!("{} ({reason})", p.id),
        None => p.id.clone(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} (policy version {})", self.command, self.outcome, self.policy_version)?;
        for s in &self.steps {
            let verdict = match (s.allowed, s.allowed_if_approved) {
                (true, true) => "allowed",
                (true, false) => "allowed, but not if approved",
                (false, true) => "needs an approval",
                (false, false) => "denied",
            };
            let by = if s.policies.is_empty() { "no policy".to_owned() } else { s.policies.join(", ") };
            writeln!(f, "  {:<18} {} — by {by}", verdict, s.access)?;
            if let Some(error) = &s.error {
                writeln!(f, "                     error: {error}")?;
            }
        }
        Ok(())
    }
}
