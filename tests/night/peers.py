"""Clients that carry bytes through the daemon, and see that all come back."""

import contextlib
import itertools
import os
import queue
import random
import select
import socket
import struct
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2
from portreeve.v1 import connection_pb2

# Seconds that anything may take while something is away.
TIMEOUT = 60
RESET = (ConnectionResetError, BrokenPipeError)
_numbers = itertools.count(1)


class Cut(AssertionError):
    """Part of the data is missing, and it looks whole."""


class Refused(Exception):
    """There is no connection; the reason is the message."""


def reason_of(error):
    """Of an RpcError: the reason, or gRPC's own code."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return f"{error.code().name}: {error.details()}"


class SocketPeer:
    """A client of a listener: (address, port), or the path of a socket.

    No other one has its address, by which the events name it.
    """

    def __init__(self, kind, where):
        self.kind = kind
        self.began = time.monotonic()
        self.sent = self.received = 0
        self.has_ended = False  # It has sent FIN.
        number = next(_numbers)
        if isinstance(where, str):
            self.key = f"\0night-{number}"
            self.socket = socket.socket(socket.AF_UNIX)
            mine = self.key
        else:
            self.key = f"127.{1 + (number >> 16)}.{number >> 8 & 255}." \
                f"{number & 255}"
            self.socket = socket.socket()
            mine = (self.key, 0)
        self._where = where
        self.socket.bind(mine)

    def open(self, timeout=TIMEOUT):
        self.socket.settimeout(timeout)
        self.socket.connect(self._where)
        self.socket.setblocking(False)

    def _wait(self, events, timeout):
        poll = select.poll()
        poll.register(self.socket, events)
        if not poll.poll(timeout * 1000):
            raise TimeoutError(f"{self.kind} {self.key!r} gets nothing")

    def exchange(self, data, timeout=TIMEOUT):
        """Sends, and takes the same back."""
        self._transfer(data, data, timeout)

    def send(self, data, timeout=TIMEOUT):
        self._transfer(data, b"", timeout)

    def fill(self):
        """Sends for as long as the kernel takes it at once; gives what."""
        data = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                part = random.randbytes(1 << 16)
                data += part[:self.socket.send(part)]
        self.sent += len(data)
        return data

    def take_back(self, data, timeout=TIMEOUT):
        """What was sent by fill()."""
        self._transfer(b"", data, timeout)

    def _transfer(self, data, expected, timeout):
        unsent, came = memoryview(data), 0
        while unsent or came < len(expected):
            self._wait((select.POLLIN if expected else 0) |
                       (select.POLLOUT if unsent else 0), timeout)
            try:
                if unsent:
                    size = self.socket.send(unsent)
                    self.sent += size
                    unsent = unsent[size:]
            except BlockingIOError:
                pass
            if not expected:
                continue
            try:
                part = self.socket.recv(len(expected) - came)
            except BlockingIOError:
                continue
            if not part:
                raise Cut(f"{self.kind} {self.key!r}: EOF after {came} of "
                          f"{len(expected)} bytes, {self.received} before")
            if part != expected[came:came + len(part)]:
                raise Cut(f"{self.kind} {self.key!r}: other bytes than sent")
            came += len(part)
            self.received += len(part)

    def finish(self, timeout=TIMEOUT):
        """FIN, and the other side's, with nothing before it."""
        self.has_ended = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: it was reset.
            raise ConnectionResetError(str(error)) from error
        self._wait(select.POLLIN, timeout)
        if part := self.socket.recv(1):
            raise Cut(f"{self.kind} {self.key!r}: {part!r} that nobody sent")

    def vanish(self):
        """RST."""
        if self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


class DialPeer:
    """A connection that the daemon makes for a client of Dial."""

    def __init__(self, stub, where, timeout=TIMEOUT):
        self.kind = "dial"
        self.key = None  # It has no connection yet.
        self.began = time.monotonic()
        self.sent = self.received = 0
        self.has_ended = False  # It has sent FIN.
        self._frames = queue.SimpleQueue()
        self._frames.put(connection_pb2.ClientFrame(
            dial={"where_to_connect": where}))
        self._call = stub.Dial(iter(self._frames.get, None), timeout=timeout)

    def open(self):
        try:
            self.key = next(self._call).opened.connection.name
        except grpc.RpcError as error:
            self._frames.put(None)
            raise Refused(reason_of(error)) from error

    def _next(self):
        """Data; b"" at the end of file."""
        try:
            frame = next(self._call)
        except grpc.RpcError as error:
            raise Cut(f"dial {self.key} ended by {reason_of(error)}, without "
                      "`closed`") from error
        kind = frame.WhichOneof("kind")
        if kind == "data":
            return frame.data
        if kind == "eof" and not frame.eof.reset:
            return b""
        raise ConnectionResetError(str(frame))

    def exchange(self, data, timeout=TIMEOUT, frame=1 << 16):
        del timeout  # The call's.
        for i in range(0, len(data), frame):
            self._frames.put(
                connection_pb2.ClientFrame(data=data[i:i + frame]))
        self.sent += len(data)
        came = b""
        while len(came) < len(data):
            part = self._next()
            if not part:
                raise Cut(f"dial {self.key}: EOF after {len(came)} bytes")
            came += part
        if came != data:
            raise Cut(f"dial {self.key}: other bytes than sent")
        self.received += len(data)

    def finish(self, timeout=TIMEOUT):
        del timeout
        self.has_ended = True
        self._frames.put(None)
        if part := self._next():
            raise Cut(f"dial {self.key}: {part!r} that nobody sent")
        frame = next(self._call)
        if not frame.HasField("closed"):
            raise Cut(f"dial {self.key}: {frame} and no `closed`")

    def vanish(self):
        self.close()

    def close(self):
        self._frames.put(None)
        self._call.cancel()


class Upstream:
    """An echo server, for forwards and Dial, that can go away."""

    def __init__(self, path):
        self._path = path
        self._port = 0
        self._lock = threading.Lock()
        self._connections = set()
        self._listeners = []
        # Never listens; nobody else is given the port while it is away.
        self._holder = self._bind()
        self.come()
        self.address = ("127.0.0.1", self._port)
        self.path = path

    def _bind(self):
        tcp = socket.socket()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", self._port))
        self._port = tcp.getsockname()[1]
        return tcp

    def come(self):
        tcp = self._bind()
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self._path + ".new")
        for listener in (tcp, unix):
            listener.listen(512)
        os.rename(self._path + ".new", self._path)
        self._listeners = [tcp, unix]
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,),
                             daemon=True).start()

    def go(self):
        """Closes the listeners, and resets the connections of TCP.

        Those of unix sockets go on: they know no reset, and a FIN would be
        the upstream's own word that all has been sent.
        """
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)  # Wakes accept().
        with self._lock:
            for connection in self._connections:
                if connection.family == socket.AF_INET:
                    connection.setsockopt(socket.SOL_SOCKET,
                                          socket.SO_LINGER,
                                          struct.pack("ii", 1, 0))
                    with contextlib.suppress(OSError):  # Reset already.
                        connection.shutdown(socket.SHUT_RD)  # Wakes recv().

    def _accept(self, listener):
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._echo, args=(connection,),
                                 daemon=True).start()

    def _echo(self, connection):
        with self._lock:
            self._connections.add(connection)
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._connections.discard(connection)
            connection.close()
