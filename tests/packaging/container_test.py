"""packaging/Dockerfile: its steps, in a chroot in place of a container."""

import json
import os
import signal
import subprocess
import sys
import unittest

import dockerfile
import root

DOCKERFILE = sys.argv.pop(1)


class ContainerTest(unittest.TestCase):

    def setUp(self):
        build, self.stage = dockerfile.stages(root.read(DOCKERFILE))
        self.assertEqual({build.base, self.stage.base}, {"debian:12-slim"})
        # What that makes is the package that Bazel has made here.
        self.assertIn("./bazelw build //packaging:deb", build.the("RUN"))
        self.assertTrue(build.the("RUN").endswith(" /portreeve.deb"))
        self.root = root.Root()
        self.addCleanup(self.root.remove)
        dockerfile.carry_out(
            self.stage, self.root,
            {f"--from={build.name} /portreeve.deb": root.PACKAGE})

    def words(self, *words):
        """As the container's user, in a network of its own once in there."""
        uid, gid = self.root.numbers(self.stage.the("USER"))
        self.assertNotEqual(uid, 0)
        return self.root.inside("setpriv", f"--reuid={uid}", f"--regid={gid}",
                                "--clear-groups", "--no-new-privs",
                                "--bounding-set=-all", *words)

    def test_it_runs_and_says_how_it_is(self):
        # /proc and the network go with the first process.
        command = self.words(*self.stage.words("ENTRYPOINT"),
                             *self.stage.words("CMD"))
        with subprocess.Popen(
                ["unshare", "--net", "sh", "-euc",
                 'ip link set lo up; exec "$@"', "sh", *command],
                env=root.ENVIRONMENT, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True) as daemon:
            try:
                self.expect_healthy(daemon)
            finally:
                if daemon.poll() is None:
                    daemon.kill()

    def expect_healthy(self, daemon):
        for line in daemon.stdout:
            if line == "portreeved: ready\n":
                break
        else:
            self.fail("it is not ready")
        network = ("nsenter", f"--target={daemon.pid}", "--net")
        _, _, check = self.stage.the("HEALTHCHECK").partition("CMD ")
        healthy = [*network, *self.words(*json.loads(check))]
        root.run(*healthy, env=root.ENVIRONMENT)
        made = root.run(*network, *self.words(
            "portreeve", "create", "web", "--listen", "tcp:127.0.0.1:0",
            "--echo"), env=root.ENVIRONMENT)
        self.assertIn("listeners/web", made)
        folder = self.stage.the("VOLUME")
        self.assertIn("portreeved.db", os.listdir(self.root.path(folder)))
        daemon.send_signal(signal.SIGTERM)  # As `docker stop` does.
        self.assertEqual(daemon.wait(), 0)
        gone = subprocess.run(
            ["unshare", "--net", *self.words(*json.loads(check))],
            env=root.ENVIRONMENT, capture_output=True, text=True, check=False)
        self.assertNotEqual(gone.returncode, 0, gone.stdout)


if __name__ == "__main__":
    unittest.main()
