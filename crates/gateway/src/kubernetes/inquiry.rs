//! What is looked up for a decision: the object, its namespace, what a write would leave behind.
use super::{
    cluster::{Cluster, ClusterError, Whole},
    message::Message,
};
use crate::memory::Room;
use doorward_enforce::Detail;
use doorward_kubernetes::{
    ResourcePath, Target, Verb,
    facts::{self, Known},
    target::path_of,
};
use http::Method;
use reqwest::StatusCode;
use serde_json::Value;

/// The most objects that may be removed at once.
const MOST_ITEMS: usize = 500;

/// What the cluster said.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) known: Known,
    /// The cluster's own answer where the request cannot succeed: nobody need be asked for good. Shown to who may ask.
    pub(crate) in_vain: Option<Whole>,
    /// What could not be looked up: nothing can be decided.
    pub(crate) failed: Option<String>,
    /// Whether that is for lack of room alone.
    pub(crate) is_full: bool,
    /// What tells the object from another one of its name.
    pub(crate) uid: Option<String>,
    /// The room that it takes.
    pub(crate) room: Option<Room>,
}

impl Found {
    /// What is needed no more while people decide: it is looked up anew after that.
    pub(crate) fn forget(&mut self) {
        *self = Self { uid: self.uid.take(), ..Self::default() };
    }

    fn fail(&mut self, what: &str, e: &ClusterError) {
        tracing::warn!("{what} could not be looked up: {e}");
        self.is_full |= matches!(e, ClusterError::NoRoom(_) | ClusterError::Busy);
        self.failed.get_or_insert_with(|| format!("{what} could not be looked up: {e}"));
    }
}

/// Looks up what there is, for a decision that looks so closely.
pub(crate) async fn look(cluster: &Cluster, target: &Target, detail: Detail, room: &Room) -> Found {
    let Some(path) = target.resource() else { return Found::default() };
    // Side by side: neither needs the other, and each is a journey.
    let objects =
        async { if detail < Detail::Object { Found::default() } else { objects(cluster, target, path, room).await } };
    let namespace = async { if detail < Detail::Namespace { None } else { namespace(cluster, path, room).await } };
    let (mut found, namespace) = tokio::join!(objects, namespace);
    match namespace {
        Some(Ok(Ok(namespace))) => found.known.namespace = Some(namespace),
        // A namespace that is not there has no labels.
        Some(Ok(Err(_))) | None => {}
        Some(Err(e)) => found.fail(&format!("the namespace `{}`", path.namespace.as_deref().unwrap_or_default()), &e),
    }
    found
}

/// The namespace of what is asked for.
async fn namespace(
    cluster: &Cluster,
    path: &ResourcePath,
    room: &Room,
) -> Option<Result<Result<Value, Whole>, ClusterError>> {
    let namespace = path.namespace.as_deref()?;
    Some(object(cluster, &path_of(["api", "v1", "namespaces", namespace].into_iter()), room).await)
}

/// The object that is asked for, or those that are to be removed.
async fn objects(cluster: &Cluster, target: &Target, path: &ResourcePath, room: &Room) -> Found {
    let mut found = Found::default();
    if path.name.is_some() {
        of_object(cluster, path, &mut found, room).await;
    }
    if target.verb == Verb::DeleteCollection {
        items(cluster, target, &mut found, room).await;
    }
    found
}

/// An object; or the answer of the cluster, where there is none.
async fn object(cluster: &Cluster, at: &str, room: &Room) -> Result<Result<Value, Whole>, ClusterError> {
    let whole = cluster.get(at, room).await?;
    match whole.status {
        StatusCode::OK => Ok(Ok(whole.body)),
        StatusCode::NOT_FOUND => Ok(Err(whole)),
        other => Err(ClusterError::Odd(format!("{other}"))),
    }
}

fn bare(path: &ResourcePath) -> ResourcePath {
    // The port of a proxied pod or service stands in its name: `https:web:443`.
    let name = path.name.as_deref().map(|name| match path.subresource.as_deref() {
        Some("proxy") => name.split(':').nth(usize::from(name.matches(':').count() > 1)).unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    });
    ResourcePath { name, ..path.clone() }
}

async fn of_object(cluster: &Cluster, path: &ResourcePath, found: &mut Found, room: &Room) {
    let bare = bare(path);
    match object(cluster, &bare.object(), room).await {
        Ok(Ok(object)) => {
            found.uid = object.pointer("/metadata/uid").and_then(Value::as_str).map(ToOwned::to_owned);
            found.known.object = Some(object);
        }
        Ok(Err(not_there)) => found.in_vain = Some(not_there),
        Err(e) => found.fail(&format!("the object `{}`", bare.object()), &e),
    }
}

/// What is not there is answered for by the cluster, as it answers whom the request is of: whether there is such an object
/// is not everybody's to know.
pub(crate) async fn as_whom_it_is_of(
    cluster: &Cluster,
    target: &Target,
    message: &Message,
    found: &mut Found,
    room: &Room,
) {
    let (true, Some(path), Some(_)) = (message.is_of_another, target.resource(), &found.in_vain) else { return };
    match cluster.ask(&message.look(&bare(path).object()), room).await {
        Ok(whole) if whole.status.is_success() => {
            found.fail("the object", &ClusterError::Odd("it came to be meanwhile".into()));
        }
        Ok(whole) => found.in_vain = Some(whole),
        Err(e) => found.fail("the object", &e),
    }
}

/// Looks up what a write would leave behind. It runs the cluster's webhooks: only for who may write there as far as the
/// path says.
pub(crate) async fn outcome(cluster: &Cluster, target: &Target, message: &Message, found: &mut Found, room: &Room) {
    if !facts::has_outcome(target) {
        return;
    }
    match cluster.ask(&message.dry(target), room).await {
        Ok(whole) if whole.status.is_success() => {
            found.known.outcome = Some(whole.body);
            // Server-side apply makes what is not there.
            found.in_vain = None;
        }
        Ok(refused) => found.in_vain = Some(refused),
        Err(e) => found.fail("what the request would do", &e),
    }
}

/// What a collection has that is to be removed.
async fn items(cluster: &Cluster, target: &Target, found: &mut Found, room: &Room) {
    let Some(path) = target.resource() else { return };
    let limit = (MOST_ITEMS + 1).to_string();
    let mut query = vec![("limit", limit.as_str())];
    for name in ["labelSelector", "fieldSelector"] {
        query.extend(target.parameter(name).map(|value| (name, value)));
    }
    let Ok(list) = Target::parse(Method::GET.as_str(), &path.object()) else { return };
    let body = match cluster.get(&list.canonical_with(&query), room).await {
        Ok(whole) if whole.status.is_success() => whole.body,
        Ok(other) => return found.fail("what would be removed", &ClusterError::Odd(other.status.to_string())),
        Err(e) => return found.fail("what would be removed", &e),
    };
    // A server may give fewer than were asked for, and say that there are more.
    let more = body.pointer("/metadata/continue").and_then(Value::as_str).is_some_and(|more| !more.is_empty());
    match body.get("items").and_then(Value::as_array) {
        Some(items) if items.len() <= MOST_ITEMS && !more => items.clone_into(&mut found.known.items),
        Some(_) => found.known.unknown.push(format!("more than {MOST_ITEMS} objects at once")),
        None => found.fail("what would be removed", &ClusterError::Odd("no list".into())),
    }
}
