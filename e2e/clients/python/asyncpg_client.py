"""asyncpg (its own protocol implementation, binary formats only) through the gateway.

Behind the scenes: every statement with parameters, and every fetch, is a named prepared statement
(`__asyncpg_stmt_1__`), kept in a cache and reused. The first time a statement has an argument or a column of a type
that is not built in, and for arrays and composites it does not know, it asks pg_catalog with one big recursive query:
`WITH RECURSIVE typeinfo_tree(…) AS (SELECT … FROM (SELECT … FROM pg_catalog.pg_type AS t INNER JOIN
pg_catalog.pg_namespace … LEFT JOIN pg_type, pg_range, unnest(pg_attribute …)) …`. set_type_codec (used here for jsonb)
asks `SELECT t.oid, t.typelem AS elemtype, t.typtype AS kind FROM pg_catalog.pg_type AS t INNER JOIN
pg_catalog.pg_namespace AS ns … WHERE t.typname = $1 AND ns.nspname = $2`. transaction() is BEGIN/COMMIT/ROLLBACK, or
SAVEPOINT/RELEASE SAVEPOINT/ROLLBACK TO when nested. copy_*_table and copy_*_query write the COPY text; with the
parameters of copy_from_query it asks `SELECT quote_ident/quote_literal…` (not used here). A cursor is a portal with a
row limit, no SQL. A pool's release sends `SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;`.
"""

import asyncio
import io
import json
import ssl
import sys
import time

import asyncpg

from checks import (
    CA, CANCEL_LIMIT, DATABASE, HIDDEN_COLUMNS, HIDDEN_ROWS, HIDDEN_TYPES, HIDDEN_VALUES, HOST, IS_HIDDEN, JSON_SAMPLE, PASSWORD,
    PORT, PREFIX, SAMPLE, USER, Report, expect,
)

ITEMS, SAMPLES, BULK, COPIED, HIDDEN = (PREFIX + name for name in ("items", "samples", "bulk", "copied", "hidden"))
ME = "asyncpg"


def settings():
    context = ssl.create_default_context(cafile=CA)
    return {"host": HOST, "port": PORT, "database": DATABASE, "user": USER, "password": PASSWORD, "ssl": context,
            "timeout": 10}


async def tls(conn):
    tunnel = conn._transport.get_extra_info("ssl_object")
    expect(True, tunnel is not None and tunnel.version().startswith("TLSv1."))


async def select(conn):
    expect((1, "héllo", True), tuple(await conn.fetchrow("SELECT 1, 'héllo', true")))
    expect([], await conn.fetch("SELECT 1 WHERE false"))
    # Without parameters `execute` is a simple query, here with several statements.
    expect("SELECT 1", await conn.execute("SELECT 1; SELECT 2; SELECT 3"))


async def prepared(conn):
    await conn.execute(f"DELETE FROM {ITEMS} WHERE client = $1", ME)
    put = await conn.prepare(f"INSERT INTO {ITEMS} VALUES ($1, $2, $3, $4)")
    for i in range(100):
        await put.fetch(ME, i, f"item {i}", i)
    get = await conn.prepare(f"SELECT name, qty FROM {ITEMS} WHERE client = $1 AND id = $2")
    for i in range(100):
        expect((f"item {i}", i), tuple(await get.fetchrow(ME, i)))


async def transaction(conn):
    count = f"SELECT count(*) FROM {ITEMS} WHERE client = $1 AND id >= 1000"
    try:
        async with conn.transaction():
            await conn.execute(f"INSERT INTO {ITEMS} VALUES ($1, 1001, 'undone', 1)", ME)
            expect(1, await conn.fetchval(count, ME))
            raise KeyError("to roll back")
    except KeyError:
        pass
    expect(0, await conn.fetchval(count, ME))
    async with conn.transaction():
        await conn.execute(f"INSERT INTO {ITEMS} VALUES ($1, 1002, 'kept', 1)", ME)
    expect(1, await conn.fetchval(count, ME))


async def error_recovery(conn):
    outer = conn.transaction()
    await outer.start()
    for query, args, state in (("SELECT 1/$1::int", [0], "22012"), ("SELECT * FROM e2e_no_such_table", [], "42P01")):
        try:
            async with conn.transaction():
                await conn.fetch(query, *args)
            raise AssertionError("no error")
        except asyncpg.PostgresError as error:
            expect(state, error.sqlstate)
        expect(7, await conn.fetchval("SELECT 7"))
    await outer.rollback()
    await conn.execute("BEGIN")
    for query, state in (("SELECT 1/0", "22012"), ("SELECT 1", "25P02")):
        try:
            await conn.execute(query)
            raise AssertionError("no error")
        except asyncpg.PostgresError as error:
            expect(state, error.sqlstate)
    await conn.execute("ROLLBACK")
    expect(8, await conn.fetchval("SELECT 8"))


