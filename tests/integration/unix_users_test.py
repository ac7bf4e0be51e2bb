"""Who may reach a daemon by the file of its unix socket, and what they may do
there: users that the kernel tells apart."""

import grp
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import unittest

from service_manager import TIMEOUT, Daemon, listening

# No account of the machine has these numbers.
ANN, BOB, EVE = 59001, 59002, 59003
STAFF, OTHERS = 59100, 59200
# Exit statuses of both programs.
DONE, FAILED, WRONG_USAGE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 4


def rights_of(path):
    status = os.lstat(path)
    return stat.S_IMODE(status.st_mode), status.st_gid


@unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
class Users(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.chmod(self.folder, 0o755)
        # Others may not enter the folder in which it was built.
        self.portreeve = shutil.copy("client/portreeve", self.folder)
        self.path = f"{self.folder}/control"
        self.address = f"unix:{self.path}"

    def cli(self, user, *arguments, group=None, groups=()):
        """What the CLI says as that user: its exit status, and its text."""
        ran = subprocess.run(
            [self.portreeve, "--server", self.address, *arguments], text=True,
            capture_output=True, timeout=TIMEOUT, user=user,
            group=user if group is None else group, extra_groups=groups)
        return ran.returncode, ran.stdout + ran.stderr

    def status(self, *arguments, **who):
        return self.cli(*arguments, **who)[0]

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def control(self, query=""):
        return "--control", self.address + query

    def refused(self, *arguments, status=FAILED):
        """The line with which a start ends."""
        with Daemon(*arguments) as daemon:
            self.assertEqual(daemon.wait(), status)
            lines = [line for line in daemon.errors if line]
            self.assertEqual(len(lines), 1, lines)
            self.assertNotIn("portreeved: ready", daemon.lines)
            return lines[0]


class FileTest(Users):

    def test_the_group_may_connect_and_nobody_else(self):
        with Daemon(*self.control(f"?mode=0660&group={STAFF}")) as daemon:
            # The address is what is written before the question mark.
            self.assertEqual(daemon.until_ready().printed("control"),
                             [self.address])
            self.assertEqual(rights_of(self.path), (0o660, STAFF))
            self.assertEqual(self.status(ANN, "list", group=STAFF), DONE)
            self.assertEqual(self.status(ANN, "list", groups=(OTHERS, STAFF)),
                             DONE)
            self.assertEqual(self.status(0, "list"), DONE)
            for groups in (), (OTHERS,):
                status, text = self.cli(EVE, "list", groups=groups)
                self.assertEqual(status, UNREACHABLE)
                self.assertIn("this user may not open the socket", text)
            daemon.kill(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
        self.assertFalse(os.path.exists(self.path))

    def test_modes_and_groups(self):
        name = grp.getgrgid(0).gr_name
        other = grp.getgrall()[-1]
        for query, rights in (("", (0o600, os.getegid())),
                              ("?mode=0666", (0o666, os.getegid())),
                              ("?mode=000", (0, os.getegid())),
                              (f"?group={OTHERS}", (0o600, OTHERS)),
                              (f"?group={name}&mode=0620", (0o620, 0)),
                              (f"?group={other.gr_name}",
                               (0o600, other.gr_gid))):
            with self.subTest(query), Daemon(*self.control(query)) as daemon:
                daemon.until_ready()
                self.assertEqual(rights_of(self.path), rights)

    # The next daemon has another idea of who may connect.
    def test_the_file_of_a_killed_daemon_is_made_anew(self):
        for query, rights in (("?mode=0666", (0o666, os.getegid())),
                              (f"?mode=0640&group={STAFF}", (0o640, STAFF)),
                              ("", (0o600, os.getegid()))):
            with Daemon(*self.control(query)) as daemon:
                daemon.until_ready()
                self.assertEqual(rights_of(self.path), rights)
                daemon.kill(signal.SIGKILL)
                daemon.wait()
            self.assertTrue(os.path.exists(self.path))

    def test_a_link_in_its_place_is_not_followed(self):
        victim = self.write("victim", "secret")
        os.chmod(victim, 0o600)
        os.symlink(victim, self.path)
        line = self.refused(*self.control(f"?mode=0666&group={STAFF}"))
        self.assertIn(self.address, line)
        self.assertEqual(rights_of(victim), (0o600, os.getegid()))
        self.assertTrue(os.path.islink(self.path))

    def test_what_is_wrong_is_told(self):
        for query, key in (("?mode=0999", "mode"), ("?mode=01777", "mode"),
                           ("?mode=", "mode"), ("?group=", "group"),
                           ("?mode=0600&mode=0600", "mode"),
                           ("?user=root", '"user"')):
            self.assertTrue(
                self.refused(*self.control(query), status=WRONG_USAGE)
                .startswith(f'portreeved: --control "{self.address}{query}": '
                            f"{key}"), query)
        self.refused("--control", "tcp:127.0.0.1:0?mode=0600",
                     status=WRONG_USAGE)
        line = self.refused(*self.control("?group=no-such-group"))
        self.assertEqual(
            line, f'portreeved: --control "{self.address}": group: there is no '
            'group "no-such-group"')
        self.assertFalse(os.path.exists(self.path))

    def test_a_socket_that_is_given_keeps_what_it_has(self):
        given = listening(self.path, socket.AF_UNIX)
        self.addCleanup(given.close)
        os.chmod(self.path, 0o640)
        os.chown(self.path, 0, OTHERS)
        with Daemon(*self.control("?mode=0666&group=no-such-group"),
                    sockets=[("control", given)]) as daemon:
            self.assertEqual(daemon.until_ready().printed("control"),
                             [self.address])
            self.assertEqual(rights_of(self.path), (0o640, OTHERS))
            self.assertEqual(self.status(0, "list"), DONE)

    def test_the_daemon_never_connects_to_it(self):
        with Daemon(*self.control("?mode=0666")) as daemon:
            daemon.until_ready()
            status, text = self.cli(
                ANN, "create", "a", "--listen", "127.0.0.1:0", "--forward",
                self.address)
            self.assertEqual(status, REFUSED)
            self.assertIn("SELF_CONNECT", text)


class PolicyTest(Users):

    def policy(self, *identities):
        return self.write("policy", "".join(
            f'identities {{ name: "{name}" role: ROLE_{role} }}\n'
            for name, role in identities))

    def flags(self, policy, mode="0666"):
        return (*self.control(f"?mode={mode}"), "--policy", policy, "--audit",
                f"{self.folder}/audit")

    def role(self, user, **who):
        """What that user may do, in a word."""
        reads, changes = (
            self.cli(user, *call, **who) for call in
            (("list",), ("close", "no-such-listener")))
        if reads[0] == REFUSED:
            self.assertIn(f"unix:uid={user} has no role; ListListeners needs "
                          "the role viewer", reads[1])
            self.assertIn("ROLE_REQUIRED", changes[1])
            return None
        self.assertEqual(reads[0], DONE, reads[1])
        if "ROLE_REQUIRED" in changes[1]:
            return "viewer"
        self.assertIn("NOT_FOUND", changes[1])
        return "operator"

    def test_without_users_in_it_everybody_may_do_everything(self):
        policy = self.policy(("ann", "VIEWER"))
        with Daemon(*self.flags(policy)) as daemon:
            daemon.until_ready()
            daemon.until_logged("every user of this machine may command")
            self.assertEqual(self.role(ANN), "operator")
            self.assertEqual(self.role(0), "operator")

    def test_users_and_groups_have_their_roles(self):
        policy = self.policy((f"unix:{ANN}", "OPERATOR"),
                             (f"unix:@{STAFF}", "VIEWER"),
                             ("unix:root", "VIEWER"))
        with Daemon(*self.flags(policy)) as daemon:
            daemon.until_ready()
            self.assertEqual(self.role(ANN), "operator")
            self.assertEqual(self.role(ANN, group=STAFF), "operator")
            self.assertEqual(self.role(BOB), None)
            self.assertEqual(self.role(BOB, group=STAFF), "viewer")
            self.assertEqual(self.role(BOB, groups=(OTHERS, STAFF)), "viewer")
            self.assertEqual(self.role(EVE, groups=(OTHERS,)), None)
            self.assertEqual(self.role(0), "operator")
            daemon.kill(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
        with open(f"{self.folder}/audit", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        told = [(line["who"], line["result"]) for line in lines]
        self.assertEqual(
            told, [(f"unix:uid={ANN}", "NOT_FOUND")] * 2 +
            [(f"unix:uid={BOB}", "ROLE_REQUIRED")] * 3 +
            [(f"unix:uid={EVE}", "ROLE_REQUIRED"),
             ("unix:uid=0(root)", "NOT_FOUND")])

    # Also where the policy names the daemon's address of TCP by no word.
    def test_that_tcp_knows_no_users_is_warned_of(self):
        policy = self.policy((f"unix:{ANN}", "VIEWER"))
        with Daemon(*self.flags(policy), "--control",
                    "tcp:127.0.0.1:0") as daemon:
            daemon.until_ready()
            line = daemon.until_logged("known on unix sockets only")
            self.assertIn("control tcp:127.0.0.1:", str(line))

    def test_a_hangup_reads_it_again(self):
        policy = self.policy((f"unix:{ANN}", "VIEWER"))
        with Daemon(*self.flags(policy)) as daemon:
            daemon.until_ready()
            self.assertEqual((self.role(ANN), self.role(BOB)),
                             ("viewer", None))
            self.policy((f"unix:{BOB}", "VIEWER"))
            daemon.kill(signal.SIGHUP)
            daemon.until_logged("was read again")
            self.assertEqual((self.role(ANN), self.role(BOB)),
                             (None, "viewer"))
            # What is wrong changes nothing.
            self.policy((f"unix:{ANN}", "VIEWER"),
                        ("unix:no-such-user", "VIEWER"))
            daemon.kill(signal.SIGHUP)
            daemon.until_logged(
                f'--policy: {policy}:2:14: identities[1].name: '
                '"unix:no-such-user": there is no user "no-such-user"; the '
                "policy that was read before stays in force")
            self.assertEqual((self.role(ANN), self.role(BOB)),
                             (None, "viewer"))
            self.policy()
            daemon.kill(signal.SIGHUP)
            daemon.until_logged("names no users and groups any more")
            self.assertEqual(self.role(EVE), "operator")

    def test_a_name_that_is_nobodys_fails_the_start(self):
        for name in ("unix:no-such-user", "unix:@no-such-group", "unix:",
                     "unix:@", "unix:4294967295"):
            policy = self.policy((name, "VIEWER"))
            line = self.refused(*self.flags(policy))
            self.assertTrue(
                line.startswith(f"portreeved: --policy: {policy}:1:14: "
                                f'identities[0].name: "{name}": '), line)


class DefaultServerTest(Users):

    def in_namespace(self, command, **environment):
        """Runs it where /run/portreeve is the test's folder."""
        values = {key: value for key, value in os.environ.items()
                  if not key.startswith("PORTREEVE_")}
        values.update(environment, FOLDER=self.folder)
        return subprocess.run(
            ["unshare", "--mount", "sh", "-ec",
             "mount -t tmpfs none /run; mkdir /run/portreeve; "
             'mount --bind "$FOLDER" /run/portreeve; ' + command], text=True,
            capture_output=True, timeout=TIMEOUT, env=values)

    def test_it_is_the_socket_of_the_package_where_there_is_one(self):
        if self.in_namespace("true").returncode != 0:
            self.skipTest("mounts are not allowed here")
        call = "/run/portreeve/portreeve daemon -o json"
        with Daemon(*self.control()) as daemon:
            daemon.until_ready()
            told = self.in_namespace(call)
            self.assertEqual(told.returncode, DONE, told.stderr)
            self.assertEqual(json.loads(told.stdout)["pid"], str(daemon.pid))
            # Who says something else gets that.
            for command, environment in (
                    (call, {"PORTREEVE_SERVER": "unix:/run/none"}),
                    (call + " --server unix:/run/none", {})):
                told = self.in_namespace(command, **environment)
                self.assertEqual(told.returncode, UNREACHABLE)
                self.assertIn("unix:/run/none", told.stderr)


if __name__ == "__main__":
    unittest.main()
