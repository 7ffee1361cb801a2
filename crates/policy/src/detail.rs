//! What of the resource a policy looks at: what is the same for all objects of a kind need not be asked for each, and
//! objects that differ only in what no policy looks at are decided once.
use doorward_enforce::Detail;
use doorward_model::{Access, ApiObject, Labels, Pod, PodSpec, Resource};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::Arc};

/// Attributes of objects and pods that each is looked at by itself.
const OWN: [&str; 14] = [
    "name",
    "privileged",
    "host_network",
    "host_pid",
    "host_ipc",
    "host_paths",
    "host_ports",
    "capabilities",
    "runs_as_root",
    "service_account",
    "secrets",
    "images",
    "commands",
    "programs",
];

/// What of a resource is looked at. Anything that is not plainly less counts as the resource itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looks {
    /// At everything.
    all: bool,
    /// At its namespace, by name.
    place: bool,
    /// At its namespace, with labels.
    namespace: bool,
    /// At attributes of its own.
    own: BTreeSet<&'static str>,
    /// At labels of its own.
    labels: BTreeSet<Box<str>>,
}

impl Looks {
    /// What a policy looks at, given as Cedar's JSON.
    pub(crate) fn of(policy: &Value) -> Self {
        let mut out = Self::default();
        match (policy.get("resource"), policy.get("conditions")) {
            (Some(scope), Some(conditions)) => {
                out.scope(scope);
                out.conditions(conditions);
            }
            (_, _) => out.all = true,
        }
        out
    }