async def batch(conn):
    await conn.executemany(f"UPDATE {ITEMS} SET qty = $1 WHERE client = $2 AND id = $3", [(i + 1, ME, i) for i in range(100)])
    total = f"SELECT sum(qty) FROM {ITEMS} WHERE client = $1 AND id < 1000"
    expect(5050, await conn.fetchval(total, ME))
    try:
        arguments = [(1, ME, 1), (1, ME, 5001), (1, ME, 1)]
        await conn.executemany(f"INSERT INTO {ITEMS} VALUES ($2, $3, 'x', $1)", arguments)
        raise AssertionError("no error")
    except asyncpg.UniqueViolationError:
        expect(5050, await conn.fetchval(total, ME))


async def large_result(conn):
    rows = await conn.fetch(f"SELECT id, payload FROM {BULK}")
    expect((100000, 5000050000), (len(rows), sum(row["id"] for row in rows)))
    async with conn.transaction():
        rows = [row["id"] async for row in conn.cursor(f"SELECT id, payload FROM {BULK}", prefetch=1000)]
    expect((100000, 5000050000), (len(rows), sum(rows)))


async def copy_in(conn):
    await conn.execute(f"DELETE FROM {COPIED} WHERE client = $1", ME)
    records = [(ME, i, f"note {i} \\ tab\t ü") for i in range(10000)]
    status = await conn.copy_records_to_table(COPIED, records=records, columns=["client", "id", "note"])
    expect("COPY 10000", status)
    text = io.BytesIO("".join(f"{ME},{i},csv\n" for i in range(10000, 10010)).encode())
    expect("COPY 10", await conn.copy_to_table(COPIED, source=text, columns=["client", "id", "note"], format="csv"))
    expect(10010, await conn.fetchval(f"SELECT count(*) FROM {COPIED} WHERE client = $1", ME))


async def copy_out(conn):
    out = io.BytesIO()
    query = f"SELECT id, note FROM {COPIED} WHERE client = 'asyncpg' ORDER BY id"
    expect("COPY 10010", await conn.copy_from_query(query, output=out, format="csv"))
    lines = out.getvalue().decode().splitlines()
    expect((10010, "0,note 0 \\ tab\t ü", "10009,csv"), (len(lines), lines[0], lines[-1]))
    out = io.BytesIO()
    expect("COPY 10010", await conn.copy_from_query(query, output=out, format="binary"))
    expect(b"PGCOPY\n\xff\r\n\0", out.getvalue()[:11])


async def types(conn):
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await conn.execute(f"DELETE FROM {SAMPLES} WHERE client = $1", ME)
    columns = "t, b, ints, texts, n, ts, d, u, f, yes, nothing, j"
    marks = ", ".join(f"${i}" for i in range(1, 15))
    await conn.execute(f"INSERT INTO {SAMPLES} (client, id, {columns}) VALUES ({marks})", ME, 1, *SAMPLE, JSON_SAMPLE)
    row = await conn.fetchrow(f"SELECT {columns} FROM {SAMPLES} WHERE client = $1", ME)
    expect((*SAMPLE, JSON_SAMPLE), tuple(row))


