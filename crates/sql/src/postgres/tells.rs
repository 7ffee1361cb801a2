//! What of the server's own tells of values besides the rows of their table: statistics, statements of others, sizes.
//!
//! What is not known counts as telling, where its name says that it belongs to a family of such.
/// What is not known of a call of `pg_notify` whose channel is a parameter or made by an expression. Who notifies chose what
/// to send, wherever it goes.
pub const COMPUTED_CHANNEL: &str = "pg_notify on a channel that is computed";

/// Views of statistics that count what was done, and neither values nor the room that they take.
const COUNTING: &[&str] = &[
    "pg_stat_activity",
    "pg_stat_all_indexes",
    "pg_stat_all_tables",
    "pg_stat_archiver",
    "pg_stat_database",
    "pg_stat_database_conflicts",
    "pg_stat_gssapi",
    "pg_stat_replication",
    "pg_stat_ssl",
    "pg_stat_subscription",
    "pg_stat_subscription_stats",
    "pg_stat_sys_indexes",
    "pg_stat_sys_tables",
    "pg_stat_user_functions",
    "pg_stat_user_indexes",
    "pg_stat_user_tables",
    "pg_stat_xact_all_tables",
    "pg_stat_xact_sys_tables",
    "pg_stat_xact_user_functions",
    "pg_stat_xact_user_tables",
    "pg_statistic_ext",
];

/// Columns that tell of values, or of the room that they take, in relations that do not otherwise.
const COLUMNS: &[(&str, &[&str])] = &[
    // Partial indexes, and the tables that keep long values, have rows by what values are.
    ("pg_class", &["relpages", "relallvisible", "relallfrozen", "reltuples"]),
    // The value that rows have which were there before a column was.
    ("pg_attribute", &["attmissingval"]),
    ("pg_stat_activity", &["query"]),
    ("pg_stat_all_tables", OF_TOAST),
    ("pg_stat_sys_tables", OF_TOAST),
    ("pg_stat_all_indexes", OF_TOAST_INDEX),
    ("pg_stat_sys_indexes", OF_TOAST_INDEX),
    ("pg_stat_user_tables", HOT),
    ("pg_stat_user_indexes", INDEX_COUNTERS),
    ("pg_stat_xact_all_tables", OF_TOAST),
    ("pg_stat_xact_sys_tables", OF_TOAST),
    ("pg_stat_xact_user_tables", HOT),
    (
        "pg_stat_database",
        &[
            "blks_read",
            "blks_hit",
            "tup_returned",
            "tup_fetched",
            "tup_inserted",
            "tup_updated",
            "tup_deleted",
            "temp_files",
            "temp_bytes",
        ],
    ),
    ("pg_locks", &["page", "tuple"]),
    ("pg_stat_replication", &["sent_lsn", "write_lsn", "flush_lsn", "replay_lsn"]),
    ("pg_replication_slots", &["restart_lsn", "confirmed_flush_lsn", "safe_wal_size"]),
];

/// An update that changes no indexed value is counted as such, is found by fewer entries of indexes afterwards, and is cleared away
/// otherwise: a guess would be answered.
const HOT: &[&str] = &["n_tup_hot_upd", "n_tup_newpage_upd", "idx_tup_fetch", "n_dead_tup"];

/// Long values are stored as rows of a table beside their own: these views count them.
const OF_TOAST: &[&str] = &[
    "n_tup_hot_upd",
    "n_tup_newpage_upd",
    "seq_scan",
    "seq_tup_read",
    "idx_scan",
    "idx_tup_fetch",
    "n_tup_ins",
    "n_tup_upd",
    "n_tup_del",
    "n_live_tup",
    "n_dead_tup",
    "n_mod_since_analyze",
    "n_ins_since_vacuum",
];

const OF_TOAST_INDEX: &[&str] = &["idx_scan", "idx_tup_read", "idx_tup_fetch"];

