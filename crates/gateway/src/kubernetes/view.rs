//! What a caller may see of the objects of a request: decided before it is sent, since it says in which form they are
//! asked for.
use super::{message::Message, session::Session};
use crate::services::now;
use doorward_enforce::{Detail, MaskRule, Reveal};
use doorward_kubernetes::{
    ResourcePath, Target, Verb,
    facts::{self, Road},
    field::Field,
    split::Form,
    veil::Hidden,
};
use doorward_model::{Action, DataType, Operator, Resource};
use http::{HeaderValue, header};
use std::sync::Arc;

/// What of an object a row of a table is to have (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InRows {
    Nothing,
    Metadata,
    All,
}

/// What is looked at in an answer, and how.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) target: Target,
    pub(crate) path: ResourcePath,
    pub(crate) kind: String,
    pub(crate) form: Form,
    pub(crate) in_rows: InRows,
    /// What makes it necessary to look.
    pub(crate) sight: Sight,
}

/// What policy says of what a caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Kinds of values that are hidden.
    types: Vec<DataType>,
    /// Whether fields are hidden, in the namespace of the request, or may be, where it has none.
    fields: bool,
    /// Whether the objects of a list are decided one by one.
    pub(crate) each: bool,
}

impl Sight {
    /// What a caller may see now.
    pub(crate) fn of(session: &Session, target: &Target, path: &ResourcePath) -> Self {
        Self { types: session.hidden(), fields: hides_fields(session, path), each: decides_each(session, target, path) }
    }

    /// Whether nothing is hidden: answers are not looked at.
    pub(crate) const fn is_whole(&self) -> bool {
        self.types.is_empty() && !self.fields && !self.each
    }
}

impl View {
    /// How the answer is to be looked at; none where it is no object. Where nothing is hidden that is to stay so for as
    /// long as the answer goes on.
    pub(crate) fn of(session: &Session, target: &Target) -> Option<Self> {
        let path = target.resource()?;
        if matches!(facts::road(path, target.verb), Road::Stream(_) | Road::Own(Action::Log)) {
            return None;
        }
        let sight = Sight::of(session, target, path);
        let form = match target.verb {
            Verb::List | Verb::DeleteCollection => Form::List,
            Verb::Watch => Form::Watch,
            Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => Form::Whole,
        };
        let in_rows = match target.parameter("includeObject") {
            Some("None") => InRows::Nothing,
            Some("Object") => InRows::All,
            Some(_) | None => InRows::Metadata,
        };
        Some(Self { target: target.clone(), path: path.clone(), kind: path.kind(), form, in_rows, sight })
    }

    /// Asks for a form in which everything can be looked at: JSON, and whole objects in rows of tables.
    pub(crate) fn ask(&self, message: &mut Message) {
        if self.sight.is_whole() {
            return;
        }
        let accept = message.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let json = accepted(accept, self.sight.each);
        if json.contains("as=Table") {
            message.target = self.target.canonical_with(&[("includeObject", "Object")]);
        }
        if let Ok(value) = HeaderValue::from_str(&json) {
            message.headers.insert(header::ACCEPT, value);
        }
    }
}

/// What a caller accepts, as far as it can be looked at, written anew: the API server takes blanks anywhere for none
/// (`as = Table`), and does not tell what it does not know.
fn accepted(accept: &str, each: bool) -> String {
    let mut out: Vec<String> = Vec::new();
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            continue;
        }
        let parameters: Vec<(&str, &str)> =
            parts.filter_map(|p| p.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect();
        // The last one counts, as there.
        let of = |wanted: &str| parameters.iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let version = of("v").filter(|v| matches!(*v, "v1" | "v1beta1"));
        let form = match (of("as"), version) {
            (None, _) => "application/json".to_owned(),
            // Rows show whole objects as they are asked for here; objects of metadata alone do not.
            (Some(kind @ ("PartialObjectMetadata" | "PartialObjectMetadataList")), Some(v)) if !each => {
                format!("application/json;as={kind};v={v};g=meta.k8s.io")
            }
            (Some("Table"), Some(v)) => format!("application/json;as=Table;v={v};g=meta.k8s.io"),
            (Some(_), _) => continue,
        };
        let stream = of("stream").filter(|s| *s == "watch").map_or("", |_| ";stream=watch");
        out.push(form + stream);
    }
    if out.is_empty() { "application/json".to_owned() } else { out.join(",") }
}

