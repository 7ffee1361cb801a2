"""Prepared statements in the binary protocol: what each says, with the kinds of its columns."""
import sys

import mysql.connector

port, token, ca = sys.argv[1:4]
conn = mysql.connector.connect(
    host="127.0.0.1", port=int(port), user="anybody", password=token, database="public", charset="utf8mb4",
    collation="utf8mb4_general_ci", ssl_ca=ca, ssl_verify_cert=True, use_pure=True, auth_plugin="mysql_clear_password",
)
STATEMENTS = [
    ("SELECT id FROM customers WHERE ssn = %s ORDER BY id", ("078-05-1121",)),
    ("SELECT id FROM customers WHERE id > %s AND score > %s AND name LIKE %s ORDER BY id", (1, 3, "Name%")),
    ("SELECT id, ssn, email, born, score, balance, kind FROM customers WHERE id < %s ORDER BY id", (9,)),
    ("SELECT %s, COUNT(*), MAX(score), MIN(born), SUM(balance) FROM customers WHERE email LIKE %s", ("a", "user%")),
    ("SELECT c.id, o.contact FROM orders o JOIN customers c ON c.email = o.contact WHERE c.id > %s ORDER BY 1", (0,)),
    ("SELECT id FROM customers WHERE name = %s AND id IN (SELECT id FROM people WHERE ssn = %s)", ("Name 1", "x1")),
    ("UPDATE customers SET name = %s WHERE ssn = %s", ("x", "078-05-1121")),
    ("SELECT name FROM customers WHERE id = %s", (3,)),
]
for text, values in STATEMENTS:
    for _ in range(2):
        cursor = conn.cursor(prepared=True)
        try:
            cursor.execute(text, values)
            print(text, cursor.description and [(column[0], column[1]) for column in cursor.description])
            print(cursor.fetchall() if cursor.with_rows else cursor.rowcount)
        except mysql.connector.Error as error:
            print(text, error)
        cursor.close()
