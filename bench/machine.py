"""What the kernel tells about processes and CPUs."""

import glob
import os
import resource
import time


def cpu_ns(pids):
    """User and system time of whole processes, with threads that have ended.

    The scheduler's own count, in nanoseconds: /proc/PID/schedstat is only the
    main thread's, and utime and stime come in ticks of 10 ms.
    """
    # CPUCLOCK_SCHED of a process (linux/posix-timers.h).
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def family(pid):
    """The process and all its descendants."""
    return [pid] + [d for child in children(pid) for d in family(child)]


def busy_ns():
    """All CPUs together, since the start: what was not idle, stolen time too."""
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(
            int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * tick


def private_dirty(pids):
    """Bytes of memory that are the processes' own."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Private_Dirty:"):
                    total += int(line.split()[1]) * 1024
    return total


class Threads:
    """CPU time and voluntary context switches of a process, by thread."""

    def __init__(self, pid):
        self.by_name = {}
        for task in glob.glob(f"/proc/{pid}/task/*"):
            with open(f"{task}/schedstat") as file:
                cpu = int(file.read().split()[0])
            with open(f"{task}/status") as file:
                status = dict(line.split(":", 1) for line in file)
            key = (os.path.basename(task), status["Name"].strip())
            self.by_name[key] = (
                cpu, int(status["voluntary_ctxt_switches"]))

    def since(self, before):
        """Of each thread that was there before: (tid, name) to the growth."""
        return {key: tuple(now - then for now, then in zip(
                    value, before.by_name[key]))
                for key, value in self.by_name.items()
                if key in before.by_name}


def raise_limits():
    """As many descriptors as the hard limit allows; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def raise_priority():
    """Other work on the machine disturbs less; False if that is not allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    except PermissionError:
        return False
    return True
