"""A daemon whose instructions are counted, by Valgrind's callgrind."""

import glob
import os
import re
import subprocess
import tempfile
import time

from processes import free_port
from servers import Portreeved


def in_folder(flags, folder):
    """The same where {folder} is the name of a folder."""
    return [flag.format(folder=folder) for flag in flags]


class Counted(Portreeved):
    """Counts those of all threads, in user space.

    Callgrind runs one thread at a time, some fifty times as slowly as the CPU
    would.  So whatever talks to the daemon is ready before it is: a round of
    its loop finds all 64 clients at work, again and again, which is why two
    runs differ so little.
    """

    # More than a gRPC server takes that wakes up and finds nothing to do.
    REST_NS = 2_000_000

    def __init__(self, cpu, program, flags, upstream=None):
        self.folder = tempfile.TemporaryDirectory()
        self.binary = program
        self.flags = in_folder(flags, self.folder.name)
        self.runner = (
            "valgrind", "--tool=callgrind",
            f"--vgdb-prefix={self._path('vgdb')}",
            f"--callgrind-out-file={self._path('out')}")
        super().__init__(cpu, upstream)

    def _path(self, name):
        return os.path.join(self.folder.name, name)

    def rest(self):
        """Waits until it has hardly run for a tenth of a second."""
        before = None
        while before is None or self.cpu_ns() - before > self.REST_NS:
            before = self.cpu_ns()
            time.sleep(0.1)

    def count(self, work):
        """The instructions of `work`, a function, up to the rest after it."""
        self.rest()
        self._dump()
        work()
        self.rest()
        return self._dump()

    def _dump(self):
        """The instructions since the last time, or since the start."""
        subprocess.run(
            ["vgdb", f"--pid={self.child.pid}",
             f"--vgdb-prefix={self._path('vgdb')}", "dump"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (path,) = glob.glob(self._path("out.*"))
        with open(path, encoding="utf-8") as file:
            total = re.search(r"^totals: (\d+)$", file.read(), re.MULTILINE)
        os.unlink(path)
        return int(total[1])

    def stop(self):
        super().stop()
        self.folder.cleanup()


class Scraped(Counted):
    """Serves pages on `http_port`."""

    def __init__(self, cpu, program, flags, upstream=None):
        # The OS could choose one, which would be told before or after others.
        self.http_port = free_port()
        super().__init__(
            cpu, program, [*flags, "--http", f"tcp:127.0.0.1:{self.http_port}"],
            upstream)
