"""What systemd does for portreeved's units, as far as the daemon sees it, in a
chroot where there is none: folders, sockets, the user, and what it keeps."""

import os
import re
import shlex
import shutil
import socket

import service_manager
from root import read

UNITS = "/lib/systemd/system"


class Unit:
    """The settings of a file of systemd's."""

    def __init__(self, path):
        self._all = re.findall(r"^(\w+)=(.*)$", read(path), re.MULTILINE)

    def __getitem__(self, name):
        (value,) = [value for key, value in self._all if key == name]
        return value


class StandIn:
    """For the daemon of one root."""

    def __init__(self, root):
        self.root = root
        self.service = Unit(root.path(f"{UNITS}/portreeved.service"))
        self.uid, self.gid = root.numbers(self.service["User"])
        # An abstract name is the same in the chroot.
        name = f"portreeve-{os.getpid()}"
        self.store = service_manager.DescriptorStore(f"\0{name}")
        self.store.name = f"@{name}"
        self.control = self._control_socket()
        self.starts = 0
        for kind, parent in (("State", "/var/lib"), ("Logs", "/var/log"),
                             ("Runtime", "/run")):
            self._make_folder(f"{parent}/{self.service[kind + 'Directory']}",
                              int(self.service[kind + "DirectoryMode"], 8))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.store.__exit__()
        self.control.close()

    def start(self):
        """Gives the daemon, which is ready."""
        words = shlex.split(self.service["ExecStart"])
        capability = self.service["AmbientCapabilities"].lower()[len("cap_"):]
        setpriv = [
            "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}",
            "--init-groups", "--no-new-privs"] + [
                f"--{of}=-all,+{capability}"
                for of in ("inh-caps", "ambient-caps", "bounding-set")]
        umask = ["sh", "-c", f'umask {self.service["UMask"]}; exec "$@"', "sh"]
        # Each replaces itself by the next, so that the process stays the same.
        program, *arguments = self.root.inside(*setpriv, *umask, *words)
        service_manager.PORTREEVED = shutil.which(program)
        daemon = service_manager.Daemon(
            *arguments,
            sockets=[("control", self.control), *self.store.sockets()],
            NOTIFY_SOCKET=self.store.name)
        self.starts += 1
        try:
            daemon.until_ready()
            self.store.until(lambda _: self.starts == sum(
                "READY" in message for message in self.store.messages))
        except BaseException:
            daemon.__exit__()
            raise
        return daemon

    def _make_folder(self, path, mode):
        os.makedirs(self.root.path(path), exist_ok=True)
        os.chmod(self.root.path(path), mode)
        os.chown(self.root.path(path), self.uid, self.gid)

    def _control_socket(self):
        unit = Unit(self.root.path(f"{UNITS}/portreeved.socket"))
        assert unit["FileDescriptorName"] == "control"
        path = unit["ListenStream"]
        made = socket.socket(socket.AF_UNIX)
        child = os.fork()  # The kernel keeps the path as it was bound to.
        if child == 0:
            try:
                os.chroot(self.root.folder)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                made.bind(path)
                made.listen(int(unit["Backlog"]))
                os.chmod(path, int(unit["SocketMode"], 8))
                os.chown(path, self.uid, self.gid)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"bind {path}"
        return made
