//! What statements ask for, show, and become, over a corpus that covers the grammar and the ways round a gateway.
use super::*;
use crate::{Column, Function, Output, Relation, RelationKind, SourceColumn, Volatility};
use expect_test::{Expect, expect};
use std::fmt::Write as _;

mod made_up;
mod names;
mod reads;

fn relation(oid: u32, name: &str, columns: &[&str]) -> Relation {
    Relation {
        oid,
        schema: "shop".into(),
        name: name.into(),
        kind: RelationKind::Table,
        columns: columns
            .iter()
            .enumerate()
            .map(|(i, c)| Column { number: i as i16 + 1, name: (*c).into(), type_oid: 253 })
            .collect(),
    }
}

fn env_of(greeting: &str, mode: &str) -> Environment {
    let catalogue = Catalogue::new(
        1,
        [
            relation(1, "customers", &["id", "name", "SSN"]),
            relation(2, "orders", &["id", "customer_id", "total"]),
            relation(3, "items", &["id", "order_id", "price"]),
        ],
        [Function {
            oid: 1,
            schema: "shop".into(),
            name: "wipe".into(),
            volatility: Volatility::Volatile,
            of_row: false,
        }],
    );
    Environment {
        catalogue: Arc::new(catalogue),
        database: Some("shop".into()),
        temporary: Arc::new([("shop".into(), "scratch".into())].into()),
        upstream: Upstream::from_greeting(greeting).unwrap(),
        mode: SqlMode::parse(mode).unwrap(),
        lower_case_names: false,
        generation: 0,
    }
}

fn env() -> Environment {
    env_of("8.4.7", "")
}

fn maria() -> Environment {
    env_of("10.11.19-MariaDB", "")
}

fn facts_in(text: &str, env: &Environment) -> String {
    let analysis = analyse(text.as_bytes(), env);
    let mut out = format!("[{}]", analysis.facts.command);
    for a in &analysis.facts.accesses {
        let id = a.resource.local_id();
        let _ = write!(out, " {}{}({id})", a.action, if a.has_where { "+where" } else { "" });
    }
    out
}

#[track_caller]
fn check(text: &str, expect: Expect) {
    expect.assert_eq(&facts_in(text, &env()));
}

#[track_caller]
fn check_maria(text: &str, expect: Expect) {
    expect.assert_eq(&facts_in(text, &maria()));
}

fn column(c: &SourceColumn) -> String {
    format!("{}.{}", c.table, c.column.as_deref().unwrap_or("*"))
}

#[track_caller]
fn lineage(text: &str, expect: Expect) {
    let analysis = analyse(text.as_bytes(), &maria());
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
    expect.assert_eq(&out);
}

fn text_in(text: &str, env: &Environment) -> String {
    let analysis = analyse(text.as_bytes(), env);
    let parts: Vec<String> = analysis
        .statements
        .iter()
        .map(|s| s.text.as_ref().map_or("-".to_owned(), |t| String::from_utf8_lossy(t).into_owned()))
        .collect();
    parts.join(" ;; ")
}

#[track_caller]
fn printed(text: &str, expect: Expect) {
    expect.assert_eq(&text_in(text, &env()));
}

