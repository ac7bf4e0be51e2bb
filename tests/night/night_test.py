"""A night in minutes: everything is taken away from a daemon under load.

    night_test.py DAEMON PROBE SECONDS [SEED]

For SECONDS, and until each shortage was there once.  SEED, else $NIGHT_SEED,
repeats a night as far as threads allow.
"""

import os
import random
import sys
import tempfile
import threading
import time

import grpc
from portreeve.v1 import listener_pb2, listener_pb2_grpc

import churn as churns
import daemon as daemons
import footprint
import load as loads
import name_server as name_servers
import peers
import record
import ring
import shortages

AGAIN = shortages.AGAIN
# For how long something is away, in seconds, unless the load goes on.
AWAY = 1.5
# Round trips of the load between shortages, and of those while one lasts.
TRIPS = 200
TRIPS_AWAY = (200, 2000, 5000)


class Night:
    """One daemon, and what is around it."""

    def __init__(self, binary, probe, folder, seed):
        self.dice = random.Random(seed)
        self.daemon = daemons.Daemon(binary, probe, folder)
        self.names = name_servers.NameServer(folder)
        self.upstream = peers.Upstream(f"{folder}/upstream")
        self.watch_channels = [
            self.daemon.channel(self.daemon.unix),
            self.daemon.channel(self.daemon.tcp, record.NARROW)]
        self.record = record.Record(self.watch_channels[0])
        self.lazy = record.Watcher(self.watch_channels[1], lazy=True)
        self.load = loads.Load(self.daemon, self.upstream, self.record, seed)
        self.churn = churns.Churn(self.daemon, self.load, self.record, seed)
        self.shortages = shortages.Shortages(
            self.daemon, self.load, self.upstream, self.names, self.record,
            self.dice)
        self.ring = ring.Ring(self.watch_channels[0], self.load, self.record,
                              self.lazy)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.__exit__()

    def start(self):
        self.load.start()
        self.churn.start()

    def stop(self):
        self.churn.stop()
        self.load.stop()

    def step(self, name):
        """Takes it away, gives it back, and sees that everything answers."""
        with Held(self.load, name) as held:
            with self.record.away(name), self.shortages.take(name):
                held.go_on()
                if name == "stop":
                    time.sleep(1)  # Nothing moves that could be waited for.
                else:
                    self.load.more(self.dice.choice(TRIPS_AWAY), AWAY)
                    self.between(name)
            self.answers(name)
        self.shortages.served_late()
        if not self.load.more(TRIPS):
            self.record.fault(f"after {name} the load stands still")
        self.churn.read_audit()
        self.record.settle()
        if self.dice.random() < 0.5:
            self.lazy.let()
        else:
            self.lazy.hold()
        self.see_faults(name)

    def between(self, name):
        """Signals, in the midst of a shortage."""
        if name in ("hangup", "stderr"):
            return
        if self.dice.random() < 0.3:
            with self.record.away("stop"), self.shortages.take("stop"):
                time.sleep(0.5)
        # Without descriptors no file can be read.
        if name != "descriptors" and self.dice.random() < 0.3:
            self.shortages.read_policy_again()

    def see_faults(self, when):
        faults = (self.record.watcher.faults + self.record.faults +
                  self.lazy.faults)
        if not self.daemon.alive():
            faults.insert(0, "the daemon has ended: "
                          f"{self.daemon.process.returncode} "
                          f"{self.daemon.lines[-5:]}")
        if faults:
            raise AssertionError(
                f"{when}: {len(faults)} faults:\n" +
                "\n".join(str(f) for f in faults[:10]) +
                "\nThe daemon's last lines:\n" +
                "\n".join(self.daemon.lines[-10:]))

    def answers(self, name):
        """Everything, within the time that is promised."""
        since = time.monotonic()
        threads = [threading.Thread(target=self.answer, args=(name, kind,
                                                              since))
                   for kind in loads.KINDS]
        threads += [threading.Thread(target=self.answer_call,
                                     args=(name, target, since))
                    for target in (self.daemon.tcp, self.daemon.unix)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def answer_call(self, name, target, since):
        """On a connection of its own."""
        with self.daemon.channel(target) as channel:
            try:
                listener_pb2_grpc.ListenerServiceStub(channel).ListListeners(
                    listener_pb2.ListListenersRequest(page_size=1),
                    timeout=since + AGAIN - time.monotonic(),
                    wait_for_ready=True)
            except grpc.RpcError as error:
                self.record.fault(f"{AGAIN} s after {name}: no call on "
                                  f"{target}: {peers.reason_of(error)}")

    def answer(self, name, kind, since):
        tries = 0
        error = None
        while (left := since + AGAIN - time.monotonic()) > 0:
            peer = self.load.new_peer(kind, random.Random(tries), left)
            tries += 1
            try:
                if kind == "dial":
                    peer.open()
                else:
                    peer.open(left)
                self.load.trip(peer, b"are you there?", left)
                peer.finish(left)
                self.load.tell(peer, record.WHOLE)
                return
            except peers.RESET as reset:
                error = reset
                self.load.tell(peer, record.RESET, str(reset))
            except peers.Refused as refused:
                error = refused
                self.load.tell(peer, record.RESET, str(refused))
            except (AssertionError, OSError, grpc.RpcError) as other:
                error = other
                self.load.tell(peer, record.VANISHED)
            finally:
                peer.close()
        self.record.fault(f"{AGAIN} s after {name}, and {tries} tries: {kind} "
                          f"does not answer: {error!r}")

    # The end.

    def nothing_is_open(self):
        shortages.poll_until(
            lambda: not self.record.settle() and
            not self.record.open_connections(),
            lambda: f"all is told of: {self.record.settle()} "
            f"{self.record.open_connections()}", peers.TIMEOUT)

    def at_rest(self):
        """What is remembered is alike each time; gives how many clients can
        be connected.
        """
        self.nothing_is_open()
        num_clients = footprint.num_clients(self.load, self.record)
        self.nothing_is_open()
        self.ring.turn_over()
        self.see_faults("when events are forgotten")
        return num_clients

    def everything_is_told(self):
        """Watches are complete, totals agree, the audit lacks nothing."""
        stub = listener_pb2_grpc.ListenerServiceStub(self.watch_channels[1])
        answer = stub.ListListeners(
            listener_pb2.ListListenersRequest(page_size=1000))
        self.lazy.let()
        shortages.poll_until(
            lambda: min(self.lazy.revision, self.record.watcher.revision) >=
            answer.revision,
            lambda: f"{answer.revision} events, but {self.lazy.revision} and "
            f"{self.record.watcher.revision} seen", peers.TIMEOUT)
        if self.record.watcher.gaps:
            self.record.fault(f"{self.record.watcher.gaps} are missed")
        for connection in self.record.unclaimed():
            self.record.fault(f"no client knows of {connection}")
        for listener in answer.listeners:
            accepted = self.record.accepted_of[listener.name]
            status = listener.status
            if (status.num_connections or status.dropped_total or
                    status.accepted_total != accepted):
                self.record.fault(f"{accepted} events, but {listener}")
        shortages.poll_until(lambda: self.churn.missing() is None,
                             lambda: f"the audit: {self.churn.missing()}")
        if not self.shortages.all_lines_are_known():
            self.record.fault("lines of the log are missing")

    def everything_was_away(self):
        """What the daemon did not feel proves nothing."""
        felt = {
            "descriptors": self.record.accepts_failed.total(),
            "disk": self.daemon.disk_errors(),
            "names": self.names.unanswered,
            "stderr": self.daemon.dropped,
        }
        print("night: felt", felt)
        for name, count in felt.items():
            if not count:
                self.record.fault(f"{name} was never away")

    def end(self):
        self.lazy.stop()
        self.record.watcher.stop()
        self.load.close()
        self.churn.close()
        self.shortages.close()
        for channel in self.watch_channels:
            channel.close()
        if (status := self.daemon.end()) != 0:
            raise AssertionError(f"exit status {status}")


class Held:
    """A connection of each kind that lives through a shortage."""

    def __init__(self, load, name):
        self._load = load
        self._name = name
        self._opened = threading.Semaphore(0)
        self._away = threading.Event()
        self._back = threading.Event()
        self._threads = [threading.Thread(target=self._live, args=(kind,))
                         for kind in loads.KINDS]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._opened.acquire()
        return self

    def go_on(self):
        """Also while something is away."""
        self._away.set()

    def __exit__(self, *_):
        self._away.set()
        self._back.set()
        for thread in self._threads:
            thread.join()

    def _live(self, kind):
        peer = self._load.new_peer(kind, random.Random(self._name))
        with self._load.end_of(peer):
            try:
                peer.open()
                self._load.trip(peer, b"before")
            finally:
                self._opened.release()
            self._away.wait()
            self._load.trip(peer, b"meanwhile")
            self._back.wait()
            self._load.trip(peer, b"after")
            peer.finish()


def spend(night, seconds):
    """The night itself."""
    begin = time.monotonic()
    night.start()
    try:
        night.shortages.read_policy_again()
        night.load.more(4 * TRIPS)
        night.stop()
        before = footprint.Footprint(night.daemon, night.at_rest())
        night.start()
        done = 0
        order = []
        names = [name for name in shortages.Shortages.NAMES
                 if name != "socket_memory" or night.daemon.cgroup]
        while done < len(names) or time.monotonic() - begin < seconds:
            if not order:
                order = night.dice.sample(names, len(names))
            name = order.pop()
            print(f"night: {time.monotonic() - begin:6.1f} s: {name}",
                  flush=True)
            night.step(name)
            done += 1
    finally:
        night.stop()
    num_clients = night.at_rest()
    night.everything_is_told()
    before.check(num_clients)
    night.everything_was_away()
    night.see_faults("in the end")
    night.end()
    missed = sum(last - first + 1 for first, last in night.lazy.gaps)
    print(f"night: {done} shortages, {night.churn.rounds} listeners, "
          f"{night.record.num_events} events, {missed} of them missed by the "
          f"lazy watcher, {night.churn.refused} creates refused")
    for what, count in sorted(night.record.settled.items()):
        print("night:", *what, count)


def main():
    binary, probe, seconds, *rest = sys.argv[1:]
    seed = rest[0] if rest else os.environ.get("NIGHT_SEED",
                                               str(time.time_ns()))
    print(f"night: seed {seed}", flush=True)
    # So that no thread of this process waits long for another one.
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory() as folder, \
            Night(os.path.abspath(binary), os.path.abspath(probe), folder,
                  seed) as night:
        spend(night, float(seconds))


if __name__ == "__main__":
    main()
