"""Measurements for MySQL: one round of one thing against one target. Each returns a flat dict of numbers."""

import re
import resource
import subprocess
import time

from . import mysql_wire, wire
from .measure import CpuTrace, cpu_seconds, mem_available_kib, rss_kib
from .mysql_parts import ROWS, TABLE_ROWS, TABLES
from .parts import find

BUCKET = re.compile(r"^\s*([\d.]+) \|\**\s+(\d+)$", re.M)


def sysbench(target, script, prepared, threads, seconds, folder):
    """Transactions a second, latency quantiles in µs out of sysbench's histogram, proxy CPU per transaction in µs."""
    args = [find("sysbench"), script, "--mysql-host=127.0.0.1", f"--mysql-port={target.port}", f"--mysql-user={target.user}"]
    args += [f"--mysql-password={target.password}", f"--mysql-db={target.database}", "--mysql-ssl=on"]
    args += [f"--tables={TABLES}", f"--table-size={TABLE_ROWS}", f"--threads={threads}", f"--time={seconds}"]
    args += ["--histogram=on", f"--db-ps-mode={'auto' if prepared else 'disable'}", "run"]
    with CpuTrace(target.pid) as cpu:
        # Where it looks for its certificates.
        done = subprocess.run(args, capture_output=True, text=True, cwd=folder, timeout=seconds * 3 + 60)
        ended = time.time()
    if done.returncode != 0:
        raise RuntimeError(f"sysbench on {target.name}: {(done.stdout + done.stderr)[-1500:]}")
    count = int(found(r"transactions:\s+(\d+)", done.stdout))
    spent = cpu.since(ended - float(found(r"total time:\s+([\d.]+)s", done.stdout)))
    buckets = [(float(value) * 1000, int(n)) for value, n in BUCKET.findall(done.stdout)]
    return {
        "tps": float(found(r"transactions:\s+\d+\s+\(([\d.]+) per sec", done.stdout)),
        "p50_us": quantile(buckets, 0.5),
        "p99_us": quantile(buckets, 0.99),
        "cpu_us": None if spent is None else spent * 1e6 / count,
        "transactions": count,
    }


def found(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise RuntimeError(f"sysbench did not print {pattern!r}:\n{text[-1500:]}")
    return match.group(1)


def quantile(buckets, q):
    """The upper bound of the bucket in which it is: buckets are 1.8 % apart."""
    wanted = q * sum(n for _, n in buckets)
    for value, n in buckets:
        wanted -= n
        if wanted <= 0:
            return value
    raise RuntimeError("sysbench printed no histogram")


def wide(target, sql, times):
    """One result of 10,000 rows and 20 columns after the other, thrown away."""
    buffer = bytearray(1 << 17)
    connection = mysql_wire.Connection(target)
    taken = []
    try:
        connection.discard(sql, buffer)
        own = resource.getrusage(resource.RUSAGE_THREAD)
        with CpuTrace(target.pid) as cpu:
            began = time.perf_counter()
            for _ in range(times):
                start = time.perf_counter()
                size = connection.discard(sql, buffer)
                taken.append(time.perf_counter() - start)
            wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_THREAD)
    finally:
        connection.close()
    spent, taken = cpu.since(), sorted(taken)
    reader = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    return {
        "rows_per_s": ROWS * times / wall,
        "wall_p50_ms": taken[len(taken) // 2] * 1e3,
        "wall_p99_ms": taken[len(taken) * 99 // 100] * 1e3,
        "mb_per_s": size * times / wall / 1e6,
        "bytes": size,
        "cpu_us_per_row": None if spent is None else spent * 1e6 / (ROWS * times),
        "reader_busy": reader / wall,
    }


def idle(target, sessions, floor_kib):
    """Resident memory of the proxy per idle session that has run one statement."""
    context, open_ones = wire.tls_context(), []
    try:
        for _ in range(20):  # what is made on first use is not a session's
            open_ones.append(mysql_wire.Connection(target, context))
            open_ones[-1].query("select 1")
        time.sleep(1)
        before = rss_kib(target.pid)
        for made in range(sessions):
            if made % 50 == 0 and mem_available_kib() < floor_kib:
                print(f"  {target.name}: stopped at {made} sessions, memory is getting short", flush=True)
                break
            open_ones.append(mysql_wire.Connection(target, context))
            open_ones[-1].query("select 1")
        time.sleep(3)
        made, grown, cpu = len(open_ones) - 20, rss_kib(target.pid) - before, cpu_seconds(target.pid)
        time.sleep(5)
        busy = (cpu_seconds(target.pid) - cpu) / 5
        return {"sessions": made, "kib_per_session": grown / made, "idle_cpu_percent": busy * 100, "rss_kib": before + grown}
    finally:
        for connection in open_ones:
            connection.socket.close()
