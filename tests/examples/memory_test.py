"""What one stalled connection costs the daemon, in each direction."""

import select
import unittest

from harness import (Daemon, Peer, Worker, main, poll_until,
                     raise_descriptor_limit)

CONNECTIONS = 1000
WARM_UP = 100
LIMIT = 256 * 1024
# One is read ahead of a peer that does not read.
FRAME = 64 * 1024
LARGE_FRAME = 256 * 1024
# The kernel's buffers, of all connections together: they are not the daemon's.
SOCKET_BUFFER = 64 * 1024
# Consecutive equal readings, 10 ms apart, after which nothing moves any more.
STILL = 100


class MemoryTest(unittest.TestCase):

    def setUp(self):
        raise_descriptor_limit()
        self.daemon = self.enterContext(Daemon())
        self.address = self.daemon.create(
            "a", buffer_age_limit={"unlimited": {}})
        self.enterContext(Worker("worker", self.daemon, "a"))

    def wait_until_still(self):
        """Until no byte has moved for a while."""
        last, equal = None, 0

        def still():
            nonlocal last, equal
            status = self.daemon.get("a").status
            now = status.bytes_received_total, status.bytes_sent_total
            last, equal = now, equal + 1 if now == last else 0
            return equal >= STILL

        poll_until(still, "nothing moves")

    def stall(self, command, count, sends):
        """Peers that never read, and send what they can if they are to."""
        peers = [Peer(self.address, command, SOCKET_BUFFER)
                 for _ in range(count)]
        by_descriptor = {peer.socket.fileno(): peer for peer in peers}
        poll = select.poll()
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLOUT)
        # Whatever is on the way, each peer has more.
        while sends and (ready := poll.poll(1000)):
            for descriptor, _ in ready:
                by_descriptor[descriptor].fill()
        self.wait_until_still()
        return peers

    def growth(self, command, sends):
        """Bytes for each connection that is stalled."""
        for peer in self.stall(command, WARM_UP, sends):
            peer.reset()
        poll_until(lambda: self.daemon.get("a").status.num_connections == 0,
                   "no connections after the warm-up")
        before = self.daemon.resident_bytes()
        peers = self.stall(command, CONNECTIONS, sends)
        grown = self.daemon.resident_bytes() - before
        self.assertEqual(self.daemon.get("a").status.num_connections,
                         CONNECTIONS)
        for peer in peers:
            peer.reset()
        print(f"{command}: {grown // CONNECTIONS} bytes a connection")
        return grown / CONNECTIONS

    def test_workers_that_do_not_read(self):
        self.assertLessEqual(self.growth("stall", sends=True), LIMIT)

    def test_peers_that_do_not_read(self):
        self.assertLessEqual(self.growth("flood", sends=False), LIMIT + FRAME)

    def test_all_are_sent_to_at_once_after_a_while(self):
        """Nobody takes what the connections may hold for a flood."""
        peers = [Peer(self.address, buffer=SOCKET_BUFFER)
                 for _ in range(CONNECTIONS)]
        poll_until(lambda: len(self.daemon.connections("a")) == CONNECTIONS,
                   "all are connected")
        # Of memory the daemon compares the last second or two.
        for _ in range(3):
            self.wait_until_still()
        for peer in peers:
            peer.send(b"flood_large\n")
        self.wait_until_still()
        self.assertEqual(self.daemon.get("a").status.num_connections,
                         CONNECTIONS)
        for peer in peers:
            peer.reset()

    def test_peers_that_do_not_read_large_frames(self):
        self.assertLessEqual(self.growth("flood_large", sends=False),
                             LIMIT + LARGE_FRAME)


if __name__ == "__main__":
    main()
