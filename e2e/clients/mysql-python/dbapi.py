"""The checks that MySQL's Python drivers have in common: DB-API 2 with parameters as %s."""

import datetime
import decimal
import os
import sys
import tempfile
import threading
import time
import traceback

HOST, PORT = os.environ["E2E_MYSQL_HOST"], int(os.environ["E2E_MYSQL_PORT"])
DATABASE, USER = os.environ["E2E_MYSQL_DATABASE"], os.environ["E2E_MYSQL_USER"]
CA, OTHER_CA = os.environ["E2E_MYSQL_CA"], os.environ["E2E_MYSQL_OTHER_CA"]
if "DOORWARD_TOKEN_FILE" in os.environ:
    with open(os.environ["DOORWARD_TOKEN_FILE"], encoding="ascii") as token_file:
        PASSWORD = token_file.read().strip()
else:
    PASSWORD = os.environ["E2E_MYSQL_PASSWORD"]

COLUMNS = "ti, tu, i, iu, b, bu, n, f, d, t, dt, ts, y, txt, bl, j, yes, nothing"
SAMPLE = (
    -128, 255, -(2**31), 2**32 - 1, -(2**63), 2**64 - 1,
    decimal.Decimal("98765432.1234567891"),
    0.25,
    datetime.date(1999, 12, 31),
    datetime.timedelta(hours=12, minutes=34, seconds=56),
    datetime.datetime(2024, 2, 29, 12, 34, 56, 789012),
    datetime.datetime(2024, 2, 29, 12, 34, 56, 789012),
    2024,
    "žluťoučký 🐘 你好",
    b"\x00\xff\x10'\\\n",
    '{"k": [1, null, "ü"]}',
    True,
    None,
)
BIG = bytes(range(128, 256)) * (17 * 8192)  # 17 MiB that are no text
MASKED = ("Name 1", "[email]", "************1111", None, "mail [email]")
PEOPLE = "SELECT name, email, card, born, notes FROM e2e_people WHERE id = 1"
KILL_LIMIT = 5.0

# What is hidden by `e2e_hidden` from this caller (E2E_HIDDEN): its columns, what they show, and what one row of them holds.
# Statements over it are rewritten on their way: a constant stands for each hidden column.
IS_HIDDEN = bool(os.environ.get("E2E_HIDDEN"))
HIDDEN_COLUMNS = "id, name, ssn, mail, code, big, pay, born, seen, raw, ratio"
HIDDEN_ROWS = [
    (i, None if i == 5 else f"Name {i}", "[ssn]", "nobody@example.com", None, 7, decimal.Decimal("12.34"),
     datetime.date(1900, 1, 1), None, b"[hidden]", None)
    for i in range(1, 9)
]
HIDDEN_VALUES = {
    "ssn": "078-05-1124", "mail": "user4@example.com", "code": 1004, "big": 1000000000004, "pay": decimal.Decimal("402.00"),
    "born": datetime.date(1970, 1, 5), "seen": datetime.datetime(2024, 3, 4, 12), "raw": b"\x04", "ratio": 1.0,
}
HIDDEN = f"SELECT {HIDDEN_COLUMNS} FROM e2e_hidden WHERE client = %s AND id > %s ORDER BY ssn, id"


def expect(expected, actual):
    if expected != actual:
        raise AssertionError(f"expected {expected!r:.200}, got {actual!r:.200}")


