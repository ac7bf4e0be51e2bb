"""Connections of every kind, that go on while their daemon is upgraded."""

import collections
import functools
import socket

from daemon import tcp_inodes, unix_inodes
from streams import BLOCK, End, Loop, Short, Stream, Upstream

# What the ends of a connection do until the load finishes: whether the client,
# and the upstream, sends and reads, and how much they send at most, and at a
# time.
Manner = collections.namedtuple(
    "Manner", "sends reads up_sends up_reads most up_most block",
    defaults=(None, None, BLOCK))
BULK = Manner(True, True, True, True)
CLIENT_STALLS = Manner(True, False, True, True)
UPSTREAM_STALLS = Manner(True, True, True, False)
BOTH_STALL = Manner(True, False, True, False)
# What comes in small pieces the daemon holds as a copy, and not in a pipe.
BOTH_STALL_IN_PIECES = Manner(True, False, True, False, block=3000)
IDLE = Manner(True, True, True, True, 100, 100)
CLIENT_HAS_ENDED = Manner(True, True, True, True, 5000)
UPSTREAM_HAS_ENDED = Manner(True, True, True, True, None, 5000)
# The end is behind bytes that the daemon holds.
ENDED_BEHIND_MUCH = Manner(True, True, True, False, 900_000)
MANNERS = (BULK, BULK, BULK, CLIENT_STALLS, UPSTREAM_STALLS, BOTH_STALL,
           BOTH_STALL_IN_PIECES, IDLE, CLIENT_HAS_ENDED, UPSTREAM_HAS_ENDED,
           ENDED_BEHIND_MUCH)
# Of echo, where both are one.
ECHO_MANNERS = (BULK, CLIENT_STALLS, BOTH_STALL_IN_PIECES, IDLE,
                Manner(True, False, True, True, 900_000))
EARLY = Manner(True, True, True, True, 1000, 1000)

# How much every stream has to give that is not stalled.
SOME = 50_000
LIMIT = 5


def ends_at_limit(manner, most):
    return most is not None and manner not in (IDLE, EARLY)


class Link:
    """A connection: its client, and its upstream where it has one."""

    def __init__(self, load, number, listener, manner):
        address = load.addresses[listener]
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        sock = socket.socket(family)
        sock.connect(address)
        self.client_name = sock.getsockname()
        self.number = number
        self.listener = listener
        self.manner = manner
        self.upstream = None
        self.client = client = End(load.loop, sock, Stream(2 * number))
        client.block = manner.block
        client.limit = manner.most
        client.ends_at_limit = ends_at_limit(manner, manner.most)
        self.is_echo = "echo" in listener or listener == "limited"
        self.is_forward = not self.is_echo and listener != "discard"
        if self.is_echo:
            client.incoming = client.outgoing
            client.sender = client.receiver = client
        elif self.is_forward:
            client.incoming = Stream(2 * number + 1)
        else:
            # Nobody says how much has arrived.
            client.receiver = None
            client.limit = 1_000_000
        client.want(manner.sends, manner.reads)

    def reach(self, end):
        """`end` is its upstream."""
        self.upstream = end
        end.outgoing = self.client.incoming
        end.sender = end.receiver = self.client
        self.client.sender = self.client.receiver = end
        end.block = self.manner.block
        end.limit = self.manner.up_most
        end.ends_at_limit = ends_at_limit(self.manner, end.limit)
        end.may_be_reset = self.client.may_be_reset
        end.want(self.manner.up_sends, self.manner.up_reads)
        self.client.update()

    def ends(self):
        return [self.client] + ([self.upstream] if self.upstream else [])

    def flowing(self):
        """The ends to which bytes come without an end."""
        return [end for end in self.ends()
                if end.reads and end.sender is not None and end.sender.sends
                and end.sender.limit is None and not end.sender.has_ended]

    def bulk(self):
        """It sends what it has to, whatever it was like."""
        for end in self.ends():
            end.limit = None
            end.want(sends=True, reads=True)

    def finish(self):
        for end in self.ends():
            end.want(sends=False, reads=True)
            end.end()

    def is_done(self):
        return all(end.is_over for end in self.ends())

    def check(self, wrong):
        for end in self.ends():
            if end.sender is not None and (
                    end.received != end.sender.sent or not end.is_over):
                wrong.append(f"{self.listener}: {end.about()}, but "
                             f"{end.sender.sent} were sent")
        if self.is_forward and self.upstream is None:
            wrong.append(f"{self.listener}: no upstream was reached")

    def inodes(self, table):
        """Of the daemon's TCP sockets."""
        found = []
        for end in self.ends():
            if end.socket.family == socket.AF_INET and not end.is_over:
                key = end.socket.getpeername(), end.socket.getsockname()
                found.append(table.get(key))
        return found

    def close(self):
        for end in self.ends():
            end.close()


