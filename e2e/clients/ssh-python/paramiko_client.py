"""Paramiko through the gateway.

Behind the scenes: the first authentication request is `none`, then `password`; there is no agent and no key. One
transport thread reads for all channels. SFTP is version 3; `put` asks for the file's size with a STAT at the end, `get` sends many READ
requests at once (`prefetch`).
"""

import base64
import hashlib
import io
import socket
import sys
import threading
import time

import paramiko

from checks import (
    BIG, CHANNEL, CHANNELS, EXEC, EXEC_RESULT, FORWARD, HOST, HOST_KEY, MEBIBYTE, PASSWORD, PORT, USER, Report, Skip,
    big_digest, echo_server, expect, sftp_name,
)

LIMIT = 30


def connect(password=PASSWORD):
    kind, key = HOST_KEY.split()
    client = paramiko.SSHClient()
    known = paramiko.PKey.from_type_string(kind, base64.b64decode(key))
    client.get_host_keys().add(f"[{HOST}]:{PORT}", kind, known)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(HOST, PORT, USER, password, allow_agent=False, look_for_keys=False, timeout=LIMIT, auth_timeout=LIMIT)
    return client


def wrong_password(_client):
    try:
        connect("wrong").close()
    except paramiko.AuthenticationException:
        return
    raise AssertionError("let in")


def run(client, command, data=b""):
    stdin, stdout, stderr = client.exec_command(command, timeout=LIMIT)
    # A command whose input and output are larger than the windows needs both sides served at once.
    writer = threading.Thread(target=lambda: (stdin.write(data), stdin.flush(), stdin.channel.shutdown_write()))
    writer.start()
    out = stdout.read()
    writer.join(LIMIT)
    return out, stderr.read(), stdout.channel.recv_exit_status()


def exec_(client):
    expect(EXEC_RESULT, run(client, EXEC))
    expect((b"", b"", 0), run(client, "true"))


def stdin(client):
    expect((MEBIBYTE, b"", 0), run(client, "cat", MEBIBYTE))


def big_output(client):
    _, stdout, _ = client.exec_command(BIG, timeout=LIMIT)
    digest, size = hashlib.sha256(), 0
    while data := stdout.channel.recv(65536):
        digest.update(data)
        size += len(data)
    expect((33554432, big_digest(), 0), (size, digest.hexdigest(), stdout.channel.recv_exit_status()))


def read_until(channel, text):
    seen = b""
    while text not in seen:
        data = channel.recv(65536)
        if not data:
            raise AssertionError(f"the shell ended after {seen!r:.300}")
        seen += data


def pty(client):
    channel = client.invoke_shell(term="dumb", width=100, height=40)
    channel.settimeout(LIMIT)
    # The size is changed once the prompt is there: before it, readline reads the size and sets what it has read.
    channel.sendall(b"stty -echo; PS1=rea''dy-; stty size; tty | cut -c1-4; echo first-$((6*7))\n")
    read_until(channel, b"ready-")
    channel.resize_pty(width=120, height=50)
    channel.sendall(b"stty size; echo second-$((6*8))\n")
    read_until(channel, b"second-48")
    channel.sendall(b"exit 3\n")
    while channel.recv(65536):
        pass
    expect(3, channel.recv_exit_status())


def pty_size(client):
    channel = client.get_transport().open_session(timeout=LIMIT)
    channel.settimeout(LIMIT)
    channel.get_pty(term="dumb", width=101, height=41)
    channel.exec_command("stty size; test -t 0")
    expect((b"41 101\r\n", 0), (channel.makefile("rb").read(), channel.recv_exit_status()))


def channels(client):
    begun, opened = time.monotonic(), []
    for i in range(CHANNELS):
        stdin, stdout, _ = client.exec_command(CHANNEL.format(i), timeout=LIMIT)
        stdin.write(f"input {i}\n")
        stdin.channel.shutdown_write()
        opened.append(stdout)
    expect([f"channel {i}\ninput {i}\n".encode() for i in range(CHANNELS)], [stdout.read() for stdout in opened])
    expect(True, time.monotonic() - begun < CHANNELS)


def sftp(client):
    name = sftp_name("paramiko")
    with client.open_sftp() as files:
        files.get_channel().settimeout(LIMIT)
        files.putfo(io.BytesIO(MEBIBYTE), name)
        expect(len(MEBIBYTE), files.stat(name).st_size)
        folder, base = name.rsplit("/", 1)
        expect(True, base in files.listdir(folder))
        files.rename(name, name + ".new")
        back = io.BytesIO()
        files.getfo(name + ".new", back)
        expect(MEBIBYTE, back.getvalue())
        files.remove(name + ".new")
        expect([], [entry for entry in files.listdir(folder) if entry.startswith(base)])
        try:
            files.stat(name)
            raise AssertionError("the file is still there")
        except FileNotFoundError:
            pass


def forward(client):
    address = ("127.0.0.1", echo_server())
    try:
        channel = client.get_transport().open_channel("direct-tcpip", address, ("127.0.0.1", 0), timeout=LIMIT)
    except paramiko.ChannelException as error:
        expect((FORWARD, 1), ("refused", error.code))
        return
    expect(FORWARD, "allowed")
    channel.settimeout(LIMIT)
    writer = threading.Thread(target=lambda: (channel.sendall(MEBIBYTE), channel.shutdown(socket.SHUT_WR)))
    writer.start()
    back = b""
    while data := channel.recv(65536):
        back += data
    writer.join(LIMIT)
    expect(MEBIBYTE, back)


def main():
    report = Report()
    client = connect()
    for check in (wrong_password, exec_, stdin, big_output, pty, pty_size, channels, sftp, forward):
        name = check.__name__.strip("_").replace("_", "-")
        try:
            check(client)
            report.ok(name)
        except Skip as why:
            report.skip(name, why)
        except Exception as error:  # noqa: BLE001 - reported, and the next check still runs
            report.fail(name, error)
            if not client.get_transport().is_active():
                client = connect()
    client.close()
    return 1 if report.failed else 0


sys.exit(main())
