"""Measurements: one round of one thing against one target. Each returns a flat dict of numbers."""

import os
import re
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import wire
from .parts import pg_program

TICK = os.sysconf("SC_CLK_TCK")
SETTLE = 0.25  # seconds for what a proxy still does after the last answer: it counts
ROWS = 1_000_000


def cpu_seconds(pid):
    """User and system time of a process with all its threads, those that ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


def mem_available_kib():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise RuntimeError("no MemAvailable")


class CpuTrace:
    """CPU time of a proxy over time, so that a span can start after the connections are made."""

    def __init__(self, pid):
        self.pid, self.samples, self.stopped = pid, [], threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        if self.pid:
            self._sample()
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.pid:
            time.sleep(SETTLE)
            self.stopped.set()
            self.thread.join()
            self._sample()

    def _run(self):
        while not self.stopped.wait(0.02):
            self._sample()

    def _sample(self):
        self.samples.append((time.time(), cpu_seconds(self.pid)))

    def since(self, start=0.0):
        """Seconds of CPU from a moment (epoch) to the end; None without a proxy."""
        if not self.pid:
            return None
        before = [s for s in self.samples if s[0] <= start]
        first = before[-1] if before else self.samples[0]
        return self.samples[-1][1] - first[1]


def pgbench(target, args, seconds, clients, tolerate_failure=False):
    """One pgbench run over TLS; its output, and the folder of its per-transaction logs."""
    env = dict(os.environ, PGPASSWORD=target.password, PGSSLMODE="require", PGGSSENCMODE="disable")
    command = [pg_program("pgbench"), "-n", "-h", "127.0.0.1", "-p", str(target.port), "-U", target.user]
    command += ["-c", str(clients), "-j", str(min(2, clients)), "-T", str(seconds), *args, target.database]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds * 3 + 60)
    if done.returncode != 0 and not tolerate_failure:
        raise RuntimeError(f"pgbench on {target.name}: {done.stderr[-1500:]}")
    return done.stdout


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise RuntimeError(f"pgbench did not print {pattern!r}:\n{text[-1500:]}")
    return float(found.group(1))


def transactions(target, script, mode, clients, seconds):
    """tps, latency quantiles in µs from the log of every transaction, proxy CPU per transaction in µs."""
    args = ["-M", mode, "-l"] + (["-S"] if script == "select-only" else ["-b", "tpcb-like"])
    with tempfile.TemporaryDirectory(prefix="pgbench-log-") as folder:
        with CpuTrace(target.pid) as cpu:
            out = pgbench(target, [*args, f"--log-prefix={folder}/log"], seconds, clients)
        latencies, begun = read_logs(folder)
    count = number(r"transactions actually processed: (\d+)", out)
    spent = cpu.since(begun)
    latencies.sort()
    return {
        "tps": number(r"tps = ([\d.]+) \(without", out),
        "p50_us": latencies[len(latencies) // 2],
        "p99_us": latencies[len(latencies) * 99 // 100],
        "cpu_us": None if spent is None else spent * 1e6 / count,
        "transactions": count,
    }


def read_logs(folder):
    """All latencies in µs, and when the first transaction began (epoch seconds)."""
    latencies, begun = [], float("inf")
    for path in Path(folder).iterdir():
        with open(path) as lines:
            for line in lines:
                _client, _number, latency, _script, second, micros = line.split()[:6]
                latencies.append(int(latency))
                if len(latencies) < 1000 or begun == float("inf"):
                    begun = min(begun, int(second) + (int(micros) - int(latency)) / 1e6)
    return latencies, begun


def set_up(target, statement, clients, seconds, folder):
    """A new connection for each transaction (pgbench -C): wall time and proxy CPU of each."""
    script = folder / "set-up.sql"
    script.write_text(statement + "\n")
    with CpuTrace(target.pid) as cpu:
        out = pgbench(target, ["-C", "-f", str(script)], seconds, clients)
    count = number(r"transactions actually processed: (\d+)", out)
    spent = cpu.since()
    wall = number(r"latency average = ([\d.]+) ms", out)
    return {"wall_ms": wall, "cpu_ms": None if spent is None else spent * 1e3 / count, "connections": count}


def bulk(target, sql, tag):
    """One large result, thrown away: rows a second, proxy CPU a row, and the reader's own CPU as a check."""
    buffer = bytearray(1 << 17)
    connection = wire.Connection(target)
    try:
        connection.query("select 1")
        own = resource.getrusage(resource.RUSAGE_THREAD)
        with CpuTrace(target.pid) as cpu:
            start = time.perf_counter()
            size = connection.discard(sql, buffer, tag)
            wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_THREAD)
    finally:
        connection.close()
    spent = cpu.since()
    reader = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    return {
        "rows_per_s": ROWS / wall,
        "wall_s": wall,
        "mb_per_s": size / wall / 1e6,
        "bytes": size,
        "cpu_us_per_row": None if spent is None else spent * 1e6 / ROWS,
        "reader_busy": reader / wall,
    }


def idle(target, sessions, floor_kib):
    """Resident memory of the proxy per idle session that has run one statement."""
    context = wire.tls_context()
    open_ones = []
    try:
        for _ in range(20):  # what is made on first use is not a session's
            open_ones.append(wire.Connection(target, context))
            open_ones[-1].query("select 1")
        time.sleep(1)
        before = rss_kib(target.pid)
        for made in range(sessions):
            if made % 50 == 0 and mem_available_kib() < floor_kib:
                print(f"  {target.name}: stopped at {made} sessions, memory is getting short", flush=True)
                break
            open_ones.append(wire.Connection(target, context))
            open_ones[-1].query("select 1")
        time.sleep(3)
        made = len(open_ones) - 20
        grown = rss_kib(target.pid) - before
        cpu = cpu_seconds(target.pid)
        time.sleep(5)
        busy = (cpu_seconds(target.pid) - cpu) / 5
        return {"sessions": made, "kib_per_session": grown / made, "idle_cpu_percent": busy * 100, "rss_kib": before + grown}
    finally:
        for connection in open_ones:
            connection.socket.close()


def median_of(rounds):
    """The median of each number over the rounds of one cell."""
    out = {}
    for key in rounds[0]:
        values = [r[key] for r in rounds if r.get(key) is not None]
        out[key] = statistics.median(values) if values else None
    return out


def fdatasync_us(folder):
    """The median time of a small durable append here: what strict audit waits for at the least."""
    path, times = folder / "fdatasync", []
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(200):
            start = time.perf_counter()
            os.write(fd, b"x" * 400)
            os.fdatasync(fd)
            times.append((time.perf_counter() - start) * 1e6)
    finally:
        os.close(fd)
        path.unlink()
    return statistics.median(times)
