//! Statements that are neither queries nor definitions: settings, transactions, cursors, COPY,
//! maintenance, notifications.
use super::{Tell, names, query, reads, settings, walk::Walk};
use doorward_model::{Action, Resource};
use pg_raw_parse::{Node, list::NodeList, nodes, nodes::VariableSetKind};
use std::sync::Arc;

/// Handles a node if it is such a statement. False if it is not.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
pub(super) fn statement<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::TransactionStmt(s) => transaction(walk, s),
        Node::VariableSetStmt(s) => variable_set(walk, s),
        Node::VariableShowStmt(_)
        | Node::DeallocateStmt(_)
        | Node::ClosePortalStmt(_)
        | Node::FetchStmt(_)
        | Node::DiscardStmt(_)
        | Node::UnlistenStmt(_)
        | Node::ConstraintsSetStmt(_) => connect(walk),
        Node::ExplainStmt(s) => {
            connect(walk);
            explained(walk, s);
            walk.push(s.query());
        }
        Node::PrepareStmt(s) => {
            connect(walk);
            walk.push(s.query());
        }
        Node::ExecuteStmt(s) => {
            connect(walk);
            walk.push_list(s.params());
        }
        Node::DeclareCursorStmt(s) => {
            connect(walk);
            walk.push(s.query());
        }
        Node::ListenStmt(s) => walk.add(Action::Listen, channel(s.conditionname())),
        Node::NotifyStmt(s) => walk.add(Action::Notify, channel(s.conditionname())),
        Node::LoadStmt(s) => {
            let path = s.filename().unwrap_or_default().into();
            walk.add(Action::LoadLibrary, Resource::File { path });
        }
        Node::LockStmt(s) => relations(walk, Action::Lock, s.relations()),
        Node::TruncateStmt(s) => relations(walk, Action::Truncate, s.relations()),
        Node::CopyStmt(s) => copy(walk, s),
        Node::DoStmt(_) => {
            walk.add(Action::Execute, Resource::Connection);
            walk.opaque("the body of DO");
        }
        Node::CallStmt(s) => call(walk, s),
        Node::AlterSystemStmt(s) => alter_system(walk, s),
        _ => return maintenance(walk, node),
    }
    true
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind is somebody else's")]
fn maintenance<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>) -> bool {
    match node {
        Node::CheckPointStmt(_) => walk.add(Action::Maintain, Resource::Connection),
        Node::VacuumStmt(s) => {
            if s.rels().is_empty() {
                walk.add(Action::Maintain, Resource::Connection);
            }
            for rel in s.rels() {
                if let Some(r) = rel.relation() {
                    walk.on_relation(Action::Maintain, r);
                }
            }
            verbose(walk, s.options().iter());
        }
        Node::ClusterStmt(s) => {
            maintain(walk, s.relation());
            verbose(walk, s.params().iter());
        }
        Node::RefreshMatViewStmt(s) => maintain(walk, s.relation()),
        Node::ReindexStmt(s) => match s.name() {
            Some(name) if s.kind == nodes::ReindexObjectType::REINDEX_OBJECT_SCHEMA => {
                walk.add(Action::Maintain, Resource::Schema { name: name.into() });
            }
            _ => maintain(walk, s.relation()),
        },
        _ => return false,
    }
    true
}

/// Whether an option is there, and switched off in so many words. `None`: it is not there.
fn is_off<'a>(options: impl Iterator<Item = &'a nodes::DefElem>, name: &str) -> Option<bool> {
    let named = options.filter(|option| option.defname().is_some_and(|n| n.eq_ignore_ascii_case(name)));
    // The last one counts.
    named
        .last()
        .map(|option| option.arg().as_str().is_some_and(|v| matches!(&*v.to_ascii_lowercase(), "off" | "false")))
}

