"""kill_test.py ROUNDS [SEED]: kill -9 at any moment of a storm of changes, of a
start and of an end.

What was answered, or told to a watcher, is there after the next start; of what
was not, each change is there as a whole or not at all, and asked for again it
is done once.
"""

import collections
import os
import random
import signal
import sys
import tempfile
import threading
import time

import grpc

from daemon import Daemon, echoes, listening_ports, reason_of
from storm import Known, Stormer, Watcher

CLIENTS = 16
MOST_ANSWERS = 600  # Of a round.
# The moment is up to so many seconds after an answer, or after what begins.
LATER = 0.006
OF_START = 0.08


class Rounds:

    def __init__(self, seed, folder):
        self.random = random.Random(seed)
        self.folder = folder
        self.stormers = [Stormer(number, random.Random(f"{seed} {number}"))
                         for number in range(CLIENTS)]
        self.counts = collections.Counter()
        self.start_times = []
        self.watcher = None  # Of the storm before.

    def round(self, number):
        with Daemon(self.folder) as daemon:
            began = time.monotonic()
            daemon.wait_until_ready()
            self.start_times.append(time.monotonic() - began)
            with daemon.client() as client:
                self.compare(client, self.watcher)
                self.ask_again(client)
                self.compare(client, None)
                self.watcher = Watcher(client)
                self.storm(daemon, number)
                self.watcher.join()
        if self.random.random() < 0.3:
            self.counts["starts killed"] += 1
            with Daemon(self.folder):
                time.sleep(self.random.uniform(0, OF_START))

    def storm(self, daemon, number):
        wanted = self.random.randint(1, MOST_ANSWERS)
        by_sigterm = number % 4 == 3
        lock, enough = threading.Lock(), threading.Event()
        ending = threading.Event()
        answers = 0

        def on_answer():
            nonlocal answers
            with lock:
                answers += 1
                if answers == wanted:
                    enough.set()

        clients = [daemon.client() for _ in self.stormers]
        threads = [
            threading.Thread(target=stormer.run,
                             args=(client, on_answer, ending))
            for stormer, client in zip(self.stormers, clients)]
        for thread in threads:
            thread.start()
        while not enough.wait(1):
            assert all(thread.is_alive() for thread in threads), [
                stormer.fault for stormer in self.stormers]
        time.sleep(self.random.uniform(0, LATER))
        ending.set()
        if by_sigterm:
            daemon.signal(signal.SIGTERM)
            # Half of them may end.
            if self.random.random() < 0.5:
                time.sleep(self.random.uniform(0, LATER))
            else:
                assert daemon.wait() == 0, daemon.errors
                self.counts["ended by SIGTERM"] += 1
        daemon.process.kill()
        for thread in threads:
            thread.join()
        for client in clients:
            client.channel.close()
        faults = [s.fault for s in self.stormers if s.fault]
        assert not faults, faults
        self.counts["answers"] += answers
        self.counts["not answered"] += sum(
            stormer.asked is not None for stormer in self.stormers)

    def compare(self, client, watcher):
        """That there is what was answered; `watcher` is of the time before."""
        shown = client.all()
        by_owner = collections.defaultdict(dict)
        for name, listener in shown.items():
            by_owner[listener.spec.labels["owner"]][name] = Known.of(listener)
        assert not set(by_owner) - {s.owner for s in self.stormers}, by_owner
        for stormer in self.stormers:
            self.settle(stormer, by_owner[stormer.owner], watcher)
        opened = sorted(known.port for found in by_owner.values()
                        for known in found.values() if not known.is_closed)
        assert opened == listening_ports(), (opened, listening_ports())
        self.counts["listeners"] += len(opened)
        return opened

    def settle(self, stormer, found, watcher):
        for done, possible in enumerate(stormer.possible()):
            request = possible.pop(None, None)
            # Of a creation whose answer is missing only the request is known.
            made = [name for name, known in found.items()
                    if request is not None and name not in possible
                    and known.request == request and known.value == "new"
                    and not known.is_closed]
            rest = {n: k for n, k in found.items() if n not in made}
            if rest == possible and len(made) == (request is not None):
                break
        else:
            raise AssertionError(
                f"client {stormer.owner}: it was told {stormer.known}, and "
                f"asked for {stormer.asked}; there is {found}")
        if stormer.asked is not None and watcher is not None:
            self.counts["done, not answered"] += done
            told = self.was_told(stormer, watcher)
            self.counts["told, not answered"] += told
            assert done or not told, f"a watcher was told: {stormer.asked}"
        stormer.known = found

    def was_told(self, stormer, watcher):
        asked = stormer.asked
        if asked.kind == "create":
            return any(known.request == asked.request.request_id
                       for known in watcher.created.values())
        uid = stormer.known[asked.name].uid
        if asked.kind == "update":
            return asked.value in watcher.values.get(uid, [])
        return asked.kind == "delete" and uid in watcher.deleted

    def ask_again(self, client):
        for stormer in self.stormers:
            asked = stormer.asked
            if asked is not None:
                self.repeat(client, stormer, asked)
            # Those of which the answer is known have the same one.
            for request, name, uid in self.random.sample(
                    stormer.created, min(2, len(stormer.created))):
                self.counts["answers repeated"] += 1
                try:
                    listener = client.create(request)
                except grpc.RpcError as error:
                    assert reason_of(error) == "LISTENER_CLOSED", error
                    assert name not in stormer.known, (name, error)
                else:
                    assert (listener.name, listener.uid) == (name, uid)
                    assert name in stormer.known, name

    def repeat(self, client, stormer, asked):
        before = dict(stormer.known)
        if asked.kind == "delete" and asked.name not in before:
            stormer.asked = None
            return
        stormer.ask(client, asked)
        if asked.kind != "create":
            return
        _, name, uid = stormer.created[-1]
        same = [n for n, known in stormer.known.items()
                if known.request == asked.request.request_id]
        assert same == [name], (same, name)
        if name in before:
            assert before[name].uid == uid, (before[name], uid)
        again = client.create(asked.request)
        assert (again.name, again.uid) == (name, uid), again

    def finish(self):
        with Daemon(self.folder) as daemon:
            daemon.wait_until_ready()
            with daemon.client() as client:
                self.compare(client, self.watcher)
                self.ask_again(client)
                for port in self.compare(client, None):
                    assert echoes(port), port


def main():
    rounds = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(
        os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        all_rounds = Rounds(seed, folder)
        for number in range(rounds):
            all_rounds.round(number)
        all_rounds.finish()
        counts = all_rounds.counts
        print(f"{rounds} rounds:",
              ", ".join(f"{count} {what}" for what, count in counts.items()))
        print(f"start: {max(all_rounds.start_times):.3f} s at most")
        assert counts["not answered"] > 0, "no kill came during a change"


if __name__ == "__main__":
    main()
