"""portreeve top and describe, with a real daemon, and a terminal."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import unittest

from daemon_and_cli import TIMEOUT, Daemon, WithDaemon

SHOWS_OTHER_SCREEN = b"\x1b[?1049h"
GIVES_IT_BACK = b"\x1b[?1049l"


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *command, columns=80, rows=24):
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.execv(command[0], command)
        self.resize(columns, rows)
        self.written = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self):
        """More of what was written; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], TIMEOUT)
        if not ready:
            raise TimeoutError(self.written[-2000:])
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # EIO: nobody has the other end.
            more = b""
        self.written += more
        return bool(more)

    def screen(self):
        """The lines of the last whole screen."""
        screens = self.written.split(b"\x1b[H")[1:]
        whole = [s for s in screens if s.endswith(b"\x1b[J")]
        if not whole:
            return []
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", whole[-1]).decode()
        # The terminal adds a return of its own.
        return text.replace("\r", "").split("\n")

    def await_screen(self, is_it):
        while not is_it(self.screen()):
            if not self.read():
                raise EOFError(self.written[-2000:])
        return self.screen()

    def await_text(self, text):
        return self.await_screen(
            lambda lines: any(text in line for line in lines))

    def await_line(self, text):
        while text not in self.written:
            if not self.read():
                raise EOFError(self.written[-2000:])

    def end(self):
        """Reads to the end; gives the exit status, or minus the signal."""
        while self.read():
            pass
        _, status = os.waitpid(self.child, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class TopTest(WithDaemon):

    def setUp(self):
        super().setUp()
        for name in ("alpha", "beta"):
            self.create(name, "--echo")

    def connect(self, name):
        client = socket.create_connection(("127.0.0.1", self.port(name)))
        client.sendall(b"hello")
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")
        return client

    def top(self, *flags, **size):
        top = Terminal(*self.command("top", *flags), **size)
        self.addCleanup(self.close, top)
        return top

    def scratch(self):
        fd, path = tempfile.mkstemp()
        os.close(fd)
        self.addCleanup(os.unlink, path)
        return path

    @staticmethod
    def close(top):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(top.child, signal.SIGKILL)
            os.waitpid(top.child, 0)

    def test_it_shows_listeners_as_they_are(self):
        top = self.top("--sort", "name")
        lines = top.await_text("2 listeners, 0 open")
        self.assertTrue(lines[3].startswith("NAME "))
        self.assertTrue(lines[4].startswith("alpha "))
        self.assertTrue(lines[5].startswith("beta "))
        with self.connect("beta"):
            lines = top.await_text(" 1/10000 ")
            self.assertIn(" 1/10000 ", lines[5])
            # By the most that are open.
            top.type("ss")
            lines = top.await_screen(
                lambda lines: lines[4:] and lines[4].startswith("beta "))
        self.cli("close", "alpha")
        top.await_text("alpha            CLOSED")
        self.cli("delete", "alpha")
        top.await_screen(lambda lines: lines[1:] and lines[1].startswith(
            "1 listeners"))
        top.type("q")
        self.assertEqual(top.end(), 0)
        self.assertTrue(top.written.rstrip().endswith(GIVES_IT_BACK))

    def test_keys_filter_and_show_details(self):
        top = self.top("--sort", "name", rows=50)
        top.await_text("beta ")
        top.type("/bet\r")
        top.await_screen(
            lambda lines: lines[4:] and lines[4].startswith("beta ")
            and not any(line.startswith("alpha") for line in lines))
        top.type("\r")
        lines = top.await_text("newest events")
        self.assertEqual(lines[0], "listeners/beta")
        self.assertEqual(lines[-1], "any key: back")
        self.assertIn("newest events", lines)
        self.assertTrue(any("listener_created" in line for line in lines))
        top.type("x")
        top.await_text("ACC/S")
        top.resize(80, 10)
        top.type("\r")
        lines = top.await_text("any key: back; ")
        self.assertEqual(len(lines), 10)
        self.assertIn("portreeve describe listeners/beta", lines[-1])
        top.type("x")
        top.await_text("ACC/S")
        top.type("\x1b")
        top.await_text("alpha ")
        top.type("q")
        self.assertEqual(top.end(), 0)

    def test_it_has_the_size_of_the_terminal(self):
        for i in range(30):
            self.cli("create", f"l{i:02}", "--listen", "tcp:127.0.0.1:0",
                     "--echo")
        top = self.top("--sort", "name", rows=12)
        lines = top.await_text("32 listeners")
        self.assertEqual(len(lines), 12)
        top.resize(60, 20)
        lines = top.await_screen(lambda lines: len(lines) == 20)
        self.assertLessEqual(max(map(len, lines)), 60)
        top.type("q")
        self.assertEqual(top.end(), 0)

    def test_ctrl_c_gives_the_terminal_back(self):
        top = self.top()
        top.await_text("alpha ")
        top.type("\x03")
        self.assertEqual(top.end(), -signal.SIGINT)
        self.assertTrue(top.written.rstrip().endswith(GIVES_IT_BACK))

    def test_it_ends_by_the_signal_that_ends_it_with_the_terminal_as_it_was(
            self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP,
                       signal.SIGQUIT, signal.SIGUSR1, signal.SIGABRT):
            with self.subTest(signal=number):
                top = self.top()
                # Else nobody can ask for what is left.
                before = termios.tcgetattr(top.fd)
                top.await_text("alpha ")
                self.assertNotEqual(termios.tcgetattr(top.fd), before)
                with open(f"/proc/{top.child}/fd/0", "rb") as terminal:
                    os.kill(top.child, number)
                    os.waitid(os.P_PID, top.child, os.WEXITED | os.WNOWAIT)
                    self.assertEqual(termios.tcgetattr(terminal.fileno()),
                                     before)
                self.assertEqual(top.end(), -number)
                self.assertTrue(top.written.rstrip().endswith(GIVES_IT_BACK))

    def test_an_ignored_ctrl_c_does_not_hide_sigterm(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            top = self.top()
        finally:
            signal.signal(signal.SIGINT, before)
        top.await_text("alpha ")
        os.kill(top.child, signal.SIGTERM)
        self.assertEqual(top.end(), -signal.SIGTERM)

    def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(self):
        # A shell with jobs, which leaves the terminal as they leave it.
        shell = Terminal("/bin/sh", "-c", '''set -m
            stty -g >"$0"
            "$@"
            echo "ended with $?"
            stty -g | cmp - "$0" && echo "as it was"
            read line
            fg
            echo "ended with $?"
            stty -g | cmp - "$0" && echo "as it was"
            ''', self.scratch(), *self.command("top"))
        self.addCleanup(self.close, shell)
        shell.await_text("alpha ")
        shell.type("\x1a")
        shell.await_line(b"ended with 148\r\nas it was\r\n")
        self.assertIn(GIVES_IT_BACK, shell.written)
        shell.written = b""
        shell.type("\n")
        shell.await_text("alpha ")
        self.assertIn(SHOWS_OTHER_SCREEN, shell.written)
        # Keys count as they are typed.
        shell.type("/")
        shell.await_text(", /_")
        shell.type("\r")
        shell.type("q")
        shell.await_line(b"ended with 0\r\nas it was\r\n")
        self.assertEqual(shell.end(), 0)

    def test_one_that_none_can_stop_goes_on_after_ctrl_z(self):
        # Its group has no parent in the session.
        top = self.top()
        top.await_text("alpha ")
        top.written = b""
        top.type("\x1a")
        top.await_text("alpha ")
        self.assertIn(GIVES_IT_BACK, top.written)
        top.type("q")
        self.assertEqual(top.end(), 0)

    def test_a_daemon_that_is_lost_is_told_and_comes_back(self):
        top = self.top("--sort", "name")
        top.await_text("alpha ")
        self.daemon.kill()
        top.await_text("LOST for")
        self.daemon = Daemon(control=f"tcp:{self.daemon.address}")
        self.cli("create", "gamma", "--listen", "tcp:127.0.0.1:0", "--echo")
        lines = top.await_text("gamma ")
        self.assertFalse(any("alpha" in line for line in lines))
        self.assertNotIn("LOST", lines[0])
        top.type("q")
        self.assertEqual(top.end(), 0)

    def test_without_a_terminal_it_prints_a_message_a_line(self):
        with subprocess.Popen(
                self.command("top", "--interval", "100ms"),
                stdout=subprocess.PIPE, text=True) as top:
            first = json.loads(top.stdout.readline())
            self.assertEqual([shown["name"] for shown in first["listeners"]],
                             ["listeners/alpha", "listeners/beta"])
            self.cli("create", "new", "--listen", "tcp:127.0.0.1:0", "--echo")
            for line in top.stdout:
                message = json.loads(line)
                if message.get("listeners"):
                    break
            self.assertEqual(message["listeners"][0]["name"], "listeners/new")
            self.assertEqual(message["instanceId"], first["instanceId"])
            top.send_signal(signal.SIGINT)
            self.assertEqual(top.wait(), -signal.SIGINT)

    def test_once(self):
        lines = self.cli("top", "--once", "--interval", "100ms", "--sort",
                         "name").splitlines()
        self.assertIn("2 listeners, 0 open", lines[0])
        self.assertEqual([line.split()[0] for line in lines[2:]],
                         ["alpha", "beta"])
        # There are rates: numbers, and no dashes.
        self.assertEqual(lines[2].split()[4:], ["0", "0", "0", "0"])
        lines = self.cli("top", "--once", "-n", "1").splitlines()
        self.assertEqual(len(lines), 3)
        message = json.loads(self.cli("-o", "json", "top", "--once",
                                      "--listener", "beta"))
        self.assertEqual([shown["name"] for shown in message["listeners"]],
                         ["listeners/beta"])

    def test_wrong_flags(self):
        for flags in (["--interval", "99ms"],):
            self.cli("top", "--once", *flags, status=4)
        for flags in (["--sort", "age"], ["-n", "0"], ["--interval", "soon"]):
            self.cli("top", *flags, status=2)

    def test_describe_says_what_is_wrong(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            nobody = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
            self.cli("create", "front", "--listen", "tcp:127.0.0.1:0",
                     "--forward", nobody, "--max-connections", "7")
            with socket.create_connection(
                    ("127.0.0.1", self.port("front"))) as client:
                try:
                    self.assertEqual(client.recv(1), b"")
                except ConnectionResetError:
                    pass
        text = self.cli("describe", "front")
        self.assertIn("! 1 of 1 close is UPSTREAM_UNREACHABLE "
                      "(CONNECT_REFUSED 1)", text)
        self.assertIn("connect timeout            30s (default)", text)
        self.assertIn("max connections            7\n", text)
        self.assertIn("connection_closed", text)
        self.cli("create", "served", "--listen", "tcp:127.0.0.1:0", "--remote")
        self.assertIn("! nobody serves it", self.cli("describe", "served"))
        self.assertNotIn("  ! ", self.cli("describe", "alpha"))
        self.cli("describe", "unknown", status=4)

    def test_describe_shows_who_waits_to_be_accepted(self):
        self.cli("create", "full", "--listen", "tcp:127.0.0.1:0", "--echo",
                 "--max-connections", "1", "--max-pending-connections", "4")
        with contextlib.ExitStack() as clients:
            clients.enter_context(self.connect("full"))
            for _ in range(3):
                clients.enter_context(socket.create_connection(
                    ("127.0.0.1", self.port("full"))))
            shown = json.loads(self.cli("-o", "json", "get", "full"))
            self.assertEqual(shown["status"]["backlogConnections"], 3)
            text = self.cli("describe", "full")
            self.assertIn("! it has as many connections as it may, 1 (last told",
                          text)
            self.assertIn("! 3 of at most 4 clients wait to be accepted", text)


if __name__ == "__main__":
    unittest.main()
