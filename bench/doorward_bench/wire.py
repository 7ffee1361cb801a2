"""A PostgreSQL client just large enough to measure with.

It logs in over TLS and reads results as bytes, without looking at rows: what it costs must not
hide what the proxies cost.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

PROTOCOL_3_0 = 196608
SSL_REQUEST = 80877103
READY = b"Z\0\0\0\x05I"


class ServerError(Exception):
    """The other side answered with an ErrorResponse."""


def tls_context():
    """TLS as libpq's `sslmode=require` does it: encrypted, certificate unchecked, no resumption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_TICKET
    return context


class Connection:
    """A session: TLS, log-in, then simple queries."""

    def __init__(self, target, context=None):
        raw = socket.create_connection(("127.0.0.1", target.port), timeout=60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(struct.pack("!II", 8, SSL_REQUEST))
        if raw.recv(1) != b"S":
            raise ServerError("no TLS offered")
        self.socket = (context or tls_context()).wrap_socket(raw)
        self.pending = b""
        self._log_in(target.user, target.database, target.password)

    def cipher(self):
        """Protocol version and cipher suite."""
        name, version, _bits = self.socket.cipher()
        return f"{version} {name}"

    def close(self):
        try:
            self.socket.sendall(b"X\0\0\0\x04")
        finally:
            self.socket.close()

    def query(self, sql):
        """Runs statements; returns the messages of the answer as (type, body)."""
        self._send(b"Q", sql.encode() + b"\0")
        messages = []
        while True:
            kind, body = self._message()
            if kind == b"E":
                raise ServerError(error_text(body))
            messages.append((kind, body))
            if kind == b"Z":
                return messages

    def prepare(self, sql):
        """Prepares a statement with one parameter, a number; returns its name."""
        self._send(b"P", b"s\0" + sql.encode() + b"\0" + struct.pack("!HI", 1, 23))
        self._send(b"S", b"")
        self._until_ready()
        return b"s"

    def execute(self, name, value):
        """Runs a prepared statement as drivers do: one message after the other in one piece. The number of its rows."""
        text = str(value).encode()
        bind = b"\0" + name + b"\0" + struct.pack("!HHI", 0, 1, len(text)) + text + struct.pack("!H", 0)
        pieces = [(b"B", bind), (b"D", b"P\0"), (b"E", b"\0\0\0\0\0"), (b"S", b"")]
        self.socket.sendall(b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in pieces))
        return self._until_ready()

    def _until_ready(self):
        rows = 0
        while True:
            kind, body = self._message()
            if kind == b"E":
                raise ServerError(error_text(body))
            if kind == b"Z":
                return rows
            rows += kind == b"D"

    def discard(self, sql, buffer, expect):
        """Runs one statement and throws its answer away; returns its size in bytes.

        The end is seen by the last bytes alone: the expected command tag and ReadyForQuery, which
        hold zero bytes that no row of ours ends with.
        """
        end = expect + b"\0" + READY
        self._send(b"Q", sql.encode() + b"\0")
        total, tail, view = 0, b"", memoryview(buffer)
        while True:
            n = self.socket.recv_into(buffer)
            if n == 0:
                raise ServerError("closed in the middle of a result")
            if total == 0 and buffer[:1] == b"E":
                raise ServerError(repr(bytes(view[:n])))
            total += n
            tail = (tail + bytes(view[max(0, n - len(end)) : n]))[-len(end) :]
            if tail == end:
                return total
            if tail.endswith(READY):
                raise ServerError(f"ended with {tail!r}, not with {expect!r}")

    def _send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def _message(self):
        head = self._exactly(5)
        (length,) = struct.unpack("!I", head[1:])
        return head[:1], self._exactly(length - 4)

    def _exactly(self, n):
        while len(self.pending) < n:
            more = self.socket.recv(65536)
            if not more:
                raise ServerError("closed")
            self.pending += more
        out, self.pending = self.pending[:n], self.pending[n:]
        return out

    def _log_in(self, user, database, password):
        parameters = {"user": user, "database": database, "application_name": "bench"}
        body = struct.pack("!I", PROTOCOL_3_0)
        body += b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        scram = None
        while True:
            kind, body = self._message()
            if kind == b"E":
                raise ServerError(error_text(body))
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (code,) = struct.unpack("!I", body[:4])
            if code == 3:
                self._send(b"p", password.encode() + b"\0")
            elif code == 10:
                scram = Scram(password)
                first = scram.first()
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
            elif code == 11:
                self._send(b"p", scram.final(body[4:]))
            elif code not in (0, 12):
                raise ServerError(f"authentication method {code} is not known here")


class Scram:
    """The client's half of SCRAM-SHA-256 (RFC 7677), without channel binding."""

    def __init__(self, password):
        self.password = password.encode()
        self.bare = b"n=,r=" + base64.b64encode(os.urandom(18))

    def first(self):
        return b"n,," + self.bare

    def final(self, server_first):
        parts = dict(p.split(b"=", 1) for p in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + parts[b"r"]
        signed = self.bare + b"," + server_first + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return without_proof + b",p=" + base64.b64encode(proof)


def error_text(body):
    """The SQLSTATE and message of an ErrorResponse."""
    fields = {f[:1]: f[1:].decode(errors="replace") for f in body.split(b"\0") if f}
    return f"{fields.get(b'C')}: {fields.get(b'M')}"
