"""What the Python clients share: the settings, the sample row, and one line for each check."""

import datetime
import decimal
import os
import traceback
import uuid

PREFIX = os.environ.get("E2E_PREFIX", "e2e_")
HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
DATABASE, USER, CA = os.environ["PGDATABASE"], os.environ["PGUSER"], os.environ["PGSSLROOTCERT"]
if "DOORWARD_TOKEN_FILE" in os.environ:
    with open(os.environ["DOORWARD_TOKEN_FILE"], encoding="ascii") as token_file:
        PASSWORD = token_file.read().strip()
else:
    PASSWORD = os.environ["PGPASSWORD"]

# In the order of the columns t, b, ints, texts, n, ts, d, u, f, yes, nothing.
SAMPLE = (
    "žluťoučký 🐘 你好",
    b"\x00\xff\x10",
    [1, None, 3],
    ["a b", None, '"q"'],
    decimal.Decimal("98765432.1234567891"),
    datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, tzinfo=datetime.timezone.utc),
    datetime.date(1999, 12, 31),
    uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    0.1,
    True,
    None,
)
JSON_SAMPLE = {"k": [1, None, "ü"]}
CANCEL_LIMIT = 3.0

# What is hidden by `e2e_hidden` from this caller (E2E_HIDDEN): its columns, their types, what they show, and what one row of
# them holds. Statements over it are rewritten on their way: a constant stands for each hidden column.
IS_HIDDEN = bool(os.environ.get("E2E_HIDDEN"))
HIDDEN_COLUMNS = "id, name, ssn, mail, code, big, pay, born, seen, who, raw, doc, ok"
HIDDEN_TYPES = [23, 25, 25, 1043, 23, 20, 1700, 1082, 1184, 2950, 17, 3802, 16]
HIDDEN_ROWS = [
    (i, None if i == 5 else f"Name {i}", "[ssn]", "nobody@example.com", None, 7, decimal.Decimal("12.34"),
     datetime.date(1900, 1, 1), None, None, None, "[masked]", None)
    for i in range(1, 9)
]
HIDDEN_VALUES = {
    "ssn": "078-05-1124",
    "mail": "user4@example.com",
    "code": 1004,
    "big": 1000000000004,
    "pay": decimal.Decimal("402.00"),
    "born": datetime.date(1970, 1, 5),
    "seen": datetime.datetime(2024, 3, 4, 12, tzinfo=datetime.timezone.utc),
    "who": uuid.UUID("00000000-0000-4000-8000-000000000004"),
    "raw": b"\x04",
    "ok": True,
}


class Report:
    """Prints `ok name` or `FAIL name: why`, and remembers whether all went well."""

    def __init__(self):
        self.failed = False

    def ok(self, name):
        print(f"ok {name}", flush=True)

    def fail(self, name, error):
        self.failed = True
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        line = traceback.extract_tb(error.__traceback__)[-1].lineno if error.__traceback__ else 0
        print(f"FAIL {name}: {text[:400]} (line {line})", flush=True)


def expect(expected, actual):
    if expected != actual:
        raise AssertionError(f"expected {expected!r:.200}, got {actual!r:.200}")
