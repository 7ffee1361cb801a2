//! The tables of PostgreSQL's own tests, with columns that nobody may see in some of them.
use super::{Listener, SETTINGS, server};
use crate::{
    common::World,
    veiled::{
        self,
        maker::{Dialect, Numbers},
        trial::{Asking, Server, set},
        wire::{Answer, Wire},
    },
};

/// A table, a hidden column of it, and what its values are made of: `h` is a large number, other for each row and server.
const HIDDEN: &[(&str, &[(&str, &str)])] = &[
    ("int4_tbl", &[("f1", "(h % 1000)::int")]),
    ("int8_tbl", &[("q2", "h % 7")]),
    ("varchar_tbl", &[("f1", "left(h::text, (h % 5)::int)")]),
    ("point_tbl", &[("f1", "point(h % 10, h % 3)")]),
    ("onek", &[("unique2", "(h % 500)::int"), ("string4", "repeat('x', (h % 9)::int)")]),
    ("person", &[("age", "(h % 90)::int")]),
    ("emp", &[("age", "(h % 90)::int"), ("salary", "(h % 5000)::int")]),
    ("student", &[("age", "(h % 90)::int"), ("gpa", "h % 4 + 0.5")]),
];

/// What makes the schema.
const USUAL: &str =
    "test_setup create_misc create_operator create_type create_aggregate create_function_sql create_view";

pub(crate) struct Regress(pub(crate) World);

impl Regress {
    /// With the schema that these tests leave behind, and of somebody who is no superuser.
    pub(crate) fn begun() -> Self {
        let server = server();
        server.exec(SETTINGS).unwrap();
        let listener = Listener::before(&server);
        USUAL.split_whitespace().for_each(|test| drop(listener.runs(test)));
        let mut kept = "alter role app nosuperuser; create schema kept; grant usage on schema kept to app;".to_owned();
        for (table, hidden) in HIDDEN {
            let columns: Vec<String> = hidden.iter().map(|(column, _)| format!("drop column {column}")).collect();
            // The rows themselves, without what is hidden, in their order.
            kept.push_str(&format!(
                "create table kept.{table} as select row_number() over () as row, * from only {table};
                 alter table kept.{table} {};",
                columns.join(", ")
            ));
        }
        server.exec(&kept).unwrap();
        Self(veiled::over(server, &tags()))
    }
}

fn tags() -> String {
    let columns =
        HIDDEN.iter().flat_map(|(table, hidden)| hidden.iter().map(move |(column, _)| format!("{table}.{column}")));
    let tags: Vec<String> = columns.map(|column| format!("\"public.{column}\" = [\"pii\"]")).collect();
    format!("tags = {{ {} }}", tags.join(", "))
}

impl Server for Regress {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn fill(&self, random: &mut Numbers) {
        let mut sql = String::new();
        for (table, hidden) in HIDDEN {
            let seed = random.below(1 << 30);
            let named: Vec<&str> = hidden.iter().map(|(column, _)| *column).collect();
            let values: Vec<String> = hidden.iter().map(|(_, value)| format!("({value})")).collect();
            sql.push_str(&format!(
                "do $$ declare shown text; begin
                    select coalesce(string_agg(', ' || quote_ident(attname), '' order by attnum), '') into shown from pg_attribute
                        where attrelid = 'kept.{table}'::regclass and attnum > 1 and not attisdropped;
                    truncate only {table};
                    execute 'insert into {table} ({}' || shown || ') select {}' || shown ||
                        ' from (select *, abs(hashint8extended(row, {seed}) / 4) as h from kept.{table} order by row) k';
                 end $$;",
                named.join(", "),
                values.join(", ").replace('\'', "''"),
            ));
        }
        self.0.postgres.exec(&sql).unwrap();
    }

    fn ask(&self, groups: &[&str], statements: &[Asking]) -> Vec<Answer> {
        Wire::new(&self.0, &self.0.token("ci-bot", groups, &[])).ask(statements)
    }
}

/// How many statements are tried.
pub(crate) fn count() -> u64 {
    set("DOORWARD_VEIL_REGRESS").unwrap_or(60)
}
