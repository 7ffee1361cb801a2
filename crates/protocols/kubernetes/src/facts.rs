//! What a request would do, from its target and from what the cluster says of the objects that it is about.
use crate::{
    copy::Way,
    object,
    target::{About, ResourcePath, Target, Verb},
};
use doorward_model::{Access, Action, ApiObject, Facts, Pod, PodSpec, Resource};
use doorward_shell::{Login, analyse_words};
use serde_json::Value;
use std::sync::Arc;

/// What the gateway has looked up for a decision.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The object as it is.
    pub object: Option<Value>,
    /// Its namespace.
    pub namespace: Option<Value>,
    /// The object as the request would leave it: the answer to a dry run.
    pub outcome: Option<Value>,
    /// The objects that a collection has.
    pub items: Vec<Value>,
    /// What could not be found out, in words.
    pub unknown: Vec<String>,
}

/// A request, as it is decided.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// The rights it needs.
    pub facts: Arc<Facts>,
    /// What it does, for people.
    pub statement: Arc<str>,
}

/// What about an object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// The object itself, or a part that is read and written like it (`status`).
    Object,
    /// A stream to a container or a port: `exec`, `attach`, `portforward`, `proxy`.
    Stream(Action),
    /// Something else with a right of its own.
    Own(Action),
}

/// Which right a subresource needs.
pub fn road(path: &ResourcePath, verb: Verb) -> Road {
    let core = path.group.is_empty();
    match (path.resource.as_str(), path.subresource.as_deref().unwrap_or_default()) {
        ("pods", "exec") if core => Road::Stream(Action::Exec),
        ("pods", "attach") if core => Road::Stream(Action::Attach),
        ("pods", "portforward") if core => Road::Stream(Action::PortForward),
        ("pods" | "services" | "nodes", "proxy") if core => Road::Stream(Action::Proxy),
        ("pods", "log") if core => Road::Own(Action::Log),
        ("pods", "eviction") if core => Road::Own(Action::Evict),
        ("pods", "binding") | ("bindings", _) if core => Road::Own(Action::Bind),
        ("pods", "ephemeralcontainers") if core && verb.is_write() => Road::Own(Action::Debug),
        ("serviceaccounts", "token") if core => Road::Own(Action::Impersonate),
        ("certificatesigningrequests", "approval") if verb.is_write() => Road::Own(Action::Approve),
        (_, "scale") if verb.is_write() => Road::Own(Action::Scale),
        _ => Road::Object,
    }
}

/// Whether a dry run says what the request would leave behind.
pub fn has_outcome(target: &Target) -> bool {
    let Some(path) = target.resource() else { return false };
    let writes = target.verb.is_write();
    match (road(path, target.verb), path.subresource.as_deref()) {
        (Road::Own(Action::Debug), _) => writes,
        (Road::Object, None | Some("status" | "resize")) => writes,
        (Road::Object | Road::Own(_) | Road::Stream(_), _) => false,
    }
}

const fn action_of(verb: Verb) -> Action {
    match verb {
        Verb::Get => Action::Get,
        Verb::List => Action::List,
        Verb::Watch => Action::Watch,
        Verb::Create => Action::Create,
        Verb::Update => Action::Update,
        Verb::Patch => Action::Patch,
        Verb::Delete => Action::Delete,
        Verb::DeleteCollection => Action::DeleteCollection,
    }
}

/// The place of an object.
fn place(path: &ResourcePath) -> ApiObject {
    ApiObject {
        group: path.group.as_str().into(),
        resource: path.resource.as_str().into(),
        namespace: path.namespace.as_deref().map(Into::into),
        name: path.name.as_deref().unwrap_or_default().into(),
        ..ApiObject::default()
    }
}

/// The rights that a request needs.
pub fn of(target: &Target, known: &Known) -> Meaning {
    match &target.about {
        About::Path(segments) => beside(target, segments),
        About::Resource(path) => {
            let mut reader = Reader { path, target, known, accesses: Vec::new() };
            let (command, statement) = reader.read();
            let accesses = reader.accesses;
            Meaning { facts: Arc::new(Facts::new(&command, 1, accesses)), statement: statement.into() }
        }
    }
}

