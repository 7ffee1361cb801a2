//! GRANT and REVOKE.
use super::{objects, objects::Kind, walk::Walk};
use doorward_model::{Action, Resource};
use pg_raw_parse::{Node, nodes, nodes::GrantTargetType};

/// GRANT or REVOKE on objects.
pub(super) fn grant(walk: &mut Walk<'_, '_>, s: &nodes::GrantStmt) {
    let kind = objects::kind(s.objtype);
    if s.targtype == GrantTargetType::ACL_TARGET_OBJECT && matches!(kind, Kind::Relation) {
        for r in s.objects() {
            walk.on_relation(Action::Grant, r);
        }
        return;
    }
    // The binding can only show relations here: other objects stay unnamed, which no permit for a
    // named object matches.
    let name = || "?".into();
    let resource = match kind {
        Kind::Schema => Resource::Schema { name: name() },
        Kind::Database => Resource::Database { name: name() },
        Kind::Role => Resource::Role { name: name() },
        Kind::Function => Resource::Function { schema: name(), name: name() },
        Kind::Relation | Kind::OfRelation(_) => Resource::Table { schema: name(), name: name() },
        Kind::Other(kind) => Resource::Object { kind: kind.into(), name: name() },
    };
    walk.add(Action::Grant, resource);
    walk.opaque("the objects of GRANT or REVOKE");
}

/// ALTER DEFAULT PRIVILEGES.
pub(super) fn default_privileges(walk: &mut Walk<'_, '_>, s: &nodes::AlterDefaultPrivilegesStmt) {
    let mut named = false;
    for option in s.options() {
        if let (Some("schemas"), Node::NodeList(list)) = (option.defname(), option.arg()) {
            for schema in list.iter().filter_map(Node::as_str) {
                named = true;
                let resource = Resource::Object { kind: "default privileges".into(), name: schema.into() };
                walk.add(Action::Grant, resource);
            }
        }
    }
    if !named {
        walk.add(Action::Grant, Resource::Object { kind: "default privileges".into(), name: "all".into() });
    }
}
