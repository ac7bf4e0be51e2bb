"""The calls of the kernel that a daemon makes for its state, as strace(1) sees
them: an answer comes after the disk, and without a state there are none."""

import os
import re
import tempfile
import unittest

import grpc

from daemon import Daemon, echo, reason_of

TRACED = ("execve,openat,open,creat,mkdir,unlink,rename,fsync,fdatasync,"
          "sync_file_range,ftruncate,pwrite64,pwritev,sendmsg,sendto,write,"
          "writev")
CREATES = 30
SYNCS = ("fsync", "fdatasync", "sync_file_range")
CALL = re.compile(r"^(\d+) +([\d.]+) (?:<\.\.\. )?(\w+)(.*)$")


class Calls:
    """Of the threads of one process, in the order in which they began or, in
    two parts, ended."""

    def __init__(self, path):
        self.lines = []
        with open(path, errors="replace") as file:
            for line in file:
                found = CALL.match(line)
                if found:
                    thread, _, name, rest = found.groups()
                    self.lines.append((int(thread), name, rest))

    def named(self, *names):
        return [rest for _, name, rest in self.lines if name in names]


class CallsTest(unittest.TestCase):

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.trace = f"{self.folder}/trace"

    def traced(self, work, **options):
        """Gives the calls, and the threads' names while it worked."""
        with Daemon(self.folder, before=[
                "strace", "-D", "-f", "-ttt", "-s", "8192", "-y", "-o", self.trace,
                "-e", f"trace={TRACED}"], **options) as daemon:
            daemon.wait_until_ready()
            with daemon.client() as client:
                work(client)
            names = []
            for thread in os.listdir(f"/proc/{daemon.pid}/task"):
                with open(f"/proc/{daemon.pid}/task/{thread}/comm") as comm:
                    names.append(comm.read().strip())
            self.assertEqual(daemon.end(), 0, daemon.errors)
        return Calls(self.trace), names

    def change(self, client):
        for i in range(8):
            name = client.create(echo(f"web{i}", request_id=f"r{i}")).name
            client.label(name, {"marker": f"updated{i}"})
            client.close(name)
            client.delete(name)

    def test_without_a_state_there_is_none(self):
        calls, names = self.traced(self.change, state=False)
        self.assertGreater(len(calls.named("sendmsg")), 30)
        self.assertNotIn("state", names)
        self.assertEqual(calls.named(*SYNCS, "ftruncate", "pwrite64", "pwritev",
                                     "mkdir", "rename"), [])
        opened = [line for line in calls.named("openat", "open", "creat")
                  if "O_WRONLY" in line or "O_RDWR" in line
                  or "O_CREAT" in line]
        # Names of threads, and stderr.
        self.assertEqual([line for line in opened if "/proc/self/" not in line
                          and "/dev/null" not in line], [])

    def test_an_answer_comes_after_the_disk(self):
        made = []

        def work(client):
            self.change(client)
            made.append(client.create(echo("last")))

        calls, names = self.traced(work)
        self.assertIn("state", names)
        # Of each change: what it writes to the WAL, a sync of the WAL, and its
        # answer, with nothing of the answer before that.
        for marker in [made[0].uid, *(f"updated{i}" for i in range(8))]:
            self.ordered(calls, marker)

    def test_a_sync_that_fails(self):
        made, refused = {}, 0
        with Daemon(self.folder) as daemon:  # It makes the file.
            daemon.wait_until_ready()
        with Daemon(self.folder, before=[
                "strace", "-D", "-f", "-o", self.trace, "-e", "trace=fdatasync",
                "-e", "inject=fdatasync:error=EIO:when=7"]) as daemon:
            daemon.wait_until_ready()
            client = daemon.client()
            for i in range(CREATES):
                try:
                    listener = client.create(echo(f"web{i}"))
                    made[listener.name] = listener.uid
                except grpc.RpcError as error:
                    self.assertEqual(reason_of(error), "STATE_UNAVAILABLE")
                    refused += 1
            # It was written anew at once.
            self.assertEqual((len(made), refused), (CREATES - 1, 1))
            self.assertEqual({name: shown.uid
                              for name, shown in client.all().items()}, made)
        with Daemon(self.folder) as daemon:
            client = daemon.wait_until_ready().client()
            self.assertEqual({name: shown.uid
                              for name, shown in client.all().items()}, made)

    def ordered(self, calls, marker):
        recorded = synced = False
        for _, name, rest in calls.lines:
            # A call of which others come in the midst has two lines: of a
            # write the first has the bytes, and a sync is done by the last.
            has = marker in rest
            if name in ("pwrite64", "pwritev") and "-wal>" in rest:
                recorded = recorded or has
            elif name in SYNCS and rest.endswith("= 0") and recorded:
                synced = True
            elif name in ("sendmsg", "sendto", "write", "writev") and has:
                self.assertTrue(recorded and synced, f"{marker}: {rest}")
                return
        self.fail(f"{marker}: recorded {recorded}, synced {synced}, and no "
                  "answer")


if __name__ == "__main__":
    unittest.main(verbosity=2)
