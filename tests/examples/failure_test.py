"""Workers that are killed, and handlers that raise, under every policy."""

import unittest

from harness import Daemon, Peer, Watch, Worker, main, poll_until
from portreeve.v1 import connection_pb2, handler_pb2, listener_pb2

PEERS = 16
POLICIES = {
    "RAISE": handler_pb2.ON_HANDLER_ERROR_RAISE,
    "IGNORE": handler_pb2.ON_HANDLER_ERROR_IGNORE,
    "CALL": handler_pb2.ON_HANDLER_ERROR_CALL,
}


class FailureTest(unittest.TestCase):

    def listen(self, policy):
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create(
            "a", on_handler_error=POLICIES[policy])

    def peer(self, command):
        return self.enterContext(Peer(self.address, command))

    def test_worker_killed_in_mid_stream(self):
        for policy in POLICIES:
            with self.subTest(policy=policy):
                self.kill_a_worker(policy)

    def kill_a_worker(self, policy):
        self.listen(policy)
        survivor = self.enterContext(Worker("worker", self.daemon, "a"))
        with self.peer("echo") as peer, Watch(self.daemon) as watch:
            # So that all that the survivor needs is there.
            self.assertEqual(int(peer.line()), survivor.process.pid)
            self.assertEqual(peer.echo(b"before"), b"before")
            before = self.daemon.descriptors()

            victim = self.enterContext(Worker("worker", self.daemon, "a"))
            mine, lost = self.connect_to_both(victim)
            for peer_of_victim in lost:
                peer_of_victim.fill()
            victim.kill()
            for peer_of_victim in lost:
                with self.assertRaises(ConnectionResetError):
                    while peer_of_victim.socket.recv(1 << 20):
                        pass
            self.assertEqual(list(watch.closed(len(lost)).values()),
                             ["CLIENT_GONE"] * len(lost))

            for peer_of_survivor in mine:
                self.assertEqual(peer_of_survivor.echo(b"after"), b"after")
                peer_of_survivor.send_eof()
                self.assertEqual(peer_of_survivor.read(1), b"")
            self.assertEqual(list(watch.closed(len(mine)).values()),
                             ["PEER_CLOSED"] * len(mine))
            self.assertEqual(peer.echo(b"after"), b"after")
            self.assertUnharmed(survivor, peer)
            poll_until(lambda: self.daemon.descriptors() <= before,
                       "descriptors as before")
            self.assertEqual(self.daemon.descriptors(), before)

    def connect_to_both(self, victim):
        """Returns the peers of the other worker, and those of the victim."""
        mine, lost = [], []
        for _ in range(PEERS):
            peer = self.peer("echo")
            is_victims = int(peer.line()) == victim.process.pid
            (lost if is_victims else mine).append(peer)
        self.assertEqual(len(mine), PEERS // 2)  # Offered in turn.
        return mine, lost

    def assertUnharmed(self, worker, live):
        """The listener accepts for `worker`, and counts `live` alone."""
        with Peer(self.address, "echo") as peer:
            self.assertEqual(int(peer.line()), worker.process.pid)
            peer.send_eof()
            self.assertEqual(peer.read(1), b"")
        self.assertEqual(live.echo(b"alive"), b"alive")
        self.assertEqual(self.daemon.state("a"), "LISTENER_STATE_LISTENING")
        status = self.daemon.get("a").status
        self.assertEqual(status.handler_errors_total, 0)

    def raise_in_a_handler(self, policy, verdict=""):
        """Returns the worker, and the HandlerError event."""
        self.listen(policy)
        worker = self.enterContext(
            Worker("worker", self.daemon, "a", VERDICT=verdict))
        self.other = self.peer("echo")
        self.other.line()
        self.watch = self.enterContext(Watch(self.daemon))
        peer = self.peer("fail something broke")
        self.assertEqual(peer.read(100), b"flushed\n")  # And FIN, not RST.
        closed = self.watch.next("connection_closed").connection
        self.assertEqual(closed.close_reason,
                         connection_pb2.CLOSE_REASON_HANDLER_ERROR)
        event = self.watch.next("handler_error")
        self.assertEqual(event.listener, "listeners/a")
        self.assertEqual(event.connection, closed.name)
        self.assertIn("something broke", event.message)
        return worker, event

    def assertRaised(self):
        """The listener is closed; its other connection lives."""
        finished = self.watch.next("listener_close_finished").listener
        self.assertEqual(finished.status.close_cause,
                         listener_pb2.CLOSE_CAUSE_HANDLER_ERROR)
        with self.assertRaises(ConnectionRefusedError):
            Peer(self.address)
        self.assertEqual(self.other.echo(b"alive"), b"alive")

    def assertReturned(self, worker):
        self.assertEqual(self.other.echo(b"alive"), b"alive")
        with Peer(self.address, "echo") as peer:
            self.assertEqual(int(peer.line()), worker.process.pid)
        self.assertEqual(self.daemon.state("a"), "LISTENER_STATE_LISTENING")
        self.assertEqual(self.daemon.get("a").status.handler_errors_total, 1)

    def test_raised_with_raise(self):
        _, event = self.raise_in_a_handler("RAISE")
        self.assertEqual(event.outcome, handler_pb2.HANDLER_VERDICT_RAISE)
        self.assertRaised()

    def test_raised_with_ignore(self):
        worker, event = self.raise_in_a_handler("IGNORE")
        self.assertEqual(event.outcome, handler_pb2.HANDLER_VERDICT_RETURN)
        self.assertReturned(worker)

    def test_raised_with_call_that_returns(self):
        worker, event = self.raise_in_a_handler("CALL", verdict="return")
        self.assertEqual(event.outcome, handler_pb2.HANDLER_VERDICT_RETURN)
        asked = worker.report()
        self.assertEqual(asked["connection"], event.connection)
        self.assertEqual(asked["message"], event.message)
        self.assertReturned(worker)

    def test_raised_with_call_that_raises(self):
        worker, event = self.raise_in_a_handler("CALL", verdict="raise")
        self.assertEqual(event.outcome, handler_pb2.HANDLER_VERDICT_RAISE)
        self.assertEqual(worker.report()["connection"], event.connection)
        self.assertRaised()


if __name__ == "__main__":
    main()
