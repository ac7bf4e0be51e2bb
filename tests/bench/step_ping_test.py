"""What of a long round trip was the loop."""

import unittest

from step_ping import Longest


class LongestTest(unittest.TestCase):
    def longest(self, *seen):
        longest = Longest()
        for round_trip, cpu in seen:
            longest.add(round_trip, cpu)
        return longest

    def test_a_step_is_in_both(self):
        self.assertEqual(self.longest((0.1, 0.1), (5, 4), (0.1, 0.1)).held, 4)

    def test_others_who_have_a_cpu_are_not_the_loop(self):
        self.assertEqual(self.longest((5, 0.1)).held, 0.1)

    def test_steps_before_the_ping_ran_again_are_not_one_step(self):
        self.assertEqual(self.longest((0.1, 5)).held, 0.1)

    def test_nothing_of_different_round_trips_is_put_together(self):
        longest = self.longest((5, 0.1), (0.2, 6))
        self.assertEqual((longest.round_trip, longest.cpu, longest.held),
                         (5, 6, 0.2))
        self.assertEqual(longest.round_trips, 2)


if __name__ == "__main__":
    unittest.main()
