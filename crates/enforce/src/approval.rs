//! Held requests: what is asked of humans, and when it is enough.
use crate::Shown;
use doorward_model::{ApprovalId, ConnectionName, Facts, Principal, RequestId, SessionId, Timestamp};
use std::{fmt::Debug, sync::Arc, time::Duration};

/// Somebody who said yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// `issuer/subject`.
    pub id: String,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// How long it had waited when they said so.
    pub after: Duration,
    /// Whether they broke the glass: alone, in an emergency.
    pub broke_glass: bool,
}

impl Approver {
    /// Somebody who says yes at once, in the ordinary way.
    pub fn new(id: &str, groups: Vec<String>) -> Self {
        Self { id: id.to_owned(), groups, after: Duration::ZERO, broke_glass: false }
    }

    fn is_in(&self, groups: &[String]) -> bool {
        self.groups.iter().any(|g| groups.contains(g))
    }
}

/// Who else may decide where nobody has for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// A member of any of these, too.
    pub groups: Vec<String>,
    /// Once it has waited for so long.
    pub after: Duration,
}

/// What one policy asks for before it lets a request through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The policy.
    pub policy: String,
    /// Why, in the policy's words.
    pub reason: Option<String>,
    /// A member of any of these groups may decide. Empty: nobody can.
    pub groups: Vec<String>,
    /// How many different people.
    pub quorum: u32,
    /// Who else, later.
    pub escalation: Option<Escalation>,
    /// A member of any of these may let it through alone, in an emergency. Empty: nobody can.
    pub break_glass: Vec<String>,
}

impl Requirement {
    /// Whether this person may decide once it has waited for so long.
    pub fn asks(&self, groups: &std::collections::BTreeSet<String>, waited: Duration) -> bool {
        let is_in = |of: &[String]| of.iter().any(|g| groups.contains(g));
        is_in(&self.groups) || self.escalation.as_ref().is_some_and(|e| e.after <= waited && is_in(&e.groups))
    }

    fn counts(&self, person: &Approver) -> bool {
        let escalated = |e: &Escalation| e.after <= person.after && person.is_in(&e.groups);
        person.is_in(&self.groups) || self.escalation.as_ref().is_some_and(escalated)
    }

    fn is_broken_by(&self, person: &Approver) -> bool {
        person.broke_glass && person.is_in(&self.break_glass)
    }
}

/// Everything an approver sees, and what an approval is bound to.
#[derive(Clone, Debug)]
pub struct ApprovalRequest {
    /// Which approval.
    pub id: ApprovalId,
    /// The session that waits.
    pub session: SessionId,
    /// The request that waits.
    pub request: RequestId,
    /// Who asks.
    pub principal: Principal,
    /// On which connection.
    pub connection: ConnectionName,
    /// The statement, whole.
    pub statement: Arc<str>,
    /// What would run besides the statement, as an approver can read it.
    pub shown: Arc<Shown>,
    /// What it would do.
    pub facts: Arc<Facts>,
    /// SHA-256 of the bytes to be forwarded, in hexadecimal.
    pub digest: String,
    /// What has to be met.
    pub requirements: Vec<Requirement>,
    /// When it was asked.
    pub asked: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// Whether its caller waits: it ends with the caller then. One who does not wait asks again, also after a restart.
    pub waits: bool,
}

/// How a held request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalVerdict {
    /// Enough people said yes.
    Approved {
        /// Who.
        by: Vec<Approver>,
    },
    /// Somebody said no.
    Denied {
        /// Who.
        by: String,
        /// What they said.
        comment: String,
    },
    /// Nobody decided in time.
    Expired,
    /// The caller cancelled or went away.
    Withdrawn,
    /// The approval could not be asked for.
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Where held requests wait for people.
pub trait ApprovalDesk: Send + Sync + Debug {
    /// Asks. `answer` is called once, from any thread.
    fn submit(&self, request: ApprovalRequest, answer: Box<dyn FnOnce(ApprovalVerdict) + Send>);
    /// The caller no longer waits.
    fn withdraw(&self, id: ApprovalId, reason: &str);
    /// Where a person decides it.
    fn link(&self, id: ApprovalId) -> String;
}

