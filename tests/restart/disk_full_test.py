"""A disk that is full: what is refused then, what goes on, and what is made good
once there is room."""

import os
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc
from portreeve.v1 import daemon_pb2

from daemon import (CLOSED, DEADLINE, LISTENING, Daemon, echo, echoes, port_of,
                    reason_of)

SERVING, NOT_SERVING = 1, 2
NOT_WRITTEN = ("STATE_FULL", "STATE_UNAVAILABLE")
MOST_CREATES = 2000  # By then the disk must be full.
# One after the other: the second waits for the attempt to write all anew.
REFUSALS = 3


def health_of(client):
    """Of the state."""
    name = b"portreeve.state"
    check = client.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = check(b"\n" + bytes([len(name)]) + name, timeout=DEADLINE)
    assert answer[0] == 8, answer
    return answer[1]


class Transfer(threading.Thread):
    """Bytes that go through a listener and come back, until it is ended."""

    def __init__(self, port):
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._more = threading.Condition()
        self._ended = False
        self.bytes = 0
        self.fault = None
        self.start()

    def run(self):
        chunk = os.urandom(65536)
        try:
            while not self._ended:
                self._socket.sendall(chunk)
                got = b""
                while len(got) < len(chunk):
                    more = self._socket.recv(len(chunk))
                    assert more, "it was cut"
                    got += more
                assert got == chunk, "other bytes came back"
                with self._more:
                    self.bytes += len(chunk)
                    self._more.notify_all()
        except Exception as error:  # Nobody else would tell of it.
            with self._more:
                self.fault = error
                self._more.notify_all()

    def wait_for_more(self):
        with self._more:
            wanted = self.bytes + (1 << 20)
            assert self._more.wait_for(
                lambda: self.bytes >= wanted or self.fault, DEADLINE)
            assert not self.fault, self.fault

    def end(self):
        self._ended = True
        self.join()
        self._socket.close()
        assert not self.fault, self.fault


class DiskFullTest(unittest.TestCase):

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.state = f"{self.folder}/state"
        os.mkdir(self.state)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700",
                        "state", self.state], check=True)
        self.addCleanup(subprocess.run, ["umount", self.state], check=True)

    def start(self):
        daemon = Daemon(self.folder)
        self.addCleanup(daemon.kill)
        daemon.wait_until_ready()
        return daemon, daemon.client()

    def fill(self):
        with open(f"{self.state}/ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass

    def make_room(self):
        os.remove(f"{self.state}/ballast")

    def refused(self, call, *arguments):
        with self.assertRaises(grpc.RpcError) as refused:
            call(*arguments)
        error = refused.exception
        self.assertIn(reason_of(error), NOT_WRITTEN, error)
        return error

    def fill_for_good(self, client):
        """Gives the names that were made meanwhile.

        What has failed is written anew at once, which may make room: it is
        taken, too.
        """
        made = []
        refusals = 0
        for i in range(MOST_CREATES):
            self.fill()
            try:
                made.append(client.create(echo(f"more{i}")).name)
                refusals = 0
            except grpc.RpcError as error:
                self.assertIn(reason_of(error), NOT_WRITTEN, error)
                refusals += 1
            if refusals == REFUSALS:
                return made
        raise AssertionError("the disk was never full")

    def test_what_is_refused_goes_on_and_is_made_good(self):
        daemon, client = self.start()
        target = client.create(echo("target"))
        request = echo("forward")
        forward = request.spec.handler.forward
        forward.upstream.inet.host = "127.0.0.1"
        forward.upstream.inet.port = port_of(target)
        through = client.create(request)
        closed = client.create(echo("closed"))
        deleted = client.create(echo("deleted"))
        client.close(deleted.name)
        transfer = Transfer(port_of(through))
        transfer.wait_for_more()
        self.assertEqual(health_of(client), SERVING)

        made = self.fill_for_good(client)
        transfer.wait_for_more()
        self.assertEqual(health_of(client), NOT_SERVING)
        store = client.daemon.GetDaemon(daemon_pb2.GetDaemonRequest()).store
        self.assertFalse(store.healthy)
        self.assertIn("full", store.message)
        daemon.wait_for_error("state: changes are refused")
        before = client.all()
        self.refused(client.create, echo("refused", request_id="again"))
        self.refused(client.label, target.name, {"a": "b"})
        self.refused(client.delete, deleted.name)
        self.assertEqual(client.get(target.name).spec, target.spec)
        self.assertEqual(set(client.all()), set(before))
        # A full disk keeps no port open.
        error = self.refused(client.close, closed.name)
        self.assertIn("is closed, but not recorded", error.details())
        with self.assertRaises(ConnectionRefusedError):
            echoes(port_of(closed))
        self.assertEqual(client.get(closed.name).status.state, CLOSED)
        transfer.wait_for_more()

        self.make_room()
        again = self.create_until_room(client)
        transfer.wait_for_more()
        transfer.end()
        self.assertEqual(health_of(client), SERVING)
        daemon.wait_for_error("is written again, and has all changes")
        client.delete(deleted.name)
        self.assertEqual(client.create(echo("refused", request_id="again")),
                         again)
        wanted = {target.name, through.name, closed.name, again.name, *made}
        self.assertEqual(set(client.all()), wanted)
        daemon.kill()

        _, client = self.start()
        found = client.all()
        self.assertEqual(set(found), wanted)
        self.assertEqual(found[closed.name].status.state, CLOSED)
        self.assertEqual(found[again.name].uid, again.uid)
        self.assertEqual(found[target.name].status.state, LISTENING)

    def create_until_room(self, client):
        """It is written anew while somebody asks for changes."""
        until = time.monotonic() + DEADLINE
        while True:
            try:
                return client.create(echo("refused", request_id="again"))
            except grpc.RpcError as error:
                self.assertIn(reason_of(error), NOT_WRITTEN, error)
            self.assertLess(time.monotonic(), until)

    def test_a_close_that_is_not_recorded_is_undone_by_a_crash(self):
        daemon, client = self.start()
        closed = client.create(echo("closed"))
        self.fill_for_good(client)
        self.refused(client.close, closed.name)
        daemon.kill()
        # Nor is there room for a start.
        with Daemon(self.folder) as daemon:
            self.assertEqual(daemon.wait(), 1)
            self.assertEqual(len(daemon.errors), 1, daemon.errors)
            self.assertIn(f"state: {self.state}", daemon.errors[0])
            self.assertRegex(daemon.errors[0], "full|No space left")
        self.make_room()
        _, client = self.start()
        self.assertEqual(client.get(closed.name).status.state, LISTENING)
        self.assertTrue(echoes(port_of(closed)))

    def test_a_close_that_is_not_recorded_is_by_the_end(self):
        daemon, client = self.start()
        closed = client.create(echo("closed"))
        self.fill_for_good(client)
        self.refused(client.close, closed.name)
        self.make_room()
        self.assertEqual(daemon.end(), 0, daemon.errors)
        _, client = self.start()
        self.assertEqual(client.get(closed.name).status.state, CLOSED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
