"""The access log of a daemon: its lines beside the events of a watcher, and
what becomes of them where they cannot be written."""

import collections
import concurrent.futures
import contextlib
import datetime
import itertools
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc
from google.protobuf import duration_pb2
from portreeve.v1 import connection_pb2, connection_pb2_grpc
from portreeve.v1 import event_pb2, event_pb2_grpc
from portreeve.v1 import handler_pb2, handler_pb2_grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

PORTREEVED, PORTREEVE = sys.argv[1:3]
DEADLINE = 120
LOOPBACK = "127.0.0.1"
KEYS = ["time", "event", "listener", "connection", "peer", "local", "upstream",
        "received", "sent", "duration", "connect", "reason", "labels"]
MODES = {"off": listener_pb2.ACCESS_LOG_MODE_OFF,
         "both": listener_pb2.ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE}


class Daemon:
    """A portreeved with a channel to it."""

    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [PORTREEVED, "--control", f"tcp:{LOOPBACK}:0", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.control = None
        for line in self.process.stdout:
            if line.startswith("portreeved: control tcp:"):
                self.control = line.split("tcp:")[1].strip()
            if line == "portreeved: ready\n":
                break
        else:
            raise AssertionError(self.process.stderr.read())
        self.errors = []
        self._new_errors = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.channel = grpc.insecure_channel(self.control)
        self.listeners = listener_pb2_grpc.ListenerServiceStub(self.channel)
        self.connections = connection_pb2_grpc.ConnectionServiceStub(
            self.channel)
        self.handlers = handler_pb2_grpc.HandlerServiceStub(self.channel)
        self.events = event_pb2_grpc.EventServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def _read(self):
        for line in self.process.stderr:
            self.errors.append(line)
            self._new_errors.put(line)

    def await_error(self, text):
        while text not in self._new_errors.get(timeout=DEADLINE):
            pass

    def stop(self):
        self.process.terminate()
        status = self.process.wait(timeout=DEADLINE)
        self._reader.join()
        return status

    def create(self, name, mode=None, every=0, address=LOOPBACK, **fields):
        """A listener; its port."""
        spec = listener_pb2.ListenerSpec(**fields)
        if address.startswith("/"):
            spec.where_to_listen.unix_socket.path = address
        else:
            spec.where_to_listen.inet.address = address
        if mode is not None:
            spec.access_log.mode = MODES[mode]
        if every:
            spec.access_log.every.seconds = every
        created = self.listeners.CreateListener(
            listener_pb2.CreateListenerRequest(listener_id=name, spec=spec),
            timeout=DEADLINE)
        return created.status.listening_on.inet.port

    def cli(self, *words, check=True):
        return subprocess.run(
            [PORTREEVE, "--server", self.control, *words], check=check,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=DEADLINE)


class Watcher:
    """All events, from the first one until the daemon ends the stream."""

    def __init__(self, daemon):
        self.events = []
        self._call = daemon.events.WatchEvents(
            event_pb2.WatchEventsRequest(start_revision=1))
        self._seen = threading.Condition()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        for response in self._call:
            with self._seen:
                self.events.extend(response.events)
                self._seen.notify_all()

    def wait(self, condition):
        with self._seen:
            assert self._seen.wait_for(lambda: condition(self.events),
                                       timeout=DEADLINE)

    def end(self):
        self._thread.join(DEADLINE)
        assert self._call.code() == grpc.StatusCode.OK, self._call.code()
        assert not any(event.HasField("gap") for event in self.events)
        return self.events


def handler(kind, upstream_port=None):
    made = handler_pb2.Handler()
    getattr(made, kind).SetInParent()
    if upstream_port:
        made.forward.upstream.inet.host = LOOPBACK
        made.forward.upstream.inet.port = upstream_port
    return made


ECHO = handler("echo")


def connect(port):
    if isinstance(port, str):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE)
        client.connect(port)
        return client
    return socket.create_connection((LOOPBACK, port), timeout=DEADLINE)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack("ii", 1, 0))
    client.close()


def read_to_end(client):
    with contextlib.suppress(ConnectionResetError):
        while client.recv(65536):
            pass


