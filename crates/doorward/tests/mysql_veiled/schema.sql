drop table if exists coded, slugs, soft, children, parents, kept, keyless, spans, c9, unseen, customers, orders, people, ranks, renamed, laundered, laundered4, notes, codes, staff, graded, pay, labels, spread, capped, mailed, mails;
drop view if exists told, contacts, everyone, again, ranked, latest, busy, sizes, executing, peeks, checked, checked_above, checked_ids, laundered5;
drop function if exists peek;
drop function if exists calm;
drop procedure if exists show_people;
drop procedure if exists show_orders;
drop procedure if exists calm_down;
drop procedure if exists sets_cap;
drop procedure if exists sets_contact;
drop procedure if exists noting;
drop procedure if exists says_why;
drop procedure if exists says_no;
drop database if exists other;
create table customers(id int primary key, name varchar(40), email varchar(80), card varchar(19), ssn varchar(12), born date,
    score int, notes text, balance decimal(10,2), kind enum('a', 'b'), key by_ssn(ssn), key by_name(name), key by_both(name, score));
create table orders(id int primary key, customer int, contact varchar(80));
create view contacts as select id, email as contact from customers;
create view everyone as select * from customers;
create view told as select o.id from orders o join customers c on o.contact < c.ssn where c.id = 1;
create view again as select id, concat(contact, '') as contact from contacts;
create table people(id int, ssn text) partition by range (id) (partition p0 values less than (5), partition p1 values less than (100));
create view ranked as select id from people order by ssn desc;
create view latest as select id, contact from orders order by id desc;
create view busy as select id, info from information_schema.processlist;
create view executing as select id, info from information_schema.processlist where command in ('Query', 'Execute');
create view sizes as select table_name, data_length / 1024 as kb from information_schema.tables;
create table ranks(id int, score int) partition by range (score) (partition p0 values less than (5), partition p1 values less than (100));
create table staff(id int primary key, bonus int, salary int, check (bonus <= salary));
create table graded(id int primary key, bonus int, twice int as (bonus * 2) stored, salary int, check (twice <= salary));
create table pay(id int primary key, factor int, bonus int, salary int, total int as (factor * salary) stored,
    extra int as (bonus * 2) stored);
create table labels(id int primary key, name varchar(40), salary int, label varchar(12) as (concat(name, salary)), key by_label(label));
create table spread(id int, factor int, salary int)
    partition by range (factor * salary) (partition p0 values less than (10000), partition p1 values less than (1000000));
create table mails(email varchar(80) primary key);
create table mailed(id int primary key, email varchar(80), foreign key (email) references mails(email));
create table capped(id int primary key, cap int, salary int);
create view checked as select id, cap from capped where cap <= salary with check option;
create view checked_above as select id, cap from checked;
create view checked_ids as select id, cap from capped where id < 1000 with check option;
create table codes(id int primary key, code varchar(12), unique key by_code(code));
create table coded(id int primary key, code_id int, foreign key (code_id) references codes(id) on delete cascade);
create table notes(id int primary key, n int);
create table slugs(id int primary key, name varchar(20), slug varchar(40) default (concat(name, '')), unique (slug));
create table soft(id int primary key, email varchar(40), live varchar(40) generated always as (lower(email)) stored, unique (live));
create table parents(id int primary key, n int, key by_n(n));
create table children(id int primary key, pid int, secret varchar(12), key by_pid(pid, secret), foreign key (pid) references parents(id) on delete cascade);
insert into parents values (1, 1), (2, 2), (3, 3); insert into children values (1, 2, 'x'), (2, 3, 'y');
create table keyless(a int, code varchar(12) not null, unique key only_code(code));
insert into keyless values (1, 'a'), (2, 'b'), (3, 'c');
create table kept(secret varchar(12) primary key, n int);
insert into kept values ('a', 1), ('b', 2), ('c', 3);
create table spans(id int primary key, v int, s date, e date);
insert into spans values (1, 1, '2020-01-01', '2020-02-01'), (2, 2, '2020-01-01', '2020-02-01');
create table unseen(id int primary key, name varchar(12), secret varchar(12) invisible, key by_secret(secret));
insert into unseen (id, name, secret) values (1, 'a', 'x'), (2, 'b', null), (3, 'c', 'z');
create database other;
create table other.`Odd t`(`Id` int, `ssn` varchar(20) character set utf8mb4 collate utf8mb4_bin);
insert into customers values
    (1, 'Name 1', 'user1@example.com', '4111111111111111', '078-05-1121', '1970-01-02', 1, 'n1', 1.5, 'a'),
    (2, 'Name 2', 'user2@example.com', '4111111111111111', '078-05-1122', '1970-01-03', 2, 'n2', 2.5, 'b'),
    (3, 'Name 3', 'user3@example.com', '4111111111111111', '078-05-1123', '1970-01-04', 3, 'n3', 3.5, 'a'),
    (4, 'Name 4', 'user4@example.com', '4111111111111111', '078-05-1124', '1970-01-05', 4, 'n4', 4.5, 'b'),
    (5, 'Name 5', 'user5@example.com', '4111111111111111', '078-05-1125', '1970-01-06', 5, 'n5', 5.5, 'a'),
    (6, 'Name 6', 'user6@example.com', '4111111111111111', '078-05-1126', '1970-01-07', 6, 'n6', 6.5, 'b'),
    (7, 'Name 7', 'user7@example.com', '4111111111111111', '078-05-1127', '1970-01-08', 7, 'n7', 7.5, 'a'),
    (8, 'Name 8', 'user8@example.com', '4111111111111111', '078-05-1128', '1970-01-09', 8, 'n8', 8.5, 'b');
insert into staff select id, id, id * 1000 from customers;
insert into graded (id, bonus, salary) select id, id, id * 1000 from customers;
insert into pay (id, factor, bonus, salary) select id, 1, 1, id * 1000 from customers;
insert into labels (id, name, salary) select id, name, id * 1000 from customers;
insert into spread select id, 1, id * 1000 from customers;
insert into mails select email from customers;
insert into mailed select id, email from customers where id < 3;
insert into capped select id, 1, id * 1000 from customers;
insert into codes select id, concat('c', id) from customers;
insert into orders select id, id, concat('user', id, '@example.com') from customers;
insert into people select id, concat('x', id) from customers;
insert into ranks select id, id from customers;
insert into other.`Odd t` select id, concat('o', id) from customers;
delimiter ;;
create function peek(n int) returns varchar(40) reads sql data return (select ssn from customers where id = n);;
create function calm(n int) returns int deterministic return n + 1;;
create procedure show_people() begin select id, length(ssn) as l from people order by ssn; end;;
create trigger noted before insert on notes for each row insert into codes select 100 + new.id, code from codes where id = new.n;;
create procedure calm_down() begin select 1 as calm; end;;
create procedure sets_cap() begin update checked_ids set cap = 3 where id = 1; end;;
create procedure sets_contact() begin update latest set contact = 'x' where id = -1; end;;
create procedure noting(n int) begin insert into notes values (n, 1); end;;
create procedure says_why(n int) begin declare exit handler for sqlexception begin get diagnostics condition 1 @why = message_text;
    select @why; end; call noting(n); end;;
create procedure says_no(n int) begin declare exit handler for sqlexception select 'no' as said; insert into orders values (n, n, 'x'); end;;
create procedure show_orders() begin select id, contact from orders order by id limit 2; end;;
delimiter ;
create view peeks as select id, peek(id) as p from orders;
analyze table customers, people, ranks, other.`Odd t`;
