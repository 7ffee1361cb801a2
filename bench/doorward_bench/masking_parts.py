"""The servers of bench/run-masking: PostgreSQL or MariaDB, and one Doorward before it, asked by two callers."""

import json
import os
import subprocess
import sys

from . import masking_data
from .parts import DATABASE, PASSWORD, USER, Postgres, Process, Target, free_port, settings
from .masking_report import CLEAR, DIRECT, HIDDEN, VIEW
from .mysql_parts import MariaDb

POLICY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "masking.cedar")
GROUP = {CLEAR: "trusted", HIDDEN: "bench", VIEW: "trusted"}


class Upstream:
    """The database with its tables and views."""

    def __init__(self, kind, folder, cert, key):
        self.kind = kind
        self.dialect = masking_data.POSTGRES if kind == "postgres" else masking_data.MARIADB
        self.server = (Postgres if kind == "postgres" else MariaDb)(folder, cert, key)
        self.port = self.server.port

    def fill(self):
        if self.kind == "postgres":
            self.server.psql(f"create role {USER} login password '{PASSWORD}'", database="postgres")
            self.server.psql(f"create database {DATABASE} owner {USER}", database="postgres")
        else:
            self.server.sql(f"create database {DATABASE} character set utf8mb4; create user '{USER}'@'%' identified by '{PASSWORD}';"
                            f"grant all on {DATABASE}.* to '{USER}'@'%'")
        for statement in masking_data.statements(self.dialect):
            if not statement.strip():
                continue
            if self.kind == "postgres":
                self.server.psql(statement, user="postgres" if statement.startswith("vacuum") else USER)
            else:
                self.server.sql(statement, DATABASE)

    def stop(self):
        self.server.stop()


class Doorward:
    """Doorward with recording, audit (best effort: disks are not what is measured) and recognizers on."""

    def __init__(self, program, folder, upstream, cert, key, issuer):
        folder = folder / "doorward"
        folder.mkdir()
        self.program, self.issuer, self.ca, self.kind = program, issuer, cert, upstream.kind
        self.port, self.api = free_port(), free_port()
        config = folder / "doorward.toml"
        config.write_text(settings(f'tls = {{ cert = "{cert}", key = "{key}" }}', issuer, POLICY, self.api) + f"""
kind = "{upstream.kind}"
listen = "127.0.0.1:{self.port}"
upstream = "127.0.0.1:{upstream.port}"
database = "{DATABASE}"
user = "{USER}"
credential = {{ env = "BENCH_UPSTREAM_PASSWORD" }}
tls = "disable"
audit = "best-effort"
labels = {{ environment = "bench" }}
tags = {masking_data.tags(upstream.dialect)}
""")
        env = dict(os.environ, BENCH_UPSTREAM_PASSWORD=PASSWORD)
        self.process = Process([program, "serve", "--config", str(config)], folder / "log", self.port, cwd=folder, env=env)

    def target(self, way):
        """How somebody of the way's group connects. Credentials of MySQL are good for an hour."""
        token = self.issuer.token_of(f"of-{GROUP[way]}", GROUP[way])
        if self.kind == "postgres":
            return Target(way, self.port, token, self.process.pid)
        env = dict(os.environ, DOORWARD_TOKEN=token, DOORWARD_CA=str(self.ca), DOORWARD_URL=f"https://localhost:{self.api}")
        args = [self.program, "token", "--for", "bench", "--ttl", "1h", "--output", "json"]
        done = subprocess.run(args, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: doorward token --for bench: {done.stderr}")
        lent = json.loads(done.stdout)
        return Target(way, self.port, lent["password"], self.process.pid, user=lent["user"])

    def stop(self):
        self.process.stop()


def direct(upstream):
    return Target(DIRECT, upstream.port, PASSWORD, None)
