#!/usr/bin/env python3
"""Sends every line to everyone else: chat_server.py [LISTENER [DAEMON]]

Its listener is made with `--remote --on-handler-error ignore`, so that what goes
wrong with one client does not close the port for all.
"""

import asyncio
import sys

import portreeve

writers = set()


def tell(others, line):
    for writer in others:
        writer.write(line)
        if writer.transport.get_write_buffer_size() > 1 << 20:
            writer.transport.abort()  # It does not read.


async def chat(reader, writer):
    name = writer.get_extra_info("portreeve_connection").name
    writers.add(writer)
    tell(writers, f"* {name} is here\n".encode())
    try:
        while line := await reader.readline():
            tell(writers - {writer}, f"<{name}> ".encode() + line)
    finally:
        writers.remove(writer)
        tell(writers, f"* {name} has left\n".encode())


async def main(listener="chat", daemon=None):
    async with await portreeve.serve(daemon, listener, chat) as server:
        print("serving", server.address, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