async def cancel(conn):
    begun = time.monotonic()
    # A time-out of asyncpg sends a CancelRequest, over TLS.
    try:
        await conn.fetch("SELECT pg_sleep(30)", timeout=0.5)
        raise AssertionError("not cancelled")
    except asyncio.TimeoutError:
        pass
    expect(10, await conn.fetchval("SELECT 10"))
    expect(True, time.monotonic() - begun < CANCEL_LIMIT)
    # The server's own answer, seen on a call that does not know of the cancellation.
    begun = time.monotonic()
    sleeping = asyncio.ensure_future(conn.fetch("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.5)
    waiter = asyncio.get_running_loop().create_future()
    conn._cancel_current_command(waiter)
    try:
        await sleeping
        raise AssertionError("not cancelled")
    except asyncpg.QueryCanceledError as error:
        expect("57014", error.sqlstate)
    expect(True, time.monotonic() - begun < CANCEL_LIMIT)
    await waiter


async def notify(conn):
    received = asyncio.get_running_loop().create_future()
    callback = lambda _conn, _pid, channel, payload: received.set_result((channel, payload))  # noqa: E731
    await conn.add_listener("e2e_asyncpg", callback)
    other = await asyncpg.connect(**settings())
    await other.execute("SELECT pg_notify($1, $2)", "e2e_asyncpg", "hello, wörld")
    await other.close()
    expect(("e2e_asyncpg", "hello, wörld"), await asyncio.wait_for(received, 5))
    await conn.remove_listener("e2e_asyncpg", callback)


async def pool(_conn):
    async with asyncpg.create_pool(**settings(), min_size=2, max_size=4) as connections:
        answers = await asyncio.gather(*(connections.fetchval("SELECT $1::int", i) for i in range(40)))
    expect(list(range(40)), answers)


ALL_HIDDEN = f"SELECT {HIDDEN_COLUMNS} FROM {HIDDEN} WHERE client = $1 AND id > $2 ORDER BY id"


async def hidden_rows(conn):
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    statement = await conn.prepare(ALL_HIDDEN)
    expect(HIDDEN_TYPES, [attribute.type.oid for attribute in statement.get_attributes()])
    expect(HIDDEN_COLUMNS.split(", "), [attribute.name for attribute in statement.get_attributes()])
    for _ in range(5):
        expect(HIDDEN_ROWS, [tuple(row) for row in await statement.fetch("all", 0)])
        expect(HIDDEN_ROWS[4:], [tuple(row) for row in await conn.fetch(ALL_HIDDEN, "all", 4)])


async def hidden_filters(conn):
    """Whatever is asked by a value that is there finds nothing; what stands for it is found."""
    count = f"SELECT count(*) FROM {HIDDEN} WHERE client = 'all' AND "
    for column, value in HIDDEN_VALUES.items():
        for _ in range(2):
            expect(0, await conn.fetchval(f"{count}{column} = $1", value))
    for value, found in (("[ssn]", 8), ("078-05-1124", 0), ("[ssn]", 8)):
        expect(found, await conn.fetchval(f"{count}ssn = $1", value))
    expect(0, await conn.fetchval(f"{count}ssn = ANY($1)", [f"078-05-112{i}" for i in range(9)]))
    expect("SELECT 8", await conn.execute(f"SELECT 1; SELECT id FROM {HIDDEN} WHERE client = 'all' AND ssn = '[ssn]'"))


async def hidden_cursor(conn):
    async with conn.transaction():
        expect(HIDDEN_ROWS, [tuple(row) async for row in conn.cursor(ALL_HIDDEN, "all", 0, prefetch=3)])
        cursor = await conn.cursor(ALL_HIDDEN, "all", 0)
        expect(HIDDEN_ROWS[:3], [tuple(row) for row in await cursor.fetch(3)])
        await cursor.forward(2)
        expect(HIDDEN_ROWS[5], tuple(await cursor.fetchrow()))


async def hidden_copy(conn):
    out = io.BytesIO()
    query = f"SELECT id, ssn, code, big FROM {HIDDEN} WHERE client = $1 AND ssn = '[ssn]' ORDER BY id"
    expect("COPY 8", await conn.copy_from_query(query.replace("$1", "'all'"), output=out, format="csv"))
    expect([f'{i},"[ssn]",,"7"' for i in range(1, 9)], out.getvalue().decode().splitlines())
    out = io.BytesIO()
    await conn.copy_from_table(HIDDEN, columns=["client", "ssn"], output=out)
    expect(["all\t[ssn]"] * 8, [line for line in out.getvalue().decode().splitlines() if line.startswith("all")])
    out = io.BytesIO()
    await conn.copy_from_table(HIDDEN, columns=["ssn"], output=out, format="binary")
    expect((True, False), (b"[ssn]" in out.getvalue(), b"078-05" in out.getvalue()))


async def hidden_writes(conn):
    await conn.execute(f"DELETE FROM {HIDDEN} WHERE client = $1", ME)
    put = await conn.prepare(f"INSERT INTO {HIDDEN} (client, id, name, ssn, code, born) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id, ssn, code")
    for i in (1, 2):
        expect((i, "[ssn]", None), tuple(await put.fetchrow(ME, i, "mine", "078-05-9999", 5, HIDDEN_VALUES["born"])))
    await conn.executemany(f"UPDATE {HIDDEN} SET ssn = $1 WHERE client = $2 AND id = $3", [(f"n{i}", ME, i) for i in range(3)])
    try:
        async with conn.transaction():
            changed = await conn.fetch(f"UPDATE {HIDDEN} SET ssn = $1, name = 'new' WHERE client = $2 RETURNING name, ssn", "1", ME)
            expect([("new", "[ssn]")] * 2, [tuple(row) for row in changed])
            raise KeyError("to roll back")
    except KeyError:
        pass
    for text, values in (
        (f"UPDATE {HIDDEN} SET name = 'x' WHERE ssn = $1", ["078-05-1124"]),
        (f"DELETE FROM {HIDDEN} WHERE client = 'x' AND code = $1", [1004]),
        (f"UPDATE {HIDDEN} SET ssn = $1 WHERE client = $2", ["[ssn]", ME]),
    ):
        try:
            await conn.execute(text, *values)
            raise AssertionError(f"not refused: {text}")
        except asyncpg.InsufficientPrivilegeError:
            pass
    expect(["mine"] * 2, [row["name"] for row in await conn.fetch(f"SELECT name FROM {HIDDEN} WHERE client = $1", ME)])


async def main():
    report = Report()
    hidden = (hidden_rows, hidden_filters, hidden_cursor, hidden_copy, hidden_writes)
    if not IS_HIDDEN:
        print("skip hidden: nothing is hidden from this caller")
    conn = await asyncpg.connect(**settings())
    for check in (tls, select, prepared, transaction, error_recovery, batch, large_result, copy_in, copy_out, types,
                  *(hidden if IS_HIDDEN else ()), cancel, notify, pool):
        name = check.__name__.replace("_", "-")
        try:
            await asyncio.wait_for(check(conn), 60)
            report.ok(name)
        except Exception as error:  # noqa: BLE001 - reported, and the next check still runs
            report.fail(name, error)
            if conn.is_closed():
                break
            if conn.is_in_transaction():
                await conn.execute("ROLLBACK")
    await conn.close()
    return 1 if report.failed else 0


sys.exit(asyncio.run(main()))
