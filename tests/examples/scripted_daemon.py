"""A daemon that says what a test has written down, frame by frame."""

import itertools
import queue
from concurrent import futures

import grpc
from google.rpc import error_details_pb2, status_pb2
from portreeve.v1 import connection_pb2, connection_pb2_grpc
from portreeve.v1 import handler_pb2, handler_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

PLACE = {"inet": {"address": "127.0.0.1", "port": 1}}


class Refusal(Exception):
    """What a call ends with; the reason is the daemon's, "" is gRPC's own.
    `until` is an Event that it waits for.
    """

    def __init__(self, code, reason="", until=None):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.until = until

    def end(self, context):
        if self.until is not None:
            self.until.wait()
        if self.reason:
            status = status_pb2.Status(code=self.code.value[0])
            status.details.add().Pack(error_details_pb2.ErrorInfo(
                reason=self.reason, domain="portreeve"))
            context.set_trailing_metadata(
                [("grpc-status-details-bin", status.SerializeToString())])
        context.abort(self.code, "as the test wants")


class ScriptedDaemon(handler_pb2_grpc.HandlerServiceServicer,
                     listener_pb2_grpc.ListenerServiceServicer,
                     connection_pb2_grpc.ConnectionServiceServicer):
    """Has one listener and one worker, to which it offers connections.

    A play is a generator function of the frames from the worker: what it yields
    goes to the worker, as the fields of a ServerFrame; what it raises breaks
    the stream. A connection that moves has a play for each stream; one may be a
    Refusal, or None, which ends it without a word.
    """

    def __init__(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        for add in (handler_pb2_grpc.add_HandlerServiceServicer_to_server,
                    listener_pb2_grpc.add_ListenerServiceServicer_to_server,
                    connection_pb2_grpc.add_ConnectionServiceServicer_to_server):
            add(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._numbers = itertools.count(1)
        self._offers = queue.SimpleQueue()
        self._plays = {}
        self.first_frames = []  # Of every Attach and Dial.
        # What these answer before all else.
        self.refuse_get = queue.SimpleQueue()
        self.refuse_handle = queue.SimpleQueue()

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._offers.put(None)
        self._server.stop(None).wait()

    def offer(self, *plays):
        name = f"connections/{next(self._numbers)}"
        self._plays[name] = list(plays)
        self._offers.put(name)

    def await_dial(self, port, *plays):
        """What a Dial to the port gets, and the streams behind it."""
        self._plays[f"connections/{port}"] = list(plays)

    def end_handle(self, refusal):
        """Ends the Handle stream."""
        self._offers.put(refusal)

    def GetListener(self, request, context):
        if not self.refuse_get.empty():
            self.refuse_get.get().end(context)
        return listener_pb2.Listener(name=request.name,
                                     status={"listening_on": PLACE})

    def Handle(self, requests, context):
        if not self.refuse_handle.empty():
            self.refuse_handle.get().end(context)
        context.send_initial_metadata(())
        while (name := self._offers.get()) is not None:
            if isinstance(name, Refusal):
                name.end(context)
            yield handler_pb2.HandleResponse(
                offer={"connection": {"name": name}})

    def Attach(self, frames, context):
        first = next(frames)
        self.first_frames.append(first)
        yield from self._play(first.attach.connection, frames, context)

    def Dial(self, frames, context):
        first = next(frames)
        self.first_frames.append(first)
        port = first.dial.where_to_connect.inet.port
        yield from self._play(f"connections/{port}", frames, context)

    def _play(self, name, frames, context):
        plays = self._plays.get(name)
        play = (plays.pop(0) if plays else
                Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"))
        if isinstance(play, Refusal):
            play.end(context)
        if play is None:
            return
        yield connection_pb2.ServerFrame(opened={"connection": {
            "name": name, "peer": PLACE, "local": PLACE}})
        for fields in play(frames):
            yield connection_pb2.ServerFrame(**fields)
