"""portreeve describe of connections, and list's further ways, with a real
daemon whose connections are on two loops."""

import contextlib
import json
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from daemon_and_cli import TIMEOUT, Daemon, WithDaemon


class WithConnections(WithDaemon):
    FLAGS = ("--loops", "2")

    def connect(self, name):
        """A client with a small window, and the name of its connection."""
        before = {shown["name"] for shown in self.json("connections")
                  .get("connections", [])}
        client = socket.socket()
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", self.port(name)))
        while True:
            now = {shown["name"] for shown in self.json("connections")
                   .get("connections", [])}
            if now > before:
                return client, (now - before).pop()

    def await_description(self, name, is_it):
        """Describes a connection until it is as it shall be."""
        end = time.monotonic() + TIMEOUT
        while True:
            shown = self.json("describe", name)
            if is_it(shown):
                return shown
            self.assertLess(time.monotonic(), end, shown)


def send_until_it_waits(client):
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        pass


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack("ii", 1, 0))
    client.close()


class DescribeConnectionTest(WithConnections):

    def stall(self, client, name):
        """Has an echo send to a peer that does not read."""

        def has_stalled(shown):
            send_until_it_waits(client)
            tcp = shown["tcpInfo"]
            return (int(shown["bytesToWrite"]) > 0
                    and int(tcp["unsentBytes"]) > 0
                    and tcp["unacknowledgedSegments"] == 0)

        return self.await_description(name, has_stalled)

    def test_a_peer_that_does_not_read(self):
        self.create("echo", "--echo")
        # On both loops.
        for _ in range(4):
            client, name = self.connect("echo")
            shown = self.stall(client, name)
            self.assertEqual(shown["tcpInfo"]["state"], "ESTAB")
            text = self.cli("describe", name)
            self.assertIn("  ! its peer does not read: ", text)
            self.assertIn("; it is closed (BUFFER_AGE) if one waits for 2m\n",
                          text)
            self.assertIn("  listener        listeners/echo (echo)\n", text)
            self.assertIn("connection_accepted " + name, text)
            self.assertEqual(text.count("connection_accepted"), 1)

    def test_one_that_is_being_closed(self):
        self.create("echo", "--echo")
        for _ in range(2):
            client, name = self.connect("echo")
            self.stall(client, name)
            with subprocess.Popen(self.command("kill", name),
                                  stdout=subprocess.DEVNULL) as kill:
                self.await_description(
                    name, lambda shown: shown["state"] ==
                    "CONNECTION_STATE_CLOSING" and shown.get("tcpInfo"))
                text = self.cli("describe", name)
                self.assertIn("! it is being closed (CALLED)", text)
                self.assertNotIn("BUFFER_AGE", text)
                self.cli("kill", "--reset", name)
                self.assertEqual(kill.wait(), 0)

    def test_one_whose_last_bytes_only_the_kernel_has(self):
        self.create("echo", "--echo")
        for _ in range(2):
            client, name = self.connect("echo")

            def kernel_has_some(shown):
                if int(shown["tcpInfo"]["unsentBytes"]) > 0:
                    return True
                client.sendall(b"x" * 1024)
                return False

            shown = self.await_description(name, kernel_has_some)
            self.assertEqual(shown["bytesToWrite"], "0")
            with subprocess.Popen(self.command("kill", name),
                                  stdout=subprocess.DEVNULL) as kill:
                shown = self.await_description(
                    name, lambda shown: shown["state"] ==
                    "CONNECTION_STATE_CLOSING")
                self.assertEqual(shown["tcpInfo"]["state"], "FIN-WAIT-1")
                self.assertGreater(int(shown["tcpInfo"]["unsentBytes"]), 0)
                reset(client)
                self.assertEqual(kill.wait(), 0)

    def test_a_peer_that_has_closed_its_half_of_a_forward(self):
        with socket.create_server(("127.0.0.1", 0)) as upstream:
            self.create("front", "--forward",
                        f"127.0.0.1:{upstream.getsockname()[1]}")
            client, name = self.connect("front")
            accepted, _ = upstream.accept()
            with accepted:
                client.shutdown(socket.SHUT_WR)
                self.await_description(
                    name, lambda shown: shown["tcpInfo"]["state"] ==
                    "CLOSE-WAIT")
                text = self.cli("describe", name)
        self.assertIn("  ! its peer has closed its half (FIN)", text)
        self.assertIn("  upstream        tcp:127.0.0.1:"
                      f"{upstream_port(text)}\n", text)
        self.assertIn("TCP, as the kernel sees it\n"
                      "  state              CLOSE-WAIT\n", text)

    def test_unix_sockets_have_no_tcp(self):
        with tempfile.TemporaryDirectory() as directory:
            self.create("local", "--echo", listen=f"unix:{directory}/s")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{directory}/s")
                client.sendall(b"x")
                self.assertEqual(client.recv(1), b"x")
                name = self.json("connections")["connections"][0]["name"]
                self.assertNotIn("TCP", self.cli("describe", name))
                self.assertIsNone(self.json("describe", name).get("tcpInfo"))

    def test_names_are_as_for_other_verbs(self):
        self.create("echo", "--echo")
        _, name = self.connect("echo")
        bare = name.split("/")[1]
        self.assertTrue(self.cli("describe", bare).startswith(name + "\n"))
        # A listener's id comes first.
        self.create(bare, "--echo")
        self.assertTrue(self.cli("describe", bare).startswith(
            f"listeners/{bare}\n"))
        self.assertIn("listeners/none", self.cli("describe", "none", status=4))
        self.cli("describe", "listeners/" + bare + "9", status=4)
        self.cli("describe", "connections/c0", status=4)
        self.cli("describe", "other/c0", status=2)

    def test_one_that_closes_while_it_is_asked_for(self):
        self.create("echo", "--echo")
        for _ in range(20):
            client, name = self.connect("echo")
            with subprocess.Popen(self.command("-o", "json", "describe", name),
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE,
                                  text=True) as describe:
                reset(client)
                out, err = describe.communicate(timeout=TIMEOUT)
            if describe.returncode != 0:
                self.assertEqual(describe.returncode, 4, err)
                self.assertIn("NOT_FOUND", err)
                continue
            shown = json.loads(out)
            self.assertEqual(shown["name"], name)
            if not shown.get("tcpInfo"):
                self.assertEqual(shown["state"], "CONNECTION_STATE_CLOSED")
                self.assertEqual(shown["closeReason"],
                                 "CLOSE_REASON_PEER_RESET")
        self.assertEqual(self.json("get", "echo")["status"]["state"],
                         "LISTENER_STATE_LISTENING")


