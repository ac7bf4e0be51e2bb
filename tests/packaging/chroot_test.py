"""The package in a bare Debian without systemd: a stand-in starts the daemon."""

import os
import re
import signal
import subprocess
import sys
import unittest

import root
from stand_in import StandIn

CONNECTOR = os.path.join(os.path.dirname(__file__), "connector.py")
CONF = "/etc/portreeve/portreeved.conf"
LOGROTATE = "/etc/logrotate.d/portreeve"
WANTED = 1000
KILLS = 4


def until_has(path, text):
    """Returns once a line of the file has it, whichever file has that name."""
    with subprocess.Popen(["tail", "--lines=+1", "-F", path],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as tail:
        for line in tail.stdout:
            if text in line:
                break
        tail.terminate()


class InRoot(unittest.TestCase):

    def setUp(self):
        self.root = root.Root()
        self.addCleanup(self.root.remove)

    def cli(self, *words):
        return self.root.run("portreeve", "--server",
                             "unix:/run/portreeve/control", *words)

    def create_echo(self, name):
        """Gives its port."""
        made = self.cli("create", name, "--listen", "tcp:127.0.0.1:0", "--echo")
        return int(re.search(r"tcp:127\.0\.0\.1:(\d+)", made)[1])

    def open_listeners(self):
        return sorted(re.findall(r"^listeners/(\S+) +LISTENING",
                                 self.cli("list"), re.MULTILINE))


class RunTest(InRoot):

    def test_nobody_is_refused_over_kill_9(self):
        self.root.install(root.PACKAGE)
        with StandIn(self.root) as manager:
            with manager.start() as daemon:
                port = self.create_echo("web")
                self.create_echo("other")
                manager.store.until(
                    lambda kept: kept == {"listener-web", "listener-other"})
                daemon.kill(signal.SIGKILL)
                daemon.wait()
            outcomes = []
            with subprocess.Popen(
                    [sys.executable, CONNECTOR, str(port), str(WANTED)],
                    stdout=subprocess.PIPE, text=True) as connector:
                for enough in range(WANTED // KILLS, WANTED + 1,
                                    WANTED // KILLS):
                    with manager.start() as daemon:
                        self.assertEqual(self.open_listeners(),
                                         ["other", "web"])
                        while len(outcomes) < enough:
                            outcomes.append(
                                connector.stdout.readline().strip())
                        daemon.kill(signal.SIGKILL)
                        daemon.wait()
            self.assertEqual(set(outcomes) - {"served", "ended"}, set())
            # A kill ends only who was accepted, and there is one at a time.
            self.assertLessEqual(outcomes.count("ended"), KILLS)

    def ask_as(self, user, wanted):
        """Gives what the daemon says to the user, of whom `wanted` is asked."""
        self.root.run("useradd", *(
            ("--groups", "portreeve") if user == "ann" else ()), user)
        return self.root.run(
            "su", user, "-c", "portreeve --server "
            f"unix:/run/portreeve/control {wanted} || echo status $?")

    def test_the_group_may_command_and_others_may_not(self):
        self.root.install(root.PACKAGE)
        with StandIn(self.root) as manager, manager.start():
            self.assertIn("NAME ", self.ask_as("ann", "list"))
            said = self.ask_as("bob", "list")
            self.assertIn("Permission denied", said)
            self.assertIn("status 3", said)

    def test_the_policy_of_the_examples_holds_for_the_group(self):
        self.root.install(root.PACKAGE)
        # As docs/INSTALL.md has it.
        self.root.run("cp", "/usr/share/doc/portreeve/examples/policy.textproto",
                      "/etc/portreeve/")
        self.root.run("sed", "-i", "s/^#--policy /--policy /", CONF)
        with StandIn(self.root) as manager, manager.start():
            self.assertIn("OUTSIDE_POLICY", self.ask_as(
                "ann", "create far --listen tcp:127.0.0.1:7999 --echo"))
            self.create_echo("near")

    def test_logs_are_rotated_while_the_daemon_runs(self):
        self.root.install(root.PACKAGE)
        self.root.apt("install", "logrotate")
        conf = self.root.path(CONF)
        root.write(conf, root.read(conf).replace("#--audit ", "--audit "))
        logs = self.root.path("/var/log/portreeve")
        with StandIn(self.root) as manager, manager.start():
            for name, files in (("one", {"audit.log", "audit.log.1"}),
                                ("two", {"audit.log", "audit.log.1",
                                         "audit.log.2.gz"})):
                self.create_echo(name)
                self.root.run("logrotate", "--force", LOGROTATE)
                self.create_echo(f"{name}-later")
                until_has(f"{logs}/audit.log", f"{name}-later")
                self.assertEqual(set(os.listdir(logs)), files)
                self.assertNotIn(f"{name}-later",
                                 root.read(f"{logs}/audit.log.1"))
            for name in os.listdir(logs):
                found = os.stat(f"{logs}/{name}")
                self.assertEqual(
                    (oct(found.st_mode & 0o777), found.st_uid, found.st_gid),
                    ("0o600", manager.uid, manager.gid), name)


class UpgradeTest(InRoot):

    def test_state_and_what_was_changed_are_kept(self):
        def change(tree):
            with open(tree + LOGROTATE, "a", encoding="utf-8") as file:
                file.write("# Of the version before.\n")

        self.root.install(root.older(change))
        conf = self.root.path(CONF)
        mine = root.read(conf) + "--drain 1s\n"
        root.write(conf, mine)
        listener = self.root.path("/etc/portreeve/listeners.d/mine.yaml")
        root.write(listener, "name: mine\nspec:\n  where_to_listen: "
                   "{inet: {address: 127.0.0.1, port: 0}}\n"
                   "  handler: {echo: {}}\n")
        with StandIn(self.root) as manager:
            with manager.start() as daemon:
                self.create_echo("web")
                self.root.install(root.PACKAGE)
                # The one from before runs on.
                self.assertEqual(self.open_listeners(), ["mine", "web"])
                daemon.kill(signal.SIGKILL)
                daemon.wait()
            with manager.start() as daemon:
                self.assertEqual(self.open_listeners(), ["mine", "web"])
                self.assertEqual(daemon.stop(), 0)
        self.assertEqual(root.read(conf), mine)
        self.assertNotIn("version before",
                         root.read(self.root.path(LOGROTATE)))


class RemovalTest(InRoot):

    def test_removal_keeps_and_purge_takes_what_the_package_has_made(self):
        before = self.root.traces()
        self.root.install(root.PACKAGE)
        self.assertNotEqual(self.root.traces(), before)
        with StandIn(self.root) as manager, manager.start() as daemon:
            self.create_echo("web")
            self.assertEqual(daemon.stop(), 0)
        root.write(self.root.path("/var/log/portreeve/audit.log.1"), "{}\n")

        self.root.apt("remove", "portreeve")
        left = self.root.traces()
        for path in (CONF, "/var/lib/portreeve/portreeved.db"):
            self.assertIn(path, left)
        for path in ("/usr/bin/portreeved",
                     "/lib/systemd/system/portreeved.service"):
            self.assertNotIn(path, left)

        self.root.apt("purge", "portreeve")
        self.assertEqual(self.root.traces(), before)

    def test_purge_leaves_what_the_user_wrote(self):
        self.root.install(root.PACKAGE)
        mine = ["/etc/portreeve/listeners.d/mine.yaml",
                "/etc/portreeve/policy.textproto"]
        for path in mine:
            root.write(self.root.path(path), "# mine\n")
        self.root.apt("purge", "portreeve")
        self.assertEqual(self.root.traces(), sorted(
            ["/etc/portreeve", "/etc/portreeve/listeners.d", *mine]))


if __name__ == "__main__":
    unittest.main()
