set sql_mode = '';
delete from accounts; delete from badges; delete from tied; delete from dated;
insert into accounts values
    (1, 'n', 'ZZ99999988881234', 'zyxwef', 'éèäöüßçñab', 'z memo of odd! words', '2024-11-30', '2024-05-01 00:00:00.000', '2024-05-17 23:00:00', '+1 555 9', 10, 'c', '01:00:00', '{"b": "zzzzefgh"}'),
    (2, 'n', 'AA00000000001234', 'aaaaef', 'ßßßßßßçñab', 'a memo of many words', '2024-01-01', '2024-05-31 23:59:59.999', '2024-05-17 00:00:01', '+1 555 8', null, null, null, null),
    (3, 'n', 'BB10101010105678', 'xx', 'other', '', '0000-00-00', '0000-00-00 00:00:00', '2024-12-31 00:00:00', '+1 555 7', 3, 'a', '02:00:00', '{"a": "abcdefgh"}'),
    (4, 'n', 'AB90909090905678', '', '', 'e', '2023-01-01', '2023-12-01 00:00:00.000', '2000-01-01 22:00:01', '+1 555 6', 2, 'b', '10:11:12', '[2]'),
    (5, 'n', null, null, null, null, null, null, null, '+1 555 5', 1, 'a', '00:00:01', '{}'),
    (6, 'n', '12345678', 'zzz', 'y', 'y', '0045-12-31', '9999-12-01 10:00:00', null, null, 0, 'a', '00:00:00', '{"a": 2}');
insert into badges values ('a9', 'x'), ('a8', 'y'), ('a7', 'x'), ('a6', 'x');
insert into tied values (1, 'a1'), (2, 'a3'), (3, 'a2'), (4, 'a4');
insert into dated values (1, '2024-09-02'), (2, '2024-01-03'), (3, '2024-10-04'), (4, '2024-02-05');
analyze table accounts, badges, tied, dated;
