"""A daemon that a test has for itself, and its CLI."""

import json
import os
import subprocess
import unittest

TIMEOUT = 60


class Daemon:

    def __init__(self, *flags, control="tcp:127.0.0.1:0"):
        self.process = subprocess.Popen(
            [os.environ["PORTREEVED"], "--control", control, *flags],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.startswith("portreeved: control tcp:"):
                self.address = line.split("tcp:")[1].strip()
            if line == "portreeved: ready\n":
                return
        raise AssertionError("it is not ready")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class WithDaemon(unittest.TestCase):
    FLAGS = ()

    def setUp(self):
        self.daemon = Daemon(*self.FLAGS)
        self.addCleanup(lambda: self.daemon.kill())

    def command(self, *words):
        return [os.environ["PORTREEVE"], "--server", self.daemon.address,
                *words]

    def cli(self, *words, status=0):
        done = subprocess.run(self.command(*words), capture_output=True,
                              text=True, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def json(self, *words):
        return json.loads(self.cli("-o", "json", *words))

    def create(self, name, *flags, listen="tcp:127.0.0.1:0"):
        self.cli("create", name, "--listen", listen, *flags)

    def port(self, name):
        return self.json("get", name)["status"]["listeningOn"]["inet"]["port"]
