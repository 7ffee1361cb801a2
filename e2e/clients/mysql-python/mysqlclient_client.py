"""mysqlclient (MySQLdb, with MariaDB's or MySQL's C library) through the gateway.

Behind the scenes: parameters are put into the text, so everything is COM_QUERY. As it connects it sends `SET NAMES utf8mb4`
(set_character_set) and `SET AUTOCOMMIT = 0` by the library's own calls; commit() and rollback() are `COMMIT` and
`ROLLBACK`, select_db() COM_INIT_DB, ping() COM_PING, kill() COM_PROCESS_KILL. Multi-statements are on by default. With
MariaDB's library the token needs no flag.
"""

import MySQLdb
from MySQLdb.cursors import SSCursor

from dbapi import CA, DATABASE, HOST, PASSWORD, PORT, USER, Driver, expect, main


class MySqlClient(Driver):
    me = "mysqlclient"
    module = MySQLdb
    checks = (*Driver.checks, "multi_statements", "select_db")

    def connect(self, ca=CA, **more):
        return MySQLdb.connect(
            host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, charset="utf8mb4",
            ssl_mode="VERIFY_IDENTITY", ssl={"ca": ca}, local_infile=1, **more,
        )

    def streaming(self, conn):
        return conn.cursor(SSCursor)

    def check_multi_statements(self, conn):
        cursor = conn.cursor()
        cursor.execute("SELECT 1; SELECT 2 FROM DUAL WHERE false; SELECT 'three'")
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
        cursor.close()
        expect([((1,),), (), (("three",),)], results)
        self.fails(1142, conn, f"INSERT INTO e2e_items VALUES ('{self.me}', 1004, 'x', 1); DROP TABLE e2e_people")
        expect([(0,)], self.rows(conn, "SELECT count(*) FROM e2e_items WHERE client = %s AND id = 1004", (self.me,)))

    def check_select_db(self, conn):
        conn.select_db(DATABASE)
        expect([(DATABASE,)], self.rows(conn, "SELECT database()"))
        other = self.connect()
        conn.kill(other.thread_id())
        try:
            other.ping()
            raise AssertionError("not killed")
        except MySQLdb.Error:
            pass


main(MySqlClient())
