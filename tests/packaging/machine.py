"""A root that a real systemd has booted, in a container of systemd-nspawn with
nothing but loopback for a network."""

import os
import subprocess

from root import ENVIRONMENT, fresh_folder, run
from service_manager import NotifySocket

BOOT_TIMEOUT = 120


class Machine:

    def __init__(self, root):
        self.root = root
        # Not an abstract one: it is looked for in the container's network.
        self._notify = NotifySocket(f"{fresh_folder()}/notify")
        self._process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", "--register=no",
             "--keep-unit", "--private-network", "--notify-ready=yes",
             f"--machine=portreeve-{os.getpid()}",
             f"--directory={root.folder}"],
            env={**os.environ, "NOTIFY_SOCKET": self._notify.name},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.leader = None
        ready = False
        while not ready:
            message = self._notify.take(BOOT_TIMEOUT)
            assert message is not None, "systemd does not boot"
            self.leader = message.get("X_NSPAWN_LEADER_PID", self.leader)
            ready = message.get("READY") == "1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()  # It shuts the container down.
        self._process.wait()
        self._notify.socket.close()

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

    def journal(self):
        return self.run("journalctl", "--no-pager", "--unit=portreeved")
