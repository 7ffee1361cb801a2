//! Queries and data modification: SELECT, INSERT, UPDATE, DELETE, MERGE, and the functions and
//! operators in their expressions.
use super::{
    Tell, names, reads, settings, tells,
    walk::{Todo, Walk},
    writes,
};
use crate::postgres::{Effect, SettingClass, setting_class};
use doorward_model::{Access, Action, Name, Resource};
use pg_raw_parse::{ConstValue, Node, list::NodeList, nodes};

/// Handles a node if it is a query. False if it is not.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
pub(super) fn statement<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::SelectStmt(s) => select(walk, node, s),
        Node::InsertStmt(s) => insert(walk, s),
        Node::UpdateStmt(s) => update(walk, s),
        Node::DeleteStmt(s) => delete(walk, s),
        Node::MergeStmt(s) => merge(walk, s),
        _ => return false,
    }
    if !matches!(node, Node::SelectStmt(_)) {
        reads::obstacle(walk, "a part that changes data");
    }
    true
}

fn scoped<'a>(walk: &mut Walk<'a, '_>, with: Option<&'a nodes::WithClause>, body: impl FnOnce(&mut Walk<'a, '_>)) {
    if with.is_some() {
        walk.todo.push(Todo::CloseScope);
    }
    body(walk);
    if with.is_some() {
        walk.push_with(with);
        walk.todo.push(Todo::OpenScope);
    }
}

fn select<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>, s: &'a nodes::SelectStmt) {
    if let Some(into) = s.into_clause() {
        super::ddl::into_clause(walk, into);
        reads::obstacle(walk, "INTO");
    }
    reads::table(walk, s);
    for lock in s.locking_clause() {
        locks(walk, s, lock);
    }
    settings::named(walk, s);
    scoped(walk, s.with_clause(), |w| w.push_children(node));
}

/// `FOR UPDATE` and its like: on the relations named, or on all of the FROM clause, through
/// subqueries as the server does.
fn locks<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::SelectStmt, lock: &'a nodes::LockingClause) {
    let wanted: Vec<&str> =
        lock.locked_rels().iter().filter_map(|n| if let Node::RangeVar(r) = n { r.relname() } else { None }).collect();
    let mut todo: Vec<(Node<'a>, bool)> = s.from_clause().iter().map(|n| (n, wanted.is_empty())).collect();
    while let Some((node, all)) = todo.pop() {
        if let Node::RangeVar(r) = node {
            let name = r.alias().and_then(nodes::Alias::aliasname).or_else(|| r.relname()).unwrap_or_default();
            if all || wanted.contains(&name) {
                walk.on_relation(Action::Lock, r);
            }
        } else if let Node::JoinExpr(j) = node {
            todo.push((j.larg(), all));
            todo.push((j.rarg(), all));
        } else if let Node::RangeTableSample(t) = node {
            todo.push((t.relation(), all));
        } else if let Node::RangeSubselect(sub) = node {
            let name = sub.alias().and_then(nodes::Alias::aliasname).unwrap_or_default();
            if let Node::SelectStmt(inner) = sub.subquery()
                && (all || wanted.contains(&name))
            {
                todo.extend(inner.from_clause().iter().map(|n| (n, true)));
            }
        }
    }
}

fn insert<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::InsertStmt) {
    let Some(target) = s.relation() else { return walk.opaque("INSERT without a table") };
    walk.on_relation(Action::Insert, target);
    writes::columns(walk, target, s.cols());
    if let Some(conflict) = s.on_conflict_clause()
        && !conflict.target_list().is_empty()
    {
        // Which row is changed is decided by the conflict: that limits the rows as a WHERE would.
        update_access(walk, target, true);
        writes::set(walk, target, conflict.target_list());
    }
    if s.returning_clause().is_some() {
        walk.on_relation(Action::Select, target);
    }
    scoped(walk, s.with_clause(), |w| {
        w.push_list(s.cols());
        w.push(s.select_stmt());
        if let Some(conflict) = s.on_conflict_clause() {
            w.push_children(conflict.into());
        }
        if let Some(returning) = s.returning_clause() {
            w.push_list(returning.exprs());
        }
    });
}

fn update_access(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar, has_where: bool) {
    let (schema, name) = walk.relation(target);
    walk.accesses.push(Access {
        action: Action::Update,
        resource: Resource::Table { schema, name },
        has_where,
        as_root: false,
    });
}

