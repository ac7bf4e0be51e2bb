"""The servers that are measured: how each is started and where it listens."""

import os
import subprocess
import tempfile

from processes import (Process, await_port, binary, free_port,
                       free_server_port)


# Everybody's, so that nobody has less to do because clients are kept away.
BACKLOG = 4096


class Portreeved(Process):
    """A daemon with one listener: an echo, or a forward if there is upstream."""

    binary = binary("server/portreeved")
    # What runs it, if it does not run by itself.
    runner = ()
    # More of its command line.
    flags = ()

    def __init__(self, cpu, upstream=None):
        command = [*self.runner, self.binary, "--control", "tcp:127.0.0.1:0",
                   *self.flags]
        # As many loops as CPUs is the default, but a peer has one in any case.
        if self.has_loops():
            command += ["--loops", "1"]
        super().__init__(command, cpu)
        self.control = self.line("portreeved: control tcp:")
        self.line("portreeved: ready")
        self.port = self.create(
            ["--forward", f"tcp:127.0.0.1:{upstream}"] if upstream
            else ["--echo"])

    def create(self, handler, name="bench"):
        """Makes a listener; its port."""
        created = subprocess.run(
            [binary("client/portreeve"), "--server", self.control, "create",
             name, "--listen", "tcp:127.0.0.1:0",
             "--max-pending-connections", str(BACKLOG), *handler],
            capture_output=True, text=True, check=False)
        if created.returncode != 0:
            self.fail(created.stderr)
        return int(created.stdout.rsplit(":", 1)[1])

    def has_loops(self):
        return "--loops" in subprocess.run(
            [self.binary, "--help"], capture_output=True, text=True,
            check=True).stdout


class Peer(Process):
    """One of bench/peers."""

    def __init__(self, name, cpu, upstream=None, port=0):
        command = [binary(f"bench/peers/{name}"), f"127.0.0.1:{port}"]
        if upstream:
            command.append(f"127.0.0.1:{upstream}")
        super().__init__(command, cpu)
        self.port = int(self.line("listening "))


class Upstream(Peer):
    """What proxies forward to."""

    def __init__(self, cpu):
        super().__init__("raw_echo", cpu, port=free_server_port())


class GrpcPeer(Process):
    """A gRPC server that does nothing but answer."""

    def __init__(self, cpu):
        super().__init__([binary("bench/grpc/grpc_peer")], cpu)
        self.control = f"127.0.0.1:{self.line('ready ')}"


class Haproxy(Process):
    """HAProxy with one thread; with `splice`, it always splices."""

    def __init__(self, cpu, upstream, splice=False, log=None):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "haproxy.cfg")
        options = "option splice-request\n    option splice-response"
        logging = f"log {log} local0\n    option tcplog"
        with open(path, "w", encoding="ascii") as config:
            config.write(f"""\
global
    nbthread 1
    maxconn 9000
    {"maxpipes 400" if splice else ""}
defaults
    mode tcp
    backlog {BACKLOG}
    maxconn 9000
    timeout connect 1h
    timeout client 1h
    timeout server 1h
    {options if splice else ""}
    {logging if log else ""}
listen bench
    bind 127.0.0.1:{self.port}
    server upstream 127.0.0.1:{upstream}
""")
        super().__init__(["/usr/sbin/haproxy", "-db", "-f", path], cpu)
        await_port(self, self.port)

    def stop(self):
        super().stop()
        self.folder.cleanup()


class HaproxySplice(Haproxy):
    def __init__(self, cpu, upstream):
        super().__init__(cpu, upstream, splice=True)


class LogReader(Process):
    """Stands for syslogd: writes what comes to a unix socket to a file."""

    PROGRAM = """
import os, socket, sys
reader = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
reader.bind(sys.argv[1] + "/socket")
print("ready", flush=True)
with open(sys.argv[1] + "/log", "wb") as log:
    while True:
        log.write(reader.recv(65536))
"""

    def __init__(self, cpu, folder):
        super().__init__(["/usr/bin/python3", "-c", self.PROGRAM, folder], cpu)
        self.line("ready")


class HaproxyLogged(Haproxy):
    """With a line for each connection, to syslogd; that one's time is its own.
    """

    def __init__(self, cpu, upstream):
        self.reader_folder = tempfile.TemporaryDirectory()
        self.reader = LogReader(cpu, self.reader_folder.name)
        super().__init__(cpu, upstream,
                         log=f"{self.reader_folder.name}/socket")

    def stop(self):
        super().stop()
        self.reader.stop()
        self.reader_folder.cleanup()


class PortreevedLogged(Portreeved):
    """With a line for each connection, in a file that it writes itself."""

    def __init__(self, cpu, upstream):
        self.log_folder = tempfile.TemporaryDirectory()
        self.flags = ("--access-log", f"{self.log_folder.name}/access.log")
        super().__init__(cpu, upstream)

    def stop(self):
        super().stop()
        self.log_folder.cleanup()


def nginx_config(folder, settings, servers):
    """The configuration of an nginx of one worker, in `folder`, that proxies as
    `servers` say."""
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""\
{user}
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
pid {folder}/pid;
worker_processes 1;
worker_rlimit_nofile {os.sysconf("SC_OPEN_MAX")};
{settings}
events {{
    worker_connections 19000;
}}
stream {{
    proxy_connect_timeout 1h;
    proxy_timeout 1h;
    proxy_half_close on;
{servers}
}}
"""


class Nginx(Process):
    """nginx's stream module with one worker."""

    def __init__(self, cpu, upstream):
        self.upstream = upstream
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "nginx.conf")
        self.write([self.port])
        super().__init__(["/usr/sbin/nginx", "-c", self.path], cpu)
        await_port(self, self.port)

    def write(self, ports):
        """The configuration, for the next start or reload."""
        listen = "\n        ".join(
            f"listen 127.0.0.1:{port} backlog={BACKLOG};" for port in ports)
        settings = "daemon off;\nerror_log stderr crit;"
        with open(self.path, "w", encoding="ascii") as config:
            config.write(nginx_config(self.folder.name, settings, f"""\
    server {{
        {listen}
        proxy_pass 127.0.0.1:{self.upstream};
    }}"""))

    def reload(self):
        # What the init scripts do.
        subprocess.run(["/usr/sbin/nginx", "-c", self.path, "-s", "reload"],
                       check=True, stderr=subprocess.DEVNULL)

    def stop(self):
        super().stop()
        self.folder.cleanup()


# By the names in the results.
ECHOES = {
    "portreeve": Portreeved,
    "raw": lambda cpu: Peer("raw_echo", cpu),
    "asio": lambda cpu: Peer("asio_echo", cpu),
}
FORWARDS = {
    "portreeve": Portreeved,
    "haproxy": Haproxy,
    "nginx": Nginx,
    "haproxy-splice": HaproxySplice,
    "raw": lambda cpu, upstream: Peer("raw_splice_proxy", cpu, upstream),
    "asio": lambda cpu, upstream: Peer("asio_proxy", cpu, upstream),
}

LOGGED = {
    "portreeve": PortreevedLogged,
    "haproxy": HaproxyLogged,
    "portreeve without a log": Portreeved,
    "haproxy without a log": Haproxy,
}

# Another build of the daemon, to be measured beside the one that is: its name
# in the results.
BEFORE = "before"


def add_before(path):
    """Has the daemon at `path` take part as BEFORE in every row that can."""

    class Before(Portreeved):
        binary = path

    ECHOES[BEFORE] = Before
    FORWARDS[BEFORE] = Before
