//! Other ways out than queries: each is closed to somebody who may not see everything, open to who may, and its innocent
//! neighbours pass.
use crate::veiled::{Asked, world};

/// What a database has that others have made.
const MADE: &str = "
create function reads() returns text language sql stable as 'select max(ssn) from customers';
create function reads_atomic() returns text language sql stable begin atomic select max(ssn) from public.customers; end;
create function reads_of(text) returns text language sql stable as 'select max(ssn) from customers where ssn > $1';
create function defaulted(a text default reads_of('0')) returns text language plpgsql stable as 'begin return a; end';
create procedure defaulted_too(inout a text default reads_of('0')) language plpgsql as 'begin a := a; end';
create function notes(id int) returns int language sql immutable as 'select id * 2';
create function reads_deep() returns text language plpgsql stable as 'begin return reads(); end';
create function reads_loop() returns text language plpgsql stable security definer as
  'declare r text; begin for r in select ssn from customers loop return r; end loop; end';
create function runs(q text) returns text language plpgsql as 'declare r text; begin execute q into r; return r; end';
create function stats() returns text language sql as 'select max(most_common_vals::text) from pg_stats';
create function size() returns bigint language sql as $$ select pg_table_size('customers') $$;
create function asks(text, text) returns text language plpgsql as 'begin return coalesce($1, reads()); end';
create aggregate gathers(text) (sfunc = asks, stype = text);
create function \"Odd f\"() returns bigint language plpgsql as 'begin return (select count(*) from other.\"Odd t\" where ssn = ''same''); end';
create function \"merge_action\"() returns text language sql stable as 'select max(ssn) from customers';
create function \"json_value\"(text, text) returns text language sql stable as 'select max(ssn) from customers';
create function \"json_object\"(a text, b int) returns text language sql stable as 'select max(ssn) from customers';
create function fetches(c refcursor) returns text language plpgsql as 'declare r text; begin fetch next from c into r; return r; end';
create function fetches_too(c refcursor) returns text language plpgsql as $$declare r text; begin -- the cursor has to be open
  fetch next from c into r; return r; end$$;
create function fetches_other(c refcursor) returns text language plpgsql as
  'declare o cursor for select 1; r text; begin open o; fetch c into r; close o; return r; end';
create function fetches_if(c refcursor, again boolean) returns text language plpgsql as
  'declare r text; begin if again then open c for select contact from orders; end if; fetch next from c into r; return r; end';
create function fetches_said(c refcursor) returns text language plpgsql as
  $$declare r text; begin raise notice 'c cursor for, open c'; fetch next from c into r; return r; end$$;
create function fetches_set(t text) returns text language plpgsql as
  'declare c cursor for select 1; r text; begin c := t; fetch next from c into r; return r; end';
create function fetches_own() returns int language plpgsql as
  'declare c cursor for select id from orders order by id; r int; begin open c; fetch c into r; fetch next from c into r; close c;
   select id into r from orders order by id fetch first 1 rows only; return r; end';
