"""The ends of connections through the daemon, all in one loop of one thread.

Each direction of each connection is a stream that begins at a place of its own
in one long pattern, so that every byte that comes can be looked at, and one of
another connection is found, too.
"""

import selectors
import socket
import struct
import time

TIMEOUT = 60
WORDS = 1 << 20
SIZE = 4 * WORDS
PATTERN = struct.pack(f">{WORDS}I", *range(WORDS)) * 2
SPREAD = 7919
UNSPREAD = pow(SPREAD, -1, WORDS)
BLOCK = 65536
# More than all buffers on the way take that run.sh allows, so that who sends to
# somebody who does not read has filled them.
MOST_ON_ITS_WAY = 1_500_000


class Stream:
    """What one end sends, by its number: even ones come from clients."""

    def __init__(self, number):
        self.number = number
        self.start = 4 * (number * SPREAD % WORDS)

    @classmethod
    def that_begins(cls, data):
        return cls(struct.unpack(">I", data[:4])[0] * UNSPREAD % WORDS)

    def bytes_at(self, position, count):
        at = (self.start + position) % SIZE
        return PATTERN[at:at + count]


class End:
    """One end of a connection: it sends a stream, and looks at another."""

    def __init__(self, loop, sock, outgoing=None, incoming=None):
        self.loop = loop
        self.socket = sock
        self.socket.setblocking(False)
        self.outgoing = outgoing
        self.incoming = incoming
        self.sender = None     # The end whose stream comes here.
        self.receiver = None   # The end to which ours goes.
        self.head = b""        # Before it is known which stream it is.
        self.on_head = None
        self.sends = self.reads = False
        self.block = BLOCK     # How much it sends at a time.
        self.limit = None      # Of what it sends; None: none.
        self.ends_at_limit = False
        self.sent = self.received = 0
        self.has_ended = False   # It has sent FIN.
        self.is_over = False     # It has met the end, or was reset.
        self.is_gone = False     # It was reset, or is closed.
        self.was_reset = False
        self.may_be_reset = False
        self._events = 0

    def room(self):
        """How much it may send now."""
        if not self.sends or self.has_ended or self.outgoing is None:
            return 0
        arrived = self.receiver.received if self.receiver else 0
        room = min(self.block, MOST_ON_ITS_WAY - (self.sent - arrived))
        return room if self.limit is None else min(
            room, self.limit - self.sent)

    def update(self):
        events = 0
        if not self.is_gone and not self.loop.paused:
            if self.reads and not self.is_over:
                events |= selectors.EVENT_READ
            if self.room() > 0:
                events |= selectors.EVENT_WRITE
        if events == self._events:
            return
        if self._events == 0:
            self.loop.selector.register(self.socket, events, self.advance)
        elif events == 0:
            self.loop.selector.unregister(self.socket)
        else:
            self.loop.selector.modify(self.socket, events, self.advance)
        self._events = events

    def want(self, sends, reads):
        self.sends, self.reads = sends, reads
        self.update()

    def end(self):
        """Sends FIN, behind what was sent."""
        if not self.has_ended and not self.is_gone:
            self.has_ended = True
            self.socket.shutdown(socket.SHUT_WR)
        self.sends = False
        self.update()

    def close(self):
        self.is_over = self.is_gone = True
        self.update()
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
        self.close()

    def advance(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                self._send()
            if events & selectors.EVENT_READ:
                self._receive()
        except BlockingIOError:
            pass
        except OSError as error:
            self.is_over = self.is_gone = self.was_reset = True
            if not self.may_be_reset:
                self.loop.wrong.append(f"{self.about()}: {error!r}")
        self.update()

    def _send(self):
        count = self.room()
        if count <= 0:
            return
        self.sent += self.socket.send(
            self.outgoing.bytes_at(self.sent, count))
        if self.ends_at_limit and self.sent == self.limit:
            self.end()

    def _receive(self):
        data = self.socket.recv(BLOCK)
        if not data:
            self.is_over = True
            return
        if self.incoming is None:
            self.head += data
            if len(self.head) < 4:
                return
            data, self.head = self.head, b""
            self.incoming = Stream.that_begins(data)
            self.on_head(self)
        if data != self.incoming.bytes_at(self.received, len(data)):
            self.loop.wrong.append(
                f"{self.about()}: wrong bytes after {self.received}")
        self.received += len(data)
        if self.sender is not None:
            self.sender.update()

    def about(self):
        numbers = [stream and stream.number
                   for stream in (self.outgoing, self.incoming)]
        return (f"streams {numbers}, sent {self.sent}, "
                f"received {self.received}")


class Short:
    """A client that connects, is echoed, and leaves, again and again."""

    TEXT = b"hello"

    def __init__(self, loop, address):
        self.loop = loop
        self.address = address
        self.count = 0
        self.stopped = False
        self.socket = None
        self.begin()

    def begin(self):
        """It must have ended, or never have begun."""
        family = (socket.AF_UNIX if isinstance(self.address, str)
                  else socket.AF_INET)
        self.socket = socket.socket(family)
        self.socket.setblocking(False)
        try:
            self.socket.connect(self.address)
        except BlockingIOError:
            pass
        except OSError as error:
            self.loop.wrong.append(f"short: {error!r}")
            return
        self.loop.selector.register(self.socket, selectors.EVENT_WRITE,
                                    self.advance)

    def advance(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.socket.send(self.TEXT)
                self.loop.selector.modify(
                    self.socket, selectors.EVENT_READ, self.advance)
                return
            if self.socket.recv(100) != self.TEXT:
                self.loop.wrong.append("short: no echo")
            self.count += 1
        except OSError as error:
            self.loop.wrong.append(f"short: {error!r}")
        self.loop.selector.unregister(self.socket)
        self.socket.close()
        self.socket = None
        if not self.stopped and not self.loop.paused:
            self.begin()


class Upstream:
    """Where connections are forwarded to.  While it is deaf, its backlog is
    full, and nobody is accepted."""

    def __init__(self, loop, address, on_head, deaf=False):
        self.loop = loop
        self.on_head = on_head
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.bind(address)
        self.socket.listen(0 if deaf else 4096)
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self.fillers = []
        self.num_accepted = 0
        if deaf:
            self._fill(family)
        else:
            self.hear()

    def _fill(self, family):
        while True:
            filler = socket.socket(family)
            filler.setblocking(False)
            self.fillers.append(filler)
            error = filler.connect_ex(self.address)
            # Of TCP nobody says that it is full: Linux takes one more than
            # the backlog.
            if (error and family == socket.AF_UNIX) or len(self.fillers) == 2:
                return

    def hear(self):
        self.socket.listen(4096)
        for filler in self.fillers:
            filler.close()
        self.loop.selector.register(self.socket, selectors.EVENT_READ,
                                    self._accept)

    def _accept(self, _):
        while True:
            try:
                accepted, _ = self.socket.accept()
            except BlockingIOError:
                return
            self.num_accepted += 1
            end = End(self.loop, accepted)
            end.on_head = self.on_head
            # The fillers have gone.
            end.may_be_reset = bool(self.fillers)
            end.want(sends=False, reads=True)


class Loop:

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.wrong = []
        self.paused = False

    def run_until(self, condition, what, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while not condition():
            self.step()
            assert time.monotonic() < deadline, f"in vain: {what}"

    def step(self):
        """Goes on for a moment."""
        until = time.monotonic() + 0.03
        while time.monotonic() < until:
            for key, events in self.selector.select(0.03):
                key.data(events)
            assert not self.wrong, self.wrong[:5]
