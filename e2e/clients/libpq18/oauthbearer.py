"""Logs in with libpq 18 by SASL OAUTHBEARER and prints what the server says.

usage: oauthbearer.py LIBPQ CONNINFO SQL...   (the token in DOORWARD_TOKEN; empty: libpq has none)
"""

import ctypes as c
import os
import sys

BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN
TUPLES_OK = 2


class Request(c.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [
        ("openid_configuration", c.c_char_p),
        ("scope", c.c_char_p),
        ("poll", c.c_void_p),
        ("cleanup", c.c_void_p),
        ("token", c.c_char_p),
        ("user", c.c_void_p),
    ]


libpq = c.CDLL(sys.argv[1])
libpq.PQlibVersion.restype = c.c_int
for name in ("PQerrorMessage", "PQgetvalue", "PQcancelErrorMessage"):
    getattr(libpq, name).restype = c.c_char_p
for name in ("PQconnectdb", "PQexec", "PQcancelCreate", "PQgetResult"):
    getattr(libpq, name).restype = c.c_void_p
token = os.environ.get("DOORWARD_TOKEN", "").encode()


@c.CFUNCTYPE(c.c_int, c.c_int, c.c_void_p, c.POINTER(Request))
def hook(kind, _connection, request):
    if kind != BEARER_TOKEN or not token:
        return 0
    print("discovery", request.contents.openid_configuration.decode())
    request.contents.token = token
    return 1


print("libpq", libpq.PQlibVersion())
libpq.PQsetAuthDataHook(hook)
connection = c.c_void_p(libpq.PQconnectdb(sys.argv[2].encode()))
if libpq.PQstatus(connection) != 0:
    print("refused", libpq.PQerrorMessage(connection).decode())
    sys.exit(1)
print("protocol", libpq.PQfullProtocolVersion(connection))
for sql in sys.argv[3:]:
    result = c.c_void_p(libpq.PQexec(connection, sql.encode()))
    if libpq.PQresultStatus(result) == TUPLES_OK:
        print("value", libpq.PQgetvalue(result, 0, 0).decode())
    else:
        print("error", libpq.PQerrorMessage(connection).decode())

# Protocol 3.2 has longer cancel keys, and libpq 17 sends them encrypted.
libpq.PQsendQuery(connection, b"select pg_sleep(60)")
cancel = c.c_void_p(libpq.PQcancelCreate(connection))
print("cancel", libpq.PQcancelBlocking(cancel), libpq.PQcancelErrorMessage(cancel).decode())
libpq.PQcancelFinish(cancel)
while libpq.PQgetResult(connection):
    pass
print("then", libpq.PQerrorMessage(connection).decode())
