"""The package under a real systemd: installed, killed, upgraded, and removed."""

import os
import re
import shutil
import subprocess
import sys
import unittest

import root
from machine import Machine

CONNECTOR = os.path.join(os.path.dirname(__file__), "connector.py")
CONF = "/etc/portreeve/portreeved.conf"
EXAMPLES = "/usr/share/doc/portreeve/examples"
SERVICE, SOCKET = "portreeved.service", "portreeved.socket"
CONTROL = "/run/portreeve/control"
WANTED, KILLS, UPGRADES = 1000, 3, 4
# A client that is there until the daemon has ended. What a forward listener
# sends to another one does not move.
HOLD = """
import socket
client = socket.create_connection(("127.0.0.1", 82))
client.sendall(b"x")
client.recv(1)
print("held", flush=True)
try:
    client.recv(1)
except ConnectionResetError:
    pass
"""
# A client that is there before, and says something after.
ECHO = """
import socket
client = socket.create_connection(("127.0.0.1", 80))
for text in b"before", b"after":
    client.sendall(text)
    print(client.recv(10).decode(), flush=True)
    if text == b"before":
        input()
"""


class SystemdTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.model = root.Root()
        cls.addClassCleanup(cls.model.remove)
        cls.model.apt("install", "systemd-sysv", "dbus")
        # What the package needs, since the container has no network.
        cls.model.install(root.PACKAGE)
        cls.model.apt("purge", "portreeve")
        os.remove(cls.model.path("/usr/sbin/policy-rc.d"))

    def setUp(self):
        self.root = root.Root(self.model)
        self.addCleanup(self.root.remove)
        self.machine = self.enterContext(Machine(self.root))

    def install(self, package):
        shutil.copy(package, self.root.path("/new.deb"))
        self.machine.run("apt-get", "-q", "-y", "install", "/new.deb")
        os.remove(self.root.path("/new.deb"))

    def cli(self, *words):
        return self.machine.run("portreeve", "--server", f"unix:{CONTROL}",
                                *words)

    def create_web(self):
        self.cli("create", "web", "--listen", "tcp:0.0.0.0:80", "--echo")

    def upgrade(self, *words):
        """Gives both processes, of which systemd knows the second by then."""
        said = self.cli("upgrade", *words)
        former, pid = re.match(r"(\d+) -> (\d+)", said).groups()
        self.machine.until(lambda: self.machine.show(SERVICE, "MainPID"), pid)
        return former, pid

    def listens(self):
        return re.findall(r"^listeners/(\S+) +LISTENING", self.cli("list"),
                          re.MULTILINE)

    def state_of(self, unit):
        return self.machine.show(unit, "ActiveState")

    def expect_control_is_the_groups(self):
        found = self.machine.run("stat", "--format=%a %U %G", CONTROL)
        self.assertEqual(found.strip(), "660 portreeve portreeve")

    def test_it_runs_once_it_is_installed(self):
        self.install(root.PACKAGE)
        for unit in (SERVICE, SOCKET):
            self.assertEqual(self.state_of(unit), "active")
            self.assertEqual(self.machine.show(unit, "UnitFileState"),
                             "enabled")
        self.create_web()  # On a port below 1024.
        # What the unit forbids is nothing that the daemon wants.
        self.assertNotIn("not permitted", self.machine.journal())
        self.expect_control_is_the_groups()

        process = self.machine.show(SERVICE, "MainPID")
        self.machine.run("systemctl", "kill", "--signal=HUP", SERVICE)
        self.machine.until(lambda: "SIGHUP" in self.machine.journal(), True)
        self.assertEqual(self.machine.show(SERVICE, "MainPID"), process)
        self.machine.run("systemctl", "reload", SERVICE)
        self.assertNotEqual(self.machine.show(SERVICE, "MainPID"), process)
        self.assertIn(f"take-over: serves in place of process {process}",
                      self.machine.journal())

        # The control socket outlives the daemon, and starts it again.
        self.machine.run("systemctl", "stop", SERVICE)
        self.assertEqual(self.listens(), ["web"])

        # Without its unit the daemon makes it.
        self.machine.run("systemctl", "stop", SOCKET, SERVICE)
        self.machine.run("systemctl", "start", SERVICE)
        self.expect_control_is_the_groups()
        self.assertEqual(self.listens(), ["web"])

    def expect_that_nobody_is_refused_over_kill_9(self):
        outcomes = []
        with subprocess.Popen(
                self.machine.with_network(
                    sys.executable, CONNECTOR, "80", str(WANTED)),
                stdout=subprocess.PIPE, text=True) as connector:
            for i in range(1, WANTED + 1):
                outcomes.append(connector.stdout.readline().strip())
                if i % (WANTED // (KILLS + 1)) == 0 and i < WANTED:
                    self.machine.run("systemctl", "kill", "--signal=KILL",
                                     SERVICE)
        self.assertEqual(set(outcomes) - {"served", "ended"}, set())
        # A kill ends only who was accepted, and there is one at a time.
        self.assertLessEqual(outcomes.count("ended"), KILLS)
        self.assertEqual(self.machine.show(SERVICE, "NRestarts"), str(KILLS))
        self.assertEqual(self.listens(), ["web"])

    def test_systemd_keeps_the_sockets_over_kill_9(self):
        self.install(root.PACKAGE)
        self.create_web()
        self.expect_that_nobody_is_refused_over_kill_9()

    def test_a_socket_unit_keeps_its_own_over_kill_9(self):
        conf = self.root.path(CONF)
        self.install(root.PACKAGE)
        root.write(conf, root.read(conf).replace("\n--fdstore\n", "\n"))
        self.machine.run("cp", f"{EXAMPLES}/portreeved-web.socket",
                         "/etc/systemd/system/")
        self.create_web()
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "stop", SERVICE)
        self.machine.run("systemctl", "start", "portreeved-web.socket", SERVICE)
        self.expect_that_nobody_is_refused_over_kill_9()

    def test_portreeve_upgrade_is_one_service_that_goes_on(self):
        self.install(root.PACKAGE)
        self.create_web()
        pids = [self.machine.show(SERVICE, "MainPID")]
        with subprocess.Popen(
                self.machine.with_network(
                    sys.executable, CONNECTOR, "80", str(WANTED)),
                stdout=subprocess.PIPE, text=True) as connector:
            outcomes = []
            for i in range(1, WANTED + 1):
                outcomes.append(connector.stdout.readline().strip())
                if i % (WANTED // (UPGRADES + 1)) == 0 and i < WANTED:
                    former, pid = self.upgrade("--drain", "0s")
                    self.assertEqual(former, pids[-1])
                    pids.append(pid)
                    # Until the former one has ended no other one may begin.
                    self.machine.until(
                        lambda: self.machine.run("pidof", "portreeved").strip(),
                        pids[-1])
        self.assertLessEqual(outcomes.count("ended"), UPGRADES)
        self.assertEqual(set(outcomes) - {"served", "ended"}, set())
        self.assertEqual(len(set(pids)), UPGRADES + 1)
        self.assertEqual(self.machine.show(SERVICE, "NRestarts"), "0")
        for unit in (SERVICE, SOCKET):
            self.assertEqual(self.state_of(unit), "active")
        self.assertNotIn("not permitted", self.machine.journal())
        self.expect_control_is_the_groups()
        # What systemd keeps is what the last process has.
        self.assertEqual(self.machine.show(SERVICE, "NFileDescriptorStore"),
                         "1")
        self.expect_that_nobody_is_refused_over_kill_9()
        self.cli("close", "web")
        self.machine.until(
            lambda: self.machine.show(SERVICE, "NFileDescriptorStore"), "0")
        self.machine.run("systemctl", "stop", SERVICE)
        self.assertEqual(self.machine.show(SERVICE, "Result"), "success")

    def test_systemd_learns_that_the_next_process_is_gone(self):
        self.install(root.PACKAGE)
        self.create_web()
        for name, port in ("first", 81), ("second", 82):
            self.cli("create", name, "--listen", f"tcp:0.0.0.0:{port}",
                     "--forward", f"tcp:127.0.0.1:{port - 1}")
        with subprocess.Popen(
                self.machine.with_network(sys.executable, "-c", HOLD),
                stdout=subprocess.PIPE, text=True) as held:
            try:
                self.assertEqual(held.stdout.readline(), "held\n")
                self.upgrade()
                self.assertEqual(
                    len(self.machine.run("pidof", "portreeved").split()), 2)
                self.machine.run("systemctl", "kill", "--kill-whom=main",
                                 "--signal=KILL", SERVICE)
                # It does not wait for what the former one has left.
                self.machine.until(
                    lambda: self.machine.show(SERVICE, "NRestarts"), "1")
                self.machine.until(lambda: self.state_of(SERVICE), "active")
            finally:
                held.kill()
        self.assertEqual(self.listens(), ["first", "second", "web"])

    def test_a_newer_package_takes_over_and_ends_nothing(self):
        self.install(root.older())
        conf = self.root.path(CONF)
        mine = root.read(conf) + "--drain 1s\n"
        root.write(conf, mine)
        self.create_web()
        process = self.machine.show(SERVICE, "MainPID")

        with subprocess.Popen(
                self.machine.with_network(sys.executable, "-c", ECHO),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True) as client:
            self.assertEqual(client.stdout.readline(), "before\n")
            self.install(root.PACKAGE)
            self.assertNotEqual(self.machine.show(SERVICE, "MainPID"), process)
            # Its clients do not notice.
            self.assertEqual(client.communicate("\n")[0], "after\n")
        self.assertEqual(self.machine.show(SERVICE, "NRestarts"), "0")
        self.assertEqual(self.state_of(SOCKET), "active")
        self.assertIn(f"take-over: serves in place of process {process}",
                      self.machine.journal())
        self.assertEqual(root.read(conf), mine)

        self.machine.run("systemctl", "restart", SERVICE)
        self.assertEqual(self.listens(), ["web"])

    def test_removal_ends_it_and_purge_leaves_no_trace(self):
        before = self.root.traces()
        self.install(root.PACKAGE)
        self.create_web()
        self.machine.run("apt-get", "-q", "-y", "remove", "portreeve")
        for unit in (SERVICE, SOCKET):
            self.assertNotEqual(self.state_of(unit), "active")
        self.machine.run("sh", "-c", "! pidof portreeved")
        self.assertIn("/var/lib/portreeve/portreeved.db", self.root.traces())

        # As if it had never gone.
        self.install(root.PACKAGE)
        self.assertEqual(self.listens(), ["web"])

        self.machine.run("apt-get", "-q", "-y", "purge", "portreeve")
        self.machine.run("sh", "-c", f"! test -e {os.path.dirname(CONTROL)}")
        self.assertEqual(self.root.traces(), before)
        self.machine.run("sh", "-c",
                         "! systemctl list-units --all | grep portreeve")


if __name__ == "__main__":
    unittest.main()
