//! What a caller may administer: asked of the policies before each endpoint does anything.
use crate::{
    api::{ApiState, approvals::find as find_approval, now},
    credentials::NO_SUCH_CONNECTION,
    problem::Problem,
    serve::Peer,
};
use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};
use doorward_enforce::Subject;
use doorward_model::{
    Administration, AdministrationScope, ChatAccountId, ConnectionInfo, ConnectionName, Principal, SessionId, Timestamp,
};
use doorward_policy::Engine;
use doorward_signin::Caller;
use doorward_store::Among;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// A connection that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownConnection {
    /// What policies see of it.
    pub info: ConnectionInfo,
    /// Where callers reach it.
    pub listen: SocketAddr,
    /// Where it leads to: `host:port`.
    pub upstream: String,
    /// Since when it is this one: what began before, under its name, was on another that was removed.
    pub since: Timestamp,
}

/// Who may administer what.
#[derive(Debug)]
pub struct Rights {
    policies: Arc<Engine>,
    connections: RwLock<Arc<[KnownConnection]>>,
}

impl Rights {
    /// Rights by these policies, on these connections.
    pub fn new(policies: Arc<Engine>, connections: Vec<KnownConnection>) -> Self {
        Self { policies, connections: RwLock::new(connections.into()) }
    }

    /// Puts other connections in their place.
    pub fn know(&self, connections: Vec<KnownConnection>) {
        *self.connections.write().unwrap_or_else(PoisonError::into_inner) = connections.into();
    }

    /// The connections there are.
    pub(crate) fn connections(&self) -> Arc<[KnownConnection]> {
        Arc::clone(&self.connections.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What policies see of a connection. One that there is no more has nothing but its name.
    pub(crate) fn info(&self, name: &str) -> ConnectionInfo {
        let connections = self.connections();
        let known = connections.iter().find(|c| c.info.name.as_str() == name);
        known.map_or_else(|| gone(name), |c| c.info.clone())
    }

    /// Since when the connection of this name is the one that it is.
    fn since(&self, name: &str) -> Timestamp {
        let connections = self.connections();
        connections.iter().find(|c| c.info.name.as_str() == name).map_or(Timestamp::default(), |c| c.since)
    }
}

/// What policies see of a connection that there is no more: its name.
///
/// INVARIANT: what was done on one that was removed is judged by this, whatever has its name since: whoever may see what bears a label
/// has no business with what happened before something bore it.
fn gone(name: &str) -> ConnectionInfo {
    ConnectionInfo {
        name: ConnectionName::new(name),
        kind: "unknown".into(),
        database: None,
        labels: [].into(),
        tags: [].into(),
    }
}

/// Something that somebody was allowed, without which they had not been answered so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A right on a connection, or on the gateway.
    Right(Administration, On),
    /// A right on a connection that is to be.
    New(Administration, Box<ConnectionInfo>),
    /// To connect there.
    Connect(String),
    /// To see this approval.
    Approval(String),
    /// To be who they were, known as they were: what was given acts as that, for as long as that is good.
    Same(Box<Principal>),
}

/// What a right is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum On {
    /// The connection that has this name now.
    Now(String),
    /// One that had it, and is no more.
    Former(String),
}

/// All that a request needed, written down while it is answered: what is answered again is asked for again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs(Arc<Mutex<Vec<Need>>>);

impl Needs {
    pub(crate) fn note(&self, need: Need) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&need) {
            all.push(need);
        }
    }

    pub(crate) fn taken(&self) -> Vec<Need> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What somebody is told for whom an answer would be too much, or another one's.
const NOT_THE_SAME: &str = "what was given under this `Idempotency-Key` acts as you were known then (groups, tags, for whom you act, \
    and until when): ask for it anew, with another key";

