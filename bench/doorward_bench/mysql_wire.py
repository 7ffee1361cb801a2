"""A MySQL client just large enough to measure with.

It logs in over TLS by `mysql_native_password` and reads results as bytes, without looking at rows: what it costs must not
hide what the proxies cost.
"""

import hashlib
import socket
import struct

from .wire import ServerError, tls_context

# MYSQL, CONNECT_WITH_DB, PROTOCOL_41, SSL, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH; results end with EOF packets.
CAPABILITIES = 1 | 8 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 15 | 1 << 19
NATIVE = b"mysql_native_password"


def proof(password, nonce):
    """`SHA1(password) XOR SHA1(nonce SHA1(SHA1(password)))`."""
    once = hashlib.sha1(password).digest()
    other = hashlib.sha1(nonce + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, other))


class Connection:
    """A session: TLS, log-in, then text queries."""

    def __init__(self, target, context=None):
        self.socket = socket.create_connection(("127.0.0.1", target.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending, self.number = b"", 0
        self._log_in(target, context or tls_context())

    def cipher(self):
        """Protocol version and cipher suite."""
        name, version, _bits = self.socket.cipher()
        return f"{version} {name}"

    def close(self):
        try:
            self._send(b"\x01", 0)
        finally:
            self.socket.close()

    def query(self, sql):
        """Runs a query; the packets of its rows."""
        self._send(b"\x03" + sql.encode(), 0)
        return self._rows()

    def prepare(self, sql):
        """Prepares a statement with one parameter, a number; returns its number."""
        self._send(b"\x16" + sql.encode(), 0)
        first = self._packet()
        number, columns, parameters = struct.unpack("<IHH", first[1:9])
        for count in (parameters, columns):
            for _ in range(count + 1 if count else 0):
                self._packet()
        return number

    def execute(self, statement, value):
        """Runs a prepared statement; the number of its rows."""
        head = struct.pack("<BIBI", 0x17, statement, 0, 1)
        self._send(head + b"\0\x01" + struct.pack("<Hq", 8, value), 0)
        return len(self._rows())

    def _rows(self):
        first = self._packet()
        if first[:1] == b"\0":
            return []
        ends, rows = 0, []
        while ends < 2:
            packet = self._packet()
            if packet[:1] == b"\xfe" and len(packet) < 9:
                ends += 1
            elif ends == 1:
                rows.append(packet)
        return rows

    def discard(self, sql, buffer):
        """Runs a query and throws its answer away; its size in bytes.

        The end is seen by the last bytes alone: the head of a packet of five bytes and an EOF, which no row of ours ends
        with; the columns end with one, too.
        """
        self._send(b"\x03" + sql.encode(), 0)
        total, tail, view, ends = 0, b"", memoryview(buffer), 0
        while True:
            n = self.socket.recv_into(buffer)
            if n == 0:
                raise ServerError("closed in the middle of a result")
            if total == 0:
                if buffer[4] == 0xFF:
                    raise ServerError(repr(bytes(view[:n])))
                # The columns are short and come in one piece with the first rows.
                ends = 1
            total += n
            tail = (tail + bytes(view[max(0, n - 9) : n]))[-9:]
            if ends and total > 2000 and tail[:3] == b"\x05\0\0" and tail[4] == 0xFE:
                return total

    def _send(self, payload, number):
        self.socket.sendall(struct.pack("<I", len(payload))[:3] + bytes([number]) + payload)
        self.number = number + 1

    def _packet(self):
        head = self._exactly(4)
        payload = self._exactly(head[0] | head[1] << 8 | head[2] << 16)
        self.number = head[3] + 1
        if payload[:1] == b"\xff":
            raise ServerError(f"{struct.unpack('<H', payload[1:3])[0]}: {payload[9:].decode(errors='replace')}")
        return payload

    def _exactly(self, n):
        while len(self.pending) < n:
            more = self.socket.recv(65536)
            if not more:
                raise ServerError("closed")
            self.pending += more
        out, self.pending = self.pending[:n], self.pending[n:]
        return out

    def _log_in(self, target, context):
        greeting = self._packet()
        at = greeting.index(b"\0", 1) + 5
        nonce = greeting[at : at + 8] + greeting[at + 27 : at + 39]
        head = struct.pack("<IIB23x", CAPABILITIES, 1 << 24, 45)
        self._send(head, self.number)
        number = self.number
        self.socket = context.wrap_socket(self.socket)
        password = target.password.encode()
        own = proof(password, nonce)
        login = target.user.encode() + b"\0" + bytes([len(own)]) + own + target.database.encode() + b"\0" + NATIVE + b"\0"
        self._send(head + login, number)
        while True:
            packet = self._packet()
            if packet[:1] == b"\0":
                return
            if packet[:1] != b"\xfe":
                raise ServerError(f"a packet of another method: {packet[:20]!r}")
            method, _, data = packet[1:].partition(b"\0")
            if method != NATIVE:
                raise ServerError(f"the method {method.decode()} is not known here")
            self._send(proof(password, data[:20]), self.number)
