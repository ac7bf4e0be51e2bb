"""Events in such numbers that the daemon forgets the oldest of them."""

import random

import peers
import record
import shortages

# How many the daemon remembers (docs/OPERATIONS.md, "The daemon").
REMEMBERED = 100_000
# More than are on their way to a watcher that does not read: a message of
# 256 KiB that it has in hand, one that the daemon has begun to send, and the
# window of HTTP/2 (record.NARROW); an event takes at least 100 bytes.
ON_THE_WAY = 10_000
# Clients that come before it is seen how many are served.
WAVE = 50


class Ring:
    """Turns it over, past a watcher that is held.  Nothing else goes on."""

    def __init__(self, channel, load, events, lazy):
        self._channel = channel
        self._load = load
        self._events = events
        self._watcher = events.watcher
        self._lazy = lazy

    def turn_over(self):
        """All that is remembered afterwards are clients who came and went.

        The lazy watcher, and one that comes now, are told which events they
        did not see: those that are not remembered, and no other ones.
        """
        self._lazy.let()
        self._catch_up(self._lazy)
        self._lazy.hold()
        told = len(self._lazy.gaps)
        self._fill()
        lost = self._watcher.revision - REMEMBERED
        self._lazy.let()
        self._catch_up(self._lazy)
        if [last for _, last in self._lazy.gaps[told:]] != [lost]:
            self._events.fault(f"all until {lost} are lost to the lazy "
                               f"watcher, told: {self._lazy.gaps[told:]}")
        late = record.Watcher(self._channel)
        self._catch_up(late)
        late.stop()
        if late.gaps != [(1, lost)]:
            self._events.fault(f"all until {lost} are lost to one who is "
                               f"late, told: {late.gaps}")
        for watcher in (self._lazy, late):
            self._events.compare(watcher)

    def _fill(self):
        dice = random.Random(0)
        for _ in range((REMEMBERED + ON_THE_WAY) // 2 // WAVE):
            if self._watcher.faults:
                return
            for _ in range(WAVE):
                peer = self._load.new_peer("discard", dice)
                peer.open()
                peer.vanish()
                self._load.tell(peer, record.VANISHED)
            self._await_events(WAVE)
        self._await_events(0)

    def _await_events(self, at_most):
        """Until there are so many clients whose end is not told."""
        shortages.poll_until(
            lambda: self._watcher.faults or
            len(self._events.settle()) <= at_most,
            lambda: f"told of {self._events.settle()[:3]}", peers.TIMEOUT)

    def _catch_up(self, watcher):
        shortages.poll_until(
            lambda: watcher.faults or
            watcher.revision >= self._watcher.revision,
            lambda: f"{watcher.revision} of {self._watcher.revision} events",
            peers.TIMEOUT)
