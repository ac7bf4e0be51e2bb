"""What browsers and curl read and watch over the HTTP port of a daemon: lists,
statistics and events, with cuts and restarts."""

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from service_manager import TIMEOUT, Daemon


def connected(address, receive_buffer=None):
    """A socket that is connected to an address as the daemon writes it."""
    kind, place = address.split(":", 1)
    made = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    made.settimeout(TIMEOUT)
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if kind == "unix":
        made.connect(place)
    else:
        host, port = place.rsplit(":", 1)
        made.connect((host, int(port)))
    return made


class Stream:
    """A stream of server-sent events, read as browsers do."""

    def __init__(self, address, path, last_id=None, version="1.1",
                 method="GET", receive_buffer=None):
        self.socket = connected(address, receive_buffer)
        fields = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        self.socket.sendall(f"{method} {path} HTTP/{version}\r\n"
                            f"Host: localhost\r\n{fields}\r\n".encode())
        self.data = b""
        self.last_id = last_id

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def until(self, end):
        """What comes before `end`; all, where the stream ends first."""
        while end not in self.data:
            some = self.socket.recv(65536)
            if not some:
                rest, self.data = self.data, b""
                return rest.decode(), False
            self.data += some
        text, self.data = self.data.split(end, 1)
        return text.decode(), True

    def head(self):
        text, _ = self.until(b"\r\n\r\n")
        return text

    def next(self):
        """The next (event, id, data); None at the end."""
        while True:
            text, is_whole = self.until(b"\n\n")
            if not is_whole:
                return None
            kind, data, own_id = "message", [], None
            for line in text.split("\n"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data.append(value)
                elif name == "id":
                    self.last_id = own_id = value
            if data:
                return kind, own_id, json.loads("\n".join(data))


class State:
    """What there is, by the events that one has."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.listeners = {}
        self.connections = set()

    def apply(self, event):
        for kind in ("listenerCreated", "listenerUpdated", "listenerRestored",
                     "listenerCloseStarted", "listenerCloseFinished",
                     "listenerHandlersDetermined", "listenerFailed"):
            if kind in event:
                listener = event[kind]["listener"]
                self.listeners[listener["name"]] = listener["spec"]
        if "listenerDeleted" in event:
            del self.listeners[event["listenerDeleted"]["listener"]["name"]]
        if "connectionAccepted" in event:
            self.connections.add(
                event["connectionAccepted"]["connection"]["name"])
        if "connectionClosed" in event:
            self.connections.discard(
                event["connectionClosed"]["connection"]["name"])

    def shown(self):
        return sorted(self.listeners.items()), sorted(self.connections)


class StreamsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.http = f"unix:{folder.name}/http"
        self.control = f"unix:{folder.name}/control"

    def daemon(self, *arguments):
        return Daemon("--control", self.control, "--http", self.http,
                      *arguments)

    def cli(self, *arguments):
        return subprocess.run(
            ["client/portreeve", "--server", self.control, *arguments],
            text=True, capture_output=True, timeout=TIMEOUT, check=True)

    def ask(self, path, status=200):
        with Stream(self.http, path) as stream:
            head = stream.head()
            self.assertTrue(head.startswith(f"HTTP/1.1 {status} "), head)
            self.assertIn("Cache-Control: no-store", head)
            size = int(head.split("Content-Length: ")[1].split()[0])
            while len(stream.data) < size:
                stream.data += stream.socket.recv(65536)
            return json.loads(stream.data)

    def listed(self):
        """What ListListeners and ListConnections give."""
        listeners, token = [], ""
        while True:
            page = self.ask(f"/api/listeners?page_size=2&page_token={token}")
            listeners += page.get("listeners", [])
            token = page.get("nextPageToken", "")
            if not token:
                break
        connections = self.ask("/api/connections?page_size=1000")
        self.assertNotIn("nextPageToken", connections)
        return (sorted((one["name"], one["spec"]) for one in listeners),
                sorted(one["name"] for one in
                       connections.get("connections", [])))

    def make_events(self, port, count):
        """Two of each connection; some of them stay."""
        kept = []
        for i in range(count):
            client = connected(f"tcp:127.0.0.1:{port}")
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            if i % 10 == 0:
                kept.append(client)
            else:
                client.close()
        return kept

    def until_connections(self, count):
        """The daemon knows of those that have gone."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.ask("/api/connections?page_size=1000").get(
                "connections", [])) != count:
            self.assertLess(time.monotonic(), deadline)


