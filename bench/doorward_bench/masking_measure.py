"""Measurements of masking: one round of one thing in one way. Each returns a flat dict of numbers."""

import resource
import time
from pathlib import Path

from . import measure, mysql_wire, wire
from .masking_data import ROWS

WARM_UP = 300
BEST = {"least_us": min, "cpu_us": min, "cpu_us_per_row": min, "rows_per_s": max, "mb_per_s": max}


def cpu_ns(pid):
    """Time on a processor of all threads of a process, to the nanosecond; threads that ended are not in it."""
    if not pid:
        return None
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            spent += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return spent


def best_of(rounds):
    """The best of each number over the rounds of one cell, but the median of p50: what others do on the machine only adds."""
    best = measure.median_of(rounds)
    for key, pick in BEST.items():
        values = [r[key] for r in rounds if r.get(key) is not None]
        if values:
            best[key] = pick(values)
    return best


def connect(target, kind):
    return wire.Connection(target) if kind == "postgres" else mysql_wire.Connection(target)


def runner(connection, kind, sql, value, prepared):
    """What runs the statement once, given a value, and says how many rows it gave."""
    if prepared:
        statement = connection.prepare(sql.format(value="$1" if kind == "postgres" else "?"))
        return lambda value: connection.execute(statement, value)
    text = sql.format(value=value)
    if kind == "postgres":
        return lambda _: sum(message[0] == b"D" for message in connection.query(text))
    return lambda _: len(connection.query(text))


def timed(target, seconds, once):
    """p50 and the least of the latency of what is done again and again, and the proxy's CPU for it."""
    times, begun, before = [], time.perf_counter(), cpu_ns(target.pid)
    while time.perf_counter() - begun < seconds:
        start = time.perf_counter_ns()
        once(len(times))
        times.append(time.perf_counter_ns() - start)
    after = cpu_ns(target.pid)
    times.sort()
    cpu = None if before is None else (after - before) / 1e3 / len(times)
    return {"p50_us": times[len(times) // 2] / 1e3, "least_us": times[0] / 1e3, "cpu_us": cpu, "statements": len(times)}


def statement(target, kind, sql, prepared, rows, seconds):
    """The same text again and again; prepared, with another value each time where that finds one row."""
    connection = connect(target, kind)
    first = 0 if rows > 1 else 4711
    try:
        run = runner(connection, kind, sql, first, prepared)
        for _ in range(WARM_UP):
            got = run(first)
        if got != rows:
            raise RuntimeError(f"{target.name}: {got} rows of {sql!r}, not {rows}")
        return timed(target, seconds, lambda n: run(first if rows > 1 else 1 + n * 7919 % ROWS))
    finally:
        connection.close()


def new_texts(target, kind, sql, seconds, counter):
    """Each time a text that nobody has sent before: counted on by `counter`."""
    connection = connect(target, kind)
    try:
        return timed(target, seconds, lambda _: connection.query(sql.format(value=f"4711 and 7 < {next(counter)}")))
    finally:
        connection.close()


def wide(target, kind, table, times):
    """All rows of a table, read to their end by a client that does not look at them: the best of several times."""
    buffer, connection, taken, sql = bytearray(1 << 17), connect(target, kind), [], f"select * from {table}"

    def once():
        if kind == "postgres":
            return connection.discard(sql, buffer, f"SELECT {ROWS}".encode())
        return connection.discard(sql, buffer)

    try:
        once()
        own = resource.getrusage(resource.RUSAGE_THREAD)
        before, begun = cpu_ns(target.pid), time.perf_counter()
        for _ in range(times):
            start = time.perf_counter()
            size = once()
            taken.append(time.perf_counter() - start)
        wall, spent = time.perf_counter() - begun, cpu_ns(target.pid)
        after = resource.getrusage(resource.RUSAGE_THREAD)
    finally:
        connection.close()
    reader = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    return {
        "rows_per_s": ROWS / min(taken),
        "mb_per_s": size / min(taken) / 1e6,
        "bytes": size,
        "cpu_us_per_row": None if before is None else (spent - before) / 1e3 / times / ROWS,
        "reader_busy": reader / wall,
    }
