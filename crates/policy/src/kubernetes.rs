//! Objects of Kubernetes as Cedar entities, and as texts in policy tests.
use crate::entities::{Attributes, connection_uid, entity_with_tags, set, text, uid, uid_of};
use cedar_policy::{Entity, EntityUid, RestrictedExpression};
use doorward_model::{ApiObject, ConnectionInfo, Labels, Pod, PodSpec, Resource, SECRET_FIELDS};
use std::sync::Arc;

/// The object, and its namespace.
pub(crate) fn entities(c: &ConnectionInfo, resource: &Resource, object: &ApiObject) -> Option<Vec<Entity>> {
    let connection = connection_uid(c)?;
    let of_connection = || RestrictedExpression::new_entity_uid(connection.clone());
    let mut attributes: Attributes =
        vec![("connection".to_owned(), of_connection()), ("name".to_owned(), text(&object.name))];
    let mut parents = vec![connection.clone()];
    let mut out = Vec::new();
    if let Some(name) = &object.namespace {
        let namespace = namespace_uid(c, name)?;
        attributes.push(("namespace".to_owned(), RestrictedExpression::new_entity_uid(namespace.clone())));
        parents.push(namespace.clone());
        let own = vec![("connection".to_owned(), of_connection()), ("name".to_owned(), text(name))];
        out.push(entity_with_tags(namespace, own, [connection.clone()], labels(&object.namespace_labels))?);
    }
    if let Resource::Pod(pod) = resource {
        attributes.extend(of_spec(&pod.spec));
    } else {
        let kind = object.kind();
        let named = [("group", object.group.as_ref()), ("resource", object.resource.as_ref()), ("kind", &kind)];
        attributes.extend(named.map(|(name, value)| (name.to_owned(), text(value))));
    }
    out.push(entity_with_tags(uid_of(c, resource)?, attributes, parents, labels(&object.labels))?);
    Some(out)
}

fn namespace_uid(c: &ConnectionInfo, name: &str) -> Option<EntityUid> {
    uid("Namespace", &format!("{}/{name}", c.name))
}

fn labels(labels: &Labels) -> Vec<(String, RestrictedExpression)> {
    labels.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn of_spec(spec: &PodSpec) -> Attributes {
    let flags = [
        ("privileged", spec.privileged),
        ("host_network", spec.host_network),
        ("host_pid", spec.host_pid),
        ("host_ipc", spec.host_ipc),
        ("host_ports", spec.host_ports),
        ("runs_as_root", spec.runs_as_root),
    ];
    let sets = [
        ("secrets", &spec.secrets),
        ("host_paths", &spec.host_paths),
        ("capabilities", &spec.capabilities),
        ("images", &spec.images),
        ("commands", &spec.commands),
        ("programs", &spec.programs),
    ];
    let mut out: Attributes =
        flags.map(|(name, value)| (name.to_owned(), RestrictedExpression::new_bool(value))).into();
    out.extend(sets.map(|(name, names)| (name.to_owned(), set(names.iter().map(ToString::to_string).collect()))));
    out.push(("service_account".to_owned(), text(&spec.service_account)));
    out
}

/// The tag that a field has without being given one: what is in a secret is one.
pub(crate) fn tag(kind: &str, path: &str) -> Option<&'static str> {
    SECRET_FIELDS.contains(&(kind, path)).then_some("secret")
}

/// A field as policy tests write it: `prod/secrets:$.data[*]`, `-/*:$..password`.
fn field_of(text: &str) -> Option<Resource> {
    let (namespace, rest) = text.split_once('/')?;
    let (kind, path) = rest.split_once(':')?;
    let namespace = (namespace != "-").then(|| namespace.into());
    path.starts_with('$').then(|| Resource::Field { kind: kind.into(), path: path.into(), namespace })
}

