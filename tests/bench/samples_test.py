"""What is made of the measurements, without any being made."""

import os
import threading
import time
import unittest

import machine
import report
from results import Result
from rows import Row
from samples import Rounds, Sample, run_rounds, spread


def rounds_of(**values):
    return Rounds({name: [Sample(value, 0) for value in of_name]
                   for name, of_name in values.items()}, 0, 0)


class SpreadTest(unittest.TestCase):
    def test_is_the_median_and_the_quartiles(self):
        found = spread([5, 1, 4, 2, 3])
        self.assertEqual((found.low, found.median, found.high), (2, 3, 4))

    def test_of_one_value_is_that_value(self):
        found = spread([7])
        self.assertEqual((found.low, found.median, found.high), (7, 7, 7))

    def test_ratios_are_those_of_the_same_round(self):
        # The machine was three times slower in the second round, for both.
        rounds = rounds_of(portreeve=[1, 3, 1.1], haproxy=[2, 6, 2])
        found = rounds.ratios("portreeve", "haproxy")
        self.assertAlmostEqual(found.median, 0.5)
        self.assertAlmostEqual(found.low, 0.5)
        self.assertAlmostEqual(found.high, 0.525)

    def test_rounds_that_are_not_whole_are_no_pairs(self):
        with self.assertRaises(ValueError):
            rounds_of(a=[1, 2], b=[1]).ratios("a", "b")

    def test_latencies_are_medians_by_quantile(self):
        rounds = Rounds({"a": [Sample(1, 0, {"p50": p50, "p99": 10 * p50})
                               for p50 in (3, 1, 2)]}, 0, 0)
        self.assertEqual(rounds.latency("a"), {"p50": 2, "p99": 20})


class RoundsTest(unittest.TestCase):
    def run_with(self, others, wanted, most):
        """Two contenders; `others` are of the rounds of b, warm-up first.

        Their values are the number of the round.
        """
        calls = []

        def contender(name, share):
            def measure():
                calls.append(name)
                number = calls.count(name) - 1
                return Sample(number, share(number))
            return measure

        rounds = run_rounds({"a": contender("a", lambda _: 0),
                             "b": contender("b", lambda n: others[n])},
                            wanted, most, lambda *_: None)
        return rounds, "".join(calls)

    def values(self, rounds):
        return [sample.value for sample in rounds.samples["a"]]

    def test_are_interleaved_behind_a_warm_up(self):
        rounds, calls = self.run_with([0] * 4, 3, 9)
        self.assertEqual(calls, "ab" * 4)
        self.assertEqual(self.values(rounds), [1, 2, 3])

    def test_disturbed_ones_are_left_out_and_run_again(self):
        rounds, calls = self.run_with([0.9, 0, 0.5, 0.11, 0.09, 0], 3, 9)
        self.assertEqual(self.values(rounds), [1, 4, 5])
        self.assertEqual([s.value for s in rounds.samples["b"]], [1, 4, 5])
        self.assertEqual((rounds.left_out, rounds.disturbed), (2, 0))
        self.assertEqual(len(calls), 12)

    def test_the_least_disturbed_ones_fill_up(self):
        rounds, calls = self.run_with([0, 0.9, 0.2, 0, 0.3, 0.8], 3, 5)
        self.assertEqual(sorted(self.values(rounds)), [2, 3, 4])
        self.assertEqual((rounds.left_out, rounds.disturbed), (2, 2))
        self.assertEqual(len(calls), 12)

    def test_each_sample_is_told(self):
        told = []
        run_rounds({"a": lambda: Sample(1, 0)}, 1, 1,
                   lambda number, name, sample: told.append((number, name)))
        self.assertEqual(told, [(0, "a"), (1, "a")])


class ResultTest(unittest.TestCase):
    def result(self, goal, baseline="haproxy", **values):
        return Result.of(Row("row", "title", "us", baseline, goal),
                         rounds_of(**values))

    def test_a_ratio_meets_its_goal_or_does_not(self):
        for goal, met in ((0.5, True), (0.49, False), (None, None)):
            result = self.result(goal, portreeve=[1, 1], haproxy=[2, 2])
            self.assertIs(result.met, met)

    def test_without_a_baseline_the_value_does(self):
        for goal, met in ((800, True), (799, False)):
            result = self.result(goal, None, portreeve=[800, 800], raw=[1, 1])
            self.assertIs(result.met, met)
            self.assertEqual(result.ratios, {})

    def test_without_the_subject_nothing_is_met(self):
        self.assertIsNone(self.result(0.5, haproxy=[1]).met)

    def test_the_table_has_ratio_goal_verdict_and_rounds(self):
        result = self.result(0.5, portreeve=[1, 1], haproxy=[2, 2])
        result.left_out = 3
        table = report.markdown([result])
        self.assertIn("| title | ≤ 0.5 × haproxy | 0.50 (0.50–0.50) | met |",
                      table)
        self.assertIn("| row | haproxy | 2.00 us | – | – | – | 2, 3 left out |",
                      table)

    def test_small_ratios_keep_their_digits(self):
        result = self.result(1 / 30, portreeve=[1, 1], haproxy=[80, 80])
        self.assertIn("≤ 0.0333 × haproxy | 0.0125 (0.0125–0.0125) | met",
                      report.markdown([result]))


class CpuTimeTest(unittest.TestCase):
    def test_threads_that_have_ended_count(self):
        spent = []

        def work():
            while time.thread_time_ns() < 20_000_000:
                pass
            spent.append(time.thread_time_ns())

        before = machine.cpu_ns([os.getpid()])
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertGreaterEqual(machine.cpu_ns([os.getpid()]) - before,
                                spent[0])

    def test_a_family_has_its_grandchildren(self):
        self.assertIn(os.getpid(), machine.family(os.getppid()))


if __name__ == "__main__":
    unittest.main()