/// Estimates of costs and rows come from how many pages a table has, which lengths of values decide; buffers are pages.
fn explained(walk: &mut Walk<'_, '_>, s: &nodes::ExplainStmt) {
    let off = |name| is_off(s.options().iter(), name);
    if off("costs") != Some(true) {
        walk.reads.tells.insert(Tell::Sizes("EXPLAIN with costs (COSTS OFF leaves them out)"));
    }
    // How many rows each partition, and how many pages and how much memory each step took.
    if off("analyze") == Some(false) {
        walk.reads.tells.insert(Tell::Sizes("EXPLAIN ANALYZE (EXPLAIN (COSTS OFF) passes)"));
    }
    if off("buffers") == Some(false) {
        walk.reads.tells.insert(Tell::Sizes("EXPLAIN with buffers (BUFFERS OFF leaves them out)"));
    }
    if off("wal") == Some(false) {
        walk.reads.tells.insert(Tell::Sizes("EXPLAIN with WAL"));
    }
}

/// It says how many pages a table has.
fn verbose<'a>(walk: &mut Walk<'_, '_>, options: impl Iterator<Item = &'a nodes::DefElem>) {
    if is_off(options, "verbose") == Some(false) {
        walk.reads.tells.insert(Tell::Sizes("VERBOSE"));
    }
}

fn maintain(walk: &mut Walk<'_, '_>, relation: Option<&nodes::RangeVar>) {
    match relation {
        Some(r) => walk.on_relation(Action::Maintain, r),
        None => walk.add(Action::Maintain, Resource::Connection),
    }
}

fn connect(walk: &mut Walk<'_, '_>) {
    walk.add(Action::Connect, Resource::Connection);
}

fn channel(name: Option<&str>) -> Resource {
    Resource::Channel { name: name.unwrap_or_default().into() }
}

fn relations(walk: &mut Walk<'_, '_>, action: Action, list: &NodeList) {
    for node in list {
        if let Node::RangeVar(r) = node {
            walk.on_relation(action, r);
        } else {
            walk.opaque("a list of relations");
        }
    }
}

fn transaction(walk: &mut Walk<'_, '_>, s: &nodes::TransactionStmt) {
    use nodes::TransactionStmtKind as Kind;
    let prepared =
        || Resource::Object { kind: "prepared transaction".into(), name: s.gid().unwrap_or_default().into() };
    match s.kind {
        Kind::TRANS_STMT_PREPARE => walk.add(Action::Create, prepared()),
        Kind::TRANS_STMT_COMMIT_PREPARED | Kind::TRANS_STMT_ROLLBACK_PREPARED => walk.add(Action::Drop, prepared()),
        _ => {
            modes(walk, s.options());
            connect(walk);
        }
    }
}

/// How a transaction is to be run (`BEGIN ISOLATION LEVEL …`, `SET TRANSACTION …`).
fn modes(walk: &mut Walk<'_, '_>, options: &NodeList) {
    for option in options {
        if let Node::DefElem(mode) = option {
            let value = query::constant(mode.arg());
            if settings::locks_what_is_read(mode.defname().unwrap_or_default(), value.as_deref()) {
                walk.reads.tells.insert(Tell::ComeUpon("a serializable transaction (use REPEATABLE READ)"));
            }
        }
    }
}

