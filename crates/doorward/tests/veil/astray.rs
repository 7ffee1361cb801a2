//! Code of others runs over hidden values: triggers, constraints, views. What it calls stays what its makers meant, and so does what
//! its names mean, whatever somebody makes, drops or sets who may not see the values.
use crate::veiled::{Asked, world, world_of};
use doorward_testkit::PostgresRelease;

/// What others have made.
const MADE: &str = "
create table plain(id int, t text);
create table audit_log(id int, ssn text); comment on column audit_log.ssn is 'doorward: pii';
create table audited(id int primary key, name text, ssn text); comment on column audited.ssn is 'doorward: pii';
insert into audited values (1, 'one', '078-05-1121'), (2, 'two', '078-05-1122');
create function audits() returns trigger language plpgsql as
  'begin insert into audit_log values (old.id, upper(old.ssn)); return new; end';
create trigger audits before update on audited for each row execute function audits();
create function log_it(t text) returns void language plpgsql as 'begin perform t; end';
create function helps() returns trigger language plpgsql as 'begin perform log_it(old.ssn); return new; end';
create table helped(id int primary key, name text, ssn text); comment on column helped.ssn is 'doorward: pii';
insert into helped values (1, 'one', '078-05-1123');
create trigger helps before update on helped for each row execute function helps();
create table unaudited(id int primary key, name text); insert into unaudited values (1, 'one');
create function tax(n int) returns int language sql as 'select n * 2';
create function valid(t text) returns boolean language sql as $$select t <> 'x'$$;
create table guarded(id int primary key, name text, ssn text check (valid(ssn))); comment on column guarded.ssn is 'doorward: pii';
insert into guarded values (1, 'one', '078-05-1124');
create function visible(t text) returns boolean language plpgsql as 'begin return true; end';
create view vis as select id from audited where visible(ssn);
create function of_index(t text) returns text language plpgsql immutable as 'begin return md5(t); end';
create table indexed(id int primary key, name text, ssn text); comment on column indexed.ssn is 'doorward: pii';
create index on indexed (of_index(ssn)); insert into indexed values (1, 'one', '078-05-1125');
create domain valued as text check (valid(value));
create procedure proceeds() language plpgsql as 'begin null; end';
create aggregate longest(text) (sfunc = textcat, stype = text);
create schema theirs; create table theirs.audit_log(id int, x text); create table theirs.plain(id int, t text);
create function theirs.log_it(t text) returns void language sql as 'insert into public.plain values (9, t)';
create function theirs.upper(t text) returns text language sql as 'insert into public.plain values (9, t); select t';
create function of_view(t text) returns text language plpgsql as 'begin perform log_it(t); return t; end';
create view by_code as select id, of_view(ssn) as ssn from audited;
create view over_audited as select id, name, ssn from audited;
create table parted(id int, name text, ssn text) partition by range (id); comment on column parted.ssn is 'doorward: pii';
create table part partition of parted for values from (0) to (9); insert into parted values (1, 'one', '078-05-1126');
create trigger helps before update on part for each row execute function helps();
create function has_path() returns trigger language plpgsql set search_path = public as
  'begin perform log_it(old.ssn); return new; end';
create table pathed(id int primary key, name text, ssn text); comment on column pathed.ssn is 'doorward: pii';
insert into pathed values (1, 'one', '078-05-1127');
create trigger has_path before update on pathed for each row execute function has_path();
create schema mine; create table mine.later(id int, x text);
";

