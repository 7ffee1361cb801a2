"""PyMySQL (pure Python) through the gateway.

Behind the scenes: parameters are put into the text, so everything is COM_QUERY. As it connects it sends `SET AUTOCOMMIT = 0`
and, with a collation or a character set that differs, `SET NAMES …`; commit() and rollback() are COM_QUERY `COMMIT` and
`ROLLBACK`, select_db() is COM_INIT_DB, ping() COM_PING, kill() COM_PROCESS_KILL, executemany() of an INSERT one
text of many rows. The token needs no flag: the driver answers `mysql_clear_password`.
"""

import ssl

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

from dbapi import CA, DATABASE, HOST, PASSWORD, PORT, USER, Driver, expect, main


class PyMySql(Driver):
    me = "pymysql"
    module = pymysql
    checks = (*Driver.checks, "multi_statements", "select_db")

    def connect(self, ca=CA, password=PASSWORD, **more):
        return pymysql.connect(
            host=HOST, port=PORT, user=USER, password=password, database=DATABASE, charset="utf8mb4",
            ssl=ssl.create_default_context(cafile=ca), local_infile=True, max_allowed_packet=64 * 1024 * 1024, **more,
        )

    def check_tls(self, conn):
        expect(True, isinstance(conn._sock, ssl.SSLSocket))
        super().check_tls(conn)

    def streaming(self, conn):
        return conn.cursor(SSCursor)

    def check_multi_statements(self, _conn):
        with self.connect(client_flag=CLIENT.MULTI_STATEMENTS) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT 1; SELECT 2 FROM DUAL WHERE false; SELECT 'three'")
            results = [cursor.fetchall()]
            while cursor.nextset():
                results.append(cursor.fetchall())
            expect([((1,),), (), (("three",),)], results)
            self.fails(1142, conn, f"INSERT INTO e2e_items VALUES ('{self.me}', 1004, 'x', 1); DROP TABLE e2e_people")
            expect([(0,)], self.rows(conn, "SELECT count(*) FROM e2e_items WHERE client = %s AND id = 1004", (self.me,)))

    def check_select_db(self, conn):
        conn.select_db(DATABASE)
        expect([(DATABASE,)], self.rows(conn, "SELECT database()"))
        # COM_PROCESS_KILL ends the session.
        other = self.connect()
        conn.kill(other.thread_id())
        try:
            other.ping(reconnect=False)
            raise AssertionError("not killed")
        except pymysql.Error:
            pass


if __name__ == "__main__":
    main(PyMySql())
