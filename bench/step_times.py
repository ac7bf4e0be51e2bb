"""How long those who look at the daemon hold its loop.

The daemon has many listeners and connections, of which one carries a byte there
and back as fast as it can (step_ping.py): a step of the loop that takes long is
one of its round trips.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import machine
from processes import Process, binary

HERE = os.path.dirname(os.path.realpath(__file__))
# What is begun by a look, and goes on after its answer, is counted with it.
AFTERWARDS = 0.1
PAGE = "page_size=1000"


class Daemon(Process):
    """With `listeners` that echo, and one more for the ping."""

    def __init__(self, cpu, program, listeners, flags):
        self.folder = tempfile.TemporaryDirectory()
        documents = [document(f"web-{i:04}") for i in range(listeners)]
        path = os.path.join(self.folder.name, "listeners.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("".join([*documents, document("ping")]))
        super().__init__(
            [program, "--control", "tcp:127.0.0.1:0",
             "--http", "tcp:127.0.0.1:0", "--loops", "1",
             "--listeners", self.folder.name, *flags], cpu)
        self.http = self.line("portreeved: http tcp:")
        self.control = self.line("portreeved: control tcp:")
        self.line("portreeved: ready")

    def loop(self):
        """The thread."""
        return next(tid for tid, (name, _, _)
                    in machine.threads(self.child.pid).items()
                    if name.startswith("loop-"))

    def get(self, target):
        """The body of the answer."""
        connection = http.client.HTTPConnection(self.http)
        connection.request("GET", target)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            self.fail(f"{target}: {answer.status} {body}")
        return body

    def list(self, what, more=""):
        """All pages of a list."""
        found, token = [], ""
        while True:
            page = json.loads(self.get(
                f"/api/{what}?{PAGE}&page_token={token}{more}"))
            found += page.get(what, [])
            token = page.get("nextPageToken")
            if not token:
                return found

    @contextlib.contextmanager
    def stream(self, target, ends):
        """Reads a stream until a message has what `ends` says, and holds it."""
        connection = http.client.HTTPConnection(self.http)
        connection.request("GET", target)
        answer = connection.getresponse()
        for line in answer:
            if line.startswith(b"data:") and ends(line):
                break
        else:
            self.fail(f"{target} has ended")
        yield answer
        answer.close()
        connection.close()

    def client(self, *words):
        """What the command-line client prints."""
        return subprocess.run(
            [binary("client/portreeve"), "--server", self.control, *words],
            check=True, capture_output=True, text=True).stdout

    def stop(self):
        super().stop()
        self.folder.cleanup()


def document(name):
    return f"""\
---
name: {name}
spec:
  where_to_listen: {{inet: {{address: 127.0.0.1, port: 0}}}}
  max_connections: 100000
  max_pending_connections: 4096
  handler: {{echo: {{}}}}
