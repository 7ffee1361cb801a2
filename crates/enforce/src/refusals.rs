//! Refusals, in words for the caller.
use crate::{ApprovalRequest, NotShown, Verdict};
use doorward_model::{Access, Facts};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A policy forbids it, or none allows it.
    Policy,
    /// A policy could not be evaluated.
    PolicyError,
    /// It was not understood, or breaks a limit.
    NotUnderstood,
    /// The audit log or the recording cannot be written.
    Unavailable,
    /// An approver said no.
    Denied,
    /// Nobody approved in time.
    Expired,
    /// The caller withdrew it.
    Withdrawn,
}

/// A refusal, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of refusal.
    pub kind: RefusalKind,
    /// What was refused, and by what.
    pub message: String,
    /// Which right was missing.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

/// `whom`: to which of two, as [`crate::Subject::whom`] says it.
pub(crate) fn forbidden(facts: &Facts, access: &Access, whom: &str, v: &Verdict) -> Refusal {
    let message = match v.policies.first() {
        Some(p) => match &p.reason {
            Some(reason) => format!("{} refused{whom} by policy `{}`: {reason}", facts.command, p.id),
            None => format!("{} refused{whom} by policy `{}`", facts.command, p.id),
        },
        None => format!("{} refused{whom}: no policy allows {access}", facts.command),
    };
    let hint = if v.policies.is_empty() {
        "ask for a policy that permits it; `doorward policy explain` shows how it was decided"
    } else {
        "`doorward policy explain` shows how it was decided"
    };
    Refusal {
        kind: RefusalKind::Policy,
        message,
        detail: Some(format!("it asks for {access}")),
        hint: Some(hint.into()),
    }
}

pub(crate) fn policy_error(facts: &Facts, access: &Access, whom: &str, v: &Verdict) -> Refusal {
    Refusal {
        kind: RefusalKind::PolicyError,
        message: format!("{} refused{whom}: a policy could not be evaluated", facts.command),
        detail: Some(format!("it asks for {access}: {}", v.error.as_deref().unwrap_or("unknown error"))),
        hint: Some("the author of the policy has to mend it; until then nothing it bears on is allowed".into()),
    }
}

pub(crate) fn not_understood(what: &str) -> Refusal {
    Refusal { kind: RefusalKind::NotUnderstood, message: format!("refused: {what}"), detail: None, hint: None }
}

pub(crate) fn suspended(reason: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Unavailable,
        message: format!("refused: {reason}"),
        detail: None,
        hint: Some("nothing was sent to the database; tell the operator of this gateway, then try again".into()),
    }
}

pub(crate) fn denied(approval: &ApprovalRequest, by: &str, comment: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Denied,
        message: format!("{} was denied by {by}", approval.facts.command),
        detail: (!comment.is_empty()).then(|| comment.to_owned()),
        hint: Some(format!("approval {}", approval.id)),
    }
}

pub(crate) fn expired(approval: &ApprovalRequest) -> Refusal {
    Refusal {
        kind: RefusalKind::Expired,
        message: format!("{} was not approved in time", approval.facts.command),
        detail: Some(format!("approval {} expired", approval.id)),
        hint: Some("send the statement again to ask for a new approval".into()),
    }
}

pub(crate) fn withdrawn(approval: &ApprovalRequest) -> Refusal {
    Refusal {
        kind: RefusalKind::Withdrawn,
        message: "canceling statement due to user request".into(),
        detail: Some(format!("approval {} was withdrawn", approval.id)),
        hint: None,
    }
}

pub(crate) fn nobody_may_approve(policy: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("refused by policy `{policy}`: it asks for an approval, but names nobody who may give it"),
        detail: None,
        hint: Some("add an @approvers annotation to the policy".into()),
    }
}

pub(crate) fn needs_approval_now(facts: &Facts, policies: &[String]) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{} needs an approval now, by policy `{}`", facts.command, policies.join("`, `")),
        detail: None,
        hint: Some("start it again to ask for the approval".into()),
    }
}

pub(crate) fn not_by_all(facts: &Facts, policy: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{} was approved, but not by all that policy `{policy}` asks for", facts.command),
        detail: None,
        hint: Some("send the statement again to ask for a new approval".into()),
    }
}

pub(crate) fn cannot_be_shown(facts: &Facts, why: &NotShown) -> Refusal {
    Refusal {
        kind: RefusalKind::NotUnderstood,
        message: format!("{} refused: it needs an approval, and cannot be shown whole: {}", facts.command, why.what),
        detail: None,
        hint: Some(why.next.to_owned()),
    }
}

pub(crate) fn cannot_be_asked(facts: &Facts, reason: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Unavailable,
        message: format!("{} needs an approval, which cannot be asked for: {reason}", facts.command),
        detail: None,
        hint: Some("tell the operator of this gateway, then try again".into()),
    }
}