fn update<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::UpdateStmt) {
    let Some(target) = s.relation() else { return walk.opaque("UPDATE without a table") };
    cross_database(walk, target);
    update_access(walk, target, limits(s.where_clause(), target));
    writes::set(walk, target, s.target_list());
    if s.returning_clause().is_some() || !s.from_clause().is_empty() {
        walk.on_relation(Action::Select, target);
    }
    scoped(walk, s.with_clause(), |w| {
        for t in s.target_list() {
            w.push(t.into());
        }
        w.push_list(s.from_clause());
        w.push(s.where_clause());
        if let Some(returning) = s.returning_clause() {
            w.push_list(returning.exprs());
        }
    });
}

fn cross_database(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar) {
    if let Some(catalog) = target.catalogname() {
        walk.opaque(format!("a relation of database `{catalog}`"));
    }
}

fn delete<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::DeleteStmt) {
    let Some(target) = s.relation() else { return walk.opaque("DELETE without a table") };
    cross_database(walk, target);
    let (schema, name) = walk.relation(target);
    let has_where = limits(s.where_clause(), target);
    walk.accesses.push(Access {
        action: Action::Delete,
        resource: Resource::Table { schema, name },
        has_where,
        as_root: false,
    });
    if s.returning_clause().is_some() || !s.using_clause().is_empty() {
        walk.on_relation(Action::Select, target);
    }
    scoped(walk, s.with_clause(), |w| {
        w.push_list(s.using_clause());
        w.push(s.where_clause());
        if let Some(returning) = s.returning_clause() {
            w.push_list(returning.exprs());
        }
    });
}

fn merge<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::MergeStmt) {
    let Some(target) = s.relation() else { return walk.opaque("MERGE without a table") };
    walk.on_relation(Action::Select, target);
    let joined = limits(s.join_condition(), target);
    for clause in s.merge_when_clauses() {
        let (schema, name) = walk.relation(target);
        let resource = Resource::Table { schema, name };
        // Rows that match no source are not limited by the join condition.
        let matched = clause.match_kind == nodes::MergeMatchKind::MERGE_WHEN_MATCHED;
        let has_where = (matched && joined) || limits(clause.condition(), target);
        match clause.command_type {
            nodes::CmdType::CMD_INSERT => {
                walk.add(Action::Insert, resource);
                writes::columns(walk, target, clause.target_list());
            }
            nodes::CmdType::CMD_UPDATE => {
                walk.accesses.push(Access { action: Action::Update, resource, has_where, as_root: false });
                writes::given(walk, target, clause.target_list());
            }
            nodes::CmdType::CMD_DELETE => {
                walk.accesses.push(Access { action: Action::Delete, resource, has_where, as_root: false })
            }
            nodes::CmdType::CMD_NOTHING => {}
            _ => walk.opaque("a branch of MERGE"),
        }
    }
    scoped(walk, s.with_clause(), |w| {
        w.push(s.source_relation());
        w.push(s.join_condition());
        for clause in s.merge_when_clauses() {
            w.push_children(clause.into());
        }
        if let Some(returning) = s.returning_clause() {
            w.push_list(returning.exprs());
        }
    });
}

/// Whether a condition names a column. Within subqueries only columns qualified with the target's
/// name count, since others may be the subquery's own.
fn limits(condition: Node<'_>, target: &nodes::RangeVar) -> bool {
    let name = target.alias().and_then(nodes::Alias::aliasname).or_else(|| target.relname()).unwrap_or_default();
    let mut todo = vec![(condition, false)];
    while let Some((node, inner)) = todo.pop() {
        if let Node::ColumnRef(c) = node {
            let fields = names::strings(c.fields());
            if !inner || (fields.len() > 1 && fields.first() == Some(&name)) {
                return true;
            }
        } else if matches!(node, Node::CurrentOfExpr(_)) {
            return true;
        } else {
            let inner = inner || matches!(node, Node::SelectStmt(_));
            super::children::children(node, &mut |child| todo.push((child, inner)));
        }
    }
    false
}

/// A function call: `call` unless it is harmless, and what the well-known ones do.
pub(super) fn function<'a>(walk: &mut Walk<'a, '_>, call: &'a nodes::FuncCall) {
    let parts = names::strings(call.funcname());
    let given = call.args().iter().count();
    let Some(name) = called(walk, &parts, given) else { return };
    let mut args = call.args().iter().map(|n| constant(n));
    match name {
        // INVARIANT: one that is another function would set nothing, and what names mean would be taken for something else.
        "set_config" if parts.len() == 1 && has_another(walk, name) => {
            walk.opaque("a set_config that may be another function than the server's");
        }
        "set_config" => {
            let address = std::ptr::from_ref(call).addr();
            let named = walk.named_settings.iter().find(|(of, _)| *of == address).map(|(_, setting)| setting.clone());
            let setting = args.next().flatten().or(named);
            set_config(walk, setting, args.next().flatten(), args.next().flatten());
        }
        "pg_notify" => match args.next().flatten() {
            Some(channel) => walk.add(Action::Notify, Resource::Channel { name: channel.into() }),
            None => walk.opaque(tells::COMPUTED_CHANNEL),
        },
        _ if reads_file(name) => match args.next().flatten() {
            Some(path) => walk.add(Action::ReadFile, Resource::File { path: path.into() }),
            None => walk.opaque(format!("{name} of a path that is computed")),
        },
        "lo_export" => match args.nth(1).flatten() {
            Some(path) => walk.add(Action::WriteFile, Resource::File { path: path.into() }),
            None => walk.opaque("lo_export to a path that is computed"),
        },
        _ => {}
    }
}

