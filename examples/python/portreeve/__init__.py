"""asyncio's server shape for the listeners of a Portreeve daemon.

    async def callback(reader, writer):
        writer.write(await reader.readline())

    async with await portreeve.serve(None, "echo", callback) as s:
        await s.serve_forever()

`reader` and `writer` are asyncio's own; their transport is one gRPC stream to
the daemon, whose flow control carries the back-pressure to the peer's socket
and from it. portreeve.v1 is what protoc makes of the .proto files.
"""

from portreeve.daemon_channel import channel
from portreeve.dial import open_connection
from portreeve.server import Server, serve
from portreeve.text import where_to_connect, where_to_listen

__all__ = ["Server", "channel", "open_connection", "serve", "where_to_connect",
           "where_to_listen"]
