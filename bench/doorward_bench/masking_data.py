"""What bench/run-masking reads: the same tables in PostgreSQL and MariaDB, and views that mask them by hand."""

from dataclasses import dataclass

ROWS = 100_000
CITIES = 2_000  # so that 50 people live in each
WIDE = {(0, "none"): "wide", (2, "redact"): "wide_2_redact", (10, "redact"): "wide_10_redact"}
WIDE |= {(2, "hash"): "wide_2_hash", (10, "hash"): "wide_10_hash"}
TAG = {"redact": "pii", "hash": "hashed"}
# The second has an index over a hidden column and another one: docs/masking.md, "Order, places, partitions".
PEOPLE = ("customers", "customers_sorted")
PEOPLE_COLUMNS = ("id", "name", "ssn", "email", "city", "credit", "since")
HIDDEN = ("ssn", "email")


@dataclass(frozen=True)
class Dialect:
    """How one of the servers writes what is needed here."""

    schema: str
    people: str
    orders: str
    wide: str
    hashed: str  # what a mask by hash looks like, of a column
    after: str


WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "juniper", "kelp", "lichen", "meadow"]


def wide_columns(word, number, moment):
    """Twenty columns: each second one a text; of the others four are none. About 300 bytes a row."""
    columns = []
    for n in range(1, 21):
        value = {1: "i", 3: f"i % {50_021}", 5: number, 7: moment}.get(n) or word(n)
        columns.append(f"{value} c{n}")
    return ", ".join(columns)


def pg_word(n):
    return f"w[1 + (i + {n}) % 13] || ' ' || w[1 + i / {n + 1} % 13]"


def my_word(n):
    words = ", ".join(f"'{w}'" for w in WORDS)
    return f"concat(elt(1 + (i + {n}) % 13, {words}), ' ', elt(1 + i div {n + 1} % 13, {words}))"


PG_WORDS = "(select array[" + ", ".join(f"'{w}'" for w in WORDS) + "] w) words"
POSTGRES = Dialect(
    schema="public",
    people=f"""create table {{name}} (id int primary key, name text not null, ssn text not null, email text not null, city text not null,
        credit int not null, since date not null);
      insert into {{name}} select i, {pg_word(1)}, lpad((i % 899 + 1)::text, 3, '0') || '-45-' || lpad((i % 9999)::text, 4, '0'),
        'person' || i || '@example.com', 'city ' || i % {CITIES}, i % 977, date '2020-01-01' + i % 2000
      from generate_series(1, {ROWS}) i, {PG_WORDS};
      create index on {{name}} (city);""",
    orders=f"""create table orders (id int primary key, customer_id int not null, amount numeric(12,2) not null, placed date not null);
      insert into orders select i, 1 + i * 7919 % {ROWS}, i % 100000 / 100.0, date '2024-01-01' + i % 700
      from generate_series(1, {ROWS}) i; create index on orders (customer_id);""",
    wide="create table wide as select "
    + wide_columns(pg_word, "(i % 100000 / 100.0)::numeric(12,2)", "timestamptz '2025-01-01 00:00+00' + i * interval '17 seconds'")
    + f" from generate_series(1, {ROWS}) i, {PG_WORDS};",
    hashed="'h:' || substr(encode(sha256(convert_to({c}, 'UTF8')), 'hex'), 1, 24)",
    after="vacuum (freeze, analyze)",
)
MARIADB = Dialect(
    schema="bench",
    people=f"""create table {{name}} (id int primary key, name varchar(80) not null, ssn varchar(11) not null, email varchar(80) not null,
        city varchar(40) not null, credit int not null, since date not null);
      insert into {{name}} select i, {my_word(1)}, concat(lpad(i % 899 + 1, 3, '0'), '-45-', lpad(i % 9999, 4, '0')),
        concat('person', i, '@example.com'), concat('city ', i % {CITIES}), i % 977, date'2020-01-01' + interval i % 2000 day
      from (select seq i from seq_1_to_{ROWS}) numbers;
      create index by_city on {{name}} (city);""",
    orders=f"""create table orders (id int primary key, customer_id int not null, amount decimal(12,2) not null, placed date not null);
      insert into orders select i, 1 + i * 7919 % {ROWS}, i % 100000 / 100, date'2024-01-01' + interval i % 700 day
      from (select seq i from seq_1_to_{ROWS}) numbers; create index by_customer on orders (customer_id);""",
    wide="create table wide as select "
    + wide_columns(my_word, "cast(i % 100000 / 100 as decimal(12,2))", "timestamp'2025-01-01 00:00:00' + interval i * 17 second")
    + f" from (select seq i from seq_1_to_{ROWS}) numbers;",
    hashed="concat('h:', left(sha2({c}, 256), 24))",
    after="analyze table customers, customers_sorted, orders, wide",
)


def hidden_of(count):
    return [f"c{2 * n}" for n in range(1, count + 1)]


def statements(d):
    """Everything there is, in order."""
    for name in PEOPLE:
        yield from d.people.format(name=name).split(";")
        shown = ", ".join(f"'[pii]' {c}" if c in HIDDEN else c for c in PEOPLE_COLUMNS)
        yield f"create view {name}_masked as select {shown} from {name}"
    yield "create index sorted on customers_sorted (city, ssn)"
    yield from d.orders.split(";")
    yield from d.wide.split(";")
    yield "create view wide_masked as select * from wide"
    for (count, how), name in WIDE.items():
        if count:
            yield f"create table {name} as select * from wide"
            made = "'[pii]'" if how == "redact" else d.hashed
            hidden = hidden_of(count)
            columns = [f"c{n}" for n in range(1, 21)]
            shown = ", ".join(f"{made.format(c=c)} {c}" if c in hidden else c for c in columns)
            yield f"create view {name}_masked as select {shown} from {name}"
    yield d.after


def tags(d):
    """The tags of the connection, as TOML."""
    of = {f"{d.schema}.{table}.{column}": "pii" for table in PEOPLE for column in HIDDEN}
    for (count, how), name in WIDE.items():
        of |= {f"{d.schema}.{name}.{column}": TAG[how] for column in hidden_of(count)}
    return "{ " + ", ".join(f'"{what}" = ["{tag}"]' for what, tag in of.items()) + " }"


# Each with the place of a value that differs from one execution to the next when it is prepared.
STATEMENTS = {
    "by key": "select id, name, ssn, email from {customers} where id = {value}",
    "50 rows by a city": "select id, name, ssn, email from {customers} where city = 'city 17' and id > {value}",
    "join by a key": "select o.id, o.amount, c.name, c.ssn from orders o join {customers} c on c.id = o.customer_id where o.id = {value}",
}
EXPECTED = {"by key": 1, "50 rows by a city": 50, "join by a key": 1}
NOTHING_HIDDEN = "select id, customer_id, amount from orders where id = {value}"