#[test]
fn queries() {
    check("select * from customers", expect!["[SELECT] select(shop.customers)"]);
    check("with c as (select 1) select * from c, Customers x", expect![[r#"[SELECT] select(shop."Customers")"#]]);
    check(
        "with customers as (select * from customers) select * from shop.customers",
        expect!["[SELECT] select(shop.customers)"],
    );
    check(
        "select (select max(total) from orders) from customers for update",
        expect!["[SELECT] select(shop.customers) select(shop.orders) lock(shop.customers)"],
    );
    check(
        "select * from a join (select * from b) x on true for share of x skip locked",
        expect!["[SELECT] select(shop.a) select(shop.b) lock(shop.b)"],
    );
    check("(select 1) union all (select id from orders) order by 1 limit 3", expect!["[SELECT] select(shop.orders)"]);
    check(
        "select * from ((select id from orders) union (select id from items)) x",
        expect!["[SELECT] select(shop.items) select(shop.orders)"],
    );
    check(
        "select 1 from dual where ((select 1) union (select ssn from customers)) = 1",
        expect!["[SELECT] select(shop.customers)"],
    );
    check("table orders", expect!["[SELECT] select(shop.orders)"]);
    check(
        "select * from Information_Schema.TABLES, MYSQL.user",
        expect!["[SELECT] select(information_schema.tables) select(mysql.user)"],
    );
    check(
        "select load_file('/etc/passwd'), sleep(5), `sleep`(1), wipe(id), other.f(1), count(*) from orders",
        expect![
            "[SELECT] select(shop.orders) call(mysql.load_file) call(mysql.sleep) call(other.f) call(shop.sleep) call(shop.wipe) read_file(/etc/passwd)"
        ],
    );
    check(
        "select ssn into outfile '/tmp/x' from customers",
        expect!["[SELECT INTO] select(shop.customers) write_file(/tmp/x)"],
    );
    check("select * from scratch", expect!["[SELECT] select(pg_temp.scratch)"]);
    check(
        "select x from json_table('[]', '$[*]' columns (x int path '$')) t, lateral (select * from items) l",
        expect!["[SELECT] select(shop.items)"],
    );
    check(
        "select sum(total) over (partition by id order by customer_id rows between 1 preceding and current row) from orders",
        expect!["[SELECT] select(shop.orders)"],
    );
    check(
        "select 1 from orders procedure analyse()",
        expect!["[?] opaque(no PROCEDURE expected at byte 21, near `procedure`)"],
    );
    check("", expect!["[] connect()"]);
}

#[test]
fn changes() {
    check(
        "insert into orders values (1, 2, 3), (4, default, (select max(id) from items))",
        expect!["[INSERT] select(shop.items) insert(shop.orders)"],
    );
    check(
        "insert into orders (id) select id from items on duplicate key update total = values(total) + 1",
        expect!["[INSERT] select(shop.items) insert(shop.orders) update+where(shop.orders)"],
    );
    check("replace into orders set id = 1", expect!["[REPLACE] insert(shop.orders) delete+where(shop.orders)"]);
    check("update orders set total = 0", expect!["[UPDATE] update(shop.orders)"]);
    check("update orders set total = 0 where id = 1 limit 1", expect!["[UPDATE] update+where(shop.orders)"]);
    check(
        "update orders o join items i on o.id = i.order_id set o.total = 1, price = 2 where o.id = 3",
        expect!["[UPDATE] select(shop.items) select(shop.orders) update+where(shop.items) update+where(shop.orders)"],
    );
    check("delete from orders", expect!["[DELETE] delete(shop.orders)"]);
    check(
        "delete from orders as o where o.id in (select order_id from items)",
        expect!["[DELETE] select(shop.items) delete+where(shop.orders)"],
    );
    check(
        "delete from orders where exists (select 1 from items where price > 3)",
        expect!["[DELETE] select(shop.items) delete(shop.orders)"],
    );
    check(
        "delete o, i.* from orders o, items i where o.id = i.order_id",
        expect!["[DELETE] select(shop.items) select(shop.orders) delete+where(shop.items) delete+where(shop.orders)"],
    );
    check(
        "delete from o using orders as o join items",
        expect!["[DELETE] select(shop.items) select(shop.orders) delete(shop.orders)"],
    );
    check("load data local infile '/home/me/x' into table orders", expect!["[LOAD DATA] insert(shop.orders)"]);
    check(
        "load data infile '/etc/passwd' into table orders (@a, id) set total = @a",
        expect!["[LOAD DATA] insert(shop.orders) read_file(/etc/passwd)"],
    );
    check_maria(
        "insert into orders values (1) returning *",
        expect!["[INSERT] select(shop.orders) insert(shop.orders)"],
    );
    check_maria(
        "delete from orders where id = 1 returning id",
        expect!["[DELETE] select(shop.orders) delete+where(shop.orders)"],
    );
}

#[test]
fn traps() {
    check("select 1--1", expect!["[SELECT] connect()"]);
    check("select 1 /*!50000 , ssn from customers */", expect!["[SELECT] select(shop.customers)"]);
    check("select 1 /*!99999 , ssn from customers */", expect!["[SELECT] connect()"]);
    check("select 1 /*M! , ssn from customers */", expect!["[SELECT] connect()"]);
    check_maria("select 1 /*M! , ssn from customers */", expect!["[SELECT] select(shop.customers)"]);
    check("select 1; drop table orders", expect!["[SELECT; DROP TABLE] connect() drop(shop.orders)"]);
    check(
        "select 1; frobnicate the server",
        expect!["[SELECT; ?] connect() opaque(a statement expected at byte 10, near `frobnicate`)"],
    );
    check("use mysql; select * from user", expect!["[USE; SELECT] connect() select(mysql.user)"]);
    check(
        "set sql_mode = 'ansi_quotes'; select \"a\"",
        expect!["[SET; SELECT] connect() opaque(statements behind a setting that changes how they are read)"],
    );
    check("select 'a", expect!["[?] opaque(a string without an end at byte 7)"]);
    check("prepare s from 'drop table orders'", expect!["[PREPARE] connect() drop(shop.orders)"]);
    check("prepare s from @x", expect!["[PREPARE] connect() opaque(the text that PREPARE prepares)"]);
    check("execute s using @a", expect!["[EXECUTE] connect()"]);
    check_maria("execute immediate 'select * from customers'", expect!["[EXECUTE IMMEDIATE] select(shop.customers)"]);
    check_maria(
        "execute immediate concat('drop ', 'table x')",
        expect!["[EXECUTE IMMEDIATE] opaque(the text that EXECUTE IMMEDIATE runs)"],
    );
    check("handler orders open", expect!["[HANDLER OPEN] select(shop.orders)"]);
    check("handler orders read first", expect!["[HANDLER READ] opaque(what HANDLER … READ reads)"]);
    check("do sleep(1)", expect!["[DO] connect() call(mysql.sleep)"]);
    check("call wipe(1)", expect!["[CALL] call(shop.wipe)"]);
    check(
        "select _utf8mb4'x', _gbk 0xbf27, n'x', _foo'x'",
        expect!["[?] opaque(a character set that is known expected at byte 39, near `_foo`)"],
    );
    check("select @a := ssn, @@global.version from customers", expect!["[SELECT] select(shop.customers)"]);
    check("explain analyze delete from orders", expect!["[EXPLAIN] connect() delete(shop.orders)"]);
    check("kill query 5", expect!["[KILL QUERY] call(mysql.kill)"]);
    check_maria(
        "set statement max_statement_time = 1 for select * from orders",
        expect!["[SET STATEMENT; SELECT] connect() select(shop.orders)"],
    );
    check_maria(
        "select next value for s, nextval(shop.s), lastval(s)",
        expect!["[SELECT] select(shop.s) call(mysql.nextval)"],
    );
    check("select count (x) from orders", expect!["[SELECT] select(shop.orders) call(mysql.count) call(shop.count)"]);
}

#[test]
fn settings_and_shows() {
    check("set names utf8mb4 collate utf8mb4_bin, autocommit = 1", expect!["[SET] connect()"]);
    check("set names gbk", expect!["[SET] opaque(a character set other than UTF-8 changes how text is read)"]);
    check("set character_set_results = NULL", expect!["[SET] connect()"]);
    // The server tells what it came to; within others nobody would hear of it in time.
    check("set sql_mode = @old_sql_mode", expect!["[SET] set(sql_mode)"]);
    check("set sql_mode = default", expect!["[SET] set(sql_mode)"]);
    check("set character_set_client = @saved_cs_client", expect!["[SET] set(character_set_client)"]);
    check("set names default", expect!["[SET] set(character_set_client)"]);
    check(
        "set sql_mode = @old_sql_mode; select 1",
        expect![
            "[SET; SELECT] connect() set(sql_mode) opaque(statements behind a setting that changes how they are read)"
        ],
    );
    check(
        "create procedure p() set sql_mode = @old_sql_mode",
        expect![
            "[CREATE PROCEDURE] create(shop.p) opaque(a sql_mode that is not understood changes how text is read) opaque(a stored program that changes how text is read)"
        ],
    );
    check(
        "prepare s from 'set sql_mode = @old_sql_mode'",
        expect![
            "[PREPARE] connect() opaque(a sql_mode that is not understood changes how text is read) opaque(a stored program that changes how text is read)"
        ],
    );
    check("set global sql_mode = @old_sql_mode", expect!["[SET] configure(sql_mode)"]);
    check("set global general_log = on, x = 1", expect!["[SET] set(x) configure(general_log) configure(x)"]);
    check(
        "set @@session.sql_log_bin = 0, @@global.x = 1, @a = 1",
        expect!["[SET] connect() set(sql_log_bin) configure(x)"],
    );
    check("set session transaction isolation level read committed", expect!["[SET TRANSACTION] connect()"]);
    check("set password for bob = 'x'", expect!["[SET PASSWORD] alter(bob)"]);
    check("set role admin", expect!["[SET ROLE] assume(admin)"]);
    check(
        "show tables; show full columns from orders like 'x'; show variables where variable_name = 'x'",
        expect![
            "[SHOW TABLES; SHOW FULL COLUMNS; SHOW VARIABLES WHERE] connect() select(information_schema.columns) select(information_schema.tables)"
        ],
    );
    check("show processlist", expect!["[SHOW PROCESSLIST] select(information_schema.processlist)"]);
    check("show create table orders", expect!["[SHOW CREATE TABLE] select(information_schema.tables)"]);
    check("show binlog events", expect!["[SHOW BINLOG EVENTS] replicate()"]);
    check("desc orders", expect!["[DESCRIBE] select(information_schema.columns)"]);
    check("begin; savepoint a; rollback to a; commit", expect!["[BEGIN; SAVEPOINT; ROLLBACK; COMMIT] connect()"]);
    check("xa prepare 'a'", expect!["[XA PREPARE] create(prepared transaction:a)"]);
    check("lock tables orders write, items as i read", expect!["[LOCK TABLE] lock(shop.items) lock(shop.orders)"]);
    check("flush privileges", expect!["[FLUSH] maintain()"]);
    check("analyze table orders", expect!["[ANALYZE TABLE] maintain(shop.orders)"]);
}

#[test]
fn definitions() {
    check(
        "create table t (id int primary key auto_increment, o int references orders(id), key (o)) engine=innodb",
        expect!["[CREATE TABLE] select(shop.orders) create(shop.t)"],
    );
    check(
        "create temporary table t as select * from orders; select * from t",
        expect!["[CREATE TABLE AS; SELECT] select(shop.orders) select(shop.t) create(pg_temp.t)"],
    );
    check(
        "create table t (a int) engine=connect",
        expect!["[CREATE TABLE] create(shop.t) opaque(what a table of engine connect reads)"],
    );
    check("create table t like orders", expect!["[CREATE TABLE] select(shop.orders) create(shop.t)"]);
    check(
        "alter table orders add column x int default 1 after id, drop column y, add index (x), rename to z",
        expect!["[ALTER TABLE] create(shop.z) alter(shop.orders) drop(shop.orders)"],
    );
    check("create unique index i on orders (id)", expect!["[CREATE INDEX] create(shop.i) alter(shop.orders)"]);
    check("drop index i on orders", expect!["[DROP INDEX] alter(shop.orders) drop(shop.i)"]);
    check("drop table if exists orders, scratch", expect!["[DROP TABLE] drop(pg_temp.scratch) drop(shop.orders)"]);
    check(
        "create database x; drop schema x",
        expect!["[CREATE DATABASE; DROP DATABASE] create(x) create(x) drop(x) drop(x)"],
    );
    check(
        "create or replace definer=root@localhost view v as select a+b from orders",
        expect![[r#"[CREATE VIEW] select(shop.orders) create(shop.v) drop(shop.v) assume("root@localhost")"#]],
    );
    check("rename table a to b", expect!["[RENAME TABLE] create(shop.b) alter(shop.a) drop(shop.a)"]);
    check("truncate orders", expect!["[TRUNCATE TABLE] truncate(shop.orders)"]);
    check(
        "grant select, insert (a, b) on shop.* to 'x'@'localhost' with grant option",
        expect!["[GRANT] grant(shop) grant(shop)"],
    );
    check("grant all privileges on *.* to x", expect!["[GRANT] grant()"]);
    check("grant admin to bob@'%'", expect!["[GRANT ROLE] grant(admin)"]);
    check("revoke all, grant option from x", expect!["[REVOKE] grant()"]);
    check("create user if not exists 'a'@'%' identified by 'x'", expect!["[CREATE USER] create(a)"]);
    check(
        "create procedure p(in a int) begin declare x int default 0; if a > 1 then delete from orders; end if; select ssn from customers; end",
        expect!["[CREATE PROCEDURE] select(shop.customers) delete(shop.orders) create(shop.p)"],
    );
    check(
        "create trigger t before insert on orders for each row set new.total = wipe(1)",
        expect!["[CREATE TRIGGER] select(shop.orders) call(shop.wipe) create(trigger:shop.t) alter(shop.orders)"],
    );
    check(
        "create event e on schedule every 1 day do truncate orders",
        expect!["[CREATE EVENT] truncate(shop.orders) create(event:shop.e)"],
    );
    check(
        "create function f() returns string soname 'lib.so'",
        expect!["[?] opaque(a type expected at byte 28, near `string`)"],
    );
    check("install plugin p soname 'x.so'", expect!["[INSTALL PLUGIN] create(plugin:p) load_library(x.so)"]);
    check("shutdown", expect!["[SHUTDOWN] configure(shutdown)"]);
    check("purge binary logs to 'x'", expect!["[PURGE BINARY LOGS] drop(binary logs:all)"]);
    check(
        "change replication source to source_host='x', source_port=1",
        expect!["[CHANGE REPLICATION SOURCE] alter(replication:all)"],
    );
}

#[test]
fn programs() {
    check(
        "create procedure p() execute s",
        expect![
            "[CREATE PROCEDURE] connect() create(shop.p) opaque(a stored program that executes what a session prepared, or prepares it)"
        ],
    );
    check(
        "create procedure p() begin declare x int; set x = 1, sql_log_off = 1; set names utf8mb4; end",
        expect![
            "[CREATE PROCEDURE] connect() create(shop.p) set(sql_log_off) opaque(a stored program that changes how text is read)"
        ],
    );
    check(
        "create trigger t before update on orders for each row set new.total = 1, @a = old.total, sql_log_bin = 0",
        expect![
            "[CREATE TRIGGER] connect() select(shop.orders) create(trigger:shop.t) alter(shop.orders) set(sql_log_bin)"
        ],
    );
}

#[test]
fn names_of_with_hide_no_table() {
    // To MySQL the first means the table: the other is not there yet.
    check(
        "with recursive a as (select * from customers), customers as (select 1) select * from a",
        expect!["[SELECT] select(shop.customers)"],
    );
    check("with orders as (select 1 as id) delete from orders", expect!["[DELETE] delete(shop.orders)"]);
    check("with orders as (select 1 as id) update orders set id = 5", expect!["[UPDATE] update(shop.orders)"]);
    check("with orders as (select 1 as id) delete orders from orders", expect!["[DELETE] delete(shop.orders)"]);
    check(
        "with orders as (select 1 as id) insert into orders select * from orders",
        expect!["[?] opaque(SELECT expected at byte 32, near `insert`)"],
    );
    check(
        "with orders as (select 1 as id) select * from (select * from orders) x, shop.orders",
        expect!["[SELECT] select(shop.orders)"],
    );
}

#[test]
fn what_runs_within_changes_the_session() {
    let effects = |text: &str| {
        let analysis = analyse(text.as_bytes(), &maria());
        format!("{:?} {:?}", analysis.statements.first().unwrap().effects, facts_in(text, &maria()))
    };
    expect![[
        r#"[Set { name: "sql_mode", value: Some("ANSI_QUOTES"), local: false }] "[EXECUTE IMMEDIATE] connect()""#
    ]]
    .assert_eq(&effects("execute immediate 'set sql_mode = ansi_quotes'"));
    expect![[r#"[Set { name: "sql_mode", value: Some("ANSI_QUOTES"), local: false }] "[EXECUTE IMMEDIATE; SELECT] connect() opaque(statements behind a setting that changes how they are read)""#]].assert_eq(&effects("execute immediate 'set sql_mode = ansi_quotes'; select \"a\""));
    expect![[r#"[Prepare { name: "s", analysis: Analysis { facts: Facts { accesses: [Access { action: Connect, resource: Connection, has_where: false, as_root: false }], command: "SET", statements: 1 }, statements: [Statement { command: "SET", lineage: None, moves: {}, writes: Writes { columns: {}, sets: {}, times: 0, texts: {} }, within: [], copy: None, effects: [], references: [], text: None, upload: None, kill: None, reads: Reads { places: [], from: {}, prefixes: [], kept: [], selects: [], obstacle: Some("PREPARE of a text"), weighs: {}, named: {}, tells: {}, bare: {}, calls: {}, limited: [], deleted: {}, hinted: {} } }] } }] "[PREPARE] connect() opaque(a stored program that changes how text is read)""#]].assert_eq(&effects("prepare s from 'set sql_mode = ansi_quotes'"));
    expect![[r#"[Set { name: "use", value: Some("other"), local: false }] "[USE] connect()""#]]
        .assert_eq(&effects("use other"));
}

#[test]
fn outputs() {
    lineage("select * from customers", expect!["customers.id, customers.name, customers.ssn"]);
    lineage(
        "select c.*, upper(Ssn) x, 1 from customers c",
        expect!["customers.id, customers.name, customers.ssn, customers.ssn, "],
    );
    lineage(
        "select * from orders join customers using (id)",
        expect!["customers.id+orders.id, orders.customer_id, orders.total, customers.name, customers.ssn"],
    );
    lineage(
        "select * from orders right join customers using (id)",
        expect!["*[customers.id+customers.name+customers.ssn+orders.customer_id+orders.id+orders.total]"],
    );
    lineage("select x.b from (select ssn as b from customers) x", expect!["customers.ssn"]);
    lineage(
        "with w(a, b) as (select id, ssn from customers) select b, a from w",
        expect!["customers.ssn, customers.id"],
    );
    lineage(
        "with recursive w as (select ssn a, id b from customers union select b, a from w) select a from w",
        expect!["customers.id+customers.ssn"],
    );
    lineage("select ssn from customers union select total from orders", expect!["customers.ssn+orders.total"]);
    lineage(
        "select (select ssn from customers where id = o.id), exists(select ssn from customers) from orders o",
        expect!["customers.ssn, "],
    );
    lineage("select ssn as x, (select x) from nowhere", expect!["nowhere.ssn, nowhere.ssn+nowhere.x"]);
    lineage("select rank() over w from customers window w as (order by ssn)", expect!["customers.ssn"]);
    lineage(
        "select group_concat(name order by ssn separator ',') from customers",
        expect!["customers.name+customers.ssn"],
    );
    lineage("select wipe(ssn) from customers", expect!["customers.ssn moves customers.ssn"]);
    lineage("insert into orders (id) select ssn from customers", expect![" moves customers.ssn"]);
    lineage("insert into orders (id) values (1) on duplicate key update total = total + 1", expect![[""]]);
    lineage("update orders o, customers c set o.total = c.ssn, c.name = c.name", expect![" moves customers.ssn"]);
    lineage("set @a = (select ssn from customers limit 1)", expect![" moves customers.ssn"]);
    lineage("select @a := ssn from customers", expect!["customers.ssn moves customers.ssn"]);
    lineage("select ssn into @x from customers", expect![" moves customers.ssn"]);
    lineage(
        "select * from nowhere, customers",
        expect!["*[customers.id+customers.name+customers.ssn+nowhere.*], customers.id, customers.name, customers.ssn"],
    );
    lineage(
        "select unknown_column from customers",
        expect!["customers.id+customers.name+customers.ssn+customers.unknown_column"],
    );
    lineage("create procedure p() select ssn from customers", expect![" moves customers.ssn"]);
    lineage("explain select ssn from customers", expect!["customers.ssn"]);
    lineage("insert into orders values (1) returning id, total", expect!["orders.id, orders.total"]);
    lineage("call wipe((select ssn from customers))", expect!["*[] moves customers.ssn"]);
    lineage("prepare s from 'select ssn from customers'", expect![[""]]);
    lineage("execute immediate 'select ssn from customers'", expect!["customers.ssn"]);
    // MariaDB lets the first name the second.
    lineage(
        "with recursive a as (select x from b), b as (select ssn x from customers) select x from a",
        expect!["b.*+customers.*"],
    );
    lineage("show tables", expect!["*[]"]);
}

/// Each of these was a way round a mask once.
#[test]
fn what_is_kept_or_shown_elsewhere_is_moved() {
    for text in [
        "do last_insert_id((select ssn from customers))",
        "set timestamp = (select ssn from customers)",
        "select id from customers order by (@a := ssn)",
        "select id from customers union select id from customers order by (@a := (select ssn from customers))",
        "select id from customers window w as (order by (@a := ssn))",
        "execute immediate 'select ?' using (select ssn from customers)",
        "create procedure p() begin declare x text; declare c cursor for select ssn from customers; open c; fetch c into x; end",
        "create function f() returns text return (select ssn from customers)",
        "create function f() returns text begin declare x text default (select ssn from customers); return x; end",
        "create trigger t after update on customers for each row set @a = OLD.ssn",
        "create trigger t after update on customers for each row insert into orders values (new.ssn)",
        "create trigger t before update on customers for each row set new.name = new.ssn",
        "alter table customers add column x text generated always as (left(ssn, 3))",
        "alter table customers add column x text default (ssn)",
        "alter table customers alter column name set default (ssn)",
        "create table t (a int) engine = merge union = (customers)",
        "alter table t exchange partition p with table customers",
        "insert into customers(id, name) values (1, (select x from (select ssn as x from customers) y))",
        "insert into customers set name = (select x from (select ssn as x from customers) y)",
    ] {
        let analysis = analyse(text.as_bytes(), &maria());
        let moves = &analysis.statements.first().unwrap().moves;
        assert!(
            moves.iter().any(|c| &*c.table == "customers" && c.column.as_deref() == Some("ssn")),
            "{text}: {moves:?}"
        );
    }
    lineage("alter table customers add column x text generated always as (name)", expect![" moves customers.name"]);
    lineage("insert into customers(id, name) values (1, upper(ssn))", expect![""]);
}

#[test]
fn current_role_is_a_column_of_mysql() {
    let shows = |env: &Environment| {
        let analysis = analyse(b"select current_role from customers", env);
        analysis.statements.first().unwrap().lineage.clone().unwrap().anywhere.iter().map(column).collect::<Vec<_>>()
    };
    assert!(shows(&maria()).is_empty());
    assert!(shows(&env()).contains(&"customers.current_role".to_owned()), "{:?}", shows(&env()));
}

#[test]
fn commands_within_are_known() {
    let within = |text: &str| {
        let analysis = analyse(text.as_bytes(), &maria());
        analysis.statements.first().unwrap().within.iter().map(|c| c.to_string()).collect::<Vec<_>>().join(", ")
    };
    expect!["ALTER TABLE"].assert_eq(&within("execute immediate 'alter table orders drop column total'"));
    expect!["CHECKSUM TABLE"].assert_eq(&within("set statement max_statement_time = 1 for checksum table orders"));
    expect!["ALTER TABLE, SELECT"].assert_eq(&within(
        "begin not atomic if 1 then alter table orders drop column total; else select 1; end if; end",
    ));
    expect!["SELECT"].assert_eq(&within("create procedure p() select 1"));
    expect![""].assert_eq(&within("select 1"));
}

#[test]
fn names_that_servers_read_otherwise() {
    lineage(
        "with Orders as (select ssn as id from customers) select id from orders",
        expect!["customers.ssn+orders.customer_id+orders.id+orders.total"],
    );
    lineage(
        "with w as (select 1 as a) select * from (with W as (select ssn as a from customers) select a from w) x",
        expect!["customers.ssn+w.*"],
    );
    let inner = |text: &str, env: &Environment| {
        let analysis = analyse(text.as_bytes(), env);
        let lineage = analysis.statements.first().unwrap().lineage.clone().unwrap();
        lineage.anywhere.iter().map(column).collect::<Vec<_>>().join("+")
    };
    // Blanks before an alias are cut, and names of other letters compared in ways of the server's own.
    for name in [("' x2'", "x2"), ("`é`", "e"), ("e", "`é`")] {
        let (alias, used) = name;
        let text =
            format!("select (select {used} from (select ssn as {alias} from customers) y) from (select 1 as {used}) x");
        assert_eq!(inner(&text, &env()), "customers.ssn", "{text}");
    }
    // Columns that the catalogue does not know, and another word for the key.
    let text = "select (select newer from customers) from (select 1 as newer) x";
    assert_eq!(inner(text, &env()), "customers.newer");
    let text = "select (select _rowid from customers) from (select 1 as _rowid) x";
    assert_eq!(inner(text, &env()), "customers.*");
    let text = "select (select shop.orders.ssn from shop.customers orders) from shop.orders";
    assert_eq!(inner(text, &env()), "customers.ssn");
    let text = "select (select c.ssn from customers C) from orders c";
    let folding = Environment { lower_case_names: true, ..env() };
    assert_eq!(inner(text, &folding), "customers.ssn");
}

#[test]
fn plans_show_what_is_named() {
    lineage("explain format=json select id from customers where ssn = 'x'", expect!["customers.id+customers.ssn"]);
    lineage(
        "explain select 1 from orders natural join customers",
        expect!["customers.id+customers.name+customers.ssn+orders.customer_id+orders.id+orders.total"],
    );
    lineage("explain format=json into @p select ssn from customers", expect![" moves customers.ssn"]);
    lineage("explain select count(*) from orders", expect![[""]]);
}

#[test]
fn names_of_routines_and_statements_are_what_they_say() {
    check("call wípe()", expect![[r#"[CALL] call(shop."wípe") opaque(a routine whose name may be another's)"#]]);
    check(
        "select wípe(1)",
        expect![[r#"[SELECT] call(mysql."wípe") call(shop."wípe") opaque(a function whose name may be another's)"#]],
    );
    check(
        "prepare é from 'select 1'",
        expect!["[?] opaque(a plain name of a prepared statement expected at byte 11, near `from`)"],
    );
    check("set sql_módé = 'ANSI_QUOTES'", expect!["[?] opaque(a setting expected at byte 15, near `=`)"]);
    check(
        "create procedure p() prepare s from 'select 1'",
        expect![
            "[CREATE PROCEDURE] connect() create(shop.p) opaque(a stored program that executes what a session prepared, or prepares it)"
        ],
    );
    check(
        "create procedure p() create view v as select 1",
        expect![
            "[CREATE PROCEDURE] create(shop.v) create(shop.p) opaque(a stored program that makes or changes a view)"
        ],
    );
    check(
        "load data local infile 'x' replace into table orders",
        expect!["[LOAD DATA] insert(shop.orders) delete+where(shop.orders)"],
    );
    check(
        "create temporary table customers (a int); drop temporary table customers; select ssn from customers",
        expect![
            "[CREATE TABLE; DROP TABLE; SELECT] select(shop.customers) create(pg_temp.customers) drop(pg_temp.customers)"
        ],
    );
    check(
        "set session_track_schema = off",
        expect!["[SET] opaque(what changes how text is read has to be told by the server)"],
    );
    printed(
        "set autocommit = 1, session_track_system_variables = concat(@@session_track_system_variables, ',x'), time_zone = 'UTC'",
        expect!["set autocommit = 1, session_track_system_variables = '*', time_zone = 'UTC'"],
    );
}

#[test]
fn prints() {
    printed(
        "select a, b+1, count(*), 'x', \"y\\'z\", @v, a AS z, `q``r` from t -- bye",
        expect!["select `a`, `b` +1 AS `b+1`, count(*), 'x', 'y''z', @`v` AS `@v`, `a` AS `z`, `q``r` from `t`"],
    );
    printed("SELECT 1--1, - -1, -1, 1-1", expect!["SELECT 1 - -1 AS `1--1`, - -1, -1, 1 -1 AS `1-1`"]);
    printed("select /*+ MAX_EXECUTION_TIME(10) */ /* x */ 1 # end", expect!["select /*+ MAX_EXECUTION_TIME(10) */ 1"]);
    printed("select /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ 1", expect!["select 1"]);
    printed(
        "select count (x), now(), left('a',1), f(1), `left`(1), position('a' in b) from t",
        expect![
            "select `count` (`x`) AS `count (x)`, now(), left('a',1), `f`(1) AS `f(1)`, `left`(1), position('a' in `b`) AS `position('a' in b)` from `t`"
        ],
    );
    printed(
        "insert into t(a,b)values(1,'a\\\\b'),(?, x'1f') on duplicate key update a=values(a)",
        expect![[r#"insert into `t`(`a`,`b`) values(1,'a\\b'), (?, x'1f') on duplicate key update `a` = values(`a`)"#]],
    );
    printed(
        "select t . * , db.t.a from db . t where a.1b = .5",
        expect!["select `t`.*, `db`.`t`.`a` from `db`.`t` where `a`.`1b` = .5"],
    );
    printed(
        "set sql_mode=(select concat(@@sql_mode, ',PIPES_AS_CONCAT')),time_zone='+00:00',NAMES utf8mb4",
        expect!["set sql_mode = 'PIPES_AS_CONCAT',time_zone = '+00:00',NAMES utf8mb4"],
    );
    printed("prepare s from 'select \"a\" -- x'", expect!["prepare `s` from 'select ''a'''"]);
    printed(
        "create user 'a'@'%' identified by 'it''s'; drop user a@localhost",
        expect!["create user 'a'@`%` identified by 'it''s' ;; drop user `a`@`localhost`"],
    );
    printed("select 1;; select 2;", expect!["select 1 ;; select 2"]);
    printed(
        "select _binary'\\0\\Z', N'a', {d '2026-01-01'}, date '2026-01-01', 'a' 'b'",
        expect![[
            r#"select _binary '\0\Z', N'a', { d '2026-01-01' } AS `{d '2026-01-01'}`, date '2026-01-01', 'a' 'b'"#
        ]],
    );
}

#[test]
fn a_with_within_another_is_read_where_its_names_are_certain() {
    let facts = |text: &str| facts_in(text, &env());
    let is_opaque = |text: &str| facts(text).contains("opaque(a WITH within another");
    for doubtful in [
        "with customers as (select 1 id, 'p' ssn) select * from (with x as (select id, ssn from customers) select * from x) y",
        "with zz7 as (select id, rid from fb) select (with fb as (select id, rid from zz7) select group_concat(rid) from zz7)",
        "with zz7 as (select 1) select * from (with zz8 as (select id from zz7), zz7 as (select 1) select * from zz8) y",
        "with c(x, y) as (select id, rid from fb) select (with fb(id, rid) as (select id, hid from zz7) select group_concat(y) from c)",
        "insert into plain (id, a) with customers as (select 1 id) select * from (with customers as (select id from customers) select * from customers) y",
        "update t set a = (with a as (select 1 x) select (with b as (select x from a) select x from b) from a)",
    ] {
        assert!(is_opaque(doubtful), "{doubtful}: {}", facts(doubtful));
    }
    for certain in [
        "with a as (select 1 x) select * from a, (with b as (select y from t) select * from b) q",
        "with a as (with b as (select y from t) select y from b) select * from a",
        "with a as (select 1 x) select * from (with b as (select y from t) select b.y, a.x from a, b) q",
        "select (with a as (select 1 x) select x from a), (with a as (select 2 x) select x from a)",
        "with a as (select 1 x), b as (select x from a) select * from b",
    ] {
        assert!(!is_opaque(certain), "{certain}: {}", facts(certain));
    }
}