/// Asks for what a function of this name does, whatever it is given; the name, where it may be one of the server's own.
pub(super) fn called<'n>(walk: &mut Walk<'_, '_>, parts: &[&'n str], given: usize) -> Option<&'n str> {
    for resource in walk.env.functions(parts) {
        let is_plain = matches!(&resource, Resource::Function { schema, name } if &**schema == "pg_catalog" && rewrites(name, given));
        if !is_plain {
            walk.add(Action::Call, resource);
        }
    }
    if let [name] = parts {
        walk.reads.calls.insert((*name).into());
    }
    let name = match parts {
        // A name with its database before it is of this one.
        [name] | ["pg_catalog", name] | [_, "pg_catalog", name] => *name,
        _ => return None,
    };
    if tells::measures(name) {
        walk.reads.tells.insert(Tell::Function(name.into()));
    }
    if runs_text(name) && !rewrites(name, given) {
        walk.opaque(format!("the text that {name} runs"));
    }
    Some(name)
}

/// Whether the first argument of a function of the server's own is a file that it reads.
pub(super) fn reads_file(name: &str) -> bool {
    matches!(name, "pg_read_file" | "pg_read_binary_file" | "pg_ls_dir" | "pg_stat_file" | "lo_import")
}

/// Whether a function of the server's own tells how much room values take, or runs a text.
pub(super) fn tells_or_runs(name: &str) -> bool {
    tells::measures(name) || runs_text(name)
}

fn has_another(walk: &Walk<'_, '_>, name: &str) -> bool {
    walk.env.catalogue.functions_named(name).any(|function| &*function.schema != "pg_catalog")
}

fn set_config(walk: &mut Walk<'_, '_>, setting: Option<String>, value: Option<String>, local: Option<String>) {
    let Some(setting) = setting else { return walk.opaque("set_config of a setting that is computed") };
    if settings::locks_what_is_read(&setting.to_ascii_lowercase(), value.as_deref()) {
        walk.reads.tells.insert(Tell::ComeUpon("a serializable transaction (use REPEATABLE READ)"));
    }
    // Whatever a harmless setting becomes, nothing is read or done otherwise.
    if value.is_none() && setting_class(&setting, None) == SettingClass::Harmless {
        return;
    }
    // A setting of the user's own, as policies on rows read them.
    if value.is_none() && setting.contains('.') && !tells::is_telling_setting(&setting.to_ascii_lowercase()) {
        return set(walk, &setting, None);
    }
    let Some(value) = value else {
        return walk.opaque(format!("set_config of {setting} to a value that is computed"));
    };
    set(walk, &setting, Some(&value));
    let name: Name = setting.to_ascii_lowercase().into();
    match local.as_deref() {
        Some(local @ ("true" | "t" | "false" | "f")) => {
            walk.settings.push(Effect::Set { name, value: Some(value), local: local.starts_with('t') });
        }
        _ if is_naming(&name) => walk.opaque(format!("how long set_config of {name} holds")),
        _ => {}
    }
}

/// Settings that decide what a name means.
pub(super) fn is_naming(setting: &str) -> bool {
    matches!(setting, "search_path" | "role" | "session_authorization")
}

/// A `set_config` that changes what names mean has to run, and once: elsewhere than in the plain
/// `SELECT set_config(…)` it may be skipped (`WHERE false`, `PREPARE`), or another may follow.
pub(super) fn certain_to_be_set(walk: &mut Walk<'_, '_>, node: Node<'_>) {
    let naming = |e: &&Effect| matches!(e, Effect::Set { name, .. } if is_naming(name));
    let count = walk.settings.iter().filter(naming).count();
    if count > 1 || (count == 1 && !is_plain_call_of(node, "set_config")) {
        walk.opaque("a set_config that may not run");
    }
}

