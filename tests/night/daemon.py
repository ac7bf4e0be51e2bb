"""A portreeved whose descriptors, files, memory and stderr the night holds."""

import array
import errno
import fcntl
import os
import re
import resource
import signal
import subprocess
import termios
import threading
import time

import grpc

PREFIX = "portreeved: "
DROPPED = re.compile(
    r" warning (\d+) lines? (?:was|were) dropped here: stderr did not take")
# What bounds the memory of the TCP sockets of a cgroup, and how much it is.
SOCKET_MEMORY = "memory.kmem.tcp.limit_in_bytes"
SOCKET_MEMORY_USED = "memory.kmem.tcp.usage_in_bytes"
# A file of the policy whose name alone makes lines of the log long: what
# the daemon keeps of them while nobody reads stderr shall be full soon.
LONG_NAME = "/".join(["policy" + "." * 200] * 15)

# Of descriptors: so few that those which are not given back are missed.
MOST_DESCRIPTORS = 256
# Asks heap_probe.cc for an answer, and within how many seconds it is there.
ASK_HEAP = signal.SIGRTMIN + 3
HEAP_ANSWERS = 20
# What threads keep of freed memory for themselves counts as used: nothing.
NO_CACHES = "glibc.malloc.tcache_count=0"

WIDE = "127.0.0.0/8"
NARROW = "127.0.0.1/32"


def _cgroup():
    """A new cgroup below this process's own one; None where there is none."""
    with open("/proc/self/cgroup") as groups:
        for line in groups:
            _, controllers, path = line.strip().split(":", 2)
            if controllers == "memory":
                folder = f"/sys/fs/cgroup/memory{path}/night-{os.getpid()}"
                try:
                    os.mkdir(folder)
                except OSError as error:
                    print(f"night: no cgroup of its own: {error}")
                    return None
                if os.path.exists(f"{folder}/{SOCKET_MEMORY}"):
                    # Only sockets that come after the first word about it
                    # are counted.
                    with open(f"{folder}/{SOCKET_MEMORY}", "w") as file:
                        file.write("-1")
                    return folder
                os.rmdir(folder)
    return None


