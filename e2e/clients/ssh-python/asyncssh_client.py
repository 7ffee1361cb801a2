"""AsyncSSH through the gateway.

Behind the scenes: the first authentication request is `none`, then `password`; there is no agent and no key. Everything
is on one connection and one event loop. SFTP is version 3, with OpenSSH's extensions where the server offers them;
`rename` is the plain SFTP request, reads and writes are many requests at once.
"""

import asyncio
import hashlib
import sys
import time

import asyncssh

from checks import (
    BIG, CHANNEL, CHANNELS, EXEC, EXEC_RESULT, FORWARD, HOST, HOST_KEY, MEBIBYTE, PASSWORD, PORT, USER, Report, Skip,
    big_digest, echo_server, expect, sftp_name,
)

LIMIT = 30


async def connect(password=PASSWORD):
    known = asyncssh.import_known_hosts(f"[{HOST}]:{PORT} {HOST_KEY}\n")
    return await asyncssh.connect(
        HOST, PORT, username=USER, password=password, known_hosts=known, client_keys=None, agent_path=None,
        preferred_auth="password", config=None, login_timeout=LIMIT,
    )


async def wrong_password(_conn):
    try:
        conn = await connect("wrong")
        conn.close()
    except asyncssh.PermissionDenied:
        return
    raise AssertionError("let in")


async def run(conn, command, data=b""):
    done = await conn.run(command, input=data, encoding=None, timeout=LIMIT)
    return done.stdout, done.stderr, done.exit_status


async def exec_(conn):
    expect(EXEC_RESULT, await run(conn, EXEC))
    expect((b"", b"", 0), await run(conn, "true"))


async def stdin(conn):
    expect((MEBIBYTE, b"", 0), await run(conn, "cat", MEBIBYTE))


async def big_output(conn):
    digest, size = hashlib.sha256(), 0
    async with conn.create_process(BIG, encoding=None) as process:
        while data := await process.stdout.read(65536):
            digest.update(data)
            size += len(data)
        await process.wait_closed()
        expect((33554432, big_digest(), 0), (size, digest.hexdigest(), process.exit_status))


async def pty(conn):
    async with conn.create_process(term_type="dumb", term_size=(100, 40)) as shell:
        # The size is changed once the prompt is there: before it, readline reads the size and sets what it has read.
        shell.stdin.write("stty -echo; PS1=rea''dy-; stty size; echo first-$((6*7))\n")
        await shell.stdout.readuntil("ready-")
        shell.change_terminal_size(120, 50)
        shell.stdin.write("stty size; echo second-$((6*8))\n")
        seen = await shell.stdout.readuntil("second-48")
        expect(True, "50 120" in seen)
        shell.stdin.write("exit 3\n")
        await shell.stdout.read()
        await shell.wait_closed()
        expect(3, shell.exit_status)


async def pty_size(conn):
    done = await conn.run("stty size; test -t 0", term_type="dumb", term_size=(101, 41), timeout=LIMIT)
    expect(("41 101\r\n", 0), (done.stdout, done.exit_status))


async def channels(conn):
    begun = time.monotonic()
    runs = [run(conn, CHANNEL.format(i), f"input {i}\n".encode()) for i in range(CHANNELS)]
    expect([(f"channel {i}\ninput {i}\n".encode(), b"", 0) for i in range(CHANNELS)], await asyncio.gather(*runs))
    expect(True, time.monotonic() - begun < CHANNELS)


async def sftp(conn):
    name = sftp_name("asyncssh")
    folder, base = name.rsplit("/", 1)
    async with conn.start_sftp_client() as files:
        async with files.open(name, "wb") as file:
            await file.write(MEBIBYTE)
        expect(len(MEBIBYTE), (await files.stat(name)).size)
        expect(True, base in await files.listdir(folder))
        await files.rename(name, name + ".new")
        async with files.open(name + ".new", "rb") as file:
            expect(MEBIBYTE, await file.read())
        await files.remove(name + ".new")
        expect([], [entry for entry in await files.listdir(folder) if entry.startswith(base)])
        expect(False, await files.exists(name))


async def forward(conn):
    port = echo_server()
    try:
        reader, writer = await conn.open_connection("127.0.0.1", port, encoding=None)
    except asyncssh.ChannelOpenError as error:
        expect((FORWARD, asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED), ("refused", error.code))
        return
    expect(FORWARD, "allowed")
    writer.write(MEBIBYTE)
    writer.write_eof()
    expect(MEBIBYTE, await reader.read())
    writer.close()


async def main():
    report = Report()
    conn = await connect()
    for check in (wrong_password, exec_, stdin, big_output, pty, pty_size, channels, sftp, forward):
        name = check.__name__.strip("_").replace("_", "-")
        try:
            await asyncio.wait_for(check(conn), LIMIT)
            report.ok(name)
        except Skip as why:
            report.skip(name, why)
        except Exception as error:  # noqa: BLE001 - reported, and the next check still runs
            report.fail(name, error)
            if conn.is_closed():
                conn = await connect()
    conn.close()
    await conn.wait_closed()
    return 1 if report.failed else 0


sys.exit(asyncio.run(main()))
