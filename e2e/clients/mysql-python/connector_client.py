"""MySQL Connector/Python through the gateway: `pure` (its own protocol implementation) or `c` (with MySQL's C library).

Behind the scenes: as it connects it sends `SET NAMES 'utf8mb4' COLLATE '…'` (the collation of the server's greeting or the
driver's own) and `SET @@session.autocommit = OFF`; commit() and rollback() are `COMMIT` and `ROLLBACK`. Parameters are put
into the text; a cursor with `prepared=True` prepares. cmd_reset_connection() is COM_RESET_CONNECTION, which a pool sends
with each connection that comes back; ping() is COM_PING, cmd_process_kill() COM_PROCESS_KILL. The token needs
`auth_plugin="mysql_clear_password"` (`pure`) or the variable LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1 (`c`).
"""

import os
import sys
import tempfile
import warnings

os.environ["LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN"] = "1"
# First: its OpenSSL is newer than that of Debian's Python.
import _mysql_connector  # noqa: F401

import mysql.connector
from mysql.connector.pooling import MySQLConnectionPool

from dbapi import CA, COLUMNS, DATABASE, HOST, MASKED, PASSWORD, PEOPLE, PORT, SAMPLE, USER, Driver, expect, main

warnings.simplefilter("ignore", DeprecationWarning)
PURE = sys.argv[1] == "pure"


class Connector(Driver):
    me = f"connector-{sys.argv[1]}"
    module = mysql.connector
    checks = (*Driver.checks, "prepared", "multi_statements", "reset", "pool", "openid_connect")

    def settings(self, ca=CA, **more):
        return {
            "host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, "charset": "utf8mb4",
            "collation": "utf8mb4_general_ci", "ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": True,
            "use_pure": PURE, "allow_local_infile": True, "auth_plugin": "mysql_clear_password", **more,
        }

    def connect(self, **more):
        return mysql.connector.connect(**self.settings(**more))

    def code(self, error):
        return error.errno

    def ping(self, conn):
        conn.ping(reconnect=False)

    def streaming(self, conn):
        return conn.cursor(buffered=False)

    def hidden_cursors(self, conn):
        return [conn.cursor, lambda: conn.cursor(prepared=True)]

    def thread(self, conn):
        return conn.connection_id

    def check_call(self, conn):
        cursor = conn.cursor()
        cursor.callproc("e2e_pair", (7,))
        expect([[(7, 8)]], [[tuple(row) for row in result.fetchall()] for result in cursor.stored_results()])
        cursor.close()

    def check_prepared(self, conn):
        # The driver cannot read a YEAR of a binary row (`pure`) and takes the sign of a BIGINT UNSIGNED for one (`c`).
        sample = dict(zip(COLUMNS.split(", "), SAMPLE, strict=True))
        sample = {name: value for name, value in sample.items() if name not in ("y", "t", "bu")}
        columns, marks = ", ".join(sample), ", ".join(["%s"] * (2 + len(sample)))
        cursor = conn.cursor(prepared=True)
        cursor.execute("DELETE FROM e2e_samples WHERE client = %s AND id = %s", (self.me, 2))
        cursor.execute(f"INSERT INTO e2e_samples (client, id, {columns}) VALUES ({marks})", (self.me, 2, *sample.values()))
        cursor.execute(f"SELECT {columns} FROM e2e_samples WHERE client = %s AND id = %s", (self.me, 2))
        for (name, expected), actual in zip(sample.items(), cursor.fetchone(), strict=True):
            actual = bytes(actual) if isinstance(actual, bytearray) else actual
            if actual != (expected.encode() if isinstance(actual, bytes) and isinstance(expected, str) else expected):
                raise AssertionError(f"{name}: expected {expected!r}, got {actual!r}")
        cursor.fetchall()
        cursor.execute(PEOPLE.replace("1", "%s"), (1,))
        expect([MASKED], [tuple(row) for row in cursor.fetchall()])
        get = "SELECT name, qty FROM e2e_items WHERE client = %s AND id = %s"
        for i in range(100):
            cursor.execute(get, (self.me, i))
            expect([(f"item {i}", i)], [tuple(row) for row in cursor.fetchall()])
        cursor.close()
        conn.commit()

    def check_multi_statements(self, conn):
        cursor = conn.cursor()
        cursor.execute("SELECT 1; SELECT 2 FROM DUAL WHERE false; SELECT 'three'")
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
        cursor.close()
        expect([[(1,)], [], [("three",)]], results)
        self.fails(1142, conn, f"INSERT INTO e2e_items VALUES ('{self.me}', 1004, 'x', 1); DROP TABLE e2e_people")
        expect([(0,)], self.rows(conn, "SELECT count(*) FROM e2e_items WHERE client = %s AND id = 1004", (self.me,)))

    def check_reset(self, conn):
        self.rows(conn, "SET @x = 5")
        expect([(5,)], self.rows(conn, "SELECT @x"))
        conn.cmd_reset_connection()
        expect([(None,)], self.rows(conn, "SELECT @x"))
        other = self.connect()
        conn.cmd_process_kill(self.thread(other))
        expect(False, other.is_connected())
        expect(True, conn.is_connected())
        conn.cmd_init_db(DATABASE)

    def check_pool(self, _conn):
        pool = MySQLConnectionPool(pool_size=2, **self.settings())
        for i in range(6):
            conn = pool.get_connection()
            expect([(i, None)], self.rows(conn, "SELECT %s, @left", (i,)))
            self.rows(conn, "SET @left = 1")
            conn.close()

    def check_openid_connect(self, _conn):
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.write(PASSWORD)
            file.flush()
            more = {"password": "", "auth_plugin": "authentication_openid_connect_client", "openid_token_file": file.name}
            conn = self.connect(**more)
            expect([(1,)], self.rows(conn, "SELECT 1"))
            conn.close()


main(Connector())
