"""Measurements over SSH: one round of one thing against one target. Each returns a flat dict of numbers."""

import fcntl
import filecmp
import os
import select
import shutil
import subprocess
import threading
import time
from pathlib import Path

from .measure import SETTLE, TICK, mem_available_kib

MIB = 1 << 20
F_SETPIPE_SZ = 1031
LINE = b"the quick brown fox jumps over the lazy dog and then some more\n"


def family(pid):
    """A process and all below it; sshd has some for each connection."""
    below, out = {}, [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            below.setdefault(parent, []).append(int(entry.name))
    for each in out:
        out += below.get(each, [])
    return out


def cpu_seconds(pid):
    """CPU time of a proxy: its threads, its children, and those of them that have ended."""
    total = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(f) for f in fields[11:15])
    return total / TICK


def pss_kib(pid):
    """Memory of a proxy and its children; what they share is counted once."""
    total = 0
    for each in family(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


class Cpu:
    """What a proxy spends while something is done, and a moment after it."""

    def __init__(self, target):
        self.pid, self.spent = target.pid, None

    def __enter__(self):
        self.before = cpu_seconds(self.pid) if self.pid else 0
        return self

    def __exit__(self, *_):
        if self.pid:
            time.sleep(SETTLE)
            self.spent = cpu_seconds(self.pid) - self.before


def run(command, what, seconds=120, stdin=""):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise RuntimeError(f"{what}: exit code {done.returncode}: {(done.stderr or done.stdout)[-1000:]}")
    return done.stdout


def set_up(target, connections, at_once):
    """`ssh host true`, so many times: rate, and proxy CPU of each."""
    failures = []

    def some():
        for _ in range(connections // at_once):
            try:
                run(target.ssh("true"), "ssh true")
            except (RuntimeError, subprocess.SubprocessError) as e:
                failures.append(e)
                return

    workers = [threading.Thread(target=some) for _ in range(at_once)]
    with Cpu(target) as cpu:
        start = time.perf_counter()
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        wall = time.perf_counter() - start
    if failures:
        raise failures[0]
    made = connections // at_once * at_once
    spent = None if cpu.spent is None else cpu.spent * 1e3 / made
    return {"connections_per_s": made / wall, "cpu_ms": spent, "connections": made}


class Terminal:
    """`cat` at a terminal of the other side, which sends back each byte that is typed."""

    def __init__(self, target):
        self.name, self.typed, self.times = target.name, 0, []
        command = target.ssh("-tt", "cat")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.child = subprocess.Popen(command, bufsize=0, **pipes)
        self.input, self.output = self.child.stdin.fileno(), self.child.stdout.fileno()
        # Until the session is there nobody answers; the first line is not measured.
        os.write(self.input, b"\n")
        self._expect(4, seconds=30)

    def type(self, letters, pause=0.0):
        """Types so many letters, one after the other; an end of line in between is not measured."""
        done = 0
        while done < letters:
            letter = LINE[self.typed % len(LINE) :][:1]
            self.typed += 1
            if letter == b"\n":
                os.write(self.input, letter)
                self._expect(len(LINE) + 3)  # the end of the line, then what `cat` writes: two of "\r\n"
                continue
            if pause:
                time.sleep(pause)
            start = time.perf_counter()
            os.write(self.input, letter)
            self._expect(1)
            self.times.append((time.perf_counter() - start) * 1e6)
            done += 1

    def _expect(self, count, seconds=5):
        while count > 0:
            if not select.select([self.output], [], [], seconds)[0]:
                raise RuntimeError(f"no echo within {seconds} s")
            got = os.read(self.output, 4096)
            if not got:
                raise RuntimeError("the session ended")
            count -= len(got)

    def figures(self):
        times = sorted(self.times)
        return {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100], "samples": len(times)}

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


def transferred(size, wall, cpu):
    """MB are of 10^6 bytes."""
    out = {"mb_per_s": size / wall / 1e6, "wall_s": wall, "cpu_s_per_gib": None, "mb_per_cpu_s": None}
    if cpu.spent:
        out |= {"cpu_s_per_gib": cpu.spent * (1 << 30) / size, "mb_per_cpu_s": size / cpu.spent / 1e6}
    return out


def cat(target, path, hides):
    """`ssh host cat FILE`, read and thrown away; timed from the first byte, so that the log-in is not in it."""
    target.forget()
    size, first = 0, None
    with Cpu(target) as cpu:
        with subprocess.Popen(target.ssh(f"cat {path}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0) as child:
            fcntl.fcntl(child.stdout, F_SETPIPE_SZ, MIB)
            while got := child.stdout.read(MIB):
                first = first or time.perf_counter()
                size += len(got)
            end = time.perf_counter()
    fewer = path.stat().st_size - size
    if child.returncode != 0 or (fewer and not hides):
        raise RuntimeError(f"cat ended with {child.returncode}, {fewer} bytes short")
    return transferred(size, end - first, cpu) | {"changed_bytes": fewer or None}


def copy(target, how, there, here):
    """One file by scp or sftp, the whole program's time, and whether it arrived as it was."""
    target.forget()
    up = how.endswith("up")
    source, goal = (here / there.name, there.parent / f"up-{there.name}") if up else (there, here / f"down-{there.name}")
    near, far = (source, goal) if up else (goal, source)
    stdin = ""
    if how.startswith("sftp"):
        # Not by -b, which forbids all questions, also those that a program answers.
        command, stdin = target.command("sftp", "-q", target.name), f"{'put' if up else 'get'} {source} {goal}\n"
    else:
        ends = [str(near), f"{target.name}:{far}"]
        command = target.command("scp", "-q", *(["-O"] if "-O" in how else []), *(ends if up else reversed(ends)))
    try:
        with Cpu(target) as cpu:
            start = time.perf_counter()
            run(command, how, seconds=600, stdin=stdin)
            wall = time.perf_counter() - start
        if not filecmp.cmp(source, goal, shallow=False):
            raise RuntimeError(f"{how}: what arrived is not what was sent")
    finally:
        goal.unlink(missing_ok=True)
    return transferred(source.stat().st_size, wall, cpu)


class Idle:
    """Connections that do nothing (`ssh -N`)."""

    def __init__(self):
        self.children = []

    def open(self, target, count):
        """So many more, eight at a time. `ssh` runs the local command once it is in."""
        command = target.command("ssh", "-N", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo in", target.name)
        while count > 0:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            batch = [subprocess.Popen(command, **pipes) for _ in range(min(8, count))]
            self.children += batch
            count -= len(batch)
            if any(child.stdout.readline() != b"in\n" for child in batch):
                raise RuntimeError(f"a connection ended after {len(self.children)}")

    def close(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()
            child.stdout.close()


def idle(target, sessions, floor_kib):
    """Memory of the proxy per idle connection, and what it does meanwhile."""
    held = Idle()
    try:
        held.open(target, 16)  # what is made on first use is not a session's
        time.sleep(1)
        before, made = pss_kib(target.pid), 0
        while made < sessions:
            if mem_available_kib() < floor_kib:
                print(f"  {target.name}: stopped at {made} sessions, memory is getting short", flush=True)
                break
            step = min(40, sessions - made)
            held.open(target, step)
            made += step
        time.sleep(3)
        grown, cpu = pss_kib(target.pid) - before, cpu_seconds(target.pid)
        time.sleep(5)
        busy = (cpu_seconds(target.pid) - cpu) / 5
        return {"sessions": made, "kib_per_session": grown / max(1, made), "idle_cpu_percent": busy * 100}
    finally:
        held.close()


def free_bytes(folder):
    return shutil.disk_usage(folder).free
