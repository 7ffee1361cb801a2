//! Definitions: CREATE, ALTER, DROP, GRANT and their kin.
use super::{
    names,
    objects::{self, Kind},
    utility,
    walk::Walk,
};
use crate::{meaning::Tell, tags};
use doorward_model::{Access, Action, Name, Resource};
use pg_raw_parse::{Node, list::NodeList, nodes};

const TEMPORARY: i8 = b't'.cast_signed();

fn named(kind: &str, name: Option<&str>) -> Resource {
    Resource::Object { kind: kind.into(), name: name.unwrap_or("?").into() }
}

/// Handles a node if it defines something. False if it is no statement at all.
pub(super) fn statement<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    let before = walk.accesses.len();
    let known = relations(walk, node)
        || alterations(walk, node)
        || code(walk, node)
        || rights(walk, node)
        || simple(walk, node)
        || types(walk, node);
    walk.schema_changed |= known && !of_the_session(walk.accesses.get(before..).unwrap_or_default());
    known
}

/// Whether what is made, altered or dropped are relations of the session's own, which nobody else sees and no snapshot has.
fn of_the_session(accesses: &[Access]) -> bool {
    let mut tables = accesses.iter().filter(|access| access.action != Action::Connect).peekable();
    let is_own = |access: &Access| matches!(&access.resource, Resource::Table { schema, .. } if &**schema == "pg_temp");
    tables.peek().is_some() && tables.all(is_own)
}

/// The table that a statement makes.
fn create_relation(walk: &mut Walk<'_, '_>, r: &nodes::RangeVar) {
    let temporary = r.relpersistence == TEMPORARY || r.schemaname().is_some_and(names::is_temporary_schema);
    let name: Name = r.relname().unwrap_or_default().into();
    if temporary {
        walk.made_temporary.push(name.clone());
        return walk.add(Action::Create, Resource::Table { schema: "pg_temp".into(), name });
    }
    if let Some(catalog) = r.catalogname() {
        walk.opaque(format!("a relation of database `{catalog}`"));
    }
    let schema = r.schemaname().map(Name::from);
    let schema = schema.or_else(|| walk.new_schema.clone()).unwrap_or_else(|| walk.env.creation_schema());
    walk.add(Action::Create, Resource::Table { schema, name });
}

/// `SELECT … INTO t`, `CREATE TABLE t AS`.
pub(super) fn into_clause(walk: &mut Walk<'_, '_>, into: &nodes::IntoClause) {
    match into.rel() {
        Some(r) => {
            let before = walk.accesses.len();
            create_relation(walk, r);
            walk.schema_changed |= !of_the_session(walk.accesses.get(before..).unwrap_or_default());
        }
        None => walk.opaque("the table of INTO"),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn relations<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::CreateStmt(s) => create_table(walk, s),
        Node::CreateTableAsStmt(s) => {
            if let Some(into) = s.into() {
                into_clause(walk, into);
            }
            walk.push(s.query());
        }
        Node::ViewStmt(s) => {
            if let Some(r) = s.view() {
                create_relation(walk, r);
            }
            walk.push(s.query());
            options(walk, s.options());
        }
        Node::CreateSeqStmt(s) => {
            if let Some(r) = s.sequence() {
                create_relation(walk, r);
            }
        }
        Node::IndexStmt(s) => {
            let schema = s.relation().map_or_else(|| "?".into(), |r| walk.relation(r).0);
            let name = s.idxname().unwrap_or("?").into();
            walk.add(Action::Create, Resource::Table { schema, name });
            if let Some(r) = s.relation() {
                walk.on_relation(Action::Alter, r);
            }
            for e in s.index_params() {
                walk.push(e.into());
            }
            walk.push(s.where_clause());
        }
        Node::CompositeTypeStmt(s) => {
            let parts: Vec<&str> =
                s.typevar().map(|r| r.schemaname().into_iter().chain(r.relname()).collect()).unwrap_or_default();
            walk.add(Action::Create, objects::object(walk, "type", &parts));
        }
        Node::CreateStatsStmt(s) => {
            let parts: Vec<&str> = s.defnames().iter().filter_map(|n| n.sval()).collect();
            walk.add(Action::Create, objects::object(walk, "statistics", &parts));
            for r in s.relations() {
                walk.on_relation(Action::Alter, r);
            }
            walk.push_list(s.exprs());
        }
        Node::RuleStmt(s) => {
            sub_object(walk, Action::Create, "rule", s.rulename(), s.relation());
            walk.push(s.where_clause());
            walk.push_list(s.actions());
        }
        Node::CreatePolicyStmt(s) => {
            sub_object(walk, Action::Create, "policy", s.policy_name(), s.table());
            walk.push(s.qual());
            walk.push(s.with_check());
        }
        Node::AlterPolicyStmt(s) => {
            sub_object(walk, Action::Alter, "policy", s.policy_name(), s.table());
            walk.push(s.qual());
            walk.push(s.with_check());
        }
        Node::CreateTrigStmt(s) => {
            sub_object(walk, Action::Create, "trigger", s.trigname(), s.relation());
            trigger_function(walk, s.funcname());
            walk.push(s.when_clause());
        }
        Node::CreateEventTrigStmt(s) => {
            walk.add(Action::Create, named("event trigger", s.trigname()));
            trigger_function(walk, s.funcname());
        }
        _ => return false,
    }
    true
}

