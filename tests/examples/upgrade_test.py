"""Connections that a worker serves, and has dialled, over upgrades of the
daemon: nobody notices."""

import contextlib
import os
import signal
import socket
import threading
import unittest

import grpc
from harness import (BLOCK, TIMEOUT, Daemon, Peer, Worker, blocks, main,
                     poll_until, raise_descriptor_limit)
from portreeve.v1 import daemon_pb2, daemon_pb2_grpc

UPGRADES = 10
BLOCKS = 100  # Each way.
MANY = 1500


class UpgradedDaemon(Daemon):

    def __init__(self):
        super().__init__()
        self.pids = [self.process.pid]

    def __exit__(self, *arguments):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        super().__exit__(*arguments)

    def describe(self):
        stub = daemon_pb2_grpc.DaemonServiceStub(self.channel)
        while True:
            try:
                return stub.GetDaemon(daemon_pb2.GetDaemonRequest(),
                                      timeout=TIMEOUT)
            except grpc.RpcError as error:  # It has crossed the upgrade.
                if error.code() not in (grpc.StatusCode.UNAVAILABLE,
                                        grpc.StatusCode.CANCELLED):
                    raise

    def upgrade(self):
        """Returns once the former process has nothing left."""
        os.kill(self.pids[-1], signal.SIGUSR2)
        self.line("portreeved: ready")
        poll_until(lambda: self.describe().pid not in self.pids,
                   "another process")
        self.pids.append(self.describe().pid)
        poll_until(lambda: not self.describe().HasField("predecessor"),
                   "the end of the former one")


class Bulk:
    """A peer that sends blocks, and reads them again."""

    def __init__(self, peer):
        self.peer = peer
        self.changed = threading.Condition()
        self.received = 0
        self.wrong = []
        self.may_send = threading.Semaphore(0)
        self.threads = [threading.Thread(target=f)
                        for f in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        try:
            for block in blocks(BLOCKS):
                self.may_send.acquire()
                self.peer.send(block)
            self.peer.send_eof()
        except OSError as error:
            self.wrong.append(error)

    def _receive(self):
        try:
            for number, block in enumerate(blocks(BLOCKS)):
                if self.peer.read(BLOCK) != block:
                    self.wrong.append(f"block {number}")
                with self.changed:
                    self.received += 1
                    self.changed.notify_all()
            if self.peer.read(1):
                self.wrong.append("more came")
        except OSError as error:
            self.wrong.append(error)
        with self.changed:
            self.received = BLOCKS
            self.changed.notify_all()

    def await_received(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: self.received >= count,
                                         TIMEOUT):
                raise AssertionError(f"{self.received} of {count} blocks")


def serve_echo(listener):
    """Sends back what comes over the first connection."""
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(BLOCK):
            connection.sendall(data)


class UpgradeTest(unittest.TestCase):

    def over_upgrades(self, command):
        with UpgradedDaemon() as daemon:
            address = daemon.create("a")
            with Worker("worker", daemon, "a") as worker, Peer(
                    address, command(worker)) as peer:
                if command(worker) == "echo":
                    self.assertEqual(peer.line(), f"{worker.process.pid}\n")
                bulk = Bulk(peer)
                share = BLOCKS // UPGRADES
                for number in range(UPGRADES):
                    for _ in range(share):
                        bulk.may_send.release()
                    # In the midst of it, both ways.
                    bulk.await_received(number * share + share // 4)
                    daemon.upgrade()
                for thread in bulk.threads:
                    thread.join()
                self.assertEqual(bulk.wrong, [])
                poll_until(lambda: not daemon.connections("a"), "its end")
                status = daemon.get("a").status
                self.assertEqual(status.accepted_total, 1)
                self.assertEqual(status.handler_errors_total, 0)
                # Who comes now is served as ever.
                with Peer(address, "echo") as later:
                    self.assertEqual(later.line(), f"{worker.process.pid}\n")
                    self.assertEqual(later.echo(b"hello"), b"hello")

    def test_an_accepted_one_notices_nothing(self):
        self.over_upgrades(lambda worker: "echo")

    def test_nor_does_a_dialled_one(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=serve_echo, args=(listener,),
                             daemon=True).start()
            port = listener.getsockname()[1]
            self.over_upgrades(lambda worker: f"relay {port}")

    def test_nor_do_more_than_a_client_may_ask_for_at_once(self):
        """Whose worker comes back for all of them."""
        raise_descriptor_limit()
        with UpgradedDaemon() as daemon, contextlib.ExitStack() as stack:
            address = daemon.create("a")
            worker = stack.enter_context(Worker("worker", daemon, "a"))
            peers = [stack.enter_context(Peer(address, "echo"))
                     for _ in range(MANY)]
            for peer in peers:
                self.assertEqual(peer.line(), f"{worker.process.pid}\n")
            daemon.upgrade()
            for number, peer in enumerate(peers):
                self.assertEqual(peer.echo(b"%06d" % number), b"%06d" % number)
            self.assertEqual(daemon.get("a").status.accepted_total, MANY)


if __name__ == "__main__":
    main()
