//! The tables of the tests of what is hidden, and a psql that asks.
#![allow(dead_code, reason = "each test uses a part")]
pub(crate) mod maker;
pub(crate) mod trial;
pub(crate) mod wire;

use crate::common::World;
use doorward_testkit::{Postgres, PostgresRelease};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const POLICY: &str = r#"
@id("all") permit (principal, action, resource) unless { action == Action::"reveal" };
@id("kinds") permit (principal, action == Action::"reveal", resource is DataType);
@id("columns") permit (principal, action == Action::"reveal", resource is Column)
unless { resource.tags.contains("pii") && !(principal in Group::"pii-readers") };
@id("by-email") permit (principal in Group::"support", action == Action::"filter", resource == Column::"orders/public.customers.email");
@id("trusted") permit (principal in Group::"trusted", action == Action::"bypass", resource in Schema::"orders/pg_catalog");
@id("trusted-function") permit (principal in Group::"trusted", action == Action::"bypass", resource == Function::"orders/public.reads");
@id("trusted-explain") permit (principal in Group::"trusted", action == Action::"bypass", resource == Object::"orders/sizes:explain");
"#;

const SCHEMA: &str = "
create table customers(id int primary key, name text, email text, card varchar(19), ssn text, born date, score int, notes text);
create table orders(id int primary key, customer int, contact text);
create view contacts as select id, email as contact from customers;
create view everyone as select * from customers;
create table people(id int, ssn text) partition by range (id);
create table people_1 partition of people for values from (0) to (100);
insert into customers select g, 'Name '||g, 'user'||g||'@example.com', '4111111111111111', '078-05-112'||g, date '1970-01-01' + g, g, 'n'||g from generate_series(1, 8) g;
insert into orders select g, g, 'user'||g||'@example.com' from generate_series(1, 8) g;
insert into people select g, 'x'||g from generate_series(1, 8) g;
create table staff(id int, ssn text); create table managers(level int) inherits (staff);
insert into staff select g, 's'||g from generate_series(1, 4) g; insert into managers select g, 's'||g, g from generate_series(5, 6) g;
create table cards(id int, number text, last text generated always as (right(number, 1)) stored);
insert into cards select g, '411'||g from generate_series(1, 4) g;
create schema other; create table other.\"Odd t\" (\"Id\" int, \"ssn\" text);
insert into other.\"Odd t\" select g, 'o'||g from generate_series(1, 8) g;
";

const TAGS: &str = r#"tags = { "public.shaped.j" = ["pii"], "public.inheriting.ssn" = ["pii"], "public.halved.half" = ["pii"], "public.shaped.parts" = ["pii"], "public.ordered.ssn" = ["pii"], "public.children.salary" = ["pii"], "public.loose.ssn" = ["pii"], "public.kept.ssn" = ["pii"], "public.clustered.ssn" = ["pii"], "public.apart.ssn" = ["pii"], "public.kept_apart.ssn" = ["pii"], "public.unindexed.ssn" = ["pii"], "public.customers.iban" = ["pii", "mask:partial:4"], "public.customers.since" = ["pii", "mask:date:year"], "public.customers.email" = ["pii"], "public.customers.card" = ["pii"], "public.customers.ssn" = ["pii"], "public.customers.born" = ["pii"], "public.customers.score" = ["pii"], "public.people.ssn" = ["pii"], "public.virtuals.ssn" = ["pii"], "public.staff.ssn" = ["pii"], "public.cards.number" = ["pii"], "other.\"Odd t\".ssn" = ["pii"] }"#;

/// A psql that goes on, so that one session has said all.
pub(crate) struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    pub(crate) fn new(mut psql: Command) -> Self {
        let child = psql.args(["-v", "VERBOSITY=verbose"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// All that is answered, errors and column names with it.
    pub(crate) fn says(&mut self, statement: &str) -> String {
        writeln!(self.input, "\\t off\n{statement}\n;\n\\echo :SQLSTATE :LAST_ERROR_MESSAGE\n\\echo ---end").unwrap();
        let mut out = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "{statement}: {out}");
            if line.trim_end() == "---end" {
                return out;
            }
            out.push_str(&line);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}

/// The policies of these tests, with other tags.
pub(crate) fn over(postgres: Postgres, tags: &str) -> World {
    World::over(postgres, POLICY, tags)
}

pub(crate) fn world() -> World {
    world_of(PostgresRelease::default())
}

/// The same at another release of the server.
pub(crate) fn world_of(release: PostgresRelease) -> World {
    let postgres =
        Postgres::options().release(release).setting("autovacuum", "off").setting("jit", "off").start().unwrap();
    let world = over(postgres, TAGS);
    world.postgres.exec(&format!("set role {};\n{SCHEMA}", world.postgres.user())).unwrap();
    world
}
