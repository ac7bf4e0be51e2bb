"""The HTTP port of a daemon: how it starts and ends, who may see what there,
and that nobody else notices."""

import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
import tempfile
import unittest

from service_manager import TIMEOUT, Daemon

# No account of the machine has these numbers.
ANN, EVE = 59001, 59003
REFUSED = 4  # An exit status of portreeve.
# In a process of its own, which may be another user.
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(sys.argv[2].encode())
    while data := client.recv(4096):
        sys.stdout.write(data.decode())
"""
F_SETPIPE_SZ = 1031


def request(path, host="localhost"):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


def connected(address):
    """A socket that is connected to an address as the daemon writes it."""
    kind, place = address.split(":", 1)
    made = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    made.settimeout(TIMEOUT)
    if kind == "unix":
        made.connect(place)
    else:
        host, port = place.rsplit(":", 1)
        made.connect((host, int(port)))
    return made


def read_all(client):
    data = b""
    while some := client.recv(65536):
        data += some
    return data.decode()


def shown(answer):
    """Its status and its body: "200 ok"."""
    head, _, body = answer.partition("\r\n\r\n")
    return f"{head.split()[1]} {body.strip()}"


def ask(address, path, host="localhost"):
    with connected(address) as client:
        client.sendall(request(path, host).encode())
        return shown(read_all(client))


class HttpTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.chmod(self.folder, 0o755)
        self.path = f"{self.folder}/http"
        self.control = f"unix:{self.folder}/control"

    def daemon(self, *arguments, **more):
        return Daemon("--control", self.control, *arguments, **more)

    def tcp(self, *arguments):
        return self.daemon("--http", "tcp:127.0.0.1:0", *arguments)

    def refused(self, *arguments, status):
        """The line with which a start ends."""
        with self.daemon(*arguments) as daemon:
            self.assertEqual(daemon.wait(), status)
            lines = [line for line in daemon.errors if line]
            self.assertEqual(len(lines), 1, lines)
            self.assertNotIn("portreeved: ready", daemon.lines)
            return lines[0]

    def cli(self, *arguments):
        return subprocess.run(
            ["client/portreeve", "--server", self.control, *arguments],
            text=True, capture_output=True, timeout=TIMEOUT)

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class LifeTest(HttpTest):

    def test_it_is_there_until_the_end(self):
        with self.tcp("--http", f"unix:{self.path}", "--drain", "1h",
                      "--listen", "tcp:127.0.0.1:0 echo") as daemon:
            daemon.until_ready()
            tcp, unix = daemon.printed("http")
            self.assertTrue(tcp.startswith("tcp:127.0.0.1:"), tcp)
            self.assertEqual(unix, f"unix:{self.path}")
            self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
            self.assertIn(f"http {tcp} {unix}, ", daemon.until_logged("started"))
            for address in tcp, unix:
                self.assertEqual(ask(address, "/healthz"), "200 ok")
                self.assertEqual(ask(address, "/readyz"), "200 ready")
                self.assertIn("<title>Portreeve", ask(address, "/"))
            echo = connected(daemon.printed("listener")[0].split()[1])
            echo.sendall(b"x")
            self.assertEqual(echo.recv(1), b"x")
            daemon.kill(signal.SIGTERM)
            daemon.until_logged("draining")
            self.assertEqual(ask(tcp, "/readyz"), "503 shutting down")
            self.assertEqual(ask(unix, "/healthz"), "200 ok")
            # The last connection ends, and with it all of this.
            kept = connected(tcp)
            echo.close()
            self.assertEqual(daemon.wait(), 0)
            self.assertEqual(kept.recv(1), b"")
            kept.close()
        self.assertFalse(os.path.exists(self.path))
        with self.assertRaises(ConnectionRefusedError):
            connected(tcp)

    def test_it_says_starting_until_the_daemon_is_ready(self):
        line = f"portreeved: http unix:{self.path}\n"
        out, out_end = os.pipe()
        size = fcntl.fcntl(out_end, F_SETPIPE_SZ, 4096)
        # After that line the daemon waits for who reads what it prints.
        os.write(out_end, b"\n" * (size - len(line)))
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(out_end, 1)
                os.execv("server/portreeved",
                         ["server/portreeved", "--control", self.control,
                          "--http", f"unix:{self.path}"])
            finally:
                os._exit(99)
        os.close(out_end)
        try:
            while not os.path.exists(self.path):
                self.assertEqual(os.waitpid(pid, os.WNOHANG), (0, 0))
            address = f"unix:{self.path}"
            while True:
                try:
                    answer = ask(address, "/readyz")
                    break
                except ConnectionRefusedError:  # It does not listen yet.
                    pass
            self.assertEqual(answer, "503 starting")
            self.assertEqual(ask(address, "/healthz"), "200 ok")
            with os.fdopen(out) as printed:
                for text in printed:
                    if text == "portreeved: ready\n":
                        break
                self.assertEqual(ask(address, "/readyz"), "200 ready")
        finally:
            os.kill(pid, signal.SIGTERM)
            self.assertEqual(os.waitpid(pid, 0), (pid, 0))

    def test_without_the_flag_there_is_none(self):
        with self.daemon() as daemon:
            daemon.until_ready()
            self.assertEqual(daemon.printed("http"), [])
            self.assertEqual(self.threads(daemon).count("http"), 0)
        with self.tcp() as other:
            other.until_ready()
            self.assertEqual(self.threads(other).count("http"), 1)

    @staticmethod
    def threads(daemon):
        names = []
        for task in os.listdir(f"/proc/{daemon.pid}/task"):
            with open(f"/proc/{daemon.pid}/task/{task}/comm",
                      encoding="utf-8") as file:
                names.append(file.read().strip())
        return names

    def test_what_is_wrong_ends_the_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            line = self.refused("--http", f"tcp:127.0.0.1:{port}", status=1)
        self.assertIn("--http: ", line)
        self.assertIn(f"tcp:127.0.0.1:{port}", line)
        self.assertFalse(os.path.exists(f"{self.folder}/control"))
        for value, why in (("tcp:*:0", "other machines reach this address, and "
                            "nothing would protect it"),
                           ("unix:@name", "an abstract socket"),
                           ("tcp:example.org:80", '"example.org" is neither an IP '
                            "address"),
                           ("unix:/x?mode=9", "mode: ")):
            line = self.refused("--http", value, status=2)
            self.assertIn(f'--http "{value}": {why}', line)
        line = self.refused("--http", f"unix:{self.path}?group=no-such-group",
                            status=1)
        self.assertIn(f'--http "unix:{self.path}": group: ', line)

    def test_insecure_opens_it_to_others(self):
        with self.daemon("--http", "tcp:0.0.0.0:0", "--insecure") as daemon:
            address = daemon.until_ready().printed("http")[0]
            self.assertTrue(address.startswith("tcp:0.0.0.0:"))
            address = address.replace("0.0.0.0", "127.0.0.1")
            self.assertEqual(ask(address, "/healthz"), "200 ok")


class RulesTest(HttpTest):

    def test_a_name_that_is_not_its_own_is_refused(self):
        with self.tcp("--http-host", "metrics.example.org") as daemon:
            address = daemon.until_ready().printed("http")[0]
            self.assertEqual(ask(address, "/healthz", "metrics.example.org"),
                             "200 ok")
            self.assertEqual(ask(address, "/healthz", "evil.example.org")[:3],
                             "421")

    def test_the_daemon_never_connects_to_it(self):
        with self.tcp("--http", f"unix:{self.path}") as daemon:
            for address in daemon.until_ready().printed("http"):
                told = self.cli("create", "a", "--listen", "127.0.0.1:0",
                                "--forward", address)
                self.assertEqual(told.returncode, REFUSED, told)
                self.assertIn("SELF_CONNECT", told.stderr)

    def test_clients_of_it_take_no_descriptors_of_others(self):
        limit = 400

        def limited():
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        arguments = ("--control", self.control, "--http", "tcp:127.0.0.1:0",
                     "--listen", "tcp:127.0.0.1:0 echo")
        process = subprocess.Popen(
            ["server/portreeved", *arguments], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=limited)
        lines = []
        for line in process.stdout:
            lines.append(line.split())
            if lines[-1][-1] == "ready":
                break
        http = next(line[2] for line in lines if line[1] == "http")
        echo = next(line[3] for line in lines if line[1] == "listener")

        def descriptors():
            return len(os.listdir(f"/proc/{process.pid}/fd"))

        share = limit // 8
        before = descriptors()
        # The others wait in the backlog.
        clients = [connected(http) for _ in range(2 * share)]
        try:
            while descriptors() < before + share:
                self.assertIsNone(process.poll())
            for _ in range(3):
                with connected(echo) as client:
                    client.sendall(b"hello")
                    self.assertEqual(client.recv(5), b"hello")
            self.assertEqual(self.cli("list").returncode, 0)
            # The last of those may still be there.
            self.assertLess(descriptors(), before + share + 10)
        finally:
            for client in clients:
                client.close()
            process.terminate()
            self.assertEqual(process.wait(TIMEOUT), 0)
            process.stdout.close()

    def test_whatever_comes_there_the_data_plane_goes_on(self):
        with self.tcp("--listen", "tcp:127.0.0.1:0 echo") as daemon:
            address = daemon.until_ready().printed("http")[0]
            echo = connected(daemon.printed("listener")[0].split()[1])
            for i, data in enumerate(
                    (b"", b"\0" * 9000, b"GET / HTTP/1.1\r\n",
                     request("/healthz").encode() * 200, b"x" * 20000,
                     b"POST / HTTP/1.1\r\nHost: x\r\n\r\n") * 20):
                with connected(address) as client:
                    client.sendall(data)
                    message = f"message {i}".encode()
                    echo.sendall(message)
                    self.assertEqual(echo.recv(100), message)
            echo.close()
            self.assertEqual(ask(address, "/healthz"), "200 ok")
            self.assertEqual(daemon.stop(), 0)


@unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
class RolesTest(HttpTest):

    def setUp(self):
        super().setUp()
        self.address = f"unix:{self.path}"
        self.flags = ("--http", f"{self.address}?mode=0666", "--policy",
                      self.policy((f"unix:{ANN}", "VIEWER")))

    def policy(self, *identities):
        return self.write("policy", "".join(
            f'identities {{ name: "{name}" role: ROLE_{role} }}\n'
            for name, role in identities))

    def ask_as(self, user, path):
        ran = subprocess.run(
            ["/usr/bin/python3", "-c", ASK, self.path, request(path)],
            capture_output=True, timeout=TIMEOUT, user=user, group=user,
            extra_groups=(), check=True)
        return shown(ran.stdout.decode())

    def test_a_page_needs_a_viewer_and_health_nobody(self):
        with self.daemon(*self.flags) as daemon:
            daemon.until_ready()
            for user in 0, ANN, EVE:
                self.assertEqual(self.ask_as(user, "/healthz"), "200 ok")
                self.assertEqual(self.ask_as(user, "/readyz"), "200 ready")
            for user in 0, ANN:
                self.assertEqual(self.ask_as(user, "/")[:3], "200")
            self.assertEqual(
                self.ask_as(EVE, "/"),
                f"403 unix:uid={EVE} has no role; / needs the role viewer")

    def test_a_hangup_reads_the_policy_again(self):
        with self.daemon(*self.flags) as daemon:
            daemon.until_ready()
            self.policy((f"unix:{EVE}", "ADMIN"))
            daemon.kill(signal.SIGHUP)
            daemon.until_logged("was read again")
            self.assertEqual(self.ask_as(ANN, "/")[:3], "403")
            self.assertEqual(self.ask_as(EVE, "/")[:3], "200")

    def test_that_everybody_may_read_is_warned_of(self):
        with self.daemon("--http", f"{self.address}?mode=0666", "--http",
                         "tcp:127.0.0.1:0") as daemon:
            daemon.until_ready()
            daemon.until_logged(f"http {self.address}: every user of this "
                                "machine may read what the daemon tells")
        with self.daemon(*self.flags, "--http", "tcp:127.0.0.1:0") as daemon:
            daemon.until_ready()
            line = daemon.until_logged("known on unix sockets only")
            self.assertIn("http tcp:127.0.0.1:", line)


if __name__ == "__main__":
    unittest.main()
