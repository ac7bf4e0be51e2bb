"""Connections that clients serve go on in the next process."""

import hashlib
import os
import queue
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

import grpc
from portreeve.v1 import (connection_pb2, connection_pb2_grpc, handler_pb2,
                          handler_pb2_grpc, listener_pb2, listener_pb2_grpc)
from upgraded_daemon import PORTREEVE, TIMEOUT, Daemon

ClientFrame = connection_pb2.ClientFrame
# A counter, of which each place of a stream has its own part: 4 MB.
PATTERN = struct.pack(">1048576I", *range(1048576))
BULK = 100 << 20
# How a call ends that an upgrade has crossed.
CROSSED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
PIECE = 64 << 10


def pattern(at, size):
    """Gives that part of a stream that repeats PATTERN for ever."""
    at %= len(PATTERN)
    part = PATTERN[at:at + size]
    return part + pattern(0, size - len(part)) if len(part) < size else part


class Stream:
    """One Attach or Dial call, frame by frame."""

    def __init__(self, channel, first, dials=False):
        self._said = queue.Queue(4)
        self._said.put(first)
        stub = connection_pb2_grpc.ConnectionServiceStub(channel)
        call = stub.Dial if dials else stub.Attach
        self.frames = call(iter(self._said.get, None), wait_for_ready=True)

    def say(self, **frame):
        self._said.put(ClientFrame(**frame))

    def end(self):
        """Ends the client's direction of the stream."""
        self._said.put(None)

    def next(self):
        """Gives the next frame, as its kind and itself; None at the end."""
        frame = next(self.frames, None)
        return frame and (frame.WhichOneof("kind"), frame)

    def expect(self, kind):
        got = self.next()
        if got is None or got[0] != kind:
            raise AssertionError(f"{got} and not {kind}")
        return getattr(got[1], kind)

    def expect_end(self):
        got = self.next()
        if got is not None:
            raise AssertionError(got)


def come_back(channel, name):
    """Gives the next stream, and the connection."""
    return until_opened(lambda: Stream(channel, ClientFrame(
        attach=ClientFrame.Attach(connection=name, can_move=True))))


def until_opened(begin):
    """Gives a stream that is open, and its connection: the call may still reach
    the process that was there before."""
    while True:
        stream = begin()
        try:
            return stream, stream.expect("opened").connection
        except grpc.RpcError as error:
            if error.code() not in CROSSED:
                raise


class Mover:
    """A client that sends and receives much over one connection, on as many
    streams as it takes."""

    def __init__(self, daemon, channel, stream, name):
        self._daemon, self._channel, self._name = daemon, channel, name
        self.sent = 0
        self.received = 0
        self.moves = 0
        self.wrong = []
        self.changed = threading.Condition()
        self._stream = stream
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while self._serve(self._stream):
                self.moves += 1
                self._stream, opened = come_back(self._channel, self._name)
                if opened.name != self._name or opened.held_by_predecessor:
                    self.wrong.append(opened)
        except BaseException as error:  # pylint: disable=broad-except
            self.wrong.append(error)

    def _serve(self, stream):
        """Gives whether the connection has moved."""
        moved = threading.Event()
        ends = threading.Event()  # Nothing keeps the stream any longer.
        sender = threading.Thread(target=self._send,
                                  args=(stream, moved, ends))
        sender.start()
        closed = False
        while True:
            got = stream.next()
            if got is None:
                break
            kind, frame = got
            if kind == "data":
                if frame.data != pattern(self.received, len(frame.data)):
                    self.wrong.append(f"bytes from {self.received} on")
                with self.changed:
                    self.received += len(frame.data)
                    self.changed.notify_all()
            elif kind == "moved":
                moved.set()
                ends.set()
            elif kind == "eof":
                ends.set()
            elif kind == "closed":
                closed = True
        ends.set()
        sender.join()
        return moved.is_set() and not closed

    def _send(self, stream, moved, ends):
        while self.sent < BULK and not moved.is_set():
            stream.say(data=pattern(self.sent, PIECE))
            self.sent += PIECE
        if self.sent >= BULK and not moved.is_set():
            stream.say(eof=ClientFrame.Eof())
            ends.wait()
        stream.end()

    def await_received(self, size):
        with self.changed:
            if not self.changed.wait_for(lambda: self.received >= size,
                                         TIMEOUT):
                raise AssertionError((self.received, self.wrong))


