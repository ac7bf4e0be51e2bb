"""No client closes the port of all: the example servers under a listener whose
policy is the default, by which one handler error closes it.
"""

import random
import unittest

from harness import BLOCK, Daemon, Peer, Watch, Worker, main

LONG = b"x" * 70_000
# What who chats is told of others.
CHAT = rb"(\* |<)[^\n]*\n"
# What a browser sends to a port that it takes for one of HTTPS.
CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(32)
NOISE = random.Random(1).randbytes(3000)
HEAD = b"POST /path HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


def send(data):
    return lambda peer: peer.send(data)


def read(size):
    return lambda peer: peer.read(size)


def read_line(peer):
    peer.line()


def fill(peer):
    peer.fill()


def close(peer):
    """FIN, or RST where the peer has left something unread."""
    peer.socket.close()


def half_close(peer):
    """FIN; reads what comes still."""
    try:
        peer.send_eof()
        while peer.socket.recv(1 << 20):
            pass
    except OSError:
        pass  # The server has ended, and did not want the rest.
    peer.socket.close()


def reset(peer):
    peer.reset()


LEAVES = close, half_close, reset


class HostileTest(unittest.TestCase):

    def serve(self, program):
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create("a")
        self.enterContext(Worker(program, self.daemon, "a"))
        self.watch = self.enterContext(Watch(self.daemon))

    def leave(self, steps, how):
        """A client that takes some steps and leaves."""
        with Peer(self.address) as peer:
            try:
                for step in steps:
                    step(peer)
            except ConnectionError:
                pass  # The server may end it at any step.
            how(peer)
            self.watch.closed(1)

    # What a peer may hear of others, whom the server has not done with yet.
    heard = rb""

    def assertServed(self, check):
        """By the listener, to which nothing has happened."""
        with Peer(self.address) as peer:
            check(peer)
            peer.send_eof()
            self.assertRegex(peer.read(BLOCK), rb"\A(" + self.heard + rb")*\Z")
        self.watch.closed(1)
        self.assertEqual(self.daemon.state("a"), "LISTENER_STATE_LISTENING")
        self.assertEqual(self.daemon.get("a").status.handler_errors_total, 0)

    def try_all(self, check, *clients):
        """Each of which leaves after each of its steps, in each way."""
        for number, steps in enumerate(clients):
            for count in range(len(steps) + 1):
                for how in LEAVES:
                    with self.subTest(client=number, steps=count,
                                      how=how.__name__):
                        self.leave(steps[:count], how)
                        self.assertServed(check)

    def test_echo(self):

        def check(peer):
            self.assertEqual(peer.echo(b"alive"), b"alive")

        self.serve("echo")
        self.try_all(
            check,
            [send(b"half a li"), read(4), send(b"ne\n"), read(8)],
            [send(LONG), read(len(LONG) // 2), send(b"\n")],
            [send(NOISE)],
            [fill],
        )

    def test_chat(self):
        self.heard = CHAT
        self.serve("chat")
        self.try_all(
            self.check_chat,
            [read_line, send(b"half a li"), send(b"ne\n"), send(b"more")],
            [send(LONG), send(LONG), send(b"\n")],
            [send(NOISE)],
            [send(CLIENT_HELLO)],
        )

    def test_a_line_without_end(self):
        """Whoever sends one is let go, before it fills the server's memory."""
        self.heard = CHAT
        self.serve("chat")
        with Peer(self.address) as peer:
            peer.line()
            peer.send(2 * LONG)
            self.assertEqual(peer.read(1), b"")
        self.watch.closed(1)
        self.assertServed(self.check_chat)

    def check_chat(self, peer):
        self.assertRegex(peer.line(), r"^\* connections/\S+ is here\n$")

    def test_http(self):

        def check(peer):
            peer.send(b"GET /alive HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = ""
            while not answer.endswith("GET /alive, 0 bytes\n"):
                line = peer.line()
                self.assertNotEqual(line, "")
                answer += line
            self.assertTrue(answer.startswith("HTTP/1.1 200 OK\r\n"))

        self.serve("http")
        self.try_all(
            check,
            [send(HEAD[:7]), send(HEAD[7:30]), send(HEAD[30:]),
             send(b"01234"), send(b"56789"), read(10), send(HEAD[:30])],
            [send(HEAD + b"0123456789" + HEAD + b"01")],
            [send(b"GET /" + LONG), send(b" HTTP/1.1\r\n\r\n")],
            [send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + LONG),
             send(b"\r\n\r\n")],
            [send(NOISE + b"\r\n\r\n")],
            [send(b"\xff\xfe \xff\r\n\r\n")],
            [send(b"GET\r\n\r\n")],
            [send(CLIENT_HELLO)],
            [send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n")],
            [send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" %
                  10**18), fill],
        )


if __name__ == "__main__":
    main()
