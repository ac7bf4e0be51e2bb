"""One run of a load, beside a server whose CPU time it costs."""

import dataclasses
import json
import subprocess
import time

from machine import busy_ns
from servers import Process, binary
import ratios


@dataclasses.dataclass
class Measured:
    """What one run cost the server, and what its clients saw."""
    units: int
    cpu_ns: int
    # Of the load generator's JSON.
    report: dict
    # Of the machine's CPU time, what was used by others meanwhile.
    others: float

    @property
    def ns_per_unit(self):
        return self.cpu_ns / self.units


class Load(Process):
    """The load generator; it has done all that comes before the work."""

    def __init__(self, cpu, mode, port, flags):
        super().__init__(
            [binary("bench/load"), mode, "--to", f"127.0.0.1:{port}", "--gate"]
            + [str(flag) for flag in flags], cpu, stdin=subprocess.PIPE)
        self.line("ready")

    def run(self):
        """Does the work; returns the report."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        report = json.loads(self.line())
        if report["errors"]:
            self.fail(f"{report['errors']} errors: {report['first_error']}")
        return report

    def stop(self):
        self.child.stdin.close()
        self.child.wait()
        super().stop()


def measure(server, cpu, mode, flags, cpus, helpers=()):
    """`helpers` are processes of ours that work meanwhile."""
    with Load(cpu, mode, server.port, flags) as load:
        ours = [server, load, *helpers]
        begin = time.monotonic()
        busy = busy_ns()
        own = sum(process.cpu_ns() for process in ours) + time.process_time_ns()
        server_cpu = server.cpu_ns()
        report = load.run()
        server_cpu = server.cpu_ns() - server_cpu
        own = (sum(process.cpu_ns() for process in ours)
               + time.process_time_ns() - own)
        busy = busy_ns() - busy
        seconds = time.monotonic() - begin
        return Measured(report["units"], server_cpu, report,
                        ratios.others_share(busy, own, seconds, cpus))
