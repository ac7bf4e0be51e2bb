"""A stream that is a socket, as a transport of asyncio."""

import asyncio
import contextlib
import errno
import os
import traceback

import grpc

from portreeve.move import MOVE_FOR, Move, may_attach_again
from portreeve.reader import PeerReader
from portreeve.retry import Retry
from portreeve.v1 import connection_pb2

# Bytes in one frame.
MAX_FRAME = 64 * 1024
# Seconds that abort() gives the daemon to take the `reset` frame.
RESET_TIMEOUT = 1
MAX_MESSAGE = 1024

# Why a connection closes that both sides have ended.
_IN_ORDER = ("PEER_CLOSED", "HANDLER_DONE", "HANDLER_ERROR")

# What a call raises once its stream has ended in any way.
_ENDED = (grpc.aio.AioRpcError, grpc.aio.InternalError,
          asyncio.InvalidStateError, asyncio.CancelledError)


async def open_stream(call, first):
    """Sends the first frame; returns the Connection of the answer.

    Raises grpc.aio.AioRpcError where the daemon refuses. Cancelling it cancels
    the call.
    """
    try:
        await call.write(connection_pb2.ClientFrame(**first))
    except asyncio.InvalidStateError:
        pass  # Refused already: reading says why.
    frame = await call.read()
    if frame is grpc.aio.EOF:
        raise ConnectionResetError("the stream ended before `opened`")
    if frame.WhichOneof("kind") != "opened":
        raise ConnectionResetError("the daemon did not open the stream")
    return frame.opened.connection


def attach_frame(name):
    """The first frame of an Attach."""
    return {"attach": {"connection": name, "can_move": True}}


def make_streams(call, connection, limit, attach):
    """Returns (reader, writer) over a stream that has answered `opened`.
    `attach()` makes an Attach call, for a connection that moves.
    """
    loop = asyncio.get_running_loop()
    reader = PeerReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = StreamTransport(call, connection, protocol, attach)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _socket_name(address):
    """An Address as socket.getpeername() would give it."""
    if address.WhichOneof("kind") == "unix_socket":
        return address.unix_socket.path
    return (address.inet.address, address.inet.port)


