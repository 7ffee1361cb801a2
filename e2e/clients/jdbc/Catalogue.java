// What Metabase asks of a database to know its tables: its driver for PostgreSQL (metabase/metabase,
// src/metabase/driver/postgres.clj: tables with their descriptions and estimated rows, fields, foreign keys, indexes,
// enumerations, privileges), the JDBC metadata that its common part asks (src/metabase/driver/sql_jdbc/sync/), the
// fingerprints that it takes of columns, and questions over them. The statements are written here anew, over the same
// relations, functions and columns.
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

public final class Catalogue {
    private static final List<String> STATEMENTS = List.of(
        "show timezone",
        "select nspname, typname from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid in (select distinct enumtypid from pg_enum e)",
        """
        select n.nspname as schema, c.relname as name,
            case c.relkind when 'r' then 'TABLE' when 'p' then 'PARTITIONED TABLE' when 'v' then 'VIEW' when 'f' then 'FOREIGN TABLE'
                when 'm' then 'MATERIALIZED VIEW' else null end as type,
            d.description as description, stat.n_live_tup as estimated_row_count
        from pg_catalog.pg_class as c
        join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
        left join pg_catalog.pg_description as d on c.oid = d.objoid and d.objsubid = 0 and d.classoid = 'pg_class'::regclass
        left join pg_stat_user_tables as stat on n.nspname = stat.schemaname and c.relname = stat.relname
        where c.relnamespace = n.oid and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and c.relkind in ('r', 'p', 'v', 'f', 'm') and n.nspname in ('public', 'other')
        order by type asc, schema asc, name asc
        """,
        """
        select c.column_name as name,
            case when c.udt_schema in ('public', 'pg_catalog') then format('%s', c.udt_name) else format('"%s"."%s"', c.udt_schema, c.udt_name) end as "database-type",
            c.ordinal_position - 1 as "database-position", c.table_schema as "table-schema", c.table_name as "table-name",
            pk.column_name is not null as "pk?",
            col_description(cast(cast(format('%I.%I', cast(c.table_schema as text), cast(c.table_name as text)) as regclass) as oid), c.ordinal_position) as "field-comment",
            (column_default is null or lower(column_default) = 'null') and is_nullable = 'NO' as "database-required",
            (column_default is not null and column_default like '%nextval(%') or is_identity <> 'NO' as "database-is-auto-increment"
        from information_schema.columns as c
        left join (
            select tc.table_schema, tc.table_name, kc.column_name from information_schema.table_constraints as tc
            join information_schema.key_column_usage as kc
                on tc.constraint_name = kc.constraint_name and tc.table_schema = kc.table_schema and tc.table_name = kc.table_name
            where tc.constraint_type = 'PRIMARY KEY'
        ) as pk on c.table_schema = pk.table_schema and c.table_name = pk.table_name and c.column_name = pk.column_name
        where c.table_schema !~ '^information_schema|catalog_history|pg_'
        union all
        select pa.attname, case when ptn.nspname in ('public', 'pg_catalog') then format('%s', pt.typname) else format('"%s"."%s"', ptn.nspname, pt.typname) end,
            pa.attnum - 1, pn.nspname, pc.relname, false, null, false, false
        from pg_catalog.pg_class as pc
        join pg_catalog.pg_namespace as pn on pn.oid = pc.relnamespace
        join pg_catalog.pg_attribute as pa on pa.attrelid = pc.oid
        join pg_catalog.pg_type as pt on pt.oid = pa.atttypid
        join pg_catalog.pg_namespace as ptn on ptn.oid = pt.typnamespace
        where pc.relkind = 'm' and pa.attnum >= 1
        order by "table-schema", "table-name", "database-position"
        """,
        """
        select fk_ns.nspname as "fk-table-schema", fk_table.relname as "fk-table-name", fk_column.attname as "fk-column-name",
            pk_ns.nspname as "pk-table-schema", pk_table.relname as "pk-table-name", pk_column.attname as "pk-column-name"
        from pg_constraint as c
        join pg_class as fk_table on c.conrelid = fk_table.oid
        join pg_namespace as fk_ns on c.connamespace = fk_ns.oid
        join pg_attribute as fk_column on c.conrelid = fk_column.attrelid
        join pg_class as pk_table on c.confrelid = pk_table.oid
        join pg_namespace as pk_ns on pk_table.relnamespace = pk_ns.oid
        join pg_attribute as pk_column on c.confrelid = pk_column.attrelid
        where fk_ns.nspname !~ '^information_schema|catalog_history|pg_' and c.contype = 'f'::char
            and fk_column.attnum = any(c.conkey) and pk_column.attnum = any(c.confkey)
        order by "fk-table-schema", "fk-table-name"
        """,
        """
        select tmp."table-schema", tmp."table-name", trim(both '"' from pg_catalog.pg_get_indexdef(tmp.ci_oid, tmp.pos, false)) as "field-name"
        from (
            select n.nspname as "table-schema", ct.relname as "table-name", ci.oid as ci_oid, (information_schema._pg_expandarray(i.indkey)).n as pos
            from pg_catalog.pg_class as ct
            join pg_catalog.pg_namespace as n on ct.relnamespace = n.oid
            join pg_catalog.pg_index as i on ct.oid = i.indrelid
            join pg_catalog.pg_class as ci on ci.oid = i.indexrelid
            where pg_catalog.pg_get_expr(i.indpred, i.indrelid) is null and n.nspname !~ '^information_schema|catalog_history|pg_'
        ) as tmp where tmp.pos = 1
        """,
        """
        with table_privileges as (
            select null as role, t.schemaname as schema, t.objectname as table,
                pg_catalog.has_any_column_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.objectname), 'update') as update,
                pg_catalog.has_any_column_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.objectname), 'select') as select,
                pg_catalog.has_any_column_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.objectname), 'insert') as insert,
                pg_catalog.has_table_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.objectname), 'delete') as delete
            from (
                select schemaname, tablename as objectname from pg_catalog.pg_tables
                union select schemaname, viewname from pg_catalog.pg_views
                union select schemaname, matviewname from pg_catalog.pg_matviews
            ) t
            where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema' and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')
        )
        select t.* from table_privileges t
        """
    );