/// Whether fields are hidden there; where objects of many namespaces come, whether there are such fields at all.
fn hides_fields(session: &Session, path: &ResourcePath) -> bool {
    let kind = path.kind();
    let mut fields = session.endpoint.connection.fields.of(&kind).peekable();
    let is_of_many = path.namespace.is_none() && path.name.is_none();
    if is_of_many {
        return fields.peek().is_some();
    }
    fields.any(|field| session.hides(field, path.namespace.as_deref()).is_some())
}

/// How closely policy looks at what is to be read: what it does not look at need not be looked up. Of what is changed, and
/// of other roads, everything is.
pub(crate) fn detail(session: &Session, target: &Target) -> Detail {
    let Some(path) = target.resource() else { return Detail::Object };
    let action = match target.verb {
        Verb::Get => Action::Get,
        Verb::List => Action::List,
        Verb::Watch => Action::Watch,
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => return Detail::Object,
    };
    if path.subresource.is_some() || facts::road(path, target.verb) != Road::Object {
        return Detail::Object;
    }
    let mut enforcer = session.live.enforcer.lock();
    let of_pods = if facts::is_pods(path) { enforcer.detail(action, "Pod") } else { Detail::Kind };
    enforcer.detail(action, "ApiObject").max(of_pods)
}

/// Whether policy looks closer than at what all objects of a list or watch have in common.
fn decides_each(session: &Session, target: &Target, path: &ResourcePath) -> bool {
    let action = match target.verb {
        Verb::List => Action::List,
        Verb::Watch => Action::Watch,
        Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => return false,
    };
    let shared = if path.namespace.is_some() { Detail::Namespace } else { Detail::Kind };
    let mut enforcer = session.live.enforcer.lock();
    if !facts::is_pods(path) {
        return enforcer.detail(action, "ApiObject") > shared;
    }
    // A list of pods is asked for as a collection, each of them as a pod.
    let any = facts::of_item(target, path, &serde_json::Value::Null, None);
    enforcer.detail(action, "Pod") > shared || !enforcer.would_allow(&any, now())
}

impl Session {
    /// How a field is masked for the caller, where it is hidden.
    pub(crate) fn hides(&self, field: &Field, namespace: Option<&str>) -> Option<Arc<MaskRule>> {
        let (kind, path) = (field.kind.clone(), field.path.clone());
        let resource = Resource::Field { kind, path, namespace: namespace.map(Into::into) };
        match self.live.enforcer.lock().reveal(&resource, now()) {
            Reveal::Clear => None,
            Reveal::Masked(rule) => Some(rule),
        }
    }

    /// The fields of a kind that are hidden from the caller.
    pub(crate) fn hidden_fields(&self, kind: &str, namespace: Option<&str>) -> Vec<(&Field, Arc<MaskRule>)> {
        let fields = self.endpoint.connection.fields.of(kind);
        fields.filter_map(|field| Some((field, self.hides(field, namespace)?))).collect()
    }

    /// The fields of a kind that are hidden from the caller in what a path covers, be it in a part of it.
    pub(crate) fn hidden_somewhere(&self, path: &ResourcePath) -> Vec<&Field> {
        let is_of_many = path.namespace.is_none() && path.name.is_none();
        let differs = is_of_many && self.live.enforcer.lock().detail(Action::Reveal, "Field") > Detail::Kind;
        let fields = self.endpoint.connection.fields.of(&path.kind()).collect::<Vec<_>>();
        let is_hidden = |field: &&Field| differs || self.hides(field, path.namespace.as_deref()).is_some();
        fields.into_iter().filter(is_hidden).collect()
    }

    /// Kinds of values that are hidden, as recognizers take them.
    pub(crate) fn operators(&self) -> Vec<(DataType, Operator)> {
        self.live.masks().into_iter().map(|(kind, rule)| (kind, rule.operator.clone())).collect()
    }
}

/// Fields with their masks, as a veil takes them.
pub(crate) fn hidden<'a>(fields: &'a [(&'a Field, Arc<MaskRule>)]) -> Vec<Hidden<'a>> {
    fields.iter().map(|(field, rule)| Hidden { field, operator: &rule.operator, label: &rule.label }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_written_anew() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (said, meant) in [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("application/yaml;x=json", "application/json"),
            (table, table),
            ("Application/JSON; v=v1 ;as = Table;g=meta.k8s.io;q=0.1", table),
            ("application/json;as=Tables;v=v1, application/json;as=x;as= Table;v=v1", table),
            ("application/json;as=Table;v=v2", "application/json"),
            ("application/json;as= PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json"),
            ("application/json;stream=watch, application/vnd.kubernetes.protobuf", "application/json;stream=watch"),
        ] {
            assert_eq!(accepted(said, true), meant, "{said}");
        }
        let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(accepted(metadata, false), metadata);
    }
}