/// What a trigger calls is called by others later: whoever makes the trigger needs the right to call it.
fn trigger_function(walk: &mut Walk<'_, '_>, name: &NodeList) {
    let function = objects::function(walk, &names::strings(name), false);
    walk.add(Action::Call, function);
}

/// An object that belongs to a table, which changes with it.
fn sub_object(
    walk: &mut Walk<'_, '_>,
    action: Action,
    kind: &'static str,
    name: Option<&str>,
    table: Option<&nodes::RangeVar>,
) {
    let (schema, relation) = table.map_or_else(|| ("?".into(), "?".into()), |t| walk.relation(t));
    let full = names::dotted(&[&schema, &relation, name.unwrap_or("?")]);
    walk.add(action, Resource::Object { kind: kind.into(), name: full.into() });
    walk.add(Action::Alter, Resource::Table { schema, name: relation });
}

fn create_table<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::CreateStmt) {
    if let Some(r) = s.relation() {
        create_relation(walk, r);
    }
    for node in s.inh_relations() {
        if let Node::RangeVar(r) = node {
            walk.on_relation(Action::Alter, r);
        }
    }
    walk.push_list(s.table_elts());
    for c in s.constraints() {
        walk.push(c.into());
    }
    if let Some(bound) = s.partbound() {
        walk.push_children(bound.into());
    }
    if let Some(spec) = s.partspec() {
        walk.push_children(spec.into());
    }
}

fn options<'a>(walk: &mut Walk<'a, '_>, list: &'a NodeList) {
    walk.push_list(list);
}