/// Each in a session of its own, rolled back at its end: with a value for who may see it.
const HOSTILE: &[&str] = &[
    "create temp table audit_log(id int, ssn text); update audited set name = 'x' where id = 1; select * from pg_temp.audit_log",
    "create temp table \"audit_log\" as select 1 as id, ''::text as ssn; update audited set name = 'x' where id = 1; select * from pg_temp.audit_log",
    "select 1 as id, ''::text as ssn into temp audit_log; update audited set name = 'x' where id = 1; select * from pg_temp.audit_log",
    "create temp table t(id int, ssn text); alter table t rename to audit_log; update audited set name = 'x' where id = 1; select * from pg_temp.audit_log",
    "create temp view audit_log as select id, t as ssn from plain; update audited set name = 'x' where id = 1; select * from plain",
    "drop table audit_log; create table audit_log(id int, x text); update audited set name = 'x' where id = 1; select x from public.audit_log",
    "alter table audit_log rename to old; create table audit_log(id int, x text); update audited set name = 'x' where id = 1; select x from public.audit_log",
    "create table mine.audit_log(id int, x text); set search_path = mine, public; update audited set name = 'x' where id = 1; select x from mine.audit_log",
    "alter table mine.later rename to audit_log; set search_path = mine, public; update audited set name = 'x' where id = 1; select x from mine.audit_log",
    // Other code in the place of a function.
    "create or replace function valid(t text) returns boolean language sql as $$ insert into plain values (9, t); select true $$; update guarded set name = 'x' where id = 1; select * from plain",
    "create or replace function visible(t text) returns boolean language plpgsql as $$ begin insert into plain values (9, t); return true; end $$; select * from vis; select * from plain",
    "create or replace function visible(t text) returns boolean language sql as $$ insert into plain values (9, t); select true $$; select * from vis; select * from plain",
    "alter function log_it(text) rename to old_one; create function log_it(t text) returns void language sql as $$ insert into plain values (9, t) $$; update helped set name = 'x' where id = 1; select * from plain",
    "alter function log_it(text) set schema mine; create function log_it(t text) returns void language sql as $$ insert into plain values (9, t) $$; update helped set name = 'x' where id = 1; select * from plain",
    "drop function log_it(text); create function log_it(t text) returns void language sql as $$ insert into plain values (9, t) $$; update helped set name = 'x' where id = 1; select * from plain",
    "create function log_it(t varchar) returns void language sql as $$ insert into plain values (9, t) $$; drop function log_it(text); update helped set name = 'x' where id = 1; select * from plain",
    "create function mine.log_it(t text) returns void language sql as $$ insert into public.plain values (9, t) $$; set search_path = mine, public; update helped set name = 'x' where id = 1; select * from plain",
    "create function mine.upper(t text) returns text language sql as $$ insert into public.plain values (9, t); select t $$; set search_path = mine, pg_catalog, public; update audited set name = 'x' where id = 1; select * from public.plain",
    "create table mine.audit_log (id int, x text); alter function audits() set search_path = mine; update audited set name = 'x' where id = 1; select x from mine.audit_log",
    "create function made(t text) returns void language sql as $$ insert into public.plain values (9, t) $$; alter function made(text) set schema mine; alter function mine.made(text) rename to log_it; set search_path = mine, public; update helped set name = 'x' where id = 1; select * from plain",
    // What there is of the same names elsewhere.
    "set search_path = theirs, public; update audited set name = 'x' where id = 1; select x from theirs.audit_log",
    "set search_path = theirs, public; update over_audited set name = 'x' where id = 1; select x from theirs.audit_log",
    "set search_path = theirs, public; update parted set name = 'x' where id = 1; select * from public.plain",
    "set local search_path = theirs; update public.helped set name = 'x' where id = 1; select * from public.plain",
    "set search_path = theirs, pg_catalog, public; update public.audited set name = 'x' where id = 1; select * from public.plain",
    "set search_path = theirs, public; select id from (select * from by_code offset 0) x where ssn <> ''; select * from public.plain",
    "select set_config('search_path', 'theirs, public', false); update helped set name = 'x' where id = 1; select * from public.plain",
    "prepare u as update helped set name = 'x' where id = 1; set search_path = theirs, public; execute u; select * from public.plain",
];

/// What is answered as without a gateway.
const NEIGHBOURS: &[&str] = &[
    "create temp table mine_alone(id int); insert into mine_alone values (42); select * from mine_alone",
    "create table nobodys(id int, name text); alter table nobodys rename to others; insert into others values (1, 'x'); select * from others; drop table others",
    "update audited set name = 'y' where id = 1 returning id, name",
    "update helped set name = 'y' where id = 1 returning id",
    "alter table plain add column more int; alter table mine.later set schema public; select * from later",
    "create temp table orders(id int); insert into orders values (42); select count(*) > 0 from orders; drop table orders",
    "create schema empty; drop schema empty",
    "set search_path = mine, public; update audited set name = 'z' where id = 1; select id, name from audited",
    "set search_path = theirs, public; update unaudited set name = 'z' where id = 1; select * from unaudited",
    "set search_path = theirs, public; update pathed set name = 'z' where id = 1; select id, name from pathed",
    "set search_path = theirs, public; select id, name from audited; select id, name from over_audited",
    "create function thrice(n int) returns int language sql as 'select n * 3'; create or replace function thrice(n int) returns int language sql as 'select n + n + n'; alter function thrice(int) immutable; drop function thrice(int)",
    "comment on function tax(int) is 'of a number'; create aggregate all_of(int) (sfunc = array_append, stype = int[])",
    "drop function if exists none_of_that_name(int)",
    "create type mood as enum ('a'); alter type mood rename to temper; drop type temper",
];

