"""Counts the daemon's instructions per unit of the benchmark's work.

CPU time, which //bench measures, scatters by some percent; instructions in
user space hardly do.  Valgrind's callgrind counts them, so that no counters of
the CPU are needed, which virtual machines often lack.  What the kernel does is
not in them.

Each row of the benchmark whose work has units is run, with the same load, at
each of these, each in a process of its own, in turn:

  before      the daemon of --before
  now         the daemon of --portreeved
  --http      now, and it serves pages.  While the work is done nobody asks for
              one, since a second of callgrind holds a fiftieth of the work
              that a second of the CPU does.  One scrape with three listeners is
              counted by itself, and divided by the units of work that one CPU
              does in a second without callgrind, for the daemon, the load and
              all else that takes part; that is added.  A machine that has other
              work to do is slower, and the part of a scrape seems larger.
  --access-log, --metrics-histograms=listener
              now, with these flags

Only the work counts, as in the benchmark: a load connects first, then the
daemon comes to rest, and the count begins; it ends when the daemon is at rest
again.  What comes by gRPC is run twice, with twice the work the second time,
and the first is taken from the second: what is left has neither the connection
nor its end.  Three things differ from the benchmark:

  - Bulk is one message of 64 KiB after another, on one connection; MiB of them
    are the unit.  How a stream falls into reads depends on who is faster.
  - There is no abort flood, whose resets come by the clock.
  - Placements do not matter to instructions; a row is run in one.

Rounds are run until the median of each is as good as known to 0.3 %, which the
scatter of its values tells, or there are as many as --most says.  The last
column is the worst of a row.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import functools
import http.client
import math
import os
import resource
import statistics
import sys
import tempfile

import loads
import machine
import packages
from counted import Counted, Scraped, in_folder
from processes import Process, binary, running
from results import SUBJECT
from rows import FloodRow, TcpRow
from samples import spread
from servers import BEFORE, Portreeved, Upstream
from table_rows import MIB, ONE, ROWS

HTTP = "--http, a scrape a second"
# More of the command line, where {folder} is a new folder.
FLAGS = {
    BEFORE: (),
    SUBJECT: (),
    HTTP: (),
    "--access-log": ("--access-log", "{folder}/access.log"),
    "--metrics-histograms=listener": ("--metrics-histograms", "listener"),
}
# Of the load, as the daemon is slow.
PATIENCE = 600
LISTENERS = 3
SCRAPES = 20
# The most that a median may be off, if rounds can help it.
DOUBT = 0.003
SECOND_NS = 1_000_000_000


def say(text):
    print(f"instructions: {text}", file=sys.stderr, flush=True)


def grouped(value):
    return f"{value:,.0f}".replace(",", " ")


def cpu_ns_of_ended():
    """That of children that were waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime) * SECOND_NS


class Flagged(Portreeved):
    """Without callgrind."""

    def __init__(self, cpu, flags):
        self.flags = flags
        super().__init__(cpu)


class Setting:
    """Where everything runs, and which daemons do."""

    def __init__(self, options):
        self.cpu, self.other_cpu = machine.cpus()[:2]
        self.programs = dict.fromkeys(FLAGS, Portreeved.binary)
        if options.before:
            self.programs[BEFORE] = os.path.abspath(options.before)
        else:
            del self.programs[BEFORE]
        self.rounds = options.rounds
        self.most = max(options.most, options.rounds)
        self.scale = options.scale

    def daemons(self, stack, upstream, flags=()):
        """One of each, by name."""
        return {name: stack.enter_context(
            (Scraped if name == HTTP else Counted)(
                self.cpu, program, (*FLAGS[name], *flags), *upstream()))
                for name, program in self.programs.items()}