/// What gives a table or its columns tags, or may take them away, changes who may do what.
fn changes_tags(walk: &mut Walk<'_, '_>, kind: objects::Kind, object: Node<'_>, said: &str) {
    let parts = objects::parts(object);
    let table = match kind {
        objects::Kind::Relation => objects::relation(walk, &parts),
        objects::Kind::OfRelation(None) => {
            objects::relation(walk, parts.split_last().map(|(_, table)| table).unwrap_or_default())
        }
        objects::Kind::OfRelation(Some(_))
        | objects::Kind::Function
        | objects::Kind::Schema
        | objects::Kind::Database
        | objects::Kind::Role
        | objects::Kind::Other(_) => return,
    };
    let Resource::Table { schema, name } = &table else { return };
    let is_tagged = walk.env.catalogue.named(schema, name).is_some_and(|r| walk.env.catalogue.is_tagged(r.oid));
    if is_tagged || tags::may_speak_of_tags(said) {
        walk.add(Action::Grant, table);
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn alterations<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::AlterTableStmt(s) => alter_table(walk, s),
        Node::AlterTableMoveAllStmt(s) => walk.add(Action::Alter, named("tablespace", s.orig_tablespacename())),
        Node::RenameStmt(s) => {
            if let (nodes::ObjectType::OBJECT_ATTRIBUTE, Some(r)) = (s.rename_type, s.relation()) {
                cascades(walk, s.behavior, r);
            }
            altered(walk, Action::Alter, s.rename_type, s.relation(), s.object(), s.subname());
            super::renames::renamed(walk, s);
        }
        Node::AlterObjectSchemaStmt(s) => {
            altered(walk, Action::Alter, s.object_type, s.relation(), s.object(), None);
            super::renames::moved(walk, s);
            walk.add(Action::Alter, Resource::Schema { name: s.newschema().unwrap_or("?").into() });
        }
        Node::AlterOwnerStmt(s) => altered(walk, Action::Grant, s.object_type, s.relation(), s.object(), None),
        Node::AlterObjectDependsStmt(s) => altered(walk, Action::Alter, s.object_type, s.relation(), s.object(), None),
        Node::CommentStmt(s) => {
            objects::on_object(walk, Action::Alter, objects::kind(s.objtype), s.object());
            changes_tags(walk, objects::kind(s.objtype), s.object(), s.comment().unwrap_or_default());
        }
        Node::SecLabelStmt(s) => {
            objects::on_object(walk, Action::Alter, objects::kind(s.objtype), s.object());
            let said = format!("{} {}", s.provider().unwrap_or("doorward"), s.label().unwrap_or_default());
            changes_tags(walk, objects::kind(s.objtype), s.object(), &said);
        }
        Node::DropStmt(s) => {
            for object in s.objects() {
                objects::on_object(walk, Action::Drop, objects::kind(s.remove_type), object);
            }
        }
        Node::AlterSeqStmt(s) => {
            if let Some(r) = s.sequence() {
                walk.on_relation(Action::Alter, r);
            }
        }
        Node::AlterExtensionContentsStmt(s) => {
            walk.add(Action::Alter, named("extension", s.extname()));
            objects::on_object(walk, Action::Alter, objects::kind(s.objtype), s.object());
        }
        _ => return false,
    }
    true
}

fn altered(
    walk: &mut Walk<'_, '_>,
    action: Action,
    object_type: nodes::ObjectType::Type,
    relation: Option<&nodes::RangeVar>,
    object: Node<'_>,
    name: Option<&str>,
) {
    if let Some(r) = relation {
        walk.on_relation(action, r);
    } else if matches!(object, Node::None) {
        // Databases, roles, schemas and some others are renamed by a plain name.
        match objects::kind(object_type) {
            Kind::Schema => walk.add(action, Resource::Schema { name: name.unwrap_or("?").into() }),
            Kind::Database => walk.add(action, Resource::Database { name: name.unwrap_or("?").into() }),
            Kind::Role => walk.add(action, Resource::Role { name: name.unwrap_or("?").into() }),
            Kind::Other(kind) => walk.add(action, named(kind, name)),
            Kind::Relation | Kind::Function | Kind::OfRelation(_) => walk.opaque("which object is altered"),
        }
    } else {
        objects::on_object(walk, action, objects::kind(object_type), object);
    }
}

/// Tables that are made of a type are altered with it.
fn cascades(walk: &mut Walk<'_, '_>, behavior: nodes::DropBehavior::Type, of: &nodes::RangeVar) {
    if behavior == nodes::DropBehavior::DROP_CASCADE {
        tells_of(walk, "type", of);
    }
}

fn tells_of(walk: &mut Walk<'_, '_>, kind: &'static str, of: &nodes::RangeVar) {
    let (schema, name) = walk.env.range_var(of);
    walk.reads.tells.insert(Tell::Object(kind, format!("{schema}.{name}").into()));
}

