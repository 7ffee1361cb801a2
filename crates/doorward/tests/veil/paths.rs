//! What a name without a schema means decides what is hidden: it means the same to the gateway and to the server, whatever is
//! done to the search path, the role, the tables and the functions.
use crate::veiled::{
    Asked,
    wire::{How, Wire},
    world,
};

/// A schema of somebody's own, with names of tables that are hidden elsewhere.
const MADE: &str = "
create schema dec;
create table dec.customers(id int primary key, name text, ssn text);
insert into dec.customers values (1, 'one', 'd1'), (2, 'two', 'd2');
create table dec.g(id int, ssn text); insert into dec.g values (1, 'plain');
create function set_tenant(t text) returns text language plpgsql as 'begin perform set_config(''search_path'', t, false); return t; end';
create function set_tenant_too(t text) returns text language plpgsql as 'begin set search_path = public; return t; end';
create function dec.set_config(text, text, text) returns text language sql as 'select $2';
create domain dec.\"varchar\" as pg_catalog.varchar(6);
create procedure committing() language plpgsql as 'begin commit; end';
create procedure undoing() language plpgsql as 'begin rollback; end';
create function drops() returns text language plpgsql as 'begin drop table dec.customers; return ''x''; end';
create function dec.lower(int) returns text language sql as 'select ssn from customers order by id limit 1';
create function tax(n int) returns int language sql immutable as 'select n * 2';
create schema alice; create table alice.customers(id int, ssn text); insert into alice.customers values (1, 'a1');
";

/// Functions are not dropped by who may not see everything.
const DROPPED: &str = "drop function if exists dec.twice, dec.known, dec.f, dec.h, dec.w";

/// Of others, over whom the upstream's role has rights.
const ROLE: &str = "
create role alice; grant alice to app; grant usage on schema alice, public to alice; grant select on alice.customers to alice;
";

const OTHERWISE: &str = "update customers set ssn = 'same'; update staff set ssn = 'same'; analyze";

/// Sessions that would tell.
const HOSTILE: &[&str] = &[
    // The search path.
    "set search_path = dec; rollback\\; set search_path = public; select max(ssn) from customers",
    "set search_path = dec; begin; select 1/0; commit\\; set search_path = public; select ssn || '' from customers order by id",
    "set search_path = dec; begin\\; commit\\; set search_path = public; select ssn || '' from customers order by id",
    "set search_path = dec; select DATABASE.pg_catalog.set_config('search_path', 'public', false); select ssn || '' from customers order by id",
    "set search_path = public, dec; select set_config('search_path', 'dec', 'false'); begin; update customers set name = name where id = 1 returning ssn || '', ssn; rollback",
    "create function dec.set_config(text, text, bool) returns text language sql as 'select $2'; set search_path = public, dec, pg_catalog; select set_config('search_path', 'dec', false); select max(ssn) from customers; begin; delete from customers where ssn like '078%' returning id; rollback",
    "set search_path = dec; select set_tenant('public'); select public.set_tenant('public'); select ssn || '' from customers order by id",
    "set search_path = dec; select public.set_tenant_too('public'); select ssn || '' from customers order by id",
    "set search_path = dec; create function dec.f() returns text language sql as $$ select set_config('search_path', 'public', false) $$; select dec.f(); select ssn || '' from customers order by id; drop function dec.f()",
    "set search_path = dec; create function dec.f() returns void language sql as $$ set search_path = public; $$; select dec.f(); select ssn || '' from customers order by id; drop function dec.f()",
    "set role alice; set search_path = \"$user\", public; reset role; select ssn || '' from customers order by id",
    "set search_path = dec; begin; savepoint a; set search_path = public; savepoint b; set search_path = dec; rollback to b; select ssn || '' from customers order by id; rollback",
    // What is there.
    "set search_path = dec, public; begin; drop table dec.customers; select ssn || '' from customers order by id; rollback",
    "set search_path = dec, public; begin; drop table dec.customers\\; select ssn || '' from customers order by id; rollback",
    "set search_path = dec, public; begin; alter table dec.customers rename to x; select ssn || '' from customers order by id; rollback",
    "set search_path = dec, public; begin; alter table dec.customers set schema other; select ssn || '' from customers order by id; rollback",
    "set search_path = dec, public; begin; drop table dec.customers; copy customers (ssn) to stdout; rollback",
    "set search_path = dec, public; begin; drop table dec.customers; table customers; rollback",
    "set search_path = dec, public; begin; drop table dec.customers; delete from customers where ssn like '078%'; rollback",
    "set search_path = dec, public; begin; drop table dec.customers; create table x as select ssn from customers; table x; rollback",
    "set search_path = dec, public; begin; select drops(); select ssn || '' from customers order by id; rollback",
    "set search_path = public, dec; begin; alter table dec.g drop column ssn; delete from customers where exists (select from g where ssn like '078%'); rollback",
    "set search_path = public, dec; begin; alter table dec.g drop column ssn\\; delete from customers where exists (select from g where ssn like '078%'); rollback",
    "set search_path = dec, public; prepare q as select ssn || '' from customers order by id; begin; drop table dec.customers; execute q; rollback; deallocate q",
    "set search_path = dec, public; prepare d as delete from customers where ssn like '078%'; begin; drop table dec.customers; execute d; rollback; deallocate d",
    "create table dec.staff(id int, ssn text); set search_path = dec, public; prepare q as select ssn || '' from staff order by id; drop table dec.staff; execute q; deallocate q",
    "create table dec.staff(id int, ssn text); set search_path = dec, public; prepare d as delete from staff where ssn like 's1%'; drop table dec.staff; begin; execute d; rollback; deallocate d",
    "set search_path = dec; prepare q as select count(*) from customers where ssn like '078%'\\; set work_mem = '4MB'; set search_path = public; execute q; deallocate q",
    "set search_path = public; select set_config('search_path', 'publicx,dec'::dec.\"varchar\", false); begin; delete from customers where ssn like '078%' returning id; rollback",
    "select set_config('search_path', U&'\\2003dec,public', false); begin; delete from customers where ssn like '078%' returning id; rollback",
    "begin; create temp table pg_stats(x int); rollback; select histogram_bounds::text, most_common_vals::text from pg_stats where tablename = 'customers' and attname = 'ssn'",
    // Bodies.
    "set search_path = dec; create function dec.h() returns text language sql as $$ select 'x'::text $$; create table dec.mine(n int, x text default dec.h()); create or replace function dec.h() returns text language sql as $$ select ssn from customers order by id limit 1 $$; set search_path = public; insert into dec.mine(n) values (1) returning x; drop table dec.mine; drop function dec.h()",
    "set search_path = public, dec; set check_function_bodies = off; create function dec.w() returns text language sql as $$ select lower(1) $$; select dec.w(); drop function dec.w()",
];

