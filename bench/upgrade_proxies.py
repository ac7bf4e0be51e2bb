"""The proxies that are upgraded while clients use them, and how that is done.

Each is made with upstreams' ports by name, has `ports` of its own by the same
names, and upgrade(), which returns once the next process serves.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

from machine import cpu_ns, family, raise_session
from processes import LIBC, PATIENCE, Process, await_port, binary, free_port
from servers import BACKLOG, Portreeved, nginx_config

# Seconds between two upgrades.
PERIOD = 1.5
# Seconds that HAProxy and nginx give to connections of the former process.
DRAIN = 5
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Whoever has started them and ended: they become this process's children,
    and can be waited for."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def until(condition, what, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"in vain: {what}")
        time.sleep(0.002)
    return result


def is_there(pid):
    """It is not if it is a zombie, which nobody has waited for yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def reap(pid):
    """Waits for the process, which has ended; its CPU time in ns, or None if
    somebody else has waited for it."""
    try:
        _, _, usage = os.wait4(pid, 0)
    except ChildProcessError:
        return None
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def end(pids):
    """Also those that ignore SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            if is_there(pid):
                os.kill(pid, number)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and any(map(is_there, pids)):
            time.sleep(0.01)
    for pid in pids:
        reap(pid)


class UpgradedPortreeve(Portreeved):
    """One process takes over from the other, connections and all."""

    name = "portreeve"
    seconds_per_upgrade = PERIOD

    def __init__(self, cpu, upstreams):
        # Its own listener is an echo.
        super().__init__(cpu)
        self.ports = {
            name: self.create(["--forward", f"tcp:127.0.0.1:{port}"], name)
            for name, port in upstreams.items()}
        self.pid = self.child.pid
        self.leaving = []
        # By upgrade: connections that went over.
        self.moved = []

    def await_turn(self):
        """Until the next upgrade would not be refused."""

    def upgrade(self):
        daemon = until(self._upgrade, "an upgrade")
        self.leaving.append(self.pid)
        self.pid = int(daemon["pid"])
        former = daemon.get("predecessor", {})
        self.moved.append(int(former.get("moved", 0)))

    def _upgrade(self):
        done = subprocess.run(
            [binary("client/portreeve"), "--server", self.control, "-o", "json",
             "upgrade"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return json.loads(done.stdout)
        # The process before the last one may have a connection that ends.
        if "UPGRADE_IN_PROGRESS" not in done.stderr:
            self.fail(done.stderr)
        return None

    def pids(self):
        return [pid for pid in (*self.leaving, self.pid) if is_there(pid)]

    def await_drain(self):
        until(lambda: not any(map(is_there, self.leaving)),
              "the end of the former processes", 2 * DRAIN + PATIENCE)

    def stood_still_ms(self):
        """By upgrade, what the daemon itself says."""
        self.log.seek(0)
        return [int(found) for found in re.findall(
            r"all stood still for (\d+) ms", self.log.read())]

    def stop(self):
        end([*self.leaving, self.pid])
        super().stop()


class UpgradedHaproxy:
    """haproxy -x SOCKET -sf PID: the next process has the listening sockets of
    the former one, which closes what is left after `hard-stop-after`."""

    name = "haproxy -sf"
    seconds_per_upgrade = PERIOD

    def __init__(self, cpu, upstreams):
        self.cpu = cpu
        self.folder = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.folder.name, "stats.sock")
        self.config = os.path.join(self.folder.name, "haproxy.cfg")
        self.ports = {name: free_port() for name in upstreams}
        self._write(upstreams)
        self.processes = [self._start()]
        for port in self.ports.values():
            await_port(self.processes[0], port)

    def _write(self, upstreams):
        listeners = "".join(f"""\
listen {name}
    bind 127.0.0.1:{port}
    server upstream 127.0.0.1:{upstreams[name]}
""" for name, port in self.ports.items())
        with open(self.config, "w", encoding="ascii") as config:
            config.write(f"""\
global
    nbthread 1
    maxconn 9000
    hard-stop-after {DRAIN}s
    stats socket {self.socket} mode 600 level admin expose-fd listeners
