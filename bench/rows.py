"""The kinds of rows: who is measured, by what load, on which CPUs."""

import contextlib
import dataclasses
import functools
import statistics
import time

import loads
import machine
import processes
import reload
from results import Result, SUBJECT
from samples import Sample, run_rounds
from servers import (BEFORE, ECHOES, FORWARDS, GrpcPeer, LOGGED, Nginx,
                     Portreeved, Upstream)


@dataclasses.dataclass(frozen=True)
class Bench:
    """How everything is measured in this run."""
    server_cpu: int
    other_cpu: int
    # Rounds that are wanted, and the most that are run.
    pairs: int
    most: int
    # Of the work of each row.
    scale: float
    # Seconds that idle connections are looked at, and how often.
    idle_seconds: float
    idle_times: int
    # The contenders; empty for all.
    only: frozenset
    # Called with what is to be shown of a sample.
    tell: object

    def load_cpu(self, placement):
        return self.server_cpu if placement == "same" else self.other_cpu

    def among(self, names):
        return [name for name in names if not self.only or name in self.only]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str = "us CPU"
    # The contender that ratios are to, and the most that the subject's may be.
    # Without a baseline the goal is the most that its value may be.
    baseline: str | None = None
    goal: float | None = None

    def contenders(self, bench, stack):
        """Functions that measure, by name; `stack` ends what is started."""
        raise NotImplementedError

    def awake(self, bench):
        """The CPUs that must not sleep meanwhile."""
        return ()

    def run(self, bench):
        """The results, of which there may be more than one."""
        with contextlib.ExitStack() as stack:
            contenders = self.contenders(bench, stack)
            if not contenders:
                return []
            stack.enter_context(processes.awake(self.awake(bench)))
            return [Result.of(self, run_rounds(
                contenders, bench.pairs, bench.most,
                functools.partial(bench.tell, self)))]


@dataclasses.dataclass(frozen=True)
class TcpRow(Row):
    """Server CPU per unit of bench/load's work."""
    # "echo" or "forward"; the latter's upstream is raw_echo.
    handler: str = "echo"
    # "same": all on one CPU.  "split": the server on one, the rest on another.
    placement: str = "same"
    mode: str = "rr"
    flags: tuple = ()
    units: int = 0
    # Attached to the subject, and to what it was before.
    watchers: int = 0

    @staticmethod
    def value(spent, report):
        return loads.cpu_per_unit(spent, report)

    def awake(self, bench):
        # One CPU that everything is on does not sleep.
        return () if self.placement == "same" else (bench.other_cpu,)

    def contenders(self, bench, stack):
        cpu = bench.load_cpu(self.placement)
        servers = ECHOES if self.handler == "echo" else FORWARDS
        return {name: self._contender(bench, stack, servers[name], cpu,
                                      self.watchers
                                      if name in (SUBJECT, BEFORE) else 0)
                for name in bench.among(servers)}

    def _contender(self, bench, stack, start, cpu, watchers):
        upstream = []
        if self.handler == "forward":
            # One for each, as each holds ports that it has used.
            upstream.append(stack.enter_context(Upstream(cpu)).port)
        server = stack.enter_context(start(bench.server_cpu, *upstream))
        if watchers:
            stack.enter_context(loads.Watchers(cpu, server.control, watchers))
        flags = (*self.flags, "--units", max(100, int(self.units * bench.scale)))
        return lambda: loads.tcp_sample(server, cpu, self.mode, flags,
                                        self.value)


@dataclasses.dataclass(frozen=True)
class FloodRow(TcpRow):
    """The p99 of clients that behave well in an abort flood."""
    unit: str = "us p99"
    mode: str = "flood"

    @staticmethod
    def value(spent, report):
        return report["latency_us"]["p99"]


@dataclasses.dataclass(frozen=True)
class WatchedRow(TcpRow):
    """The subject with watchers beside the subject without."""
    baseline: str | None = "unwatched"

    def contenders(self, bench, stack):
        cpu = bench.load_cpu(self.placement)
        return {name: self._contender(bench, stack, Portreeved, cpu, watchers)
                for name, watchers in ((SUBJECT, self.watchers),
                                       ("unwatched", 0))}


@dataclasses.dataclass(frozen=True)
class LoggedRow(TcpRow):
    """A line of log for each connection, beside HAProxy's."""
    baseline: str | None = "haproxy"
    handler: str = "forward"

    def contenders(self, bench, stack):
        cpu = bench.load_cpu(self.placement)
        return {name: self._contender(bench, stack, LOGGED[name], cpu, 0)
                for name in bench.among(LOGGED)}


