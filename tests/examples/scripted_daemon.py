"""A daemon that says what a test has written down, frame by frame."""

import itertools
import queue
from concurrent import futures

import grpc
from portreeve.v1 import connection_pb2, connection_pb2_grpc
from portreeve.v1 import handler_pb2, handler_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

PLACE = {"inet": {"address": "127.0.0.1", "port": 1}}


class ScriptedDaemon(handler_pb2_grpc.HandlerServiceServicer,
                     listener_pb2_grpc.ListenerServiceServicer,
                     connection_pb2_grpc.ConnectionServiceServicer):
    """Has one listener and one worker, to which it offers connections.

    A play is a generator function of the frames from the worker: what it yields
    goes to the worker, as the fields of a ServerFrame; what it raises breaks
    the stream.
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

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._offers.put(None)
        self._server.stop(None).wait()

    def offer(self, play):
        name = f"connections/{next(self._numbers)}"
        self._plays[name] = play
        self._offers.put(name)

    def GetListener(self, request, context):
        return listener_pb2.Listener(name=request.name,
                                     status={"listening_on": PLACE})

    def Handle(self, requests, context):
        context.send_initial_metadata(())
        while (name := self._offers.get()) is not None:
            yield handler_pb2.HandleResponse(
                offer={"connection": {"name": name}})

    def Attach(self, frames, context):
        name = next(frames).attach.connection
        yield connection_pb2.ServerFrame(opened={"connection": {
            "name": name, "peer": PLACE, "local": PLACE}})
        for fields in self._plays.pop(name)(frames):
            yield connection_pb2.ServerFrame(**fields)
