-- The sample data of ./quickstart: a small shop. The same rows on every machine, and nobody real: e-mail addresses are
-- at example domains, card numbers pass the Luhn check but belong to nobody, SSNs only have the right shape.
BEGIN;

CREATE TABLE products (
    id       integer PRIMARY KEY,
    sku      text NOT NULL UNIQUE,
    name     text NOT NULL,
    category text NOT NULL,
    price    numeric(10, 2) NOT NULL,
    stock    integer NOT NULL
);

CREATE TABLE customers (
    id          integer PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL UNIQUE,
    card_number text NOT NULL,
    ssn         text NOT NULL,
    phone       text NOT NULL,
    notes       text
);

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    product_id  integer NOT NULL REFERENCES products,
    quantity    integer NOT NULL CHECK (quantity > 0),
    status      text NOT NULL CHECK (status IN ('new', 'paid', 'shipped', 'returned')),
    -- Counts how often the row was changed: the tour proves by it that an approved UPDATE ran once.
    revision    integer NOT NULL DEFAULT 0,
    placed_at   timestamptz NOT NULL
);
CREATE INDEX orders_customer ON orders (customer_id);

INSERT INTO products
SELECT n,
       upper(left(thing, 3)) || '-' || to_char(n, 'FM000'),
       initcap(adjective || ' ' || thing),
       category,
       round(4.9 + (n * 37 % 400) / 4.0, 2),
       n * 53 % 240
FROM generate_series(1, 40) n,
     LATERAL (SELECT (ARRAY ['oak', 'steel', 'linen', 'glass', 'cork'])[1 + n % 5] AS adjective) a,
     LATERAL (SELECT (ARRAY ['lamp', 'chair', 'notebook', 'kettle', 'shelf', 'clock', 'tray', 'basket'])[1 + n % 8] AS thing) t,
     LATERAL (SELECT (ARRAY ['light', 'furniture', 'paper', 'kitchen', 'furniture', 'decor', 'kitchen', 'decor'])[1 + n % 8]
              AS category) c;

-- Appends the check digit of ISO/IEC 7812-1.
CREATE FUNCTION pg_temp.with_check_digit(payload text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT payload || (10 - sum(CASE WHEN (length(payload) - i) % 2 = 0 THEN d * 2 / 10 + d * 2 % 10 ELSE d END) % 10) % 10
    FROM (SELECT i, substr(payload, i, 1)::integer AS d FROM generate_series(1, length(payload)) i) digits
$$;

INSERT INTO customers
SELECT n,
       first || ' ' || last,
       lower(first || '.' || last) || n || '@' || (ARRAY ['example.com', 'example.org', 'example.net'])[1 + n % 3],
       card,
       to_char(100 + n * 7 % 500, 'FM000') || '-' || to_char(1 + n * 13 % 99, 'FM00') || '-' || to_char(1 + n * 7919 % 9999, 'FM0000'),
       '+1 ' || (ARRAY ['212', '312', '415', '617', '702'])[1 + n % 5] || '-555-' || to_char(100 + n % 100, 'FM0000'),
       CASE n % 8
           WHEN 1 THEN 'Prefers to be written to at ' || lower(first) || n || '@mail.example.com'
           WHEN 3 THEN 'Paid by phone, card ' || substr(card, 1, 4) || ' ' || substr(card, 5, 4) || ' ' || substr(card, 9, 4)
                       || ' ' || substr(card, 13)
           WHEN 5 THEN 'Gift wrapping, please'
           WHEN 6 THEN 'Called about a late parcel'
       END
FROM generate_series(1, 240) n,
     LATERAL (SELECT (ARRAY ['Ada', 'Boris', 'Chiara', 'Dmitri', 'Elena', 'Farid', 'Grace', 'Hugo', 'Ines', 'Jonas', 'Keiko',
                             'Liam', 'Mona', 'Nils', 'Olga', 'Pedro'])[1 + n % 16] AS first) f,
     LATERAL (SELECT (ARRAY ['Anders', 'Baker', 'Castro', 'Duval', 'Eriksen', 'Fischer', 'Gupta', 'Hansen', 'Ito', 'Jensen',
                             'Kovacs', 'Lopez', 'Meyer'])[1 + n * 5 % 13] AS last) l,
     LATERAL (SELECT pg_temp.with_check_digit(
                         (ARRAY ['453201', '555544', '411111', '510510'])[1 + n % 4] || to_char(n::bigint * 48611 % 1000000000, 'FM000000000')
                     ) AS card) k;

INSERT INTO orders
SELECT n,
       1 + n * 101 % 240,
       1 + n * 17 % 40,
       1 + n % 4,
       (ARRAY ['new', 'paid', 'paid', 'shipped', 'shipped', 'shipped', 'returned'])[1 + n % 7],
       0,
       timestamptz '2026-01-05 08:00+00' + n * interval '7 hours 13 minutes'
FROM generate_series(1, 600) n;

COMMIT;
ANALYZE products, customers, orders;
