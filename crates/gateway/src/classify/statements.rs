//! The statements by which rows are seen.
use doorward_sql::{Catalogue, Column, Relation};

/// How many characters of a value are looked at.
const CHARACTERS: usize = 500;

/// Types whose values are no text, and none of the numbers that stand for somebody (cards, social security numbers).
const NO_TEXT_POSTGRES: &[&str] = &[
    "boolean",
    "smallint",
    "real",
    "double precision",
    "date",
    "time",
    "timestamp",
    "interval",
    "uuid",
    "bytea",
    "oid",
    "money",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "tsvector",
    "tsquery",
    "bit",
    "macaddr",
    "pg_lsn",
    "txid_snapshot",
    "xid",
    "cid",
    "tid",
];
const NO_TEXT_MYSQL: &[&str] = &[
    "tinyint",
    "smallint",
    "mediumint",
    "float",
    "double",
    "date",
    "datetime",
    "timestamp",
    "time",
    "year",
    "bit",
    "binary",
    "varbinary",
    "blob",
    "tinyblob",
    "mediumblob",
    "longblob",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "uuid",
    "enum",
    "set",
    "vector",
];

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    MySql,
}

impl Dialect {
    /// Schemas of the server's own.
    pub(super) const fn own_schemas(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["pg_catalog", "information_schema", "pg_toast"],
            Self::MySql => &["information_schema", "mysql", "performance_schema", "sys"],
        }
    }

    /// Whether values of a type may be, or hold, what recognizers find.
    pub(super) fn has_text(self, type_name: &str) -> bool {
        let base: String = type_name.to_lowercase().chars().take_while(|c| c.is_alphabetic() || *c == ' ').collect();
        let base = base.trim();
        match self {
            Self::Postgres => {
                let base = base.split(" with").next().unwrap_or_default().trim_end();
                !NO_TEXT_POSTGRES.contains(&base)
            }
            Self::MySql => {
                let base = base.split_whitespace().next().unwrap_or_default();
                !NO_TEXT_MYSQL.contains(&base)
            }
        }
    }

    /// The first rows of a table, as text that is cut.
    pub(super) fn statement(
        self,
        catalogue: &Catalogue,
        relation: &Relation,
        columns: &[&Column],
        rows: u32,
    ) -> String {
        let quoted = |name: &str| match self {
            Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        };
        let shown = columns.iter().map(|column| {
            let name = quoted(catalogue.written_name(relation.oid, column.number).unwrap_or(&column.name));
            match self {
                Self::Postgres => format!("pg_catalog.left({name}::pg_catalog.text, {CHARACTERS})"),
                Self::MySql => format!("LEFT({name}, {CHARACTERS})"),
            }
        });
        let shown: Vec<String> = shown.collect();
        let (schema, table) = (quoted(&relation.schema), quoted(&relation.name));
        format!("SELECT {} FROM {schema}.{table} LIMIT {rows}", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_text_is_asked_for() {
        for (dialect, type_name, wanted) in [
            (Dialect::Postgres, "text", true),
            (Dialect::Postgres, "character varying(20)", true),
            (Dialect::Postgres, "numeric(16,0)", true),
            (Dialect::Postgres, "public.email_address", true),
            (Dialect::Postgres, "timestamp(3) with time zone", false),
            (Dialect::Postgres, "timestamp with time zone", false),
            (Dialect::Postgres, "boolean", false),
            (Dialect::MySql, "varchar(20) character set utf8mb4 collate utf8mb4_bin", true),
            (Dialect::MySql, "bigint(20) unsigned", true),
            (Dialect::MySql, "tinyint(1)", false),
            (Dialect::MySql, "longtext", true),
            (Dialect::MySql, "varbinary(16)", false),
        ] {
            assert_eq!(dialect.has_text(type_name), wanted, "{type_name}");
        }
    }
}
