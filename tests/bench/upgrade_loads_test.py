"""What is made of what the tools say about upgrades, without any being made."""

import dataclasses
import json
import unittest

import upgrade_report
from upgrade_beside import Beside, together
from upgrade_loads import (Outcome, counter_outcome, iperf_outcome,
                           wrk_outcome)
from upgrade_rows import Figure

WRK = """\
Running 15s test @ http://127.0.0.1:4000/small
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.33ms    4.11ms 117.00ms   92.13%%
    Req/Sec    21.64k     3.15k   27.17k    71.33%%
  322026 requests in 15.01s, 399.22MB read
%sRequests/sec:  21454.16
Transfer/sec:     26.60MB
"""
SEEN = {"ping": {"silence_ms": 12.4, "cut": 0, "failed": 0},
        "fresh": {"longest_ms": 9.6, "cut": 0, "failed": 0}}


class WrkTest(unittest.TestCase):
    def test_without_errors_it_is_whole(self):
        self.assertEqual(wrk_outcome(WRK % ""),
                         Outcome(0, 0, True, "322026 requests"))

    def test_cut_connections_are_not_those_that_could_not_be_made(self):
        found = wrk_outcome(
            WRK % "  Socket errors: connect 3, read 64, write 2, timeout 0\n")
        self.assertEqual((found.failed, found.cut), (3, 66))

    def test_late_and_wrong_answers_are_no_whole_load(self):
        found = wrk_outcome(
            WRK % "  Socket errors: connect 0, read 0, write 0, timeout 5\n")
        self.assertFalse(found.whole)
        found = wrk_outcome(WRK % "  Non-2xx or 3xx responses: 7\n")
        self.assertFalse(found.whole)
        self.assertIn("7 wrong answers", found.note)

    def test_silence_of_its_own_is_no_whole_load(self):
        self.assertFalse(wrk_outcome("unable to connect\n").whole)


class IperfTest(unittest.TestCase):
    def test_both_directions_are_told(self):
        report = {"end": {
            "sum_received": {"bits_per_second": 4.9e9},
            "sum_received_bidir_reverse": {"bits_per_second": 4.8e9}}}
        self.assertEqual(
            iperf_outcome(json.dumps(report), 15, 15),
            Outcome(note="4.9 Gbit/s there, 4.8 back"))

    def test_an_error_is_a_cut_connection(self):
        found = iperf_outcome('{"error": "control socket has closed"}', 5.2, 25)
        self.assertEqual((found.cut, found.whole), (1, False))
        self.assertEqual(found.note, "ended after 5.2 s of 25: "
                         "control socket has closed")


class CounterTest(unittest.TestCase):
    def test_all_numbers_in_their_order(self):
        found = counter_outcome([0, 1, 2], 3, 0, 0.033, "")
        self.assertEqual((found.cut, found.whole), (0, True))
        self.assertIn("33 ms", found.note)

    def test_a_hole_or_an_early_end_is_not_whole(self):
        self.assertFalse(counter_outcome([0, 2, 1], 3, 0, 0, "").whole)
        self.assertFalse(counter_outcome([0, 1], 3, 0, 0, "").whole)

    def test_a_session_that_was_cut(self):
        found = counter_outcome([0, 1], 3, 255, 0, "Connection reset by peer")
        self.assertEqual((found.cut, found.whole), (1, False))
        self.assertIn("Connection reset by peer", found.note)


class TogetherTest(unittest.TestCase):
    def test_counts_are_added_and_of_times_the_longest_counts(self):
        found = together([
            {"ping": {"silence_ms": 5, "cut": 1, "why": {"EPIPE": 1}}},
            {"ping": {"silence_ms": 9, "cut": 0, "why": {"EPIPE": 2}}},
            {"ping": {"silence_ms": 7, "cut": 2, "why": {"EIO": 1}}}])
        self.assertEqual(found, {"ping": {"silence_ms": 9, "cut": 3, "why": {
            "EPIPE": 3, "EIO": 1}}})


class TablesTest(unittest.TestCase):
    def beside(self, **changes):
        return dataclasses.replace(Beside(
            load="ssh", proxy="portreeve", upgrades=10, inside=10,
            outcome=Outcome(note="all"), near=SEEN, otherwise=SEEN, alive=100,
            took=[0.05], stood_still_ms=[6]), **changes)

    def test_the_tools_connections_count_with_the_witness_own(self):
        seen = {"ping": {**SEEN["ping"], "cut": 1, "failed": 2},
                "fresh": {**SEEN["fresh"], "cut": 10, "failed": 20}}
        found = self.beside(outcome=Outcome(failed=200, cut=100), near=seen)
        self.assertEqual((found.failed, found.cut), (222, 111))

    def test_a_line_says_what_the_tool_could_not_finish(self):
        self.assertIn("| all |", upgrade_report.loads_table([self.beside()]))
        table = upgrade_report.loads_table(
            [self.beside(outcome=Outcome(cut=1, whole=False, note="ended"))])
        self.assertIn("| **ended** |", table)

    def test_upgrades_after_the_tools_end_are_told(self):
        self.assertIn("3 of 10 upgrades",
                      upgrade_report.loads_table([self.beside(inside=3)]))

    def test_a_goal_is_met_up_to_its_limit(self):
        figure = Figure("work", "silence", "portreeve", 250, "ms", 250)
        self.assertTrue(figure.met)
        self.assertFalse(dataclasses.replace(figure, value=251).met)
        self.assertIsNone(dataclasses.replace(figure, goal=None).met)
        self.assertIn("**not met**", upgrade_report.rows_table(
            [dataclasses.replace(figure, value=251)]))


if __name__ == "__main__":
    unittest.main()
