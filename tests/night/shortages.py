"""What is taken away from the daemon, and how it is given back.

Each shortage is a context manager: taken at its begin, given back at its end.
"""

import contextlib
import os
import signal
import threading
import time

import grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

import daemon as daemons
import peers
import record

# Within which everything answers again, in seconds: what is promised.
AGAIN = 2
# More lines, and long ones, than the log keeps while nobody reads it.
LONG_LINES = 200
# What a limit of memory may have left, in bytes.
ALMOST = 1 << 16
# The largest frame of a client, for which malloc(3) asks the kernel; and how
# much is sent in such ones.
FRAME = 256 << 10
BULK = 4 << 20
# Descriptors that may be opened at most when there are none.
FEW = 8
# Clients that come at once, and go.
CROWD = 60


def poll_until(condition, what, timeout=AGAIN):
    """For what tells nobody that it has come, like a file."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what()}")
        time.sleep(0.002)


class Shortages:
    """Those of one night."""

    NAMES = ("descriptors", "memory", "socket_memory", "disk", "stderr",
             "names", "upstream", "worker", "stop", "hangup", "crowd")

    def __init__(self, daemon, load, upstream, name_server, events, dice):
        self._daemon = daemon
        self._load = load
        self._events = events
        self._peer = upstream
        self._name_server = name_server
        self._dice = dice
        self._channel = daemon.channel(daemon.unix)
        self._stub = listener_pb2_grpc.ListenerServiceStub(self._channel)
        self._num_idle = len(daemon.descriptors())
        self._wide = True
        self._num_files = 0
        self._num_reads = 0  # Of a good policy.
        self._num_starved = 0
        self._patient = None  # A thread.

    def close(self):
        self._channel.close()

    def take(self, name):
        return getattr(self, name)()

    @contextlib.contextmanager
    def descriptors(self):
        """None may be opened, or a few more than there are without load.

        More clients come than that, to a listener that has no other ones
        whose end would make it accept again, and to the control addresses.
        All are served afterwards.
        """
        self._num_starved += 1
        identity = f"starved-{self._num_starved}"
        with self._load.another_echo(identity) as where, \
                contextlib.ExitStack() as calls:
            clients = [peers.SocketPeer("echo", where)
                       for _ in range(2 * FEW)]
            self._daemon.limit_descriptors(self._dice.choice(
                (3, self._num_idle, self._num_idle + 2,
                 self._num_idle + FEW)))
            try:
                for peer in clients:
                    peer.open()
                name = f"listeners/{identity}"
                poll_until(lambda: self._events.accepts_failed[name],
                           lambda: f"{name} cannot accept")
                answers = [calls.enter_context(self._calling(target))
                           for target in (self._daemon.tcp, self._daemon.unix)]
                yield
            finally:
                self._daemon.limit_descriptors(None)
            self._serve(clients, answers)

    def _serve(self, clients, answers):
        """Within what is promised; nothing else waits for that."""
        since = time.monotonic()
        for peer in clients:
            with self._load.end_of(peer):
                self._load.trip(peer, b"at last", AGAIN)
                peer.finish(AGAIN)
            if self._events.faults:
                return
        for answer in answers:
            try:
                answer.result(timeout=since + AGAIN - time.monotonic())
            except (grpc.RpcError, grpc.FutureTimeoutError) as error:
                self._events.fault("who has connected to the control plane "
                                   f"without descriptors: {error!r}")

    @contextlib.contextmanager
    def _calling(self, target):
        """A call that waits until its connection is there."""
        # A client that was let in and dropped comes again soon.
        soon = [("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 200)]
        with self._daemon.channel(target, soon) as channel:
            yield listener_pb2_grpc.ListenerServiceStub(
                channel).ListListeners.future(
                    listener_pb2.ListListenersRequest(page_size=1),
                    timeout=peers.TIMEOUT, wait_for_ready=True)

    @contextlib.contextmanager
    def memory(self):
        """The process gets no more: no pages of its own, no thread.

        What its heap has it may use; a client sends as much at a time as the
        heap would ask the kernel for.
        """
        self._daemon.limit_address_space(self._dice.choice((0, 4096, 65536)))
        try:
            for _ in range(2):
                peer = self._load.new_peer("dial", self._dice)
                with self._load.end_of(peer):
                    peer.open()
                    peer.exchange(self._dice.randbytes(BULK), frame=FRAME)
                    peer.finish()
            yield
        finally:
            self._daemon.limit_address_space(None)

    @contextlib.contextmanager
    def socket_memory(self):
        """The kernel has none for the daemon's sockets.

        One client takes what is left, who does not read until later.
        """
        peer = self._load.new_peer("echo", self._dice)
        with self._load.end_of(peer):
            peer.open()
            self._daemon.limit_socket_memory(
                self._dice.choice((0, 4096, 65536)))
            try:
                data = peer.fill()
                poll_until(self._memory_is_full,
                           lambda: "the memory of sockets is at its limit: "
                           f"{self._daemon.socket_memory()}")
                yield
            finally:
                self._daemon.limit_socket_memory(None)
            peer.take_back(data)
            peer.finish()

    def _memory_is_full(self):
        used, limit = self._daemon.socket_memory()
        return used + ALMOST > limit

    @contextlib.contextmanager
    def disk(self):
        """That of the audit is full, and a line does not fit."""
        before = self._daemon.disk_errors()
        ballast = f"{self._daemon.disk}/ballast"
        with open(ballast, "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        try:
            poll_until(lambda: self._daemon.disk_errors() > before,
                       lambda: "a line of the audit cannot be written",
                       peers.TIMEOUT)
            yield
        finally:
            os.remove(ballast)

    @contextlib.contextmanager
    def stderr(self):
        """Nobody reads it, and more is written than is kept."""
        lost, told = self._daemon.dropped, self._daemon.rereads
        reads = self._num_reads
        self._daemon.leave_stderr()
        try:
            for _ in range(LONG_LINES):
                self.read_policy_again()
            yield
        finally:
            self._daemon.read_stderr()

        def since():
            return (self._daemon.rereads - told, self._daemon.dropped - lost)

        poll_until(lambda: since()[1] > 0 and
                   sum(since()) >= self._num_reads - reads,
                   lambda: "%d lines, but of them %d, and %d dropped; " % (
                       self._num_reads - reads, *since()) +
                   f"{self._daemon.unread_bytes()} bytes are in the pipe")

    def all_lines_are_known(self):
        """Of policies that were read: on stderr, or counted."""
        return self._daemon.rereads + self._daemon.dropped >= self._num_reads

    @contextlib.contextmanager
    def names(self):
        """The name server is silent, and a client waits for it.

        The first one for as long as it takes; later ones give up.
        """
        peer = self._load.new_peer("forward-name", self._dice)
        before = self._name_server.unanswered
        self._name_server.silent = True
        try:
            peer.open()
            poll_until(lambda: self._name_server.unanswered > before,
                       lambda: "a name is asked for")
            yield
        finally:
            self._name_server.silent = False
            if self._patient is None:
                self._patient = threading.Thread(target=self._wait,
                                                 args=(peer,))
                self._patient.start()
            else:
                peer.vanish()
                self._load.tell(peer, record.VANISHED)

    def _wait(self, peer):
        """Until the daemon asks for the name again."""
        with self._load.end_of(peer) as end:
            self._load.trip(peer, b"at last")
            peer.finish()
        if end["how"] != record.WHOLE:
            self._events.fault(f"{peer.key} waited for a name, and is not "
                               f"served: {end['how']}")

    def served_late(self):
        """Waits for who did not give up."""
        if self._patient is not None:
            self._patient.join()

    @contextlib.contextmanager
    def upstream(self):
        self._peer.go()
        try:
            yield
        finally:
            self._peer.come()

    @contextlib.contextmanager
    def worker(self):
        """There is none of the remote listener.

        Nor does a client wait for one that was offered it and is gone.
        """
        peer = self._load.new_peer("remote", self._dice)
        with self._load.end_of(peer):
            self._load.worker_leaves_alone(peer)
            self._load.worker_goes()
            self._load.trip(peer, b"anybody?", AGAIN)
        try:
            yield
        finally:
            self._load.worker_comes()

    @contextlib.contextmanager
    def stop(self):
        os.kill(self._daemon.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._daemon.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def crowd(self):
        """Clients that vanish, all at once."""
        kinds = [kind for kind in self._load.places] * (CROWD // 7)
        crowd = [self._load.new_peer(kind, self._dice) for kind in kinds]
        for peer in crowd:
            peer.open()
            peer.send(b"lost" * self._dice.choice((0, 1, 1000)))
        try:
            yield
        finally:
            for peer in crowd:
                peer.vanish()
                self._load.tell(peer, record.VANISHED)

    @contextlib.contextmanager
    def hangup(self):
        """SIGHUP: another file of the audit, another policy, a wrong one."""
        self._num_files += 1
        moved = f"{self._daemon.audit}.{self._num_files}"
        os.rename(self._daemon.audit, moved)
        self.read_policy_again()
        poll_until(lambda: os.path.exists(self._daemon.audit),
                   lambda: "a new file of the audit")
        self._read_broken_policy()
        yield
        self.read_policy_again()

    def read_policy_again(self):
        """Another one, until it is in force."""
        self._wide = not self._wide
        self._daemon.write_policy(
            daemons.WIDE if self._wide else daemons.NARROW)
        self._daemon.hang_up()
        poll_until(lambda: self._allows() == self._wide,
                   lambda: "the new policy is in force")
        self._num_reads += 1

    def _read_broken_policy(self):
        def complaints():
            return sum("stays in force" in l for l in self._daemon.lines)

        before = complaints()
        self._daemon.write_policy(
            daemons.NARROW if self._wide else daemons.WIDE, broken=True)
        self._daemon.hang_up()
        poll_until(lambda: complaints() > before,
                   lambda: "the wrong policy is told of")
        if self._allows() != self._wide:
            raise AssertionError("the wrong policy is in force")

    def _allows(self):
        """Whether the policy in force is the wide one."""
        try:
            self._stub.CreateListener(listener_pb2.CreateListenerRequest(
                spec={"where_to_listen": {"inet": {"address": "127.0.0.2"}},
                      "handler": {"echo": {}}},
                validate_only=True), timeout=peers.TIMEOUT)
            return True
        except grpc.RpcError as error:
            if peers.reason_of(error) == "OUTSIDE_POLICY":
                return False
            raise
