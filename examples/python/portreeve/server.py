"""A worker of a listener, in the shape of asyncio.start_server()."""

import asyncio

import grpc

from portreeve.daemon_channel import channel
from portreeve.text import listener_name
from portreeve.transport import make_streams, open_stream
from portreeve.v1 import connection_pb2_grpc
from portreeve.v1 import handler_pb2, handler_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc


async def serve(target, listener, callback, *, on_handler_error=None,
                limit=64 * 1024):
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

    Returns a Server once connections are offered to it. Raises
    grpc.aio.AioRpcError where the daemon refuses.
    """
    server = Server(target, listener, callback, on_handler_error, limit)
    await server._start()
    return server


class Server:
    """What serve() returns; asyncio.Server's methods mean what they mean there.

    `async with` closes it at the end, and waits for the handlers.
    """

    def __init__(self, target, listener, callback, on_handler_error, limit):
        self._name = listener_name(listener)
        is_address = target is None or isinstance(target, str)
        self._own_channel = channel(target) if is_address else None
        self._channel = self._own_channel or target
        self._streams = connection_pb2_grpc.ConnectionServiceStub(self._channel)
        self._callback = callback
        self._on_handler_error = on_handler_error
        self._limit = limit
        self._tasks = set()
        self._verdicts = asyncio.Lock()  # One write at a time.
        self._handle = None
        self._offers = None
        self._closed = False
        self.listener = None  # The Listener, as it was when serving began.

    async def _start(self):
        stub = handler_pb2_grpc.HandlerServiceStub(self._channel)
        self._handle = stub.Handle()
        try:
            await self._handle.write(handler_pb2.HandleRequest(
                start={"listener": self._name}))
            await self._handle.initial_metadata()
            # A refusal has arrived before the answer to a later request.
            self.listener = await listener_pb2_grpc.ListenerServiceStub(
                self._channel).GetListener(
                    listener_pb2.GetListenerRequest(name=self._name))
            if self._handle.done():
                await self._handle.read()  # Raises.
        except BaseException:
            self._handle.cancel()
            await self._close_channel()
            raise
        self._offers = asyncio.create_task(self._take_offers())

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
        ended. Raises grpc.aio.AioRpcError where the daemon is lost. Cancelled,
        it resets the connections.
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
            while (answer := await self._handle.read()) is not grpc.aio.EOF:
                if answer.WhichOneof("kind") == "offer":
                    self._run(self._serve(answer.offer.connection.name))
                else:
                    self._run(self._judge(answer.handler_error))
        except (asyncio.CancelledError, grpc.aio.AioRpcError):
            if not self._closed:
                raise

    def _run(self, coroutine):
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, name):
        call = self._streams.Attach()
        try:
            opened = await open_stream(call, {"attach": {"connection": name}})
        except (grpc.aio.AioRpcError, ConnectionError):
            return  # The peer has left, or another worker was faster.
        reader, writer = make_streams(call, opened, self._limit)
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

    async def _judge(self, error):
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
            await self._handle.write(handler_pb2.HandleRequest(verdict={
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
