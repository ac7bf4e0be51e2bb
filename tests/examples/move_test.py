"""Connections, workers and calls that an upgrade of the daemon crosses.

The daemon is a script; each stream of a connection is one of its processes.
"""

import hashlib
import itertools
import json
import os
import queue
import subprocess
import threading
import unittest

import grpc
from harness import LANGUAGE, NODE, TIMEOUT, Worker, main, poll_until
from scripted_daemon import Refusal, ScriptedDaemon

MOVED = {"moved": {}}
FIN = {"eof": {}}
RESET = {"eof": {"reset": True}}
ENDS = ("done", "raised", "reset")
HAS_MOVED = Refusal(grpc.StatusCode.UNAVAILABLE, "MOVED")
CANCELLED = Refusal(grpc.StatusCode.CANCELLED)


def data(text):
    return {"data": text if isinstance(text, bytes) else text.encode()}


def closed(reason):
    return {"closed": {"reason": f"CLOSE_REASON_{reason}"}}


class Connection:
    """What a handler has sent on all of its streams, and how it ends."""

    def __init__(self, reason):
        self.kinds = []
        self.bytes = b""
        self.wrong = []
        self.num_moved = 0  # Streams that the handler has ended for that.
        self._reason = reason  # None: the stream breaks.

    def has_ended(self):
        return any(kind in ENDS for kind in self.kinds)

    def take(self, frame):
        kind = frame.WhichOneof("kind")
        if kind == "data":
            self.bytes += frame.data
            if "eof" in self.kinds:
                self.wrong.append("data after eof")
        if kind in self.kinds and kind not in ("data", "eof"):
            self.wrong.append(f"a second {kind}")
        self.kinds.append(kind)

    def await_kind(self, frames, kind):
        while kind not in self.kinds:
            self.take(next(frames))

    def await_bytes(self, frames, count):
        while len(self.bytes) < count:
            self.take(next(frames))

    def close(self):
        if self._reason is None:
            raise RuntimeError("broken, as the test wants")
        return closed(self._reason)

    def leg(self, *steps, until=None):
        """The play of one stream: what it sends or, a string, waits for. It
        moves behind that if the last step is MOVED, and then waits for the
        Event `until`; else it closes.
        """

        def play(frames):
            if "eof" in self.kinds:
                first = next(frames).WhichOneof("kind")
                if first != "eof":
                    self.wrong.append(f"{first} and no eof on a new stream")
            for step in steps:
                if isinstance(step, str):
                    self.await_kind(frames, step)
                elif isinstance(step, int):
                    self.await_bytes(frames, step)
                else:
                    yield step
            if steps and steps[-1] is MOVED:
                for frame in frames:
                    self.take(frame)
                self.num_moved += 1
                if until is not None:
                    until.wait()
                if not self.has_ended():
                    return
            yield self.close()

        return play


def in_legs(script):
    """The steps of each stream of a script with MOVED in it."""
    legs = [[]]
    peer_ended = False
    for step in script:
        legs[-1].append(step)
        if step is FIN:
            peer_ended = True
        elif step is MOVED:
            legs.append([FIN] if peer_ended else [])
    return legs


