//! Deciding: slices of the policies that can bear on a request, evaluated by Cedar.
use crate::{
    context::context,
    detail::Looks,
    entities,
    index::Index,
    load::{LoadedPolicy, load},
    reads::Reads,
    source::{LoadError, Source},
    tags::Naming,
};
use arc_swap::ArcSwap;
use cedar_policy::{Authorizer, Decision, Effect, Entities, EntityUid, PolicyId, PolicySet, Request};
use doorward_enforce::{Circumstances, DecisionPoint, Detail, Party, PolicyInfo, SessionDecisions, Subject, Verdict};
use doorward_model::{Access, Action, Name, Resource};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc};

/// How many slices a set of policies keeps ready before it starts afresh.
const KEPT_SLICES: usize = 4096;
/// How many verdicts a session keeps before it starts afresh.
const KEPT_VERDICTS: usize = 1024;
/// The longest that one rests on, written out, in bytes: names and labels are as long as an upstream likes.
const LONGEST_KEPT: usize = 4096;

/// A set of policies that was read without an error.
#[derive(Clone)]
pub struct Loaded {
    set: Arc<Set>,
    /// A digest of the texts, for people.
    pub version: Arc<str>,
    warnings: Arc<[LoadError]>,
}

struct Set {
    policies: Vec<LoadedPolicy>,
    index: Index,
    /// Slices by the policies they hold. They hold nothing of a session: sessions whose scopes pick the
    /// same policies share one.
    slices: Mutex<HashMap<Box<[u32]>, Arc<Slice>>>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded({} policies, {})", self.set.policies.len(), self.version)
    }
}

impl Loaded {
    pub(crate) fn new(policies: Vec<LoadedPolicy>, version: Arc<str>, warnings: Vec<LoadError>) -> Self {
        let index = Index::of(&policies);
        let set = Set { policies, index, slices: Mutex::default() };
        Self { set: Arc::new(set), version, warnings: warnings.into() }
    }

    /// What is known of each policy, in the order of the files.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyInfo> {
        self.set.policies.iter().map(|p| &*p.info)
    }

    /// The policies that look at tags or kinds of values, in the order of the files.
    pub fn naming(&self) -> impl Iterator<Item = Naming<'_>> {
        let named = self.set.policies.iter().filter(|p| !p.names.is_empty());
        named.map(|p| Naming { info: &p.info, forbids: p.policy.effect() == Effect::Forbid, named: &p.names })
    }

    /// What looks wrong, though it is allowed: to be shown to the author.
    pub fn warnings(&self) -> &[LoadError] {
        &self.warnings
    }
}

/// The policies in force.
#[derive(Debug)]
pub struct Engine {
    force: ArcSwap<InForce>,
}

#[derive(Debug)]
pub(crate) struct InForce {
    loaded: Loaded,
    generation: u64,
}

impl InForce {
    /// The policies in the order of the files.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &LoadedPolicy> {
        self.loaded.set.policies.iter()
    }
}

impl Engine {
    /// An engine with these policies.
    pub fn new(loaded: Loaded) -> Self {
        Self { force: ArcSwap::from_pointee(InForce { loaded, generation: 1 }) }
    }

    /// An engine with the policies of these texts.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(sources: &[Source]) -> Result<Self, Vec<LoadError>> {
        load(sources).map(Self::new)
    }

    /// Puts other policies in force. Live sessions are judged by them from their next request on.
    pub fn replace(&self, loaded: Loaded) {
        self.force.rcu(|old| InForce { loaded: loaded.clone(), generation: old.generation.saturating_add(1) });
    }

    /// Reads other policies and puts them in force; a bad set leaves the old one in force.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn reload(&self, sources: &[Source]) -> Result<(), Vec<LoadError>> {
        self.replace(load(sources)?);
        Ok(())
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.force.load_full()
    }

    /// The policies in force.
    pub fn loaded(&self) -> Arc<Loaded> {
        Arc::new(self.force.load().loaded.clone())
    }
}

impl DecisionPoint for Engine {
    fn generation(&self) -> u64 {
        self.force.load().generation
    }

    fn open(&self, subject: &Arc<Subject>, party: Party) -> Box<dyn SessionDecisions> {
        Box::new(Session::new(self.force.load_full(), subject, party))
    }
}

/// The policies that can bear on one action on one type of resource.
struct Slice {
    set: PolicySet,
    /// What is known of each, and its place in the order of the files.
    infos: HashMap<PolicyId, (u32, Arc<PolicyInfo>)>,
    reads: Reads,
    looks: Looks,
}