create procedure proceeds() language plpgsql as 'begin perform reads(); end';
create view by_function as select reads() as r;
create view by_view as select * from by_function;
create view by_statistics as select tablename, most_common_vals::text from pg_stats;
create function tax(n int) returns int language sql immutable as 'select n * 2';
create function tax_words(n int) returns int language plpgsql as 'declare x int := n; begin return x * 2; end';
create function names() returns bigint language sql stable as 'select count(*) from orders';
create function adds(text, text) returns text language sql immutable as 'select coalesce($1, '''') || $2';
create aggregate joined(text) (sfunc = adds, stype = text, initcond = '');
create view named as select id, name from customers;
create type spans as range (subtype = float8);
create view by_default as select id, defaulted() as d from orders;
create view taxed as select id, tax(id) as taxed from orders;
create index by_ssn on customers (ssn);
create table notes(id int primary key, note text);
create unique index on customers (email);
create domain numbered as text;
create table kept_apart(id int, ssn numbered) partition by list (ssn); create table kept_other partition of kept_apart default;
create type addressed as (id int, ssn text); create table typed of addressed;
create server elsewhere foreign data wrapper postgres_fdw;
create foreign table far_orders(id int, contact text) server elsewhere options (table_name 'orders');
create view settings_seen as select name, setting from pg_settings;
create view settings_seen_again as select * from settings_seen;
create table shaped(id int primary key, j jsonb, parts text[], n int); insert into shaped values (1, '{\"a\": {}}', '{a,b}', 1);
create table halved(id int primary key, half text, twice text generated always as (half || half) stored); create index on halved (twice);
insert into halved values (1, 'a');
create table parents(id int primary key); insert into parents select generate_series(1, 9);
create table children(id int primary key, salary int references parents);
insert into children select id, id from parents;
create function differs(text, text) returns float8 language sql immutable as 'select (''x'' || max(ssn))::float8 from customers';
create function sets_constraints() returns text language plpgsql as
  $$begin set constraints all immediate; return 'ok'; exception when others then return sqlerrm; end$$;
create function told() returns text language sql as 'select max(query) from pg_stat_activity';
create function fails() returns text language plpgsql as $$declare d text; begin
  update named set id = null; exception when others then get stacked diagnostics d = pg_exception_detail; return d; end$$;
create function fails_plainly() returns text language plpgsql as
  $$begin update named set id = null; return 'ok'; exception when others then return 'no'; end$$;
create function fails_by(n int) returns text language plpgsql as
  $$begin insert into parents values (n); return 'ok'; exception when unique_violation then return 'no'; end$$;
create table inherited(id int not null); create table inheriting(ssn text) inherits (inherited); insert into inheriting values (1, '078-05-1121');
create function fails_below() returns text language plpgsql as
  $$begin update inherited set id = null; return 'ok'; exception when others then return 'no'; end$$;
create materialized view named_once as select id, name from customers;
create view named_orders as select id, contact from orders;
create table guarded(id int); create unique index on orders (contact);
";

/// What would tell.
const WAYS: &[&str] = &[
    // Functions that are called as fields.
    "select ('0'::text).reads_of",
    "select (('select array_to_tsvector(array[ssn]) from customers'::text).ts_stat).word",
    "select f.reads_of from unnest(array['0'::text]) f",
    "select t.ts_stat from unnest(array['select to_tsvector(''simple'', ssn) from customers'::text]) t",
    "select id, (contact).reads_of from orders",
    // What stands in FROM without a name of its own has that of its kind, or of its type.
    "select \"coalesce\".reads_of from coalesce('0'::text) where exists (select 1 from parents \"coalesce\")",
    "select \"coalesce\".ts_stat from coalesce('select array_to_tsvector(array[ssn]) from customers'::text) where exists (select 1 from parents \"coalesce\")",
    "select \"text\".reads_of from cast('0' as text) where exists (select 1 from parents \"text\")",
    "select \"nullif\".reads_of from nullif('0'::text, '1') where exists (select 1 from parents \"nullif\")",
    // A view over settings sets them.
    "begin; create view of_settings as select name, setting from pg_settings; rollback",
    "begin; create temp view of_settings as select name, setting from public.settings_seen; rollback",
    "begin; create schema of_settings create view v as select name, setting from pg_settings; rollback",
    "begin; update settings_seen set setting = 'off' where name = 'jit'; rollback",
    "begin; update settings_seen_again set setting = 'off' where name = 'jit'; rollback",
    "begin; update pg_settings set setting = 'off' where name = 'jit'; rollback",
    "begin; merge into settings_seen s using parents p on s.name = 'jit' and p.id = 1 when matched then update set setting = 'off'; rollback",
    "begin; alter view settings_seen rename to seen; rollback",
    "begin; alter view settings_seen set schema other; rollback",
    "begin; create table ruled (name text, setting text); create rule \"_RETURN\" as on select to ruled do instead select name, setting from pg_settings; rollback",
    "begin; create table public.pg_settings (name text, setting text); update public.pg_settings set setting = 'x'; rollback",
    "prepare told as select query from pg_stat_activity; create temp table telling as execute told",
    "prepare told_too as select query from pg_stat_activity; explain (analyze, costs off) create temp table telling_too as execute told_too",
    // Functions and names that types bring, names that mean others, and what inherits.
    "begin; create type rr as range (subtype = text, subtype_diff = differs); rollback",
    "begin; create table other.customers (id int); rollback",
    "begin; create view nobody as select * from parents; update nobody set id = 103 where id = 3; rollback",
    "begin; alter table parents rename to nobody; update nobody set id = 103 where id = 3; rollback",
    "create temp table at_first (id int); begin; update at_first set id = 103 where id = 3; rollback; drop table at_first; create temp view at_first as select * from parents; begin; update at_first set id = 103 where id = 3; rollback",
    "create temp view own_parents as select * from parents; begin; update own_parents set id = 103 where id = 3; rollback",
    "begin; comment on table notes is 'x'\\; alter view named rename to nobody; rollback",
    "begin; create aggregate gathers_too(text) (sfunc = asks, stype = text); rollback",
    "begin; create aggregate stddev_pop(text) (sfunc = ts_rewrite, stype = tsquery, initcond = 'a'); rollback",
    "select id, ctid from inherited",
    "explain select id from inherited",
    "analyze verbose inherited",
    "select sets_constraints()",
    "begin; create table renamed (id int); alter table renamed rename to customers; rollback",
    "begin; drop table customers cascade; rollback",
    "begin; create function btrim(varchar) returns text language sql as 'select $1::text'; rollback",
    "begin; alter table inherited add column ssn text; rollback",
    "begin; alter table inherited alter column id type bigint using case when id = 1 then 5 else id end; rollback",
    // What reads something hidden, whatever it shows, goes by the name that is known; nothing else shows what tells.
    "begin; alter view named rename to nobody; rollback",
    "begin; alter table named rename to nobody; rollback",
    "begin; alter view named set schema other; rollback",
    "begin; alter materialized view named_once rename to nobody; rollback",
    "begin; create view nobody as select * from named; rollback",
    "create temp view nobody as select id, name from named",
    "begin; create schema nobody create view v as select id from public.named; rollback",
    "begin; create rule r as on insert to notes do also update named set id = null; rollback",
    "begin; create view nobody as select query from pg_stat_activity; rollback",
    "create temp view nobody as select 1 from pg_stat_activity where query like '%078%'",
    "begin; create rule r as on insert to notes do also select query from pg_stat_activity; rollback",
    "select told()",
    "select fails()",
    "select fails_plainly()",
    "select fails_below()",
    // What is computed of a hidden column is stored anew where that changes.
    "begin; update halved set half = 'x' where id = 1; rollback",
    // A part of a hidden value fails by the rest of it.
    "begin; update shaped set j['a']['b'] = '1' where id = 1; rollback",
    "begin; update shaped set parts[1] = 'x' where id = 1; rollback",
    "begin; update shaped set parts[:] = '{a,b}' where id = 1; rollback",
    "begin; insert into shaped values (1) on conflict (id) do update set j['a']['b'] = '1'; rollback",
    "begin; merge into shaped s using parents p on s.id = p.id when matched then update set j['a']['b'] = '1'; rollback",
    "select (o.contact).defaulted from orders o",
    "prepare dotted as select ($1::text).reads_of",
    "copy (select ('0'::text).reads_of) to stdout",
    "begin; update orders set contact = ('0'::text).reads_of where id = 1; rollback",
    "begin; create function q9(a text) returns text language sql stable as 'select a.reads_of'; rollback",
    "select ('customers'::regclass).pg_table_size",
    "select (array['0'::text])[1].reads_of",
    // What stands for arguments that are not given.
    "select defaulted()",
    "call defaulted_too()",
    "select d from by_default",
    // Which rows something has come upon.
    "begin isolation level serializable; rollback",
    "begin; set transaction isolation level serializable; rollback",
    "set session characteristics as transaction isolation level serializable, read only",
    "set default_transaction_isolation = 'serializable'",
    "begin; select set_config('transaction_isolation', 'SERIALIZABLE', true); rollback",
    "select set_config('default_transaction_isolation', 'serial' || 'izable', false)",
    "begin; declare c cursor for select 1 from customers; delete from customers where current of c returning id; rollback",
    // What is set is looked for where it refers to only if it is another.
    "begin; update children set salary = 2 where id = 1; rollback",
    "begin; insert into children (id, salary) values (1, 2) on conflict (id) do update set salary = excluded.salary; rollback",
    // What the server knows of values.
    "select most_common_vals from pg_stats where tablename = 'customers'",
    "select count(*) from pg_catalog.pg_stats where attname = 'ssn' and null_frac > 0",
    "select stavalues1 from pg_statistic",
    "select * from pg_stats_ext",
    "select * from pg_stats_ext_exprs",
    "select * from pg_statistic_ext_data",
    "select heap_blks_read from pg_statio_user_tables",
    "select * from pg_stat_progress_vacuum",
    "select * from pg_stat_wal",
    "select sum(used_bytes) from pg_backend_memory_contexts",
    "select * from pg_replication_origin_status",
    "select loid, data from pg_largeobject",
    "select * from by_statistics",
    "select * from pg_mcv_list_items(null)",
    // What would be taken for the server's own.
    "begin; create function information_schema.shows() returns text language plpgsql as 'begin return (select max(ssn) from customers); end'; rollback",
    "begin; create function pg_catalog.abs(text) returns text language plpgsql as 'begin return (select max(ssn) from customers); end'; rollback",
    "begin; alter function names() set schema information_schema; rollback",
    // What others are made of.
    "begin; alter type addressed rename attribute ssn to plain cascade; rollback",
    "begin; alter type addressed alter attribute ssn type varchar(20) cascade; rollback",
    "begin; alter type addressed add attribute more int cascade; rollback",
    "begin; alter foreign table far_orders options (set table_name 'customers'); rollback",
    "begin; alter foreign table far_orders alter contact options (add column_name 'ssn'); rollback",
    "select attrelid::regclass, attname from pg_attribute where attmissingval::text like '%078%'",
    "select pg_stat_get_live_tuples('customers'::regclass), pg_stat_get_xact_tuples_inserted('customers'::regclass)",
    "select n_tup_del from pg_stat_xact_all_tables where schemaname = 'pg_toast' and n_tup_del > 0",
    // How much room values take.
    "select pg_table_size('customers')",
    "select pg_size_pretty(pg_catalog.pg_total_relation_size('customers'))",
    "prepare sizes as select pg_relation_size('customers')",
    "select relname from pg_class where relpages > 1",
    "select relpages + 1 from pg_class limit 1",
    "select count(*) from pg_class c where c::text like '%x%'",
    "select relname from pg_stat_user_tables order by n_tup_hot_upd",
    "select relname from pg_stat_user_indexes where idx_tup_read > 3",
    "select relname from pg_stat_user_tables order by n_dead_tup + idx_tup_fetch",
    "select 1 from pg_stat_database where tup_deleted > 100",
    "select pg_stat_get_db_tuples_fetched(oid) from pg_database limit 1",
    "select pid from pg_stat_activity where query like '%078%'",
    "explain select id from customers",
    "explain (analyze, timing off, costs off) select id from customers",
    "explain (format json) select id from customers",
    "explain (costs off, costs on) select id from customers",
    "explain (analyze, costs off, timing off, buffers off, wal) select id from customers",
    "explain (analyze, costs off, buffers off, timing off, summary off) select id from customers where id = 1",
    "explain select id from named",
    "explain (analyze, costs off, buffers off, timing off, summary off) select id from named",
    "vacuum (verbose) customers",
    "analyze verbose customers",
    "select id from customers tablesample system (50) repeatable (1)",
    "select id from customers tablesample bernoulli (50) repeatable (1) order by id",
    "select currtid2('customers', '(0,1)')",
    "select pg_stat_get_backend_activity(1)",
    "explain (costs off) select pg_table_size('customers')",
    "copy (select reads()) to stdout",
    "select * from rows from (reads(), generate_series(1, 2))",
    "create table t as select reads() as r",
    "values (reads())",
    "select pg_current_wal_lsn()",
    "select stats()",
    "select size()",
    // Functions that run texts, or read elsewhere.
    "select query_to_xml('select ssn from customers', false, false, '')",
    "select table_to_xml('customers', false, false, '')",
    "select schema_to_xml('public', false, false, '')",
    "select database_to_xml(false, false, '')",
    "begin; declare c cursor for select 1; select cursor_to_xml('c', 1, false, false, ''); rollback",
    "select * from ts_stat('select to_tsvector(ssn) from customers')",
    "select ts_rewrite('a'::tsquery, 'select ssn::tsquery, ssn::tsquery from customers')",
    "select pg_read_file('postgresql.conf')",
    "select pg_ls_dir('base')",
    "select * from pg_ls_waldir()",
    "select lo_get(1)",
    "select lo_import('/etc/hostname')",
    "select lo_export(1, '/tmp/doorward-x')",
    "select loread(0, 1)",
    "select * from pg_logical_slot_peek_changes('none', null, null)",
    "select pg_create_logical_replication_slot('none', 'none')",
    "copy notes from program 'echo 1'",
    "copy notes to program 'cat'",
    "copy notes from '/etc/hostname'",
    "copy notes to '/tmp/doorward-x/none'",
    // Code.
    "do $$ begin raise notice '%', (select max(ssn) from customers); end $$",
    "do language plpgsql 'begin perform 1; end'",
    "select reads()",
    "select reads_atomic()",
    // Functions of users to servers before PostgreSQL 16 or 17.
    "select merge_action()",
    "select json_value('1', '$')",
    "select json_object('1', 1)",
    "select reads_deep()",
    "select reads_loop()",
    "select runs('select 1')",
    "begin; declare c cursor for select id from orders; select fetches('c'); rollback",
    "begin; declare c cursor for select id from orders; select fetches_too('c'); rollback",
    "begin; declare c cursor for select id from orders; select fetches_other('c'); rollback",
    "begin; declare c cursor for select id from orders; select fetches_if('c', false); rollback",
    "begin; declare c cursor for select id from orders; select fetches_said('c'); rollback",
    "begin; declare c cursor for select id from orders; select fetches_set('c'); rollback",
    "select gathers(name) from customers",
    "select \"Odd f\"()",
    "call proceeds()",
    "select * from by_function",
    "table by_view",
    "select * from reads()",
    "select count(*) from orders where contact = reads()",
    "select public.reads()",
    "begin; update orders set contact = reads(); rollback",
    "begin; insert into notes values (1, reads()); rollback",
    "begin; create function f() returns text language plpgsql as 'begin return (select max(ssn) from customers); end'; rollback",
    "begin; create function f() returns text language sql as 'select max(ssn) from customers'; rollback",
    "begin; create function f() returns text language sql as $$ select reads() $$; rollback",
    "begin; create function f() returns bigint language sql as $$ select pg_table_size('customers') $$; rollback",
    "begin; create procedure f() language sql as 'update notes set note = (select max(ssn) from customers)'; rollback",
    "load 'auto_explain'",
    "set auto_explain.log_analyze = on",
    "set log_executor_stats = on",
    "set debug_print_plan = on",
    "select set_config('auto_explain.log_min_duration', '0', false)",
    "alter system set work_mem = '4MB'",
    "begin; alter role current_user set session_preload_libraries = 'auto_explain'; rollback",
    "begin; alter role current_user set search_path = public; rollback",
    "begin; alter role current_user reset all; rollback",
    // Made over it, or in its place.
    "begin; create view v as select ssn as s from customers; rollback",
    "begin; create materialized view v as select count(*) from customers where ssn like '078%'; rollback",
    "begin; create temp view v as select id from customers where ssn like '078%'; rollback",
    "begin; create temp table t as select ssn from customers; rollback",
    "begin; create rule r as on insert to notes do also insert into orders select id, id, ssn from customers; rollback",
    "begin; create rule r as on update to customers do also insert into notes values (1, old.ssn); rollback",
    "begin; create trigger t before insert on notes for each row execute function reads(); rollback",
    "begin; create trigger t before update on customers for each row execute function suppress_redundant_updates_trigger(); rollback",
    "begin; create policy p on notes using (id in (select id from customers where ssn like '078%')); rollback",
    "begin; create policy p on customers using (ssn like '078%'); rollback",
    "begin; create statistics s on email, ssn from customers; rollback",
    "begin; create unique index i on customers (ssn); rollback",
    "begin; create index i on customers ((1 / (score - 3))); rollback",
    "begin; alter table customers add check (ssn <> 'same'); rollback",
    "begin; alter table customers alter ssn set not null; rollback",
    "begin; alter table customers alter ssn type int using ssn::int; rollback",
    "begin; alter table customers add column t text generated always as (ssn || '') stored; rollback",
    "begin; alter table customers rename column ssn to plain; rollback",
    "begin; alter table customers rename to plain; rollback",
    "begin; alter table customers set schema other; rollback",
    "begin; alter schema other rename to plain; rollback",
    "begin; alter table people detach partition people_1; rollback",
    "begin; alter table managers no inherit staff; rollback",
    "begin; alter view everyone rename to plain; rollback",
    "begin; update pg_attribute set attname = 'plain' where attname = 'ssn'; rollback",
    "begin; delete from pg_catalog.pg_statistic; rollback",
    "begin; create publication p for table notes; rollback",
    "begin; create subscription s connection 'host=none' publication p with (connect = false); rollback",
    "begin; create extension if not exists plpgsql; rollback",
    "begin; create foreign data wrapper w; rollback",
    "begin; create server s foreign data wrapper none; rollback",
    "begin; create event trigger e on ddl_command_start execute function reads(); rollback",
    "begin; create cast (text as money) with function reads(); rollback",
    "begin; create table c partition of kept_apart for values in ('078-05-1121'); rollback",
    "begin; alter table orders add foreign key (contact) references customers (email); rollback",
    "begin; create table c (e text references customers (email)); rollback",
    "begin; alter domain numbered add check (value <> '078-05-1121'); rollback",
    "begin; alter domain numbered set not null; rollback",
    "cluster customers using by_ssn",
    "cluster",
];

/// What tells nothing.
const NEIGHBOURS: &[&str] = &[
    // Fields that are fields, also where a function has their name.
    "select n.notes, x.notes from (select 1 as notes) n, (values (2)) x(notes)",
    "select p.id, f from parents p, generate_series(1, 2) f order by 1, 2 limit 3",
    "select name, setting from settings_seen where name = 'jit'",
    "begin; create view of_names as select relname from pg_class; select count(*) from of_names where relname = 'orders'; rollback",
    "begin; create view v as select * from named_orders; select count(*) from v; rollback",
    "begin; alter view named_orders rename to nobody; rollback",
    "create temp view own_orders as select * from named_orders; select count(*) from own_orders",
    "create temp table above9 (id int); create temp table below9 (n text) inherits (above9); insert into below9 values (1, 'x'); update below9 set n = 'y'; select * from above9; drop table below9; drop table above9",
    "begin; create table nobody (id int, n text); insert into nobody values (1, 'x'); update nobody set n = 'y' where id = 1; delete from nobody; rollback",
    "begin; comment on view named_orders is 'x'; rollback",
    "begin; create type rr as range (subtype = int, subtype_opclass = int4_ops, multirange_type_name = rrs); rollback",
    "begin; update shaped set j = '{}', parts = '{}', n = 2 where id = 1; rollback",
    "begin; insert into shaped (id, parts[1], j) values (2, 'x', '{}'); rollback",
    "select o.id, (o).contact, (o.id).int8 from orders o order by 1 limit 2",
    "select (3).notes, ('a'::text).upper, f.length from unnest(array['abc'::text]) f",
    "begin isolation level repeatable read; set transaction read only; rollback",
    "set session characteristics as transaction isolation level read committed",
    "reset default_transaction_isolation",
    "begin; create type plain as (a int); alter type plain rename attribute a to b; alter type plain add attribute c text; rollback",
    "begin; select set_config('app.tenant', 'a' || 1, true); select current_setting('app.tenant'); rollback",
    "select relname, seq_scan >= 0 from pg_stat_user_tables where relname = 'orders'",
    "select tax(id), tax_words(id) from orders order by id",
    "select fetches_own()",
    "select fails_by(1)",
    "select names()",
    "select spans(1, id), spans_multirange(spans(1, 2), spans(3, 4, '[]')), '[1,2]'::spans from orders order by id",
    "select tsquery('a & b'), ts_rewrite('a & b', 'a', 'c'), uuid('00000000-0000-0000-0000-000000000000')",
    "select joined(name order by id) from customers",
    "select * from taxed order by id",
    "select relname, relnatts from pg_class where relname = 'customers'",
    "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relname = 'orders' and attnum > 0 order by 2",
    "select count(*) from pg_stat_user_tables where relname = 'customers'",
    "select state from pg_stat_activity where pid = pg_backend_pid()",
    "select stxname from pg_statistic_ext",
    "select table_name, column_name from information_schema.columns where table_schema = 'public' order by 1, 2",
    "explain select id from orders",
    "explain (analyze, costs off, timing off, summary off) select id from orders",
    "explain (costs off) select id from customers where name = 'x'",
    "explain (costs off) select id from contacts",
    "select count(*) from orders tablesample bernoulli (100)",
    "analyze orders",
    "analyze customers",
    "vacuum notes",
    "begin; select pg_advisory_xact_lock(1); rollback",
    "select set_config('work_mem', '4MB', true)",
    "begin; create table t (id int primary key, n text); create index on t (n); insert into t values (1, 'x'); select * from t; rollback",
    "begin; create view v as select id, contact from orders; select count(*) from v; rollback",
    "begin; create temp table t as select id, contact from orders; select count(*) from t; rollback",
    "begin; create function f(n int) returns int language sql as 'select n + 1'; rollback",
    "begin; alter table notes rename column note to n; rollback",
    "begin; comment on table notes is 'x'; rollback",
    "begin; create schema s; rollback",
    "begin; create statistics s on customer, contact from orders; rollback",
    "notify jobs, 'x'",
    "listen jobs",
    "unlisten jobs",
    "set enable_seqscan = on",
    "\\d orders",
    "\\d customers",
    "\\d+ customers",
    "\\dt",
    "\\df tax",
    "\\dn",
    "\\sf tax",
    "begin; create domain d as text check (value <> ''); rollback",
    "begin; comment on column orders.contact is 'x'; rollback",
    "set statement_timeout = '1min'",
    "begin; alter role current_user set work_mem = '4MB'; alter role current_user reset work_mem; rollback",
    "begin; create rule r as on insert to notes do also notify jobs; rollback",
    "begin; create trigger t before update on notes for each row execute function suppress_redundant_updates_trigger(); rollback",
];

/// Functions of extensions: those of the last two read nothing but what they are given.
const OF_EXTENSIONS: &[(&str, &str)] = &[
    ("dblink", "select * from dblink('dbname=postgres', 'select ssn from customers') as t(s text)"),
    ("pg_stat_statements", "select query from pg_stat_statements"),
    ("pageinspect", "select * from heap_page_items(get_raw_page('customers', 0))"),
    ("pgstattuple", "select * from pgstattuple('customers')"),
    ("tablefunc", "select * from crosstab('select 1, ssn, 1 from customers') as t(a int, b text)"),
    ("postgres_fdw", "select * from postgres_fdw_get_connections()"),
    ("amcheck", "select bt_index_check('by_ssn')"),
    ("pg_buffercache", "select count(*) from pg_buffercache"),
    ("pg_freespacemap", "select * from pg_freespace('customers')"),
    ("pg_walinspect", "select * from pg_get_wal_stats('0/1', '0/2')"),
    ("pg_trgm", "select similarity('a', 'b'), show_trgm(name) from customers order by id"),
    ("pgcrypto", "select digest('a', 'sha256'), digest(name, 'md5') from customers order by id"),
];

/// Of a role that is no superuser, and what of the server's extensions there is.
fn made(w: &crate::common::World) {
    let user = w.postgres.user();
    let wrapper = format!("create extension postgres_fdw; grant usage on foreign data wrapper postgres_fdw to {user}");
    w.postgres.exec(&wrapper).unwrap();
    w.postgres.exec(&format!("set role {};\n{MADE}", w.postgres.user())).unwrap();
    w.postgres.exec("analyze").unwrap();
}

#[test]
fn functions_of_extensions() {
    let w = world();
    made(&w);
    let there: Vec<_> = OF_EXTENSIONS
        .iter()
        .filter(|(extension, _)| w.postgres.exec(&format!("create extension {extension}")).is_ok())
        .collect();
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut reader = Asked::new(w.psql_command(&w.token("eve", &["pii-readers"], &[])));
    for (extension, statement) in there {
        let (answer, seen) = (agent.says(statement), reader.says(statement));
        assert!(!seen.contains(" refused: "), "{extension}: {seen}");
        if matches!(*extension, "pg_trgm" | "pgcrypto") {
            // What psql says of the error before is not its answer.
            assert_eq!(answer.split("\n00000").next(), seen.split("\n00000").next(), "{extension}");
            assert!(answer.contains("(8 rows)"), "{extension}: {answer}");
        } else {
            assert!(answer.contains(" refused: "), "{extension}: {answer}");
        }
    }
}

#[test]
fn other_ways_out_are_closed_to_who_may_not_see_everything() {
    let w = world();
    made(&w);
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut reader = Asked::new(w.psql_command(&w.token("eve", &["pii-readers"], &[])));
    let mut trusted = Asked::new(w.psql_command(&w.token("tom", &["trusted"], &[])));
    let is_refused = |answer: &str| answer.contains(" refused: ") && !answer.contains("is not permitted");
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for way in WAYS {
        let answer = agent.says(way);
        if !is_refused(&answer) || answer.contains("078-") {
            open.push(format!("{way}\n{answer}"));
        }
        // Who may see everything may do it, or the statement would be no test.
        let answer = reader.says(way);
        if is_refused(&answer) {
            closed.push(format!("{way}\n{answer}"));
        }
        agent.says("rollback");
        reader.says("rollback");
    }
    assert!(open.is_empty() && closed.is_empty(), "open:\n{}\nclosed:\n{}", open.join("\n"), closed.join("\n"));
    // By name a policy may permit it.
    for way in
        ["select most_common_vals is null from pg_stats", "select reads() is null", "explain select id from customers"]
    {
        let answer = trusted.says(way);
        assert!(!is_refused(&answer), "{way}: {answer}");
    }
    for way in ["do $$ begin perform 1; end $$", "select reads_deep()", "analyze verbose customers"] {
        assert!(is_refused(&trusted.says(way)), "{way}");
    }
}

#[test]
fn settings_that_tell_are_not_begun_with() {
    let w = world();
    let token = w.token("ci-bot", &["agents"], &[]);
    for (options, passes) in [
        ("-c log_executor_stats=on", false),
        ("-c session_preload_libraries=auto_explain", false),
        ("-c auto_explain.log_min_duration=0", false),
        ("-c default_transaction_isolation=serializable", false),
        ("-c enable_seqscan=off", true),
    ] {
        let mut psql = w.psql_command(&token);
        let done = psql.env("PGOPTIONS", options).args(["-c", "select 1"]).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.success(), passes, "{options}: {error}");
        assert!(passes || error.contains("SET it once the session has begun"), "{options}: {error}");
    }
}

#[test]
fn neighbours_of_other_ways_out_pass_as_they_are() {
    let w = world();
    made(&w);
    let mut agent = Asked::new(w.psql_command(&w.token("ci-bot", &["agents"], &[])));
    let mut direct = std::process::Command::new("psql");
    direct.args(["-X", "-A", "-t"]).envs(w.postgres.client_env());
    let mut direct = Asked::new(direct);
    for statement in NEIGHBOURS {
        assert_eq!(agent.says(statement), direct.says(statement), "{statement}");
    }
    // What tells is masked where it is only shown.
    for masked in [
        "select attrelid::regclass, attmissingval from pg_attribute where attrelid = 'customers'::regclass and attname = 'ssn'",
        "select relname, n_tup_ins from pg_stat_all_tables where relname = 'customers'",
        "select relname, relpages from pg_class where relname = 'customers'",
        "select relname, reltuples from pg_class where relname = 'customers'",
        "select relname, n_tup_hot_upd from pg_stat_user_tables where relname = 'customers'",
        "copy (select relname, relpages from pg_class where relname = 'customers') to stdout (delimiter '|', null '')",
    ] {
        assert!(agent.says(masked).contains("customers|\n"), "{masked}: {}", agent.says(masked));
    }
    assert!(agent.says("select query, 'x' as x from pg_stat_activity where pid = pg_backend_pid()").contains("\n|x\n"));
}
