"""What was cut by a peer's reset never looks whole to a handler."""

import socket
import unittest

from harness import TIMEOUT, Daemon, Peer, Watch, Worker, main, reset

TIMES = 50
SIZE = 2000
WRITES = 200


class ResetTest(unittest.TestCase):

    def setUp(self):
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create("a")
        self.worker = self.enterContext(Worker("worker", self.daemon, "a"))
        self.server = self.enterContext(
            socket.create_server(("127.0.0.1", 0)))
        self.server.settimeout(TIMEOUT)

    def accepted(self, how="reads"):
        """The socket of a peer whose handler is there."""
        peer = Peer(self.address, f"follow {how}")
        self.assertEqual(peer.line(), "ready\n")
        return peer.socket

    def dialled(self, how="reads"):
        """The same of a server, to which the handler of `near` connects."""
        port = self.server.getsockname()[1]
        self.near = self.enterContext(
            Peer(self.address, f"dial_follow {port} {how}"))
        far, _ = self.server.accept()
        far.settimeout(TIMEOUT)
        self.assertEqual(far.recv(100), b"ready\n")
        return far

    def assertReset(self):
        """Returns how much the handler has read before."""
        told = self.worker.report()
        size = told.pop("size")
        self.assertEqual(told, {
            "end": False,
            "lost": "ECONNRESET",
            "reason": "PEER_RESET"
        })
        return size

    def send_a_little_and_reset(self, connect):
        for _ in range(TIMES):
            connection = connect()
            connection.sendall(bytes(SIZE))
            reset(connection)
            self.assertEqual(self.assertReset(), SIZE)

    def test_a_little(self):
        self.send_a_little_and_reset(self.accepted)

    def test_a_little_dialled(self):
        self.send_a_little_and_reset(self.dialled)

    def reset_amid_small_writes(self, connect):
        for _ in range(TIMES):
            connection = connect()
            for _ in range(WRITES):
                connection.sendall(bytes(100))
            reset(connection)
            # A reset drops what its own kernel has not sent.
            self.assertLessEqual(self.assertReset(), WRITES * 100)

    def test_amid_small_writes(self):
        self.reset_amid_small_writes(self.accepted)

    def test_amid_small_writes_dialled(self):
        self.reset_amid_small_writes(self.dialled)

    def reset_after_fin(self, connect):
        connection = connect()
        connection.sendall(bytes(SIZE))
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(100), b"ended\n")
        reset(connection)
        self.assertEqual(self.worker.report(), {
            "size": SIZE,
            "end": True,
            "lost": None,
            "reason": "PEER_CLOSED"
        })

    def test_after_fin(self):
        self.reset_after_fin(self.accepted)

    def test_after_fin_dialled(self):
        self.reset_after_fin(self.dialled)

    def test_a_handler_that_never_reads(self):
        for connect in self.accepted, self.dialled:
            connection = connect("is deaf")
            connection.sendall(bytes(SIZE))
            reset(connection)
            self.assertEqual(self.assertReset(), 0)

    def test_a_handler_that_reads_later(self):
        """The daemon has more for it than the stream may hold."""
        watch = self.enterContext(Watch(self.daemon))
        for _ in range(10):
            peer = Peer(self.address, "follow waits")
            self.assertEqual(peer.line(), "ready\n")
            peer.fill()
            peer.reset()
            self.assertEqual(set(watch.closed(1).values()), {"PEER_RESET"})
            with Peer(self.address, "let_go"):
                self.assertReset()
            watch.closed(1)


if __name__ == "__main__":
    main()