/// The rights that one object of a list or watch needs.
pub fn of_item(target: &Target, path: &ResourcePath, item: &Value, namespace: Option<&Value>) -> Arc<Facts> {
    let action = action_of(target.verb);
    let own = ApiObject {
        namespace: object::namespace(item).or(path.namespace.as_deref()).map(Into::into),
        name: object::own_name(item),
        ..place(path)
    };
    let described = object::described(own, Some(item), namespace);
    let accesses = if is_pods(path) {
        let mut specs = object::pod_specs(item);
        if specs.is_empty() {
            specs.push(PodSpec::default());
        }
        let pod = |spec| Access::new(action, Resource::Pod(Arc::new(Pod { object: described.clone(), spec })));
        specs.into_iter().map(pod).collect()
    } else {
        vec![Access::new(action, Resource::ApiObject(Arc::new(described)))]
    };
    Arc::new(Facts::new(action.as_str(), 1, accesses))
}

/// Whether the objects of a path are pods.
pub fn is_pods(path: &ResourcePath) -> bool {
    path.group.is_empty() && path.resource == "pods"
}

/// Whether it is asked what the API has, or how it is: that carries no data of the cluster's users.
pub fn is_discovery(target: &Target) -> bool {
    let About::Path(segments) = &target.about else { return false };
    match segments.first().map(String::as_str) {
        None | Some("api" | "apis" | "version" | "openapi" | "healthz" | "livez" | "readyz" | "openid") => true,
        Some(first) => first == ".well-known",
    }
}

fn beside(target: &Target, segments: &[String]) -> Meaning {
    let path = format!("/{}", segments.join("/"));
    let access = if is_discovery(target) {
        Access::new(Action::Connect, Resource::Connection)
    } else {
        let what = format!("the path `{path}`, which is no resource");
        Access::new(Action::Opaque, Resource::Opaque { what: what.into() })
    };
    Meaning { facts: Arc::new(Facts::new("get", 1, vec![access])), statement: format!("get {path}").into() }
}

struct Reader<'a> {
    path: &'a ResourcePath,
    target: &'a Target,
    known: &'a Known,
    accesses: Vec<Access>,
}

