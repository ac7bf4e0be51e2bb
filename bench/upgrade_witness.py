"""upgrade_witness.py MODE --port P ...: a client that sees what an upgrade does.

It says `ready` once its connections stand.  For each line `mark` on its stdin
it prints what it has seen since the mark before, and for `end`, or the end of
stdin, what it has seen last and which connections live.

    still   connections that do nothing meanwhile
    pulse   the same, and a ping on another one at all times, and one short
            connection after the other
    bulk    connections that send as much as comes back, each byte compared
    short   clients that connect, are echoed and leave, as fast as they can
"""

import argparse
import collections
import errno
import json
import os
import selectors
import socket
import struct
import sys
import time

PING_PERIOD = 0.005
FRESH_PERIOD = 0.010
# Seconds after which nobody waits for an answer any more.
PATIENCE = 10
MESSAGE = b"a message\n"

BLOCK = 65536
# On its way at most, of each bulk connection.
WINDOW = 4 * BLOCK
WORDS = 1 << 18
SIZE = 4 * WORDS
PATTERN = struct.pack(f">{WORDS}I", *range(WORDS)) * 2
# What one connection begins with is far from what the next one does.
SPREAD = 4 * 4099


def now():
    return time.monotonic()


class Silence:
    """The longest time between two things that should come all the time."""

    def __init__(self):
        self.last = now()
        self.longest = 0

    def heard(self):
        at = now()
        self.longest = max(self.longest, at - self.last)
        self.last = at

    def take(self):
        """Seconds, since it was last asked; what lasts still counts."""
        longest = max(self.longest, now() - self.last)
        self.longest = 0
        return longest


