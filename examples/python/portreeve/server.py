"""A worker of a listener, in the shape of asyncio.start_server()."""

import asyncio
import contextlib
import logging

import grpc

from portreeve.daemon_channel import channel
from portreeve.move import MOST_MOVES
from portreeve.reason import has_moved, is_of_grpc, reason_of, repeated
from portreeve.retry import Retry
from portreeve.text import listener_name
from portreeve.transport import attach_frame, make_streams, open_stream
from portreeve.v1 import connection_pb2_grpc
from portreeve.v1 import handler_pb2, handler_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

# With these a stream ends that was lost, on the way or with its daemon. A
# listener that is not there once it has been there is waited for, too.
_LOST = (grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED,
         grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL,
         grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED,
         grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)

# Python prints warnings of a logger that nobody has set up on stderr.
_log = logging.getLogger("portreeve")


async def serve(target, listener, callback, *, on_handler_error=None,
                limit=64 * 1024, progress_interval=20, retry_for=None):
    """Serves connections of a listener whose handler is `remote`.

    `target` is the address that channel() takes, None included, or a
    grpc.aio.Channel; `listener` its name or ID. For each connection
    `callback(reader, writer)`, a coroutine function, is run in a task. Its
    return flushes and closes the connection; an exception does so too, and then
    is a handler error of the listener, unless it is what the peer has caused by
    its end, its reset or a line beyond the limit (PeerReader). Of return,
    exception, writer.close() and writer.transport.abort(), which resets, the
    first counts. `limit` bounds the reader's buffer, as asyncio's.

    `on_handler_error(connection_name, message)`, where the listener's policy is
    CALL, may be a coroutine function: its return lets the listener go on, its
    exception closes it, which is the default.

    The daemon gives a sign of life after `progress_interval` seconds without an
    offer, 1 to 3600, so that proxies that cut idle streams let this one live;
    None: it does not. When the daemon is lost or shuts down, its connections are
    cut, and the Server comes back as soon as the daemon and the listener are
    there again, with waits of up to 10 s, for `retry_for` seconds; None: for
    ever; 0: not at all. The logger "portreeve" says so, by default on stderr.
    Of an upgrade of the daemon nothing is to be seen: the Server and its
    connections go on in the daemon's next process.

    Returns a Server once connections are offered to it. Raises
    grpc.aio.AioRpcError where the daemon refuses, or is not there.
    """
    server = Server(target, listener, callback, on_handler_error, limit,
                    progress_interval, retry_for)
    await server._start()
    return server


