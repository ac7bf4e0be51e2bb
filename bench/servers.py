"""The servers that are measured: how each is started and where it listens."""

import os
import signal
import socket
import subprocess
import tempfile
import time

from machine import cpu_ns, family

# The folder that holds the programs by their Bazel names, such as bench/load:
# Bazel's runfiles, or what was built last.
ROOT = os.environ.get("BENCH_ROOT") or os.path.join(
    os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "bazel-bin")
# Seconds that a program may take to start or to end.
PATIENCE = 20


def binary(name):
    return os.path.join(ROOT, name)


class Process:
    """A child on one CPU; ended by stop(), or at the end of a `with`."""

    def __init__(self, command, cpu, stdin=None):
        # What it says is shown if it fails.
        self.log = tempfile.TemporaryFile("w+")
        self.command = command
        self.child = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=self.log,
            text=True, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def line(self, prefix=""):
        """The rest of the next line of stdout that begins with `prefix`."""
        for line in self.child.stdout:
            if line.startswith(prefix):
                return line[len(prefix):].strip()
        self.fail(f"ended before {prefix!r}")

    def fail(self, what):
        self.log.seek(0)
        raise RuntimeError(
            f"{' '.join(self.command)}: {what}\n{self.log.read()[-2000:]}")

    def pids(self):
        return family(self.child.pid)

    def cpu_ns(self):
        return cpu_ns(self.pids())

    def stop(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.child.poll() is None:
                self.child.send_signal(how)
                try:
                    self.child.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    pass
        self.child.stdout.close()
        self.log.close()


class Peer(Process):
    """One of bench/peers."""

    def __init__(self, name, cpu, upstream=None):
        super().__init__(
            [binary(f"bench/peers/{name}"), "127.0.0.1:0"]
            + ([f"127.0.0.1:{upstream}"] if upstream else []), cpu)
        self.port = int(self.line("listening "))


class Portreeved(Process):
    """A daemon with one listener."""

    binary = binary("server/portreeved")

    def __init__(self, cpu, upstream=None):
        handler = f"forward tcp:127.0.0.1:{upstream}" if upstream else "echo"
        command = [self.binary, "--control", "tcp:127.0.0.1:0", "--listen",
                   f"tcp:127.0.0.1:0 {handler}"]
        if self.has_loops():
            command += ["--loops", "1"]
        super().__init__(command, cpu)
        self.control = self.port = None
        while (line := self.line("portreeved: ")) != "ready":
            what, where = line.split(" ", 1)
            if what == "control":
                self.control = where.removeprefix("tcp:")
            elif what == "listener":
                self.port = int(where.rsplit(":", 1)[1])

    @classmethod
    def has_loops(cls):
        return "--loops" in subprocess.run(
            [cls.binary, "--help"], capture_output=True, text=True,
            check=True).stdout


class Haproxy(Process):
    """HAProxy with one thread; with `splice`, it always splices."""

    def __init__(self, cpu, upstream, splice=False):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "haproxy.cfg")
        options = "option splice-request\n    option splice-response"
        with open(path, "w") as config:
            config.write(f"""\
global
    nbthread 1
    maxconn 9000
    {"maxpipes 400" if splice else ""}
defaults
    mode tcp
    backlog 4096
    maxconn 9000
    timeout connect 1h
    timeout client 1h
    timeout server 1h
    {options if splice else ""}
listen bench
    bind 127.0.0.1:{self.port}
    server upstream 127.0.0.1:{upstream}
""")
        super().__init__(["/usr/sbin/haproxy", "-db", "-f", path], cpu)
        await_port(self)

    def stop(self):
        super().stop()
        self.folder.cleanup()


class HaproxySplice(Haproxy):
    def __init__(self, cpu, upstream):
        super().__init__(cpu, upstream, splice=True)


class Nginx(Process):
    """nginx's stream module with one worker."""

    def __init__(self, cpu, upstream):
        self.upstream = upstream
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "nginx.conf")
        self.write([self.port])
        super().__init__(["/usr/sbin/nginx", "-c", self.path], cpu)
        await_port(self)

    def write(self, ports):
        """The configuration, for the next start or reload."""
        user = "user root;" if os.geteuid() == 0 else ""
        listen = "\n        ".join(
            f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
        with open(self.path, "w") as config:
            config.write(f"""\
{user}
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid {self.folder.name}/pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile {os.sysconf("SC_OPEN_MAX")};
events {{
    worker_connections 19000;
}}
stream {{
    proxy_connect_timeout 1h;
    proxy_timeout 1h;
    proxy_half_close on;
    server {{
        {listen}
        proxy_pass 127.0.0.1:{self.upstream};
    }}
}}
""")

    def stop(self):
        super().stop()
        self.folder.cleanup()


def free_port():
    """For programs that cannot let the OS choose."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def await_port(server):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
        if server.child.poll() is not None:
            break
    server.fail(f"does not listen on {server.port}")


# By the names in the results.
ECHOES = {
    "portreeve": Portreeved,
    "raw": lambda cpu: Peer("raw_echo", cpu),
    "asio": lambda cpu: Peer("asio_echo", cpu),
}
FORWARDS = {
    "portreeve": Portreeved,
    "haproxy": Haproxy,
    "haproxy-splice": HaproxySplice,
    "nginx": Nginx,
    "raw": lambda cpu, upstream: Peer("raw_splice_proxy", cpu, upstream),
    "asio": lambda cpu, upstream: Peer("asio_proxy", cpu, upstream),
}
