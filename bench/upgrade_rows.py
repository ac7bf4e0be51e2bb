"""What an upgrade of the daemon costs, and its goals."""

import contextlib
import dataclasses
import statistics
import time

import upgrade_backends
from machine import cpu_ns
from upgrade_beside import IDLE, Witness, upgrade_often
from upgrade_proxies import (PERIOD, PROXIES, UpgradedPortreeve, is_there, reap,
                             until)

IDLE_CONNECTIONS = 4000
BULK_CONNECTIONS = 64
SHORT_CLIENTS = 32


@dataclasses.dataclass
class Figure:
    """One measured thing; with a goal, the most that it may be."""
    work: str
    what: str
    who: str
    value: float
    unit: str
    goal: float | None = None
    # What else was seen.
    note: str = ""

    @property
    def met(self):
        return None if self.goal is None else self.value <= self.goal


def spread(values):
    return (f"{min(values):.0f} to {max(values):.0f}, median "
            f"{statistics.median(values):.0f}")


def _start(stack, cpus, proxy_class):
    """A proxy before an echo, and the ports of its echoes by their names."""
    server_cpu, other_cpu = cpus
    echo = stack.enter_context(upgrade_backends.Echo(other_cpu))
    proxy = stack.enter_context(proxy_class(server_cpu, {"echo": echo.port}))
    ports = {"forward": proxy.ports["echo"]}
    if proxy_class is UpgradedPortreeve:
        ports["echo"] = proxy.port
    return proxy, ports


def silence(handler, cpus, count, tell):
    """Under idle and bulk connections through `handler`."""
    with contextlib.ExitStack() as stack:
        proxy, ports = _start(stack, cpus, UpgradedPortreeve)
        pulse = stack.enter_context(Witness(cpus[1], "pulse", ports[handler],
                                            IDLE_CONNECTIONS))
        bulk = stack.enter_context(Witness(cpus[1], "bulk", ports[handler],
                                           BULK_CONNECTIONS))
        time.sleep(1)
        bulk.mark()
        pulse.mark()
        time.sleep(PERIOD)
        rest, rest_ping = bulk.mark(), pulse.mark()["ping"]
        seen, pings = [], []
        for number in range(count):
            proxy.upgrade()
            time.sleep(PERIOD)
            seen.append(bulk.mark())
            pings.append(pulse.mark())
            tell(f"{handler}, upgrade {number + 1}: silence "
                 f"{seen[-1]['silence_ms']:.0f} ms, ping "
                 f"{pings[-1]['ping']['silence_ms']:.0f} ms")
        left = bulk.finish()
        # Idle ones are as old as the first upgrade.
        last = pulse.finish()
        silences = [one["silence_ms"] for one in seen]
        ping_silences = [one["ping"]["silence_ms"] for one in pings]
        everything = [*seen, left, *(one["ping"] for one in pings),
                      *(one["fresh"] for one in pings)]
        wrong = sum(one.get("wrong", 0) for one in everything)
        cut = (sum(one["cut"] for one in everything)
               + IDLE_CONNECTIONS - last["alive"])
        failed = sum(one["fresh"]["failed"] for one in pings)
        mib = sum(one["bytes"] for one in seen) >> 20
        work = (f"{handler}, {IDLE_CONNECTIONS} idle and {BULK_CONNECTIONS} "
                "bulk connections")
        still = spread(proxy.stood_still_ms())
        return [
            Figure(work, "longest silence of a bulk client", proxy.name,
                   max(silences), "ms", 250,
                   f"by upgrade {spread(silences)}; nobody upgrades: "
                   f"{rest['silence_ms']:.0f}; the daemon stood still for "
                   f"{still}"),
            Figure(work, "longest silence of a ping", proxy.name,
                   max(ping_silences), "ms", 250,
                   f"by upgrade {spread(ping_silences)}; nobody upgrades: "
                   f"{rest_ping['silence_ms']:.0f}"),
            Figure(work, "wrong bytes", proxy.name, wrong, "", 0,
                   f"in {mib} MiB; counted are blocks"),
            Figure(work, "connections that were cut", proxy.name, cut, "", 0,
                   f"of {IDLE_CONNECTIONS + BULK_CONNECTIONS}, and short "
                   f"ones beside"),
            Figure(work, "failed connects", proxy.name, failed, "", 0,
                   f"of {sum(one['fresh']['count'] for one in pings)}"),
        ]


