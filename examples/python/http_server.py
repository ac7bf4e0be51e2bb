#!/usr/bin/env python3
"""A small HTTP/1.1 server: http_server.py [LISTENER [DAEMON]]

Answers every request with its method, its path and the size of its body. Its
listener is made with `--remote --on-handler-error ignore`, so that what goes
wrong with one client does not close the port for all.
"""

import asyncio
import sys

import portreeve

MAX_BODY = 1 << 20


async def read_request(reader):
    """Returns (method, path, version, headers, body); None at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, version = request.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    size = int(headers.get("content-length", 0))
    if size > MAX_BODY:
        raise ValueError("the reader would keep all of it")
    body = await reader.readexactly(size)
    return method, path, version, headers, body


def keeps_alive(version, headers):
    connection = headers.get("connection", "").lower()
    if version == "HTTP/1.1":
        return connection != "close"
    return connection == "keep-alive"


def answer(status, text, keep):
    body = text.encode()
    head = (f"HTTP/1.1 {status}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n")
    return head.encode(), body


async def http(reader, writer):
    keep = True
    while keep:
        try:
            request = await read_request(reader)
            if request is None:
                return
            method, path, version, headers, body = request
            keep = keeps_alive(version, headers)
            head, body = answer(
                "200 OK", f"{method} {path}, {len(body)} bytes\n", keep)
        except (ValueError, asyncio.LimitOverrunError):
            method, keep = "GET", False
            head, body = answer("400 Bad Request", "not HTTP\n", keep)
        writer.write(head if method == "HEAD" else head + body)
        await writer.drain()


async def main(listener="http", daemon=None):
    async with await portreeve.serve(daemon, listener, http) as server:
        print("serving", server.address, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
