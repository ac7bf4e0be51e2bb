"""A worker that does what the first line of each connection says.

    worker.py LISTENER DAEMON

What only the worker can see it prints, as a line "report JSON".
RETRY_FOR in the environment is how long it tries again, in seconds.
VERDICT=return in the environment lets the listener go on after an error.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import sys

sys.path.insert(0, os.environ["EXAMPLES_PYTHON"])
import portreeve

CHUNK = bytes(64 * 1024)
RETRY_FOR = float(os.environ["RETRY_FOR"]) if "RETRY_FOR" in os.environ else None
# As Node names them.
CODES = {ConnectionResetError: "ECONNRESET",
         ConnectionAbortedError: "ECONNABORTED"}


def report(**values):
    print("report", json.dumps(values), flush=True)


async def echo(reader, writer, _):
    """Tells the process, then sends back."""
    writer.write(f"{os.getpid()}\n".encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def stall(reader, writer, _):
    """Never reads."""
    await writer.wait_closed()


async def flood(reader, writer, _):
    """Sends for as long as the peer takes."""
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def flood_large(reader, writer, _):
    """The same in the largest frames that a client may send."""
    portreeve.transport.MAX_FRAME = 256 * 1024
    while True:
        writer.write(4 * CHUNK)
        await writer.drain()


async def eof_first(reader, writer, _):
    """Sends a line and FIN, then reads everything."""
    writer.write(b"bye\n")
    writer.write_eof()
    digest, size = hashlib.sha256(), 0
    while data := await reader.read(65536):
        digest.update(data)
        size += len(data)
    report(size=size, sha256=digest.hexdigest())


async def eof_last(reader, writer, argument):
    """Reads everything, then sends `argument` chunks."""
    size = len(await reader.read(-1))
    writer.write(f"{size}\n".encode())
    for _ in range(int(argument)):
        writer.write(CHUNK)
        await writer.drain()


async def reset(reader, writer, _):
    writer.transport.abort()


async def follow(reader, writer, how):
    """Tells how the connection ends for a handler that, as `how` says:

    reads -- reads to the end, of which it tells the peer
    ends -- the same, and then ends too
    waits -- is the same as "reads", but begins when another one says "go"
    is deaf -- reads once it is all over
    leaves -- ends at once
    aborts -- resets at once
    aborts later -- does so when another one says "go"
    """
    writer.write(b"ready\n")
    size, end, lost = 0, False, None
    if how in ("waits", "aborts later"):
        await go.wait()
        go.clear()
    if how == "leaves":
        writer.close()
    elif how.startswith("aborts"):
        writer.transport.abort()
    elif how == "is deaf":
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    try:
        while data := await reader.read(65536):
            size += len(data)
        end = True
        writer.write(b"ended\n")
        if how == "ends":
            writer.close()
    except ConnectionError:
        pass
    try:
        await writer.wait_closed()
    except ConnectionError as error:
        lost = CODES[type(error)]
    report(size=size, end=end, lost=lost,
           reason=writer.get_extra_info("portreeve_close_reason"))


async def later(reader, writer, how):
    """Writes, ends or leaves when another one says "go"; then reads everything.
    """
    writer.write(b"ready\n")
    await go.wait()
    go.clear()
    if how == "writes":
        writer.write(b"later\n")
    elif how == "ends":
        writer.write_eof()
    else:
        report(size=0)
        return
    report(size=len(await reader.read(-1)))


async def let_go(reader, writer, _):
    go.set()


async def fail(reader, writer, argument):
    writer.write(b"flushed\n")
    raise ValueError(argument)


async def need(reader, writer, how):
    """Wants more than the peer may send, and catches nothing."""
    writer.write(b"ready\n")
    if how == "exactly":
        await reader.readexactly(1_000_000)
    elif how == "until":
        await reader.readuntil(b"\n")
    elif how == "line":
        while await reader.readline():
            pass
    elif how == "lines":
        async for _ in reader:
            pass
    elif how == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(reader.readexactly(1_000_000))
            group.create_task(asyncio.Event().wait())
    elif how == "flood":
        await flood(reader, writer, "")


async def err(reader, writer, argument):
    """Does wrong, once the peer has ended, as the first word of `argument`
    says; a port follows.
    """
    how, _, port = argument.partition(" ")
    data = await reader.read(-1)
    if how == "decode":
        data.decode()
    elif how == "negative":
        await reader.readexactly(-1)
    elif how == "own":
        raise asyncio.IncompleteReadError(b"", 5)
    elif how == "wrapped":
        try:
            await reader.readexactly(5)
        except asyncio.IncompleteReadError as error:
            raise ValueError("half a request") from error
    elif how == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(reader.readexactly(5))
            group.create_task(fail(reader, writer, "in a group"))
    elif how == "far":
        near, far = await portreeve.open_connection(
            channel, "127.0.0.1", int(port))
        try:
            await near.readexactly(1000)
        finally:
            far.close()


async def dial(reader, writer, argument):
    """Connects to a port, and copies that to the peer."""
    near, far = await portreeve.open_connection(
        channel, "127.0.0.1", int(argument))
    far.write(b"dialled\n")
    far.write_eof()
    writer.write(await near.read(-1))
    far.close()
    await far.wait_closed()


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def relay(reader, writer, argument):
    """Connects to a port, and copies both ways."""
    near, far = await portreeve.open_connection(
        channel, "127.0.0.1", int(argument))
    await asyncio.gather(copy(reader, far), copy(near, writer))
    far.close()
    await far.wait_closed()


async def dial_follow(reader, writer, argument):
    """The same of a connection to a port, which is the first word."""
    port, _, how = argument.partition(" ")
    await follow(*await portreeve.open_connection(
        channel, "127.0.0.1", int(port)), how)


async def dial_refused(reader, writer, argument):
    try:
        await portreeve.open_connection(channel, "127.0.0.1", int(argument))
    except ConnectionRefusedError:
        writer.write(b"refused\n")


COMMANDS = {f.__name__: f for f in [
    echo, stall, flood, flood_large, eof_first, eof_last, reset, follow, later,
    let_go, fail, need, err, dial, relay, dial_follow, dial_refused]}


async def handle(reader, writer):
    command, _, argument = (await reader.readline()).decode().strip().partition(
        " ")
    await COMMANDS[command](reader, writer, argument)


async def judge(connection, message):
    report(connection=connection, message=message)
    if os.environ.get("VERDICT") != "return":
        raise RuntimeError("the listener shall close")


async def main(listener, daemon):
    global channel, go
    channel = portreeve.channel(daemon)
    go = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with await portreeve.serve(channel, listener, handle,
                                     on_handler_error=judge,
                                     retry_for=RETRY_FOR) as server:
        print("serving", flush=True)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