@dataclasses.dataclass(frozen=True)
class GrpcRow(Row):
    """Server CPU per unit of grpc_load's work, beside a bare gRPC server's."""
    baseline: str | None = "grpc"
    # The mode and its flags, for the subject and for the bare server; the
    # latter's units are as many of its calls as do one of the former's.
    subject: tuple = ()
    bare: tuple = ()
    calls: int = 1
    # Limits, the least that does the subject's work: a name and the bare
    # server's mode of each.
    limits: tuple = ()
    # The flag that says how much work, and that for the subject.
    work: str = ""
    units: int = 0
    # Units that are told as one.
    unit_size: int = 1

    def awake(self, bench):
        return (bench.other_cpu,)

    def contenders(self, bench, stack):
        units = max(100, int(self.units * bench.scale))

        def contender(server, mode, flags, times):
            flags = (*flags, self.work, units * times)
            return lambda: loads.grpc_sample(
                server, bench.other_cpu, mode, flags,
                lambda spent, report: self.unit_size * times
                * loads.cpu_per_unit(spent, report))

        all_of_them = {SUBJECT: (Portreeved, self.subject, 1),
                       "grpc": (GrpcPeer, self.bare, self.calls)}
        if BEFORE in ECHOES:
            all_of_them[BEFORE] = (ECHOES[BEFORE], self.subject, 1)
        for name, mode in self.limits:
            all_of_them[name] = (GrpcPeer, mode, 1)
        found = {}
        for name in bench.among(all_of_them):
            start, (mode, *flags), times = all_of_them[name]
            found[name] = contender(
                stack.enter_context(start(bench.server_cpu)), mode, flags, times)
        return found


@dataclasses.dataclass(frozen=True)
class FirstByteRow(Row):
    """Wall clock from the wish for a listener to a byte's echo through it."""
    unit: str = "ms p50"
    # Open at the daemon and at nginx; None if nginx takes no part.
    listeners: int = 1000
    reloads: int | None = 5
    rounds: int = 100
    # Another number of listeners, to compare with.
    fewer: int | None = None

    def contenders(self, bench, stack):
        # Each has a daemon of its own: the listeners are made in each round.
        found = {}
        wanted = {SUBJECT: self.listeners}
        if self.fewer:
            wanted[f"{self.fewer} open"] = self.fewer
        for name in bench.among(wanted):
            found[name] = self._daemon(bench, stack, wanted[name])
        if self.reloads and bench.among(["nginx"]):
            found["nginx"] = self._nginx(bench, stack)
        return found

    def _daemon(self, bench, stack, listeners):
        server = stack.enter_context(Portreeved(bench.server_cpu))
        flags = ("--listeners-open", listeners, "--rounds",
                 max(20, int(self.rounds * bench.scale)))
        return lambda: loads.grpc_sample(
            server, bench.other_cpu, "first_byte", flags,
            lambda _, report: report["latency_us"]["p50"] / 1000)

    def _nginx(self, bench, stack):
        upstream = stack.enter_context(Upstream(bench.other_cpu))
        nginx = stack.enter_context(Nginx(bench.server_cpu, upstream.port))
        ports = reload.free_ports(self.listeners)

        def measure():
            interval = machine.Interval(processes.running)
            median = statistics.median(
                reload.reload_to_first_byte(nginx, ports)
                for _ in range(self.reloads))
            return Sample(median * 1000, interval.end(),
                          dict.fromkeys(("p50", "p99", "p999"), median * 1e6))

        return measure


@dataclasses.dataclass(frozen=True)
class LoneEventRow(Row):
    """The latency of an event that comes alone."""
    unit: str = "ms p99"
    events: int = 200

    def contenders(self, bench, stack):
        server = stack.enter_context(Portreeved(bench.server_cpu))
        flags = ("--watchers", 1, "--lone-events", self.events)
        return {SUBJECT: lambda: loads.grpc_sample(
            server, bench.other_cpu, "watch", flags,
            lambda _, report: report["latency_us"]["p99"] / 1000)}


@dataclasses.dataclass(frozen=True)
class MemoryRow(Row):
    """The slope of Private_Dirty between two numbers of idle connections."""
    unit: str = "bytes"
    handler: str = "echo"
    few: int = 200
    many: int = 4200

    def run(self, bench):
        # Nothing that others do shows in it.
        return super().run(dataclasses.replace(
            bench, pairs=min(bench.pairs, 3), most=min(bench.pairs, 3)))

    def contenders(self, bench, stack):
        servers = ECHOES if self.handler == "echo" else FORWARDS

        def contender(start):
            return lambda: Sample(self._slope(bench, start), 0)

        return {name: contender(servers[name]) for name in bench.among(servers)}

    def _slope(self, bench, start):
        with contextlib.ExitStack() as stack:
            upstream = []
            if self.handler == "forward":
                peer = stack.enter_context(Upstream(bench.other_cpu))
                upstream.append(peer.port)
            server = stack.enter_context(start(bench.server_cpu, *upstream))
            idle = stack.enter_context(loads.IdleConnections(
                bench.other_cpu, server.port, self.few))
            before = settled(server)
            idle.grow(self.many)
            return (settled(server) - before) / (self.many - self.few)


def settled(server):
    """Private_Dirty, when it has been the same for half a second."""
    deadline = time.monotonic() + processes.PATIENCE
    last = None
    while time.monotonic() < deadline:
        now = machine.private_dirty(server.pids())
        if now == last:
            return now
        last = now
        time.sleep(0.5)
    return server.fail("its memory does not come to rest")
