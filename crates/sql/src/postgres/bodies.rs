//! Bodies of functions: what they would do when called, asked when they are made.
use super::{SettingClass, Tell, names, objects, setting_class, utility, walk::Walk};
use doorward_model::Action;
use pg_raw_parse::{Node, nodes};

/// CREATE FUNCTION and CREATE PROCEDURE. Bodies in SQL are read; in other languages they are opaque.
pub(super) fn create_function<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::CreateFunctionStmt) {
    let parts = names::strings(s.funcname());
    let resource = objects::function(walk, &parts, true);
    walk.add(Action::Create, resource);
    names_none_of_the_servers(walk, parts.last().copied());
    let (mut language, mut body) = (None, None);
    for option in s.options() {
        match option.defname() {
            Some("language") => language = option.arg().as_str(),
            Some("as") => body = Some(option.arg()),
            Some("set") => {
                if let Node::VariableSetStmt(set) = option.arg() {
                    utility::stored_setting(walk, Some(set));
                }
            }
            Some(_) | None => {}
        }
    }
    for parameter in s.parameters() {
        walk.push(parameter.defexpr());
    }
    if !matches!(s.sql_body(), Node::None) {
        return walk.push(s.sql_body());
    }
    let language = language.unwrap_or("sql").to_ascii_lowercase();
    let name = names::dotted(&parts);
    let text = match body {
        Some(Node::NodeList(list)) if list.len() == 1 => list.first().and_then(Node::as_str),
        Some(_) | None => None,
    };
    match text {
        Some(text) if language == "sql" => sql_body(walk, text, &name),
        Some(_) | None => walk.opaque(format!("body of function {name} in language {language}")),
    }
}

/// What is called as the function by which a session's settings change would be taken for it.
pub(super) fn names_none_of_the_servers(walk: &mut Walk<'_, '_>, name: Option<&str>) {
    if name == Some("set_config") {
        walk.opaque("a function called set_config (the name of the server's own)");
    }
}

fn sql_body(walk: &mut Walk<'_, '_>, text: &str, name: &str) {
    // One level: a function that makes functions is rare, and each level parses its text anew.
    let tree = if walk.nested == 0 && text.len() < 1 << 20 { pg_raw_parse::parse(text).ok() } else { None };
    let Some(tree) = tree else {
        return walk.opaque(format!("body of function {name}"));
    };
    let mut inner = Walk::new(walk.env, walk.nested + 1);
    for statement in tree.stmts() {
        inner.statement(statement);
        if !leaves_names(statement) {
            inner.reads.tells.insert(Tell::Names);
        }
    }
    // What set_config sets, or a command, outlives the call.
    if !inner.settings.is_empty() {
        inner.reads.tells.insert(Tell::Names);
    }
    walk.accesses.append(&mut inner.accesses);
    walk.reads.tells.append(&mut inner.reads.tells);
    walk.reads.bare.append(&mut inner.reads.bare);
    walk.reads.calls.append(&mut inner.reads.calls);
}

/// Whether names mean the same after a statement of a body, whatever it does.
#[allow(clippy::wildcard_enum_match_arm, reason = "what is not known may change them")]
fn leaves_names(node: Node<'_>) -> bool {
    match node {
        Node::SelectStmt(_)
        | Node::InsertStmt(_)
        | Node::UpdateStmt(_)
        | Node::DeleteStmt(_)
        | Node::MergeStmt(_)
        | Node::CallStmt(_)
        | Node::TruncateStmt(_)
        | Node::LockStmt(_)
        | Node::NotifyStmt(_) => true,
        Node::VariableSetStmt(s) => setting_class(s.name().unwrap_or_default(), None) == SettingClass::Harmless,
        _ => false,
    }
}