/// Whether a statement is `SELECT function(…)` with nothing that could skip a row.
fn is_plain_call_of(node: Node<'_>, function: &str) -> bool {
    let Node::SelectStmt(s) = node else { return false };
    let nothing = [s.where_clause(), s.having_clause(), s.limit_count(), s.limit_offset()];
    let calls = |target: &nodes::ResTarget| {
        matches!(target.val(), Node::FuncCall(f) if names::strings(f.funcname()).last() == Some(&function)
            && matches!(f.agg_filter(), Node::None))
    };
    nothing.into_iter().all(|n| matches!(n, Node::None))
        && s.from_clause().is_empty()
        && s.group_clause().is_empty()
        && s.with_clause().is_none()
        && s.larg().is_none()
        && s.target_list().iter().count() == 1
        && s.target_list().iter().all(calls)
}

/// With three arguments it replaces one query for words by another; with two it runs the second, a text of SQL.
fn rewrites(name: &str, arguments: usize) -> bool {
    name == "ts_rewrite" && arguments == 3
}

fn runs_text(name: &str) -> bool {
    matches!(
        name,
        "query_to_xml"
            | "query_to_xmlschema"
            | "query_to_xml_and_xmlschema"
            | "table_to_xml"
            | "table_to_xmlschema"
            | "table_to_xml_and_xmlschema"
            | "cursor_to_xml"
            | "cursor_to_xmlschema"
            | "schema_to_xml"
            | "schema_to_xmlschema"
            | "schema_to_xml_and_xmlschema"
            | "database_to_xml"
            | "database_to_xmlschema"
            | "database_to_xml_and_xmlschema"
            | "ts_stat"
            | "ts_rewrite"
            | "dblink"
            | "dblink_exec"
            | "dblink_open"
            | "dblink_send_query"
    )
}

/// A constant string, through casts that leave it as it is.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
pub(super) fn constant(mut node: Node<'_>) -> Option<String> {
    while let Node::TypeCast(cast) = node {
        // Another type may change the value: `'search_path2'::varchar(11)`.
        // So may one of the user's of the same name, and which of them is meant goes by the search path.
        let plain = cast.type_name().is_some_and(|t| {
            let names: Vec<&str> = t.names().iter().filter_map(|s| s.sval()).collect();
            t.typmods().is_empty()
                && t.array_bounds().is_empty()
                && matches!(names.as_slice(), ["pg_catalog", "text" | "varchar" | "bool"])
        });
        if !plain {
            return None;
        }
        node = cast.arg();
    }
    let Node::A_Const(c) = node else { return None };
    match c.val()? {
        ConstValue::String(s) | ConstValue::Float(s) => Some(s.to_owned()),
        ConstValue::Integer(i) => Some(i.to_string()),
        ConstValue::BitString(_) | ConstValue::Unrecognized(_) => None,
        ConstValue::Boolean(b) => Some(if b { "true" } else { "false" }.to_owned()),
        _ => None,
    }
}

/// Setting a setting for the session, in whatever way.
pub(super) fn set(walk: &mut Walk<'_, '_>, name: &str, value: Option<&str>) {
    let lower = name.to_ascii_lowercase();
    if settings::locks_what_is_read(&lower, value) {
        walk.reads.tells.insert(Tell::ComeUpon("a serializable transaction (use REPEATABLE READ)"));
    }
    if matches!(lower.as_str(), "role" | "session_authorization") {
        let role = value.unwrap_or("default");
        return walk.add(Action::Assume, Resource::Role { name: role.into() });
    }
    match settings::setting_class(&lower, value) {
        SettingClass::Harmless => walk.add(Action::Connect, Resource::Connection),
        SettingClass::Meaning => walk.add(Action::Set, Resource::Setting { name: lower.into() }),
        SettingClass::Refused(why) => walk.opaque(why),
    }
}

const OPERATORS: &str = " !! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| <= <> != <@ <^ = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~* ";

/// An operator's name: built-in symbols are fine (a user's operator of the same symbol needs types
/// of the user's: a limit that `docs/policy.md` states), others call a function we do not know.
pub(super) fn operator(walk: &mut Walk<'_, '_>, name: &NodeList) {
    let parts = names::strings(name);
    let known = |symbol: &str| {
        let mut words = OPERATORS.split(' ');
        words.any(|w| w == symbol)
    };
    match parts.as_slice() {
        [] | ["BETWEEN" | "NOT BETWEEN" | "BETWEEN SYMMETRIC" | "NOT BETWEEN SYMMETRIC"] => {}
        [symbol] | ["pg_catalog", symbol]
            if matches!(*symbol, "=" | "<>" | "<" | ">" | "+" | "-" | "~~") || known(symbol) => {}
        other => walk.opaque(format!("operator {}", other.join("."))),
    }
}
