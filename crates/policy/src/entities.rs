//! Principals, connections and resources as Cedar entities.
//!
//! An entity carries all its ancestors as parents, so that the entities in between need not be made for
//! every decision: what a policy can ask is `in`, and the attributes of principal, resource, connection.
use crate::{catalogues, kubernetes};
use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use doorward_enforce::Subject;
use doorward_model::{Action, ConnectionInfo, Name, Principal, PrincipalKind, Resource};
use std::{
    collections::{BTreeSet, HashMap},
    str::FromStr as _,
    sync::LazyLock,
};

const TYPES: [&str; 25] = [
    "Agent",
    "User",
    "Group",
    "Action",
    "Connection",
    "Database",
    "Schema",
    "Table",
    "Column",
    "Function",
    "Setting",
    "Role",
    "Channel",
    "File",
    "Program",
    "Variable",
    "Host",
    "Object",
    "Namespace",
    "ApiObject",
    "Pod",
    "Field",
    "DataType",
    "Opaque",
    "Gateway",
];

/// Names of types are parsed once.
static TYPE_NAMES: LazyLock<HashMap<&'static str, EntityTypeName>> =
    LazyLock::new(|| TYPES.into_iter().filter_map(|t| Some((t, EntityTypeName::from_str(t).ok()?))).collect());

static ACTIONS: LazyLock<HashMap<Action, EntityUid>> =
    LazyLock::new(|| Action::ALL.iter().filter_map(|a| Some((*a, uid("Action", a.as_str())?))).collect());

pub(crate) type Attributes = Vec<(String, RestrictedExpression)>;

pub(crate) fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(TYPE_NAMES.get(kind)?.clone(), EntityId::new(id)))
}

pub(crate) fn action_uid(action: Action) -> Option<EntityUid> {
    ACTIONS.get(&action).cloned()
}

pub(crate) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

pub(crate) fn set(values: BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(RestrictedExpression::new_string))
}

fn entity(uid: EntityUid, attributes: Attributes, parents: impl IntoIterator<Item = EntityUid>) -> Option<Entity> {
    Entity::new(uid, attributes.into_iter().collect(), parents.into_iter().collect()).ok()
}

/// An entity with tags.
pub(crate) fn entity_with_tags(
    uid: EntityUid,
    attributes: Attributes,
    parents: impl IntoIterator<Item = EntityUid>,
    tags: impl IntoIterator<Item = (String, RestrictedExpression)>,
) -> Option<Entity> {
    Entity::new_with_tags(uid, attributes, parents, tags).ok()
}

pub(crate) fn principal_uid(p: &Principal) -> Option<EntityUid> {
    let kind = match p.kind {
        PrincipalKind::Agent => "Agent",
        PrincipalKind::User => "User",
    };
    uid(kind, &p.id())
}

/// The groups of a principal: by issuer and name, and by name alone.
///
/// INVARIANT: a name with a `/` in it is never used alone (but for a leading one, which no issuer's name
/// can stand before): an issuer could otherwise claim the groups of another, `other/admins`.
pub(crate) fn groups(p: &Principal) -> Vec<EntityUid> {
    let alone = |g: &&String| !g.contains('/') || g.starts_with('/');
    let by_name = p.groups.iter().filter(alone).filter_map(|g| uid("Group", g));
    let by_issuer = p.groups.iter().filter_map(|g| uid("Group", &format!("{}/{g}", p.issuer)));
    by_name.chain(by_issuer).collect()
}

fn principal(p: &Principal) -> Option<Entity> {
    let attributes = [("id", &p.id()), ("issuer", &p.issuer), ("subject", &p.subject)];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), text(value)));
    let tags = p.tags.iter().map(|(k, v)| (k.clone(), text(v)));
    Entity::new_with_tags(principal_uid(p)?, attributes, groups(p), tags).ok()
}

/// What does not change within a session: who stands behind it, the agent and the person, and the connection.
pub(crate) fn of_session(subject: &Subject) -> Option<Vec<Entity>> {
    let mut out = Vec::new();
    for party in subject.parties() {
        out.push(principal(subject.party(*party)?)?);
    }
    let c = &subject.connection;
    let connection = connection_uid(c)?;
    let mut attributes = owned(&connection, [("name", c.name.as_str())]);
    attributes.push(("kind".to_owned(), text(&c.kind)));
    let labels = c.labels.iter().map(|(k, v)| (k.clone(), text(v)));
    out.push(Entity::new_with_tags(connection, attributes, [], labels).ok()?);
    Some(out)
}

/// The gateway itself, which is of no connection.
pub(crate) fn gateway(uid: &EntityUid, nowhere: &ConnectionInfo) -> Option<Entity> {
    let connection = connection_uid(nowhere)?;
    entity(uid.clone(), owned(&connection, [("name", "doorward")]), [])
}

/// Attributes of something in a connection.
fn owned<const N: usize>(connection: &EntityUid, values: [(&str, &str); N]) -> Attributes {
    let mut out = Vec::with_capacity(N + 3);
    out.push(("connection".to_owned(), RestrictedExpression::new_entity_uid(connection.clone())));
    out.extend(values.into_iter().map(|(name, value)| (name.to_owned(), text(value))));
    out
}

pub(crate) fn connection_uid(c: &ConnectionInfo) -> Option<EntityUid> {
    uid("Connection", c.name.as_str())
}