class Load:

    def __init__(self, daemon, count):
        self.daemon = daemon
        self.loop = Loop()
        self.addresses = {}
        self.links = {}
        self.held = []      # For good: those that the test looks at.
        self.doomed = []    # Those that a round resets,
        self.closing = []   # and those that it has the daemon close.
        self.sizes = {}     # How many bytes these have to give.
        self.closers = []   # Who has called for that.
        self.flushed = []   # What those have given: listener, client, bytes.
        self.limited = []
        self.next = 0
        self.shorts = []
        self.most_frozen = 0
        self._upstreams(daemon.folder)
        self._listeners(daemon.folder)
        self._connect(count)

    def _upstreams(self, folder):
        make = functools.partial(Upstream, self.loop, on_head=self._on_head)
        self.tcp = make(("127.0.0.1", 0))
        self.unix = make(folder + "/upstream")
        self.deaf_tcp = make(("127.0.0.1", 0), deaf=True)
        self.deaf_unix = make(folder + "/deaf", deaf=True)

    def _listeners(self, folder):
        def create(name, listen, *flags):
            self.addresses[name] = self.daemon.create(
                self.loop, name, listen, *flags)

        any_port = "tcp:127.0.0.1:0"
        to_tcp = ("--forward", f"tcp:127.0.0.1:{self.tcp.address[1]}")
        to_unix = ("--forward", f"unix:{self.unix.address}")
        deaf_port = self.deaf_tcp.address[1]
        patient = ("--connect-timeout", "1h")
        create("echo", any_port, "--echo")
        create("unix-echo", f"unix:{folder}/e", "--echo")
        create("tcp-tcp", any_port, *to_tcp)
        create("tcp-unix", any_port, *to_unix)
        create("unix-tcp", f"unix:{folder}/t", *to_tcp)
        create("unix-unix", f"unix:{folder}/u", *to_unix)
        create("discard", any_port, "--discard")
        create("doomed", any_port, *to_tcp)
        create("closed", any_port, *to_tcp)
        create("closed-echo", any_port, "--echo")
        create("short-echo", any_port, "--echo")
        create("unix-short-echo", f"unix:{folder}/s", "--echo")
        create("limited", any_port, "--echo", "--max-connections", str(LIMIT))
        create("to-deaf-tcp", any_port, "--forward",
               f"tcp:127.0.0.1:{deaf_port}", *patient)
        create("to-deaf-unix", any_port, "--forward",
               f"unix:{self.deaf_unix.address}", *patient)

    def _link(self, listener, manner):
        link = Link(self, self.next, listener, manner)
        self.links[self.next] = link
        self.next += 1
        return link

    def _on_head(self, end):
        number, odd = divmod(end.incoming.number, 2)
        link = self.links.get(number)
        assert link is not None and not odd and link.upstream is None, number
        link.reach(end)

    def _connect(self, count):
        kinds = ([("echo", m) for m in ECHO_MANNERS * 2] +
                 [("unix-echo", m) for m in ECHO_MANNERS] +
                 [(name, m)
                  for name in ("tcp-tcp", "tcp-tcp", "tcp-unix", "unix-tcp",
                               "unix-unix") for m in MANNERS] +
                 [("discard", BULK)])
        few = max(count // 100, 2)
        for number in range(count - 2 * few):
            self.held.append(self._link(*kinds[number % len(kinds)]))
        for listener in ("to-deaf-tcp", "to-deaf-unix"):
            for _ in range(few):
                self.held.append(self._link(listener, EARLY))
        # More than may be there.
        for _ in range(2 * LIMIT):
            self.limited.append(self._link("limited", IDLE))
        self.shorts = [Short(self.loop, self.addresses[name])
                       for name in ("short-echo", "unix-short-echo") * 2]

    def are_deaf(self, link):
        return link.listener.startswith("to-deaf")

    def served(self):
        """Those of the limited ones that are served, and not over."""
        return [link for link in self.limited
                if link.client.received > 0 and not link.client.is_over]

    def num_shorts(self):
        return sum(short.count for short in self.shorts)

    def until_more(self):
        """Until every stream that is not stalled has given some."""
        before = [(end, end.received) for link in self.held
                  for end in link.flowing()]
        shorts = self.num_shorts() + 50

        def lacking():
            """Gives what has not come yet."""
            lacks = [f"{end.about()}" for end, was in before
                     if end.received < was + SOME]
            lacks += [f"{link.listener}: no upstream" for link in self.held
                      if link.is_forward and not self.are_deaf(link)
                      and link.upstream is None]
            if self.num_shorts() < shorts:
                lacks.append("short connections")
            if len(self.served()) != LIMIT:
                lacks.append(f"{len(self.served())} at the limit")
            return lacks

        try:
            self.loop.run_until(lambda: not lacking(), "some of every stream")
        except AssertionError as error:
            raise AssertionError(f"{error}: {lacking()[:9]}") from error

    def begin_round(self):
        """Adds what an upgrade meets in the midst of its end."""
        for listener in ("closed", "closed-echo") * 3:
            self.closing.append(self._link(listener, CLIENT_STALLS))
        for _ in range(6):
            self.doomed.append(self._link("doomed", BULK))
        for link in self.closing + self.doomed:
            link.client.may_be_reset = link in self.doomed
            if link.upstream:
                link.upstream.may_be_reset = True
        self.loop.run_until(
            lambda: all(link.upstream for link in self.closing + self.doomed
                        if link.is_forward), "those of this round")
        for link in self.closing + self.doomed:
            if link.upstream:
                link.upstream.may_be_reset = True
        # Until the daemon has of them what it flushes.
        self.loop.run_until(lambda: all(
            int(shown["bytesToWrite"]) > 0
            for shown in self._shown("closed") + self._shown("closed-echo")),
            "bytes that are held")
        self.closers = [
            self.daemon.start_cli("kill", shown["name"])
            for shown in self._shown("closed") + self._shown("closed-echo")]
        shown = []

        def are_closing():
            # Twice the same: the counts of one are not read at one moment.
            before = list(shown)
            shown[:] = self._shown("closed") + self._shown("closed-echo")
            return shown == before and all(
                one["closeReason"] == "CLOSE_REASON_CALLED" for one in shown)

        self.loop.run_until(are_closing, "the call of their close")
        # Clients of two listeners may have one port.
        self.sizes = {
            (one["listener"], int(one["peer"]["inet"]["port"])):
            int(one["bytesSent"]) + int(one["bytesToWrite"]) for one in shown}
        assert len(self.sizes) == len(self.closing), shown
        for link in self.doomed[::2]:
            link.client.reset()

    def _shown(self, listener):
        return self.daemon.connections(self.loop, listener)

    def end_round(self):
        for link in self.doomed[1::2]:
            if not link.client.is_over:
                link.client.reset()
        self.loop.run_until(lambda: all(link.upstream.was_reset
                                        for link in self.doomed),
                            "the resets of those that were reset")
        # Those that the daemon flushes get all of it, and the end.
        for link in self.closing:
            link.client.want(sends=False, reads=True)
        self.loop.run_until(lambda: all(link.client.is_over
                                        for link in self.closing),
                            "the end of those that are flushed")
        # Who has called for a close waits for it in the next process.
        self.loop.run_until(lambda: all(closer.poll() == 0
                                        for closer in self.closers),
                            "the answers to who has called for a close")
        for link in self.closing:
            size = self.sizes["listeners/" + link.listener,
                              link.client_name[1]]
            assert link.client.received == size, (
                f"{link.listener}: {link.client.about()}, and not {size}")
            self.flushed.append((link.listener, link.client_name, size))
        for link in self.closing + self.doomed:
            link.close()
            del self.links[link.number]
        self.closing, self.doomed = [], []
        # One leaves, and the next one is served.
        assert len(self.served()) <= LIMIT
        link = self.served()[0]
        self.limited.remove(link)
        link.close()
        self.limited.append(self._link("limited", IDLE))

    def inodes(self):
        """Those of the sockets that the daemon has of what is held."""
        table = tcp_inodes()
        found = {}
        for link in self.held:
            if not self.are_deaf(link):
                found[link.number] = link.inodes(table)
        for name in ("unix-echo", "unix-tcp", "unix-unix"):
            found[name] = sorted(unix_inodes(self.addresses[name]))
        # Whom nobody has accepted yet.
        fillers = [filler.getsockname() for filler in self.deaf_tcp.fillers]
        for row, inode in table.items():
            if row[1] == self.deaf_tcp.address and row[0] not in fillers:
                found[row] = [inode]
        return found

    def descriptors_at_rest(self):
        """Which sockets the daemon has, and how many of all else, while nobody
        sends or reads.  How many pipes it has depends on the moment."""
        self._pause(True)
        seen = []

        def is_at_rest():
            if any(short.socket for short in self.shorts):
                return False
            links = self.daemon.descriptors().values()
            seen.append((self.daemon.sockets(), collections.Counter(
                link for link in links
                if not link.startswith(("socket:", "pipe:")))))
            return len(seen) > 9 and all(one == seen[-1] for one in seen[-5:])

        self.loop.run_until(is_at_rest, "rest")
        self._pause(False)
        return seen[-1]

    def _pause(self, paused):
        self.loop.paused = paused
        for link in self.held + self.limited:
            for end in link.ends():
                end.update()
        for short in self.shorts:
            if not paused and short.socket is None:
                short.begin()

    def upgrade(self, reset_in_the_midst=False):
        """While all goes on."""
        daemon = self.daemon
        before = self.inodes()
        self._expect_of_daemon(before)
        daemon.ask_for_upgrade()
        if reset_in_the_midst:
            for link in self.doomed[1::2]:
                link.client.reset()
        line = self.until_upgraded()
        assert "upgrade: process " in line, line
        self.most_frozen = max(self.most_frozen, int(
            line.split("all stood still for ")[1].split()[0]))
        daemon.note_upgrade(line)
        return before, line

    def until_upgraded(self):
        """Gives the line that says what has become of the upgrade."""
        said = []

        def is_over():
            line = self.daemon.has_said("upgrade: process ",
                                        "upgrade: the daemon goes on")
            if line:
                said.append(line)
            return said

        self.loop.run_until(is_over, "the upgrade")
        return said[0]

    def until_alone(self):
        """Until the process before has ended."""
        self.loop.run_until(
            lambda: self.daemon.has_said("the former process has ended"),
            "the end of the former process")

    def expect_same(self, before):
        assert self.inodes() == before
        self._expect_of_daemon(before)

    def _expect_of_daemon(self, inodes):
        missing = ({inode for some in inodes.values() for inode in some} -
                   self.daemon.sockets())
        assert not missing, missing

    def finish(self):
        """Ends everything in order, and looks at what has come in all."""
        for short in self.shorts:
            short.stopped = True
        for upstream in (self.deaf_tcp, self.deaf_unix):
            upstream.hear()
        # TCP asks again after up to a minute.
        self.loop.run_until(
            lambda: all(link.upstream for link in self.held
                        if link.is_forward), "the deaf ones", timeout=150)
        for link in self.held:
            if self.are_deaf(link):
                link.bulk()
        self.loop.run_until(
            lambda: all(end.received >= SOME for link in self.held
                        if self.are_deaf(link) for end in link.ends()),
            "bytes of those that were deaf")
        for link in self.held + self.served():
            link.finish()
        self.loop.run_until(lambda: all(link.is_done() for link in self.held),
                            "the ends of all", timeout=150)
        wrong = []
        for link in self.held:
            link.check(wrong)
        assert not wrong, wrong[:5]
        for link in self.held + self.limited:
            link.close()
        self.loop.run_until(
            lambda: not self.daemon.connections(self.loop),
            "no connection")
        self._check_counts()

    def _check_counts(self):
        by_listener = collections.defaultdict(list)
        for link in self.held:
            by_listener[link.listener].append(link)
        for name, links in by_listener.items():
            status = self.daemon.status(self.loop, name)
            sent = sum(link.client.sent for link in links)
            received = sum(link.client.received for link in links)
            assert int(status["acceptedTotal"]) == len(links), status
            assert int(status["bytesReceivedTotal"]) == sent, (sent, status)
            assert int(status["bytesSentTotal"]) == received, status
            reasons = status["closedByReason"]
            assert set(reasons) <= {"PEER_CLOSED", "UPSTREAM_CLOSED"}, status
            assert sum(map(int, reasons.values())) == len(links), status
        for name in ("short-echo", "unix-short-echo"):
            status = self.daemon.status(self.loop, name)
            assert set(status["closedByReason"]) == {"PEER_CLOSED"}, status