@dataclasses.dataclass(frozen=True)
class TcpWork:
    """What bench/load does in a row."""
    row: TcpRow

    @property
    def name(self):
        return self.row.name

    def key(self):
        row = self.row
        return row.handler, row.mode, row.flags, row.watchers

    def _load(self, setting):
        """The mode and its flags; how many of its units make one of the row."""
        row, size, of_one = self.row, 64 << 10, 1
        mode, flags, units = row.mode, row.flags, row.units
        if mode == "bulk":
            of_one = MIB // size
            mode, flags, units = "rr", (*ONE, "--size", size), units * of_one
        units = max(100, int(units * setting.scale))
        return mode, (*flags, "--units", units, "--timeout", PATIENCE), of_one

    def contenders(self, setting, stack):
        daemons = setting.daemons(
            stack, lambda: self._upstream(setting, stack))
        for daemon in daemons.values():
            self._watch(setting, stack, daemon)
        return {name: functools.partial(self._measure, setting, daemon)
                for name, daemon in daemons.items()}

    def _upstream(self, setting, stack):
        if self.row.handler == "echo":
            return ()
        return (stack.enter_context(Upstream(setting.other_cpu)).port,)

    def _watch(self, setting, stack, daemon):
        if self.row.watchers:
            stack.enter_context(loads.Watchers(
                setting.other_cpu, daemon.control, self.row.watchers))

    def _measure(self, setting, daemon):
        mode, flags, of_one = self._load(setting)
        with loads.TcpLoad(setting.other_cpu, mode, daemon.port, flags) as load:
            units = []
            instructions = daemon.count(
                lambda: units.append(load.work()["units"]))
            load.end()
        return instructions / units[0] * of_one

    def cpu_ns(self, setting):
        """Of a unit: that of all who take part, without callgrind."""
        with contextlib.ExitStack() as stack:
            upstream = self._upstream(setting, stack)
            daemon = stack.enter_context(Portreeved(setting.cpu, *upstream))
            self._watch(setting, stack, daemon)
            return min(self._cpu_ns(setting, daemon) for _ in range(5))

    def _cpu_ns(self, setting, daemon):
        row = self.row
        with loads.TcpLoad(setting.cpu, row.mode, daemon.port,
                           (*row.flags, "--units", row.units)) as load:
            before = sum(process.cpu_ns() for process in running)
            report = load.work()
            spent = sum(process.cpu_ns() for process in running) - before
            load.end()
        return spent / report["units"]


@dataclasses.dataclass(frozen=True)
class GrpcWork:
    """A mode of bench/grpc/grpc_load."""
    name: str
    mode: tuple
    # The flag that says how much work, and how much.
    work: str
    units: int
    # Units that are told as one.
    unit_size: int = 1
    # More of the daemon's command line.
    flags: tuple = ()

    def contenders(self, setting, stack):
        daemons = setting.daemons(stack, tuple, self.flags)
        return {name: functools.partial(self._measure, setting, daemon)
                for name, daemon in daemons.items()}

    def _run(self, setting, server, units):
        mode, *flags = self.mode
        with Process([binary("bench/grpc/grpc_load"), mode, "--server",
                      server.control, *flags, self.work, units],
                     setting.other_cpu) as load:
            report = loads.finished(load)
            load.child.wait()
        return report

    def _measure(self, setting, daemon):
        units = max(50 * self.unit_size, int(self.units * setting.scale))
        once, twice = (daemon.count(
            lambda times=times: self._run(setting, daemon, times * units))
                       for times in (1, 2))
        return (twice - once) / units * self.unit_size

    def cpu_ns(self, setting):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            daemon = stack.enter_context(
                Flagged(setting.cpu, in_folder(self.flags, folder)))
            return min(self._cpu_ns(setting, daemon) for _ in range(5))

    def _cpu_ns(self, setting, daemon):
        load, own = cpu_ns_of_ended(), daemon.cpu_ns()
        self._run(setting, daemon, self.units)
        spent = daemon.cpu_ns() - own + cpu_ns_of_ended() - load
        return spent / self.units * self.unit_size


def all_work():
    found = {}
    for row in ROWS:
        if isinstance(row, TcpRow) and not isinstance(row, FloodRow):
            work = TcpWork(row)
            found.setdefault(work.key(), work)
    control = ("control", "--warm-up", 1)
    return (*found.values(),
            GrpcWork("control", control, "--calls", 1200),
            GrpcWork("state", control, "--calls", 1200,
                     flags=("--state", "{folder}/state")),
            GrpcWork("remote", ("remote", "--message", 32768), "--bytes",
                     48 * MIB, MIB))


