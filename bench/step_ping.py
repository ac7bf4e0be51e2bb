"""Echoes one byte after the other, and says how long the daemon's loop was held
meanwhile.

    step_ping.py PORT THREAD

THREAD is that of the loop.  For each line of stdin it prints a line of JSON about
the time since the last one: how many round trips there were, and the longest of
what `longest` names, in seconds.
"""

import ctypes
import gc
import json
import os
import platform
import select
import socket
import struct
import sys
import time

# perf_event_open(2).
SYSCALL = {"x86_64": 298, "aarch64": 241}
SOFTWARE = 1
TASK_CLOCK = 1
ATTRIBUTE_BYTES = 64


class CpuClock:
    """The CPU time of a thread, also of one that runs; no other clock that the
    kernel has tells another process of that."""

    def __init__(self, thread):
        attribute = struct.pack("=IIQ", SOFTWARE, ATTRIBUTE_BYTES, TASK_CLOCK)
        attribute = ctypes.create_string_buffer(attribute, ATTRIBUTE_BYTES)
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.syscall(
            SYSCALL[platform.machine()], attribute, thread, -1, -1, 0)
        if self._descriptor < 0:
            sys.exit("perf_event_open: " + os.strerror(ctypes.get_errno())
                     + " (it takes root, or kernel.perf_event_paranoid 1)")

    def seconds(self):
        return int.from_bytes(os.read(self._descriptor, 8), "little") / 1e9


class Longest:
    """A step of the loop that falls into a round trip makes that longer, but so
    does whoever else has one of the CPUs; and it makes the loop's thread run for
    longer, but so do the steps that come before this program has its CPU again.
    What both have seen was the loop."""

    def __init__(self):
        self.round_trip = self.cpu = self.held = 0.0
        self.round_trips = 0

    def add(self, round_trip, cpu):
        self.round_trips += 1
        self.round_trip = max(self.round_trip, round_trip)
        self.cpu = max(self.cpu, cpu)
        self.held = max(self.held, min(round_trip, cpu))


def main():
    port, thread = map(int, sys.argv[1:])
    clock = CpuClock(thread)
    gc.disable()
    # It is to run when its echo is there, whatever else has this CPU.
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    with socket.create_connection(("127.0.0.1", port)) as echo:
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        longest = Longest()
        stdin = select.poll()
        stdin.register(0, select.POLLIN)
        print("ready", flush=True)
        cpu = clock.seconds()
        while True:
            begun = time.perf_counter()
            echo.sendall(b"x")
            if echo.recv(1) != b"x":
                sys.exit("no echo")
            round_trip = time.perf_counter() - begun
            before, cpu = cpu, clock.seconds()
            longest.add(round_trip, cpu - before)
            if stdin.poll(0):
                if not os.read(0, 1):
                    return
                print(json.dumps(vars(longest)), flush=True)
                longest = Longest()
                cpu = clock.seconds()


if __name__ == "__main__":
    main()
