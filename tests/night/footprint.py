"""What a daemon that has nothing to do has open, and in memory."""

import collections
import os

import peers
import record
import shortages

# Descriptors of empty pipes that each loop keeps for splice(2), at most.
PIPES = 2 * 8
# Seconds until gRPC has given back what it had for the last calls.
SETTLES = 15

KIB = 1 << 10
MIB = 1 << 20

# What of the heap may be in use beyond that of before: what
# docs/OPERATIONS.md lets the daemon keep, and is not the same both times.
# Nothing of it is for carried connections or listeners that are gone.
HEAP = sum((
    # "Events": as many, and of one kind, but 256 together have room for the
    # names of those listeners that they once were of (server/events/event_ring.h).
    100_000 // 256 * 16 * 16,
    # "What is known of events that are lost"
    # (server/events/lost_events.h).
    2 * MIB,
    # "A message of events", encoded for whoever asks next.
    256 * KIB,
    # "Lines that wait": two outputs, each with what is being written and what
    # has come meanwhile, keep this much room (server/daemon/log_queue.cc).
    2 * 2 * 64 * KIB,
    # "A data frame to a client": what a loop receives the next one in.
    64 * KIB * os.cpu_count(),
    # What is still known of control connections that have ended
    # (server/control/control_table.h).
    1000 * 512,
    # Tables of headers, of both directions, of ten control connections, and
    # what gRPC keeps of two messages of 64 KiB.
    10 * 2 * 4 * KIB + 2 * 64 * KIB,
))
# malloc(3) has at most so many heaps for threads...
HEAPS = 8 * os.cpu_count()
# ... and gives nothing back of the end of one of them that is smaller: the
# M_TRIM_THRESHOLD of server/main.cc.
END_OF_HEAP = MIB
RESIDENT = HEAP + HEAPS * END_OF_HEAP


class Footprint:
    """At two moments that are alike but for what was between."""

    def __init__(self, daemon, num_clients):
        self._daemon = daemon
        self._num_clients = num_clients
        self._descriptors = collections.Counter(daemon.descriptors())
        # Of pipes, none is new as long as it may be kept.
        self._descriptors["pipe:[N]"] += PIPES * os.cpu_count()
        self._heap = daemon.heap_bytes()  # Before what is resident: it trims.
        self._resident = daemon.resident_bytes()

    def check(self, num_clients):
        """The daemon has no more than it had."""
        if num_clients != self._num_clients:
            raise AssertionError(f"{num_clients} clients at a time, and "
                                 f"before it was {self._num_clients}")
        shortages.poll_until(
            lambda: not self._new_descriptors(),
            lambda: "descriptors that were not there: "
            f"{self._new_descriptors()}\n{self._daemon.sockets()}", SETTLES)
        shortages.poll_until(
            lambda: self._grown()[0] <= HEAP and self._grown()[1] <= RESIDENT,
            lambda: "bytes more than before of the heap, and in memory: "
            f"{self._grown()}; allowed: {HEAP}, {RESIDENT}", SETTLES)
        heap, resident = self._grown()
        print(f"night: {heap // KIB} of {HEAP // KIB} KiB more of the heap, "
              f"and {resident // KIB} of {RESIDENT // KIB} KiB in memory")

    def _new_descriptors(self):
        """By kind, how many."""
        return dict(collections.Counter(self._daemon.descriptors()) -
                    self._descriptors)

    def _grown(self):
        heap = self._daemon.heap_bytes()
        return heap - self._heap, self._daemon.resident_bytes() - self._resident


def num_clients(load, events):
    """How many can be connected at a time; none is any more, then.

    Who comes when there is no room is served once there is.
    """
    identity = f"full-{events.num_events}"
    name = f"listeners/{identity}"
    clients = []
    with load.another_echo(identity) as where:
        # Told of when it comes to the limit, with or without another client.
        while not events.accepts_failed[name]:
            clients.append(peers.SocketPeer("echo", where))
            clients[-1].open()
            shortages.poll_until(
                lambda: events.accepts_failed[name] or
                events.accepted_of[name] == len(clients),
                lambda: f"client {len(clients)} is accepted, or is not",
                peers.TIMEOUT)
        count = events.accepted_of[name]
        late = peers.SocketPeer("echo", load.places["echo"])
        late.open()
        load.close_listener(name)  # Who still waits is not accepted any more.
        for peer in clients:
            peer.vanish()
        for peer in clients[:count]:
            load.tell(peer, record.VANISHED)
        with load.end_of(late):
            load.trip(late, b"room?", shortages.AGAIN)
            late.finish()
    return count