def scrape(setting):
    """The instructions of one."""
    with Scraped(setting.cpu, setting.programs[HTTP], ()) as daemon:
        for number in range(1, LISTENERS):
            daemon.create(["--echo"], f"bench-{number}")
        connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port)

        def ask(times):
            for _ in range(times):
                connection.request("GET", "/metrics")
                answer = connection.getresponse()
                if answer.status != 200 or not answer.read():
                    sys.exit(f"instructions: /metrics says {answer.status}")

        ask(SCRAPES)  # The first ones make what all others have.
        counts = [daemon.count(functools.partial(ask, SCRAPES)) / SCRAPES
                  for _ in range(setting.rounds)]
        connection.close()
    return statistics.median(counts)


def doubt(values):
    """How far the median may be off: its standard error, as a part of it."""
    of_all = spread(values)
    # For values that scatter normally, by their quartiles.
    error = 0.93 * (of_all.high - of_all.low) / math.sqrt(len(values))
    return error / of_all.median


def measure(work, setting, of_scrape):
    """By name, the instructions; and how far the worst may be off."""
    with contextlib.ExitStack() as stack:
        contenders = work.contenders(setting, stack)
        values = {name: [] for name in contenders}
        worst = math.inf
        for number in range(setting.most + 1):
            for name, instructions in contenders.items():
                value = instructions()
                say(f"{work.name} round {number}  {name}: {value:.1f}")
                if number:  # The first is a warm-up.
                    values[name].append(value)
            if number:
                worst = max(map(doubt, values.values()))
            if number >= setting.rounds and worst <= DOUBT:
                break
    medians = {name: statistics.median(of) for name, of in values.items()}
    if HTTP in medians:
        medians[HTTP] += of_scrape * work.cpu_ns(setting) / SECOND_NS
    return medians, worst


def line(name, medians, worst):
    base = medians.get(BEFORE, medians[SUBJECT])
    parts = [name]
    for column in FLAGS:
        if column not in medians:
            parts.append("–")
        elif column in (BEFORE, SUBJECT) and medians[column] == base:
            parts.append(grouped(base))
        else:
            parts.append(f"{grouped(medians[column])} "
                         f"({medians[column] / base - 1:+.2%})")
    return f"| {' | '.join(parts)} | ± {worst:.2%} |"


def parse():
    parser = argparse.ArgumentParser(
        prog="instructions", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true",
                        help="print the names of the rows, and end")
    parser.add_argument("--rows", default="*", metavar="NAME,...",
                        help="only these; * and ? stand for any text")
    parser.add_argument("--rounds", type=int, default=5, metavar="N",
                        help="the fewest rounds (default: %(default)s)")
    parser.add_argument("--most", type=int, default=20, metavar="N",
                        help="the most rounds (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1 / 3, metavar="X",
                        help="the part of the benchmark's work that a round is "
                        "(default: a third)")
    parser.add_argument("--portreeved", default=Portreeved.binary,
                        metavar="FILE", help="the daemon to measure")
    parser.add_argument("--before", metavar="FILE",
                        help="another build of it, to compare with")
    return parser.parse_args()


def main():
    options = parse()
    patterns = options.rows.split(",")
    wanted = [work for work in all_work()
              if any(fnmatch.fnmatch(work.name, p) for p in patterns)]
    if options.list:
        print("\n".join(work.name for work in wanted))
        return
    if not wanted:
        sys.exit("instructions: no row is named so; see --list")
    packages.install_missing(say, ("valgrind",))
    Portreeved.binary = os.path.abspath(options.portreeved)
    machine.raise_limits()
    machine.raise_priority()
    setting = Setting(options)
    of_scrape = scrape(setting)
    lines = []
    for work in wanted:
        lines.append(line(work.name, *measure(work, setting, of_scrape)))
        say(lines[-1])
    print(f"| work | {' | '.join(FLAGS)} | |")
    print("|---" * (len(FLAGS) + 2) + "|")
    print("\n".join(lines))
    print(f"\nA scrape of {LISTENERS} listeners: {grouped(of_scrape)}.")


if __name__ == "__main__":
    main()