/// The value of a SET of names, each quoted as the server quotes them (`flatten_set_variable_args`):
/// one constant is one name, whatever commas and capitals it holds.
pub(super) fn quoted_list(args: &NodeList) -> Option<String> {
    let values: Option<Vec<String>> = args.iter().map(query::constant).collect();
    let quoted = |v: &String| format!("\"{}\"", v.replace('"', "\"\""));
    values.filter(|v| !v.is_empty()).map(|v| v.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// The value of a SET as one string, lists joined by `, `. `None` if it is not constant.
pub(super) fn set_value(args: &NodeList) -> Option<String> {
    let values: Option<Vec<String>> = args.iter().map(query::constant).collect();
    values.filter(|v| !v.is_empty()).map(|v| v.join(", "))
}

fn variable_set(walk: &mut Walk<'_, '_>, s: &nodes::VariableSetStmt) {
    let name = s.name().unwrap_or_default();
    match s.kind {
        VariableSetKind::VAR_SET_VALUE => match set_value(s.args()) {
            Some(value) if value.eq_ignore_ascii_case("none") && name.eq_ignore_ascii_case("role") => connect(walk),
            value => query::set(walk, name, value.as_deref()),
        },
        VariableSetKind::VAR_SET_MULTI => {
            modes(walk, s.args());
            connect(walk);
        }
        VariableSetKind::VAR_RESET_ALL => connect(walk),
        VariableSetKind::VAR_SET_DEFAULT | VariableSetKind::VAR_RESET => match name.to_ascii_lowercase().as_str() {
            // Back to what the session began as, which was decided when it began.
            "role"
            | "session_authorization"
            | "search_path"
            | "client_encoding"
            | "standard_conforming_strings"
            | "transaction_isolation"
            | "default_transaction_isolation"
            | "backslash_quote" => connect(walk),
            _ => query::set(walk, name, None),
        },
        _ => walk.opaque("a form of SET"),
    }
}

fn alter_system(walk: &mut Walk<'_, '_>, s: &nodes::AlterSystemStmt) {
    let Some(set) = s.setstmt() else { return walk.opaque("ALTER SYSTEM") };
    let name = set.name().unwrap_or("all").to_ascii_lowercase();
    walk.add(Action::Configure, Resource::Setting { name: name.into() });
}

/// The same of what sessions begin with.
pub(super) fn setting_to_come(walk: &mut Walk<'_, '_>, set: Option<&nodes::VariableSetStmt>) {
    let is_naming =
        |set: &nodes::VariableSetStmt| set.name().is_none_or(|name| query::is_naming(&name.to_ascii_lowercase()));
    if set.is_some_and(is_naming) {
        walk.reads.tells.insert(Tell::Names);
    }
    stored_setting(walk, set);
}

/// The settings of ALTER ROLE … SET and its like: those that would change how text is read.
pub(super) fn stored_setting(walk: &mut Walk<'_, '_>, set: Option<&nodes::VariableSetStmt>) {
    let Some(set) = set else { return };
    let name = set.name().unwrap_or("all");
    if set.kind == VariableSetKind::VAR_SET_VALUE {
        query::set(walk, name, set_value(set.args()).as_deref());
    } else if set.kind == VariableSetKind::VAR_SET_CURRENT {
        walk.add(Action::Set, Resource::Setting { name: name.into() });
    }
}

fn call<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::CallStmt) {
    let Some(call) = s.funccall() else { return walk.opaque("CALL") };
    let parts = names::strings(call.funcname());
    let mut functions = walk.env.functions(&parts);
    if functions.is_empty() {
        functions.push(Resource::Function {
            schema: "pg_catalog".into(),
            name: parts.last().copied().unwrap_or_default().into(),
        });
    }
    for resource in functions {
        walk.add(Action::Call, resource);
    }
    query::function(walk, call);
    walk.push_children(call.into());
}

fn copy<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::CopyStmt) {
    if let Some(relation) = s.relation() {
        walk.on_relation(if s.is_from { Action::Insert } else { Action::Select }, relation);
    }
    if let Some(target) = s.filename() {
        let resource = if s.is_program {
            Resource::Program { command: target.into(), name: target.into(), arguments: Arc::from([]) }
        } else {
            Resource::File { path: target.into() }
        };
        let action = match (s.is_program, s.is_from) {
            (true, _) => Action::RunProgram,
            (false, true) => Action::ReadFile,
            (false, false) => Action::WriteFile,
        };
        walk.add(action, resource);
    }
    reads::copied(walk, s);
    walk.push(s.query());
    walk.push(s.where_clause());
}