defaults
    mode tcp
    backlog {BACKLOG}
    maxconn 9000
    timeout connect 1h
    timeout client 1h
    timeout server 1h
{listeners}""")

    def _start(self, *flags):
        return Process(["/usr/sbin/haproxy", "-db", "-f", self.config, *flags],
                       self.cpu)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def await_turn(self):
        pass

    def upgrade(self):
        former = self.processes[-1].child.pid
        self.processes.append(
            self._start("-x", self.socket, "-sf", former))
        pid = self.processes[-1].child.pid
        until(lambda: self._pid() == pid, "the next haproxy")

    def _pid(self):
        """Of who answers at the socket, if anybody does."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(self.socket)
                sock.sendall(b"show info\n")
                with sock.makefile() as answer:
                    for line in answer:
                        if line.startswith("Pid: "):
                            return int(line.split()[1])
        except OSError:
            pass
        return None

    def pids(self):
        return [process.child.pid for process in self.processes
                if process.child.poll() is None]

    def cpu_ns(self):
        return cpu_ns(self.pids())

    def stood_still_ms(self):
        return []

    def await_drain(self):
        until(lambda: len(self.pids()) == 1, "the end of the former processes",
              2 * DRAIN + PATIENCE)

    def stop(self):
        # Those that leave are told again, which has them end at once.
        for process in reversed(self.processes):
            process.stop()
        self.folder.cleanup()


class UpgradedNginx:
    """USR2 to the master starts the next one with its listening sockets; QUIT
    to the former has its workers end once their connections have, or after
    `worker_shutdown_timeout`.

    A master whose predecessor is still there ignores USR2.
    """

    name = "nginx USR2"
    seconds_per_upgrade = DRAIN + PERIOD

    def __init__(self, cpu, upstreams):
        self.cpu = cpu
        self.folder = tempfile.TemporaryDirectory()
        self.config = os.path.join(self.folder.name, "nginx.conf")
        self.ports = {name: free_port() for name in upstreams}
        self._write(upstreams)
        # It starts the next one itself only where it is a daemon.
        started = subprocess.run(
            ["/usr/sbin/nginx", "-c", self.config], capture_output=True,
            text=True, check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        if started.returncode != 0:
            raise RuntimeError(started.stderr)
        self.pid = until(self._pid, "nginx")
        # A daemon has a session of its own.
        raise_session(self.pid)
        self.leaving = []
        until(lambda: len(family(self.pid)) > 1, "nginx's worker")

    def _write(self, upstreams):
        folder = self.folder.name
        settings = f"""\
daemon on;
lock_file {folder}/lock;
error_log {folder}/error.log notice;
worker_shutdown_timeout {DRAIN}s;"""
        servers = "".join(f"""
    server {{
        listen 127.0.0.1:{port} backlog={BACKLOG};
        proxy_pass 127.0.0.1:{upstreams[name]};
    }}""" for name, port in self.ports.items())
        with open(self.config, "w", encoding="ascii") as config:
            config.write(nginx_config(folder, settings, servers))

    def _pid(self, name="pid"):
        try:
            with open(os.path.join(self.folder.name, name),
                      encoding="ascii") as file:
                return int(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def await_turn(self):
        self.await_drain()

    def upgrade(self):
        former = self.pid
        os.kill(former, signal.SIGUSR2)
        self.pid = until(
            lambda: self._pid() if self._pid("pid.oldbin") == former
            and self._pid() not in (None, former) else None, "the next nginx")
        until(lambda: len(family(self.pid)) > 1, "the next nginx's worker")
        os.kill(former, signal.SIGQUIT)
        self.leaving.append(former)

    def pids(self):
        return [pid for master in (*self.leaving, self.pid) if is_there(master)
                for pid in family(master)]

    def cpu_ns(self):
        return cpu_ns(self.pids())

    def stood_still_ms(self):
        return []

    def await_drain(self):
        until(lambda: not any(map(is_there, self.leaving)),
              "the end of the former master", 2 * DRAIN + PATIENCE)
        for pid in self.leaving:
            reap(pid)
        self.leaving.clear()

    def stop(self):
        end(self.pids())
        self.folder.cleanup()


PROXIES = {proxy.name.split()[0]: proxy for proxy in (
    UpgradedPortreeve, UpgradedHaproxy, UpgradedNginx)}
