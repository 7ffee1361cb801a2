"""The servers of one run for MySQL: a private MariaDB, HAProxy, Doorward. Each is stopped by its own pid."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import time

from .parts import DATABASE, PASSWORD, POLICY, USER, Process, Target, find, free_port, settings

ROWS = 10_000
TABLES, TABLE_ROWS = 4, 100_000
# How old a credential of Doorward's gets before another is asked for: they are good for an hour.
RENEW = 1800

WORDS = "'amber','birch','cedar','delta','ember','fjord','grove','heath','inlet','juniper','kelp','lichen','meadow','north'"
# 20 columns, about 330 bytes a row in text form. No value looks like anything a recognizer is for.
WIDE = f"""
create table wide as select seq id, seq % 50021 customer, seq % 97 quantity, seq * 7 weight,
  cast((seq % 100000) / 100 as decimal(12,2)) amount, cast(seq / 7 as decimal(12,4)) share, seq * 1.5e0 ratio, seq % 2 active,
  timestamp'2025-01-01 00:00:00' + interval seq second created, timestamp'2025-06-01 00:00:00' + interval seq minute updated,
  date'2020-01-01' + interval seq % 2000 day due, cast(sec_to_time(seq) as time) lasts,
  elt(1 + seq % 14, {WORDS}) kind, elt(1 + seq % 13, {WORDS}) state,
  concat(elt(1 + seq % 14, {WORDS}), ' ', elt(1 + seq % 11, {WORDS})) title,
  concat(elt(1 + seq % 7, {WORDS}), ' ', elt(1 + seq % 5, {WORDS})) contact,
  concat(elt(1 + seq % 14, {WORDS}), ' the ', elt(1 + seq % 3, {WORDS}), ' and the ', elt(1 + seq % 11, {WORDS})) notes,
  concat(elt(1 + seq % 9, {WORDS}), ' with a ', elt(1 + seq % 10, {WORDS}), ' of ', elt(1 + seq % 4, {WORDS})) more,
  concat(elt(1 + seq % 6, {WORDS}), ', ', elt(1 + seq % 8, {WORDS})) place, concat('item-', elt(1 + seq % 12, {WORDS})) code
from seq_1_to_{ROWS};
create table wide_tagged as select * from wide;
create table wide_found as select * from wide;
alter table wide_found modify contact varchar(80), modify notes varchar(120);
update wide_found set contact = concat(replace(contact, ' ', '.'), '@example.com'), notes = concat(notes, ' 4111 1111 1111 1111');
"""


def unprivileged():
    """Popen arguments that drop root: MariaDB refuses to run as it."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam("mysql")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give(path):
    """Hands a path to whom the server runs as."""
    if os.getuid() == 0:
        shutil.chown(path, "mysql", "mysql")


