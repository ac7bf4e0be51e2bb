"""Programs that are started for a measurement, each on one CPU."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import tempfile
import time

from machine import cpu_ns, family

# The folder that holds the programs by their Bazel names, such as bench/load:
# Bazel's runfiles, or what was built last.
ROOT = os.environ.get("BENCH_ROOT") or os.path.join(
    os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "bazel-bin")
# Seconds that a program may take to start or to end.
PATIENCE = 20


def binary(name):
    return os.path.join(ROOT, name)


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

# All that have been started and not been stopped.
running = set()


class Process:
    """A child; ended by stop(), at the end of a `with`, or with this program."""

    def __init__(self, command, cpu, stdin=subprocess.DEVNULL):
        def prepare():
            os.sched_setaffinity(0, {cpu})
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            self.prepare()

        self.command = [str(word) for word in command]
        # What it says is shown if it fails.
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(
            self.command, stdin=stdin, stdout=subprocess.PIPE, stderr=self.log,
            text=True, preexec_fn=prepare)
        running.add(self)

    def prepare(self):
        """Called in the child before it becomes the program."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def line(self, prefix=""):
        """The rest of the next line of stdout that begins with `prefix`."""
        for line in self.child.stdout:
            if line.startswith(prefix):
                return line[len(prefix):].strip()
        return self.fail(f"ended before {prefix!r}")

    def say(self, text=""):
        """Writes a line to its stdin."""
        self.child.stdin.write(text + "\n")
        self.child.stdin.flush()

    def fail(self, what):
        self.log.seek(0)
        raise RuntimeError(
            f"{' '.join(self.command)}: {what}\n{self.log.read()[-2000:]}")

    def pids(self):
        return family(self.child.pid)

    def cpu_ns(self):
        return cpu_ns(self.pids())

    def end(self):
        """Closes its stdin and waits until it is through."""
        self.child.stdin.close()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.fail("does not end")

    def stop(self):
        running.discard(self)
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.child.poll() is None:
                self.child.send_signal(how)
                try:
                    self.child.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    pass
        self.child.stdout.close()
        self.log.close()


class Spinner(Process):
    """Does nothing, for as long as nobody else wants the CPU."""

    def __init__(self, cpu):
        super().__init__(["/bin/sh", "-c", "while :; do :; done"], cpu)

    def prepare(self):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


@contextlib.contextmanager
def awake(cpus):
    """Keeps CPUs, the clients' for example, from going to sleep.

    To wake a virtual CPU that sleeps costs the one that does so some
    microseconds: a server would seem the dearer the more often its clients run
    out of work, which is the more often the faster it is.
    """
    with contextlib.ExitStack() as stack:
        for cpu in cpus:
            stack.enter_context(Spinner(cpu))
        yield


def free_port():
    """For programs that cannot let the OS choose."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def free_server_port():
    """A port as servers have: not one that the kernel gives to clients.

    Who connects to one of the latter has to see that it is not connected to
    itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first = int(f.read().split()[0])
    ports = range(1024, first)
    if not ports:
        return free_port()
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.choice(ports)))
            except OSError:
                continue
            return probe.getsockname()[1]


def await_port(process, port):
    """Until the process listens."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    process.fail(f"does not listen on {port}")