class StreamTransport(asyncio.Transport):
    """The transport of one connection; of one event loop.

    The first of close(), fail(), abort() and cancel() ends the handler; the
    later ones do nothing, except that abort() and cancel() cut a flush short.
    connection_lost() comes when the daemon has closed its socket, or the stream
    has broken. What was cut never reads as EOF. As of a socket, the peer's
    reset comes after the data before it, as ConnectionResetError; what the
    protocol has not read by then is asyncio's to lose. Other cuts are a
    ConnectionAbortedError with the reason, or a ConnectionResetError where the
    stream broke. After close() and fail() they come where the flush may not be
    whole; after abort() and cancel() there is no error.

    An upgrade of the daemon shows in nothing but a pause: the connection goes
    on over another stream, with the daemon's next process. While reading is
    paused the former process serves it, for as long as the upgrade lets it.
    """

    def __init__(self, call, connection, protocol, attach):
        super().__init__({
            "peername": _socket_name(connection.peer),
            "sockname": _socket_name(connection.local),
            "portreeve_connection": connection,
        })
        self._call = call
        self._attach = attach
        self._move = Move()
        self._cancelled = asyncio.Event()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()  # The frame that is being sent included.
        self._eof = None  # What waits behind the buffer: eof, then the end.
        self._end = None
        self._write_closed = False
        self._sender = None  # The task that sends, while there is something.
        self._writing_paused = False
        self._read_eof = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._closing = False
        self._aborted = False
        self._lost = False
        self.set_write_buffer_limits()
        protocol.connection_made(self)
        self._receiver = self._loop.create_task(self._receive())

    # The reading side.

    def pause_reading(self):
        if not self._closing:
            self._may_read.clear()

    def resume_reading(self):
        self._may_read.set()

    def is_reading(self):
        return self._may_read.is_set() and not self._closing

    async def _receive(self):
        error = None
        try:
            while True:
                # Behind `moved` there is next to nothing, and writes wait.
                if self._move.may_send():
                    await self._may_read.wait()
                frame = await self._call.read()
                if frame is grpc.aio.EOF:
                    await self._go_on()
                elif frame.WhichOneof("kind") == "closed":
                    error = self._note_closed(frame.closed.reason)
                    break
                elif frame.WhichOneof("kind") == "moved":
                    self._move.on_moved()
                    self._wake_sender()
                else:
                    self._deliver(frame)
        except ConnectionResetError as broken:
            error = broken
        except grpc.aio.AioRpcError as broken:
            error = ConnectionResetError(broken.details())
        except asyncio.CancelledError:
            error = ConnectionAbortedError("the stream was cancelled")
        self._lose(error)
        with contextlib.suppress(*_ENDED):
            await self._call.read()  # The status, which follows at once.

    async def _go_on(self):
        """After the end of a stream without `closed`: opens the next one.

        Raises what open_stream() does, and ConnectionResetError where the
        connection has not moved.
        """
        if self._sender is not None:
            await asyncio.wait({self._sender})
        if not self._move.goes_on(is_ok=True):
            raise ConnectionResetError("the stream has ended")
        retry = Retry(MOVE_FOR)
        while not await self._attach_again(retry):
            pass
        if self._move.on_opened():
            self._eof = connection_pb2.ClientFrame(eof={})
        self._wake_sender()

    async def _attach_again(self, retry):
        """Whether that has succeeded; False: it is to be tried again now."""
        self._call = self._attach()
        if self._cancelled.is_set():
            self._call.cancel()
        try:
            await open_stream(self._call, attach_frame(
                self._extra["portreeve_connection"].name))
            return True
        except grpc.aio.AioRpcError as error:
            wait = retry.on_end() if may_attach_again(error) else None
            if wait is None:
                raise
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._cancelled.wait(), wait)
        return False

    def _deliver(self, frame):
        if self._closing:
            return  # Nobody reads any more.
        if frame.WhichOneof("kind") == "data":
            self._protocol.data_received(frame.data)
        elif not frame.eof.reset and not self._read_eof:
            self._read_eof = True
            self._protocol.eof_received()

    def _note_closed(self, reason):
        try:
            name = connection_pb2.CloseReason.Name(reason)
        except ValueError:
            name = str(reason)  # Of a newer daemon.
        name = name.removeprefix("CLOSE_REASON_")
        self._extra["portreeve_close_reason"] = name
        if name == "PEER_RESET":
            return ConnectionResetError(errno.ECONNRESET,
                                        os.strerror(errno.ECONNRESET))
        if name in _IN_ORDER and (self._read_eof or self._closing):
            return None
        return ConnectionAbortedError(name)

    def _lose(self, error):
        self._closing = self._lost = True
        self._buffer.clear()
        self._protocol.connection_lost(None if self._aborted else error)

    def is_lost(self):
        """Whether connection_lost() has come."""
        return self._lost

    async def wait_lost(self):
        """Returns after connection_lost(); cancelling it changes nothing."""
        await asyncio.wait({self._receiver})

    # The writing side.

    def set_write_buffer_limits(self, high=None, low=None):
        if high is None:
            high = MAX_FRAME if low is None else 4 * low
        low = high // 4 if low is None else low
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self):
        return self._low, self._high

    def get_write_buffer_size(self):
        return len(self._buffer)

    def can_write_eof(self):
        return True

    def write(self, data):
        if self._write_closed:
            raise RuntimeError("write() after write_eof()")
        if self._closing or not data:
            return  # As asyncio: drain() tells of a loss.
        self._buffer += data
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()
        self._wake_sender()

    def write_eof(self):
        if self._write_closed or self._closing:
            return
        self._write_closed = True
        self._eof = connection_pb2.ClientFrame(eof={})
        self._wake_sender()

    def _wake_sender(self):
        if self._sender is None:
            self._sender = self._loop.create_task(self._send())

    async def _send(self):
        try:
            while (frame := self._next_frame()) is not None:
                self._move.on_send(frame.WhichOneof("kind"))
                await self._call.write(frame)
                # A write of a call that has ended with OK does not raise.
                self._move.on_sent(not self._call.done())
                if frame.data:
                    self._note_sent(len(frame.data))
                elif frame.WhichOneof("kind") != "eof":
                    await self._call.done_writing()
            if self._move.begin_half_close():
                self._move.on_sent(not self._call.done())
                await self._call.done_writing()
        except _ENDED:
            self._move.on_sent(False)
            self._may_read.set()  # The receiver learns why.
        finally:
            self._sender = None

    def _next_frame(self):
        if not self._move.may_send():
            return None
        if self._buffer:
            return connection_pb2.ClientFrame(data=bytes(
                self._buffer[:MAX_FRAME]))
        if self._eof is not None:
            frame, self._eof = self._eof, None
        else:
            frame, self._end = self._end, None
        return frame

    def _note_sent(self, size):
        del self._buffer[:size]
        if self._writing_paused and len(self._buffer) <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()

    # The end.

    def is_closing(self):
        return self._closing

    def close(self):
        """The handler's end: flush, FIN, close."""
        self._end_with(done={})

    def fail(self, error):
        """The handler raised: flush, FIN, the listener's policy. Returns
        whether the daemon is told, which it is unless the handler had ended.
        """
        message = "".join(traceback.format_exception_only(error)).strip()
        return self._end_with(raised={"message": message[:MAX_MESSAGE]})

    def abort(self):
        """RST at once; what is not sent yet is dropped."""
        self._aborted = True
        self._buffer.clear()
        self._eof = None
        if not self._end_with(reset={}) or self._writing_paused:
            # Frames keep their order: `reset` would wait behind what is stuck.
            self.cancel()
        else:
            self._loop.call_later(RESET_TIMEOUT, self.cancel)

    def cancel(self):
        """Breaks the stream, which resets the connection as CLIENT_GONE."""
        self._aborted = self._closing = True
        self._cancelled.set()
        self._may_read.set()
        self._call.cancel()

    def _end_with(self, **end):
        if self._closing:
            return False
        self._closing = True
        self._end = connection_pb2.ClientFrame(**end)
        self._may_read.set()  # Until `closed`.
        self._wake_sender()
        return True

    # The protocol.

    def set_protocol(self, protocol):
        self._protocol = protocol

    def get_protocol(self):
        return self._protocol
