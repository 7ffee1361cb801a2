//! What setting a system variable of a session means.
use super::upstream::{SqlMode, readable_charset};
use crate::postgres::SettingClass;

/// Change how results look, or how long things take.
const HARMLESS: &str = " autocommit auto_increment_increment auto_increment_offset big_tables bulk_insert_buffer_size \
collation_connection collation_database completion_type cte_max_recursion_depth default_storage_engine \
default_tmp_storage_engine default_week_format div_precision_increment end_markers_in_json eq_range_index_dive_limit \
explain_format foreign_key_checks generated_random_password_length group_concat_max_len idle_transaction_timeout \
idle_readonly_transaction_timeout idle_write_transaction_timeout information_schema_stats_expiry \
innodb_lock_wait_timeout innodb_strict_mode interactive_timeout join_buffer_size lc_messages lc_time_names \
lock_wait_timeout long_query_time low_priority_updates max_error_count max_execution_time max_heap_table_size \
max_join_size max_length_for_sort_data max_recursive_iterations max_seeks_for_key \
max_statement_time min_examined_row_limit net_buffer_length net_read_timeout net_retry_count net_write_timeout \
old_alter_table optimizer_prune_level optimizer_search_depth optimizer_switch optimizer_trace optimizer_use_condition_selectivity \
profiling profiling_history_size query_alloc_block_size query_cache_type query_prealloc_size rand_seed1 rand_seed2 \
range_alloc_block_size read_buffer_size read_rnd_buffer_size session_track_gtids \
session_track_state_change session_track_transaction_info show_create_table_skip_secondary_engine \
show_create_table_verbosity sort_buffer_size sql_auto_is_null sql_big_selects sql_buffer_result sql_notes sql_quote_show_create \
sql_safe_updates sql_select_limit sql_warnings storage_engine time_zone timestamp tmp_table_size transaction_alloc_block_size \
transaction_isolation transaction_prealloc_size transaction_read_only tx_isolation tx_read_only unique_checks \
updatable_views_with_limit use_secondary_engine wait_timeout windowing_use_high_precision last_insert_id insert_id identity \
net_read_timeout deadlock_search_depth_long deadlock_search_depth_short innodb_table_locks check_constraint_checks \
column_compression_threshold expensive_subquery_limit histogram_size histogram_type in_predicate_conversion_threshold \
join_cache_level keep_files_on_create max_tmp_tables mrr_buffer_size progress_report_time rowid_merge_buff_size \
tcp_nodelay use_stat_tables select_into_buffer_size select_into_disk_sync print_identified_with_as_hex \
resultset_metadata parser_max_mem_size ";

/// How many bytes of a text servers sort by unless they are told otherwise (`max_sort_length`).
const SORTED: u64 = 1024;

/// Settings that change what is stored, or who hears of it, and not how a statement is run: they show nothing of what stays
/// hidden from whoever sets them. Nor do those that change how a text is read: it is read so by the gateway, or not at all.
const SHOWS_NOTHING: &str = " sql_log_bin sql_log_off sql_require_primary_key sql_generate_invisible_primary_key \
gtid_next gtid_domain_id gtid_seq_no server_id skip_replication skip_parallel_replication pseudo_slave_mode pseudo_thread_id \
binlog_format binlog_row_image binlog_row_value_options binlog_rows_query_log_events binlog_direct_non_transactional_updates \
binlog_annotate_row_events character_set_database character_set_server character_set_filesystem collation_server \
default_collation_for_utf8mb4 default_table_encryption default_regex_flags enforce_storage_engine alter_algorithm \
create_tmp_table_encryption innodb_compression_default innodb_compression_level innodb_default_encryption_key_id max_sp_recursion_depth \
max_user_connections max_allowed_packet max_delayed_threads max_insert_delayed_threads system_versioning_alter_history \
system_versioning_insert_history explicit_defaults_for_timestamp require_row_format session_track_schema \
session_track_user_variables sql_if_exists tmp_disk_table_size tmp_memory_table_size xa_detach_on_prepare \
sql_mode character_set_client character_set_connection character_set_results note_verbosity range_optimizer_max_mem_size original_commit_timestamp original_server_version immediate_server_version \
wsrep_on wsrep_sync_wait wsrep_causal_reads wsrep_osu_method wsrep_trx_fragment_size wsrep_trx_fragment_unit ";

/// Whether setting this may show more of a table than a caller may see: whatever is not known to show nothing, as what
/// takes an index hint for less (`old_mode`), or has the server tell how it runs statements (`debug`).
pub fn is_telling_setting(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !SHOWS_NOTHING.split(' ').any(|n| n == name)
}

/// Whether a setting has the server lock all that is read, so that others can tell where that is in an index.
pub fn locks_what_is_read(name: &str, value: Option<&str>) -> bool {
    const OTHERS: [&str; 6] = ["read-uncommitted", "read-committed", "repeatable-read", "0", "1", "2"];
    matches!(name.to_ascii_lowercase().as_str(), "transaction_isolation" | "tx_isolation")
        && !value.is_some_and(|value| OTHERS.contains(&value.to_ascii_lowercase().as_str()))
}