impl Reader<'_> {
    /// Collects the rights, and says how the request is named.
    fn read(&mut self) -> (String, String) {
        for what in &self.known.unknown {
            self.opaque(what.clone());
        }
        let action = match road(self.path, self.target.verb) {
            Road::Object => action_of(self.target.verb),
            Road::Own(action) | Road::Stream(action) => action,
        };
        let action = if action == Action::Exec { self.exec() } else { action };
        if action == Action::Attach {
            self.attach();
        }
        self.on_object(action);
        // PUT and server-side apply make what is not there, as the API server's own RBAC has it.
        let makes = self.known.object.is_none() && self.known.outcome.is_some();
        if makes && matches!(action, Action::Update | Action::Patch) {
            self.on_object(Action::Create);
        }
        self.rights_of_others();
        (action.to_string(), self.statement(action))
    }

    fn push(&mut self, action: Action, resource: Resource) {
        self.accesses.push(Access::new(action, resource));
    }

    fn opaque(&mut self, what: String) {
        self.push(Action::Opaque, Resource::Opaque { what: what.into() });
    }

    /// The right on the object itself: as it is, and as it would be.
    fn on_object(&mut self, action: Action) {
        let known = self.known;
        let namespace = known.namespace.as_ref();
        let mut own = place(self.path);
        if let (Some(outcome), true) = (&known.outcome, own.name.is_empty()) {
            own.name = object::name(outcome);
        }
        // Other parts of a pod, and parts that nobody has heard of, are objects with a name of their own.
        let part = match (self.path.subresource.as_deref(), action) {
            (Some(part), Action::Get | Action::Create | Action::Update | Action::Patch | Action::Delete) => Some(part),
            _ => None,
        };
        let is_pod = own.group.is_empty() && &*own.resource == "pods" && !own.name.is_empty();
        if let Some(part) = part {
            let whole = Resource::ApiObject(Arc::new(ApiObject {
                resource: format!("{}/{part}", own.resource).into(),
                ..object::described(own.clone(), known.object.as_ref(), namespace)
            }));
            self.push(action, whole);
            // What changes a part of a pod changes the pod, its labels too.
            if !is_pod {
                return self.items(action);
            }
        }
        let states: Vec<Option<&Value>> = match (&known.object, &known.outcome) {
            (None, None) => vec![None],
            (before, after) => [before.as_ref(), after.as_ref()].into_iter().flatten().map(Some).collect(),
        };
        for state in states {
            let described = object::described(own.clone(), state, namespace);
            let made = state.map(object::pod_specs).unwrap_or_default();
            if is_pod || (&*own.resource == "pods" && state.is_some()) {
                self.pods(action, &described, made);
            } else {
                self.push(action, Resource::ApiObject(Arc::new(described.clone())));
                if Some(state) == Some(known.outcome.as_ref()) && state.is_some() {
                    let of_pods = ApiObject { group: "".into(), resource: "pods".into(), ..described };
                    self.specs(action, &of_pods, made);
                }
            }
        }
        self.items(action);
    }

    fn pods(&mut self, action: Action, described: &ApiObject, specs: Vec<PodSpec>) {
        if specs.is_empty() {
            return self.specs(action, described, vec![PodSpec::default()]);
        }
        self.specs(action, described, specs);
    }

    fn specs(&mut self, action: Action, object: &ApiObject, specs: Vec<PodSpec>) {
        for spec in specs {
            let pod = Pod { object: object.clone(), spec };
            self.push(action, Resource::Pod(Arc::new(pod)));
        }
    }

    /// Each object that a collection has, where all of them are touched.
    fn items(&mut self, action: Action) {
        let known = self.known;
        for item in &known.items {
            let own = ApiObject {
                namespace: object::namespace(item).or(self.path.namespace.as_deref()).map(Into::into),
                name: object::own_name(item),
                ..place(self.path)
            };
            let described = object::described(own, Some(item), known.namespace.as_ref());
            if &*described.resource == "pods" && described.group.is_empty() {
                self.pods(action, &described, object::pod_specs(item));
            } else {
                self.push(action, Resource::ApiObject(Arc::new(described)));
            }
        }
    }

    /// Roles and their bindings give rights to somebody.
    fn rights_of_others(&mut self) {
        if !self.target.verb.is_write() || self.path.group != "rbac.authorization.k8s.io" {
            return;
        }
        let action = match self.path.resource.as_str() {
            "roles" | "clusterroles" => Action::Escalate,
            "rolebindings" | "clusterrolebindings" => Action::Bind,
            _ => return,
        };
        self.on_object(action);
    }

    /// What a command would do in the container. Copies of `kubectl cp` have a right of their own.
    fn exec(&mut self) -> Action {
        let words: Vec<&str> = self.target.parameters("command").collect();
        if words.is_empty() {
            self.opaque("a command that is empty".into());
            return Action::Exec;
        }
        let specs = self.known.object.as_ref().map(object::pod_specs).unwrap_or_default();
        // Where nothing is known of the pod, it is taken for the worst.
        let is_root = specs.is_empty() || specs.iter().any(|s| s.runs_as_root);
        let analysis = analyse_words(&words, Login { is_root });
        self.accesses.extend(analysis.facts.accesses);
        if copy_of(&words).is_some() { Action::Cp } else { Action::Exec }
    }

    /// Whoever attaches with its input takes over what the container runs: as if it had been run for it.
    fn attach(&mut self) {
        // As the API server reads a truth in a query: what is not plainly false is true.
        let is_false = |value: &str| value == "0" || value.eq_ignore_ascii_case("false");
        if self.target.parameter("stdin").is_none_or(is_false) {
            return;
        }
        // A pod that is not there is answered for without a stream.
        let Some(pod) = &self.known.object else { return };
        let name = self.target.parameter("container").unwrap_or_default();
        let command = object::container(pod, name).map(object::command);
        let words = match command {
            Some(Some(words)) => words,
            Some(None) => return self.opaque("what the image of the container runs by itself".into()),
            None => return self.opaque(format!("the container `{name}`, which is not known")),
        };
        // The node puts variables of the container in their place (`$(NAME)`).
        if words.iter().any(|word| word.contains("$(")) {
            return self.opaque("a command of the container with variables in it".into());
        }
        let is_root = object::pod_specs(pod).iter().any(|s| s.runs_as_root);
        self.accesses.extend(analyse_words(&words, Login { is_root }).facts.accesses);
    }

    fn statement(&self, action: Action) -> String {
        let path = self.path;
        let mut out = format!("{action} {}", place(path).kind());
        if let (Some(part), Road::Object) = (&path.subresource, road(path, self.target.verb)) {
            out.push_str(&format!("/{part}"));
        }
        if let Some(namespace) = &path.namespace {
            let name = path.name.as_deref().map_or_else(|| "*".to_owned(), quoted);
            out.push_str(&format!(" {}/{name}", quoted(namespace)));
        } else if let Some(name) = &path.name {
            out.push_str(&format!(" {}", quoted(name)));
        }
        for (name, value) in [("container", "-c"), ("labelSelector", "-l"), ("fieldSelector", "--field-selector")] {
            if let Some(given) = self.target.parameter(name).filter(|given| !given.is_empty()) {
                out.push_str(&format!(" {value} {}", quoted(given)));
            }
        }
        let words: Vec<String> = self.target.parameters("command").map(quoted).collect();
        if !words.is_empty() {
            out.push_str(&format!(" -- {}", words.join(" ")));
        }
        if !path.tail.is_empty() {
            out.push_str(&format!(" {}", quoted(&format!("/{}", path.tail.join("/")))));
        }
        out
    }
}

