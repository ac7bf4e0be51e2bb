"""A daemon, workers that are processes, and peers that are plain sockets."""

import hashlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

import grpc
from portreeve.v1 import connection_pb2, connection_pb2_grpc
from portreeve.v1 import event_pb2, event_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

# Seconds that any wait may take, on a loaded machine and under a sanitizer.
TIMEOUT = 150
BLOCK = 1 << 20

# The language of the examples under test: "python" or "node".
LANGUAGE = sys.argv[1]
NODE = ["node", "--preserve-symlinks", "--preserve-symlinks-main"]
PYTHON = ["/usr/bin/python3"]


def command(program):
    """Of an example server, like "echo", or of "worker" (worker.py)."""
    if program == "worker":
        return (PYTHON + ["tests/examples/worker.py"] if LANGUAGE == "python"
                else NODE + ["tests/examples/worker.js"])
    if LANGUAGE == "python":
        # The folder that run.sh has put together.
        return PYTHON + [f"{os.environ['EXAMPLES_PYTHON']}/{program}_server.py"]
    return NODE + [f"examples/node/{program}_server.js"]


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Process:
    """A child with a pipe from its stdout; killed at the end."""

    def __init__(self, arguments, **more):
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE,
                                        text=True, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        for pipe in self.process.stdout, self.process.stderr:
            if pipe is not None:
                pipe.close()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def line(self, prefix=""):
        """The rest of the next line that begins with `prefix`."""
        for line in self.process.stdout:
            if line.startswith(prefix):
                return line[len(prefix):].strip()
        raise RuntimeError(f"{self.process.args} ended before {prefix!r}")


class Daemon(Process):
    """A portreeved on a port of the OS, or at the target of an earlier one."""

    def __init__(self, target="127.0.0.1:0", arguments=(), **more):
        super().__init__(["server/portreeved", "--control", f"tcp:{target}",
                          *arguments], **more)
        self.target = self.line("portreeved: control tcp:")
        self.line("portreeved: ready")
        # With connections of its own: those to the daemon before, which had the
        # same address, may not have been found dead yet.
        self.channel = grpc.insecure_channel(
            self.target, options=[("grpc.use_local_subchannel_pool", 1)])
        self.listeners = listener_pb2_grpc.ListenerServiceStub(self.channel)

    def __exit__(self, *arguments):
        self.channel.close()
        super().__exit__(*arguments)

    def create(self, listener_id, **spec):
        """Makes a listener with a remote handler; returns its address."""
        request = listener_pb2.CreateListenerRequest(
            listener_id=listener_id,
            spec={
                "where_to_listen": {"inet": {"address": "127.0.0.1"}},
                # A crowd may wait for its worker.
                "handler": {"remote": {"claim_timeout": {"seconds": TIMEOUT}}},
                "max_pending_connections": 4096,
                **spec,
            })
        listener = self.listeners.CreateListener(request, timeout=TIMEOUT)
        where = listener.status.listening_on.inet
        return (where.address, where.port)

    def get(self, listener_id):
        return self.listeners.GetListener(listener_pb2.GetListenerRequest(
            name=f"listeners/{listener_id}"), timeout=TIMEOUT)

    def connections(self, listener_id):
        """The first 1000 that are live."""
        request = connection_pb2.ListConnectionsRequest(
            listener=f"listeners/{listener_id}", page_size=1000)
        return connection_pb2_grpc.ConnectionServiceStub(
            self.channel).ListConnections(request, timeout=TIMEOUT).connections

    def state(self, listener_id):
        return listener_pb2.ListenerState.Name(
            self.get(listener_id).status.state)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")


class Watch:
    """The events of a daemon from now on."""

    def __init__(self, daemon):
        self._call = event_pb2_grpc.EventServiceStub(
            daemon.channel).WatchEvents(event_pb2.WatchEventsRequest(),
                                        timeout=TIMEOUT)
        self._call.initial_metadata()  # The watch counts.
        self._seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._call.cancel()

    def next(self, kind):
        """The next event of a kind; those before it are skipped."""
        while True:
            while self._seen:
                event = self._seen.pop(0)
                if event.WhichOneof("kind") == kind:
                    return getattr(event, kind)
            self._seen.extend(next(self._call).events)

    def closed(self, count):
        """{name: reason} of the next `count` connections that close."""
        closed = [self.next("connection_closed").connection
                  for _ in range(count)]
        return {c.name: connection_pb2.CloseReason.Name(c.close_reason)
                .removeprefix("CLOSE_REASON_") for c in closed}


class Worker(Process):
    """A worker of one listener, that connections are offered to already."""

    def __init__(self, program, daemon, listener_id, stderr=None,
                 **environment):
        super().__init__(
            command(program) + [f"listeners/{listener_id}", daemon.target],
            env={**os.environ, **environment}, stderr=stderr)
        self.line("serving")

    def report(self):
        """What a connection's handler has told, see worker.py."""
        return json.loads(self.line("report "))


def reset(connection):
    """Closes a socket by RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
    connection.close()


class Peer:
    """A plain TCP client; `buffer` bounds the kernel's buffers, in bytes."""

    def __init__(self, address, command=None, buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            if buffer is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, option, buffer)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if command is not None:
            self.socket.sendall(command.encode() + b"\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        """Sends for as long as the kernel takes it at once; returns how much.
        """
        size = 0
        self.socket.setblocking(False)
        try:
            while True:
                size += self.socket.send(bytes(BLOCK))
        except BlockingIOError:
            self.socket.settimeout(TIMEOUT)
            return size

    def send_eof(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        reset(self.socket)

    def read(self, size):
        """Exactly `size` bytes, or fewer before EOF."""
        parts = []
        while size > 0:
            part = self.socket.recv(min(size, BLOCK))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def line(self):
        line = b""
        while not line.endswith(b"\n"):
            part = self.socket.recv(1)
            if not part:
                break
            line += part
        return line.decode()

    def echo(self, data):
        self.send(data)
        return self.read(len(data))


def blocks(count):
    """`count` blocks of 1 MiB that differ from each other."""
    base = hashlib.sha256(b"base").digest() * (BLOCK // 32)
    for number in range(count):
        yield struct.pack(">Q", number) + base[8:]


def poll_until(condition, what):
    """For what tells nobody that it has come, like a count in /proc."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
