"""Many connections at once, over one channel."""

import unittest

from harness import (Daemon, Peer, Watch, Worker, main,
                     raise_descriptor_limit)

CONNECTIONS = 5000


class CrowdTest(unittest.TestCase):

    def test_5000_connections(self):
        raise_descriptor_limit()
        daemon = self.enterContext(Daemon())
        address = daemon.create("a", max_connections=CONNECTIONS)
        self.enterContext(Worker("echo", daemon, "a"))
        watch = self.enterContext(Watch(daemon))

        peers = []
        for number in range(CONNECTIONS):
            peers.append(self.enterContext(Peer(address, str(number))))
        for number, peer in enumerate(peers):
            self.assertEqual(peer.line(), f"{number}\n")
        # And once more, now that each is known to be served.
        self.assertEqual(daemon.get("a").status.num_connections, CONNECTIONS)
        for number, peer in enumerate(peers):
            peer.send(b"again %d\n" % number)
        for number, peer in enumerate(peers):
            self.assertEqual(peer.line(), f"again {number}\n")

        for peer in peers:
            peer.send_eof()
            self.assertEqual(peer.read(1), b"")
        self.assertEqual(set(watch.closed(CONNECTIONS).values()),
                         {"PEER_CLOSED"})
        status = daemon.get("a").status
        self.assertEqual(status.num_connections, 0)
        self.assertEqual(status.handler_errors_total, 0)


if __name__ == "__main__":
    main()