    /// What either looks at.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.all |= other.all;
        self.place |= other.place;
        self.namespace |= other.namespace;
        self.own.extend(&other.own);
        self.labels.extend(other.labels.iter().cloned());
        self
    }

    /// How closely it looks.
    pub(crate) fn detail(&self) -> Detail {
        if self.all || !self.own.is_empty() || !self.labels.is_empty() {
            Detail::Object
        } else if self.namespace {
            Detail::Namespace
        } else if self.place {
            Detail::Place
        } else {
            Detail::Kind
        }
    }

    /// An access with nothing of its resource but what is looked at: those that are alike in it get the same decision.
    /// None where it is not known what that is.
    pub(crate) fn essence(&self, access: &Access) -> Option<Access> {
        if self.all {
            return None;
        }
        let resource = if let Resource::ApiObject(object) = &access.resource {
            Resource::ApiObject(Arc::new(self.of_object(object)))
        } else if let Resource::Pod(pod) = &access.resource {
            Resource::Pod(Arc::new(Pod { object: self.of_object(&pod.object), spec: self.of_spec(&pod.spec) }))
        } else {
            return None;
        };
        Some(Access { resource, ..access.clone() })
    }

    fn of_object(&self, object: &ApiObject) -> ApiObject {
        let ApiObject { group, resource, namespace, name, labels, namespace_labels } = object;
        ApiObject {
            group: group.clone(),
            resource: resource.clone(),
            namespace: namespace.clone().filter(|_| self.place || self.namespace),
            name: if self.own.contains("name") { name.clone() } else { "".into() },
            labels: labels
                .iter()
                .filter(|(n, _)| self.labels.contains(&***n))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
            namespace_labels: if self.namespace { namespace_labels.clone() } else { Labels::new() },
        }
    }

    fn of_spec(&self, spec: &PodSpec) -> PodSpec {
        let sees = |attribute: &str| self.own.contains(attribute);
        let set = |attribute, names: &BTreeSet<_>| if sees(attribute) { names.clone() } else { BTreeSet::new() };
        PodSpec {
            privileged: spec.privileged && sees("privileged"),
            host_network: spec.host_network && sees("host_network"),
            host_pid: spec.host_pid && sees("host_pid"),
            host_ipc: spec.host_ipc && sees("host_ipc"),
            host_paths: set("host_paths", &spec.host_paths),
            host_ports: spec.host_ports && sees("host_ports"),
            capabilities: set("capabilities", &spec.capabilities),
            runs_as_root: spec.runs_as_root && sees("runs_as_root"),
            service_account: if sees("service_account") { spec.service_account.clone() } else { "".into() },
            secrets: set("secrets", &spec.secrets),
            images: set("images", &spec.images),
            commands: set("commands", &spec.commands),
            programs: set("programs", &spec.programs),
        }
    }

    /// The resource of the scope: `resource`, `resource is T`, `resource in E`, `resource == E`.
    fn scope(&mut self, scope: &Value) {
        let entity = |value: &Value| value.get("entity").cloned();
        match scope.get("op").and_then(Value::as_str) {
            Some("All") => {}
            Some("is") => match scope.get("in").map(entity) {
                None => {}
                Some(Some(place)) => self.within(&place),
                Some(None) => self.all = true,
            },
            Some("in") => match entity(scope) {
                Some(place) => self.within(&place),
                None => self.all = true,
            },
            _ => self.all = true,
        }
    }

    /// What something is in.
    fn within(&mut self, entity: &Value) {
        match entity.get("type").and_then(Value::as_str) {
            Some("Connection") => {}
            Some("Namespace") => self.place = true,
            _ => self.all = true,
        }
    }

    fn conditions(&mut self, conditions: &Value) {
        let mut todo = vec![conditions];
        while let Some(json) = todo.pop() {
            match json {
                Value::Object(map) => {
                    if !self.used(map) {
                        todo.extend(map.values());
                    }
                }
                Value::Array(items) => todo.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }

    /// Whether an expression is a use of the resource; of what is taken down.
    fn used(&mut self, map: &Map<String, Value>) -> bool {
        if map.get("Var").is_some_and(|v| v == "resource") {
            self.all = true;
            return true;
        }
        let Some((operator, operands)) = map.iter().next().filter(|_| map.len() == 1) else { return false };
        if operands.get("left").and_then(|left| left.get("Var")).is_none_or(|v| v != "resource") {
            return false;
        }
        match operator.as_str() {
            "." | "has" => self.attribute(operands.get("attr").and_then(Value::as_str), operator == "has"),
            "is" if operands.get("in").is_none() => {}
            "in" => self.places(operands.get("right").unwrap_or(&Value::Null)),
            "hasTag" | "getTag" => match operands.get("right").and_then(|r| r.get("Value")).and_then(Value::as_str) {
                Some(label) => drop(self.labels.insert(label.into())),
                // What it is called is itself made of something, perhaps of the resource.
                None => self.all = true,
            },
            _ => self.all = true,
        }
        true
    }

    fn attribute(&mut self, name: Option<&str>, is_asked_for: bool) {
        match name {
            Some("kind" | "group" | "resource" | "connection") => {}
            Some("namespace") if is_asked_for => self.place = true,
            Some("namespace") => self.namespace = true,
            Some(name) => match OWN.iter().find(|own| **own == name) {
                Some(own) => drop(self.own.insert(own)),
                None => self.all = true,
            },
            None => self.all = true,
        }
    }

    /// `E`, or `[E, …]`, as values of Cedar's JSON.
    fn places(&mut self, places: &Value) {
        if let Some(entity) = places.pointer("/Value/__entity") {
            return self.within(entity);
        }
        match places.get("Set").and_then(Value::as_array) {
            Some(all) => all.iter().for_each(|place| self.places(place)),
            None => self.all = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(scope: &str, condition: &str) -> Looks {
        let text = format!("permit(principal, action, {scope}) when {{ {condition} }};");
        let policy = cedar_policy::Policy::parse(None, text).unwrap();
        Looks::of(&policy.to_json().unwrap())
    }

    #[test]
    fn what_is_the_same_for_all_is_known() {
        for (scope, condition) in [
            ("resource", "principal has tags && context.approved"),
            ("resource is Pod", "true"),
            ("resource in Connection::\"k\"", "resource.kind == \"secrets\""),
            ("resource is Pod in Connection::\"k\"", "resource is Pod || [\"a\"].contains(resource.kind)"),
            ("resource", "resource in Connection::\"k\""),
        ] {
            assert_eq!(looks(scope, condition).detail(), Detail::Kind, "{scope} {condition}");
        }
        for (scope, condition) in [
            ("resource in Namespace::\"k/a\"", "true"),
            ("resource is Pod in Namespace::\"k/a\"", "true"),
            ("resource", "resource has namespace"),
            ("resource", "resource in [Namespace::\"k/a\", Namespace::\"k/b\"]"),
        ] {
            assert_eq!(looks(scope, condition).detail(), Detail::Place, "{scope} {condition}");
        }
        let labels = "resource has namespace && resource.namespace.hasTag(\"a\")";
        assert_eq!(looks("resource", labels).detail(), Detail::Namespace);
        for (scope, condition) in [
            ("resource == Pod::\"k/a/pods/x\"", "true"),
            ("resource in Pod::\"k/a/pods/x\"", "true"),
            ("resource", "resource.hasTag(\"a\")"),
            ("resource", "resource.name like \"a*\""),
            ("resource", "resource is Pod in Namespace::\"k/a\""),
            ("resource", "{a: resource}.a.kind == \"b\""),
            ("resource", "resource in principal.places"),
            ("resource", "resource == Pod::\"k\""),
            ("resource", "if context.approved then resource.privileged else false"),
        ] {
            assert_eq!(looks(scope, condition).detail(), Detail::Object, "{scope} {condition}");
        }
    }

    fn pod(text: &str) -> Access {
        Access::new(doorward_model::Action::List, crate::kubernetes::resource_of("Pod", text).unwrap())
    }

    /// Whether pods that differ in something are the same to a policy.
    fn is_same(condition: &str, one: &str, other: &str) -> bool {
        let looks = looks("resource", condition);
        let of = |text| looks.essence(&pod(text));
        assert!(of(one).is_some(), "{condition}");
        of(one) == of(other)
    }

    #[test]
    fn what_no_policy_looks_at_makes_no_difference() {
        let all = "a/x app=web tier=1 namespace:team=shop privileged host_path:/ image:a secret:s service_account:one";
        let other = "b/y app=db tier=2 namespace:team=bank host_network image:b capability:ALL runs_as_root";
        assert!(is_same("true", all, other));
        assert!(is_same("resource in Connection::\"k\" && resource is Pod", all, other));
        for (condition, one, same, different) in [
            ("resource.name == \"x\"", "a/x", "b/x a=b privileged", "a/y"),
            ("resource in Namespace::\"k/a\"", "a/x", "a/y namespace:a=b", "b/x"),
            ("resource has namespace && resource.namespace.hasTag(\"t\")", "a/x", "a/y", "a/x namespace:t=u"),
            ("resource.hasTag(\"app\") && resource.getTag(\"app\") == \"web\"", "a/x", "b/y tier=1", "a/x app=web"),
            ("resource.privileged", "a/x", "b/y host_network", "a/x privileged"),
            ("resource.host_network", "a/x", "b/y privileged", "a/x host_network"),
            ("resource.host_pid", "a/x", "b/y privileged", "a/x host_pid"),
            ("resource.host_ipc", "a/x", "b/y privileged", "a/x host_ipc"),
            ("resource.host_ports", "a/x", "b/y privileged", "a/x host_ports"),
            ("resource.runs_as_root", "a/x", "b/y privileged", "a/x runs_as_root"),
            ("resource.host_paths.isEmpty()", "a/x", "b/y image:a", "a/x host_path:/"),
            ("resource.capabilities.contains(\"ALL\")", "a/x", "b/y image:a", "a/x capability:ALL"),
            ("resource.secrets.contains(\"s\")", "a/x", "b/y image:a", "a/x secret:s"),
            ("resource.images.contains(\"a\")", "a/x", "b/y secret:a", "a/x image:a"),
            ("resource.commands.contains(\"sh\")", "a/x", "b/y program:sh", "a/x command:sh"),
            ("resource.programs.contains(\"sh\")", "a/x", "b/y command:sh", "a/x program:sh"),
            ("resource.service_account like \"a*\"", "a/x", "b/y secret:a", "a/x service_account:b"),
        ] {
            assert!(is_same(condition, one, same), "{condition}");
            assert!(!is_same(condition, one, different), "{condition}");
        }
    }

    #[test]
    fn what_may_look_at_anything_is_not_shortened() {
        for condition in [
            "resource == Pod::\"k/a/pods/x\"",
            "resource.hasTag(resource.name)",
            "[resource].contains(principal.places)",
            "resource has of_a_later_schema",
        ] {
            assert_eq!(looks("resource", condition).essence(&pod("a/x")), None, "{condition}");
        }
        assert_eq!(looks("resource == Pod::\"k/a/pods/x\"", "true").essence(&pod("a/x")), None);
        let table = Resource::Table { schema: "a".into(), name: "b".into() };
        assert_eq!(looks("resource", "true").essence(&Access::new(doorward_model::Action::Select, table)), None);
    }
}
