#!/usr/bin/env python3
"""Sends back what it receives: echo_server.py [LISTENER [DAEMON]]

Its listener is made with `--remote --on-handler-error ignore`, so that what goes
wrong with one client does not close the port for all.
"""

import asyncio
import sys

import portreeve


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def main(listener="echo", daemon=None):
    async with await portreeve.serve(daemon, listener, echo) as server:
        print("serving", server.address, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