/// Sessions that tell nothing: answered as without a gateway.
const NEIGHBOURS: &[&str] = &[
    "set search_path = dec, public; select ssn, name from customers order by id",
    "set search_path = dec, public; select customers.id, dec.customers.ssn, c.ssn from customers, customers c order by 1, 3",
    "set search_path = dec, public; table customers",
    "set search_path = dec, public; select ssn from only customers order by 1; select ssn from only (customers) x order by 1",
    "set search_path = dec, public; copy customers to stdout; copy customers (ssn, id) to stdout (format csv)",
    "set search_path = dec, public; explain (costs off) select id from customers where ssn = 'd1'",
    "set search_path = dec, public; prepare q as select ssn from customers where id = $1; execute q(2); deallocate q",
    "set search_path = dec, public; select nothing from customers",
    "set search_path = dec, public; with customers as (select 1 as id) select id from customers",
    "set search_path = dec, public; begin; insert into dec.customers values (9, 'x', 'y') returning ssn; rollback",
    "set search_path = dec; begin; insert into dec.customers values (9, 'x', 'y') returning ssn; update dec.customers set ssn = 'z' where ssn = 'd1' returning *; delete from dec.customers; rollback",
    "set search_path = dec; prepare d as update dec.customers set name = $1 where ssn = 'd1' returning *; begin; execute d('n'); rollback; deallocate d",
    "begin; savepoint a; set local search_path = dec; rollback to a; select count(*) from orders; commit",
    "begin; set local search_path = dec; savepoint a; set search_path = public; release a; select count(*) from orders; commit; select count(*) from orders",
    "begin; create temp table t (customer int); insert into t select customer from orders; create index on t (customer); select tax(1), count(*) from t; drop table t; rollback",
    "begin; create temp table t as select id from orders; select tax(2); create temp view v as select * from t; select count(*) from v; rollback",
    "begin; create table t (id int); insert into t select id from customers; update customers set name = 'x' where id = 1 returning id, name; rollback",
    "set role alice; select ssn from customers; reset all; select ssn from customers; reset role; select count(*) from orders",
    "create function dec.twice(n int) returns int language sql as $$ select n * 2 $$; select dec.twice(2)",
    "create function dec.known() returns bigint language sql as $$ select count(*) from dec.customers $$; select dec.known()",
    "set search_path = dec; discard all; select count(*) from orders",
];

fn made() -> (crate::common::World, String) {
    let w = world();
    let user = w.postgres.user().to_owned();
    w.postgres.exec(&format!("set role {user};\n{MADE}")).unwrap();
    w.postgres.exec(&ROLE.replace("to app", &format!("to {user}"))).unwrap();
    let database = w.postgres.query("select current_database()").unwrap();
    (w, database)
}

