"""When the modules try a stream again that broke: as client/retry.h says."""

import json
import os
import subprocess
import unittest

from harness import LANGUAGE, NODE, main


class Clock:
    """Stands still until a step moves it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def waits_of_python(steps, give_up_after, chance):
    from portreeve.retry import Retry
    clock = Clock()
    retry = Retry(give_up_after, clock, lambda: chance)
    waits = []
    for step in steps:
        if step == "start":
            retry.on_start()
        elif step == "end":
            waits.append(retry.on_end())
        else:
            clock.now += step
    return waits


def waits_of_node(steps, give_up_after, chance):
    script = """
        const [module_, steps, giveUpAfter, chance] =
            JSON.parse(process.argv[1]);
        const { Retry } = require(module_);
        let now = 1e6;
        const retry = new Retry(
            giveUpAfter === null ? undefined : 1000 * giveUpAfter, () => now,
            () => chance);
        const waits = [];
        for (const step of steps) {
          if (step === 'start') retry.onStart();
          else if (step === 'end') waits.push(retry.onEnd());
          else now += 1000 * step;
        }
        console.log(JSON.stringify(
            waits.map((wait) => wait === null ? null : wait / 1000)));"""
    module = os.path.abspath("examples/node/portreeve_retry.js")
    arguments = json.dumps([module, steps, give_up_after, chance])
    return json.loads(subprocess.check_output(NODE + ["-e", script, arguments]))


class RetryTest(unittest.TestCase):

    def expect(self, waits, steps, give_up_after=None, chance=0):
        """`steps`: "start", "end", or seconds that pass. `waits`: what the ends
        give.
        """
        ask = waits_of_node if LANGUAGE == "node" else waits_of_python
        found = ask(steps, give_up_after, chance)
        self.assertEqual(
            [None if wait is None else round(wait, 6) for wait in found], waits)

    def test_each_wait_is_twice_the_one_before_up_to_a_most(self):
        self.expect([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10],
                    ["start"] + 8 * ["end"])

    def test_chance_makes_them_shorter_by_up_to_a_half(self):
        self.expect([0.15, 0.3], ["start", "end", "end"], chance=0.5)

    def test_only_a_stream_that_has_lived_makes_it_the_first_again(self):
        self.expect([0.2, 0.4, 0.8, 0.2],
                    ["start", "end", "start", "end", "start", 10, "end",
                     "start", 10.5, "end"])
        # That no stream was there for long is no life.
        self.expect([0.2, 0.4], ["start", "end", 60, "end"])

    def test_gives_up(self):
        self.expect([None], ["start", 60, "end"], give_up_after=0)
        # The last try is when the time is up.
        self.expect([0.2, 0.1, None],
                    ["start", "end", 4.9, "end", 0.1, "end"], give_up_after=5)
        # The time runs from the loss of the last stream that counted.
        self.expect([0.2, 0.4, None],
                    ["start", "end", 4.9, "start", "end", 5, "end"],
                    give_up_after=5)
        self.expect([0.2, 0.4], ["start", "end", 1e6, "end"])


if __name__ == "__main__":
    main()