/// Whether somebody is known now as they were then, and for no shorter a time: the same subject with the same groups and tags,
/// acting for the same person, known in the same way, after the same others.
///
/// INVARIANT: more groups are not less right to be asked about: a policy may forbid to who is in one.
fn is_known_as(now: &Principal, then: &Principal) -> bool {
    let is = |now: &Principal, then: &Principal| {
        let (one, other) = ((now.kind, &now.groups, &now.tags), (then.kind, &then.groups, &then.tags));
        one == other && now.expires_at >= then.expires_at
    };
    let parties = match (now.person(), then.person()) {
        (None, None) => true,
        (Some(now), Some(then)) => is(now, then),
        (Some(_), None) | (None, Some(_)) => false,
    };
    now.chain() == then.chain() && is(now, then) && parties
}

/// What an agent that acts for a person is told.
pub(crate) const NOT_IN_PERSON: &str = "this token is of an agent that acts for a person (`act`): the API and its \
    verdicts are for callers in their own name; come with a token without `act`";

/// Who calls an endpoint, and what they may. Answers are remembered for the length of one call.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) who: Arc<Principal>,
    /// What they have shown: a key may reach less far than its owner.
    shown: Arc<Caller>,
    from: Peer,
    rights: Arc<Rights>,
    known: Mutex<HashMap<(Administration, On), Result<(), String>>>,
    needs: Needs,
    /// The account of a chat that they speak through.
    via: Option<ChatAccountId>,
}

impl Asker {
    /// Who sent a request.
    pub(crate) fn of(sent: &Extensions, state: &ApiState) -> Result<Self, Problem> {
        let shown = sent.get::<Arc<Caller>>().ok_or_else(Problem::unauthorized)?;
        let from = sent.get::<Peer>().ok_or_else(Problem::unauthorized)?;
        Ok(Self {
            who: Arc::new(shown.principal.clone()),
            shown: Arc::clone(shown),
            from: *from,
            rights: Arc::clone(&state.rights),
            known: Mutex::default(),
            needs: sent.get::<Needs>().cloned().unwrap_or_default(),
            via: None,
        })
    }

    /// # Errors
    /// Why they may not be given again what they were given before.
    pub(crate) async fn may_again(&self, state: &ApiState, need: &Need) -> Result<(), Problem> {
        match need {
            Need::Right(right, on) => self.asked(*right, on.clone()).map_err(Problem::forbidden),
            Need::New(right, connection) => self.may_on_new(*right, connection),
            Need::Connect(connection) if state.credentials.may_connect(connection, &self.who, self.from.ip) => Ok(()),
            Need::Connect(_) => Err(Problem::not_found(NO_SUCH_CONNECTION)),
            Need::Same(then) if is_known_as(&self.who, then) => Ok(()),
            Need::Same(_) => Err(Problem::forbidden(NOT_THE_SAME.to_owned())),
            Need::Approval(id) => find_approval(state, self, id).await.map(drop),
        }
    }

    /// Somebody who speaks otherwise than by a request of theirs: by a button in a chat.
    pub(crate) fn speaking(state: &ApiState, caller: Caller, from: Peer, via: ChatAccountId) -> Self {
        Self {
            who: Arc::new(caller.principal.clone()),
            shown: Arc::new(caller),
            from,
            rights: Arc::clone(&state.rights),
            known: Mutex::default(),
            needs: Needs::default(),
            via: Some(via),
        }
    }

    /// The same caller, with nothing remembered: for what lasts longer than a call.
    pub(crate) fn afresh(&self) -> Self {
        Self {
            who: Arc::clone(&self.who),
            shown: Arc::clone(&self.shown),
            from: self.from,
            rights: Arc::clone(&self.rights),
            known: Mutex::default(),
            needs: Needs::default(),
            via: self.via.clone(),
        }
    }

    /// What this call needs beyond the rights that it asks for.
    pub(crate) fn needs(&self, need: Need) {
        self.needs.note(need);
    }

    pub(crate) const fn via(&self) -> Option<&ChatAccountId> {
        self.via.as_ref()
    }

    pub(crate) fn shown(&self) -> &Caller {
        &self.shown
    }

    /// Whether everything that is the principal's business is this caller's: not where they came with a limited key.
    pub(crate) fn is_whole(&self) -> bool {
        self.shown.is_whole()
    }

    /// The names of the connections there are.
    pub(crate) fn connections(&self) -> Vec<String> {
        self.rights.connections().iter().map(|c| c.info.name.to_string()).collect()
    }