class Driver:
    """A driver: what it does otherwise than the others is in the classes that are made of this one."""

    me = ""
    module = None

    def connect(self, **more):
        raise NotImplementedError

    def code(self, error):
        return error.args[0]

    def rows(self, conn, sql, args=None):
        cursor = conn.cursor()
        cursor.execute(sql, args)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return rows

    def fails(self, code, conn, sql, args=None):
        try:
            self.rows(conn, sql, args)
        except self.module.Error as error:
            expect(code, self.code(error))
            return
        raise AssertionError(f"no error: {sql}")

    def check_tls(self, conn):
        try:
            self.connect(ca=OTHER_CA)
        except Exception as error:  # noqa: BLE001 - each driver has its own
            expect(True, "certificate" in str(error).lower() or "ssl" in str(error).lower())
            return
        raise AssertionError("a certificate of an unknown authority was trusted")

    def check_select(self, conn):
        expect([(1, "héllo", 1)], self.rows(conn, "SELECT 1, 'héllo', true"))
        expect([], self.rows(conn, "SELECT 1 FROM DUAL WHERE false"))
        expect([(7, "a'b\\c%")], self.rows(conn, "SELECT %s, %s", (7, "a'b\\c%")))
        self.ping(conn)

    def ping(self, conn):
        conn.ping()

    def check_parameters(self, conn):
        self.rows(conn, "DELETE FROM e2e_items WHERE client = %s", (self.me,))
        cursor = conn.cursor()
        for i in range(10):
            cursor.execute("INSERT INTO e2e_items VALUES (%s, %s, %s, %s)", (self.me, i, f"item {i}", i))
            expect(1, cursor.rowcount)
        cursor.executemany(
            "INSERT INTO e2e_items VALUES (%s, %s, %s, %s)", [(self.me, i, f"item {i}", i) for i in range(10, 100)]
        )
        expect(90, cursor.rowcount)
        expect([(100, 4950)], self.rows(conn, "SELECT count(*), sum(qty) FROM e2e_items WHERE client = %s", (self.me,)))
        cursor.execute("INSERT INTO e2e_numbered (client, name) VALUES (%s, 'x')", (self.me,))
        expect(True, cursor.lastrowid > 0)
        cursor.close()
        conn.commit()

    def check_transaction(self, conn):
        late = "SELECT count(*) FROM e2e_items WHERE client = %s AND id > 1000"
        self.rows(conn, "INSERT INTO e2e_items VALUES (%s, 1001, 'undone', 1)", (self.me,))
        expect([(1,)], self.rows(conn, late, (self.me,)))
        conn.rollback()
        expect([(0,)], self.rows(conn, late, (self.me,)))
        self.rows(conn, "INSERT INTO e2e_items VALUES (%s, 1002, 'kept', 1)", (self.me,))
        # A refusal within a transaction leaves it as it was.
        self.fails(1142, conn, "DROP TABLE e2e_people")
        conn.commit()
        expect([(1,)], self.rows(conn, late, (self.me,)))

    def check_errors(self, conn):
        self.fails(1146, conn, "SELECT * FROM e2e_no_such_table")
        self.fails(1062, conn, "INSERT INTO e2e_items VALUES (%s, 1002, 'twice', 1)", (self.me,))
        self.fails(1227, conn, "SELECT 1 FROM FROM")
        expect([(8,)], self.rows(conn, "SELECT 8"))
        conn.rollback()

    def check_refused(self, conn):
        for sql in (
            "DROP TABLE e2e_people",
            "INSERT INTO e2e_people (id) VALUES (3)",
            "DELETE FROM e2e_items",
            "CREATE TABLE e2e_more (id int)",
            "SELECT * FROM mysql.user",
        ):
            self.fails(1142, conn, sql)
            expect([(9,)], self.rows(conn, "SELECT 9"))
        conn.rollback()

    def check_masked(self, conn):
        expect([MASKED], self.rows(conn, PEOPLE))
        expect([("[email]",)], self.rows(conn, "SELECT concat('<', email, '>') FROM e2e_people WHERE id = %s", (1,)))

    def check_types(self, conn):
        self.rows(conn, "DELETE FROM e2e_samples WHERE client = %s", (self.me,))
        marks = ", ".join(["%s"] * (2 + len(SAMPLE)))
        insert = f"INSERT INTO e2e_samples (client, id, {COLUMNS}) VALUES ({marks})"
        self.rows(conn, insert, (self.me, 1, *SAMPLE))
        row = self.rows(conn, f"SELECT {COLUMNS} FROM e2e_samples WHERE client = %s", (self.me,))[0]
        for name, expected, actual in zip(COLUMNS.split(", "), SAMPLE, row, strict=True):
            if actual != expected:
                raise AssertionError(f"{name}: expected {expected!r}, got {actual!r}")
        conn.commit()

    def check_big(self, conn):
        self.rows(conn, "DELETE FROM e2e_big WHERE client = %s", (self.me,))
        self.rows(conn, "INSERT INTO e2e_big VALUES (%s, %s)", (self.me, BIG))
        expect(True, self.rows(conn, "SELECT data FROM e2e_big WHERE client = %s", (self.me,)) == [(BIG,)])
        self.rows(conn, "DELETE FROM e2e_big WHERE client = %s", (self.me,))
        conn.commit()

    def streaming(self, conn):
        """A cursor that does not hold the whole result."""
        raise NotImplementedError

    def check_large_result(self, conn):
        cursor = self.streaming(conn)
        cursor.execute("SELECT id, payload FROM e2e_bulk")
        count = total = 0
        while row := cursor.fetchone():
            count, total = count + 1, total + row[0]
        cursor.close()
        expect((20000, 200010000), (count, total))

    def check_load_local(self, conn):
        self.rows(conn, "DELETE FROM e2e_loaded WHERE client = %s", (self.me,))
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.writelines(f"{self.me}\t{i}\tnote {i} ü\n" for i in range(1000))
            file.flush()
            sql = f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE e2e_loaded CHARACTER SET utf8mb4"
            self.rows(conn, sql)
        counted = "SELECT count(*), max(char_length(note)) FROM e2e_loaded WHERE client = %s"
        expect([(1000, 10)], self.rows(conn, counted, (self.me,)))
        conn.commit()

    def check_call(self, conn):
        cursor = conn.cursor()
        cursor.execute("CALL e2e_pair(%s)", (7,))
        expect([(7, 8)], [tuple(row) for row in cursor.fetchall()])
        while cursor.nextset():
            pass
        cursor.close()

    def thread(self, conn):
        return conn.thread_id()

    def kill(self, conn, number):
        self.rows(conn, f"KILL QUERY {number}")

    def check_kill(self, conn):
        """Another session of the same caller ends what this one runs."""
        other = self.connect()
        timer = threading.Timer(0.5, self.kill, (other, self.thread(conn)))
        timer.start()
        begun = time.monotonic()
        self.fails(1317, conn, "SELECT count(*) FROM e2e_bulk a, e2e_bulk b, e2e_bulk c WHERE a.payload = b.payload")
        expect(True, time.monotonic() - begun < KILL_LIMIT)
        timer.join()
        other.close()
        expect([(10,)], self.rows(conn, "SELECT 10"))

    def hidden_cursors(self, conn):
        """A way to run a statement that reads what is hidden, for each that the driver has."""
        return [conn.cursor]

    def check_hidden_rows(self, conn):
        for cursor_of in self.hidden_cursors(conn):
            cursor = cursor_of()
            for first in (0, 0, 3):
                cursor.execute(HIDDEN, ("all", first))
                expect(HIDDEN_COLUMNS.split(", "), [column[0] for column in cursor.description])
                expect(HIDDEN_ROWS[first:], [plain(row) for row in cursor.fetchall()])
            cursor.close()
        cursor = self.streaming(conn)
        cursor.execute(HIDDEN, ("all", 0))
        expect(HIDDEN_ROWS[:3], [plain(row) for row in cursor.fetchmany(3)])
        expect(HIDDEN_ROWS[3:], [plain(row) for row in cursor.fetchall()])
        cursor.close()
        conn.commit()

    def check_hidden_filters(self, conn):
        """Whatever is asked by a value that is there finds nothing; what stands for it is found."""
        count = "SELECT count(*) FROM e2e_hidden WHERE client = 'all' AND "
        for cursor_of in self.hidden_cursors(conn):
            cursor = cursor_of()
            for column, value in (*HIDDEN_VALUES.items(), ("ssn", "[ssn]"), ("ssn", "078-05-1124"), ("ssn", "[ssn]")):
                for _ in range(2):
                    cursor.execute(f"{count}{column} = %s", (value,))
                    expect((column, 8 if value == "[ssn]" else 0), (column, cursor.fetchall()[0][0]))
            cursor.execute(f"{count}ssn IN (%s, %s)", ("078-05-1121", "078-05-1124"))
            expect(0, cursor.fetchall()[0][0])
            cursor.close()

    def check_hidden_writes(self, conn):
        self.rows(conn, "DELETE FROM e2e_hidden WHERE client = %s", (self.me,))
        number = 0
        for cursor_of in self.hidden_cursors(conn):
            cursor = cursor_of()
            put = "INSERT INTO e2e_hidden (client, id, name, ssn, code, born) VALUES (%s, %s, 'mine', %s, %s, %s)"
            for _ in range(3):
                number += 1
                cursor.execute(put, (self.me, number, "078-05-9999", 5, HIDDEN_VALUES["born"]))
                expect(1, cursor.rowcount)
            cursor.close()
        cursor = conn.cursor()
        cursor.executemany(put, [(self.me, i, f"078-{i}", 5, None) for i in range(100, 110)])
        cursor.close()
        conn.commit()
        mine = "SELECT count(*) FROM e2e_hidden WHERE client = %s AND ssn = '[ssn]' AND code IS NULL AND name = %s"
        expect([(number + 10,)], self.rows(conn, mine, (self.me, "mine")))
        self.rows(conn, "UPDATE e2e_hidden SET name = 'new' WHERE client = %s AND id = 1", (self.me,))
        expect([("new", "[ssn]")], self.rows(conn, "SELECT name, ssn FROM e2e_hidden WHERE client = %s AND id = 1", (self.me,)))
        conn.rollback()
        for sql, args in (
            ("UPDATE e2e_hidden SET name = 'x' WHERE ssn = %s", ("078-05-1124",)),
            ("DELETE FROM e2e_hidden WHERE client = 'x' AND code = %s", (1004,)),
            ("UPDATE e2e_hidden SET ssn = %s WHERE client = %s", ("x", self.me)),
        ):
            for cursor_of in self.hidden_cursors(conn):
                cursor = cursor_of()
                try:
                    cursor.execute(sql, args)
                    raise AssertionError(f"not refused: {sql}")
                except self.module.Error as error:
                    expect(1142, self.code(error))
                cursor.close()
        expect([(number + 10,)], self.rows(conn, mine, (self.me, "mine")))
        conn.rollback()

    checks = ("tls", "select", "parameters", "transaction", "errors", "refused", "masked", "types", "big", "large_result",
              "load_local", "call", "hidden_rows", "hidden_filters", "hidden_writes", "kill")


def plain(row):
    return tuple(bytes(value) if isinstance(value, bytearray) else value for value in row)


def main(driver):
    failed = False
    conn = driver.connect()
    if not IS_HIDDEN:
        print("skip hidden: nothing is hidden from this caller")
    for name in driver.checks:
        if name.startswith("hidden") and not IS_HIDDEN:
            continue
        try:
            getattr(driver, f"check_{name}")(conn)
            print("ok", name.replace("_", "-"), flush=True)
        except Exception as error:  # noqa: BLE001 - reported, and the next check runs on a connection of its own
            failed = True
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            line = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if "mysql-python" in frame.filename]
            print(f"FAIL {name.replace('_', '-')}: {text[:400]} (lines {line})", flush=True)
            conn = driver.connect()
    conn.close()
    sys.exit(1 if failed else 0)
