"""What a handler in another language sees of a socket, and its peer of it."""

import hashlib
import socket
import threading
import unittest

from harness import BLOCK, Daemon, Peer, Watch, Worker, blocks, main

MEGABYTES = 100
STALLED = 20


class SocketTest(unittest.TestCase):

    def setUp(self):
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create("a")

    def worker(self, program="worker"):
        return self.enterContext(Worker(program, self.daemon, "a"))

    def peer(self, command=None):
        return self.enterContext(Peer(self.address, command))

    def test_echo_of_100_megabytes(self):
        self.worker("echo")
        peer = self.peer()
        sent, received, size = hashlib.sha256(), hashlib.sha256(), 0

        def send():
            for block in blocks(MEGABYTES):
                sent.update(block)
                peer.send(block)
            peer.send_eof()

        sender = threading.Thread(target=send)
        sender.start()
        while data := peer.socket.recv(BLOCK):
            received.update(data)
            size += len(data)
        sender.join()
        self.assertEqual(size, MEGABYTES * BLOCK)
        self.assertEqual(received.hexdigest(), sent.hexdigest())

    def test_slow_readers_beside_a_fast_one(self):
        self.worker()
        unread = [self.peer("flood") for _ in range(STALLED)]
        untaken = [self.peer("stall") for _ in range(STALLED)]
        for peer in untaken:
            peer.fill()
        fast = self.peer("echo")
        fast.line()
        for block in blocks(16):
            self.assertEqual(fast.echo(block[:BLOCK // 2]), block[:BLOCK // 2])
        # They are stalled: each peer has more to give than was taken.
        for peer in untaken:
            peer.fill()
        taken = sorted(c.bytes_received for c in self.daemon.connections("a"))
        self.assertEqual(taken.pop(), 16 * BLOCK // 2 + len("echo\n"))
        self.assertLess(taken.pop(), 4 * BLOCK)
        # And not broken.
        for peer in unread:
            self.assertEqual(len(peer.read(4 * BLOCK)), 4 * BLOCK)

    def test_fin_from_the_peer_first(self):
        self.worker()
        peer = self.peer("eof_last 64")
        for block in blocks(3):
            peer.send(block)
        peer.send_eof()
        self.assertEqual(peer.line(), f"{3 * BLOCK}\n")
        self.assertEqual(len(peer.read(64 * BLOCK)), 64 * 64 * 1024)

    def test_fin_from_the_worker_first(self):
        worker = self.worker()
        with Watch(self.daemon) as watch:
            peer = self.peer("eof_first")
            self.assertEqual(peer.read(BLOCK), b"bye\n")  # And EOF.
            digest = hashlib.sha256()
            for block in blocks(8):
                digest.update(block)
                peer.send(block)
            peer.send_eof()
            self.assertEqual(worker.report(), {
                "size": 8 * BLOCK,
                "sha256": digest.hexdigest()
            })
            self.assertEqual(set(watch.closed(1).values()), {"PEER_CLOSED"})

    def test_reset_by_the_peer(self):
        worker = self.worker()
        with Watch(self.daemon) as watch:
            peer = self.peer("follow reads")
            self.assertEqual(peer.line(), "ready\n")
            peer.reset()
            self.assertEqual(worker.report(), {
                "size": 0,
                "end": False,
                "lost": "ECONNRESET",
                "reason": "PEER_RESET"
            })
            self.assertEqual(set(watch.closed(1).values()), {"PEER_RESET"})

    def test_reset_by_the_worker(self):
        self.worker()
        with Watch(self.daemon) as watch:
            peer = self.peer("reset")
            with self.assertRaises(ConnectionResetError):
                peer.read(1)
            self.assertEqual(set(watch.closed(1).values()), {"HANDLER_DONE"})

    def test_dial(self):
        self.worker()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            peer = self.peer(f"dial {port}")
            far, _ = server.accept()
            with far:
                self.assertEqual(far.makefile("rb").read(), b"dialled\n")
                far.sendall(b"from afar\n")
            self.assertEqual(peer.read(BLOCK), b"from afar\n")
        peer = self.peer(f"dial_refused {port}")
        self.assertEqual(peer.read(BLOCK), b"refused\n")

    def test_chat(self):
        self.worker("chat")
        first = self.peer()
        own = first.line()
        self.assertRegex(own, r"^\* connections/\S+ is here\n$")
        second = self.peer()
        self.assertEqual(first.line(), second.line())  # The second is here.
        second.send(b"hello\n")
        said = first.line()
        self.assertRegex(said, r"^<connections/\S+> hello\n$")
        name = said[1:said.index(">")]
        first.send(b"hi\n")
        self.assertRegex(second.line(), r"^<connections/\S+> hi\n$")
        second.reset()
        self.assertEqual(first.line(), f"* {name} has left\n")


if __name__ == "__main__":
    main()
