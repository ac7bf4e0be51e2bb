"""portreeved --fdstore: the sockets of listeners outlive the process."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from service_manager import (SERVED, TIMEOUT, Clients, Daemon,
                             DescriptorStore, listening)


class FdStoreTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.store = DescriptorStore(f"{self.folder}/notify")
        self.addCleanup(self.store.__exit__)

    def daemon(self, *flags, state=True):
        """One that the service manager starts with what it keeps."""
        if state:
            flags = ("--state", f"{self.folder}/state", *flags)
        daemon = Daemon("--fdstore", "--control", "tcp:127.0.0.1:0", *flags,
                        sockets=self.store.sockets(),
                        NOTIFY_SOCKET=self.store.name)
        self.addCleanup(daemon.__exit__)
        daemon.until_ready()
        (daemon.control,) = daemon.printed("control")
        return daemon

    @staticmethod
    def cli(daemon, *arguments):
        done = subprocess.run(
            ["client/portreeve", "--server", daemon.control, *arguments],
            text=True, capture_output=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, daemon, name, where="tcp:127.0.0.1:0", *flags):
        """Gives the address at which it listens."""
        self.cli(daemon, "create", name, "--listen", where, "--echo", *flags)
        self.store.until(lambda kept: f"listener-{name}" in kept)
        status = json.loads(
            self.cli(daemon, "get", name, "--output", "json"))["status"]
        (on,) = status["listeningOn"].values()
        return on["path"] if "path" in on else (on["address"], on["port"])

    @staticmethod
    def connect(address):
        client = socket.socket(
            socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        client.settimeout(TIMEOUT)
        client.connect(address)
        return client

    def kill(self, daemon):
        daemon.kill(signal.SIGKILL)
        daemon.wait()

    def test_who_comes_between_two_lives_is_served_in_the_second(self):
        daemon = self.daemon()
        addresses = [self.create(daemon, "web"),
                     self.create(daemon, "api", f"unix:{self.folder}/api")]
        for _ in range(2):
            self.kill(daemon)
            early = [self.connect(address) for address in addresses]
            daemon = self.daemon()
            for client in early:
                with client:
                    client.sendall(SERVED)
                    self.assertEqual(client.recv(1), SERVED)
            self.assertNotIn("FAILED", self.cli(daemon, "list"))
        self.assertEqual(len(self.store.sockets()), 2)

    def test_nobody_is_refused_over_kill_9(self):
        daemon = self.daemon()
        address = self.create(daemon, "web")
        Clients(lambda: self.connect(address)).expect_none_is_refused_over_kill_9(
            daemon, self.daemon)

    def test_what_is_closed_is_kept_no_more(self):
        daemon = self.daemon()
        for again in (False, True):  # Then it is one that was kept before.
            for where in ("tcp:127.0.0.1:0", f"unix:{self.folder}/web"):
                with self.subTest(where, again=again):
                    address = self.create(daemon, "web", where)
                    if again:
                        self.kill(daemon)
                        daemon = self.daemon()
                    self.cli(daemon, "close", "web")
                    # That has waited until the manager had no copy.
                    self.assertEqual(self.store.sockets(), [])
                    with self.assertRaises((ConnectionRefusedError,
                                            FileNotFoundError)):
                        self.connect(address)
                    self.cli(daemon, "delete", "web")

    def test_a_close_resets_who_waits(self):
        daemon = self.daemon()
        address = self.create(daemon, "web", f"unix:{self.folder}/web",
                              "--max-connections", "1")
        with self.connect(address) as first:
            first.sendall(SERVED)
            self.assertEqual(first.recv(1), SERVED)
            with self.connect(address) as waiting:
                self.cli(daemon, "close", "web")
                with self.assertRaises(ConnectionResetError):
                    waiting.recv(1)
            first.sendall(SERVED)  # It goes on.
            self.assertEqual(first.recv(1), SERVED)

    def test_after_the_end_of_the_daemon_clients_wait(self):
        daemon = self.daemon()
        address = self.create(daemon, "web")
        path = self.create(daemon, "api", f"unix:{self.folder}/api")
        self.assertEqual(daemon.stop(), 0)
        early = [self.connect(address), self.connect(path)]
        daemon = self.daemon()
        for client in early:
            with client:
                client.sendall(SERVED)
                self.assertEqual(client.recv(1), SERVED)

    def test_listeners_of_flags_are_kept(self):
        flags = ("--listen", "tcp:127.0.0.1:0 echo")
        daemon = self.daemon(*flags, state=False)
        (printed,) = daemon.printed("listener")
        name, address = printed.split()
        name = name.removeprefix("listeners/")
        host, port = address.removeprefix("tcp:").rsplit(":", 1)
        self.store.until(lambda kept: f"listener-{name}" in kept)
        self.kill(daemon)
        # With port 0 another one is asked for; with the same, the socket.
        with self.connect((host, int(port))) as early:
            daemon = self.daemon("--listen", f"{address} echo", state=False)
            early.sendall(SERVED)
            self.assertEqual(early.recv(1), SERVED)

    def test_what_no_listener_wants_is_kept_no_more(self):
        other = listening(("127.0.0.1", 0))
        with self.store._changed:
            self.store.kept["listener-gone"] = [other]
        daemon = self.daemon()
        daemon.until_logged("no listeners/gone was to be opened")
        self.store.until(lambda kept: not kept)

    def test_a_manager_that_does_not_answer_is_not_waited_for_for_ever(self):
        daemon = self.daemon()
        self.create(daemon, "web")
        self.store.answers_barriers = False
        self.cli(daemon, "close", "web")
        daemon.until_logged("does not say that it has removed the socket")
        self.assertEqual(len(self.store.barriers), 1)

    def test_what_the_manager_takes_late_is_kept(self):
        daemon = self.daemon()
        with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as f:
            count = int(f.read()) + 20
        spec = """
name: listeners/l{}
spec:
  whereToListen: {{inet: {{address: 127.0.0.1}}}}
  handler: {{echo: {{}}}}
"""
        with open(f"{self.folder}/many.yaml", "w", encoding="ascii") as file:
            file.write("---".join(spec.format(i) for i in range(count)))
        self.store.reads.clear()
        self.cli(daemon, "apply", "-f", f"{self.folder}/many.yaml")
        # While others wait to be kept, one of them is closed.
        closing = threading.Thread(
            target=self.cli, args=(daemon, "close", f"l{count - 1}"))
        closing.start()
        self.store.reads.set()
        closing.join()
        self.store.until(lambda kept: kept == {
            f"listener-l{i}" for i in range(count - 1)})

    def test_a_manager_that_does_not_read_is_not_waited_for_for_ever(self):
        self.store.reads.clear()
        with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as f:
            count = int(f.read()) + 20
        daemon = self.daemon()
        for i in range(count):
            self.cli(daemon, "create", f"l{i}", "--listen", "tcp:127.0.0.1:0",
                     "--echo")
        self.cli(daemon, "close", f"l{count - 1}")
        daemon.until_logged(f"listeners/l{count - 1}: --fdstore: the service "
                            "manager may keep the socket")
        self.store.reads.set()

    def test_without_a_manager_it_is_said(self):
        daemon = Daemon("--fdstore", "--control", "tcp:127.0.0.1:0")
        self.addCleanup(daemon.__exit__)
        daemon.until_ready()
        daemon.until_logged("--fdstore: nobody is there to keep sockets")


if __name__ == "__main__":
    unittest.main()
