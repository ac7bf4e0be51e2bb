"""What the proxies that are upgraded forward to, each with a `port`."""

import getpass
import hashlib
import os
import random
import subprocess
import tempfile

from processes import Process, await_port, free_server_port
from servers import Upstream

SIZE = 1 << 30
MIB = 1 << 20


class Echo(Upstream):
    """The raw echo."""


class File:
    """1 GiB, no MiB of which is like another, and its sum."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.size = SIZE
        noise = random.Random(7).randbytes(MIB - 8)
        digest = hashlib.sha256()
        with open(os.path.join(self.folder.name, "file"), "wb") as file:
            for number in range(SIZE // MIB):
                block = number.to_bytes(8, "big") + noise
                digest.update(block)
                file.write(block)
        with open(os.path.join(self.folder.name, "small"), "wb") as file:
            file.write(noise[:1024])
        self.sha256 = digest.hexdigest()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


class Web(Process):
    """nginx as a server of files: `/small`, of 1 KiB, and `/file`."""

    def __init__(self, cpu, root):
        self.port = free_server_port()
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "\n    ".join(
            f"{kind}_temp_path {self.folder.name}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(path, "w", encoding="ascii") as config:
            config.write(f"""\
{user}
daemon off;
pid {self.folder.name}/pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile {os.sysconf("SC_OPEN_MAX")};
events {{
    worker_connections 19000;
}}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    {temporary}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        root {root};
    }}
}}
""")
        super().__init__(["/usr/sbin/nginx", "-c", path], cpu)
        await_port(self, self.port)

    def stop(self):
        super().stop()
        self.folder.cleanup()


class Iperf(Process):

    def __init__(self, cpu):
        self.port = free_server_port()
        # A connection that only looks whether it listens would be its client.
        super().__init__(["/usr/bin/iperf3", "-s", "-B", "127.0.0.1", "-p",
                          self.port, "--forceflush"], cpu)
        self.line("Server listening")


class Redis(Process):

    def __init__(self, cpu):
        self.port = free_server_port()
        self.folder = tempfile.TemporaryDirectory()
        super().__init__(
            ["/usr/bin/redis-server", "--port", self.port, "--bind",
             "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
             self.folder.name], cpu)
        await_port(self, self.port)

    def stop(self):
        super().stop()
        self.folder.cleanup()


class Ssh(Process):
    """sshd, with keys of its own."""

    # Where root's sshd looks for an empty folder.
    EMPTY = "/run/sshd"

    def __init__(self, cpu):
        self.port = free_server_port()
        self.folder = tempfile.TemporaryDirectory()
        if os.geteuid() == 0:
            os.makedirs(self.EMPTY, mode=0o755, exist_ok=True)
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            self._path(name)], check=True)
        with open(self._path("config"), "w", encoding="ascii") as config:
            config.write(f"""\
ListenAddress 127.0.0.1:{self.port}
HostKey {self._path("host")}
AuthorizedKeysFile {self._path("key.pub")}
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
MaxStartups 1000
""")
        super().__init__(["/usr/sbin/sshd", "-D", "-e", "-f",
                          self._path("config")], cpu)
        await_port(self, self.port)

    def _path(self, name):
        return os.path.join(self.folder.name, name)

    def session(self, port, command):
        """What runs `command` there, through `port`."""
        return ["ssh", "-F", "none", "-p", str(port), "-i", self._path("key"),
                "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o",
                "BatchMode=yes", f"{getpass.getuser()}@127.0.0.1", command]

    def stop(self):
        super().stop()
        self.folder.cleanup()
