"""A load through a proxy that is upgraded under it, and a witness beside both."""

import contextlib
import dataclasses
import json
import os
import subprocess
import time

import upgrade_backends
from processes import Process
from upgrade_loads import Outcome
from upgrade_proxies import PERIOD

# Seconds in which the load runs and nobody upgrades, before and after.
REST = 5
# From the beginning of an upgrade.
NEAR = 0.5
IDLE = 100
WITNESS = os.path.join(os.path.dirname(os.path.realpath(__file__)),
                       "upgrade_witness.py")


class Witness(Process):
    """A client of our own; upgrade_witness.py says what its modes are."""

    def __init__(self, cpu, mode, port, connections):
        super().__init__(["/usr/bin/python3", "-B", WITNESS, mode, "--port",
                          port, "--connections", connections], cpu,
                         stdin=subprocess.PIPE)
        self.line("ready")

    def mark(self):
        """What it has seen since the last mark."""
        self.say("mark")
        return json.loads("{" + self.line("{"))

    def finish(self):
        """That, and what lives."""
        self.say("end")
        seen = json.loads("{" + self.line("{"))
        self.end()
        return seen


@dataclasses.dataclass
class Beside:
    """What one load and its witness have seen of one proxy's upgrades."""
    load: str
    proxy: str
    upgrades: int
    # How many of those the tool has lived through.
    inside: int
    outcome: Outcome
    # Of the witness, its pings and its short connections: within NEAR of the
    # beginning of an upgrade, or until it was done, and at all other times.
    near: dict
    otherwise: dict
    # Of IDLE connections that stood before the first upgrade.
    alive: int
    # Seconds that each upgrade took.
    took: list
    # The daemon's own word, of each upgrade; empty for others.
    stood_still_ms: list

    @property
    def failed(self):
        return self.outcome.failed + self._seen("failed")

    @property
    def cut(self):
        return self.outcome.cut + self._seen("cut")

    def _seen(self, what):
        return sum(seen[who][what] for seen in (self.near, self.otherwise)
                   for who in ("ping", "fresh"))


def together(seen):
    """What a witness has seen in several spans of time."""
    found = {}
    for one in seen:
        for key, value in one.items():
            if isinstance(value, dict):
                found[key] = together([found.get(key, {}), value])
            elif key.endswith("_ms"):
                found[key] = max(found.get(key, 0), value)
            else:
                found[key] = found.get(key, 0) + value
    return found


def upgrade_often(proxy, count, tell, before=None, after=None):
    """When each was done, and how long it took.

    `before` is called before each upgrade, and `after` when it is done and NEAR
    is over.
    """
    done, took = [], []
    due = time.monotonic()
    for number in range(count):
        time.sleep(max(0, due - time.monotonic()))
        proxy.await_turn()
        if before:
            before()
        begin = time.monotonic()
        proxy.upgrade()
        done.append(time.monotonic())
        took.append(done[-1] - begin)
        tell(f"upgrade {number + 1}: {1000 * took[-1]:.0f} ms")
        if after:
            time.sleep(max(0, begin + NEAR - time.monotonic()))
            after()
        due = begin + PERIOD
    return done, took


def measure(name, load_class, proxy_class, cpus, count, file, tell):
    """One cell: `cpus` are the server's and everybody else's."""
    server_cpu, other_cpu = cpus
    load = load_class()
    with contextlib.ExitStack() as stack:
        backends = {"file": file}
        for backend, start in (
                ("echo", upgrade_backends.Echo),
                ("web", lambda cpu: upgrade_backends.Web(
                    cpu, file.folder.name)),
                ("iperf", upgrade_backends.Iperf),
                ("redis", upgrade_backends.Redis),
                ("ssh", upgrade_backends.Ssh)):
            if backend in ("echo", load.backend):
                backends[backend] = stack.enter_context(start(other_cpu))
        proxy = stack.enter_context(proxy_class(server_cpu, {
            backend: backends[backend].port
            for backend in ("echo", load.backend)}))
        witness = stack.enter_context(
            Witness(other_cpu, "pulse", proxy.ports["echo"], IDLE))
        seconds = 2 * REST + count * proxy.seconds_per_upgrade
        tool = stack.enter_context(load.start(
            other_cpu, proxy.ports[load.backend], seconds, backends))
        time.sleep(1)
        witness.mark()
        time.sleep(REST - 1)
        near, otherwise = [], []
        done, took = upgrade_often(
            proxy, count, tell, lambda: otherwise.append(witness.mark()),
            lambda: near.append(witness.mark()))
        outcome = load.finish()
        proxy.await_drain()
        last = witness.finish()
        alive = last.pop("alive")
        last.pop("idle")
        return Beside(
            load=name, proxy=proxy.name, upgrades=count,
            inside=sum(at < tool.ended for at in done), outcome=outcome,
            near=together(near), otherwise=together([*otherwise, last]),
            alive=alive, took=took,
            stood_still_ms=proxy.stood_still_ms())