/// Settings that decide how a text is read, or what its names mean.
pub(super) fn changes_reading(name: &str) -> bool {
    matches!(
        name,
        "sql_mode"
            | "character_set_client"
            | "character_set"
            | "names"
            | "character_set_connection"
            | "character_set_results"
            | "lower_case_table_names"
    )
}

/// Settings of which what they are set to has to be known: how texts are read, what the server tells, how much a statement tells of.
pub(super) fn decides(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    changes_reading(&name)
        || locks_what_is_read(&name, None)
        || matches!(
            name.as_str(),
            "collation_connection" | "old_mode" | "max_sort_length" | "optimizer_switch" | "optimizer_trace" | "debug"
        )
        || name.starts_with("session_track")
}

/// What has to be told.
const TOLD: [&str; 4] = ["sql_mode", "character_set_client", "character_set_connection", "character_set_results"];

/// Settings that decide how a text is read, of which servers tell whatever they are set to.
pub(super) fn is_told(name: &str) -> bool {
    TOLD.contains(&name)
}

/// Why the server may not be told to keep changes to itself.
const UNTOLD: &str = "what changes how text is read has to be told by the server";

/// Whether a list of variables to be told of has those that decide how a text is read.
pub(super) fn tells(list: &str) -> bool {
    let names: Vec<String> = list.split(',').map(|n| n.trim().to_ascii_lowercase()).collect();
    let has = |name: &str| names.iter().any(|n| n == name);
    has("*") || TOLD.into_iter().all(has)
}

fn listed(name: &str) -> bool {
    HARMLESS.split(' ').any(|n| n == name)
}

/// The class of a setting when a session sets it to `value` (`None`: to something that is not constant).
pub fn setting_class(name: &str, value: Option<&str>) -> SettingClass {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "sql_mode" => match value.map(SqlMode::parse) {
            Some(Ok(_)) => SettingClass::Harmless,
            Some(Err(_)) | None => SettingClass::Refused("a sql_mode that is not understood changes how text is read"),
        },
        "character_set_client" | "character_set" | "names" | "character_set_connection" => match value {
            Some(charset) if readable_charset(charset) => SettingClass::Harmless,
            Some(_) | None => SettingClass::Refused("a character set other than UTF-8 changes how text is read"),
        },
        "character_set_results" => match value.map(str::to_ascii_lowercase).as_deref() {
            Some("null" | "binary") => SettingClass::Harmless,
            Some(charset) if readable_charset(charset) => SettingClass::Harmless,
            Some(_) | None => SettingClass::Refused("a character set of results other than UTF-8 cannot be masked"),
        },
        "session_track_schema" => match value.map(str::to_ascii_lowercase).as_deref() {
            Some("on" | "1" | "true") => SettingClass::Harmless,
            Some(_) | None => SettingClass::Refused(UNTOLD),
        },
        "session_track_system_variables" => match value {
            Some(list) if tells(list) => SettingClass::Harmless,
            Some(_) | None => SettingClass::Refused(UNTOLD),
        },
        // Of longer texts the rest does not count where rows are sorted: fewer bytes, and more rows are taken for equal.
        "max_sort_length" => match value.map(str::parse::<u64>) {
            Some(Ok(length)) if length >= SORTED => SettingClass::Harmless,
            Some(Ok(_) | Err(_)) | None => SettingClass::Meaning,
        },
        known if listed(known) => SettingClass::Harmless,
        _ => SettingClass::Meaning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(setting_class("AUTOCOMMIT", Some("0")), SettingClass::Harmless);
        assert_eq!(setting_class("sql_mode", Some("ansi_quotes")), SettingClass::Harmless);
        assert!(matches!(setting_class("sql_mode", Some("oracle")), SettingClass::Refused(_)));
        assert!(matches!(setting_class("sql_mode", None), SettingClass::Refused(_)));
        assert!(matches!(setting_class("names", Some("gbk")), SettingClass::Refused(_)));
        assert_eq!(setting_class("character_set_results", Some("NULL")), SettingClass::Harmless);
        assert!(locks_what_is_read("tx_isolation", Some("SERIALIZABLE")) && locks_what_is_read("TX_ISOLATION", None));
        assert!(locks_what_is_read("transaction_isolation", Some("3")) && !locks_what_is_read("autocommit", None));
        assert!(!locks_what_is_read("transaction_isolation", Some("REPEATABLE-READ")));
        assert!(matches!(setting_class("session_track_schema", Some("OFF")), SettingClass::Refused(_)));
        assert!(matches!(setting_class("session_track_system_variables", Some("time_zone")), SettingClass::Refused(_)));
        assert!(matches!(setting_class("session_track_system_variables", None), SettingClass::Refused(_)));
        assert_eq!(setting_class("session_track_system_variables", Some("*")), SettingClass::Harmless);
        assert_eq!(setting_class("sql_log_bin", Some("0")), SettingClass::Meaning);
        assert_eq!(setting_class("max_sort_length", Some("1024")), SettingClass::Harmless);
        for value in [Some("1023"), Some("4"), Some("default"), Some("-1"), None] {
            assert_eq!(setting_class("max_sort_length", value), SettingClass::Meaning, "{value:?}");
        }
        assert!(is_telling_setting("OLD_MODE") && is_telling_setting("max_sort_length") && is_telling_setting("debug"));
        assert!(!is_telling_setting("SQL_LOG_BIN"));
    }
}
