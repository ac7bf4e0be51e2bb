"""Connections from the daemon's machine to somewhere else."""

import errno
import socket

import grpc
from google.rpc import error_details_pb2, status_pb2

from portreeve.reason import repeated
from portreeve.text import where_to_connect
from portreeve.transport import make_streams, open_stream
from portreeve.v1 import connection_pb2_grpc

_DETAILS = "grpc-status-details-bin"


async def open_connection(channel, host=None, port=None, *, path=None,
                          timeout=None, limit=64 * 1024):
    """As asyncio.open_connection(), but the daemon connects.

    `host` without a port is a whole address, like "tcp:example.org:80" or
    "unix:/path". `path` is that of a Unix socket, instead; `timeout`, in
    seconds, covers the lookup of the name. Raises the OSError that a local
    attempt would, and grpc.aio.AioRpcError where there was no attempt. `path`
    and names mean those of the daemon's machine.
    """
    if host is not None and port is None:
        dial = {"where_to_connect": where_to_connect(host)}
    else:
        dial = {"where_to_connect": {"inet": {"host": host, "port": port}}}
    if path is not None:
        dial["where_to_connect"] = {"unix_socket": {"path": path}}
    if timeout is not None:
        dial["timeout"] = {
            "seconds": int(timeout),
            "nanos": int(timeout % 1 * 10**9),
        }
    dial["can_move"] = True
    stub = connection_pb2_grpc.ConnectionServiceStub(channel)

    async def connect():
        call = stub.Dial()
        return call, await open_stream(call, {"dial": dial})

    try:
        call, connection = await repeated(connect, is_harmless=False)
    except grpc.aio.AioRpcError as refused:
        error = _os_error(refused)
        if error is None:
            raise
        raise error from refused
    return make_streams(call, connection, limit, stub.Attach)


def _os_error(refused):
    """The OSError that the refusal tells of, if any."""
    for key, value in refused.trailing_metadata() or ():
        if key != _DETAILS:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if not detail.Unpack(info):
                continue
            if info.reason == "CONNECT_TIMEOUT":
                return TimeoutError(errno.ETIMEDOUT, refused.details())
            if info.reason == "DNS_FAILURE":
                return socket.gaierror(socket.EAI_NONAME, refused.details())
            if "errno" in info.metadata:
                return OSError(int(info.metadata["errno"]), refused.details())
    return None
