//! Which functions of the server are harmless.
//!
//! The list is data (`data/builtin-functions.txt`), made from a real server's `pg_proc` by
//! `tools/builtin-functions.py`, which states the rules.
use ahash::AHashMap;
use std::sync::LazyLock;

const LIST: &str = include_str!("data/builtin-functions.txt");

static BUILTIN: LazyLock<AHashMap<&'static str, bool>> = LazyLock::new(|| {
    LIST.lines()
        .filter_map(|l| l.strip_prefix('+').map(|n| (n, true)).or_else(|| l.strip_prefix('-').map(|n| (n, false))))
        .collect()
});

/// The functions of `pg_catalog` that need no `call`, with where the list comes from.
pub fn harmless_functions() -> (impl Iterator<Item = &'static str>, &'static str) {
    let names = LIST.lines().filter_map(|l| l.strip_prefix('+'));
    (names, "pg_proc of PostgreSQL 15 by the rules in tools/builtin-functions.py, and names of 16 to 18")
}

/// What is known of a function of `pg_catalog`: `None` if there is none of the name.
pub(super) fn builtin(name: &str) -> Option<bool> {
    BUILTIN.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_with_effects_are_not_harmless() {
        for name in [
            "setval",
            "nextval",
            "lo_unlink",
            "lo_get",
            "pg_terminate_backend",
            "pg_read_file",
            "query_to_xml",
            "table_to_xml",
            "cursor_to_xml",
            "database_to_xml",
            "schema_to_xml",
            "ts_stat",
            "ts_rewrite",
            "pg_notify",
            "set_config",
            "pg_sleep",
            "pg_advisory_lock",
            "pg_ls_dir",
            "pg_reload_conf",
            "pg_logical_slot_get_changes",
            "txid_current",
            "pg_stat_get_activity",
            "pg_switch_wal",
        ] {
            assert_eq!(builtin(name), Some(false), "{name}");
        }
        for name in ["lower", "count", "now", "random", "jsonb_agg", "row_to_json", "uuidv7", "format_type"] {
            assert_eq!(builtin(name), Some(true), "{name}");
        }
        assert_eq!(builtin("dblink"), None);
        assert!(harmless_functions().0.count() > 2000);
    }
}
