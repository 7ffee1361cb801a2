//! Deciding who may administer the gateway: by the same policies, each time anew.
use crate::{Engine, context::context, engine::InForce, entities, load::LoadedPolicy, reads::Reads};
use cedar_policy::{Authorizer, Decision, Effect, Entities, EntityUid, PolicyId, PolicySet, Request};
use doorward_enforce::{Circumstances, PolicyInfo, Subject};
use doorward_model::{
    Access, Action, Administration, AdministrationScope, ConnectionInfo, ConnectionName, Name, Resource,
};
use std::{collections::HashMap, sync::Arc};

/// The roles as they are shipped: policies that [`Engine`] knows nothing special about.
pub const ROLES: &str = include_str!("roles.cedar");

/// A decision on a right to administer.
#[derive(Clone, Debug)]
pub struct Administered {
    /// Allowed or not.
    pub allowed: bool,
    /// The policies that decided, in the order of the files; none where nothing permits it.
    pub policies: Vec<Arc<PolicyInfo>>,
    /// An error in evaluating a policy: it is not allowed then.
    pub error: Option<String>,
}

impl Engine {
    /// Whether the subject may do something with the gateway itself, or with the subject's connection where that is what
    /// the right is on. Nothing is remembered.
    pub fn administer(&self, right: Administration, subject: &Subject, now: doorward_model::Timestamp) -> Administered {
        // Whoever calls this has told them so before. The policies would be asked of the agent alone here.
        if subject.principal.on_behalf_of.is_some() {
            let error = Some("an agent that acts for a person administers nothing".to_owned());
            return Administered { allowed: false, policies: Vec::new(), error };
        }
        let force = self.in_force();
        evaluate(&force, right, subject, now).unwrap_or_else(|| Administered {
            allowed: false,
            policies: Vec::new(),
            error: Some(format!("`{right}` cannot be put to the policies")),
        })
    }
}

/// The connection that stands for none, where the right is on the gateway.
pub(crate) fn no_connection() -> ConnectionInfo {
    ConnectionInfo {
        name: ConnectionName::new("*"),
        kind: "none".into(),
        database: None,
        labels: [].into(),
        tags: [].into(),
    }
}

fn evaluate(
    force: &InForce,
    right: Administration,
    subject: &Subject,
    now: doorward_model::Timestamp,
) -> Option<Administered> {
    let mut subject = subject.clone();
    if right.scope() == AdministrationScope::Gateway {
        subject.connection = no_connection();
    }
    let mut set = PolicySet::new();
    let mut infos: HashMap<PolicyId, (usize, Arc<PolicyInfo>)> = HashMap::new();
    let mut reads = Reads::default();
    for (n, p) in force.policies().enumerate().filter(|(_, p)| bears_on(p, right)) {
        reads = reads.and(p.reads);
        infos.insert(p.policy.id().clone(), (n, Arc::clone(&p.info)));
        set.add(p.policy.clone()).ok()?;
    }
    let (request, entities) = request(right, &subject, reads, now)?;
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    let mut deciding: Vec<_> = response.diagnostics().reason().filter_map(|id| infos.get(id)).collect();
    deciding.sort_by_key(|(n, _)| *n);
    let mut errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
    errors.sort();
    Some(Administered {
        allowed: response.decision() == Decision::Allow && errors.is_empty(),
        policies: deciding.into_iter().map(|(_, info)| Arc::clone(info)).collect(),
        error: (!errors.is_empty()).then(|| errors.join("; ")),
    })
}

fn bears_on(p: &LoadedPolicy, right: Administration) -> bool {
    p.scope.can_administer(right, p.policy.effect() == Effect::Permit)
}

fn request(
    right: Administration,
    subject: &Subject,
    reads: Reads,
    now: doorward_model::Timestamp,
) -> Option<(Request, Entities)> {
    let who = entities::principal_uid(&subject.principal)?;
    let command = Name::from(right.as_str());
    let c = Circumstances { now, command: &command, statements: 1, approved: false, approvers: &[] };
    // What the context has of the access is false for all of these.
    let context = context(reads, &Access::new(Action::Connect, Resource::Connection), &c, subject)?;
    let action = entities::uid("Action", right.as_str())?;
    let mut known = entities::of_session(subject)?;
    known.extend(action_entities(right)?);
    let on = match right.scope() {
        AdministrationScope::Connection => entities::connection_uid(&subject.connection)?,
        AdministrationScope::Gateway => {
            let gateway = entities::uid("Gateway", "doorward")?;
            known.push(entities::gateway(&gateway, &subject.connection)?);
            gateway
        }
    };
    let entities = Entities::from_entities(known, None).ok()?;
    Some((Request::new(who, action, on, context, None).ok()?, entities))
}

/// The action with the groups it is in, as the schema has them: `action in Action::"administer"` asks for that.
fn action_entities(right: Administration) -> Option<Vec<cedar_policy::Entity>> {
    let uid = |name: &str| entities::uid("Action", name);
    let all = uid("administer")?;
    let observe = uid("observe")?;
    let mut parents: Vec<EntityUid> = vec![all.clone()];
    if right.as_str().starts_with("view_") {
        parents.push(observe.clone());
    }
    let entity = |of: EntityUid, parents: Vec<EntityUid>| {
        cedar_policy::Entity::new(of, [].into(), parents.into_iter().collect()).ok()
    };
    Some(vec![entity(uid(right.as_str())?, parents)?, entity(observe, vec![all.clone()])?, entity(all, Vec::new())?])
}

#[cfg(test)]
mod tests;
