//! Finding the policies that can bear on a session and on a request, by their scopes.
use crate::load::LoadedPolicy;
use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use doorward_model::{Action, Administration};
use std::collections::HashMap;

/// Whom the principal of a scope can be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Anybody.
    Any,
    /// Anybody of a type: `principal is Agent`.
    Type(String),
    /// A principal, or the members of a group.
    Of(EntityUid),
}

/// Where the resource of a scope can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// In any connection.
    Any,
    /// In the connection of this name.
    Connection(String),
    /// In the connection whose name and a `/` this identifier begins with.
    Inside(String),
}

impl Where {
    /// The part up to the first `/`: what a connection is looked up by.
    fn key(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Connection(id) | Self::Inside(id) => Some(first_part(id)),
        }
    }

    fn can_be_in(&self, connection: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Connection(name) => name == connection,
            Self::Inside(id) => id.strip_prefix(connection).is_some_and(|rest| rest.starts_with('/')),
        }
    }
}

fn first_part(name: &str) -> &str {
    name.split_once('/').map_or(name, |(first, _)| first)
}

/// What a policy's scope rules out.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) who: Who,
    pub(crate) at: Where,
    /// The actions of the data path that it names; `None` for any.
    pub(crate) actions: Option<Vec<Action>>,
    /// The rights to administer that it names; `None` for any.
    pub(crate) administration: Option<Vec<Administration>>,
    /// The type of the resource, where it names one.
    pub(crate) kind: Option<String>,
}

impl Scope {
    pub(crate) fn of(policy: &cedar_policy::Policy) -> Self {
        let principal = policy.principal_constraint();
        let who = match principal {
            PrincipalConstraint::Any => Who::Any,
            PrincipalConstraint::Is(kind) => Who::Type(kind.to_string()),
            // `is T in G` is found by its group; Cedar looks at the type.
            PrincipalConstraint::In(of) | PrincipalConstraint::Eq(of) | PrincipalConstraint::IsIn(_, of) => Who::Of(of),
        };
        let resource = policy.resource_constraint();
        let kind = match &resource {
            ResourceConstraint::Any | ResourceConstraint::In(_) => None,
            ResourceConstraint::Eq(of) => Some(of.type_name().to_string()),
            ResourceConstraint::Is(kind) | ResourceConstraint::IsIn(kind, _) => Some(kind.to_string()),
        };
        let at = match &resource {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => Where::Any,
            ResourceConstraint::In(of) | ResourceConstraint::Eq(of) | ResourceConstraint::IsIn(_, of) => place(of),
        };
        let (actions, administration) = match policy.action_constraint() {
            ActionConstraint::Any => (None, None),
            ActionConstraint::In(any) => named(&any),
            ActionConstraint::Eq(of) => named(&[of]),
        };
        Self { who, at, actions, administration, kind }
    }

    /// Whether it can match an action on a type of resource. Some actions a permit has to name.
    pub(crate) fn can_match(&self, action: Action, kind: &str, is_permit: bool) -> bool {
        let unnamed = !(is_permit && action.has_to_be_named());
        self.actions.as_ref().map_or(unnamed, |known| known.contains(&action))
            && self.kind.as_ref().is_none_or(|k| k == kind)
    }

    /// Whether it can match a right to administer. A permit has to name it.
    pub(crate) fn can_administer(&self, right: Administration, is_permit: bool) -> bool {
        self.administration.as_ref().map_or(!is_permit, |named| named.contains(&right))
    }
}

/// What a scope names, on the data path and of administration. A name that is none of ours keeps the policy in every
/// slice: loading refuses it anyway.
fn named(any: &[EntityUid]) -> (Option<Vec<Action>>, Option<Vec<Administration>>) {
    let (mut actions, mut administration) = (Some(Vec::new()), Some(Vec::new()));
    for uid in any {
        let name: &str = uid.id().as_ref();
        let group = administration_group(name);
        match (name.parse(), name.parse(), group.is_empty()) {
            (Ok(action), _, _) => actions.get_or_insert_default().push(action),
            (_, Ok(right), _) => administration.get_or_insert_default().push(right),
            (_, _, false) => administration.get_or_insert_default().extend(group),
            (_, _, true) => return (None, None),
        }
    }
    (actions, administration)
}

/// The rights in a group of actions, as in the schema.
fn administration_group(name: &str) -> Vec<Administration> {
    let all = Administration::ALL.iter().copied();
    match name {
        "administer" => all.collect(),
        "observe" => all.filter(|a| a.as_str().starts_with("view_")).collect(),
        _ => Vec::new(),
    }
}

fn place(of: &EntityUid) -> Where {
    let id = AsRef::<str>::as_ref(of.id()).to_owned();
    match of.type_name().to_string().as_str() {
        "Connection" => Where::Connection(id),
        // Kinds of values are the same in every connection.
        "DataType" => Where::Any,
        _ => Where::Inside(id),
    }
}

/// Policies by the principal and the connection of their scopes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    anywhere: HashMap<Who, Vec<u32>>,
    by_connection: HashMap<String, HashMap<Who, Vec<u32>>>,
}

impl Index {
    pub(crate) fn of(policies: &[LoadedPolicy]) -> Self {
        let mut out = Self::default();
        for (n, policy) in (0..).zip(policies) {
            let by_who = match policy.scope.at.key() {
                None => &mut out.anywhere,
                Some(key) => out.by_connection.entry(key.to_owned()).or_default(),
            };
            by_who.entry(policy.scope.who.clone()).or_default().push(n);
        }
        out
    }

    /// The policies whose scope can match a principal (its identifier and groups) and a connection,
    /// in the order they were loaded.
    pub(crate) fn candidates(
        &self,
        policies: &[LoadedPolicy],
        principal: &EntityUid,
        groups: &[EntityUid],
        connection: &str,
    ) -> Vec<u32> {
        let mut who = vec![Who::Any, Who::Type(principal.type_name().to_string()), Who::Of(principal.clone())];
        who.extend(groups.iter().cloned().map(Who::Of));
        let mut out = Vec::new();
        for by_who in [Some(&self.anywhere), self.by_connection.get(first_part(connection))].into_iter().flatten() {
            out.extend(who.iter().filter_map(|w| by_who.get(w)).flatten().copied());
        }
        out.sort_unstable();
        // Groups may be named twice.
        out.dedup();
        out.retain(|n| {
            let policy = usize::try_from(*n).ok().and_then(|n| policies.get(n));
            policy.is_some_and(|p| p.scope.at.can_be_in(connection))
        });
        out
    }
}
