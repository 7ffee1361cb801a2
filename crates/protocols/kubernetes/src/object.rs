//! Objects of the API, as the API server writes them in JSON: labels, and what of pods matters for safety.
use crate::facts::quoted;
use doorward_model::{ApiObject, Labels, Name, PodSpec};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The labels of an object.
pub fn labels(object: &Value) -> Labels {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.as_str().into(), value.as_str()?.into()));
    labels.into_iter().flatten().filter_map(text).collect()
}

/// The name of an object; none where the server made it up, as in a dry run it makes up another one.
pub fn name(object: &Value) -> Name {
    let of = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
    let (name, generated) = (of("/metadata/name"), of("/metadata/generateName"));
    if !generated.is_empty() && name.starts_with(generated) { "".into() } else { name.into() }
}

/// The name of an object that there is, whoever made it up.
pub fn own_name(object: &Value) -> Name {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().into()
}

/// The namespace of an object.
pub fn namespace(object: &Value) -> Option<&str> {
    object.pointer("/metadata/namespace").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// Every specification of a pod in an object: its own, those of templates, and whatever else has containers.
///
/// A custom resource whose controller makes pods mostly embeds the same form, and is judged alike.
pub fn pod_specs(object: &Value) -> Vec<PodSpec> {
    let mut found = Vec::new();
    let mut todo = vec![object];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(map) => {
                if is_spec(map) {
                    found.push(spec(map));
                }
                // What was applied last, and who manages which field, is no specification.
                todo.extend(map.iter().filter(|(name, _)| *name != "managedFields").map(|(_, value)| value));
            }
            Value::Array(items) => todo.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

/// Where a specification lists its containers.
const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// What else of a specification says that it is one, where the containers are elsewhere: a revision, a patch in an object.
const SIGNS: [&str; 3] = ["hostNetwork", "hostPID", "hostIPC"];

fn is_spec(map: &Map<String, Value>) -> bool {
    let lists = LISTS.iter().chain(&["volumes"]).any(|list| map.get(*list).is_some_and(Value::is_array));
    lists || SIGNS.iter().any(|sign| map.contains_key(*sign))
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    map.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn list<'a>(map: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    map.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn spec(map: &Map<String, Value>) -> PodSpec {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(Name::from);
    let mut out = PodSpec {
        host_network: flag(map, "hostNetwork"),
        host_pid: flag(map, "hostPID"),
        host_ipc: flag(map, "hostIPC"),
        service_account: text(map.get("serviceAccountName"))
            .or_else(|| text(map.get("serviceAccount")))
            .unwrap_or_else(|| "default".into()),
        ..PodSpec::default()
    };
    out.host_paths = list(map, "volumes").filter_map(|v| text(v.pointer("/hostPath/path"))).collect();
    out.secrets = secrets(map);
    let whole = map.get("securityContext");
    for container in LISTS.iter().flat_map(|name| list(map, name)) {
        add_container(&mut out, container, whole);
    }
    out
}

/// Names of secrets that a specification refers to: volumes, projected or not, variables of containers. Those for
/// pulling images are the node's.
fn secrets(spec: &Map<String, Value>) -> BTreeSet<Name> {
    let (mut found, mut todo) = (BTreeSet::new(), Vec::new());
    todo.extend(spec.iter().filter(|(name, _)| LISTS.contains(&name.as_str()) || *name == "volumes").map(|(_, v)| v));
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let named = match name.as_str() {
                        "secret" => value.get("secretName").or_else(|| value.get("name")),
                        "secretKeyRef" | "secretRef" => value.get("name"),
                        _ => None,
                    };
                    found.extend(named.and_then(Value::as_str).map(Name::from));
                    todo.push(value);
                }
            }
            Value::Array(items) => todo.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

fn add_container(out: &mut PodSpec, container: &Value, whole: Option<&Value>) {
    let of = |field: &str| container.pointer(&format!("/securityContext/{field}"));
    let inherited = |field: &str| of(field).or_else(|| whole.and_then(|w| w.get(field)));
    let is_true = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
    // On Windows `hostProcess` is what `privileged` is on Linux.
    out.privileged |=
        is_true(of("privileged")) || is_true(inherited("windowsOptions").and_then(|w| w.get("hostProcess")));
    let user = inherited("runAsUser").and_then(Value::as_i64);
    out.runs_as_root |= user.map_or(!is_true(inherited("runAsNonRoot")), |user| user == 0);
    let added = of("capabilities/add").and_then(Value::as_array);
    let added: BTreeSet<Name> = added.into_iter().flatten().filter_map(Value::as_str).map(capability).collect();
    out.capabilities.extend(added);
    let ports = container.get("ports").and_then(Value::as_array);
    out.host_ports |= ports.into_iter().flatten().any(|p| p.get("hostPort").and_then(Value::as_u64).unwrap_or(0) > 0);
    add_commands(out, container);
    out.images.extend(container.get("image").and_then(Value::as_str).map(Name::from));
}

/// What else of a container is run in it: hooks and probes.
const RUN_BESIDES: [&str; 5] = [
    "/lifecycle/postStart/exec/command",
    "/lifecycle/preStop/exec/command",
    "/livenessProbe/exec/command",
    "/readinessProbe/exec/command",
    "/startupProbe/exec/command",
];
/// The longest command line that policies see, in bytes.
const LONGEST_COMMAND: usize = 1024;

/// The words of a list.
fn words(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// What a container runs: its command and arguments; none where its image says what it is.
pub fn command(container: &Value) -> Option<Vec<&str>> {
    let mut all: Vec<&str> = words(container.get("command")).collect();
    if all.is_empty() {
        return None;
    }
    all.extend(words(container.get("args")));
    Some(all)
}

/// What is not known of a command: what the image runs by itself, or what the node makes of variables.
const UNKNOWN: &str = "?";

/// A program by its name.
fn program_of(word: Option<&str>) -> Name {
    match word.filter(|word| !word.contains("$(")).map(|word| word.rsplit('/').next().unwrap_or_default()) {
        None => UNKNOWN.into(),
        // A specification may say so, too.
        Some(UNKNOWN) => quoted(UNKNOWN).into(),
        Some(name) => name.into(),
    }
}

fn add_commands(out: &mut PodSpec, container: &Value) {
    let own = command(container).map(|words| words.into_iter().map(Some).collect::<Vec<_>>());
    let own = own.unwrap_or_else(|| [None].into_iter().chain(words(container.get("args")).map(Some)).collect());
    let besides = RUN_BESIDES.iter().map(|place| words(container.pointer(place)).map(Some).collect::<Vec<_>>());
    for command in std::iter::once(own).chain(besides) {
        let Some(program) = command.first() else { continue };
        out.programs.insert(program_of(*program));
        let mut line = String::new();
        for word in &command {
            if line.len() >= LONGEST_COMMAND {
                break;
            }
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(&word.map_or_else(|| UNKNOWN.to_owned(), quoted));
        }
        line.truncate(line.floor_char_boundary(LONGEST_COMMAND));
        out.commands.insert(line.into());
    }
}

/// The container of this name, in whichever list it stands; without a name the only one.
pub fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let of = |list: &str| pod.get("spec").and_then(|spec| spec.get(list)).and_then(Value::as_array);
    if name.is_empty() {
        let [only] = of("containers")?.as_slice() else { return None };
        return Some(only);
    }
    let mut all = LISTS.iter().filter_map(|list| of(list)).flatten();
    all.find(|container| container.get("name").is_some_and(|own| own == name))
}

/// A capability by its plain name: `CAP_NET_ADMIN` and `net_admin` are `NET_ADMIN` to a runtime.
fn capability(name: &str) -> Name {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).into()
}