fn alter_table<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::AlterTableStmt) {
    let Some(r) = s.relation() else { return walk.opaque("ALTER TABLE without a table") };
    walk.on_relation(Action::Alter, r);
    for node in s.cmds() {
        let Node::AlterTableCmd(cmd) = node else {
            walk.opaque("a part of ALTER TABLE");
            continue;
        };
        if s.objtype == nodes::ObjectType::OBJECT_TYPE {
            cascades(walk, cmd.behavior, r);
        }
        if matches!(
            cmd.subtype,
            nodes::AlterTableType::AT_GenericOptions | nodes::AlterTableType::AT_AlterColumnGenericOptions
        ) {
            tells_of(walk, "foreign table", r);
        }
        if cmd.subtype == nodes::AlterTableType::AT_ChangeOwner {
            walk.on_relation(Action::Grant, r);
        }
        if let Node::PartitionCmd(part) = cmd.def() {
            if let Some(other) = part.name() {
                walk.on_relation(Action::Alter, other);
            }
        } else if let Node::RangeVar(parent) = cmd.def() {
            walk.on_relation(Action::Alter, parent);
        } else {
            walk.push(cmd.def());
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn code<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::CreateFunctionStmt(s) => super::bodies::create_function(walk, s),
        Node::AlterFunctionStmt(s) => {
            let parts = s.func().map(|f| names::strings(f.objname())).unwrap_or_default();
            walk.add(Action::Alter, objects::function(walk, &parts, false));
            for option in s.actions() {
                if let Node::VariableSetStmt(set) = option.arg() {
                    utility::stored_setting(walk, Some(set));
                }
            }
        }
        Node::CreateSchemaStmt(s) => {
            let name = s.schemaname().or_else(|| s.authrole().map(objects::role)).unwrap_or("?");
            walk.add(Action::Create, Resource::Schema { name: name.into() });
            // Names in its elements mean the new schema first: those of the old one may be meant too.
            walk.new_schema = Some(name.into());
            walk.push_list(s.schema_elts());
        }
        Node::CreatePLangStmt(s) => walk.add(Action::Create, named("language", s.plname())),
        Node::CreateCastStmt(_) => walk.add(Action::Create, named("cast", Some("?"))),
        Node::CreateTransformStmt(s) => walk.add(Action::Create, named("transform", s.lang())),
        Node::CreateConversionStmt(s) => {
            walk.add(Action::Create, objects::object(walk, "conversion", &names::strings(s.conversion_name())));
        }
        Node::CreateAmStmt(s) => walk.add(Action::Create, named("access method", s.amname())),
        Node::CreateOpClassStmt(s) => {
            let parts: Vec<&str> = s.opclassname().iter().filter_map(|n| n.sval()).collect();
            walk.add(Action::Create, objects::object(walk, "operator class", &parts));
        }
        Node::CreateOpFamilyStmt(s) => {
            let parts: Vec<&str> = s.opfamilyname().iter().filter_map(|n| n.sval()).collect();
            walk.add(Action::Create, objects::object(walk, "operator family", &parts));
        }
        Node::AlterOpFamilyStmt(s) => {
            let parts: Vec<&str> = s.opfamilyname().iter().filter_map(|n| n.sval()).collect();
            walk.add(Action::Alter, objects::object(walk, "operator family", &parts));
        }
        Node::AlterOperatorStmt(s) => {
            let parts = s.opername().map(|o| names::strings(o.objname())).unwrap_or_default();
            walk.add(Action::Alter, objects::object(walk, "operator", &parts));
        }
        _ => return false,
    }
    true
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn rights<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::GrantStmt(s) => super::grants::grant(walk, s),
        Node::GrantRoleStmt(s) => {
            for node in s.granted_roles() {
                if let Node::AccessPriv(p) = node {
                    walk.add(Action::Grant, Resource::Role { name: p.priv_name().unwrap_or("?").into() });
                }
            }
        }
        Node::AlterDefaultPrivilegesStmt(s) => super::grants::default_privileges(walk, s),
        Node::DropOwnedStmt(s) => {
            for node in s.roles() {
                for role in objects::parts(node) {
                    walk.add(Action::Grant, Resource::Role { name: role.into() });
                    walk.add(Action::Drop, named("owned by", Some(role)));
                }
            }
        }
        Node::ReassignOwnedStmt(s) => {
            for node in s.roles() {
                objects::on_object(walk, Action::Grant, Kind::Role, node);
            }
            let new = s.newrole().map_or("?", objects::role);
            walk.add(Action::Grant, Resource::Role { name: new.into() });
        }
        Node::CreateRoleStmt(s) => walk.add(Action::Create, Resource::Role { name: s.role().unwrap_or("?").into() }),
        Node::AlterRoleStmt(s) => {
            walk.add(Action::Alter, Resource::Role { name: s.role().map_or("?", objects::role).into() });
        }
        Node::AlterRoleSetStmt(s) => {
            let role = s.role().map_or("all", objects::role);
            walk.add(Action::Alter, Resource::Role { name: role.into() });
            if let Some(database) = s.database() {
                walk.add(Action::Alter, Resource::Database { name: database.into() });
            }
            utility::setting_to_come(walk, s.setstmt());
        }
        Node::DropRoleStmt(s) => {
            for node in s.roles() {
                objects::on_object(walk, Action::Drop, Kind::Role, node);
            }
        }
        _ => return false,
    }
    true
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn simple<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    use Action::{Alter, Create, Drop};
    let database = |name: Option<&str>| Resource::Database { name: name.unwrap_or("?").into() };
    let (action, resource) = match node {
        Node::CreatedbStmt(s) => (Create, database(s.dbname())),
        Node::AlterDatabaseStmt(s) => (Alter, database(s.dbname())),
        Node::AlterDatabaseRefreshCollStmt(s) => (Alter, database(s.dbname())),
        Node::AlterDatabaseSetStmt(s) => {
            utility::setting_to_come(walk, s.setstmt());
            (Alter, database(s.dbname()))
        }
        Node::DropdbStmt(s) => (Drop, database(s.dbname())),
        Node::CreateTableSpaceStmt(s) => (Create, named("tablespace", s.tablespacename())),
        Node::DropTableSpaceStmt(s) => (Drop, named("tablespace", s.tablespacename())),
        Node::AlterTableSpaceOptionsStmt(s) => (Alter, named("tablespace", s.tablespacename())),
        Node::CreateExtensionStmt(s) => (Create, named("extension", s.extname())),
        Node::AlterExtensionStmt(s) => (Alter, named("extension", s.extname())),
        Node::CreateFdwStmt(s) => (Create, named("foreign data wrapper", s.fdwname())),
        Node::AlterFdwStmt(s) => (Alter, named("foreign data wrapper", s.fdwname())),
        Node::CreateForeignServerStmt(s) => (Create, named("server", s.servername())),
        Node::AlterForeignServerStmt(s) => (Alter, named("server", s.servername())),
        Node::CreateUserMappingStmt(s) => (Create, named("user mapping", s.servername())),
        Node::AlterUserMappingStmt(s) => (Alter, named("user mapping", s.servername())),
        Node::DropUserMappingStmt(s) => (Drop, named("user mapping", s.servername())),
        Node::ImportForeignSchemaStmt(s) => {
            let name = s.local_schema().unwrap_or("?").into();
            walk.add(Alter, Resource::Schema { name });
            (Create, named("foreign schema", s.remote_schema()))
        }
        Node::AlterEventTrigStmt(s) => (Alter, named("event trigger", s.trigname())),
        Node::CreatePublicationStmt(s) => {
            publication(walk, s.pubobjects());
            (Create, named("publication", s.pubname()))
        }
        Node::AlterPublicationStmt(s) => {
            publication(walk, s.pubobjects());
            (Alter, named("publication", s.pubname()))
        }
        Node::CreateSubscriptionStmt(s) => (Create, named("subscription", s.subname())),
        Node::AlterSubscriptionStmt(s) => (Alter, named("subscription", s.subname())),
        Node::DropSubscriptionStmt(s) => (Drop, named("subscription", s.subname())),
        _ => return false,
    };
    walk.add(action, resource);
    true
}

