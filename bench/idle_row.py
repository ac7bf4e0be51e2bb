"""What idle connections cost, all servers at the same time."""

import contextlib
import dataclasses
import statistics
import time

import loads
import machine
from results import Result, SUBJECT
from rows import Row
from samples import spread
from servers import GrpcPeer, Haproxy, Peer, Portreeved

# The names of the daemon's loop threads begin so.
LOOP = "loop-"


@dataclasses.dataclass(frozen=True)
class IdleCpuRow(Row):
    """Three results: CPU of the loops, their wake-ups, CPU of the process."""
    unit: str = "ppm"
    # The most that the daemon's may be of an empty gRPC server's.
    process_goal: float = 0
    connections: int = 4000

    def run(self, bench):
        with contextlib.ExitStack() as stack:
            return self._run(bench, stack)

    def _run(self, bench, stack):
        daemon = stack.enter_context(Portreeved(bench.server_cpu))
        empty = stack.enter_context(GrpcPeer(bench.server_cpu))
        # As the daemon has a watcher.
        with_client = stack.enter_context(GrpcPeer(bench.server_cpu))
        upstream = stack.enter_context(Peer("raw_echo", bench.other_cpu))
        haproxy = stack.enter_context(
            Haproxy(bench.server_cpu, upstream.port))
        for server in (daemon, haproxy):
            stack.enter_context(loads.IdleConnections(
                bench.other_cpu, server.port, self.connections))
        stack.enter_context(
            loads.Watchers(bench.other_cpu, daemon.control, 1))
        stack.enter_context(
            loads.IdleClient(bench.other_cpu, with_client.control))
        time.sleep(2)  # What has been begun is done.

        servers = {SUBJECT: daemon, "grpc": empty,
                   "grpc with a client": with_client, "haproxy": haproxy}
        minutes = [self._measure(servers, daemon, bench.idle_seconds)
                   for _ in range(bench.idle_times)]
        mean = {name: statistics.mean(minute[name] for minute in minutes)
                for name in minutes[0]}
        return [
            self._result("loops", "CPU of the loops", self.unit,
                         {SUBJECT: spread([mean["loops"]]),
                          "haproxy": spread([mean["haproxy"]])},
                         self.goal, len(minutes)),
            self._result("wakeups", "wake-ups of the loops", "per minute",
                         {SUBJECT: spread([mean["wake-ups"]])},
                         0, len(minutes)),
            self._beside_grpc(
                minutes, [SUBJECT, "grpc", "grpc with a client"]),
        ]

    def _measure(self, servers, daemon, seconds):
        """CPU time in ppm: of each server, and of the daemon's loops."""
        begin = time.monotonic_ns()
        threads = machine.threads(daemon.child.pid)
        spent = {name: server.cpu_ns() for name, server in servers.items()}
        time.sleep(seconds)
        for name, server in servers.items():
            spent[name] = server.cpu_ns() - spent[name]
        now = machine.threads(daemon.child.pid)
        seconds = (time.monotonic_ns() - begin) / 1e9

        loops = [(cpu - threads[tid][1], switches - threads[tid][2])
                 for tid, (name, cpu, switches) in now.items()
                 if name.startswith(LOOP)]
        if not loops:
            daemon.fail(f"no thread is named {LOOP}...")
        ppm = {name: ns / seconds / 1000 for name, ns in spent.items()}
        ppm["loops"] = sum(cpu for cpu, _ in loops) / seconds / 1000
        ppm["wake-ups"] = sum(s for _, s in loops) / seconds * 60
        return ppm

    def _beside_grpc(self, minutes, names):
        ratios = {name: spread(minute[name] / minute["grpc"]
                               for minute in minutes) for name in names}
        values = {name: spread(minute[name] for minute in minutes)
                  for name in names}
        return self._result("process", "CPU of the process", self.unit, values,
                            self.process_goal, len(minutes), "grpc", ratios)

    def _result(self, name, title, unit, values, goal, times, baseline=None,
                ratios=None):
        return Result(f"{self.name}_{name}", f"{self.title}: {title}", unit,
                      values, ratios or {}, baseline, goal, {}, times)
