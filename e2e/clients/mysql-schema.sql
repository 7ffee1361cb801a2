-- The tables that the MySQL clients work on. Run directly on the server by its owner: the gateway's policy may forbid
-- all DDL. May be run again and again.
DROP TABLE IF EXISTS e2e_items, e2e_samples, e2e_bulk, e2e_loaded, e2e_big, e2e_numbered, e2e_people, e2e_hidden;
DROP PROCEDURE IF EXISTS e2e_pair;

-- Each client works on its own rows, told apart by `client`, and clears them with a WHERE.
CREATE TABLE e2e_items (client varchar(20), id int, name varchar(60), qty int, PRIMARY KEY (client, id));
CREATE TABLE e2e_samples (
    client varchar(20),
    id int,
    ti tinyint,
    tu tinyint unsigned,
    i int,
    iu int unsigned,
    b bigint,
    bu bigint unsigned,
    n decimal(30, 10),
    f double,
    d date,
    t time(6),
    dt datetime(6),
    ts timestamp(6) NULL,
    y year,
    txt varchar(200),
    bl blob,
    j json,
    yes boolean,
    nothing varchar(10),
    PRIMARY KEY (client, id)
);
CREATE TABLE e2e_loaded (client varchar(20), id int, note varchar(60), PRIMARY KEY (client, id));
CREATE TABLE e2e_big (client varchar(20) PRIMARY KEY, data longblob);
CREATE TABLE e2e_numbered (id int AUTO_INCREMENT PRIMARY KEY, client varchar(20), name varchar(60));

-- Tagged in the gateway's configuration: what the clients must not see.
CREATE TABLE e2e_people (id int PRIMARY KEY, name varchar(40), email varchar(80) UNIQUE, card varchar(20), born date, notes text);
INSERT INTO e2e_people VALUES
    (1, 'Name 1', 'user1@example.com', '4111111111111111', '1980-02-03', 'mail bob@example.org'),
    (2, 'Name 2', 'user2@example.com', '4111111111111111', NULL, NULL);

-- All of it but `client`, `id` and `name` is tagged in the gateway's configuration, and shows nothing (E2E_HIDDEN).
CREATE TABLE e2e_hidden (
    client varchar(20), id int, name varchar(60), ssn varchar(20), mail varchar(80), code int, big bigint, pay decimal(12, 2), born date,
    seen datetime(6), raw varbinary(20), ratio double, PRIMARY KEY (client, id)
);
INSERT INTO e2e_hidden
    SELECT 'all', n, IF(n <> 5, concat('Name ', n), NULL), IF(n <> 3, concat('078-05-112', n), NULL), concat('user', n, '@example.com'), 1000 + n,
        1000000000000 + n, n * 100.50, date '1970-01-01' + INTERVAL n DAY, timestamp '2024-02-29 12:00:00' + INTERVAL n DAY,
        unhex(concat('0', n)), n / 4
    FROM (SELECT 1 n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8) numbers;

CREATE TABLE e2e_bulk (id int PRIMARY KEY, payload varchar(100));
INSERT INTO e2e_bulk
    SELECT 1 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n, repeat('x', 60) FROM
    (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) a,
    (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) b,
    (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) c,
    (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9
     UNION SELECT 10 UNION SELECT 11 UNION SELECT 12 UNION SELECT 13 UNION SELECT 14 UNION SELECT 15 UNION SELECT 16 UNION SELECT 17 UNION SELECT 18 UNION SELECT 19) d;

-- The user of the gateway's connection has to be able to read what it does: else whoever may not see all is refused it.
CREATE DEFINER = '@USER@'@'%' PROCEDURE e2e_pair(n int) SELECT n AS a, n + 1 AS b;