impl Set {
    fn policy(&self, n: u32) -> Option<&LoadedPolicy> {
        usize::try_from(n).ok().and_then(|n| self.policies.get(n))
    }

    fn slice(&self, key: Vec<u32>) -> Option<Arc<Slice>> {
        let known = self.slices.lock().get(key.as_slice()).map(Arc::clone);
        if known.is_some() {
            return known;
        }
        let mut slice =
            Slice { set: PolicySet::new(), infos: HashMap::new(), reads: Reads::default(), looks: Looks::default() };
        for n in &key {
            let p = self.policy(*n)?;
            slice.reads = slice.reads.and(p.reads);
            slice.looks = slice.looks.and(&p.looks);
            slice.infos.insert(p.policy.id().clone(), (*n, Arc::clone(&p.info)));
            slice.set.add(p.policy.clone()).ok()?;
        }
        let slice = Arc::new(slice);
        let mut slices = self.slices.lock();
        if slices.len() >= KEPT_SLICES {
            slices.clear();
        }
        slices.insert(key.into_boxed_slice(), Arc::clone(&slice));
        Some(slice)
    }
}

struct Session {
    force: Arc<InForce>,
    subject: Arc<Subject>,
    /// Policies whose scope can match this principal and this connection.
    candidates: Box<[u32]>,
    slices: HashMap<(Action, &'static str), Arc<Slice>>,
    /// The principal, and the entities that stay the same. None where they cannot be put to Cedar:
    /// then everything is refused.
    base: Option<(EntityUid, Entities)>,
    authorizer: Authorizer,
    /// Verdicts that last, by what they rest on: the essence of the access, and the request's command and statements.
    known: HashMap<(Access, Name, u32), Verdict>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} candidates of {:?})", self.candidates.len(), self.force.loaded)
    }
}

impl Session {
    fn new(force: Arc<InForce>, subject: &Arc<Subject>, party: Party) -> Self {
        let principal = subject.party(party);
        let base = principal
            .and_then(entities::principal_uid)
            .and_then(|who| Some((who, Entities::from_entities(entities::of_session(subject)?, None).ok()?)));
        let candidates = base.as_ref().map(|(who, _)| {
            let set = &force.loaded.set;
            let groups = principal.map(entities::groups).unwrap_or_default();
            set.index.candidates(&set.policies, who, &groups, subject.connection.name.as_str())
        });
        Self {
            candidates: candidates.unwrap_or_default().into_boxed_slice(),
            force,
            subject: Arc::clone(subject),
            slices: HashMap::new(),
            base,
            authorizer: Authorizer::new(),
            known: HashMap::new(),
        }
    }

    fn slice(&mut self, action: Action, kind: &'static str) -> Option<Arc<Slice>> {
        if let Some(known) = self.slices.get(&(action, kind)) {
            return Some(Arc::clone(known));
        }
        let set = &self.force.loaded.set;
        let can_match = |p: &LoadedPolicy| p.scope.can_match(action, kind, p.policy.effect() == Effect::Permit);
        let matching = |n: &u32| set.policy(*n).is_some_and(can_match);
        let slice = set.slice(self.candidates.iter().copied().filter(matching).collect())?;
        self.slices.insert((action, kind), Arc::clone(&slice));
        Some(slice)
    }

    /// The request as Cedar takes it. It is not checked against the schema here, which would cost more
    /// than the decision: a test checks every kind of request that can be made.
    fn request(&self, slice: &Slice, access: &Access, c: &Circumstances<'_>) -> Option<(Request, Entities)> {
        let (who, base) = self.base.as_ref()?;
        let action = entities::action_uid(access.action)?;
        let resource = entities::uid_of(&self.subject.connection, &access.resource)?;
        let context = context(slice.reads, access, c, &self.subject)?;
        let own = entities::of_resource(&self.subject.connection, &access.resource)?;
        let entities = base.clone().add_entities(own, None).ok()?;
        Some((Request::new(who.clone(), action, resource, context, None).ok()?, entities))
    }
}

