"""psycopg 3 (C implementation with its own libpq) through the gateway.

Behind the scenes: BEGIN before the first statement of a transaction, COMMIT or ROLLBACK after it, SAVEPOINT/RELEASE for
a nested one. Parameters make every statement an extended query; the fifth run of the same text prepares it as
`_pg3_0`; after a ROLLBACK of what was prepared it sends DEALLOCATE ALL. A server-side cursor is DECLARE "name" CURSOR FOR … / FETCH FORWARD n FROM "name" / CLOSE "name". A pipeline
sends Parse/Bind/Describe/Execute without waiting. Types are never looked up unless asked for (TypeInfo.fetch, not
used here). cancel_safe() is a CancelRequest, over TLS like the connection itself (libpq 17 and later).
"""

import sys
import threading
import time

import psycopg
from psycopg.types.json import Jsonb

from checks import (
    CA, CANCEL_LIMIT, DATABASE, HIDDEN_COLUMNS, HIDDEN_ROWS, HIDDEN_TYPES, HIDDEN_VALUES, HOST, IS_HIDDEN, JSON_SAMPLE, PASSWORD,
    PORT, PREFIX, SAMPLE, USER, Report, expect,
)

ITEMS, SAMPLES, BULK, COPIED, HIDDEN = (PREFIX + name for name in ("items", "samples", "bulk", "copied", "hidden"))
ME = "psycopg"


def connect(**more):
    return psycopg.connect(
        host=HOST, port=PORT, dbname=DATABASE, user=USER, password=PASSWORD,
        sslmode="verify-full", sslrootcert=CA, connect_timeout=10, **more,
    )


def tls(conn):
    expect(True, conn.pgconn.ssl_in_use)


def select(conn):
    expect((1, "héllo", True), conn.execute("SELECT 1, 'héllo', true").fetchone())
    expect([], conn.execute("SELECT 1 WHERE false").fetchall())


def prepared(conn):
    conn.execute(f"DELETE FROM {ITEMS} WHERE client = %s", [ME])
    for i in range(100):
        conn.execute(f"INSERT INTO {ITEMS} VALUES (%s, %s, %s, %s)", [ME, i, f"item {i}", i], prepare=True)
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        for i in range(20):
            query = f"SELECT name, qty FROM {ITEMS} WHERE client = %t AND id = %b"
            expect((f"item {i}", i), cursor.execute(query, [ME, i], prepare=True).fetchone())


def transaction(conn):
    count = f"SELECT count(*) FROM {ITEMS} WHERE client = %s AND id >= 1000"
    try:
        with conn.transaction():
            conn.execute(f"INSERT INTO {ITEMS} VALUES (%s, 1001, 'undone', 1)", [ME])
            expect((1,), conn.execute(count, [ME]).fetchone())
            raise KeyError("to roll back")
    except KeyError:
        pass
    expect((0,), conn.execute(count, [ME]).fetchone())
    with conn.transaction():
        conn.execute(f"INSERT INTO {ITEMS} VALUES (%s, 1002, 'kept', 1)", [ME])
    expect((1,), conn.execute(count, [ME]).fetchone())


def error_recovery(conn):
    with conn.transaction(force_rollback=True):
        for query, state in (("SELECT 1/%s", "22012"), ("SELECT * FROM e2e_no_such_table", "42P01")):
            try:
                with conn.transaction():
                    conn.execute(query, [0] if "%s" in query else None)
                raise AssertionError("no error")
            except psycopg.Error as error:
                expect(state, error.sqlstate)
            expect((7,), conn.execute("SELECT 7").fetchone())
    conn.execute("BEGIN")
    for query, state in (("SELECT 1/0", "22012"), ("SELECT 1", "25P02")):
        try:
            conn.execute(query)
            raise AssertionError("no error")
        except psycopg.Error as error:
            expect(state, error.sqlstate)
    conn.execute("ROLLBACK")
    expect((8,), conn.execute("SELECT 8").fetchone())


def pipeline(conn):
    with conn.pipeline():
        cursors = [conn.execute("SELECT %s::int", [i]) for i in range(500)]
    expect(list(range(500)), [cursor.fetchone()[0] for cursor in cursors])
    # The error surfaces at whichever of these the driver reads it, so `skipped` may never come to be.
    skipped = None
    try:
        with conn.pipeline() as pipe:
            first = conn.execute("SELECT 1")
            pipe.sync()
            conn.execute("SELECT 1/0")
            skipped = conn.execute("SELECT 2")
            pipe.sync()
        raise AssertionError("no error")
    except psycopg.errors.DivisionByZero:
        expect((1,), first.fetchone())
        expect(None, skipped and skipped.pgresult and skipped.pgresult.get_value(0, 0))
    expect((9,), conn.execute("SELECT 9").fetchone())
    with conn.cursor() as cursor:
        cursor.executemany(f"UPDATE {ITEMS} SET qty = %s WHERE client = %s AND id = %s", [(i, ME, i) for i in range(100)])
        expect(100, cursor.rowcount)


