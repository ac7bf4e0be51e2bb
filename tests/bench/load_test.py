"""The load generator: right counts with servers that are right, and errors with
those that are not."""

import json
import socket
import subprocess
import threading
import unittest

import loads
import machine
import servers
from processes import binary

CPU = machine.cpus()[0]
# The units of each mode, and the flags for a run that takes no time.
MODES = {
    "short": (200, ("--connections", 4, "--end", "fin")),
    "rr": (500, ("--connections", 4)),
    "bulk": (16, ("--connections", 2)),
    "flood": (300, ("--connections", 4, "--clients", 2)),
}


def run(mode, port, *flags):
    """The report of a run that need not go well."""
    done = subprocess.run(
        [binary("bench/load"), mode, "--to", f"127.0.0.1:{port}",
         *map(str, flags)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150,
        check=True)
    return json.loads(done.stdout)


class RightServersTest(unittest.TestCase):
    def check(self, server):
        for mode, (units, flags) in MODES.items():
            with self.subTest(mode):
                report = run(mode, server.port, "--units", units, *flags)
                self.assertEqual(report["errors"], 0, report["first_error"])
                self.assertEqual(report["units"], units)
                self.assertGreater(report["latency_us"]["p50"], 0)
                if mode == "flood":
                    self.assertGreater(report["aborted"], 0)
        with self.subTest("resets"):
            report = run("short", server.port, "--units", 200, "--end", "rst")
            self.assertEqual((report["units"], report["errors"]), (200, 0))
        with self.subTest("long messages"):
            # More than sockets and buffers take: parts of it are written.
            report = run("rr", server.port, "--units", 5, "--size", 5_000_000)
            self.assertEqual((report["units"], report["errors"]), (5, 0))
        with self.subTest("idle"), loads.IdleConnections(
                CPU, server.port, 10) as idle:
            idle.grow(40)
            idle.end()

    def test_echoes(self):
        for name, start in servers.ECHOES.items():
            with self.subTest(name), start(CPU) as server:
                self.check(server)

    def test_forwards(self):
        for name in ("portreeve", "raw", "asio"):
            with self.subTest(name), servers.Peer("raw_echo", CPU) as upstream:
                with servers.FORWARDS[name](CPU, upstream.port) as server:
                    self.check(server)

    def test_the_server_is_measured_while_the_load_works(self):
        with servers.Peer("raw_echo", CPU) as server:
            sample = loads.tcp_sample(
                server, CPU, "rr", ("--units", 500),
                lambda spent, report: (spent, report["units"]))
        spent, units = sample.value
        self.assertEqual(units, 500)
        self.assertGreater(spent, 0)
        self.assertEqual(set(sample.latency), {"p50", "p99", "p999"})

    def test_wrong_reports_end_the_benchmark(self):
        with WrongServer(lambda data: data[:-1] + b"?") as server:
            with self.assertRaisesRegex(RuntimeError, "wrong echo"):
                loads.tcp_sample(server, CPU, "rr", (), lambda *_: 0)


class WrongServer:
    """Answers with what `answer` makes of what comes; None closes."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def cpu_ns(self):
        return 0

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                self.serve(client)

    def serve(self, client):
        try:
            while data := client.recv(1 << 16):
                answer = self.answer(data)
                if answer is None:
                    return
                client.sendall(answer)
        except OSError:
            pass  # The client has seen enough.


class WrongServersTest(unittest.TestCase):
    def check(self, answer, error, modes=("short", "rr", "bulk", "flood")):
        for mode in modes:
            with self.subTest(mode), WrongServer(answer) as server:
                report = run(mode, server.port, "--units", 1, "--connections",
                             1, "--clients", 1)
                self.assertGreater(report["errors"], 0)
                self.assertRegex(report["first_error"], error)
                self.assertEqual(report["units"], 0)

    def test_a_changed_byte(self):
        self.check(lambda data: data[:-1] + bytes([data[-1] ^ 1]), "wrong echo")

    def test_bytes_of_another_place(self):
        self.check(lambda data: data[1:] + data[:1], "wrong echo")

    def test_a_close_before_the_echo(self):
        # Unread bytes make the close a reset.
        self.check(lambda data: None, "closed early|recv|send")

    def test_more_than_was_sent(self):
        # A bulk echo that is ahead shows as bytes that are not its turn's.
        self.check(lambda data: data + data[-1:],
                   "more than was sent|wrong echo")

    def test_nobody(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        for mode in ("short", "rr", "bulk", "flood"):
            with self.subTest(mode):
                report = run(mode, port, "--units", 3)
                self.assertGreater(report["errors"], 0)
                self.assertIn("refused", report["first_error"])
                self.assertEqual(report["units"], 0)

    def test_silence_ends_at_the_timeout(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            for mode in ("short", "rr", "bulk"):
                with self.subTest(mode):
                    report = run(mode, port, "--units", 1, "--timeout", 1)
                    self.assertEqual(report["first_error"], "timeout")
                    self.assertEqual(report["units"], 0)


if __name__ == "__main__":
    unittest.main()
