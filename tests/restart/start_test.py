"""What a start makes of the state: as a new user would try it, and as someone
who is unlucky."""

import errno
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import unittest

import grpc
from portreeve.v1 import daemon_pb2

from daemon import (CLOSED, DEADLINE, FAILED, LISTENING, PREFIX, Daemon, echo,
                    echoes, listening_ports, port_of, reason_of)

MOST_CLOSED = 1000  # Registry::kMaxClosed.
RETRIED_WITHIN = 30  # Seconds.
DATABASE = "portreeved.db"


class StartTest(unittest.TestCase):

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.state = f"{self.folder}/state"
        self.policy = f"{self.folder}/policy"

    def start(self, *arguments):
        daemon = self.begin(*arguments)
        daemon.wait_until_ready()
        return daemon, daemon.client()

    def begin(self, *arguments, folder=None):
        daemon = Daemon(folder or self.folder, *arguments)
        self.addCleanup(daemon.kill)
        return daemon

    def create(self, *ids):
        """And kills the daemon that has made them; gives them in this order."""
        daemon, client = self.start()
        made = [client.create(echo(listener_id)) for listener_id in ids]
        daemon.kill()
        return made

    def take(self, port):
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        return taken

    def events(self, client, kind, timeout=DEADLINE):
        """The events from the start on, until there is one of that kind."""
        seen = []
        for response in client.watch(1, timeout):
            seen.extend(response.events)
            if any(event.WhichOneof("kind") == kind for event in seen):
                return seen
        raise AssertionError(seen)

    def refused(self, *arguments, folder=None):
        """Gives the one line of a start that fails."""
        daemon = self.begin(*arguments, folder=folder)
        self.assertEqual(daemon.wait(), 1, daemon.errors)
        self.assertEqual(daemon.process.stdout.read(), "")
        self.assertEqual(len(daemon.errors), 1, daemon.errors)
        return daemon.errors[0]

    def write_policy(self, *addresses):
        with open(self.policy, "w") as file:
            cidrs = ", ".join(f"'{address}/32'" for address in addresses)
            file.write(f"listen {{ cidrs: [{cidrs}] }}\n")

    # As a new user would.

    def test_all_is_there_after_kill_9(self):
        daemon, client = self.start()
        self.assertIn(f"{PREFIX}state {self.state}: 0 listeners, 0 failed",
                      daemon.printed)
        first = client.daemon.GetDaemon(daemon_pb2.GetDaemonRequest())
        made = {c.name: c for c in (client.create(echo("web")),
                                    client.create(echo("mail")))}
        daemon.kill()

        daemon, client = self.start()
        self.assertIn(f"{PREFIX}state {self.state}: 2 listeners, 0 failed",
                      daemon.printed)
        found = client.all()
        self.assertEqual(set(found), set(made))
        for name, listener in found.items():
            self.assertEqual(listener.uid, made[name].uid)
            self.assertEqual(listener.spec, made[name].spec)
            self.assertEqual(listener.status.listening_on,
                             made[name].status.listening_on)
            self.assertEqual(listener.status.create_time,
                             made[name].status.create_time)
            self.assertEqual(listener.status.state, LISTENING)
            self.assertTrue(echoes(port_of(listener)))
        second = client.daemon.GetDaemon(daemon_pb2.GetDaemonRequest())
        self.assertEqual(second.daemon_id, first.daemon_id)
        self.assertNotEqual(second.instance_id, first.instance_id)
        events = self.events(client, "listener_restored")
        started = events[0].daemon_started
        self.assertEqual(events[0].revision, 1)
        self.assertEqual((started.restored, started.failed, started.clean),
                         (2, 0, False))
        self.assertEqual([e.WhichOneof("kind") for e in events[1:3]],
                         ["listener_restored"] * 2)
        # What is as it was is not written again.
        last = client.daemon.GetDaemon(daemon_pb2.GetDaemonRequest()).store
        self.assertFalse(last.HasField("last_commit_time"))

        self.assertEqual(daemon.end(), 0)
        daemon, client = self.start()
        events = self.events(client, "daemon_started")
        self.assertTrue(events[0].daemon_started.clean)
        self.assertEqual(set(client.all()), set(made))

    def test_a_unix_socket_whose_file_is_still_there(self):
        daemon, client = self.start()
        request = echo("local")
        path = f"{self.folder}/socket"
        request.spec.where_to_listen.unix_socket.path = path
        local = client.create(request)
        daemon.kill()
        self.assertTrue(os.path.exists(path))
        _, client = self.start()
        self.assertEqual(client.get(local.name).status.state, LISTENING)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(b"?")
            self.assertEqual(peer.recv(1), b"?")

    def test_a_port_that_is_taken(self):
        web, mail = self.create("web", "mail")
        taken = self.take(port_of(web))
        daemon, client = self.start()
        self.assertIn(f"{PREFIX}state {self.state}: 2 listeners, 1 failed",
                      daemon.printed)
        shown = client.get(web.name)
        self.assertEqual(shown, client.all()[web.name])
        self.assertEqual(shown.status.state, FAILED)
        self.assertEqual(shown.uid, web.uid)
        failure = shown.status.failure
        self.assertEqual(failure.reason, "ADDRESS_IN_USE")
        self.assertEqual(failure.error_number, errno.EADDRINUSE)
        self.assertTrue(failure.HasField("next_attempt_time"))
        self.assertTrue(echoes(port_of(mail)))
        events = self.events(client, "listener_failed")
        failed = [e.listener_failed.listener for e in events
                  if e.WhichOneof("kind") == "listener_failed"]
        self.assertEqual([f.name for f in failed], [web.name])
        self.assertEqual(failed[0].status.failure.reason, "ADDRESS_IN_USE")
        line = daemon.wait_for_error("cannot be opened")
        self.assertIn(web.name, line)
        self.assertIn(str(port_of(web)), line)

        taken.close()
        watch = client.watch(events[-1].revision + 1, RETRIED_WITHIN)
        event = next(watch).events[0]
        restored = event.listener_restored.listener
        self.assertEqual((restored.name, restored.uid, port_of(restored)),
                         (web.name, web.uid, port_of(web)))
        self.assertFalse(restored.status.HasField("failure"))
        self.assertTrue(echoes(port_of(web)))

    def test_outside_of_a_new_policy(self):
        self.write_policy("127.0.0.1", "127.0.0.2")
        daemon, client = self.start("--policy", self.policy)
        request = echo("web")
        request.spec.where_to_listen.inet.address = "127.0.0.2"
        web = client.create(request)
        mail = client.create(echo("mail"))
        daemon.kill()

        self.write_policy("127.0.0.1")
        daemon, client = self.start("--policy", self.policy)
        shown = client.get(web.name)
        self.assertEqual(shown.status.state, FAILED)
        self.assertEqual(shown.status.failure.reason, "OUTSIDE_POLICY")
        self.assertFalse(shown.status.failure.HasField("next_attempt_time"))
        self.assertEqual(listening_ports(), [port_of(mail)])
        # Nor when it is asked for again, under the same policy.
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_error("was read again")
        with self.assertRaises(grpc.RpcError) as refused:
            client.label(web.name, {"a": "b"})
        self.assertEqual(reason_of(refused.exception), "OUTSIDE_POLICY")
        self.assertEqual(listening_ports(), [port_of(mail)])

        watch = client.watch()
        self.write_policy("127.0.0.1", "127.0.0.2")
        daemon.signal(signal.SIGHUP)
        event = next(watch).events[0]
        restored = event.listener_restored.listener
        self.assertEqual((restored.name, restored.uid), (web.name, web.uid))
        self.assertEqual(listening_ports(),
                         sorted([port_of(web), port_of(mail)]))

    def test_require_listeners(self):
        web, mail = self.create("web", "mail")
        taken = self.take(port_of(mail))
        line = self.refused("--require-listeners")
        self.assertIn("--require-listeners: listeners/mail: ", line)
        self.assertIn("Address already in use", line)
        taken.close()
        _, client = self.start("--require-listeners")
        self.assertEqual({name: shown.uid
                          for name, shown in client.all().items()},
                         {web.name: web.uid, mail.name: mail.uid})

    def test_an_end_forgets_none_of_many(self):
        # The end of the daemon closes them all, and of those that are closed it
        # remembers only so many.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE,
                        (soft, hard))
        daemon, client = self.start()
        made = {}
        for i in range(MOST_CLOSED + 10):
            listener = client.create(echo(f"web{i}"))
            made[listener.name] = (listener.uid, port_of(listener), LISTENING)
        closed = client.create(echo("closed"))
        client.close(closed.name)
        made[closed.name] = (closed.uid, port_of(closed), CLOSED)
        self.assertEqual(daemon.end(), 0)
        _, client = self.start()
        self.assertEqual({name: (shown.uid, port_of(shown), shown.status.state)
                          for name, shown in client.all().items()}, made)

    # As someone who is unlucky.

    def second(self):
        """Gives the line of a second daemon with the same state."""
        folder = f"{self.folder}/second"
        os.makedirs(folder, exist_ok=True)
        if not os.path.islink(f"{folder}/state"):
            os.symlink(self.state, f"{folder}/state")
        return self.refused(folder=folder)

    def test_a_second_daemon(self):
        daemon, client = self.start()
        web = client.create(echo("web"))
        line = self.second()
        self.assertRegex(line, rf"state: .* is used by process {daemon.pid}$")
        self.assertTrue(echoes(port_of(web)))
        mail = client.create(echo("mail"))
        # One that stands still is there all the same, and answers later.
        daemon.signal(signal.SIGSTOP)
        late = client.listeners.CreateListener.future(echo("late"))
        self.assertIn(f"is used by process {daemon.pid}", self.second())
        daemon.signal(signal.SIGCONT)
        self.assertEqual(late.result(DEADLINE).name, "listeners/late")
        daemon.kill()
        _, client = self.start()
        self.assertEqual(set(client.all()),
                         {web.name, mail.name, "listeners/late"})

    def refused_file(self):
        line = self.refused()
        self.assertIn(f"state: {self.state}/{DATABASE}", line)
        return line

    def test_a_file_that_is_none_of_ours(self):
        self.create("web")
        path = f"{self.state}/{DATABASE}"
        shutil.rmtree(self.state)
        os.mkdir(self.state, 0o700)
        with open(path, "w") as file:
            file.write("This is no database, though it is long enough. " * 50)
        self.refused_file()
        with open(path, "w"):
            pass
        self.assertIn("it is empty", self.refused_file())
        os.remove(path)
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE addresses(name)")
        database.close()
        self.assertIn("it is no state of portreeved", self.refused_file())
        with open(path, "rb") as file:
            before = file.read()
        self.refused_file()
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_a_newer_version(self):
        self.create("web")
        with sqlite3.connect(f"{self.state}/{DATABASE}") as database:
            database.execute("PRAGMA user_version=1000")
        database.close()
        line = self.refused_file()
        self.assertRegex(line, r"written by \S+, which is newer \(schema 1000")

    def test_flipped_bytes(self):
        daemon, client = self.start()
        for i in range(20):
            client.create(echo(f"a{i}", request_id=f"r{i}"))
        made = {name: (shown.uid, port_of(shown))
                for name, shown in client.all().items()}
        self.assertEqual(daemon.end(), 0)
        path = f"{self.state}/{DATABASE}"
        self.assertEqual(sorted(os.listdir(self.state)), ["lock", DATABASE])
        with open(path, "rb") as file:
            whole = file.read()
        chosen = random.Random(14)
        refused = 0
        places = [chosen.randrange(len(whole)) for _ in range(25)]
        # One that is certain to be a record's.
        places.append(whole.index(b"127.0.0.1"))
        for place in places:
            damaged = bytearray(whole)
            damaged[place] ^= 1 << chosen.randrange(8)
            for name in os.listdir(self.state):
                os.remove(f"{self.state}/{name}")
            with open(path, "wb") as file:
                file.write(damaged)
            with Daemon(self.folder) as daemon:
                if f"{PREFIX}ready\n" not in daemon.process.stdout:
                    refused += 1
                    self.assertEqual(daemon.wait(), 1)
                    self.assertEqual(len(daemon.errors), 1, daemon.errors)
                    self.assertIn(f"state: {path}", daemon.errors[0])
                    continue
                with daemon.client() as client:
                    self.assertEqual(
                        {name: (shown.uid, port_of(shown))
                         for name, shown in client.all().items()}, made, place)
        self.assertGreater(refused, 0)

    def test_places_where_there_can_be_no_state(self):
        folder = f"{self.folder}/missing"
        os.mkdir(folder)
        os.symlink(f"{folder}/parent/state", f"{folder}/state")
        line = self.refused(folder=folder)
        self.assertIn("No such file or directory", line)
        os.remove(f"{folder}/state")
        with open(f"{folder}/state", "w"):
            pass
        self.assertIn("Not a directory", self.refused(folder=folder))
        os.remove(f"{folder}/state")
        os.mkdir(f"{folder}/state")
        os.chmod(f"{folder}/state", 0o777)
        self.assertIn("other users may write to it",
                      self.refused(folder=folder))

    def test_a_directory_that_is_read_only(self):
        self.create("web")
        subprocess.run(["mount", "--bind", self.state, self.state], check=True)
        self.addCleanup(subprocess.run, ["umount", self.state], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.state],
                       check=True)
        line = self.refused()
        self.assertIn("state: ", line)
        self.assertIn("Read-only file system", line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
