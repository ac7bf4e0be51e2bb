"""What the daemon's events say, and whether it is what clients have seen."""

import collections
import contextlib
import threading
import time
import zlib

import grpc
from portreeve.v1 import connection_pb2, event_pb2, event_pb2_grpc

# How the end of a connection looks to its client: whole is all bytes and
# FIN, in order.
WHOLE, RESET, VANISHED = "whole", "reset", "vanished"

FORWARDS = ("forward", "forward-name", "forward-unix")

# What is said of a connection that ended well, or whose client went.
REASONS = {
    WHOLE: {"PEER_CLOSED", "HANDLER_DONE"},
    VANISHED: {"PEER_RESET", "PEER_CLOSED"},
}

# What else may end a connection that lived while something was away: nothing
# but this.
EXCUSES = collections.defaultdict(set)
for _kind in FORWARDS:
    EXCUSES["descriptors", _kind] = {"UPSTREAM_UNREACHABLE"}
    EXCUSES["upstream", _kind] = {"UPSTREAM_UNREACHABLE", "UPSTREAM_RESET"}
    EXCUSES["socket_memory", _kind] = {"UPSTREAM_UNREACHABLE"}
EXCUSES["names", "forward-name"] = {"UPSTREAM_UNREACHABLE"}
EXCUSES["worker", "remote"] = {"CLIENT_GONE", "UNCLAIMED"}
EXCUSES["descriptors", "dial"] = {"FD_LIMIT"}
EXCUSES["upstream", "dial"] = {"CONNECT_REFUSED", "PEER_RESET"}
EXCUSES["close", "churn"] = {"LISTENER_CLOSED"}

# Of a channel, so that little is on its way to who does not read: HTTP/2's
# window stays as it is, 64 KiB.
NARROW = [("grpc.http2.bdp_probe", 0)]

Outcome = collections.namedtuple(
    "Outcome", "kind key how began ended sent received has_ended why")


class Watcher:
    """Follows all events from the first; notes holes in the revisions.

    With `lazy` it reads only between let() and hold().
    """

    def __init__(self, channel, take=None, lazy=False):
        self.revision = 0
        self.gaps = []  # (first, last)
        self.seen = {}  # By revision: a checksum of the event.
        self.faults = []
        self._take = take
        self._go = threading.Event()
        if not lazy:
            self._go.set()
        self._call = event_pb2_grpc.EventServiceStub(channel).WatchEvents(
            event_pb2.WatchEventsRequest(start_revision=1))
        self._call.initial_metadata()  # The watch counts.
        threading.Thread(target=self._read, daemon=True).start()

    def let(self):
        self._go.set()

    def hold(self):
        self._go.clear()

    def stop(self):
        self._call.cancel()
        self._go.set()

    def _read(self):
        try:
            for response in self._call:
                for event in response.events:
                    self._check(event)
                    if self._take:
                        self._take(event)
                self._go.wait()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                self.faults.append(f"the watch ended: {error}")

    def _check(self, event):
        first = event.revision
        if event.HasField("gap"):
            first = event.gap.first_revision
            last = event.gap.last_revision
            self.gaps.append((first, last))
            if (event.gap.count, event.revision) != (last - first + 1, last):
                self.faults.append(f"a gap that does not add up: {event}")
        else:
            self.seen[first] = zlib.crc32(
                event.SerializeToString(deterministic=True))
        if first != self.revision + 1:
            self.faults.append(f"{first} follows upon {self.revision}")
        self.revision = event.revision