#[test]
fn names_mean_to_the_gateway_what_they_mean_to_the_server() {
    let (w, database) = made();
    w.postgres.exec("analyze").unwrap();
    let agent = w.token("ci-bot", &["agents"], &[]);
    let reader = w.token("eve", &["pii-readers"], &[]);
    let all = |who: &str| {
        let say = |session: &&str| {
            // A session of its own for each: none is to be left in the state of another.
            let mut psql = Asked::new(w.psql_command(who));
            let answer = psql.says(&session.replace("DATABASE", &format!("\"{}\"", database.trim())));
            w.postgres.exec(DROPPED).unwrap();
            answer
        };
        HOSTILE.iter().map(say).collect::<Vec<_>>()
    };
    let (before, seen_before) = (all(&agent), all(&reader));
    w.postgres.exec(OTHERWISE).unwrap();
    let (after, seen_after) = (all(&agent), all(&reader));
    let (mut told, mut no_test) = (Vec::new(), Vec::new());
    for (n, session) in HOSTILE.iter().enumerate() {
        if before[n] != after[n] || before[n].contains("078-") {
            told.push(format!("{session}\n{}\n{}", before[n], after[n]));
        }
        // Who may see it is told, or the session would be no test.
        if seen_before[n] == seen_after[n] {
            no_test.push(format!("{session}\n{}", seen_before[n]));
        }
    }
    assert!(told.is_empty(), "{} tell:\n{}", told.len(), told.join("\n\n"));
    assert!(no_test.is_empty(), "{} tell nobody:\n{}", no_test.len(), no_test.join("\n\n"));
}

#[test]
fn neighbours_of_such_sessions_pass_as_they_are() {
    let (w, _) = made();
    let token = w.token("ci-bot", &["agents"], &[]);
    for session in NEIGHBOURS {
        let mut direct = std::process::Command::new("psql");
        direct.args(["-X", "-A", "-t"]).envs(w.postgres.client_env());
        let answer = Asked::new(w.psql_command(&token)).says(session);
        w.postgres.exec(DROPPED).unwrap();
        assert_eq!(answer, Asked::new(direct).says(session), "{session}");
        w.postgres.exec(DROPPED).unwrap();
    }
}

#[test]
fn a_name_that_may_mean_a_hidden_table_has_to_be_written_with_its_schema() {
    let (w, _) = made();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    agent.says("set search_path = dec, public");
    for bare in [
        "insert into customers values (9, 'x', 'y')",
        "update customers set name = 'x'",
        "create view dec.v as select id from customers",
        "create function dec.f() returns text language sql as 'select ssn from customers'",
    ] {
        let answer = agent.says(bare);
        assert!(
            answer.contains("refused: `customers` without its schema may mean `public.customers`"),
            "{bare}: {answer}"
        );
        let with_it = bare.replace("customers", "dec.customers");
        let answer = agent.says(&format!("begin; {with_it}; rollback"));
        // What psql says of the error before is not its answer.
        assert!(
            answer.contains("\n00000 ") && !answer.split("\n00000 ").next().unwrap().contains("refused"),
            "{with_it}: {answer}"
        );
    }
    let temporary = agent.says("create temp table pg_stats(x int)");
    assert!(temporary.contains("would stand in the way of what the server itself has"), "{temporary}");
}

/// A procedure may end the transaction that a pipeline holds together: what was set in it is not what the gateway takes it for.
#[test]
fn a_pipeline_does_not_lose_what_was_set_in_it() {
    let (w, _) = made();
    let token = w.token("ci-bot", &["agents"], &[]);
    for (procedure, before, within) in [("undoing", "public", "dec"), ("committing", "dec", "public")] {
        let mut wire = Wire::new(&w, &token);
        let call = format!("call public.{procedure}()");
        assert_eq!(wire.ask(&[(format!("set search_path = {before}"), How::Simple)])[0].error, None);
        let said = wire.pipelined(&[&format!("set search_path = {within}"), &call, "select 1/0"]);
        assert!(said.error.as_ref().is_some_and(|e| e.contains("CALL refused")), "{procedure}: {said:?}");
        let update = "update customers set name = name where id = 1 returning ssn || ''";
        let said = wire.ask(&[(update.to_owned(), How::RolledBack)]);
        assert!(!format!("{said:?}").contains("078-"), "{procedure}: {said:?}");
        // Neighbours: by itself, and where nothing was set.
        let mut wire = Wire::new(&w, &token);
        assert_eq!(wire.pipelined(&["select 1", &call, "select 2"]).error, None, "{procedure}");
        assert_eq!(wire.ask(&[(call.clone(), How::Simple)])[0].error, None, "{procedure}");
    }
}