def large_result(conn):
    with conn.transaction(), conn.cursor(name="big") as cursor:
        cursor.itersize = 5000
        cursor.execute(f"SELECT id, payload FROM {BULK}")
        rows = [row[0] for row in cursor]
    expect((100000, 5000050000), (len(rows), sum(rows)))
    rows = [row[0] for row in conn.cursor().stream(f"SELECT id, payload FROM {BULK}")]
    expect((100000, 5000050000), (len(rows), sum(rows)))


def copy_in(conn):
    conn.execute(f"DELETE FROM {COPIED} WHERE client = %s", [ME])
    with conn.cursor() as cursor:
        with cursor.copy(f"COPY {COPIED} (client, id, note) FROM STDIN") as copy:
            for i in range(10000):
                copy.write_row((ME, i, f"note {i} \\ tab\t ü"))
        expect(10000, cursor.rowcount)
        try:
            with cursor.copy(f"COPY {COPIED} (client, id, note) FROM STDIN") as copy:
                copy.write_row((ME, 10001, "given up"))
                raise KeyError("CopyFail")
        except KeyError:
            pass
        with cursor.copy(f"COPY {COPIED} (client, id, note) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "int4", "text"])
            copy.write_row((ME, 10002, "binary"))
    expect((10001,), conn.execute(f"SELECT count(*) FROM {COPIED} WHERE client = %s", [ME]).fetchone())


def copy_out(conn):
    query = f"COPY (SELECT id, note FROM {COPIED} WHERE client = 'psycopg' ORDER BY id) TO STDOUT"
    for options, types in (("", ["int4", "text"]), (" (FORMAT binary)", ["int4", "text"])):
        with conn.cursor().copy(query + options) as copy:
            copy.set_types(types)
            rows = list(copy.rows())
        expect((10001, (0, "note 0 \\ tab\t ü"), (10002, "binary")), (len(rows), rows[0], rows[-1]))


def types(conn):
    conn.execute("SET timezone = 'UTC'")
    columns = "t, b, ints, texts, n, ts, d, u, f, yes, nothing, j"
    for number, mark in ((1, "%t"), (2, "%b")):
        conn.execute(f"DELETE FROM {SAMPLES} WHERE client = %s AND id = %s", [ME, number])
        marks = ", ".join(["%s", "%s"] + [mark] * 12)
        values = [ME, number, *SAMPLE, Jsonb(JSON_SAMPLE)]
        conn.execute(f"INSERT INTO {SAMPLES} (client, id, {columns}) VALUES ({marks})", values)
        for binary in (False, True):
            query = f"SELECT {columns} FROM {SAMPLES} WHERE client = %s AND id = %s"
            expect((*SAMPLE, JSON_SAMPLE), conn.cursor(binary=binary).execute(query, [ME, number]).fetchone())


def cancel(conn):
    timer = threading.Timer(0.5, conn.cancel_safe)
    timer.start()
    begun = time.monotonic()
    try:
        conn.execute("SELECT pg_sleep(30)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled as error:
        expect("57014", error.sqlstate)
    took = time.monotonic() - begun
    timer.join()
    expect(True, took < CANCEL_LIMIT)
    expect((10,), conn.execute("SELECT 10").fetchone())


def notify(conn):
    conn.execute("LISTEN e2e_psycopg")
    with connect(autocommit=True) as other:
        other.execute("SELECT pg_notify('e2e_psycopg', 'hello, wörld')")
    received = [(n.channel, n.payload) for n in conn.notifies(timeout=5, stop_after=1)]
    conn.execute("UNLISTEN e2e_psycopg")
    expect([("e2e_psycopg", "hello, wörld")], received)


def hidden_rows(conn):
    query = f"SELECT {HIDDEN_COLUMNS} FROM {HIDDEN} WHERE client = %s AND id > %s ORDER BY id"
    for binary in (False, True):
        for prepare in (False, True, True):
            cursor = conn.cursor(binary=binary)
            expect(HIDDEN_ROWS, cursor.execute(query, ["all", 0], prepare=prepare).fetchall())
            expect(HIDDEN_COLUMNS.split(", "), [column.name for column in cursor.description])
            expect(HIDDEN_TYPES, [column.type_code for column in cursor.description])
    # The simple protocol, several statements in one text.
    cursor = conn.execute(f"SELECT count(*) FROM {HIDDEN} h WHERE client = 'all' AND ssn = '[ssn]'; SELECT h.ssn FROM {HIDDEN} h WHERE id = 3 AND client = 'all'")
    expect((8,), cursor.fetchone())
    cursor.nextset()
    expect(("[ssn]",), cursor.fetchone())


def hidden_filters(conn):
    """Whatever is asked by a value that is there finds nothing; what stands for it is found."""
    count = f"SELECT count(*) FROM {HIDDEN} WHERE client = 'all' AND "
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        for column, value in HIDDEN_VALUES.items():
            for mark in ("%t", "%b"):
                for prepare in (False, True, True):
                    expect((0,), cursor.execute(f"{count}{column} = {mark}", [value], prepare=prepare).fetchone())
        for value, found in (("[ssn]", 8), ("078-05-1124", 0), ("[ssn]", 8)):
            expect((found,), cursor.execute(f"{count}ssn = %s", [value], prepare=True).fetchone())
        expect((0,), cursor.execute(f"{count}ssn = ANY(%s)", [[f"078-05-112{i}" for i in range(9)]]).fetchone())


def hidden_cursor(conn):
    with conn.transaction():
        for binary in (False, True):
            with conn.cursor(name="hidden", binary=binary, scrollable=True) as cursor:
                cursor.execute(f"SELECT {HIDDEN_COLUMNS} FROM {HIDDEN} WHERE client = %s ORDER BY ssn, id", ["all"])
                expect(HIDDEN_ROWS[:3], cursor.fetchmany(3))
                expect(HIDDEN_ROWS[3:], cursor.fetchall())
                cursor.scroll(6, mode="absolute")
                expect(HIDDEN_ROWS[6], cursor.fetchone())
    rows = conn.cursor().stream(f"SELECT {HIDDEN_COLUMNS} FROM {HIDDEN} WHERE client = %s ORDER BY id", ["all"])
    expect(HIDDEN_ROWS, list(rows))


def hidden_pipeline(conn):
    with conn.pipeline():
        query = f"SELECT ssn, big FROM {HIDDEN} WHERE client = 'all' AND id = %s AND ssn LIKE %s"
        cursors = [conn.execute(query, [1 + i % 8, "[%" if i % 2 else "0%"]) for i in range(40)]
    expect([("[ssn]", 7) if i % 2 else None for i in range(40)], [cursor.fetchone() for cursor in cursors])


def hidden_copy(conn):
    shown = [(i, "[ssn]", None, 7, HIDDEN_ROWS[0][7]) for i in range(1, 9)]
    query = f"COPY (SELECT id, ssn, code, big, born FROM {HIDDEN} WHERE client = 'all' AND ssn = '[ssn]' ORDER BY id) TO STDOUT"
    for options in ("", " (FORMAT binary)"):
        with conn.cursor().copy(query + options) as copy:
            copy.set_types(["int4", "text", "int4", "int8", "date"])
            expect(shown, list(copy.rows()))
    with conn.cursor().copy(f"COPY {HIDDEN} (client, id, ssn) TO STDOUT") as copy:
        copy.set_types(["text", "int4", "text"])
        rows = [row for row in copy.rows() if row[0] == "all"]
    expect([("all", i, "[ssn]") for i in range(1, 9)], sorted(rows))


def hidden_writes(conn):
    me = [ME]
    conn.execute(f"DELETE FROM {HIDDEN} WHERE client = %s", me)
    put = f"INSERT INTO {HIDDEN} (client, id, name, ssn, code, born) VALUES (%s, %s, %s, %s, %s, %s) RETURNING id, name, ssn, code"
    for binary in (False, True):
        values = [ME, 1 + binary, "mine", "078-05-9999", 5, HIDDEN_VALUES["born"]]
        expect((1 + binary, "mine", "[ssn]", None), conn.cursor(binary=binary).execute(put, values, prepare=True).fetchone())
    try:
        with conn.transaction():
            changed = conn.execute(f"UPDATE {HIDDEN} SET ssn = %s, name = 'new' WHERE client = %s RETURNING name, ssn", ["1", ME])
            expect([("new", "[ssn]")] * 2, changed.fetchall())
            raise KeyError("to roll back")
    except KeyError:
        pass
    for text, values in (
        (f"UPDATE {HIDDEN} SET name = 'x' WHERE ssn = %s", ["078-05-1124"]),
        (f"DELETE FROM {HIDDEN} WHERE client = 'x' AND code = %s", [1004]),
        (f"UPDATE {HIDDEN} SET ssn = %s WHERE client = %s", ["[ssn]", ME]),
    ):
        for prepare in (False, True):
            try:
                conn.execute(text, values, prepare=prepare)
                raise AssertionError(f"not refused: {text}")
            except psycopg.errors.InsufficientPrivilege:
                pass
    expect([("mine",)] * 2, conn.execute(f"SELECT name FROM {HIDDEN} WHERE client = %s", me).fetchall())


def main():
    report = Report()
    hidden = (hidden_rows, hidden_filters, hidden_cursor, hidden_pipeline, hidden_copy, hidden_writes)
    if not IS_HIDDEN:
        print("skip hidden: nothing is hidden from this caller")
    with connect(autocommit=True) as conn:
        for check in (tls, select, prepared, transaction, error_recovery, pipeline, large_result, copy_in, copy_out,
                      types, *(hidden if IS_HIDDEN else ()), cancel, notify):
            name = check.__name__.replace("_", "-")
            try:
                check(conn)
                report.ok(name)
            except Exception as error:  # noqa: BLE001 - reported, and the next check still runs
                report.fail(name, error)
                if conn.closed:
                    break
                conn.rollback()
    return 1 if report.failed else 0


sys.exit(main())
