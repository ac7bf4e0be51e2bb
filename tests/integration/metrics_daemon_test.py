"""The metrics of a daemon that works: they are what a watcher of its events
counts, over ten thousand connections of all kinds, promtool takes them, and they
never fall."""

import collections
import http.client
import itertools
import math
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading

import grpc
from portreeve.v1 import (connection_pb2, connection_pb2_grpc, event_pb2,
                          event_pb2_grpc, listener_pb2, listener_pb2_grpc,
                          stats_pb2, stats_pb2_grpc)

PORTREEVED = sys.argv[1]
DEADLINE = 60
LOOPBACK = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
CLIENTS = 4
ROUNDS = 250  # Of each client, of ten connections.
SERIES = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Daemon:
    def __init__(self, folder, *flags):
        # Each has a place of its own, since gRPC shares channels to one.
        self.target = f"unix:{tempfile.mkdtemp(dir=folder)}/control"
        self.process = subprocess.Popen(
            [PORTREEVED, "--control", self.target, "--http",
             f"tcp:{LOOPBACK}:0", "--loops", "2", *flags],
            stdout=subprocess.PIPE, text=True)
        self.http = None
        for line in self.process.stdout:
            if line.startswith("portreeved: http tcp:"):
                self.http = int(line.rsplit(":", 1)[1])
            if line == "portreeved: ready\n":
                break
        channel = grpc.insecure_channel(self.target)
        self.listeners = listener_pb2_grpc.ListenerServiceStub(channel)
        self.connections = connection_pb2_grpc.ConnectionServiceStub(channel)
        self.events = event_pb2_grpc.EventServiceStub(channel)
        self.stats = stats_pb2_grpc.StatsServiceStub(channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(DEADLINE) == 0

    def text(self, query=""):
        connection = http.client.HTTPConnection(LOOPBACK, self.http,
                                                timeout=DEADLINE)
        connection.request("GET", "/metrics" + query)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, (answer.status, text)
        kind = answer.getheader("Content-Type")
        assert kind.startswith("text/plain; version=0.0.4"), kind
        return text

    def scrape(self, query=""):
        """Gives {(name, labels as a frozenset of pairs): value}."""
        values = {}
        for line in self.text(query).splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SERIES.match(line).groups()
            key = (name, frozenset(LABEL.findall(labels or "")))
            assert key not in values, line
            values[key] = float(value)
        return values

    def create(self, listener_id, **fields):
        request = listener_pb2.CreateListenerRequest(listener_id=listener_id)
        where = request.spec.where_to_listen
        where.inet.address = LOOPBACK
        upstream = fields.pop("upstream", None)
        if upstream:
            inet = request.spec.handler.forward.upstream.inet
            inet.host, inet.port = LOOPBACK, upstream
        else:
            request.spec.handler.echo.SetInParent()
        for name, value in fields.items():
            setattr(request.spec, name, value)
        made = self.listeners.CreateListener(request, timeout=DEADLINE)
        return made.status.listening_on.inet.port

    def remove(self, listener_id):
        name = "listeners/" + listener_id
        self.listeners.CloseListener(
            listener_pb2.CloseListenerRequest(name=name), timeout=DEADLINE)
        self.listeners.DeleteListener(
            listener_pb2.DeleteListenerRequest(name=name), timeout=DEADLINE)


def lower(enum, number, prefix):
    return enum.Name(number)[len(prefix):].lower()


class Watcher(threading.Thread):
    """Counts events as the metrics of the same name do."""

    def __init__(self, daemon, of_listeners):
        super().__init__()
        self.of_listeners = of_listeners  # Whether each has histograms.
        self.values = collections.Counter()
        self.call = daemon.events.WatchEvents(
            event_pb2.WatchEventsRequest(start_revision=1))
        self.call.initial_metadata()
        self.revision = 0
        self.changed = threading.Condition()
        self.start()

    def count(self, name, value=1, **labels):
        self.values["portreeve_" + name, frozenset(labels.items())] += value

    def run(self):
        try:
            for answer in self.call:
                for event in answer.events:
                    self.see(event)
                with self.changed:
                    self.revision = answer.events[-1].revision
                    self.changed.notify_all()
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.CANCELLED, error

    def see(self, event):
        kind = event.WhichOneof("kind")
        assert kind != "gap"
        self.count("events_total", kind=kind)
        if kind == "connection_accepted":
            self.count("listener_accepted_total",
                       listener=self.listener_of(event.connection_accepted))
        elif kind == "connection_dropped":
            listener = self.listener_of(event.connection_dropped)
            self.count("listener_accepted_total", listener=listener)
            self.count("listener_dropped_total", listener=listener)
            self.see_end(listener, event.connection_dropped.connection)
        elif kind == "connection_closed":
            self.see_end(self.listener_of(event.connection_closed),
                         event.connection_closed.connection)

    @staticmethod
    def listener_of(event):
        return event.connection.listener[len("listeners/"):]

    def see_end(self, listener, connection):
        reason = lower(connection_pb2.CloseReason, connection.close_reason,
                       "CLOSE_REASON_")
        self.count("listener_connections_closed_total", listener=listener,
                   reason=reason)
        if connection.HasField("failure"):
            self.count("upstream_connect_errors_total", listener=listener,
                       reason=connection.failure.reason.lower())
        self.count("listener_received_bytes_total", connection.bytes_received,
                   listener=listener)
        self.count("listener_sent_bytes_total", connection.bytes_sent,
                   listener=listener)
        self.see_in_histograms(listener, connection)

    def see_in_histograms(self, listener, connection):
        labels = {"listener": listener} if self.of_listeners else {}
        self.count("connection_duration_seconds_count", **labels)
        for direction, carried in (("received", connection.bytes_received),
                                   ("sent", connection.bytes_sent)):
            labels_of_bytes = {"direction": direction, **labels}
            self.count("connection_bytes_count", **labels_of_bytes)
            self.count("connection_bytes_sum", carried, **labels_of_bytes)
            if carried <= 64:
                self.count("connection_bytes_bucket", le="64",
                           **labels_of_bytes)
        if connection.HasField("upstream") and not connection.HasField(
                "failure"):
            self.count("upstream_connect_duration_seconds_count", **labels)

    def wait_for(self, revision):
        with self.changed:
            assert self.changed.wait_for(lambda: self.revision >= revision,
                                         DEADLINE)

    def end(self):
        self.call.cancel()
        self.join()


def connect(port):
    client = socket.create_connection((LOOPBACK, port), timeout=DEADLINE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def echo(port, how):
    with connect(port) as client:
        client.sendall(b"hello")
        got = b""
        while len(got) < 5:
            got += client.recv(5 - len(got))
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif how == "half":
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""


def be_cut(port):
    """Of a client that is sent away, which may be before connect(2) returns."""
    try:
        with connect(port) as client:
            assert client.recv(1) == b""
    except ConnectionResetError:
        pass


def hold_none(port):
    """Two at a time, where there is place for one."""
    with connect(port), connect(port):
        pass


def work(ports, rounds):
    for _ in range(rounds):
        echo(ports["echo"], "close")
        echo(ports["echo"], "reset")
        echo(ports["echo"], "half")
        echo(ports["front"], "close")
        echo(ports["front"], "reset")
        be_cut(ports["dropping"])
        be_cut(ports["vain"])
        hold_none(ports["narrow"])
        echo(ports["echo"], "close")


def in_parallel(function, *arguments):
    failed = []

    def run():
        try:
            function(*arguments)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def has_fallen(before, after):
    """Gives the counters that are less than they were."""
    return {key: (value, after.get(key)) for key, value in before.items()
            if re.search(r"_(total|count|bucket|sum)$", key[0])
            and after.get(key, 0) < value}


class Scraper(threading.Thread):
    """Scrapes while others work."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon_ = daemon
        self.stopped = threading.Event()
        self.count = 0
        self.faults = []
        self.start()

    def run(self):
        last = self.daemon_.scrape()
        while not self.stopped.is_set():
            now = self.daemon_.scrape()
            self.faults += has_fallen(last, now).items()
            last = now
            self.count += 1

    def end(self):
        self.stopped.set()
        self.join()
        assert self.count > 3 and not self.faults, self.faults


def sum_of(values, name):
    return sum(value for key, value in values.items()
               if key[0] == "portreeve_" + name)


def check_counters(daemon, rounds, of_listeners):
    with socket.socket() as nobody:
        nobody.bind((LOOPBACK, 0))  # It does not listen.
        ports = {"echo": daemon.create("echo")}
        ports["front"] = daemon.create("front", upstream=ports["echo"])
        ports["dropping"] = daemon.create("dropping",
                                          drop_incoming_connections=True)
        ports["narrow"] = daemon.create("narrow", max_connections=1)
        ports["vain"] = daemon.create("vain", upstream=nobody.getsockname()[1])
        watcher = Watcher(daemon, of_listeners)
        scraper = Scraper(daemon)
        in_parallel(work, ports, rounds)
        scraper.end()
    # Each of the clients', and what front makes of its own.  The end of the last
    # ones is a moment away.
    accepted = CLIENTS * rounds * (10 + 2)
    values = daemon.scrape()
    while (sum_of(values, "listener_connections") > 0
           or sum_of(values, "listener_accepted_total") < accepted):
        values = daemon.scrape()
    watcher.wait_for(sum_of(values, "events_total"))
    watcher.end()
    assert sum_of(values, "listener_accepted_total") == accepted
    assert sum_of(values, "listener_connections_closed_total") == accepted
    for key, value in watcher.values.items():
        assert values[key] == value, (key, value, values.get(key))
    assert len(watcher.values) > 20, watcher.values
    assert sum_of(values, "connection_duration_seconds_count") == accepted
    assert values["portreeve_events_dropped_by_watchers_total",
                  frozenset()] == 0
    return values


def check_requests(daemon):
    """Each request counts, by its method and code."""
    def counts():
        return {key: value for key, value in daemon.scrape().items()
                if key[0] == "portreeve_control_requests_total"}

    before = counts()
    get = listener_pb2.GetListenerRequest(name="listeners/none")
    for _ in range(7):
        try:
            daemon.listeners.GetListener(get, timeout=DEADLINE)
            raise AssertionError("there is one")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
    after = counts()
    key = ("portreeve_control_requests_total",
           frozenset({("method", "GetListener"), ("code", "NOT_FOUND")}))
    assert after[key] - before.get(key, 0) == 7
    # The watch of before was cancelled.
    assert after["portreeve_control_requests_total", frozenset(
        {("method", "WatchEvents"), ("code", "CANCELLED")})] == 1
    values = daemon.scrape()
    name = "portreeve_control_request_duration_seconds_count"
    for method in ("GetListener", "CreateListener"):
        answered = sum(value for (_, labels), value in after.items()
                       if ("method", method) in labels)
        assert values[name, frozenset({("method", method)})] == answered


def check_end_of_a_listener(daemon):
    before = daemon.scrape()
    daemon.remove("dropping")
    after = daemon.scrape()
    assert not any(("listener", "dropping") in labels for _, labels in after)
    fallen = has_fallen(before, after)
    assert all(("listener", "dropping") in labels for _, labels in fallen)


def check_stats(daemon, values, of_listeners):
    """WatchStats tells the same histograms."""
    call = daemon.stats.WatchStats(stats_pb2.WatchStatsRequest())
    stats = next(iter(call))
    call.cancel()

    def check(told, labels):
        for histogram, name, more in (
                (told.connection_duration, "connection_duration_seconds", {}),
                (told.connect_latency, "upstream_connect_duration_seconds", {}),
                (told.connection_bytes, "connection_bytes",
                 {"direction": "received"}),
                (told.connection_sent_bytes, "connection_bytes",
                 {"direction": "sent"})):
            key = frozenset({**labels, **more}.items())
            buckets = sorted(
                (float(bound), value) for (series, labels_of), value
                in values.items() for label, bound in labels_of
                if series == f"portreeve_{name}_bucket" and label == "le"
                and labels_of - {(label, bound)} == key)
            cumulative = list(itertools.accumulate(histogram.counts))
            # Of what never connects to upstreams /metrics has nothing.
            expected = [value for _, value in buckets] or [0] * 11
            assert cumulative == expected, (name, labels, cumulative, expected)
            total = values.get((f"portreeve_{name}_sum", key), 0)
            assert math.isclose(histogram.sum, total, rel_tol=1e-6), (
                name, histogram.sum, total)

    closed = sum(listener.closed_total for listener in stats.listeners)
    assert sum(stats.daemon.connection_duration.counts) == closed
    if not of_listeners:
        check(stats.daemon, {})
    for listener in stats.listeners:
        assert listener.HasField("connection_duration") == of_listeners
        if of_listeners:
            check(listener, {"listener": listener.name[len("listeners/"):]})


def check_without(folder):
    with Daemon(folder, "--metrics-histograms", "off") as daemon:
        echo(daemon.create("echo"), "half")
        while sum_of(daemon.scrape(),
                     "listener_connections_closed_total") == 0:
            pass
        assert not any(name.startswith(("portreeve_connection_",
                                        "portreeve_upstream_"))
                       for name, _ in daemon.scrape())
        call = daemon.stats.WatchStats(stats_pb2.WatchStatsRequest())
        stats = next(iter(call))
        call.cancel()
        assert not stats.daemon.HasField("connection_duration")


def check_of_one(daemon):
    values = daemon.scrape("?listener=echo&listener=none&listener=front")
    listeners = {value for _, labels in values for name, value in labels
                 if name == "listener"}
    assert listeners == {"echo", "front"}, listeners
    assert all(name.startswith(("portreeve_listener_", "portreeve_upstream_"))
               for name, _ in values)


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        with Daemon(folder) as daemon:
            values = check_counters(daemon, ROUNDS, of_listeners=False)
            subprocess.run(["promtool", "check", "metrics"],
                           input=daemon.text().encode(), check=True)
            assert ("portreeve_loop_lag_seconds",
                    frozenset({("loop", "1")})) in values
            assert values["portreeve_ready", frozenset()] == 1
            assert values["process_open_fds", frozenset()] < 2048
            assert values["process_max_fds", frozenset()] == 2048
            check_stats(daemon, values, of_listeners=False)
            check_requests(daemon)
            check_of_one(daemon)
            check_end_of_a_listener(daemon)
        with Daemon(folder, "--metrics-histograms", "listener") as daemon:
            values = check_counters(daemon, ROUNDS // 10, of_listeners=True)
            subprocess.run(["promtool", "check", "metrics"],
                           input=daemon.text().encode(), check=True)
            check_stats(daemon, values, of_listeners=True)
            check_end_of_a_listener(daemon)
        check_without(folder)


if __name__ == "__main__":
    os.environ["no_proxy"] = "*"
    main()
