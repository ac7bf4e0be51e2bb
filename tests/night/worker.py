"""A worker of a remote listener, which sends back what it gets."""

import queue
import threading

import grpc
from portreeve.v1 import connection_pb2, connection_pb2_grpc
from portreeve.v1 import handler_pb2, handler_pb2_grpc


class Worker:
    """Serves `listener` from now on, until go()."""

    def __init__(self, channel, listener):
        self._connections = connection_pb2_grpc.ConnectionServiceStub(channel)
        self._requests = queue.SimpleQueue()
        self._requests.put(
            handler_pb2.HandleRequest(start={"listener": listener}))
        self._handle = handler_pb2_grpc.HandlerServiceStub(channel).Handle(
            iter(self._requests.get, None))
        self._handle.initial_metadata()  # It counts.
        self._lock = threading.Lock()
        self._attached = set()
        self._idle = False
        self.left = set()  # Addresses of clients that it does not take.
        threading.Thread(target=self._serve, daemon=True).start()

    def idle(self):
        """It takes none of what it is offered from now on."""
        self._idle = True

    def go(self):
        """Breaks its streams."""
        self._requests.put(None)
        self._handle.cancel()
        with self._lock:
            for call in self._attached:
                call.cancel()

    def _serve(self):
        try:
            for response in self._handle:
                if self._idle:
                    self.left.add(
                        response.offer.connection.peer.inet.address)
                    continue
                threading.Thread(target=self._echo,
                                 args=(response.offer.connection.name,),
                                 daemon=True).start()
        except grpc.RpcError:
            pass

    def _echo(self, name):
        frames = queue.SimpleQueue()
        frames.put(connection_pb2.ClientFrame(attach={"connection": name}))
        call = self._connections.Attach(iter(frames.get, None))
        with self._lock:
            self._attached.add(call)
        try:
            for frame in call:
                kind = frame.WhichOneof("kind")
                if kind == "data":
                    frames.put(connection_pb2.ClientFrame(data=frame.data))
                elif kind == "eof":
                    frames.put(None)
        except grpc.RpcError:
            pass
        frames.put(None)
        with self._lock:
            self._attached.discard(call)
