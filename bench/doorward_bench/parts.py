"""The servers of one run: a private PostgreSQL, PgBouncer, Doorward. Each is stopped by its own pid."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

USER = "app"
PASSWORD = "bench-upstream-password"
DATABASE = "bench"
POLICY = Path(__file__).resolve().parent.parent / "bench.cedar"


@dataclass
class Target:
    """What a client connects to."""

    name: str
    port: int
    password: str
    pid: int | None  # of the proxy; None where there is none
    user: str = USER
    database: str = DATABASE


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def unprivileged():
    """Popen arguments that drop root: PostgreSQL and PgBouncer refuse to run as it."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give(path):
    """Hands a path to whom the unprivileged servers run as."""
    if os.getuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def find(program, *folders):
    for folder in folders:
        if os.access(os.path.join(folder, program), os.X_OK):
            return os.path.join(folder, program)
    found = shutil.which(program)
    if not found:
        sys.exit(f"bench: `{program}` is not installed: bench/README.md says what it takes")
    return found


def pg_program(name):
    return find(name, "/usr/lib/postgresql/15/bin")


class Process:
    """A child that listens on a port."""

    def __init__(self, args, log, port, **popen):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **popen)
        try:
            self._wait_for(port)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.child.pid

    def _wait_for(self, port):
        for _ in range(300):
            if self.child.poll() is not None:
                break
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        tail = Path(self.log).read_text(errors="replace")[-2000:]
        sys.exit(f"bench: {self.child.args[0]} did not come up:\n{tail}")

    def stop(self, how=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(60)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def certificate(folder):
    """One self-signed ECDSA P-256 certificate for all three, so that handshakes cost the same."""
    cert, key = folder / "server.crt", folder / "server.key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    # What vouches for itself is no authority to rustls.
    subject += ["-addext", "basicConstraints=critical,CA:FALSE"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(cert), "-days", "30"]
    subprocess.run(["openssl", "req", "-x509", *curve, *files, *subject], check=True, capture_output=True)
    for path in (cert, key):
        path.chmod(0o600)
        give(path)
    return cert, key


class Postgres:
    """A private PostgreSQL 15 with its own data folder, fsync on."""

    def __init__(self, folder, cert, key):
        self.folder, self.data, self.port = folder, folder / "pg", free_port()
        self.data.mkdir(mode=0o700)
        give(self.data)
        initdb = [pg_program("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "scram-sha-256"]
        secret = folder / "superuser"
        secret.write_text(PASSWORD)
        give(secret)
        initdb += ["--pwfile", str(secret), "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=self.data, **unprivileged())
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "ssl": "on",
            "ssl_cert_file": f"'{cert}'",
            "ssl_key_file": f"'{key}'",
            "shared_buffers": "'256MB'",
            "max_wal_size": "'8GB'",
            "checkpoint_timeout": "'1h'",
            "autovacuum": "off",
            "fsync": "on",
            "synchronous_commit": "on",
        }
        with open(self.data / "postgresql.conf", "a") as f:
            f.writelines(f"{k} = {v}\n" for k, v in settings.items())
        self.process = None
        self.start(max_connections=250)

    def start(self, max_connections):
        args = [pg_program("postgres"), "-D", str(self.data), "-p", str(self.port)]
        args += ["-c", f"max_connections={max_connections}"]
        self.process = Process(args, self.folder / "postgres.log", self.port, cwd=self.data, **unprivileged())

    def stop(self):
        self.process.stop(signal.SIGINT)  # fast: sessions are ended, data is checkpointed

    def psql(self, sql, database=DATABASE, user="postgres"):
        env = dict(os.environ, PGPASSWORD=PASSWORD, PGSSLMODE="disable", PGHOST="127.0.0.1", PGPORT=str(self.port))
        args = [find("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database]
        done = subprocess.run(args, input=sql, text=True, env=env, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"bench: psql: {done.stderr}")
        return done.stdout.strip()

    def pgbench_init(self, scale):
        env = dict(os.environ, PGPASSWORD=PASSWORD, PGSSLMODE="disable")
        args = [pg_program("pgbench"), "-i", "-q", "-s", str(scale), "-h", "127.0.0.1", "-p", str(self.port)]
        subprocess.run([*args, "-U", USER, DATABASE], env=env, check=True, capture_output=True)


class PgBouncer:
    """PgBouncer in session mode: TLS to the client, clear text to the upstream, SCRAM on both sides."""

    name = "pgbouncer"

    def __init__(self, folder, postgres, cert, key, sessions):
        folder = folder / f"pgbouncer-{sessions}"
        folder.mkdir()
        give(folder)
        self.port = free_port()
        # The SCRAM secret, not the password: with a password PgBouncer derives the secret anew for every log-in.
        secret = postgres.psql(f"select rolpassword from pg_authid where rolname = '{USER}'")
        (folder / "users.txt").write_text(f'"{USER}" "{secret}"\n')
        upstream = f"host=127.0.0.1 port={postgres.port} dbname={DATABASE} user={USER} password={PASSWORD}"
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": folder / "users.txt",
            "pool_mode": "session",
            "max_client_conn": sessions + 100,
            "default_pool_size": sessions,
            "client_tls_sslmode": "require",
            "client_tls_cert_file": cert,
            "client_tls_key_file": key,
            "server_tls_sslmode": "disable",
            "log_connections": 0,
            "log_disconnections": 0,
        }
        lines = ["[databases]", f"{DATABASE} = {upstream}", "[pgbouncer]", *(f"{k} = {v}" for k, v in settings.items())]
        config = folder / "pgbouncer.ini"
        config.write_text("\n".join(lines) + "\n")
        args = [find("pgbouncer", "/usr/sbin"), str(config)]
        self.process = Process(args, folder / "log", self.port, cwd=folder, **unprivileged())

    def target(self):
        return Target(self.name, self.port, PASSWORD, self.process.pid)

    def stop(self):
        self.process.stop(signal.SIGINT)


class Issuer:
    """The development issuer, and a token of it."""

    def __init__(self, program, folder):
        self.program, self.folder, self.port = program, folder / "issuer", free_port()
        self.folder.mkdir()
        args = [program, "dev", "issuer", "--dir", str(self.folder), "--listen", f"127.0.0.1:{self.port}"]
        self.process = Process(args, folder / "issuer.log", self.port)
        self.url = self._run("dev", "token", "--sub", "probe") and (self.folder / "issuer-url").read_text().strip()
        self.token = self.token_of("bench", "bench")

    def token_of(self, subject, group):
        """An identity token that is good for a day."""
        return self._run("dev", "token", "--sub", subject, "--group", group, "--ttl", "1d")

    def _run(self, *args):
        done = subprocess.run([self.program, *args, "--dir", str(self.folder)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: doorward {' '.join(args)}: {done.stderr}")
        return done.stdout.strip()

    def stop(self):
        self.process.stop()


def settings(more, issuer, policy, api=None):
    """The configuration of a gateway with one connection, whose settings are to follow. `more`: of the server."""
    return f"""
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api or free_port()}"
{more}

[policy]
files = ["{policy}"]

[[identity.issuers]]
name = "dev"
issuer = "{issuer.url}"
audience = ["doorward"]
groups_claim = "groups"
principal = "agent"

[[connections]]
name = "bench"
"""


class Doorward:
    """Doorward with policy, recording, audit and masking on."""

    def __init__(self, program, folder, postgres, cert, key, issuer, audit, sessions):
        self.name = "doorward" if audit == "strict" else "doorward-be"
        folder = folder / f"{self.name}-{sessions}"
        folder.mkdir()
        self.port, self.token = free_port(), issuer.token
        config = folder / "doorward.toml"
        config.write_text(self._config(postgres, cert, key, issuer, audit, sessions))
        env = dict(os.environ, BENCH_UPSTREAM_PASSWORD=PASSWORD)
        args = [program, "serve", "--config", str(config)]
        self.folder = folder
        self.process = Process(args, folder / "log", self.port, cwd=folder, env=env)

    def _config(self, postgres, cert, key, issuer, audit, sessions):
        return settings(f'tls = {{ cert = "{cert}", key = "{key}" }}', issuer, POLICY) + f"""
kind = "postgres"
listen = "127.0.0.1:{self.port}"
upstream = "127.0.0.1:{postgres.port}"
database = "{DATABASE}"
user = "{USER}"
credential = {{ env = "BENCH_UPSTREAM_PASSWORD" }}
tls = "disable"
audit = "{audit}"
max_sessions = {sessions + 100}
labels = {{ environment = "bench" }}
tags = {{ "public.wide_tagged.title" = ["pii"], "public.wide_tagged.contact" = ["pii"] }}
"""

    def target(self):
        return Target(self.name, self.port, self.token, self.process.pid)

    def stop(self):
        self.process.stop()
