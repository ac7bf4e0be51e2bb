"""The clients that go on while a proxy is upgraded, and what they make of it.

Each load has a `backend`, the name of what it needs behind the proxy, and
starts its tool, of which finish() gives an Outcome.
"""

import dataclasses
import hashlib
import json
import re
import subprocess
import threading
import time

from processes import PATIENCE, Process

# What a tool may take beyond its time.
SLACK = 60


@dataclasses.dataclass
class Outcome:
    """What the tool has noticed."""
    # Connections that it could not make, and that ended before they should.
    failed: int = 0
    cut: int = 0
    # Whether it came to its own end with everything that it wanted.
    whole: bool = True
    # In its own words.
    note: str = ""


class Tool(Process):
    """A program that somebody else has written."""

    def __init__(self, command, cpu):
        self.begun = time.monotonic()
        super().__init__(command, cpu)
        # Its pipe must not fill up.
        self.said = []
        self.ended = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.heard(line)
        self.ended = time.monotonic()

    def heard(self, line):
        self.said.append(line)

    def await_end(self, seconds):
        """Its exit status."""
        self.reader.join(seconds)
        try:
            return self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return self.fail("does not end")

    def output(self):
        return "".join(self.said)

    def complaint(self):
        """The last line of what it has said on stderr."""
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1] if lines else ""

    def seconds(self):
        return self.ended - self.begun


def wrk_outcome(output):
    """Of what wrk prints."""
    outcome = Outcome()
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), "
                       r"write (\d+), timeout (\d+)", output)
    late = 0
    if errors:
        outcome.failed, read, write, late = map(int, errors.groups())
        outcome.cut = read + write
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    count = re.search(r"(\d+) requests in", output)
    outcome.whole = count is not None and not bad and not late
    outcome.note = f"{count.group(1) if count else 'no'} requests"
    if late:
        outcome.note += f", {late} of more than 2 s"
    if bad:
        outcome.note += f", {bad.group(1)} wrong answers"
    return outcome


class Wrk:
    """64 connections that ask again and again."""

    backend = "web"
    headers = ()

    def start(self, cpu, port, seconds, _):
        self.tool = Tool(["/usr/bin/wrk", "-t", "1", "-c", "64", "-d",
                          f"{seconds:.0f}s", *self.headers,
                          f"http://127.0.0.1:{port}/small"], cpu)
        self.limit = seconds + SLACK
        return self.tool

    def finish(self):
        status = self.tool.await_end(self.limit)
        outcome = wrk_outcome(self.tool.output())
        outcome.whole &= status == 0
        return outcome


class WrkClose(Wrk):
    """The same with a connection for each request."""

    headers = ("-H", "Connection: close")


def iperf_outcome(output, seconds, wanted):
    """Of its JSON, which it wrote after `seconds`."""
    report = json.loads(output)
    error = report.get("error")
    if error:
        return Outcome(cut=1, whole=False,
                       note=f"ended after {seconds:.1f} s of {wanted:.0f}: "
                       f"{error}")
    rates = [report["end"][name]["bits_per_second"] / 1e9
             for name in ("sum_received", "sum_received_bidir_reverse")]
    return Outcome(note=f"{rates[0]:.1f} Gbit/s there, {rates[1]:.1f} back")


class Iperf:
    """Four streams each way, as fast as they go, and its own control
    connection."""

    backend = "iperf"

    def start(self, cpu, port, seconds, _):
        self.wanted = round(seconds)
        self.tool = Tool(["/usr/bin/iperf3", "-c", "127.0.0.1", "-p", port,
                          "-t", self.wanted, "-P", "4", "--bidir", "-J"], cpu)
        return self.tool

    def finish(self):
        status = self.tool.await_end(self.wanted + SLACK)
        outcome = iperf_outcome(self.tool.output(), self.tool.seconds(),
                                self.wanted)
        outcome.whole &= status == 0
        return outcome