/// What a publication sends out can be read by whoever subscribes: `select` on each.
fn publication<'a>(walk: &mut Walk<'a, '_>, list: &'a NodeList) {
    for node in list {
        if let Node::PublicationObjSpec(spec) = node {
            if let Some(table) = spec.pubtable() {
                if let Some(r) = table.relation() {
                    walk.on_relation(Action::Select, r);
                }
                walk.push(table.where_clause());
            } else if let Some(name) = spec.name() {
                walk.opaque(format!("the tables of schema `{name}`"));
            }
        }
    }
}

/// The functions that an aggregate calls.
fn calls(walk: &mut Walk<'_, '_>, s: &nodes::DefineStmt) {
    for option in s.definition() {
        let name = option.defname().unwrap_or_default().to_ascii_lowercase();
        if !name.ends_with("func") && name != "sfunc1" {
            continue;
        }
        let Some(parts) = named_in(option.arg()) else { continue };
        let called = called(walk, &parts);
        walk.add(Action::Call, called);
    }
}

/// What a range type names besides: its multirange, and functions that are called for values of it.
fn range(walk: &mut Walk<'_, '_>, s: &nodes::CreateRangeStmt) {
    for param in s.params() {
        let Some(parts) = named_in(param.arg()) else {
            walk.opaque("an option of a range type");
            continue;
        };
        match param.defname() {
            Some("multirange_type_name") => {
                let made = objects::object(walk, "type", &parts);
                walk.add(Action::Create, made);
            }
            Some("subtype_diff" | "canonical") => {
                let called = called(walk, &parts);
                walk.add(Action::Call, called);
            }
            _ => {}
        }
    }
}