    /// # Errors
    /// 403 with the policies that forbid it, where the caller may not do this with the gateway.
    pub(crate) fn may(&self, right: Administration) -> Result<(), Problem> {
        self.asked(right, On::Now("*".to_owned())).map_err(Problem::forbidden)
    }

    /// # Errors
    /// 403 with the policies that forbid it, where the caller may not do this with the connection.
    pub(crate) fn may_on(&self, right: Administration, connection: &str) -> Result<(), Problem> {
        self.asked(right, On::Now(connection.to_owned())).map_err(Problem::forbidden)
    }

    /// # Errors
    /// 403 with the policies that forbid it, where the caller may not do this with what began on the connection at that time.
    pub(crate) fn may_at(&self, right: Administration, connection: &str, at: Timestamp) -> Result<(), Problem> {
        self.asked(right, self.then(connection, at)).map_err(Problem::forbidden)
    }

    /// # Errors
    /// 403 with the policies that forbid it, where the caller may not do this with a connection that is to be.
    pub(crate) fn may_on_new(&self, right: Administration, connection: &ConnectionInfo) -> Result<(), Problem> {
        self.decide(right, connection.name.as_str(), connection.clone()).map_err(Problem::forbidden)?;
        self.needs.note(Need::New(right, Box::new(connection.clone())));
        Ok(())
    }

    /// Whether the caller may do this with the connection.
    pub(crate) fn sees(&self, right: Administration, connection: &str) -> bool {
        self.asked(right, On::Now(connection.to_owned())).is_ok()
    }

    /// Whether the caller may do this with what began on the connection at that time.
    pub(crate) fn sees_at(&self, right: Administration, connection: &str, at: Timestamp) -> bool {
        self.asked(right, self.then(connection, at)).is_ok()
    }

    /// What began on a connection and the caller may do this with: at most two spans of time, one where it had another before.
    pub(crate) fn spans(&self, right: Administration, connection: &str) -> Vec<Among> {
        let since = self.rights.since(connection);
        let may = |on: On| self.asked(right, on).is_ok();
        let span = |since, until| Among { connection: connection.to_owned(), since, until };
        let mut spans = Vec::new();
        if since > Timestamp::default() && may(On::Former(connection.to_owned())) {
            spans.push(span(Timestamp::default(), Some(since)));
        }
        if may(On::Now(connection.to_owned())) {
            spans.push(span(since, None));
        }
        spans
    }

    /// The connection that had this name at that time.
    fn then(&self, connection: &str, at: Timestamp) -> On {
        let name = connection.to_owned();
        if at < self.rights.since(connection) { On::Former(name) } else { On::Now(name) }
    }

    /// # Errors
    /// 403 where the caller may do this with no connection at all.
    pub(crate) fn may_on_any(&self, right: Administration) -> Result<(), Problem> {
        let connections = self.rights.connections();
        let names = connections.iter().map(|c| c.info.name.as_str());
        let mut refused = None;
        // One that is not configured stands for all that are not: a right on every connection is one on it.
        for name in names.chain(["?"]) {
            match self.asked(right, On::Now(name.to_owned())) {
                Ok(()) => return Ok(()),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        Err(Problem::forbidden(refused.unwrap_or_default()))
    }

    fn asked(&self, right: Administration, on: On) -> Result<(), String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let decide = || match &on {
            On::Now(name) => self.decide(right, name, self.rights.info(name)),
            On::Former(name) => self.decide(right, name, gone(name)),
        };
        let answer = known.entry((right, on.clone())).or_insert_with(decide);
        if answer.is_ok() {
            self.needs.note(Need::Right(right, on));
        }
        answer.clone()
    }

    fn decide(&self, right: Administration, connection: &str, info: ConnectionInfo) -> Result<(), String> {
        let name = match right.scope() {
            AdministrationScope::Connection => Some(connection),
            AdministrationScope::Gateway => None,
        };
        if !self.shown.is_within_scope(right.as_str(), name) {
            return Err(format!("you may not `{right}`: it is not in the scope of your API key"));
        }
        let subject = Subject {
            session: SessionId::from_uuid(Default::default()),
            principal: (*self.who).clone(),
            connection: info,
            client_ip: self.from.ip,
            tls: self.from.tls,
        };
        let asked = self.rights.policies.administer(right, &subject, now());
        if asked.allowed {
            return Ok(());
        }
        let on = match right.scope() {
            AdministrationScope::Connection if connection != "?" => format!(" on `{connection}`"),
            AdministrationScope::Connection | AdministrationScope::Gateway => String::new(),
        };
        let by = asked.policies.first().map_or_else(
            || "no policy permits it".to_owned(),
            |p| match &p.reason {
                Some(reason) => format!("policy `{}`: {reason}", p.id),
                None => format!("policy `{}`", p.id),
            },
        );
        let why = asked.error.map_or(by, |e| format!("a policy could not be evaluated: {e}"));
        Err(format!("you may not `{right}`{on}: {why}"))
    }
}

impl FromRequestParts<ApiState> for Asker {
    type Rejection = Problem;