class Daemon:
    """Killed at the end.  `folder` is empty; `binary` the program.

    `probe` is the library of heap_probe.cc.
    """

    def __init__(self, binary, probe, folder):
        self.folder = folder
        self.cgroup = _cgroup()
        self.policy = f"{folder}/{LONG_NAME}/policy"
        self.disk = f"{folder}/disk"
        self.audit = f"{self.disk}/audit.log"
        self._heap = f"{folder}/heap"
        self.lines = []  # Of stderr, but for those of _hups.
        self.rereads = 0
        self.dropped = 0
        self._flow = threading.Event()
        os.makedirs(os.path.dirname(self.policy))
        os.mkdir(self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "night",
                        self.disk], check=True)
        self.write_policy(WIDE)
        self._stderr, stderr = os.pipe()
        self.process = subprocess.Popen(
            [binary, "--control", "tcp:127.0.0.1:0", "--control",
             f"unix:{folder}/control", "--policy", self.policy, "--audit",
             self.audit, "--drain", "1s"],
            stdout=subprocess.PIPE, stderr=stderr, text=True,
            env=dict(os.environ, LD_PRELOAD=probe, NIGHT_HEAP=self._heap,
                     GLIBC_TUNABLES=NO_CACHES),
            preexec_fn=self._confine)
        os.close(stderr)
        self.pid = self.process.pid
        self._flow.set()
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        self.tcp = None
        self.unix = f"unix:{folder}/control"
        for line in self.process.stdout:
            if line.startswith(PREFIX + "control tcp:"):
                self.tcp = line[len(PREFIX + "control tcp:"):].strip()
            if line == PREFIX + "ready\n":
                break
        else:
            raise RuntimeError(f"ended before it was ready: {self.lines}")
        self._limits = {
            what: resource.prlimit(self.pid, what)
            for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)}

    def _confine(self):
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (MOST_DESCRIPTORS, MOST_DESCRIPTORS))
        if self.cgroup:
            with open(f"{self.cgroup}/cgroup.procs", "w") as processes:
                processes.write(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.read_stderr()
        self._reader.join()
        os.close(self._stderr)
        if self.cgroup:
            os.rmdir(self.cgroup)
        subprocess.run(["umount", self.disk], check=True)

    def alive(self):
        return self.process.poll() is None

    def end(self):
        """By SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def channel(self, target, options=()):
        """With a connection of its own."""
        return grpc.insecure_channel(
            target,
            options=[("grpc.use_local_subchannel_pool", 1), *options])

    def write_policy(self, listen, broken=False):
        """Whole at once; in force after the next SIGHUP."""
        with open(self.policy + ".new", "w") as file:
            file.write(f"listen {{ cidrs: '{listen}' }}\n"
                       f"unix_directories: '{self.folder}'\n")
            if broken:
                file.write("listen { cidrs: 'nonsense' }\n")
        os.rename(self.policy + ".new", self.policy)

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    # What is open, and the limit.

    def descriptors(self):
        """What each of them is, without its number."""
        kinds = []
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                link = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except FileNotFoundError:
                continue
            kinds.append(re.sub(r"\d+", "N", link.replace(self.folder, "")))
        return sorted(kinds)

    def sockets(self):
        """As ss(8) shows them."""
        shown = subprocess.run(["ss", "--no-header", "-apntxo"],
                               stdout=subprocess.PIPE, text=True, check=True)
        return "\n".join(line for line in shown.stdout.splitlines()
                         if f"pid={self.pid}," in line)

    def _limit(self, what, number):
        """None: as before."""
        soft, hard = self._limits[what]
        resource.prlimit(self.pid, what,
                         (soft if number is None else number, hard))

    def limit_descriptors(self, number):
        self._limit(resource.RLIMIT_NOFILE, number)

    def limit_address_space(self, more):
        """To so many bytes more than it has; None: as before."""
        self._limit(resource.RLIMIT_AS, None if more is None
                    else self.address_space() + more)

    def limit_socket_memory(self, more):
        """To so many bytes more than there are; None: as before."""
        used = 0
        while True:
            if more is not None:
                used, _ = self.socket_memory()
            try:
                with open(f"{self.cgroup}/{SOCKET_MEMORY}", "w") as file:
                    file.write("-1" if more is None else str(used + more))
                return
            except OSError as error:
                if error.errno != errno.EBUSY:  # It has become more.
                    raise

    def socket_memory(self):
        """Bytes: those in use, and the limit."""
        found = []
        for name in (SOCKET_MEMORY_USED, SOCKET_MEMORY):
            with open(f"{self.cgroup}/{name}") as file:
                found.append(int(file.read()))
        return tuple(found)

    def _status(self, name):
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(f"{name}:"):
                    return int(line.split()[1])
        raise RuntimeError(f"no {name}")

    def address_space(self):
        return self._status("VmSize") * 1024

    def resident_bytes(self):
        """But for those of files, which come and go as they are used."""
        return self._status("RssAnon") * 1024

    def num_threads(self):
        return self._status("Threads")

    def heap_bytes(self):
        """In use; what is not was given back to the system just now."""
        os.kill(self.pid, ASK_HEAP)
        deadline = time.monotonic() + HEAP_ANSWERS
        while not os.path.exists(self._heap):
            if time.monotonic() > deadline:
                raise AssertionError("the heap does not answer")
            time.sleep(0.002)
        with open(self._heap) as file:
            size = int(file.read())
        os.remove(self._heap)
        return size

    # stderr.

    def disk_errors(self):
        """How often it said that a disk is full."""
        return sum("No space left" in line for line in self.lines)

    def leave_stderr(self):
        """Nobody reads it any more, but what is being read now."""
        self._flow.clear()

    def read_stderr(self):
        self._flow.set()

    def unread_bytes(self):
        """Of stderr: what the daemon has written, and nobody has read yet."""
        size = array.array("i", [0])
        fcntl.ioctl(self._stderr, termios.FIONREAD, size)
        return size[0]

    def _read_stderr(self):
        rest = b""
        while True:
            self._flow.wait()
            data = os.read(self._stderr, 65536)
            if not data:
                if rest:
                    self.lines.append(f"torn at the end: {rest!r}")
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line.decode())

    def _take(self, line):
        dropped = DROPPED.search(line)
        if dropped:
            self.dropped += int(dropped[1])
        elif line.endswith(f" info --policy: {self.policy} was read again"):
            self.rereads += 1
        else:
            self.lines.append(line)
