"""Connections of every kind, all the time."""

import contextlib
import random
import struct
import threading
import time
import zlib

import grpc
from portreeve.v1 import connection_pb2_grpc, listener_pb2, listener_pb2_grpc

import peers
import record
import shortages
import worker

# Of listeners, and Dial.
KINDS = ("echo", "echo-unix", "discard", "forward", "forward-name",
         "forward-unix", "remote", "dial")
NAME = "upstream.night.test"
TRIPS = (0, 1, 1, 2, 3, 5, 10, 50, 200)
SIZES = (1, 100, 1000, 4000, 16384, 40000)


def block(number, dice):
    """Numbered bytes, with a checksum of what follows."""
    data = dice.randbytes(dice.choice(SIZES))
    return struct.pack(">QI", number, zlib.crc32(data)) + data


class Load:
    """A thread for each kind; each connection is told to `events`."""

    def __init__(self, daemon, upstream, events, seed):
        self._events = events
        self._upstream = upstream
        self._seed = seed
        self._done = threading.Event()
        self._threads = []
        self._trips = 0
        self._moved = threading.Condition()
        self._channel = daemon.channel(daemon.tcp)
        self._connections = connection_pb2_grpc.ConnectionServiceStub(
            self._channel)
        self._listeners = listener_pb2_grpc.ListenerServiceStub(self._channel)
        self._worker_channel = daemon.channel(daemon.unix)
        tcp = {"host": upstream.address[0], "port": upstream.address[1]}
        self._dialled = [{"inet": tcp},
                         {"unix_socket": {"path": upstream.path}}]
        self.places = {
            kind: self._create(daemon, kind, handler)
            for kind, handler in (
                ("echo", {"echo": {}}),
                ("echo-unix", {"echo": {}}),
                ("discard", {"discard": {}}),
                ("forward", {"forward": {"upstream": {"inet": tcp}}}),
                ("forward-name", {"forward": {"upstream": {
                    "inet": {"host": NAME, "port": upstream.address[1]}}}}),
                ("forward-unix", {"forward": {"upstream": {
                    "unix_socket": {"path": upstream.path}}}}),
                ("remote", {"remote": {"claim_timeout": {"seconds": 10}}}),
            )}
        self.worker_comes()

    @contextlib.contextmanager
    def another_echo(self, identity):
        """Gives where a listener is that only who calls this knows of."""
        name = f"listeners/{identity}"
        inet = self._listeners.CreateListener(
            listener_pb2.CreateListenerRequest(listener_id=identity, spec={
                "where_to_listen": {"inet": {"address": "127.0.0.1"}},
                "handler": {"echo": {}}})).status.listening_on.inet
        try:
            yield inet.address, inet.port
        finally:
            self.close_listener(name)
            shortages.poll_until(
                lambda: not self._status(name).num_connections,
                lambda: f"{name} has no connections: {self._status(name)}",
                peers.TIMEOUT)
            self._listeners.DeleteListener(
                listener_pb2.DeleteListenerRequest(name=name))

    def close_listener(self, name):
        """Its connections stay."""
        self._listeners.CloseListener(listener_pb2.CloseListenerRequest(
            name=name, existing_connections=listener_pb2.
            EXISTING_CONNECTIONS_LEAVE))

    def _status(self, name):
        return self._listeners.GetListener(
            listener_pb2.GetListenerRequest(name=name)).status

    def _create(self, daemon, kind, handler):
        path = f"{daemon.folder}/{kind}.socket"
        where = ({"unix_socket": {"path": path}} if kind == "echo-unix"
                 else {"inet": {"address": "127.0.0.1"}})
        listener = self._listeners.CreateListener(
            listener_pb2.CreateListenerRequest(listener_id=kind, spec={
                "where_to_listen": where, "handler": handler,
                "max_pending_connections": 1024}))
        inet = listener.status.listening_on.inet
        return path if kind == "echo-unix" else (inet.address, inet.port)

    def worker_comes(self):
        self._worker = worker.Worker(self._worker_channel, "listeners/remote")

    def worker_goes(self):
        self._worker.go()

    def worker_leaves_alone(self, peer):
        """Returns when it was offered `peer`, and has not taken it."""
        self._worker.idle()
        peer.open()
        shortages.poll_until(lambda: peer.key in self._worker.left,
                             lambda: f"{peer.key} is offered")

    def start(self):
        self._done.clear()
        self._threads = [
            threading.Thread(target=self._carry_on, args=(kind, i))
            for i, kind in enumerate(KINDS + ("echo", "forward-name"))]
        for thread in self._threads:
            thread.start()

    def stop(self):
        """After the last connection of each thread."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def close(self):
        self.worker_goes()
        self._channel.close()
        self._worker_channel.close()

    def more(self, trips, at_most=peers.TIMEOUT):
        """Waits for so many more round trips or a fault; false without."""
        with self._moved:
            wanted = self._trips + trips
            return self._moved.wait_for(
                lambda: self._trips >= wanted or self._events.faults,
                timeout=at_most)

    def tell(self, peer, how, why=""):
        self._events.add(peer, how, why)

    def new_peer(self, kind, dice, timeout=peers.TIMEOUT):
        """Not open yet."""
        if kind == "dial":
            return peers.DialPeer(self._connections,
                                  dice.choice(self._dialled), timeout)
        return peers.SocketPeer(kind, self.places[kind])

    @contextlib.contextmanager
    def end_of(self, peer):
        """What is done with `peer` in here ends it; tells the events how."""
        end = {"how": record.WHOLE}
        try:
            yield end
            self._events.add(peer, end["how"])
        except peers.RESET as error:
            end["how"] = record.RESET
            self._events.add(peer, record.RESET, str(error))
        except peers.Refused as error:
            end["how"] = record.RESET
            self._events.add(peer, record.RESET, str(error))
        except (peers.Cut, OSError, grpc.RpcError, StopIteration) as error:
            end["how"] = "fault"
            self._events.fault(f"{peer.kind} {peer.key!r}, alive for "
                               f"{time.monotonic() - peer.began:.2f} s: "
                               f"{error!r}")
            with self._moved:
                self._moved.notify_all()
        finally:
            peer.close()

    def trip(self, peer, data, timeout=peers.TIMEOUT):
        if peer.kind == "discard":
            peer.send(data, timeout)
        else:
            peer.exchange(data, timeout)
        with self._moved:
            self._trips += 1
            self._moved.notify_all()

    def carry(self, kind, dice):
        """One connection, from the first byte to the last."""
        peer = self.new_peer(kind, dice)
        with self.end_of(peer) as end:
            peer.open()
            for number in range(dice.choice(TRIPS)):
                if self._done.is_set():
                    break
                self.trip(peer, block(number, dice))
            if dice.random() < 0.1:
                end["how"] = record.VANISHED
                peer.vanish()
            else:
                peer.finish()

    def _carry_on(self, kind, number):
        dice = random.Random(f"{self._seed} {kind} {number}")
        while not self._done.is_set() and not self._events.faults:
            self.carry(kind, dice)
