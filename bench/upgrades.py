"""Upgrades under the loads that people use, and what they cost;
docs/BENCHMARKS.md says what is measured, --help how to."""

import argparse
import fnmatch
import os
import platform
import signal
import sys
import tempfile

import machine
import packages
import upgrade_backends
import upgrade_beside
import upgrade_proxies
import upgrade_report
import upgrade_rows
from servers import Portreeved
from upgrade_loads import LOADS
from upgrade_proxies import PROXIES

PACKAGES = ("curl", "haproxy", "iperf3", "libnginx-mod-stream", "nginx-light",
            "openssh-client", "openssh-server", "redis-server", "redis-tools",
            "wrk")


def say(text):
    print(f"upgrades: {text}", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(
        prog="upgrades",
        description="Upgrades Portreeve and its peers while clients use them.")
    parser.add_argument("--list", action="store_true",
                        help="print the names of the loads and rows, and end")
    parser.add_argument("--loads", default="*", metavar="NAME;...",
                        help="only these; * and ? stand for any text")
    parser.add_argument("--rows", default="*", metavar="NAME;...",
                        help="only these")
    parser.add_argument("--proxies", default=",".join(PROXIES),
                        metavar="NAME,...",
                        help="only these (default: %(default)s)")
    parser.add_argument("--upgrades", type=int, default=10, metavar="N",
                        help="under each load (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR",
                        help="where the results go (default: a new folder)")
    parser.add_argument("--portreeved", default=Portreeved.binary,
                        metavar="FILE", help="the daemon to measure")
    return parser.parse_args()


def chosen(names, patterns):
    return [name for name in names
            if any(fnmatch.fnmatch(name, pattern)
                   for pattern in patterns.split(";"))]


def run(options, cpus, tell):
    """What the loads have seen, and the rows."""
    results, figures = [], []
    proxies = options.proxies.split(",")
    loads = chosen(LOADS, options.loads)
    rows = upgrade_rows.rows()
    if loads:
        say("writing the file for the download")
        with upgrade_backends.File() as file:
            for load in loads:
                able = getattr(LOADS[load], "proxies", PROXIES)
                for proxy in proxies:
                    if proxy not in able:
                        continue
                    say(f"{load}, {proxy}")
                    results.append(upgrade_beside.measure(
                        load, LOADS[load], PROXIES[proxy], cpus,
                        options.upgrades, file, tell))
                    print(upgrade_report.loads_table(results[-1:]), flush=True)
    for row in chosen(rows, options.rows):
        if row.startswith("short_") and row[len("short_"):] not in proxies:
            continue
        say(row)
        found = rows[row](cpus, options.upgrades, tell)
        figures += found
        print(upgrade_report.rows_table(found), flush=True)
    return results, figures


def main():
    options = parse()
    if options.list:
        print("\n".join([*LOADS, *upgrade_rows.rows()]))
        return
    cpus = machine.cpus()
    if len(cpus) < 2:
        sys.exit("upgrades: two CPUs are needed")
    packages.install_missing(say, PACKAGES)
    folder = options.out or tempfile.mkdtemp(prefix="portreeve-upgrades-")
    os.makedirs(folder, exist_ok=True)
    Portreeved.binary = os.path.abspath(options.portreeved)
    machine.raise_limits()
    machine.raise_priority()
    upgrade_proxies.adopt_orphans()
    # The proxies have the first CPU to themselves.
    os.sched_setaffinity(0, {cpus[1]})
    # Otherwise what was started would not be ended in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("upgrades: terminated"))
    results, figures = run(options, cpus[:2], say)
    about = {"kernel": platform.release(), "cpus": os.cpu_count(),
             "upgrades": options.upgrades}
    tables = (upgrade_report.loads_table(results) + "\n"
              + upgrade_report.rows_table(figures))
    for name, text in (("results.md", tables),
                       ("results.json", upgrade_report.as_json(
                           results, figures, about))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    print(tables)
    say(f"results.md and results.json are in {folder}")


if __name__ == "__main__":
    main()
