"""Completion in a real bash, with a daemon that has listeners and connections."""

import os
import pty
import re
import select
import socket
import subprocess
import tempfile
import time
import unittest

PORTREEVED, PORTREEVE = (os.path.abspath(path) for path in
                         ("server/portreeved", "client/portreeve"))
COMPLETION = {name: os.path.abspath(f"packaging/completion/{name}")
              for name in ("portreeve", "portreeved")}
DEADLINE = 60
VERBS = ("create list get update close is-closed close-finished delete "
         "connections kill watch describe top attach dial apply diff export daemon "
         "upgrade state").split()

# Calls the function as bash does; the words of the line are the arguments.
CALL = r"""
set -u
IFS=-
source "$COMPLETION"
COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$(($# - 2))
COMP_WORDS=("${@:2}")
[[ -z ${BREAKS-} ]] || COMP_WORDBREAKS=$BREAKS
COMPREPLY=(old)
_$NAME
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"""


def words_of(line):
    """As bash splits it: at blanks, and at `=` and `:`, which are words."""
    words = re.findall(r"\"[^\"]*\"|'[^']*'|[=:]+|[^\s=:]+", line)
    return words + [""] if line[-1].isspace() else words


class Folder:
    """Where `portreeve` and `portreeved` are the programs, and what they find."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = self.folder.name
        os.mkdir(f"{self.path}/bin")
        for program in (PORTREEVED, PORTREEVE):
            os.symlink(program,
                       f"{self.path}/bin/{os.path.basename(program)}")
        os.mkdir(f"{self.path}/files")
        os.mkdir(f"{self.path}/files/some_dir")
        open(f"{self.path}/files/some_file", "w").close()
        self.environment = {
            "PATH": f"{self.path}/bin:/usr/bin:/bin", "HOME": self.path,
            "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def complete(self, line, **more):
        name = more.pop("NAME", "portreeve")
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", CALL, "bash", line,
             *words_of(line)],
            env={**self.environment, "NAME": name,
                 "COMPLETION": COMPLETION[name], **more},
            cwd=f"{self.path}/files", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=DEADLINE, check=True)
        assert done.stderr == "", done.stderr
        return sorted(done.stdout.splitlines())


class Daemon:

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        config = f"{self.folder.name}/portreeved.conf"
        with open(config, "w") as file:
            file.write("# Of this test.\ncontrol tcp:127.0.0.1:0\n")
        self.process = subprocess.Popen(
            [PORTREEVED, "--config", config], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[-1]
        while self.process.stdout.readline() != "portreeved: ready\n":
            assert self.process.poll() is None
        for name in ("echo", "web-1", "web-2"):
            shown = self.ask("create", name, "--listen", "tcp:127.0.0.1:0",
                             "--echo")
            port = int(shown.rsplit(":", 1)[1])
        self.client = socket.create_connection(("127.0.0.1", port))
        self.client.sendall(b"x")
        assert self.client.recv(1) == b"x"
        (self.connection,) = re.findall(r"^connections/(\w+)",
                                        self.ask("connections"), re.M)
        return self

    def __exit__(self, *_):
        self.client.close()
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.folder.cleanup()

    def ask(self, *words):
        return subprocess.run(
            [PORTREEVE, *words, "--server", self.address], check=True,
            stdout=subprocess.PIPE, text=True, timeout=DEADLINE).stdout


class StaticTest(unittest.TestCase):
    """What no daemon has to be asked for."""

    def setUp(self):
        self.folder = Folder()
        self.complete = self.folder.__enter__().complete
        self.addCleanup(self.folder.__exit__)

    def test_verbs(self):
        self.assertEqual(self.complete("portreeve "), sorted(VERBS))
        self.assertEqual(self.complete("portreeve close"),
                         ["close", "close-finished"])
        self.assertEqual(self.complete("portreeve --timeout 1s cr"), ["create"])
        self.assertEqual(self.complete("portreeve --output=json cr"),
                         ["create"])
        self.assertEqual(self.complete("portreeve x"), [])
        self.assertEqual(self.complete("portreeve nonsense x"), [])

    def test_flags(self):
        self.assertEqual(self.complete("portreeve --ti"), ["--timeout"])
        self.assertEqual(self.complete("portreeve close --"), [
            "--existing", "--help", "--output", "--server",
            "--timeout", "--tls-ca", "--tls-cert", "--tls-key",
            "--tls-server-name", "--version", "--wait-for"])
        self.assertEqual(self.complete("portreeve create --no-"), [
            "--no-drop-incoming-connections", "--no-reuse-address"])
        # All that --help shows.
        for verb in VERBS:
            shown = subprocess.run(
                [PORTREEVE, verb, "--help"], check=True, text=True,
                stdout=subprocess.PIPE, timeout=DEADLINE).stdout
            flags = {name for names in re.findall(r"^  (-\S+)", shown, re.M)
                     for name in names.split(",")}
            self.assertLessEqual(flags, set(self.complete(f"portreeve {verb} -")))

    def test_values(self):
        for line, values in (
            ("close x --existing ", ["close", "leave", "reset"]),
            ("close x --existing=", ["close", "leave", "reset"]),
            ("close x --existing=r", ["reset"]),
            ("close x --existing r", ["reset"]),
            ("close --wait-for close-f", ["close-finished"]),
            ("--output j", ["json"]),
            ("list -o ", ["json", "table", "wide"]),
            ("list --output=t", ["table"]),
            ("create x --buffer-age-limit ", ["unlimited"]),
            ("create x --on-handler-error ", ["call", "ignore", "raise"]),
            ("watch --kind listener-close-", [
                "listener-close-finished", "listener-close-started"]),
            ("update x --unset on-", ["on-handler-error"]),
            ("state re", ["repair"]),
            ("create x --listen ", []),
            ("create x --max-connections ", []),
            ("apply --format ", ["json", "textproto", "yaml"]),
        ):
            self.assertEqual(self.complete(f"portreeve {line}"), values, line)
        # Where `=` is a part of words, what stands before it stays there.
        self.assertEqual(
            self.complete("portreeve close x --existing=r", BREAKS=" "),
            ["--existing=reset"])

    def test_files(self):
        both = ["some_dir", "some_file"]
        for line, found in (
            ("portreeve apply -f ", both), ("portreeve apply -f some_f", both[1:]),
            ("portreeve apply --file=so", both), ("portreeve state check ", both[:1]),
            ("portreeve state backup some_dir ", both),
            ("portreeve --tls-ca ", both),
        ):
            self.assertEqual(self.complete(line), found, line)

    def test_the_command_of_attach(self):
        self.assertIn("cat", self.complete("portreeve attach x -- ca"))
        self.assertEqual(self.complete("portreeve attach x -- cat some_f"),
                         ["some_file"])

    def test_the_daemon(self):
        def complete(line):
            return self.complete(f"portreeved {line}", NAME="portreeved")
        self.assertEqual(complete("--log-"), ["--log-format", "--log-level"])
        self.assertEqual(complete("--log-level "),
                         ["debug", "error", "info", "warning"])
        self.assertEqual(complete("--log-format=j"), ["json"])
        self.assertEqual(complete("--metrics-histograms "),
                         ["daemon", "listener", "off"])
        self.assertEqual(complete("--config so"), ["some_dir", "some_file"])
        self.assertEqual(complete("--insecure --state="), ["some_dir"])
        self.assertEqual(complete(""), [])
        shown = subprocess.run([PORTREEVED, "--help"], check=True, text=True,
                               stdout=subprocess.PIPE, timeout=DEADLINE).stdout
        flags = {name for names in re.findall(r"^  (-\S+)", shown, re.M)
                 for name in names.split(",")}
        self.assertEqual(flags, set(complete("-")))

    def test_nothing_that_was_typed_is_run(self):
        for hostile in ("$(touch${IFS}ran)", "`touch${IFS}ran`", "a;touch${IFS}ran",
                        "x[$(touch${IFS}ran)]", "\"$(touch${IFS}ran)\""):
            for line in (f"get {hostile}", f"{hostile} x", f"--server {hostile} get ",
                         f"get --{hostile} ", f"close --existing={hostile}",
                         f"state {hostile} ", f"apply -f {hostile}"):
                self.complete(f"portreeve {line}")
            self.assertEqual(sorted(os.listdir(f"{self.folder.path}/files")),
                             ["some_dir", "some_file"], hostile)


class NamesTest(unittest.TestCase):

    def test_the_names_that_a_daemon_has(self):
        with Folder() as folder, Daemon() as daemon:
            server, connection = daemon.address, daemon.connection
            complete = folder.complete
            # That it answers is certain, and not how soon.
            slow = {"_portreeve_timeout": f"{DEADLINE}s"}
            for before in (f"--server {server} ", f"--server={server} ",
                           f"--server \"{server}\" "):
                self.assertEqual(complete(f"portreeve {before}get w", **slow),
                                 ["web-1", "web-2"])
            after = {"PORTREEVE_SERVER": server, **slow}
            for verb in ("get", "update", "close", "is-closed",
                         "close-finished", "delete", "connections", "attach"):
                self.assertEqual(complete(f"portreeve {verb} w", **after),
                                 ["web-1", "web-2"], verb)
            self.assertEqual(complete("portreeve close ", **after),
                             ["echo", "web-1", "web-2"])
            self.assertEqual(complete("portreeve close listeners/e", **after),
                             ["listeners/echo"])
            self.assertEqual(complete("portreeve watch --listener=e", **after),
                             ["echo"])
            self.assertEqual(complete("portreeve kill ", **after), [connection])
            self.assertEqual(complete("portreeve kill --reset connections/",
                                      **after), [f"connections/{connection}"])
            self.assertEqual(complete("portreeve get con", **after),
                             [f"connections/{connection}"])
            # The second argument of a verb that has one.
            self.assertEqual(complete("portreeve close echo ", **after), [])
            # What was typed goes before the environment.
            self.assertEqual(
                complete("portreeve --server tcp:127.0.0.1:1 get ", **after), [])

    def test_a_daemon_that_does_not_answer_has_none(self):
        with Folder() as folder, socket.socket() as silent:
            self.assertEqual(
                folder.complete("portreeve --server unix:/no/such get "), [])
            self.assertEqual(
                folder.complete("portreeve --server nonsense get "), [])
            self.assertEqual(
                folder.complete("portreeve --tls-cert /no/such get "), [])
            # Its kernel takes the connection, and nobody the call.
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            self.assertEqual(
                folder.complete(f"portreeve --server 127.0.0.1:{port} get "), [])

    def test_only_names_get_into_the_command_line(self):
        with Folder() as folder:
            os.unlink(f"{folder.path}/bin/portreeve")
            with open(f"{folder.path}/bin/portreeve", "w") as program:
                program.write("#!/bin/sh\necho \"$*\" >asked\ncat <<'EOF'\n"
                              "NAME  STATE\nlisteners/a;ls  x\nlisteners/$(ls)\n"
                              "listeners/\nlisteners/A\nconnections/b\nc\n"
                              "listeners/good  y\nEOF\n")
            os.chmod(f"{folder.path}/bin/portreeve", 0o755)
            self.assertEqual(
                folder.complete("portreeve --tls-ca='a b' --timeout 9s get "),
                ["good"])
            with open(f"{folder.path}/files/asked") as asked:
                self.assertEqual(
                    asked.read(),
                    "list --tls-ca a b --output table --timeout 1s\n")


class Terminal:
    """An interactive bash on a terminal."""

    def __init__(self, folder, environment):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(f"{folder.path}/files")
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"],
                      {**folder.environment, **environment, "PS1": "",
                       "INPUTRC": "/dev/null", "HISTFILE": ""})
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.terminal)
        os.waitpid(self.process, 0)

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def wait_for(self, pattern):
        until = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.terminal], [], [],
                                        until - time.monotonic())
            assert ready, f"no {pattern} in {self.text!r}"
            self.text += os.read(self.terminal, 65536).decode()
        self.text = self.text[found.end():]
        return found

    def complete(self, line):
        """What Alt-* puts in the place of the last word, with all before it."""
        self.type(f"{line}\x1b*\x01shown \r")
        return self.wait_for(r"\n<(.*)>\r").group(1).split(" ")

    def tab(self, line):
        """The same for Tab, where one word fits."""
        self.type(f"{line}\t\x01shown \r")
        return self.wait_for(r"\n<(.*)>\r").group(1).split(" ")


class TerminalTest(unittest.TestCase):

    def test_keys_on_a_terminal(self):
        with Folder() as folder, Daemon() as daemon, Terminal(
                folder, {"PORTREEVE_SERVER": daemon.address,
                         "_portreeve_timeout": f"{DEADLINE}s"}) as terminal:
            terminal.type("shown() { local IFS=' '; printf '<%s>\\n' \"$*\"; }\r")
            for name in COMPLETION.values():
                terminal.type(f"source {name}\r")
            complete = terminal.complete
            self.assertEqual(complete("portreeve close"),
                             ["portreeve", "close", "close-finished"])
            self.assertEqual(complete("portreeve get w"),
                             ["portreeve", "get", "web-1", "web-2"])
            self.assertEqual(
                complete(f"portreeve --server={daemon.address} get listeners/w"),
                ["portreeve", f"--server={daemon.address}", "get",
                 "listeners/web-1", "listeners/web-2"])
            self.assertEqual(complete("portreeve list --output=j"),
                             ["portreeve", "list", "--output=json"])
            self.assertEqual(complete("portreeve kill a"),
                             ["portreeve", "kill", daemon.connection])
            self.assertEqual(terminal.tab("portreeve get ec"),
                             ["portreeve", "get", "echo"])
            self.assertEqual(terminal.tab("portreeve apply -f some_d"),
                             ["portreeve", "apply", "-f", "some_dir/"])
            self.assertEqual(complete("portreeved --log-level w"),
                             ["portreeved", "--log-level", "warning"])


if __name__ == "__main__":
    unittest.main()
