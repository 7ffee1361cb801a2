"""Prepared statements in the binary protocol over what the server masks itself: what each says, with the kinds of its columns."""
import sys

import mysql.connector
from mysql.connector import FieldType

port, token, ca = sys.argv[1:4]
conn = mysql.connector.connect(
    host="127.0.0.1", port=int(port), user="anybody", password=token, database="public", charset="utf8mb4",
    collation="utf8mb4_general_ci", ssl_ca=ca, ssl_verify_cert=True, use_pure=True, auth_plugin="mysql_clear_password",
)
for text, values in [
    ("SELECT iban, short, old, opened, seen, stamped, pin FROM accounts WHERE iban LIKE %s ORDER BY id", ("%1234",)),
    ("SELECT id, opened, seen FROM accounts WHERE opened > %s AND id < %s ORDER BY id", ("2023-06-01", 9)),
    ("SELECT MAX(opened), MIN(seen), COUNT(iban) FROM accounts WHERE short = %s", ("****ef",)),
    ("SELECT id FROM accounts WHERE iban LIKE %s", ("DE%",)),
    ("SELECT id FROM accounts WHERE phone = %s", ("+49 30 1",)),
]:
    cursor = conn.cursor(prepared=True)
    try:
        cursor.execute(text, values)
        print([(column[0], FieldType.get_info(column[1])) for column in cursor.description])
        for row in cursor.fetchall():
            print(*row, sep=" | ")
    except mysql.connector.Error as error:
        print(error)
    cursor.close()
