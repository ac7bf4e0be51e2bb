"""Every way in which a forward fails, against real failures.

`portreeve get`, `portreeve watch` and one line of the log name the cause of
each.
"""

import contextlib
import json
import os
import queue
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading

PORTREEVED, PORTREEVE = sys.argv[1:3]
DEADLINE = 30
LOOPBACK = "127.0.0.1"
UNREACHED = "UPSTREAM_UNREACHABLE"

NAME_SERVER = "127.0.0.53"
TYPE_A = 1
LISTENS = "0A"  # In /proc/net/tcp.
NO_SUCH_NAME = 3
# What the name server says of names; of SILENT it says nothing, and of others
# that there are none.
ADDRESSES = {"here.test": LOOPBACK, "metadata.test": "169.254.169.254"}
SILENT = "silent.test"
UNKNOWN = "unknown.test"


def serve_names(server):
    while True:
        query, client = server.recvfrom(4096)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels)
        question = query[12:at + 5]
        (kind,) = struct.unpack(">H", query[at + 1:at + 3])
        found = name in ADDRESSES and kind == TYPE_A
        if name == SILENT:
            continue
        code = 0 if name in ADDRESSES else NO_SUCH_NAME
        answer = query[:2] + struct.pack(
            ">HHHHH", 0x8180 | code, 1, int(found), 0, 0) + question
        if found:
            answer += struct.pack(">HHHIH4s", 0xC00C, TYPE_A, 1, 0, 4,
                                  socket.inet_aton(ADDRESSES[name]))
        server.sendto(answer, client)


def be_name_server(folder):
    path = f"{folder}/resolv.conf"
    with open(path, "w") as file:
        file.write(f"nameserver {NAME_SERVER}\n")
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((NAME_SERVER, 53))
    threading.Thread(target=serve_names, args=(server,), daemon=True).start()