/// An object as policies see it, from its place and from what the cluster says of it.
pub fn described(mut place: ApiObject, object: Option<&Value>, namespace: Option<&Value>) -> ApiObject {
    if let Some(object) = object {
        place.labels = labels(object);
    }
    if let Some(namespace) = namespace {
        place.namespace_labels = labels(namespace);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(object: Value) -> PodSpec {
        let mut all = pod_specs(&object);
        assert_eq!(all.len(), 1, "{object}");
        all.remove(0)
    }

    #[test]
    fn pods_are_found_in_every_disguise() {
        let pod = json!({"containers": [{"image": "a", "securityContext": {"privileged": true}}]});
        for object in [
            json!({"kind": "Pod", "spec": pod}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
            json!({"kind": "Workflow", "spec": {"steps": [[{"podSpec": pod}]]}}),
            json!({"kind": "List", "items": [{"kind": "Pod", "spec": pod}]}),
        ] {
            assert!(one(object).privileged);
        }
        let ephemeral = json!({"spec": {"containers": [{"image": "a"}],
            "ephemeralContainers": [{"image": "b", "securityContext": {"privileged": true}}]}});
        assert!(one(ephemeral).privileged);
        let initial =
            json!({"spec": {"initContainers": [{"securityContext": {"privileged": true}}], "containers": []}});
        assert!(one(initial).privileged);
        assert!(pod_specs(&json!({"kind": "ConfigMap", "data": {"containers": "[]"}})).is_empty());
    }

    #[test]
    fn what_matters_is_read() {
        let spec = one(json!({"spec": {
            "hostNetwork": true, "hostPID": true, "serviceAccountName": "robot",
            "volumes": [{"name": "v", "hostPath": {"path": "/var/run"}}, {"name": "w", "emptyDir": {}}],
            "securityContext": {"runAsNonRoot": true},
            "containers": [
                {"image": "a:1", "ports": [{"containerPort": 80, "hostPort": 80}],
                 "securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN", "net_raw"]}}},
                {"image": "b:2"}]}}));
        assert!(spec.host_network && spec.host_pid && !spec.host_ipc && spec.host_ports);
        assert!(!spec.runs_as_root && !spec.privileged);
        assert_eq!(&*spec.service_account, "robot");
        assert_eq!(spec.capabilities, ["SYS_ADMIN".into(), "NET_RAW".into()].into());
        assert_eq!(spec.host_paths, ["/var/run".into()].into());
        assert_eq!(spec.images, ["a:1".into(), "b:2".into()].into());
    }

    #[test]
    fn what_containers_run_is_read() {
        let spec = one(json!({"spec": {
            "initContainers": [{"image": "b", "command": ["/bin/sh", "-c"], "args": ["curl x | sh"]}],
            "containers": [{"image": "a", "args": ["--serve"], "livenessProbe": {"exec": {"command": ["cat", "/ok"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["/usr/bin/nc", "-l"]}}}}]}}));
        let all = |names: &BTreeSet<Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert_eq!(all(&spec.commands), "/bin/sh -c 'curl x | sh'; /usr/bin/nc -l; ? --serve; cat /ok");
        assert_eq!(all(&spec.programs), "?; cat; nc; sh");
        // What a specification says is never what stands for something unknown, nor a variable the name of a program.
        let spec = one(json!({"containers": [{"command": ["/c/?"]}, {"command": ["?"]}]}));
        assert_eq!((all(&spec.commands), all(&spec.programs)), ("'/c/?'; '?'".into(), "'?'".into()));
        let spec =
            one(json!({"containers": [{"command": ["$(S)", "-c"], "env": [{"name": "S", "value": "/bin/sh"}]}]}));
        assert_eq!((all(&spec.commands), all(&spec.programs)), ("'$(S)' -c".into(), "?".into()));
        let long = one(json!({"containers": [{"command": ["é".repeat(9000)]}]}));
        assert!(long.commands.iter().all(|line| line.len() <= LONGEST_COMMAND));
    }

    #[test]
    fn secrets_that_it_gets_are_named() {
        let spec = one(json!({"spec": {
            "volumes": [{"secret": {"secretName": "a"}}, {"projected": {"sources": [{"secret": {"name": "b"}}]}}],
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}],
                            "envFrom": [{"secretRef": {"name": "d"}}]}]}}));
        assert_eq!(spec.secrets, ["a".into(), "b".into(), "c".into(), "d".into()].into());
        // A revision, or anything else that holds but a part.
        let part = one(json!({"data": {"spec": {"template": {"spec": {"hostPID": true}}}}}));
        assert!(part.host_pid);
        let part = one(json!({"data": {"spec": {"volumes": [{"$patch": "replace"}, {"hostPath": {"path": "/"}}]}}}));
        assert_eq!(part.host_paths, ["/".into()].into());
    }

    #[test]
    fn root_is_what_nothing_rules_out() {
        let root = |whole: Value, own: Value| {
            one(json!({"securityContext": whole, "containers": [{"securityContext": own}]})).runs_as_root
        };
        assert!(root(json!({}), json!({})));
        assert!(!root(json!({"runAsUser": 1000}), json!({})));
        assert!(root(json!({"runAsUser": 1000}), json!({"runAsUser": 0})));
        assert!(!root(json!({}), json!({"runAsNonRoot": true})));
        assert!(root(json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false})));
    }

    #[test]
    fn made_up_names_are_none() {
        assert_eq!(&*name(&json!({"metadata": {"name": "a-x7z", "generateName": "a-"}})), "");
        assert_eq!(&*name(&json!({"metadata": {"name": "a"}})), "a");
        let all = labels(&json!({"metadata": {"labels": {"a": "b", "c": 1}}}));
        assert_eq!(all, [("a".into(), "b".into())].into());
    }
}
