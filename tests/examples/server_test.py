"""How a worker begins and ends, as a program that uses the module."""

import signal
import subprocess
import unittest

from harness import TIMEOUT, Daemon, Peer, Watch, Worker, command, main
from portreeve.v1 import listener_pb2


class ServerTest(unittest.TestCase):

    def setUp(self):
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create("a")

    def worker(self):
        return self.enterContext(Worker("echo", self.daemon, "a"))

    def peer(self):
        return self.enterContext(Peer(self.address))

    def close_listener(self):
        self.daemon.listeners.CloseListener(
            listener_pb2.CloseListenerRequest(name="listeners/a"),
            timeout=TIMEOUT)

    def test_interrupted(self):
        worker = self.worker()
        peer = self.peer()
        self.assertEqual(peer.echo(b"before"), b"before")
        with Watch(self.daemon) as watch:
            worker.process.send_signal(signal.SIGINT)
            worker.process.wait(TIMEOUT)
            with self.assertRaises(ConnectionResetError):
                peer.read(1)
            self.assertEqual(set(watch.closed(1).values()), {"CLIENT_GONE"})
        self.assertEqual(self.daemon.state("a"), "LISTENER_STATE_LISTENING")

    def test_peers_wait_for_a_worker(self):
        peer = self.peer()
        peer.send(b"early")
        self.worker()
        self.assertEqual(peer.read(5), b"early")

    def test_ends_with_its_listener(self):
        worker = self.worker()
        peer = self.peer()
        self.assertEqual(peer.echo(b"before"), b"before")
        self.close_listener()
        self.assertEqual(peer.echo(b"after"), b"after")
        self.assertIsNone(worker.process.poll())
        peer.send_eof()
        self.assertEqual(peer.read(1), b"")
        self.assertEqual(worker.process.wait(TIMEOUT), 0)

    def test_ends_with_its_daemon_if_it_is_to(self):
        for ending in signal.SIGKILL, signal.SIGTERM:
            with self.subTest(ending=ending):
                worker = self.enterContext(
                    Worker("worker", self.daemon, "a", RETRY_FOR="0"))
                self.daemon.process.send_signal(ending)
                self.assertEqual(worker.process.wait(TIMEOUT), 1)
                self.daemon.process.wait(TIMEOUT)
                self.setUp()

    def test_comes_back_to_the_next_daemon(self):
        for ending in signal.SIGKILL, signal.SIGTERM:
            with self.subTest(ending=ending):
                worker = self.worker()
                self.daemon.process.send_signal(ending)
                self.daemon.process.wait(TIMEOUT)
                self.daemon = self.enterContext(
                    Daemon(target=self.daemon.target))
                # It has found none until now.
                self.address = self.daemon.create("a")
                self.assertEqual(self.peer().echo(b"again"), b"again")
                worker.process.send_signal(signal.SIGINT)
                worker.process.wait(TIMEOUT)

    def test_ends_where_its_listener_was_closed_meanwhile(self):
        worker = self.worker()
        # It sees nothing until there is the next daemon.
        worker.process.send_signal(signal.SIGSTOP)
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait(TIMEOUT)
        self.daemon = self.enterContext(Daemon(target=self.daemon.target))
        self.daemon.create("a")
        self.close_listener()
        worker.process.send_signal(signal.SIGCONT)
        self.assertEqual(worker.process.wait(TIMEOUT), 0)

    def test_refused(self):
        self.close_listener()
        for listener_id, reason in ("a", "closed"), ("b", "NOT_FOUND|5"):
            result = subprocess.run(
                command("echo") + [f"listeners/{listener_id}",
                                   self.daemon.target],
                capture_output=True, text=True, timeout=TIMEOUT, check=False)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertRegex(result.stderr, reason)


if __name__ == "__main__":
    main()