def _settled_ns(pid):
    """CPU time of a process, when it has been the same for a while."""
    last = -1
    while (now := cpu_ns([pid])) - last > 200_000:
        last = now
        time.sleep(0.2)
    return now


def _upgrade_ns(proxy):
    """CPU time of both processes: from the wish until one is gone and the
    other at rest."""
    former = proxy.pid
    before = _settled_ns(former)
    proxy.upgrade()
    until(lambda: not is_there(former), "the end of the former process")
    return reap(former) - before + _settled_ns(proxy.pid)


def cpu(handler, cpus, count, tell):
    """Of an upgrade with many connections, less that of one with none."""
    with contextlib.ExitStack() as stack:
        proxy, ports = _start(stack, cpus, UpgradedPortreeve)
        # The first has a history that the others do not have.
        proxy.upgrade()
        none = [_upgrade_ns(proxy) / 1000 for _ in range(count)]
        tell(f"{handler}, no connections: {spread(none)} us")
        pulse = stack.enter_context(Witness(cpus[1], "still", ports[handler],
                                            IDLE_CONNECTIONS))
        many = [_upgrade_ns(proxy) / 1000 for _ in range(count)]
        tell(f"{handler}, {IDLE_CONNECTIONS} connections: {spread(many)} us")
        alive = pulse.finish()["alive"]
        each = ((statistics.median(many) - statistics.median(none))
                / IDLE_CONNECTIONS)
        whole = statistics.median(many) / IDLE_CONNECTIONS
        return [Figure(
            f"{handler}, {IDLE_CONNECTIONS} idle connections",
            "CPU of both processes for each connection", proxy.name, each,
            "us", 60,
            f"with what an upgrade costs without connections "
            f"({statistics.median(none) / 1000:.0f} ms): {whole:.1f} us; "
            f"{alive} connections live")]


def short(proxy_class, cpus, count, tell):
    """Short connections, as fast as clients make them."""
    with contextlib.ExitStack() as stack:
        proxy, ports = _start(stack, cpus, proxy_class)
        pulse = stack.enter_context(
            Witness(cpus[1], "still", ports["forward"], IDLE))
        clients = stack.enter_context(
            Witness(cpus[1], "short", ports["forward"], SHORT_CLIENTS))
        time.sleep(PERIOD)
        rest = clients.mark()
        upgrade_often(proxy, count, tell)
        proxy.await_drain()
        seen = clients.finish()
        alive = pulse.finish()["alive"]
        goal = 0 if proxy_class is UpgradedPortreeve else None
        why = "".join(f"; {number} {name}"
                      for name, number in sorted(seen["why"].items()))
        work = f"short connections, {SHORT_CLIENTS} at a time"
        return [
            Figure(work, "failed connects", proxy.name, seen["failed"], "",
                   goal, f"of {seen['count']}{why}"),
            Figure(work, "cut before their echo", proxy.name, seen["cut"], "",
                   goal, f"longest {seen['longest_ms']:.0f} ms, nobody "
                   f"upgrades: {rest['longest_ms']:.0f}"),
            Figure(work, "connections from before that are cut after the drain",
                   proxy.name, IDLE - alive, "", goal, f"of {IDLE}"),
        ]


def rows():
    """By name; each is called with the CPUs, the number of upgrades, and who
    tells."""
    found = {}
    for handler in ("echo", "forward"):
        found[f"silence_{handler}"] = (
            lambda *how, handler=handler: silence(handler, *how))
        found[f"cpu_{handler}"] = (
            lambda *how, handler=handler: cpu(handler, *how))
    for name, proxy_class in PROXIES.items():
        found[f"short_{name}"] = (
            lambda *how, proxy_class=proxy_class: short(proxy_class, *how))
    return found
