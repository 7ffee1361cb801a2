-- A second sample database of ./quickstart, for who registers a backend of their own. Nobody in it is real.
BEGIN;

CREATE TABLE stock (
    item   text PRIMARY KEY,
    shelf  text NOT NULL,
    pieces integer NOT NULL CHECK (pieces >= 0)
);

CREATE TABLE suppliers (
    name  text PRIMARY KEY,
    item  text NOT NULL REFERENCES stock,
    email text NOT NULL
);

INSERT INTO stock VALUES
    ('anvil', 'A-01', 12), ('broom', 'A-02', 40), ('candle', 'B-07', 310), ('drum', 'C-11', 5), ('easel', 'C-12', 18);
INSERT INTO suppliers VALUES
    ('Iron & Sons', 'anvil', 'orders@iron.example.com'),
    ('Wick Works', 'candle', 'hello@wick.example.org'),
    ('Bristle Bros', 'broom', 'sales@bristle.example.net');

COMMIT;
