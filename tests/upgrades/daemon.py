"""A portreeved that is upgraded, and what it says."""

import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

from streams import TIMEOUT

PORTREEVED = os.environ["PORTREEVED"]
PORTREEVE = os.environ["PORTREEVE"]


class Daemon:

    def __init__(self, folder, *flags):
        self.folder = folder
        self.control = f"unix:{folder}/control"
        self.program = f"{folder}/portreeved"
        self._before = self.program
        self._num_programs = 0
        shutil.copy(PORTREEVED, self.program)
        self._said = queue.Queue()
        self.lines = []  # That nobody has waited for.
        self.process = subprocess.Popen(
            [self.program, "--control", self.control, *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.pids = [self.pid]
        for line in self.process.stdout:
            if line == "portreeved: ready\n":
                break
        else:
            raise AssertionError("it is not ready: " +
                                 self.process.stderr.read())
        for pipe in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self._read, args=(pipe,),
                             daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            self._said.put(line.rstrip("\n"))

    def has_said(self, *texts):
        """Gives the first line that has one of them, if there is one yet of
        those not given."""
        while not self._said.empty():
            self.lines.append(self._said.get())
        for line in self.lines:
            if any(text in line for text in texts):
                self.lines.remove(line)
                return line
        return None

    def next_program(self, script):
        """What the next upgrade starts: `script` is a shell's, in which
        $PROGRAM is the daemon's, that of the upgrade after that."""
        self._num_programs += 1
        path = f"{self.folder}/portreeved-{self._num_programs}"
        shutil.copy(PORTREEVED, path)
        self._put(f"PROGRAM={path}\n{script}\n")
        self._before, self.program = self.program, path

    def forget_program(self):
        """That upgrade has failed."""
        os.unlink(self.program)
        self.program = self._before

    def _put(self, script):
        with open(self.program + ".new", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)

    def ask_for_upgrade(self):
        os.kill(self.pid, signal.SIGUSR2)

    def note_upgrade(self, line):
        """Of the line by which it says that another process serves."""
        self.pid = int(line.split("upgrade: process ")[1].split()[0])
        self.pids.append(self.pid)

    def cli(self, loop, *words, status=0):
        """While the loop goes on."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with subprocess.Popen(
                    [PORTREEVE, "--server", self.control, "-o", "json",
                     *words], stdout=out, stderr=err) as process:
                loop.run_until(lambda: process.poll() is not None, words)
            err.seek(0)
            assert process.returncode == status, (words, err.read())
            out.seek(0)
            return json.loads(out.read() or b"null")

    def start_cli(self, *words, out=subprocess.DEVNULL):
        return subprocess.Popen(
            [PORTREEVE, "--server", self.control, "-o", "json", *words],
            stdout=out, stderr=subprocess.DEVNULL)

    def arguments(self):
        with open(f"/proc/{self.pid}/cmdline", encoding="utf-8") as file:
            return file.read().split("\0")

    def create(self, loop, name, listen, *flags):
        """Gives where it listens."""
        made = self.cli(loop, "create", name, "--listen", listen,
                        "--buffer-age-limit", "unlimited", *flags)
        where = made["status"]["listeningOn"]
        if "inet" in where:
            return (where["inet"]["address"], int(where["inet"]["port"]))
        return where["unixSocket"]["path"]

    def connections(self, loop, *listener):
        return self.cli(loop, "connections", *listener).get("connections", [])

    def status(self, loop, name):
        return self.cli(loop, "get", name)["status"]

    def descriptors(self):
        """What it has open, by number."""
        folder = f"/proc/{self.pid}/fd"
        found = {}
        for name in os.listdir(folder):
            try:
                found[int(name)] = os.readlink(f"{folder}/{name}")
            except FileNotFoundError:
                pass
        return found

    def sockets(self):
        """Their inodes."""
        return {link[len("socket:["):-1]
                for link in self.descriptors().values()
                if link.startswith("socket:[")}

    def children(self):
        """The processes that it has started."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit()
                and stat_of(int(name))[1:2] == [str(self.pid)]]

    def end(self, loop):
        os.kill(self.pid, signal.SIGTERM)
        loop.run_until(lambda: self.has_said(" info stopped"), "the end",
                       timeout=2 * TIMEOUT)

    def kill(self):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


def stat_of(pid):
    """Its state, its parent, and so on; nothing where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def tcp_inodes():
    """By (local, remote), of this namespace."""
    def endpoint(text):
        address, port = text.split(":")
        octets = bytes.fromhex(address)[::-1]
        return ".".join(map(str, octets)), int(port, 16)

    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in list(table)[1:]]
    return {(endpoint(row[1]), endpoint(row[2])): row[9] for row in rows}


def unix_inodes(path):
    """Of the connected sockets that a listener at `path` has accepted."""
    with open("/proc/net/unix", encoding="utf-8") as table:
        rows = [line.split() for line in list(table)[1:]]
    return {row[6] for row in rows
            if len(row) == 8 and row[7] == path and row[5] == "03"}