fn try_all(w: &crate::common::World) {
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
    let ask = |who: &str, session: &str| Asked::new(w.psql_command(who)).says(&format!("begin; {session}; rollback"));
    let (mut open, mut no_test) = (Vec::new(), Vec::new());
    for session in HOSTILE {
        let answer = ask(&agent, session);
        // What comes after a refusal fails.
        let is_refused = answer.contains(" refused: ") || answer.contains("transaction is aborted");
        if answer.contains("078-") || !is_refused {
            open.push(format!("{session}\n{answer}"));
        }
        let seen = ask(&reader, session);
        if !seen.contains("078-") {
            no_test.push(format!("{session}\n{seen}"));
        }
    }
    assert!(open.is_empty() && no_test.is_empty(), "open:\n{}\nno test:\n{}", open.join("\n"), no_test.join("\n"));
    for session in NEIGHBOURS {
        let mut direct = std::process::Command::new("psql");
        direct.args(["-X", "-A", "-t"]).envs(w.postgres.client_env());
        let direct = Asked::new(direct).says(&format!("begin; {session}; rollback"));
        assert_eq!(ask(&agent, session), direct, "{session}");
    }
}

#[test]
fn code_of_others_is_not_led_astray() {
    try_all(&world());
}

#[test]
fn nor_at_the_newest_server() {
    try_all(&world_of(PostgresRelease::Npm18));
}

#[test]
fn what_would_lead_it_astray_is_refused() {
    let w = world();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    let (agent, reader) = (w.token("ci-bot", &["agents"], &[]), w.token("eve", &["pii-readers"], &[]));
    for way in [
        "create temp table audit_log(id int, ssn text)",
        "create table mine.audit_log(id int, ssn text)",
        "create view mine.audit_log as select id, t as ssn from plain",
        "drop table audit_log",
        "alter table plain rename to audit_log",
        "alter table audit_log rename to old",
        "alter table audit_log set schema mine",
        "alter function tax(int) rename to log_it",
        "create domain mine.audit_log as text",
        "create type mine.audit_log as (a text)",
        "drop schema public cascade",
        "drop owned by current_user",
        "alter domain valued drop constraint valued_check",
        "create or replace function tax(n int) returns int language sql as 'select n'",
        "create function tax(n bigint) returns bigint language sql as 'select n'",
        "create function mine.helps() returns int language sql as 'select 1'",
        "create procedure mine.perform() language sql as 'select 1'",
        "create or replace procedure proceeds() language sql as 'select 1'",
        "create or replace aggregate longest(text) (sfunc = textcat, stype = text, initcond = 'x')",
        "alter function tax(int) immutable",
        "alter function audits() set search_path = mine",
        "alter routine tax(int) reset all",
        "create or replace function of_index(t text) returns text language sql immutable as 'select t'",
        "drop function tax",
        "drop aggregate longest(text)",
        // A temporary relation of a hidden one's name.
        "create temp table customers(id int)",
        "create table pg_temp.customers(id int)",
        "create temp view customers as select 1 as id",
        "create temp table customers as select 1 as id",
        "select 1 as id into temp customers",
        "create temp sequence customers",
        "create temp table t(id int); alter table t rename to customers",
    ] {
        let ask = |who: &str| Asked::new(w.psql_command(who)).says(&format!("begin; {way}; rollback"));
        let answer = ask(&agent);
        assert!(answer.contains(" refused: "), "{way}: {answer}");
        let answer = ask(&reader);
        assert!(!answer.contains(" refused: "), "{way}: {answer}");
    }
}
