"""The witness beside upgrades sees what servers do that are not right."""

import argparse
import contextlib
import socket
import threading
import unittest
from unittest import mock

import upgrade_witness as witness


class Server:
    """Calls `serve` for each connection; and then closes it."""

    def __init__(self, serve):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        self.serve = serve
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            sock, _ = self.listening.accept()
            self.count += 1
            threading.Thread(target=self._serve, args=(sock, self.count),
                             daemon=True).start()

    def _serve(self, sock, number):
        with sock, contextlib.suppress(OSError):
            self.serve(sock, number)


def echo(sock, _):
    while data := sock.recv(65536):
        sock.sendall(data)


def echo_once(sock, _):
    sock.sendall(sock.recv(65536))


def refused():
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()


def options(connections):
    return argparse.Namespace(connections=connections)


class WitnessTest(unittest.TestCase):
    def setUp(self):
        self.loop = witness.Loop()
        self.addCleanup(self.close)

    def close(self):
        for key in list(self.loop.selector.get_map().values()):
            key.fileobj.close()
        self.loop.selector.close()

    def run_until(self, condition):
        while not condition():
            self.loop.step()

    def test_what_comes_back_is_right(self):
        server = Server(echo)
        pulse = witness.Pulse(self.loop, server.address, options(3))
        self.run_until(lambda: pulse.ping.answers > 5
                       and pulse.fresh.count > 2)
        seen = pulse.take()
        for what in ("ping", "fresh"):
            self.assertEqual((seen[what]["cut"], seen[what]["failed"]), (0, 0))
        self.assertEqual(seen["ping"]["wrong"], 0)
        self.assertEqual(pulse.end(), {"alive": 3, "idle": 3})
        self.assertEqual(pulse.take()["fresh"]["count"], 0)

    def test_a_ping_that_is_cut_comes_back(self):
        def serve(sock, number):
            (echo_once if number == 1 else echo)(sock, number)

        server = Server(serve)
        ping = witness.Ping(self.loop, server.address)
        self.run_until(lambda: ping.cut and ping.is_heard)
        self.assertEqual((ping.cut, ping.wrong), (1, 0))

    def test_a_ping_that_cannot_come_back_has_failed(self):
        server = Server(echo_once)
        ping = witness.Ping(self.loop, server.address)
        ping.address = refused()
        self.run_until(lambda: ping.failed > 1)
        seen = ping.take()
        self.assertEqual(seen["cut"], 1)
        self.assertGreater(seen["why"]["ECONNREFUSED"], 1)

    def test_a_pings_wrong_byte_is_seen(self):
        def serve(sock, _):
            while data := sock.recv(65536):
                sock.sendall(data.replace(b"3", b"4"))

        ping = witness.Ping(self.loop, Server(serve).address)
        self.run_until(lambda: ping.answers > 5)
        self.assertEqual(ping.wrong, 1)

    def test_a_refused_connect_is_no_cut_one(self):
        shorts = witness.Shorts(self.loop, refused())
        shorts.begin()
        self.run_until(lambda: shorts.failed)
        self.assertEqual(shorts.take()["why"], {"ECONNREFUSED": 1})

    def test_an_end_without_an_answer_is_a_cut_one(self):
        server = Server(lambda sock, _: sock.recv(1))
        shorts = witness.Shorts(self.loop, server.address)
        shorts.begin()
        self.run_until(lambda: shorts.cut)
        self.assertEqual((shorts.failed, shorts.count), (0, 0))

    def test_idle_ones_that_have_ended_are_missed(self):
        def serve(sock, number):
            (echo_once if number == 2 else echo)(sock, number)

        still = witness.Still(self.loop, Server(serve).address, options(3))
        self.assertEqual(still.end(), {"alive": 2, "idle": 3})

    def test_bulk_bytes_are_compared(self):
        bulk = witness.Bulk(self.loop, Server(echo).address, options(2))
        self.run_until(lambda: bulk.bytes > 8 * witness.SIZE)
        seen = bulk.take()
        self.assertEqual((seen["wrong"], seen["cut"]), (0, 0))
        self.assertEqual(bulk.end(), {"alive": 2})

    def test_one_wrong_byte_of_bulk_is_seen(self):
        def serve(sock, number):
            total = 0
            while data := bytearray(sock.recv(65536)):
                if number == 2 and total < 1_000_000 <= total + len(data):
                    data[1_000_000 - total - 1] ^= 1
                total += len(data)
                sock.sendall(data)

        bulk = witness.Bulk(self.loop, Server(serve).address, options(2))
        self.run_until(lambda: min(
            stream.received for stream in bulk.streams) > 2_000_000)
        self.assertEqual(bulk.take()["wrong"], 1)

    def test_another_streams_bytes_are_wrong(self):
        first = witness.PATTERN[:100]
        self.assertNotEqual(
            first, witness.PATTERN[witness.SPREAD:witness.SPREAD + 100])

    def test_bulk_that_ends_is_cut(self):
        def serve(sock, number):
            (echo_once if number == 1 else echo)(sock, number)

        bulk = witness.Bulk(self.loop, Server(serve).address, options(2))
        self.run_until(lambda: bulk.cut)
        self.assertEqual(bulk.end(), {"alive": 1})

    def test_bulk_that_ends_at_its_first_byte_is_cut(self):
        def connected_to_nobody(_):
            sock, peer = socket.socketpair()
            peer.close()
            return sock

        with mock.patch.object(witness, "connected", connected_to_nobody):
            bulk = witness.Bulk(self.loop, None, options(2))
        self.assertEqual(bulk.end(), {"alive": 0})
        self.assertEqual(bulk.take()["why"], {"EPIPE": 2})


if __name__ == "__main__":
    unittest.main()