class Server:
    """What serve() returns; asyncio.Server's methods mean what they mean there.

    `async with` closes it at the end, and waits for the handlers.
    """

    def __init__(self, target, listener, callback, on_handler_error, limit,
                 progress_interval, retry_for):
        self._name = listener_name(listener)
        is_address = target is None or isinstance(target, str)
        self._own_channel = channel(target) if is_address else None
        self._channel = self._own_channel or target
        self._streams = connection_pb2_grpc.ConnectionServiceStub(self._channel)
        self._callback = callback
        self._on_handler_error = on_handler_error
        self._limit = limit
        self._start_message = {"listener": self._name}
        if progress_interval is not None:
            seconds = int(progress_interval)
            self._start_message["progress_interval"] = {
                "seconds": seconds,
                "nanos": int((progress_interval - seconds) * 1e9),
            }
        self._retry = Retry(retry_for)
        self._stop = asyncio.Event()
        self._tasks = set()
        self._verdicts = asyncio.Lock()  # One write at a time.
        self._handle = None
        self._offers = None
        self._closed = False
        self._is_lost = False  # And somebody was told.
        self._moves = 0  # Tries since the daemon has moved; 0: it has not.
        self.listener = None  # The Listener, as it was when serving began.

    async def _start(self):
        try:
            await repeated(self._join)
        except BaseException:
            await self._close_channel()
            raise
        self._offers = asyncio.create_task(self._take_offers())

    async def _join(self):
        """Becomes a worker of the listener."""
        stub = handler_pb2_grpc.HandlerServiceStub(self._channel)
        self._handle = stub.Handle()
        try:
            with contextlib.suppress(asyncio.InvalidStateError):
                await self._handle.write(handler_pb2.HandleRequest(
                    start=self._start_message))
            await self._handle.initial_metadata()
            # A refusal has arrived before the answer to a later request.
            self.listener = await self._get_listener()
            if self._handle.done():
                await self._handle.read()  # Raises.
        except BaseException:
            self._handle.cancel()
            raise
        self._retry.on_start()
        self._moves = 0

    async def _get_listener(self):
        stub = listener_pb2_grpc.ListenerServiceStub(self._channel)

        async def get():
            return await stub.GetListener(
                listener_pb2.GetListenerRequest(name=self._name))

        return await repeated(get)

    @property
    def address(self):
        """What the listener listens on: (address, port), or a path."""
        where = self.listener.status.listening_on
        if where.WhichOneof("kind") == "unix_socket":
            return where.unix_socket.path
        return (where.inet.address, where.inet.port)

    def is_serving(self):
        return not self._closed and not self._offers.done()

    async def serve_forever(self):
        """Returns when the daemon says that the listener and its handlers have
        ended. Raises grpc.aio.AioRpcError or ConnectionError where the daemon
        has been lost for `retry_for`, or refuses when it is back. Cancelled, it
        resets the connections.
        """
        try:
            await asyncio.shield(self._offers)
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            self.abort_clients()
            await self.wait_closed()
            raise

    def close(self):
        """Takes no more connections; those that there are live on."""
        self._closed = True
        self._stop.set()
        self._handle.cancel()

    def abort_clients(self):
        """Cancels every handler, which resets its connection."""
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self):
        """Returns when no connection is offered any more and none is left."""
        await asyncio.wait({self._offers})
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._close_channel()

    async def _close_channel(self):
        if self._own_channel is not None:
            await self._own_channel.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()
        await self.wait_closed()

    async def _take_offers(self):
        try:
            while not await self._take_offers_once():
                if self._closed:
                    return
        except (asyncio.CancelledError, grpc.aio.AioRpcError):
            if not self._closed:
                raise

    async def _take_offers_once(self):
        """With one Handle stream, and then a new one; True: that was all."""
        lost = None
        try:
            if self._handle.done():  # It was lost.
                await self._join()
                if self._is_lost:
                    _log.warning("%s: back", self._name)
                self._is_lost = False
            while (answer := await self._handle.read()) is not grpc.aio.EOF:
                self._take(answer)
            if await self._is_closed_for_good():
                return True
        except grpc.aio.AioRpcError as error:
            if self._closed or error.code() not in _LOST:
                if reason_of(error) == "LISTENER_CLOSED":
                    return True  # While nobody was there to be told.
                raise
            lost = error
        is_moving = lost is not None and self._is_moving(lost)
        if is_moving and self._moves == 1:
            return False  # The next process is there already.
        wait = self._retry.on_end()
        if wait is None:
            raise lost or ConnectionError("the daemon has shut down")
        if not is_moving:
            self._is_lost = True
            _log.warning("%s: the daemon was lost (%s); trying again in %.1f s",
                         self._name,
                         lost.details() if lost else "it shuts down", wait)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), wait)
        return False

    def _is_moving(self, error):
        """Whether this is the end of one process whose next one is there, which
        the former may tell a few times before its connection has ended.
        """
        may_be_known = self._moves > 0 and is_of_grpc(
            error, grpc.StatusCode.CANCELLED)
        if not (has_moved(error) or may_be_known) or self._moves == MOST_MOVES:
            return False
        self._moves += 1
        return True

    def _take(self, answer):
        kind = answer.WhichOneof("kind")
        if kind == "offer":
            self._run(self._serve(answer.offer.connection.name))
        elif kind == "handler_error":
            self._run(self._judge(self._handle, answer.handler_error))

    async def _is_closed_for_good(self):
        """Of a stream that ended in order; the daemon's own end closes its
        listeners, too.
        """
        try:
            listener = await self._get_listener()
        except grpc.aio.AioRpcError as error:
            return error.code() == grpc.StatusCode.NOT_FOUND
        return (listener.status.close_cause !=
                listener_pb2.CLOSE_CAUSE_SHUTDOWN)

    def _run(self, coroutine):
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, name):
        call = self._streams.Attach()
        try:
            opened = await open_stream(call, attach_frame(name))
        except (grpc.aio.AioRpcError, ConnectionError):
            # The peer has left, or another worker was faster; or the daemon's
            # process was replaced, and the next one offers it anew.
            return
        reader, writer = make_streams(call, opened, self._limit,
                                      self._streams.Attach)
        transport = writer.transport
        try:
            try:
                await self._callback(reader, writer)
            except Exception as raised:
                error = _handlers_own(raised, reader, transport)
                if error is not None:
                    self._fail(transport, error)
            transport.close()  # Unless it has failed.
            await transport.wait_lost()
        except asyncio.CancelledError:
            transport.cancel()
            raise

    def _fail(self, transport, error):
        told = transport.fail(error)
        asyncio.get_running_loop().call_exception_handler({
            "message": "a handler raised" + ("" if told else " after its end"),
            "exception": error,
            "transport": transport,
        })

    async def _judge(self, handle, error):
        verdict = handler_pb2.HANDLER_VERDICT_RAISE
        if self._on_handler_error is not None:
            try:
                result = self._on_handler_error(error.connection, error.message)
                if asyncio.iscoroutine(result):
                    await result
                verdict = handler_pb2.HANDLER_VERDICT_RETURN
            except Exception as raised:
                asyncio.get_running_loop().call_exception_handler({
                    "message": "on_handler_error raised",
                    "exception": raised,
                })
        async with self._verdicts:
            # Who has asked may be lost.
            with contextlib.suppress(grpc.aio.AioRpcError,
                                     asyncio.InvalidStateError):
                await handle.write(handler_pb2.HandleRequest(verdict={
                    "handler_error_id": error.id,
                    "verdict": verdict,
                }))


def _handlers_own(error, reader, transport):
    """What remains of an exception without what the peer has caused, which is
    no handler error; None where nothing does.
    """

    def is_peers(part):
        if isinstance(part, ConnectionError):
            # Before the connection is lost it is another one's.
            return transport.is_lost()
        return reader.was_ended_by_peer(part)

    if isinstance(error, ExceptionGroup):
        return error.split(is_peers)[1]
    return None if is_peers(error) else error
