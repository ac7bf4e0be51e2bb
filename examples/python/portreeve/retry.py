"""Whether and when a stream that broke is tried again."""

import random
import time

# Seconds.
FIRST_WAIT = 0.2
MOST_WAIT = 10


class Retry:
    """Each wait is twice the one before it, and by chance shorter by up to a
    half. A stream that has lived for longer than the longest wait makes the next
    one the first again. `give_up_after` is in seconds; None: for ever.
    """

    def __init__(self, give_up_after, clock=time.monotonic,
                 chance=random.random):
        self._give_up_after = give_up_after
        self._clock = clock
        self._chance = chance
        self._next = FIRST_WAIT
        self._started = None
        self._broken_since = None

    def on_start(self):
        """The stream counts."""
        self._started = self._clock()
        self._broken_since = None

    def on_end(self):
        """Seconds until the next try; None: give up."""
        now = self._clock()
        if self._started is not None and now - self._started > MOST_WAIT:
            self._next = FIRST_WAIT
        self._started = None
        if self._broken_since is None:
            self._broken_since = now
        wait = self._next * (1 - self._chance() / 2)
        if self._give_up_after is not None:
            left = self._broken_since + self._give_up_after - now
            if left <= 0:
                return None
            wait = min(wait, left)
        self._next = min(2 * self._next, MOST_WAIT)
        return wait