    /** A question of each kind over a table, and what is taken of its columns. */
    private static List<String> questions(String table, List<String> columns) {
        List<String> all = new ArrayList<>();
        all.add("select true from %s where 1 <> 1 limit 0".formatted(table));
        all.add("select count(*) as \"count\" from %s".formatted(table));
        List<String> shown = columns.stream().map(column -> "\"source\".\"%s\" as \"%s\"".formatted(column, column)).toList();
        String source = "(select * from %s) as \"source\"".formatted(table);
        all.add("select %s from %s limit 1048575".formatted(String.join(", ", shown), source));
        for (String column : columns) {
            all.add("select substring(cast(\"%s\" as text) from 1 for 1234) as \"%s\" from %s limit 10000".formatted(column, column, table));
            all.add("select count(distinct \"%s\") as \"count\" from %s".formatted(column, table));
            all.add("select \"%s\", count(*) as \"count\" from %s group by \"%s\" order by \"count\" desc, \"%s\" asc limit 5000"
                .formatted(column, table, column, column));
        }
        return all;
    }

    private static int rows(ResultSet results) throws SQLException {
        int rows = 0;
        while (results.next()) {
            rows++;
        }
        results.close();
        return rows;
    }

    private static List<String> strings(ResultSet results, String column) throws SQLException {
        List<String> all = new ArrayList<>();
        while (results.next()) {
            all.add(results.getString(column));
        }
        results.close();
        return all;
    }

    private static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData known = connection.getMetaData();
        rows(known.getTypeInfo());
        rows(known.getCatalogs());
        rows(known.getTableTypes());
        for (String schema : strings(known.getSchemas(), "TABLE_SCHEM")) {
            if (schema.startsWith("pg_") || schema.equals("information_schema")) {
                continue;
            }
            String[] types = {"TABLE", "PARTITIONED TABLE", "VIEW", "FOREIGN TABLE", "MATERIALIZED VIEW"};
            rows(known.getFunctions(null, schema, "%"));
            rows(known.getProcedures(null, schema, "%"));
            for (String table : strings(known.getTables(null, schema, "%", types), "TABLE_NAME")) {
                List<String> columns = strings(known.getColumns(null, schema, table, null), "COLUMN_NAME");
                rows(known.getPrimaryKeys(null, schema, table));
                rows(known.getImportedKeys(null, schema, table));
                rows(known.getExportedKeys(null, schema, table));
                rows(known.getIndexInfo(null, schema, table, false, true));
                rows(known.getTablePrivileges(null, schema, table));
                rows(known.getColumnPrivileges(null, schema, table, "%"));
                rows(known.getBestRowIdentifier(null, schema, table, DatabaseMetaData.bestRowSession, true));
                try (Statement statement = connection.createStatement()) {
                    statement.setFetchSize(500);
                    for (String question : questions("\"%s\".\"%s\"".formatted(schema, table), columns)) {
                        rows(statement.executeQuery(question));
                    }
                }
            }
        }
    }

    public static void main(String[] arguments) throws SQLException {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://%s:%s/%s?sslmode=verify-full&sslrootcert=%s&ApplicationName=Metabase"
            .formatted(env.get("PGHOST"), env.get("PGPORT"), env.get("PGDATABASE"), env.get("PGSSLROOTCERT"));
        try (Connection connection = DriverManager.getConnection(url, env.get("PGUSER"), env.get("PGPASSWORD"))) {
            connection.setReadOnly(true);
            connection.setAutoCommit(false);
            for (String text : STATEMENTS) {
                try (Statement statement = connection.createStatement()) {
                    rows(statement.executeQuery(text));
                }
            }
            metadata(connection);
            connection.rollback();
        }
        System.out.println("ok");
    }
}
