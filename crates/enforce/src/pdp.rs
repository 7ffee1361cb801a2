//! What the enforcement point asks of a decision point.
use crate::{Approver, Escalation};
use doorward_model::{Access, ConnectionInfo, Name, Operator, Principal, SessionId, Timestamp};
use std::{fmt::Debug, net::IpAddr, sync::Arc, time::Duration};

/// Who asks, through what: fixed for the length of a session.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The session.
    pub session: SessionId,
    /// The caller.
    pub principal: Principal,
    /// The connection, with the database the session is on.
    pub connection: ConnectionInfo,
    /// Where the caller's connection comes from.
    pub client_ip: IpAddr,
    /// Whether the caller's connection is encrypted.
    pub tls: bool,
}

/// Whom a decision is about: of an agent that acts for a person, each of the two has to be allowed what the agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who calls.
    Caller,
    /// The person that the caller acts for.
    Person,
}

impl Subject {
    /// Everybody that decisions have to be asked about.
    pub const fn parties(&self) -> &'static [Party] {
        if self.principal.on_behalf_of.is_some() { &[Party::Caller, Party::Person] } else { &[Party::Caller] }
    }

    /// Who that is. None for the person of a caller who acts for nobody.
    pub fn party(&self, party: Party) -> Option<&Principal> {
        match party {
            Party::Caller => Some(&self.principal),
            Party::Person => self.principal.person(),
        }
    }

    /// Which of the two, in words that follow on "refused"; nothing where there is but one.
    pub(crate) fn whom(&self, party: Party) -> String {
        let Some(person) = self.principal.person() else { return String::new() };
        let (agent, person) = (self.principal.id(), person.id());
        match party {
            Party::Caller => format!(" to `{agent}` (which acts for `{person}`)"),
            Party::Person => format!(" to `{person}` (for whom `{agent}` acts)"),
        }
    }
}

/// What a decision may depend on besides subject and access.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The time.
    pub now: Timestamp,
    /// The command, as in [`doorward_model::Facts::command`].
    pub command: &'a Name,
    /// How many statements the request holds.
    pub statements: u32,
    /// Whether the request counts as approved.
    pub approved: bool,
    /// Who approved it; empty when it is asked what an approval would change.
    pub approvers: &'a [Approver],
}

/// What is known of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`: shown to the caller.
    pub reason: Option<String>,
    /// Its `@approvers`: a member of any of these groups may decide.
    pub approvers: Vec<String>,
    /// Its `@quorum`: how many different approvers it needs; at least 1.
    pub quorum: u32,
    /// Its `@expires`: how long a held request waits.
    pub expires: Duration,
    /// Its `@escalate`: who else may decide after a while.
    pub escalation: Option<Escalation>,
    /// Its `@break_glass`: who may let it through alone in an emergency.
    pub break_glass: Vec<String>,
    /// Its `@mask`: what replaces a value it hides.
    pub mask: Option<Operator>,
}

/// A decision on one access.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Allowed or not.
    pub allowed: bool,
    /// The policies that decided: permits where allowed, forbids where denied by one, none where
    /// denied by default.
    pub policies: Vec<Arc<PolicyInfo>>,
    /// An error in evaluating any policy: the request must be refused.
    pub error: Option<String>,
    /// Whether the same access gets the same verdict until the policies change: true only where
    /// no policy that could bear on it reads the clock or another changing attribute.
    pub lasting: bool,
}

/// How closely policies look at the resource of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// At its kind: one decision does for all of a kind, wherever they are.
    #[default]
    Kind,
    /// At the name of its namespace, too.
    Place,
    /// At its namespace, with labels: one decision does for all of a kind in one namespace.
    Namespace,
    /// At the object itself.
    Object,
}

/// A decision point: policies, and the sessions that are judged by them.
pub trait DecisionPoint: Send + Sync + Debug {
    /// Counts changes of the policies. Cheap: asked for every request.
    fn generation(&self) -> u64;
    /// Prepares what is known of a session once, by the policies of the moment, to decide about one of
    /// [`Subject::parties`]. What is allowed has to be allowed to all of them.
    fn open(&self, subject: &Arc<Subject>, party: Party) -> Box<dyn SessionDecisions>;
}

/// The policies of one generation, prepared for one session.
pub trait SessionDecisions: Send + Debug {
    /// The generation these decisions come from.
    fn generation(&self) -> u64;
    /// The policy version as people see it (a digest of the policy texts).
    fn policy_version(&self) -> Arc<str>;
    /// Decides one access.
    fn decide(&mut self, access: &Access, circumstances: &Circumstances<'_>) -> Verdict;
    /// How closely the policies that can bear on an action look at resources of a type.
    fn detail(&mut self, _action: doorward_model::Action, _entity_type: &'static str) -> Detail {
        Detail::Object
    }
    /// The tags of a resource, for the label of a mask.
    fn tags(&self, resource: &doorward_model::Resource) -> Vec<String>;
}
