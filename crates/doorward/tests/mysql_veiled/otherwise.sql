update customers set email = concat('x', 9 - id, '@example.org'), card = case when id % 2 = 0 then '4000' end,
    ssn = case when id < 3 then null when id < 6 then 'same' else concat('9', 9 - id) end, born = null, score = -id,
    balance = case when id > 4 then 0 end, kind = 'b';
update staff set salary = 9000 - id;
update graded set salary = 9000 - id;
update pay set salary = 9000 - id;
update labels set salary = 10 - id;
update spread set salary = 9000 - id;
update capped set salary = 9000 - id;
update codes set code = concat('z', id);
update people set ssn = null;
update ranks set score = 9;
update other.`Odd t` set ssn = 'same';
analyze table customers, people, ranks, other.`Odd t`;
update unseen set secret = case id when 1 then null when 2 then 'y' else 'a' end;
update children set secret = concat('b', id);
update kept set secret = concat('z', 9 - n);
update keyless set code = case a when 1 then 'z' when 2 then 'y' else 'x' end;