/// Columns that count rows of tables, which tell of values where a table is partitioned by them.
const ROWS: &[(&str, &[&str])] =
    &[("pg_locks", &["relation"]), ("pg_stat_user_tables", ROW_COUNTERS), ("pg_stat_xact_user_tables", ROW_COUNTERS)];

const ROW_COUNTERS: &[&str] = &[
    "seq_tup_read",
    "idx_tup_fetch",
    "n_tup_ins",
    "n_tup_upd",
    "n_tup_del",
    "n_live_tup",
    "n_dead_tup",
    "n_mod_since_analyze",
    "n_ins_since_vacuum",
];

const INDEX_COUNTERS: &[&str] = &["idx_tup_read", "idx_tup_fetch"];

/// Views of extensions, wherever they lie.
const OF_EXTENSIONS: &[&str] = &[
    "pg_stat_statements",
    "pg_stat_statements_info",
    "pg_stat_monitor",
    "pg_stat_kcache",
    "pg_stat_kcache_detail",
    "pg_qualstats",
    "pg_buffercache",
    "pg_buffercache_pages",
    "pg_wait_sampling_profile",
    "pg_store_plans",
];

/// Functions of `pg_catalog` that ask for `call`, and show nothing of any table.
const PLAIN: &[&str] = &[
    "current_query",
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_open",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "nextval",
    "pg_cancel_backend",
    "pg_current_xact_id",
    "pg_export_snapshot",
    "pg_last_xact_replay_timestamp",
    "pg_notification_queue_usage",
    "pg_notify",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_sequence_last_value",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_clear_snapshot",
    "pg_terminate_backend",
    "set_config",
    "setval",
    "suppress_redundant_updates_trigger",
    "tsvector_update_trigger",
    "tsvector_update_trigger_column",
];

/// Functions that ask for no right, and tell how much room values take.
const MEASURING: &[&str] = &[
    "pg_database_size",
    "pg_get_replication_slots",
    "pg_indexes_size",
    "pg_lock_status",
    "pg_relation_size",
    "pg_stat_get_bgwriter_buf_written_checkpoints",
    "pg_stat_get_bgwriter_buf_written_clean",
    "pg_stat_get_blocks_fetched",
    "pg_stat_get_blocks_hit",
    "pg_stat_get_buf_alloc",
    "pg_stat_get_buf_fsync_backend",
    "pg_stat_get_buf_written_backend",
    "pg_stat_get_db_blocks_fetched",
    "pg_stat_get_db_blocks_hit",
    "pg_stat_get_db_temp_bytes",
    "pg_stat_get_db_temp_files",
    "pg_stat_get_db_tuples_deleted",
    "pg_stat_get_db_tuples_fetched",
    "pg_stat_get_db_tuples_inserted",
    "pg_stat_get_db_tuples_returned",
    "pg_stat_get_db_tuples_updated",
    "pg_stat_get_progress_info",
    "pg_stat_get_slru",
    "pg_stat_get_dead_tuples",
    "pg_stat_get_ins_since_vacuum",
    "pg_stat_get_live_tuples",
    "pg_stat_get_mod_since_analyze",
    "pg_stat_get_numscans",
    "pg_stat_get_tuples_deleted",
    "pg_stat_get_tuples_fetched",
    "pg_stat_get_tuples_hot_updated",
    "pg_stat_get_tuples_inserted",
    "pg_stat_get_tuples_newpage_updated",
    "pg_stat_get_tuples_returned",
    "pg_stat_get_tuples_updated",
    "pg_stat_get_xact_numscans",
    "pg_stat_get_xact_tuples_deleted",
    "pg_stat_get_xact_tuples_fetched",
    "pg_stat_get_xact_tuples_hot_updated",
    "pg_stat_get_xact_tuples_inserted",
    "pg_stat_get_xact_tuples_newpage_updated",
    "pg_stat_get_xact_tuples_returned",
    "pg_stat_get_xact_tuples_updated",
    "pg_stat_get_wal",
    "pg_stat_get_wal_senders",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
];

