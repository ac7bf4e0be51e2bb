"""The loads: what they make a server do, and what that costs."""

import json
import subprocess

from machine import Interval
from processes import Process, binary, running
from samples import Sample


def finished(process):
    """The report of a load, which must have found everything right."""
    report = json.loads("{" + process.line("{"))
    if report["errors"]:
        process.fail(f"{report['errors']} errors: {report['first_error']}")
    return report


class TcpLoad(Process):
    """bench/load; all that comes before its work is done."""

    def __init__(self, cpu, mode, port, flags):
        super().__init__(
            [binary("bench/load"), mode, "--to", f"127.0.0.1:{port}", "--gate",
             *flags], cpu, stdin=subprocess.PIPE)
        self.line("ready")

    def work(self):
        self.say()
        return finished(self)


class IdleConnections(Process):
    """Connections that have carried one message each and do nothing."""

    def __init__(self, cpu, port, count):
        super().__init__(
            [binary("bench/load"), "idle", "--to", f"127.0.0.1:{port}",
             "--connections", count], cpu, stdin=subprocess.PIPE)
        finished(self)

    def grow(self, count):
        self.say(str(count))
        self.line(f"open {count}")


class _Held(Process):
    """A mode of grpc_load that is ready and stays so until end()."""

    def __init__(self, cpu, mode, control, flags):
        super().__init__(
            [binary("bench/grpc/grpc_load"), mode, "--server", control, *flags],
            cpu, stdin=subprocess.PIPE)
        self.line("ready")


class Watchers(_Held):
    """They watch every event until end()."""

    def __init__(self, cpu, control, count):
        super().__init__(cpu, "watch", control, ["--watchers", count])


class IdleClient(_Held):
    """Has a stream of grpc_peer open until end()."""

    def __init__(self, cpu, control):
        super().__init__(cpu, "hold", control, [])


def tcp_sample(server, cpu, mode, flags, value):
    """The work is measured, and not what comes before and after it.

    `value` makes the sample's of the server's CPU time in ns and the report.
    """
    with TcpLoad(cpu, mode, server.port, flags) as load:
        interval = Interval(running)
        before = server.cpu_ns()
        report = load.work()
        spent = server.cpu_ns() - before
        others = interval.end()
        load.end()
    late, aborted = report["late"], report["aborted"]
    note = f"{late} of {late + aborted} aborts were not possible" if late else ""
    return Sample(value(spent, report), others, quantiles(report), note)


def grpc_sample(server, cpu, mode, flags, value):
    """The same with bench/grpc/grpc_load, which measures the server itself."""
    command = [binary("bench/grpc/grpc_load"), mode, "--server", server.control,
               "--pid", server.child.pid, *flags]
    interval = Interval(running)
    with Process(command, cpu) as load:
        report = finished(load)
        load.child.wait()
        others = interval.end()
    return Sample(value(report["server_cpu_ns"], report), others,
                  quantiles(report))


def quantiles(report):
    latency = report["latency_us"]
    return {name: latency[name] for name in ("p50", "p99", "p999")}


def cpu_per_unit(spent, report):
    """Microseconds."""
    return spent / report["units"] / 1000
