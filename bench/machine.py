"""What the kernel tells about processes and CPUs."""

import glob
import os
import resource
import time

PRIORITY = -15


def cpu_ns(pids):
    """User and system time of whole processes, with threads that have ended.

    The scheduler's own count, in nanoseconds: /proc/PID/schedstat is the main
    thread's only, and utime and stime come in ticks of 10 ms.
    """
    # CPUCLOCK_SCHED of a process (linux/posix-timers.h).
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def family(pid):
    """The process and all its descendants."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(child) for child in file.read().split()]
    return [pid] + [d for child in children for d in family(child)]


def private_dirty(pids):
    """Bytes of memory that are the processes' own."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Private_Dirty:"):
                    total += int(line.split()[1]) * 1024
    return total


def threads(pid):
    """By thread id: its name, CPU time in ns and voluntary context switches."""
    found = {}
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{task}/schedstat", encoding="ascii") as file:
            cpu = int(file.read().split()[0])
        with open(f"{task}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        found[int(os.path.basename(task))] = (
            status["Name"].strip(), cpu, int(status["voluntary_ctxt_switches"]))
    return found


def cpus():
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


def _busy_ns():
    """All CPUs since the start: what was not idle, with what was stolen."""
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(
            int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * tick


def _network_threads():
    """The kernel's, which may do what a sender would have done."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="utf-8") as file:
                if file.read().startswith("ksoftirqd/"):
                    found.append(int(path.split("/")[2]))
        except OSError:
            pass  # It has ended.
    return found


class Interval:
    """From now until end(): how much of the machine others have used.

    `processes` are ours, with those that end meanwhile if they are children.
    """

    def __init__(self, processes):
        self._pids = _network_threads()
        self._processes = list(processes)
        self._begin = time.monotonic_ns()
        self._busy = _busy_ns()
        self._own = self._own_ns()

    def _own_ns(self):
        # Of children that were waited for.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (sum(process.cpu_ns() for process in self._processes)
                + cpu_ns(self._pids) + time.process_time_ns()
                + int((ended.ru_utime + ended.ru_stime) * 1e9))

    def end(self):
        """The part of all CPUs' time that was used, but not by us."""
        own = self._own_ns() - self._own
        busy = _busy_ns() - self._busy
        whole = (time.monotonic_ns() - self._begin) * os.cpu_count()
        # `busy` comes in ticks, so it may be the smaller one.
        return max(0, busy - own) / whole


def raise_limits():
    """As many descriptors as the hard limit allows; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def raise_priority():
    """So that other work on the machine disturbs less, where that is allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError:
        return
    raise_session(os.getpid())


def raise_session(pid):
    """The kernel may share a CPU among sessions first (sched(7), autogroup);
    then the priority above only counts within one."""
    try:
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as file:
            file.write(str(PRIORITY))
    except OSError:
        pass  # There is no such thing, or it is not allowed.
