"""Walks the tables of docs/protocols/ssh.md: sends each request over a real connection and says what came of it.

Prints a line `TABLE<tab>NAME<tab>success|failure|none` for each row; the test compares. Names come on standard input as
`TABLE<tab>NAME`.
"""

import socket
import sys
import threading
import time

import paramiko
from paramiko.common import (
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_SUCCESS,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
)

from checks import HOST, PASSWORD, PORT, USER

MADE_UP = "made-up@example.com"


ANSWERS = {}


def noting(kind, answered):
    """What paramiko does at an answer to a channel request, and a note of it."""

    def handler(channel, message):
        ANSWERS.setdefault(channel.chanid, []).append(kind)
        answered(channel, message)

    return handler


HANDLERS = paramiko.Transport._channel_handler_table
HANDLERS[MSG_CHANNEL_SUCCESS] = noting("success", HANDLERS[MSG_CHANNEL_SUCCESS])
HANDLERS[MSG_CHANNEL_FAILURE] = noting("failure", HANDLERS[MSG_CHANNEL_FAILURE])


def connect():
    transport = paramiko.Transport(socket.create_connection((HOST, PORT)))
    transport.start_client(timeout=30)
    transport.auth_password(USER, PASSWORD)
    return transport


def payload(message, name):
    """What belongs to a channel request of this name."""
    if name == "pty-req":
        message.add_string("xterm")
        for number in (80, 24, 0, 0):
            message.add_int(number)
        message.add_string(b"\0")
    elif name == "env":
        message.add_string("LANG")
        message.add_string("C")
    elif name == "exec":
        message.add_string("true")
    elif name == "subsystem":
        message.add_string("sftp")
    elif name == "window-change":
        for number in (80, 24, 0, 0):
            message.add_int(number)
    elif name == "signal":
        message.add_string("TERM")
    elif name == "x11-req":
        message.add_boolean(False)
        message.add_string("MIT-MAGIC-COOKIE-1")
        message.add_string("00")
        message.add_int(0)
    elif name == "xon-xoff":
        message.add_boolean(True)
    elif name == "break":
        message.add_int(100)


def channel_request(transport, name):
    channel = transport.open_session(timeout=30)
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(name)
    message.add_boolean(True)
    payload(message, name)
    transport._send_user_message(message)
    # What has no answer has none within a second.
    until = time.monotonic() + (1 if name in ("window-change", "signal") else 20)
    while channel.chanid not in ANSWERS and time.monotonic() < until:
        time.sleep(0.01)
    answers = ANSWERS.pop(channel.chanid, ["none"])
    channel.close()
    return answers[0]


def global_request(transport, name):
    transport.completion_event = threading.Event()
    message = paramiko.Message()
    message.add_byte(cMSG_GLOBAL_REQUEST)
    message.add_string(name)
    message.add_boolean(True)
    if name in ("tcpip-forward", "cancel-tcpip-forward"):
        message.add_string("127.0.0.1")
        message.add_int(0 if name == "tcpip-forward" else 1)
    elif "streamlocal" in name:
        message.add_string("/tmp/no-such-socket")
    transport.global_response = None
    transport._send_user_message(message)
    if not transport.completion_event.wait(20):
        return "none"
    return "failure" if transport.global_response is None else "success"


def open_channel(transport, kind):
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_OPEN)
    message.add_string(kind)
    transport.lock.acquire()
    number = transport._next_channel()
    message.add_int(number)
    message.add_int(1 << 20)
    message.add_int(1 << 15)
    if kind in ("direct-tcpip", "forwarded-tcpip"):
        for host, port in (("127.0.0.1", PORT), ("127.0.0.1", 1)):
            message.add_string(host)
            message.add_int(port)
    elif kind == "direct-streamlocal@openssh.com":
        message.add_string("/run/no-such-socket")
        message.add_string("")
        message.add_int(0)
    elif kind == "x11":
        message.add_string("127.0.0.1")
        message.add_int(1)
    elif kind == "tun@openssh.com":
        message.add_int(1)
        message.add_int(0)
    channel = paramiko.Channel(number)
    transport._channels.put(number, channel)
    transport.channel_events[number] = event = threading.Event()
    transport.channels_seen[number] = True
    channel._set_transport(transport)
    channel._set_window(1 << 20, 1 << 15)
    transport.lock.release()
    transport._send_user_message(message)
    if not event.wait(20):
        return "none"
    return "success" if transport._channels.get(number) is not None else "failure"


def main():
    rows = [line.rstrip("\n").split("\t") for line in sys.stdin if line.strip()]
    ways = {"Channel requests": channel_request, "Global requests": global_request, "Channel types": open_channel}
    transport = connect()
    for table, name in rows:
        result = ways[table](transport, MADE_UP if name == "anything else" else name)
        print(f"{table}\t{name}\t{result}", flush=True)
    assert transport.is_active(), "the connection has ended"
    transport.close()


main()
