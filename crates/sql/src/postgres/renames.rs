//! What comes to be called otherwise, or is moved to where other names are looked for: of columns and the like it does not
//! matter, their table is as before.
use super::{
    Tell, bodies,
    objects::{self, Kind},
    walk::Walk,
};
use doorward_model::{Name, Resource};
use pg_raw_parse::{Node, nodes};

/// `ALTER … RENAME TO`.
pub(super) fn renamed(walk: &mut Walk<'_, '_>, s: &nodes::RenameStmt) {
    let Some(old) = named(walk, objects::kind(s.rename_type), s.relation(), s.object()) else { return };
    let new: Name = s.newname().unwrap_or("?").into();
    if matches!(old, Resource::Function { .. }) {
        bodies::names_none_of_the_servers(walk, s.newname());
    }
    let called = if let Resource::Table { schema, .. } = &old {
        Resource::Table { schema: schema.clone(), name: new }
    } else if let Resource::Function { schema, .. } = &old {
        Resource::Function { schema: schema.clone(), name: new }
    } else if let Resource::Object { kind, .. } = &old {
        Resource::Object { kind: kind.clone(), name: new }
    } else {
        return;
    };
    walk.reads.tells.extend([old, called].map(Tell::Called));
}

/// `ALTER … SET SCHEMA`.
pub(super) fn moved(walk: &mut Walk<'_, '_>, s: &nodes::AlterObjectSchemaStmt) {
    let called = named(walk, objects::kind(s.object_type), s.relation(), s.object());
    walk.reads.tells.extend(called.map(Tell::Called));
}

/// What is meant, where bodies of functions can name it.
fn named(
    walk: &mut Walk<'_, '_>,
    kind: Kind,
    relation: Option<&nodes::RangeVar>,
    object: Node<'_>,
) -> Option<Resource> {
    match (kind, relation) {
        (Kind::Relation, Some(r)) => {
            let (schema, name) = walk.relation(r);
            Some(Resource::Table { schema, name })
        }
        (Kind::Relation, None) => Some(objects::relation(walk, &objects::parts(object))),
        (Kind::Function, _) => Some(objects::function(walk, &objects::parts(object), false)),
        (Kind::Other(kind @ ("type" | "domain")), None) => Some(objects::object(walk, kind, &objects::parts(object))),
        (Kind::Other(_) | Kind::Schema | Kind::Database | Kind::Role | Kind::OfRelation(_), _) => None,
    }
}
