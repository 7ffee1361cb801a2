//! Objects by the server's own kinds of objects.
use super::{names, walk::Walk};
use doorward_model::{Action, Resource};
use pg_raw_parse::{Node, nodes, nodes::ObjectType as T};

/// How an object of a kind is named.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Relation,
    Function,
    Schema,
    Database,
    Role,
    /// Named by its table and its own name; with its kind where it is an object of its own.
    OfRelation(Option<&'static str>),
    Other(&'static str),
}

/// The kind of the grammar's number.
pub(super) fn kind(object: T::Type) -> Kind {
    match object {
        T::OBJECT_ACCESS_METHOD => Kind::Other("access method"),
        T::OBJECT_AGGREGATE => Kind::Function,
        T::OBJECT_AMOP => Kind::Other("operator family"),
        T::OBJECT_AMPROC => Kind::Other("operator family"),
        T::OBJECT_ATTRIBUTE => Kind::Other("type"),
        T::OBJECT_CAST => Kind::Other("cast"),
        T::OBJECT_COLUMN => Kind::OfRelation(None),
        T::OBJECT_COLLATION => Kind::Other("collation"),
        T::OBJECT_CONVERSION => Kind::Other("conversion"),
        T::OBJECT_DATABASE => Kind::Database,
        T::OBJECT_DEFAULT => Kind::Other("default"),
        T::OBJECT_DEFACL => Kind::Other("default privileges"),
        T::OBJECT_DOMAIN => Kind::Other("domain"),
        T::OBJECT_DOMCONSTRAINT => Kind::Other("domain"),
        T::OBJECT_EVENT_TRIGGER => Kind::Other("event trigger"),
        T::OBJECT_EXTENSION => Kind::Other("extension"),
        T::OBJECT_FDW => Kind::Other("foreign data wrapper"),
        T::OBJECT_FOREIGN_SERVER => Kind::Other("server"),
        T::OBJECT_FOREIGN_TABLE => Kind::Relation,
        T::OBJECT_FUNCTION => Kind::Function,
        T::OBJECT_INDEX => Kind::Relation,
        T::OBJECT_LANGUAGE => Kind::Other("language"),
        T::OBJECT_LARGEOBJECT => Kind::Other("large object"),
        T::OBJECT_MATVIEW => Kind::Relation,
        T::OBJECT_OPCLASS => Kind::Other("operator class"),
        T::OBJECT_OPERATOR => Kind::Other("operator"),
        T::OBJECT_OPFAMILY => Kind::Other("operator family"),
        T::OBJECT_PARAMETER_ACL => Kind::Other("parameter"),
        T::OBJECT_POLICY => Kind::OfRelation(Some("policy")),
        T::OBJECT_PROCEDURE => Kind::Function,
        T::OBJECT_PUBLICATION => Kind::Other("publication"),
        T::OBJECT_PUBLICATION_NAMESPACE => Kind::Other("publication"),
        T::OBJECT_PUBLICATION_REL => Kind::Other("publication"),
        T::OBJECT_ROLE => Kind::Role,
        T::OBJECT_ROUTINE => Kind::Function,
        T::OBJECT_RULE => Kind::OfRelation(Some("rule")),
        T::OBJECT_SCHEMA => Kind::Schema,
        T::OBJECT_SEQUENCE => Kind::Relation,
        T::OBJECT_SUBSCRIPTION => Kind::Other("subscription"),
        T::OBJECT_STATISTIC_EXT => Kind::Other("statistics"),
        T::OBJECT_TABCONSTRAINT => Kind::OfRelation(None),
        T::OBJECT_TABLE => Kind::Relation,
        T::OBJECT_TABLESPACE => Kind::Other("tablespace"),
        T::OBJECT_TRANSFORM => Kind::Other("transform"),
        T::OBJECT_TRIGGER => Kind::OfRelation(Some("trigger")),
        T::OBJECT_TSCONFIGURATION => Kind::Other("text search configuration"),
        T::OBJECT_TSDICTIONARY => Kind::Other("text search dictionary"),
        T::OBJECT_TSPARSER => Kind::Other("text search parser"),
        T::OBJECT_TSTEMPLATE => Kind::Other("text search template"),
        T::OBJECT_TYPE => Kind::Other("type"),
        T::OBJECT_USER_MAPPING => Kind::Other("user mapping"),
        T::OBJECT_VIEW => Kind::Relation,
        _ => Kind::Other("object"),
    }
}

/// Kinds whose names live in schemas.
fn in_schema(kind: &str) -> bool {
    matches!(
        kind,
        "type"
            | "domain"
            | "collation"
            | "conversion"
            | "operator"
            | "operator class"
            | "operator family"
            | "statistics"
    ) || kind.starts_with("text search")
}

/// An object of a kind, by the parts of its name.
pub(super) fn object(walk: &Walk<'_, '_>, kind: &'static str, parts: &[&str]) -> Resource {
    let name = if in_schema(kind) && parts.len() == 1 {
        let schema = walk.env.creation_schema();
        let mut full = vec![&*schema];
        full.extend(parts);
        names::dotted(&full)
    } else if let ([one], false) = (parts, in_schema(kind)) {
        (*one).to_owned()
    } else {
        names::dotted(parts)
    };
    Resource::Object { kind: kind.into(), name: name.into() }
}

/// The parts of the name in a node: a string, a list, a type, a function with its arguments.
pub(super) fn parts(node: Node<'_>) -> Vec<&str> {
    if let Node::String(s) = node {
        s.sval().into_iter().collect()
    } else if let Node::NodeList(list) = node {
        list.iter().flat_map(|n| if matches!(n, Node::NodeList(_)) { Vec::new() } else { parts_flat(n) }).collect()
    } else {
        parts_flat(node)
    }
}

fn parts_flat(node: Node<'_>) -> Vec<&str> {
    if let Node::String(s) = node {
        s.sval().into_iter().collect()
    } else if let Node::ObjectWithArgs(o) = node {
        names::strings(o.objname())
    } else if let Node::TypeName(t) = node {
        t.names().iter().filter_map(|s| s.sval()).collect()
    } else if let Node::RoleSpec(r) = node {
        vec![role(r)]
    } else if let Node::Integer(_) | Node::Float(_) = node {
        vec!["?"]
    } else {
        Vec::new()
    }
}

/// The name of a role: `public`, `current_user` and so on for those that are no names.
pub(super) fn role(r: &nodes::RoleSpec) -> &str {
    use nodes::RoleSpecType as R;
    match r.roletype {
        R::ROLESPEC_CSTRING => r.rolename().unwrap_or_default(),
        R::ROLESPEC_PUBLIC => "public",
        R::ROLESPEC_SESSION_USER => "session_user",
        _ => "current_user",
    }
}

/// A relation by the parts of its name.
pub(super) fn relation(walk: &Walk<'_, '_>, parts: &[&str]) -> Resource {
    let (schema, name) = match parts {
        [.., schema, name] => walk.env.relation(Some(schema), name),
        [name] => walk.env.relation(None, name),
        [] => ("?".into(), "?".into()),
    };
    Resource::Table { schema, name }
}

fn named(walk: &mut Walk<'_, '_>, action: Action, parts: &[&str]) {
    let found = relation(walk, parts);
    if let (Resource::Table { schema, name }, [_]) = (&found, parts) {
        walk.reads.bare.insert((schema.clone(), name.clone()));
    }
    walk.add(action, found);
}

/// Existing or new functions by the parts of their name.
pub(super) fn function(walk: &Walk<'_, '_>, parts: &[&str], new: bool) -> Resource {
    let (schema, name) = match parts {
        [.., schema, name] => ((*schema).into(), (*name).into()),
        [name] if new => (walk.env.creation_schema(), (*name).into()),
        [name] => {
            let path = &walk.env.search_path;
            let known = path.iter().find(|s| walk.env.catalogue.functions_named(name).any(|f| f.schema == **s));
            (known.cloned().unwrap_or_else(|| walk.env.creation_schema()), (*name).into())
        }
        [] => ("?".into(), "?".into()),
    };
    Resource::Function { schema, name }
}

/// Asks `action` on an object that a node names.
pub(super) fn on_object(walk: &mut Walk<'_, '_>, action: Action, kind: Kind, node: Node<'_>) {
    let parts = parts(node);
    match kind {
        Kind::Relation => named(walk, action, &parts),
        Kind::Function => walk.add(action, function(walk, &parts, false)),
        Kind::Schema => walk.add(action, Resource::Schema { name: parts.last().copied().unwrap_or("?").into() }),
        Kind::Database => walk.add(action, Resource::Database { name: parts.last().copied().unwrap_or("?").into() }),
        Kind::Role => walk.add(action, Resource::Role { name: parts.last().copied().unwrap_or("?").into() }),
        Kind::OfRelation(own) => {
            let (_, table) = parts.split_last().unwrap_or((&"", &[]));
            if let Some(own) = own {
                walk.add(action, object(walk, own, &parts));
            }
            named(walk, Action::Alter, table);
        }
        Kind::Other(kind) => {
            if parts.is_empty() {
                walk.opaque(format!("which {kind} is meant"));
            }
            walk.add(action, object(walk, kind, &parts));
        }
    }
}
