"""Whatever names the version of the programs names that of version.bzl."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import unittest

PORTREEVED, PORTREEVE, VERSION = sys.argv[1:4]
DEADLINE = 30


def output_of(*words):
    return subprocess.run(
        words, stdout=subprocess.PIPE, text=True, check=True,
        timeout=DEADLINE).stdout


@contextlib.contextmanager
def daemon(state):
    """Gives the control address; afterwards `daemon.log` is its log."""
    with subprocess.Popen(
        [PORTREEVED, "--control", "tcp:127.0.0.1:0", "--state", state],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True) as process:
        try:
            control = process.stdout.readline().split()[-1]
            while process.stdout.readline() != "portreeved: ready\n":
                assert process.poll() is None
            yield control
        finally:
            process.terminate()
            process.wait(DEADLINE)
        daemon.log = process.stderr.read()


class VersionTest(unittest.TestCase):

    def test_both_programs_print_it(self):
        self.assertEqual(output_of(PORTREEVED, "--version"),
                         f"portreeved {VERSION}\n")
        self.assertEqual(output_of(PORTREEVE, "--version"),
                         f"portreeve {VERSION}\n")

    def test_a_running_daemon_tells_it_and_leaves_it_in_its_state(self):
        with tempfile.TemporaryDirectory() as folder:
            state = f"{folder}/state"
            with daemon(state) as control:
                shown = json.loads(output_of(
                    PORTREEVE, "daemon", "-o", "json", "--server", control))
            self.assertEqual(shown["version"], VERSION)
            self.assertIn(f"started: portreeved {VERSION}, ", daemon.log)
            with contextlib.closing(
                    sqlite3.connect(f"{state}/portreeved.db")) as database:
                written_by, = database.execute(
                    "SELECT value FROM meta WHERE key = 'written_by'"
                ).fetchone()
            self.assertEqual(written_by, VERSION)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
