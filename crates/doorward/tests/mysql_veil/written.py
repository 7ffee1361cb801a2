"""Masks written back by prepared statements in the binary protocol: what each says."""
import io
import sys

import mysql.connector

port, token, ca = sys.argv[1:4]
conn = mysql.connector.connect(
    host="127.0.0.1", port=int(port), user="anybody", password=token, database="public", charset="utf8mb4",
    collation="utf8mb4_general_ci", ssl_ca=ca, ssl_verify_cert=True, use_pure=True, auth_plugin="mysql_clear_password",
)
put = "INSERT INTO customers (id, name, ssn) VALUES (%s, %s, %s)"
STATEMENTS = [
    (put, (70, "n", "[masked]")),
    (put, (71, "n", b"[masked]")),
    (put, (72, "[masked]", "x")),
    ("INSERT INTO people (id, ssn) VALUES (%s, %s)", (73, "x" * 300 + "[masked]")),
    (put, (74, "n", None)),
    ("INSERT INTO customers SET id = %s, ssn = %s", (75, "[masked]")),
    ("INSERT INTO orders (id, contact) VALUES (%s, %s)", (70, "[masked]")),
    # Sent ahead (COM_STMT_SEND_LONG_DATA).
    (put, (80, "n", io.BytesIO(b"[masked]"))),
    (put, (81, "n", io.BytesIO(b"[mask]"))),
]


for text, values in STATEMENTS:
    cursor = conn.cursor(prepared=True)
    try:
        cursor.execute(text, values)
        print("done", text, str(values)[:40])
    except mysql.connector.Error as error:
        print(error.errno, text, error)
    cursor.close()
conn.commit()
print(conn.is_connected())
