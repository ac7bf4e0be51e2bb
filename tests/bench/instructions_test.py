"""What is made of the instructions that were counted, without any being."""

import unittest

import instructions


class DoubtTest(unittest.TestCase):
    def test_there_is_none_where_all_are_the_same(self):
        self.assertEqual(instructions.doubt([7, 7, 7]), 0)

    def test_is_a_part_of_the_median(self):
        # The quartiles are 99 and 101.
        values = [98, 99, 100, 101, 102]
        self.assertAlmostEqual(
            instructions.doubt(values), 0.93 * 0.02 / 5 ** 0.5)
        self.assertAlmostEqual(
            instructions.doubt([10 * value for value in values]),
            instructions.doubt(values))

    def test_shrinks_with_the_root_of_how_many_there_are(self):
        self.assertAlmostEqual(
            instructions.doubt([99] * 50 + [101] * 50),
            instructions.doubt([99] * 2 + [101] * 2) / 5)


class LineTest(unittest.TestCase):
    def test_has_the_figures_beside_those_of_before(self):
        columns = instructions.line(
            "echo_rr", {instructions.BEFORE: 2000, instructions.SUBJECT: 2010,
                        instructions.HTTP: 2000}, 0.0025).split("|")
        self.assertEqual([column.strip() for column in columns],
                         ["", "echo_rr", "2 000", "2 010 (+0.50%)",
                          "2 000 (+0.00%)", "–", "–", "± 0.25%", ""])

    def test_without_before_they_are_beside_now(self):
        columns = instructions.line(
            "echo_rr", {instructions.SUBJECT: 1000,
                        instructions.HTTP: 1010}, 0).split("|")
        self.assertEqual([column.strip() for column in columns],
                         ["", "echo_rr", "–", "1 000", "1 010 (+1.00%)", "–",
                          "–", "± 0.00%", ""])


class RowsTest(unittest.TestCase):
    def test_the_same_work_is_done_once(self):
        tcp = [work.key() for work in instructions.all_work()
               if isinstance(work, instructions.TcpWork)]
        self.assertEqual(len(tcp), len(set(tcp)))

    def test_bulk_is_messages_that_do_not_depend_on_who_is_faster(self):
        class Whole:
            scale = 1

        (bulk,) = [work for work in instructions.all_work()
                   if work.name == "echo_bulk"]
        mode, flags, of_one = bulk._load(Whole)
        self.assertEqual((mode, of_one), ("rr", 16))
        self.assertEqual(flags[flags.index("--size") + 1] * of_one, 1 << 20)
        self.assertEqual(flags[flags.index("--units") + 1],
                         16 * bulk.row.units)


if __name__ == "__main__":
    unittest.main()
