//! What servers of before read otherwise than the grammar, which is that of PostgreSQL 18.
//!
//! | text | since | before |
//! |---|---|---|
//! | `system_user` | 16: who has logged in | a column, or in a FROM clause a relation |
//! | `json_object(…)`, `json_array(…)`, `json_objectagg(…)`, `json_arrayagg(…)` | 16 | a function of the search path |
//! | `json(…)`, `json_scalar(…)`, `json_serialize(…)`, `json_value(…)`, `json_query(…)`, `json_exists(…)` | 17 | the same |
//! | `merge_action()` | 17 | the same |
//!
//! INVARIANT: whatever the server's version, such a text counts as both. All else that was added since PostgreSQL 13 is an error
//! of syntax before, or a function that is looked up by its name.
use super::{names, walk::Walk};
use doorward_model::Action;
use pg_raw_parse::{Node, nodes};

/// The word that was no keyword.
pub(super) const SYSTEM_USER: &str = "system_user";

/// Whether a node is `SYSTEM_USER`, as a keyword.
pub(super) fn is_system_user(node: Node<'_>) -> bool {
    let Node::FuncCall(call) = node else { return false };
    call.funcformat == nodes::CoercionForm::COERCE_SQL_SYNTAX
        && names::strings(call.funcname()).last() == Some(&SYSTEM_USER)
}

/// The functions of the search path that a server of before would call in place of what is the server's own now.
#[allow(clippy::wildcard_enum_match_arm, reason = "no other node is written as a call")]
pub(super) fn calls(node: Node<'_>) -> &'static [&'static str] {
    match node {
        Node::FuncCall(call) if matches!(*names::strings(call.funcname()), ["pg_catalog", "json_object"]) => {
            &["json_object"]
        }
        Node::JsonObjectConstructor(_) => &["json_object"],
        Node::JsonArrayConstructor(_) | Node::JsonArrayQueryConstructor(_) => &["json_array"],
        Node::JsonObjectAgg(_) => &["json_objectagg"],
        Node::JsonArrayAgg(_) => &["json_arrayagg"],
        Node::JsonParseExpr(_) => &["json"],
        Node::JsonScalarExpr(_) => &["json_scalar"],
        Node::JsonSerializeExpr(_) => &["json_serialize"],
        Node::JsonFuncExpr(_) => &["json_value", "json_query", "json_exists"],
        Node::MergeSupportFunc(_) => &["merge_action"],
        _ => &[],
    }
}

/// What a node would ask for on a server of before.
pub(super) fn accesses(walk: &mut Walk<'_, '_>, node: Node<'_>) {
    for name in calls(node) {
        for resource in walk.env.users_functions(name) {
            walk.add(Action::Call, resource);
        }
    }
    if let Node::RangeFunction(f) = node {
        let is_relation = |part: Node<'_>| {
            let Node::NodeList(pair) = part else { return false };
            pair.iter().any(is_system_user)
        };
        if f.functions().iter().any(is_relation) {
            walk.opaque("SYSTEM_USER in a FROM clause, which is a relation to a server before PostgreSQL 16");
        }
    }
}
