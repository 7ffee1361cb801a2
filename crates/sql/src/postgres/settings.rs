//! What setting a setting means.
use super::{names, query, walk::Walk};
use crate::{Reach, Relation};
use doorward_model::{Action, Name, Resource};
use pg_raw_parse::{Node, nodes};

/// What it means to change a setting for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingClass {
    /// Changes how results look or how long things take: `connect` is enough.
    Harmless,
    /// Changes what statements mean or may do: `set` is asked on the setting.
    Meaning,
    /// Changes how text is read, so that our reading would no longer be the server's: an opaque
    /// access, with this reason.
    Refused(&'static str),
}

const HARMLESS: &[&str] = &[
    "datestyle",
    "intervalstyle",
    "timezone",
    "application_name",
    "extra_float_digits",
    "bytea_output",
    "client_min_messages",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "work_mem",
    "maintenance_work_mem",
    "temp_buffers",
    "hash_mem_multiplier",
    "jit",
    "plan_cache_mode",
    "random_page_cost",
    "seq_page_cost",
    "cpu_tuple_cost",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "effective_cache_size",
    "effective_io_concurrency",
    "from_collapse_limit",
    "join_collapse_limit",
    "geqo",
    "geqo_threshold",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "default_statistics_target",
    "max_parallel_workers_per_gather",
    "max_parallel_workers",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "xmlbinary",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "client_connection_check_interval",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
    "default_text_search_config",
    "quote_all_identifiers",
    "ssl_renegotiation_limit",
    "synchronize_seqscans",
    "escape_string_warning",
    "gin_fuzzy_search_limit",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "check_function_bodies",
    "default_tablespace",
    "temp_tablespaces",
    "default_table_access_method",
    "default_toast_compression",
];

/// The class of a setting when it is set to `value` (`None`: to its default, or to something unknown).
/// Also for startup parameters and the settings in `options`. Names fold to lower case here.
pub fn setting_class(name: &str, value: Option<&str>) -> SettingClass {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "standard_conforming_strings" => match value.map(str::to_ascii_lowercase).as_deref() {
            Some("on" | "true" | "yes" | "1" | "tru" | "tr" | "t" | "ye" | "y") => SettingClass::Harmless,
            Some(_) | None => SettingClass::Refused("standard_conforming_strings off changes how text is read"),
        },
        "client_encoding" | "names" => {
            let plain: Option<String> =
                value.map(|v| v.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase());
            match plain.as_deref() {
                Some("utf8" | "unicode") => SettingClass::Harmless,
                Some(_) | None => SettingClass::Refused("a client_encoding other than UTF8 changes how text is read"),
            }
        }
        "backslash_quote" => match value.map(str::to_ascii_lowercase).as_deref() {
            Some("safe_encoding") => SettingClass::Harmless,
            Some(_) | None => SettingClass::Refused("backslash_quote changes how text is read"),
        },
        "search_path" if value.is_some_and(|value| value.contains('\u{b}')) => {
            SettingClass::Refused("a search_path with a vertical tab (white space to some servers)")
        }
        "transform_null_equals" | "array_nulls" | "xmloption" => SettingClass::Meaning,
        known if HARMLESS.contains(&known) || known.starts_with("enable_") => SettingClass::Harmless,
        _ => SettingClass::Meaning,
    }
}

/// Whether a setting has transactions fail by what others have read of what they change (`SERIALIZABLE`). A value of `None` is not known.
pub fn locks_what_is_read(name: &str, value: Option<&str>) -> bool {
    const OTHERS: [&str; 3] = ["read uncommitted", "read committed", "repeatable read"];
    matches!(name.to_ascii_lowercase().as_str(), "transaction_isolation" | "default_transaction_isolation")
        && !value.is_some_and(|value| OTHERS.contains(&value.to_ascii_lowercase().as_str()))
}

