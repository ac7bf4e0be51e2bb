"""What it costs to keep listeners on disk."""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import tempfile
import time

import loads
import machine
from machine import Interval
from processes import Process, binary, free_server_port, running
from results import Result, SUBJECT
from rows import Row
from samples import Sample, spread
from servers import Portreeved

WITHOUT = "without"
WARM_UP = 1200


class Stateful(Portreeved):
    """A daemon with a state in `directory`."""

    def __init__(self, cpu, directory):
        self.flags = ("--state", directory)
        super().__init__(cpu)


class Restarted(Process):
    """A daemon that finds its listeners in `directory`."""

    def __init__(self, cpu, directory):
        super().__init__([binary("server/portreeved"), "--control",
                          "tcp:127.0.0.1:0", "--loops", "1", "--state",
                          directory], cpu)
        self.control = self.line("portreeved: control tcp:")
        self.restored = self.line("portreeved: state ")
        self.line("portreeved: ready")


@dataclasses.dataclass(frozen=True)
class StateChangeRow(Row):
    """Create and close with a state beside the same without; and the syncs."""
    baseline: str | None = WITHOUT
    units: int = 2000
    syncs_goal: float = 0

    def awake(self, bench):
        return (bench.other_cpu,)

    def contenders(self, bench, stack):
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        servers = {
            SUBJECT: stack.enter_context(
                Stateful(bench.server_cpu, os.path.join(directory, "state"))),
            WITHOUT: stack.enter_context(Portreeved(bench.server_cpu))}
        return {name: self._contender(bench, server)
                for name, server in servers.items()}

    def _contender(self, bench, server):
        flags = ("--warm-up", WARM_UP, "--calls", self._units(bench))
        return lambda: loads.grpc_sample(server, bench.other_cpu, "control",
                                         flags, loads.cpu_per_unit)

    def _units(self, bench):
        return max(100, int(self.units * bench.scale))

    def run(self, bench):
        return [*super().run(bench), self._syncs(bench)]

    def _syncs(self, bench):
        """How often the disk is waited for, seen by strace."""
        units = self._units(bench)
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(
                Stateful(bench.server_cpu, os.path.join(directory, "state")))
            trace = os.path.join(directory, "trace")
            with subprocess.Popen(
                    ["strace", "-f", "-q", "-e", "trace=fdatasync,fsync", "-o",
                     trace, "-p", str(server.child.pid)]) as tracer:
                self._await_tracer(server)
                loads.grpc_sample(
                    server, bench.other_cpu, "control",
                    ("--warm-up", 0, "--calls", units), loads.cpu_per_unit)
                tracer.terminate()
            with open(trace, encoding="utf-8") as lines:
                syncs = sum("sync(" in line for line in lines)
        return Result(f"{self.name}_syncs", f"{self.title}: syncs of the disk",
                      "per create and close", {SUBJECT: spread([syncs / units])},
                      {}, None, self.syncs_goal, {}, 1)

    @staticmethod
    def _await_tracer(server):
        path = f"/proc/{server.child.pid}/status"
        while True:
            with open(path, encoding="ascii") as status:
                if "TracerPid:\t0\n" not in status.read():
                    return
            time.sleep(0.01)


@dataclasses.dataclass(frozen=True)
class StateIdleRow(Row):
    """Wake-ups of the loops and of the thread that writes, while all is idle."""
    unit: str = "per minute"
    connections: int = 4000

    def run(self, bench):
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            daemon = stack.enter_context(
                Stateful(bench.server_cpu, os.path.join(directory, "state")))
            stack.enter_context(loads.IdleConnections(
                bench.other_cpu, daemon.port, self.connections))
            time.sleep(2)  # What has been begun is done.
            minutes = [self._wake_ups(daemon, bench.idle_seconds)
                       for _ in range(bench.idle_times)]
        return [Result(self.name, self.title, self.unit,
                       {SUBJECT: spread([statistics.mean(minutes)])}, {}, None,
                       self.goal, {}, len(minutes))]

    @staticmethod
    def _wake_ups(daemon, seconds):
        before = machine.threads(daemon.child.pid)
        time.sleep(seconds)
        now = machine.threads(daemon.child.pid)
        ours = [switches - before[tid][2]
                for tid, (name, _, switches) in now.items()
                if name == "state" or name.startswith("loop-")]
        if not any(name == "state" for name, _, _ in now.values()):
            daemon.fail("no thread is named state")
        return sum(ours) / seconds * 60


@dataclasses.dataclass(frozen=True)
class StateStartRow(Row):
    """A start that opens listeners beside creating them."""
    unit: str = "ms CPU"
    baseline: str | None = "creating"
    listeners: int = 5000

    def contenders(self, bench, stack):
        directory = os.path.join(
            stack.enter_context(tempfile.TemporaryDirectory()), "state")
        creating = []

        def create():
            interval = Interval(running)
            with Stateful(bench.server_cpu, directory) as server:
                before = server.cpu_ns()
                self._create(server, directory)
                creating.append((server.cpu_ns() - before) / 1e6)
                others = interval.end()
            return Sample(creating[-1], others)

        def start():
            interval = Interval(running)
            with Restarted(bench.server_cpu, directory) as server:
                spent = server.cpu_ns() / 1e6
                others = interval.end()
                if f" {self.listeners + 1} listeners, " not in server.restored:
                    server.fail(f"has {server.restored!r}")
            return Sample(spent, others)

        def remove():
            for file in os.scandir(directory):
                os.unlink(file.path)

        def create_anew():
            if os.path.isdir(directory):
                remove()
            return create()

        # In this order: a start finds what was created in the same round.
        return {"creating": create_anew, SUBJECT: start}

    def _create(self, server, directory):
        # A port that no client has at the start is one that the kernel gives to
        # none.
        port = free_server_port()
        listeners = [{
            "name": f"listeners/l{i}",
            "spec": {"where_to_listen": {"inet": {
                "address": f"127.77.{i // 256}.{i % 256}", "port": port}},
                     "handler": {"echo": {}}}} for i in range(self.listeners)]
        path = directory + ".json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"listeners": listeners}, file)
        done = subprocess.run(
            [binary("client/portreeve"), "--server", server.control, "apply",
             "-f", path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            server.fail(done.stderr)