/// A function that is there: the server's own, where nobody else has one of that name.
fn called(walk: &mut Walk<'_, '_>, parts: &[&str]) -> Resource {
    if let [name] = parts {
        let mut known = walk.env.catalogue.functions_named(name).peekable();
        if known.peek().is_some() && known.all(|function| &*function.schema == "pg_catalog") {
            return Resource::Function { schema: "pg_catalog".into(), name: (*name).into() };
        }
    }
    objects::function(walk, parts, false)
}

/// The name that stands as the value of an option, where one does.
fn named_in<'a>(value: Node<'a>) -> Option<Vec<&'a str>> {
    if let Node::TypeName(named) = value {
        return Some(named.names().iter().filter_map(nodes::String::sval).collect());
    }
    if let Node::String(word) = value { Some(word.sval().into_iter().collect()) } else { None }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn types<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    fn cast<'a>(list: impl Iterator<Item = &'a nodes::String>) -> Vec<&'a str> {
        list.filter_map(nodes::String::sval).collect()
    }
    let (action, kind, parts) = match node {
        Node::DefineStmt(s) => {
            let parts = cast(s.defnames().iter());
            match objects::kind(s.kind) {
                Kind::Function => {
                    let function = objects::function(walk, &parts, true);
                    walk.add(Action::Create, function);
                    super::bodies::names_none_of_the_servers(walk, parts.last().copied());
                    calls(walk, s);
                    return true;
                }
                Kind::Other(kind) => (Action::Create, kind, parts),
                Kind::Relation | Kind::Schema | Kind::Database | Kind::Role | Kind::OfRelation(_) => {
                    walk.opaque("a kind of CREATE");
                    return true;
                }
            }
        }
        Node::CreateDomainStmt(s) => {
            for c in s.constraints() {
                walk.push(c.into());
            }
            (Action::Create, "domain", cast(s.domainname().iter()))
        }
        Node::CreateEnumStmt(s) => (Action::Create, "type", cast(s.type_name().iter())),
        Node::CreateRangeStmt(s) => {
            range(walk, s);
            (Action::Create, "type", cast(s.type_name().iter()))
        }
        Node::AlterEnumStmt(s) => (Action::Alter, "type", cast(s.type_name().iter())),
        Node::AlterTypeStmt(s) => (Action::Alter, "type", names::strings(s.type_name())),
        Node::AlterDomainStmt(s) => {
            walk.push(s.def());
            (Action::Alter, "domain", names::strings(s.type_name()))
        }
        Node::AlterCollationStmt(s) => (Action::Alter, "collation", names::strings(s.collname())),
        Node::AlterStatsStmt(s) => (Action::Alter, "statistics", cast(s.defnames().iter())),
        Node::AlterTSDictionaryStmt(s) => (Action::Alter, "text search dictionary", cast(s.dictname().iter())),
        Node::AlterTSConfigurationStmt(s) => (Action::Alter, "text search configuration", cast(s.cfgname().iter())),
        _ => return false,
    };
    let resource = objects::object(walk, kind, &parts);
    walk.add(action, resource);
    true
}
