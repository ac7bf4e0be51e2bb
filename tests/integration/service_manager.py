"""What systemd does for a service, as far as portreeved sees it: sockets that
it passes, and a socket for what the service has to tell."""

import fcntl
import os
import select
import signal
import socket
import threading

PORTREEVED = "server/portreeved"
TIMEOUT = 30
FIRST = 3  # The number of the first descriptor that is passed.
OURS = ("LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC",
        "WATCHDOG_PID")
CLOSED = None  # Passed in the place of a descriptor.
SERVED = b"?"  # What an echo server is asked.


def listening(address, family=socket.AF_INET, backlog=4096):
    """A socket as systemd makes it: blocking, and listening."""
    made = socket.socket(family, socket.SOCK_STREAM)
    if family != socket.AF_UNIX:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    made.listen(backlog)
    return made


def inode_of(sock):
    return os.fstat(sock.fileno()).st_ino


def text_of(address):
    """An address as portreeved writes it."""
    return f"tcp:{address[0]}:{address[1]}" if isinstance(
        address, tuple) else f"unix:{address}"


def is_echoed(client):
    with client:
        client.sendall(SERVED)
        return client.recv(1) == SERVED


class NotifySocket:
    """NOTIFY_SOCKET, and what comes there: a dict for each message."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(TIMEOUT)
        self.name = address.replace("\0", "@")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, timeout=TIMEOUT):
        """The next message; None if there is none in time."""
        self.socket.settimeout(timeout)
        try:
            text = self.socket.recv(4096).decode()
        except (TimeoutError, BlockingIOError):
            return None
        return dict(line.split("=", 1) for line in text.split("\n"))


class DescriptorStore:
    """The part of a service manager that keeps descriptors for a service."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.name = address
        self.answers_barriers = True
        self.reads = threading.Event()
        self.reads.set()
        self.kept = {}  # Sockets, by name.
        self.messages = []
        self.barriers = []  # That are not answered.
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(TIMEOUT)
        self.socket.close()
        for name in list(self.kept):
            self._remove(name)
        for fd in self.barriers:
            os.close(fd)

    def sockets(self):
        """What a Daemon is started with."""
        with self._changed:
            return [(name, sock) for name, sockets in self.kept.items()
                    for sock in sockets]

    def until(self, condition):
        """Waits until condition(names of what is kept) holds."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: condition(set(self.kept)), TIMEOUT), self.messages

    def _read(self):
        while True:
            self.reads.wait()
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
            for fd in fds:  # A daemon that is started gets what it is given.
                os.set_inheritable(fd, False)
            if not data:
                return
            message = dict(line.split("=", 1)
                           for line in data.decode().split("\n"))
            with self._changed:
                self.messages.append(message)
                self._take(message, fds)
                self._changed.notify_all()

    def _take(self, message, fds):
        if "FDSTORE" in message:
            assert message["FDPOLL"] == "0", message
            known = {inode_of(sock) for sock in self.kept.get(
                message["FDNAME"], [])}
            for fd in fds:
                sock = socket.socket(fileno=fd)
                if inode_of(sock) in known:
                    sock.close()
                else:
                    self.kept.setdefault(message["FDNAME"], []).append(sock)
        elif "FDSTOREREMOVE" in message:
            self._remove(message["FDNAME"])
        elif "BARRIER" in message and not self.answers_barriers:
            self.barriers += fds
        else:
            for fd in fds:
                os.close(fd)

    def _remove(self, name):
        for sock in self.kept.pop(name, []):
            sock.close()


class Daemon:
    """A portreeved that was started with sockets, [(name, socket)]."""

    def __init__(self, *arguments, sockets=(), pid=None, **environment):
        self.lines = []
        self.errors = []
        self.status = None
        out, out_end = os.pipe()
        error, error_end = os.pipe()
        # Out of the way of the numbers at which they are passed.
        copies = [s if s is CLOSED else
                  fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 200)
                  for _, s in sockets]
        values = dict(environment)
        if sockets:
            values.setdefault("LISTEN_FDS", str(len(sockets)))
            values.setdefault("LISTEN_FDNAMES",
                              ":".join(name for name, _ in sockets))
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(out_end, 1)
                os.dup2(error_end, 2)
                for i, copy in enumerate(copies):
                    if copy is CLOSED:
                        os.closerange(FIRST + i, FIRST + i + 1)
                    else:
                        os.dup2(copy, FIRST + i)
                os.closerange(200, 200 + len(copies))
                values["LISTEN_PID"] = str(pid or os.getpid())
                for name in OURS:  # Whoever runs the test may have some.
                    os.environ.pop(name, None)
                os.environ.update(values)
                os.execv(PORTREEVED, [PORTREEVED, *arguments])
            finally:
                os._exit(99)
        for fd in (out_end, error_end, *(c for c in copies if c is not CLOSED)):
            os.close(fd)
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((out, self.lines), (error, self.errors))]
        for reader in self._readers:
            reader.start()

    def _read(self, fd, lines):
        with os.fdopen(fd) as pipe:
            for line in pipe:
                with self._changed:
                    lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            lines.append(None)
            self._changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            self.kill(signal.SIGKILL)
            self.wait()

    def until_ready(self):
        """Gives what it has printed."""
        self._until(self.lines, "portreeved: ready")
        return self

    def printed(self, prefix):
        prefix = f"portreeved: {prefix} "
        return [line[len(prefix):] for line in self.lines
                if line and line.startswith(prefix)]

    def until_logged(self, text):
        return self._until(self.errors, text)

    def _until(self, lines, text):
        found = []

        def has_come():
            found[:] = [line for line in lines if line and text in line]
            return found or None in lines

        with self._changed:
            assert self._changed.wait_for(has_come, TIMEOUT), (text, lines)
        assert found, (text, self.lines, self.errors)
        return found[0]

    def kill(self, number):
        os.kill(self.pid, number)

    def wait(self):
        """Gives the exit status; -N for signal N."""
        pid = os.pidfd_open(self.pid)
        ended, _, _ = select.select([pid], [], [], TIMEOUT)
        os.close(pid)
        assert ended, "it does not end"
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        for reader in self._readers:
            reader.join(TIMEOUT)
        return self.status

    def stop(self):
        self.kill(signal.SIGTERM)
        return self.wait()

    def inodes(self):
        """Of the sockets that it has, by the number of the descriptor."""
        found = {}
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                found[int(fd)] = int(target[8:-1])
        return found


class Clients:
    """Those of an echo server, one after the other; connect() gives each its
    connection."""

    WANTED = 1000
    BETWEEN_KILLS = 100

    def __init__(self, connect):
        self._connect = connect
        self._outcomes = []
        self._changed = threading.Condition()
        threading.Thread(target=self._come, daemon=True).start()

    def _come(self):
        for _ in range(self.WANTED):
            outcome = self._outcome()
            with self._changed:
                self._outcomes.append(outcome)
                self._changed.notify()

    def _outcome(self):
        try:
            client = self._connect()
        except OSError as error:
            return f"refused: {error}"
        try:
            return "served" if is_echoed(client) else "ended"
        except ConnectionError:
            return "ended"  # It was accepted, and then came the SIGKILL.
        except OSError as error:
            return f"not served: {error}"

    def expect_none_is_refused_over_kill_9(self, daemon, start):
        """Kills `daemon` and each that start() gives in its place, which are
        ready, while they come."""
        kills = 0
        come = 0
        while come < self.WANTED:
            enough = min(self.WANTED, come + self.BETWEEN_KILLS)
            with self._changed:
                assert self._changed.wait_for(
                    lambda enough=enough: len(self._outcomes) >= enough,
                    TIMEOUT), self._outcomes[-1:]
                come = len(self._outcomes)
            daemon.kill(signal.SIGKILL)
            daemon.wait()
            kills += 1
            daemon = start()
        others = set(self._outcomes) - {"served", "ended"}
        assert not others, others
        assert kills > 3, kills
        # A kill ends only who was accepted, and there is one at a time.
        ended = self._outcomes.count("ended")
        assert ended <= kills, (ended, kills)