/// An `UPDATE` of `pg_settings` calls `set_config` (its rule `pg_settings_u`), and so does one of a view that reads it: what it
/// sets is not known. Nor is a temporary view, which is why none is made.
pub(super) fn changes_by_a_view(walk: &mut Walk<'_, '_>, node: Node<'_>, before: usize) {
    // A rule makes a view of a table (`"_RETURN"`), or has one thing done by another.
    let makes_a_view = matches!(node, Node::ViewStmt(_) | Node::CreateSchemaStmt(_) | Node::RuleStmt(_));
    let accesses = walk.accesses.get(before..).unwrap_or_default();
    let is_so = accesses.iter().any(|access| {
        let is_asked = matches!(access.action, Action::Update | Action::Alter)
            || (makes_a_view && access.action == Action::Select);
        if let Resource::Schema { name } = &access.resource {
            // By another name, what is in it is unknown.
            return access.action == Action::Alter && holds_settings(walk, name);
        }
        matches!(&access.resource, Resource::Table { name, .. } if is_asked && shows_settings(walk, name))
    });
    if is_so {
        walk.opaque(if makes_a_view {
            "a view over pg_settings, by which settings change"
        } else {
            "settings changed by a view"
        });
    }
}

fn holds_settings(walk: &Walk<'_, '_>, schema: &Name) -> bool {
    let mut held =
        walk.env.catalogue.relations().filter(|relation| relation.schema == *schema && relation.kind.is_view());
    held.any(|view| shows_settings(walk, &view.name))
}

fn shows_settings(walk: &Walk<'_, '_>, name: &Name) -> bool {
    // One of its name in another schema may be gone by the time the server looks, or that may look elsewhere.
    let is_it = |name: &str| name == "pg_settings";
    let catalogue = &walk.env.catalogue;
    let reads_it = |relation: &Relation| match catalogue.view_reads(relation.oid) {
        Reach::Relations(reads) => {
            reads.iter().filter_map(|oid| catalogue.relation(*oid)).any(|read| is_it(&read.name))
        }
        // What cannot be read is refused as that.
        Reach::Anything => false,
    };
    is_it(name) || catalogue.relations_named(name).any(reads_it)
}

/// Which setting `set_config(name, …)` changes in a query over `pg_settings` alone whose whole condition is `name = 'constant'`,
/// as pg_dump writes it: that one, or none where the server does not have it.
///
/// Columns of that view are not renamed, no other relation goes by its name, and `=` is the server's own: its schema is
/// the first that is searched.
pub(super) fn named<'a>(walk: &mut Walk<'a, '_>, s: &'a nodes::SelectStmt) {
    let mut from = s.from_clause().iter();
    let (Some(Node::RangeVar(view)), None) = (from.next(), from.next()) else { return };
    let is_view = || {
        let is_whole = view.alias().is_none() && view.catalogname().is_none() && s.with_clause().is_none();
        let (schema, name) = walk.env.range_var(view);
        let is_first = !walk.env.search_path.iter().any(|schema| &**schema == "pg_catalog");
        is_whole && !walk.is_cte(view) && is_first && &*schema == "pg_catalog" && &*name == "pg_settings"
    };
    let Some(setting) = equals_name(s.where_clause()).filter(|_| is_view()) else { return };
    for target in s.target_list() {
        if let Node::FuncCall(call) = target.val()
            && call.args().iter().next().is_some_and(is_name)
        {
            walk.named_settings.push((std::ptr::from_ref(call).addr(), setting.clone()));
        }
    }
}

/// The constant of `name = 'constant'`.
fn equals_name(condition: Node<'_>) -> Option<String> {
    let Node::A_Expr(e) = condition else { return None };
    let is_equal = e.kind == nodes::A_Expr_Kind::AEXPR_OP && names::strings(e.name()) == ["="];
    (is_equal && is_name(e.lexpr())).then(|| query::constant(e.rexpr())).flatten()
}

fn is_name(node: Node<'_>) -> bool {
    matches!(node, Node::ColumnRef(c) if c.fields().iter().count() == 1 && names::strings(c.fields()) == ["name"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(setting_class("DateStyle", Some("ISO")), SettingClass::Harmless);
        assert_eq!(setting_class("client_encoding", Some("'utf-8'")), SettingClass::Harmless);
        assert!(matches!(setting_class("client_encoding", Some("SJIS")), SettingClass::Refused(_)));
        assert!(matches!(setting_class("Standard_Conforming_Strings", Some("off")), SettingClass::Refused(_)));
        assert_eq!(setting_class("search_path", Some("x")), SettingClass::Meaning);
        assert!(matches!(setting_class("search_path", Some("x\u{b},y")), SettingClass::Refused(_)));
        assert_eq!(setting_class("session_replication_role", Some("replica")), SettingClass::Meaning);
        assert_eq!(setting_class("row_security", None), SettingClass::Meaning);
        assert_eq!(setting_class("my.setting", None), SettingClass::Meaning);
    }
}
