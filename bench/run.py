"""The benchmark: see docs/BENCHMARKS.md."""

import argparse
import contextlib
import sys

import machine
import ratios
from load import measure
from rows import ROWS
from servers import ECHOES, FORWARDS, Peer, Portreeved

SERVER_CPU = 0


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


class Round:
    pass


def run_cpu_row(row, pairs, scale, only):
    load_cpu = SERVER_CPU if row.placement == "same" else SERVER_CPU + 1
    names = [n for n in row.servers if not only or n in only]
    units = max(int(row.units * scale), 100)
    flags = (*row.flags, "--units", units)
    results = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in names:
            if row.handler == "echo":
                servers[name] = (stack.enter_context(ECHOES[name](SERVER_CPU)), ())
            else:
                upstream = stack.enter_context(Peer("raw_echo", load_cpu))
                servers[name] = (stack.enter_context(
                    FORWARDS[name](SERVER_CPU, upstream.port)), (upstream,))
        for number in range(pairs + 1):
            for name, (server, helpers) in servers.items():
                m = measure(server, load_cpu, row.mode, flags, 2, helpers)
                say(f"{row.name} {number} {name:15} {m.ns_per_unit/1000:9.3f} us/unit  "
                    f"{m.report['seconds']:.2f} s  p50 {m.report['latency_us']['p50']:.0f} p99 {m.report['latency_us']['p99']:.0f} others {m.others:.2f}")
                if number > 0:
                    results[name].append(m)
    for name in names:
        s = ratios.paired([m.ns_per_unit for m in results[name]],
                          [m.ns_per_unit for m in results[row.baseline]])
        say(f"{row.name:15} {name:15} {s.median:.3f} [{s.low:.3f} {s.high:.3f}] x {row.baseline}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--servers")
    parser.add_argument("--portreeved", default=Portreeved.binary)
    options = parser.parse_args()
    Portreeved.binary = options.portreeved
    machine.raise_limits()
    machine.raise_priority()
    for row in ROWS:
        if not options.rows or row.name in options.rows.split(","):
            run_cpu_row(row, options.pairs, options.scale, options.servers and options.servers.split(","))


main()
