"""What a handler is told of every way in which a connection may end.

The daemon is a script: no order of bytes and resets on a socket decides.
"""

import signal
import unittest

from harness import LANGUAGE, Worker, main
from portreeve.v1 import connection_pb2
from scripted_daemon import ScriptedDaemon

DATA = bytes(2000)
FIN = {"eof": {}}
RESET = {"eof": {"reset": True}}
AT_ONCE = object()
REASONS = [name.removeprefix("CLOSE_REASON_")
           for name in connection_pb2.CloseReason.keys()[1:]]
REASONS.append("99")  # Of a newer daemon.
IN_ORDER = ["PEER_CLOSED", "HANDLER_DONE", "HANDLER_ERROR"]


def closed(reason):
    return {"closed": {"reason": int(reason) if reason.isdigit()
                       else f"CLOSE_REASON_{reason}"}}


def await_frame(frames, kind):
    """Until the handler has sent it."""
    for frame in frames:
        if frame.WhichOneof("kind") == kind:
            return
    raise RuntimeError(f"no `{kind}`")


def cut(reason):
    """The error of a connection that was not ended by both sides."""
    return ("ECONNRESET" if reason in ("PEER_RESET", None) else
            "ECONNABORTED")


def flushed(reason):
    """The error, if any, of one that a handler has ended."""
    return None if reason in IN_ORDER else cut(reason)


class EndTest(unittest.TestCase):

    def setUp(self):
        self.daemon = self.enterContext(ScriptedDaemon())
        self.worker = self.enterContext(Worker("worker", self.daemon, "a"))

    def tell(self, how, *script, reason):
        """What a handler reports that gets its command, then `script`, in which
        a string is the frame to wait for, and `closed`; None breaks the stream.
        AT_ONCE has what follows arrive together.
        """
        process = self.worker.process

        def play(frames):
            yield {"data": f"follow {how}\n".encode()}
            for step in script:
                if step is AT_ONCE:
                    await_frame(frames, "data")  # The handler is there.
                    process.send_signal(signal.SIGSTOP)
                elif isinstance(step, str):
                    await_frame(frames, step)
                else:
                    yield step
            if reason is None:
                raise RuntimeError("broken, as the test wants")
            yield closed(reason)
            process.send_signal(signal.SIGCONT)

        self.daemon.offer(play)
        told = self.worker.report()
        self.assertEqual(told.pop("reason"), reason)
        return told

    def assertTold(self, how, *script, reason, **expected):
        kinds = ["at once" if step is AT_ONCE else str(step)[:25]
                 for step in script]
        with self.subTest(how=how, script=kinds, reason=reason):
            self.assertEqual(self.tell(how, *script, reason=reason), expected)

    def test_the_peers_reset_is_no_end(self):
        data = {"data": DATA}
        readers = ["reads"] + (["iterates"] if LANGUAGE == "node" else [])
        for how in readers:
            for script in [RESET], [data, RESET], [data] * 5 + [RESET]:
                for beginning in [], [AT_ONCE]:
                    self.assertTold(how, *beginning, *script,
                                    reason="PEER_RESET",
                                    size=len(DATA) * (len(script) - 1),
                                    end=False, lost="ECONNRESET")
        self.assertTold("is deaf", data, RESET, reason="PEER_RESET", size=0,
                        end=False, lost="ECONNRESET")

    def test_a_reset_behind_what_looked_like_an_end(self):
        """As of a daemon that does not say that it is one."""
        self.assertTold("reads", {"data": DATA}, FIN, reason="PEER_RESET",
                        size=len(DATA), end=True, lost="ECONNRESET")
        self.assertTold("is deaf", {"data": DATA}, FIN, reason="PEER_RESET",
                        size=0, end=False, lost="ECONNRESET")

    def test_cut_by_the_daemon(self):
        for reason in REASONS + [None]:
            self.assertTold("reads", {"data": DATA}, reason=reason,
                            size=len(DATA), end=False, lost=cut(reason))

    def test_cut_after_the_peers_end(self):
        for reason in REASONS + [None]:
            self.assertTold("reads", {"data": DATA}, FIN, reason=reason,
                            size=len(DATA), end=True, lost=flushed(reason))

    def test_cut_in_the_flush(self):
        for reason in REASONS + [None]:
            self.assertTold("ends", {"data": DATA}, FIN, "done", reason=reason,
                            size=len(DATA), end=True, lost=flushed(reason))

    def test_a_handler_that_leaves(self):
        for reason in REASONS + [None]:
            told = self.tell("leaves", "done", reason=reason)
            # As of a net.Socket that is destroyed; `closeReason` tells.
            self.assertEqual(told["lost"], flushed(reason)
                             if LANGUAGE == "python" else None, reason)

    def test_a_handler_that_resets(self):
        for script in ["reset"], ["reset", RESET]:
            told = self.tell("aborts", *script, reason="HANDLER_DONE")
            self.assertIsNone(told["lost"])


if __name__ == "__main__":
    main()
