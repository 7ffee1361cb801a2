-- The tables that the clients work on. Run directly on the server by the owner of the database, with
-- `psql -v prefix=e2e_ -f schema.sql`: the gateway's policy may forbid all DDL. May be run again and again.
\set items :prefix items
\set samples :prefix samples
\set bulk :prefix bulk
\set copied :prefix copied
\set hidden :prefix hidden

BEGIN;
DROP TABLE IF EXISTS :"items", :"samples", :"bulk", :"copied", :"hidden";
DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history;

-- Each client works on its own rows, told apart by `client`, and clears them with a WHERE.
CREATE TABLE :"items" (client text, id int, name text, qty int, PRIMARY KEY (client, id));
CREATE TABLE :"samples" (
    client text,
    id int,
    t text,
    b bytea,
    j jsonb,
    ints int[],
    texts text[],
    n numeric(30, 10),
    ts timestamptz,
    d date,
    u uuid,
    f float8,
    yes boolean,
    nothing text,
    PRIMARY KEY (client, id)
);
CREATE TABLE :"copied" (client text, id int, note text, PRIMARY KEY (client, id));

CREATE TABLE :"bulk" (id int PRIMARY KEY, payload text);
INSERT INTO :"bulk" SELECT g, 'row ' || g || ' ' || repeat('x', 60) FROM generate_series(1, 100000) AS g;

-- All of it but `client`, `id` and `name` is tagged in the gateway's configuration, and shows nothing (E2E_HIDDEN).
CREATE TABLE :"hidden" (
    client text,
    id int,
    name text,
    ssn text,
    mail varchar(40),
    code int,
    big bigint,
    pay numeric(12, 2),
    born date,
    seen timestamptz,
    who uuid,
    raw bytea,
    doc jsonb,
    ok boolean,
    PRIMARY KEY (client, id)
);
INSERT INTO :"hidden" SELECT 'all', g, CASE WHEN g <> 5 THEN 'Name ' || g END, CASE WHEN g <> 3 THEN '078-05-112' || g END,
    'user' || g || '@example.com', 1000 + g, 1000000000000 + g, g * 100.50, date '1970-01-01' + g,
    timestamptz '2024-02-29 12:00:00Z' + g * interval '1 day', ('00000000-0000-4000-8000-00000000000' || g)::uuid,
    decode('0' || g, 'hex'), jsonb_build_object('n', g), g % 2 = 0
    FROM generate_series(1, 8) AS g;

-- What `pgbench -i -s 1` makes.
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
INSERT INTO pgbench_branches (bid, bbalance) VALUES (1, 0);
INSERT INTO pgbench_tellers (tid, bid, tbalance) SELECT g, 1, 0 FROM generate_series(1, 10) AS g;
INSERT INTO pgbench_accounts (aid, bid, abalance, filler) SELECT g, 1, 0, '' FROM generate_series(1, 100000) AS g;

-- The gateway may come in as another role than the owner.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    :"items", :"samples", :"bulk", :"copied", :"hidden",
    pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history
    TO PUBLIC;
COMMIT;
ANALYZE :"bulk", pgbench_accounts, pgbench_branches, pgbench_tellers;
