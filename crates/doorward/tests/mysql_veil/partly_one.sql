set sql_mode = '';
delete from accounts; delete from badges; delete from tied; delete from dated;
insert into accounts values
    (1, 'n', 'DE00111122221234', 'abcdef', 'äöüßéèçñab', 'a memo of some words', '2024-05-17', '2024-05-17 10:11:12.123', '2024-05-17 10:11:12', '+49 30 1', 1, 'a', '10:11:12', '{"a": "abcdefgh"}'),
    (2, 'n', 'DE00333344441234', 'bcdeef', 'öäüßéèçñab', 'b memo of some words', '2024-06-18', '2024-05-18 10:11:12.123', '2024-05-17 11:11:12', '+49 30 2', 2, 'b', '11:11:12', '{"a": "bcdefghi"}'),
    (3, 'n', 'DE00555566665678', 'cd', 'short', '', '2024-00-00', '2023-02-00 00:00:00', '2024-12-31 23:59:59', '+49 30 3', null, null, '12:11:12', null),
    (4, 'n', 'FR00777788885678', '', '', 'd', '2023-12-31', '2023-12-31 23:59:59.999', '2000-01-01 00:00:01', null, 4, 'a', null, '[1]'),
    (5, 'n', null, null, null, null, null, null, null, '+49 30 5', 5, 'c', '14:11:12', '{}'),
    (6, 'n', 'abcdefgh', 'abc', 'x', 'x', '0045-03-01', '9999-12-31 00:00:00', null, '+49 30 6', 6, 'b', '15:11:12', '{"a": 1}');
insert into badges values ('b1', 'x'), ('b2', 'y'), ('b3', 'x'), ('b4', 'x');
insert into tied values (1, 'b4'), (2, 'b3'), (3, 'b2'), (4, 'b1');
insert into dated values (1, '2024-01-02'), (2, '2024-07-03'), (3, '2024-01-04'), (4, '2024-08-05');
analyze table accounts, badges, tied, dated;
