//! What statements ask for, over a corpus that covers the grammar and the ways round a gateway.
mod masked;

use super::*;
use crate::{Catalogue, Column, Function, Relation, RelationKind, Volatility};
use doorward_model::Action;
use expect_test::{Expect, expect};
use std::fmt::Write as _;

fn relation(oid: u32, name: &str, columns: &[&str]) -> Relation {
    Relation {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: RelationKind::Table,
        columns: columns
            .iter()
            .enumerate()
            .map(|(i, c)| Column { number: i as i16 + 1, name: (*c).into(), type_oid: 25 })
            .collect(),
    }
}

fn env() -> Environment {
    let catalogue = Catalogue::new(
        1,
        [
            relation(1, "customers", &["id", "name", "ssn"]),
            relation(2, "orders", &["id", "customer_id", "total"]),
            relation(3, "events", &["id", "email"]),
            relation(4, "events_2026", &["id", "email"]),
            relation(5, "events_2026_11", &["id", "email"]),
        ],
        [("lower", false), ("wipe", true)].map(|(name, of_row)| Function {
            oid: name.len() as u32,
            schema: "public".into(),
            name: name.into(),
            volatility: Volatility::Volatile,
            of_row,
        }),
    )
    .with_inheritance([(4, 3), (5, 4), (5, 99)]);
    Environment {
        catalogue: Arc::new(catalogue),
        search_path: Arc::from(["public".into()]),
        temporary: Arc::new(["scratch".into()].into()),
        doubtful: Arc::default(),
        generation: 0,
    }
}

fn facts(text: &str) -> String {
    match analyse(text, &env()) {
        Err(e) => format!("error: {e}"),
        Ok(analysis) => {
            let mut out = format!("[{}]", analysis.facts.command);
            for a in &analysis.facts.accesses {
                let id = a.resource.local_id();
                let _ = write!(out, " {}{}({id})", a.action, if a.has_where { "+where" } else { "" });
            }
            out
        }
    }
}

fn check(text: &str, expect: Expect) {
    expect.assert_eq(&facts(text));
}

fn column(c: &SourceColumn) -> String {
    format!("{}.{}", c.table, c.column.as_deref().unwrap_or("*"))
}

fn shown(text: &str) -> String {
    let analysis = analyse(text, &env()).unwrap();
    let statement = analysis.statements.first().unwrap();
    let join = |s: &BTreeSet<SourceColumn>| s.iter().map(column).collect::<Vec<_>>().join("+");
    let mut out = String::new();
    if let Some(lineage) = &statement.lineage {
        let outputs: Vec<String> = lineage
            .outputs
            .iter()
            .map(|o| match o {
                Output::Made(s) => join(s),
                Output::Star => format!("*[{}]", join(&lineage.anywhere)),
            })
            .collect();
        out.push_str(&outputs.join(", "));
    }
    if !statement.moves.is_empty() {
        let _ = write!(out, " moves {}", join(&statement.moves));
    }
    out
}

fn lineage(text: &str, expect: Expect) {
    expect.assert_eq(&shown(text));
}