/// Views of the server's own that tell how much memory or log values take, and belong to no family.
const MEASURED: &[&str] = &["pg_aios", "pg_backend_memory_contexts", "pg_replication_origin_status"];

/// Whether a relation shows values, statements of others, or what both leave in statistics.
pub fn shows_values(schema: &str, name: &str) -> bool {
    match schema {
        "pg_toast" => true,
        "pg_catalog" => {
            let is_of_a_family = name.starts_with("pg_stat") || name.starts_with("pg_largeobject");
            let is_plain = COUNTING.contains(&name) || name == "pg_largeobject_metadata";
            MEASURED.contains(&name) || (is_of_a_family && !is_plain)
        }
        _ => OF_EXTENSIONS.contains(&name),
    }
}

/// The columns of a relation that tell of values, where the rest of it does not.
pub fn telling_columns(schema: &str, name: &str) -> &'static [&'static str] {
    if schema != "pg_catalog" {
        return &[];
    }
    COLUMNS.iter().find(|(relation, _)| *relation == name).map(|(_, columns)| *columns).unwrap_or_default()
}

/// The columns of a relation that count rows: they tell of values where tables are partitioned by hidden columns.
pub fn counting_columns(schema: &str, name: &str) -> &'static [&'static str] {
    if schema != "pg_catalog" {
        return &[];
    }
    ROWS.iter().find(|(relation, _)| *relation == name).map(|(_, columns)| *columns).unwrap_or_default()
}

/// Whether a function of `pg_catalog` shows nothing of any table.
pub fn is_plain_function(name: &str) -> bool {
    let is_lock = || name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_");
    let is_transaction = || name.starts_with("txid_");
    (super::functions::builtin(name) == Some(true) && !measures(name))
        || PLAIN.contains(&name)
        || is_lock()
        || is_transaction()
        || name.starts_with("pg_stat_reset")
}

/// Whether the server brings a function of this name.
pub fn is_builtin(name: &str) -> bool {
    super::functions::builtin(name).is_some()
}

/// Whether a function of the server's own tells how much room values take, and asks for no right.
pub fn measures(name: &str) -> bool {
    MEASURING.contains(&name)
}

/// Whether a setting has the server tell how it runs statements, or load code.
pub fn is_telling_setting(name: &str) -> bool {
    ["auto_explain.", "debug_", "trace_", "pg_hint_plan."].iter().any(|family| name.starts_with(family))
        || (name.starts_with("log_") && name.ends_with("_stats"))
        || name.ends_with("_preload_libraries")
        || name == "dynamic_library_path"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations() {
        for name in ["pg_stats", "pg_statistic", "pg_stats_ext_exprs", "pg_statio_user_tables", "pg_stat_progress_copy"]
        {
            assert!(shows_values("pg_catalog", name), "{name}");
        }
        assert!(shows_values("pg_catalog", "pg_largeobject") && shows_values("pg_toast", "pg_toast_1"));
        assert!(shows_values("ext", "pg_stat_statements"));
        for name in ["pg_class", "pg_stat_user_tables", "pg_largeobject_metadata", "pg_attribute"] {
            assert!(!shows_values("pg_catalog", name), "{name}");
        }
        assert!(!shows_values("public", "pg_stats"));
    }

    #[test]
    fn functions_and_settings() {
        for name in ["query_to_xml", "lo_get", "pg_read_file", "ts_stat", "pg_table_size", "pg_current_wal_lsn", "none"]
        {
            assert!(!is_plain_function(name), "{name}");
        }
        for name in ["lower", "nextval", "pg_try_advisory_lock", "set_config"] {
            assert!(is_plain_function(name), "{name}");
        }
        assert!(is_telling_setting("auto_explain.log_analyze") && is_telling_setting("log_executor_stats"));
        assert!(!is_telling_setting("log_statement") && !is_telling_setting("search_path"));
    }
}
