"""What the measured statements read and write."""

from .measure import ROWS
from .parts import DATABASE, PASSWORD, USER

COLUMNS = "id, customer_id, quantity, amount, created_at, updated_at, title, contact, notes, digest"

# About 215 bytes a row in text form. No value looks like anything a recognizer is for.
WIDE = """
create table wide (
  id int not null, customer_id int not null, quantity int not null, amount numeric(12,2) not null,
  created_at timestamptz not null, updated_at timestamptz not null,
  title text not null, contact text not null, notes text not null, digest text not null);
insert into wide
select i, i % 50021, i % 97, (i % 100000) / 100.0,
  timestamptz '2025-01-01 00:00+00' + i * interval '17 seconds',
  timestamptz '2025-06-01 00:00+00' + i * interval '13 seconds',
  w[1 + i % 16] || ' ' || w[1 + i / 16 % 16] || ' ' || w[1 + i / 256 % 16],
  initcap(w[1 + i / 3 % 16]) || ' ' || initcap(w[1 + i / 7 % 16]),
  w[1 + i % 16] || ' the ' || w[1 + i / 5 % 16] || ' and the ' || w[1 + i / 11 % 16] || ' of ' || w[1 + i / 13 % 16] ||
    ' with a ' || w[1 + i / 17 % 16],
  md5(i::text)
from generate_series(1, {rows}) i,
  (select array['amber','birch','cedar','delta','ember','fjord','grove','heath',
                'inlet','juniper','kelp','lichen','meadow','north','osprey','pine'] w) words;
"""

TAGGED = "create table wide_tagged as table wide;"

# The same, with an e-mail address and a (test) card number in text that no tag names.
FOUND = """
create table wide_found as
select id, customer_id, quantity, amount, created_at, updated_at, title,
  replace(lower(contact), ' ', '.') || '@example.com' contact, notes || ' 4111 1111 1111 1111' notes, digest from wide;
"""


def fill(postgres, scale, with_wide):
    """Creates the role, the database and the tables."""
    postgres.psql(f"create role {USER} login password '{PASSWORD}'", database="postgres")
    postgres.psql(f"create database {DATABASE} owner {USER}", database="postgres")
    postgres.pgbench_init(scale)
    if with_wide:
        for statement in (WIDE.format(rows=ROWS), TAGGED, FOUND):
            postgres.psql(statement, user=USER)
        postgres.psql("vacuum (freeze, analyze)")
    postgres.psql("checkpoint")


def before_writes(postgres):
    """What pgbench does before a run, done directly: a proxy is not asked for VACUUM."""
    postgres.psql("truncate pgbench_history; ", user=USER)
    postgres.psql("vacuum pgbench_tellers", user=USER)
    postgres.psql("vacuum pgbench_branches", user=USER)