def use(port, how):
    """One connection, and its end."""
    try:
        client = connect(port)
    except ConnectionResetError:
        # It was accepted and cut before connect(2) has returned.
        assert how in ("drop", "refused"), how
        return None
    try:
        if how == "drop":
            return read_to_end(client)
        if how == "silent":
            return None
        client.sendall(b"hello")
        if how == "discard":
            client.shutdown(socket.SHUT_WR)
            return read_to_end(client)
        if how == "refused":
            return read_to_end(client)
        got = client.recv(5, socket.MSG_WAITALL)
        assert got == b"hello", got
        if how == "reset":
            return reset(client)
        if how == "half":
            client.shutdown(socket.SHUT_WR)
            read_to_end(client)
        return None
    except (ConnectionResetError, BrokenPipeError):
        assert how in ("drop", "refused", "discard"), how
        return None
    finally:
        client.close()


def flooded(port):
    """A client that has sent an echo more than it takes, and does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((LOOPBACK, port))
    client.settimeout(2)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while True:
            client.sendall(bytes(65536))
    return client


def use_many(jobs):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(use, *job) for job in jobs]:
            done.result()


def closed(events):
    return sum(event.HasField("connection_closed") for event in events)


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def nanos(time):
    return time.seconds * 10**9 + time.nanos


def time_text(time):
    at = datetime.datetime.fromtimestamp(time.seconds, datetime.timezone.utc)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time.nanos // 10**6:03}Z"


def address_text(address):
    if address.HasField("inet"):
        host = address.inet.address
        return f"[{host}]:{address.inet.port}" if ":" in host else \
            f"{host}:{address.inet.port}"
    return f"unix:{address.unix_socket.path}"


def expected_of(event, modes):
    """What an event says of its line, without `connect`; None for no line."""
    kind = event.WhichOneof("kind")
    word = {"connection_accepted": "open", "connection_closed": "close",
            "connection_dropped": "drop"}.get(kind)
    if word is None:
        return None
    connection = getattr(event, kind).connection
    listener = connection.listener.removeprefix("listeners/")
    mode = modes.get(listener)
    if mode == "off" or (word == "open" and mode != "both"):
        return None
    line = {"time": time_text(event.time), "event": word}
    if listener:
        line["listener"] = listener
    line["connection"] = connection.name.removeprefix("connections/")
    for key in ("peer", "local", "upstream"):
        if connection.HasField(key):
            line[key] = address_text(getattr(connection, key))
    if word == "close":
        line["received"] = connection.bytes_received
        line["sent"] = connection.bytes_sent
        line["duration"] = (nanos(connection.close_time) -
                            nanos(connection.create_time)) // 1000 / 10**6
    if word != "open":
        reason = connection_pb2.CloseReason.Name(connection.close_reason)
        line["reason"] = reason.removeprefix("CLOSE_REASON_")
    return line


class Worker:
    """Serves the connections of a remote listener, each in its own way."""

    def __init__(self, daemon, listener):
        self._daemon = daemon
        self._stop = threading.Event()
        start = handler_pb2.HandleRequest()
        start.start.listener = f"listeners/{listener}"

        def requests():
            yield start
            self._stop.wait()

        self._call = daemon.handlers.Handle(requests())
        self._ways = itertools.cycle(["done", "reset", "raised", "cancel"])
        self._pool = concurrent.futures.ThreadPoolExecutor(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(grpc.RpcError):
            for response in self._call:
                if response.HasField("offer"):
                    self._pool.submit(self._attach,
                                      response.offer.connection.name,
                                      next(self._ways))

    def _attach(self, name, way):
        frames = queue.Queue()
        frames.put(connection_pb2.ClientFrame(
            attach=connection_pb2.ClientFrame.Attach(connection=name)))
        call = self._daemon.connections.Attach(iter(frames.get, None))
        for frame in call:
            if not frame.data:
                continue
            frames.put(connection_pb2.ClientFrame(data=frame.data))
            if way == "cancel":
                call.cancel()
                return
            end = connection_pb2.ClientFrame()
            getattr(end, way).SetInParent()
            frames.put(end)
            frames.put(None)

    def end(self):
        self._stop.set()
        self._pool.shutdown()


def dial(daemon, port, way):
    first = connection_pb2.ClientFrame()
    first.dial.where_to_connect.inet.host = LOOPBACK
    first.dial.where_to_connect.inet.port = port
    frames = queue.Queue()
    frames.put(first)
    call = daemon.connections.Dial(iter(frames.get, None))
    assert next(call).HasField("opened")
    frames.put(connection_pb2.ClientFrame(data=b"hello"))
    assert next(call).data == b"hello"
    if way == "cancel":
        call.cancel()
        frames.put(None)
        return
    end = connection_pb2.ClientFrame()
    getattr(end, way).SetInParent()
    frames.put(end)
    frames.put(None)
    for _ in call:
        pass


class AccessLogTest(unittest.TestCase):

    def setUp(self):
        self.folder = self.enterContext_(tempfile.TemporaryDirectory())
        self.log = f"{self.folder}/access.log"

    def enterContext_(self, context):  # Python 3.11 has it.
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def check_lines(self, lines, events, modes):
        """Each event has its line, with the very same, in the same order."""
        expected = [line for line in (expected_of(event, modes)
                                      for event in events) if line]
        upstreams = {event.connection_closed.connection.name: not
                     event.connection_closed.connection.HasField("failure")
                     for event in events
                     if event.connection_closed.connection.HasField("upstream")}
        told = [line for line in lines if line["event"] != "alive"]
        self.assertEqual(len(told), len(expected))
        for line, wanted in zip(told, expected):
            self.assertEqual(list(line), [key for key in KEYS if key in line])
            name = "connections/" + line["connection"]
            reached = line["event"] == "close" and upstreams.get(name, False)
            self.assertEqual("connect" in line, reached, line)
            self.assertLessEqual(0, line.pop("connect", 0))
            self.assertEqual(line, wanted)

    def test_lines_are_the_events(self):
        modes = {"both": "both", "off": "off", "alive": "both"}
        with Daemon("--access-log", self.log, "--drain", "1s",
                    "--audit", f"{self.folder}/audit.log") as daemon:
            watcher = Watcher(daemon)
            ports = {
                name: daemon.create(name, modes.get(name), handler=ECHO)
                for name in ("echo", "both", "off")}
            ports["alive"] = daemon.create("alive", "both", 1, handler=ECHO)
            file = f"{self.folder}/s"
            daemon.create("unix", address=file, handler=ECHO)
            ports["unix"] = file
            ports["six"] = daemon.create("six", address="::1", handler=ECHO)
            ports["discard"] = daemon.create("discard",
                                             handler=handler("discard"))
            ports["forward"] = daemon.create(
                "forward", handler=handler("forward", ports["echo"]))
            with socket.socket() as unused:
                unused.bind((LOOPBACK, 0))
                ports["refused"] = daemon.create(
                    "refused",
                    handler=handler("forward", unused.getsockname()[1]))
                ports["drop"] = daemon.create("drop", handler=ECHO,
                                              drop_incoming_connections=True)
                ports["remote"] = daemon.create(
                    "remote", handler=handler("remote"),
                    on_handler_error=handler_pb2.ON_HANDLER_ERROR_IGNORE)
                ports["old"] = daemon.create("old", handler=ECHO)
                ports["full"] = daemon.create(
                    "full", handler=ECHO,
                    buffer_age_limit=connection_pb2.BufferAgeLimit(
                        at_most=duration_pb2.Duration(seconds=1)))
                staying = connect(ports["alive"])
                # FORCED half a minute after the close, and BUFFER_AGE.
                deaf = [flooded(ports[name]) for name in ("old", "full")]
                daemon.listeners.CloseListener(
                    listener_pb2.CloseListenerRequest(
                        name="listeners/old", existing_connections=listener_pb2
                        .EXISTING_CONNECTIONS_LEAVE), timeout=DEADLINE)
                close = daemon.listeners.CloseListener.future(
                    listener_pb2.CloseListenerRequest(
                        name="listeners/old", existing_connections=listener_pb2
                        .EXISTING_CONNECTIONS_CLOSE), timeout=DEADLINE)
                worker = Worker(daemon, "remote")
                use_many([(ports[name], how) for name, how, count in [
                    ("echo", "fin", 2500), ("echo", "reset", 500),
                    ("echo", "half", 500), ("echo", "silent", 300),
                    ("both", "fin", 1000), ("off", "fin", 500),
                    ("unix", "fin", 500), ("unix", "half", 200),
                    ("discard", "discard", 500), ("forward", "fin", 1500),
                    ("forward", "reset", 300), ("forward", "half", 300),
                    ("refused", "refused", 500), ("drop", "drop", 500),
                ] for _ in range(count)])
                with socket.create_connection(("::1", ports["six"])):
                    pass
                for _ in range(200):
                    with connect(ports["remote"]) as client:
                        client.sendall(b"hello")
                        read_to_end(client)
                for _, way in zip(range(200), itertools.cycle(
                        ["done", "reset", "cancel", "raised"])):
                    dial(daemon, ports["echo"], way)
                called = connect(ports["echo"])
                called.sendall(b"hello")
                called.recv(5)
                live = daemon.connections.ListConnections(
                    connection_pb2.ListConnectionsRequest(
                        listener="listeners/echo"), timeout=DEADLINE)
                peer = called.getsockname()[1]
                (name,) = [one.name for one in live.connections
                           if one.peer.inet.port == peer]
                daemon.connections.CloseConnection(
                    connection_pb2.CloseConnectionRequest(name=name),
                    timeout=DEADLINE)
                close.result(timeout=DEADLINE)
                watcher.wait(lambda events: any(
                    event.connection_closed.connection.close_reason ==
                    connection_pb2.CLOSE_REASON_BUFFER_AGE
                    for event in events))
                worker.end()
            # These are left to the end.
            last = [connect(ports[name]) for name in ("echo", "forward")
                    for _ in range(50)]
            for client in last:
                client.sendall(b"hello")
                self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")
            self.assertEqual(daemon.stop(), 0)
            events = watcher.end()
            staying.close()
        self.assertGreaterEqual(
            closed(events) + sum(event.HasField("connection_dropped")
                                 for event in events), 10_000)
        lines = lines_of(self.log)
        self.check_lines(lines, events, modes)
        reasons = collections.Counter(
            line["reason"] for line in lines if "reason" in line)
        for reason in ("PEER_CLOSED", "PEER_RESET", "DROPPED", "CALLED",
                       "HANDLER_DONE", "HANDLER_ERROR", "CLIENT_GONE",
                       "CANCELLED", "UPSTREAM_UNREACHABLE", "BUFFER_AGE",
                       "FORCED", "SHUTDOWN"):
            self.assertGreater(reasons[reason], 0, reasons)
        alive = [line for line in lines if line.get("listener") == "alive"]
        words = [line["event"] for line in alive]
        self.assertGreaterEqual(len(words), 10)
        self.assertEqual(words, ["open", *["alive"] * (len(words) - 2), "close"])
        for before, after in zip(alive[1:-2], alive[2:-1]):
            self.assertLess(before["duration"], after["duration"])

    def test_a_reader_that_does_not_read_holds_up_nothing(self):
        os.mkfifo(self.log)
        fifo = os.open(self.log, os.O_RDONLY | os.O_NONBLOCK)
        count = 8000
        with Daemon("--access-log", self.log) as daemon:
            port = daemon.create("echo", handler=ECHO)
            use_many([(port, "fin")] * count)
            with os.fdopen(fifo, encoding="utf-8") as file:
                os.set_blocking(fifo, True)
                lines, seen, notes = 0, 0, 0
                while seen < count:
                    line = json.loads(file.readline())
                    if line["event"] == "lost":
                        notes += 1
                        seen += line["lines"]
                    else:
                        lines += 1
                        seen += 1
                self.assertEqual(seen, count)
                self.assertGreater(notes, 0)
                self.assertGreater(lines, 3000)  # 1 MiB of them.
                # Lines go on.
                use_many([(port, "fin")] * 10)
                for _ in range(10):
                    self.assertEqual(json.loads(file.readline())["event"],
                                     "close")
                # Nor does the end wait for who does not read.
                use_many([(port, "fin")] * 2000)
                self.assertEqual(daemon.stop(), 0)

    def test_files_that_are_moved_away_lose_nothing(self):
        count = 5000
        with Daemon("--access-log", self.log) as daemon:
            port = daemon.create("echo", handler=ECHO)
            users = threading.Thread(target=use_many,
                                     args=([(port, "fin")] * count,))
            users.start()
            files = [self.log]
            for i in range(6):
                files.append(f"{self.log}.{i}")
                os.rename(self.log, files[-1])
                if i % 2 == 0:
                    daemon.process.send_signal(signal.SIGHUP)
                daemon.await_error(f"the access log was opened anew: {self.log}")
                # After SIGHUP that may be said twice: the first time since the
                # file was gone.
                deadline = time.monotonic() + DEADLINE
                while not os.path.exists(self.log):
                    self.assertLess(time.monotonic(), deadline)
                    os.sched_yield()
            users.join()
            self.assertEqual(daemon.stop(), 0)
        seen = collections.Counter()
        for path in files:
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            seen.update(line["connection"] for line in lines_of(path))
        self.assertEqual(len(seen), count)
        self.assertEqual(set(seen.values()), {1})

    def test_a_full_disk_is_said_once_and_ends_nothing(self):
        disk = f"{self.folder}/disk"
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs",
                        disk], check=True)
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        log = f"{disk}/access.log"
        count = 1000
        with Daemon("--access-log", log) as daemon:
            port = daemon.create("echo", handler=ECHO)
            use_many([(port, "fin")] * (count // 2))
            daemon.await_error("write the access log: No space left on device")
            use_many([(port, "fin")] * (count // 2))
            subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
            self.assertEqual(daemon.stop(), 0)
            self.assertEqual(
                sum("access log" in line for line in daemon.errors), 1,
                daemon.errors)
        seen = collections.Counter()
        torn = 0
        with open(log, encoding="utf-8") as file:
            for line in file:
                try:
                    seen[json.loads(line)["connection"]] += 1
                except json.JSONDecodeError:
                    torn += 1
        self.assertEqual(len(seen), count)
        self.assertEqual(set(seen.values()), {1})
        self.assertLessEqual(torn, 1)

    def test_a_start_that_cannot_have_it_fails_by_a_line(self):
        def fail(*flags):
            done = subprocess.run(
                [PORTREEVED, "--control", f"tcp:{LOOPBACK}:0", *flags],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                check=False, timeout=DEADLINE)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            return done.returncode, done.stderr

        missing = f"{self.folder}/missing/a.log"
        self.assertEqual(fail("--access-log", missing),
                         (1, "portreeved: --access-log: open "
                             f"{missing}: No such file or directory\n"))
        both = ("--audit and --access-log: both are {}; each needs a file of "
                "its own\n")
        status, text = fail("--access-log", self.log, "--audit", self.log)
        self.assertEqual((status, text),
                         (2, "portreeved: " + both.format(self.log)))
        link = f"{self.folder}/link"
        os.symlink(self.log, link)
        status, text = fail("--access-log", self.log, "--audit", link)
        self.assertEqual((status, text), (1, "portreeved: " + both.format(link)))

    def test_stderr_may_have_it(self):
        with Daemon("--access-log", "-") as daemon:
            port = daemon.create("echo", handler=ECHO)
            use(port, "fin")
            daemon.await_error('"event":"close","listener":"echo"')
            self.assertEqual(daemon.stop(), 0)

    def test_the_command_line_and_the_state_know_it(self):
        state = f"{self.folder}/state"
        with Daemon("--state", state) as daemon:
            daemon.cli("create", "web", "--listen", f"tcp:{LOOPBACK}:0",
                       "--echo", "--access-log", "on-open-and-close",
                       "--access-log-every", "1h")
            self.assertRegex(daemon.cli("get", "web").stdout,
                             "access log: +ON_OPEN_AND_CLOSE,every=1h\n")
            daemon.cli("update", "web", "--access-log", "on-close")
            listed = json.loads(daemon.cli("list", "-o", "json").stdout)
            self.assertEqual(listed["listeners"][0]["spec"]["accessLog"],
                             {"mode": "ACCESS_LOG_MODE_ON_CLOSE",
                              "every": "3600s"})
            refused = daemon.cli("update", "web", "--access-log-every", "1ms",
                                 check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("--access-log-every", refused.stderr)
            exported = daemon.cli("export").stdout
            self.assertEqual(daemon.stop(), 0)
        with Daemon("--state", state) as daemon:
            self.assertRegex(daemon.cli("get", "web").stdout,
                             "access log: +ON_CLOSE,every=1h\n")
            file = f"{self.folder}/web.yaml"
            with open(file, "w", encoding="utf-8") as out:
                out.write(exported)
            daemon.cli("diff", "-f", file)
            daemon.cli("update", "web", "--unset", "access-log")
            self.assertRegex(daemon.cli("get", "web").stdout,
                             "access log: +-\n")
            changed = daemon.cli("diff", "-f", file, check=False)
            self.assertIn("access_log", changed.stdout)
            daemon.cli("apply", "-f", file)
            self.assertRegex(daemon.cli("get", "web").stdout,
                             "access log: +ON_CLOSE,every=1h\n")


if __name__ == "__main__":
    # Clients that nobody closes are a part of the test.
    unittest.main(argv=sys.argv[:1], verbosity=2, warnings="ignore")