"""


class Ping(Process):
    def __init__(self, cpu, port, thread):
        super().__init__(
            ["/usr/bin/python3", "-B", f"{HERE}/step_ping.py", port, thread],
            cpu, stdin=subprocess.PIPE)
        self.line("ready")

    def longest(self):
        """Of the time since the last call."""
        self.say()
        return json.loads("{" + self.line("{"))


class Clients(Process):
    def __init__(self, cpu, connections, ports):
        super().__init__(
            ["/usr/bin/python3", "-B", f"{HERE}/step_clients.py", connections,
             *ports], cpu, stdin=subprocess.PIPE)
        self.line("ready")


@contextlib.contextmanager
def page(daemon):
    """What the page for browsers reads, from its beginning on."""
    with (daemon.stream("/stats", lambda line: b'"hasMore":true' not in line),
          daemon.stream("/events", lambda line: b'"snapshotDone"' in line)):
        yield


def open_pages(daemon, count):
    def open_one():
        with page(daemon):
            pass

    threads = [threading.Thread(target=open_one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def reading(daemon, *words):
    """A command of the client that goes on, once it has begun to speak."""
    with Process([binary("client/portreeve"), "--server", daemon.control,
                  *words], machine.cpus()[0]) as command:
        command.line()
        drain = threading.Thread(target=lambda: [*command.child.stdout])
        drain.start()
        yield
        command.child.terminate()
        drain.join()


@contextlib.contextmanager
def page_that_is_read(daemon):
    """A page that stays open."""
    with daemon.stream("/stats", lambda line: True) as stats:
        drain = threading.Thread(target=lambda: [*read_on(stats)])
        with daemon.stream("/events", lambda line: b'"snapshotDone"' in line):
            drain.start()
            yield
            stats.fp.raw._sock.shutdown(2)
            drain.join()


def read_on(answer):
    try:
        yield from answer
    except (OSError, ValueError, http.client.HTTPException):
        pass  # It was closed.


def single_looks(daemon):
    """Those that are begun anew each time."""
    listener = daemon.list("listeners")[-1]["name"].split("/")[1]
    connection = daemon.list("connections")[-1]["name"]
    return {
        "nothing": lambda: None,
        "GET /metrics": lambda: daemon.get("/metrics"),
        "GET /api/listeners, all pages of 1000":
            lambda: daemon.list("listeners"),
        "GET /api/connections, all pages of 1000":
            lambda: daemon.list("connections"),
        "GET /api/connections of one listener":
            lambda: daemon.list("connections", f"&listener={listener}"),
        "the page opens": lambda: open_pages(daemon, 1),
        "three pages open": lambda: open_pages(daemon, 3),
        "portreeve top --once": lambda: daemon.client("top", "--once"),
        "portreeve list": lambda: daemon.client("list"),
        "portreeve connections": lambda: daemon.client("connections"),
        "portreeve describe, a listener":
            lambda: daemon.client("describe", listener),
        "portreeve describe, a connection":
            lambda: daemon.client("describe", connection),
    }


def long_looks(daemon):
    """Those that go on."""
    return {
        "the page, while it is open": lambda: page_that_is_read(daemon),
        "portreeve top": lambda: reading(daemon, "top", "-o", "json"),
        "portreeve watch": lambda: reading(daemon, "watch", "--snapshot"),
    }


class Table:
    def __init__(self, ping, times, pause):
        self.ping = ping
        self.times = times
        self.pause = pause

    def head(self):
        print("| what | held, median ms | held, longest ms | round trip, "
              "longest ms |\n|---|---|---|---|", flush=True)

    def measure(self, name, look):
        """Calls `look` again and again."""
        rows = []
        self.ping.longest()
        for _ in range(self.times):
            look()
            time.sleep(self.pause)
            rows.append(self.ping.longest())
        held = [row["held"] * 1e3 for row in rows]
        print(f"| {name} | {statistics.median(held):.1f} | {max(held):.1f} | "
              f"{max(row['round_trip'] for row in rows) * 1e3:.1f} |",
              flush=True)


def run(options):
    here, there = machine.cpus()[0], machine.cpus()[-1]
    machine.raise_limits()
    machine.raise_priority()
    os.sched_setaffinity(0, {here})
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(
            Daemon(there, options.portreeved, options.listeners, options.flag))
        ports = {found["name"]: int(found["status"]["listeningOn"]["inet"]["port"])
                 for found in daemon.list("listeners")}
        ping_port = ports.pop("listeners/ping")
        first = min(options.connections, len(ports))
        stack.enter_context(Clients(here, first, [*ports.values()]))
        for name in [*ports][:options.close]:
            daemon.client("close", name)
            del ports[name]
        stack.enter_context(
            Clients(here, options.connections - first, [*ports.values()]))
        ping = stack.enter_context(Ping(here, ping_port, daemon.loop()))
        if options.pid:
            print(daemon.child.pid, daemon.loop(), flush=True)
        table = Table(ping, options.times, AFTERWARDS)
        table.head()
        for name, look in single_looks(daemon).items():
            if any(wanted in name for wanted in options.looks):
                table.measure(name, look)
        table = Table(ping, options.times, 1)
        for name, begin in long_looks(daemon).items():
            if any(wanted in name for wanted in options.looks):
                with begin():
                    table.measure(name, lambda: None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--close", type=int, default=0,
                        help="how many of the listeners are closed once each "
                        "has a connection, which saves their descriptors")
    parser.add_argument("--times", type=int, default=30,
                        help="how often each look is taken")
    parser.add_argument("--looks", nargs="+", default=[""],
                        help="only looks whose names have one of these")
    parser.add_argument("--flag", action="append", default=[],
                        help="one more of the daemon's, like "
                        "--flag=--metrics-histograms=listener")
    parser.add_argument("--portreeved", default=binary("server/portreeved"),
                        help="another build of the daemon")
    parser.add_argument("--pid", action="store_true",
                        help="says the daemon's process and the loop's thread, "
                        "for perf")
    run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