/// The first requirement that these approvers do not meet.
///
/// Each approver counts for one requirement only, so that one person in two groups does not
/// satisfy both; the assignment that serves most is searched for (bipartite matching). Who breaks the glass meets alone whatever
/// lets their group do so.
pub fn unmet_requirement<'a>(requirements: &'a [Requirement], approvers: &[Approver]) -> Option<&'a Requirement> {
    // One seat per needed approver; `taken[a]` is the seat that approver `a` fills.
    let seats: Vec<&Requirement> = requirements
        .iter()
        .filter(|r| !approvers.iter().any(|a| r.is_broken_by(a)))
        .flat_map(|r| std::iter::repeat_n(r, usize::try_from(r.quorum.clamp(1, 64)).unwrap_or(1)))
        .collect();
    let mut people: Vec<&Approver> = Vec::new();
    // Who breaks the glass has said nothing else.
    for a in approvers.iter().filter(|a| !a.broke_glass) {
        if !people.iter().any(|p| p.id == a.id) {
            people.push(a);
        }
    }
    let mut taken: Vec<Option<usize>> = vec![None; people.len()];
    for (seat, requirement) in seats.iter().enumerate() {
        let mut seen = vec![false; people.len()];
        if !fill(seat, &seats, &people, &mut taken, &mut seen) {
            return Some(requirement);
        }
    }
    None
}

fn fill(
    seat: usize,
    seats: &[&Requirement],
    people: &[&Approver],
    taken: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    let Some(requirement) = seats.get(seat) else { return false };
    for (i, person) in people.iter().enumerate() {
        let may = requirement.counts(person);
        let Some(s) = seen.get_mut(i) else { continue };
        if !may || *s {
            continue;
        }
        *s = true;
        let current = taken.get(i).copied().flatten();
        if current.is_none_or(|other| fill(other, seats, people, taken, seen)) {
            if let Some(t) = taken.get_mut(i) {
                *t = Some(seat);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(policy: &str, groups: &[&str], quorum: u32) -> Requirement {
        Requirement {
            policy: policy.into(),
            reason: None,
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            quorum,
            escalation: None,
            break_glass: Vec::new(),
        }
    }
    fn who(id: &str, groups: &[&str]) -> Approver {
        Approver::new(id, groups.iter().map(|g| (*g).to_owned()).collect())
    }

    #[test]
    fn one_person_fills_one_seat() {
        let both = [need("a", &["sre"], 1), need("b", &["dba"], 1)];
        let anna = who("anna", &["sre", "dba"]);
        assert_eq!(unmet_requirement(&both, std::slice::from_ref(&anna)).unwrap().policy, "b");
        assert!(unmet_requirement(&both, &[anna.clone(), anna.clone()]).is_some(), "twice is still one person");
        assert!(
            unmet_requirement(&both, &[anna, who("ben", &["sre"])]).is_none(),
            "anna moves to the seat ben cannot fill"
        );
    }

    #[test]
    fn who_is_asked_later_counts_from_then_on() {
        let escalation = Some(Escalation { groups: vec!["leads".into()], after: Duration::from_secs(60) });
        let one = [Requirement { escalation, ..need("a", &["sre"], 1) }];
        let lead = |seconds| Approver { after: Duration::from_secs(seconds), ..who("lea", &["leads"]) };
        assert!(unmet_requirement(&one, &[lead(59)]).is_some());
        assert!(unmet_requirement(&one, &[lead(60)]).is_none());
        let groups = ["leads".to_owned()].into();
        assert!(!one[0].asks(&groups, Duration::from_secs(59)) && one[0].asks(&groups, Duration::from_secs(60)));
    }

    #[test]
    fn who_breaks_the_glass_meets_what_lets_them_and_no_more() {
        let glass = |policy: &str, groups: &[&str]| Requirement {
            break_glass: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..need(policy, &["sre"], 2)
        };
        let anna = Approver { broke_glass: true, ..who("anna", &["oncall"]) };
        assert!(unmet_requirement(&[glass("a", &["oncall"])], std::slice::from_ref(&anna)).is_none());
        assert!(
            unmet_requirement(&[glass("a", &["oncall"])], &[who("anna", &["oncall"])]).is_some(),
            "she has to say so"
        );
        let both = [glass("a", &["oncall"]), glass("b", &[])];
        assert_eq!(unmet_requirement(&both, &[anna]).unwrap().policy, "b");
    }

    #[test]
    fn quorum_counts_people_and_no_groups_means_nobody() {
        let two = [need("a", &["sre"], 2)];
        assert!(unmet_requirement(&two, &[who("a", &["sre"])]).is_some());
        assert!(unmet_requirement(&two, &[who("a", &["sre"]), who("b", &["sre"])]).is_none());
        assert!(unmet_requirement(&[need("a", &[], 1)], &[who("a", &["sre"])]).is_some());
        assert!(unmet_requirement(&[need("a", &["sre"], 0)], &[]).is_some(), "quorum 0 still needs one");
    }
}