    /// INVARIANT: who administers and decides comes in person. An agent that acts for somebody may get credentials that stand
    /// for the two of them ([`Whole`]), and nothing else here.
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let shown = parts.extensions.get::<Arc<Caller>>().ok_or_else(Problem::unauthorized)?;
        if shown.principal.on_behalf_of.is_some() {
            return Err(Problem::forbidden(NOT_IN_PERSON.to_owned()));
        }
        Self::of(&parts.extensions, state)
    }
}

/// Who calls an endpoint that asks no right to administer: not somebody with a limited key, whose scope nobody would judge.
#[derive(Debug)]
pub(crate) struct Whole(pub(crate) Arc<Principal>);

impl FromRequestParts<ApiState> for Whole {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let shown = parts.extensions.get::<Arc<Caller>>().ok_or_else(Problem::unauthorized)?;
        if !shown.is_whole() {
            return Err(Problem::forbidden("it is not in the scope of your API key".to_owned()));
        }
        Ok(Self(Arc::new(shown.principal.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::{Delegation, PrincipalKind};

    fn who(groups: &[&str], tags: &[&str], person: Option<(Principal, &[&str])>) -> Principal {
        let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        Principal {
            kind: PrincipalKind::Agent,
            issuer: "corp".into(),
            subject: "bot".into(),
            groups: names(groups).into_iter().collect(),
            tags: names(tags).into_iter().map(|t| (t, "x".to_owned())).collect(),
            token_id: None,
            expires_at: Timestamp::from_secs(100),
            on_behalf_of: person.map(|(person, before)| Box::new(Delegation { person, prior_actors: names(before) })),
        }
    }

    #[test]
    fn whoever_is_known_otherwise_is_not_the_same() {
        let dana = |groups: &[&str]| Principal { subject: "dana".into(), ..who(groups, &[], None) };
        let plain = || who(&["a"], &["t"], None);
        let kinds = [
            plain(),
            who(&[], &["t"], None),
            // In one more group, which may be what a policy forbids.
            who(&["a", "b"], &["t"], None),
            who(&["a"], &[], None),
            Principal { kind: PrincipalKind::User, ..plain() },
            Principal { issuer: "ci".into(), ..plain() },
            Principal { subject: "bob".into(), ..plain() },
            who(&["a"], &["t"], Some((dana(&["g"]), &[]))),
            who(&["a"], &["t"], Some((dana(&[]), &[]))),
            who(&["a"], &["t"], Some((Principal { subject: "eve".into(), ..dana(&["g"]) }, &[]))),
            who(&["a"], &["t"], Some((dana(&["g"]), &["corp/planner"]))),
        ];
        for (i, one) in kinds.iter().enumerate() {
            for (j, other) in kinds.iter().enumerate() {
                assert_eq!(is_known_as(one, other), i == j, "{one:?} {other:?}");
            }
        }
        let later = Principal { token_id: Some("2".into()), expires_at: Timestamp::from_secs(200), ..plain() };
        assert!(is_known_as(&later, &plain()), "with the next token");
        assert!(!is_known_as(&plain(), &later), "nothing outlives what it is asked for with");
    }
}
