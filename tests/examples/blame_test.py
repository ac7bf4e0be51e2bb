"""What the peer has caused is no handler error, and what the handler has is."""

import socket
import unittest

from harness import (BLOCK, LANGUAGE, TIMEOUT, Daemon, Peer, Watch, Worker,
                     main, reset)
from portreeve.v1 import handler_pb2

NEEDS = {
    "python": ["exactly", "until", "line", "lines", "group", "flood"],
    "node": ["iterates", "generator", "pipeline", "text", "flood"],
}[LANGUAGE]
# What is told of each fault.
FAULTS = {
    "python": {
        "decode": "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff",
        "negative": "ValueError: readexactly size can not be less than zero",
        "own": "IncompleteReadError: 0 bytes read on a total of 5 expected",
        "wrapped": "ValueError: half a request",
        "group": "ExceptionGroup: unhandled errors in a TaskGroup",
    },
    "node": {
        "writes": "write after end",
        "parses": "not HTTP",
        "destroys": "of its own",
        "iterates": "1 in a loop",
        "generates": "Cannot read properties of undefined",
        "own": "of its own",
    },
}[LANGUAGE]
# Of what happens to a connection of the handler's own, by its end or reset.
FAR = {
    "python": ("IncompleteReadError: 0 bytes read on a total of 1000 expected",
               "ConnectionResetError: "),
    "node": (None, "ECONNRESET"),
}[LANGUAGE]


class BlameTest(unittest.TestCase):

    def serve(self, policy=handler_pb2.ON_HANDLER_ERROR_UNSPECIFIED,
              **environment):
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create("a", on_handler_error=policy)
        self.worker = self.enterContext(
            Worker("worker", self.daemon, "a", **environment))
        self.watch = self.enterContext(Watch(self.daemon))

    def closed(self):
        """Why the next connection was closed."""
        return tuple(self.watch.closed(1).values())

    def assertNothingHappened(self):
        """To the listener, whose policy is to close."""
        with Peer(self.address, "echo") as peer:
            peer.line()
            self.assertEqual(peer.echo(b"alive"), b"alive")
            peer.send_eof()
            self.assertEqual(peer.read(1), b"")
        self.assertEqual(self.closed(), ("PEER_CLOSED",))
        self.assertEqual(self.daemon.state("a"), "LISTENER_STATE_LISTENING")
        self.assertEqual(self.daemon.get("a").status.handler_errors_total, 0)

    def ready(self, how):
        peer = self.enterContext(Peer(self.address, f"need {how}"))
        self.assertEqual(peer.line(), "ready\n")
        return peer

    def test_an_end_in_the_middle(self):
        self.serve()
        for how in NEEDS:
            with self.subTest(how=how):
                peer = self.ready(how)
                peer.send(b"half a li")
                peer.send_eof()
                peer.socket.close()
                # What it floods is reset by the peer's kernel.
                self.assertIn(self.closed()[0], ("PEER_CLOSED", "PEER_RESET"))
                self.assertNothingHappened()

    def test_a_reset_in_the_middle(self):
        self.serve()
        for how in NEEDS:
            with self.subTest(how=how):
                peer = self.ready(how)
                peer.send(b"half a li")
                peer.reset()
                self.assertEqual(self.closed(), ("PEER_RESET",))
                self.assertNothingHappened()

    @unittest.skipIf(LANGUAGE == "node", "Node knows no limit of a line")
    def test_a_long_line(self):
        self.serve()
        for how in "until", "line", "lines":
            for rest in b"", b"\n":
                with self.subTest(how=how, rest=rest):
                    peer = self.ready(how)
                    peer.send(70_000 * b"x" + rest)
                    self.assertEqual(peer.read(1), b"")  # And FIN, not RST.
                    peer.socket.close()
                    self.assertEqual(self.closed(), ("HANDLER_DONE",))
                    self.assertNothingHappened()

    @unittest.skipIf(LANGUAGE == "python", "no such thing in asyncio")
    def test_a_write_after_the_peers_end(self):
        self.serve(HALF_OPEN="no")
        for how in "writes", "ends":
            with self.subTest(how=how):
                peer = self.enterContext(
                    Peer(self.address, f"late {how}", 64 * 1024))
                peer.send_eof()
                self.assertEqual(len(peer.read(17 * BLOCK)), 16 * BLOCK)
                self.assertEqual(self.worker.report(), {"code": "EPIPE"})
                self.assertEqual(self.closed(), ("PEER_CLOSED",))
                self.assertNothingHappened()

    @unittest.skipIf(LANGUAGE == "python", "no such thing in asyncio")
    def test_a_loop_that_is_left(self):
        self.serve()
        for _ in range(2):
            peer = self.enterContext(Peer(self.address, "leave"))
            peer.send(b"x")
            self.assertEqual(peer.read(2), b"x")
            self.assertEqual(self.closed(), ("HANDLER_DONE",))
            self.assertNothingHappened()

    def serve_on(self, **environment):
        self.serve(handler_pb2.ON_HANDLER_ERROR_IGNORE, **environment)

    def test_faults_are_told(self):
        self.serve_on()
        for how, text in FAULTS.items():
            with self.subTest(how=how):
                with Peer(self.address, f"err {how}") as peer:
                    peer.send(b"\xff")
                    peer.send_eof()
                    error = self.watch.next("handler_error")
                    self.assertIn(text, error.message)

    def test_what_happens_to_other_connections_is_told(self):
        self.serve_on()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(TIMEOUT)
            for text, leave in zip(FAR, (socket.socket.close, reset)):
                if text is None:
                    continue
                with Peer(self.address,
                          f"err far {server.getsockname()[1]}") as peer:
                    peer.send_eof()
                    far, _ = server.accept()
                    leave(far)
                    error = self.watch.next("handler_error")
                    self.assertIn(text, error.message)

    @unittest.skipIf(LANGUAGE == "python", "no such thing in asyncio")
    def test_faults_after_the_peers_end_are_told(self):
        self.serve_on(HALF_OPEN="no")
        for how, text in {"throws": "not late",
                          "writes elsewhere": "write after end"}.items():
            with self.subTest(how=how):
                peer = self.enterContext(
                    Peer(self.address, f"late {how}", 64 * 1024))
                peer.send_eof()
                self.assertEqual(len(peer.read(17 * BLOCK)), 16 * BLOCK)
                error = self.watch.next("handler_error")
                self.assertIn(text, error.message)


if __name__ == "__main__":
    main()
