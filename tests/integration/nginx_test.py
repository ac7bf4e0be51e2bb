"""A watch and a worker that have nothing to tell, for a minute, behind nginx,
which cuts a stream of gRPC that has been idle for 3 s."""

import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest

TIMEOUT = 30
MINUTE = 60
CONFIGURATION = """
daemon off;
user root root;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    # A unix socket: its name is nobody else's.
    listen unix:{folder}/nginx http2;
    grpc_read_timeout 3s;
    grpc_send_timeout 3s;
    # A worker that has no verdict to give sends nothing.
    client_body_timeout 1h;
    location / {{ grpc_pass grpc://unix:{folder}/daemon; }}
  }}
}}
"""


class Program:
    """A child whose stderr, or stdout, is read by a thread."""

    def __init__(self, *arguments, **more):
        self.process = subprocess.Popen(arguments, text=True,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **more)
        self.output = Lines(self.process.stdout)
        self.notes = Lines(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Lines:
    """What a pipe has given."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._lines = []
        self._changed = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._pipe:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, text):
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or text in "".join(self._lines), TIMEOUT)
            if text not in "".join(self._lines):
                raise AssertionError(f"no {text!r} in {self._lines}")


class NginxTest(unittest.TestCase):

    def setUp(self):
        # Short, as paths of sockets have to be.
        self.folder = self.enterContext(
            tempfile.TemporaryDirectory(dir="/tmp", prefix="ngx-"))
        os.chmod(self.folder, 0o755)
        daemon = self.program("server/portreeved", "--control",
                              f"unix:{self.folder}/daemon")
        daemon.output.wait_for("ready")
        # Its workers may be of another user.
        os.chmod(f"{self.folder}/daemon", 0o666)
        configuration = f"{self.folder}/conf"
        with open(configuration, "w") as file:
            file.write(CONFIGURATION.format(folder=self.folder))
        path = os.environ.get("PATH", "") + ":/usr/sbin"
        self.program("nginx", "-c", configuration, "-p", self.folder,
                     env={**os.environ, "PATH": path})
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(f"{self.folder}/nginx"):
            self.assertLess(time.monotonic(), deadline)

    def program(self, *arguments, **more):
        return self.enterContext(Program(*arguments, **more))

    def cli(self, *arguments, socket="nginx"):
        return ["client/portreeve", "--server", f"unix:{self.folder}/{socket}",
                *arguments]

    def run_cli(self, *arguments, **more):
        return subprocess.run(self.cli(*arguments, socket="daemon"), text=True,
                              capture_output=True, timeout=TIMEOUT, check=True,
                              **more).stdout

    def start(self, *interval):
        self.address = self.run_cli(
            "create", "web", "--listen", "tcp:127.0.0.1:0",
            "--remote").split()[1]
        watch = self.program(*self.cli("watch", *interval))
        watch.notes.wait_for("watching")
        worker = self.program(
            *self.cli("attach", "web", *interval, "--", "cat"))
        worker.notes.wait_for("waiting for connections")
        return watch, worker

    def assert_alive(self, watch, worker):
        self.assertEqual(self.run_cli("dial", self.address, input="x"), "x")
        watch.output.wait_for("connection_accepted")
        self.assertIsNone(worker.process.poll())

    def test_progress_lets_them_live_for_a_minute(self):
        watch, worker = self.start("--progress-interval", "1s")
        with self.assertRaises(subprocess.TimeoutExpired):
            watch.process.wait(MINUTE)
        self.assertNotIn("lost", watch.notes.text() + worker.notes.text())
        self.assert_alive(watch, worker)

    def test_without_they_come_back_when_they_are_cut(self):
        watch, worker = self.start("--progress-interval", "off")
        watch.notes.wait_for("back: watching on")
        worker.notes.wait_for("back: waiting for")
        self.assert_alive(watch, worker)

    def test_the_timeout_is_no_loss(self):
        watch = self.program(*self.cli("watch", "--timeout", "8s"))
        self.assertEqual(watch.process.wait(TIMEOUT), 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
