"""Measurements over Kubernetes: one round of one thing against one target. Each returns a flat dict of numbers."""

import csv
import http.client
import io
import json
import socket
import socketserver
import subprocess
import threading
import time
from urllib.parse import urlsplit

from .kube_parts import NAMESPACE, POD
from .measure import CpuTrace, mem_available_kib, rss_kib

MIB = 1 << 20
PROTOBUF = "application/vnd.kubernetes.protobuf"


def quantiles(times):
    times = sorted(times)
    return {"p50_us": times[len(times) // 2] * 1e6, "p99_us": times[len(times) * 99 // 100] * 1e6}


def gets(target, hey, path, clients, seconds):
    """hey: requests/s and latencies. It checks no certificates, and takes the name of the host for the name in TLS."""
    args = [str(hey), "-z", f"{seconds}s", "-c", str(clients), "-host", "localhost", "-o", "csv"]
    for name, value in target.headers().items():
        args += ["-H", f"{name}: {value}"]
    with CpuTrace(target.pid) as cpu:
        begun = time.perf_counter()
        done = subprocess.run([*args, target.url + path], capture_output=True, text=True, timeout=seconds * 3 + 60)
        took = time.perf_counter() - begun
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    bad = [r for r in rows if r["status-code"] != "200"]
    if done.returncode != 0 or not rows or bad:
        raise RuntimeError(f"hey on {target.name}: {len(rows)} answers, {len(bad)} of them bad; {done.stderr[-300:]}")
    spent = cpu.since()
    figures = {"requests_per_s": len(rows) / took, "cpu_us": None if spent is None else spent * 1e6 / len(rows)}
    return figures | quantiles([float(r["response-time"]) for r in rows])


def connection(target):
    at = urlsplit(target.url)
    if target.ca:
        return http.client.HTTPSConnection(at.hostname, at.port, context=target.tls(), timeout=120)
    return http.client.HTTPConnection(at.hostname, at.port, timeout=120)


def lists(target, path, accept, times):
    """Lists read to their end by a client that does not look into them."""
    c, walls, size = connection(target), [], 0
    buffer = bytearray(MIB)
    with CpuTrace(target.pid) as cpu:
        for _ in range(times):
            begun, size = time.perf_counter(), 0
            c.request("GET", path, headers=target.headers(accept))
            answer = c.getresponse()
            while got := answer.readinto(buffer):
                size += got
            if answer.status != 200:
                raise RuntimeError(f"list on {target.name}: {answer.status}")
            walls.append(time.perf_counter() - begun)
    c.close()
    spent = cpu.since()
    figures = {"wall_ms": sorted(walls)[len(walls) // 2] * 1e3, "mb_per_s": size * times / sum(walls) / 1e6}
    return figures | {"cpu_ms": None if spent is None else spent * 1e3 / times, "bytes": size}


class Watch:
    """One watch, whose events are noted with the moment they came."""

    def __init__(self, target):
        self.connection, self.seen = connection(target), {}
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&resourceVersion=0"
        self.connection.request("GET", path, headers=target.headers())
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise RuntimeError(f"watch on {target.name}: {self.answer.status}")

    def follow(self):
        try:
            while line := self.answer.readline():
                now, event = time.perf_counter(), json.loads(line)
                self.seen.setdefault((event["object"]["metadata"]["name"], event["type"]), now)
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass  # it was closed

    def close(self):
        sock = self.connection.sock or getattr(getattr(self.answer.fp, "raw", None), "_sock", None)
        if sock:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connection.close()


def watches(target, cluster, watchers, events):
    """From the moment an object is made (directly) until each of so many watchers has heard of it."""
    open_ones = [Watch(target) for _ in range(watchers)]
    threads = [threading.Thread(target=w.follow, daemon=True) for w in open_ones]
    for thread in threads:
        thread.start()
    time.sleep(1)
    times, path = [], f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    c = connection(cluster)
    try:
        for n in range(events):
            name = f"w-{target.name}-{time.time_ns()}-{n}"
            headers = cluster.headers() | {"Content-Type": "application/json"}
            begun = time.perf_counter()
            c.request("POST", path, body=json.dumps({"metadata": {"name": name}}), headers=headers)
            answer = c.getresponse()
            answer.read()
            if answer.status != 201:
                raise RuntimeError(f"cannot make {name}: {answer.status}")
            time.sleep(0.3)
            heard = [w.seen.get((name, "ADDED")) for w in open_ones]
            missing = sum(h is None for h in heard)
            if missing:
                raise RuntimeError(f"{missing} of {watchers} watchers on {target.name} did not hear of it in 0.3 s")
            times += [h - begun for h in heard]
            c.request("DELETE", f"{path}/{name}", headers=cluster.headers())
            c.getresponse().read()
    finally:
        for w in open_ones:
            w.close()
        c.close()
    return quantiles(times)


def memory(target, watchers):
    """Growth of the proxy's resident memory by the number of open watches."""
    open_ones = [Watch(target) for _ in range(10)]  # what is made on first use is not a watch's
    try:
        time.sleep(1)
        before = rss_kib(target.pid)
        for n in range(watchers):
            if n % 50 == 0 and mem_available_kib() < 3 << 20:
                break
            open_ones.append(Watch(target))
        time.sleep(2)
        made = len(open_ones) - 10
        return {"kib_per_watch": (rss_kib(target.pid) - before) / made, "watches": made}
    finally:
        for w in open_ones:
            w.close()


def exec_set_up(target, times):
    """`kubectl exec POD -- true`, with the start of kubectl in it, which is the same for all."""
    walls = []
    with CpuTrace(target.pid) as cpu:
        for _ in range(times):
            begun = time.perf_counter()
            subprocess.run(target.kubectl("exec", POD, "--", "true"), check=True, capture_output=True)
            walls.append(time.perf_counter() - begun)
    spent = cpu.since()
    return {"wall_ms": sorted(walls)[len(walls) // 2] * 1e3, "cpu_ms": None if spent is None else spent * 1e3 / times}


def rate(target, size, run):
    """MB/s of what `run` fetches, and the proxy's CPU for a GiB."""
    with CpuTrace(target.pid) as cpu:
        begun = time.perf_counter()
        got = run()
        took = time.perf_counter() - begun
    target.forget()
    if got != size:
        raise RuntimeError(f"{target.name}: {got} bytes came of {size}")
    spent = cpu.since()
    return {"mb_per_s": size / took / 1e6, "cpu_s_per_gib": None if spent is None else spent / size * (1 << 30)}


def exec_bulk(target, mib):
    """Text in which nothing is hidden, through the output of a command."""
    size = mib * MIB
    command = target.kubectl("exec", POD, "--", "sh", "-c", f"yes 'amber birch cedar delta ember fjord grove heath' | head -c {size}")

    def run():
        child, got, buffer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0), 0, bytearray(MIB)
        while n := child.stdout.readinto(buffer):
            got += n
        child.wait()
        return got

    return rate(target, size, run)


class Source(socketserver.BaseRequestHandler):
    """Sends so many bytes to whoever connects: containers share the machine's network."""

    def handle(self):
        block, left = bytes(MIB), self.server.size
        while left > 0:
            self.request.sendall(block[:left])
            left -= len(block)


def forward_bulk(target, mib):
    """Bytes through port-forward."""
    size = mib * MIB
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Source) as server:
        server.size, server.daemon_threads = size, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = target.kubectl("port-forward", f"pod/{POD}", f":{server.server_address[1]}")
        forward = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            line = forward.stdout.readline()
            if "Forwarding from 127.0.0.1:" not in line:
                raise RuntimeError(f"port-forward on {target.name}: {line}")
            port = int(line.split("127.0.0.1:")[1].split(" ")[0])

            def run():
                got, buffer = 0, bytearray(MIB)
                with socket.create_connection(("127.0.0.1", port)) as s:
                    while got < size and (n := s.recv_into(buffer)):
                        got += n
                return got

            return rate(target, size, run)
        finally:
            forward.terminate()
            forward.wait()
            server.shutdown()
