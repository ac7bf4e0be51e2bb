"""portreeved as a service of systemd, whose part the test plays: what it is
told, and the sockets that it passes."""

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from service_manager import (CLOSED, TIMEOUT, Clients, Daemon, NotifySocket,
                             inode_of, is_echoed, listening, text_of)

LOOPBACK = ("127.0.0.1", 0)
ANY_CONTROL = ("--control", "tcp:127.0.0.1:0")


def cli(server, *arguments):
    return subprocess.run(
        ["client/portreeve", "--server", server, *arguments], text=True,
        capture_output=True, timeout=TIMEOUT, check=True).stdout


def connect(sock):
    """A client of what listens on `sock`, whether or not anybody accepts."""
    client = socket.socket(sock.family, socket.SOCK_STREAM)
    client.settimeout(TIMEOUT)
    client.connect(sock.getsockname())
    return client


class Folder(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def listening(self, address=LOOPBACK, family=socket.AF_INET):
        made = listening(address, family)
        self.addCleanup(made.close)
        return made


class NotifyTest(Folder):

    def test_tells_of_start_reload_and_stop(self):
        for address in f"{self.folder}/notify", "\0portreeve-test-notify":
            with self.subTest(address), NotifySocket(address) as notify, \
                    Daemon(*ANY_CONTROL, "--listen", "tcp:127.0.0.1:0 echo",
                           "--drain", "3s", NOTIFY_SOCKET=notify.name) as daemon:
                daemon.until_ready()
                self.assertEqual(notify.take(),
                                 {"READY": "1", "STATUS": "1 listener"})
                before = time.monotonic_ns() // 1000
                daemon.kill(signal.SIGHUP)
                reload = notify.take()
                self.assertEqual(reload["RELOADING"], "1")
                self.assertLessEqual(before, int(reload["MONOTONIC_USEC"]))
                self.assertLessEqual(int(reload["MONOTONIC_USEC"]),
                                     time.monotonic_ns() // 1000 + 1)
                self.assertEqual(notify.take(),
                                 {"READY": "1", "STATUS": "1 listener"})
                daemon.kill(signal.SIGTERM)
                stop = notify.take()
                self.assertEqual(stop["STOPPING"], "1")
                self.assertIn("3s", stop["STATUS"])
                # The drain, and what may follow it.
                self.assertGreaterEqual(int(stop["EXTEND_TIMEOUT_USEC"]),
                                        10_000_000)
                self.assertLessEqual(int(stop["EXTEND_TIMEOUT_USEC"]),
                                     20_000_000)
                self.assertEqual(daemon.wait(), 0)
                self.assertIsNone(notify.take(timeout=0))

    def test_ready_counts_failures(self):
        taken = self.listening()
        where = text_of(taken.getsockname())
        with Daemon(*ANY_CONTROL, "--state",
                    f"{self.folder}/state") as daemon:
            (control,) = daemon.until_ready().printed("control")
            taken.close()
            cli(control, "create", "web", "--listen", where, "--echo")
            daemon.stop()
        with self.listening(tuple_of(where)), \
                NotifySocket(f"{self.folder}/notify") as notify, \
                Daemon(*ANY_CONTROL, "--state", f"{self.folder}/state",
                       NOTIFY_SOCKET=notify.name):
            self.assertEqual(notify.take(), {
                "READY": "1", "STATUS": "1 listener, 1 failed"})

    def datagram_sockets(self, daemon):
        with open(f"/proc/{daemon.pid}/net/unix") as file:
            datagram = {int(words[6]) for words in map(str.split, file)
                        if words[4] == "0002"}
        return datagram & set(daemon.inodes().values())

    def test_without_a_socket_nothing_is_opened(self):
        with Daemon(*ANY_CONTROL, WATCHDOG_USEC="1000") as daemon:
            daemon.until_ready()
            self.assertEqual(self.datagram_sockets(daemon), set())
        with NotifySocket(f"{self.folder}/notify") as notify, \
                Daemon(*ANY_CONTROL, NOTIFY_SOCKET=notify.name) as daemon:
            daemon.until_ready()
            self.assertEqual(len(self.datagram_sockets(daemon)), 1)

    def test_a_manager_that_does_not_read_harms_nothing(self):
        nobody = f"{self.folder}/nobody"
        with NotifySocket(f"{self.folder}/full") as full:
            for name, watchdog in ((nobody, "3000"), (full.name, "3000"),
                                   ("not-absolute", "3000"),
                                   ("/" + "x" * 108, "3000")):
                with self.subTest(name), \
                        Daemon(*ANY_CONTROL, NOTIFY_SOCKET=name,
                               WATCHDOG_USEC=watchdog) as daemon:
                    (control,) = daemon.until_ready().printed("control")
                    daemon.until_logged("service manager")
                    daemon.kill(signal.SIGHUP)
                    daemon.until_logged("SIGHUP")
                    cli(control, "list")
                    self.assertEqual(daemon.stop(), 0)
                    lines = [line for line in daemon.errors
                             if line and "service manager" in line]
                    self.assertEqual(len(lines), 1, lines)


def tuple_of(text):
    host, port = text.removeprefix("tcp:").split(":")
    return host, int(port)


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


class StoppedThread:
    """One thread of a process stands still; the others go on."""

    def __init__(self, thread):
        self.thread = thread
        self._trace = ctypes.CDLL(None, use_errno=True).ptrace
        self._trace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                                ctypes.c_void_p]

    def _call(self, request):
        if self._trace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self._call(PTRACE_SEIZE)
        self._call(PTRACE_INTERRUPT)
        os.waitpid(self.thread, WALL)

    def __exit__(self, *_):
        self._call(PTRACE_DETACH)


class WatchdogTest(Folder):
    PERIOD = 0.6

    def daemon(self, notify):
        return Daemon(*ANY_CONTROL, "--loops", "3", NOTIFY_SOCKET=notify.name,
                      WATCHDOG_USEC=str(int(self.PERIOD * 1e6)))

    def test_every_loop_has_to_turn(self):
        with NotifySocket(f"{self.folder}/notify") as notify, \
                self.daemon(notify) as daemon:
            self.assertIn("READY", notify.take())
            loops = {}
            for task in os.listdir(f"/proc/{daemon.pid}/task"):
                with open(f"/proc/{daemon.pid}/task/{task}/comm") as file:
                    loops[file.read().strip()] = int(task)
            for name in "loop-0", "loop-1", "loop-2":
                with self.subTest(name):
                    for _ in range(3):
                        self.assertEqual(notify.take(), {"WATCHDOG": "1"})
                    with StoppedThread(loops[name]):
                        # What it had sent before.
                        while notify.take(timeout=0):
                            pass
                        self.assertIsNone(notify.take(2 * self.PERIOD))
                    self.assertEqual(notify.take(), {"WATCHDOG": "1"})

    def test_it_goes_on_until_the_stop(self):
        with NotifySocket(f"{self.folder}/notify") as notify, \
                self.daemon(notify) as daemon:
            self.assertIn("READY", notify.take())
            begin = time.monotonic()
            for _ in range(6):
                self.assertEqual(notify.take(), {"WATCHDOG": "1"})
            # The first one comes at once.
            self.assertGreater(time.monotonic() - begin, self.PERIOD)
            self.assertEqual(daemon.stop(), 0)
            while (message := notify.take()).keys() == {"WATCHDOG"}:
                pass
            self.assertIn("STOPPING", message)
            self.assertIsNone(notify.take(timeout=0))


class ControlSocketTest(Folder):

    def test_they_are_the_control_addresses(self):
        tcp = self.listening()
        path = f"{self.folder}/control"
        unix = self.listening(path, socket.AF_UNIX)
        os.chmod(path, 0o600)
        sockets = [("control", tcp), ("control", unix)]
        addresses = [text_of(s.getsockname()) for s in (tcp, unix)]
        for arguments in ((), ("--control", addresses[1], *ANY_CONTROL,
                               "--control", addresses[0])):
            # These come before there is a daemon.
            early = [subprocess.Popen(
                ["client/portreeve", "--server", address, "list"],
                stdout=subprocess.DEVNULL)
                for address in addresses]
            with self.subTest(arguments), \
                    Daemon(*arguments, sockets=sockets) as daemon:
                printed = daemon.until_ready().printed("control")
                if arguments:
                    self.assertEqual(printed[0], addresses[1])
                    self.assertEqual(printed[2], addresses[0])
                    self.assertNotIn(printed[1], addresses)
                else:
                    self.assertEqual(printed, addresses)
                for client in early:
                    self.assertEqual(client.wait(TIMEOUT), 0)
                for address in printed:
                    cli(address, "list")
                self.assertEqual(daemon.stop(), 0)
            # They are left as they were, for the next one.
            self.assertTrue(os.path.exists(path))
            for sock in tcp, unix:
                self.assertEqual(
                    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
                    1)
                connect(sock).close()

    def test_one_that_everybody_may_write_to_is_warned_of(self):
        path = f"{self.folder}/control"
        unix = self.listening(path, socket.AF_UNIX)
        os.chmod(path, 0o666)
        with Daemon(sockets=[("control", unix)]) as daemon:
            daemon.until_ready()
            daemon.until_logged("SocketMode=0600")

    def refused(self, *arguments, sockets, **environment):
        """The line with which a start ends."""
        with Daemon(*arguments, sockets=sockets, **environment) as daemon:
            self.assertEqual(daemon.wait(), 1)
            lines = [line for line in daemon.errors if line]
            self.assertEqual(len(lines), 1, lines)
            self.assertNotIn("portreeved: ready", daemon.lines)
            return lines[0]

    def test_wrong_ones_end_the_start(self):
        tcp = self.listening()
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
        silent = socket.socket()
        silent.bind(LOOPBACK)
        connected = connect(tcp)
        file = open("/dev/null")
        everywhere = self.listening(("0.0.0.0", 0))
        for wrong in datagram, netlink, silent, connected, file:
            self.addCleanup(wrong.close)
        for wrong, reason in (
                (datagram, "must be a stream socket, but is a datagram one"),
                (netlink, "must be an inet socket, but is a (family 16) one"),
                (silent, "must be listening, but is not"),
                (connected, "must not be connected, but is"),
                (file, "must be a socket, but is something else"),
                (CLOSED, "is not open")):
            for name in "control", "listener-web":
                with self.subTest(reason, name=name):
                    line = self.refused(sockets=[("control", tcp),
                                                 (name, wrong)])
                    self.assertEqual(
                        line, f"portreeved: LISTEN_FDS: descriptor 4 ({name}) "
                        f"{reason}")
        with self.subTest("elsewhere"):
            line = self.refused(*ANY_CONTROL, sockets=[("control", tcp)])
            self.assertIn(
                "LISTEN_FDS: descriptor 3 (control) at "
                f"{text_of(tcp.getsockname())}: no --control names this", line)
        with self.subTest("without protection"):
            line = self.refused(sockets=[("control", everywhere)])
            self.assertIn("LISTEN_FDS: descriptor 3 (control) at tcp:0.0.0.0:",
                          line)
            self.assertIn("--insecure", line)
        with Daemon("--insecure",
                    sockets=[("control", everywhere)]) as daemon:
            daemon.until_ready()

    def test_wrong_variables_end_the_start(self):
        sockets = [("control", self.listening())]
        for variable, value in (("LISTEN_FDS", "-1"), ("LISTEN_FDS", "many"),
                                ("LISTEN_FDS", "9999999999"),
                                ("LISTEN_FDNAMES", "control:control")):
            with self.subTest(f"{variable}={value}"):
                line = self.refused(sockets=sockets, **{variable: value})
                self.assertIn(f"portreeved: {variable} \"{value}\": ", line)

    def test_those_of_another_process_are_ignored(self):
        tcp = self.listening()
        with Daemon(*ANY_CONTROL, sockets=[("control", tcp)],
                    pid=1) as daemon:
            daemon.until_ready()
            self.assertNotIn(text_of(tcp.getsockname()),
                             daemon.printed("control"))


class ListenerSocketTest(Folder):

    def flags(self, web):
        return (*ANY_CONTROL, "--listen",
                f"{text_of(web.getsockname())} echo")

    def expect_adopted(self, daemon, sock):
        (control,) = daemon.until_ready().printed("control")
        self.assertIn(inode_of(sock), daemon.inodes().values())
        self.assertIn("listeners/web", cli(control, "list"))
        return control

    def test_of_a_flag(self):
        for web in (self.listening(),
                    self.listening(f"{self.folder}/web", socket.AF_UNIX)):
            early = connect(web)
            with self.subTest(web), \
                    Daemon(*self.flags(web),
                           sockets=[("listener-web", web)]) as daemon:
                control = self.expect_adopted(daemon, web)
                self.assertTrue(is_echoed(early))
                self.assertIn("LISTENER_SOURCE_FLAG",
                              cli(control, "get", "web", "--output", "json"))
                self.assertEqual(daemon.stop(), 0)
            self.assertEqual(
                web.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)
            connect(web).close()

    def test_of_the_state(self):
        web = self.listening()
        where = text_of(web.getsockname())
        web.close()
        state = (*ANY_CONTROL, "--state", f"{self.folder}/state")
        with Daemon(*state) as daemon:
            (control,) = daemon.until_ready().printed("control")
            cli(control, "create", "web", "--listen", where, "--echo")
            self.assertEqual(daemon.stop(), 0)
        web = self.listening(tuple_of(where))
        for _ in range(2):
            early = connect(web)
            with Daemon(*state, sockets=[("listener-web", web)]) as daemon:
                control = self.expect_adopted(daemon, web)
                self.assertTrue(is_echoed(early))
                self.assertIn("LISTENER_SOURCE_CLIENT",
                              cli(control, "get", "web", "--output", "json"))
                daemon.kill(signal.SIGKILL)
                daemon.wait()

    def test_of_a_file(self):
        web = self.listening()
        address, port = web.getsockname()
        os.mkdir(f"{self.folder}/listeners")
        with open(f"{self.folder}/listeners/web.yaml", "w",
                  encoding="utf-8") as file:
            file.write(f"""
name: listeners/web
spec:
  whereToListen: {{inet: {{address: {address}, port: {port}}}}}
  handler: {{echo: {{}}}}
""")
        files = (*ANY_CONTROL, "--listeners", f"{self.folder}/listeners")
        for flags in (files, (*files, "--state", f"{self.folder}/state")):
            for _ in range(2):  # The second finds a state, if there is one.
                early = connect(web)
                with self.subTest(flags), \
                        Daemon(*flags,
                               sockets=[("listener-web", web)]) as daemon:
                    self.expect_adopted(daemon, web)
                    self.assertTrue(is_echoed(early))
                    daemon.kill(signal.SIGKILL)
                    daemon.wait()

    def test_others_are_closed(self):
        web, other = self.listening(), self.listening()
        v6 = self.listening(("::1", 0), socket.AF_INET6)
        sockets = [("listener-web", other), ("listener-web", web),
                   ("listener-mail", v6), ("listener-No_Id", other),
                   ("http", other)]
        with Daemon(*self.flags(web), sockets=sockets) as daemon:
            self.expect_adopted(daemon, web)
            inodes = daemon.inodes().values()
            self.assertNotIn(inode_of(other), inodes)
            self.assertNotIn(inode_of(v6), inodes)
            for text in ("descriptor 3 (listener-web) is closed: no "
                         "listeners/web was to be opened at "
                         f"{text_of(other.getsockname())}",
                         "descriptor 5 (listener-mail) is closed",
                         "descriptor 6 (listener-No_Id) is closed",
                         "descriptor 7 (http) is closed"):
                daemon.until_logged(text)

    def test_nobody_is_refused_over_kill_9(self):
        web = self.listening()

        def start():
            daemon = Daemon(*self.flags(web), sockets=[("listener-web", web)])
            self.addCleanup(daemon.__exit__)
            return daemon.until_ready()

        clients = Clients(lambda: connect(web))
        clients.expect_none_is_refused_over_kill_9(start(), start)


if __name__ == "__main__":
    unittest.main()