class MariaDb:
    """A private MariaDB with its own data folder, durable at each commit."""

    def __init__(self, folder, cert, key):
        self.folder, self.home, self.port = folder, folder / "mariadb", free_port()
        self.home.mkdir(mode=0o755)
        give(self.home)
        self.data, self.socket, self.cert = self.home / "data", self.home / "socket", cert
        self.key = self.home / "server.key"
        shutil.copy(key, self.key)
        self.key.chmod(0o600)
        give(self.key)
        cert.chmod(0o644)
        install = [find("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True, cwd=self.home, **unprivileged())
        self.process = None
        self.start(max_connections=300)

    def start(self, max_connections):
        args = [find("mariadbd", "/usr/sbin"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}"]
        args += [f"--port={self.port}", "--bind-address=127.0.0.1", f"--pid-file={self.home}/pid", "--skip-name-resolve"]
        args += [f"--ssl-cert={self.cert}", f"--ssl-key={self.key}", f"--ssl-ca={self.cert}"]
        args += ["--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=1", "--skip-log-bin"]
        args += [f"--max-connections={max_connections}", "--max-prepared-stmt-count=1000000"]
        self.process = Process(args, self.folder / "mariadb.log", self.port, cwd=self.home, **unprivileged())

    def stop(self):
        self.process.stop()

    def sql(self, text, database=""):
        args = [find("mariadb"), "--no-defaults", "--skip-ssl", f"--socket={self.socket}", "-u", "root", "-N", database]
        done = subprocess.run([a for a in args if a], input=text, text=True, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"bench: mariadb: {done.stderr}")
        return done.stdout.strip()

    def fill(self, with_wide):
        """Creates the account, the database and the tables."""
        self.sql(f"create database {DATABASE} character set utf8mb4; create user '{USER}'@'%' identified by '{PASSWORD}';"
                 f"grant all on {DATABASE}.* to '{USER}'@'%'")
        if with_wide:
            self.sql(WIDE, DATABASE)
        prepare = [find("sysbench"), "oltp_read_write", f"--mysql-socket={self.socket}", f"--mysql-user={USER}"]
        prepare += [f"--mysql-password={PASSWORD}", f"--mysql-db={DATABASE}", f"--tables={TABLES}", f"--table-size={TABLE_ROWS}"]
        subprocess.run([*prepare, "prepare"], check=True, capture_output=True)

    def target(self, name):
        return Target(name, self.port, PASSWORD, None)


class HaProxy:
    """HAProxy in TCP mode: it moves bytes, and TLS goes through it."""

    def __init__(self, folder, upstream, sessions):
        folder = folder / f"haproxy-{sessions}"
        folder.mkdir()
        self.port = free_port()
        config = folder / "haproxy.cfg"
        config.write_text(f"""
global
  maxconn {sessions + 100}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen db
  bind 127.0.0.1:{self.port}
  server db 127.0.0.1:{upstream.port}
""")
        self.process = Process([find("haproxy", "/usr/sbin"), "-db", "-f", str(config)], folder / "log", self.port)

    def target(self, name):
        return Target(name, self.port, PASSWORD, self.process.pid)

    def stop(self):
        self.process.stop()


class Doorward:
    """Doorward with policy, recording, audit and masking on; callers come with a short-lived credential."""

    def __init__(self, program, folder, upstream, cert, key, issuer, audit, sessions):
        folder = folder / f"doorward-{audit}-{sessions}"
        folder.mkdir()
        self.program, self.token, self.ca = program, issuer.token, cert
        self.port, self.api = free_port(), free_port()
        config = folder / "doorward.toml"
        config.write_text(settings(f'tls = {{ cert = "{cert}", key = "{key}" }}', issuer, POLICY, self.api) + f"""
kind = "mysql"
listen = "127.0.0.1:{self.port}"
upstream = "127.0.0.1:{upstream.port}"
database = "{DATABASE}"
user = "{USER}"
credential = {{ env = "BENCH_UPSTREAM_PASSWORD" }}
tls = "disable"
audit = "{audit}"
max_sessions = {sessions + 100}
labels = {{ environment = "bench" }}
tags = {{ "{DATABASE}.wide_tagged.title" = ["pii"], "{DATABASE}.wide_tagged.contact" = ["pii"] }}
""")
        env = dict(os.environ, BENCH_UPSTREAM_PASSWORD=PASSWORD)
        self.process = Process([program, "serve", "--config", str(config)], folder / "log", self.port, cwd=folder, env=env)
        self.lent, self.since = None, 0

    def credential(self):
        """A user name and a password, new ones in time."""
        if time.monotonic() - self.since > RENEW or not self.lent:
            env = dict(os.environ, DOORWARD_TOKEN=self.token, DOORWARD_CA=str(self.ca), DOORWARD_URL=f"https://localhost:{self.api}")
            args = [self.program, "token", "--for", "bench", "--ttl", "1h", "--output", "json"]
            done = subprocess.run(args, env=env, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"bench: doorward token --for bench: {done.stderr}")
            self.lent, self.since = json.loads(done.stdout), time.monotonic()
        return self.lent

    def target(self, name):
        lent = self.credential()
        return Target(name, self.port, lent["password"], self.process.pid, user=lent["user"])

    def stop(self):
        self.process.stop()