/// A word as a shell would want it. What would change how people see the rest is not shown.
pub(crate) fn quoted(word: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '=' | ':' | ',' | '+' | '@' | '%');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    format!("'{}'", word.replace('\'', "'\\''")).chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// The far ends of `kubectl cp` (`tar cf - PATH`, `tar -xmf - -C DIR`; `kubectl/pkg/cmd/cp`): which way files go.
pub(crate) fn copy_of(words: &[&str]) -> Option<Way> {
    let known = match words {
        ["tar", "cf", "-", rest @ ..] => !rest.is_empty() && rest.iter().all(|w| !w.starts_with('-')),
        ["tar", "-xmf" | "xmf" | "-xf" | "xf", "-"] => true,
        ["tar", "-xmf" | "xmf" | "-xf" | "xf", "-", "-C", dir] => !dir.starts_with('-'),
        ["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-", "-C", dir] => !dir.starts_with('-'),
        ["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"] => true,
        _ => false,
    };
    known.then_some(if words.get(1) == Some(&"cf") { Way::Download } else { Way::Upload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(method: &str, path: &str, known: &Known) -> String {
        let meaning = of(&Target::parse(method, path).unwrap(), known);
        let all: Vec<String> = meaning.facts.accesses.iter().map(ToString::to_string).collect();
        format!("{}: {}", meaning.statement, all.join(", "))
    }

    fn nothing() -> Known {
        Known::default()
    }

    #[test]
    fn each_road_has_its_right() {
        let pod = "/api/v1/namespaces/a/pods/x";
        for (method, path, rights) in [
            ("GET", "/version", "get /version: connect on Connection"),
            ("GET", "/metrics", "get /metrics: opaque on Opaque `the path `/metrics`, which is no resource`"),
            ("GET", "/api/v1/pods", "list pods: list on ApiObject `-/pods/*`"),
            ("GET", pod, "get pods a/x: get on Pod `a/pods/x`"),
            ("DELETE", pod, "delete pods a/x: delete on Pod `a/pods/x`"),
            ("GET", &format!("{pod}/log?container=c"), "log pods a/x -c c: log on Pod `a/pods/x`"),
            ("GET", &format!("{pod}/attach"), "attach pods a/x: attach on Pod `a/pods/x`"),
            ("POST", &format!("{pod}/portforward"), "portforward pods a/x: portforward on Pod `a/pods/x`"),
            ("POST", &format!("{pod}/eviction"), "evict pods a/x: evict on Pod `a/pods/x`"),
            ("PATCH", &format!("{pod}/ephemeralcontainers"), "debug pods a/x: debug on Pod `a/pods/x`"),
            ("GET", &format!("{pod}/proxy/m"), "proxy pods a/x /m: proxy on Pod `a/pods/x`"),
            (
                "PUT",
                &format!("{pod}/status"),
                "update pods/status a/x: update on ApiObject `a/pods/status/x`, update on Pod `a/pods/x`",
            ),
            ("GET", "/api/v1/nodes/n/proxy/exec/a/b/c", "proxy nodes n /exec/a/b/c: proxy on ApiObject `-/nodes/n`"),
            (
                "POST",
                "/api/v1/namespaces/a/serviceaccounts/s/token",
                "impersonate serviceaccounts a/s: impersonate on ApiObject `a/serviceaccounts/s`",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "scale deployments.apps a/d: scale on ApiObject `a/deployments.apps/d`",
            ),
            (
                "PUT",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin",
                "update clusterroles.rbac.authorization.k8s.io admin: \
                 update on ApiObject `-/clusterroles.rbac.authorization.k8s.io/admin`, \
                 escalate on ApiObject `-/clusterroles.rbac.authorization.k8s.io/admin`",
            ),
        ] {
            assert_eq!(asked(method, path, &nothing()), rights);
        }
    }

    #[test]
    fn what_would_be_is_judged_with_its_pods() {
        let deployment = json!({"metadata": {"name": "d", "labels": {"t": "1"}}, "spec": {"template": {"spec":
            {"containers": [{"image": "i", "securityContext": {"privileged": true}}]}}}});
        let known = Known { outcome: Some(deployment), ..Known::default() };
        let meaning = of(&Target::parse("POST", "/apis/apps/v1/namespaces/a/deployments").unwrap(), &known);
        let pods = meaning.facts.accesses.iter().filter_map(|a| {
            let Resource::Pod(pod) = &a.resource else { return None };
            Some((a.action, pod.spec.privileged, pod.object.name.to_string()))
        });
        assert_eq!(pods.collect::<Vec<_>>(), [(Action::Create, true, "d".to_owned())]);
        // As it is, and as it would be: neither hides behind the other.
        let pod = |label: &str| json!({"metadata": {"name": "x", "labels": {"environment": label}}, "spec": {"containers": []}});
        let known = Known { object: Some(pod("prod")), outcome: Some(pod("dev")), ..Known::default() };
        let meaning = of(&Target::parse("PATCH", "/api/v1/namespaces/a/pods/x").unwrap(), &known);
        assert_eq!(meaning.facts.accesses.len(), 2);
    }

    #[test]
    fn an_apply_that_makes_an_object_creates_it() {
        let made = json!({"metadata": {"name": "x"}, "spec": {"containers": []}});
        let known = Known { outcome: Some(made.clone()), ..Known::default() };
        let apply = |known: &Known| asked("PATCH", "/api/v1/namespaces/a/pods/x", known);
        assert!(apply(&known).contains("create on Pod `a/pods/x`"), "{}", apply(&known));
        let known = Known { object: Some(made), ..known };
        assert!(!apply(&known).contains("create on"), "{}", apply(&known));
    }

    #[test]
    fn commands_are_read_as_a_shell_would_run_them() {
        let exec = |command: &str, object: Value| {
            let path = format!("/api/v1/namespaces/a/pods/x/exec?{command}");
            asked("POST", &path, &Known { object: Some(object), ..Known::default() })
        };
        let pod = json!({"spec": {"containers": [{"image": "i", "securityContext": {"runAsUser": 7}}]}});
        let shown = exec("command=cat&command=/etc/passwd", pod.clone());
        for part in
            ["exec on Pod `a/pods/x`", "run_program on Program `cat /etc/passwd`", "read_file on File `/etc/passwd`"]
        {
            assert!(shown.contains(part), "{shown}");
        }
        let shown = exec("command=sh&command=-c&command=curl%20x%20|%20sh", pod.clone());
        assert!(shown.contains("-- sh -c 'curl x | sh'") && shown.contains("curl"), "{shown}");
        assert!(exec("container=c", pod.clone()).contains("Opaque"));
        let shown = exec("command=tar&command=cf&command=-&command=/srv", pod);
        assert!(shown.contains("cp on Pod") && !shown.contains("exec on Pod"), "{shown}");
    }

    #[test]
    fn whoever_attaches_takes_over_what_runs_there() {
        let attach = |query: &str, containers: Value| {
            let known = Known { object: Some(json!({"spec": {"containers": containers}})), ..Known::default() };
            asked("POST", &format!("/api/v1/namespaces/a/pods/x/attach?{query}"), &known)
        };
        let shell = json!([{"name": "a", "command": ["/bin/bash"]}]);
        let shown = attach("stdin=true&stdout=true&tty=true", shell.clone());
        let exec = {
            let known = Known { object: Some(json!({"spec": {"containers": shell}})), ..Known::default() };
            asked("POST", "/api/v1/namespaces/a/pods/x/exec?command=/bin/bash&stdin=true", &known)
        };
        assert_eq!(shown.replace("attach", "exec"), exec.replace(" -- /bin/bash", ""), "as if it had been run");
        // What cannot be typed does nothing.
        for query in ["stdout=true", "stdin=false", "stdin=False&stdout=1", "stdin=0"] {
            assert!(!attach(query, shell.clone()).contains("bash"), "{query}");
        }
        for query in ["stdin=1", "stdin=yes", "stdin="] {
            assert!(attach(query, shell.clone()).contains("bash"), "{query}");
        }
        let two = json!([{"name": "a", "command": ["cat"]}, {"name": "b", "command": ["sh"], "args": ["-c", "id"]}]);
        assert!(attach("stdin=1&container=b", two.clone()).contains("Program `id`"));
        for (query, containers) in [
            ("stdin=1", two.clone()),
            ("stdin=1&container=c", two),
            ("stdin=1", json!([{"name": "a", "image": "nginx", "args": ["x"]}])),
            ("stdin=1", json!([{"name": "a", "command": ["$(SHELL)"]}])),
        ] {
            let shown = attach(query, containers);
            assert!(shown.contains("opaque on Opaque") && shown.contains("attach on Pod"), "{shown}");
        }
    }

    #[test]
    fn objects_that_there_are_have_their_names() {
        let made = json!({"metadata": {"name": "web-x7z", "generateName": "web-", "namespace": "a"}});
        let target = Target::parse("GET", "/api/v1/pods").unwrap();
        let facts = of_item(&target, target.resource().unwrap(), &made, None);
        assert_eq!(facts.accesses[0].to_string(), "list on Pod `a/pods/web-x7z`");
        let known = Known { items: vec![made], ..Known::default() };
        let all = asked("DELETE", "/api/v1/namespaces/a/pods", &known);
        assert!(all.contains("deletecollection on Pod `a/pods/web-x7z`"), "{all}");
    }

    #[test]
    fn what_could_not_be_looked_up_is_opaque() {
        let known = Known { unknown: vec!["the pod".into()], ..Known::default() };
        assert!(asked("GET", "/api/v1/namespaces/a/pods/x/log", &known).contains("opaque on Opaque `the pod`"));
    }
}
