drop view if exists mine;
drop table if exists copied;
drop table if exists mine;
drop table if exists other;
drop trigger if exists mine;
drop procedure if exists mine;
drop function if exists mine;
delete from people;
insert into people(id, name, secret, pay, hid) values (1, 'Ada', 'qzxwvu-314159', 987654321, 'qzxhid-271828'),
    (2, 'Bob', 'qzxwvu-314160', 987654322, 'qzxhid-271829');
delete from things;
insert into things values (1, 'bolt', 1, 10), (2, 'nut', 2, 20), (3, 'nail', 1, 30);
create or replace view calm as select id, name as s from people;
