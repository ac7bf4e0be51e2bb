"""Whether and how a stream goes on in the daemon's next process."""

import grpc

from portreeve.reason import has_moved, is_of_grpc

# Seconds in which the next process may not be reached.
MOVE_FOR = 10
# How often a worker may be told that the daemon has moved, and say nothing.
MOST_MOVES = 3


def may_attach_again(error):
    """Whether one process may be about to take another's place."""
    return has_moved(error) or is_of_grpc(
        error, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Move:
    """Decides for one connection; its transport reads, sends and attaches.

    A leg is one stream of gRPC: of a connection that moves there are several,
    one after the other. After `moved` the frame that is being sent is the last
    of its leg, and what is behind it waits for the next leg. The connection
    goes on only where nothing was lost on the way: what was cut must never look
    whole.
    """

    def __init__(self):
        self._has_eof = False  # The user's, of which each leg is told.
        self._has_end = False
        self._has_moved = False  # Until the next leg has opened.
        self._is_sending = False
        self._has_half_closed = False
        self._has_lost = False

    def may_send(self):
        """Whether the next frame goes on this leg."""
        return not self._has_moved

    def on_send(self, kind):
        """A frame is being sent, of this kind, and no other is."""
        self._is_sending = True
        if kind == "eof":
            self._has_eof = True
        elif kind != "data":
            self._has_end = True

    def on_sent(self, is_whole):
        self._is_sending = False
        if not is_whole:
            self._has_lost = True

    def on_moved(self):
        self._has_moved = True

    def begin_half_close(self):
        """Whether to end this direction of the leg now, which is done once."""
        if (not self._has_moved or self._is_sending or self._has_half_closed or
                self._has_lost):
            return False
        self._has_half_closed = True
        return True

    def goes_on(self, is_ok):
        """The leg has ended without `closed`; whether to attach again."""
        # After the user's end there is `closed`, and nothing moves.
        return (is_ok and self._has_half_closed and not self._is_sending and
                not self._has_lost and not self._has_end)

    def on_opened(self):
        """The next leg has; whether `eof` is to be sent on it first."""
        self._has_moved = self._has_half_closed = False
        return self._has_eof