class Daemon:
    def __init__(self):
        self._process = subprocess.Popen(
            [PORTREEVED, "--control", f"tcp:{LOOPBACK}:0"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        for line in self._process.stdout:
            if line.startswith("portreeved: control "):
                self.control = line.split()[-1]
            if line == "portreeved: ready\n":
                break
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.all_lines = []

    def _read(self):
        for line in self._process.stderr:
            self._lines.put(line)

    def line_about(self, listener):
        """The next line of the log that names it; not one of the audit."""
        while True:
            line = self._lines.get(timeout=DEADLINE)
            self.all_lines.append(line)
            if f" listeners/{listener} connections/" in line and line[0] != "{":
                return line

    def end(self):
        """The log."""
        self._process.terminate()
        assert self._process.wait(timeout=DEADLINE) == 0
        return self.all_lines

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _has_control_connections(self):
        """Clients of before, whose descriptors would be free soon."""
        port = f":{int(self.control.rsplit(':', 1)[1]):04X}"
        with open(f"/proc/{self.pid}/net/tcp") as sockets:
            rows = [line.split() for line in list(sockets)[1:]]
        inodes = {row[9] for row in rows
                  if row[1].endswith(port) and row[3] != LISTENS}
        links = set()
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.add(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
        return any(f"socket:[{inode}]" in links for inode in inodes)

    def cli(self, *words):
        return subprocess.run(
            [PORTREEVE, "--server", self.control, *words], check=True,
            stdout=subprocess.PIPE, text=True, timeout=DEADLINE).stdout

    @contextlib.contextmanager
    def with_one_descriptor_left(self):
        """It has that for the client, and none for the upstream."""
        while self._has_control_connections():
            os.sched_yield()
        used = {int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd")}
        free = (fd for fd in range(len(used) + 2) if fd not in used)
        next(free)
        limits = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE,
                         (next(free), limits[1]))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, limits)


def tcp(kind=socket.AF_INET):
    return socket.socket(kind, socket.SOCK_STREAM)


def listen(backlog=16):
    server = tcp()
    server.bind((LOOPBACK, 0))
    server.listen(backlog)
    return server


def port_of(server):
    return server.getsockname()[1]


class Failures:
    """The upstreams, each of which fails in its own way."""

    def __init__(self, folder):
        # Nobody listens, and nobody else can.
        self.closed = tcp()
        self.closed.bind((LOOPBACK, 0))
        # Nobody answers the SYN: the backlog is full.
        self.deaf = listen(0)
        self.fillers = [tcp() for _ in range(2)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(self.deaf.getsockname())
        self.missing = f"{folder}/missing"
        self.full = f"{folder}/full"
        self.full_server = tcp(socket.AF_UNIX)
        self.full_server.bind(self.full)
        self.full_server.listen(0)
        filler = tcp(socket.AF_UNIX)
        filler.connect(self.full)
        self.fillers.append(filler)
        self.resetting = listen()
        threading.Thread(target=self._reset_all, daemon=True).start()
        self.good = listen()

    def _reset_all(self):
        while True:
            client, _ = self.resetting.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 1, 0))
            client.close()

    def table(self):
        """For each: the upstream, the reason, the errno, the message after the
        upstream in the log, and what the event names as the upstream."""
        closed = f"tcp:{LOOPBACK}:{port_of(self.closed)}"
        deaf = f"tcp:{LOOPBACK}:{port_of(self.deaf)}"
        good = f"tcp:{LOOPBACK}:{port_of(self.good)}"
        by_name = f"tcp:here.test:{port_of(self.deaf)}"
        refused_by_name = f"tcp:here.test:{port_of(self.closed)}"
        timeout = "connection attempt timeout "
        return {
            "refused": (closed, "CONNECT_REFUSED", 111,
                        f"connect {closed}: Connection refused", closed),
            "refused-by-name": (
                refused_by_name, "CONNECT_REFUSED", 111,
                f"connect {closed}: Connection refused", closed),
            "no-such-name": (f"tcp:{UNKNOWN}:80", "DNS_FAILURE", 0,
                             f"resolve tcp:{UNKNOWN}:80: no address", "-"),
            "silent-name-server": (
                f"tcp:{SILENT}:80", "DNS_FAILURE", 0,
                f"resolve {SILENT}: no answer within the connect timeout", "-"),
            "black-hole": (deaf, "CONNECT_TIMEOUT", 0, timeout + deaf, deaf),
            "timeout-by-name": (by_name, "CONNECT_TIMEOUT", 0,
                                timeout + by_name, deaf),
            "no-route": ("tcp:192.0.2.1:80", "NO_ROUTE", 101,
                         "connect tcp:192.0.2.1:80: Network is unreachable",
                         "tcp:192.0.2.1:80"),
            "policy": ("tcp:metadata.test:80", "OUTSIDE_POLICY", 0,
                       "169.254.169.254 is in the policy's dial.deny.cidrs",
                       "-"),
            "missing-file": (
                f"unix:{self.missing}", "CONNECT_REFUSED", 2,
                f"connect unix:{self.missing}: No such file or directory",
                f"unix:{self.missing}"),
            "full-file": (f"unix:{self.full}", "CONNECT_TIMEOUT", 11,
                          f"{timeout}unix:{self.full}: the backlog is full",
                          f"unix:{self.full}"),
            "no-descriptors": (good, "FD_LIMIT", 24,
                               f"socket {good}: Too many open files", good),
        }


def connect_once(daemon, name):
    """A client of the listener, that sees a reset."""
    listener = json.loads(daemon.cli("-o", "json", "get", name))
    on = listener["status"]["listeningOn"]["inet"]
    with tcp() as client:
        client.settimeout(DEADLINE)
        limit = (daemon.with_one_descriptor_left()
                 if name == "no-descriptors" else contextlib.nullcontext())
        with limit:
            try:
                client.connect((on["address"], on["port"]))
                got = client.recv(1)
            except ConnectionResetError:
                return
    raise AssertionError(f"{name}: {got} in place of a reset")


def view(daemon, name):
    """What `get` says of a listener."""
    return dict(line.split(":", 1)
                for line in daemon.cli("get", name).splitlines())


def watch(daemon, number, *options):
    """The lines of all ends of connections: two a listener, and one more."""
    process = subprocess.Popen(
        [PORTREEVE, "--server", daemon.control, *options, "watch",
         "--kind", "connection-closed", "--from-revision", "1"],
        stdout=subprocess.PIPE, text=True)
    lines = [next(process.stdout) for _ in range(2 * number + 1)]
    process.kill()
    process.wait()
    return lines


def main(folder):
    be_name_server(folder)
    failures = Failures(folder)
    daemon = Daemon()
    try:
        table = failures.table()
        for name, (upstream, reason, _, message, _) in table.items():
            print(name)
            daemon.cli("create", name, "--listen", f"tcp:{LOOPBACK}:0",
                       "--forward", upstream, "--connect-timeout",
                       "500ms" if "timeout" in message else "30s")
            connect_once(daemon, name)
            line = daemon.line_about(name)
            for word in (upstream, reason, message):
                assert word in line, (word, line)
            closes = view(daemon, name)["closed by reason"].split()
            assert closes == [f"{UNREACHED}=1", f"{UNREACHED}/{reason}=1"], (
                name, closes)
            # The second is no line, but counted.
            connect_once(daemon, name)
            closes = view(daemon, name)["closed by reason"].split()
            assert closes == [f"{UNREACHED}=2", f"{UNREACHED}/{reason}=2"], (
                name, closes)

        daemon.cli("create", "reset-at-once", "--listen", f"tcp:{LOOPBACK}:0",
                   "--forward", f"tcp:{LOOPBACK}:{port_of(failures.resetting)}")
        connect_once(daemon, "reset-at-once")
        line = daemon.line_about("reset-at-once")
        assert "UPSTREAM_RESET" in line, line
        assert f"tcp:{LOOPBACK}:{port_of(failures.resetting)}" in line, line
        closes = view(daemon, "reset-at-once")["closed by reason"].strip()
        assert closes == "UPSTREAM_RESET=1", closes

        # What is closed keeps it.
        daemon.cli("close", "refused", "--wait-for", "handlers-determined")
        closes = view(daemon, "refused")["closed by reason"].split()
        assert closes == [f"{UNREACHED}=2", f"{UNREACHED}/CONNECT_REFUSED=2"]

        texts = watch(daemon, len(table))
        events = watch(daemon, len(table), "-o", "json")
        for name, (_, reason, errno, message, tried) in table.items():
            mine = [text for text in texts
                    if f" listener=listeners/{name} " in text]
            assert len(mine) == 2, mine
            for text in mine:
                for word in (f" reason={UNREACHED} ", f" upstream={tried} ",
                             " duration=", f" failure={reason}: ", message):
                    assert word in text, (word, text)
            closed = [event["connectionClosed"]["connection"]
                      for event in map(json.loads, events)
                      if "connectionClosed" in event]
            mine = [connection["failure"] for connection in closed
                    if connection["listener"] == f"listeners/{name}"]
            assert len(mine) == 2, mine
            for failure in mine:
                assert failure["reason"] == reason, failure
                assert message in failure["message"], failure
                assert failure.get("errorNumber", 0) == errno, failure

        log = "".join(daemon.end())
        for name in [*table, "reset-at-once"]:
            assert log.count(f" listeners/{name} connections/") == 1, (name, log)
    finally:
        daemon.kill()


with tempfile.TemporaryDirectory() as path:
    main(path)