class Peer:
    """What is at the other end of the connection: it sends as much as the
    client, and checks each byte."""

    def __init__(self, connection):
        self._connection = connection
        connection.settimeout(TIMEOUT)
        self.wrong = []
        self.received = 0
        self.may_send = threading.Semaphore(0)
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=f)
                        for f in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        try:
            for at in range(0, BULK, BULK // 10):
                self.may_send.acquire()
                self._connection.sendall(pattern(at, BULK // 10))
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.wrong.append(error)

    def _receive(self):
        try:
            while True:
                data = self._connection.recv(1 << 20)
                if not data:
                    break
                if data != pattern(self.received, len(data)):
                    self.wrong.append(f"bytes from {self.received} on")
                with self.changed:
                    self.received += len(data)
                    self.changed.notify_all()
        except OSError as error:
            self.wrong.append(error)
            with self.changed:
                self.changed.notify_all()


def copy_back(process):
    """Sends back what comes, until that is all: stdout ends with the process
    only."""
    left = BULK
    while left > 0 and (data := os.read(process.stdout.fileno(), 1 << 16)):
        process.stdin.write(data)
        process.stdin.flush()
        left -= len(data)
    process.stdin.close()


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class StreamMoveTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.daemon = Daemon(folder.name)
        self.addCleanup(self.daemon.kill)
        self.channel = grpc.insecure_channel(self.daemon.control)
        self.addCleanup(self.channel.close)
        self.address = None

    def listen(self, claim_seconds=10):
        request = listener_pb2.CreateListenerRequest(listener_id="served")
        request.spec.where_to_listen.inet.address = "127.0.0.1"
        remote = request.spec.handler.remote
        remote.claim_timeout.FromMilliseconds(int(claim_seconds * 1000))
        created = listener_pb2_grpc.ListenerServiceStub(
            self.channel).CreateListener(request, timeout=TIMEOUT)
        self.address = ("127.0.0.1", created.status.listening_on.inet.port)

    def work(self):
        """Begins a Handle stream; gives the offers, of the process that was
        there before, too, where the call still reaches that."""
        start = handler_pb2.HandleRequest()
        start.start.listener = "listeners/served"
        stub = handler_pb2_grpc.HandlerServiceStub(self.channel)

        def begin():
            said = queue.Queue()
            said.put(start)
            self.addCleanup(said.put, None)
            return stub.Handle(iter(said.get, None), wait_for_ready=True)

        def offers(answers):
            while True:
                try:
                    for answer in answers:
                        if answer.HasField("offer"):
                            yield answer.offer.connection.name
                except grpc.RpcError as error:
                    if error.code() not in CROSSED:
                        raise
                answers = begin()

        return offers(begin())

    def connect(self):
        client = socket.create_connection(self.address, TIMEOUT)
        self.addCleanup(client.close)
        return client

    def attach(self, name, can_move=True):
        stream = Stream(self.channel,
                        ClientFrame(attach=ClientFrame.Attach(
                            connection=name, can_move=can_move)))
        self.addCleanup(stream.frames.cancel)
        return stream

    def accepted(self, can_move=True):
        """Gives a client, the stream that serves it, and its name."""
        self.listen()
        offers = self.work()
        client = self.connect()
        name = next(offers)
        stream = self.attach(name, can_move)
        stream.expect("opened")
        return client, stream, name

    def dialled(self, can_move=True):
        """Gives a server's connection, the stream, and its name."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            dial = ClientFrame.Dial(can_move=can_move)
            inet = dial.where_to_connect.inet
            inet.host, inet.port = server.getsockname()
            stream, opened = until_opened(lambda: Stream(
                self.channel, ClientFrame(dial=dial), dials=True))
            self.addCleanup(stream.frames.cancel)
            peer, _ = server.accept()
        self.addCleanup(peer.close)
        return peer, stream, opened.name

    def closed_event(self):
        return self.daemon.event("connection-closed")["connectionClosed"][
            "connection"]

    def move_much(self, peer, stream, name):
        mover = Mover(self.daemon, self.channel, stream, name)
        peer = Peer(peer)
        for upgrade in range(5):
            for _ in range(2):
                peer.may_send.release()
            # It is in the midst of both ways.
            mover.await_received(upgrade * (BULK // 5) + BULK // 20)
            self.daemon.upgrade()
            self.daemon.until_logged("the former process has ended")
        for thread in peer.threads:
            thread.join()
        mover._thread.join()  # pylint: disable=protected-access
        self.assertEqual(mover.wrong + peer.wrong, [])
        self.assertEqual(mover.moves, 5)
        self.assertEqual((mover.received, peer.received), (BULK, BULK))
        return self.closed_event()

    def test_much_both_ways_of_an_accepted_one(self):
        closed = self.move_much(*self.accepted())
        self.assertEqual(closed["bytesReceived"], str(BULK))
        self.assertEqual(closed["bytesSent"], str(BULK))
        status = self.daemon.listener("served")["status"]
        self.assertEqual(status["acceptedTotal"], "1")
        self.assertEqual(status["bytesReceivedTotal"], str(BULK))
        self.assertEqual(status["bytesSentTotal"], str(BULK))
        self.assertEqual(sum(map(int, status["closedByReason"].values())), 1)

    def test_much_both_ways_of_a_dialled_one(self):
        closed = self.move_much(*self.dialled())
        self.assertEqual(closed["bytesReceived"], str(BULK))
        self.assertEqual(closed["bytesSent"], str(BULK))
        self.assertEqual(self.daemon.connections(), [])

    def move_much_of_the_cli(self, peer):
        """`peer` is of one whose client sends back what it gets."""
        peer = Peer(peer)
        for upgrade in range(5):
            for _ in range(2):
                peer.may_send.release()
            with peer.changed:
                most = upgrade * (BULK // 5) + BULK // 20
                self.assertTrue(peer.changed.wait_for(
                    lambda: peer.received >= most or peer.wrong, TIMEOUT))
            self.daemon.upgrade()
            self.daemon.until_logged("the former process has ended")
        for thread in peer.threads:
            thread.join()
        self.assertEqual(peer.wrong, [])
        self.assertEqual(peer.received, BULK)

    def test_what_the_cli_serves_moves(self):
        self.listen()
        with subprocess.Popen(
                [PORTREEVE, "--server", self.daemon.control, "attach",
                 "served", "--", "cat"], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True) as worker:
            try:
                self.move_much_of_the_cli(self.connect())
                again = self.connect()
                again.sendall(b"hello")
                self.assertEqual(again.recv(10), b"hello")
            finally:
                worker.kill()
                said = worker.stderr.read()
        # Nothing was lost, and so nothing is said of that.
        self.assertNotIn("lost", said)
        status = self.daemon.listener("served")["status"]
        self.assertEqual(status["acceptedTotal"], "2")

    def test_what_the_cli_dials_moves(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with subprocess.Popen(
                    [PORTREEVE, "--server", self.daemon.control, "dial",
                     f"tcp:127.0.0.1:{port}"], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
                copying = threading.Thread(target=copy_back, args=(client,))
                copying.start()
                peer, _ = server.accept()
                self.addCleanup(peer.close)
                try:
                    self.move_much_of_the_cli(peer)
                    copying.join()
                    self.assertEqual(client.wait(TIMEOUT), 0)
                finally:
                    client.kill()
                    said = client.stderr.read()
        self.assertNotIn(b"lost", said)

    def move(self, stream, name):
        """Upgrades, and gives the next stream, which is open."""
        self.daemon.upgrade()
        stream.expect("moved")
        stream.end()
        stream.expect_end()
        stream, _ = come_back(self.channel, name)
        self.daemon.until_logged("the former process has ended")
        return stream

    def test_what_is_said_after_moved_goes_first(self):
        for make in self.accepted, self.dialled:
            peer, stream, name = make()
            self.daemon.upgrade()
            stream.expect("moved")
            peer.sendall(b"late")
            stream.say(data=b"one ")
            stream.say(data=b"two ")
            stream.end()
            stream.expect_end()
            stream, _ = come_back(self.channel, name)
            stream.say(data=b"three")
            stream.say(done=ClientFrame.Done())
            text = b""
            while part := peer.recv(100):
                text += part
            self.assertEqual(text, b"one two three")
            peer.close()
            self.assertEqual(stream.expect("data"), b"late")
            self.assertEqual(stream.expect("closed").reason,
                             connection_pb2.CLOSE_REASON_HANDLER_DONE)
            self.daemon.until_logged("the former process has ended")

    def test_ends_are_said_again(self):
        for make in self.accepted, self.dialled:
            peer, stream, name = make()
            stream.say(eof=ClientFrame.Eof())
            self.assertEqual(peer.recv(10), b"")
            stream = self.move(stream, name)
            peer.sendall(b"still")
            self.assertEqual(stream.expect("data"), b"still")
            peer.shutdown(socket.SHUT_WR)
            stream.expect("eof")
            stream = self.move(stream, name)
            stream.expect("eof")
            stream.end()
            self.assertEqual(stream.expect("closed").reason,
                             connection_pb2.CLOSE_REASON_PEER_CLOSED)

    def test_what_the_peer_does_not_take_goes_along(self):
        peer, stream, name = self.accepted()
        sent = threading.Event()
        many = 400  # More than the kernel takes.

        def send(first, count, then):
            for i in range(first, first + count):
                stream.say(data=pattern(i * 1000, 1000) * 50)
            then()

        # All that the daemon does not read waits in the client.
        sender = threading.Thread(target=send, args=(0, many, sent.set))
        sender.start()
        self.daemon.upgrade()
        stream.expect("moved")
        digest = hashlib.sha256()

        def read():
            while data := peer.recv(1 << 20):
                digest.update(data)

        reader = threading.Thread(target=read)
        reader.start()
        sender.join()
        stream.end()
        stream.expect_end()
        stream, _ = come_back(self.channel, name)
        send(many, 10, lambda: None)
        stream.end()
        reader.join()
        expected = hashlib.sha256()
        for i in range(many + 10):
            expected.update(pattern(i * 1000, 1000) * 50)
        self.assertEqual(digest.digest(), expected.digest())

    def test_one_that_nobody_has_claimed_is_offered_anew(self):
        self.listen()
        offers = self.work()
        client = self.connect()
        client.sendall(b"hello")
        name = next(offers)
        self.daemon.upgrade()
        self.daemon.until_logged("the former process has ended")
        shown = self.daemon.connections()
        self.assertEqual([shown[0]["state"], shown[0]["name"]],
                         ["CONNECTION_STATE_UNCLAIMED", name])
        self.assertFalse(shown[0].get("heldByPredecessor"))
        again = self.work()
        self.assertEqual(next(again), name)
        stream = self.attach(name)
        stream.expect("opened")
        self.assertEqual(stream.expect("data"), b"hello")
        stream.say(data=b"good day")
        self.assertEqual(client.recv(100), b"good day")

    def test_those_that_nobody_has_claimed_go_however_short_the_drain(self):
        """They are many more than go in a step."""
        many = 3000
        raise_descriptor_limit()
        self.listen(claim_seconds=TIMEOUT)
        offers = self.work()
        clients = [self.connect() for _ in range(many)]
        for _ in clients:
            next(offers)
        self.daemon.cli("upgrade", "--drain", "0s")
        self.daemon.pids.append(int(self.daemon.cli("daemon")["pid"]))
        self.daemon.until_logged("the former process has ended")
        status = self.daemon.listener("served")["status"]
        self.assertEqual(int(status["numConnections"]), many)

    def test_a_client_that_does_not_come_back_is_gone(self):
        self.listen(claim_seconds=0.2)
        offers = self.work()
        client = self.connect()
        stream = self.attach(next(offers))
        stream.expect("opened")
        self.daemon.upgrade()
        stream.expect("moved")
        stream.end()
        stream.expect_end()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        self.assertEqual(self.closed_event()["closeReason"],
                         "CLOSE_REASON_CLIENT_GONE")

    def test_a_dialled_one_waits_ten_seconds_for_its_client(self):
        peer, stream, _ = self.dialled()
        self.daemon.upgrade()
        stream.expect("moved")
        stream.end()
        stream.expect_end()
        with self.assertRaises(ConnectionResetError):
            peer.recv(1)
        self.assertEqual(self.closed_event()["closeReason"],
                         "CLOSE_REASON_CLIENT_GONE")
        self.assertEqual(self.daemon.connections(), [])

    def test_one_that_waits_can_be_upgraded_and_closed(self):
        for make in self.accepted, self.dialled:
            peer, stream, name = make()
            self.daemon.upgrade()
            stream.expect("moved")
            stream.end()
            stream.expect_end()
            self.daemon.until_logged("the former process has ended")
            # Nobody has come for it.
            self.daemon.upgrade()
            self.daemon.until_logged("the former process has ended")
            self.daemon.cli("kill", name)
            self.assertEqual(peer.recv(1), b"")
            self.assertEqual(self.daemon.connections(), [])

    def test_without_can_move_it_stays_to_its_end(self):
        for make in self.accepted, self.dialled:
            peer, stream, name = make(can_move=False)
            self.daemon.upgrade()
            peer.sendall(b"on")
            self.assertEqual(stream.expect("data"), b"on")
            stream.say(data=b"and on")
            self.assertEqual(peer.recv(100), b"and on")
            shown = [c for c in self.daemon.connections() if c["name"] == name]
            self.assertTrue(shown[0]["heldByPredecessor"])
            stream.say(done=ClientFrame.Done())
            self.assertEqual(peer.recv(1), b"")
            peer.close()
            stream.expect("closed")
            self.daemon.until_logged("the former process has ended")

    def test_who_has_said_done_is_told_the_end(self):
        peer, stream, _ = self.accepted()
        self.daemon.upgrade()
        stream.expect("moved")
        stream.say(data=b"bye")
        stream.say(done=ClientFrame.Done())
        stream.end()
        self.assertEqual(peer.recv(10), b"bye")
        self.assertEqual(peer.recv(10), b"")
        peer.close()
        self.assertEqual(stream.expect("closed").reason,
                         connection_pb2.CLOSE_REASON_HANDLER_DONE)
        stream.expect_end()
        self.daemon.until_logged("the former process has ended")

    def test_a_break_on_the_way_is_a_reset(self):
        for make in self.accepted, self.dialled:
            peer, stream, _ = make()
            self.daemon.upgrade()
            stream.expect("moved")
            stream.frames.cancel()
            with self.assertRaises(ConnectionResetError):
                peer.recv(1)
            self.daemon.until_logged("the former process has ended")

    def test_one_that_does_not_move_ends_with_the_drain(self):
        peer, stream, name = self.accepted()
        self.daemon.cli("upgrade", "--drain", "100ms")
        self.daemon.pids.append(int(self.daemon.cli("daemon")["pid"]))
        stream.expect("moved")
        waiting = self.attach(name)
        # The client says nothing to that.
        with self.assertRaises(ConnectionResetError):
            peer.recv(1)
        self.assertEqual(self.closed_event()["closeReason"],
                         "CLOSE_REASON_SHUTDOWN")
        with self.assertRaises(grpc.RpcError) as error:
            waiting.next()
        self.assertEqual(error.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_those_of_a_process_that_is_gone_are_lost(self):
        peer, stream, name = self.accepted()
        self.daemon.upgrade()
        stream.expect("moved")
        os.kill(self.daemon.pids[0], signal.SIGKILL)
        self.assertEqual(self.closed_event()["closeReason"],
                         "CLOSE_REASON_PROCESS_LOST")
        peer.close()
        waiting = self.attach(name)
        with self.assertRaises(grpc.RpcError) as error:
            waiting.next()
        self.assertEqual(error.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_a_limit_holds(self):
        peer, stream, name = self.accepted()
        self.daemon.cli("update", "served", "--max-connections", "1")
        stream = self.move(stream, name)
        self.work()
        second = self.connect()
        second.sendall(b"x")
        stream.say(data=b"first")
        self.assertEqual(peer.recv(100), b"first")
        self.assertEqual(len(self.daemon.connections()), 1)
        stream.say(done=ClientFrame.Done())
        self.assertEqual(peer.recv(1), b"")
        peer.close()
        stream.expect("closed")


if __name__ == "__main__":
    unittest.main()
