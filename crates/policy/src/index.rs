//! Finding the policies that can bear on a session and on a request, by their scopes.
use crate::load::LoadedPolicy;
use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use doorward_model::Action;
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
    /// The actions it names; `None` for any.
    pub(crate) actions: Option<Vec<Action>>,
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
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            // An action that is none of ours keeps the policy in every slice: loading refuses it anyway.
            ActionConstraint::In(any) => any.iter().map(action).collect(),
            ActionConstraint::Eq(of) => action(&of).map(|a| vec![a]),
        };
        Self { who, at, actions, kind }
    }

    /// Whether it can match an action on a type of resource.
    pub(crate) fn can_match(&self, action: Action, kind: &str) -> bool {
        self.actions.as_ref().is_none_or(|known| known.contains(&action))
            && self.kind.as_ref().is_none_or(|k| k == kind)
    }
}

fn action(of: &EntityUid) -> Option<Action> {
    AsRef::<str>::as_ref(of.id()).parse().ok()
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
