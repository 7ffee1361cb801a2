//! Which of the server's own catalogues are harmless.

/// Relations of `pg_catalog` that describe objects and show no values, statements or secrets. What is
/// not on the list counts as sensitive, so that a catalogue of a later version does too. Left out with
/// care: `pg_authid`, `pg_shadow`, `pg_user_mapping(s)`, `pg_subscription`, `pg_foreign_server` (secrets);
/// `pg_statistic`, `pg_stats*`, `pg_largeobject` (values); `pg_stat_activity`, `pg_stat_statements`,
/// `pg_cursors`, `pg_prepared_statements` (statements); `pg_hba_file_rules`, `pg_file_settings`,
/// `pg_config`, `pg_backend_memory_contexts`, `pg_stat_replication`, `pg_stat_ssl` (the server itself).
///
/// Source: PostgreSQL 18, "System Catalogs" and "System Views".
const HARMLESS: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_database",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_group",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_init_privs",
    "pg_language",
    "pg_largeobject_metadata",
    "pg_locks",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_range",
    "pg_rewrite",
    "pg_roles",
    "pg_rules",
    "pg_seclabel",
    "pg_seclabels",
    "pg_sequence",
    "pg_sequences",
    "pg_settings",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_stat_all_indexes",
    "pg_stat_all_tables",
    "pg_stat_database",
    "pg_stat_sys_indexes",
    "pg_stat_sys_tables",
    "pg_stat_user_functions",
    "pg_stat_user_indexes",
    "pg_stat_user_tables",
    "pg_statio_all_indexes",
    "pg_statio_all_sequences",
    "pg_statio_all_tables",
    "pg_statio_user_indexes",
    "pg_statio_user_sequences",
    "pg_statio_user_tables",
    "pg_statistic_ext",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user",
    "pg_views",
];

/// Views of `information_schema` that show options, which may hold passwords.
const WITH_OPTIONS: &[&str] = &["user_mapping_options", "foreign_server_options", "foreign_table_options"];

/// Views of MySQL's and MariaDB's `information_schema` that describe objects. What is not on the list counts as sensitive:
/// `processlist`, `innodb_trx`, `query_cache_info` (statements of others), `column_statistics` (values), `user_variables`,
/// `optimizer_trace`, `profiling`, and what plugins add.
///
/// Source: MySQL 9, "INFORMATION_SCHEMA Tables"; MariaDB, "Information Schema Tables".
const MYSQL_HARMLESS: &[&str] = &[
    "all_plugins",
    "administrable_role_authorizations",
    "applicable_roles",
    "character_sets",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "column_privileges",
    "columns",
    "columns_extensions",
    "enabled_roles",
    "engines",
    "events",
    "geometry_columns",
    "key_column_usage",
    "key_period_usage",
    "keywords",
    "parameters",
    "partitions",
    "periods",
    "plugins",
    "referential_constraints",
    "role_column_grants",
    "role_routine_grants",
    "role_table_grants",
    "routines",
    "schema_privileges",
    "schemata",
    "schemata_extensions",
    "sequences",
    "spatial_ref_sys",
    "sql_functions",
    "st_geometry_columns",
    "st_spatial_reference_systems",
    "st_units_of_measure",
    "statistics",
    "table_constraints",
    "table_constraints_extensions",
    "table_privileges",
    "tables",
    "tables_extensions",
    "tablespaces",
    "triggers",
    "user_privileges",
    "view_routine_usage",
    "view_table_usage",
    "views",
];

/// Whether a schema belongs to the server itself; `kind`: of the connection.
pub(crate) fn is_system(kind: &str, schema: &str) -> bool {
    match kind {
        "mysql" => matches!(schema, "information_schema" | "mysql" | "performance_schema" | "sys"),
        _ => matches!(schema, "pg_catalog" | "information_schema" | "pg_toast"),
    }
}

/// The tag that a relation has for what it is: `catalog`, `catalog_sensitive` or `temporary`.
pub(crate) fn tag(kind: &str, schema: &str, name: &str) -> Option<&'static str> {
    if kind == "mysql" && is_system(kind, schema) {
        let is_harmless = schema == "information_schema" && MYSQL_HARMLESS.contains(&name);
        return Some(if is_harmless { "catalog" } else { "catalog_sensitive" });
    }
    match schema {
        "pg_catalog" if HARMLESS.contains(&name) => Some("catalog"),
        "information_schema" if !WITH_OPTIONS.contains(&name) && !name.starts_with("_pg_") => Some("catalog"),
        "pg_catalog" | "information_schema" | "pg_toast" => Some("catalog_sensitive"),
        "pg_temp" => Some("temporary"),
        // An extension's view of everybody's statements may lie in any schema.
        _ if matches!(name, "pg_stat_statements" | "pg_stat_statements_info") => Some("catalog_sensitive"),
        _ => None,
    }
}