class RedisBenchmark:
    """50 connections that ask again and again; it gives up at the first that is
    cut."""

    backend = "redis"

    def start(self, cpu, port, seconds, _):
        # It takes a number and not a time.
        few = 20000
        begin = time.monotonic()
        subprocess.run(self._command(port, few), check=True,
                       stdout=subprocess.DEVNULL)
        rate = few / (time.monotonic() - begin)
        self.count = int(1.3 * rate * seconds)
        self.limit = 4 * seconds + SLACK
        self.tool = Tool(self._command(port, self.count), cpu)
        return self.tool

    @staticmethod
    def _command(port, count):
        return ["/usr/bin/redis-benchmark", "-p", str(port), "-c", "50", "-n",
                str(count), "-t", "get", "--csv"]

    def finish(self):
        status = self.tool.await_end(self.limit)
        if status == 0:
            return Outcome(note=f"{self.count} requests, "
                           f"{self.tool.seconds():.1f} s")
        return Outcome(cut=1, whole=False,
                       note=f"ended after {self.tool.seconds():.1f} s: "
                       f"{self.tool.complaint()}")


def counter_outcome(numbers, wanted, status, longest, complaint):
    """Of a counter that should have come to `wanted`."""
    right = numbers == list(range(wanted))
    if right and status == 0:
        return Outcome(note=f"{wanted} lines, {1000 * longest:.0f} ms between "
                       "two of them at most")
    return Outcome(cut=int(status != 0), whole=False,
                   note=f"{len(numbers)} lines of {wanted}, exit status "
                   f"{status}: {complaint}")


class _Counter(Tool):
    """Notes when each line comes."""

    last = None
    longest = 0

    def heard(self, line):
        super().heard(line)
        now = time.monotonic()
        if self.last is not None:
            self.longest = max(self.longest, now - self.last)
        self.last = now


class SshSession:
    """A session in which a line appears every 20 ms."""

    backend = "ssh"
    period = 0.02

    def start(self, cpu, port, seconds, backends):
        self.wanted = round(seconds / self.period)
        self.limit = seconds + SLACK
        program = (f"import time\nfor i in range({self.wanted}):\n"
                   f" print(i, flush=True)\n time.sleep({self.period})")
        self.tool = _Counter(backends["ssh"].session(
            port, f"exec /usr/bin/python3 -c '{program}'"), cpu)
        return self.tool

    def finish(self):
        status = self.tool.await_end(self.limit)
        numbers = [int(line) for line in self.tool.said]
        return counter_outcome(numbers, self.wanted, status, self.tool.longest,
                               self.tool.complaint())


class _Sum(Tool):
    """Takes bytes, and adds them up."""

    def _read(self):
        self.digest = hashlib.sha256()
        self.size = 0
        while data := self.child.stdout.buffer.read1(1 << 20):
            self.digest.update(data)
            self.size += len(data)
        self.ended = time.monotonic()


class Download:
    """1 GiB, so slowly that all upgrades come into it."""

    backend = "web"

    def start(self, cpu, port, seconds, backends):
        self.file = backends["file"]
        self.limit = 2 * seconds + SLACK
        self.tool = _Sum(["/usr/bin/curl", "-sS", "--limit-rate",
                          int(self.file.size / seconds),
                          f"http://127.0.0.1:{port}/file"], cpu)
        return self.tool

    def finish(self):
        status = self.tool.await_end(self.limit)
        if (status == 0 and self.tool.size == self.file.size
                and self.tool.digest.hexdigest() == self.file.sha256):
            return Outcome(note=f"{self.tool.size} bytes, the same sha256")
        return Outcome(cut=int(status != 0), whole=False,
                       note=f"{self.tool.size} bytes of {self.file.size}: "
                       f"{self.tool.complaint()}")


# By name.  One that a proxy cannot serve, such as a server that is a client of
# the daemon's, names in `proxies` those that can.
LOADS = {
    "wrk": Wrk,
    "wrk, Connection: close": WrkClose,
    "iperf3": Iperf,
    "redis-benchmark": RedisBenchmark,
    "ssh": SshSession,
    "download of 1 GiB": Download,
}
