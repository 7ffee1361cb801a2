\set id random(1, 1)
SELECT id, mail, card FROM (VALUES (1, 'ada@example.com', 4111111111111111)) t (id, mail, card) WHERE id = :id;
SELECT :id + 1 AS next;