impl Session {
    fn evaluate(&self, slice: &Slice, access: &Access, circumstances: &Circumstances<'_>) -> Verdict {
        let Some((request, entities)) = self.request(slice, access, circumstances) else {
            return not_put(access);
        };
        let response = self.authorizer.is_authorized(&request, &slice.set, &entities);
        // Cedar names them in no order; people are shown the first.
        let mut deciding: Vec<&(u32, Arc<PolicyInfo>)> =
            response.diagnostics().reason().filter_map(|id| slice.infos.get(id)).collect();
        deciding.sort_by_key(|(n, _)| *n);
        let mut errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        errors.sort();
        Verdict {
            allowed: response.decision() == Decision::Allow && errors.is_empty(),
            policies: deciding.into_iter().map(|(_, info)| Arc::clone(info)).collect(),
            error: (!errors.is_empty()).then(|| errors.join("; ")),
            lasting: slice.reads.lasts(),
        }
    }
}

fn not_put(access: &Access) -> Verdict {
    let error = Some(format!("`{access}` cannot be put to the policies"));
    Verdict { allowed: false, policies: Vec::new(), error, lasting: false }
}

/// Counts what is written, up to the longest that is kept.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        if self.0 > LONGEST_KEPT { Err(fmt::Error) } else { Ok(()) }
    }
}

fn is_short(key: &impl fmt::Debug) -> bool {
    fmt::write(&mut Length(0), format_args!("{key:?}")).is_ok()
}

/// What the verdict rests on, where it can be remembered: nothing that changes is read, and nobody has approved anything.
fn rests_on(slice: &Slice, access: &Access, c: &Circumstances<'_>) -> Option<(Access, Name, u32)> {
    let lasts = slice.reads.lasts() && !c.approved && c.approvers.is_empty();
    let essence = slice.looks.essence(access).filter(|_| lasts)?;
    Some((essence, c.command.clone(), c.statements))
}

impl SessionDecisions for Session {
    fn generation(&self) -> u64 {
        self.force.generation
    }

    fn policy_version(&self) -> Arc<str> {
        Arc::clone(&self.force.loaded.version)
    }

    fn decide(&mut self, access: &Access, circumstances: &Circumstances<'_>) -> Verdict {
        let Some(slice) = self.slice(access.action, access.resource.entity_type()) else {
            return not_put(access);
        };
        let Some(key) = rests_on(&slice, access, circumstances) else {
            return self.evaluate(&slice, access, circumstances);
        };
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let verdict = self.evaluate(&slice, access, circumstances);
        // Errors name the resource.
        if verdict.error.is_none() && is_short(&key) {
            if self.known.len() >= KEPT_VERDICTS {
                self.known.clear();
            }
            self.known.insert(key, verdict.clone());
        }
        verdict
    }

    fn detail(&mut self, action: Action, entity_type: &'static str) -> Detail {
        self.slice(action, entity_type).map_or(Detail::Object, |slice| slice.looks.detail())
    }