def upstream_port(text):
    """The port in the row of the upstream."""
    row = next(line for line in text.splitlines()
               if line.startswith("  upstream "))
    return row.rsplit(":", 1)[1]


class ListTest(WithConnections):

    def watch(self, *flags):
        watch = subprocess.Popen(self.command("list", "--watch", *flags),
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(self.end, watch)
        return watch

    @staticmethod
    def end(watch):
        with contextlib.suppress(ProcessLookupError):
            watch.kill()
        watch.wait()
        watch.stdout.close()

    def assert_lines(self, watch, *expected):
        """That the next lines begin with these names and states."""
        self.assertEqual([watch.stdout.readline().split()[:2]
                          for _ in expected], [list(e) for e in expected])

    def test_wide_shows_who_waits_and_the_bytes_of_open_connections(self):
        self.create("full", "--echo", "--max-connections", "1",
                    "--max-pending-connections", "4", "--label", "team=a")
        client, _ = self.connect("full")
        client.sendall(b"hello")
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")
        with contextlib.ExitStack() as clients:
            for _ in range(3):
                clients.enter_context(socket.create_connection(
                    ("127.0.0.1", self.port("full"))))
            header, row = [line.split() for line in
                           self.cli("list", "-o", "wide").splitlines()]
        shown = dict(zip(header, row))
        self.assertEqual(
            {key: shown[key] for key in ("NAME", "CONNECTIONS", "MAX",
                                         "RECEIVED", "BACKLOG", "LABELS")},
            {"NAME": "listeners/full", "CONNECTIONS": "1", "MAX": "1",
             "RECEIVED": "5", "BACKLOG": "3/4", "LABELS": "team=a"})
        self.assertRegex(shown["UPTIME"], r"^[0-9hms]+$")

    def test_wide_is_for_list_alone(self):
        for words in (["get", "x"], ["connections"], ["daemon"],
                      ["describe", "x"], ["export"]):
            self.assertIn("only list has that",
                          self.cli("-o", "wide", *words, status=2))
        self.cli("list", "-o", "wider", status=2)
        self.cli("list", "--retry-for", "1s", status=2)

    def test_watch_prints_the_table_and_then_what_changes(self):
        self.create("alpha", "--echo")
        watch = self.watch("-o", "wide")
        self.assert_lines(watch, ("NAME", "STATE"),
                          ("listeners/alpha", "LISTENING"))
        # Connections make no lines.
        client, _ = self.connect("alpha")
        self.create("beta", "--echo")
        self.cli("update", "beta", "--max-connections", "7")
        client.close()
        self.cli("close", "alpha", "--wait-for", "handlers-determined")
        self.cli("delete", "alpha")
        self.assert_lines(watch, ("listeners/beta", "LISTENING"),
                          ("listeners/beta", "LISTENING"),
                          ("listeners/alpha", "CLOSING"),
                          ("listeners/alpha", "CLOSED"))
        # The last connection may have gone before that, or after.
        line = watch.stdout.readline().split()[:2]
        if line == ["listeners/alpha", "CLOSED"]:
            line = watch.stdout.readline().split()[:2]
        self.assertEqual(line, ["listeners/alpha", "DELETED"])
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(), -signal.SIGINT)

    def test_watch_tells_what_another_daemon_has(self):
        self.create("alpha", "--echo")
        watch = self.watch()
        self.assert_lines(watch, ("NAME", "STATE"),
                          ("listeners/alpha", "LISTENING"))
        self.daemon.kill()
        self.daemon = Daemon(*self.FLAGS, control=f"tcp:{self.daemon.address}")
        self.create("beta", "--echo")
        self.assert_lines(watch, ("listeners/alpha", "DELETED"),
                          ("listeners/beta", "LISTENING"))

    def test_watch_prints_events_as_json(self):
        self.create("alpha", "--echo")
        watch = self.watch("-o", "json")
        kinds = []
        for line in watch.stdout:
            event = json.loads(line)
            kinds += [kind for kind in event if kind.startswith(
                ("listener", "snapshot"))]
            if kinds[-1] == "snapshotDone":
                self.cli("close", "alpha")
            elif kinds[-1] == "listenerHandlersDetermined":
                self.cli("delete", "alpha")
            elif kinds[-1] == "listenerDeleted":
                self.assertEqual(event["listenerDeleted"]["listener"]["name"],
                                 "listeners/alpha")
                break
        self.assertEqual(kinds, ["listenerCreated", "snapshotDone",
                                 "listenerCloseStarted",
                                 "listenerCloseFinished",
                                 "listenerHandlersDetermined",
                                 "listenerDeleted"])

    def test_watch_ends_with_its_timeout(self):
        self.cli("list", "--watch", "--timeout", "100ms", status=5)


if __name__ == "__main__":
    unittest.main()
