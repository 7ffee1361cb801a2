-- The sample data of ./quickstart in MariaDB: the same shop as demo/orders.sql, smaller. Nobody in it is real.
CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10, 2) NOT NULL);
CREATE TABLE customers (
    id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, email VARCHAR(80) NOT NULL UNIQUE, card_number VARCHAR(20) NOT NULL,
    ssn VARCHAR(11) NOT NULL, notes TEXT
);
CREATE TABLE orders (
    id INT PRIMARY KEY, customer_id INT NOT NULL, status VARCHAR(20) NOT NULL,
    -- Counts how often the row was changed: the tour proves by it that an approved UPDATE ran once.
    revision INT NOT NULL DEFAULT 0
);
CREATE VIEW contacts AS SELECT id, CONCAT(name, ' <', email, '>') AS contact FROM customers;
INSERT INTO products VALUES (1, 'Oak Lamp', 14.15), (2, 'Steel Chair', 23.40), (3, 'Linen Notebook', 32.65);
INSERT INTO customers VALUES
    (1, 'Ada Anders', 'ada.anders1@example.com', '4111111111111111', '107-14-7920', 'Gift wrapping, please'),
    (2, 'Boris Baker', 'boris.baker2@example.org', '5555555555554444', '114-27-5839', 'Write to boris2@mail.example.com'),
    (3, 'Chiara Castro', 'chiara.castro3@example.net', '4012888888881881', '121-40-3758', 'Paid by phone, card 4012 8888 8888 1881');
INSERT INTO orders VALUES (1, 1, 'new', 0), (2, 2, 'paid', 0), (3, 3, 'shipped', 0);
