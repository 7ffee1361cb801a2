-- One statement a line. Tags: @maria, @maria11, @mysql: only there; @fails: the server refuses it too; @volatile: other rows each time;
-- @mode=X: under that sql_mode. ⏎ is a line feed.
-- --- comments and tokens
SELECT 1--1
SELECT 1-- 1
SELECT 1 -- a comment
SELECT 1 --
SELECT 1 # 2⏎ + 3
SELECT 1 /* 2 */ + 3
SELECT/**/1
SELECT 1 /*!, 2 */
SELECT 1 /*!40000 , 2 */
SELECT 1 /*!99999 , 2 */, 3
SELECT /*!1, 2 */
SELECT 1 /*M! , 2 */
@maria SELECT 1 /*M!100100 , 2 */
@maria SELECT 1 /*M!999999 , 2 */
@maria SELECT 1 /*!50701 , 2 */
@maria SELECT 1 /*!100500 , 2 */
SELECT /*! SQL_NO_CACHE */ id FROM orders
SELECT /*!40001 id */ FROM orders ORDER BY id
SELECT '/*! not a comment */'
SELECT "a -- b", 'c # d'
SELECT 1 /* a ' quote */
SELECT 0x41, x'4142', X'43', b'101', 0b11, 0xff + 0
SELECT 1e3, 1.5e-2, .5, 5., 1.e1
SELECT 1.5abc
SELECT 1 a, 2 b
SELECT `1a` FROM `odd ``name`
SELECT 1a FROM `odd ``name`
SELECT `odd ``name`.`1a`, `a.b`, `select` FROM `odd ``name`
SELECT o.`1a` FROM `odd ``name` o
SELECT o.1a FROM `odd ``name` o
SELECT N'abc', _utf8mb4'abc', _latin1'abc', _binary'abc', _utf8mb4 x'4142', _latin1 0x41
SELECT _utf8mb4'abc' COLLATE utf8mb4_bin
SELECT 'a' 'b' 'c', "a" 'b'
SELECT 'it''s', 'it\'s', "say ""hi""", 'a\\b', 'a\nb', 'a\%b', 'a\_b', 'tab\there', 'nul\0byte', 'z\Zz', 'q\q'
SELECT 'a\\', 'b'
@mode=NO_BACKSLASH_ESCAPES SELECT 'a\', 'b\n', 'it''s'
@mode=NO_BACKSLASH_ESCAPES SELECT name FROM customers WHERE name = 'c\d''e'
@mode=ANSI_QUOTES SELECT "id", 'x' FROM "orders" WHERE "orders"."id" = 1
@mode=ANSI_QUOTES SELECT "select", "1a" FROM "odd `name"
@mode=ANSI_QUOTES SELECT 1 AS "a""b"
@mode=PIPES_AS_CONCAT SELECT 'a' || 'b', id || '-' FROM orders
SELECT 1 || 0, 0 && 1, 1 XOR 1
@mode=IGNORE_SPACE SELECT count (id), now () IS NULL FROM orders
@mode=HIGH_NOT_PRECEDENCE SELECT NOT 1 BETWEEN -5 AND 5
SELECT NOT 1 BETWEEN -5 AND 5
@mode=ANSI SELECT "name" || 'x' FROM customers
SELECT count (1)
SELECT count(1), COUNT( * ), count(DISTINCT total) FROM orders
SELECT `count`(1)
SELECT `abs`(-1), abs(-1), abs (-1), ABS ( -1 )
SELECT twice(2), shop.twice(3), shop . twice(4), `twice`(5), `shop`.`twice`(6)
SELECT - - 1, - -1, + -1, -(-1), ~1, !1, ! 0, NOT NOT 1
SELECT 1<=>NULL, 1<>2, 1!=2, 1>=1, 1<=1, 1<<2, 8>>1, 5&4, 5|2, 5^1, 7 DIV 2, 7 MOD 2, 7%2
SELECT @a := 1, @b:=@a + 1, @a, @`a`, @'a', @"a"
SELECT @`b c` := 3, @'b c'
@volatile SELECT @@version, @@global.max_connections, @@session.sql_mode, @@local.autocommit, @@`version`
SELECT @@sql_mode = '', @@max_connections
SELECT 'é', 'ü😀', 'Ω' AS `Ω`
SELECT TRUE, FALSE, NULL, UNKNOWN IS NULL FROM (SELECT NULL AS UNKNOWN) t
SELECT NULL IS NULL, 1 IS NOT NULL, 1 IS TRUE, 0 IS NOT FALSE, NULL IS UNKNOWN
SELECT {d '2026-01-02'}, {ts '2026-01-02 03:04:05'}, {t '03:04:05'}
SELECT DATE '2026-01-02', TIME '01:02:03', TIMESTAMP '2026-01-02 03:04:05'
SELECT 1 AS 'quoted alias', 2 'another', 3 AS "third", 4 `fourth`
SELECT	1	,⏎2
-- --- expressions
SELECT id + 1, id+1, -id, (id), ((id)) FROM orders
SELECT id, total AS t, o.id, shop.o.id FROM shop.orders o
SELECT orders.id, shop.orders.total FROM orders
SELECT Id, TOTAL FROM orders
SELECT CASE id WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END, CASE WHEN id > 1 THEN total END FROM orders
SELECT IF(id > 1, 'x', 'y'), IFNULL(NULL, 1), NULLIF(1, 1), COALESCE(NULL, 2) FROM orders
SELECT id BETWEEN 1 AND 2, id NOT BETWEEN 1 AND 2 AND 1 FROM orders
SELECT id IN (1, 2), id NOT IN (3), (id, total) IN ((1, 10), (2, 3)) FROM orders
SELECT name LIKE 'a%', name NOT LIKE 'b_a', name LIKE 'a|%' ESCAPE '|', name REGEXP '^a', name RLIKE 'b', name NOT REGEXP 'x' FROM customers
SELECT name SOUNDS LIKE 'ann' FROM customers
SELECT BINARY 'a' = 'A', 'a' COLLATE utf8mb4_bin = 'A'
SELECT CAST('1' AS SIGNED), CAST(1 AS CHAR(3)), CAST('1' AS UNSIGNED INTEGER), CAST('2026-01-01' AS DATE), CAST(1 AS DECIMAL(5,2)), CONVERT('1', SIGNED), CONVERT('a' USING utf8mb4), CAST('a' AS CHAR CHARACTER SET utf8mb4)
SELECT CAST('12:00' AS TIME(3)), CAST('2026-01-01' AS DATETIME), CAST('a' AS BINARY(3)), CAST(1 AS DOUBLE)
@mysql SELECT CAST('[1]' AS JSON), CAST(1 AS YEAR), CAST(1 AS FLOAT)
SELECT DATE_ADD('2026-01-01', INTERVAL 1 DAY), '2026-01-01' + INTERVAL 1 MONTH, INTERVAL 2 YEAR + '2026-01-01', DATE_SUB('2026-01-01', INTERVAL '1:1' MINUTE_SECOND)
SELECT ADDDATE('2026-01-01', 3), SUBDATE('2026-01-01', INTERVAL 1 WEEK), TIMESTAMPADD(DAY, 1, '2026-01-01'), TIMESTAMPDIFF(MONTH, '2026-01-01', '2026-05-01'), EXTRACT(YEAR_MONTH FROM '2026-01-02')
SELECT INTERVAL(3, 1, 2, 5), INTERVAL (1) DAY + '2026-01-01'
SELECT TRIM(' a '), TRIM(LEADING 'x' FROM 'xxa'), TRIM(BOTH FROM ' a '), TRIM('x' FROM 'xax'), TRIM(TRAILING 'a' FROM 'bba')
SELECT SUBSTRING('abcdef' FROM 2 FOR 3), SUBSTRING('abc', 2), SUBSTR('abc' FROM 2), MID('abc', 1, 2), LEFT('abc', 1), RIGHT('abc', 1)
SELECT POSITION('b' IN 'abc'), LOCATE('b', 'abc'), CHAR(65, 66 USING utf8mb4), CHAR(65), GET_FORMAT(DATE, 'USA'), WEIGHT_STRING('a' AS CHAR(2)) IS NULL
SELECT GROUP_CONCAT(name ORDER BY id DESC SEPARATOR '; '), GROUP_CONCAT(DISTINCT name, ssn ORDER BY 1) FROM customers
SELECT SUM(DISTINCT total), AVG(total), MIN(total), MAX(ALL total), BIT_AND(id), STD(total), VAR_POP(total) FROM orders
SELECT MATCH (note) AGAINST ('fine'), MATCH note AGAINST ('fine' IN BOOLEAN MODE), MATCH(note) AGAINST('fine' IN NATURAL LANGUAGE MODE WITH QUERY EXPANSION) FROM fixed.notes
@mysql SELECT data->'$.a', data->>'$.a' FROM customers
@mysql SELECT 1 MEMBER OF ('[1,2]'), 2 MEMBER OF (data->'$.b') FROM customers
SELECT JSON_EXTRACT(data, '$.a'), JSON_OBJECT('a', 1), JSON_ARRAY(1, 'x') FROM customers
SELECT JSON_ARRAYAGG(id), JSON_OBJECTAGG(id, name) FROM customers
@mysql SELECT JSON_VALUE(data, '$.a' RETURNING SIGNED DEFAULT 3 ON EMPTY NULL ON ERROR) FROM customers
SELECT ROW(1, 2) = (1, 2), (1, 2) <> ROW(2, 1)
SELECT EXISTS (SELECT 1 FROM orders), NOT EXISTS(SELECT 1 FROM orders WHERE 0), (SELECT MAX(id) FROM orders)
SELECT id FROM orders WHERE id > ALL (SELECT 1) AND id = ANY (SELECT id FROM items) AND id = SOME (SELECT 2) ORDER BY id
SELECT ((SELECT 1)), ((SELECT 1) + 2), ((SELECT 1) UNION (SELECT 1)), (SELECT 1 LIMIT 1)
SELECT DEFAULT(total) FROM orders LIMIT 1
@volatile SELECT CURRENT_TIMESTAMP, CURRENT_TIMESTAMP(), NOW(3), CURRENT_DATE, CURRENT_TIME(2), LOCALTIME, LOCALTIMESTAMP(1), UTC_DATE, UTC_TIME(), UTC_TIMESTAMP, SYSDATE(), CURDATE(), CURTIME()
@volatile SELECT CURRENT_USER, CURRENT_USER(), USER(), SESSION_USER(), DATABASE(), SCHEMA(), VERSION(), CONNECTION_ID(), UUID(), RAND()
@maria SELECT CURRENT_ROLE, CURRENT_ROLE()
SELECT MOD(7, 3), REPEAT('a', 3), REPLACE('abc', 'b', 'x'), INSERT('abc', 1, 1, 'z'), TRUNCATE(1.55, 1), FORMAT(1234.5, 1), PASSWORD FROM (SELECT 1 AS PASSWORD) t
SELECT YEAR('2026-01-01'), MONTH('2026-01-01'), DAY('2026-01-01'), HOUR('01:02:03'), WEEK('2026-01-01', 1), QUARTER('2026-01-01'), DATE('2026-01-01'), TIME('01:01:01'), TIMESTAMP('2026-01-01', '01:00:00')
SELECT id FROM orders WHERE total = 10 OR total = 7 AND NOT id = 2 ORDER BY id
SELECT 5 DIV 2 * 3 - 1 % 2 + 2 ^ 1 | 4 & 6 << 1
SELECT id AS `select`, id AS `from` FROM orders
SELECT id `a``b` FROM orders
@maria SELECT COLUMN_GET(COLUMN_CREATE('a', 1 AS INT, 'b', 'x'), 'b' AS CHAR), COLUMN_JSON(COLUMN_ADD(COLUMN_CREATE('a', 1), 'c', 2.5 AS DECIMAL(5,2)))
@maria SELECT id FROM orders WHERE ROWNUM() < 2
-- --- tables, joins
SELECT * FROM orders
SELECT orders.* FROM orders
SELECT o.*, 1 FROM shop.orders AS o
SELECT shop.orders.* FROM shop.orders
SELECT * FROM orders, items WHERE orders.id = items.order_id
SELECT * FROM orders o JOIN items i ON o.id = i.order_id
SELECT * FROM orders o INNER JOIN items i ON o.id = i.order_id CROSS JOIN other.orders x
SELECT * FROM orders o LEFT JOIN items i ON o.id = i.order_id AND i.price > 5 ORDER BY o.id, i.id
SELECT * FROM orders o RIGHT OUTER JOIN items i ON o.id = i.order_id ORDER BY i.id
SELECT * FROM orders STRAIGHT_JOIN items ON orders.id = items.order_id
SELECT STRAIGHT_JOIN o.id FROM orders o, items i
SELECT * FROM orders NATURAL JOIN items ORDER BY id
SELECT * FROM orders NATURAL LEFT JOIN items ORDER BY id
SELECT * FROM orders NATURAL RIGHT JOIN items ORDER BY id
SELECT * FROM orders JOIN items USING (id) ORDER BY id
SELECT * FROM orders LEFT JOIN items USING (id) JOIN customers USING (id) ORDER BY id
SELECT * FROM orders RIGHT JOIN items USING (id) ORDER BY id
SELECT * FROM (orders, items) JOIN customers ON orders.customer_id = customers.id ORDER BY 1, 5
SELECT * FROM orders JOIN (items JOIN customers ON items.id = customers.id) ON orders.id = items.order_id ORDER BY 1, 5
SELECT * FROM orders o JOIN items i JOIN customers c ON c.id = i.id ON o.id = i.order_id ORDER BY 1, 5
SELECT * FROM ((orders))
SELECT * FROM { OJ orders LEFT OUTER JOIN items ON orders.id = items.order_id } ORDER BY 1, 5
SELECT * FROM orders USE INDEX (c) WHERE customer_id = 1
SELECT * FROM orders FORCE INDEX FOR ORDER BY (c, PRIMARY) IGNORE INDEX FOR JOIN (c) ORDER BY customer_id, id
SELECT * FROM orders USE INDEX () ORDER BY id
SELECT * FROM parts PARTITION (p0, p1) WHERE y = 5
SELECT * FROM parts PARTITION (p1) AS p
SELECT x.a FROM (SELECT id a, total FROM orders) x WHERE a > 1 ORDER BY a
SELECT * FROM (SELECT 1 UNION SELECT 2) AS x ORDER BY 1
SELECT * FROM ((SELECT 1 AS a) UNION ALL (SELECT 2)) AS x ORDER BY a
@mysql SELECT * FROM (SELECT 1, 2) AS x (a, b)
@mysql SELECT * FROM orders o, LATERAL (SELECT id, price FROM items WHERE order_id = o.id) i ORDER BY o.id, i.id
@mysql SELECT * FROM orders o JOIN LATERAL (SELECT MAX(price) m FROM items WHERE order_id = o.id) i ON 1 ORDER BY o.id
SELECT t.* FROM JSON_TABLE('[{"a":1,"b":[1,2]},{"a":2}]', '$[*]' COLUMNS (n FOR ORDINALITY, a INT PATH '$.a' DEFAULT '0' ON EMPTY, x INT EXISTS PATH '$.b', NESTED PATH '$.b[*]' COLUMNS (b INT PATH '$'))) AS t
SELECT c.id, t.a FROM customers c, JSON_TABLE(c.data, '$' COLUMNS (a VARCHAR(10) PATH '$.a' NULL ON EMPTY ERROR ON ERROR)) t
SELECT * FROM v ORDER BY id
@fails SELECT * FROM Orders
SELECT 1 FROM DUAL WHERE 1 = 1
SELECT id FROM orders WHERE id IN (SELECT order_id FROM items WHERE price > (SELECT AVG(price) FROM items)) ORDER BY 1
SELECT (SELECT name FROM customers c WHERE c.id = o.customer_id) AS who FROM orders o ORDER BY o.id
SELECT ssn AS s, (SELECT s) FROM customers ORDER BY 1
-- --- clauses
SELECT customer_id, SUM(total) s FROM orders GROUP BY customer_id HAVING s > 8 ORDER BY s DESC
SELECT customer_id, COUNT(*) FROM orders GROUP BY customer_id WITH ROLLUP
SELECT customer_id c, COUNT(*) n FROM orders GROUP BY c ORDER BY NULL
SELECT SQL_CALC_FOUND_ROWS id FROM orders ORDER BY id LIMIT 1
SELECT DISTINCT customer_id FROM orders ORDER BY customer_id
SELECT DISTINCTROW HIGH_PRIORITY SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT customer_id FROM orders
SELECT ALL id FROM orders ORDER BY id LIMIT 2 OFFSET 1
SELECT id FROM orders ORDER BY id LIMIT 1, 2
SELECT id FROM orders ORDER BY id FOR UPDATE
SELECT id FROM orders ORDER BY id LOCK IN SHARE MODE
@mysql SELECT id FROM orders o ORDER BY id FOR SHARE OF o NOWAIT
@mysql SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id ORDER BY o.id, i.id FOR UPDATE OF o SKIP LOCKED FOR SHARE OF i
@maria SELECT id FROM orders ORDER BY id FOR UPDATE WAIT 1
@maria SELECT id FROM orders ORDER BY id OFFSET 1 ROW FETCH NEXT 1 ROWS ONLY
@maria SELECT id FROM orders ORDER BY customer_id FETCH FIRST 1 ROW WITH TIES
@maria SELECT id FROM orders ORDER BY id LIMIT 2 ROWS EXAMINED 10000
SELECT id, ROW_NUMBER() OVER (ORDER BY id), SUM(total) OVER (PARTITION BY customer_id ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM orders
SELECT id, RANK() OVER w, LAG(total, 1) OVER w, LEAD(id) OVER w FROM orders WINDOW w AS (ORDER BY total)
@mysql SELECT id, RANK() OVER w, LAG(total, 1, 0) OVER w, FIRST_VALUE(total) OVER w FROM orders WINDOW w AS (ORDER BY total)
SELECT id, NTILE(2) OVER (ORDER BY id), CUME_DIST() OVER (ORDER BY id), NTH_VALUE(id, 2) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders
@mysql SELECT id, SUM(total) OVER (w ROWS 1 PRECEDING), LEAD(id) RESPECT NULLS OVER w FROM orders WINDOW w AS (PARTITION BY customer_id ORDER BY id)
@maria SELECT MEDIAN(total) OVER (PARTITION BY customer_id), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY total) OVER () FROM orders
SELECT 1 UNION SELECT 2 UNION ALL SELECT 2 ORDER BY 1 LIMIT 5
(SELECT id FROM orders ORDER BY id LIMIT 1) UNION ALL (SELECT id FROM items ORDER BY id DESC LIMIT 1)
((SELECT 1) UNION (SELECT 2)) ORDER BY 1
SELECT id FROM orders EXCEPT SELECT 1 ORDER BY id
SELECT id FROM orders INTERSECT SELECT 1
SELECT id FROM orders INTERSECT DISTINCT SELECT 1 UNION SELECT 5 ORDER BY 1
WITH a AS (SELECT 1 AS x), b (y) AS (SELECT x + 1 FROM a) SELECT * FROM a, b
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n
WITH orders AS (SELECT 1 AS one) SELECT * FROM orders
WITH orders AS (SELECT id FROM orders) SELECT * FROM orders ORDER BY id
@maria WITH RECURSIVE a AS (SELECT x FROM b), b AS (SELECT ssn AS x FROM customers) SELECT x FROM a ORDER BY 1
@mysql WITH RECURSIVE a AS (SELECT * FROM customers), customers AS (SELECT 1 AS one) SELECT id, ssn FROM a ORDER BY 1
SELECT * FROM (WITH x AS (SELECT 3 AS z) SELECT * FROM x) y
@mysql TABLE orders ORDER BY id LIMIT 1
@mysql VALUES ROW(1, 'a'), ROW(2, 'b')
@maria VALUES (1, 'a'), (2, 'b')
SELECT id FROM orders INTO OUTFILE '$DIR/out.txt' FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '\\' LINES TERMINATED BY '\n'
SELECT 'x' INTO DUMPFILE '$DIR/dump.txt'
SELECT id, total INTO @i, @t FROM orders ORDER BY id LIMIT 1
SELECT id INTO @i FROM orders LIMIT 1; SELECT @i
SELECT /*+ MAX_EXECUTION_TIME(1000) */ id FROM orders ORDER BY id
SELECT /*+ NO_SUCH_HINT(1) */ id FROM orders ORDER BY id
SELECT /*+ SET_VAR(sort_buffer_size = 16M) */ id FROM orders ORDER BY id
SELECT 1; SELECT 2; SELECT 'a;b'
SELECT 1;
-- --- names of outputs
SELECT count(*),COUNT( * ),max(id)+1,'lit',"lit2",1.50,-1,NULL,a.b FROM (SELECT id, id AS b FROM orders) a GROUP BY a.b
SELECT `count(*)` FROM (SELECT count(*) FROM orders) x
SELECT x.`max(id)` FROM (SELECT max(id) FROM orders) x
SELECT concat( name , '-' ,  ssn ) FROM customers ORDER BY id
SELECT id=1 , id   +   1, upper(`name`) FROM customers ORDER BY id
SELECT ((id)) + 1 FROM orders GROUP BY id HAVING id > 0 ORDER BY id
SELECT @x, @X, @@autocommit, @`x y`
SELECT IF(1,2,3),if( 1 , 2 , 3 )
SELECT 'a' 'b', _utf8mb4'x', N'y'
-- --- INSERT, REPLACE
INSERT INTO orders VALUES (NULL, 1, 2, DEFAULT), (100, 2, 3.5, '2026-02-02')
INSERT orders (customer_id, total) VALUE (1, 2)
INSERT INTO orders () VALUES ()
INSERT INTO orders SET customer_id = 5, total = DEFAULT
INSERT INTO orders (orders.customer_id, shop.orders.total) VALUES (1, 1 + 1)
INSERT LOW_PRIORITY IGNORE INTO orders (id) VALUES (1), (2)
INSERT INTO orders (customer_id) SELECT id FROM items
INSERT INTO orders (customer_id) (SELECT id FROM items)
INSERT INTO orders (customer_id) SELECT id FROM items UNION SELECT 9
INSERT INTO items WITH x AS (SELECT 50 AS a) SELECT a, a, a, 'w' FROM x
@mysql INSERT INTO items TABLE items LIMIT 0
@mysql INSERT INTO orders (id, total) VALUES ROW(50, 1), ROW(51, 2)
@mysql INSERT INTO orders (id, total) VALUES (1, 99) AS new ON DUPLICATE KEY UPDATE total = new.total + orders.total
@mysql INSERT INTO orders (id, total) VALUES (1, 99) AS new (a, b) ON DUPLICATE KEY UPDATE total = b
INSERT INTO orders (id, total) VALUES (1, 99) ON DUPLICATE KEY UPDATE total = VALUES(total) + 1, customer_id = customer_id + 1
INSERT INTO orders (id, total) VALUES (1, 99) ON DUPLICATE KEY UPDATE total = (VALUES(total) + (2))
INSERT INTO orders (id, total) SELECT id, price FROM items ON DUPLICATE KEY UPDATE total = price
INSERT INTO parts PARTITION (p0) VALUES (3, 3)
INSERT INTO customers (name, note) VALUES ('o''neil\n"x"', 'back\\slash'), (_binary'\0\Z', x'00ff41')
@mode=NO_BACKSLASH_ESCAPES INSERT INTO customers (name) VALUES ('C:\dir\'), ('b')
@maria INSERT INTO orders (customer_id) VALUES (1), (2) RETURNING customer_id, customer_id + 1
@maria REPLACE INTO orders (id) VALUES (1) RETURNING id
REPLACE INTO orders VALUES (1, 2, 3, '2026-01-01')
REPLACE INTO orders SET id = 2, total = 3
REPLACE orders (id) SELECT id FROM items
-- --- UPDATE, DELETE
UPDATE orders SET total = total + 1
UPDATE orders SET total = 1, customer_id = DEFAULT WHERE id = 1 ORDER BY id LIMIT 1
UPDATE LOW_PRIORITY IGNORE shop.orders AS o SET o.total = 3 WHERE o.id IN (SELECT order_id FROM items)
UPDATE orders o, items i SET o.total = i.price, i.price = 0 WHERE o.id = i.order_id
UPDATE orders o JOIN items i ON o.id = i.order_id SET total = price * 2 WHERE o.id = 1
UPDATE orders LEFT JOIN items ON orders.id = items.order_id SET orders.total = -1 WHERE items.id IS NULL
UPDATE (SELECT 1 AS one) x, orders SET total = one
@mysql WITH x AS (SELECT 1 AS one) UPDATE orders, x SET total = one
UPDATE parts PARTITION (p0) SET y = y + 1
DELETE FROM orders
DELETE FROM orders WHERE id = 1
DELETE LOW_PRIORITY QUICK IGNORE FROM orders WHERE id > 1 ORDER BY id DESC LIMIT 1
DELETE FROM parts PARTITION (p0) WHERE id = 1
@mysql DELETE FROM orders AS o WHERE o.id = 1
@maria11 DELETE FROM orders AS o WHERE o.id = 1
DELETE o FROM orders o JOIN items i ON o.id = i.order_id
DELETE o, i FROM orders o, items i WHERE o.id = i.order_id AND i.price > 5
DELETE orders.*, items.* FROM orders, items WHERE orders.id = items.order_id
DELETE FROM o USING orders AS o JOIN items AS i WHERE o.id = i.order_id
DELETE FROM shop.orders USING shop.orders, items WHERE orders.id = items.id
@mysql WITH x AS (SELECT 1 AS one) DELETE FROM orders WHERE id IN (SELECT one FROM x)
@maria DELETE FROM orders WHERE id = 1 RETURNING id, total
TRUNCATE orders
TRUNCATE TABLE shop.items
-- --- LOAD, HANDLER, DO, CALL, prepared
LOAD DATA LOCAL INFILE '$DIR/none' INTO TABLE items FIELDS TERMINATED BY ',' ENCLOSED BY '"' LINES STARTING BY 'x' TERMINATED BY '\n' IGNORE 1 LINES (id, @p, what) SET price = @p + 1
@fails LOAD DATA INFILE '$DIR/none' REPLACE INTO TABLE items CHARACTER SET utf8mb4
HANDLER items OPEN; HANDLER items CLOSE
DO 1, SLEEP(0)
CALL list_items(1)
CALL shop.list_items(1 + 1)
PREPARE s FROM 'SELECT id, "x" FROM orders WHERE id = ? -- end'; SET @i = 1; EXECUTE s USING @i; DEALLOCATE PREPARE s
PREPARE s FROM "SELECT 'it''s', \"q\""; EXECUTE s; DROP PREPARE s
@maria EXECUTE IMMEDIATE 'SELECT 1 /* x */, "a"'
@maria EXECUTE IMMEDIATE 'SELECT ?' USING 5
-- --- SET
SET @a = 1, @b := 'x', @c = (SELECT MAX(id) FROM orders); SELECT @a, @b, @c
SET autocommit = 0; SELECT @@autocommit
SET SESSION sort_buffer_size = 65536, LOCAL join_buffer_size = 65536, @@read_buffer_size = 16384, @@session.tmp_table_size = 65536; SELECT @@sort_buffer_size, @@join_buffer_size, @@read_buffer_size, @@tmp_table_size
SET sql_mode = 'ANSI_QUOTES,NO_ZERO_DATE'
SET SESSION sql_mode = (SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION')), time_zone = '+00:00', NAMES utf8mb4 COLLATE utf8mb4_unicode_ci
SET sql_mode = TRADITIONAL
SET sql_mode = ''
SET NAMES utf8mb4
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'
SET CHARACTER SET utf8mb4
SET CHARSET utf8mb4
SET character_set_results = NULL
SET GLOBAL max_connections = 150; SELECT @@global.max_connections
SET @@GLOBAL.max_connections = 151, GLOBAL max_connections = 152
SET TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED
SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ
SET ROLE NONE
@mysql SET ROLE ALL
@mysql SET PERSIST max_connections = 153; RESET PERSIST max_connections
@maria SET STATEMENT max_statement_time = 10 FOR SELECT 1
SET foreign_key_checks = OFF, unique_checks = 0, sql_log_bin = DEFAULT
-- --- SHOW, DESCRIBE, EXPLAIN
SHOW TABLES
SHOW FULL TABLES FROM shop LIKE 'o%'
SHOW TABLES IN shop WHERE Tables_in_shop = 'orders'
SHOW DATABASES LIKE 'shop'
SHOW SCHEMAS WHERE `Database` = 'shop'
SHOW COLUMNS FROM orders
SHOW FULL FIELDS IN orders FROM shop LIKE 'i%'
SHOW INDEX FROM orders
SHOW KEYS FROM orders IN shop WHERE Key_name = 'c'
SHOW CREATE TABLE orders
SHOW CREATE DATABASE IF NOT EXISTS shop
SHOW CREATE VIEW v
SHOW CREATE FUNCTION twice
SHOW CREATE PROCEDURE shop.list_items
@volatile SHOW TABLE STATUS LIKE 'orders'
@volatile SHOW FUNCTION STATUS WHERE Db = 'shop'
@volatile SHOW PROCEDURE STATUS LIKE 'list%'
SHOW VARIABLES LIKE 'autocommit'
SHOW GLOBAL VARIABLES WHERE Variable_name = 'autocommit' OR Value = 'nothing'
@volatile SHOW SESSION STATUS LIKE 'Com_select'
@volatile SHOW PROCESSLIST
@volatile SHOW FULL PROCESSLIST
SHOW WARNINGS
SHOW ERRORS LIMIT 1
SHOW COUNT(*) WARNINGS
SHOW CHARACTER SET LIKE 'utf8mb4'
SHOW COLLATION LIKE 'utf8mb4_bin'
SHOW ENGINES
SHOW PLUGINS
SHOW PRIVILEGES
SHOW GRANTS
SHOW GRANTS FOR CURRENT_USER
SHOW GRANTS FOR clerk
SHOW TRIGGERS FROM shop
SHOW EVENTS
@volatile SHOW OPEN TABLES FROM shop
@volatile SHOW ENGINE INNODB STATUS
SHOW PROFILES
@volatile SHOW CREATE USER root@localhost
DESCRIBE orders
DESC orders total
DESC orders 'c%'
EXPLAIN orders
@volatile EXPLAIN SELECT * FROM orders
@volatile EXPLAIN FORMAT=JSON SELECT * FROM orders o JOIN items i ON o.id = i.order_id
@volatile EXPLAIN UPDATE orders SET total = 1 WHERE id = 1
@volatile EXPLAIN DELETE FROM orders WHERE id = 1
@volatile EXPLAIN INSERT INTO orders (id) VALUES (77)
@mysql @volatile EXPLAIN ANALYZE SELECT * FROM orders
@mysql @volatile EXPLAIN FORMAT = TREE SELECT * FROM orders
@maria @volatile ANALYZE SELECT * FROM orders
@maria @volatile ANALYZE FORMAT=JSON SELECT * FROM orders
@maria @volatile EXPLAIN EXTENDED SELECT * FROM orders
HELP 'select'
-- --- transactions, locks, server
BEGIN; UPDATE orders SET total = 0; ROLLBACK
START TRANSACTION; DELETE FROM orders; COMMIT
START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT; COMMIT AND NO CHAIN NO RELEASE
BEGIN WORK; SAVEPOINT a; DELETE FROM orders; ROLLBACK WORK TO SAVEPOINT a; RELEASE SAVEPOINT a; COMMIT WORK
XA START 'x'; UPDATE orders SET total = 9; XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x'
XA START 'x', 'b', 7; XA END 'x', 'b', 7; XA ROLLBACK 'x', 'b', 7
XA BEGIN 'y'; XA END 'y'; XA COMMIT 'y' ONE PHASE
XA RECOVER
LOCK TABLES orders WRITE, items AS i READ; UNLOCK TABLES
LOCK TABLE orders READ LOCAL; UNLOCK TABLES
FLUSH PRIVILEGES
FLUSH TABLES
FLUSH TABLES orders, items
FLUSH LOCAL STATUS
FLUSH TABLES orders WITH READ LOCK; UNLOCK TABLES
ANALYZE TABLE orders, items
CHECK TABLE orders QUICK
OPTIMIZE LOCAL TABLE items
REPAIR TABLE items
CHECKSUM TABLE orders, items EXTENDED
USE other; SELECT * FROM orders; USE shop
@mysql ANALYZE TABLE orders UPDATE HISTOGRAM ON total WITH 4 BUCKETS
@fails KILL 4000000000
-- --- tables
CREATE TABLE fresh1 (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, a VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT 'x' COMMENT 'it''s', b DECIMAL(10, 2) ZEROFILL, c ENUM('a', 'b''c') DEFAULT 'a', d SET('x', 'y'), e TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, f BIT(3) DEFAULT b'101', g DOUBLE PRECISION, h TINYINT(1) NULL, i LONGTEXT, j BLOB(100), UNIQUE KEY ab (a, b DESC), KEY (c), INDEX i2 USING BTREE (h) COMMENT 'k') ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 AUTO_INCREMENT=10 COMMENT 'c' ROW_FORMAT=DYNAMIC
CREATE TABLE IF NOT EXISTS orders (id INT)
CREATE TABLE g (a INT, b INT AS (a + 1) VIRTUAL, c INT GENERATED ALWAYS AS (a * 2) STORED, CHECK (a > 0), CONSTRAINT ck CHECK (a < 100))
CREATE TABLE child (id INT PRIMARY KEY, o INT, CONSTRAINT fk FOREIGN KEY (o) REFERENCES orders (id) ON DELETE CASCADE ON UPDATE SET NULL)
CREATE TABLE sp (p POINT NOT NULL, g GEOMETRY, SPATIAL INDEX (p))
CREATE TABLE ft (t TEXT, FULLTEXT KEY ft (t))
CREATE TABLE d (a INT DEFAULT (1 + 1), b DATETIME(3) DEFAULT NOW(3), c JSON, e BOOL DEFAULT TRUE, f YEAR, g TIME(2), h SERIAL)
CREATE TABLE pt (id INT, y INT) PARTITION BY LIST (y) (PARTITION a VALUES IN (1, 2), PARTITION b VALUES IN (3))
CREATE TABLE ph (id INT) PARTITION BY LINEAR HASH (id) PARTITIONS 4
CREATE TABLE pk (id INT, d DATE) PARTITION BY RANGE COLUMNS (d) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN ('2026-01-01') ENGINE = InnoDB, PARTITION p1 VALUES LESS THAN (MAXVALUE))
CREATE TABLE pky (id INT PRIMARY KEY) PARTITION BY KEY () PARTITIONS 2
CREATE TABLE copy LIKE orders
CREATE TABLE copy (LIKE orders)
CREATE TABLE made AS SELECT id, total * 2 FROM orders
CREATE TABLE made (x INT) SELECT id FROM orders
CREATE TABLE made ENGINE=MyISAM IGNORE AS SELECT 1 AS a
CREATE TEMPORARY TABLE tmp (a INT); INSERT INTO tmp VALUES (1); SELECT * FROM tmp; DROP TEMPORARY TABLE tmp
CREATE TABLE `weird ``q` (`a b` INT, `select` INT)
CREATE TABLE count (id INT)
@mysql CREATE TABLE vis (a INT, b INT INVISIBLE, KEY k (a) INVISIBLE, KEY f ((a + 1)))
@maria CREATE OR REPLACE TABLE orders (id INT)
@maria CREATE TABLE ver (a INT) WITH SYSTEM VERSIONING
@maria CREATE TABLE ver (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING; SELECT a FROM ver FOR SYSTEM_TIME AS OF NOW(); SELECT a FROM ver FOR SYSTEM_TIME ALL
@maria CREATE TABLE per (a INT, s DATE, e DATE, PERIOD FOR p (s, e)); DELETE FROM per FOR PORTION OF p FROM '2020-01-01' TO '2021-01-01'
ALTER TABLE orders ADD COLUMN x INT DEFAULT 5 AFTER id, ADD y INT FIRST, ADD (z1 INT, z2 INT), DROP COLUMN made, MODIFY total DECIMAL(12, 4) NOT NULL, CHANGE customer_id cust BIGINT
ALTER TABLE orders ADD INDEX t (total), ADD UNIQUE (id, total), ALGORITHM=COPY
ALTER TABLE orders ADD KEY t (total), DROP INDEX c
ALTER TABLE orders ALTER total SET DEFAULT 3, ALTER COLUMN customer_id DROP DEFAULT
ALTER TABLE orders RENAME TO orders2
ALTER TABLE orders RENAME COLUMN total TO amount, RENAME INDEX c TO cc
ALTER TABLE orders ENGINE = InnoDB, COMMENT = 'x', AUTO_INCREMENT = 100
ALTER TABLE orders CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
ALTER TABLE orders ADD CONSTRAINT ck CHECK (total >= 0), ADD CONSTRAINT FOREIGN KEY (customer_id) REFERENCES customers (id)
ALTER TABLE orders DROP PRIMARY KEY, MODIFY id INT
ALTER TABLE orders ORDER BY total, id
ALTER TABLE orders FORCE, LOCK = SHARED, ALGORITHM = INPLACE
ALTER TABLE parts DROP PARTITION p0
ALTER TABLE parts REORGANIZE PARTITION p1 INTO (PARTITION p1 VALUES LESS THAN (100), PARTITION p2 VALUES LESS THAN MAXVALUE)
ALTER TABLE parts TRUNCATE PARTITION p0
ALTER TABLE parts REMOVE PARTITIONING
ALTER TABLE parts PARTITION BY HASH (id) PARTITIONS 3
ALTER TABLE parts ANALYZE PARTITION ALL
ALTER TABLE orders DISABLE KEYS
CREATE INDEX i ON orders (total, customer_id DESC)
CREATE UNIQUE INDEX u USING BTREE ON items (id) COMMENT 'x'
CREATE FULLTEXT INDEX f ON customers (name)
CREATE INDEX pre ON customers (name(5))
DROP INDEX c ON orders
DROP TABLE orders
DROP TABLE IF EXISTS nope, items
DROP TABLES items, orders CASCADE
RENAME TABLE orders TO orders2, items TO other.items
CREATE DATABASE fresh DEFAULT CHARACTER SET utf8mb4 COLLATE = utf8mb4_bin
CREATE SCHEMA IF NOT EXISTS fresh
ALTER DATABASE other CHARACTER SET latin1
DROP DATABASE other
DROP SCHEMA IF EXISTS nope
CREATE VIEW v2 AS SELECT id+1, name AS n, CONCAT(name, ssn) FROM customers WHERE id > 1
CREATE OR REPLACE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW v (a, b) AS SELECT id, note FROM customers WITH LOCAL CHECK OPTION
ALTER VIEW v AS SELECT id FROM orders
CREATE VIEW v3 AS (SELECT 1) UNION (SELECT 2)
DROP VIEW v
DROP VIEW IF EXISTS v, nope
@maria CREATE SEQUENCE s START WITH 5 INCREMENT BY 2 MINVALUE = 1 NOCACHE CYCLE; SELECT NEXT VALUE FOR s, NEXTVAL(s), LASTVAL(s); DROP SEQUENCE s
@maria @volatile SELECT NEXTVAL(numbers), SETVAL(numbers, 10), PREVIOUS VALUE FOR numbers
-- --- programs
CREATE PROCEDURE p1(IN a INT, OUT b VARCHAR(10), INOUT c INT) COMMENT 'x' READS SQL DATA SELECT a INTO b
CREATE PROCEDURE p2() BEGIN DECLARE i, j INT DEFAULT 0; DECLARE done BOOL DEFAULT FALSE; DECLARE cur CURSOR FOR SELECT id FROM orders; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE; DECLARE EXIT HANDLER FOR SQLEXCEPTION, SQLSTATE '23000' BEGIN ROLLBACK; END; OPEN cur; lp: LOOP FETCH cur INTO i; IF done THEN LEAVE lp; ELSEIF i > 1 THEN ITERATE lp; ELSE SET j = j + i; END IF; END LOOP lp; CLOSE cur; WHILE j > 0 DO SET j = j - 1; END WHILE; REPEAT SET j = j + 1; UNTIL j > 3 END REPEAT; CASE j WHEN 1 THEN SELECT 1; ELSE SELECT j; END CASE; UPDATE orders SET total = j WHERE id = 1; END; CALL p2()
CREATE FUNCTION f1(a INT) RETURNS VARCHAR(20) DETERMINISTIC NO SQL BEGIN IF a > 1 THEN RETURN 'big'; END IF; RETURN CONCAT('small', a); END; SELECT f1(1), f1(2)
CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = NEW.total + 1; INSERT INTO orders (total) VALUES (1)
CREATE TRIGGER tr AFTER UPDATE ON orders FOR EACH ROW BEGIN INSERT INTO items (id, price) VALUES (NEW.id + 100, OLD.total); END; UPDATE orders SET total = 5
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'x' DO DELETE FROM orders
CREATE EVENT ev ON SCHEDULE AT '2035-01-01 00:00:00' + INTERVAL 1 HOUR DO BEGIN DELETE FROM orders; END; ALTER EVENT ev DISABLE; DROP EVENT ev
CREATE DEFINER=CURRENT_USER PROCEDURE p3() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'
ALTER PROCEDURE list_items COMMENT 'y' SQL SECURITY INVOKER
DROP PROCEDURE list_items
DROP FUNCTION IF EXISTS shop.twice
@maria BEGIN NOT ATOMIC DECLARE x INT DEFAULT 3; SELECT x; END
@fails SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no', MYSQL_ERRNO = 1234
-- --- accounts
CREATE USER 'bob'@'%' IDENTIFIED BY 'pass''word'
CREATE USER IF NOT EXISTS bob, bob2@localhost IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 10 PASSWORD EXPIRE ACCOUNT LOCK
@mysql CREATE USER bob IDENTIFIED WITH caching_sha2_password BY 'x' DEFAULT ROLE clerk PASSWORD HISTORY 5 FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 2 COMMENT 'c'
@maria CREATE USER bob IDENTIFIED VIA mysql_native_password USING PASSWORD('x') OR unix_socket
CREATE USER bob; ALTER USER bob IDENTIFIED BY 'y' ACCOUNT UNLOCK; DROP USER bob
CREATE USER bob; GRANT SELECT, INSERT (id, total), UPDATE ON shop.orders TO bob WITH GRANT OPTION; REVOKE INSERT (id) ON shop.orders FROM bob
CREATE USER 'bob'@'%'; GRANT ALL PRIVILEGES ON shop.* TO 'bob'@'%'; GRANT PROCESS, REPLICATION CLIENT ON *.* TO bob; REVOKE ALL PRIVILEGES, GRANT OPTION FROM bob
CREATE USER bob; GRANT EXECUTE ON PROCEDURE shop.list_items TO bob; GRANT clerk TO bob; REVOKE clerk FROM bob
CREATE USER bob; GRANT ALL ON `sh%`.* TO bob; GRANT CREATE TEMPORARY TABLES, LOCK TABLES ON shop.* TO bob
@mysql CREATE USER bob; SET PASSWORD FOR bob = 'x'
@maria CREATE USER bob; SET PASSWORD FOR bob = PASSWORD('x')
CREATE USER bob; RENAME USER bob TO bob2@localhost
CREATE ROLE IF NOT EXISTS clerk
@mysql CREATE USER bob; GRANT clerk TO bob WITH ADMIN OPTION; SET DEFAULT ROLE clerk TO bob
@maria CREATE USER bob; GRANT clerk TO bob; SET DEFAULT ROLE clerk FOR bob
CREATE USER 'bob' @'%'; DROP USER bob @'%'
DROP ROLE clerk
