//! What setting a setting means.

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
        "transform_null_equals" | "array_nulls" | "xmloption" => SettingClass::Meaning,
        known if HARMLESS.contains(&known) || known.starts_with("enable_") => SettingClass::Harmless,
        _ => SettingClass::Meaning,
    }
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
        assert_eq!(setting_class("session_replication_role", Some("replica")), SettingClass::Meaning);
        assert_eq!(setting_class("row_security", None), SettingClass::Meaning);
        assert_eq!(setting_class("my.setting", None), SettingClass::Meaning);
    }
}
