-- What is hidden begins with `qzx` or with 987654; nothing else does.
create database if not exists vault;
create table vault.things(id int primary key, name varchar(40));
insert into vault.things values (1, 'qzxvault-161803');
create table people(id int primary key, name varchar(40), secret varchar(40), pay int, hid varchar(40) invisible,
    echo varchar(50) generated always as (concat('<', secret)) stored, kept varchar(40) default (secret), unique(secret));
insert into people(id, name, secret, pay, hid) values (1, 'Ada', 'qzxwvu-314159', 987654321, 'qzxhid-271828'),
    (2, 'Bob', 'qzxwvu-314160', 987654322, 'qzxhid-271829');
create table things(id int primary key, name varchar(40), person int, amount int);
insert into things values (1, 'bolt', 1, 10), (2, 'nut', 2, 20), (3, 'nail', 1, 30);
create table badge(number int primary key, name varchar(40));
insert into badge values (987654323, 'Ada');
create table old_people(id int primary key, name varchar(40), secret varchar(40)) engine=myisam;
insert into old_people values (1, 'Ada', 'qzxwvu-314159');
create function peek(n int) returns varchar(40) reads sql data return (select secret from people where id = n);
create procedure show_people() select id, secret from people order by id;
delimiter ;;
create procedure two() begin select 1 as a; select 2 as a; end;;
delimiter ;
create view seen as select id, concat(secret) as s, left(name, 3) as n from people;
create view called as select id, peek(id) as s from people;
create view calm as select id, name as s from people;
