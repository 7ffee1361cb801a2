select 1
select 1 from customers
table customers
values (1)
insert into orders values (1)
update orders set total = 1
delete from orders
merge into orders using customers on true when matched then do nothing
truncate orders
begin
start transaction
commit
end
rollback
abort
savepoint s
release savepoint s
rollback to savepoint s
commit prepared 'x'
rollback prepared 'x'
prepare transaction 'x'
set local datestyle = iso
set time zone 'UTC'
set search_path = x
set role x
set session authorization x
set transaction isolation level serializable
set session characteristics as transaction read only
set constraints all deferred
set xml option document
reset all
reset role
reset work_mem2
show all
show work_mem
discard all
discard temp
deallocate all
deallocate p
close c
close all
fetch all from c
move 1 from c
declare c cursor for select 1
declare c cursor for select * from orders
prepare p as select 1
prepare p as select * from orders
execute p(1)
execute p(purge())
explain select 1
explain select * from orders
listen c
unlisten c
notify c
load 'x'
lock table orders
checkpoint
vacuum
vacuum orders
analyze
analyze orders (id)
cluster
cluster orders using i
reindex table orders
reindex database d
reindex schema s
reindex index i
refresh materialized view v
copy orders to stdout
copy orders from stdin
copy (select 1 from orders) to stdout
do 'x'
call p()
create table t (a int)
create table t (like orders)
create table t partition of orders for values in (1)
create table t as select 1
create table t as execute p
create temp table t (a int)
create unlogged table t (a int)
create foreign table t (a int) server s
create view v as select 1
create or replace recursive view v (a) as select 1
create materialized view v as select 1
create sequence s
create index i on orders (id)
create schema s
create schema authorization x
create database d
create role r
create user r
create group r
create function f() returns int language sql as 'select 1'
create procedure p() language sql as 'select 1'
create function f() returns int return 1
create aggregate a(int) (sfunc = x, stype = int)
create trigger t before update on orders for each row execute function f()
create constraint trigger t after update on orders for each row execute function f()
create event trigger t on ddl_command_start execute function f()
create rule r as on select to orders do instead nothing
create policy p on orders using (true)
create type t as (a int)
create type t as enum ('a')
create type t as range (subtype = int)
create type t
create type t (input = a, output = b)
create domain d as int check (value > 1)
create collation c (locale = 'x')
create collation c from "C"
create conversion c for 'a' to 'b' from f
create cast (int as text) with function f(int)
create operator === (leftarg = int, rightarg = int, function = f)
create operator class c for type int using btree as operator 1 <
create operator family f using btree
create text search configuration c (parser = p)
create text search dictionary d (template = t)
create text search parser p (start = a, gettoken = b, end = c, lextypes = d)
create text search template t (lexize = f)
create statistics s on id, total from orders
create extension e
create language l
create trusted language l handler h
create transform for int language l (from sql with function f(internal), to sql with function g(internal))
create access method a type table handler h
create tablespace t location '/x'
create foreign data wrapper w
create server s foreign data wrapper w
create user mapping for x server s
import foreign schema a from server s into b
create publication p for all tables
create publication p for tables in schema s
create subscription s connection 'x' publication p
alter table orders add column x int
alter table orders alter column total type int using purge(total)
alter table orders rename to x
alter table orders rename column a to b
alter table orders set schema s
alter table orders owner to x
alter table orders attach partition p default
alter table orders inherit x
alter table orders disable row level security
alter table orders disable trigger all
alter table all in tablespace a set tablespace b
alter view v rename to w
alter index i set (fillfactor = 10)
alter sequence s restart
alter materialized view v cluster on i
alter function f(int) volatile
alter function f(int) owner to x
alter routine f depends on extension e
alter procedure p security definer
alter database d set work_mem = 1
alter database d owner to x
alter database d rename to e
alter database d connection limit 1
alter database d refresh collation version
alter role r superuser
alter role r set work_mem = 1
alter role all reset all
alter role r rename to x
alter group g add user u
alter system set work_mem = 1
alter system reset all
alter type t add value 'x'
alter type t rename value 'a' to 'b'
alter type t add attribute a int
alter type t set (receive = f)
alter domain d set not null
alter domain d add check (purge(value))
alter collation c refresh version
alter conversion c rename to d
alter operator + (int, int) owner to x
alter operator + (int, int) set (restrict = none)
alter operator family f using btree add operator 1 < (int, int)
alter operator class c using btree rename to d
alter text search configuration c add mapping for a with b
alter text search dictionary d (a = b)
alter statistics s set statistics 1
alter extension e update
alter extension e add table orders
alter language l rename to m
alter tablespace t set (seq_page_cost = 1)
alter tablespace t rename to u
alter foreign data wrapper w options (a 'b')
alter server s options (a 'b')
alter user mapping for x server s options (a 'b')
alter publication p add table orders
alter publication p set (publish = 'insert')
alter subscription s disable
alter policy p on orders using (true)
alter policy p on orders rename to q
alter trigger t on orders rename to u
alter rule r on orders rename to s
alter event trigger t disable
alter schema s rename to t
alter schema s owner to x
alter default privileges grant select on tables to x
alter large object 1 owner to x
drop table orders
drop view v
drop materialized view v
drop index i
drop sequence s
drop foreign table t
drop schema s
drop database d
drop role r
drop user r
drop owned by r
drop function f
drop procedure p
drop aggregate a(int)
drop operator + (int, int)
drop operator class c using btree
drop operator family f using btree
drop trigger t on orders
drop event trigger t
drop rule r on orders
drop policy p on orders
drop type t
drop domain d
drop collation c
drop conversion c
drop cast (int as text)
drop transform for int language l
drop text search configuration c
drop statistics s
drop extension e
drop language l
drop access method a
drop tablespace t
drop foreign data wrapper w
drop server s
drop user mapping for x server s
drop publication p
drop subscription s
reassign owned by a to b
grant select on orders to x
grant all on all tables in schema s to x
grant execute on function f to x
grant usage on schema s to x
grant create on database d to x
grant set on parameter work_mem to x
grant select on large object 1 to x
grant usage on type t to x
grant a to b
revoke select on orders from x
revoke a from b
comment on table orders is 'x'
comment on database d is 'x'
comment on function f(int) is 'x'
comment on constraint c on orders is 'x'
comment on cast (int as text) is 'x'
comment on large object 1 is 'x'
security label on table orders is 'x'
security label on role r is 'x'
