"""The benchmark; docs/BENCHMARKS.md says what it measures, --help how to."""

import argparse
import fnmatch
import os
import platform
import signal
import sys
import tempfile

import machine
import packages
import plot
import report
from rows import Bench
from servers import Portreeved, add_before
from table_rows import ROWS


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def tell(row, number, name, sample):
    latency = "".join(f"  {quantile} {sample.latency[quantile]:.0f} us"
                      for quantile in sample.latency)
    others = (f"  others used {sample.others:.0%}" if sample.others >= 0.01
              else "")
    what = "warm-up" if number == 0 else f"round {number}"
    note = f"  ({sample.note})" if sample.note else ""
    say(f"{row.name} {what}  {name}: {report.number(sample.value)} {row.unit}"
        f"{latency}{others}{note}")


def parse():
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures Portreeve beside its peers.")
    parser.add_argument("--list", action="store_true",
                        help="print the names of the rows, and end")
    parser.add_argument("--rows", default="*", metavar="NAME,...",
                        help="only these; * and ? stand for any text")
    parser.add_argument("--goals", action="store_true",
                        help="only the rows that have a goal")
    parser.add_argument("--servers", default="", metavar="NAME,...",
                        help="only these, beside what they are compared with")
    parser.add_argument("--pairs", type=int, default=10, metavar="N",
                        help="rounds that count (default: %(default)s)")
    parser.add_argument("--quick", action="store_true",
                        help="3 rounds of a third of the work")
    parser.add_argument("--out", metavar="DIR",
                        help="where the results go (default: a new folder)")
    parser.add_argument("--portreeved", default=Portreeved.binary,
                        metavar="FILE", help="the daemon to measure")
    parser.add_argument("--before", metavar="FILE",
                        help="another build of it, measured in the same rounds "
                        "as `before`")
    return parser.parse_args()


def chosen(options):
    patterns = options.rows.split(",")
    unknown = [pattern for pattern in patterns
               if not fnmatch.filter([row.name for row in ROWS], pattern)]
    if unknown:
        sys.exit(f"bench: no row is named {', '.join(unknown)}; see --list")
    return [row for row in ROWS
            if any(fnmatch.fnmatch(row.name, pattern) for pattern in patterns)
            and (row.goal is not None or not options.goals)]


def bench_of(options):
    cpus = machine.cpus()
    if len(cpus) < 2:
        sys.exit("bench: two CPUs are needed")
    pairs = min(options.pairs, 3) if options.quick else options.pairs
    return Bench(
        server_cpu=cpus[0], other_cpu=cpus[1], pairs=pairs,
        most=2 * pairs if options.quick else 3 * pairs,
        scale=1 / 3 if options.quick else 1,
        idle_seconds=10 if options.quick else 60,
        idle_times=1 if options.quick else 5,
        only=frozenset(options.servers.split(",")) - {""}, tell=tell)


def main():
    options = parse()
    rows = chosen(options)
    if options.list:
        for row in rows:
            print(f"{row.name:20} {row.title}")
        return
    bench = bench_of(options)
    packages.install_missing(say)
    folder = options.out or tempfile.mkdtemp(prefix="portreeve-bench-")
    os.makedirs(folder, exist_ok=True)
    Portreeved.binary = os.path.abspath(options.portreeved)
    if options.before:
        add_before(os.path.abspath(options.before))
    machine.raise_limits()
    machine.raise_priority()
    # Otherwise what was started would not be ended in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    results = []
    for row in rows:
        say(f"{row.name}: {row.title}")
        for result in row.run(bench):
            results.append(result)
            say(report.line(result))
    write(results, folder)


def write(results, folder):
    table = report.markdown(results)
    about = {"kernel": platform.release(), "cpus": os.cpu_count()}
    for name, text in (("results.md", table),
                       ("results.json", report.as_json(results, about))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    plot.draw(results, os.path.join(folder, "results.svg"))
    print(table)
    say(f"results.md, results.json and results.svg are in {folder}")


if __name__ == "__main__":
    main()
