"""Listeners that come, change and go, and the audit of all that."""

import collections
import json
import os
import random
import threading
import time

import grpc
from portreeve.v1 import connection_pb2, connection_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

import peers

# Seconds that any call may take, the daemon stopped for one of them.
TIMEOUT = 20


class Churn:
    """A thread that makes listeners by way of both control addresses.

    Each call that changed something shall have its line in the audit.
    """

    def __init__(self, daemon, load, events, seed):
        self._daemon = daemon
        self._load = load
        self._events = events
        self._dice = random.Random(f"{seed} churn")
        self._channels = [daemon.channel(daemon.tcp),
                          daemon.channel(daemon.unix)]
        # They are open from the beginning; without a call the daemon would
        # close them.
        for channel in self._channels:
            listener_pb2_grpc.ListenerServiceStub(channel).ListListeners(
                listener_pb2.ListListenersRequest(page_size=1),
                timeout=TIMEOUT)
        self._done = threading.Event()
        self._expected = collections.Counter()
        self._audited = collections.Counter()
        self._dropped = 0
        self._torn = 0
        self.rounds = 0
        self.refused = 0

    def start(self):
        self._done.clear()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def stop(self):
        self._done.set()
        self._thread.join()

    def close(self):
        for channel in self._channels:
            channel.close()

    def _turn(self):
        while not self._done.is_set() and not self._events.faults:
            try:
                self._round(f"night-{self.rounds}")
            except grpc.RpcError as error:
                self._events.fault(f"churn: {peers.reason_of(error)}")
            self.rounds += 1

    def _change(self, method, request, name):
        answer = getattr(self._stub, method)(request, timeout=TIMEOUT)
        self._expected[method, name] += 1
        return answer

    def _round(self, identity):
        channel = self._dice.choice(self._channels)
        self._stub = listener_pb2_grpc.ListenerServiceStub(channel)
        name = f"listeners/{identity}"
        request = listener_pb2.CreateListenerRequest(
            listener_id=identity, spec={
                "where_to_listen": {"inet": {"address": "127.0.0.1"}},
                "handler": {"echo": {}}})
        began = time.monotonic()
        try:
            listener = self._change("CreateListener", request, name)
        except grpc.RpcError as error:
            reason = peers.reason_of(error)
            if reason == "FD_LIMIT" and (
                    self._events.was_away("descriptors", began)):
                self.refused += 1
                return
            raise
        listed = self._stub.ListListeners(
            listener_pb2.ListListenersRequest(page_size=1000),
            timeout=TIMEOUT).listeners
        if name not in [l.name for l in listed]:
            self._events.fault(f"churn: {name} is not in the list")
        inet = listener.status.listening_on.inet
        peer = peers.SocketPeer("churn", (inet.address, inet.port))
        with self._load.end_of(peer):
            peer.open()
            self._load.trip(peer, b"before")
            listener.spec.max_connections = 7
            updated = self._update(listener, name)
            if updated.spec.max_connections != 7:
                self._events.fault(f"churn: not updated: {updated}")
            self._see(channel, name)
            self._load.trip(peer, b"after")
            reset = self._dice.random() < 0.5
            self._close(name, reset)
            if not reset:
                self._load.trip(peer, b"closed")
            peer.finish()
            if reset:
                self._events.fault(f"churn: {name} was not reset")
        # Whose descriptors are closed when it answers.
        self._close(name, True)
        self._change("DeleteListener",
                     listener_pb2.DeleteListenerRequest(name=name), name)

    def _update(self, listener, name):
        request = listener_pb2.UpdateListenerRequest(listener=listener)
        request.update_mask.paths.append("spec.max_connections")
        return self._change("UpdateListener", request, name)

    def _see(self, channel, name):
        """The connection is the only one."""
        live = connection_pb2_grpc.ConnectionServiceStub(
            channel).ListConnections(
                connection_pb2.ListConnectionsRequest(listener=name),
                timeout=TIMEOUT).connections
        if len(live) != 1:
            self._events.fault(f"churn: {name} has {live}")

    def _close(self, name, reset):
        existing = (listener_pb2.EXISTING_CONNECTIONS_RESET if reset
                    else listener_pb2.EXISTING_CONNECTIONS_LEAVE)
        self._change("CloseListener", listener_pb2.CloseListenerRequest(
            name=name, existing_connections=existing), name)

    # The audit.

    def read_audit(self):
        """Takes the lines of all files out of it that are not written to."""
        folder = self._daemon.disk
        for file in sorted(os.listdir(folder)):
            if file.startswith("audit.log."):
                with open(f"{folder}/{file}", "rb") as lines:
                    self._take(lines.read())
                os.remove(f"{folder}/{file}")

    def _take(self, data):
        for line in data.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                self._torn += 1
                continue
            if "dropped" in entry:
                self._dropped += entry["dropped"]
            else:
                method = entry["method"].rpartition("/")[2]
                self._audited[method, entry["name"]] += 1

    def missing(self):
        """How many lines should be there and are not, and some of them."""
        with open(self._daemon.audit, "rb") as lines:
            present = collections.Counter(self._audited)
            dropped = self._dropped
            self._take(lines.read())
            found, self._audited = self._audited, present
            all_dropped, self._dropped = self._dropped, dropped
        lost = self._expected - found
        if lost.total() <= all_dropped:
            return None
        return lost.total(), all_dropped, list(lost.items())[:5]