#[test]
fn queries() {
    check("select * from customers", expect!["[SELECT] select(public.customers)"]);
    check(
        "with c as (delete from orders returning *) select * from c, customers",
        expect!["[SELECT] select(public.customers) select(public.orders) delete(public.orders)"],
    );
    check("with customers as (select 1) select * from customers", expect!["[SELECT] connect()"]);
    check(
        "with customers as (select * from customers) select * from public.customers",
        expect!["[SELECT] select(public.customers)"],
    );
    check(
        "with recursive customers as (select 1 union select * from customers) table customers",
        expect!["[SELECT] connect()"],
    );
    check(
        "select (select max(total) from orders) from Customers for update",
        expect!["[SELECT] select(public.customers) select(public.orders) lock(public.customers)"],
    );
    check(
        "select * from a join (select * from b) x on true for share of x",
        expect!["[SELECT] select(public.a) select(public.b) lock(public.b)"],
    );
    check("select * into new from customers", expect!["[SELECT INTO] select(public.customers) create(public.new)"]);
    check(
        "create temp table t as select * from customers",
        expect!["[CREATE TABLE AS] select(public.customers) create(pg_temp.t)"],
    );
    check(
        "select * from scratch, pg_class, information_schema.tables, \"Odd\".\"T\"",
        expect![[
            r#"[SELECT] select("Odd"."T") select(information_schema.tables) select(pg_catalog.pg_class) select(pg_temp.scratch)"#
        ]],
    );
    check("select 1", expect!["[SELECT] connect()"]);
    check("", expect!["[] connect()"]);
    check("select 1; update orders set total = 0", expect!["[SELECT; UPDATE] connect() update(public.orders)"]);
    check("update orders set total = 0 /* where id = 1 */", expect!["[UPDATE] update(public.orders)"]);
    check("update orders set total = 0 where true or 1 = 1", expect!["[UPDATE] update(public.orders)"]);
    check(
        "update orders set total = 0 where id = 1 returning *",
        expect!["[UPDATE] select(public.orders) update+where(public.orders)"],
    );
    check(
        "delete from orders o where exists (select 1 from customers c where c.id = o.customer_id)",
        expect!["[DELETE] select(public.customers) delete+where(public.orders)"],
    );
    check(
        "delete from orders where exists (select 1 from customers c where c.id = 1)",
        expect!["[DELETE] select(public.customers) delete(public.orders)"],
    );
    check(
        "delete from orders using customers where orders.id = 1",
        expect!["[DELETE] select(public.customers) select(public.orders) delete+where(public.orders)"],
    );
    check(
        "insert into orders select * from customers on conflict (id) do update set total = 1",
        expect!["[INSERT] select(public.customers) insert(public.orders) update+where(public.orders)"],
    );
    check(
        "merge into orders o using customers c on o.id = c.id when matched then delete when not matched then insert values (1)",
        expect![
            "[MERGE] select(public.customers) select(public.orders) insert(public.orders) delete+where(public.orders)"
        ],
    );
    check("explain analyze delete from orders", expect!["[EXPLAIN] connect() delete(public.orders)"]);
    check("prepare p as delete from orders", expect!["[PREPARE] connect() delete(public.orders)"]);
    check("copy customers to stdout", expect!["[COPY] select(public.customers)"]);
    check("copy (select * from customers) to '/tmp/x'", expect!["[COPY] select(public.customers) write_file(/tmp/x)"]);
    check("copy customers from program 'rm -rf /'", expect!["[COPY] insert(public.customers) run_program(rm -rf /)"]);
    check("selec 1", expect![[r#"error: syntax error at or near "selec""#]]);
    check(
        "select * from other.public.customers",
        expect!["[SELECT] select(public.customers) opaque(a relation of database `other`)"],
    );
    check("delete from orders where current of c", expect!["[DELETE] delete+where(public.orders)"]);
}

#[test]
fn functions_called() {
    check("select purge()", expect!["[SELECT] call(public.purge)"]);
    check("select lower('x'), upper('y'), count(*)", expect!["[SELECT] call(public.lower)"]);
    check("select pg_catalog.lower('x')", expect!["[SELECT] connect()"]);
    check(
        "select dblink('dbname=x', 'delete from t')",
        expect!["[SELECT] call(public.dblink) opaque(the text that dblink runs)"],
    );
    check(
        "select query_to_xml('delete from t', true, true, '')",
        expect!["[SELECT] call(pg_catalog.query_to_xml) opaque(the text that query_to_xml runs)"],
    );
    check(
        "select ts_rewrite('a & b', 'a', 'c'), tsquery('a & b'), pg_catalog.uuid('x')",
        expect!["[SELECT] connect()"],
    );
    check(
        "select ts_rewrite('a & b', 'select a, b from t')",
        expect!["[SELECT] call(pg_catalog.ts_rewrite) opaque(the text that ts_rewrite runs)"],
    );
    check(
        "select public.tsquery('a'), tsquery_of('a'), txid_snapshot('1:1:')",
        expect!["[SELECT] call(pg_catalog.txid_snapshot) call(public.tsquery) call(public.tsquery_of)"],
    );
    check(
        "select setval('s', 1), lo_unlink(1), pg_terminate_backend(1)",
        expect!["[SELECT] call(pg_catalog.lo_unlink) call(pg_catalog.pg_terminate_backend) call(pg_catalog.setval)"],
    );
    check(
        "select pg_read_file('/etc/passwd')",
        expect!["[SELECT] call(pg_catalog.pg_read_file) read_file(/etc/passwd)"],
    );
    check(
        "select ('/etc/passwd'::text).pg_read_file",
        expect!["[SELECT] call(pg_catalog.pg_read_file) opaque(pg_read_file of a path that is computed)"],
    );
    check(
        "select f.lower, o.wipe from orders o, unnest(array['x']) f",
        expect!["[SELECT] select(public.orders) call(public.lower) call(public.wipe)"],
    );
    check(
        "create function set_config(a text, b text, c text) returns text language sql as 'select $2'",
        expect![
            "[CREATE FUNCTION] connect() create(public.set_config) opaque(a function called set_config (the name of the server's own))"
        ],
    );
    check(
        "alter function public.lower(text) rename to set_config",
        expect!["[RENAME] alter(public.lower) opaque(a function called set_config (the name of the server's own))"],
    );
    check(
        "create aggregate x.set_config(text) (sfunc = concat, stype = text)",
        expect![
            "[DEFINE] call(public.concat) create(x.set_config) opaque(a function called set_config (the name of the server's own))"
        ],
    );
    check(
        "select set_config('search_path', 'x', false)",
        expect!["[SELECT] call(pg_catalog.set_config) set(search_path)"],
    );
    check(
        "select set_config('standard_conforming_strings', 'off', false)",
        expect![
            "[SELECT] call(pg_catalog.set_config) opaque(standard_conforming_strings off changes how text is read)"
        ],
    );
    check(
        "select set_config('search_' || 'path', 'x', false)",
        expect!["[SELECT] call(pg_catalog.set_config) opaque(set_config of a setting that is computed)"],
    );
    for text in [
        "select set_config('search_path', 'x', false) where false",
        "select set_config('search_path', 'x', false) from t",
        "select case when false then set_config('search_path', 'x', false) end",
        "select set_config('search_path', 'x', false), set_config('search_path', 'y', false)",
        "select set_config('work_mem', '1MB', false), case when false then set_config('search_path', 'x', false) end",
        "select set_config('search_path', 'x', 1 = 1)",
        "select set_config('search_path', 'xyz'::varchar(1), false)",
        "explain select set_config('search_path', 'x', false)",
        "prepare s as select set_config('search_path', 'x', false)",
    ] {
        assert!(facts(text).contains("opaque("), "{text}: {}", facts(text));
    }
    check(
        "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
        expect![
            "[SELECT] select(pg_catalog.pg_settings) call(pg_catalog.set_config) set(restrict_nonsystem_relation_kind)"
        ],
    );
    check(
        "select set_config(name, 'off', false) from pg_catalog.pg_settings where name = 'standard_conforming_strings'",
        expect![
            "[SELECT] select(pg_catalog.pg_settings) call(pg_catalog.set_config) opaque(standard_conforming_strings off changes how text is read)"
        ],
    );
    for text in [
        "select set_config(name, 'x', false) from pg_settings where name = 'search_path'",
        "select set_config(name, 'x', false) from pg_settings",
        "select set_config(name, 'x', false) from pg_settings where name like 'a'",
        "select set_config(name, 'x', false) from pg_settings where name = 'a' or true",
        "select set_config(name, 'x', false) from pg_settings where name <> 'a'",
        "select set_config(name, 'x', false) from pg_settings where name operator(public.=) 'a'",
        "select set_config(name, 'x', false) from pg_settings where name = any ('{a,b}')",
        "select set_config(name, 'x', false) from pg_settings where setting = 'a'",
        "select set_config(name, 'x', false) from pg_settings where name = lower('a')",
        "select set_config(name, 'x', false) from pg_settings where name = $1",
        "select set_config(setting, 'x', false) from pg_settings where name = 'a'",
        "select set_config(name || 'b', 'x', false) from pg_settings where name = 'a'",
        "select set_config(name, setting, false) from pg_settings where name = 'a'",
        "select set_config(name, 'x', false) from pg_settings p(a, name) where name = 'a'",
        "select set_config(name, 'x', false) from pg_settings, t where name = 'a'",
        "select set_config(name, 'x', false) from pg_settings cross join t where name = 'a'",
        "select set_config(name, 'x', false) from public.pg_settings where name = 'a'",
        "with pg_settings as (select * from t) select set_config(name, 'x', false) from pg_settings where name = 'a'",
        "with pg_settings as (select * from t) select (select set_config(name, 'x', false) from pg_settings where name = 'a')",
        "select (select set_config(name, 'x', false) from t) from pg_settings where name = 'a'",
    ] {
        assert!(facts(text).contains("opaque("), "{text}: {}", facts(text));
    }
    check("select pg_notify('c', 'x')", expect!["[SELECT] call(pg_catalog.pg_notify) notify(c)"]);
    check("select 1 operator(evil.+) 2", expect!["[SELECT] opaque(operator evil.+)"]);
    check("select 1 <=====> 2", expect!["[SELECT] opaque(operator <=====>)"]);
    check("select * from t tablesample evil(1)", expect!["[SELECT] select(public.t) call(public.evil)"]);
    check("values (1, purge())", expect!["[SELECT] call(public.purge)"]);
    check("select * from generate_series(1, 2) g, lateral purge(g)", expect!["[SELECT] call(public.purge)"]);
    // The server calls a function of a row by a dot, too.
    check("select t.wipe from t", expect!["[SELECT] select(public.t) call(public.wipe)"]);
    check("select (t).wipe from t", expect!["[SELECT] select(public.t) call(public.wipe)"]);
    check("select wipe from t", expect!["[SELECT] select(public.t)"]);
    check("select t.lower from t", expect!["[SELECT] select(public.t)"]);
    check("select 1 order by purge()", expect!["[SELECT] call(public.purge)"]);
    check(
        "select a.purge(x) over (partition by b.f()) from t",
        expect!["[SELECT] select(public.t) call(a.purge) call(b.f)"],
    );
}

#[test]
fn definitions() {
    check(
        "create function f() returns int language sql as 'delete from orders; select 1'",
        expect!["[CREATE FUNCTION] connect() delete(public.orders) create(public.f)"],
    );
    check(
        "create function f() returns int language plpgsql as 'begin end'",
        expect!["[CREATE FUNCTION] create(public.f) opaque(body of function f in language plpgsql)"],
    );
    check(
        "create function f() returns int begin atomic delete from orders; select 1; end",
        expect!["[CREATE FUNCTION] delete(public.orders) create(public.f)"],
    );
    check(
        "create rule r as on insert to orders do also delete from customers",
        expect!["[CREATE RULE] delete(public.customers) create(rule:public.orders.r) alter(public.orders)"],
    );
    check(
        "create view v as select * from customers",
        expect!["[CREATE VIEW] select(public.customers) create(public.v)"],
    );
    check(
        "create trigger t after insert on orders execute function f()",
        expect!["[CREATE TRIGGER] call(public.f) create(trigger:public.orders.t) alter(public.orders)"],
    );
    check("do 'begin end'", expect!["[DO] execute() opaque(the body of DO)"]);
    check("drop database prod", expect!["[DROP DATABASE] drop(prod)"]);
    check("drop table orders, x.y cascade", expect!["[DROP TABLE] drop(public.orders) drop(x.y)"]);
    check("drop function f(int), g", expect!["[DROP FUNCTION] drop(public.f) drop(public.g)"]);
    check("drop trigger t on orders", expect!["[DROP TRIGGER] alter(public.orders) drop(trigger:orders.t)"]);
    check("grant select on orders to x", expect!["[GRANT] grant(public.orders)"]);
    check("grant usage on schema s to x", expect!["[GRANT] grant(?) opaque(the objects of GRANT or REVOKE)"]);
    check("alter table orders owner to x", expect!["[ALTER TABLE] alter(public.orders) grant(public.orders)"]);
    check(
        "alter role x set standard_conforming_strings = off",
        expect!["[ALTER ROLE SET] alter(x) opaque(standard_conforming_strings off changes how text is read)"],
    );
    check("alter system set work_mem = '1'", expect!["[ALTER SYSTEM] configure(work_mem)"]);
    check("comment on column orders.total is 'x'", expect!["[COMMENT] alter(public.orders)"]);
    check(
        "create schema s create table t (i int) create view v as select * from orders",
        expect!["[CREATE SCHEMA] select(public.orders) create(s) create(s.t) create(s.v)"],
    );
    check(
        "alter default privileges in schema s grant select on tables to x",
        expect!["[ALTER DEFAULT PRIVILEGES] grant(default privileges:s)"],
    );
    check("create type mood as enum ('x')", expect!["[CREATE TYPE] create(type:public.mood)"]);
    check(
        "create publication p for table customers",
        expect!["[CREATE PUBLICATION] select(public.customers) create(publication:p)"],
    );
    check(
        "create index on orders (purge(total))",
        expect!["[CREATE INDEX] call(public.purge) create(public.?) alter(public.orders)"],
    );
    check("call p(1)", expect!["[CALL] call(public.p)"]);
    check("create statistics s on a, b from (select * from customers) x", expect!["[?] opaque(the statement)"]);
}

#[test]
fn settings_and_session() {
    check(
        "set standard_conforming_strings = off",
        expect!["[SET] opaque(standard_conforming_strings off changes how text is read)"],
    );
    check(
        "set client_encoding = 'SJIS'",
        expect!["[SET] opaque(a client_encoding other than UTF8 changes how text is read)"],
    );
    check("set names 'utf8'", expect!["[SET] connect()"]);
    check("set search_path = a, b", expect!["[SET] set(search_path)"]);
    check("set role admin", expect!["[SET] assume(admin)"]);
    check("set session authorization admin", expect!["[SET] assume(admin)"]);
    check("reset role", expect!["[RESET] connect()"]);
    check("set local datestyle = 'ISO'", expect!["[SET] connect()"]);
    check("set row_security = off", expect!["[SET] set(row_security)"]);
    check("discard all", expect!["[DISCARD] connect()"]);
    check("begin; commit", expect!["[BEGIN; COMMIT] connect()"]);
    check(
        "listen a; notify b, 'x'; load 'l'; lock orders; vacuum orders; checkpoint",
        expect![
            "[LISTEN; NOTIFY; LOAD; LOCK TABLE; VACUUM; CHECKPOINT] lock(public.orders) maintain() maintain(public.orders) listen(a) notify(b) load_library(l)"
        ],
    );
    check("prepare transaction 'x'", expect!["[PREPARE TRANSACTION] create(prepared transaction:x)"]);
}

#[test]
fn outputs() {
    lineage(
        "select ssn as x, name || ssn, count(*), 1 from customers",
        expect!["customers.ssn, customers.name+customers.ssn, , "],
    );
    lineage("select * from customers", expect!["customers.id, customers.name, customers.ssn"]);
    lineage("select c from customers c", expect!["customers.id+customers.name+customers.ssn"]);
    lineage(
        "select row_to_json(c), c.*, (c).ssn, ssn(c) from customers c",
        expect![
            "customers.id+customers.name+customers.ssn, customers.id, customers.name, customers.ssn, customers.id+customers.name+customers.ssn, customers.id+customers.name+customers.ssn moves customers.id+customers.name+customers.ssn"
        ],
    );
    lineage(
        "with a as (select ssn s from customers), b(z) as (select s from a) select z from b",
        expect!["customers.ssn"],
    );
    lineage("select s from (select ssn from customers) x(s)", expect!["customers.ssn"]);
    lineage("select id from orders union all select ssn from customers", expect!["customers.ssn+orders.id"]);
    lineage(
        "select * from orders join customers using (id)",
        expect!["customers.id+orders.id, orders.customer_id, orders.total, customers.name, customers.ssn"],
    );
    lineage(
        "select * from customers natural join orders",
        expect!["customers.id+orders.id, customers.name, customers.ssn, orders.customer_id, orders.total"],
    );
    lineage("select ssn from orders, customers", expect!["customers.ssn"]);
    lineage("select ssn from unknown_table", expect!["unknown_table.ssn"]);
    lineage(
        "select * from unknown_table u, customers",
        expect![
            "*[customers.id+customers.name+customers.ssn+unknown_table.*], customers.id, customers.name, customers.ssn"
        ],
    );
    lineage("select nope from customers", expect!["customers.id+customers.name+customers.ssn"]);
    lineage("select (select ssn from customers c where c.id = o.customer_id) from orders o", expect!["customers.ssn"]);
    lineage("select case when ssn like '1%' then 1 end from customers", expect!["customers.ssn"]);
    lineage(
        "select max(ssn) over w from customers window w as (partition by name)",
        expect!["customers.name+customers.ssn"],
    );
    lineage("select (select s from (values (1)) a(ssn), (select ssn s) y) from customers", expect!["customers.ssn"]);
    lineage("select (select text from (select 'x'::int::text, ssn::varchar from customers) x)", expect![""]);
    lineage("select exists (select ssn from customers)", expect![[r#""#]]);
    lineage("select array(select ssn from customers)", expect!["customers.ssn"]);
    lineage(
        "with recursive r(a, b) as (select id, name from customers union select b, ssn from r, customers) select a from r",
        expect!["customers.id+customers.name+customers.ssn"],
    );
    lineage("select x from (values (1), (2)) v(x)", expect![[r#""#]]);
    lineage("select y from customers, lateral unnest(array[ssn]) y", expect!["customers.ssn"]);
    lineage("insert into orders select id, ssn from customers", expect![" moves customers.id+customers.ssn"]);
    lineage(
        "update orders set total = c.ssn from customers c returning c.name, orders.*",
        expect!["customers.name, orders.id, orders.customer_id, orders.total moves customers.ssn"],
    );
    lineage("update orders set total = total + 1", expect![[r#""#]]);
    lineage("delete from customers returning ssn", expect!["customers.ssn"]);
    lineage(
        "update orders o set total = 0 from (select id from customers) a join customers b using (id) returning *",
        expect!["orders.id, orders.customer_id, orders.total, customers.id, customers.name, customers.ssn"],
    );
    lineage(
        "merge into orders o using customers c on c.id = o.id when matched then delete returning *",
        expect!["customers.id, customers.name, customers.ssn, orders.id, orders.customer_id, orders.total"],
    );
    lineage(
        "insert into customers values (1) returning ssn, old.name, new.*",
        expect!["customers.ssn, customers.name, customers.id, customers.name, customers.ssn"],
    );
    lineage("create table t as select ssn from customers", expect![" moves customers.ssn"]);
    lineage("select pg_notify('c', ssn) from customers", expect!["customers.ssn moves customers.ssn"]);
    lineage("select 1 from customers where purge(ssn)", expect![" moves customers.ssn"]);
    lineage("declare c cursor with hold for select ssn from customers", expect![" moves customers.ssn"]);
    lineage(
        "with m as (insert into orders select id, ssn from customers returning id) select * from m",
        expect!["orders.id moves customers.id+customers.ssn"],
    );
    lineage("select j.ssn from (customers c join orders o on true) as j(a, b, ssn)", expect!["customers.ssn"]);
    lineage(
        "select xmlelement(name x, ssn), coalesce(null, name), row(ssn), ssn::text, array[id] from customers",
        expect!["customers.ssn, customers.name, customers.ssn, customers.ssn, customers.id"],
    );
}

#[test]
fn hostile_texts_do_not_overflow_stacks() {
    let big = 100_000;
    let texts = [
        format!("select {}1{}", "(".repeat(big), ")".repeat(big)),
        format!("select {}1{}", "(".repeat(3_000), ")".repeat(3_000)),
        format!("select 1{}", "+1".repeat(big)),
        format!("select 1{}", "+1".repeat(40_000)),
        format!("select {}true", "not ".repeat(50_000)),
        format!("select {}true", "not ".repeat(9_000)),
        format!("select 1{}", " union all select 1".repeat(50_000)),
        format!("select 1{}", " union all select 1".repeat(15_000)),
        format!("select {}1{}", "case when true then ".repeat(3_000), " end".repeat(3_000)),
        format!("select {}1{}", "array[".repeat(3_000), "]".repeat(3_000)),
        format!("select {}1{}", "(select ".repeat(3_000), ")".repeat(3_000)),
        format!("select {}1{}", "(select * from ".repeat(3_000), ") x".repeat(3_000)),
        format!("select 1{}", "::int".repeat(big)),
        format!("select 1{}", "::int".repeat(20_000)),
        format!("select a{}", ".b".repeat(big)),
        format!("select a{} from customers", "[1]".repeat(big)),
        format!("select * from a{}", " join b on true".repeat(15_000)),
        format!("select {}1{}", "f(".repeat(3_000), ")".repeat(3_000)),
        format!("select {}1{}", "f(".repeat(45), ")".repeat(45)),
        format!("select {}1{}", "(select ".repeat(45), ")".repeat(45)),
        format!("select 1{}", "+1".repeat(190)),
        format!("select '{}'", "x".repeat(16 << 20)),
        format!("select 1 in (1{})", ",1".repeat(1 << 20)),
        format!(
            "with a0 as (select 1 x) {} select * from a30",
            (1..31).map(|i| format!(", a{i} as (select *, * from a{})", i - 1)).collect::<String>()
        ),
    ];
    for text in texts {
        let kind = cost(&text);
        let stack = match kind {
            Cost::Inline | Cost::TooDeep(_) => 2 << 20,
            Cost::Offload => BIG_STACK,
        };
        let head: String = text.chars().take(40).collect();
        let started = std::time::Instant::now();
        let thread = std::thread::Builder::new().stack_size(stack).spawn(move || {
            let result = analyse(&text, &env());
            assert!(result.as_ref().map_or(true, |a| !a.facts.accesses.is_empty()));
            result.map(|a| a.facts.accesses.len())
        });
        let result = thread.unwrap().join().unwrap();
        eprintln!("{head} {kind:?} {result:?} {:?}", started.elapsed());
    }
}

/// One line for each kind of statement that the grammar has, which must all ask for something.
const KINDS: &str = include_str!("testdata/kinds.sql");

#[test]
fn every_kind_asks_for_something() {
    let harmless = [
        "select 1",
        "values (1)",
        "begin",
        "start transaction",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint s",
        "release savepoint s",
        "rollback to savepoint s",
        "set local datestyle = iso",
        "set time zone 'UTC'",
        "set transaction isolation level serializable",
        "set session characteristics as transaction read only",
        "set constraints all deferred",
        "reset all",
        "reset role",
        "show all",
        "show work_mem",
        "discard all",
        "discard temp",
        "deallocate all",
        "deallocate p",
        "close c",
        "close all",
        "fetch all from c",
        "move 1 from c",
        "declare c cursor for select 1",
        "prepare p as select 1",
        "execute p(1)",
        "explain select 1",
        "unlisten c",
    ];
    let (mut count, mut wrong) = (0, Vec::new());
    for line in KINDS.lines().filter(|l| !l.is_empty()) {
        count += 1;
        let Ok(analysis) = analyse(line, &env()) else {
            wrong.push(format!("{line}: {}", facts(line)));
            continue;
        };
        assert_eq!(analysis.statements.len(), 1, "{line}");
        let only = analysis.facts.accesses.iter().all(|a| a.action == Action::Connect);
        if only != harmless.contains(&line) {
            wrong.push(format!("{line}: {}", facts(line)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 150, "{count}");
}

proptest::proptest! {
    #[test]
    fn token_soup_asks_or_errs(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..24)) {
        let text = words.join(" ");
        if let Ok(analysis) = analyse(&text, &env()) {
            assert!(!analysis.facts.accesses.is_empty());
        }
    }

    #[test]
    fn comments_and_spaces_change_nothing(line in 0_usize..150, gap in proptest::sample::select(vec!["  ", "\n", "\t/* ; drop */ ", " -- x\n"])) {
        let text = KINDS.lines().filter(|l| !l.is_empty() && !l.contains('\'')).nth(line % 100).unwrap_or("select 1");
        let spaced = format!("{gap}{}{gap}", text.replace(' ', gap));
        // But where the relations stand.
        let read = |text: &str| analyse(text, &env()).map(|mut analysis| {
            let places = analysis.statements.iter_mut().flat_map(|s| &mut s.reads.places);
            places.for_each(|place| place.at = 0..0);
            analysis
        });
        assert_eq!(read(text), read(&spaced));
    }
}

const WORDS: &[&str] = &[
    "select",
    "*",
    "from",
    "customers",
    "c",
    "(",
    ")",
    ",",
    "where",
    "ssn",
    "=",
    "1",
    "with",
    "as",
    "union",
    "all",
    "insert",
    "into",
    "values",
    "update",
    "set",
    "delete",
    "returning",
    "f(",
    "join",
    "on",
    "true",
    ";",
    "'x'",
    "$1",
    "lateral",
    "::",
    "text",
    "recursive",
    "copy",
    "to",
    "stdout",
    "create",
    "table",
    "view",
    "drop",
    "case",
    "when",
    "then",
    "end",
    ".",
    "[1]",
    "old",
    "new",
    "using",
    "natural",
    "explain",
    "prepare",
    "declare",
    "cursor",
    "for",
    "grant",
    "order by",
    "\"",
    "$$",
];

#[test]
fn texts_that_break_bindings() {
    for text in [
        "select E'\\xff'",
        "select U&'\\D800'",
        "select \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaä\"",
        "select E'\\377' as x",
        "select * from E'\\xff'",
    ] {
        eprintln!("{text}: {}", facts(text));
    }
    check("create table t (a int default 1)", expect!["[CREATE TABLE] create(public.t)"]);
}

#[test]
fn speed() {
    let env = env();
    let text = "select id, name from customers where id = $1";
    let cache = AnalysisCache::new(1000, 1 << 20);
    let analysis = Arc::new(analyse(text, &env).unwrap());
    cache.insert(text, &env, analysis);
    let n = 20_000;
    let started = std::time::Instant::now();
    for _ in 0..n {
        std::hint::black_box(analyse(std::hint::black_box(text), &env).unwrap());
    }
    let each = started.elapsed() / n;
    let started = std::time::Instant::now();
    for _ in 0..n {
        std::hint::black_box(cache.find(std::hint::black_box(text), &env).unwrap());
    }
    eprintln!("analyse {each:?}, cache {:?}", started.elapsed() / n);
    let other = Environment { catalogue: Arc::new(Catalogue::default()), ..env };
    assert!(cache.find(text, &other).is_none());
    let _ = Action::ALL;
}

#[test]
fn rows_of_a_partition_are_rows_of_the_tables_above_it() {
    check(
        "select * from events_2026_11",
        expect!["[SELECT] select(public.events) select(public.events_2026) select(public.events_2026_11)"],
    );
    check("select * from events", expect!["[SELECT] select(public.events)"]);
    check(
        "delete from events_2026 where id = 1",
        expect!["[DELETE] delete+where(public.events) delete+where(public.events_2026)"],
    );
    check("drop table events_2026", expect!["[DROP TABLE] drop(public.events_2026)"]);
    check(
        "declare c cursor for select 1 from events_2026",
        expect!["[DECLARE CURSOR] connect() select(public.events) select(public.events_2026)"],
    );
}

#[test]
fn circles_of_a_hostile_catalogue_end() {
    let names = |found: Vec<&Relation>| found.iter().map(|r| r.oid).collect::<std::collections::BTreeSet<_>>();
    let tables = [relation(1, "a", &["x"]), relation(2, "b", &["x"]), relation(3, "c", &["x"])];
    let catalogue = Catalogue::new(1, tables, []).with_inheritance([(1, 2), (2, 1), (2, 3), (1, 1)]);
    assert_eq!(names(catalogue.ancestors(1)), [2, 3].into());
    assert_eq!(names(catalogue.shows(3)), [1, 2].into());
}

#[test]
fn what_tells_of_sizes() {
    let tells = |text: &str| {
        let analysis = analyse(text, &env()).unwrap();
        let tells = analysis.statements.iter().flat_map(|s| &s.reads.tells);
        tells.map(|t| format!("{t:?}").chars().take(24).collect()).collect::<Vec<String>>().join(", ")
    };
    for (text, wanted) in [
        ("select pg_table_size('x')", "Function(\"pg_table_size\""),
        ("select 1 from pg_catalog.pg_database_size('x')", "Function(\"pg_database_si"),
        ("create function f() returns int language sql as 'select pg_table_size(1)'", "Function(\"pg_table_size\""),
        ("explain select 1", "Sizes(\"EXPLAIN with cost"),
        ("explain (costs off, costs) select 1", "Sizes(\"EXPLAIN with cost"),
        ("explain (costs 0) select 1", "Sizes(\"EXPLAIN with cost"),
        ("explain (Costs False, analyze) select 1", "Sizes(\"EXPLAIN ANALYZE ("),
        ("explain (costs off, buffers) select 1", "Sizes(\"EXPLAIN with buff"),
        ("explain (costs off, wal on) select 1", "Sizes(\"EXPLAIN with WAL\""),
        ("analyze verbose customers", "Sizes(\"VERBOSE\")"),
        ("vacuum (verbose, full) customers", "Sizes(\"VERBOSE\")"),
        ("cluster verbose customers", "Sizes(\"VERBOSE\")"),
        ("explain (costs off) select 1", ""),
        ("explain (analyze, costs off, buffers off) select 1", "Sizes(\"EXPLAIN ANALYZE ("),
        ("explain (analyze off, costs off) select 1", ""),
        ("vacuum (verbose off) customers", ""),
        ("select pg_size_pretty(1::bigint), other.pg_table_size('x')", ""),
    ] {
        assert_eq!(tells(text), wanted, "{text}");
    }
}