class ConnectionsTest(unittest.TestCase):

    def setUp(self):
        self.daemon = self.enterContext(ScriptedDaemon())
        self.worker = self.enterContext(Worker("worker", self.daemon, "a"))

    def tell(self, script, reason):
        """What the handler reports and, where it has ended, what it has sent.
        """
        connection = Connection(reason)
        self.daemon.offer(*(connection.leg(*leg) for leg in in_legs(script)))
        told = self.worker.report()
        self.assertEqual(connection.wrong, [], script)
        has_sent_all = reason in ("PEER_CLOSED", "HANDLER_DONE")
        return told, connection.bytes if has_sent_all else None

    def assertMovesUnnoticed(self, script, reason):
        """Wherever it moves, once or twice or three times in a row."""
        expected = self.tell(script, reason)
        for at in range(len(script) + 1):
            for times in (1, 2, 3):
                moving = script[:at] + times * [MOVED] + script[at:]
                with self.subTest(script=moving, reason=reason):
                    self.assertEqual(self.tell(moving, reason), expected)
        self.assertTrue(all(first.attach.can_move
                            for first in self.daemon.first_frames))

    def test_a_reader(self):
        for how, reason in itertools.product(
                ("reads", "ends"), ("PEER_CLOSED", "BUFFER_AGE", None)):
            script = [data(f"follow {how}\n"), data("abc"), data("def"), FIN]
            if reason == "PEER_CLOSED":
                script.append("done" if how == "ends" else 12)
            self.assertMovesUnnoticed(script, reason)

    def test_a_reset_of_the_peer(self):
        self.assertMovesUnnoticed(
            [data("follow reads\n"), 6, data("abc"), RESET], "PEER_RESET")

    def test_a_handler_that_ends_first(self):
        self.assertMovesUnnoticed(
            [data("eof_first\n"), "eof", data("abc"), data("def"), FIN, "done"],
            "HANDLER_DONE")

    def test_a_handler_that_leaves(self):
        for how in "leaves", "aborts":
            self.assertMovesUnnoticed(
                [data(f"follow {how}\n"), "done" if how == "leaves" else
                 "reset"], "HANDLER_DONE")

    def test_both_ways_while_much_is_on_its_way(self):
        size, part, lag = 4_000_000, 50_000, 200_000
        sent = b"".join(hashlib.sha256(b"%d" % n).digest()
                        for n in range(size // 32))
        connection = Connection("PEER_CLOSED")
        told = queue.SimpleQueue()
        begun = []

        def play_part(frames, begin, end, moves):
            if not begun:
                yield data("echo\n")
                while not connection.bytes.endswith(b"\n"):
                    connection.take(next(frames))
                begun.append(len(connection.bytes))
            for at in range(begin, end, part):
                yield data(sent[at:min(at + part, end)])
                connection.await_bytes(frames, begun[0] + at - lag)
            if moves:
                yield MOVED
                for frame in frames:
                    connection.take(frame)
                return
            yield FIN
            connection.await_kind(frames, "done")
            told.put(connection.bytes[begun[0]:])
            yield closed("PEER_CLOSED")

        ends = list(range(400_000, size, 400_000)) + [size]
        begins = [0] + ends[:-1]
        self.daemon.offer(*(
            lambda frames, b=begin, e=end: play_part(frames, b, e, e < size)
            for begin, end in zip(begins, ends)))
        self.assertTrue(told.get(timeout=TIMEOUT) == sent)
        self.assertEqual(connection.wrong, [])

    def test_a_handler_that_never_stops_sending(self):
        connection = Connection("PEER_RESET")
        arrived = queue.SimpleQueue()

        def last(frames):
            connection.await_bytes(frames, len(connection.bytes) + 300_000)
            arrived.put(len(connection.bytes))
            yield closed("PEER_RESET")

        self.daemon.offer(connection.leg(data("flood\n"), 300_000, MOVED),
                          connection.leg(600_000, MOVED), connection.leg(MOVED),
                          last)
        self.assertGreaterEqual(arrived.get(timeout=TIMEOUT), 900_000)

    def test_one_that_ends_before_it_has_moved(self):
        for late in [], [data("def")], [data("def"), FIN], [RESET]:
            reason = "PEER_RESET" if late == [RESET] else "BUFFER_AGE"
            connection = Connection(reason)

            def play(frames):
                yield data("follow reads\n")
                connection.await_bytes(frames, 6)
                yield data("abc")
                yield MOVED
                yield from late
                yield connection.close()

            self.daemon.offer(play)
            told = self.worker.report()
            self.assertEqual(told["size"], 6 if data("def") in late else 3)
            self.assertEqual(told["end"], FIN in late)
            self.assertEqual(told["reason"], reason)

    def test_one_that_breaks_on_its_way(self):
        def play(frames):
            yield data("follow reads\n")
            yield MOVED
            list(frames)
            raise RuntimeError("broken, as the test wants")

        self.daemon.offer(play)
        told = self.worker.report()
        self.assertEqual((told["lost"], told["end"], told["reason"]),
                         ("ECONNRESET", False, None))
        self.assertEqual(len(self.daemon.first_frames), 1)

    def test_the_end_of_a_stream_that_has_not_moved_is_a_break(self):
        def ends(frames):
            yield data("follow reads\n")
            next(frames)

        def forgets_the_end(frames):
            yield data("follow leaves\n")
            while next(frames).WhichOneof("kind") != "done":
                pass
            yield MOVED
            list(frames)

        self.daemon.offer(ends)
        self.assertEqual(self.worker.report()["lost"], "ECONNRESET")
        self.daemon.offer(forgets_the_end)
        self.assertIsNone(self.worker.report()["reason"])
        self.assertEqual(len(self.daemon.first_frames), 2)

    def let_go_between(self, connection, *plays):
        """Says "go" to a handler once it has moved, and before it has gone on.
        """
        self.daemon.offer(*plays)
        poll_until(lambda: connection.num_moved == 1, "the end of a stream")
        let_go = Connection("HANDLER_DONE")
        self.daemon.offer(let_go.leg(data("let_go\n"), "done"))
        poll_until(let_go.has_ended, "the answer of who lets go")

    def test_what_is_sent_in_between_goes_on_the_next_stream(self):
        reads = [data("abc"), FIN, "done"]
        for (how, sent, legs), is_refused in itertools.product([
                ("writes", b"ready\nlater\n", ([12, MOVED], reads)),
                ("ends", b"ready\n", (["eof", MOVED], reads)),
                ("leaves", b"ready\n", (["done"],))], (False, True)):
            go_on = threading.Event()
            connection = Connection("HANDLER_DONE")
            plays = [connection.leg(data(f"later {how}\n"), 6, MOVED,
                                    until=None if is_refused else go_on)]
            if is_refused:
                plays.append(
                    Refusal(grpc.StatusCode.UNAVAILABLE, until=go_on))
            self.let_go_between(
                connection, *plays,
                *(connection.leg(*steps) for steps in legs))
            self.assertEqual(connection.kinds, ["data"])
            go_on.set()
            self.assertEqual(self.worker.report(),
                             {"size": 0 if how == "leaves" else 3})
            poll_until(connection.has_ended, "its end")
            self.assertEqual(connection.bytes, sent)
            self.assertEqual(connection.wrong, [])

    def reset_between(self, next_play):
        """The reason that a handler reports which resets while it moves."""
        connection = Connection("HANDLER_DONE")
        self.let_go_between(
            connection,
            connection.leg(data("follow aborts later\n"), 6, MOVED), next_play)
        return self.worker.report()["reason"]

    def test_a_reset_in_between_goes_on_the_next_stream(self):
        opened = Connection("HANDLER_DONE")
        reason = self.reset_between(opened.leg("reset"))
        self.assertEqual(reason, "HANDLER_DONE")
        self.assertEqual(opened.kinds, ["reset"])

    def test_or_ends_the_wait_for_it(self):
        end = threading.Event()
        self.addCleanup(end.set)
        reason = self.reset_between(
            Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", end))
        self.assertIsNone(reason)

    def moving_to(self, *refusals):
        connection = Connection("PEER_CLOSED")
        self.daemon.offer(
            connection.leg(data("follow reads\n"), data("abc"), MOVED),
            *refusals, connection.leg(data("def"), FIN, 12))
        return self.worker.report()

    def test_while_the_processes_change_it_is_tried_again(self):
        for refusals in ([Refusal(grpc.StatusCode.UNAVAILABLE)], [HAS_MOVED],
                         [CANCELLED], [HAS_MOVED, CANCELLED]):
            self.assertEqual(self.moving_to(*refusals),
                             {"size": 6, "end": True, "lost": None,
                              "reason": "PEER_CLOSED"})

    def test_another_refusal_is_a_break(self):
        for code, reason in [("NOT_FOUND", "NOT_FOUND"),
                             ("FAILED_PRECONDITION", "ALREADY_ATTACHED"),
                             ("UNAVAILABLE", "SHUTTING_DOWN"),
                             ("INTERNAL", "")]:
            before = len(self.daemon.first_frames)
            refusal = Refusal(grpc.StatusCode[code], reason)
            self.assertEqual(self.moving_to(refusal),
                             {"size": 3, "end": False, "lost": "ECONNRESET",
                              "reason": None})
            self.assertEqual(len(self.daemon.first_frames), before + 2)

    def test_a_stream_that_is_not_opened_is_a_break(self):
        self.assertEqual(self.moving_to(None),
                         {"size": 3, "end": False, "lost": "ECONNRESET",
                          "reason": None})

    def test_a_dialled_one(self):
        connection = Connection("PEER_CLOSED")
        self.daemon.await_dial(9, connection.leg(data("abc"), MOVED),
                               connection.leg(data("def"), FIN, 12))
        outer = Connection("HANDLER_DONE")
        self.daemon.offer(outer.leg(data("dial_follow 9 reads\n"), FIN, "done"))
        self.assertEqual(self.worker.report(),
                         {"size": 6, "end": True, "lost": None,
                          "reason": "PEER_CLOSED"})
        frames = self.daemon.first_frames
        self.assertEqual([frame.WhichOneof("kind") for frame in frames],
                         ["attach", "dial", "attach"])
        self.assertTrue(frames[1].dial.can_move)
        self.assertEqual(frames[2].attach.connection, "connections/9")


class WorkersTest(unittest.TestCase):

    def assertServes(self):
        connection = Connection("PEER_CLOSED")
        self.daemon.offer(connection.leg(data("follow reads\n"), FIN, 12))
        self.assertTrue(self.worker.report()["end"])

    def notes(self):
        """What the worker has said on stderr."""
        self.worker.kill()
        return self.worker.process.stderr.read()

    def serve(self, *refusals):
        self.daemon = self.enterContext(ScriptedDaemon())
        for where, refusal in refusals:
            getattr(self.daemon, where).put(refusal)
        self.worker = self.enterContext(
            Worker("worker", self.daemon, "a", stderr=subprocess.PIPE))

    def test_a_worker_moves_without_a_word(self):
        self.serve()
        for _ in range(3):
            self.assertServes()
            self.daemon.end_handle(HAS_MOVED)
        self.assertServes()
        self.assertEqual(self.notes(), "")

    def test_nor_where_it_is_told_so_again(self):
        self.serve()
        for refusal in HAS_MOVED, CANCELLED:
            self.daemon.refuse_handle.put(refusal)
        self.daemon.end_handle(HAS_MOVED)
        self.assertServes()
        self.assertEqual(self.notes(), "")

    def test_one_that_is_refused_then_tells(self):
        for refusals in [Refusal(grpc.StatusCode.UNAVAILABLE)], 3 * [HAS_MOVED]:
            self.serve()
            for refusal in refusals:
                self.daemon.refuse_handle.put(refusal)
            self.daemon.end_handle(HAS_MOVED)
            self.assertServes()
            notes = self.notes()
            self.assertIn("lost", notes)
            self.assertIn("back", notes)

    def test_calls_are_made_once_more(self):
        for where in "refuse_get", "refuse_handle":
            for refusal in HAS_MOVED, CANCELLED:
                with self.subTest(where=where, refusal=refusal):
                    self.serve((where, refusal))
                    self.assertServes()
                    self.assertEqual(self.notes(), "")

    def test_but_not_that_for_an_offer(self):
        """It comes anew, perhaps to another worker, which has it then."""
        for refusal in HAS_MOVED, CANCELLED:
            with self.subTest(refusal=refusal):
                self.serve()
                self.daemon.offer(refusal)
                frames = self.daemon.first_frames
                poll_until(lambda: len(frames) == 1, "an Attach")
                self.assertServes()
                self.assertEqual(len(frames), 2)
                self.assertEqual(self.notes(), "")


# Of a connection with one frame on its way at most.
FRAMES = ("data", "eof", "done")
EVENTS = FRAMES + ("sent", "cut", "moved", "ended", "opened")


def leg_of(history):
    """What has happened on the stream that there is."""
    if "opened" not in history:
        return history
    return history[len(history) - history[::-1].index("opened"):]


def is_sending(leg):
    flights = [step for step in leg if step in FRAMES + ("sent", "cut")]
    return bool(flights) and flights[-1] in FRAMES


def goes_on(history):
    leg = leg_of(history)
    return "moved" in leg and "cut" not in leg and "done" not in history


def is_legal(history, event):
    leg = leg_of(history)
    if "ended" in leg:
        return event == "opened" and goes_on(history)
    if event in FRAMES:
        said = "done" in history or (event != "done" and "eof" in history)
        return not said and not is_sending(leg) and "moved" not in leg
    if event in ("sent", "cut"):
        return is_sending(leg)
    if event == "opened":
        return False
    return event == "moved" and "moved" not in leg or (
        event == "ended" and not is_sending(leg))


def expected(history, event):
    """Whether the next frame goes on this stream; and whether to end this
    direction, to attach again, or to send `eof` again.
    """
    leg = leg_of(history + [event])
    asked = False
    if event in ("sent", "moved"):
        asked = ("moved" in leg and "cut" not in leg and not is_sending(leg))
    elif event == "ended":
        asked = goes_on(history)
    elif event == "opened":
        asked = "eof" in history
    return [event == "opened" or "moved" not in leg, asked]


def sequences(history, more):
    yield history
    if more == 0:
        return
    for event in EVENTS:
        if is_legal(history, event):
            yield from sequences(history + [event], more - 1)


def answers_of_python(all_sequences):
    from portreeve.move import Move
    return [[step_of_python(move, event) for event in sequence]
            for move, sequence in ((Move(), one) for one in all_sequences)]


def step_of_python(move, event):
    asked = False
    if event in FRAMES:
        move.on_send(event)
    elif event in ("sent", "cut"):
        move.on_sent(event == "sent")
        asked = move.begin_half_close()
    elif event == "moved":
        move.on_moved()
        asked = move.begin_half_close()
    elif event == "ended":
        asked = move.goes_on(True)
        assert not move.goes_on(False)
    else:
        asked = move.on_opened()
    return [move.may_send(), asked]


def answers_of_node(all_sequences):
    script = """
        const { Move } = require(process.argv[1]);
        const steps = {
          sent: (move) => (move.onSent(true), move.beginHalfClose()),
          cut: (move) => (move.onSent(false), move.beginHalfClose()),
          moved: (move) => (move.onMoved(), move.beginHalfClose()),
          ended: (move) => !move.goesOn(false) && move.goesOn(true),
          opened: (move) => move.onOpened(),
        };
        const answers = (sequence) => {
          const move = new Move();
          return sequence.map((event) => {
            const step = steps[event] ?? ((m) => (m.onSend(event), false));
            const asked = step(move);
            return [move.maySend(), asked];
          });
        };
        const all = JSON.parse(require('node:fs').readFileSync(0));
        console.log(JSON.stringify(all.map(answers)));"""
    module = os.path.abspath("examples/node/portreeve_move.js")
    return json.loads(subprocess.check_output(
        NODE + ["-e", script, module],
        input=json.dumps(all_sequences).encode()))


class MoveTest(unittest.TestCase):

    def test_of_every_sequence(self):
        every = list(sequences([], 11))
        self.assertGreater(len(every), 1000)
        answers = {"python": answers_of_python, "node": answers_of_node}
        for sequence, told in zip(every, answers[LANGUAGE](every), strict=True):
            self.assertEqual(
                told, [expected(sequence[:at], event)
                       for at, event in enumerate(sequence)], sequence)


if __name__ == "__main__":
    main()