    fn tags(&self, resource: &Resource) -> Vec<String> {
        entities::tags(&self.subject.connection, resource).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes;
    use cedar_policy::{Context, Schema};
    use doorward_enforce::Approver;
    use doorward_model::{
        ConnectionInfo, ConnectionName, DataType, Delegation, Name, Principal, PrincipalKind, SessionId, Timestamp,
    };
    use std::collections::BTreeSet;

    fn resources() -> Vec<Resource> {
        let name = || Name::from("x");
        let mut out = vec![
            Resource::Connection,
            Resource::Database { name: "shop".into() },
            Resource::Database { name: name() },
            Resource::Schema { name: name() },
            Resource::Table { schema: name(), name: name() },
            Resource::Table { schema: "pg_catalog".into(), name: "pg_class".into() },
            Resource::Column { schema: name(), table: name(), name: name() },
            Resource::Function { schema: "?".into(), name: name() },
            Resource::Setting { name: name() },
            Resource::Role { name: name() },
            Resource::Channel { name: "é\n\"".into() },
            Resource::File { path: "/etc/passwd".into() },
            Resource::Program { command: "id; id".into(), name: "id".into(), arguments: Arc::from(["-u".into()]) },
            Resource::Variable { name: "LD_PRELOAD".into() },
            Resource::Host { host: "10.0.0.1".into(), port: 5432 },
            Resource::Object { kind: "type".into(), name: name() },
            Resource::Opaque { what: "the statement".into() },
            Resource::ApiObject(Arc::default()),
            Resource::ApiObject(Arc::new(
                kubernetes::object_of("prod/deployments.apps/web a=b namespace:c=d").unwrap(),
            )),
            Resource::Pod(Arc::new(kubernetes::pod_of("prod/web a=b namespace:c=d privileged host_path:/").unwrap())),
            Resource::Field { kind: "secrets".into(), path: "$.data[*]".into(), namespace: Some("prod".into()) },
            Resource::Field { kind: "*".into(), path: "$..x".into(), namespace: None },
        ];
        out.extend(DataType::ALL.iter().map(|d| Resource::DataType { data_type: *d }));
        out
    }

    /// An agent that acts for a person.
    fn acting() -> Arc<Subject> {
        let (agent, person) = (subject(PrincipalKind::Agent), subject(PrincipalKind::User));
        let mut principal = agent.principal.clone();
        principal.on_behalf_of =
            Some(Box::new(Delegation { person: person.principal.clone(), prior_actors: Vec::new() }));
        Arc::new(Subject { principal, ..(*agent).clone() })
    }

    fn subject(kind: PrincipalKind) -> Arc<Subject> {
        Arc::new(Subject {
            session: SessionId::from_uuid(uuid::Uuid::nil()),
            principal: Principal {
                kind,
                issuer: "ci".into(),
                subject: "repo:acme/shop".into(),
                groups: ["agents", "a/b", "/staff"].map(ToOwned::to_owned).into(),
                tags: [("ref".to_owned(), "main".to_owned())].into(),
                token_id: None,
                expires_at: Timestamp::default(),
                on_behalf_of: None,
            },
            connection: ConnectionInfo {
                name: ConnectionName::new("orders"),
                kind: "postgres".into(),
                database: Some("shop".into()),
                labels: [("environment".to_owned(), "prod".to_owned())].into(),
                tags: [("x.x.x".to_owned(), BTreeSet::from(["pii".to_owned()]))].into(),
            },
            client_ip: "2001:db8::1".parse().unwrap(),
            tls: true,
        })
    }

    /// The hot path does not check requests against the schema; here every kind of request is.
    #[test]
    fn every_request_has_the_types_of_the_schema() {
        let (schema, _) = Schema::from_cedarschema_str(crate::SCHEMA).unwrap();
        let text = "@id(\"a\") permit (principal, action, resource) when { {a: context}.a.tls };
            @id(\"b\") permit (principal, action == Action::\"filter\", resource) when { {a: context}.a.tls };
            @id(\"c\") permit (principal, action == Action::\"bypass\", resource) when { {a: context}.a.tls };";
        let engine = Engine::load(&[Source { name: "p".into(), text: text.into() }]).unwrap();
        let approvers = [Approver::new("sso/anna", vec!["dba".into(), "dba".into()])];
        let command: Name = "SELECT".into();
        let now = Timestamp::from_secs(1_772_445_900);
        let mut checked = 0;
        let alone = [PrincipalKind::Agent, PrincipalKind::User].map(|kind| (subject(kind), Party::Caller));
        let for_somebody = [Party::Caller, Party::Person].map(|party| (acting(), party));
        for (s, party) in alone.into_iter().chain(for_somebody) {
            let mut session = Session::new(engine.force.load_full(), &s, party);
            for resource in resources() {
                for action in Action::ALL {
                    for approvers in [&[][..], &approvers] {
                        let c = Circumstances { now, command: &command, statements: 2, approved: false, approvers };
                        let access = Access::new(*action, resource.clone());
                        let slice = session.slice(*action, resource.entity_type()).unwrap();
                        let (request, entities) = session.request(&slice, &access, &c).unwrap();
                        let part = |uid: Option<&EntityUid>| uid.unwrap().clone();
                        let (who, what) = (part(request.principal()), part(request.action()));
                        let on = part(request.resource());
                        assert!(entities.get(&who).is_some() && entities.get(&on).is_some());
                        let all: Vec<_> = entities.iter().cloned().collect();
                        Entities::from_entities(all, Some(&schema)).unwrap();
                        let context = request.context().unwrap().clone();
                        let known = Context::from_pairs([]).unwrap();
                        // Only the pairs that the schema knows can be checked.
                        let pair = Request::new(who.clone(), what.clone(), on.clone(), known, Some(&schema));
                        if pair.unwrap_err().to_string().contains("context") {
                            Request::new(who, what, on, context, Some(&schema)).unwrap();
                            checked += 1;
                        }
                    }
                }
            }
        }
        assert!(checked > 200, "{checked}");
    }

    #[test]
    fn groups_of_one_issuer_are_never_those_of_another() {
        let s = subject(PrincipalKind::Agent);
        let ids: Vec<String> =
            entities::groups(&s.principal).iter().map(|g| AsRef::<str>::as_ref(g.id()).to_owned()).collect();
        assert_eq!(ids, ["/staff", "agents", "ci//staff", "ci/a/b", "ci/agents"]);
    }

    #[test]
    fn what_is_kept_ready_is_bounded_and_shared() {
        let text: Vec<String> =
            (0..20).map(|i| format!("@id(\"{i}\") permit (principal in Group::\"g{i}\", action, resource);")).collect();
        let engine = Engine::load(&[Source { name: "p".into(), text: text.join("\n") }]).unwrap();
        let force = engine.force.load_full();
        let set = &force.loaded.set;
        let a = set.slice(vec![1, 2]).unwrap();
        assert!(Arc::ptr_eq(&a, &set.slice(vec![1, 2]).unwrap()));
        for bits in 0..5000_u32 {
            set.slice((0..13).filter(|n| bits & (1 << n) != 0).collect()).unwrap();
        }
        assert!(set.slices.lock().len() <= KEPT_SLICES);
    }

    /// A verdict that is remembered is the one that would be made: for pods of every kind, in an order of chance.
    #[test]
    fn what_is_remembered_is_what_would_be_decided() {
        let condition = [
            "resource.hasTag(\"environment\") && resource.getTag(\"environment\") == \"prod\"",
            "resource.privileged || resource.host_network",
            "resource.images.contains(\"a\") && resource.secrets.isEmpty()",
            "resource.name like \"w*\"",
            "resource has namespace && resource.namespace.hasTag(\"team\") && resource.service_account == \"x\"",
            "resource in Namespace::\"orders/b\"",
        ];
        let words = [
            "environment=prod",
            "environment=test",
            "namespace:team=shop",
            "privileged",
            "host_network",
            "host_pid",
            "image:a",
            "image:b",
            "secret:s",
            "service_account:x",
            "host_path:/",
            "capability:ALL",
        ];
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..40 {
            let chosen: Vec<_> = condition.iter().filter(|_| next(2) == 0).collect();
            let forbids = chosen.iter().enumerate().map(|(n, when)| {
                format!("@id(\"f{n}\") forbid (principal, action, resource is Pod) when {{ {when} }};")
            });
            let text = format!("@id(\"p\") permit (principal, action, resource); {}", forbids.collect::<String>());
            let engine = Engine::load(&[Source { name: "p".into(), text }]).unwrap();
            let (s, list) = (subject(PrincipalKind::Agent), Name::from("list"));
            let fresh = || Session::new(engine.force.load_full(), &s, Party::Caller);
            let mut session = fresh();
            for _ in 0..40 {
                let name = [["a", "b"][next(2) as usize], ["web", "db"][next(2) as usize]].join("/");
                let more = words.iter().filter(|_| next(3) == 0).map(|w| format!(" {w}")).collect::<String>();
                let pod = kubernetes::pod_of(&format!("{name}{more}")).unwrap();
                let access = Access::new(Action::List, Resource::Pod(Arc::new(pod)));
                let now = Timestamp::default();
                let c = Circumstances { now, command: &list, statements: 1, approved: false, approvers: &[] };
                let of = |v: Verdict| (v.allowed, v.policies, v.error);
                assert_eq!(
                    of(session.decide(&access, &c)),
                    of(fresh().decide(&access, &c)),
                    "{chosen:?} {access}{more}"
                );
            }
            assert!(!session.known.is_empty());
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes() {
        let text = "@id(\"p\") permit (principal, action, resource); \
             @id(\"f\") forbid (principal, action, resource is Pod) when { resource.images.contains(\"a\") };";
        let engine = Engine::load(&[Source { name: "p".into(), text: text.into() }]).unwrap();
        let s = subject(PrincipalKind::Agent);
        let mut session = Session::new(engine.force.load_full(), &s, Party::Caller);
        for length in [10, 10_000] {
            let pod = kubernetes::pod_of(&format!("a/x image:{}", "i".repeat(length))).unwrap();
            let access = Access::new(Action::List, Resource::Pod(Arc::new(pod)));
            let (now, list) = (Timestamp::default(), Name::from("list"));
            let c = Circumstances { now, command: &list, statements: 1, approved: false, approvers: &[] };
            assert!(session.decide(&access, &c).allowed);
            assert_eq!(session.known.len(), 1, "{length}");
        }
    }
}
