"""packaging/Dockerfile: its steps, in a chroot in place of a container.

container_test.py DOCKERFILE last-stage|all-stages: with last-stage the package
is the one that Bazel has made here, in place of that of the first stage.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

import dockerfile
import root

DOCKERFILE = os.path.realpath(sys.argv.pop(1))
BUILDS = {"last-stage": False, "all-stages": True}[sys.argv.pop(1)]
WORKSPACE = os.path.dirname(os.path.dirname(DOCKERFILE))


def tracked(*options):
    return root.run("git", "-C", WORKSPACE, "ls-files", "-z",
                    *options).split("\0")[:-1]


def clone():
    """Gives a folder with what a clone of the workspace would have."""
    folder = root.fresh_folder()
    for name in tracked():
        # Git tracks what is no more there until it is told.
        if os.path.lexists(f"{WORKSPACE}/{name}"):
            os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
            shutil.copy2(f"{WORKSPACE}/{name}", f"{folder}/{name}",
                         follow_symlinks=False)
    return folder


def described(package):
    """Gives all that is to be the same of programs for tests and of optimized
    ones."""
    files = [(line.split()[0], line.split()[1], line.split()[5])
             for line in root.run("dpkg-deb", "--contents",
                                  package).splitlines()]
    sums = [line for line in root.run("dpkg-deb", "--info", package,
                                      "md5sums").splitlines()
            if " usr/bin/" not in line]
    fields = [line for line in root.run("dpkg-deb", "--field",
                                        package).splitlines()
              if not line.startswith("Installed-Size: ")]
    scripts = [root.run("dpkg-deb", "--info", package, name)
               for name in ("conffiles", "postinst", "postrm", "prerm")]
    return {"files": files, "sums": sums, "fields": fields, "scripts": scripts}


class ContainerTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        build, cls.stage = dockerfile.stages(root.read(DOCKERFILE))
        assert {build.base, cls.stage.base} == {"debian:12-slim"}
        # What that makes is the package that Bazel has made here.
        assert "./bazelw build //packaging:deb" in build.the("RUN")
        # Bazel has made a link of it.
        cls.package = os.path.realpath(root.PACKAGE)
        if BUILDS:
            builder = root.Root()
            cls.addClassCleanup(builder.remove)
            dockerfile.carry_out(build, builder, {".": clone()})
            cls.package = builder.path("/portreeve.deb")
        cls.root = root.Root()
        cls.addClassCleanup(cls.root.remove)
        dockerfile.carry_out(
            cls.stage, cls.root,
            {f"--from={build.name} /portreeve.deb": cls.package})

    if BUILDS:

        def test_its_package_is_the_one_that_is_made_here(self):
            self.maxDiff = None
            self.assertEqual(described(self.package), described(root.PACKAGE))

        def test_what_is_tracked_is_not_left_out(self):
            self.assertEqual(
                tracked("--cached", "--ignored",
                        f"--exclude-from={DOCKERFILE}.dockerignore"), [])

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
