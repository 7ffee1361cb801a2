CREATE TEMP TABLE people (id int PRIMARY KEY, name text, mail text, born date, card int8);
INSERT INTO people VALUES (1, 'Ada', 'ada@example.com', '1815-12-10', 4111111111111111), (2, 'Größe', NULL, NULL, 42);
SELECT * FROM people ORDER BY id;
SELECT; ;
SELECT 1 AS a; SELECT 'x' AS b, true AS c;
SELECT nosuch FROM people;
INSERT INTO people VALUES (1, 'again', 'bob@example.com');
DO $$ BEGIN RAISE NOTICE 'mind %', 'ada@example.com' USING HINT = 'a hint'; END $$;
COPY people TO STDOUT;
COPY people (id, name) TO STDOUT WITH (FORMAT csv, HEADER);
COPY (SELECT id, name FROM people) TO STDOUT WITH (FORMAT binary);
COPY people FROM STDIN;
3	Cleo	\N	\N	7
\.
LISTEN news;
NOTIFY news, 'call +1 415 555 2671';
BEGIN; SELECT 1/0; ROLLBACK;
SET application_name = 'other';
SELECT '{a,b}'::text[], '{"k": [1]}'::jsonb, 1.5::numeric, '192.168.1.10'::inet, NULL::text;
