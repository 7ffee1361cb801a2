"""What the SSH clients in Python share: the settings, what is sent and expected, and one line for each check."""

import hashlib
import os
import socketserver
import threading
import traceback

HOST, PORT = os.environ["E2E_SSH_HOST"], int(os.environ["E2E_SSH_PORT"])
USER, HOST_KEY = os.environ["E2E_SSH_USER"], os.environ["E2E_SSH_HOST_KEY"]
FOLDER = os.environ.get("E2E_SSH_DIRECTORY", ".")
SFTP, FORWARD = os.environ.get("E2E_SSH_SFTP", "allowed"), os.environ.get("E2E_SSH_FORWARD", "allowed")
if "DOORWARD_TOKEN_FILE" in os.environ:
    with open(os.environ["DOORWARD_TOKEN_FILE"], encoding="ascii") as token_file:
        PASSWORD = token_file.read().strip()
else:
    PASSWORD = os.environ["E2E_SSH_PASSWORD"]

EXEC = "printf 'out \\303\\274\\n'; printf 'err\\n' >&2; exit 7"
EXEC_RESULT = ("out ü\n".encode(), b"err\n", 7)
MEBIBYTE = bytes(range(256)) * 4096
BIG = "seq 1 5000000 | head -c 33554432"
CHANNELS = 10
CHANNEL = "sleep 1; echo channel {}; cat"


def big_digest():
    numbers = "\n".join(map(str, range(1, 5_000_000))).encode()
    return hashlib.sha256(numbers[:33554432]).hexdigest()


class Skip(Exception):
    """The surroundings say that this is not to be tried."""


class Report:
    """Prints `ok name`, `skip name: why` or `FAIL name: why`, and remembers whether all went well."""

    def __init__(self):
        self.failed = False

    def ok(self, name):
        print(f"ok {name}", flush=True)

    def skip(self, name, why):
        print(f"skip {name}: {why}", flush=True)

    def fail(self, name, error):
        self.failed = True
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        line = traceback.extract_tb(error.__traceback__)[-1].lineno if error.__traceback__ else 0
        print(f"FAIL {name}: {text[:400]} (line {line})", flush=True)


def expect(expected, actual):
    if expected != actual:
        raise AssertionError(f"expected {expected!r:.200}, got {actual!r:.200}")


def sftp_name(client):
    """A file of this run alone."""
    if SFTP == "skip":
        raise Skip("E2E_SSH_SFTP")
    return f"{FOLDER}/e2e-{client}-{os.getpid()}"


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


def echo_server():
    """The port of a server on 127.0.0.1 that says what it hears, until this program ends."""
    if FORWARD == "skip":
        raise Skip("E2E_SSH_FORWARD")
    server = _Server(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
