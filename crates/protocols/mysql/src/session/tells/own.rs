//! What the server shows of tables in relations and settings of its own. What is not on a list here may tell.

/// Columns of views of the server's own that tell how many values there are, or how long they are.
const TELLING: &[(&str, &[&str])] =
    &[("statistics", &["cardinality"]), ("tables", LENGTHS), ("partitions", PARTITIONS)];

const LENGTHS: &[&str] = &["avg_row_length", "data_length", "max_data_length", "index_length", "data_free", "checksum"];

/// In which partition a row is may be decided by what is hidden: so do how many it has, and when it was changed.
const PARTITIONS: &[&str] = &[
    "avg_row_length",
    "data_length",
    "max_data_length",
    "index_length",
    "data_free",
    "checksum",
    "table_rows",
    "create_time",
    "update_time",
    "check_time",
];

/// The same in the results of `SHOW INDEX` and `SHOW TABLE STATUS`.
const SHOWN: &[&str] =
    &["cardinality", "avg_row_length", "data_length", "max_data_length", "index_length", "data_free", "checksum"];

/// Databases of the server's own.
const OWN: &[&str] = &["information_schema", "mysql", "performance_schema", "sys"];

/// Views of `information_schema` that show nothing of values.
const PLAIN_VIEWS: &str = " administrable_role_authorizations all_plugins applicable_roles character_sets check_constraints \
collation_character_set_applicability collations column_privileges columns columns_extensions enabled_roles engines \
events geometry_columns global_variables json_duality_view_columns json_duality_view_links json_duality_view_tables \
json_duality_views key_column_usage keywords libraries locales parameters partitions periods plugins \
referential_constraints replica_status replication resource_groups role_column_grants role_routine_grants role_table_grants \
routine_libraries routines schema_privileges schemata schemata_extensions sequences session_variables \
spatial_ref_sys sql_functions st_geometry_columns st_spatial_reference_systems st_units_of_measure statistics \
system_variables table_constraints table_constraints_extensions table_privileges tables tables_extensions tablespaces \
tablespaces_extensions thread_pool_groups thread_pool_queues thread_pool_stats thread_pool_waits triggers user_attributes \
user_privileges user_variables view_routine_usage view_table_usage views wsrep_membership wsrep_status ";

/// Tables of `mysql` that show nothing of values.
const PLAIN_TABLES: &str = " column_priv columns_priv component db default_roles engine_cost event func global_grants \
global_priv gtid_executed gtid_slave_pos help_category help_keyword help_relation help_topic host ndb_binlog_index \
password_history plugin proc procs_priv proxies_priv replication_asynchronous_connection_failover \
replication_asynchronous_connection_failover_managed role_edges roles_mapping server_cost servers slave_master_info \
slave_relay_log_info slave_worker_info tables_priv time_zone time_zone_leap_second time_zone_name time_zone_transition \
time_zone_transition_type user ";

fn listed(list: &str, name: &str) -> bool {
    list.split(' ').any(|known| !known.is_empty() && known == name)
}

/// Whether a database is the server's own.
pub(super) fn is_own(schema: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(schema))
}

/// The columns of a view of the server's own that tell of values.
pub(in super::super) fn columns(schema: &str, table: &str) -> Option<&'static [&'static str]> {
    if !schema.eq_ignore_ascii_case("information_schema") {
        return None;
    }
    TELLING.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)).map(|(_, columns)| *columns)
}

/// The longest text that is searched for names, in bytes.
const SEARCHED: usize = 16 * 1024;

/// Whether a text may name one of these columns, in some way.
///
/// Texts so large are not searched, which would cost too much; nor are names that are no ASCII, whose cases the server knows.
pub(in super::super) fn may_name(text: &[u8], columns: &[&str]) -> bool {
    if text.len() > SEARCHED || !text.is_ascii() {
        return true;
    }
    text.contains(&b'*')
        || columns
            .iter()
            .chain(&["natural"])
            .any(|word| text.windows(word.len()).any(|here| here.eq_ignore_ascii_case(word.as_bytes())))
}

/// Whether a relation of the server's own shows values, statements of others, or statistics. One that is not known may.
pub(super) fn tells(schema: &str, table: &str) -> bool {
    let (schema, table) = (schema.to_lowercase(), table.to_lowercase());
    match &*schema {
        "information_schema" => !listed(PLAIN_VIEWS, &table),
        "mysql" => !listed(PLAIN_TABLES, &table),
        "performance_schema" => {
            // What users keep in variables are no settings.
            let says_settings = table.contains("variables") || table.contains("_attrs") || table.starts_with("setup_");
            !says_settings || table.contains("user_variables")
        }
        "sys" => !matches!(&*table, "version" | "sys_config"),
        _ => false,
    }
}

