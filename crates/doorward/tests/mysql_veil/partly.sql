drop view if exists dialled, banked, begun;
drop table if exists accounts, badges, dated, tied;
create table accounts(id int primary key, name varchar(40), iban varchar(34), short char(6), old varchar(20) character set latin1,
    memo text, opened date, seen datetime(3), stamped timestamp null, phone varchar(20), pin int, kind enum('a', 'b', 'c'), at time,
    doc json, key by_iban(iban), key by_phone(phone), key by_name(name, opened), key by_pin(pin));
create table badges(badge varchar(12) primary key, note varchar(10));
create table tied(id int primary key, badge varchar(12), unique key by_badge(badge));
create table dated(id int, opened date) partition by range columns (opened)
    (partition p0 values less than ('2024-06-01'), partition p1 values less than (maxvalue));
create view dialled as select id, phone from accounts;
create view banked as select id, iban from accounts;
create view begun as select id, phone, left(phone, 3) as part from accounts;