class Record:
    """All events, all outcomes, and when something was away."""

    def __init__(self, channel):
        self._lock = threading.Condition()
        self._accepted = {}  # By name.
        self._closed = {}  # By key.
        self._names = set()
        self.accepted_of = collections.Counter()  # By listener.
        self._outcomes = []
        self._away = []  # [name, begin, end]
        self.settled = collections.Counter()
        self.num_events = 0
        self.accepts_failed = collections.Counter()  # By listener.
        self.faults = []
        self.watcher = Watcher(channel, self._take)

    def _take(self, event):
        kind = event.WhichOneof("kind")
        with self._lock:
            self.num_events += 1
            if kind == "connection_accepted":
                connection = event.connection_accepted.connection
                if connection.name in self._names:
                    self.faults.append(f"accepted twice: {connection}")
                self._names.add(connection.name)
                self.accepted_of[connection.listener] += 1
                self._accepted[connection.name] = connection.listener
            elif kind == "connection_closed":
                connection = event.connection_closed.connection
                if self._accepted.pop(connection.name, None) is None:
                    self.faults.append(f"closed, never accepted: {connection}")
                self._closed[self._key(connection)] = connection
                self._lock.notify_all()
            elif kind == "accept_failed":
                self.accepts_failed[event.accept_failed.listener] += 1
            elif kind == "connection_dropped":
                self.faults.append(f"dropped: {event}")

    @staticmethod
    def _key(connection):
        if connection.direction == connection_pb2.DIRECTION_OUTBOUND:
            return connection.name
        peer = connection.peer
        return (peer.inet.address if peer.HasField("inet")
                else peer.unix_socket.path)

    @contextlib.contextmanager
    def away(self, name):
        entry = [name, time.monotonic(), None]
        with self._lock:
            self._away.append(entry)
        try:
            yield
        finally:
            entry[2] = time.monotonic()

    def was_away(self, name, began):
        """At any time since then."""
        with self._lock:
            return any(name == other and (end is None or began <= end)
                       for other, _, end in self._away)

    def add(self, peer, how, why=""):
        """The end of a connection; `why`: what its client was told."""
        with self._lock:
            self._outcomes.append(
                Outcome(peer.kind, peer.key, how, peer.began,
                        time.monotonic(), peer.sent, peer.received,
                        peer.has_ended, why))

    def compare(self, watcher):
        """What that one has seen is what this has."""
        for revision, checksum in watcher.seen.items():
            if self.watcher.seen.get(revision) != checksum:
                self.fault(f"event {revision} is two different ones")

    def open_connections(self):
        with self._lock:
            return dict(self._accepted)

    def fault(self, text):
        with self._lock:
            self.faults.append(text)

    def settle(self):
        """Compares what can be; the outcomes that no event is known of yet."""
        with self._lock:
            rest = []
            for outcome in self._outcomes:
                if outcome.key is None:
                    self._judge(outcome, outcome.why)
                elif outcome.key in self._closed:
                    self._compare(outcome, self._closed.pop(outcome.key))
                else:
                    rest.append(outcome)
            self._outcomes = rest
            return list(rest)

    def unclaimed(self):
        """Connections whose end no client has told of."""
        with self._lock:
            return list(self._closed.values())

    def _compare(self, outcome, connection):
        reason = connection_pb2.CloseReason.Name(
            connection.close_reason).removeprefix("CLOSE_REASON_")
        self._judge(outcome, reason)
        if outcome.how == WHOLE:
            told = (connection.bytes_received, connection.bytes_sent)
            if outcome.kind == "dial":
                told = told[::-1]
            if told != (outcome.sent, outcome.received):
                self.faults.append(f"{outcome} but {connection}")

    def _judge(self, outcome, reason):
        self.settled[outcome.kind, outcome.how, reason] += 1
        if reason in REASONS.get(outcome.how, ()):
            return
        if (outcome.kind, outcome.how, reason) == ("dial", VANISHED,
                                                   "CANCELLED"):
            return
        away = {name for name, begin, end in self._away
                if begin <= outcome.ended and
                (end is None or outcome.began <= end)}
        if outcome.kind == "churn":
            away.add("close")
        excuses = set().union(
            *(EXCUSES[name, outcome.kind] for name in away))
        # The first cause is told of, and that was its client's end.
        if excuses and outcome.has_ended:
            excuses.add("PEER_CLOSED")
        if outcome.how != WHOLE and reason in excuses:
            return
        self.faults.append(
            f"{outcome.kind} {outcome.key!r} ended {outcome.how}, and the "
            f"daemon says {reason}; away were {sorted(away)}: {outcome}")
