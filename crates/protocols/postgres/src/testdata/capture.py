#!/usr/bin/env python3
"""Records what a client and a PostgreSQL server say to each other, for the tests of this crate.

usage: capture.py SERVER_PORT FILE COMMAND...
The command is run with PGHOST and PGPORT set to a listener on loopback that passes every byte on. FILE gets
one record a chunk: direction (`>` from the client, `<` to it), length (big-endian, 4 bytes), bytes.
Of several connections of the command, the one that said most is kept.
"""
import os
import socket
import struct
import subprocess
import sys
import threading


def main():
    port, path, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    listener = socket.create_server(("127.0.0.1", 0))
    connections, lock = [], threading.Lock()

    def pump(source, sink, mark, records):
        try:
            while chunk := source.recv(65536):
                with lock:
                    records.append(mark + struct.pack(">I", len(chunk)) + chunk)
                sink.sendall(chunk)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            records = []
            connections.append(records)
            for source, sink, mark in ((client, server, b">"), (server, client, b"<")):
                threading.Thread(target=pump, args=(source, sink, mark, records), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    environment = dict(os.environ, PGHOST="127.0.0.1", PGPORT=str(listener.getsockname()[1]))
    subprocess.run(command, env=environment, check=False)
    with lock, open(path, "wb") as out:
        out.write(max((b"".join(records) for records in connections), key=len))


main()