class ApiTest(StreamsTest):

    def test_lists_are_those_of_grpc(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            self.cli("create", "web", "--listen", "127.0.0.1:0", "--echo",
                     "--label", "a=<b>")
            page = self.ask("/api/listeners?page_size=1")
            self.assertEqual(len(page["listeners"]), 1)
            web = self.ask("/api/listeners/web")
            self.assertEqual(web["name"], "listeners/web")
            self.assertEqual(web["spec"]["labels"], {"a": "<b>"})
            told = json.loads(self.cli("get", "web", "-o", "json").stdout)
            self.assertEqual(web["uid"], told["uid"])
            port = web["status"]["listeningOn"]["inet"]["port"]
            with connected(f"tcp:127.0.0.1:{port}") as client:
                client.sendall(b"x")
                client.recv(1)
                mine = self.ask("/api/connections?listener=web")
                self.assertEqual([one["listener"] for one in
                                  mine["connections"]], ["listeners/web"])

    def test_the_daemon_is_of_the_life_that_the_streams_are_of(self):
        with self.daemon() as daemon:
            daemon.until_ready()
            about = self.ask("/api/daemon")
            with Stream(self.http, "/stats") as stream:
                stream.head()
                self.assertEqual(stream.next()[2]["instanceId"],
                                 about["instanceId"])

    def test_errors_are_those_of_grpc(self):
        with self.daemon() as daemon:
            daemon.until_ready()
            for path, status, code, reason in (
                    ("/api/listeners/nobody", 404, "NOT_FOUND", "NOT_FOUND"),
                    ("/api/listeners/No", 404, "NOT_FOUND", "NOT_FOUND"),
                    ("/api/connections?listener=nobody", 404, "NOT_FOUND",
                     "NOT_FOUND"),
                    ("/api/connections?listener=a&listener=b", 400,
                     "INVALID_ARGUMENT", "INVALID_FIELD"),
                    ("/api/listeners?page_size=x", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD"),
                    ("/api/listeners?page_size=-1", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD"),
                    ("/api/listeners?page_token=x", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD"),
                    ("/stats?listener=%3Cb%3E", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD"),
                    ("/events?kind=nothing", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD"),
                    ("/events?listener=", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD"),
                    ("/events?snapshot=connections", 400, "INVALID_ARGUMENT",
                     "INVALID_FIELD")):
                with self.subTest(path):
                    told = self.ask(path, status)
                    self.assertEqual((told["code"], told["reason"]),
                                     (code, reason))
                    self.assertTrue(told["message"])


class StatsTest(StreamsTest):

    def test_all_at_once_and_then_what_changes(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            self.cli("create", "web", "--listen", "127.0.0.1:0", "--echo")
            port = self.ask("/api/listeners/web")[
                "status"]["listeningOn"]["inet"]["port"]
            with (Stream(self.http, "/stats") as every,
                  Stream(self.http, "/stats?listener=web") as of_web):
                head = every.head()
                self.assertIn("Content-Type: text/event-stream", head)
                self.assertIn("Cache-Control: no-store", head)
                self.assertIn("X-Accel-Buffering: no", head)
                self.assertNotIn("Content-Length", head)
                of_web.head()
                kind, own_id, stats = every.next()
                self.assertEqual((kind, own_id), ("message", None))
                self.assertEqual(len(stats["listeners"]), 2)
                self.assertGreater(int(stats["daemon"]["openFds"]), 0)
                self.assertEqual(
                    [one["name"] for one in of_web.next()[2]["listeners"]],
                    ["listeners/web"])
                with connected(f"tcp:127.0.0.1:{port}") as client:
                    client.sendall(b"x")
                    self.assertEqual(client.recv(1), b"x")
                    for stream in every, of_web:
                        while not (some := stream.next()[2].get("listeners")):
                            pass
                        self.assertEqual([one["name"] for one in some],
                                         ["listeners/web"])
                        status = some[0]["status"]
                        self.assertEqual(status["numConnections"], 1)
                self.assertEqual(daemon.stop(), 0)
                while every.next() is not None:
                    pass

    def test_the_head_alone(self):
        with self.daemon() as daemon:
            daemon.until_ready()
            for path in "/stats", "/events":
                with Stream(self.http, path, method="HEAD") as stream:
                    self.assertIn("text/event-stream", stream.head())
                    self.assertIsNone(stream.next())

    def test_more_than_a_part_comes_at_once(self):
        with self.daemon() as daemon:
            daemon.until_ready()
            for i in range(30):
                self.cli("create", f"l{i}", "--listen", "127.0.0.1:0",
                         "--echo")
            with Stream(self.http, "/stats") as stream:
                stream.head()
                names = []
                while True:
                    stats = stream.next()[2]
                    names += [one["name"] for one in
                              stats.get("listeners", [])]
                    if not stats.get("hasMore"):
                        break
                self.assertEqual(len(set(names)), 30)


class EventsTest(StreamsTest):

    def setUp(self):
        super().setUp()
        self.kept = []
        self.addCleanup(lambda: [one.close() for one in self.kept])

    def test_a_cut_at_every_event_is_made_good(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            for i in range(10):
                self.cli("create", f"old{i}", "--listen", "127.0.0.1:0",
                         "--echo")
            port = self.ask("/api/listeners/old0")[
                "status"]["listeningOn"]["inet"]["port"]
            self.kept += self.make_events(port, 100)
            self.until_connections(10)
            with Stream(self.http, "/events") as first:
                first.head()
                frames = [first.next()]
                while "snapshotDone" not in frames[-1][2]:
                    frames.append(first.next())
                in_snapshot = len(frames)
                self.assertEqual(in_snapshot, 11 + 10 + 1)
                for _, own_id, event in frames[:-1]:
                    self.assertIsNone(own_id, event)
                for i in range(4):
                    self.cli("create", f"new{i}", "--listen", "127.0.0.1:0",
                             "--echo")
                    self.cli("close", f"old{i + 1}")
                    self.cli("delete", f"old{i + 1}")
                self.kept += self.make_events(port, 80)
                for client in self.kept[5:15]:
                    client.close()
                self.until_connections(8)
                # The last of all.
                self.cli("create", "end", "--listen", "127.0.0.1:0", "--echo")
                while ("listenerCreated" not in frames[-1][2] or
                       frames[-1][2]["listenerCreated"]["listener"]["name"] !=
                       "listeners/end"):
                    frames.append(first.next())
                last_id = first.last_id
            self.assertGreater(len(frames), 200)
            revisions = [int(own_id.split("/")[1])
                         for _, own_id, _ in frames[in_snapshot - 1:]]
            self.assertEqual(revisions, list(range(
                revisions[0], revisions[0] + len(revisions))))
            wanted = self.listed()
            for cut in range(len(frames) + 1):
                state, has = State(), None
                for _, own_id, event in frames[:cut]:
                    state.apply(event)
                    has = own_id or has
                if has is None:
                    state.clear()
                with Stream(self.http, "/events", has) as resumed:
                    resumed.head()
                    came = []
                    while resumed.last_id != last_id:
                        kind, _, event = resumed.next()
                        self.assertEqual(kind, "message")
                        came.append(event)
                        state.apply(event)
                if has is not None:
                    self.assertEqual(
                        came, [event for _, _, event in frames[cut:]], cut)
                self.assertEqual(state.shown(), wanted, cut)

    def test_another_life_is_told_by_a_restart(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            with Stream(self.http, "/events") as stream:
                stream.head()
                while "snapshotDone" not in stream.next()[2]:
                    pass
                old = stream.last_id
                daemon.kill(signal.SIGKILL)
                daemon.wait()
                self.assertIsNone(stream.next())
        os.remove(self.http.removeprefix("unix:"))
        with self.daemon() as daemon:
            daemon.until_ready()
            with Stream(self.http, "/events", old) as stream:
                stream.head()
                self.assertEqual(stream.next(), (
                    "restart", None, {"reason": "INSTANCE_CHANGED"}))
                self.assertIn("snapshotDone", stream.next()[2])
                life = stream.last_id.split("/")[0]
            self.assertNotEqual(life, old.split("/")[0])
            with Stream(self.http, "/events", f"{life}/99") as stream:
                stream.head()
                self.assertEqual(stream.next(), (
                    "restart", None, {"reason": "REVISION_UNKNOWN"}))
                self.assertIn("snapshotDone", stream.next()[2])

    def test_a_snapshot_has_what_is_asked_for(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            port = daemon.printed("listener")[0].rsplit(":", 1)[1]
            self.kept += self.make_events(port, 1)
            for query, wanted in (
                    ("", ["listenerCreated", "connectionAccepted"]),
                    ("?snapshot=all",
                     ["listenerCreated", "connectionAccepted"]),
                    ("?snapshot=listeners", ["listenerCreated"]),
                    ("?snapshot=none", [])):
                with (self.subTest(query),
                      Stream(self.http, f"/events{query}") as stream):
                    stream.head()
                    for kind in wanted + ["snapshotDone"]:
                        self.assertIn(kind, stream.next()[2])
                    # What follows is the same.
                    done = int(stream.last_id.split("/")[1])
                    self.kept += self.make_events(port, 1)
                    _, own_id, event = stream.next()
                    self.assertIn("connectionAccepted", event)
                    self.assertEqual(int(own_id.split("/")[1]), done + 1)
                    self.kept.pop().close()
                    self.assertIn("connectionClosed", stream.next()[2])

    def test_an_id_in_the_query_is_as_good_as_the_header(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            with Stream(self.http, "/events?snapshot=none") as stream:
                stream.head()
                self.assertIn("snapshotDone", stream.next()[2])
                first = stream.last_id
            for name in "a", "b":
                self.cli("create", name, "--listen", "127.0.0.1:0", "--echo")
            path = "/events?last_event_id=" + first.replace("/", "%2F")
            with Stream(self.http, path) as stream:
                stream.head()
                listeners = []
                for _ in range(2):
                    _, own_id, event = stream.next()
                    listeners.append((own_id, event["listenerCreated"][
                        "listener"]["name"]))
            self.assertEqual([name for _, name in listeners],
                             ["listeners/a", "listeners/b"])
            # A browser that was cut asks for the same with a header that is
            # newer.
            with Stream(self.http, path, last_id=listeners[0][0]) as stream:
                stream.head()
                self.assertEqual(stream.next()[1], listeners[1][0])
            with Stream(self.http, "/events?last_event_id=x/1") as stream:
                stream.head()
                self.assertEqual(stream.next(), (
                    "restart", None, {"reason": "INSTANCE_CHANGED"}))

    def test_filters_and_the_old_version(self):
        with self.daemon() as daemon:
            daemon.until_ready()
            path = "/events?listener=a&kind=Listener_Created"
            with Stream(self.http, path, version="1.0") as stream:
                self.assertNotIn("chunked", stream.head())
                self.assertIn("snapshotDone", stream.next()[2])
                for name in "b", "a":
                    self.cli("create", name, "--listen", "127.0.0.1:0",
                             "--echo")
                listener = stream.next()[2]["listenerCreated"]["listener"]
                self.assertEqual(listener["name"], "listeners/a")

    def test_who_does_not_read_slows_nobody(self):
        with self.daemon("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            port = daemon.printed("listener")[0].rsplit(":", 1)[1]
            watch = subprocess.Popen(
                ["client/portreeve", "--server", self.control, "watch", "-o",
                 "json"], stdout=subprocess.PIPE, text=True)
            self.addCleanup(watch.stdout.close)
            self.addCleanup(watch.wait)
            self.addCleanup(watch.kill)
            with (Stream(self.http, "/events?kind=connection_closed",
                         receive_buffer=4096) as stalled,
                  Stream(self.http, "/events?kind=connection_closed") as reads):
                reads.head()
                stalled.head()
                for stream in stalled, reads:
                    self.assertIn("snapshotDone", stream.next()[2])
                closed = 0
                is_cut = False
                while not is_cut:
                    for client in self.make_events(port, 100):
                        client.close()
                    for _ in range(100):
                        self.assertIn("connectionClosed", reads.next()[2])
                        closed += 1
                    is_cut = self.is_cut(stalled.socket)
                while "connectionClosed" not in (line := json.loads(
                        watch.stdout.readline())):
                    self.assertTrue(line)
                # It resumes where it was.
                with Stream(self.http, "/events?kind=connection_closed",
                            stalled.last_id) as resumed:
                    resumed.head()
                    for _ in range(closed):
                        self.assertIn("connectionClosed", resumed.next()[2])

    @staticmethod
    def is_cut(sock):
        poll = select.poll()
        poll.register(sock, 0)
        return bool(poll.poll(0))  # POLLHUP, POLLERR.


if __name__ == "__main__":
    unittest.main()