/// The identifier of a resource: `connection/local`, and the plain name for connections and data types.
pub(crate) fn uid_of(c: &ConnectionInfo, resource: &Resource) -> Option<EntityUid> {
    match resource {
        Resource::Connection => connection_uid(c),
        Resource::DataType { data_type } => uid("DataType", data_type.as_str()),
        Resource::Database { .. }
        | Resource::Schema { .. }
        | Resource::Table { .. }
        | Resource::Column { .. }
        | Resource::Function { .. }
        | Resource::Setting { .. }
        | Resource::Role { .. }
        | Resource::Channel { .. }
        | Resource::File { .. }
        | Resource::Program { .. }
        | Resource::Variable { .. }
        | Resource::Host { .. }
        | Resource::Object { .. }
        | Resource::ApiObject(_)
        | Resource::Pod(_)
        | Resource::Field { .. }
        | Resource::Opaque { .. } => uid(resource.entity_type(), &format!("{}/{}", c.name, resource.local_id())),
    }
}

/// The tags of a resource: those of the configuration, for a table also those of its columns, and what
/// kind of catalogue it is.
pub(crate) fn tags(c: &ConnectionInfo, resource: &Resource) -> BTreeSet<String> {
    let id =
        if let Resource::Field { kind, path, .. } = resource { format!("{kind}:{path}") } else { resource.local_id() };
    let mut tags = c.tags.get(&id).cloned().unwrap_or_default();
    let relation = match resource {
        Resource::Table { schema, name } => {
            let columns = format!("{id}.");
            for (_, of_column) in c.tags.range(columns.clone()..).take_while(|(k, _)| k.starts_with(&columns)) {
                tags.extend(of_column.iter().cloned());
            }
            Some((schema, name))
        }
        Resource::Column { schema, table, .. } => Some((schema, table)),
        Resource::Field { kind, path, .. } => {
            tags.extend(kubernetes::tag(kind, path).map(ToOwned::to_owned));
            None
        }
        Resource::Connection
        | Resource::Database { .. }
        | Resource::Schema { .. }
        | Resource::Function { .. }
        | Resource::Setting { .. }
        | Resource::Role { .. }
        | Resource::Channel { .. }
        | Resource::File { .. }
        | Resource::Program { .. }
        | Resource::Variable { .. }
        | Resource::Host { .. }
        | Resource::Object { .. }
        | Resource::ApiObject(_)
        | Resource::Pod(_)
        | Resource::DataType { .. }
        | Resource::Opaque { .. } => None,
    };
    tags.extend(relation.and_then(|(schema, name)| catalogues::tag(&c.kind, schema, name)).map(ToOwned::to_owned));
    tags
}

/// A resource as an entity, with others that it refers to; none for the connection, which belongs to the session.
pub(crate) fn of_resource(c: &ConnectionInfo, resource: &Resource) -> Option<Vec<Entity>> {
    let connection = connection_uid(c)?;
    let mut parents = vec![connection.clone()];
    let owned = |values: &[(&str, &str)]| {
        let mut out = owned(&connection, []);
        out.extend(values.iter().map(|(name, value)| ((*name).to_owned(), text(value))));
        out
    };
    let attributes = match resource {
        Resource::Connection => return Some(Vec::new()),
        Resource::Database { name }
        | Resource::Setting { name }
        | Resource::Role { name }
        | Resource::Channel { name }
        | Resource::Variable { name } => owned(&[("name", name)]),
        Resource::Schema { name } => {
            parents.extend(database(c));
            owned(&[("name", name)])
        }
        Resource::Table { schema, name } => {
            parents.extend(schema_and_database(c, schema));
            let mut attributes = owned(&[("schema", schema), ("name", name)]);
            attributes.push(("tags".to_owned(), set(tags(c, resource))));
            let system = RestrictedExpression::new_bool(catalogues::is_system(&c.kind, schema));
            attributes.push(("system".to_owned(), system));
            attributes
        }
        Resource::Column { schema, table, name } => {
            parents.extend(schema_and_database(c, schema));
            parents.push(uid_of(c, &Resource::Table { schema: schema.clone(), name: table.clone() })?);
            let mut attributes = owned(&[("schema", schema), ("table", table), ("name", name)]);
            attributes.push(("tags".to_owned(), set(tags(c, resource))));
            attributes
        }
        Resource::Function { schema, name } => {
            parents.extend(schema_and_database(c, schema));
            owned(&[("schema", schema), ("name", name)])
        }
        Resource::File { path } => owned(&[("path", path)]),
        Resource::Program { command, name, arguments } => {
            let mut attributes = owned(&[("command", command), ("name", name)]);
            let arguments = arguments.iter().map(ToString::to_string).collect();
            attributes.push(("arguments".to_owned(), set(arguments)));
            attributes
        }
        Resource::Host { host, port } => {
            let mut attributes = owned(&[("host", host)]);
            attributes.push(("port".to_owned(), RestrictedExpression::new_long(i64::from(*port))));
            attributes
        }
        Resource::Object { kind, name } => owned(&[("kind", kind), ("name", name)]),
        Resource::DataType { data_type } => owned(&[("name", data_type.as_str())]),
        Resource::Field { kind, path, namespace } => {
            let mut attributes = owned(&[("kind", kind), ("path", path)]);
            attributes.extend(namespace.iter().map(|name| ("namespace".to_owned(), text(name))));
            attributes.push(("tags".to_owned(), set(tags(c, resource))));
            attributes
        }
        Resource::ApiObject(object) => return kubernetes::entities(c, resource, object),
        Resource::Pod(pod) => return kubernetes::entities(c, resource, &pod.object),
        Resource::Opaque { what } => owned(&[("what", what)]),
    };
    Some(vec![entity(uid_of(c, resource)?, attributes, parents)?])
}

fn database(c: &ConnectionInfo) -> Option<EntityUid> {
    uid_of(c, &Resource::Database { name: c.database.clone()? })
}

fn schema_and_database(c: &ConnectionInfo, schema: &Name) -> Vec<EntityUid> {
    [uid_of(c, &Resource::Schema { name: schema.clone() }), database(c)].into_iter().flatten().collect()
}