class Loop:
    """What is ready, and what is due."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.timers = []  # [when, period, what]

    def every(self, period, what):
        self.timers.append([now(), period, what])

    def step(self, patience=0.5):
        at = now()
        wait = min([timer[0] - at for timer in self.timers] + [patience])
        for key, events in self.selector.select(max(0, wait)):
            key.data(events)
        for timer in self.timers:
            if timer[0] <= now():
                # What was missed is not made up for.
                timer[0] = max(timer[0] + timer[1], now())
                timer[2]()

    def watch(self, sock, events, what):
        try:
            self.selector.modify(sock, events, what)
        except KeyError:
            self.selector.register(sock, events, what)

    def forget(self, sock):
        try:
            self.selector.unregister(sock)
        except KeyError:
            pass
        sock.close()


def begin_connect(address):
    """A socket that will be connected."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def connected(address):
    sock = socket.create_connection(address, timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


def name_of(error):
    return errno.errorcode.get(error.errno, str(error))


class Ping:
    """Sends the next number at all times, and expects all of them back."""

    def __init__(self, loop, address):
        self.loop = loop
        self.address = address
        self.silence = Silence()
        self.cut = self.failed = self.wrong = self.answers = 0
        self.why = collections.Counter()
        self.sock = connected(address)
        self._begin()
        loop.every(PING_PERIOD, self._send)

    def _begin(self):
        self.is_heard = False
        self.sent = 0
        self.expected = 0
        self.held = b""
        self.loop.watch(self.sock, selectors.EVENT_READ, self._receive)

    def _send(self):
        if self.sock is None:
            self._again()
            return
        try:
            self.sock.send(b"%09d\n" % self.sent)
            self.sent += 1
        except BlockingIOError:
            pass  # So much is on its way.
        except OSError as error:
            self._end(name_of(error))

    def _receive(self, _):
        try:
            data = self.sock.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(name_of(error))
            return
        if not data:
            self._end("end of file")
            return
        *lines, self.held = (self.held + data).split(b"\n")
        for line in lines:
            self.wrong += line != b"%09d" % self.expected
            self.expected += 1
        if lines:
            self.is_heard = True
            self.answers += len(lines)
            self.silence.heard()

    def _end(self, why):
        self.loop.forget(self.sock)
        self.sock = None
        self.why[why] += 1
        if self.is_heard:
            self.cut += 1
            self._again()
        else:
            self.failed += 1

    def _again(self):
        """A client that is cut comes back at once, else at the next ping."""
        try:
            self.sock = begin_connect(self.address)
        except OSError as error:
            self.failed += 1
            self.why[name_of(error)] += 1
            return
        self._begin()

    def take(self):
        seen = {"silence_ms": 1000 * self.silence.take(), "cut": self.cut,
                "failed": self.failed, "wrong": self.wrong,
                "answers": self.answers, "why": dict(self.why)}
        self.cut = self.failed = self.wrong = self.answers = 0
        self.why.clear()
        return seen


class Shorts:
    """Short connections: connect, a message, its echo, the end."""

    def __init__(self, loop, address):
        self.loop = loop
        self.address = address
        self.open = {}
        self.count = self.failed = self.cut = 0
        self.longest = 0
        self.why = collections.Counter()
        # Called when one has ended.
        self.on_end = lambda: None
        self.loop.every(1, self._expire)

    def begin(self):
        at = now()
        try:
            sock = begin_connect(self.address)
        except OSError as error:
            self._fail(name_of(error))
            return
        self.open[sock] = at
        self.loop.watch(sock, selectors.EVENT_WRITE,
                        lambda _: self._connected(sock))

    def _connected(self, sock):
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._close(sock)
            self._fail(errno.errorcode.get(code, str(code)))
            return
        try:
            sock.send(MESSAGE)
        except OSError as error:
            self._cut(sock, name_of(error))
            return
        self.loop.watch(sock, selectors.EVENT_READ,
                        lambda _: self._answered(sock))

    def _answered(self, sock):
        try:
            data = sock.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._cut(sock, name_of(error))
            return
        if data != MESSAGE:
            self._cut(sock, f"answer {data[:20]!r}")
            return
        self.count += 1
        self.longest = max(self.longest, now() - self.open[sock])
        self._close(sock)
        self.on_end()

    def _expire(self):
        late = [sock for sock, at in self.open.items()
                if at < now() - PATIENCE]
        for sock in late:
            self._close(sock)
            self._fail("timeout")

    def _close(self, sock):
        del self.open[sock]
        self.loop.forget(sock)

    def _fail(self, why):
        self.failed += 1
        self.why[why] += 1
        self.on_end()

    def _cut(self, sock, why):
        self._close(sock)
        self.cut += 1
        self.why[why] += 1
        self.on_end()

    def take(self):
        at = now()
        lasting = max((at - begun for begun in self.open.values()), default=0)
        seen = {"count": self.count, "failed": self.failed, "cut": self.cut,
                "longest_ms": 1000 * max(self.longest, lasting),
                "why": dict(self.why)}
        self.count = self.failed = self.cut = 0
        self.longest = 0
        self.why.clear()
        return seen


def exchange(sock, message):
    """Whether it comes back, within PATIENCE."""
    try:
        sock.settimeout(PATIENCE)
        sock.sendall(message)
        got = b""
        while len(got) < len(message):
            data = sock.recv(len(message) - len(got))
            if not data:
                return False
            got += data
        return got == message
    except OSError:
        return False


class Still:

    def __init__(self, loop, address, options):
        del loop  # Nobody looks at them before the end.
        self.idle = [connected(address) for _ in range(options.connections)]
        for number, sock in enumerate(self.idle):
            if not exchange(sock, b"first %d\n" % number):
                sys.exit("a connection does not answer")

    def take(self):
        return {}

    def end(self):
        alive = [exchange(sock, b"last %d\n" % number)
                 for number, sock in enumerate(self.idle)]
        return {"alive": sum(alive), "idle": len(alive)}


class Pulse(Still):

    def __init__(self, loop, address, options):
        super().__init__(loop, address, options)
        self.ping = Ping(loop, address)
        self.fresh = Shorts(loop, address)
        loop.every(FRESH_PERIOD, self.fresh.begin)

    def take(self):
        return {"ping": self.ping.take(), "fresh": self.fresh.take()}


class Stream:
    """A bulk connection through an echo."""

    def __init__(self, bulk, number, address):
        self.bulk = bulk
        self.start = number * SPREAD % SIZE
        self.sent = self.received = 0
        self.silence = Silence()
        self.sock = connected(address)

    def begin(self):
        self.bulk.loop.watch(self.sock, selectors.EVENT_READ, self._advance)
        self._send()

    def _advance(self, _):
        try:
            size = self.sock.recv_into(self.bulk.buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(name_of(error))
            return
        if size == 0:
            self._end("end of file")
            return
        at = (self.start + self.received) % SIZE
        if self.bulk.buffer[:size] != self.bulk.pattern[at:at + size]:
            self.bulk.wrong += 1
        self.received += size
        self.bulk.bytes += size
        self.silence.heard()
        self._send()

    def _send(self):
        try:
            while self.sent - self.received <= WINDOW - BLOCK:
                at = (self.start + self.sent) % SIZE
                self.sent += self.sock.send(self.bulk.pattern[at:at + BLOCK])
        except BlockingIOError:
            pass  # What comes back makes room.
        except OSError as error:
            self._end(name_of(error))

    def _end(self, why):
        if self.sock is not None:
            self.bulk.cut += 1
            self.bulk.why[why] += 1
            self.bulk.streams.remove(self)
            self.bulk.loop.forget(self.sock)
            self.sock = None


class Bulk:

    def __init__(self, loop, address, options):
        self.loop = loop
        self.pattern = memoryview(PATTERN)
        self.buffer = memoryview(bytearray(BLOCK))
        self.bytes = self.cut = self.wrong = 0
        self.why = collections.Counter()
        self.streams = []
        for number in range(options.connections):
            stream = Stream(self, number, address)
            # First, as it may end at once.
            self.streams.append(stream)
            stream.begin()

    def take(self):
        silences = [stream.silence.take() for stream in self.streams]
        seen = {"silence_ms": 1000 * max(silences, default=0),
                "bytes": self.bytes, "cut": self.cut, "wrong": self.wrong,
                "why": dict(self.why)}
        self.bytes = self.cut = self.wrong = 0
        self.why.clear()
        return seen

    def end(self):
        return {"alive": len(self.streams)}


class ShortClients:

    def __init__(self, loop, address, options):
        self.shorts = Shorts(loop, address)
        # Those to be begun; not by who has ended, as a connect may fail at
        # once.
        self.missing = options.connections
        self.shorts.on_end = self._ended
        loop.every(0.001, self._begin)
        self._begin()

    def _ended(self):
        self.missing += 1

    def _begin(self):
        missing, self.missing = self.missing, 0
        for _ in range(missing):
            self.shorts.begin()

    def take(self):
        return self.shorts.take()

    def end(self):
        return {}


MODES = {"still": Still, "pulse": Pulse, "bulk": Bulk, "short": ShortClients}


def serve(loop, mode):
    """Until the end is asked for."""
    ended = False
    held = b""

    def command(_):
        nonlocal ended, held
        data = os.read(0, BLOCK)
        *lines, held = (held + data).split(b"\n")
        if not data or b"end" in lines:
            ended = True
        elif b"mark" in lines:
            print(json.dumps(mode.take()), flush=True)

    os.set_blocking(0, False)
    loop.watch(sys.stdin, selectors.EVENT_READ, command)
    print("ready", flush=True)
    while not ended:
        loop.step()
    seen = mode.take()
    print(json.dumps({**seen, **mode.end()}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=0)
    options = parser.parse_args()
    loop = Loop()
    serve(loop, MODES[options.mode](loop, ("127.0.0.1", options.port),
                                    options))


if __name__ == "__main__":
    main()