/// An object as policy tests write it: `prod/deployments.apps/web tier=front`, `-/nodes/n1`, `prod/secrets/*`.
pub(crate) fn object_of(text: &str) -> Option<ApiObject> {
    let mut words = text.split_whitespace();
    let [namespace, kind, name] = <[&str; 3]>::try_from(words.next()?.split('/').collect::<Vec<_>>()).ok()?;
    let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
    let mut object = ApiObject {
        group: group.into(),
        resource: resource.into(),
        namespace: (namespace != "-").then(|| namespace.into()),
        name: if name == "*" { "" } else { name }.into(),
        ..ApiObject::default()
    };
    for word in words {
        let (name, value) = word.split_once('=')?;
        match name.strip_prefix("namespace:") {
            Some(name) => object.namespace_labels.insert(name.into(), value.into()),
            None => object.labels.insert(name.into(), value.into()),
        };
    }
    Some(object)
}

/// A pod as policy tests write it: `prod/web environment=prod privileged host_path:/ image:busybox`.
pub(crate) fn pod_of(text: &str) -> Option<Pod> {
    let mut spec = PodSpec::default();
    let mut rest: Vec<String> = Vec::new();
    for (n, word) in text.split_whitespace().enumerate() {
        match word.split_once(':') {
            _ if n == 0 => {
                let (namespace, name) = word.split_once('/')?;
                rest.push(format!("{namespace}/pods/{name}"));
            }
            Some(("host_path", path)) => drop(spec.host_paths.insert(path.into())),
            Some(("capability", name)) => drop(spec.capabilities.insert(name.into())),
            Some(("secret", name)) => drop(spec.secrets.insert(name.into())),
            // One word, as all here.
            Some(("command", name)) => drop(spec.commands.insert(name.into())),
            Some(("program", name)) => drop(spec.programs.insert(name.into())),
            Some(("image", name)) => drop(spec.images.insert(name.into())),
            Some(("service_account", name)) => spec.service_account = name.into(),
            _ if word.contains('=') => rest.push(word.to_owned()),
            _ => *flag(&mut spec, word)? = true,
        }
    }
    Some(Pod { object: object_of(&rest.join(" "))?, spec })
}

fn flag<'a>(spec: &'a mut PodSpec, name: &str) -> Option<&'a mut bool> {
    Some(match name {
        "privileged" => &mut spec.privileged,
        "host_network" => &mut spec.host_network,
        "host_pid" => &mut spec.host_pid,
        "host_ipc" => &mut spec.host_ipc,
        "host_ports" => &mut spec.host_ports,
        "runs_as_root" => &mut spec.runs_as_root,
        _ => return None,
    })
}

/// Resources of policy tests.
pub(crate) fn resource_of(kind: &str, text: &str) -> Option<Resource> {
    match kind {
        "ApiObject" => object_of(text).map(|o| Resource::ApiObject(Arc::new(o))),
        "Pod" => pod_of(text).map(|p| Resource::Pod(Arc::new(p))),
        "Field" => field_of(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::Name;
    use std::collections::BTreeSet;

    #[test]
    fn texts_of_policy_tests_are_read() {
        let Some(Resource::Pod(pod)) =
            resource_of("Pod", "prod/web environment=prod namespace:team=shop privileged host_path:/var image:a:1")
        else {
            panic!("no pod")
        };
        assert_eq!(pod.object.namespace.as_deref(), Some("prod"));
        assert_eq!(pod.object.labels.get("environment").map(AsRef::as_ref), Some("prod"));
        assert_eq!(pod.object.namespace_labels.get("team").map(AsRef::as_ref), Some("shop"));
        assert!(pod.spec.privileged && !pod.spec.host_network);
        let names = |set: &BTreeSet<Name>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((names(&pod.spec.host_paths), names(&pod.spec.images)), (vec!["/var".into()], vec!["a:1".into()]));
        let object = object_of("-/clusterroles.rbac.authorization.k8s.io/*").unwrap();
        assert_eq!((&*object.group, &*object.resource), ("rbac.authorization.k8s.io", "clusterroles"));
        assert!(object.name.is_empty() && object.namespace.is_none());
        for bad in ["", "web", "prod/web sudo", "a/b/c/d"] {
            assert!(resource_of("Pod", bad).is_none(), "{bad}");
        }
    }
}
