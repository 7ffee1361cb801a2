DROP DATABASE IF EXISTS shop
DROP DATABASE IF EXISTS other
DROP DATABASE IF EXISTS fresh
DROP USER IF EXISTS 'bob'@'%', 'bob2'@'localhost'
DROP ROLE IF EXISTS clerk
SET GLOBAL max_connections = 200
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci
CREATE DATABASE other CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci
CREATE ROLE clerk
CREATE DATABASE IF NOT EXISTS fixed
CREATE TABLE IF NOT EXISTS fixed.notes (id INT PRIMARY KEY, note TEXT, FULLTEXT KEY note (note))
INSERT IGNORE INTO fixed.notes VALUES (1, 'a fine note'), (2, 'another')
USE shop
CREATE TABLE customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL DEFAULT '', SSN VARCHAR(20), note TEXT, data JSON)
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer_id INT, total DECIMAL(10,2) DEFAULT 0, made DATETIME DEFAULT '2026-01-01 00:00:00', KEY c (customer_id))
CREATE TABLE items (id INT PRIMARY KEY, order_id INT, price INT, what VARCHAR(30))
CREATE TABLE `odd ``name` (`select` INT, `1a` INT, `a.b` INT)
CREATE TABLE parts (id INT, y INT) PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)
INSERT INTO customers (name, ssn, note, data) VALUES ('ann', '111', 'a fine note', '{"a": 1, "b": [1, 2]}'), ('bea', '222', 'another', '{"a": 2}'), ('c\\d''e', NULL, NULL, NULL)
INSERT INTO orders (customer_id, total) VALUES (1, 10), (1, 20.5), (2, 7)
INSERT INTO items VALUES (1, 1, 5, 'pen'), (2, 1, 6, 'ink'), (3, 2, 7, 'pad')
INSERT INTO `odd ``name` VALUES (1, 2, 3)
INSERT INTO parts VALUES (1, 5), (2, 50)
CREATE TABLE other.orders (id INT, secret INT)
INSERT INTO other.orders VALUES (7, 8)
CREATE VIEW v AS SELECT id, name FROM customers
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2
CREATE FUNCTION `count`(x INT) RETURNS INT DETERMINISTIC RETURN 42
CREATE PROCEDURE list_items(n INT) SELECT * FROM items LIMIT n
-- maria CREATE SEQUENCE numbers
