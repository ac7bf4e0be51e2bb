"""A root that a real systemd has booted, in a container of systemd-nspawn with
nothing but loopback for a network."""

import os
import socket
import subprocess
import time

from root import ENVIRONMENT, run

BOOT_TIMEOUT = 120
UNTIL_TIMEOUT = 60


class Machine:

    def __init__(self, root):
        self.root = root
        name = f"portreeve-{os.getpid()}"
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(f"\0{name}")
        notify.settimeout(BOOT_TIMEOUT)
        self._process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", "--register=no",
             "--keep-unit", "--private-network", "--notify-ready=yes",
             f"--machine={name}", f"--directory={root.folder}"],
            env={**os.environ, "NOTIFY_SOCKET": f"@{name}"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self.leader = self._until_booted(notify)
        except BaseException:
            self.__exit__()
            raise
        finally:
            notify.close()

    @staticmethod
    def _until_booted(notify):
        """Gives the container's first process."""
        said = []
        while "READY=1" not in said:
            said += notify.recv(4096).decode().splitlines()
        (leader,) = {line.split("=")[1] for line in said
                     if line.startswith("X_NSPAWN_LEADER_PID=")}
        return leader

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()  # It shuts the container down.
        self._process.wait()

    def enter(self, *words):
        """Gives the words of a command that runs `words` in here."""
        return ("nsenter", f"--target={self.leader}", "--mount", "--uts",
                "--ipc", "--net", "--pid", "--cgroup", *words)

    def run(self, *words):
        return run(*self.enter(*words), env=ENVIRONMENT)

    def with_network(self, *words):
        """The same, but with the files of this machine."""
        return ("nsenter", f"--target={self.leader}", "--net", *words)

    def show(self, unit, what):
        return self.run("systemctl", "show", "--value", f"--property={what}",
                        unit).strip()

    def until(self, shown, wanted):
        """What `shown` gives is `wanted`, soon; it tells nobody when."""
        deadline = time.monotonic() + UNTIL_TIMEOUT
        while (found := shown()) != wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"it is {found}, not {wanted}")

    def journal(self):
        return self.run("journalctl", "--no-pager", "--unit=portreeved")