/// Whether a command is one of SHOW that shows columns which tell of values.
pub(super) fn shows_sizes(command: &str) -> bool {
    command.rsplit_once("SHOW ").is_some_and(|(_, what)| {
        let what = what.strip_prefix("EXTENDED ").unwrap_or(what);
        ["INDEX", "KEYS", "TABLE STATUS"].iter().any(|sizes| what.starts_with(sizes))
    })
}

/// Counters of the server's that count no rows or bytes, by how their names begin.
const COUNTERS: &[&str] = &[
    "aborted",
    "connections",
    "max_used_conn",
    "rsa",
    "ssl",
    "threads",
    "uptime",
    "version",
    "wsrep_cluster",
    "wsrep_ready",
];

/// Whether a command, of this text, shows counters of the server's that may tell how long values are: `Bytes_sent`, and places
/// in the binary log, in which changes stand with all columns of their rows.
pub(super) fn shows_counters(command: &str, text: &[u8]) -> bool {
    let Some((_, what)) = command.rsplit_once("SHOW ") else { return false };
    let what = ["GLOBAL ", "SESSION ", "LOCAL "].iter().find_map(|scope| what.strip_prefix(scope)).unwrap_or(what);
    if ["ALL", "BINARY LOG", "BINLOG STATUS", "MASTER LOGS"].iter().any(|log| what.starts_with(log))
        || ["MASTER", "SLAVE", "SLAVES", "REPLICA", "REPLICAS"].iter().any(|of| what.contains(&format!("{of} STATUS")))
    {
        return true;
    }
    // Which statements triggers and routines have run, and how often.
    if what.starts_with("PROFILE") {
        return true;
    }
    if !what.starts_with("STATUS") {
        return false;
    }
    !counts_no_bytes(text)
}

/// Whether a text is `SHOW STATUS LIKE 'name…'`, and nothing else, of a counter that is on the list.
fn counts_no_bytes(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let Some(at) = text.windows(6).position(|here| here == b"status") else { return false };
    let like = text.get(at + 6..).map(<[u8]>::trim_ascii_start).and_then(|rest| rest.strip_prefix(b"like '"));
    let Some((pattern, rest)) = like.and_then(|rest| rest.split_at_checked(rest.iter().position(|b| *b == b'\'')?))
    else {
        return false;
    };
    rest.trim_ascii_end() == b"'" && COUNTERS.iter().any(|name| pattern.starts_with(name.as_bytes()))
}

/// Whether a column of what such a command shows tells of values.
pub(in super::super) fn is_shown(column: &[u8]) -> bool {
    SHOWN.iter().any(|name| column.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_shows_of_values() {
        for (schema, table) in [
            ("information_schema", "column_statistics"),
            ("information_schema", "innodb_buffer_page"),
            ("information_schema", "rocksdb_cfstats"),
            ("INFORMATION_SCHEMA", "PROCESSLIST"),
            ("performance_schema", "events_statements_history"),
            ("performance_schema", "data_locks"),
            ("performance_schema", "user_variables_by_thread"),
            ("mysql", "column_stats"),
            ("mysql", "general_log_backup"),
            ("sys", "statement_analysis"),
        ] {
            assert!(tells(schema, table), "{schema}.{table}");
        }
        for (schema, table) in [
            ("information_schema", "columns"),
            ("information_schema", "TABLES"),
            ("performance_schema", "session_variables"),
            ("mysql", "time_zone_name"),
            ("public", "events_x"),
        ] {
            assert!(!tells(schema, table), "{schema}.{table}");
        }
        let columns = columns("information_schema", "statistics").unwrap();
        assert!(may_name(b"SELECT `Cardinality`", columns) && may_name(b"SELECT * FROM", columns));
        assert!(!may_name(b"SELECT `index_name` FROM", columns));
        assert!(is_own("MySQL") && !is_own("public"));
    }

    #[test]
    fn commands_that_show_sizes() {
        for command in [
            "SHOW INDEX FROM",
            "SHOW INDEXES IN",
            "SHOW EXTENDED INDEX",
            "SET STATEMENT; SHOW KEYS",
            "SHOW TABLE STATUS",
        ] {
            assert!(shows_sizes(command), "{command}");
        }
        for command in ["SHOW CREATE TABLE", "CREATE INDEX", "SHOW TABLES", "CACHE INDEX"] {
            assert!(!shows_sizes(command), "{command}");
        }
        assert!(is_shown(b"Cardinality") && !is_shown(b"Name"));
    }
}
